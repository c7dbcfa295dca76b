"""Three rates, as books on community marketing define them, and what each of them counts here.

Interaction rate: interactions ÷ exposures. An exposure is one thing shown to one member: an item
in an answer, a campaign's message that arrived, a post in a group for everybody who was in it,
what the shop reports. It had its interaction when the member did something there within 24 hours
- wrote, tapped, clicked, ordered -, and one act answers one exposure: the newest before it. So
the rate is a share, and an act that nothing was shown before is none. A window of exposures ends
a day before it is counted, or the last of them would not have had their day yet.

Conversion rate: paying ÷ potential. Potential is who could have paid: members who were shown
something, or did something, in the window. Paying are those of them with an order after that, in
the window, that was not given back in full since. Of everybody together, who pays is in touch.

Retention rate: retained ÷ all. All are those who were active in the window before; retained are
those of them who were active again in this one. Beside it the stay rate, of memberships: who was
there when the window began, and how many of them still were when it ended.

Every rate is of people or of exposures, never of money, and has Wilson's 95 % interval: by people,
for who was shown ten things did not decide ten times. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from insights.outcomes import Report, rate
from insights.report import Chart, Figure, Listing, Row, Series

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RESPONSE_S = 86_400.0
"""How long an exposure waits for its interaction."""

_ANYWHERE = 1
"""The place of what is done outside of any chat: it answers what was shown anywhere."""

MOST_ROWS = 20
"""Of a list."""
MOST_BARS = 8
"""Of a chart: more can't be read on a phone."""

LEAST = 30
"""A rate of fewer is shown, and said to be of few."""

FIGURES = frozenset(
    {
        "interaction_rate",
        "conversion_rate",
        "retention_rate",
        "stay_rate",
        "cost_per_conversion",
        "funnel_shown",
        "funnel_clicked",
        "funnel_bought",
    }
)
LISTS = frozenset({"rates_by_channel", "rates_by_place", "rates_by_campaign"})
CHARTS = LISTS | {"interaction_rate"}
"""Of charts, and of the bars in them."""
NOTES = frozenset(
    {
        "no_exposures",
        "no_potential",
        "nobody_before",
        "few",
        "no_cost",
        "no_conversions",
        "groups_overlap",
    }
)


class Touches(Protocol):
    """Who was shown or did what, when and where: `store.outcome_reads.Touches`."""

    @property
    def member(self) -> Ints: ...
    @property
    def at(self) -> Floats: ...
    @property
    def place(self) -> Ints: ...
    @property
    def channel(self) -> Ints: ...
    @property
    def campaign(self) -> Ints: ...


class Spells(Protocol):
    """Who was there from when to when; left: infinite for who still is."""

    @property
    def member(self) -> Ints: ...
    @property
    def since(self) -> Floats: ...
    @property
    def left(self) -> Floats: ...


class Share(NamedTuple):
    """hits of so many, which are of so many different members.

    worth: of how many, were each of another member, the share would be as uncertain; None when
    that is not known: of as many as there are members.
    """

    hits: int
    of: int
    people: int
    worth: float | None = None


NOTHING = Share(0, 0, 0)


class Window(NamedTuple):
    """From `since` on, before `until`."""

    since: float
    until: float

    @property
    def before(self) -> Window:
        """As long, just before it."""
        return Window(2 * self.since - self.until, self.since)

    def holds(self, at: Floats) -> Bools:
        """Which of these moments are in it."""
        return (at >= self.since) & (at < self.until)


def answered(shown: Touches, did: Touches, response_s: float = RESPONSE_S) -> Bools:
    """Which exposures had their interaction, in their order.

    An act answers the newest exposure of its member before it that is not older than response_s:
    in the same place, or anywhere when it was done outside of any chat. Shown and done at the
    same moment is no answer: who asks is shown something by asking.
    """
    found = np.zeros(len(shown.member), np.bool_)
    if not len(found) or not len(did.member):
        return found
    outside = did.place == _ANYWHERE
    for acts, placed in ((~outside, True), (outside, False)):
        if acts.any():
            place = shown.place if placed else np.zeros_like(shown.place)
            where = did.place[acts] if placed else np.zeros(int(acts.sum()), np.int64)
            _mark(found, shown, place, did.member[acts], did.at[acts], where, response_s)
    return found


