"""From being shown something to buying it: who did, how many, and what it is owed to.

A touch is an exposure or a click that names a campaign or a source. An order is credited to
the touches of the same person before it: clicks within a window, exposures within a short
one of their own, and an exposure of one item only with orders of that item. Two models:
`last` gives all to the newest touch, `position` 40 % to the first, 40 % to the newest and
20 % to those in between (50/50 of two). An order without touches counts for the campaign
that it names itself, or for none. So the orders of all groups are all orders, to the cent.

A refund is taken off its order, whenever it happens: the order it names, else this person's
newest order of the item that is not given back yet. An order belongs to the period it was
made in, and so do its refunds. A refund of nothing known counts for none.

Claims that name neither campaign nor source count for the newest touch.
"""

from __future__ import annotations

import math
import statistics
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Row = tuple[int | None, str, float, str, str, str, int, str, str, str]
"""member, who, at, kind, item, order, amount in cents, campaign, variant, source."""

STEPS = ("exposure", "click", "claim", "purchase")
RATES = (
    ("exposure", "click"),
    ("click", "claim"),
    ("claim", "purchase"),
    ("click", "purchase"),
    ("exposure", "purchase"),
)
"""From which step to which a share of people is told; claiming is not a must."""

_CLAIM, _PURCHASE = STEPS.index("claim"), STEPS.index("purchase")
_STEP_OF = {step: number for number, step in enumerate(STEPS) if number != _PURCHASE}
"""Of the rows that are a step by themselves; a purchase is one when its order is known."""
_PAIRS = tuple((STEPS.index(a), STEPS.index(b)) for a, b in RATES)
_Z = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


class Group(NamedTuple):
    """What something is owed to. All "" is none."""

    campaign: str
    variant: str
    source: str


