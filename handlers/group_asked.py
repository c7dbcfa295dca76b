"""Which group a command means, and what zhiqun can do there."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

from handlers.changes import short
from handlers.context import Context
from handlers.message import Message, Reply
from store.groups import Group

MANY = 5
"""So many groups of the same name are listed by number."""

_FIRST = re.compile(r"\s*(\S*)\s*(.*)", re.DOTALL)


def split(text: str) -> tuple[str, str]:
    """The first word, "" for none, and what follows it, line breaks and all."""
    found = _FIRST.fullmatch(text)
    assert found is not None, "everything fits"
    return found[1], found[2].strip()


async def here(message: Message, ctx: Context) -> Group | None:
    """The group that it was said in, also one that nobody has bound; None in private."""
    if message.talk is None:
        return None
    groups = ctx.store.groups
    found = ctx.group or groups.known(message.place)
    return found or await groups.meet(message.channel, message.talk.group, ctx.at)


def named(ctx: Context, typed: str) -> list[Group]:
    """The groups of this number, short name or name, however wide it was typed."""
    groups = ctx.store.groups
    return groups.called(typed) or groups.called(unicodedata.normalize("NFKC", typed))


def shown(ctx: Context, group: Group) -> str:
    """What people call it, on one line; something instead where it has no name."""
    return short(group.alias or group.name) or ctx.texts("group_desk.unnamed")


def titled(ctx: Context, group: Group) -> str:
    """How a sentence names it: its name and its number."""
    return ctx.texts("group_desk.that_group", title=shown(ctx, group), number=group.id)


def find(ctx: Context, typed: str, otherwise: str = "") -> Group | Reply:
    """The group that was typed as number, short name or name; or why none is meant.

    otherwise: what to say where a word is no group's name, nor near to one.
    """
    found = named(ctx, typed)
    if len(found) == 1:
        return found[0]
    if found:
        numbers = "、".join(f"#{one.id}" for one in found[:MANY])
        return Reply.text(ctx.texts("group_desk.several", name=short(typed), numbers=numbers))
    known = {name: one for one in ctx.store.groups.all() for name in (one.alias, one.name) if name}
    near = difflib.get_close_matches(typed, list(known), n=1, cutoff=0.6)
    if near:
        number = known[near[0]].id
        return Reply.text(
            ctx.texts("group_desk.near", name=short(typed), near=near[0], number=number)
        )
    unknown = ctx.texts("group_desk.unknown", name=short(typed))
    number = typed.lstrip("#").isdecimal()
    return Reply.text(unknown if number or not otherwise else otherwise)


def robots(ctx: Context) -> list[str]:
    """The channels that are a robot in one group each, and may post now.

    By the configuration: what a group is called comes over the wire.
    """
    return [
        one.channel
        for one in ctx.store.groups.all()
        if one.channel in ctx.channels.robots & ctx.channels.posting
    ]


def poster(group: Group) -> str:
    """The channel that posts there."""
    return group.route or group.channel


def can_post(ctx: Context, group: Group) -> bool:
    """Whether something may be posted there that nobody asked for."""
    return poster(group) in ctx.channels.posting


def hears(ctx: Context, group: Group) -> bool:
    """Whether everything said there is heard, not only what mentions the bot."""
    return group.channel in ctx.channels.hearing


def once_each(ctx: Context, groups: Iterable[Group]) -> tuple[list[Group], list[Group]]:
    """Groups, each place once, and those that are another's place under a second name.

    A robot's own entry and the group that posts by it are one group of people.
    """
    robot = set(robots(ctx))
    taken: set[str] = set()
    kept: list[Group] = []
    again: list[Group] = []
    for group in sorted(groups, key=lambda one: (one.channel in robot, one.id)):
        target = poster(group) if poster(group) in robot else group.place
        (again if target in taken else kept).append(group)
        taken.add(target)
    return sorted(kept, key=lambda one: one.id), again
