"""Operator commands: who may, what they show, and how the first owner is made."""

from __future__ import annotations

import pytest

from handlers import RULES
from handlers.message import Reply, reply_to_json
from handlers.operators import COMMANDS, parsed
from handlers.router import dispatch
from handlers.teaching import FAQ_COMMANDS
from store.sends import PLANNED, REFUSED, UNKNOWN
from tests.handlers.conftest import Conversation

BOSS = "o_boss"


@pytest.mark.parametrize(
    ("typed", "name", "rest"),
    [
        ("/help", "help", ""),
        ("／ＦＡＱ  add 问 | 答\n第二行", "faq", "add 问 | 答\n第二行"),
        ("/ stats 7", "stats", "7"),
        ("/stats7", "stats", "7"),
        ("／ＳＴＡＴＳ７", "stats", "７"),
        ("/teach怎么拼团=>三人成团", "teach", "怎么拼团=>三人成团"),
        ("/teachPython 难吗=>不难", "teach", "Python 难吗=>不难"),
        ("/faqgaps 2", "faq", "gaps 2"),
        ("/undo 3", "undo", "3"),
        ("/12", "", "12"),
        ("/", "", ""),
        ("退款", "", "退款"),
    ],
)
def test_a_command_and_what_follows(typed: str, name: str, rest: str) -> None:
    assert parsed(typed) == (name, rest)


@pytest.mark.parametrize("name", [*sorted(set(COMMANDS) - {"claim"}), "nonsense", "usr/bin"])
async def test_to_a_member_every_command_looks_the_same(talk: Conversation, name: str) -> None:
    for rest in ("", " add 问 | 答", " 1 owner"):
        assert await talk.say(f"/{name}{rest}") == talk.texts("operator.not_allowed")
        assert talk.handler == "operator.refused"
    assert len(await talk.store.content.faqs()) == 6


@pytest.mark.parametrize("typed", ["/::)", "/:rose", "/微笑", "/", "//"])
async def test_emoticons_are_no_commands(talk: Conversation, typed: str) -> None:
    await talk.say(typed)
    assert talk.handler == "faq.unknown"


@pytest.mark.parametrize("name", sorted(COMMANDS))
async def test_every_command_stands_in_the_operators_help(talk: Conversation, name: str) -> None:
    await talk.promote(BOSS)
    said = await talk.say("/help", BOSS)
    assert f"/{name}" in said
    assert talk.handler == "operator.help"


async def test_the_operators_help_names_all_that_can_follow(talk: Conversation) -> None:
    said = talk.texts("help.operator")
    assert {sub for sub in FAQ_COMMANDS if f"/faq {sub}" not in said} == set()
    for words in ("/docs del", "几种问法用 / 隔开", "「1 => 答案」", "「并入 1」", "「忽略 1」"):
        assert words in said
    assert len(said.encode()) < 2048, "one message"


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("/stat", "/stats"),
        ("/FQA", "/faq"),
        ("／rolle 1", "/role"),
        ("/undo", "/faq undo"),
        ("/gaps", "/faq gaps"),
        ("/histry", "/faq history"),
        ("/hlep", "/help"),
    ],
)
async def test_a_misspelt_command_names_the_nearest(
    talk: Conversation, typed: str, nearest: str
) -> None:
    await talk.promote(BOSS)
    assert f"你是不是想用「{nearest}」" in await talk.say(typed, BOSS)


async def test_a_command_without_its_slash_is_named_and_not_run(talk: Conversation) -> None:
    await talk.promote(BOSS)
    assert await talk.say("Stats", BOSS) == talk.texts("operator.needs_slash", command="/stats")
    await talk.say("stats")
    assert talk.handler == "faq.unknown", "to a member it is a word like any other"


async def test_an_unlike_command_points_at_the_help(talk: Conversation) -> None:
    await talk.promote(BOSS)
    said = await talk.say("/zzzzzz" + "q" * 5000, BOSS)
    assert said == talk.texts("operator.unknown_command_plain", command="/zzzzzz" + "q" * 14)


