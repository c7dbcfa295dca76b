"""A bot's links behind a real server, and visitors who open them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
from aiohttp import web

from bot.links import Linker
from bot.oauth import CodeExchange, OAuth
from bot.redirect import Redirect
from bot.rules import Secret
from sandbox.fake_wechat import Account, FakeWeChat
from store import Store
from store.catalogue import Item
from store.events import Event
from store.links import Link, Report
from tests.blank import blank
from tests.bot.test_visitors import CHROME
from tests.bot.wechat_world import AES_KEY, APP_ID, SECRET, Clock

SHOP = "https://shop.example.com/py"
PAY = "https://pay.example.com/how?a=1#top"


class Desk:
    """A bot's links behind a real server, and browsers that open them."""

    def __init__(self, store: Store, clock: Clock, http: aiohttp.ClientSession) -> None:
        self.store = store
        self.clock = clock
        self.http = http
        self.linker = self._linker(("pay.example.com",))
        self.redirect = Redirect(store, self.linker, now=clock)
        self._runner: web.AppRunner | None = None

    def _linker(self, hosts: Sequence[str]) -> Linker:
        return Linker(self.store, public_url="-", allowed_hosts=hosts, now=self.clock)

    async def open(self, hosts: Sequence[str] = ("pay.example.com",), **settings: Any) -> None:
        """Serve; again with other settings, as a restart would."""
        await self.close()
        self.linker = self._linker(hosts)
        await self.linker.open()
        self.redirect = Redirect(self.store, self.linker, now=self.clock, **settings)
        app = web.Application()
        app.add_routes(self.redirect.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.linker.public_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await self.redirect.close()

    async def link(self, **wanted: Any) -> Link:
        return (await self.linker.create(**{"item_id": "py-101", **wanted}, by="cli")).link

    async def get(
        self, url: str, agent: str = CHROME, method: str = "GET", **headers: str
    ) -> aiohttp.ClientResponse:
        """One request, no redirect followed; `url` may be a path."""
        if url.startswith("/"):
            url = self.linker.public_url + url
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.http.request(
            method, url, headers={"User-Agent": agent, **named}, allow_redirects=False
        )
        await response.read()
        return response

    async def opens(self, link: Link, member_id: int = 0, agent: str = CHROME, **h: str) -> str:
        """Where somebody who opens a link gets to."""
        response = await self.get(self.linker.url_for(link, member_id), agent, **h)
        assert response.status == 302
        return response.headers["Location"]

    async def events(self) -> list[Event]:
        """Every event, once all that waits is written."""
        await self.redirect.close()
        return await self.store.events.page()

    async def report(self, link: Link) -> Report:
        await self.events()
        report = await self.store.links.report(link.id)
        assert report is not None
        return report


@asynccontextmanager
async def open_desk(tmp_path: Path, **settings: Any) -> AsyncIterator[Desk]:
    """A desk whose catalogue has one item, closed at the end. settings: of `Redirect`."""
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    clock = Clock()
    await store.catalogue.put([Item(id="py-101", kind="course", title="Python", url=SHOP)], clock())
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        desk = Desk(store, clock, http)
        await desk.open(**settings)
        try:
            yield desk
        finally:
            await desk.close()
            await store.close()


@asynccontextmanager
async def open_wechat(tmp_path: Path) -> AsyncIterator[tuple[Desk, FakeWeChat]]:
    """A desk with 网页授权 over a fake WeChat."""
    async with open_desk(tmp_path) as desk:
        fake = FakeWeChat(Account(APP_ID, SECRET, "token", AES_KEY), now=desk.clock)
        await fake.start()
        exchange = CodeExchange(APP_ID, Secret(SECRET), session=desk.http, api_base=fake.api_base)
        await desk.open(oauth=OAuth("mp", APP_ID, fake.api_base, exchange))
        yield desk, fake
        await fake.close()


def number_of(location: str) -> str:
    """The click's number in an address; "" without one."""
    return dict(parse_qsl(urlsplit(location).query)).get("zq", "")
