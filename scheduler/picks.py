"""The weekly letter 为你挑选: a few items for each member who subscribed to it, and why these.

Once in an ISO week each, on its day, outside of quiet hours, within the caps of campaigns and only
where WeChat lets us write. The row is written before the letter goes out; whoever is found planned
after a crash gets the same list under the same key, so nobody reads it twice. A list of a letter
that never arrived is taken back: what nobody saw must not count as shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

from scheduler import pace, weekly
from store import Store
from store.reach import Caps
from store.rec_digests import Status

SHANGHAI = ZoneInfo("Asia/Shanghai")

LATE_S = 86_400.0
"""A letter later than this is not sent any more: the next one comes in six days."""
COUNT = 3
"""Items in a letter."""
_PAGE = 200

P = TypeVar("P", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When and how often. on: "mon" to "sun", or "never"; clock, quiet: Asia/Shanghai.

    topic: what one subscribes to for it.
    """

    topic: str
    on: str = "fri"
    clock: time = time(19, 30)
    quiet: pace.Hours = (time(22, 0), time(8, 0))
    caps: Caps


class Picker(Protocol[P]):
    """Chooses what is in it, and logs it: `bot/recommending.py`."""

    async def __call__(
        self, member_id: int, key: bytes, count: int, now: float
    ) -> tuple[int, Sequence[P]]:
        """(number of the list, items); the same key again gives the same. (0, ()): nothing."""


@dataclass(frozen=True, slots=True)
class Ways(Generic[P]):
    """How a letter comes about. channels: those that may push.

    say: (member, number of the list, items) -> its words, "" for none. send: (16 bytes, member,
    words) -> whether it is on its way. take_back: of a list that nobody saw.
    """

    pick: Picker[P]
    say: Callable[[int, int, Sequence[P]], Awaitable[str]]
    send: Callable[[bytes, int, str], Awaitable[bool]]
    take_back: Callable[[int], Awaitable[object]]
    channels: Collection[str]


def week_of(at: float) -> str:
    """The ISO week of a moment in Shanghai, "2026-W47"."""
    year, week, _ = datetime.fromtimestamp(at, SHANGHAI).isocalendar()
    return f"{year}-W{week:02d}"


def key_of(week: str, member_id: int) -> bytes:
    """Under which a member's letter of a week is chosen and sent."""
    return hashlib.blake2b(f"picks:{week}:{member_id}".encode(), digest_size=16).digest()


def due(rules: Rules, now: float) -> str:
    """The week whose letters go out now; "" while none do."""
    at = weekly.due_at(rules.on, rules.clock, now)
    if at is None:
        return ""
    begin = pace.open_at(at, rules.quiet)
    if not begin <= now < begin + LATE_S or pace.quiet(now, rules.quiet):
        return ""
    return week_of(at)


async def tick(store: Store, rules: Rules, ways: Ways[P], now: Callable[[], float]) -> str:
    """Send the letters that are due; "" when there was nothing to do.

    Every minute; a round of many stops where the quiet hours begin. Errors: StoreError.
    """
    week = due(rules, now())
    if not week:
        return ""
    ended: dict[Status, int] = {}

    async def send(member_id: int, *, again: bool) -> None:
        status = await _letter(store, ways, week, member_id, now(), again=again)
        ended[status] = ended.get(status, 0) + 1

    for list_id in await store.rec_letters.refused(week):
        await ways.take_back(list_id)
    for member_id in await store.rec_digests.open(week):
        await send(member_id, again=True)
    after = 0
    while some := await store.rec_letters.wanting(rules.topic, week, after, _PAGE):
        after = some[-1]
        # Who had enough for today is asked again while the letter is news.
        capped = await store.rec_letters.capped(some, now(), rules.caps)
        for member_id in (one for one in some if one not in capped):
            if due(rules, now()) != week:
                return _told(ended)
            if await store.rec_digests.plan(member_id, week, now()):
                await send(member_id, again=False)
    return _told(ended)


def _told(ended: Mapping[Status, int]) -> str:
    return ", ".join(f"{count} letters {status}" for status, count in sorted(ended.items()))


async def _letter(
    store: Store, ways: Ways[P], week: str, member_id: int, now: float, *, again: bool
) -> Status:
    """One letter, and what became of it. again: it was planned before, and perhaps sent."""
    key = key_of(week, member_id)
    status: Status = "unreachable"
    list_id = 0
    sent = again and await store.rec_letters.sent(key)
    # Asked before a list is made: one that nobody sees must not count as shown.
    if sent or await store.rec_letters.reachable([member_id], ways.channels, now):
        list_id, items = await ways.pick(member_id, key, COUNT, now)
        words = await ways.say(member_id, list_id, items) if items else ""
        if sent:
            status = "sent"
        elif not words:
            status = "empty"
        elif await ways.send(key, member_id, words):
            status = "sent"
    elif again and (begun := await store.recommendations.by_key(key)) is not None:
        # Chosen before the crash, and now they cannot be written to any more.
        list_id = begun.id
    if list_id and status != "sent":
        await ways.take_back(list_id)
        list_id = 0
    await store.rec_digests.settle(member_id, week, status, list_id or None)
    return status
