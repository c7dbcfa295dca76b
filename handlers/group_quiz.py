"""Quizzes in a group: one question for all at the same time, answered with a letter.

No letter is answered: how a question went stands in one post when its time is over, so that
thirty who play are three posts and not thirty. What is posted when is `scheduler/
group_quizzes.py`; here are the words, the answers, and the operator's /quiz start 3 GROUP.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from handlers import changes
from handlers.changes import short
from handlers.context import Context
from handlers.group_asked import can_post, find, hears, titled
from handlers.group_names import called
from handlers.message import Message, Reply
from handlers.quiz import PRIZES, when, wins
from handlers.quiz_text import asked, chosen
from handlers.router import Router, asking
from handlers.texts import Texts
from handlers.tiers import refused
from store.groups import Groups
from store.quiz_rounds import Heard, Result, Scorer
from store.quiz_rules import LETTERS, Question
from store.quizzes import CLOSED, DRAFT, RUNNING, SCHEDULED, Quiz

router = Router("quiz.group")

_EACH_S = 60.0
"""Around each question, at most: its post, how it went, a slow channel."""

_SLACK_S = 600.0

KEPT_S = 7 * 86_400.0
"""So long the places of the last quiz in a group can be asked for."""

_LISTED = 10

_GROUP = re.compile(r"群[\s:：]*(\S*)|#(\S+)")


def lasts(quiz: Quiz) -> float:
    """Seconds after which it ends at the latest; it ends with its last question."""
    return _SLACK_S + sum(one.seconds + _EACH_S for one in quiz.questions)


# Answers


@router.question(where="group")
async def hear(message: Message, ctx: Context) -> Reply | None:
    """A letter while a question is open; None for all that is none. Silence, as a rule."""
    letters = chosen(message.text)
    if letters is None or asking(message.text):
        return None
    quiz = next(iter(await ctx.store.quizzes.on(ctx.at, ctx.place)), None)
    talk = message.talk
    if quiz is None or talk is None:
        return None
    if any(sign.isdigit() for sign in message.text) and (talk.quotes or talk.quoted):
        return None  # a number beside a quoted list picks from that list
    ctx.item = f"quiz:{quiz.id}"
    if ctx.is_operator() or quiz.created_by == f"member:{ctx.member.id}":
        return _said(ctx, message, ctx.texts("quiz.insider", title=quiz.title))
    if (shut := refused(ctx, "quiz.answer")) is not None:
        return shut if message.channel not in ctx.channels.hearing else Reply.none()
    levels = tuple(level.points for level in ctx.rewards.levels)
    heard = await ctx.store.quiz_rounds.answer(
        *(quiz, ctx.member.id, letters, bytes.fromhex(message.key), message.created, ctx.at),
        levels,
        ctx.rewards.membership.tiers,
    )
    if heard is Heard.NOT_FOR_YOU:
        return _said(ctx, message, ctx.texts("group_quiz.not_for_you"))
    if heard is Heard.CLOSED:
        return _said(ctx, message, ctx.texts("group_quiz.closed"))
    return _said(ctx, message, ctx.texts("group_quiz.noted"))


def _last_here(ctx: Context) -> Quiz | None:
    """The quiz that runs in this group, else the one just played."""
    return ctx.store.quizzes.last_in(ctx.place, ctx.at, KEPT_S)


def _played(message: Message, ctx: Context) -> bool:
    """Without a quiz here the words are about the quizzes in private."""
    return _last_here(ctx) is not None


@router.text("(?:答题|竞赛)?排名", where="group", guard=_played, name="quiz.group_rank")
async def rank(message: Message, ctx: Context) -> Reply:
    """The places of the quiz that runs here, or of the one just played."""
    quiz = _last_here(ctx)
    assert quiz is not None, "the guard has seen it"
    ctx.item = f"quiz:{quiz.id}"
    texts = ctx.texts
    found = [one for one in await ctx.store.quiz_rounds.best(quiz, _LISTED) if one.score]
    if not found:
        return Reply.text(texts("group_quiz.nobody_yet", title=quiz.title))
    over = quiz.status == CLOSED
    lines = [texts("group_quiz.end" if over else "group_quiz.rank_head", title=quiz.title)]
    return Reply.text("\n".join((*lines, *(_place(texts, one) for one in found))))


@router.text("我的(?:成绩|排名)", where="group", guard=_played, name="quiz.group_mine")
async def mine(message: Message, ctx: Context) -> Reply:
    """One's own points in that quiz: everybody there could read them in its results."""
    quiz = _last_here(ctx)
    assert quiz is not None, "the guard has seen it"
    ctx.item = f"quiz:{quiz.id}"
    own = (await ctx.store.quiz_play.standings(quiz.id, 0, ctx.member.id)).mine
    if own is None:
        return Reply.text(ctx.texts("group_quiz.mine_none", title=quiz.title))
    facts = {"title": quiz.title, "score": own.score, "rank": own.rank}
    return Reply.text(ctx.texts("group_quiz.mine", **facts))


