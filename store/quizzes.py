"""Quizzes and contests: what is asked, when, what can be won. Playing them is `quiz_play.py`.

draft -> scheduled -> running -> closed, or cancelled before it is closed. Closing settles
the ranking in one transaction; prizes are paid after it, each by a row of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from store.db import Database
from store.dialect import Connection
from store.offers import fold
from store.quiz_rules import Question
from store.statements import rows_of

T = TypeVar("T")

DRAFT = "draft"
SCHEDULED = "scheduled"
RUNNING = "running"
CLOSED = "closed"
CANCELLED = "cancelled"

LINGER_S = 600.0
"""So long after its end a quiz is still known without asking the database: answers that come
too late hear so."""
_LINGERING = 5
"""Of those at most so many."""


@dataclass(frozen=True, slots=True)
class Prize:
    """What places win: first to last, 1 the best; first 0: everybody who answered in time.

    coupon: the claim word of the offer, "" for none.
    """

    first: int
    last: int
    points: int = 0
    coupon: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQuiz:
    """A quiz to be made.

    speed_bonus: percent of a question's points; audience: who may take part, as a rule, ""
    for everyone; place: the group it is for, "" for the account.
    """

    title: str
    questions: tuple[Question, ...]
    prizes: tuple[Prize, ...] = ()
    speed_bonus: int = 50
    audience: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiz(NewQuiz):
    """A quiz as it is stored. Times in Unix seconds, None while they are not known."""

    id: int
    status: str
    created_at: float
    created_by: str
    starts_at: float | None = None
    ends_at: float | None = None
    closed_at: float | None = None
    paid_at: float | None = None

    def is_on(self, now: float) -> bool:
        """Whether one can take part at this moment."""
        return self.status == RUNNING and self.ends_at is not None and now < self.ends_at

    def prize_of(self, rank: int, score: int, answered: bool) -> tuple[int, str]:
        """Points and claim word for this place: (0, "") for nothing.

        A place wins with at least one point; taking part counts besides, with at least one
        answer in time. Its coupon goes to whom their place brings none.
        """
        points, placed, taking_part = 0, "", ""
        for prize in self.prizes:
            if prize.first == 0 and answered:
                points += prize.points
                taking_part = prize.coupon
            elif 1 <= prize.first <= rank <= prize.last and score > 0:
                points += prize.points
                placed = prize.coupon
        return points, placed or taking_part


@dataclass(frozen=True, slots=True)
class Due:
    """Numbers of quizzes that wait for the clock: to open, to close, to pay."""

    opening: tuple[int, ...] = ()
    ending: tuple[int, ...] = ()
    unpaid: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class QuestionReport:
    """How a question went: answers by outcome."""

    position: int
    text: str
    right: int = 0
    wrong: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class QuizReport:
    """How a quiz went: members who began and finished, points and coupons paid.

    unpaid: the members whose coupon could not be given, best place first.
    """

    quiz: Quiz
    began: int
    finished: int
    best: int
    mean: float
    points_paid: int
    coupons_paid: int
    unpaid: tuple[int, ...]
    questions: tuple[QuestionReport, ...]


_COLUMNS = (
    "id, title, place, status, starts_at, ends_at, speed_bonus, prizes, audience, created_at, "
    "created_by, closed_at, paid_at"
)


def read_quizzes(conn: Connection, rest: str, args: Sequence[Any] = ()) -> list[Quiz]:
    """The quizzes that `rest` (where, order, limit) takes, with their questions."""
    found = []
    for row in conn.execute(f"select {_COLUMNS} from quizzes {rest}", args).fetchall():
        questions = conn.execute(
            "select kind, text, options, answers, points, seconds from quiz_questions "
            "where quiz_id = ? order by position",
            (row[0],),
        )
        found.append(
            Quiz(
                id=row[0],
                title=row[1],
                place=row[2],
                status=row[3],
                starts_at=row[4],
                ends_at=row[5],
                speed_bonus=row[6],
                prizes=tuple(Prize(*prize) for prize in json.loads(row[7])),
                audience=row[8],
                created_at=row[9],
                created_by=row[10],
                closed_at=row[11],
                paid_at=row[12],
                questions=tuple(_question(one) for one in questions),
            )
        )
    return found


def _question(row: Sequence[Any]) -> Question:
    kind, text, options, answers, points, seconds = row
    lists = tuple(json.loads(options)), tuple(json.loads(answers))
    return Question(kind, text, *lists, points, seconds)


def _one(conn: Connection, quiz_id: int) -> Quiz | None:
    found = read_quizzes(conn, "where id = ?", (quiz_id,))
    return found[0] if found else None


class Quizzes:
    """The tables `quizzes` and `quiz_questions`, and which quizzes are on right now."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # As the file is when `Store.open` has read it; None when it is to be read again.
        self._current: tuple[Quiz, ...] | None = ()
        self._changes = 0

    # What is on

    def forget_cache(self) -> None:
        """Somebody wrote: what we think is on may be stale."""
        self._changes += 1
        self._current = None

    async def load(self) -> tuple[Quiz, ...]:
        """Read which quizzes run, and which ended last, in all and in each group. Errors:
        StoreError."""
        changes = self._changes

        def run(conn: Connection) -> tuple[Quiz, ...]:
            ended = (
                "select id from quizzes where status = 'closed' order by closed_at desc, id desc "
                f"limit {_LINGERING}"
            )
            played = (
                "select max(closed_at) from quizzes as o where o.place = q.place "
                "and o.status = 'closed'"
            )
            last = (
                "select q.id from quizzes as q where q.status = 'closed' and q.place <> '' "
                f"and q.closed_at = ({played})"
            )
            where = f"where status = 'running' or id in ({ended}) or id in ({last}) order by id"
            return tuple(read_quizzes(conn, where))

        found = await self._db.read(run)
        if changes == self._changes:
            self._current = found
        return found

    async def current(self, now: float) -> tuple[Quiz, ...]:
        """Quizzes that run, or ended within LINGER_S; from memory, unless something changed."""
        known = await self.load() if self._current is None else self._current
        return tuple(
            quiz for quiz in known if quiz.closed_at is None or now < quiz.closed_at + LINGER_S
        )

    async def on(self, now: float, place: str = "") -> tuple[Quiz, ...]:
        """Quizzes one can take part in at this moment, oldest first; mostly from memory."""
        return tuple(
            quiz for quiz in await self.current(now) if quiz.is_on(now) and quiz.place == place
        )

    def is_on(self, now: float, place: str) -> bool:
        """Whether one is on there as far as memory knows; no database."""
        return any(quiz.is_on(now) and quiz.place == place for quiz in self._current or ())

    def last_in(self, place: str, now: float, within_s: float) -> Quiz | None:
        """The quiz that is on in a group, else the one that ended last there, if within so many
        seconds; None for none, and while memory knows nothing; no database."""
        here = [quiz for quiz in self._current or () if quiz.place == place != ""]
        running = next((quiz for quiz in here if quiz.is_on(now)), None)
        if running is not None:
            return running
        ended = [quiz for quiz in here if quiz.closed_at is not None]
        last = max(ended, key=lambda quiz: quiz.closed_at or 0.0, default=None)
        return last if last is not None and now <= (last.closed_at or 0.0) + within_s else None

    async def _change(self, run: Callable[[Connection], T]) -> T:
        """A write after which other quizzes may be on; see `Members._change`."""
        writing = self._db.write(run)
        writing.add_done_callback(lambda _: self.forget_cache())
        return await writing

    # Making one

    async def create(
        self, new: NewQuiz, now: float, by: str, key: bytes | None = None
    ) -> tuple[Quiz, bool]:
        """A draft, and whether it is new. key: the same one again gives the same quiz, until
        that is over."""

        def run(conn: Connection) -> tuple[Quiz, bool]:
            name = key
            there = read_quizzes(conn, "where message_key = ?", (key,)) if key else []
            if there:
                if there[0].status not in (CLOSED, CANCELLED):
                    return there[0], False
                name = None
            quiz_id = conn.execute(
                "insert into quizzes (title, place, status, speed_bonus, prizes, audience, "
                "created_at, created_by, message_key) values (?, ?, 'draft', ?, ?, ?, ?, ?, ?) "
                "returning id",
                (
                    new.title,
                    new.place,
                    new.speed_bonus,
                    _json([[p.first, p.last, p.points, p.coupon] for p in new.prizes]),
                    new.audience,
                    now,
                    by,
                    name,
                ),
            ).fetchone()[0]
            conn.executemany(
                "insert into quiz_questions (quiz_id, position, kind, text, options, answers, "
                "points, seconds) values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        quiz_id,
                        position,
                        one.kind,
                        one.text,
                        _json(one.options),
                        _json(one.answers),
                        one.points,
                        one.seconds,
                    )
                    for position, one in enumerate(new.questions, 1)
                ],
            )
            made = _one(conn, quiz_id)
            assert made is not None
            return made, True

        return await self._db.write(run)

    async def get(self, quiz_id: int) -> Quiz | None:
        """One quiz; None when there is none of this number."""
        return await self._db.read(lambda conn: _one(conn, quiz_id))

    async def page(self, before: int | None = None, limit: int = 10) -> list[Quiz]:
        """Quizzes, newest first, those before a number; [] behind the last one."""

        def run(conn: Connection) -> list[Quiz]:
            where = "where ? is null or id < ? order by id desc limit ?"
            return read_quizzes(conn, where, (before, before, limit))

        return await self._db.read(run)

    async def next_scheduled(self, place: str = "") -> Quiz | None:
        """The scheduled quiz that starts first; None when none is."""

        def run(conn: Connection) -> Quiz | None:
            where = "where status = 'scheduled' and place = ? order by starts_at, id limit 1"
            found = read_quizzes(conn, where, (place,))
            return found[0] if found else None

        return await self._db.read(run)

    async def paying_with(self, word: str) -> list[Quiz]:
        """Quizzes still to be paid that promise the coupon with this claim word; drafts do not
        count, for they are looked at again before they begin."""

        def run(conn: Connection) -> list[Quiz]:
            where = (
                "where status in ('scheduled', 'running') "
                "or (status = 'closed' and paid_at is null) order by id"
            )
            return [
                quiz
                for quiz in read_quizzes(conn, where)
                if any(prize.coupon and fold(prize.coupon) == fold(word) for prize in quiz.prizes)
            ]

        return await self._db.read(run)

    # Its life

    async def schedule(
        self, quiz_id: int, starts_at: float, ends_at: float, place: str = ""
    ) -> Quiz | None:
        """Plan a draft, or plan it anew; None when it is neither draft nor scheduled.

        place: the group it is for; "" for the account.
        """
        return await self._step(
            quiz_id,
            "update quizzes set status = 'scheduled', starts_at = ?, ends_at = ?, place = ? "
            "where id = ? and status in ('draft', 'scheduled')",
            (starts_at, ends_at, place, quiz_id),
        )

    async def start(self, quiz_id: int, now: float, ends_at: float, place: str = "") -> Quiz | None:
        """Begin at once; None when it is neither draft nor scheduled. place: as in `schedule`."""
        return await self._step(
            quiz_id,
            "update quizzes set status = 'running', starts_at = ?, ends_at = ?, place = ? "
            "where id = ? and status in ('draft', 'scheduled')",
            (now, ends_at, place, quiz_id),
        )

    async def cancel(self, quiz_id: int, now: float) -> Quiz | None:
        """Call it off: nobody wins anything; None when it is over already."""
        return await self._step(
            quiz_id,
            "update quizzes set status = 'cancelled', closed_at = ? "
            "where id = ? and status in ('draft', 'scheduled', 'running')",
            (now, quiz_id),
        )

    async def _step(self, quiz_id: int, statement: str, args: Sequence[Any]) -> Quiz | None:
        def run(conn: Connection) -> Quiz | None:
            if conn.execute(statement, args).rowcount == 0:
                return None
            return _one(conn, quiz_id)

        return await self._change(run)

    async def due(self, now: float) -> Due:
        """What waits for the clock; a read, so that looking often costs little.

        A quiz in a group ends with its last question: `quiz_rounds.py`.
        """

        def run(conn: Connection) -> Due:
            opening, ending, unpaid = (
                tuple(row[0] for row in conn.execute(f"select id from quizzes where {where}", args))
                for where, args in (
                    ("status = 'scheduled' and starts_at <= ? order by starts_at, id", (now,)),
                    (
                        "status = 'running' and place = '' and ends_at <= ? order by ends_at, id",
                        (now,),
                    ),
                    ("status = 'closed' and paid_at is null order by id", ()),
                )
            )
            return Due(opening, ending, unpaid)

        return await self._db.read(run)

    async def open_due(self, now: float) -> int:
        """Open what was to start by now; says how many.

        One whose whole time passed while nobody was there is a draft again.
        """

        def run(conn: Connection) -> int:
            conn.execute(
                "update quizzes set status = 'draft', starts_at = null, ends_at = null "
                "where status = 'scheduled' and ends_at <= ?",
                (now,),
            )
            return conn.execute(
                "update quizzes set status = 'running' "
                "where status = 'scheduled' and starts_at <= ?",
                (now,),
            ).rowcount

        return await self._change(run)

    async def close(self, quiz_id: int, now: float) -> Quiz | None:
        """End it and settle the ranking, once; None when it does not run (any more)."""

        def run(conn: Connection) -> Quiz | None:
            closed = conn.execute(
                "update quizzes set status = 'closed', closed_at = ? "
                "where id = ? and status = 'running'",
                (now, quiz_id),
            )
            if closed.rowcount == 0:
                return None
            order = conn.execute(
                "select member_id from quiz_attempts where quiz_id = ? "
                "order by score desc, elapsed_s, started_at, member_id",
                (quiz_id,),
            ).fetchall()
            conn.executemany(
                "update quiz_attempts set rank = ? where quiz_id = ? and member_id = ?",
                [(rank, quiz_id, member_id) for rank, (member_id,) in enumerate(order, 1)],
            )
            return _one(conn, quiz_id)

        return await self._change(run)

    async def report(self, quiz_id: int) -> QuizReport | None:
        """How it went, or goes; None when there is no such quiz."""

        def run(conn: Connection) -> QuizReport | None:
            quiz = _one(conn, quiz_id)
            if quiz is None:
                return None
            began, finished, best, mean = conn.execute(
                "select count(*), count(finished_at), coalesce(max(score), 0), "
                "coalesce(avg(score), 0.0) from quiz_attempts where quiz_id = ?",
                (quiz_id,),
            ).fetchone()
            points, coupons = conn.execute(
                "select coalesce(sum(points), 0), count(coupon_id) "
                "from quiz_prizes where quiz_id = ?",
                (quiz_id,),
            ).fetchone()
            unpaid = tuple(
                row[0]
                for row in conn.execute(
                    "select member_id from quiz_prizes where quiz_id = ? and note <> '' "
                    "order by rank",
                    (quiz_id,),
                )
            )
            counts: dict[int, dict[str, int]] = {}
            for position, outcome, count in conn.execute(
                "select position, outcome, count(*) from quiz_answers where quiz_id = ? "
                "group by position, outcome",
                (quiz_id,),
            ):
                counts.setdefault(position, {})[outcome] = count
            questions = tuple(
                QuestionReport(position, one.text, **counts.get(position, {}))
                for position, one in enumerate(quiz.questions, 1)
            )
            return QuizReport(
                quiz, began, finished, best, float(mean), points, coupons, unpaid, questions
            )

        return await self._db.read(run)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# What is kept of a person; see `store/personal.py`

