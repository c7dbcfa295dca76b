"""Numbered lists: what "2" means shortly after one was shown, and how to leave.

The last list shown to a member is kept for a while; a number picks from it. Without a
list, a number is nothing to guess an answer from, unless the FAQ has that very number as a
question. Only texts of one or two digits make this room look anything up, so ordinary
questions pay nothing for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from handlers.answers import tell
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, folded

router = Router("choice")

WINDOW_S = 600.0
"""How long a list can be picked from, and a question waits for its confirmation."""

_KEPT_S = 86_400.0
"""How long we remember that there was a list, to say that it has expired."""

_STATE = "choices"
_HAN = "一二三四五六七八九十"
_NUMBER = re.compile(rf"([0-9]{{1,2}})[.、。]?|([{_HAN}])[.、。]?")


def number_in(text: str) -> int | None:
    """ "2", "２", "2." or "二" as a number, None for any other text."""
    found = _NUMBER.fullmatch(folded(text))
    if found is None:
        return None
    digits, han = found.groups()
    return int(digits) if digits else _HAN.index(han) + 1


async def offer(ctx: Context, things: Sequence[str], source: Literal["faq", "content"]) -> None:
    """Remember the list that this reply shows; it replaces the one before.

    things: "faq:12" or "item:py-101", in the order of their numbers. source: who shows
    it, for the sentence when it has expired.
    """
    data = {"things": list(things), "source": source, "until": ctx.at + WINDOW_S}
    await ctx.store.members.set_state(ctx.member.id, _STATE, data, ctx.at + _KEPT_S)


@router.text(_NUMBER.pattern)
async def pick(message: Message, ctx: Context) -> Reply | None:
    """Tell what the number stands for. None when it is a question that the FAQ has."""
    number = number_in(message.text)
    if number is None:
        return None
    state = await ctx.store.members.state(ctx.member.id, _STATE, ctx.at)
    if state is None:
        hits = ctx.knowledge.ask(message.text).hits
        if any(folded(hit.question) == folded(message.text) for hit in hits):
            return None
        return Reply.text(ctx.texts("faq.no_list"))
    source, things = state["source"], state["things"]
    gone = "content.choice_gone" if source == "content" else "faq.choice_gone"
    if ctx.at >= state["until"]:
        return Reply.text(ctx.texts(gone))
    if not 1 <= number <= len(things):
        return Reply.text(ctx.texts("faq.choice_range", count=len(things)))
    # Deleted since the list was shown: as good as expired.
    return tell(ctx, things[number - 1]) or Reply.text(ctx.texts(gone))


@router.text("退出|取消|不删了", name="cancel")
async def leave(message: Message, ctx: Context) -> Reply:
    """Forget every list and every question that waits for an answer."""
    forgetting = await ctx.store.members.clear_states(ctx.member.id, "forget")
    others = await ctx.store.members.clear_states(ctx.member.id)
    if forgetting:
        return Reply.text(ctx.texts("privacy.forget_cancelled"))
    return Reply.text(ctx.texts("common.cancelled" if others else "common.nothing_to_cancel"))
