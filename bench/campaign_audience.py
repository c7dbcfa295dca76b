"""An audience of a million: how long until it is known, and until it stands as delivery rows.

A store is filled by a process of its own with members as a community has them: tags, points,
orders, clicks, opt-outs, and what they got this month. Then a fresh process on one core asks a
rule of six conditions page by page, as a preview does, and freezes a campaign through the
runner's own steps. Its memory is the most it ever had. One JSON object on stdout, progress on
stderr; `python -m bench.campaign` prints the same figures under `audience`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import time as clock_time
from pathlib import Path
from typing import Any

from scheduler.campaigns import Runner
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from scheduler.sending import Mass, MassState, One, Sent
from store import Store, audience, campaigns, crowd
from store.campaigns import Campaign, NewCampaign, Variant
from store.dialect import Connection

CHANNEL = "mp"
NOW = 1_795_000_000.0
RULE = (
    "active 30d and (tag:python or tag:写作) and not bought:py-101 and level>=2 "
    'and orders<9 and not segment:"about to leave"'
)
LEVELS = (0, 100, 500)
TIERS = ("trial", "paid")

GOAL_S = 20.0
GOAL_MB = 300.0

MEMBERS = 1_000_000
_QUIET = (clock_time(19), clock_time(20))
"""The hour of NOW: the list is written, and nothing is sent."""


# Measuring, in a process of its own


class _Silent:
    """The way to WeChat of a bench that sends nothing."""

    async def one(self, delivery: One) -> Sent:
        raise AssertionError("something was sent")

    async def payload(self, part: Mass) -> str | Sent:
        raise AssertionError("something was sent")

    async def mass(self, part: Mass) -> Sent:
        raise AssertionError("something was sent")

    async def state(self, channel: str, msg_id: str) -> MassState:
        raise AssertionError("something was sent")

    async def make_tag(self, channel: str, name: str) -> int | Sent:
        raise AssertionError("something was sent")

    async def tag(self, channel: str, tag_id: int, openids: Sequence[str], on: bool) -> Sent:
        raise AssertionError("something was sent")

    async def drop_tag(self, channel: str, tag_id: int) -> Sent:
        raise AssertionError("something was sent")


async def _told(campaign: Campaign, note: str) -> None:
    raise AssertionError(f"campaign {campaign.id} stopped: {note}")


async def _asked(store: Store, rule: str) -> dict[str, Any]:
    """How long a rule takes: counted, and with all that a page knows of each person."""
    began = time.perf_counter()
    found = await store.audiences.look(rule, NOW, levels=LEVELS, tiers=TIERS)
    counted_s = time.perf_counter() - began
    people = after = 0
    began = time.perf_counter()

    def page(conn: Connection) -> list[audience.Person]:
        return audience.page(
            conn, rule, CHANNEL, NOW, topic="写作", after=after, levels=LEVELS, tiers=TIERS
        )

    while persons := await store.db.read(page):
        people += len(persons)
        after = persons[-1].member_id
    return {
        "rule": rule,
        "matched": found.matched,
        "on_channel": people,
        "count_s": round(counted_s, 2),
        "pages_s": round(time.perf_counter() - began, 2),
    }


async def _frozen(store: Store, rule: str) -> dict[str, Any]:
    """A campaign to them, from scheduled to the last row of its list."""
    new = NewCampaign(
        title="bench",
        channel=CHANNEL,
        audience=rule,
        topic="写作",
        variants=(
            Variant(name="A", content={"kind": "text", "text": "a"}),
            Variant(name="B", content={"kind": "text", "text": "b"}),
        ),
        routes=("custom", "mass_list"),
        starts_at=NOW,
    )
    made = await store.db.write(
        lambda conn: campaigns.insert(conn, new, NOW, "bench", status="scheduled")
    )
    assert made is not None
    runner = Runner(
        store,
        _Silent(),
        CampaignRules(quiet=_QUIET),
        now=lambda: NOW,
        holder="bench",
        told=_told,
        accounts={CHANNEL: Account("service")},
        levels=LEVELS,
        tiers=TIERS,
        budget_s=math.inf,
    )
    began, cpu = time.perf_counter(), time.process_time()
    await runner.run_once()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    rows = await store.deliveries.counts(made.id)
    done = await store.campaigns.get(made.id)
    assert done is not None
    assert done.status == "running", done.status
    return {
        "rule": rule,
        "rows": sum(rows.values()),
        "planned": done.planned,
        "by_status": rows,
        "freeze_s": round(seconds, 2),
        "freeze_cpu_s": round(cpu_s, 2),
    }


async def _measured(path: Path) -> dict[str, Any]:
    store = Store(path)
    await store.open()
    try:
        asked = [await _asked(store, rule) for rule in ("everyone", RULE)]
        frozen = [await _frozen(store, rule) for rule in (RULE, "everyone")]
    finally:
        await store.close()
    return {"asked": asked, "frozen": frozen}


def _alone(path: Path, core: int | None) -> dict[str, Any]:
    if core is not None:
        os.sched_setaffinity(0, {core})
    told = asyncio.run(_measured(path))
    told["rss_max_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return told


def _filled(path: Path, members: int) -> None:
    crowd.fill(path, members, channel=CHANNEL, now=NOW)


def _a_core() -> int | None:
    """A core for the measured process alone; None where they cannot be chosen."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None


def run(members: int = MEMBERS) -> dict[str, Any]:
    """Fill a store, then measure. Takes a minute for a million members."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="zhiqun-bench-") as folder:
        path = Path(folder) / "bench.db"
        began = time.perf_counter()
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            pool.submit(_filled, path, members).result()
        filled_s = time.perf_counter() - began
        size = path.stat().st_size
        print(f"{members} members in {filled_s:.0f} s", file=sys.stderr, flush=True)
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            told = pool.submit(_alone, path, _a_core()).result()
    slowest = max(one["freeze_s"] for one in told["frozen"])
    return {
        "members": members,
        "file_mb": round(size / 2**20, 1),
        **told,
        "freeze_within_20_s": slowest <= GOAL_S,
        "rss_under_300_mb": told["rss_max_mb"] <= GOAL_MB,
    }


def main() -> None:
    """`python -m bench.campaign_audience [--quick]`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="50,000 members")
    chosen = parser.parse_args()
    print(json.dumps(run(50_000 if chosen.quick else MEMBERS), ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
