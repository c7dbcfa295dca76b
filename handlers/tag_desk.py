"""/tag: operators put tags on members, take them off, and keep WeChat's own tags in step.

A tag takes effect here at once. WeChat's follow at the next sync (`scheduler/tags.py`): this
only writes down what is wanted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from handlers.changes import ask, audited, executes, number_from, read_only, short
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.router import folded
from store.ledgers import Deed
from store.tags import TooManyTags
from store.wechat_tags import OF_CAMPAIGNS, Listed

LONGEST = 40
"""Characters of a tag, as in the REST API."""

MOST_TAGS = 50
"""Tags of one member, as in the REST API."""

AT_ONCE = 50
"""Members of one command."""

WECHAT_BYTES = 30
"""The longest name that WeChat takes, UTF-8."""

LISTED = 30
"""Tags of one list."""

_BETWEEN = re.compile(r"[,，、\s]+|成员\s*")

Run = Callable[[Message, Context, str], Awaitable[Reply]]


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/tag list|add|remove|keep|drop; alone, how each is used."""
    first, _, after = rest.strip().partition(" ")
    typed = folded(first)
    name = _MEANT.get(typed, typed)
    if name == "list":
        ctx.handler = "operator.tag.list"
        return await _list(ctx)
    run = _COMMANDS.get(name)
    if refused := read_only(ctx):
        return refused if run else Reply.text(ctx.texts("tag_desk.usage_read"))
    if run is not None:
        ctx.handler = f"operator.tag.{name}"
        return await run(message, ctx, after.strip())
    near = difflib.get_close_matches(name, ["list", *_COMMANDS], n=1, cutoff=0.5)
    if name and near:
        return Reply.text(ctx.texts("tag_desk.meant", command=near[0]))
    return Reply.text(ctx.texts("tag_desk.usage"))


def _is_tag(text: str) -> bool:
    return 1 <= len(text) <= LONGEST and text.isprintable() and not re.search(r"\s", text)


# On members


async def _add(message: Message, ctx: Context, rest: str) -> Reply:
    """/tag add 老学员 12 15: at once; who has it already has it."""
    texts, tags = ctx.texts, ctx.store.tags
    tag, members, problem = _parsed(ctx, rest, texts("tag_desk.add_usage", limit=AT_ONCE))
    if problem is not None:
        return problem
    done: list[int] = []
    strangers: list[int] = []
    full: list[int] = []
    for member in members:
        try:
            new = await tags.add(member, tag, ctx.at, limit=MOST_TAGS)
        except TooManyTags:
            full.append(member)
            continue
        (strangers if new is None else done).append(member)
    lines = []
    if done:
        await audited(message, ctx, "member.tag", f"tag:{tag}", _numbers(done))
        lines.append(texts("tag_desk.added", members=_people(ctx, done), tag=tag))
    if full:
        lines.append(texts("tag_desk.crowded", members=_people(ctx, full), limit=MOST_TAGS))
    return await _said(ctx, tag, lines, strangers, changed=bool(done))


async def _remove(message: Message, ctx: Context, rest: str) -> Reply:
    """/tag remove 老学员 12: at once; who has it not has it not."""
    texts = ctx.texts
    tag, members, problem = _parsed(ctx, rest, texts("tag_desk.remove_usage", limit=AT_ONCE))
    if problem is not None:
        return problem
    done: list[int] = []
    strangers: list[int] = []
    for member in members:
        if await ctx.store.members.card(member) is None:
            strangers.append(member)
            continue
        await ctx.store.tags.remove(member, tag)
        done.append(member)
    lines = []
    if done:
        await audited(message, ctx, "member.untag", f"tag:{tag}", _numbers(done))
        lines.append(texts("tag_desk.removed", members=_people(ctx, done), tag=tag))
    return await _said(ctx, tag, lines, strangers, changed=bool(done))


def _parsed(ctx: Context, rest: str, usage: str) -> tuple[str, list[int], Reply | None]:
    """The tag and the members of a command, each once; or what is wrong with it."""
    tag, _, after = rest.partition(" ")
    typed = _BETWEEN.sub(" ", after).split()
    numbers = [number_from(one) for one in typed]
    members = list(dict.fromkeys(one for one in numbers if one is not None))
    if not tag or not typed or None in numbers or len(members) > AT_ONCE:
        return "", [], Reply.text(usage)
    if not _is_tag(tag):
        return "", [], Reply.text(ctx.texts("tag_desk.bad_name", limit=LONGEST))
    return tag, members, None


async def _said(
    ctx: Context, tag: str, lines: list[str], strangers: Sequence[int], *, changed: bool
) -> Reply:
    if strangers:
        lines.append(ctx.texts("tag_desk.strangers", members=_people(ctx, strangers)))
    kept = await ctx.store.wechat_tags.get(ctx.member.channel, tag) if changed else None
    if kept is not None and kept.kept:
        lines.append(ctx.texts("tag_desk.synced_soon"))
    return Reply.text("\n".join(lines))


