"""Communities over time: which of today's is which of yesterday's, and what became of the others.

They are matched so that as many as possible are the same (Hungarian, on how much of both together
is in both); two that share less than three in ten are two (Greene et al. 2010).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

SAME = 0.3
"""Jaccard: members of both ÷ members of either."""
_MOST = 0.5
_PART = 0.25


class New(NamedTuple):
    """Where one of today's communities comes from.

    same: the number of the one that it is; None when it begins. origin: "born", "split",
    "merged"; "" of one that goes on. parents: what it began from, by number.
    """

    same: int | None
    origin: str
    parents: tuple[int, ...]


class Tracked(NamedTuple):
    """new: one for each of today's, in order. ended: number -> "merged", "split" or "faded"."""

    new: list[New]
    ended: dict[int, str]


def track(old: Mapping[int, frozenset[int]], new: Sequence[frozenset[int]]) -> Tracked:
    """Match communities by their members. Numbers of old ones with nobody end as faded."""
    numbers = sorted(old)
    shared = _shared(old, new)
    same = _matched(numbers, old, new, shared)
    of_new = {column: number for number, column in same.items()}
    found = []
    for column, members in enumerate(new):
        if column in of_new:
            found.append(New(of_new[column], "", ()))
            continue
        came = [
            (number, count)
            for number, counts in shared.items()
            if (count := counts.get(column, 0)) >= _PART * len(members)
        ]
        came.sort(key=lambda pair: (-pair[1], pair[0]))
        parents = tuple(number for number, _ in came)
        origin = {0: "born", 1: "split"}.get(len(parents), "merged")
        found.append(New(None, origin, parents))
    ended = {
        number: _ending(len(old[number]), shared.get(number, {}))
        for number in numbers
        if number not in same
    }
    return Tracked(found, ended)


def _shared(
    old: Mapping[int, frozenset[int]], new: Sequence[frozenset[int]]
) -> dict[int, dict[int, int]]:
    """How many members each old one has in common with each new one; only where any."""
    now = {member: column for column, members in enumerate(new) for member in members}
    return {
        number: dict(Counter(now[member] for member in members if member in now))
        for number, members in old.items()
    }


def _matched(
    numbers: Sequence[int],
    old: Mapping[int, frozenset[int]],
    new: Sequence[frozenset[int]],
    shared: Mapping[int, Mapping[int, int]],
) -> dict[int, int]:
    """Old number -> which of the new ones it is."""
    if not numbers or not new:
        return {}
    alike = np.zeros((len(numbers), len(new)))
    for row, number in enumerate(numbers):
        for column, count in shared[number].items():
            either = len(old[number]) + len(new[column]) - count
            alike[row, column] = count / either
    # What is not alike enough is as good as nothing: it must not cost another its match.
    alike[alike < SAME] = 0.0
    rows, columns = linear_sum_assignment(-alike)
    return {
        numbers[row]: int(column)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if alike[row, column] > 0
    }


def _ending(size: int, went: Mapping[int, int]) -> str:
    """Where most of them are now: in one, in several, nowhere."""
    if size == 0 or sum(went.values()) < _MOST * size:
        return "faded"
    return "merged" if max(went.values()) >= _MOST * size else "split"
