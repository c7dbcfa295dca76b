"""A running API over a real store for tests: keys as needed, a clock, the counts."""

from __future__ import annotations

import json as jsonlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bot.config import ServerSettings
from bot.keys import SCOPES, KeyRing, new_key
from bot.rest import PREFIX, Operation, Services, make_app
from bot.rest_server import ApiRunner
from knowledge import Entry, Knowledge
from store import Store
from tests.blank import blank
from tests.bot.wechat_world import Clock


@dataclass(frozen=True, slots=True)
class Got:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return jsonlib.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [jsonlib.loads(line) for line in self.body.splitlines()]


@dataclass
class Watched:
    """Counts instead of metrics."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    guesses: Counter[str] = field(default_factory=Counter)

    def api_request(self, operation: str, status: int) -> None:
        self.requests[operation, status] += 1

    def wrong_code(self, who: str) -> None:
        self.guesses[who] += 1

    def refused(self, channel: str, reason: str) -> None:
        self.refusals[reason] += 1


@dataclass
class ApiWorld:
    """The API on a port of its own. reloads: how often the content was read again."""

    store: Store
    clock: Clock
    session: aiohttp.ClientSession
    watch: Watched
    knowledge: Knowledge
    base: str = ""
    port: int = 0
    services: Services = field(init=False)
    reloads: int = 0
    _keys: dict[tuple[frozenset[str], int], str] = field(default_factory=dict)

    async def key(self, scopes: Iterable[str] = SCOPES, per_minute: int = 600_000) -> str:
        """A key with these scopes, as its owner sees it; the same one when asked again."""
        wanted = (frozenset(scopes), per_minute)
        if wanted not in self._keys:
            row, shown = new_key("test", wanted[0], per_minute, self.clock())
            assert await self.store.keys.add(row)
            self._keys[wanted] = shown
            # The ring reads again at the next second; a test must not wait for that.
            self.services.keys.forget()
        return self._keys[wanted]

    async def full(self, full: bool) -> None:
        """Let every line of the audit fail, as a full disk would, or no more."""
        begin = "create trigger full before insert on audit begin select raise(abort, 'full'); end"
        sql = begin if full else "drop trigger full"
        await self.store.db.write(lambda conn: conn.execute(sql))

    async def call(
        self,
        method: str,
        path: str,
        *,
        scopes: Iterable[str] | None = SCOPES,
        key: str | None = None,
        json: Any = None,
        ndjson: Sequence[Any] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Got:
        """One request below /api/v1. scopes: None sends no key; ndjson: its lines."""
        sent: dict[str, str] = {}
        if key is None and scopes is not None:
            key = await self.key(scopes)
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        if json is not None:
            data, sent["Content-Type"] = jsonlib.dumps(json).encode(), "application/json"
        if ndjson is not None:
            data = b"\n".join(jsonlib.dumps(line).encode() for line in ndjson)
            sent["Content-Type"] = "application/x-ndjson"
        sent.update(headers or {})
        async with self.session.request(
            method, f"{self.base}{PREFIX}{path}", data=data, headers=sent, allow_redirects=False
        ) as response:
            return Got(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str, **more: Any) -> Got:
        return await self.call("GET", path, **more)

    async def post(self, path: str, **more: Any) -> Got:
        return await self.call("POST", path, **more)

    async def put(self, path: str, **more: Any) -> Got:
        return await self.call("PUT", path, **more)

    async def delete(self, path: str, **more: Any) -> Got:
        return await self.call("DELETE", path, **more)

    async def member(
        self, openid: str = "oLVPpjqs9BhvzwPj5A-vTYAX3GLc", channel: str = "mp"
    ) -> int:
        """The id of a member who has been met."""
        return (await self.store.members.meet(channel, openid, self.clock())).id

    async def reload(self, *changed: str) -> None:
        self.reloads += 1
        self.knowledge.replace_all(
            Entry(id=f"item:{item.id}", questions=(item.title, " ".join(item.tags)))
            for item in await self.store.catalogue.items()
        )

    def find_items(self, query: str, limit: int) -> list[str]:
        return [hit.id.removeprefix("item:") for hit in self.knowledge.find(query, limit)]


@asynccontextmanager
async def api(
    tmp_path: Path,
    operations: Iterable[Operation] | None = None,
    *,
    extra_routes: Iterable[web.AbstractRouteDef] = (),
    settings: ServerSettings | None = None,
    **services: Any,
) -> AsyncIterator[ApiWorld]:
    """Everything of `ApiWorld`, closed at the end.

    operations: None for all there are. services: fields of `Services` to give besides
    (linker=…, read_document=…); a function gets the world's store by closing over it.
    """
    if operations is None:
        from bot.rest_all import ALL

        operations = ALL
    clock, watch = Clock(), Watched()
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
    world = ApiWorld(store, clock, session, watch, Knowledge())
    given: dict[str, Any] = {
        "store": store,
        "keys": KeyRing(store.keys, clock),
        "now": clock,
        "watch": watch,
        "reload": world.reload,
        "find_items": world.find_items,
    }
    world.services = Services(**(given | services))
    settings = settings or ServerSettings()
    app = make_app(world.services, operations, settings, extra_routes)
    runner = ApiRunner(app, settings, watch.refused)
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        world.port = runner.addresses[0][1]
        world.base = f"http://127.0.0.1:{world.port}"
        yield world
    finally:
        await session.close()
        await runner.cleanup()
        await world.services.keys.close()
        await store.close()
