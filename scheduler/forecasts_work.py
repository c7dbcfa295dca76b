"""The arithmetic of `scheduler/forecasts.py`, in a process of its own; nothing is written here.

Talk is forgotten after a month, but a forecast wants half a year: how much was done on each
finished day is kept by itself, numbers without people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from insights import forecast as forecasts
from insights import report, sending_hours, spending, spending_report
from insights.forecast import Forecast, begin_of, day_of
from insights.report import Chart, Figure
from insights.sending_hours import WITHIN_S, Sent
from insights.spending import Fitted, Weeks
from store import forecast_reads, insight_reads, place_costs
from store.dialect import Connection
from store.forecast_reads import Touched
from store.insight_reads import CAME, LEFT, Acts

EVERYTHING, PRIVATE = "", "private"
"""Scopes beside the groups' places."""

DAILY, FORECASTS, HOURS = "daily", "forecasts", "sending_hours"
"""Names of findings."""

MOST_PLACES = 300
"""Groups with a forecast, the liveliest: each takes a few hundredths of a second."""

KEPT_DAYS = 400
RECENT_DAYS = 90
"""Read anew each night: longer than anything happens late."""

MOST_WEEKS = 52

T = TypeVar("T")
Parts = tuple[tuple[Figure, ...], tuple[Chart, ...]]

_LIVELY_DAYS = 28
_DAY_S = 86_400.0
_HOUR_S = 3600.0
_SHANGHAI_S = 28_800.0
_SECONDS = 1 << 32


