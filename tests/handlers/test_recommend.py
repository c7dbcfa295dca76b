"""推荐 in a conversation: lists with reasons, other ones, and never again what is unwanted."""

from __future__ import annotations

import pytest

from handlers.recommending import Pick, Reason, Suggesting
from store.content import NewFaq
from store.db import StoreError
from tests.handlers.conftest import Conversation, item
from tests.handlers.in_group import GroupTalk
from tests.handlers.recommending import Tastes

MORE = (
    item("sql", "业务取数 SQL：15 个查询", tags=("SQL", "数据分析"), price_cents=16_900),
    item("excel", "表格不求人", tags=("Excel", "办公"), price_cents=9_900),
    item("notes", "笔记的用处", kind="ebook", tags=("阅读",), price_cents=2_990),
)


@pytest.fixture
async def shop(talk: Conversation) -> Conversation:
    """Seven items, and somebody who knows that o_lin likes data and o_zhou words."""
    await talk.store.catalogue.put(MORE, talk.at)
    await talk.reload()
    tastes = Tastes(talk.store)
    tastes.liked[await talk.member("o_lin")] = (
        Pick("py-data", 3.0, (Reason("finished", "py-zero", 0.62), Reason("community", "7", 0.3))),
        Pick("sql", 2.0, (Reason("tag", "数据分析", 0.5), Reason("popular", "", 0.5))),
        Pick("excel", 1.0, (Reason("tag", "退款大户", 1.0),)),
        Pick("notes", 0.5, (Reason("community", "7", 1.0),), explored=True),
    )
    tastes.liked[await talk.member("o_zhou")] = (
        Pick("write", 2.0, (Reason("author", "林小满", 1.0),)),
        Pick("notes", 1.0, (Reason("viewed", "gone-item", 1.0),)),
    )
    talk.recommendations = tastes
    return talk


def tastes(talk: Conversation) -> Tastes:
    assert isinstance(talk.recommendations, Tastes)
    return talk.recommendations


async def test_three_items_with_price_and_one_reason_each(shop: Conversation) -> None:
    said = (await shop.say("推荐")).splitlines()
    assert said[0] == shop.texts("recommend.head")
    assert said[1:3] == ["1. Python 数据分析（课程，299.90 元）", "　因为你学过《零基础学 Python》"]
    assert said[3:5] == [
        "2. 业务取数 SQL：15 个查询（课程，169 元）",
        "　和你关注的「数据分析」有关",
    ]
    assert said[5] == "3. 表格不求人（课程，99 元）"
    assert said[-1] == shop.texts("recommend.tail")
    assert shop.handler == "recommend"


async def test_a_tag_that_an_operator_put_on_somebody_is_never_told_them(
    shop: Conversation,
) -> None:
    said = await shop.say("推荐")
    assert "退款大户" not in said
    assert shop.texts("recommend.because_interest") in said


async def test_two_members_get_different_lists(shop: Conversation) -> None:
    assert "写作入门" not in await shop.say("推荐", "o_lin")
    said = await shop.say("推荐", "o_zhou")
    assert "1. 写作入门" in said
    assert "是你看过的林小满老师的内容" in said
    # What they looked at is gone from the catalogue: no name, but true.
    assert shop.texts("recommend.because_past") in said


async def test_the_same_message_again_shows_the_same_list(shop: Conversation) -> None:
    said = await shop.say("推荐", crash_first=True)
    assert "1. Python 数据分析" in said
    lists = await shop.store.recommendations.lists_of(await shop.member())
    assert len(lists) == 1


async def test_a_number_shows_the_item_and_its_clicks_count_for_the_list(
    shop: Conversation,
) -> None:
    await shop.say("推荐")
    number = (await shop.store.recommendations.lists_of(await shop.member()))[0].id
    said = await shop.say("2")
    assert "《业务取数 SQL" in said
    assert f"s=recommendation&r=rec:{number}" in said
    assert (shop.handler, shop.item) == ("recommend.item", "item:sql")
    enrol = await shop.say("怎么报名")
    assert f"s=recommendation&r=rec:{number}" in enrol


