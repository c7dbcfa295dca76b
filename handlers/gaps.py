"""Gaps: what members asked in vain, in groups, each one answer away from being closed.

/faq gaps puts similar questions together and names the entry nearest to each group. For ten
minutes its numbers can be replied to: 「1 => 答案」 teaches, 「并入 1」 makes the wordings aliases
of that entry, 「忽略 1」 drops them. Bare numbers are not ours: they pick from lists.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handlers.changes import number_from, short
from handlers.choices import WINDOW_S
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from handlers.teaching import ARROW, PAGE, by, follow_up, learn, merge, refused, serves, wording
from knowledge import Knowledge
from knowledge.clusters import clusters
from store.content import Gap
from store.learning import Refused, Why

router = Router("operator.gaps")

PROPOSED_AT = 0.06
"""Confidence from which an entry is named as the nearest. On ../shared/data/faq, train part, of
the questions left unanswered although an entry has them, the nearest one is right for 39 %
above it and for 19 % below; of unanswered group chatter 7 % gets one named."""

_READ = 1000
_STATE = "gaps"

_NUMBER = r"(?:第\s*)?[#＃]?\s*(\d{1,4})(?:\s*组)?"
_MERGE = re.compile(rf"并入\s*{_NUMBER}(?:\s*到\s*第?\s*#?\s*(\d{{1,15}})\s*条?)?")
_TEACH = re.compile(rf"{_NUMBER}{ARROW}(.+)", re.DOTALL)
_IGNORE = re.compile(rf"忽略\s*{_NUMBER}((?:[\s,、]+\d{{1,4}}){{0,20}})")
_MISSED = re.compile(rf"(?:并入|忽略).{{0,20}}|{_NUMBER}(?:{ARROW}|\s*[=:]).*", re.DOTALL)
_PLAIN = re.compile(rf"(?:并入|忽略)[\s第组到\d,、~\-一二三四五六七八九十]*|{_NUMBER}{ARROW}")


@dataclass(frozen=True, slots=True)
class Group:
    """Gaps that ask the same, most asked first. near: number of the nearest entry, 0 for none."""

    gaps: tuple[Gap, ...]
    near: int = 0

    @property
    def count(self) -> int:
        """How often any of them was asked."""
        return sum(gap.count for gap in self.gaps)


def grouped(gaps: Sequence[Gap], knowledge: Knowledge, page: int) -> tuple[list[Group], int]:
    """The groups of one page, most asked first, and how many groups there are.

    page: from 1; one beyond the last gives the last. Pure CPU, 0.3 s for 1,000 gaps: for a
    thread of its own.
    """
    found = clusters([(gap.sample, gap.count) for gap in gaps], knowledge.words)
    last = max(1, -(-len(found) // PAGE))
    first = (min(page, last) - 1) * PAGE
    groups = []
    for indices in found[first : first + PAGE]:
        members = tuple(gaps[index] for index in indices)
        groups.append(Group(members, _nearest(members, knowledge)))
    return groups, len(found)


def _nearest(gaps: Sequence[Gap], knowledge: Knowledge) -> int:
    best: tuple[float, int] = (PROPOSED_AT, 0)
    for gap in gaps:
        for hit in knowledge.near(gap.sample, 1):
            if hit.id.startswith("faq:") and hit.confidence > best[0]:
                best = (hit.confidence, int(hit.id.removeprefix("faq:")))
    return best[1]


@serves("gaps")
async def listed(message: Message, ctx: Context, rest: str) -> Reply:
    """/faq gaps [page]: the groups, with what can be replied to them."""
    texts = ctx.texts
    gaps = await ctx.store.content.gaps(_READ)
    if not gaps:
        return Reply.text(texts("teach.gaps_none"))
    page = max(1, number_from(rest) or 1)
    groups, total = await asyncio.to_thread(grouped, gaps, ctx.knowledge, page)
    pages = -(-total // PAGE)
    page = min(page, pages)
    first = (page - 1) * PAGE + 1
    await _remember(ctx, first, groups)
    names = {one.id: one.questions[0] for one in await ctx.store.content.faqs()}
    lines = [texts("teach.gaps_head", page=page, pages=pages)]
    for number, group in enumerate(groups, first):
        lines.append(_line(ctx, number, group))
        if group.near in names:
            near = {"id": group.near, "question": short(names[group.near])}
            lines.append(texts("teach.gaps_near", number=number, **near))
    lines.append(_tail(ctx, first))
    if page < pages:
        lines.append(texts("teach.gaps_next", next=page + 1))
    return Reply.text("\n".join(lines))


def _tail(ctx: Context, number: int) -> str:
    """What can be replied, with this number as the example."""
    return ctx.texts("teach.gaps_tail", minutes=round(WINDOW_S / 60), number=number)


def _line(ctx: Context, number: int, group: Group) -> str:
    # What a member typed must not become a link that an operator taps.
    question = short(group.gaps[0].sample.replace("<", "＜"))
    if len(group.gaps) == 1:
        return ctx.texts("teach.gaps_one", number=number, question=question, count=group.count)
    return ctx.texts(
        "teach.gaps_many",
        number=number,
        question=question,
        wordings=len(group.gaps),
        count=group.count,
    )


async def _remember(ctx: Context, first: int, groups: Sequence[Group]) -> None:
    state = {
        "first": first,
        "groups": [
            {"near": one.near, "gaps": [[gap.question, gap.sample] for gap in one.gaps]}
            for one in groups
        ],
    }
    await ctx.store.members.set_state(ctx.member.id, _STATE, state, ctx.at + WINDOW_S)


# Replies to the list


def _told(message: Message, ctx: Context) -> bool:
    """忽略 1？ is a question, and gets the usage below."""
    return ctx.is_operator() and not asking(message.text)


@router.text(_MERGE.pattern, guard=_told)
async def take_in(message: Message, ctx: Context) -> Reply:
    """并入 1, 并入 1 到 12: the group's wordings become aliases of an entry."""
    found = _MERGE.fullmatch(folded(message.text))
    assert found is not None, "the rule is this very pattern"
    number = int(found[1])
    group = await _group(ctx, number)
    if isinstance(group, Reply):
        return group
    faq_id = int(found[2] or group["near"])
    if not faq_id:
        return Reply.text(ctx.texts("teach.gaps_no_near", number=number))
    questions, gaps = _wordings(group)
    if not questions:
        return Reply.text(ctx.texts("teach.gaps_no_words", number=number))
    return await merge(message, ctx, faq_id, questions, gaps)


