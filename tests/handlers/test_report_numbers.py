"""Numbers of reports: short, in their unit, and never wrong by rounding into another meaning."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.report_numbers import NONE, axis, said
from insights.report import Unit

UNITS: tuple[Unit, ...] = (
    "share",
    "count",
    "cents",
    "seconds",
    "days",
    "score",
    "hour",
    "factor",
)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.235, "share", "23.5%"),
        (1.0, "share", "100%"),
        (1204, "count", "1,204"),
        (3.25, "count", "3.2"),
        (123_456, "count", "12.3 万"),
        (19_900, "cents", "¥199"),
        (1_250, "cents", "¥12.50"),
        (-19_900, "cents", "-¥199"),
        (12_345_678_00, "cents", "¥1,234.6 万"),
        (45, "seconds", "45 秒"),
        (600, "seconds", "10 分钟"),
        (3 * 3600.0, "seconds", "3 小时"),
        (5 * 86_400.0, "seconds", "5 天"),
        (3.5, "days", "3.5 天"),
        (20, "hour", "20:00"),
        (3.2, "factor", "3.2 倍"),
        (0.125, "score", "0.12"),
        (None, "count", NONE),
        (math.nan, "share", NONE),
    ],
)
def test_a_value_is_said_in_its_unit(value: float | None, unit: Unit, words: str) -> None:
    assert said(value, unit) == words


def test_a_change_carries_its_sign() -> None:
    assert said(12, "count", signed=True) == "+12"
    assert said(-0.05, "share", signed=True) == "-5.0%"


@given(st.floats(-1e12, 1e12), st.sampled_from(UNITS))
def test_every_number_is_short(value: float, unit: Unit) -> None:
    assert 0 < len(said(value, unit)) <= 24
    assert 0 < len(axis(value, unit)) <= 24
