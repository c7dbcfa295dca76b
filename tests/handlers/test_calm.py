"""How much one member, and one group, may make the bot say on a gateway."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handlers.calm import CALLS, CANNED_S, Calm
from handlers.context import Context
from tests.handlers.conftest import Conversation
from tests.handlers.in_group import QUN, SPEECH, WHISPERING, GroupTalk

NOW = 1_763_600_000.0


def taken(calm: Calm, who: str, times: int, now: float = NOW, place: str = "qun:1") -> int:
    return sum(calm.take(place, who, now) for _ in range(times))


def test_a_member_gets_four_answers_a_minute_and_a_group_ten() -> None:
    calm = Calm(20)
    assert taken(calm, "lin", 9) == 4
    assert taken(calm, "mei", 9) == 4
    assert taken(calm, "tao", 9) == 2, "the group had ten"
    assert taken(calm, "tao", 9, place="qun:2") == 4
    assert taken(calm, "lin", 1, NOW + 59.0) == 0
    assert taken(calm, "lin", 9, NOW + 60.0) == 4


def test_what_was_not_said_counts_for_nothing() -> None:
    calm = Calm(20)
    for _ in range(20):
        assert calm.take("qun:1", "lin", NOW)
        calm.give_back("qun:1", "lin", NOW)


def test_a_slow_account_still_answers_once() -> None:
    assert taken(Calm(1), "lin", 3) == 1


def test_a_clock_that_is_set_back_silences_nobody_for_long() -> None:
    calm = Calm(20)
    assert taken(calm, "lin", 4, NOW + 86_400.0) == 4
    assert taken(calm, "lin", 4) == 4


def test_calls_beyond_what_could_be_answered_cost_nothing() -> None:
    calm = Calm(20)
    assert sum(calm.hear("qun:1", "lin", NOW) for _ in range(30)) == 4 * CALLS
    assert sum(calm.hear("", "lin", NOW) for _ in range(30)) == 10, "more in private"


def test_canned_words_are_said_once_in_a_while_to_each() -> None:
    calm = Calm(20)
    assert not calm.canned("qun:1", "lin", "called", NOW)
    assert calm.canned("qun:1", "lin", "called", NOW + CANNED_S - 1)
    assert not calm.canned("qun:1", "mei", "called", NOW)
    assert not calm.canned("qun:1", "lin", "called", NOW + CANNED_S)


def test_whoever_comes_memory_stays_bounded() -> None:
    calm = Calm(20)
    for number in range(20_000):
        calm.take(f"qun:{number % 3000}", f"wx_{number}", NOW)
        calm.hear(f"qun:{number % 3000}", f"wx_{number}", NOW)
        calm.canned("qun:1", f"wx_{number}", "called", NOW)
    assert len(calm._answers._at) + len(calm._calls._at) + len(calm._canned) <= 15_000
    assert len(calm._groups._at) <= 1000


# In the conversation


@pytest.fixture
def qun(talk: Conversation) -> GroupTalk:
    group = GroupTalk(talk)
    group.speech = replace(SPEECH, calms={QUN: Calm(20)})
    return group


async def test_who_calls_without_pause_hears_one_word(qun: GroupTalk) -> None:
    answers = [await qun.say("小知") for _ in range(9)]
    assert [bool(one) for one in answers] == [True, *[False] * 8]


async def test_a_member_who_had_enough_is_met_with_silence_and_others_are_not(
    qun: GroupTalk,
) -> None:
    answers = [await qun.ask(f"帮助{'。' * number}") for number in range(6)]
    assert [bool(one) for one in answers] == [True] * 4 + [False] * 2
    assert await qun.ask("帮助", "o_mei")


async def test_an_operator_is_always_answered(qun: GroupTalk) -> None:
    def operator(ctx: Context) -> None:
        ctx.member = replace(ctx.member, role="operator")

    for number in range(8):
        message = qun.message(f"@小知 帮助{'。' * number}", "o_boss", addressed=True)
        assert await qun.hear(message, operator)


async def test_what_is_asked_for_is_done_though_nobody_is_told(qun: GroupTalk) -> None:
    for number in range(4):
        await qun.ask(f"帮助{'。' * number}")
    assert await qun.say("签到") == ""
    rows = await qun.store.db.read(
        lambda conn: conn.execute("select count(*) from checkins").fetchall()
    )
    assert [tuple(row) for row in rows] == [(1,)]


async def test_nothing_private_is_run_whose_answer_would_be_lost(qun: GroupTalk) -> None:
    qun.channels = WHISPERING
    lines = [await qun.ask("我的积分") for _ in range(4)]
    assert [bool(one) for one in lines] == [True, False, False, False]
    assert qun.aside, "the answer itself is told each time"
    assert await qun.ask("我的积分") == ""
    assert (qun.aside, qun.handler) == ([], "group.enough")
