"""What comes from outside the chat disturbs no member, and survives a kill as it was promised.

Over HTTP, with the whole bot: a load of events and a long document beside a conversation;
SIGKILL in the middle of batches, and during a webhook's call.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bot.hooks import sign
from bot.keys import SCOPES, new_key
from sandbox.fake_wechat import Delivery, FakeWeChat
from store import Store
from tests.proofs.world import ACCOUNT, FAQ, Served, opened, until

LIN, MEI = "o_lin", "o_mei"
NDJSON = {"Content-Type": "application/x-ndjson"}
BATCHES, LINES = 5, 4000


def event(number: int) -> bytes:
    """A line of a batch: what a visitor of the shop viewed; some are members."""
    who = {"channel": "mp", "openid": f"o_{number % 97}"} if number % 3 else {"visitor": "v1"}
    made = {"id": f"shop-{number}", "kind": "view", "item": "py-101", **who}
    return json.dumps(made).encode() + b"\n"


def batch(number: int) -> list[bytes]:
    return [event(number * LINES + line) for line in range(LINES)]


async def key_for(store: Store) -> str:
    row, shown = new_key("shop", SCOPES, 6000, time.time())
    assert await store.keys.add(row)
    return shown


@asynccontextmanager
async def calling(key: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http:
        yield http


# A load from outside


def long_document(size: int) -> bytes:
    """A table of a course's questions as an office program prints it, of so many bytes."""
    cells = [one.question for one in FAQ] + [one.answer for one in FAQ]
    rows = []
    length = number = 0
    while length < size:
        head = f"# 第 {number // 8} 周\n\n" if number % 8 == 0 else ""
        one, two = cells[number % len(cells)], cells[number * 5 % len(cells)]
        row = f"{head}{number:<8} {one:<120}{two:<200}\n".encode()
        rows.append(row)
        length += len(row)
        number += 1
    return b"".join(rows)[:size].decode(errors="ignore").encode().ljust(size)


async def test_members_are_answered_in_time_while_a_batch_and_a_long_document_come_in(
    tmp_path: Path,
) -> None:
    events = b"".join(event(number) for number in range(10_000))
    document = long_document(5 << 20)
    async with opened(tmp_path, faq=FAQ) as w, calling(await key_for(w.app.store)) as http:
        api = f"http://127.0.0.1:{w.app.api_port}/api/v1"

        async def take_events() -> None:
            async with http.post(f"{api}/events/batch", data=events, headers=NDJSON) as response:
                assert await response.json() == {"stored": 10_000, "repeated": 0, "refused": 0}

        async def take_document() -> None:
            async with http.put(f"{api}/documents/table.txt", data=document) as response:
                assert response.status == 201, await response.text()
                assert (await response.json())["bytes"] == 5 << 20

        load = [asyncio.create_task(take_events()), asyncio.create_task(take_document())]
        heard: list[Delivery] = []

        async def member(openid: str) -> None:
            while not all(task.done() for task in load):
                heard.append(await w.fake.send_text(openid, "发票在哪里开"))
                await asyncio.sleep(0.02)

        await asyncio.gather(*load, *(member(openid) for openid in (LIN, MEI, "o_wei")))
        assert len(heard) >= 3
        assert {delivery.outcome for delivery in heard} == {"replied"}, "none late, none refused"
        assert all(len(delivery.attempts) == 1 for delivery in heard)
        assert all(delivery.text.startswith("在订单页点开发票。") for delivery in heard)
        assert await w.sends() == {}, "no answer went the late way"
        slowest = max(delivery.attempts[0].ms for delivery in heard)
        print(f"{len(heard)} messages beside the load, the slowest {slowest:.0f} ms")


# A kill


def stored(served: Served) -> int:
    ((count,),) = served.rows("select count(*) from events where event_id like 'shop-%'")
    return int(count)


async def post(http: aiohttp.ClientSession, served: Served, body: Any) -> dict[str, Any]:
    """What became of a batch. Errors: aiohttp.ClientError when nobody could say."""
    async with http.post(f"{served.api}/events/batch", data=body, headers=NDJSON) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


