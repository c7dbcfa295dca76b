"""How fast each route may go: token buckets in the file, so that all processes share them.

A bucket fills by so many a minute and never holds more than its burst: in any minute at most
their sum goes out. A route that WeChat asked to leave alone is closed until a moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from store.db import Database
from store.dialect import Connection

_LONGEST_S = 86_400.0
"""A route closed for longer was closed by a clock that has been set back since."""

_ROUNDING = 1e-3
"""Of a token: moments are exact to a quarter of a microsecond, and a route may be fast."""


@dataclass(frozen=True, slots=True)
class Taken:
    """count: how many may go now. again_at: when the next one may, if that was not all."""

    count: int
    again_at: float


def take(
    conn: Connection, name: str, want: int, per_minute: float, burst: int, now: float
) -> Taken:
    """Take up to `want` tokens; fewer, or none, when the bucket has no more.

    name: route and account, as "custom:mp". A bucket that was never used is full. A clock that
    goes back fills nothing, one that jumps forward fills it once.
    """
    row = conn.execute("select tokens, at, closed_until from paces where name = ?", (name,))
    tokens, at, closed_until = row.fetchone() or (float(burst), now, 0.0)
    if now < closed_until <= now + _LONGEST_S:
        return Taken(0, closed_until)
    rate = per_minute / 60.0
    tokens = min(float(burst), tokens + max(0.0, now - at) * rate)
    count = min(want, int(tokens + _ROUNDING))
    conn.execute(
        "insert into paces (name, tokens, at) values (?, ?, ?) on conflict (name) do update "
        "set tokens = excluded.tokens, at = excluded.at",
        (name, tokens - count, now),
    )
    short = 1.0 - (tokens - count)
    return Taken(count, now + max(0.0, short) / rate)


def put_back(conn: Connection, name: str, count: int) -> None:
    """Give back what was taken and not used."""
    if count:
        conn.execute("update paces set tokens = tokens + ? where name = ?", (count, name))


def close(conn: Connection, name: str, until: float, now: float) -> None:
    """Nothing goes out by this route before `until`, or a later moment that is known."""
    conn.execute(
        "insert into paces (name, tokens, at, closed_until) values (?, 0, ?, ?) "
        "on conflict (name) do update set closed_until = "
        "case when paces.closed_until > excluded.closed_until and paces.closed_until <= ? "
        "then paces.closed_until else excluded.closed_until end",
        (name, now, until, now + _LONGEST_S),
    )


class Paces:
    """The table `paces`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, name: str, want: int, per_minute: float, burst: int, now: float) -> Taken:
        """`take` in a transaction of its own."""
        return await self._db.write(lambda conn: take(conn, name, want, per_minute, burst, now))

    async def close(self, name: str, until: float, now: float) -> None:
        """`close` in a transaction of its own."""
        await self._db.write(lambda conn: close(conn, name, until, now))