async def test_other_ones_until_nothing_is_left(shop: Conversation) -> None:
    await shop.say("推荐")
    said = await shop.say("换一批", crash_first=True)
    assert said.splitlines()[0] == shop.texts("recommend.head_again")
    assert "1. 笔记的用处" in said
    assert shop.texts("recommend.because_explored") in said
    assert await shop.say("还有吗") == shop.texts("recommend.none_again", again="推荐")
    assert shop.handler == "recommend.again"


async def test_another_page_of_the_catalogue_is_no_recommendation(shop: Conversation) -> None:
    await shop.say("推荐")
    await shop.say("课程")
    await shop.say("换一批")
    assert shop.handler == "follow.more"


async def test_what_is_unwanted_stays_away_until_it_is_taken_back(shop: Conversation) -> None:
    await shop.say("推荐")
    said = await shop.say("不感兴趣 2", crash_first=True)
    assert "《业务取数 SQL》" in said
    assert (shop.handler, shop.item) == ("recommend.dislike", "item:sql")
    shop.later(days=0.5)
    assert "SQL" not in await shop.say("推荐")
    said = await shop.say("撤销", crash_first=True)
    assert said == shop.texts("recommend.undone", title="业务取数 SQL")
    assert "2. 业务取数 SQL" in await shop.say("推荐")


@pytest.mark.parametrize(
    "typed",
    [
        "不感兴趣2",
        "对第二个不感兴趣",
        "不感兴趣第二个",
        "我对2不感兴趣",
        "别推荐第二个了",
        "不喜欢第2个",
    ],
)
async def test_it_may_be_said_in_many_ways(shop: Conversation, typed: str) -> None:
    await shop.say("推荐")
    await shop.say(typed)
    assert list(await shop.store.recommendations.disliked(await shop.member())) == ["sql"]


async def test_alone_it_means_the_item_just_read_or_is_asked_which(shop: Conversation) -> None:
    await shop.say("推荐")
    assert await shop.say("不感兴趣") == shop.texts("recommend.dislike_which")
    assert await shop.say("不感兴趣 9") == shop.texts("recommend.range", count=3)
    await shop.say("1")
    assert "《Python 数据分析》" in await shop.say("不感兴趣")


@pytest.mark.parametrize(
    "typed", ["不感兴趣 1 3", "1、3都不感兴趣", "1和3不感兴趣", "对第一个和第三个不感兴趣"]
)
async def test_several_may_be_named_at_once(shop: Conversation, typed: str) -> None:
    await shop.say("推荐")
    await shop.say(typed)
    disliked = await shop.store.recommendations.disliked(await shop.member())
    assert set(disliked) == {"py-data", "excel"}
    assert await shop.say("不感兴趣 2 9") == shop.texts("recommend.range", count=3)


async def test_each_refusal_of_a_day_can_be_taken_back_the_last_first(
    shop: Conversation,
) -> None:
    await shop.say("推荐")
    await shop.say("不感兴趣 1")
    await shop.say("不感兴趣 2")
    said = await shop.say("撤销", crash_first=True)
    assert said == shop.texts("recommend.undone", title="业务取数 SQL")
    said = await shop.say("撤销")
    assert said == shop.texts("recommend.undone", title="Python 数据分析")
    assert await shop.say("撤销") == shop.texts("recommend.undo_nothing")
    assert await shop.store.recommendations.disliked(await shop.member()) == {}


@pytest.mark.parametrize(
    "typed",
    [
        "停止推荐",
        "取消推荐",
        "别给我推荐了",
        "不要再推荐了",
        "关闭个性化推荐",
        "怎么关闭推荐",
        "推荐怎么关闭",
        "不要给我推荐课程了",
    ],
)
async def test_who_wants_none_of_it_is_told_how(shop: Conversation, typed: str) -> None:
    await shop.say("推荐")
    said = await shop.say(typed)
    assert shop.handler == "recommend.off"
    assert said == shop.texts("recommend.off") + shop.texts("recommend.off_letter")
    assert "别分析我" in said
    assert await shop.store.recommendations.disliked(await shop.member()) == {}


