"""The bench of lists, made small: it runs, and what it says has the right shape."""

from __future__ import annotations

from pathlib import Path

from bench import recommend_speed
from bench.recommend_speed import everybody, made, top, weighed, written
from recommender.scoring import Scorer


def test_a_made_up_model_holds_together() -> None:
    fitted = made(30, 40, 4, features=10)
    assert fitted.sequel.has_sorted_indices
    assert fitted.sequel.has_canonical_format
    assert Scorer(fitted).ids == fitted.items


def test_the_best_are_timed_beside_their_peers() -> None:
    found = top(300, 4, 5)
    for who in ("plain", "filtered", "served", "argsort", "lightfm_predict"):
        assert found[who]["p99_ms"] >= found[who]["p50_ms"] > 0
        assert found[who]["cpu_p99_ms"] >= 0


def test_everybody_gets_a_list() -> None:
    found = everybody(60, 50, 4)
    assert found["members"] == 60
    assert found["seconds"] > 0


def test_what_is_weighed_was_written(tmp_path: Path) -> None:
    kept = written(str(tmp_path), 50, 40, 4)
    found = weighed(str(tmp_path), kept["checksum"])
    assert (found["members"], found["items"], found["dims"]) == (50, 40, 4)
    assert found["peak_mb"] >= found["own_mb"] > 0
    assert recommend_speed.GOALS["memory_mb"] == 700.0
