"""No oversell, ever: eight processes on one file, killed as they go, and every promise kept.

Exactly as many codes go out as there are, none twice, nobody has more than they may, and who
asks again with the same message gets the same code, from whichever process. What a process
acknowledged before it was killed is in the file; what it had not is there once or not at all,
and the retry says which.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.fake_wechat import NOTICE, FakeWeChat
from store import Store
from store.offers import NewOffer
from tests.blank import blank
from tests.proofs.claiming import Answer, messages, read_log
from tests.proofs.test_kills import quiet
from tests.proofs.world import ACCOUNT, ROOT, Served, acknowledged, until

PROCESSES = 8


@dataclass
class Siege:
    """An offer in a file, and processes that claim it for everybody."""

    path: Path
    offer: int
    members: int
    running: dict[int, subprocess.Popen[str]] = field(default_factory=dict)

    def log(self, number: int) -> Path:
        return self.path.with_name(f"claims-{number}.log")

    def start(self, number: int, *, at_once: bool = False) -> None:
        """Start (or replace) a process; unless `at_once`, it waits for `go`."""
        options = (self.offer, self.log(number), number, PROCESSES, self.members)
        self.running[number] = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.claiming", str(self.path), *map(str, options)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if at_once:
            self._tell(number)

    def _tell(self, number: int) -> None:
        into = self.running[number].stdin
        assert into is not None
        into.write("go\n")
        into.flush()

    def go(self, *numbers: int) -> None:
        """Let them loose in the same moment, when all of them are ready."""
        for number in numbers:
            out = self.running[number].stdout
            assert out is not None
            assert out.readline() == "ready\n"
        for number in numbers:
            self._tell(number)

    def kill(self, number: int) -> bool:
        """SIGKILL; whether it was still at work."""
        process = self.running[number]
        at_work = process.poll() is None
        process.kill()
        process.communicate()
        return at_work

    def finish(self) -> None:
        """Wait until all have claimed what they had to."""
        for process in self.running.values():
            process.communicate(timeout=120)
            assert process.returncode == 0

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as conn:
            return conn.execute(sql).fetchall()

    def answers(self) -> list[Answer]:
        """Everything that any process acknowledged."""
        return [one for number in range(PROCESSES) for one in read_log(self.log(number))]


async def besieged(
    folder: Path, members: int, codes: int, *, per_member: int = 1, pool: bool = False
) -> Siege:
    """The file with its members and its offer."""
    store = Store(blank(folder / "zhiqun.db"), durability="normal")
    await store.open()
    await asyncio.gather(*(store.members.meet("mp", f"o{n}", 0.0) for n in range(members)))
    made = await store.offers.create(
        NewOffer(
            word="早鸟",
            title="立减",
            kind="amount",
            value=2000,
            inventory=None if pool else codes,
            per_member=per_member,
            pool=pool,
        ),
        time.time(),
        "proof",
    )
    assert made is not None
    if pool:
        added = await store.offers.add_codes(made.id, [f"SHOP{n:05}" for n in range(codes)], 0.0)
        assert added is not None
        assert added.count == codes
    await store.close()
    return Siege(store.db.path, made.id, members)


def audit(siege: Siege, codes: int, per_member: int) -> dict[str, int]:
    """Count what was acknowledged against the file; figures for whoever reads the output."""
    rows = siege.rows("select claim_key, member_id, code from coupons where status = 'claimed'")
    held = {key: (member, code) for key, member, code in rows}
    assert len(rows) == codes, "exactly as many as there are"
    assert len({code for _, _, code in rows}) == codes, "none twice"
    assert max(Counter(member for _, member, _ in rows).values()) <= per_member
    assert siege.rows("select claimed, inventory from offers") == [(codes, codes)]
    assert siege.rows("select count(*) from coupon_steps") == [(codes,)]

    told: dict[bytes, set[tuple[str, str]]] = {}
    for one in siege.answers():
        told.setdefault(one.key, set()).add((one.outcome, one.code))
        if one.outcome in ("claimed", "again"):
            assert held[one.key] == (one.member, one.code), "what was acknowledged is in the file"
        elif one.outcome == "already":
            assert (one.member, one.code) in held.values(), "their own, and theirs alone"
        else:
            assert (one.outcome, one.code) == ("sold_out", "")
            assert one.key not in held
    assert set(told) == {ask.key for ask in messages(siege.members)}, "everybody was answered"
    for key, answers in told.items():
        assert len({code for _, code in answers}) == 1, "a retry never hears of another code"
        assert (key in held) == any(outcome in ("claimed", "again") for outcome, _ in answers)
    figures = Counter(one.outcome for one in siege.answers())
    return {"answers": figures.total(), **figures, "unheard": codes - figures["claimed"]}


async def test_eight_processes_give_out_a_thousand_codes_and_not_one_more(tmp_path: Path) -> None:
    siege = await besieged(tmp_path, members=10_000, codes=1000)
    for number in range(PROCESSES):
        siege.start(number)
    siege.go(*range(PROCESSES))
    began = time.monotonic()
    siege.finish()
    seconds = time.monotonic() - began
    figures = audit(siege, 1000, per_member=1)
    assert figures["claimed"] == 1000, "nobody was killed, so every first answer was heard"
    assert figures["again"] > 50
    assert figures["already"] > 10
    print(f"{seconds:.1f} s: {figures}")


@pytest.mark.parametrize(
    ("members", "codes", "kills"),
    [
        (1200, 1000, 6),
        pytest.param(10_000, 9000, 60, marks=pytest.mark.nightly, id="sixty"),
    ],
)
async def test_killed_at_random_no_claim_is_lost_and_none_is_made_twice(
    tmp_path: Path, members: int, codes: int, kills: int
) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    rng = random.Random(seed)
    siege = await besieged(tmp_path, members, codes, per_member=2, pool=True)
    for number in range(PROCESSES):
        siege.start(number)
    siege.go(*range(PROCESSES))
    met = 0
    for kill in range(kills):
        # All along the way, and never before there is something to lose.
        enough = codes * (kill + rng.random()) / (kills + 1)
        claimed = "select claimed from offers"
        await until(lambda: siege.rows(claimed)[0][0] > enough, "claims", pause_s=0.001)  # noqa: B023
        number = rng.randrange(PROCESSES)
        met += siege.kill(number)
        siege.start(number, at_once=True)
    siege.finish()
    print(f"{met} of {kills} kills met a process at work: {audit(siege, codes, per_member=2)}")


async def test_a_crash_between_claim_and_answer_shows_the_same_code_to_the_retry(
    tmp_path: Path,
) -> None:
    members, codes = 20, 12
    fake = FakeWeChat(ACCOUNT, retry_pause_s=1.5)
    served = Served(tmp_path, api_base=await fake.start())
    fake.webhook = served.webhook
    await besieged(tmp_path, members=0, codes=codes)
    try:
        await asyncio.to_thread(served.start, "tests.proofs.lingering")
        await asyncio.to_thread(served.wait_ready)
        claims = [
            asyncio.create_task(fake.send_text(f"o_{n}", "领券 早鸟")) for n in range(members)
        ]
        given = "select external_id, code from coupons join identities using (member_id)"
        await until(lambda: len(served.rows(given)) == codes, "all codes to be claimed")
        await asyncio.to_thread(served.kill)
        before = dict(served.rows(given))
        assert served.rows("select count(*) from messages where status = 1") == [(0,)]
        assert not any(member.inbox for member in fake.members.values()), "nobody has heard"

        await asyncio.to_thread(served.start)
        await asyncio.to_thread(served.wait_ready)
        for delivery in await asyncio.gather(*claims):
            if not acknowledged(delivery):  # three tries were over before it was up again
                await fake.deliver(delivery.fields)
        await until(lambda: quiet(served), "the last answer", 30.0, 0.1)
        again = [await fake.deliver((await claim).fields) for claim in claims]
    finally:
        await asyncio.to_thread(served.stop)
        await fake.close()
    assert dict(served.rows(given)) == before, "no code was given twice, none to somebody else"
    for number, repeated in enumerate(again):
        openid = f"o_{number}"
        heard = {one.content for one in fake.members[openid].inbox if one.content != NOTICE}
        assert len(heard) == 1, "every answer to the same message is the same"
        shown = heard.pop().replace("-", "")
        assert before[openid] in shown if openid in before else "领完" in shown
        assert repeated.outcome in ("replied", "success")
