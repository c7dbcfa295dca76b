"""A company with customer groups: real store, client, door and jobs; WeCom is the fake.

The clock moves when a test says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.client import new_session
from bot.customer_door import CustomerDoor
from bot.customers import Customers, CustomerWay
from bot.rules import Secret
from sandbox.fake_customers import FakeCustomers
from sandbox.fake_qyapi import FakeQyapi
from scheduler.customer_groups import GroupSync
from scheduler.customer_tasks import TaskRunner
from store import Store
from store.customer_groups import NewTask
from store.customer_messages import CustomerMessage
from store.dialect import Connection
from store.groups import place_of
from tests import build, build_customers
from tests.blank import blank

CHANNEL = "kehu"
NOON = 1_763_611_200.0
"""2025-11-20 12:00 in Shanghai."""

PNG = b"\x89PNG\r\n\x1a\n" + b"picture"


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    at: float = NOON

    def __call__(self) -> float:
        return self.at


def key(word: str) -> bytes:
    """A key of 16 bytes."""
    return hashlib.blake2b(word.encode(), digest_size=16).digest()


@dataclass
class World:
    """One company. wecom: the other side; stopping: whether the bot is shutting down."""

    store: Store
    host: FakeQyapi
    wecom: FakeCustomers
    client: Customers
    clock: Clock
    senders: Sequence[str] = ()
    calls: list[tuple[str, int]] = field(default_factory=list)
    stopping: bool = False

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """What was only in memory is gone."""
        sides = {CHANNEL: CustomerWay(self.client, self.senders)}
        now, stopping = self.clock, lambda: self.stopping
        self.sync = GroupSync(self.store, sides, now=now, every_s=1800.0, stopping=stopping)
        self.runner = TaskRunner(self.store, sides, now=now, stopping=stopping)
        self.door = CustomerDoor(
            CHANNEL, build_customers.CORP, build.TOKEN, build.AES_KEY, hear=self.sync.hear
        )

    def post(self, plain: bytes) -> None:
        """WeCom posts an event."""
        self.door.take(*build_customers.signed(plain, now=self.clock()), self.clock())

    async def event(self, plain: bytes) -> None:
        """WeCom posts an event, and a few seconds pass."""
        self.post(plain)
        self.clock.at += 5
        await self.sync.tick()

    async def bound(self, *chat_ids: str, owner: str = "zhang") -> None:
        """Groups that the employee has and the operator bound, with two customers each."""
        for chat_id in chat_ids:
            self.wecom.group(chat_id, owner, f"群 {chat_id}")
            self.wecom.join(chat_id, f"wm_{chat_id}_1", "小林")
            self.wecom.join(chat_id, f"wm_{chat_id}_2", "阿木")
        await self.sync.run()
        for chat_id in chat_ids:
            await self.store.groups.bind(place_of(CHANNEL, chat_id), self.clock(), "member:1")
        self.clock.at += 1
        await self.sync.run()

    async def inside(self, chat_id: str) -> dict[str, str]:
        """Who is known to be in a group: external id -> name."""

        def run(conn: Connection) -> dict[str, str]:
            rows = conn.execute(
                "select i.external_id, m.name from group_members as m join identities as i "
                "on i.member_id = m.member_id and i.channel = ? "
                "where m.place = ? and m.left_at is null order by i.external_id",
                (CHANNEL, place_of(CHANNEL, chat_id)),
            )
            return dict(rows.fetchall())

        return await self.store.db.read(run)

    def task(
        self, *chat_ids: str, word: str = "t", sender: str = "zhang", **more: object
    ) -> NewTask:
        """A task with words for these groups, due now."""
        given: dict[str, object] = {
            "key": key(word),
            "channel": CHANNEL,
            "sender": sender,
            "places": tuple(place_of(CHANNEL, one) for one in chat_ids),
            "body": CustomerMessage("今晚八点直播"),
            "due_at": self.clock(),
            **more,
        }
        return NewTask(**given)  # type: ignore[arg-type]

    async def plan(self, *chat_ids: str, **more: object) -> NewTask:
        """Plan such a task."""
        new = self.task(*chat_ids, **more)  # type: ignore[arg-type]
        assert await self.store.customer_tasks.plan(new, self.clock())
        return new

    async def pass_time(self, seconds: float, step: float = 300.0) -> None:
        """Let time pass, with a round of the job every `step` seconds."""
        until = self.clock() + seconds
        while self.clock() < until:
            self.clock.at = min(until, self.clock() + step)
            await self.runner.tick()

    async def statuses(self) -> list[tuple[str, dict[str, int]]]:
        """Each task's status and how many groups have which, oldest first."""
        every = ("planned", "sending", "waiting", "done", "refused", "unknown", "cancelled")
        lines = await self.store.customer_tasks.listed(every, 100)
        return [(line.status, dict(line.groups)) for line in reversed(lines)]

    async def campaign(self, status: str, number: int = 1) -> None:
        """A campaign with this status."""

        def run(conn: Connection) -> None:
            conn.execute(
                "insert into campaigns (id, title, channel, audience, routes, status, window_s, "
                "seed, created_at, created_by) values (?, '上新', 'mp', 'everyone', 'custom', ?, "
                "0, ?, 0, 'cli') on conflict (id) do update set status = excluded.status",
                (number, status, b"0" * 16),
            )

        await self.store.db.write(run)


@asynccontextmanager
async def world(
    path: Path, *, senders: Sequence[str] = (), timeout_s: float = 5.0
) -> AsyncIterator[World]:
    """One company, open for one test."""
    clock = Clock()
    host = FakeQyapi(now=clock)
    wecom = FakeCustomers(host, corp_id=build_customers.CORP)
    base = await host.start()
    store = Store(blank(path), durability="process")
    await store.open()
    session = new_session()
    calls: list[tuple[str, int]] = []
    client = Customers(
        CHANNEL,
        build_customers.CORP,
        Secret(wecom.secret),
        session=session,
        tokens=store.tokens,
        quota=store.quota,
        files=store.assets,
        now=clock,
        api_base=base,
        timeout_s=timeout_s,
        observe=lambda path, errcode: calls.append((path, errcode)),
    )
    try:
        yield World(store, host, wecom, client, clock, senders, calls)
    finally:
        await session.close()
        await store.close()
        await host.close()
