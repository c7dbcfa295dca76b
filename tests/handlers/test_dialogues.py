"""Whole dialogues: what a sentence means after those before it, and what it must not take.

Each is a row: what is said, then a piece of the answer.
"""

from __future__ import annotations

import pytest

from store.catalogue import Chapter, Tier
from store.content import NewFaq
from tests.handlers.conftest import Conversation, item

PICK = "你问的是哪一门？回复「课程」挑一门再问我。"
FAQ_ENROL = "回复「课程」挑一门。"
"""The answer of the FAQ to 怎么报名."""

MORE_ITEMS = (
    item(
        "ledger",
        "家庭账本",
        kind="column",
        summary="分期、会员和孩子的零用钱，今天都讲。",
        tags=("理财",),
        authors=("周以宁",),
        chapters=(Chapter("1", "订阅与会员"), Chapter("2", "孩子的钱")),
        tiers=(Tier("早鸟", 5900),),
    ),
    item("notes", "笔记的用处", kind="ebook", price_cents=2990),
    item("salary", "第一份工资的理财课", tags=("理财",), price_cents=8900),
)


@pytest.fixture
async def shop(talk: Conversation) -> Conversation:
    """What `talk` has, and a column with chapters, an e-book, a course with an odd title."""
    await talk.store.catalogue.put(MORE_ITEMS, talk.at)
    await talk.reload()
    return talk


async def play(talk: Conversation, dialogue: str) -> None:
    """One line a turn: "said -> piece of the answer"; "said !> piece" must not be in it."""
    for line in dialogue.strip().splitlines():
        arrow = " !> " if " !> " in line else " -> "
        said, piece = line.strip().split(arrow)
        answer = await talk.say(said)
        assert (piece in answer) is (arrow == " -> "), f"{said}: {answer}"


LISTS = """
课程 -> 7. 第一份工资的理财课
多少钱 -> 你问的是哪一个？回复上面列表里的数字。
7 -> 《第一份工资的理财课》89 元
2 -> 《写作入门》199 元
第9个多少钱 -> 1 到 7
8 -> 1 到 7
4 怎么报名 -> 《笔记的用处》29.90 元
报名2 -> 《写作入门》199 元
买第三个 -> 另有：早鸟 59 元
"""

NOTHING_SHOWN = """
第三个 -> 现在没有可以选的列表
最后一个 -> 现在没有可以选的列表
我要第三个 -> 现在没有可以选的列表
3多少钱 -> 现在没有可以选的列表
第二个怎么报名 -> 现在没有可以选的列表
还有吗 -> 现在没有可以选的列表
更多 -> 现在没有可以选的列表
换一个 -> 现在没有可以选的列表
怎么报名 -> 回复「课程」挑一门。
目录 -> 你问的是哪一门？
链接 -> 你问的是哪一门？
谁讲的 -> 你问的是哪一门？
这门课难吗 -> 你问的是哪一门？
零基础能学吗 !> 你问的是哪一门？
分类 -> 按分类看
还有吗 -> 就这些了
不是 !> 记下来请运营补充。也可以
是的 -> 有问题随时找我
"""

EXPIRED = """
第三个 -> 刚才的列表已经过期了
第3个多少钱 -> 刚才的列表已经过期了
2 -> 刚才的列表已经过期了
"""

LOOSE_NAMES = """
会员多少钱 !> 家庭账本
分期多少钱 !> 理财课
孩子怎么报名 !> https://shop.example
今天讲什么 !> 共 2 章
给个链接 -> 你问的是哪一门？
帮我报名 !> https://shop.example
"""

KINDS = """
电子书多少钱 -> 《笔记的用处》29.90 元
电子书怎么买 -> 《笔记的用处》29.90 元
你们的电子书贵吗 -> 《笔记的用处》29.90 元
直播谁讲的 -> 《十二周计划》由苏老师主讲
直播链接 -> 《十二周计划》现在还不能在线报名
专栏多少钱 -> 2. 家庭账本（专栏
2 -> 《家庭账本》199 元
理财专栏多少钱 -> 《家庭账本》199 元
咨询多少钱 !> 《
课程多少钱 -> 《家庭账本》199 元
"""

VERB_FIRST = """
我要买第一份工资的理财课 -> 《第一份工资的理财课》89 元
我要报名直播 -> 《十二周计划》现在还不能在线报名
怎么报名写作课 -> 《写作入门》199 元
我想买写作课 -> 《写作入门》199 元
哪里可以买家庭账本 -> 《家庭账本》199 元
我要报名这门课 -> 《家庭账本》199 元
怎么买 Python 课 -> 2. Python 数据分析
2 -> 《Python 数据分析》299.90 元
"""

NO_PURCHASE = """
我想买课 !> 《
报名费怎么退 !> 《
报名后在哪看 !> 《
买了电脑要发票吗 !> 《
怎么报名学习群 !> 《
购买记录 !> 《
"""

DISCOUNTS = """
家庭账本多少钱 -> 另有：早鸟 59 元
有优惠吗 -> 另有：早鸟 59 元
打折吗 -> 另有：早鸟 59 元
能便宜点吗 -> 另有：早鸟 59 元
还有早鸟价吗 -> 另有：早鸟 59 元
早鸟价怎么买 -> 另有：早鸟 59 元
学员价怎么拿 -> 另有：早鸟 59 元
家庭账本有优惠吗 -> 另有：早鸟 59 元
"""