_MINE = {
    "quiz_attempts": "quiz_id, started_at, finished_at, position, score, elapsed_s, rank",
    "quiz_answers": "quiz_id, position, text, outcome, score, at",
    "quiz_prizes": "quiz_id, rank, points, coupon_id, note, at",
}


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What a member played, answered and won, by table."""
    return {
        table: rows_of(
            conn, f"select {columns} from {table} where member_id = ? order by quiz_id", member_id
        )
        for table, columns in _MINE.items()
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Remove it; the places of the others stay as they were settled."""
    return {
        table: conn.execute(f"delete from {table} where member_id = ?", (member_id,)).rowcount
        for table in reversed(_MINE)
    }


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Of two attempts at one quiz the one begun first counts; prizes paid stay paid."""
    both = conn.execute(
        "select k.quiz_id, k.started_at <= d.started_at from quiz_attempts as k "
        "join quiz_attempts as d on d.quiz_id = k.quiz_id "
        "where k.member_id = ? and d.member_id = ?",
        (keep, drop),
    ).fetchall()
    for quiz_id, keeps in both:
        for table in ("quiz_answers", "quiz_attempts"):
            conn.execute(
                f"delete from {table} where quiz_id = ? and member_id = ?",
                (quiz_id, drop if keeps else keep),
            )
    conn.execute(
        "delete from quiz_prizes where member_id = ? and quiz_id in "
        "(select quiz_id from quiz_prizes where member_id = ?)",
        (drop, keep),
    )
    for table in _MINE:
        conn.execute(f"update {table} set member_id = ? where member_id = ?", (keep, drop))
