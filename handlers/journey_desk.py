"""/journey: what members are told step by step, each in their own time.

A journey is written in one message, previewed, made as a draft and then started; every change
asks first and stands in the audit with it. Analysts may look.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from handlers import journey_words
from handlers.campaign_asked import who
from handlers.campaign_text import BadForm
from handlers.campaigning import Finding
from handlers.changes import ask, executes, number_from, read_only, short
from handlers.context import SHANGHAI, Context
from handlers.journey_text import Written, read_journey, read_step
from handlers.message import Message, Reply
from handlers.router import folded
from handlers.rule_words import fault
from store import rules
from store.campaigns import Campaign, NewCampaign, digest
from store.journeys import MOST_STEPS, Journey
from store.ledgers import Deed
from store.rules import RuleError

LISTED = 15
"""Journeys in one list."""

Run = Callable[[Message, Context, str], Awaitable[Reply]]

_FEW, _NEARLY_ALL = 50, 0.95
"""From so many members on a rule that finds so many of them is as good as everyone."""
_FORCE = ("强制", "override")
_OVERRIDE = "journey.override"


async def journey(message: Message, ctx: Context, rest: str) -> Reply:
    """/journey new|list|show|start|pause|close|step; alone, how each is used."""
    found = re.match(r"([^\s0-9０-９#＃]*)(.*)", rest.strip(), re.DOTALL)
    assert found is not None
    typed = unicodedata.normalize("NFKC", found[1]).lower()
    name = _ALIASES.get(typed, typed)
    run = _COMMANDS.get(name)
    if run is None:
        near = difflib.get_close_matches(name, [*_COMMANDS, *_ALIASES], n=1, cutoff=0.5)
        if name and near:
            return Reply.text(ctx.texts("journey.meant", command=near[0]))
        if not ctx.is_operator():
            return Reply.text(ctx.texts("journey.usage_analyst"))
        return Reply.text(ctx.texts("journey.usage"))
    if name not in _FOR_ANALYSTS and (closed := read_only(ctx)) is not None:
        return closed
    ctx.handler = f"operator.journey.{name}"
    return await run(message, ctx, found[2].strip())


def _empty(ctx: Context) -> NewCampaign:
    """A step that says nothing yet. Nobody is held out unless the form says so: a welcome that
    one in twenty does not get needs somebody who wants to know."""
    return NewCampaign(
        title="",
        channel=ctx.member.channel,
        audience="everyone",
        variants=(),
        routes=("custom",),
        holdout=0.0,
    )


def _deed(ctx: Context, action: str) -> Deed:
    return Deed(ctx.at, f"member:{ctx.member.id}", action)


def _then(args: Mapping[str, Any]) -> datetime:
    """When something was typed: 明天 is still the same day when it is confirmed after midnight."""
    return datetime.fromtimestamp(args["at"], SHANGHAI)


async def _found(ctx: Context, rest: str) -> Journey | Reply:
    """The journey with the number that the text begins with."""
    words = rest.split()
    number = number_from(words[0]) if words else None
    if number is None:
        return Reply.text(ctx.texts("journey.number_missing"))
    one = await ctx.store.journeys.get(number)
    if one is None:
        return Reply.text(ctx.texts("journey.unknown", journey=number))
    ctx.item = f"journey:{number}"
    return one


def _status(ctx: Context, one: Journey) -> str:
    return ctx.texts(f"journey.status_{one.status}")


# Making one


async def _new(message: Message, ctx: Context, rest: str) -> Reply:
    """/journey new and the written form: what is wrong with it, or a preview to confirm."""
    texts = ctx.texts
    if not rest:
        return Reply.text(texts("journey.form"))
    try:
        written = read_journey(rest, ctx.now, _empty(ctx))
    except BadForm as bad:
        return Reply.text(journey_words.faults(texts, bad))
    new = written.journey
    if new.anchor_at is not None and new.anchor_at <= ctx.at:
        return Reply.text(texts("journey.late_date"))
    if await ctx.store.journeys.by_name(new.name) is not None:
        return Reply.text(texts("journey.taken", name=new.name))
    lines = [
        texts("journey.head", name=new.name),
        *journey_words.told(texts, new, ctx.now),
        *journey_words.steps(texts, written.steps),
        *journey_words.findings(texts, await _check(message, ctx, written.steps)),
        texts("journey.create_ask"),
    ]
    args = {"text": rest, "key": message.key, "at": ctx.at}
    return await ask(ctx, "journey.new", args, "\n".join(lines))


async def _check(message: Message, ctx: Context, steps: Sequence[NewCampaign]) -> list[Finding]:
    """What is wrong with what they say; [] in a bot without the campaigns' desk."""
    if ctx.campaigns is None:
        return []
    asking = who(message, ctx)
    return [finding for step in steps for finding in await ctx.campaigns.check(step, asking)]


