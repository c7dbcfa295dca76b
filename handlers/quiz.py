"""Quizzes in chat: 答题 asks one question after the other, each with a clock; 排名 shows places.

While a question is open, what looks like an answer belongs to it; every other word keeps its
meaning. Whether any quiz runs is known in memory, so that ordinary messages pay nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from handlers import content, faq, support, topics
from handlers.choices import WINDOW_S, number_in, recall
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.quiz_text import asked, chosen
from handlers.rankings import shown_to_others
from handlers.router import Router, folded
from handlers.texts import Texts
from store.quiz_play import Attempt, Place, Standings, Step, Turn
from store.quiz_rules import LETTERS, milliseconds
from store.quizzes import CLOSED, RUNNING, Quiz

router = Router("quiz")
leaving = Router("quiz.leave")
answers = Router("quiz.answer")

LATE_S = 60.0
"""So long after its time what looks like an answer is told that it is late; letters always."""

LISTED = 10
_KEPT_S = 7 * 86_400.0
_LONGEST = 200
"""Characters of an answer: what is longer is a message."""

_WORDS = frozenset(
    word
    for one in (topics.router, content.router, support.human, faq.feedback)
    for rule in one.rules
    for word in rule.words
)
"""Words of the routers asked after this one: they are no short answers."""


def when(at: float, now: datetime) -> str:
    """ "20:00" for a time of today, else "11-25 20:00"."""
    local = datetime.fromtimestamp(at, SHANGHAI)
    return local.strftime("%H:%M" if local.date() == now.date() else "%m-%d %H:%M")


def duration(ctx: Context, seconds: float) -> str:
    """ "12.3 秒", "2 分 5 秒"."""
    if seconds < 60:
        return ctx.texts("quiz.seconds", seconds=f"{seconds:.1f}".removesuffix(".0"))
    return ctx.texts("quiz.minutes", minutes=int(seconds) // 60, seconds=int(seconds) % 60)


def won(texts: Texts, place: Place) -> str:
    """What a place was paid; "" for nothing."""
    parts = []
    if place.points:
        parts.append(texts("quiz.prize_points", points=place.points))
    if place.coupon:
        parts.append(texts("quiz.prize_coupon", coupon=place.coupon))
    return "，".join(parts)


def _called(ctx: Context, place: Place, numbers: bool) -> str:
    if numbers:
        return ctx.texts("quiz.somebody", member=place.member_id)
    name = shown_to_others(ctx, place.name, place.member_id)
    if place.member_id == ctx.member.id:
        return ctx.texts("quiz.me", name=name)
    return name if place.listed else ctx.texts("quiz.anonymous")


def ranked(ctx: Context, quiz: Quiz, standings: Standings, *, numbers: bool = False) -> str:
    """The best, and the reader's own place when it is not among them.

    numbers: call members by their numbers, as operators see them.
    """
    if not standings.rows:
        return ctx.texts("quiz.ranking_none", title=quiz.title)
    lines = [ctx.texts("quiz.ranking_head", title=quiz.title, members=standings.count)]
    lines += [
        ctx.texts(
            "quiz.ranking_item",
            rank=place.rank,
            name=_called(ctx, place, numbers),
            score=place.score,
            elapsed=duration(ctx, place.elapsed_s),
        )
        for place in standings.rows
    ]
    mine = standings.mine
    if mine is not None and all(place.member_id != mine.member_id for place in standings.rows):
        lines.append(ctx.texts("quiz.ranking_mine", rank=mine.rank, score=mine.score))
    return "\n".join(lines)


# Beginning


@router.text("答题|竞赛|知识竞赛|我要答题|开始答题|继续答题|参加答题|参加竞赛", name="quiz.begin")
async def begin(message: Message, ctx: Context) -> Reply:
    """The open question of the one quiz that runs; with several, which one; else what is next."""
    running = await ctx.store.quizzes.on(ctx.at)
    if not running:
        return await _coming(message, ctx)
    if len(running) > 1:
        seat = await ctx.store.quiz_play.seat(ctx.member.id, bytes.fromhex(message.key), ctx.at)
        mine = seat.attempt
        if mine is not None and mine.finished_at is None:
            running = tuple(quiz for quiz in running if quiz.id == mine.quiz_id) or running
    if len(running) == 1:
        return await _begin(message, ctx, running[0])
    return await _choose(ctx, running)


async def _coming(message: Message, ctx: Context) -> Reply:
    """Nothing runs: say what comes, or that nothing does."""
    coming = await ctx.store.quizzes.next_scheduled()
    if coming is None or coming.starts_at is None:
        return Reply.text(ctx.texts("quiz.none"))
    if coming.starts_at <= ctx.at:
        # It is time, the clock has not come round yet.
        await ctx.store.quizzes.open_due(ctx.at)
        running = await ctx.store.quizzes.on(ctx.at)
        if running:
            return await _begin(message, ctx, running[0])
        return Reply.text(ctx.texts("quiz.none"))
    return Reply.text(
        ctx.texts(
            "quiz.scheduled",
            title=coming.title,
            when=when(coming.starts_at, ctx.now),
            count=len(coming.questions),
        )
    )


async def _choose(ctx: Context, running: Sequence[Quiz]) -> Reply:
    shown = running[:LISTED]
    ids = [quiz.id for quiz in shown]
    await ctx.store.quiz_play.offer(ctx.member.id, ids, ctx.at, ctx.at + WINDOW_S)
    lines = [
        ctx.texts(
            "quiz.choose_item",
            number=number,
            title=quiz.title,
            count=len(quiz.questions),
            until=when(quiz.ends_at or ctx.at, ctx.now),
        )
        for number, quiz in enumerate(shown, 1)
    ]
    return Reply.text("\n".join((ctx.texts("quiz.choose"), *lines)))


async def _begin(message: Message, ctx: Context, quiz: Quiz) -> Reply:
    ctx.item = f"quiz:{quiz.id}"
    step = await ctx.store.quiz_play.begin(
        quiz,
        ctx.member.id,
        bytes.fromhex(message.key),
        ctx.at,
        tuple(level.points for level in ctx.rewards.levels),
        ctx.rewards.membership.tiers,
    )
    attempt = step.attempt
    fresh = attempt is not None and attempt.position == 1 and attempt.asked_at == ctx.at
    if step.turn is Turn.ASKED and fresh and step.outcome is None:
        head = ctx.texts(
            "quiz.begin",
            title=quiz.title,
            count=len(quiz.questions),
            until=when(quiz.ends_at or ctx.at, ctx.now),
        )
        return Reply.text(f"{head}\n\n{_question(ctx, quiz, attempt)}" if attempt else head)
    return await _told(ctx, quiz, step)


# What a step came to


async def _told(ctx: Context, quiz: Quiz, step: Step) -> Reply:
    """The judgement of an answer, and what comes next."""
    lines = []
    if step.outcome == "right":
        lines.append(ctx.texts("quiz.right", scored=step.scored))
    elif step.outcome == "wrong":
        lines.append(ctx.texts("quiz.wrong"))
    elif step.outcome == "late":
        lines.append(ctx.texts("quiz.late"))
    attempt = step.attempt
    if step.turn is Turn.NOT_FOR_YOU:
        lines.append(ctx.texts("quiz.not_for_you", title=quiz.title))
    elif attempt is None:
        lines.append(ctx.texts("quiz.over", title=quiz.title))
    elif attempt.finished_at is not None or step.turn is Turn.OVER:
        lines.append(await _result(ctx, quiz))
    else:
        lines.append(_question(ctx, quiz, attempt))
    return Reply.text("\n".join(lines))


def _question(ctx: Context, quiz: Quiz, attempt: Attempt) -> str:
    """The open question with the time there is for it."""
    question = quiz.questions[attempt.position - 1]
    gone = int(ctx.at - attempt.asked_at)
    facts = {
        "number": attempt.position,
        "count": len(quiz.questions),
        "points": question.points,
        "seconds": max(1, question.seconds - gone),
    }
    open_ = gone > 0
    head = ctx.texts("quiz.question_open" if open_ else "quiz.question", **facts)
    how = ctx.texts(f"quiz.how_{question.kind}")
    return f"{head}\n{asked(question)}\n（{how}）"


async def _result(ctx: Context, quiz: Quiz) -> str:
    """A member's card: so far while the quiz runs, with the prize when it is over."""
    fresh = await ctx.store.quizzes.get(quiz.id) or quiz
    standings = await ctx.store.quiz_play.standings(quiz.id, 0, ctx.member.id)
    mine = standings.mine
    if mine is None or fresh.status not in (RUNNING, CLOSED):
        return ctx.texts("quiz.over", title=quiz.title)
    if not mine.finished and fresh.is_on(ctx.at):
        seat = await ctx.store.quiz_play.attempt(quiz.id, ctx.member.id)
        return ctx.texts(
            "quiz.result_open",
            title=quiz.title,
            number=seat.position if seat is not None else 1,
            count=len(quiz.questions),
            score=mine.score,
            rank=mine.rank,
            members=standings.count,
        )
    facts = {
        "title": quiz.title,
        "score": mine.score,
        "right": mine.right,
        "count": len(quiz.questions),
        "elapsed": duration(ctx, mine.elapsed_s),
        "rank": mine.rank,
        "members": standings.count,
    }
    if fresh.status == CLOSED:
        return ctx.texts("quiz.result_closed", **facts, prize=won(ctx.texts, mine)).rstrip()
    return ctx.texts("quiz.result", **facts, until=when(fresh.ends_at or ctx.at, ctx.now))


