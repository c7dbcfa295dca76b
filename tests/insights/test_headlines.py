"""The day and the week: what they are held against, and what may be chance."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from insights.anonymity import masked
from insights.headlines import (
    DAY_S,
    TAKEN,
    TOP,
    Numbers,
    counted,
    day_start,
    day_windows,
    figures,
    headlines,
    joined,
    same_count,
    same_share,
    week_windows,
)
from insights.rates import NOTHING, Share, Window
from insights.report import Figure, Listing, Report, Row, from_json, to_json

NOON = datetime.fromisoformat("2026-11-18T12:30:00+08:00").timestamp()
MIDNIGHT = datetime.fromisoformat("2026-11-18T00:00:00+08:00").timestamp()
WEEK = Window(MIDNIGHT - 7 * DAY_S, MIDNIGHT)


def numbers(**fields: Any) -> Numbers:
    plain = Numbers(
        window=WEEK,
        shown_in=Window(WEEK.since - DAY_S, WEEK.until - DAY_S),
        messages=100,
        active=40,
        came=5,
        left=2,
        joined=0,
        gone=0,
        interaction=Share(30, 300, 60),
        conversion=Share(4, 80, 80),
        retained=None,
        stayed=None,
        gross_cents=50_000,
        back_cents=20_000,
        buyers=5,
        answered=30,
        asked=50,
        askers=20,
        counts=(10, 20, 30, 40, 0, 0, 0),
    )
    return replace(plain, **fields)


def by_name(now: Numbers, before: Numbers | None = None) -> dict[str, Figure]:
    return {one.name: one for one in figures(now, before)}


def test_today_is_held_against_the_same_hours_of_the_same_weekday() -> None:
    today, before, note = day_windows(NOON, began=MIDNIGHT - 30 * DAY_S)
    assert today == Window(MIDNIGHT, NOON)
    assert before == Window(MIDNIGHT - 7 * DAY_S, NOON - 7 * DAY_S)
    assert note == "against_last_week"


def test_a_young_log_is_held_against_yesterday_or_nothing() -> None:
    _, before, note = day_windows(NOON, began=MIDNIGHT - 3 * DAY_S)
    assert (before, note) == (Window(MIDNIGHT - DAY_S, NOON - DAY_S), "against_yesterday")
    for began in (MIDNIGHT - 3600, None):
        assert day_windows(NOON, began)[1:] == (None, "no_window_before")


def test_a_week_is_seven_full_days() -> None:
    assert week_windows(NOON, MIDNIGHT - 14 * DAY_S) == (WEEK, WEEK.before, "against_week_before")
    assert week_windows(NOON, MIDNIGHT - 13 * DAY_S) == (WEEK, None, "no_window_before")
    assert week_windows(NOON, None) == (WEEK, None, "no_window_before")


def test_a_day_begins_at_midnight_in_shanghai() -> None:
    assert day_start(MIDNIGHT) == MIDNIGHT
    assert day_start(MIDNIGHT - 1) == MIDNIGHT - DAY_S


def test_hours_are_counted_and_the_running_one_is_among_them() -> None:
    at = np.array([MIDNIGHT, MIDNIGHT + 10, MIDNIGHT + 7200, NOON, NOON + 1, MIDNIGHT - 1])
    assert counted(at, Window(MIDNIGHT, NOON), 3600.0) == (2, 0, 1, *(0,) * 10)
    assert sum(counted(at[:0], Window(MIDNIGHT, NOON), 3600.0)) == 0
    assert counted(at, Window(MIDNIGHT, MIDNIGHT), 3600.0) == (0,)


def test_every_figure_has_its_window_and_the_one_before() -> None:
    found = by_name(numbers(), numbers(messages=80, gross_cents=10_000, back_cents=0))
    assert (found["messages"].value, found["messages"].before) == (100, 80)
    assert (found["revenue"].value, found["revenue"].before) == (30_000, 10_000)
    assert found["interaction_rate"].until == WEEK.until - DAY_S
    assert (found["answered_share"].numerator, found["answered_share"].denominator) == (30, 50)
    assert all(one.before is not None for one in found.values())
    alone = by_name(numbers())
    assert all(one.before is None for one in alone.values())


def test_of_how_many_it_was_before_is_told_for_who_may_not_see_few() -> None:
    before = numbers(active=3, buyers=2, conversion=Share(1, 3, 3))
    seen = masked(headlines("week", numbers(), before, "", NOON), 10, owner=False)
    found = {one.name: one.before for one in seen.figures}
    assert (found["messages"], found["active_members"], found["conversion_rate"]) == (None,) * 3
    assert found["interaction_rate"] == 0.1


def test_a_difference_that_may_be_chance_is_said_to_be() -> None:
    near = by_name(numbers(), numbers(active=45, interaction=Share(33, 300, 60)))
    assert near["active_members"].note == "within_chance"
    assert near["interaction_rate"].note == "within_chance"
    far = by_name(numbers(), numbers(active=90, interaction=Share(270, 300, 60)))
    assert far["active_members"].note == ""
    assert far["interaction_rate"].note == ""
    same = by_name(numbers(), numbers())
    assert same["interaction_rate"].note == "", "no difference at all is none by chance"
    assert by_name(numbers(), numbers())["active_members"].note == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Share(10, 100, 100), Share(14, 100, 100), True),
        (Share(10, 100, 100), Share(40, 100, 100), False),
        # As many exposures, but of five people: no more than five opinions.
        (Share(10, 100, 5), Share(40, 100, 5), True),
        (NOTHING, Share(40, 100, 100), True),
        (Share(0, 10, 10), Share(0, 10, 10), True),
    ],
)
def test_shares_differ_by_people(one: Share, other: Share, same: bool) -> None:
    assert same_share(one, other) is same
    assert same_share(other, one) is same


def test_counts_differ_like_counts() -> None:
    assert same_count(0, 0)
    assert same_count(100, 120)
    assert not same_count(100, 140)
    assert not same_count(0, 5)


def test_a_silent_window_says_why_it_has_no_rates() -> None:
    silent = by_name(
        numbers(messages=0, active=0, interaction=NOTHING, conversion=NOTHING, asked=0, answered=0)
    )
    assert silent["interaction_rate"].note == "no_exposures"
    assert silent["conversion_rate"].note == "no_potential"
    assert silent["answered_share"].note == "no_questions"
    assert silent["answered_share"].value is None
    assert headlines("day", numbers(messages=0), None, "", NOON).charts == ()


def test_groups_are_spoken_of_where_there_are_any() -> None:
    assert "joined_groups" not in by_name(numbers(), numbers())
    assert by_name(numbers(), numbers(gone=3))["left_groups"].before == 3


def test_retention_is_there_when_it_is_known() -> None:
    assert "retention_rate" not in by_name(numbers())
    found = by_name(numbers(retained=Share(3, 4, 4), stayed=Share(8, 9, 9)))
    assert (found["retention_rate"].value, found["stay_rate"].denominator) == (0.75, 9)
    unknown = by_name(numbers(retained=NOTHING))
    assert unknown["retention_rate"].note == "nobody_before"


def test_a_week_is_drawn_by_day_beside_the_one_before() -> None:
    report = headlines("week", numbers(), numbers(), "against_week_before", NOON)
    (chart,) = report.charts
    assert (chart.labels[0], chart.labels[-1]) == ("11-11", "11-17")
    assert [one.name for one in chart.series] == ["this_window", "window_before"]
    assert report.note == "against_week_before"
    assert from_json(to_json(report)) == report


def other(kind: str, made_at: float, *names: str, of: str = "") -> Report:
    found = tuple(
        Figure(name=name, value=0.2, unit="share", since=0.0, until=1.0, of=of) for name in names
    )
    rows = tuple(Row(label=f"话题{number}") for number in range(9))
    lists = (Listing(name="topics_rising", rows=rows), Listing(name="topics"))
    return Report(kind=kind, made_at=made_at, since=0.0, until=1.0, figures=found, lists=lists)


def test_what_others_found_is_taken_when_it_is_there_and_fresh() -> None:
    own = headlines("week", numbers(), None, "", NOON)
    assert joined(own, {}) == own
    mood = other("mood", NOON - 3600, "mood_negative", "something_else")
    found = joined(own, {"mood": mood, "topic": other("topic", NOON)})
    assert [one.name for one in found.figures[len(own.figures) :]] == ["mood_negative"]
    (rising,) = found.lists
    assert (rising.name, len(rising.rows)) == ("topics_rising", TOP)
    old = other("mood", NOON - 3 * DAY_S, "mood_negative")
    of_a_group = other("mood", NOON, "mood_negative", of="一群")
    assert joined(own, {"mood": old}) == own
    assert joined(own, {"mood": of_a_group}) == own


def test_a_day_takes_what_is_of_today() -> None:
    own = headlines("day", numbers(), None, "", NOON)
    mood = other("mood", NOON, "mood_negative", "mood_negative_today")
    found = joined(own, {"mood": mood})
    assert [one.name for one in found.figures[len(own.figures) :]] == ["mood_negative_today"]
    assert set(TAKEN) == {"day", "week"}
