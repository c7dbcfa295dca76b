"""How good a ranking is: the measures at k, AUC, coverage, and intervals that belong to them.

Every measure is of one member, so that two rankers can be compared member by member; a member with
nothing to find is left out, not counted as 0. Sources: Järvelin and Kekäläinen 2002 (NDCG), Efron
1979 (bootstrap).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

K = 10
ROUNDS = 2000
"""Of a bootstrap."""
_ALPHA = 0.05

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
Scores: TypeAlias = npt.NDArray[np.floating]
Mask: TypeAlias = npt.NDArray[np.bool_]


class Measured(NamedTuple):
    """One member's list, each from 0 to 1.

    precision: hits among the first k, of k; recall: of what there was to find; ndcg: discounted
    gain, of the best possible order; ap: average precision at k, of min(k, what there was to
    find); hit: 1.0 with at least one; auc: how often what was found stands before what was not,
    ties half; 0.5 when there is nothing else to rank.
    """

    precision: float
    recall: float
    ndcg: float
    ap: float
    hit: float
    auc: float


NAMES = Measured._fields


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over n members with its 95 % interval by bootstrap over members; nan with n = 0."""

    value: float
    low: float
    high: float
    n: int


def ranked(scores: Scores, allowed: Mask, k: int = K) -> IntArray:
    """The best k of the allowed items, best first; ties go by the item's place. [] for none.

    scores: [I]; what is no number comes last. allowed: [I].
    """
    places = np.flatnonzero(allowed)
    if not places.size or k <= 0:
        return np.empty(0, np.int64)
    values = np.asarray(scores, np.float64)[places]
    values = np.where(np.isnan(values), -np.inf, values)
    if k < places.size:
        least = np.partition(values, places.size - k)[places.size - k]
        # All that tie with the last one: which of them come in must not be left to chance.
        near = np.flatnonzero(values >= least)
        places, values = places[near], values[near]
    order = np.lexsort((places, -values))[:k]
    return places[order].astype(np.int64)


def measured(scores: Scores, allowed: Mask, relevant: Iterable[int], k: int = K) -> Measured | None:
    """Judge the scores of one member; None when nothing relevant is allowed.

    scores: [I]; allowed: [I], what may be shown; relevant: places in it.
    """
    wanted = np.zeros(allowed.shape, np.bool_)
    wanted[np.fromiter(relevant, np.int64)] = True
    wanted &= allowed
    count = int(wanted.sum())
    if not count:
        return None
    hits = wanted[ranked(scores, allowed, k)].astype(np.float64)
    places = np.arange(1, hits.size + 1)
    discount = 1.0 / np.log2(places + 1)
    best = float((1.0 / np.log2(np.arange(2, min(k, count) + 2))).sum())
    return Measured(
        precision=float(hits.sum()) / k,
        recall=float(hits.sum()) / count,
        ndcg=float((hits * discount).sum()) / best,
        ap=float((hits * np.cumsum(hits) / places).sum()) / min(k, count),
        hit=float(hits.any()),
        auc=auc(np.asarray(scores, np.float64)[allowed], wanted[allowed]),
    )


def ndcg_of(scores: Scores, seen: IntArray, wanted: IntArray) -> float:
    """NDCG@10 among what is not seen yet; 0.0 when nothing of what is wanted can be shown."""
    allowed = np.ones(scores.size, np.bool_)
    allowed[seen] = False
    found = measured(scores, allowed, wanted)
    return found.ndcg if found is not None else 0.0


def auc(values: FloatArray, wanted: Mask) -> float:
    """How often a wanted value is above another one, ties half; 0.5 without one or the other."""
    values = np.where(np.isnan(values), -np.inf, values)
    found, rest = values[wanted], np.sort(values[~wanted])
    if not found.size or not rest.size:
        return 0.5
    below = np.searchsorted(rest, found, "left")
    upto = np.searchsorted(rest, found, "right")
    return float((below + upto).sum() / (2.0 * found.size * rest.size))


def mean(values: Iterable[float], seed: int = 0, rounds: int = ROUNDS) -> Mean:
    """The mean of one value a member, with its interval."""
    told = np.fromiter(values, np.float64)
    if not told.size:
        return Mean(float("nan"), float("nan"), float("nan"), 0)
    low, high = np.quantile(_resampled(told, seed, rounds), [_ALPHA / 2, 1 - _ALPHA / 2])
    return Mean(float(told.mean()), float(low), float(high), told.size)


def difference(
    ours: Iterable[float], theirs: Iterable[float], seed: int = 0, rounds: int = ROUNDS
) -> Mean:
    """The mean of ours less theirs, member by member (paired bootstrap).

    Raises ValueError when they are not of the same members, which shows in their number.
    """
    one, other = np.fromiter(ours, np.float64), np.fromiter(theirs, np.float64)
    if one.size != other.size:
        raise ValueError(f"{one.size} members are compared with {other.size}")
    return mean(one - other, seed, rounds)


def _resampled(values: FloatArray, seed: int, rounds: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    found = np.empty(rounds)
    # In pieces: with a hundred thousand members all rounds at once would take gigabytes.
    step = max(1, 4_000_000 // values.size)
    for at in range(0, rounds, step):
        some = min(step, rounds - at)
        found[at : at + some] = values[rng.integers(0, values.size, (some, values.size))].mean(1)
    return found


def coverage(lists: Iterable[IntArray], items: int) -> float:
    """The share of the items that stand in at least one list; 0.0 without items."""
    seen: set[int] = set()
    for one in lists:
        seen.update(one.tolist())
    return len(seen) / items if items else 0.0
