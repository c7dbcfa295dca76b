"""The report's shape and its arithmetic; never a figure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.webhook import failed, goals, table

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> dict[str, Any]:
    """One bench as a process; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def rows(**cpu_us: float) -> dict[str, Any]:
    return {name: {"cpu_us": value, "open_loop": {"p99_ms": 3.0}} for name, value in cpu_us.items()}


def test_one_json_object_tells_each_peer_in_microseconds_and_milliseconds() -> None:
    told = run(
        "bench.webhook", "--rounds=1", "--seconds=0.2", "--connections=4", "--paths=none",
        "--peers=bare,handtuned_noframework",
    )  # fmt: skip
    assert set(told["peers"]) == {"bare", "handtuned_noframework"}
    assert told["paths"] == {}
    for row in told["peers"].values():
        assert {"cpu_us", "rps", "p50_ms", "p99_ms", "open_loop", "spread"} <= set(row)
        assert row["rps"] > 0
    sealed = told["peers"]["handtuned_noframework"]
    assert sealed["answers_opened"] == sealed["answers_right"] > 0
    assert told["machine"]["cpus"] == os.cpu_count()


@pytest.mark.nightly
def test_both_paths_of_ours_are_measured_beside_a_peer() -> None:
    told = run("bench.webhook", "--rounds=1", "--seconds=0.5", "--connections=4", "--peers=bare")
    for name in ("fixed", "faq"):
        row = told["paths"][name]
        assert {"cpu_us", "rps", "p50_ms", "p99_ms", "ratio_to_bare", "open_loop"} <= set(row)
        assert row["open_loop"]["rate"] == 300
        assert row["late"] == 0
    assert told["goals"]["fixed_at_least_0.20_of_bare"] is not None


def test_goals_compare_cpu_in_one_run() -> None:
    told = goals(
        rows(fixed=200.0, faq=500.0), rows(bare=41.0, werobot=310.0, flask=420.0, handtuned=107.0)
    )
    assert told["fixed_at_least_0.20_of_bare"] is True
    assert told["fixed_at_least_0.25_of_bare_stretch"] is False
    assert told["fixed_1.4x_faster_than_werobot"] is True
    assert told["fixed_2.2x_faster_than_flask"] is False
    assert told["faq_at_least_0.08_of_bare"] is True
    assert told["faq_at_least_0.12_of_bare_stretch"] is False
    assert told["faq_open_loop_p99_within_10_ms"] is True


def test_a_goal_without_its_figure_is_neither_reached_nor_missed() -> None:
    told = goals({"fixed": {"error": "x"}}, {"bare": "missing"})
    assert set(told.values()) == {None}


def test_a_missing_peer_is_no_failure_but_an_unmeasured_server_is() -> None:
    fine: dict[str, Any] = {"paths": {}, "peers": {"flask": "missing"}, "goals": {"g": None}}
    assert not failed(fine)
    assert "peers.flask: missing" in table(fine)
    assert failed({"paths": {"faq": {"error": "down"}}, "peers": {}})
