"""Fixed sentences, which must not touch the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers import RULES
from handlers.context import Context
from handlers.rewards import MembershipRules, ReferralRules, Rewards
from handlers.router import dispatch
from store import Store, StoreError
from store.members import Member
from tests.blank import blank
from tests.handlers.conftest import CHANNEL, Conversation
from tests.handlers.test_about import Codes


@pytest.mark.parametrize("typed", ["帮助", "help", "HELP", "ｈｅｌｐ", " 菜单 ", "功能"])
async def test_help_by_any_of_its_names(empty: Conversation, typed: str) -> None:
    assert await empty.say(typed) == empty.texts("help.member")
    assert empty.handler == "help"


async def test_help_names_only_what_is_on(empty: Conversation) -> None:
    assert "邀请" not in await empty.say("帮助")
    assert "会员" not in await empty.say("帮助")
    empty.rewards = Rewards(
        referral=ReferralRules(enabled=True), membership=MembershipRules(("trial",))
    )
    said = await empty.say("帮助")
    assert said.endswith(empty.texts("help.membership"))
    assert "邀请" not in said, "this account has no way to"
    empty.invitations = Codes(pays=True)  # type: ignore[assignment]
    assert empty.texts("help.referral") in await empty.say("帮助")
    assert len(said.encode()) <= 2048


SAID = {
    "help.greeting": (
        *("你好", "Hi", "你好呀", "早", "早安", "晚上好！", "晚安", "老师好", "大家好", "在吗？"),
        *("你好，在吗", "你好老师", "有人在吗？", "您好，请问"),
    ),
    "help.thanks": (
        *("谢谢", "Thanks!", "谢谢🙏", "谢谢老师", "谢啦", "谢了", "谢谢啦", "非常感谢", "辛苦了"),
        *(
            "好的，谢谢老师",
            "好的谢谢",
            "老师辛苦了",
            "感谢您的解答",
            "谢谢/:rose",
            "多谢[抱拳]",
            "3q",
        ),
    ),
    "help.ok": (
        *(
            "好的",
            "嗯",
            "OK",
            "知道了",
            "好",
            "哦",
            "好吧",
            "好滴",
            "好的好的",
            "收到",
            "行",
            "可以",
        ),
        *("ok了", "明白了", "知道啦", "好的👌🏻", "嗯嗯嗯嗯"),
    ),
    "help.goodbye": ("拜拜", "再见", "88", "再见啦", "bye", "明天见"),
    "help.wish": ("新年快乐", "祝老师新年快乐！", "祝大家教师节快乐", "过年好"),
    "help.laughter": ("哈哈", "哈哈哈哈哈😂", "hahaha"),
    "help.member": ("你能做什么", "你能干嘛", "你会什么？", "你们可以做什么", "帮助？", "怎么用？"),
}


@pytest.mark.parametrize(
    ("typed", "key"), [(word, key) for key, words in SAID.items() for word in words]
)
async def test_manners_are_no_gap(empty: Conversation, typed: str, key: str) -> None:
    assert await empty.say(typed) == empty.texts(key)
    assert await empty.store.content.gaps() == []


@pytest.mark.parametrize(
    "typed",
    [
        *("谢谢老师怎么退款", "好的，怎么报名", "可以退款吗", "你好怎么退款", "行不行", "老师好吗"),
        *("你能做什么课", "收到货了吗", "哈哈镜怎么买", "新年快乐的课有吗", "早鸟价多少"),
    ],
)
async def test_a_question_with_manners_is_still_a_question(talk: Conversation, typed: str) -> None:
    await talk.say(typed)
    assert talk.handler.partition(".")[0] in ("faq", "content", "follow")


@pytest.mark.parametrize(
    "typed",
    ["你是机器人吗", "你是谁？", "你是真人吗?", "你是AI吗", "你到底是不是人", "你叫什么名字"],
)
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
    """A closed store refuses every read and write; that no quiz runs it knew before."""
    message = talk.message(typed)
    ctx: Context = await talk.context(message)
    ctx.store = Store(blank(tmp_path / "closed.db"))
    await ctx.store.open()
    assert await ctx.store.quizzes.on(ctx.at) == ()
    await ctx.store.close()
    ctx.member = Member(1, CHANNEL, "o_lin", "member", True)
    if handler is None:
        # The proof that the check can fail: unsure and unknown do need the store.
        ctx.answers = {}
        with pytest.raises(StoreError):
            await dispatch(RULES, message, ctx)
        return
    outcome = await dispatch(RULES, message, ctx)
    assert outcome.handler == handler
