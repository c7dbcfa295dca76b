"""The clock: the only import of APScheduler, and the table of jobs.

It only says when. What a job has done is a row in the store, so a job that did not run
because the process was down loses nothing that matters: the next run does it.
"""

from __future__ import annotations

import asyncio
import calendar
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

log = structlog.get_logger()

SHANGHAI = ZoneInfo("Asia/Shanghai")


CRON_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = tuple(name.lower() for name in calendar.month_abbr)
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_AHEAD = timedelta(days=366 * 41)
"""29 February on a given day of the week comes again within 40 years."""
_LONGEST = 100


class CronError(ValueError):
    """A cron expression nobody can follow. field: 1 to 5, 0 when it is not one field's fault."""

    def __init__(self, message: str, field: int = 0) -> None:
        super().__init__(message)
        self.field = field


def valid(cron: str) -> str:
    """ "" for a cron expression that can be followed, else what is wrong with which field."""
    try:
        _trigger(cron)
    except CronError as wrong:
        return str(wrong)
    return ""


def next_time(cron: str, after: float) -> float:
    """The first time after `after` that a cron expression names, Unix seconds. Errors: CronError.

    Five fields, Shanghai time: minute, hour, day of month, month, day of week, each `*`, a
    number, a name (jan, mon), a range `1-5`, a step `*/15` or several with commas. Sunday is 0
    and 7, as cron has it. Day of month and day of week must both fit: `0 9 1-7 * mon` is the
    first Monday of a month.
    """
    begin = datetime.fromtimestamp(after, SHANGHAI) + timedelta(microseconds=1)
    # APScheduler looks through 8,000 years for a day that never comes; we know when to stop.
    trigger = CronTrigger(**_trigger(cron), end_date=begin + _AHEAD, timezone=SHANGHAI)
    found: datetime | None = trigger.get_next_fire_time(None, begin)
    if found is None:
        raise CronError(f"{cron!r} never comes: no such day exists")
    return found.timestamp()


def newest_time(cron: str, first: float, until: float) -> float:
    """The last time up to `until` that it names, not before `first`, which is one of them.

    Errors: CronError.
    """
    back = 60.0
    while until - back > first and next_time(cron, until - back) > until:
        back *= 2
    newest = first
    at = next_time(cron, max(until - back, first))
    while at <= until:
        newest = at
        at = next_time(cron, at)
    return newest


@functools.lru_cache(maxsize=256)
def _trigger(cron: str) -> dict[str, str]:
    """The fields as APScheduler takes them, which counts days of the week from Monday."""
    if len(cron) > _LONGEST:
        raise CronError(f"a cron expression has at most {_LONGEST} characters")
    parts = cron.split()
    if len(parts) != len(CRON_FIELDS):
        raise CronError(f"five fields are expected ({', '.join(CRON_FIELDS)}), not {len(parts)}")
    minute, hour, day, month, weekday = (
        _field(part.lower(), number) for number, part in enumerate(parts)
    )
    if min(day) > max(29 if m == 2 else calendar.monthrange(2023, m)[1] for m in month):
        raise CronError(f"{cron!r} never comes: no such day exists", 3)
    names = {_DAYS[number % 7] for number in weekday}
    return {
        "minute": _listed(minute),
        "hour": _listed(hour),
        "day": _listed(day),
        "month": _listed(month),
        "day_of_week": ",".join(name for name in _DAYS if name in names),
    }


def _listed(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def _field(text: str, number: int) -> frozenset[int]:
    """The numbers that one field means."""
    found: set[int] = set()
    least, most = _BOUNDS[number]
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if slash and not (_is_number(step) and int(step)):
            raise _wrong(number, part)
        if span == "*":
            low, high = least, 6 if number == 4 else most
        else:
            low = _number(first, number)
            high = _number(last, number) if dash else (most if slash else low)
        if low > high:
            raise _wrong(number, part)
        found.update(range(low, high + 1, int(step) if slash else 1))
    return frozenset(found)


def _number(text: str, number: int) -> int:
    least, most = _BOUNDS[number]
    names = _MONTHS if number == 3 else _DAYS if number == 4 else ()
    if text and text in names:
        return names.index(text)
    if not _is_number(text) or not least <= int(text) <= most:
        raise _wrong(number, text)
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 2


def _wrong(number: int, part: str) -> CronError:
    least, most = _BOUNDS[number]
    names = {3: " or jan to dec", 4: " or sun to sat"}.get(number, "")
    return CronError(
        f"{CRON_FIELDS[number]} (field {number + 1}): {least} to {most}{names} is expected, "
        f"not {part!r}",
        number + 1,
    )


@dataclass(frozen=True, slots=True)
class Job:
    """One line of the table. at: every day at this time in Shanghai; else every `every_s`."""

    name: str
    run: Callable[[], Awaitable[str]]
    at: time | None = None
    every_s: float = 3600.0


def _not_left_out(line: logging.LogRecord) -> bool:
    """A turn that comes while the last one still runs is left out, as it should be; it would be a
    warning each time, every second of a long batch."""
    return "maximum number of running instances" not in str(line.msg)


class Clock:
    """Runs jobs at their times, each at most once at a time."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        logging.getLogger("apscheduler.scheduler").addFilter(_not_left_out)
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
        except asyncio.CancelledError:
            # The clock was stopped; what was not done is done after the next start.
            return
        except Exception as error:
            # One place for all jobs: a failing one is a line, never the end of the clock.
            log.error("job_failed", job=job.name, error=type(error).__name__, exc_info=True)
        else:
            # A job that looks every few seconds and finds nothing has nothing to say.
            if done:
                log.info("job_done", job=job.name, did=done)

    return run
