"""What we know of you; forget me."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handlers import RULES
from handlers.message import Source
from handlers.router import dispatch
from store.dialect import Connection, tables
from store.events import NewEvent
from store.offers import NewOffer
from store.talk import NewTalk
from tests.handlers.conftest import Conversation


async def test_my_data_in_numbers_without_the_openid(talk: Conversation) -> None:
    await talk.say("怎么退款")
    await talk.say("订阅 直播")
    talk.later(days=3)
    said = await talk.say("我的数据")
    assert "初次来访：2026-11-21" in said
    assert "2 条（含你发来的文字）" in said
    assert "直播" in said
    assert "（成员）" in said
    assert "o_lin" not in said


async def test_my_data_counts_everything_that_is_kept(talk: Conversation) -> None:
    number = await talk.member()
    await talk.say("怎么退款")
    await talk.say("有用")
    await talk.say("提醒我")
    for id, kind in enumerate(("enroll", "click", "enroll", "refund")):
        course = "py-data" if id > 1 else "py-zero"
        await talk.store.events.add(
            [NewEvent(f"e{id}", kind, talk.at + id, member_id=number, item_id=course)], talk.at
        )
    await talk.say("交作业 今天写了三行")
    await talk.store.tags.add(number, "老学员", talk.at, limit=5)
    offer = await talk.store.offers.create(
        NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500), talk.at, "cli"
    )
    assert offer is not None
    await talk.say("领券 早鸟")
    await talk.say("签到")
    said = await talk.say("我的数据")
    assert "课程和进度：1 门，作业：1 份，提醒：1 个" in said
    assert "点击、浏览和购买：5 条，评价：1 条，标签：1 个" in said
    assert "优惠券：1 张，积分：5，签到：1 天" in said
    assert "竞赛：0 场，邀请来的朋友：0 位" in said
    assert "课程和进度：0 门" in await talk.say("我的数据", who="o_wang")


async def test_my_data_says_what_groups_know(talk: Conversation) -> None:
    number = await talk.member()
    other = (await talk.store.members.meet("mp", "o_wang", talk.at)).id
    await talk.store.groups.meet("mp", "g1", talk.at, bound_by="op")
    for key in range(2):
        await talk.store.talk.say(
            NewTalk(
                *(key.to_bytes(16, "big"), "mp:g1", "mp", "o_lin", talk.at, "text", "早"),
                to=(("o_wang", 1.0),),
            )
        )
    said = await talk.say("我的数据")
    assert "记着 2 条发言，和 1 位群友聊得多；接龙 0 次" in said
    assert "微信标识（openid、unionid），" in said
    assert (await talk.store.talk.kept(other)).people == 1
    await talk.say("别记录我")
    assert "不记录发言" in await talk.say("我的数据")
    await talk.store.members.unite("mp", "o_lin", "u")
    await talk.store.members.meet("qun", "wxid_lin", talk.at)
    assert await talk.store.members.unite("qun", "wxid_lin", "u") == number
    assert "openid、unionid）和你在其他渠道的标识，" in await talk.say("我的数据")


@pytest.mark.parametrize(
    ("source", "called"),
    [("onebot", "账号标识"), ("wecom", "企业微信标识"), ("official", "openid")],
)
async def test_what_one_is_known_by_is_named_as_it_is_called_there(
    talk: Conversation, source: Source, called: str
) -> None:
    await talk.member()
    asked = replace(talk.message("我的数据"), source=source)
    done = await dispatch(RULES, asked, await talk.context(asked))
    assert called in done.reply.content
    assert ("openid" in done.reply.content) == (source == "official")


async def test_who_is_not_recorded_stays_so_when_forgotten_and_is_told(talk: Conversation) -> None:
    await talk.say("别记录我")
    await talk.say("忘记我")
    assert "「别记录我」仍然有效" in await talk.say("确认忘记")
    assert "不记录发言" in await talk.say("我的数据")


@pytest.mark.parametrize(
    "table",
    [
        *("群里的发言", "接龙", "别记录我"),
        *("提醒", "标签", "作业", "评价", "我的课程", "优惠券", "积分"),
    ],
)
async def test_what_goes_is_named(talk: Conversation, table: str) -> None:
    assert table in await talk.say("忘记我")


@pytest.mark.parametrize("typed", ["确认忘记？", "确认忘记?", "确认忘记❓", "确认忘记？🤔"])
async def test_a_question_forgets_nobody(talk: Conversation, typed: str) -> None:
    number = await talk.member()
    assert await talk.say(typed) == talk.texts("privacy.forget_nothing")
    asked = await talk.say("忘记我")
    assert await talk.say(typed) == asked
    assert await talk.store.members.card(number) is not None
    assert await talk.say("确认忘记。") == talk.texts("privacy.forget_done")


async def test_the_shorter_word_says_which_one_is_meant(talk: Conversation) -> None:
    number = await talk.member()
    await talk.say("忘记我")
    assert await talk.say("确认") == talk.texts("privacy.forget_word")
    assert await talk.store.members.card(number) is not None
    await talk.say("退出")
    assert await talk.say("确认") != talk.texts("privacy.forget_word")


async def test_an_operators_short_word_is_about_their_command(talk: Conversation) -> None:
    await talk.promote("o_lin")
    await talk.say("忘记我")
    await talk.say("/menu push")
    assert "菜单已更新" in await talk.say("确认")


async def test_forgetting_needs_two_words(talk: Conversation) -> None:
    number = await talk.member()
    assert await talk.say("确认忘记") == talk.texts("privacy.forget_nothing")
    assert await talk.say("忘记我") == talk.texts("privacy.forget_ask")
    assert await talk.store.members.card(number) is not None
    assert await talk.say("确认忘记") == talk.texts("privacy.forget_done")
    assert await talk.store.members.card(number) is None


@pytest.mark.parametrize("role", ["operator", "owner"])
async def test_who_has_a_role_is_told_that_it_goes_too(talk: Conversation, role: str) -> None:
    assert "运营权限" not in await talk.say("忘记我")
    await talk.promote("o_lin", role)
    said = await talk.say("忘记我")
    assert said.endswith("\n你的运营权限也会一起删除。")
    await talk.say("确认忘记")
    assert await talk.say("/help") == talk.texts("operator.not_allowed")


async def test_no_table_still_knows_the_member(talk: Conversation) -> None:
    await talk.say("订阅 直播")
    await talk.say("课程")
    await talk.say("我的猫叫团团", who="o_lin")
    await talk.say("忘记我")
    assert "o_lin" in await everything(talk)
    await talk.say("确认忘记")
    assert talk.ctx is not None
    assert talk.ctx.erased
    left = await everything(talk)
    assert "o_lin" not in left
    assert "团团" not in left, "a question nobody else asked goes from the gap list, too"


async def test_a_question_that_others_asked_too_stays_in_the_gap_list(talk: Conversation) -> None:
    for who in ("o_lin", "o_wang"):
        await talk.say("我的猫叫团团", who=who)
    await talk.say("忘记我")
    await talk.say("确认忘记")
    assert [gap.count for gap in await talk.store.content.gaps()] == [2]
    assert "没答上来的问题" in talk.texts("privacy.forget_ask")


async def everything(talk: Conversation) -> str:
    """Every row of every table."""

    def run(conn: Connection) -> str:
        names = tables(conn)
        return repr([conn.execute(f"select * from {name}").fetchall() for name in names])

    return await talk.store.db.read(run)


async def test_the_audit_knows_that_it_happened_but_not_to_whom(talk: Conversation) -> None:
    number = await talk.member()
    await talk.say("忘记我")
    await talk.say("确认忘记")
    [row] = await talk.store.audit.newest()
    assert (row.actor, row.action) == (f"member:{number}", "member.forget")
    assert "o_lin" not in repr(row)


async def test_after_ten_minutes_the_word_means_nothing(talk: Conversation) -> None:
    await talk.say("忘记我")
    talk.later(minutes=10)
    assert await talk.say("确认忘记") == talk.texts("privacy.forget_nothing")
    assert await talk.store.members.card(await talk.member()) is not None


async def test_one_may_think_better_of_it(talk: Conversation) -> None:
    await talk.say("忘记我")
    assert await talk.say("退出") == talk.texts("privacy.forget_cancelled")
    assert await talk.say("确认忘记") == talk.texts("privacy.forget_nothing")


async def test_a_crash_before_the_answer_still_says_that_it_is_done(talk: Conversation) -> None:
    await talk.say("忘记我")
    assert await talk.say("确认忘记", crash_first=True) == talk.texts("privacy.forget_done")
    assert await talk.interactions() == []


async def test_a_forgotten_member_is_met_as_a_stranger(talk: Conversation) -> None:
    await talk.say("订阅 直播")
    await talk.say("忘记我")
    await talk.say("确认忘记")
    assert "话题：无" in await talk.say("我的数据")
