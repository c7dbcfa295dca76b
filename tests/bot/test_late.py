"""Late answers: pushed once each, and an honest word about what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.client import Refused, Unheard, Unreachable
from bot.late import PARALLEL, LateAnswers
from handlers.message import Reply, reply_to_json
from store import Store
from store.messages import Finished, Incoming, Late
from store.sends import Send
from tests.blank import blank

NOW = 1_763_697_600.0


class Line:
    """A channel's client that fails as told, one error a call, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent: list[str] = []

    async def send_custom(self, payload: dict[str, Any]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(payload["text"]["content"])


class Stage:
    def __init__(self, store: Store, line: Line) -> None:
        self.store = store
        self.line = line
        self.at = NOW
        self.seen: list[str] = []
        self.late = LateAnswers(
            store,
            {"mp": line},
            now=lambda: self.at,
            observe=lambda channel, outcome: self.seen.append(outcome),
            backoff_s=0.02,
        )

    async def owe(self, text: str, number: int = 1, *, allowance: int = 5) -> None:
        """An answer that missed its exchange."""
        key = number.to_bytes(16, "big")
        await self.store.members.meet("mp", "o_lin", NOW)
        await self.store.messages.record(Incoming(key, "mp", "o_lin", NOW, b""))
        late = (Late(0, reply_to_json(Reply.text(text)), "planned"),)
        await self.store.messages.finish(
            Finished(
                key=key,
                reply=b"success",
                at=NOW,
                channel="mp",
                sender="o_lin",
                kind="text",
                text="?",
                handler="faq",
                item="",
                allowance=allowance,
                late=late,
            )
        )
        self.late.wake()

    async def until(self, *outcomes: str) -> None:
        """Wait until these have been seen; time moves on so that pauses end."""
        async with asyncio.timeout(5):
            while self.seen != list(outcomes):
                self.at += 0.05
                self.late.wake()
                await asyncio.sleep(0.01)


@asynccontextmanager
async def stage(path: Path, *errors: Exception) -> AsyncIterator[Stage]:
    store = Store(blank(path / "zhiqun.db"))
    await store.open()
    s = Stage(store, Line(*errors))
    worker = asyncio.create_task(s.late.run())
    try:
        yield s
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        s.late.close()
        await store.close()


async def test_a_late_answer_is_pushed_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.owe("迟到的回答")
        await s.until("sent")
        s.late.wake()
        await asyncio.sleep(0.05)
        assert s.line.sent == ["迟到的回答"]


async def test_parts_and_answers_of_one_member_go_in_order(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        for n in range(1, 5):
            await s.owe(f"第 {n} 个", n)
        await s.until(*["sent"] * 4)
        assert s.line.sent == [f"第 {n} 个" for n in range(1, 5)]


async def test_a_channel_whose_calls_hang_keeps_no_other_channels_answers(tmp_path: Path) -> None:
    hanging, never = [], asyncio.Event()

    class Hangs:
        async def carry(self, send: Send, reply: Reply) -> None:
            hanging.append(send.external_id)
            await never.wait()

    async with stage(tmp_path) as s:
        late = LateAnswers(
            s.store,
            {"mp": s.line},
            now=lambda: s.at,
            observe=lambda channel, outcome: s.seen.append(outcome),
            carriers={"qun": Hangs()},
        )
        s.late.close()
        worker = asyncio.create_task(late.run())
        for number in range(2 * PARALLEL):
            member = await s.store.members.meet("qun", f"w_{number}", NOW)
            words = reply_to_json(Reply.text("好"))
            told = number.to_bytes(16, "big")
            assert await s.store.sends.plan(told, member.id, words, NOW, (), free=("qun",))
        late.wake()
        async with asyncio.timeout(5):
            while len(hanging) < PARALLEL:
                await asyncio.sleep(0.01)
        await s.owe("好", 99)
        late.wake()
        await s.until("sent")
        assert s.line.sent == ["好"]
        assert len(hanging) == PARALLEL, "and it gets no more than its own share"
        worker.cancel()
        never.set()


async def test_what_never_left_is_tried_again(tmp_path: Path) -> None:
    down = Unreachable("message/custom/send", "refused")
    async with stage(tmp_path, down, down) as s:
        await s.owe("好")
        await s.until("put_off", "put_off", "sent")
        assert s.line.sent == ["好"]


async def test_what_may_have_left_is_unknown_and_never_sent_again(tmp_path: Path) -> None:
    async with stage(tmp_path, Unheard("message/custom/send", "timeout")) as s:
        await s.owe("好")
        await s.until("unknown")
        s.at += 3600
        s.late.wake()
        await asyncio.sleep(0.05)
        assert s.line.sent == []
        assert [one.status for one in await s.store.sends.listed()] == ["unknown"]


@pytest.mark.parametrize("errcode", [45015, 45047, 40164, 45009])
async def test_what_may_not_be_pushed_waits_for_the_member(tmp_path: Path, errcode: int) -> None:
    async with stage(tmp_path, Refused("message/custom/send", errcode, "no")) as s:
        await s.owe("好")
        await s.until("waiting")
        assert await s.store.sends.fetch("mp", "o_lin", b"k" * 16, s.at) is not None


async def test_an_openid_that_is_gone_is_refused_and_listed(tmp_path: Path) -> None:
    async with stage(tmp_path, Refused("message/custom/send", 40003, "invalid openid")) as s:
        await s.owe("好")
        await s.until("refused")
        assert [(one.status, one.errcode) for one in await s.store.sends.listed()] == [
            ("refused", 40003)
        ]


async def test_a_busy_wechat_is_asked_five_times_then_left_alone(tmp_path: Path) -> None:
    busy = [Refused("message/custom/send", -1, "system busy") for _ in range(9)]
    async with stage(tmp_path, *busy) as s:
        await s.owe("好")
        await s.until(*["put_off"] * 4, "waiting")
        assert len(s.line.errors) == 4


async def test_without_allowance_no_call_is_made(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.owe("好", allowance=0)
        async with asyncio.timeout(5):
            while (await s.store.sends.counts()) != {"waiting": 1}:
                s.late.wake()
                await asyncio.sleep(0.01)
        assert s.line.sent == []


async def test_a_call_under_way_at_a_crash_is_listed_as_unknown(tmp_path: Path) -> None:
    store = Store(blank(tmp_path / "zhiqun.db"))
    await store.open()
    crashed = Stage(store, Line())
    await crashed.owe("好")
    assert len(await store.sends.claim(NOW)) == 1  # claimed, and then the process died
    await store.close()
    async with stage(tmp_path) as s:
        async with asyncio.timeout(5):
            while (await s.store.sends.counts()) != {"unknown": 1}:
                await asyncio.sleep(0.01)
        assert s.line.sent == []


async def test_a_fault_of_ours_leaves_no_row_open(tmp_path: Path) -> None:
    async with stage(tmp_path, ZeroDivisionError()) as s:
        await s.owe("一", 1)
        await s.until("unknown")
        await s.owe("二", 2)
        await s.until("unknown", "sent")
        assert s.line.sent == ["二"], "the member's next answer is not held up"


async def test_a_stop_leaves_what_was_not_sent_for_the_next_start(tmp_path: Path) -> None:
    for n in range(1, 25):
        store = Store(blank(tmp_path / "zhiqun.db"))
        await store.open()
        s = Stage(store, Line())
        worker = asyncio.create_task(s.late.run())
        await s.owe(f"第 {n} 个", n)
        await asyncio.sleep(0.0002 * n)  # somewhere in the claim, the call or the settling
        s.late.close()
        await asyncio.wait({worker}, timeout=2.0)
        counts = await store.sends.counts()
        await store.close()
        assert worker.done()
        assert "sending" not in counts
        assert "unknown" not in counts
