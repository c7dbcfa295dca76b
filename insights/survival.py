"""How long members stay: the share still there after so many days, by when they came.

Who is still there has not yet shown how long they stay, and counts for as long as they did
(Kaplan & Meier 1958, with Greenwood's intervals). This file is the home of lifelines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 30
"""Members of a cohort below which it has no curve."""
MOST_COHORTS = 4


@dataclass(frozen=True, slots=True)
class Curve:
    """cohort: "" for all. share: still there after each of the days that were asked, None beyond
    what was seen; low, high: 95 %. median: days after which half are gone, None when more stay.
    members, gone: whom it stands on."""

    cohort: str
    members: int
    gone: int
    share: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    median: float | None


def curve(
    cohort: str, stayed: NDArray[np.float64], gone: NDArray[np.bool_], days: Sequence[int]
) -> Curve:
    """The curve of a cohort. stayed: days, above 0; gone: whether it ended then, or goes on."""
    # It takes seconds to import, with pandas.
    from lifelines import KaplanMeierFitter

    fitted = KaplanMeierFitter().fit(stayed, gone)
    seen = float(stayed.max())
    asked = [day for day in days if day <= seen]
    share = fitted.survival_function_at_times(asked).to_numpy() if asked else []
    ends = fitted.confidence_interval_survival_function_
    places = np.searchsorted(ends.index.to_numpy(), asked, side="right") - 1
    low, high = (ends.iloc[:, column].to_numpy()[places] for column in (0, 1))
    none = (None,) * (len(days) - len(asked))
    median = float(fitted.median_survival_time_)
    return Curve(
        cohort,
        len(stayed),
        int(gone.sum()),
        tuple(float(one) for one in share) + none,
        tuple(_number(one) for one in low) + none,
        tuple(_number(one) for one in high) + none,
        median if math.isfinite(median) else None,
    )


def curves(
    stayed: NDArray[np.float64],
    gone: NDArray[np.bool_],
    cohorts: Sequence[str],
    days: Sequence[int],
) -> list[Curve]:
    """The curve of all, then those of the newest cohorts that are large enough, oldest first.

    cohorts: of each member, names that sort by time. [] for fewer than LEAST members.
    """
    if len(stayed) < LEAST:
        return []
    found = [curve("", stayed, gone, days)]
    names = np.array(cohorts)
    kinds, counts = np.unique(names, return_counts=True)
    large = [str(kind) for kind, count in zip(kinds, counts, strict=True) if count >= LEAST]
    if len(large) > 1:
        for cohort in large[-MOST_COHORTS:]:
            own = names == cohort
            found.append(curve(cohort, stayed[own], gone[own], days))
    return found


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
