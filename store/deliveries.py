"""The ledger of what goes out: one row for each member of a campaign, and where it stands.

planned -> sending -> accepted -> delivered | refused | unknown, or skipped. A row that is
`sending` belongs to one call; nothing here ever makes an `unknown` one planned again but the
word of who made that call, or of nobody. Claims are in `store/exchange.py` (one member a call)
and `store/gathering.py` (many), the list is written by `store/freezing.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from store import campaigns, exchange, leases
from store.campaigns import Campaign
from store.db import Database
from store.dialect import Connection
from store.exchange import Ended, Limits, Window
from store.leases import Hold
from store.ledgers import Deed
from store.statements import rows_of

SLICE = 1000
"""Rows of one transaction, so that the chat's writes go in between."""

Place = tuple[float, int]
"""Where a list of what is due goes on: behind this moment and number."""

START: Place = (-1.0, 0)

_OPEN = "status in ('sending', 'unknown', 'waiting')"
"""As the index of these says it: without these very words it is not used."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A delivery of which nobody knows whether it arrived, for an operator to find out."""

    id: int
    campaign_id: int
    title: str
    member_id: int | None
    route: str
    at: float


@dataclass(frozen=True, slots=True)
class Left:
    """What a campaign still has to do. parts: calls that have not ended; next_at: when the next
    planned delivery is due, None when none is planned."""

    waiting: bool
    sending: bool
    parts: bool
    next_at: float | None

    @property
    def nothing(self) -> bool:
        """Whether all of it has gone out or never will."""
        return not (self.waiting or self.sending or self.parts) and self.next_at is None


def due(
    conn: Connection,
    campaign_id: int,
    route: str,
    now: float,
    after: Place,
    limit: int,
    variant: str | None = None,
) -> list[Place]:
    """What is planned for this route and due, as (due_at, id), the longest due first.

    Only a proposal: who claims asks again. variant: only of this one.
    """
    return conn.execute(
        "select due_at, id from deliveries where campaign_id = ? and status = 'planned' "
        "and due_at <= ? and (due_at > ? or (due_at = ? and id > ?)) and route = ? "
        "and (? or variant = ?) order by due_at, id limit ?",
        (
            campaign_id,
            now,
            after[0],
            after[0],
            after[1],
            route,
            variant is None,
            variant or "",
            limit,
        ),
    ).fetchall()


def lanes(conn: Connection, campaign_id: int, now: float) -> list[tuple[str, str]]:
    """The routes and variants that have something due, found step by step; [] for none."""
    found: list[tuple[str, str]] = []
    while True:
        known = "".join(" and not (route = ? and variant = ?)" for _ in found)
        row = conn.execute(
            "select route, variant from deliveries where campaign_id = ? "
            f"and status = 'planned' and due_at <= ?{known} order by due_at, id limit 1",
            (campaign_id, now, *(word for lane in found for word in lane)),
        ).fetchone()
        if row is None:
            return found
        found.append((row[0], row[1]))


def left(conn: Connection, campaign_id: int) -> Left:
    """What is still to be done."""
    open_ones = {
        status
        for status in ("sending", "waiting")
        if conn.execute(
            f"select 1 from deliveries where {_OPEN} and status = ? and campaign_id = ? limit 1",
            (status, campaign_id),
        ).fetchone()
    }
    parts = conn.execute(
        "select 1 from parts where settled_at is null and campaign_id = ? "
        "and status in ('gathering', 'sending', 'cancelled') limit 1",
        (campaign_id,),
    ).fetchone()
    next_at = conn.execute(
        "select min(due_at) from deliveries where campaign_id = ? and status = 'planned'",
        (campaign_id,),
    ).fetchone()[0]
    return Left("waiting" in open_ones, "sending" in open_ones, parts is not None, next_at)


def finish(conn: Connection, campaign_id: int, hold: Hold, now: float) -> Campaign | None:
    """Call a campaign done if nothing of it is left; None when it is not, or goes on for ever."""
    if not leases.holds(conn, hold, now) or not left(conn, campaign_id).nothing:
        return None
    campaign = campaigns.get(conn, campaign_id)
    if campaign is None or campaign.kind == "step":
        return None
    return campaigns.set_status(conn, campaign_id, "done", now, was=("running",))


def recover(conn: Connection, hold: Hold, now: float) -> int:
    """A runner begins, with no call of its own under way: what is `sending` to one member each
    was another's, or this one's before it was killed. Nobody knows how it ended."""
    if not leases.holds(conn, hold, now):
        return 0
    return conn.execute(
        "update deliveries set status = 'unknown', settled_at = ?, "
        "reason = 'the process ended during the call' "
        f"where {_OPEN} and status = 'sending' and part_id is null",
        (now,),
    ).rowcount


