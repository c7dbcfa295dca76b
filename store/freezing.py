"""Writing a campaign's list: whom it goes to, as rows, in slices that any process may go on with.

The list is of one moment (`frozen_at`), in the order of the members' numbers; `frozen_to` says
how far it is. A slice that was written twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from store import campaigns, leases, statements
from store.campaigns import Campaign
from store.db import Database
from store.dialect import Connection
from store.leases import Hold


class Row(NamedTuple):
    """What becomes of a member: a row of `deliveries`. See `scheduler/planner.py`.

    A tuple, for there may be a million.
    """

    member_id: int
    status: str
    route: str = ""
    reason: str = ""
    variant: str = ""
    due_at: float | None = None


# Who was erased since the page was read is not there any more.
_ADD = (
    "insert into deliveries (campaign_id, member_id, status, route, reason, variant, due_at, "
    "settled_at) select v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, "
    "v.column7, v.column8 from (values {rows}) as v "
    "where exists (select 1 from members where id = v.column2) on conflict do nothing"
)


def begin(conn: Connection, campaign_id: int, hold: Hold, now: float) -> Campaign | None:
    """A scheduled campaign's time has come: its list is of this moment. None when it is not
    scheduled any more, or the lease is another's."""
    if not leases.holds(conn, hold, now):
        return None
    if campaigns.set_status(conn, campaign_id, "freezing", now, was=("scheduled",)) is None:
        return None
    conn.execute(
        "update campaigns set frozen_at = ?, frozen_to = 0 where id = ? and frozen_at is null",
        (now, campaign_id),
    )
    return campaigns.get(conn, campaign_id)


def set_hour(conn: Connection, campaign_id: int, hour: int) -> None:
    """The audience's hour, once known, is that of the whole list."""
    conn.execute(
        "update campaigns set best_hour = ? where id = ? and best_hour is null", (hour, campaign_id)
    )


def add(
    conn: Connection, campaign: Campaign, hold: Hold, rows: Sequence[Row], to: int, now: float
) -> bool:
    """Write one slice, all members up to number `to`; False when another went on with it, it is
    not being frozen any more, or the lease is lost. Then nothing is written."""
    if not leases.holds(conn, hold, now):
        return False
    moved = conn.execute(
        "update campaigns set frozen_to = ? where id = ? and status = 'freezing' and frozen_to = ?",
        (to, campaign.id, campaign.frozen_to),
    ).rowcount
    if not moved:
        return False
    statements.run(
        conn,
        _ADD,
        [(campaign.id, *row, now if row.status == "skipped" else None) for row in rows],
    )
    return True


def planned(conn: Connection, campaign_id: int) -> int:
    """How many of the list are to get something. Seconds for millions: not for the writer."""
    return int(
        conn.execute(
            "select count(*) from deliveries where campaign_id = ? "
            "and status not in ('skipped', 'held')",
            (campaign_id,),
        ).fetchone()[0]
    )


def grown(campaign: Campaign, planned: int) -> bool:
    """Whether far more are on the list than were confirmed: a rule finds others by now."""
    return 0 < campaign.approved < (planned - 20) / 1.5


def end(
    conn: Connection, campaign_id: int, hold: Hold, planned: int, now: float
) -> Campaign | None:
    """The list is complete: the campaign runs; it is done when nobody is on it, and asks when
    it has grown, or a segment that it names was changed since it was confirmed. None when it is
    not being frozen any more."""
    if not leases.holds(conn, hold, now):
        return None
    campaign = campaigns.get(conn, campaign_id)
    if campaign is None:
        return None
    to: campaigns.Status = "running"
    note = ""
    if not planned:
        to, note = "done", "nobody"
    elif grown(campaign, planned) or not campaigns.vouched(conn, campaign):
        to, note = "paused", "grown"
    moved = campaigns.set_status(conn, campaign_id, to, now, was=("freezing",), note=note)
    if moved is None:
        return None
    conn.execute("update campaigns set planned = ? where id = ?", (planned, campaign_id))
    return campaigns.get(conn, campaign_id)


def customs(conn: Connection, campaign_id: int) -> dict[float, int]:
    """Customer-service messages on the list so far, by when they are due."""
    rows = conn.execute(
        "select due_at, count(*) from deliveries where campaign_id = ? and route = 'custom' "
        "and status in ('planned', 'waiting') group by due_at",
        (campaign_id,),
    )
    return dict(rows)


class Freezing:
    """Lists in the making."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(self, campaign_id: int, hold: Hold, now: float) -> Campaign | None:
        """`begin` in a transaction of its own."""
        return await self._db.write(lambda conn: begin(conn, campaign_id, hold, now))

    async def add(
        self,
        campaign: Campaign,
        hold: Hold,
        rows: Sequence[Row],
        to: int,
        now: float,
        hour: int | None = None,
    ) -> bool:
        """`add` in a transaction of its own, with the audience's hour when it is news."""

        def run(conn: Connection) -> bool:
            done = add(conn, campaign, hold, rows, to, now)
            if done and hour is not None:
                set_hour(conn, campaign.id, hour)
            return done

        return await self._db.write(run)

    async def end(self, campaign_id: int, hold: Hold, now: float) -> Campaign | None:
        """`end` in a transaction of its own."""
        count = await self._db.read(lambda conn: planned(conn, campaign_id))
        return await self._db.write(lambda conn: end(conn, campaign_id, hold, count, now))
