"""Who is shown what: arms, masks, models that change or break, and what is written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.rec_settings import RecommendationSettings
from handlers.recommending import Done, Reason, Wish
from recommender.batch import lists, pack
from recommender.scoring import Scorer, Who
from scheduler.jobs import POPULAR
from scheduler.rec_watch import FALLBACK
from store import Store
from store.catalogue import Item
from store.consents import PROFILING
from tests.blank import blank
from tests.bot.rec_world import DAY, PLAIN, RecWorld
from tests.recommender.arrays import fitted

ORDER = [f"i-{at}" for at in range(30)]


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


# Without a model


async def test_without_a_model_the_popular_ones_are_shown(world: RecWorld) -> None:
    lin = await world.member()
    await world.store.interactions.put_finding(POPULAR, json.dumps(["i-7", "gone", "i-3"]), 0.0)
    picks = await world.picks(lin, 4)
    assert [pick.item for pick in picks] == ["i-7", "i-3", "i-0", "i-1"]
    assert picks[0].why == (Reason("popular", "", 1.0),)
    assert world.shown == [("chat", "popular")]


async def test_a_stranger_and_an_empty_shelf_get_no_list(world: RecWorld, tmp_path: Path) -> None:
    assert await world.picks(999) == []
    lin = await world.member()
    assert await world.picks(lin, 0) == []
    for at in range(30):
        await world.store.catalogue.archive(f"i-{at}", world.clock())
    assert await world.picks(lin) == []
    assert await world.store.recommendations.lists_of(lin) == []


async def test_switched_off_nobody_is_recommended_anything(world: RecWorld) -> None:
    lin = await world.member()
    world.serve(RecommendationSettings(enabled=False))
    assert await world.picks(lin) == []
    assert await world.service.train() is Done.OFF


# What may be shown


async def test_what_one_has_gave_back_or_refused_is_not_shown(world: RecWorld) -> None:
    lin = await world.member()
    await world.did(lin, "purchase", "i-0", order_id="o1", amount_cents=100)
    await world.did(lin, "complete", "i-1")
    await world.did(lin, "purchase", "i-2", order_id="o2", amount_cents=100)
    await world.did(lin, "refund", "i-2", order_id="o2", amount_cents=100)
    await world.store.recommendations.dislike(lin, "i-3", world.clock())
    assert await world.items(lin) == ["i-4", "i-5", "i-6"]


async def test_the_next_part_comes_when_the_first_is_taken(world: RecWorld) -> None:
    lin = await world.member()
    await world.put(Item("i-0", "course", "二", requires=("i-5",), published_at=1e9))
    assert "i-0" not in await world.items(lin, 30)
    await world.did(lin, "enroll", "i-5")
    assert "i-0" in await world.items(lin, 30)


async def test_a_higher_tier_opens_what_is_for_lower_ones(world: RecWorld) -> None:
    lin = await world.member()
    await world.put(
        Item("i-0", "course", "月", needs_tier="month"),
        Item("i-1", "course", "年", needs_tier="year"),
    )
    world.serve(PLAIN, tiers=("month", "year"))
    assert not {"i-0", "i-1"} & set(await world.items(lin, 30))
    await world.store.memberships.give(
        lin, "month", world.clock(), source_key="t", by="t", tiers=("month", "year")
    )
    assert {"i-0", "i-1"} & set(await world.items(lin, 30)) == {"i-0"}


async def test_wishes_for_a_topic_and_a_price_hold(world: RecWorld) -> None:
    lin = await world.member()
    await world.put(
        Item("py", "course", "Ｐython 爬虫", price_cents=9900),
        Item("py2", "course", "数据", tags=("PYTHON",), price_cents=19900),
    )
    assert set(await world.items(lin, 9, Wish("python"))) == {"py", "py2"}
    assert await world.items(lin, 9, Wish("python", 10_000)) == ["py"]
    assert await world.items(lin, 9, Wish("烹饪")) == []
    assert await world.items(lin, 9, Wish("找过了", among=("i-4", "nowhere"))) == ["i-4"]
    (kept, *_) = await world.store.recommendations.lists_of(lin)
    assert kept.asked == "找过了"


async def test_another_batch_is_another_one_until_nothing_is_left(world: RecWorld) -> None:
    lin = await world.member()
    first = await world.items(lin, 12)
    second = await world.items(lin, 12, Wish(instead=True))
    third = await world.items(lin, 12, Wish(instead=True))
    assert len({*first, *second, *third}) == 30
    assert await world.items(lin, 12, Wish(instead=True)) == []
    world.clock.at += 2 * DAY
    assert len(await world.items(lin, 12, Wish(instead=True))) == 12


async def test_what_was_shown_and_ignored_makes_room(world: RecWorld) -> None:
    lin = await world.member()
    shown = [await world.items(lin) for _ in range(4)]
    assert shown[0] == ["i-0", "i-1", "i-2"]
    assert "i-0" not in shown[2]
    assert len({item for one in shown for item in one}) >= 6
    # What was looked at stays.
    mei = await world.member("o_mei")
    for _ in range(4):
        world.clock.at += 60
        last = await world.items(mei)
        world.clock.at += 60
        await world.did(mei, "click", "i-0", source="recommendation")
    assert "i-0" in last


async def test_what_goes_with_an_item_has_something_in_common(world: RecWorld) -> None:
    await world.put(
        Item("a", "course", "一", tags=("写作",), series="营"),
        Item("b", "course", "二", tags=("写作",), series="营"),
        Item("c", "course", "三", tags=("写作",)),
    )
    lin = await world.member()
    assert await world.items(lin, 5, Wish(near="a")) == ["b", "c"]
    assert [pick.item for pick in await world.service.similar("a", 5)] == ["b", "c"]
    assert await world.service.similar("a", 0) == await world.service.similar("?", 5) == ()


# With a model


async def test_a_model_ranks_by_what_the_member_did(world: RecWorld) -> None:
    lin, mei = await world.member(), await world.member("o_mei")
    await world.model()
    assert await world.service.load() == ""
    before = await world.picks(lin, 5)
    await world.did(lin, "view", "i-9")
    after = await world.picks(lin, 5)
    assert [pick.item for pick in before] != [pick.item for pick in after]
    assert await world.items(mei, 5) == [pick.item for pick in before]
    why = [reason for pick in after for reason in pick.why]
    assert Reason("viewed", "i-9", why[0].share) in why or any(r.name == "i-9" for r in why)
    assert {kept.model for kept in await world.store.recommendations.lists_of(lin)} == {"m1"}
    assert world.shown == [("chat", "ours")] * 3


async def test_a_purchase_changes_the_next_list(world: RecWorld) -> None:
    lin = await world.member()
    await world.model()
    await world.service.load()
    (first, *_) = await world.items(lin)
    await world.did(lin, "purchase", first, order_id="o1", amount_cents=1)
    after = await world.picks(lin, 30)
    assert first not in [pick.item for pick in after]
    assert any(
        reason.kind == "bought" and reason.name == first for pick in after for reason in pick.why
    )


async def test_the_same_message_gets_the_same_list(world: RecWorld) -> None:
    lin = await world.member()
    world.serve(RecommendationSettings(holdout=0.0, explore=0.5))
    await world.model()
    await world.service.load()
    key = world.key()
    first = await world.picks(lin, 5, key=key)
    await world.did(lin, "purchase", first[0].item, order_id="o1", amount_cents=1)
    assert await world.picks(lin, 5, key=key) == first
    both = await asyncio.gather(*(world.picks(lin, 5, key=b"x" * 16) for _ in range(2)))
    assert both[0] == both[1]


async def test_a_new_item_is_tried_out_and_the_probability_is_kept(world: RecWorld) -> None:
    await world.put(Item("fresh", "course", "新", published_at=world.clock() - DAY))
    await world.model()
    world.serve(RecommendationSettings(holdout=0.0, explore=0.5))
    await world.service.load()
    lin = await world.member()
    found = []
    for _ in range(12):
        await world.picks(lin, 4)
    for kept in await world.store.recommendations.lists_of(lin, 50):
        found += [(one.item_id, one.propensity) for one in kept.shown if one.explored]
        assert all(0 < one.propensity <= 1 for one in kept.shown)
    assert "fresh" in dict(found)
    assert await world.picks(lin, 4, surface="campaign")
    (kept, *_) = await world.store.recommendations.lists_of(lin, 1)
    assert [one.propensity for one in kept.shown] == [1.0] * 4


async def test_what_a_night_worked_out_is_used_until_something_happens(world: RecWorld) -> None:
    lin = await world.member()
    await world.model()
    await world.service.load()
    made = [(f"i-{at}", 100.0 - at, ()) for at in (20, 21, 22, 23, 24, 25, 26, 27, 28)]
    await world.store.recommendations.keep_lists([(lin, pack(made))], "m1", world.clock())
    assert await world.items(lin) == ["i-20", "i-21", "i-22"]
    fresh = await world.items(await world.member("o_mei"))
    assert fresh != ["i-20", "i-21", "i-22"]
    world.clock.at += 60
    await world.did(lin, "view", "i-20")
    assert await world.items(lin) != ["i-20", "i-21", "i-22"]


async def test_a_list_of_another_model_is_not_used(world: RecWorld) -> None:
    lin = await world.member()
    await world.model()
    await world.service.load()
    ((_, lines),) = lists(Scorer(fitted()), [Who(lin)], count=20)
    await world.store.recommendations.keep_lists([(lin, pack(lines[10:]))], "m0", world.clock())
    assert (await world.items(lin))[0] == lines[0][0]


async def test_things_that_go_together_come_from_the_model(world: RecWorld) -> None:
    await world.model()
    await world.service.load()
    near = [pick.item for pick in await world.service.similar("i-5", 3)]
    lin = await world.member()
    picks = await world.picks(lin, 3, Wish(near="i-5"))
    assert [pick.item for pick in picks] == near
    assert "i-5" not in near
    assert picks[0].why == (Reason("viewed", "i-5", 1.0),)


async def test_why_is_told_for_any_item(world: RecWorld) -> None:
    lin = await world.member()
    await world.did(lin, "complete", "i-9")
    now = world.clock()
    assert await world.service.why(lin, "i-3", now) == (Reason("popular", "", 1.0),)
    await world.model()
    await world.service.load()
    there = int(fitted().sequel[9].indices[0])
    told = await world.service.why(lin, f"i-{there}", now)
    assert any(reason.kind == "finished" and reason.name == "i-9" for reason in told)
    assert await world.service.why(lin, "nowhere", now) == ()
    assert await world.service.why(999, "i-3", now) == ()


# Who sees what is popular


async def test_who_withheld_profiling_sees_what_is_popular(world: RecWorld) -> None:
    lin = await world.member()
    await world.did(lin, "view", "i-9")
    await world.model()
    await world.service.load()
    await world.store.consents.decide(lin, PROFILING, False, world.clock(), "chat")
    picks = await world.picks(lin)
    assert [pick.item for pick in picks] == ["i-0", "i-1", "i-2"]
    assert {pick.why for pick in picks} == {(Reason("popular", "", 1.0),)}
    (kept,) = await world.store.recommendations.lists_of(lin)
    assert (kept.ranker, kept.arm, kept.model) == ("popular", "", "")
    world.serve(PLAIN, opt_in=True)
    await world.service.load()
    assert await world.items(await world.member("o_mei")) == ["i-0", "i-1", "i-2"]


async def test_the_hold_out_is_the_same_members_for_ever(world: RecWorld) -> None:
    await world.model()
    members = [await world.member(f"o_{at}") for at in range(60)]

    async def arms() -> list[str]:
        world.serve(RecommendationSettings(holdout=0.3, explore=0.0))
        await world.service.load()
        for member in members:
            await world.picks(member, 1)
        newest = [(await world.store.recommendations.lists_of(one, 1))[0] for one in members]
        assert all((one.ranker == "popular") == (one.arm == "holdout") for one in newest)
        return [one.arm for one in newest]

    first = await arms()
    assert 6 <= first.count("holdout") <= 32
    assert await arms() == first


async def test_a_fall_back_shows_everybody_what_is_popular_until_it_ends(world: RecWorld) -> None:
    lin = await world.member()
    await world.model()
    await world.service.load()
    ours = await world.items(lin)
    why = json.dumps({"why": "点击少了"})
    await world.store.interactions.put_finding(FALLBACK, why, world.clock())
    assert await world.items(lin) != ours
    (kept, *_) = await world.store.recommendations.lists_of(lin)
    assert (kept.ranker, kept.arm) == ("popular", "fallback")
    assert world.service.status().fallback == "点击少了"
    assert await world.service.resume("test", world.clock()) is Done.DONE
    assert await world.service.resume("test", world.clock()) is Done.NOTHING
    await world.items(lin)
    (kept, *_) = await world.store.recommendations.lists_of(lin)
    assert (kept.ranker, kept.arm) == ("ours", "")


@pytest.mark.parametrize("method", ["split", "interleave"])
async def test_a_running_test_decides_who_ranks(world: RecWorld, method: str) -> None:
    await world.model()
    await world.service.load()
    test = await world.store.rec_tests.begin(
        "ours", "item_item", method, 1.0, "t", world.clock(), "salt"
    )
    assert test is not None
    by = set()
    for at in range(12):
        member = await world.member(f"o_{at}")
        await world.did(member, "view", f"i-{at}")
        await world.picks(member, 4)
        (kept,) = await world.store.recommendations.lists_of(member)
        assert (kept.arm, kept.test_id) == ("test", test.id)
        by.add(kept.ranker)
        rankers = {one.ranker for one in kept.shown}
        if method == "interleave":
            assert rankers == {"ours", "item_item"}
            assert all(0 < one.propensity <= 1 for one in kept.shown)
        else:
            assert rankers == {kept.ranker}
    assert by == ({"interleaved"} if method == "interleave" else {"ours", "item_item"})


# Models that change


async def test_a_better_model_takes_over_and_back(world: RecWorld) -> None:
    lin = await world.member()
    await world.model("m1", fitted(1))
    await world.service.load()
    first = await world.items(lin)
    world.clock.at += DAY
    await world.model("m2", fitted(2))
    assert await world.service.changed() == ""
    second = await world.items(lin)
    assert second != first
    status = world.service.status()
    assert (status.model, status.last, status.last_status) == ("m2", "m2", "live")
    assert status.figures == {"ndcg10": 0.4}
    assert status.missing == (("members", 3, 30),)
    assert await world.service.roll_back("test", world.clock()) == (Done.DONE, "m1")
    assert world.service.model == "m1"
    assert await world.service.roll_back("test", world.clock()) == (Done.NOTHING, "")


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "foreign"])
async def test_a_broken_model_leaves_the_old_one_serving(world: RecWorld, damage: str) -> None:
    lin = await world.member()
    await world.model("m1", fitted(1))
    await world.service.load()
    first = await world.items(lin)
    await world.model("m2", fitted(2))
    file = world.folder / "m2.npz"
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        file.write_bytes(whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:])
    else:
        file.write_bytes((world.folder / "m1.npz").read_bytes())
    said = await world.service.changed()
    assert "m2.npz" in said
    assert world.told == [said]
    mei = await world.member("o_mei")
    assert await world.items(mei) == first
    assert world.service.model == "m1"
    # Mended, it serves at the next change.
    file.write_bytes(whole)
    assert await world.service.changed() == ""
    assert world.service.model == "m2"


async def test_a_catalogue_that_changes_is_seen_by_the_next_list(world: RecWorld) -> None:
    lin = await world.member()
    await world.model()
    await world.service.load()
    first = await world.items(lin, 30)
    await world.store.catalogue.archive(first[0], world.clock())
    await world.put(Item("brand-new", "course", "新的"))
    later = await world.items(lin, 31)
    assert first[0] not in later
    assert "brand-new" in later


async def test_lists_are_made_while_models_change(world: RecWorld) -> None:
    await world.model("m0", fitted(0))
    members = [await world.member(f"o_{at}") for at in range(20)]

    async def ask(member: int) -> int:
        return len(await world.picks(member, 5))

    async def swap() -> None:
        for at in range(1, 4):
            await world.model(f"m{at}", fitted(at))
            await world.service.changed()

    *counts, _ = await asyncio.gather(*(ask(member) for member in members * 2), swap())
    assert counts == [5] * 40
    assert world.service.model == "m3"


async def test_training_is_the_trainers(world: RecWorld) -> None:
    assert await world.service.train() is Done.STARTED
    assert world.trainer.asked == 1
