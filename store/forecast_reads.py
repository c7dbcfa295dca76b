"""What forecasts are made of: what was sent when, what was clicked, what groups are called.

For jobs in a process of their own; see `store/insight_reads.py`. Columns of equal length, empty
ones for nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.dialect import Connection

MOST_SENDS = 500_000
"""The newest so many messages are looked at: more say no more of 24 hours."""


class Touched(NamedTuple):
    """Members and moments, Unix seconds, by no order."""

    member: NDArray[np.int64]
    at: NDArray[np.float64]


def delivered(conn: Connection, since: float, until: float) -> Touched:
    """What campaigns sent to members and WeChat took."""
    return _touched(
        conn.execute(
            "select member_id, claimed_at from deliveries where claimed_at >= ? "
            "and claimed_at < ? and status in ('accepted', 'delivered') "
            "and member_id is not null order by claimed_at desc limit ?",
            (since, until, MOST_SENDS),
        ).fetchall()
    )


def clicked(conn: Connection, since: float, until: float) -> Touched:
    """Taps of members on links."""
    return _touched(
        conn.execute(
            "select member_id, at from events where kind = 'click' and at >= ? and at < ? "
            "and member_id is not null",
            (since, until),
        ).fetchall()
    )


def _touched(rows: list[tuple[int, float]]) -> Touched:
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 2)
    return Touched(table[:, 0].astype(np.int64), table[:, 1])


def posted(conn: Connection, since: float, until: float) -> dict[str, list[float]]:
    """place -> when something was posted there that nobody had asked for; oldest first."""
    found: dict[str, list[float]] = {}
    rows = conn.execute(
        "select place, settled_at from posts where status = 'sent' and settled_at >= ? "
        "and settled_at < ? and place <> '' and member_id is null order by settled_at",
        (since, until),
    )
    for place, at in rows:
        found.setdefault(place, []).append(float(at))
    return found


def titles(conn: Connection) -> dict[str, str]:
    """place -> what people call that group, as `store.groups.Group.title`."""
    rows = conn.execute("select place, coalesce(alias, ''), name, id from groups")
    return {place: alias or name or f"#{number}" for place, alias, name, number in rows}


def members(conn: Connection) -> dict[str, int]:
    """place -> how many are in it."""
    rows = conn.execute(
        "select place, count(*) from group_members where left_at is null group by place"
    )
    return {place: int(count) for place, count in rows}


def finding(conn: Connection, name: str) -> str | None:
    """The newest result of a job, JSON; None when it has not run."""
    row = conn.execute("select data from findings where name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])
