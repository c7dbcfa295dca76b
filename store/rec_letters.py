"""Whom the weekly letter may go to: who asked for it, may be written to now, and had not too much.

The letter keeps to the caps of campaigns, and counts for them: to who gets it, it is one more
message of ours.
"""

from __future__ import annotations

from collections.abc import Collection

from store import reach
from store.db import Database
from store.dialect import Connection
from store.reach import Caps, many


class RecLetters:
    """Reads for `scheduler/picks.py`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def wanting(self, topic: str, week: str, after: int, limit: int) -> list[int]:
        """Members who subscribed to the topic and have no letter of this week yet, by number.

        after: the number after which to go on, 0 to begin.
        """

        def run(conn: Connection) -> list[int]:
            rows = conn.execute(
                "select s.member_id from subscriptions as s where s.topic = ? and s.member_id > ? "
                "and not exists (select 1 from rec_digests as d "
                "where d.member_id = s.member_id and d.week = ?) order by s.member_id limit ?",
                (topic, after, week, limit),
            )
            return [row[0] for row in rows]

        return await self._db.read(run)

    async def capped(self, member_ids: Collection[int], now: float, caps: Caps) -> set[int]:
        """Those of them who had as many messages of ours as they may."""
        return await self._db.read(lambda conn: reach.capped(conn, member_ids, now, caps))

    async def reachable(
        self, member_ids: Collection[int], channels: Collection[str], now: float
    ) -> set[int]:
        """Those of them whom one of these channels lets us write to now: see `Sends.plan`."""

        def run(conn: Connection) -> set[int]:
            rows = many(
                conn,
                "select member_id, channel from identities as i where member_id in ({rows}) "
                "and followed = 1 and allowance > 1 and allowance_until > ? and not exists "
                "(select 1 from sends as s where s.channel = i.channel and s.external_id = "
                "i.external_id and s.status in ('planned', 'sending'))",
                member_ids,
                now,
            )
            return {member_id for member_id, channel in rows if channel in channels}

        return await self._db.read(run)

    async def sent(self, key: bytes) -> bool:
        """Whether the push of this key was planned, whatever became of it since."""

        def run(conn: Connection) -> bool:
            found = conn.execute("select 1 from sends where message_key = ?", (key,)).fetchone()
            return found is not None

        return await self._db.read(run)

    async def refused(self, week: str) -> list[int]:
        """Numbers of the lists of this week whose letter was on its way, and WeChat refused it.

        A list has the key of its letter.
        """

        def run(conn: Connection) -> list[int]:
            rows = conn.execute(
                "select l.id from rec_digests as d join rec_lists as l on l.id = d.list_id "
                "join sends as s on s.message_key = l.key "
                "where d.week = ? and s.status = 'refused' order by l.id",
                (week,),
            )
            return [row[0] for row in rows]

        return await self._db.read(run)
