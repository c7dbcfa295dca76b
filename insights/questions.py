"""Questions in a group: who asked, who answered first, and who took the talk on from there.

One pass over the turns, in the order of time, and no model: a month of a hundred groups takes
seconds. As in the digest, a question counts as answered as soon as anybody may have answered it:
by quoting it, or by being the next who says something that is no question.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from insights.digest import is_question

NEXT_S = 600.0
"""The next words within this time may be an answer, whatever they are."""
OPEN_S = 86_400.0
"""After a day, a question is not answered any more: the talk went on."""
BOT_S = 120.0
"""The bot answers at once, or it answers something else."""


class Turn(NamedTuple):
    """Something said. reply_to: the turn it quotes, by id; None for none."""

    id: int
    member_id: int
    at: float
    text: str
    reply_to: int | None


@dataclass(slots=True)
class Asked:
    """A question. answered_at: None while nobody did. helper: who answered first; None for nobody,
    and for the bot. reached: who spoke next, or quoted the answer."""

    id: int
    by: int
    at: float
    answered_at: float | None = None
    helper: int | None = None
    answer_id: int | None = None
    reached: set[int] = field(default_factory=set)


def asked(turns: Iterable[Turn], bot: Mapping[int, Sequence[float]]) -> list[Asked]:
    """The questions of one group, in order. bot: when it answered whom, in the order of time.

    Somebody who asks on while nobody answered asks the same question.
    """
    found: list[Asked] = []
    waiting: dict[int, Asked] = {}
    by_turn: dict[int, Asked] = {}
    answers: dict[int, Asked] = {}
    last: Asked | None = None
    for one in turns:
        _take_on(one, last, answers)
        quoted = by_turn.get(one.reply_to) if one.reply_to is not None else None
        question = is_question(one.text)
        if quoted is None and not question and one.text:
            quoted = _newest(waiting, one)
        if quoted is not None and quoted.by != one.member_id and one.at - quoted.at <= OPEN_S:
            if quoted.answered_at is None:
                quoted.answered_at, quoted.helper = one.at, one.member_id
                quoted.answer_id = one.id
                waiting.pop(quoted.by, None)
                answers[one.id] = last = quoted
            continue
        if not question:
            continue
        before = waiting.get(one.member_id)
        if before is not None and one.at - before.at <= NEXT_S:
            by_turn[one.id] = before
            continue
        fresh = Asked(one.id, one.member_id, one.at)
        found.append(fresh)
        by_turn[one.id] = fresh
        told = bot.get(one.member_id, ())
        at = bisect.bisect_left(told, one.at - 1.0)
        if at < len(told) and told[at] <= one.at + BOT_S:
            fresh.answered_at = max(told[at], one.at)
        else:
            waiting[one.member_id] = fresh
    return found


def _newest(waiting: dict[int, Asked], turn: Turn) -> Asked | None:
    """The question that these words are the next after; others wait on."""
    late: list[int] = []
    newest: Asked | None = None
    for who, one in waiting.items():
        if turn.at - one.at > NEXT_S:
            late.append(who)
        elif who != turn.member_id and (newest is None or one.at > newest.at):
            newest = one
    for who in late:
        del waiting[who]
    return newest


def _take_on(turn: Turn, last: Asked | None, answers: Mapping[int, Asked]) -> None:
    """Note that somebody read an answer: they quote it, or speak next."""
    quoted = answers.get(turn.reply_to) if turn.reply_to is not None else None
    if quoted is None and last is not None and last.answered_at is not None:
        quoted = last if turn.at - last.answered_at <= NEXT_S else None
    if quoted is not None and turn.member_id != quoted.helper:
        quoted.reached.add(turn.member_id)
