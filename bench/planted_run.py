"""A simulated community lived through, day by day, by the real jobs on a real file.

Rows are written up to a moment, then the jobs run as of it: nothing they see comes from later.
They run in this process, one after the other, so that the same seed gives the same numbers.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from bot.insight_settings import InsightSettings
from insights import spending_report
from insights.behaviour import StateRules
from insights.intake import Wanted
from insights.report import from_json, name_of
from insights.spending import Fitted
from sandbox.simulated import DAY_S, Plan, World, simulate
from scheduler import behaviour, communities, forecasts, outcomes, topics
from scheduler.moods import Watch
from scheduler.readings import Reader, Readings
from store import Store, feature_reads, history
from store import communities as community_reads
from store.alerts import Alert
from store.communities import LEADER, Kept
from store.dialect import Connection
from store.features import Row

T = TypeVar("T")
Args = TypeVarTuple("Args")

NOW = 1_795_276_799.0
"""The end of 2026-11-21 in Shanghai."""

LOOKS = (9.0, 12.0, 15.0, 18.0, 20.0, 21.0, 22.0, 23.99)
"""Hours of a day at which moods are looked at. The bot looks every minute, which finds the same
turns a little sooner: a look at a group's day counts messages, not minutes."""
TOPIC_LOOKS = (12.0, 18.0, 21.0, 23.99)
_NIGHT = 3.5

_TIMES = {
    "members": 1,
    "identities": 4,
    "group_members": 2,
    "interactions": 0,
    "talk": 4,
    "edges": 5,
    "events": 2,
    "place_costs": 3,
}
"""Which column of `store.history.COLUMNS` says when it was so."""

CURSORS = ("readings:t:past", "readings:i:past")


