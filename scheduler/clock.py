"""The clock: the only import of APScheduler, and the table of jobs.

It only says when. What a job has done is a row in the store, so a job that did not run
because the process was down loses nothing that matters: the next run does it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

log = structlog.get_logger()

SHANGHAI = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class Job:
    """One line of the table. at: every day at this time in Shanghai; else every `every_s`."""

    name: str
    run: Callable[[], Awaitable[str]]
    at: time | None = None
    every_s: float = 3600.0


class Clock:
    """Runs jobs at their times, each at most once at a time."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._scheduler: Any = AsyncIOScheduler(timezone=SHANGHAI)
        for job in jobs:
            trigger: Any = (
                IntervalTrigger(seconds=job.every_s)
                if job.at is None
                else CronTrigger(hour=job.at.hour, minute=job.at.minute, timezone=SHANGHAI)
            )
            self._scheduler.add_job(
                _guarded(job),
                trigger,
                id=job.name,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=3600,
            )

    def start(self) -> None:
        """Begin; needs the running event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """No job starts any more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)


def _guarded(job: Job) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        try:
            done = await job.run()
        except Exception as error:
            # One place for all jobs: a failing one is a line, never the end of the clock.
            log.error("job_failed", job=job.name, error=type(error).__name__, exc_info=True)
        else:
            # A job that looks every few seconds and finds nothing has nothing to say.
            if done:
                log.info("job_done", job=job.name, did=done)

    return run
