"""Who is this really? A follower's unionid, which joins what they are on several accounts.

Asked once at every follow, off the answer's path. It is a convenience: when WeChat does
not say, nothing is missing, and the next follow asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from bot.client import WeChatError
from store import Store, StoreError

log = structlog.get_logger()

PATH = "/cgi-bin/user/info"
_MAX_UNIONID = 128


class Asker(Protocol):
    """The one call this room needs of a channel's client."""

    async def call(self, method: str, path: str, *, params: Mapping[str, str]) -> Mapping[str, Any]:
        """Errors: WeChatError."""


class Introductions:
    """Asks for unionids in the background.

    askers: channels whose account may ask (verified ones) and their clients.
    """

    def __init__(self, store: Store, askers: Mapping[str, Asker]) -> None:
        self._store = store
        self._askers = askers
        self._tasks: set[asyncio.Task[None]] = set()

    def met(self, channel: str, openid: str) -> None:
        """Somebody follows: find out who it is, some time soon."""
        asker = self._askers.get(channel)
        if asker is None:
            return
        task = asyncio.create_task(self._ask(asker, channel, openid))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop asking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, asker: Asker, channel: str, openid: str) -> None:
        try:
            said = await asker.call("GET", PATH, params={"openid": openid, "lang": "zh_CN"})
            unionid = said.get("unionid")
            if isinstance(unionid, str) and 0 < len(unionid) <= _MAX_UNIONID:
                await self._store.members.unite(channel, openid, unionid)
        except (WeChatError, StoreError) as error:
            log.info("not_introduced", channel=channel, error=str(error))
