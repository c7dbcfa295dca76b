"""The three rates: what is an exposure's interaction, who could have paid, who stayed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from insights.mood_report import worth
from insights.outcomes import funnel
from insights.rates import (
    MOST_ROWS,
    NOTHING,
    RESPONSE_S,
    Cost,
    Share,
    Slices,
    Window,
    answered,
    chart,
    conversion,
    cost_figure,
    funnel_figures,
    interaction,
    listing,
    retention,
    share_figure,
    stayed,
)
from insights.report import Figure

HOUR = 3600.0
DAY = 86_400.0
PRIVATE, ANYWHERE, GROUP, OTHER = range(4)
WEEK = Window(7 * DAY, 14 * DAY)


class Columns(NamedTuple):
    member: NDArray[np.int64]
    at: NDArray[np.float64]
    place: NDArray[np.int64]
    channel: NDArray[np.int64]
    campaign: NDArray[np.int64]


class There(NamedTuple):
    member: NDArray[np.int64]
    since: NDArray[np.float64]
    left: NDArray[np.float64]


Row = tuple[int, float, int]
"""member, when, place."""


def columns(rows: Sequence[Row]) -> Columns:
    member = np.array([row[0] for row in rows], np.int64)
    at = np.array([row[1] for row in rows], np.float64)
    place = np.array([row[2] for row in rows], np.int64)
    return Columns(member, at, place, place, place)


def hits(shown: Sequence[Row], did: Sequence[Row]) -> list[bool]:
    found: list[bool] = answered(columns(shown), columns(did)).tolist()
    return found


def there(*rows: tuple[int, float, float]) -> There:
    member, since, left = zip(*rows, strict=True)
    return There(np.array(member), np.array(since), np.array(left))


def test_who_does_something_there_within_a_day_answers_what_they_were_shown() -> None:
    shown = [(1, 0.0, GROUP)]
    assert hits(shown, [(1, HOUR, GROUP)]) == [True]
    assert hits(shown, [(1, RESPONSE_S, GROUP)]) == [True]
    assert hits(shown, [(1, RESPONSE_S + 1, GROUP)]) == [False]


def test_the_act_that_asked_for_it_is_no_answer_to_it() -> None:
    assert hits([(1, HOUR, PRIVATE)], [(1, HOUR, PRIVATE), (1, 0.0, PRIVATE)]) == [False]


def test_neither_another_member_nor_another_group_answers_it() -> None:
    assert hits([(1, 0.0, GROUP)], [(2, 1.0, GROUP), (1, 1.0, OTHER), (1, 1.0, PRIVATE)]) == [False]


def test_a_click_answers_the_newest_exposure_wherever_it_was() -> None:
    shown = [(1, 0.0, GROUP), (1, 60.0, PRIVATE), (2, 60.0, GROUP)]
    assert hits(shown, [(1, 90.0, ANYWHERE)]) == [False, True, False]


def test_one_act_answers_one_exposure() -> None:
    shown = [(1, 30.0, GROUP), (1, 0.0, GROUP), (1, 60.0, GROUP)]
    assert hits(shown, [(1, 90.0, GROUP)]) == [False, False, True]
    assert hits(shown, [(1, 90.0, GROUP), (1, 45.0, GROUP)]) == [True, False, True]


def test_nothing_shown_or_nothing_done_is_no_answer() -> None:
    assert hits([], [(1, 0.0, GROUP)]) == []
    assert hits([(1, 0.0, GROUP)], []) == [False]


ROWS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(0, 60).map(lambda hour: hour * HOUR),
        st.sampled_from([PRIVATE, ANYWHERE, GROUP, OTHER]),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(shown=ROWS, did=ROWS)
def test_answers_are_those_that_a_slow_search_finds(shown: list[Row], did: list[Row]) -> None:
    wanted = [False] * len(shown)
    for member, at, place in did:
        before = [
            (row[1], number)
            for number, row in enumerate(shown)
            if row[0] == member and at - RESPONSE_S <= row[1] < at and place in (ANYWHERE, row[2])
        ]
        if before:
            wanted[max(before)[1]] = True
    found = hits(shown, did)
    assert sum(found) <= len(did)
    # Of several at one moment any may be the one.
    assert sorted(row for row, hit in zip(shown, found, strict=True) if hit) == sorted(
        row for row, hit in zip(shown, wanted, strict=True) if hit
    )


@settings(max_examples=25, deadline=None)
@given(shown=ROWS, did=ROWS)
def test_the_parts_of_the_interaction_rate_add_up(shown: list[Row], did: list[Row]) -> None:
    its = columns(shown)
    hit = answered(its, columns(did))
    window = Window(10 * HOUR, 50 * HOUR)
    whole = interaction(its, hit, window).get(0, NOTHING)
    parts = interaction(its, hit, window, its.place)
    assert sum(one.of for one in parts.values()) == whole.of
    assert sum(one.hits for one in parts.values()) == whole.hits
    assert whole.of == sum(window.since <= at < window.until for _, at, _ in shown)
    for one in (whole, *parts.values()):
        figure = share_figure("interaction_rate", one, window)
        if one.of:
            assert figure.value is not None
            assert figure.low is not None
            assert figure.high is not None
            assert 0 <= figure.low <= figure.value <= figure.high <= 1
            assert 1 <= one.people <= one.of
        else:
            assert figure.value is None
            assert figure.note == "no_exposures"


PAID = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 60).map(lambda hour: hour * HOUR)))


@settings(max_examples=25, deadline=None)
@given(touched=ROWS, paid=PAID, everybody=st.booleans())
def test_nobody_pays_who_could_not_have(
    touched: list[Row], paid: list[tuple[int, float]], everybody: bool
) -> None:
    window = Window(10 * HOUR, 50 * HOUR)
    its = columns(touched)
    slices = np.zeros_like(its.place) if everybody else its.place
    found = conversion(
        [(its.member, its.at, slices)],
        np.array([one[0] for one in paid], np.int64),
        np.array([one[1] for one in paid], np.float64),
        window,
        everybody=everybody,
    )
    wanted: dict[int, Share] = {}
    bought = [(who, at) for who, at in paid if window.since <= at < window.until]
    met = [
        (who, at, 0 if everybody else place)
        for who, at, place in touched
        if window.since <= at < window.until
    ]
    if everybody:
        met += [(who, at, 0) for who, at in bought]
    for place in {row[2] for row in met}:
        first = {
            who: min(at for one, at, where in met if (one, where) == (who, place))
            for who, _, where in met
            if where == place
        }
        paying = sum(
            any(who == one and at >= begin for who, at in bought) for one, begin in first.items()
        )
        wanted[place] = Share(paying, len(first), len(first))
    assert found == wanted
    if everybody:
        assert found.get(0, NOTHING).hits == len({who for who, _ in bought})


def test_who_paid_before_they_were_reached_is_no_conversion_of_that_group() -> None:
    touched = [(np.array([1, 2]), np.array([9 * DAY, 9 * DAY]), np.array([GROUP, GROUP]))]
    found = conversion(touched, np.array([1, 2]), np.array([8 * DAY, 10 * DAY]), WEEK)
    assert found == {GROUP: Share(1, 2, 2)}


def test_retained_are_those_who_were_there_before_and_came_again() -> None:
    member = np.array([1, 2, 3, 1, 4])
    at = np.array([1.0, 2.0, 3.0, 8.0, 9.0]) * DAY
    place = np.array([GROUP, GROUP, OTHER, GROUP, GROUP])
    assert retention(member, at, WEEK) == {0: Share(1, 3, 3)}
    assert retention(member, at, WEEK, place) == {GROUP: Share(1, 2, 2), OTHER: Share(0, 1, 1)}
    assert retention(member[:0], at[:0], WEEK) == {}


def test_who_left_one_of_two_accounts_is_still_there() -> None:
    ever = math.inf
    spells = there((1, 0.0, ever), (2, 0.0, 8 * DAY), (3, 0.0, 8 * DAY), (3, 0.0, ever))
    newcomer_and_gone = there((1, 8 * DAY, ever), (2, 0.0, DAY))
    assert stayed(spells, WEEK) == {0: Share(2, 3, 3)}
    assert stayed(newcomer_and_gone, WEEK) == {}


def rate_of(members: Sequence[int], hit: Sequence[bool]) -> Figure:
    """Of exposures in a group, one of these members each."""
    its = columns([(one, WEEK.since + number, GROUP) for number, one in enumerate(members)])
    return share_figure("interaction_rate", interaction(its, np.array(hit), WEEK)[0], WEEK)


def width(figure: Figure) -> float:
    assert figure.low is not None
    assert figure.high is not None
    return figure.high - figure.low


def test_who_was_shown_much_decides_for_themselves_only() -> None:
    hit = [number % 2 == 0 for number in range(400)]
    each = rate_of(range(1, 401), hit)
    one = rate_of([1] * 400, hit)
    assert (one.value, one.n, one.people) == (0.5, 400, 1)
    assert width(each) == pytest.approx(0.098, abs=0.001), "of 400 people"
    assert width(one) > 0.75, "of one"
    # Twenty who answer everything or nothing are twenty answers.
    clan = rate_of([number % 20 + 1 for number in range(400)], hit)
    assert width(clan) == pytest.approx(width(rate_of(range(1, 21), hit[:20])), abs=0.03)
    # Where everybody answers alike, it is members who count.
    assert width(rate_of([1, 2] * 200, [True] * 400)) == pytest.approx(0.658, abs=0.001)


@settings(max_examples=30, deadline=None)
@given(shown=st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), min_size=1))
def test_what_a_share_is_worth_is_what_a_slow_count_finds(
    shown: list[tuple[int, bool, bool]],
) -> None:
    its = columns([(member, WEEK.since, OTHER if there else GROUP) for member, there, _ in shown])
    hit = np.array([answer for *_, answer in shown])
    for place, share in interaction(its, hit, WEEK, its.place).items():
        mine = [one for one in shown if (OTHER if one[1] else GROUP) == place]
        clusters = [
            (len(theirs), sum(theirs))
            for who in {one[0] for one in mine}
            if (theirs := [answer for member, _, answer in mine if member == who])
        ]
        assert share[:3] == (sum(one[2] for one in mine), len(mine), len(clusters))
        assert share.worth == pytest.approx(worth(clusters))


def test_a_rate_of_few_says_so_and_one_of_none_says_why() -> None:
    few = share_figure("conversion_rate", Share(1, 5, 5), WEEK, before=Share(1, 4, 4))
    assert (few.numerator, few.denominator, few.note, few.before) == (1, 5, "few", 0.25)
    none = share_figure("retention_rate", NOTHING, WEEK, before=NOTHING)
    assert (none.value, none.low, none.denominator, none.note) == (None, None, 0, "nobody_before")
    assert none.before is None
    assert share_figure("stay_rate", Share(30, 30, 30), WEEK).note == ""


@pytest.mark.parametrize(
    ("cents", "paying", "value", "note"),
    [
        (9000, 3, 3000.0, ""),
        (None, 3, None, "no_cost"),
        (9000, 0, None, "no_conversions"),
        (0, 2, 0.0, ""),
    ],
)
def test_a_conversion_costs_what_the_group_cost_when_that_is_known(
    cents: int | None, paying: int, value: float | None, note: str
) -> None:
    cost = None if cents is None else Cost(cents, paying, WEEK.before)
    figure = cost_figure(cost, WEEK, "一群")
    assert (figure.value, figure.note) == (value, note)
    assert (figure.numerator, figure.denominator) == (cents, None if cents is None else paying)
    assert figure.until == (WEEK if cents is None else WEEK.before).until


def slices(count: int) -> Slices:
    return Slices(
        WEEK,
        WEEK,
        {one: Share(1, 100 - one, 5) for one in range(count)},
        {one: Share(1, 10, 10) for one in range(count)},
        {0: Share(1, 2, 2)},
        WEEK,
        {0: Cost(500, 1, WEEK)},
    )


def test_a_list_begins_with_what_was_shown_most_and_leaves_out_the_nameless() -> None:
    labels = {one: f"群{one}" for one in range(1, 40)}
    found = listing("rates_by_place", slices(40), labels)
    assert [row.label for row in found.rows] == [f"群{one}" for one in range(1, MOST_ROWS + 1)]
    first = listing("rates_by_place", slices(2), {0: "零群", 1: "一群"}).rows[0]
    assert [one.name for one in first.figures] == [
        "interaction_rate",
        "conversion_rate",
        "retention_rate",
        "cost_per_conversion",
    ]
    assert all(one.of == "零群" for one in first.figures)
    drawn = chart(found)
    assert drawn is not None
    assert len(drawn.labels) == len(drawn.series[0].values) == len(drawn.series[0].low)
    assert chart(listing("rates_by_place", slices(1), labels)) is None


def test_a_list_without_lines_says_nothing_about_them() -> None:
    assert listing("rates_by_place", slices(2), {}, "groups_overlap").note == ""
    labels = {0: "零群", 1: "一群"}
    assert listing("rates_by_place", slices(2), labels, "groups_overlap").note == "groups_overlap"


def test_the_funnel_of_nobody_has_no_shares() -> None:
    nobody = funnel([], since=0.0, until=DAY, window_s=DAY, view_window_s=DAY)
    figures = funnel_figures(nobody, Window(0.0, DAY))
    assert [one.value for one in figures] == [0, None, None]


def test_the_funnel_tells_shares_of_people() -> None:
    rows = [
        (1, "", 10.0, "click", "", "", 0, "c1", "", ""),
        (1, "", 5.0, "exposure", "", "", 0, "c1", "", ""),
        (2, "", 5.0, "exposure", "", "", 0, "c1", "", ""),
    ]
    report = funnel(rows, since=0.0, until=DAY, window_s=DAY, view_window_s=DAY)
    shown, clicked, bought = funnel_figures(report, Window(0.0, DAY))
    assert (shown.value, clicked.numerator, clicked.denominator) == (2, 1, 2)
    assert (bought.numerator, bought.denominator) == (0, 1)
