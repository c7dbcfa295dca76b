"""Token buckets: never more in a minute than the rate and one burst, whoever asks."""

from __future__ import annotations

import random

import pytest

from store import Store
from store.dialect import Connection
from store.paces import Taken, put_back
from tests.store.rows import NOW


async def taken(store: Store, want: int, now: float, *, per_minute: float = 60.0) -> Taken:
    """From a bucket of ten."""
    return await store.paces.take("custom:mp", want, per_minute, 10, now)


async def test_a_new_bucket_is_full_and_then_fills_by_its_rate(store: Store) -> None:
    assert (await taken(store, 4, NOW)).count == 4
    assert (await taken(store, 100, NOW)).count == 6
    empty = await taken(store, 1, NOW)
    assert empty.count == 0
    assert empty.again_at == pytest.approx(NOW + 1, abs=1e-3)
    assert (await taken(store, 1, empty.again_at)).count == 1
    assert (await taken(store, 100, NOW + 3600)).count == 10


async def test_what_was_not_used_can_be_put_back(store: Store) -> None:
    await taken(store, 10, NOW)

    def run(conn: Connection) -> None:
        put_back(conn, "custom:mp", 3)

    await store.db.write(run)
    assert (await taken(store, 10, NOW)).count == 3


async def test_a_closed_route_gives_nothing_until_its_moment(store: Store) -> None:
    await store.paces.close("custom:mp", NOW + 60, NOW)
    assert await taken(store, 1, NOW + 59) == Taken(0, NOW + 60)
    # An earlier moment does not open it.
    await store.paces.close("custom:mp", NOW + 10, NOW)
    assert (await taken(store, 1, NOW + 59)).count == 0
    assert (await taken(store, 1, NOW + 61)).count == 1
    assert (await store.paces.take("mass:mp", 1, 30, 3, NOW)).count == 1


async def test_a_clock_that_goes_back_gives_nothing_for_it(store: Store) -> None:
    await taken(store, 10, NOW)
    assert (await taken(store, 10, NOW - 3600)).count == 0
    assert (await taken(store, 10, NOW - 3598)).count == 2


async def test_a_route_that_a_wrong_clock_closed_for_weeks_opens(store: Store) -> None:
    await store.paces.close("custom:mp", NOW + 30 * 86_400, NOW + 30 * 86_400 - 60)
    assert (await taken(store, 1, NOW)).count <= 1
    assert (await taken(store, 1, NOW + 2)).count == 1


async def test_no_minute_has_more_than_the_rate_and_a_burst(store: Store) -> None:
    rng = random.Random(5)
    at, went = NOW, []
    for _ in range(400):
        at += rng.expovariate(3.0)
        got = await taken(store, rng.randint(1, 5), at, per_minute=90)
        went += [at] * got.count
    for first in went:
        assert sum(first <= one < first + 60 for one in went) <= 90 + 10
