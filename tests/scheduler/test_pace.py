"""When something may be sent: quiet hours, best hours, and what is too late."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler import pace

SHANGHAI = timezone(timedelta(hours=8))
NIGHT = (time(22, 0), time(8, 0))
NONE = (time(9, 0), time(9, 0))

clocks = st.builds(time, st.integers(0, 23), st.integers(0, 59))
nights = st.tuples(clocks, clocks)
moments = st.floats(1.6e9, 2.1e9)


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


@dataclass(frozen=True)
class Waiting:
    starts_at: float | None = None
    not_after: float | None = None


def test_the_night_is_quiet_from_its_first_moment_and_not_at_its_last() -> None:
    assert not pace.quiet(at("2026-11-21T21:59:59"), NIGHT)
    assert pace.quiet(at("2026-11-21T22:00"), NIGHT)
    assert pace.quiet(at("2026-11-22T07:59:59"), NIGHT)
    assert not pace.quiet(at("2026-11-22T08:00"), NIGHT)
    noon = (time(12, 0), time(14, 0))
    assert pace.quiet(at("2026-11-21T12:30"), noon)
    assert not pace.quiet(at("2026-11-21T14:00"), noon)


def test_the_same_time_twice_is_no_quiet_hours() -> None:
    assert not any(pace.quiet(at(f"2026-11-21T{hour:02}:00"), NONE) for hour in range(24))
    assert pace.advance(5.0, 1e6, NONE) == 1_000_005.0


def test_what_falls_into_the_night_waits_for_the_morning() -> None:
    assert pace.open_at(at("2026-11-21T23:30"), NIGHT) == at("2026-11-22T08:00")
    assert pace.open_at(at("2026-11-22T03:00"), NIGHT) == at("2026-11-22T08:00")
    assert pace.open_at(at("2026-11-22T08:00"), NIGHT) == at("2026-11-22T08:00")


def test_long_work_rests_every_night() -> None:
    start = at("2026-11-21T20:00")
    assert pace.advance(start, 2 * 3600, NIGHT) == at("2026-11-21T22:00")
    assert pace.advance(start, 3 * 3600, NIGHT) == at("2026-11-22T09:00")
    assert pace.advance(start, 17 * 3600, NIGHT) == at("2026-11-23T09:00")
    assert pace.advance(at("2026-11-21T23:00"), 0, NIGHT) == at("2026-11-22T08:00")


def test_the_best_hour_is_now_or_next() -> None:
    assert pace.best(at("2026-11-21T20:40"), 20, NIGHT) == at("2026-11-21T20:40")
    assert pace.best(at("2026-11-21T19:10"), 20, NIGHT) == at("2026-11-21T20:00")
    assert pace.best(at("2026-11-21T21:00"), 20, NIGHT) == at("2026-11-22T20:00")
    # Who only writes by night is not written to by night.
    assert pace.best(at("2026-11-21T21:00"), 2, NIGHT) == at("2026-11-22T08:00")


def test_late_is_after_the_grace_or_after_its_own_last_moment() -> None:
    assert not pace.late(Waiting(starts_at=1000.0), 1900.0, 900.0)
    assert pace.late(Waiting(starts_at=1000.0), 1900.1, 900.0)
    assert not pace.late(Waiting(starts_at=1000.0, not_after=5000.0), 5000.0, 900.0)
    assert pace.late(Waiting(starts_at=1000.0, not_after=1100.0), 1101.0, 900.0)
    assert not pace.late(Waiting(), 1e12, 900.0)


@given(moments, nights)
@settings(max_examples=300, deadline=None)
def test_open_at_is_the_first_moment_that_is_not_quiet(moment: float, hours: pace.Hours) -> None:
    opened = pace.open_at(moment, hours)
    assert not pace.quiet(opened, hours)
    assert 0 <= opened - moment < 86_400
    if opened > moment:
        for part in (0.0, 0.3, 0.9):
            assert pace.quiet(moment + part * (opened - moment - 1e-3), hours)


@given(moments, st.floats(0, 5e5), st.floats(0, 5e5), nights)
@settings(max_examples=300, deadline=None)
def test_work_done_in_two_goes_ends_when_it_would_in_one(
    start: float, first: float, second: float, hours: pace.Hours
) -> None:
    once = pace.advance(start, first + second, hours)
    twice = pace.advance(pace.advance(start, first, hours), second, hours)
    # Work that ends with the evening may count as begun again in the morning.
    night = (hours[1].hour - hours[0].hour) * 3600 + (hours[1].minute - hours[0].minute) * 60
    assert math.isclose(once, twice, abs_tol=1e-3) or abs(abs(once - twice) - night % 86_400) < 1e-3
    assert once - start >= first + second - 1e-3


@given(moments, st.integers(0, 23), nights)
@settings(max_examples=300, deadline=None)
def test_a_best_hour_is_within_two_days_and_in_that_hour_unless_quiet(
    moment: float, hour: int, hours: pace.Hours
) -> None:
    found = pace.best(moment, hour, hours)
    assert 0 <= found - moment < 2 * 86_400
    assert not pace.quiet(found, hours)
    inside = (pace.second_of_day(found) - hour * 3600) % 86_400 < 3600
    end = hours[1].hour * 3600 + hours[1].minute * 60
    assert inside or abs(pace.second_of_day(found) - end) < 1e-3
