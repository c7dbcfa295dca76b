"""One WebSocket that a gateway opened: its frames in, our actions out, within bounds.

A gateway may say whatever it likes, as often as it likes. So frames have a rate, what waits to be
heard has a number and a size, and beyond them the socket is not read: TCP slows the other side
down. Answers to actions share the socket with events; while one is waited for, more events are
kept aside, so that a flood does not hide it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from bot.client import Unheard, Unreachable
from bot.crypto import BadMessage
from bot.official import MAX_BODY
from bot.onebot import decode
from bot.onebot_actions import Action, Answer, answer_of

FRAMES_PER_S = 500.0
FRAMES_AT_ONCE = 1000
"""The busiest known group bot hears 300 messages a second."""

WORK_SHARE = 0.15
WORK_AT_ONCE_S = 0.1
"""Share of the loop's time that reading one gateway's events may cost, and how much at once: a few
of the largest frames are as dear as a thousand small ones."""

NUISANCES = 120
"""Frames a minute that are nothing (pings, garbage); with more the connection ends."""

HELD = 64
HELD_WHILE_ACTING = 1024
HELD_BYTES = 4 << 20
"""Events read and not yet taken up, and how many while the answer to an action is waited for."""

MAX_ACTIONS = 64
"""Actions under way at a time."""

PING_S = 30.0
IDLE_S = 900.0
"""A gateway that says nothing for so long, not even a heartbeat, may connect again."""

_CLOSE_S = 1.0
_SLICE = 16
_SLICE_S = 0.002
"""So many frames, or so long, without giving the loop to others."""


class Rate:
    """A token bucket on the loop's clock. per_s: how fast it fills; at_once: what it holds."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s = per_s
        self._most = self._left = at_once
        self._at: float | None = None

    def short(self, now: float) -> float:
        """Take one; 0.0, or for how many seconds there is none and nothing was taken."""
        if (wait := self.owing(now, 1.0)) == 0.0:
            self._left -= 1.0
        return wait

    def owing(self, now: float, wanted: float = 0.0) -> float:
        """For how many seconds there is less than `wanted`; 0.0 when there is as much."""
        if self._at is not None:
            self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        return max(0.0, (wanted - self._left) / self._per_s)

    def spend(self, amount: float) -> None:
        """Take what was used, even if that is more than there is."""
        self._left -= amount


def work_rate() -> Rate:
    """What one gateway may cost, in seconds of this thread."""
    return Rate(WORK_SHARE, WORK_AT_ONCE_S)


def web_socket(protocols: tuple[str, ...], *, max_frame: int = MAX_BODY) -> web.WebSocketResponse:
    """The socket as a line needs it: no compression that could unfold, pings counted by us."""
    return web.WebSocketResponse(
        timeout=_CLOSE_S,
        heartbeat=PING_S,
        autoping=False,
        compress=False,
        protocols=protocols,
        max_msg_size=max_frame,
    )


