"""A report in words: what arrived, what it caused, and when nothing can be said yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from handlers.campaign_results import told
from handlers.context import SHANGHAI
from handlers.texts import Texts
from insights.experiments import judge
from store.campaign_report import Arm, MassCounts, Report

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=SHANGHAI)
AT = NOW.timestamp()


@pytest.fixture(scope="module")
def texts() -> Texts:
    return Texts.load()


def report(*arms: Arm, **fields: Any) -> Report:
    usual: dict[str, Any] = {
        "campaign_id": 12,
        "kind": "once",
        "title": "双十一",
        "channel": "mp",
        "status": "done",
        "metric": "purchase",
        "window_s": 86_400.0,
        "holdout": 0.1,
        "test_share": 0.0,
        "winner": "",
        "note": "",
        "created_at": AT - 9e5,
        "started_at": AT - 8e5,
        "ended_at": AT - 7e5,
        "at": AT,
        "closes_at": AT - 6e5,
    }
    return Report(**{**usual, **fields}, arms=arms)


def arm(variant: str, assigned: int, buyers: int, **fields: Any) -> Arm:
    return Arm(variant=variant, assigned=assigned, buyers=buyers, **fields)


def said(texts: Texts, one: Report, begins: str = "") -> str:
    text = told(texts, one, judge(one, one.metric), NOW, begins)
    assert len(text.encode()) <= 2048
    return text


def test_everything_there_is_to_say(texts: Texts) -> None:
    one = report(
        arm(
            *("A", 4500, 450),
            weight=1,
            accepted=4400,
            delivered=4300,
            unknown=3,
            refused={"not_following": 40, "blocked": 5},
            skipped={"opted_out": 50, "stopped:bought": 1, "stopped:left": 1},
            clicks=900,
            claims=700,
            orders=460,
            revenue_cents=4_600_000,
            revenue_squares=4.6e10,
            replies=12,
            optouts=9,
            leaves=2,
            discount_cents=90_000,
        ),
        arm("B", 4500, 360, weight=1, accepted=4500, orders=360, revenue_cents=3_600_000),
        arm("", 1000, 50, held=True, orders=50, revenue_cents=500_000, revenue_squares=5e9),
        left_out={"unreachable": 1234},
        mass=MassCounts(parts=2, told=2, total=9000, filtered=10, sent=8900, errors=90),
    )
    text = said(texts, one)
    for piece in (
        "活动 12《双十一》已结束",
        "该发 9,000 人，微信已接收 8,900 人。",
        "微信确认送达 4,300 人",
        "不知道送没送到 3 人：「/campaign unknown 12」",
        "没送到：没有关注 40 人、拉黑了我们 5 人",
        "没发：现在联系不上 1,234 人、已退订 50 人、旅程已停 2 人",
        "共 9,000，过滤掉 10，送达 8,900，失败 90",
        "点击 900 人，领取 700 人，购买 810 人，回复 12 人。",
        "订单 820 笔，收入 82000 元，优惠 900 元。",
        "退订 9 人，取消关注 2 人。",
        "版本 A：4,500 人，购买 450 人（10.0%）",
        "没发的对照组：1,000 人，购买 50 人（5.0%）",
        "购买：比对照组高 4.0 个百分点（95% 区间",
        "，相对 +80%（",
        "确实有差别",
    ):
        assert piece in text, piece
    assert "还会变" not in text
    assert "不够" not in text


def test_too_few_say_how_many_more(texts: Texts) -> None:
    text = said(texts, report(arm("A", 90, 12), arm("", 10, 1, held=True)))
    assert "还分不清是不是巧合" in text
    assert "数据还不够，大约还要" in text


def test_versions_are_compared_with_each_other_beside_a_hold_out(texts: Texts) -> None:
    one = report(
        arm("A", 500, 57, weight=1), arm("B", 500, 370, weight=1), arm("", 100, 10, held=True)
    )
    text = said(texts, one)
    assert "购买：比对照组高 32." in text
    assert "购买：版本 B 比版本 A高 62.6 个百分点" in text


def test_no_difference_is_not_told_as_a_worse_one(texts: Texts) -> None:
    text = said(texts, report(arm("A", 900, 90), arm("", 100, 10, held=True)))
    assert "购买：比对照组看不出差别（95% 区间 -" in text
    assert "差 0.0" not in text


def test_while_answers_come_in_nobody_says_how_many_are_needed(texts: Texts) -> None:
    arms = (arm("A", 900, 0), arm("", 100, 0, held=True))
    assert "大约还要" not in said(texts, report(*arms, closes_at=AT + 86_400))
    over = said(texts, report(*arms))
    assert "大约还要" not in over, "nobody did it: no number is a guess of it"
    assert texts("campaign_report.not_enough") in over


def test_who_waits_for_a_winner_is_told_as_such(texts: Texts) -> None:
    waiting = report(
        arm("A", 20, 3, weight=1), arm("B", 20, 3, weight=1), arm("", 160, 0, rest=True)
    )
    text = said(texts, waiting)
    assert "等试发结果的：160 人" in text
    assert "版本 （" not in text


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("not_arrived", "运营记为没收到 1 人"),
        ("busy", "微信一直繁忙 1 人"),
        ("lease", "发送程序换了，没轮到 1 人"),
        ("refused:45047", "被微信拒绝 1 人"),
        ("something_new", "别的原因 1 人"),
    ],
)
def test_every_reason_is_told_in_chinese(texts: Texts, reason: str, says: str) -> None:
    text = said(texts, report(arm("A", 10, 1, refused={reason: 1})))
    assert f"没送到：{says}" in text


def test_a_late_one_names_the_commands_of_its_decision(texts: Texts) -> None:
    for note in ("late", "overdue", "grown", "to_all"):
        text = said(texts, report(arm("A", 100, 3), status="late", note=note))
        assert "「/campaign cancel 12」" in text, note
        assert "「取消」" not in text
    assert "说明：停下了：出错。" in said(texts, report(arm("A", 1, 0), note="error"))


def test_fewer_buyers_than_without_it_are_told_as_fewer(texts: Texts) -> None:
    text = said(texts, report(arm("A", 5000, 100), arm("", 5000, 400, held=True), holdout=0.5))
    assert "购买：比对照组低 6.0 个百分点（95% 区间 5." in text


def test_two_versions_without_hold_out(texts: Texts) -> None:
    one = report(
        arm("A", 3000, 0, clicks=300, weight=1),
        arm("B", 3000, 0, clicks=450, weight=1),
        metric="click",
        holdout=0.0,
        winner="B",
    )
    text = said(texts, one)
    assert "点击：版本 B 比版本 A高 5.0 个百分点" in text
    assert "试发选中了版本 B" in text


def test_arms_of_the_wrong_size_are_not_to_be_trusted(texts: Texts) -> None:
    one = report(
        arm("A", 4000, 40, weight=1), arm("B", 2000, 20, weight=1), holdout=0.0, metric="purchase"
    )
    assert "对不上" in said(texts, one)


@pytest.mark.parametrize(
    ("arms", "metric", "why"),
    [
        ((arm("A", 100, 3),), "purchase", "没有留对照组"),
        ((arm("A", 100, 3, clicks=9),), "click", "只有一个版本"),
    ],
)
def test_why_nothing_can_be_compared(
    texts: Texts, arms: tuple[Arm, ...], metric: str, why: str
) -> None:
    assert why in said(texts, report(*arms, metric=metric))


def test_before_anything_went_out(texts: Texts) -> None:
    text = said(texts, report(status="draft", started_at=None, ended_at=None, closes_at=None))
    assert text.endswith(texts("campaign_report.nothing_draft", campaign=12))
    scheduled = report(status="scheduled", started_at=None, ended_at=None, closes_at=None)
    assert "时间：今天 20:00。" in said(texts, scheduled, "今天 20:00")
    assert said(texts, scheduled).endswith(texts("campaign_report.nothing"))


def test_one_on_its_way_is_not_final(texts: Texts) -> None:
    one = report(arm("A", 100, 3, open=40), status="running", closes_at=AT + 86_400)
    assert "还没发 40 人" in said(texts, one)
    assert "统计到 明天 10:30" in said(texts, one)
    assert "还在变" in said(texts, replace(one, closes_at=None))


def test_why_it_stands_still(texts: Texts) -> None:
    one = report(arm("A", 100, 3), status="paused", note="errors")
    assert "说明：失败太多，自己停下了。" in said(texts, one)
    assert "说明：请把 IP 加到白名单" in said(texts, replace(one, note="请把 IP 加到白名单"))


def test_runs_of_one_that_repeats(texts: Texts) -> None:
    assert "共发过 3 次" in said(texts, report(arm("A", 100, 3), campaigns=3))
