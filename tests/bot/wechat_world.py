"""The client's surroundings for tests: a fake WeChat, servers that are none, store, clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bot.client import Client, new_session
from bot.rules import Secret
from bot.token_keeper import Outcome
from sandbox.fake_wechat import Account, FakeWeChat
from store import Store
from tests.blank import blank

APP_ID = "wx1234567890abcdef"
SECRET = "s3cret-s3cret-s3cret-s3cret-s3cr"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
LIN = "oLVPpjqs9BhvzwPj5A-vTYAX3GLc"
SEND = "/cgi-bin/message/custom/send"
TOKEN = "/cgi-bin/stable_token"
FOREIGN_TOKEN = "T" * 140
NOON = 1_763_697_600.0  # 2025-11-21, 12:00 in Shanghai


@dataclass
class Clock:
    """Unix seconds that only move when told."""

    at: float = NOON

    def __call__(self) -> float:
        return self.at


@dataclass
class World:
    """The fake, a store, a clock, and any number of clients as separate processes."""

    fake: FakeWeChat
    store: Store
    session: aiohttp.ClientSession
    clock: Clock
    seen: list[tuple[str, int]] = field(default_factory=list)
    got: list[Outcome] = field(default_factory=list)

    def client(
        self,
        *,
        api_base: str = "",
        timeout_s: float = 5.0,
        secret: str = SECRET,
        channel: str = "mp",
    ) -> Client:
        return Client(
            channel,
            APP_ID,
            Secret(secret),
            api_base=api_base or self.fake.api_base,
            timeout_s=timeout_s,
            session=self.session,
            tokens=self.store.tokens,
            quota=self.store.quota,
            now=self.clock,
            observe=lambda path, errcode: self.seen.append((path, errcode)),
            observe_token=self.got.append,
        )

    def sends(self) -> int:
        return self.fake.calls[SEND]


@asynccontextmanager
async def open_world(tmp_path: Path) -> AsyncIterator[World]:
    """Everything of `World`, closed at the end; LIN has just written."""
    clock = Clock()
    fake = FakeWeChat(Account(APP_ID, SECRET, "token", AES_KEY), now=clock)
    await fake.start()
    fake.open_window(LIN, "message")
    store = Store(blank(tmp_path / "zhiqun.db"))
    await store.open()
    session = new_session()
    yield World(fake, store, session, clock)
    await session.close()
    await store.close()
    await fake.close()


def text(content: str, openid: str = LIN) -> dict[str, Any]:
    return {"touser": openid, "msgtype": "text", "text": {"content": content}}


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, *, tokens: bool = True) -> AsyncIterator[str]:
    """A server that is not WeChat: its base URL.

    tokens: it still hands out tokens, so that a call gets as far as `handler`.
    """

    async def token(_: web.Request) -> web.Response:
        return web.json_response({"access_token": FOREIGN_TOKEN, "expires_in": 7200})

    app = web.Application()
    if tokens:
        app.router.add_post(TOKEN, token)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answers(body: bytes | str, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        raw = body.encode() if isinstance(body, str) else body
        return web.Response(body=raw, status=status, headers=headers)

    return handler
