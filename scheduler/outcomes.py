"""What came of it all: rates, cohorts, values and rules every night, today's figures in between.

The arithmetic is done by `scheduler/outcomes_work.py` in a process beside the bot; here its reports
are joined with what the other jobs found and written down. Made again, they are replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, TypeVarTuple

from insights import headlines
from insights.report import from_json, known, name_of, to_json
from scheduler import outcomes_work
from scheduler.outcomes_work import Rules
from store import Store

T = TypeVar("T")
Args = TypeVarTuple("Args")

DAY_S = 86_400.0
WINDOW_S = 7 * DAY_S
VIEW_WINDOW_S = DAY_S
"""How long after a click, and after an exposure, an order is owed to it: as in /funnel."""


class Crunch(Protocol):
    """Processes that work for us: `bot/crunch.py`."""

    def heavy(self, run: Callable[[*Args], T], *args: *Args) -> Awaitable[T]:
        """What takes seconds or minutes."""

    def quick(self, run: Callable[[*Args], T], *args: *Args) -> Awaitable[T]:
        """What takes moments."""


class Settings(Protocol):
    """What of the configuration is needed: `InsightSettings` has it."""

    @property
    def lost_days(self) -> int:
        """After how long a silence a member is lost."""

    @property
    def least_support(self) -> int:
        """How many members must have all items of a rule."""


async def refresh(store: Store, crunch: Crunch, settings: Settings, now: float) -> str:
    """The reports on retention and on the last week; after those of all others, once a night.

    Errors: StoreError, the database's own, and those of the process.
    """
    rules = Rules(settings.lost_days, settings.least_support, WINDOW_S, VIEW_WINDOW_S)
    retention, week = await crunch.heavy(outcomes_work.nightly, store.db.path, rules, now)
    await store.interactions.put_finding(name_of("retention"), retention, now)
    await _headlines(store, week, now)
    return "retention and the week"


async def today(store: Store, crunch: Crunch, now: float) -> str:
    """The report on today so far; every few minutes. Errors: as of `refresh`."""
    report = await crunch.quick(outcomes_work.day, store.db.path, now)
    await _headlines(store, report, now)
    return "today so far"


async def _headlines(store: Store, own: str, now: float) -> None:
    report = from_json(own)
    others = {}
    for kind in sorted({kind for taken in headlines.TAKEN.values() for kind in taken}):
        other = known(await store.interactions.finding(name_of(kind)))
        if other is not None:
            others[kind] = other
    joined = headlines.joined(report, others)
    await store.interactions.put_finding(name_of(report.kind), to_json(joined), now)