async def half(lines: list[bytes]) -> AsyncIterator[bytes]:
    """A batch whose second half never comes."""
    yield b"".join(lines[: len(lines) // 2])
    await asyncio.Event().wait()


@dataclass
class Receiver:
    """A server that is told things, and fails: 500 to the first call, no answer to others."""

    heard: list[tuple[str, bytes]] = field(default_factory=list)
    signed: list[bool] = field(default_factory=list)
    healthy: bool = False
    secret: str = ""
    url: str = ""

    async def hear(self, request: web.Request) -> web.Response:
        body, headers = await request.read(), request.headers
        wanted = sign(self.secret, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        self.signed.append(headers["webhook-signature"] == wanted)
        self.heard.append((headers["webhook-id"], body))
        if not self.healthy and len(self.heard) > 1:
            await asyncio.Event().wait()
        return web.Response(status=200 if self.healthy else 500)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.hear)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def fail_twice(
    fake: FakeWeChat, http: aiohttp.ClientSession, served: Served, receiver: Receiver
) -> None:
    """Two members follow: the receiver refuses the one's news and is silent at the other's."""
    wish = {"url": receiver.url, "topics": ["member.followed"]}
    async with http.post(f"{served.api}/webhooks", json=wish) as response:
        assert response.status == 201, await response.text()
        receiver.secret = (await response.json())["secret"]
    await fake.follow(LIN)
    refused = "select 1 from hook_deliveries where status = 'planned' and http_status = 500"
    await until(lambda: served.rows(refused), "the refusal to be written down")
    await fake.follow(MEI)
    await until(lambda: len(receiver.heard) == 2, "the second call")


async def test_after_a_kill_every_event_is_there_once_and_every_telling_keeps_its_id(
    tmp_path: Path,
) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    fake = FakeWeChat(ACCOUNT)
    served = Served(tmp_path, api_base=await fake.start(), hooks="allow_private = true")
    fake.webhook = served.webhook
    store = Store(served.path)
    await store.open()
    key = await key_for(store)
    await store.close()
    moment = random.Random(seed).randint(1, (BATCHES - 2) * LINES)
    whole = [b"".join(batch(number)) for number in range(BATCHES)]
    try:
        async with receiving() as receiver, calling(key) as http:
            await asyncio.to_thread(served.start)
            await asyncio.to_thread(served.wait_ready)
            await fail_twice(fake, http, served, receiver)
            # The last one never ends: the kill finds it half read, and others at work.
            sent = [asyncio.create_task(post(http, served, body)) for body in whole[:-1]]
            sent.append(asyncio.create_task(post(http, served, half(batch(BATCHES - 1)))))
            await until(lambda: stored(served) >= moment, "some of the events", pause_s=0.005)
            await asyncio.to_thread(served.kill)
            answers = await asyncio.gather(*sent, return_exceptions=True)

            before, told = stored(served), [one for one in answers if isinstance(one, dict)]
            assert isinstance(answers[-1], aiohttp.ClientError)
            assert all(one["stored"] == LINES for one in told)
            assert len(told) * LINES <= before < BATCHES * LINES, "what was answered is there"
            first = dict(receiver.heard)
            with closing(sqlite3.connect(served.path)) as conn, conn:
                conn.execute("update hook_deliveries set due_at = due_at - 60")  # a minute passes
            receiver.healthy = True

            await asyncio.to_thread(served.start)
            await asyncio.to_thread(served.wait_ready)
            again = await asyncio.gather(*(post(http, served, body) for body in whole))
            done = "select count(*) from hook_deliveries where status = 'done'"
            await until(lambda: served.rows(done) == [(2,)], "both to be told")
    finally:
        await asyncio.to_thread(served.kill)
        await fake.close()

    assert sum(one["stored"] for one in again) == BATCHES * LINES - before
    assert sum(one["repeated"] for one in again) == before
    different = "select count(distinct event_id) from events where event_id like 'shop-%'"
    assert served.rows(different) == [(BATCHES * LINES,)]
    assert stored(served) == BATCHES * LINES
    heard = [key for key, _ in receiver.heard]
    assert len(first) == 2
    assert sorted(heard) == sorted([*first, *first]), "each again, under its own id"
    assert dict(receiver.heard) == first, "and in the same words"
    assert all(receiver.signed)
    print(f"{before} of {BATCHES * LINES} events were there after the kill")
