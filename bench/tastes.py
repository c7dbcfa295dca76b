"""Whether what is recommended is what members like, lived through day by day.

    python -m bench.tastes
    python -m bench.tastes --members 300 --days 40 --pretty

Members with a known taste (`sandbox/tastes.py`) come by for sixty days, ask for a recommendation
and click or buy what they like. They are served by the bot's own service (`bot/recommending.py`)
from a real store: it learns by the real training job, every list is logged before it is shown, and
what came of it is read back from the log. The clock is passed in.

`online`: a fifth of the members always sees what is popular (the hold-out), a tenth a list at
random; click rates with 95 % intervals by members, and the differences. `discovery`: good items
arrive of which nothing tells that they are good; days until a fifth of the lists that the model
ranks for members of that taste has them, with chance and without. `sabotage`: after that the
model's scores are turned upside down or mixed up in the file itself; how long until everybody sees
what is popular, and what was shown until then. `quiet`: the watch over many worlds in which the
models are exactly as good as what is popular: how often it gave way for nothing, looking once a
day. `cpu_s`: processor seconds of each part.

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import numpy as np

from bot.rec_settings import RecommendationSettings
from bot.recommending import Recommender
from handlers.recommending import Wish
from insights import rec_tests
from insights.draws import part
from insights.outcomes import rate
from insights.rates import Share
from recommender import artefact
from sandbox.tastes import DAY_S, SUBJECTS, Act, Person, Plan, Thing, World, features
from scheduler import rec_watch, recommending
from scheduler.jobs import order_catalogue
from scheduler.recommending import Rules
from store import Store, history
from store.catalogue import Item
from store.insight_reads import reading
from store.rec_lists import PICKED, NewList, Shown
from store.rec_models import Model
from store.rec_outcomes import Place, places

T = TypeVar("T")
Args = TypeVarTuple("Args")

NOW = 1_767_196_800.0 - 8 * 3600.0
"""Midnight of a Thursday in Shanghai."""
MEMBERS, DAYS, ITEMS = 400, 60, 60
FOUND = 0.2
"""A new item is found when so many of a day's lists for its members have it, by rank."""
COUNT = 3
"""Places of a list in chat."""
RANDOM = "random"
"""The arm and the ranker of lists that nobody ranked. Only here."""
WATCHES = 100
TRAIN_EVERY = 4
"""Days. The bot learns every night; here that would be most of the time it takes."""


class Here:
    """`bot/crunch.py` without processes: a bench waits for nobody."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run it now."""
        return run(*args)


@dataclass
class Arms:
    """How members are split. held: the share that sees what is popular; by_chance: lists at
    random; explore: of places."""

    held: float = 0.2
    by_chance: float = 0.1
    explore: float = 0.1


@dataclass
class Told:
    """What is noted beside the log. found: new item -> days until it was found; best: how often
    the places of the best possible list would be clicked, one for each list of ours."""

    found: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    train_s: list[float] = field(default_factory=list)
    serve_ms: list[float] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)


