"""What happened: read back for the conversation, the operator and the export.

Rows are written with the answer itself (`store/messages.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from store import scrub
from store.db import Database
from store.dialect import Connection


@dataclass(frozen=True, slots=True)
class Stats:
    """A period in numbers; members and followers are those of now.

    messages: everything that came in, events too; active: the members it came from.
    answered, offered, unknown: how questions ended.
    """

    members: int
    followers: int
    messages: int
    active: int
    follows: int
    unfollows: int
    answered: int
    offered: int
    unknown: int
    useful: int
    useless: int


class Interactions:
    """The table `interactions`, and the `findings` that jobs leave."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last_told(self, member_id: int, since: float) -> tuple[str, str]:
        """(handler, item) of the newest answer, offer or admission since then; ("", "") for none.

        Help, topics and commands are none, nor is a rating that found nothing to rate. A
        rating counts, for one may change one's mind.
        """

        def run(conn: Connection) -> tuple[str, str]:
            row = conn.execute(
                "select handler, item from interactions where member_id = ? and at >= ? "
                "and handler <> 'faq.feedback' "
                "and (handler in ('faq', 'content', 'course', 'choice') "
                "or handler like 'faq.%' or handler like 'content.%' "
                "or handler like 'follow.%' or handler like 'course.%') "
                "order by id desc limit 1",
                (member_id, since),
            ).fetchone()
            return ("", "") if row is None else (str(row[0]), str(row[1]))

        return await self._db.read(run)

    async def count_of(self, member_id: int) -> int:
        """How many interactions are kept of this member."""

        def run(conn: Connection) -> int:
            return int(
                conn.execute(
                    "select count(*) from interactions where member_id = ?", (member_id,)
                ).fetchone()[0]
            )

        return await self._db.read(run)

    async def stats(self, since: float) -> Stats:
        """The numbers since then."""

        def run(conn: Connection) -> Stats:
            def one(sql: str, *args: Any) -> int:
                return int(conn.execute(sql, args).fetchone()[0])

            by_kind = dict(
                conn.execute(
                    "select kind, count(*) from interactions where at >= ? group by kind", (since,)
                ).fetchall()
            )
            by_handler = dict(
                conn.execute(
                    "select handler, count(*) from interactions where at >= ? "
                    "and kind in ('text', 'voice') group by handler",
                    (since,),
                ).fetchall()
            )
            return Stats(
                members=one("select count(*) from members"),
                followers=one("select count(*) from identities where followed = 1"),
                messages=sum(by_kind.values()),
                active=one(
                    "select count(distinct member_id) from interactions where at >= ?", since
                ),
                follows=by_kind.get("event:subscribe", 0),
                unfollows=by_kind.get("event:unsubscribe", 0),
                answered=by_handler.get("faq", 0),
                offered=by_handler.get("faq.offer", 0),
                unknown=by_handler.get("faq.unknown", 0),
                useful=by_handler.get("faq.useful", 0),
                useless=by_handler.get("faq.useless", 0),
            )

        return await self._db.read(run)

    async def page(self, after: int, limit: int = 1000) -> list[dict[str, Any]]:
        """A page of the log in order, after the row `after`; members by number only."""

        def run(conn: Connection) -> list[dict[str, Any]]:
            cursor = conn.execute(
                "select id, at, channel, member_id, kind, text, handler, item "
                "from interactions where id > ? order by id limit ?",
                (after, limit),
            )
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        return await self._db.read(run)

    async def item_views(self, since: float) -> list[tuple[str, float]]:
        """(item id, when) for every time a catalogue item was shown alone or asked for."""

        def run(conn: Connection) -> list[tuple[str, float]]:
            rows: Iterator[tuple[str, float]] = conn.execute(
                "select item, at from interactions where at >= ? and item like 'item:%'", (since,)
            )
            return [(item[5:], at) for item, at in rows]

        return await self._db.read(run)

    async def put_finding(self, name: str, data: str, now: float) -> None:
        """Replace the newest result of a job. data: JSON.

        A report has no line about who was forgotten, or refused to be profiled, while it was
        worked out.
        """

        def run(conn: Connection) -> None:
            kept = scrub.of_those_there(conn, data) if name.startswith("report:") else data
            conn.execute(
                "insert into findings (name, data, made_at) values (?, ?, ?) on conflict (name) "
                "do update set data = excluded.data, made_at = excluded.made_at",
                (name, kept, now),
            )

        await self._db.write(run)

    async def finding(self, name: str) -> str | None:
        """The newest result of a job, JSON; None when it has not run."""

        def run(conn: Connection) -> str | None:
            row = conn.execute("select data from findings where name = ?", (name,)).fetchone()
            return None if row is None else str(row[0])

        return await self._db.read(run)
