"""What goes into groups: posted once each, in order, never too fast.

The store says what is due and counts the minute; this room makes the call and writes down how
it ended. What certainly was not posted is tried again; what may have been is `unknown`, listed,
and stays so. A channel that was told "too fast" rests for a minute, and for longer each time it
is told so again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from bot.client import Unheard, Unreachable, WeChatError
from bot.errcodes import Action
from store import Store, StoreError
from store.posts import (
    LONGEST_CLOSE_S,
    MINUTE_S,
    REFUSED,
    SENT,
    UNKNOWN,
    Claimed,
    Post,
    post_from_json,
)

log = structlog.get_logger()

PARALLEL = 8
"""Calls under way at a time; one channel's go one after the other."""

_BUSY_TRIES = 8
_TOO_FAST = (45009, 130101)


class Poster(Protocol):
    """How a channel posts into a group."""

    async def post(self, group: str, post: Post) -> str:
        """Post; the message's id, "" where there is none.

        group: its id on its own channel. Errors: WeChatError; a ValueError when such a post cannot
        be made there. Unreachable: it certainly was not posted. Unheard: nobody knows.
        """


class Posting:
    """The worker that empties the table `posts`.

    posters: by channel. paces: channel -> posts in any 60 seconds; a channel needs both. now: Unix
    seconds. steady: seconds that never jump. observe: channel and outcome ("sent", "refused",
    "unknown", "put_off"). wake: call it when something was planned.
    """

    def __init__(
        self,
        store: Store,
        posters: Mapping[str, Poster],
        paces: Mapping[str, int],
        *,
        now: Callable[[], float],
        steady: Callable[[], float],
        observe: Callable[[str, str], None],
        backoff_s: float = 1.0,
    ) -> None:
        self._store = store
        self._posters = posters
        self._paces = {channel: paces[channel] for channel in posters}
        self._now = now
        self._steady = steady
        self._observe = observe
        self._backoff_s = backoff_s
        # When calls ended, by the clock that never jumps: the file only knows the other one.
        self._ended: dict[str, deque[float]] = {
            channel: deque(maxlen=pace) for channel, pace in self._paces.items()
        }
        self._something = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
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
                    lost = await self._store.posts.recover(self._now())
                    recovered = True
                    if lost:
                        log.warning("posts_unknown", count=lost, say="look into the groups")
                pause = await self._round()
            except Exception as error:
                # One place for the whole worker: it must not end while the bot lives.
                log.error("posting_failed", error=type(error).__name__, exc_info=True)
                pause = 5.0
            try:
                async with asyncio.timeout(pause):
                    await self._something.wait()
            except TimeoutError:
                pass
        if self._calls:
            await asyncio.wait(self._calls, timeout=1.0)

    async def _round(self) -> float | None:
        """Claim and post what is due; says for how long nothing more will be, None: unknown."""
        open_ones, shut_s = self._open()
        room = PARALLEL - len(self._calls)
        if room > 0:
            for claimed in await self._store.posts.claim(self._now(), open_ones, limit=room):
                if self._closing:
                    # Claimed at the last moment: the next start posts it.
                    await self._store.posts.put_off(
                        claimed.id, self._now(), 0.0, note="stopped before the call"
                    )
                    continue
                task = asyncio.create_task(self._post(claimed))
                self._calls.add(task)
                task.add_done_callback(self._done)
        if len(self._calls) >= PARALLEL:
            return None  # the end of one wakes us
        now = self._now()
        due = await self._store.posts.next_due(now, open_ones)
        pauses = [60.0, *([] if due is None else [due - now]), *shut_s]
        return None if due is None and not shut_s else max(0.05, min(pauses))

    def _open(self) -> tuple[dict[str, int], list[float]]:
        """The channels that may post by the steady clock, and how long the others may not."""
        steady, open_ones, shut_s = self._steady(), {}, []
        for channel, pace in self._paces.items():
            ended = self._ended[channel]
            left_s = ended[0] + MINUTE_S - steady if len(ended) == pace else 0.0
            if left_s > 0:
                shut_s.append(left_s)
            else:
                open_ones[channel] = pace
        return open_ones, shut_s

    def _done(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # The row stays `sending` and is listed as unknown after the next start.
            log.error("post_not_settled", error=type(task.exception()).__name__)
        self._something.set()

    def close(self) -> None:
        """Claim no more; `run` ends when the calls under way have, after a second at most."""
        self._closing = True
        self._something.set()

    async def _post(self, claimed: Claimed) -> None:
        try:
            await self._call(claimed)
        except Unheard as error:
            await self._settle(claimed, UNKNOWN, note=str(error))
            log.warning("post_unknown", error=str(error), **_named(claimed))
        except WeChatError as error:
            await self._refused(claimed, error)
        except ValueError as error:
            await self._settle(claimed, REFUSED, note=f"cannot be posted here: {error}")
            log.warning("post_refused", error=str(error), **_named(claimed))
        except Exception as error:
            # A fault of ours: nobody knows whether it left, and the row must not stay open.
            log.error("post_failed", error=type(error).__name__, exc_info=True, **_named(claimed))
            await self._settle(claimed, UNKNOWN, note=type(error).__name__)

    async def _call(self, claimed: Claimed) -> None:
        post = post_from_json(claimed.body)
        group = claimed.place.partition(":")[2]
        message_id = await self._posters[claimed.channel].post(group, post)
        await self._settle(claimed, SENT, message_id=message_id)
        log.info("post_sent", **_named(claimed))

    async def _settle(
        self,
        claimed: Claimed,
        status: str,
        *,
        errcode: int | None = None,
        note: str = "",
        message_id: str = "",
    ) -> None:
        """Write down how it ended."""
        self._ended[claimed.channel].append(self._steady())
        await self._written(
            lambda: self._store.posts.settle(
                claimed.id,
                status,
                self._now(),
                errcode=errcode,
                note=note,
                message_id=message_id,
            )
        )
        self._observe(claimed.channel, status)

    async def _written(self, write: Callable[[], Awaitable[None]]) -> None:
        """However long the store takes: a row without its end blocks the channel."""
        pause = 0.5
        while True:
            try:
                return await write()
            except StoreError as error:
                if self._store.closing:
                    raise
                log.error("posting_store", error=str(error))
                await asyncio.sleep(pause)
                pause = min(30.0, pause * 2)

    async def _refused(self, claimed: Claimed, error: WeChatError) -> None:
        """It was not posted: again later, or never."""
        too_fast = error.action is Action.WAIT_MINUTE or error.errcode in _TOO_FAST
        again = claimed.errcode == error.errcode
        pause: float | None = None
        if too_fast:
            times = min(claimed.tries, 4) if again else 0
            pause = min(LONGEST_CLOSE_S, MINUTE_S * 2**times)
        else:
            patient = not (again and claimed.tries >= _BUSY_TRIES)
            if isinstance(error, Unreachable) or (error.action is Action.RETRY and patient):
                pause = min(60.0, self._backoff_s * 2 ** min(claimed.tries, 6))
        if pause is None:
            log.warning("post_refused", error=str(error), **_named(claimed))
            await self._settle(claimed, REFUSED, errcode=error.errcode, note=str(error))
            return
        pause_s = pause
        log.warning("post_put_off", error=str(error), pause_s=pause_s, **_named(claimed))
        await self._written(
            lambda: self._store.posts.put_off(
                claimed.id,
                self._now(),
                pause_s,
                errcode=error.errcode,
                note=str(error),
                close=too_fast,
            )
        )
        self._observe(claimed.channel, "put_off")


def _named(claimed: Claimed) -> dict[str, object]:
    return {"post": claimed.id, "channel": claimed.channel, "kind": claimed.kind}
