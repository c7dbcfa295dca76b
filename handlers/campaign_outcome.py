"""/campaign report and unknown: what arrived, what it caused, and what nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from handlers import campaign_results
from handlers.campaign_asked import desk, no_campaign, number_of, which, who
from handlers.campaign_moments import moment, people
from handlers.campaign_words import when
from handlers.changes import ask, executes, number_from, read_only
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import folded
from insights.experiments import judge

PAGE = 10
"""Unknown deliveries in one list."""
SETTLED_AT_ONCE = 200

_ARRIVED = {"已收到": True, "收到了": True, "收到": True, "没收到": False, "未收到": False}


async def report(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign report N [图]: what arrived, what it caused; the chart follows."""
    number, after = number_of(rest)
    if number is None:
        return await which(ctx, "report")
    chart = folded(after) in ("图", "图表", "chart")
    ctx.said(ctx.texts("wecom.counting"))
    told = await desk(ctx).told(number, chart=chart)
    if told is None:
        return no_campaign(ctx, number)
    ctx.item = f"campaign:{number}"
    # The statistics take a library with them, and time that others would wait for.
    verdict = await asyncio.to_thread(judge, told.report, told.report.metric)
    one = await ctx.store.campaigns.get(number)
    begins = when(ctx.texts, one, ctx.now) if one is not None and one.status == "scheduled" else ""
    text = campaign_results.told(ctx.texts, told.report, verdict, ctx.now, begins)
    if told.media_id:
        ctx.then.append(Reply.image(told.media_id))
    elif chart:
        text = f"{text}\n{ctx.texts('campaign_report.no_chart')}"
    return Reply.text(text)


async def unknown(message: Message, ctx: Context, rest: str) -> Reply:
    """/campaign unknown [N] lists; unknown 已收到 345 346 or unknown N 全部没收到 settles."""
    texts = ctx.texts
    words = folded(rest).replace("全部", "全部 ").split()
    number = number_from(words[0].removeprefix("c")) if words else None
    arrived = next((_ARRIVED[word] for word in words if word in _ARRIVED), None)
    if arrived is None:
        if words and (number is None or len(words) > 1):
            return Reply.text(texts("campaign.unknown_usage"))
        return await _list_unknown(ctx, number)
    if (closed := read_only(ctx)) is not None:
        return closed
    if "全部" in words:
        if number is None:
            return Reply.text(texts("campaign.unknown_usage"))
        return await _ask_all(ctx, number, arrived)
    numbers = [number_from(word) for word in words if word not in _ARRIVED]
    wanted = [one for one in numbers if one is not None]
    if not wanted or len(wanted) != len(numbers):
        return Reply.text(texts("campaign.unknown_usage"))
    return await _settle(message, ctx, wanted[:SETTLED_AT_ONCE], arrived)


async def _list_unknown(ctx: Context, number: int | None) -> Reply:
    texts = ctx.texts
    if number is not None and await ctx.store.campaigns.get(number) is None:
        return no_campaign(ctx, number)
    found = await ctx.store.deliveries.unknown(number, PAGE + 1)
    if not found:
        return Reply.text(texts("campaign.unknown_none"))
    lines = [
        texts(
            "campaign.unknown_line",
            delivery=one.id,
            campaign=one.campaign_id,
            member=texts("campaign.unknown_erased") if one.member_id is None else one.member_id,
            at=moment(texts, one.at, ctx.now),
        )
        for one in found[:PAGE]
    ]
    head = texts("campaign.unknown_head")
    if len(found) > PAGE:
        head = texts("campaign.unknown_head_more", count=PAGE)
    tail = texts("campaign.unknown_tail", delivery=found[0].id, campaign=found[0].campaign_id)
    return Reply.text("\n".join((head, *lines, tail)))


async def _ask_all(ctx: Context, number: int, arrived: bool) -> Reply:
    if await ctx.store.campaigns.get(number) is None:
        return no_campaign(ctx, number)
    found = await ctx.store.deliveries.unknown(number, SETTLED_AT_ONCE)
    if not found:
        return Reply.text(ctx.texts("campaign.unknown_none"))
    what = ctx.texts(f"campaign.arrived_{'yes' if arrived else 'no'}")
    question = ctx.texts(
        "campaign.settle_ask", campaign=number, count=people(len(found)), what=what
    )
    args = {"deliveries": [one.id for one in found], "arrived": arrived}
    return await ask(ctx, "campaign.settle", args, question)


@executes("campaign.settle")
async def _settle_all(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    return await _settle(message, ctx, args["deliveries"], args["arrived"])


async def _settle(message: Message, ctx: Context, numbers: Sequence[int], arrived: bool) -> Reply:
    settled = 0
    for number in numbers:
        settled += await desk(ctx).settle(number, arrived, who(message, ctx, f"settle:{number}"))
    if not settled:
        return Reply.text(ctx.texts("campaign.settled_none"))
    what = ctx.texts(f"campaign.arrived_{'yes' if arrived else 'no'}")
    return Reply.text(ctx.texts("campaign.settled", count=people(settled), what=what))
