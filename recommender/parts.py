"""All parts of the score, made of the same deeds: a `Fitted` whose weights are still to be learned.

And the same parts dense, for a few members at once, which is what weights are learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender import features, model, segments, sequels
from recommender.dataset import FloatArray, Log, People, Things, values
from recommender.fitted import BANDS, PARTS, Fitted, Floats, Ints
from recommender.scoring import Scorer, Who

SEGMENTS = ("segment:", "community:", "level:", "state:")
"""Features by which popularity is told apart, the more telling ones first."""
LEAST_SEGMENT = 50


@dataclass(frozen=True, slots=True)
class Training:
    """Settings of a training; what is searched for by `tune` is marked with *.

    half_life_s: of what somebody did; half_rank*: after so many newer items what somebody did
    counts half in their past, 0 for never; ridge*: of the regression; keep: neighbours of an item;
    shape*: of LightFM; fold*: how much first deeds say of a member who is not in the model, 0 for
    nothing; tune_s: seconds of search, 0 for none; threads: of LightFM, more than one is not
    repeatable.
    """

    half_life_s: float = 60 * 86400.0
    half_rank: float = 20.0
    ridge: float = 300.0
    keep: int = 200
    shape: model.Shape = field(default_factory=model.Shape)
    fold: float = 1.0
    tune_s: float = 0.0
    threads: int = 1

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Training:
        """Back from JSON; keys that are not known any more are left out."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        shape = model.Shape(
            **{
                name: value
                for name, value in known.pop("shape", {}).items()
                if name in model.Shape.__dataclass_fields__
            }
        )
        return cls(**known, shape=shape)


def items_of(log: Log, things: Things) -> tuple[str, ...]:
    """The items of a model: the catalogue; without one, what somebody did something with."""
    return tuple(dict.fromkeys(things.ids)) or log.ids


def liked(log: Log, members: Ints, half_life_s: float) -> sp.csr_matrix:
    """[members, items]: the weights of what was liked, above 0 to 1, decayed up to the newest."""
    if not len(log):
        return sp.csr_matrix((members.size, len(log.ids)))
    found = values(log, half_life_s, 0.0, float(log.at.max()))
    rows = np.searchsorted(members, found.member)
    good = found.value > 0
    return sp.csr_matrix(
        (np.minimum(found.value[good], 1.0), (rows[good], found.item[good])),
        (members.size, len(log.ids)),
    )


def factored(
    log: Log,
    people: People,
    things: Things,
    settings: Training,
    seed: int,
    checkpoint: Path | None = None,
    told: Callable[[str], None] | None = None,
) -> Fitted:
    """LightFM and popularity, no neighbours yet; `checkpoint` and `told` as in `model.fit`."""
    items = items_of(log, things)
    log = log.on(items)
    members = np.union1d(log.member, np.array(people.numbers, np.int64)).astype(np.int64)
    taste = liked(log, members, settings.half_life_s)
    about = dict(zip(people.numbers, people.features, strict=False))
    on_items = dict(zip(things.ids, things.features, strict=False))
    theirs = [about.get(int(number), ()) for number in members]
    of_members = features.side(theirs, np.asarray(taste.getnnz(1) > 0))
    of_items = features.side(
        [on_items.get(item, ()) for item in items], np.asarray(taste.getnnz(0) > 0)
    )
    rows, columns = of_members.matrix(), of_items.matrix()
    factors = model.fit(
        taste.tocoo(), rows, columns, settings.shape, seed, settings.threads, checkpoint, told
    )
    names, groups = _segments(theirs)
    shared_members, shared_items = len(of_members.names), len(of_items.names)
    none = sp.csr_matrix((len(items), len(items)), dtype=np.float32)
    return Fitted(
        members=members,
        items=items,
        member_vectors=np.asarray(rows @ factors.members, np.float32),
        item_vectors=np.asarray(columns @ factors.items, np.float32),
        item_biases=np.asarray(columns @ factors.biases, np.float32),
        member_features=of_members.names,
        member_feature_vectors=factors.members[:shared_members],
        features_of_members=of_members.shared,
        item_features=of_items.names,
        item_feature_vectors=factors.items[:shared_items],
        item_feature_biases=factors.biases[:shared_items],
        features_of_items=of_items.shared,
        sequel=none,
        alike=none,
        content=none,
        segments=("", *names),
        popular=segments.popularity(taste, groups),
        weights=np.full((len(BANDS) + 1, len(PARTS)), 1.0 / len(PARTS), np.float32),
        scale=np.ones(len(PARTS), np.float32),
        data={
            "half_life_s": settings.half_life_s,
            "half_rank": settings.half_rank,
            "fold": settings.fold,
            "normalised": True,
            "loss": factors.loss,
        },
    )


