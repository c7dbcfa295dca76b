"""SIGTERM ends the process soon, whatever it is doing, and loses nothing that was promised."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.fake_wechat import FakeWeChat
from store import Store
from tests.proofs.world import ACCOUNT, Served

SOON_S = 4.0
"""Beyond `server.drain_s`. Two seconds are promised; the rest is for a busy machine."""
DRAIN_S = 3.0
"""The default."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the database."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.close()


@pytest.mark.parametrize("drain_s", [1.0, pytest.param(DRAIN_S, marks=pytest.mark.nightly)])
async def test_a_stop_while_the_database_is_locked_is_soon(tmp_path: Path, drain_s: float) -> None:
    served = Served(tmp_path, server=f"drain_s = {drain_s}")
    served.start()
    await asyncio.to_thread(served.wait_ready)
    fake = FakeWeChat(ACCOUNT, deliveries=1, timeout_s=2.0)
    fake.webhook = served.webhook
    with locked(served.path):
        asking = asyncio.gather(*(fake.send_text(f"o{n:027d}", "帮助") for n in range(3)))
        await asyncio.sleep(0.3)
        started = time.monotonic()
        assert await asyncio.to_thread(served.stop) == 0
        assert time.monotonic() - started < drain_s + SOON_S
    assert all(delivery.outcome == "unavailable" for delivery in await asking)
    await fake.close()


async def test_a_stop_during_the_start_is_soon(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.start()
    await asyncio.sleep(0.5)
    started = time.monotonic()
    await asyncio.to_thread(served.stop)
    assert time.monotonic() - started < DRAIN_S + SOON_S


async def test_a_crash_between_forgetting_and_its_answer_does_not_stop_the_next_start(
    tmp_path: Path,
) -> None:
    served = Served(tmp_path)
    store = Store(served.path)
    await store.open()
    await store.close()
    conn = sqlite3.connect(served.path)
    conn.executemany(
        "insert into messages (key, channel, sender, received_at, acked) "
        "values (?, 'mp', '', ?, ?)",
        [(bytes([acked]) * 16, time.time(), acked) for acked in (0, 1)],
    )
    conn.commit()
    conn.close()
    served.start()
    await asyncio.to_thread(served.wait_ready)
    assert await asyncio.to_thread(served.stop) == 0
