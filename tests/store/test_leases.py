"""One holder at a time, and a number that tells a former holder from the present one."""

from __future__ import annotations

from store import Store
from store.dialect import Connection
from store.leases import Hold, holds
from tests.store.rows import NOW

TTL = 30.0


async def held(store: Store, hold: Hold, now: float) -> bool:
    """Whether a transaction would believe this holder."""

    def run(conn: Connection) -> bool:
        return holds(conn, hold, now)

    return await store.db.write(run)


async def test_the_first_gets_it_and_the_second_does_not(store: Store) -> None:
    first = await store.leases.take("campaigns", "a", NOW, TTL)
    assert first == Hold("campaigns", "a", 1)
    assert await store.leases.take("campaigns", "b", NOW + TTL - 0.001, TTL) is None
    assert await store.leases.take("other", "b", NOW, TTL) == Hold("other", "b", 1)


async def test_its_holder_takes_it_again_under_the_same_number(store: Store) -> None:
    first = await store.leases.take("campaigns", "a", NOW, TTL)
    assert first == await store.leases.take("campaigns", "a", NOW + 29, TTL)
    assert await store.leases.take("campaigns", "b", NOW + 31, TTL) is None


async def test_one_that_has_ended_is_another_one_even_for_its_holder(store: Store) -> None:
    first = await store.leases.take("campaigns", "a", NOW, TTL)
    again = await store.leases.take("campaigns", "a", NOW + TTL, TTL)
    assert first is not None
    assert again is not None
    assert again.fence == first.fence + 1
    assert not await held(store, first, NOW + TTL)
    assert not await store.leases.renew(first, NOW + TTL, TTL)


async def test_who_was_asleep_is_not_believed(store: Store) -> None:
    asleep = await store.leases.take("campaigns", "a", NOW, TTL)
    awake = await store.leases.take("campaigns", "b", NOW + TTL, TTL)
    assert asleep is not None
    assert awake is not None
    assert awake.fence == 2
    for now in (NOW, NOW + 1, NOW + 2 * TTL - 1):
        assert not await held(store, asleep, now)
    assert await held(store, awake, NOW + TTL)
    # Letting go of what is another's changes nothing.
    await store.leases.release(asleep, NOW + TTL)
    assert await held(store, awake, NOW + TTL)


async def test_renewing_keeps_it(store: Store) -> None:
    hold = await store.leases.take("campaigns", "a", NOW, TTL)
    assert hold is not None
    assert await store.leases.renew(hold, NOW + 29, TTL)
    assert await held(store, hold, NOW + 58)
    assert not await held(store, hold, NOW + 59)


async def test_released_it_is_free_at_once(store: Store) -> None:
    hold = await store.leases.take("campaigns", "a", NOW, TTL)
    assert hold is not None
    await store.leases.release(hold, NOW)
    assert not await held(store, hold, NOW)
    assert await store.leases.take("campaigns", "b", NOW, TTL) == Hold("campaigns", "b", 2)


async def test_who_takes_it_knows_since_when_nobody_had_it(store: Store) -> None:
    first = await store.leases.take("campaigns", "a", NOW, TTL)
    assert first is not None
    assert first.before == 0.0
    went_on = await store.leases.take("campaigns", "a", NOW + 10, TTL)
    assert went_on is not None
    assert went_on.before == 0.0
    after_a_kill = await store.leases.take("campaigns", "b", NOW + 500, TTL)
    assert after_a_kill is not None
    assert after_a_kill.before == NOW + 40
    await store.leases.release(after_a_kill, NOW + 501)
    in_order = await store.leases.take("campaigns", "c", NOW + 600, TTL)
    assert in_order is not None
    assert in_order.before == NOW + 501


async def test_a_clock_that_was_set_back_does_not_lock_it_for_a_day(store: Store) -> None:
    await store.leases.take("campaigns", "a", NOW + 86_400, TTL)
    assert await store.leases.take("campaigns", "b", NOW, TTL) == Hold("campaigns", "b", 2)
