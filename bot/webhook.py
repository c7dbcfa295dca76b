"""HTTP in and out: the webhooks, with every limit that a public door needs.

`/hook/NAME` for each channel: GET is WeChat's check of the address, POST a message. A
refusal is a status, an empty body and one log line; it never says why to the outside.
A plain aiohttp server without routes, since a lookup by path is all that is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import structlog
from aiohttp import web

from bot.crypto import BadMessage
from bot.door import Limits, Server
from bot.inbox import Inbox, Refusal
from bot.official import Codec

log = structlog.get_logger()

MAX_QUERY = 2048
_BUSY_STATUS = 503


class Watch(Protocol):
    """What the door counts; `bot/metrics.py` has it."""

    def refused(self, channel: str, reason: str) -> None: ...


class Door(Protocol):
    """A channel that answers its own requests: `bot/wecom_door.py`, `bot/gateway.py`.

    Bodies come whole and within the limits. Errors of both: BadMessage.
    """

    @property
    def channel(self) -> str:
        """Its name in the configuration."""

    async def get(
        self, request: web.BaseRequest, query: Mapping[str, str], now: float
    ) -> web.StreamResponse:
        """A check of the address, or the opening of a WebSocket."""

    async def post(
        self, request: web.BaseRequest, query: Mapping[str, str], body: bytes, now: float
    ) -> web.StreamResponse:
        """A message or an event."""


def parse_query(path: str) -> tuple[str, dict[str, str]]:
    """The bare path and its query; a name given twice keeps the last value.

    Errors: BadMessage when it is far longer than WeChat's.
    """
    bare, mark, text = path.partition("?")
    if not mark:
        return bare, {}
    if len(text) > MAX_QUERY:
        raise BadMessage("too_large")
    if "%" not in text and "+" not in text:
        # What WeChat sends: nothing to unquote.
        query = {}
        for pair in text.split("&"):
            name, _, value = pair.partition("=")
            query[name] = value
        return bare, query
    try:
        return bare, dict(parse_qsl(text, keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise BadMessage("missing_field") from None


class Webhook:
    """The handler of the public port.

    codecs: path ("/hook/mp") -> the official account's codec; doors: the same for channels of
    other kinds. now: Unix seconds.
    """

    def __init__(
        self,
        codecs: Mapping[str, Codec],
        inbox: Inbox,
        watch: Watch,
        limits: Limits,
        *,
        now: Callable[[], float],
        doors: Mapping[str, Door] | None = None,
    ) -> None:
        self._codecs = codecs
        self._doors = {} if doors is None else doors
        self._inbox = inbox
        self._watch = watch
        self._limits = limits
        self._now = now

    def server(self) -> web.Server:
        """What `web.ServerRunner` runs."""
        return Server(self._handle, self._limits, self._refused, self._request)

    def _request(self, *args: Any) -> web.BaseRequest:
        """A request without the parts that only routes need."""
        message, payload, protocol, writer, task = args
        return web.BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            asyncio.get_running_loop(),
            client_max_size=self._limits.max_body_bytes,
        )

    def _refused(self, channel: str, reason: str) -> None:
        """Count a refusal and say so in one line, without anything the visitor sent."""
        self._watch.refused(channel, reason)
        log.warning("refused", channel=channel, reason=reason)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        channel = "-"
        try:
            path, query = parse_query(request.raw_path)
            codec = self._codecs.get(path)
            if codec is None and (door := self._doors.get(path)) is not None:
                channel = door.channel
                return await self._through(door, request, query)
            if codec is None:
                self._refused(channel, "unknown_path")
                return web.Response(status=404)
            channel = codec.channel
            if request.method == "POST":
                body = await self._body(request)
                opened = codec.open(query, body, self._now())
                answer = await self._inbox.answer(opened.message, opened.seal, opened.plain)
                if isinstance(answer, bytes):
                    return web.Response(
                        body=answer, content_type=opened.seal.content_type, charset="utf-8"
                    )
                self._watch.refused(channel, answer.value)
                if answer is not Refusal.NOT_READY:
                    log.warning("not_answered", key=opened.message.key, reason=answer.value)
                return web.Response(status=_BUSY_STATUS)
            if request.method == "GET":
                echo = codec.check_url(query, self._now())
                return web.Response(text=echo, content_type="text/plain")
            self._refused(channel, "bad_method")
            return web.Response(status=405, headers={"Allow": "GET, POST"})
        except BadMessage as error:
            self._refused(channel, error.reason)
            status = 413 if error.reason == "too_large" else 403
            response = web.Response(status=status)
            if error.reason in ("too_large", "too_slow"):
                response.force_close()
            return response

    async def _through(
        self, door: Door, request: web.BaseRequest, query: Mapping[str, str]
    ) -> web.StreamResponse:
        if request.method == "POST":
            return await door.post(request, query, await self._body(request), self._now())
        if request.method == "GET":
            return await door.get(request, query, self._now())
        self._refused(door.channel, "bad_method")
        return web.Response(status=405, headers={"Allow": "GET, POST"})

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit = self._limits.max_body_bytes
        if (request.content_length or 0) > limit:
            raise BadMessage("too_large")
        if request.headers.get("Expect", "").lower() == "100-continue":
            # Only now that its length is known to be allowed.
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            if request.content.is_eof():
                # The usual case: headers and body came together.
                body = await request.read()
            else:
                async with asyncio.timeout(self._limits.body_timeout_s):
                    body = await request.read()
        except TimeoutError:
            raise BadMessage("too_slow") from None
        except web.HTTPRequestEntityTooLarge:
            raise BadMessage("too_large") from None
        except (web.RequestPayloadError, ValueError):
            raise BadMessage("bad_body") from None
        if len(body) > limit:
            raise BadMessage("too_large")
        return body
