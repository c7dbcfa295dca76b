"""Two official accounts, a robot and a gateway at once; one of them fails in every way.

The others keep the real deadline: every answer comes in its own exchange, whole and once. Then
the one that failed is asked something good, and answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.proofs.failing import WAYS, Way, better
from tests.proofs.four_channels import CHANNELS, Four, four

LEAST = 6
"""So many questions at least on each of the others."""

PATIENCE_S = 120.0
"""A gateway that was made to say a thousand things goes on at its own pace."""


async def test_when_one_fails_in_every_way_the_others_answer_in_time_and_once(
    tmp_path: Path,
) -> None:
    async with four(tmp_path, by_http=True, patience_s=0.5) as all_four:
        for failing, ways in WAYS.items():
            await told(all_four, failing, ways, 1)


@pytest.mark.nightly
@pytest.mark.parametrize(("failing", "way"), [(one, way) for one in WAYS for way in WAYS[one]])
async def test_when_one_fails_in_one_way_for_long(tmp_path: Path, failing: str, way: str) -> None:
    async with four(tmp_path, by_http=True) as all_four:
        await told(all_four, failing, {way: WAYS[failing][way]}, 5)


async def told(all_four: Four, failing: str, ways: Mapping[str, Way], scale: int) -> None:
    """The whole story of one channel's failure."""
    others = tuple(name for name in CHANNELS if name != failing)
    over = asyncio.Event()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(all_four.steady(others, over, LEAST))
        try:
            # Where nothing can be said any more the other ways would be none.
            late = {"storm"} & ways.keys()
            await asyncio.gather(*(ways[n](all_four, scale) for n in ways if n not in late))
            await asyncio.gather(*(ways[name](all_four, scale) for name in late))
        finally:
            over.set()
    took = time.perf_counter() - began
    counts = await all_four.once_each(others)
    assert set(counts) == set(others)
    slowest = max(one.seconds for one in all_four.asked if one.channel in others)
    print(f"{failing} failed for {took:.1f} s; the others' slowest answer: {slowest:.2f} s")
    await better(all_four)
    await all_four.ask(failing, PATIENCE_S)
    print(f"{failing} well again after {time.perf_counter() - began - took:.2f} s")
