"""Work beside the bot: in another process, behind the answers, and gone when the bot is."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.crunch import Crunch, CrunchError


def whoami() -> int:
    return os.getpid()


def niceness() -> int:
    return os.nice(0)


def is_alive(pid: int) -> bool:
    """Whether a child of ours still runs."""
    return any(one.pid == pid for one in multiprocessing.active_children())


def fall() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def test_work_runs_in_another_process_that_yields_to_answers() -> None:
    crunch = Crunch()
    try:
        assert await crunch.quick(whoami) == await crunch.quick(whoami) != os.getpid()
        assert await crunch.quick(niceness) > os.nice(0)
    finally:
        await crunch.close()


def linear_algebra_threads() -> set[int]:
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((4, 4)) @ np.ones((4, 4))
    return {int(one["num_threads"]) for one in threadpool_info()}


async def test_linear_algebra_takes_one_core_there() -> None:
    crunch = Crunch()
    try:
        assert await crunch.quick(linear_algebra_threads) <= {1}
    finally:
        await crunch.close()


async def test_jobs_that_follow_each_other_share_a_heavy_process() -> None:
    crunch = Crunch()
    try:
        assert await crunch.heavy(whoami) == await crunch.heavy(whoami) != os.getpid()
        assert await crunch.quick(whoami) != await crunch.heavy(whoami)
    finally:
        await crunch.close()


async def test_a_heavy_process_without_work_ends_and_gives_its_memory_back() -> None:
    crunch = Crunch(rest_s=0.0)
    try:
        first = await crunch.heavy(whoami)
        async with asyncio.timeout(30):
            while is_alive(first):
                await asyncio.sleep(0.02)
        assert await crunch.heavy(whoami) != first
    finally:
        await crunch.close()


async def test_what_the_work_raises_is_raised_here() -> None:
    crunch = Crunch()
    try:
        with pytest.raises(ZeroDivisionError):
            await crunch.quick(divmod, 1, 0)
    finally:
        await crunch.close()


async def test_after_a_killed_worker_the_next_job_gets_a_new_one() -> None:
    crunch = Crunch()
    try:
        with pytest.raises(CrunchError):
            await crunch.quick(fall)
        assert await crunch.quick(whoami) != os.getpid()
    finally:
        await crunch.close()


async def test_nothing_starts_once_it_is_closed() -> None:
    crunch = Crunch()
    await crunch.close()
    with pytest.raises(CrunchError):
        await crunch.quick(whoami)


async def test_what_was_on_its_way_when_it_was_closed_does_not_start() -> None:
    free = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        # The one thread that hands work over is busy until it is closed.
        threads.submit(free.wait)
        crunch = Crunch()
        asked = asyncio.create_task(crunch.quick(whoami))
        await asyncio.sleep(0)
        await crunch.close()
        free.set()
        with pytest.raises(CrunchError):
            await asked
