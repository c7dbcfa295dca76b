"""Where the next yuan brings most: responses fitted to weeks, and a budget split along them.

Each group has weeks with what was spent there and how many conversions there were. Conversions
are fitted as c + a·log(1 + x/b) or c + a·x/(b + x): what comes by itself, and what spending adds,
less and less of it. A budget is split so that the last yuan brings the same everywhere (the
condition of the optimum of this concave problem); what it brings is the shadow price.

What was spent was nobody's dice: a group may have been paid for because it was about to sell
anyway. A curve is a guide and no proof. A group whose weeks cannot bear a curve is left out and
said to be: too few weeks, always the same spending, or no response to be told from none.

Money is in yuan here; reports are in fen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEAST_WEEKS = 8
LEAST_LEVELS = 3
"""Different amounts of spending: two cannot show that a response bends."""
LEAST_SPREAD = 0.15
"""Standard deviation of the spending over its mean."""
FLAT = 0.05
"""Shuffled weeks fit as well as the real ones more often than this: nothing is to be seen."""
BEYOND = 1.5
"""No more than this times the dearest week so far: nobody knows what comes further out."""
DRAWS = 60
SHUFFLES = 199

Floats = NDArray[np.float64]
Shape = Literal["log", "ratio"]

_SHAPES: tuple[Shape, ...] = ("log", "ratio")
_BENDS = 16
_STEPS = 60
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Curve:
    """Conversions of a week in which x yuan are spent: base + gain·f(x / bend).

    f: log(1 + u) for "log", u / (1 + u) for "ratio". gain, base: not below 0; bend: above 0.
    """

    shape: Shape
    base: float
    gain: float
    bend: float

    def at(self, spent: float) -> float:
        """Conversions of such a week."""
        return self.base + self.added(spent)

    def added(self, spent: float) -> float:
        """What the spending brings of them."""
        u = spent / self.bend
        return self.gain * (math.log1p(u) if self.shape == "log" else u / (1.0 + u))

    def marginal(self, spent: float) -> float:
        """Conversions that one more yuan brings there."""
        u = 1.0 + spent / self.bend
        return self.gain / self.bend / (u if self.shape == "log" else u * u)


@dataclass(frozen=True, slots=True)
class Weeks:
    """What is known of one place: for each week what was spent, yuan, and the conversions."""

    place: str
    spent: Sequence[float]
    conversions: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A place and its curve. curve: None when the weeks bear none; why: then a key of NOTES.

    draws: the curves of resampled weeks. p: how often shuffled weeks fit as well. usual: mean
    spending of the last four weeks. most: the dearest week. fit: share of the scatter explained.
    """

    place: str
    weeks: int
    usual: float
    most: float
    curve: Curve | None = None
    draws: tuple[Curve, ...] = ()
    p: float | None = None
    fit: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """What one place gets. spent, low, high: yuan and how far resampled weeks would move it.

    expected: conversions that come with it, those that come by themselves among them; least, most:
    a 95 % interval of it. marginal: conversions that one more yuan would bring there.
    bound: "low" or "high" when a limit holds it there, "" otherwise.
    """

    place: str
    spent: float
    low: float
    high: float
    expected: float
    least: float
    most: float
    marginal: float
    bound: Literal["", "low", "high"] = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A budget, split. spent: its part that was given out; the rest found no place below its
    limits. price: conversions that one yuan more would bring, 0 when all limits are reached.
    expected, least, most: conversions of all places in a week, and a 95 % interval.
    """

    budget: float
    spent: float
    shares: tuple[Share, ...]
    price: float
    price_low: float
    price_high: float
    expected: float
    least: float
    most: float


class BadBounds(ValueError):
    """The least amounts add up to more than the budget, or a least is above its most."""


# Fitting


def _basis(shape: Shape, spent: Floats, bends: Floats) -> Floats:
    """f(x / bend) for each bend, shape [..., bends, weeks]."""
    u = spent[..., None, :] / bends[:, None]
    return np.log1p(u) if shape == "log" else u / (1.0 + u)


def _solved(basis: Floats, came: Floats) -> tuple[Floats, Floats, Floats]:
    """base, gain (both at least 0) and what is left, for each bend; weights as counts have.

    basis: [..., bends, weeks]; came: [..., weeks]. The two unknowns have a closed solution, once
    free and once on either border.
    """
    came = came[..., None, :]
    weight = np.ones_like(came)
    base = gain = loss = np.zeros(0)
    for _ in range(2):
        total = weight.sum(axis=-1)
        f, y = (weight * basis).sum(axis=-1), (weight * came).sum(axis=-1)
        ff = (weight * basis * basis).sum(axis=-1)
        fy = (weight * basis * came).sum(axis=-1)
        free = (total * fy - f * y) / np.maximum(total * ff - f * f, _TINY)
        rest = (y - free * f) / total
        # A base below 0 is none; a gain below 0 neither.
        gain = np.where(rest < 0.0, fy / np.maximum(ff, _TINY), free)
        gain = np.maximum(gain, 0.0)
        base = np.maximum((y - gain * f) / total, 0.0)
        fitted = base[..., None] + gain[..., None] * basis
        # Counts scatter like the root of their mean; a week of none is not worth everything.
        loss = ((came - fitted) ** 2 / (1.0 + fitted)).sum(axis=-1)
        weight = 1.0 / (1.0 + fitted)
    return base, gain, loss


def _bends(spent: Floats) -> Floats:
    most, least = float(spent.max()), float(spent[spent > 0].min())
    return np.geomspace(max(least, most / 100.0) / 4.0, most * 4.0, _BENDS)


@dataclass(frozen=True, slots=True)
class _Best:
    """The best of each row, all shape [rows]."""

    shape: NDArray[np.int64]
    base: Floats
    gain: Floats
    bend: Floats
    loss: Floats

    def curve(self, row: int) -> Curve:
        shape = _SHAPES[int(self.shape[row])]
        return Curve(shape, float(self.base[row]), float(self.gain[row]), float(self.bend[row]))


def _best(spent: Floats, came: Floats, bends: Floats) -> _Best:
    """Fit each row; spent, came: [rows, weeks]."""
    parts = [_solved(_basis(shape, spent, bends), came) for shape in _SHAPES]
    base, gain, loss = (np.concatenate(column, axis=-1) for column in zip(*parts, strict=True))
    at = np.argmin(loss, axis=-1)
    rows = np.arange(len(at))
    return _Best(
        at // len(bends),
        base[rows, at],
        gain[rows, at],
        bends[at % len(bends)],
        loss[rows, at],
    )


def fit(weeks: Weeks, rng: np.random.Generator) -> Fitted:
    """The response of a place, or why there is none. rng: for resampling, so that it repeats."""
    spent = np.asarray(weeks.spent, dtype=np.float64)
    came = np.asarray(weeks.conversions, dtype=np.float64)
    usual = float(spent[-4:].mean()) if len(spent) else 0.0
    most = float(spent.max()) if len(spent) else 0.0

    def without(why: str, p: float | None = None) -> Fitted:
        return Fitted(place=weeks.place, weeks=len(spent), usual=usual, most=most, p=p, why=why)

    if most <= 0.0:
        return without("no_costs")
    if len(spent) < LEAST_WEEKS:
        return without("few_weeks")
    if len(np.unique(spent)) < LEAST_LEVELS or spent.std() < LEAST_SPREAD * spent.mean():
        return without("no_variation")
    bends = _bends(spent)
    shuffled = np.array([came, *(rng.permutation(came) for _ in range(SHUFFLES))])
    found = _best(np.broadcast_to(spent, shuffled.shape), shuffled, bends)
    # The real order is one of those it is compared with.
    p = float((found.loss <= found.loss[0] * (1.0 + 1e-9)).mean())
    if found.gain[0] <= 0.0 or p > FLAT:
        return without("flat_response", p)
    picked = rng.integers(0, len(spent), (DRAWS, len(spent)))
    again = _best(spent[picked], came[picked], bends)
    mean = came.mean()
    none = float(((came - mean) ** 2 / (1.0 + mean)).sum())
    return Fitted(
        place=weeks.place,
        weeks=len(spent),
        usual=usual,
        most=most,
        curve=found.curve(0),
        draws=tuple(again.curve(row) for row in range(DRAWS)),
        p=p,
        fit=max(1.0 - float(found.loss[0]) / none, 0.0) if none > 0 else None,
    )


# Splitting


def split(
    curves: Sequence[Curve], budget: float, low: Sequence[float], high: Sequence[float]
) -> tuple[list[float], float]:
    """What each curve gets, and the shadow price; the amounts add up to the budget, or to all
    limits where these are less.

    The optimum of a sum of concave curves: each gets as much as it takes until its marginal falls
    to the price, within its limits, and the price is the one at which the budget is used up.
    Errors: BadBounds.
    """
    least, most = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if np.any(least > most) or np.any(least < 0) or least.sum() > budget * (1 + 1e-9) + 1e-9:
        raise BadBounds("the limits leave no way to split the budget")
    amounts, price = _water(_Columns.of([list(curves)]), np.array([budget]), least, most)
    return [float(one) for one in amounts[0]], float(price[0])


@dataclass(frozen=True, slots=True)
class _Columns:
    """Curves as arrays, shape [rows, places]: each row is one world in which to split."""

    log: NDArray[np.bool_]
    base: Floats
    gain: Floats
    bend: Floats

    @classmethod
    def of(cls, rows: Sequence[Sequence[Curve]]) -> _Columns:
        return cls(
            np.array([[one.shape == "log" for one in row] for row in rows], dtype=bool),
            np.array([[one.base for one in row] for row in rows], dtype=np.float64),
            np.array([[one.gain for one in row] for row in rows], dtype=np.float64),
            np.array([[one.bend for one in row] for row in rows], dtype=np.float64),
        )

    def marginal(self, spent: Floats) -> Floats:
        u = 1.0 + spent / self.bend
        return self.gain / self.bend / np.where(self.log, u, u * u)

    def taken(self, price: Floats) -> Floats:
        """How much each takes until its marginal is the price, [rows, 1]; without limits."""
        steep = self.gain / self.bend / np.maximum(price, _TINY)
        return self.bend * (np.where(self.log, steep, np.sqrt(steep)) - 1.0)

    def at(self, spent: Floats) -> Floats:
        u = spent / self.bend
        return self.base + self.gain * np.where(self.log, np.log1p(u), u / (1.0 + u))


def _water(curves: _Columns, budgets: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Amounts [rows, places] and prices [rows], by halving the range of the price's logarithm."""
    rows = len(budgets)
    budgets = np.minimum(budgets, high.sum())
    top = curves.marginal(np.broadcast_to(low, curves.gain.shape)).max(axis=1)
    above = np.log(np.maximum(top, _TINY))
    below = np.full(rows, math.log(_TINY))
    for _ in range(_STEPS):
        middle = (above + below) / 2.0
        amounts = np.clip(curves.taken(np.exp(middle)[:, None]), low, high)
        over = amounts.sum(axis=1) > budgets
        below, above = np.where(over, middle, below), np.where(over, above, middle)
    price = np.exp(above)
    amounts = np.clip(curves.taken(price[:, None]), low, high)
    # What the halving left over, and what nobody wants at any price: where there is room, evenly.
    left = budgets - amounts.sum(axis=1)
    room = np.where(left[:, None] >= 0, high - amounts, amounts - low)
    total = room.sum(axis=1)
    share = np.where(total > 0, left / np.maximum(total, _TINY), 0.0)
    amounts = np.clip(amounts + room * share[:, None], low, high)
    # At the upper limits more money brings nothing.
    return amounts, np.where(budgets >= high.sum() * (1 - 1e-12), 0.0, price)


