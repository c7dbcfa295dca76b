"""One of several bots on one file, as far as claims go: a process that can be killed.

`python -m tests.proofs.claiming FILE OFFER LOG NUMBER PROCESSES MEMBERS`: says "ready", waits
for a line, then claims what its part of the messages ask for, many at a time. Every answer is
a line of LOG, written before anything else happens, as an acknowledgement would be. Messages
that LOG has already are left out but for some: WeChat may ask again about those, too.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bot.terminal import run_loop
from store import Store
from store.coupons import Claimant

AT_ONCE = 64
AGAIN = 0.2
"""The share of messages that come twice, the second time to another process as well."""
WAY_S = 0.05
"""The longest an answer is on its way before it counts as heard: a kill may meet it there."""
MORE = 0.1
"""The share of members who ask a second time, in a message of its own."""


@dataclass(frozen=True)
class Ask:
    """One message: who claims, and the key under which it is one and the same message."""

    member: int
    key: bytes


@dataclass(frozen=True)
class Answer:
    """A line of a log."""

    member: int
    key: bytes
    outcome: str
    code: str


def messages(members: int) -> list[Ask]:
    """What all members write, in no order but always the same; some of it twice."""
    rng = random.Random(members)
    asks = []
    for member in range(1, members + 1):
        for number in range(1 + (rng.random() < MORE)):
            name = f"{member}:{number}".encode()
            ask = Ask(member, hashlib.blake2b(name, digest_size=16).digest())
            asks += [ask] * (1 + (rng.random() < AGAIN))
    rng.shuffle(asks)
    return asks


def read_log(path: Path) -> list[Answer]:
    """The answers given; a line that a kill cut off was never acknowledged."""
    text = path.read_text("ascii") if path.exists() else ""
    lines = (line.split(" ") for line in text.split("\n")[:-1])
    return [
        Answer(int(member), bytes.fromhex(key), outcome, code)
        for member, key, outcome, code in lines
    ]


async def claim_all(path: Path, offer: int, log: Path, asks: list[Ask]) -> None:
    """Claim for all of them, AT_ONCE at a time."""
    known = {answer.key for answer in read_log(log)}
    left = iter([ask for ask in asks if ask.key not in known or random.random() < AGAIN])
    store = Store(path)
    await store.open()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def work() -> None:
        for ask in left:
            got = await store.coupons.claim(offer, Claimant(ask.member), ask.key, time.time())
            code = got.coupon.code if got.coupon else ""
            await asyncio.sleep(random.uniform(0.0, WAY_S))
            os.write(out, f"{ask.member} {ask.key.hex()} {got.outcome} {code}\n".encode())

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    os.close(out)
    await store.close()


if __name__ == "__main__":
    file, offer_id, log_file, mine, processes, everybody = sys.argv[1:]
    share = messages(int(everybody))[int(mine) :: int(processes)]
    run_loop(claim_all(Path(file), int(offer_id), Path(log_file), share))
