"""The doors for what happens outside the chat: the REST API, the links, the webhooks out.

Opened and closed by `bot/app.py`, after the store and before it closes. Nothing here
decides; it hands each part what it needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import aiohttp
import structlog
from aiohttp import web

from bot.config import Config
from bot.contents import Contents
from bot.group_means import GroupMeans
from bot.hooks import HookRunner
from bot.incentives import rewards
from bot.insight_means import InsightMeans
from bot.keys import KeyRing
from bot.links import Linker
from bot.metrics import Metrics
from bot.oauth import CodeExchange, OAuth, authorize_base
from bot.reading import read_document
from bot.redirect import Redirect
from bot.rest import Services, make_app
from bot.rest_all import ALL
from bot.rest_server import ApiRunner
from handlers.campaigning import Campaigns
from handlers.recommending import Recommendations
from knowledge import Knowledge
from store import Store

log = structlog.get_logger()


class Outside:
    """Port `server.api_port` and the runner of webhooks. now: Unix seconds."""

    def __init__(
        self,
        config: Config,
        store: Store,
        knowledge: Knowledge,
        contents: Contents,
        linker: Linker,
        metrics: Metrics,
        *,
        session: aiohttp.ClientSession,
        now: Callable[[], float],
        campaigns: Campaigns,
        groups: GroupMeans,
        insights: InsightMeans,
        recommendations: Recommendations | None = None,
        pages: Sequence[web.RouteDef] = (),
    ) -> None:
        self._config = config
        self._pages = pages
        self._store = store
        self._knowledge = knowledge
        self._metrics = metrics
        self._now = now
        self._hooks = HookRunner(store, now=now, allow_private=config.hooks.allow_private)
        self._telling: asyncio.Task[None] | None = None
        self._redirect = Redirect(
            store,
            linker,
            now=now,
            oauth=_oauth(config, session, metrics),
            click_param=config.links.click_param,
        )
        self.services = Services(
            store=store,
            keys=KeyRing(store.keys, now),
            now=now,
            watch=metrics,
            reload=contents.reload,
            find_items=self._find_items,
            read_document=read_document,
            linker=linker,
            private_hooks=config.hooks.allow_private,
            rewards=rewards(config),
            campaigns=campaigns,
            groups=groups,
            insights=insights,
            recommendations=recommendations,
        )

    def runner(self) -> web.BaseRunner:
        """The server of the API and the links, ready to listen."""
        routes = [*self._redirect.routes(), *self._pages]
        app = make_app(self.services, ALL, self._config.server, routes)
        return ApiRunner(app, self._config.server, self._metrics.refused)

    def start(self) -> None:
        """Begin to tell webhooks."""
        self._telling = asyncio.create_task(self._hooks.run())
        self._telling.add_done_callback(_ended)

    async def close(self) -> None:
        """Write down the last changes and clicks; end the tellings under way.

        The doors are closed before, the store after.
        """
        self._hooks.close()
        await self.services.running.close()
        await self._redirect.close()
        await self.services.keys.close()
        if self._telling is not None:
            done, _ = await asyncio.wait({self._telling}, timeout=1.5)
            if not done:
                # What was under way is told again after the start; receivers know the id.
                self._telling.cancel()
                await asyncio.gather(self._telling, return_exceptions=True)

    def _find_items(self, query: str, limit: int) -> Sequence[str]:
        return [hit.id.removeprefix("item:") for hit in self._knowledge.find(query, limit)]


def _ended(telling: asyncio.Task[None]) -> None:
    if not telling.cancelled() and (error := telling.exception()) is not None:
        log.critical("hooks_ended", error=type(error).__name__, exc_info=error)


def _oauth(config: Config, session: aiohttp.ClientSession, metrics: Metrics) -> OAuth | None:
    """The first channel whose 网页授权 is on: one host has one."""
    name, channel = next(
        ((name, one) for name, one in config.channels.items() if one.oauth), ("", None)
    )
    if channel is None:
        return None
    exchange = CodeExchange(
        channel.app_id,
        channel.app_secret,
        session=session,
        api_base=channel.api_base,
        observe=lambda errcode: metrics.api_call(name, "oauth2/access_token", errcode),
    )
    return OAuth(name, channel.app_id, authorize_base(channel.api_base), exchange)
