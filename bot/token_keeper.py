"""The access token: one for all tasks and processes, fetched before it expires.

A token lives two hours and every call needs it. It is kept in memory and in the store, so
that a second process uses the first one's. However many callers wait, one of them fetches;
the others share its result, good or bad. It never forces a new token while WeChat's normal
one works: forcing kills everybody else's at once. HTTP is the client's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from bot.errcodes import Refused, WeChatError

EARLY_S = 300.0
"""Seconds before its end from which a token is replaced: WeChat hands out the next by then."""

Outcome = Literal["fetched", "shared", "failed"]

_FRESH_S = 60.0
_FORCE_PAUSE_S = 30.0
_FORCE_PER_DAY = 20
_FORCE = "stable_token force_refresh"


class TokenStore(Protocol):
    """Where tokens outlive the process: `store.ledgers.Tokens`."""

    async def get(self, channel: str) -> tuple[str, float] | None:
        """(token, expires at in Unix seconds); None when there is none."""

    async def put(self, channel: str, token: str, expires_at: float) -> None:
        """Store a new one."""

    async def drop(self, channel: str, failed: str) -> None:
        """Forget this token, unless another is there already."""


class Fetch(Protocol):
    """Asks WeChat; gives the token and its remaining seconds. Errors: WeChatError."""

    async def __call__(self, *, force: bool) -> tuple[str, float]: ...


@dataclass(frozen=True, slots=True)
class _Held:
    token: str
    until: float


class TokenKeeper:
    """One channel's token.

    count: counts a use of the named thing today and says the total. observe: told how each
    need of a new token ended; "shared": another process had it.
    """

    def __init__(
        self,
        channel: str,
        fetch: Fetch,
        tokens: TokenStore,
        count: Callable[[str], Awaitable[int]],
        now: Callable[[], float],
        observe: Callable[[Outcome], None],
    ) -> None:
        self._channel = channel
        self._fetch = fetch
        self._tokens = tokens
        self._count = count
        self._now = now
        self._observe = observe
        self._held: _Held | None = None
        self._flight: tuple[str, asyncio.Task[str]] | None = None
        self._forced_at = float("-inf")

    async def token(self, failed: str = "") -> str:
        """A token good for now.

        failed: the one WeChat just refused. The same comes back when there is no better one
        (forcing is allowed every 30 s, 20 times a day). Errors: WeChatError of the fetch.
        """
        while True:
            held = self._held
            if held is not None and held.token != failed and held.until > self._now():
                return held.token
            if self._flight is None:
                self._start(failed)
            assert self._flight is not None
            sought, task = self._flight
            # Shielded: a caller that gives up must not take the others' token along.
            token = await asyncio.shield(task)
            if token != failed or sought == failed:
                return token

    async def fetch(self) -> str:
        """Ask WeChat in any case, in normal mode. Errors: WeChatError."""
        return await self._fetched(force=False)

    def _start(self, failed: str) -> None:
        task = asyncio.create_task(self._find(failed), name=f"token {self._channel}")
        self._flight = (failed, task)
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[str]) -> None:
        self._flight = None
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain when all left

    async def _find(self, failed: str) -> str:
        stored = await self._tokens.get(self._channel)
        if stored is not None and stored[0] != failed:
            until = stored[1] - EARLY_S
            if until > self._now():
                self._held = _Held(stored[0], until)
                self._observe("shared")
                return stored[0]
        if failed:
            await self._tokens.drop(self._channel, failed)
        token = await self._fetched(force=False)
        if token == failed and await self._may_force():
            # Refused: others force as well. The one at hand is as good as it gets.
            with suppress(Refused):
                token = await self._fetched(force=True)
        return token

    async def _may_force(self) -> bool:
        now = self._now()
        if now - self._forced_at < _FORCE_PAUSE_S:
            return False
        self._forced_at = now
        return await self._count(_FORCE) <= _FORCE_PER_DAY

    async def _fetched(self, *, force: bool) -> str:
        asked_at = self._now()
        try:
            token, life_s = await self._fetch(force=force)
        except WeChatError:
            self._observe("failed")
            raise
        # A token about to end (a slow clock, a test's short ones) still serves a moment:
        # asking again for every call would bring the same one.
        spare_s = max(life_s - EARLY_S, min(_FRESH_S, life_s / 2))
        self._held = _Held(token, asked_at + spare_s)
        self._observe("fetched")
        await self._tokens.put(self._channel, token, asked_at + life_s)
        return token
