"""What every /campaign command needs: who asks, which one is meant, why nothing was done."""

from __future__ import annotations

from dataclasses import dataclass

from handlers import campaign_words, rule_words
from handlers.campaign_group_words import forecast as group_forecast
from handlers.campaign_moments import moment, people
from handlers.campaign_words import findings, preview, status
from handlers.campaigning import Answer, Campaigns, Look, Said, Who
from handlers.changes import number_from, short
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import folded
from handlers.texts import Texts
from store.campaigns import OPEN, Campaign, NewCampaign
from store.claims import gift_key
from store.rules import RuleError

_LOOKED = "campaign.looked"
_LOOKED_S = 86_400.0
_TITLE_CHARS = 16
_NAMED = 5
_LOOKED_THROUGH = 50
_OF_OPEN = frozenset({"edit", "schedule", "confirm", "undo", "pause", "resume", "cancel"})
"""Verbs that do nothing with what has ended."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a member previewed last. at: when, Unix seconds; code: what it was to be confirmed
    with, "" for what could not be, or was."""

    campaign: int
    at: float
    code: str = ""


def who(message: Message, ctx: Context, part: str = "") -> Who:
    """Who asks, by which message. part: of a message that does several things."""
    key = gift_key(f"{message.key}:{part}") if part else bytes.fromhex(message.key)
    return Who(f"member:{ctx.member.id}", ctx.member.role, key)


def desk(ctx: Context) -> Campaigns:
    """The desk; /campaign and its words ask whether there is one."""
    assert ctx.campaigns is not None
    return ctx.campaigns


def number_of(rest: str) -> tuple[int | None, str]:
    """(the number that it begins with, what follows); (None, rest) for none."""
    first, *after = rest.split(maxsplit=1) or [""]
    number = number_from(folded(first).removeprefix("c"))
    return (None, rest) if number is None else (number, after[0] if after else "")


async def which(ctx: Context, command: str) -> Reply:
    """No number was typed: the ones it could be."""
    newest = await ctx.store.campaigns.all(limit=_LOOKED_THROUGH)
    if command in _OF_OPEN:
        newest = [one for one in newest if not one.ended]
    newest = newest[:_NAMED]
    if not newest:
        return Reply.text(ctx.texts("campaign.list_none"))
    lines = [ctx.texts("campaign.which", command=command, example=newest[0].id)]
    lines += [line(ctx, one) for one in newest]
    return Reply.text("\n".join(lines))


def no_campaign(ctx: Context, number: int) -> Reply:
    """There is none of this number."""
    return Reply.text(ctx.texts("campaign.unknown_number", campaign=number))


def empty(ctx: Context) -> NewCampaign:
    """A campaign that says nothing yet."""
    return desk(ctx).blank(ctx.member.channel)


async def made(message: Message, ctx: Context, new: NewCampaign) -> Reply:
    """Make the draft, and show it."""
    try:
        one = await desk(ctx).make(new, who(message, ctx))
    except ValueError as bad:
        return Reply.text(unreadable(ctx, bad, new))
    return await looked(message, ctx, one.id)


def unreadable(ctx: Context, bad: ValueError, new: NewCampaign) -> str:
    """A rule or a text that nobody can follow, with the place."""
    texts = ctx.texts
    if isinstance(bad, RuleError):
        return rule_words.fault(texts, bad, new.audience)
    # What a content's error knows: handlers may not import the room that reads contents.
    row, column = getattr(bad, "line", 0), getattr(bad, "column", 0)
    if new.kind == "cron" and not hasattr(bad, "where"):
        return texts("campaign.bad_cron", cron=short(new.cron))
    if row:
        return texts("campaign.bad_content_at", line=row, column=column, why=short(str(bad)))
    return texts("campaign.bad_content", why=short(str(bad)))


async def not_readable(ctx: Context, bad: ValueError, number: int) -> Reply:
    """The campaign is there, but nobody can say whom it means, or what it says."""
    one = await ctx.store.campaigns.get(number)
    if one is None:
        return no_campaign(ctx, number)
    why = unreadable(ctx, bad, one.new)
    return Reply.text(ctx.texts("campaign.not_readable", campaign=number, why=why))


async def looked(message: Message, ctx: Context, number: int) -> Reply:
    """The preview; 确认 and its four signs then mean this campaign."""
    try:
        look = await desk(ctx).look(number, who(message, ctx))
    except ValueError as bad:
        return await not_readable(ctx, bad, number)
    if look is None:
        return no_campaign(ctx, number)
    ctx.item = f"campaign:{number}"
    stopped = bool(look.errors or look.forecast.problems)
    await seen(ctx, number, look.code if look.campaign.status == "draft" and not stopped else "")
    reader = campaign_words.Reader(
        member=ctx.member.id,
        role=ctx.member.role,
        channel=ctx.member.channel,
        opens_at=desk(ctx).opens_at(ctx.at),
        said_yes=look.said_yes,
    )
    return Reply.text(preview(ctx.texts, look, ctx.now, reader))


