"""The operators' port: whether the process lives, whether it answers, and its figures.

Never on the webhook's address: what is shown here is for the business, not for the world.
"""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web

from bot.metrics import Metrics
from store import Store, StoreError

log = structlog.get_logger()

_PATIENCE_S = 1.0
"""Who watches asks again soon; a locked database must not keep them waiting."""


class Ops:
    """`/healthz`, `/readyz` and `/metrics`."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    def runner(self) -> web.AppRunner:
        """What listens, once it is given an address."""
        app = web.Application()
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._figures)
        return web.AppRunner(app, access_log=None)

    async def _alive(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _ready(self, _: web.Request) -> web.Response:
        if not self._metrics.ready:
            return web.Response(status=503, text="starting\n")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await asyncio.shield(self._store.ping())
        except (StoreError, TimeoutError) as error:
            log.error("not_ready", error=type(error).__name__)
            return web.Response(status=503, text="the database takes no writes\n")
        return web.Response(text="ready\n")

    async def _figures(self, _: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                self._metrics.sends = await self._store.sends.counts()
                self._metrics.hooks = await self._store.hooks.counts()
        except (StoreError, TimeoutError):
            pass  # the counts of last time: the other figures are needed now more than ever
        body, content_type = self._metrics.render()
        return web.Response(body=body, headers={"Content-Type": content_type})
