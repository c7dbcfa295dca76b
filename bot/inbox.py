"""Record once, answer in time, else late: what becomes of a message after the door.

WeChat gives five seconds, asks three times in all, and may ask again after it was
answered. So a message is a row before it is work; the work runs in a task of its own
that no hang-up can cancel; every request for the same key waits for the same answer;
and the answer goes out by exactly one way, which is written down with it.

What this room will not do: know XML (the seal does), decide what to say (`converse`
does), or talk to WeChat (`bot/late.py` does).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from bot.official import SUCCESS
from bot.parts import (
    Outcome,
    addressed,
    aside_parts,
    end_of,
    late_parts,
    later_parts,
    passive_parts,
    pushes_to_anybody,
)
from bot.work import (
    DELIVERIES,
    Answer,
    Converse,
    Refusal,
    Seal,
    Streaming,
    Watch,
    Work,
)
from handlers.message import Message, Reply
from store import Store, StoreError
from store.members import NOBODY
from store.messages import Finished, Incoming, Unanswered
from store.sends import PLANNED, WAITING
from store.streams import NewStream

__all__ = ["Answer", "Inbox", "Refusal", "Seal", "Sentences"]

log = structlog.get_logger()

REDELIVERY_S = 6.0
"""After a request that got no answer, the next comes within this time or never."""

HOLD_S = 6.0
"""How long an early request is kept open when only the later ones may carry the answer.

WeChat hangs up after 5 s; holding longer costs nothing and leaves the choice to it.
"""

PUSHES_S = 3.0
"""How long an answer waits for the member's earlier ones that are being pushed."""

