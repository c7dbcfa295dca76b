"""/points: give points and take them, with a reason; what went round; one member's account.

A change asks first, is written to the audit, and happens once for the message that confirms.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from handlers import changes
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.points import entries, reason_of
from handlers.router import folded
from store.points import Outcome, Reason

MOST = 1_000_000
"""Points that one command moves."""

_NOTE_CHARS = 60
_DAYS = 30
_MOST_DAYS = 366
_SHOWN = 10


async def points(message: Message, ctx: Context, rest: str) -> Reply:
    """/points grant|take|report|show."""
    verb, _, more = rest.strip().partition(" ")
    match folded(verb):
        case "grant":
            return await _ask(ctx, more, 1)
        case "take":
            return await _ask(ctx, more, -1)
        case "report":
            return await _report(ctx, more.strip())
        case "show":
            return await _show(message, ctx, more)
    return Reply.text(ctx.texts("points.usage"))


async def _ask(ctx: Context, rest: str, sign: int) -> Reply:
    """grant N 100 原因, take N 50 原因: what it would do."""
    texts = ctx.texts
    words = rest.split(maxsplit=2)
    member, amount = (changes.number_from(word) for word in (*words[:2], "", "")[:2])
    note = " ".join(words[2].split()) if len(words) == 3 else ""
    if member is None or not amount or amount > MOST or not 1 <= len(note) <= _NOTE_CHARS:
        verb = "grant" if sign > 0 else "take"
        return Reply.text(texts("points.change_usage", verb=verb, limit=MOST, chars=_NOTE_CHARS))
    if await ctx.store.members.card(member) is None:
        return Reply.text(texts("operator.who_not_found"))
    balance = (await ctx.store.points.balance(member)).balance
    args = {"member": member, "amount": sign * amount, "note": note}
    if sign > 0:
        question = texts(
            "points.grant_ask", member=member, amount=amount, note=note, balance=balance
        )
    elif balance < amount:
        return Reply.text(texts("points.take_short", member=member, balance=balance, amount=amount))
    else:
        question = texts(
            "points.take_ask", member=member, amount=amount, note=note, balance=balance
        )
    return await changes.ask(ctx, "points", args, question)


@changes.executes("points")
async def _changed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    texts, member, amount = ctx.texts, args["member"], args["amount"]
    posted = await ctx.store.points.post(
        member,
        amount,
        Reason.OPERATOR,
        f"operator:{message.key}",
        ctx.at,
        ends_at=ctx.rewards.points.ends_at(ctx.at),
        actor=f"member:{ctx.member.id}",
        note=args["note"],
    )
    if posted.outcome is Outcome.NOBODY:
        return Reply.text(texts("operator.who_not_found"))
    if posted.outcome is Outcome.SHORT:
        return Reply.text(
            texts("points.take_short", member=member, balance=posted.balance, amount=-amount)
        )
    action = "points.grant" if amount > 0 else "points.take"
    detail = f"{abs(amount)}: {args['note']}"
    await changes.audited(message, ctx, action, f"member:{member}", detail)
    if amount > 0:
        return Reply.text(
            texts("points.granted", member=member, amount=amount, balance=posted.balance)
        )
    return Reply.text(texts("points.taken", member=member, amount=-amount, balance=posted.balance))


async def _report(ctx: Context, rest: str) -> Reply:
    """report [days]: with today; what was given out and taken in, by reason."""
    texts = ctx.texts
    days = changes.number_from(rest) if rest else _DAYS
    if days is None or not 1 <= days <= _MOST_DAYS:
        return Reply.text(texts("points.report_usage", limit=_MOST_DAYS))
    since = (ctx.now - timedelta(days=days - 1)).strftime("%Y-%m-%d")
    totals = await ctx.store.points.totals(since)
    lines = [
        texts("points.report_reason", reason=reason_of(ctx, reason), given=given, taken=taken)
        for reason, (given, taken) in totals.reasons.items()
    ]
    sums = texts(
        "points.report_totals",
        issued=totals.issued,
        spent=totals.spent,
        members=totals.members,
        outstanding=totals.outstanding,
    )
    head = texts("points.report_head", days=days)
    tail = [texts("points.report_owed", owed=totals.owed)] if totals.owed else []
    return Reply.text("\n".join((head, *(lines or [texts("points.report_none")]), sums, *tail)))


async def _show(message: Message, ctx: Context, rest: str) -> Reply:
    """show N: a member's account and its last changes."""
    member = changes.number_from(rest)
    if member is None:
        return Reply.text(ctx.texts("points.usage"))
    if await ctx.store.members.card(member) is None:
        return Reply.text(ctx.texts("operator.who_not_found"))
    account = await ctx.store.points.balance(member)
    await changes.audited(message, ctx, "points.show", f"member:{member}")
    head = ctx.texts(
        "points.show_head", member=member, balance=account.balance, earned=account.earned
    )
    if account.owed:
        head = "\n".join((head, ctx.texts("points.show_owed", owed=account.owed)))
    last = await ctx.store.points.history(member, _SHOWN)
    return Reply.text("\n".join((head, *entries(ctx, last))))
