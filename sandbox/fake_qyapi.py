"""A fake qyapi.weixin.qq.com over HTTP: group robots, their files, and late robot answers.

It answers as WeCom does where zhiqun can notice the difference: 20 messages a minute, byte
limits, unknown keys, calls that are performed and never answered. Other APIs of the same host are
added with `add`, from files of their own. It knows nothing of ours.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = dict[str, Any]
Endpoint = Callable[["Call"], Answer]

SEND = "/cgi-bin/webhook/send"
UPLOAD = "/cgi-bin/webhook/upload_media"
RESPONSE = "/cgi-bin/aibot/response"

TEXT_BYTES = 2048
MARKDOWN_BYTES = 4096
IMAGE_BYTES = 2 * 1024 * 1024
FILE_BYTES = 20 * 1024 * 1024
MEDIA_S = 3 * 86_400.0
RESPONSE_S = 3600.0
_CARDS = ("text_notice", "news_notice")


class QyError(Exception):
    """An answer with an errcode."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errmsg)
        self.answer: Answer = {"errcode": errcode, "errmsg": errmsg}


@dataclass(frozen=True)
class Call:
    """One request. files: form field -> (filename, bytes)."""

    path: str
    query: Mapping[str, str]
    body: bytes
    files: Mapping[str, tuple[str, bytes]]

    @property
    def json(self) -> dict[str, Any]:
        """The body's JSON object; anything else is answered with 47001."""
        try:
            found = json.loads(self.body.decode("utf-8"))
        except ValueError:
            raise QyError(47001, "data format error") from None
        if not isinstance(found, dict):
            raise QyError(47001, "data format error")
        return found


@dataclass(frozen=True)
class Posted:
    """A message that stands in the group of a robot."""

    key: str
    at: float
    body: dict[str, Any]


@dataclass
class Robot:
    """A group robot. posted: what it said, oldest first."""

    posted: list[Posted] = field(default_factory=list)
    calls: deque[float] = field(default_factory=deque)
    shut_until: float = 0.0