async def test_the_day_in_numbers(hesitant: Conversation) -> None:
    talk = hesitant
    await talk.promote(BOSS)
    await talk.happen("subscribe")
    await talk.say("怎么退款")
    await talk.say("1")
    await talk.say("有用")
    await talk.say("龘靐齉爩")
    await talk.happen("unsubscribe", who="o_wang")
    said = await talk.say("/stats", BOSS)
    assert said.startswith("今天（2026-11-21）\n成员：3 人，在关注 1 人\n新关注 1，取消关注 1\n")
    assert "直接答上 1，给出选项 1，没答上 1" in said
    assert "有用 1，没用 0" in said
    assert "问答 6 条，内容 4 条，待补问题 1 个" in said
    assert "在路上的回答 0 条，没能送达 0 条" in said


async def test_yesterday_belongs_to_the_last_days_not_to_today(talk: Conversation) -> None:
    await talk.promote(BOSS)
    await talk.say("怎么退款")
    talk.later(days=1)
    assert "直接答上 0" in await talk.say("/stats", BOSS)
    said = await talk.say("/stats ２", BOSS)
    assert said.startswith("近 2 天")
    assert "直接答上 1" in said


@pytest.mark.parametrize("days", ["0", "91", "x", "-1", "9" * 400, "1.5"])
async def test_odd_periods_get_the_usage(talk: Conversation, days: str) -> None:
    await talk.promote(BOSS)
    assert await talk.say(f"/stats {days}", BOSS) == talk.texts("operator.stats_usage", limit=90)


async def test_an_empty_store_has_numbers_too(empty: Conversation) -> None:
    await empty.promote(BOSS)
    assert "消息：0 条，来自 0 人" in await empty.say("/stats", BOSS)


async def test_a_member_is_shown_by_number_and_never_by_openid(talk: Conversation) -> None:
    await talk.promote(BOSS)
    await talk.happen("subscribe")
    await talk.say("订阅 直播")
    number = await talk.member()
    for typed in (f"/who {number}", f"/who #{number}", "/who o_lin"):
        said = await talk.say(typed, BOSS)
        assert said.startswith(f"成员 {number}\n角色：成员\n关注：在关注\n初次来访：2026-11-21")
        assert "话题：直播" in said
        assert "o_lin" not in said


async def test_looking_at_a_member_is_written_down_once(talk: Conversation) -> None:
    me, number = await talk.promote(BOSS), await talk.member()
    await talk.say("/who o_lin", BOSS, crash_first=True)
    await talk.say("/who o_nobody", BOSS)
    [row] = await talk.store.audit.newest()
    assert (row.actor, row.action, row.target) == (f"member:{me}", "member.who", f"member:{number}")
    assert "o_lin" not in repr(row)


@pytest.mark.parametrize(
    ("typed", "logged"),
    [
        ("/who o_lin", "/who"),
        ("／WHO o_lin", "/who"),
        ("/claim 7KQM-2X9D", "/claim"),
        ("/cliam 7KQM-2X9D", "/cliam"),
        ("/claim7KQM-2X9D", "/claim"),
        ("/claimKQMA-2X9D", "/claim"),
        ("/cliam7KQM-2X9D", "/cliam"),
        ("/stats 7", "/stats 7"),
        ("/faq list", "/faq list"),
    ],
)
@pytest.mark.parametrize("who", [BOSS, "o_stranger"])
async def test_the_log_keeps_neither_codes_nor_openids(
    talk: Conversation, typed: str, logged: str, who: str
) -> None:
    await talk.promote(BOSS)
    await talk.say(typed, who)
    [row] = await talk.interactions()
    assert row["text"] == logged


async def test_where_to_find_a_number_is_told(talk: Conversation) -> None:
    await talk.promote(BOSS, "owner")
    for typed in ("/who", "/role"):
        assert "编号在对方的「我的数据」里" in await talk.say(typed, BOSS)


@pytest.mark.parametrize("whom", ["999", "o_nobody", "9" * 300, "{name}", "1 2"])
async def test_nobody_is_not_found(talk: Conversation, whom: str) -> None:
    await talk.promote(BOSS)
    assert await talk.say(f"/who {whom}", BOSS) == talk.texts("operator.who_not_found")
    assert await talk.say("/who", BOSS) == talk.texts("operator.who_usage")