NONE = Group("", "", "")


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of the people at one step went on to another, with Wilson's 95 % interval.

    value, low, high: 0 to 1; nan when nobody was at the first step.
    """

    people: int
    went_on: int
    value: float
    low: float
    high: float


def rate(went_on: int, people: int, worth: float | None = None) -> Rate:
    """The share and its interval. Source: Wilson 1927, score interval.

    worth: of how many who decide each for themselves it is as uncertain; None for all of them.
    """
    if people == 0:
        return Rate(0, 0, math.nan, math.nan, math.nan)
    n = people if worth is None else worth
    share, z2 = went_on / people, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    spread = math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    half = _Z * spread / (1 + z2 / n)
    # At the ends the interval begins exactly there; rounding must not put it beyond.
    low = 0.0 if went_on == 0 else max(0.0, middle - half)
    high = 1.0 if went_on == people else min(1.0, middle + half)
    return Rate(people, went_on, share, low, high)


def position_weights(touches: int) -> list[int]:
    """Whole weights of 40/20/40, oldest first; [1] of one, [1, 1] of two, [] of none."""
    if touches <= 2:
        return [1] * touches
    between = touches - 2
    return [2 * between, *([1] * between), 2 * between]


def last_weights(touches: int) -> list[int]:
    """All to the newest; [] of none."""
    return [0] * (touches - 1) + [1] if touches else []


def shared(cents: int, weights: Sequence[int]) -> list[int]:
    """Cents split by weights, whole and with nothing lost: largest remainder, first on ties.

    cents: 0 or more; weights: 0 or more, not all 0.
    """
    if not cents:
        return [0] * len(weights)
    total = sum(weights)
    parts = [cents * weight // total for weight in weights]
    left = cents - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda n: (-(cents * weights[n] % total), n))
    for n in by_remainder[:left]:
        parts[n] += 1
    return parts


@dataclass(slots=True)
class Credit:
    """What one model gives. orders: in shares; cents: of these orders."""

    orders: float = 0.0
    gross_cents: int = 0
    refunded_cents: int = 0

    @property
    def net_cents(self) -> int:
        """Revenue less what was given back."""
        return self.gross_cents - self.refunded_cents

    def add(self, share: float, gross: int, refunded: int) -> None:
        """A share of an order, or a refund alone."""
        self.orders += share
        self.gross_cents += gross
        self.refunded_cents += refunded


@dataclass(slots=True)
class Tally:
    """A funnel. counts: rows by step, of purchases the orders in which this had a share;
    people: how many different ones, of those that are known by any name; waits: seconds from
    an order's first touch here to the order.
    """

    counts: list[int] = field(default_factory=lambda: [0] * len(STEPS))
    people: list[int] = field(default_factory=lambda: [0] * len(STEPS))
    last: Credit = field(default_factory=Credit)
    position: Credit = field(default_factory=Credit)
    _went_on: list[int] = field(default_factory=lambda: [0] * len(RATES))
    waits: array[float] = field(default_factory=lambda: array("d"))

    @property
    def rates(self) -> dict[tuple[str, str], Rate]:
        """By (from, to): people who did the second at or after their first time of the first."""
        return {
            pair: rate(went_on, self.people[first])
            for pair, (first, _), went_on in zip(RATES, _PAIRS, self._went_on, strict=True)
        }

    @property
    def median_s(self) -> float:
        """The middle one of the waits; nan without one."""
        return statistics.median(self.waits) if self.waits else math.nan

    def meet(self, times: _Times) -> None:
        """One more person, who was at the steps at these times."""
        first, newest = times
        steps = 0
        for step, at in enumerate(first):
            if at is not None:
                self.people[step] += 1
                steps += 1
        if steps < 2:
            return
        for n, (one, other) in enumerate(_PAIRS):
            began, went = first[one], newest[other]
            if began is not None and went is not None and went >= began:
                self._went_on[n] += 1

    def include(self, other: Tally) -> None:
        """Add the counts and people of another, who are none of these."""
        for mine, more in (
            (self.counts, other.counts),
            (self.people, other.people),
            (self._went_on, other._went_on),
        ):
            for n, count in enumerate(more):
                mine[n] += count


_Times = tuple[list[float | None], list[float | None]]
"""When a person was at each step for the first and for the last time."""


@dataclass(slots=True)
class Report:
    """The funnel of a period, in groups and summed; only what had a row is there.

    total: everybody; its people are not the sum of the groups', who overlap.
    """

    since: float
    until: float
    total: Tally = field(default_factory=Tally)
    groups: dict[Group, Tally] = field(default_factory=dict)
    campaigns: dict[str, Tally] = field(default_factory=dict)
    sources: dict[str, Tally] = field(default_factory=dict)


@dataclass(slots=True)
class _Touch:
    at: float
    kind: str
    item_id: str
    group: tuple[str, str, str]


@dataclass(slots=True)
class _Order:
    id: str
    at: float
    items: set[str]
    gross: int
    group: Group
    refunded: int = 0


def _orders(purchases: Sequence[Row], refunds: Sequence[Row]) -> tuple[list[_Order], list[Row]]:
    """Somebody's orders by time, refunds taken off, and the refunds of nothing known."""
    orders: list[_Order] = []
    by_id: dict[str, _Order] = {}
    for _, _, at, _, item, order_id, cents, *group in purchases:
        order = by_id.get(order_id) if order_id else None
        if order is None:
            order = _Order(order_id, at, {item}, cents, Group(*group))
            orders.append(order)
            by_id[order_id] = order
        else:
            order.items.add(item)
            order.gross += cents
    unknown = []
    for row in refunds:
        _, _, at, _, item, order_id, cents, *_ = row
        found = by_id.get(order_id) if order_id else None
        if found is None and item:
            found = _newest(orders, item, at)
        if found is None:
            unknown.append(row)
        else:
            found.refunded += cents
    return orders, unknown


def _newest(orders: Sequence[_Order], item: str, at: float) -> _Order | None:
    """The newest order of an item before `at`, rather one that is not given back yet."""
    before = [order for order in orders if item in order.items and order.at <= at]
    left = [order for order in before if order.refunded < order.gross]
    newest_first = reversed(left or before)
    return next(newest_first, None)


