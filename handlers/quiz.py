"""Quizzes in chat: 答题 shows the rules, 开始 the first of the questions; 排名 shows places.

Each question has a clock, which starts when it is shown. While one is open, what looks like
an answer belongs to it; every other word keeps its meaning. Whether any quiz runs is known in
memory, so that ordinary messages pay nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from handlers.choices import WINDOW_S, number_in, recall
from handlers.context import SHANGHAI, Context
from handlers.coupon_words import audience
from handlers.message import Message, Option, Reply
from handlers.quiz_answers import LONGEST, is_near, kind_of
from handlers.quiz_text import asked, chosen
from handlers.rankings import shown_to_others
from handlers.router import Router, folded
from handlers.texts import Texts
from handlers.tiers import refused
from knowledge import Band
from store.quiz_play import Attempt, Place, Standings, Step, Turn
from store.quiz_rules import LETTERS, milliseconds
from store.quizzes import CLOSED, RUNNING, Prize, Quiz

router = Router("quiz")
leaving = Router("quiz.leave")
answers = Router("quiz.answer")

LATE_S = 60.0
"""So long after its time what looks like an answer is told that it is late; letters always."""

LISTED = 10
PRIZES = 5
"""Lines of prizes that members read before they begin."""
_KEPT_S = 7 * 86_400.0
_SKIPS = frozenset(("跳过", "跳过这题", "跳过本题", "跳过这道题", "下一题"))
_CONFIRM, _FORGET = "confirm", "forget"
"""States that wait for 确认 and 确认忘记; see `handlers/changes.py`, `handlers/privacy.py`."""


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
    if place.owed:
        parts.append(texts("quiz.prize_owed"))
    return "，".join(parts)


def wins(texts: Texts, prize: Prize, coupon: str) -> str:
    """A prize on one line: who gets what. coupon: what to call it, "" for none; "" without any."""
    parts = []
    if prize.points:
        parts.append(texts("quiz.wins_points", points=prize.points))
    if coupon:
        parts.append(texts("quiz.wins_coupon", coupon=coupon))
    if not parts:
        return ""
    what = " + ".join(parts)
    if not prize.first:
        return texts("quiz.prize_everyone", wins=what)
    same = prize.first == prize.last
    places = str(prize.first) if same else f"{prize.first}-{prize.last}"
    return texts("quiz.prize_line", places=places, wins=what)


def _called(ctx: Context, place: Place, numbers: bool) -> str:
    if numbers:
        return ctx.texts("quiz.somebody", member=place.member_id)
    name = shown_to_others(ctx, place.name, place.member_id)
    if place.member_id == ctx.member.id:
        return ctx.texts("quiz.me", name=place.name or name)
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
    """The rules of the one quiz that runs, or the question that is open; with several, which
    one; else what is next."""
    running = await _running(ctx)
    if not running:
        return await _coming(ctx)
    play = ctx.store.quiz_play
    seat = await play.seat(ctx.member.id, bytes.fromhex(message.key), ctx.at)
    mine = seat.done or (seat.attempt.quiz_id if seat.attempt is not None else None)
    if mine is not None and (seat.done or (seat.attempt and seat.attempt.finished_at is None)):
        for quiz in running:
            if quiz.id == mine:
                return await _begin(message, ctx, quiz)
    open_to = await play.open_to(running, ctx.member.id, ctx.at, *_standing(ctx))
    if not open_to:
        return Reply.text(_not_for_you(ctx, running[0]))
    if len(open_to) == 1:
        return await _enter(message, ctx, open_to[0])
    return await _choose(ctx, open_to)


@router.text("开始|开始吧|准备好了|我准备好了", name="quiz.begin")
async def start(message: Message, ctx: Context) -> Reply | None:
    """The first question to who has read the rules; who has not reads them. None without a
    quiz."""
    running = {quiz.id: quiz for quiz in await ctx.store.quizzes.on(ctx.at)}
    if not running:
        return None
    seat = await ctx.store.quiz_play.seat(ctx.member.id, bytes.fromhex(message.key), ctx.at)
    if (reply := refused(ctx, "quiz.begin")) is not None:
        return reply
    quiz = running.get(seat.done or seat.ready or 0)
    if quiz is None:
        return await begin(message, ctx)
    return await _begin(message, ctx, quiz)


async def _running(ctx: Context) -> tuple[Quiz, ...]:
    """What runs; also what is to begin by now, when the clock has not come round yet."""
    running = await ctx.store.quizzes.on(ctx.at)
    if running:
        return running
    coming = await ctx.store.quizzes.next_scheduled()
    if coming is None or coming.starts_at is None or coming.starts_at > ctx.at:
        return ()
    await ctx.store.quizzes.open_due(ctx.at)
    return await ctx.store.quizzes.on(ctx.at)


async def _coming(ctx: Context) -> Reply:
    """Nothing runs: say what comes, or that nothing does."""
    coming = await ctx.store.quizzes.next_scheduled()
    if coming is None or coming.starts_at is None:
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
    ctx.options[:] = [
        Option(str(number), f"{number}. {quiz.title}") for number, quiz in enumerate(shown, 1)
    ]
    return Reply.text("\n".join((ctx.texts("quiz.choose"), *lines)))


async def _enter(
    message: Message, ctx: Context, quiz: Quiz, ids: Sequence[int] = (), shown_at: float = 0.0
) -> Reply:
    """Go on with it, or read its rules first: the clock of the only attempt waits for 开始.

    ids, shown_at: the list that it was chosen from.
    """
    ctx.item = f"quiz:{quiz.id}"
    play = ctx.store.quiz_play
    if await play.attempt(quiz.id, ctx.member.id) is not None:
        return await _begin(message, ctx, quiz)
    if ctx.is_operator() or quiz.created_by == f"member:{ctx.member.id}":
        return Reply.text(ctx.texts("quiz.insider", title=quiz.title))
    await play.offer(ctx.member.id, ids, shown_at, ctx.at + WINDOW_S, ready=quiz.id)
    lines = [
        ctx.texts(
            "quiz.begin",
            title=quiz.title,
            count=len(quiz.questions),
            until=when(quiz.ends_at or ctx.at, ctx.now),
        )
    ]
    for prize in quiz.prizes[:PRIZES]:
        offer = await ctx.store.offers.by_word(prize.coupon) if prize.coupon else None
        lines.append(wins(ctx.texts, prize, offer.title if offer is not None else ""))
    if len(quiz.prizes) > PRIZES:
        lines.append(ctx.texts("quiz.prize_more", count=len(quiz.prizes) - PRIZES))
    if quiz.speed_bonus:
        lines.append(ctx.texts("quiz.faster"))
    lines.append(ctx.texts("quiz.ready"))
    ctx.options[:] = [Option("开始", "开始")]
    return Reply.text("\n".join(line for line in lines if line))


def _not_for_you(ctx: Context, quiz: Quiz) -> str:
    who = audience(ctx.texts, quiz.audience, ctx.items)
    return ctx.texts("quiz.not_for_you", title=quiz.title, who=who)


def _standing(ctx: Context) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """What rules for who may take part go by: points of the levels, tiers of membership."""
    levels = tuple(level.points for level in ctx.rewards.levels)
    return levels, ctx.rewards.membership.tiers


async def _begin(message: Message, ctx: Context, quiz: Quiz) -> Reply:
    ctx.item = f"quiz:{quiz.id}"
    key = bytes.fromhex(message.key)
    step = await ctx.store.quiz_play.begin(quiz, ctx.member.id, key, ctx.at, *_standing(ctx))
    return await _told(ctx, quiz, step)


# What a step came to


async def _told(ctx: Context, quiz: Quiz, step: Step) -> Reply:
    """The judgement of an answer, and what comes next."""
    lines = []
    if step.turn is Turn.EARLY:
        lines.append(ctx.texts("quiz.early"))
    elif step.skipped:
        lines.append(ctx.texts("quiz.skipped"))
    elif step.outcome == "right":
        lines.append(ctx.texts("quiz.right", scored=step.scored))
    elif step.outcome == "wrong":
        lines.append(ctx.texts("quiz.wrong"))
    elif step.outcome == "late":
        lines.append(ctx.texts("quiz.late"))
    attempt = step.attempt
    if step.turn is Turn.NOT_FOR_YOU:
        lines.append(_not_for_you(ctx, quiz))
    elif attempt is None and step.turn is Turn.DONE:
        lines.append(ctx.texts("quiz.taken", title=quiz.title))
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
    if question.kind == "single":
        ctx.options[:] = [
            Option(letter, f"{letter}. {one}")
            for letter, one in zip(LETTERS, question.options, strict=False)
        ]
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
        prize = won(ctx.texts, mine)
        if not prize and fresh.prizes and fresh.paid_at is None:
            prize = ctx.texts("quiz.prize_soon")
        return ctx.texts("quiz.result_closed", **facts, prize=prize).rstrip()
    return ctx.texts("quiz.result", **facts, until=when(fresh.ends_at or ctx.at, ctx.now))


# Answering


@answers.question()
async def hear(message: Message, ctx: Context) -> Reply | None:
    """An answer to the open question; None for all that is none."""
    # Those of groups are answered there.
    found = await ctx.store.quizzes.current(ctx.at)
    current = {quiz.id: quiz for quiz in found if not quiz.place}
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
    if attempt is None or quiz is None:
        return None
    given = await _given(ctx, message, quiz, attempt)
    if given is None or isinstance(given, Reply):
        return given
    if (reply := refused(ctx, "quiz.answer")) is not None:
        return reply
    ctx.item = f"quiz:{quiz.id}"
    step = await play.answer(
        quiz, ctx.member.id, attempt.position, given, key, message.created, ctx.at
    )
    return await _told(ctx, quiz, step)


def _looks_like_answer(text: str, current: Iterable[Quiz]) -> bool:
    """Whether it could be one for anybody; what could not costs no look into the database."""
    if chosen(text) is not None or number_in(text) is not None or folded(text) in _SKIPS:
        return True
    if len(text) > LONGEST:
        return False
    return any(question.kind == "short" for quiz in current for question in quiz.questions)


async def _chosen(
    message: Message, ctx: Context, ids: Sequence[int], at: float, current: dict[int, Quiz]
) -> Reply | None:
    """A number from the list of quizzes, unless another list was shown since."""
    number = number_in(message.text)
    if number is None or not 1 <= number <= len(ids) or await _listed_since(ctx, message, at):
        return None
    quiz = current.get(ids[number - 1])
    if quiz is None:
        return None
    return refused(ctx, "quiz.begin") or await _enter(message, ctx, quiz, ids, at)


async def _listed_since(ctx: Context, message: Message, at: float) -> bool:
    """Whether a list that a number can pick from was shown after this moment."""
    other = await recall(ctx, message.key)
    return other is not None and bool(other.things) and at < other.until - WINDOW_S <= ctx.at


async def _given(
    ctx: Context, message: Message, quiz: Quiz, attempt: Attempt
) -> str | Reply | None:
    """The answer as it is judged, "" to skip; a Reply that asks for another; None for none."""
    question = quiz.questions[attempt.position - 1]
    late_ms = milliseconds(attempt.asked_at, message.created, ctx.at) - question.seconds * 1000
    if attempt.finished_at is None and folded(message.text) in _SKIPS:
        return ""
    number = number_in(message.text)
    letters = chosen(message.text)
    digits = number is not None or (
        letters is not None and any(char.isdigit() for char in message.text)
    )
    if digits and await _listed_since(ctx, message, attempt.asked_at):
        return None
    if question.kind == "short" or attempt.finished_at is not None:
        return await _words(ctx, message, quiz, attempt, late_ms)
    if letters is None and number is not None and number <= len(LETTERS):
        letters = LETTERS[number - 1]
    if letters is None or (digits and late_ms > LATE_S * 1000):
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


async def _words(
    ctx: Context, message: Message, quiz: Quiz, attempt: Attempt, late_ms: int
) -> str | Reply | None:
    """Words as an answer; the card, when they come after the last question or after the end."""
    if attempt.finished_at is not None or not quiz.is_on(ctx.at):
        words = [
            one for question in quiz.questions if not question.options for one in question.answers
        ]
        if not is_near(message.text, words):
            return None
        ctx.item = f"quiz:{quiz.id}"
        return Reply.text(await _result(ctx, quiz))
    if late_ms > LATE_S * 1000:
        return None
    kind = kind_of(message, ctx, quiz.questions[attempt.position - 1])
    if kind == "other":
        return None
    return Reply.text(ctx.texts("quiz.no_mark")) if kind == "asked" else message.text


# Leaving, and places


@leaving.text(
    r"(?:我要)?退出(?:吧|答题|竞赛)?|取消|算了|返回|不要了|(?:我?不|不想)(?:再)?(?:答|玩)(?:题)?了"
)
async def leave(message: Message, ctx: Context) -> Reply | None:
    """Words are one's own again, and what waits for 确认 is called off, too; None for who
    plays nothing."""
    if not await ctx.store.quizzes.on(ctx.at):
        return None
    members, me = ctx.store.members, ctx.member.id
    quiz_id = await ctx.store.quiz_play.leave(
        me, bytes.fromhex(message.key), ctx.at, ctx.at + WINDOW_S
    )
    quiz = await ctx.store.quizzes.get(quiz_id) if quiz_id is not None else None
    if quiz is None:
        return None
    said = [ctx.texts("quiz.left", title=quiz.title)]
    waiting = await members.state(me, _CONFIRM, ctx.at)
    if waiting is not None and not waiting["taken_by"]:
        await members.clear_states(me, _CONFIRM)
        said.insert(0, ctx.texts("common.cancelled"))
    if await members.clear_states(me, _FORGET):
        said.insert(0, ctx.texts("privacy.forget_cancelled"))
    return Reply.text("\n".join(said))


@router.text("排名|我的成绩|我的排名|竞赛排名|答题排名", name="quiz.rank")
async def rank(message: Message, ctx: Context) -> Reply | None:
    """Places so far, or as they were settled within a week; that there are none, unless the
    FAQ is sure of these words."""
    quiz = await _meant(ctx)
    if quiz is None:
        if ctx.knowledge.ask(message.text, ctx.demoted).band is Band.SURE:
            return None
        own = folded(message.text) == "我的成绩"
        return Reply.text(ctx.texts("quiz.result_none" if own else "quiz.rank_none"))
    ctx.item = f"quiz:{quiz.id}"
    standings = await ctx.store.quiz_play.standings(quiz.id, LISTED, ctx.member.id)
    if folded(message.text) == "我的成绩" and standings.mine is not None:
        return Reply.text(await _result(ctx, quiz))
    shown = ranked(ctx, quiz, standings)
    if standings.mine is None and quiz.is_on(ctx.at):
        shown = f"{shown}\n{ctx.texts('quiz.join')}"
    return Reply.text(shown)


async def _meant(ctx: Context) -> Quiz | None:
    """The quiz one plays, else the one that runs, else the one played last, else the one that
    is being settled."""
    current = [one for one in await ctx.store.quizzes.current(ctx.at) if not one.place]
    running = [one for one in current if one.is_on(ctx.at)]
    last = await ctx.store.quiz_play.last_of(ctx.member.id)
    mine = next((one for one in running if one.id == last), None)
    if mine is not None or running:
        return mine or running[-1]
    quiz = await ctx.store.quizzes.get(last) if last is not None else None
    if quiz is None or quiz.status not in (RUNNING, CLOSED):
        return current[-1] if current else None
    return quiz if ctx.at <= (quiz.closed_at or ctx.at) + _KEPT_S else None
