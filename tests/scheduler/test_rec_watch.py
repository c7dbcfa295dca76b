"""Everybody sees what is popular once members click it more, with certainty and not before."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scheduler import rec_watch
from scheduler.rec_watch import DAYS, LEAST_MEMBERS, LIMIT, Count, counted, end, fallback, worst
from store import Store
from tests.scheduler.rec_world import DAY_S, NOW, Here, catalogue, members, opened, shown

OURS, HELD = 60, 30


@dataclass(frozen=True)
class Day:
    """A member's day, as the store gives it."""

    day: str
    arm: str
    ranker: str
    member_id: int
    clicked: int


def day(number: int) -> str:
    return f"2026-11-{number:02d}"


STARTS = {day(number): float(number) for number in range(1, 15)}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A shop with a live model and members of both kinds, who saw nothing yet."""
    store = await opened(tmp_path / "z.db")
    await store.catalogue.put(catalogue(), NOW)
    await members(store, OURS + HELD)
    model = await store.rec_models.register("m", NOW, 0, NOW, "", "{}")
    await store.rec_models.go_live(model.id, NOW)
    yield store
    await store.close()


async def week(store: Store, ours: float, held: float, *, until: float = NOW) -> None:
    """All look once a day for five days; these shares of them click once."""
    for number in range(1, OURS + HELD + 1):
        theirs = number > OURS
        place, of = (number - OURS, HELD) if theirs else (number, OURS)
        clicks = place <= (held if theirs else ours) * of
        for back in range(5):
            at = until - back * DAY_S - 3600 - number
            arm = "holdout" if theirs else ""
            await shown(store, number, at, arm=arm, clicked=clicks and not back)


async def look(store: Store, now: float = NOW) -> str:
    return await rec_watch.tick(store, Here(), lambda one: f"{one.clicked} {one.held_clicked}", now)


async def test_a_ranker_that_nobody_clicks_gives_way_to_what_is_popular(store: Store) -> None:
    await week(store, ours=0.0, held=0.6)
    assert await look(store) == "0 18"
    assert await fallback(store) == "0 18"
    assert await look(store, NOW + 3600) == "", "told once"


async def test_a_ranker_that_is_clicked_as_much_stays(store: Store) -> None:
    await week(store, ours=0.4, held=0.5)
    assert await look(store) == ""
    assert await fallback(store) == ""


async def test_a_better_ranker_never_gives_way(store: Store) -> None:
    await week(store, ours=0.9, held=0.1)
    assert await look(store) == ""


async def test_once_resumed_what_was_before_counts_no_more(store: Store) -> None:
    await week(store, ours=0.0, held=0.6)
    await look(store)
    assert await end(store, NOW + 60)
    assert await fallback(store) == ""
    assert not await end(store, NOW + 61), "nothing to end"
    assert await look(store, NOW + 3600) == ""
    await week(store, ours=0.0, held=0.6, until=NOW + 6 * DAY_S)
    assert await look(store, NOW + 6 * DAY_S), "and if it is as bad as before"


async def test_without_a_model_there_is_nothing_to_watch(tmp_path: Path) -> None:
    store = await opened(tmp_path / "z.db")
    assert await look(store) == ""
    await store.close()


def test_members_count_once_from_each_day_on() -> None:
    days = [
        Day(day(1), "", "ours", 1, 1),
        Day(day(2), "", "ours", 1, 0),
        Day(day(2), "", "ours", 2, 3),
        Day(day(1), "holdout", "popular", 3, 1),
        Day(day(2), "holdout", "popular", 3, 1),
        # What is compared otherwise, or was fallen back to, is no evidence of either.
        Day(day(2), "test", "ours", 4, 1),
        Day(day(2), "fallback", "popular", 5, 1),
        Day(day(2), "", "popular", 6, 1),
    ]
    first, second, third = counted(days, {day(n): float(n) for n in (1, 2, 3)})
    assert first == Count(1.0, 2, 2, 1, 1)
    assert second == Count(2.0, 2, 1, 1, 1)
    assert third == Count(3.0, 0, 0, 0, 0)
    assert counted([], {}) == []


@pytest.mark.parametrize(
    "count",
    [
        Count(0.0, 0, 0, 0, 0),
        Count(0.0, 0, 0, 100, 90),
        Count(0.0, 5000, 0, LEAST_MEMBERS - 1, LEAST_MEMBERS - 1),
        Count(0.0, 100, 30, 100, 30),
        Count(0.0, 1000, 300, 100, 31),
    ],
)
def test_too_little_or_no_difference_is_no_evidence(count: Count) -> None:
    assert worst([count]) is None


def test_a_model_that_breaks_after_a_good_week_is_caught_by_the_newest_days() -> None:
    days = []
    for number in range(1, 15):
        broken = number > 10
        days += [Day(day(number), "", "ours", who, int(not broken)) for who in range(200)]
        days += [Day(day(number), "holdout", "popular", 900 + who, who % 2) for who in range(40)]
    found = worst(counted(days, STARTS))
    assert found is not None
    assert found.since >= 10.0
    assert counted(days, STARTS)[0].evidence < LIMIT, "all days together would not say so"


def test_alike_rankers_cause_no_false_alarm_however_often_one_looks() -> None:
    """Two weeks with a hold-out of a tenth, 100 times over."""
    rng = random.Random(5)
    alarms = 0
    for _ in range(100):
        days: list[Day] = []
        habit = [rng.random() * 0.4 for _ in range(300)]
        for number in range(1, DAYS + 1):
            for who, chance in enumerate(habit):
                if rng.random() < 0.2:
                    held = who % 10 == 0
                    arm, ranker = ("holdout", "popular") if held else ("", "ours")
                    days.append(Day(day(number), arm, ranker, who, int(rng.random() < chance)))
        starts = dict(list(STARTS.items())[::4])
        alarms += worst(counted(days, starts)) is not None
    assert alarms <= 1