@dataclass(slots=True, eq=False)
class _Slot:
    """A group and every tally that it counts for, the smallest first.

    alone: what people have there who have nothing in any other group. It is added to the
    larger tallies at the end: most people are such.
    """

    group: Group
    tallies: tuple[Tally, ...]
    alone: Tally = field(default_factory=Tally)


class _Counting:
    """A report being made, person after person."""

    def __init__(
        self, since: float, until: float, window_s: float, view_window_s: float, campaign: str
    ) -> None:
        self.report = Report(since, until)
        self._since = since
        self._window_s = window_s
        self._view_window_s = view_window_s
        self._campaign = campaign
        self._slots: dict[tuple[str, str, str], _Slot | None] = {}

    def _slot(self, name: tuple[str, str, str]) -> _Slot | None:
        """The slot of a group; None when the report is not about it."""
        try:
            return self._slots[name]
        except KeyError:
            slot = None
            group = Group(*name)
            if not self._campaign or group.campaign == self._campaign:
                report = self.report
                tallies = (
                    report.groups.setdefault(group, Tally()),
                    report.campaigns.setdefault(group.campaign, Tally()),
                    report.sources.setdefault(group.source, Tally()),
                    report.total,
                )
                slot = _Slot(group, tallies)
            self._slots[name] = slot
            return slot

    def add(self, rows: list[Row], known: bool) -> None:
        """All rows of a person, or (not known) one of nobody."""
        if known and len({row[3] for row in rows}) == 1 and self._alike(rows):
            return
        seen: dict[Group, _Times] = {}
        doing = False
        for row in rows:
            at, kind, name = row[2], row[3], row[7:]
            step = _STEP_OF.get(kind)
            if step is None or (step == _CLAIM and not name[0] and not name[2]):
                doing = True
            elif at >= self._since and (slot := self._slot(name)) is not None:
                slot.alone.counts[step] += 1
                _see(seen, slot.group, step, at)
        if doing:
            self._credit(rows, seen)
        if known and seen:
            self._meet(seen)

    def _alike(self, rows: list[Row]) -> bool:
        """Count somebody who only saw or only clicked, as most do; False for other rows."""
        step = _STEP_OF.get(rows[0][3])
        if step is None or step == _CLAIM:
            return False
        slots = set()
        for row in rows:
            if row[2] >= self._since and (slot := self._slot(row[7:])) is not None:
                slot.alone.counts[step] += 1
                slots.add(slot)
        if len(slots) == 1:
            slots.pop().alone.people[step] += 1
        else:
            for tally in {id(one): one for slot in slots for one in slot.tallies}.values():
                tally.people[step] += 1
        return True

    def _meet(self, seen: dict[Group, _Times]) -> None:
        if len(seen) == 1:
            ((group, times),) = seen.items()
            slot = self._slots[group]
            assert slot is not None
            slot.alone.meet(times)
            return
        report = self.report
        for group, times in seen.items():
            report.groups[group].meet(times)
        ever = _together(seen.values())
        report.total.meet(ever)
        for tallies, at in ((report.campaigns, 0), (report.sources, 2)):
            names = {group[at] for group in seen}
            for name in names:
                its = (times for group, times in seen.items() if group[at] == name)
                tallies[name].meet(ever if len(names) == 1 else _together(its))

    def finish(self) -> Report:
        """The report, when all people are there."""
        for slot in self._slots.values():
            if slot is not None:
                for tally in slot.tallies:
                    tally.include(slot.alone)
        return self.report

    def _credit(self, rows: list[Row], seen: dict[Group, _Times]) -> None:
        touches = sorted(
            (
                _Touch(row[2], row[3], row[4], row[7:])
                for row in rows
                if row[3] in ("exposure", "click") and (row[7] or row[9])
            ),
            key=lambda touch: (touch.at, touch.kind == "click", touch.group),
        )
        times = [touch.at for touch in touches]
        for row in rows:
            at, name = row[2], row[7:]
            if row[3] == "claim" and not name[0] and not name[2] and at >= self._since:
                last = self._before(touches, times, at, None)[-1:]
                if (slot := self._slot(last[0].group if last else NONE)) is not None:
                    slot.alone.counts[_CLAIM] += 1
                    _see(seen, slot.group, _CLAIM, at)
        orders, unknown = _orders(
            [row for row in rows if row[3] == "purchase"],
            [row for row in rows if row[3] == "refund"],
        )
        for order in orders:
            if self._since <= order.at < self.report.until:
                touched = self._before(touches, times, order.at, order.items)
                self._order(order, touched, seen)
        for row in unknown:
            if self._since <= row[2] < self.report.until and (slot := self._slot(row[7:])):
                for tally in slot.tallies:
                    tally.last.add(0, 0, row[6])
                    tally.position.add(0, 0, row[6])

    def _before(
        self, touches: list[_Touch], times: list[float], at: float, items: set[str] | None
    ) -> list[_Touch]:
        """The touches that count for something done at `at`, oldest first."""
        end = bisect_right(times, at)
        begin = bisect_right(times, at - max(self._window_s, self._view_window_s))
        return [
            touch
            for touch in touches[begin:end]
            if touch.at > at - (self._window_s if touch.kind == "click" else self._view_window_s)
            and (
                touch.kind == "click"
                or items is None
                or not touch.item_id
                or touch.item_id in items
            )
        ]

    def _order(self, order: _Order, touches: list[_Touch], seen: dict[Group, _Times]) -> None:
        names = [touch.group for touch in touches] or [order.group]
        if self._campaign and all(name[0] != self._campaign for name in names):
            return
        last, position = last_weights(len(names)), position_weights(len(names))
        weighed = sum(position)
        parts = zip(
            names,
            last,
            shared(order.gross, last),
            shared(order.refunded, last),
            position,
            shared(order.gross, position),
            shared(order.refunded, position),
            strict=True,
        )
        # Each tally counts the order once, from its first touch there.
        met: dict[int, tuple[Tally, float | None]] = {}
        for number, (name, its, last_gross, last_back, weight, gross, back) in enumerate(parts):
            slot = self._slot(name)
            if slot is None:
                continue
            for tally in slot.tallies:
                tally.last.add(its, last_gross, last_back)
                tally.position.add(weight / weighed, gross, back)
                met.setdefault(id(tally), (tally, touches[number].at if touches else None))
            _see(seen, slot.group, _PURCHASE, order.at)
        for tally, began in met.values():
            tally.counts[_PURCHASE] += 1
            if began is not None:
                tally.waits.append(order.at - began)


