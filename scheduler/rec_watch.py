"""Whether members click what the models recommend at least as often as what is popular.

The hold-out always sees what is popular. Once its members click with certainty more often than the
others, everybody sees what is popular, until an operator resumes or a new model goes live.

It is looked at every hour, and the evidence stays honest however often one looks: each day of the
newest two weeks begins a count of its own, so that a model that was good for a year and then broke
is caught as soon as one that was never good. A count of a model that is no worse reaches `LIMIT` at
most once in `LIMIT` times, so false alarms are at least `LIMIT` days apart on average.
Source: Shin, Ramdas & Rinaldo 2023, e-detectors; the counts are those of `experiments.evidence`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple

from insights.experiments import evidence
from store import Store

T = TypeVar("T")
Args = TypeVarTuple("Args")

FALLBACK = "rec_fallback"
"""The finding that stands while everybody sees what is popular."""
RESUMED = "recommendations.resumed"
"""In `meta`: when the last fall-back ended; what was before is not counted again."""

DAYS = 14
LIMIT = 1000.0
LEAST_MEMBERS = 20
"""Members of the hold-out who saw a list; with fewer, a heavy clicker or two would decide."""

_PRIOR = 8.0
"""What breaks differs by far: it is to be seen soon, rather than small differences ever."""
DAY_S = 86_400.0
_SHANGHAI_S = 8 * 3600.0


@dataclass(frozen=True, slots=True)
class Count:
    """Members who saw a list since a moment, and those of them who clicked one."""

    since: float
    members: int
    clicked: int
    held: int
    held_clicked: int

    @property
    def evidence(self) -> float:
        """How much more likely it is that the hold-out clicks more; 0 while it does not."""
        if not self.members or self.held < LEAST_MEMBERS:
            return 0.0
        if self.held_clicked * self.members <= self.clicked * self.held:
            return 0.0
        return evidence(self.held_clicked, self.held, self.clicked, self.members, prior=_PRIOR)


class Seen(Protocol):
    """A member's day: `store.rec_outcomes.Day`."""

    @property
    def day(self) -> str: ...
    @property
    def arm(self) -> str: ...
    @property
    def ranker(self) -> str: ...
    @property
    def member_id(self) -> int: ...
    @property
    def clicked(self) -> int: ...


class Crunch(Protocol):
    """Another process for what takes seconds: `bot/crunch.py`."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run it there. Errors: its own; RuntimeError when the process ended."""


Say = Callable[[Count], str]
"""Why everybody sees what is popular now, for operators."""


def counted(days: Iterable[Seen], starts: Mapping[str, float]) -> list[Count]:
    """One count from each of these days on. starts: day -> the moment from which it counts.

    A member counts once, however often they looked: those who click much would decide otherwise.
    """
    order = sorted(starts)
    seen: dict[tuple[bool, int], str] = {}
    hits: dict[tuple[bool, int], str] = {}
    for one in days:
        held = one.arm == "holdout"
        if not held and (one.arm or one.ranker != "ours"):
            continue
        who = (held, one.member_id)
        seen[who] = max(seen.get(who, ""), one.day)
        if one.clicked:
            hits[who] = max(hits.get(who, ""), one.day)

    def since(last: Mapping[tuple[bool, int], str], held: bool, start: str) -> int:
        return sum(who[0] is held and day >= start for who, day in last.items())

    return [
        Count(
            starts[start],
            since(seen, False, start),
            since(hits, False, start),
            since(seen, True, start),
            since(hits, True, start),
        )
        for start in order
    ]


def worst(counts: Sequence[Count]) -> Count | None:
    """The count that speaks most clearly against the models; None while none is certain."""
    found = max(counts, key=lambda one: one.evidence, default=None)
    return None if found is None or found.evidence < LIMIT else found


async def tick(store: Store, crunch: Crunch, say: Say, now: float, *, opt_in: bool = False) -> str:
    """Look once; why everybody sees what is popular from now on, "" for nothing new.

    Every hour. Errors: StoreError, those of `crunch`.
    """
    if await fallback(store) or await store.rec_models.live() is None:
        return ""
    resumed = float(await store.meta.get(RESUMED) or 0.0)
    counts = await crunch.heavy(looked, store.db.path, resumed, now, opt_in)
    found = worst(counts)
    if found is None:
        return ""
    why = say(found)
    data = {
        "why": why,
        "at": now,
        "since": found.since,
        "members": found.members,
        "clicked": found.clicked,
        "held": found.held,
        "held_clicked": found.held_clicked,
    }
    await store.interactions.put_finding(FALLBACK, json.dumps(data, ensure_ascii=False), now)
    return why


async def fallback(store: Store) -> str:
    """Why everybody sees what is popular; "" while they do not. Errors: StoreError."""
    kept = json.loads(await store.interactions.finding(FALLBACK) or "{}")
    return str(kept.get("why", ""))


async def end(store: Store, now: float) -> bool:
    """Go back to the models, and count anew; False when nothing had to end. Errors: StoreError."""
    if not await fallback(store):
        return False
    # The moment first: killed in between, it is still on, and ended again.
    await store.meta.put(RESUMED, repr(now))
    await store.interactions.put_finding(FALLBACK, "{}", now)
    return True


def looked(path: Path, resumed: float, now: float, opt_in: bool) -> list[Count]:
    """The counts as of now; in a process of its own."""
    from store import consents, rec_outcomes
    from store.insight_reads import reading

    first = max(resumed, midnight(now) - (DAYS - 1) * DAY_S)
    starts = {day_of(first): first}
    at = midnight(first) + DAY_S
    while at <= now:
        starts[day_of(at)] = at
        at += DAY_S
    with reading(path) as conn:
        without = consents.withheld(conn, consents.PROFILING, opt_in=opt_in)
        places = rec_outcomes.places(conn, first, now, without=frozenset(without))
        return counted(rec_outcomes.daily(places), starts)


def midnight(at: float) -> float:
    """When the day of this moment began in Shanghai."""
    return (at + _SHANGHAI_S) // DAY_S * DAY_S - _SHANGHAI_S


def day_of(at: float) -> str:
    """The day of a moment in Shanghai, "2026-11-21"."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at + _SHANGHAI_S, UTC).strftime("%Y-%m-%d")