class Line:
    """An open WebSocket of a gateway.

    role: "universal", or OneBot 11's "api" and "event". take: hears one event, and comes back as
    soon as there is room for another. refused: told the reason of each frame that was nothing.
    work: what all lines of a gateway may cost together, in seconds.
    """

    def __init__(
        self,
        ws: web.WebSocketResponse,
        role: str,
        *,
        take: Callable[[Mapping[str, Any]], Awaitable[None]],
        refused: Callable[[str], None],
        work: Rate,
        idle_s: float = IDLE_S,
    ) -> None:
        self.role = role
        self._ws = ws
        self._take = take
        self._refused = refused
        self._work = work
        self._idle_s = idle_s
        self._rate = Rate(FRAMES_PER_S, FRAMES_AT_ONCE)
        self._nuisance = Rate(NUISANCES / 60.0, NUISANCES)
        self._held: deque[tuple[Mapping[str, Any], int]] = deque()
        self._held_bytes = 0
        self._stir = asyncio.Event()  # something was held, taken or asked: look again
        self._pending: dict[str, asyncio.Future[Answer | None]] = {}  # None: the line has ended
        self._mark = secrets.token_hex(4)
        self._count = 0
        self._over = False

    @property
    def open(self) -> bool:
        """Whether an action can leave by it."""
        return not self._over and not self._ws.closed

    async def read(self) -> str:
        """Read until it ends; says why: "gone", "idle", "flood", "too_large" or "replaced".

        Events that were read are still given to `take` afterwards, by `feed`.
        """
        try:
            return await self._read()
        except (OSError, RuntimeError):
            return "gone"  # in the middle of a pong
        finally:
            self._end()

    async def _read(self) -> str:
        loop = asyncio.get_running_loop()
        since, began = 0, loop.time()
        while True:
            pause = self._work.owing(loop.time()) or self._rate.short(loop.time())
            if pause or since >= _SLICE or loop.time() - began > _SLICE_S:
                await asyncio.sleep(pause)
                since, began = 0, loop.time()
                if pause:
                    continue
            since += 1
            try:
                frame = await self._ws.receive(timeout=self._idle_s)
            except TimeoutError:
                return "idle"
            if self._over:
                return "replaced"
            kind = frame.type
            if kind in (WSMsgType.TEXT, WSMsgType.BINARY):
                good = await self._frame(frame.data)
            elif kind is WSMsgType.PING:
                async with asyncio.timeout(_CLOSE_S):
                    await self._ws.pong(frame.data)
                good = False
            elif kind is WSMsgType.PONG:
                good = True
            else:
                code = frame.data.code if isinstance(frame.data, WebSocketError) else None
                return "too_large" if code == WSCloseCode.MESSAGE_TOO_BIG else "gone"
            if not good and self._nuisance.short(loop.time()):
                return "flood"

    async def _frame(self, data: str | bytes) -> bool:
        """One frame; False when it was nothing."""
        began = time.thread_time()
        try:
            fields = decode(data)
        except BadMessage as error:
            self._refused(error.reason)
            return False
        finally:
            self._work.spend(time.thread_time() - began)
        answer = answer_of(fields)
        if answer is None:
            self._held.append((fields, len(data)))
            self._held_bytes += len(data)
            self._stir.set()
            while self._full():
                self._stir.clear()
                await self._stir.wait()
            return True
        waiter = self._pending.get(answer.echo)
        if waiter is None or waiter.done():
            # Late, or invented: whoever asked has gone.
            return False
        waiter.set_result(answer)
        return True

    def _full(self) -> bool:
        most = HELD_WHILE_ACTING if self._pending else HELD
        return not self._over and (len(self._held) > most or self._held_bytes > HELD_BYTES)

    async def feed(self) -> None:
        """Give what is held to `take`, in order, until the line has ended and all is taken."""
        while True:
            while self._held:
                fields, size = self._held.popleft()
                self._held_bytes -= size
                self._stir.set()
                await self._take(fields)
            if self._over:
                return
            self._stir.clear()
            await self._stir.wait()

    async def act(self, action: Action, timeout_s: float) -> Answer:
        """Ask for an action and wait for its answer. Errors: Unreachable, Unheard."""
        if not self.open:
            raise Unreachable(action.name, "the connection has ended", "see the gateway's log")
        if len(self._pending) >= MAX_ACTIONS:
            raise Unreachable(action.name, f"{MAX_ACTIONS} actions are under way", "wait a little")
        self._count += 1
        echo = f"{self._mark}-{self._count}"
        waiter: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._pending[echo] = waiter
        self._stir.set()
        fault: Unheard
        try:
            async with asyncio.timeout(timeout_s):
                await self._ws.send_str(action.frame(echo))
                if (answer := await waiter) is not None:
                    return answer
            fault = Unheard(action.name, "the gateway has gone")
        except TimeoutError:
            fault = Unheard(action.name, f"no answer in {timeout_s:g} s")
        except (OSError, RuntimeError) as error:
            fault = Unheard(action.name, f"the connection broke ({type(error).__name__})")
        finally:
            self._pending.pop(echo, None)
            waiter.cancel()
            self._stir.set()
        raise fault

    def _end(self) -> None:
        """Nothing comes or goes any more; whoever waits for an answer will not hear it."""
        self._over = True
        for waiter in self._pending.values():
            if not waiter.done():
                waiter.set_result(None)
        self._stir.set()

    async def close(self, code: int) -> None:
        """End it; at once when the other side does not answer."""
        self._end()
        try:
            async with asyncio.timeout(2 * _CLOSE_S):
                await self._ws.close(code=code, drain=False)
        except (TimeoutError, OSError, RuntimeError):
            # aiohttp has closed the transport by then.
            return