@executes("journey.new")
async def _made(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    written: Written = read_journey(args["text"], _then(args), _empty(ctx))
    new = written.journey
    made = await ctx.store.journeys.create(
        new,
        written.steps,
        ctx.at,
        f"member:{ctx.member.id}",
        bytes.fromhex(args["key"]),
        _deed(ctx, "journey.new"),
    )
    if made is None:
        return Reply.text(ctx.texts("journey.taken", name=new.name))
    ctx.item = f"journey:{made.id}"
    return Reply.text(ctx.texts("journey.created", journey=made.id, name=made.name))


# Looking


async def _list(message: Message, ctx: Context, rest: str) -> Reply:
    """/journey list [all]: those that are not closed, or all."""
    texts = ctx.texts
    closed = folded(rest) in ("all", "全部")
    found = await ctx.store.journeys.all(closed=closed, limit=LISTED)
    if not found:
        ended = not closed and await ctx.store.journeys.all(closed=True, limit=1)
        return Reply.text(texts("journey.list_closed" if ended else "journey.list_none"))
    lines = [texts("journey.list_head")]
    for one in found:
        count = await ctx.store.journeys.count(one.id)
        lines.append(
            texts(
                "journey.list_item",
                journey=one.id,
                name=one.name,
                status=_status(ctx, one),
                trigger=journey_words.begins(texts, one, ctx.now),
                members=count.members,
            )
        )
    return Reply.text("\n".join(lines))


async def _show(message: Message, ctx: Context, rest: str) -> Reply:
    """/journey show N: everything about one, and how far its members are."""
    one = await _found(ctx, rest)
    if isinstance(one, Reply):
        return one
    texts = ctx.texts
    lines = [
        texts("journey.head_kept", journey=one.id, name=one.name, status=_status(ctx, one)),
        *journey_words.told(texts, one, ctx.now),
    ]
    counts = await ctx.store.journeys.progress(one.id)
    for number, step in enumerate(await ctx.store.journeys.steps(one.id), 1):
        held_up = one.status == "running" and step.status != "running"
        status = texts("journey.status_paused_step" if held_up else "journey.status_on_step")
        lines.append(
            texts(
                "journey.step_kept",
                number=number,
                when=journey_words.when(texts, step),
                status=f"{status}，{short(step.note)}" if held_up and step.note else status,
                text=journey_words.words(step),
            )
        )
        done = counts.get(step.id, {})
        if done:
            sent = sum(done.get(name, 0) for name in ("sending", "accepted", "delivered"))
            lost = sum(done.get(name, 0) for name in ("skipped", "refused", "unknown"))
            lines.append(
                texts(
                    "journey.step_counts",
                    planned=done.get("planned", 0),
                    sent=sent,
                    skipped=lost,
                    held=done.get("held", 0),
                )
            )
    count = await ctx.store.journeys.count(one.id)
    if count.stopped:
        why = journey_words.reasons(texts, count.stopped)
        lines.append(texts("journey.members_stopped", members=count.members, reasons=why))
    else:
        lines.append(texts("journey.members", members=count.members))
    return Reply.text("\n".join(lines))


# Starting, pausing, closing


async def _start(message: Message, ctx: Context, rest: str) -> Reply:
    """/journey start N [强制]: for what happens from now on; after a pause it goes on."""
    one = await _found(ctx, rest)
    if isinstance(one, Reply):
        return one
    texts = ctx.texts
    steps = await ctx.store.journeys.steps(one.id)
    if one.status == "closed" or (one.status == "running" and not _held_up(steps)):
        return _not_now(ctx, one)
    if not steps:
        return Reply.text(texts("journey.no_steps", journey=one.id, name=one.name))
    forced = any(folded(word) in _FORCE for word in rest.split()[1:])
    if (refusal := await _refusal(message, ctx, one, steps, forced=forced)) is not None:
        return refusal
    if one.status != "draft":
        question = texts("journey.resume_ask", name=one.name)
    elif one.anchor_at is not None:
        when = journey_words.begins(texts, one, ctx.now)
        question = texts("journey.start_ask_date", name=one.name, when=when, steps=len(steps))
    else:
        question = texts(
            "journey.start_ask",
            name=one.name,
            trigger=journey_words.begins(texts, one, ctx.now),
            steps=len(steps),
        )
    action = "journey.start" if not forced else _OVERRIDE
    args = {"journey": one.id, "action": action, "steps": _seen(steps)}
    return await ask(ctx, "journey.start", args, question)


def _seen(steps: Sequence[Campaign]) -> str:
    """What all the steps say, as a short text that changes with any of it."""
    return "".join(digest(step).hex() for step in steps)


def _held_up(steps: Sequence[Campaign]) -> bool:
    """Whether a step has paused by itself."""
    return any(step.status == "paused" for step in steps)


async def _refusal(
    message: Message, ctx: Context, one: Journey, steps: Sequence[Campaign], *, forced: bool
) -> Reply | None:
    """Why this member may not start it; None when they may."""
    texts = ctx.texts
    owner = ctx.member.role == "owner"
    try:
        if one.trigger == "date" and not owner and await _nearly_all(ctx, one):
            return Reply.text(texts("journey.owner_everyone"))
    except RuleError as bad:
        return Reply.text(fault(texts, bad, one.audience))
    errors = [found for found in await _check(message, ctx, steps) if found.severity == "error"]
    if forced and owner:
        errors = [found for found in errors if found.fixed]
    if not errors:
        return None
    lines = [texts("journey.findings", name=one.name), *journey_words.findings(texts, errors)]
    if not any(found.fixed for found in errors):
        lines.append(texts("journey.override_hint", journey=one.id))
    return Reply.text("\n".join(lines))


async def _nearly_all(ctx: Context, one: Journey) -> bool:
    """Whether a journey takes everybody along, also by a rule that everybody fits."""
    if isinstance(rules.parse(one.audience), rules.Everyone):
        return True
    found = await ctx.store.audiences.look(
        one.audience,
        ctx.at,
        levels=tuple(level.points for level in ctx.rewards.levels),
        tiers=ctx.rewards.membership.tiers,
    )
    return found.members >= _FEW and found.matched >= _NEARLY_ALL * found.members


@executes("journey.start")
async def _started(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    """Whoever confirms has seen these very steps, and nothing speaks against them by now."""
    found = await ctx.store.journeys.get(args["journey"])
    if found is not None and found.status != "closed":
        steps = await ctx.store.journeys.steps(found.id)
        if _seen(steps) != args.get("steps"):
            said = ctx.texts("journey.steps_changed", journey=found.id, name=found.name)
            return Reply.text(said)
        forced = args["action"] == _OVERRIDE
        if (refusal := await _refusal(message, ctx, found, steps, forced=forced)) is not None:
            return refusal
    one = await ctx.store.journeys.start(args["journey"], ctx.at, _deed(ctx, args["action"]))
    return await _done(ctx, args["journey"], one, "started")


async def _pause(message: Message, ctx: Context, rest: str) -> Reply:
    """/journey pause N: nobody begins it, what is planned waits."""
    one = await _found(ctx, rest)
    if isinstance(one, Reply):
        return one
    if one.status != "running":
        return _not_now(ctx, one)
    question = ctx.texts("journey.pause_ask", name=one.name)
    return await ask(ctx, "journey.pause", {"journey": one.id}, question)


@executes("journey.pause")
async def _paused(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    one = await ctx.store.journeys.pause(args["journey"], ctx.at, _deed(ctx, "journey.pause"))
    return await _done(ctx, args["journey"], one, "paused")


async def _close(message: Message, ctx: Context, rest: str) -> Reply:
    """/journey close N: for good."""
    one = await _found(ctx, rest)
    if isinstance(one, Reply):
        return one
    if one.status == "closed":
        return _not_now(ctx, one)
    count = await ctx.store.journeys.count(one.id)
    question = ctx.texts("journey.close_ask", name=one.name, members=count.members)
    return await ask(ctx, "journey.close", {"journey": one.id}, question)


@executes("journey.close")
async def _closed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    one = await ctx.store.journeys.close(args["journey"], ctx.at, _deed(ctx, "journey.close"))
    return await _done(ctx, args["journey"], one, "closed")


def _not_now(ctx: Context, one: Journey) -> Reply:
    return Reply.text(ctx.texts("journey.not_now", name=one.name, status=_status(ctx, one)))


async def _done(ctx: Context, number: int, one: Journey | None, said: str) -> Reply:
    """Say what has become of it; None: it was closed in between."""
    if one is None:
        one = await ctx.store.journeys.get(number)
        if one is None:
            return Reply.text(ctx.texts("journey.unknown", journey=number))
        return _not_now(ctx, one)
    ctx.item = f"journey:{one.id}"
    return Reply.text(ctx.texts(f"journey.{said}", journey=one.id, name=one.name))


# Steps


async def _step(message: Message, ctx: Context, rest: str) -> Reply:
    """/journey step N add …, or /journey step N remove K."""
    one = await _found(ctx, rest)
    if isinstance(one, Reply):
        return one
    texts = ctx.texts
    found = re.match(r"\S+\s+(\S+)\s*(.*)", rest, re.DOTALL)
    what = folded(found[1]) if found is not None else ""
    if found is None or what not in (*_ADD, *_REMOVE) or not found[2].strip():
        return Reply.text(texts("journey.step_usage", journey=one.id))
    if one.status == "running":
        return Reply.text(texts("journey.step_running", journey=one.id, name=one.name))
    if one.status == "closed":
        return _not_now(ctx, one)
    if what in _ADD:
        return await _ask_step(message, ctx, one, found[2])
    return await _ask_removal(ctx, one, found[2])


_ADD = ("add", "加", "添加", "增加")
_REMOVE = ("remove", "delete", "删", "删除", "去掉")


async def _ask_step(message: Message, ctx: Context, one: Journey, text: str) -> Reply:
    texts = ctx.texts
    if len(await ctx.store.journeys.steps(one.id)) >= MOST_STEPS:
        return Reply.text(texts("journey.step_full", name=one.name))
    try:
        step = read_step(text, ctx.now, _empty(ctx), one)
    except BadForm as bad:
        return Reply.text(journey_words.faults(texts, bad))
    lines = [
        texts("journey.step_ask", name=one.name),
        *journey_words.steps(texts, [step]),
        *journey_words.findings(texts, await _check(message, ctx, [step])),
    ]
    args = {"journey": one.id, "text": text, "key": message.key, "at": ctx.at}
    return await ask(ctx, "journey.step", args, "\n".join(lines))


@executes("journey.step")
async def _step_added(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    texts = ctx.texts
    one = await ctx.store.journeys.get(args["journey"])
    if one is None:
        return Reply.text(texts("journey.unknown", journey=args["journey"]))
    made = await ctx.store.journeys.add_step(
        one.id,
        read_step(args["text"], _then(args), _empty(ctx), one),
        ctx.at,
        f"member:{ctx.member.id}",
        bytes.fromhex(args["key"]),
        _deed(ctx, "journey.step"),
    )
    if made is None:
        return _not_now(ctx, one)
    return Reply.text(texts("journey.step_added", name=one.name))


async def _ask_removal(ctx: Context, one: Journey, typed: str) -> Reply:
    texts = ctx.texts
    steps = await ctx.store.journeys.steps(one.id)
    number = number_from(typed)
    if number is None or not 1 <= number <= len(steps):
        return Reply.text(texts("journey.step_unknown", name=one.name, number=short(typed)))
    step = steps[number - 1]
    question = "\n".join(
        (
            texts("journey.step_remove_ask", name=one.name, number=number),
            *journey_words.steps(texts, [step]),
        )
    )
    args = {"journey": one.id, "campaign": step.id}
    return await ask(ctx, "journey.step.remove", args, question)


@executes("journey.step.remove")
async def _step_removed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    number = args["journey"]
    done = await ctx.store.journeys.remove_step(
        number, args["campaign"], ctx.at, _deed(ctx, "journey.step.remove")
    )
    one = await ctx.store.journeys.get(number)
    if one is None:
        return Reply.text(ctx.texts("journey.unknown", journey=number))
    if not done:
        return _not_now(ctx, one)
    return Reply.text(ctx.texts("journey.step_removed", name=one.name))


_COMMANDS: Mapping[str, Run] = MappingProxyType(
    {
        "new": _new,
        "list": _list,
        "show": _show,
        "start": _start,
        "pause": _pause,
        "close": _close,
        "step": _step,
    }
)
"""What may follow /journey."""

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "新建": "new",
        "列表": "list",
        "查看": "show",
        "开始": "start",
        "继续": "start",
        "resume": "start",
        "暂停": "pause",
        "关闭": "close",
        "步骤": "step",
    }
)
_FOR_ANALYSTS = ("list", "show")
