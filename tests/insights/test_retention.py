"""Cohorts, curves and how long members stay: what is not over is not zero."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.report import Report, from_json, to_json
from insights.retention import (
    WEEK_S,
    Weeks,
    began,
    classic,
    cohorts,
    median_weeks,
    of_acts,
    of_bitmaps,
    parts,
    rolling,
    survival,
    week_of,
)

SUNDAY = datetime.fromisoformat("2026-11-22T23:59:59+08:00").timestamp()
MONDAY = datetime.fromisoformat("2026-11-23T00:00:00+08:00").timestamp()
NOW = MONDAY + 2 * 3600
CURRENT = week_of(NOW)


def members(*rows: tuple[int, str]) -> Weeks:
    """(weeks ago that they came, their active weeks as "1101")."""
    return of_bitmaps(
        (began(CURRENT - ago) + 60.0, f"{int(active[::-1], 2):x}") for ago, active in rows
    )


MEMBERS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 2**30 - 1)).map(
        # Nobody is active in a week that is still to come.
        lambda pair: (pair[0], (pair[1] & ((1 << (pair[0] + 1)) - 1)) | 1)
    ),
    max_size=60,
).map(lambda rows: of_bitmaps((began(CURRENT - ago) + 5.0, f"{bits:x}") for ago, bits in rows))


def test_a_week_begins_on_monday_in_shanghai() -> None:
    assert week_of(SUNDAY) == week_of(MONDAY) - 1
    assert began(week_of(MONDAY)) == MONDAY
    assert week_of(MONDAY - 7 * 86_400) == week_of(MONDAY) - 1


def test_who_was_never_active_is_in_no_cohort() -> None:
    weeks = of_bitmaps([(NOW, "0"), (NOW, "")])
    assert len(weeks.first) == 0
    assert cohorts(weeks, NOW) == []


def test_the_first_active_week_is_week_0_though_they_were_seen_before() -> None:
    weeks = of_bitmaps([(began(100) + 1, f"{0b10100:x}")])
    assert (weeks.first[0], weeks.last[0], int(weeks.bits[0])) == (102, 104, 0b101)


def test_a_text_that_is_no_bitmap_is_refused() -> None:
    with pytest.raises(ValueError, match="base 16"):
        of_bitmaps([(NOW, "xyz")])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.floats(0, 20 * WEEK_S)),
        max_size=40,
    )
)
def test_weeks_of_acts_and_weeks_of_bitmaps_are_the_same(rows: list[tuple[int, float]]) -> None:
    acts = of_acts(
        np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float64)
    )
    kept = []
    for member in sorted({row[0] for row in rows}):
        active = {week_of(at) for who, at in rows if who == member}
        first = min(active)
        kept.append((began(first), f"{sum(1 << (week - first) for week in active):x}"))
    other = of_bitmaps(kept)
    assert all(np.array_equal(one, two) for one, two in zip(acts, other, strict=True))


def test_a_year_old_member_keeps_their_last_week() -> None:
    acts = of_acts(np.array([1, 1, 1]), np.array([0.0, 3 * WEEK_S, 100 * WEEK_S]))
    bitmap = of_bitmaps([(0.0, f"{1 | 1 << 3 | 1 << 100:x}")])
    assert acts.last[0] == bitmap.last[0] == week_of(100 * WEEK_S)
    assert int(acts.bits[0]) == int(bitmap.bits[0]) == 0b1001


def test_weeks_that_are_not_over_are_none_and_not_zero() -> None:
    table = cohorts(members((3, "101"), (3, "1"), (1, "1"), (0, "1")), NOW)
    assert [one.size for one in table] == [2, 0, 1]
    assert table[0].active[:5] == (2, 0, 1, None, None)
    assert table[1].active[:4] == (0, 0, None, None)
    assert table[2].active[:3] == (1, None, None)


def test_the_running_week_is_no_cohort_yet() -> None:
    assert cohorts(members((0, "1")), NOW) == []
    assert [one.size for one in cohorts(members((0, "1")), NOW + WEEK_S)] == [1]


@settings(max_examples=25, deadline=None)
@given(MEMBERS)
def test_a_cohort_table_adds_up(weeks: Weeks) -> None:
    table = cohorts(weeks, NOW)
    recent = (weeks.first >= CURRENT - 12) & (weeks.first < CURRENT)
    assert sum(one.size for one in table) == int(recent.sum())
    for one in table:
        assert one.active[0] == one.size
        known = [count for count in one.active if count is not None]
        assert all(0 <= count <= one.size for count in known)
        # Known are the weeks up to the last that is over, and nothing behind them.
        assert len(known) == min(len(one.active), CURRENT - one.week)
        assert one.active[: len(known)] == tuple(known)


@settings(max_examples=25, deadline=None)
@given(MEMBERS)
def test_the_curve_is_the_sum_of_its_cohorts(weeks: Weeks) -> None:
    table = cohorts(weeks, NOW, most=26)
    for point in classic(weeks, NOW):
        old = [one for one in table if one.active[point.age] is not None]
        assert point.of == sum(one.size for one in old)
        assert point.hits == sum(one.active[point.age] or 0 for one in old)
        assert 0 <= point.low <= point.value <= point.high <= 1


@settings(max_examples=25, deadline=None)
@given(MEMBERS)
def test_who_is_active_in_a_week_is_active_then_or_later(weeks: Weeks) -> None:
    for one, later in zip(classic(weeks, NOW), rolling(weeks, NOW), strict=True):
        assert (one.age, one.of) == (later.age, later.of)
        assert one.hits <= later.hits


@settings(max_examples=25, deadline=None)
@given(MEMBERS, st.integers(1, 90))
def test_nobody_comes_back_from_the_dead(weeks: Weeks, lost_days: int) -> None:
    points = survival(weeks, NOW, lost_days=lost_days)
    for one, after in pairwise(points):
        assert after.value <= one.value
        assert after.of <= one.of - (one.hits if one.age else 0)
    for one in points:
        assert 0 <= one.low <= one.value <= one.high <= 1


def test_survival_is_kaplan_and_meiers() -> None:
    # Twenty came ten weeks ago: five left after one week, five after three, ten are still there.
    gone_1, gone_3, there = (10, "1"), (10, "111"), (10, "11111111111")
    weeks = members(*[gone_1] * 5, *[gone_3] * 5, *[there] * 10)
    points = survival(weeks, NOW, lost_days=14)
    assert [round(one.value, 4) for one in points[:5]] == [1.0, 0.75, 0.75, 0.5, 0.5]
    assert [(one.hits, one.of) for one in points[1:4]] == [(5, 20), (0, 15), (5, 15)]
    # Known is everybody up to two weeks ago, the eighth week; then nobody is looked at.
    assert points[-1].age == 8
    assert median_weeks(points)[0] == 3.0


def test_a_silence_that_is_too_short_is_no_leaving() -> None:
    silent = members(*[(10, "1" * 8)] * 20)
    assert [one.value for one in survival(silent, NOW, lost_days=21)] == [1.0] * 8
    assert survival(silent, NOW, lost_days=14)[-1].value == 0.0


def test_few_members_have_no_survival() -> None:
    assert survival(members(*[(10, "1")] * 9), NOW, lost_days=14) == []
    assert survival(members(), NOW, lost_days=14) == []


def test_a_planted_retention_is_found() -> None:
    rng = np.random.default_rng(7)
    rows = []
    for _ in range(4000):
        ago = int(rng.integers(1, 20))
        came = [1, *(int(one) for one in rng.random(ago - 1) < 0.4)]
        rows.append((ago, "".join(map(str, came))))
    point = classic(members(*rows), NOW)[4]
    assert point.low < 0.4 < point.high
    assert point.high - point.low < 0.04


def test_an_empty_community_has_figures_that_say_why_there_is_none() -> None:
    found = parts(members(), NOW, lost_days=60)
    assert {one.value for one in found.figures} == {None}
    assert {one.note for one in found.figures} == {"young_cohort"}
    assert found.lists[0].note == "no_cohorts"
    assert found.charts == ()


def test_small_cohorts_are_flagged_and_everything_is_kept_as_json() -> None:
    weeks = members(*[(6, "1101")] * 30, *[(2, "11")] * 3)
    found = parts(weeks, NOW, lost_days=14)
    newest, oldest = found.lists[0].rows
    assert newest.figures[0].note == "small_cohort"
    assert [one.note for one in newest.figures[1:]] == ["small_cohort", "young_cohort"]
    assert [one.note for one in oldest.figures] == ["", "", ""]
    assert (newest.label, oldest.label) == ("11-09", "10-12")
    heat = next(one for one in found.charts if one.name == "cohorts")
    assert heat.series[0].values[:7] == (1.0, 1.0, 0.0, 1.0, 0.0, 0.0, None)
    assert heat.series[0].n[0] == 30
    report = Report(
        kind="retention",
        made_at=NOW,
        since=0.0,
        until=NOW,
        figures=found.figures,
        lists=found.lists,
        charts=found.charts,
    )
    assert from_json(to_json(report)) == report


def test_half_of_those_who_stay_longer_than_we_know_is_not_guessed() -> None:
    figure = parts(members(*[(12, "1" * 13)] * 30), NOW, lost_days=14).figures[-1]
    assert (figure.name, figure.value, figure.note) == ("median_lifetime", None, "outlived")
    leaving = parts(members(*[(12, "1")] * 30), NOW, lost_days=14).figures[-1]
    assert leaving.value == 7
    assert not math.isnan(leaving.value)
