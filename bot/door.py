"""What both public doors have in common: limits on connections and on the time for headers.

aiohttp limits the pause between requests, but neither of those. The webhook
(`bot/webhook.py`) and the REST API (`bot/rest_server.py`) run on this server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

log = structlog.get_logger()


class Limits(Protocol):
    """The limits of the door; `bot/config.py: ServerSettings` has them."""

    @property
    def max_body_bytes(self) -> int: ...
    @property
    def header_timeout_s(self) -> float: ...
    @property
    def body_timeout_s(self) -> float: ...
    @property
    def max_connections(self) -> int: ...


class Server(web.Server):
    """aiohttp's server with a limit on connections and on the time for the headers.

    refused: called with a channel ("-": none yet) and the reason of every refusal.
    """

    connection: ClassVar[type[Connection]]

    def __init__(
        self,
        handler: Any,
        limits: Limits,
        refused: Callable[[str, str], None],
        request_factory: Callable[..., web.BaseRequest],
    ) -> None:
        super().__init__(
            handler,
            request_factory=request_factory,
            # A hang-up ends the waiting at once; what must not stop halfway is a task of its own
            # (bot/inbox.py, bot/rest_running.py).
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=75.0,
            lingering_time=1.0,
            auto_decompress=False,
            max_headers=64,
        )
        self.limits = limits
        self.refused = refused
        self.open_connections = 0
        self.full = False

    def __call__(self) -> RequestHandler:
        return self.connection(self, loop=self._loop, **self._kwargs)


class Connection(RequestHandler):
    """One caller, whose headers have a time limit and whose errors get a bare status."""

    __slots__ = ("_header_timer",)

    def __init__(self, manager: Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        manager = self._manager
        assert isinstance(manager, Server)
        super().connection_made(transport)
        manager.open_connections += 1
        if manager.open_connections > manager.limits.max_connections:
            if not manager.full:
                # Once until there is room again: a flood must not become a flood of lines.
                manager.full = True
                manager.refused("-", "too_many")
            self.force_close()
            return
        self._header_timer = asyncio.get_running_loop().call_later(
            manager.limits.header_timeout_s, self._too_slow, 0
        )

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Idle, and yet there were bytes: the headers of a further request that has begun.
        waiter, manager = self._waiter, self._manager
        if (
            waiter is not None
            and not waiter.done()
            and self._header_timer is None
            and isinstance(manager, Server)
        ):
            self._header_timer = asyncio.get_running_loop().call_later(
                manager.limits.header_timeout_s, self._too_slow, self._request_count
            )

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
        if isinstance(self._manager, Server):
            self._manager.open_connections -= 1
            if self._manager.open_connections < self._manager.limits.max_connections:
                self._manager.full = False
        super().connection_lost(exc)

    def _too_slow(self, requests: int) -> None:
        # aiohttp limits the pause between requests but not the time for the headers.
        self._header_timer = None
        if self._request_count == requests and not self._request_in_progress:
            if isinstance(self._manager, Server):
                self._manager.refused("-", "too_slow")
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A bare status. aiohttp's own would quote what came, to the visitor and in the log."""
        if status >= 500 or not isinstance(self._manager, Server):
            log.error("request_failed", error=type(exc).__name__, exc_info=exc)
        else:
            self._manager.refused("-", "bad_http")
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response = web.Response(status=status)
        response.force_close()
        return response


Server.connection = Connection
