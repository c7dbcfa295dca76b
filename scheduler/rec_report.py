"""What came of recommendations: a report every night and when somebody asks for it, and what the
open tests say so far.

The arithmetic is done by `scheduler/rec_report_work.py` in a process beside the bot. Made again,
report and verdicts are replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, TypeVarTuple

from insights.report import name_of
from scheduler import rec_report_work
from scheduler.rec_report_work import Rules
from store import Store

T = TypeVar("T")
Args = TypeVarTuple("Args")

DAY_S = 86_400.0


class Crunch(Protocol):
    """Processes that work for us: `bot/crunch.py`."""

    def heavy(self, run: Callable[[*Args], T], *args: *Args) -> Awaitable[T]:
        """What takes seconds or minutes."""

    def quick(self, run: Callable[[*Args], T], *args: *Args) -> Awaitable[T]:
        """What somebody waits for."""


class Run(Protocol):
    """One of them."""

    def __call__(self, run: Callable[[*Args], T], *args: *Args) -> Awaitable[T]: ...


class Settings(Protocol):
    """What of the configuration is needed: `RecommendationSettings` has it."""

    @property
    def new_item_days(self) -> int:
        """How long an item is new."""


async def refresh(
    store: Store, crunch: Crunch, settings: Settings, now: float, *, opt_in: bool = False
) -> str:
    """The report of the last weeks, and the verdicts of the open tests.

    opt_in: who decided nothing about profiling is left out, too. Errors: StoreError, the
    database's own, and those of the process.
    """
    return await _made(store, crunch.heavy, settings, now, opt_in)


async def anew(
    store: Store, crunch: Crunch, settings: Settings, now: float, *, opt_in: bool = False
) -> str:
    """The same for somebody who asks: not behind a training, which takes minutes."""
    return await _made(store, crunch.quick, settings, now, opt_in)


async def _made(store: Store, there: Run, settings: Settings, now: float, opt_in: bool) -> str:
    rules = Rules(settings.new_item_days * DAY_S, opt_in)
    tests = await store.rec_tests.running()
    made = await there(rec_report_work.nightly, store.db.path, rules, tests, now)
    await store.interactions.put_finding(name_of("rec"), made.report, now)
    for test_id, verdict in made.verdicts:
        await store.rec_tests.judge(test_id, verdict)
    return "recommendations"
