"""How much each part of the score counts, for each band of how much is known of a member.

Learned where the answer is known: members' newest deeds, hidden from everything that made the
parts. First by a smooth loss, a choice among all candidates (softmax), which finds the region; then
step by step by what is wanted itself, the order: NDCG@10 and half the AUC. A band leaves what holds
for all only where its own members are surely better served, so that few members cannot mislead it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from recommender.evaluate import K, measured
from recommender.fitted import BANDS, Floats

AUC_COUNTS = 0.5
"""Of the AUC beside the NDCG: the top of the list is what is shown, the rest what is left later."""
LEAST = 30
"""Questions in a band for weights of its own."""
_STEPS = (0.0, 0.25, 0.5, 0.7, 1.4, 2.0, 4.0)
_ROUNDS = 4
_LEAST_SPREAD = 1e-6

Doubles: TypeAlias = npt.NDArray[np.float64]


class Question(NamedTuple):
    """One member, judged. parts: [candidates, C], unscaled; wanted: [candidates]; band: which;
    weight: how much the question counts."""

    parts: Floats
    wanted: npt.NDArray[np.bool_]
    band: int
    weight: float = 1.0


def learned(questions: Sequence[Question], width: int) -> tuple[Floats, Floats]:
    """(weights [bands, width], scale [width]); with nothing to learn from all parts count the same.

    No weight is below 0: a part that misleads is left out, not turned around. The weights of a band
    sum to 1.
    """
    bands = len(BANDS) + 1
    useful = [one for one in questions if one.wanted.any() and not one.wanted.all()]
    scale = _spread(useful, width)
    even = np.full(width, 1.0 / width)
    if not useful:
        return np.tile(even, (bands, 1)).astype(np.float32), scale
    table = _Table(useful, scale)
    common = table.common()
    weights = np.empty((bands, width))
    for band in range(bands):
        own = np.array([one.band == band for one in useful])
        weights[band] = table.climbed(common, own, True) if own.sum() >= LEAST else common
    total = weights.sum(1, keepdims=True)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1.0), even)
    return weights.astype(np.float32), scale


def ndcg(one: Question, weights: Floats, scale: Floats) -> float:
    """How well a question is answered by these weights: NDCG@10."""
    found = measured(
        one.parts @ (weights[one.band] / scale),
        np.ones(one.wanted.size, np.bool_),
        np.flatnonzero(one.wanted),
    )
    return found.ndcg if found is not None else 0.0


def _spread(questions: Sequence[Question], width: int) -> Floats:
    """What each part is divided by: how far apart it sets the candidates of one member."""
    if not questions:
        return np.ones(width, np.float32)
    spread = np.sqrt(np.mean([one.parts.var(0) for one in questions], 0))
    return np.where(spread > _LEAST_SPREAD, spread, 1.0).astype(np.float32)


class _Table:
    """All questions side by side, filled up to the longest one."""

    def __init__(self, questions: Sequence[Question], scale: Floats) -> None:
        longest = max(one.wanted.size for one in questions)
        self.parts = np.zeros((len(questions), longest, scale.size), np.float32)
        # What is only filled up stands last.
        self.absent = np.zeros((len(questions), longest), np.float32)
        for at, one in enumerate(questions):
            self.parts[at, : one.wanted.size] = one.parts / scale
            self.absent[at, one.wanted.size :] = -np.inf
        self.counts = np.array([one.weight for one in questions])
        self.sizes = np.array([one.wanted.size for one in questions])
        self.found = np.array([int(one.wanted.sum()) for one in questions])
        self.question = np.repeat(np.arange(len(questions)), self.found)
        self.place = np.concatenate([np.flatnonzero(one.wanted) for one in questions])
        self.first = np.r_[0, np.cumsum(self.found)[:-1]]

    def chosen(self) -> Doubles:
        """By the smooth loss: the mean surprise at what was wanted, among all candidates."""
        sought = self.parts[self.question, self.place]
        means = np.add.reduceat(sought, self.first, axis=0) / self.found[:, None]

        def loss(weights: Doubles) -> tuple[float, Doubles]:
            light = weights.astype(np.float32)
            scores = self.parts @ light + self.absent
            high = scores.max(1, keepdims=True)
            share = np.exp(scores - high)
            total = share.sum(1, keepdims=True)
            surprise = (high + np.log(total)).ravel() - means @ light
            expected = np.einsum("qc,qcp->qp", share / total, self.parts)
            off = weights - 1.0
            value = float(self.counts @ surprise) + float(off @ off) / 2
            return value, self.counts @ (expected - means).astype(np.float64) + off

        width = self.parts.shape[2]
        bounds, limits = [(0.0, None)] * width, {"maxiter": 25}
        found = minimize(
            loss, np.ones(width), jac=True, method="L-BFGS-B", bounds=bounds, options=limits
        )
        return np.asarray(found.x, np.float64)

    def common(self) -> Doubles:
        """For all bands: the best of several climbs, since parts that say nearly the same stand in
        for each other and a climb does not get from one to the other."""
        smooth = self.chosen()
        width = smooth.size
        starts = [smooth, np.ones(width)]
        starts += [np.where(np.arange(width) == place, 2.0, 0.5) for place in range(width)]
        every = np.arange(self.counts.size)
        step = max(1, every.size // _ENOUGH)
        some = np.zeros(every.size, np.bool_)
        some[::step] = True
        rows = np.flatnonzero(some)
        at_start = [float(self.counts[rows] @ self.worth(start, rows)) for start in starts]
        # The two most promising, and the smooth one.
        best = sorted(range(1, len(starts)), key=lambda place: -at_start[place])[:2]
        found = [self.climbed(starts[place], some, False) for place in (0, *best)]
        return max(found, key=lambda weights: float(self.counts @ self.worth(weights, every)))

    def climbed(self, start: Doubles, which: npt.NDArray[np.bool_], sure: bool) -> Doubles:
        """From these weights on, one at a time, as long as the order gets better for some.

        sure: only by steps that are better by more than the error of the mean.
        """
        rows = np.flatnonzero(which)
        counts = self.counts[rows]
        best, values = start, self.worth(start, rows)
        for _ in range(_ROUNDS):
            before = best
            for place in range(start.size):
                near = best
                for step in _STEPS:
                    other = near.copy()
                    # What was left out may come back.
                    other[place] = near[place] * step or step * near.max() / 4
                    found = self.worth(other, rows)
                    gain = (found - values) * counts
                    least = gain.std() / np.sqrt(gain.size) if sure else 1e-5
                    if gain.mean() > least:
                        best, values = other, found
            if best is before:
                break
        return best

    def worth(self, weights: Doubles, rows: npt.NDArray[np.int64]) -> Doubles:
        """Of each of these questions: NDCG@10 and so much of the AUC."""
        light = weights.astype(np.float32)
        out = np.empty(rows.size)
        for at in range(0, rows.size, _BLOCK):
            some = rows[at : at + _BLOCK]
            scores = self.parts[some] @ light + self.absent[some]
            found = self.found[some]
            row = np.repeat(np.arange(some.size), found)
            start = np.r_[0, np.cumsum(found)[:-1]]
            taken = np.arange(row.size) - start[row] + self.first[some][row]
            sought = scores[row, self.place[taken]]
            # Ties count as lost: else scores that are all the same would be perfect.
            ranks = (scores[row] >= sought[:, None]).sum(1) - 1
            gains = np.where(ranks < K, _GAIN[np.minimum(ranks, K)], 0.0)
            below = np.add.reduceat(ranks, start) / found - (found - 1) / 2
            auc = 1.0 - below / (self.sizes[some] - found)
            best = _BEST[np.minimum(found, K)]
            out[at : at + _BLOCK] = np.add.reduceat(gains, start) / best + AUC_COUNTS * auc
        return out


_BLOCK = 256
_ENOUGH = 600
"""Questions for a climb; the best of several is chosen by all."""
_GAIN = 1.0 / np.log2(np.arange(2, K + 3))
_BEST = np.r_[1.0, np.cumsum(_GAIN[:K])]
