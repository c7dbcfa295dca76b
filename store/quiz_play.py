"""Taking part in a quiz: one attempt each, every answer once, places, and the prizes of them.

The clock of a question starts when the reply that shows it is made. A message that runs
again after a crash finds what it did, shows the same, and its question starts anew: nobody
has seen it yet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from store import coupons, eligibility, honours, points, used_up
from store.db import Database
from store.dialect import Connection
from store.honours import BadgeRule
from store.quiz_rules import Outcome, judged, milliseconds
from store.quizzes import CLOSED, LINGER_S, RUNNING, Quiz

STATE = "quiz"
"""The state that says what a member's words belong to; 退出 clears it with all others."""

AFTER_S = 60.0
"""So long after the last answer we know what a late word was meant for."""

_AHEAD = (
    "(o.score > a.score or (o.score = a.score and (o.elapsed_s < a.elapsed_s or "
    "(o.elapsed_s = a.elapsed_s and (o.started_at < a.started_at or "
    "(o.started_at = a.started_at and o.member_id < a.member_id))))))"
)
_PLACE = (
    "coalesce(a.rank, 1 + (select count(*) from quiz_attempts as o "
    f"where o.quiz_id = a.quiz_id and {_AHEAD}))"
)
_RIGHT = (
    "(select count(*) from quiz_answers as q where q.quiz_id = a.quiz_id "
    "and q.member_id = a.member_id and q.outcome = 'right')"
)


class Turn(StrEnum):
    """What a member's step came to."""

    ASKED = "asked"  # a question is open: begun, gone on, or after an answer
    DONE = "done"  # every question is behind them
    OVER = "over"  # the quiz does not run (any more)
    NOT_FOR_YOU = "not_for_you"
    PASSED = "passed"  # this question is not open to them any more
    EARLY = "early"  # written before the question was shown: it is asked again, unjudged


@dataclass(frozen=True, slots=True)
class Attempt:
    """A member's one attempt. position: the question they are at, from 1.

    elapsed_s: the time of their answers, and all the time of what has none (yet): who stops
    early is never faster than who goes on.
    """

    quiz_id: int
    member_id: int
    started_at: float
    finished_at: float | None
    position: int
    asked_at: float
    score: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """What a step came to. outcome, scored: of the answer it held; None for none.

    skipped: that answer was none.
    """

    turn: Turn
    attempt: Attempt | None = None
    outcome: Outcome | None = None
    scored: int = 0
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a member is, as far as one message may need it.

    attempt: the open or last one of the quiz their words belong to; None when they play
    none. choosing: quizzes of the list shown last, with the time it was shown. ready: the
    quiz whose rules they have read and that 开始 begins; None for none. done: the quiz that
    this very message has answered or begun before; None when it is new.
    """

    attempt: Attempt | None = None
    choosing: tuple[int, ...] = ()
    chosen_at: float = 0.0
    ready: int | None = None
    done: int | None = None
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A member's place, 1 the best, of so many who began. right: right answers.

    name: as they chose it for rankings; listed: whether others may see it. points, coupon:
    what was paid: the offer's title, "" for none. owed: a coupon they won could not be given.
    """

    rank: int
    member_id: int
    score: int
    right: int
    elapsed_s: float
    finished: bool
    name: str = ""
    listed: bool = True
    points: int = 0
    coupon: str = ""
    owed: bool = False


@dataclass(frozen=True, slots=True)
class Standings:
    """The best, and the member's own place (None without one), of so many who began."""

    rows: tuple[Place, ...]
    mine: Place | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """The rules that prizes go by. ends_at: when points given then end, None for never."""

    ends_at: Callable[[float], float | None] = lambda _: None
    badges: Sequence[BadgeRule] = ()


_ATTEMPT = (
    "quiz_id, member_id, started_at, finished_at, position, asked_at, score, elapsed_s "
    "from quiz_attempts"
)


def _attempt(conn: Connection, quiz_id: int, member_id: int) -> Attempt | None:
    row = conn.execute(
        f"select {_ATTEMPT} where quiz_id = ? and member_id = ?", (quiz_id, member_id)
    ).fetchone()
    return None if row is None else Attempt(*row)


