"""Follow-ups: what a bare question, an ordinal or 还有吗 mean after something was shown."""

from __future__ import annotations

import pytest

from handlers.followups import alike, asked, place_in
from store.catalogue import Chapter, Tier
from store.content import NewFaq
from tests.handlers.conftest import Conversation, day, item

CHAPTERS = (Chapter("1", "开篇"), Chapter("2", "变量"))


@pytest.fixture
async def shop(talk: Conversation) -> Conversation:
    """Two Python courses, one of them with chapters and a tier, and what else `talk` has."""
    await talk.store.catalogue.put(
        [
            item(
                "py-zero",
                "零基础学 Python",
                tags=("Python", "编程"),
                tiers=(Tier("早鸟", 9900),),
                chapters=CHAPTERS,
                published_at=day("2025-03-05"),
            )
        ],
        talk.at,
    )
    await talk.reload()
    return talk


async def show(talk: Conversation, title: str) -> None:
    """The item of this title, picked from a search."""
    await talk.say(f"搜索 {title}")
    assert f"《{title}》" in await talk.say("1")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("多少钱", ("price", "", "", False)),
        ("请问多少钱呢？", ("price", "", "", False)),
        ("价格", ("price", "", "", False)),
        ("怎么卖", ("price", "", "", False)),
        ("这个多少钱", ("price", "", "", True)),
        ("它贵吗", ("price", "", "", True)),
        ("第二个多少钱", ("price", "第二", "", False)),
        ("最后一门怎么报名", ("enrol", "最后一", "", False)),
        ("怎么报名", ("enrol", "", "", False)),
        ("在哪买", ("enrol", "", "", False)),
        ("链接", ("enrol", "", "", False)),
        ("有哪些章节", ("chapters", "", "", False)),
        ("大纲", ("chapters", "", "", False)),
        ("这门课讲什么", ("chapters", "", "", True)),
        ("谁讲的", ("teacher", "", "", False)),
        ("那门课的老师是谁", ("teacher", "", "", True)),
        ("适合我吗", ("level", "", "", False)),
        ("难吗", ("level", "", "", False)),
        ("需要什么基础", ("level", "", "", False)),
        ("Python 课多少钱", ("price", "", "python", False)),
        ("写作入门的目录", ("chapters", "", "写作入门", False)),
        ("还有早鸟价吗", ("price", "", "", False)),
        ("早鸟价怎么买", ("price", "", "", False)),
        ("学员价怎么拿", ("price", "", "", False)),
        ("能便宜点吗", ("price", "", "", False)),
        ("打折吗？", ("price", "", "", False)),
        ("价钱", ("price", "", "", False)),
        ("你好，多钱", ("price", "", "", False)),
        ("给个链接", ("enrol", "", "", False)),
        ("链接发我", ("enrol", "", "", False)),
        ("帮我报名", ("enrol", "", "", False)),
        ("3多少钱", ("price", "第3", "", False)),
        ("第三怎么报名", ("enrol", "第三", "", False)),
        ("倒数第二个难吗", ("level", "倒数第二", "", False)),
        ("3门多少钱", ("price", "", "3门", False)),
        ("理财课有早鸟价吗", ("price", "", "理财", False)),
        ("有优惠券吗", None),
        ("怎么退款", None),
        ("搜索 价格", None),
        ("#价格", None),
        ("你好", None),
        ("价" * 5000, None),
    ],
)
def test_what_counts_as_a_question_about_an_item(
    typed: str, found: tuple[str, str, str, bool] | None
) -> None:
    assert asked(typed) == found


def test_an_ordinal_is_a_place() -> None:
    places = ("第2", "第12", "第十", "最后一", "第0", "倒数第2", "倒数第九")
    assert [place_in(one, 5) for one in places] == [
        2,
        12,
        10,
        5,
        0,
        4,
        -3,
    ]


def test_alike_is_what_shares_tags_and_was_not_seen() -> None:
    items = {
        "item:a": item("a", "甲", tags=("写作", "入门")),
        "item:b": item("b", "乙", tags=("写作",)),
        "item:c": item("c", "丙", tags=("写作", "入门")),
        "item:d": item("d", "丁", tags=("理财",)),
    }
    assert alike(items, ["item:a"], []) == ["item:c", "item:b"]
    assert alike(items, ["item:a"], ["item:c"]) == ["item:b"]
    assert alike(items, ["item:gone"], []) == []


