"""What still has to reach a member: late answers and their parts, and reminders.

planned -> sending -> sent | refused | unknown, or waiting -> fetched when the channel
may not push. `sending` is committed before the call leaves, so a crash leaves `unknown`
behind, which is listed for an operator and never sent again by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from store.db import Database
from store.dialect import Connection

PLANNED = "planned"
SENDING = "sending"
SENT = "sent"
REFUSED = "refused"
UNKNOWN = "unknown"
WAITING = "waiting"
FETCHED = "fetched"


KEPT = 2
"""Of the calls that a channel may have under way, so many are for what is told in private."""

_FIRST = (
    "and not exists (select 1 from sends as e where e.channel = s.channel "
    "and e.external_id = s.external_id and e.id < s.id "
    "and e.status in ('planned', 'sending')) "
)

_LAST_WORD = (
    "exists (select 1 from messages as m where m.key = sends.message_key and m.sender = '')"
)
"""A condition on `sends`: it answers who wished to be forgotten; `store/members.py` took the
sender off that message."""


def _others(full: Iterable[str], full_groups: Iterable[str]) -> tuple[str, list[str]]:
    """A condition that leaves these channels out, and the groups of those; and its values."""
    channels, groups = sorted(full), sorted(full_groups)
    sql = ""
    if channels:
        sql = f"and s.channel not in ({', '.join('?' * len(channels))}) "
    if groups:
        sql += f"and (s.place = '' or s.channel not in ({', '.join('?' * len(groups))})) "
    return sql, [*channels, *groups]


@dataclass(frozen=True, slots=True)
class Send:
    """One part of one answer on its way. reply: JSON of the Reply; tries: calls so far.

    place: the group it goes to, "" for the member alone; quote: the message it quotes there.
    """

    id: int
    message_key: bytes
    channel: str
    external_id: str
    reply: str
    created_at: float
    tries: int
    place: str = ""
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A send that an operator should know of."""

    id: int
    message_key: bytes
    channel: str
    status: str
    created_at: float
    errcode: int | None
    note: str


