"""Answers that are shown while they grow: what each poll is told, and what is pushed instead.

WeCom asks for the frames of a stream until one is the last, for six minutes at most. So a slow
answer begins in time, tells what is being done, and ends in the frame that somebody asks for. An
answer that nobody asked for in time goes out by the address that came with its message: once, and
`pushing_at` is committed before it leaves. What is remembered stands in the store, so that an
earlier process's streams go on.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import structlog

from bot.client import Unheard, Unreachable, WeChatError
from bot.errcodes import Action, Refused
from bot.official import SUCCESS
from bot.parts import Outcome
from bot.wecom import (
    is_stream,
    manner_of,
    offer_of,
    response_url_of,
)
from bot.wecom_frames import Final, Sentences, final_of, fits_on_card, pushed
from handlers.message import Message
from store import Store, StoreError
from store.streams import Fetched, NewStream, Push

log = structlog.get_logger()

T = TypeVar("T")

STILL_S = 10.0
LONGER_S = 30.0
"""When who waits is told that it takes a while, and that it takes longer."""

CLOSES_S = 345.0
"""WeCom polls for six minutes from the message; what is not whole by then is pushed."""

FETCH_S = 15.0
"""A whole answer that nobody polls for is pushed after so long."""

PARALLEL = 8
"""Pushes under way at a time."""

_LAST_S = 1.0
_LONGEST_PAUSE_S = 60.0
_REMEMBERED = 10_000
_LIMIT_BYTES = 64 * 1024
_API = "aibot/response"
# Raised before the request's first byte was written.
_NEVER_LEFT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)


class _Growing:
    """An answer that is being made. said: (Unix seconds, line), in order of time."""

    __slots__ = ("at", "channel", "said", "url")

    def __init__(self, channel: str, at: float, url: str) -> None:
        self.channel = channel
        self.at = at
        self.url = url
        self.said: list[tuple[float, str]] = []


class StreamAnswers:
    """All streams of all robots, and the worker that pushes.

    bases: a robot's api_base by channel; timeout_s: for one push. now: Unix seconds. observe:
    channel and end of every push ("sent", "refused", "unknown", "put_off").
    """

    def __init__(
        self,
        store: Store,
        sentences: Sentences,
        bases: Mapping[str, str],
        session: aiohttp.ClientSession,
        *,
        now: Callable[[], float],
        observe: Callable[[str, str], None] = lambda channel, end: None,
        timeout_s: float = 10.0,
        fetch_s: float = FETCH_S,
        closes_s: float = CLOSES_S,
        backoff_s: float = 1.0,
    ) -> None:
        self._store = store
        self._sentences = sentences
        self._bases = {channel: base.rstrip("/") for channel, base in bases.items()}
        self._session = session
        self._now = now
        self._observe = observe
        self._fetch_s = fetch_s
        self._closes_s = closes_s
        self._backoff_s = backoff_s
        # Half at most, as in `bot/client.py`: could not connect is never taken for not heard.
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s / 2)
        self._growing: dict[str, _Growing] = {}
        self._offers: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._failures = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._something = asyncio.Event()
        self._closing = False

    # What the inbox asks (`bot.work.Streaming`)

    def opened(self, message: Message, at: float) -> None:
        """The message is worked on from now; it came at `at`, Unix seconds."""
        url = response_url_of(message)
        self._growing[message.key] = _Growing(message.channel, at, url)

    def over(self, key: str) -> None:
        """It is not worked on any more."""
        self._growing.pop(key, None)

    def said(self, key: str, text: str) -> None:
        """Tell who waits for this message's answer what is being done (`Context.said`)."""
        growing = self._growing.get(key)
        if growing is not None and text.strip():
            growing.said.append((self._now(), text.strip()))

    def grows(self, message: Message) -> bool:
        """Whether its answer may be shown unfinished: what a member wrote, no events."""
        return manner_of(message) == "stream"

    async def begin(self, message: Message) -> None:
        """An unfinished frame is about to leave. Errors: StoreError."""
        await self._store.streams.begin(self._row(message))

    def final(self, message: Message, outcome: Outcome) -> tuple[bytes, bool]:
        """The answer as it is kept, SUCCESS for none; and whether one exchange holds it all."""
        final = final_of(outcome, self._sentences)
        if not (final.text or final.pictures):
            return SUCCESS, True
        if final.options:
            self._remember(message)
        whole = manner_of(message) != "card" or fits_on_card(final)
        return final.to_bytes(), whole

    def row(self, message: Message, final: bytes, now: float, *, at_once: bool) -> NewStream:
        """Where it waits to be fetched; at_once: push it now."""
        row = self._row(message)
        if not row.response_url or final == SUCCESS:
            return row
        due_at = min(now + self._fetch_s, row.started_at + self._closes_s)
        return row._replace(due_at=now if at_once else max(now, due_at))

    async def again(self, message: Message, final: bytes) -> bytes:
        """What to tell who asks for it once more; it counts as fetched. Errors: StoreError."""
        found = await self._store.streams.fetch(
            bytes.fromhex(message.key), message.channel, self._now()
        )
        return Final(self._sentences.pushed).to_bytes() if found.state == "pushed" else final

    async def give_up(self, channel: str, key: bytes) -> None:
        """Apologise for a message that cannot be read any more. Errors: StoreError."""
        now = self._now()
        sorry = Final(self._sentences.crashed).to_bytes()
        await self._store.streams.give_up(key, sorry, now, now + self._fetch_s)

    def wake(self) -> None:
        """Something may be due."""
        self._something.set()

    def _row(self, message: Message) -> NewStream:
        growing = self._growing.get(message.key)
        started = growing.at if growing is not None else self._now()
        key, url = bytes.fromhex(message.key), response_url_of(message)
        return NewStream(key, message.channel, message.sender, url, started)

    # What the door asks

    def so_far(self, key: str) -> str:
        """What who waits is shown of an answer that is not whole; it only ever gets longer."""
        growing = self._growing.get(key)
        lines = [self._sentences.thinking]
        if growing is None:
            return lines[0]
        gone = self._now() - growing.at
        timed = [*growing.said]
        for after, line in ((STILL_S, self._sentences.still), (LONGER_S, self._sentences.longer)):
            if gone >= after:
                timed.append((growing.at + after, line))
        lines += [line for _, line in sorted(timed, key=lambda one: one[0])]
        return "\n".join(lines)

    async def poll(
        self, channel: str, stream: str, until: float | None = None
    ) -> tuple[Final | str, str]:
        """The answer and whose it is; or the text of an unfinished frame. Errors: StoreError.

        until: loop time by which there must be one or the other; None: wait for the store.
        """
        growing = self._growing.get(stream)
        if growing is not None and growing.channel == channel:
            if self._now() - growing.at < self._closes_s:
                return self.so_far(stream), ""
            # WeCom stops asking: the rest goes by the address.
            return Final(self._sentences.later if growing.url else self._sentences.given_up), ""
        if not is_stream(stream):
            return Final(self._sentences.gone), ""
        fetching = asyncio.ensure_future(
            self._store.streams.fetch(bytes.fromhex(stream), channel, self._now())
        )
        try:
            async with asyncio.timeout_at(until):
                found = await asyncio.shield(fetching)
        except (TimeoutError, asyncio.CancelledError) as error:
            # It may be fetched all the same, by nobody.
            self._spawn(self._fetched_in_vain(stream, fetching))
            if isinstance(error, TimeoutError):
                return self._sentences.thinking, ""
            raise
        if found.state == "pushed":
            return Final(self._sentences.pushed), ""
        if found.state != "answered":
            return Final(self._sentences.gone), ""
        return self.kept(found.reply), found.sender

    def left(self, stream: str, arrived: bool) -> None:
        """A frame with the whole answer was written to who asked for it, or could not be.

        What did not arrive is pushed, unless it is asked for again; what did never is.
        """
        self._spawn(self._arrived(stream) if arrived else self._missed(stream))

    async def _arrived(self, stream: str) -> None:
        await self._settle(self._store.streams.taken, bytes.fromhex(stream))

    async def _missed(self, stream: str) -> None:
        key, due_at = bytes.fromhex(stream), self._now() + self._fetch_s
        if await self._settle(self._store.streams.missed, key, due_at):
            log.info("stream_frame_missed", key=stream)
            self.wake()

    async def _fetched_in_vain(self, stream: str, fetching: asyncio.Future[Fetched]) -> None:
        try:
            found = await fetching
        except StoreError:
            return
        if found.state == "answered":
            await self._missed(stream)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _quietly(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StoreError as error:
            # The store is closing: nobody fetched it as far as it knows, or nobody asks again.
            log.warning("streams_store", error=str(error))

    def kept(self, reply: bytes) -> Final:
        """A stored answer; what cannot be read any more is apologised for."""
        if reply == SUCCESS:
            return Final(self._sentences.done)
        try:
            return Final.of(reply)
        except ValueError:
            return Final(self._sentences.gone)

    def outdated(self, message: Message, offer: str) -> bool:
        """Whether the sender was offered something else since; False when nobody remembers."""
        newest = self._offers.get((message.channel, f"{message.place} {message.sender}"))
        return newest is not None and newest != offer

    def _remember(self, message: Message) -> None:
        who = (message.channel, f"{message.place} {message.sender}")
        self._offers[who] = offer_of(message.key)
        self._offers.move_to_end(who)
        if len(self._offers) > _REMEMBERED:
            self._offers.popitem(last=False)

    # The push

    async def run(self) -> None:
        """Push what nobody fetched, until `close`."""
        recovered = False
        while not self._closing:
            self._something.clear()
            try:
                if not recovered:
                    lost = await self._store.streams.recover()
                    recovered = True
                    if lost:
                        log.warning("streams_unknown", count=lost)
                pause = await self._round()
            except Exception as error:
                # One place for the whole worker: it must not end while the bot lives.
                log.error("streams_failed", error=type(error).__name__, exc_info=True)
                pause = 5.0
            try:
                async with asyncio.timeout(pause):
                    await self._something.wait()
            except TimeoutError:
                pass
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_S)

    def close(self) -> None:
        """Claim no more; `run` ends when the calls under way have."""
        self._closing = True
        self._something.set()

    async def _round(self) -> float | None:
        """Push what is due; for how long nothing more will be, None: unknown."""
        pushes, late = await self._store.streams.claim(self._now(), PARALLEL)
        if late:
            log.warning("streams_too_late", count=late)
        if pushes:
            await asyncio.gather(*(self._push(push) for push in pushes))
            return 0.0
        due = await self._store.streams.next_due()
        return None if due is None else min(60.0, max(0.05, due - self._now()))

    async def _push(self, push: Push) -> None:
        streams, key = self._store.streams, push.key.hex()
        try:
            await self._post(push)
        except WeChatError as error:
            if error.action is Action.RETRY:
                self._failures += 1
                pause = min(_LONGEST_PAUSE_S, self._backoff_s * 2 ** min(self._failures, 6))
                await self._settle(streams.put_off, push.key, self._now() + pause)
                end = "put_off"
            elif isinstance(error, Refused):
                await self._settle(streams.refused, push.key, str(error))
                end = "refused"
            else:
                await self._settle(streams.unheard, push.key, str(error))
                end = "unknown"
        except Exception as error:
            # A fault of ours: nobody knows whether it left.
            log.error("stream_push_failed", key=key, error=type(error).__name__, exc_info=True)
            await self._settle(streams.unheard, push.key, type(error).__name__)
            end = "unknown"
        else:
            self._failures = 0
            await self._settle(streams.pushed, push.key, self._now())
            end = "sent"
        self._observe(push.channel, end)
        level = log.info if end in ("sent", "put_off") else log.warning
        level("stream_pushed", key=key, channel=push.channel, end=end)

    async def _settle(self, write: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Write the end down, however long the store takes."""
        pause = 0.5
        while True:
            try:
                return await write(*args)
            except StoreError as error:
                if self._store.closing:
                    raise
                log.error("streams_store", error=str(error))
                await asyncio.sleep(pause)
                pause = min(30.0, pause * 2)

    async def _post(self, push: Push) -> None:
        """Errors: Refused, Unreachable, Unheard."""
        base = self._bases.get(push.channel)
        if base is None or self._session.closed:
            raise Unreachable(_API, "the robot is not configured, or zhiqun is shutting down")
        body: dict[str, Any] = pushed(self.kept(push.reply), self._sentences)
        # The message names the address; the host is ours to choose, so that nobody can have us
        # post elsewhere.
        named = urlsplit(push.response_url)
        url = f"{base}{named.path}?{named.query}"
        if named.fragment:
            # An older robot is in many groups and would post to all of them.
            body["chatid"] = named.fragment
        fault: WeChatError
        try:
            async with self._session.post(
                url,
                data=json.dumps(body, ensure_ascii=False).encode(errors="replace"),
                headers={"Content-Type": "application/json; charset=utf-8"},
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                raw = await response.content.read(_LIMIT_BYTES)
                status = response.status
        except _NEVER_LEFT as error:
            fault = Unreachable(_API, type(error).__name__)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            fault = Unheard(_API, type(error).__name__)
        else:
            _check(status, raw)
            return
        # Raised out here: aiohttp's errors hold the URL, and its code is good for one answer.
        raise fault


def _check(status: int, raw: bytes) -> None:
    """Errors: Refused, Unheard."""
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        answer = None
    code = answer.get("errcode") if isinstance(answer, dict) else None
    if isinstance(code, int) and not isinstance(code, bool):
        if code:
            raise Refused(_API, code, str(answer.get("errmsg", "")))
        return
    if 300 <= status < 500:
        raise Refused(_API, status, "an answer that is not WeCom's")
    raise Unheard(_API, f"HTTP {status} without an errcode")
