"""Attribution: what an order is owed to, and that nothing of it is lost or doubled."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.outcomes import (
    NONE,
    Group,
    Report,
    Row,
    funnel,
    last_weights,
    position_weights,
    rate,
    shared,
)

DAY = 86_400.0
SINCE, UNTIL = 100 * DAY, 130 * DAY
AUTUMN_A, AUTUMN_B = Group("autumn", "a", "campaign"), Group("autumn", "b", "campaign")
WINTER, ANSWER = Group("winter", "", "campaign"), Group("", "", "answer")


def row(
    day: float,
    kind: str,
    group: Group = NONE,
    *,
    member: int | None = 1,
    who: str = "",
    item: str = "c1",
    order: str = "",
    cents: int = 0,
) -> Row:
    """What somebody did on a day, counted from the beginning of the period."""
    return (member, who, SINCE + day * DAY, kind, item, order, cents, *group)


def bought(day: float, cents: int = 10_000, order: str = "o1", **more: Any) -> Row:
    return row(day, "purchase", order=order, cents=cents, **more)


def report(*rows: Row, campaign: str = "") -> Report:
    """The report with a week for clicks and a day for exposures."""
    ordered = sorted(rows, key=lambda one: (one[0] or 0, one[1], one[2]))
    return funnel(
        ordered,
        since=SINCE,
        until=UNTIL,
        window_s=7 * DAY,
        view_window_s=DAY,
        campaign=campaign,
    )


def gross(made: Report, model: str) -> dict[Group, int]:
    """Group -> what a model gives it, without those who get nothing."""
    found = {group: getattr(tally, model).gross_cents for group, tally in made.groups.items()}
    return {group: cents for group, cents in found.items() if cents}


def test_without_rows_there_are_zeros_and_no_groups() -> None:
    made = report()
    assert made.total.counts == [0, 0, 0, 0]
    assert [len(one) for one in (made.groups, made.campaigns, made.sources)] == [0, 0, 0]
    assert math.isnan(made.total.median_s)
    assert math.isnan(made.total.rates["exposure", "click"].value)


def test_the_newest_touch_has_all_or_the_ends_have_forty_percent() -> None:
    made = report(
        row(1, "click", AUTUMN_A),
        row(2, "click", WINTER),
        row(3, "click", ANSWER),
        row(4, "click", AUTUMN_B),
        bought(5),
    )
    assert gross(made, "last") == {AUTUMN_B: 10_000}
    assert gross(made, "position") == {AUTUMN_A: 4000, WINTER: 1000, ANSWER: 1000, AUTUMN_B: 4000}
    autumn = made.campaigns["autumn"]
    assert autumn.position.orders == pytest.approx(0.8)
    assert autumn.position.gross_cents == 8000
    assert autumn.counts == [0, 2, 0, 1], "one order, though two touches have a share"
    assert autumn.median_s == 4 * DAY


@pytest.mark.parametrize(
    ("touches", "weights"),
    [(0, []), (1, [1]), (2, [1, 1]), (3, [2, 1, 2]), (5, [6, 1, 1, 1, 6])],
)
def test_positions_are_weighed_forty_twenty_forty(touches: int, weights: list[int]) -> None:
    assert position_weights(touches) == weights


def test_a_click_counts_for_a_week_and_an_exposure_for_a_day() -> None:
    late = report(row(1, "click", AUTUMN_A), row(1, "exposure", WINTER), bought(8.1))
    assert gross(late, "last") == {NONE: 10_000}
    soon = report(row(1, "click", AUTUMN_A), row(7, "exposure", WINTER), bought(7.9))
    assert gross(soon, "last") == {WINTER: 10_000}


def test_a_touch_after_the_order_or_of_somebody_else_counts_nothing() -> None:
    made = report(
        row(3, "click", AUTUMN_A), row(1, "click", AUTUMN_B, member=2), bought(2, member=1)
    )
    assert gross(made, "last") == {NONE: 10_000}


def test_a_touch_before_the_period_counts_but_is_no_step_of_it() -> None:
    made = report(row(-2, "click", AUTUMN_A), bought(1))
    assert gross(made, "last") == {AUTUMN_A: 10_000}
    assert made.groups[AUTUMN_A].counts == [0, 0, 0, 1]
    assert made.groups[AUTUMN_A].people == [0, 0, 0, 1]


def test_an_exposure_of_one_item_is_not_why_another_is_bought() -> None:
    made = report(row(1, "exposure", ANSWER, item="c2"), bought(1.5))
    assert gross(made, "last") == {NONE: 10_000}
    made = report(row(1, "exposure", ANSWER, item="c1"), bought(1.5))
    assert gross(made, "last") == {ANSWER: 10_000}


def test_an_order_without_touches_counts_for_what_it_names_itself() -> None:
    made = report((1, "", SINCE + DAY, "purchase", "c1", "o", 5, *WINTER))
    assert gross(made, "last") == gross(made, "position") == {WINTER: 5}


def test_an_order_of_several_rows_is_one_order() -> None:
    made = report(row(1, "click", AUTUMN_A), bought(2, 300), bought(2.5, 200, item="c2"))
    assert made.groups[AUTUMN_A].counts[3] == 1
    assert gross(made, "last") == {AUTUMN_A: 500}


def test_a_refund_is_taken_off_its_order_even_when_it_comes_later_than_the_period() -> None:
    made = report(
        row(1, "click", AUTUMN_A),
        bought(2, order="o1"),
        row(9, "click", WINTER),
        bought(10, 700, order="o2"),
        row(50, "refund", order="o1", cents=4000),
    )
    credit = made.groups[AUTUMN_A].last
    assert (credit.gross_cents, credit.refunded_cents, credit.net_cents) == (10_000, 4000, 6000)
    assert made.groups[WINTER].last.refunded_cents == 0


def test_a_refund_without_order_finds_the_newest_purchase_of_the_item() -> None:
    made = report(
        row(1, "click", AUTUMN_A),
        bought(2, 500, order=""),
        row(11, "click", WINTER),
        bought(12, 500, order=""),
        row(13, "refund", cents=500),
        row(14, "refund", cents=500),
    )
    assert made.groups[WINTER].last.refunded_cents == 500
    assert made.groups[AUTUMN_A].last.refunded_cents == 500, "the newer one was given back"


def test_a_refund_of_an_older_order_is_not_of_this_period() -> None:
    made = report(bought(-3), row(3, "refund", order="o1", cents=10_000))
    assert made.total.last.refunded_cents == 0


def test_a_refund_of_nothing_known_counts_for_none() -> None:
    made = report(row(3, "refund", order="o9", item="", cents=10))
    assert made.groups[NONE].last.refunded_cents == 10
    assert made.total.last.net_cents == -10


def test_rates_count_people_in_the_order_of_the_steps() -> None:
    made = report(
        row(1, "exposure", AUTUMN_A, member=1),
        row(1, "exposure", AUTUMN_A, member=1),
        row(2, "click", AUTUMN_A, member=1),
        row(1, "click", AUTUMN_A, member=2),  # clicked before, not because
        row(2, "exposure", AUTUMN_A, member=2),
        row(1, "exposure", AUTUMN_A, member=3),
        row(1, "exposure", AUTUMN_B, member=3),
        row(2, "click", AUTUMN_B, member=3),
        row(1, "exposure", AUTUMN_A, member=None, who="visitor:v"),
        row(1, "exposure", AUTUMN_A, member=None),
        row(1, "exposure", AUTUMN_A, member=None),
    )
    a = made.groups[AUTUMN_A]
    assert (a.counts[:2], a.people[:2]) == ([7, 2], [4, 2]), "nobody is no person"
    assert (a.rates["exposure", "click"].went_on, a.rates["exposure", "click"].people) == (1, 4)
    autumn = made.campaigns["autumn"]
    assert autumn.people[:2] == [4, 3]
    assert autumn.rates["exposure", "click"].went_on == 2, "one of them by way of b"


def test_a_claim_counts_for_what_it_names_or_for_the_newest_touch() -> None:
    made = report(
        row(1, "click", AUTUMN_A),
        row(2, "claim"),
        row(3, "claim", WINTER),
        row(20, "claim", member=2),
    )
    claims = {group: tally.counts[2] for group, tally in made.groups.items()}
    assert claims == {AUTUMN_A: 1, WINTER: 1, NONE: 1}
    assert made.groups[AUTUMN_A].rates["click", "claim"].value == 1.0


def test_wilsons_interval() -> None:
    """Checked against the figures of Newcombe 1998, table I."""
    found = rate(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    none = rate(0, 20)
    assert (none.low, round(none.high, 4)) == (0.0, 0.1611)
    assert (rate(5, 5).high, rate(5, 5).low < 1) == (1.0, True)


@given(st.integers(0, 10**9), st.integers(1, 40))
def test_shares_are_whole_and_lose_nothing(cents: int, touches: int) -> None:
    for weights in (position_weights(touches), last_weights(touches)):
        assert sum(Fraction(weight, sum(weights)) for weight in weights) == 1
        parts = shared(cents, weights)
        assert sum(parts) == cents
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - Fraction(cents * weight, sum(weights))) < 1


GROUPS = (AUTUMN_A, AUTUMN_B, WINTER, ANSWER, NONE)
HISTORY = st.lists(
    st.builds(
        row,
        st.integers(-40, 160).map(lambda quarter: quarter / 4),
        st.sampled_from(["exposure", "click", "claim", "purchase", "refund"]),
        st.sampled_from(GROUPS),
        member=st.sampled_from([None, 1, 2]),
        who=st.just(""),
        item=st.sampled_from(["c1", "c2"]),
        order=st.sampled_from(["", "o1", "o2"]),
        cents=st.integers(0, 1000),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(HISTORY)
def test_every_model_gives_away_every_cent_once(history: list[Row]) -> None:
    made = report(*history)
    for model in ("last", "position"):
        total = getattr(made.total, model)
        for tallies in (made.groups, made.campaigns, made.sources):
            credits = [getattr(tally, model) for tally in tallies.values()]
            assert sum(credit.gross_cents for credit in credits) == total.gross_cents
            assert sum(credit.refunded_cents for credit in credits) == total.refunded_cents
            assert sum(credit.orders for credit in credits) == pytest.approx(total.orders)
    assert made.total.last.gross_cents == made.total.position.gross_cents
    assert made.total.last.refunded_cents == made.total.position.refunded_cents
    assert made.total.counts[3] == pytest.approx(made.total.last.orders)
    for tally in (made.total, *made.groups.values()):
        for at, people in enumerate(tally.people):
            assert people <= tally.counts[at]
        assert all(0 <= one.went_on <= one.people for one in tally.rates.values())


@settings(max_examples=40)
@given(HISTORY)
def test_the_report_of_a_campaign_is_its_part_of_the_whole(history: list[Row]) -> None:
    whole, part = report(*history), report(*history, campaign="autumn")
    assert part.campaigns == {n: t for n, t in whole.campaigns.items() if n == "autumn"}
    assert part.groups == {g: t for g, t in whole.groups.items() if g.campaign == "autumn"}
