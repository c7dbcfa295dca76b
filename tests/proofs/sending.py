"""A process that does nothing but send campaigns: for proofs that kill it or put it to sleep.

It knows WeChat by its address and everything else by the file. Its clock may run faster than
ours: a minute that WeChat asks to wait for is then a second.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from dataclasses import dataclass
from datetime import time as clock_time
from pathlib import Path

from bot.campaign_filling import Filling
from bot.campaign_media import CampaignMedia
from bot.client import Client, new_session
from bot.sender import Sender
from scheduler.campaigns import Runner
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from store import Store
from store.campaigns import Campaign
from tests.proofs.world import ACCOUNT

CHANNEL = "mp"


@dataclass(frozen=True)
class Job:
    """What a process gets. epoch, speed: its clock says epoch + speed × seconds since epoch."""

    file: Path
    api_base: str
    epoch: float
    speed: float
    parallel: int = 16
    part: int = 100
    lease_s: float = 0.4
    timeout_s: float = 0.5

    def now(self) -> float:
        """The time, as this proof has it."""
        return self.epoch + self.speed * (time.time() - self.epoch)


class Secret:
    """What the client asks for."""

    def reveal(self) -> str:
        """The account's."""
        return ACCOUNT.app_secret


async def send(job: Job) -> None:
    """Until every campaign in the file is done."""
    store = Store(job.file, durability="process", readers=1)
    await store.open()
    session = new_session(job.parallel)
    client = Client(
        CHANNEL,
        ACCOUNT.app_id,
        Secret(),
        session=session,
        tokens=store.tokens,
        quota=store.quota,
        now=job.now,
        api_base=job.api_base,
        timeout_s=job.timeout_s,
    )

    filling = Filling(store, None, now=job.now)

    async def told(campaign: Campaign, note: str) -> None:
        print(f"campaign {campaign.id}: {note}", file=sys.stderr, flush=True)

    runner = Runner(
        store,
        Sender({CHANNEL: client}, filling, CampaignMedia(store.assets, now=job.now)),
        CampaignRules(
            quiet=(clock_time(0), clock_time(0)),
            cap_day=1,
            cap_week=1,
            custom_per_minute=1_000_000,
            mass_per_minute=60,
            part=job.part,
            parallel=job.parallel,
            lease_s=job.lease_s * job.speed,
            # A machine that is slow to start the next process is not what is proven here.
            grace_s=3600.0 * job.speed,
        ),
        now=job.now,
        holder=secrets.token_hex(8),
        told=told,
        accounts={CHANNEL: Account()},
        sleep=lambda seconds: asyncio.sleep(seconds / job.speed),
        keep_s=job.lease_s / 3,
    )
    while await store.db.read(_open):
        await runner.run_once()
        await asyncio.sleep(0.02)
    await runner.close()
    await session.close()
    await store.close()


def _open(conn: object) -> bool:
    sql = "select 1 from campaigns where status not in ('done', 'paused', 'late') limit 1"
    return conn.execute(sql).fetchone() is not None  # type: ignore[attr-defined]


def main(job: Job, log: str) -> None:
    """A process of its own; what it says goes into a file."""
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    asyncio.run(send(job))
