"""What came of what was recommended: seen, clicked, bought, and whether it was more than for those
who always see what is popular.

Counted are places: one item in one list that was shown. A place was clicked, or bought, when that
item was clicked or bought after it (`store/rec_outcomes.py` joins them). Members are the unit of
every interval: who was shown ten lists did not decide ten times. Compared with the hold-out is
everybody who is not held out, whatever ranker they saw: a ranker that only some members get, or
only at times, would be compared with other members or other times.

Lists that a program fetched by the API are counted on their own and are in nothing else: whether
somebody saw them, nobody tells us.

Novelty is how unpopular what was shown is: of each place, the share of members who never touched
its item. Source: Vargas & Castells 2011, expected popularity complement.

Pure; scipy is loaded. Who withheld profiling is not among the places.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from insights import rec_tests
from insights.draws import side
from insights.experiments import Effect
from insights.interleaving import Credit
from insights.rates import LEAST, Share, Window, share_figure
from insights.rec_tests import LEAST_MEMBERS, NO_MEAN, Found, Mean
from insights.report import Chart, Figure, Listing, Report, Row, Series

Floats = NDArray[np.float64]

KIND = "rec"
THOUSAND = 1000.0
_LEAST_BUYERS = 30
"""Of fewer buyers on a side revenue is not compared: one large order would decide."""

FIGURES = (
    *("rec_lists", "rec_ctr", "rec_ctr_more", "rec_conversion", "rec_conversion_more"),
    *("rec_revenue", "rec_revenue_more", "rec_coverage", "rec_novelty", "rec_cold_items"),
    *("rec_cold_members", "rec_explored", "rec_fetched"),
    *("rec_test_a", "rec_test_b", "rec_test_more", "rec_prefer"),
)
"""Of the report, in this order; the last four of the tests in it."""
LISTS = ("rec_rankers", "rec_surfaces", "rec_tests")
CHARTS = ("rec_rankers", "rec_ctr")
"""Of charts, and of the bars in them."""
NOTES = frozenset(
    {
        *("rec_none", "rec_no_holdout", "rec_few_holdout", "rec_few_buyers", "rec_unsure"),
        *("rec_few", "rec_unequal", "few"),
    }
)


class Place(Protocol):
    """An item in a list that was shown: `store.rec_outcomes.Place`. by: the ranker that put it
    there; cold: the member had not done anything with any item before."""

    @property
    def list_id(self) -> int: ...
    @property
    def member_id(self) -> int: ...
    @property
    def at(self) -> float: ...
    @property
    def surface(self) -> str: ...
    @property
    def ranker(self) -> str: ...
    @property
    def arm(self) -> str: ...
    @property
    def test_id(self) -> int | None: ...
    @property
    def item_id(self) -> str: ...
    @property
    def by(self) -> str: ...
    @property
    def explored(self) -> bool: ...
    @property
    def clicked(self) -> bool: ...
    @property
    def bought(self) -> bool: ...
    @property
    def cents(self) -> int: ...
    @property
    def cold(self) -> bool: ...


class Test(NamedTuple):
    """A test that runs, as in `rec_tests`. method: "split" or "interleave"."""

    id: int
    a: str
    b: str
    method: str
    salt: str
    share: float


@dataclass(frozen=True, slots=True)
class Known:
    """What the places are held against.

    catalogue: item -> when it was published, of those that may be shown now. touched: item -> how
    many members ever touched it; members: of so many. new_s: how long an item is new.
    """

    catalogue: Mapping[str, float]
    touched: Mapping[str, int]
    members: int
    new_s: float


HELD = "holdout"
FETCHED = "api"
"""The surface of lists that somebody's program may show or not."""
_PLACES, _CLICKS, _BUYS, _CENTS, _NOVEL, _NEW, _EXPLORED, _LISTS, _COLD = range(9)


