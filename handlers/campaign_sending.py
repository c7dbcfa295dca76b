"""/campaign confirm, pause, resume, cancel: what lets a campaign go, holds it and ends it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from handlers import campaign_words
from handlers.campaign_asked import (
    LOOKED,
    desk,
    no_campaign,
    not_readable,
    number_of,
    refused,
    which,
    who,
)
from handlers.campaign_words import people
from handlers.campaigning import Answer, Said
from handlers.changes import ask, executes
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, folded

router = Router("operator.campaign")

_BLANKS = re.compile(r"[\s:：]+")
_CODE = re.compile(r"[0-9A-Za-z]{4}")
_FORCE = ("强制", "override", "仍然发送")
_AT_ONCE_S = 5.0
"""What begins this soon after its confirmation begins at once, as its operator sees it."""


async def confirm(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign confirm N CODE [强制]."""
    number, after = number_of(rest)
    if number is None:
        return await which(ctx, "confirm")
    words = after.split()
    if not words or not _CODE.fullmatch(unicodedata.normalize("NFKC", words[0])):
        return Reply.text(ctx.texts("campaign.confirm_usage", campaign=number))
    return await _confirmed(message, ctx, number, words[0], words[1:])


@router.text(
    r"确认[\s:：]*[0-9a-z]{4}(?:\s+(?:强制|override|仍然发送))?",
    guard=lambda message, ctx: ctx.is_operator() and ctx.campaigns is not None,
)
async def confirm_last(message: Message, ctx: Context) -> Reply | None:
    """确认 7K2M: the campaign that was previewed last."""
    number = await ctx.store.members.state(ctx.member.id, LOOKED, ctx.at)
    if number is None:
        return None
    ctx.handler = "operator.campaign.confirm"
    words = _BLANKS.sub(" ", unicodedata.normalize("NFKC", message.text)[2:]).split()
    return await _confirmed(message, ctx, int(number), words[0], words[1:])


async def _confirmed(
    message: Message, ctx: Context, number: int, code: str, more: list[str]
) -> Reply:
    texts = ctx.texts
    override = any(folded(word) in _FORCE for word in more)
    code = unicodedata.normalize("NFKC", code).upper()
    try:
        answer = await desk(ctx).confirm(number, code, who(message, ctx), override=override)
    except ValueError as bad:
        return await not_readable(ctx, bad, number)
    one = answer.campaign
    if answer.said not in (Said.DONE, Said.AGAIN) or one is None:
        return refused(ctx, answer, "confirm", number)
    ctx.item = f"campaign:{number}"
    count = people(one.approved)
    if one.kind == "cron":
        time = campaign_words.when(texts, one, ctx.now)
        return Reply.text(texts("campaign.confirmed_cron", campaign=number, when=time))
    if one.starts_at is None or one.starts_at <= ctx.at + _AT_ONCE_S:
        return Reply.text(texts("campaign.confirmed_now", campaign=number, count=count))
    time = campaign_words.when(texts, one, ctx.now)
    return Reply.text(texts("campaign.confirmed_at", campaign=number, count=count, when=time))


async def pause(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign pause N: at once, what is under way ends."""
    number, _ = number_of(rest)
    if number is None:
        return await which(ctx, "pause")
    answer = await desk(ctx).pause(number, who(message, ctx))
    if answer.said not in (Said.DONE, Said.AGAIN):
        return refused(ctx, answer, "pause", number)
    counts = await ctx.store.deliveries.counts(number)
    left = sum(counts.get(name, 0) for name in ("planned", "waiting"))
    return Reply.text(ctx.texts("campaign.paused", campaign=number, left=people(left)))


async def resume(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign resume N: goes on; of one that is late, the yes."""
    number, _ = number_of(rest)
    if number is None:
        return await which(ctx, "resume")
    answer = await desk(ctx).resume(number, who(message, ctx))
    if answer.said not in (Said.DONE, Said.AGAIN):
        return refused(ctx, answer, "resume", number)
    return Reply.text(ctx.texts("campaign.resumed", campaign=number))


async def cancel(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign cancel N: asked first, for it ends for good."""
    number, _ = number_of(rest)
    if number is None:
        return await which(ctx, "cancel")
    one = await ctx.store.campaigns.get(number)
    if one is None:
        return no_campaign(ctx, number)
    if one.ended:
        return refused(ctx, Answer(Said.WRONG_STATUS, one), "cancel")
    question = ctx.texts("campaign.cancel_ask", campaign=number, title=one.title)
    return await ask(ctx, "campaign.cancel", {"campaign": number}, question)


@executes("campaign.cancel")
async def _cancelled(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    number = int(args["campaign"])
    answer = await desk(ctx).cancel(number, who(message, ctx))
    if answer.said not in (Said.DONE, Said.AGAIN):
        return refused(ctx, answer, "cancel", number)
    return Reply.text(ctx.texts("campaign.cancelled", campaign=number))
