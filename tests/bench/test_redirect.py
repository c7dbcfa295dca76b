"""The report's shape and its arithmetic; never a figure."""

from __future__ import annotations

from bench.redirect import median, report, visits
from tests.bench.test_webhook import run


def rounds(*p99_ms: float) -> list[dict[str, float]]:
    return [{"p50_ms": 1.0, "p99_ms": value, "cpu_us": 300.0} for value in p99_ms]


def test_one_json_object_tells_ours_beside_a_bare_redirect() -> None:
    told = run("bench.redirect", "--requests=60", "--rate=600", "--rounds=1")
    for name in ("ours", "bare"):
        assert {"p50_ms", "p99_ms", "max_ms", "served_p99_ms", "lag_p99_ms"} <= set(told[name])
        assert told[name]["p50_ms"] > 0
    assert told["clicks"] == {"sent": 121, "stored": 121}
    assert told["goals"]["every_click_stored"] is True
    assert set(told["ratio"]) == {"p50_ms", "p99_ms", "cpu_us"}


def test_the_median_round_is_told_beside_every_round() -> None:
    told = report({"ours": rounds(3.0, 9.0, 4.0), "bare": rounds(2.0, 2.0, 8.0)}, sent=9, stored=9)
    assert (told["ours"]["p99_ms"], told["bare"]["p99_ms"]) == (4.0, 2.0)
    assert told["ratio"]["p99_ms"] == 2.0
    assert told["p99_ms_by_round"]["ours"] == [3.0, 9.0, 4.0]
    assert told["goals"] == {"p99_within_5_ms": True, "every_click_stored": True}
    assert median(rounds(1.0)) == {"p50_ms": 1.0, "p99_ms": 1.0, "cpu_us": 300.0}


def test_a_slow_or_forgetful_run_reaches_no_goal() -> None:
    told = report({"ours": rounds(5.1), "bare": rounds(2.0)}, sent=9, stored=8)
    assert told["goals"] == {"p99_within_5_ms": False, "every_click_stored": False}


def test_every_visit_is_another_persons() -> None:
    batch = visits(["a", "b"], 500, 1)
    assert len(set(batch.senders)) > 490
    assert {wire.split()[1] for wire in batch.wires} == {b"/r/a", b"/r/b"}
