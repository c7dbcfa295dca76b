"""The catalogue as a list, one item in full, and the search."""

from __future__ import annotations

import pytest

from handlers.content import FOUND, LISTED, containing
from handlers.message import Reply
from tests.handlers.conftest import Conversation, item


async def test_the_list_keeps_its_order_and_shows_kind_and_price(talk: Conversation) -> None:
    said = (await talk.say("课程")).split("\n")
    assert said[1] == "1. 零基础学 Python（课程，199 元）"
    assert said[2] == "2. 写作入门（专栏，199 元）"
    assert "4. Python 数据分析（课程，299.90 元）" in said
    assert "3. 十二周计划（直播，免费）" in said
    assert said[-1] == talk.texts("content.list_tail")


async def test_one_item_in_full(talk: Conversation) -> None:
    await talk.say("课程")
    assert await talk.say("2") == (
        "《写作入门》\n专栏 · 入门 · 林小满\n讲讲写作入门。\n价格：199 元\nhttps://shop.example/write"
    )
    assert (talk.handler, talk.item) == ("content", "item:write")


async def test_an_item_with_little_to_say_leaves_no_holes(talk: Conversation) -> None:
    await talk.say("课程")
    assert await talk.say("3") == "《十二周计划》\n直播 · 苏老师\n价格：免费"


async def test_an_empty_catalogue_says_so(empty: Conversation) -> None:
    assert await empty.say("课程") == empty.texts("content.empty")
    said = await empty.say("搜索 Python")
    assert said == empty.texts("content.search_none", query="Python")


async def test_a_long_catalogue_is_cut_to_one_message(empty: Conversation) -> None:
    many = [item(f"i{n:02}", f"第 {n} 门：一个挺长的课程名字，说清楚讲什么") for n in range(40)]
    await empty.store.content.put_items(many, empty.at)
    await empty.reload()
    said = await empty.say("课程")
    assert len(said.encode()) <= 2048
    assert said.endswith(empty.texts("content.list_part", shown=LISTED, count=40))
    assert f"《{many[LISTED - 1].title}》" in await empty.say(str(LISTED))
    said = await empty.say("搜索 挺长的课程")
    assert f"\n{FOUND}. " in said
    assert len(said.encode()) <= 2048


async def test_a_kind_without_a_word_is_just_content(empty: Conversation) -> None:
    await empty.store.content.put_items([item("x", "神秘", kind="hologram")], empty.at)
    await empty.reload()
    assert "神秘（内容，199 元）" in await empty.say("课程")


@pytest.mark.parametrize(
    "typed", ["搜索 python", "搜索Python", "搜索：Python", "课程 ｐｙｔｈｏｎ"]
)
async def test_a_search_finds_by_title_whatever_the_spelling(
    talk: Conversation, typed: str
) -> None:
    said = await talk.say(typed)
    assert "零基础学 Python" in said
    assert "Python 数据分析" in said
    assert "写作入门" not in said
    assert talk.handler == "content.search"


async def test_a_search_finds_by_teacher(talk: Conversation) -> None:
    said = await talk.say("搜索 林小满")
    assert "1. 写作入门（专栏，199 元）" in said
    assert "写作入门" in await talk.say("1")


async def test_a_search_without_items_offers_questions(talk: Conversation) -> None:
    said = await talk.say("搜索 怎么退款")
    assert "问：怎么退款" in said
    assert (await talk.say("1")).startswith("七天内可以全额退款。")


async def test_a_search_for_nothing_says_how(talk: Conversation) -> None:
    assert await talk.say("搜索") == talk.texts("content.search_usage")


async def test_a_search_that_finds_nothing_repeats_the_words_shortened(talk: Conversation) -> None:
    said = await talk.say("搜索 龘" + "靐" * 9_000)
    assert said.startswith("没有找到和「龘靐")
    assert len(said) < 120
    said = await talk.say("搜索 {title} ]]> %s")
    assert "「{title} ]]> %s」" in said


async def test_a_question_that_begins_like_a_search_stays_a_question(talk: Conversation) -> None:
    assert (await talk.say("搜索不到课程怎么办")).startswith("换个词")
    assert talk.handler == "faq"
    assert talk.reply != Reply.none()


def test_titles_come_before_summaries_and_nothing_finds_nothing() -> None:
    items = {
        "item:a": item("a", "理财", summary="也讲写作"),
        "item:b": item("b", "写作"),
        "item:c": item("c", "沟通", tags=("写作",)),
    }
    assert containing(items.items(), "写作") == (["item:b", "item:c"], ["item:a"])
    assert containing(items.items(), "") == ([], [])
