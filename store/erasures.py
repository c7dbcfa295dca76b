"""Forgetting a member wholly, here and in copies of the file, and that it was done.

What stays is a row of `erasures`: a number that means nobody any more, and whether the backups
still hold them. A backup is never changed in place: a copy is brought up to date, the member
taken out of it, and only what is whole takes the name.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from store import aliases, dialect, hooks, personal, traces
from store.db import Database
from store.dialect import Connection

PART = ".erasing"
"""What the name of an unfinished copy ends with."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What forgetting removed: rows by table."""

    member_id: int
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Erasure:
    """Somebody who was forgotten. numbers: theirs, and those of members they were merged with.

    backups_at: when no backup held them any more; proved_at, found: when a scan looked for what
    they left, and how many places it found.
    """

    member_id: int
    at: float
    numbers: tuple[int, ...]
    backups_at: float | None
    proved_at: float | None
    found: int | None


def erase(
    conn: Connection, member_id: int, now: float, keep_key: bytes | None = None
) -> Erased | None:
    """Forget a member wholly, inside a transaction; None when there is no such member.

    keep_key: as in `Members.erase`.
    """
    identities = conn.execute(
        "select channel, external_id from identities where member_id = ?", (member_id,)
    ).fetchall()
    merged = aliases.numbers(conn, member_id)
    targets = [f"member:{member_id}", *merged]
    rows = personal.forget(conn, member_id, now)
    rows["messages"] = rows["sends"] = 0
    asked = conn.execute("select id from messages where key = ?", (keep_key,)).fetchone()
    last = None if asked is None else asked[0]
    for channel, external_id in identities:
        rows["messages"] += conn.execute(
            "delete from messages where channel = ? and sender = ? and (? is null or id < ?)",
            (channel, external_id, last, last),
        ).rowcount
        conn.execute(
            "update messages set sender = '', body = null "
            "where channel = ? and sender = ? and id = ?",
            (channel, external_id, last),
        )
        rows["sends"] += conn.execute(
            "delete from sends where channel = ? and external_id = ?", (channel, external_id)
        ).rowcount
    rows["identities"] = conn.execute(
        "delete from identities where member_id = ?", (member_id,)
    ).rowcount
    rows["members"] = conn.execute("delete from members where id = ?", (member_id,)).rowcount
    if not rows["members"]:
        return None
    # What was done to them stays on record, what it said of them does not.
    conn.executemany(
        "update audit set detail = '' where target = ? and detail <> ''",
        [(target,) for target in targets],
    )
    note = " ".join(one.partition(":")[2] for one in merged)
    conn.execute(
        "insert into erasures (member_id, at, note) values (?, ?, ?) "
        "on conflict (member_id) do nothing",
        (member_id, now, note),
    )
    topic = "member.erased"
    hooks.queue(conn, topic, f"{topic}:{member_id}", {"member": member_id}, now, now)
    return Erased(member_id, rows)


_SELECT = "select member_id, at, note, backups_at, proved_at, found from erasures"


