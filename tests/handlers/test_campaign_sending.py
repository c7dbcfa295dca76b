"""确认: the four signs as people type them, and what the word alone means."""

from __future__ import annotations

import re

import pytest

from store.campaigns import Campaign
from tests.handlers.campaigning import Campaigning
from tests.handlers.conftest import Conversation

BOSS, ANA = "o_boss", "o_ana"
FORM = "开课通知\n对象：active 30d\n对照：无\n文字：明天开课\n回复「退订」不再收到"


@pytest.fixture
async def boss(talk: Conversation) -> Conversation:
    scene = Campaigning(talk)
    await talk.promote(BOSS)
    await talk.promote(ANA, "analyst")
    await scene.fans("o_fan1", "o_fan2")
    return talk


async def one(talk: Conversation) -> Campaign:
    found = await talk.store.campaigns.get(1)
    assert found is not None
    return found


async def make(talk: Conversation) -> str:
    """Makes campaign 1 and says the code of its preview."""
    return code_in(await talk.say(f"/campaign new {FORM}", BOSS))


def code_in(said: str) -> str:
    found = re.search(r"「确认 ([0-9A-Z]{4})」", said)
    return found[1] if found else ""


async def test_another_operator_hears_that_each_has_a_code(boss: Conversation) -> None:
    assert not (await boss.say("确认 XAY5", BOSS)).startswith("确认码"), "no campaign, no code"
    code = await make(boss)
    await boss.promote("o_second")
    said = await boss.say(f"确认 {code}", "o_second")
    assert said == boss.texts("campaign_new.code_wrong", campaign=1)
    assert await boss.say(f"确认 {code}", ANA) == boss.texts("operator.read_only")
    assert await boss.say(f"确认 {code}") == boss.texts("operator.confirm_nothing")
    assert await boss.store.content.gaps(10) == []
    assert (await one(boss)).status == "draft"


@pytest.mark.parametrize(
    "typed", ["确认 {}", "确认「{}」", "「确认 {}」", "确认{}。", "确认 {} ！", "确认：{}"]
)
async def test_the_code_as_it_was_shown(boss: Conversation, typed: str) -> None:
    code = await make(boss)
    said = await boss.say(typed.format(code), BOSS)
    assert said == boss.texts("campaign.confirmed_now", campaign=1, count="2")


@pytest.mark.parametrize("typed", ["确认 GZY", "确认 GZYBA", "确认 gzyba2"])
async def test_a_code_mistyped_is_told(boss: Conversation, typed: str) -> None:
    await make(boss)
    assert "确认码不对" in await boss.say(typed, BOSS)


@pytest.mark.parametrize("mark", ["？", " ？", "?", " ❓"])
async def test_a_question_sends_nothing(boss: Conversation, mark: str) -> None:
    code = await make(boss)
    said = await boss.say(f"确认 {code}{mark}", BOSS)
    assert said == boss.texts("campaign_new.confirm_asked", code=code)
    said = await boss.say(f"/campaign confirm 1 {code}{mark}", BOSS)
    assert said == boss.texts("campaign.confirm_usage", campaign=1)
    assert (await one(boss)).status == "draft"


@pytest.mark.parametrize("typed", ["确认", "确认发送", "「确认」", "确认 强制"])
async def test_确认_alone_under_a_preview_asks_for_the_code(boss: Conversation, typed: str) -> None:
    code = await make(boss)
    wanted = boss.texts("campaign_new.confirm_code", campaign=1, code=code)
    assert await boss.say(typed, BOSS) == wanted
    boss.later(hours=1)
    assert await boss.say("确认", BOSS) == boss.texts("operator.confirm_nothing")


async def test_确认_alone_does_not_do_what_was_asked_before_a_preview(boss: Conversation) -> None:
    await make(boss)
    await boss.say("/campaign cancel 1", BOSS)
    boss.later(minutes=1)
    await boss.say("/campaign preview 1", BOSS)
    said = await boss.say("确认", BOSS)
    assert said.endswith(boss.texts("campaign_new.asked_first"))
    assert (await one(boss)).status == "draft"
    await boss.say("/campaign cancel 1", BOSS)
    said = await boss.say("确认", BOSS, crash_first=True)
    assert said == boss.texts("campaign.cancelled", campaign=1)


async def test_确认_of_what_cannot_go_says_where_it_stands(boss: Conversation) -> None:
    assert code_in(await boss.say("/campaign new 开课\n对象：nobody2\n文字：好", BOSS)) == ""
    await boss.say("/campaign new 开课\n对象：active 30d\n文字：好 {{ pionts }} 退订", BOSS)
    said = await boss.say("确认", BOSS)
    assert said == boss.texts("campaign_new.confirm_not_yet", campaign=1)