def _mark(
    found: Bools,
    shown: Touches,
    place: Ints,
    who: Ints,
    at: Floats,
    where: Ints,
    response_s: float,
) -> None:
    """Write down which exposures these acts answer."""
    width = int(max(place.max(), where.max())) + 1
    keys, mine = np.unique(shown.member * width + place, return_inverse=True)
    theirs = who * width + where
    number = np.searchsorted(keys, theirs)
    known = number < len(keys)
    known[known] = keys[number[known]] == theirs[known]
    number, at = number[known], at[known]
    # One number that sorts by who and where, then by time: milliseconds since the first.
    start = min(float(shown.at.min()), float(at.min()) if len(at) else math.inf)
    shift = 1 << 36
    codes = mine.astype(np.int64) * shift + _ms(shown.at, start)
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    acts = number.astype(np.int64) * shift + _ms(at, start)
    newest = np.searchsorted(codes, acts, side="left") - 1
    fits = newest >= 0
    newest, acts = newest[fits], acts[fits]
    # Of another member or place it would be a shift away, which is not within the time.
    near = acts - codes[newest] <= int(response_s * 1000)
    found[order[newest[near]]] = True


def _ms(at: Floats, start: float) -> Ints:
    rounded: Ints = np.rint((at - start) * 1000).astype(np.int64)
    return rounded


def interaction(
    shown: Touches, hit: Bools, window: Window, by: Ints | None = None
) -> dict[int, Share]:
    """Exposures of a window and those with an interaction; by: a column of numbers, else all as 0.

    hit: of `answered`. Numbers without an exposure are left out.
    """
    fits = window.holds(shown.at)
    if not fits.any():
        return {}
    slices = np.zeros(int(fits.sum()), np.int64) if by is None else by[fits]
    of = _clusters(slices, shown.member[fits], hit[fits])
    total = np.bincount(of.slice, of.size).astype(np.int64)
    hits = np.bincount(of.slice, of.hits).astype(np.int64)
    people = np.bincount(of.slice)
    worth = _worth(of, total, hits, people)
    return {
        int(one): Share(int(hits[one]), int(total[one]), int(people[one]), float(worth[one]))
        for one in np.flatnonzero(total)
    }


class _Clusters(NamedTuple):
    """A member in a slice each: exposures, and those with an interaction."""

    slice: Ints
    size: Ints
    hits: Ints