class Erasures:
    """The table `erasures`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, member_id: int) -> Erasure | None:
        """The erasure of a number; None when that was never erased."""
        found = await self._read("where member_id = ?", member_id)
        return found[0] if found else None

    async def needles(self, member_id: int) -> list[traces.Needle]:
        """What a member could be found by, before they are forgotten; see `store/traces.py`."""
        return await self._db.read(lambda conn: traces.needles_of(conn, member_id), long=True)

    async def in_backups(self) -> list[Erasure]:
        """Whom backups may still hold, in the order they were forgotten."""
        return await self._read("where backups_at is null order by id")

    async def out_of_backups(self, members: Iterable[int], now: float) -> None:
        """No backup holds them any more."""
        rows = [(now, one) for one in members]

        def run(conn: Connection) -> None:
            conn.executemany(
                "update erasures set backups_at = ? where member_id = ? and backups_at is null",
                rows,
            )

        await self._db.write(run)

    async def proved(self, member_id: int, found: int, now: float) -> None:
        """A scan looked for what they left. found: places that still hold something."""

        def run(conn: Connection) -> None:
            conn.execute(
                "update erasures set proved_at = ?, found = ? where member_id = ?",
                (now, found, member_id),
            )

        await self._db.write(run)

    async def blank_passing(self, places: Iterable[tuple[str, int]]) -> int:
        """Take out rows that a scan found in tables whose rows pass within days.

        places: (table, row). Says how many were taken out: what still waits to be answered or
        sent stays, and passes by itself.
        """
        wanted = [(_PASSING[table], row) for table, row in places if table in _PASSING]

        def run(conn: Connection) -> int:
            return sum(conn.execute(sql, (row,)).rowcount for sql, row in wanted)

        return await self._db.write(run)

    async def fold(self) -> None:
        """Fold the write-ahead log into the file: the log holds pages as they were before."""
        await self._db.write(lambda conn: None)

        def run() -> None:
            conn = dialect.connect(self._db.path)
            try:
                dialect.fold_log(conn)
            finally:
                conn.close()

        await asyncio.to_thread(run)

    async def _read(self, rest: str, *args: object) -> list[Erasure]:
        def run(conn: Connection) -> list[Erasure]:
            return [
                Erasure(row[0], row[1], (row[0], *map(int, row[2].split())), *row[3:])
                for row in conn.execute(f"{_SELECT} {rest}", args)
            ]

        return await self._db.read(run)


_HERE = f"where {dialect.ROW} = ?"
_PASSING = {
    "messages": f"update messages set body = null, reply = x'' {_HERE} and status = 1",
    "sends": f"delete from sends {_HERE} and settled_at is not null",
    "hook_deliveries": f"delete from hook_deliveries {_HERE} and settled_at is not null",
    "idempotency": f"delete from idempotency {_HERE}",
    "states": f"delete from states {_HERE}",
}
"""Tables of what passes within days -> what takes one row out, unless it is still needed."""

_PASSED = (
    "update messages set body = null, reply = x'' where status = 1",
    "delete from sends where settled_at is not null",
    "delete from hook_deliveries where settled_at is not null",
    "delete from idempotency",
)
"""In a backup that has passed: answers to others may repeat what somebody said."""


# Files beside the database


def holds(path: Path, numbers: Collection[int]) -> bool:
    """Whether a copy of the database holds one of these members.

    Errors: dialect.DatabaseError when it is no database of ours.
    """
    conn = dialect.connect(path, writable=False)
    try:
        return any(
            conn.execute("select 1 from members where id = ?", (one,)).fetchone() for one in numbers
        )
    finally:
        conn.close()


def erase_in_copy(
    path: Path, numbers: Collection[int], now: float, prepare: Callable[[Connection], None]
) -> int:
    """Take members out of a copy of the database; says how many of the numbers it held.

    prepare: brings the schema up to date; the step that forgets knows only today's. While it
    runs both copies stand beside each other; the old one stays when anything fails. Errors:
    dialect.DatabaseError, OSError.
    """
    part = path.with_name(path.name + PART)
    _unlink(part)
    try:
        os.close(os.open(part, os.O_CREAT | os.O_RDWR, 0o600))
        shutil.copyfile(path, part)
        conn = dialect.connect(part)
        try:
            prepare(conn)
            dialect.begin(conn)
            done = sum(erase(conn, one, now) is not None for one in numbers)
            conn.execute("update erasures set backups_at = ? where backups_at is null", (now,))
            for statement in _PASSED:
                conn.execute(statement)
            conn.execute("commit")
            dialect.pack(conn)
        finally:
            conn.close()
        os.replace(part, path)
    finally:
        _unlink(part)
    return done


def _unlink(part: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        part.with_name(part.name + end).unlink(missing_ok=True)
