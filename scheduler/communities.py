"""Communities, leaders and how groups are: worked out once a night, in another process.

Groups are worked out a few at a time, so that what is done stays done when the bot is killed;
what is left half written is put right by the next night (`store/communities.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple

from insights.report import from_json, to_json
from store import Store
from store import communities as reads
from store.communities import Born, Ended, Finding, Lasting, allowed
from store.edges import HALF_LIFE_S

T = TypeVar("T")
Args = TypeVarTuple("Args")

AT_ONCE = 25
"""Groups that one process works out; then its memory goes back."""


Helped = tuple[int, int, int]
"""Who answered first, on which day, and how many took it on."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What was concluded of a place, or of all. findings: by name. reports: (name, JSON).

    helped: for what is concluded of all places together.
    """

    scope: str
    lasting: list[Lasting]
    born: list[Born]
    ended: list[Ended]
    findings: dict[str, list[Finding]]
    reports: list[tuple[str, str]]
    helped: list[Helped]


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
    places = [one.place for one in await store.db.read(reads.places)]
    if not places:
        return ""
    communities = named = 0
    helped: list[Helped] = []
    for at in range(0, len(places), AT_ONCE):
        some = places[at : at + AT_ONCE]
        made = await crunch.heavy(concluded, path, some, now, half_life_s, opt_in)
        for scope in made:
            communities += len(scope.lasting) + len(scope.born)
            helped += scope.helped
            named += await _keep(store, scope, now, opt_in)
    scope = await crunch.heavy(everywhere, path, helped, now, half_life_s, opt_in)
    named += await _keep(store, scope, now, opt_in)
    return (
        f"{len(places)} groups, {communities} communities in them, "
        f"{len(scope.lasting) + len(scope.born)} over all, {named} members stand out"
    )


def concluded(
    path: Path, places: Sequence[str], now: float, half_life_s: float, opt_in: bool
) -> list[Scope]:
    """Work out these places; in a process of its own."""
    # Imported here: in the bot's own process these libraries would cost half a second and 50 MB.
    from scheduler import communities_work

    return communities_work.concluded(path, places, now, half_life_s, opt_in)


def everywhere(
    path: Path, helped: Sequence[Helped], now: float, half_life_s: float, opt_in: bool
) -> Scope:
    """Work out all places together; in a process of its own."""
    from scheduler import communities_work

    return communities_work.everywhere(
        path, communities_work.helps_of(helped), now, half_life_s, opt_in
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