def plan(
    fitted: Sequence[Fitted],
    budget: float,
    bounds: Mapping[str, tuple[float, float | None]] | None = None,
) -> Plan | None:
    """Split a week's budget, yuan, over the places that have curves; None when none has.

    bounds: place -> (least, most), most None for the usual limit, `BEYOND` its dearest week.
    Milliseconds; whoever answers a chat calls it in a thread all the same. Errors: BadBounds.
    """
    known = [one for one in fitted if one.curve is not None]
    if not known:
        return None
    low, high = _limits(known, bounds or {})
    curves = [one.curve for one in known if one.curve is not None]
    amounts, price = split(curves, budget, low.tolist(), high.tolist())
    spent = np.array(amounts)
    draws = _Columns.of([list(row) for row in zip(*(one.draws for one in known), strict=True)])
    budgets = np.full(len(draws.gain), float(budget))
    moved, prices = _water(draws, budgets, low, high)
    worlds = draws.at(np.broadcast_to(spent, draws.gain.shape))
    shares = []
    for number, one in enumerate(known):
        curve, amount = curves[number], amounts[number]
        narrow = max(budget, 1.0) * 1e-6
        held_high = amount >= high[number] - narrow
        held_low = amount <= low[number] + narrow
        shares.append(
            Share(
                one.place,
                amount,
                *_middle(moved[:, number]),
                curve.at(amount),
                *_around(curve.at(amount), worlds[:, number]),
                curve.marginal(amount),
                "high" if held_high else "low" if held_low else "",
            )
        )
    expected = sum(one.expected for one in shares)
    return Plan(
        budget,
        float(spent.sum()),
        tuple(sorted(shares, key=lambda one: -one.spent)),
        price,
        *_middle(prices, price),
        expected,
        *_around(expected, worlds.sum(axis=1)),
    )


