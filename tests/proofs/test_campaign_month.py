"""A month of campaigns and journeys on both kinds of account, and WeChat never says no.

The fake refuses as WeChat does: 45028 for a mass send too many, 45015 outside a window, 45047
for a message too many in it, 45011 for a pace too fast, 45009 for a day's quota. None of it
may be heard once. What the phones received is held against the ledger, the caps, the quiet hours
and the opt-outs; what was forecast against what came of it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from handlers.context import SHANGHAI
from scheduler import pace
from store.dialect import Connection
from tests.proofs.month import (
    DAY,
    HOUR,
    MOMENTS,
    RULES,
    SERVICE,
    START,
    SUBSCRIPTION,
    Month,
    month,
)

DAYS = 30
DOWN = (17, 19)
"""From the noon of one day to the morning of the other the bot is not there."""

AUDIENCES = ("tag:python", "active 5d", "tag:writing and not bought:py-1", "new 400d", "tag:data")


async def beginning(world: Month, members: int) -> None:
    """People, journeys of every kind, and what repeats."""
    await world.come(members)
    world.now = START + 7 * HOUR
    await world.claim("早鸟", 0.3, 12.0)
    mass = ("custom", "mass_list")
    await world.journey(SERVICE, "follow", 0.0, 3 * DAY, 7 * DAY, routes=mass)
    await world.journey(SERVICE, "date", -DAY, -HOUR)
    await world.journey(SERVICE, "coupon", -3 * DAY, -DAY)
    await world.journey(SERVICE, "silence 7d", 0.0, routes=mass)
    await world.journey(SERVICE, "abandoned 1d", 0.0)
    await world.journey(SERVICE, "window 2h", 0.0)
    await world.journey(SUBSCRIPTION, "follow", 0.0, 3 * DAY)
    for channel in (SERVICE, SUBSCRIPTION):
        await world.plan(
            channel,
            "active 2d",
            kind="cron",
            cron="0 12 * * *",
            routes=("custom",),
            starts_at=START + 12 * HOUR,
        )


async def campaigns_of(world: Month, day: int, hour: float) -> None:
    """What operators confirm at this moment."""
    if hour == 10.0:
        if day == 9:
            world.by_hand(SERVICE)
            await world.report()
        if day % 2 == 1:
            # Not more than members may get: who had theirs is left out before anything leaves.
            await world.go(await world.plan(SERVICE, AUDIENCES[day // 2 % len(AUDIENCES)]))
        if day % 7 == 6:
            await world.plan(SERVICE, "everyone", timing="best", routes=("custom",))
            await world.settle()
    if hour == 20.0 and day % 2 == 0:
        by_tag = {"routes": ("custom", "mass_tag"), "variants": world.one_variant()}
        await world.go(
            await world.plan(SUBSCRIPTION, AUDIENCES[day // 2 % len(AUDIENCES)], **by_tag)
        )
        # A second one on the day is more than a subscription account may send.
        other = await world.plan(SUBSCRIPTION, "tag:data", **by_tag)
        told = await world.expected(other)
        assert "day_quota" in told.problems or not told.routes.get("mass_tag"), told
        await world.store.campaigns.cancel(other.id, world.now, "cli")
        world.figures["refused beforehand"] += "day_quota" in told.problems


def few(day: int) -> Sequence[float]:
    """What a test that everybody runs has time for."""
    return (10.0, 12.0, 20.0, 23.5) if day % 5 == 0 else (10.0, 12.0, 20.0)


def all_of(day: int) -> Sequence[float]:
    """Every moment there is."""
    return MOMENTS


async def lived(
    folder: Path, *, members: int, seed: int, moments: Callable[[int], Sequence[float]]
) -> dict[str, Any]:
    """The whole story; its figures. Fails at the first promise that was broken."""
    began = time.monotonic()
    async with month(folder, seed) as world:
        await beginning(world, members)
        for day in range(DAYS):
            for hour in moments(day):
                world.now = max(world.now, START + day * DAY + hour * HOUR)
                await world.live()
                at = day + hour / 24
                if DOWN[0] + 0.4 < at < DOWN[1] + 0.4:
                    continue
                world.now += 10.0
                await world.ticks()
                await world.settle()
                if await late_ones(world):
                    await world.settle()
                await campaigns_of(world, day, hour)
        await checked(world)
        figures = dict(world.figures)
    seconds = round(time.monotonic() - began, 1)
    return {"members": members, "seed": seed, "seconds": seconds, **figures}


async def late_ones(world: Month) -> bool:
    """After the downtime a campaign asks; one account's operator says yes, the other's no. Whether
    one did."""
    lost = await world.lost()
    for one in lost:
        # Not begun in time, or begun and not gone on with: some of it was due in the meantime.
        assert one.note == "overdue" or pace.late(one, world.now, RULES.grace_s)
        assert (one.id, one.note) in world.told
        if one.channel == SERVICE:
            await world.store.campaigns.resume(one.id, world.now, "cli")
        else:
            await world.store.campaigns.cancel(one.id, world.now, "cli")
        world.figures["late ones that asked"] += 1
    return bool(lost)


async def checked(world: Month) -> None:
    """The phones, the platform's books and the ledger."""
    for channel, fake in world.fakes.items():
        assert fake.refused == Counter(), (channel, fake.refused)
        ours = [job for job in fake.mass.jobs.values() if job.client_id]
        assert sum(job.over for job in ours) == 0, "WeChat left somebody out of a fifth mass send"
        assert all(job.tries == 1 for job in ours)
        world.figures[f"mass sends on {channel}"] = len(ours)
        world.figures[f"calls to {channel}"] = sum(fake.calls.values())
    phones: Counter[tuple[str, str]] = Counter()
    for fake in world.fakes.values():
        for openid, member in fake.members.items():
            times = []
            for got in member.inbox:
                if got.content in world.texts:
                    phones[openid, got.content] += 1
                    times.append(got.at)
            within_bounds(world, openid, times)
    assert phones == await world.store.db.read(ledger)
    world.figures["messages to members"] = phones.total()
    rows = await world.store.db.read(
        lambda conn: conn.execute(
            "select status, reason, count(*) from deliveries group by 1, 2"
        ).fetchall()
    )
    for status, reason, count in rows:
        assert status not in ("unknown", "sending", "refused"), (status, reason, count)
        name = status if status != "skipped" else f"skipped: {reason}"
        world.figures[name] += count


