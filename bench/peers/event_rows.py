"""What one would write in an afternoon: aiohttp and sqlite3, one insert and commit a request.

It keeps an event as durably as ours and asks nothing of it: no key, no checks, nobody's
name looked up.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from pathlib import Path

import uvloop
from aiohttp import web


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    conn = sqlite3.connect(args.folder / "event_rows.db", isolation_level=None)
    conn.execute("pragma journal_mode = wal")
    conn.execute("pragma synchronous = full")
    conn.execute("create table events (id text primary key, kind text, at text, body text)")

    async def take(request: web.Request) -> web.Response:
        body = await request.text()
        event = json.loads(body)
        conn.execute(
            "insert into events values (?, ?, ?, ?) on conflict (id) do nothing",
            (event["id"], event["kind"], event["at"], body),
        )
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