@dataclass(frozen=True, slots=True)
class Daily:
    """How much was done on each day from `first` on, days since 1970 in Shanghai."""

    first: int
    counts: tuple[int, ...]

    @property
    def end(self) -> int:
        """The day after the last."""
        return self.first + len(self.counts)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A forecast as it is kept. of: what people call the group, "" for all and in private;
    people: how many did something there in the last four weeks."""

    of: str
    people: int
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class Counted:
    """When answers came, as it is kept. since, until: Unix seconds."""

    of: str
    since: float
    until: float
    sent: Sent


class Made(NamedTuple):
    """findings: (name, JSON). forecasts, models: how many series, and how many of them a model
    was better for than the naive guess; curves: groups with a fitted response."""

    findings: list[tuple[str, str]]
    forecasts: int
    models: int
    curves: int


def night(path: Path, seed: int, now: float) -> Made:
    """Everything anew. seed: of the resampling, so that the same weeks give the same plan."""
    with insight_reads.reading(path) as conn:
        kept = _kept(forecast_reads.finding(conn, DAILY), dict[str, Daily])
        today = day_of(now)
        days = RECENT_DAYS if kept else KEPT_DAYS
        since, until = begin_of(today - days), begin_of(today)
        acts = _done(insight_reads.acts(conn, since, until))
        titles = forecast_reads.titles(conn)
        daily = merged(kept, counted(acts, today), today)
        foreseen = _foreseen(daily, acts, titles, today)
        hours = _hours(conn, acts, titles, max(since, begin_of(today - RECENT_DAYS)), until)
        curves = _curves(conn, titles, seed, now)
    everybody = hours[EVERYTHING]
    figures, charts = sending_hours.parts(everybody.sent, everybody.since, everybody.until)
    budget = spending_report.report(curves, now, figures=figures, charts=charts)
    told = [one.forecast for one in foreseen.values() if one.forecast.mean]
    return Made(
        [
            (DAILY, _json(daily)),
            (FORECASTS, _json(foreseen)),
            (HOURS, _json(hours)),
            (spending_report.CURVES, spending_report.to_json(curves)),
            (report.name_of("budget"), report.to_json(budget)),
        ],
        len(told),
        sum(one.method != "naive" for one in told),
        sum(one.curve is not None for one in curves.places),
    )


def _json(data: object) -> str:
    return msgspec.json.encode(data).decode()


def _kept(data: str | None, form: type[dict[str, T]]) -> dict[str, T]:
    """What is kept, read back; {} for nothing, and for what is of this form no more: the days
    that are still in the logs are counted again."""
    if data is None:
        return {}
    try:
        return msgspec.json.decode(data, type=form)
    except msgspec.DecodeError:
        return {}


# Days


def _done(acts: Acts) -> Acts:
    """Without coming and leaving, which are no interactions."""
    those = (acts.kind != CAME) & (acts.kind != LEFT)
    return Acts(
        acts.member[those], acts.at[those], acts.place[those], acts.kind[those], acts.places
    )


def _scope(place: str) -> str:
    return place or PRIVATE


def counted(acts: Acts, today: int) -> dict[str, Daily]:
    """Acts by day of each scope, from its first act to yesterday; {} for none."""
    if not len(acts.at):
        return {}
    days = ((acts.at + _SHANGHAI_S) // _DAY_S).astype(np.int64)
    first = int(days[0])
    width = today - first
    cells = np.bincount(
        acts.place.astype(np.int64) * width + (days - first), minlength=len(acts.places) * width
    ).reshape(len(acts.places), width)
    found = {EVERYTHING: _from_first(cells.sum(axis=0), first)}
    for number, place in enumerate(acts.places):
        if cells[number].any():
            found[_scope(place)] = _from_first(cells[number], first)
    return found


def _from_first(counts: NDArray[np.int64], first: int) -> Daily:
    begun = int(np.flatnonzero(counts)[0])
    return Daily(first + begun, tuple(counts[begun:].tolist()))


def merged(kept: Mapping[str, Daily], fresh: Mapping[str, Daily], today: int) -> dict[str, Daily]:
    """What was kept and what is found now, by day the larger: messages are forgotten, days not.

    A first day that is found now and was not kept before is left out: it is a part of a day, that
    on which the group began or before which its talk was forgotten.
    """
    found: dict[str, Daily] = {}
    least = today - KEPT_DAYS
    for scope in sorted({*kept, *fresh}):
        old, new = kept.get(scope), fresh.get(scope)
        if new is not None and (old is None or new.first < old.first):
            new = Daily(new.first + 1, new.counts[1:])
        parts = [one for one in (old, new) if one is not None and one.counts]
        if not parts or max(one.end for one in parts) <= least:
            continue
        first = max(min(one.first for one in parts), least)
        days = np.zeros(today - first, dtype=np.int64)
        for one in parts:
            begin = max(first - one.first, 0)
            counts = np.array(one.counts[begin : today - one.first], dtype=np.int64)
            at = one.first + begin - first
            days[at : at + len(counts)] = np.maximum(days[at : at + len(counts)], counts)
        found[scope] = Daily(first, tuple(days.tolist()))
    return found


def _foreseen(
    daily: Mapping[str, Daily], acts: Acts, titles: Mapping[str, str], today: int
) -> dict[str, Foreseen]:
    recent = acts.at >= begin_of(today - _LIVELY_DAYS)
    people = {EVERYTHING: len(np.unique(acts.member[recent]))}
    lively: dict[str, int] = {}
    for number, place in enumerate(acts.places):
        there = acts.member[recent & (acts.place == number)]
        people[_scope(place)] = len(np.unique(there))
        lively[_scope(place)] = len(there)
    places = sorted(
        (scope for scope, many in lively.items() if many and scope in daily and scope != PRIVATE),
        key=lambda scope: (-lively[scope], scope),
    )
    total = daily.get(EVERYTHING)
    if total is None:
        return {}
    down = forecasts.outages(np.array(total.counts, dtype=np.float64))
    found = {}
    for scope in (EVERYTHING, PRIVATE, *places[:MOST_PLACES]):
        one = daily.get(scope)
        if one is not None:
            counts = np.array(one.counts, dtype=np.float64)
            # All end yesterday, and nothing is older than the sum of all.
            counts[down[len(down) - len(counts) :]] = np.nan
            made = forecasts.forecast(counts, today)
            found[scope] = Foreseen(titles.get(scope, ""), people.get(scope, 0), made)
    return found


# Hours


def _hours(
    conn: Connection, acts: Acts, titles: Mapping[str, str], since: float, until: float
) -> dict[str, Counted]:
    window = acts.at >= since
    member, at, place = acts.member[window], acts.at[window], acts.place[window]
    clicks = forecast_reads.clicked(conn, since, until)
    sends = forecast_reads.delivered(conn, since, until)
    did = Touched(np.concatenate((member, clicks.member)), np.concatenate((at, clicks.at)))
    counts = _Answers.of(sends, did)
    everybody = Sent(
        sends=counts.sends,
        answers=counts.answers,
        acts=_by_hour(at),
        people=len(np.unique(member)),
    )
    found = {EVERYTHING: Counted("", since, until, everybody)}
    posted = forecast_reads.posted(conn, since, until)
    for number, name in enumerate(acts.places):
        here = place == number
        if not name or not here.any():
            continue
        answers = _posts(posted.get(name, []), member[here], at[here])
        sent = Sent(
            sends=answers.sends,
            answers=answers.answers,
            acts=_by_hour(at[here]),
            people=len(np.unique(member[here])),
            posts=True,
        )
        found[name] = Counted(titles.get(name, ""), since, until, sent)
    return found


class _Answers(NamedTuple):
    sends: tuple[float, ...]
    answers: tuple[float, ...]

    @classmethod
    def of(cls, sends: Touched, did: Touched) -> _Answers:
        """Of each send whether its member did something within WITHIN_S, by the send's hour."""
        # One sorted column of member and second: the first act at or after the send is the next.
        keys = np.sort(did.member * _SECONDS + did.at.astype(np.int64))
        wanted = sends.member * _SECONDS + sends.at.astype(np.int64)
        at = np.searchsorted(keys, wanted, side="right")
        following = np.append(keys, np.iinfo(np.int64).max)[at]
        answered = following - wanted <= WITHIN_S
        return cls(_by_hour(sends.at), _by_hour(sends.at[answered]))


