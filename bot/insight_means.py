"""What the REST API needs of insights beside the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from handlers.report_means import Started
from handlers.texts import Texts


def _off() -> Started:
    return Started.OFF


@dataclass(frozen=True, slots=True)
class InsightMeans:
    """texts: what figures are called; None: only their keys. least_people: figures of fewer are
    hidden from keys without `insights:own`. refresh: works everything out anew."""

    texts: Texts | None = None
    least_people: int = 10
    refresh: Callable[[], Started] = _off
