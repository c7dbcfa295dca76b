"""What SQLite says differently: the one file that PostgreSQL will replace.

Everything else in `store/` is plain SQL with ON CONFLICT and RETURNING.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Connection = sqlite3.Connection
DatabaseError = sqlite3.DatabaseError

ID = "integer primary key"
"""A row number that the database hands out."""

ROW = "rowid"
"""The number of a row in a table that has none of its own."""

ID_FOREVER = "integer primary key autoincrement"
"""A row number that is never handed out again: people and answers are named by it."""


def connect(path: Path, *, busy_timeout_s: float = 30.0, writable: bool = True) -> Connection:
    """Open the file; a missing one is made readable to its owner only.

    Errors: sqlite3.OperationalError.
    """
    if writable and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    # One thread uses the connection at a time, but not the one that opens it.
    conn = sqlite3.connect(
        path,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
        # Those of `store/statements.py` come in several sizes each.
        cached_statements=512,
    )
    if writable:
        conn.execute("pragma journal_mode = wal")
        # 4 MB: the working set of the inbox; more only costs memory here.
        conn.execute("pragma cache_size = -4000")
        conn.execute("pragma journal_size_limit = 67108864")
        # What is deleted is overwritten: forgetting a member must not leave their words in
        # free pages. Not every build does this by itself. Measured: 3 µs per purged row.
        conn.execute("pragma secure_delete = on")
    else:
        conn.execute("pragma query_only = on")
        conn.execute("pragma cache_size = -2000")
    conn.execute("pragma foreign_keys = on")
    return conn


def wait_for_lock(conn: Connection, seconds: float) -> None:
    """How long a statement waits for another process before it fails as locked."""
    conn.execute(f"pragma busy_timeout = {int(seconds * 1000)}")


def sync_commits(conn: Connection, wanted: bool) -> None:
    """Whether the commits to come wait for the disk; between transactions only.

    Without, they survive a killed process but not a power cut. The log is written in
    order, so one synced commit carries all before it to the disk.
    """
    conn.execute(f"pragma synchronous = {'full' if wanted else 'normal'}")


class TooSlow(Exception):
    """A statement took longer than it was given."""


_LOOK_STEPS = 1_000_000
"""Of SQLite's machine between two looks at the clock: some 50 ms. Each look needs the
interpreter's lock, for which a busy event loop lets it wait up to 5."""


@contextmanager
def limit_time(conn: Connection, seconds: float) -> Iterator[None]:
    """All statements inside take so long at most, together; 0 for as long as it takes.

    Errors: TooSlow; the transaction goes on.
    """
    if not seconds:
        yield
        return
    ends = time.monotonic() + seconds
    conn.set_progress_handler(lambda: time.monotonic() > ends, _LOOK_STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise TooSlow(f"more than {seconds:g} s") from error
    finally:
        conn.set_progress_handler(None, 0)


def expect_much(conn: Connection) -> None:
    """A process that only writes, and a lot: more memory for that, and rarer folding of the log.

    Measured: a third less time for a million rows in random order of their keys.
    """
    conn.execute("pragma cache_size = -64000")
    conn.execute("pragma wal_autocheckpoint = 16000")


def trust(conn: Connection) -> None:
    """What is written names only rows that are there: it is not looked up."""
    conn.execute("pragma foreign_keys = off")


def begin(conn: Connection) -> None:
    """Start a writing transaction; waits for other processes up to the busy timeout."""
    conn.execute("begin immediate")


def begin_read(conn: Connection) -> None:
    """Start a reading transaction: all its statements see one moment."""
    conn.execute("begin deferred")


def is_locked(error: Exception) -> bool:
    """Whether another process held the database for longer than the busy timeout."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def foreign_changes(conn: Connection) -> int:
    """A number that moves when another connection has written."""
    return int(conn.execute("pragma data_version").fetchone()[0])


def applied_migrations(conn: Connection, name: str) -> set[str]:
    """Names of the migrations of this set that the file already has."""
    try:
        rows = conn.execute("select name from _sqlite_migrations where migration_set = ?", (name,))
    except sqlite3.OperationalError:
        return set()
    return {row[0] for row in rows}


def quick_check(conn: Connection) -> str:
    """ "ok", or the first fault found."""
    return str(conn.execute("pragma quick_check(1)").fetchone()[0])


def backup(source: Connection, target: Path) -> None:
    """Copy the whole database while others write, as one moment in time.

    The copy appears under its name only when it is complete.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_RDWR, 0o600))
    copy = sqlite3.connect(part)
    try:
        source.backup(copy)
        copy.execute("pragma journal_mode = delete")
    finally:
        copy.close()
    os.replace(part, target)


def optimise(conn: Connection) -> None:
    """Refresh the planner's statistics and fold the write-ahead log into the file."""
    conn.execute("pragma optimize")
    conn.execute("pragma wal_checkpoint(truncate)")


def fold_log(conn: Connection) -> bool:
    """Fold the write-ahead log into the file and empty it; False while a reader needs it."""
    return bool(conn.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0)


def pack(conn: Connection) -> None:
    """Write the file anew without free pages, in one file that needs no other beside it."""
    conn.execute("vacuum")
    conn.execute("pragma wal_checkpoint(truncate)")
    conn.execute("pragma journal_mode = delete")


def everything(
    conn: Connection, rows: int = 5000
) -> Iterator[tuple[str, list[str], list[tuple[Any, ...]]]]:
    """All there is, table by table in pages: (table, columns, rows); the first column is the
    row's own number. Also what the database keeps for itself."""
    names = [
        row[0]
        for row in conn.execute(
            "select name from sqlite_master where type = 'table' and sql is not null order by name"
        )
    ]
    for name in names:
        cursor = conn.execute(f'select rowid, * from "{name}"')
        columns = [column[0] for column in cursor.description]
        while page := cursor.fetchmany(rows):
            yield name, columns, page


def tables(conn: Connection) -> list[str]:
    """Names of all tables, the library's own left out."""
    rows = conn.execute(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite%' "
        "and name not like '\\_sqlite%' escape '\\' order by name"
    )
    return [row[0] for row in rows]
