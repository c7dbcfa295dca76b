"""/segment: rules with a name, and how many members a rule finds.

Analysts may look and count. Saving and removing show what they would do first; 确认 does it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from handlers import changes
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.router import folded
from handlers.rule_words import fault, strangers
from store import rules
from store.ledgers import Deed
from store.rules import RuleError
from store.segments import MOST, Saved, Use

LISTED = 15
"""Segments in one list."""

_USES = 5
_RULE_CHARS = 60

# A name of several words stands in quotes; one sign may stand between it and the rule.
_NAMED = re.compile(
    r'\s*(?:["“”「]([^"“”」]*)["“”」]|([^\s"“”「」]+))\s*[=:：|]?\s*(.*)', re.DOTALL
)

Run = Callable[[Context, str], Awaitable[Reply]]


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/segment list | show NAME | count RULE | save NAME RULE | remove NAME."""
    typed, _, more = " ".join(rest.split("\n")).strip().partition(" ")
    verb = folded(typed)
    run = _VERBS.get(verb)
    if run is None:
        near = difflib.get_close_matches(verb, list(_VERBS), n=1, cutoff=0.5)
        if verb and near:
            said = ctx.texts("segment.meant", typed=changes.short(typed), verb=near[0])
            return Reply.text(said)
        return Reply.text(ctx.texts("segment.usage"))
    if verb in _CHANGING and (refused := changes.read_only(ctx)) is not None:
        return refused
    ctx.handler = f"operator.segment.{verb}"
    return await run(ctx, more.strip())


def _named(text: str) -> tuple[str, str]:
    """The segment's name as it is stored, "" for none, and what follows it."""
    found = _NAMED.fullmatch(text)
    if found is None:
        return "", ""
    bare = (found[2] or "").rstrip("=:：|")
    return rules.segment_name(found[1] if found[1] is not None else bare), found[3].strip()


# Looking


async def _list(ctx: Context, rest: str) -> Reply:
    texts = ctx.texts
    saved = await ctx.store.segments.all()
    lines = [texts("segment.list", count=len(saved))] if saved else [texts("segment.none")]
    lines += [texts("segment.item", name=one.name, rule=_short(one.rule)) for one in saved[:LISTED]]
    if len(saved) > LISTED:
        lines.append(texts("segment.more", count=len(saved) - LISTED))
    lines.append(texts("segment.built_in", names="、".join(rules.BUILT_IN)))
    return Reply.text("\n".join(lines))


async def _show(ctx: Context, rest: str) -> Reply:
    texts = ctx.texts
    name, _ = _named(rest)
    if not name:
        return Reply.text(texts("segment.which", verb="show"))
    if name in rules.BUILT_IN:
        rule, facts = rules.BUILT_IN[name], []
    else:
        one = await ctx.store.segments.get(name)
        if one is None:
            return await _unknown(ctx, name)
        rule, facts = one.rule, [_when(ctx, one.updated_at, one.created_by)]
    lines = [texts("segment.show", name=name, rule=rule), *facts]
    try:
        lines += await _numbers(ctx, rule)
    except RuleError as bad:
        # A segment that it names was taken out of the file behind our back.
        lines.append(fault(texts, bad, rule))
    if uses := await ctx.store.segments.used_by(name):
        lines.append(texts("segment.used_by", uses=_uses(ctx, uses)))
    return Reply.text("\n".join(lines))


async def _count(ctx: Context, rest: str) -> Reply:
    if not rest:
        return Reply.text(ctx.texts("segment.count_usage"))
    try:
        return Reply.text("\n".join(await _numbers(ctx, rest)))
    except RuleError as bad:
        return Reply.text(fault(ctx.texts, bad, rest))


async def _numbers(ctx: Context, rule: str) -> list[str]:
    """How many a rule finds, of how many, and some of them. Errors: RuleError."""
    levels = tuple(level.points for level in ctx.rewards.levels)
    tiers = ctx.rewards.membership.tiers
    found = await ctx.store.audiences.look(rule, ctx.at, levels=levels, tiers=tiers)
    strange = await strangers(ctx, rule)
    if not found.matched:
        return [ctx.texts("segment.count_none"), *strange]
    share = f"{found.matched / found.members:.1%}"
    sample = "、".join(map(str, found.sample))
    return [
        ctx.texts("segment.count", matched=found.matched, members=found.members, share=share),
        ctx.texts("segment.sample", members=sample),
        *strange,
    ]


async def _unknown(ctx: Context, name: str) -> Reply:
    known = [*rules.BUILT_IN, *(one.name for one in await ctx.store.segments.all())]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    shown = changes.short(name)
    if near:
        return Reply.text(ctx.texts("segment.near", name=shown, near=near[0]))
    return Reply.text(ctx.texts("segment.unknown", name=shown))


