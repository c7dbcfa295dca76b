"""/report and /why: what jobs worked out, in a short text and one chart, each number open to why.

Nothing is worked out here. A report is read from the findings; what it says of few members is for
owners only. Its numbers can be asked about for a day: `/why 3` says what the third one is, over
which window, from how many. What it shows can become an audience: `/report to 即将流失 好久不见`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from handlers import campaign_desk, changes, group_asked, report_text
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.report_means import Started
from handlers.report_text import Asked
from handlers.router import folded
from insights.anonymity import masked
from insights.report import Figure, Report, from_json, name_of
from store import rules
from store.rules import RuleError

ASKED = "report"
"""The state that keeps what the numbers of the last report stand for."""

ASKED_S = 86_400.0
_MOST_ASKED = 60
_EXAMPLES = 3

_KINDS = MappingProxyType(
    {
        **dict.fromkeys(("day", "日报", "今天", "今日"), "day"),
        **dict.fromkeys(("week", "周报", "本周", "这周"), "week"),
        **dict.fromkeys(("group", "群", "群聊"), "group"),
        **dict.fromkeys(("topic", "topics", "话题", "热点", "热门话题"), "topic"),
        **dict.fromkeys(("mood", "情绪", "心情"), "mood"),
        **dict.fromkeys(("members", "member", "成员", "会员", "流失"), "members"),
        **dict.fromkeys(("leaders", "leader", "意见领袖", "领袖", "达人", "kol"), "leaders"),
        **dict.fromkeys(("retention", "留存"), "retention"),
        **dict.fromkeys(("budget", "预算"), "budget"),
    }
)
_SCOPED = frozenset({"group", "topic", "mood", "leaders"})
"""Reports that a group may have of its own."""
_VERBS = ("to", "refresh")


async def report(message: Message, ctx: Context, rest: str) -> Reply:
    """/report KIND [group], /report to STATE [words], /report refresh."""
    typed, more = group_asked.split(rest)
    word = folded(typed)
    if word in ("to", "发给"):
        return await _to(message, ctx, more)
    if word in ("refresh", "重算"):
        return _refresh(ctx)
    kind = _KINDS.get(word)
    if kind is None:
        near = difflib.get_close_matches(word, [*_KINDS, *_VERBS], n=1, cutoff=0.6)
        if near:
            return Reply.text(ctx.texts("report.meant", near=near[0]))
        return Reply.text(ctx.texts("report.usage"))
    ctx.handler = f"operator.report.{kind}"
    return await _show(message, ctx, kind, more)


async def _show(message: Message, ctx: Context, kind: str, more: str) -> Reply:
    scope, title = "", ctx.texts(f"report.title_{kind}")
    if kind == "group" and not more:
        return Reply.text(ctx.texts("report.which_group"))
    if more and kind in _SCOPED:
        found = group_asked.find(ctx, more)
        if isinstance(found, Reply):
            return found
        scope = found.place
        title = ctx.texts("report.title_of", title=title, group=group_asked.shown(ctx, found))
    known = await read(ctx, kind, scope)
    if known is None:
        return Reply.text(ctx.texts("report.none", title=title))
    told = report_text.told(ctx.texts, known, title, {})
    await _remember(ctx, told.asked)
    text = "\n".join((told.text, ctx.texts("report.foot")))
    if kind in ("members", "week"):
        text = "\n".join((text, ctx.texts("report.foot_to")))
    picture = await _picture(message, ctx, known, title)
    if picture:
        ctx.then.append(Reply.image(picture))
    return Reply.text(text)


async def read(ctx: Context, kind: str, scope: str) -> Report | None:
    """The newest report, as this reader may see it; None before there is one."""
    data = await ctx.store.interactions.finding(name_of(kind, scope))
    if data is None:
        return None
    least = ctx.insights.least_people if ctx.insights is not None else 0
    member = ctx.member
    return masked(from_json(data), least, owner=member.role == "owner", members=member.is_operator)


async def _picture(message: Message, ctx: Context, known: Report, title: str) -> str:
    if ctx.insights is None or not known.charts:
        return ""
    ctx.said(ctx.texts("wecom.counting"))
    chart = report_text.drawing(ctx.texts, known.charts[0], title)
    foot = ctx.texts(
        "report.chart_foot",
        window=report_text.window(known.since, known.until),
        business=ctx.business.name,
    )
    return await ctx.insights.picture(chart, foot, message.channel)


async def _remember(ctx: Context, asked: Sequence[Asked]) -> None:
    kept = [
        {"f": msgspec.to_builtins(one.figure), "l": one.label, "d": list(one.details)}
        for one in asked[:_MOST_ASKED]
    ]
    await ctx.store.members.set_state(ctx.member.id, ASKED, kept, ctx.at + ASKED_S)


def _asked(kept: Any, number: int) -> Asked | None:
    if not isinstance(kept, list) or not 1 <= number <= len(kept):
        return None
    one = kept[number - 1]
    return Asked(msgspec.convert(one["f"], Figure), one["l"], tuple(one["d"]))


async def why(message: Message, ctx: Context, rest: str) -> Reply:
    """/why N: what number N of the last report is, over which window, from how many."""
    kept = await ctx.store.members.state(ctx.member.id, ASKED, ctx.at)
    if not kept:
        return Reply.text(ctx.texts("report.why_nothing"))
    number = changes.number_from(rest)
    one = None if number is None else _asked(kept, number)
    if one is None:
        return Reply.text(ctx.texts("report.why_usage", most=len(kept)))
    lines = [report_text.why(ctx.texts, one)]
    references = report_text.references(one.details)
    if references and ctx.is_operator():
        lines += await _examples(ctx, references)
    return Reply.text("\n".join(lines))


async def _examples(ctx: Context, references: Sequence[str]) -> list[str]:
    """Messages, items and open questions behind a row."""
    found = await ctx.store.terms.examples(references)
    said = [changes.short(one.text) for one in found if one.text][:_EXAMPLES]
    items = [
        ctx.items[one].title for one in references if one.startswith("item:") and one in ctx.items
    ]
    lines = [ctx.texts("report.why_example", text=one) for one in said]
    if items:
        lines.append(ctx.texts("report.why_items", titles="、".join(items[:_EXAMPLES])))
    return lines


async def _to(message: Message, ctx: Context, more: str) -> Reply:
    """A campaign to the members in a state: its draft and preview; nothing goes out."""
    if (refused := changes.read_only(ctx)) is not None:
        return refused
    state, words = group_asked.split(more)
    rule = _rule(state)
    if rule is None:
        return Reply.text(ctx.texts("report.to_usage"))
    if not words:
        return Reply.text(ctx.texts("report.to_words", state=state))
    title = ctx.texts("report.to_title", state=state, day=ctx.today[5:])
    ctx.handler = "operator.report.to"
    return await campaign_desk.campaign(message, ctx, f"new {title}\n对象：{rule}\n文字：{words}")


def _rule(state: str) -> str | None:
    """The audience that a word means: a state of members, as a rule; None for none."""
    rule = f"状态:{state}"
    try:
        rules.parse(rule)
    except RuleError:
        return None
    return rule


def _refresh(ctx: Context) -> Reply:
    if (refused := changes.read_only(ctx)) is not None:
        return refused
    done = ctx.insights.refresh() if ctx.insights is not None else Started.OFF
    return Reply.text(ctx.texts(f"report.refresh_{done.value}"))
