"""The bench of planted truths: what it counts as found, and the optimum it compares with."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from bench.planted import alarms, best, brought, follows, planted, quiet, tells
from bench.planted_run import Lived, Stream
from insights.spending import Curve, split
from sandbox.simulated import DAY_S, Plan, Truth, World, simulate
from store import Store
from store.alerts import Alert, key_of
from tests.blank import blank

WORLD = World({}, [], 0.0)
NOON = 5.5 * DAY_S


def alert(kind: str, at: float = NOON, **fields: object) -> Alert:
    said = {"place": "", "member_id": None, "topic": "", "data": {}} | fields
    return Alert(1, key_of(kind), kind, at, told_at=None, verdict="", **said)  # type: ignore[arg-type]


DROP = Truth("mood_drop", NOON - 3600, "qun:1")
BURST = Truth("topic_burst", NOON - 3600, "qun:1", "直播抽奖")
SOUR = Truth("topic_negative", NOON - 3600, topic="英语口语")
ANGRY = Truth("member_angry", NOON - 3600, "qun:1", member_id=7)


def test_an_alert_tells_what_it_is_about_on_its_day() -> None:
    told = alert("mood_drop", place="qun:1")
    assert tells(told, DROP, WORLD, [])
    assert not tells(alert("mood_drop", place="qun:2"), DROP, WORLD, [])
    assert not tells(alert("mood_drop", NOON + DAY_S, place="qun:1"), DROP, WORLD, [])
    assert not tells(alert("mood_drop", NOON - DAY_S, place="qun:1"), DROP, WORLD, [])
    assert not tells(told, BURST, WORLD, ["直播抽奖"])
    assert tells(alert("member_angry", member_id=7), ANGRY, WORLD, [])
    assert not tells(alert("member_angry", member_id=8), ANGRY, WORLD, [])


def test_a_burst_may_be_told_by_a_part_of_its_term_and_in_the_night_after() -> None:
    assert tells(alert("topic_burst", place="qun:1", topic="抽奖"), BURST, WORLD, [])
    assert tells(alert("topic_burst", NOON + 0.6 * DAY_S, topic="抽奖"), BURST, WORLD, [])
    assert not tells(alert("topic_burst", NOON + 2 * DAY_S, topic="抽奖"), BURST, WORLD, [])
    assert not tells(alert("topic_burst", place="qun:2", topic="抽奖"), BURST, WORLD, [])
    assert not tells(alert("topic_burst", topic="火锅"), BURST, WORLD, ["突然想吃火锅了"])


def test_a_topic_is_also_told_by_what_is_quoted() -> None:
    said = ["口语讲得太乱，完全听不懂", "又延期，英语口语这样拖真让人生气"]
    assert tells(alert("topic_negative", topic="延期"), SOUR, WORLD, said)
    other = ["报表讲得太乱，完全听不懂", "又延期，数据分析这样拖真让人生气"]
    assert not tells(alert("topic_negative", topic="延期"), SOUR, WORLD, other)


def test_what_follows_from_a_truth_is_no_false_alarm_and_what_does_not_is_one() -> None:
    complaint = ["又延期，数据分析这样拖真让人生气"]
    assert follows(alert("topic_burst", place="qun:1", topic="延期"), DROP, WORLD, complaint)
    assert not follows(alert("topic_burst", place="qun:1", topic="火锅"), DROP, WORLD, ["想吃火锅"])
    assert not follows(alert("topic_burst", place="qun:2", topic="延期"), DROP, WORLD, complaint)
    assert follows(alert("topic_negative", place="qun:1", topic="图表"), DROP, WORLD, [])
    assert follows(alert("member_angry", NOON + 3 * DAY_S, member_id=7), ANGRY, WORLD, [])
    assert not follows(alert("mood_drop", place="qun:1"), BURST, WORLD, [])


def test_the_optimum_is_that_of_trying_everything() -> None:
    curves = {"a": (10.0, 3.0), "b": (4.0, 1.0), "c": (20.0, 40.0)}
    most = {"a": 9.0, "b": 20.0, "c": 20.0}
    found = best(curves, most, 20.0)
    tried = max(
        (
            {"a": float(a), "b": float(b), "c": 20.0 - a - b}
            for a, b in itertools.product(range(10), range(21))
            if a + b <= 20
        ),
        key=lambda spent: brought(curves, spent),
    )
    assert sum(found.values()) == 20.0
    assert brought(curves, found) == pytest.approx(brought(curves, tried))
    # The planner comes to the same when it is told the true curves.
    exact = [Curve("log", 0.0, height, scale) for height, scale in curves.values()]
    amounts, _ = split(exact, 20.0, [0.0] * 3, list(most.values()))
    assert brought(curves, dict(zip(curves, amounts, strict=True))) == pytest.approx(
        brought(curves, found), rel=2e-3
    )


def test_a_month_has_something_of_everything_and_a_quiet_one_nothing() -> None:
    plan = planted(1)
    assert planted(1) == plan
    assert planted(2) != plan
    assert len(plan.drops) == len(plan.bursts) == 2 * len(plan.places)
    days = [one.before_end for some in (plan.drops, plan.bursts, plan.sours) for one in some]
    assert 0 <= min(days) <= max(days) < 30
    assert simulate(quiet(1, members=20, days=5)).truths == []


def test_alarms_are_counted_by_month_and_kind() -> None:
    plan = Plan(now=NOON)
    noisy = Lived(plan, WORLD, [alert("mood_drop"), alert("topic_burst")])
    told = alarms([noisy, Lived(plan, WORLD)])
    assert (told["months"], told["alerts"], told["most_in_a_month"]) == (2, 2, 2)
    assert told["by_kind"]["mood_drop"] == 1
    assert alarms([])["most_in_a_month"] == 0


async def test_nothing_is_written_before_it_happens(tmp_path: Path) -> None:
    world = simulate(Plan(now=NOON, seed=5, members=12, days=4, places=("qun:1",), per_day=2.0))
    store = Store(blank(tmp_path / "stream.db"))
    await store.open()
    try:
        await store.groups.meet("qun", "1", world.begin, bound_by="cli")
        stream = Stream(world.rows)
        for until in (world.begin + DAY_S, world.begin + 2.5 * DAY_S, NOON + 1.0):
            await stream.flow(store, until)
            known = sum(row[4] < until for row in world.rows["talk"])
            assert (await store.features.ends())[1] == known
        assert known == len(world.rows["talk"]) > 50
        assert math.isfinite(world.rows["talk"][-1][4])
    finally:
        await store.close()
