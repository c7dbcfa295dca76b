"""A quiz in a group: everybody is asked the same question at the same time.

The clock of a question starts when its post has left, by the row of that post: a kill at any
moment loses nothing and asks nothing twice. Whoever answers first takes part from then on; an
answer is a row of `quiz_answers` like any other, so that places and prizes are those of every
quiz. A second letter of the same member counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from store import eligibility, used_up
from store.db import Database
from store.dialect import Connection
from store.posts import NewPost, plan_in
from store.quiz_rules import judged, milliseconds
from store.quizzes import RUNNING, Quiz, read_quizzes

FIRST = 3
"""So many of those who were right are named."""

BEST = 10
"""Places of a ranking."""


class Fate(Enum):
    """What became of the post that asks. LOST: it was not posted, and never will be."""

    WAITS = "waits"
    ASKED = "asked"
    LOST = "lost"


class Round(NamedTuple):
    """The question that is open, or about to be. asked_at: None until it was posted."""

    position: int
    asked_at: float | None
    fate: Fate


class Scorer(NamedTuple):
    """Somebody who has points. name: what the group calls them, else the name they chose, ""
    for none. listed: whether others may see it in rankings. points: prize, once it is paid."""

    rank: int
    member_id: int
    name: str
    listed: bool
    score: int


@dataclass(frozen=True, slots=True)
class Result:
    """How a question went: how many answered in time, how many were right, who scored most, and
    the ranking so far."""

    answered: int
    right: int
    first: tuple[Scorer, ...]
    best: tuple[Scorer, ...]


class Heard(Enum):
    """What a letter in a group came to."""

    COUNTED = "counted"
    AGAIN = "again"  # they have answered this question
    CLOSED = "closed"  # no question is open, or it came too late or too early
    NOT_FOR_YOU = "not_for_you"


_CALLED = (
    "case when u.member_id is not null then coalesce(n.value, '') "
    "else coalesce(nullif(g.name, ''), n.value, '') end, h.value is null"
)
_NAMES = (
    "left join group_members as g on g.member_id = a.member_id and g.place = ? "
    "left join member_settings as n on n.member_id = a.member_id and n.name = 'name' "
    "left join member_settings as h on h.member_id = a.member_id and h.name = 'unlisted' "
    "left join member_settings as u on u.member_id = a.member_id and u.name = 'unrecorded' "
)


def _round(conn: Connection, quiz_id: int) -> Round | None:
    """The newest question that is not settled; None when there is none."""
    row = conn.execute(
        "select r.position, r.asked_at, p.status, p.settled_at from quiz_rounds as r "
        "left join posts as p on p.key = r.post_key "
        "where r.quiz_id = ? and r.position > 0 and r.settled_at is null "
        "order by r.position desc limit 1",
        (quiz_id,),
    ).fetchone()
    if row is None:
        return None
    position, asked_at, status, posted_at = row
    if asked_at is not None:
        return Round(position, asked_at, Fate.ASKED)
    if status in ("planned", "sending"):
        return Round(position, None, Fate.WAITS)
    if status in ("sent", "unknown"):
        # Nobody knows whether it was posted: who cannot see it does not answer.
        _start(conn, quiz_id, position, posted_at)
        return Round(position, posted_at, Fate.ASKED)
    return Round(position, None, Fate.LOST)


def _start(conn: Connection, quiz_id: int, position: int, at: float) -> None:
    conn.execute(
        "update quiz_rounds set asked_at = ? where quiz_id = ? and position = ? "
        "and asked_at is null",
        (at, quiz_id, position),
    )


def _is_leaving(conn: Connection, quiz_id: int, position: int, written_at: float) -> bool:
    """Whether the question is being posted right now, and this was written since.

    A gateway may tell of the first answer before it tells that the question was posted.
    """
    row = conn.execute(
        "select p.claimed_at from quiz_rounds as r join posts as p on p.key = r.post_key "
        "where r.quiz_id = ? and r.position = ? and p.status = 'sending'",
        (quiz_id, position),
    ).fetchone()
    return row is not None and row[0] is not None and written_at + 1.0 > row[0]


def _begin(conn: Connection, quiz_id: int, position: int, post: NewPost, now: float) -> bool:
    row = conn.execute(
        "insert into quiz_rounds (quiz_id, position, post_key) values (?, ?, ?) "
        "on conflict (quiz_id, position) do nothing returning position",
        (quiz_id, position, post.key),
    ).fetchone()
    if row is None:
        return False
    plan_in(conn, post, now)
    return True


def _best(conn: Connection, quiz: Quiz, limit: int) -> tuple[Scorer, ...]:
    rows = conn.execute(
        f"select coalesce(a.rank, 0), a.member_id, {_CALLED}, a.score from quiz_attempts as a "
        f"{_NAMES}where a.quiz_id = ? order by coalesce(a.rank, 0), a.score desc, a.elapsed_s, "
        "a.started_at, a.member_id limit ?",
        (quiz.place, quiz.id, limit),
    )
    return tuple(
        Scorer(row[0] or number, row[1], row[2], bool(row[3]), row[4])
        for number, row in enumerate(rows, 1)
    )


def _result(conn: Connection, quiz: Quiz, position: int) -> Result:
    answered, right = conn.execute(
        "select count(*), coalesce(sum(case when outcome = 'right' then 1 else 0 end), 0) "
        "from quiz_answers where quiz_id = ? and position = ?",
        (quiz.id, position),
    ).fetchone()
    rows = conn.execute(
        f"select a.member_id, {_CALLED}, a.score from quiz_answers as a {_NAMES}"
        "where a.quiz_id = ? and a.position = ? and a.outcome = 'right' "
        "order by a.score desc, a.at, a.member_id limit ?",
        (quiz.place, quiz.id, position, FIRST),
    )
    first = tuple(
        Scorer(number, row[0], row[1], bool(row[2]), row[3]) for number, row in enumerate(rows, 1)
    )
    return Result(answered, int(right), first, _best(conn, quiz, FIRST))


def answer(
    conn: Connection,
    quiz: Quiz,
    member_id: int,
    given: str,
    key: bytes,
    written_at: float,
    now: float,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
) -> Heard:
    """A letter said in the group: the answer to the question that is open, if it is the first.

    given: letters in order ("AC"). written_at: whole seconds, when the platform says it was
    written. The same message again changes nothing.
    """
    row = conn.execute("select status from quizzes where id = ?", (quiz.id,)).fetchone()
    open_ = _round(conn, quiz.id) if row is not None and row[0] == RUNNING else None
    if open_ is None:
        return Heard.CLOSED
    asked_at = open_.asked_at
    if open_.fate is Fate.WAITS and _is_leaving(conn, quiz.id, open_.position, written_at):
        asked_at = now
        _start(conn, quiz.id, open_.position, now)
    if asked_at is None or written_at + 1.0 <= asked_at:
        return Heard.CLOSED
    before = conn.execute(
        "select 1 from quiz_answers where quiz_id = ? and member_id = ? and position = ?",
        (quiz.id, member_id, open_.position),
    ).fetchone()
    if before is not None:
        return Heard.AGAIN
    question = quiz.questions[open_.position - 1]
    took_ms = milliseconds(asked_at, written_at, now)
    outcome, scored = judged(question, given, quiz.speed_bonus, took_ms)
    if outcome == "late":
        return Heard.CLOSED
    if not _takes_part(conn, quiz, member_id, open_.position, asked_at, now, key, levels, tiers):
        return Heard.NOT_FOR_YOU
    conn.execute(
        "insert into quiz_answers (quiz_id, member_id, position, text, outcome, score, at, "
        "message_key) values (?, ?, ?, ?, ?, ?, ?, ?)",
        (quiz.id, member_id, open_.position, given, outcome, scored, now, key),
    )
    last = open_.position == len(quiz.questions)
    saved_s = max(0, question.seconds * 1000 - took_ms) / 1000
    conn.execute(
        "update quiz_attempts set position = ?, asked_at = ?, score = score + ?, "
        "elapsed_s = elapsed_s - ?, finished_at = ? where quiz_id = ? and member_id = ?",
        (
            *(open_.position + (not last), asked_at, scored, saved_s, now if last else None),
            *(quiz.id, member_id),
        ),
    )
    return Heard.COUNTED


def _takes_part(
    conn: Connection,
    quiz: Quiz,
    member_id: int,
    position: int,
    asked_at: float,
    now: float,
    key: bytes,
    levels: Sequence[int],
    tiers: Sequence[str],
) -> bool:
    """Whether they are in, or may come in with this answer."""
    known = conn.execute(
        "select 1 from quiz_attempts where quiz_id = ? and member_id = ?", (quiz.id, member_id)
    ).fetchone()
    if known is not None:
        return True
    if quiz.audience and not eligibility.fits(conn, quiz.audience, member_id, now, levels, tiers):
        return False
    if used_up.used(conn, member_id, f"quiz:{quiz.id}"):
        return False  # they took it before they were forgotten
    made = conn.execute(
        "insert into quiz_attempts (quiz_id, member_id, started_at, position, asked_at, "
        "elapsed_s, message_key) select ?, id, ?, ?, ?, ?, ? from members where id = ? "
        "returning quiz_id",
        (
            *(quiz.id, now, position, asked_at),
            *(sum(one.seconds for one in quiz.questions), key, member_id),
        ),
    ).fetchone()
    return made is not None


class QuizRounds:
    """The table `quiz_rounds`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def playing(self) -> list[Quiz]:
        """Quizzes of groups that run, or whose last word has not been said; oldest first."""

        def run(conn: Connection) -> list[Quiz]:
            where = (
                "where place <> '' and (status = 'running' or id in (select quiz_id "
                "from quiz_rounds where position = 0 and settled_at is null)) order by id"
            )
            return read_quizzes(conn, where)

        return await self._db.read(run)

    async def begun(self, quiz_id: int) -> bool:
        """Whether it has been announced."""

        def run(conn: Connection) -> bool:
            row = conn.execute(
                "select 1 from quiz_rounds where quiz_id = ? and position = 0", (quiz_id,)
            ).fetchone()
            return row is not None

        return await self._db.read(run)

    async def begin(
        self, quiz_id: int, announcement: NewPost, question: NewPost, now: float
    ) -> bool:
        """Announce it, and plan its first question; False when that was done before."""

        def run(conn: Connection) -> bool:
            if not _begin(conn, quiz_id, 0, announcement, now):
                return False
            return _begin(conn, quiz_id, 1, question, now)

        return await self._db.write(run)

    async def current(self, quiz_id: int) -> Round | None:
        """The question that is open or about to be; its clock starts when its post has left."""
        return await self._db.write(lambda conn: _round(conn, quiz_id))

    async def settle(
        self,
        quiz: Quiz,
        position: int,
        now: float,
        told: Callable[[Result], NewPost],
        following: NewPost | None,
    ) -> bool:
        """Tell how a question went and plan the next one; False when that was done before.

        following: the post that asks the next question; None after the last.
        """

        def run(conn: Connection) -> bool:
            done = conn.execute(
                "update quiz_rounds set settled_at = ? where quiz_id = ? and position = ? "
                "and settled_at is null",
                (now, quiz.id, position),
            )
            if not done.rowcount:
                return False
            plan_in(conn, told(_result(conn, quiz, position)), now)
            if following is not None:
                _begin(conn, quiz.id, position + 1, following, now)
            return True

        return await self._db.write(run)

    async def answer(
        self,
        quiz: Quiz,
        member_id: int,
        given: str,
        key: bytes,
        written_at: float,
        now: float,
        levels: Sequence[int] = (),
        tiers: Sequence[str] = (),
    ) -> Heard:
        """See the function of this name."""
        return await self._db.write(
            lambda conn: answer(conn, quiz, member_id, given, key, written_at, now, levels, tiers)
        )

    async def best(self, quiz: Quiz, limit: int) -> tuple[Scorer, ...]:
        """The best so far, or as it was settled; () when nobody took part."""
        return await self._db.read(lambda conn: _best(conn, quiz, limit))

    async def finish(
        self, quiz: Quiz, now: float, told: Callable[[Sequence[Scorer]], NewPost]
    ) -> bool:
        """Say the last word on a quiz that is over; False when it was said, or nothing before.

        What is still planned of it is taken back.
        """

        def run(conn: Connection) -> bool:
            done = conn.execute(
                "update quiz_rounds set settled_at = ? where quiz_id = ? and position = 0 "
                "and settled_at is null",
                (now, quiz.id),
            )
            if not done.rowcount:
                return False
            conn.execute(
                "update posts set status = 'dropped', settled_at = ?, body = '' "
                "where status = 'planned' and key in (select post_key from quiz_rounds "
                "where quiz_id = ? and settled_at is null)",
                (now, quiz.id),
            )
            conn.execute(
                "update quiz_rounds set settled_at = ? where quiz_id = ? and settled_at is null",
                (now, quiz.id),
            )
            plan_in(conn, told(_best(conn, quiz, BEST)), now)
            return True

        return await self._db.write(run)
