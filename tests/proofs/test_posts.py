"""SIGKILL while 25 posts go to one webhook: 20 in a minute, none twice, none lost unseen.

The process that posts is killed while it waits for the next minute, in the middle of a call that
WeCom performed, and in the middle of one that it did not. Then the group is read, which knows
nothing of our ledger: what is not in it is listed as unknown.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.fake_qyapi import Call, FakeQyapi
from store import Store
from store.posts import NewPost, Post
from tests.blank import blank
from tests.proofs import posting
from tests.store.rows import ask_file

KEY = "693a91f6-7aoc-4bc4-97a0-0ec2sifa5aaa"
SPEED = 40.0
"""A minute is one and a half seconds."""


@dataclass
class World:
    """A group robot's group, a ledger with posts, and processes that post and are killed."""

    fake: FakeQyapi
    job: posting.Job
    log: str
    context: Any

    def start(self) -> Any:
        process = self.context.Process(target=posting.main, args=(self.job, self.log))
        process.start()
        return process

    async def killed_when(self, done: Callable[[], bool]) -> None:
        """A life that ends when something is so."""
        process = self.start()
        try:
            async with asyncio.timeout(60):
                while not done():
                    assert process.is_alive(), self.said()
                    await asyncio.sleep(0.002)
        finally:
            process.kill()
            await asyncio.to_thread(process.join)

    async def to_the_end(self) -> None:
        process = self.start()
        await asyncio.to_thread(process.join, 120)
        assert process.exitcode == 0, self.said()

    def said(self) -> str:
        return Path(self.log).read_text()[-2000:]

    def group(self) -> list[int]:
        return [int(one.body["text"]["content"]) for one in self.fake.posted(KEY)]

    def ledger(self) -> dict[int, str]:
        return dict(ask_file(self.job.file, "select id, status from posts"))

    def count(self, status: str) -> int:
        return list(self.ledger().values()).count(status)


@asynccontextmanager
async def world(folder: Path, posts: int, speed: float = SPEED) -> AsyncIterator[World]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.proofs.posting"])
    epoch = time.time()
    fake = FakeQyapi(now=lambda: epoch + speed * (time.time() - epoch))
    fake.robot(KEY)
    job = posting.Job(folder / "zhiqun.db", await fake.start(), KEY, epoch, speed)
    store = Store(blank(job.file), durability="process")
    await store.open()
    for number in range(1, posts + 1):
        new = NewPost(
            key=number.to_bytes(16, "big"),
            channel=posting.CHANNEL,
            place=f"{posting.CHANNEL}:1",
            kind="campaign",
            body=Post("text", str(number)),
            due_at=epoch,
        )
        assert await store.posts.plan(new, epoch)
    await store.close()
    try:
        yield World(fake, job, str(folder / "log.txt"), context)
    finally:
        await fake.close()


def never_too_fast(fake: FakeQyapi) -> None:
    """By WeCom's own clock, and WeCom never had to say so."""
    at = [one.at for one in fake.posted(KEY)]
    assert all(later - first >= 60.0 for first, later in zip(at, at[20:], strict=False))
    assert fake.refused == {}


async def test_twenty_five_posts_survive_a_kill_while_they_wait_for_the_minute(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, 25) as w:
        await w.killed_when(lambda: len(w.group()) == 20 and w.count("sent") == 20)
        await w.to_the_end()
        assert w.group() == list(range(1, 26))
        assert w.count("sent") == 25
        never_too_fast(w.fake)


async def test_twenty_five_posts_survive_kills_in_the_middle_of_calls(tmp_path: Path) -> None:
    async with world(tmp_path, 25) as w:
        hanging: list[str] = []

        def fault(call: Call) -> str:
            found = {"7": "hang", "12": "stall"}.get(call.json["text"]["content"], "")
            if found:
                hanging.append(found)
            return found

        w.fake.faults = fault
        await w.killed_when(lambda: hanging == ["hang"] and 7 in w.group())
        await w.killed_when(lambda: hanging == ["hang", "stall"])
        await w.to_the_end()
        ledger = w.ledger()
        assert [number for number, status in ledger.items() if status != "sent"] == [7, 12]
        assert ledger[7] == ledger[12] == "unknown"
        # WeCom performed the one and not the other; neither is posted a second time.
        assert w.group() == [number for number in range(1, 26) if number != 12]
        never_too_fast(w.fake)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(3))
async def test_posts_survive_kills_at_random_moments(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    async with world(tmp_path, 200, speed=120.0) as w:
        w.fake.faults = lambda call: rng.choices(
            ("", "busy", "lost", "cut", "500"), (90, 4, 2, 2, 2)
        )[0]
        for _ in range(40):
            process = w.start()
            await asyncio.sleep(rng.uniform(0.05, 0.5))
            process.kill()
            await asyncio.to_thread(process.join)
        await w.to_the_end()
        group = w.group()
        assert len(group) == len(set(group))
        assert group == sorted(group)
        ledger = w.ledger()
        assert set(ledger.values()) <= {"sent", "unknown"}
        assert {number for number, status in ledger.items() if status == "sent"} <= set(group)
        at = [one.at for one in w.fake.posted(KEY)]
        assert all(later - first >= 60.0 for first, later in zip(at, at[20:], strict=False))
