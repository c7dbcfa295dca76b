"""Who wants to hear nothing more, of one topic or of all; asked before every message to many.

A member gets a campaign about a topic who subscribed to it, or who opted out neither of it nor
of everything. So 退订 ends everything, and a 订阅 直播 after it brings back only that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from store import statements
from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

EVERYTHING = ""
"""The topic that stands for all that no subscription names."""


class Optouts:
    """The table `optouts`, and with it the members' `subscriptions`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def leave(self, member_id: int, topic: str, now: float) -> bool:
        """No more of this topic, subscribed or not; False when nothing was to come anyway."""

        def run(conn: Connection) -> bool:
            subscribed = conn.execute(
                "delete from subscriptions where member_id = ? and topic = ?", (member_id, topic)
            ).rowcount
            return _add(conn, member_id, topic, now) or subscribed > 0

        return await self._db.write(run)

    async def leave_all(self, member_id: int, now: float) -> int | None:
        """No more of anything; how many subscriptions ended, None when all had ended before."""

        def run(conn: Connection) -> int | None:
            ended = conn.execute(
                "delete from subscriptions where member_id = ?", (member_id,)
            ).rowcount
            return ended if _add(conn, member_id, EVERYTHING, now) or ended else None

        return await self._db.write(run)

    async def come_back(self, member_id: int) -> bool:
        """Take the opt-out of everything back, or those of topics where there is none.

        False when there was nothing to take back.
        """

        def run(conn: Connection) -> bool:
            if back_to(conn, member_id, EVERYTHING):
                return True
            gone = conn.execute("delete from optouts where member_id = ?", (member_id,))
            return gone.rowcount > 0

        return await self._db.write(run)

    async def of(self, member_id: int) -> list[str]:
        """Topics this member opted out of, `EVERYTHING` first; [] for none."""

        def run(conn: Connection) -> list[str]:
            rows = conn.execute(
                "select topic from optouts where member_id = ? order by topic", (member_id,)
            )
            return [row[0] for row in rows]

        return await self._db.read(run)

    async def refusing(self, member_ids: Collection[int], topic: str) -> set[int]:
        """Those of these members who want no campaign about a topic ("" for none)."""
        return await self._db.read(lambda conn: refusing(conn, member_ids, topic))


def refusing(conn: Connection, member_ids: Collection[int], topic: str) -> set[int]:
    """As `Optouts.refusing`, inside a transaction: few statements for many members."""
    found = {
        member_id
        for member_id, of in statements.ask_pairs(
            conn,
            "select o.member_id, o.topic from (values {rows}) as v "
            "join optouts as o on o.member_id = v.column1 and o.topic in ('', v.column2)",
            ((member_id, topic) for member_id in member_ids),
        )
    }
    if found and topic:
        # Who asked for this very topic wants it, whatever else they want nothing of.
        found -= {
            row[0]
            for row in statements.ask_pairs(
                conn,
                "select s.member_id from (values {rows}) as v "
                "join subscriptions as s on s.member_id = v.column1 and s.topic = v.column2",
                ((member_id, topic) for member_id in found),
            )
        }
    return found


def back_to(conn: Connection, member_id: int, topic: str) -> bool:
    """Take an opt-out of one topic back; False when there was none."""
    return (
        conn.execute(
            "delete from optouts where member_id = ? and topic = ?", (member_id, topic)
        ).rowcount
        > 0
    )


def _add(conn: Connection, member_id: int, topic: str, now: float) -> bool:
    return (
        conn.execute(
            "insert into optouts (member_id, topic, since) select id, ?, ? from members "
            "where id = ? on conflict (member_id, topic) do nothing",
            (topic, now, member_id),
        ).rowcount
        > 0
    )


# Of one person: `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What a member opted out of."""
    return {
        "optouts": rows_of(
            conn,
            "select topic, since from optouts where member_id = ? order by topic",
            member_id,
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Nobody is left to be left alone."""
    gone = conn.execute("delete from optouts where member_id = ?", (member_id,))
    return {"optouts": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Both one's wishes hold; where they differ the newer one does, in doubt the opt-out.

    Runs after the subscriptions of `drop` have become those of `keep`.
    """
    conn.execute(
        "insert into optouts (member_id, topic, since) "
        "select ?, topic, since from optouts where member_id = ? "
        "on conflict (member_id, topic) do update set since = "
        "case when excluded.since > optouts.since then excluded.since else optouts.since end",
        (keep, drop),
    )
    conn.execute("delete from optouts where member_id = ?", (drop,))
    conn.execute(
        "delete from subscriptions where member_id = ? and exists (select 1 from optouts as o "
        "where o.member_id = subscriptions.member_id and o.topic in ('', subscriptions.topic) "
        "and o.since >= subscriptions.since)",
        (keep,),
    )
    conn.execute(
        "delete from optouts where member_id = ? and exists (select 1 from subscriptions as s "
        "where s.member_id = optouts.member_id and s.topic = optouts.topic)",
        (keep,),
    )
