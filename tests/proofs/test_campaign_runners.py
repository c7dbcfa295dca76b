"""Two processes send the same campaign, and one after the other is put to sleep past its lease.

The one that sleeps is stopped wherever it happens to be: before a call, in one, between an
answer and its row. It wakes up, believes for a moment that it is alone, and must do no harm.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sandbox.fake_wechat import FakeWeChat
from tests.proofs import sending
from tests.proofs.test_campaign_kills import CUSTOM, MASS, over, prepared, processes, rows
from tests.proofs.world import ACCOUNT, until


async def two_at_once(folder: Path, *, members: int, naps: int, route: str) -> dict[str, Any]:
    """The story; its figures."""
    epoch = time.time()
    speed = 1.0 if route == "custom" else 60.0
    rng = random.Random()
    path = CUSTOM if route == "custom" else MASS
    fake = FakeWeChat(ACCOUNT, now=lambda: epoch + speed * (time.time() - epoch), rng=rng)
    fake.mass.finish = "lost"
    fake.api_hang_s = 0.03
    job = sending.Job(
        folder / "zhiqun.db",
        await fake.start(),
        epoch,
        speed,
        part=max(2, members // 40),
        timeout_s=2.0,
    )
    await prepared(job.file, fake, members, route, epoch)
    context, log = processes(), str(folder / "log.txt")
    pair = [context.Process(target=sending.main, args=(job, log)) for _ in range(2)]
    fences: set[int] = set()
    slept = 0
    try:
        for process in pair:
            process.start()
        await until(lambda: fake.calls[path] > 2, "the first call", 20.0)
        while slept < naps and not over(job.file):
            # Whoever holds the lease now is one of the two: both sleep in turn.
            asleep = pair[slept % 2]
            if not asleep.is_alive():
                break
            os.kill(asleep.pid, signal.SIGSTOP)
            await asyncio.sleep(job.lease_s + rng.uniform(0.1, 0.3))
            fences.update(fence for (fence,) in rows(job.file, "select fence from leases"))
            os.kill(asleep.pid, signal.SIGCONT)
            slept += 1
            await asyncio.sleep(rng.uniform(0.02, 0.15))
        for process in pair:
            await asyncio.to_thread(process.join, 60)
        assert [process.exitcode for process in pair] == [0, 0], Path(log).read_text()[-2000:]
    finally:
        for process in pair:
            if process.is_alive():
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
        await fake.close()
    ledger = rows(
        job.file,
        "select i.external_id, d.status from deliveries as d "
        "join identities as i on i.member_id = d.member_id",
    )
    figures: Counter[str] = Counter(status for _, status in ledger)
    got = {openid: len(fake.members[openid].inbox) for openid, _ in ledger}
    assert len(ledger) == members
    assert max(got.values()) == 1, "somebody got it twice"
    assert all(got[openid] for openid, status in ledger if status == "accepted")
    assert figures.keys() <= {"accepted", "unknown"}, figures
    if route == "custom":
        assert figures["unknown"] <= job.parallel * slept
    else:
        assert figures["unknown"] == 0
    return {"route": route, "naps": slept, "lease changed hands": len(fences), **figures}


@pytest.mark.parametrize("route", ["custom", "mass_list"])
async def test_two_runners_and_one_asleep_past_its_lease_send_nothing_twice(
    tmp_path: Path, route: str
) -> None:
    figures = await two_at_once(tmp_path, members=500, naps=3, route=route)
    print(json.dumps(figures))
    assert figures["lease changed hands"] >= 2, "nobody was asleep for long enough"


@pytest.mark.nightly
@pytest.mark.parametrize("route", ["custom", "mass_list"])
async def test_many_naps_send_nothing_twice(tmp_path: Path, route: str) -> None:
    figures = await two_at_once(tmp_path, members=20_000, naps=60, route=route)
    print(json.dumps(figures))
    # Few calls carry many by mass send: it is over after some naps.
    assert figures["naps"] >= (30 if route == "custom" else 5)
