"""The world of known tastes: what is planted holds, and the same seed gives the same world."""

from __future__ import annotations

from collections import Counter

from sandbox.tastes import DAY_S, SUBJECTS, Plan, World, features

PLAN = Plan(now=0.0, seed=3, members=60, items=30, days=10, arrivals=(2, 5), drift=0.0)


def test_the_same_seed_gives_the_same_world_and_another_one_another() -> None:
    one, same, other = World(PLAN), World(PLAN), World(Plan(now=0.0, seed=4, members=60, items=30))
    assert one.things == same.things
    assert one.past() == same.past()
    assert [one.dawn(day) for day in range(3)] == [same.dawn(day) for day in range(3)]
    assert one.things != other.things


def test_tastes_are_shares_and_everybody_has_a_favourite() -> None:
    world = World(PLAN)
    for person in world.people.values():
        assert abs(sum(person.taste) - 1.0) < 1e-9
        assert max(person.taste) == person.taste[person.favourite]
    assert len({one.favourite for one in world.people.values()}) == len(SUBJECTS)


def test_what_fits_is_clicked_more_and_what_stands_further_down_less() -> None:
    world = World(PLAN)
    person = next(iter(world.people.values()))
    thing = max(world.things.values(), key=lambda one: one.good)
    thing.subject = person.favourite
    first = world.liking(person, thing, 0)
    assert world.liking(person, thing, 2) < first <= 1.0
    thing.subject = min(range(len(SUBJECTS)), key=person.taste.__getitem__)
    assert world.liking(person, thing, 0) < first / 2
    assert world.best(person, 3) > 0.0
    assert world.best(person, 0) == 0.0


def test_clicks_come_as_often_as_they_are_likely() -> None:
    world = World(PLAN)
    person = world.people[1]
    thing = max(world.things.values(), key=lambda one: world.liking(person, one, 0))
    # Clicked once before: from here on it is as likely every time.
    person.clicked.add(thing.id)
    likely = world.liking(person, thing, 0)
    hits = sum(
        any(act.kind == "click" for act in world.shown(person, [thing.id], 0.0))
        for _ in range(3000)
    )
    assert abs(hits / 3000 - likely) < 0.04


def test_nothing_is_bought_twice_and_only_what_was_clicked() -> None:
    world = World(PLAN)
    person, items = world.people[1], list(world.things)
    acts = [act for turn in range(300) for act in world.shown(person, items[:3], float(turn))]
    bought = [act.item for act in acts if act.kind == "purchase"]
    assert bought
    assert len(bought) == len(set(bought))
    assert set(bought) <= {act.item for act in acts if act.kind == "click"}
    assert all(act.cents > 0 for act in acts if act.kind == "purchase")


def test_good_items_arrive_that_do_not_look_it() -> None:
    world = World(PLAN)
    came = [thing for day in range(6) for thing in world.dawn(day)[0]]
    planted = [one for one in came if one.planted]
    assert [one.came for one in planted] == [2, 5]
    for one in planted:
        assert one.good == 1.0
        assert features(one)["tag"] == ""
        assert not any(subject in features(one)["title"] for subject in SUBJECTS)
    tagged = Counter(bool(features(one)["tag"]) for one in world.things.values())
    assert tagged[True] > tagged[False] > 0


def test_who_is_new_comes_by_on_their_first_day_and_days_are_in_order() -> None:
    world = World(Plan(now=1000.0, seed=1, members=20, items=10, come=3.0, visits=0.5))
    _, people = world.dawn(0)
    visits = world.visitors(0)
    assert people
    assert {one.id for one in people} <= {person.id for _, person in visits}
    times = [at for at, _ in visits]
    assert times == sorted(times)
    assert all(1000.0 <= at < 1000.0 + DAY_S for at in times)


def test_drift_turns_tastes_and_without_it_they_stay() -> None:
    still, turning = World(PLAN), World(Plan(now=0.0, seed=3, members=60, items=30, drift=1.0))
    before = {one.id: list(one.taste) for one in still.people.values()}
    still.dawn(0)
    turning.dawn(0)
    assert all(still.people[number].taste == taste for number, taste in before.items())
    assert all(turning.people[number].taste != taste for number, taste in before.items())
