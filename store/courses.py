"""Learners: what they are enrolled in and how far they are, homework, reminders wanted.

Enrolment and progress have no table: they are read from `events`, which arrive late and
out of order. Events say the same in whatever order they came, because only their own time
counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from store import hooks
from store.db import Database
from store.dialect import Connection

ALL_COURSES = ""
"""The item id of a reminder that is wanted for every course."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a learner. kind: enroll purchase refund progress complete."""

    kind: str
    at: float
    item_id: str
    chapter_id: str = ""
    percent: int | None = None
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Learning:
    """One member with one course. Times in Unix seconds, None when it did not happen.

    ended_at: the refund that ended it; chapters: chapter id -> greatest percent, 0 to 100;
    last_at: the newest event of any kind.
    """

    item_id: str
    started_at: float
    ended_at: float | None = None
    completed_at: float | None = None
    chapters: dict[str, int] = field(default_factory=dict)
    last_at: float = 0.0

    @property
    def active(self) -> bool:
        """Whether the member may go on learning: started, not refunded, not completed."""
        return self.ended_at is None and self.completed_at is None


@dataclass(frozen=True, slots=True)
class Homework:
    """What a member handed in. chapter_id: "" when the course has none or none was begun."""

    id: int
    member_id: int
    item_id: str
    chapter_id: str
    text: str
    submitted_at: float


def learning_from(steps: Iterable[Step]) -> list[Learning]:
    """What these events of one member say, newest activity first; their order is nothing.

    An enrolment or a purchase starts a course; without either, the first progress does. A
    refund ends what had started by then, except what belongs to another order.
    """
    by_item: dict[str, list[Step]] = {}
    for step in steps:
        by_item.setdefault(step.item_id, []).append(step)
    told = [one for item_id, own in by_item.items() if (one := _one(item_id, own)) is not None]
    return sorted(told, key=lambda one: (-one.last_at, one.item_id))


def _one(item_id: str, steps: list[Step]) -> Learning | None:
    starts = [step for step in steps if step.kind in ("enroll", "purchase")]
    learnt = [step for step in steps if step.kind in ("progress", "complete")]
    refunds = [step for step in steps if step.kind == "refund"]
    if not starts and learnt:
        starts = [Step("enroll", min(step.at for step in learnt), item_id)]
    if not starts:
        return None
    ends = {step: _ended(step, refunds) for step in starts}
    alive = [step.at for step, end in ends.items() if end is None]
    chapters: dict[str, int] = {}
    for step in learnt:
        if step.chapter_id:
            percent = 100 if step.kind == "complete" else min(100, max(0, step.percent or 0))
            chapters[step.chapter_id] = max(percent, chapters.get(step.chapter_id, 0))
    return Learning(
        item_id=item_id,
        started_at=min(alive or [step.at for step in starts]),
        ended_at=None if alive else max(end for end in ends.values() if end is not None),
        completed_at=min(
            (step.at for step in learnt if step.kind == "complete" and not step.chapter_id),
            default=None,
        ),
        chapters=dict(sorted(chapters.items())),
        last_at=max(step.at for step in steps),
    )


def _ended(start: Step, refunds: Iterable[Step]) -> float | None:
    """When this start was refunded: the first refund from then on that can mean it."""
    return min(
        (
            refund.at
            for refund in refunds
            if refund.at >= start.at
            and (not refund.order_id or not start.order_id or refund.order_id == start.order_id)
        ),
        default=None,
    )


_HOMEWORK = "id, member_id, item_id, chapter_id, text, submitted_at"