@router.text(_TEACH.pattern, guard=lambda message, ctx: ctx.is_operator())
async def answer(message: Message, ctx: Context) -> Reply | None:
    """1 => 答案: a new entry; what was asked most is its question, the rest are aliases."""
    found = _TEACH.fullmatch(message.text)
    if found is None:
        return None
    number = int(found[1])
    group = await _group(ctx, number)
    if isinstance(group, Reply):
        return group
    questions, gaps = _wordings(group)
    if not questions:
        return Reply.text(ctx.texts("teach.gaps_no_words", number=number))
    return await learn(message, ctx, questions, found[2].strip(), gaps)


@router.text(_IGNORE.pattern, guard=_told)
async def ignore(message: Message, ctx: Context) -> Reply:
    """忽略 1, 忽略 1 3: these groups leave the list, until somebody asks again."""
    found = _IGNORE.fullmatch(folded(message.text))
    assert found is not None, "the rule is this very pattern"
    gaps: list[str] = []
    for number in map(int, re.findall(r"\d+", f"{found[1]} {found[2]}")):
        group = await _group(ctx, number)
        if isinstance(group, Reply):
            return group
        gaps += [question for question, _ in group["gaps"]]
    done = await ctx.store.learning.dismiss(gaps, by(message, ctx))
    if isinstance(done, Refused):
        if done.why is Why.MISSING:
            return Reply.text(ctx.texts("teach.dismissed_nothing"))
        return refused(ctx, done)
    await follow_up(message, ctx, done)
    return Reply.text(ctx.texts("teach.dismissed", count=len(done.gaps)))


@router.text(_MISSED.pattern, guard=lambda message, ctx: ctx.is_operator())
async def missed(message: Message, ctx: Context) -> Reply | None:
    """并入一, 忽略 1-3, 1：答案: how it is typed. Without a list, what may be a question is."""
    state = await ctx.store.members.state(ctx.member.id, _STATE, ctx.at)
    if state is not None:
        return Reply.text(_tail(ctx, state["first"]))
    if _PLAIN.fullmatch(folded(message.text)):
        return Reply.text(ctx.texts("teach.gaps_gone"))
    return None


async def _group(ctx: Context, number: int) -> dict[str, Any] | Reply:
    """The group of that number in the list shown last; a sentence when there is none.

    Whoever goes on replying keeps the list for another ten minutes.
    """
    state = await ctx.store.members.state(ctx.member.id, _STATE, ctx.at)
    if state is None:
        return Reply.text(ctx.texts("teach.gaps_gone"))
    first, groups = state["first"], state["groups"]
    if not first <= number < first + len(groups):
        last = first + len(groups) - 1
        return Reply.text(ctx.texts("teach.gaps_range", first=first, last=last))
    await ctx.store.members.set_state(ctx.member.id, _STATE, state, ctx.at + WINDOW_S)
    group: dict[str, Any] = groups[number - first]
    return group


def _wordings(group: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What can be a question of an entry, most asked first, and all the gaps of the group."""
    samples = [wording(sample) for _, sample in group["gaps"]]
    return [one for one in samples if one], [question for question, _ in group["gaps"]]