def _is_on(conn: Connection, quiz: Quiz, now: float) -> bool:
    row = conn.execute("select status, ends_at from quizzes where id = ?", (quiz.id,)).fetchone()
    return row is not None and row[0] == RUNNING and now < row[1]


def _remember(conn: Connection, member_id: int, data: dict[str, Any], until: float) -> None:
    conn.execute(
        "insert into states (member_id, name, data, expires_at) values (?, ?, ?, ?) "
        "on conflict (member_id, name) do update set data = excluded.data, "
        "expires_at = excluded.expires_at",
        (member_id, STATE, json.dumps(data), until),
    )


def _ask_again(conn: Connection, attempt: Attempt, now: float) -> Attempt:
    """The reply that showed this question never left: its clock starts with this one."""
    conn.execute(
        "update quiz_attempts set asked_at = ? where quiz_id = ? and member_id = ? "
        "and finished_at is null",
        (now, attempt.quiz_id, attempt.member_id),
    )
    again = _attempt(conn, attempt.quiz_id, attempt.member_id)
    assert again is not None
    return again


def _put_answer(
    conn: Connection, quiz: Quiz, attempt: Attempt, given: str, took_ms: int, now: float, key: bytes
) -> Step:
    """Keep the answer to the open question, and ask the next or end the attempt."""
    question = quiz.questions[attempt.position - 1]
    outcome, scored = judged(question, given, quiz.speed_bonus, took_ms)
    conn.execute(
        "insert into quiz_answers (quiz_id, member_id, position, text, outcome, score, at, "
        "message_key) values (?, ?, ?, ?, ?, ?, ?, ?)",
        (quiz.id, attempt.member_id, attempt.position, given, outcome, scored, now, key),
    )
    last = attempt.position == len(quiz.questions)
    # In whole milliseconds: sums of fractions would depend on their order.
    elapsed_ms = round(attempt.elapsed_s * 1000) - max(0, question.seconds * 1000 - took_ms)
    conn.execute(
        "update quiz_attempts set position = ?, asked_at = ?, score = score + ?, elapsed_s = ?, "
        "finished_at = ? where quiz_id = ? and member_id = ?",
        (
            attempt.position + (not last),
            now,
            scored,
            elapsed_ms / 1000,
            now if last else None,
            quiz.id,
            attempt.member_id,
        ),
    )
    if last:
        _remember(conn, attempt.member_id, {"quiz": quiz.id}, now + AFTER_S)
    after = _attempt(conn, quiz.id, attempt.member_id)
    turn = Turn.DONE if last else Turn.ASKED
    return Step(turn, after, outcome, scored, skipped=not given and outcome == "wrong")


def _done_before(conn: Connection, attempt: Attempt, now: float, key: bytes) -> Step | None:
    """What this very message came to before; None when it is new."""
    row = conn.execute(
        "select position, outcome, score, text from quiz_answers where message_key = ? "
        "and quiz_id = ? and member_id = ?",
        (key, attempt.quiz_id, attempt.member_id),
    ).fetchone()
    if row is None:
        return None
    position, outcome, scored, text = row
    skipped = not text and outcome == "wrong"
    if attempt.finished_at is not None:
        return Step(Turn.DONE, attempt, outcome, scored, skipped)
    if attempt.position == position + 1:
        attempt = _ask_again(conn, attempt, now)
    return Step(Turn.ASKED, attempt, outcome, scored, skipped)


def _is_early(conn: Connection, attempt: Attempt, given: str, written_at: float) -> bool:
    """Whether it was written before its question was shown.

    WeChat counts whole seconds, so within one second only a repetition shows: a second tap.
    """
    if written_at >= attempt.asked_at:
        return False
    if written_at + 1.0 <= attempt.asked_at:
        return True
    before = conn.execute(
        "select 1 from quiz_answers where quiz_id = ? and member_id = ? and position = ? "
        "and text = ?",
        (attempt.quiz_id, attempt.member_id, attempt.position - 1, given),
    ).fetchone()
    return before is not None


