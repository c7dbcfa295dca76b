"""What outcomes are worked out of: who was shown what, who did what then, who paid.

For jobs that look at many at once, in a process of their own; see `store/insight_reads.py`. All
give columns of equal length, empty ones for nothing, and leave out who is nobody's member.

The log of messages has no index by time, but its numbers only grow, and so do its times, nearly.
So `first_id` finds where a day begins by halving: some twenty looks instead of five million rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.dialect import Connection
from store.statements import ask

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHOP = "shop"
"""The channel of what was shown outside of any chat."""

ANYWHERE = "*"
"""The place of what was done outside of any chat: a click, an order."""

SLACK_S = 3600.0
"""So late, at most, a message is written down; rows of imports may lie further off."""

_FAR_S = 1e12
_BLOCK = 50_000

Ids = tuple[int, int]
"""Numbers in `interactions`: from the first on and before the second."""

ALL: Ids = (0, 2**62)


class Touches(NamedTuple):
    """What was shown to members, or done by them. at: Unix seconds, in no order.

    place, channel, campaign: indexes into the names; of place, 0 is "", private, and 1 is
    `ANYWHERE`; of channel, 0 is `SHOP`; of campaign, 0 is "", none.
    """

    member: Ints
    at: Floats
    place: Ints
    channel: Ints
    campaign: Ints


class Names(NamedTuple):
    """The names that the numbers in `Touches` stand for; shared by all that were read with it."""

    places: dict[str, int]
    channels: dict[str, int]
    campaigns: dict[str, int]

    @classmethod
    def none(cls) -> Names:
        """Those that every reading has."""
        return cls({"": 0, ANYWHERE: 1}, {SHOP: 0}, {"": 0})


class Seats(NamedTuple):
    """Who is or was in which group, by place. left: infinite for who is still there."""

    member: Ints
    place: Ints
    since: Floats
    left: Floats


class Moves(NamedTuple):
    """Who follows an account, and since when; left: infinite for who still does."""

    member: Ints
    since: Floats
    left: Floats


class Order(NamedTuple):
    """An order of a member. back_cents: given back until now. items: bought in it."""

    member: int
    at: float
    gross_cents: int
    back_cents: int
    items: tuple[str, ...]

    @property
    def net_cents(self) -> int:
        """What is left of it."""
        return self.gross_cents - self.back_cents

    @property
    def kept(self) -> bool:
        """Whether it was not given back in full; what was free can't be."""
        return self.back_cents < self.gross_cents or not self.back_cents


class Cash(NamedTuple):
    """Money of a period, of everybody, members or not, in cents; buyers: people."""

    gross_cents: int
    refunded_cents: int
    orders: int
    buyers: int


class Asked(NamedTuple):
    """How questions of a period ended; people: who asked."""

    answered: int
    offered: int
    unknown: int
    people: int


def first_id(conn: Connection, at: float) -> int:
    """A number in `interactions` before which nothing happened at `at` or later.

    As long as no row is written down more than `SLACK_S` after it happened. 0 for an empty log;
    behind the last number when everything is older.
    """
    # Two questions: of one with both, every row would be read.
    low, high = conn.execute(
        "select coalesce((select min(id) from interactions), 0), "
        "coalesce((select max(id) from interactions), -1) + 1"
    ).fetchone()
    while low < high:
        middle = (low + high) // 2
        found = conn.execute(
            "select id, at from interactions where id >= ? order by id limit 1", (middle,)
        ).fetchone()
        if found is not None and found[1] < at - SLACK_S:
            low = int(found[0]) + 1
        else:
            high = middle
    return int(low)


def ids_of(conn: Connection, since: float, until: float) -> Ids:
    """Numbers between which everything stands that happened from `since` on and before `until`.

    As long as what `first_id` says holds.
    """
    # What is written down after `until` and `SLACK_S` happened after `until`; one more, because
    # the number found may be of a row that was late itself.
    return first_id(conn, since), first_id(conn, until + 2 * SLACK_S)


def ids_between(conn: Connection, since: float, until: float) -> Ids:
    """The same for certain, whatever was written down when; reads the whole log once."""
    row = conn.execute(
        "select coalesce(min(id), 0), coalesce(max(id), -1) + 1 from interactions "
        "where at >= ? and at < ?",
        (since, until),
    ).fetchone()
    return int(row[0]), int(row[1])


