"""Team draft: fair, exact about its chances, and decided by members."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.draws import part, side
from insights.interleaving import A, B, Credit, draft, preference, sign_test

ORDERS = st.lists(st.sampled_from([f"i{n}" for n in range(12)]), unique=True, max_size=8)


class Coins(random.Random):
    """Falls as it is told."""

    def __init__(self, *falls: bool) -> None:
        super().__init__(0)
        self._falls = itertools.cycle(falls)

    def random(self) -> float:
        return 0.0 if next(self._falls) else 0.9


@given(ORDERS, ORDERS, st.integers(1, 7), st.integers(0, 9))
def test_a_list_is_as_long_as_it_can_be_without_a_repeat(
    a: list[str], b: list[str], count: int, seed: int
) -> None:
    drawn = draft(a, b, count, random.Random(seed))
    items = [one.item for one in drawn]
    assert len(items) == len(set(items)) == min(count, len({*a, *b}))
    for one in drawn:
        assert one.item in (a, b)[one.team]
        assert 0.0 < one.propensity <= 1.0


@given(ORDERS, ORDERS, st.integers(1, 6))
def test_the_chances_of_each_place_sum_to_one(a: list[str], b: list[str], count: int) -> None:
    chances: list[dict[str, float]] = [{} for _ in range(count)]
    for falls in itertools.product((True, False), repeat=(count + 1) // 2):
        for at, one in enumerate(draft(a, b, count, Coins(*falls))):
            chances[at][one.item] = one.propensity
    for place in chances:
        assert not place or math.isclose(sum(place.values()), 1.0)


def test_captains_choose_in_turns_and_never_what_is_taken() -> None:
    drawn = draft(["x", "y", "z"], ["x", "w", "y"], 4, Coins(True))
    assert [(one.item, one.team) for one in drawn] == [("x", A), ("w", B), ("y", A)] + [
        (one.item, one.team) for one in drawn[3:]
    ]
    assert drawn[3].item == "z"
    other = draft(["x", "y", "z"], ["x", "w", "y"], 2, Coins(False))
    assert [(one.item, one.team) for one in other] == [("x", B), ("y", A)]
    assert [one.propensity for one in draft(["x"], ["x"], 3, Coins(True))] == [1.0]
    assert [one.propensity for one in draft(["x"], ["y"], 2, Coins(True))] == [0.5, 0.5]


def test_two_equal_orders_share_the_places_fairly() -> None:
    order = [f"i{n}" for n in range(6)]
    rng = random.Random(5)
    teams = Counter(
        (at, one.team) for _ in range(2000) for at, one in enumerate(draft(order, order, 3, rng))
    )
    for at in range(3):
        assert 900 < teams[at, A] < 1100, at


def test_nothing_to_choose_from_is_an_empty_list() -> None:
    assert draft([], [], 5, random.Random(1)) == ()
    assert [one.item for one in draft([], ["x", "y"], 5, random.Random(1))] == ["x", "y"]


def test_who_clicks_ten_times_decides_once() -> None:
    eager = [Credit(1, 10, 0), Credit(1, 30, 1)]
    found = preference([*eager, *(Credit(n, 0, 1) for n in range(2, 9)), Credit(99, 0, 0)])
    assert (found.members, found.a, found.b, found.ties) == (8, 1, 7, 0)
    assert found.share == 1 / 8
    assert found.low < 1 / 8 < found.high
    assert found.p == pytest.approx(2 * 9 / 256)
    assert found.better is None


def test_a_preference_is_certain_when_a_coin_would_not_be_so_one_sided() -> None:
    found = preference([Credit(n, 1, 0) for n in range(20)] + [Credit(50, 1, 1)])
    assert found.better == A
    assert found.ties == 1
    # Five out of five happens to one in sixteen.
    few = preference([Credit(n, 0, 2) for n in range(5)])
    assert few.better is None


def test_of_nobody_there_is_no_preference() -> None:
    found = preference([])
    assert math.isnan(found.share)
    assert (found.p, found.better) == (1.0, None)


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 0.03125), (8, 2, 0.109375), (30, 70, 7.85e-5)],
)
def test_the_sign_test_is_the_exact_one(wins: int, losses: int, p: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(p, rel=1e-3)
    assert sign_test(losses, wins) == sign_test(wins, losses)


def test_thousands_of_members_are_no_trouble() -> None:
    assert 0.0 <= sign_test(50_000, 60_000) < 1e-100
    assert sign_test(50_000, 50_001) == pytest.approx(1.0, abs=0.01)


def sides(salt: str, share: float, members: int = 4000) -> Counter[Any]:
    return Counter(side(salt, number, share) for number in range(members))


def test_a_member_stays_in_their_part_and_another_salt_draws_anew() -> None:
    assert [side("s", 7, 0.5) for _ in range(3)] == [side("s", 7, 0.5)] * 3
    found = sides("s", 0.2)
    assert 330 < found["a"] < 470
    assert 330 < found["b"] < 470
    both = sum(side("s", n, 0.5) != "" and side("t", n, 0.5) != "" for n in range(4000))
    assert 900 < both < 1100, "independent of each other"
    assert sides("s", 0.0)[""] == 4000
    assert sides("s", 1.0)[""] == 0
    assert all(0.0 <= part("s", n) < 1.0 for n in range(100))
