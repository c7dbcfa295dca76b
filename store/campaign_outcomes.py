"""Reads what became of a campaign and what its members did afterwards.

Everybody's time is equally long: the window begins when a member's message was claimed, and for
who got none when it was due or the campaign began. What was done is counted whether or not the
campaign is named by it, because who was held out names none; only clicks are the campaign's own.
Read on a reader's thread, one figure at a time; sums are made by the database, so a million
deliveries need no more memory than a hundred.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from store import campaigns, claims, group_campaigns, polls
from store.campaign_report import Arm, GroupOutcome, MassCounts, Report, of_many
from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

_FAR_S = 1e12
"""Later than anything."""

# Left out while the list was written: who could not have got it is in no arm. Who waited for a
# winner when the campaign was cancelled has no variant either, but was to get it.
_LEFT_OUT = "d.status = 'skipped' and d.variant = '' and d.reason <> 'cancelled'"
_ARM = (
    "d.variant, case when d.status = 'held' then 1 else 0 end as held, "
    "case when d.status = 'waiting' or (d.status = 'skipped' and d.variant = '') then 1 "
    "when d.variant <> '' and d.variant = :winner "
    "and coalesce(d.claimed_at, d.due_at, d.settled_at, 0) >= :decided then 1 "
    "else 0 end as rest"
)
_T0 = (
    "coalesce(d.claimed_at, d.due_at, "
    "case when :step = 1 then d.settled_at end, cast(:began as real))"
)
_BY_STATUS = (
    f"select {_ARM}, d.status, d.reason, count(*) from deliveries as d "
    f"where d.campaign_id = :id and not ({_LEFT_OUT}) group by 1, 2, 3, 4, 5"
)
_SPAN = (
    f"select min({_T0}), max({_T0}) from deliveries as d "
    f"where d.campaign_id = :id and not ({_LEFT_OUT})"
)
# Of the test only: the hold-out and who waits for its end say nothing about when it was sent.
_TEST_SPAN = (
    "select count(*), max(d.claimed_at), "
    "sum(case when d.status in ('planned', 'sending') then 1 else 0 end) from deliveries as d "
    "where d.campaign_id = :id and d.variant <> '' and d.status <> 'skipped'"
)
# What was done is read by its own time, once, and then looked for among the deliveries: most
# members did nothing.
_WITHIN = f"did.at >= {_T0} and did.at < {_T0} + :window"
_DID = (
    "with did(member_id, at) as materialized ({did}) "
    f"select {_ARM}, count(distinct d.id) from did join deliveries as d "
    "on d.campaign_id = :id and d.member_id = did.member_id "
    f"where {_WITHIN} and not ({_LEFT_OUT}) group by 1, 2, 3"
)
_PERIOD = "at >= :since and at < :until"
_EVENTS = f"select member_id, at from events where member_id is not null and {_PERIOD} and kind = "
_ACTIONS = {
    "clicks": f"{_EVENTS} 'click' and campaign = :label and campaign <> ''",
    # Each coupon that is given out writes an event of its own, whoever gave it: counted by source.
    "claims": f"{_EVENTS} 'claim' and event_id not like 'coupon:%' "
    "union all select member_id, claimed_at from coupons "
    "where member_id is not null and source in ('claim', 'exchange') "
    "and claimed_at >= :since and claimed_at < :until",
    "replies": "select member_id, at from interactions where id >= :first "
    f"and channel = :channel and kind not like 'event:%' and {_PERIOD}",
    "optouts": "select member_id, since from optouts where topic in ('', :topic) "
    "and since >= :since and since < :until",
    "leaves": "select member_id, unfollowed_at from identities where channel = :channel "
    "and unfollowed_at >= :since and unfollowed_at < :until",
}
"""Figure -> who did it, and when."""

_ACTION_OF = {"click": "clicks", "claim": "claims", "reply": "replies"}

# A refund may come long after the window; it is taken off the orders that counted.
_MONEY = (
    "with did(member_id, at, kind, order_id, item_id, cents) as materialized ("
    "select member_id, at, kind, order_id, item_id, amount_cents from events "
    f"where kind = 'purchase' and member_id is not null and {_PERIOD} "
    "union all select member_id, at, kind, order_id, item_id, amount_cents from events "
    "where kind = 'refund' and member_id is not null and at >= :since and at <= :now) "
    f"select d.id, {_ARM}, did.kind, did.order_id, did.item_id, did.cents from did "
    "join deliveries as d on d.campaign_id = :id and d.member_id = did.member_id "
    f"where did.at >= {_T0} and (did.kind = 'refund' or did.at < {_T0} + :window) "
    f"and not ({_LEFT_OUT}) order by d.id, did.at, did.kind"
)
_COUPONS = (
    f"select {_ARM}, d.member_id, d.occasion, c.claim_key, c.discount_cents "
    "from coupons as c join deliveries as d on d.campaign_id = :id and d.member_id = c.member_id "
    f"where c.source = 'campaign' and c.status = 'redeemed' and not ({_LEFT_OUT})"
)
_MASS = (
    "select count(*), count(p.total_count), coalesce(sum(p.total_count), 0), "
    "coalesce(sum(p.total_count - p.filter_count), 0), coalesce(sum(p.sent_count), 0), "
    "coalesce(sum(p.error_count), 0) from parts as p where p.campaign_id = ? "
    "and p.status in ('accepted', 'delivered', 'unknown')"
)
_CAMPAIGN = (
    "id, kind, title, channel, topic, status, metric, window_s, holdout, test_share, winner, "
    "decided_at, note, created_at, started_at, frozen_at, ended_at, places"
)
_DELIVERY = (
    "d.id, d.member_id, d.occasion, d.variant, d.route, d.status, d.reason, d.errcode, "
    "d.tries, d.due_at, d.claimed_at, d.settled_at, p.number as part"
)
DELIVERY_COLUMNS = (
    "id",
    "member",
    "occasion",
    "variant",
    "route",
    "status",
    "reason",
    "errcode",
    "tries",
    "due_at",
    "claimed_at",
    "settled_at",
    "part",
)
"""What a row of `CampaignReports.deliveries` holds; members by number, null once erased."""

_Key = tuple[str, int, int]
"""variant, held, rest."""
_Step = Callable[[Mapping[str, Any], Connection], dict[_Key, Counter[str]]]


@dataclass(slots=True)
class _Order:
    gross: int = 0
    refunded: int = 0
    items: set[str] = field(default_factory=set)

    @property
    def net(self) -> int:
        return max(0, self.gross - self.refunded)

    @property
    def given_back(self) -> bool:
        return self.gross > 0 and self.net == 0


class _Purse:
    """What one member's orders in their window come to; rows come by time."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._by_id: dict[str, _Order] = {}

    def add(self, kind: str, order_id: str, item_id: str, cents: int) -> None:
        if kind == "purchase":
            order = self._by_id.get(order_id) if order_id else None
            if order is None:
                order = _Order()
                self._orders.append(order)
                self._by_id[order_id] = order
            order.gross += cents
            order.items.add(item_id)
            return
        found = self._by_id.get(order_id) if order_id else self._newest(item_id)
        if found is not None:
            # A refund of no amount gives everything back, as in `store/orders.py`.
            found.refunded += cents or found.net

    def _newest(self, item_id: str) -> _Order | None:
        its = (o for o in reversed(self._orders) if item_id in o.items and not o.given_back)
        return next(its, None) if item_id else None

    def sums(self) -> tuple[int, int]:
        """Orders that were kept, and what they brought, in fen."""
        kept = [order.net for order in self._orders if not order.given_back]
        return len(kept), sum(kept)


