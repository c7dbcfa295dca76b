"""The door of a WeCom robot: its requests in, sealed frames out.

A message goes to the inbox and is answered by a stream, whole if it is quick; a poll gets the
frame of its stream and is never a message. A group is bound on its first mention: a WeCom
administrator put the robot there, and it hears mentions only.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from bot import wecom_frames
from bot.inbox import GRACE_S, Inbox, Refusal
from bot.official import SUCCESS
from bot.streams import StreamAnswers
from bot.wecom import Codec, Opened, Seal, is_stream, manner_of
from bot.wecom_frames import Final, Sentences
from bot.work import GROWING
from handlers.message import Message
from handlers.texts import Texts
from store import Store, StoreError

log = structlog.get_logger()

_BUSY_STATUS = 503
_OLDER_S = 5.0
"""A clock of WeCom's and ours may differ by so much."""

Note = Callable[[Message], Awaitable[None]]
Pictures = Callable[[str], Awaitable[bytes | None]]


class Watch(Protocol):
    """What the door counts; `bot/metrics.py` has it."""

    def refused(self, channel: str, reason: str) -> None: ...


class WecomDoor:
    """`bot.webhook.Door` of one robot.

    note: told of each message in a group (`bot.hearing.Ear.note`), beside the answer. pictures:
    the bytes of a media id, None when they are not known. deadline_s: from the request to the
    answer, as the inbox has it; WeCom hangs up after 5 s, whatever the store is waiting for.
    """

    def __init__(
        self,
        codec: Codec,
        inbox: Inbox,
        streams: StreamAnswers,
        store: Store,
        sentences: Sentences,
        watch: Watch,
        *,
        note: Note | None = None,
        pictures: Pictures | None = None,
        deadline_s: float = 4.2,
    ) -> None:
        self._codec = codec
        self._inbox = inbox
        self._streams = streams
        self._store = store
        self._sentences = sentences
        self._watch = watch
        self._note = note
        self._pictures = pictures
        self._deadline_s = deadline_s
        self._newest: dict[str, float] = {}  # by place: when somebody last wrote there
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def channel(self) -> str:
        """Its name in the configuration."""
        return self._codec.channel

    async def get(
        self, request: web.BaseRequest, query: Mapping[str, str], now: float
    ) -> web.StreamResponse:
        """The console's check of the address. Errors: BadMessage."""
        return web.Response(text=self._codec.check_url(query, now), content_type="text/plain")

    async def post(
        self, request: web.BaseRequest, query: Mapping[str, str], body: bytes, now: float
    ) -> web.StreamResponse:
        """A message, an event or a poll. Errors: BadMessage."""
        opened = self._codec.open(query, body, now)
        until = asyncio.get_running_loop().time() + self._deadline_s
        stream = opened.poll
        try:
            if opened.poll:
                frame: dict[str, Any] | bytes | None = await self._polled(opened.poll, until)
            elif opened.message is None:
                frame = None
            else:
                stream = opened.message.key
                answer = await self._answer(opened.message, opened, until)
                if isinstance(answer, Refusal):
                    self._watch.refused(self.channel, answer.value)
                    log.warning("not_answered", key=opened.message.key, reason=answer.value)
                    return web.Response(status=_BUSY_STATUS)
                frame = await self._frame(opened.message, answer)
        except StoreError as error:
            self._watch.refused(self.channel, Refusal.NOT_RECORDED.value)
            log.error("not_answered", channel=self.channel, error=str(error))
            return web.Response(status=_BUSY_STATUS)
        if frame is None:
            return web.Response()
        plain = frame if isinstance(frame, bytes) else _json(frame)
        response = _Sealed(opened.seal, plain, now)
        if is_stream(stream) and _ends(frame):
            response.left = functools.partial(self._left, stream, bool(opened.poll))
        return response

    def _left(self, stream: str, polled: bool, arrived: bool) -> None:
        # An answer that is whole at once has no row that could be marked, nor needs one.
        if polled or not arrived:
            self._streams.left(stream, arrived)

    async def close(self) -> None:
        """Let what is being noted end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    async def _polled(self, stream: str, until: float) -> dict[str, Any]:
        found, sender = await self._streams.poll(self.channel, stream, until)
        if isinstance(found, str):
            return wecom_frames.unfinished(stream, found, first=False)
        try:
            return await self._last(stream, found, sender, first=False)
        except BaseException:
            # WeCom hung up, or a fault of ours: the answer was fetched and goes nowhere.
            self._streams.left(stream, False)
            raise

    async def _answer(self, message: Message, opened: Opened, until: float) -> bytes | Refusal:
        if message.talk is not None and not await self._meet(message, message.talk.group, until):
            return Refusal.NOT_RECORDED
        if opened.offer and self._streams.outdated(message, opened.offer):
            return _OUTDATED
        try:
            # The inbox counts from now; what the group took is off its time.
            async with asyncio.timeout_at(until + 2.5 * GRACE_S):
                return await self._inbox.answer(message, None, opened.plain)
        except TimeoutError:
            return Refusal.NOT_RECORDED

    async def _meet(self, message: Message, group: str, until: float) -> bool:
        """Keep the group in step with what came; False when the store takes too long for that."""
        groups, place = self._store.groups, message.place
        if message.event == "bot_leave":
            return await self._in_time(self._gone(message), until)
        newest = max(self._newest.get(place, 0.0), message.created)
        self._newest[place] = newest
        known = groups.known(place)
        if known is None or known.left_at is not None:
            met = groups.meet(message.channel, group, message.created, bound_by="wecom")
            if not await self._in_time(met, until):
                return False
        if self._note is not None and message.kind != "event":
            self._spawn(self._noted(self._note, message))
        return True

    async def _gone(self, message: Message) -> None:
        """The robot was taken out, unless this is told once more, or late."""
        if message.created + _OLDER_S < self._newest.get(message.place, 0.0):
            return
        if not await self._store.messages.came(bytes.fromhex(message.key)):
            await self._store.groups.leave(message.place, message.created)

    async def _in_time(self, work: Coroutine[Any, Any, object], until: float) -> bool:
        """Whether it ended by then; it goes on in any case. Errors: the work's own."""
        task = self._spawn(work)
        try:
            async with asyncio.timeout_at(until):
                await asyncio.shield(task)
        except TimeoutError:
            task.add_done_callback(_looked_at)
            return False
        return True

    def _spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    async def _noted(note: Note, message: Message) -> None:
        try:
            await note(message)
        except Exception as error:
            # The answer does not wait for it, and must not fail with it.
            log.error("not_noted", key=message.key, error=type(error).__name__, exc_info=True)

    async def _frame(self, message: Message, answer: bytes) -> dict[str, Any] | bytes | None:
        """What goes back for an answer of the inbox; None for nothing."""
        manner = manner_of(message)
        if answer == _OUTDATED:
            return wecom_frames.outdated_card(message, self._sentences)
        if answer == GROWING:
            so_far = self._streams.so_far(message.key)
            return wecom_frames.unfinished(message.key, so_far, first=True)
        if answer == SUCCESS or manner == "silent":
            return None
        final = self._streams.kept(answer)
        if manner == "stream":
            return await self._last(message.key, final, message.sender, first=True)
        if manner == "card":
            return wecom_frames.changed_card(message, final, self._sentences)
        if manner == "older":
            return wecom_frames.older(final, self._sentences)
        return wecom_frames.welcome(final, self._sentences)

    async def _last(self, stream: str, final: Final, sender: str, *, first: bool) -> dict[str, Any]:
        known: dict[str, bytes] = {}
        if self._pictures is not None:
            for media_id in final.pictures:
                if data := await self._pictures(media_id):
                    known[media_id] = data
        args = (stream, final, self._sentences, known)
        if not known:
            return wecom_frames.finished(*args, first=first, sender=sender)
        # Megabytes to be coded.
        return await asyncio.to_thread(wecom_frames.finished, *args, first=first, sender=sender)


