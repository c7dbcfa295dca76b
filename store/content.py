"""What the bot can tell: FAQ entries, catalogue items, topics, and the questions it missed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from store.db import Database
from store.dialect import Connection


@dataclass(frozen=True, slots=True)
class Faq:
    """One answer. questions: the main one first, then its aliases."""

    id: int
    questions: tuple[str, ...]
    answer: str
    updated_at: float


@dataclass(frozen=True, slots=True)
class NewFaq:
    """An entry to be written."""

    question: str
    answer: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """Something one can buy or read. price_cents: fen; tags: as shown; published_on: ISO day."""

    id: str
    kind: str
    title: str
    summary: str
    tags: tuple[str, ...]
    author: str
    level: str
    price_cents: int
    url: str
    cover_url: str
    published_on: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A question nobody has answered yet. count: how often it was asked."""

    id: int
    sample: str
    count: int
    last_at: float


class QuestionTaken(Exception):
    """A question belongs to one entry only. `question`, `faq_id` say which."""

    def __init__(self, question: str, faq_id: int) -> None:
        super().__init__(question, faq_id)
        self.question = question
        self.faq_id = faq_id


_REVISION = "content_revision"


def _touch(conn: Connection) -> None:
    conn.execute(
        "insert into meta (name, value) values (?, '1') on conflict (name) do update "
        "set value = cast(cast(meta.value as integer) + 1 as text)",
        (_REVISION,),
    )


def _insert_faq(conn: Connection, entry: NewFaq, now: float) -> int:
    faq_id = int(
        conn.execute(
            "insert into faq (question, answer, created_at, updated_at) values (?, ?, ?, ?) "
            "returning id",
            (entry.question, entry.answer, now, now),
        ).fetchone()[0]
    )
    _insert_questions(conn, faq_id, (entry.question, *entry.aliases))
    return faq_id


def _insert_questions(conn: Connection, faq_id: int, questions: Sequence[str]) -> None:
    for place, question in enumerate(dict.fromkeys(questions)):
        row = conn.execute(
            "insert into faq_questions (question, faq_id, main) values (?, ?, ?) "
            "on conflict (question) do nothing returning faq_id",
            (question, faq_id, int(place == 0)),
        ).fetchone()
        if row is None:
            owner = conn.execute(
                "select faq_id from faq_questions where question = ?", (question,)
            ).fetchone()[0]
            raise QuestionTaken(question, owner)


