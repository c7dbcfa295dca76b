"""Tasks of customer groups: asked for once, looked after until an employee has confirmed them.

A row says what is about to happen before each call that does something. A task that may have been
made is never asked for again; asking what became of it is harmless and goes on for three days,
ever less often. A campaign that is cancelled takes its tasks back, as far as nothing was sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

import structlog

from scheduler.customer_groups import CustomerSide
from scheduler.sending import End, Sent
from store import Store
from store.customer_groups import CANCELLED, DONE, REFUSED, UNKNOWN
from store.customer_tasks import ClaimedTask, WaitingTask

log = structlog.get_logger()

SOONEST_S = 300.0
LATEST_S = 3600.0
"""Between two looks at a task lie 5 minutes at first, then half its age, an hour at most."""

GIVE_UP_S = 3 * 86_400.0
"""Nobody waits longer for an employee."""

REMIND_S = 86_400.0
"""After this an employee is reminded, if the campaign wants that."""

MOST_ASKED = 20
MOST_LOOKED = 50
"""Calls of each kind in one round of one channel."""

_REST_S = 60.0
_LONGEST_REST_S = 600.0


def pause_s(age_s: float) -> float:
    """How long after a look at a task of this age the next one is."""
    return min(LATEST_S, max(SOONEST_S, age_s / 2))


class TaskRunner:
    """One round of it at a time.

    sides: by channel. now: Unix seconds. A channel that WeCom turns away rests, ever longer; only
    that is kept in memory.
    """

    def __init__(
        self,
        store: Store,
        sides: Mapping[str, CustomerSide],
        *,
        now: Callable[[], float],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._tasks = store.customer_tasks
        self._sides = sides
        self._now = now
        self._stopping = stopping
        self._rests: dict[str, float] = {}
        self._strikes: Counter[str] = Counter()
        self._lock = asyncio.Lock()

    async def tick(self) -> str:
        """Do what is due; "" when there was nothing. Errors: StoreError."""
        if self._lock.locked() or not await self._tasks.open():
            return ""
        async with self._lock:
            lost = await self._tasks.tidy(self._now())
            done: Counter[str] = Counter()
            if lost:
                log.warning("customer_tasks_unknown", count=lost, say="look into WeCom")
                done["unknown"] += lost
            for channel, side in self._sides.items():
                if self._rests.get(channel, 0.0) <= self._now():
                    await self._channel(channel, side, done)
        return ", ".join(f"{count} tasks {what}" for what, count in sorted(done.items()))

    async def _channel(self, channel: str, side: CustomerSide, done: Counter[str]) -> None:
        for task in await self._tasks.withdrawn(channel, MOST_LOOKED):
            if self._stopping() or not await self._withdraw(side, task, done):
                return
        for _ in range(MOST_ASKED):
            if self._stopping():
                return
            claimed = await self._tasks.claim(channel, self._now(), side.senders)
            if claimed is None:
                break
            if not await self._ask(side, claimed, done):
                return
        for task in await self._tasks.due(channel, self._now(), MOST_LOOKED):
            if self._stopping() or not await self._look(side, task, done):
                return

    # Each says False when the channel is to be left alone for a while.

    async def _ask(self, side: CustomerSide, task: ClaimedTask, done: Counter[str]) -> bool:
        asked = await side.ask(task.sender, task.chat_ids, task.body)
        now = self._now()
        if not isinstance(asked, Sent):
            self._strikes.pop(task.channel, None)
            await self._tasks.asked(task.id, asked.msgid, asked.failed, now, now + SOONEST_S)
            log.info(
                "customer_task_asked",
                task=task.id,
                groups=len(task.chat_ids),
                not_taken=len(asked.failed),
            )
            done["asked for"] += 1
            return True
        log.warning("customer_task_not_asked", task=task.id, end=asked.end.value, why=asked.note)
        if asked.end is End.UNKNOWN:
            await self._tasks.failed(task.id, UNKNOWN, now, note=asked.note)
            done["unknown"] += 1
            return True
        if asked.end is End.REFUSED:
            await self._tasks.failed(task.id, REFUSED, now, errcode=asked.errcode, note=asked.note)
            done["refused"] += 1
            return True
        until = self._rest(task.channel, asked)
        await self._tasks.put_off(task.id, until, errcode=asked.errcode, note=asked.note)
        return False

    async def _look(self, side: CustomerSide, task: WaitingTask, done: Counter[str]) -> bool:
        results = await side.results(task.msgid, task.sender)
        now = self._now()
        age = now - task.left_at
        again_at = now + pause_s(age)
        if isinstance(results, Sent):
            log.warning("customer_task_not_seen", task=task.id, why=results.note)
            await self._tasks.note(task.id, again_at, errcode=results.errcode, note=results.note)
            if results.end is not End.REFUSED:
                self._rest(task.channel, results)
                return False
        elif await self._tasks.looked(task.id, results, now, again_at):
            self._strikes.pop(task.channel, None)
            done["done"] += 1
            return True
        if age >= GIVE_UP_S:
            # An advert of last week helps nobody: it is taken back, if that can still be done.
            return await self._give_up(side, task, DONE, "not confirmed within three days", done)
        if task.remind and age >= REMIND_S and await self._tasks.remind(task.id, now):
            sent = await side.remind(task.msgid)
            log.info("customer_task_reminder", task=task.id, end=sent.end.value, why=sent.note)
            done["reminded of"] += 1
        return True

    async def _withdraw(self, side: CustomerSide, task: WaitingTask, done: Counter[str]) -> bool:
        """Its campaign was cancelled: stop it, then write what was sent before that."""
        return await self._give_up(side, task, CANCELLED, "its campaign was cancelled", done)

    async def _give_up(
        self, side: CustomerSide, task: WaitingTask, status: str, note: str, done: Counter[str]
    ) -> bool:
        stopped = await side.cancel(task.msgid)
        if stopped.end not in (End.ACCEPTED, End.REFUSED):
            # Stopping it twice is stopping it once.
            log.warning("customer_task_not_stopped", task=task.id, why=stopped.note)
            until = self._rest(task.channel, stopped)
            await self._tasks.note(task.id, until, errcode=stopped.errcode, note=stopped.note)
            return False
        results = await side.results(task.msgid, task.sender)
        now = self._now()
        if isinstance(results, Sent):
            if results.end is not End.REFUSED:
                until = self._rest(task.channel, results)
                await self._tasks.note(task.id, until, errcode=results.errcode, note=results.note)
                return False
            results = []
        if not await self._tasks.looked(task.id, results, now, now):
            if stopped.end is End.REFUSED:
                note = f"{note}; WeCom did not stop it: {stopped.note}"
            await self._tasks.give_up(task.id, status, now, note)
        done["done" if status == DONE else "taken back"] += 1
        return True

    def _rest(self, channel: str, sent: Sent) -> float:
        """WeCom turned us away: until when the channel is left alone."""
        strikes = min(self._strikes[channel], 4)
        self._strikes[channel] += 1
        asked_for = max(sent.after_s, sent.pace_s)
        rest = min(_LONGEST_REST_S, max(asked_for, _REST_S * 2**strikes))
        if sent.end is End.STOP:
            rest = _LONGEST_REST_S
        self._rests[channel] = self._now() + rest
        return self._rests[channel]
