"""What rises: how many people speak of a term, against how many used to.

People are counted, not turns: one member who repeats a word is no burst. The measure of a day is
how many people spoke at all, so a busy day raises nothing by itself. What is expected comes from
the term's own history, a little from the same weekdays, and it scatters as terms of this place
have scattered: talk is contagious, so far more than a Poisson law would have it. Of all terms
that were spoken, few may rise by chance: Benjamini and Hochberg 1995.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAYS = 28
"""Of history."""

LEAST_DAYS = 10
"""With fewer days on which people spoke nothing is said to rise."""

_LEAST_WEEKS = 3

FALSE_SHARE = 0.01
"""Of what is said to rise, so much may have risen by chance."""

LEAST_PEOPLE = 3
LEAST_FACTOR = 1.5
"""A certain rise that is smaller is no news."""

_PRIOR = 0.5
"""People that a term nobody used is taken to have had (Jeffreys)."""
_WEEKDAY = 4.0
"""The same weekdays must have had so many people more to be believed half."""
_TRIM = 0.01
"""Of the terms, those that scatter most are left out of how terms scatter: they burst before."""
_OWN = 10.0
_OWN_DAYS = 4
"""A term that was there on fewer days scatters as the others do."""
_FAR = 4.0
"""Standard deviations, and people, above what is expected: so much more is a burst of then."""


_SELDOM = 0.3
"""People expected: of what is spoken so seldom, whoever repeats it has it from the first."""
_STEPS = 6
"""So many people at once are a burst, and no measure of how talk usually spreads."""
_PRIOR_SPREAD = (20.0, 0.01, 0.3)
"""As if so many words had been spoken, of which this share spread, each step with this chance."""


class Rise(NamedTuple):
    """Of each term. expected: people, had it gone on as before. factor: people by expected; nan
    when nobody used it before. low, high: its 95 % interval. p: how likely so many are by chance,
    before any correction. q: the smallest share of false ones among all at least as sure."""

    expected: Floats
    factor: Floats
    low: Floats
    high: Floats
    p: Floats
    q: Floats


def rising(
    people: Floats,
    active: float,
    before: Floats,
    active_before: Floats,
    *,
    tests: int,
    weekday: NDArray[np.bool_] | None = None,
    floor: Floats | None = None,
    everything: NDArray[Any] | None = None,
    least: int = LEAST_DAYS,
) -> Rise:
    """How surely each term is spoken of by more people than before.

    people: of each term now, shape [n]; active: who spoke at all. before: the same on each day of
    history, shape [n, days]; active_before: shape [days]. tests: of how many terms these are the
    ones worth a look: all that were spoken, now or before. weekday: which days of history are of
    today's weekday. floor: below how many people a day's terms were not kept, 0 where all were.
    everything: the history of all terms, to tell how they scatter; None when these are all.
    least: so many days of history it takes (weeks, when the columns are weeks). Too little, or
    nobody there now: p and q are 1.
    """
    # Not scipy.stats, which takes a second to import.
    from scipy.special import betainc, gammainc

    count = len(people)
    ones = np.ones(count)
    total_active = float(active_before.sum())
    if count == 0 or active <= 0 or int((active_before > 0).sum()) < least:
        none = np.full(count, np.nan)
        return Rise(none, none, none, none, ones, ones)
    if floor is not None and floor.any():
        # What fell below the mark was something between nobody and the mark.
        before = np.where(before > 0, before, 0.5 * floor[None, :])
    seen = before.sum(axis=1)
    rate = (seen + _PRIOR) / total_active
    expected = rate * active
    if weekday is not None and weekday.any():
        usual = rate * float(active_before[weekday].sum())
        there = before[:, weekday].sum(axis=1)
        # Only upwards: a term that usually rests today may rest no longer, and that is news only
        # when it is more than on other days.
        expected = expected * np.maximum((there + _WEEKDAY) / (usual + _WEEKDAY), 1.0)
    a, b = scatter(before if everything is None else everything, active_before)
    own = _own(before, active_before, a, b)
    variance = a * expected + expected**2 * (own + 1.0 / (seen + _PRIOR))
    extra = variance - expected
    caught, on = spreading(before if everything is None else everything, active_before)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        size = expected**2 / extra
        tail = np.where(
            extra > 1e-9,
            betainc(people, size, expected / (size + expected)),
            gammainc(people, expected),
        )
        # Somebody says it, and who heard it says it on: on, on², on³ for each one more.
        spoken = -np.expm1(-expected)
        chain = on ** (people - 1) * (np.exp(expected * (1 / on - 1)) - 1 + spoken)
        tail = tail + caught * np.minimum(chain, spoken)
        factor = np.where(seen > 0, people / expected, np.nan)
        spread = np.sqrt(a / np.maximum(people, 0.5) + own + 1.0 / np.maximum(seen, _PRIOR))
        low, high = factor * np.exp(-1.96 * spread), factor * np.exp(1.96 * spread)
    p = np.where(people >= LEAST_PEOPLE, np.minimum(tail, 1.0), 1.0)
    return Rise(expected, factor, low, high, p, adjusted(p, tests))


def surely(people: Floats, rise: Rise, share: float = FALSE_SHARE) -> NDArray[np.bool_]:
    """Which terms are said to rise: sure enough, by enough people, and enough of a rise."""
    more = people >= LEAST_FACTOR * np.nan_to_num(rise.expected, nan=np.inf)
    found: NDArray[np.bool_] = (rise.q <= share) & (people >= LEAST_PEOPLE) & more
    return found


def judged_together(rises: Sequence[Rise], tests: Sequence[int]) -> list[Rise]:
    """The same with one q for all: many places, looked at separately, would be many chances."""
    if not rises:
        return []
    q = adjusted(np.concatenate([one.p for one in rises]), sum(tests))
    ends = np.cumsum([len(one.p) for one in rises])[:-1]
    return [one._replace(q=part) for one, part in zip(rises, np.split(q, ends), strict=True)]


def adjusted(p: Floats, tests: int) -> Floats:
    """Benjamini and Hochberg's q of each p, when `tests` were made and the rest have p = 1."""
    count = len(p)
    if not count:
        return p
    order = np.argsort(p)
    ranks = np.arange(1, count + 1)
    steps = p[order] * max(tests, count) / ranks
    q = np.empty(count)
    q[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return q


@dataclass(frozen=True, slots=True)
class History:
    """Terms of a scope over some days, the newest last.

    terms: those of at least three people on some day. people: shape [terms, days]. active: who
    spoke at all, and messages: what they said, [days]. floor: see `rising`. everything: `people` of
    all terms, also of those that are not worth a look.
    """

    terms: list[str]
    people: Floats
    active: Floats
    messages: Floats
    floor: Floats
    everything: NDArray[np.float32]

    @property
    def vocabulary(self) -> int:
        """How many terms were spoken at all."""
        return len(self.everything)

    def rise_of_day(self) -> Rise:
        """The last day against the days before it."""
        before = self.people[:, :-1][:, -DAYS:]
        count = before.shape[1]
        return rising(
            self.people[:, -1],
            float(self.active[-1]),
            before,
            self.active[:-1][-DAYS:],
            tests=self.vocabulary,
            weekday=(count - np.arange(count)) % 7 == 0,
            floor=self.floor[:-1][-DAYS:],
            everything=self.everything[:, :-1][:, -DAYS:],
        )

    def rise_of_week(self) -> Rise:
        """The last seven days against the weeks before them; people count once a day."""
        before = slice(-DAYS - 7, -7)
        return rising(
            self.people[:, -7:].sum(axis=1),
            float(self.active[-7:].sum()),
            blocks(self.people[:, before], 7),
            blocks(self.active[before], 7),
            tests=self.vocabulary,
            floor=blocks(self.floor[before], 7),
            everything=blocks(self.everything[:, before], 7),
            least=_LEAST_WEEKS,
        )


Columns = tuple[str, Sequence[int], Sequence[str], Sequence[int], Sequence[int]]
"""What a scope spoke of: scope; then by column day, term, turns, people. The term "" stands for
whoever spoke at all."""


def histories(
    known: Iterable[Columns], first: int, count: int, most: Callable[[str], int]
) -> dict[str, History]:
    """What each scope spoke of on the days from `first` on, `count` of them; no other days.

    most: of a scope, how many terms of a day were kept; where there are as many, the rest had at
    most as few people as the last.
    """
    return {
        scope: _history(day, term, turns, people, first, count, most(scope))
        for scope, day, term, turns, people in known
    }


def _history(
    day: Sequence[int],
    term: Sequence[str],
    turns: Sequence[int],
    people: Sequence[int],
    first: int,
    count: int,
    most: int,
) -> History:
    names = list(dict.fromkeys(("", *term)))
    number = {name: at for at, name in enumerate(names)}
    rows = np.array([number[one] for one in term], np.int64)
    columns = np.asarray(day, np.int64) - first
    matrix = np.zeros((len(names), count), np.float32)
    matrix[rows, columns] = people
    messages = np.zeros(count)
    messages[columns[rows == 0]] = np.asarray(turns, np.float64)[rows == 0]
    active, everything = matrix[0].astype(np.float64), matrix[1:]
    least = np.where(everything > 0, everything, np.inf).min(axis=0, initial=np.inf)
    floor = np.where((everything > 0).sum(axis=0) >= most, least, 0.0)
    often = np.flatnonzero(everything.max(axis=1, initial=0.0) >= LEAST_PEOPLE)
    return History(
        [names[at + 1] for at in often],
        everything[often].astype(np.float64),
        active,
        messages,
        floor.astype(np.float64),
        everything,
    )


def blocks(values: NDArray[Any], days: int) -> Floats:
    """Days summed in blocks of so many, the newest last; what is left over at the start goes.

    values: shape [..., d] -> [..., d // days].
    """
    kept = values.shape[-1] // days * days
    shape = (*values.shape[:-1], kept // days, days)
    summed: Floats = values[..., values.shape[-1] - kept :].reshape(shape).sum(axis=-1)
    return summed.astype(np.float64)


def scatter(before: NDArray[Any], active: Floats) -> tuple[float, float]:
    """How terms here scatter around what is expected: variance = a * mean + b * mean².

    before: all that were spoken, shape [terms, days]. a is told by seldom ones, b by others.
    """
    if not len(before) or active.sum() <= 0:
        return 1.0, 0.0
    square, expected, expected2 = _spread(before, active)
    rare = (expected > 0) & (expected < before.shape[1])
    often = expected >= before.shape[1]
    a = _trimmed(square[rare], expected[rare]) if rare.any() else 1.0
    a = max(a, 1.0)
    b = max(_trimmed((square - a * expected)[often], expected2[often]), 0.0) if often.any() else 0.0
    return a, b


def spreading(before: NDArray[Any], active: Floats) -> tuple[float, float]:
    """How talk spreads here: (of what somebody says, what share others take up; the chance of one
    more, for each that took it up), from seldom terms, whose repeats are no coincidence."""
    weight, share, chance = _PRIOR_SPREAD
    total = active.sum()
    if not len(before) or total <= 0:
        return share, chance
    others = before.sum(axis=1, keepdims=True) - before
    rest = np.maximum(total - active, 1.0)[None, :]
    mean = others / rest * active[None, :]
    seldom = (mean < _SELDOM) & (before > 0) & (before < _STEPS)
    count, there = before[seldom], mean[seldom]
    if not len(count):
        return share, chance
    # What coincidence would have given: at least n more, when one is there.
    more = [float((count > n).sum()) for n in range(_STEPS)]
    luck = [float(there.sum()) / 2, float((there**2).sum()) / 6]
    once = max(more[1] - luck[0], 0.0)
    steps = [max(more[2] - luck[1], 0.0), *more[3 : _STEPS - 1]]
    caught = (once + weight * share) / (more[0] + weight)
    before_steps = [once, *steps[:-1]]
    on = (sum(steps) + weight * share * chance) / (sum(before_steps) + weight * share)
    return min(caught, 1.0), float(np.clip(on, 0.05, 0.9))


def _own(before: Floats, active: Floats, a: float, b: float) -> Floats:
    """b of each term: that of all, or more where the term was there on enough days to tell."""
    square, expected, expected2 = _spread(before, active)
    own = np.maximum((square - a * expected) / np.maximum(expected2, 1e-12), b)
    there = (before > 0).sum(axis=1)
    trust = np.where(there >= _OWN_DAYS, there / (there + _OWN), 0.0)
    return np.asarray(b + (own - b) * trust, np.float64)


def _spread(before: NDArray[Any], active: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each term: its squares around what is expected, that itself, and its squares."""
    days = before.shape[1]
    rate = before.sum(axis=1, dtype=np.float64) / active.sum()
    mean = rate[:, None] * active[None, :]
    # A day on which a term burst says nothing of how it scatters on others.
    usual = np.minimum(before, mean + _FAR * np.sqrt(mean) + _FAR)
    square = ((usual - mean) ** 2).sum(axis=1) * days / max(days - 1, 1)
    return square, mean.sum(axis=1), (mean**2).sum(axis=1)


def _trimmed(over: Floats, under: Floats) -> float:
    """The quotient of the sums, without the terms whose own is highest."""
    kept = np.argsort(over / np.maximum(under, 1e-12))[: len(over) - int(_TRIM * len(over))]
    return float(over[kept].sum() / max(float(under[kept].sum()), 1e-12))
