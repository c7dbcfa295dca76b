"""Who took A took B: what goes together beyond chance, and in which order."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest

from insights.baskets import MOST_RULES, Rule, frequent, listing, rules
from insights.report import Report, from_json, to_json

Take = tuple[int, str, float]


def crowd(seed: int = 1, members: int = 1500, items: int = 14) -> list[Take]:
    """Everybody takes some of the items, each by itself."""
    rnd = random.Random(seed)
    return [
        (member, f"i{item}", rnd.random())
        for member in range(members)
        for item in range(items)
        if rnd.random() < 0.25
    ]


def planted(share: float = 0.6) -> list[Take]:
    """The crowd, of which who took "a" took "b" afterwards, mostly."""
    rnd = random.Random(2)
    takes = crowd()
    for member in range(1500):
        if rnd.random() < 0.2:
            takes.append((member, "a", 10.0))
            if rnd.random() < share:
                takes.append((member, "b", 20.0))
        elif rnd.random() < 0.05:
            takes.append((member, "b", 5.0))
    return takes


@pytest.mark.parametrize("seed", range(3))
def test_in_a_crowd_nothing_goes_together(seed: int) -> None:
    assert rules(crowd(seed), 10) == []


def test_a_planted_rule_is_found_and_no_other() -> None:
    (found,) = rules(planted(), 10)
    assert (found.first, found.then) == (("a",), "b")
    assert 0.5 < found.confidence < 0.7
    assert found.low < found.lift < found.high
    assert found.low > 2
    assert found.p < 1e-20


def test_the_rule_is_told_in_the_order_it_was_walked() -> None:
    (found,) = rules(planted(), 10)
    assert found.after == found.both
    backwards = [(member, item, -at) for member, item, at in planted()]
    (other,) = rules(backwards, 10)
    assert (other.first, other.then, other.after) == (("b",), "a", other.both)


def test_counts_are_those_of_members() -> None:
    takes = [*planted(), *planted()]
    (found,) = rules(takes, 10)
    of: dict[int, set[str]] = {}
    for member, item, _ in takes:
        of.setdefault(member, set()).add(item)
    assert found.members == len(of)
    assert found.left == sum("a" in one for one in of.values())
    assert found.right == sum("b" in one for one in of.values())
    assert found.both == sum({"a", "b"} <= one for one in of.values())


def test_below_the_support_nothing_is_told() -> None:
    (found,) = rules(planted(), 10)
    assert len(rules(planted(), found.both)) == 1
    assert rules(planted(), found.both + 1) == []


def test_two_that_lead_to_a_third_only_together_are_a_rule_of_two() -> None:
    rnd = random.Random(3)
    takes: list[Take] = []
    for member in range(3000):
        mine = {item for item in ("a", "b", "x", "y") if rnd.random() < 0.4}
        if rnd.random() < (0.9 if {"a", "b"} <= mine else 0.1):
            mine.add("c")
        takes += [(member, item, 2.0 if item == "c" else 1.0) for item in mine]
    found = rules(takes, 20)
    best = found[0]
    assert (best.first, best.then) == (("a", "b"), "c")
    # Neither x nor y adds anything to it.
    assert not {"x", "y"} & {item for one in found for item in (*one.first, one.then)}


@pytest.mark.parametrize("takes", [[], [(1, "a", 0.0)], [(n, "a", 0.0) for n in range(50)]])
def test_one_item_makes_no_rule(takes: list[Take]) -> None:
    assert rules(takes, 3) == []


def test_sets_are_counted_as_a_slow_count_does() -> None:
    rnd = random.Random(4)
    baskets = [frozenset(item for item in "abcdef" if rnd.random() < 0.5) for _ in range(60)]
    slow = Counter(
        frozenset(items)
        for one in baskets
        for size in (1, 2, 3)
        for items in combinations(sorted(one), size)
    )
    assert frequent(baskets, 9) == {items: n for items, n in slow.items() if n >= 9}
    assert frequent([], 3) == {}
    assert frequent(baskets, 61) == {}


def test_the_list_names_items_by_their_titles() -> None:
    found = rules(planted(), 10)
    its = listing(found, {"a": "入门课"}, 0.0, 99.0, found[0].members)
    (row,) = its.rows
    assert row.label == "入门课 → b"
    confidence, lift, support, after = row.figures
    assert (confidence.numerator, confidence.denominator) == (found[0].both, found[0].left)
    assert (support.value, after.value) == (found[0].both, 1.0)
    assert lift.low is not None
    assert lift.low > 1
    report = Report(kind="retention", made_at=0.0, since=0.0, until=1.0, lists=(its,))
    assert from_json(to_json(report)) == report


def test_an_empty_list_says_whether_there_was_anything_to_compare() -> None:
    assert listing([], {}, 0.0, 1.0, 0).note == "basket_too_few"
    assert listing([], {}, 0.0, 1.0, 100).note == "basket_none"
    many = [Rule(("a",), f"b{n}", 10, 20, 30, 99, 2.0, 1.5, 3.0, 0.0, 5) for n in range(99)]
    assert len(listing(many, {}, 0.0, 1.0, 100).rows) == MOST_RULES
