"""Spending: planted responses are found, budgets split at the optimum, and refusals are honest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from insights import spending_report
from insights.report import from_json as report_from_json
from insights.report import to_json as report_to_json
from insights.spending import BEYOND, BadBounds, Curve, Fitted, Weeks, expected, fit, plan, split
from insights.spending_report import Curves, from_json, planned, report, to_json

LEVELS = (0.0, 100.0, 200.0, 400.0, 800.0, 1500.0)
TRUE = (
    Curve("log", 3.0, 9.0, 250.0),
    Curve("ratio", 1.0, 30.0, 700.0),
    Curve("log", 0.5, 4.0, 120.0),
    Curve("ratio", 6.0, 12.0, 300.0),
)


def weeks(curve: Curve, place: str, seed: int, count: int = 26) -> Weeks:
    rng = np.random.default_rng(seed)
    spent = rng.choice(LEVELS, count)
    came = rng.poisson([curve.at(one) for one in spent])
    return Weeks(place, spent.tolist(), came.astype(float).tolist())


@pytest.fixture(scope="module")
def fitted() -> list[Fitted]:
    """Four places with planted responses, half a year each."""
    rng = np.random.default_rng(0)
    return [fit(weeks(one, f"qun:{n}", 100 + n), rng) for n, one in enumerate(TRUE)]


def flat(place: str = "qun:9", count: int = 26, seed: int = 1) -> Weeks:
    return weeks(Curve("log", 10.0, 0.0, 100.0), place, seed, count)


# Fitting


def test_planted_responses_are_found(fitted: list[Fitted]) -> None:
    for one, true in zip(fitted, TRUE, strict=True):
        assert one.curve is not None
        for spent in (100.0, 400.0, 1000.0):
            assert one.curve.at(spent) == pytest.approx(true.at(spent), rel=0.3)


def test_the_split_is_nearly_as_good_as_if_the_truth_were_known(fitted: list[Fitted]) -> None:
    found = plan(fitted, 2000.0)
    assert found is not None
    spent = {one.place: one.spent for one in found.shares}
    mine = sum(true.at(spent[f"qun:{n}"]) for n, true in enumerate(TRUE))
    limits = [one.most * BEYOND for one in fitted]
    best, _ = split(TRUE, 2000.0, [0.0] * 4, limits)
    optimum = sum(true.at(one) for true, one in zip(TRUE, best, strict=True))
    regret = 1.0 - mine / optimum
    print(f"regret {regret:.4f} of {optimum:.1f} conversions")
    assert 0.0 <= regret < 0.03
    assert found.least <= mine <= found.most


def test_without_a_response_there_is_no_curve() -> None:
    rng = np.random.default_rng(7)
    wrong = sum(fit(flat(seed=seed), rng).curve is not None for seed in range(40))
    print(f"{wrong} of 40 flat responses taken for one")
    assert wrong <= 6
    assert fit(flat(seed=1), rng).why == "flat_response"


def test_more_spending_that_sells_less_is_no_response() -> None:
    spent = [float(100 * week) for week in range(1, 21)]
    found = fit(Weeks("qun:1", spent, [40.0 - week for week in range(20)]), rng())
    assert found.why == "flat_response"


@pytest.mark.parametrize(
    ("spent", "why"),
    [
        ([], "no_costs"),
        ([0.0] * 20, "no_costs"),
        ([100.0, 300.0, 500.0, 0.0, 200.0], "few_weeks"),
        ([300.0] * 20, "no_variation"),
        ([300.0, 310.0, 290.0, 305.0] * 5, "no_variation"),
        ([0.0, 500.0] * 10, "no_variation"),
    ],
)
def test_weeks_that_bear_no_curve_are_refused(spent: list[float], why: str) -> None:
    found = fit(Weeks("qun:1", spent, [one / 20.0 for one in spent]), rng())
    assert (found.curve, found.why, found.weeks) == (None, why, len(spent))
    assert why in spending_report.NOTES


def test_weeks_in_which_nothing_was_sold_bear_no_curve() -> None:
    spent = [float(50 * (week % 7)) for week in range(20)]
    assert fit(Weeks("qun:1", spent, [0.0] * 20), rng()).why == "flat_response"


def test_the_same_weeks_give_the_same_curve() -> None:
    assert fit(weeks(TRUE[0], "a", 5), rng()) == fit(weeks(TRUE[0], "a", 5), rng())


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


# Splitting

CURVE = st.builds(
    Curve,
    st.sampled_from(["log", "ratio"]),
    st.floats(0.0, 20.0),
    st.floats(0.1, 60.0),
    st.floats(20.0, 3000.0),
)
PROBLEM = st.lists(
    st.tuples(CURVE, st.floats(0.0, 200.0), st.floats(0.0, 3000.0)), min_size=1, max_size=6
)


def solved(
    problem: Sequence[tuple[Curve, float, float]], extra: float
) -> tuple[list[float], float, float]:
    curves = [one[0] for one in problem]
    low = [one[1] for one in problem]
    high = [one[1] + one[2] for one in problem]
    budget = sum(low) + extra
    amounts, price = split(curves, budget, low, high)
    return amounts, price, min(budget, sum(high))


@settings(max_examples=60, deadline=None)
@given(PROBLEM, st.floats(0.0, 6000.0))
def test_a_split_uses_the_budget_within_its_limits_and_margins_are_equal(
    problem: list[tuple[Curve, float, float]], extra: float
) -> None:
    amounts, price, budget = solved(problem, extra)
    assert sum(amounts) == pytest.approx(budget, rel=1e-6, abs=1e-6)
    for amount, (curve, low, room) in zip(amounts, problem, strict=True):
        assert low - 1e-9 <= amount <= low + room + 1e-9
        narrow = 1e-6 * (1.0 + budget)
        if price and low + narrow < amount < low + room - narrow:
            assert curve.marginal(amount) == pytest.approx(price, rel=1e-3)
        if price and amount > low + narrow:
            assert curve.marginal(amount) >= price * (1 - 1e-3)
        if price and amount < low + room - narrow:
            assert curve.marginal(amount) <= price * (1 + 1e-3)


@settings(max_examples=30, deadline=None)
@given(PROBLEM, st.floats(0.0, 3000.0), st.floats(1.0, 3000.0))
def test_more_money_takes_from_nobody_and_brings_less_each_time(
    problem: list[tuple[Curve, float, float]], extra: float, more: float
) -> None:
    little, dear, _ = solved(problem, extra)
    much, cheap, budget = solved(problem, extra + more)
    for a, b in zip(little, much, strict=True):
        assert b >= a - 1e-5 * (1.0 + budget)
    assert cheap <= dear * (1 + 1e-6)


def test_the_optimum_is_that_of_a_general_solver() -> None:
    limits = [2000.0] * 4
    mine, price = split(TRUE, 1500.0, [0.0] * 4, limits)
    other = minimize(
        lambda x: -sum(curve.at(one) for curve, one in zip(TRUE, x, strict=True)),
        [375.0] * 4,
        bounds=[(0.0, one) for one in limits],
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1500.0},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert sum(c.at(x) for c, x in zip(TRUE, mine, strict=True)) >= -other.fun - 1e-6
    more, _ = split(TRUE, 1501.0, [0.0] * 4, limits)
    gained = sum(c.at(b) - c.at(a) for c, a, b in zip(TRUE, mine, more, strict=True))
    assert price == pytest.approx(gained, rel=0.01)


def test_limits_that_leave_no_way_are_refused() -> None:
    with pytest.raises(BadBounds):
        split(TRUE[:2], 100.0, [80.0, 80.0], [500.0, 500.0])
    with pytest.raises(BadBounds):
        split(TRUE[:1], 100.0, [80.0], [50.0])


def test_beyond_all_limits_money_is_left_and_worth_nothing(fitted: list[Fitted]) -> None:
    found = plan(fitted, 1e6)
    assert found is not None
    assert found.spent == pytest.approx(sum(one.most * BEYOND for one in fitted))
    assert found.price == 0.0
    assert {one.bound for one in found.shares} == {"high"}


def test_a_curve_that_is_flat_in_all_but_name_takes_what_nobody_else_may() -> None:
    amounts, _ = split([Curve("log", 1.0, 0.0, 100.0), TRUE[0]], 500.0, [0.0, 0.0], [1000.0, 200.0])
    assert amounts == pytest.approx([300.0, 200.0], abs=1e-3)


def test_bounds_of_a_place_hold(fitted: list[Fitted]) -> None:
    found = plan(fitted, 1500.0, {"qun:0": (0.0, 100.0), "qun:3": (600.0, None)})
    assert found is not None
    spent = {one.place: one for one in found.shares}
    assert spent["qun:0"].spent == pytest.approx(100.0)
    assert spent["qun:3"].spent >= 600.0 - 1e-6
    assert plan([], 100.0) is None


# The report


def kept(fitted: list[Fitted]) -> Curves:
    return Curves(
        made_at=200.0,
        since=0.0,
        until=100.0,
        places=(*fitted, fit(flat(), rng())),
        titles={"qun:0": "学习群", "qun:9": "闲聊群"},
        people={one.place: 20 for one in fitted},
    )


def test_the_report_plans_the_usual_money_and_says_who_is_left_out(fitted: list[Fitted]) -> None:
    curves = from_json(to_json(kept(fitted)))
    assert curves == kept(fitted)
    made = report_from_json(report_to_json(report(curves, 300.0)))
    figures = {one.name: one for one in made.figures}
    usual = sum(one.usual for one in fitted)
    assert figures["budget_planned"].value == pytest.approx(round(usual * 100))
    assert figures["budget_gain"].value is not None
    assert figures["budget_gain"].value >= 0.0
    less, more = figures["budget_less"].value, figures["budget_more"].value
    assert less is not None
    assert more is not None
    assert less < (figures["budget_expected"].value or 0.0) < more
    shares, left = made.lists
    assert sum(row.figures[0].value or 0.0 for row in shares.rows) == pytest.approx(
        figures["budget_planned"].value, abs=3
    )
    assert [(row.label, row.figures[0].note) for row in left.rows] == [("闲聊群", "flat_response")]
    assert made.charts[0].labels == tuple(row.label for row in shares.rows)


def test_without_a_curve_the_report_refuses_and_says_why() -> None:
    curves = Curves(
        made_at=0.0, since=0.0, until=1.0, places=(fit(flat(), rng()),), titles={}, people={}
    )
    made = report(curves, 5.0)
    assert (made.note, made.figures[0].value, made.charts) == ("no_curves", None, ())
    assert made.lists[0].rows[0].figures[0].note == "flat_response"
    assert planned(curves, 500.0) is None
    empty = report(Curves(made_at=0.0, since=0.0, until=1.0, titles={}, people={}), 5.0)
    assert (empty.note, empty.lists) == ("no_curves", ())


def test_a_fifth_less_than_the_least_amounts_is_those(fitted: list[Fitted]) -> None:
    found = planned(kept(fitted), 1000.0, {"qun:0": (500.0, None), "qun:1": (450.0, None)})
    assert found is not None
    assert found.less < found.plan.expected < found.more


def test_only_names_that_have_texts_are_used(fitted: list[Fitted]) -> None:
    for budget in (None, 1e6, 100.0):
        made = report(kept(fitted), 1.0, budget, {"qun:1": (50.0, None)})
        listed = [one for each in made.lists for row in each.rows for one in row.figures]
        figures = (*made.figures, *listed)
        assert {one.name for one in figures} <= spending_report.FIGURES
        assert {one.note for one in figures} | {made.note} <= spending_report.NOTES | {""}
        assert {one.name for one in made.lists} <= spending_report.LISTS
        names = {c.name for c in made.charts} | {s.name for c in made.charts for s in c.series}
        assert names <= spending_report.CHARTS


def test_expected_counts_places_with_curves_only(fitted: list[Fitted]) -> None:
    alone = expected([*fitted, fit(flat(), rng())], {"qun:0": 100.0})
    assert alone == pytest.approx(
        sum(one.curve.at(100.0 if n == 0 else 0.0) for n, one in enumerate(fitted) if one.curve)
    )