def begin(
    conn: Connection,
    quiz: Quiz,
    member_id: int,
    key: bytes,
    now: float,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
) -> Step:
    """Begin, or go on: the open question, and whether one has lapsed meanwhile (`late`)."""
    attempt = _attempt(conn, quiz.id, member_id)
    if attempt is not None:
        before = _done_before(conn, attempt, now, key)
        if before is not None or attempt.finished_at is not None:
            return before or Step(Turn.DONE, attempt)
    if not _is_on(conn, quiz, now):
        return Step(Turn.OVER, attempt)
    assert quiz.ends_at is not None
    if attempt is None:
        if quiz.audience and not eligibility.fits(
            conn, quiz.audience, member_id, now, levels, tiers
        ):
            return Step(Turn.NOT_FOR_YOU)
        if used_up.used(conn, member_id, f"quiz:{quiz.id}"):
            # They know the questions: they took it before they were forgotten.
            return Step(Turn.DONE)
        made = conn.execute(
            "insert into quiz_attempts (quiz_id, member_id, started_at, position, asked_at, "
            "elapsed_s, message_key) select ?, id, ?, 1, ?, ?, ? from members where id = ? "
            "returning quiz_id",
            (quiz.id, now, now, sum(one.seconds for one in quiz.questions), key, member_id),
        ).fetchone()
        if made is None:  # erased in this very moment
            return Step(Turn.NOT_FOR_YOU)
        _remember(conn, member_id, {"quiz": quiz.id}, quiz.ends_at + LINGER_S)
        return Step(Turn.ASKED, _attempt(conn, quiz.id, member_id))
    _remember(conn, member_id, {"quiz": quiz.id}, quiz.ends_at + LINGER_S)
    if attempt.position == 1:
        row = conn.execute(
            "select message_key from quiz_attempts where quiz_id = ? and member_id = ?",
            (quiz.id, member_id),
        ).fetchone()
        if row[0] == key:
            return Step(Turn.ASKED, _ask_again(conn, attempt, now))
    took_ms = milliseconds(attempt.asked_at, now, now)
    if took_ms <= quiz.questions[attempt.position - 1].seconds * 1000:
        return Step(Turn.ASKED, attempt)
    return _put_answer(conn, quiz, attempt, "", took_ms, now, key)


def answer(
    conn: Connection,
    quiz: Quiz,
    member_id: int,
    position: int,
    given: str,
    key: bytes,
    written_at: float,
    now: float,
) -> Step:
    """Answer the question at `position`; the same message again changes nothing.

    given: letters in order ("AC"), words, or "" to skip it, which costs all its time.
    written_at: when WeChat says it was written.
    """
    attempt = _attempt(conn, quiz.id, member_id)
    if attempt is None:
        return Step(Turn.PASSED)
    before = _done_before(conn, attempt, now, key)
    if before is not None:
        return before
    if attempt.finished_at is not None or attempt.position != position:
        return Step(Turn.PASSED, attempt)
    if not _is_on(conn, quiz, now):
        return Step(Turn.OVER, attempt)
    if _is_early(conn, attempt, given, written_at):
        return Step(Turn.EARLY, attempt)
    took_ms = milliseconds(attempt.asked_at, written_at, now)
    if not given:
        took_ms = max(took_ms, quiz.questions[position - 1].seconds * 1000)
    return _put_answer(conn, quiz, attempt, given, took_ms, now, key)


def pay_places(
    conn: Connection, quiz: Quiz, after: int, limit: int, now: float, pay: Pay
) -> list[Place]:
    """Pay the prizes of the next places behind `after`, each once; the places, best first.

    A coupon that cannot be given is a note at the prize; its points are paid all the same.
    """
    if quiz.status != CLOSED:
        return []
    for place in _places(conn, quiz.id, "a.rank > ? order by a.rank limit ?", (after, limit)):
        answered = conn.execute(
            "select 1 from quiz_answers where quiz_id = ? and member_id = ? "
            "and outcome <> 'late' and text <> '' limit 1",
            (quiz.id, place.member_id),
        ).fetchone()
        won, word = quiz.prize_of(place.rank, place.score, answered is not None)
        if won or word:
            _pay(conn, quiz, place, won, word, now, pay)
        honours.honour(conn, place.member_id, pay.badges, now)
    return _places(conn, quiz.id, "a.rank > ? order by a.rank limit ?", (after, limit))


