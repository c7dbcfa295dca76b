"""Webhooks out, over the wire: signed, once when all is well, again when it is not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from bot import hooks
from bot.hooks import BadHook, HookRunner, checked, new_secret, sign
from store import Store
from store.hooks import DEAD, DONE, PLANNED
from tests.blank import blank

NOW = 1_795_000_000.0


@dataclass
class Receiver:
    """Somebody's server. statuses: what it answers in turn, 200 when they run out."""

    statuses: list[int] = field(default_factory=list)
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def hear(self, request: web.Request) -> web.Response:
        self.heard.append((dict(request.headers), await request.read()))
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers={"Location": self.url} if status == 302 else {})


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(statuses))
    app = web.Application()
    app.router.add_post("/hook", receiver.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(
    store: Store, now: Callable[[], float] = lambda: NOW, *, allow_private: bool = True
) -> AsyncIterator[HookRunner]:
    runner = HookRunner(store, now=now, allow_private=allow_private, look_s=0.02, timeout_s=2.0)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        runner.close()
        await task


async def until(store: Store, status: str, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while (await store.hooks.counts()).get(status, 0) < count:
            await asyncio.sleep(0.01)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield store
    await store.close()


async def test_a_telling_is_signed_as_the_standard_says(store: Store) -> None:
    secret = new_secret()
    async with receiving() as receiver:
        await store.hooks.add(receiver.url, ["link.clicked"], secret, NOW, "key:k1")
        await store.hooks.tell("link.clicked", "click:7", {"link": 3}, NOW, NOW)
        async with running(store):
            await until(store, DONE)
    ((headers, body),) = receiver.heard
    assert json.loads(body) == {"type": "link.clicked", "at": NOW, "data": {"link": 3}}
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"click:7.{int(NOW)}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    assert headers["webhook-id"] == "click:7"
    assert headers["webhook-timestamp"] == str(int(NOW))
    assert headers["webhook-signature"] == f"v1,{wanted}"


def test_a_signature_belongs_to_one_body_one_time_and_one_id() -> None:
    secret = new_secret()
    signed = sign(secret, "a", 1, b"{}")
    others = (
        sign(secret, "b", 1, b"{}"),
        sign(secret, "a", 2, b"{}"),
        sign(secret, "a", 1, b"[]"),
        sign(new_secret(), "a", 1, b"{}"),
    )
    assert signed not in others


async def test_a_receiver_that_fails_is_asked_again_with_the_same_id(store: Store) -> None:
    at = NOW
    async with receiving(500, 200) as receiver:
        await store.hooks.add(receiver.url, ["link.clicked"], new_secret(), NOW, "")
        await store.hooks.tell("link.clicked", "click:7", {}, NOW, NOW)
        async with running(store, lambda: at):
            async with asyncio.timeout(10):
                while not (rows := await store.hooks.listed(PLANNED)) or not rows[0].http_status:
                    await asyncio.sleep(0.01)
            at = rows[0].due_at
            await until(store, DONE)
    assert [headers["webhook-id"] for headers, _ in receiver.heard] == ["click:7"] * 2


async def test_gone_is_final(store: Store) -> None:
    async with receiving(410) as receiver:
        await store.hooks.add(receiver.url, ["link.clicked"], new_secret(), NOW, "")
        await store.hooks.tell("link.clicked", "click:7", {}, NOW, NOW)
        async with running(store):
            await until(store, DEAD)
    (row,) = await store.hooks.listed(DEAD)
    assert (row.tries, row.http_status) == (1, 410)


async def test_a_redirect_is_not_followed(store: Store) -> None:
    async with receiving(302) as receiver:
        await store.hooks.add(receiver.url, ["link.clicked"], new_secret(), NOW, "")
        await store.hooks.tell("link.clicked", "click:7", {}, NOW, NOW)
        async with running(store):
            async with asyncio.timeout(10):
                while not (rows := await store.hooks.listed(PLANNED)) or not rows[0].http_status:
                    await asyncio.sleep(0.01)
    assert rows[0].note == "answered 302"
    assert len(receiver.heard) == 1


async def test_a_private_address_is_never_called(store: Store) -> None:
    async with receiving() as receiver:
        port = receiver.url.rsplit(":", 1)[1]
        # By its number, and by a name that leads there.
        for number, host in enumerate(("127.0.0.1", "localhost")):
            await store.hooks.add(f"http://{host}:{port}", ["link.clicked"], new_secret(), NOW, "")
            await store.hooks.tell("link.clicked", f"click:{number}", {}, NOW, NOW)
        async with running(store, allow_private=False):
            async with asyncio.timeout(10):
                while any(not row.note for row in await store.hooks.listed()):
                    await asyncio.sleep(0.01)
        assert receiver.heard == []
    assert {row.status for row in await store.hooks.listed()} == {PLANNED}


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.com/",
        "ftp://shop.example.com/",
        "https://",
        "https://user@shop.example.com/",
        "https://shop.example.com/#x",
        "https://shop.example.com/ x",
        "https://shop.example.com\\@a.example",
        "https://shop.example.com:0/",
        "https://shop.example.com:99999/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://10.0.0.8/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.8]/",
        "https://169.254.169.254/latest",
        "https://" + "a" * 2100 + ".example/",
        "no address",
        "https://example..com/x",
        f"https://{'a' * 64}.example/",
        "https://.example.com/",
        "https://①②⑦.0.0.1:8443/",
        "https://127。0。0。1/",
        "https://１２７.０.０.１/",
        "https://2130706433.example.com@127.0.0.1/",
        "https://[::1",
    ],
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(BadHook):
        checked(url, ["link.clicked"], allow_private=False)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("::1", "::127.0.0.1", "::ffff:10.0.0.8", "fe80::1", "fd00::1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "localhost", "LOCALHOST."),
    ],
)
def test_an_address_of_this_machine_or_a_private_network_is_seen(address: str) -> None:
    assert hooks._is_private(address)


