"""SIGKILL while a campaign goes into groups: no group gets it twice, none is lost unseen.

The process is killed in the middle of a call that WeCom performed and of one that it did not.
Then the groups are read, which know nothing of our ledger.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

from sandbox.fake_qyapi import Call, FakeQyapi
from store import Store, campaigns
from store.campaign_places import grouped
from store.campaigns import Campaign, NewCampaign, Variant
from store.dialect import Connection
from tests.blank import blank
from tests.proofs import group_sending
from tests.proofs.group_sending import Job
from tests.store.rows import ask_file

KEYS = {f"robot{number}": f"693a91f6-7aoc-4bc4-97a0-0ec2sifa5a{number:02}" for number in range(8)}


async def prepared(file: Path) -> None:
    """A bound group for each robot, and a campaign into all of them that is due."""
    store = Store(blank(file), durability="process")
    await store.open()
    for channel in KEYS:
        await store.groups.meet(channel, "robot", 1.0, name=channel, bound_by="config")
    new = grouped(
        NewCampaign(
            title="上新",
            channel="mp",
            audience="",
            variants=(Variant(content={"kind": "text", "text": "今晚八点"}),),
            places=tuple(f"{channel}:robot" for channel in KEYS),
            starts_at=None,
            holdout=0.0,
        )
    )

    def run(conn: Connection) -> Campaign | None:
        made = campaigns.insert(conn, new, 1.0, "cli", status="scheduled")
        conn.execute("update campaigns set starts_at = ?", (time.time(),))
        return made

    assert await store.db.write(run) is not None
    await store.close()


def counted(file: Path) -> list[str]:
    """The status of every post."""
    return [row[0] for row in ask_file(file, "select status from posts")]


async def test_a_campaign_survives_kills_and_no_group_gets_it_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.proofs.group_sending"])
    fake = FakeQyapi()
    for key in KEYS.values():
        fake.robot(key)
    file, log = tmp_path / "zhiqun.db", tmp_path / "log.txt"
    await prepared(file)
    job = Job(file, await fake.start(), KEYS)
    faulty = {KEYS["robot2"]: "hang", KEYS["robot5"]: "stall"}
    hanging: list[str] = []

    def fault(call: Call) -> str:
        found = faulty.pop(call.query["key"], "")
        if found:
            hanging.append(found)
        return found

    async def life(until: Callable[[], bool] | None) -> None:
        process = context.Process(target=group_sending.main, args=(job, str(log)))
        process.start()
        if until is None:
            await asyncio.to_thread(process.join, 60)
            assert process.exitcode == 0, log.read_text()[-2000:]
            return
        try:
            async with asyncio.timeout(60):
                while not until():
                    assert process.is_alive(), log.read_text()[-2000:]
                    await asyncio.sleep(0.002)
        finally:
            process.kill()
            await asyncio.to_thread(process.join)

    fake.faults = fault
    try:
        await life(
            lambda: len(hanging) == 2 and counted(file).count("sent") == len(KEYS) - len(hanging)
        )
        await life(None)
        in_groups = {name: len(fake.posted(key)) for name, key in KEYS.items()}
        ledger = dict(ask_file(file, "select channel, status from posts"))
        # WeCom performed what hung, and not what stalled; neither is posted a second time.
        assert in_groups == {**dict.fromkeys(KEYS, 1), "robot5": 0}
        assert sorted(name for name, status in ledger.items() if status == "unknown") == [
            "robot2",
            "robot5",
        ]
        assert list(ledger.values()).count("sent") == len(KEYS) - 2
        assert ask_file(file, "select status, planned from campaigns") == [("done", len(KEYS))]
    finally:
        await fake.close()
