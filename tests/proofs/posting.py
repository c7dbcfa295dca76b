"""A process that does nothing but post into groups: for proofs that kill it.

It knows WeCom by its address and everything else by the file. Its clock may run faster than
ours: WeCom's minute is then a second.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from bot.client import new_session
from bot.group_robot import GroupRobot
from bot.posting import Posting
from bot.rules import Secret
from store import Store

CHANNEL = "poster"


@dataclass(frozen=True)
class Job:
    """What a process gets. epoch, speed: its clock says epoch + speed × seconds since epoch."""

    file: Path
    api_base: str
    key: str
    epoch: float
    speed: float
    timeout_s: float = 5.0

    def now(self) -> float:
        """The time, as this proof has it."""
        return self.epoch + self.speed * (time.time() - self.epoch)


async def post(job: Job) -> None:
    """Until nothing is planned."""
    store = Store(job.file, durability="process", readers=1)
    await store.open()
    session = new_session()
    robot = GroupRobot(
        CHANNEL,
        Secret(job.key),
        session=session,
        files=store.assets,
        now=job.now,
        api_base=job.api_base,
        timeout_s=job.timeout_s,
    )
    posting = Posting(
        store,
        {CHANNEL: robot},
        {CHANNEL: 20},
        now=job.now,
        steady=job.now,
        observe=lambda channel, outcome: None,
    )
    task = asyncio.create_task(posting.run())
    while {"planned", "sending"} & set(await store.posts.counts()):
        await asyncio.sleep(0.02)
        # The worker sleeps by our clock: it does not know that time runs faster here.
        posting.wake()
    posting.close()
    await task
    await session.close()
    await store.close()


def main(job: Job, log: str) -> None:
    """A process of its own; what it says goes into a file."""
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    asyncio.run(post(job))
