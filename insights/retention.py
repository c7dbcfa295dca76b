"""Who comes back: cohorts week by week, rolling retention, and how long members stay.

A cohort is everybody whose first week it was. Classic retention asks who was active in exactly
the n-th week after that; rolling retention, who was active in it or any later one; survival, who
has not gone for good. Members of last week have had no fourth week yet: what is not over is None,
never 0, and what is pooled over cohorts counts those only that are old enough.

A week is Monday to Sunday in Shanghai, numbered from 1970. Week 0 of a member is that of their
first act, so everybody is active in it. Pure; many members at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from insights.outcomes import rate
from insights.report import Chart, Figure, Listing, Row, Series

Ints = NDArray[np.int64]

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
_SHANGHAI_S = 8 * 3600.0
_MONDAY = 3
"""The first of January 1970 was a Thursday."""

COHORTS = 12
AGES = 12
"""Cohorts in a table, and weeks of each."""
POOLED = 26
"""Cohorts that the curves are pooled over, so that they tell of the last half year."""

SMALL = 20
"""A cohort of fewer is shown, and said to be small."""
_LEAST_AT_RISK = 10
_Z = 1.959963984540054

FIGURES = frozenset(
    {"cohort_size", "retained_week_1", "retained_week_4", "rolling_week_4", "median_lifetime"}
)
LISTS = frozenset({"cohorts"})
CHARTS = frozenset(
    {"cohorts", "retention_curve", "staying", "curve_classic", "curve_rolling", "curve_staying"}
)
"""Of charts, and of the lines in them."""
NOTES = frozenset({"small_cohort", "young_cohort", "outlived", "no_cohorts"})


class Weeks(NamedTuple):
    """A row a member. first, last: numbers of the first and the last active week.

    bits: active weeks since the first, bit 0; of the first 64.
    """

    first: Ints
    last: Ints
    bits: NDArray[np.uint64]


def week_of(at: float) -> int:
    """The number of the week of a moment."""
    return int((math.floor((at + _SHANGHAI_S) / DAY_S) + _MONDAY) // 7)


def began(week: int) -> float:
    """When a week began, Unix seconds."""
    return (week * 7 - _MONDAY) * DAY_S - _SHANGHAI_S


def of_bitmaps(rows: Iterable[tuple[float, str]]) -> Weeks:
    """From (first seen, hexadecimal bitmap of the active weeks from then on) of each member, as
    features keep it; who was never active is left out. Errors: ValueError for other texts.
    """
    first, last, bits = [], [], []
    for at, text in rows:
        bitmap = int(text or "0", 16)
        if not bitmap:
            continue
        silent = (bitmap & -bitmap).bit_length() - 1
        week, bitmap = week_of(at) + silent, bitmap >> silent
        first.append(week)
        last.append(week + bitmap.bit_length() - 1)
        bits.append(bitmap & 0xFFFF_FFFF_FFFF_FFFF)
    return Weeks(np.array(first, np.int64), np.array(last, np.int64), np.array(bits, np.uint64))


def of_acts(member: Ints, at: NDArray[np.float64]) -> Weeks:
    """From all that members ever did; see `store.insight_reads.acts`."""
    if not len(member):
        return of_bitmaps([])
    day = np.floor((at + _SHANGHAI_S) / DAY_S).astype(np.int64)
    week = (day + _MONDAY) // 7
    base, width = int(week.min()), int(week.max()) - int(week.min()) + 1
    pairs = np.unique(member * width + (week - base))
    who, when = pairs // width, pairs % width + base
    _, starts = np.unique(who, return_index=True)
    ends = np.append(starts[1:], len(who)) - 1
    first = when[starts]
    age = when - np.repeat(first, ends - starts + 1)
    one = np.where(age < 64, np.uint64(1) << np.minimum(age, 63).astype(np.uint64), np.uint64(0))
    return Weeks(first, when[ends], np.bitwise_or.reduceat(one, starts))


class Cohort(NamedTuple):
    """Members whose first week it was. active: how many were, in week 0, 1, 2 …; None: not over."""

    week: int
    size: int
    active: tuple[int | None, ...]


def cohorts(weeks: Weeks, now: float, *, most: int = COHORTS, ages: int = AGES) -> list[Cohort]:
    """The newest cohorts whose first week is over, oldest first; [] when there is none.

    Weeks without a newcomer are among them, as long as an older one had some.
    """
    current = week_of(now)
    since = current - most
    fits = (weeks.first >= since) & (weeks.first < current)
    if not fits.any():
        return []
    number, bits = weeks.first[fits] - since, weeks.bits[fits]
    sizes = np.bincount(number, minlength=most)
    active = [
        np.bincount(number[_bit(bits, age)], minlength=most) if age < 64 else sizes * 0
        for age in range(ages)
    ]
    return [
        Cohort(
            since + one,
            int(sizes[one]),
            tuple(
                int(active[age][one]) if since + one + age < current else None
                for age in range(ages)
            ),
        )
        for one in range(int(number.min()), most)
    ]


def _bit(bits: NDArray[np.uint64], age: int) -> NDArray[np.bool_]:
    return ((bits >> np.uint64(age)) & np.uint64(1)).astype(np.bool_)


class Point(NamedTuple):
    """A point of a curve. hits of so many, whose share it is; of survival: of so many at risk.

    age: weeks since the first. value, low, high: 0 to 1.
    """

    age: int
    hits: int
    of: int
    value: float
    low: float
    high: float


def classic(weeks: Weeks, now: float, *, ages: int = AGES, pooled: int = POOLED) -> list[Point]:
    """Who was active in exactly that week, of all whose week it was; from week 0 on."""
    points = []
    for age, old in _old_enough(weeks, now, ages, pooled):
        hits = int(_bit(weeks.bits[old], age).sum()) if age < 64 else 0
        points.append(_point(age, hits, int(old.sum())))
    return points


def rolling(weeks: Weeks, now: float, *, ages: int = AGES, pooled: int = POOLED) -> list[Point]:
    """Who was active in that week or later, of all whose week is over; from week 0 on.

    What is still to come can only raise it, that of late weeks the most.
    """
    points = []
    for age, old in _old_enough(weeks, now, ages, pooled):
        hits = int((weeks.last[old] - weeks.first[old] >= age).sum())
        points.append(_point(age, hits, int(old.sum())))
    return points


def _old_enough(
    weeks: Weeks, now: float, ages: int, pooled: int
) -> Iterable[tuple[int, NDArray[np.bool_]]]:
    current = week_of(now)
    recent = weeks.first >= current - pooled
    for age in range(ages):
        old = recent & (weeks.first + age < current)
        if not old.any():
            return
        yield age, old


def _point(age: int, hits: int, of: int) -> Point:
    found = rate(hits, of)
    return Point(age, hits, of, found.value, found.low, found.high)


def survival(
    weeks: Weeks, now: float, *, lost_days: int, ages: int = 26, pooled: int = 52
) -> list[Point]:
    """Who has not gone for good, so many weeks after their first: Kaplan and Meier's estimate.

    Gone is who has been silent for lost_days or longer, from the week after their last. That is
    known of everybody up to so long ago, and no younger time is looked at: who is there now is
    known to have been there then. It never rises. The interval is that of log(-log), hits and of:
    who left in that week, and who could have. It ends where fewer than ten could.
    """
    current = week_of(now)
    known = current - max(1, math.ceil(lost_days / 7))
    fits = (weeks.first < known) & (weeks.first >= known - pooled)
    first, last = weeks.first[fits], weeks.last[fits]
    gone = last < known
    lived = np.where(gone, last + 1, known) - first
    total = len(first)
    if total < _LEAST_AT_RISK:
        return []
    points = [Point(0, 0, total, 1.0, 1.0, 1.0)]
    left = np.bincount(lived[gone], minlength=ages + 1)
    ended = np.bincount(lived, minlength=ages + 1)
    at_risk = total - np.concatenate([[0], np.cumsum(ended)])
    value, spread = 1.0, 0.0
    for age in range(1, ages + 1):
        could, went = int(at_risk[age]), int(left[age])
        if could < _LEAST_AT_RISK:
            break
        value *= 1 - went / could
        # Greenwood's sum; who all leave leave no curve behind.
        spread = spread + went / (could * (could - went)) if went < could else math.inf
        low, high = _band(value, spread)
        points.append(Point(age, went, could, value, low, high))
    return points


def _band(value: float, spread: float) -> tuple[float, float]:
    if value >= 1:
        return 1.0, 1.0
    if value <= 0 or math.isinf(spread):
        return 0.0, max(value, 0.0)
    width = _Z * math.sqrt(spread) / abs(math.log(value))
    return value ** math.exp(width), value ** math.exp(-width)


def median_weeks(points: Sequence[Point]) -> tuple[float | None, float | None, float | None]:
    """After how many weeks half have gone, and its interval; None beyond the curve."""

    def first(values: Iterable[tuple[int, float]]) -> float | None:
        return next((float(age) for age, value in values if value <= 0.5), None)

    return (
        first((one.age, one.value) for one in points),
        first((one.age, one.low) for one in points),
        first((one.age, one.high) for one in points),
    )


class Parts(NamedTuple):
    """What a report says of retention."""

    figures: tuple[Figure, ...]
    lists: tuple[Listing, ...]
    charts: tuple[Chart, ...]


def parts(weeks: Weeks, now: float, *, lost_days: int) -> Parts:
    """Figures, cohorts and curves as of now; of an empty community, figures that are None."""
    current = week_of(now)
    until = began(current)
    since = began(current - POOLED)
    table = cohorts(weeks, now)
    curve, later = classic(weeks, now), rolling(weeks, now)
    alive = survival(weeks, now, lost_days=lost_days)
    figures = [
        _figure("retained_week_1", _at(curve, 1), since, until),
        _figure("retained_week_4", _at(curve, 4), since, until),
        _figure("rolling_week_4", _at(later, 4), since, until),
        _lifetime(alive, until, lost_days),
    ]
    charts = [_heat(table)] if table else []
    if len(curve) > 1:
        charts.append(_curves(curve, later))
    if len(alive) > 1:
        charts.append(_line(alive))
    rows = tuple(_row(one) for one in reversed(table) if one.size)
    listing = Listing(name="cohorts", rows=rows, note="" if rows else "no_cohorts")
    return Parts(tuple(figures), (listing,), tuple(charts))


def _at(points: Sequence[Point], age: int) -> Point | None:
    return next((one for one in points if one.age == age), None)


def _figure(
    name: str, point: Point | None, since: float, until: float, of: str = "", note: str = ""
) -> Figure:
    if point is None or not point.of:
        return Figure(
            name=name,
            value=None,
            unit="share",
            since=since,
            until=until,
            of=of,
            note="young_cohort",
        )
    return Figure(
        name=name,
        value=point.value,
        unit="share",
        since=since,
        until=until,
        of=of,
        numerator=point.hits,
        denominator=point.of,
        low=point.low,
        high=point.high,
        n=point.of,
        people=point.of,
        note=note or ("small_cohort" if point.of < SMALL else ""),
    )


def _lifetime(points: Sequence[Point], until: float, lost_days: int) -> Figure:
    middle, low, high = median_weeks(points)
    seen = points[0].of if points else 0
    note = "" if middle is not None else "outlived" if points else "young_cohort"
    return Figure(
        name="median_lifetime",
        value=None if middle is None else middle * 7,
        unit="days",
        since=until - 52 * WEEK_S - math.ceil(lost_days / 7) * WEEK_S,
        until=until,
        low=None if low is None or middle is None else low * 7,
        high=None if high is None or middle is None else high * 7,
        n=seen,
        people=seen,
        note=note,
    )


def _row(one: Cohort) -> Row:
    since = began(one.week)
    label = _label(one.week)
    figures = [
        Figure(
            name="cohort_size",
            value=one.size,
            unit="count",
            since=since,
            until=since + WEEK_S,
            of=label,
            n=one.size,
            people=one.size,
            note="small_cohort" if one.size < SMALL else "",
        )
    ]
    for age, name in ((1, "retained_week_1"), (4, "retained_week_4")):
        hits = one.active[age]
        point = None if hits is None else _point(age, hits, one.size)
        figures.append(
            _figure(name, point, since + age * WEEK_S, since + (age + 1) * WEEK_S, label)
        )
    return Row(label=label, figures=tuple(figures))


def _label(week: int) -> str:
    """The Monday of a week, "11-16"."""
    # In Shanghai it is eight hours later than in UTC, always.
    day = datetime.fromtimestamp(began(week), UTC) + timedelta(seconds=_SHANGHAI_S)
    return day.strftime("%m-%d")


def _heat(table: Sequence[Cohort]) -> Chart:
    series = []
    for one in table:
        points = [
            None if hits is None or not one.size else _point(age, hits, one.size)
            for age, hits in enumerate(one.active)
        ]
        series.append(
            Series(
                name=_label(one.week),
                values=tuple(None if point is None else point.value for point in points),
                low=tuple(None if point is None else point.low for point in points),
                high=tuple(None if point is None else point.high for point in points),
                n=(one.size,) * len(points),
            )
        )
    labels = tuple(str(age) for age in range(len(table[0].active)))
    return Chart(name="cohorts", kind="heat", unit="share", labels=labels, series=tuple(series))


def _series(name: str, points: Sequence[Point]) -> Series:
    return Series(
        name=name,
        values=tuple(one.value for one in points),
        low=tuple(one.low for one in points),
        high=tuple(one.high for one in points),
        n=tuple(one.of for one in points),
    )


def _curves(curve: Sequence[Point], later: Sequence[Point]) -> Chart:
    return Chart(
        name="retention_curve",
        kind="lines",
        unit="share",
        labels=tuple(str(one.age) for one in curve),
        series=(_series("curve_classic", curve), _series("curve_rolling", later)),
    )


def _line(alive: Sequence[Point]) -> Chart:
    return Chart(
        name="staying",
        kind="lines",
        unit="share",
        labels=tuple(str(one.age) for one in alive),
        series=(_series("curve_staying", alive),),
    )
