"""Deeds as columns: what weighs how much, and what is said of broken data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recommender.dataset import (
    KINDS,
    Log,
    People,
    Things,
    enough,
    price_band,
    report,
    values,
    weights,
)

DAY = 86400.0


def pairs(log: Log, **kwargs: float) -> dict[tuple[int, str], float]:
    found = values(log, **kwargs)
    rows = zip(found.member.tolist(), found.item.tolist(), found.value.tolist(), strict=True)
    return {(member, log.ids[item]): value for member, item, value in rows}


def test_each_step_towards_a_purchase_says_more() -> None:
    steps = ("view", "click", "ask", "claim", "enrol", "purchase")
    told = [KINDS[step] for step in steps]
    assert told == sorted(set(told))
    assert KINDS["refund"] < 0 > KINDS["dislike"]
    assert KINDS["enrol"] <= KINDS["progress"] < KINDS["complete"]


def test_the_strongest_deed_of_a_pair_counts_once() -> None:
    log = Log.of([(1, "a", "view", 1.0, None), (1, "a", "purchase", 0.0, 9900.0)] * 3)
    assert pairs(log) == {(1, "a"): 1.0}


def test_half_a_course_is_between_the_beginning_and_the_end() -> None:
    log = Log.of(
        [(1, item, "progress", 0.0, a) for item, a in zip("abc", (0, 50, 100), strict=True)]
    )
    assert weights(log).tolist() == pytest.approx([0.8, 0.9, 1.0])


def test_a_refund_takes_back_what_was_before_it() -> None:
    bought, refunded = (1, "a", "purchase", 1.0, None), (1, "a", "refund", 2.0, None)
    assert pairs(Log.of([bought, refunded])) == {(1, "a"): KINDS["refund"]}
    again = (1, "a", "purchase", 3.0, None)
    assert pairs(Log.of([again, bought, refunded])) == {(1, "a"): 1.0}


def test_what_was_done_long_ago_fades() -> None:
    log = Log.of([(1, "old", "purchase", 0.0, None), (1, "new", "purchase", 60 * DAY, None)])
    assert pairs(log, half_life_s=60 * DAY) == {(1, "old"): 0.5, (1, "new"): 1.0}
    now = pairs(log, half_life_s=60 * DAY, now=120 * DAY)
    assert now == {(1, "old"): 0.25, (1, "new"): 0.5}


def test_a_long_silence_does_not_make_a_taste_weaker() -> None:
    log = Log.of([(1, "a", "purchase", 0.0, None), (2, "b", "purchase", 900 * DAY, None)])
    assert set(pairs(log, half_life_s=DAY).values()) == {1.0}


def test_newer_items_push_older_ones_back() -> None:
    log = Log.of([(1, item, "purchase", float(at), None) for at, item in enumerate("abc")])
    assert pairs(log, half_rank=1.0) == {(1, "a"): 0.25, (1, "b"): 0.5, (1, "c"): 1.0}


def test_the_order_of_rows_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    kinds = [kind for kind in KINDS if kind != "strength"]
    rows = [
        (
            int(rng.integers(5)),
            f"i{rng.integers(7)}",
            kinds[rng.integers(len(kinds))],
            float(at),
            None,
        )
        for at in range(80)
    ]
    forward = pairs(Log.of(rows), half_life_s=9.0, half_rank=3.0)
    rows.reverse()
    assert pairs(Log.of(rows), half_life_s=9.0, half_rank=3.0) == forward


def test_a_log_moves_to_another_catalogue() -> None:
    log = Log.of([(1, "gone", "view", 0.0, None), (1, "b", "purchase", 1.0, None)])
    moved = log.on(("a", "b"))
    assert pairs(moved) == {(1, "b"): 1.0}
    assert len(log.on(())) == 0


def test_an_empty_log_has_no_values() -> None:
    log = Log.of([])
    assert values(log).member.size == 0
    assert enough(log, 1, 0, 1) == (("members", 0, 1), ("events", 0, 1))


def test_too_little_is_said_by_name() -> None:
    log = Log.of([(1, "a", "purchase", 0.0, None), (2, "a", "dislike", 0.0, None)])
    assert enough(log, 2, 1, 2) == (("members", 1, 2),)
    assert enough(log, 1, 1, 2) == ()


@pytest.mark.parametrize(
    ("cents", "band"),
    [(0, "free"), (1, "low"), (9900, "low"), (9901, "mid"), (49_901, "high"), (10**7, "top")]
    + [(wrong, "") for wrong in (math.nan, math.inf, -1)],
)
def test_bands_of_prices(cents: float, band: str) -> None:
    assert price_band(cents) == band


def test_the_report_names_what_is_wrong() -> None:
    row = (1, "a", "view", 0.0, None)
    log = Log.of(
        [
            row,
            row,
            (1, "gone", "purchase", 1.0, None),
            (9, "a", "strength", 1.0, math.nan),
            (1, "a", "sang", 1.0, None),
            (1, "a", "view", math.nan, None),
        ]
    )
    things = Things(("a", "b"), (("tag:x",), ()), (), (math.nan, 100.0))
    assert report(log, People((1, 2), ((), ("tag:y",))), things) == {
        "unknown_items": {"count": 1, "first": ["gone"]},
        "items_without_features": {"count": 1, "first": ["b"]},
        "broken_prices": {"count": 1, "first": ["a"]},
        "unknown_members": 1,
        "members_without_features": 1,
        "duplicates": 1,
        "weightless": 1,
        "unknown_kinds": 1,
        "broken_times": 1,
    }


def test_clean_data_has_an_empty_report() -> None:
    log = Log.of([(m, i, "view", 0.0, None) for m in (1, 2) for i in "ab"])
    things = Things(("a", "b"), (("tag:x",), ("tag:y",)))
    assert report(log, People((1, 2), (("tag:x",), ("tag:x",))), things) == {}


def test_nothing_and_one_of_each_are_named() -> None:
    assert report(Log.of([]), People(), Things(()))["empty"] is True
    one = report(Log.of([(1, "a", "strength", 0.0, 0.0)]), People((1,)), Things(("a",)))
    assert one["one_member"] is one["one_item"] is one["all_weights_zero"] is True
