"""别分析我: in private, and back."""

from __future__ import annotations

import pytest

from handlers import KEYWORD_RULES, consent
from handlers.group_dialogue import is_private
from handlers.router import folded
from store.consents import PROFILING
from tests.handlers.conftest import Conversation


async def stands(talk: Conversation, who: str = "o_lin") -> bool | None:
    """What they decided; None for nothing."""
    decided = await talk.store.consents.of(await talk.member(who))
    return decided[0].granted if decided else None


@pytest.mark.parametrize(
    "typed",
    [
        *("别分析我", "不要分析我了", "请不要再分析我", "停止分析我吧", "我不想被分析"),
        *("别分析我的聊天", "不同意分析我", "别给我做画像", "你们别分析我的行为了。"),
        *("撤回同意", "我要撤回授权", "取消授权", "关闭分析", "停止分析", "別分析我"),
        *("不要分析我", "請不要再分析我", "收回我的同意", "撤回对我的分析授权", "能不能别分析我"),
    ],
)
async def test_who_says_so_is_not_profiled(talk: Conversation, typed: str) -> None:
    assert await talk.say(typed) == talk.texts("consent.off")
    assert talk.handler == "consent.off"
    assert await stands(talk) is False


@pytest.mark.parametrize("typed", ["可以分析我", "可以分析我了", "恢复分析我吧", "我同意被分析"])
async def test_who_takes_it_back_is_profiled_again(talk: Conversation, typed: str) -> None:
    await talk.say("别分析我")
    assert await talk.say(typed) == talk.texts("consent.on")
    assert await stands(talk) is True


@pytest.mark.parametrize("typed", ["别分析我？", "可以分析我?", "停止分析我❓"])
async def test_a_question_changes_nothing(talk: Conversation, typed: str) -> None:
    assert await talk.say(typed) == talk.texts("consent.about")
    assert await stands(talk) is None


@pytest.mark.parametrize(
    "typed",
    ["分析我", "可以分析数据吗", "别分析了", "数据分析", "我的授权书怎么下载", "别分析我们公司"],
)
async def test_other_analyses_are_not_meant(talk: Conversation, typed: str) -> None:
    await talk.say(typed)
    assert not talk.handler.startswith("consent")
    assert await stands(talk) is None


async def test_one_can_ask_what_one_decided(talk: Conversation) -> None:
    assert await talk.say("我的授权") == talk.texts("consent.undecided")
    talk.store.consents.under("2026-11", opt_in=True)
    assert await talk.say("我的授权") == talk.texts("consent.undecided_off")
    await talk.say("别分析我")
    day = {"day": "2026-11-21", "notice": "2026-11"}
    assert await talk.say("我的授权") == talk.texts("consent.refused", **day)
    await talk.say("可以分析我")
    assert await talk.say("授权情况") == talk.texts("consent.granted", **day)


async def test_my_data_says_whether_one_is_profiled(talk: Conversation) -> None:
    assert talk.texts("consent.data_on") in await talk.say("我的数据")
    await talk.say("别分析我")
    assert talk.texts("consent.data_off") in await talk.say("我的数据")


async def test_being_forgotten_keeps_the_wish_and_says_so(talk: Conversation) -> None:
    await talk.say("别分析我")
    assert "别分析我" in await talk.say("忘记我")
    assert "「别分析我」仍然有效" in await talk.say("确认忘记")
    assert await talk.say("我的授权") == talk.texts("consent.kept")
    assert await stands(talk) is False


async def test_who_agreed_is_not_told_of_a_wish_they_do_not_have(talk: Conversation) -> None:
    await talk.say("可以分析我")
    await talk.say("忘记我")
    assert await talk.say("确认忘记") == talk.texts("privacy.forget_done")


async def test_the_same_message_twice_is_one_decision(talk: Conversation) -> None:
    await talk.say("别分析我", crash_first=True)
    assert [one.purpose for one in await talk.store.consents.of(await talk.member())] == [PROFILING]


async def test_an_operator_is_a_member_too(talk: Conversation) -> None:
    await talk.promote("o_lin")
    assert await talk.say("别分析我") == talk.texts("consent.off")


async def test_it_is_a_private_matter(talk: Conversation) -> None:
    assert {rule.where for rule in consent.router.rules} == {"private"}
    assert is_private(talk.message("我的授权"), await talk.context(talk.message("我的授权")))
    assert not KEYWORD_RULES.take(folded("别分析我"))
