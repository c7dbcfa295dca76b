"""Changes under way: they end as they were meant to, whoever hangs up or loses patience.

A change that is cancelled stops between its steps: rows are stored, but not written into the
audit, not findable, not told. So each is a task of its own, and a request only waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from bot.problem import Problem

T = TypeVar("T")

log = structlog.get_logger()

MAX_UNHEARD = 64
"""Changes nobody waits for any more: from here on they have to end before others begin."""
PATIENCE_S = 5.0


class Running:
    """The changes of one API that have begun and not ended."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unheard: set[asyncio.Task[Any]] = set()

    async def finish(
        self, operation: str, work: Coroutine[Any, Any, T], limit_s: float | None
    ) -> T:
        """The result of `work`, which goes on when nobody waits for it any more.

        limit_s: how long to wait, None for as long as it takes. Errors: what `work` raises;
        Problem 503 after limit_s, and before it begins when too many go on already.
        """
        if len(self._unheard) >= MAX_UNHEARD:
            work.close()
            raise Problem(
                503,
                "Busy",
                "Changes whose callers hung up are still under way; nothing was changed.",
                type="busy",
                headers={"Retry-After": "1"},
            )
        task = asyncio.create_task(work, name=operation)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            # Unlike `await task` this does not hand on a cancellation.
            await asyncio.wait({task}, timeout=limit_s)
        finally:
            if not task.done():
                self._unheard.add(task)
        if not task.done():
            raise Problem(
                503,
                "Not in time",
                "It goes on: see what has become of it before sending it again.",
                type="timeout",
                headers={"Retry-After": "5"},
            )
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        unheard = task in self._unheard
        self._unheard.discard(task)
        error = None if task.cancelled() else task.exception()
        if unheard and error is not None and not isinstance(error, Problem):
            log.error(
                "api_failed_unheard",
                operation=task.get_name(),
                error=type(error).__name__,
                exc_info=error,
            )

    async def close(self, patience_s: float = PATIENCE_S) -> None:
        """Wait for what is under way, the store still open; what takes too long is cut off."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=patience_s)
        for task in late:
            log.error("api_cut_off", operation=task.get_name())
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
