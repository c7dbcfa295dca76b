"""What a member is worth: net revenue to day 90 and 180 after they came, and what a year may bring.

Measured, not modelled: the mean over members whose 90 (180) days are over, with everybody who
bought nothing among them, and a bootstrap interval. Few buyers pay most of it, so with few of
them nothing is said. A year is an estimate on top: what came in by day 90 is stretched by how
many active weeks follow the first thirteen, and that only when weekly retention falls the way a
geometric one does, over enough weeks of enough members. It is no promise of a single member. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from insights.report import Figure
from insights.retention import Point

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DAY_S = 86_400.0
SPANS = (90, 180)
"""Days after a member came."""

LEAST_MEMBERS = 50
LEAST_BUYERS = 10
"""Fewer say nothing."""

_DRAWS = 1000
_HEAD = 13
"""Weeks in the first 90 days."""
_YEAR = 52
_LEAST_POINTS = 8
_LEAST_OF = 50
_LEAST_FIT = 0.8
"""Of the variation of log retention, so much has to be its straight line."""

FIGURES = frozenset({"ltv_90", "ltv_180", "ltv_year"})
NOTES = frozenset({"ltv_few_members", "ltv_few_buyers", "ltv_no_curve", "ltv_extrapolated"})


class Spent(NamedTuple):
    """Net cents of each member until a day of theirs; members whose day is still to come are not
    in it. total: how many members; cents: of those who paid or gave back anything."""

    total: int
    cents: Floats


def spent(
    came: Ints,
    came_at: Floats,
    member: Ints,
    at: Floats,
    cents: Ints,
    days: int,
    now: float,
) -> Spent:
    """What each member brought within so many days after they came.

    came, came_at: members, each once, and when they were first seen; an earlier order of theirs
    counts as that. member, at, cents: orders, net of what was given back.
    """
    order = np.argsort(came)
    came, came_at = came[order], came_at[order].copy()
    spot = np.searchsorted(came, member)
    known = spot < len(came)
    known[known] = came[spot[known]] == member[known]
    spot, at, cents = spot[known], at[known], cents[known]
    np.minimum.at(came_at, spot, at)
    old = came_at <= now - days * DAY_S
    counts = old[spot] & (at < came_at[spot] + days * DAY_S)
    sums = np.bincount(spot[counts], cents[counts], minlength=len(came))
    return Spent(int(old.sum()), sums[sums != 0])


class Mean(NamedTuple):
    """Cents of a member, and its interval. draws: means of samples, for what is made of it."""

    value: float
    low: float
    high: float
    draws: Floats


def mean(one: Spent, rng: np.random.Generator) -> Mean | None:
    """The mean and its 95 % bootstrap interval; None when there are too few.

    Of a sample of all members only the payers are drawn: how many of them are in it is binomial,
    so that a hundred thousand who paid nothing cost nothing.
    """
    payers = len(one.cents)
    if one.total < LEAST_MEMBERS or payers < LEAST_BUYERS:
        return None
    counts = rng.binomial(one.total, payers / one.total, _DRAWS)
    sums = np.array([one.cents[rng.integers(0, payers, count)].sum() for count in counts])
    draws = sums / one.total
    low, high = np.quantile(draws, (0.025, 0.975))
    return Mean(float(one.cents.sum() / one.total), float(low), float(high), draws)


def stretch(curve: Sequence[Point], rng: np.random.Generator) -> tuple[float, Floats] | None:
    """By what a year's active weeks exceed those of the first 90 days, and draws of it.

    curve: classic retention from week 0 on. None when the points from week 1 on are too few, of
    too few members, do not fall, or do not lie on a geometric line.
    """
    points = [one for one in curve if one.age >= 1 and one.of >= _LEAST_OF]
    if len(points) < _LEAST_POINTS:
        return None
    age = np.array([one.age for one in points], np.float64)
    # Weeks in which nobody stayed count, too: half a member more keeps their log finite.
    hits = np.array([one.hits for one in points]) + 0.5
    share = hits / (np.array([one.of for one in points]) + 1.0)
    logs = np.log(share)
    # Weighted by what each log is known to: hits of a binomial.
    weight = hits / np.maximum(1e-9, 1 - np.minimum(share, 0.999))
    middle = float((weight * age).sum() / weight.sum())
    height = float((weight * logs).sum() / weight.sum())
    across = float((weight * (age - middle) ** 2).sum())
    slope = float((weight * (age - middle) * (logs - height)).sum() / across)
    errors = logs - height - slope * (age - middle)
    around = float((weight * (logs - height) ** 2).sum())
    fit = 1 - float((weight * errors**2).sum()) / around if around > 0 else 0.0
    if slope >= 0 or fit < _LEAST_FIT:
        return None
    # Scatter beyond the binomial's own widens both.
    scatter = max(1.0, float((weight * errors**2).sum()) / (len(points) - 2))
    slopes = rng.normal(slope, math.sqrt(scatter / across), _DRAWS)
    heights = rng.normal(height, math.sqrt(scatter / float(weight.sum())), _DRAWS)
    weeks = np.arange(1, _YEAR)

    def ratio(h: Floats, s: Floats) -> Floats:
        lines = np.exp(np.minimum(0.0, h[:, None] + s[:, None] * (weeks - middle)))
        head = 1 + lines[:, : _HEAD - 1].sum(axis=1)
        found: Floats = (1 + lines.sum(axis=1)) / head
        return found

    value = float(ratio(np.array([height]), np.array([slope]))[0])
    return value, ratio(heights, np.minimum(slopes, 0.0))


def figures(
    came: Ints,
    came_at: Floats,
    member: Ints,
    at: Floats,
    cents: Ints,
    curve: Sequence[Point],
    now: float,
    rng: np.random.Generator,
) -> tuple[Figure, ...]:
    """The value of a member to day 90, day 180, and of a year; None and why where nothing can be
    said. The rest as in `spent` and `stretch`."""
    found = []
    ninety: tuple[Spent, Mean] | None = None
    for days in SPANS:
        one = spent(came, came_at, member, at, cents, days, now)
        its = mean(one, rng)
        if days == SPANS[0] and its is not None:
            ninety = one, its
        found.append(_figure(days, one, its, came_at, now))
    found.append(_year(ninety, curve, rng, came_at, now))
    return tuple(found)


def _since(came_at: Floats, now: float) -> float:
    return float(came_at.min()) if len(came_at) else now


def _figure(days: int, one: Spent, its: Mean | None, came_at: Floats, now: float) -> Figure:
    note = ""
    if its is None:
        note = "ltv_few_members" if one.total < LEAST_MEMBERS else "ltv_few_buyers"
    return Figure(
        name="ltv_90" if days == SPANS[0] else "ltv_180",
        value=None if its is None else its.value,
        unit="cents",
        since=_since(came_at, now),
        until=now - days * DAY_S,
        # What few paid would be told by the sum, so there is none where there is no mean.
        numerator=None if its is None else float(one.cents.sum()),
        denominator=None if its is None else one.total,
        low=None if its is None else its.low,
        high=None if its is None else its.high,
        n=one.total,
        people=len(one.cents),
        note=note,
    )


def _year(
    ninety: tuple[Spent, Mean] | None,
    curve: Sequence[Point],
    rng: np.random.Generator,
    came_at: Floats,
    now: float,
) -> Figure:
    since, until = _since(came_at, now), now - SPANS[0] * DAY_S
    longer = stretch(curve, rng) if ninety is not None else None
    if ninety is None or longer is None:
        return Figure(
            name="ltv_year",
            value=None,
            unit="cents",
            since=since,
            until=until,
            note="ltv_few_buyers" if ninety is None else "ltv_no_curve",
        )
    one, its = ninety
    low, high = np.quantile(its.draws * longer[1], (0.025, 0.975))
    return Figure(
        name="ltv_year",
        value=its.value * longer[0],
        unit="cents",
        since=since,
        until=until,
        low=float(low),
        high=float(high),
        n=one.total,
        people=len(one.cents),
        note="ltv_extrapolated",
    )