GRACE_S = 0.2
"""How long an answer that is being written may exceed the deadline."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """The few things the inbox itself says."""

    crashed: str
    thinking: str
    more: str
    transfer_again: str


class Inbox:
    """Messages in, answers out, each exactly once.

    converse: what to say; awaited in a task of its own, at most `handler_limit_s`.
    retry_channels: channels that may not push, so that WeChat's own retries carry a
    slow answer. streams: by channel, those that show an answer while it grows. late: called
    when a push is waiting in the store. most_of_one: messages of one channel under way at a
    time, so that a stuck one leaves room for the others; None: as many as there may be.
    now: Unix seconds. deadline_s: from the request to the answer.
    """

    def __init__(
        self,
        store: Store,
        converse: Converse,
        watch: Watch,
        sentences: Sentences,
        *,
        now: Callable[[], float],
        late: Callable[[], None],
        retry_channels: frozenset[str] = frozenset(),
        streams: Mapping[str, Streaming] | None = None,
        deadline_s: float = 4.2,
        handler_limit_s: float = 120.0,
        max_running: int = 2000,
        most_of_one: int | None = None,
        redelivery_s: float = REDELIVERY_S,
    ) -> None:
        self._store = store
        self._converse = converse
        self._watch = watch
        self._sentences = sentences
        self._now = now
        self._late = late
        self._retry_channels = retry_channels
        self._streams = {} if streams is None else streams
        self._deadline_s = deadline_s
        self._handler_limit_s = handler_limit_s
        self._max_running = max_running
        self._most_of_one = max_running if most_of_one is None else most_of_one
        self._redelivery_s = redelivery_s
        self._works: dict[str, Work] = {}
        self._running: Counter[str] = Counter()  # by channel
        self._pushed_at: dict[tuple[str, str], float] = {}  # who was lately owed a push
        self._tails: dict[tuple[str, str], Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: asyncio.Event | None = asyncio.Event()

    @property
    def running(self) -> int:
        """Messages being worked on now."""
        return len(self._works)

    def open(self) -> None:
        """The conversation can begin; until then messages are recorded and wait."""
        if self._ready is not None:
            self._ready.set()
            self._ready = None

    async def answer(self, message: Message, seal: Seal | None, body: bytes) -> Answer:
        """The bytes for this request, or why there are none.

        body: the message as it came, decrypted, to be worked on again if this process
        dies. A caller that is cancelled (the peer hung up) cancels nothing but its own
        waiting. seal: None where the channel streams; the bytes are what it made of the
        answer then, or `bot.work.GROWING`.
        """
        loop = asyncio.get_running_loop()
        work = self._works.get(message.key)
        if work is None:
            if self._full(message.channel):
                self._watch.message(message.channel, message.kind, "busy")
                return Refusal.BUSY
            work = self._work(message, seal, body)
            self._start(work, loop)
        else:
            self._watch.retry_joined(message.channel)
            if work.seal is None:
                work.seal = seal
        work.deliveries += 1
        work.heard_at = loop.time()
        if work.next_request is not None and not work.next_request.done():
            work.next_request.set_result(None)
        if work.reply is not None:
            return work.reply
        if work.acked:
            # The answer goes another way by now; a copy or a replay must not catch it.
            return work.told
        waiter: asyncio.Future[Answer] = loop.create_future()
        work.waiters.append(waiter)
        timer = loop.call_later(self._deadline_s, self._over_deadline, work, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            work.waiters.remove(waiter)
            work.heard_at = loop.time()

    async def take(self, message: Message, body: bytes) -> bool:
        """Take a message whose answer is sent and never asked for; True once it is recorded.

        For channels whose carrier sends what becomes a row of `sends`. False: too much is under
        way, or the store takes nothing, and the peer may come again. A copy is taken, too.
        """
        work = self._works.get(message.key)
        if work is None:
            if self._full(message.channel):
                self._watch.message(message.channel, message.kind, "busy")
                return False
            work = Work(message, None, body)
            work.acked = True
            self._start(work, asyncio.get_running_loop())
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if not work.recorded:
            work.takers.append(waiter)
            return await waiter is not Refusal.NOT_RECORDED
        return True

    async def recover(self, read: Callable[[Unanswered], Message | None]) -> int:
        """Take up what an earlier process left unfinished; says how many messages.

        read: the stored message, None when it can't be read any more. WeChat may ask
        again for these, so each waits a moment for that before its answer is pushed.
        """
        rows = await self._store.messages.unanswered()
        loop = asyncio.get_running_loop()
        count = 0
        for row in rows:
            message = read(row)
            if message is None:
                log.warning("unfinished_message_unreadable", key=row.key.hex())
                if (side := self._streams.get(row.channel)) is not None:
                    await side.give_up(row.channel, row.key)
                continue
            if message.key in self._works:
                continue
            work = self._work(message, None, row.body)
            work.recorded = True
            old = self._now() - row.received_at > DELIVERIES * REDELIVERY_S
            work.acked = row.acked or (old and work.stream is None)
            self._start(work, loop, row.received_at)
            count += 1
        return count

    async def drain(self, seconds: float) -> int:
        """Let running work finish for so long, then stop it; says how much was left.

        What is left stays recorded, and the next start takes it up.
        """
        if self._ready is not None:
            seconds = 0.0  # nothing can finish before the conversation begins
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        left = [task for task in self._tasks if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1.0)
        return len(left)

    # The clock

    def _over_deadline(self, work: Work, waiter: asyncio.Future[Answer], again: bool) -> None:
        if waiter.done():
            return
        loop = asyncio.get_running_loop()
        if work.committing and not again:
            loop.call_later(GRACE_S, self._over_deadline, work, waiter, True)
            return
        if not again:
            self._watch.deadline_missed(work.message.channel)
        if not work.recorded or work.committing:
            # Nothing durable to acknowledge: let WeChat ask again.
            waiter.set_result(Refusal.NOT_RECORDED)
            return
        if not work.retry_mode:
            self._acknowledge(work, work.told)
            return
        if work.deliveries < DELIVERIES:
            hold = HOLD_S - self._deadline_s
            loop.call_later(hold, self._hold_over, waiter)
            return
        thinking = Reply.text(self._sentences.thinking)
        if work.seal is not None:
            self._acknowledge(work, work.seal.reply(thinking, self._now(), work.message.kind))

    def _acknowledge(self, work: Work, told: bytes) -> None:
        if work.ack is None or work.ack.done():
            work.ack = self._spawn(self._acknowledged(work, told))

    async def _acknowledged(self, work: Work, told: bytes) -> None:
        """Say that we have it, once the disk has it too.

        Every request that waits is told: WeChat closes the message with the first of them,
        and the answer must not go to another. The answer waits for the end of this.
        """
        stream = work.stream
        if stream is not None and stream.grows(work.message):
            noted = stream.begin(work.message)
        else:
            noted = self._store.messages.acknowledge(bytes.fromhex(work.message.key))
        try:
            async with asyncio.timeout(GRACE_S):
                await asyncio.shield(noted)
        except (TimeoutError, StoreError):
            work.tell(Refusal.NOT_RECORDED)
        else:
            work.acked = True
            work.told = told
            work.tell(told)

    @staticmethod
    def _hold_over(waiter: asyncio.Future[Answer]) -> None:
        if not waiter.done():
            waiter.set_result(Refusal.NOT_READY)

    # The work

    def _full(self, channel: str) -> bool:
        """Whether so much is under way that the next message has to come again."""
        most = self._most_of_one
        return len(self._works) >= self._max_running or self._running[channel] >= most

    def _work(self, message: Message, seal: Seal | None, body: bytes) -> Work:
        channel = message.channel
        return Work(
            message,
            seal,
            body,
            retry_mode=channel in self._retry_channels,
            stream=self._streams.get(channel),
        )

    def _start(
        self, work: Work, loop: asyncio.AbstractEventLoop, came_at: float | None = None
    ) -> None:
        message = work.message
        work.first_at = work.heard_at = loop.time()
        if work.stream is not None:
            work.stream.opened(message, self._now() if came_at is None else came_at)
        self._works[message.key] = work
        self._running[message.channel] += 1
        work.task = self._spawn(self._run(work))

    def _spawn(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, work: Work) -> None:
        message = work.message
        try:
            await self._answer_once(work)
        except StoreError as error:
            # Nothing was promised: WeChat asks again, a later start finds the row.
            log.error("message_not_stored", key=message.key, error=str(error))
            self._watch.message(message.channel, message.kind, "not_stored")
        except Exception as error:
            # A fault of ours after the handler: the message must not come up for ever.
            log.error("message_failed", key=message.key, error=type(error).__name__, exc_info=True)
            await self._give_up(work)
        finally:
            work.previous = work.task = None
            self._works.pop(message.key, None)
            self._running[message.channel] -= 1
            if work.stream is not None:
                work.stream.over(message.key)
            sender = (message.channel, message.sender)
            if self._tails.get(sender) is work:
                del self._tails[sender]
            if work.over is not None and not work.over.done():
                work.over.set_result(None)
            work.tell(Refusal.NOT_RECORDED)
            work.taken(Refusal.NOT_RECORDED)

    async def _answer_once(self, work: Work) -> None:
        message = work.message
        loop = asyncio.get_running_loop()
        key = bytes.fromhex(message.key)
        if not work.recorded:
            recorded = await self._store.messages.record(
                Incoming(key, message.channel, message.sender, self._now(), work.body)
            )
            work.recorded = True
            work.taken(SUCCESS)
            if recorded.reply is not None:
                self._watch.message(message.channel, message.kind, "repeated")
                reply = recorded.reply
                work.tell(reply if work.stream is None else await work.stream.again(message, reply))
                return
            if not recorded.fresh:
                log.info("message_taken_up_again", key=message.key)
        # In line only now: records come back in the order in which the messages came, and
        # the repeat of an old message must not stand between two new ones.
        sender = (message.channel, message.sender)
        work.previous = self._tails.get(sender)
        self._tails[sender] = work
        if self._ready is not None:
            await self._ready.wait()
        await self._turn(work)

        outcome = await self._ask(work)
        if work.stream is not None:
            self._log(work, outcome, await self._answer_stream(work, work.stream, outcome))
            return
        if sender in self._pushed_at and work.listening:
            await self._after_pushes(sender)
        if work.ack is not None:
            await asyncio.wait({work.ack})
        if outcome.reply.kind != "none" and not work.listening:
            await work.asked_again(self._redelivery_s)
        finished = end_of(message, outcome, self._now())
        parts = passive_parts(outcome.reply, self._sentences.more)
        then = () if outcome.erased else outcome.then
        seal = work.seal
        if seal is not None and work.listening:
            way = await self._answer_waiting(work, seal, finished, parts, outcome)
        else:
            late = (
                ()
                if outcome.erased and not pushes_to_anybody(message)
                else addressed(
                    late_parts([*parts, *then], self._way(work), self._sentences.transfer_again),
                    message,
                )
            )
            late += aside_parts(outcome.aside, len(late), PLANNED)
            await self._finish(work, finished._replace(reply=work.told, late=late))
            work.settle(work.told)
            way = "late" if late else "silent"
        if way == "late" or then:
            self._pushed_at[sender] = loop.time()
            self._late()
        self._log(work, outcome, way)

    def _log(self, work: Work, outcome: Outcome, way: str) -> None:
        message = work.message
        self._watch.message(message.channel, message.kind, way)
        seconds = asyncio.get_running_loop().time() - work.first_at
        self._watch.answered(message.channel, seconds)
        log.info(
            "answered",
            key=message.key,
            channel=message.channel,
            kind=message.kind,
            handler=outcome.handler,
            way=way,
            ms=round(seconds * 1000, 1),
        )

    async def _answer_waiting(
        self, work: Work, seal: Seal, finished: Finished, parts: list[Reply], outcome: Outcome
    ) -> str:
        """Somebody waits: the first part goes back in that exchange."""
        then = () if outcome.erased else outcome.then
        first, rest = parts[0], parts[1:]
        if rest:
            first = Reply.text(f"{first.content}\n{self._sentences.more}")
        stored = seal.reply(first, finished.at, work.message.kind)
        later = later_parts(rest, then, self._way(work))
        await self._finish(work, finished._replace(reply=stored, late=later))
        if stored == SUCCESS:
            work.settle(stored)
            return "silent"
        if work.settle(stored) or await work.asked_again(self._redelivery_s):
            return "passive"
        # Its request gave up while the answer was being written, and none came after it.
        work.reply = work.told
        late = (
            ()
            if outcome.erased
            else late_parts([first], self._way(work), self._sentences.transfer_again)
        )
        await self._store.messages.turn_late(finished._replace(late=late), work.told)
        return "late"

    async def _answer_stream(self, work: Work, stream: Streaming, outcome: Outcome) -> str:
        """All of the answer at once: to who waits, else to who polls, else by its address."""
        if work.ack is not None:
            await asyncio.wait({work.ack})
        message = work.message
        finished = end_of(message, outcome, self._now())
        final, whole = stream.final(message, outcome)
        waiting = work.listening and not work.acked
        row: NewStream | None = None
        if not (waiting and whole):
            row = stream.row(message, final, finished.at, at_once=waiting)
        await self._finish(work, finished._replace(reply=final, stream=row))
        if row is not None:
            stream.wake()
        if waiting:
            if work.settle(final):
                return "silent" if final == SUCCESS else "passive"
            # Its request gave up while the answer was being written. Who comes now, polls.
            work.reply, work.acked = None, True
            if row is None:
                late = stream.row(message, final, finished.at, at_once=False)
                await self._store.streams.finish(late, finished.at)
                stream.wake()
        elif work.listening:
            # It was asked for again in that very moment.
            work.settle(await stream.again(message, final))
        return "late"

    async def _finish(self, work: Work, finished: Finished) -> None:
        """Write the end down. The handler has run: only the writing is tried again."""
        work.committing = True
        pause = 0.5
        while True:
            try:
                await self._store.messages.finish(finished)
                break
            except StoreError as error:
                if self._store.closing:
                    raise
                log.error("answer_not_stored", key=work.message.key, error=str(error))
                await asyncio.sleep(pause)
                pause = min(30.0, pause * 2)
        work.committing = False

    async def _give_up(self, work: Work) -> None:
        """One polite sentence instead of the answer, and an end to the message."""
        outcome = Outcome(self._sorry(work.message), "error", text="")
        finished = end_of(work.message, outcome, self._now())
        try:
            if work.stream is not None:
                await self._answer_stream(work, work.stream, outcome)
                return
            late = late_parts([outcome.reply], self._way(work), "")
            await self._finish(work, finished._replace(reply=work.told, late=late))
            work.settle(work.told)
            self._late()
        except StoreError as error:
            log.error("message_lost", key=work.message.key, error=type(error).__name__)

    async def _after_pushes(self, sender: tuple[str, str]) -> None:
        """Let this member's earlier answers arrive first, for a few seconds at most."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PUSHES_S
        while await self._store.sends.owed(*sender):
            if loop.time() > until:
                return
            await asyncio.sleep(0.05)
        self._pushed_at.pop(sender, None)
        if len(self._pushed_at) > 1000:
            old = loop.time() - 10 * PUSHES_S
            self._pushed_at = {s: at for s, at in self._pushed_at.items() if at > old}

    async def _turn(self, work: Work) -> None:
        """Wait until this member's earlier messages are over."""
        previous = work.previous
        if previous is None or self._works.get(previous.message.key) is not previous:
            return
        if previous.over is None:
            previous.over = asyncio.get_running_loop().create_future()
        await previous.over

    async def _ask(self, work: Work) -> Outcome:
        message, members = work.message, self._store.members
        # By hand what asyncio.timeout does, for a fifth of its cost on every message.
        limit = asyncio.get_running_loop().call_later(self._handler_limit_s, self._stop, work)
        try:
            member = NOBODY
            if not message.is_report:
                known = members.known(message.channel, message.sender)
                member = known or await members.meet(message.channel, message.sender, self._now())
            outcome = await self._converse(message, member)
            if not isinstance(outcome.reply, Reply):
                raise TypeError("a handler gives a Reply or None")
            return outcome
        except asyncio.CancelledError as error:
            task = work.task
            if work.stopped and task is not None:
                task.uncancel()
                log.error("handler_too_slow", key=message.key, limit_s=self._handler_limit_s)
            elif task is None or task.cancelling():
                raise
            else:  # born in the handler itself
                log.error("handler_failed", key=message.key, error=type(error).__name__)
        except Exception as error:
            if message.is_report and isinstance(error, StoreError):
                raise  # WeChat tells it again; nobody else would
            log.error("handler_failed", key=message.key, error=type(error).__name__, exc_info=True)
        finally:
            limit.cancel()
        return Outcome(self._sorry(message), "error")

    def _sorry(self, message: Message) -> Reply:
        return Reply.none() if message.is_report else Reply.text(self._sentences.crashed)

    @staticmethod
    def _stop(work: Work) -> None:
        if work.task is not None:
            work.stopped = True
            work.task.cancel()

    @staticmethod
    def _way(work: Work) -> str:
        return WAITING if work.retry_mode else PLANNED
