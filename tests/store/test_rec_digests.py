"""Letters: planned once a week, settled once."""

from __future__ import annotations

from store import Store
from tests.store.rows import LIN, MEI, NOW, answered

WEEK = "2026-W47"


async def test_a_letter_is_planned_once_a_week(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    assert await store.rec_digests.plan(lin, WEEK, NOW)
    assert not await store.rec_digests.plan(lin, WEEK, NOW + 1)
    assert await store.rec_digests.plan_many([lin, mei, 999], WEEK, NOW) == [mei]
    assert await store.rec_digests.plan(lin, "2026-W48", NOW)
    assert await store.rec_digests.had([lin, mei, 999], WEEK) == {lin, mei}
    assert await store.rec_digests.had([], WEEK) == set()


async def test_what_a_crash_left_planned_is_found_and_ends_once(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    await store.rec_digests.plan_many([lin, mei], WEEK, NOW)
    assert await store.rec_digests.open(WEEK) == [lin, mei]
    assert await store.rec_digests.settle(lin, WEEK, "sent", 12)
    assert not await store.rec_digests.settle(lin, WEEK, "unreachable")
    assert not await store.rec_digests.settle(mei, "2026-W48", "sent")
    assert await store.rec_digests.open(WEEK) == [mei]
    assert await store.rec_digests.counts(WEEK) == {"sent": 1, "planned": 1}


async def test_old_letters_go(store: Store) -> None:
    lin = await answered(store, 1, LIN)
    for number in range(3):
        await store.rec_digests.plan(lin, f"2026-W4{number}", NOW + number)
    assert await store.rec_digests.remove(NOW + 2) == 2
    assert await store.rec_digests.counts("2026-W42") == {"planned": 1}
