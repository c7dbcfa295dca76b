"""What rules see of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, Rules, asking, dispatch, folded
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