async def test_a_member_never_seen_yet_has_no_last_visit(talk: Conversation) -> None:
    await talk.promote(BOSS)
    number = await talk.member("o_new")
    assert "最近来访：2026-11-21" in await talk.say(f"/who {number}", BOSS)


async def test_sends_that_failed_are_listed_without_names(talk: Conversation) -> None:
    await talk.promote(BOSS)
    assert await talk.say("/sends", BOSS) == talk.texts("operator.sends_none")
    secret = reply_to_json(Reply.text("秘密"))
    ends = (
        (REFUSED, 43004, "not following: nothing"),
        (REFUSED, 99999, "an error zhiqun does not know"),
        (REFUSED, None, "cannot be sent here"),
        (UNKNOWN, None, "outcome unknown: look before repeating it"),
    )
    await talk.leave(*[secret] * len(ends), status=PLANNED)
    for status, errcode, note in ends:
        [send] = await talk.store.sends.claim(talk.at)
        await talk.store.sends.settle(send.id, status, talk.at, errcode=errcode, note=note)
    said = await talk.say("/sends", BOSS)
    assert said.split("\n") == [
        "没能送达的回答，共 4 条：",
        "1. 11-21 10:30　结果不明，可能已送达",
        "2. 11-21 10:30　这种回复发不出去",
        "3. 11-21 10:30　微信拒绝（99999）",
        "4. 11-21 10:30　对方没有关注（43004）",
    ]


async def test_the_code_makes_its_finder_owner(talk: Conversation) -> None:
    assert await talk.say("/claim ７KQM-2X9D") == talk.texts("operator.claim_ok")
    number = await talk.member()
    card = await talk.store.members.card(number)
    assert card is not None
    assert card.role == "owner"
    [row] = await talk.store.audit.newest()
    assert (row.actor, row.action) == (f"member:{number}", "owner.claim")
    assert "7KQM" not in repr(row)
    assert await talk.say("/help") == talk.texts("help.operator")


async def test_a_claim_that_runs_twice_is_one_claim(talk: Conversation) -> None:
    said = await talk.say("/claim 7KQM-2X9D", crash_first=True)
    assert said == talk.texts("operator.claim_ok")
    assert len(await talk.store.audit.newest()) == 1


async def test_a_claim_taken_up_by_the_next_process_is_one_claim(talk: Conversation) -> None:
    """Nothing but the file is left of the first run."""
    first = talk.message("/claim 7KQM-2X9D")
    await dispatch(RULES, first, await talk.context(first))
    talk.store.members.forget_cache()
    assert await talk.hear(first) == talk.texts("operator.claim_ok")
    assert not await talk.codes.unused()
    assert len(await talk.store.audit.newest()) == 1
    assert await talk.store.members.has_owner()


async def test_a_wrong_code_that_runs_twice_costs_one_try(talk: Conversation) -> None:
    said = await talk.say("/claim x", crash_first=True)
    assert said == talk.texts("operator.claim_wrong", left=4)
    assert await talk.say("/claim x") == talk.texts("operator.claim_wrong", left=3)


async def test_a_used_code_is_worth_nothing(talk: Conversation) -> None:
    await talk.say("/claim 7KQM-2X9D")
    said = await talk.say("/claim 7KQM-2X9D", who="o_wang")
    assert said == talk.texts("operator.claim_wrong", left=4)


async def test_five_wrong_codes_lock_for_a_day_even_against_the_right_one(
    talk: Conversation,
) -> None:
    for left in (4, 3, 2, 1):
        assert await talk.say("/claim x") == talk.texts("operator.claim_wrong", left=left)
    locked = talk.texts("operator.claim_locked", hours=24)
    assert await talk.say("/claim x") == locked
    assert await talk.say("/claim 7KQM-2X9D") == locked
    assert await talk.codes.unused()
    assert await talk.say("/claim x", who="o_wang") == talk.texts("operator.claim_wrong", left=4)
    talk.later(hours=24, seconds=1)
    assert await talk.say("/claim 7KQM-2X9D") == talk.texts("operator.claim_ok")


async def test_a_claim_without_a_code_costs_no_try(talk: Conversation) -> None:
    for _ in range(6):
        assert await talk.say("/claim") == talk.texts("operator.claim_usage")
    assert await talk.say("/claim 7KQM-2X9D") == talk.texts("operator.claim_ok")