# Answering


@answers.question()
async def hear(message: Message, ctx: Context) -> Reply | None:
    """An answer to the open question; None for all that is none."""
    current = {quiz.id: quiz for quiz in await ctx.store.quizzes.current(ctx.at)}
    if not current or not _looks_like_answer(message.text, current.values()):
        return None
    play, key = ctx.store.quiz_play, bytes.fromhex(message.key)
    seat = await play.seat(ctx.member.id, key, ctx.at)
    if seat.done is not None:
        # This message ran before a crash: show what it came to.
        before = current.get(seat.done) or await ctx.store.quizzes.get(seat.done)
        return None if before is None else await _begin(message, ctx, before)
    if seat.choosing:
        return await _chosen(message, ctx, seat.choosing, seat.chosen_at, current)
    attempt = seat.attempt
    quiz = current.get(attempt.quiz_id) if attempt is not None else None
    if attempt is None or quiz is None or attempt.finished_at is not None:
        return None
    given = _given(ctx, message, quiz, attempt)
    if given is None or isinstance(given, Reply):
        return given
    ctx.item = f"quiz:{quiz.id}"
    step = await play.answer(
        quiz, ctx.member.id, attempt.position, given, key, message.created, ctx.at
    )
    return await _told(ctx, quiz, step)


def _looks_like_answer(text: str, current: Iterable[Quiz]) -> bool:
    """Whether it could be one for anybody; what could not costs no look into the database."""
    if chosen(text) is not None or number_in(text) is not None:
        return True
    if len(text) > _LONGEST or folded(text) in _WORDS:
        return False
    return any(question.kind == "short" for quiz in current for question in quiz.questions)


