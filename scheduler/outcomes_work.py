"""The numbers behind `scheduler/outcomes.py`, worked out in a process beside the bot.

Module-level functions, called by name over there; what they give back are reports as they are
kept. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from insights import baskets, headlines, lifetime, outcomes, rates, retention
from insights.headlines import DAY_S, HOUR_S, Numbers
from insights.rates import NOTHING, RESPONSE_S, Cost, Share, Slices, Window
from insights.report import Figure, Listing, Report, to_json
from store import funnel, insight_reads, outcome_reads, place_costs
from store.dialect import Connection
from store.outcome_reads import Ids, Names, Order, Touches

RATES_DAYS = 28
"""Of the rates in the report on retention."""
COST_WEEKS = 4
"""Whole weeks that the cost of a conversion is of, at most."""

_CURVE_WEEKS = 26
_OUTSIDE = 1
"""The place of what was done outside of any chat."""


class Rules(NamedTuple):
    """lost_days: silence after which a member is lost. least_support: members who must have all
    items of a rule. window_s, view_window_s: how long after a click, an exposure, an order is owed
    to it."""

    lost_days: int
    least_support: int
    window_s: float
    view_window_s: float


class _Log(NamedTuple):
    """What was shown and done. hit: which of it was answered; acts: which of it was in a chat.

    ids: numbers in `interactions` between which all of it stands.
    """

    ids: Ids
    names: Names
    shown: Touches
    hit: NDArray[np.bool_]
    did: Touches
    acts: NDArray[np.bool_]
    paid_member: NDArray[np.int64]
    paid_at: NDArray[np.float64]


class _Kept(msgspec.Struct):
    """What is needed of `member_features.data`."""

    weeks: str = ""


def nightly(path: Path, rules: Rules, now: float) -> tuple[str, str]:
    """The reports on retention and on the last week, as JSON; the latter without what others found.

    Errors: the database's own.
    """
    with insight_reads.reading(path) as conn:
        began = outcome_reads.log_began(conn)
        until = headlines.day_start(now)
        window = Window(until - RATES_DAYS * DAY_S, until)
        known = began is not None and began <= window.before.since
        orders = outcome_reads.orders(conn)
        earliest = (window.before if known else window).since - RESPONSE_S
        # Costs are of whole weeks, which reach back a little further.
        earliest = min(earliest, _cost_weeks(now, COST_WEEKS).since)
        ids = outcome_reads.ids_between(conn, earliest, until)
        log = _read(conn, orders, earliest, until, ids)
        kept = _retention(conn, rules, log, orders, window, now, known=known)
        week = _week(conn, log, now, began)
    return to_json(kept), to_json(week)


def day(path: Path, now: float) -> str:
    """The report on today so far, as JSON, without what others found. Reads two days, no more.

    Errors: the database's own.
    """
    with insight_reads.reading(path) as conn:
        today, before, note = headlines.day_windows(now, outcome_reads.log_began(conn))
        report = headlines.headlines(
            "day",
            _day_numbers(conn, today),
            None if before is None else _day_numbers(conn, before),
            note,
            now,
        )
    return to_json(report)


def _read(conn: Connection, orders: Iterable[Order], since: float, until: float, ids: Ids) -> _Log:
    names = Names.none()
    shown = outcome_reads.shown(conn, names, since, until, ids)
    did = outcome_reads.did(conn, names, since, until, ids)
    paid = [(one.member, one.at) for one in orders if one.net_cents > 0]
    return _Log(
        ids,
        names,
        shown,
        rates.answered(shown, did),
        did,
        did.place != _OUTSIDE,
        np.array([one[0] for one in paid], np.int64),
        np.array([one[1] for one in paid], np.float64),
    )


def _settled(window: Window) -> Window:
    """The exposures that a window can tell of: they had a day to be answered."""
    return Window(window.since - RESPONSE_S, window.until - RESPONSE_S)


def _numbers(
    conn: Connection,
    log: _Log,
    window: Window,
    shown_in: Window,
    step_s: float,
    retained: Share | None = None,
    stayed: Share | None = None,
) -> Numbers:
    """A window, counted."""
    acts = log.acts & window.holds(log.did.at)
    cash = outcome_reads.cash(conn, window.since, window.until)
    asked = outcome_reads.asked(conn, window.since, window.until, log.ids)
    came, left = outcome_reads.came_and_left(conn, window.since, window.until, log.ids)
    joined, gone = outcome_reads.group_moves(conn, window.since, window.until)
    return Numbers(
        window=window,
        shown_in=shown_in,
        messages=int(acts.sum()),
        active=rates.different(log.did.member[acts]),
        came=came,
        left=left,
        joined=joined,
        gone=gone,
        interaction=rates.interaction(log.shown, log.hit, shown_in).get(0, NOTHING),
        conversion=_conversion(log, window).get(0, NOTHING),
        retained=retained,
        stayed=stayed,
        gross_cents=cash.gross_cents,
        back_cents=cash.refunded_cents,
        buyers=cash.buyers,
        answered=asked.answered,
        asked=asked.answered + asked.offered + asked.unknown,
        askers=asked.people,
        counts=headlines.counted(log.did.at[acts], window, step_s),
    )


def _day_numbers(conn: Connection, window: Window) -> Numbers:
    ids = outcome_reads.ids_of(conn, window.since, window.until)
    orders = outcome_reads.orders(conn, window.since)
    log = _read(conn, orders, window.since, window.until, ids)
    # The exposures of today have not had their day; at this hour, those of the window before had
    # not had it either.
    return _numbers(conn, log, window, window, HOUR_S)


def _week(conn: Connection, log: _Log, now: float, began: float | None) -> Report:
    week, before, note = headlines.week_windows(now, began)
    follows = outcome_reads.followers(conn)

    def numbers(window: Window) -> Numbers:
        known = began is not None and began <= window.before.since
        return _numbers(
            conn,
            log,
            window,
            _settled(window),
            DAY_S,
            retained=_retained(log, window).get(0, NOTHING) if known else None,
            stayed=rates.stayed(follows, window).get(0),
        )

    earlier = None if before is None else numbers(before)
    # Imported here: it loads scipy, which the bot itself has no use for.
    from scheduler.forecasts_work import forecast_parts

    figures, charts = forecast_parts(conn, None, now)
    return headlines.headlines(
        "week", numbers(week), earlier, note, now, figures_too=figures, charts_too=charts
    )


def _retained(log: _Log, window: Window, by: str = "") -> dict[int, Share]:
    column = getattr(log.did, by)[log.acts] if by else None
    return rates.retention(log.did.member[log.acts], log.did.at[log.acts], window, column)


def _conversion(log: _Log, window: Window, by: str = "") -> dict[int, Share]:
    touched = [
        (its.member, its.at, getattr(its, by) if by else np.zeros(len(its.member), np.int64))
        for its in (log.shown, log.did)
    ]
    return rates.conversion(touched, log.paid_member, log.paid_at, window, everybody=not by)


def _retention(
    conn: Connection,
    rules: Rules,
    log: _Log,
    orders: list[Order],
    window: Window,
    now: float,
    *,
    known: bool,
) -> Report:
    weeks = retention.of_bitmaps(_bitmaps(conn))
    parts = retention.parts(weeks, now, lost_days=rules.lost_days)
    listings = _by_parts(conn, log, window, now)
    bars = [chart for chart in map(rates.chart, listings) if chart is not None]
    return Report(
        kind="retention",
        made_at=now,
        since=window.since,
        until=window.until,
        figures=(
            *_rates(conn, log, window, known=known),
            *_funnel(conn, rules, window, log.ids),
            *parts.figures,
            *_worth(conn, orders, weeks, now),
        ),
        lists=(*listings, *parts.lists, _baskets(conn, rules, now)),
        charts=(*parts.charts, *bars),
    )


def _bitmaps(conn: Connection) -> Iterator[tuple[float, str]]:
    decode = msgspec.json.Decoder(_Kept).decode
    for first_at, data in outcome_reads.weeks(conn):
        yield first_at, decode(data).weeks


def _rates(conn: Connection, log: _Log, window: Window, *, known: bool) -> Iterator[Figure]:
    """The rates of all together; the window before beside them when everything is known of it."""

    def told(name: str, found: Share, its: Window, before: Share | None) -> Figure:
        before = before if known else None
        figure = rates.share_figure(name, found, its, before=before)
        return headlines.held_against(figure, found, before)

    shown, earlier = _settled(window), _settled(window.before)
    week = Window(window.until - 7 * DAY_S, window.until)
    follows = outcome_reads.followers(conn)
    found = rates.interaction(log.shown, log.hit, shown).get(0, NOTHING)
    before = rates.interaction(log.shown, log.hit, earlier).get(0) if known else None
    yield told("interaction_rate", found, shown, before)
    found = _conversion(log, window).get(0, NOTHING)
    before = _conversion(log, window.before).get(0) if known else None
    yield told("conversion_rate", found, window, before)
    found, before = _retained(log, week).get(0, NOTHING), _retained(log, week.before).get(0)
    yield told("retention_rate", found, week, before)
    found, before = (rates.stayed(follows, its).get(0, NOTHING) for its in (window, window.before))
    yield told("stay_rate", found, window, before)


def _cost_weeks(now: float, count: int) -> Window:
    """The newest weeks that are over."""
    current = place_costs.week_of(now)
    return Window(place_costs.begin_of_week(current - count), place_costs.begin_of_week(current))


def _costs(conn: Connection, log: _Log, now: float) -> dict[str, Cost]:
    """What each place cost, and who paid there meanwhile: over its newest weeks of known cost.

    At most the last four that are over, without a gap; a place of which the last week's is not
    known is left out.
    """
    current = place_costs.week_of(now)
    known = place_costs.weekly_costs(conn, current - COST_WEEKS, current)
    spans: dict[int, dict[int, Share]] = {}
    found = {}
    for place, weeks in known.items():
        count = next((n for n in range(COST_WEEKS) if current - 1 - n not in weeks), COST_WEEKS)
        if not count:
            continue
        window = _cost_weeks(now, count)
        if count not in spans:
            spans[count] = _conversion(log, window, "place")
        paying = spans[count].get(log.names.places.get(place, -1), NOTHING)
        cents = sum(its for week, its in weeks.items() if week >= current - count)
        found[place] = Cost(cents, paying.hits, window)
    return found


def _by_parts(conn: Connection, log: _Log, window: Window, now: float) -> list[Listing]:
    """The rates by channel, by group and by campaign."""
    places, channels, campaigns = log.names
    week = Window(window.until - 7 * DAY_S, window.until)
    titles = outcome_reads.place_titles(conn)
    named = outcome_reads.campaign_titles(conn, campaigns)
    known = _costs(conn, log, now)
    costs = {places[place]: its for place, its in known.items() if place in places}

    def slices(by: str) -> Slices:
        return Slices(
            window,
            _settled(window),
            rates.interaction(log.shown, log.hit, _settled(window), getattr(log.shown, by)),
            _conversion(log, window, by),
            {} if by == "campaign" else _retained(log, week, by),
            week,
            costs if by == "place" else None,
        )

    return [
        rates.listing(
            "rates_by_channel", slices("channel"), {at: name for name, at in channels.items()}
        ),
        rates.listing(
            "rates_by_place",
            slices("place"),
            {at: titles[place] for place, at in places.items() if place in titles},
            "groups_overlap",
        ),
        rates.listing(
            "rates_by_campaign",
            slices("campaign"),
            {at: named[label] for label, at in campaigns.items() if label in named},
        ),
    ]


def _funnel(conn: Connection, rules: Rules, window: Window, ids: Ids) -> tuple[Figure, ...]:
    report = outcomes.funnel(
        funnel.rows_between(
            conn, window.since, window.until, rules.window_s, rules.view_window_s, ids
        ),
        since=window.since,
        until=window.until,
        window_s=rules.window_s,
        view_window_s=rules.view_window_s,
    )
    return rates.funnel_figures(report, window)


def _worth(
    conn: Connection, orders: list[Order], weeks: retention.Weeks, now: float
) -> tuple[Figure, ...]:
    came = outcome_reads.beginnings(conn)
    # The same day gives the same interval.
    rng = np.random.default_rng(int(now // DAY_S))
    return lifetime.figures(
        np.array([one[0] for one in came], np.int64),
        np.array([one[1] for one in came], np.float64),
        np.array([one.member for one in orders], np.int64),
        np.array([one.at for one in orders], np.float64),
        np.array([one.net_cents for one in orders], np.int64),
        retention.classic(weeks, now, ages=_CURVE_WEEKS),
        now,
        rng,
    )


def _baskets(conn: Connection, rules: Rules, now: float) -> Listing:
    takes = outcome_reads.takes(conn)
    found = baskets.rules(takes, rules.least_support)
    items = {item for one in found for item in (*one.first, one.then)}
    since = min((one[2] for one in takes), default=now)
    members = len({one[0] for one in takes})
    return baskets.listing(found, outcome_reads.titles(conn, items), since, now, members)
