"""The limit: the same echo on a bare asyncio protocol under uvloop.

Reads just enough HTTP for the bench's own client; nobody should serve strangers so.
"""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop

from bench.peers import port
from bench.peers.handtuned import answer


class Echo(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer once head and body are here."""
        data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        at = data.index(b"Content-Length: ") + 16
        length = int(data[at : data.index(b"\r\n", at)])
        if len(data) < end + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        query = data[data.index(b"?") + 1 : data.index(b" HTTP/1.1")]
        out = answer(query, data[end + 4 :])
        if out is None:
            self._transport.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        else:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(out), out)
            )


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port())
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
