"""Noise on what is published: of the size it says, telling nobody apart, and a budget that ends.

The noise is random and cannot be seeded, so the tests are tests of significance: a right noise
fails one of them in less than one of 100,000 runs, one that is 30 % off practically always.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from scipy import stats

from insights.noise import (
    NOISY,
    NOTES,
    SMALL,
    NotPublishable,
    noise,
    noisy,
    publish,
    publishable,
    reach,
)
from insights.report import Chart, Figure, Listing, Report, Row, Unit

ALPHA = 1e-6
DRAWS = 12_000
EPSILON = 1.0


def figure(
    name: str = "active",
    unit: Unit = "count",
    *,
    value: float = 400,
    people: int | None = 400,
    numerator: float | None = None,
    denominator: float | None = None,
) -> Figure:
    return Figure(
        name=name,
        value=value,
        unit=unit,
        since=0.0,
        until=7.0,
        numerator=numerator,
        denominator=denominator,
        n=9000,
        people=people,
        before=3.0,
    )


def share(true: int, of: int, name: str = "kept") -> Figure:
    return figure(name, "share", value=true / of, people=of, numerator=true, denominator=of)


def report(*figures: Figure) -> Report:
    return Report(
        kind="week",
        made_at=9.0,
        since=0.0,
        until=7.0,
        figures=figures,
        lists=(Listing(name="l", rows=(Row(member_id=3),)),),
        charts=(Chart(name="c", kind="bars", unit="count", labels=(), series=()),),
    )


# How large it is


def p_of(drawn: Sequence[int], epsilon: float) -> float:
    """How likely draws this far off are, if the noise is discrete Laplace of this epsilon."""
    q = math.exp(-epsilon)
    last = next(k for k in range(1, 10_000) if len(drawn) * q**k * (1 - q) / (1 + q) < 10)
    seen = Counter(max(-last, min(last, one)) for one in drawn)
    inside = {k: (1 - q) / (1 + q) * q ** abs(k) for k in range(1 - last, last)}
    tail = q**last / (1 + q)
    expected = {**inside, -last: tail, last: tail}
    assert sum(expected.values()) == pytest.approx(1)
    found = stats.chisquare(
        [seen[k] for k in expected], [len(drawn) * p for p in expected.values()]
    )
    return float(found.pvalue)


def test_the_noise_has_the_distribution_that_epsilon_asks_for() -> None:
    drawn = noise(DRAWS, EPSILON)
    assert p_of(drawn, EPSILON) > ALPHA
    assert p_of(drawn, EPSILON * 1.3) < ALPHA, "the test would notice less noise"
    assert p_of(drawn, EPSILON / 1.3) < ALPHA, "and more"
    spread = math.sqrt(DRAWS * 2 * math.exp(-EPSILON)) / (1 - math.exp(-EPSILON))
    assert abs(sum(drawn)) < 6 * spread, "and it leans to no side"


def test_the_interval_holds_what_it_says() -> None:
    outside = sum(abs(one) > reach(EPSILON) for one in noise(DRAWS, EPSILON))
    assert stats.binomtest(outside, DRAWS, 0.05, alternative="greater").pvalue > ALPHA
    assert outside > 0.01 * DRAWS, "and is not far too wide"


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan])
def test_without_a_price_there_is_no_noise(epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon"):
        noisy([1], epsilon)


def test_nothing_to_publish_needs_no_noise() -> None:
    assert noisy([], EPSILON) == []


# What it hides


def loss(one: Sequence[int], other: Sequence[int], threshold: int) -> float:
    """The privacy loss that is sure, at 1 - ALPHA: of "above the threshold" with one more."""
    above_one, above_other = (sum(x > threshold for x in drawn) for drawn in (one, other))
    low = stats.beta.ppf(ALPHA, above_one, len(one) - above_one + 1)
    high = stats.beta.ppf(1 - ALPHA, above_other + 1, len(other) - above_other)
    return math.log(low / high)


def test_with_and_without_a_member_nearly_the_same_is_published() -> None:
    without, having = noisy([100] * DRAWS, EPSILON), noisy([101] * DRAWS, EPSILON)
    thresholds = range(94, 107)
    found = [loss(having, without, t) for t in thresholds]
    found += [loss([-x for x in without], [-x for x in having], -t) for t in thresholds]
    assert max(found) <= EPSILON, "no event gives a member away more than epsilon allows"
    assert max(found) > 0.75 * EPSILON, "and the bound is nearly reached: the test has teeth"


def test_a_count_in_which_somebody_stands_twice_would_be_noticed() -> None:
    without, twice = noisy([100] * DRAWS, EPSILON), noisy([102] * DRAWS, EPSILON)
    assert max(loss(twice, without, t) for t in range(94, 107)) > EPSILON


def test_the_two_counts_of_a_share_hide_a_member_together() -> None:
    """Who is in the one is not in the other, so one epsilon pays for both."""
    half = DRAWS // 2
    one, other = noisy([60, 40] * half, EPSILON), noisy([61, 40] * half, EPSILON)
    sums = [sum(pair) for pair in zip(one[::2], one[1::2], strict=True)]
    more = [sum(pair) for pair in zip(other[::2], other[1::2], strict=True)]
    assert max(loss(more, sums, t) for t in range(94, 107)) <= EPSILON


# What is published


def test_only_the_chosen_counts_and_shares_of_members_are_published() -> None:
    figures = (
        figure(),
        share(120, 400),
        figure("other"),
        figure("messages", value=9000),
        figure("spent", "cents"),
        figure("loose", "share", value=0.3, numerator=9, denominator=30),
        figure("unknown", people=None),
    )
    names = {"active", "kept", "messages", "spent", "loose", "unknown"}
    made = publish(report(*figures), names, 1.0, least=10)
    assert [one.name for one in made.figures] == ["active", "kept"]
    assert (made.lists, made.charts, made.note) == ((), (), NOISY)
    assert [publishable(one) for one in figures] == [True, True, True, *[False] * 4]


def test_what_is_published_says_nothing_exact() -> None:
    for one in publish(report(figure(), share(120, 400)), {"active", "kept"}, 1.0, 10).figures:
        assert (one.n, one.people, one.before, one.note) == (0, None, None, NOISY)
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        assert one.low <= one.value <= one.high


def test_a_report_shares_its_epsilon_evenly() -> None:
    """Twice the figures, half for each: their intervals are as wide as that makes them."""
    alone = publish(report(figure()), {"active"}, 1.0, 10).figures[0]
    (first, _) = publish(report(figure(), share(120, 400)), {"active", "kept"}, 1.0, 10).figures
    assert alone.high is not None
    assert first.high is not None
    assert alone.high - (alone.value or 0) == reach(1.0)
    assert first.high - (first.value or 0) == reach(0.5)


def test_counts_that_nobody_stands_behind_are_withheld_and_never_negative() -> None:
    made = publish(report(figure(value=0, people=0), share(1, 2)), {"active", "kept"}, 2.0, 1000)
    assert [(one.value, one.numerator, one.note) for one in made.figures] == [
        (None, None, SMALL)
    ] * 2
    many = publish(report(*[figure(value=1, people=1)] * 200), {"active"}, 10.0, 1)
    assert all(one.value is None or one.value >= 1 for one in many.figures)


def test_a_share_of_nobody_or_of_all_stays_a_share() -> None:
    ends = [share(0, 30), share(30, 30)] * 50
    for one in publish(report(*ends), {"kept"}, 20.0, 1).figures:
        if one.value is not None:
            assert 0 <= (one.low or 0) <= one.value <= (one.high or 0) <= 1


def test_what_has_no_value_takes_its_part_of_the_noise_all_the_same() -> None:
    none = replace(figure("empty"), value=None, people=None)
    made = publish(report(figure(), none), {"active", "empty"}, 1.0, 10)
    assert [(one.name, one.note) for one in made.figures] == [("active", NOISY), ("empty", SMALL)]
    alone = publish(report(figure(), figure("empty")), {"active", "empty"}, 1.0, 10)
    widths = [(one.figures[0].high or 0) - (one.figures[0].low or 0) for one in (made, alone)]
    assert widths[0] == widths[1], "the noise says nothing about the other figure"


def test_nothing_else_that_counts_people_goes_with_it() -> None:
    told = replace(figure(), beside=12, before_people=3)
    (one,) = publish(report(told), {"active"}, 1.0, 10).figures
    assert (one.beside, one.before_people) == (None, None)


def test_a_report_without_such_figures_is_refused_in_words() -> None:
    with pytest.raises(NotPublishable, match="active"):
        publish(report(figure("other")), {"active"}, 1.0, 10)


def test_every_note_that_is_put_is_named() -> None:
    assert {NOISY, SMALL} == NOTES