@dataclass(slots=True)
class _Sums:
    """Sums of each member in one group of places, and what was shown at all."""

    members: dict[int, list[float]] = field(default_factory=dict)
    items: set[str] = field(default_factory=set)
    lists: set[int] = field(default_factory=set)

    def add(self, place: Place, novel: float, new: bool) -> None:
        mine = self.members.get(place.member_id)
        if mine is None:
            mine = self.members[place.member_id] = [0.0] * 9
        mine[_PLACES] += 1
        mine[_CLICKS] += place.clicked
        mine[_BUYS] += place.bought
        mine[_CENTS] += place.cents
        mine[_NOVEL] += novel
        mine[_NEW] += new
        mine[_EXPLORED] += place.explored
        self.items.add(place.item_id)
        if place.list_id not in self.lists:
            self.lists.add(place.list_id)
            mine[_LISTS] += 1
            mine[_COLD] += place.cold

    def table(self) -> Floats:
        """One row for each member, in the columns above."""
        return np.array(list(self.members.values()), np.float64).reshape(-1, 9)


@dataclass(slots=True)
class _Group:
    """The numbers of one group of places."""

    sums: _Sums
    clicked: Share
    bought: Share
    new: Share
    cold: Share
    explored: Share
    revenue: Mean
    novelty: Mean
    cents: float
    deciding: float

    @property
    def places(self) -> int:
        return self.clicked.of

    @property
    def people(self) -> int:
        return self.clicked.people

    @property
    def buyers(self) -> int:
        return self.bought.hits


def _group(sums: _Sums) -> _Group:
    table = sums.table()
    size = table[:, _PLACES]
    revenue = rec_tests.mean(table[:, _CENTS], size)
    return _Group(
        sums=sums,
        clicked=rec_tests.clustered(table[:, _CLICKS], size),
        bought=Share(int((table[:, _BUYS] > 0).sum()), len(table), len(table)),
        new=rec_tests.clustered(table[:, _NEW], size),
        cold=rec_tests.clustered(table[:, _COLD], table[:, _LISTS]),
        explored=rec_tests.clustered(table[:, _EXPLORED], size),
        revenue=_times(revenue, THOUSAND),
        novelty=rec_tests.mean(table[:, _NOVEL], size) if len(table) else NO_MEAN,
        cents=float(table[:, _CENTS].sum()),
        deciding=rec_tests.deciding(size),
    )


def _times(one: Mean, factor: float) -> Mean:
    return Mean(
        one.value * factor,
        one.low * factor,
        one.high * factor,
        one.people,
        one.variance * factor * factor,
    )


def ranker_of(place: Place) -> str:
    """What a list counts for: its ranker, or why the member got none of their own."""
    return place.arm if place.arm in (HELD, "fallback") else place.ranker


def report(
    places: Iterable[Place], tests: Sequence[Test], known: Known, window: Window, now: float
) -> Report:
    """The report of a window. No place at all: a report that says so, and no figures."""
    sent, held = _Sums(), _Sums()
    rankers: dict[str, _Sums] = {}
    surfaces: dict[str, _Sums] = {}
    testing = _Testing(tests)
    many = max(known.members, 1)
    fetched: dict[int, int] = {}
    for place in places:
        if place.surface == FETCHED:
            fetched[place.list_id] = place.member_id
            continue
        novel = 1.0 - min(known.touched.get(place.item_id, 0) / many, 1.0)
        published = known.catalogue.get(place.item_id)
        new = published is not None and 0.0 <= place.at - published < known.new_s
        (held if place.arm == HELD else sent).add(place, novel, new)
        rankers.setdefault(ranker_of(place), _Sums()).add(place, novel, new)
        surfaces.setdefault(place.surface, _Sums()).add(place, novel, new)
        testing.add(place)
    made = Report(kind=KIND, made_at=now, since=window.since, until=window.until)
    maker = _Figures(known, window)
    apart = (maker.count("rec_fetched", fetched, fetched.values()),) if fetched else ()
    if not sent.members and not held.members:
        return replace(made, note="rec_none", figures=apart, lists=testing.listing(window))
    by_ranker = _listing("rec_rankers", "ranker", rankers, maker)
    return replace(
        made,
        figures=maker.heading(_group(sent), _group(held)) + apart,
        lists=(
            by_ranker,
            _listing("rec_surfaces", "surface", surfaces, maker),
            *testing.listing(window),
        ),
        charts=_chart(by_ranker),
    )


