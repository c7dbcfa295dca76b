"""Figures that leave the house: with noise, so that nobody's part in them can be told.

Differential privacy of members: whatever somebody knows of everybody else, what is published says
almost the same whether one member was there or not. "Almost" is epsilon: no answer gets more than
e^epsilon times as likely. Every member counts at most once in every figure (BOUND), so a count
needs discrete Laplace noise of scale 1/epsilon; a share is published as two counts of whom it is
true and of whom it is not, of which a member is in one. Figures of one report share its epsilon
evenly. Only counts of members and shares of members can be published: what somebody wrote or
spent has no bound, and is left out.

The noise comes from OpenDP (github.com/opendp/opendp), drawn exactly and from the system's
randomness; it takes seconds to import, so it is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from insights.report import Figure, Report

BOUND = 1
"""How much one member changes a count at most."""

NOISY, SMALL = "noisy", "noisy_small"
NOTES = frozenset({NOISY, SMALL})
"""Keys of the notes: noise was added; too little is left of it to say anything."""

MEMBER_FIGURES = frozenset(
    {
        "active_members",
        "paying_members",
        "members",
        "retention_rate",
        "stay_rate",
        "conversion_rate",
        "retained_week_1",
        "retained_week_4",
    }
)
"""Names of figures in which a member counts once: what a digest may choose from."""

_INTERVAL = 0.05


class NotPublishable(ValueError):
    """A report has none of the figures that may be published."""


def noise(count: int, epsilon: float) -> list[int]:
    """So many draws of discrete Laplace noise for a count: P(k) ~ e^(-epsilon |k|).

    Errors: ValueError unless epsilon is above 0.
    """
    return noisy([0] * count, epsilon)


def noisy(counts: Sequence[int], epsilon: float) -> list[int]:
    """Counts of members with noise, each on its own; may be below nothing.

    A member is in one of them at most, else what it costs is a multiple of epsilon. Errors:
    ValueError.
    """
    if not (0 < epsilon < math.inf):
        raise ValueError(f"epsilon is above 0 and finite, not {epsilon}")
    if not counts:
        return []
    drawn: list[int] = _measurement(epsilon)([int(one) for one in counts])
    return drawn


def _measurement(epsilon: float) -> Any:
    """The noise of OpenDP, which proves what it costs; we check that it is what we say."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l1_distance(T=int)
    made = dp.m.make_laplace(*space, scale=BOUND / epsilon)
    price: Any = made
    costs: float = price.map(BOUND)
    if costs > epsilon * (1 + 1e-9):
        raise ValueError(f"the noise costs {costs}, not {epsilon}")
    return made


def reach(epsilon: float, chance: float = _INTERVAL) -> int:
    """How far noise goes at most, but for this chance."""
    # P(|X| > k) = 2 q^(k + 1) / (1 + q), with q = e^-epsilon.
    q = math.exp(-epsilon)
    return max(0, math.ceil(math.log(chance * (1 + q) / 2) / -epsilon) - 1)


def publishable(figure: Figure) -> bool:
    """Whether it counts members: as many as it says people, or a share of that many."""
    if figure.value is None or figure.people is None:
        return False
    if figure.unit == "count":
        return figure.value == figure.people
    if figure.unit != "share" or figure.numerator is None or figure.denominator is None:
        return False
    return figure.denominator == figure.people and 0 <= figure.numerator <= figure.denominator


def _may(figure: Figure) -> bool:
    """Whether it counts members, or would if there were any."""
    return publishable(figure) or (figure.value is None and figure.unit in ("count", "share"))


def publish(report: Report, names: Collection[str], epsilon: float, least: int) -> Report:
    """The figures of these names with noise, and nothing else of the report.

    names: of figures in which each member counts once at most, chosen beforehand and not by
    what they say; one without a value is published as of nobody, for that it has none would tell
    of somebody. epsilon: what the whole report costs. least: a figure that seems to be of fewer
    members is withheld; that is decided by the noisy number and costs nothing. The interval is
    that of the noise alone. Lists and charts are left out. Errors: NotPublishable; ValueError.
    """
    chosen = [one for one in report.figures if one.name in names and _may(one)]
    if not chosen:
        raise NotPublishable(f"no figure of {sorted(names)} is a count or a share of members")
    each = epsilon / len(chosen)
    counts: list[int] = []
    for one in chosen:
        counts += _counts(one)
    drawn = iter(noisy(counts, each))
    figures = tuple(_told(one, [next(drawn) for _ in _counts(one)], each, least) for one in chosen)
    return replace(report, figures=figures, lists=(), charts=(), note=NOISY)


def _counts(one: Figure) -> list[int]:
    """What a member is in at most once: the count, or of whom it is true and of whom not."""
    if one.unit == "count":
        return [round(one.value or 0)]
    true, of = round(one.numerator or 0), round(one.denominator or 0)
    return [true, of - true]


def _told(one: Figure, drawn: Sequence[int], epsilon: float, least: int) -> Figure:
    whole = max(0, sum(drawn))
    plain = replace(one, n=0, people=None, before=None, note=NOISY, beside=None, before_people=None)
    if whole < least:
        return replace(
            plain, value=None, low=None, high=None, numerator=None, denominator=None, note=SMALL
        )
    # Both counts of a share are to lie in their intervals.
    far = reach(epsilon, _INTERVAL / len(drawn))
    if one.unit == "count":
        return replace(plain, value=whole, low=max(0, whole - far), high=whole + far)
    true, false = (max(0, part) for part in drawn)
    of = max(1, true + false)
    low = max(0, true - far) / max(1, max(0, true - far) + false + far)
    high = (true + far) / max(1, true + far + max(0, false - far))
    return replace(plain, value=true / of, low=low, high=high, numerator=true, denominator=of)
