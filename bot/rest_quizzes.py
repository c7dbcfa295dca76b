"""The REST API for quizzes: written as JSON, planned, and their places read.

The limits are those of the written form in chat (`handlers/quiz_text.py`); members are named
by number only.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bot.rest import (
    NUMBER,
    Answer,
    Call,
    Fault,
    Operation,
    Problem,
    Time,
    invalid,
    not_found,
    stamp,
    unix,
)
from bot.rest_path import JSON_MAX
from handlers.quiz_desk import MAX_MINUTES, MINUTES, missing_offer
from handlers.quiz_text import (
    BONUS,
    MAX_ANSWER,
    MAX_ANSWERS,
    MAX_BONUS,
    MAX_BYTES,
    MAX_OPTION,
    MAX_PLACE,
    MAX_POINTS,
    MAX_PRIZE,
    MAX_PRIZES,
    MAX_QUESTIONS,
    MAX_SECONDS,
    MAX_TITLE,
    MIN_SECONDS,
    POINTS,
    SECONDS,
    WHY,
    problems,
)
from store.eligibility import LONGEST
from store.quiz_play import Place
from store.quiz_rules import LETTERS, Kind, Question
from store.quizzes import NewQuiz, Prize, Quiz

_Option = Annotated[str, Meta(min_length=1, max_length=max(MAX_OPTION, MAX_ANSWER))]
QuizStatus = Literal["draft", "scheduled", "running", "closed", "cancelled"]


class QuestionIn(msgspec.Struct, forbid_unknown_fields=True):
    """One question. With options it is a choice, without a short answer."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_BYTES, examples=["一加一？"])]
    answers: Annotated[
        list[_Option],
        Meta(
            description="The letters of the right options (A is the first; several make a "
            "multiple choice), or the accepted answers.",
            min_length=1,
            max_length=MAX_ANSWERS,
            examples=[["A"]],
        ),
    ]
    options: Annotated[
        list[_Option],
        Meta(max_length=len(LETTERS), examples=[["二", "三"]]),
    ] = []
    points: Annotated[int, Meta(ge=1, le=MAX_POINTS)] = POINTS
    seconds: Annotated[int, Meta(ge=MIN_SECONDS, le=MAX_SECONDS)] = SECONDS


class PrizeBody(msgspec.Struct, forbid_unknown_fields=True):
    """What places win; first and last 0: everybody who answers in time. coupon: an offer's word."""

    first: Annotated[int, Meta(ge=0, le=MAX_PLACE)]
    last: Annotated[int, Meta(ge=0, le=MAX_PLACE)]
    points: Annotated[int, Meta(ge=0, le=MAX_PRIZE)] = 0
    coupon: Annotated[str, Meta(max_length=20)] = ""


class QuizIn(msgspec.Struct, forbid_unknown_fields=True):
    """A quiz to be made."""

    title: Annotated[str, Meta(min_length=1, max_length=MAX_TITLE, examples=["Python 小测验"])]
    questions: Annotated[list[QuestionIn], Meta(min_length=1, max_length=MAX_QUESTIONS)]
    prizes: Annotated[list[PrizeBody], Meta(max_length=MAX_PRIZES)] = []
    speed_bonus: Annotated[
        int, Meta(ge=0, le=MAX_BONUS, description="Percent that the fastest answer adds.")
    ] = BONUS
    audience: Annotated[
        str, Meta(max_length=LONGEST, description="Who may take part, as offers say it.")
    ] = ""


class QuestionOut(msgspec.Struct):
    """One question with its right answers."""

    kind: Kind
    text: str
    options: list[str]
    answers: list[str]
    points: int
    seconds: int


class QuizOut(msgspec.Struct):
    """A quiz. Times are null while they are not known; paid_at: when the last prize was paid."""

    id: int
    title: str
    status: QuizStatus
    questions: list[QuestionOut]
    prizes: list[PrizeBody]
    speed_bonus: int
    audience: str
    starts_at: str | None
    ends_at: str | None
    closed_at: str | None
    paid_at: str | None
    created_at: str
    created_by: str


