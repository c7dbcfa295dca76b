"""What is popular, with everybody and in each segment: the part of the score that needs no past.

Apart from `popular.py`, which the chat imports: numpy has no place in there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from recommender.fitted import Floats, Ints


def popularity(liked: sp.csr_matrix, groups: Sequence[Ints], cautious: float = 50.0) -> Floats:
    """How wanted each item is by everybody and in each segment, as logarithms of 1 + the count.

    liked: [members, items], decayed weights above 0; groups: places of the members of each segment.
    Returns [1 + segments, items], the first row everybody. A segment is drawn to everybody as if
    `cautious` more deeds had been done in it the way everybody does: small ones say little.
    """
    total = np.asarray(liked.sum(0), np.float64).ravel()
    rows = [np.log1p(total)]
    whole = float(total.sum())
    for places in groups:
        own = np.asarray(liked[places].sum(0), np.float64).ravel()
        if whole > 0:
            # On the scale of everybody's counts, so that one weight of the blend fits all rows.
            drawn = (own + cautious * total / whole) / (own.sum() + cautious)
            rows.append(np.log1p(drawn * whole))
        else:
            rows.append(np.zeros_like(total))
    return np.array(rows, np.float32)