def found_of(places: Iterable[Place], test: Test) -> Found:
    """What a test found so far."""
    testing = _Testing((test,))
    for place in places:
        testing.add(place)
    return testing.found(test)


@dataclass(slots=True)
class _Figures:
    """Makes figures of groups."""

    known: Known
    window: Window

    def heading(self, sent: _Group, held: _Group) -> tuple[Figure, ...]:
        """Everybody who is not held out, beside the hold-out."""
        window = self.window
        ctr = self.ctr(sent)
        bought = self.conversion(sent)
        revenue = self.revenue(sent)
        novelty = self.novelty(sent)
        lists = sent.sums.lists | held.sums.lists
        found = [
            self.count("rec_lists", lists, sent.sums.members.keys() | held.sums.members.keys())
        ]
        clicks = rec_tests.beside(sent.clicked, held.clicked)
        buys = rec_tests.beside(sent.bought, held.bought)
        earned = rec_tests.difference(sent.revenue, held.revenue)
        newer = rec_tests.difference(sent.novelty, held.novelty)
        compared = min(sent.deciding, held.deciding) >= LEAST_MEMBERS
        paid = min(sent.buyers, held.buyers) >= _LEAST_BUYERS
        certain = compared and clicks.certain
        found += [
            _against(ctr, _value(held.clicked), held.people, certain),
            self._uplift("rec_ctr_more", clicks, sent, held),
            _against(bought, _value(held.bought), held.people, compared and buys.certain),
            self._uplift("rec_conversion_more", buys, sent, held),
            _against(revenue, held.revenue.value, held.people, paid and _apart(earned)),
            self._gain(earned, sent, held, paid),
            self.coverage(sent),
            _against(novelty, held.novelty.value, held.people, compared and _apart(newer)),
            self.cold_items(sent),
            share_figure("rec_cold_members", sent.cold, window, none="rec_none"),
            share_figure("rec_explored", sent.explored, window, none="rec_none"),
        ]
        return tuple(found)

    def count(self, name: str, lists: Collection[int], members: Iterable[int]) -> Figure:
        """So many lists of so many members."""
        return Figure(
            name=name,
            value=len(lists),
            unit="count",
            since=self.window.since,
            until=self.window.until,
            n=len(lists),
            people=len(set(members)),
        )

    def ctr(self, one: _Group) -> Figure:
        return share_figure("rec_ctr", one.clicked, self.window, none="rec_none")

    def conversion(self, one: _Group) -> Figure:
        return share_figure("rec_conversion", one.bought, self.window, none="rec_none")

    def cold_items(self, one: _Group) -> Figure:
        return share_figure("rec_cold_items", one.new, self.window, none="rec_none")

    def coverage(self, one: _Group) -> Figure:
        """Of what may be shown now, how much was. All of it is counted: no interval."""
        shown = len(one.sums.items & self.known.catalogue.keys())
        of = len(self.known.catalogue)
        plain = share_figure("rec_coverage", Share(shown, of, of), self.window, none="rec_none")
        return replace(plain, low=None, high=None, people=None, n=one.places, note="")

    def revenue(self, one: _Group) -> Figure:
        return self._mean("rec_revenue", one, one.revenue, one.cents, one.places / THOUSAND)

    def novelty(self, one: _Group) -> Figure:
        sums = one.novelty.value * one.places if one.places else 0.0
        return replace(
            self._mean("rec_novelty", one, one.novelty, sums, float(one.places)), unit="share"
        )

    def _mean(self, name: str, one: _Group, its: Mean, over: float, under: float) -> Figure:
        nothing = not one.places
        return Figure(
            name=name,
            value=None if nothing else its.value,
            unit="cents",
            since=self.window.since,
            until=self.window.until,
            numerator=over,
            denominator=under,
            # Nothing of everybody has no spread, and is not certain to be nothing for ever.
            low=_finite(its.low) if over else None,
            high=_finite(its.high) if over else None,
            n=one.places,
            people=one.people,
            note="rec_none" if nothing else "few" if one.places < LEAST else "",
        )

    def _uplift(self, name: str, effect: Effect, sent: _Group, held: _Group) -> Figure:
        """How much more in parts of the hold-out's: 0.2 is a fifth more."""
        why = _missing(sent, held)
        value = None if why else _finite(effect.uplift)
        low, high = _finite(effect.uplift_low), _finite(effect.uplift_high)
        return Figure(
            name=name,
            value=value,
            unit="share",
            since=self.window.since,
            until=self.window.until,
            low=low if value is not None else None,
            high=high if value is not None else None,
            n=sent.places + held.places,
            people=min(sent.people, held.people),
            note=why or ("rec_unsure" if value is None or not effect.certain else ""),
        )

    def _gain(
        self, earned: tuple[float, float, float], sent: _Group, held: _Group, paid: bool
    ) -> Figure:
        diff, low, high = earned
        why = _missing(sent, held) or ("" if paid else "rec_few_buyers")
        return Figure(
            name="rec_revenue_more",
            value=None if why else _finite(diff),
            unit="cents",
            since=self.window.since,
            until=self.window.until,
            low=None if why else _finite(low),
            high=None if why else _finite(high),
            n=sent.places + held.places,
            people=min(sent.people, held.people),
            note=why or ("" if _apart(earned) else "rec_unsure"),
        )

    def of_row(self, one: _Group) -> tuple[Figure, ...]:
        return (
            self.ctr(one),
            self.conversion(one),
            self.revenue(one),
            self.coverage(one),
            self.novelty(one),
            self.cold_items(one),
        )