async def test_no_more_of_the_item_just_read_is_about_that_item(shop: Conversation) -> None:
    await shop.say("推荐")
    await shop.say("1")
    assert "《Python 数据分析》" in await shop.say("别再推荐了")
    assert shop.handler == "recommend.dislike"


async def test_the_item_below_the_welcome_can_be_explained_and_refused(
    shop: Conversation,
) -> None:
    await shop.happen("subscribe", who="o_lin")
    assert shop.texts("recommend.why_head", title="Python 数据分析") in await shop.say("为什么")
    assert "《Python 数据分析》" in await shop.say("不感兴趣")
    shop.later(hours=1)
    await shop.say("为什么")
    assert not shop.handler.startswith("recommend")


async def test_all_of_a_list_can_be_refused_and_taken_back(shop: Conversation) -> None:
    await shop.say("推荐")
    assert await shop.say("都不感兴趣") == shop.texts("recommend.disliked_all", count=3)
    assert await shop.say("撤销") == shop.texts("recommend.undone_all", count=3)
    assert await shop.store.recommendations.disliked(await shop.member()) == {}


async def test_what_is_unwanted_is_told_in_ones_data(shop: Conversation) -> None:
    assert "不感兴趣" not in await shop.say("我的数据")
    await shop.say("推荐")
    await shop.say("都不感兴趣")
    assert shop.texts("recommend.data", count=3) in await shop.say("我的数据")


async def test_without_a_list_nothing_is_refused(shop: Conversation) -> None:
    assert await shop.say("不感兴趣") == shop.texts("recommend.dislike_nothing")
    await shop.say("撤销")
    assert not shop.handler.startswith("recommend")
    await shop.say("不想学了")
    assert not shop.handler.startswith("recommend")


async def test_why_in_words_with_rough_shares(shop: Conversation) -> None:
    await shop.say("推荐")
    said = (await shop.say("为什么推荐 1")).splitlines()
    assert said == [
        shop.texts("recommend.why_head", title="Python 数据分析"),
        "· 因为你学过《零基础学 Python》（约占六成）",
        "· 和你同社群的人在学（约占三成）",
        shop.texts("recommend.why_tail"),
    ]
    whole = await shop.say("为什么")
    assert whole.count("的理由：") == 3
    await shop.say("2")
    assert "业务取数" in (await shop.say("为啥")).splitlines()[0]
    assert shop.handler == "recommend.why"


@pytest.mark.parametrize(
    "typed", ["为什么推荐第二个", "为什么给我推荐2", "为什么2", "推荐理由 2", "第二个为什么"]
)
async def test_why_may_be_asked_in_many_ways(shop: Conversation, typed: str) -> None:
    await shop.say("推荐")
    assert shop.texts("recommend.why_head", title="业务取数 SQL") in await shop.say(typed)


async def test_why_asks_nothing_of_us_when_nothing_was_recommended(shop: Conversation) -> None:
    await shop.say("为什么")
    assert not shop.handler.startswith("recommend")
    await shop.say("推荐")
    shop.later(hours=1)
    assert await shop.say("为什么") == shop.texts("recommend.gone")
    assert await shop.say("2") == shop.texts("recommend.gone")


async def test_a_topic_limits_the_list_to_its_items(shop: Conversation) -> None:
    said = await shop.say("推荐 数据分析")
    assert said.splitlines()[0] == shop.texts("recommend.head_topic", topic="数据分析")
    assert set(tastes(shop).asked[-1][1].among) == {"py-data", "sql"}
    assert "表格不求人" not in said
    assert "笔记的用处" in await shop.say("推荐几本书")
    assert "Python 数据分析" in await shop.say("推荐PYTHON课")
    assert await shop.say("推荐 做饭") == shop.texts("recommend.none_topic", topic="做饭")