class Courses:
    """The tables `homework` and `reminders`, and what `events` says of learners."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def learning(self, member_id: int) -> list[Learning]:
        """The member's courses and columns, newest activity first; ended ones too.

        What the catalogue never had counts when somebody enrolled: the shop knows it.
        """

        def run(conn: Connection) -> list[Learning]:
            return learning_in(conn, member_id)

        return await self._db.read(run)

    # Homework

    async def hand_in(
        self, member_id: int, item_id: str, chapter_id: str, text: str, now: float, by: bytes
    ) -> Homework | None:
        """Keep homework, once for each message; says what is kept of this message.

        by: key of the message that brought it. None when the member is no more.
        """

        def run(conn: Connection) -> Homework | None:
            fresh = conn.execute(
                "insert into homework (member_id, item_id, chapter_id, text, submitted_at, "
                "message_key) select id, ?, ?, ?, ?, ? from members where id = ? "
                "on conflict (message_key) do nothing",
                (item_id, chapter_id, text, now, by, member_id),
            ).rowcount
            row = conn.execute(
                f"select {_HOMEWORK} from homework where message_key = ?", (by,)
            ).fetchone()
            if row is None:
                return None
            kept = Homework(*row)
            if fresh:
                data = {"member": member_id, "item": item_id, "homework": kept.id}
                hooks.queue(conn, "homework.submitted", f"homework:{kept.id}", data, now, now)
            return kept

        return await self._db.write(run)

    async def homework_of(self, member_id: int, limit: int = 5) -> list[Homework]:
        """What a member handed in, newest first."""

        def run(conn: Connection) -> list[Homework]:
            rows = conn.execute(
                f"select {_HOMEWORK} from homework where member_id = ? order by id desc limit ?",
                (member_id, limit),
            )
            return [Homework(*row) for row in rows]

        return await self._db.read(run)

    async def handed_in(
        self, item_id: str = "", offset: int = 0, limit: int = 5
    ) -> tuple[int, list[Homework]]:
        """How much was handed in for an item ("": for all), and one page, newest first."""
        where, args = ("where item_id = ?", (item_id,)) if item_id else ("", ())

        def run(conn: Connection) -> tuple[int, list[Homework]]:
            count = conn.execute(f"select count(*) from homework {where}", args).fetchone()[0]
            rows = conn.execute(
                f"select {_HOMEWORK} from homework {where} order by id desc limit ? offset ?",
                (*args, limit, offset),
            )
            return count, [Homework(*row) for row in rows]

        return await self._db.read(run)

    # Reminders

    async def remind(self, member_id: int, item_id: str, now: float) -> bool:
        """A member wants to be reminded of a course, or of ALL_COURSES; False: did already."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute(
                    "insert into reminders (member_id, item_id, since) select id, ?, ? "
                    "from members where id = ? on conflict (member_id, item_id) do nothing",
                    (item_id, now, member_id),
                ).rowcount
                == 1
            )

        return await self._db.write(run)

    async def stop_reminding(self, member_id: int) -> int:
        """No reminders any more, for no course; says how many wishes there were."""

        def run(conn: Connection) -> int:
            return conn.execute("delete from reminders where member_id = ?", (member_id,)).rowcount

        return await self._db.write(run)

    async def reminded_of(self, member_id: int) -> list[str]:
        """The courses a member wants to be reminded of, oldest wish first."""

        def run(conn: Connection) -> list[str]:
            rows = conn.execute(
                "select item_id from reminders where member_id = ? order by since, item_id",
                (member_id,),
            )
            return [row[0] for row in rows]

        return await self._db.read(run)

    async def wanting_reminders(
        self, after_id: int = 0, limit: int = 200
    ) -> list[tuple[int, list[Learning]]]:
        """Members who want reminders, by number, with the courses they want them for.

        after_id: the last number of the page before. Ended and completed courses are left
        out; a member without any other still stands in the list, so that pages go on.
        """

        def run(conn: Connection) -> list[tuple[int, list[Learning]]]:
            wishes: dict[int, set[str]] = {}
            for member_id, item_id in conn.execute(
                "select member_id, item_id from reminders where member_id in "
                "(select distinct member_id from reminders where member_id > ? "
                "order by member_id limit ?) order by member_id",
                (after_id, limit),
            ).fetchall():
                wishes.setdefault(member_id, set()).add(item_id)
            return [
                (
                    member_id,
                    [
                        one
                        for one in learning_in(conn, member_id)
                        if one.active and (ALL_COURSES in wanted or one.item_id in wanted)
                    ],
                )
                for member_id, wanted in wishes.items()
            ]

        return await self._db.read(run)


def learning_in(conn: Connection, member_id: int) -> list[Learning]:
    """`Courses.learning` within a transaction."""
    rows = conn.execute(
        "select e.kind, e.at, e.item_id, e.chapter_id, e.percent, e.order_id from events as e "
        "left join items as i on i.id = e.item_id where e.member_id = ? and e.item_id <> '' "
        "and e.kind in ('enroll', 'purchase', 'refund', 'progress', 'complete') "
        "and (i.kind in ('course', 'column') or (i.id is null and e.item_id in "
        "(select n.item_id from events as n where n.member_id = ? and n.kind = 'enroll')))",
        (member_id, member_id),
    )
    return learning_from(Step(*row) for row in rows)
