"""Answers that missed their exchange: pushed once each, as customer-service messages.

The store says what is due and pays the member's allowance; this room makes the call and
writes down how it ended. What certainly did not leave is tried again; what may have left
is `unknown` and stays so; what WeChat won't take becomes refused, or waits for 继续.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from bot.client import Unheard, Unreachable, WeChatError
from bot.errcodes import Action
from bot.official import custom_message
from handlers.message import Reply, reply_from_json
from store import Store, StoreError
from store.sends import KEPT, REFUSED, SENT, UNKNOWN, WAITING, Send

log = structlog.get_logger()

PARALLEL = 8
"""Calls of one channel under way at a time; one member's parts still go one after the other.

Of each channel: one whose API hangs must not keep the answers of the others.
"""

GIVE_UP_S = 1800.0
"""An answer half an hour late is no answer: after that it waits for 继续."""

LATE_IN_GROUP_S = 120.0
"""In a group the talk has moved on by then: an answer to what nobody remembers is noise."""

_BUSY_TRIES = 5


class CustomSender(Protocol):
    """The one call this room needs of an official account's client."""

    async def send_custom(self, payload: dict[str, Any]) -> None:
        """Errors: WeChatError."""


class Carrier(Protocol):
    """How a channel of groups takes an answer to the member, or to the group it was asked in."""

    async def carry(self, send: Send, reply: Reply) -> None:
        """Errors: WeChatError; a ValueError when such a reply cannot be sent there.

        Unreachable: it certainly did not leave. Unheard: nobody knows.
        """


def hushed(store: Store, place: str, channel: str, who: str, now: float) -> str:
    """Why nothing may be said to somebody in a group now, "" when it may; no database.

    Operators are told what became of their command even where they muted or unbound the group.
    """
    group = store.groups.known(place)
    if group is None:
        return ""
    if group.left_at is not None:
        return "not in that group any more"
    member = store.members.known(channel, who)
    if member is not None and member.is_operator:
        return ""
    if not group.bound:
        return "the group was unbound"
    return "the group is muted" if now < group.rules.muted_until else ""


