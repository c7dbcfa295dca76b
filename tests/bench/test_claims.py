"""The claims bench's report and its audit of the file; never a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.claims import audits, goals, summary
from bench.claims_load import in_its_own_process
from tests.bench.test_webhook import run

FINE = {"codes_out": 5, "oversold": 0, "codes_twice": 0, "members_twice": 0, "counted_wrong": 0}


def told(per_s: int, ratio: float, **wrong: int) -> dict[str, Any]:
    return {
        "store": {"made_here": {"per_s": per_s, "audit": [FINE]}, "pool": {"audit": [FINE]}},
        "webhook": {"ratio_to_faq": ratio, "audit": {"早鸟0": {**FINE, **wrong}}},
    }


def test_a_goal_is_missed_by_its_figure() -> None:
    assert goals(told(5000, 0.8)) == {
        "store_5000_per_s": True,
        "webhook_at_least_0.80_of_faq": True,
        "never_oversold": True,
    }
    assert list(goals(told(4999, 0.799, oversold=1)).values()) == [False, False, False]
    for wrong in ("codes_twice", "members_twice", "counted_wrong"):
        assert goals(told(1, 1.0, **{wrong: 1}))["never_oversold"] is False
    alone = {"store": told(6000, 1.0)["store"]}
    assert goals(alone)["webhook_at_least_0.80_of_faq"] is None
    assert len(audits(told(1, 1.0))) == 3


@pytest.mark.parametrize("pool", [False, True], ids=["made here", "the shop's"])
def test_a_small_siege_gives_out_what_there_is_and_counts_it(tmp_path: Path, pool: bool) -> None:
    found = in_its_own_process(
        None, tmp_path / "claims.db", members=60, inventory=20, pool=pool, rounds=2
    )
    row = summary(found["rounds"])
    assert row["audit"] == [{**FINE, "codes_out": 20}] * 2
    assert row["outcomes"] == {"claimed": 20, "sold_out": 40}


@pytest.mark.nightly
def test_a_small_run_tells_everything(tmp_path: Path) -> None:
    found = run("bench.claims", "--members=200", "--codes=20", "--rounds=1", f"--folder={tmp_path}")
    assert set(found["store"]) == {"made_here", "pool", "enough_for_all"}
    assert {"claims", "faq", "open_loop", "rush", "fresh_members"} <= set(found["webhook"])
    assert found["goals"]["never_oversold"] is True
