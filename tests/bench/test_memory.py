"""The memory report's arithmetic and shape; never a figure."""

from __future__ import annotations

import pytest

from bench.memory import slope, weight
from tests.bench.test_webhook import run


@pytest.mark.nightly
def test_a_short_day_is_weighed() -> None:
    told = run("bench.memory", "--messages=4000", "--members=200")
    assert told["messages"] == 4000
    assert {"ready_s", "ready_again_s", "rss_start_mb", "rss_mid_mb", "rss_end_mb"} <= set(told)


def test_the_slope_of_the_last_half_is_told_per_hundred_thousand() -> None:
    points = [(n * 2000, 50.0 + n) for n in range(51)]
    told = weight(points, 100_000)
    assert told["slope_last_half_mb_per_100k"] == 50.0
    assert (told["rss_start_mb"], told["rss_mid_mb"], told["rss_end_mb"]) == (50.0, 75.0, 100.0)
    assert weight([], 10)["rss_end_mb"] is None
    assert slope([(1.0, 2.0), (3.0, 6.0)]) == 2.0