class LateAnswers:
    """The worker that empties the table `sends`.

    clients: official accounts by channel; carriers: the other channels, whose answers cost no
    allowance. wake: call it when something was added. now: Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        clients: Mapping[str, CustomSender],
        *,
        now: Callable[[], float],
        observe: Callable[[str, str], None],
        backoff_s: float = 1.0,
        carriers: Mapping[str, Carrier] | None = None,
    ) -> None:
        self._store = store
        self._clients = clients
        self._carriers = {} if carriers is None else carriers
        self._now = now
        self._observe = observe
        self._backoff_s = backoff_s
        self._something = asyncio.Event()
        self._calls: dict[asyncio.Task[None], Send] = {}
        self._closing = False

    def wake(self) -> None:
        """Something may be due."""
        self._something.set()

    async def run(self) -> None:
        """Work until `close`. What was under way at the last end becomes `unknown`."""
        recovered = False
        while not self._closing:
            self._something.clear()
            try:
                if not recovered:
                    lost = await self._store.sends.recover(self._now())
                    recovered = True
                    if lost:
                        log.warning(
                            "late_answers_unknown", count=lost, say="see /sends in the chat"
                        )
                pause = await self._round()
            except Exception as error:
                # One place for the whole worker: it must not end while the bot lives.
                log.error("late_answers_failed", error=type(error).__name__, exc_info=True)
                pause = 5.0
            try:
                async with asyncio.timeout(pause):
                    await self._something.wait()
            except TimeoutError:
                pass
        if self._calls:
            await asyncio.wait(self._calls, timeout=1.0)

    async def _round(self) -> float | None:
        """Claim and send what is due; says for how long nothing more will be, None: unknown."""
        sends = self._store.sends
        busy, in_groups = self._busy()
        for send in await sends.claim(
            self._now(), limit=PARALLEL, free=self._carriers, busy=busy, in_groups=in_groups
        ):
            if self._closing:
                # Claimed at the last moment: the next start sends it.
                await sends.put_off(
                    send.id, self._now(), errcode=None, note="stopped before the call"
                )
                continue
            task = asyncio.create_task(self._send(send))
            self._calls[task] = send
            task.add_done_callback(self._done)
        busy, in_groups = self._busy()
        # The end of a call wakes us: a channel that has no room is not waited for here.
        due = await sends.next_due(
            [one for one, count in busy.items() if count >= PARALLEL],
            [one for one, count in in_groups.items() if count >= PARALLEL - KEPT],
        )
        return None if due is None else min(60.0, max(0.05, due - self._now()))

    def _busy(self) -> tuple[Counter[str], Counter[str]]:
        """Calls under way by channel: all, and those into groups."""
        calls = self._calls.values()
        return Counter(s.channel for s in calls), Counter(s.channel for s in calls if s.place)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._calls.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            # The row stays `sending` and is listed as unknown after the next start.
            log.error("late_answer_not_settled", error=type(task.exception()).__name__)
        self._something.set()

    def close(self) -> None:
        """Claim no more; `run` ends when the calls under way have, after a second at most."""
        self._closing = True
        self._something.set()

    async def _send(self, send: Send) -> None:
        key = send.message_key.hex()
        if send.place and (why := self._unsaid(send)):
            await self._settle(send, REFUSED, note=why)
            log.info("late_answer_dropped", key=key, channel=send.channel, why=why)
            return
        left = False
        try:
            reply = _reply(send)
            if (carrier := self._carriers.get(send.channel)) is not None:
                await carrier.carry(send, reply)
            else:
                client = self._clients.get(send.channel)
                payloads = custom_message(reply, send.external_id) if client else []
                if client is None or not payloads:
                    raise ValueError("nothing that this channel could send")
                for payload in payloads:
                    await client.send_custom(payload)
                    left = True
        except ValueError:
            await self._settle(send, REFUSED, note="cannot be sent here")
        except Unheard as error:
            await self._settle(send, UNKNOWN, note=str(error))
            log.warning("late_answer_unknown", key=key, channel=send.channel, error=str(error))
        except WeChatError as error:
            if left:
                # Half of it arrived: neither sending it all again nor dropping it is right.
                await self._settle(send, UNKNOWN, note=f"in part; {error}")
                return
            await self._refused(send, error)
        except Exception as error:
            # A fault of ours: nobody knows whether it left, and the row must not stay open.
            log.error("late_answer_failed", key=key, error=type(error).__name__, exc_info=True)
            await self._settle(send, UNKNOWN, note=type(error).__name__)
        else:
            await self._settle(send, SENT)
            log.info("late_answer_sent", key=key, channel=send.channel)

    def _unsaid(self, send: Send) -> str:
        """Why an answer is not said in its group any more; "" when it is."""
        now = self._now()
        if now - send.created_at > LATE_IN_GROUP_S:
            return "too late for a group"
        return hushed(self._store, send.place, send.channel, send.external_id, now)

    async def _settle(
        self, send: Send, status: str, *, errcode: int | None = None, note: str = ""
    ) -> None:
        """Write the end down, however long the store takes: an open row blocks the member."""
        pause = 0.5
        while True:
            try:
                await self._store.sends.settle(
                    send.id, status, self._now(), errcode=errcode, note=note
                )
                break
            except StoreError as error:
                if self._store.closing:
                    raise
                log.error("late_answers_store", error=str(error))
                await asyncio.sleep(pause)
                pause = min(30.0, pause * 2)
        self._observe(send.channel, status)

    async def _refused(self, send: Send, error: WeChatError) -> None:
        """It did not go out: again later, or never by this way."""
        sends, now = self._store.sends, self._now()
        pause: float | None = None
        if isinstance(error, Unreachable):
            pause = min(60.0, self._backoff_s * 2 ** min(send.tries, 6))
        elif error.action is Action.RETRY and send.tries + 1 < _BUSY_TRIES:
            pause = self._backoff_s * 2**send.tries
        elif error.action is Action.WAIT_MINUTE:
            pause = 60.0
        give_up_s = LATE_IN_GROUP_S if send.place else GIVE_UP_S
        if pause is not None and now + pause - send.created_at < give_up_s:
            await sends.put_off(send.id, now + pause, errcode=error.errcode, note=str(error))
            self._observe(send.channel, "put_off")
            return
        # The member can still fetch it, unless WeChat says that there is no such member; but what
        # was meant for a group is not told in private.
        may_ask = pause is not None or error.action in _OUR_SIDE or error.errcode in _MEMBER_MAY_ASK
        status = WAITING if may_ask and not send.place else REFUSED
        await self._settle(send, status, errcode=error.errcode, note=str(error))
        log.warning(
            "late_answer_refused",
            key=send.message_key.hex(),
            channel=send.channel,
            errcode=error.errcode,
            error=str(error),
        )


_MEMBER_MAY_ASK = frozenset({45015, 45047, 48002})
"""The member can't be pushed to now, but their next message may still be answered."""

_OUR_SIDE = frozenset(
    {
        Action.RETRY,
        Action.REFRESH_TOKEN,
        Action.CONFIG,
        Action.STOP_API_UNTIL_TOMORROW,
    }
)
"""The member did nothing wrong; what we cannot push they can still fetch."""


def _reply(send: Send) -> Reply:
    return reply_from_json(send.reply)