class Content:
    """The tables `faq`, `faq_questions`, `items`, `gaps`, `subscriptions`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def revision(self) -> int:
        """A number that grows with every change of the FAQ or the items."""

        def run(conn: Connection) -> int:
            row = conn.execute("select value from meta where name = ?", (_REVISION,)).fetchone()
            return 0 if row is None else int(row[0])

        return await self._db.read(run)

    # FAQ

    async def faqs(self) -> list[Faq]:
        """Every live entry, oldest first."""

        def run(conn: Connection) -> list[Faq]:
            questions: dict[int, list[str]] = {}
            for faq_id, question in conn.execute(
                "select faq_id, question from faq_questions order by faq_id, main desc, question"
            ):
                questions.setdefault(faq_id, []).append(question)
            return [
                Faq(row[0], tuple(questions.get(row[0], ())), row[1], row[2])
                for row in conn.execute(
                    "select id, answer, updated_at from faq where deleted_at is null order by id"
                )
            ]

        return await self._db.read(run)

    async def add_faq(self, entry: NewFaq, now: float) -> int:
        """Write one entry; says its id. Errors: QuestionTaken."""

        def run(conn: Connection) -> int:
            faq_id = _insert_faq(conn, entry, now)
            _touch(conn)
            return faq_id

        return await self._db.write(run)

    async def import_faq(self, entries: Sequence[NewFaq], now: float) -> tuple[int, int]:
        """Write all entries or none; an entry whose question exists is renewed.

        Returns (added, renewed). Errors: QuestionTaken when an alias belongs to another.
        """

        def run(conn: Connection) -> tuple[int, int]:
            ids: dict[str, int] = {}
            # All renewed entries give up their questions first: an alias may move from one
            # to another in the same file.
            for entry in entries:
                row = conn.execute(
                    "delete from faq_questions where faq_id = (select faq_id from "
                    "faq_questions where question = ? and main = 1) returning faq_id",
                    (entry.question,),
                ).fetchone()
                if row is not None:
                    ids[entry.question] = row[0]
            added = 0
            for entry in entries:
                faq_id = ids.get(entry.question)
                if faq_id is None:
                    ids[entry.question] = _insert_faq(conn, entry, now)
                    added += 1
                    continue
                conn.execute(
                    "update faq set answer = ?, updated_at = ? where id = ?",
                    (entry.answer, now, faq_id),
                )
                conn.execute("delete from faq_questions where faq_id = ?", (faq_id,))
                _insert_questions(conn, faq_id, (entry.question, *entry.aliases))
            _touch(conn)
            return added, len(entries) - added

        return await self._db.write(run)

    async def delete_faq(self, faq_id: int, now: float) -> Faq | None:
        """Take an entry out; gives it back for the record, None when there is none."""

        def run(conn: Connection) -> Faq | None:
            row = conn.execute(
                "update faq set deleted_at = ? where id = ? and deleted_at is null "
                "returning id, answer, updated_at",
                (now, faq_id),
            ).fetchone()
            if row is None:
                return None
            questions = conn.execute(
                "select question from faq_questions where faq_id = ? order by main desc, question",
                (faq_id,),
            ).fetchall()
            # The questions are free again; the entry keeps its main one for the record.
            conn.execute("delete from faq_questions where faq_id = ?", (faq_id,))
            _touch(conn)
            return Faq(row[0], tuple(q[0] for q in questions), row[1], row[2])

        return await self._db.write(run)

    # Catalogue

    async def items(self) -> list[Item]:
        """The catalogue, newest first."""

        def run(conn: Connection) -> list[Item]:
            rows = conn.execute(
                "select id, kind, title, summary, tags, author, level, price_cents, url, "
                "cover_url, published_on from items order by published_on desc, id"
            )
            return [
                Item(
                    id=row[0],
                    kind=row[1],
                    title=row[2],
                    summary=row[3],
                    tags=tuple(tag for tag in row[4].split("|") if tag),
                    author=row[5],
                    level=row[6],
                    price_cents=row[7],
                    url=row[8],
                    cover_url=row[9],
                    published_on=row[10],
                )
                for row in rows
            ]

        return await self._db.read(run)

    async def put_items(self, items: Iterable[Item], now: float) -> int:
        """Write all items or none, replacing those with the same id; says how many."""
        rows = [
            (
                item.id,
                item.kind,
                item.title,
                item.summary,
                "|".join(item.tags),
                item.author,
                item.level,
                item.price_cents,
                item.url,
                item.cover_url,
                item.published_on,
                now,
            )
            for item in items
        ]

        def run(conn: Connection) -> int:
            conn.executemany(
                "insert into items (id, kind, title, summary, tags, author, level, price_cents, "
                "url, cover_url, published_on, updated_at) "
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do update set "
                "kind = excluded.kind, title = excluded.title, summary = excluded.summary, "
                "tags = excluded.tags, author = excluded.author, level = excluded.level, "
                "price_cents = excluded.price_cents, url = excluded.url, "
                "cover_url = excluded.cover_url, published_on = excluded.published_on, "
                "updated_at = excluded.updated_at",
                rows,
            )
            _touch(conn)
            return len(rows)

        return await self._db.write(run)

    # What it missed

    async def add_gap(self, question: str, sample: str, now: float, by: bytes) -> None:
        """Count an unanswered question. question: cleaned; sample: as typed.

        by: key of the message that asked; the same one again is not counted again.
        """

        def run(conn: Connection) -> None:
            conn.execute(
                "insert into gaps (question, sample, count, first_at, last_at, last_key) "
                "values (?, ?, 1, ?, ?, ?) on conflict (question) do update set "
                "count = gaps.count + 1, last_at = excluded.last_at, "
                "last_key = excluded.last_key where gaps.last_key <> excluded.last_key",
                (question, sample, now, now, by),
            )

        await self._db.write(run)

    async def gaps(self, limit: int = 10) -> list[Gap]:
        """The questions most often left unanswered."""

        def run(conn: Connection) -> list[Gap]:
            rows = conn.execute(
                "select id, sample, count, last_at from gaps "
                "order by count desc, last_at desc limit ?",
                (limit,),
            )
            return [Gap(*row) for row in rows]

        return await self._db.read(run)

    async def close_gap(self, question: str) -> bool:
        """The question has an answer now; False when it was no gap."""

        def run(conn: Connection) -> bool:
            return conn.execute("delete from gaps where question = ?", (question,)).rowcount > 0

        return await self._db.write(run)

    # Topics

    async def subscribe(self, member_id: int, topic: str, now: float) -> bool:
        """Subscribe a member; False when they already were."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute(
                    "insert into subscriptions (member_id, topic, since) select id, ?, ? "
                    "from members where id = ? on conflict (member_id, topic) do nothing",
                    (topic, now, member_id),
                ).rowcount
                == 1
            )

        return await self._db.write(run)

    async def unsubscribe(self, member_id: int, topic: str) -> bool:
        """Take a subscription away; False when there was none."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute(
                    "delete from subscriptions where member_id = ? and topic = ?",
                    (member_id, topic),
                ).rowcount
                == 1
            )

        return await self._db.write(run)

    async def topics_of(self, member_id: int) -> list[str]:
        """What a member subscribed to, oldest first."""

        def run(conn: Connection) -> list[str]:
            rows = conn.execute(
                "select topic from subscriptions where member_id = ? order by since, topic",
                (member_id,),
            )
            return [row[0] for row in rows]

        return await self._db.read(run)
