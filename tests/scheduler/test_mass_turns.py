"""Mass sends that something comes in the way of: what is begun is gone on with, once, and what
somebody must not get does not leave."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, time
from pathlib import Path

import pytest

from handlers.context import SHANGHAI
from scheduler.sending import Mass, Sent
from store import Store
from store.campaigns import Campaign
from store.deliveries import Deliveries
from store.dialect import Connection
from tests.blank import blank
from tests.scheduler.campaign_world import NOON, World
from tests.scheduler.sender import BUSY, DOWN, Scripted

LIST, TAG, ALL = ("mass_list",), ("mass_tag",), ("mass_all",)
TEN_PAST = (time(12, 10), time(14))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield World(store)
    await store.close()


def everybody(count: int) -> Counter[str]:
    """Once each."""
    return Counter({f"o{number}": 1 for number in range(1, count + 1)})


class Stumbling(Scripted):
    """Its first upload fails."""

    async def payload(self, part: Mass) -> str | Sent:
        made = await super().payload(part)
        return DOWN if len(self.payloads) == 1 else made


# A part that is being gathered is gone on with


@pytest.mark.parametrize("routes", [LIST, TAG, ALL])
async def test_one_failed_upload_costs_seconds_and_the_same_part_leaves(
    world: World, routes: tuple[str, ...]
) -> None:
    await world.members(60, allowance=0)
    campaign = await world.campaign(routes=routes)
    sender = Stumbling(everybody=tuple(everybody(60)))
    runner = world.runner(sender)
    await runner.run_once()
    world.clock.at += 4
    await runner.run_once()
    assert len(sender.payloads) == 1, "WeChat was to be left alone for 5 s"
    world.clock.at += 2
    await runner.run_once()
    assert sender.got == everybody(60)
    assert await world.rows("select number, status from parts") == [(1, "accepted")]
    assert await world.status(campaign.id) == "done"


async def test_a_kill_while_tagging_goes_on_under_the_same_tag(world: World) -> None:
    await world.members(400, allowance=0)
    campaign = await world.campaign(routes=TAG)

    class Killed(Scripted):
        async def tag(self, channel: str, tag_id: int, openids: Sequence[str], on: bool) -> Sent:
            if self.tag_calls == 3:
                raise asyncio.CancelledError
            return await super().tag(channel, tag_id, openids, on)

    killed = Killed()
    with pytest.raises(asyncio.CancelledError):
        await world.runner(killed).run_once()
    world.clock.at += 31
    sender = Scripted(tags=killed.tags)
    await world.runner(sender).run_once()
    assert sender.tag_calls == 5
    assert sender.got == everybody(400)
    assert await world.counts(campaign.id) == {"accepted": 400}


async def test_the_pace_of_the_tags_is_waited_for_and_not_for_hours(world: World) -> None:
    await world.members(1000, allowance=0)
    campaign = await world.campaign(routes=TAG)
    sender = Scripted()
    runner = world.runner(sender)
    for _ in range(3):
        await runner.run_once()
        world.clock.at += 1.1
    # Ten calls at once, then ten a second.
    assert sender.tag_calls == 20
    assert await world.status(campaign.id) == "done"


async def test_a_subscription_account_that_has_sent_does_not_send_what_waited(
    world: World,
) -> None:
    await world.members(10, allowance=0)
    first = await world.campaign(routes=TAG)
    sender = Stumbling()
    runner = world.runner(sender, kind="subscription")
    await runner.run_once()
    second = await world.campaign(routes=TAG)
    world.clock.at += 1
    await runner.run_once()
    assert await world.status(second.id) == "done"
    world.clock.at += 10
    await runner.run_once()
    assert len(sender.masses) == 1
    assert world.told == [(first.id, "day_quota")]
    assert await world.counts(first.id) == {"planned": 10}


async def test_all_that_is_due_is_walked_through_once_and_not_for_every_part(
    world: World,
) -> None:
    class Counting(Deliveries):
        walks = 0

        async def lanes(self, campaign_id: int, now: float) -> list[tuple[str, str]]:
            self.walks += 1
            return await super().lanes(campaign_id, now)

    counting = Counting(world.store.db)
    world.store.deliveries = counting
    await world.members(200, allowance=0)
    campaign = await world.campaign(routes=LIST)
    await world.runner(Scripted(), part=20, mass_per_minute=600).run_once()
    assert await world.status(campaign.id) == "done"
    assert counting.walks <= 2


# Who is on a list twice, or is gone


async def on_a_journey(world: World, campaign: Campaign, whom: Sequence[int]) -> None:
    """These members are due on a journey's step, each as often as they are named."""

    def run(conn: Connection) -> None:
        for number, member_id in enumerate(whom):
            occasion = f"coupon:{number}"
            conn.execute(
                "insert into journey_members (journey_id, member_id, occasion, started_at) "
                "values (1, ?, ?, ?)",
                (member_id, occasion, world.clock() - 10),
            )
            conn.execute(
                "insert into deliveries (campaign_id, member_id, occasion, variant, route, "
                "status, due_at) values (?, ?, ?, 'A', 'mass_list', 'planned', ?)",
                (campaign.id, member_id, occasion, world.clock() - 1),
            )

    await world.store.db.write(run)


