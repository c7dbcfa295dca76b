"""A WeCom robot with a handler of the test's own: real store, inbox, streams and door.

WeCom's side is `Qyapi`, which takes what is pushed, and `Desk.say` and `Desk.poll`, which post as
WeCom does. The clock moves when a test says so; deadlines and waits are real and short.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, cast

from aiohttp import ClientSession, web

from bot.config import ServerSettings
from bot.crypto import BadMessage
from bot.inbox import Inbox, Sentences
from bot.parts import Outcome
from bot.streams import StreamAnswers
from bot.webhook import Webhook
from bot.wecom import Codec
from bot.wecom_door import WecomDoor, sentences_of
from handlers.message import Message, Reply
from handlers.texts import Texts
from store import Store
from store.members import Member
from store.messages import Unanswered
from tests import build, build_wecom
from tests.blank import blank
from tests.bot.test_inbox import SENTENCES, Counted

TEXTS = Texts.load(None)
SAYS = sentences_of(TEXTS)
NOW = 1_763_600_000.0
Handler = Callable[[Message, Callable[[str], None]], Awaitable[Reply | Outcome]]


class Qyapi:
    """What takes the pushed answers: errcodes to give, a hang, and what came."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, Any]]] = []
        self.errcodes: list[int] = []
        self.hang_s = 0.0
        self.base = ""
        self._runner: web.AppRunner | None = None

    @property
    def said(self) -> list[str]:
        """The texts that were pushed."""
        return [body["markdown"]["content"] for _, body in self.came]

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        addresses: list[Any] = self._runner.addresses
        self.base = f"http://127.0.0.1:{addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        self.came.append((request.path_qs, json.loads(await request.read())))
        if self.hang_s:
            await asyncio.sleep(self.hang_s)
        code = self.errcodes.pop(0) if self.errcodes else 0
        return web.json_response({"errcode": code, "errmsg": "no" if code else "ok"})


class Watched:
    """What the door refused."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def refused(self, channel: str, reason: str) -> None:
        self.reasons.append(reason)


async def echo(message: Message, said: Callable[[str], None]) -> Reply:
    """Answers with the question."""
    return Reply.text(f"答{message.text}")


class Desk:
    """One robot, "robot", open."""

    def __init__(
        self, path: Path, session: ClientSession, base: str, handler: Handler, **options: Any
    ) -> None:
        self.now = NOW
        self.store = Store(blank(path))
        self.watch = Watched()
        self.counted = Counted()
        self.noted: list[Message] = []
        self.ends: list[str] = []
        self.runs = 0
        self.pictures: dict[str, bytes] = {}
        self._handler = handler
        self.codec = Codec("robot", build.TOKEN, build.AES_KEY, name="小助手")
        settings = {"deadline_s": 0.15, **options}
        timeout_s = settings.pop("timeout_s", 2.0)
        door_s = settings.pop("door_s", 4.2)
        self.streams = StreamAnswers(
            self.store,
            SAYS,
            {"robot": base},
            session,
            now=lambda: self.now,
            observe=lambda channel, end: self.ends.append(end),
            timeout_s=timeout_s,
            backoff_s=0.01,
        )
        self.inbox = Inbox(
            self.store,
            self._converse,
            self.counted,
            Sentences(**{**_fields(SENTENCES), "crashed": SAYS.crashed}),
            now=lambda: self.now,
            late=lambda: None,
            streams={"robot": self.streams},
            **settings,
        )
        self.door = WecomDoor(
            self.codec,
            self.inbox,
            self.streams,
            self.store,
            SAYS,
            self.watch,
            note=self._note,
            pictures=self._picture,
            deadline_s=door_s,
        )

    async def _note(self, message: Message) -> None:
        self.noted.append(message)

    async def _picture(self, media_id: str) -> bytes | None:
        return self.pictures.get(media_id)

    async def _converse(self, message: Message, member: Member) -> Outcome:
        self.runs += 1

        def say(text: str) -> None:
            self.streams.said(message.key, text)

        made = await self._handler(message, say)
        return made if isinstance(made, Outcome) else Outcome(made, "test", "faq:1")

    async def post(self, body: dict[str, Any] | bytes) -> tuple[int, dict[str, Any]]:
        """One POST as WeCom makes it: status and the frame, {} for none."""
        query, posted = build_wecom.signed(body, now=self.now)
        request = cast(Any, None)  # a door of a robot looks at query and body alone
        response = cast(web.Response, await self.door.post(request, query, posted, self.now))
        return response.status, build_wecom.opened(cast(bytes, response.body or b""))

    async def say(self, text: str, **fields: Any) -> dict[str, Any]:
        """Somebody types it: the frame that comes back."""
        body = build_wecom.text(text, **fields)
        for _ in range(5):
            status, frame = await self.post(body)
            if status == 200:
                return frame
            # Too busy a machine for so short a deadline: WeCom comes again.
        raise AssertionError(f"refused five times, now with {status}")

    async def poll(self, stream: str) -> dict[str, Any]:
        """The next frame of a stream."""
        status, frame = await self.post(build_wecom.poll(stream))
        assert status == 200
        assert frame["stream"]["id"] == stream
        return dict(frame["stream"])

    async def idle(self) -> None:
        """Until nothing is worked on."""
        async with asyncio.timeout(5):
            while self.inbox.running:
                await asyncio.sleep(0.005)

    async def pushed(self, rounds: int = 1) -> None:
        """What the worker does when it comes round, so often."""
        for _ in range(rounds):
            await self.streams._round()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another program holds the file: what is read is read, what is written waits."""
        with closing(sqlite3.connect(self.store.db.path, isolation_level=None)) as other:
            other.execute("begin immediate")
            yield
            other.execute("rollback")

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The door in a webhook; its address."""
        webhook = Webhook(
            {},
            self.inbox,
            self.watch,
            ServerSettings(),
            now=lambda: self.now,
            doors={"/hook/robot": self.door},
        )
        runner = web.ServerRunner(webhook.server())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            addresses = list(runner.addresses)
            yield f"http://127.0.0.1:{addresses[0][1]}/hook/robot"
        finally:
            await runner.cleanup()

    async def row(self, what: str) -> Any:
        """A column of the only row of `streams`."""
        rows = await self.store.db.read(
            lambda conn: conn.execute(f"select {what} from streams").fetchall()
        )
        assert len(rows) == 1
        return rows[0][0]

    def read(self, row: Unanswered) -> Message | None:
        """As `bot/app.py` reads what an earlier process left."""
        try:
            return self.codec.read(row.body, row.received_at)
        except BadMessage:
            return None


def _fields(sentences: Sentences) -> dict[str, str]:
    return {name: getattr(sentences, name) for name in sentences.__dataclass_fields__}


@asynccontextmanager
async def desk(
    path: Path, handler: Handler = echo, *, qyapi: Qyapi | None = None, **options: Any
) -> AsyncIterator[Desk]:
    """A robot over the file in `path`, open; what is under way at the end is dropped."""
    base = qyapi.base if qyapi is not None else "http://127.0.0.1:9"
    async with ClientSession() as session:
        opened = Desk(path / "zhiqun.db", session, base, handler, **options)
        await opened.store.open()
        opened.inbox.open()
        try:
            yield opened
        finally:
            await opened.inbox.drain(0.0)
            await opened.door.close()
            await opened.store.close()


@asynccontextmanager
async def taking() -> AsyncIterator[Qyapi]:
    """WeCom's side of the push, running."""
    qyapi = Qyapi()
    await qyapi.start()
    try:
        yield qyapi
    finally:
        await qyapi.stop()
