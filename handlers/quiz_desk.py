"""/quiz: quizzes written in a message, started, planned, closed and looked at by operators.

What changes something is previewed and asked first, and written into the audit.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from handlers import changes, group_quiz
from handlers.changes import number_from, short
from handlers.context import SHANGHAI, Context
from handlers.coupon_words import audience
from handlers.message import Message, Reply
from handlers.quiz import LISTED, ranked, when, wins
from handlers.quiz_text import BadQuiz, read
from handlers.router import folded
from handlers.rule_words import lost
from store import Store
from store.quiz_rules import Question
from store.quizzes import CANCELLED, CLOSED, DRAFT, RUNNING, SCHEDULED, NewQuiz, Quiz

MINUTES = 30
"""How long a quiz runs when nobody says."""
MAX_MINUTES = 7 * 24 * 60
MAX_FAULTS = 8
MAX_NAMED = 20
"""Members in a report whose coupon could not be given."""
PREVIEWED = 10
"""Questions in a preview; the others are counted."""
_PARTS = re.compile(r"(\S*)\s*(.*)", re.DOTALL)
_AHEAD = timedelta(days=183)
_TIME = re.compile(r"(?:([0-9]{4})[-/.])?([0-9]{1,2})[-/.]([0-9]{1,2})\s+([0-9]{1,2}):([0-9]{2})")

Run = Callable[[Message, Context, str], Awaitable[Reply]]


def moment(text: str, now: datetime) -> datetime | None:
    """ "11-25 20:00" or "2026-11-25 20:00" in Shanghai; None for anything else.

    Without a year the nearest one: a day just gone is one of the past, not of next year.
    """
    found = _TIME.fullmatch(folded(text))
    if found is None:
        return None
    year, *rest = (int(part or 0) for part in found.groups())
    meant = _in_year(year or now.year, rest)
    if year or meant is None or meant >= now:
        return meant
    later = _in_year(now.year + 1, rest)
    return later if later is not None and later - now < _AHEAD else meant


def _in_year(year: int, rest: Sequence[int]) -> datetime | None:
    month, day, hour, minute = rest
    try:
        return datetime(year, month, day, hour, minute, tzinfo=SHANGHAI)
    except ValueError:
        return None


async def missing_offer(store: Store, new: NewQuiz) -> str:
    """The first claim word among the prizes that no open offer has; "" when all are there."""
    for prize in new.prizes:
        if prize.coupon and await store.offers.by_word(prize.coupon) is None:
            return prize.coupon
    return ""


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/quiz …: the word after it says what."""
    found = _PARTS.fullmatch(rest)
    run = _COMMANDS.get(folded(found[1])) if found is not None and found[1] else None
    if found is None or run is None:
        return Reply.text(ctx.texts("quiz.usage"))
    return await run(message, ctx, found[2].strip())


# Writing one


async def _new(message: Message, ctx: Context, rest: str) -> Reply:
    """/quiz new and the written form: what is wrong with it, or a preview to confirm."""
    if not rest:
        return Reply.text(ctx.texts("quiz.form"))
    try:
        new = read(rest)
    except BadQuiz as bad:
        return Reply.text(_faults(ctx, bad))
    word = await missing_offer(ctx.store, new)
    if word:
        return Reply.text(ctx.texts("quiz.unknown_offer", word=short(word)))
    if why := await lost(ctx, new.audience):
        return Reply.text(why)
    question = f"{preview(ctx, new)}\n{ctx.texts('quiz.create_ask')}"
    return await changes.ask(ctx, "quiz.new", {"text": rest, "key": message.key}, question)


def _faults(ctx: Context, bad: BadQuiz) -> str:
    lines = [ctx.texts("quiz.faults")]
    lines += [
        ctx.texts("quiz.fault", line=fault.line, why=ctx.texts(f"quiz.fault_{fault.code}"))
        for fault in bad.faults[:MAX_FAULTS]
    ]
    if len(bad.faults) > MAX_FAULTS:
        lines.append(ctx.texts("quiz.more_faults", count=len(bad.faults) - MAX_FAULTS))
    return "\n".join(lines)