def _pay(
    conn: Connection, quiz: Quiz, place: Place, won: int, word: str, now: float, pay: Pay
) -> None:
    fresh = conn.execute(
        "insert into quiz_prizes (quiz_id, member_id, rank, points, at) values (?, ?, ?, ?, ?) "
        "on conflict (quiz_id, member_id) do nothing returning rank",
        (quiz.id, place.member_id, place.rank, won, now),
    ).fetchone()
    if fresh is None:
        return
    name = f"quiz:{quiz.id}:{place.member_id}"
    if won:
        points.post(
            conn,
            place.member_id,
            won,
            "quiz",
            name,
            now,
            ends_at=pay.ends_at(now),
            place=quiz.place,
        )
    if word:
        claim = coupons.issue(
            conn, word, place.member_id, coupons.gift_key(name), now, source="quiz", check=False
        )
        given = claim.outcome in (coupons.Outcome.CLAIMED, coupons.Outcome.AGAIN)
        coupon_id = claim.coupon.id if given and claim.coupon is not None else None
        conn.execute(
            "update quiz_prizes set coupon_id = ?, note = ? where quiz_id = ? and member_id = ?",
            (coupon_id, "" if given else claim.outcome.value, quiz.id, place.member_id),
        )


def _places(
    conn: Connection, quiz_id: int, rest: str, args: Sequence[Any], place: str = "a.rank"
) -> list[Place]:
    """Attempts as places. rest: which and in what order; place: what gives the rank."""
    rows = conn.execute(
        f"select {place}, a.member_id, a.score, {_RIGHT}, a.elapsed_s, "
        "a.finished_at is not null, coalesce(n.value, ''), h.value is null, "
        "coalesce(p.points, 0), coalesce(f.title, ''), coalesce(p.note, '') <> '' "
        "from quiz_attempts as a "
        "left join member_settings as n on n.member_id = a.member_id and n.name = 'name' "
        "left join member_settings as h on h.member_id = a.member_id and h.name = 'unlisted' "
        "left join quiz_prizes as p on p.quiz_id = a.quiz_id and p.member_id = a.member_id "
        "left join coupons as c on c.id = p.coupon_id left join offers as f on f.id = c.offer_id "
        f"where a.quiz_id = ? and {rest}",
        (quiz_id, *args),
    )
    return [
        Place(*(*row[:5], bool(row[5]), row[6], bool(row[7]), *row[8:10], bool(row[10])))
        for row in rows
    ]


