"""Reads what members write, a second or so behind: moods and words, in batches, off the loop.

Two readers for each log: one follows what is said from now on, the other works off what was there
when it began, the newest first and a little at a time, so that years of a log never delay what
was said just now. Where both have come to is a row; a kill reads a batch again, and writes it once.
A batch that cannot be read is halved until the one message stands alone, which is then passed.
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
from store.readings import SOURCES, UNREADABLE, Heard, NewReading, Page

T = TypeVar("T")
Args = TypeVarTuple("Args")

LIVE_ROWS = 2000
"""Most rows of a log that one batch of what is said now takes."""
PAST_ROWS = 500
"""The same of what was said before: so long a message of now may wait for it."""
PAST_BATCHES = 4
"""Batches of the past that one round takes of each log."""
TRIES = 3
"""How often a message alone must fail before it is passed without a mood."""
_HARMLESS = "你好"


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
    """The job. It remembers what it complained of, to say it once, and what it could not read."""

    def __init__(self, store: Store, crunch: Crunch, reader: Reader) -> None:
        self._store, self._crunch, self._reader = store, crunch, reader
        self._said = ""
        self._rows: dict[str, int] = {}
        """Cursor -> rows of its next batch, where one could not be read."""
        self._failed: dict[str, int] = {}
        """Cursor -> how often its next message failed alone."""

    async def tick(self, now: float) -> str:
        """Read what is new, then a little of what is old; one line when there is news to log.

        Every second or so. Errors: StoreError.
        """
        said = await self._tick(now)
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
            most = self._most(cursor, LIVE_ROWS)
            page = await readings.page(source, position, most, opt_in=self._reader.opt_in)
            if not page.rows:
                return said
            read, line = await self._read(source, page, cursor, now)
            said = line or said
            if not read or page.rows < most:
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
            self._most(cursor, PAST_ROWS),
            since=now - self._reader.keep_s,
            opt_in=self._reader.opt_in,
        )
        if not page.rows:
            await readings.put(source, [], cursor, 0, now)
            return False, ""
        return await self._read(source, page, cursor, now)

    def _most(self, cursor: str, rows: int) -> int:
        return min(self._rows.get(cursor, rows), rows)

    async def _read(self, source: str, page: Page, cursor: str, now: float) -> tuple[bool, str]:
        """Read a page and write what was found with where it ends.

        Whether it is read, and what there is to say: why it is not, or why it was not the wanted
        model that read it.
        """
        found, trouble = [], ""
        if page.heard:
            texts = [one.text for one in page.heard]
            try:
                batch = await self._batch(texts)
            except Exception as error:  # noqa: BLE001 - whatever it is, the log must be read on
                # Its process ended, or a message is too much for it. What it says may hold words
                # of the message, so only its name is told.
                said = f"not read, tried again: {type(error).__name__}"
                if not await self._passed(page, cursor):
                    return False, said
                found = [NewReading(page.heard[0].row_id, None, 0.0, 0.0, "", UNREADABLE)]
                trouble = f"a message is passed that cannot be read: {source}:{found[0].row_id}"
            else:
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
        self._failed.pop(cursor, None)
        if cursor in self._rows:
            self._rows[cursor] *= 2
            if self._rows[cursor] >= LIVE_ROWS:
                del self._rows[cursor]
        return True, trouble

    async def _batch(self, texts: list[str]) -> Batch:
        learned = await self._store.mood_labels.model()
        wanted = replace(
            self._reader.wanted,
            version=learned.version,
            taught_in=str(self._store.db.path),
        )
        words = await self._store.terms.words()
        return await self._crunch.quick(read, self._store.db.path, wanted, words, texts)

    async def _passed(self, page: Page, cursor: str) -> bool:
        """Whether a page that failed is one message that nobody can read; else less is tried."""
        if len(page.heard) > 1:
            self._rows[cursor] = max(page.rows // 2, 1)
            return False
        self._failed[cursor] = self._failed.get(cursor, 0) + 1
        if self._failed[cursor] < TRIES:
            return False
        try:
            # When nothing else can be read either, it is not the message.
            await self._batch([_HARMLESS])
        except Exception:  # noqa: BLE001 - said already
            return False
        return True


def read(path: Path, wanted: Wanted, words: list[str], texts: list[str]) -> Batch:
    """In the other process: `insights.intake.read`, with what operators taught at hand.

    words: those that were learned here.
    """

    def lessons() -> list[tuple[str, int]]:
        with reading(path) as conn:
            return [(one.text, one.label) for one in mood_labels.labels(conn, learned=True)]

    return intake.read(texts, wanted, lessons, tuple(words))


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