REFUNDS = """
写作入门能退吗 -> 七天内可以全额退款
写作课怎么退款 -> 七天内可以全额退款
电子书能退款吗 -> 七天内可以全额退款
这门课怎么退款 -> 七天内可以全额退款
"""


@pytest.mark.parametrize(
    "dialogue",
    [LISTS, NOTHING_SHOWN, LOOSE_NAMES, KINDS, VERB_FIRST, NO_PURCHASE, DISCOUNTS, REFUNDS],
    ids=["lists", "nothing", "loose", "kinds", "verb", "no-purchase", "discounts", "refunds"],
)
async def test_a_dialogue(shop: Conversation, dialogue: str) -> None:
    await play(shop, dialogue)


async def test_what_expired_is_said_to_have(shop: Conversation) -> None:
    await shop.say("课程")
    shop.later(minutes=11)
    await play(shop, EXPIRED)


async def test_the_faqs_own_words_go_before_no_list_and_which(shop: Conversation) -> None:
    words = ("第三个", "还有吗", "目录", "有优惠吗", "怎么报名写作课", "写作入门能退吗", "2多少钱")
    for question in words:
        await shop.store.content.add_faq(NewFaq(question, f"答：{question}"), shop.at)
    await shop.reload()
    for question in words:
        assert (await shop.say(question)).startswith(f"答：{question}")
    await shop.say("写作入门多少钱")
    assert (await shop.say("有优惠吗")).startswith("答："), "an offer of the house, not of the item"


# What the FAQ offers was chosen by nobody


async def test_an_offer_does_not_move_what_is_meant(hesitant: Conversation) -> None:
    await hesitant.say("写作入门多少钱")
    await hesitant.say("Python 退款", crash_first=True)
    assert hesitant.handler == "faq.offer"
    assert "《写作入门》199 元\n点这里报名" in await hesitant.say("怎么报名")
    hesitant.later(minutes=11)
    await hesitant.say("怎么报名")
    assert not hesitant.handler.startswith("follow"), "and it does not last longer for it"


async def test_the_only_item_offered_is_meant_when_it_is_pointed_at(shop: Conversation) -> None:
    await shop.say("课程")
    await shop.say("家庭账本到底靠不靠谱")
    assert shop.handler == "faq.unknown"
    assert shop.reply.content.endswith("\n1. 家庭账本（专栏，199 元）")
    assert (await shop.say("怎么报名")).startswith(FAQ_ENROL)
    assert await shop.say("目录") == PICK
    assert "《家庭账本》199 元" in await shop.say("这个怎么报名")


# Yes, and none of it


async def test_refusing_an_offer_notes_the_question(hesitant: Conversation) -> None:
    await hesitant.say("退款要多久啊")
    assert hesitant.handler == "faq.offer"
    noted = hesitant.texts("follow.rejected_noted")
    assert await hesitant.say("都不是", crash_first=True) == noted
    assert hesitant.handler == "follow.rejected"
    (gap,) = await hesitant.store.content.gaps()
    assert (gap.sample, gap.count) == ("退款要多久啊", 1)
    assert await hesitant.say("不对") == hesitant.texts("follow.rejected"), "it is noted already"
    assert len(await hesitant.store.content.gaps()) == 1
    assert "七天内可以全额退款" in await hesitant.say("1"), "the list stays"


@pytest.mark.parametrize(
    "typed", ["都不是", "以上都不是", "不是", "不对", "没有我想要的", "都没有", "不是这个"]
)
async def test_a_list_that_was_asked_for_is_refused_without_a_gap(
    talk: Conversation, typed: str
) -> None:
    await talk.say("课程")
    assert await talk.say(typed) == talk.texts("follow.rejected")
    assert await talk.store.content.gaps() == []


async def test_what_an_operator_refuses_is_no_gap(hesitant: Conversation) -> None:
    await hesitant.promote("o_boss")
    await hesitant.say("退款要多久啊", "o_boss")
    assert await hesitant.say("都不是", "o_boss") == hesitant.texts("follow.rejected")
    assert await hesitant.store.content.gaps() == []


async def test_what_was_asked_is_noted_without_its_numbers(hesitant: Conversation) -> None:
    await hesitant.say("13800138000 怎么退款啊老师")
    assert hesitant.handler == "faq.offer"
    await hesitant.say("都不是")
    (gap,) = await hesitant.store.content.gaps()
    assert "138" not in gap.sample


async def test_yes_picks_the_only_option(hesitant: Conversation) -> None:
    await hesitant.say("抬头")
    assert hesitant.handler == "faq.offer"
    assert "2. " not in hesitant.reply.content
    for typed in ("是", "对", "是的", "就是这个"):
        assert "付款后在订单里申请" in await hesitant.say(typed)
    assert await hesitant.say("2") == hesitant.texts("follow.only_one")


async def test_yes_to_several_says_what_can_be_picked(hesitant: Conversation) -> None:
    await hesitant.say("课程怎么退款报名")
    assert "2. " in hesitant.reply.content
    assert (await hesitant.say("是的")).startswith("请回复 1 到")
    await hesitant.say("课程")
    assert await hesitant.say("是的") == hesitant.texts("help.ok"), "a list is no question"


async def test_what_was_shown_and_asked_goes_with_the_member(hesitant: Conversation) -> None:
    await hesitant.say("退款要多久啊")
    await hesitant.say("退出")
    assert await hesitant.say("都不是") != hesitant.texts("follow.rejected_noted")