def _said(ctx: Context, message: Message, words: str) -> Reply:
    """Nothing where everything is heard; who has to mention the bot gets a short line."""
    return Reply.none() if message.channel in ctx.channels.hearing else Reply.text(words)


# The operator


def group_named(words: Sequence[str]) -> str:
    """The group that stands behind a quiz's number or time: vip, #2, 群2; "" for none.

    A bare number says minutes, as it does for a quiz in private.
    """
    typed = " ".join(words).strip()
    found = _GROUP.fullmatch(typed)
    if found is not None:
        return (found[1] or found[2] or "").lstrip("#")
    minutes = typed.removesuffix("分钟").strip()
    return "" if not typed or minutes.isdecimal() else typed


async def ask_to_start(
    ctx: Context, quiz: Quiz, named: str, starts_at: float | None = None
) -> Reply:
    """Have a start in a group confirmed, now or at a time; or say why it cannot be."""
    texts = ctx.texts
    group = find(ctx, named)
    if isinstance(group, Reply):
        return group
    told = titled(ctx, group)
    if not group.bound:
        return Reply.text(texts("group_quiz.unbound", group=told, number=group.id))
    if group.channel in ctx.channels.robots:
        return Reply.text(texts("group_quiz.robot", group=told))
    if not can_post(ctx, group):
        return Reply.text(texts("group_desk.cannot_post", number=group.id))
    if any(one.kind == "short" for one in quiz.questions):
        return Reply.text(texts("group_quiz.only_choices", title=quiz.title))
    if await ctx.store.quizzes.on(ctx.at, group.place):
        return Reply.text(texts("group_quiz.another", group=told))
    until = group.rules.silent_until(starts_at or ctx.at)
    if until > (starts_at or ctx.at):
        return Reply.text(texts("group_quiz.silent", group=told, until=when(until, ctx.now)))
    count, seconds = len(quiz.questions), sum(one.seconds for one in quiz.questions)
    facts = {"title": quiz.title, "group": told, "count": count, "minutes": seconds // 60 + 1}
    if starts_at is None:
        lines = [texts("group_quiz.start_ask", **facts)]
    else:
        at = when(starts_at, ctx.now)
        lines = [texts("group_quiz.schedule_ask", when=at, **facts)]
    if not hears(ctx, group):
        lines.append(texts("group_quiz.deaf"))
    args = {"quiz": quiz.id, "place": group.place, "starts_at": starts_at}
    return await changes.ask(ctx, "quiz.start_group", args, "\n".join(lines))


@changes.executes("quiz.start_group")
async def _started(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    store, texts = ctx.store, ctx.texts
    place, starts_at = args["place"], args["starts_at"]
    quiz = await store.quizzes.get(args["quiz"])
    group = store.groups.known(place)
    if quiz is None or group is None:
        return Reply.text(texts("quiz.unknown"))
    if quiz.status in (DRAFT, SCHEDULED):
        begins = ctx.at if starts_at is None else starts_at
        if starts_at is None:
            others = await store.quizzes.on(ctx.at, place)
            if others:
                told = titled(ctx, group)
                return Reply.text(texts("group_quiz.another", group=told))
            await store.quizzes.start(quiz.id, begins, begins + lasts(quiz), place)
        else:
            await store.quizzes.schedule(quiz.id, begins, begins + lasts(quiz), place)
        quiz = await store.quizzes.get(quiz.id) or quiz
    wanted = RUNNING if starts_at is None else SCHEDULED
    if (quiz.status, quiz.place) != (wanted, place):
        status = texts(f"quiz.status_{quiz.status}")
        return Reply.text(texts("quiz.not_now", title=quiz.title, status=status))
    await changes.audited(message, ctx, "quiz.start_group", f"quiz:{quiz.id}", short(group.title))
    told = titled(ctx, group)
    if starts_at is None:
        return Reply.text(texts("group_quiz.started", title=quiz.title, group=told, quiz=quiz.id))
    at = when(starts_at, ctx.now)
    return Reply.text(texts("group_quiz.scheduled", title=quiz.title, group=told, when=at))


# What is posted


class QuizWords:
    """The words of a quiz in a group; what `scheduler/group_quizzes.py` posts.

    hearing: channels that hear everything that is said, so that a letter needs no mention.
    """

    def __init__(self, texts: Texts, groups: Groups, hearing: Collection[str]) -> None:
        self._texts = texts
        self._groups = groups
        self._hearing = hearing

    def _hears(self, quiz: Quiz) -> bool:
        group = self._groups.known(quiz.place)
        return group is not None and group.channel in self._hearing

    def announcement(self, quiz: Quiz, titles: Mapping[str, str]) -> str:
        """What comes, what can be won, and how to answer.

        titles: what the coupons that can be won are called, by the word that claims them, which
        is not for everybody.
        """
        texts = self._texts
        lines = [texts("group_quiz.announced", title=quiz.title, count=len(quiz.questions))]
        lines.append(texts("group_quiz.how" if self._hears(quiz) else "group_quiz.how_deaf"))
        lines += [wins(texts, one, titles.get(one.coupon, "")) for one in quiz.prizes[:PRIZES]]
        if len(quiz.prizes) > PRIZES:
            lines.append(texts("quiz.prize_more", count=len(quiz.prizes) - PRIZES))
        if quiz.audience:
            lines.append(texts("group_quiz.some"))
        return "\n".join(filter(None, lines))

    def question(self, quiz: Quiz, position: int) -> str:
        """Question `position`, from 1."""
        one = quiz.questions[position - 1]
        head = self._texts(
            "quiz.question",
            number=position,
            count=len(quiz.questions),
            points=one.points,
            seconds=one.seconds,
        )
        if not self._hears(quiz):
            how = self._texts("group_quiz.answer_deaf")
        elif one.kind == "multiple":
            how = self._texts("group_quiz.answer_multiple")
        else:
            how = self._texts("group_quiz.answer")
        return "\n".join((head, asked(one), how))

    def result(self, quiz: Quiz, position: int, result: Result) -> str:
        """The right answer, who had it, who is ahead."""
        texts = self._texts
        right = _right(quiz.questions[position - 1])
        lines = [texts("group_quiz.right", number=position, answer=right)]
        if not result.answered:
            lines.append(texts("group_quiz.nobody"))
        elif not result.right:
            lines.append(texts("group_quiz.all_wrong", answered=result.answered))
        else:
            names = "、".join(called(texts, one.name, listed=one.listed) for one in result.first)
            facts = {"right": result.right, "answered": result.answered}
            lines.append(texts("group_quiz.were_right", names=names, **facts))
        ahead = [one for one in result.best if one.score]
        if ahead and position < len(quiz.questions):
            said = "、".join(self._scored(one) for one in ahead)
            lines.append(texts("group_quiz.so_far", best=said))
        return "\n".join(lines)

    def _scored(self, one: Scorer) -> str:
        return _scored(self._texts, one)

    def end(self, quiz: Quiz, best: Sequence[Scorer]) -> str:
        """The places of who has points. [] when nobody took part."""
        texts = self._texts
        if not best:
            return texts("group_quiz.end_nobody", title=quiz.title)
        places = [_place(texts, one) for one in best if one.score]
        if not places:
            return texts("group_quiz.end_no_points", title=quiz.title)
        lines = [texts("group_quiz.end", title=quiz.title), *places]
        if quiz.prizes:
            lines.append(texts("group_quiz.prizes"))
        return "\n".join(lines)

    def cancelled(self, quiz: Quiz) -> str:
        """It was called off."""
        return self._texts("group_quiz.cancelled", title=quiz.title)


def _scored(texts: Texts, one: Scorer) -> str:
    name = called(texts, one.name, listed=one.listed)
    return texts("group_quiz.scored", name=name, score=one.score)


def _place(texts: Texts, one: Scorer) -> str:
    """ "1. 阿木 12 分"."""
    return texts("group_quiz.place", rank=one.rank, scored=_scored(texts, one))


def _right(question: Question) -> str:
    """ "B. []", or "A、C" for several."""
    if len(question.answers) > 1:
        return "、".join(question.answers)
    letter = question.answers[0]
    return f"{letter}. {question.options[LETTERS.index(letter)]}"
