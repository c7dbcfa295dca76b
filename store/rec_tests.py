"""Comparisons between rankers: one row each, at most one of each method at a time."""

from __future__ import annotations

from typing import NamedTuple

from store.db import Database
from store.dialect import Connection


class RecTest(NamedTuple):
    """A row of `rec_tests`. method: "split" (members) or "interleave" (places of a list).

    share: of the members, 0 to 1; salt: decides who is where. ended_at: None while it runs;
    verdict: JSON, "" for none yet.
    """

    id: int
    a: str
    b: str
    method: str
    share: float
    salt: str
    started_at: float
    started_by: str
    ended_at: float | None
    verdict: str


_SELECT = f"select {', '.join(RecTest._fields)} from rec_tests"


def _one(conn: Connection, test_id: int) -> RecTest | None:
    row = conn.execute(f"{_SELECT} where id = ?", (test_id,)).fetchone()
    return None if row is None else RecTest._make(row)


class RecTests:
    """The table `rec_tests`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(
        self, a: str, b: str, method: str, share: float, by: str, now: float, salt: str
    ) -> RecTest | None:
        """Compare two rankers from now on; None when another one of this method is open.

        salt: never used before; the same one again gives the test that it belongs to.
        """

        def run(conn: Connection) -> RecTest | None:
            conn.execute(
                "insert into rec_tests (a, b, method, share, salt, started_at, started_by) "
                "values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
                (a, b, method, share, salt, now, by),
            )
            row = conn.execute(f"{_SELECT} where salt = ?", (salt,)).fetchone()
            return None if row is None else RecTest._make(row)

        return await self._db.write(run)

    async def end(self, test_id: int, now: float, verdict: str = "") -> RecTest | None:
        """It runs no longer; None when it did not run."""

        def run(conn: Connection) -> RecTest | None:
            done = conn.execute(
                "update rec_tests set ended_at = ?, verdict = ? where id = ? and ended_at is null",
                (now, verdict, test_id),
            )
            return _one(conn, test_id) if done.rowcount else None

        return await self._db.write(run)

    async def judge(self, test_id: int, verdict: str) -> bool:
        """Write down what was found; also while it runs. False for no such test."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute(
                    "update rec_tests set verdict = ? where id = ?", (verdict, test_id)
                ).rowcount
                == 1
            )

        return await self._db.write(run)

    async def running(self) -> list[RecTest]:
        """The open ones, the oldest first."""

        def run(conn: Connection) -> list[RecTest]:
            rows = conn.execute(f"{_SELECT} where ended_at is null order by id")
            return [RecTest._make(row) for row in rows]

        return await self._db.read(run)

    async def get(self, test_id: int) -> RecTest | None:
        """A test by its number."""
        return await self._db.read(lambda conn: _one(conn, test_id))

    async def newest(self, limit: int = 20) -> list[RecTest]:
        """The newest first."""

        def run(conn: Connection) -> list[RecTest]:
            rows = conn.execute(f"{_SELECT} order by id desc limit ?", (limit,))
            return [RecTest._make(row) for row in rows]

        return await self._db.read(run)
