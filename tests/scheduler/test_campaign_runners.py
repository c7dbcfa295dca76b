"""Two runners, clocks that jump, processes that end: what a runner does when nothing is well."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scheduler.sending import One, Sent
from store import Store
from tests.blank import blank
from tests.scheduler.campaign_world import NOON, Clock, World
from tests.scheduler.sender import Scripted


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield World(store)
    await store.close()


async def test_only_one_of_two_sends(world: World) -> None:
    await world.members(100)
    campaign = await world.campaign()
    sender = Scripted(delay_s=0.002)
    first, second = world.runner(sender), world.runner(sender)
    said = await asyncio.gather(first.run_once(), second.run_once())
    assert sorted(said)[0] == ""
    assert set(sender.got.values()) == {1}
    assert await world.counts(campaign.id) == {"accepted": 100}


async def test_one_that_was_asleep_past_its_lease_calls_nobody_and_says_so(world: World) -> None:
    await world.members(40)
    campaign = await world.campaign()
    sleeper = Clock()
    slow = Scripted()
    quick = Scripted()
    other = world.runner(quick, parallel=4)
    woken: list[str] = []

    def fall_asleep() -> None:
        # The sixth call is just about to be made when the process is stopped.
        if len(slow.ones) == 5 and not woken:
            woken.append("x")
            sleeper.at += 120

    slow.before = fall_asleep
    await world.runner(slow, clock=sleeper, parallel=4).run_once()
    assert len(slow.ones) <= 8
    unknown = (await world.counts(campaign.id)).get("unknown", 0)
    assert unknown == 0
    world.clock.at = sleeper.at
    await world.until_done(other, campaign.id)
    assert slow.got + quick.got == Counter({f"o{number}": 1 for number in range(1, 41)})


async def test_what_a_taken_over_runner_knows_still_counts(world: World) -> None:
    await world.members(10)
    campaign = await world.campaign()
    quick = Scripted()
    over = asyncio.Event()

    class Slow(Scripted):
        async def one(self, delivery: One) -> Sent:
            if not over.is_set() and delivery.external_id == "o1":
                await asyncio.sleep(0)  # the other three have begun their calls
                world.clock.at += 31
                await world.runner(quick, parallel=4).run_once()
                # By now the other wrote `unknown`, and sent to all the others.
                assert await world.counts(campaign.id) == {"unknown": 4, "accepted": 6}
                over.set()
            await over.wait()
            return await super().one(delivery)

    slow = Slow()
    await world.runner(slow, parallel=4).run_once()
    got = slow.got + quick.got
    assert set(got.values()) == {1}
    # What it knows of its own four is believed: sent, or certainly not sent.
    counts = await world.counts(campaign.id)
    assert counts.get("unknown", 0) == 0
    await world.until_done(world.runner(quick), campaign.id)
    assert slow.got + quick.got == Counter({f"o{number}": 1 for number in range(1, 11)})


async def test_a_clock_that_goes_back_sends_nothing_twice(world: World) -> None:
    await world.members(60)
    campaign = await world.campaign()
    sender = Scripted()
    jumps = iter([-7200.0, 86_400.0, -90_000.0, 5.0])

    def jump() -> None:
        if len(sender.ones) % 10 == 9:
            world.clock.at += next(jumps, 0.0)

    sender.before = jump
    runner = world.runner(sender, parallel=4)
    for _ in range(10):
        await runner.run_once()
        world.clock.at += 600
    world.clock.at = max(world.clock.at, NOON + 90_000)
    await runner.run_once()
    assert set(sender.got.values()) == {1}
    counts = await world.counts(campaign.id)
    assert counts.get("unknown", 0) == 0
    assert counts["accepted"] == len(sender.got)


async def test_a_process_that_ended_during_calls_leaves_them_unknown(world: World) -> None:
    await world.members(30)
    campaign = await world.campaign()
    dead = Scripted(delay_s=5.0)
    sending = asyncio.create_task(world.runner(dead, parallel=6).run_once())
    while len(dead.ones) < 6:
        await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    world.clock.at += 31
    sender = Scripted()
    await world.until_done(world.runner(sender), campaign.id)
    assert await world.counts(campaign.id) == {"accepted": 24, "unknown": 6}
    assert not set(sender.got) & {one.external_id for one in dead.ones}


async def test_close_waits_for_what_is_under_way_and_frees_the_lease(world: World) -> None:
    await world.members(100)
    campaign = await world.campaign()
    sender = Scripted(delay_s=0.01)
    runner = world.runner(sender, parallel=5)
    sending = asyncio.create_task(runner.run_once())
    while len(sender.ones) < 5:
        await asyncio.sleep(0)
    await runner.close()
    await sending
    assert len(sender.ones) < 100
    assert "sending" not in await world.counts(campaign.id)
    assert await runner.run_once() == ""
    # No waiting for the lease to end.
    await world.until_done(world.runner(sender), campaign.id, rounds=1)
    assert set(sender.got.values()) == {1}
