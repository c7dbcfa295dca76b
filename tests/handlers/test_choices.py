"""A number picks from the last list; without one there is nothing to pick from."""

from __future__ import annotations

import pytest

from handlers.choices import number_in
from store.content import NewFaq
from tests.handlers.conftest import Conversation


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("2", 2),
        (" ２ ", 2),
        ("12", 12),
        ("2.", 2),
        ("2。", 2),
        ("二", 2),
        ("十", 10),
        ("②", 2),
        ("0", 0),
        ("123", None),
        ("2个", None),
        ("", None),
        ("-1", None),
        ("二三", None),
        ("٣", None),
        ("怎么退款", None),
    ],
)
def test_what_counts_as_a_number(typed: str, number: int | None) -> None:
    assert number_in(typed) == number


async def test_a_number_picks_from_the_last_list(talk: Conversation) -> None:
    await talk.say("搜索 写作")
    await talk.say("课程")
    assert "零基础学 Python" in await talk.say("1")
    assert "写作入门" in await talk.say("２")
    assert "零基础学 Python" in await talk.say("一")


async def test_lists_belong_to_their_member(talk: Conversation) -> None:
    await talk.say("课程")
    await talk.say("1", who="o_wang")
    assert not talk.item.startswith("item:")


@pytest.mark.parametrize("typed", ["0", "9", "99"])
async def test_a_number_outside_the_list_says_the_range(talk: Conversation, typed: str) -> None:
    await talk.say("课程")
    assert await talk.say(typed) == talk.texts("faq.choice_range", count=4)


async def test_a_list_expires_after_ten_minutes(talk: Conversation) -> None:
    await talk.say("课程")
    talk.later(minutes=9, seconds=59)
    assert "零基础学 Python" in await talk.say("1")
    talk.later(seconds=1)
    assert await talk.say("1") == talk.texts("content.choice_gone")


async def test_an_expired_offer_asks_for_the_question_again(hesitant: Conversation) -> None:
    await hesitant.say("怎么退款")
    hesitant.later(minutes=11)
    assert await hesitant.say("1") == hesitant.texts("faq.choice_gone")


@pytest.mark.parametrize("typed", ["2", "２", "二", "99"])
async def test_without_any_list_a_number_is_no_question(hesitant: Conversation, typed: str) -> None:
    nothing = hesitant.texts("faq.no_list")
    assert await hesitant.say(typed) == nothing
    assert hesitant.handler == "choice"
    await hesitant.say("课程")
    hesitant.later(days=2)
    assert await hesitant.say(typed) == nothing
    assert await hesitant.store.content.gaps() == []


async def test_a_number_that_the_faq_has_as_a_question_is_answered(talk: Conversation) -> None:
    await talk.store.content.add_faq(NewFaq("6", "资料在这里。"), talk.at)
    await talk.reload()
    assert (await talk.say("6")).startswith("资料在这里。")
    assert await talk.say("7") == talk.texts("faq.no_list")


async def test_a_choice_deleted_since_is_gone(talk: Conversation) -> None:
    await talk.say("课程")
    talk.items = {}
    assert await talk.say("1") == talk.texts("content.choice_gone")


async def test_leaving_forgets_the_list(talk: Conversation) -> None:
    await talk.say("课程")
    assert await talk.say("退出") == talk.texts("common.cancelled")
    assert await talk.say("退出") == talk.texts("common.nothing_to_cancel")
    assert await talk.say("1") == talk.texts("faq.no_list")


async def test_the_same_number_twice_gives_the_same(talk: Conversation) -> None:
    await talk.say("课程")
    assert "写作入门" in await talk.say("2", crash_first=True)
