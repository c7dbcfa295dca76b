"""`zhiqun groups` and `zhiqun export edges`: groups at the terminal, whether or not the bot runs.

Nothing here speaks to WeChat: a running bot notices a changed row within a second.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from bot.carry import private_file
from bot.group_means import alias_of, channels_of
from bot.terminal import OK, CommandError, UsageError, config_of_database, with_store
from handlers import group_words
from handlers.context import SHANGHAI, GroupChannels
from store.groups import Group, GroupChange, Taken
from store.ledgers import Deed

if TYPE_CHECKING:
    from bot.config import Config
    from store import Store

ACTOR = "cli"
EDGE_COLUMNS = ("group", "from", "to", "weight", "turns")
_LISTED = 50
_DAY_S = 86_400.0


def groups(args: argparse.Namespace) -> int:
    """`zhiqun groups list|show|bind|unbind|posts`. Errors: UsageError, CommandError."""
    config = config_of_database(args)
    channels, now = channels_of(config), time.time()
    words: list[str] = args.args

    async def work(store: Store) -> int:
        match (args.what, words):
            case ("list", []):
                await _list(store, channels, now)
            case ("show", [name]):
                await _show(store, channels, called(store, name), now)
            case ("bind", [name]):
                await _bind(store, channels, called(store, name), None, now)
            case ("bind", [name, alias]):
                await _bind(store, channels, called(store, name), alias, now)
            case ("unbind", [name]):
                await _unbind(store, called(store, name), now)
            case ("posts", []):
                await _posts(store, "")
            case ("posts", [name]):
                await _posts(store, called(store, name).place)
            case _:
                raise UsageError(
                    "usage: zhiqun groups list | show GROUP | bind GROUP [ALIAS] | unbind GROUP | "
                    "posts [GROUP]"
                )
        return OK

    return with_store(config, work)


def called(store: Store, name: str) -> Group:
    """The group of this number, alias or name. Errors: CommandError for none, and for several."""
    found = store.groups.called(name)
    if len(found) == 1:
        return found[0]
    if found:
        numbers = " ".join(str(one.id) for one in found)
        raise CommandError(f"several groups are called {name}: give a number of {numbers}")
    raise CommandError(f"there is no group {name}: zhiqun groups list shows numbers")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, SHANGHAI).strftime("%Y-%m-%d %H:%M")


def _state(group: Group) -> str:
    if group.left_at is not None:
        return "left"
    return "bound" if group.bound else "unbound"


def _title(group: Group) -> str:
    """What it is called, on one line whatever somebody named it."""
    return "".join(sign for sign in group.title if sign.isprintable())


# Looking


async def _list(store: Store, channels: GroupChannels, now: float) -> None:
    known = store.groups.all()
    counts = await store.groups.counts([one.place for one in known])
    for one in known:
        facts = [_state(one), f"{counts.get(one.place, 0)} members", f"order {one.rules.order}"]
        if one.rules.muted_until > now:
            facts.append(f"muted until {_moment(one.rules.muted_until)}")
        if (one.route or one.channel) not in channels.posting:
            facts.append("cannot post")
        elif one.route:
            facts.append(f"posts by {one.route}")
        print(f"{one.id}  {one.channel}  {_title(one)}: {', '.join(facts)}")
    print(f"{len(known)} groups")


async def _show(store: Store, channels: GroupChannels, group: Group, now: float) -> None:
    rules, poster = group.rules, group.route or group.channel
    muted = rules.muted_until > now
    able = poster in channels.posting
    heard = group.channel in channels.hearing
    minutes = rules.welcome_minutes
    facts: list[tuple[str, object]] = [
        ("group", f"{group.id} {_title(group)}"),
        ("place", group.place),
        ("name", group.name or "(unknown)"),
        ("alias", group.alias or "(none)"),
        ("state", _state(group)),
        ("known since", _moment(group.known_at)),
        ("members", await store.groups.count(group.place)),
        ("hears", "everything" if heard else "only what mentions the bot"),
        ("posts by", poster if able else "nothing: set a group robot with /group route"),
        ("welcome", rules.welcome or "off"),
        ("welcome every", "as configured" if minutes is None else f"{minutes:g} min"),
        ("quiet", rules.quiet or "off"),
        ("digest", rules.digest or "as configured"),
        ("weekly", "on" if rules.weekly else "off"),
        ("muted until", _moment(rules.muted_until) if muted else "off"),
        ("eager", f"after {rules.eager_s:g} s" if rules.eager_s else "off"),
        ("keywords", {None: "as configured", True: "on", False: "off"}[rules.keywords]),
        ("order", rules.order),
        ("may remove", "yes" if rules.kick else "no"),
        ("may silence", "yes" if rules.silence else "no"),
    ]
    for name, value in facts:
        print(f"{name}: {value}")


async def _posts(store: Store, place: str) -> None:
    rows = await store.posts.page(_LISTED, place=place)
    for row in reversed(rows):
        group = store.groups.known(row.place)
        to = f"group {group.id} {_title(group)}" if group is not None else row.channel
        why = f"errcode {row.errcode}" if row.errcode is not None else ""
        note = ", ".join(part for part in (why, row.note) if part and row.status != "sent")
        said = f": {note}" if note else ""
        print(f"{row.id}  {_moment(row.created_at)}  {to}  {row.kind}  {row.status}{said}")
    print(f"{len(rows)} posts" if rows else "nothing was posted into groups lately")


# Changing


async def _bind(
    store: Store, channels: GroupChannels, group: Group, alias: str | None, now: float
) -> None:
    if group.left_at is not None:
        raise CommandError("the bot is not in this group any more: let somebody add it again first")
    kept = None if alias is None else alias_of(alias)
    if alias is not None and kept is None:
        raise CommandError(
            f"{alias} cannot be an alias: take up to {group_words.LONGEST_ALIAS} signs without "
            "blanks that are no number and no word of /group"
        )
    done = await store.groups.change(
        group.place,
        GroupChange(alias=kept, bound=True),
        now,
        ACTOR,
        Deed(now, ACTOR, "group.bind"),
    )
    if isinstance(done, Taken):
        raise CommandError(f"group {done.by.id} has the alias {kept}: choose another")
    if done is None:
        raise CommandError(f"group {group.id} is gone: zhiqun groups list")
    print(f"group {done.id} {_title(done)}: {'was bound already' if group.bound else 'bound'}")
    if (done.route or done.channel) not in channels.posting:
        print("Nothing can be posted there yet: set a group robot (wecom-webhook) as its route")


async def _unbind(store: Store, group: Group, now: float) -> None:
    # First what can be counted; unbinding drops whatever is left.
    dropped = await store.posts.drop(now, place=group.place)
    await store.groups.unbind(group.place, Deed(now, ACTOR, "group.unbind"))
    was = group.bound_at is not None
    print(f"group {group.id} {_title(group)}: {'unbound' if was else 'was not bound'}")
    if dropped:
        print(f"{dropped} planned posts dropped")


# Who turns to whom


async def export_edges(
    store: Store,
    config: Config,
    name: str,
    group: str,
    now: float,
    named: Callable[[int], int | str],
) -> int:
    """Write pairs as CSV, or as JSON lines when the name says so; how many.

    group: of this one only, "" for all. Weights are as of now. named: what members are called.
    """
    wanted = [called(store, group)] if group else store.groups.all()
    half_life_s = config.groups.edge_half_life_days * _DAY_S
    out = sys.stdout if name == "-" else private_file(name)
    count = 0
    try:
        write = _lines(out) if name.endswith((".jsonl", ".ndjson")) else _table(out)
        for one in wanted:
            pairs = await store.edges.between([one.place], now, half_life_s=half_life_s)
            write(
                [
                    (one.id, named(pair[0]), named(pair[1]), round(pair.weight, 6), pair.turns)
                    for pair in pairs
                ]
            )
            count += len(pairs)
    finally:
        if out is not sys.stdout:
            out.close()
    return count


_Row = tuple[int, int | str, int | str, float, int]


def _table(out: TextIO) -> Callable[[Iterable[_Row]], None]:
    writer = csv.writer(out)
    writer.writerow(EDGE_COLUMNS)
    return writer.writerows


def _lines(out: TextIO) -> Callable[[Iterable[_Row]], None]:
    def write(rows: Iterable[_Row]) -> None:
        for row in rows:
            out.write(json.dumps(dict(zip(EDGE_COLUMNS, row, strict=True))) + "\n")

    return write
