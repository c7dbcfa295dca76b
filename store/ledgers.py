"""Small books that several rooms keep: who did what, what is used up, tokens, settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from store import chain
from store.db import Database, Many
from store.dialect import Connection


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing an operator did. actor: "member:3" or "cli"."""

    at: float
    actor: str
    action: str
    target: str
    detail: str


@dataclass(frozen=True, slots=True)
class Deed:
    """A line of the audit that is written together with what it tells of, or not at all.

    For changes that may be asked for again: a process that dies between two transactions
    would leave a change that nobody answers for. A store that takes one writes it only when
    it has changed something. actor, action: as in `AuditRow`.
    """

    at: float
    actor: str
    action: str

    def write(self, conn: Connection, target: str, detail: str = "") -> None:
        """Write it, inside the transaction of the change."""
        chain.append(conn, self.at, self.actor, self.action, target, detail)


class Audit:
    """The table `audit`: every use of an operator's power."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(
        self, now: float, actor: str, action: str, target: str = "", detail: str = ""
    ) -> None:
        """Write a row; nothing ever changes or removes one."""

        deed = Deed(now, actor, action)
        await self._db.write(lambda conn: deed.write(conn, target, detail))

    async def newest(self, limit: int = 20) -> list[AuditRow]:
        """The newest rows first."""

        def run(conn: Connection) -> list[AuditRow]:
            rows = conn.execute(
                "select at, actor, action, target, detail from audit order by id desc limit ?",
                (limit,),
            )
            return [AuditRow(*row) for row in rows]

        return await self._db.read(run)

    async def verify(self, head: str = "") -> chain.Verdict:
        """Whether the rows are as they were written; see `store.chain`."""
        return await self._db.read(lambda conn: chain.verify(conn, head))


class Quota:
    """The table `quota`: calls made of each API on each day (Asia/Shanghai)."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # Not worth a sync to the disk: a power cut may take the last counts, and WeChat counts
        # for itself. A campaign makes thousands of calls a minute.
        self._counts = Many(_counted, sync=False)

    async def count(self, channel: str, name: str, day: str) -> int:
        """Count one call; says how many it makes today. Many at once cost one write."""
        return await self._db.write_many(self._counts, (channel, name, day))

    async def used(self, channel: str, name: str, day: str) -> int:
        """How many calls were made; 0 when none."""

        def run(conn: Connection) -> int:
            row = conn.execute(
                "select used from quota where channel = ? and name = ? and day = ?",
                (channel, name, day),
            ).fetchone()
            return 0 if row is None else int(row[0])

        return await self._db.read(run)


def _counted(conn: Connection, calls: Sequence[tuple[str, str, str]]) -> list[int]:
    """Count these calls; of each, how many it made on its day."""
    used = {
        call: conn.execute(
            "insert into quota (channel, name, day, used) values (?, ?, ?, ?) "
            "on conflict (channel, name, day) do update set used = quota.used + excluded.used "
            "returning used",
            (*call, count),
        ).fetchone()[0]
        - count
        for call, count in Counter(calls).items()
    }
    totals = []
    for call in calls:
        used[call] += 1
        totals.append(used[call])
    return totals


class Tokens:
    """The table `tokens`: the access token of each channel, shared by all processes."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, channel: str) -> tuple[str, float] | None:
        """(token, expires at in Unix seconds); None when there is none."""

        def run(conn: Connection) -> tuple[str, float] | None:
            row: tuple[str, float] | None = conn.execute(
                "select token, expires_at from tokens where channel = ?", (channel,)
            ).fetchone()
            return row

        return await self._db.read(run)

    async def put(self, channel: str, token: str, expires_at: float) -> None:
        """Store a new token."""

        def run(conn: Connection) -> None:
            conn.execute(
                "insert into tokens (channel, token, expires_at) values (?, ?, ?) "
                "on conflict (channel) do update set token = excluded.token, "
                "expires_at = excluded.expires_at",
                (channel, token, expires_at),
            )

        await self._db.write(run)

    async def drop(self, channel: str, failed: str) -> None:
        """WeChat refused this token: forget it, unless a newer one is there already."""

        def run(conn: Connection) -> None:
            conn.execute("delete from tokens where channel = ? and token = ?", (channel, failed))

        await self._db.write(run)


class Meta:
    """The table `meta`: single values."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, name: str) -> str | None:
        """The value; None when there is none."""

        def run(conn: Connection) -> str | None:
            row = conn.execute("select value from meta where name = ?", (name,)).fetchone()
            return None if row is None else str(row[0])

        return await self._db.read(run)

    async def put(self, name: str, value: str) -> None:
        """Store a value."""

        def run(conn: Connection) -> None:
            conn.execute(
                "insert into meta (name, value) values (?, ?) "
                "on conflict (name) do update set value = excluded.value",
                (name, value),
            )

        await self._db.write(run)
