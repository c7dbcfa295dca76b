"""Leaders that are there are named, chance names nobody, and overlapping intervals name nobody."""

from __future__ import annotations

import numpy as np
import pytest

from insights.leaders import (
    CHARTS,
    FIGURES,
    LISTS,
    NOTES,
    Help,
    Standing,
    Standout,
    Talked,
    bridges,
    lists,
    named,
    report,
    standings,
    standout,
)
from insights.report import from_json, to_json

NOW = 1_795_228_200.0
SINCE = NOW - 28 * 86_400.0


def world(members: int, leaders: int, seed: int, boost: float = 20.0) -> tuple[Talked, list[Help]]:
    """A month of turns: leaders are turned to, and answer, `boost` times as often as others."""
    rng = np.random.default_rng(seed)
    active = rng.pareto(3, members) + 1
    liked = np.ones(members)
    liked[:leaders] *= boost
    start = rng.choice(members, 1500, p=active / active.sum())
    end = rng.choice(members, 1500, p=liked / liked.sum())
    pairs, turns = np.unique(np.stack([start, end])[:, start != end], axis=1, return_counts=True)
    helps = [
        Help(int(one) + 1, int(rng.integers(28)), int(rng.poisson(2)))
        for one in rng.choice(members, 120, p=liked / liked.sum())
    ]
    return Talked(pairs[0] + 1, pairs[1] + 1, turns.astype(float)), helps


def stands(*rows: tuple[float, float, float]) -> list[Standing]:
    return [Standing(number, *row) for number, row in enumerate(rows, 1)]


# Who is named


def test_planted_leaders_are_named() -> None:
    found = {1: 0, 0: 0}
    for seed in range(3):
        for one in named(standings(*world(80, 2, seed), seed)):
            found[one.member_id <= 2] += 1
    print(f"leaders: precision {found[1] / sum(found.values()):.2f}, recall {found[1] / 6:.2f}")
    assert found[1] >= 5
    assert found[0] == 0


def test_chance_names_nobody() -> None:
    told = [one for seed in range(3) for one in named(standings(*world(60, 0, seed), seed))]
    assert told == []


def test_a_name_needs_an_interval_above_all_who_are_not_named() -> None:
    rows = stands((0.4, 0.35, 0.5), (0.3, 0.26, 0.34), (0.1, 0.05, 0.25), (0.1, 0.06, 0.2))
    assert [one.member_id for one in named(rows)] == [1, 2]


def test_where_intervals_overlap_nobody_is_named() -> None:
    assert named(stands((0.6, 0.2, 0.9), (0.2, 0.1, 0.21), (0.1, 0.05, 0.15))) == []


def test_intervals_that_touch_overlap() -> None:
    assert named(stands((0.6, 0.3, 0.9), (0.2, 0.1, 0.3), (0.1, 0.0, 0.3))) == []


def test_the_first_alone_is_named_when_the_others_are_alike() -> None:
    rows = stands((0.6, 0.5, 0.7), *[(0.1, 0.02, 0.2)] * 8)
    assert [one.member_id for one in named(rows)] == [1]


def test_there_are_never_more_names_than_asked_for() -> None:
    rows = stands(*[(0.1, 0.09, 0.11)] * 9, *[(0.01, 0.0, 0.02)] * 9)
    assert named(rows, most=5) == []
    assert len(named(rows, most=9)) == 9


@pytest.mark.parametrize("rows", [[], stands((1.0, 1.0, 1.0))])
def test_nobody_stands_out_of_nobody(rows: list[Standing]) -> None:
    assert named(rows) == []


def test_too_few_are_not_compared() -> None:
    one = Talked(np.array([1, 2, 3]), np.array([2, 3, 1]), np.ones(3))
    assert standings(one, []) == []
    none = np.empty(0, np.int64)
    assert standings(Talked(none, none, np.empty(0)), []) == []


def test_values_are_shares_inside_their_intervals() -> None:
    rows = standings(*world(40, 1, 3))
    assert sum(one.value for one in rows) == pytest.approx(1.0)
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in rows)
    assert rows[0].helped > 10


def test_who_answers_but_turns_to_nobody_is_no_leader() -> None:
    talked, helps = world(40, 0, 1)
    rows = standings(talked, [*helps, *[Help(999, 1, 5)] * 50])
    assert 999 not in {one.member_id for one in rows}


# Bridges


def test_who_alone_speaks_with_two_circles_is_a_bridge() -> None:
    circles = [frozenset(range(1, 21)), frozenset(range(21, 41))]
    rng = np.random.default_rng(1)
    start = [*rng.integers(1, 21, 60), *rng.integers(21, 41, 60), *[5] * 16, *range(6, 14)]
    end = [*rng.integers(1, 21, 60), *rng.integers(21, 41, 60), *range(21, 37), *range(30, 38)]
    talked = Talked(np.array(start), np.array(end), np.ones(len(start)))
    rows = bridges(talked, circles)
    assert rows[0].member_id == 5
    assert rows[0].value == pytest.approx(16 / 48)
    assert [one.member_id for one in named(rows)] == [5]


def test_without_communities_there_are_no_bridges() -> None:
    assert bridges(world(30, 1, 1)[0], []) == []


# The report


def test_a_report_names_who_stands_out_and_nobody_else() -> None:
    talked, helps = world(80, 2, 0)
    found = standout(talked, helps, [])
    made = from_json(to_json(report("qun:1", found, SINCE, NOW, NOW)))
    assert made.note == ""
    assert {row.member_id for row in made.lists[0].rows} == {1, 2}
    assert made.lists[1].note == "bridges_none"
    assert [one.name for one in made.figures] == [
        "talking_members",
        "leaders_named",
        "leaders_hold",
    ]
    # The chart shows ranks: who is not named must not be read off it.
    assert made.charts[0].labels == tuple("12345678")
    used = {one.name for one in made.figures} | {
        one.name for rows in made.lists for row in rows.rows for one in row.figures
    }
    assert used <= FIGURES
    assert {one.name for one in made.lists} <= LISTS
    assert {one.name for one in made.charts} <= CHARTS


def test_a_report_of_a_quiet_group_says_so() -> None:
    made = report("", Standout([], [], []), SINCE, NOW, NOW)
    assert made.note == "leaders_few"
    assert made.charts == ()
    assert {made.note, *(one.note for one in made.lists)} <= NOTES


def test_a_report_without_names_says_why() -> None:
    rows = standings(*world(60, 0, 1))
    made = lists(Standout(rows, [], []), SINCE, NOW)
    assert [(one.rows, one.note) for one in made] == [((), "leaders_none"), ((), "bridges_none")]
