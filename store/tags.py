"""Tags on members: what an operator's other programs know of somebody."""

from __future__ import annotations

from store.db import Database
from store.dialect import Connection


class Tags:
    """The table `member_tags`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, member_id: int) -> list[str]:
        """A member's tags in order; [] for none, or no such member."""

        def run(conn: Connection) -> list[str]:
            rows = conn.execute(
                "select tag from member_tags where member_id = ? order by tag", (member_id,)
            )
            return [row[0] for row in rows]

        return await self._db.read(run)

    async def add(self, member_id: int, tag: str, now: float, *, limit: int) -> bool | None:
        """Put a tag on a member; False when it is there already.

        None, and nothing changes, when there is no such member. limit: how many tags one
        member may have. Errors: TooManyTags.
        """

        def run(conn: Connection) -> bool | None:
            if conn.execute("select 1 from members where id = ?", (member_id,)).fetchone() is None:
                return None
            row = conn.execute(
                "insert into member_tags (member_id, tag, since) values (?, ?, ?) "
                "on conflict (member_id, tag) do nothing returning tag",
                (member_id, tag, now),
            ).fetchone()
            if row is None:
                return False
            count = conn.execute(
                "select count(*) from member_tags where member_id = ?", (member_id,)
            ).fetchone()[0]
            if count > limit:
                raise TooManyTags(limit)
            return True

        return await self._db.write(run)

    async def remove(self, member_id: int, tag: str) -> bool:
        """Take a tag off a member; False when it was not there."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute(
                    "delete from member_tags where member_id = ? and tag = ?", (member_id, tag)
                ).rowcount
                == 1
            )

        return await self._db.write(run)

    async def members(self, tag: str) -> list[int]:
        """Ids of the members who carry a tag, oldest first."""

        def run(conn: Connection) -> list[int]:
            rows = conn.execute(
                "select member_id from member_tags where tag = ? order by member_id", (tag,)
            )
            return [row[0] for row in rows]

        return await self._db.read(run)


class TooManyTags(Exception):
    """A member has as many tags as fit."""
