"""What a campaign caused: differences with their intervals, and when to believe them.

A share is compared with another by the score test of Miettinen and Nurminen. The interval of the
difference, the one of the uplift and the p-value all come from it, so they never contradict each
other: p is below 5 % exactly when neither interval holds "no difference". Members are compared as
they were assigned, whether or not a message reached them; clicks only between variants, because
who was held out has nothing to click on.

These intervals are for one look, when the windows have closed. The early test looks as often as
it likes: `winner` uses evidence that stays honest then.

Pure arithmetic. `srm` and the money load scipy, which takes half a second the first time: call
`judge` off the event loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

_Z = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""

_Z_POWER = 0.8416212335729143
"""One-sided 80 % of it."""

WORTH = 0.2
"""The least relative uplift that the wait for more data is reckoned for: one fifth."""

SRM_LIMIT = 0.001
"""Below this the arms' sizes are not the dice's doing, and the comparison is not to be trusted."""

_SRM_LEAST = 5.0
"""Members that must be expected in an arm before its size says anything (Cochran 1954)."""

_ALPHA = 0.05
_PRIOR = 50.0
"""How strongly the evidence expects the arms to be alike, in responses: best at finding uplifts
of a fifth to a half."""

_MONEY_BUYERS = 30
"""Buyers that either side needs before revenue has an interval: with fewer, one large order
decides."""


class Arm(Protocol):
    """What is needed of an arm: `store/campaign_report.py` has it."""

    @property
    def variant(self) -> str: ...
    @property
    def held(self) -> bool: ...
    @property
    def rest(self) -> bool: ...
    @property
    def weight(self) -> int: ...
    @property
    def assigned(self) -> int: ...
    @property
    def buyers(self) -> int: ...
    @property
    def revenue_cents(self) -> int: ...
    @property
    def revenue_squares(self) -> float: ...
    def hits(self, metric: str, /) -> int: ...


class Report(Protocol):
    """What is needed of a report."""

    @property
    def arms(self) -> Sequence[Arm]: ...
    @property
    def holdout(self) -> float: ...
    @property
    def test_share(self) -> float: ...
    @property
    def final(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Effect:
    """One group beside another. variant: "" for all that were not held out; against: "" for the
    hold-out, else the other variant.

    share, base: how many of `members` and `base_members` did it, 0 to 1. diff: share less base,
    with its 95 % interval. uplift: share / base - 1, from -1; inf when only the base has none.
    p: two-sided. All are nan when a group is empty, uplift also when nobody did it at all.
    """

    variant: str
    against: str
    members: int
    hits: int
    base_members: int
    base_hits: int
    share: float
    base: float
    diff: float
    low: float
    high: float
    uplift: float
    uplift_low: float
    uplift_high: float
    p: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves "no difference" out."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True, slots=True)
class Money:
    """Revenue beside the hold-out's, fen with refunds taken off, 95 % intervals (Welch).

    per_member: so much more each; total: of all that were not held out.
    """

    per_member: float
    low: float
    high: float
    total: float
    total_low: float
    total_high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a report says.

    total: all that were not held out against the hold-out; None with clicks, or no hold-out.
    effects: each variant against the hold-out, or the other variants against the first. why:
    "" or why there are none: "no_holdout" (one variant and nobody held out), "one_variant"
    (clicks of one variant), "empty" (nobody assigned yet). srm_p: how often chance makes the
    arms' sizes so unequal; 1.0 when they say nothing yet. enough: the answer is certain, or
    there were members enough to see a difference of a fifth. needed: about so many more
    members, all arms together; 0 when enough, None when that cannot be said. final: nothing
    will change any more; before, it is a look on the way.
    """

    metric: str
    total: Effect | None
    effects: tuple[Effect, ...]
    why: str
    money: Money | None
    srm_p: float
    enough: bool
    needed: int | None
    final: bool

    @property
    def srm_ok(self) -> bool:
        """Whether the arms are as large as they were meant to be."""
        return self.srm_p >= SRM_LIMIT


# Two shares


def _score_diff(x1: float, n1: float, x2: float, n2: float, diff: float) -> float:
    """How many standard errors the shares are from differing by `diff`.

    The shares under that assumption are the likeliest ones, in closed form.
    Source: Miettinen & Nurminen 1985, appendix.
    """
    n, x = n1 + n2, x1 + x2
    l2 = (n1 + 2 * n2) * diff - n - x
    l1 = (n2 * diff - n - 2 * x2) * diff + x
    l0 = x2 * diff * (1.0 - diff)
    q = l2**3 / (3 * n) ** 3 - l1 * l2 / (6.0 * n * n) + l0 / (2 * n)
    root = math.sqrt(max(0.0, l2 * l2 / (3 * n) ** 2 - l1 / (3 * n)))
    root = math.copysign(root, q)
    cube = root**3
    angle = (math.pi + math.acos(max(-1.0, min(1.0, q / cube)) if cube else 1.0)) / 3.0
    p2 = max(0.0, min(1.0, 2.0 * root * math.cos(angle) - l2 / (3 * n)))
    p1 = max(0.0, min(1.0, p2 + diff))
    variance = (p1 * (1.0 - p1) / n1 + p2 * (1.0 - p2) / n2) * n / (n - 1)
    return _over(x1 / n1 - x2 / n2 - diff, variance)


