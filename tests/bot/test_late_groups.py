"""Late answers in groups: not where nobody wants them, not when the talk has moved on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.client import Unreachable
from bot.late import LATE_IN_GROUP_S, PARALLEL, LateAnswers
from handlers.message import Reply, reply_to_json
from store import Store
from store.sends import KEPT, Send
from tests.blank import blank
from tests.store.rows import ask_file, key

NOW = 1_763_600_000.0
PLACE = "qun:1"


class Stage:
    """A worker over a real store, and what its carrier said: (to whom, where)."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.at = NOW
        self.said: list[tuple[str, str]] = []
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.late = LateAnswers(
            store, {}, now=lambda: self.at, observe=self._seen, carriers={"qun": self}
        )
        self.seen: list[str] = []

    def _seen(self, channel: str, outcome: str) -> None:
        self.seen.append(outcome)

    async def carry(self, send: Send, reply: Reply) -> None:
        self.said.append((send.external_id, send.place))
        await self.gate.wait()
        if self.broken:
            raise Unreachable("send_message", "the gateway is not connected")

    async def owe(self, number: int, who: str = "lin", place: str = PLACE) -> None:
        sql = (
            "insert into sends (message_key, part, channel, external_id, reply, status, "
            "created_at, due_at, place) values (?, 0, 'qun', ?, ?, 'planned', ?, ?, ?)"
        )
        args = (key(number), who, reply_to_json(Reply.text("好")), NOW, NOW, place)
        await self.store.db.write(lambda conn: conn.execute(sql, args))

    def rows(self) -> list[tuple[object, ...]]:
        return ask_file(self.store.db.path, "select status, note from sends order by id")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process", owners=[("qun", "boss")])
    await store.open()
    await store.groups.meet("qun", "1", NOW, bound_by="op")
    stage = Stage(store)
    yield stage
    stage.gate.set()
    await store.close()


async def work(stage: Stage, count: int) -> None:
    """Until so many answers have an end."""
    running = asyncio.create_task(stage.late.run())
    async with asyncio.timeout(5):
        while len(stage.seen) < count:
            stage.late.wake()
            await asyncio.sleep(0.005)
    stage.late.close()
    await running


async def test_a_muted_group_hears_no_answer_but_its_operator_does(stage: Stage) -> None:
    await stage.store.members.meet("qun", "boss", NOW)
    until = NOW + 3600
    await stage.store.groups.rule(PLACE, lambda rules: replace(rules, muted_until=until))
    await stage.owe(1)
    await stage.owe(2, "boss")
    await stage.owe(3, "mei", "")
    await work(stage, 3)
    assert sorted(stage.said) == [("boss", PLACE), ("mei", "")]
    assert ("refused", "the group is muted") in stage.rows()


async def test_an_answer_that_nobody_remembers_asking_for_is_not_given(stage: Stage) -> None:
    await stage.owe(1)
    await stage.owe(2, "mei", "")
    stage.at = NOW + LATE_IN_GROUP_S + 1
    await work(stage, 2)
    assert stage.said == [("mei", "")]
    assert ("refused", "too late for a group") in stage.rows()
    assert await stage.store.sends.fetch("qun", "lin", b"f" * 16, stage.at) is None


async def test_what_cannot_leave_for_a_group_is_never_kept_to_be_fetched(stage: Stage) -> None:
    stage.broken = True
    await stage.owe(1)
    stage.at = NOW + LATE_IN_GROUP_S - 0.5
    await work(stage, 1)
    assert stage.rows()[0][0] == "refused"


async def test_a_private_answer_does_not_wait_for_a_crowd(stage: Stage) -> None:
    for number in range(1, 21):
        await stage.owe(number, f"wx_{number}")
    stage.gate.clear()
    running = asyncio.create_task(stage.late.run())
    async with asyncio.timeout(5):
        while len(stage.said) < PARALLEL - KEPT:
            await asyncio.sleep(0.005)
        await stage.owe(30, "boss", "")
        while ("boss", "") not in stage.said:
            stage.late.wake()
            await asyncio.sleep(0.005)
    assert len(stage.said) == PARALLEL - KEPT + 1
    stage.gate.set()
    stage.late.close()
    await running
