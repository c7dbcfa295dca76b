"""`zhiqun campaign segment`: rules with a name, and how many members a rule finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.terminal import OK, CommandError, UsageError
from store import rules
from store.ledgers import Deed
from store.segments import MOST, Saved

if TYPE_CHECKING:
    from store import Store


async def segment(
    store: Store,
    args: Sequence[str],
    now: float,
    actor: str,
    *,
    levels: Sequence[int],
    tiers: Sequence[str],
) -> int:
    """Look at saved rules, count what a rule finds, save and remove.

    Errors: UsageError; RuleError for a rule nobody can follow.
    """

    async def count(rule: str) -> None:
        found = await store.audiences.look(rule, now, levels=levels, tiers=tiers)
        sample = ", ".join(map(str, found.sample))
        print(f"finds {found.matched} of {found.members} members{f': {sample}' if sample else ''}")

    match list(args):
        case [] | ["list"]:
            for one in await store.segments.all():
                print(f"{one.name}: {one.rule}")
            for name, rule in rules.BUILT_IN.items():
                print(f"{name} (built in): {rule}")
        case ["show", name]:
            rule = await _rule(store, name)
            print(f"{rules.segment_name(name)}: {rule}")
            for use in await store.segments.used_by(name):
                print(f"used by {use.kind} {use.name}")
            await count(rule)
        case ["count", *words] if words:
            await count(" ".join(words))
        case ["save", name, *words] if words:
            await _save(store, name, " ".join(words), now, actor)
        case ["remove", name]:
            await _remove(store, name, now, actor)
        case _:
            raise UsageError(
                "usage: zhiqun campaign segment list | show NAME | count RULE | save NAME RULE | "
                "remove NAME"
            )
    return OK


async def _rule(store: Store, name: str) -> str:
    folded = rules.segment_name(name)
    if folded in rules.BUILT_IN:
        return rules.BUILT_IN[folded]
    one = await store.segments.get(name)
    if one is None:
        raise CommandError(f"there is no segment {name}: zhiqun campaign segment list")
    return one.rule


async def _save(store: Store, name: str, rule: str, now: float, actor: str) -> None:
    saved = await store.segments.put(name, rule, now, actor, Deed(now, actor, "segment.save"))
    match saved:
        case Saved.TAKEN:
            raise CommandError(f"{name} is always there, and stays as it is")
        case Saved.BAD_NAME:
            raise CommandError(f"no rule could name a segment like {name}: choose another name")
        case Saved.TOO_MANY:
            raise CommandError(f"there are {MOST} segments: remove one first")
    print(f"{rules.segment_name(name)}: {saved.value}")


async def _remove(store: Store, name: str, now: float, actor: str) -> None:
    done = await store.segments.remove(name, Deed(now, actor, "segment.remove"))
    if done.used_by:
        named = ", ".join(f"{one.kind} {one.name}" for one in done.used_by)
        raise CommandError(f"it is in use: {named}")
    if not done.removed:
        raise CommandError(f"there is no segment {name} that one could remove")
    print(f"{rules.segment_name(name)}: removed")
