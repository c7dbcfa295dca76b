"""Everybody sees what is popular once the hold-out clicks more, with certainty and not before."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from insights.draws import side
from scheduler import rec_watch
from scheduler.rec_watch import (
    LEAST_MEMBERS,
    LIMIT,
    LOOK_S,
    Cells,
    by_lot,
    counted,
    counts,
    end,
    fallback,
    midnight,
    serving_since,
    starting,
    tallied,
    worst,
)
from store import Store
from store.rec_models import Model
from store.rec_tests import RecTest
from tests.scheduler.rec_world import DAY_S, NOW, Here, catalogue, members, opened, shown

OURS, HELD = 60, 30
TODAY = midnight(NOW)


@dataclass(frozen=True)
class Place:
    """A place of a list, as the store gives it."""

    member_id: int
    clicked: bool = False
    arm: str = ""
    ranker: str = "ours"
    at: float = NOW
    surface: str = "chat"
    explored: bool = False


def held(member: int, clicked: bool = False, at: float = NOW) -> Place:
    return Place(member, clicked, "holdout", "popular", at)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A shop with a model that is live for a week, and members who saw nothing yet."""
    store = await opened(tmp_path / "z.db")
    await store.catalogue.put(catalogue(), NOW)
    await members(store, OURS + HELD)
    began = NOW - 7 * DAY_S
    model = await store.rec_models.register("m", began, 0, began, "", "{}")
    await store.rec_models.go_live(model.id, began)
    yield store
    await store.close()


async def week(store: Store, ours: float, theirs: float, *, until: float = NOW) -> None:
    """All look once a day for five days; these shares of them click once."""
    for number in range(1, OURS + HELD + 1):
        out = number > OURS
        place, of = (number - OURS, HELD) if out else (number, OURS)
        clicks = place <= (theirs if out else ours) * of
        for back in range(5):
            at = until - back * DAY_S - 3600 - number
            arm = "holdout" if out else ""
            await shown(store, number, at, arm=arm, clicked=clicks and not back)


async def look(store: Store, now: float = NOW) -> str:
    return await rec_watch.tick(store, Here(), lambda one: f"{one.clicked} {one.held_clicked}", now)


async def test_a_ranker_that_nobody_clicks_gives_way_to_what_is_popular(store: Store) -> None:
    await week(store, ours=0.0, theirs=0.6)
    assert await look(store) == "0 18"
    assert await fallback(store) == "0 18"
    assert await look(store, NOW + LOOK_S) == "", "told once"


async def test_a_ranker_that_is_clicked_as_much_stays(store: Store) -> None:
    await week(store, ours=0.4, theirs=0.5)
    assert await look(store) == ""
    assert await fallback(store) == ""


async def test_a_better_ranker_never_gives_way(store: Store) -> None:
    await week(store, ours=0.9, theirs=0.1)
    assert await look(store) == ""


async def test_it_looks_so_often_a_day_and_not_more_whoever_asks(store: Store) -> None:
    assert await look(store, NOW) == ""
    await week(store, ours=0.0, theirs=0.6)
    assert await look(store, NOW + LOOK_S - 1) == ""
    assert await look(store, NOW + LOOK_S)


async def test_once_resumed_what_was_before_counts_no_more(store: Store) -> None:
    await week(store, ours=0.0, theirs=0.6)
    await look(store)
    assert await end(store, NOW + 60)
    assert await fallback(store) == ""
    assert not await end(store, NOW + 61), "nothing to end"
    assert await look(store, NOW + LOOK_S) == ""
    await week(store, ours=0.0, theirs=0.6, until=NOW + 6 * DAY_S)
    assert await look(store, NOW + 6 * DAY_S), "and if it is as bad as before"


async def test_what_was_shown_before_a_model_was_taken_back_counts_no_more(store: Store) -> None:
    worse = await store.rec_models.register("n", NOW - 6 * DAY_S, 0, 0, "", "{}")
    await store.rec_models.go_live(worse.id, NOW - 6 * DAY_S)
    await week(store, ours=0.0, theirs=0.6)
    assert await store.rec_models.roll_back(NOW - 60) is not None
    assert await look(store) == ""


async def test_without_a_model_there_is_nothing_to_watch(tmp_path: Path) -> None:
    store = await opened(tmp_path / "z.db")
    assert await look(store) == ""
    await store.close()