async def _chosen(
    message: Message, ctx: Context, ids: Sequence[int], at: float, current: dict[int, Quiz]
) -> Reply | None:
    """A number from the list of quizzes, unless another list was shown since."""
    number = number_in(message.text)
    if number is None or not 1 <= number <= len(ids):
        return None
    other = await recall(ctx, message.key)
    if other is not None and other.things and other.until - WINDOW_S > at:
        return None
    quiz = current.get(ids[number - 1])
    return None if quiz is None else await _begin(message, ctx, quiz)


def _given(ctx: Context, message: Message, quiz: Quiz, attempt: Attempt) -> str | Reply | None:
    """The answer as it is judged; a Reply that asks for another; None when it is none."""
    question = quiz.questions[attempt.position - 1]
    late_ms = milliseconds(attempt.asked_at, message.created, ctx.at) - question.seconds * 1000
    if question.kind == "short":
        if folded(message.text) in _WORDS or len(message.text) > _LONGEST:
            return None
        return message.text if late_ms <= LATE_S * 1000 and quiz.is_on(ctx.at) else None
    letters = chosen(message.text)
    if letters is None:
        return None
    digits = any(char.isdigit() for char in message.text)
    if digits and late_ms > LATE_S * 1000:
        # A number picks from lists, too.
        return None
    if late_ms > 0:
        return letters
    last = LETTERS[len(question.options) - 1]
    if letters[-1] > last:
        return Reply.text(ctx.texts("quiz.which_letters", last=last))
    if question.kind == "single" and len(letters) > 1:
        return Reply.text(ctx.texts("quiz.one_letter"))
    return letters


# Leaving, and places


@leaving.text(r"(?:我要)?退出(?:吧|答题)?|取消|算了|返回|不要了")
async def leave(message: Message, ctx: Context) -> Reply | None:
    """Words are one's own again; None for who plays nothing, or has more to call off."""
    if not await ctx.store.quizzes.on(ctx.at):
        return None
    if await ctx.store.members.state(ctx.member.id, "forget", ctx.at):
        return None
    quiz_id = await ctx.store.quiz_play.leave(
        ctx.member.id, bytes.fromhex(message.key), ctx.at, ctx.at + WINDOW_S
    )
    quiz = await ctx.store.quizzes.get(quiz_id) if quiz_id is not None else None
    if quiz is None:
        return None
    return Reply.text(ctx.texts("quiz.left", title=quiz.title))


@router.text("排名|我的成绩|我的排名|竞赛排名|答题排名", name="quiz.rank")
async def rank(message: Message, ctx: Context) -> Reply | None:
    """Places so far, or as they were settled within a week; None without any quiz."""
    quiz = await _meant(message, ctx)
    if quiz is None:
        return None
    ctx.item = f"quiz:{quiz.id}"
    standings = await ctx.store.quiz_play.standings(quiz.id, LISTED, ctx.member.id)
    if folded(message.text) == "我的成绩" and standings.mine is not None:
        return Reply.text(await _result(ctx, quiz))
    return Reply.text(ranked(ctx, quiz, standings))


async def _meant(message: Message, ctx: Context) -> Quiz | None:
    """The quiz one plays, else the one that runs, else the one played last."""
    running = await ctx.store.quizzes.on(ctx.at)
    last = await ctx.store.quiz_play.last_of(ctx.member.id)
    mine = next((quiz for quiz in running if quiz.id == last), None)
    if mine is not None or running:
        return mine or running[-1]
    quiz = await ctx.store.quizzes.get(last) if last is not None else None
    if quiz is None or quiz.status != CLOSED or ctx.at > (quiz.closed_at or 0.0) + _KEPT_S:
        return None
    return quiz
