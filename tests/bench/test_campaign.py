"""The campaign bench's report and a small claim; never a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.campaign import claim, goals, table
from tests.bench.test_webhook import run


def told(**fields: Any) -> dict[str, Any]:
    """A full run that reached everything, but for what is given."""
    row = {"sent": 50_000, "seconds": 239.0, "per_s": 209.2, "cpu_us": 400.0}
    sending = {
        "messages": 50_000,
        "got": {"least": 1, "most": 1},
        "with_latency": row,
        "rounds": [{"ours": row, "bare": row, "ratio": 0.5}],
        "ratio": 0.5,
    }
    spent = {"p50_ms": 2.0, "p99_ms": 19.0, "max_ms": 40.0, "count": 1000}
    return {
        "full": True,
        "audience": {
            "members": 1_000_000,
            "rss_max_mb": 100.0,
            "frozen": [{"freeze_s": 12.0}],
            "freeze_within_20_s": True,
            "rss_under_300_mb": True,
        },
        "sending": {**sending, **fields.get("sending", {})},
        "claim": {
            "rows": 5_000_000,
            "claim": {**spent, **fields.get("claim", {})},
            "propose": spent,
            "gather": spent,
        },
    }


def test_a_goal_is_missed_by_its_figure() -> None:
    assert set(goals(told()).values()) == {True}
    assert not goals(told(sending={"ratio": 0.499}))["at_least_half_of_bare"]
    assert not goals(told(sending={"got": {"least": 1, "most": 2}}))["each_got_it_once"]
    assert not goals(told(claim={"p99_ms": 20.1}))["claim_p99_within_20_ms"]
    small = goals({**told(), "full": False})
    assert small["50000_messages_within_4_min"] is None
    assert small["claim_p99_within_20_ms"] is None


def test_the_table_has_a_line_for_each_part() -> None:
    lines = table(told()).splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [
        "audience",
        "sending",
        "claim",
    ]


def test_a_small_ledger_is_claimed_from(tmp_path: Path) -> None:
    found = claim(tmp_path, None, members=600, claims=5)
    assert found["rows"] == 3000
    assert found["claim"]["count"] == found["propose"]["count"] == 5


@pytest.mark.nightly
def test_a_small_run_tells_everything(tmp_path: Path) -> None:
    found = run("bench.campaign", "--quick", f"--folder={tmp_path}")
    assert found["goals"]["each_got_it_once"] is True
