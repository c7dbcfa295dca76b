"""Rankers compared on members: what was found.

Who is in which part: `insights/draws.py`. Things shown are counted, but members are the unit: who
was shown ten lists did not decide ten times. So shares of things shown are brought down to as many
as would be as uncertain if each were of another member, and compared by the score test of
`insights/experiments.py`.

A split test may be looked at whenever one likes to; its interval is for one look, at its end.

Source of the reduction: Rao & Scott 1992, clustered binary data. Pure; scipy is loaded with money.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insights import experiments, interleaving
from insights.experiments import Effect
from insights.interleaving import Credit, Preference
from insights.rates import Share

Floats = NDArray[np.float64]

LEAST_MEMBERS = 20
"""While fewer decide on a side nothing is compared: their spread is not known well enough."""

# Shares and means of things that belong to members


def clustered(hits: Floats, sizes: Floats) -> Share:
    """Of things shown, the share that had it. hits, sizes: one for each member, shape [n].

    Its worth: of how many, each of another member, it would be as uncertain. Where all members are
    alike what varies is not seen, and members count. Source: Cochran 1977, 6.3.
    """
    people, total, hit = len(sizes), float(sizes.sum()), float(hits.sum())
    if not people or total <= 0.0:
        return Share(0, 0, people)
    if people == 1:
        return Share(round(hit), round(total), 1, 1.0)
    share = hit / total
    spread = _spread(hits, sizes)
    worth = share * (1.0 - share) / spread if spread > 1e-15 else float(people)
    return Share(round(hit), round(total), people, float(min(max(worth, 1.0), max(total, 1.0))))


def deciding(sizes: Floats) -> float:
    """Of how many members, all with as many things, the things are worth: one who was shown half
    of everything makes it two or three. 0.0 without any. Source: Kish 1965, effective size."""
    squares = float(sizes @ sizes)
    return float(sizes.sum()) ** 2 / squares if squares else 0.0


def beside(one: Share, base: Share, variant: str = "", against: str = "") -> Effect:
    """The difference of two shares of things that belong to members, by the score test.

    members, hits of the result are those of the reduced groups. All nan when a side is empty.
    """
    counts = (*_reduced(one), *_reduced(base))
    return experiments.difference(*counts, variant=variant, against=against)


def _reduced(one: Share) -> tuple[float, float]:
    if not one.of:
        return 0.0, 0.0
    worth = float(one.people) if one.worth is None else one.worth
    return one.hits / one.of * worth, worth


@dataclass(frozen=True, slots=True)
class Mean:
    """A sum over things shown by their number, with its 95 % interval; people: how many members.

    variance: of the mean. All nan without anything, the interval also with one member.
    """

    value: float
    low: float
    high: float
    people: int
    variance: float


NO_MEAN = Mean(math.nan, math.nan, math.nan, 0, math.nan)


def mean(sums: Floats, sizes: Floats) -> Mean:
    """One for each member, shape [n]: what belongs to their things, and how many those are."""
    total = float(sizes.sum())
    if total <= 0.0:
        return NO_MEAN
    people, value = len(sizes), float(sums.sum()) / total
    if people < 2:
        return Mean(value, math.nan, math.nan, people, math.nan)
    variance = _spread(sums, sizes)
    half = _quantile(people - 1) * math.sqrt(variance)
    return Mean(value, value - half, value + half, people, variance)


def difference(one: Mean, base: Mean) -> tuple[float, float, float]:
    """(one less base, low, high), 95 %; nan where a side has no spread. Source: Welch 1947."""
    diff = one.value - base.value
    both = one.variance + base.variance
    # Where all members are alike what is left is rounding.
    least = (1e-9 * max(abs(one.value), abs(base.value))) ** 2
    if not math.isfinite(both) or both <= least:
        return diff, math.nan, math.nan
    below = one.variance**2 / (one.people - 1) + base.variance**2 / (base.people - 1)
    half = _quantile(both * both / below) * math.sqrt(both)
    return diff, diff - half, diff + half


def _spread(sums: Floats, sizes: Floats) -> float:
    """The variance of a ratio over members, linearized. Source: Cochran 1977, 6.3."""
    people, total = len(sizes), float(sizes.sum())
    rest = sums - float(sums.sum()) / total * sizes
    return float(rest @ rest) * people / (people - 1) / (total * total)


def _quantile(degrees: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


# What a test found


@dataclass(frozen=True, slots=True)
class Found:
    """What a test says. method: "split" or "interleave"; a, b: the rankers.

    effect: the share of places clicked, of a beside b; srm_p: how often chance makes the parts so
    unequal (split). preference: of the members (interleave). better: the ranker that is ahead for
    certain, "" where none is. why: "" or why nothing is said: "few" (too few members on a side),
    "unequal" (something else than chance made the parts).
    """

    method: str
    a: str
    b: str
    members_a: int
    members_b: int
    effect: Effect | None = None
    share_a: Share | None = None
    share_b: Share | None = None
    preference: Preference | None = None
    srm_p: float = 1.0
    better: str = ""
    why: str = ""

    def kept(self) -> dict[str, Any]:
        """As `rec_tests.verdict` keeps it: numbers, no members."""
        told: dict[str, Any] = {
            "better": self.better,
            "why": self.why,
            "members": [self.members_a, self.members_b],
            "least": LEAST_MEMBERS,
        }
        if self.effect is not None and math.isfinite(self.effect.share):
            one = self.effect
            told |= {"ctr": [one.share, one.base], "srm_p": self.srm_p}
            if math.isfinite(one.diff):
                told |= {"diff": [one.diff, one.low, one.high], "p": one.p}
        if self.preference is not None and self.preference.members:
            its = self.preference
            told |= {"prefer": [its.a, its.b, its.ties], "p": its.p}
            told |= {"share": [its.share, its.low, its.high]}
        return told


def split(a: str, b: str, of_a: Share, of_b: Share, least: float) -> Found:
    """Places that were clicked, of the members of one part beside those of the other.

    least: how many members decide on the side where fewer do (`deciding`).
    """
    effect = beside(of_a, of_b, a, b)
    srm_p = experiments.srm((of_a.people, of_b.people), (1.0, 1.0))
    why = ""
    if least < LEAST_MEMBERS:
        why = "few"
    elif srm_p < experiments.SRM_LIMIT:
        why = "unequal"
    better = "" if why or not effect.certain else a if effect.diff > 0.0 else b
    return Found(
        "split", a, b, of_a.people, of_b.people, effect, of_a, of_b, None, srm_p, better, why
    )


def interleaved(a: str, b: str, members: int, credits: Sequence[Credit]) -> Found:
    """What members clicked in lists that had both. members: who was shown such a list."""
    its = interleaving.preference(credits)
    ahead = its.better
    better = "" if ahead is None else a if ahead == interleaving.A else b
    why = "few" if its.members < LEAST_MEMBERS else ""
    return Found(
        *("interleave", a, b, members, members),
        preference=its,
        better="" if why else better,
        why=why,
    )
