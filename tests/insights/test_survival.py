"""How long members stay, as Kaplan and Meier count it."""

from __future__ import annotations

import numpy as np
import pytest

from insights.survival import LEAST, MOST_COHORTS, curve, curves

DAYS = (0, 10, 20, 40)


def test_who_is_still_there_counts_for_as_long_as_they_were() -> None:
    """By hand: of 4 one goes on day 5, of the 2 left after day 10 one on day 20."""
    stayed = np.array([5.0, 10.0, 20.0, 30.0])
    gone = np.array([True, False, True, False])
    found = curve("2026-09", stayed, gone, DAYS)
    assert found.share == pytest.approx((1.0, 0.75, 0.375, None))
    assert (found.members, found.gone, found.median) == (4, 2, 20.0)
    assert found.low[1] is not None
    assert found.high[1] is not None
    assert found.low[1] < 0.75 < found.high[1]
    assert found.low[3] is None


def test_where_more_than_half_stay_there_is_no_median() -> None:
    stayed = np.full(50, 30.0)
    gone = np.arange(50) < 5
    found = curve("", stayed, gone, DAYS)
    assert (found.median, found.gone) == (None, 5)
    assert found.share[2] == 1.0


def test_only_cohorts_that_are_large_enough_have_a_curve() -> None:
    rng = np.random.default_rng(2)
    months = [f"2026-{month:02}" for month in range(1, 8) for _ in range(LEAST + month)]
    months += ["2026-09"] * (LEAST - 1)
    stayed = rng.exponential(30, len(months)) + 1
    gone = rng.random(len(months)) < 0.6
    found = curves(stayed, gone, months, DAYS)
    assert [one.cohort for one in found] == ["", "2026-04", "2026-05", "2026-06", "2026-07"]
    assert len(found) == MOST_COHORTS + 1
    assert found[0].members == len(months)
    assert all(one.share[0] == 1.0 for one in found)


def test_too_few_members_have_no_curve() -> None:
    assert curves(np.ones(LEAST - 1), np.zeros(LEAST - 1, np.bool_), [""] * (LEAST - 1), DAYS) == []