def _clusters(slices: Ints, member: Ints, hit: Bools) -> _Clusters:
    width = int(member.max()) + 1
    # Whether it was answered is the last bit: one sort is enough.
    keys = np.sort((slices * width + member) * 2 + hit)
    whose = keys >> 1
    first = np.flatnonzero(np.concatenate([[True], whose[1:] != whose[:-1]]))
    size = np.diff(first, append=len(keys))
    return _Clusters(whose[first] // width, size, np.add.reduceat(keys & 1, first))


def _worth(of: _Clusters, total: Ints, hits: Ints, people: Ints) -> Floats:
    """Exposures of as many members as would be as uncertain, of each slice; nan without any.

    Source: the linearized variance of a ratio over clusters (Cochran 1977, 6.3), as n of p(1-p)/n.
    At least 1; where all are alike what varies is not seen, and members count.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits / total
        rest = (of.hits - share[of.slice] * of.size) ** 2
        spread = np.bincount(of.slice, rest) * people / (people - 1) / total.astype(np.float64) ** 2
        found = np.where(spread > 1e-15, share * (1.0 - share) / spread, people)
    found = np.where(people == 1, 1.0, np.clip(found, 1.0, np.maximum(total, 1)))
    return np.where(total > 0, found, np.nan)


def _sorted(keys: Ints) -> Ints:
    """Each once, sorted. numpy's own unique hashes: 50 times as long for millions."""
    keys = np.sort(keys)
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    return keys[first]


def different(member: Ints) -> int:
    """How many different ones there are."""
    return len(_sorted(member))


def conversion(
    touched: Sequence[tuple[Ints, Floats, Ints]],
    paid_member: Ints,
    paid_at: Floats,
    window: Window,
    *,
    everybody: bool = False,
) -> dict[int, Share]:
    """Who was in touch in a window, and who of them paid after that, in it.

    touched: columns (member, when, slice), several of them together. paid: orders that were not
    given back in full. everybody: who paid was in touch by that, in slice 0. Slices without
    anybody are left out. Before and after are told by the second.
    """
    fits = window.holds(paid_at)
    paid_member, paid_at = paid_member[fits], paid_at[fits]
    columns = [*touched]
    if everybody:
        columns.append((paid_member, paid_at, np.zeros(len(paid_member), np.int64)))
    member = np.concatenate([one[0] for one in columns]) if columns else np.empty(0, np.int64)
    at = np.concatenate([one[1] for one in columns]) if columns else np.empty(0)
    slices = np.concatenate([one[2] for one in columns]) if columns else np.empty(0, np.int64)
    inside = window.holds(at)
    member, at, slices = member[inside], at[inside], slices[inside]
    if not len(member):
        return {}
    # One number that sorts by slice and member, then by time: whole seconds of the window.
    width = int(member.max()) + 1
    codes = np.sort((slices * width + member) * _SPAN + _seconds(at, window))
    keys = codes // _SPAN
    first = np.concatenate([[True], keys[1:] != keys[:-1]])
    who, where, first_at = keys[first] % width, keys[first] // width, codes[first] % _SPAN
    payers, last = _newest(paid_member, paid_at)
    spot = np.searchsorted(payers, who)
    pays = spot < len(payers)
    pays[pays] = payers[spot[pays]] == who[pays]
    pays[pays] = _seconds(last[spot[pays]], window) >= first_at[pays]
    total = np.bincount(where)
    hits = np.bincount(where, pays)
    return {
        int(one): Share(int(hits[one]), int(total[one]), int(total[one]))
        for one in np.flatnonzero(total)
    }


_SPAN = 1 << 27
"""More seconds than any window has."""


def _seconds(at: Floats, window: Window) -> Ints:
    whole: Ints = (at - window.since).astype(np.int64)
    return whole


def _newest(member: Ints, at: Floats) -> tuple[Ints, Floats]:
    """Each member once, sorted, and their last moment."""
    order = np.lexsort((-at, member))
    who, first = np.unique(member[order], return_index=True)
    return who, at[order][first]


def retention(member: Ints, at: Floats, window: Window, by: Ints | None = None) -> dict[int, Share]:
    """Who was active in the window before, and who of them was again in this one.

    by: a column of numbers (groups), else all as 0. Numbers without anybody before are left out.
    """
    slices = np.zeros(len(member), np.int64) if by is None else by
    width = int(member.max()) + 1 if len(member) else 1
    earlier, now = window.before.holds(at), window.holds(at)
    were = _sorted(slices[earlier] * width + member[earlier])
    if not len(were):
        return {}
    again = np.isin(were, _sorted(slices[now] * width + member[now]), assume_unique=True)
    total = np.bincount(were // width)
    hits = np.bincount(were // width, again)
    return {
        int(one): Share(int(hits[one]), int(total[one]), int(total[one]))
        for one in np.flatnonzero(total)
    }


def stayed(spells: Spells, window: Window, by: Ints | None = None) -> dict[int, Share]:
    """Who was there when the window began, and who of them still was when it ended.

    Who is there in two ways (two accounts) is there as long as one of them lasts.
    """
    there = (spells.since < window.since) & (spells.left > window.since)
    if not there.any():
        return {}
    member = spells.member[there]
    slices = np.zeros(len(member), np.int64) if by is None else by[there]
    width = int(member.max()) + 1
    keys, mine = np.unique(slices * width + member, return_inverse=True)
    still = np.zeros(len(keys), np.bool_)
    np.logical_or.at(still, mine, spells.left[there] >= window.until)
    total = np.bincount(keys // width)
    hits = np.bincount(keys // width, still)
    return {
        int(one): Share(int(hits[one]), int(total[one]), int(total[one]))
        for one in np.flatnonzero(total)
    }


_NONE_OF = {
    "interaction_rate": "no_exposures",
    "conversion_rate": "no_potential",
    "retention_rate": "nobody_before",
    "stay_rate": "nobody_before",
}


def share_figure(
    name: str,
    share: Share,
    window: Window,
    *,
    of: str = "",
    before: Share | None = None,
    none: str = "",
) -> Figure:
    """A share with its interval, and the window before; of nothing, None and why.

    none: the note of that, else the one that belongs to the name.
    """
    found = rate(share.hits, share.of, max(share.people, 1) if share.worth is None else share.worth)
    nothing = share.of == 0
    note = (none or _NONE_OF.get(name, "")) if nothing else "few" if share.of < LEAST else ""
    return Figure(
        name=name,
        value=None if nothing else found.value,
        unit="share",
        since=window.since,
        until=window.until,
        of=of,
        numerator=share.hits,
        denominator=share.of,
        low=None if nothing else found.low,
        high=None if nothing else found.high,
        n=share.of,
        people=share.people,
        before=before.hits / before.of if before and before.of else None,
        before_people=before.people if before and before.of else None,
        note=note,
    )


class Cost(NamedTuple):
    """What a place cost in a window, and how many members paid in it there."""

    cents: int
    paying: int
    window: Window


def cost_figure(cost: Cost | None, window: Window, of: str) -> Figure:
    """What a place cost for each member who paid. cost: None when not known.

    window: of the report, where the cost has none.
    """
    its = cost or Cost(0, 0, window)
    return Figure(
        name="cost_per_conversion",
        value=its.cents / its.paying if its.paying else None,
        unit="cents",
        since=its.window.since,
        until=its.window.until,
        of=of,
        numerator=None if cost is None else its.cents,
        denominator=None if cost is None else its.paying,
        n=its.paying,
        people=its.paying,
        note="no_cost" if cost is None else "" if its.paying else "no_conversions",
    )


class Slices(NamedTuple):
    """The rates of the parts of a whole: of each number, what is known of it.

    shown_in: the window of the exposures. retained: empty where it is not asked, as of campaigns;
    active_in: its window. costs: None when nothing is said of them, as of campaigns.
    """

    window: Window
    shown_in: Window
    interaction: Mapping[int, Share]
    conversion: Mapping[int, Share]
    retained: Mapping[int, Share]
    active_in: Window
    costs: Mapping[int, Cost] | None = None


def listing(name: str, slices: Slices, labels: Mapping[int, str], note: str = "") -> Listing:
    """Its parts by the number of exposures, those without any by the number of people.

    labels: as people call them; a number without one is left out.
    """
    numbers = {*slices.interaction, *slices.conversion} & labels.keys()

    def size(one: int) -> tuple[int, int, str]:
        shown, touched = slices.interaction.get(one), slices.conversion.get(one)
        return -(shown.of if shown else 0), -(touched.of if touched else 0), labels[one]

    rows = []
    for one in sorted(numbers, key=size)[:MOST_ROWS]:
        label = labels[one]
        paying = slices.conversion.get(one, NOTHING)
        figures = [
            share_figure(
                "interaction_rate",
                slices.interaction.get(one, NOTHING),
                slices.shown_in,
                of=label,
            ),
            share_figure("conversion_rate", paying, slices.window, of=label),
        ]
        if one in slices.retained:
            figures.append(
                share_figure("retention_rate", slices.retained[one], slices.active_in, of=label)
            )
        if slices.costs is not None:
            figures.append(cost_figure(slices.costs.get(one), slices.window, label))
        rows.append(Row(label=label, figures=tuple(figures)))
    return Listing(name=name, rows=tuple(rows), note=note if rows else "")


FUNNEL = ("funnel_shown", "funnel_clicked", "funnel_bought")
"""People who were shown something by the shop or in an answer, the share of them who clicked on
what a campaign or a source showed them, and the share of those who clicked that bought."""


def funnel_figures(report: Report, window: Window) -> tuple[Figure, ...]:
    """The steps of `insights.outcomes.funnel` over a window; of nobody, shares that are None."""
    total = report.total
    shown = total.people[0]
    figures = [
        Figure(
            name="funnel_shown",
            value=shown,
            unit="count",
            since=window.since,
            until=window.until,
            n=total.counts[0],
            people=shown,
        )
    ]
    steps = (("exposure", "click"), ("click", "purchase"))
    for name, step in zip(FUNNEL[1:], steps, strict=True):
        found = total.rates[step]
        share = Share(found.went_on, found.people, found.people)
        figures.append(share_figure(name, share, window, none="no_exposures"))
    return tuple(figures)


def chart(one: Listing) -> Chart | None:
    """Interaction rates of a list with their intervals; None for fewer than two."""
    found = [
        (row.label, figure)
        for row in one.rows
        for figure in row.figures
        if figure.name == "interaction_rate" and figure.value is not None
    ][:MOST_BARS]
    if len(found) < 2:
        return None
    return Chart(
        name=one.name,
        kind="intervals",
        unit="share",
        labels=tuple(label for label, _ in found),
        series=(
            Series(
                name="interaction_rate",
                values=tuple(figure.value for _, figure in found),
                low=tuple(figure.low for _, figure in found),
                high=tuple(figure.high for _, figure in found),
                n=tuple(figure.n for _, figure in found),
            ),
        ),
    )
