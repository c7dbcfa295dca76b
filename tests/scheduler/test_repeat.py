"""Campaigns that repeat: each time once, and after downtime only the newest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from scheduler import pace
from scheduler.repeat import tick
from store import Store
from store.campaigns import Campaign, NewCampaign, Variant, digest
from tests.blank import blank
from tests.store.rows import ask_file, change_file

DAY = 86_400.0
GRACE_S = 900.0


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


NINE = at("2026-11-22T09:00")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield store
    await store.close()


async def repeating(store: Store, cron: str = "0 9 * * *", first: float = NINE) -> Campaign:
    new = NewCampaign(
        title="早安",
        channel="mp",
        audience="everyone",
        variants=(Variant(content={"kind": "text", "text": "早"}),),
        kind="cron",
        cron=cron,
        starts_at=first,
    )
    made = await store.campaigns.create(new, first - DAY, "member:1")
    done = await store.campaigns.schedule(
        made.id, digest(made), 12, first - DAY, "member:1", starts_at=first
    )
    assert done is not None
    return done


async def times(store: Store, parent: Campaign) -> list[float | None]:
    """When its campaigns start, oldest first."""
    return [one.starts_at for one in reversed(await store.campaigns.children(parent.id))]


async def test_each_time_makes_a_campaign_of_its_own(store: Store) -> None:
    parent = await repeating(store)
    assert await tick(store, NINE - 1) == ""
    assert await tick(store, NINE + 5) == f"c{parent.id + 1} made for c{parent.id}"
    (child,) = await store.campaigns.children(parent.id)
    assert (child.kind, child.status, child.starts_at) == ("once", "scheduled", NINE)
    assert (child.approved, child.confirmed_at) == (12, NINE - DAY)
    assert (child.title, child.variants, child.cron) == (parent.title, parent.variants, "")
    assert child.seed != parent.seed
    assert not pace.late(child, NINE + 5, GRACE_S)
    for day in range(1, 4):
        await tick(store, NINE + day * DAY + 5)
    assert await times(store, parent) == [NINE + day * DAY for day in range(4)]


async def test_a_tick_again_or_two_at_once_make_it_once(store: Store) -> None:
    parent = await repeating(store)
    await asyncio.gather(*(tick(store, NINE + 5) for _ in range(5)))
    assert await tick(store, NINE + 6) == ""
    # A restored backup has the time again; the key on parent and time stands behind it.
    with_path = store.db.path
    change_file(with_path, "update campaigns set starts_at = ? where id = ?", (NINE, parent.id))
    await tick(store, NINE + 7)
    assert await times(store, parent) == [NINE]
    assert ask_file(with_path, "select starts_at from campaigns where id = ?", (parent.id,)) == [
        (NINE + DAY,)
    ]


async def test_after_downtime_the_newest_is_made_and_asks(store: Store) -> None:
    parent = await repeating(store)
    back = NINE + 3 * DAY + 5 * 3600
    await tick(store, back)
    assert await times(store, parent) == [NINE + 3 * DAY]
    (child,) = await store.campaigns.children(parent.id)
    assert pace.late(child, back, GRACE_S)
    assert await tick(store, back + 60) == ""
    await tick(store, NINE + 4 * DAY + 60)
    assert await times(store, parent) == [NINE + 3 * DAY, NINE + 4 * DAY]


async def test_a_short_downtime_asks_nobody(store: Store) -> None:
    parent = await repeating(store)
    await tick(store, NINE + 600)
    (child,) = await store.campaigns.children(parent.id)
    assert not pace.late(child, NINE + 600, GRACE_S)


async def test_one_that_is_paused_makes_none(store: Store) -> None:
    parent = await repeating(store)
    await store.campaigns.pause(parent.id, NINE - 60, "member:1")
    assert await tick(store, NINE + 5) == ""
    await store.campaigns.resume(parent.id, NINE + 2 * DAY + 5, "member:1")
    await tick(store, NINE + 2 * DAY + 10)
    assert await times(store, parent) == [NINE + 2 * DAY]
    await store.campaigns.cancel(parent.id, NINE + 2 * DAY + 20, "member:1")
    assert await tick(store, NINE + 9 * DAY) == ""


async def test_one_that_cannot_be_read_does_not_stop_the_others(store: Store) -> None:
    broken = await repeating(store, "0 9 * * foo")
    parent = await repeating(store)
    said = await tick(store, NINE + 5)
    assert f"c{broken.id} cannot repeat: day of week" in said
    assert await times(store, parent) == [NINE]


async def test_a_year_of_every_minute_is_caught_up_with_one(store: Store) -> None:
    parent = await repeating(store, "* * * * *")
    await tick(store, NINE + 365 * DAY + 30)
    assert await times(store, parent) == [NINE + 365 * DAY]