def preview(ctx: Context, new: NewQuiz) -> str:
    """The quiz with its right answers, on few lines."""
    lines = [
        ctx.texts(
            "quiz.preview_question",
            number=number,
            text=short(one.text),
            answers=_answers(one),
            points=one.points,
            seconds=one.seconds,
        )
        for number, one in enumerate(new.questions[:PREVIEWED], 1)
    ]
    if len(new.questions) > PREVIEWED:
        lines.append(ctx.texts("quiz.preview_more", count=len(new.questions) - PREVIEWED))
    prizes = [wins(ctx.texts, prize, prize.coupon) for prize in new.prizes]
    prizes = prizes or [ctx.texts("quiz.prize_none")]
    if who := audience(ctx.texts, new.audience, ctx.items):
        prizes.append(ctx.texts("quiz.audience_line", who=who, rule=new.audience))
    return ctx.texts(
        "quiz.preview",
        title=new.title,
        count=len(new.questions),
        most=sum(one.points + one.points * new.speed_bonus // 100 for one in new.questions),
        bonus=new.speed_bonus,
        prizes="\n".join(prizes),
        questions="\n".join(lines),
    )


def _answers(question: Question) -> str:
    return short(("" if question.options else " / ").join(question.answers))


@changes.executes("quiz.new")
async def _created(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    quiz, _ = await ctx.store.quizzes.create(
        read(args["text"]), ctx.at, f"member:{ctx.member.id}", bytes.fromhex(args["key"])
    )
    await changes.audited(message, ctx, "quiz.new", f"quiz:{quiz.id}", short(quiz.title))
    return Reply.text(ctx.texts("quiz.created", quiz=quiz.id, title=quiz.title))


# Looking at them


def _status(ctx: Context, quiz: Quiz) -> str:
    return ctx.texts(f"quiz.status_{quiz.status}")


async def _list(message: Message, ctx: Context, rest: str) -> Reply:
    found = await ctx.store.quizzes.page(limit=LISTED)
    if not found:
        return Reply.text(ctx.texts("quiz.list_none"))
    lines = [
        ctx.texts(
            "quiz.list_item",
            quiz=quiz.id,
            title=quiz.title,
            status=_status(ctx, quiz),
            count=len(quiz.questions),
            when=_times(ctx, quiz),
        )
        for quiz in found
    ]
    return Reply.text("\n".join((ctx.texts("quiz.list_head"), *lines)))


def _times(ctx: Context, quiz: Quiz) -> str:
    if quiz.starts_at is None or quiz.ends_at is None:
        return ""
    end = min(quiz.ends_at, quiz.closed_at or quiz.ends_at)
    return ctx.texts("quiz.list_when", start=when(quiz.starts_at, ctx.now), end=when(end, ctx.now))


def _unknown(ctx: Context, rest: str) -> Reply:
    """There is none of this number; or none was given."""
    return Reply.text(ctx.texts("quiz.unknown" if rest else "quiz.number_missing"))


async def _found(ctx: Context, rest: str) -> Quiz | None:
    number = number_from(rest.split()[0]) if rest.split() else None
    return None if number is None else await ctx.store.quizzes.get(number)


async def _show(message: Message, ctx: Context, rest: str) -> Reply:
    quiz = await _found(ctx, rest)
    return _unknown(ctx, rest) if quiz is None else Reply.text(preview(ctx, quiz))


async def _rank(message: Message, ctx: Context, rest: str) -> Reply:
    quiz = await _found(ctx, rest)
    if quiz is None:
        return _unknown(ctx, rest)
    standings = await ctx.store.quiz_play.standings(quiz.id, LISTED)
    return Reply.text(ranked(ctx, quiz, standings, numbers=True))


async def _report(message: Message, ctx: Context, rest: str) -> Reply:
    quiz = await _found(ctx, rest)
    report = await ctx.store.quizzes.report(quiz.id) if quiz is not None else None
    if report is None:
        return _unknown(ctx, rest)
    lines = [
        ctx.texts(
            "quiz.report_question",
            number=one.position,
            text=short(one.text),
            right=one.right,
            wrong=one.wrong,
            late=one.late,
        )
        for one in report.questions
    ]
    if report.unpaid:
        named = "、".join(map(str, report.unpaid[:MAX_NAMED]))
        if len(report.unpaid) > MAX_NAMED:
            named = ctx.texts("quiz.report_others", members=named, count=len(report.unpaid))
        lines.append(ctx.texts("quiz.report_unpaid", members=named))
    return Reply.text(
        ctx.texts(
            "quiz.report",
            title=report.quiz.title,
            status=_status(ctx, report.quiz),
            began=report.began,
            finished=report.finished,
            best=report.best,
            mean=round(report.mean, 1),
            points=report.points_paid,
            coupons=report.coupons_paid,
            questions="\n".join(lines),
        )
    )


# Changing their state


def _minutes(words: list[str]) -> int | None:
    if not words:
        return MINUTES
    number = number_from(words[0].removesuffix("分钟")) if len(words) == 1 else None
    return number if number is not None and 1 <= number <= MAX_MINUTES else None


def _not_now(ctx: Context, quiz: Quiz) -> Reply:
    return Reply.text(ctx.texts("quiz.not_now", title=quiz.title, status=_status(ctx, quiz)))


async def _start(message: Message, ctx: Context, rest: str) -> Reply:
    quiz = await _found(ctx, rest)
    if quiz is None:
        return _unknown(ctx, rest)
    words = rest.split()[1:]
    named = group_quiz.group_named(words)
    minutes = MINUTES if named else _minutes(words)
    if minutes is None:
        return Reply.text(ctx.texts("quiz.minutes_usage", most=MAX_MINUTES, quiz=quiz.id))
    if quiz.status not in (DRAFT, SCHEDULED):
        return _not_now(ctx, quiz)
    word = await missing_offer(ctx.store, quiz)
    if word:
        return Reply.text(ctx.texts("quiz.unknown_offer", word=short(word)))
    if named:
        return await group_quiz.ask_to_start(ctx, quiz, named)
    question = ctx.texts("quiz.start_ask", title=quiz.title, minutes=minutes)
    return await changes.ask(ctx, "quiz.start", {"quiz": quiz.id, "minutes": minutes}, question)


@changes.executes("quiz.start")
async def _started(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    number, ends_at = args["quiz"], ctx.at + 60 * args["minutes"]
    quiz = await ctx.store.quizzes.start(number, ctx.at, ends_at)
    return await _done(message, ctx, "quiz.start", number, quiz, RUNNING)


async def _schedule(message: Message, ctx: Context, rest: str) -> Reply:
    quiz = await _found(ctx, rest)
    if quiz is None:
        return _unknown(ctx, rest)
    word = await missing_offer(ctx.store, quiz)
    if word:
        return Reply.text(ctx.texts("quiz.unknown_offer", word=short(word)))
    words = rest.split()[1:]
    starts = moment(" ".join(words[:2]), ctx.now)
    named = group_quiz.group_named(words[2:])
    minutes = MINUTES if named else _minutes(words[2:])
    if starts is None or minutes is None:
        return Reply.text(ctx.texts("quiz.schedule_usage", quiz=quiz.id))
    if starts <= ctx.now:
        return Reply.text(ctx.texts("quiz.schedule_past"))
    if quiz.status not in (DRAFT, SCHEDULED):
        return _not_now(ctx, quiz)
    at = starts.timestamp()
    if named:
        return await group_quiz.ask_to_start(ctx, quiz, named, at)
    question = ctx.texts(
        "quiz.schedule_ask", title=quiz.title, when=when(at, ctx.now), minutes=minutes
    )
    args = {"quiz": quiz.id, "starts_at": at, "ends_at": at + 60 * minutes}
    return await changes.ask(ctx, "quiz.schedule", args, question)


@changes.executes("quiz.schedule")
async def _scheduled(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    number = args["quiz"]
    quiz = await ctx.store.quizzes.schedule(number, args["starts_at"], args["ends_at"])
    return await _done(message, ctx, "quiz.schedule", number, quiz, SCHEDULED)


async def _close(message: Message, ctx: Context, rest: str) -> Reply:
    quiz = await _found(ctx, rest)
    if quiz is None:
        return _unknown(ctx, rest)
    if quiz.status != RUNNING:
        return _not_now(ctx, quiz)
    question = ctx.texts("quiz.close_ask", title=quiz.title)
    return await changes.ask(ctx, "quiz.close", {"quiz": quiz.id}, question)


@changes.executes("quiz.close")
async def _closed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    number = args["quiz"]
    quiz = await ctx.store.quizzes.close(number, ctx.at)
    return await _done(message, ctx, "quiz.close", number, quiz, CLOSED)


async def _cancel(message: Message, ctx: Context, rest: str) -> Reply:
    quiz = await _found(ctx, rest)
    if quiz is None:
        return _unknown(ctx, rest)
    if quiz.status not in (DRAFT, SCHEDULED, RUNNING):
        return _not_now(ctx, quiz)
    question = ctx.texts("quiz.cancel_ask", title=quiz.title)
    return await changes.ask(ctx, "quiz.cancel", {"quiz": quiz.id}, question)


@changes.executes("quiz.cancel")
async def _cancelled(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    number = args["quiz"]
    quiz = await ctx.store.quizzes.cancel(number, ctx.at)
    return await _done(message, ctx, "quiz.cancel", number, quiz, CANCELLED)


async def _done(
    message: Message, ctx: Context, action: str, number: int, quiz: Quiz | None, status: str
) -> Reply:
    """Say what has become of it: also when this message did it before a crash."""
    if quiz is None:
        quiz = await ctx.store.quizzes.get(number)
        if quiz is None:
            return Reply.text(ctx.texts("quiz.unknown"))
        if quiz.status != status:
            return _not_now(ctx, quiz)
    await changes.audited(message, ctx, action, f"quiz:{quiz.id}", short(quiz.title))
    times = {
        "when": when(quiz.starts_at or ctx.at, ctx.now),
        "until": when(quiz.ends_at or ctx.at, ctx.now),
    }
    if status == RUNNING:
        return Reply.text(ctx.texts("quiz.started", title=quiz.title, until=times["until"]))
    if status == SCHEDULED:
        return Reply.text(ctx.texts("quiz.scheduled_done", title=quiz.title, **times))
    if status == CANCELLED:
        return Reply.text(ctx.texts("quiz.cancelled_done", title=quiz.title))
    return Reply.text(ctx.texts("quiz.closed_done", title=quiz.title, quiz=quiz.id))


_COMMANDS: Mapping[str, Run] = MappingProxyType(
    {
        "new": _new,
        "list": _list,
        "show": _show,
        "start": _start,
        "schedule": _schedule,
        "close": _close,
        "cancel": _cancel,
        "rank": _rank,
        "report": _report,
    }
)
"""What may follow /quiz."""
