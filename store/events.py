"""What members do outside the chat: shown, viewed, clicked, claimed, bought, learnt.

The shop says it over REST, tracked links say it themselves, files bring the past. An event
is stored once however often it is sent, in any order; whose it is may be known long before
or long after (`store/aliases.py`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from store import dialect, hooks, statements
from store.aliases import People, account, forget, merge, settle, split
from store.db import Database, Many
from store.dialect import Connection

__all__ = ["KINDS", "Added", "Event", "Events", "NewEvent", "forget", "merge", "settle"]

KINDS = (
    "exposure",
    "view",
    "click",
    "add_to_cart",
    "claim",
    "purchase",
    "refund",
    "enroll",
    "progress",
    "complete",
)

SOURCES = ("", "campaign", "answer", "recommendation", "referral", "catalogue")
"""What brought somebody here."""

AGAIN = "again"
"""The key in the data of a tracked link's click that may be the same tap as another.

Two taps of a person within a moment are one click, but two people behind one address look
the same. So the second is stored as a view with {"again": REF of the first}: its number
leads to whom it leads, and no report counts it. When one of the two turns out to be
somebody's it is the click; when both do, and not the same person's, both are.
"""

_FEW = 32
"""More events than this at a time take turns, so that a single one is never far back."""


class Added(Enum):
    """What became of an event. UNKNOWN: it names a member number that nobody has."""

    NEW = "new"
    REPEATED = "repeated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened at `at`. event_id: whoever sends it makes it unique.

    Who: member_id, or openid on a channel, unionid, the shop's own name for a browser
    (visitor), the REF of a tracked click; any of them, or nobody. campaign, variant, source
    (one of SOURCES), ref: what it is owed to. data: JSON of whatever else the sender keeps.
    A tracked link's own click has the id "click:REF"; see `AGAIN`.
    """

    event_id: str
    kind: str
    at: float
    member_id: int | None = None
    channel: str = ""
    openid: str = ""
    unionid: str = ""
    visitor: str = ""
    click: str = ""
    item_id: str = ""
    chapter_id: str = ""
    percent: int | None = None
    amount_cents: int = 0
    order_id: str = ""
    campaign: str = ""
    variant: str = ""
    source: str = ""
    ref: str = ""
    link_id: int | None = None
    data: str = ""

    @property
    def names(self) -> list[str]:
        """The names it gives to somebody, those that prove the most first."""
        found = [account(self.channel, self.openid)] if self.openid else []
        if self.unionid:
            found.append(f"unionid:{self.unionid}")
        if self.visitor:
            found.append(f"visitor:{self.visitor}")
        if self.click:
            found.append(f"click:{self.click}")
        return found


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is kept. who: under which name it waits, "" with a member or nobody."""

    id: int
    event_id: str
    kind: str
    at: float
    received_at: float
    member_id: int | None
    who: str
    item_id: str
    chapter_id: str
    percent: int | None
    amount_cents: int
    order_id: str
    campaign: str
    variant: str
    source: str
    ref: str
    link_id: int | None
    data: str


_COLUMNS = (
    "event_id, kind, at, received_at, member_id, who, item_id, chapter_id, percent, "
    "amount_cents, order_id, campaign, variant, source, ref, link_id, data"
)
_INSERT = f"insert into events ({_COLUMNS}) values {{rows}} on conflict (event_id) do nothing"
_TAP = "select kind, member_id, who, data from events where event_id = ?"
_KNOWN = "select event_id, member_id, who, kind from events where event_id in ({rows})"


def _row(event: NewEvent, received_at: float, member_id: int | None, who: str) -> tuple[Any, ...]:
    return (
        event.event_id,
        event.kind,
        event.at,
        received_at,
        member_id,
        who,
        event.item_id,
        event.chapter_id,
        event.percent,
        event.amount_cents,
        event.order_id,
        event.campaign,
        event.variant,
        event.source,
        event.ref,
        event.link_id,
        event.data,
    )


def _add(conn: Connection, calls: Sequence[tuple[Sequence[NewEvent], float]]) -> list[list[Added]]:
    wanted: set[str] = set()
    names: dict[str, None] = {}
    numbers: set[int] = set()
    named: list[list[tuple[NewEvent, list[str]]]] = []
    for events, _ in calls:
        named.append([(event, event.names) for event in events])
        for event, its_names in named[-1]:
            wanted.add(event.event_id)
            names.update(dict.fromkeys(its_names))
            if event.member_id is not None:
                numbers.add(event.member_id)
    clicks = {name for name in names if name.startswith("click:")}
    known = {row[0]: row[1:] for row in statements.ask(conn, _KNOWN, wanted | clicks)}
    people = People(
        conn, list(names), numbers, {name: known[name][:2] for name in clicks if name in known}
    )
    taps = [name for name in clicks if name in known and known[name][2] == "view"]
    seen = set(known)
    told: list[list[Added]] = []
    placed = []
    for (_, now), its_events in zip(calls, named, strict=True):
        told.append([])
        for event, its_names in its_events:
            member_id = event.member_id
            if event.event_id in seen:
                told[-1].append(Added.REPEATED)
                continue
            if member_id is not None and (member_id := people.members.get(member_id)) is None:
                told[-1].append(Added.UNKNOWN)
                continue
            seen.add(event.event_id)
            if event.event_id in names:
                people.is_click(event.event_id)
                if event.kind == "view":
                    taps.append(event.event_id)
            placed.append((event, now, people.place(member_id, its_names)))
            told[-1].append(Added.NEW)
    people.write(calls[0][1])
    rows = [
        (event, now, *split(None if one is None else people.find(one)))
        for event, now, one in placed
    ]
    statements.run(conn, _INSERT, [_row(*row) for row in rows])
    for name in taps:
        if people.find(name) != name:
            _found(conn, name)
    for event, now, member_id, _ in rows:
        if event.link_id is not None and event.kind == "click":
            hooks.queue(
                conn, "link.clicked", event.event_id, _told(event, member_id), event.at, now
            )
    return told


def _found(conn: Connection, event_id: str) -> None:
    """A tap that was not counted is somebody's by now: see `AGAIN`."""
    row = conn.execute(_TAP, (event_id,)).fetchone()
    if row is None or row[0] != "view" or not _again(row[3]):
        return
    other, counted = row, event_id
    passed = {event_id}
    while other is not None and other[0] == "view" and (first := _again(other[3])):
        counted = f"click:{first}"
        if counted in passed:
            break
        passed.add(counted)
        other = conn.execute(_TAP, (counted,)).fetchone()
    if other is not None and other[0] == "click":
        if other[1:3] == row[1:3]:
            return
        if other[2] == counted:
            data = json.dumps({AGAIN: event_id.removeprefix("click:")})
            conn.execute(
                "update events set kind = 'view', data = ? where event_id = ?", (data, counted)
            )
    conn.execute("update events set kind = 'click' where event_id = ?", (event_id,))