class Town:
    """A world, a store, and the service between them."""

    def __init__(self, store: Store, plan: Plan, arms: Arms, folder: Path) -> None:
        self.store, self.world, self.arms = store, World(plan), arms
        self.told = Told()
        self.now = plan.now
        self.settings = RecommendationSettings(
            holdout=arms.held, explore=arms.explore, tune_s=0.0, digest_on="never"
        )
        self.rules = Rules(
            least_members=self.settings.least_members,
            least_items=self.settings.least_items,
            least_events=self.settings.least_events,
            half_life_s=self.settings.half_life_days * DAY_S,
            tune_s=0.0,
            words=str(folder),
        )
        self.crunch = Here()
        self.service = Recommender(
            store, self.settings, recommending.folder_of(store.db.path), now=lambda: self.now
        )
        self._rng = random.Random(plan.seed + 1)
        self._orders = 0
        self._next_day = 0
        self._sound: Model | None = None

    # The days

    async def open(self) -> None:
        """What was there before the first day."""
        world = self.world
        await self._stock(list(world.things.values()), world.plan.now - 400 * DAY_S)
        await self._meet(list(world.people.values()), world.plan.now - world.plan.before * DAY_S)
        await self._log(world.past())
        self.now = world.plan.now
        await self._night()

    async def day(self, *, train: bool = True) -> None:
        """The next day: who and what comes, at times a night's work, lists, clicks."""
        world, day = self.world, self._next_day
        self._next_day += 1
        self.now = start = world.plan.now + day * DAY_S
        things, people = world.dawn(day)
        if things:
            await self._stock(things, start)
        if people:
            await self._meet(people, start)
        self.now = start + 4 * 3600.0
        await order_catalogue(self.store, _nothing, self.now)
        if train and day % TRAIN_EVERY == 0 and day:
            await self._night()
        acts: list[Act] = []
        best: dict[int, float] = {}
        for at, person in world.visitors(day):
            self.now = at
            acts += await self._visit(person, at, best)
        await self._log(acts)
        ranked = self._ranked(start)
        self.told.best += [best[number] for number in ranked]
        self._discoveries(day, [*ranked.values()])

    async def _visit(self, person: Person, at: float, best: dict[int, float]) -> list[Act]:
        """One asks for a recommendation, looks and goes."""
        key = hashlib.blake2b(b"%d %r" % (person.id, at), digest_size=16).digest()
        if part("by chance", person.id) < self.arms.by_chance:
            items = await self._at_random(person, key, at)
        else:
            began = time.perf_counter()
            number, picks = await self.service.recommend(person.id, key, "chat", COUNT, Wish(), at)
            self.told.serve_ms.append((time.perf_counter() - began) * 1000.0)
            items = [one.item for one in picks]
            best[number] = self.world.best(person, COUNT)
        for item in items:
            self.told.seen.setdefault(item, int((at - self.world.plan.now) // DAY_S))
        return self.world.shown(person, items, at)

    async def _at_random(self, person: Person, key: bytes, at: float) -> list[str]:
        left = [one for one in self.world.things if one not in person.bought]
        items = self._rng.sample(left, min(COUNT, len(left)))
        shown = tuple(Shown(item, RANDOM, COUNT / len(left), explored=True) for item in items)
        new = NewList(key, person.id, at, "chat", RANDOM, "", RANDOM, None, "", shown)
        await self.store.recommendations.put(new)
        return items

    def _ranked(self, since: float) -> dict[int, tuple[Person, list[str]]]:
        """The lists of ours since then: whose, and what the model, not chance, put there."""
        with reading(self.store.db.path) as conn:
            found: dict[int, tuple[Person, list[str]]] = {}
            for one in places(conn, since, self.now + 1.0, cold=False):
                if one.ranker == "ours":
                    person = self.world.people[one.member_id]
                    _, items = found.setdefault(one.list_id, (person, []))
                    items += [] if one.explored else [one.item_id]
        return found

    def _discoveries(self, day: int, ranked: Sequence[tuple[Person, list[str]]]) -> None:
        for thing in self.world.things.values():
            if not thing.planted or thing.id in self.told.found:
                continue
            lists = [
                items
                for person, items in ranked
                if person.favourite == thing.subject and thing.id not in person.bought
            ]
            if lists and sum(thing.id in items for items in lists) >= FOUND * len(lists):
                self.told.found[thing.id] = day - thing.came

    # The night

    async def _night(self) -> None:
        """Learn, judge, put live, work out lists: the jobs as they are."""
        await order_catalogue(self.store, _nothing, self.now)
        began = time.perf_counter()
        done = await recommending.train(self.store, self.crunch, self.rules, self.now)
        self.told.train_s.append(time.perf_counter() - began)
        self.told.ends.append("cut_off" if done is None else f"{done.end}:{done.why}".rstrip(":"))
        await self.service.changed()
        await recommending.relist(self.store, self.crunch, self.rules, self.now)

    async def look(self) -> str:
        """The watch over the live figures; why it gave way, "" while it does not."""
        why = await rec_watch.tick(
            self.store, self.crunch, lambda count: f"{count.clicked} {count.held_clicked}", self.now
        )
        if why:
            self.told.fallbacks.append(why)
        return why

    @property
    def tomorrow(self) -> float:
        """When the next day begins."""
        return self.world.plan.now + self._next_day * DAY_S

    # The log

    async def _stock(self, things: Iterable[Thing], at: float) -> None:
        items = []
        for thing in things:
            said = features(thing)
            items.append(
                Item(
                    id=thing.id,
                    kind="course",
                    title=said["title"],
                    tags=(said["tag"],) if said["tag"] else (),
                    price_cents=thing.price_cents,
                    published_at=at,
                )
            )
        await self.store.catalogue.put(items, at)

    async def _meet(self, people: Iterable[Person], at: float) -> None:
        numbers = [one.id for one in people]
        await history.fill(
            self.store.db,
            {
                "members": [(one, at) for one in numbers],
                "identities": [("mp", f"o{one}", one, 1, at, None, at) for one in numbers],
            },
        )

    async def _log(self, acts: Iterable[Act]) -> None:
        """What members did, as the chat and the shop write it down."""
        rows: dict[str, list[tuple[Any, ...]]] = {"interactions": [], "events": []}
        for act in acts:
            if act.kind == "purchase":
                self._orders += 1
                name = f"order-{self._orders}"
                bought = (act.at, act.at, act.member, act.item, None, act.cents)
                rows["events"].append((name, "purchase", *bought, name, ""))
                continue
            handler = PICKED if act.kind == "click" else "content.item"
            rows["interactions"].append(
                (act.at, "mp", act.member, "text", "1", handler, f"item:{act.item}", None)
            )
        await history.fill(self.store.db, rows)

    def outcomes(self, since: float = 0.0) -> list[Place]:
        """Every place that was shown, with what came of it."""
        with reading(self.store.db.path) as conn:
            return list(places(conn, since, self.now + DAY_S, cold=False))

    # Sabotage

    async def sabotage(self, how: str) -> None:
        """The model that serves is another one from now on. how: "negated" or "shuffled"."""
        row = self._sound = self._sound or await self.store.rec_models.live()
        assert row is not None, "no model serves"
        folder = recommending.folder_of(self.store.db.path)
        fitted = artefact.load(folder / f"{row.name}.npz", row.checksum)
        if how == "negated":
            fitted = replace(fitted, weights=-fitted.weights)
        else:
            mixed = np.random.default_rng(3).permutation(len(fitted.items))
            fitted = replace(fitted, items=tuple(fitted.items[at] for at in mixed))
        name = f"{row.name}-{how}"
        checksum = artefact.save(fitted, folder / f"{name}.npz")
        broken = await self.store.rec_models.register(
            name, self.now, row.since, row.until, checksum, "{}"
        )
        await self.store.rec_models.go_live(broken.id, self.now)
        await self.service.changed()
        await recommending.relist(self.store, self.crunch, self.rules, self.now)


async def _nothing() -> None:
    """There is nothing to reload: the service looks by itself."""


# What came of it


def arm_of(place: Place) -> str:
    """ "ours", "popular" (who is held out) or "random"; "" for what is none of them."""
    if place.arm == RANDOM:
        return RANDOM
    if place.arm == "holdout":
        return "popular"
    return "ours" if place.arm == "" and place.ranker == "ours" else ""


def clicked(rows: Iterable[Place]) -> dict[str, Share]:
    """The places of each arm that were clicked, by members."""
    sums: dict[str, dict[int, list[float]]] = {}
    for place in rows:
        arm = arm_of(place)
        if arm:
            mine = sums.setdefault(arm, {}).setdefault(place.member_id, [0.0, 0.0])
            mine[0] += 1
            mine[1] += place.clicked
    tables = {arm: np.array(list(its.values()), np.float64) for arm, its in sums.items()}
    return {arm: rec_tests.clustered(its[:, 1], its[:, 0]) for arm, its in tables.items()}


def online(rows: Sequence[Place]) -> dict[str, Any]:
    """Click rates of the arms, and ours beside the others."""
    shares = clicked(rows)
    told: dict[str, Any] = {}
    for arm, share in sorted(shares.items()):
        # Beside nothing at all: the interval of one share is that of its difference from itself.
        found = rate(share.hits, share.of, share.worth)
        told[arm] = {
            "ctr": _round(share.hits / share.of),
            "low": _round(found.low),
            "high": _round(found.high),
            "places": share.of,
            "members": share.people,
        }
    if "ours" in shares:
        for arm in ("popular", RANDOM):
            if arm in shares:
                effect = rec_tests.beside(shares["ours"], shares[arm])
                told[f"ours_less_{arm}"] = {
                    "diff": _round(effect.diff),
                    "low": _round(effect.low),
                    "high": _round(effect.high),
                    "uplift": _round(effect.uplift),
                    "p": float(f"{effect.p:.2g}"),
                }
    return told


def _round(value: float) -> float:
    return round(value, 4)


def quiet(runs: int, days: int, seed: int = 7, held: int = 40, others: int = 160) -> int:
    """In how many of so many runs the watch gives way, when there is no difference at all.

    held, others: members on both sides, a third of whom comes by on a day and sees `COUNT`
    places; each has a rate of their own. It looks at the end of each day.
    """
    rng = np.random.default_rng(seed)
    members = held + others
    fell = 0
    for _ in range(runs):
        rates = rng.beta(1.2, 4.0, members)
        cells: rec_watch.Cells = {}
        for day in range(days):
            now = NOW + (day + 1) * DAY_S - 1.0
            here = np.flatnonzero(rng.random(members) < 0.35)
            hits = rng.binomial(COUNT, rates[here])
            # A day is one cell, as `rec_watch.tallied` makes it of the log.
            day_number = int((now + 8 * 3600.0) // DAY_S)
            cells[day_number, "chat"] = {
                (who < held, who): [COUNT, hit]
                for who, hit in zip(here.tolist(), hits.tolist(), strict=True)
            }
            cells.pop((day_number - max(rec_watch.SPANS), "chat"), None)
            starts = rec_watch.starting(NOW, now)
            if rec_watch.worst(rec_watch.counts(cells, starts)) is not None:
                fell += 1
                break
    return fell


# Runs


async def lived(
    folder: Path,
    plan: Plan,
    arms: Arms,
    use: Callable[[Town], Any],
    say: Callable[[str], None],
    *,
    watch: bool = True,
) -> Any:
    """Live through a plan, then do something with what is there. watch: look every evening."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / "tastes.db", durability="process")
    await store.open()
    try:
        town = Town(store, plan, arms, folder)
        await town.open()
        for day in range(plan.days):
            await town.day()
            if watch:
                await town.look()
            if day % 10 == 9:
                say(f"day {day + 1}: {town.told.ends[-1]}")
        return await use(town)
    finally:
        await store.close()


async def broken(town: Town, how: str, most_days: int) -> dict[str, Any]:
    """Break the model, and live on until everybody sees what is popular, or for so many days.

    A fall-back before it is a false one and ends here, as an operator would end it.
    """
    await rec_watch.end(town.store, town.now)
    await town.service.load()
    town.now = begin = town.tomorrow
    await town.sabotage(how)
    told: dict[str, Any] = {"fell_back": False, "days": None, "lists": None}
    for number in range(most_days):
        morning = town.tomorrow
        await town.day(train=False)
        # As often as the bot looks; after some days in the evening is soon enough.
        for look in range(1, rec_watch.LOOKS + 1) if number < 4 else (rec_watch.LOOKS,):
            # What was shown and clicked up to then: the log of a day is written at its end.
            town.now = morning + look * rec_watch.LOOK_S
            if await town.look():
                rows = [
                    one
                    for one in town.outcomes(begin)
                    if arm_of(one) == "ours" and one.at < town.now
                ]
                lists = len({one.list_id for one in rows})
                spent = round((town.now - begin) / DAY_S, 2)
                await town.service.load()
                key = hashlib.blake2b(b"after", digest_size=16).digest()
                arms = await _arms_after(town, key)
                return {
                    "fell_back": True,
                    "days": spent,
                    "lists": lists,
                    "places": len(rows),
                    "ctr": _round(sum(one.clicked for one in rows) / max(1, len(rows))),
                    "afterwards": arms,
                }
    return told


async def _arms_after(town: Town, key: bytes) -> list[str]:
    """Which rankers members get now, of twenty who come by."""
    found = set()
    for number in list(town.world.people)[:20]:
        own = hashlib.blake2b(key + b"%d" % number, digest_size=16).digest()
        list_id, _ = await town.service.recommend(number, own, "chat", COUNT, Wish(), town.now)
        kept = await town.store.recommendations.get(list_id)
        if kept is not None:
            found.add(kept.ranker)
    return sorted(found)


async def run(
    members: int, days: int, watches: int, seeds: Sequence[int], say: Callable[[str], None]
) -> dict[str, Any]:
    """All of it, as JSON."""
    began = time.perf_counter()
    spent: dict[str, float] = {}

    def part_of(name: str) -> None:
        spent[name] = round(time.process_time() - sum(spent.values()), 1)

    report: dict[str, Any] = {
        "members": members,
        "days": days,
        "subjects": len(SUBJECTS),
        "found_at": FOUND,
    }
    with tempfile.TemporaryDirectory(prefix="zhiqun-tastes-") as temporary:
        base = Path(temporary)
        plan = Plan(now=NOW, seed=1, members=members, items=ITEMS, days=days)

        async def whole(town: Town) -> None:
            rows = town.outcomes()
            told = town.told
            report["online"] = online(rows)
            half = town.world.plan.now + days / 2 * DAY_S
            report["online_second_half"] = online([one for one in rows if one.at >= half])
            report["best_possible"] = _round(statistics.fmean(told.best)) if told.best else None
            report["lists"] = len({one.list_id for one in rows})
            report["trainings"] = _counts(told.ends)
            report["train_s_p50"] = _round(statistics.median(told.train_s))
            report["recommend_ms_p50"] = _round(statistics.median(told.serve_ms))
            report["false_fall_backs"] = len(told.fallbacks)
            part_of("online")
            report["sabotage"] = {}
            for how in ("negated", "shuffled"):
                say(f"sabotage: {how}")
                report["sabotage"][how] = await broken(town, how, 30)
            part_of("sabotage")

        await lived(base / "online", plan, Arms(), whole, say)
        report["discovery"] = await discovery(base, members, days, seeds, say)
        part_of("discovery")
    report["quiet"] = {"runs": watches, "days": 60, "fall_backs": quiet(watches, 60)}
    part_of("quiet")
    report["seconds"] = round(time.perf_counter() - began, 1)
    report["cpu_s"] = spent
    return report


async def discovery(
    base: Path, members: int, days: int, seeds: Sequence[int], say: Callable[[str], None]
) -> dict[str, Any]:
    """New items that are good and do not look it, with chance and without."""
    told: dict[str, Any] = {}
    span = min(days, 42)
    arrivals = tuple(range(3, max(4, span - 18), 4))
    for name, explore in (("with_exploration", 0.1), ("without", 0.0)):
        waits: list[int] = []
        planted: list[bool] = []
        for seed in seeds:
            plan = Plan(
                now=NOW, seed=seed, members=members // 2, items=ITEMS, days=span, arrivals=arrivals
            )
            arms = Arms(held=0.2, by_chance=0.0, explore=explore)
            say(f"{name}, seed {seed}")
            folder = base / f"{name}-{seed}"
            # Nobody breaks anything here: that the watch holds still is what `online` shows.
            found, shown = await lived(folder, plan, arms, _found, say, watch=False)
            waits += found
            planted += shown
        told[name] = {
            "added": len(planted),
            "found": len(waits),
            "never_shown": planted.count(False),
            "days_p50": statistics.median(waits) if waits else None,
            "days_max": max(waits, default=None),
        }
    return told


async def _found(town: Town) -> tuple[list[int], list[bool]]:
    """Days until each good new item was found that was; which were shown at all."""
    planted = [one.id for one in town.world.things.values() if one.planted]
    return list(town.told.found.values()), [one in town.told.seen for one in planted]


def _counts(ends: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in ends:
        found[one] = found.get(one, 0) + 1
    return found


def main() -> None:
    """Run it and print what came out."""
    parser = argparse.ArgumentParser(description="Recommendations for members of known taste.")
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--watches", type=int, default=WATCHES)
    parser.add_argument("--seeds", type=int, default=1, help="worlds with new items")
    parser.add_argument("--pretty", action="store_true")
    given = parser.parse_args()

    def say(words: str) -> None:
        print(words, file=sys.stderr, flush=True)

    seeds = tuple(range(11, 11 + given.seeds))
    report = asyncio.run(run(given.members, given.days, given.watches, seeds, say))
    print(json.dumps(report, ensure_ascii=False, indent=2 if given.pretty else None))


if __name__ == "__main__":
    main()
