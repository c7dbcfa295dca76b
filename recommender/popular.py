"""Popularity: the ranking for members we do not know yet, and the order of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable

HALF_LIFE_S = 14 * 86400.0
"""After two weeks a view counts half: a knowledge business changes with its terms."""


def popular(
    views: Iterable[tuple[str, float]], now: float, half_life_s: float = HALF_LIFE_S
) -> list[str]:
    """Item ids, most wanted first.

    views: (item id, Unix seconds) for each time somebody asked for an item. Each counts
    2 ** (-age / half life); a time in the future counts as now. No views: []. Ties go by
    id, so the order never flickers.
    """
    scores: dict[str, float] = {}
    for item, at in views:
        scores[item] = scores.get(item, 0.0) + 2.0 ** (-max(0.0, now - at) / half_life_s)
    return sorted(scores, key=lambda item: (-scores[item], item))