async def step(world: World) -> Campaign:
    """A running journey's step, by list."""
    await world.change(
        "insert into journeys (name, channel, trigger, status, created_at, created_by, "
        "started_at) values ('j', 'mp', 'follow', 'running', 0, 'cli', 0)"
    )
    made = await world.campaign(kind="step", journey_id=1, delay_s=0.0, routes=LIST, starts_at=None)
    await world.move(made.id, "running", ("scheduled",))
    return made


@pytest.mark.parametrize("times", [(0, 0, 1), (0, 1, 0, 1, 1), (0, 0), (0, 0, 0)])
async def test_who_is_due_twice_is_in_a_part_once_and_nothing_turns_for_ever(
    world: World, times: tuple[int, ...]
) -> None:
    ids = await world.members(2, allowance=0)
    campaign = await step(world)
    await on_a_journey(world, campaign, [ids[who] for who in times])
    sender = Scripted()
    runner = world.runner(sender, budget_s=2.0)
    await asyncio.wait_for(runner.run_once(), 5)
    for part in sender.masses:
        assert len(set(part.openids)) == len(part.openids)
    assert sum((await world.counts(campaign.id)).values()) == len(times)
    assert "planned" not in await world.counts(campaign.id)
    together = min(Counter(times).values()) if len(set(times)) == 2 else 0
    assert sum(sender.got.values()) == 2 * together


async def test_of_two_one_is_erased_before_the_list_leaves(world: World) -> None:
    ids = await world.members(2, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Stumbling()
    runner = world.runner(sender)
    await runner.run_once()
    await world.store.members.erase(ids[0], world.clock())
    world.clock.at += 6
    await runner.run_once()
    assert not sender.masses
    assert sorted(await world.rows("select status, reason from deliveries")) == [
        ("skipped", "alone"),
        ("skipped", "erased"),
    ]
    assert await world.status(campaign.id) == "done"


# To all means to all


async def frozen(world: World, members: int = 5) -> tuple[Campaign, list[int], Scripted]:
    """A campaign to all whose list is made and has not left."""
    ids = await world.members(members, allowance=0)
    campaign = await world.campaign(routes=ALL)
    await world.runner(Scripted(), quiet=(time(11), time(13))).run_once()
    assert await world.counts(campaign.id) == {"planned": members}
    world.clock.at += 2 * 3600
    return campaign, ids, Scripted(everybody=tuple(everybody(members)))


async def test_who_opted_out_since_the_list_was_made_stops_a_send_to_all(world: World) -> None:
    campaign, ids, sender = await frozen(world)
    await world.store.optouts.leave_all(ids[0], world.clock())
    runner = world.runner(sender)
    await runner.run_once()
    assert not sender.masses
    assert world.told == [(campaign.id, "to_all")]
    assert (await world.get(campaign.id)).note == "to_all"
    assert await world.counts(campaign.id) == {"planned": 5}
    assert await world.rows("select count(*) from mass_received") == [(0,)]
    # Resumed, it is asked again; and they came back.
    await world.move(campaign.id, "running", ("paused",))
    await runner.run_once()
    assert await world.status(campaign.id) == "paused"
    await world.change("delete from optouts")
    await world.move(campaign.id, "running", ("paused",))
    await runner.run_once()
    assert sender.got == everybody(5)


@pytest.mark.parametrize(
    "change",
    [
        "update identities set blocked_at = 1 where member_id = 1",
        "insert into deliveries (campaign_id, member_id, occasion, status, claimed_at) "
        f"values (1, 1, 'another', 'accepted', {NOON})",
        "update deliveries set status = 'skipped', reason = 'opted_out' where member_id = 1",
        "update deliveries set status = 'held' where member_id = 1",
    ],
)
async def test_who_is_blocked_capped_or_held_stops_a_send_to_all(world: World, change: str) -> None:
    campaign, _, sender = await frozen(world)
    await world.change(change)
    await world.runner(sender, cap_day=1).run_once()
    assert not sender.masses
    assert world.told == [(campaign.id, "to_all")]


async def test_who_opts_out_during_the_upload_stops_a_send_to_all(world: World) -> None:
    campaign, ids, _ = await frozen(world)

    class Slow(Scripted):
        async def payload(self, part: Mass) -> str | Sent:
            await world.store.optouts.leave_all(ids[2], world.clock())
            return await super().payload(part)

    sender = Slow()
    await world.runner(sender).run_once()
    assert not sender.masses
    assert await world.counts(campaign.id) == {"planned": 5}


async def test_who_unfollowed_does_not_stop_a_send_to_all(world: World) -> None:
    campaign, ids, sender = await frozen(world)
    await world.change("update identities set followed = 0 where member_id = ?", ids[0])
    await world.runner(sender).run_once()
    assert len(sender.masses) == 1
    assert await world.counts(campaign.id) == {"accepted": 4, "skipped": 1}


# Busy, quiet hours, a new month


async def test_busy_may_have_been_performed_so_the_same_name_is_kept_through_the_quiet_hours(
    world: World,
) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST, starts_at=NOON)

    class Performs(Scripted):
        async def mass(self, part: Mass) -> Sent:
            sent = await super().mass(part)
            return BUSY if len(self.masses) == 1 else sent

    sender = Performs()
    world.clock.at += 595
    runner = world.runner(sender, quiet=TEN_PAST)
    await runner.run_once()
    assert await world.counts(campaign.id) == {"sending": 10}
    for _ in range(10):
        world.clock.at += 1200
        await runner.run_once()
    assert await world.status(campaign.id) == "done"
    assert sender.got == everybody(10)
    assert len({part.client_id for part in sender.masses}) == 1


