"""Customer groups, wired: a client and a door for each company, and the jobs that keep step.

Opened by `bot/group_side.py`. Nothing is heard in these groups; what is posted there waits for an
employee.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import aiohttp

from bot.config import Config
from bot.customer_door import CustomerDoor
from bot.customers import Customers, CustomerWay
from bot.metrics import Metrics
from bot.webhook import Door
from scheduler.clock import Job
from scheduler.customer_groups import GroupSync
from scheduler.customer_tasks import TaskRunner
from store import Store

_EVENTS_S = 5.0
_TASKS_S = 5.0


class CustomerSide:
    """Everything of channels of kind "wecom-customers". now: Unix seconds. stopping: whether
    nothing new is to be begun."""

    def __init__(
        self,
        config: Config,
        store: Store,
        metrics: Metrics,
        session: aiohttp.ClientSession,
        *,
        now: Callable[[], float],
        stopping: Callable[[], bool],
    ) -> None:
        self._every_s = config.groups.customer_sync_minutes * 60.0
        sides = {
            name: CustomerWay(
                Customers(
                    name,
                    settings.corp_id,
                    settings.secret,
                    session=session,
                    tokens=store.tokens,
                    quota=store.quota,
                    files=store.assets,
                    now=now,
                    api_base=settings.api_base,
                    timeout_s=settings.api_timeout_s,
                    observe=functools.partial(metrics.api_call, name),
                    observe_token=functools.partial(metrics.token_refresh, name),
                ),
                settings.senders,
            )
            for name, settings in config.customers.items()
        }
        self._sync = GroupSync(store, sides, now=now, every_s=self._every_s, stopping=stopping)
        self._tasks = TaskRunner(store, sides, now=now, stopping=stopping)
        self.doors: list[Door] = [
            CustomerDoor(
                name,
                settings.corp_id,
                settings.token.reveal(),
                settings.encoding_aes_key.reveal(),
                hear=self._sync.hear,
                freshness_s=config.inbox.freshness_s,
            )
            for name, settings in config.customers.items()
            if settings.token is not None and settings.encoding_aes_key is not None
        ]
        self._some = bool(sides)

    def jobs(self) -> list[Job]:
        """What the clock runs; nothing where there is no such channel."""
        if not self._some:
            return []
        return [
            Job("customer_groups", self._sync.run, every_s=self._every_s),
            Job("customer_events", self._sync.tick, every_s=_EVENTS_S),
            Job("customer_tasks", self._tasks.tick, every_s=_TASKS_S),
        ]

    async def read(self) -> str:
        """Read all groups once. Errors: StoreError."""
        return await self._sync.run() if self._some else ""
