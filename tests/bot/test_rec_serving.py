"""What serves while files break, the catalogue changes and people stop waiting."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot.rec_settings import RecommendationSettings
from handlers.recommending import Done, Offer, Wish
from recommender import artefact
from recommender.batch import pack
from scheduler.jobs import POPULAR
from store import Store
from store.catalogue import Item
from store.consents import PROFILING
from tests.blank import blank
from tests.bot.rec_world import DAY, PLAIN, RecWorld
from tests.recommender.arrays import fitted


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RecWorld]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    try:
        world = RecWorld(store, tmp_path / "models")
        await world.stock()
        yield world
    finally:
        await store.close()


def damage(world: RecWorld, *names: str) -> None:
    for name in names:
        (world.folder / f"{name}.npz").write_bytes(b"PK and then nothing")


async def models(world: RecWorld, *names: str) -> None:
    """One after the other was live, the last one is."""
    for seed, name in enumerate(names):
        await world.model(name, fitted(seed))
        world.clock.at += DAY


async def live(world: RecWorld) -> str:
    row = await world.store.rec_models.live()
    return "" if row is None else row.name


# Files that break


async def test_a_broken_file_at_the_start_leaves_the_newest_earlier_model_serving(
    world: RecWorld,
) -> None:
    lin = await world.member()
    await models(world, "m1", "m2", "m3", "m4")
    damage(world, "m4", "m3")
    world.serve(PLAIN)
    assert "m4.npz" in await world.service.load()
    status = world.service.status()
    assert (status.model, status.live) == ("m2", "m4")
    await world.picks(lin)
    (kept,) = await world.store.recommendations.lists_of(lin)
    assert (kept.ranker, kept.model) == ("ours", "m2")


async def test_owners_hear_of_a_broken_file_once(world: RecWorld) -> None:
    await models(world, "m1", "m2")
    damage(world, "m2")
    for _ in range(3):
        assert "m2.npz" in await world.service.changed()
    assert len(world.told) == 1


async def test_without_any_sound_file_the_popular_ones_are_shown(world: RecWorld) -> None:
    await models(world, "m1", "m2")
    damage(world, "m1", "m2")
    assert await world.service.load()
    status = world.service.status()
    assert (status.model, status.live) == ("", "m2")
    assert await world.items(await world.member()) == ["i-0", "i-1", "i-2"]


async def test_a_roll_back_from_a_broken_model_brings_back_one_that_works(
    world: RecWorld,
) -> None:
    await models(world, "m1", "m2", "m3")
    damage(world, "m2", "m3")
    await world.service.load()
    assert await world.service.roll_back("test", world.clock()) == (Done.DONE, "m1")
    assert world.service.status().model == world.service.status().live == await live(world) == "m1"
    assert world.service.status().last_status == "refused"


async def test_a_roll_back_to_what_cannot_be_used_changes_nothing(world: RecWorld) -> None:
    await models(world, "m1", "m2")
    await world.service.load()
    (world.folder / "m1.npz").unlink()
    assert await world.service.roll_back("test", world.clock()) == (Done.NOTHING, "")
    assert world.service.model == await live(world) == "m2"


# What a night worked out


async def night(world: RecWorld, member: int, *scores: float) -> None:
    made = [(f"i-{20 + at}", score, ()) for at, score in enumerate(scores)]
    await world.store.recommendations.keep_lists([(member, pack(made))], "m1", world.clock())


async def test_a_list_of_last_week_is_not_used(world: RecWorld) -> None:
    lin = await world.member()
    await models(world, "m1")
    await world.service.load()
    await night(world, lin, *range(100, 91, -1))
    world.clock.at += 2 * DAY
    assert await world.items(lin) == ["i-20", "i-21", "i-22"]
    world.clock.at += 1.5 * DAY
    assert "i-20" not in await world.items(lin)


async def test_what_chance_adds_to_the_nights_list_has_a_score(world: RecWorld) -> None:
    new = [Item(f"n-{at}", "course", "新", published_at=world.clock() - DAY) for at in range(5)]
    await world.put(*new)
    await models(world, "m1")
    world.serve(RecommendationSettings(holdout=0.0, explore=0.5))
    await world.service.load()
    lin = await world.member()
    world.clock.at += 60
    await night(world, lin, *range(100, 70, -3))
    for _ in range(8):
        for pick in await world.picks(lin, 3):
            assert math.isfinite(pick.score)
    shown = [
        place
        for kept in await world.store.recommendations.lists_of(lin, 50)
        for place in kept.shown
    ]
    assert any(place.explored and place.item_id.startswith("n-") for place in shown)
    assert all(place.score is not None and math.isfinite(place.score) for place in shown)


async def test_a_nights_list_with_scores_that_are_no_numbers_is_not_used(world: RecWorld) -> None:
    lin = await world.member()
    await models(world, "m1")
    await world.service.load()
    lines = [[f"i-{at}", math.nan if at % 2 else math.inf, []] for at in range(30)]
    await world.store.recommendations.keep_lists([(lin, json.dumps(lines))], "m1", world.clock())
    picks = await world.picks(lin)
    assert len(picks) == 3
    assert all(math.isfinite(pick.score) for pick in picks)


# The shelf


class Cutter:
    """Cuts words; `hold` makes it wait. texts: what was cut; most: how many did so at once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Event()
        self._now = 0
        self.most = 0

    def __call__(self, text: str) -> list[str]:
        self._now += 1
        self.most = max(self.most, self._now)
        self.begun.set()
        assert self.free.wait(30)
        self.texts.append(text)
        self._now -= 1
        return text.split()

    def hold(self) -> None:
        self.begun.clear()
        self.free.clear()