async def test_a_price_limits_it_too(shop: Conversation) -> None:
    said = await shop.say("推荐 100元以内")
    assert said.splitlines()[0] == shop.texts("recommend.head_price", span="100 元以内")
    assert "表格不求人" in said
    assert "SQL" not in said
    assert "表格不求人" in await shop.say("100以内的课")
    both = await shop.say("推荐200元以内的数据分析课")
    assert both.splitlines()[0] == shop.texts(
        "recommend.head_both", topic="数据分析", span="200 元以内"
    )
    assert await shop.say("免费的课") == shop.texts("recommend.none_price", span="免费")


async def test_other_ones_of_the_same_wish(shop: Conversation) -> None:
    await shop.say("推荐 100元以内")
    await shop.say("换一批")
    assert tastes(shop).asked[-1][1].most_cents == 10_000
    assert tastes(shop).asked[-1][1].instead


async def test_what_other_wishes_showed_is_no_turn_of_this_one(shop: Conversation) -> None:
    await shop.say("推荐 数据分析")
    await shop.say("推荐 笔记")
    await shop.say("推荐两个")
    said = await shop.say("换一批", crash_first=True)
    # py-data and sql were on the page before; notes was shown for another wish.
    assert "1. 表格不求人" in said
    assert "2. 笔记的用处" in said
    assert tastes(shop).asked[-1][1].without
    assert "就这些了" in await shop.say("再推荐几个")
    assert "1. Python 数据分析" in await shop.say("推荐")


async def test_when_all_is_shown_one_may_begin_again(shop: Conversation) -> None:
    await shop.say("推荐 数据分析 200元以内")
    said = await shop.say("换一批")
    again = "推荐 数据分析 200 元以内"
    assert said == shop.texts("recommend.none_again", again=again)
    assert "1. 业务取数 SQL" in await shop.say(again)


async def test_a_page_of_the_same_wish_may_be_asked_for_in_its_words(shop: Conversation) -> None:
    await shop.say("推荐一个 数据分析")
    assert "1. 业务取数 SQL" in await shop.say("再推荐一个")
    assert "就这些了" in await shop.say("再推荐一个")


@pytest.mark.parametrize(("typed", "count"), [("推荐一门课", 1), ("推荐4个", 4), ("推荐几个", 3)])
async def test_as_many_as_were_asked_for(shop: Conversation, typed: str, count: int) -> None:
    said = await shop.say(typed)
    assert len([line for line in said.splitlines() if line[:1].isdigit()]) == count


@pytest.mark.parametrize(
    ("typed", "span", "there"),
    [
        ("推荐 50到100元", "50 到 100 元", {"excel"}),
        ("推荐 100元以上", "100 元以上", {"py-data", "sql"}),
        ("推荐 100元的课", "100 元左右", {"excel"}),
        ("100块左右的课", "100 元左右", {"excel"}),
    ],
)
async def test_a_price_has_a_lower_end_too(
    shop: Conversation, typed: str, span: str, there: set[str]
) -> None:
    said = await shop.say(typed)
    assert said.splitlines()[0] == shop.texts("recommend.head_price", span=span)
    lists = await shop.store.recommendations.lists_of(await shop.member())
    assert {one.item_id for one in lists[0].shown} == there


async def test_cheap_is_the_cheapest_first(shop: Conversation) -> None:
    said = await shop.say("推荐 便宜的", crash_first=True)
    lines = said.splitlines()
    assert lines[0] == shop.texts("recommend.head_cheap")
    # Free, but nothing for them: the shop's own ranker knows better what may be shown.
    assert lines[1].startswith("1. 笔记的用处（")
    assert await shop.say("能便宜点吗")
    assert not shop.handler.startswith("recommend")


async def test_a_cheaper_one_below_a_topic_is_of_that_topic(shop: Conversation) -> None:
    await shop.say("推荐 数据分析")
    said = await shop.say("有便宜点的吗")
    assert said.splitlines()[0] == shop.texts("recommend.head_topic_cheap", topic="数据分析")
    assert said.index("SQL") < said.index("Python 数据分析")


