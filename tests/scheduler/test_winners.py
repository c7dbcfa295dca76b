"""The rest of an early test gets the better variant, or any, when the test's time is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import winners
from store import Store
from store.campaigns import Campaign, Variant
from tests.blank import blank
from tests.scheduler.campaign_world import World
from tests.scheduler.sender import Scripted

TWO = (
    Variant(name="A", content={"kind": "text", "text": "甲"}),
    Variant(name="B", weight=3, content={"kind": "text", "text": "乙"}),
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield World(store)
    await store.close()


async def part_sent(world: World, members: int, **fields: Any) -> tuple[Campaign, Scripted]:
    """A campaign whose test part has been sent."""
    await world.members(members)
    given = {"variants": TWO, "test_share": 0.5, "test_s": 3600.0, "metric": "reply", **fields}
    campaign = await world.campaign(**given)
    sender = Scripted()
    await world.runner(sender).run_once()
    return campaign, sender


async def test_before_its_time_is_over_nothing_is_decided_by_nothing(world: World) -> None:
    campaign, _ = await part_sent(world, 40)
    world.clock.at += 1800
    assert await winners.tick(world.store, world.clock()) == ""
    assert (await world.counts(campaign.id)).get("waiting", 0) > 0


async def test_when_its_time_is_over_the_one_ahead_goes_to_everybody_once(world: World) -> None:
    campaign, sender = await part_sent(world, 40)
    world.clock.at += 3601
    assert await winners.tick(world.store, world.clock()) == f"c{campaign.id} goes on with A"
    assert await winners.tick(world.store, world.clock()) == "", "once"
    await world.until_done(world.runner(sender), campaign.id)
    assert sender.got == Counter({f"o{number}": 1 for number in range(1, 41)})


async def test_a_test_that_reached_nobody_ends_all_the_same(world: World) -> None:
    """A small audience at a small share, or everybody of the test left: the rest must not wait
    for ever."""
    campaign, sender = await part_sent(world, 6, test_share=0.0001)
    assert await world.counts(campaign.id) == {"waiting": 6}
    world.clock.at += 3601
    assert await winners.tick(world.store, world.clock()) == f"c{campaign.id} goes on with B"
    await world.until_done(world.runner(sender), campaign.id)
    assert len(sender.got) == 6