@pytest.fixture
async def cutter(world: RecWorld) -> AsyncIterator[Cutter]:
    cutter = Cutter()
    await models(world, "m1")
    world.serve(PLAIN, cut=cutter)
    yield cutter
    cutter.free.set()


async def begun(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


async def test_words_are_cut_of_new_items_only_and_once(world: RecWorld, cutter: Cutter) -> None:
    lin = await world.member()
    await world.put(Item("new", "course", "写作 入门"))
    await world.service.load()
    assert cutter.texts == ["写作 入门 "]
    await world.put(Item("newer", "course", "阅读"), Item("i-3", "course", "改了名"))
    world.clock.at += 3600
    assert {"new", "newer"} <= set(await world.items(lin, 32))
    await world.service.changed()
    assert cutter.texts == ["写作 入门 ", "阅读 "]
    await world.put(Item("new", "course", "写作 进阶"))
    await world.items(lin)
    assert cutter.texts[2:] == ["写作 进阶 "]


async def test_who_stops_waiting_loses_nothing(world: RecWorld, cutter: Cutter) -> None:
    lin = await world.member()
    await world.service.load()
    cutter.hold()
    await world.put(Item("new", "course", "写作"), Item("newer", "course", "阅读"))
    for _ in range(5):
        waiting = asyncio.create_task(world.items(lin))
        await begun(cutter.begun)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    cutter.free.set()
    assert "new" in await world.items(lin, 32)
    assert cutter.texts == ["写作 ", "阅读 "]
    assert cutter.most == 1


async def test_in_a_hurry_what_was_there_serves_meanwhile(world: RecWorld, cutter: Cutter) -> None:
    lin = await world.member()
    await world.service.load()
    cutter.hold()
    await world.put(Item("new", "course", "写作"))
    now = world.clock()
    found = await world.service.offer(lin, world.key(), "answer", 31, Wish(), now, hurry=True)
    assert len(found.picks) == 30
    await begun(cutter.begun)
    cutter.free.set()
    assert len(await world.items(lin, 31)) == 31


async def test_while_a_model_is_taken_over_the_one_before_serves(
    world: RecWorld, cutter: Cutter
) -> None:
    lin = await world.member()
    await world.put(Item("new", "course", "写作"))
    await world.service.load()
    cutter.hold()
    await world.put(Item("new", "course", "写作 二"))
    await world.model("m2", fitted(2))
    loading = asyncio.create_task(world.service.load())
    await begun(cutter.begun)
    now = world.clock()
    found = await world.service.offer(lin, world.key(), "answer", 3, Wish(), now, hurry=True)
    assert found.row is not None
    assert found.row.model == "m1"
    cutter.free.set()
    assert await loading == ""
    await world.picks(lin)
    (kept,) = await world.store.recommendations.lists_of(lin)
    assert kept.model == "m2"


async def test_another_order_of_what_is_popular_comes_without_another_shelf(
    world: RecWorld,
) -> None:
    lin = await world.member()
    assert await world.items(lin) == ["i-0", "i-1", "i-2"]
    await world.store.interactions.put_finding(POPULAR, json.dumps(["i-9", "i-8"]), 0.0)
    world.clock.at += 61
    # The old one goes out at once, and who comes next has the new one.
    await world.items(await world.member("o_mei"))
    await world.service.changed()
    assert (await world.items(await world.member("o_ming")))[:2] == ["i-9", "i-8"]


class Held(tuple[str, ...]):
    """Items that take a while to be read. begun: how often that was begun."""

    free = threading.Event()
    begun = threading.Semaphore(0)

    def __iter__(self) -> Iterator[str]:
        self.begun.release()
        assert self.free.wait(30)
        return super().__iter__()


async def test_who_stops_waiting_leaves_the_turn_to_the_thread(world: RecWorld) -> None:
    lin = await world.member()
    await world.items(lin)
    wish = Wish("x", among=Held(("i-1",)))
    waiting = [asyncio.create_task(world.items(lin, 1, wish)) for _ in range(2)]
    try:
        for _ in waiting:
            assert await asyncio.to_thread(Held.begun.acquire, timeout=30)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        third = asyncio.create_task(world.items(lin))
        done, _ = await asyncio.wait({third}, timeout=0.05)
        assert not done
    finally:
        Held.free.set()
    assert len(await third) == 3


# Lists that nobody has seen


async def test_an_offer_is_written_when_it_is_shown_and_only_what_is(world: RecWorld) -> None:
    lin, service = await world.member(), world.service
    key, now = world.key(), world.clock()
    found = await service.offer(lin, key, "campaign", 3, Wish(), now)
    assert [pick.item for pick in found.picks] == ["i-0", "i-1", "i-2"]
    assert world.shown == []
    assert await world.store.recommendations.lists_of(lin) == []
    number, picks = await service.shown(found, ["i-1"])
    assert [pick.item for pick in picks] == ["i-1"]
    assert world.shown == [("campaign", "popular")]
    again = await service.offer(lin, key, "campaign", 3, Wish(), now)
    assert again == Offer(picks, number)
    assert await service.shown(again) == (number, picks)
    await service.take_back(number)
    await service.take_back(number)
    assert await world.store.recommendations.lists_of(lin) == []
    assert await service.shown(found, []) == await service.shown(Offer()) == (0, ())


# What does not need a profile


async def test_beside_an_item_the_popular_has_something_in_common_with_it(
    world: RecWorld,
) -> None:
    await world.put(
        Item("a", "article", "一", tags=("写作",)), Item("b", "course", "二", tags=("写作",))
    )
    await models(world, "m1")
    world.serve(RecommendationSettings(holdout=0.5, explore=0.0))
    await world.service.load()
    held = 0
    for at in range(12):
        member = await world.member(f"o_{at}")
        items = await world.items(member, 3, Wish(near="a"))
        (kept,) = await world.store.recommendations.lists_of(member)
        if kept.arm == "holdout":
            held += 1
            assert items == ["b"]
    assert held


async def test_what_was_given_back_stays_away_without_a_profile(world: RecWorld) -> None:
    lin = await world.member()
    await world.did(lin, "purchase", "i-0", order_id="o1", amount_cents=100)
    await world.did(lin, "refund", "i-0", order_id="o1", amount_cents=100)
    await world.store.consents.decide(lin, PROFILING, False, world.clock(), "chat")
    assert "i-0" not in await world.items(lin, 30)


async def test_what_a_model_learned_before_somebody_agreed_is_not_looked_at(
    world: RecWorld,
) -> None:
    made = fitted()
    made = dataclasses.replace(made, data={**made.data, "until": world.clock()})
    # The same deeds and features; only one of them is known to the model.
    stranger, _, known = [await world.member(f"o_{at}") for at in range(3)]
    assert known in made.members
    assert stranger not in made.members
    await world.model("m1", made)
    await world.service.load()

    async def ranked(member: int) -> list[str]:
        found = await world.service.offer(member, world.key(), "chat", 30, Wish(), world.clock())
        return [pick.item for pick in found.picks]

    assert await ranked(known) != await ranked(stranger)
    world.clock.at += DAY
    for member in (known, stranger):
        await world.store.consents.decide(member, PROFILING, False, world.clock(), "chat")
        await world.store.consents.decide(member, PROFILING, True, world.clock(), "chat")
    assert await ranked(known) == await ranked(stranger)


async def test_a_file_that_was_written_anew_is_read_again(world: RecWorld) -> None:
    row = await world.model("m1")
    await world.service.load()
    lin = await world.member()
    before = await world.items(lin)
    checksum = artefact.save(fitted(5), world.folder / "m1.npz")
    assert await world.store.rec_models.rewritten(row.id, row.checksum, checksum)
    assert await world.service.changed() == ""
    assert await world.items(lin, 3, Wish(topic="课程")) != before


async def test_what_this_wish_has_shown_is_left_out_and_nothing_else(world: RecWorld) -> None:
    lin = await world.member()
    assert await world.items(lin) == ["i-0", "i-1", "i-2"]
    assert "i-0" in await world.items(lin, 29, Wish(instead=True, without=("i-2",)))
    assert "i-2" not in await world.items(lin, 29, Wish(instead=True, without=("i-2", "gone")))


async def test_a_list_of_two_rankers_has_no_more_places_than_can_be_counted_out(
    world: RecWorld,
) -> None:
    await world.model()
    await world.service.load()
    tests = world.store.rec_tests
    assert await tests.begin("ours", "popular", "interleave", 1.0, "t", world.clock(), "salt")
    picks = await world.picks(await world.member(), 30)
    assert len(picks) == 12
