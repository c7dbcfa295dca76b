"""What rules see of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import ANSWER_RULES, GROUP_RULES, KEYWORD_RULES, ROUTERS, RULES
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import LONGEST, Router, Rules, asking, dispatch, folded
from tests.handlers.conftest import Conversation
from tests.handlers.test_membership import rules


@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        (" 课程？ ", "课程"),
        ("ＨＥＬＰ!", "help"),
        ("转人工。", "转人工"),
        ("1?", "1"),
        ("1️⃣", "1"),
        ("谢谢🙏", "谢谢"),
        ("谢谢🙏🏻", "谢谢"),
        ("有用👍🏽！", "有用"),
        ("好的👨‍👩‍👧", "好的"),
        ("再见 👋 ~", "再见"),
        ("谢谢[抱拳][微笑]", "谢谢"),
        ("谢谢/:rose", "谢谢"),
        ("谢谢/:rose/::)", "谢谢"),
        ("确认忘记？🤔", "确认忘记"),
        ("c++", "c++"),
        ("c#", "c#"),
        ("1 =>", "1 =>"),
        ("？？", "??"),
        ("🙏", "🙏"),
        ("[微笑]", "[微笑]"),
        ("/:rose", "/:rose"),
        ("👍课程", "👍课程"),
        ("", ""),
    ],
)
def test_what_closes_a_text_is_left_out(typed: str, seen: str) -> None:
    assert folded(typed) == seen


@given(st.text(alphabet="课a1 ？?。!🙏🏻️⃣[]/:微", max_size=12))
def test_folding_twice_changes_nothing_and_never_takes_all(text: str) -> None:
    once = folded(text)
    assert folded(once) == once
    assert bool(once) == bool(text.strip())


@pytest.mark.parametrize(
    ("typed", "question"),
    [
        ("确认忘记？", True),
        ("确认?。", True),
        ("确认？！", True),
        ("确认❓", True),
        ("确认？[疑问]", True),
        ("确认", False),
        ("确认。", False),
        ("确认👌", False),
        ("怎么退款？我急", False),
        ("？", True),
        ("", False),
    ],
)
def test_a_closing_question_mark_makes_a_question(typed: str, question: bool) -> None:
    assert asking(typed) is question


async def test_a_refused_answer_takes_along_what_would_follow_it(talk: Conversation) -> None:
    router = Router("club")

    @router.text("会刊")
    async def issue(message: Message, ctx: Context) -> Reply | None:
        ctx.then.append(Reply.text("里面的话"))
        return Reply.text("会刊")

    message = talk.message("会刊")
    ctx = await talk.context(message)
    assert (await dispatch(Rules([router]), message, ctx)).reply.content == "会刊"
    assert len(ctx.then) == 1
    talk.rewards = rules(club="paid-monthly")
    ctx = await talk.context(message)
    assert (await dispatch(Rules([router]), message, ctx)).handler == "membership.gate"
    assert ctx.then == []


# Where a rule may speak


async def _answer(message: Message, ctx: Context) -> Reply:
    return Reply.text("好")


def _router() -> Router:
    router = Router("club")
    router.text("会刊")(_answer)
    router.text("活动", where="both")(_answer)
    router.text("接龙|参加", where="group", keyword=True)(_answer)
    router.text(r"接龙\s.+", where="group")(_answer)
    router.kind("image", where="group")(_answer)
    router.event("group_join", where="group")(_answer)
    return router


def test_what_declares_nothing_is_silent_in_groups() -> None:
    router = _router()
    private, group = Rules([router]), Rules([router], "group")
    keywords = Rules([router], "group", keywords=True)
    taken = {
        text: (private.take(text), group.take(text), keywords.take(text))
        for text in ("会刊", "活动", "接龙", "接龙 二", "天气")
    }
    assert taken == {
        "会刊": (True, False, False),
        "活动": (True, True, False),
        "接龙": (False, True, True),
        "接龙 二": (False, True, False),
        "天气": (False, False, False),
    }
    assert all(Rules([router], None).take(text) for text in taken if text != "天气")


async def test_events_and_pictures_are_found_only_where_their_rule_speaks(
    talk: Conversation,
) -> None:
    router = _router()
    picture = talk.message(kind="image")
    came = talk.message(event="group_join")
    for message in (picture, came):
        assert list(Rules([router]).of(message, "")) == []
        assert len(list(Rules([router], "group").of(message, ""))) == 1


def test_a_keyword_that_nobody_may_say_in_a_group_stops_the_start() -> None:
    with pytest.raises(ValueError, match="a keyword is for groups"):
        Router("club").text("会刊", keyword=True)(_answer)


def test_a_keyword_is_a_word_and_its_handler_answers_it() -> None:
    """Heard from everybody who types it: no pattern, no question mark, no passing on."""
    rules = [rule for router in ROUTERS for rule in router.rules if rule.keyword]
    assert rules
    for rule in rules:
        assert rule.words, f"{rule.name}: a pattern takes chatter, too"
        assert rule.sure, f"{rule.name}: a keyword that nobody answers is none"
        for word in rule.words:
            assert 2 <= len(word) <= 12, word
            assert not asking(word), word


def test_what_may_be_said_in_a_group_is_declared_rule_by_rule() -> None:
    named = {
        rule.name for router in ROUTERS for rule in router.rules if rule.where in ("group", "both")
    }
    assert {"faq", "content", "about", "help", "points.checkin", "ranking", "choice"} <= named
    private = (
        *("coupon", "privacy", "points.mine", "points.exchange", "course", "referral"),
        *("membership", "topics", "operator.", "human", "rest", "quiz.begin"),
    )
    assert not [name for name in named if name.startswith(private)]


def test_words_of_groups_are_the_same_words_in_private() -> None:
    for word in ("签到", "排行榜", "课程", "帮助"):
        assert RULES.take(word)
        assert GROUP_RULES.take(word)
    assert KEYWORD_RULES.take("签到")
    for word in ("我的券", "我的积分", "忘记我", "帮助", "课程", "谢谢", "1"):
        assert not KEYWORD_RULES.take(word), word
    assert ANSWER_RULES is not GROUP_RULES


@pytest.mark.parametrize("sign", ["[捂脸]", "/:rose", "😀", "！"])
def test_a_flood_of_emoji_is_folded_in_few_steps(sign: str) -> None:
    text = "在" + sign * 20_000
    assert len(folded(text)) > len(text) - 1000 or folded(text) == "在"
    assert folded("转人工" + sign * 20) == "转人工"


async def test_rules_tell_by_the_beginning_and_the_handler_gets_it_all(talk: Conversation) -> None:
    router, seen = Router("long"), []

    @router.text("问+")
    async def hear(message: Message, ctx: Context) -> Reply:
        seen.append(message.text)
        return Reply.text("好")

    message = talk.message("问" * LONGEST + "完")
    await dispatch(Rules([router]), message, await talk.context(message))
    assert seen == [message.text]