def _posts(posts: list[float], member: NDArray[np.int64], at: NDArray[np.float64]) -> _Answers:
    """Posts by hour, and the members who said something within WITHIN_S of each. at: sorted."""
    moments = np.array(posts, dtype=np.float64)
    begin = np.searchsorted(at, moments, side="right")
    end = np.searchsorted(at, moments + WITHIN_S, side="right")
    hours = _hour(moments)
    answers = np.zeros(24)
    for number, hour in enumerate(hours):
        answers[hour] += len(np.unique(member[begin[number] : end[number]]))
    return _Answers(_by_hour(moments), tuple(answers.tolist()))


def _hour(at: NDArray[np.float64]) -> NDArray[np.int64]:
    return (((at + _SHANGHAI_S) // _HOUR_S) % 24).astype(np.int64)


def _by_hour(at: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.bincount(_hour(at), minlength=24).astype(np.float64).tolist())


# Spending


def _curves(
    conn: Connection, titles: Mapping[str, str], seed: int, now: float
) -> spending_report.Curves:
    """Curves of all places with costs, from finished weeks."""
    end = place_costs.week_of(now)
    first = end - MOST_WEEKS
    costs = place_costs.weekly_costs(conn, first, end)
    sold = place_costs.weekly_conversions(conn, sorted(costs), first, end)
    rng = np.random.default_rng(seed)
    members = forecast_reads.members(conn)
    found: list[Fitted] = []
    earliest = end
    for place in sorted(costs):
        weeks = _weeks(place, costs[place], sold[place])
        earliest = min(earliest, min(costs[place]))
        found.append(spending.fit(weeks, rng))
    return spending_report.Curves(
        made_at=now,
        since=place_costs.begin_of_week(earliest if costs else first),
        until=place_costs.begin_of_week(end),
        places=tuple(found),
        titles={place: titles.get(place, place) for place in costs},
        people={place: members.get(place, 0) for place in costs},
    )


def _weeks(place: str, costs: Mapping[int, int], sold: Mapping[int, float]) -> Weeks:
    """From the first week with a recorded cost to the last: who stopped recording did not stop
    spending, while a gap between two is a week without."""
    weeks = range(min(costs), max(costs) + 1)
    return Weeks(
        place,
        [costs.get(week, 0) / 100.0 for week in weeks],
        [sold.get(week, 0.0) for week in weeks],
    )


# For the reports of others


def forecast_parts(conn: Connection, place: str | None, now: float) -> Parts:
    """Figures and chart of the days to come, for a report on a group, or None for all.

    "" is the private side. ((), ()) when the job has not run lately, or knows nothing of it.
    """
    scope = EVERYTHING if place is None else _scope(place)
    one = _kept(forecast_reads.finding(conn, FORECASTS), dict[str, Foreseen]).get(scope)
    if one is None:
        return (), ()
    return forecasts.parts(one.forecast, now, of=one.of, people=one.people)


def hours_parts(conn: Connection, place: str | None) -> Parts:
    """Figures and chart of the best sending hours, of a group, or None for messages to members."""
    scope = EVERYTHING if place is None else place
    one = _kept(forecast_reads.finding(conn, HOURS), dict[str, Counted]).get(scope)
    if one is None:
        return (), ()
    return sending_hours.parts(one.sent, one.since, one.until, of=one.of)