class QuizPlay:
    """The tables `quiz_attempts`, `quiz_answers`, `quiz_prizes`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def seat(self, member_id: int, key: bytes, now: float) -> Seat:
        """Where this member is. key: of the message that wants to know."""

        def run(conn: Connection) -> Seat:
            done = conn.execute(
                "select quiz_id, 0 from quiz_answers where message_key = ? and member_id = ? "
                "union all select quiz_id, 1 from quiz_attempts "
                "where member_id = ? and message_key = ?",
                (key, member_id, member_id, key),
            ).fetchone()
            if done is not None:
                attempt = _attempt(conn, done[0], member_id)
                return Seat(attempt, done=done[0], begun=bool(done[1]))
            row = conn.execute(
                "select data from states where member_id = ? and name = ? and expires_at > ?",
                (member_id, STATE, now),
            ).fetchone()
            state = {} if row is None else json.loads(row[0])
            if "quiz" in state:
                return Seat(_attempt(conn, state["quiz"], member_id))
            choosing = tuple(state.get("choose", ()))
            return Seat(None, choosing, state.get("at", 0.0), state.get("ready"))

        return await self._db.read(run)

    async def attempt(self, quiz_id: int, member_id: int) -> Attempt | None:
        """A member's attempt; None when they have not begun."""
        return await self._db.read(lambda conn: _attempt(conn, quiz_id, member_id))

    async def begin(
        self,
        quiz: Quiz,
        member_id: int,
        key: bytes,
        now: float,
        levels: Sequence[int] = (),
        tiers: Sequence[str] = (),
    ) -> Step:
        """See the function of this name."""
        return await self._db.write(
            lambda conn: begin(conn, quiz, member_id, key, now, levels, tiers)
        )

    async def answer(
        self,
        quiz: Quiz,
        member_id: int,
        position: int,
        given: str,
        key: bytes,
        written_at: float,
        now: float,
    ) -> Step:
        """See the function of this name."""
        return await self._db.write(
            lambda conn: answer(conn, quiz, member_id, position, given, key, written_at, now)
        )

    async def offer(
        self,
        member_id: int,
        quiz_ids: Sequence[int],
        now: float,
        until: float,
        ready: int | None = None,
    ) -> None:
        """Remember the numbered list that was shown at `now`, and whose rules were; the list
        stays, so that the same number finds the same rules again."""

        def run(conn: Connection) -> None:
            state = {"choose": list(quiz_ids), "at": now, "ready": ready}
            _remember(conn, member_id, state, until)

        await self._db.write(run)

    async def open_to(
        self,
        quizzes: Sequence[Quiz],
        member_id: int,
        now: float,
        levels: Sequence[int] = (),
        tiers: Sequence[str] = (),
    ) -> list[Quiz]:
        """Those of the quizzes that this member may take, or has begun; [] for none."""

        def run(conn: Connection) -> list[Quiz]:
            return [
                quiz
                for quiz in quizzes
                if not quiz.audience
                or eligibility.fits(conn, quiz.audience, member_id, now, levels, tiers)
                or _attempt(conn, quiz.id, member_id) is not None
            ]

        return await self._db.read(run)

    async def leave(self, member_id: int, key: bytes, now: float, until: float) -> int | None:
        """Their words are their own again; the quiz they left, None when they played none.

        The same message again finds the same.
        """

        def run(conn: Connection) -> int | None:
            row = conn.execute(
                "select data from states where member_id = ? and name = ? and expires_at > ?",
                (member_id, STATE, now),
            ).fetchone()
            state = {} if row is None else json.loads(row[0])
            if state.get("by") == key.hex():
                return int(state["left"])
            if "quiz" not in state:
                return None
            attempt = _attempt(conn, state["quiz"], member_id)
            if attempt is None or attempt.finished_at is not None:
                return None
            _remember(conn, member_id, {"left": state["quiz"], "by": key.hex()}, until)
            return int(state["quiz"])

        return await self._db.write(run)

    async def standings(
        self, quiz_id: int, limit: int, member_id: int = 0, offset: int = 0
    ) -> Standings:
        """The best so far, or as it was settled, and one member's own place.

        offset: how many of the best to leave out.
        """

        def run(conn: Connection) -> Standings:
            best = (
                "1 = 1 order by coalesce(a.rank, 0), a.score desc, a.elapsed_s, a.started_at, "
                "a.member_id limit ? offset ?"
            )
            rows = tuple(
                replace(place, rank=place.rank or number)
                for number, place in enumerate(
                    _places(conn, quiz_id, best, (limit, offset)), offset + 1
                )
            )
            mine = _places(conn, quiz_id, "a.member_id = ?", (member_id,), _PLACE)
            count = conn.execute(
                "select count(*) from quiz_attempts where quiz_id = ?", (quiz_id,)
            ).fetchone()[0]
            return Standings(rows, mine[0] if mine else None, count)

        return await self._db.read(run)

    async def last_of(self, member_id: int) -> int | None:
        """The quiz this member began last; None for none."""

        def run(conn: Connection) -> int | None:
            row = conn.execute(
                "select quiz_id from quiz_attempts where member_id = ? "
                "order by started_at desc, quiz_id desc limit 1",
                (member_id,),
            ).fetchone()
            return None if row is None else int(row[0])

        return await self._db.read(run)

    async def pay_places(
        self, quiz: Quiz, after: int, limit: int, now: float, pay: Pay
    ) -> list[Place]:
        """See the function of this name; [] behind the last place."""
        return await self._db.write(lambda conn: pay_places(conn, quiz, after, limit, now, pay))

    async def paid(self, quiz_id: int, now: float) -> None:
        """Every place has what it won, and who could be told was told."""

        def run(conn: Connection) -> None:
            conn.execute(
                "update quizzes set paid_at = ? where id = ? and paid_at is null", (now, quiz_id)
            )

        await self._db.write(run)
