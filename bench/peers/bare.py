"""The floor: aiohttp under uvloop says "success" to everything and reads nothing."""

from __future__ import annotations

import uvloop
from aiohttp import web

from bench.peers import port


async def success(request: web.Request) -> web.Response:
    """No signature, no cipher, no parser."""
    return web.Response(text="success")


def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_post("/hook/mp", success)
    web.run_app(
        app,
        host="127.0.0.1",
        port=port(),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