async def test_what_is_popular_may_be_asked_for_and_is_nobodys_own(shop: Conversation) -> None:
    said = await shop.say("大家都在学什么", crash_first=True)
    assert said.splitlines()[0] == shop.texts("recommend.head_popular")
    assert "1. 零基础学 Python" in said
    assert said.count(shop.texts("recommend.because_popular")) == 3
    assert tastes(shop).asked == []
    assert await shop.say("为什么") == shop.texts("recommend.why_general")
    again = await shop.say("换一批")
    assert "零基础学 Python" not in again
    assert "《零基础学 Python" not in await shop.say("2")
    assert "SQL" not in (await shop.say("热门的写作课"))


async def test_a_beginner_means_a_level_and_a_teacher_is_asked_for(shop: Conversation) -> None:
    said = await shop.say("有没有适合新手的课")
    assert shop.handler == "recommend"
    assert said.splitlines()[0] == shop.texts("recommend.head_topic", topic="新手")
    assert "林小满" in await shop.say("推荐老师")
    assert "1. 写作入门" in await shop.say("推荐 林小满", "o_zhou")


async def test_a_topic_that_is_used_up_is_another_thing_than_one_that_nobody_has(
    shop: Conversation,
) -> None:
    assert await shop.say("推荐 减肥") == shop.texts("recommend.none_topic", topic="减肥")
    await shop.say("推荐 SQL")
    await shop.say("都不感兴趣")
    said = await shop.say("推荐 SQL")
    assert said == shop.texts("recommend.none_topic_left", topic="SQL")


async def test_without_who_ranks_it_is_what_everybody_looks_at(talk: Conversation) -> None:
    said = await talk.say("推荐")
    assert said.splitlines()[0] == talk.texts("recommend.head_popular")
    assert said.count(talk.texts("recommend.because_popular")) == 3
    again = await talk.say("换一批")
    shown = {line for line in said.splitlines() if line[:1].isdigit()}
    assert not {one[3:] for one in shown} & {one[3:] for one in again.splitlines()}
    await talk.say("不感兴趣 1")
    assert await talk.say("换一批") == talk.texts("recommend.none_again", again="推荐")
    assert "没有特别的理由" not in await talk.say("为什么推荐1")


async def test_who_is_known_for_nothing_reads_that_it_is_everybodys(shop: Conversation) -> None:
    said = await shop.say("推荐", "o_new")
    assert said.splitlines()[0] == shop.texts("recommend.head_popular")


async def test_an_empty_catalogue_is_said(empty: Conversation) -> None:
    assert await empty.say("推荐") == empty.texts("recommend.empty")
    empty.recommendations = Tastes(empty.store)
    assert await empty.say("推荐") == empty.texts("recommend.empty")


@pytest.mark.parametrize(
    "typed",
    [
        "推荐人是谁",
        "怎么推荐朋友",
        "推荐给同事有奖励吗",
        "推荐码在哪",
        "推荐的课怎么退款",
        "推荐一个手机",
        "推荐你们老板",
        "为什么退不了款",
        "换一批发票",
        "免费",
        "我对退款不感兴趣",
    ],
)
async def test_questions_stay_with_the_faq(shop: Conversation, typed: str) -> None:
    await shop.say(typed)
    assert shop.handler.startswith(("faq", "content", "follow")), shop.handler


async def test_what_the_faq_has_in_these_words_goes_first_unless_it_is_an_order(
    shop: Conversation,
) -> None:
    faqs = (NewFaq("有免费的课吗", "每门课前两节免费。"), NewFaq("推荐一门课", "看看目录。"))
    await shop.store.content.import_faq(faqs, shop.at)
    await shop.reload()
    assert "前两节免费" in await shop.say("有免费的课吗")
    assert "1. Python 数据分析" in await shop.say("推荐一门课")


# Below an answer


