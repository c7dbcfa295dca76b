"""SIGKILL at random moments while a campaign goes out: nobody gets it twice, nobody is skipped.

The fake WeChat answers that it is busy, performs calls and loses the answer, hangs past every
patience, takes tokens back, and says 45065 to a first call. The process that sends is killed
again and again and started anew on its file. Then the members' phones are counted, which know
nothing of our ledger.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox.fake_rules import Call
from sandbox.fake_wechat import FakeWeChat
from store import Store, campaigns
from store.campaigns import NewCampaign, Variant
from store.dialect import Connection
from tests.blank import blank
from tests.proofs import sending
from tests.proofs.world import ACCOUNT

CUSTOM = "/cgi-bin/message/custom/send"
MASS = "/cgi-bin/message/mass/send"
FAULTS = {
    CUSTOM: {"busy": 0.01, "lost": 0.004, "cut": 0.002, "hang": 0.001, "expired": 0.001},
    MASS: {"busy": 0.1, "lost": 0.15, "first65": 0.15, "hang": 0.08, "cut": 0.08, "expired": 0.05},
}


def processes() -> Any:
    """Where processes come from: one that has loaded everything and is forked, so that a start
    takes a hundredth of a second and a thousand kills a quarter of an hour."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.proofs.sending"])
    return context


class Faults:
    """What goes wrong with each call, by chance; counted by what nobody can know of it."""

    def __init__(self, rng: random.Random) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._rng = rng

    def __call__(self, call: Call) -> str:
        """The fault of this call; "" for none."""
        place = self._rng.random()
        for name, share in FAULTS.get(call.path, {}).items():
            if place < share:
                self.counts[call.path, name] += 1
                return name
            place -= share
        return ""

    @property
    def unheard(self) -> int:
        """Customer-service messages whose answer never came."""
        return sum(self.counts[CUSTOM, name] for name in ("lost", "cut", "hang"))


async def prepared(file: Path, fake: FakeWeChat, members: int, route: str, now: float) -> None:
    """Followers on both sides who have just written, and a campaign for all of them."""
    for number in range(members):
        fake.member(f"o{number}")
        fake.open_window(f"o{number}", "message")
    store = Store(blank(file), durability="process")
    await store.open()

    def put(conn: Connection) -> None:
        conn.executemany(
            "insert into members (id, created_at) values (?, ?)",
            [(number + 1, now - 1) for number in range(members)],
        )
        conn.executemany(
            "insert into identities (channel, external_id, member_id, followed, last_seen_at, "
            "allowance, allowance_until) values ('mp', ?, ?, 1, ?, 5, ?)",
            [(f"o{number}", number + 1, now - 1, now + 40 * 3600) for number in range(members)],
        )
        new = NewCampaign(
            title="上新",
            channel="mp",
            audience="everyone",
            variants=(Variant(content={"kind": "text", "text": "新课上线"}),),
            routes=(route,),
            holdout=0.0,
            starts_at=now,
        )
        campaigns.insert(conn, new, now, "cli", status="scheduled")

    await store.db.write(put)
    await store.close()


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """What the file says, from outside."""
    with closing(sqlite3.connect(file, timeout=10)) as conn:
        return conn.execute(sql).fetchall()


def over(file: Path) -> bool:
    """Whether the campaign has ended, or waits for somebody."""
    return rows(file, "select 1 from campaigns where status in ('done', 'paused', 'late')") != []


async def killed_while_sending(
    folder: Path, *, members: int, kills: int, route: str, seed: int
) -> dict[str, Any]:
    """The whole story; its figures. Fails at the first promise that was broken."""
    rng = random.Random(seed)
    epoch = time.time()
    speed = 1.0 if route == "custom" else 60.0
    faults = Faults(rng)
    # So many lives in all: each may send its share and no more before it is killed.
    share = members / (kills + 1)
    fake = FakeWeChat(ACCOUNT, now=lambda: epoch + speed * (time.time() - epoch), rng=rng)
    fake.mass.finish = "lost"
    fake.hang_s = 0.7
    fake.faults = faults
    job = sending.Job(
        folder / "zhiqun.db", await fake.start(), epoch, speed, part=max(2, int(share))
    )
    await prepared(job.file, fake, members, route, epoch)
    done = 0
    path = CUSTOM if route == "custom" else MASS
    log = str(folder / "log.txt")
    context = processes()
    started = time.monotonic()
    try:
        while done < kills:
            process = context.Process(target=sending.main, args=(job, log))
            process.start()
            calls = fake.calls[path]
            # Some die before their first call, most in the middle of many.
            enough = rng.uniform(0, 1.2) * (share if route == "custom" else 2)
            patience = time.monotonic() + rng.uniform(0.3, 2.0)
            while process.is_alive() and fake.calls[path] - calls < enough:
                await asyncio.sleep(rng.uniform(0, 0.01))
                if time.monotonic() > patience:
                    break
            finished = not process.is_alive()
            process.kill()
            await asyncio.to_thread(process.join)
            if finished:
                break
            done += 1
        process = context.Process(target=sending.main, args=(job, log))
        process.start()
        await asyncio.to_thread(process.join, 300)
        assert process.exitcode == 0, Path(log).read_text()[-2000:]
    finally:
        await fake.close()
    assert over(job.file)
    return {
        "route": route,
        "seed": seed,
        "members": members,
        "kills": done,
        "seconds": round(time.monotonic() - started, 1),
        **counted(job, fake, faults, done),
    }


def counted(job: sending.Job, fake: FakeWeChat, faults: Faults, kills: int) -> dict[str, Any]:
    """The phones against the ledger."""
    ledger = rows(
        job.file,
        "select i.external_id, d.status, d.route, d.reason from deliveries as d "
        "join identities as i on i.member_id = d.member_id",
    )
    assert len(ledger) == len(fake.members), "somebody is not on the list"
    figures: Counter[str] = Counter()
    for openid, status, route, reason in ledger:
        got = len(fake.members[openid].inbox)
        figures[status] += 1
        figures["duplicates"] += got > 1
        if status in ("accepted", "delivered"):
            figures["skipped"] += got == 0
        elif status == "unknown":
            figures["unknown that arrived"] += got
        else:
            figures["skipped"] += 1
            figures[f"{status}: {reason}"] += 1
        assert route in ("custom", "mass_list")
    assert figures["duplicates"] == 0, figures
    assert figures["skipped"] == 0, figures
    if ledger[0][2] == "custom":
        assert figures["unknown"] <= job.parallel * kills + faults.unheard, figures
    else:
        assert figures["unknown"] == 0, figures
    told: dict[str, Any] = {"duplicates": 0, "skipped": 0, "unknown": 0, **figures}
    told["faults"] = {name: count for (_, name), count in faults.counts.items()}
    return told


@pytest.mark.parametrize("route", ["custom", "mass_list"])
async def test_a_few_kills_make_nobody_get_it_twice_or_never(tmp_path: Path, route: str) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    figures = await killed_while_sending(tmp_path, members=600, kills=6, route=route, seed=seed)
    print(json.dumps(figures, ensure_ascii=False))
    assert figures["kills"] >= 3


@pytest.mark.nightly
@pytest.mark.parametrize("kills", [200, 1000])
@pytest.mark.parametrize("route", ["custom", "mass_list"])
async def test_killed_at_random_nobody_gets_it_twice_or_never(
    tmp_path: Path, route: str, kills: int
) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    figures = await killed_while_sending(
        tmp_path, members=10_000, kills=kills, route=route, seed=seed
    )
    print(json.dumps(figures, ensure_ascii=False))
    assert figures["kills"] >= 0.9 * kills
