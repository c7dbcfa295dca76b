"""What goes with what, on taste that is known."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recommender.sequels import content, cosine, regression, spoken, strongest

TASTE = sp.csr_matrix(
    np.array([[1, 1, 0, 0, 0]] * 20 + [[0, 0, 1, 1, 0]] * 20 + [[1, 0, 1, 0, 0]], np.float64)
)


def test_what_the_same_members_liked_goes_together() -> None:
    for near in (regression(TASTE, 5.0, 5), cosine(TASTE, 5)):
        table = near.toarray()
        assert table[0].argmax() == 1
        assert table[3].argmax() == 2
        assert not np.diag(table).any()


def test_what_nobody_liked_speaks_for_nothing_and_breaks_nothing() -> None:
    for near in (regression(TASTE, 5.0, 5), cosine(TASTE, 5)):
        assert not near.toarray()[4].any()
        assert not near.toarray()[:, 4].any()
        assert np.isfinite(near.data).all()


def test_beyond_the_limit_only_the_most_liked_have_a_regression() -> None:
    near = regression(TASTE, 5.0, 5, most=2).toarray()
    # 0 and 2 were liked once more than 1 and 3.
    assert set(np.flatnonzero(near.any(1))) <= {0, 2}


def test_only_the_strongest_neighbours_are_kept() -> None:
    kept = strongest(np.array([[0.1, -0.9, 0.5, 0.0]], np.float32), 2).toarray()
    assert kept.round(1).tolist() == [[0.0, np.float32(-0.9).round(1), 0.5, 0.0]]


def test_items_are_alike_by_their_rare_features() -> None:
    # Features: everybody's, a rare one that 0 and 2 share.
    features = sp.csr_matrix(np.array([[1, 1], [1, 0], [1, 1], [1, 0]], np.float32))
    near = content(features, 1, 0).toarray()
    assert near[0].argmax() == 2
    assert 0 < near[0, 2] <= 1.0001


def test_a_new_item_is_reached_from_somewhere() -> None:
    rng = np.random.default_rng(1)
    features = sp.csr_matrix((rng.random((60, 8)) < 0.4).astype(np.float32))
    near = content(features, 3, 3)
    have = np.flatnonzero(features.getnnz(1))
    assert (near.getnnz(0)[have] > 0).all()


def test_nothing_at_all() -> None:
    none = sp.csr_matrix((0, 0))
    for near in (regression(none, 1.0, 5), cosine(none, 5), content(none, 5, 5)):
        assert near.shape == (0, 0)


def test_the_past_is_added_up() -> None:
    near = sp.csr_matrix(np.array([[0, 2], [1, 0]], np.float32))
    past = sp.csr_matrix(np.array([[0.5, 1.0]], np.float32))
    assert spoken(past, near).tolist() == [[1.0, 1.0]]
