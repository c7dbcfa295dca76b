"""A service with one gateway's door and one official account's, and the fake gateway before it.

All over real HTTP: the same `Webhook` serves both doors, as in `bot/app.py`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from bot.gateway import Gateway
from bot.group_settings import GatewaySettings
from bot.inbox import Inbox, Sentences
from bot.metrics import Metrics
from bot.official import Codec
from bot.onebot import restore
from bot.parts import Outcome
from bot.rules import Secret
from bot.settings import ServerSettings
from bot.webhook import Webhook
from handlers.message import Message, Reply, reply_to_json
from sandbox.fake_gateway import FakeGateway, Faults
from store import Store
from store.members import Member
from store.sends import Send
from tests import build
from tests.blank import blank

TOKEN = "a token of the gateway".replace(" ", "-")
SECRET = "a-secret-of-the-gateway"
GROUP = "12345@chatroom"
LIN, WANG = "wxid_lin", "wxid_wang"


class World:
    """What the tests ask for. heard: messages in order; refused: reasons, as counted."""

    def __init__(self, store: Store, session: aiohttp.ClientSession) -> None:
        self.store = store
        self.session = session
        self.heard: list[Message] = []
        self.taken: list[Message] = []
        self.refused: list[str] = []
        self.gate = asyncio.Event()  # while clear, nothing is heard to its end
        self.gate.set()
        self.hearing = 0
        self.most = 0
        self.busy = 0  # so often nothing is taken
        self.answer: Exception | None = None
        self.url = ""
        self.gateway: Gateway
        self.fake: FakeGateway

    async def hear(self, message: Message, body: bytes) -> bool:
        """As the ear: everything of groups."""
        assert restore(body) == message
        self.hearing += 1
        self.most = max(self.most, self.hearing)
        try:
            await self.gate.wait()
        finally:
            self.hearing -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if not self._free():
            return False
        self.heard.append(message)
        return True

    async def take(self, message: Message, body: bytes) -> bool:
        """As the inbox: private chats."""
        assert restore(body) == message
        if not self._free():
            return False
        self.taken.append(message)
        return True

    def _free(self) -> bool:
        if self.busy:
            self.busy -= 1
            return False
        return True

    @property
    def texts(self) -> list[str]:
        """What was heard in groups."""
        return [one.text for one in self.heard]

    async def until(self, ready: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Wait until it is so. Errors: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not ready():
                await asyncio.sleep(0.005)

    async def connected(self) -> None:
        """Open the reverse WebSocket and wait until the service knows it."""
        assert await self.fake.connect()
        await self.until(lambda: self.gateway.connected)

    async def ask_official(self, text: str = "在吗") -> float:
        """A question by the other door of the same webhook; seconds until its answer."""
        began = time.perf_counter()
        query, body = build.signed(build.text(text), now=time.time())
        async with self.session.post(f"{self.url}/hook/mp?{urlencode(query)}", data=body) as got:
            assert got.status == 200
            assert build.open_reply(await got.read())["Content"] == "在的"
        return time.perf_counter() - began

    async def post(self, body: Any, **headers: str) -> int:
        """Any body to the gateway's webhook; gives the status."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(self.fake.webhook, data=raw, headers=headers) as got:
            assert not await got.read()
            return got.status


async def _converse(message: Message, member: Member) -> Outcome:
    return Outcome(Reply.text("在的"), "test")


def send(text: str | Reply, *, quote: str = "", group: str = GROUP, to: str = LIN) -> Send:
    """A row of `sends`, as the worker hands it to a carrier."""
    reply = Reply.text(text) if isinstance(text, str) else text
    place = f"qun:{group}" if group else ""
    return Send(1, b"k" * 16, "qun", to, reply_to_json(reply), time.time(), 1, place, quote)


@asynccontextmanager
async def world(
    path: Path,
    *,
    version: int = 12,
    faults: Faults | None = None,
    per_minute: int = 600,
    secret: str = "",
    self_id: str = "",
    by_http: bool = False,
    api_timeout_s: float = 5.0,
    patience_s: float = 5.0,
    event_limit_s: float = 5.0,
    idle_s: float = 60.0,
) -> AsyncIterator[World]:
    """Service and gateway, not yet connected. by_http: actions go to the gateway's own address."""
    store = Store(blank(path / "zhiqun.db"))
    await store.open()
    session = aiohttp.ClientSession()
    w = World(store, session)
    w.fake = FakeGateway("", TOKEN, version=version, secret=secret, faults=faults)
    w.fake.group(GROUP, "读书会", {LIN: "小林", WANG: "小王"})
    settings = GatewaySettings(
        channel="qun",
        accept_risk=True,
        access_token=Secret(TOKEN),
        secret=Secret(secret) if secret else None,
        self_id=self_id,
        api_url=await w.fake.listen() if by_http else "",
        api_timeout_s=api_timeout_s,
        per_minute=per_minute,
    )
    w.gateway = Gateway(
        settings,
        hear=w.hear,
        take=w.take,
        paces=store.paces,
        session=session,
        now=time.time,
        observe=lambda channel, reason: w.refused.append(reason),
        patience_s=patience_s,
        event_limit_s=event_limit_s,
        idle_s=idle_s,
    )
    metrics = Metrics(process=False)
    inbox = Inbox(
        store,
        _converse,
        metrics,
        Sentences("出错了", "还在想", "继续", "再说一次"),
        now=time.time,
        late=lambda: None,
    )
    inbox.open()
    webhook = Webhook(
        {"/hook/mp": Codec("mp", build.TOKEN, build.AES_KEY, app_id=build.APP_ID)},
        inbox,
        metrics,
        ServerSettings(),
        now=time.time,
        doors={"/hook/qun": w.gateway},
    )
    runner = web.ServerRunner(webhook.server())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    w.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    w.fake.webhook = f"{w.url}/hook/qun"
    try:
        yield w
    finally:
        w.gate.set()
        await w.fake.close()
        await w.gateway.close()
        await inbox.drain(1.0)
        await session.close()
        await runner.cleanup()
        await store.close()
