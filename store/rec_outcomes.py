"""What came of what was shown: lists joined with the clicks and the purchases that followed.

Nothing marks a click as that of a list when it happens: it is found when somebody asks, so that
what arrives late counts as well. Each click and each purchase counts once, for the newest list
before it that showed the item. What somebody gave back is no purchase; part of an order given
back is taken off its lines in proportion. Only purchases are bought: enrolling for free is not.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from store import consents, orders, rec_data
from store.db import Database
from store.dialect import Connection
from store.rec_lists import CLICK_S, PICKED

T = TypeVar("T")

BUY_S = 14 * 86_400.0
"""What is bought later than this after a list has nothing to do with it."""

FETCHED = "api"
"""The surface of lists that a program took: nobody tells us whether it showed them."""

OF_LIST = "rec:"
"""What stands before the number of a list in the `ref` of its links."""

_SHANGHAI = ZoneInfo("Asia/Shanghai")


class Place(NamedTuple):
    """One item of a shown list, and what followed. ranker: of the list; by: of this place.

    cents: what was paid for it and not given back. cold: until the list was shown the member had
    done nothing with any item.
    """

    list_id: int
    member_id: int
    at: float
    surface: str
    ranker: str
    model: str
    arm: str
    test_id: int | None
    position: int
    item_id: str
    by: str
    propensity: float
    explored: bool
    clicked: bool
    bought: bool
    cents: int
    cold: bool


_SHOWN = (
    "select l.member_id, l.id, l.at, l.surface, l.ranker, l.model, l.arm, l.test_id, "
    "s.position, s.item_id, s.ranker, s.propensity, s.explored from rec_lists as l "
    "join rec_shown as s on s.list_id = l.id where l.at >= :since and l.at < :until "
    "order by l.member_id, l.at, l.id, s.position"
)
_CLICKS = (
    "select member_id, at, item_id, ref from events where kind = 'click' "
    "and source = 'recommendation' and item_id <> '' and member_id is not null "
    "and at >= :since and at < :until union all "
    "select member_id, at, substr(item, 6), '' from interactions "
    f"where handler = '{PICKED}' and item like 'item:%' and at >= :since and at < :until "
    "order by 1, 2"
)
_SHOWN_TO = "(select member_id from rec_lists where at >= :since and at < :until)"
# Refunds may come long after: all of them up to now.
_MONEY = (
    "select member_id, id, kind, at, item_id, order_id, amount_cents from events "
    f"where kind in ('purchase', 'refund') and member_id in {_SHOWN_TO} and at >= :since "
    "order by 1, 4, 2"
)


_FEW = 5000
_MANY = "select count(*) from (select id from rec_lists where at >= ? and at < ? limit ?) as lists"


@dataclass(slots=True)
class _List:
    """A list while what followed it is looked for. places: item -> its row. seen: it was before
    somebody's eyes; what a program fetched may never have been."""

    number: int
    at: float
    places: dict[str, tuple[Any, ...]]
    seen: bool = True
    clicked: set[str] = field(default_factory=set)
    bought: dict[str, int] = field(default_factory=dict)


def places(
    conn: Connection,
    since: float,
    until: float,
    *,
    click_s: float = CLICK_S,
    buy_s: float = BUY_S,
    without: Collection[int] = frozenset(),
    cold: bool = True,
) -> Iterator[Place]:
    """Every place of the lists shown from `since` on and before `until`; by member, then by time.

    Lists shown after `until` are read as well: what followed them was theirs. without: members
    who are in no report. cold: False saves the look at everybody's past, and nobody is cold.
    """
    later = {"since": since, "until": until + max(click_s, buy_s)}
    first = _first_deeds(conn, later) if cold else {}
    clicks = _Turns(conn.execute(_CLICKS, later))
    money = _Turns(conn.execute(_MONEY, later))
    for member_id, rows in groupby(conn.execute(_SHOWN, later), key=itemgetter(0)):
        own = _lists(rows)
        clicked, paid = clicks.of(member_id), money.of(member_id)
        if member_id in without:
            continue
        by_item: defaultdict[str, list[_List]] = defaultdict(list)
        for one in own:
            for item_id in one.places:
                by_item[item_id].append(one)
        for _, at, item_id, ref in clicked:
            found = _led_to(by_item.get(item_id, ()), at, click_s, ref)
            if found is not None:
                found.clicked.add(item_id)
        for at, item_id, cents in _kept(paid):
            found = _led_to(by_item.get(item_id, ()), at, buy_s)
            if found is not None:
                found.bought[item_id] = found.bought.get(item_id, 0) + cents
        began = first.get(member_id)
        for one in own:
            if one.at < until:
                new = cold and (began is None or began >= one.at)
                for item_id, row in one.places.items():
                    yield _place(row, one, item_id, new)