def _again(data: str) -> str:
    said = json.loads(data) if data else None
    return str(said.get(AGAIN, "")) if isinstance(said, dict) else ""


def _told(event: NewEvent, member_id: int | None) -> dict[str, Any]:
    """What webhooks get of a click."""
    return {
        "link": event.link_id,
        "member": member_id,
        "campaign": event.campaign,
        "variant": event.variant,
        "source": event.source,
        "ref": event.ref,
        "item": event.item_id,
    }


class Events:
    """The tables `events` and `aliases`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._add = Many(_add)
        self._turn = asyncio.Semaphore(1)

    async def add(self, events: Sequence[NewEvent], now: float) -> list[Added]:
        """Store what is new, in one transaction, durably; what became of each, in order."""
        if len(events) <= _FEW:
            return await self._db.write_many(self._add, (events, now)) if events else []
        # Handed over together, many batches would be one long transaction.
        async with self._turn:
            return await self._db.write_many(self._add, (events, now))

    async def expect_many(self) -> None:
        """A great many events are to come, and this process has nothing else to do."""
        await self._db.write(dialect.expect_much)

    async def unknown_members(self, numbers: Collection[int]) -> set[int]:
        """Those of the numbers that no member has or ever had before a merge."""
        wanted = set(numbers)

        def run(conn: Connection) -> set[int]:
            return wanted - People(conn, (), wanted, {}).members.keys()

        return await self._db.read(run) if wanted else set()

    async def page(self, after: int = 0, kind: str = "", limit: int = 1000) -> list[Event]:
        """Events in the order they came in, after row `after`, of one kind or ("") all."""

        def run(conn: Connection) -> list[Event]:
            rows = conn.execute(
                f"select id, {_COLUMNS} from events where id > ? and (? = '' or kind = ?) "
                "order by id limit ?",
                (after, kind, kind, limit),
            )
            return [Event(*row) for row in rows]

        return await self._db.read(run)
