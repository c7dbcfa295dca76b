"""How a group is: whether questions are answered and how fast, who speaks, whether newcomers stay.

Pure: turns, members and communities go in, the report "group" comes out. Figures count everybody,
also who does not want to be profiled; lists name nobody of them.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np

from insights import leaders
from insights.communities import Gathered
from insights.leaders import Standout
from insights.mood_report import interval
from insights.questions import OPEN_S, Asked, Turn
from insights.report import Chart, Figure, Listing, Report, Row, Series

FIGURES = leaders.FIGURES | {
    "questions_answered",
    "first_answer",
    "turns_gini",
    "speaking_share",
    "newcomers_week",
    "newcomers_month",
    "group_degree",
    "group_clustering",
    "communities_found",
    "community_size",
    "community_born",
    "community_split",
    "community_merged",
    "community_faded",
}
LISTS = leaders.LISTS | {"communities", "community_changes"}
CHARTS = leaders.CHARTS | {"communities", "community_size"}
NOTES = leaders.NOTES | {
    "health_no_questions",
    "health_slow",
    "health_silent",
    "health_no_newcomers",
    "communities_none",
    "few",
}

Part = TypeVar("Part", Figure, Listing, Chart)

DAY_S = 86_400.0
WINDOW_DAYS = 28
_WEEK_S = 7 * DAY_S
_COHORT_S = 21 * DAY_S
_FEW = 10
_IN_CHART = 8


class Here(NamedTuple):
    """Somebody who is or was in the group. came: they came while we were there."""

    member_id: int
    since: float
    left_at: float | None
    came: bool


class Change(NamedTuple):
    """A community that began or ended. kind: "born", "split", "merged", "faded"."""

    name: str
    kind: str
    size: int


class Circle(NamedTuple):
    """A community, as people call it."""

    name: str
    topics: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Group:
    """All that a report of a group is made of. kept_since: what was said before is not kept."""

    place: str
    turns: Sequence[Turn]
    asked: Sequence[Asked]
    here: Sequence[Here]
    kept_since: float
    gathered: Gathered
    circles: Sequence[Circle]
    changes: Sequence[Change]
    standout: Standout


def report(group: Group, since: float, until: float, now: float) -> Report:
    """The report "group" of a place; others' figures come in with `with_parts`."""
    return Report(
        kind="group",
        scope=group.place,
        made_at=now,
        since=since,
        until=until,
        figures=(
            _answered(group.asked, since, until),
            _first_answer(group.asked, since, until),
            _speaking(group, since, until),
            _gini(group.turns, since, until),
            _kept("newcomers_week", 7, group, until),
            _kept("newcomers_month", 28, group, until),
            *_closeness(group, since, until),
        ),
        lists=(
            _circles(group, since, until),
            *_changes(group, since, until),
            *leaders.lists(group.standout, since, until),
        ),
        charts=_charts(group),
    )


def with_parts(
    made: Report,
    figures: Sequence[Figure] = (),
    lists: Sequence[Listing] = (),
    charts: Sequence[Chart] = (),
) -> Report:
    """The report with what other jobs know of the group; of the same name, theirs is taken."""

    return replace(
        made,
        figures=_joined(made.figures, figures),
        lists=_joined(made.lists, lists),
        charts=_joined(made.charts, charts),
    )


def _joined(own: Sequence[Part], more: Sequence[Part]) -> tuple[Part, ...]:
    names = {one.name for one in more}
    kept = [one for one in own if one.name not in names]
    kept.extend(more)
    return tuple(kept)


# Questions


def _answered(asked: Sequence[Asked], since: float, until: float) -> Figure:
    done = sum(one.answered_at is not None for one in asked)
    low, high = interval(done, len(asked), float(len(asked)))
    return Figure(
        name="questions_answered",
        value=done / len(asked) if asked else None,
        unit="share",
        since=since,
        until=until,
        numerator=done,
        denominator=len(asked),
        low=low,
        high=high,
        n=len(asked),
        people=len({one.by for one in asked}),
        note="" if asked else "health_no_questions",
    )


def _first_answer(asked: Sequence[Asked], since: float, until: float) -> Figure:
    """Half of the questions are answered within this time; those that wait are counted in."""
    waited = [
        (
            min((one.answered_at or until) - one.at, OPEN_S),
            one.answered_at is not None,
        )
        for one in asked
    ]
    value = median_wait(waited)
    note = "" if value is not None else "health_slow" if asked else "health_no_questions"
    return Figure(
        name="first_answer",
        value=value,
        unit="seconds",
        since=since,
        until=until,
        n=len(asked),
        people=len({one.by for one in asked}),
        note=note,
    )