class Here:
    """`bot/crunch.py` without processes: a bench waits for nobody."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run it now."""
        return run(*args)

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run it now."""
        return run(*args)


class Stream:
    """The rows of a world in the order of time, table by table."""

    def __init__(self, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        self._rows = {
            table: sorted(rows.get(table, ()), key=lambda row: float(row[column]))
            for table, column in _TIMES.items()
        }
        self._at = dict.fromkeys(_TIMES, 0)

    async def flow(self, store: Store, until: float) -> None:
        """Write what happened up to a moment, and was not written yet."""
        new = {}
        for table, column in _TIMES.items():
            rows, begin = self._rows[table], self._at[table]
            end = bisect_left(rows, until, lo=begin, key=lambda row: float(row[column]))
            new[table], self._at[table] = rows[begin:end], end
        await history.fill(store.db, new)


@dataclass
class Lived:
    """What the jobs left. alerts: all of them, oldest first; said: texts of their examples.

    risks: member -> (state, churn) at the moment `judged_at`; states: the same at the end, without
    churn. communities, leaders: by place, the most influential first. curves: of spending.
    baskets: labels of the rules. messages: how many were read.
    """

    plan: Plan
    world: World
    alerts: list[Alert] = field(default_factory=list)
    said: dict[int, list[str]] = field(default_factory=dict)
    judged_at: float = 0.0
    risks: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    communities: dict[str, list[frozenset[int]]] = field(default_factory=dict)
    leaders: dict[str, list[int]] = field(default_factory=dict)
    curves: Sequence[Fitted] = ()
    baskets: list[str] = field(default_factory=list)
    messages: int = 0


async def live(
    plan: Plan,
    days: int,
    *,
    looks: Sequence[float] = LOOKS,
    topic_looks: Sequence[float] = TOPIC_LOOKS,
    conclude: bool = True,
) -> Lived:
    """Read the past up to `days` before the end at once, then live through these days.

    conclude: also judge risks before these days, and members, communities, spending after them.
    """
    world = simulate(plan)
    lived = Lived(plan, world)
    with tempfile.TemporaryDirectory(prefix="zhiqun-planted-") as folder:
        store = Store(Path(folder) / "planted.db")
        await store.open()
        try:
            await _Life(store, lived, Path(folder)).run(days, looks, topic_looks, conclude)
        finally:
            await store.close()
    return lived


class _Life:
    def __init__(self, store: Store, lived: Lived, folder: Path) -> None:
        self.store, self.lived, self.cache = store, lived, str(folder)
        self.crunch = Here()
        self.stream = Stream(lived.world.rows)
        wanted = Wanted(words=self.cache)
        self.readings = Readings(store, self.crunch, Reader(wanted=wanted))
        self.watch = Watch(store, self.crunch)

    async def run(
        self, days: int, looks: Sequence[float], topic_looks: Sequence[float], conclude: bool
    ) -> None:
        plan, world = self.lived.plan, self.lived.world
        for place in plan.places:
            channel, _, number = place.partition(":")
            await self.store.groups.meet(
                channel, number, world.begin, name=f"群 {number}", bound_by="cli"
            )
        first = plan.days - days
        begin = world.begin + first * DAY_S
        await self._to(begin)
        while any([await self.store.readings.position(name) for name in CURSORS]):
            await self.readings.tick(begin)
        if conclude:
            await self._risks(begin)
        for day in range(first, plan.days):
            midnight = world.begin + day * DAY_S
            await self._to(midnight + _NIGHT * 3600.0)
            await topics.refresh(
                self.store, self.crunch, midnight + _NIGHT * 3600.0, cache=self.cache
            )
            for hour in sorted({*looks, *topic_looks}):
                now = midnight + hour * 3600.0
                await self._to(now)
                if hour in looks:
                    await self.watch.tick(now)
                if hour in topic_looks:
                    await topics.today(self.store, self.crunch, now, cache=self.cache)
        await self._alerts()
        if conclude:
            await self._conclude()

    async def _to(self, now: float) -> None:
        await self.stream.flow(self.store, now)
        await self.readings.tick(now)

    async def _rows(self, now: float) -> list[Row]:
        await behaviour.refresh(self.store, self.crunch, StateRules(), now)
        return await self.store.db.read(lambda conn: list(feature_reads.all_rows(conn)))

    async def _risks(self, now: float) -> None:
        self.lived.judged_at = now
        rows = await self._rows(now)
        self.lived.risks = {row.member_id: (row.state, row.churn) for row in rows}

    async def _alerts(self) -> None:
        found = await self.store.alerts.newest(100_000)
        self.lived.alerts = sorted(found, key=lambda one: (one.at, one.id))
        for one in found:
            self.lived.said[one.id] = await self.store.readings.texts(one.rows)

    async def _conclude(self) -> None:
        """What is true of the end."""
        lived, store, now = self.lived, self.store, self.lived.plan.now
        # What is known at the end: pairs, and what was spent.
        await self._to(now + 1.0)
        lived.messages = sum(len(lived.world.rows[name]) for name in ("talk", "interactions"))
        lived.states = {row.member_id: row.state for row in await self._rows(now)}
        await communities.refresh(store, self.crunch, now)
        for place in lived.plan.places:
            kept = await store.db.read(_standing(place))
            lived.communities[place] = [one.members for one in kept]
            found = await store.communities.found(LEADER, place)
            ranked = sorted(found, key=lambda one: one.finding.rank)
            lived.leaders[place] = [one.finding.member_id for one in ranked]
        await forecasts.refresh(store, self.crunch, now)
        data = await store.interactions.finding(spending_report.CURVES)
        if data is not None:
            lived.curves = spending_report.from_json(data).places
        await outcomes.refresh(store, self.crunch, InsightSettings(), now)
        data = await store.interactions.finding(name_of("retention"))
        if data is not None:
            lists = defaultdict(tuple, {one.name: one.rows for one in from_json(data).lists})
            lived.baskets = [row.label for row in lists["baskets"]]


def _standing(place: str) -> Callable[[Connection], list[Kept]]:
    return lambda conn: community_reads.standing(conn, place)
