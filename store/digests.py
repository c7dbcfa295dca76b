"""The day of a group, as its digest says it: what it is made from, and that it was made.

What is kept of a digest are figures and words of topics, nobody's lines and nobody's name: those
go with its post. The row and the post are one transaction, so a day is told once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from store.db import Database
from store.dialect import Connection
from store.posts import NewPost, plan_in


class Line(NamedTuple):
    """Something said. name: what the group calls them, else the name they chose, "" for none."""

    id: int
    member_id: int
    name: str
    at: float
    text: str
    reply_to: int | None
    addressed: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """A group between two moments. messages, members: what was said, with words or not, and by
    how many; newcomers: who came and stayed; answers: of the bot."""

    lines: tuple[Line, ...]
    messages: int
    members: int
    newcomers: int
    answers: int


_LINES = (
    "select t.id, t.member_id, coalesce(nullif(m.name, ''), n.value, ''), t.at, t.text, "
    "t.reply_to, t.addressed from talk as t "
    "left join group_members as m on m.place = t.place and m.member_id = t.member_id "
    "left join member_settings as n on n.member_id = t.member_id and n.name = 'name' "
    "where t.place = ? and t.at >= ? and t.at < ? and t.hidden = 0 and t.member_id is not null "
    "and t.text <> '' and t.kind in ('text', 'voice') order by t.at desc, t.id desc limit ?"
)


class Digests:
    """The table `digests`, and what is read for it. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def heard(self, place: str, after: float, until: float, most: int) -> Heard:
        """What happened in a group from `after` on and before `until`; the newest `most` lines,
        oldest first. Nothing hidden, and nothing of who does not want to be recorded."""

        def run(conn: Connection) -> Heard:
            rows = conn.execute(_LINES, (place, after, until, most)).fetchall()
            messages, members = conn.execute(
                "select count(*), count(distinct member_id) from talk where place = ? "
                "and at >= ? and at < ? and hidden = 0",
                (place, after, until),
            ).fetchone()
            newcomers = conn.execute(
                "select count(*) from group_members as m join groups as g on g.place = m.place "
                "where m.place = ? and m.since >= ? and m.since < ? and m.left_at is null "
                "and (m.welcomed_at is null or m.welcomed_at > m.since)",
                (place, after, until),
            ).fetchone()[0]
            answers = conn.execute(
                "select count(*) from interactions where place = ? and place <> '' "
                "and at >= ? and at < ? and handler not in ('none', '') "
                "and handler not like 'signup%' and handler not like 'quiz%'",
                (place, after, until),
            ).fetchone()[0]
            lines = tuple(Line._make((*row[:-1], bool(row[-1]))) for row in reversed(rows))
            return Heard(lines, messages, members, newcomers, answers)

        return await self._db.read(run, long=True)

    async def made(self, places: list[str], day: str) -> set[str]:
        """Those of the groups whose digest of this day was made."""

        def run(conn: Connection) -> set[str]:
            rows = conn.execute("select place from digests where day = ?", (day,))
            return {row[0] for row in rows} & set(places)

        return await self._db.read(run)

    async def keep(
        self, place: str, day: str, body: str, now: float, post: NewPost | None = None
    ) -> bool:
        """A digest was made, and is posted; False when there is one of this day already.

        body: JSON. post: None where it goes another way, or says nothing.
        """

        def run(conn: Connection) -> bool:
            row = conn.execute(
                "insert into digests (place, day, body, made_at) values (?, ?, ?, ?) "
                "on conflict (place, day) do nothing returning day",
                (place, day, body, now),
            ).fetchone()
            if row is None:
                return False
            if post is not None:
                plan_in(conn, post, now)
            return True

        return await self._db.write(run)

    async def bound_by(self, place: str) -> int | None:
        """The member who bound a group; None when nobody did, or nobody is known."""

        def run(conn: Connection) -> int | None:
            row = conn.execute(
                "select m.id from groups as g join members as m "
                "on g.bound_by = 'member:' || m.id where g.place = ?",
                (place,),
            ).fetchone()
            return None if row is None else int(row[0])

        return await self._db.read(run)

    async def purge(self, before_day: str) -> int:
        """Forget digests of days before; says how many."""

        def run(conn: Connection) -> int:
            return conn.execute("delete from digests where day < ?", (before_day,)).rowcount

        return await self._db.write(run)