def within_bounds(world: Month, openid: str, times: list[float]) -> None:
    """What one phone received of us, and when."""
    days = Counter(int((at + 8 * HOUR) // DAY) for at in times)
    assert max(days.values(), default=0) <= RULES.cap_day, (openid, times)
    for first in days:
        assert sum(days[first + n] for n in range(7)) <= RULES.cap_week, (openid, days)
    assert not any(pace.quiet(at, RULES.quiet) for at in times), (openid, times)
    for out, since, until in world.all_outs():
        if out == openid:
            assert not any(since < at < until for at in times), (openid, since, until)


def ledger(conn: Connection) -> Counter[tuple[str, str]]:
    """(openid, text) of all that the ledger says was taken by WeChat."""
    found: Counter[tuple[str, str]] = Counter()
    rows = conn.execute(
        "select i.external_id, v.content, count(*) from deliveries as d "
        "join identities as i on i.member_id = d.member_id "
        "join variants as v on v.campaign_id = d.campaign_id and v.name = d.variant "
        "where d.status in ('accepted', 'delivered') group by 1, 2"
    )
    for openid, content, count in rows:
        found[openid, json.loads(content)["text"]] += count
    return found


@pytest.mark.parametrize(
    ("members", "moments", "seed"),
    [
        # Few people: what is to happen to somebody is not left to chance.
        pytest.param(120, few, 7, id="a-few"),
        pytest.param(5000, all_of, 0, id="five-thousand", marks=pytest.mark.nightly),
    ],
)
async def test_a_month_without_a_word_of_refusal(
    tmp_path: Path, members: int, moments: Callable[[int], Sequence[float]], seed: int
) -> None:
    seed = seed or time.time_ns() % 1_000_000
    print(f"seed {seed}")
    figures = await lived(tmp_path, members=members, seed=seed, moments=moments)
    print(json.dumps(figures, ensure_ascii=False))
    # What makes the figures mean something: all of it has happened.
    assert figures["forecasts that came true"] >= 25
    assert figures["late ones that asked"] == 2
    assert figures["refused beforehand"] >= 5
    for reason in ("capped", "opted_out", "stopped:bought"):
        assert figures.get(f"skipped: {reason}", 0) > 0, reason
    assert datetime.fromtimestamp(START, SHANGHAI).month == 11
