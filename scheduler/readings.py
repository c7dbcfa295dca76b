"""Reads what members write, a second or so behind: moods and words, in batches, off the loop.

Two readers for each log: one follows what is said from now on, the other works off what was there
when it began, the newest first and a little at a time, so that years of a log never delay what
was said just now. Where both have come to is a row; a kill reads a batch again, and writes it once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple

from insights import intake
from insights.intake import Batch, Wanted
from store import Store, mood_labels
from store.insight_reads import reading
from store.readings import SOURCES, Heard, NewReading, Page

T = TypeVar("T")
Args = TypeVarTuple("Args")

LIVE_ROWS = 2000
"""Most rows of a log that one batch of what is said now takes."""
PAST_ROWS = 500
"""The same of what was said before: so long a message of now may wait for it."""
PAST_BATCHES = 4
"""Batches of the past that one round takes of each log."""


class Crunch(Protocol):
    """Work that takes the processor, in another process: `bot/crunch.py`."""

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes moments. Errors: its own; RuntimeError when its process ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How to read. wanted: which model; its version is looked up. opt_in: members are read only
    when they agreed to it. keep_s: what is older is not read."""

    wanted: Wanted
    opt_in: bool = False
    keep_s: float = 180 * 86_400.0


class Readings:
    """The job. It remembers only what it complained of, to say it once."""

    def __init__(self, store: Store, crunch: Crunch, reader: Reader) -> None:
        self._store, self._crunch, self._reader = store, crunch, reader
        self._said = ""

    async def tick(self, now: float) -> str:
        """Read what is new, then a little of what is old; one line when there is news to log.

        Every second or so. Errors: StoreError.
        """
        try:
            said = await self._tick(now)
        except RuntimeError as error:
            # The process that reads ended, or the bot stops: what was not read is read next time.
            said = f"not read, tried again: {error}"
        news = said if said != self._said else ""
        self._said = said
        return news

    async def _tick(self, now: float) -> str:
        said = ""
        for source in SOURCES:
            said = await self._live(source, now) or said
        for source in SOURCES:
            for _ in range(PAST_BATCHES):
                more, line = await self._past(source, now)
                said = line or said
                if not more:
                    break
                # What is said meanwhile does not wait for the rest of the past.
                said = await self._live(source, now) or said
        return said

    async def _live(self, source: str, now: float) -> str:
        readings, cursor = self._store.readings, f"readings:{source}"
        said = ""
        while True:
            position = await readings.position(cursor)
            if position is None:
                await readings.begin(source, cursor, f"{cursor}:past", now)
                return ""
            page = await readings.page(source, position, LIVE_ROWS, opt_in=self._reader.opt_in)
            if not page.rows:
                return said
            said = await self._read(source, page, cursor, now) or said
            if page.rows < LIVE_ROWS:
                return said
            await asyncio.sleep(0)

    async def _past(self, source: str, now: float) -> tuple[bool, str]:
        """One batch of what was there before; False when there is no more."""
        readings, cursor = self._store.readings, f"readings:{source}:past"
        position = await readings.position(cursor)
        if not position:
            return False, ""
        page = await readings.page_back(
            source,
            position,
            PAST_ROWS,
            since=now - self._reader.keep_s,
            opt_in=self._reader.opt_in,
        )
        if not page.rows:
            await readings.put(source, [], cursor, 0, now)
            return False, ""
        return True, await self._read(source, page, cursor, now)

    async def _read(self, source: str, page: Page, cursor: str, now: float) -> str:
        """Read a page and write what was found with where it ends; says why it was not the
        wanted model that read it, "" when it was."""
        found, trouble = [], ""
        if page.heard:
            learned = await self._store.mood_labels.model()
            wanted = replace(
                self._reader.wanted,
                version=learned.version,
                taught_in=str(self._store.db.path),
            )
            texts = [one.text for one in page.heard]
            batch = await self._crunch.quick(read, self._store.db.path, wanted, texts)
            found = _rows(page.heard, batch)
            trouble = batch.trouble and f"{batch.trouble}; read with {batch.model} instead"
        await self._store.readings.put(
            source,
            found,
            cursor,
            page.to,
            now,
            opt_in=self._reader.opt_in,
        )
        return trouble


def read(path: Path, wanted: Wanted, texts: list[str]) -> Batch:
    """In the other process: `insights.intake.read`, with what operators taught at hand."""

    def lessons() -> list[tuple[str, int]]:
        with reading(path) as conn:
            return [(one.text, one.label) for one in mood_labels.labels(conn, learned=True)]

    return intake.read(texts, wanted, lessons)


def _rows(heard: list[Heard], batch: Batch) -> list[NewReading]:
    return [
        NewReading(
            one.row_id,
            read.mood.label,
            round(read.mood.negative, 4),
            round(read.mood.positive, 4),
            " ".join(read.terms),
            batch.model,
        )
        for one, read in zip(heard, batch.readings, strict=True)
    ]
