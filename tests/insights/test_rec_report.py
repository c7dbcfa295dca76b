"""The report of recommendations: members decide, the hold-out is the measure, and few are few."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import pytest

from insights import rec_report, rec_tests
from insights.draws import side
from insights.rates import Share, Window
from insights.rec_report import FIGURES, LISTS, NOTES, Known, found_of, report
from insights.report import Figure, Report, from_json, to_json

DAY = 86_400.0
NOW = 1_763_700_000.0
WINDOW = Window(NOW - 28 * DAY, NOW)
KNOWN = Known(
    catalogue={"hit": NOW - 400 * DAY, "rare": NOW - 400 * DAY, "new": NOW - 2 * DAY, "no": 0.0},
    touched={"hit": 90, "rare": 10},
    members=100,
    new_s=14 * DAY,
)


@dataclass(frozen=True)
class Place:
    list_id: int = 1
    member_id: int = 1
    at: float = NOW - DAY
    surface: str = "chat"
    ranker: str = "ours"
    arm: str = ""
    test_id: int | None = None
    item_id: str = "hit"
    by: str = "ours"
    explored: bool = False
    clicked: bool = False
    bought: bool = False
    cents: int = 0
    cold: bool = False


def made(*places: Place, tests: tuple[rec_report.Test, ...] = ()) -> Report:
    found = report(places, tests, KNOWN, WINDOW, NOW)
    assert from_json(to_json(found)) == found, "as it is kept"
    return found


def figures(found: Report) -> dict[str, Figure]:
    return {one.name: one for one in found.figures}


def crowd(
    members: int, rate: float, first: int, seed: int = 1, each: int = 4, **fields: object
) -> Iterator[Place]:
    """So many members, each shown so many items; some click more than others."""
    rng = random.Random(seed)
    lists = count(first * 1000)
    for number in range(first, first + members):
        own = rng.betavariate(rate * 8, (1 - rate) * 8)
        for _ in range(each):
            yield Place(list_id=next(lists), member_id=number, clicked=rng.random() < own, **fields)  # type: ignore[arg-type]


def test_nothing_shown_says_so_and_makes_no_figures() -> None:
    found = made()
    assert found.figures == ()
    assert found.note == "rec_none"


def test_every_figure_says_what_it_stands_on() -> None:
    found = figures(
        made(
            Place(item_id="hit", clicked=True, bought=True, cents=19_900),
            Place(item_id="rare"),
            Place(list_id=2, member_id=2, item_id="new", explored=True, cold=True),
            Place(list_id=2, member_id=2, item_id="hit", cold=True),
        )
    )
    assert set(found) <= set(FIGURES)
    ctr = found["rec_ctr"]
    assert (ctr.numerator, ctr.denominator, ctr.people, ctr.value) == (1, 4, 2, 0.25)
    assert ctr.low is not None
    assert ctr.high is not None
    assert ctr.low < 0.25 < ctr.high
    assert found["rec_lists"].value == 2
    bought = found["rec_conversion"]
    assert (bought.numerator, bought.denominator) == (1, 2)
    revenue = found["rec_revenue"]
    assert revenue.value == pytest.approx(19_900 / 4 * 1000)
    assert (revenue.numerator, revenue.denominator) == (19_900, 0.004)
    assert found["rec_coverage"].value == 3 / 4
    assert found["rec_coverage"].low is None
    # Nobody touched the new one, 90 of 100 the hit, 10 the rare one.
    assert found["rec_novelty"].value == pytest.approx((0.1 + 0.9 + 1.0 + 0.1) / 4)
    assert found["rec_cold_items"].value == 0.25
    assert (found["rec_cold_members"].numerator, found["rec_cold_members"].denominator) == (1, 2)
    assert found["rec_explored"].numerator == 1
    assert all(one.since == WINDOW.since and one.until == NOW for one in found.values())


def test_nothing_sold_has_no_interval() -> None:
    revenue = figures(made(*crowd(50, 0.2, 1)))["rec_revenue"]
    assert (revenue.value, revenue.low, revenue.high) == (0.0, None, None)


def test_without_a_hold_out_nothing_is_compared_and_it_says_so() -> None:
    found = figures(made(*crowd(50, 0.2, 1)))
    for name in ("rec_ctr_more", "rec_conversion_more", "rec_revenue_more"):
        assert found[name].value is None
        assert found[name].note == "rec_no_holdout"
    assert found["rec_ctr"].before is None


def test_a_hold_out_of_few_is_no_measure() -> None:
    found = figures(made(*crowd(50, 0.2, 1), *crowd(5, 0.2, 500, arm="holdout")))
    assert found["rec_ctr_more"].note == "rec_few_holdout"
    assert found["rec_ctr"].before_people == 5


def test_what_is_clicked_twice_as_often_is_more_for_certain() -> None:
    held = crowd(400, 0.1, 5000, seed=2, ranker="popular", by="popular", arm="holdout")
    found = figures(made(*crowd(400, 0.2, 1), *held))
    more = found["rec_ctr_more"]
    assert more.note == ""
    assert more.low is not None
    assert more.high is not None
    assert more.value is not None
    assert 0.0 < more.low < more.value < more.high
    assert found["rec_ctr"].before == pytest.approx(0.1, abs=0.03)
    assert found["rec_ctr"].note == ""
    assert more.people == 400


def test_what_is_alike_is_left_open() -> None:
    held = crowd(300, 0.15, 5000, seed=3, arm="holdout")
    found = figures(made(*crowd(300, 0.15, 1), *held))
    assert found["rec_ctr_more"].note == "rec_unsure"
    assert found["rec_ctr"].note == "rec_unsure"
    assert {one.note for one in found.values()} - {""} <= NOTES


def test_one_who_clicks_everything_decides_once() -> None:
    """30 members with 10 places each, and one with 500, all clicked, is no certain difference."""
    quiet = [
        Place(list_id=n * 10 + k, member_id=n, clicked=k == 0 and n % 3 == 0)
        for n in range(1, 31)
        for k in range(10)
    ]
    eager = [Place(list_id=9000 + k, member_id=99, clicked=True) for k in range(500)]
    held = [
        Place(list_id=n * 10 + k, member_id=n, clicked=k == 0 and n % 3 == 0, arm="holdout")
        for n in range(1001, 1031)
        for k in range(10)
    ]
    more = figures(made(*quiet, *eager, *held))["rec_ctr_more"]
    assert more.value is None, "sixty per cent against three, and all of it one member's"
    assert more.note == "rec_few_holdout"


def test_revenue_waits_for_thirty_buyers_on_both_sides() -> None:
    def paid(first: int, buyers: int, cents: int, arm: str = "") -> list[Place]:
        return [
            Place(n, n, arm=arm, bought=n - first < buyers, cents=cents * (n - first < buyers))
            for n in range(first, first + 200)
        ]

    few = figures(made(*paid(1, 60, 9_900), *paid(1000, 29, 9_900, "holdout")))
    assert few["rec_revenue_more"].note == "rec_few_buyers"
    assert few["rec_revenue_more"].value is None
    found = figures(made(*paid(1, 90, 9_900), *paid(1000, 30, 9_900, "holdout")))
    more = found["rec_revenue_more"]
    assert more.value == pytest.approx(60 / 200 * 9_900 * 1000)
    assert more.low is not None
    assert more.low > 0
    assert found["rec_conversion_more"].value == pytest.approx(2.0)


def test_rankers_and_surfaces_are_listed_and_reasons_are_kept_apart() -> None:
    found = made(
        *crowd(30, 0.2, 1),
        *crowd(20, 0.2, 100, ranker="popular", surface="welcome"),
        *crowd(10, 0.2, 200, ranker="popular", arm="holdout"),
        *crowd(5, 0.2, 300, ranker="popular", arm="fallback"),
    )
    lists = {one.name: one for one in found.lists}
    assert set(lists) <= set(LISTS)
    labels = [row.label for row in lists["rec_rankers"].rows]
    assert labels == ["ranker:ours", "ranker:popular", "ranker:holdout", "ranker:fallback"]
    assert [row.label for row in lists["rec_surfaces"].rows] == ["surface:chat", "surface:welcome"]
    (chart,) = found.charts
    assert chart.labels == tuple(labels)
    assert chart.series[0].people == (30, 20, 10, 5)


def test_what_a_program_fetched_is_counted_apart_and_compared_with_nothing() -> None:
    seen = [*crowd(40, 0.2, 1), *crowd(40, 0.2, 500, arm="holdout")]
    fetched = [Place(9000 + n, n, surface="api", clicked=n < 5) for n in range(10)]
    plain, with_api = made(*seen), made(*seen, *fetched)
    own = figures(with_api)["rec_fetched"]
    assert (own.value, own.people) == (10, 10)
    assert with_api.figures[:-1] == plain.figures
    assert with_api.lists == plain.lists
    only = made(*fetched)
    assert only.note == "rec_none"
    assert [one.name for one in only.figures] == ["rec_fetched"]
    in_test = [Place(1, n, surface="api", test_id=3, clicked=True) for n in range(1, 90)]
    assert found_of(in_test, SPLIT).members_a == 0


# Tests


SPLIT = rec_report.Test(3, "ours", "item_item", "split", "salt", 1.0)
BOTH = rec_report.Test(4, "ours", "popular", "interleave", "other", 0.5)


def shown_in_test(rate_a: float, rate_b: float, members: int = 600) -> Iterator[Place]:
    rng = random.Random(4)
    for number in range(1, members + 1):
        rate = rate_a if side(SPLIT.salt, number, SPLIT.share) == "a" else rate_b
        for turn in range(3):
            yield Place(
                list_id=number * 10 + turn,
                member_id=number,
                arm="test",
                test_id=3,
                clicked=rng.random() < rate,
            )


def test_a_split_test_names_the_better_ranker_when_it_is_certain() -> None:
    found = found_of(shown_in_test(0.25, 0.1), SPLIT)
    assert (found.better, found.why) == ("ours", "")
    kept = found.kept()
    assert kept["ctr"][0] > kept["ctr"][1]
    assert kept["diff"][1] > 0
    assert kept["p"] < 0.001
    assert found_of(shown_in_test(0.15, 0.15), SPLIT).better == ""


def test_a_test_of_few_or_of_uneven_parts_names_none() -> None:
    few = found_of(shown_in_test(0.9, 0.0, 30), SPLIT)
    assert (few.why, few.better) == ("few", "")
    lost = [
        one
        for one in shown_in_test(0.5, 0.1)
        if side("salt", one.member_id, 1.0) == "a" or one.member_id % 3 == 0
    ]
    uneven = found_of(lost, SPLIT)
    assert uneven.why == "unequal"
    assert uneven.better == ""


def test_an_interleaved_test_counts_members_by_whose_places_they_clicked() -> None:
    def member(number: int, by: str, explored: bool = False) -> Place:
        return Place(number, number, test_id=4, by=by, clicked=True, explored=explored)

    ours = [member(n, "ours") for n in range(1, 31)]
    popular = [member(n, "popular") for n in range(31, 36)]
    by_chance = [member(n, "popular", explored=True) for n in range(36, 99)]
    found = found_of([*ours, *popular, *by_chance], BOTH)
    assert found.preference is not None
    assert (found.preference.a, found.preference.b) == (30, 5)
    assert found.better == "ours"
    assert found.kept()["prefer"] == [30, 5, 0]


def test_open_tests_stand_in_the_report_and_others_do_not() -> None:
    found = made(*shown_in_test(0.2, 0.1), Place(test_id=77, member_id=9999), tests=(SPLIT, BOTH))
    (tests,) = [one for one in found.lists if one.name == "rec_tests"]
    assert [row.label for row in tests.rows] == [
        "rec_test:split|ranker:ours|ranker:item_item",
        "rec_test:interleave|ranker:ours|ranker:popular",
    ]
    split, both = tests.rows
    assert [one.name for one in split.figures] == ["rec_test_a", "rec_test_b", "rec_test_more"]
    assert both.figures[0].value is None
    assert both.figures[0].note == "rec_none"


# The arithmetic


def test_places_of_members_who_are_alike_count_like_members_of_their_own() -> None:
    rng = np.random.default_rng(1)
    hits = rng.binomial(1, 0.3, 500).astype(np.float64)
    one = rec_tests.clustered(hits, np.ones(500))
    assert one.worth == pytest.approx(500, rel=0.01)
    # Each of them ten times the same is not ten times as much evidence.
    ten = rec_tests.clustered(hits * 10, np.full(500, 10.0))
    assert ten.of == 5000
    assert ten.worth == pytest.approx(500, rel=0.01)


def test_shares_of_nothing_and_of_one_member_do_not_break() -> None:
    none = np.zeros(0)
    assert rec_tests.clustered(none, none) == Share(0, 0, 0)
    assert rec_tests.clustered(np.array([2.0]), np.array([5.0])) == Share(2, 5, 1, 1.0)
    assert math.isnan(rec_tests.mean(none, none).value)
    lone = rec_tests.mean(np.array([3.0]), np.array([2.0]))
    assert lone.value == 1.5
    assert math.isnan(lone.low)
    assert math.isnan(rec_tests.difference(lone, lone)[1])
    empty = rec_tests.beside(Share(0, 0, 0), Share(1, 5, 5))
    assert math.isnan(empty.diff)
    never = rec_tests.beside(
        rec_tests.clustered(np.zeros(40), np.ones(40)), rec_tests.clustered(np.zeros(9), np.ones(9))
    )
    assert never.diff == 0.0
    assert not never.certain


def test_of_equal_groups_about_one_comparison_in_twenty_is_certain_by_chance() -> None:
    """The promise of the interval, with members who differ and places that hang together."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(400):
        shares = []
        for members in (300, 60):
            sizes = rng.integers(1, 30, members).astype(np.float64)
            rates = rng.beta(1.0, 9.0, members)
            hits = rng.binomial(sizes.astype(int), rates).astype(np.float64)
            shares.append(rec_tests.clustered(hits, sizes))
        wrong += rec_tests.beside(shares[0], shares[1]).certain
    assert 6 <= wrong <= 36
