"""What is left of WeChat's mass sends, so that nobody is promised one that WeChat would drop.

A follower of a service account gets four in a month, a subscription account may send once a
day; a send to all counts once a day and four times a month. We count ours when they are
claimed. Sends that the account made elsewhere (WeChat's website) are known by their finish
events only, and not whom they went to: everybody may have got them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.db import Database
from store.dialect import Connection
from store.points import shanghai_day
from store.statements import rows_of

MONTHLY = 4
"""Mass sends that a follower of a service account gets in a month."""

DAILY = 1
"""Mass sends of a subscription account a day; and those to all followers, of either kind."""

Counts = Sequence[int | None]
"""WeChat's four counts: total, after its filters, sent, errors; None where it named none."""

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Left:
    """What an account may still do on a day. mass: its mass sends, None for no limit of days.

    to_all: sends to all followers. calls: those already made that day, by API.
    """

    mass: int | None
    to_all: int
    calls: Mapping[str, int]


def day_of(at: float) -> str:
    """The day in Shanghai: "2026-11-21"."""
    return shanghai_day(at)


def month_of(at: float) -> str:
    """The month in Shanghai: "2026-11"."""
    return shanghai_day(at)[:7]


# What each member got


def take(
    conn: Connection,
    channel: str,
    month: str,
    member_ids: Collection[int],
    *,
    limit: int = MONTHLY,
) -> set[int]:
    """Count one mass send for each member who has one left this month; says for whom.

    Each is named once. In the transaction that claims the deliveries, so that what is not sent
    is not counted either.
    """
    room = limit - elsewhere(conn, channel, month)
    if room <= 0:
        return set()
    taken: set[int] = set()
    for piece in _pieces(list(member_ids)):
        rows = ", ".join(["(?, ?, ?, 1)"] * len(piece))
        args: list[Any] = []
        for member_id in piece:
            args += (channel, month, member_id)
        taken.update(
            row[0]
            for row in conn.execute(
                f"insert into mass_received (channel, month, member_id, count) values {rows} "
                "on conflict (channel, month, member_id) do update "
                "set count = mass_received.count + 1 where mass_received.count < ? "
                "returning member_id",
                (*args, room),
            )
        )
    return taken


def give_back(conn: Connection, channel: str, month: str, member_ids: Collection[int]) -> None:
    """Uncount one for each: WeChat refused the send."""
    for piece in _pieces(list(member_ids)):
        marks = ", ".join("?" * len(piece))
        conn.execute(
            "update mass_received set count = count - 1 "
            f"where channel = ? and month = ? and member_id in ({marks}) and count > 0",
            (channel, month, *piece),
        )
        conn.execute(
            "delete from mass_received "
            f"where channel = ? and month = ? and member_id in ({marks}) and count = 0",
            (channel, month, *piece),
        )


