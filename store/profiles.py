"""What is asked about members: who goes by a name, what was handed in, how much is kept."""

from __future__ import annotations

from dataclasses import dataclass

from store.courses import Homework, learning_in
from store.db import Database
from store.dialect import Connection
from store.points import balance_of


@dataclass(frozen=True, slots=True)
class Kept:
    """How much is kept of one member.

    courses: those that are not refunded; points: their balance; invited: friends they brought.
    """

    courses: int
    homework: int
    reminders: int
    events: int
    votes: int
    tags: int
    coupons: int = 0
    points: int = 0
    checkins: int = 0
    quizzes: int = 0
    invited: int = 0


class Profiles:
    """Reads of what is kept of members, for the API and for themselves."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def by_unionid(self, unionid: str) -> list[int]:
        """The member whom WeChat calls so on all its channels; [] for nobody."""
        return await self._ids("select id from members where unionid = ?", unionid)

    async def by_alias(self, name: str) -> list[int]:
        """The member who is known to be behind a name such as "visitor:V"; [] for nobody."""
        return await self._ids(
            "select member_id from aliases where name = ? and member_id is not null", name
        )

    async def _ids(self, sql: str, name: str) -> list[int]:
        def run(conn: Connection) -> list[int]:
            return [row[0] for row in conn.execute(sql, (name,))]

        return await self._db.read(run)

    async def kept(self, member_id: int) -> Kept:
        """How much there is of this member, all of one moment; zeros for nobody."""

        def run(conn: Connection) -> Kept:
            def count(table: str) -> int:
                sql = f"select count(*) from {table} where member_id = ?"
                return int(conn.execute(sql, (member_id,)).fetchone()[0])

            return Kept(
                courses=sum(one.ended_at is None for one in learning_in(conn, member_id)),
                homework=count("homework"),
                reminders=count("reminders"),
                events=count("events"),
                votes=count("faq_votes"),
                tags=count("member_tags"),
                coupons=count("coupons"),
                points=balance_of(conn, member_id),
                checkins=count("checkins"),
                quizzes=count("quiz_attempts"),
                invited=int(
                    conn.execute(
                        "select count(*) from referrals where inviter_id = ? "
                        "and status <> 'refused'",
                        (member_id,),
                    ).fetchone()[0]
                ),
            )

        return await self._db.read(run)

    async def homework(self, item_id: str, after: int, limit: int) -> list[Homework]:
        """Homework in the order it came, after row `after`, for an item or ("") for all."""
        where = "and item_id = ?" if item_id else ""
        args = (after, item_id, limit) if item_id else (after, limit)

        def run(conn: Connection) -> list[Homework]:
            rows = conn.execute(
                "select id, member_id, item_id, chapter_id, text, submitted_at from homework "
                f"where id > ? {where} order by id limit ?",
                args,
            )
            return [Homework(*row) for row in rows]

        return await self._db.read(run)