async def test_bare_questions_are_about_the_item_told_last(shop: Conversation) -> None:
    await show(shop, "零基础学 Python")
    link = f"https://shop.example/py-zero?m={await shop.member()}&s=catalogue&r="
    assert await shop.say("多少钱？") == f"《零基础学 Python》199 元\n另有：早鸟 99 元\n{link}"
    assert (shop.handler, shop.item) == ("follow.price", "item:py-zero")
    assert (await shop.say("怎么报名")).endswith(link)
    assert "1. 开篇\n2. 变量" in await shop.say("有哪些章节")
    assert "苏老师" in await shop.say("谁讲的")
    assert "「入门」" in await shop.say("难吗")


async def test_what_the_catalogue_does_not_know_is_said_so(shop: Conversation) -> None:
    await shop.store.catalogue.put([item("bare", "神秘课", authors=(), level="", url="")], shop.at)
    await shop.reload()
    await show(shop, "神秘课")
    unknown = shop.texts("follow.unknown", title="神秘课")
    assert await shop.say("谁讲的") == await shop.say("适合我吗") == unknown
    assert await shop.say("怎么买") == shop.texts("follow.enrol_none", title="神秘课")
    assert await shop.say("目录") == shop.texts("follow.chapters_none", title="神秘课")


async def test_without_anything_shown_it_is_an_ordinary_question(shop: Conversation) -> None:
    assert (await shop.say("怎么报名")).startswith("回复「课程」挑一门")
    await shop.say("这个多少钱")
    assert not shop.handler.startswith("follow")
    await shop.say("还有早鸟价吗")
    assert not shop.handler.startswith("follow")


async def test_the_item_is_forgotten_after_ten_minutes_or_on_leaving(shop: Conversation) -> None:
    await show(shop, "写作入门")
    shop.later(minutes=9, seconds=59)
    assert "《写作入门》199 元" in await shop.say("多少钱")
    shop.later(minutes=11)
    await shop.say("多少钱")
    assert not shop.handler.startswith("follow")
    await show(shop, "写作入门")
    await shop.say("退出")
    await shop.say("多少钱")
    assert not shop.handler.startswith("follow")


async def test_what_one_member_saw_is_nothing_to_another(shop: Conversation) -> None:
    await show(shop, "写作入门")
    await shop.say("多少钱", who="o_wang")
    assert not shop.handler.startswith("follow")


async def test_a_question_that_names_another_item_is_about_that_one(shop: Conversation) -> None:
    await show(shop, "写作入门")
    assert "《Python 数据分析》299.90 元" in await shop.say("Python 数据分析多少钱")
    assert "《Python 数据分析》" in await shop.say("谁讲的"), "and from then on so are the others"
    assert "《零基础学 Python》" in await shop.say("零基础学 Python 课程怎么买")


async def test_a_name_needs_nothing_shown_before(shop: Conversation) -> None:
    assert "《写作入门》199 元" in await shop.say("写作入门多少钱")
    assert "《写作入门》" in await shop.say("写作专栏怎么买"), "the kind is no part of the name"
    assert "《写作入门》" in await shop.say("林小满的课难吗")


async def test_a_name_that_fits_several_asks_which_and_the_number_answers(
    shop: Conversation,
) -> None:
    await show(shop, "写作入门")
    said = await shop.say("Python 课多少钱", crash_first=True)
    assert said.split("\n")[0] == shop.texts("follow.which")
    assert shop.handler == "follow.which"
    assert "《Python 数据分析》299.90 元" in await shop.say("2", crash_first=True)
    assert "《Python 数据分析》299.90 元" in await shop.say("Python 课多少钱"), "told just now"


@pytest.mark.parametrize("typed", ["你们的课多少钱", "专栏课程表", "潜水课多少钱", "学多少钱"])
async def test_a_name_of_no_item_goes_on(shop: Conversation, typed: str) -> None:
    await show(shop, "写作入门")
    await shop.say(typed)
    assert not shop.handler.startswith("follow")


