"""Why an item has its score: the sum, taken apart again and put into a few words' worth of groups.

Everything adds up: the parts of the formula, and in LightFM's part every pair of a feature of the
member with one of the item. What belongs to nobody but the member themself (their own vector) is
told through the item's features; no other member is ever named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from recommender.fitted import PARTS, Ints
from recommender.scoring import Doubles, Ranker, Scorer, Term, Who

_LEAST = 0.05
"""A group with less of the score is no reason."""
_SPEAKING = {"tag": "tag", "author": "author", "series": "series", "level": "level"}
"""Features of items that a member can be told, and the reason that they make."""
_NEIGHBOURS = ("sequel", "alike", "content")


class Contribution(NamedTuple):
    """One summand of a score. part: of `PARTS`; mine: "tag:写作" or another feature of the member,
    "past:py-101" for something they did, "" for themself, "segment:…" for what is popular there;
    its: the feature of the item, "" for none, "bias:…" for what it has with everybody."""

    part: str
    mine: str
    its: str
    value: float


class Share(NamedTuple):
    """A group of contributions. kind: as in `handlers/recommending.py: Reason`, but "past" for what
    the member did with the item `name`; share: of all that speaks for the item, 0 to 1."""

    kind: str
    name: str
    share: float


class Why:
    """Explains items of the shelf to one member. Features and past are looked up once."""

    def __init__(self, scorer: Scorer, who: Who, ranker: Ranker = "ours") -> None:
        self._scorer = scorer
        self._who = who
        self._ranker = ranker
        self._share = scorer.shares_of(who, ranker)
        self._mine = list(scorer.mine(who)) if self._share[0] else []
        self._vectors = _matrix(self._mine, scorer.vectors.shape[1])
        self._past = scorer.past(who)
        self._spoken = [
            (part, *found)
            for part in _NEIGHBOURS
            if (share := float(self._share[PARTS.index(part)]))
            and (found := _spoken(scorer, part, self._past, share)) is not None
        ]
        self._segment = scorer.segment_of(who.features)

    def contributions(self, place: int) -> list[Contribution]:
        """All summands of the score of one item; they sum to `scores` within 1e-5 of its size."""
        found = list(self._of_features(place)) if self._share[0] else []
        popular = float(self._scorer.popular[self._segment, place]) * float(
            self._share[PARTS.index("popular")]
        )
        if popular:
            name = self._scorer.fitted.segments[self._segment]
            found.append(Contribution("popular", f"segment:{name}", "", popular))
        found.extend(self._of_past(place))
        return found

    def _of_features(self, place: int) -> Iterable[Contribution]:
        its = list(self._scorer.its(place))
        share = float(self._share[0])
        cells = self._vectors @ _matrix(its, self._vectors.shape[1]).T * share
        for row, mine in zip(cells.tolist(), self._mine, strict=True):
            name = f"past:{mine.name}" if mine.kind == "past" else mine.name
            for value, one in zip(row, its, strict=True):
                if value:
                    yield Contribution("lightfm", name, one.name, value)
        for one in its:
            if one.bias:
                yield Contribution("lightfm", "", f"bias:{one.name}", one.bias * share)

    def _of_past(self, place: int) -> Iterable[Contribution]:
        there = self._scorer.model_place.get(self._scorer.ids[place])
        if there is None:
            return
        for part, places, values, pasts in self._spoken:
            for at in np.flatnonzero(places == there).tolist():
                name = f"past:{self._scorer.fitted.items[pasts[at]]}"
                yield Contribution(part, name, "", float(values[at]))

    def shares(self, place: int, most: int = 5) -> tuple[Share, ...]:
        """The strongest groups first; () when nothing speaks for it that can be told."""
        return grouped(self.contributions(place), most)


def _spoken(
    scorer: Scorer, part: str, past: Sequence[tuple[int, float]], share: float
) -> tuple[Ints, Doubles, Ints] | None:
    """What all they did speaks for, as columns: places in the model, how much it adds to their
    scores, and of the past items. None for nothing."""
    matrix = scorer.speaking(PARTS.index(part))
    rows = [(matrix.indptr[at], matrix.indptr[at + 1], at, value) for at, value in past]
    if not sum(end - begin for begin, end, _, _ in rows):
        return None
    return (
        np.concatenate([matrix.indices[begin:end] for begin, end, _, _ in rows]).astype(np.int64),
        np.concatenate(
            [
                matrix.data[begin:end].astype(np.float64) * (value * share)
                for begin, end, _, value in rows
            ]
        ),
        np.concatenate([np.full(end - begin, at, np.int64) for begin, end, at, _ in rows]),
    )


def grouped(contributions: Sequence[Contribution], most: int = 5) -> tuple[Share, ...]:
    """Contributions as reasons, the strongest first.

    What speaks against the item tells nobody why it is shown and is left out. Of what remains each
    group has its share; those that have no words (the channel, the price band) count in the sum.
    """
    features = {one.its.removeprefix("bias:") for one in contributions}
    sums: dict[tuple[str, str], float] = {}
    for one in contributions:
        group = _group(one, features)
        sums[group] = sums.get(group, 0.0) + one.value
    total = sum(value for value in sums.values() if value > 0)
    found = [
        Share(kind, name, value / total)
        for (kind, name), value in sums.items()
        if kind and value > 0 and value / total >= _LEAST
    ]
    return tuple(sorted(found, key=lambda share: (-share.share, share.kind, share.name))[:most])


def _group(one: Contribution, features: set[str]) -> tuple[str, str]:
    """(kind, name) of the reason that it counts for; ("", "") for what has no words."""
    if one.its.startswith("bias:"):
        return "popular", ""
    kind, _, name = one.mine.partition(":")
    if kind == "past":
        return "past", name
    if kind == "segment":
        return ("community" if name.startswith("community:") else "popular"), ""
    if kind == "community":
        return "community", ""
    if kind in ("topic", "tier"):
        return kind, name
    # Tags are given by operators, too: only one that the item has as well is told to a member.
    if kind in ("tag", "level") and one.mine in features:
        return kind, name
    kind, _, name = one.its.partition(":")
    return (_SPEAKING[kind], name) if kind in _SPEAKING and name else ("", "")


def _matrix(terms: Sequence[Term], dimensions: int) -> Doubles:
    found: Doubles = np.array([term.vector for term in terms], np.float64).reshape(-1, dimensions)
    return found
