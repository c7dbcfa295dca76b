"""Orders of the shop that have yet to count: points for them, the tiers they bring, refunds.

An order counts once, by the number of its event. Which have not yet is found by comparing
what came in with what was given, not by a mark of how far we were: who is found to be the
buyer months later gets their points then, and a run that was missed is made good by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from store import honours, memberships, points
from store.db import Database
from store.dialect import Connection
from store.honours import BadgeRule

if TYPE_CHECKING:
    from store.members import Members

_SINCE = "points_since"
"""Where `meta` keeps from when on orders count: what was imported of before earns nothing."""

_BY = "clock"

LEAST_CENTS = 100
"""Whole yuan count: an order below one earns nothing."""

_NEVER = 2**62
_NO_ITEM = "|"
"""What no item is called, for a list that may not be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """worth: points for so many fen; ends_at: when points earned now end, None never.

    badges: what members may reach; tiers: of membership, lowest first; grants: item -> the
    tier its purchase gives and for how many seconds.
    """

    worth: Callable[[int], int]
    ends_at: Callable[[float], float | None]
    badges: Sequence[BadgeRule] = ()
    tiers: Sequence[str] = ()
    grants: Mapping[str, tuple[str, float]] = field(default_factory=dict)


# The events and what has counted are compared in their indexes alone; only what is left, such
# as orders of strangers, is looked up in the table.
_FRESH = (
    "with fresh as materialized (select id from events where kind = 'purchase' and at >= ? "
    "and id > ? and id not in (select cast(substr(source_key, 7) as integer) "
    "from point_transfers where source_key >= 'event:' and source_key < 'event;')) "
    "select e.id from fresh join events as e on e.id = fresh.id where e.member_id is not null "
    "and (e.amount_cents >= ? or (e.item_id in ({items}) and not exists (select 1 "
    "from memberships as m where m.source_key = 'event:' || cast(e.id as text)))) "
    "order by e.id limit ?"
)
_SAME = (
    "((p.order_id <> '' and p.order_id = r.order_id) "
    "or (p.item_id <> '' and p.item_id = r.item_id))"
)
_GIVEN_BACK = (
    "p.amount_cents <= (select sum(case when q.amount_cents = 0 then p.amount_cents "
    "else q.amount_cents end) from events as q where q.member_id = r.member_id "
    f"and q.kind = 'refund' and {_SAME.replace('r.', 'q.')})"
)
# Who has refunds that cover what brought a tier, or one that cost no points yet. Whether
# there is something to take back, only all their orders say.
_REFUNDED = (
    "select distinct r.member_id from events as r where r.kind = 'refund' and r.at >= ? "
    "and r.member_id > ? and (exists (select 1 from memberships as m join events as p "
    "on p.id = cast(substr(m.source_key, 7) as integer) where m.member_id = r.member_id "
    "and m.ended_at is null and (m.until is null or m.until > ?) "
    f"and m.source_key >= 'event:' and m.source_key < 'event;' and {_SAME} "
    f"and {_GIVEN_BACK}) "
    "or (not exists (select 1 from point_transfers as t where t.source_key = "
    "'event:' || cast(r.id as text)) and exists (select 1 from events as p "
    "join point_transfers as t on t.source_key = 'event:' || cast(p.id as text) "
    f"where p.member_id = r.member_id and p.kind = 'purchase' and {_SAME}))) "
    "order by r.member_id"
)
_LINES = (
    "select e.id, e.kind, e.at, e.item_id, e.order_id, e.amount_cents, p.amount "
    "from events as e left join point_transfers as t "
    "on t.source_key = 'event:' || cast(e.id as text) left join point_postings as p "
    "on p.transfer_id = t.id and p.account = 'member' "
    "where e.member_id = ? and e.kind in ('purchase', 'refund') and e.at >= ? "
    "order by e.at, e.id"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A purchase or refund of a member. points: what it changed, None while it has not."""

    id: int
    kind: str
    at: float
    item_id: str
    order_id: str
    cents: int
    points: int | None

    @property
    def key(self) -> str:
        """What points and tiers of this event are known by."""
        return f"event:{self.id}"


@dataclass(slots=True)
class Order:
    """What was bought together, and what was given back of it."""

    bought: list[Line] = field(default_factory=list)
    refunds: list[Line] = field(default_factory=list)

    @property
    def cents(self) -> int:
        """What it cost, fen."""
        return sum(line.cents for line in self.bought)

    def refunded(self, of: Iterable[Line]) -> int:
        """How much these refunds give back, fen.

        One without an amount gives back its item, or without an item of the order all of it.
        """
        return min(self.cents, sum(line.cents or self._worth(line.item_id) for line in of))

    def _worth(self, item_id: str) -> int:
        lines = [line.cents for line in self.bought if item_id and line.item_id == item_id]
        return sum(lines) if lines else self.cents

    def costs(self) -> list[tuple[Line, int]]:
        """Refunds that have cost no points yet, and what each costs: the share of what the
        order earned, on top of what the refunds before it cost. Those that cost nothing are
        left out."""
        counted = [line for line in self.refunds if line.points is not None]
        before, found = self._share(counted), []
        for line in self.refunds:
            if line.points is None:
                counted.append(line)
                share = self._share(counted)
                if share > before:
                    found.append((line, share - before))
                before = share
        return found

    def _share(self, refunds: Sequence[Line]) -> int:
        if not refunds:
            return 0
        earned = sum(line.points or 0 for line in self.bought)
        left = self.cents - self.refunded(refunds)
        return earned - (earned * left // self.cents if self.cents else 0)

    def ends(self, brought: Collection[str]) -> list[str]:
        """Keys of what the order brought and that ends because it was given back."""
        return [line.key for line in self._returned() if line.key in brought]

    def _returned(self) -> list[Line]:
        """What was given back: everything, or the lines that the refunds of their item pay
        for, the newest first. Of two equal lines a refund of one leaves the other."""
        if self.refunds and self.refunded(self.refunds) >= self.cents:
            return self.bought
        paid: dict[str, int] = {}
        for refund in self.refunds:
            if refund.item_id:
                worth = refund.cents or self._worth(refund.item_id)
                paid[refund.item_id] = paid.get(refund.item_id, 0) + worth
        found = []
        for line in reversed(self.bought):
            if line.item_id in paid and paid[line.item_id] >= line.cents:
                paid[line.item_id] -= line.cents
                found.append(line)
        return found


def orders_of(lines: Iterable[Line]) -> list[Order]:
    """The orders among purchases and refunds, by time, with the refunds that are theirs.

    A refund belongs to the order it names, else to the newest order of its item before it
    that is not given back yet; one of nothing known is left out. As in `insights/outcomes.py`.
    """
    orders: list[Order] = []
    named: dict[str, Order] = {}
    lines = sorted(lines, key=lambda line: (line.at, line.id))
    for line in lines:
        if line.kind == "purchase":
            order = named.get(line.order_id) if line.order_id else None
            if order is None:
                orders.append(order := Order())
                if line.order_id:
                    named[line.order_id] = order
            order.bought.append(line)
    for line in lines:
        if line.kind == "refund":
            found = named.get(line.order_id) if line.order_id else None
            if found is None and line.item_id:
                found = _newest(orders, line)
            if found is not None:
                found.refunds.append(line)
    return orders


def _newest(orders: Sequence[Order], refund: Line) -> Order | None:
    before = [
        order
        for order in orders
        if any(one.item_id == refund.item_id and one.at <= refund.at for one in order.bought)
    ]
    left = [order for order in before if order.refunded(order.refunds) < order.cents]
    return next(reversed(left or before), None)


class Orders:
    """Reads `events`; writes points, badges and memberships."""

    def __init__(self, db: Database, members: Members) -> None:
        self._db = db
        self._members = members

    async def count_from(self, now: float) -> float:
        """From when on orders count, Unix seconds: since somebody first asked."""

        def run(conn: Connection) -> float:
            conn.execute(
                "insert into meta (name, value) values (?, ?) on conflict (name) do nothing",
                (_SINCE, repr(now)),
            )
            since = _since(conn)
            return now if since is None else since

        known = await self._db.read(_since)
        return await self._db.write(run) if known is None else known

    async def fresh(
        self, since: float, rules: Rules, after: int = 0, limit: int = 500
    ) -> list[int]:
        """Events of members' orders from `since` on that have yet to count, those after `after`.

        [] for none. An item that brings a tier only since its order counted brings none.
        """
        items = sorted(rules.grants) or [_NO_ITEM]
        # Where orders earn no points, none is dear enough.
        least = LEAST_CENTS if rules.worth(LEAST_CENTS) else _NEVER
        sql = _FRESH.format(items=", ".join("?" * len(items)))
        args = (since, after, least, *items, limit)
        return await self._db.read(lambda conn: [row[0] for row in conn.execute(sql, args)])

    async def count(self, event_ids: Sequence[int], rules: Rules, now: float) -> tuple[int, int]:
        """Give what these orders earn and bring; says how many earned points, and a tier."""
        ends_at = rules.ends_at(now)

        def run(conn: Connection) -> tuple[int, int]:
            paid = granted = 0
            buyers: dict[int, None] = {}
            for event_id in event_ids:
                row = conn.execute(
                    "select member_id, amount_cents, item_id from events where id = ?", (event_id,)
                ).fetchone()
                if row is None or row[0] is None:
                    continue  # their buyer was erased in this moment
                member_id, cents, item_id = row
                granted += _grant(conn, member_id, event_id, item_id, rules, now)
                if worth := rules.worth(cents):
                    posted = points.post(
                        conn,
                        member_id,
                        worth,
                        points.Reason.PURCHASE,
                        f"event:{event_id}",
                        now,
                        ends_at=ends_at,
                    )
                    paid += posted.outcome is points.Outcome.POSTED
                buyers[member_id] = None
            for member_id in buyers:
                honours.honour(conn, member_id, rules.badges, now)
            return paid, granted

        return await self._members.change(run, await self._buyers(event_ids))

    async def _buyers(self, event_ids: Sequence[int]) -> list[int]:
        marks = ", ".join("?" * len(event_ids))
        sql = f"select member_id from events where id in ({marks}) and member_id is not null"
        return await self._db.read(lambda conn: [row[0] for row in conn.execute(sql, event_ids)])

    async def refunded(
        self, since: float, now: float, after: int = 0, limit: int = 500
    ) -> list[int]:
        """Members whose refunds have something to take back, those after `after`; [] for none."""

        def run(conn: Connection) -> list[int]:
            found = []
            for (member_id,) in conn.execute(_REFUNDED, (since, after, now)).fetchall():
                brought = _brought(conn, member_id, now)
                if any(
                    order.costs() or order.ends(brought)
                    for order in _orders(conn, member_id, since)
                ):
                    found.append(member_id)
                    if len(found) == limit:
                        break
            return found

        return await self._db.read(run)

    async def take_back(
        self, member_ids: Sequence[int], since: float, tiers: Sequence[str], now: float
    ) -> tuple[int, int]:
        """Take back what refunded orders earned and brought: (orders that cost points, tiers).

        Points that are not there any more are owed.
        """

        def run(conn: Connection) -> tuple[int, int]:
            costly = ended = 0
            for member_id in member_ids:
                brought = _brought(conn, member_id, now)
                for order in _orders(conn, member_id, since):
                    costly += _take_points(conn, member_id, order, now)
                    for key in order.ends(brought):
                        memberships.end(conn, key, now, tiers=tiers)
                        ended += 1
            return costly, ended

        return await self._members.change(run, member_ids)


def _grant(
    conn: Connection, member_id: int, event_id: int, item_id: str, rules: Rules, now: float
) -> bool:
    if item_id not in rules.grants:
        return False
    tier, for_s = rules.grants[item_id]
    given = memberships.give(
        conn,
        member_id,
        tier,
        now,
        source_key=f"event:{event_id}",
        by=_BY,
        tiers=rules.tiers,
        for_s=for_s,
    )
    return given is not None and given.fresh


def _since(conn: Connection) -> float | None:
    row = conn.execute("select value from meta where name = ?", (_SINCE,)).fetchone()
    return None if row is None else float(row[0])


def _orders(conn: Connection, member_id: int, since: float) -> list[Order]:
    return orders_of(Line(*row) for row in conn.execute(_LINES, (member_id, since)).fetchall())


def _brought(conn: Connection, member_id: int, now: float) -> set[str]:
    """The sources of what a member's tiers are made of and that has not ended."""
    rows = conn.execute(
        "select source_key from memberships where member_id = ? and ended_at is null "
        "and (until is null or until > ?)",
        (member_id, now),
    )
    return {row[0] for row in rows}


def _take_points(conn: Connection, member_id: int, order: Order, now: float) -> int:
    costs = order.costs()
    for line, cost in costs:
        points.post(conn, member_id, -cost, points.Reason.REFUND, line.key, now, at_most=True)
    return int(bool(costs))
