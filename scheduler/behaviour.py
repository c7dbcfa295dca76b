"""Members' features are kept up to date, and once a night what follows from them is concluded.

A round reads what is new in the logs since the last one and changes the rows of whom it is about,
in slices that are one transaction each; a row that changed meanwhile has its slice read again. Only
the first round of all looks at everything, in another process. The night judges everybody, for
states change by nothing but time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple

from insights import report
from insights.behaviour import StateRules, day_of
from scheduler import behaviour_work as work
from scheduler.packed import Packed
from store import Store
from store.features import NOWHERE, Positions, Row

T = TypeVar("T")
Args = TypeVarTuple("Args")

SLICE = 500
"""Rows of each log that one transaction takes in."""
MOST_SLICES = 200
"""Of one round; what is left waits for the next."""
SMALL = 5_000
"""Up to so many rows in the logs, the first round is like all others."""
MODEL = "churn_model"
"""The name in `findings` of how well the risks proved right."""

_TRIES = 5


class Crunch(Protocol):
    """Other processes: `bot/crunch.py`. Errors of both: those of what is run."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes seconds."""

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes moments."""


async def tick(
    store: Store, crunch: Crunch, rules: StateRules, now: float, *, opt_in: bool = False
) -> str:
    """Take in what is new; "" for nothing. Errors: StoreError, those of `crunch`.

    opt_in: only who agreed is looked at.
    """
    since = await store.features.positions()
    if since is None and sum(await store.features.ends()) > SMALL:
        return await _first(store, crunch, rules, now, opt_in)
    members = slices = tries = 0
    behind = False
    while slices < MOST_SLICES:
        # What a mass send brings is worked out beside the bot: its answers share a processor with
        # every thread of ours.
        args = (store.db.path, since or NOWHERE, SLICE, rules, now, opt_in)
        if behind:
            taken = await crunch.quick(work.taken_in, *args)
        else:
            taken = await asyncio.to_thread(work.taken_in, *args)
        if since == taken.until and not taken.looked_at:
            break
        done = await store.features.put(
            taken.rows, taken.was, since, taken.until, now, opt_in=opt_in
        )
        if not done:
            # Somebody was forgotten, joined with another or opted out while we looked.
            tries += 1
            if tries == _TRIES:
                break
            since = await store.features.positions()
            continue
        members, slices, tries = members + len(taken.rows), slices + 1, 0
        since, behind = taken.until, taken.more
        if not behind:
            break
    return f"{members} members brought up to date" if members else ""


async def _first(store: Store, crunch: Crunch, rules: StateRules, now: float, opt_in: bool) -> str:
    rows, until = await crunch.heavy(work.made, store.db.path, rules, now, opt_in)
    await _make(store, rows, opt_in)
    # Only now: a round that was broken off begins anew and replaces what it had made.
    await store.features.reach(until, now)
    return f"{len(rows)} members looked at for the first time"


async def _make(store: Store, rows: Packed[Row], opt_in: bool) -> None:
    gone: set[int] = set()
    for piece in rows.pieces():
        gone |= await store.features.make(piece, opt_in=opt_in)
    await store.features.drop(gone)


async def refresh(
    store: Store, crunch: Crunch, rules: StateRules, now: float, *, opt_in: bool = False
) -> str:
    """Conclude about everybody anew and leave the report "members"; once a night.

    Errors: StoreError, those of `crunch`.
    """
    await tick(store, crunch, rules, now, opt_in=opt_in)
    until = await store.features.positions()
    if until is not None:
        await _mend(store, crunch, rules, until, now, opt_in)
    night = await crunch.heavy(work.concluded, store.db.path, rules, now, opt_in)
    for piece in night.judged.pieces():
        await store.features.judge(piece)
    # The day that has ended: the night belongs to it.
    await store.features.count_states(work.iso(day_of(now) - 1))
    await store.interactions.put_finding(report.name_of("members"), night.report, now)
    await store.interactions.put_finding(MODEL, night.model, now)
    return f"{night.members} members judged, {len(night.judged)} changed"


async def _mend(
    store: Store, crunch: Crunch, rules: StateRules, until: Positions, now: float, opt_in: bool
) -> None:
    """Make agree what does not: consents given or taken, orders that found their buyer late."""
    found = await crunch.heavy(work.mended, store.db.path, rules, until, now, opt_in)
    for gone in found.gone.pieces():
        await store.features.drop(gone)
    await _make(store, found.made, opt_in)
    for piece in found.changed.pieces():
        was = {row.member_id: at for at, row in piece}
        # What changed meanwhile is found again the next night.
        rows = [row for _, row in piece]
        await store.features.put(rows, was, until, until, now, opt_in=opt_in)
