"""Sure answers, unsure offers, unknown admits; feedback finds the answer it is about."""

from __future__ import annotations

import pytest

from handlers.faq import MAX_CHARS
from store.content import NewFaq
from tests.handlers.conftest import Conversation


async def test_a_sure_answer_with_a_word_about_feedback(talk: Conversation) -> None:
    said = await talk.say("怎么退款？")
    assert said == f"七天内可以全额退款。\n\n{talk.texts('faq.answer_tail')}"
    assert talk.handler == "faq"
    assert talk.item.startswith("faq:")
    [row] = await talk.interactions()
    assert (row["handler"], row["item"]) == ("faq", talk.item)


async def test_an_alias_has_the_same_answer(talk: Conversation) -> None:
    assert (await talk.say("我要退钱")).startswith("七天内可以全额退款。")


async def test_unsure_offers_at_most_three_questions_by_number(hesitant: Conversation) -> None:
    said = await hesitant.say("怎么退款")
    head, *choices, tail = said.split("\n")
    assert head == "您是不是想问："
    assert choices[0] == "1. 怎么退款"
    assert 1 <= len(choices) <= 3
    assert tail == "回复数字即可。"
    assert hesitant.handler == "faq.offer"


async def test_picking_a_choice_counts_as_that_answer(hesitant: Conversation) -> None:
    await hesitant.say("怎么退款")
    assert (await hesitant.say("1")).startswith("七天内可以全额退款。")
    assert hesitant.handler == "faq"
    assert hesitant.item.startswith("faq:")
    assert await hesitant.say("有用") == hesitant.texts("faq.useful_thanks")


async def test_unknown_says_so_and_remembers_the_question(talk: Conversation) -> None:
    for _ in range(2):
        assert await talk.say("你们老板养猫吗") == talk.texts("faq.unknown")
    assert "转人工" in talk.texts("faq.unknown")
    assert talk.handler == "faq.unknown"
    [gap] = await talk.store.content.gaps()
    assert (gap.sample, gap.count) == ("你们老板养猫吗", 2)


async def test_an_unknown_question_that_runs_twice_is_counted_once(talk: Conversation) -> None:
    await talk.say("你们老板养猫吗", crash_first=True)
    [gap] = await talk.store.content.gaps()
    assert gap.count == 1


async def test_an_empty_store_admits_everything(empty: Conversation) -> None:
    assert await empty.say("怎么退款") == empty.texts("faq.unknown")
    assert (await empty.store.content.gaps())[0].sample == "怎么退款"


async def test_a_deleted_answer_still_in_the_index_is_not_told(talk: Conversation) -> None:
    talk.answers = {}
    assert await talk.say("怎么退款") == talk.texts("faq.unknown")


@pytest.mark.parametrize(
    "typed",
    [
        *("？？？", "😀😀", "[", "a", "12345678901", "。", "[微笑]", "[OK][强] [捂脸]"),
        *("/:rose", "/::)", "/:,@-D/:rose", "/:8-)[微笑]"),
    ],
)
async def test_what_holds_no_words_is_no_gap_and_is_not_said_to_be_one(
    empty: Conversation, typed: str
) -> None:
    said = await empty.say(typed)
    assert said == empty.texts("faq.no_words")
    assert "记下来" not in said
    assert await empty.store.content.gaps() == []


async def test_a_gap_is_noted_without_its_emoticons(empty: Conversation) -> None:
    assert await empty.say("老板养猫吗[捂脸]") == empty.texts("faq.unknown")
    assert await empty.say("[微笑] 老板养猫吗") == empty.texts("faq.unknown")
    [gap] = await empty.store.content.gaps()
    assert (gap.sample, gap.count) == ("老板养猫吗", 2)


async def test_a_gap_keeps_no_phone_number_and_no_mail_address(empty: Conversation) -> None:
    await empty.say("我叫小林 13800138000 邮箱 lin@mail.example 老板养猫吗")
    [gap] = await empty.store.content.gaps()
    assert "138" not in gap.sample
    assert "lin@" not in gap.sample
    assert "养猫" in gap.sample