def _see(seen: dict[Group, _Times], group: Group, step: int, at: float) -> None:
    times = seen.get(group)
    if times is None:
        times = seen[group] = ([None] * len(STEPS), [None] * len(STEPS))
    first, newest = times
    began, went = first[step], newest[step]
    if began is None or at < began:
        first[step] = at
    if went is None or at > went:
        newest[step] = at


def _together(its: Iterable[_Times]) -> _Times:
    """The first and the last times of a person over several groups."""
    first: list[float | None] = [None] * len(STEPS)
    newest: list[float | None] = [None] * len(STEPS)
    for one, other in its:
        for step, at in enumerate(one):
            if at is None:
                continue
            began, went, last = first[step], newest[step], other[step]
            if began is None or at < began:
                first[step] = at
            if went is None or (last is not None and last > went):
                newest[step] = last
    return first, newest


def funnel(
    rows: Iterable[Row],
    *,
    since: float,
    until: float,
    window_s: float,
    view_window_s: float,
    campaign: str = "",
) -> Report:
    """The funnel of [since, until).

    rows: each person's together, of one kind by time; from a window before `since` on,
    purchases and refunds from ever. window_s: how long after a click an order is owed to it;
    view_window_s: after an exposure. campaign: report on this one alone. No row: a report
    with zeros and no groups.
    """
    counting = _Counting(since, until, window_s, view_window_s, campaign)
    mine: list[Row] = []
    of: int | str = ""
    for row in rows:
        who = row[0] or row[1]
        if who != of or not who:
            counting.add(mine, bool(of))
            mine, of = [], who
        mine.append(row)
    counting.add(mine, bool(of))
    return counting.finish()
