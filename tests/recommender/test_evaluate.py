"""Measures of a ranking: known cases, and what must hold for all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.evaluate import Mask, auc, coverage, difference, mean, measured, ranked


def everything(n: int) -> Mask:
    return np.ones(n, np.bool_)


def test_a_perfect_order_has_one_everywhere() -> None:
    found = measured(np.array([3.0, 2.0, 1.0, 0.0]), everything(4), [0, 1], k=2)
    assert found == (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def test_the_textbook_case() -> None:
    # Ranks 2 and 4 of five are right.
    found = measured(np.array([5.0, 4.0, 3.0, 2.0, 1.0]), everything(5), [1, 3], k=5)
    assert found is not None
    assert found.precision == pytest.approx(2 / 5)
    assert found.recall == 1.0
    gain = 1 / math.log2(3) + 1 / math.log2(5)
    assert found.ndcg == pytest.approx(gain / (1 + 1 / math.log2(3)))
    assert found.ap == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert found.auc == pytest.approx(3 / 6)


def test_what_may_not_be_shown_is_neither_found_nor_missed() -> None:
    allowed = np.array([False, True, True])
    assert measured(np.array([9.0, 1.0, 2.0]), allowed, [0]) is None
    found = measured(np.array([9.0, 1.0, 2.0]), allowed, [0, 2], k=1)
    assert found is not None
    assert found.recall == found.precision == 1.0


def test_a_score_that_is_no_number_comes_last() -> None:
    scores = np.array([np.nan, 1.0, -5.0])
    assert ranked(scores, everything(3), 3).tolist() == [1, 2, 0]
    found = measured(scores, everything(3), [0], k=3)
    assert found is not None
    assert found.auc == 0.0


def test_ties_go_by_place_also_at_the_edge() -> None:
    assert ranked(np.zeros(100), everything(100), 3).tolist() == [0, 1, 2]
    assert ranked(np.array([1.0, 2.0, 1.0, 1.0]), everything(4), 2).tolist() == [1, 0]


def test_nothing_allowed_is_an_empty_list() -> None:
    assert ranked(np.ones(3), np.zeros(3, np.bool_)).size == 0
    assert ranked(np.ones(3), everything(3), 0).size == 0


def test_auc_without_anything_to_compare_is_a_coin() -> None:
    assert auc(np.array([1.0]), np.array([True])) == 0.5


def test_no_members_no_mean() -> None:
    found = mean([])
    assert math.isnan(found.value)
    assert found.n == 0


def test_members_are_compared_with_themselves() -> None:
    # Far apart, and yet one is better for each by the same: the paired interval has no width.
    found = difference([0.1, 0.9, 0.5], [0.0, 0.8, 0.4])
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)
    with pytest.raises(ValueError, match="3 members are compared with 2"):
        difference([1.0, 1.0, 1.0], [1.0, 1.0])


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(1).random(50)
    assert mean(values, 3) == mean(values, 3)
    assert mean(values).low < values.mean() < mean(values).high


def test_coverage_counts_an_item_once() -> None:
    assert coverage([np.array([0, 1]), np.array([1, 2])], 6) == 0.5
    assert coverage([], 0) == 0.0


@given(st.lists(st.tuples(st.floats(-3, 3), st.booleans()), min_size=1), st.integers(1, 35))
def test_the_list_is_the_sorted_one(rows: list[tuple[float, bool]], k: int) -> None:
    scores, allowed = (np.array(column) for column in zip(*rows, strict=True))
    places = [place for place, (_, may) in enumerate(rows) if may]
    wanted = sorted(places, key=lambda place: (-rows[place][0], place))[:k]
    assert ranked(scores, allowed, k).tolist() == wanted


@given(st.lists(st.tuples(st.floats(-3, 3), st.booleans()), min_size=1, max_size=25))
def test_every_measure_lies_between_nothing_and_one(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in rows])
    relevant = [place for place, (_, wanted) in enumerate(rows) if wanted]
    found = measured(scores, everything(len(rows)), relevant)
    assert (found is None) == (not relevant)
    assert found is None or all(0.0 <= value <= 1.0 + 1e-12 for value in found)
