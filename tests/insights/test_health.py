"""Questions and who answers them, waiting that is cut short, inequality, newcomers who stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights import health
from insights.communities import gather
from insights.health import (
    CHARTS,
    FIGURES,
    LISTS,
    NOTES,
    Change,
    Circle,
    Group,
    Here,
    gini,
    median_wait,
    report,
    with_parts,
)
from insights.leaders import Standout
from insights.questions import Turn, asked
from insights.report import Chart, Figure, Report, from_json, to_json

NOW = 1_795_228_200.0
DAY = 86_400.0
SINCE = NOW - 28 * DAY
ASK = "请问第三课的作业怎么交？"
NOBODY = np.empty(0, np.int64)


def said(*rows: tuple[int, float, str] | tuple[int, float, str, int]) -> list[Turn]:
    """(who, seconds, text, and the number of the turn it quotes); turns count from 1."""
    return [
        Turn(number, row[0], row[1], row[2], row[3] if len(row) > 3 else None)
        for number, row in enumerate(rows, 1)
    ]


# Who answers


def test_the_next_words_of_another_are_an_answer() -> None:
    (one,) = asked(said((1, 0, ASK), (2, 60, "在群公告里提交")), {})
    assert (one.by, one.answered_at, one.helper) == (1, 60, 2)


def test_words_of_their_own_are_no_answer() -> None:
    (one,) = asked(said((1, 0, ASK), (1, 60, "急急急")), {})
    assert one.answered_at is None


def test_another_question_is_no_answer() -> None:
    first, second = asked(said((1, 0, ASK), (2, 60, "那什么时候截止？"), (3, 90, "周五")), {})
    assert first.answered_at is None
    assert second.helper == 3


def test_words_after_a_while_are_of_something_else() -> None:
    (one,) = asked(said((1, 0, ASK), (2, 3600, "今天天气真好")), {})
    assert one.answered_at is None


def test_a_quotation_answers_hours_later_but_not_days() -> None:
    (one,) = asked(said((1, 0, ASK), (2, 20_000, "看公告", 1)), {})
    assert one.answered_at == 20_000
    (one,) = asked(said((1, 0, ASK), (2, 2 * DAY, "看公告", 1)), {})
    assert one.answered_at is None


def test_the_first_answer_counts() -> None:
    (one,) = asked(said((1, 0, ASK), (2, 60, "看公告"), (3, 90, "对，公告里有", 1)), {})
    assert one.helper == 2


def test_the_bot_answers_at_once_or_something_else() -> None:
    (one,) = asked(said((1, 100.0, ASK)), {1: [101.5]})
    assert (one.answered_at, one.helper) == (101.5, None)
    (one,) = asked(said((1, 100.0, ASK)), {1: [50.0, 4000.0]})
    assert one.answered_at is None


def test_who_asks_on_asks_the_same() -> None:
    turns = said((1, 0, ASK), (1, 30, "有没有人知道呀？"), (2, 60, "看公告", 2))
    (one,) = asked(turns, {})
    assert one.helper == 2


def test_two_who_ask_at_once_are_two_questions() -> None:
    turns = said((1, 0, ASK), (2, 10, "请问直播几点开始？"), (3, 20, "八点"), (3, 30, "看公告", 1))
    first, second = asked(turns, {})
    assert (first.answered_at, second.answered_at) == (30, 20)


def test_who_takes_an_answer_on_is_reached() -> None:
    turns = said(
        *((1, 0, ASK), (2, 60, "看公告"), (1, 90, "找到了"), (3, 100, "学到了")),
        *((2, 110, "不客气"), (4, 9000, "谢谢分享", 2)),
    )
    (one,) = asked(turns, {})
    assert one.reached == {1, 3, 4}


def test_nobody_asks() -> None:
    assert asked([], {}) == []
    assert asked(said((1, 0, ""), (2, 5, "大家好")), {}) == []


# Waiting


@pytest.mark.parametrize(
    ("waited", "median"),
    [
        ([], None),
        ([(60.0, True)], 60.0),
        ([(10.0, True), (20.0, True), (30.0, True)], 20.0),
        # Kaplan-Meier by hand: 1 - 1/4, then * (1 - 1/2) = 0.375.
        ([(10.0, True), (15.0, False), (20.0, True), (99.0, False)], 20.0),
        ([(10.0, True), (99.0, False), (99.0, False)], None),
    ],
)
def test_who_still_waits_counts(waited: list[tuple[float, bool]], median: float | None) -> None:
    assert median_wait(waited) == median


def test_leaving_out_who_waits_would_flatter() -> None:
    waited = [(60.0, True)] * 5 + [(3600.0, True)] * 3 + [(DAY, False)] * 7
    assert median_wait(waited) == 3600.0


# Inequality


def test_inequality_of_known_shares() -> None:
    assert gini([]) == gini([0, 0]) == 0.0
    assert gini([3, 3, 3]) == pytest.approx(0.0)
    assert gini([0, 0, 0, 8]) == pytest.approx(0.75)
    assert gini([1, 2, 3, 4]) == pytest.approx(0.25)


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_inequality_is_half_the_mean_difference(values: list[int]) -> None:
    spread = sum(abs(one - other) for one in values for other in values)
    total = 2 * len(values) * sum(values)
    assert gini(values) == pytest.approx(spread / total if total else 0.0)
    assert 0 <= gini(values) < 1


# The report


def group(
    turns: Sequence[Turn] = (),
    here: Sequence[Here] = (),
    *,
    kept_since: float = SINCE,
    circles: Sequence[Circle] = (),
    changes: Sequence[Change] = (),
) -> Group:
    return Group(
        "qun:1",
        turns,
        asked(turns, {}),
        here,
        kept_since,
        gather(NOBODY, NOBODY, np.empty(0)),
        circles,
        changes,
        Standout([], [], []),
    )


def made(group: Group) -> Report:
    return from_json(to_json(report(group, SINCE, NOW, NOW)))


def figure(group: Group, name: str) -> Figure:
    return next(one for one in made(group).figures if one.name == name)


def test_questions_that_were_answered_of_all() -> None:
    turns = said((1, SINCE, ASK), (2, SINCE + 60, "看公告"), (3, SINCE + 5000, ASK))
    one = figure(group(turns), "questions_answered")
    assert (one.value, one.numerator, one.denominator, one.people) == (0.5, 1, 2, 2)
    assert one.low is not None
    assert one.high is not None
    assert one.low < 0.5 < one.high
    assert figure(group(turns), "first_answer").value == 60


def test_who_said_something_of_those_who_are_there() -> None:
    here = [Here(1, 0.0, None, False), Here(2, 0.0, None, False), Here(3, 0.0, NOW - 5, False)]
    one = figure(group(said((1, SINCE, "早"), (3, SINCE, "再见")), here), "speaking_share")
    assert (one.numerator, one.denominator) == (1, 2)


def test_newcomers_who_still_speak_after_a_week() -> None:
    came = NOW - 20 * DAY
    here = [
        *(Here(1, came, None, True), Here(2, came, None, True), Here(3, came, None, False)),
        *(Here(4, NOW - 3 * DAY, None, True), Here(5, NOW - 300 * DAY, None, True)),
    ]
    turns = said(
        *((2, came + DAY, "早"), (1, came + 8 * DAY, "早"), (3, came + 8 * DAY, "早")),
        (2, came + 15 * DAY, "早"),
    )
    one = figure(group(turns, here), "newcomers_week")
    # 2 spoke in the first week and after the second; 3 was there before us; 4 is too new.
    assert (one.numerator, one.denominator) == (1, 2)
    assert one.note == "few"


def test_newcomers_whose_week_was_not_kept_are_left_out() -> None:
    here = [Here(1, NOW - 34 * DAY, None, True)]
    late = group([], here, kept_since=NOW - 10 * DAY)
    assert figure(late, "newcomers_week").denominator == 0
    assert figure(group([], here), "newcomers_week").denominator == 1


def test_a_silent_group_has_no_value_and_says_why() -> None:
    report = made(group())
    assert all(one.value in (None, 0) and one.note for one in report.figures)
    assert all(one.note for one in report.lists)
    assert report.charts == ()


def test_every_name_has_its_place() -> None:
    full = made(
        group(
            said((1, SINCE, ASK)),
            [Here(1, 0.0, None, False)],
            circles=[Circle("摄影", ("摄影",), 12)],
            changes=[Change("摄影", kind, 12) for kind in ("born", "split", "merged", "faded")],
        )
    )
    figures = [*full.figures, *(f for one in full.lists for row in one.rows for f in row.figures)]
    assert {one.name for one in figures} <= FIGURES
    assert {one.name for one in full.lists} <= LISTS
    assert {one.name for one in full.charts} <= CHARTS
    assert {s.name for one in full.charts for s in one.series} <= CHARTS
    notes = {one.note for one in full.lists} | {one.note for one in figures}
    assert notes - {""} <= NOTES


def test_what_other_jobs_know_comes_in_once() -> None:
    more = Figure(name="forecast_week", value=3.0, unit="count", since=NOW, until=NOW + 7 * DAY)
    chart = Chart(name="forecast_days", kind="lines", unit="count", labels=(), series=())
    once = with_parts(made(group()), [more], charts=[chart])
    twice = with_parts(once, [more], charts=[chart])
    assert twice == once
    assert once.figures[-1] == more
    assert once.charts == (chart,)
    assert health.WINDOW_DAYS == 28
