"""What is planted in simulated communities is found, and quiet months stay quiet.

`python -m bench.planted` prints the same figures; the floors are below what it measured.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.planted import DAYS, MEMBERS, alarms, measure, quiet, run
from bench.planted_run import NOW, live
from sandbox.simulated import Burst, Drop, Plan

FLOORS = {"mood_drop": 0.6, "topic_burst": 0.85, "topic_negative": 0.2, "member_angry": 0.7}
"""Least recall."""

SMALL = Plan(
    now=NOW,
    seed=2,
    members=120,
    days=62,
    places=("qun:1", "qun:2"),
    per_day=0.8,
    leaving=0.3,
    drops=(Drop("qun:1", 1, 0.8),),
    bursts=(Burst("qun:2", 1, 12, "直播抽奖"),),
    items=("course-1", "course-2", "course-3", "course-4", "course-5", "course-6"),
    prices=(9_900,) * 6,
)


def shown(told: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(told, ensure_ascii=False, indent=1))
    return told


async def test_a_small_community_gives_away_what_is_planted_in_it() -> None:
    lived = await live(SMALL, 2, looks=(21.0, 23.99), topic_looks=(23.99,))
    told = shown(measure([lived]))
    for kind in ("mood_drop", "topic_burst"):
        assert told[kind]["recall"] == 1.0
        assert told[kind]["precision"] == 1.0
    assert told["circles"]["nmi"] >= 0.8
    assert told["circles"]["ari"] >= 0.8
    assert told["leaders"]["precision"] == 1.0, "a wrong name is worse than none"
    assert told["leaders"]["recall"] >= 0.5
    assert told["budget"]["fitted"] == 1.0
    assert told["budget"]["regret"] <= 0.1


async def test_quiet_days_tell_of_nothing() -> None:
    plan = quiet(9, members=90, days=38)
    told = shown(alarms([await live(plan, 2, looks=(21.0,), topic_looks=(21.0,), conclude=False)]))
    assert told["alerts"] == 0


@pytest.mark.nightly
def test_months_of_many_groups_give_away_what_is_planted_and_quiet_ones_nothing() -> None:
    """Two communities of six groups, and two quiet months of three groups of 80 members."""
    told = shown(run(2, MEMBERS, DAYS))
    assert told["quiet"]["most_in_a_month"] <= 1
    found = told["planted"]
    for kind, recall in FLOORS.items():
        assert found[kind]["precision"] >= 0.9, kind
        assert found[kind]["recall"] >= recall, kind
    assert found["circles"]["nmi"] >= 0.9
    assert found["circles"]["ari"] >= 0.9
    assert found["leaders"]["precision"] >= 0.95
    assert found["leaders"]["recall"] >= 0.5
    assert found["churn"]["auc"] >= 0.85
    assert found["churn"]["at_one_half"]["precision"] >= 0.75
    assert found["churn"]["at_one_half"]["recall"] >= 0.6
    assert found["lost"]["recall"] >= 0.9
    assert found["budget"]["fitted"] >= 0.8
    assert found["budget"]["regret"] <= 0.08
    assert found["budget"]["regret"] < found["budget"]["regret_of_even"]
