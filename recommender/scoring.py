"""Scores of all items for one member, by the formula in `recommender/fitted.py`.

Nothing is trained here, nothing remembered: arrays in, arrays out. A member whom the model has not
seen is scored from their features and what they did so far, an item it has not seen from its
features; neither waits for a training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.fitted import PARTS, Fitted, Floats, Ints, band_of

Ranker: TypeAlias = Literal["ours", "popular", "item_item", "lightfm"]
Doubles: TypeAlias = npt.NDArray[np.float64]

_LIGHTFM, _SEQUEL, _ALIKE, _POPULAR, _CONTENT = range(len(PARTS))
_SPARSE = (_SEQUEL, _ALIKE, _CONTENT)
_SOLE: dict[str, int] = {"popular": _POPULAR, "item_item": _ALIKE, "lightfm": _LIGHTFM}
_TRUST = 2.0
"""What somebody did first speaks for them like n / (n + 2) of what a training would find."""


class Who(NamedTuple):
    """What is known of a member now. features: names as in `Fitted.member_features`; items: what
    they did something with, values: how much of it counts, `dataset.values`; below 0: refused."""

    member: int
    features: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    values: tuple[float, ...] = ()


class Term(NamedTuple):
    """A part of a member's or an item's vector. name: the feature, or the past item; kind:
    "feature", "past" or "self" (what belongs to none of the others)."""

    kind: str
    name: str
    vector: Doubles
    bias: float = 0.0


class Scorer:
    """A model over a shelf: what may be shown, in an order that settles ties.

    shelf: (item id, names of its features); None: the items of the model. An item that the model
    does not know is scored from its features, one without known features gets the score 0 for
    the vectors. Arrays of the model are shared where the shelf is the model's own.
    """

    def __init__(
        self, fitted: Fitted, shelf: Sequence[tuple[str, Sequence[str]]] | None = None
    ) -> None:
        self.fitted = fitted
        self.model_place = {item: at for at, item in enumerate(fitted.items)}
        self._member_feature = {name: at for at, name in enumerate(fitted.member_features)}
        self._item_feature = {name: at for at, name in enumerate(fitted.item_features)}
        self._segment = {name: at for at, name in enumerate(fitted.segments)}
        self.ids = fitted.items if shelf is None else tuple(item for item, _ in shelf)
        self.place = {item: at for at, item in enumerate(self.ids)}
        self.fresh: dict[int, tuple[str, ...]] = {}
        self._member_sum = _row_sum(fitted, fitted.features_of_members)
        self._item_sum = _row_sum(fitted, fitted.features_of_items)
        self.weights: Doubles = fitted.weights.astype(np.float64) / fitted.scale.astype(np.float64)
        total = len(self.ids)
        if self.ids == fitted.items:
            self.vectors, self.biases, self.popular = (
                fitted.item_vectors,
                fitted.item_biases,
                fitted.popular,
            )
            self._to_shelf = np.arange(total, dtype=np.int64)
        else:
            self._lay_out(shelf or ())
        self._long = _length(fitted.member_vectors) / (_length(fitted.item_vectors) or 1.0)

    def _lay_out(self, shelf: Sequence[tuple[str, Sequence[str]]]) -> None:
        fitted, total = self.fitted, len(self.ids)
        known = np.full(total, -1, np.int64)
        self._to_shelf = np.full(len(fitted.items), total, np.int64)
        for at, (item, features) in enumerate(shelf):
            there = self.model_place.get(item)
            if there is None:
                self.fresh[at] = tuple(name for name in features if name in self._item_feature)
            else:
                known[at] = there
                self._to_shelf[there] = at
        seen = known >= 0
        self.vectors = np.zeros((total, fitted.item_vectors.shape[1]), np.float32)
        self.vectors[seen] = fitted.item_vectors[known[seen]]
        self.biases = np.zeros(total, np.float32)
        self.biases[seen] = fitted.item_biases[known[seen]]
        self.popular = np.zeros((len(fitted.segments), total), np.float32)
        self.popular[:, seen] = fitted.popular[:, known[seen]]
        for at, names in self.fresh.items():
            rows, share = self._rows(names, self._item_feature, self._item_sum)
            if len(rows):
                self.vectors[at] = share * fitted.item_feature_vectors[rows].sum(axis=0)
                self.biases[at] = share * fitted.item_feature_biases[rows].sum()

    @staticmethod
    def _rows(names: Sequence[str], index: dict[str, int], total: float) -> tuple[Ints, float]:
        """The places of known names, and the weight of each; total: of a row, 0 for 1 each."""
        rows = np.array([index[name] for name in dict.fromkeys(names) if name in index], np.int64)
        return rows, (total / len(rows) if total and len(rows) else 1.0)

    # Of a member

    def row(self, member: int) -> int:
        """Their place in the model, -1 for none."""
        members = self.fitted.members
        at = int(np.searchsorted(members, member))
        return at if at < len(members) and int(members[at]) == member else -1

    def segment_of(self, features: Sequence[str]) -> int:
        """The first segment that is among these features; 0, everybody, for none."""
        mine = set(features)
        return next((at for at, name in enumerate(self.fitted.segments) if at and name in mine), 0)

    def past(self, who: Who) -> list[tuple[int, float]]:
        """(place in the model, value) of what they did; what the model never saw is left out."""
        return [
            (self.model_place[item], value)
            for item, value in zip(who.items, who.values, strict=False)
            if item in self.model_place and math.isfinite(value) and value != 0.0
        ]

    def band(self, who: Who) -> int:
        """The row of weights that holds for them; what they refused tells little."""
        return band_of(sum(value > 0 for _, value in self.past(who)))

    def vector(self, who: Who) -> Floats:
        """Shape [D]: the trained one, or what features and first deeds make of them."""
        at = self.row(who.member)
        if at >= 0:
            found: Floats = self.fitted.member_vectors[at]
            return found
        rows, share = self._rows(who.features, self._member_feature, self._member_sum)
        vector = share * self.fitted.member_feature_vectors[rows].sum(axis=0, dtype=np.float64)
        for there, weight in self._folded(who):
            vector = vector + weight * self.fitted.item_vectors[there]
        folded: Floats = vector.astype(np.float32)
        return folded

    def _folded(self, who: Who) -> list[tuple[int, float]]:
        """The weights of what they did, in the vector of somebody whom the model has not seen."""
        liked = [(there, value) for there, value in self.past(who) if value > 0]
        strength = float(self.fitted.data.get("fold", 1.0)) * self._long
        total = sum(value for _, value in liked)
        if not total or not strength:
            return []
        trust = strength * len(liked) / (len(liked) + _TRUST) / total
        return [(there, trust * value) for there, value in liked]

    def mine(self, who: Who) -> Iterator[Term]:
        """Their vector in parts, which sum to it."""
        fitted, at = self.fitted, self.row(who.member)
        if at < 0:
            rows, share = self._rows(who.features, self._member_feature, self._member_sum)
            for row in rows:
                vector = share * fitted.member_feature_vectors[row].astype(np.float64)
                yield Term("feature", fitted.member_features[row], vector)
            for there, weight in self._folded(who):
                vector = weight * fitted.item_vectors[there].astype(np.float64)
                yield Term("past", fitted.items[there], vector)
            return
        rest = fitted.member_vectors[at].astype(np.float64)
        for row, weight in _cells(fitted.features_of_members, at):
            vector = weight * fitted.member_feature_vectors[row].astype(np.float64)
            rest = rest - vector
            yield Term("feature", fitted.member_features[row], vector)
        yield Term("self", "", rest)

    def its(self, place: int) -> Iterator[Term]:
        """An item's vector and bias in parts, which sum to them. place: on the shelf."""
        fitted, there = self.fitted, self.model_place.get(self.ids[place])
        if there is None:
            rows, share = self._rows(self.fresh[place], self._item_feature, self._item_sum)
            cells = [(int(row), share) for row in rows]
        else:
            cells = list(_cells(fitted.features_of_items, there))
        rest = self.vectors[place].astype(np.float64)
        bias = float(self.biases[place])
        for row, weight in cells:
            vector = weight * fitted.item_feature_vectors[row].astype(np.float64)
            own = weight * float(fitted.item_feature_biases[row])
            rest, bias = rest - vector, bias - own
            yield Term("feature", fitted.item_features[row], vector, own)
        yield Term("self", "", rest, bias)

    # Scores

    def shares_of(self, who: Who, ranker: Ranker = "ours") -> Doubles:
        """Shape [PARTS]: what each part is multiplied with; a sole ranker has one of them."""
        if ranker == "ours":
            mine: Doubles = self.weights[self.band(who)]
            return mine
        sole = np.zeros(len(PARTS))
        sole[_SOLE[ranker]] = 1.0
        return sole

    def speaking(self, part: int) -> sp.csr_matrix:
        """The neighbours of a part: row the past item, column what it speaks for."""
        fitted = self.fitted
        return {_SEQUEL: fitted.sequel, _ALIKE: fitted.alike, _CONTENT: fitted.content}[part]

    def scores(self, who: Who, ranker: Ranker = "ours") -> Floats:
        """Shape [N], in the order of the shelf, all finite. Nothing known: what is popular."""
        share = self.shares_of(who, ranker)
        total = len(self.ids)
        # One place more: what is spoken for and not on the shelf ends there.
        out = np.zeros(total + 1, np.float32)
        scores: Floats = out[:total]
        if share[_LIGHTFM]:
            np.dot(self.vectors, self.vector(who) * np.float32(share[_LIGHTFM]), out=scores)
            scores += self.biases * np.float32(share[_LIGHTFM])
        if share[_POPULAR]:
            scores += self.popular[self.segment_of(who.features)] * np.float32(share[_POPULAR])
        past = self.past(who)
        for part in _SPARSE:
            if share[part]:
                self._speak(out, self.speaking(part), past, share[part])
        return finite(scores)

    def _speak(
        self, out: Floats, matrix: sp.csr_matrix, past: Sequence[tuple[int, float]], share: float
    ) -> None:
        for there, value in past:
            begin, end = matrix.indptr[there], matrix.indptr[there + 1]
            columns = self._to_shelf[matrix.indices[begin:end]]
            # A column stands once in a row, so nothing is lost in adding this way.
            out[columns] += np.float32(share * value) * matrix.data[begin:end]

    def parts(self, who: Who, place: int, ranker: Ranker = "ours") -> Doubles:
        """Shape [PARTS]: what each part adds to the score of one item, in double precision."""
        share, there = self.shares_of(who, ranker), self.model_place.get(self.ids[place])
        found = np.zeros(len(PARTS))
        found[_LIGHTFM] = self.vector(who).astype(np.float64) @ self.vectors[place].astype(
            np.float64
        ) + float(self.biases[place])
        found[_POPULAR] = self.popular[self.segment_of(who.features), place]
        for part in _SPARSE:
            found[part] = sum(
                value * self.spoken(part, past, there) for past, value in self.past(who)
            )
        answer: Doubles = found * share
        return answer

    def spoken(self, part: int, past: int, there: int | None) -> float:
        """How much one item of the model speaks for another; 0 for one it has never seen."""
        if there is None:
            return 0.0
        matrix = self.speaking(part)
        begin, end = matrix.indptr[past], matrix.indptr[past + 1]
        found = np.flatnonzero(matrix.indices[begin:end] == there)
        return float(matrix.data[begin + found[0]]) if len(found) else 0.0

    def near(self, item: str) -> Floats:
        """Shape [N]: how well each goes with one item; all 0 for one that nobody knows.

        The angle between their vectors, and what the members did after it or beside it.
        """
        place, there = self.place.get(item), self.model_place.get(item)
        total = len(self.ids)
        out = np.zeros(total + 1, np.float32)
        if there is not None:
            vector = self.fitted.item_vectors[there]
        elif place is not None:
            vector = self.vectors[place]
        else:
            return out[:total]
        lengths = np.linalg.norm(self.vectors, axis=1) * np.linalg.norm(vector)
        out[:total] = self.vectors @ vector / np.where(lengths > 0, lengths, 1.0)
        if there is not None:
            for part in _SPARSE:
                matrix = self.speaking(part)
                row = matrix.data[matrix.indptr[there] : matrix.indptr[there + 1]]
                most = float(np.abs(row).max()) if len(row) else 0.0
                if most:
                    self._speak(out, matrix, [(there, 1.0)], 1.0 / most)
        return finite(out[:total])


def finite(scores: Floats) -> Floats:
    """The same, with 0 for what is no number: values may be too large for their type."""
    with np.errstate(over="ignore", invalid="ignore"):
        sound = math.isfinite(float(scores.sum()))
    if not sound:
        np.nan_to_num(scores, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return scores


def _cells(matrix: sp.csr_matrix, row: int) -> Iterator[tuple[int, float]]:
    begin, end = matrix.indptr[row], matrix.indptr[row + 1]
    for at in range(begin, end):
        yield int(matrix.indices[at]), float(matrix.data[at])


def _row_sum(fitted: Fitted, matrix: sp.csr_matrix) -> float:
    """What the weights of a row sum to where rows are normalised; 0 where every weight is 1."""
    if "normalised" in fitted.data:
        return 1.0 if fitted.data["normalised"] else 0.0
    return 0.0 if not matrix.nnz or float(matrix.data.max()) >= 1.0 else 1.0


def _length(vectors: Floats) -> float:
    """The mean length of some of the rows, spread over all; 0 for none."""
    some = vectors[:: max(1, len(vectors) // 1000)].astype(np.float64)
    return float(np.linalg.norm(some, axis=1).mean()) if some.size else 0.0
