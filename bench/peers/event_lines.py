"""The least that keeps an event through a power cut: aiohttp, one line and one sync a request.

No key, no checks, no index, nobody's name looked up, and what comes twice is kept twice.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import uvloop
from aiohttp import web


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    kept = (args.folder / "event_lines.ndjson").open("ab")

    async def take(request: web.Request) -> web.Response:
        event = json.loads(await request.read())
        kept.write(json.dumps(event).encode() + b"\n")
        kept.flush()
        os.fdatasync(kept.fileno())
        return web.json_response({"id": event["id"]}, status=201)

    app = web.Application()
    app.router.add_post("/api/v1/events", take)
    web.run_app(
        app,
        host="127.0.0.1",
        port=args.port,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
