"""/group push: words into chosen groups, looked at first; /group posts: what became of them.

The preview says which groups, how the words look, how long it takes and who cannot be reached;
确认 plans one post for each group, under keys of the message that asked: however often it is
confirmed, each group gets it once.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from handlers.changes import ask, audited, executes, short
from handlers.context import SHANGHAI, Context
from handlers.group_asked import can_post, find, named, once_each, poster, shown, split
from handlers.group_words import listed, means_all
from handlers.message import Message, Reply
from handlers.texts import Texts
from store.groups import Group
from store.posts import (
    DROPPED,
    EXPIRED,
    REFUSED,
    SENDING,
    SENT,
    UNKNOWN,
    ListedPost,
    NewPost,
    Post,
)

LONGEST_BYTES = 2048
"""The longest text that every channel takes, UTF-8."""

PER_MINUTE = 20
"""A group robot may post so often; a gateway should not more often either."""

SHOWN = 15
"""Groups of one preview."""

LISTED = 10
"""Posts of one list."""

LATE_S = 6 * 3600.0
"""What could not be posted for so long is not posted."""

KIND = "push"

AGAIN_S = 86_400.0
"""The same words again within so long may be a slip."""

_HAN_BYTES = 3
_LOOKED_BACK = 50


async def preview(message: Message, ctx: Context, rest: str) -> Reply:
    """/group push 3,5 words: shows what would go where; 确认 does it."""
    texts = ctx.texts
    typed, words = split(rest)
    if not typed or not words:
        return Reply.text(texts("group_desk.push_usage"))
    size = len(words.encode(errors="replace"))
    if size > LONGEST_BYTES:
        signs = LONGEST_BYTES // _HAN_BYTES
        return Reply.text(
            texts("group_desk.push_long", size=size, limit=LONGEST_BYTES, signs=signs)
        )
    meant, cannot = _meant(ctx, typed)
    able, why = _able(ctx, meant, quietly=means_all(typed))
    cannot += why
    if not able:
        lines = [texts("group_desk.push_nobody"), *cannot[:SHOWN]]
        return Reply.text("\n".join(lines))
    lines = [texts("group_desk.push_head", count=len(able))]
    lines += _some(ctx, [_line(ctx, one) for one in able])
    if cannot:
        lines += [texts("group_desk.push_cannot"), *_some(ctx, cannot)]
    lines += [texts("group_desk.push_text"), words, _takes(ctx, able)]
    if again := await _again(ctx, words):
        lines.append(again)
    args = {"asked": message.key, "places": [one.place for one in able], "text": words}
    return await ask(ctx, "group.push", args, "\n".join(lines))


def _digest(words: str) -> str:
    """What stands for the words in the audit."""
    return hashlib.blake2b(words.encode(errors="replace"), digest_size=4).hexdigest()


async def _again(ctx: Context, words: str) -> str:
    """A warning that these words were pushed lately; "" when they were not."""
    wanted = _digest(words)
    for row in await ctx.store.audit.newest(_LOOKED_BACK):
        if row.at < ctx.at - AGAIN_S:
            break
        if row.action == "group.push" and wanted in row.detail.split():
            return ctx.texts("group_desk.push_again", when=_moment(row.at))
    return ""


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, SHANGHAI).strftime("%m-%d %H:%M")


def _meant(ctx: Context, typed: str) -> tuple[list[Group], list[str]]:
    """The groups that were typed, each once, and what names none."""
    if means_all(typed):
        return [one for one in ctx.store.groups.all() if one.bound], []
    groups: dict[str, Group] = {}
    wrong = []
    for name in listed(typed):
        found = named(ctx, name)
        if len(found) == 1:
            groups[found[0].place] = found[0]
        elif found:
            wrong.append(ctx.texts("group_desk.push_why_several", name=short(name)))
        else:
            wrong.append(ctx.texts("group_desk.push_why_unknown", name=short(name)))
    return list(groups.values()), wrong


def _able(
    ctx: Context, groups: Sequence[Group], *, quietly: bool = False
) -> tuple[list[Group], list[str]]:
    """Those that can be posted to now, and why the others cannot.

    quietly: say nothing of a group that is there under two names.
    """
    texts = ctx.texts
    able, why = [], []
    for one in groups:
        told: dict[str, object] = {"number": one.id, "title": shown(ctx, one)}
        if one.left_at is not None:
            why.append(texts("group_desk.push_why_left", **told))
        elif not one.bound:
            why.append(texts("group_desk.push_why_unbound", **told))
        elif not can_post(ctx, one):
            why.append(texts("group_desk.push_why_route", **told))
        else:
            able.append(one)
    kept, again = once_each(ctx, able)
    if not quietly:
        why += [
            texts("group_desk.push_why_again", number=one.id, title=shown(ctx, one))
            for one in again
        ]
    return kept, why


def _some(ctx: Context, lines: Sequence[str]) -> list[str]:
    some = list(lines[:SHOWN])
    if len(lines) > SHOWN:
        some.append(ctx.texts("group_desk.push_more", count=len(lines) - SHOWN))
    return some


def _line(ctx: Context, group: Group) -> str:
    texts = ctx.texts
    told: dict[str, object] = {"number": group.id, "title": shown(ctx, group)}
    until = group.rules.silent_until(ctx.at)
    if until > ctx.at:
        return texts("group_desk.push_group_later", **told, until=_moment(until))
    if group.route:
        return texts("group_desk.push_group_route", **told, route=group.route)
    return texts("group_desk.push_group", **told)


def _takes(ctx: Context, groups: Sequence[Group]) -> str:
    """How long it takes: each channel posts so many a minute."""
    most = max(Counter(poster(one) for one in groups).values())
    minutes = math.ceil(most / PER_MINUTE)
    if minutes <= 1:
        return ctx.texts("group_desk.push_soon", per_minute=PER_MINUTE)
    return ctx.texts("group_desk.push_minutes", per_minute=PER_MINUTE, minutes=minutes)


@executes("group.push")
async def _pushed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    texts = ctx.texts
    known = [ctx.store.groups.known(place) for place in args["places"]]
    # What was unbound or lost its channel since the preview is left out.
    able, _ = _able(ctx, [one for one in known if one is not None])
    if not able:
        return Reply.text(texts("group_desk.push_nobody"))
    for one in able:
        due_at = one.rules.silent_until(ctx.at)
        key = hashlib.blake2b(f"push:{args['asked']}:{one.place}".encode(), digest_size=16)
        new = NewPost(
            key=key.digest(),
            channel=poster(one),
            place=one.place,
            kind=KIND,
            body=Post("text", content=args["text"]),
            due_at=due_at,
            not_after=due_at + LATE_S,
        )
        await ctx.store.posts.plan(new, ctx.at)
    numbers = " ".join(str(one.id) for one in able)
    await audited(message, ctx, "group.push", "", f"groups {numbers} text {_digest(args['text'])}")
    lines = [_planned(ctx, able)]
    if missing := len(args["places"]) - len(able):
        lines.append(texts("group_desk.push_left_out", count=missing))
    return Reply.text("\n".join(lines))


def _planned(ctx: Context, groups: Sequence[Group]) -> str:
    """How many go out, and when those begin that would disturb now."""
    ends = [one.rules.silent_until(ctx.at) for one in groups]
    later = [at for at in ends if at > ctx.at]
    if not later:
        return ctx.texts("group_desk.push_planned", count=len(groups))
    until = _moment(min(later))
    if len(later) == len(groups):
        return ctx.texts("group_desk.push_planned_later", count=len(groups), until=until)
    first = ctx.texts("group_desk.push_planned", count=len(groups))
    return f"{first}\n{ctx.texts('group_desk.push_some_later', count=len(later), until=until)}"


# What became of it


async def posts(ctx: Context, rest: str) -> Reply:
    """/group posts [3]: the last posts, of all groups or of one."""
    texts = ctx.texts
    place = ""
    if rest:
        found = find(ctx, rest)
        if isinstance(found, Reply):
            return found
        place = found.place
    listed = await ctx.store.posts.latest(LISTED, place)
    if not listed:
        return Reply.text(texts("group_desk.posts_none"))
    lines = [texts("group_desk.posts_head"), *(_post_line(ctx, one) for one in listed)]
    return Reply.text("\n".join(lines))


def _post_line(ctx: Context, one: ListedPost) -> str:
    texts = ctx.texts
    group = ctx.store.groups.known(one.place)
    told: dict[str, object] = {
        "when": _moment(one.created_at),
        "title": f"#{group.id} {shown(ctx, group)}" if group else one.channel,
        "kind": texts(f"group_desk.kind_{one.kind if one.kind in _KINDS else 'other'}"),
        "status": texts(f"group_desk.post_{one.status if one.status in _ENDS else 'waiting'}"),
    }
    note = one.note if one.errcode is None else _meaning(texts, one.errcode)
    # What went well needs no remark; nor does what is tried again by itself.
    if not note or one.status in (SENT, SENDING):
        return texts("group_desk.posts_line", **told)
    return texts("group_desk.posts_note", **told, note=short(note))


def _meaning(texts: Texts, errcode: int) -> str:
    """What a group robot's error code says to an operator, and what helps."""
    if errcode == _BAD_KEY:
        return texts("group_desk.errcode_key", errcode=errcode)
    if errcode == _TOO_OFTEN:
        return texts("group_desk.errcode_often", errcode=errcode)
    if errcode in _BAD_CONTENT:
        return texts("group_desk.errcode_content", errcode=errcode)
    return texts("group_desk.errcode", errcode=errcode)


_BAD_KEY = 93_000
_TOO_OFTEN = 45_009
_BAD_CONTENT = frozenset((40_008, 40_058, 44_004, 45_002))
_KINDS = frozenset(
    ("welcome", "digest", "campaign", "push", "notice", "order", "quiz", "eager", "late", "weekly")
)
_ENDS = frozenset((SENT, SENDING, REFUSED, UNKNOWN, EXPIRED, DROPPED))