def _lists(rows: Iterable[tuple[Any, ...]]) -> list[_List]:
    """By time. Of an item that stands twice in a list the first place counts."""
    found: list[_List] = []
    for row in rows:
        if not found or found[-1].number != row[1]:
            found.append(_List(row[1], row[2], {}, row[3] != FETCHED))
        found[-1].places.setdefault(row[9], row)
    return found


def _place(row: tuple[Any, ...], one: _List, item_id: str, cold: bool) -> Place:
    followed = (item_id in one.clicked, item_id in one.bought, one.bought.get(item_id, 0), cold)
    return Place._make((one.number, row[0], *row[2:12], bool(row[12]), *followed))


def _led_to(lists: Sequence[_List], at: float, window_s: float, ref: str = "") -> _List | None:
    """The list that a click or a purchase is owed to: the one it names; without a name the newest
    before, of those that were seen where there are any."""
    if ref.startswith(OF_LIST):
        for one in lists:
            if ref == f"{OF_LIST}{one.number}" and one.at <= at < one.at + window_s:
                return one
        # Of a list that is too long ago, or was somebody else's: it is owed to no other one.
        return None
    lists = [one for one in lists if one.seen] or lists
    place = bisect_right(lists, at, key=lambda one: one.at)
    if not place:
        return None
    newest = lists[place - 1]
    return newest if at < newest.at + window_s else None


def _kept(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[float, str, int]]:
    """(when, item, fen) of what was bought and not given back."""
    lines = [
        orders.Line(number, kind, at, item_id, order_id, cents, None)
        for _, number, kind, at, item_id, order_id, cents in rows
    ]
    for order in orders.orders_of(lines):
        left = {line.id: line.cents for line in order.bought}
        back: set[int] = set()
        for refund in order.refunds:
            meant = [
                line
                for line in order.bought
                if not refund.item_id or line.item_id == refund.item_id
            ] or order.bought
            back |= _give_back(left, meant, refund.cents)
        for line in order.bought:
            if line.item_id and (left[line.id] > 0 or line.id not in back):
                yield line.at, line.item_id, left[line.id]


