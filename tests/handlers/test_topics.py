"""Subscribing to topics, and leaving them."""

from __future__ import annotations

import pytest

from handlers.context import Business
from store.content import NewFaq
from tests.handlers.conftest import Conversation


async def opted_out(talk: Conversation) -> list[str]:
    """Topics the member wants nothing of; "" for everything."""
    return await talk.store.optouts.of(await talk.member())


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
    assert await talk.say("退订") == talk.texts("topics.off_already")
    assert await talk.say("我的订阅") == talk.texts("topics.off_already")
    assert await opted_out(talk) == [""]


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
    assert await opted_out(talk) == [""]


# To be left alone


@pytest.mark.parametrize(
    "typed",
    [
        "退订",
        "退订。",
        "TD",
        "td",
        "Ｔ",
        "t",
        "取消订阅",
        "退订全部",
        "unsubscribe",
        "拒收",
        "停止推送",
        "不要再发了",
        "别再给我发消息",
        "别再给我发消息了！",
        "别发广告了",
        "请不要再给我推送广告",
        "你们别老发这些垃圾广告了好吗？",
        "麻烦以后别发了谢谢",
        "别总给我推送",
        "不要发消息给我",
        "不想再收到你们的广告",
        "不想收到任何推送了",
        "帮我退订",
        "麻烦退订一下",
        "退订谢谢",
        "请帮我退订，谢谢",
        "「退订」",
        "【退订】",
        "回复退订",
        "回复「退订」",
        "退訂",
        "拒收消息",
        "stop",
        "请不要再打扰我",
        "烦死了别发了",
    ],
)
async def test_no_more_is_understood_in_many_words(talk: Conversation, typed: str) -> None:
    assert "不再群发消息给你" in await talk.say(typed)
    assert talk.handler == "topics.off"
    assert await opted_out(talk) == [""]


@pytest.mark.parametrize(
    "typed",
    [
        "怎么退订",
        "退订会退钱给我吗",
        "为什么老是给我发消息",
        "不要再发了吗？",
        "别再给我发消息会怎样？",
        "不发货怎么办",
        "不要发货了",
        "别发愁",
        "别发",
        "我不想发消息",
        "不想收到作业",
        "别推荐这个了",
        "T恤多少钱",
        "TDD 是什么",
        "不要再发新的作业了",
        "别再说了",
        "不看视频了",
        "我要退",
        "stop loss 是什么",
        "取消推送的课怎么看",
        "停止推送之后还能看课吗",
    ],
)
async def test_what_only_sounds_like_it_leaves_everything_as_it_was(
    talk: Conversation, typed: str
) -> None:
    await talk.say("订阅 直播")
    await talk.say(typed)
    assert not talk.handler.startswith("topics.o")
    assert await opted_out(talk) == []
    assert await talk.store.content.topics_of(await talk.member()) == ["直播"]


@pytest.mark.parametrize(
    "typed",
    [
        "退订 新课",
        "退订「新课」",
        "取消订阅新课",
        "TD 新课",
        "td：新课",
        "别再发新课了",
        "不看新课了",
        "不要给我推送新课的消息",
        "别发新课的通知了好吗",
    ],
)
async def test_one_topic_is_left_in_many_words(talk: Conversation, typed: str) -> None:
    assert await talk.say(typed) == talk.texts("topics.unsubscribed", topic="新课")
    assert await opted_out(talk) == ["新课"]
    assert "· 新课（已退订）\n" in await talk.say("订阅")


@pytest.mark.parametrize("typed", ["订阅", "重新订阅", "恢复推送", "恢复订阅", "我要订阅"])
async def test_who_left_everything_comes_back(talk: Conversation, typed: str) -> None:
    await talk.say("退订 直播")
    await talk.say("退订")
    assert await talk.say(typed) == talk.texts("topics.back")
    assert await opted_out(talk) == ["直播"], "what was left by its name stays left"


async def test_coming_back_to_topics_that_were_left_one_by_one(talk: Conversation) -> None:
    await talk.say("退订 直播")
    await talk.say("退订 新课")
    assert await talk.say("订阅 直播") == talk.texts("topics.subscribed", topic="直播")
    assert await opted_out(talk) == ["新课"]
    assert await talk.say("恢复推送") == talk.texts("topics.back")
    assert await opted_out(talk) == []
    assert await talk.say("恢复推送") == talk.texts("topics.not_left")


async def test_one_topic_may_be_wanted_after_everything_was_left(talk: Conversation) -> None:
    await talk.say("退订")
    assert await talk.say("重新订阅 Python") == talk.texts("topics.subscribed", topic="Python")
    assert await opted_out(talk) == [""]
    number = await talk.member()
    refusing = talk.store.optouts.refusing
    assert [await refusing([number], topic) for topic in ("Python", "新课", "")] == [
        set(),
        {number},
        {number},
    ]


async def test_a_question_brings_nothing_back(talk: Conversation) -> None:
    await talk.say("退订")
    for typed in ("订阅？", "恢复推送?", "话题", "重新订阅吗", "订阅号是什么"):
        await talk.say(typed)
    assert await opted_out(talk) == [""]


async def test_leaving_works_without_topics_and_by_a_click(talk: Conversation) -> None:
    talk.business = Business("知行社")
    assert await talk.happen("click", "退订") == talk.texts("topics.off_all")
    assert await talk.say("退订", crash_first=True) == talk.texts("topics.off_already")
    assert await talk.say("订阅") == talk.texts("topics.back")


# How it is done


@pytest.mark.parametrize(
    "typed",
    [
        "取消关注",
        "我要取消关注了",
        "怎么退订",
        "如何退订？",
        "能退订吗",
        "可以退订吗",
        "怎么取消订阅",
        "怎么取消推送",
    ],
)
async def test_who_asks_how_to_leave_is_told_and_has_not_left(
    talk: Conversation, typed: str
) -> None:
    assert await talk.say(typed) == talk.texts("about.opt_out")
    assert await opted_out(talk) == []


async def test_who_left_and_asks_is_told_so(talk: Conversation) -> None:
    await talk.say("退订")
    for typed in ("我退订了吗", "退订会怎样", "怎么退订"):
        assert await talk.say(typed) == talk.texts("about.opt_out_done"), typed


async def test_an_entry_on_it_in_the_faq_goes_first(talk: Conversation) -> None:
    await talk.store.content.add_faq(NewFaq("怎么退订", "在课程页点取消。"), talk.at)
    await talk.reload()
    assert "课程页" in await talk.say("怎么退订")
