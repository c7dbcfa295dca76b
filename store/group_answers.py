"""What was answered in a group lately, so that it is not said twice.

One row for each item and group. An answer that is only planned, because nobody else may answer,
stands in it with the moment at which it will be said: until then it counts for nothing.
"""

from __future__ import annotations

from enum import Enum

from store.db import Database
from store.dialect import Connection
from store.posts import NewPost, plan_in


class Said(Enum):
    """What is left to say about an item that somebody asks for.

    FIRST: the answer. AGAIN: that it stands above, once. ENOUGH: nothing.
    """

    FIRST = "first"
    AGAIN = "again"
    ENOUGH = "enough"


class GroupAnswers:
    """The table `group_answers`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def claim(self, place: str, item: str, key: bytes, now: float, repeat_s: float) -> Said:
        """Whether this message is the one that gets the answer.

        key: of the message; the same one again hears the same again. repeat_s: for how long an
        item is not said twice; 0 says it to everybody. A planned answer is taken back.
        """

        def run(conn: Connection) -> Said:
            row = conn.execute(
                "select at, message_key, pointed_by from group_answers "
                "where place = ? and item = ?",
                (place, item),
            ).fetchone()
            if row is not None and row[1] == key:
                return Said.FIRST
            if row is None or not row[0] <= now < row[0] + repeat_s:
                if row is not None and row[0] > now:
                    _drop(conn, row[1], now)
                _note(conn, place, item, now, key)
                return Said.FIRST
            if row[2] is None:
                conn.execute(
                    "update group_answers set pointed_at = ?, pointed_by = ? "
                    "where place = ? and item = ?",
                    (now, key, place, item),
                )
                return Said.AGAIN
            return Said.AGAIN if row[2] == key else Said.ENOUGH

        return await self._db.write(run)

    async def plan(self, item: str, post: NewPost, now: float, repeat_s: float) -> bool:
        """Plan an answer that nobody asked the bot for; False when it is said or planned already.

        It counts as said from the moment at which it is due.
        """

        def run(conn: Connection) -> bool:
            row = conn.execute(
                "select at from group_answers where place = ? and item = ?", (post.place, item)
            ).fetchone()
            if row is not None and now < row[0] + repeat_s:
                return False
            if not plan_in(conn, post, now):
                return False
            _note(conn, post.place, item, post.due_at, post.key)
            return True

        return await self._db.write(run)

    async def take_back(self, place: str, now: float) -> int:
        """Somebody else has answered: nothing that is planned is said. Says how many there were."""

        def run(conn: Connection) -> int:
            keys = conn.execute(
                "select key from posts where place = ? and kind = 'eager' and status = 'planned'",
                (place,),
            ).fetchall()
            for (key,) in keys:
                _drop(conn, key, now)
                conn.execute(
                    "delete from group_answers where place = ? and message_key = ?", (place, key)
                )
            return len(keys)

        return await self._db.write(run)

    async def waiting(self) -> dict[str, float]:
        """Places where such an answer is planned, and when the last of them is due."""

        def run(conn: Connection) -> dict[str, float]:
            rows = conn.execute(
                "select place, max(due_at) from posts where kind = 'eager' and status = 'planned' "
                "group by place"
            )
            return {place: float(at) for place, at in rows}

        return await self._db.read(run)


def _note(conn: Connection, place: str, item: str, at: float, key: bytes) -> None:
    conn.execute(
        "insert into group_answers (place, item, at, message_key) values (?, ?, ?, ?) "
        "on conflict (place, item) do update set at = excluded.at, "
        "message_key = excluded.message_key, pointed_at = null, pointed_by = null",
        (place, item, at, key),
    )


def _drop(conn: Connection, key: bytes, now: float) -> None:
    conn.execute(
        "update posts set status = 'dropped', settled_at = ?, body = '' "
        "where key = ? and status = 'planned'",
        (now, key),
    )
