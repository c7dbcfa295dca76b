"""The event bench's report and the world it makes up; never a figure."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from bench import event_world
from bench.events import goals
from bot.intake import EventIn, event_of
from store.events import KINDS, NewEvent
from tests.bench.test_webhook import run

NOW = 1_763_600_000.0


def test_the_made_up_shop_sends_what_the_intake_takes() -> None:
    events = list(event_world.events(3000, 300, NOW))
    for event in events:
        found = event_of(msgspec.json.decode(json.dumps(event), type=EventIn), NOW)
        assert isinstance(found, NewEvent), found
    kinds = Counter(event["kind"] for event in events)
    assert set(kinds) == set(KINDS)
    assert kinds["exposure"] > kinds["click"] > kinds["purchase"]
    assert len({event["id"] for event in events}) == 3000
    assert list(event_world.events(3000, 300, NOW)) == events, "the same for the same seed"


def test_a_goal_is_missed_by_its_figure() -> None:
    told = {
        "reports": {"month": {"max_s": 1.5}, "all_days": {"max_s": 2.5}},
        "rest": {"batched": {"per_s": 9000}, "single": {"per_s": 1499}},
    }
    assert goals(told) == {
        "campaign_report_under_2_s": False,
        "batched_5000_per_s": True,
        "single_1500_per_s": False,
    }


@pytest.mark.nightly
def test_a_small_run_tells_everything(tmp_path: Path) -> None:
    told = run(
        "bench.events", "--events=2000", "--batched=1500", "--singles=100", "--rounds=1",
        f"--folder={tmp_path}",
    )  # fmt: skip
    assert told["import"]["stored"] == 2000
    assert told["import"]["refused"] == 0
    assert {"month", "all_days", "month_all_campaigns", "rss_max_mb"} <= set(told["reports"])
    assert set(told["rest"]) == {"batched", "single"}
    assert set(told["bare"]) == {"single"}