def cancel(conn: Connection, campaign_id: int, now: float, limit: int = SLICE) -> int:
    """Skip what is planned or waiting of a campaign that was cancelled; says how many, up to
    `limit`. Call it until it gives 0."""
    return conn.execute(
        "update deliveries set status = 'skipped', reason = 'cancelled', due_at = null, "
        "settled_at = ? where id in (select id from deliveries where campaign_id = ? "
        "and status = 'planned' limit ?)",
        (now, campaign_id, limit),
    ).rowcount or (
        conn.execute(
            "update deliveries set status = 'skipped', reason = 'cancelled', due_at = null, "
            f"settled_at = ? where id in (select id from deliveries where {_OPEN} "
            "and status = 'waiting' and campaign_id = ? limit ?)",
            (now, campaign_id, limit),
        ).rowcount
    )


def cancelled_with_rows(conn: Connection) -> list[int]:
    """Cancelled campaigns that still have planned or waiting deliveries; [] for none."""
    rows = conn.execute(
        "select c.id from campaigns as c where c.status = 'cancelled' and (exists "
        "(select 1 from deliveries as d where d.campaign_id = c.id and d.status = 'planned') or "
        f"exists (select 1 from deliveries where {_OPEN} and status = 'waiting' "
        "and campaign_id = c.id))"
    )
    return [row[0] for row in rows]


def decide(conn: Connection, campaign_id: int, variant: str, now: float) -> bool:
    """The early test has a winner: the rest gets it. False when it was decided before, or there
    is no such variant. The rows follow in slices (`follow`)."""
    done = conn.execute(
        "update campaigns set winner = ?, decided_at = ? where id = ? and winner = '' "
        "and exists (select 1 from variants where campaign_id = ? and name = ?)",
        (variant, now, campaign_id, campaign_id, variant),
    )
    return done.rowcount > 0


def follow(conn: Connection, campaign_id: int, hold: Hold, now: float, limit: int = SLICE) -> int:
    """Plan some of those that waited for the winner; says how many, 0 when all are or none is
    known."""
    if not leases.holds(conn, hold, now):
        return 0
    return conn.execute(
        "update deliveries set status = 'planned', "
        "variant = (select winner from campaigns where id = ?), "
        "due_at = case when due_at is null or due_at < ? then ? else due_at end "
        "where id in (select d.id from deliveries as d join campaigns as c "
        "on c.id = d.campaign_id "
        "where d.status in ('sending', 'unknown', 'waiting') and d.status = 'waiting' "
        "and d.campaign_id = ? and c.winner <> '' limit ?)",
        (campaign_id, now, now, campaign_id, limit),
    ).rowcount


def list_unknown(conn: Connection, campaign_id: int | None, limit: int) -> list[Unknown]:
    """Deliveries whose end nobody knows, newest first. campaign_id: None for all campaigns."""
    rows = conn.execute(
        "select d.id, d.campaign_id, c.title, d.member_id, d.route, d.claimed_at "
        "from deliveries as d join campaigns as c on c.id = d.campaign_id "
        "where d.status in ('sending', 'unknown', 'waiting') and d.status = 'unknown' "
        "and (? or d.campaign_id = ?) order by d.id desc limit ?",
        (campaign_id is None, campaign_id or 0, limit),
    )
    return [Unknown(*row) for row in rows]


def settle_unknown(
    conn: Connection, delivery_id: int, arrived: bool, now: float, deed: Deed | None
) -> bool:
    """An operator found out; False when it is not unknown. What did not arrive is not sent again
    by itself either."""
    done = conn.execute(
        "update deliveries set status = ?, reason = ?, settled_at = ? "
        "where id = ? and status = 'unknown'",
        (*(("accepted", "") if arrived else ("refused", "not_arrived")), now, delivery_id),
    ).rowcount
    if done and deed is not None:
        deed.write(conn, f"delivery:{delivery_id}", "arrived" if arrived else "not arrived")
    return done > 0


def noticed(conn: Connection, channel: str, wechat_id: str, arrived: bool, reason: str) -> bool:
    """WeChat's last word on a notice, by its number; False when it is none of ours."""
    if not wechat_id:
        return False
    done = conn.execute(
        # The condition on '' is what lets the index of numbers be used.
        "update deliveries set status = ?, reason = ? where wechat_id = ? and wechat_id <> '' "
        "and status = 'accepted' and campaign_id in (select id from campaigns where channel = ?)",
        ("delivered" if arrived else "refused", "" if arrived else reason, wechat_id, channel),
    )
    return done.rowcount > 0


