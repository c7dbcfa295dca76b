"""The day and the week in a few figures: what was done, who came and went, what it brought.

A day is today so far, beside the same hours of the same weekday last week; where the log does not
reach back so far, beside the same hours of yesterday. A week is the last seven full days, beside
the seven before. Which of them it was is the note of the report; where there is nothing to
compare with, `before` is None and the note says so. A difference that may be chance is said to be:
of shares and of people, whose scatter is known; messages come in bursts, and of them it is not.

What others found (mood, topics, members about to leave) is taken out of their reports. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from insights.rates import NOTHING, Share, Window, share_figure
from insights.report import Chart, Figure, Listing, Report, Series

DAY_S = 86_400.0
HOUR_S = 3600.0
_SHANGHAI_S = 8 * HOUR_S
_Z = 1.959963984540054

FIGURES = frozenset(
    {
        "messages",
        "active_members",
        "new_followers",
        "lost_followers",
        "joined_groups",
        "left_groups",
        "answered_share",
        "paying_members",
        "revenue",
    }
)
CHARTS = frozenset({"messages_by_day", "messages_by_hour", "this_window", "window_before"})
"""Of charts, and of the lines in them."""
NOTES = frozenset(
    {
        "against_last_week",
        "against_yesterday",
        "against_week_before",
        "no_window_before",
        "within_chance",
        "no_questions",
    }
)

T = TypeVar("T")

Kind = Literal["day", "week"]

TAKEN: Mapping[Kind, Mapping[str, tuple[str, ...]]] = {
    "day": {
        "mood": ("mood_negative_today", "mood_positive_today"),
        "topic": ("topics_today",),
        "members": ("state_leaving",),
    },
    "week": {
        "mood": ("mood_negative", "mood_positive"),
        "topic": ("topics", "topics_rising"),
        "members": ("state_leaving",),
    },
}
"""Which figures and lists of other reports belong into which headlines, by their kind."""

TOP = 3
"""Rows that are taken of a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """A window, counted.

    messages: acts of members. active: who did them. came, left: of accounts; joined, gone: of
    groups. shown_in: the window of the exposures that `interaction` is of. retained: None where it
    is not asked. paying: members with an order that was not given back; cents: net, of everybody.
    answered of asked: questions; askers: whose. counts: messages by hour or by day, in order.
    """

    window: Window
    shown_in: Window
    messages: int
    active: int
    came: int
    left: int
    joined: int
    gone: int
    interaction: Share
    conversion: Share
    retained: Share | None
    stayed: Share | None
    gross_cents: int
    back_cents: int
    buyers: int
    answered: int
    asked: int
    askers: int
    counts: tuple[int, ...]


def day_start(at: float) -> float:
    """When the Shanghai day of a moment began, Unix seconds."""
    return (at + _SHANGHAI_S) // DAY_S * DAY_S - _SHANGHAI_S


def day_windows(now: float, began: float | None) -> tuple[Window, Window | None, str]:
    """Today so far, what it is held against, and the note that says which that is.

    began: since when everything is known; None when nothing is.
    """
    today = Window(day_start(now), now)
    for days, note in ((7, "against_last_week"), (1, "against_yesterday")):
        before = Window(today.since - days * DAY_S, now - days * DAY_S)
        if began is not None and began <= before.since:
            return today, before, note
    return today, None, "no_window_before"


def week_windows(now: float, began: float | None) -> tuple[Window, Window | None, str]:
    """The last seven full days, the seven before if they are known, and the note of that."""
    until = day_start(now)
    week = Window(until - 7 * DAY_S, until)
    if began is not None and began <= week.before.since:
        return week, week.before, "against_week_before"
    return week, None, "no_window_before"


def counted(at: NDArray[np.float64], window: Window, step_s: float) -> tuple[int, ...]:
    """How many of these moments fall into each hour (day) of a window; the last may be cut off."""
    size = max(1, math.ceil((window.until - window.since) / step_s))
    inside = at[window.holds(at)]
    steps = ((inside - window.since) // step_s).astype(np.int64)
    return tuple(int(one) for one in np.bincount(steps, minlength=size)[:size])


def same_share(one: Share, other: Share) -> bool:
    """Whether two shares may differ by chance alone: the test of two proportions.

    By people, not by exposures: who was shown ten things did not decide ten times.
    """
    if not one.people or not other.people:
        return True
    pooled = (one.hits + other.hits) / (one.of + other.of)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / one.people + 1 / other.people))
    return abs(one.hits / one.of - other.hits / other.of) <= _Z * spread


def same_count(one: int, other: int) -> bool:
    """Whether two counts of people may differ by chance alone: as two Poisson counts."""
    return abs(one - other) <= _Z * math.sqrt(one + other)


