"""What members did, folded in any order, and what it means."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.behaviour import (
    ACTIONS,
    DAY_S,
    MOST_DAYS,
    STATES,
    Columns,
    Features,
    StateRules,
    columns,
    day_of,
    day_start,
    fold,
    judge,
    next_actions,
    rate,
    recent_days,
    week_of,
)

NOW = 1_763_600_000.0
TODAY = day_of(NOW)
RULES = StateRules()


class Did(NamedTuple):
    at: float
    act: bool = True
    channel: str = "mp"
    question: bool = False
    topic: str = ""
    pushed_at: float = 0.0


def days_ago(*ago: int) -> list[Did]:
    return [Did(NOW - one * DAY_S) for one in ago]


# Folding

_HAPPENINGS = st.lists(
    st.builds(
        Did,
        st.floats(NOW - 300 * DAY_S, NOW),
        st.booleans(),
        st.sampled_from(["mp", "qun", "group:qun"]),
        st.booleans(),
        st.sampled_from(["", "item:py-101", "faq:12", "tag:写作"]),
        st.sampled_from([0.0, NOW - 900 * DAY_S, NOW - 800 * DAY_S]),
    ),
    max_size=40,
)


@given(_HAPPENINGS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_any_order_and_any_pieces_fold_to_the_same(happened: list[Did], rng: random.Random) -> None:
    whole = fold(None, happened, NOW - 10 * DAY_S)
    shuffled = rng.sample(happened, len(happened))
    cuts = sorted(rng.randrange(len(happened) + 1) for _ in range(3))
    parts: Features | None = None
    for low, high in pairwise([0, *cuts, len(happened)]):
        parts = fold(parts, shuffled[low:high], NOW - 10 * DAY_S)
    assert parts == whole
    acts = [one for one in happened if one.act]
    assert whole.acts == sum(whole.hours) == sum(whole.channels.values()) == len(acts)
    assert whole.active_days == len({day_of(one.at) for one in acts})
    weeks = {week_of(day_of(one.at)) for one in acts}
    assert whole.weeks.bit_count() == len(weeks)


def test_a_day_is_that_of_shanghai_and_a_week_begins_on_monday() -> None:
    midnight = day_start(TODAY)
    assert [day_of(midnight - 1), day_of(midnight)] == [TODAY - 1, TODAY]
    late = fold(None, [Did(midnight - 1), Did(midnight)], NOW)
    assert (late.active_days, late.hours[23], late.hours[0]) == (2, 1, 1)
    monday = day_of(1_763_308_800.0)
    assert week_of(monday) == week_of(monday + 6) == week_of(monday - 1) + 1


def test_who_only_came_has_a_first_moment_and_no_day() -> None:
    came = fold(None, [], NOW)
    assert (came.first_at, came.last_at, came.active_days, came.gaps) == (NOW, NOW, 0, ())
    assert fold(came, [Did(NOW - DAY_S)], NOW).first_at == NOW - DAY_S


def test_gaps_are_told_newest_first_and_weeks_from_the_first() -> None:
    one = fold(None, days_ago(30, 20, 19, 2), NOW)
    assert one.gaps == (17, 1, 10)
    first = week_of(TODAY - 30)
    assert one.weeks == sum({1 << week_of(TODAY - ago) - first for ago in (30, 20, 19, 2)})


def test_what_is_older_than_ten_years_counts_but_not_on_which_day() -> None:
    one = fold(None, [Did(0.0), Did(NOW)], NOW)
    assert (one.acts, one.active_days, one.first_at) == (2, 1, 0.0)
    assert one.days < 1 << MOST_DAYS
    assert fold(fold(None, [Did(NOW)], NOW), [Did(0.0)], NOW) == one


def test_the_first_answer_to_a_push_says_how_fast_they_are() -> None:
    pushes = [NOW - ago * DAY_S for ago in range(12)]
    happened = [Did(at + 60, pushed_at=at) for at in pushes]
    happened += [Did(at + 9000, pushed_at=at) for at in pushes]
    one = fold(None, happened, NOW)
    assert one.reply_s == 60
    assert sorted(one.replies, reverse=True) == pushes[:8]
    assert fold(None, days_ago(1), NOW).reply_s is None


def test_who_was_away_for_long_returned_on_the_day_they_came_back() -> None:
    one = fold(None, days_ago(200, 199, 90, 80, 3, 2), NOW)
    assert one.returned_day(60) == TODAY - 3
    assert one.returned_day(78) == TODAY - 90
    assert one.returned_day(110) is None
    assert fold(None, days_ago(4), NOW).returned_day(60) is None


@given(st.sets(st.integers(0, 80), min_size=1), st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_the_return_is_found_as_by_hand(ago: set[int], lost_days: int) -> None:
    by_hand = [a for a, b in pairwise(sorted(ago)) if b - a >= lost_days]
    found = fold(None, days_ago(*ago), NOW).returned_day(lost_days)
    assert found == (TODAY - by_hand[0] if by_hand else None)


# States


def people(*features: Features, **told: Any) -> Columns:
    rows = [
        (
            number,
            one.first_at,
            one.last_at,
            np.nan if (day := one.returned_day(RULES.lost_days)) is None else day_start(day),
            one.acts,
            one.last_day,
            one.days28,
            one.habit_days,
            told.get("spent", 0),
            told.get("orders", 0),
            told.get("progress", 0),
            told.get("paused", False),
            told.get("present", True),
            told.get("coupon", False),
        )
        for number, one in enumerate(features, 1)
    ]
    return columns(rows)


def state(*ago: int, came: int = 300, **told: Any) -> str:
    """The state of who was active so many days ago, and came `came` days ago."""
    one = fold(None, days_ago(*ago), NOW - came * DAY_S)
    return STATES[judge(people(one, **told), NOW, RULES)[0]]


@pytest.mark.parametrize(
    ("ago", "came", "told", "is_"),
    [
        ((), 3, {}, "newcomer"),
        ((2, 1, 0), 5, {}, "newcomer"),
        ((2, 1, 0), 5, {"paused": True}, "paused"),
        ((90, 89, 88, 3), 200, {}, "returned"),
        ((90, 89, 88, 16), 200, {}, "active"),
        ((70, 69, 68), 200, {}, "lost"),
        ((25, 24, 23), 200, {}, "leaving"),
        ((59, 58, 57), 200, {}, "leaving"),
        (tuple(range(2, 10)), 200, {}, "core"),
        ((3, 30, 40), 200, {}, "active"),
        ((18, 30, 40), 200, {}, "active"),
        ((3,), 200, {}, "active"),
        ((), 200, {}, "lurker"),
        ((100,), 200, {}, "lurker"),
        ((20,), 200, {}, "lurker"),
        ((100,), 200, {"present": False}, "lost"),
    ],
)
def test_the_first_state_that_fits_counts(
    ago: tuple[int, ...], came: int, told: dict[str, Any], is_: str
) -> None:
    assert state(*ago, came=came, **told) == is_


def test_an_operator_says_what_a_state_is() -> None:
    strict = StateRules(leaving_days=5, lost_days=10, core_days=2)
    ones = [fold(None, days_ago(*ago), 0.0) for ago in ((6, 7, 8), (10, 11, 12), (1, 2, 40))]
    found = judge(people(*ones), NOW, strict)
    assert [STATES[one] for one in found] == ["leaving", "lost", "core"]


def test_the_days_of_the_last_four_weeks_go_by() -> None:
    one = people(fold(None, days_ago(*range(8)), NOW - 300 * DAY_S))
    counts = [int(recent_days(one, NOW + later * DAY_S)[0]) for later in (0, 20, 24, 27, 28, 99)]
    assert counts == [8, 8, 4, 1, 0, 0]


def test_nobody_is_judged_to_nothing() -> None:
    nobody = people()
    assert len(judge(nobody, NOW, RULES)) == 0
    assert [len(scores) for scores in rate(nobody, NOW)] == [0, 0, 0]


def test_a_hundred_thousand_are_judged_at_once() -> None:
    rng = np.random.default_rng(1)
    n = 100_000
    last = NOW - rng.exponential(30, n) * DAY_S
    many = Columns(
        np.arange(n),
        last - rng.exponential(90, n) * DAY_S,
        last,
        np.where(rng.random(n) < 0.2, last - DAY_S, np.nan),
        rng.poisson(3, n),
        np.floor((last + 28_800) / DAY_S).astype(np.int64),
        rng.integers(0, 1 << 28, n),
        rng.integers(0, 60, n),
        rng.integers(0, 3, n) * 9900,
        rng.integers(0, 3, n),
        rng.integers(0, 101, n),
        rng.random(n) < 0.1,
        rng.random(n) < 0.9,
        rng.random(n) < 0.1,
    )
    states = judge(many, NOW, RULES)
    actions = next_actions(many, states, rate(many, NOW), np.full(n, np.nan))
    assert set(np.unique(states)) == set(range(len(STATES)))
    assert set(actions) <= set(ACTIONS)


# Scores and actions


def test_scores_are_fifths_and_equals_score_the_same() -> None:
    ones = [fold(None, days_ago(*range(n, 2 * n)), 0.0) for n in range(1, 11)]
    of = people(*ones, fold(None, [], 0.0))._replace(
        spent_cents=np.array([0] * 8 + [100, 500, 900])
    )
    recency, frequency, monetary = (scores.tolist() for scores in rate(of, NOW))
    assert recency == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 1]
    assert frequency == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 1]
    assert monetary == [1] * 8 + [5, 5, 1], "who never did anything has 1 each"


def test_where_all_are_alike_all_are_in_the_middle() -> None:
    alike = people(*[fold(None, days_ago(0, 1), 0.0)] * 4)
    assert [scores.tolist() for scores in rate(alike, NOW)] == [[3] * 4, [3] * 4, [1] * 4]


@pytest.mark.parametrize(
    ("ago", "told", "risk", "action"),
    [
        ((1, 2, 3), {"paused": True, "orders": 1}, np.nan, "leave_alone"),
        ((25, 24, 23), {"progress": 40}, np.nan, "remind_progress"),
        ((1, 2, 3), {"progress": 40}, 0.7, "remind_progress"),
        ((70, 69, 68), {}, np.nan, "invite_back"),
        ((25, 24, 23), {"orders": 2}, np.nan, "ask_feedback"),
        ((3, 30, 40), {"coupon": True}, np.nan, "use_coupon"),
        ((3, 30, 40), {"orders": 1, "progress": 90}, np.nan, "upgrade"),
        (tuple(range(9)), {}, np.nan, "thank"),
        ((100,), {}, np.nan, "ask_question"),
        ((3, 30, 40), {"orders": 1}, 0.2, "keep"),
    ],
)
def test_each_is_told_what_to_do_next(
    ago: tuple[int, ...], told: dict[str, Any], risk: float, action: str
) -> None:
    of = people(fold(None, days_ago(*ago), 0.0), **told)
    threes = (np.array([3]),) * 3
    assert next_actions(of, judge(of, NOW, RULES), threes, np.array([risk])) == [action]


def test_who_came_lately_is_shown_a_first_course() -> None:
    of = people(fold(None, [], NOW - DAY_S))
    threes = (np.array([1]),) * 3
    assert next_actions(of, judge(of, NOW, RULES), threes, np.array([np.nan])) == ["welcome_course"]