class QuizList(msgspec.Struct):
    """A page, newest first. next: the cursor of the next one, null at the end."""

    quizzes: list[QuizOut]
    next: int | None


class QuizPaging(msgspec.Struct, forbid_unknown_fields=True):
    """Which quizzes."""

    cursor: Annotated[int, Meta(ge=0, le=JSON_MAX, description="Those before it.")] = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class PlaceOut(msgspec.Struct):
    """A member's place. points, coupon: what was paid; coupon: the offer's title, or empty."""

    rank: int
    member: int
    score: int
    right: int
    elapsed_s: float
    finished: bool
    points: int
    coupon: str


class QuizRanking(msgspec.Struct):
    """A page of places. count: members who took part; next: the cursor, null at the end."""

    places: list[PlaceOut]
    count: int
    next: int | None


class PlacePaging(msgspec.Struct, forbid_unknown_fields=True):
    """Which places."""

    cursor: Annotated[int, Meta(ge=0, le=2**31, description="Behind so many places.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class QuizScheduleIn(msgspec.Struct, forbid_unknown_fields=True):
    """When it runs."""

    starts_at: Time
    minutes: Annotated[int, Meta(ge=1, le=MAX_MINUTES)] = MINUTES

    def __post_init__(self) -> None:
        unix(self.starts_at)


def _when(at: float | None) -> str | None:
    return None if at is None else stamp(at)


def _out(quiz: Quiz) -> QuizOut:
    return QuizOut(
        id=quiz.id,
        title=quiz.title,
        status=quiz.status,  # type: ignore[arg-type] # the store knows these five only
        questions=[
            QuestionOut(
                one.kind, one.text, list(one.options), list(one.answers), one.points, one.seconds
            )
            for one in quiz.questions
        ],
        prizes=[PrizeBody(one.first, one.last, one.points, one.coupon) for one in quiz.prizes],
        speed_bonus=quiz.speed_bonus,
        audience=quiz.audience,
        starts_at=_when(quiz.starts_at),
        ends_at=_when(quiz.ends_at),
        closed_at=_when(quiz.closed_at),
        paid_at=_when(quiz.paid_at),
        created_at=stamp(quiz.created_at),
        created_by=quiz.created_by,
    )


def _place(one: Place) -> PlaceOut:
    return PlaceOut(
        one.rank,
        one.member_id,
        one.score,
        one.right,
        one.elapsed_s,
        one.finished,
        one.points,
        one.coupon,
    )


def _question(given: QuestionIn) -> Question:
    answers = [one.strip() for one in given.answers]
    kind: Kind = "short"
    if given.options:
        answers = sorted({one.upper() for one in answers})
        kind = "multiple" if len(answers) > 1 else "single"
    options = tuple(one.strip() for one in given.options)
    return Question(kind, given.text.strip(), options, tuple(answers), given.points, given.seconds)


def _new(given: QuizIn) -> NewQuiz:
    return NewQuiz(
        title=given.title.strip(),
        questions=tuple(_question(one) for one in given.questions),
        prizes=tuple(
            Prize(one.first, one.last, one.points, one.coupon.strip()) for one in given.prizes
        ),
        speed_bonus=given.speed_bonus,
        audience=given.audience.strip(),
    )


async def make(call: Call) -> Answer:
    """Make a draft; the same again is the same quiz, until that is over."""
    new = _new(call.body)
    faults = [
        Fault(f"/{name}/{place}" if name in ("questions", "prizes") else f"/{name}", WHY[code])
        for (name, place), code in problems(new)
    ]
    word = await missing_offer(call.deps.store, new) if not faults else ""
    if word:
        place = next(n for n, prize in enumerate(new.prizes) if prize.coupon == word)
        faults = [Fault(f"/prizes/{place}/coupon", "no open offer has this word")]
    if faults:
        raise Problem(
            422,
            "This is no quiz",
            "errors says what is wrong; nothing was stored.",
            type="invalid",
            errors=faults,
        )
    name = hashlib.blake2b(msgspec.json.encode(call.body), digest_size=16).digest()
    quiz, fresh = await call.deps.store.quizzes.create(new, call.now, call.actor, name)
    if fresh:
        await call.audit("quiz.new", f"quiz:{quiz.id}")
    headers = {"Location": f"/api/v1/quizzes/{quiz.id}"}
    return Answer(201 if fresh else 200, _out(quiz), headers)


async def index(call: Call) -> Answer:
    """Quizzes, newest first."""
    asked: QuizPaging = call.query
    found = await call.deps.store.quizzes.page(asked.cursor or None, asked.limit)
    last = found[-1].id if len(found) == asked.limit else None
    return Answer(body=QuizList([_out(quiz) for quiz in found], last))


async def _found(call: Call) -> Quiz:
    quiz = await call.deps.store.quizzes.get(call.number("id"))
    if quiz is None:
        raise not_found("quiz")
    return quiz


async def show(call: Call) -> Answer:
    """One quiz, with its right answers."""
    return Answer(body=_out(await _found(call)))


async def ranking(call: Call) -> Answer:
    """Places: so far while it runs, as they were settled when it is closed."""
    quiz, asked = await _found(call), call.query
    standings = await call.deps.store.quiz_play.standings(quiz.id, asked.limit, offset=asked.cursor)
    more = asked.cursor + asked.limit < standings.count
    following = asked.cursor + asked.limit if more else None
    return Answer(
        body=QuizRanking([_place(one) for one in standings.rows], standings.count, following)
    )


async def schedule(call: Call) -> Answer:
    """Plan a draft, or plan it anew."""
    quiz, asked = await _found(call), call.body
    starts_at = unix(asked.starts_at)
    if starts_at <= call.now:
        raise invalid("must lie ahead", "/starts_at")
    planned = await call.deps.store.quizzes.schedule(
        quiz.id, starts_at, starts_at + 60 * asked.minutes
    )
    if planned is None:
        raise Problem(
            409,
            "Not a draft",
            f"Only a draft or a scheduled quiz can be planned; this one is {quiz.status}.",
            type="not-a-draft",
        )
    await call.audit("quiz.schedule", f"quiz:{quiz.id}")
    return Answer(body=_out(planned))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/quizzes",
        name="makeQuiz",
        summary="Make a quiz, as a draft",
        description="The same body again is the same quiz, until that is closed or cancelled.",
        scope="quizzes:write",
        run=make,
        body=QuizIn,
        max_bytes=512 << 10,
        answers={200: QuizOut, 201: QuizOut},
    ),
    Operation(
        method="GET",
        path="/quizzes",
        name="listQuizzes",
        summary="Quizzes, newest first",
        scope="quizzes:read",
        run=index,
        query=QuizPaging,
        answers={200: QuizList},
    ),
    Operation(
        method="GET",
        path="/quizzes/{id}",
        name="showQuiz",
        summary="One quiz with its right answers",
        scope="quizzes:read",
        run=show,
        params={"id": NUMBER},
        answers={200: QuizOut},
    ),
    Operation(
        method="GET",
        path="/quizzes/{id}/ranking",
        name="rankQuiz",
        summary="Places, the best first",
        scope="quizzes:read",
        run=ranking,
        params={"id": NUMBER},
        query=PlacePaging,
        answers={200: QuizRanking},
    ),
    Operation(
        method="POST",
        path="/quizzes/{id}/schedule",
        name="scheduleQuiz",
        summary="Say when a quiz runs",
        scope="quizzes:write",
        run=schedule,
        params={"id": NUMBER},
        body=QuizScheduleIn,
        answers={200: QuizOut},
        problems=(409,),
    ),
)
