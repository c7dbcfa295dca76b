"""/campaign confirm, pause, resume, cancel: what lets a campaign go, holds it and ends it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from handlers import campaign_dialogue, campaign_words
from handlers.campaign_asked import (
    desk,
    last_seen,
    no_campaign,
    not_readable,
    number_of,
    refused,
    seen,
    which,
    who,
)
from handlers.campaign_group_words import confirmed as confirmed_groups
from handlers.campaign_moments import moment, people
from handlers.campaigning import Answer, Said
from handlers.changes import ask, executes, waiting
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded

router = Router("operator.campaign")

_OPEN, _CLOSE = "[「『“\"'《【(]?", "[」』”\"'》】)]?"
_TYPED = re.compile(
    rf"{_OPEN}确认[\s:,，]*{_OPEN}([0-9a-z]{{3,6}}){_CLOSE}"
    rf"(?:\s*(强制|仍然发送)|\s+(override))?{_CLOSE}"
)
"""确认 7K2M, also in the brackets it was shown in. Three to six signs: people mistype."""
_CODE = re.compile(r"[0-9A-Za-z]{4}")
_SIGNS = 4
_LOOKED_THROUGH = 20
_FORCE = ("强制", "override", "仍然发送")
_AT_ONCE_S = 5.0
"""What begins this soon after its confirmation begins at once, as its operator sees it."""


async def confirm(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign confirm N CODE [强制]."""
    number, after = number_of(rest)
    if number is None:
        return await which(ctx, "confirm")
    words = folded(after).split()
    if not words or not _CODE.fullmatch(words[0]) or asking(after):
        return Reply.text(ctx.texts("campaign.confirm_usage", campaign=number))
    return await _confirmed(message, ctx, number, words[0], words[1:])


@router.text(_TYPED.pattern, guard=lambda message, ctx: ctx.campaigns is not None)
async def confirm_last(message: Message, ctx: Context) -> Reply | None:
    """确认 7K2M: the campaign that was previewed last. 确认 7K2M？ is a question, and does nothing.

    Codes travel: who types another's hears that there is one for each. None where there is
    no campaign at all.
    """
    found = _TYPED.fullmatch(folded(message.text))
    assert found is not None, "the rule is this very pattern"
    code = found[1].upper()
    if not ctx.is_operator():
        if len(code) != _SIGNS:
            return None
        ctx.handler = "confirm"
        key = "operator.read_only" if ctx.may_read() else "operator.confirm_nothing"
        return Reply.text(ctx.texts(key))
    looked = await last_seen(ctx)
    number = looked.campaign if looked is not None else await _newest(ctx)
    if number is None:
        return None
    ctx.handler = "operator.campaign.confirm"
    if asking(message.text):
        return Reply.text(ctx.texts("campaign_new.confirm_asked", code=code))
    if looked is None or len(code) != _SIGNS:
        return Reply.text(ctx.texts("campaign_new.code_wrong", campaign=number))
    return await _confirmed(
        message, ctx, number, code, [word for word in found.groups()[1:] if word]
    )


async def _newest(ctx: Context) -> int | None:
    """The newest campaign that could be confirmed, or at least the newest; None for none."""
    newest = await ctx.store.campaigns.all(limit=_LOOKED_THROUGH)
    drafts = [one.id for one in newest if one.status == "draft"]
    return next(iter(drafts or [one.id for one in newest]), None)


@router.text(
    rf"{_OPEN}确认\s*(?:发送|发出|群发|发|强制)?[吧了]?{_CLOSE}",
    guard=lambda message, ctx: ctx.is_operator() and ctx.campaigns is not None,
)
async def confirm_without_code(message: Message, ctx: Context) -> Reply | None:
    """确认 alone under a preview: it wants the four signs. None where it means something else."""
    asked = await waiting(ctx, message.key)
    looked = await last_seen(ctx)
    if looked is not None and looked.at + campaign_dialogue.OPEN_S <= ctx.at:
        looked = None
    if asked is not None and (looked is None or asked >= looked.at or not looked.code):
        return None
    ctx.handler = "operator.campaign.confirm"
    texts = ctx.texts
    if looked is not None and looked.code:
        said = texts("campaign_new.confirm_code", campaign=looked.campaign, code=looked.code)
        # Two things could be meant, and one of them cannot be taken back.
        return Reply.text(said if asked is None else f"{said}\n{texts('campaign_new.asked_first')}")
    nothing = texts("operator.confirm_nothing")
    reply = await campaign_dialogue.again(message, ctx, nothing)
    if reply is None and looked is not None:
        one = await ctx.store.campaigns.get(looked.campaign)
        if one is not None and one.status == "draft":
            reply = Reply.text(texts("campaign_new.confirm_not_yet", campaign=one.id))
    return reply


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
    await seen(ctx, number)
    count = people(one.approved)
    if one.kind == "cron":
        time = campaign_words.when(texts, one, ctx.now)
        if one.places:
            return Reply.text(confirmed_groups(texts, one, time, "cron"))
        return Reply.text(texts("campaign.confirmed_cron", campaign=number, when=time))
    opens_at = desk(ctx).opens_at(ctx.at)
    if one.starts_at is None or one.starts_at <= ctx.at + _AT_ONCE_S:
        if opens_at > ctx.at:
            at = moment(texts, opens_at, ctx.now)
            if one.places:
                return Reply.text(confirmed_groups(texts, one, at, "quiet"))
            return Reply.text(
                texts("campaign.confirmed_quiet", campaign=number, count=count, at=at)
            )
        if one.places:
            return Reply.text(confirmed_groups(texts, one, "", "now"))
        return Reply.text(texts("campaign.confirmed_now", campaign=number, count=count))
    time = campaign_words.when(texts, one, ctx.now)
    if one.places:
        return Reply.text(confirmed_groups(texts, one, time, "at"))
    return Reply.text(texts("campaign.confirmed_at", campaign=number, count=count, when=time))


async def pause(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign pause N: at once, what is under way ends."""
    number, _ = number_of(rest)
    if number is None:
        return await which(ctx, "pause")
    answer = await desk(ctx).pause(number, who(message, ctx))
    if answer.said not in (Said.DONE, Said.AGAIN):
        return refused(ctx, answer, "pause", number)
    if answer.campaign is not None and answer.campaign.places and answer.campaign.planned:
        posts = (await ctx.store.group_campaigns.left(number)).posts
        return Reply.text(ctx.texts("campaign_groups.paused", campaign=number, left=people(posts)))
    counts = await ctx.store.deliveries.counts(number)
    left = sum(counts.get(name, 0) for name in ("planned", "waiting"))
    if not counts:
        return Reply.text(ctx.texts("campaign.paused_before", campaign=number))
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
