"""Analysts: they see the numbers, and change nothing."""

from __future__ import annotations

import pytest

from handlers.operators import COMMANDS
from tests.handlers.conftest import Conversation

ANA = "o_ana"
BOSS = "o_boss"

FOR_ANALYSTS = sorted(name for name, one in COMMANDS.items() if one.analyst)
NOT_FOR_ANALYSTS = sorted(
    name for name, one in COMMANDS.items() if not one.analyst and not one.open
)


@pytest.fixture
async def ana(talk: Conversation) -> Conversation:
    await talk.promote(ANA, "analyst")
    return talk


async def test_what_changes_the_business_is_closed_to_them(ana: Conversation) -> None:
    assert "teach" in NOT_FOR_ANALYSTS
    for name in NOT_FOR_ANALYSTS:
        for rest in ("", " add 问 | 答", " 1 owner"):
            assert await ana.say(f"/{name}{rest}", ANA) == ana.texts("operator.not_allowed"), name


async def test_what_they_may_use_stands_in_their_help(ana: Conversation) -> None:
    said = await ana.say("/help", ANA)
    assert {name for name in FOR_ANALYSTS if f"/{name}" not in said} == set()


async def test_they_read_the_numbers(ana: Conversation) -> None:
    for name in ("stats", "funnel"):
        said = await ana.say(f"/{name}", ANA)
        assert said != ana.texts("operator.not_allowed")
        assert ana.handler == f"operator.{name}"


async def test_a_member_sees_no_difference_between_the_commands(ana: Conversation) -> None:
    assert {await ana.say(f"/{name}") for name in FOR_ANALYSTS} == {
        ana.texts("operator.not_allowed")
    }


async def test_a_command_without_its_slash_is_named_to_who_may_use_it(ana: Conversation) -> None:
    assert await ana.say("stats", ANA) == ana.texts("operator.needs_slash", command="/stats")
    assert await ana.say("tier", ANA) != ana.texts("operator.needs_slash", command="/tier")


@pytest.mark.parametrize("typed", ["analyst", "分析员", "ANALYST"])
async def test_an_owner_makes_an_analyst(talk: Conversation, typed: str) -> None:
    await talk.promote(BOSS, "owner")
    number = await talk.member()
    await talk.say(f"/role {number} {typed}", BOSS)
    await talk.say("确认", BOSS, crash_first=True)
    assert await talk.say("/help") == talk.texts("help.analyst")
    assert await talk.say("确认") == talk.texts("operator.confirm_nothing")


async def test_an_analyst_is_told_that_forgetting_takes_the_role(ana: Conversation) -> None:
    assert "分析员" in await ana.say("我的数据", ANA)