def _money(args: Mapping[str, Any], conn: Connection) -> dict[_Key, Counter[str]]:
    """Buyers, orders and revenue by arm."""
    found: dict[_Key, Counter[str]] = {}
    last: int | None = None
    key: _Key = ("", 0, 0)
    purse = _Purse()

    def close() -> None:
        orders, cents = purse.sums()
        if orders:
            sums = found.setdefault(key, Counter())
            sums["buyers"] += 1
            sums["orders"] += orders
            sums["revenue_cents"] += cents
            sums["revenue_squares"] += cents * cents

    for number, variant, held, rest, *what in conn.execute(_MONEY, args):
        if number != last:
            close()
            purse = _Purse()
            last, key = number, (variant, held, rest)
        purse.add(*what)
    close()
    return found


def _discounts(args: Mapping[str, Any], conn: Connection) -> dict[_Key, Counter[str]]:
    """What the coupons that this campaign gave took off, by arm."""
    found: dict[_Key, Counter[str]] = {}
    for variant, held, rest, member, occasion, key, cents in conn.execute(_COUPONS, args):
        # Which campaign gave a coupon is only in the key that it was claimed by.
        if key == claims.gift_key(f"campaign:{args['id']}:{member}:{occasion}"):
            found.setdefault((variant, held, rest), Counter())["discount_cents"] += cents
    return found


def _did(action: str, args: Mapping[str, Any], conn: Connection) -> dict[_Key, Counter[str]]:
    """Who did something, by arm."""
    if action == "replies":
        args = {**args, "first": _first_since(conn, args["since"])}
    rows = conn.execute(_DID.replace("{did}", _ACTIONS[action]), args)
    return {row[:3]: Counter({action: row[3]}) for row in rows}


_SLACK_S = 3600.0
"""Rows of the log stand in the order of their answers, but for a clock that was set."""


