"""Customer groups in step with WeCom: which there are, who owns them, who is in them.

WeCom says what changed by events, and everything when asked. An event only names the group: what
it does not say itself is read, once for all events of a few seconds. Nothing of it needs to
outlive the process, for the next full round finds what an event would have said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog

from scheduler.sending import End, Sent
from store import Store
from store.customer_members import Move, Person
from store.customer_tasks import Result
from store.groups import place_of

log = structlog.get_logger()

SETTLE_S = 3.0
"""Events of one group within this time are one reading of it."""

SELDOM_S = 86_400.0
"""A group that nobody bound is read again after this, for its name and owner."""

MOST_WAITING = 5000
"""So many groups may wait to be read; more events make a full round due."""

MOST_MOVES = 500
"""So many comings and goings of one group are remembered; then it is read instead."""


class CustomerGroup(NamedTuple):
    """A customer group as WeCom tells it. people: all who are in it."""

    chat_id: str
    name: str
    owner: str
    people: tuple[Person, ...]


class Asked(NamedTuple):
    """WeCom has a task. failed: chat ids that it did not take."""

    msgid: str
    failed: tuple[str, ...]


class GroupChange(NamedTuple):
    """What an event says of a group. moves: who came and went, as far as it says so.

    whole: it says all that changed; otherwise the group is to be read. dismissed: there is no
    such group any more.
    """

    chat_id: str
    moves: tuple[Move, ...] = ()
    whole: bool = False
    dismissed: bool = False


class CustomerSide(Protocol):
    """One company's customer contact; `bot/customers.py` is it.

    One call each, never raises for what WeCom or the network does: a Sent says how it failed.
    """

    @property
    def senders(self) -> Collection[str]:
        """Employees who may be asked to send; none: every owner."""

    async def groups(self) -> list[str] | Sent:
        """Chat ids of all groups."""

    async def group(self, chat_id: str) -> CustomerGroup | Sent | None:
        """One group; None when there is no such group any more."""

    async def ask(self, sender: str, chat_ids: Sequence[str], body: str) -> Asked | Sent:
        """Ask for a task; body: JSON of `store.customer_messages`."""

    async def results(self, msgid: str, sender: str) -> list[Result] | Sent:
        """What became of a task in its groups; [] as long as the employee did nothing."""

    async def remind(self, msgid: str) -> Sent:
        """Remind the employee."""

    async def cancel(self, msgid: str) -> Sent:
        """Take back what was not sent."""


@dataclass(slots=True)
class _Heard:
    """What events said of a group, not yet done. due: when it is."""

    due: float
    moves: dict[str, Move] = field(default_factory=dict)
    read: bool = False
    dismissed: bool = False


class GroupSync:
    """Keeps the groups of every company in step.

    sides: by channel. now: Unix seconds. every_s: how old what is known of a bound group may get.
    """

    def __init__(
        self,
        store: Store,
        sides: Mapping[str, CustomerSide],
        *,
        now: Callable[[], float],
        every_s: float,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._sides = sides
        self._now = now
        self._every_s = every_s
        self._stopping = stopping
        self._heard: dict[tuple[str, str], _Heard] = {}
        self._overdue: set[str] = set()
        self._locks = {channel: asyncio.Lock() for channel in sides}

    # Events

    def hear(self, channel: str, change: GroupChange) -> None:
        """An event came; no await: it is done by the next `tick`."""
        key = (channel, change.chat_id)
        heard = self._heard.get(key)
        if heard is None:
            if len(self._heard) >= MOST_WAITING:
                self._overdue.add(channel)
                return
            heard = self._heard[key] = _Heard(self._now() + SETTLE_S)
        heard.dismissed = change.dismissed
        heard.read |= not (change.whole or change.dismissed)
        for move in change.moves:
            # The last one is how it is, whatever went before.
            heard.moves[move.external_id] = move
        if len(heard.moves) > MOST_MOVES:
            heard.moves.clear()
            heard.read = True

    async def tick(self) -> str:
        """Do what events have said; "" when there was nothing. Errors: StoreError."""
        now = self._now()
        due = [key for key, heard in self._heard.items() if heard.due <= now]
        done = 0
        for key in due:
            if self._stopping():
                break
            heard = self._heard.pop(key)
            if not await self._follow(*key, heard):
                # Not now: with what comes meanwhile, in a minute.
                again = self._heard.setdefault(key, _Heard(now + 60.0))
                again.read = True
                continue
            done += 1
        for channel in list(self._overdue):
            self._overdue.discard(channel)
            await self._round(channel, self._now())
            done += 1
        return f"{done} customer groups changed" if done else ""

    async def _follow(self, channel: str, chat_id: str, heard: _Heard) -> bool:
        """False when WeCom could not be asked."""
        side = self._sides.get(channel)
        if side is None:
            return True
        async with self._locks[channel]:
            if heard.dismissed:
                await self._dissolved(channel, chat_id)
                return True
            group = self._store.groups.known(place_of(channel, chat_id))
            if heard.moves and group is not None and group.bound:
                moves = list(heard.moves.values())
                await self._store.customer_members.move(channel, chat_id, moves)
            if heard.read or group is None:
                return await self._read(side, channel, chat_id) is None
        return True

    # Everything

    async def run(self) -> str:
        """Read what there is; one line of what was done. Errors: StoreError."""
        did = [await self._round(channel, self._now()) for channel in self._sides]
        return ", ".join(one for one in did if one)

    async def _round(self, channel: str, now: float) -> str:
        side = self._sides[channel]
        async with self._locks[channel]:
            listed = await side.groups()
            if isinstance(listed, Sent):
                log.warning("customer_groups_not_read", channel=channel, why=listed.note)
                return f"{channel}: not read"
            await self._list(side, channel, listed, now)
            read = failed = 0
            before = now - self._every_s / 2
            for chat_id in await self._store.customer_members.unread(
                channel, before, now - SELDOM_S
            ):
                if self._stopping():
                    break
                sent = await self._read(side, channel, chat_id)
                if sent is None:
                    read += 1
                    continue
                failed += 1
                if sent.end is not End.REFUSED:
                    # Nobody answers, or nobody may ask: the others would end the same.
                    break
        bad = f", {failed} not" if failed else ""
        return f"{channel}: {len(listed)} groups, {read} read{bad}"

    async def _list(
        self, side: CustomerSide, channel: str, listed: Sequence[str], now: float
    ) -> None:
        """Meet new groups, part from those that are not there any more."""
        there = set(listed)
        for group in self._store.groups.all():
            if group.channel != channel:
                continue
            # One that came after the list was asked for is not in it.
            if group.external_id not in there and group.left_at is None and group.known_at < now:
                await self._dissolved(channel, group.external_id)
            elif group.external_id in there and group.left_at is None:
                there.discard(group.external_id)
        for chat_id in dict.fromkeys(listed):
            if chat_id in there:
                await self._store.groups.meet(channel, chat_id, now)

    async def _read(self, side: CustomerSide, channel: str, chat_id: str) -> Sent | None:
        """Read one group; how that failed, None when it did not."""
        read_at = self._now()
        found = await side.group(chat_id)
        if isinstance(found, Sent):
            log.warning("customer_group_not_read", channel=channel, why=found.note)
            return found
        if found is None:
            await self._dissolved(channel, chat_id)
            return None
        group = await self._store.groups.meet(
            channel, chat_id, read_at, name=found.name, owner=found.owner
        )
        if group.bound:
            # Whoever an operator has not let us into: nothing of its members is kept.
            await self._store.customer_members.keep(channel, chat_id, found.people, read_at)
        else:
            await self._store.customer_members.read(group.place, read_at)
        return None

    async def _dissolved(self, channel: str, chat_id: str) -> None:
        place = place_of(channel, chat_id)
        group = self._store.groups.known(place)
        if group is not None and group.left_at is None:
            now = self._now()
            await self._store.customer_members.dissolve(place, now)
            await self._store.groups.leave(place, now)
            log.info("customer_group_gone", group=group.id)
