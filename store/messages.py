"""What came in, and whether it has been answered: the inbox's memory.

A message is recorded before any work and finished with its reply, its interaction and
whatever must still be sent, all in one transaction. Rows go after a while (`purge`):
WeChat asks again within seconds, never after days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from store.db import Database, Many
from store.dialect import Connection

SEEN = 0
ANSWERED = 1


class Incoming(NamedTuple):
    """A message at the door. key: 16 bytes; body: as received, decrypted, kept until it is answered."""

    key: bytes
    channel: str
    sender: str
    received_at: float
    body: bytes


class Recorded(NamedTuple):
    """What the record says. fresh: never seen before; reply: the stored answer or None."""

    fresh: bool
    reply: bytes | None


class Late(NamedTuple):
    """A part of an answer that did not fit into the passive reply.

    reply: JSON of the Reply; status: "planned" (push it) or "waiting" (member asks).
    """

    part: int
    reply: str
    status: str


class Finished(NamedTuple):
    """The end of a message: its reply and what is remembered of it.

    allowance, burst: customer-service messages this interaction opens, for 48 hours and
    for one minute. text: what the member wrote; item: what it was about ("faq:12").
    """

    key: bytes
    reply: bytes
    at: float
    channel: str
    sender: str
    member_id: int
    kind: str
    text: str
    handler: str
    item: str
    allowance: int = 0
    burst: int = 0
    late: tuple[Late, ...] = ()


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A message that was recorded but not finished when the process ended."""

    key: bytes
    channel: str
    sender: str
    received_at: float
    body: bytes


ALLOWANCE_S = 48 * 3600.0
BURST_S = 60.0


def _record(conn: Connection, rows: Sequence[Incoming]) -> list[Recorded]:
    execute = conn.execute
    out = []
    for row in rows:
        inserted = execute(
            "insert into messages (key, channel, sender, received_at, body) "
            "values (?, ?, ?, ?, ?) on conflict (key) do nothing",
            row,
        ).rowcount
        if inserted:
            out.append(Recorded(True, None))
            continue
        reply = execute(
            "select case when status = 1 then reply end from messages where key = ?", (row.key,)
        ).fetchone()[0]
        out.append(Recorded(False, reply))
    return out


def insert_sends(conn: Connection, row: Finished, late: Sequence[Late]) -> None:
    """Write what is to be sent for this message; a part that is there already stays."""
    conn.executemany(
        "insert into sends (message_key, part, channel, external_id, reply, status, "
        "created_at, due_at) values (?, ?, ?, ?, ?, ?, ?, ?) "
        "on conflict (message_key, part) do nothing",
        [
            (row.key, one.part, row.channel, row.sender, one.reply, one.status, row.at, row.at)
            for one in late
        ],
    )


def _finish(conn: Connection, rows: Sequence[Finished]) -> list[None]:
    conn.executemany(
        "update messages set status = 1, reply = ?, answered_at = ?, body = null where key = ?",
        [(row.reply, row.at, row.key) for row in rows],
    )
    # `from members`: a member who was erased meanwhile leaves no trace.
    conn.executemany(
        "insert into interactions (at, channel, member_id, kind, text, handler, item, "
        "message_key) select ?, ?, id, ?, ?, ?, ?, ? from members where id = ? "
        "on conflict (message_key) do nothing",
        [
            (row.at, row.channel, row.kind, row.text, row.handler, row.item, row.key, row.member_id)
            for row in rows
        ],
    )
    conn.executemany(
        "update identities set last_seen_at = ?, "
        "allowance = case when ? > 0 then ? else allowance end, "
        "allowance_until = case when ? > 0 then ? else allowance_until end, "
        "burst = case when ? > 0 then ? else burst end, "
        "burst_until = case when ? > 0 then ? else burst_until end "
        "where channel = ? and external_id = ?",
        [
            (
                row.at,
                row.allowance,
                row.allowance,
                row.allowance,
                row.at + ALLOWANCE_S,
                row.burst,
                row.burst,
                row.burst,
                row.at + BURST_S,
                row.channel,
                row.sender,
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.late:
            insert_sends(conn, row, row.late)
    return [None] * len(rows)


class Messages:
    """The table `messages`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._record = Many(_record)
        self._finish = Many(_finish)

    async def record(self, incoming: Incoming) -> Recorded:
        """Remember a message before anything is done about it; durable when it returns."""
        return await self._db.write_many(self._record, incoming)

    async def finish(self, finished: Finished) -> None:
        """Store the answer, its interaction and its late parts, together."""
        await self._db.write_many(self._finish, finished)

    async def turn_late(self, finished: Finished, reply: bytes) -> None:
        """Nobody took the stored reply: send `finished.late` instead, and repeat `reply`."""

        def run(conn: Connection) -> None:
            conn.execute("update messages set reply = ? where key = ?", (reply, finished.key))
            insert_sends(conn, finished, finished.late)

        await self._db.write(run)

    async def unanswered(self) -> list[Unanswered]:
        """Messages that an earlier process recorded and never finished, oldest first."""

        def run(conn: Connection) -> list[Unanswered]:
            rows = conn.execute(
                "select key, channel, sender, received_at, body from messages "
                "where status = 0 order by id"
            )
            return [Unanswered(*row) for row in rows]

        return await self._db.read(run)

    async def purge(self, before: float) -> int:
        """Forget answered messages received before `before`; says how many."""

        def run(conn: Connection) -> int:
            return conn.execute(
                "delete from messages where status = 1 and received_at < ?", (before,)
            ).rowcount

        return await self._db.write(run)