async def test_a_very_long_text_is_bounded_and_asked_to_be_shorter(talk: Conversation) -> None:
    said = await talk.say("养猫" * 5000)
    assert said == talk.texts("errors.too_long", limit=MAX_CHARS)
    [gap] = await talk.store.content.gaps()
    assert len(gap.sample) <= MAX_CHARS


@pytest.mark.parametrize(
    "typed",
    [
        "{name} 和 {0.__class__}",
        "]]> <xml>",
        "%s %(x)d",
        "'; drop table members; --",
        "𠮷野家😀怎么走",
        "a\x00b",
        "搜索 {title}",
        "订阅 {topic}",
        "退订 ]]>",
        "/claim {code}",
        "课程 %s",
        "99",
        "１",
        "第1个",
    ],
)
async def test_hostile_and_odd_texts_get_a_sentence(talk: Conversation, typed: str) -> None:
    assert await talk.say(typed)
    assert (await talk.say("怎么退款")).startswith("七天内可以全额退款。")


async def test_key_words_alone_are_a_search(talk: Conversation) -> None:
    said = await talk.say("Python")
    assert said.startswith("和「Python」有关的内容")
    assert "零基础学 Python" in said
    assert talk.handler == "content.search"
    assert await talk.store.content.gaps() == []


async def test_an_unknown_question_may_still_have_something_to_read(talk: Conversation) -> None:
    said = await talk.say("零基础学 Python 到底难不难")
    assert said.startswith(talk.texts("faq.unknown_related"))
    assert "1. 零基础学 Python" in said
    assert (await talk.store.content.gaps())[0].sample == "零基础学 Python 到底难不难"
    assert talk.handler == "faq.unknown"
    assert await talk.say("1") != talk.texts("faq.unknown")
    assert talk.item.startswith("item:")


async def test_a_catalogue_item_may_stand_among_the_choices(hesitant: Conversation) -> None:
    await hesitant.store.content.add_faq(NewFaq("Python 怎么装", "去官网下载。"), hesitant.at)
    await hesitant.reload()
    said = await hesitant.say("Python")
    assert hesitant.handler == "faq.offer"
    assert "1. 零基础学 Python" in said
    assert "3. Python 怎么装" in said
    await hesitant.say("2")
    assert (hesitant.handler, hesitant.item[:8]) == ("content", "item:py-")


async def test_a_name_in_the_catalogue_comes_before_questions_that_only_look_like_it(
    hesitant: Conversation,
) -> None:
    await hesitant.store.content.add_faq(NewFaq("林小满老师什么时候答疑", "周二。"), hesitant.at)
    await hesitant.reload()
    said = await hesitant.say("林小满")
    assert hesitant.handler == "faq.offer"
    assert said.split("\n")[1:3] == ["1. 写作入门", "2. 林小满老师什么时候答疑"]
    assert "写作入门" in await hesitant.say("1")


async def test_a_whole_question_is_not_taken_for_a_name(hesitant: Conversation) -> None:
    assert "1. 怎么退款" in await hesitant.say("怎么退款")


async def test_feedback_is_about_the_last_answer(talk: Conversation) -> None:
    await talk.say("怎么报名")
    await talk.say("怎么退款")
    answered = talk.item
    await talk.say("帮助")
    assert await talk.say("有用") == talk.texts("faq.useful_thanks")
    assert (talk.handler, talk.item) == ("faq.useful", answered)
    assert await talk.say("没用") == talk.texts("faq.useless_thanks")
    assert (talk.handler, talk.item) == ("faq.useless", answered)


async def test_the_last_word_of_a_member_is_their_vote(talk: Conversation) -> None:
    await talk.say("怎么退款")
    await talk.say("有用")
    await talk.say("没用", crash_first=True)
    [entry] = [one for one in (await talk.store.learning.report(0)).entries if one.uses]
    assert (f"faq:{entry.faq_id}", entry.useful, entry.useless) == (talk.item, 0, 1)


