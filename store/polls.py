"""Polls of campaigns: which one a member was sent, and how they voted.

A vote is a row of the log: its item names campaign, variant and option. Who votes again changes
the vote; what a member says last is what counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store.db import Database
from store.dialect import Connection

HANDLER = "poll"
"""Who answers votes; rows of the log with it are votes."""

_ARRIVED = ("sending", "accepted", "delivered", "unknown")
_LATEST = 5
"""Campaigns of a member among which the newest poll is looked for."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A poll as one member was sent it.

    at: when. until: votes count until then. Unix seconds.
    """

    campaign_id: int
    variant: str
    options: tuple[str, ...]
    at: float
    until: float


@dataclass(frozen=True, slots=True)
class Votes:
    """A variant that is a poll, and how many members chose each option."""

    variant: str
    options: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def voters(self) -> int:
        """How many members voted."""
        return sum(self.counts)


def item_of(campaign_id: int, variant: str, option: int) -> str:
    """What the log calls a vote: "poll:c12:A:2". option: from 1."""
    return f"poll:c{campaign_id}:{variant}:{option}"


_BALLOTS = (
    "select d.campaign_id, d.variant, v.content, d.claimed_at, c.window_s from deliveries as d "
    "join campaigns as c on c.id = d.campaign_id "
    "join variants as v on v.campaign_id = d.campaign_id and v.name = d.variant "
    f"where d.member_id = ? and d.claimed_at is not null and d.status in {_ARRIVED} "
)


def _ballot(row: tuple[Any, ...]) -> Ballot | None:
    options = _options(row[2])
    return Ballot(row[0], row[1], options, row[3], row[3] + row[4]) if options else None


def _options(content: str) -> tuple[str, ...]:
    """What can be chosen; () for a content that is no poll."""
    found = json.loads(content)
    if found.get("kind") != "poll":
        return ()
    return tuple(str(one).strip() for one in found["options"])


def votes(conn: Connection, campaign_id: int, but: int = 0) -> tuple[Votes, ...]:
    """The polls of a campaign, by variant; of one that repeats, of all its runs together.

    but: a member whose votes are left out. () for a campaign without polls.
    """
    rows = conn.execute(
        "select v.campaign_id, v.name, v.content from variants as v "
        "join campaigns as c on c.id = v.campaign_id where c.id = ? or c.parent_id = ? "
        "order by v.campaign_id, v.name",
        (campaign_id, campaign_id),
    ).fetchall()
    found: dict[tuple[str, tuple[str, ...]], Counter[int]] = {}
    for number, variant, content in rows:
        if options := _options(content):
            counts = found.setdefault((variant, options), Counter())
            counts.update(_counted(conn, number, variant, len(options), but))
    return tuple(
        Votes(variant, options, tuple(counts[number] for number in range(1, len(options) + 1)))
        for (variant, options), counts in sorted(found.items())
    )


def _counted(
    conn: Connection, campaign_id: int, variant: str, options: int, but: int
) -> Mapping[int, int]:
    """Option, from 1 -> members whose last vote it is."""
    items = [item_of(campaign_id, variant, number) for number in range(1, options + 1)]
    holes = ", ".join("?" * options)
    rows = conn.execute(
        "select item, count(*) from interactions where id in ("
        f"select max(id) from interactions where handler = '{HANDLER}' and item in ({holes}) "
        "and member_id <> ? group by member_id) group by item",
        (*items, but),
    )
    return {items.index(item) + 1: count for item, count in rows}


class Polls:
    """Reads polls; votes are written with the answer itself (`store/messages.py`)."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ballot(self, member_id: int, campaign_id: int, variant: str) -> Ballot | None:
        """A poll that this member was sent; None when they were not."""

        def run(conn: Connection) -> Ballot | None:
            row = conn.execute(
                f"{_BALLOTS} and d.campaign_id = ? and d.variant = ? "
                "order by d.claimed_at desc limit 1",
                (member_id, campaign_id, variant),
            ).fetchone()
            return None if row is None else _ballot(row)

        return await self._db.read(run)

    async def newest(self, member_id: int, since: float) -> Ballot | None:
        """The poll this member was sent last, since then; None for none."""

        def run(conn: Connection) -> Ballot | None:
            rows = conn.execute(
                f"{_BALLOTS} and d.claimed_at >= ? order by d.claimed_at desc limit {_LATEST}",
                (member_id, since),
            ).fetchall()
            return next((one for one in map(_ballot, rows) if one is not None), None)

        return await self._db.read(run)

    async def votes(self, campaign_id: int, but: int = 0) -> tuple[Votes, ...]:
        """See `votes`."""
        return await self._db.read(lambda conn: votes(conn, campaign_id, but))