async def seen(ctx: Context, number: int, code: str = "") -> None:
    """From now on this is the campaign that was previewed last."""
    data = {"campaign": number, "at": ctx.at, "code": code}
    await ctx.store.members.set_state(ctx.member.id, _LOOKED, data, ctx.at + _LOOKED_S)


async def last_seen(ctx: Context) -> Looked | None:
    """What was previewed last within a day; None for nothing."""
    state = await ctx.store.members.state(ctx.member.id, _LOOKED, ctx.at)
    return None if state is None else Looked(**state)


def line(ctx: Context, one: Campaign, *, waits: bool = False) -> str:
    """A campaign on one line of a list. waits: somebody has confirmed it, one more has to."""
    texts, title = ctx.texts, one.title
    at = one.started_at if one.started_at is not None and one.kind == "once" else None
    time = moment(texts, at, ctx.now) if at else campaign_words.when(texts, one, ctx.now)
    count = texts("campaign.line_people", count=people(one.planned)) if one.planned else ""
    if one.places:
        count = texts("campaign_groups.line_groups", count=people(len(one.places)))
    if waits:
        count += texts("campaign.line_yes")
    opens_at = desk(ctx).opens_at(ctx.at) if ctx.campaigns is not None else ctx.at
    if one.status in OPEN and opens_at > ctx.at:
        count += texts("campaign.line_quiet", at=moment(texts, opens_at, ctx.now))
    return texts(
        "campaign.line",
        campaign=one.id,
        title=title if len(title) <= _TITLE_CHARS else title[: _TITLE_CHARS - 1] + "…",
        status=status(texts, one),
        when=time,
        people=count,
    )


def refused(ctx: Context, answer: Answer, command: str, number: int | None = None) -> Reply:
    """Why a verb did nothing, and what to do instead."""
    texts, one = ctx.texts, answer.campaign
    number = one.id if one is not None else number
    if one is None and number is not None and answer.said is Said.WRONG_STATUS:
        return no_campaign(ctx, number)
    # Of what is no draft it does not matter who confirms it, and how.
    late = command == "confirm" and one is not None and one.status != "draft"
    late = late and answer.said is Said.OWNER_ONLY
    if one is not None and (answer.said is Said.WRONG_STATUS or late):
        return Reply.text(_wrong_status(texts, one, command))
    if answer.said is Said.WAITS:
        count = answer.look.forecast.recipients if answer.look is not None else 0
        if not count and one is not None:
            count = one.planned
        return Reply.text(texts("campaign.waits", campaign=number, count=people(count)))
    said = texts(f"campaign.said_{answer.said.value}", campaign=number)
    told = answer.said in (Said.FINDINGS, Said.NOBODY, Said.IMPOSSIBLE)
    lines = _why(ctx, answer.look) if told and answer.look is not None else []
    return Reply.text("\n".join((said, *lines)))


def _wrong_status(texts: Texts, one: Campaign, command: str) -> str:
    """What it is, and that this verb has nothing to do with such a one."""
    if command == "edit" and one.status == "paused" and one.started_at is None:
        return texts("campaign.not_edit_paused", campaign=one.id)
    if command == "undo" and one.ended:
        return texts("campaign.not_undo_ended", campaign=one.id, status=status(texts, one))
    return texts(f"campaign.not_{command}", campaign=one.id, status=status(texts, one))


def _why(ctx: Context, look: Look) -> list[str]:
    """The findings and numbers behind a refused confirmation."""
    texts, told = ctx.texts, look.forecast
    lines = findings(texts, look.errors, look.campaign)
    if look.errors and not any(one.fixed for one in look.errors):
        lines.append(texts("campaign.override_hint"))
    lines += [campaign_words.problem_name(texts, one) for one in told.problems]
    if told.problems and look.campaign.places:
        lines += group_forecast(texts, look, ctx.now)
    elif told.problems:
        lines.append(
            texts(
                "campaign.look_people",
                matched=people(told.matched),
                recipients=people(told.recipients),
            )
        )
        if any(told.skipped.values()):
            skipped = campaign_words.reasons(texts, told.skipped)
            lines.append(texts("campaign.look_skipped", reasons=skipped))
    return lines
