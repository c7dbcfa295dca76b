"""Every night: the days to come, the best sending hours, and what spending brings.

Everything is worked out in another process and left in findings; the chat plans a budget from
the fitted curves in moments. Cut off and done again it comes to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple

from scheduler import forecasts_work
from scheduler.forecasts_work import forecast_parts, hours_parts
from store import Store

__all__ = ["forecast_parts", "hours_parts", "refresh"]

T = TypeVar("T")
Args = TypeVarTuple("Args")

_SEED = 20_261_121


class Crunch(Protocol):
    """Work that takes the processor, in another process: `bot/crunch.py`."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes seconds. Errors: its own; RuntimeError when its process ended."""


async def refresh(store: Store, crunch: Crunch, now: float) -> str:
    """Make forecasts, hours, curves and the report "budget" anew; says how many.

    Errors: StoreError, RuntimeError, the database's own.
    """
    made = await crunch.heavy(forecasts_work.night, store.db.path, _SEED, now)
    for name, data in made.findings:
        await store.interactions.put_finding(name, data, now)
    return (
        f"{made.forecasts} forecasts, {made.models} of them better than the naive guess, "
        f"{made.curves} curves of spending"
    )
