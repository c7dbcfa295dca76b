"""Commands that change something: asked first, done once, written down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from handlers import RULES
from handlers.changes import number_from
from handlers.router import dispatch
from store import Store
from tests.blank import blank
from tests.handlers.conftest import CHANNEL, Conversation

BOSS = "o_boss"


@pytest.fixture
async def boss(talk: Conversation) -> Conversation:
    """An operator is there."""
    await talk.promote(BOSS)
    return talk


@pytest.fixture
async def owner(talk: Conversation) -> Conversation:
    """The operator is owner."""
    await talk.promote(BOSS, "owner")
    return talk


async def audit(talk: Conversation) -> list[tuple[str, str]]:
    return [(row.action, row.target) for row in await talk.store.audit.newest()]


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), ("#12", 12), ("１２", 12), ("", None), ("x", None), ("-1", None), ("٣", None)],
)
def test_numbers_as_typed(text: str, number: int | None) -> None:
    assert number_from(text) == number
    assert number_from("9" * 16) is None


async def test_deleting_asks_first(boss: Conversation) -> None:
    said = await boss.say("/faq del 1", BOSS)
    assert said.startswith("要删除第 1 条问答：怎么退款\n回复「确认」执行")
    assert (await boss.say("怎么退款")).startswith("七天内")
    said = await boss.say("确认", BOSS)
    assert said == boss.texts("operator.faq_deleted", id=1, question="怎么退款")
    assert boss.handler == "operator.faq.del"
    assert not (await boss.say("怎么退款")).startswith("七天内")
    assert await audit(boss) == [("faq.del", "faq:1")]
    assert await boss.say("确认", BOSS) == boss.texts("operator.confirm_nothing")


async def test_a_confirmation_that_runs_twice_acts_once(boss: Conversation) -> None:
    await boss.say("/faq del 1", BOSS)
    said = await boss.say("确认", BOSS, crash_first=True)
    assert said == boss.texts("operator.faq_deleted", id=1, question="怎么退款")
    assert await audit(boss) == [("faq.del", "faq:1")]


@pytest.mark.parametrize("word", ["退出", "取消"])
async def test_one_may_think_better_of_it(boss: Conversation, word: str) -> None:
    await boss.say("/faq del 1", BOSS)
    assert await boss.say(word, BOSS) == boss.texts("common.cancelled")
    assert await boss.say("确认", BOSS) == boss.texts("operator.confirm_nothing")
    assert len(await boss.store.content.faqs()) == 6


async def test_a_confirmation_comes_too_late_after_ten_minutes(boss: Conversation) -> None:
    await boss.say("/faq del 1", BOSS)
    boss.later(minutes=10)
    assert await boss.say("确认", BOSS) == boss.texts("operator.confirm_nothing")


async def test_only_the_one_who_was_asked_confirms(boss: Conversation) -> None:
    await boss.promote("o_second")
    await boss.say("/faq del 1", BOSS)
    assert await boss.say("确认", "o_second") == boss.texts("operator.confirm_nothing")
    assert await boss.say("确认", "o_lin") == boss.texts("operator.confirm_nothing")
    assert len(await boss.store.content.faqs()) == 6


async def test_the_menu_goes_out_after_a_confirmation(boss: Conversation) -> None:
    assert (await boss.say("/menu PUSH", BOSS)).startswith(boss.texts("operator.menu_ask"))
    assert boss.wechat.pushed == 0
    assert await boss.say("确认", BOSS) == boss.texts("operator.menu_pushed", count=2)
    assert boss.wechat.pushed == 1
    assert await audit(boss) == [("menu.push", CHANNEL)]


async def test_a_menu_that_wechat_refuses_says_why(boss: Conversation) -> None:
    boss.wechat.refusal = "40018：按钮名太长"
    await boss.say("/menu push", BOSS)
    said = await boss.say("确认", BOSS)
    assert said == boss.texts("operator.menu_failed", reason="40018：按钮名太长")
    assert await audit(boss) == []


async def test_no_menu_in_the_configuration(boss: Conversation) -> None:
    boss.wechat.buttons = 0
    await boss.say("/menu push", BOSS)
    assert await boss.say("确认", BOSS) == boss.texts("operator.menu_none")
    assert await boss.say("/menu", BOSS) == boss.texts("operator.menu_usage")


@pytest.mark.parametrize(
    ("typed", "role"),
    [("operator", "operator"), ("运营", "operator"), ("OWNER", "owner"), ("所有者", "owner")],
)
async def test_an_owner_gives_a_role(owner: Conversation, typed: str, role: str) -> None:
    number = await owner.member()
    said = await owner.say(f"/role {number} {typed}", BOSS)
    assert said.startswith(f"要把成员 {number} 的角色从「成员」改成")
    await owner.say("确认", BOSS, crash_first=True)
    card = await owner.store.members.card(number)
    assert card is not None
    assert card.role == role
    assert await audit(owner) == [("role", f"member:{number}")]
    assert await owner.say("/help") == owner.texts("help.operator")


async def test_a_role_taken_away_counts_at_once(owner: Conversation) -> None:
    number = await owner.promote("o_lin")
    assert await owner.say("/help") == owner.texts("help.operator")
    await owner.say(f"/role {number} member", BOSS)
    await owner.say("确认", BOSS)
    assert await owner.say("/help") == owner.texts("operator.not_allowed")


async def test_an_operator_gives_no_roles(boss: Conversation) -> None:
    number = await boss.member()
    said = await boss.say(f"/role {number} operator", BOSS)
    assert said == boss.texts("operator.owner_only")


async def test_the_last_owner_stays(owner: Conversation) -> None:
    number = await owner.member(BOSS)
    said = await owner.say(f"/role {number} member", BOSS)
    assert said == owner.texts("operator.role_self")
    second = await owner.promote("o_second", "owner")
    await owner.say(f"/role {number} operator", "o_second")
    await owner.say("确认", "o_second")
    assert await owner.store.members.has_owner()
    assert (await owner.say(f"/role {second} member", BOSS)) == owner.texts("operator.owner_only")


async def test_an_owner_demoted_before_confirming_changes_nothing(owner: Conversation) -> None:
    me, second = await owner.member(BOSS), await owner.promote("o_second", "owner")
    await owner.say(f"/role {second} member", BOSS)
    await owner.say(f"/role {me} operator", "o_second")
    await owner.say("确认", "o_second")
    assert await owner.say("确认", BOSS) == owner.texts("operator.owner_only")
    card = await owner.store.members.card(second)
    assert card is not None
    assert card.role == "owner"


async def test_two_owners_who_demote_each_other_at_once_leave_one(owner: Conversation) -> None:
    me, second = await owner.member(BOSS), await owner.promote("o_second", "owner")
    await owner.say(f"/role {second} member", BOSS)
    await owner.say(f"/role {me} member", "o_second")
    both = [owner.message("确认", who) for who in (BOSS, "o_second")]
    contexts = [await owner.context(message) for message in both]
    await asyncio.gather(*(dispatch(RULES, m, c) for m, c in zip(both, contexts, strict=True)))
    assert await owner.store.members.has_owner()


async def test_an_owner_named_in_the_configuration_stays_one(
    owner: Conversation, tmp_path: Path
) -> None:
    await owner.store.close()
    store = owner.store = Store(blank(tmp_path / "z.db"), readers=1, owners=[(CHANNEL, "o_fixed")])
    await store.open()
    number = await owner.member("o_fixed")
    await owner.say(f"/role {number} member", BOSS)
    assert await owner.say("确认", BOSS) == owner.texts("operator.role_fixed", member=number)
    assert await owner.say("/help", "o_fixed") == owner.texts("help.operator")
    await store.close()


@pytest.mark.parametrize("typed", ["/role", "/role 1", "/role x owner", "/role 1 owner now"])
async def test_half_a_role_command_gets_the_usage(owner: Conversation, typed: str) -> None:
    assert (await owner.say(typed, BOSS)).startswith("用法：「/role 编号 角色」")


async def test_odd_roles_and_members(owner: Conversation) -> None:
    number = await owner.member()
    assert (await owner.say(f"/role {number} king", BOSS)).startswith("没有「king」这个角色")
    assert await owner.say("/role 999 owner", BOSS) == owner.texts("operator.who_not_found")
    said = await owner.say(f"/role {number} member", BOSS)
    assert said == owner.texts("operator.role_same", member=number, role="成员")


async def test_a_member_erased_before_the_confirmation(owner: Conversation) -> None:
    number = await owner.member()
    await owner.say(f"/role {number} operator", BOSS)
    await owner.store.members.erase(number, 0.0)
    assert await owner.say("确认", BOSS) == owner.texts("operator.who_not_found")


@pytest.mark.parametrize("typed", ["确认？", "确认?", "确认❓"])
async def test_a_question_executes_nothing(boss: Conversation, typed: str) -> None:
    assert await boss.say(typed, BOSS) == boss.texts("operator.confirm_nothing")
    await boss.say("/menu push", BOSS)
    assert await boss.say(typed, BOSS) == boss.texts("operator.confirm_hint", minutes=10)
    assert boss.wechat.pushed == 0
    assert await boss.say("确认。", BOSS) == boss.texts("operator.menu_pushed", count=2)


async def test_a_members_confirmation_of_nothing_is_no_gap(talk: Conversation) -> None:
    assert await talk.say("确认") == talk.texts("operator.confirm_nothing")
    assert await talk.store.content.gaps() == []