def log_began(conn: Connection) -> float | None:
    """From when on everything is known that a period needs; None for an empty log.

    What is said in groups is kept for a while only, so with groups it is the oldest of that.
    """
    began = conn.execute(
        "select at from interactions where place = '' order by id limit 1"
    ).fetchone()
    said = conn.execute("select min(at) from talk").fetchone()[0]
    known = [at for at in (began[0] if began else None, said) if at is not None]
    return float(max(known)) if known else None


_TALKED = (
    "i.place = '' and (i.kind not like 'event:%' "
    "or i.kind in ('event:CLICK', 'event:VIEW', 'event:SCAN'))"
)
_DID = (
    "select i.member_id, i.at, '', i.channel, '' from interactions as i "
    f"where i.id >= :first and i.id < :last and i.at >= :since and i.at < :until and {_TALKED} "
    "union all select member_id, at, place, '', '' from talk "
    "where at >= :since and at < :until and member_id is not null and hidden = 0"
)
# What somebody does about what they were shown; a view is but another look at it.
_ANSWERED = (
    f"select member_id, at, '{ANYWHERE}', '{SHOP}', campaign from events where member_id is not "
    "null and kind in ('click', 'claim', 'add_to_cart', 'enroll', 'purchase') "
    "and at >= :since and at < :until"
)
_SHOWN = (
    # A catalogue item that the bot showed alone, in private or in a group.
    "select member_id, at, place, channel, '' from interactions "
    "where id >= :first and id < :last and at >= :since and at < :until and item like 'item:%' "
    # What the shop showed.
    f"union all select member_id, at, '{ANYWHERE}', '{SHOP}', campaign from events "
    "where kind = 'exposure' and member_id is not null and at >= :since and at < :until "
    # What campaigns sent to members and WeChat took.
    "union all select d.member_id, d.claimed_at, '', c.channel, 'c' || c.id "
    "from campaigns as c join deliveries as d on d.campaign_id = c.id "
    "where c.started_at is not null and c.started_at < :until "
    "and (c.ended_at is null or c.ended_at >= :since) "
    "and d.status in ('accepted', 'delivered') and d.member_id is not null "
    "and d.claimed_at >= :since and d.claimed_at < :until"
)
# One that is about a single member is an answer to them, not something shown to all.
_POSTED = (
    "select place, settled_at, case when campaign_id is null then '' else 'c' || campaign_id end "
    "from posts where status = 'sent' and settled_at >= :since and settled_at < :until "
    "and place <> '' and member_id is null "
    "union all select g.place, g.sent_at, case when t.campaign_id is null then '' "
    "else 'c' || t.campaign_id end from customer_task_groups as g "
    "join customer_tasks as t on t.id = g.task_id "
    "where g.status = 'sent' and g.sent_at >= :since and g.sent_at < :until"
)


def did(conn: Connection, names: Names, since: float, until: float, ids: Ids = ALL) -> Touches:
    """What members did from `since` on and before `until`: words, taps, turns in groups, and
    what they did in the shop. ids: of `ids_of`, so that no other row is read."""
    args = {"since": since, "until": until, "first": ids[0], "last": ids[1]}
    return _touches(conn.execute(f"{_DID} union all {_ANSWERED}", args), names)