def _first_since(conn: Connection, since: float) -> int:
    """The number of a row of the log before which all are older; it has no index by time."""
    last = conn.execute("select coalesce(max(id), 0) from interactions").fetchone()[0]

    def at(number: int) -> float:
        row = conn.execute(
            "select at from interactions where id >= ? order by id limit 1", (number,)
        ).fetchone()
        return _FAR_S if row is None else float(row[0])

    return bisect_left(range(last + 1), since - _SLACK_S, key=at)


def _statuses(conn: Connection, args: Mapping[str, Any]) -> dict[_Key, dict[str, Any]]:
    """What became of the deliveries, by arm."""
    found: dict[_Key, dict[str, Any]] = {}
    for variant, held, rest, status, reason, count in conn.execute(_BY_STATUS, args):
        sums = found.setdefault((variant, held, rest), {"refused": {}, "skipped": {}})

        def add(name: str, count: int = count, sums: dict[str, Any] = sums) -> None:
            sums[name] = sums.get(name, 0) + count

        add("assigned")
        if status in ("planned", "waiting", "sending"):
            add("open")
        elif status in ("refused", "skipped"):
            sums[status][reason] = count
        elif status == "unknown":
            add("unknown")
        elif status in ("accepted", "delivered"):
            add("accepted")
            if status == "delivered":
                add("delivered")
    return found


def _arms(sums: Mapping[_Key, Mapping[str, Any]], weights: Mapping[str, int]) -> tuple[Arm, ...]:
    """The arms in their order; a variant nobody was assigned to is there with zeros."""
    keys: set[_Key] = {(name, 0, 0) for name in weights} | set(sums)
    return tuple(
        Arm(
            variant=name,
            held=bool(held),
            rest=bool(rest),
            weight=0 if held else weights.get(name, 0),
            **sums.get((name, held, rest), {}),
        )
        for name, held, rest in sorted(keys, key=lambda key: (key[1], key[2], key[0]))
    )


class CampaignReports:
    """Reads campaigns, deliveries and what members did; one report at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # There are few readers, and the chat needs one.
        self._turn = asyncio.Semaphore(1)

    async def read(self, campaign_id: int, now: float) -> Report | None:
        """A campaign's report; None for none. One that repeats: all its runs together."""
        found = await self._one(campaign_id, now)
        if found is None or found.kind != "cron":
            return found
        return of_many(found, await self._of("parent_id", campaign_id, now))

    async def steps(self, journey_id: int, now: float) -> list[Report]:
        """A journey's steps, each with its report, in the order they were made."""
        return await self._of("journey_id", journey_id, now)

    async def _of(self, column: str, number: int, now: float) -> list[Report]:
        def run(conn: Connection) -> list[int]:
            sql = f"select id from campaigns where {column} = ? order by id"
            return [row[0] for row in conn.execute(sql, (number,))]

        found = [await self._one(one, now) for one in await self._db.read(run)]
        return [report for report in found if report is not None]

    async def test(self, campaign_id: int, now: float, *, over: bool = False) -> tuple[Arm, ...]:
        """The variants of an early test for a decision now; () while it is not all sent.

        over: its time is up, so take it as far as it was sent. Everybody's window is as long as
        the shortest: what was sent first must not win for having had more time. Only `assigned`
        and the metric's figure are filled in.
        """

        def run(conn: Connection) -> tuple[Arm, ...]:
            found = rows_of(conn, f"select {_CAMPAIGN} from campaigns where id = ?", campaign_id)
            if not found:
                return ()
            row = found[0]
            # Up to the decision everybody with a variant is in the test.
            args = _args({**row, "decided_at": None}, now)
            count, newest, still_open = conn.execute(_TEST_SPAN, args).fetchone()
            if not count or newest is None or newest >= now or (still_open and not over):
                return ()
            args |= _span(conn, args, min(row["window_s"], now - newest), now)
            sums: dict[_Key, dict[str, Any]] = {
                key: {"assigned": one["assigned"]} for key, one in _statuses(conn, args).items()
            }
            metric = row["metric"]
            hits = _money(args, conn) if metric == "purchase" else {}
            if metric in _ACTION_OF:
                hits = _did(_ACTION_OF[metric], args, conn)
            for key, more in hits.items():
                sums[key] |= more
            arms = _arms(sums, _weights(conn, campaign_id))
            return tuple(arm for arm in arms if not arm.held and not arm.rest)

        async with self._turn:
            return await self._db.read(run)

    async def _one(self, campaign_id: int, now: float) -> Report | None:
        async with self._turn:
            begun = await self._db.read(lambda conn: _begin(conn, campaign_id, now))
            if begun is None:
                return None
            row, args, sums, weights, left_out, mass, closes_at = begun
            groups: tuple[GroupOutcome, ...] = ()
            clicks: Mapping[str, int] = {}
            if row["places"]:
                groups, clicks, closes_at = await self._db.read(partial(_groups, campaign_id))
            # One figure at a time: each may take a second, and the chat reads between them.
            steps: list[_Step] = [
                _money,
                _discounts,
                *(partial(_did, action) for action in _ACTIONS),
            ]
            if not sums or args["began"] is None:
                steps = []
            for step in steps:
                _add(sums, await self._db.read(partial(step, args)))
        return Report(
            campaign_id=row["id"],
            **{name: row[name] for name in _SAME},
            at=now,
            closes_at=closes_at,
            arms=_arms(sums, weights) if sums else (),
            left_out=left_out,
            mass=mass,
            votes=await self._db.read(lambda conn: polls.votes(conn, campaign_id)),
            groups=groups,
            clicks=clicks,
        )

    async def deliveries(
        self, campaign_id: int, after: int = 0, limit: int = 1000
    ) -> list[tuple[Any, ...]]:
        """A page of a campaign's deliveries after number `after`, as DELIVERY_COLUMNS say."""

        def run(conn: Connection) -> list[tuple[Any, ...]]:
            return conn.execute(
                f"select {_DELIVERY} from deliveries as d left join parts as p "
                "on p.id = d.part_id where d.campaign_id = ? and d.id > ? order by d.id limit ?",
                (campaign_id, after, limit),
            ).fetchall()

        return await self._db.read(run)


