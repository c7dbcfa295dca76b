"""A OneBot gateway to a personal account: its webhook, its reverse WebSocket, and its actions.

WeChat forbids such accounts; see docs/groups.md before you use one. What comes in goes to
`hear` (groups) or `take` (private); what goes out is text, paced, and never sent twice by itself.

The gateway is somebody else's program. It may disconnect, flood, or lie; it costs the other
channels nothing but the time of a bounded number of small frames:

- at most `IN_WORK` events are being heard at a time, each within a time limit; beyond them the
  webhook answers 503, and the socket is not read;
- a newer connection replaces the older of its role, at most `CONNECTIONS` times a minute;
- each reason of a refusal is at most one log line a minute, with a count, and nothing that came.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial

import aiohttp
import structlog
from aiohttp import WSCloseCode, web

from bot.crypto import BadMessage, signatures_equal
from bot.gateway_line import FRAMES_AT_ONCE, FRAMES_PER_S, IDLE_S, Line, Rate, web_socket, work_rate
from bot.gateway_voice import Paces, Voice
from bot.group_settings import GatewaySettings
from bot.onebot import Event, Meta, decode, read, stored, version_of
from handlers.message import Message
from store import StoreError

log = structlog.get_logger()

IN_WORK = 64
"""Events of one gateway that are being heard at a time."""

CONNECTIONS = 10
"""WebSockets that one gateway may open in a minute."""

QUIET_S = 60.0
"""Between two log lines with the same reason."""

_AGAIN_S = 0.5
_STATUS = {
    "no_token": 401,
    "bad_token": 403,
    "bad_signature": 403,
    "receive_id_mismatch": 403,
    "too_large": 413,
    "busy": 503,
    "too_many": 503,
    "too_slow": 503,
    "not_recorded": 503,
}

Hear = Callable[[Message, bytes], Awaitable[bool]]
"""Takes a message with its stored form (`bot.onebot.stored`); False: not now."""


class Gateway:
    """One channel of kind "onebot".

    hear: of groups; take: of private chats. session: for `api_url`. now: Unix seconds.
    observe: told channel and reason of each refusal. patience_s: how long a message waits for its
    turn by `per_minute`; event_limit_s: how long the hearing of one event may take.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        hear: Hear,
        take: Hear,
        paces: Paces,
        session: aiohttp.ClientSession,
        now: Callable[[], float],
        observe: Callable[[str, str], None],
        patience_s: float = 20.0,
        event_limit_s: float = 10.0,
        idle_s: float = IDLE_S,
    ) -> None:
        self._settings = settings
        self._hear = hear
        self._take = take
        self._now = now
        self._observe = observe
        self._event_limit_s = event_limit_s
        self._idle_s = idle_s
        self._token = settings.access_token.reveal()
        self._secret = "" if settings.secret is None else settings.secret.reveal()
        self._rate = Rate(FRAMES_PER_S, FRAMES_AT_ONCE)
        self._cost = work_rate()
        self._lines: dict[str, Line] = {}
        self._opened: deque[float] = deque(maxlen=CONNECTIONS)
        self._work: set[asyncio.Task[bool]] = set()
        self._feeds: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._silent: dict[str, tuple[float, int]] = {}  # reason -> when said, how many since
        self._closing = False
        self.voice = Voice(
            settings,
            line=self._acting,
            paces=paces,
            session=session,
            now=now,
            patience_s=patience_s,
        )

    @property
    def channel(self) -> str:
        """Its name in the configuration."""
        return self._settings.channel

    @property
    def connected(self) -> bool:
        """Whether actions can be asked for now, as far as is known."""
        return bool(self._settings.api_url) or self._acting() is not None

    async def close(self) -> None:
        """End the connections; what is being heard gets a moment."""
        self._closing = True
        lines = list(self._lines.values())
        await asyncio.gather(*(line.close(WSCloseCode.GOING_AWAY) for line in lines))
        for task in self._feeds:
            task.cancel()
        if self._work:
            await asyncio.wait(set(self._work), timeout=1.0)
        for work in self._work:
            work.cancel()
        for reason, (_, count) in self._silent.items():
            if count:
                log.warning("gateway_refused", channel=self.channel, reason=reason, count=count)
        self._silent.clear()

    # The door

    async def post(
        self, request: web.BaseRequest, query: Mapping[str, str], body: bytes, now: float
    ) -> web.StreamResponse:
        """An event by webhook: 204 when it was taken, 503 when it was not."""
        try:
            signed = self._check(request, query, body)
            if len(self._work) >= IN_WORK or self._closing:
                raise BadMessage("busy")
            now = asyncio.get_running_loop().time()
            if self._cost.owing(now) or self._rate.short(now):
                raise BadMessage("too_many")
            began = time.thread_time()
            try:
                fields = decode(body)
                if version_of(fields) == 11 and self._secret and not signed:
                    raise BadMessage("bad_signature")
                event = self._read(request.headers.get("X-Self-ID", "").strip(), fields)
            finally:
                self._cost.spend(time.thread_time() - began)
            if isinstance(event, Message) and not await asyncio.shield(self._start(event)):
                return web.Response(status=503)
            return web.Response(status=204)
        except BadMessage as error:
            return self._refusal(error)
        except Exception as error:  # noqa: BLE001 - a fault of this channel is not the server's
            return self._failure(error)

    async def get(
        self, request: web.BaseRequest, query: Mapping[str, str], now: float
    ) -> web.StreamResponse:
        """The opening of a reverse WebSocket; lasts as long as that does."""
        try:
            self._check(request, query, None)
            if request.headers.get("Upgrade", "").strip().lower() != "websocket":
                return web.Response(status=426, headers={"Upgrade": "websocket"})
            self._check_storm()
            offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
            known = [one.strip() for one in offered if one.strip().partition(".")[0] in _VERSIONS]
            socket = web_socket(tuple(known[:1]))
            try:
                await socket.prepare(request)
            except web.HTTPException:
                raise BadMessage("bad_http") from None
        except BadMessage as error:
            return self._refusal(error)
        except Exception as error:  # noqa: BLE001 - a fault of this channel is not the server's
            return self._failure(error)
        try:
            await self._serve(request, socket, known)
        except Exception as error:  # noqa: BLE001 - as above; the socket has its answer already
            self._failure(error)
        return socket

    def _check(
        self, request: web.BaseRequest, query: Mapping[str, str], body: bytes | None
    ) -> bool:
        """Whether the body is signed; else the token is right. Errors: BadMessage."""
        signature = request.headers.get("X-Signature", "")
        if body is not None and self._secret and signature:
            # SHA-1 is OneBot 11's choice.
            mac = hmac.new(self._secret.encode(), body, hashlib.sha1).hexdigest()
            if not signatures_equal(f"sha1={mac}", signature.strip().lower()):
                raise BadMessage("bad_signature")
            return True
        header = request.headers.get("Authorization", "")
        scheme, _, shown = header.strip().partition(" ")
        if not header:
            shown = query.get("access_token", "")
        elif scheme.lower() != "bearer":
            shown = ""
        if not shown:
            raise BadMessage("no_token")
        if not signatures_equal(self._token, shown.strip()):
            raise BadMessage("bad_token")
        return False

    def _check_storm(self) -> None:
        now = asyncio.get_running_loop().time()
        full = len(self._opened) == CONNECTIONS and now - self._opened[0] < 60.0
        if full or self._closing:
            raise BadMessage("too_many")
        self._opened.append(now)

    def _refusal(self, error: BadMessage) -> web.Response:
        self._refused(error.reason)
        return web.Response(status=_STATUS.get(error.reason, 400))

    def _failure(self, error: Exception) -> web.Response:
        if self._aloud("failed"):
            log.error("gateway_failed", channel=self.channel, error=type(error).__name__)
        return web.Response(status=500)

    def _refused(self, reason: str) -> None:
        self._observe(self.channel, reason)
        if count := self._aloud(reason):
            log.warning("gateway_refused", channel=self.channel, reason=reason, count=count)

    def _aloud(self, reason: str) -> int:
        """How many to say that there were, 0: it was said a moment ago."""
        now = asyncio.get_running_loop().time()
        said_at, count = self._silent.get(reason, (now - QUIET_S, 0))
        if now - said_at < QUIET_S:
            self._silent[reason] = (said_at, count + 1)
            return 0
        self._silent[reason] = (now, 0)
        return count + 1

    def _acting(self) -> Line | None:
        for role in ("universal", "api"):
            line = self._lines.get(role)
            if line is not None and line.open:
                return line
        return None

    # What comes

    async def _serve(
        self, request: web.BaseRequest, socket: web.WebSocketResponse, protocols: Sequence[str]
    ) -> None:
        headers = request.headers
        role = headers.get("X-Client-Role", "").strip().lower()
        if role not in ("api", "event"):
            role = "universal"
        if protocols or role != "universal" or "X-Self-ID" in headers:
            self.voice.version = 11 if not protocols or protocols[0].startswith("11") else 12
        self.voice.quotes = True
        named = headers.get("X-Self-ID", "").strip()
        line = Line(
            socket,
            role,
            take=partial(self._take_up, named),
            refused=self._refused,
            work=self._cost,
            idle_s=self._idle_s,
        )
        # A line for everything replaces those for one thing each, and the other way round.
        for other in list(self._lines.values()):
            if role == "universal" or other.role in (role, "universal"):
                del self._lines[other.role]
                self._spawn(other.close(WSCloseCode.GOING_AWAY))
        self._lines[role] = line
        self._spawn(line.feed())
        log.info("gateway_connected", channel=self.channel, role=role, version=self.voice.version)
        why = "gone"
        try:
            why = await line.read()
        finally:
            if self._lines.get(role) is line:
                del self._lines[role]
            log.info("gateway_gone", channel=self.channel, role=role, reason=why)
            # The peer may have gone without a word, and this task with it.
            self._spawn(line.close(_CODES.get(why, WSCloseCode.OK)))
        if why in ("flood", "too_large"):
            self._refused("too_many" if why == "flood" else why)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._feeds.add(task)
        task.add_done_callback(self._feeds.discard)

    def _read(self, named: str, fields: Mapping[str, object]) -> Event:
        event = read(
            self.channel,
            fields,
            self._settings.self_id or named,
            self._now(),
            self.voice.said,
        )
        self.voice.version = version_of(fields) or self.voice.version
        if isinstance(event, Meta) and event.good is False and self._aloud("offline"):
            log.warning("gateway_offline", channel=self.channel, say="its account is logged out")
        return event

    async def _take_up(self, named: str, fields: Mapping[str, object]) -> None:
        """One event from a line; comes back when it is being heard."""
        began = time.thread_time()
        try:
            event = self._read(named, fields)
        except BadMessage as error:
            self._refused(error.reason)
            return
        except Exception as error:  # noqa: BLE001 - one event must not end the line
            self._failure(error)
            return
        finally:
            self._cost.spend(time.thread_time() - began)
        if not isinstance(event, Message):
            return
        while len(self._work) >= IN_WORK:
            self._room.clear()
            await self._room.wait()
        self._start(event)

    def _start(self, message: Message) -> asyncio.Task[bool]:
        """Hear it in a task of its own, which no hang-up ends."""
        task = asyncio.get_running_loop().create_task(self._heard(message))
        self._work.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[bool]) -> None:
        self._work.discard(task)
        self._room.set()

    async def _heard(self, message: Message) -> bool:
        way = self._take if message.talk is None else self._hear
        why = "too_slow"
        try:
            began = time.thread_time()
            body = stored(message)
            self._cost.spend(time.thread_time() - began)
            async with asyncio.timeout(self._event_limit_s):
                while not await way(message, body):
                    # Over a socket nobody comes again, and by HTTP hardly any gateway does.
                    why = "busy"
                    await asyncio.sleep(_AGAIN_S)
                return True
        except TimeoutError:
            self._refused(why)
        except StoreError:
            self._refused("not_recorded")
        except Exception as error:  # noqa: BLE001 - one event must not end the others
            self._failure(error)
        return False


_VERSIONS = ("11", "12")
_CODES = {
    "idle": WSCloseCode.GOING_AWAY,
    "flood": WSCloseCode.POLICY_VIOLATION,
    "too_large": WSCloseCode.MESSAGE_TOO_BIG,
    "replaced": WSCloseCode.GOING_AWAY,
}
