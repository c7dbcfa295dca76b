"""One message on its way through the inbox: who waits for its answer, and what they were told.

The inbox leads it (`bot/inbox.py`); here is what it has to remember, and what it asks of the
channel: a seal where an answer fits into one exchange, a stream where it is polled for.
"""

from __future__ import annotations

import asyncio
import enum
from typing import Protocol

from bot.official import SUCCESS
from bot.parts import Outcome
from handlers.message import Kind, Message, Reply
from store.members import Member
from store.streams import NewStream

DELIVERIES = 3
"""WeChat asks this often in all."""

GROWING = b"growing"
"""Told instead of an answer that is polled for: the door shows what there is of it."""


class Refusal(enum.Enum):
    """Why a request gets no answer; WeChat asks again."""

    BUSY = "busy"
    NOT_RECORDED = "not_recorded"
    NOT_READY = "not_ready"


Answer = bytes | Refusal


class Seal(Protocol):
    """Turns a reply into the bytes this request understands."""

    def reply(self, reply: Reply, now: float, message_kind: Kind) -> bytes:
        """SUCCESS when there is nothing to show."""


class Streaming(Protocol):
    """A channel whose answers may be shown before they are whole: `bot/streams.py`.

    Its answers are kept as they are meant (`bot.wecom.Final`), and sealed by its door each time
    that somebody asks.
    """

    def opened(self, message: Message, at: float) -> None:
        """The message is worked on from now; it came at `at`, Unix seconds."""

    def over(self, key: str) -> None:
        """It is not worked on any more."""

    def grows(self, message: Message) -> bool:
        """Whether its answer may be shown unfinished."""

    async def begin(self, message: Message) -> None:
        """An unfinished frame is about to leave. Errors: StoreError."""

    def final(self, message: Message, outcome: Outcome) -> tuple[bytes, bool]:
        """The answer as it is kept, SUCCESS for none; and whether one exchange holds it all."""

    def row(self, message: Message, final: bytes, now: float, *, at_once: bool) -> NewStream:
        """Where it waits to be fetched. at_once: nobody will fetch it, push it now."""

    async def again(self, message: Message, final: bytes) -> bytes:
        """What to tell who asks for it once more; it counts as fetched. Errors: StoreError."""

    async def give_up(self, channel: str, key: bytes) -> None:
        """Apologise for a message that cannot be read any more. Errors: StoreError."""

    def wake(self) -> None:
        """Something may be due."""


class Converse(Protocol):
    """The conversation: `bot/app.py` gives the routers, tests give what they like."""

    async def __call__(self, message: Message, member: Member) -> Outcome: ...


class Watch(Protocol):
    """What is counted; `bot/metrics.py` has it."""

    def message(self, channel: str, kind: str, outcome: str) -> None: ...
    def answered(self, channel: str, seconds: float) -> None: ...
    def deadline_missed(self, channel: str) -> None: ...
    def retry_joined(self, channel: str) -> None: ...


class Work:
    """One message on its way through: who waits for it and what they were told."""

    __slots__ = (
        "ack",
        "acked",
        "body",
        "committing",
        "deliveries",
        "first_at",
        "heard_at",
        "message",
        "next_request",
        "over",
        "previous",
        "recorded",
        "reply",
        "retry_mode",
        "seal",
        "stopped",
        "stream",
        "takers",
        "task",
        "told",
        "waiters",
    )

    def __init__(
        self,
        message: Message,
        seal: Seal | None,
        body: bytes,
        *,
        retry_mode: bool = False,
        stream: Streaming | None = None,
    ) -> None:
        self.message = message
        self.seal = seal
        self.body = body
        self.retry_mode = retry_mode
        self.stream = stream
        self.first_at = 0.0
        self.heard_at = 0.0  # loop time at which WeChat last asked, or hung up
        self.deliveries = 0
        self.waiters: list[asyncio.Future[Answer]] = []
        self.takers: list[asyncio.Future[Answer]] = []  # wait for the record, not for the answer
        self.previous: Work | None = None
        self.over: asyncio.Future[None] | None = None
        self.next_request: asyncio.Future[None] | None = None
        self.recorded = False
        self.committing = False
        self.ack: asyncio.Task[None] | None = None  # being told "success"
        self.acked = False  # WeChat was told "success" or "still thinking": it asks no more
        # The bytes it was told.
        self.told = GROWING if stream is not None and stream.grows(message) else SUCCESS
        self.reply: bytes | None = None
        self.task: asyncio.Task[None] | None = None
        self.stopped = False  # its handler ran over the limit

    @property
    def listening(self) -> bool:
        """Whether a request still waits for the answer."""
        return any(not waiter.done() for waiter in self.waiters)

    def tell(self, answer: Answer) -> bool:
        """Give the answer to every request that still waits; False when none did."""
        heard = False
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(answer)
                heard = True
        return heard

    def settle(self, reply: bytes) -> bool:
        """`tell`, and the same to whoever asks from now on."""
        self.reply = reply
        return self.tell(reply)

    def taken(self, answer: Answer) -> None:
        """Tell those who wait for the record."""
        for taker in self.takers:
            if not taker.done():
                taker.set_result(answer)

    async def asked_again(self, within_s: float) -> bool:
        """Wait for WeChat to ask again; False when it won't."""
        if self.acked or self.deliveries >= DELIVERIES:
            return False
        self.next_request = asyncio.get_running_loop().create_future()
        try:
            # Counted from the last sign of WeChat and not from now: what several unfinished
            # messages of one member wait for after a restart, they wait for together.
            async with asyncio.timeout_at(self.heard_at + within_s):
                await self.next_request
        except TimeoutError:
            return False
        finally:
            self.next_request = None
        return True