def _limits(
    known: Sequence[Fitted], bounds: Mapping[str, tuple[float, float | None]]
) -> tuple[Floats, Floats]:
    low, high = [], []
    for one in known:
        least, most = bounds.get(one.place, (0.0, None))
        limit = one.most * BEYOND
        low.append(least)
        high.append(max(limit, least) if most is None else most)
    return np.array(low), np.array(high)


def _middle(values: Floats, value: float | None = None) -> tuple[float, float]:
    """The middle 95 % of resampled values; widened to hold the value itself."""
    low, high = (float(one) for one in np.quantile(values, (0.025, 0.975)))
    return (low, high) if value is None else (min(low, value), max(high, value))


def _around(value: float, values: Floats) -> tuple[float, float]:
    """A 95 % interval. A tenth wider than the scatter of resampled weeks, which alone held 94 %
    of planted truths: the split was chosen by the same curves."""
    half = 1.96 * 1.1 * float(values.std())
    return max(value - half, 0.0), value + half


def expected(fitted: Sequence[Fitted], spent: Mapping[str, float]) -> float:
    """Conversions of a week in which the places with curves get these amounts, yuan."""
    return sum(one.curve.at(spent.get(one.place, 0.0)) for one in fitted if one.curve is not None)


def gained(
    fitted: Sequence[Fitted], spent: Mapping[str, float], other: Mapping[str, float]
) -> tuple[float, float]:
    """A 95 % interval of what one split brings beyond another; below 0 where it may bring less."""
    known = [one for one in fitted if one.curve is not None]
    value = expected(known, spent) - expected(known, other)
    draws = _Columns.of([list(row) for row in zip(*(one.draws for one in known), strict=True)])
    one, two = (np.array([[of.get(it.place, 0.0) for it in known]]) for of in (spent, other))
    scatter = (draws.at(one) - draws.at(two)).sum(axis=1)
    half = 1.96 * 1.1 * float(scatter.std())
    return value - half, value + half
