"""Lists for many members at once: for the process that works at night, not for an answer.

The same sum as `recommender/scoring.py`, a few hundred members a step: one product of matrices for
the vectors, one for what past items speak for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from recommender.fitted import BANDS, PARTS, Floats, Ints
from recommender.scoring import Scorer, Who, finite
from recommender.shelf import Mask
from recommender.why import Why

Line: TypeAlias = tuple[str, float, tuple[tuple[str, str, float], ...]]
"""An item, its score, its reasons: (kind, name, share), see `recommender/why.py`."""

_SPARSE = ("sequel", "alike", "content")
_DENSE = 8_000_000
"""So many cells of item by item are cheaper to add up as rows than to join as sparse ones."""


class Batch:
    """A scorer, ready for many: what past items speak for stands in one matrix for each band."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        fitted = scorer.fitted
        total = len(scorer.ids)
        where = np.array([scorer.place.get(item, -1) for item in fitted.items], np.int64)
        kept = np.flatnonzero(where >= 0)
        # From the order of the model to that of the shelf, what is not on it dropped.
        to_shelf = sp.csr_matrix(
            (np.ones(len(kept), np.float32), (kept, where[kept])), (len(fitted.items), total)
        )
        same = scorer.ids == fitted.items
        parts = [
            matrix if same else matrix @ to_shelf
            for matrix in (fitted.sequel, fitted.alike, fitted.content)
        ]
        self._spoken: list[sp.csr_matrix | Floats] = []
        for band in range(len(BANDS) + 1):
            joined = sp.csr_matrix((len(fitted.items), total), dtype=np.float32)
            for name, matrix in zip(_SPARSE, parts, strict=True):
                share = np.float32(scorer.weights[band, PARTS.index(name)])
                if share:
                    joined = joined + matrix * share
            joined = joined.tocsr().astype(np.float32)
            small = len(fitted.items) * total <= _DENSE
            self._spoken.append(joined.toarray() if small else joined)

    def scores(self, people: Sequence[Who]) -> Floats:
        """Shape [len(people), N], all finite: the same numbers as `Scorer.scores` one by one."""
        scorer = self._scorer
        pasts = [scorer.past(who) for who in people]
        bands = np.array([scorer.band(who) for who in people], np.int64)
        share = scorer.weights[bands].astype(np.float32)
        mine = np.array([scorer.vector(who) for who in people], np.float32)
        mine = mine.reshape(len(people), scorer.vectors.shape[1])
        out = np.asarray((mine * share[:, :1]) @ scorer.vectors.T, np.float32)
        out += share[:, :1] * scorer.biases
        popular = share[:, PARTS.index("popular")]
        segments = np.array([scorer.segment_of(who.features) for who in people], np.int64)
        for segment in np.unique(segments):
            rows = np.flatnonzero(segments == segment)
            out[rows] += popular[rows, None] * scorer.popular[segment]
        for band in np.unique(bands):
            rows = np.flatnonzero(bands == band)
            self._speak(out, rows, [pasts[row] for row in rows], self._spoken[band])
        return finite(out)

    def _speak(
        self,
        out: Floats,
        rows: Ints,
        pasts: Sequence[Sequence[tuple[int, float]]],
        spoken: sp.csr_matrix | Floats,
    ) -> None:
        ends = np.cumsum([0, *(len(past) for past in pasts)])
        if not ends[-1]:
            return
        places = np.array([there for past in pasts for there, _ in past], np.int64)
        values = np.array([value for past in pasts for _, value in past], np.float32)
        shape = (len(rows), len(self._scorer.fitted.items))
        done = sp.csr_matrix((values, places, ends), shape)
        added = done @ spoken
        out[rows] += added.toarray() if sp.issparse(added) else added


def lists(
    scorer: Scorer,
    people: Iterable[Who],
    *,
    gone: Callable[[Who], Collection[str]] | None = None,
    allowed: Mask | None = None,
    count: int = 60,
    why: int = 0,
    chunk: int = 512,
) -> Iterator[tuple[int, list[Line]]]:
    """(member, at most so many items, best first, ties in the order of the shelf).

    gone: what is never shown to one; allowed: [N], what is shown to anybody; why: the first so many
    of each list get reasons, which take longer than the list. Nobody: nothing.
    """
    batch = Batch(scorer)
    coming = iter(people)
    while block := list(islice(coming, chunk)):
        scores = batch.scores(block)
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        if gone is not None:
            for row, who in enumerate(block):
                places = [scorer.place[item] for item in gone(who) if item in scorer.place]
                scores[row, places] = -np.inf
        for who, (places, best) in zip(block, _best(scores, count), strict=True):
            told = Why(scorer, who) if why else None
            yield (
                who.member,
                [
                    (
                        scorer.ids[at],
                        round(score, 5),
                        tuple(told.shares(at)) if told is not None and rank < why else (),
                    )
                    for rank, (at, score) in enumerate(zip(places, best, strict=True))
                ],
            )


def _best(scores: Floats, count: int) -> Iterator[tuple[list[int], list[float]]]:
    """For each row the places of its highest scores and these; exact, ties by place."""
    total = scores.shape[1]
    count = max(0, min(count, total))
    least = np.partition(scores, total - count, axis=1)[:, total - count] if count else None
    for row, line in enumerate(scores):
        if least is None:
            yield [], []
            continue
        found = np.flatnonzero((line >= least[row]) & (line > -np.inf))
        order = found[np.argsort(-line[found], kind="stable")[:count]]
        yield order.tolist(), line[order].tolist()


def pack(lines: Sequence[Line]) -> str:
    """A list as `recommendations.data` keeps it: [[item, score, [[kind, name, share], …]], …]."""
    return json.dumps(
        [
            [item, round(score, 5), [[kind, name, round(share, 3)] for kind, name, share in why]]
            for item, score, why in lines
        ],
        ensure_ascii=False,
        separators=(",", ":"),
    )


def unpack(data: str) -> list[Line]:
    """What `pack` wrote; [] for anything else, which is made anew."""
    try:
        return [
            (
                str(item),
                float(score),
                tuple((str(kind), str(name), float(share)) for kind, name, share in why),
            )
            for item, score, why in json.loads(data)
        ]
    except (ValueError, TypeError):
        return []
