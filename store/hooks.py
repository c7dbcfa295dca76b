"""Webhooks out: who wants to be told, and every telling with how it ended.

planned -> sending -> done | planned again, later | dead. A telling is queued in the very
transaction whose news it carries, so that neither is ever without the other. Unlike a
message to a member it may be sent twice: the receiver gets the same id and drops it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.db import Database
from store.dialect import Connection

PLANNED = "planned"
SENDING = "sending"
DONE = "done"
DEAD = "dead"

TOPICS = (
    "member.followed",
    "member.unfollowed",
    "member.erased",
    "link.clicked",
    "homework.submitted",
    "coupon.claimed",
    "coupon.redeemed",
    "coupon.revoked",
)
"""What one can be told of; docs/api.md says what each carries."""

BACKOFF_S = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0, 43200.0)
"""Seconds to wait after each failed try; after the last one the telling is dead."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Who is told. secret: "whsec_…", what signs; topics: of TOPICS."""

    id: int
    url: str
    topics: tuple[str, ...]
    secret: str
    created_at: float
    created_by: str


@dataclass(frozen=True, slots=True)
class Telling:
    """One delivery under way. key: the same for every try; body: JSON."""

    id: int
    hook_id: int
    url: str
    secret: str
    topic: str
    key: str
    body: str
    tries: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One delivery as an operator sees it."""

    id: int
    hook_id: int
    topic: str
    status: str
    tries: int
    created_at: float
    due_at: float
    settled_at: float | None
    http_status: int | None
    note: str


def queue(
    conn: Connection, topic: str, key: str, data: Mapping[str, Any], at: float, now: float
) -> int:
    """Plan a telling for everyone who wants this topic; says for how many.

    For other stores' transactions. key: names the news, such as "click:…"; the same one
    again plans nothing. data: "member" is the number of whom it is about, if of anybody.
    at: when it happened, Unix seconds.
    """
    hooks = conn.execute("select id, topics from hooks where deleted_at is null").fetchall()
    wanting = [hook_id for hook_id, topics in hooks if topic in topics.split()]
    if not wanting:
        return 0
    body = json.dumps({"type": topic, "at": at, "data": dict(data)}, ensure_ascii=False)
    return sum(
        conn.execute(
            "insert into hook_deliveries (hook_id, topic, key, member_id, body, status, "
            "created_at, due_at) values (?, ?, ?, ?, ?, 'planned', ?, ?) "
            "on conflict (hook_id, key) do nothing",
            (hook_id, topic, key, data.get("member"), body, now, now),
        ).rowcount
        for hook_id in wanting
    )


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Two members are one: what is told of the second is of the first."""
    conn.execute("update hook_deliveries set member_id = ? where member_id = ?", (keep, drop))


def forget(conn: Connection, member_id: int) -> int:
    """Tell nobody more of a member, but for `member.erased`; says how many rows went.

    One that is under way arrives or not, and is not tried again.
    """
    return conn.execute(
        "delete from hook_deliveries where member_id = ? and topic <> 'member.erased'",
        (member_id,),
    ).rowcount