async def test_the_faqs_own_words_win_except_over_an_item_just_told(shop: Conversation) -> None:
    for question in ("谁讲的", "课程价格多少", "写作入门多少钱", "怎么卖"):
        await shop.store.content.add_faq(NewFaq(question, f"答：{question}"), shop.at)
    await shop.reload()
    assert (await shop.say("写作入门多少钱")).startswith("答：写作入门多少钱")
    await shop.say("课程")
    assert (await shop.say("怎么卖")).startswith("答：怎么卖"), "a list is no item"
    await shop.say("2")
    assert "《写作入门》" in await shop.say("怎么卖")
    assert (await shop.say("谁讲的")).startswith("答：谁讲的")
    assert "《写作入门》" in await shop.say("它是谁讲的"), "it was pointed at"


async def test_a_list_without_a_pick_asks_which(shop: Conversation) -> None:
    await shop.say("搜索 Python")
    said = await shop.say("多少钱", crash_first=True)
    assert said == shop.texts("follow.which_listed")
    assert "元\nhttps://" in await shop.say("1")
    assert shop.handler == "follow.price"


async def test_a_list_of_one_needs_no_pick(shop: Conversation) -> None:
    await shop.say("搜索 林小满")
    assert "《写作入门》199 元" in await shop.say("多少钱")


async def test_a_list_of_questions_is_not_about_items(hesitant: Conversation) -> None:
    await hesitant.say("怎么退款")
    await hesitant.say("多少钱")
    assert not hesitant.handler.startswith("follow")


@pytest.mark.parametrize(
    "typed",
    [
        "第二个",
        "第2个",
        "看第二门",
        "第二个吧",
        "第二",
        "第2",
        "选2",
        "我选2",
        "我要第二个",
        "我想要第二个",
        "要2",
        "2号",
        "2吧",
        "二吧",
    ],
)
async def test_an_ordinal_picks_like_its_number(shop: Conversation, typed: str) -> None:
    await shop.say("课程")
    assert "《写作入门》" in await shop.say(typed, crash_first=True)


async def test_the_last_one_and_one_too_many(shop: Conversation) -> None:
    await shop.say("课程")
    assert "《Python 数据分析》" in await shop.say("最后一个")
    assert "《十二周计划》" in await shop.say("倒数第二个")
    assert "《Python 数据分析》299.90 元" in await shop.say("最后一个多少钱")
    for typed in ("第九个", "第9个多少钱", "第九个怎么报名", "买第九个", "倒数第九个"):
        assert await shop.say(typed) == shop.texts("faq.choice_range", count=4)


async def test_more_shows_the_next_page_even_when_it_runs_twice(empty: Conversation) -> None:
    await empty.store.catalogue.put([item(f"i{n:02}", f"第{n}课") for n in range(30)], empty.at)
    await empty.reload()
    await empty.say("课程")
    assert "1. 第15课" in await empty.say("还有别的吗", crash_first=True)
    assert empty.handler == "follow.more"
    assert "1. 第23课" in await empty.say("更多")
    assert "《第23课》" in await empty.say("1")
    assert await empty.say("还有吗") == empty.texts("follow.no_more")


async def test_after_the_last_page_come_items_alike(shop: Conversation) -> None:
    await show(shop, "零基础学 Python")
    await shop.say("退出")
    await shop.say("零基础学 Python 怎么买")
    said = await shop.say("换一个")
    assert said.split("\n") == [
        shop.texts("follow.alike_head"),
        "1. Python 数据分析（课程，299.90 元）",
    ]
    assert "《Python 数据分析》" in await shop.say("1")
    assert await shop.say("换一个") == shop.texts("follow.no_more")


async def test_an_item_taken_off_the_shelf_is_no_answer(shop: Conversation) -> None:
    await show(shop, "写作入门")
    await shop.store.catalogue.archive("write", shop.at)
    await shop.reload()
    await shop.say("多少钱")
    assert not shop.handler.startswith("follow")


async def test_a_menu_button_may_ask_too(shop: Conversation) -> None:
    await show(shop, "写作入门")
    assert "《写作入门》199 元" in await shop.happen("click", "多少钱")
