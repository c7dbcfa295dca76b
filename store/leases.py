"""Who may do something alone: a name, a holder, a time, and a number that only grows.

The time decides who may begin. It does not decide what is true: a process that was stopped for
a minute believes that it still holds the lease. So every claim asks for the number again in its
own transaction (`holds`), and what cannot be asked, a call that is on its way, is written down
before it leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from store.db import Database
from store.dialect import Connection

CAMPAIGNS = "campaigns"
"""The lease of who sends campaigns."""

_LONGEST_S = 3600.0
"""A lease that ends later than this was written by a clock that has been set back since."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A lease as its holder knows it. fence: grows each time it changes hands or has ended.

    before: when it had ended before it was taken, by the clock of who had it; 0.0 for who was
    the first, or has gone on.
    """

    name: str
    holder: str
    fence: int
    before: float = field(default=0.0, compare=False)


def take(conn: Connection, name: str, holder: str, now: float, ttl: float) -> Hold | None:
    """Take a lease that is free, has ended or is the holder's own; None when another has it.

    The own one that has not ended keeps its number.
    """
    last = conn.execute("select until from leases where name = ?", (name,)).fetchone()
    row = conn.execute(
        "insert into leases (name, holder, fence, until) values (?, ?, 1, ?) "
        "on conflict (name) do update set "
        "fence = leases.fence + case when leases.holder = ? and leases.until > ? then 0 else 1 end,"
        " holder = excluded.holder, until = excluded.until "
        "where leases.holder = ? or leases.until <= ? or leases.until > ? returning fence",
        (name, holder, now + ttl, holder, now, holder, now, now + _LONGEST_S),
    ).fetchone()
    if row is None:
        return None
    before = last[0] if last is not None and last[0] <= now else 0.0
    return Hold(name, holder, row[0], before)


def renew(conn: Connection, hold: Hold, now: float, ttl: float) -> bool:
    """Keep it for `ttl` seconds from now; False when it has ended or is another's."""
    kept = conn.execute(
        "update leases set until = ? where name = ? and holder = ? and fence = ? and until > ?",
        (now + ttl, hold.name, hold.holder, hold.fence, now),
    )
    return kept.rowcount > 0


def release(conn: Connection, hold: Hold, now: float) -> None:
    """Give it back at once; harmless when it is another's already."""
    conn.execute(
        "update leases set until = ? where name = ? and holder = ? and fence = ? and until > ?",
        (now, hold.name, hold.holder, hold.fence, now),
    )


def holds(conn: Connection, hold: Hold, now: float) -> bool:
    """Whether it is still theirs; asked inside the transaction that depends on it."""
    row = conn.execute(
        "select 1 from leases where name = ? and holder = ? and fence = ? and until > ?",
        (hold.name, hold.holder, hold.fence, now),
    ).fetchone()
    return row is not None


class Leases:
    """The table `leases`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, name: str, holder: str, now: float, ttl: float) -> Hold | None:
        """`take` in a transaction of its own."""
        return await self._db.write(lambda conn: take(conn, name, holder, now, ttl))

    async def renew(self, hold: Hold, now: float, ttl: float) -> bool:
        """`renew` in a transaction of its own."""
        return await self._db.write(lambda conn: renew(conn, hold, now, ttl))

    async def release(self, hold: Hold, now: float) -> None:
        """`release` in a transaction of its own."""
        await self._db.write(lambda conn: release(conn, hold, now))
