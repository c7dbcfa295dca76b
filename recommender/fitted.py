"""A trained ranker as plain arrays: what training leaves, the artefact keeps and serving reads.

The score of an item for a member is a sum, so that it can be explained:

    score = sum over c of  weights[band, c] * part_c / scale[c]

part "lightfm":   (sum of the vectors of the member's features) . (sum of those of the item's)
                  + the biases of the item's features
part "sequel":    sum over the member's past items j of  value_j * sequel[j, item]
part "alike":     sum over the member's past items j of  value_j * alike[j, item]
part "popular":   popular[segment of the member, item]
part "content":   sum over the member's past items j of  value_j * content[j, item]

value_j is the decayed weight of what the member did with item j; band is how much is known of the
member (`BANDS`: past items). The biases of members are left out: they order nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]

SCHEMA = 1
"""Of the artefact: another number is refused."""

PARTS = ("lightfm", "sequel", "alike", "popular", "content")
BANDS = (1, 2, 4, 8, 16)
"""Past items at which the next band of weights begins: none, 1, 2-3, 4-7, 8-15, 16 and more."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """M members and I items of the training, D dimensions.

    members: [M] sorted member numbers; items: I ids; titles are not kept.
    member_vectors: [M, D], the sum over the features of each; item_vectors: [I, D]; item_biases:
    [I].
    member_features, item_features: names ("tag:写作", "community:12", "state:core", "id:py-101"),
    with their vectors [F, D], and for items biases [G]. features_of_members: [M, F], rows of it as
    LightFM saw them (weights, the feature of oneself left out: what is missing to member_vectors
    is that one); features_of_items: [I, G] with the feature of oneself.
    sequel, alike, content: [I, I] sparse, row: the past item, column: what it speaks for.
    popular: [S, I]; segments: S names, the first one "" for everybody.
    weights: [len(BANDS) + 1, len(PARTS)]; scale: [len(PARTS)], above 0.
    data: what describes the training: window, half life, kinds' weights, seed, figures (JSON).
    """

    members: Ints
    items: tuple[str, ...]
    member_vectors: Floats
    item_vectors: Floats
    item_biases: Floats
    member_features: tuple[str, ...]
    member_feature_vectors: Floats
    features_of_members: sp.csr_matrix
    item_features: tuple[str, ...]
    item_feature_vectors: Floats
    item_feature_biases: Floats
    features_of_items: sp.csr_matrix
    sequel: sp.csr_matrix
    alike: sp.csr_matrix
    content: sp.csr_matrix
    segments: tuple[str, ...]
    popular: Floats
    weights: Floats
    scale: Floats
    data: Mapping[str, Any] = field(default_factory=dict)


def band_of(past: int) -> int:
    """Which row of `weights` holds for a member with so many past items."""
    return sum(past >= least for least in BANDS)