def test_an_address_of_the_internet_is_none() -> None:
    for address in ("1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "shop.example.com"):
        assert not hooks._is_private(address)


async def test_an_address_that_cannot_even_be_looked_up_stops_nobody_else(store: Store) -> None:
    async with receiving() as receiver:
        # As if it had been stored before anybody checked.
        await store.hooks.add("http://example..com/x", ["link.clicked"], new_secret(), NOW, "")
        await store.hooks.add(receiver.url, ["link.clicked"], new_secret(), NOW, "")
        async with running(store):
            for number in range(3):
                await store.hooks.tell("link.clicked", f"click:{number}", {}, NOW, NOW)
                await until(store, DONE, number + 1)
    assert len(receiver.heard) == 3


async def test_who_never_answers_holds_nobody_up(store: Store) -> None:
    silent = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await silent.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", never)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hole = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        async with receiving() as receiver:
            await store.hooks.add(hole, ["link.clicked"], new_secret(), NOW, "")
            await store.hooks.add(receiver.url, ["member.erased"], new_secret(), NOW, "")
            for number in range(40):
                await store.hooks.tell("link.clicked", f"click:{number}", {}, NOW, NOW)
            await store.hooks.tell("member.erased", "erased:1", {}, NOW, NOW)
            async with running(store):
                await until(store, DONE)
                # The others still hang: nobody has given up on them yet.
                assert (await store.hooks.counts()).get("sending") == 2
                silent.set()
    finally:
        silent.set()
        await runner.cleanup()


def test_a_topic_must_be_one_of_ours() -> None:
    checked("https://shop.example.com/hooks?x=1", ["link.clicked"], allow_private=False)
    with pytest.raises(BadHook, match="at least one"):
        checked("https://shop.example.com/", [], allow_private=False)
    with pytest.raises(BadHook, match=r"member\.erased"):
        checked("https://shop.example.com/", ["member.erazed"], allow_private=False)


async def test_a_private_network_may_be_allowed(store: Store) -> None:
    checked("http://127.0.0.1:9000/", ["link.clicked"], allow_private=True)