def _score_ratio(x1: float, n1: float, x2: float, n2: float, ratio: float) -> float:
    """The same for the first share being `ratio` times the second."""
    n, x = n1 + n2, x1 + x2
    a = n * ratio
    b = -(n1 * ratio + x1 + n2 + x2 * ratio)
    p2 = (-b - math.sqrt(max(0.0, b * b - 4.0 * a * x))) / (2.0 * a)
    p1 = min(1.0, ratio * p2)
    variance = (p1 * (1.0 - p1) / n1 + ratio * ratio * p2 * (1.0 - p2) / n2) * n / (n - 1)
    return _over(x1 / n1 - ratio * x2 / n2, variance)


_FAR = 8.0
"""Standard errors beyond which it does not matter how far; keeps the search well-behaved."""


def _over(distance: float, variance: float) -> float:
    if variance <= 0.0:
        return 0.0 if abs(distance) < 1e-12 else math.copysign(_FAR, distance)
    return max(-_FAR, min(_FAR, distance / math.sqrt(variance)))


def _crossing(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls from above zero to below crosses it, to 1e-10.

    Regula falsi that halves the end that stays (Illinois), with a bisection in between.
    """
    f_low, f_high = f(low), f(high)
    for turn in range(200):
        if high - low < 1e-10:
            break
        even = turn % 3 == 2 or f_low - f_high < 1e-12
        at = (low + high) / 2 if even else (low * f_high - high * f_low) / (f_high - f_low)
        value = f(at)
        if abs(value) < 1e-9:
            return at
        if value > 0.0:
            low, f_low = at, value
            f_high = f_high if even else f_high / 2
        else:
            high, f_high = at, value
            f_low = f_low if even else f_low / 2
    return (low + high) / 2


def _diff_interval(x1: float, n1: float, x2: float, n2: float) -> tuple[float, float]:
    seen = x1 / n1 - x2 / n2

    def score(diff: float) -> float:
        return _score_diff(x1, n1, x2, n2, diff)

    low = -1.0
    if seen > -1.0 and score(-1.0) > _Z:
        low = _crossing(lambda diff: score(diff) - _Z, -1.0, seen)
    high = 1.0
    if seen < 1.0 and score(1.0) < -_Z:
        high = _crossing(lambda diff: score(diff) + _Z, seen, 1.0)
    return low, high


def _ratio_interval(x1: float, n1: float, x2: float, n2: float) -> tuple[float, float]:
    """Of the first share by the second; 0 and inf where nothing bounds it."""
    if x1 + x2 == 0:
        return 0.0, math.inf

    # Ratios from nothing to infinity as odds, 0 to 1, so that both ends can be searched alike.
    def score(place: float) -> float:
        return _score_ratio(x1, n1, x2, n2, place / (1.0 - place))

    first, second = x1 / n1, x2 / n2
    seen = first / (first + second)
    low, high = 0.0, math.inf
    if x1:
        place = _crossing(lambda place: score(place) - _Z, 1e-12, min(seen, 1.0 - 1e-12))
        low = place / (1.0 - place)
    if x2:
        place = _crossing(lambda place: score(place) + _Z, max(seen, 1e-12), 1.0 - 1e-12)
        high = place / (1.0 - place)
    return low, high


def difference(
    hits: float,
    members: float,
    base_hits: float,
    base_members: float,
    *,
    variant: str = "A",
    against: str = "",
) -> Effect:
    """One group's share beside another's, with 95 % intervals. Source: Miettinen & Nurminen 1985.

    Whole numbers, but where things of members are counted: then as many as would be as uncertain
    if each were of another member (`insights/rec_tests.py`).

    Errors: ValueError for more hits than members, or fewer than none.
    """
    if not 0 <= hits <= members or not 0 <= base_hits <= base_members:
        raise ValueError(f"{hits} of {members}, {base_hits} of {base_members}: no shares")
    counted = (round(members), round(hits), round(base_members), round(base_hits))
    names = (variant, against, *counted)
    share = hits / members if members else math.nan
    base = base_hits / base_members if base_members else math.nan
    if not members or not base_members:
        nan = math.nan
        return Effect(*names, share, base, nan, nan, nan, nan, nan, nan, nan)
    counts = (hits, members, base_hits, base_members)
    low, high = _diff_interval(*counts)
    ratio_low, ratio_high = _ratio_interval(*counts)
    uplift = share / base - 1.0 if base else (math.inf if share else math.nan)
    p = math.erfc(abs(_score_diff(*counts, 0.0)) / math.sqrt(2.0))
    return Effect(
        *names, share, base, share - base, low, high, uplift, ratio_low - 1.0, ratio_high - 1.0, p
    )


# Sizes


def srm(observed: Sequence[int], shares: Sequence[float]) -> float:
    """How often chance alone makes the arms' sizes at least so unequal: the p of chi-squared.

    shares: what was meant, in any unit. 1.0 while an arm is expected to have fewer than five,
    or when there is one arm only. Below SRM_LIMIT something else than chance sorted the members.
    """
    total, whole = sum(observed), sum(shares)
    cells = [
        (count, total * share / whole)
        for count, share in zip(observed, shares, strict=True)
        if share > 0.0 or count
    ]
    if len(cells) < 2:
        return 1.0
    if any(expected == 0.0 for _, expected in cells):
        return 0.0
    if min(expected for _, expected in cells) < _SRM_LEAST:
        return 1.0
    from scipy.special import chdtrc

    square = sum((count - expected) ** 2 / expected for count, expected in cells)
    return float(chdtrc(len(cells) - 1, square))


def needed(share: float, base: float, *, ratio: float = 1.0, z_power: float = _Z_POWER) -> float:
    """Members of the first group for a difference of these shares to be seen, four times of five.

    ratio: members of the second group for each of the first. inf when the shares are the same.
    Source: Fleiss, Levin & Paik 2003, 4.3, without continuity correction.
    """
    if share == base:
        return math.inf
    middle = (share + ratio * base) / (1.0 + ratio)
    alike = math.sqrt((1.0 + 1.0 / ratio) * middle * (1.0 - middle))
    apart = math.sqrt(share * (1.0 - share) + base * (1.0 - base) / ratio)
    return ((_Z * alike + z_power * apart) / (share - base)) ** 2


def _more(effect: Effect) -> float:
    """By what factor the two groups would have to grow for an answer; 1.0 when they need not.

    The difference looked for is the one that was seen, but at least a fifth of the base: a
    smaller one would be waited for without end.
    """
    if effect.certain:
        return 1.0
    # Half a hit more, so that nobody yet is few and not none.
    base = (effect.base_hits + 0.5) / (effect.base_members + 1.0)
    step = max(abs(effect.diff), WORTH * base)
    upwards = effect.diff >= 0.0 or base - step <= 0.0
    share = min(1.0 - 1e-9, base + step) if upwards else base - step
    ratio = effect.base_members / effect.members
    if effect.members >= needed(base * (1.0 + WORTH), base, ratio=ratio):
        return 1.0
    return max(1.0, needed(share, base, ratio=ratio) / effect.members)


# A report


def judge(report: Report, metric: str) -> Verdict:
    """What a report says about a metric ("click", "claim", "purchase" or "reply").

    Errors: KeyError for another metric.
    """
    arms = [arm for arm in report.arms if arm.assigned]
    held = next((arm for arm in arms if arm.held), None)
    by_variant: dict[str, list[Arm]] = {}
    for arm in arms:
        # Who waits for a test's winner has no variant yet.
        if not arm.held and arm.variant:
            by_variant.setdefault(arm.variant, []).append(arm)
    sent = [arm for arm in arms if not arm.held]
    total: Effect | None = None
    effects: list[Effect] = []
    why = ""
    if metric != "click" and held is not None and sent:
        total = _effect(metric, "", sent, "", [held])
        effects = [
            _effect(metric, name, its, "", [held]) for name, its in sorted(by_variant.items())
        ]
    else:
        # Who got the winner after the test was no part of it.
        tested = {
            name: [arm for arm in its if not arm.rest] for name, its in sorted(by_variant.items())
        }
        tested = {name: its for name, its in tested.items() if its}
        first, *others = tested or [""]
        effects = [_effect(metric, name, tested[name], first, tested[first]) for name in others]
        if not others:
            why = "empty" if not sent else "one_variant" if metric == "click" else "no_holdout"
    asked = [total] if total is not None else effects
    factor = max((_more(effect) for effect in asked), default=math.inf)
    members = sum(arm.assigned for arm in arms)
    return Verdict(
        metric=metric,
        total=total,
        effects=tuple(effects),
        why=why,
        money=_money(sent, held),
        srm_p=_sizes(report),
        enough=factor <= 1.0,
        needed=math.ceil(members * (factor - 1.0)) if math.isfinite(factor) else None,
        final=report.final,
    )


def _effect(
    metric: str, name: str, arms: Sequence[Arm], against: str, base: Sequence[Arm]
) -> Effect:
    return difference(
        sum(arm.hits(metric) for arm in arms),
        sum(arm.assigned for arm in arms),
        sum(arm.hits(metric) for arm in base),
        sum(arm.assigned for arm in base),
        variant=name,
        against=against,
    )


def _sizes(report: Report) -> float:
    """The `srm` of a report: hold-out, variants, and who was left for after a test."""
    sent = 1.0 - report.holdout
    tested = sent * report.test_share if report.test_share else sent
    weights = sum(arm.weight for arm in report.arms if not arm.held and not arm.rest) or 1
    observed: list[int] = []
    shares: list[float] = []
    for arm in report.arms:
        if not arm.held and not arm.rest:
            observed.append(arm.assigned)
            shares.append(tested * arm.weight / weights)
    if report.holdout:
        observed.append(sum(arm.assigned for arm in report.arms if arm.held))
        shares.append(report.holdout)
    if report.test_share:
        observed.append(sum(arm.assigned for arm in report.arms if arm.rest))
        shares.append(sent - tested)
    return srm(observed, shares) if sum(observed) else 1.0


def _money(sent: Sequence[Arm], held: Arm | None) -> Money | None:
    """Revenue with an interval; None without a hold-out or with too few buyers on a side."""
    buyers = sum(arm.buyers for arm in sent)
    if held is None or min(buyers, held.buyers) < _MONEY_BUYERS:
        return None
    mean, error, freedom = _mean(sent)
    base, base_error, base_freedom = _mean([held])
    both = error + base_error
    if both <= 0.0:
        return None
    from scipy.special import stdtrit

    # Welch 1947: degrees of freedom of two unequal variances.
    degrees = both * both / (error * error / freedom + base_error * base_error / base_freedom)
    half = float(stdtrit(degrees, 0.975)) * math.sqrt(both)
    diff = mean - base
    members = sum(arm.assigned for arm in sent)
    return Money(
        diff,
        diff - half,
        diff + half,
        diff * members,
        (diff - half) * members,
        (diff + half) * members,
    )


def _mean(arms: Sequence[Arm]) -> tuple[float, float, int]:
    """The mean of each member's revenue, its squared standard error, degrees of freedom."""
    members = sum(arm.assigned for arm in arms)
    cents = sum(arm.revenue_cents for arm in arms)
    squares = sum(arm.revenue_squares for arm in arms)
    mean = cents / members
    variance = max(0.0, squares - cents * mean) / (members - 1)
    return mean, variance / members, members - 1


# The early test


def evidence(
    hits: int, members: int, other_hits: int, other_members: int, *, prior: float = _PRIOR
) -> float:
    """How much more likely the hits are if one group does better than if none does.

    Under "no difference" it rarely grows: the chance that it ever reaches 20 is at most 5 %,
    however often one looks. Each hit is a coin that falls to the first group as often as the
    group is large; the other explanation is a coin of which only that is known that it is
    likely near (a Dirichlet prior). Hits are drawn without putting back, which only slows the
    growth: the group that is ahead has fewer left. prior: how strongly that likely coin is believed
    in, in hits; the less, the sooner large differences are seen. inf beyond what a float holds;
    1.0 when a group is empty. Source: Lindon & Malek 2022, anytime-valid inference for counts.
    """
    if not members or not other_members:
        return 1.0
    place = members / (members + other_members)
    a, b = prior * place, prior * (1.0 - place)
    logged = (
        math.lgamma(a + hits)
        + math.lgamma(b + other_hits)
        - math.lgamma(prior + hits + other_hits)
        - math.lgamma(a)
        - math.lgamma(b)
        + math.lgamma(prior)
        - hits * math.log(place)
        - other_hits * math.log1p(-place)
    )
    return math.exp(logged) if logged < 700.0 else math.inf


def winner(arms: Sequence[Arm], metric: str, *, over: bool = False) -> str:
    """The variant that an early test shows to be the best; "" while that is not certain.

    It may be asked as often as one likes: all looks and pairs together name a winner where
    there is none in at most 5 % of tests. over: the time is up, so the one that is ahead, the
    first of equals; "" for no arms. arms: as `store/campaign_outcomes.py` reads a test, where
    everybody had the same time.
    """
    ranked = sorted(
        (arm for arm in arms if arm.assigned and not arm.held and not arm.rest),
        key=lambda arm: (-arm.hits(metric) / arm.assigned, arm.variant),
    )
    if not ranked:
        return ""
    best, *others = ranked
    limit = len(ranked) * len(others) / 2 / _ALPHA
    if over or all(
        evidence(best.hits(metric), best.assigned, arm.hits(metric), arm.assigned) >= limit
        for arm in others
    ):
        return best.variant
    return ""
