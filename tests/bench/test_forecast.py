"""The forecast bench: series repeat, and a small run shows what the large one promises."""

from __future__ import annotations

import numpy as np

from bench.forecast import SEED, measure, simulated
from insights.forecast import HORIZON


def test_the_same_number_is_the_same_series() -> None:
    one, again, other = simulated(SEED, 3), simulated(SEED, 3), simulated(SEED, 4)
    assert np.array_equal(one.past, again.past)
    assert len(one.future) == HORIZON
    assert 70 <= len(one.past) < 366
    assert not np.array_equal(one.past[:50], other.past[:50])
    assert len(simulated(SEED, 5, 30).past) == 30


def test_most_series_are_foreseen_better_than_naively_and_within_the_intervals() -> None:
    told = measure(SEED, 16)
    assert told["told"] == 16
    for days in ("days_7", "days_28"):
        found = told[days]
        assert found["better_than_last_week"] >= 0.7
        assert found["better_than_naive"] + found["equal_to_naive"] >= 0.6
        assert found["error_to_naive"] < 1.0
        assert 0.9 <= found["coverage"] <= 0.99


def test_short_pasts_get_the_naive_guess_with_intervals_that_hold() -> None:
    told = measure(SEED, 20, 20)
    assert told["methods"] == {"naive": 20}
    assert told["days_7"]["equal_to_naive"] == 1.0
    assert told["days_7"]["coverage"] >= 0.9