# What is compared


def test_places_are_compared_where_both_sides_saw_something() -> None:
    yesterday = TODAY - 3600
    rows = [
        Place(1, True),
        Place(1),
        Place(2),
        held(3, True),
        Place(1, True, at=yesterday),
        held(3, True, at=yesterday),
        # Nobody of the other side that day, or on that surface.
        held(4, True, at=yesterday - DAY_S),
        Place(2, True, surface="answer"),
        # Tried out, compared otherwise, fallen back to, or a campaign's.
        Place(2, True, explored=True),
        Place(5, True, "test", "popular"),
        Place(6, True, "fallback", "popular"),
        Place(7, True, ranker="popular"),
        Place(8, True, surface="campaign"),
        Place(9, True, "holdout", "popular", surface="campaign"),
    ]
    found = counted(rows, {TODAY, TODAY - DAY_S, TODAY - 2 * DAY_S})
    told = [(one.members, one.shown, one.clicked) for one in found]
    assert told == [(2, 3, 1), (2, 4, 2), (2, 4, 2)]
    assert [(one.held, one.held_shown, one.held_clicked) for one in found] == [
        (1, 1, 1),
        (1, 2, 2),
        (1, 2, 2),
    ]
    assert [one.evidence for one in found] == [1.0] * 3, "of one member nobody can say anything"
    assert counted([], {TODAY})[0].members == 0
    assert counted([], set()) == []


def test_who_was_moved_into_the_hold_out_meanwhile_is_on_neither_side() -> None:
    rows = [Place(1), Place(2), held(2, True), held(3)]
    (found,) = counted(rows, {TODAY})
    assert (found.members, found.held, found.held_clicked) == (1, 1, 0)


def test_under_a_test_those_are_compared_whom_the_models_would_have_served() -> None:
    test = RecTest(1, "ours", "popular", "split", 1.0, "salt", NOW - 3600, "cli", None, "")
    drawn = {number: side("salt", number, 1.0) for number in range(40)}
    rows = [held(number) for number in drawn]
    rows += [Place(100, True, "test"), Place(101, arm="test", ranker="popular")]
    (found,) = counted(rows, {TODAY}, [test])
    assert found.held == list(drawn.values()).count("a")
    assert (found.members, found.clicked) == (1, 1)
    (none,) = counted(rows, {TODAY}, [test._replace(method="interleave")])
    assert none.held == 0
    (over,) = counted(rows, {TODAY}, [test._replace(ended_at=NOW - 60)])
    assert over.held == 40


def test_figures_of_nights_in_a_row_belong_together_but_not_those_before_a_return() -> None:
    def model(number: int, status: str, live_at: float | None, ended_at: float | None) -> Model:
        return Model(number, f"m{number}", 0, 0, 0, "", "{}", status, "", live_at, ended_at)

    row = [model(3, "live", 30.0, None), model(2, "retired", 20.0, 30.0)]
    never = model(4, "refused", None, 40.0)
    assert serving_since([never, *row, model(1, "retired", 10.0, 20.0)]) == 10.0
    assert serving_since([model(3, "refused", 30.0, 35.0), model(2, "live", 35.0, None)]) == 35.0
    assert serving_since([]) == 0.0


def test_nothing_before_the_models_served_is_read() -> None:
    assert min(starting(0.0, NOW)) == TODAY - 27 * DAY_S
    assert starting(TODAY - 3600, NOW) == {TODAY - 3600, TODAY}
    assert starting(TODAY + 60, NOW) == {TODAY + 60}


def test_lists_that_a_program_asked_for_and_nobody_saw_change_nothing() -> None:
    rows = [Place(number, number % 3 == 0) for number in range(90)]
    rows += [held(1000 + number, number % 2 == 0) for number in range(30)]
    unseen = [Place(number, surface="api") for number in range(90)]
    unseen += [replace(held(1000 + number), surface="api") for number in range(30)]
    (one,), (other,) = counted(rows, {TODAY}), counted(rows + unseen, {TODAY})
    assert one.evidence == pytest.approx(other.evidence)
    assert one.evidence > 1.0


# What is certain


