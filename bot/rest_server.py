"""The API's own port: the limits of the webhook's door, and refusals that say why.

aiohttp's runner for applications knows no limit on connections or on the time for the
headers; the webhook's server does, so the application is put into that.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from bot.door import Connection, Limits, Server
from bot.problem import Problem


class ApiRunner(web.AppRunner):
    """Runs the application of `bot/rest.py`.

    refused: called with "-" and a reason when a connection is refused before anybody knows
    what it wanted.
    """

    def __init__(
        self, app: web.Application, limits: Limits, refused: Callable[[str, str], None]
    ) -> None:
        super().__init__(app, access_log=None)
        self._limits = limits
        self._refused = refused

    async def _make_server(self) -> web.Server:
        await super()._make_server()
        app = self._app
        return _ApiServer(app._handle, self._limits, self._refused, app._make_request)


class _ApiConnection(Connection):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem instead of aiohttp's page, which would quote what came."""
        bare = super().handle_error(request, status, exc, message)
        if status >= 500:
            problem = Problem(bare.status, "Something went wrong here", type="internal")
        else:
            problem = Problem(bare.status, "Not HTTP as it should be", type="bad-http")
        response = problem.response()
        response.force_close()
        return response


class _ApiServer(Server):
    connection = _ApiConnection