_OUTDATED = b"outdated"


class _Sealed(web.Response):
    """A frame in its envelope. left: told whether it could be written to who asked for it."""

    def __init__(self, seal: Seal, plain: bytes, now: float) -> None:
        super().__init__(
            body=seal.wrap(plain, now), content_type=seal.content_type, charset="utf-8"
        )
        self.left: Callable[[bool], None] | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """As aiohttp's."""
        try:
            return await super().prepare(request)
        except BaseException:
            self._tell(arrived=False)
            raise

    async def write_eof(self, data: bytes = b"") -> None:
        """As aiohttp's."""
        try:
            await super().write_eof(data)
        except BaseException:
            self._tell(arrived=False)
            raise
        self._tell(arrived=True)

    def _tell(self, *, arrived: bool) -> None:
        left, self.left = self.left, None
        if left is not None:
            left(arrived)


def _ends(frame: object) -> bool:
    """Whether it is the last frame of a stream."""
    stream = frame.get("stream") if isinstance(frame, dict) else None
    return isinstance(stream, dict) and stream.get("finish") is True


def _looked_at(task: asyncio.Task[object]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("group_not_kept", error=str(error))


def sentences_of(texts: Texts) -> Sentences:
    """What the robot itself says, from the chat texts."""
    return Sentences(
        thinking=texts("wecom.thinking"),
        still=texts("wecom.still"),
        longer=texts("wecom.longer"),
        later=texts("wecom.later"),
        given_up=texts("wecom.given_up"),
        gone=texts("wecom.gone"),
        pushed=texts("wecom.pushed"),
        done=texts("wecom.done"),
        cut=texts("wecom.cut"),
        picture=texts("wecom.picture"),
        sound=texts("wecom.sound"),
        film=texts("wecom.film"),
        human=texts("wecom.human"),
        choose=texts("wecom.choose"),
        chosen=texts("wecom.chosen", word="{word}"),
        below=texts("wecom.below"),
        outdated=texts("wecom.outdated"),
        crashed=texts("errors.crashed"),
    )


def _json(frame: Mapping[str, Any]) -> bytes:
    # A half surrogate pair in a handler's text must not cost the answer.
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
