"""Fixed sentences, which must not touch the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers import RULES
from handlers.context import Context
from handlers.router import dispatch
from store import Store
from store.members import Member
from tests.handlers.conftest import CHANNEL, Conversation


@pytest.mark.parametrize("typed", ["帮助", "help", "HELP", "ｈｅｌｐ", " 菜单 ", "功能"])
async def test_help_by_any_of_its_names(empty: Conversation, typed: str) -> None:
    assert await empty.say(typed) == empty.texts("help.member")
    assert empty.handler == "help"


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        *[(word, "help.greeting") for word in ("你好", "Hi", "你好呀", "早", "晚上好！", "晚安")],
        *[(word, "help.thanks") for word in ("谢谢", "Thanks!")],
        *[(word, "help.ok") for word in ("好的", "嗯", "OK", "知道了")],
        *[(word, "help.goodbye") for word in ("拜拜", "再见", "88")],
    ],
)
async def test_manners_are_no_gap(empty: Conversation, typed: str, key: str) -> None:
    assert await empty.say(typed) == empty.texts(key)
    assert await empty.store.content.gaps() == []


@pytest.mark.parametrize("typed", ["你是机器人吗", "你是谁？", "你是真人吗?"])
async def test_the_bot_says_that_it_is_one(talk: Conversation, typed: str) -> None:
    said = await talk.say(typed)
    assert said.startswith("我是知行社的自动助手")
    assert talk.handler == "who"


@pytest.mark.parametrize(
    ("typed", "handler"),
    [("帮助", "help"), ("怎么退款", "faq"), ("有什么办法申请退款", None), ("转人工", "human")],
)
async def test_the_hot_path_awaits_nothing_of_the_store(
    talk: Conversation, tmp_path: Path, typed: str, handler: str | None
) -> None:
    """A store that was never opened refuses every read and write."""
    message = talk.message(typed)
    ctx: Context = await talk.context(message)
    ctx.store = Store(tmp_path / "never-opened.db")
    ctx.member = Member(1, CHANNEL, "o_lin", "member", True)
    if handler is None:
        # The proof that the check can fail: unsure and unknown do need the store.
        ctx.answers = {}
        with pytest.raises(AssertionError):
            await dispatch(RULES, message, ctx)
        return
    outcome = await dispatch(RULES, message, ctx)
    assert outcome.handler == handler
    ctx.store.db._readers.shutdown()
