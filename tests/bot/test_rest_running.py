"""Changes over REST end as they were meant to, whoever hangs up or loses patience."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.problem import Problem
from bot.rest import PREFIX, Answer, Call, Operation
from bot.rest_all import ALL
from bot.rest_running import MAX_UNHEARD, Running
from knowledge.documents import Document, Passage
from tests.bot.api_world import ApiWorld, api

OPENID = "oLVPpjqs9BhvzwPj5A-vTYAX3GLc"


class Gate:
    """An operation that stops in its middle until it is let on."""

    def __init__(self, method: Any = "POST", **more: Any) -> None:
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()
        self.open = asyncio.Event()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.operation = Operation(
            method=method,
            path="/slow",
            name="slow",
            summary="slow",
            scope="items:write",
            run=self._run,
            answers={200: dict},
            **more,
        )

    async def _run(self, call: Call) -> Answer:
        self.begun.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.ended.set_result("cut off")
            raise
        self.ended.set_result("done")
        return Answer(200, {})


async def hang_up_in(
    world: ApiWorld, begun: asyncio.Event, method: str, path: str, body: bytes = b""
) -> None:
    """Make a request and hang up when it has begun; the server has noticed when this returns."""
    key = await world.key()
    _, writer = await asyncio.open_connection("127.0.0.1", world.port)
    head = (
        f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    async with asyncio.timeout(10):
        await begun.wait()
    writer.transport.abort()
    # Another connection comes and goes: the end of the first was read before.
    for _ in range(3):
        assert (await world.get("/nowhere")).status == 404


@asynccontextmanager
async def a_slow(tmp_path: Path, gate: Gate) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, [gate.operation]) as world:
        yield world
        gate.open.set()
        await world.services.running.close()


async def test_a_change_goes_on_when_its_caller_hangs_up(tmp_path: Path) -> None:
    gate = Gate()
    async with a_slow(tmp_path, gate) as world:
        await hang_up_in(world, gate.begun, "POST", "/slow")
        gate.open.set()
        assert await gate.ended == "done"


async def test_what_only_reads_ends_with_its_caller(tmp_path: Path) -> None:
    gate = Gate("GET")
    async with a_slow(tmp_path, gate) as world:
        await hang_up_in(world, gate.begun, "GET", "/slow")
        async with asyncio.timeout(10):
            assert await gate.ended == "cut off"


async def test_a_change_that_takes_too_long_is_a_503_and_goes_on(tmp_path: Path) -> None:
    gate = Gate(limit_s=0.01)
    async with a_slow(tmp_path, gate) as world:
        got = await world.post("/slow")
        assert (got.status, got.json["type"]) == (503, "urn:zhiqun:timeout")
        assert "goes on" in got.json["detail"]
        assert int(got.headers["Retry-After"]) > 0
        assert not gate.ended.done()
        gate.open.set()
        assert await gate.ended == "done"


async def test_whoever_waits_gets_the_answer(tmp_path: Path) -> None:
    gate = Gate()
    gate.open.set()
    async with a_slow(tmp_path, gate) as world:
        assert (await world.post("/slow")).status == 200


async def test_a_member_is_forgotten_wholly_though_the_caller_hangs_up(tmp_path: Path) -> None:
    begun, let_write = asyncio.Event(), threading.Event()
    (erase,) = [one for one in ALL if one.name == "eraseMember"]

    async def run(call: Call) -> Any:
        begun.set()
        return await erase.run(call)

    async with api(tmp_path, [replace(erase, run=run)]) as world:
        member = await world.member(OPENID)
        await world.key()
        assert world.store.members.known("mp", OPENID) is not None
        # The writer is busy: the erasing is handed over, and waits.
        busy = world.store.db.write(lambda _: let_write.wait(10))
        await hang_up_in(world, begun, "DELETE", f"/members/{member}")
        let_write.set()
        await busy
        await world.services.running.close()
        assert await world.store.members.card(member) is None
        assert world.store.members.known("mp", OPENID) is None, "no ghost"
        audit = await world.store.db.read(
            lambda conn: conn.execute("select action, target from audit").fetchall()
        )
        assert ("erase", f"member:{member}") in [tuple(row) for row in audit]


async def test_a_document_that_was_read_is_kept_whole_though_the_caller_hangs_up(
    tmp_path: Path,
) -> None:
    storing, let_reload = asyncio.Event(), asyncio.Event()
    reloaded = []

    async def read(name: str, data: bytes) -> Document:
        return Document(name, "txt", "Refunds", None, (Passage("", "Within a week.", None, 1),))

    async def reload() -> None:
        storing.set()
        await let_reload.wait()
        reloaded.append(True)

    async with api(tmp_path, read_document=read, reload=reload) as world:
        await hang_up_in(world, storing, "PUT", "/documents/a.txt", b"Within a week.")
        let_reload.set()
        await world.services.running.close()
        assert reloaded == [True]


# Running itself


async def wait_for(gate: asyncio.Event) -> str:
    await gate.wait()
    return "done"


async def fail(gate: asyncio.Event, error: Exception) -> None:
    await gate.wait()
    raise error


async def abandoned(running: Running, work: Any) -> None:
    """Begin something and stop waiting for it."""
    waiting = asyncio.create_task(running.finish("slow", work, None))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_closing_waits_for_what_nobody_waits_for() -> None:
    running, gate = Running(), asyncio.Event()
    begun = asyncio.create_task(running.finish("slow", wait_for(gate), None))
    await abandoned(running, wait_for(gate))
    closing = asyncio.create_task(running.close())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not closing.done()
    gate.set()
    await closing
    assert await begun == "done"


async def test_what_never_ends_does_not_hold_up_the_end() -> None:
    running = Running()
    await abandoned(running, wait_for(asyncio.Event()))
    with structlog.testing.capture_logs() as logs:
        await running.close(patience_s=0.01)
    assert [(line["event"], line["operation"]) for line in logs] == [("api_cut_off", "slow")]
    await running.close()


async def test_a_failure_nobody_hears_of_is_in_the_log() -> None:
    running, gate = Running(), asyncio.Event()
    await abandoned(running, fail(gate, RuntimeError("broken")))
    await abandoned(running, fail(gate, Problem(404, "Not found")))
    gate.set()
    with structlog.testing.capture_logs() as logs:
        await running.close()
    assert [(line["event"], line["error"]) for line in logs] == [
        ("api_failed_unheard", "RuntimeError")
    ]


async def test_who_keeps_hanging_up_waits_until_some_have_ended() -> None:
    running, gate = Running(), asyncio.Event()
    for _ in range(MAX_UNHEARD):
        await abandoned(running, wait_for(gate))
    with pytest.raises(Problem) as refused:
        await running.finish("slow", wait_for(gate), None)
    assert (refused.value.status, refused.value.type) == (503, "busy")
    assert refused.value.headers["Retry-After"] == "1"
    gate.set()
    await running.close()
    assert await running.finish("slow", wait_for(gate), None) == "done"


def test_every_change_has_an_end_of_its_own() -> None:
    """A stream may be ended anywhere; the one that changes something says so itself."""
    assert [one.name for one in ALL if one.streams and one.method != "GET"] == ["putDocument"]
