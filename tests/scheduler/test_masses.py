"""The runner over a scripted way to WeChat: mass sends, by list, by tag and to all."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest

from scheduler.sending import End, Mass, MassState, Sent
from store import Store
from store.campaigns import Variant
from tests.blank import blank
from tests.scheduler.campaign_world import NOON, World
from tests.scheduler.sender import BUSY, LOST, QUOTA, TOO_FAST, Scripted

LIST = ("mass_list",)
SENT = ("send success", (10, 10, 10, 0))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield World(store)
    await store.close()


def everybody(count: int) -> Counter[str]:
    """Once each."""
    return Counter({f"o{number}": 1 for number in range(1, count + 1)})


async def test_parts_are_balanced_and_everybody_is_in_one(world: World) -> None:
    await world.members(205, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted()
    assert "3 parts" in await world.runner(sender, part=100).run_once()
    assert sorted(len(part.openids) for part in sender.masses) == [52, 53, 100]
    assert sender.got == everybody(205)
    assert await world.counts(campaign.id) == {"accepted": 205}
    assert await world.status(campaign.id) == "done"
    assert len({part.client_id for part in sender.masses}) == 3
    assert all(len(part.client_id.encode()) <= 64 for part in sender.masses)
    assert await world.rows("select sum(count), max(count) from mass_received") == [(205, 1)]


async def test_nobody_is_left_over_alone(world: World) -> None:
    await world.members(101, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted()
    await world.runner(sender, part=100).run_once()
    assert sorted(len(part.openids) for part in sender.masses) == [50, 51]
    assert await world.counts(campaign.id) == {"accepted": 101}


async def test_a_lone_one_goes_by_customer_service_or_not_at_all(world: World) -> None:
    await world.members(1)
    await world.members(1, allowance=0, first=2)
    first = await world.campaign(audience="member:1", routes=("mass_list", "custom"))
    second = await world.campaign(audience="member:2", routes=("mass_list", "custom"))
    sender = Scripted()
    await world.runner(sender).run_once()
    assert [one.external_id for one in sender.ones] == ["o1"]
    assert await world.counts(first.id) == {"accepted": 1}
    assert await world.counts(second.id) == {"skipped": 1}
    assert await world.rows("select reason from deliveries where status = 'skipped'") == [
        ("alone",)
    ]
    assert await world.rows("select coalesce(sum(count), 0) from mass_received") == [(0,)]


async def test_variants_are_parts_of_their_own(world: World) -> None:
    await world.members(60, allowance=0)
    both = tuple(Variant(name=name, content={"kind": "text", "text": name}) for name in "AB")
    campaign = await world.campaign(routes=LIST, variants=both)
    sender = Scripted()
    await world.runner(sender).run_once()
    assert sorted(part.variant for part in sender.masses) == ["A", "B"]
    assert sender.got == everybody(60)
    assert await world.status(campaign.id) == "done"


async def test_a_lost_answer_is_asked_for_again_under_the_same_name(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted(on_mass=lambda part, number: LOST if number == 1 else None)
    runner = world.runner(sender)
    await runner.run_once()
    assert await world.status(campaign.id) == "running"
    world.clock.at += 30
    await runner.run_once()
    assert len(sender.masses) == 1, "asked again within a minute"
    world.clock.at += 31
    await runner.run_once()
    first, second = sender.masses
    assert first == second
    assert sender.got == everybody(10)
    assert await world.counts(campaign.id) == {"accepted": 10}
    assert await world.rows("select msg_id, tries, errcode from parts") == [("1000", 2, 45065)]


async def test_45065_on_the_first_call_is_a_yes(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted(on_mass=lambda part, number: Sent(End.ACCEPTED, errcode=45065))
    await world.runner(sender).run_once()
    assert await world.counts(campaign.id) == {"accepted": 10}
    assert len(sender.masses) == 1


async def test_45066_waits_a_minute_and_keeps_the_doubt(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    answers = iter([LOST, TOO_FAST, None])
    sender = Scripted(on_mass=lambda part, number: next(answers))
    await world.until_done(world.runner(sender), campaign.id)
    assert len(sender.masses) == 3
    assert sender.got == everybody(10)


async def test_busy_is_tried_again_at_growing_distances_then_the_owner_is_told(
    world: World,
) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    at: list[float] = []

    def busy(part: Mass, number: int) -> Sent:
        at.append(world.clock())
        return BUSY

    sender = Scripted(on_mass=busy)
    runner = world.runner(sender)
    for _ in range(40):
        await runner.run_once()
        world.clock.at += 1.0
    gaps = [later - sooner for sooner, later in itertools.pairwise(at)]
    assert len(at) == 5
    assert gaps == sorted(gaps)
    assert world.told == [(campaign.id, "busy")]
    # Busy is no certain no: it stays in doubt, under its name.
    assert await world.counts(campaign.id) == {"sending": 10}
    sender.on_mass = lambda part, number: None
    await world.move(campaign.id, "running", ("paused",))
    await world.until_done(runner, campaign.id)
    assert sender.got == everybody(10)
    assert len({part.client_id for part in sender.masses}) == 1


async def test_who_resumes_after_busy_has_five_tries_again(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted(on_mass=lambda part, number: BUSY)
    runner = world.runner(sender)
    for calls in (5, 10):
        for _ in range(10):
            await runner.run_once()
            world.clock.at += 61.0
        assert len(sender.masses) == calls
        await world.move(campaign.id, "running", ("paused",))


async def test_no_quota_pauses_and_gives_everything_back(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted(on_mass=lambda part, number: replace(QUOTA, errcode=45028))
    await world.runner(sender).run_once()
    assert world.told == [(campaign.id, QUOTA.chat)]
    assert await world.counts(campaign.id) == {"planned": 10}
    assert await world.rows("select count(*) from mass_received") == [(0,)]
    await world.move(campaign.id, "running", ("paused",))
    sender.on_mass = lambda part, number: None
    await world.until_done(world.runner(sender), campaign.id)
    assert sender.got == everybody(10)


async def test_a_quota_error_after_a_lost_answer_does_not_send_it_twice(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    answers = iter([LOST, replace(QUOTA, errcode=45028), None])
    sender = Scripted(on_mass=lambda part, number: next(answers))
    runner = world.runner(sender)
    await runner.run_once()
    world.clock.at += 61
    await runner.run_once()
    # The first call may have been the one that used the quota up.
    assert await world.status(campaign.id) == "paused"
    assert await world.counts(campaign.id) == {"sending": 10}
    world.clock.at += 61
    await runner.run_once()
    assert len(sender.masses) == 2
    await world.move(campaign.id, "running", ("paused",))
    await world.until_done(runner, campaign.id)
    assert sender.got == everybody(10)
    assert len({part.client_id for part in sender.masses}) == 1


async def test_a_silent_day_leaves_it_unknown_and_is_not_tried_under_a_forgotten_name(
    world: World,
) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted(on_mass=lambda part, number: LOST)
    await world.runner(sender).run_once()
    world.clock.at += 23 * 3600 + 1
    runner = world.runner(sender)
    await runner.run_once()
    await runner.run_once()
    assert len(sender.masses) == 1
    assert await world.counts(campaign.id) == {"unknown": 10}
    assert world.told == [(campaign.id, "unknown")]
    assert len(await world.store.deliveries.unknown(campaign.id)) == 10


async def test_refused_content_is_refused_and_pauses_before_the_next_part(world: World) -> None:
    await world.members(40, allowance=0)
    campaign = await world.campaign(routes=LIST)
    bad = Sent(End.REFUSED, reason="content", errcode=40007, note="invalid media_id")
    sender = Scripted(on_mass=lambda part, number: bad)
    await world.runner(sender, part=20).run_once()
    assert len(sender.masses) == 1
    assert await world.counts(campaign.id) == {"planned": 20, "refused": 20}
    assert world.told == [(campaign.id, "invalid media_id")]
    assert await world.rows("select sum(count) from mass_received") == [(None,)]


async def test_one_who_is_nobody_to_wechat_costs_at_most_one_other(world: World) -> None:
    await world.members(64, allowance=0)
    campaign = await world.campaign(routes=LIST)
    bad = Sent(End.REFUSED, reason="not_following", errcode=40003)
    sender = Scripted(on_mass=lambda part, number: bad if "o37" in part.openids else None)
    await world.until_done(world.runner(sender, part=64), campaign.id)
    counts = await world.counts(campaign.id)
    assert counts["refused"] <= 2
    assert await world.rows("select distinct reason from deliveries where status = 'refused'") == [
        ("list",)
    ]
    assert counts["accepted"] >= 62
    assert set(sender.got.values()) == {1}


async def test_four_a_month_and_not_a_fifth(world: World) -> None:
    await world.members(10, allowance=0)
    sender = Scripted()
    runner = world.runner(sender)
    for _ in range(5):
        await world.campaign(routes=LIST)
        await runner.run_once()
        world.clock.at += 3600
    assert set(sender.got.values()) == {4}
    assert await world.rows("select reason, count(*) from deliveries group by 1 order by 1") == [
        ("", 40),
        ("quota", 10),
    ]


async def test_the_quota_is_asked_again_when_the_part_is_gathered(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted()
    await world.runner(sender, quiet=(time(11), time(13))).run_once()
    await world.change(
        "insert into mass_received select 'mp', '2025-11', id, 4 from members where id <= 3"
    )
    world.clock.at += 3600
    await world.until_done(world.runner(sender), campaign.id)
    assert len(sender.got) == 7


# What WeChat says in the end


async def test_the_finish_event_is_the_last_word(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    runner = world.runner(Scripted())
    await runner.run_once()
    parts = world.store.parts
    assert await parts.finished("mp", "1000", "sendsuccess", (10, 9, 9, 0), NOON)
    assert not await parts.finished("mp", "999", *SENT, NOON)
    assert not await parts.finished("other", "1000", *SENT, NOON)
    await runner.run_once()
    assert await world.counts(campaign.id) == {"delivered": 10}
    # The event comes twice, as events do.
    assert await parts.finished("mp", "1000", "send success", (10, 9, 9, 0), NOON)
    await runner.run_once()
    assert await world.rows(
        "select status, total_count, filter_count, sent_count, error_count, settled_at is null "
        "from parts"
    ) == [("delivered", 10, 9, 9, 0, 0)]


async def test_a_send_that_wechat_stopped_was_refused(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    runner = world.runner(Scripted())
    await runner.run_once()
    assert await world.store.parts.finished("mp", "1000", "err(20008)", (10, 10, 0, 10), NOON)
    await runner.run_once()
    assert await world.counts(campaign.id) == {"refused": 10}
    assert await world.rows("select distinct reason from deliveries") == [("wechat:err(20008)",)]


async def test_an_event_that_came_before_the_answer_is_not_lost(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted(on_mass=lambda part, number: LOST if number == 1 else None)
    runner = world.runner(sender)
    await runner.run_once()
    # The webhook asks the parts, then keeps what it cannot place.
    assert not await world.store.parts.finished("mp", "1000", *SENT, NOON)
    assert await world.store.mass_quota.note_elsewhere("mp", "1000", SENT[1], SENT[0], NOON)
    world.clock.at += 61
    await runner.run_once()
    assert await world.counts(campaign.id) == {"delivered": 10}
    assert await world.rows("select ours, sent_count from mass_sends") == [(1, 10)]


async def test_without_an_event_wechat_is_asked_after_a_quarter_of_an_hour(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted()
    runner = world.runner(sender)
    await runner.run_once()
    sender.states["1000"] = MassState("sending")
    world.clock.at += 899
    assert await runner.run_once() == ""
    world.clock.at += 2
    assert await runner.run_once() == "1 looked after"
    assert await world.counts(campaign.id) == {"accepted": 10}
    sender.states["1000"] = MassState("sent")
    world.clock.at += 901
    await runner.run_once()
    assert await world.counts(campaign.id) == {"delivered": 10}
    world.clock.at += 5000
    assert await runner.run_once() == ""


async def test_a_send_of_which_wechat_says_nothing_for_a_day_stays_accepted(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    runner = world.runner(Scripted())
    await runner.run_once()
    for _ in range(4):
        world.clock.at += 10 * 3600
        await runner.run_once()
    assert await world.rows("select status, settled_at is null from parts") == [("accepted", 0)]
    assert await world.counts(campaign.id) == {"accepted": 10}


# Stopped on the way


async def test_a_pause_while_it_is_being_gathered_frees_everybody(world: World) -> None:
    await world.members(30, allowance=0)
    campaign = await world.campaign(routes=LIST)

    class Slow(Scripted):
        async def payload(self, part: Mass) -> str | Sent:
            await world.move(campaign.id, "paused", ("running",))
            return await super().payload(part)

    runner = world.runner(Slow())
    await runner.run_once()
    await runner.run_once()
    assert await world.counts(campaign.id) == {"planned": 30}
    assert await world.rows("select status from parts") == [("cancelled",)]
    assert await world.rows("select count(*) from mass_received") == [(0,)]
    await world.change("insert into optouts values (1, '', 1)")
    await world.move(campaign.id, "running", ("paused",))
    sender = Scripted()
    await world.until_done(world.runner(sender), campaign.id)
    assert len(sender.got) == 29


async def test_a_cancel_does_not_ask_for_a_part_that_nobody_heard_of(world: World) -> None:
    await world.members(30, allowance=0)
    campaign = await world.campaign(routes=LIST)
    sender = Scripted(on_mass=lambda part, number: LOST)
    runner = world.runner(sender, part=20)
    await runner.run_once()
    await world.move(campaign.id, "cancelled", ("running",))
    world.clock.at += 61
    await runner.run_once()
    await runner.run_once()
    assert len(sender.masses) == len({part.client_id for part in sender.masses})
    counts = await world.counts(campaign.id)
    assert counts["unknown"] == sum(sender.got.values())
    assert counts.get("planned", 0) == 0
    assert sum(counts.values()) == 30


async def test_one_that_was_asleep_before_the_call_does_not_make_it(world: World) -> None:
    await world.members(10, allowance=0)
    campaign = await world.campaign(routes=LIST)
    quick = Scripted()
    names: list[str] = []

    class Asleep(Scripted):
        async def mass(self, part: Mass) -> Sent:
            # Past the last look at the lease: the worst moment to be stopped at.
            names.append(part.client_id)
            world.clock.at += 61
            await world.runner(quick).run_once()
            # WeChat knows the name by now.
            self.names.update(quick.names)
            return await super().mass(part)

    asleep = Asleep()
    await world.runner(asleep).run_once()
    assert asleep.got + quick.got == everybody(10)
    await world.until_done(world.runner(quick), campaign.id)
    assert await world.counts(campaign.id) == {"accepted": 10}


# By tag, to all


async def test_a_tag_is_made_put_on_all_used_once_and_dropped(world: World) -> None:
    await world.members(120, allowance=0)
    campaign = await world.campaign(routes=("mass_tag",))
    sender = Scripted()
    runner = world.runner(sender, kind="subscription")
    # Ten calls at once, then the pace.
    await world.until_done(runner, campaign.id)
    assert sender.tag_calls == 3
    assert len(sender.masses) == 1
    assert sender.got == everybody(120)
    await world.store.parts.finished("mp", "1000", *SENT, world.clock())
    await runner.run_once()
    await runner.run_once()
    assert sender.tags == {}
    assert await world.rows("select count(*) from wechat_tagged") == [(0,)]
    assert await world.rows("select count(*) from wechat_tags") == [(0,)]


async def test_one_who_cannot_be_tagged_is_refused_and_the_others_are_not(world: World) -> None:
    await world.members(60, allowance=0)
    campaign = await world.campaign(routes=("mass_tag",))
    sender = Scripted(untaggable={"o7"})
    await world.until_done(world.runner(sender, kind="subscription"), campaign.id)
    assert await world.counts(campaign.id) == {"accepted": 59, "refused": 1}
    assert "o7" not in sender.got


async def test_a_subscription_account_sends_once_a_day(world: World) -> None:
    await world.members(10, allowance=0)
    first = await world.campaign(routes=("mass_tag",))
    second = await world.campaign(routes=("mass_tag",))
    sender = Scripted()
    runner = world.runner(sender, kind="subscription")
    for _ in range(3):
        await runner.run_once()
        world.clock.at += 61
    assert await world.status(first.id) == "done"
    assert len(sender.masses) == 1
    assert (second.id, "day_quota") in world.told
    assert await world.counts(second.id) == {"planned": 10}


async def test_to_all_is_one_call(world: World) -> None:
    await world.members(30, allowance=0)
    campaign = await world.campaign(routes=("mass_all",))
    names = tuple(f"o{number}" for number in range(1, 31))
    sender = Scripted(everybody=names)
    await world.until_done(world.runner(sender), campaign.id)
    assert [part.route for part in sender.masses] == ["mass_all"]
    assert sender.got == everybody(30)
    assert await world.rows("select to_all, ours from mass_sends") == [(1, 1)]