def _pieces(member_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """In pieces of a few sizes, as `store.statements`, but nobody twice: these add up."""
    at, size = 0, 256
    while at < len(member_ids):
        while size > len(member_ids) - at:
            size //= 2
        yield member_ids[at : at + size]
        at += size


def received(conn: Connection, channel: str, month: str, member_id: int) -> int:
    """How many a member may have got this month: of us, and from elsewhere."""
    row = conn.execute(
        "select count from mass_received where channel = ? and month = ? and member_id = ?",
        (channel, month, member_id),
    ).fetchone()
    return (0 if row is None else int(row[0])) + elsewhere(conn, channel, month)


# What the account sent


def elsewhere(conn: Connection, channel: str, month: str) -> int:
    """Mass sends of a month that were not ours; everybody may have got them."""
    return int(
        conn.execute(
            "select count(*) from mass_sends where channel = ? and month = ? and ours = 0",
            (channel, month),
        ).fetchone()[0]
    )


def note_send(
    conn: Connection, channel: str, msg_id: str, at: float, *, to_all: bool = False
) -> None:
    """WeChat accepted one of ours. One that was taken for a stranger's is ours from now on:
    its finish event came before its answer, or its answer was lost."""
    day = shanghai_day(at)
    conn.execute(
        "insert into mass_sends (channel, msg_id, at, day, month, ours, to_all) "
        "values (?, ?, ?, ?, ?, 1, ?) on conflict (channel, msg_id) do update "
        "set ours = 1, to_all = excluded.to_all",
        (channel, msg_id, at, day, day[:7], int(to_all)),
    )


def note_finished(conn: Connection, channel: str, msg_id: str, counts: Counts, result: str) -> bool:
    """WeChat's last word on a send that is known; False when it is not."""
    done = conn.execute(
        "update mass_sends set total_count = ?, filter_count = ?, sent_count = ?, "
        "error_count = ?, result = ? where channel = ? and msg_id = ?",
        (*_four(counts), result, channel, msg_id),
    )
    return bool(done.rowcount)


def note_elsewhere(
    conn: Connection, channel: str, msg_id: str, counts: Counts, result: str, now: float
) -> bool:
    """A send that nobody here made has finished; whether that is news.

    One that reached nobody used nothing up and is not written down. The same event again, or
    one of a send of ours, only brings the counts.
    """
    if note_finished(conn, channel, msg_id, counts, result) or _reached_nobody(counts, result):
        return False
    day = shanghai_day(now)
    conn.execute(
        "insert into mass_sends (channel, msg_id, at, day, month, ours, to_all, "
        "total_count, filter_count, sent_count, error_count, result) "
        "values (?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?)",
        (channel, msg_id, now, day, day[:7], *_four(counts), result),
    )
    return True


def _four(counts: Counts) -> tuple[int | None, int | None, int | None, int | None]:
    total, filtered, sent, errors = counts
    return total, filtered, sent, errors


def _reached_nobody(counts: Counts, result: str) -> bool:
    """A count of 0, or none and no "send success" (also without the blank): "err(20004)"."""
    if counts[2]:
        return False
    return counts[2] == 0 or "success" not in result.casefold()


_UNHEARD = (
    "select count(*) from parts as p join campaigns as c on c.id = p.campaign_id "
    "where c.channel = ? and p.status in ('sending', 'unknown') and p.msg_id = '' "
    "and p.left_at >= ? and p.left_at < ?"
)


def day_used(conn: Connection, channel: str, day: str) -> int:
    """Mass sends of the account on a day, with ours that left and have no answer yet."""
    known = conn.execute(
        "select count(*) from mass_sends where channel = ? and day = ?", (channel, day)
    ).fetchone()[0]
    start = _start(day)
    unheard = conn.execute(_UNHEARD, (channel, start, start + _DAY_S)).fetchone()[0]
    return int(known) + int(unheard)


def all_used(conn: Connection, channel: str, day: str) -> tuple[int, int]:
    """Sends to all followers: on that day, in its month; a stranger's counts as one."""
    today, month = conn.execute(
        "select coalesce(sum(case when day = ? then 1 else 0 end), 0), count(*) "
        "from mass_sends where channel = ? and month = ? and (to_all = 1 or ours = 0)",
        (day, channel, day[:7]),
    ).fetchone()
    start = _start(day)
    unheard = conn.execute(
        _UNHEARD + " and p.route = 'mass_all'", (channel, start, start + _DAY_S)
    ).fetchone()[0]
    return int(today) + int(unheard), int(month) + int(unheard)


def calls(conn: Connection, channel: str, day: str) -> dict[str, int]:
    """Calls of WeChat's API on a day, by name; none that was not made."""
    return dict(
        conn.execute("select name, used from quota where channel = ? and day = ?", (channel, day))
    )


def left(conn: Connection, channel: str, at: float, *, service: bool) -> Left:
    """What an account may still do on the day of `at`. service: False for a subscription one."""
    day = shanghai_day(at)
    today, month = all_used(conn, channel, day)
    to_all = max(0, min(DAILY - today, MONTHLY - month))
    mass = None if service else max(0, DAILY - day_used(conn, channel, day))
    return Left(mass, to_all, calls(conn, channel, day))


def _start(day: str) -> float:
    """When a day begins in Shanghai, Unix seconds."""
    return datetime.fromisoformat(f"{day}T00:00:00+08:00").timestamp()


class MassQuota:
    """The tables `mass_received` and `mass_sends`, for who asks from outside a transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def left(self, channel: str, at: float, *, service: bool) -> Left:
        """What an account may still do on the day of `at`."""
        return await self._db.read(lambda conn: left(conn, channel, at, service=service))

    async def received(self, channel: str, at: float, member_id: int) -> int:
        """How many a member may have got in the month of `at`."""
        month = month_of(at)
        return await self._db.read(lambda conn: received(conn, channel, month, member_id))

    async def note_elsewhere(
        self, channel: str, msg_id: str, counts: Counts, result: str, now: float
    ) -> bool:
        """A send that nobody here made has finished; whether that is news."""
        return await self._db.write(
            lambda conn: note_elsewhere(conn, channel, msg_id, counts, result, now)
        )


# What `store/personal.py` asks of every room


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """How many mass sends they got, by account and month."""
    sql = (
        "select channel, month, count from mass_received where member_id = ? "
        "order by channel, month"
    )
    return {"mass_received": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """It goes with them."""
    gone = conn.execute("delete from mass_received where member_id = ?", (member_id,))
    return {"mass_received": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Both counts add up: rather one too few than one that WeChat drops."""
    conn.execute(
        "insert into mass_received (channel, month, member_id, count) "
        "select channel, month, ?, count from mass_received where member_id = ? "
        "on conflict (channel, month, member_id) do update "
        "set count = mass_received.count + excluded.count",
        (keep, drop),
    )
    conn.execute("delete from mass_received where member_id = ?", (drop,))
