"""A campaign that has begun asks before it goes on, when nobody was there for longer than the
grace or its own last moment has passed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from scheduler.campaigns import Runner
from store import Store
from store.campaigns import Campaign, Variant
from tests.blank import blank
from tests.scheduler.campaign_world import NOON, World
from tests.scheduler.sender import DOWN, LOST, Scripted

GRACE_S = 900.0
NIGHT = (time(22), time(8))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield World(store)
    await store.close()


def runner(world: World, sender: Scripted, **fields: Any) -> Runner:
    """With a quarter of an hour of grace."""
    return world.runner(sender, **{"grace_s": GRACE_S, **fields})


async def half_sent(world: World, **fields: Any) -> tuple[Campaign, Scripted]:
    """A campaign of 60 whose process ended after about half."""
    await world.members(60)
    campaign = await world.campaign(**fields)
    sender = Scripted(on_one=lambda one, number: DOWN if number > 30 else None)
    await runner(world, sender, parallel=4, quiet=fields.get("quiet", NIGHT)).run_once()
    sender.on_one = lambda one, number: None
    assert (await world.counts(campaign.id))["planned"] == 30
    return campaign, sender


async def test_half_a_campaign_asks_after_a_night_without_anybody(world: World) -> None:
    campaign, sender = await half_sent(world)
    world.clock.at += 20 * 3600
    after = runner(world, sender)
    await after.run_once()
    assert await world.status(campaign.id) == "late"
    assert (await world.get(campaign.id)).note == "overdue"
    assert world.told == [(campaign.id, "overdue")]
    assert len(sender.got) == 30
    # Nobody is asked twice, and a yes is a yes.
    await after.run_once()
    assert len(world.told) == 1
    assert await world.store.campaigns.resume(campaign.id, world.clock(), "cli")
    await world.until_done(after, campaign.id)
    assert len(sender.got) == 60
    assert set(sender.got.values()) == {1}
    assert len(world.told) == 1


async def test_a_restart_within_the_grace_goes_on_by_itself(world: World) -> None:
    campaign, sender = await half_sent(world)
    world.clock.at += GRACE_S
    await world.until_done(runner(world, sender), campaign.id)
    assert len(sender.got) == 60
    assert world.told == []


async def test_a_process_that_was_stopped_in_good_order_was_away_since_then(world: World) -> None:
    campaign, sender = await half_sent(world)
    first = runner(world, sender)
    await first.close()
    world.clock.at += 3600
    await runner(world, sender).run_once()
    assert await world.status(campaign.id) == "late"


async def test_a_night_that_is_quiet_anyway_is_no_absence(world: World) -> None:
    # From 21:55 until 8:05: ten minutes in which something could have gone out.
    world.clock.at = NOON + 9 * 3600 + 3300
    campaign, sender = await half_sent(world, starts_at=world.clock())
    world.clock.at = NOON + 20 * 3600 + 300
    await world.until_done(runner(world, sender, quiet=NIGHT), campaign.id)
    assert len(sender.got) == 60


async def test_what_is_due_only_now_is_not_late(world: World) -> None:
    campaign, sender = await half_sent(world)
    await world.change(
        "update deliveries set due_at = ? where status = 'planned'", NOON + 20 * 3600 - 60
    )
    world.clock.at += 20 * 3600
    await world.until_done(runner(world, sender), campaign.id)
    assert len(sender.got) == 60


async def test_after_its_own_last_moment_the_rest_does_not_go_out(world: World) -> None:
    campaign, sender = await half_sent(world, not_after=NOON + 60)
    world.clock.at = NOON + 60
    await runner(world, sender, budget_s=0.0).run_once()
    assert await world.status(campaign.id) == "running"
    world.clock.at = NOON + 91
    before = len(sender.got)
    after = runner(world, sender)
    await after.run_once()
    assert await world.status(campaign.id) == "late"
    assert world.told == [(campaign.id, "overdue")]
    assert len(sender.got) == before
    assert await world.store.campaigns.resume(campaign.id, world.clock(), "cli")
    await world.until_done(after, campaign.id)
    assert len(sender.got) == 60


async def test_one_that_is_through_before_its_last_moment_is_done(world: World) -> None:
    await world.members(5)
    campaign = await world.campaign(not_after=NOON + 60)
    sender = Scripted()
    await runner(world, sender).run_once()
    world.clock.at += 3600
    await runner(world, sender).run_once()
    assert await world.status(campaign.id) == "done"
    assert world.told == []


async def test_a_list_that_was_broken_off_asks_too(world: World) -> None:
    await world.members(5)
    campaign = await world.campaign()
    first = runner(world, Scripted())
    await first.run_once()
    await world.change("update campaigns set status = 'freezing', planned = 0")
    await world.change("delete from deliveries")
    await world.change("update campaigns set frozen_to = 0")
    world.clock.at += 3600
    sender = Scripted()
    await runner(world, sender).run_once()
    assert await world.status(campaign.id) == "late"
    assert await world.store.campaigns.resume(campaign.id, world.clock(), "cli")
    await world.until_done(runner(world, sender), campaign.id)
    assert len(sender.got) == 5


async def test_a_part_in_doubt_waits_for_the_yes_and_is_then_the_same_part(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=("mass_list",))
    sender = Scripted(on_mass=lambda part, number: LOST if number == 1 else None)
    await runner(world, sender).run_once()
    world.clock.at += 3600
    after = runner(world, sender)
    await after.run_once()
    assert await world.status(campaign.id) == "late"
    assert len(sender.masses) == 1
    assert await world.store.campaigns.resume(campaign.id, world.clock(), "cli")
    await after.run_once()
    assert set(sender.got.values()) == {1}
    assert len({part.client_id for part in sender.masses}) == 1
    assert await world.status(campaign.id) == "done"


async def test_the_rest_of_a_test_that_was_due_meanwhile_asks(world: World) -> None:
    await world.members(100)
    both = tuple(Variant(name=name, content={"kind": "text", "text": name}) for name in "AB")
    campaign = await world.campaign(variants=both, test_share=0.2, test_s=3600.0)
    sender = Scripted()
    await runner(world, sender).run_once()
    tested = len(sender.got)
    world.clock.at += 20 * 3600
    assert await world.store.deliveries.decide(campaign.id, "B", world.clock())
    await runner(world, sender).run_once()
    assert await world.status(campaign.id) == "late"
    assert len(sender.got) == tested


async def test_a_step_of_a_journey_has_rules_of_its_own(world: World) -> None:
    campaign, sender = await half_sent(world)
    await world.change(
        "insert into journeys (name, channel, trigger, status, created_at, created_by, "
        "started_at) values ('j', 'mp', 'follow', 'running', 0, 'cli', 0)"
    )
    await world.change("update campaigns set kind = 'step'")
    world.clock.at += 20 * 3600
    await runner(world, sender).run_once()
    assert await world.status(campaign.id) == "running"