async def test_an_answer_about_an_item_ends_with_another_one(shop: Conversation) -> None:
    faqs = (NewFaq("零基础能学吗", "能，从《零基础学 Python》开始。"),)
    await shop.store.content.import_faq(faqs, shop.at)
    await shop.reload()
    said = await shop.say("零基础能学吗")
    assert said.startswith("能，从《零基础学 Python》开始。")
    assert "你可能还喜欢：《Python 数据分析》（课程，299.90 元）" in said
    assert "s=recommendation&r=rec:" in said
    assert tastes(shop).asked[-1][1].near == "py-zero"
    assert shop.handler == "faq"


async def test_an_item_picked_from_the_catalogue_does_too(shop: Conversation) -> None:
    await shop.say("搜索 表格不求人")
    said = await shop.say("1")
    assert "你可能还喜欢" in said
    assert (shop.handler, shop.item) == ("content", "item:excel")


async def test_an_answer_about_nothing_of_the_catalogue_asks_nobody(shop: Conversation) -> None:
    assert "你可能还喜欢" not in await shop.say("可以开发票吗")
    assert tastes(shop).asked == []


async def test_an_answer_never_waits_for_it(shop: Conversation) -> None:
    await shop.say("课程")
    tastes(shop).late_s = 30.0
    said = await shop.say("1")
    assert said.startswith("《")
    assert "你可能还喜欢" not in said
    tastes(shop).late_s = 0.0
    tastes(shop).broken = StoreError("busy")
    assert "你可能还喜欢" not in await shop.say("1")


async def test_it_can_be_switched_off(shop: Conversation) -> None:
    shop.suggesting = Suggesting(answers=False, welcome=False, letter=False)
    await shop.say("课程")
    assert "你可能还喜欢" not in await shop.say("1")
    assert "推荐" not in await shop.happen("subscribe", who="o_new")
    assert "推荐" not in await shop.say("话题")
    assert tastes(shop).asked == []


async def test_the_welcome_ends_with_the_item_that_fits_best(shop: Conversation) -> None:
    said = await shop.happen("subscribe", who="o_new", crash_first=True)
    assert said.startswith(shop.texts("welcome.follow", business="知行社"))
    assert "先看看《" in said
    assert len(await shop.store.recommendations.lists_of(await shop.member("o_new"))) == 1


# The weekly letter


async def test_the_letter_is_a_topic_that_nobody_configured(shop: Conversation) -> None:
    assert "· 推荐" in await shop.say("订阅")
    assert await shop.say("订阅 推荐") == shop.texts("recommend.letter_on")
    assert await shop.store.content.topics_of(await shop.member()) == ["推荐"]
    assert await shop.say("退订 推荐") == shop.texts("topics.unsubscribed", topic="推荐")
    assert await shop.store.content.topics_of(await shop.member()) == []


async def test_without_a_letter_there_is_no_such_topic(talk: Conversation) -> None:
    assert "没有叫「推荐」的话题" in await talk.say("订阅 推荐")


# In a group


async def test_a_group_reads_what_everybody_looks_at_and_nobodys_reasons(
    shop: Conversation,
) -> None:
    group = GroupTalk(shop)
    # Nothing is said of what everybody looks at before anybody has counted it.
    assert (await group.ask("推荐")).startswith(shop.texts("recommend.group_head_new"))
    await shop.store.interactions.put_finding("popular_items", '["py-zero"]', shop.at)
    said = await group.ask("推荐")
    assert said.startswith(shop.texts("recommend.group_head"))
    assert said.count("\n") < 6
    assert "学过" not in said
    assert "因为" not in said
    assert tastes(shop).asked == []
    assert "学过" not in await group.ask("推荐 免费的")
    for typed in ("不感兴趣 1", "为什么推荐1"):
        said = await group.ask(typed)
        assert said.startswith(shop.texts("recommend.group_private"))
        assert await shop.store.recommendations.disliked(await shop.member()) == {}


async def test_a_menu_button_can_ask_for_it(shop: Conversation) -> None:
    assert "1. Python 数据分析" in await shop.happen("click", "recommend")