def _people(ctx: Context, numbers: Sequence[int]) -> str:
    return ctx.texts("tag_desk.members", members="、".join(str(one) for one in numbers))


def _numbers(members: Sequence[int]) -> str:
    return "members " + " ".join(str(one) for one in members)


# What there is


async def _list(ctx: Context) -> Reply:
    """/tag list: most carried first, with what WeChat has of each."""
    texts = ctx.texts
    listed = await ctx.store.wechat_tags.listed(ctx.member.channel)
    if not listed:
        return Reply.text(texts("tag_desk.none"))
    lines = [texts("tag_desk.head", count=len(listed))]
    lines += [_line(ctx, one) for one in listed[:LISTED]]
    if len(listed) > LISTED:
        lines.append(texts("tag_desk.more", count=len(listed) - LISTED))
    return Reply.text("\n".join(lines))


def _line(ctx: Context, one: Listed) -> str:
    texts, at_wechat = ctx.texts, one.at_wechat
    told: dict[str, object] = {"tag": one.tag, "members": one.members}
    if at_wechat is None:
        return texts("tag_desk.line", **told)
    note = _note(ctx, at_wechat.note)
    if not at_wechat.kept:
        if note:
            return texts("tag_desk.line_stuck", **told, note=note)
        return texts("tag_desk.line_going", **told)
    told["tagged"] = one.tagged
    if note:
        return texts("tag_desk.line_note", **told, note=note)
    if at_wechat.synced_at is None:
        return texts("tag_desk.line_waiting", **told)
    when = datetime.fromtimestamp(at_wechat.synced_at, SHANGHAI).strftime("%m-%d %H:%M")
    return texts("tag_desk.line_synced", **told, when=when)


def _note(ctx: Context, note: str) -> str:
    """What `scheduler/tags.py` noted, in Chinese; "" for nothing."""
    if not note:
        return ""
    name, _, value = note.partition(":")
    if name == "members":
        return ctx.texts("tag_desk.note_members", count=value)
    if name == "refused":
        return ctx.texts("tag_desk.note_refused", errcode=value)
    return ctx.texts(f"tag_desk.note_{name}")


# At WeChat


async def _keep(message: Message, ctx: Context, rest: str) -> Reply:
    """/tag keep 老学员: WeChat's tag of this name follows ours from now on."""
    texts = ctx.texts
    if not rest:
        return Reply.text(texts("tag_desk.keep_usage"))
    if not _is_tag(rest):
        return Reply.text(texts("tag_desk.bad_name", limit=LONGEST))
    if rest.startswith(OF_CAMPAIGNS):
        return Reply.text(texts("tag_desk.keep_reserved", prefix=OF_CAMPAIGNS))
    if len(rest.encode()) > WECHAT_BYTES:
        signs = WECHAT_BYTES // 3
        return Reply.text(texts("tag_desk.keep_long", limit=WECHAT_BYTES, signs=signs, tag=rest))
    deed = Deed(ctx.at, f"member:{ctx.member.id}", "tag.keep")
    await ctx.store.wechat_tags.keep(ctx.member.channel, rest, deed)
    ctx.item = f"tag:{rest}"
    return Reply.text(texts("tag_desk.kept", tag=rest))


async def _drop(message: Message, ctx: Context, rest: str) -> Reply:
    """/tag drop 老学员: asks, for WeChat's tag is deleted with who was put on it by hand."""
    texts = ctx.texts
    if not rest:
        return Reply.text(texts("tag_desk.drop_usage"))
    kept = await ctx.store.wechat_tags.get(ctx.member.channel, rest)
    if kept is None or not kept.kept:
        return Reply.text(texts("tag_desk.not_kept", tag=short(rest)))
    question = texts("tag_desk.drop_ask", tag=rest)
    return await ask(ctx, "tag.drop", {"tag": rest, "channel": ctx.member.channel}, question)


@executes("tag.drop")
async def _dropped(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    deed = Deed(ctx.at, f"member:{ctx.member.id}", "tag.drop")
    await ctx.store.wechat_tags.drop(args["channel"], args["tag"], deed)
    ctx.item = f"tag:{args['tag']}"
    return Reply.text(ctx.texts("tag_desk.dropped", tag=args["tag"]))


_MEANT: Mapping[str, str] = MappingProxyType(
    {
        "列表": "list",
        "添加": "add",
        "加": "add",
        "去掉": "remove",
        "移除": "remove",
        "delete": "remove",
        "del": "remove",
        "同步": "keep",
        "sync": "keep",
        "取消同步": "drop",
    }
)
"""Other words -> ours."""

_COMMANDS: Mapping[str, Run] = MappingProxyType(
    {"add": _add, "remove": _remove, "keep": _keep, "drop": _drop}
)
"""What follows /tag besides list; docs/commands.md describes each."""