def _give_back(left: dict[int, int], lines: Sequence[orders.Line], cents: int) -> set[int]:
    """Take so much off these lines in proportion, 0 for all of it; which ones were touched."""
    whole = sum(left[line.id] for line in lines)
    rest = min(cents, whole) if cents else whole
    for line in lines:
        own = left[line.id]
        part = -(-rest * own // whole) if whole else 0
        left[line.id] -= part
        rest, whole = rest - part, whole - own
    return {line.id for line in lines}


class _Turns:
    """Rows by member, each asked for in the order of their numbers."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._next: tuple[int, list[tuple[Any, ...]]] | None = None

    def of(self, member_id: int) -> list[tuple[Any, ...]]:
        """Theirs; [] for none. Those of numbers before are dropped."""
        while self._next is None or self._next[0] < member_id:
            found = next(self._groups, None)
            if found is None:
                return []
            self._next = (found[0], list(found[1]))
        return self._next[1] if self._next[0] == member_id else []


def _first_deeds(conn: Connection, shown: dict[str, float]) -> dict[int, float]:
    """When those who were shown something first did anything with an item."""
    found: dict[int, float] = {}
    args = {"since": 0.0, "until": shown["until"], "from": shown["since"]}
    many = conn.execute(_MANY, (shown["since"], shown["until"], _FEW)).fetchone()[0] >= _FEW
    # The past of a few is found by index, that of most by reading everything.
    whose = "coalesce(member_id, 0)" if many else "member_id"
    who = f"{whose} in {_SHOWN_TO.replace(':since', ':from')}"
    for sql in rec_data.SOURCES:
        for member_id, at in conn.execute(
            f"select member_id, min(at) from ({sql.replace('{who}', who)}) as deeds group by 1",
            args,
        ):
            found[member_id] = min(at, found.get(member_id, at))
    return found


# Added up


class Group(NamedTuple):
    """What came of the places of one kind. lists, members: different ones; clicked, bought:
    places."""

    by: str
    arm: str
    surface: str
    position: int
    explored: bool
    test_id: int | None
    lists: int
    places: int
    members: int
    clicked: int
    bought: int
    cents: int


def grouped(rows: Iterable[Place]) -> list[Group]:
    """Places by ranker, arm, surface, position, whether they were explored, and test."""
    lists: defaultdict[tuple[Any, ...], set[int]] = defaultdict(set)
    members: defaultdict[tuple[Any, ...], set[int]] = defaultdict(set)
    sums: dict[tuple[Any, ...], list[int]] = {}
    for one in rows:
        key = (one.by, one.arm, one.surface, one.position, one.explored, one.test_id)
        lists[key].add(one.list_id)
        members[key].add(one.member_id)
        own = sums.setdefault(key, [0, 0, 0, 0])
        own[0] += 1
        own[1] += one.clicked
        own[2] += one.bought
        own[3] += one.cents
    return [
        Group._make((*key, len(lists[key]), sums[key][0], len(members[key]), *sums[key][1:]))
        for key in sorted(sums, key=lambda key: (*key[:5], key[5] or 0))
    ]


class Day(NamedTuple):
    """Lists of a member on a day. day: ISO, Shanghai's; clicked: lists with a click in them."""

    day: str
    arm: str
    ranker: str
    member_id: int
    lists: int
    clicked: int


def daily(rows: Iterable[Place]) -> list[Day]:
    """Lists by day, arm, ranker and member."""
    shown: dict[int, tuple[str, str, str, int]] = {}
    clicked: set[int] = set()
    days: dict[int, str] = {}
    for one in rows:
        if one.list_id not in shown:
            number = int((one.at + 28_800) // 86_400)
            if number not in days:
                days[number] = datetime.fromtimestamp(one.at, _SHANGHAI).date().isoformat()
            shown[one.list_id] = (days[number], one.arm, one.ranker, one.member_id)
        if one.clicked:
            clicked.add(one.list_id)
    sums: defaultdict[tuple[str, str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    for list_id, key in shown.items():
        sums[key][0] += 1
        sums[key][1] += list_id in clicked
    return [Day(*key, *own) for key, own in sorted(sums.items())]


def touched(
    conn: Connection, since: float, until: float, without: Collection[int] = frozenset()
) -> tuple[dict[str, int], int]:
    """(item -> different members who did something with it, different members in all)."""
    of_item: defaultdict[str, set[int]] = defaultdict(set)
    everybody: set[int] = set()
    for member_id, item_id, kind, _, _ in rec_data.deeds(conn, since, until, without):
        if kind not in ("refund", "dislike"):
            of_item[item_id].add(member_id)
            everybody.add(member_id)
    return {item_id: len(members) for item_id, members in of_item.items()}, len(everybody)


class RecOutcomes:
    """Reads of what came of lists, one at a time; a report reads in a process of its own."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._turn = asyncio.Semaphore(1)

    async def read(
        self,
        use: Callable[[Iterator[Place]], T],
        since: float,
        until: float,
        *,
        opt_in: bool = False,
        click_s: float = CLICK_S,
        buy_s: float = BUY_S,
        cold: bool = True,
    ) -> T:
        """What `use` makes of the places of a time, on a reader's thread. Errors: StoreError."""

        def run(conn: Connection) -> T:
            out = consents.withheld(conn, consents.PROFILING, opt_in=opt_in)
            return use(
                places(conn, since, until, click_s=click_s, buy_s=buy_s, without=out, cold=cold)
            )

        async with self._turn:
            return await self._db.read(run, long=True)