def median_wait(waited: Sequence[tuple[float, bool]]) -> float | None:
    """The median of (seconds, whether it ended) by Kaplan-Meier; None while most still wait."""
    left = len(waited)
    staying = 1.0
    ends = Counter(seconds for seconds, ended in waited if ended)
    waits = Counter(seconds for seconds, _ in waited)
    for seconds in sorted(waits):
        staying *= 1.0 - ends[seconds] / left
        if staying <= 0.5:
            return seconds
        left -= waits[seconds]
    return None


# Who speaks


def _speaking(group: Group, since: float, until: float) -> Figure:
    there = {one.member_id for one in group.here if one.left_at is None}
    spoke = {one.member_id for one in group.turns} & there
    return Figure(
        name="speaking_share",
        value=len(spoke) / len(there) if there else None,
        unit="share",
        since=since,
        until=until,
        numerator=len(spoke),
        denominator=len(there),
        n=len(there),
        people=len(there),
        note="" if there else "health_silent",
    )


def _gini(turns: Sequence[Turn], since: float, until: float) -> Figure:
    counts = Counter(one.member_id for one in turns)
    return Figure(
        name="turns_gini",
        value=gini(list(counts.values())) if counts else None,
        unit="score",
        since=since,
        until=until,
        n=len(turns),
        people=len(counts),
        note="" if counts else "health_silent",
    )


def gini(values: Sequence[float]) -> float:
    """0: all the same; towards 1: one has it all. 0.0 for nothing."""
    ordered = np.sort(np.asarray(values, np.float64))
    total = float(ordered.sum())
    if total <= 0:
        return 0.0
    ranks = np.arange(1, ordered.size + 1)
    return float((2 * ranks - ordered.size - 1) @ ordered / (ordered.size * total))


def _kept(name: str, days: int, group: Group, until: float) -> Figure:
    """Of those who came, who still spoke in the week after so many days.

    Who came within three weeks, that week of whom is over, and was said while we kept it.
    """
    after = days * DAY_S
    last = until - after - _WEEK_S
    first = max(last - _COHORT_S, group.kept_since - after)
    spoke: defaultdict[int, list[float]] = defaultdict(list)
    for one in group.turns:
        spoke[one.member_id].append(one.at)
    came = [one for one in group.here if one.came and first <= one.since < last]
    kept = 0
    for member in came:
        times = spoke.get(member.member_id, [])
        at = bisect.bisect_left(times, member.since + after)
        kept += at < len(times) and times[at] < member.since + after + _WEEK_S
    low, high = interval(kept, len(came), float(len(came)))
    few = "few" if len(came) < _FEW else ""
    return Figure(
        name=name,
        value=kept / len(came) if came else None,
        unit="share",
        since=min(first, last),
        until=last,
        numerator=kept,
        denominator=len(came),
        low=low,
        high=high,
        n=len(came),
        people=len(came),
        note=few if came else "health_no_newcomers",
    )


# Who with whom


def _closeness(group: Group, since: float, until: float) -> list[Figure]:
    close = group.gathered.closeness
    members = int(group.gathered.ids.size)
    values = (("group_degree", close.degree), ("group_clustering", close.clustering))
    found = [
        Figure(
            name=name,
            value=value if members else None,
            unit="share",
            since=since,
            until=until,
            n=group.gathered.graph.nnz // 2,
            people=members,
            note="" if members and value is not None else "health_silent",
        )
        for name, value in values
    ]
    found.append(
        Figure(
            name="communities_found",
            value=len(group.circles),
            unit="count",
            since=since,
            until=until,
            n=members,
            people=members,
            note="" if group.circles else "communities_none",
        )
    )
    return found


def _size(name: str, size: int, since: float, until: float) -> Figure:
    return Figure(
        name=name, value=size, unit="count", since=since, until=until, n=size, people=size
    )


def _circles(group: Group, since: float, until: float) -> Listing:
    rows = tuple(
        Row(
            label=one.name,
            figures=(_size("community_size", one.size, since, until),),
            details=one.topics,
        )
        for one in group.circles
    )
    return Listing(name="communities", rows=rows, note="" if rows else "communities_none")


def _changes(group: Group, since: float, until: float) -> list[Listing]:
    rows = tuple(
        Row(label=one.name, figures=(_size(f"community_{one.kind}", one.size, since, until),))
        for one in group.changes
    )
    return [Listing(name="community_changes", rows=rows)] if rows else []


def _charts(group: Group) -> tuple[Chart, ...]:
    circles = group.circles[:_IN_CHART]
    if not circles:
        return ()
    sizes = tuple(float(one.size) for one in circles)
    series = Series(name="community_size", values=sizes, n=tuple(one.size for one in circles))
    labels = tuple(one.name for one in circles)
    return (Chart(name="communities", kind="bars", unit="count", labels=labels, series=(series,)),)