def test_the_chance_of_the_lot_is_never_said_to_be_smaller_than_it_is() -> None:
    rng = random.Random(3)
    everybody = [rng.random() ** 4 for _ in range(300)]
    said = [by_lot(everybody, rng.sample(everybody, 30)) for _ in range(1000)]
    for chance in (0.2, 0.05, 0.01):
        assert sum(one <= chance for one in said) <= chance * 1000
    assert min(said) < 0.05, "and yet it says something"


def test_the_ends_of_the_lot() -> None:
    assert by_lot([], []) == 1.0
    assert by_lot([0.0] * 50, [0.0] * 20) == 1.0
    assert by_lot([1.0, 0.0, 0.0], [0.0]) == 1.0
    # All that there is was drawn, one of a thousand ways: nothing overflows.
    assert 0.0 < by_lot([1.0] * 20 + [0.0] * 5000, [1.0] * 20) < 1e-40
    assert 0.0 < by_lot([1e9, 0.0], [1e9]) <= 1.0


def test_one_who_clicks_everything_decides_nothing() -> None:
    rows: list[Place] = [Place(number) for number in range(400)]
    rows += [held(1000 + number) for number in range(LEAST_MEMBERS)]
    rows += [held(1000, True) for _ in range(500)]
    (found,) = counted(rows, {TODAY})
    assert found.held_clicked == 500
    assert found.evidence < 30


@pytest.mark.parametrize(("there", "certain"), [(LEAST_MEMBERS - 1, False), (30, True)])
def test_a_hold_out_of_a_few_says_nothing(there: int, certain: bool) -> None:
    rows = [Place(number) for number in range(600)]
    rows += [held(1000 + number, True) for number in range(there)]
    assert (worst(counted(rows, {TODAY})) is not None) is certain


def test_a_model_that_breaks_after_good_weeks_is_caught_by_the_newest_days() -> None:
    rows = []
    for back in range(20):
        at = NOW - back * DAY_S
        rows += [Place(who, back >= 2 and who % 2 == 0, at=at) for who in range(200)]
        rows += [held(900 + who, who % 3 == 0, at=at) for who in range(40)]
    found = counted(rows, starting(0.0, NOW))
    caught = worst(found)
    assert caught is not None
    assert caught.since >= TODAY - DAY_S
    assert found[-1].evidence < LIMIT, "all days together would not say so"


# How often it is wrong, and how soon it is right: bench/tastes.py does it at length


@dataclass
class Shop:
    """Members with a rate of clicks each, of whom some come by on a day. live: models serve from
    day 0 on; before, only the hold-out's lists are told apart."""

    rng: random.Random
    rates: list[float]
    share: float
    worth: float = 1.0

    def day(self, day: int, *, live: bool = True) -> Iterable[Place]:
        at = TODAY + day * DAY_S
        for who, rate in enumerate(self.rates):
            if self.rng.random() < 0.3:
                out = who < self.share * len(self.rates)
                rate = rate if out else rate * self.worth
                for _ in range(3):
                    hit = self.rng.random() < rate
                    if out:
                        yield held(who, hit, at)
                    else:
                        yield Place(who, hit, ranker="ours" if live else "popular", at=at)

    def falls(self, days: int, before: int = 0) -> int:
        """The day of the fall-back; 0 for none."""
        cells: Cells = {}
        for day in range(-before, days):
            cells |= tallied(self.day(day, live=day >= 0), 0.0)
            now = TODAY + (day + 1) * DAY_S - 60
            if day >= 0 and worst(counts(cells, starting(0.0, now))) is not None:
                return day + 1
        return 0


def shop(seed: int, members: int, share: float, worth: float = 1.0) -> Shop:
    rng = random.Random(seed)
    return Shop(rng, [rng.betavariate(1.2, 8.0) for _ in range(members)], share, worth)


def test_a_good_model_does_not_give_way_on_its_first_days() -> None:
    """The hold-out is shown lists for two weeks before there is a model."""
    assert [shop(seed, 400, 0.1).falls(3, before=13) for seed in range(8)] == [0] * 8


def test_a_good_model_does_not_give_way_later_either() -> None:
    assert [shop(seed, 150, 0.2).falls(30) for seed in range(3)] == [0] * 3


def test_a_model_that_is_clicked_half_as_often_gives_way_within_days() -> None:
    assert all(shop(seed, 1500, 0.1, worth=0.5).falls(10) > 0 for seed in range(2))
