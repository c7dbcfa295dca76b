"""/points: given and taken with a reason, once for a message, and on record."""

from __future__ import annotations

import pytest

from tests.handlers.conftest import Conversation


@pytest.fixture
async def desk(talk: Conversation) -> Conversation:
    """o_lin is a member, o_boss an operator."""
    await talk.member()
    await talk.promote("o_boss")
    return talk


async def ask(desk: Conversation, text: str, *, crash_first: bool = False) -> str:
    return await desk.say(text, who="o_boss", crash_first=crash_first)


async def balance(desk: Conversation, who: str = "o_lin") -> int:
    return (await desk.store.points.balance(await desk.member(who))).balance


async def audit(desk: Conversation) -> list[tuple[str, str, str]]:
    return [
        (row.action, row.target, row.detail.rpartition(" [")[0])
        for row in await desk.store.audit.newest()
    ]


async def test_points_are_given_after_a_preview(desk: Conversation) -> None:
    lin = await desk.member()
    said = await ask(desk, f"/points grant {lin} 100 活动  奖励", crash_first=True)
    assert said.startswith(f"给成员 {lin} 加 100 分，原因：活动 奖励（对方看得到）。现有 0 分。")
    assert await balance(desk) == 0
    done = await ask(desk, "确认", crash_first=True)
    assert done == f"已给成员 {lin} 加 100 分，现有 100 分。"
    assert desk.handler == "operator.points"
    assert await balance(desk) == 100, "once, though it ran twice"
    assert await audit(desk) == [("points.grant", f"member:{lin}", "100: 活动 奖励")]
    (entry,) = await desk.store.points.history(lin)
    assert (entry.note, entry.actor) == ("活动 奖励", f"member:{await desk.member('o_boss')}")
    assert "运营调整 +100（活动 奖励）" in await desk.say("我的积分")
    await ask(desk, "确认")
    assert await balance(desk) == 100


async def test_points_are_taken_but_never_more_than_there_are(desk: Conversation) -> None:
    lin = await desk.member()
    await desk.store.points.post(lin, 60, "quiz", "quiz:1", desk.at)
    short = f"成员 {lin} 只有 60 分，扣不了 61 分。"
    assert await ask(desk, f"/points take {lin} 61 发错了") == short
    said = await ask(desk, f"/points take #{lin} 60 发错了")
    assert said.startswith(f"从成员 {lin} 扣 60 分，原因：发错了（对方看得到）。现有 60 分。")
    await desk.store.points.post(lin, -1, "coupon", "coupon:1", desk.at)
    assert await ask(desk, "确认") == f"成员 {lin} 只有 59 分，扣不了 60 分。", "spent meanwhile"
    assert await audit(desk) == []
    await ask(desk, f"/points take {lin} 50 发错了")
    assert await ask(desk, "确认", crash_first=True) == f"已从成员 {lin} 扣 50 分，现有 9 分。"
    assert await audit(desk) == [("points.take", f"member:{lin}", "50: 发错了")]
    assert await desk.store.points.audit_sums() == []


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "1",
        "1 100",
        "1 100  ",
        "1 0 原因",
        "1 -5 原因",
        "1 1000001 原因",
        "x 1 原因",
        "1 y 原因",
    ],
)
@pytest.mark.parametrize("verb", ["grant", "take"])
async def test_what_is_incomplete_is_told_how(desk: Conversation, verb: str, typed: str) -> None:
    said = await ask(desk, f"/points {verb} {typed}")
    assert said.startswith(f"请写全：/points {verb} 成员号 分数 原因")
    assert await ask(desk, "确认") == desk.texts("operator.confirm_nothing")


async def test_a_reason_has_an_end(desk: Conversation) -> None:
    assert "给成员 1" in await ask(desk, f"/points grant 1 5 {'长' * 60}")
    assert "请写全" in await ask(desk, f"/points grant 1 5 {'长' * 61}")


async def test_nobody_is_given_anything_who_is_not_there(desk: Conversation) -> None:
    missing = desk.texts("operator.who_not_found")
    assert await ask(desk, "/points grant 404 5 原因") == missing
    assert await ask(desk, "/points show 404") == missing
    lin = await desk.member()
    await ask(desk, f"/points grant {lin} 5 原因")
    await desk.store.members.erase(lin, desk.at)
    assert await ask(desk, "确认") == missing
    assert await audit(desk) == []


async def test_a_report_by_reason(desk: Conversation) -> None:
    said = await ask(desk, "/points report")
    assert said.split("\n") == [
        "最近 30 天积分",
        "没有变动",
        "合计发出 0，收回 0",
        "0 位成员手里共有 0 分",
    ]
    await desk.say("签到")
    desk.later(days=7)
    lin = await desk.member()
    await desk.store.points.post(lin, 100, "purchase", "event:1", desk.at)
    await desk.store.points.post(lin, -30, "coupon", "coupon:1", desk.at)
    assert (await ask(desk, "/points report 7")).split("\n") == [
        "最近 7 天积分",
        "购买：发出 100，收回 0",
        "兑换：发出 0，收回 30",
        "合计发出 100，收回 30",
        "1 位成员手里共有 75 分",
    ]
    assert "签到：发出 5，收回 0" in await ask(desk, "/points report 8")
    for typed in ("0", "367", "x"):
        said = await ask(desk, f"/points report {typed}")
        assert said == desk.texts("points.report_usage", limit=366)


async def test_one_members_account(desk: Conversation) -> None:
    await desk.say("签到")
    lin = await desk.member()
    assert (await ask(desk, f"/points show {lin}", crash_first=True)).split("\n") == [
        f"成员 {lin}：5 分，累计得过 5 分",
        "11-21 签到 +5",
    ]
    assert await audit(desk) == [("points.show", f"member:{lin}", "")]
    assert await ask(desk, "/points show x") == desk.texts("points.usage")
    assert await ask(desk, "/points") == desk.texts("points.usage")
    assert await ask(desk, "/points 别的") == desk.texts("points.usage")


async def test_members_have_no_such_command(desk: Conversation) -> None:
    lin = await desk.member()
    said = await desk.say(f"/points grant {lin} 100 给自己")
    assert said == desk.texts("operator.not_allowed")
    assert await balance(desk) == 0
