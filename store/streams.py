"""Answers that a robot shows while they grow, and how each of them reaches who asked.

WeCom asks for the frames of a stream again and again until one is the last; for whom nobody asks
any more there is one address, good once. A row says which of the two ways an answer took: it is
there before the first unfinished frame leaves, and `pushing_at` is committed before the address
is used, so that a crash leaves an unknown end behind and never a second answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

PUSH_WITHIN_S = 3600.0
"""WeCom takes an answer at the address of a message for so long."""


class NewStream(NamedTuple):
    """An answer that is fetched or pushed instead of given at once.

    key: of its message, 16 bytes. started_at: when the message came. due_at: when it is to be
    pushed if nobody fetched it by then; None: never (there is no address, or nothing to say).
    """

    key: bytes
    channel: str
    sender: str
    response_url: str
    started_at: float
    due_at: float | None = None


State = Literal["unknown", "open", "answered", "pushed"]


class Fetched(NamedTuple):
    """What a poll finds. reply: the stored answer, b"" unless the state is "answered"; sender:
    whose it is."""

    state: State
    reply: bytes = b""
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Push:
    """An answer that nobody fetched, with the address that takes it once."""

    key: bytes
    channel: str
    response_url: str
    reply: bytes
    started_at: float


def finish_stream(conn: Connection, row: NewStream, at: float) -> None:
    """The answer is there; inside the transaction that writes it down."""
    # `from messages`: of a member who was erased meanwhile neither name nor address come back.
    conn.execute(
        "insert into streams (message_key, channel, sender, response_url, started_at, finished_at, "
        "due_at) select m.key, m.channel, m.sender, case when m.sender = '' then '' else ? end, ?, "
        "?, case when m.sender = '' then null else ? end from messages as m where m.key = ? "
        "on conflict (message_key) do update set finished_at = excluded.finished_at, "
        "due_at = excluded.due_at",
        (row.response_url, row.started_at, at, row.due_at, row.key),
    )


_OF_MEMBER = (
    "exists (select 1 from identities as i where i.channel = streams.channel "
    "and i.external_id = streams.sender and i.member_id = ?)"
)


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What is kept of a member, by table."""
    return {
        "streams": rows_of(
            conn,
            "select channel, started_at, finished_at, fetched_at, pushed_at from streams "
            f"where {_OF_MEMBER} order by started_at",
            member_id,
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Remove it; rows by table."""
    done = conn.execute(f"delete from streams where {_OF_MEMBER}", (member_id,))
    return {"streams": done.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Nothing to do: a row names the sender, and senders go over with their identities."""


class Streams:
    """The table `streams`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(self, row: NewStream) -> None:
        """An unfinished frame is about to leave: from now on the answer is polled for."""

        def run(conn: Connection) -> None:
            conn.execute("update messages set acked = 1 where key = ? and status = 0", (row.key,))
            conn.execute(
                "insert into streams (message_key, channel, sender, response_url, started_at) "
                "select key, channel, sender, ?, ? from messages where key = ? "
                "on conflict (message_key) do nothing",
                (row.response_url, row.started_at, row.key),
            )

        await self._db.write(run)

    async def finish(self, row: NewStream, at: float) -> None:
        """The exchange of an answer that is written down already was not heard after all."""
        await self._db.write(lambda conn: finish_stream(conn, row, at))

    async def give_up(self, key: bytes, reply: bytes, at: float, due_at: float) -> None:
        """End a message that cannot be worked on any more with an apology."""

        def run(conn: Connection) -> None:
            conn.execute(
                "update messages set status = 1, reply = ?, answered_at = ?, body = null "
                "where key = ? and status = 0",
                (reply, at, key),
            )
            conn.execute(
                "update streams set finished_at = ?, "
                "due_at = case when response_url = '' then null else ? end "
                "where message_key = ? and finished_at is null",
                (at, due_at, key),
            )

        await self._db.write(run)

    async def fetch(self, key: bytes, channel: str, now: float) -> Fetched:
        """The answer for who asks for it; from then on it is not pushed, unless `missed` says so.

        "open": not answered yet. "pushed": it went out by its address, or may have. "unknown":
        there is no such stream on this channel, or its answer is not kept any more.
        """

        def run(conn: Connection) -> Fetched:
            row = conn.execute(
                "select s.pushing_at, m.status, m.reply, s.sender from streams as s "
                "left join messages as m on m.key = s.message_key "
                "where s.message_key = ? and s.channel = ?",
                (key, channel),
            ).fetchone()
            if row is None or row[1] is None:
                return Fetched("unknown")
            if row[0] is not None:
                return Fetched("pushed")
            if row[1] == 0:
                return Fetched("open")
            conn.execute(
                "update streams set fetched_at = coalesce(fetched_at, ?), due_at = null "
                "where message_key = ?",
                (now, key),
            )
            return Fetched("answered", row[2], row[3])

        return await self._db.write(run)

    async def taken(self, key: bytes) -> None:
        """What was fetched has arrived: it will never be pushed."""
        await self._set(key, "response_url = '', due_at = null", ())

    async def missed(self, key: bytes, due_at: float) -> bool:
        """What was fetched did not arrive: push it then, unless it is fetched again before.

        False when there is nothing to push, or it arrived once already.
        """

        def run(conn: Connection) -> bool:
            return bool(
                conn.execute(
                    "update streams set due_at = ? where message_key = ? and response_url <> '' "
                    "and fetched_at is not null and finished_at is not null "
                    "and pushing_at is null",
                    (due_at, key),
                ).rowcount
            )

        return await self._db.write(run)

    async def claim(self, now: float, limit: int = 8) -> tuple[list[Push], int]:
        """Take what is due to be pushed; and how many answers it is too late for."""

        def run(conn: Connection) -> tuple[list[Push], int]:
            late = conn.execute(
                "update streams set due_at = null, response_url = '', note = 'too late' "
                "where due_at <= ? and started_at < ?",
                (now, now - PUSH_WITHIN_S),
            ).rowcount
            rows = conn.execute(
                "select s.message_key, s.channel, s.response_url, m.reply, s.started_at "
                "from streams as s join messages as m on m.key = s.message_key "
                "where s.due_at <= ? order by s.due_at, s.message_key limit ?",
                (now, limit),
            ).fetchall()
            pushes = [Push(*row) for row in rows]
            conn.executemany(
                "update streams set pushing_at = ?, due_at = null where message_key = ?",
                [(now, push.key) for push in pushes],
            )
            return pushes, late

        return await self._db.write(run)

    async def pushed(self, key: bytes, now: float) -> None:
        """It was taken."""
        await self._set(key, "response_url = '', pushed_at = ?", (now,))

    async def put_off(self, key: bytes, due_at: float) -> None:
        """It certainly did not leave: again then, or for who polls until then."""
        await self._set(key, "pushing_at = null, due_at = ?", (due_at,))

    async def refused(self, key: bytes, note: str) -> None:
        """It was not taken and will not be: only a poll can fetch it now."""
        await self._set(key, "pushing_at = null, response_url = '', note = ?", (note[:200],))

    async def unheard(self, key: bytes, note: str) -> None:
        """Nobody knows whether it was taken: it stays so."""
        await self._set(key, "response_url = '', note = ?", (note[:200],))

    async def _set(self, key: bytes, what: str, args: tuple[Any, ...]) -> None:
        def run(conn: Connection) -> None:
            conn.execute(
                f"update streams set {what} where message_key = ? and pushed_at is null",
                (*args, key),
            )

        await self._db.write(run)

    async def recover(self) -> int:
        """After a crash: calls that were under way have an unknown end; says how many."""

        def run(conn: Connection) -> int:
            return conn.execute(
                "update streams set response_url = '', note = 'the process ended during the call' "
                "where pushing_at is not null and pushed_at is null and note = ''"
            ).rowcount

        return await self._db.write(run)

    async def next_due(self) -> float | None:
        """When `claim` will find something, Unix seconds; None when nothing waits."""

        def run(conn: Connection) -> float | None:
            value = conn.execute(
                "select min(due_at) from streams where due_at is not null"
            ).fetchone()[0]
            return None if value is None else float(value)

        return await self._db.read(run)

    async def purge(self, before: float) -> int:
        """Forget streams that began before `before`; says how many."""

        def run(conn: Connection) -> int:
            return conn.execute(
                "delete from streams where started_at < ? and due_at is null", (before,)
            ).rowcount

        return await self._db.write(run)
