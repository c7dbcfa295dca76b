"""The fake gateway speaks as the documents say, keeps the talk, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from sandbox.fake_gateway import RECENT, FakeGateway, Faults, Said

GROUP = "12345@chatroom"
TOKEN = "token-of-the-gateway"


class Service:
    """Whoever stands where zhiqun would: keeps what comes, and asks for actions."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.frames: list[Any] = []
        self.ws: web.WebSocketResponse | None = None
        self.stir = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        if request.method == "POST":
            self.bodies.append(await request.read())
            return web.Response(status=204)
        self.ws = web.WebSocketResponse(protocols=("12.fake",))
        await self.ws.prepare(request)
        async for frame in self.ws:
            if frame.type is WSMsgType.TEXT:
                self.frames.append(json.loads(frame.data))
                self.stir.set()
        return self.ws

    async def frame(self, number: int) -> Any:
        """The n-th frame, once it is there."""
        async with asyncio.timeout(5):
            while len(self.frames) <= number:
                self.stir.clear()
                await self.stir.wait()
        return self.frames[number]


@asynccontextmanager
async def opened(version: int = 12, **faults: Any) -> AsyncIterator[tuple[FakeGateway, Service]]:
    service = Service()
    runner = web.ServerRunner(web.Server(service.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/qun"
    gateway = FakeGateway(
        url,
        TOKEN,
        version=version,
        secret="secret-of-it",
        faults=Faults(**faults),
        now=lambda: 1_763_600_000.5,
    )
    gateway.group(GROUP, "读书会", {"wxid_lin": "小林"})
    try:
        yield gateway, service
    finally:
        await gateway.close()
        await runner.cleanup()


async def test_what_is_said_is_posted_as_the_newer_version_has_it() -> None:
    async with opened() as (gateway, service):
        said = await gateway.say(GROUP, "wxid_lin", "有券吗", mention_bot=True, quote="7")
        event = json.loads(service.bodies[0])
        assert event.pop("id")
        assert event == {
            "self": {"platform": "wechat", "user_id": "wxid_bot"},
            "time": 1_763_600_000.5,
            "type": "message",
            "detail_type": "group",
            "sub_type": "",
            "message_id": said.message_id,
            "group_id": GROUP,
            "user_id": "wxid_lin",
            "message": [
                {"type": "reply", "data": {"message_id": "7"}},
                {"type": "mention", "data": {"user_id": "wxid_bot"}},
                {"type": "text", "data": {"text": " 有券吗"}},
            ],
            "alt_message": "有券吗",
        }
        assert gateway.statuses == [204]


async def test_the_older_version_is_signed() -> None:
    async with opened(version=11) as (gateway, service):
        await gateway.join(GROUP, "wxid_new", "新人")
        mac = hmac.new(b"secret-of-it", service.bodies[0], hashlib.sha1).hexdigest()
        assert service.headers[0]["X-Signature"] == f"sha1={mac}"
        event = json.loads(service.bodies[0])
        assert (event["post_type"], event["notice_type"]) == ("notice", "group_increase")
        assert gateway.groups[GROUP].members["wxid_new"] == "新人"


async def test_over_the_socket_it_says_hello_and_takes_actions() -> None:
    async with opened() as (gateway, service):
        heard: list[Said] = []
        gateway.on_message(heard.append)
        assert await gateway.connect()
        hello = await service.frame(0)
        assert (hello["type"], hello["detail_type"]) == ("meta", "connect")
        assert "self" not in hello
        assert service.ws is not None
        waiting = asyncio.create_task(gateway.heard(GROUP))
        await asyncio.sleep(0)
        parts = [
            {"type": "mention", "data": {"user_id": "wxid_lin"}},
            {"type": "text", "data": {"text": " 有的"}},
        ]
        params = {"detail_type": "group", "group_id": GROUP, "message": parts}
        await service.ws.send_json({"action": "send_message", "params": params, "echo": "e"})
        answer = await service.frame(1)
        said = await waiting
        assert (said.text, said.mentions, said.by_bot) == ("有的", ("wxid_lin",), True)
        assert answer["echo"] == "e"
        assert answer["data"]["message_id"] == said.message_id
        assert heard == [said] == list(gateway.groups[GROUP].log)
        for action in ("dance", "send_message"):
            params = {"group_id": "nowhere", "message": parts}
            await service.ws.send_json({"action": action, "params": params, "echo": action})
        codes = {(await service.frame(n))["retcode"] for n in (2, 3)}
        assert codes == {35000}


async def test_a_group_keeps_its_recent_talk() -> None:
    async with opened() as (gateway, _):
        for n in range(RECENT + 5):
            gateway._note(GROUP, "wxid_lin", f"{n}")
        log = gateway.groups[GROUP].log
        assert [log[0].text, log[-1].text, len(log)] == ["5", f"{RECENT + 4}", RECENT]


async def test_it_misbehaves_on_demand() -> None:
    async with opened(
        double_encoded=True, no_message_ids=True, no_event_ids=True, clock_off_s=-1e6
    ) as (gateway, service):
        await gateway.say(GROUP, "wxid_lin", "好")
        once = json.loads(service.bodies[0])
        assert isinstance(once, str)
        event = json.loads(once)
        assert not {"id", "message_id"} & event.keys()
        assert event["time"] == 1_762_600_000.5


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_refusal_is_noted(token: str) -> None:
    async with opened() as (gateway, _):
        gateway.token = token
        assert not await gateway.connect()
        await gateway.say(GROUP, "wxid_lin", "好")
        assert (gateway.refusal, gateway.statuses) == (401, [401])


async def test_it_connects_again_by_itself_when_asked_to() -> None:
    async with opened() as (gateway, service):
        await gateway.connect(keep=True)
        await service.frame(0)
        assert service.ws is not None
        await service.ws.close()
        await service.frame(1)
        await asyncio.sleep(0)
        assert gateway.closings == [1000]