async def test_feedback_without_an_answer_says_so(talk: Conversation) -> None:
    assert await talk.say("有用") == talk.texts("faq.feedback_nothing")
    await talk.say("怎么退款", who="o_wang")
    assert await talk.say("没用") == talk.texts("faq.feedback_nothing")
    stats = await talk.store.interactions.stats(0)
    assert (stats.useful, stats.useless) == (0, 0)


async def test_feedback_after_a_day_is_about_nothing(talk: Conversation) -> None:
    await talk.say("怎么退款")
    talk.later(hours=25)
    assert await talk.say("有用") == talk.texts("faq.feedback_nothing")


@pytest.mark.parametrize(
    "shown_since",
    [
        ("课程",),
        ("课程", "1"),
        ("课程", "1", "多少钱"),
        ("你们老板养猫吗",),
        ("搜索 Python",),
        ("我的课程",),
    ],
)
async def test_a_vote_is_not_for_an_answer_that_something_followed(
    talk: Conversation, shown_since: tuple[str, ...]
) -> None:
    await talk.say("怎么退款")
    for words in shown_since:
        await talk.say(words)
    assert await talk.say("没用") == talk.texts("faq.feedback_nothing")
    assert (await talk.store.interactions.stats(0)).useless == 0
    assert await talk.say("没用") == talk.texts("faq.feedback_nothing")


@pytest.mark.parametrize("between", ["帮助", "谢谢", "订阅 直播", "转人工", "继续"])
async def test_a_vote_after_what_answers_no_question_is_for_the_answer(
    talk: Conversation, between: str
) -> None:
    await talk.say("怎么退款")
    await talk.say(between)
    assert await talk.say("有用👍") == talk.texts("faq.useful_thanks")


async def test_asking_whether_it_is_of_use_is_no_vote(talk: Conversation) -> None:
    await talk.say("怎么退款")
    await talk.say("有用？")
    assert (await talk.store.interactions.stats(0)).useful == 0


@pytest.mark.parametrize(
    ("typed", "head", "first"),
    [
        ("Python", "Python", "1. 零基础学 Python"),
        ("编程课", "编程", "1. 零基础学 Python"),
        ("林小满", "林小满", "1. 写作入门"),
        ("林小满老师", "林小满", "1. 写作入门"),
        ("苏老师的课有哪些", "苏老师", "1. 零基础学 Python"),
        ("写作入门？", "写作入门", "1. 写作入门"),
        ("专栏", "专栏", "1. 写作入门"),
        ("直播课", "直播课", "1. 十二周计划"),
    ],
)
async def test_a_name_alone_lists_what_bears_it_whatever_entry_holds_the_word(
    talk: Conversation, typed: str, head: str, first: str
) -> None:
    for question in ("Python怎么装", "编程课怎么学", "林小满是谁", "专栏更新完了吗", "直播课几点"):
        await talk.store.content.add_faq(NewFaq(question, "见说明。"), talk.at)
    await talk.reload()
    said = await talk.say(typed)
    assert said.split("\n")[:1] == [talk.texts("content.search_head", query=head)]
    assert first in said
    assert talk.handler == "content.search"
    assert await talk.store.content.gaps() == []
    await talk.say("1")
    assert talk.handler == "content"


async def test_a_name_that_is_a_question_of_the_faq_is_answered(talk: Conversation) -> None:
    await talk.store.content.add_faq(NewFaq("Python？", "一门编程语言。"), talk.at)
    await talk.reload()
    assert (await talk.say("python")).startswith("一门编程语言。")


async def test_question_words_alone_are_answered_only_by_their_equal(talk: Conversation) -> None:
    await talk.store.content.add_faq(NewFaq("什么时候开课", "每月一号。"), talk.at)
    await talk.reload()
    await talk.say("什么时候")
    assert talk.handler == "faq.offer"
    await talk.store.content.add_faq(NewFaq("什么时候", "什么的时候？"), talk.at)
    await talk.reload()
    assert (await talk.say("什么时候？")).startswith("什么的时候")