def held_against(figure: Figure, now: Share, before: Share | None) -> Figure:
    """A share's figure, with a note when it may differ from the one before by chance alone."""
    if figure.note or before is None or not before.of or figure.before == figure.value:
        return figure
    if not same_share(now, before):
        return figure
    return replace(figure, note="within_chance")


def figures(now: Numbers, before: Numbers | None) -> tuple[Figure, ...]:
    """The headlines of a window; before: the one it is held against, None when not known."""

    def was(get: Callable[[Numbers], T]) -> T | None:
        return None if before is None else get(before)

    def people(name: str, get: Callable[[Numbers], int]) -> Figure:
        value, old = get(now), was(get)
        same = old is not None and old != value and same_count(value, old)
        return _count(name, value, old, now.window, value, "within_chance" if same else "")

    def share(name: str, get: Callable[[Numbers], Share | None], in_: Window, none: str) -> Figure:
        value, old = get(now) or NOTHING, was(get)
        return held_against(share_figure(name, value, in_, before=old, none=none), value, old)

    messages = was(lambda its: its.messages)
    found = [
        replace(
            _count("messages", now.messages, messages, now.window, now.active),
            before_people=was(lambda its: its.active),
        ),
        people("active_members", lambda its: its.active),
        people("new_followers", lambda its: its.came),
        people("lost_followers", lambda its: its.left),
    ]
    if any(one is not None and (one.joined or one.gone) for one in (now, before)):
        found += [
            people("joined_groups", lambda its: its.joined),
            people("left_groups", lambda its: its.gone),
        ]
    found += [
        share("interaction_rate", lambda its: its.interaction, now.shown_in, ""),
        share("conversion_rate", lambda its: its.conversion, now.window, ""),
    ]
    if now.retained is not None:
        found.append(share("retention_rate", lambda its: its.retained, now.window, ""))
    if now.stayed is not None:
        found.append(share("stay_rate", lambda its: its.stayed, now.window, ""))
    found += [
        people("paying_members", lambda its: its.conversion.hits),
        Figure(
            name="revenue",
            value=now.gross_cents - now.back_cents,
            unit="cents",
            since=now.window.since,
            until=now.window.until,
            n=now.buyers,
            people=now.buyers,
            before=was(lambda its: its.gross_cents - its.back_cents),
            before_people=was(lambda its: its.buyers),
        ),
        share(
            "answered_share",
            lambda its: Share(its.answered, its.asked, its.askers),
            now.window,
            "no_questions",
        ),
    ]
    return tuple(found)


def _count(
    name: str, value: int, before: int | None, window: Window, people: int, note: str = ""
) -> Figure:
    return Figure(
        name=name,
        value=value,
        unit="count",
        since=window.since,
        until=window.until,
        n=value,
        people=people,
        before=before,
        note=note,
    )


def lines(kind: Kind, now: Numbers, before: Numbers | None) -> Chart | None:
    """Messages by hour of a day, or by day of a week, beside those before; None without any."""
    if not now.messages:
        return None
    if kind == "day":
        labels = tuple(str(hour) for hour in range(len(now.counts)))
    else:
        labels = tuple(
            _date(now.window.since + number * DAY_S) for number in range(len(now.counts))
        )
    series = [Series(name="this_window", values=now.counts)]
    if before is not None:
        series.append(Series(name="window_before", values=before.counts))
    return Chart(
        name="messages_by_hour" if kind == "day" else "messages_by_day",
        kind="lines",
        unit="count",
        labels=labels,
        series=tuple(series),
    )


def _date(at: float) -> str:
    return str(np.datetime64(int(at + _SHANGHAI_S), "s"))[5:10]


def headlines(
    kind: Kind,
    now: Numbers,
    before: Numbers | None,
    note: str,
    made_at: float,
    *,
    figures_too: Sequence[Figure] = (),
    charts_too: Sequence[Chart] = (),
) -> Report:
    """The report of a day or a week without what others found; see `joined`."""
    drawn = lines(kind, now, before)
    return Report(
        kind=kind,
        made_at=made_at,
        since=now.window.since,
        until=now.window.until,
        figures=(*figures(now, before), *figures_too),
        charts=(*((drawn,) if drawn else ()), *charts_too),
        note=note,
    )


def joined(report: Report, others: Mapping[str, Report]) -> Report:
    """With what others found: figures and the first rows of lists, as `TAKEN` names them.

    others: by kind; which are missing, or were made more than two days before, are left out.
    """
    found, lists = [*report.figures], [*report.lists]
    for kind, names in TAKEN["day" if report.kind == "day" else "week"].items():
        other = others.get(kind)
        if other is not None and report.made_at - other.made_at <= 2 * DAY_S:
            found += [one for one in other.figures if one.name in names and not one.of]
            lists += [_cut(one) for one in other.lists if one.name in names and one.rows]
    return replace(report, figures=tuple(found), lists=tuple(lists))


def _cut(one: Listing) -> Listing:
    return replace(one, rows=one.rows[:TOP])
