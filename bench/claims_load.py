"""Offers under siege: 20,000 members at once, through the store alone, in a process of its own.

What `bench/claims.py` needs to know of the store stands here: how an offer is made, how it
is claimed, and how the file is counted afterwards. Nothing here knows the wire.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bench.load import percentile_ms
from bot.terminal import run_loop
from store import Store
from store.coupons import Claim, Claimant
from store.offers import NewOffer, Offer

CHANNEL = "mp"
BY = "bench"


def openid(number: int) -> str:
    """Somebody's openid, as `bench.load.Writer` counts them."""
    return f"oBench{number:022d}"


async def meet(store: Store, count: int) -> list[int]:
    """Let the bot know that many members; their numbers."""
    found: list[int] = []
    for first in range(0, count, 500):
        group = range(first, min(first + 500, count))
        members = await asyncio.gather(
            *(store.members.meet(CHANNEL, openid(number), 0.0) for number in group)
        )
        found += [member.id for member in members]
    return found


async def offer(store: Store, word: str, inventory: int, *, pool: bool, now: float) -> Offer:
    """An offer everybody may claim once; with pool the shop brought the codes."""
    made = await store.offers.create(
        NewOffer(
            word=word,
            title="立减二十",
            kind="amount",
            value=2000,
            inventory=None if pool else inventory,
            pool=pool,
            valid_days=30,
        ),
        now,
        BY,
    )
    assert made is not None, f"{word} is taken"
    if pool:
        codes = [f"BENCH{made.id}-{number:06}" for number in range(inventory)]
        added = await store.offers.add_codes(made.id, codes, now)
        assert added is not None, "no codes were taken"
        assert added.count == inventory, added.bad[:3]
    return made


async def audit(store: Store, offer_id: int, inventory: int, now: float) -> dict[str, int]:
    """What the file says of an offer when all is over.

    oversold: codes given out beyond the inventory. codes_twice, members_twice: how many codes
    or members have more than one row. counted_wrong: the offer's own count against its rows.
    """
    report = await store.offers.report(offer_id, now)
    assert report is not None
    codes: Counter[str] = Counter()
    owners: Counter[int] = Counter()
    after = 0
    while rows := await store.coupons.export(after, 1000):
        after = rows[-1][0].id
        mine = [coupon for coupon, of in rows if of.id == offer_id and coupon.member_id]
        codes.update(coupon.code for coupon in mine)
        owners.update(coupon.member_id for coupon in mine if coupon.member_id)
    out = codes.total()
    return {
        "codes_out": out,
        "oversold": max(0, out - inventory),
        "codes_twice": sum(count > 1 for count in codes.values()),
        "members_twice": sum(count > 1 for count in owners.values()),
        "counted_wrong": abs(report.offer.claimed - out),
    }


async def siege(
    path: Path, *, members: int, inventory: int, pool: bool, rounds: int
) -> dict[str, Any]:
    """Each round a fresh offer that all members claim in the same moment."""
    store = Store(path)
    await store.open()
    try:
        people = await meet(store, members)
        taken = []
        for number in range(rounds):
            made = await offer(store, f"早鸟{number}", inventory, pool=pool, now=time.time())
            latencies: list[float] = []
            outcomes: Counter[str] = Counter()

            async def claim(
                member_id: int,
                name: str,
                latencies: list[float] = latencies,
                outcomes: Counter[str] = outcomes,
            ) -> None:
                key = member_id.to_bytes(12, "big") + number.to_bytes(4, "big")  # noqa: B023
                asked = time.perf_counter()
                got: Claim = await store.coupons.claim(name, Claimant(member_id), key, time.time())
                latencies.append(time.perf_counter() - asked)
                outcomes[got.outcome] += 1

            cpu, began = time.process_time(), time.perf_counter()
            await asyncio.gather(*(claim(member_id, made.word) for member_id in people))
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            taken.append(
                {
                    "per_s": members / seconds,
                    "cpu_us": cpu / members * 1e6,
                    "p50_ms": percentile_ms(latencies, 0.5),
                    "p99_ms": percentile_ms(latencies, 0.99),
                    "outcomes": dict(outcomes),
                    "audit": await audit(store, made.id, inventory, time.time()),
                }
            )
        return {"rounds": taken}
    finally:
        await store.close()


def _alone(core: int | None, path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """In the new process: on one core, with the loop that the service runs on."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    return run_loop(siege(path, **settings))


def in_its_own_process(core: int | None, path: Path, **settings: Any) -> dict[str, Any]:
    """`siege` where nothing else is done, pinned when `core` says where."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as workers:
        return workers.submit(_alone, core, path, settings).result()