class FakeQyapi:
    """The host. now: Unix seconds; its minute is the minute of this clock.

    Switches, all plain attributes:
    per_minute: messages of one robot in any 60 s before 45009. penalty_s: a robot that was too
    fast is turned away for so long.
    faults: asked at each call what goes wrong with it: "" nothing; "busy" -1, nothing is done;
    "500" HTTP 500, nothing is done; "cut" the connection is, before anything is done; "lost" it
    is, and all was done; "hang" all was done, and the answer comes `hang_s` late; "stall" nothing
    is done, and no answer comes for `hang_s`; "broken" all was done, the answer is no JSON;
    "huge" it is, of 3 MB.

    robots: by key; `robot(key)` adds one, `remove(key)` takes it out of its group.
    refused: (path, errcode) -> how often. calls: path -> requests. responses: what came to
    addresses of late answers, as (code, body). listeners: called with all that robots post.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.per_minute = 20
        self.penalty_s = 0.0
        self.faults: Callable[[Call], str] = lambda call: ""
        self.hang_s = 30.0
        self.robots: dict[str, Robot] = {}
        self.media: dict[str, tuple[str, bytes, float]] = {}
        self.responses: list[tuple[str, dict[str, Any]]] = []
        self.listeners: list[Callable[[Posted], None]] = []
        self.refused: Counter[tuple[str, int]] = Counter()
        self.calls: Counter[str] = Counter()
        self.api_base = ""
        self._codes: dict[str, float] = {}
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._runner: web.AppRunner | None = None
        self.app = web.Application(client_max_size=24 * 1024 * 1024)
        self.app.router.add_route("*", "/{path:.*}", self._serve)
        self.add("POST", SEND, self._send)
        self.add("POST", UPLOAD, self._upload)
        self.add("POST", RESPONSE, self._response)

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Serve another path; the endpoint gives the answer or raises QyError."""
        self._endpoints[method, path] = endpoint

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Serve; returns the base URL. port 0: any free one."""
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.api_base = f"http://{host}:{self._runner.addresses[0][1]}"
        return self.api_base

    async def close(self) -> None:
        """Stop serving; harmless when never started."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def robot(self, key: str) -> Robot:
        """The robot of a key, made on first mention."""
        return self.robots.setdefault(key, Robot())

    def remove(self, key: str) -> None:
        """Somebody took the robot out of its group."""
        self.robots.pop(key, None)

    def posted(self, key: str) -> list[Posted]:
        """What a robot said, oldest first."""
        return self.robots[key].posted if key in self.robots else []

    def response_url(self) -> str:
        """An address for one late answer of an intelligent robot, good for an hour."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = self.now() + RESPONSE_S
        return f"{self.api_base}{RESPONSE}?response_code={code}"

    # The wire

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = await self._read(request)
        self.calls[call.path] += 1
        endpoint = self._endpoints.get((request.method, call.path))
        if endpoint is None:
            return web.Response(status=404)
        fault = self.faults(call)
        if fault == "cut":
            return _cut(request)
        if fault == "500":
            return web.Response(status=500)
        if fault == "stall":
            await asyncio.sleep(self.hang_s)
            return web.Response(status=504)
        answer = self._answer(call, endpoint, fault)
        if fault == "lost":
            return _cut(request)
        if fault == "hang":
            await asyncio.sleep(self.hang_s)
        if fault in ("broken", "huge"):
            return web.Response(body=b'{"errcode":' + b" " * (3_000_000 * (fault == "huge")))
        return web.json_response(answer)

    def _answer(self, call: Call, endpoint: Endpoint, fault: str) -> Answer:
        try:
            if fault == "busy":
                raise QyError(-1, "system busy")
            return {"errcode": 0, "errmsg": "ok", **endpoint(call)}
        except QyError as error:
            self.refused[call.path, error.answer["errcode"]] += 1
            return error.answer

    @staticmethod
    async def _read(request: web.Request) -> Call:
        files: dict[str, tuple[str, bytes]] = {}
        body = b""
        if request.content_type == "multipart/form-data":
            for name, value in (await request.post()).items():
                if isinstance(value, web.FileField):
                    files[name] = (value.filename, value.file.read())
        else:
            body = await request.read()
        return Call(request.path, dict(request.query), body, files)

    # Group robots

    def _robot_of(self, call: Call) -> Robot:
        robot = self.robots.get(call.query.get("key", ""))
        if robot is None:
            raise QyError(93000, "invalid webhook url, hint: [1], from ip: 203.0.113.9")
        return robot

    def _send(self, call: Call) -> Answer:
        robot = self._robot_of(call)
        body = call.json
        self._check(body)
        now = self.now()
        while robot.calls and robot.calls[0] <= now - 60.0:
            robot.calls.popleft()
        if now < robot.shut_until or len(robot.calls) >= self.per_minute:
            robot.shut_until = max(robot.shut_until, now + self.penalty_s)
            raise QyError(45009, "api freq out of limit, hint: [1], from ip: 203.0.113.9")
        robot.calls.append(now)
        posted = Posted(call.query["key"], now, body)
        robot.posted.append(posted)
        for listener in list(self.listeners):
            listener(posted)
        return {}

    def _check(self, body: Mapping[str, Any]) -> None:
        kind = body.get("msgtype")
        content = body.get(str(kind))
        if not isinstance(content, dict):
            raise QyError(40008, "invalid message type")
        match kind:
            case "text":
                if not content.get("mentioned_list") and not content.get("mentioned_mobile_list"):
                    _filled(content)
                _limited(kind, content, TEXT_BYTES)
            case "markdown" | "markdown_v2":
                _filled(content)
                _limited(kind, content, MARKDOWN_BYTES)
            case "news":
                _check_news(content)
            case "image":
                _check_image(content)
            case "file" | "voice":
                _, _, until = self.media.get(str(content.get("media_id")), ("", b"", 0.0))
                if until <= self.now():
                    raise QyError(40007, "invalid media_id")
            case "template_card":
                if content.get("card_type") not in _CARDS or not content.get("card_action"):
                    raise QyError(40058, "template_card. invalid Request Parameter")
            case _:
                raise QyError(40008, "invalid message type")

    def _upload(self, call: Call) -> Answer:
        self._robot_of(call)
        kind = call.query.get("type")
        if kind not in ("file", "voice"):
            raise QyError(40004, "invalid media type")
        name, data = call.files.get("media", ("", b""))
        if not data:
            raise QyError(44001, "empty media data")
        if len(data) > FILE_BYTES:
            raise QyError(40006, "invalid media size")
        media_id = secrets.token_hex(16)
        self.media[media_id] = (name, data, self.now() + MEDIA_S)
        return {"type": kind, "media_id": media_id, "created_at": str(int(self.now()))}

    # Late answers of intelligent robots

    def _response(self, call: Call) -> Answer:
        code = call.query.get("response_code", "")
        until = self._codes.get(code, 0.0)
        if until <= self.now():
            raise QyError(40029, "invalid code")
        body = call.json
        if body.get("msgtype") not in ("markdown", "template_card"):
            raise QyError(40008, "invalid message type")
        del self._codes[code]
        self.responses.append((code, body))
        return {}


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _filled(content: Mapping[str, Any]) -> None:
    if not content.get("content"):
        raise QyError(44004, "empty content")


def _limited(kind: str, content: Mapping[str, Any], limit: int) -> None:
    if len(str(content.get("content", "")).encode()) > limit:
        raise QyError(40058, f"{kind}.content exceed max length {limit}. invalid Request Parameter")


def _check_news(content: Mapping[str, Any]) -> None:
    articles = content.get("articles")
    if not isinstance(articles, list) or not 1 <= len(articles) <= 8:
        raise QyError(45008, "article count out of limit")
    for one in articles:
        if not one.get("title") or not one.get("url"):
            raise QyError(40058, "articles. missing title or url. invalid Request Parameter")


def _check_image(content: Mapping[str, Any]) -> None:
    try:
        data = base64.b64decode(str(content.get("base64")), validate=True)
    except ValueError:
        raise QyError(40058, "image.base64. invalid Request Parameter") from None
    if len(data) > IMAGE_BYTES:
        raise QyError(40009, "invalid image size")
    if not data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        raise QyError(40004, "invalid media type")
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != content.get("md5"):
        raise QyError(301019, "file md5 not match")
