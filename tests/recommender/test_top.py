"""Lists out of scores: exact, varied, not stuck, and with a chance that is written down exactly."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.shelf import Card, Rules, Shelf
from recommender.top import Chance, best, compose, faded, sink, varied

NOW = 1_795_000_000.0
DAY = 86_400.0


def cards(count: int, **columns: object) -> Shelf:
    return Shelf([Card(f"i-{at}", **columns) for at in range(count)])  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5, -3.0, 7.25]), max_size=60),
    st.integers(-1, 70),
    st.integers(0, 2**60),
)
def test_the_best_are_exact_and_ties_go_by_place(values: list[float], k: int, bits: int) -> None:
    scores = np.array(values, np.float32)
    allowed = np.array([bool(bits >> at & 1) for at in range(len(values))], bool)
    expected = sorted(
        (at for at in range(len(values)) if allowed[at]), key=lambda at: (-values[at], at)
    )[: max(0, k)]
    assert best(scores, allowed, k).tolist() == expected
    every = sorted(range(len(values)), key=lambda at: (-values[at], at))[: max(0, k)]
    assert best(scores, None, k).tolist() == every


def test_a_series_stands_in_a_list_once_and_no_author_fills_it() -> None:
    shelf = Shelf(
        [
            *(Card(f"s-{at}", series="写作营", authors=(f"s{at}",)) for at in range(3)),
            *(Card(f"a-{at}", authors=("王老师",)) for at in range(5)),
            *(Card(f"x-{at}") for at in range(5)),
        ]
    )
    pool = np.arange(13)
    found = [shelf.cards[at].id for at in varied(pool, shelf, 6)]
    assert found == ["s-0", "a-0", "a-1", "x-0", "x-1", "x-2"]


def test_a_tag_holds_at_most_half_unless_it_was_asked_for() -> None:
    shelf = Shelf([Card(f"i-{at}", tags=("python",) if at < 6 else ("写作",)) for at in range(12)])
    assert varied(np.arange(12), shelf, 4) == [0, 1, 6, 7]
    assert varied(np.arange(12), shelf, 4, on_topic=True) == [0, 1, 2, 3]


def test_what_was_left_out_fills_the_list_when_nothing_else_is_there() -> None:
    shelf = cards(4, series="写作营")
    assert varied(np.arange(4), shelf, 3) == [0, 1, 2]
    assert varied(np.arange(0), shelf, 3) == []


def test_what_was_shown_and_ignored_sinks_and_the_rest_stays() -> None:
    pool = np.arange(20)
    scores = np.linspace(10, 0, 20).astype(np.float32)
    found = sink(pool, scores, {0: 3.0, 5: 0.4}, 3)
    order = np.argsort(-found, kind="stable").tolist()
    assert 0 not in order[: 3 * 2]
    assert [at for at in order if at not in (0, 5)] == [at for at in range(20) if at not in (0, 5)]
    assert sink(pool, scores, {}, 3) is scores
    flat = sink(pool, np.zeros(20, np.float32), {0: 1.0}, 3)
    assert flat[0] < flat[1]


def test_what_was_shown_long_ago_counts_less() -> None:
    assert faded([NOW, NOW - 7 * DAY], NOW, 7 * DAY) == pytest.approx(1.5)
    assert faded([], NOW, DAY) == 0.0
    assert faded([NOW + 99], NOW, DAY) == 1.0


def test_without_chance_the_list_is_what_was_chosen() -> None:
    pool, scores = np.array([4, 2, 9]), np.array([3, 2, 1], np.float32)
    found = compose(pool, scores, [0, 2], [7], Chance(0.0), random.Random(1))
    assert [(one.place, one.score, one.propensity, one.explored) for one in found] == [
        (4, 3.0, 1.0, False),
        (9, 1.0, 1.0, False),
    ]


@pytest.mark.parametrize(("fresh", "rest"), [(6, 10), (1, 2), (0, 3), (2, 0)])
def test_propensities_are_how_often_it_happens(fresh: int, rest: int) -> None:
    pool = np.arange(4 + rest)
    scores = np.linspace(1, 0, len(pool)).astype(np.float32)
    new = list(range(100, 100 + fresh))
    seen: Counter[tuple[int, int]] = Counter()
    said: dict[tuple[int, int], float] = {}
    runs = 5000
    rng = random.Random(5)
    for _ in range(runs):
        found = compose(pool, scores, range(4), new, Chance(0.4, 0.7), rng)
        assert len({one.place for one in found}) == 4
        for position, one in enumerate(found):
            seen[position, one.place] += 1
            assert said.setdefault((position, one.place), one.propensity) == one.propensity
            assert one.explored == (one.place >= 4)
    for cell, times in seen.items():
        assert times / runs == pytest.approx(said[cell], abs=0.035), cell
    for position in range(4):
        here = sum(share for (at, _), share in said.items() if at == position)
        assert here == pytest.approx(1.0, abs=1e-9)


def test_new_items_have_their_share_of_all_places() -> None:
    pool = np.arange(60)
    scores = np.zeros(60, np.float32)
    rng = random.Random(3)
    shown = [
        one.place
        for _ in range(2000)
        for one in compose(pool, scores, range(5), [70, 71], Chance(0.1), rng)
    ]
    assert sum(at >= 70 for at in shown) / len(shown) == pytest.approx(0.08, abs=0.015)


def test_the_same_dice_give_the_same_list() -> None:
    pool, scores = np.arange(30), np.zeros(30, np.float32)

    def drawn(seed: int) -> list[int]:
        rng = random.Random(seed)
        return [one.place for one in compose(pool, scores, range(9), [40], Chance(0.5), rng)]

    assert drawn(7) == drawn(7)
    assert any(drawn(seed) != drawn(7) for seed in range(8, 12))


# The shelf


def opened(shelf: Shelf, rules: Rules) -> list[str]:
    return [shelf.cards[at].id for at in np.flatnonzero(shelf.open(NOW, rules))]


def test_what_one_has_or_refused_is_not_shown() -> None:
    shelf = cards(4)
    assert opened(shelf, Rules(gone=("i-1", "never there"))) == ["i-0", "i-2", "i-3"]


def test_a_course_that_asks_for_another_waits_for_it() -> None:
    shelf = Shelf(
        [
            Card("a"),
            Card("b", requires=("a",)),
            Card("c", requires=("a", "b")),
            Card("old", requires=("archived",)),
            Card("self", requires=("self",)),
        ]
    )
    assert opened(shelf, Rules()) == ["a", "old", "self"]
    assert opened(shelf, Rules(taken={"a"})) == ["a", "b", "old", "self"]
    assert opened(shelf, Rules(taken={"a", "b"}, gone={"a", "b"})) == ["c", "old", "self"]


def test_times_prices_and_memberships_hold() -> None:
    shelf = Shelf(
        [
            Card("now", available_from=NOW, available_until=NOW + 1),
            Card("later", available_from=NOW + 1),
            Card("over", available_until=NOW),
            Card("dear", price_cents=10_001),
            Card("vip", needs_tier="paid-yearly"),
        ]
    )
    assert opened(shelf, Rules()) == ["now", "dear"]
    assert opened(shelf, Rules(most_cents=10_000)) == ["now"]
    assert opened(shelf, Rules(tiers={"", "paid-yearly"})) == ["now", "dear", "vip"]


def test_a_topic_is_all_its_words() -> None:
    shelf = Shelf([Card("a", words="python 爬虫"), Card("b", words="python 数据")])
    assert opened(shelf, Rules(words=("python", "爬"))) == ["a"]
    assert opened(shelf, Rules(words=("写作",))) == []


def test_new_is_what_has_a_young_date() -> None:
    shelf = Shelf(
        [
            Card("young", published_at=NOW - DAY),
            Card("old", published_at=NOW - 30 * DAY),
            Card("undated"),
            Card("announced", published_at=NOW + DAY),
        ]
    )
    assert shelf.new(NOW, 14 * DAY).tolist() == [True, False, False, False]


def test_an_empty_shelf_has_nothing() -> None:
    shelf = Shelf([])
    assert opened(shelf, Rules(words=("x",), most_cents=1)) == []
    assert best(np.zeros(0, np.float32), None, 5).tolist() == []
