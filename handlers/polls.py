"""Polls of campaigns: a tap on an option, or its number typed, is a vote.

WeChat sends a tap as a text with the option's words and, beside it, the id that we gave the
option. The id decides: 取消 as an answer to a poll cancels nothing. A mass send cannot have
buttons, so the number of an option is understood, too, for a while after the poll came, and its
own words are while votes count. Words that mean something else to us go on meaning that.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from handlers.choices import NUMBER, WINDOW_S, number_in, recall
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from handlers.texts import Texts
from knowledge import Band
from store.polls import HANDLER, Ballot, Votes, item_of

taps = Router(HANDLER)
typed = Router("poll.typed")

TYPED_S = 86_400.0
"""How long after a poll came a number alone is a vote."""

OPEN_S = 30 * 86_400.0
"""How long after a poll came its words are known, if votes still count then."""

_OPTION_CHARS = 40
_CHOOSE = re.compile(r"我?(?:选择?|投给?)\s*")
_NUMBERED = re.compile(r"[0-9]{1,2}\s*[.、]\s*")
_PICK = rf"(?:我?(?:选择?|投给?)\s*)?第?\s*({NUMBER})\s*[个号项]?"
_ID = re.compile(r"poll:c([0-9]{1,15}):([A-Za-z0-9_-]{1,32}):([0-9]{1,2})")
_PREVIEW = re.compile(r"poll:[0-9]{1,2}")


def _tapped(message: Message) -> str:
    """The id of what was tapped; "" for a text that was typed."""
    return str(message.raw.get("bizmsgmenuid") or "")


@taps.question(guard=lambda message, ctx: _tapped(message).startswith("poll:"), where="both")
async def tap(message: Message, ctx: Context) -> Reply | None:
    """A vote by a button; None for an id that is not ours."""
    tapped = _tapped(message)
    if _PREVIEW.fullmatch(tapped):
        return Reply.text(ctx.texts("poll.preview"))
    found = _ID.fullmatch(tapped)
    if found is None:
        return None
    ballot = await ctx.store.polls.ballot(ctx.member.id, int(found[1]), found[2])
    number = int(found[3])
    if ballot is None or not 1 <= number <= len(ballot.options):
        # Somebody passed the message on, or the campaign is gone.
        return Reply.text(ctx.texts("poll.not_yours"))
    return await _vote(ctx, ballot, number)


@typed.text(_PICK, name=HANDLER)
async def answer(message: Message, ctx: Context) -> Reply | None:
    """2 or 选2, when a poll is the last thing that offered a choice; None otherwise."""
    picked = re.fullmatch(_PICK, folded(message.text))
    number = number_in(picked[1]) if picked is not None else None
    if number is None or _tapped(message):
        return None
    ballot = await ctx.store.polls.newest(ctx.member.id, ctx.at - TYPED_S)
    if ballot is None or not 1 <= number <= len(ballot.options):
        return None
    shown = await recall(ctx, message.key)
    if shown is not None and ctx.at < shown.until and ballot.at < shown.until - WINDOW_S:
        return None
    return await _vote(ctx, ballot, number)


@typed.text("投票|投票结果|怎么投票", name=HANDLER)
async def look(message: Message, ctx: Context) -> Reply | None:
    """What can be chosen and how it stands; None where the FAQ has an answer of its own."""
    ballot = await _open(ctx)
    if ballot is None:
        known = ctx.knowledge.ask(message.text, ctx.demoted).band is Band.SURE
        return None if known else Reply.text(ctx.texts("poll.none"))
    lines = [ctx.texts("poll.how")]
    lines += [
        ctx.texts("poll.option", number=number, option=option)
        for number, option in enumerate(ballot.options, 1)
    ]
    found = await ctx.store.polls.votes(ballot.campaign_id)
    mine = next((one for one in found if one.variant == ballot.variant), None)
    if mine is not None:
        lines.append(ctx.texts("poll.so_far", counts=counted(ctx.texts, mine)))
    return Reply.text("\n".join(lines))


async def by_words(message: Message, ctx: Context) -> Reply | None:
    """A vote by an option's own words; None for all else. The FAQ asks before it gives up."""
    text = message.text
    if not 0 < len(text) <= _OPTION_CHARS or asking(text) or _tapped(message):
        return None
    ballot = await _open(ctx)
    number = option_in(text, ballot.options) if ballot is not None else None
    if ballot is None or number is None:
        return None
    ctx.handler = HANDLER
    return await _vote(ctx, ballot, number)


async def _open(ctx: Context) -> Ballot | None:
    """The newest poll that was sent to this member, while votes count."""
    ballot = await ctx.store.polls.newest(ctx.member.id, ctx.at - OPEN_S)
    return ballot if ballot is not None and ctx.at < ballot.until else None


def option_in(text: str, options: Sequence[str]) -> int | None:
    """The number, from 1, of the one option that a text says: 我选晚上8点 says 晚上 8 点. None for
    no option, or for several."""
    chosen = folded(text)
    if (led := _CHOOSE.match(chosen)) is not None:
        chosen = chosen[led.end() :]
    numbered = _NUMBERED.match(chosen)
    bare = chosen[numbered.end() :] if numbered is not None else chosen
    for said in (text, chosen, bare):
        alike = [at for at, one in enumerate(options, 1) if _plain(one) == _plain(said)]
        if said and alike:
            return alike[0] if len(alike) == 1 else None
    return None


def _plain(text: str) -> str:
    """Letters and digits alone; the whole text where there are none."""
    narrow = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in narrow if sign.isalnum()) or narrow.strip()


async def _vote(ctx: Context, ballot: Ballot, number: int) -> Reply:
    """Note the vote in the log, and say how it stands."""
    if ctx.at >= ballot.until:
        return Reply.text(ctx.texts("poll.over"))
    # The log's row is the vote: the same message again is the same row.
    ctx.item = item_of(ballot.campaign_id, ballot.variant, number)
    others = await ctx.store.polls.votes(ballot.campaign_id, but=ctx.member.id)
    mine = next((one for one in others if one.variant == ballot.variant), None)
    counts = list(mine.counts if mine is not None else (0,) * len(ballot.options))
    counts[number - 1] += 1
    so_far = Votes(ballot.variant, ballot.options, tuple(counts))
    text = ctx.texts("poll.thanks", option=ballot.options[number - 1])
    return Reply.text(f"{text}\n{ctx.texts('poll.so_far', counts=counted(ctx.texts, so_far))}")


def counted(texts: Texts, votes: Votes) -> str:
    """ "早上 12 票、晚上 8 票", in the order of the options."""
    pairs = zip(votes.options, votes.counts, strict=True)
    return "、".join(texts("poll.count", option=option, count=count) for option, count in pairs)


def report(texts: Texts, found: Sequence[Votes]) -> list[str]:
    """A line for each poll of a campaign; [] for none."""
    many = len(found) > 1
    lines = []
    for one in found:
        said = {"voters": one.voters, "counts": counted(texts, one)}
        if many:
            lines.append(texts("poll.report_variant", name=one.variant, **said))
        else:
            lines.append(texts("poll.report", **said))
    return lines
