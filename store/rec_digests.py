"""The weekly personal letter: planned before it is sent, so that nobody gets two in a week.

A row is the lock: who planned it sends it. What a crash left planned is looked at again, and the
list in it has a key of its own, so that the same letter shows the same items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from store import statements
from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

Status = Literal["planned", "sent", "unreachable", "empty"]

_SLICE = 2000


class RecDigests:
    """The table `rec_digests`. week: ISO, "2026-W47". Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def plan(self, member_id: int, week: str, now: float) -> bool:
        """Whether this week's letter is now to be sent; False when it was planned before."""
        return await self.plan_many([member_id], week, now) == [member_id]

    async def plan_many(self, member_ids: Sequence[int], week: str, now: float) -> list[int]:
        """Those of them whose letter was not planned yet, and is now; who is gone is left out."""

        def run(conn: Connection) -> list[int]:
            planned = []
            for member_id in member_ids:
                done = conn.execute(
                    "insert into rec_digests (member_id, week, at, status) "
                    "select id, ?, ?, 'planned' from members where id = ? "
                    "on conflict (member_id, week) do nothing",
                    (week, now, member_id),
                )
                if done.rowcount:
                    planned.append(member_id)
            return planned

        return await self._db.write(run)

    async def settle(
        self, member_id: int, week: str, status: Status, list_id: int | None = None
    ) -> bool:
        """What became of a planned letter; False when nothing was planned."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute(
                    "update rec_digests set status = ?, list_id = ? "
                    "where member_id = ? and week = ? and status = 'planned'",
                    (status, list_id, member_id, week),
                ).rowcount
                == 1
            )

        return await self._db.write(run)

    async def open(self, week: str) -> list[int]:
        """Whose letter of this week was planned and has not ended, by number."""

        def run(conn: Connection) -> list[int]:
            rows = conn.execute(
                "select member_id from rec_digests where week = ? and status = 'planned' "
                "order by member_id",
                (week,),
            )
            return [row[0] for row in rows]

        return await self._db.read(run)

    async def had(self, member_ids: Sequence[int], week: str) -> set[int]:
        """Those of them who have a row for this week, whatever became of it."""

        def run(conn: Connection) -> set[int]:
            found = statements.ask(
                conn,
                "select member_id, week from rec_digests where member_id in ({rows})",
                member_ids,
            )
            return {member_id for member_id, its in found if its == week}

        return await self._db.read(run)

    async def counts(self, week: str) -> dict[str, int]:
        """How many letters of a week ended how: status -> letters."""

        def run(conn: Connection) -> dict[str, int]:
            return dict(
                conn.execute(
                    "select status, count(*) from rec_digests where week = ? group by status",
                    (week,),
                ).fetchall()
            )

        return await self._db.read(run)

    async def remove(self, before: float) -> int:
        """Remove what was planned before; says how many."""
        done = 0
        while True:
            rows = await self._db.write(
                lambda conn: (
                    conn.execute(
                        "delete from rec_digests where (member_id, week) in "
                        "(select member_id, week from rec_digests where at < ? limit ?)",
                        (before, _SLICE),
                    ).rowcount
                )
            )
            done += rows
            if rows < _SLICE:
                return done


# For `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """Their letters."""
    return {
        "rec_digests": rows_of(
            conn,
            "select week, at, status, list_id from rec_digests where member_id = ? order by week",
            member_id,
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """They go with them."""
    gone = conn.execute("delete from rec_digests where member_id = ?", (member_id,))
    return {"rec_digests": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """One letter a week is enough for one person."""
    conn.execute(
        "insert into rec_digests (member_id, week, at, status, list_id) "
        "select ?, week, at, status, list_id from rec_digests where member_id = ? "
        "on conflict (member_id, week) do nothing",
        (keep, drop),
    )
    conn.execute("delete from rec_digests where member_id = ?", (drop,))
