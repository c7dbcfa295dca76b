"""Communities, leaders and how groups are: worked out once a night, in another process.

Groups are worked out a few at a time, so that what is done stays done when the bot is killed;
what is left half written is put right by the next night (`store/communities.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar, TypeVarTuple

from insights.report import from_json, to_json
from scheduler import communities_work as work
from scheduler.communities_work import Scope
from store import Store
from store.communities import EVERYWHERE, allowed
from store.edges import HALF_LIFE_S

T = TypeVar("T")
Args = TypeVarTuple("Args")

AT_ONCE = 25
"""Groups that one process works out; then its memory goes back."""


class Crunch(Protocol):
    """Another process for what takes seconds: `bot/crunch.py`."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run it there. Errors: its own; RuntimeError when the process ended."""


async def refresh(
    store: Store,
    crunch: Crunch,
    now: float,
    *,
    half_life_s: float = HALF_LIFE_S,
    opt_in: bool = False,
) -> str:
    """Work out every bound group and all together, write it, and say what was done; "" for
    nothing to do.

    half_life_s: what a conversation weighs half after. opt_in: only who agreed is looked at.
    Errors: StoreError, those of `crunch`.
    """
    path = store.db.path
    scopes = await crunch.heavy(work.scopes, path)
    places = [one for one in scopes if one != EVERYWHERE]
    if not places:
        return ""
    communities = named = 0
    for at in range(0, len(places), AT_ONCE):
        some = places[at : at + AT_ONCE]
        made = await crunch.heavy(work.concluded, path, some, now, half_life_s, opt_in)
        for scope in made:
            communities += len(scope.lasting) + len(scope.born)
            named += await _keep(store, scope, now, opt_in)
    scope = await crunch.heavy(work.everywhere, path, now, half_life_s, opt_in)
    named += await _keep(store, scope, now, opt_in)
    return (
        f"{len(places)} groups, {communities} communities in them, "
        f"{len(scope.lasting) + len(scope.born)} over all, {named} members stand out"
    )


async def _keep(store: Store, scope: Scope, now: float, opt_in: bool) -> int:
    """Write what was concluded; how many members were named."""
    await store.communities.keep(
        scope.scope, scope.lasting, scope.born, scope.ended, now, opt_in=opt_in
    )
    for name, rows in scope.findings.items():
        await store.communities.put_findings(name, scope.scope, rows, now, opt_in=opt_in)
    told = {one.member_id for rows in scope.findings.values() for one in rows}
    # Who was forgotten, or refused, while it was worked out is in no report.
    kept = await store.db.read(partial(allowed, members=told, opt_in=opt_in))
    for name, data in scope.reports:
        await store.interactions.put_finding(name, _without(data, told - kept), now)
    return len(kept)


def _without(data: str, gone: set[int]) -> str:
    """A report, as JSON, without the rows of these members."""
    if not gone:
        return data
    made = from_json(data)
    lists = tuple(
        replace(one, rows=tuple(row for row in one.rows if row.member_id not in gone))
        for one in made.lists
    )
    return to_json(replace(made, lists=lists))
