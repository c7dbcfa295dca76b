"""Operator commands about the business: the funnel, campaign links, documents.

/funnel reads and counts what happened; nothing here sells, sends or guesses. Whoever asks is
told how certain a share is: twelve people of forty are no thirty per cent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from handlers.changes import ask, audited, executes, number_from, short
from handlers.context import Context
from handlers.message import Message, Reply
from insights.outcomes import Group, Rate, Report, Tally, funnel

WINDOW_S = 7 * 86_400.0
"""An order is owed to a click of the seven days before it."""

VIEW_WINDOW_S = 86_400.0
"""And to what was only seen, of the day before it."""

_MAX_DAYS = 365
_DAYS = 30
_ROWS = 8
_DOCS = 20
_CAMPAIGN = re.compile(r"[^\s/|]{1,64}")
_SOURCES = frozenset({"campaign", "answer", "recommendation", "referral", "catalogue"})


# The funnel


async def report(message: Message, ctx: Context, rest: str) -> Reply:
    """/funnel [campaign] [days]: exposure, click, claim, purchase, and what brought them."""
    texts, words = ctx.texts, rest.split()
    days = _DAYS
    if words and (given := number_from(words[-1])) is not None:
        days, words = given, words[:-1]
    if len(words) > 1 or not 1 <= days <= _MAX_DAYS:
        return Reply.text(texts("business.funnel_usage", limit=_MAX_DAYS))
    campaign = words[0] if words else ""
    midnight = ctx.now.replace(hour=0, minute=0, second=0, microsecond=0)
    since, until = (midnight - timedelta(days=days - 1)).timestamp(), ctx.at + 1.0

    counted = await ctx.store.funnel.read(
        lambda rows: funnel(
            rows,
            since=since,
            until=until,
            window_s=WINDOW_S,
            view_window_s=VIEW_WINDOW_S,
            campaign=campaign,
        ),
        since=since,
        until=until,
        window_s=WINDOW_S,
        view_window_s=VIEW_WINDOW_S,
        campaign=campaign,
    )
    if not any(counted.total.counts):
        if campaign:
            about = {"campaign": short(campaign), "days": days}
            return Reply.text(texts("business.funnel_none_campaign", **about))
        return Reply.text(texts("business.funnel_none", days=days))
    head = (
        texts("business.funnel_campaign", campaign=short(campaign), days=days)
        if campaign
        else texts("business.funnel_all", days=days)
    )
    return Reply.text("\n".join((head, *_total(ctx, counted.total), *_groups(ctx, counted))))


def _total(ctx: Context, total: Tally) -> list[str]:
    texts = ctx.texts
    (seen, clicks, claims, orders), people = total.counts, total.people
    rates = total.rates
    lines = [
        texts("business.seen", people=people[0], count=seen),
        texts(
            "business.clicked",
            people=people[1],
            count=clicks,
            share=_share(ctx, rates["exposure", "click"]),
        ),
    ]
    if claims:
        lines.append(texts("business.claimed", people=people[2], count=claims))
    lines.append(
        texts(
            "business.bought",
            people=people[3],
            count=orders,
            share=_share(ctx, rates["click", "purchase"]),
        )
    )
    lines.append(
        texts(
            "business.revenue",
            net=yuan(total.last.net_cents),
            gross=yuan(total.last.gross_cents),
            refunded=yuan(total.last.refunded_cents),
        )
    )
    if not math.isnan(total.median_s):
        hours = total.median_s / 3600
        shown = f"{hours:.1f}" if hours < 100 else f"{hours:.0f}"
        lines.append(texts("business.median", hours=shown))
    return lines


def _groups(ctx: Context, counted: Report) -> list[str]:
    """What it is owed to, most revenue first: two models side by side."""
    texts = ctx.texts
    ranked = sorted(
        counted.groups.items(),
        key=lambda pair: (-pair[1].last.net_cents, -pair[1].counts[1], pair[0]),
    )
    ranked = [(group, tally) for group, tally in ranked if any(tally.counts[1:])]
    if not ranked:
        return []
    lines = [
        texts(
            "business.group",
            name=_named(ctx, group),
            clicks=tally.counts[1],
            orders=f"{tally.last.orders:g}",
            last=yuan(tally.last.net_cents),
            position=yuan(tally.position.net_cents),
        )
        for group, tally in ranked[:_ROWS]
    ]
    if len(ranked) > _ROWS:
        lines.append(texts("business.group_more", count=len(ranked) - _ROWS))
    return [texts("business.groups_head"), *lines]


def _named(ctx: Context, group: Group) -> str:
    source = group.source if group.source in _SOURCES else "none"
    if not group.campaign:
        return ctx.texts(f"business.source_{source}")
    return short("/".join(part for part in (group.campaign, group.variant) if part))


def _share(ctx: Context, rate: Rate) -> str:
    """ "（25.8%，约 23%–28%）"; "" of nobody."""
    if not rate.people:
        return ""
    return ctx.texts(
        "business.share",
        share=f"{rate.value:.1%}",
        low=f"{rate.low:.0%}",
        high=f"{rate.high:.0%}",
    )


def yuan(cents: int) -> str:
    """Fen as "1,234 元" without "元": whole yuan plain, others with two places."""
    whole, fen = divmod(abs(cents), 100)
    text = f"{whole:,}.{fen:02}" if fen else f"{whole:,}"
    return f"-{text}" if cents < 0 else text


# Links


async def link(message: Message, ctx: Context, rest: str) -> Reply:
    """/link ITEM|URL CAMPAIGN [VARIANT]: an address that counts its clicks, for a mass send."""
    texts, words = ctx.texts, rest.split()
    if len(words) not in (2, 3) or not all(map(_CAMPAIGN.fullmatch, words[1:])):
        return Reply.text(texts("business.link_usage"))
    variant = words[2] if len(words) == 3 else ""
    url, problem = await ctx.links.make_link(
        words[0], campaign=words[1], variant=variant, by=f"member:{ctx.member.id}"
    )
    if problem == "no_public_url":
        return Reply.text(texts("business.link_no_public_url"))
    if problem:
        return Reply.text(
            texts("business.link_unknown_item", item=short(words[0]))
            if problem == "unknown_item"
            else texts("business.link_bad_url")
        )
    await audited(message, ctx, "link.new", f"campaign:{words[1]}", short(words[0]))
    return Reply.text(texts("business.link_made", campaign=short(words[1]), url=url))


# Documents


async def documents(message: Message, ctx: Context, rest: str) -> Reply:
    """/docs, /docs del N: what answers may be taken from besides the FAQ."""
    texts, words = ctx.texts, rest.split()
    known = await ctx.store.documents.all()
    if words[:1] == ["del"]:
        number = number_from(words[1]) if len(words) == 2 else None
        found = next((one for one in known if one.id == number), None)
        if found is None:
            return Reply.text(texts("business.docs_not_found"))
        args = {"id": found.id, "name": found.name}
        return await ask(
            ctx, "docs.del", args, texts("business.docs_delete_ask", name=short(found.name))
        )
    if words and words != ["list"]:
        return Reply.text(texts("business.docs_usage"))
    if not known:
        return Reply.text(texts("business.docs_none"))
    lines = [
        texts("business.docs_item", id=one.id, name=short(one.name), passages=one.passages)
        for one in known[:_DOCS]
    ]
    head = texts("business.docs_head", count=len(known))
    return Reply.text("\n".join((head, *lines, texts("business.docs_usage"))))


@executes("docs.del")
async def _deleted(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    await ctx.store.documents.delete(args["id"])
    await audited(message, ctx, "docs.del", f"document:{args['id']}", short(args["name"]))
    await ctx.reload()
    return Reply.text(ctx.texts("business.docs_deleted", name=short(args["name"])))
