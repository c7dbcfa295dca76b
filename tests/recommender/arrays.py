"""Trained models out of nothing: random arrays of the right shapes, for what serves them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recommender.fitted import BANDS, PARTS, Fitted, Floats


def neighbours(rng: np.random.Generator, rows: int, columns: int, each: int) -> sp.csr_matrix:
    """[rows, columns] with at most so many cells a row, no cell twice."""
    cells = rng.random((rows, columns), np.float32)
    cells[rng.random((rows, columns)) > each / max(1, columns)] = 0.0
    return sp.csr_matrix(cells)


def fitted(seed: int = 0, members: int = 20, items: int = 30, dims: int = 8) -> Fitted:
    """A model whose vectors are, as they should be, sums over features and oneself."""
    rng = np.random.default_rng(seed)

    def floats(*shape: int) -> Floats:
        found: Floats = rng.normal(size=shape).astype(np.float32)
        return found

    mine = ("tag:写作", "tag:运营", "community:1", "state:core", "level:青铜", "topic:python")
    its = ("tag:写作", "tag:运营", "author:王老师", "level:入门", "series:写作营", "word:文案")
    of_members = neighbours(rng, members, len(mine), 3)
    of_items = neighbours(rng, items, len(its), 3)
    vectors, traits, biases = floats(len(mine), dims), floats(len(its), dims), floats(len(its))
    return Fitted(
        members=np.arange(1, members + 1, dtype=np.int64) * 3,
        items=tuple(f"i-{at}" for at in range(items)),
        member_vectors=(of_members @ vectors + floats(members, dims)).astype(np.float32),
        item_vectors=(of_items @ traits + floats(items, dims)).astype(np.float32),
        item_biases=(of_items @ biases + floats(items)).astype(np.float32),
        member_features=mine,
        member_feature_vectors=vectors,
        features_of_members=of_members,
        item_features=its,
        item_feature_vectors=traits,
        item_feature_biases=biases,
        features_of_items=of_items,
        sequel=neighbours(rng, items, items, 5),
        alike=neighbours(rng, items, items, 5),
        content=neighbours(rng, items, items, 5),
        segments=("", "community:1", "state:core"),
        popular=rng.random((3, items), np.float32),
        weights=rng.random((len(BANDS) + 1, len(PARTS)), np.float32),
        scale=rng.random(len(PARTS), np.float32) + np.float32(0.5),
        data={"normalised": True, "fold": 0.7, "until": 1_795_000_000.0},
    )
