"""What members' features are made of: what is new in the logs, and whom it is about.

Read only, by a round or by a process of its own; the rows themselves are in `store/features.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from store import consents, orders, statements
from store.dialect import Connection
from store.features import COLUMNS, MEMBERS, Positions, Row, rows_for
from store.reach import many
from store.used_up import UNRECORDED

GROUP = "group:"
"""What stands before a channel when it was in a group there."""

_PUSH_S = 86_400.0
"""What comes later than this after a push is no reply to it."""


class Happening(NamedTuple):
    """Something in a log. act: whether it counts as one. channel: "" for where nothing counts it.

    question: it was one for the FAQ. topic: what it was about ("item:py-101"), "" for unknown.
    pushed_at: when the last push went to them, at most a day before; 0.0 for none.
    """

    at: float
    act: bool = False
    channel: str = ""
    question: bool = False
    topic: str = ""
    pushed_at: float = 0.0


class Shop(NamedTuple):
    """What the shop knows of a member. seen: how many events it was read from, and the sum of
    their numbers: whether it is still so. learnt_at: the last progress in a course."""

    spent_cents: int = 0
    orders: int = 0
    last_order_at: float | None = None
    progress: int = 0
    learnt_at: float | None = None
    seen: tuple[int, int] = (0, 0)


class Known(NamedTuple):
    """What is known of a member beside the logs. row: None for none yet. shop: None: as the row
    has it. paused: they want nothing, or left everywhere; present: they follow, or are in a
    group. coupon: they hold one that can be used."""

    created_at: float
    row: Row | None
    shop: Shop | None
    paused: bool
    present: bool
    coupon: bool


class News(NamedTuple):
    """What is new in the logs: `known` has everybody in `happened`, and who is to be looked at
    again. until: the positions it reaches to; more: whether there is more behind them."""

    since: Positions
    until: Positions
    happened: dict[int, list[Happening]]
    known: dict[int, Known]
    more: bool


# What is new


_SHOP_KINDS = ("purchase", "refund", "enroll", "progress", "complete")
_ACT_KINDS = ("event:CLICK", "event:VIEW", "event:SCAN")
_ASKED = ("faq", "faq.offer", "faq.unknown")
_LOG = "select id, member_id, at, channel, place, kind, handler, item from interactions where "
_SAID = "select id, member_id, at, place, hidden from talk where "


def _log_row(row: Sequence[Any], unrecorded: Collection[int]) -> Happening | None:
    """A row of `_LOG`; None for what nobody did. What is said in a group is an act of `talk`."""
    _, member_id, at, channel, place, kind, handler, item = row
    if place and member_id in unrecorded:
        return None
    if kind.startswith("event:") and kind not in _ACT_KINDS:
        return None
    return Happening(at, not place, channel if not place else "", handler in _ASKED, item)


def _said_row(row: Sequence[Any], unrecorded: Collection[int]) -> Happening | None:
    _, member_id, at, place, hidden = row
    if hidden or member_id is None or member_id in unrecorded:
        return None
    return Happening(at, act=True, channel=GROUP + str(place).partition(":")[0])


def unrecorded(conn: Connection) -> set[int]:
    """Of whom nothing that is said in groups may be known."""
    rows = conn.execute("select member_id from member_settings where name = ?", (UNRECORDED,))
    return {row[0] for row in rows}


def news(conn: Connection, since: Positions, limit: int, now: float, *, opt_in: bool) -> News:
    """What happened after these positions, at most `limit` rows of each log, and whom it is about.

    Also who is to be looked at again: rows without a state.
    """
    silent = unrecorded(conn)
    happened: dict[int, list[Happening]] = {}
    until = list(since)
    more = False

    def page(log: int, sql: str) -> list[tuple[Any, ...]]:
        nonlocal more
        rows = conn.execute(f"{sql} id > ? order by id limit ?", (since[log], limit)).fetchall()
        if rows:
            until[log] = rows[-1][0]
        more = more or len(rows) == limit
        return rows

    for row in page(0, _LOG):
        if (one := _log_row(row, silent)) is not None:
            happened.setdefault(row[1], []).append(one)
    for row in page(1, _SAID):
        if (one := _said_row(row, silent)) is not None:
            happened.setdefault(row[1], []).append(one)
    bought = {
        row[1]
        for row in page(2, "select id, member_id, kind from events where")
        if row[1] is not None and row[2] in _SHOP_KINDS
    }
    met = {row[0] for row in page(3, "select id from members where")}
    again = {
        row[0]
        for row in conn.execute(
            "select member_id from member_features where state = '' limit ?", (limit,)
        )
    }
    touched = happened.keys() | bought | met | again
    known = known_of(conn, touched, bought | met | again, now, opt_in=opt_in)
    pushes = _pushes(conn, happened, now)
    for member_id, rows in happened.items():
        if member_id in pushes:
            happened[member_id] = [_replied(one, pushes[member_id]) for one in rows]
    reached = (until[0], until[1], until[2], until[3])
    # Whom we met before and who has no row agreed only now, or lost it: all of theirs is new.
    lost = [one for one, own in known.items() if own.row is None and one <= since[3]]
    if lost:
        known |= known_of(conn, lost, lost, now, opt_in=opt_in)
        own_logs = happened_to(conn, lost, reached, now)
        happened |= {one: own_logs.get(one, []) for one in lost}
    kept = {member_id: rows for member_id, rows in happened.items() if member_id in known}
    return News(since, reached, kept, known, more)


def _replied(one: Happening, pushes: Sequence[float]) -> Happening:
    before = max((at for at in pushes if at <= one.at), default=0.0)
    return one._replace(pushed_at=before) if one.act and one.at - before <= _PUSH_S else one


def _pushes(
    conn: Connection, happened: Mapping[int, Sequence[Happening]], now: float
) -> dict[int, list[float]]:
    """When campaigns wrote to these members since the first thing that happened to them."""
    since = min((one.at for rows in happened.values() for one in rows), default=now) - _PUSH_S
    found: dict[int, list[float]] = {}
    for member_id, at in many(
        conn,
        "select member_id, claimed_at from deliveries where member_id in ({rows}) "
        "and claimed_at >= ? and status in ('accepted', 'delivered')",
        happened.keys(),
        since,
    ):
        found.setdefault(member_id, []).append(at)
    return found


_PAUSED = (
    "(exists (select 1 from optouts as o where o.member_id = m.id and o.topic = '') "
    "and not exists (select 1 from subscriptions as s where s.member_id = m.id))"
)
_FOLLOWS = "exists (select 1 from identities as i where i.member_id = m.id and i.followed = 1)"
_SITS = "exists (select 1 from group_members as g where g.member_id = m.id and g.left_at is null)"
_LEFT = (
    "(exists (select 1 from identities as i where i.member_id = m.id "
    "and i.unfollowed_at is not null) or exists (select 1 from group_members as g "
    "where g.member_id = m.id and g.left_at is not null))"
)
_SITUATION = f"select m.id, m.created_at, {_PAUSED}, {_FOLLOWS}, {_SITS}, {_LEFT} from members as m"
_HOLDERS = (
    "select member_id from coupons where {which} and status = 'claimed' "
    "and (expires_at is null or expires_at > ?)"
)


class Situation(NamedTuple):
    """See `Known`."""

    created_at: float
    paused: bool
    present: bool
    coupon: bool


def _situation(row: Sequence[Any], holders: Collection[int]) -> Situation:
    member_id, created_at, optout, follows, sits, left = row
    present = bool(follows or sits)
    paused = bool(optout or (left and not present))
    return Situation(created_at, paused, present, member_id in holders)


def situations(conn: Connection, now: float) -> Iterator[tuple[int, Situation]]:
    """Of all members, by number."""
    held = conn.execute(_HOLDERS.format(which="member_id is not null"), (now,))
    holders = {row[0] for row in held}
    for row in conn.execute(f"{_SITUATION} order by m.id"):
        yield row[0], _situation(row, holders)


def known_of(
    conn: Connection, members: Collection[int], shop: Collection[int], now: float, *, opt_in: bool
) -> dict[int, Known]:
    """What is known of these members, without those who are not to be profiled, or not there.

    shop: of whom the shop's part is to be read anew.
    """
    held = consents.withheld(conn, consents.PROFILING, opt_in=opt_in) if members else set()
    wanted = sorted(set(members) - held)
    sql = _HOLDERS.replace("{which}", "member_id in ({rows})")
    holders = {row[0] for row in many(conn, sql, wanted, now)}
    rows = {row.member_id: row for row in rows_for(conn, wanted)}
    shops = shops_of(conn, sorted(set(shop) & set(wanted)))
    found = {}
    for row in statements.ask(conn, f"{_SITUATION} where m.id in ({{rows}})", wanted):
        one = _situation(row, holders)
        known = (rows.get(row[0]), shops.get(row[0]))
        found[row[0]] = Known(one.created_at, *known, one.paused, one.present, one.coupon)
    return found


def all_rows(conn: Connection) -> Iterator[Row]:
    """Every row, by number."""
    for row in conn.execute(f"select {COLUMNS} from member_features order by member_id"):
        yield Row._make(row)


# The shop


_LINES = (
    "select member_id, id, kind, at, item_id, order_id, amount_cents, percent from events "
    "where {which} and kind in ('purchase', 'refund', 'enroll', 'progress', 'complete')"
)


def shops_of(conn: Connection, members: Collection[int]) -> dict[int, Shop]:
    """What the shop knows of each of these members; an empty Shop for nothing."""
    lines: dict[int, dict[int, tuple[Any, ...]]] = {member_id: {} for member_id in members}
    for member_id, *line in statements.ask(
        conn, _LINES.format(which="member_id in ({rows})"), members
    ):
        lines[member_id][line[0]] = tuple(line)
    return {member_id: _shop(list(own.values())) for member_id, own in lines.items()}


def all_shops(conn: Connection) -> dict[int, Shop]:
    """Of everybody of whom the shop knows anything."""
    lines: dict[int, list[tuple[Any, ...]]] = {}
    for member_id, *line in conn.execute(_LINES.format(which="member_id is not null")):
        lines.setdefault(member_id, []).append(tuple(line))
    return {member_id: _shop(own) for member_id, own in lines.items()}


def _shop(lines: Sequence[tuple[Any, ...]]) -> Shop:
    """lines: (id, kind, at, item, order, cents, percent) in any order."""
    paid = [
        orders.Line(number, kind, at, item_id, order_id, cents, None)
        for number, kind, at, item_id, order_id, cents, _ in lines
        if kind in ("purchase", "refund")
    ]
    spent = count = 0
    last_at = None
    for order in orders.orders_of(paid):
        left = order.cents - order.refunded(order.refunds)
        spent += left
        if left > 0 or not order.refunds:
            count += 1
            at = max(line.at for line in order.bought)
            last_at = at if last_at is None else max(last_at, at)
    learnt = [line for line in lines if line[1] in ("progress", "complete")]
    percents = [100 if line[1] == "complete" else line[6] or 0 for line in learnt]
    progress = min(100, max(percents, default=0))
    learnt_at = max((line[2] for line in learnt), default=None)
    seen = (len(lines), sum(line[0] for line in lines))
    return Shop(spent, count, last_at, progress, learnt_at, seen)


def shop_sums(conn: Connection, until: int) -> Iterator[tuple[int, int, int]]:
    """(member, events, sum of their numbers) of events up to this one: what `Shop.seen` is."""
    kinds = ", ".join(f"'{kind}'" for kind in _SHOP_KINDS)
    yield from conn.execute(
        f"select member_id, count(*), sum(id) from events where kind in ({kinds}) and id <= ? "
        "and member_id is not null group by member_id",
        (until,),
    )


# All at once


def everything(conn: Connection, until: Positions) -> Iterator[tuple[int, Happening]]:
    """(member, what happened) of all that the logs hold up to these positions, log by log."""
    silent = unrecorded(conn)
    begun = consents.agreed(conn, consents.PROFILING)
    pushes: dict[int, list[float]] = {}
    for member_id, at in conn.execute(
        "select member_id, claimed_at from deliveries where claimed_at is not null "
        "and member_id is not null and status in ('accepted', 'delivered')"
    ):
        pushes.setdefault(member_id, []).append(at)
    for sql, last, read in ((_LOG, until[0], _log_row), (_SAID, until[1], _said_row)):
        for row in conn.execute(f"{sql} id <= ? order by id", (last,)):
            if (one := read(row, silent)) is not None and one.at >= begun.get(row[1], 0.0):
                own = pushes.get(row[1])
                yield row[1], one if own is None else _replied(one, own)


def happened_to(
    conn: Connection, members: Collection[int], until: Positions, now: float
) -> dict[int, list[Happening]]:
    """The same of a few members."""
    silent = unrecorded(conn)
    begun = consents.agreed(conn, consents.PROFILING)
    found: dict[int, dict[tuple[int, int], Happening]] = {}
    each = ((_LOG, until[0], _log_row), (_SAID, until[1], _said_row))
    for log, (sql, last, read) in enumerate(each):
        for row in many(conn, f"{sql} member_id in ({{rows}}) and id <= ?", members, last):
            if (one := read(row, silent)) is not None and one.at >= begun.get(row[1], 0.0):
                found.setdefault(row[1], {})[log, row[0]] = one
    happened = {member_id: list(own.values()) for member_id, own in found.items()}
    pushes = _pushes(conn, happened, now)
    return {
        member_id: [_replied(one, pushes.get(member_id, ())) for one in own]
        for member_id, own in happened.items()
    }


def wrong(conn: Connection, until: int, *, opt_in: bool) -> tuple[list[int], list[int], list[int]]:
    """(who has no row, whose row says something else than the shop, who must have none).

    The first: who came to agree, or opted out of being recorded. The second: whose order was found
    to be theirs later.
    """
    held = consents.withheld(conn, consents.PROFILING, opt_in=opt_in)
    seen: dict[int, tuple[int, int]] = {}
    silent = unrecorded(conn)
    gone = []
    for member_id, data in conn.execute("select member_id, data from member_features"):
        # What groups told of somebody who opted out of that goes with the row; it is made anew.
        if member_id in held or (member_id in silent and f'"{GROUP}' in data):
            gone.append(member_id)
        else:
            kept = json.loads(data).get("shop") or (None, 0, 0)
            seen[member_id] = (kept[1], kept[2])
    last = conn.execute("select position from cursors where name = ?", (MEMBERS,)).fetchone()
    missing = [
        row[0]
        for row in conn.execute(
            "select id from members where id <= ? order by id", (last[0] if last else 0,)
        )
        if row[0] not in seen and row[0] not in held
    ]
    other = []
    for member_id, count, total in shop_sums(conn, until):
        if (own := seen.pop(member_id, None)) is not None and own != (count, total):
            other.append(member_id)
    other += [member_id for member_id, own in seen.items() if own != (0, 0)]
    return missing, other, gone


def state_days(conn: Connection, since: str) -> list[tuple[str, str, int]]:
    """(day, state, members) from this day on."""
    return conn.execute(
        "select day, state, members from state_days where day >= ? order by day, state", (since,)
    ).fetchall()


def moods(conn: Connection, since: float) -> Iterator[tuple[int, float, float]]:
    """(member, when, how much more positive than negative, -1 to 1) of what they wrote."""
    yield from conn.execute(
        "select member_id, at, positive - negative from readings where at >= ?", (since,)
    )


def lessons(conn: Connection, since: float) -> list[tuple[int, float, int]]:
    """(member, when, 1 for the end of a course) of what they learnt."""
    return conn.execute(
        "select member_id, at, case when kind = 'complete' and chapter_id = '' then 1 else 0 end "
        "from events where kind in ('progress', 'complete') and at >= ? "
        "and member_id is not null",
        (since,),
    ).fetchall()