def shown(conn: Connection, names: Names, since: float, until: float, ids: Ids = ALL) -> Touches:
    """What members were shown: one row a member and thing.

    Items in an answer, campaign messages that WeChat took, what the shop reports, and what was
    posted in a group: to everybody who was in it at that moment.
    """
    args = {"since": since, "until": until, "first": ids[0], "last": ids[1]}
    blocks = [_touches(conn.execute(_SHOWN, args), names)]
    posts = conn.execute(_POSTED, args).fetchall()
    there = _seats(conn, names, sorted({row[0] for row in posts}))
    bounds = np.searchsorted(there.place, [names.places.get(row[0], -1) for row in posts])
    for (where, at, campaign), low in zip(posts, bounds, strict=True):
        number = names.places.get(where, -1)
        high = np.searchsorted(there.place, number, side="right")
        here = (there.since[low:high] <= at) & (there.left[low:high] > at)
        member = there.member[low:high][here]
        its = names.campaigns.setdefault(campaign, len(names.campaigns))
        blocks.append(
            Touches(
                member,
                np.full(len(member), at),
                np.full(len(member), number, np.int64),
                np.full(len(member), _channel(names, where), np.int64),
                np.full(len(member), its, np.int64),
            )
        )
    return Touches(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _channel(names: Names, place: str) -> int:
    return names.channels.setdefault(place.partition(":")[0], len(names.channels))


def _touches(rows: Any, names: Names) -> Touches:
    blocks: list[tuple[NDArray[Any], ...]] = []
    places, channels, campaigns = names
    of_place: dict[str, int] = {}
    while block := rows.fetchmany(_BLOCK):
        member, at, where, channel, campaign = zip(*block, strict=True)
        for one in {*where} - of_place.keys():
            places.setdefault(one, len(places))
            of_place[one] = -1 if one in ("", ANYWHERE) else _channel(names, one)
        # Of a group it is told by the place: a group is on one, whichever way it was said.
        for one in {*channel} - channels.keys() - {""}:
            channels[one] = len(channels)
        for one in {*campaign} - campaigns.keys():
            campaigns[one] = len(campaigns)
        whose = (of_place[one] for one in where)
        blocks.append(
            (
                np.array(member, np.int64),
                np.array(at, np.float64),
                np.array([places[one] for one in where], np.int64),
                np.array(
                    [
                        its if its >= 0 else channels[said]
                        for its, said in zip(whose, channel, strict=True)
                    ],
                    np.int64,
                ),
                np.array([campaigns[one] for one in campaign], np.int64),
            )
        )
    if not blocks:
        none = np.empty(0, np.int64)
        return Touches(none, none.astype(np.float64), none, none, none)
    return Touches(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


_SEATS = "select member_id, place, since, left_at from group_members"


def seats(conn: Connection, names: Names) -> Seats:
    """Who is or was in which group, by place."""
    return _sat(conn.execute(_SEATS), names)


def _seats(conn: Connection, names: Names, places: Sequence[str]) -> Seats:
    # A piece is filled up with its last value, which a list of values does not mind.
    return _sat(ask(conn, f"{_SEATS} where place in ({{rows}})", places), names)


def _sat(rows: Iterable[Any], names: Names) -> Seats:
    found = [*rows]
    member, place, since, left = zip(*found, strict=True) if found else ((), (), (), ())
    places = names.places
    numbers = np.array([places.setdefault(one, len(places)) for one in place], np.int64)
    order = np.argsort(numbers, kind="stable")
    return Seats(
        np.array(member, np.int64)[order],
        numbers[order],
        np.array(since, np.float64)[order],
        np.array([np.inf if one is None else one for one in left], np.float64)[order],
    )


def followers(conn: Connection) -> Moves:
    """Who follows, or once did; who came back counts from then on."""
    rows = conn.execute(
        "select member_id, followed_at, case when followed = 1 then null "
        "else coalesce(unfollowed_at, followed_at) end from identities "
        "where followed_at is not null"
    ).fetchall()
    if not rows:
        none = np.empty(0)
        return Moves(none.astype(np.int64), none, none)
    member, since, left = zip(*rows, strict=True)
    return Moves(
        np.array(member, np.int64),
        np.array(since, np.float64),
        np.array([np.inf if one is None else one for one in left], np.float64),
    )


_MONEY = (
    "select member_id, at, kind, order_id, item_id, amount_cents from events "
    "where kind in ('purchase', 'refund') and member_id is not null and at >= ? "
    "order by member_id, at, id"
)


def orders(conn: Connection, since: float = 0.0) -> list[Order]:
    """Orders of members made from `since` on, by member and time; [] for none.

    A refund is taken off the order it names, else off the newest before it of that item that is
    not given back yet, as in `insights/outcomes.py`.
    """
    found: list[Order] = []
    rows = conn.execute(_MONEY, (since,))
    for member, mine in groupby(rows, key=lambda row: row[0]):
        found += _orders(member, mine)
    return found


def _orders(member: int, rows: Iterable[Any]) -> Iterator[Order]:
    made: list[list[Any]] = []
    by_id: dict[str, list[Any]] = {}
    refunds = []
    for _, at, kind, order_id, item, cents in rows:
        if kind == "refund":
            refunds.append((at, order_id, item, cents))
        elif order_id and order_id in by_id:
            by_id[order_id][1] += cents
            by_id[order_id][2].append(item)
        else:
            # at, gross, items, given back
            order = [at, cents, [item], 0]
            made.append(order)
            by_id[order_id] = order
    by_id.pop("", None)
    for at, order_id, item, cents in refunds:
        order_of = by_id.get(order_id)
        if order_of is None and item:
            before = [one for one in made if item in one[2] and one[0] <= at]
            left = [one for one in before if one[3] < one[1]]
            order_of = next(reversed(left or before), None)
        if order_of is not None:
            order_of[3] += cents
    for at, gross, items, back in made:
        yield Order(member, at, gross, back, tuple(one for one in items if one))


def cash(conn: Connection, since: float, until: float) -> Cash:
    """What was paid and given back in a period, whoever it was."""
    found = {
        row[0]: row[1:]
        for row in conn.execute(
            "select kind, coalesce(sum(amount_cents), 0), count(distinct case when order_id = '' "
            "then event_id else order_id end), count(distinct case when member_id is null "
            "then nullif(who, '') else 'member:' || member_id end) from events "
            "where kind in ('purchase', 'refund') and at >= ? and at < ? group by kind",
            (since, until),
        )
    }
    gross, count, buyers = found.get("purchase", (0, 0, 0))
    return Cash(gross, found.get("refund", (0, 0, 0))[0], count, buyers)


def takes(conn: Connection) -> list[tuple[int, str, float]]:
    """(member, item, when first) of all that members bought, claimed or enrolled in, by member.

    What was given back in full is not taken.
    """
    first: dict[tuple[int, str], float] = {}
    for order in orders(conn):
        if order.kept:
            for item in order.items:
                key = (order.member, item)
                first[key] = min(order.at, first.get(key, _FAR_S))
    rows = conn.execute(
        "select member_id, item_id, min(at) from events where kind in ('enroll', 'claim') "
        "and member_id is not null and item_id <> '' group by member_id, item_id"
    )
    for member, item, at in rows:
        key = (member, item)
        first[key] = min(at, first.get(key, _FAR_S))
    return sorted((member, item, at) for (member, item), at in first.items())


def titles(conn: Connection, items: Iterable[str]) -> dict[str, str]:
    """What catalogue items are called; who is not in the catalogue any more is left out."""
    return dict(ask(conn, "select id, title from items where id in ({rows})", sorted({*items})))


def place_titles(conn: Connection) -> dict[str, str]:
    """What people call the groups."""
    rows = conn.execute("select place, coalesce(alias, ''), name, id from groups")
    return {place: alias or name or f"#{number}" for place, alias, name, number in rows}


def campaign_titles(conn: Connection, labels: Iterable[str]) -> dict[str, str]:
    """What the campaigns of these labels ("c12") are called; others are left out."""
    numbers = {int(one[1:]) for one in labels if one[:1] == "c" and one[1:].isdecimal()}
    rows = ask(conn, "select id, title from campaigns where id in ({rows})", sorted(numbers))
    return {f"c{number}": title for number, title in rows}


def weeks(conn: Connection) -> Iterator[tuple[float, str]]:
    """(when first seen, the JSON of `member_features.data`) of every member who is looked at."""
    yield from conn.execute("select first_at, data from member_features")


def beginnings(conn: Connection) -> list[tuple[int, float]]:
    """(member, when first seen) of every member who is looked at."""
    return list(conn.execute("select member_id, first_at from member_features"))


def asked(conn: Connection, since: float, until: float, ids: Ids = ALL) -> Asked:
    """How questions in private and to the bot in groups ended."""
    row = conn.execute(
        "select coalesce(sum(case when handler in ('faq', 'faq.passage') then 1 else 0 end), 0), "
        "coalesce(sum(case when handler = 'faq.offer' then 1 else 0 end), 0), "
        "coalesce(sum(case when handler = 'faq.unknown' then 1 else 0 end), 0), "
        "count(distinct member_id) from interactions where id >= ? and id < ? "
        "and at >= ? and at < ? "
        "and kind in ('text', 'voice') "
        "and handler in ('faq', 'faq.passage', 'faq.offer', 'faq.unknown')",
        (*ids, since, until),
    ).fetchone()
    return Asked(*row)


def came_and_left(conn: Connection, since: float, until: float, ids: Ids = ALL) -> tuple[int, int]:
    """(followed, stopped following): members whose last word on it in the period that was."""
    rows = conn.execute(
        "select member_id, kind from interactions where id >= ? and id < ? "
        "and at >= ? and at < ? "
        "and kind in ('event:subscribe', 'event:unsubscribe') order by at, id",
        (*ids, since, until),
    )
    last: dict[int, str] = dict(rows)
    came = sum(kind == "event:subscribe" for kind in last.values())
    return came, len(last) - came


def group_moves(conn: Connection, since: float, until: float) -> tuple[int, int]:
    """(joined, left): seats in groups that were taken and given up in the period."""
    row = conn.execute(
        "select coalesce(sum(case when since >= :since and since < :until then 1 else 0 end), 0), "
        "coalesce(sum(case when left_at >= :since and left_at < :until then 1 else 0 end), 0) "
        "from group_members",
        {"since": since, "until": until},
    ).fetchone()
    return int(row[0]), int(row[1])
