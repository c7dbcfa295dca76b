"""Rows for the store's tests: messages, their ends, and a look into the file itself."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from store import Store
from store.catalogue import Item
from store.db import Database
from store.dialect import Connection
from store.messages import Finished, Incoming, Late

T = TypeVar("T")

CHANNEL = "mp"
LIN = "oTEST_lin_000000000000000001"
MEI = "oTEST_mei_000000000000000002"
NOW = 1_763_600_000.0
WINDOW_S = 48 * 3600.0
"""How long a member's message lets us push, by WeChat's rules."""
BURST_S = 60.0
"""How long a click, a scan or a follow does."""


def key(number: int) -> bytes:
    """The 16 bytes of message `number`."""
    return number.to_bytes(16, "big")


def incoming(
    number: int, sender: str = LIN, *, at: float = NOW, body: bytes = b"<xml/>"
) -> Incoming:
    """Message `number` at the door."""
    return Incoming(key(number), CHANNEL, sender, at, body)


def finished(number: int, sender: str = LIN, **fields: Any) -> Finished:
    """The end of message `number`; any field may be given."""
    plain: dict[str, Any] = {
        "reply": b"reply %d" % number,
        "at": NOW,
        "channel": CHANNEL,
        "kind": "text",
        "text": f"words {number}",
        "handler": "faq",
        "item": "",
    }
    return Finished(key=key(number), sender=sender, **{**plain, **fields})


def late(count: int, status: str = "planned", word: str = "part") -> tuple[Late, ...]:
    """An answer in `count` parts: "part 0", "part 1" …"""
    return tuple(Late(number, f"{word} {number}", status) for number in range(count))


async def answered(store: Store, number: int, sender: str = LIN, **fields: Any) -> int:
    """A message from its arrival to its end; says the member's id."""
    at = fields.get("at", NOW)
    await store.messages.record(incoming(number, sender, at=at))
    member = await store.members.meet(CHANNEL, sender, at)
    await store.messages.finish(finished(number, sender, **fields))
    return member.id


def course(number: int, **fields: Any) -> Item:
    """A course of the catalogue."""
    plain: dict[str, Any] = {
        "id": f"c{number}",
        "kind": "course",
        "title": f"写作课 {number}",
        "summary": "从零开始",
        "tags": ("写作", "入门"),
        "authors": ("林老师",),
        "level": "入门",
        "price_cents": 9900,
        "url": "https://example.com/c",
        "cover_url": "",
        "published_at": NOW + number * 86_400,
    }
    return Item(**{**plain, **fields})


def ask_file(path: Path, sql: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """What another process would read from the file, committed rows only."""
    with closing(sqlite3.connect(path)) as conn:
        return conn.execute(sql, args).fetchall()


def change_file(path: Path, sql: str, args: Sequence[Any] = ()) -> None:
    """What another process would write into the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute(sql, args)


def tables_of(path: Path) -> dict[str, list[str]]:
    """Every table of ours with its columns, as the file really has them."""
    found: dict[str, list[str]] = {}
    for (table,) in ask_file(path, "select name from sqlite_master where type = 'table'"):
        if not table.startswith(("sqlite_", "_sqlite_")):
            found[table] = [row[1] for row in ask_file(path, f"pragma table_info({table})")]
    return found


def places_of(path: Path, needles: Iterable[str]) -> set[str]:
    """ "table.column" wherever one of these texts occurs, in text and in blobs."""
    found = set()
    wanted = [needle.encode() for needle in needles]
    for table, columns in tables_of(path).items():
        for row in ask_file(path, f"select * from {table}"):
            for column, value in zip(columns, row, strict=True):
                raw = value if isinstance(value, bytes) else str(value).encode()
                if any(needle in raw for needle in wanted):
                    found.add(f"{table}.{column}")
    return found


class Held:
    """A write that keeps the writer busy until `release`, so that others gather behind it."""

    def __init__(self, db: Database) -> None:
        self._started = threading.Event()
        self._go = threading.Event()

        def run(conn: Connection) -> None:
            self._started.set()
            assert self._go.wait(10)

        self.done = db.write(run)

    async def started(self) -> None:
        assert await asyncio.to_thread(self._started.wait, 10)

    def release(self) -> None:
        self._go.set()


async def meeting(store: Store, writes: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Have writes meet in one transaction, in their order; their results."""
    held = Held(store.db)
    await held.started()
    tasks = [asyncio.create_task(write) for write in writes]
    await asyncio.sleep(0.01)
    held.release()
    return await asyncio.gather(*tasks)
