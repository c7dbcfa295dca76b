"""A process that begins campaigns into groups and posts them: for the proof that kills it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time as daytime
from pathlib import Path

from bot.campaign_filling import Filling
from bot.client import new_session
from bot.group_robot import GroupRobot
from bot.group_wording import GroupWording
from bot.posting import Posting
from bot.rules import Secret
from scheduler.campaigns import Runner
from scheduler.group_campaigns import GroupRunner, Way
from scheduler.rules import CampaignRules
from store import Store
from store.campaigns import Campaign
from tests.scheduler.sender import Scripted

RULES = CampaignRules(quiet=(daytime(0), daytime(0)), lease_s=0.2, grace_s=86_400.0)


@dataclass(frozen=True)
class Job:
    """What a process gets. keys: channel -> the key of its robot."""

    file: Path
    api_base: str
    keys: Mapping[str, str]


async def _told(campaign: Campaign, note: str) -> None:
    print(f"campaign {campaign.id}: {note}")


async def send(job: Job) -> None:
    """Until every campaign is done."""
    store = Store(job.file, durability="process", readers=1)
    await store.open()
    session = new_session()
    wording = GroupWording(Filling(store, None, now=time.time), store.assets)
    ways = {name: Way("robot") for name in job.keys}
    posting = Posting(
        store,
        {
            name: GroupRobot(
                name,
                Secret(key),
                session=session,
                files=store.assets,
                now=time.time,
                api_base=job.api_base,
                timeout_s=5.0,
            )
            for name, key in job.keys.items()
        },
        dict.fromkeys(job.keys, 20),
        now=time.time,
        steady=time.monotonic,
        observe=lambda channel, outcome: None,
    )
    runner = Runner(
        store,
        Scripted(),
        RULES,
        now=time.time,
        holder=f"process {os.getpid()}",
        told=_told,
        accounts={},
        groups=GroupRunner(store, wording, RULES, ways, now=time.time, wake=posting.wake),
    )
    task = asyncio.create_task(posting.run())
    while await store.campaigns.all("scheduled") or await store.campaigns.all("running"):
        await runner.run_once()
        await asyncio.sleep(0.02)
    posting.close()
    await task
    await runner.close()
    await session.close()
    await store.close()


def main(job: Job, log: str) -> None:
    """A process of its own; what it says goes into a file."""
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    asyncio.run(send(job))
