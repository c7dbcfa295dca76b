"""From scores to a list: the exact best, not too much alike, and a few places left to chance.

Chance is what tells how good items are that nobody saw yet. Each place is drawn for by itself and
so that the probability of what stands there can be written down exactly: without it nothing can be
learned from the clicks later.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recommender.fitted import Floats, Ints
from recommender.shelf import Mask, Shelf

_REST = 50
"""Chance picks among so many behind the list: what is worth nothing teaches nothing."""
_IGNORED = 3.0
"""Shown so many times lately without a click, an item falls behind the first DEPTH lists."""
DEPTH = 3


class Placed(NamedTuple):
    """An item in a list. place: on the shelf; propensity: how probable it was that this item
    stood here, above 0 to 1."""

    place: int
    score: float
    propensity: float = 1.0
    explored: bool = False


@dataclass(frozen=True, slots=True)
class Chance:
    """How much is left to it. share: of the places, 0 to 1; newest: of these, to new items."""

    share: float = 0.0
    newest: float = 0.8


def best(scores: Floats, allowed: Mask | None, k: int, ties: Ints | None = None) -> Ints:
    """The places of the k highest scores, best first; fewer when fewer are allowed.

    scores: [N], finite, or -inf for what is left out; allowed: [N], None for all; ties: [N], of
    equal scores the lowest goes first, None: by place. k below 1: none.
    """
    if allowed is not None:
        scores = np.where(allowed, scores, np.float32(-np.inf))
    total = len(scores)
    if k < total:
        if k < 1:
            return np.zeros(0, np.int64)
        least = np.partition(scores, total - k)[total - k]
        found = np.flatnonzero(scores >= least)
    else:
        found = np.arange(total)
    found = found[scores[found] > -np.inf]
    if ties is not None:
        found = found[np.argsort(ties[found], kind="stable")]
    # Stable, so that equal ones stay in the order they have.
    order = np.argsort(-scores[found], kind="stable")[:k]
    places: Ints = found[order].astype(np.int64)
    return places


def sink(pool: Ints, scores: Floats, ignored: Mapping[int, float], count: int) -> Floats:
    """The pool's scores with what was shown lately and never clicked lowered.

    pool: places, best first; scores: theirs; ignored: place -> how often, recent times counting
    most. Each time costs a third of the way from the first of the pool to where the first DEPTH
    lists end, so that what was ignored three times stands behind them. Nothing else changes.
    """
    if not len(pool) or not ignored:
        return scores
    end = min(len(pool), DEPTH * max(1, count)) - 1
    way = float(scores[0]) - float(scores[end])
    # All alike: any step at all brings the ignored behind the others.
    way = way or 1.0
    lost = np.array([ignored.get(int(at), 0.0) for at in pool], np.float64)
    lowered: Floats = (scores - way / _IGNORED * lost).astype(np.float32)
    return lowered


def faded(times: Sequence[float], now: float, half_life_s: float) -> float:
    """How often something was shown, each time counting half after half_life_s seconds."""
    return float(sum(0.5 ** (max(0.0, now - at) / half_life_s) for at in times))


def varied(pool: Ints, shelf: Shelf, count: int, *, on_topic: bool = False) -> list[int]:
    """Indices into the pool of a list that is not all alike, in the pool's order.

    Of so many places at most one is of the same series, a third (two at least) of the same author,
    half (two at least) of the same first tag, which does not hold when a topic was asked for. What
    is left out fills the places that nothing else is there for.
    """
    caps = [
        (shelf.series, 1),
        (shelf.author, max(2, math.ceil(count / 3))),
    ]
    if not on_topic:
        caps.append((shelf.tag, max(2, math.ceil(count / 2))))
    used: list[dict[int, int]] = [{} for _ in caps]
    taken: list[int] = []
    left: list[int] = []
    for index, at in enumerate(pool):
        if len(taken) == count:
            break
        groups = [int(codes[at]) for codes, _ in caps]
        full = any(
            group and seen.get(group, 0) >= cap
            for group, seen, (_, cap) in zip(groups, used, caps, strict=True)
        )
        if full:
            left.append(index)
            continue
        taken.append(index)
        for group, seen in zip(groups, used, strict=True):
            seen[group] = seen.get(group, 0) + 1
    return sorted(taken + left[: count - len(taken)])


def compose(
    pool: Ints,
    scores: Floats,
    chosen: Sequence[int],
    new: Sequence[int],
    chance: Chance,
    rng: random.Random,
    score_of: Floats | None = None,
) -> list[Placed]:
    """The chosen of the pool in order, but where chance puts something else.

    pool, scores: places and what they got, best first; chosen: indices into the pool; new: places
    of new items that may be shown. Each place is given away by itself with probability
    `chance.share`; `chance.newest` of these to new items that are not in the list, the others to
    those that come next. A place for which none is left keeps its item.
    """
    inside = {int(pool[index]) for index in chosen}
    fresh = [at for at in new if at not in inside]
    others = set(fresh)
    rest = [int(at) for at in pool if int(at) not in inside and int(at) not in others][:_REST]
    newest = chance.newest if fresh and rest else float(bool(fresh))
    to_new = chance.share * newest if fresh else 0.0
    to_rest = chance.share * (1.0 - newest) if rest else 0.0
    # Drawn in this order; no more of them than there are places.
    count_fresh, count_rest = len(fresh), len(rest)
    fresh = rng.sample(fresh, min(count_fresh, len(chosen)))
    rest = rng.sample(rest, min(count_rest, len(chosen)))
    by_place = {int(at): float(score) for at, score in zip(pool, scores, strict=True)}
    out: list[Placed] = []
    drawn_new = drawn_rest = 0
    for position, index in enumerate(chosen):
        new_here = to_new * _fewer(position, to_new, count_fresh)
        rest_here = to_rest * _fewer(position, to_rest, count_rest)
        draw = rng.random()
        at, share, explored = int(pool[index]), 1.0 - new_here - rest_here, False
        if draw < to_new:
            if drawn_new < len(fresh):
                at, share, explored = fresh[drawn_new], new_here / count_fresh, True
            drawn_new += 1
        elif draw < to_new + to_rest:
            if drawn_rest < len(rest):
                at, share, explored = rest[drawn_rest], rest_here / count_rest, True
            drawn_rest += 1
        score = by_place.get(at)
        if score is None:
            score = float(score_of[at]) if score_of is not None else 0.0
        out.append(Placed(at, score, share, explored))
    return out


def _fewer(draws: int, share: float, than: int) -> float:
    """How probable it is that of so many draws fewer than `than` succeed, each with `share`."""
    if draws < than:
        return 1.0
    return sum(
        math.comb(draws, hits) * share**hits * (1.0 - share) ** (draws - hits)
        for hits in range(than)
    )
