"""When members are there: the hour of the day in which they write.

It is counted from what they wrote to us, in Shanghai's hours. A member who wrote little has no
hour of their own, for a guess would be worse than the audience's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from store.db import Database
from store.dialect import Connection
from store.reach import many

DAYS = 90
"""What is older says nothing about now."""

LEAST = 5
"""Messages of a member below which there is no hour of their own."""

_DAY_S = 86_400.0
# What a member did, not what WeChat tells by itself; the hour in Shanghai, UTC+8.
_COUNTS = (
    "select member_id, ((cast(at as bigint) + 28800) / 3600) % 24, count(*) from interactions "
    "where member_id in ({rows}) and at >= ? and at < ? and kind not like 'event%' group by 1, 2"
)


def hour_of(counts: Sequence[int]) -> int | None:
    """The hour, 0 to 23, with most around it; the earliest of equals. None when all are 0.

    counts: messages by hour, shape [24]. Its neighbours count half: who writes at 19:50, 20:10
    and 20:05 is there at eight.
    """
    if not any(counts):
        return None
    around = [2 * counts[hour] + counts[hour - 1] + counts[(hour + 1) % 24] for hour in range(24)]
    return max(range(24), key=lambda hour: (around[hour], counts[hour], -hour))


def counts_of(
    conn: Connection, members: Collection[int], now: float, days: int = DAYS
) -> dict[int, list[int]]:
    """Messages by hour, shape [24], of each of these members who wrote; {} when none did."""
    found: dict[int, list[int]] = {}
    for member_id, hour, count in many(conn, _COUNTS, members, now - days * _DAY_S, now):
        found.setdefault(member_id, [0] * 24)[hour] = count
    return found


def best_hours(
    conn: Connection, members: Collection[int], now: float, *, days: int = DAYS, least: int = LEAST
) -> dict[int, int]:
    """The hour, 0 to 23, of each of these members who has one of their own; {} for none."""
    hours = {
        member_id: hour_of(counts)
        for member_id, counts in counts_of(conn, members, now, days).items()
        if sum(counts) >= least
    }
    return {member_id: hour for member_id, hour in hours.items() if hour is not None}


def audience_hour(
    conn: Connection, members: Collection[int], now: float, *, days: int = DAYS
) -> int | None:
    """The hour of these members together: for those among them without their own. None for none.

    Each member counts as one, however much they write. A few thousand of a large audience will do.
    """
    together = [0] * 24
    for counts in counts_of(conn, members, now, days).values():
        hour = hour_of(counts)
        if hour is not None:
            together[hour] += 1
    return hour_of(together)


class Activity:
    """The same, for whoever has no connection at hand."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def best_hours(self, members: Collection[int], now: float) -> dict[int, int]:
        """See `best_hours`."""
        return await self._db.read(lambda conn: best_hours(conn, members, now))

    async def audience_hour(self, members: Collection[int], now: float) -> int | None:
        """See `audience_hour`."""
        return await self._db.read(lambda conn: audience_hour(conn, members, now))
