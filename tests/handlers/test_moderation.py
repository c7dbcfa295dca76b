"""广告 12, 误报 12: an operator's word on a case."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from handlers.context import GroupChannels
from store.order import FALSE_ALARM, SPAM, Case, NewCase
from store.posts import NewPost, Post
from store.talk import NewTalk
from tests.handlers.group_operators import GATE, Desk, desk

__all__ = ["desk"]


async def case(desk: Desk, text: str = "加微信 abc12345 领资料", **fields: Any) -> Case:
    """A case in group 1 about o_guest, who was warned."""
    group = await desk.group()
    guest = await desk.store.members.meet(GATE, "o_guest", desk.at)
    number = len(await desk.store.order.cases("", 0.0, 1000))
    usual: dict[str, Any] = {
        "key": hashlib.blake2b(f"{text}{number}".encode(), digest_size=16).digest(),
        "place": group.place,
        "member_id": guest.id,
        "message_id": "m1",
        "at": desk.at,
        "text": text,
        "reasons": ("contact", "model"),
        "score": 0.99,
        "severity": 2,
        "actions": ("hidden",),
        "report": True,
    }
    warning = NewPost(
        key=hashlib.blake2b(f"w{number}".encode(), digest_size=16).digest(),
        channel=GATE,
        place=group.place,
        kind="order",
        body=Post("text", "提醒一下"),
        due_at=desk.at,
    )
    new = NewCase(**{**usual, **fields})
    return (await desk.store.order.open(new, warning, desk.at)).case


async def verdict(desk: Desk, number: int) -> str:
    found = await desk.store.order.case(number)
    assert found is not None
    return found.verdict


@pytest.mark.parametrize("typed", ["广告 1", "广告1", "广告 #1", "广告　１。", "广告 1 1"])
async def test_an_advert_is_settled_however_it_is_typed(desk: Desk, typed: str) -> None:
    await case(desk)
    assert (await desk.boss(typed)).startswith("第 1 条记为广告")
    assert desk.handler == "operator.verdict"
    assert await verdict(desk, 1) == SPAM
    assert await desk.audits() == [("order.spam", "order:1")]


async def test_a_verdict_twice_changes_nothing_and_says_so(desk: Desk) -> None:
    await case(desk)
    await desk.boss("广告 1")
    assert await desk.boss("广告 1") == "第 1 条已经记过了。"
    assert len(await desk.audits()) == 1


async def test_a_verdict_after_a_crash_is_one_verdict(desk: Desk) -> None:
    await case(desk)
    await desk.boss("误报 1", crash_first=True)
    assert await verdict(desk, 1) == FALSE_ALARM
    assert len(await desk.audits()) == 1
    assert len(await desk.posts()) == 2


async def test_a_false_alarm_is_apologised_for_in_the_group_once(desk: Desk) -> None:
    await case(desk)
    said = await desk.boss("误报 1")
    assert "已在群里说明是误判" in said
    apology = json.loads((await desk.posts())[1]["body"])
    assert apology["content"] == desk.texts("order.apology")
    assert apology["mentions"] == ["o_guest"]
    await desk.boss("广告 1")
    await desk.boss("误报 1")
    assert len(await desk.posts()) == 2


async def test_who_was_silenced_or_removed_is_not_forgotten(desk: Desk) -> None:
    await case(desk, "一", actions=("hidden", "silenced"))
    await case(desk, "二", actions=("hidden", "kicked"))
    assert "禁言马上解除" in await desk.boss("误报 1")
    assert "重新邀请" in await desk.boss("误报 2")
    [todo] = await desk.store.order.pending(desk.at)
    assert (todo.action, todo.external_id) == ("released", "o_guest")


async def test_where_nothing_can_be_posted_nothing_is_promised(desk: Desk) -> None:
    await case(desk)
    desk.channels = GroupChannels()
    assert "已在群里说明" not in await desk.boss("误报 1")
    assert len(await desk.posts()) == 1


async def test_the_other_word_takes_it_back(desk: Desk) -> None:
    await case(desk)
    await desk.boss("广告 1")
    assert (await desk.boss("误报 1")).startswith("第 1 条记为误报")
    assert await verdict(desk, 1) == FALSE_ALARM
    assert [one.spam for one in await desk.store.order.unlearned()] == [False]


async def test_an_advert_that_was_only_noted_leaves_the_digest(desk: Desk) -> None:
    one = await case(desk, "优惠来了", severity=1, actions=("noted",))
    await desk.store.talk.say(
        NewTalk(one.key, one.place, GATE, "o_guest", desk.at, "text", "优惠来了")
    )
    assert len(await desk.store.talk.recent(one.place, 5)) == 1
    await desk.boss("广告 1")
    assert await desk.store.talk.recent(one.place, 5) == []


async def test_a_raid_is_settled_with_one_word(desk: Desk) -> None:
    for _ in range(5):
        await case(desk)
    assert "同样内容的 4 条一起记了" in await desk.boss("广告 3")
    assert [await verdict(desk, number) for number in range(1, 6)] == [SPAM] * 5


async def test_several_numbers_at_once(desk: Desk) -> None:
    await case(desk, "一")
    await case(desk, "二")
    said = (await desk.boss("误报 1、2 9")).splitlines()
    assert said[2] == "没有第 9 条。"
    assert [await verdict(desk, number) for number in (1, 2)] == [FALSE_ALARM] * 2
    assert len((await desk.boss("广告 " + " ".join(map(str, range(100))))).splitlines()) <= 20


@pytest.mark.parametrize("who", ["o_lin", "o_eye"])
async def test_members_and_analysts_have_no_say(desk: Desk, who: str) -> None:
    await case(desk)
    await desk.say("广告 1", who)
    assert desk.handler != "operator.verdict"
    assert await verdict(desk, 1) == ""


async def test_a_question_and_a_group_are_no_verdict(desk: Desk) -> None:
    await case(desk)
    await desk.boss("广告 1？")
    await desk.in_group(await desk.group(), "广告 1")
    assert await verdict(desk, 1) == ""
