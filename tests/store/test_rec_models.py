"""Models: one serves at most, the one before comes back, what was refused does not."""

from __future__ import annotations

import asyncio

from store import Store
from tests.store.rows import NOW


async def made(store: Store, name: str) -> int:
    model = await store.rec_models.register(name, NOW, NOW - 9, NOW, f"sha {name}", "{}")
    return model.id


async def status(store: Store) -> dict[str, str]:
    return {one.name: one.status for one in await store.rec_models.newest()}


async def test_nothing_serves_before_something_was_trained(store: Store) -> None:
    assert await store.rec_models.live() is None
    assert await store.rec_models.roll_back(NOW) is None
    assert await store.rec_models.newest() == []
    assert await store.rec_models.keepers(5) == set()


async def test_a_candidate_is_written_down_once(store: Store) -> None:
    first = await store.rec_models.register("a", NOW, 1.0, 2.0, "sha", '{"ndcg": 1}')
    again = await store.rec_models.register("a", NOW + 9, 3.0, 4.0, "other", "{}")
    assert first == again
    assert (first.status, first.live_at, first.ended_at) == ("candidate", None, None)


async def test_who_goes_live_retires_the_one_before(store: Store) -> None:
    a, b = await made(store, "a"), await made(store, "b")
    assert await store.rec_models.go_live(a, NOW)
    assert await store.rec_models.go_live(b, NOW + 1)
    assert await store.rec_models.go_live(b, NOW + 2), "a second time changes nothing"
    assert await status(store) == {"a": "retired", "b": "live"}
    live = await store.rec_models.live()
    assert live is not None
    assert (live.name, live.live_at) == ("b", NOW + 1)
    assert not await store.rec_models.go_live(a, NOW + 3), "only a roll-back brings it back"
    assert not await store.rec_models.go_live(77, NOW)


async def test_what_was_refused_never_serves(store: Store) -> None:
    a, b = await made(store, "a"), await made(store, "b")
    await store.rec_models.go_live(a, NOW)
    assert await store.rec_models.refuse(b, "worse than what is popular", NOW + 1)
    assert not await store.rec_models.refuse(b, "again", NOW + 2)
    assert not await store.rec_models.refuse(a, "it serves", NOW + 2)
    assert not await store.rec_models.go_live(b, NOW + 3)
    kept = await store.rec_models.get(b)
    assert kept is not None
    assert (kept.why, kept.ended_at) == ("worse than what is popular", NOW + 1)


async def test_a_roll_back_passes_by_what_was_rolled_back_or_refused(store: Store) -> None:
    numbers = {name: await made(store, name) for name in "abcd"}
    await store.rec_models.go_live(numbers["a"], NOW)
    await store.rec_models.go_live(numbers["b"], NOW + 1)
    await store.rec_models.refuse(numbers["c"], "bad", NOW + 2)
    back = await store.rec_models.roll_back(NOW + 3, "rolled back by cli")
    assert back is not None
    assert (back.name, back.status, back.live_at, back.why) == ("a", "live", NOW + 3, "")
    assert await store.rec_models.roll_back(NOW + 4) is None, "nothing served before"
    await store.rec_models.go_live(numbers["d"], NOW + 5)
    again = await store.rec_models.roll_back(NOW + 6)
    assert again is not None
    assert again.name == "a", "b was rolled back for a reason"
    assert await status(store) == dict(zip("abcd", ("live", "refused", "refused", "refused")))  # noqa: B905


async def test_two_that_go_live_at_once_leave_one(store: Store) -> None:
    numbers = [await made(store, f"m{n}") for n in range(8)]
    await asyncio.gather(*(store.rec_models.go_live(one, NOW) for one in numbers))
    assert sorted((await status(store)).values()) == ["live"] + ["retired"] * 7


async def test_files_stay_of_what_may_serve_again(store: Store) -> None:
    for name in "abcde":
        await store.rec_models.go_live(await made(store, name), NOW)
    await store.rec_models.refuse(await made(store, "bad"), "bad", NOW)
    await made(store, "new")
    assert await store.rec_models.keepers(2) == {"d", "e", "new"}
    for _ in range(4):
        await store.rec_models.roll_back(NOW)
    assert await store.rec_models.keepers(2) == {"a", "new"}


async def test_a_file_that_is_written_anew_changes_its_sum_once(store: Store) -> None:
    a = await made(store, "a")
    assert await store.rec_models.rewritten(a, "sha a", "new")
    assert not await store.rec_models.rewritten(a, "sha a", "newer"), "another one was first"
    found = await store.rec_models.get(a)
    assert found is not None
    assert (found.checksum, found.status) == ("new", "candidate")
