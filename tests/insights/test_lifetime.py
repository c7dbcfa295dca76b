"""What a member is worth: measured where it can be, said to be unknown where not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from insights.lifetime import DAY_S, Spent, figures, mean, spent, stretch
from insights.retention import Point

NOW = 400 * DAY_S
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def curve(stay: float, start: float = 0.5, weeks: int = 20, of: int = 2000) -> list[Point]:
    """Classic retention that falls by a factor each week."""
    points = [Point(0, of, of, 1.0, 1.0, 1.0)]
    for age in range(1, weeks):
        hits = round(of * start * stay ** (age - 1))
        points.append(Point(age, hits, of, hits / of, 0.0, 1.0))
    return points


def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


def days(*values: float) -> Floats:
    return np.array(values) * DAY_S


def test_money_counts_from_the_day_a_member_came_up_to_their_90th() -> None:
    one = spent(
        ints(1, 2), days(100, 200), ints(1, 1, 2), days(100, 190, 210), ints(500, 700, 300), 90, NOW
    )
    assert one.total == 2
    assert sorted(one.cents) == [300, 500]


def test_who_came_too_lately_is_not_counted_though_they_paid() -> None:
    one = spent(ints(1, 2), days(100, 390), ints(1, 2), days(101, 391), ints(500, 900), 90, NOW)
    assert (one.total, list(one.cents)) == (1, [500])


def test_who_bought_before_we_saw_them_came_with_that() -> None:
    one = spent(ints(1), days(390), ints(1), days(10), ints(500), 90, NOW)
    assert (one.total, list(one.cents)) == (1, [500])


def test_what_was_given_back_in_full_and_orders_of_strangers_are_nothing() -> None:
    one = spent(ints(5), days(10), ints(5, 9, 1), days(11, 11, 11), ints(0, 700, 700), 90, NOW)
    assert (one.total, list(one.cents)) == (1, [])
    nobody = spent(ints(), days(), ints(9), days(11), ints(700), 90, NOW)
    assert (nobody.total, len(nobody.cents)) == (0, 0)


@pytest.mark.parametrize(("total", "buyers"), [(49, 20), (5000, 9), (0, 0)])
def test_few_members_or_buyers_say_nothing(total: int, buyers: int) -> None:
    assert mean(Spent(total, np.full(buyers, 100.0)), rng()) is None


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    source = np.random.default_rng(5)
    held = 0
    for _ in range(40):
        paid = source.random(800) < 0.1
        cents = source.exponential(10_000.0, int(paid.sum()))
        its = mean(Spent(800, cents), source)
        assert its is not None
        assert its.low < its.value < its.high
        held += its.low < 1000 < its.high
    assert 32 <= held <= 40


def test_a_geometric_curve_stretches_as_far_as_its_sum() -> None:
    found = stretch(curve(0.9), rng())
    assert found is not None
    head = 1 + 0.5 * (1 - 0.9**12) / 0.1
    year = 1 + 0.5 * (1 - 0.9**51) / 0.1
    assert found[0] == pytest.approx(year / head, rel=0.02)
    low, high = np.quantile(found[1], (0.025, 0.975))
    assert low < found[0] < high


@pytest.mark.parametrize(
    "points",
    [
        [],
        curve(0.9, weeks=8),
        curve(0.9, of=40),
        curve(1.02, start=0.2),
        # Everybody gone, then back again: no line through that.
        [
            Point(age, 900 if age % 2 else 100, 1000, 0.9 if age % 2 else 0.1, 0, 1)
            for age in range(20)
        ],
    ],
)
def test_a_curve_that_supports_no_year_gives_none(points: list[Point]) -> None:
    assert stretch(points, rng()) is None


def community(members: int, payers: int) -> tuple[Ints, Floats, Ints, Floats, Ints]:
    number = np.arange(members, dtype=np.int64)
    came = np.full(members, 10 * DAY_S)
    return number, came, number[:payers], came[:payers] + DAY_S, np.full(payers, 5000)


def test_a_community_with_a_history_has_three_values_and_their_intervals() -> None:
    ninety, half, year = figures(*community(1000, 200), curve(0.9), NOW, rng())
    assert ninety.value == half.value == 1000
    assert (ninety.numerator, ninety.denominator) == (1_000_000, 1000)
    assert year.value is not None
    assert year.value > 1000
    assert year.note == "ltv_extrapolated"
    for one in (ninety, half, year):
        assert one.low is not None
        assert one.value is not None
        assert one.high is not None
        assert one.low < one.value < one.high


def test_what_can_not_be_known_is_none_and_says_why() -> None:
    no_buyers = figures(*community(1000, 3), curve(0.9), NOW, rng())
    assert [one.note for one in no_buyers] == ["ltv_few_buyers"] * 3
    no_curve = figures(*community(1000, 200), [], NOW, rng())
    assert [one.note for one in no_curve] == ["", "", "ltv_no_curve"]
    nobody = figures(*community(0, 0), [], NOW, rng())
    assert [one.note for one in nobody] == ["ltv_few_members", "ltv_few_members", "ltv_few_buyers"]
    for one in (*no_buyers, no_curve[2], *nobody):
        assert one.value is None
        assert one.low is None


def test_the_same_night_gives_the_same_interval() -> None:
    assert figures(*community(500, 60), curve(0.9), NOW, rng()) == figures(
        *community(500, 60), curve(0.9), NOW, rng()
    )
