"""Subscribing to topics, and leaving them."""

from __future__ import annotations

import pytest

from handlers.context import Business
from tests.handlers.conftest import Conversation


async def test_the_list_marks_what_is_mine(talk: Conversation) -> None:
    await talk.say("订阅 直播")
    said = await talk.say("订阅")
    assert "· 新课\n· 直播（已订阅）\n· Python\n" in said


@pytest.mark.parametrize(
    "typed", ["订阅 Python", "订阅python", "订阅「Python」", "订阅：ｐｙｔｈｏｎ"]
)
async def test_a_topic_is_meant_whatever_its_spelling(talk: Conversation, typed: str) -> None:
    assert await talk.say(typed) == talk.texts("topics.subscribed", topic="Python")
    assert (talk.handler, talk.item) == ("topics.on", "topic:Python")
    assert await talk.store.content.topics_of(await talk.member()) == ["Python"]


async def test_subscribing_twice_is_said_and_done_once(talk: Conversation) -> None:
    await talk.say("订阅 直播", crash_first=True)
    assert await talk.say("订阅 直播") == talk.texts("topics.already", topic="直播")
    assert await talk.store.content.topics_of(await talk.member()) == ["直播"]


async def test_an_order_that_runs_twice_is_answered_truly(talk: Conversation) -> None:
    assert "已经订阅好了" in await talk.say("订阅 直播", crash_first=True)
    said = await talk.say("退订 直播", crash_first=True)
    assert said == "「直播」现在没有订阅，不会推送给你。"


async def test_a_topic_that_does_not_exist_names_those_that_do(talk: Conversation) -> None:
    said = await talk.say("订阅 {topic}" + "长" * 500)
    assert said.startswith("没有叫「{topic}长")
    assert "· 直播" in said
    assert len(said) < 100
    assert await talk.store.content.topics_of(await talk.member()) == []


async def test_a_question_that_begins_like_an_order_stays_a_question(talk: Conversation) -> None:
    assert "每天发文章" in await talk.say("订阅号是什么")
    await talk.say("退订会退钱给我吗")
    assert talk.handler.startswith("faq")


async def test_leaving_one_topic(talk: Conversation) -> None:
    await talk.say("订阅 直播")
    assert await talk.say("退订 直播") == talk.texts("topics.unsubscribed", topic="直播")
    assert await talk.say("退订 直播") == talk.texts("topics.not_subscribed", topic="直播")
    assert "没有叫「钓鱼」" in await talk.say("取消订阅 钓鱼")


async def test_leaving_all_topics(talk: Conversation) -> None:
    await talk.say("订阅 直播")
    await talk.say("订阅 新课")
    assert await talk.say("退订") == talk.texts("topics.unsubscribed_all", count=2)
    assert await talk.say("退订") == talk.texts("topics.not_subscribed_any")


async def test_a_topic_no_longer_offered_can_still_be_left(talk: Conversation) -> None:
    await talk.say("订阅 直播")
    talk.business = Business("知行社", ("新课",))
    assert await talk.say("退订 直播") == talk.texts("topics.unsubscribed", topic="直播")


async def test_my_own_topics(talk: Conversation) -> None:
    assert await talk.say("我的订阅") == talk.texts("topics.not_subscribed_any")
    await talk.say("订阅 新课")
    assert "· 新课\n" in await talk.say("我的订阅")


async def test_a_business_without_topics_says_so(talk: Conversation) -> None:
    talk.business = Business("知行社")
    for typed in ("订阅", "订阅 直播", "退订 直播"):
        assert await talk.say(typed) == talk.texts("topics.none")


@pytest.mark.parametrize("typed", ["退订？", "退订全部?", "退订 直播？"])
async def test_a_question_unsubscribes_from_nothing(talk: Conversation, typed: str) -> None:
    await talk.say("订阅 直播")
    await talk.say(typed)
    assert await talk.store.content.topics_of(await talk.member()) == ["直播"]
    await talk.say("退订。")
    assert await talk.store.content.topics_of(await talk.member()) == []
