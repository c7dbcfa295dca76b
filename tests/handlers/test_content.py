"""The catalogue as a list, one item in full, and the search."""

from __future__ import annotations

import pytest

from handlers.content import FOUND, LISTED, containing, tags_of, with_tag
from handlers.message import Reply
from store.catalogue import Chapter, Item, Tier
from store.content import NewFaq
from tests.handlers.conftest import Conversation, day, item


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
        "《写作入门》\n专栏 · 入门 · 林小满\n讲讲写作入门。\n价格：199 元\n"
        f"https://shop.example/write?m={await talk.member()}&s=catalogue&r="
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
    await empty.store.catalogue.put(many, empty.at)
    await empty.reload()
    said = await empty.say("课程")
    assert len(said.encode()) <= 2048
    assert said.endswith(empty.texts("content.list_part", shown=LISTED, count=40))
    assert f"《{many[LISTED - 1].title}》" in await empty.say(str(LISTED))
    said = await empty.say("搜索 挺长的课程")
    assert f"\n{FOUND}. " in said
    assert len(said.encode()) <= 2048


async def test_a_kind_without_a_word_is_just_content(empty: Conversation) -> None:
    await empty.store.catalogue.put([item("x", "神秘", kind="hologram")], empty.at)
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


async def shelf(talk: Conversation, *items: Item) -> None:
    """A catalogue of just these."""
    await talk.store.catalogue.put(items, talk.at)
    await talk.reload()


async def test_an_item_shows_its_tiers_authors_and_chapters(empty: Conversation) -> None:
    full = item(
        "full",
        "全的",
        authors=("苏老师", "陈默"),
        tiers=(Tier("早鸟", 9900), Tier("会员", 0)),
        chapters=(Chapter("1", "开篇"), Chapter("2", "变量")),
    )
    await shelf(empty, full)
    await empty.say("课程")
    assert (await empty.say("1")).split("\n") == [
        "《全的》",
        "课程 · 入门 · 苏老师、陈默",
        "讲讲全的。",
        "价格：199 元",
        "另有：早鸟 99 元 · 会员 免费",
        "共 2 章，回复「目录」看每一章。",
        f"https://shop.example/full?m={await empty.member()}&s=catalogue&r=",
    ]


async def test_an_item_that_an_answer_offered_is_linked_as_one(hesitant: Conversation) -> None:
    await hesitant.store.content.add_faq(NewFaq("Python 怎么装", "去官网下载。"), hesitant.at)
    await hesitant.reload()
    await hesitant.say("Python")
    assert hesitant.handler == "faq.offer"
    await hesitant.say("1")
    assert hesitant.item == "item:py-zero"
    assert "&s=answer&" in hesitant.reply.content


async def test_the_search_reads_the_chapters(empty: Conversation) -> None:
    await shelf(empty, item("a", "甲课", chapters=(Chapter("1", "装饰器与闭包"),)), item("b", "乙"))
    assert "1. 甲课" in await empty.say("搜索 装饰器")


async def test_the_newest_come_first_and_what_has_no_date_is_not_new(empty: Conversation) -> None:
    await shelf(
        empty,
        item("old", "旧的", published_at=day("2024-01-01")),
        item("none", "没日期的", published_at=0.0),
        item("new", "新的", published_at=day("2026-01-01")),
    )
    said = await empty.say("最新")
    assert said.split("\n")[1:] == ["1. 新的（课程，199 元）", "2. 旧的（课程，199 元）"]
    assert empty.handler == "content.latest"
    assert "《旧的》" in await empty.say("2")


@pytest.mark.parametrize(
    "typed",
    [
        "有哪些课",
        "课程有哪些",
        "有什么课？",
        "还有什么课",
        "还有别的课程吗",
        "还有其他课吗",
        "更多课程",
        "看课程",
        "课程介绍",
        "介绍一下课程",
        "我想了解一下课程",
        "你好我想咨询一下你们的课程。",
        "你们都有什么课程呀",
        "课程？",
    ],
)
async def test_the_list_is_asked_for_in_many_words(talk: Conversation, typed: str) -> None:
    assert (await talk.say(typed)).startswith(talk.texts("content.list_head"))


@pytest.mark.parametrize(
    "typed",
    [
        "有什么新课吗",
        "最新课程有哪些",
        "最近有新课吗",
        "有没有新的课程？",
        "新课",
        "新课有哪些",
    ],
)
async def test_the_newest_are_asked_for_in_many_words(talk: Conversation, typed: str) -> None:
    assert (await talk.say(typed)).startswith(talk.texts("content.latest_head"))


@pytest.mark.parametrize(
    "typed",
    [
        "什么时候有新课",
        "有什么课适合我爸",
        "课程会过期吗",
        "看课程的时候卡",
        "有课程表吗",
        "咨询",
    ],
)
async def test_a_question_about_courses_is_no_list(talk: Conversation, typed: str) -> None:
    await talk.say(typed)
    assert talk.handler not in ("content.list", "content.latest")


async def test_nothing_new_is_said_so(empty: Conversation) -> None:
    assert await empty.say("最新") == empty.texts("content.empty")
    assert await empty.say("分类") == empty.texts("content.tags_none")


async def test_tags_are_listed_and_a_number_shows_one(talk: Conversation) -> None:
    said = await talk.say("分类")
    assert "1. Python（2 个）" in said
    assert "2. 编程（1 个）" in said
    said = await talk.say("2", crash_first=True)
    assert said.split("\n")[1] == "1. 零基础学 Python（课程，199 元）"
    assert talk.handler == "content.tag"
    assert "《零基础学 Python》" in await talk.say("1")


@pytest.mark.parametrize("typed", ["分类 python", "标签：Python", "#ＰＹＴＨＯＮ", "＃Python#"])
async def test_a_tag_is_found_whatever_the_spelling(talk: Conversation, typed: str) -> None:
    said = await talk.say(typed)
    assert "1. 零基础学 Python" in said
    assert "2. Python 数据分析" in said
    assert "写作" not in said


async def test_a_tag_nobody_gave_is_said_so(talk: Conversation) -> None:
    said = await talk.say("#" + "潜水" * 50)
    assert said.startswith("没有「潜水")
    assert len(said) < 80


async def test_a_tag_with_a_cover_is_one_card_whose_numbers_pick(empty: Conversation) -> None:
    cover = "https://shop.example/b.jpg"
    await shelf(
        empty,
        item("a", "没封面", tags=("写作",)),
        *(item(f"b{n}", f"第{n}门", tags=("写作",), cover_url=cover) for n in range(9)),
    )
    assert await empty.say("#写作") == "→news"
    (card,) = empty.reply.articles
    assert (card.title, card.picture_url) == ("第0门", cover)
    assert card.url == f"https://shop.example/b0?m={await empty.member()}&s=catalogue&r="
    lines = card.description.split("\n")
    assert lines[:3] == [
        empty.texts("content.tag_card", tag="写作", count=10),
        "1. 第0门（课程，199 元）",
        "2. 没封面（课程，199 元）",
    ]
    assert len(lines) == 1 + FOUND
    assert "《没封面》" in await empty.say("2")
    assert "第8门" in await empty.say("还有吗")


def test_tags_are_counted_once_an_item_and_keep_their_first_spelling() -> None:
    items = [item("a", "甲", tags=("AI", "ai")), item("b", "乙", tags=("Ａｉ", "写作"))]
    assert tags_of(items) == [("AI", 2), ("写作", 1)]
    assert tags_of([]) == []
    assert with_tag([("item:b", items[1])], "AI") == ["item:b"]