class Deliveries:
    """The table `deliveries`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def exchange(
        self,
        campaign: Campaign,
        hold: Hold,
        route: str,
        ended: Sequence[Ended],
        ids: Sequence[int],
        limits: Limits,
        now: float,
        *,
        open_at: float = 0.0,
        pause: str = "",
        failures: int | None = None,
    ) -> Window:
        """`store.exchange.exchange` in a transaction of its own. Errors: StoreError."""
        return await self._db.write(
            lambda conn: exchange.exchange(
                conn,
                campaign,
                hold,
                route,
                ended,
                ids,
                limits,
                now,
                open_at=open_at,
                pause=pause,
                failures=failures,
            )
        )

    async def due(
        self,
        campaign_id: int,
        route: str,
        now: float,
        after: Place = START,
        limit: int = 2000,
        variant: str | None = None,
    ) -> list[Place]:
        """`due`, read."""
        return await self._db.read(
            lambda conn: due(conn, campaign_id, route, now, after, limit, variant)
        )

    async def lanes(self, campaign_id: int, now: float) -> list[tuple[str, str]]:
        """`lanes`, read."""
        return await self._db.read(lambda conn: lanes(conn, campaign_id, now))

    async def left(self, campaign_id: int) -> Left:
        """`left`, read."""
        return await self._db.read(lambda conn: left(conn, campaign_id))

    async def finish(self, campaign_id: int, hold: Hold, now: float) -> Campaign | None:
        """`finish` in a transaction of its own."""
        return await self._db.write(lambda conn: finish(conn, campaign_id, hold, now))

    async def recover(self, hold: Hold, now: float) -> int:
        """`recover` in a transaction of its own."""
        return await self._db.write(lambda conn: recover(conn, hold, now))

    async def cancel(self, campaign_id: int, now: float) -> int:
        """`cancel` to its end; says how many."""
        count = 0
        while done := await self._db.write(lambda conn: cancel(conn, campaign_id, now)):
            count += done
        return count

    async def cancelled_with_rows(self) -> list[int]:
        """`cancelled_with_rows`, read."""
        return await self._db.read(cancelled_with_rows)

    async def decide(self, campaign_id: int, variant: str, now: float) -> bool:
        """`decide` in a transaction of its own."""
        return await self._db.write(lambda conn: decide(conn, campaign_id, variant, now))

    async def follow(self, campaign_id: int, hold: Hold, now: float) -> int:
        """`follow` in a transaction of its own."""
        return await self._db.write(lambda conn: follow(conn, campaign_id, hold, now))

    async def unknown(self, campaign_id: int | None = None, limit: int = 20) -> list[Unknown]:
        """`list_unknown`, read."""
        return await self._db.read(lambda conn: list_unknown(conn, campaign_id, limit))

    async def settle_unknown(
        self, delivery_id: int, arrived: bool, now: float, deed: Deed | None = None
    ) -> bool:
        """`settle_unknown` in a transaction of its own."""
        return await self._db.write(
            lambda conn: settle_unknown(conn, delivery_id, arrived, now, deed)
        )

    async def noticed(self, channel: str, wechat_id: str, arrived: bool, reason: str) -> bool:
        """`noticed` in a transaction of its own."""
        return await self._db.write(lambda conn: noticed(conn, channel, wechat_id, arrived, reason))

    async def counts(self, campaign_id: int) -> dict[str, int]:
        """Rows of a campaign by status."""

        def run(conn: Connection) -> dict[str, int]:
            return dict(
                conn.execute(
                    "select status, count(*) from deliveries where campaign_id = ? group by status",
                    (campaign_id,),
                )
            )

        return await self._db.read(run)


# What `store/personal.py` asks of every room

_OF_MEMBER = "campaign_id in (select id from campaigns) and member_id = ?"
"""Campaign by campaign, through the unique key: there is no index of members alone."""


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What they were sent or would have been, and what stood in its way."""
    deliveries = (
        "select d.campaign_id, c.title, d.variant, d.route, d.status, d.reason, d.claimed_at, "
        "d.settled_at from deliveries as d join campaigns as c on c.id = d.campaign_id "
        "where d.campaign_id in (select id from campaigns) and d.member_id = ? order by d.id"
    )
    return {"deliveries": rows_of(conn, deliveries, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """What was sent goes on counting, as nobody's; what was not sent never is."""
    conn.execute(
        "update deliveries set status = 'skipped', reason = 'erased', due_at = null, "
        f"settled_at = ? where {_OF_MEMBER} and status in ('planned', 'waiting')",
        (now, member_id),
    )
    freed = conn.execute(
        f"update deliveries set member_id = null, occasion = '', wechat_id = '' where {_OF_MEMBER}",
        (member_id,),
    )
    return {"deliveries": freed.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Theirs are the other's. Of two for the same campaign and occasion the one that went
    further counts for them, the other is nobody's and, if it was planned, does not go out."""
    both = conn.execute(
        "select a.id, a.status, b.id, b.status from deliveries as a join deliveries as b "
        "on b.campaign_id = a.campaign_id and b.occasion = a.occasion "
        "where a.campaign_id in (select id from campaigns) "
        "and a.member_id = ? and b.member_id = ?",
        (keep, drop),
    ).fetchall()
    for kept, kept_status, dropped, dropped_status in both:
        loser = dropped if _FAR[kept_status] >= _FAR[dropped_status] else kept
        conn.execute(
            "update deliveries set status = case when status in ('planned', 'waiting') "
            "then 'skipped' else status end, reason = case when status in ('planned', 'waiting') "
            "then 'merged' else reason end, member_id = null where id = ?",
            (loser,),
        )
    conn.execute(f"update deliveries set member_id = ? where {_OF_MEMBER}", (keep, drop))


_FAR = {
    "skipped": 0,
    "held": 1,
    "waiting": 2,
    "planned": 3,
    "refused": 4,
    "sending": 5,
    "unknown": 6,
    "accepted": 7,
    "delivered": 8,
}