def _missing(sent: _Group, held: _Group) -> str:
    """Why nothing is compared; "" where it is."""
    if not held.people or not sent.people:
        return "rec_no_holdout"
    return "rec_few_holdout" if min(sent.deciding, held.deciding) < LEAST_MEMBERS else ""


def _against(one: Figure, base: float, people: int, certain: bool) -> Figure:
    """A figure with the hold-out's beside it."""
    if one.value is None or not people or not math.isfinite(base):
        return one
    note = one.note if certain else one.note or "rec_unsure"
    return replace(one, before=base, before_people=people, note=note)


def _value(one: Share) -> float:
    return one.hits / one.of if one.of else math.nan


def _apart(found: tuple[float, float, float]) -> bool:
    return found[1] > 0.0 or found[2] < 0.0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _listing(name: str, kind: str, groups: Mapping[str, _Sums], maker: _Figures) -> Listing:
    """The groups, those that were shown most first."""
    counted = {called: _group(sums) for called, sums in groups.items()}
    order = sorted(counted, key=lambda called: (-counted[called].places, called))
    return Listing(
        name=name,
        rows=tuple(
            Row(label=f"{kind}:{called}", figures=maker.of_row(counted[called])) for called in order
        ),
    )


def _chart(listing: Listing) -> tuple[Chart, ...]:
    """The click rates of the rankers with their intervals; none for fewer than two."""
    rows = [(row.label, row.figures[0]) for row in listing.rows if row.figures[0].value is not None]
    if len(rows) < 2:
        return ()
    series = Series(
        name="rec_ctr",
        values=tuple(one.value for _, one in rows),
        low=tuple(one.low for _, one in rows),
        high=tuple(one.high for _, one in rows),
        n=tuple(one.n for _, one in rows),
        people=tuple(one.people or 0 for _, one in rows),
    )
    labels = tuple(label for label, _ in rows)
    return (
        Chart(name=listing.name, kind="intervals", unit="share", labels=labels, series=(series,)),
    )


