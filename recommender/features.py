"""Names of features -> the matrices that LightFM learns from, and back to a schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

LEAST = 2
"""A feature that fewer have says nothing that the feature of oneself does not."""


@dataclass(frozen=True, slots=True)
class Side:
    """Of members or items, n of them. names: of the shared features, F; shared: [n, F]; own: [n],
    who has a feature of oneself."""

    names: tuple[str, ...]
    shared: sp.csr_matrix
    own: npt.NDArray[np.bool_]

    def matrix(self) -> sp.csr_matrix:
        """[n, F + those with a feature of oneself], in their order."""
        places = np.flatnonzero(self.own)
        n = self.own.size
        alone = sp.csr_matrix(
            (np.ones(places.size, np.float32), (places, np.arange(places.size))), (n, places.size)
        )
        return sp.hstack([self.shared, alone], format="csr", dtype=np.float32)


def side(features: Sequence[Sequence[str]], own: npt.NDArray[np.bool_], least: int = LEAST) -> Side:
    """features: of each; own: who has been seen often enough for a feature of oneself.

    The shared features of one have the weight 1 together, as has the feature of oneself. Rare ones
    (fewer than `least`) are left out, as is what everybody has.
    """
    n = len(features)
    counts = Counter(name for names in features for name in set(names))
    names = tuple(sorted(name for name, count in counts.items() if least <= count < n))
    place = {name: number for number, name in enumerate(names)}
    rows: list[int] = []
    columns: list[int] = []
    data: list[float] = []
    for row, has in enumerate(features):
        known = sorted({place[name] for name in has if name in place})
        rows += [row] * len(known)
        columns += known
        data += [1.0 / max(1, len(known))] * len(known)
    shared = sp.csr_matrix(
        (np.array(data, np.float32), (rows, columns)), (n, len(names)), dtype=np.float32
    )
    return Side(names, shared, own)
