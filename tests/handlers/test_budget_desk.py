"""/budget: costs are recorded once and asked before they change; a plan refuses or explains."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pytest

from handlers.budget_desk import MOST_CENTS, cents_of, day_of
from handlers.report_text import days
from insights import spending_report
from insights.spending import Curve, Weeks, fit
from insights.spending_report import Curves
from store.place_costs import PlaceCost
from tests.handlers.group_operators import Desk, desk

__all__ = ["desk"]

TODAY = date(2026, 11, 21)


async def costs(desk: Desk) -> list[PlaceCost]:
    return await desk.store.place_costs.newest(50)


async def two_groups(desk: Desk) -> None:
    await desk.group()
    await desk.group("2", name="读书 会 2026")


# Words


@pytest.mark.parametrize(
    ("typed", "cents"),
    [
        ("300", 300_00),
        ("300元", 300_00),
        ("￥1,200.5", 1200_50),
        ("３００", 300_00),
        ("1.25万", 12_500_00),
        ("0", 0),
        ("-5", None),
        ("三百", None),
        ("1e9", None),
        ("12.345", None),
        ("99999999", None),
        ("9999999万", None),
        ("", None),
    ],
)
def test_amounts_as_people_type_them(typed: str, cents: int | None) -> None:
    assert cents_of(typed) == cents


@pytest.mark.parametrize(
    ("typed", "day"),
    [
        ("这周", "2026-11-16"),
        ("上周", "2026-11-09"),
        ("今天", "2026-11-21"),
        ("昨天", "2026-11-20"),
        ("2026-11-02", "2026-11-02"),
        ("11月2日", "2026-11-02"),
        ("12-30", "2025-12-30"),
        ("2026-02-30", None),
        ("2-29", None),
        ("11月2号", "2026-11-02"),
        ("3/17", "2026-03-17"),
        ("17号", "2026-11-17"),
        ("30号", "2026-10-30"),
        ("周三", "2026-11-18"),
        ("周日", "2026-11-15"),
        ("上周三", "2026-11-11"),
        ("这周日", "2026-11-22"),
        ("31号", "2026-10-31"),
        ("下周", None),
        ("明天", None),
        ("", None),
    ],
)
def test_days_as_people_type_them(typed: str, day: str | None) -> None:
    found = day_of(typed, TODAY)
    assert (found and found.isoformat()) == day


# Costs


async def test_a_cost_is_recorded_for_the_week_unless_a_day_is_named(desk: Desk) -> None:
    await two_groups(desk)
    assert "学习群，2026-11-16，300 元" in await desk.boss("/budget cost 学习群 300")
    await desk.boss("/budget cost 学习群 120.5 昨天 红包 和 奖品")
    assert [(one.day, one.cents, one.note) for one in await costs(desk)] == [
        ("2026-11-20", 12_050, "红包 和 奖品"),
        ("2026-11-16", 300_00, ""),
    ]
    assert await desk.audits() == [("budget.cost", "group:1")] * 2


async def test_a_group_whose_name_has_blanks_and_numbers_is_found(desk: Desk) -> None:
    await two_groups(desk)
    assert "300 元" in await desk.boss("/budget cost 读书 会 2026 300 上周")
    assert [(one.place, one.day, one.cents) for one in await costs(desk)] == [
        ("qun:2", "2026-11-09", 300_00)
    ]
    assert "50 元" in await desk.boss("/budget cost 1 50")


async def test_a_day_is_never_booked_as_a_note(desk: Desk) -> None:
    await two_groups(desk)
    for typed in ("11月17号", "11/17", "17号", "周二 红包", "红包 周二"):
        assert "学习群，2026-11-17，300 元" in await desk.boss(f"/budget cost 学习群 300 {typed}")
    assert [(one.day, one.note) for one in await costs(desk)] == [("2026-11-17", "红包")]
    await desk.boss("/budget cost 学习群 400 奖品 1.5")
    assert (await costs(desk))[-1].note == "奖品 1.5", "a number at the end is no day"


async def test_the_same_message_twice_is_one_cost_and_one_line(desk: Desk) -> None:
    await two_groups(desk)
    said = await desk.boss("/budget cost 学习群 300", crash_first=True)
    assert "记下了" in said
    assert len(await costs(desk)) == 1
    assert len(await desk.audits()) == 1


async def test_another_amount_is_asked_first(desk: Desk) -> None:
    await two_groups(desk)
    await desk.boss("/budget cost 学习群 300")
    assert "已经记了 300 元，改成 500 元吗" in await desk.boss("/budget cost 学习群 500 这周 补")
    assert [one.cents for one in await costs(desk)] == [300_00]
    assert "300 元改成 500 元" in await desk.boss("确认")
    assert [(one.cents, one.note) for one in await costs(desk)] == [(500_00, "补")]
    assert len(await desk.audits()) == 2


async def test_what_was_confirmed_and_crashed_is_done_once(desk: Desk) -> None:
    await two_groups(desk)
    await desk.boss("/budget cost 学习群 300")
    await desk.boss("/budget cost 学习群 500")
    assert "500 元" in await desk.boss("确认", crash_first=True)
    assert len(await desk.audits()) == 2


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/budget cost", "请写群、金额和日期"),
        ("/budget cost 学习群", "请写群、金额和日期"),
        ("/budget cost 学习群 很多", "「很多」不像一个金额"),
        ("/budget cost 没有的群 300", "没有叫「没有的群」的群"),
        ("/budget cost 学习群 300 2026-11-22", "「2026-11-22」不是能记的日期"),
        ("/budget cost 学习群 300 2024-01-01", "不是能记的日期"),
        ("/budget cost 学习群 300 2026-13-01", "不是能记的日期"),
        ("/budget cost 学习群 300 " + "长" * 61, "最多 60 个字"),
        ("/budget", "花费和预算"),
        ("/budget what", "花费和预算"),
        ("/budget cost 学习群 300 明天", "「明天」不是能记的日期"),
        ("/budget cost 学习群 300 下周", "「下周」不是能记的日期"),
        ("/budget cost 学习群 300 下周三 红包", "「下周三」不是能记的日期"),
        ("/budget cost 学习群 300 红包 明天", "「明天」不是能记的日期"),
        ("/budget cost 学习群 300 这周日", "「这周日」不是能记的日期"),
        ("/budget cost 学习群 300 3月", "「3月」不是能记的日期"),
        ("/budget cost 学习群 300 13/40", "「13/40」不是能记的日期"),
        ("/budget -5", "「-5」不像一个金额"),
        ("/budget 三千", "「三千」不像一个金额"),
        ("/budget remove 学习群", "请写群和日期"),
        ("/budget remove 学习群 昨天", "没有记花费"),
        ("/budget costs 没有的群", "没有叫"),
    ],
)
async def test_what_cannot_be_understood_says_how(desk: Desk, typed: str, said: str) -> None:
    await two_groups(desk)
    assert said in await desk.boss(typed)
    assert await costs(desk) == []


async def test_costs_are_listed_and_taken_out(desk: Desk) -> None:
    await two_groups(desk)
    assert "还没有记花费" in await desk.boss("/budget costs")
    await desk.boss("/budget cost 学习群 300 这周 红包")
    await desk.boss("/budget cost 2 80 上周")
    said = await desk.boss("/budget costs")
    assert "· 2026-11-16 学习群 300 元（红包）" in said
    assert "· 2026-11-09 读书 会 2026 80 元" in said
    assert "学习群" not in await desk.boss("/budget costs 读书 会 2026")
    assert "去掉了：学习群，2026-11-16，300 元" in await desk.boss("/budget remove 学习群 11-16")
    assert "没有记花费" in await desk.boss("/budget remove 学习群 11-16")
    assert len(await costs(desk)) == 1


async def test_an_analyst_may_look_and_not_change(desk: Desk) -> None:
    await two_groups(desk)
    for typed in ("/budget cost 学习群 300", "/budget remove 学习群 今天"):
        assert await desk.say(typed, "o_eye") == desk.texts("operator.read_only")
    assert "还没有记花费" in await desk.say("/budget costs", "o_eye")
    assert await desk.say("/budget 300", "o_lin") == desk.texts("operator.not_allowed")
    assert await costs(desk) == []


# The plan


async def fitted(desk: Desk, *responses: Curve) -> None:
    """Curves of groups qun:1, qun:2, … as the night would leave them."""
    rng = np.random.default_rng(8)
    places = []
    for number, curve in enumerate(responses, 1):
        spent = rng.choice([0.0, 100.0, 300.0, 900.0], 26)
        came = rng.poisson([curve.at(one) for one in spent])
        places.append(fit(Weeks(f"qun:{number}", spent.tolist(), came.tolist()), rng))
    until = desk.at
    curves = Curves(
        made_at=until,
        since=until - 26 * 604_800.0,
        until=until,
        places=tuple(places),
        titles={"qun:1": "学习群", "qun:2": "读书会", "qun:3": "闲聊群"},
        people={},
    )
    await desk.store.interactions.put_finding(
        spending_report.CURVES, spending_report.to_json(curves), until
    )


STEEP = Curve("log", 2.0, 14.0, 150.0)
GENTLE = Curve("ratio", 1.0, 20.0, 400.0)
NONE = Curve("log", 8.0, 0.0, 100.0)


async def test_a_plan_says_who_gets_what_and_what_more_would_bring(desk: Desk) -> None:
    await two_groups(desk)
    await fitted(desk, STEEP, GENTLE, NONE)
    said = await desk.boss("/budget 1000")
    assert said.startswith("一周 1,000 元这样分：\n· ")
    for part in ("· 学习群 ", "· 读书会 ", "合计约", "再多 100 元约多", "预算少两成", "26 周"):
        assert part in said
    assert "没有放进来：\n· 闲聊群：看不出花钱和成交有关" in said
    assert "不一定是花钱带来的" in said


async def test_limits_of_a_group_are_kept(desk: Desk) -> None:
    await two_groups(desk)
    await fitted(desk, STEEP, GENTLE)
    said = await desk.boss("/budget 1000 学习群<=100 2>=850")
    assert "· 学习群 100 元（100–100）" in said
    assert "· 读书会 900 元" in said
    assert await desk.boss("/budget 1000 学习群 <= 100 2>= 850") == said
    assert "合不上" in await desk.boss("/budget 1000 学习群>=900 2>=900")
    assert "看不懂" in await desk.boss("/budget 1000 学习群=500")
    assert "没有叫「谁」的群" in await desk.boss("/budget 1000 谁<=500")


async def test_a_plan_beyond_what_was_ever_spent_says_so(desk: Desk) -> None:
    await two_groups(desk)
    await fitted(desk, STEEP)
    assert "学习群分到的比以前花得最多的那周还多" in await desk.boss("/budget 1200")
    said = await desk.boss("/budget 600")
    assert "没有试过" not in said
    await fitted(desk, STEEP, GENTLE)
    said = await desk.boss("/budget 1000")
    assert "多约" not in said or re.search(r"多约 [\d.]+ 单（95% 区间 -?[\d.]+–[\d.]+）", said)


async def test_more_money_than_the_data_bears_is_left(desk: Desk) -> None:
    await two_groups(desk)
    await fitted(desk, STEEP)
    said = await desk.boss("/budget 1万")
    assert "还剩 8,650 元没有分" in said
    assert "再多 100 元" not in said


def test_a_year_of_weeks_is_told_with_its_years() -> None:
    monday = 1_763_308_800.0
    assert days(monday, monday + 364 * 86_400.0) == "2025-11-17 到 2026-11-15"


async def test_it_refuses_where_nothing_can_be_told(desk: Desk) -> None:
    await two_groups(desk)
    assert "夜里会算一次" in await desk.boss("/budget 1000")
    await desk.store.interactions.put_finding(spending_report.CURVES, '{"places": 1}', desk.at)
    assert "夜里会算一次" in await desk.boss("/budget 1000"), "damaged: made anew in the night"
    await fitted(desk)
    assert "还没有记花费" in await desk.boss("/budget 1000")
    await fitted(desk, NONE)
    assert await desk.boss("/budget 1000") == (
        "数据还撑不起分配方案：\n· 学习群：看不出花钱和成交有关"
    )
    assert "没有能用的曲线" in await desk.boss("/budget 1000 学习群<=500")
    assert "不像一个金额" in await desk.boss("/budget 0")
    assert "不像一个金额" in await desk.boss(f"/budget {MOST_CENTS // 100 + 1}")