class _Testing:
    """Counts for the tests that run."""

    def __init__(self, tests: Sequence[Test]) -> None:
        self._tests = {one.id: one for one in tests}
        # (test, team) -> member -> [places, clicks]
        self._sides: dict[tuple[int, str], dict[int, list[float]]] = {}

    def add(self, place: Place) -> None:
        test = None if place.test_id is None else self._tests.get(place.test_id)
        if test is None or place.surface == FETCHED:
            return
        if test.method == "interleave":
            # What chance put there, to learn about it, is nobody's pick.
            teams = {test.a: "a", test.b: "b"}
            team = "" if place.explored else teams.get(place.by, "")
        else:
            # By the draw, not by what was shown: a ranker that failed is its own fault.
            team = side(test.salt, place.member_id, test.share)
        mine = self._sides.setdefault((test.id, team), {}).setdefault(place.member_id, [0.0, 0.0])
        mine[0] += 1
        mine[1] += place.clicked

    def found(self, test: Test) -> Found:
        a, b = (self._sides.get((test.id, team), {}) for team in ("a", "b"))
        if test.method == "interleave":
            members = a.keys() | b.keys()
            none = [0.0, 0.0]
            credits = [
                Credit(one, int(a.get(one, none)[1]), int(b.get(one, none)[1]))
                for one in sorted(members)
            ]
            return rec_tests.interleaved(test.a, test.b, len(members), credits)
        tables = (_table(a), _table(b))
        of_a, of_b = (rec_tests.clustered(one[:, 1], one[:, 0]) for one in tables)
        least = min(rec_tests.deciding(one[:, 0]) for one in tables)
        return rec_tests.split(test.a, test.b, of_a, of_b, least)

    def listing(self, window: Window) -> tuple[Listing, ...]:
        """The tests that run; () when none does."""
        rows = tuple(self._row(test, window) for test in self._tests.values())
        return (Listing(name="rec_tests", rows=rows),) if rows else ()

    def _row(self, test: Test, window: Window) -> Row:
        found = self.found(test)
        return Row(
            label=f"rec_test:{test.method}|ranker:{test.a}|ranker:{test.b}",
            figures=_test_figures(found, window),
        )


def _table(side: Mapping[int, Sequence[float]]) -> Floats:
    """Places and clicks of each member, shape [n, 2]."""
    return np.array(list(side.values()), np.float64).reshape(-1, 2)


def _test_figures(found: Found, window: Window) -> tuple[Figure, ...]:
    if found.method == "interleave":
        its = found.preference
        if its is None or not its.members:
            plain = share_figure("rec_prefer", Share(0, 0, 0), window, none="rec_none")
            return (plain,)
        # A tie is half a vote for each: shown as it is counted.
        hits = its.a + its.ties / 2
        plain = share_figure("rec_prefer", Share(0, its.members, its.members), window)
        note = f"rec_{found.why}" if found.why else "" if found.better else "rec_unsure"
        prefer = replace(plain, value=its.share, low=its.low, high=its.high, numerator=hits)
        return (replace(prefer, note=note),)
    assert found.share_a is not None
    assert found.share_b is not None
    assert found.effect is not None
    effect, people = found.effect, min(found.members_a, found.members_b)
    value = None if found.why == "few" else _finite(effect.uplift)
    more = Figure(
        name="rec_test_more",
        value=value,
        unit="share",
        since=window.since,
        until=window.until,
        low=None if value is None else _finite(effect.uplift_low),
        high=None if value is None else _finite(effect.uplift_high),
        n=found.share_a.of + found.share_b.of,
        people=people,
        note=f"rec_{found.why}" if found.why else "" if effect.certain else "rec_unsure",
    )
    return (
        share_figure("rec_test_a", found.share_a, window, none="rec_none"),
        share_figure("rec_test_b", found.share_b, window, none="rec_none"),
        more,
    )
