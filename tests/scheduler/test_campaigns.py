"""The runner over a scripted way to WeChat: messages to one member each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest

from scheduler.sending import One, Sent
from store import Store, personal
from store.campaigns import Variant
from store.freezing import Row
from store.leases import CAMPAIGNS
from store.offers import NewOffer
from tests.blank import blank
from tests.scheduler.campaign_world import NOON, World
from tests.scheduler.sender import BUSY, DOWN, GONE, LOST, QUOTA, Scripted


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield World(store)
    await store.close()


async def test_everybody_gets_it_once_and_the_campaign_is_done(world: World) -> None:
    await world.members(300)
    campaign = await world.campaign()
    sender = Scripted()
    said = await world.runner(sender).run_once()
    assert said == "1 started, 300 sent"
    assert sender.got == Counter({f"o{number}": 1 for number in range(1, 301)})
    assert await world.counts(campaign.id) == {"accepted": 300}
    done = await world.get(campaign.id)
    assert (done.status, done.planned, done.started_at) == ("done", 300, NOON)
    assert await world.runner(sender).run_once() == ""


async def test_nothing_to_do_is_nothing_done(world: World) -> None:
    assert await world.runner(Scripted()).run_once() == ""


async def test_nobody_to_write_to_is_said_to_the_owner(world: World) -> None:
    await world.members(2, allowance=0)
    campaign = await world.campaign()
    await world.runner(Scripted()).run_once()
    assert await world.status(campaign.id) == "done"
    assert world.told == [(campaign.id, "nobody")]
    assert await world.counts(campaign.id) == {"skipped": 2}


async def test_no_more_are_under_way_at_a_time_than_a_kill_may_leave_unknown(world: World) -> None:
    await world.members(60)
    await world.campaign()
    sender = Scripted(delay_s=0.001)
    await world.runner(sender, parallel=7).run_once()
    assert sender.most == 7
    assert sum(sender.got.values()) == 60


async def test_the_last_message_of_an_allowance_is_left_for_an_answer(world: World) -> None:
    await world.members(1, allowance=2)
    for _ in range(2):
        await world.campaign()
    sender = Scripted()
    await world.runner(sender).run_once()
    assert sender.got == Counter({"o1": 1})
    assert await world.rows("select allowance from identities") == [(1,)]


async def test_what_changed_since_the_list_was_made_counts_when_it_is_claimed(
    world: World,
) -> None:
    ids = await world.members(7)
    campaign = await world.campaign(topic="直播", starts_at=NOON)
    sender = Scripted()
    # The list is made by a runner that has no time left to send.
    await world.runner(Scripted(), quiet=(time(11), time(13))).run_once()
    assert await world.counts(campaign.id) == {"planned": 7}
    await world.change("update identities set followed = 0 where member_id = ?", ids[0])
    await world.change("update identities set blocked_at = 1 where member_id = ?", ids[1])
    await world.change("insert into optouts values (?, '', 1)", ids[2])
    await world.change("insert into optouts values (?, '', 1)", ids[3])
    await world.change("insert into subscriptions values (?, '直播', 1)", ids[3])
    await world.change("update identities set allowance = 1 where member_id = ?", ids[4])
    await world.change("update identities set allowance_until = 1 where member_id = ?", ids[5])
    await world.store.members.erase(ids[6], NOON)
    world.clock.at += 3600
    await world.runner(sender).run_once()
    assert sender.got == Counter({"o4": 1})
    reasons = await world.rows(
        "select status, reason from deliveries where status = 'skipped' order by id"
    )
    assert [reason for _, reason in reasons] == [
        "not_following",
        "blocked",
        "opted_out",
        "allowance_used",
        "window_closed",
        "erased",
    ]


async def test_a_cap_counts_all_campaigns_and_two_at_once_never_break_it(world: World) -> None:
    await world.members(20)
    for _ in range(3):
        await world.campaign()
    sender = Scripted()
    # Lists of all three are made before the first message leaves.
    await world.runner(sender, cap_day=1, quiet=(time(11), time(13))).run_once()
    world.clock.at += 3600
    await world.runner(sender, cap_day=1).run_once()
    assert set(sender.got.values()) == {1}
    assert await world.rows("select reason, count(*) from deliveries group by 1 order by 1") == [
        ("", 20),
        ("capped", 40),
    ]


async def test_a_week_is_this_day_and_the_six_before(world: World) -> None:
    ids = await world.members(2)
    campaign = await world.campaign()
    for member_id, days in zip(ids, (6, 7), strict=True):
        await world.change(
            "insert into deliveries (campaign_id, member_id, occasion, status, claimed_at) "
            "values (?, ?, 'before', 'accepted', ?)",
            campaign.id,
            member_id,
            NOON - days * 86_400 - 11 * 3600,
        )
    sender = Scripted()
    await world.runner(sender, cap_week=1).run_once()
    assert sender.got == Counter({"o2": 1})


async def test_a_message_that_nobody_heard_is_unknown_and_never_sent_again(world: World) -> None:
    await world.members(30)
    campaign = await world.campaign()
    sender = Scripted(on_one=lambda one, number: LOST if number == 5 else None)
    runner = world.runner(sender)
    for _ in range(3):
        await runner.run_once()
        world.clock.at += 3600
    assert set(sender.got.values()) == {1}
    assert await world.counts(campaign.id) == {"accepted": 29, "unknown": 1}
    listed = await world.store.deliveries.unknown()
    assert [(one.title, one.route) for one in listed] == [("上新", "custom")]
    assert await world.store.deliveries.settle_unknown(listed[0].id, True, world.clock())
    assert not await world.store.deliveries.settle_unknown(listed[0].id, False, world.clock())
    assert await world.store.deliveries.unknown(campaign.id) == []


async def test_busy_is_tried_again_later_and_not_for_ever(world: World) -> None:
    await world.members(30)
    campaign = await world.campaign()
    tries: Counter[str] = Counter()

    def answer(one: One, number: int) -> Sent | None:
        tries[one.external_id] += 1
        if one.external_id == "o1" and tries["o1"] < 3:
            return BUSY
        return BUSY if one.external_id == "o2" else None

    sender = Scripted(on_one=answer)
    await world.until_done(world.runner(sender), campaign.id)
    assert tries["o1"] == 3
    assert tries["o2"] == 5
    assert await world.counts(campaign.id) == {"accepted": 29, "refused": 1}
    assert await world.rows("select reason, errcode from deliveries where status = 'refused'") == [
        ("busy", -1)
    ]


async def test_a_try_that_did_not_leave_gives_the_allowance_back(world: World) -> None:
    await world.members(1)
    campaign = await world.campaign()
    sender = Scripted(on_one=lambda one, number: DOWN if number < 4 else None)
    await world.until_done(world.runner(sender), campaign.id)
    assert len(sender.ones) == 4
    assert await world.rows("select allowance from identities") == [(3,)]


@pytest.mark.parametrize("gone", ["erased", "merged"])
async def test_who_is_nobody_any_more_when_their_call_did_not_leave_is_not_waited_for(
    world: World, gone: str
) -> None:
    keep, drop = await world.members(2)
    campaign = await world.campaign()

    async def away() -> None:
        if gone == "erased":
            await world.store.members.erase(drop, world.clock())
        else:
            await world.store.db.write(lambda conn: personal.merge(conn, keep, drop))

    class Slow(Scripted):
        async def one(self, delivery: One) -> Sent:
            if delivery.external_id == "o2":
                await away()
                return DOWN
            return await super().one(delivery)

    sender = Slow()
    await world.until_done(world.runner(sender), campaign.id, rounds=3)
    assert sender.got == Counter({"o1": 1})
    assert await world.rows(
        "select status, reason, due_at from deliveries where member_id is null"
    ) == [("skipped", "erased", None)]


async def test_a_dead_network_is_not_asked_for_every_member(world: World) -> None:
    await world.members(300)
    campaign = await world.campaign()
    sender = Scripted(on_one=lambda one, number: DOWN)
    await world.runner(sender, parallel=16).run_once()
    assert len(sender.ones) <= 32
    assert await world.status(campaign.id) == "running"
    sender.on_one = lambda one, number: None
    await world.until_done(world.runner(sender), campaign.id)
    assert await world.counts(campaign.id) == {"accepted": 300}


async def test_wechat_busy_for_everybody_pauses_without_losing_anybody(world: World) -> None:
    await world.members(200)
    campaign = await world.campaign()
    sender = Scripted(on_one=lambda one, number: BUSY)
    runner = world.runner(sender, parallel=16)
    for _ in range(20):
        await runner.run_once()
        world.clock.at += 61
    assert world.told == [(campaign.id, "busy")]
    assert await world.counts(campaign.id) == {"planned": 200}


async def test_an_empty_quota_in_the_middle_pauses_and_tells_the_owner_what_to_do(
    world: World,
) -> None:
    await world.members(100)
    campaign = await world.campaign()
    sender = Scripted(on_one=lambda one, number: QUOTA if number > 40 else None, delay_s=0.001)
    runner = world.runner(sender, parallel=8)
    await runner.run_once()
    assert (await world.get(campaign.id)).note == "今天的接口次数用完了"
    assert world.told == [(campaign.id, "今天的接口次数用完了")]
    assert len(sender.ones) <= 40 + 8
    assert await world.counts(campaign.id) == {"accepted": 40, "planned": 60}
    await world.move(campaign.id, "running", ("paused",))
    sender.on_one = lambda one, number: None
    await world.until_done(runner, campaign.id)
    assert set(sender.got.values()) == {1}
    assert len(sender.got) == 100


async def test_too_many_failures_pause_it(world: World) -> None:
    await world.members(200)
    campaign = await world.campaign()
    sender = Scripted(on_one=lambda one, number: GONE if number % 3 == 0 else None)
    await world.runner(sender, error_share=0.2, parallel=10).run_once()
    assert world.told == [(campaign.id, "errors")]
    assert (await world.get(campaign.id)).failures > 0
    assert len(sender.ones) < 60
    # Who does not follow is known from now on.
    gone = await world.counts(campaign.id)
    assert await world.rows("select count(*) from identities where followed = 0") == [
        (gone["refused"],)
    ]


async def test_a_pause_takes_effect_within_one_window_and_resume_goes_on(world: World) -> None:
    await world.members(200)
    campaign = await world.campaign()
    sender = Scripted(delay_s=0.005)
    runner = world.runner(sender, parallel=8)
    sending = asyncio.create_task(runner.run_once())
    while len(sender.ones) < 20:
        await asyncio.sleep(0)
    await world.move(campaign.id, "paused", ("running",))
    at = len(sender.ones)
    await sending
    assert len(sender.ones) <= at + 8
    assert sum((await world.counts(campaign.id)).values()) == 200
    assert await runner.run_once() == ""
    await world.move(campaign.id, "running", ("paused",))
    await world.until_done(runner, campaign.id)
    assert set(sender.got.values()) == {1}
    assert len(sender.got) == 200


async def test_a_cancel_skips_all_that_has_not_left(world: World) -> None:
    await world.members(200)
    campaign = await world.campaign()
    sender = Scripted(delay_s=0.005)
    runner = world.runner(sender, parallel=8)
    sending = asyncio.create_task(runner.run_once())
    while len(sender.ones) < 20:
        await asyncio.sleep(0)
    await world.move(campaign.id, "cancelled", ("running",))
    await sending
    await runner.run_once()
    counts = await world.counts(campaign.id)
    assert counts == {"accepted": len(sender.ones), "skipped": 200 - len(sender.ones)}


async def test_the_pace_is_kept(world: World) -> None:
    await world.members(100)
    await world.campaign()
    sender = Scripted()
    await world.runner(sender, custom_per_minute=60, parallel=10).run_once()
    # Ten at once, then one a second.
    assert world.clock.at - NOON == pytest.approx(90, abs=1.5)
    assert len(sender.got) == 100


async def test_a_day_that_is_used_up_waits_for_the_next(world: World) -> None:
    await world.members(10)
    campaign = await world.campaign()
    await world.change(
        "insert into quota (channel, name, day, used) "
        "values ('mp', 'message/custom/send', '2025-11-20', 100)"
    )
    sender = Scripted()
    runner = world.runner(sender, custom_per_day=100)
    await runner.run_once()
    assert not sender.got
    assert await world.status(campaign.id) == "running"
    world.clock.at = NOON + 12 * 3600
    await runner.run_once()
    assert len(sender.got) == 10


async def test_quiet_hours_are_quiet_from_their_first_second(world: World) -> None:
    await world.members(50)
    campaign = await world.campaign()
    sender = Scripted()
    runner = world.runner(
        sender, quiet=(time(12, 0, 30), time(14)), custom_per_minute=60, parallel=9
    )
    await runner.run_once()
    assert 0 < sum(sender.got.values()) < 50
    world.clock.at = NOON + 3600
    before = sum(sender.got.values())
    await world.runner(sender, quiet=(time(12, 0, 30), time(14))).run_once()
    assert sum(sender.got.values()) == before
    world.clock.at = NOON + 7200
    await world.until_done(world.runner(sender, quiet=(time(12, 0, 30), time(14))), campaign.id)
    assert len(sender.got) == 50


async def test_who_is_late_asks_first(world: World) -> None:
    await world.members(5)
    campaign = await world.campaign()
    world.clock.at += 901
    sender = Scripted()
    runner = world.runner(sender, grace_s=900.0)
    await runner.run_once()
    assert await world.status(campaign.id) == "late"
    assert world.told == [(campaign.id, "late")]
    assert not sender.ones
    resumed = await world.store.campaigns.resume(campaign.id, world.clock(), "cli")
    assert resumed is not None
    await runner.run_once()
    assert len(sender.got) == 5


async def test_a_list_that_is_broken_off_is_gone_on_with(world: World) -> None:
    await world.members(5)
    campaign = await world.campaign(holdout=0.4)
    runner = world.runner(Scripted())
    hold = await world.store.leases.take(CAMPAIGNS, "killed", NOON, 5)
    assert hold is not None
    begun = await world.store.freezing.begin(campaign.id, hold, NOON)
    assert begun is not None
    row = Row(1, "planned", "custom", "", "A", NOON)
    assert await world.store.freezing.add(begun, hold, [row], 1, NOON)
    # The same slice again, by one who does not know that it was written.
    assert not await world.store.freezing.add(begun, hold, [row], 1, NOON)
    world.clock.at += 6
    await world.until_done(runner, campaign.id)
    assert sum((await world.counts(campaign.id)).values()) == 5


async def test_a_rule_that_cannot_be_read_any_more_pauses_it(world: World) -> None:
    await world.members(2)
    campaign = await world.campaign(audience="segment:gone")
    await world.runner(Scripted()).run_once()
    assert await world.status(campaign.id) == "paused"
    assert world.told == [(campaign.id, "audience")]


async def test_the_rest_of_a_test_waits_for_its_winner(world: World) -> None:
    await world.members(200)
    both = (
        Variant(name="A", content={"kind": "text", "text": "甲"}),
        Variant(name="B", content={"kind": "text", "text": "乙"}),
    )
    campaign = await world.campaign(variants=both, test_share=0.2, test_s=3600.0)
    sender = Scripted()
    runner = world.runner(sender)
    await runner.run_once()
    tested = len(sender.got)
    assert 10 < tested < 80
    assert await world.status(campaign.id) == "running"
    world.clock.at += 7200
    await runner.run_once()
    assert len(sender.got) == tested
    assert await world.store.deliveries.decide(campaign.id, "B", world.clock())
    assert not await world.store.deliveries.decide(campaign.id, "A", world.clock())
    assert not await world.store.deliveries.decide(campaign.id, "C", world.clock())
    await world.until_done(runner, campaign.id)
    assert len(sender.got) == 200
    assert {one.variant for one in sender.ones[tested:]} == {"B"}


async def test_a_coupon_goes_along_once_and_ends_with_the_last_one(world: World) -> None:
    await world.members(5)
    new = NewOffer(word="早鸟", title="券", kind="amount", value=500, inventory=3)
    await world.store.offers.create(new, NOON, "cli")
    content = {"kind": "coupon", "offer": "早鸟", "text": "给你"}
    campaign = await world.campaign(variants=(Variant(content=content),))
    sender = Scripted(on_one=lambda one, number: DOWN if number == 1 else None)
    await world.until_done(world.runner(sender), campaign.id)
    codes = {one.coupon for one in sender.ones}
    assert len(codes) == 3
    assert "" not in codes
    assert await world.counts(campaign.id) == {"accepted": 3, "skipped": 2}
    assert await world.rows("select count(*) from coupons") == [(3,)]


async def test_who_cannot_be_written_to_any_more_goes_the_next_way(world: World) -> None:
    ids = await world.members(6)
    campaign = await world.campaign(routes=("custom", "mass_list"))
    sender = Scripted()
    await world.runner(sender, quiet=(time(11), time(13))).run_once()
    await world.change(
        f"update identities set allowance_until = 1 where member_id in ({ids[0]}, {ids[1]})"
    )
    world.clock.at += 3600
    await world.until_done(world.runner(sender), campaign.id)
    assert len(sender.ones) == 4
    assert [part.openids for part in sender.masses] == [("o1", "o2")]
    assert set(sender.got.values()) == {1}


async def test_a_sender_that_breaks_its_word_costs_one_unknown(world: World) -> None:
    await world.members(30)
    campaign = await world.campaign()

    def breaks(one: One, number: int) -> Sent | None:
        if number == 3:
            raise RuntimeError("a bug")
        return None

    await world.runner(Scripted(on_one=breaks)).run_once()
    assert await world.counts(campaign.id) == {"accepted": 29, "unknown": 1}


async def test_a_channel_that_nobody_serves_waits(world: World) -> None:
    await world.members(2)
    campaign = await world.campaign(channel="other")
    assert await world.runner(Scripted()).run_once() == ""
    assert await world.status(campaign.id) == "scheduled"


async def test_an_owner_who_cannot_be_told_does_not_stop_the_runner(world: World) -> None:
    await world.members(2)
    await world.campaign(audience="segment:gone")
    other = await world.campaign()

    async def fails(campaign: object, note: str) -> None:
        raise RuntimeError("no way to the owner")

    sender = Scripted()
    runner = world.runner(sender)
    runner._told = fails
    await runner.run_once()
    assert await world.status(other.id) == "done"


async def test_several_campaigns_take_turns(world: World) -> None:
    await world.members(40)
    first = await world.campaign(title="一")
    second = await world.campaign(title="二")
    sender = Scripted(
        on_one=lambda one, number: (
            replace(DOWN, after_s=3600) if one.campaign_id == first.id else None
        )
    )
    runner = world.runner(sender)
    await runner.run_once()
    # The route is closed for both: WeChat does not ask which campaign it is.
    assert await world.status(second.id) == "running"
    sender.on_one = lambda one, number: None
    world.clock.at += 3601
    await runner.run_once()
    assert await world.status(first.id) == await world.status(second.id) == "done"
    assert set(sender.got.values()) == {2}
