"""What still has to reach a member: late answers and their parts.

planned -> sending -> sent | refused | unknown, or waiting -> fetched when the channel
may not push. `sending` is committed before the call leaves, so a crash leaves `unknown`
behind, which is listed for an operator and never sent again by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from store.db import Database
from store.dialect import Connection

PLANNED = "planned"
SENDING = "sending"
SENT = "sent"
REFUSED = "refused"
UNKNOWN = "unknown"
WAITING = "waiting"
FETCHED = "fetched"


@dataclass(frozen=True, slots=True)
class Send:
    """One part of one answer on its way. reply: JSON of the Reply; tries: calls so far."""

    id: int
    message_key: bytes
    channel: str
    external_id: str
    reply: str
    created_at: float
    tries: int


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

    async def claim(self, now: float, limit: int = 50) -> list[Send]:
        """Take what is due, in each member's order, paying one allowance each.

        What has no allowance left becomes `waiting`: the member fetches it with 继续.
        """

        def run(conn: Connection) -> list[Send]:
            rows = conn.execute(
                "select id, message_key, channel, external_id, reply, created_at, tries "
                "from sends as s where status = 'planned' and due_at <= ? and not exists ("
                "select 1 from sends as e where e.channel = s.channel "
                "and e.external_id = s.external_id and e.id < s.id "
                "and e.status in ('planned', 'sending')) order by id limit ?",
                (now, limit),
            ).fetchall()
            claimed = []
            for row in rows:
                send = Send(*row)
                if self._pay(conn, send, now):
                    conn.execute(
                        "update sends set status = 'sending', tries = tries + 1 where id = ?",
                        (send.id,),
                    )
                    claimed.append(send)
                else:
                    conn.execute(
                        "update sends set status = 'waiting', note = 'no allowance' where id = ?",
                        (send.id,),
                    )
            return claimed

        return await self._db.write(run)

    @staticmethod
    def _pay(conn: Connection, send: Send, now: float) -> bool:
        # Both windows are charged: WeChat keeps the larger one, so this never overspends.
        paid = conn.execute(
            "update identities set "
            "allowance = case when allowance > 0 then allowance - 1 else 0 end, "
            "burst = case when burst > 0 then burst - 1 else 0 end "
            "where channel = ? and external_id = ? and "
            "((allowance > 0 and allowance_until > ?) or (burst > 0 and burst_until > ?))",
            (send.channel, send.external_id, now, now),
        ).rowcount
        return paid == 1

    async def settle(
        self, send_id: int, status: str, now: float, *, errcode: int | None = None, note: str = ""
    ) -> None:
        """Write how it ended: sent, refused, unknown or waiting. The text goes with success."""

        def run(conn: Connection) -> None:
            conn.execute(
                "update sends set status = ?, errcode = ?, note = ?, settled_at = ?, "
                "reply = case when ? = 'sent' then '' else reply end "
                "where id = ? and status = 'sending'",
                (status, errcode, note, now, status, send_id),
            )

        await self._db.write(run)

    async def put_off(self, send_id: int, due_at: float, *, errcode: int | None, note: str) -> None:
        """It certainly did not go out: try again at `due_at`, the allowance given back."""

        def run(conn: Connection) -> None:
            row = conn.execute(
                "update sends set status = 'planned', due_at = ?, errcode = ?, note = ? "
                "where id = ? and status = 'sending' returning channel, external_id",
                (due_at, errcode, note, send_id),
            ).fetchone()
            if row is not None:
                conn.execute(
                    "update identities set allowance = allowance + 1 "
                    "where channel = ? and external_id = ?",
                    row,
                )

        await self._db.write(run)

    async def next_due(self) -> float | None:
        """When the next planned part is due, Unix seconds; None when nothing is planned."""

        def run(conn: Connection) -> float | None:
            value = conn.execute(
                "select min(due_at) from sends where status = 'planned'"
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
                    "where id = (select min(id) from sends where status = 'waiting' "
                    "and channel = ? and external_id = ?) returning reply",
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
            return conn.execute(
                "update sends set status = 'unknown', settled_at = ?, "
                "note = 'the process ended during the call' where status = 'sending'",
                (now,),
            ).rowcount

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