class Sends:
    """The table `sends`, and the customer-service allowance that pays for it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def plan(
        self,
        key: bytes,
        member_id: int,
        reply: str,
        now: float,
        channels: Collection[str],
        unless: Collection[bytes] = (),
        free: Collection[str] = (),
    ) -> bool:
        """Plan one push that no message of the member asked for; False when it may not be.

        key: 16 bytes that name this push; the same key is planned once. channels: those that
        may push. free: channels where anybody may be written to at any time. unless: keys of
        pushes that make this one too much. On the others the member must follow
        on such a channel, have more than one message of the allowance left (the last one is
        for an answer), and nothing on its way. reply: JSON of the Reply.
        """

        def run(conn: Connection) -> bool:
            for other in (key, *unless):
                if conn.execute("select 1 from sends where message_key = ?", (other,)).fetchone():
                    return False
            open_ones = conn.execute(
                "select channel, external_id from identities as i where member_id = ? "
                "and followed = 1 and allowance > 1 and allowance_until > ? and not exists "
                "(select 1 from sends as s where s.channel = i.channel and s.external_id = "
                "i.external_id and s.status in ('planned', 'sending')) "
                "order by allowance_until desc",
                (member_id, now),
            ).fetchall()
            who = next((row for row in open_ones if row[0] in channels), None)
            if who is None and free:
                theirs = conn.execute(
                    "select channel, external_id from identities where member_id = ? "
                    "order by last_seen_at desc",
                    (member_id,),
                )
                who = next((row for row in theirs if row[0] in free), None)
            if who is None:
                return False
            conn.execute(
                "insert into sends (message_key, part, channel, external_id, reply, status, "
                "created_at, due_at) values (?, 0, ?, ?, ?, 'planned', ?, ?)",
                (key, *who, reply, now, now),
            )
            return True

        return await self._db.write(run)

    async def claim(
        self,
        now: float,
        limit: int = 50,
        free: Collection[str] = (),
        busy: Mapping[str, int] = MappingProxyType({}),
        in_groups: Mapping[str, int] = MappingProxyType({}),
    ) -> list[Send]:
        """Take what is due, in each member's order, paying one allowance each; private ones first.

        An answer with no allowance left becomes `waiting`, all its parts: the member
        fetches it with 继续. free: channels where nothing has to be paid. busy: how many of a
        channel are under way; with these, no channel gets more than `limit`. in_groups: how many
        of them go into groups; with these, `KEPT` fewer.
        """
        most_in_groups = max(1, limit - KEPT)

        def run(conn: Connection) -> list[Send]:
            under_way, placed = Counter(busy), Counter(in_groups)
            others, full = _others(
                (channel for channel in busy if busy[channel] >= limit),
                (channel for channel in placed if placed[channel] >= most_in_groups),
            )
            rows = conn.execute(
                "select id, message_key, channel, external_id, reply, created_at, tries, place, "
                "quote from sends as s where status = 'planned' and due_at <= ? "
                + others
                + _FIRST
                + "order by case when s.place = '' then 0 else 1 end, id limit ?",
                (now, *full, limit),
            ).fetchall()
            claimed = []
            for row in rows:
                send = Send(*row)
                if under_way[send.channel] >= limit:
                    continue
                if send.place and placed[send.channel] >= most_in_groups:
                    continue
                under_way[send.channel] += 1
                placed[send.channel] += bool(send.place)
                paid = (None, None) if send.channel in free else self._pay(conn, send, now)
                if paid is not None:
                    conn.execute(
                        "update sends set status = 'sending', tries = tries + 1, "
                        "paid_allowance = ?, paid_burst = ? where id = ?",
                        (*paid, send.id),
                    )
                    claimed.append(send)
                else:
                    conn.execute(
                        "update sends set status = 'waiting', note = 'no allowance' "
                        "where message_key = ? and status = 'planned'",
                        (send.message_key,),
                    )
            return claimed

        return await self._db.write(run)

    @staticmethod
    def _pay(conn: Connection, send: Send, now: float) -> tuple[float | None, float | None] | None:
        """The windows that paid, each by its end; None when none had anything left."""
        who = (send.channel, send.external_id)
        row = conn.execute(
            "select case when allowance > 0 and allowance_until > ? then allowance_until end, "
            "case when burst > 0 and burst_until > ? then burst_until end "
            "from identities where channel = ? and external_id = ?",
            (now, now, *who),
        ).fetchone()
        if row is None or row == (None, None):
            return None
        # Both windows are charged: WeChat keeps the larger one, so this never overspends.
        conn.execute(
            "update identities set allowance = allowance - ?, burst = burst - ? "
            "where channel = ? and external_id = ?",
            (int(row[0] is not None), int(row[1] is not None), *who),
        )
        return row[0], row[1]

    async def settle(
        self, send_id: int, status: str, now: float, *, errcode: int | None = None, note: str = ""
    ) -> None:
        """Write how it ended: sent, refused, unknown or waiting. The text goes with success.

        Who was forgotten got their last word, or never will: nothing is left of it.
        """

        def run(conn: Connection) -> None:
            conn.execute(
                "update sends set status = ?, errcode = ?, note = ?, settled_at = ?, "
                "reply = case when ? = 'sent' then '' else reply end "
                "where id = ? and status = 'sending'",
                (status, errcode, note, now, status, send_id),
            )
            conn.execute(f"delete from sends where id = ? and {_LAST_WORD}", (send_id,))

        await self._db.write(run)

    async def put_off(self, send_id: int, due_at: float, *, errcode: int | None, note: str) -> None:
        """It certainly did not go out: try again at `due_at`, the allowance given back."""

        def run(conn: Connection) -> None:
            row = conn.execute(
                "update sends set status = 'planned', due_at = ?, errcode = ?, note = ? "
                "where id = ? and status = 'sending' "
                "returning paid_allowance, paid_burst, channel, external_id",
                (due_at, errcode, note, send_id),
            ).fetchone()
            if row is not None:
                # Only to the window that paid: a newer one is full already.
                conn.execute(
                    "update identities set "
                    "allowance = allowance + case when allowance_until = ? then 1 else 0 end, "
                    "burst = burst + case when burst_until = ? then 1 else 0 end "
                    "where channel = ? and external_id = ?",
                    row,
                )

        await self._db.write(run)

    async def owed(self, channel: str, external_id: str) -> bool:
        """Whether this member has parts that are planned or under way."""

        def run(conn: Connection) -> bool:
            row = conn.execute(
                "select 1 from sends where channel = ? and external_id = ? "
                "and status in ('planned', 'sending') limit 1",
                (channel, external_id),
            ).fetchone()
            return row is not None

        return await self._db.read(run)

    async def next_due(
        self, full: Collection[str] = (), full_groups: Collection[str] = ()
    ) -> float | None:
        """When `claim` will find something, Unix seconds; None when nothing is planned.

        A part behind another of the same member does not count: it waits for that one. full:
        channels that do not count either; full_groups: those whose groups do not.
        """

        def run(conn: Connection) -> float | None:
            others, channels = _others(full, full_groups)
            value = conn.execute(
                "select min(due_at) from sends as s where status = 'planned' " + others + _FIRST,
                channels,
            ).fetchone()[0]
            return None if value is None else float(value)

        return await self._db.read(run)

    async def fetch(
        self, channel: str, external_id: str, by: bytes, now: float
    ) -> tuple[str, int] | None:
        """The oldest waiting part for this member, and how many remain; None when none.

        by: key of the message that asks; the same key always gets the same part.
        """

        def run(conn: Connection) -> tuple[str, int] | None:
            row = conn.execute("select reply from sends where fetched_by = ?", (by,)).fetchone()
            if row is None:
                row = conn.execute(
                    "update sends set status = 'fetched', fetched_by = ?, settled_at = ? "
                    "where id = (select s.id from sends as s where s.status = 'waiting' "
                    "and s.channel = ? and s.external_id = ? order by (select min(f.id) "
                    "from sends as f where f.message_key = s.message_key), s.part limit 1) "
                    "returning reply",
                    (by, now, channel, external_id),
                ).fetchone()
            if row is None:
                return None
            left = conn.execute(
                "select count(*) from sends where status = 'waiting' "
                "and channel = ? and external_id = ?",
                (channel, external_id),
            ).fetchone()[0]
            return row[0], left

        return await self._db.write(run)

    async def recover(self, now: float) -> int:
        """After a crash: calls that were under way have an unknown end; says how many."""

        def run(conn: Connection) -> int:
            lost = conn.execute(
                "update sends set status = 'unknown', settled_at = ?, "
                "note = 'the process ended during the call' where status = 'sending'",
                (now,),
            ).rowcount
            conn.execute(f"delete from sends where status = 'unknown' and {_LAST_WORD}")
            return lost

        return await self._db.write(run)

    async def listed(self, limit: int = 20) -> list[Listed]:
        """Sends that were refused or whose end is unknown, newest first."""

        def run(conn: Connection) -> list[Listed]:
            rows = conn.execute(
                "select id, message_key, channel, status, created_at, errcode, note from sends "
                "where status in ('refused', 'unknown') order by id desc limit ?",
                (limit,),
            )
            return [Listed(*row) for row in rows]

        return await self._db.read(run)

    async def counts(self) -> dict[str, int]:
        """Rows by status."""

        def run(conn: Connection) -> dict[str, int]:
            return dict(conn.execute("select status, count(*) from sends group by status"))

        return await self._db.read(run)

    async def purge(self, before: float) -> int:
        """Forget what was settled before `before`, and what nobody fetched since."""

        def run(conn: Connection) -> int:
            return conn.execute(
                "delete from sends where (status in ('sent', 'refused', 'unknown', 'fetched') "
                "and settled_at < ?) or (status = 'waiting' and created_at < ?)",
                (before, before),
            ).rowcount

        return await self._db.write(run)