_SAME = (
    "kind",
    "title",
    "channel",
    "status",
    "metric",
    "window_s",
    "holdout",
    "test_share",
    "winner",
    "note",
    "created_at",
    "started_at",
    "ended_at",
)


def _args(row: Mapping[str, Any], now: float) -> dict[str, Any]:
    """What the statements need to know of a campaign."""
    decided = row["decided_at"]
    return {
        "id": row["id"],
        "label": f"c{row['id']}",
        "channel": row["channel"],
        "topic": row["topic"],
        "winner": row["winner"],
        "decided": _FAR_S if decided is None else decided,
        "step": 1 if row["kind"] == "step" else 0,
        "began": row["started_at"],
        "now": now,
    }


def _span(conn: Connection, args: Mapping[str, Any], window_s: float, now: float) -> dict[str, Any]:
    """The window, and the period in which anything can count."""
    first, last = conn.execute(_SPAN, args).fetchone()
    if first is None:
        return {"window": window_s, "since": 0.0, "until": 0.0, "last": None}
    until = min(last + window_s, now)
    return {"window": window_s, "since": first, "until": until, "last": last}


def _weights(conn: Connection, campaign_id: int) -> dict[str, int]:
    return dict(
        conn.execute(
            "select name, weight from variants where campaign_id = ?", (campaign_id,)
        ).fetchall()
    )


_Begun = tuple[
    dict[str, Any],
    dict[str, Any],
    dict[_Key, dict[str, Any]],
    dict[str, int],
    dict[str, int],
    MassCounts,
    float | None,
]


def _begin(conn: Connection, campaign_id: int, now: float) -> _Begun | None:
    """All but what members did: the campaign, its deliveries by status, WeChat's counts."""
    found = rows_of(conn, f"select {_CAMPAIGN} from campaigns where id = ?", campaign_id)
    if not found:
        return None
    row = found[0]
    args = _args(row, now)
    args |= _span(conn, args, row["window_s"], now)
    left_out = conn.execute(
        "select d.reason, count(*) from deliveries as d where d.campaign_id = ? "
        f"and {_LEFT_OUT} group by d.reason order by d.reason",
        (campaign_id,),
    ).fetchall()
    last = args["last"]
    return (
        row,
        args,
        _statuses(conn, args),
        _weights(conn, campaign_id),
        dict(left_out),
        MassCounts(*conn.execute(_MASS, (campaign_id,)).fetchone()),
        None if last is None or row["started_at"] is None else last + row["window_s"],
    )


def _groups(
    campaign_id: int, conn: Connection
) -> tuple[tuple[GroupOutcome, ...], Mapping[str, int], float | None]:
    """Of a campaign into groups: each group, each variant's clicks, when the window ends."""
    campaign = campaigns.get(conn, campaign_id)
    assert campaign is not None
    found, clicks = group_campaigns.outcomes(conn, campaign)
    return tuple(found), clicks, group_campaigns.closes(campaign, found)


def _add(sums: dict[_Key, dict[str, Any]], more: Mapping[_Key, Mapping[str, Any]]) -> None:
    for key, figures in more.items():
        # A member may have been erased or a row settled since the arms were counted.
        if key in sums:
            sums[key] |= figures