async def test_a_tagged_part_does_not_leave_in_the_quiet_hours(world: World) -> None:
    await world.members(1000, allowance=0)
    campaign = await world.campaign(routes=TAG)

    class Slow(Scripted):
        async def tag(self, channel: str, tag_id: int, openids: Sequence[str], on: bool) -> Sent:
            world.clock.at += 1.5
            return await super().tag(channel, tag_id, openids, on)

    sender = Slow()
    world.clock.at += 580
    runner = world.runner(sender, quiet=TEN_PAST, lease_s=3000.0)
    for _ in range(5):
        await runner.run_once()
    assert 0 < sender.tag_calls < 20
    assert not sender.masses
    world.clock.at = NOON + 2 * 3600
    for _ in range(5):
        await runner.run_once()
    assert sender.tag_calls == 20
    assert sender.got == everybody(1000)
    assert await world.status(campaign.id) == "done"


async def test_quiet_hours_that_begin_during_the_upload_keep_it_here(world: World) -> None:
    await world.members(10, allowance=0)
    await world.campaign(routes=LIST)

    class Slow(Scripted):
        async def payload(self, part: Mass) -> str | Sent:
            world.clock.at += 20
            return await super().payload(part)

    sender = Slow()
    world.clock.at += 590
    runner = world.runner(sender, quiet=TEN_PAST)
    await runner.run_once()
    assert not sender.masses
    world.clock.at = NOON + 2 * 3600
    await runner.run_once()
    assert sender.got == everybody(10)


async def test_a_stop_does_not_wait_for_all_tags(world: World) -> None:
    await world.members(500, allowance=0)
    campaign = await world.campaign(routes=TAG)
    closing: list[asyncio.Task[None]] = []

    class Stopped(Scripted):
        async def tag(self, channel: str, tag_id: int, openids: Sequence[str], on: bool) -> Sent:
            if self.tag_calls == 2:
                closing.append(asyncio.create_task(runner.close()))
                await asyncio.sleep(0)
            return await super().tag(channel, tag_id, openids, on)

    stopped = Stopped()
    runner = world.runner(stopped)
    await runner.run_once()
    await closing[0]
    assert stopped.tag_calls == 3
    assert not stopped.masses
    world.clock.at += 1
    sender = Scripted(tags=stopped.tags)
    await world.until_done(world.runner(sender), campaign.id)
    assert sender.tag_calls == 7
    assert sender.got == everybody(500)


async def test_a_part_that_leaves_after_midnight_counts_in_the_new_month(world: World) -> None:
    ids = await world.members(4, allowance=0)
    world.clock.at = datetime(2025, 11, 30, 23, 59, 50, tzinfo=SHANGHAI).timestamp()
    campaign = await world.campaign(routes=LIST)

    class Slow(Scripted):
        async def payload(self, part: Mass) -> str | Sent:
            world.clock.at += 20
            return await super().payload(part)

    sender = Slow()
    await world.until_done(world.runner(sender), campaign.id)
    assert sender.got == everybody(4)
    counted = await world.rows("select month, member_id, count from mass_received order by 2")
    assert counted == [("2025-12", member_id, 1) for member_id in ids]
