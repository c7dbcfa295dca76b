"""What came in, and whether it has been answered: the inbox's memory.

A message is recorded before any work and finished with its reply, its interaction and
whatever must still be sent, all in one transaction. Rows go after a while (`purge`):
WeChat asks again within seconds, never after days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from store import statements
from store.db import Database, Many
from store.dialect import Connection
from store.streams import NewStream, finish_stream


class Incoming(NamedTuple):
    """A message at the door. key: 16 bytes; body: decrypted, kept until it is answered."""

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

    reply: JSON of the Reply; status: "planned" (push it) or "waiting" (member asks). place: the
    group it goes to, "" for the member alone; quote: the message it quotes there.
    """

    part: int
    reply: str
    status: str
    place: str = ""
    quote: str = ""


class Finished(NamedTuple):
    """The end of a message: its reply and what is remembered of it.

    allowance, burst: customer-service messages this interaction opens, for 48 hours and
    for one minute. text: what the member wrote; item: what it was about ("faq:12"). place: the
    group it was written in, "" for private. stream: where the answer waits to be fetched, on a
    channel that asks for it; None when it went back in its exchange.
    """

    key: bytes
    reply: bytes
    at: float
    channel: str
    sender: str
    kind: str
    text: str
    handler: str
    item: str
    allowance: int = 0
    burst: int = 0
    late: tuple[Late, ...] = ()
    place: str = ""
    stream: NewStream | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A message that was recorded but not finished when the process ended.

    acked: WeChat was told "success" and will not ask again.
    """

    key: bytes
    channel: str
    sender: str
    received_at: float
    body: bytes
    acked: bool


_KNOWN = "select key, case when status = 1 then reply end from messages where key in ({rows})"
_RECORD = (
    "insert into messages (key, channel, sender, received_at, body) values {rows} "
    "on conflict (key) do nothing"
)


def _record(conn: Connection, rows: Sequence[Incoming]) -> list[Recorded]:
    known: dict[bytes, bytes | None] = {}
    # All are looked up before any is written: a row of this batch is not known yet.
    known.update(statements.ask(conn, _KNOWN, [row.key for row in rows]))
    statements.run(conn, _RECORD, rows)
    out = []
    for row in rows:
        if row.key in known:
            out.append(Recorded(False, known[row.key]))
        else:
            known[row.key] = None  # the same message again in this very batch
            out.append(_FRESH)
    return out


_FRESH = Recorded(True, None)


def insert_sends(conn: Connection, row: Finished, late: Sequence[Late]) -> None:
    """Write what is to be sent for this message; a part that is there already stays."""
    # `from messages`: a member who was erased meanwhile is not written down again.
    conn.executemany(
        "insert into sends (message_key, part, channel, external_id, reply, status, created_at, "
        "due_at, place, quote) select key, ?, ?, ?, ?, ?, ?, ?, ?, ? from messages where key = ? "
        "on conflict (message_key, part) do nothing",
        [
            (
                *(one.part, row.channel, row.sender, one.reply, one.status, row.at, row.at),
                *(one.place, one.quote, row.key),
            )
            for one in late
        ],
    )


_ANSWER = (
    "update messages set status = 1, reply = v.column2, answered_at = v.column3, body = null "
    "from (values {rows}) as v where messages.key = v.column1"
)
_answer_of = attrgetter("key", "reply", "at")

# The join: a member who was erased meanwhile leaves no trace, and one who was found to be
# somebody else meanwhile is that person.
_INTERACTION = (
    "insert into interactions (at, channel, member_id, kind, text, handler, item, message_key, "
    "place) select v.column1, v.column2, i.member_id, v.column4, v.column5, v.column6, v.column7, "
    "v.column8, v.column9 from (values {rows}) as v "
    "join identities as i on i.channel = v.column2 and i.external_id = v.column3 where true "
    "on conflict (message_key) do nothing"
)
_interaction_of = attrgetter(
    "at", "channel", "sender", "kind", "text", "handler", "item", "key", "place"
)

# Who followed before the bot was there sends no such event; but who can write to us, click
# or scan does follow.
_WINDOW = (
    "update identities set {name} = v.column3, {name}_until = v.column4 + {seconds}, "
    "last_seen_at = v.column4, followed = 1, blocked_at = null from (values {rows}) as v "
    "where identities.channel = v.column1 and identities.external_id = v.column2"
)
_WINDOWS = tuple(
    (
        attrgetter(name),
        attrgetter("channel", "sender", name, "at"),
        _WINDOW.replace("{name}", name).replace("{seconds}", str(seconds)),
    )
    for name, seconds in (("allowance", 48 * 3600), ("burst", 60))
)


def _finish(conn: Connection, rows: Sequence[Finished]) -> list[None]:
    statements.run(conn, _ANSWER, list(map(_answer_of, rows)))
    statements.run(conn, _INTERACTION, list(map(_interaction_of, rows)))
    for count_of, window_of, statement in _WINDOWS:
        # An identity twice in one statement would count once: the last word of each.
        opened = {(row.channel, row.sender): row for row in rows if count_of(row) > 0}
        statements.run(conn, statement, list(map(window_of, opened.values())))
    for row in rows:
        if row.late:
            insert_sends(conn, row, row.late)
        if row.stream is not None:
            finish_stream(conn, row.stream, row.at)
    return [None] * len(rows)


class Messages:
    """The table `messages`.

    follows: called with channel and external id of whoever is known to follow by now.
    """

    def __init__(self, db: Database, follows: Callable[[str, str], None]) -> None:
        self._db = db
        self._follows = follows
        # A message that a power cut takes was not acknowledged, and nothing that came of it
        # survived either: the answer's own commit carries this one to the disk.
        self._record = Many(_record, sync=False)
        self._finish = Many(_finish)

    async def record(self, incoming: Incoming) -> Recorded:
        """Remember a message before anything is done about it.

        It survives the process from here on, and a power cut from `acknowledge`, `finish`
        or any effect on, whichever comes first.
        """
        return await self._db.write_many(self._record, incoming)

    async def acknowledge(self, key: bytes) -> None:
        """WeChat is about to be told "success": it will not ask again."""

        def run(conn: Connection) -> None:
            conn.execute("update messages set acked = 1 where key = ? and status = 0", (key,))

        await self._db.write(run)

    async def finish(self, finished: Finished) -> None:
        """Store the answer, its interaction and its late parts, together."""
        await self._db.write_many(self._finish, finished)
        if finished.allowance or finished.burst:
            self._follows(finished.channel, finished.sender)

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
                "select key, channel, sender, received_at, body, acked from messages "
                "where status = 0 and body is not null order by id"
            )
            return [
                Unanswered(key, channel, sender, received_at, body, bool(acked))
                for key, channel, sender, received_at, body, acked in rows
            ]

        return await self._db.read(run)

    async def came(self, key: bytes) -> bool:
        """Whether this message is remembered."""

        def run(conn: Connection) -> bool:
            found = conn.execute("select 1 from messages where key = ?", (key,)).fetchone()
            return found is not None

        return await self._db.read(run)

    async def purge(self, before: float) -> int:
        """Forget answered messages received before `before`; says how many."""

        def run(conn: Connection) -> int:
            return conn.execute(
                "delete from messages where (status = 1 or body is null) and received_at < ?",
                (before,),
            ).rowcount

        return await self._db.write(run)
