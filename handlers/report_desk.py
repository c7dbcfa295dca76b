"""/report and /why: what jobs worked out, in a short text and one chart, each number open to why.

Nothing is worked out here. A report is read from the findings; what it says of few members is for
owners only. Its numbers can be asked about for a day: `/why 3` says what the third one is, over
which window, from how many. What does not fit on a phone is told for `/report week 更多`. What it
shows can become an audience: `/report to 快流失 好久不见`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from types import MappingProxyType

from handlers import campaign_desk, changes, group_asked, report_publish, report_text
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.report_means import Started
from handlers.report_text import ASKED
from handlers.router import folded
from handlers.rule_words import fault
from insights.anonymity import masked
from insights.behaviour import StateRules
from insights.digest import shown
from insights.report import Report, name_of
from insights.report import known as report_of
from store import rule_states, rules
from store.rules import RuleError

ASKED_S = 86_400.0
_EXAMPLES = 3
_QUOTED = 60
"""Characters of a message, without numbers and accounts."""
_LEAST = 10
"""Where nothing is configured, figures of fewer are for owners only."""
_GAPS = 200
"""Of the questions that are open, those asked most often."""
_FRESH_S = 600.0
_WAIT_S = 2.0
"""What came of recommendations is worked out for who asks, when it is older than that; who asks
waits so long at most, and reads what there is."""

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
        **dict.fromkeys(("rec", "推荐", "recommendations"), "rec"),
    }
)
_SCOPED = frozenset({"group", "topic", "mood", "leaders"})
"""Reports that a group may have of its own."""
_PRIVATE = "private"
"""The scope of what members write in private; only topics are told of it."""
_MORE = "更多"
_REST = (_MORE, "more", "其余", "全部")
_VERBS = ("to", "refresh", "publish")


async def report(message: Message, ctx: Context, rest: str) -> Reply:
    """/report KIND [group] [更多], /report to STATE [words], /report refresh, /report publish."""
    typed, more = group_asked.split(rest)
    word = folded(typed)
    if word.endswith(_MORE) and word.removesuffix(_MORE) in _KINDS:
        word, more = word.removesuffix(_MORE), more or _MORE  # typed without the blank
    if word in ("to", "发给"):
        return await _to(message, ctx, more)
    if word in ("refresh", "重算"):
        return await _refresh(message, ctx)
    if word in ("publish", "公布"):
        return await report_publish.ask(message, ctx, more)
    kind = _KINDS.get(word)
    if kind is None and word and len(group_asked.named(ctx, rest)) == 1:
        kind, typed, more = "group", "group", rest
    if kind is None:
        near = difflib.get_close_matches(word, [*_KINDS, *_VERBS], n=1, cutoff=0.5)
        if near:
            # Long words of ours are for those who type them: what is offered is what help says.
            word = _KINDS.get(near[0], near[0]) if near[0].isascii() else near[0]
            return Reply.text(ctx.texts("report.meant", near=word))
        return Reply.text(ctx.texts("report.usage"))
    ctx.handler = f"operator.report.{kind}"
    of, _, last = more.rpartition(" ")
    if folded(last) in _REST:
        return await _show(message, ctx, kind, of.strip(), rest=True)
    return await _show(message, ctx, kind, more)


async def _show(message: Message, ctx: Context, kind: str, of: str, *, rest: bool = False) -> Reply:
    """A report of all or of one group. rest: of it what did not fit into the first message."""
    texts = ctx.texts
    scope, title = "", texts(f"report.title_{kind}")
    if kind == "group" and not of:
        return Reply.text(texts("report.which_group"))
    if of and kind not in _SCOPED:
        return Reply.text(texts("report.not_of_group", title=title, kind=kind))
    if of and kind == "topic" and folded(of) == texts("report.title_private"):
        scope = _PRIVATE
        title = texts("report.title_of", title=title, group=texts("report.title_private"))
    elif of:
        found = group_asked.find(ctx, of)
        if isinstance(found, Reply):
            return found
        scope = found.place
        title = texts("report.title_of", title=title, group=group_asked.shown(ctx, found))
    counting = kind == "rec" and await _counting(ctx)
    known = await read(ctx, kind, scope)
    if known is None and counting:
        return Reply.text(texts("report.none_counting", title=title))
    if known is None and kind == "leaders":
        return Reply.text(texts("report.none_leaders", title=title))
    if known is None and ctx.is_operator():
        return Reply.text(texts("report.none", title=title))
    if known is None:
        return Reply.text(texts("report.none_read", title=title))
    first, others = report_text.parts(known)
    if rest and others is None:
        return Reply.text(texts("report.no_rest", title=title))
    if rest and others is not None:
        first, title = others, texts("report.title_rest", title=title)
    told = report_text.told(texts, first, title, {})
    asked = report_text.kept(ctx.member.role, told.asked)
    await ctx.store.members.set_state(ctx.member.id, ASKED, asked, ctx.at + ASKED_S)
    lines = [told.text]
    if counting:
        lines.append(texts("report.counting"))
    if told.asked:
        lines.append(texts("report.foot"))
    if others is not None and not rest:
        lines.append(texts("report.foot_rest", typed=f"{kind} {of}".strip()))
    if kind in ("members", "week") and ctx.is_operator():
        lines.append(texts("report.foot_to"))
    if kind in _SCOPED and not of:
        lines.append(texts("report.foot_group", kind=kind))
    picture = await _picture(message, ctx, first, title)
    if picture:
        ctx.then.append(Reply.image(picture))
    return Reply.text("\n".join(lines))


async def _counting(ctx: Context) -> bool:
    """Have what came of recommendations worked out, unless it was just now; whether that is still
    under way, and there are only the figures of before."""
    known = report_of(await ctx.store.interactions.finding(name_of("rec")))
    if ctx.insights is None or (known is not None and ctx.at < known.made_at + _FRESH_S):
        return False
    return not await ctx.insights.recommended(_WAIT_S)


async def read(ctx: Context, kind: str, scope: str) -> Report | None:
    """The newest report, as this reader may see it; None before there is one."""
    found = report_of(await ctx.store.interactions.finding(name_of(kind, scope)))
    if found is None:
        return None
    member, least = ctx.member, least_people(ctx)
    return masked(found, least, owner=member.role == "owner", members=member.is_operator)


def least_people(ctx: Context) -> int:
    """Of fewer members than this nothing is told but to owners."""
    return ctx.insights.least_people if ctx.insights is not None else _LEAST


async def _picture(message: Message, ctx: Context, known: Report, title: str) -> str:
    if ctx.insights is None or not known.charts:
        return ""
    ctx.said(ctx.texts("wecom.counting"))
    chart = report_text.drawing(ctx.texts, known.charts[0], title)
    foot = ctx.texts(
        "report.chart_foot",
        window=report_text.days(known.since, known.until),
        business=ctx.business.name,
    )
    return await ctx.insights.picture(chart, foot, message.channel)


async def why(message: Message, ctx: Context, rest: str) -> Reply:
    """/why N: what number N of the last report is, over which window, from how many."""
    known = await ctx.store.members.state(ctx.member.id, ASKED, ctx.at)
    # What an operator was shown is not told to the analyst they have become.
    if not known or known["role"] != ctx.member.role:
        return Reply.text(ctx.texts("report.why_nothing"))
    if not known["asked"]:
        return Reply.text(ctx.texts("report.why_none"))
    one = report_text.asked_of(known, changes.number_from(rest))
    if one is None:
        return Reply.text(ctx.texts("report.why_usage", most=len(known["asked"])))
    states = ctx.insights.states if ctx.insights is not None else StateRules()
    lines = report_text.why(ctx.texts, one, states)
    references = report_text.references(one.details)
    if references and ctx.is_operator():
        lines += await _examples(ctx, references)
    return Reply.text(report_text.fitted(ctx.texts, (), lines))


async def _examples(ctx: Context, references: Sequence[str]) -> list[str]:
    """Messages, items and open questions behind a row."""
    texts = ctx.texts
    found = await ctx.store.terms.examples(references)
    # What several wrote alike is one example.
    said = [*dict.fromkeys(shown(one.text, _QUOTED) for one in found if one.text)][:_EXAMPLES]
    items = [ctx.items[one].title for one in references if one in ctx.items]
    open_ = [one for one in references if one.startswith("gap:")]
    gaps = await ctx.store.content.gaps(_GAPS) if open_ else []
    asked = [shown(one.sample, _QUOTED) for one in gaps if f"gap:{one.id}" in open_]
    lines = [texts("report.why_example", text=one) for one in said]
    if items:
        lines.append(texts("report.why_items", titles="、".join(items[:_EXAMPLES])))
    if asked:
        lines.append(texts("report.why_gaps", questions="、".join(asked[:_EXAMPLES])))
    return lines


async def _to(message: Message, ctx: Context, more: str) -> Reply:
    """A campaign to the members in a state: its draft and preview; nothing goes out."""
    if (refused := changes.read_only(ctx)) is not None:
        return refused
    state, words = group_asked.split(more)
    rule = _rule(state)
    if rule is None:
        return Reply.text(ctx.texts("report.to_usage"))
    # What was typed as a key is told in Chinese.
    state = rule_states.CALLED.get(state.lower(), (state,))[0]
    if not words:
        return Reply.text(ctx.texts("report.to_words", state=state))
    try:
        found = await ctx.store.audiences.look(rule, ctx.at, sample=1)
    except RuleError as bad:
        return Reply.text(fault(ctx.texts, bad, rule))
    if not found.matched:
        return Reply.text(ctx.texts("report.to_nobody", state=state))
    title = ctx.texts("report.to_title", state=state, day=ctx.today[5:])
    # How to hear no more belongs under what nobody asked for.
    hint = "" if "退订" in words else f"\n{ctx.texts('campaign_new.hint')}"
    form = f"new {title}\n对象：{rule}\n文字：{words}{hint}"
    made = await campaign_desk.campaign(message, ctx, form)
    ctx.handler = "operator.report.to"
    return made


def _rule(state: str) -> str | None:
    """The audience that a word means: a state of members, as a rule; None for none."""
    rule = f"状态:{state}"
    try:
        rules.parse(rule)
    except RuleError:
        return None
    return rule


async def _refresh(message: Message, ctx: Context) -> Reply:
    if (refused := changes.read_only(ctx)) is not None:
        return refused
    done = ctx.insights.refresh() if ctx.insights is not None else Started.OFF
    if done is not Started.OFF:
        await changes.audited(message, ctx, "insights.refresh")
    return Reply.text(ctx.texts(f"report.refresh_{done.value}"))
