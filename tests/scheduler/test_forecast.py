"""What is said before is what is done then: the forecast against the runner's own rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import planner
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from store import Store, mass_quota
from store.campaigns import Variant
from store.dialect import Connection
from tests.blank import blank
from tests.scheduler.campaign_world import CHANNEL, NEVER_QUIET, NOON, World
from tests.scheduler.sender import Scripted

MONTH = mass_quota.month_of(NOON)
TWO = (
    Variant(name="A", weight=2, content={"kind": "text", "text": "一"}),
    Variant(name="B", weight=1, content={"kind": "text", "text": "二"}),
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield World(store)
    await store.close()


async def mixed(world: World) -> None:
    """Members of every kind there is: 240 of them."""
    await world.members(80)
    silent = await world.members(120, allowance=0, first=81)
    gone = await world.members(40, first=201)
    now = world.clock()

    def run(conn: Connection) -> None:
        for _ in range(4):
            mass_quota.take(conn, CHANNEL, MONTH, silent[:30])
        mass_quota.take(conn, CHANNEL, MONTH, silent[30:50])
        for column, members in (("followed = 0", gone[:10]), ("blocked_at = 1", gone[10:15])):
            conn.executemany(
                f"update identities set {column} where member_id = ?", [(one,) for one in members]
            )
        conn.executemany(
            "insert into optouts (member_id, topic, since) values (?, '', ?)",
            [(one, now) for one in gone[15:25]],
        )
        conn.execute(
            "insert into members (created_at) values (?)",
            (now,),  # a stranger to this account
        )

    await world.store.db.write(run)


async def outcome(world: World, campaign_id: int) -> dict[str, Any]:
    """What the runner's rows say, as a forecast says it."""
    rows = await world.rows(
        "select status, reason, route, variant from deliveries where campaign_id = ?", campaign_id
    )
    sent = [row for row in rows if row[0] in ("accepted", "delivered")]
    return {
        "recipients": len(sent),
        "held": sum(row[0] == "held" for row in rows),
        "skipped": Counter(row[1] for row in rows if row[0] == "skipped"),
        "routes": Counter(row[2] for row in sent),
        "variants": Counter(row[3] for row in sent),
    }


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"holdout": 0.2, "variants": TWO},
        {"routes": ("mass_list",), "variants": TWO},
        {"routes": ("mass_tag",)},
        {"routes": ("mass_list", "custom"), "holdout": 0.5},
    ],
)
async def test_a_forecast_equals_what_the_runner_then_does(
    world: World, fields: dict[str, Any]
) -> None:
    await mixed(world)
    campaign = await world.campaign(**{"routes": ("custom", "mass_list"), **fields})
    rules = CampaignRules(quiet=NEVER_QUIET, cap_day=0, cap_week=0, part=25)
    told = await planner.forecast(world.store, campaign, rules, Account(), world.clock())
    assert told.matched == 241
    assert told.problems == ()
    strangers = 1
    said = {
        "recipients": told.recipients,
        "held": told.held,
        "skipped": Counter(told.skipped) - Counter(unreachable=strangers),
        "routes": told.routes,
        "variants": told.variants,
    }
    sender = Scripted()
    await world.until_done(world.runner(sender, part=25), campaign.id)
    assert await outcome(world, campaign.id) == said
    calls = told.calls
    assert len(sender.ones) == calls.get("message/custom/send", 0)
    sends = calls.get("message/mass/send", 0) + calls.get("message/mass/sendall", 0)
    assert len(sender.masses) == sends
    assert sender.tag_calls == calls.get("tags/members/batchtagging", 0)
    got = await world.rows(
        "select r.count, count(*) from mass_received as r join deliveries as d "
        "on d.member_id = r.member_id and d.campaign_id = ? and d.part_id is not null "
        "group by r.count",
        campaign.id,
    )
    assert dict(got) == told.quota