class Hooks:
    """The tables `hooks` and `hook_deliveries`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, url: str, topics: Sequence[str], secret: str, now: float, by: str) -> Hook:
        """Make one; the same address may have several."""

        def run(conn: Connection) -> Hook:
            row = conn.execute(
                "insert into hooks (url, topics, secret, created_at, created_by) "
                "values (?, ?, ?, ?, ?) returning id",
                (url, " ".join(topics), secret, now, by),
            ).fetchone()
            return Hook(row[0], url, tuple(topics), secret, now, by)

        return await self._db.write(run)

    async def all(self) -> list[Hook]:
        """Every live one, oldest first."""

        def run(conn: Connection) -> list[Hook]:
            rows = conn.execute(
                "select id, url, topics, secret, created_at, created_by from hooks "
                "where deleted_at is null order by id"
            )
            return [Hook(r[0], r[1], tuple(r[2].split()), r[3], r[4], r[5]) for r in rows]

        return await self._db.read(run)

    async def delete(self, hook_id: int, now: float) -> bool:
        """Take one out, with what it still had to be told; False when there is none."""

        def run(conn: Connection) -> bool:
            gone = conn.execute(
                "update hooks set deleted_at = ?, secret = '' where id = ? and deleted_at is null",
                (now, hook_id),
            ).rowcount
            conn.execute("delete from hook_deliveries where hook_id = ?", (hook_id,))
            return gone == 1

        return await self._db.write(run)

    async def tell(
        self, topic: str, key: str, data: Mapping[str, Any], at: float, now: float
    ) -> int:
        """`queue` in a transaction of its own."""
        return await self._db.write(lambda conn: queue(conn, topic, key, data, at, now))

    async def test(self, hook_id: int, now: float) -> int | None:
        """Plan a telling of the topic "test" for one; its number, None when there is no such."""

        def run(conn: Connection) -> int | None:
            body = json.dumps({"type": "test", "at": now, "data": {}})
            count = conn.execute(
                "select count(*) from hook_deliveries where hook_id = ?", (hook_id,)
            ).fetchone()[0]
            row = conn.execute(
                "insert into hook_deliveries (hook_id, topic, key, body, status, created_at, "
                "due_at) select id, 'test', ?, ?, 'planned', ?, ? from hooks "
                "where id = ? and deleted_at is null on conflict (hook_id, key) do nothing "
                "returning id",
                (f"test:{now}:{count}", body, now, now, hook_id),
            ).fetchone()
            return None if row is None else int(row[0])

        return await self._db.write(run)

    # The worker's side

    async def due(self, now: float) -> bool:
        """Whether `claim` would find something."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute(
                    "select 1 from hook_deliveries where status = 'planned' and due_at <= ? "
                    "limit 1",
                    (now,),
                ).fetchone()
                is not None
            )

        return await self._db.read(run)

    async def claim(self, now: float, limit: int = 20, per_hook: int = 2) -> list[Telling]:
        """Take what is due, oldest first; each counts as a try.

        per_hook: of one webhook at most so many are under way, so that a receiver who does
        not answer holds nobody else up.
        """

        def run(conn: Connection) -> list[Telling]:
            rows = conn.execute(
                "select d.id, d.hook_id, h.url, h.secret, d.topic, d.key, d.body, d.tries + 1 "
                "from (select id, row_number() over (partition by hook_id order by due_at, id) "
                "as place from hook_deliveries where status = 'planned' and due_at <= ?) as first "
                "join hook_deliveries as d on d.id = first.id "
                "join hooks as h on h.id = d.hook_id "
                "where first.place + (select count(*) from hook_deliveries as s "
                "where s.hook_id = d.hook_id and s.status = 'sending') <= ? "
                "order by d.due_at, d.id limit ?",
                (now, per_hook, limit),
            ).fetchall()
            conn.executemany(
                "update hook_deliveries set status = 'sending', tries = tries + 1 where id = ?",
                [(row[0],) for row in rows],
            )
            return [Telling(*row) for row in rows]

        return await self._db.write(run)

    async def settle(
        self,
        telling: Telling,
        done: bool,
        now: float,
        *,
        http_status: int | None = None,
        note: str = "",
        final: bool = False,
    ) -> str:
        """Write down how a try ended; says the status it has now.

        After a failed one everything for the same receiver waits as long as this telling.
        final: no further try, whatever the number of tries (the receiver said 410 Gone).
        """
        wait = BACKOFF_S[telling.tries - 1] if telling.tries <= len(BACKOFF_S) else None
        status = DONE if done else DEAD if final or wait is None else PLANNED

        def run(conn: Connection) -> str:
            conn.execute(
                "update hook_deliveries set status = ?, due_at = ?, settled_at = ?, "
                "http_status = ?, note = ? where id = ? and status = 'sending'",
                (
                    status,
                    now + (wait or 0.0),
                    None if status == PLANNED else now,
                    http_status,
                    note,
                    telling.id,
                ),
            )
            if status == PLANNED:
                conn.execute(
                    "update hook_deliveries set due_at = ? where hook_id = ? "
                    "and status = 'planned' and due_at < ?",
                    (now + (wait or 0.0), telling.hook_id, now + (wait or 0.0)),
                )
            return status

        return await self._db.write(run)

    async def recover(self) -> int:
        """What was under way when the process ended is due again; says how many."""

        def run(conn: Connection) -> int:
            return conn.execute(
                "update hook_deliveries set status = 'planned' where status = 'sending'"
            ).rowcount

        return await self._db.write(run)

    # The operator's side

    async def listed(
        self, status: str | None = None, after: int = 0, limit: int = 100
    ) -> list[Listed]:
        """Deliveries by number, of one status or (None) of all."""

        def run(conn: Connection) -> list[Listed]:
            rows = conn.execute(
                "select id, hook_id, topic, status, tries, created_at, due_at, settled_at, "
                "http_status, note from hook_deliveries where id > ? "
                "and (? is null or status = ?) order by id limit ?",
                (after, status, status, limit),
            )
            return [Listed(*row) for row in rows]

        return await self._db.read(run)

    async def replay(self, delivery_id: int, now: float) -> bool:
        """Send a settled delivery again, with its id and all its tries; False when none is."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute(
                    "update hook_deliveries set status = 'planned', tries = 0, due_at = ?, "
                    "settled_at = null, note = '' where id = ? and status in ('dead', 'done')",
                    (now, delivery_id),
                ).rowcount
                == 1
            )

        return await self._db.write(run)

    async def counts(self) -> dict[str, int]:
        """Deliveries by status."""

        def run(conn: Connection) -> dict[str, int]:
            return dict(
                conn.execute(
                    "select status, count(*) from hook_deliveries group by status"
                ).fetchall()
            )

        return await self._db.read(run)

    async def purge(self, done_before: float, dead_before: float) -> int:
        """Forget what arrived, and what is dead for long; says how many."""

        def run(conn: Connection) -> int:
            return conn.execute(
                "delete from hook_deliveries where (status = 'done' and settled_at < ?) "
                "or (status = 'dead' and settled_at < ?)",
                (done_before, dead_before),
            ).rowcount

        return await self._db.write(run)
