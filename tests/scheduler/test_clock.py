"""Cron expressions: the next time, and which field is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from scheduler.clock import CronError, newest_time, next_time, valid

SHANGHAI = timezone(timedelta(hours=8))


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


def told(cron: str, after: str) -> str:
    return datetime.fromtimestamp(next_time(cron, at(after)), SHANGHAI).strftime(
        "%a %Y-%m-%d %H:%M"
    )


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * * *", "Sun 2026-11-22 09:00"),
        ("30 20 * * *", "Sat 2026-11-21 20:30"),
        ("0 9 * * 1", "Mon 2026-11-23 09:00"),
        ("0 9 * * mon", "Mon 2026-11-23 09:00"),
        ("0 9 * * 0", "Sun 2026-11-22 09:00"),
        ("0 9 * * 7", "Sun 2026-11-22 09:00"),
        ("0 9 * * SUN", "Sun 2026-11-22 09:00"),
        ("0 9 * * 5-7", "Sun 2026-11-22 09:00"),
        ("0 9 * * 1-5", "Mon 2026-11-23 09:00"),
        ("0 9 1-7 * mon", "Mon 2026-12-07 09:00"),
        ("0 9 29 2 *", "Tue 2028-02-29 09:00"),
        ("*/20 10 * * *", "Sat 2026-11-21 10:40"),
        ("5/30 * * jan,dec *", "Tue 2026-12-01 00:05"),
    ],
)
def test_it_means_what_cron_means(cron: str, expected: str) -> None:
    assert valid(cron) == ""
    assert told(cron, "2026-11-21T10:30") == expected


def test_a_time_comes_after_itself_only_the_next_time() -> None:
    assert told("0 9 * * *", "2026-11-21T08:59:59.999") == "Sat 2026-11-21 09:00"
    assert told("0 9 * * *", "2026-11-21T09:00") == "Sun 2026-11-22 09:00"


@pytest.mark.parametrize(
    ("cron", "field"),
    [
        ("61 * * * *", 1),
        ("*/0 * * * *", 1),
        ("0 24 * * *", 2),
        ("0 9-8 * * *", 2),
        ("0 9 0 * *", 3),
        ("0 9 31 4,6 *", 3),
        ("0 9 * foo *", 4),
        ("0 9 * * 8", 5),
        ("0 9 * * -1", 5),
        ("0 9 * * 1,", 5),
        ("0 9 * * １", 5),
        ("0 9 * *", 0),
        ("", 0),
        ("* " * 100, 0),
    ],
)
def test_the_field_that_is_wrong_is_named(cron: str, field: int) -> None:
    assert valid(cron)
    with pytest.raises(CronError) as wrong:
        next_time(cron, 0.0)
    assert wrong.value.field == field
    if field:
        assert f"field {field}" in str(wrong.value) or "never comes" in str(wrong.value)


def test_of_missed_times_the_newest_is_found() -> None:
    first = at("2026-11-01T09:00")
    assert newest_time("0 9 * * *", first, at("2026-11-21T08:00")) == at("2026-11-20T09:00")
    assert newest_time("0 9 * * *", first, first) == first
    assert newest_time("0 9 * * *", first, at("2026-11-01T12:00")) == first
    year = at("2025-11-01T09:00")
    assert newest_time("*/5 * * * *", year, at("2026-11-21T08:02")) == at("2026-11-21T08:00")
    # One that is set by hand and is no time of the cron itself counts as the first.
    assert newest_time("0 9 1 * *", at("2026-11-05T10:00"), at("2026-11-21T08:00")) == at(
        "2026-11-05T10:00"
    )
