"""What goes with what: items that the same members liked, and items that are alike by themselves.

Everything is kept sparse, rows the past item, columns what it speaks for, so that a score is a sum
over what the member did and can be explained by it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.fitted import Floats

MOST_DENSE = 4000
"""The regression needs the inverse of items x items: beyond so many only the most popular have one.
4,000 take 64 MB and some seconds."""


def regression(
    liked: sp.csr_matrix, ridge: float, keep: int, most: int = MOST_DENSE
) -> sp.csr_matrix:
    """What a past item says of each other one, all else known being equal (EASE, Steck 2019).

    liked: [members, items], weights above 0. ridge: the larger, the more cautious. keep: so many
    of each row, the strongest either way. Items that nobody liked have no row and no column.
    """
    items = liked.shape[1]
    counts = np.asarray((liked > 0).sum(0)).ravel()
    some = np.sort(np.lexsort((np.arange(items), -counts))[:most])
    some = some[counts[some] > 0]
    if some.size < 2:
        return sp.csr_matrix((items, items), dtype=np.float32)
    columns = liked[:, some]
    gram = np.asarray((columns.T @ columns).toarray(), np.float32)

    gram[np.diag_indices_from(gram)] += np.float32(ridge)
    inverse = np.linalg.inv(gram)
    found = (inverse / -np.diag(inverse)).astype(np.float32)
    np.fill_diagonal(found, 0.0)
    return _placed(strongest(found, keep), some, items)


def cosine(liked: sp.csr_matrix, keep: int) -> sp.csr_matrix:
    """How many liked both, of those who liked either (cosine), 0 to 1; keep: of each row.

    liked: [members, items]; an item that nobody liked is like none.
    """
    length = np.sqrt(np.asarray(liked.multiply(liked).sum(0)).ravel())
    scaled = liked @ sp.diags(np.divide(1.0, length, out=np.zeros_like(length), where=length > 0))
    return _likeness(scaled.T.tocsr().astype(np.float32), keep, 0)


def content(features: sp.csr_matrix, keep: int, least: int) -> sp.csr_matrix:
    """How much two items have in common by their features, 0 to 1; rare features count more.

    features: [items, features]. keep: of each row; besides, each item is kept for the `least` past
    items that are most like it, so that a new one is reached from somewhere.
    """
    have = features.copy().astype(np.float32)
    have.data[:] = 1.0
    seen = np.asarray(have.sum(0)).ravel()
    rare = np.log((1.0 + have.shape[0]) / (1.0 + seen)) + 0.1
    weighed = have @ sp.diags(rare.astype(np.float32))
    length = np.sqrt(np.asarray(weighed.multiply(weighed).sum(1)).ravel())
    scale = sp.diags(np.divide(1.0, length, out=np.zeros_like(length), where=length > 0))
    return _likeness((scale @ weighed).tocsr().astype(np.float32), keep, least)


def _likeness(rows: sp.csr_matrix, keep: int, least: int) -> sp.csr_matrix:
    """Rows times rows without the diagonal, in blocks: the whole would not fit for many items."""
    items = rows.shape[0]
    if not items:
        return sp.csr_matrix((0, 0), dtype=np.float32)
    block = max(1, 8_000_000 // items)
    across, parts, columns = rows.T.tocsc(), [], []
    for start in range(0, items, block):
        found = np.asarray((rows[start : start + block] @ across).toarray(), np.float32)
        found[np.arange(found.shape[0]), np.arange(start, start + found.shape[0])] = 0.0
        parts.append(strongest(found, keep))
        if least:
            # It is symmetric: what a row is most like is also what is most like the column.
            columns.append(strongest(found, least))
    near = sp.vstack(parts).tocsr()
    if columns:
        near = near.maximum(sp.vstack(columns).T.tocsr()).tocsr()
    near.sort_indices()
    return near


def strongest(rows: npt.NDArray[np.float32], keep: int) -> sp.csr_matrix:
    """The `keep` values of each row that are farthest from 0; zeros are never kept."""
    if keep < rows.shape[1]:
        edge = np.partition(np.abs(rows), rows.shape[1] - keep, axis=1)[:, rows.shape[1] - keep]
        rows = np.where(np.abs(rows) >= edge[:, None], rows, np.float32(0.0))
    found = sp.csr_matrix(rows)
    found.eliminate_zeros()
    return found


def _placed(found: sp.csr_matrix, places: npt.NDArray[np.int64], items: int) -> sp.csr_matrix:
    one = found.tocoo()
    placed = sp.csr_matrix(
        (one.data.astype(np.float32), (places[one.row], places[one.col])), (items, items)
    )
    placed.sort_indices()
    return placed


def spoken(past: sp.csr_matrix, near: sp.csr_matrix) -> Floats:
    """The part of each of a few members: what their past speaks for, [members, items], dense."""
    return np.asarray((past @ near).toarray(), np.float32)