def built(
    log: Log,
    people: People,
    things: Things,
    settings: Training,
    seed: int,
    checkpoint: Path | None = None,
    told: Callable[[str], None] | None = None,
) -> Fitted:
    """Every part learned from the log, each with the same weight."""
    fitted = factored(log, people, things, settings, seed, checkpoint, told)
    taste = liked(log.on(fitted.items), fitted.members, settings.half_life_s)
    return replace(
        fitted,
        sequel=sequels.regression(taste, settings.ridge, settings.keep),
        alike=sequels.cosine(taste, settings.keep),
        content=sequels.content(fitted.features_of_items, settings.keep // 2, settings.keep // 4),
    )


def _segments(theirs: Sequence[Sequence[str]]) -> tuple[list[str], list[Ints]]:
    places: dict[str, list[int]] = {}
    for row, names in enumerate(theirs):
        for name in names:
            if name.startswith(SEGMENTS):
                places.setdefault(name, []).append(row)
    order = [
        name
        for prefix in SEGMENTS
        for name in sorted(places)
        if name.startswith(prefix) and len(places[name]) >= LEAST_SEGMENT
    ]
    return order, [np.array(places[name], np.int64) for name in order]


def pasts(log: Log, fitted_items: Sequence[str], half_life_s: float, half_rank: float) -> Past:
    """What each member of a log did, as serving weighs it."""
    found = values(log.on(fitted_items), half_life_s, half_rank)
    members, start = np.unique(found.member, return_index=True)
    bounds = np.r_[start, found.member.size]
    return Past(members, bounds, found.item, found.value)


@dataclass(frozen=True, slots=True)
class Past:
    """members: [M] sorted; the rows of member m are bounds[m] to bounds[m + 1] of item, value."""

    members: Ints
    bounds: Ints
    item: Ints
    value: FloatArray

    def of(self, member: int) -> tuple[Ints, FloatArray]:
        """(places, values); empty for somebody who did nothing."""
        at = int(np.searchsorted(self.members, member))
        if at == self.members.size or self.members[at] != member:
            return np.empty(0, np.int64), np.empty(0)
        rows = slice(self.bounds[at], self.bounds[at + 1])
        return self.item[rows], self.value[rows]


def dense(scorer: Scorer, whos: Sequence[Who]) -> Floats:
    """[whos, items, PARTS], unweighted: what the score of each is the sum of."""
    fitted = scorer.fitted
    out = np.zeros((len(whos), len(fitted.items), len(PARTS)), np.float32)
    if not whos:
        return out
    vectors = np.stack([scorer.vector(who) for who in whos])
    out[:, :, PARTS.index("lightfm")] = vectors @ fitted.item_vectors.T + fitted.item_biases
    out[:, :, PARTS.index("popular")] = fitted.popular[
        [scorer.segment_of(who.features) for who in whos]
    ]
    for name in ("sequel", "alike", "content"):
        out[:, :, PARTS.index(name)] = spoken_for(scorer, whos, name)
    return out


def spoken_for(scorer: Scorer, whos: Sequence[Who], name: str) -> Floats:
    """[whos, items]: one of the parts that the past speaks through."""
    fitted = scorer.fitted
    rows = [(row, *one) for row, who in enumerate(whos) for one in scorer.past(who)]
    shape = (len(whos), len(fitted.items))
    if not rows:
        return np.zeros(shape, np.float32)
    where, places, worth = zip(*rows, strict=True)
    past = sp.csr_matrix((np.array(worth, np.float32), (where, places)), shape)
    return sequels.spoken(past, getattr(fitted, name))


def who(
    fitted: Fitted, member: int, names: Sequence[str], places: Ints, worth: npt.NDArray[Any]
) -> Who:
    """A member as the scorer wants to know them."""
    return Who(
        member,
        tuple(names),
        tuple(fitted.items[place] for place in places),
        tuple(float(value) for value in worth),
    )
