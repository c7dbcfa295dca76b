"""Forecasts: what is wrong with the past is left out, the naive guess is hard to beat."""

from __future__ import annotations

import math

import numpy as np
import pytest

from insights import forecast as module
from insights.forecast import (
    HORIZON,
    LEAST_DAYS,
    RECENT_DAYS,
    begin_of,
    cleaned,
    day_of,
    forecast,
    naive,
    outages,
    parts,
)

TODAY = 20_778
WEEK = (1.0, 0.9, 1.0, 1.1, 1.2, 2.0, 1.8)


def weekly(days: int, level: float = 100.0, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(level * np.resize(WEEK, days)).astype(np.float64)


def test_a_week_that_repeats_is_foreseen_day_by_day() -> None:
    found = forecast(weekly(182), TODAY)
    coming = 100.0 * np.resize(np.roll(WEEK, -(182 % 7)), HORIZON)
    assert found.method != ""
    assert np.abs(np.array(found.mean) - coming).mean() < 6.0
    low, high = np.array(found.low), np.array(found.high)
    assert ((coming >= low) & (coming <= high)).all()
    # A day of 180 is sure to about a tenth or two, not to half.
    assert (high - low).max() < 110.0


def test_sums_are_told_with_intervals_around_them() -> None:
    found = forecast(weekly(120), TODAY)
    for days in (7, 28):
        value, low, high = found.totals[days]
        assert low < value < high
        assert value == pytest.approx(days * 100.0 * np.mean(WEEK), rel=0.1)


def test_nothing_is_ever_negative() -> None:
    rng = np.random.default_rng(5)
    falling = np.maximum(60.0 - np.arange(90) * 0.7, 0.0) + rng.poisson(0.2, 90)
    found = forecast(falling, TODAY)
    assert min(found.mean) >= 0.0
    assert min(found.low) >= 0.0
    assert all(low >= 0.0 for _, low, _ in found.totals.values())


@pytest.mark.parametrize("days", [0, 1, LEAST_DAYS - 1])
def test_below_two_weeks_nothing_is_said(days: int) -> None:
    found = forecast(weekly(days), TODAY)
    assert (found.mean, found.method, found.observed) == ((), "", days)
    figures, charts = parts(found, begin_of(TODAY))
    assert [(one.name, one.value, one.note) for one in figures] == [
        ("forecast_week", None, "too_short")
    ]
    assert charts == ()


@pytest.mark.parametrize("days", [LEAST_DAYS, 20, 27])
def test_below_four_weeks_only_the_naive_guess_is_made(days: int) -> None:
    found = forecast(weekly(days), TODAY)
    assert found.method == "naive"
    assert found.error is None
    assert len(found.mean) == HORIZON
    assert parts(found, begin_of(TODAY))[0][0].note == "short_history"


def test_a_series_without_a_pattern_gets_the_naive_guess_and_it_is_said() -> None:
    """Last four weeks again, exactly: no model can be better than what never errs."""
    week = np.array([3.0, 40.0, 5.0, 60.0, 7.0, 80.0, 9.0])
    found = forecast(np.resize(week, 140), TODAY)
    assert found.method == "naive"
    assert parts(found, begin_of(TODAY))[0][0].note == "naive_better"
    assert np.allclose(found.mean, np.resize(week, HORIZON))


def test_days_of_silence_before_the_first_act_are_no_history() -> None:
    silent = np.concatenate((np.zeros(200), weekly(20)))
    assert forecast(silent, TODAY).observed == 20
    assert forecast(np.zeros(300), TODAY).mean == ()


def test_a_group_that_fell_silent_is_foreseen_silent() -> None:
    found = forecast(np.concatenate((weekly(60), np.zeros(60))), TODAY)
    assert max(found.mean) < 3.0


def test_a_hot_evening_does_not_lift_the_weeks_after_it() -> None:
    calm, hot = weekly(120), weekly(120)
    hot[112] *= 40.0
    ratio = np.array(forecast(hot, TODAY).mean) / np.array(forecast(calm, TODAY).mean)
    assert ratio.max() < 1.25


def test_a_lasting_rise_is_followed() -> None:
    days = weekly(140)
    days[-28:] *= 2.0
    found = forecast(days, TODAY)
    assert sum(found.mean) > 1.6 * sum(forecast(weekly(140), TODAY).mean)


def test_days_on_which_the_bot_was_down_are_no_quiet_days() -> None:
    whole, broken = weekly(120), weekly(120)
    broken[60:64] = np.nan
    broken[-2:] = np.nan
    found = forecast(broken, TODAY)
    assert found.observed == 114
    assert sum(found.mean) == pytest.approx(sum(forecast(whole, TODAY).mean), rel=0.07)
    assert found.recent[-1] is None


def test_an_outage_is_a_day_without_anybody_where_there_are_always_many() -> None:
    total = np.full(60, 30.0)
    total[[20, 21]] = 0.0
    assert np.flatnonzero(outages(total)).tolist() == [20, 21]
    # A small community has such days, and one whose Sundays are quiet has them every week.
    assert not outages(np.resize([0.0, 3.0, 0.0, 5.0], 60)).any()
    sundays = np.resize([50.0] * 6 + [0.0], 70)
    assert not outages(sundays).any()
    assert not outages(np.zeros(30)).any()


def test_cleaning_keeps_what_is_usual_and_fills_what_is_missing() -> None:
    days = weekly(70)
    days[30] = np.nan
    days[40] = 5000.0
    clean = np.expm1(cleaned(days))
    assert not np.isnan(clean).any()
    assert clean[40] < 400.0
    assert np.allclose(np.delete(clean, [30, 40]), np.delete(days, [30, 40]), rtol=0.4)
    assert clean[30] == pytest.approx(100.0 * WEEK[30 % 7], rel=0.35)


def test_the_naive_guess_is_the_mean_of_four_weeks() -> None:
    past = np.arange(35, dtype=np.float64)
    assert naive(past, 8).tolist() == [17.5, 18.5, 19.5, 20.5, 21.5, 22.5, 23.5, 17.5]


def test_the_same_series_gives_the_same_forecast() -> None:
    assert forecast(weekly(90), TODAY) == forecast(weekly(90), TODAY)


@pytest.mark.filterwarnings("error")
def test_ugly_series_give_finite_numbers() -> None:
    rng = np.random.default_rng(3)
    for days in (
        np.ones(40),
        np.full(200, 1e7),
        np.resize([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 150),
        np.exp(np.linspace(0.0, 12.0, 100)),
        np.where(rng.random(100) < 0.5, np.nan, rng.poisson(4.0, 100)),
    ):
        found = forecast(days, TODAY)
        numbers = (*found.mean, *found.low, *found.high)
        assert all(math.isfinite(one) for one in numbers)
        assert all(a <= b for a, b in zip(found.low, found.high, strict=True))


# As a report shows it


def test_the_chart_ends_the_past_where_the_forecast_begins() -> None:
    now = begin_of(TODAY) + 3600.0
    figures, charts = parts(forecast(weekly(100), TODAY), now, of="学习群", people=31)
    chart = charts[0]
    assert chart.split == 28
    assert len(chart.labels) == len(chart.series[0].values) == 35
    assert chart.labels[28] == "11-21"
    assert chart.series[0].low[27] is None
    assert chart.series[0].low[28] is not None
    week = figures[0]
    assert (week.of, week.people, week.n) == ("学习群", 31, 100)
    assert (week.since, week.until) == (begin_of(TODAY), begin_of(TODAY + 7))
    assert week.before == sum(weekly(100)[-7:])


def test_a_forecast_of_yesterday_shows_the_days_that_are_left_and_an_old_one_nothing() -> None:
    found = forecast(weekly(100), TODAY)
    _, charts = parts(found, begin_of(TODAY + 1) + 60.0)
    assert len(charts[0].labels) == 28 + 6
    assert parts(found, begin_of(TODAY + 7)) == ((), ())


def test_only_names_that_have_texts_are_used() -> None:
    for days in (5, 20, 100):
        figures, charts = parts(forecast(weekly(days), TODAY), begin_of(TODAY))
        assert {one.name for one in figures} <= module.FIGURES
        assert {one.note for one in figures} <= module.NOTES
        names = {one.name for one in charts} | {s.name for one in charts for s in one.series}
        assert names <= module.CHARTS


def test_days_are_those_of_shanghai() -> None:
    assert day_of(begin_of(TODAY)) == TODAY
    assert day_of(begin_of(TODAY) - 1.0) == TODAY - 1
    assert len(forecast(weekly(170), TODAY).recent) == RECENT_DAYS