def _when(ctx: Context, at: float, by: str) -> str:
    day = datetime.fromtimestamp(at, SHANGHAI).strftime("%Y-%m-%d")
    kind, _, number = by.partition(":")
    who = ctx.texts("segment.by_member", member=number) if kind == "member" else by
    return ctx.texts("segment.saved_at", day=day, who=who)


def _uses(ctx: Context, uses: Sequence[Use]) -> str:
    # The chat calls a campaign 活动 4; c4 is how links and the API name it.
    named = [
        ctx.texts(
            f"segment.use_{one.kind}",
            name=one.name.removeprefix("c") if one.kind == "campaign" else one.name,
        )
        for one in uses[:_USES]
    ]
    return "、".join(named) + ("…" if len(uses) > _USES else "")


def _short(rule: str) -> str:
    return rule if len(rule) <= _RULE_CHARS else rule[: _RULE_CHARS - 1] + "…"


# Changing


async def _save(ctx: Context, rest: str) -> Reply:
    texts, segments = ctx.texts, ctx.store.segments
    name, rule = _named(rest)
    if not name or not rule:
        return Reply.text(texts("segment.save_usage"))
    try:
        await segments.check(rule, name)
        lines = await _numbers(ctx, rule)
    except RuleError as bad:
        return Reply.text(fault(texts, bad, rule))
    if name in rules.BUILT_IN:
        return Reply.text(texts("segment.taken", name=name))
    if len(name) > rules.LONGEST_NAME:
        return Reply.text(texts("segment.bad_name", limit=rules.LONGEST_NAME))
    before = await segments.get(name)
    if before is None:
        question = [texts("segment.save_ask", name=name, rule=rule), *lines]
    elif before.rule == rule:
        return Reply.text(texts("segment.same", name=name))
    else:
        said = texts("segment.change_ask", name=name, rule=rule, old=_short(before.rule))
        question = [said, *lines]
        if uses := await segments.used_by(name):
            question.append(texts("segment.change_users", uses=_uses(ctx, uses)))
    args = {"name": name, "rule": rule, "new": before is None}
    return await changes.ask(ctx, "segment.save", args, "\n".join(question))


@changes.executes("segment.save")
async def _saved(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    texts = ctx.texts
    name, rule, who = args["name"], args["rule"], f"member:{ctx.member.id}"
    deed = Deed(ctx.at, who, "segment.save")
    try:
        saved = await ctx.store.segments.put(name, rule, ctx.at, who, deed)
    except RuleError as bad:
        return Reply.text(fault(texts, bad, rule))
    if saved is Saved.TAKEN:
        return Reply.text(texts("segment.taken", name=name))
    if saved is Saved.BAD_NAME:
        return Reply.text(texts("segment.bad_name", limit=rules.LONGEST_NAME))
    if saved is Saved.TOO_MANY:
        return Reply.text(texts("segment.too_many", limit=MOST))
    # What is the same by now was saved by this very message before a crash.
    if args["new"]:
        quoted = rules.unparse(rules.Term("segment", ":", name)).partition(":")[2]
        return Reply.text(texts("segment.saved", name=quoted))
    return Reply.text(texts("segment.changed", name=name))


async def _remove(ctx: Context, rest: str) -> Reply:
    texts = ctx.texts
    name, _ = _named(rest)
    if not name:
        return Reply.text(texts("segment.which", verb="remove"))
    if name in rules.BUILT_IN:
        return Reply.text(texts("segment.taken", name=name))
    one = await ctx.store.segments.get(name)
    if one is None:
        return await _unknown(ctx, name)
    if uses := await ctx.store.segments.used_by(name):
        return Reply.text(texts("segment.in_use", name=name, uses=_uses(ctx, uses)))
    question = texts("segment.remove_ask", name=name, rule=_short(one.rule))
    return await changes.ask(ctx, "segment.remove", {"name": name}, question)


@changes.executes("segment.remove")
async def _removed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    name = args["name"]
    deed = Deed(ctx.at, f"member:{ctx.member.id}", "segment.remove")
    done = await ctx.store.segments.remove(name, deed)
    if done.used_by:
        said = ctx.texts("segment.in_use", name=name, uses=_uses(ctx, done.used_by))
        return Reply.text(said)
    return Reply.text(ctx.texts("segment.removed", name=name))


_CHANGING = frozenset({"save", "remove"})
_VERBS: Mapping[str, Run] = MappingProxyType(
    {"list": _list, "show": _show, "count": _count, "save": _save, "remove": _remove}
)
