"""/referral: what invitations bring, what looks made up in them, and deciding about it.

Members are numbers here, as everywhere; who decided what is in the audit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from handlers import changes, referral
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.router import folded
from store.referral_fraud import BURST, QUIET_TREE
from store.referrals import Held

_DAY_S = 86_400.0
_DAYS = 30
_MAX_DAYS = 365
_LISTED = 5


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/referral report [days] | review | ok N | no N."""
    verb, _, more = folded(rest).partition(" ")
    if verb == "report":
        return await _report(ctx, more.strip())
    if verb == "review":
        return await _review(ctx)
    if verb in ("ok", "no"):
        return await _ask(ctx, verb, more.strip())
    return Reply.text(ctx.texts("referral.usage"))


async def _report(ctx: Context, typed: str) -> Reply:
    texts = ctx.texts
    days = changes.number_from(typed) if typed else _DAYS
    if days is None or not 1 <= days <= _MAX_DAYS:
        return Reply.text(texts("referral.report_usage", limit=_MAX_DAYS))
    rules = ctx.rewards.referral
    report = await ctx.store.referrals.report(ctx.at - days * _DAY_S, rules)
    suspects = report.suspects
    lines = [
        texts("referral.report_head", days=days),
        texts(
            "referral.report_counts",
            credited=report.credited,
            held=report.held,
            refused=report.refused,
            clawed_back=report.clawed_back,
        ),
    ]
    if report.best:
        lines.append(texts("referral.report_best", members=_members(ctx, report.best)))
    if suspects.bursts:
        lines.append(texts("referral.report_bursts", members=_members(ctx, suspects.bursts)))
    if suspects.quiet:
        lines.append(texts("referral.report_quiet", members=_members(ctx, suspects.quiet)))
    if suspects.rings:
        rings = "、".join(
            texts("referral.ring", members="→".join(map(str, (*ring, ring[0]))))
            for ring in suspects.rings
        )
        lines.append(texts("referral.report_rings", rings=rings))
    for member, friends, why in report.unpaid:
        lines.append(
            texts("referral.report_unpaid", member=member, friends=friends, why=_why(ctx, why))
        )
    if report.waiting:
        lines.append(texts("referral.report_waiting", waiting=report.waiting))
    return Reply.text("\n".join(lines))


def _members(ctx: Context, found: tuple[tuple[int, int], ...]) -> str:
    return "、".join(
        ctx.texts("referral.member_friends", member=member, friends=friends)
        for member, friends in found
    )


def _why(ctx: Context, outcome: str) -> str:
    """Why a rung gave no coupon; outcome: of the claim."""
    said = {
        "sold_out": ctx.texts("referral.why_sold_out"),
        "no_offer": ctx.texts("referral.why_no_offer"),
        "already": ctx.texts("referral.why_already"),
    }
    return said.get(outcome, ctx.texts("referral.why_other"))


async def _review(ctx: Context) -> Reply:
    texts = ctx.texts
    held = await ctx.store.referrals.held(_LISTED)
    if not held:
        return Reply.text(texts("referral.review_none"))
    lines = [texts("referral.review_head", count=await ctx.store.referrals.waiting())]
    for one in held:
        lines.append(
            texts(
                "referral.review_item",
                number=one.id,
                when=datetime.fromtimestamp(one.at, SHANGHAI).strftime("%m-%d %H:%M"),
                reason=_reason(ctx, one.reason),
                inviter=_named(ctx, one.inviter),
                friend=_named(ctx, one.invitee),
                days=_age(ctx, one),
                friends=one.friends,
                active=one.active,
                messages=one.messages,
                following=texts("referral.following")
                if one.follows
                else texts("referral.not_following"),
            )
        )
    return Reply.text("\n".join((*lines, texts("referral.review_how"))))


def _age(ctx: Context, one: Held) -> int:
    return 0 if one.inviter_since is None else int((ctx.at - one.inviter_since) // _DAY_S)


def _reason(ctx: Context, reason: str) -> str:
    if reason == BURST:
        return ctx.texts("referral.reason_burst")
    if reason == QUIET_TREE:
        return ctx.texts("referral.reason_quiet")
    return ctx.texts("referral.reason_ring")


def _named(ctx: Context, member: int | None) -> str:
    if member is None:
        return ctx.texts("referral.erased")
    return ctx.texts("referral.member", member=member)


async def _ask(ctx: Context, verb: str, typed: str) -> Reply:
    texts = ctx.texts
    number = changes.number_from(typed)
    if number is None:
        return Reply.text(texts("referral.decide_usage", verb=verb))
    held = await ctx.store.referrals.held_one(number)
    if held is None:
        return Reply.text(texts("referral.not_waiting", number=number))
    inviter, friend = _named(ctx, held.inviter), _named(ctx, held.invitee)
    if verb == "no":
        question = texts("referral.no_ask", number=number, inviter=inviter, friend=friend)
    else:
        question = texts(
            "referral.ok_ask",
            number=number,
            inviter=inviter,
            friend=friend,
            points=ctx.rewards.referral.points,
        )
    args = {"number": number, "good": verb == "ok"}
    return await changes.ask(ctx, "referral", args, question)


@changes.executes("referral")
async def _decided(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    number, good = int(args["number"]), bool(args["good"])
    done = await ctx.store.referrals.decide(
        number,
        good,
        ctx.at,
        f"member:{ctx.member.id}",
        ctx.rewards.referral,
        ctx.rewards.points.ends_at(ctx.at),
    )
    if done is None:
        return Reply.text(ctx.texts("referral.not_waiting", number=number))
    action = "referral.ok" if good else "referral.no"
    target = "" if done.inviter is None else f"member:{done.inviter}"
    await changes.audited(message, ctx, action, target, f"referral {number}")
    if not good:
        return Reply.text(ctx.texts("referral.no_done", number=number))
    await referral.tell(ctx, done)
    return Reply.text(ctx.texts("referral.ok_done", number=number, friends=done.friends))
