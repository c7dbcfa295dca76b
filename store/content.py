"""What the bot can tell: FAQ entries, topics, and the questions it missed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from store import optouts
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
class Gap:
    """A question nobody has answered yet.

    question: cleaned, its key; sample: as typed. count: how often it was asked.
    """

    id: int
    question: str
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


def touch(conn: Connection) -> None:
    """Count a change of what the bot can tell; for transactions of this room only."""
    conn.execute(
        "insert into meta (name, value) values (?, '1') on conflict (name) do update "
        "set value = cast(cast(meta.value as integer) + 1 as text)",
        (_REVISION,),
    )


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


def entry_of(conn: Connection, faq_id: int) -> Faq | None:
    """One live entry; None when there is none."""
    row = conn.execute(
        "select id, answer, updated_at from faq where id = ? and deleted_at is null", (faq_id,)
    ).fetchone()
    if row is None:
        return None
    questions = conn.execute(
        "select question from faq_questions where faq_id = ? order by main desc, question",
        (faq_id,),
    ).fetchall()
    return Faq(row[0], tuple(one[0] for one in questions), row[1], row[2])


def owners_of(conn: Connection, questions: Iterable[str]) -> dict[str, int]:
    """The entry of each wording that has one."""
    owners = {}
    for question in questions:
        row = conn.execute(
            "select faq_id from faq_questions where question = ?", (question,)
        ).fetchone()
        if row is not None:
            owners[question] = int(row[0])
    return owners


def _new(entry: NewFaq, now: float) -> Faq:
    return Faq(0, (entry.question, *entry.aliases), entry.answer, now)


def put_entry(conn: Connection, faq_id: int, entry: Faq, now: float) -> int:
    """Make the entry so, with its wordings; a number of 0 is a new entry. Says the number.

    Errors: QuestionTaken.
    """
    if faq_id:
        conn.execute(
            "update faq set question = ?, answer = ?, updated_at = ?, deleted_at = null "
            "where id = ?",
            (entry.questions[0], entry.answer, entry.updated_at, faq_id),
        )
        conn.execute("delete from faq_questions where faq_id = ?", (faq_id,))
    else:
        faq_id = int(
            conn.execute(
                "insert into faq (question, answer, created_at, updated_at) "
                "values (?, ?, ?, ?) returning id",
                (entry.questions[0], entry.answer, now, now),
            ).fetchone()[0]
        )
    _insert_questions(conn, faq_id, entry.questions)
    return faq_id


def take_out(conn: Connection, faq_id: int, now: float) -> None:
    """Delete an entry: its wordings are free again, its row stays for the record."""
    conn.execute("update faq set deleted_at = ? where id = ?", (now, faq_id))
    conn.execute("delete from faq_questions where faq_id = ?", (faq_id,))


def close_gaps(conn: Connection, questions: Iterable[str]) -> list[dict[str, Any]]:
    """Take these out of the gap list; what they were, for the record."""
    closed = []
    for question in dict.fromkeys(questions):
        row = conn.execute(
            "delete from gaps where question = ? "
            "returning question, sample, count, first_at, last_at, last_key",
            (question,),
        ).fetchone()
        if row is not None:
            names = ("question", "sample", "count", "first_at", "last_at", "last_key")
            closed.append(dict(zip(names, (*row[:5], row[5].hex()), strict=True)))
    return closed


def reopen_gaps(conn: Connection, gaps: Iterable[dict[str, Any]]) -> None:
    """Back into the gap list; asked again in the meantime, it counts both."""
    for gap in gaps:
        conn.execute(
            "insert into gaps (question, sample, count, first_at, last_at, last_key) "
            "values (?, ?, ?, ?, ?, ?) on conflict (question) do update set "
            "count = gaps.count + excluded.count, first_at = excluded.first_at",
            (
                *(gap["question"], gap["sample"], gap["count"], gap["first_at"]),
                *(gap["last_at"], bytes.fromhex(gap["last_key"])),
            ),
        )


class Content:
    """The tables `faq`, `faq_questions`, `gaps`, `subscriptions`."""

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
            faq_id = put_entry(conn, 0, _new(entry, now), now)
            touch(conn)
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
                    ids[entry.question] = put_entry(conn, 0, _new(entry, now), now)
                    added += 1
                    continue
                # The same answer again keeps its votes: they count since its last change.
                conn.execute(
                    "update faq set answer = ?, updated_at = ? where id = ? and answer <> ?",
                    (entry.answer, now, faq_id, entry.answer),
                )
                conn.execute("delete from faq_questions where faq_id = ?", (faq_id,))
                _insert_questions(conn, faq_id, (entry.question, *entry.aliases))
            touch(conn)
            return added, len(entries) - added

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
                "select id, question, sample, count, last_at from gaps "
                "order by count desc, last_at desc, id limit ?",
                (limit,),
            )
            return [Gap(*row) for row in rows]

        return await self._db.read(run)

    # Topics

    async def subscribe(self, member_id: int, topic: str, now: float) -> bool:
        """Subscribe a member, whatever they opted out of; False when they already were."""

        def run(conn: Connection) -> bool:
            optouts.back_to(conn, member_id, topic)
            return (
                conn.execute(
                    "insert into subscriptions (member_id, topic, since) select id, ?, ? "
                    "from members where id = ? on conflict (member_id, topic) do nothing",
                    (topic, now, member_id),
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
