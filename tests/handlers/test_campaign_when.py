"""Times as people say them: what is clear is understood, what is not is refused."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.campaign_when import BadTime, When, days_of, read_when, times_a_day
from handlers.context import SHANGHAI

NOW = datetime(2026, 11, 21, 10, 30, 20, tzinfo=SHANGHAI)
"""A Saturday."""


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}:00+08:00").timestamp()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("今晚8点", "2026-11-21T20:00"),
        ("今晚 8 点半", "2026-11-21T20:30"),
        ("今天20:00", "2026-11-21T20:00"),
        ("今天下午3点一刻", "2026-11-21T15:15"),
        ("今天中午12点", "2026-11-21T12:00"),
        ("今天中午1点", "2026-11-21T13:00"),
        ("今晚12点", "2026-11-22T00:00"),
        ("明天 9:00", "2026-11-22T09:00"),
        ("明早九点", "2026-11-22T09:00"),
        ("明天上午十点二十分", "2026-11-22T10:20"),
        ("后天凌晨12点", "2026-11-23T00:00"),
        ("大后天 8:05", "2026-11-24T08:05"),
        ("周五 20:00", "2026-11-27T20:00"),
        ("周六晚8点", "2026-11-21T20:00"),
        ("周六 9:00", "2026-11-28T09:00"),
        ("星期天上午9点", "2026-11-22T09:00"),
        ("下周一八点", "2026-11-23T08:00"),
        ("下周六 9:00", "2026-11-28T09:00"),
        ("12-01 20:00", "2026-12-01T20:00"),
        ("12-01 8:00", "2026-12-01T08:00"),
        ("12月1日 20:00", "2026-12-01T20:00"),
        ("12月1号晚上8点", "2026-12-01T20:00"),
        ("２０２６－１２－０１　２０：００", "2026-12-01T20:00"),
        ("2026-12-01T20:00", "2026-12-01T20:00"),
        ("1-5 20:00", "2027-01-05T20:00"),
        ("2027年1月5日 20:00", "2027-01-05T20:00"),
        ("20:00", "2026-11-21T20:00"),
        ("9点", "2026-11-22T09:00"),
        ("30分钟后", "2026-11-21T11:01"),
        ("两小时后", "2026-11-21T12:31"),
        ("半个小时以后", "2026-11-21T11:01"),
        ("3天后", "2026-11-24T10:31"),
        ("3天后 9:00", "2026-11-24T09:00"),
        ("两天以后的晚上8点", "2026-11-23T20:00"),
        ("一个半小时后", "2026-11-21T12:01"),
        ("今晚8点！", "2026-11-21T20:00"),
        ("明天 9:00。", "2026-11-22T09:00"),
        ("25号晚上8点", "2026-11-25T20:00"),
        ("5日 9:00", "2026-12-05T09:00"),
        ("本周日 9:00", "2026-11-22T09:00"),
        ("这周六20:00", "2026-11-21T20:00"),
        ("十二月一号晚上八点", "2026-12-01T20:00"),
        ("明年1月1日 9:00", "2027-01-01T09:00"),
    ],
)
def test_a_moment(said: str, meant: str) -> None:
    assert read_when(said, NOW) == When(at(meant))


@pytest.mark.parametrize(
    "said", ["现在", "马上", "立即", "立即发", "现在就发", "现在！", "确认后马上发", "NOW"]
)
def test_at_once(said: str) -> None:
    assert read_when(said, NOW) == When()


@pytest.mark.parametrize(
    ("said", "cron"),
    [
        ("每天 9:00", "0 9 * * *"),
        ("每天晚上8点半", "30 20 * * *"),
        ("每晚8点", "0 20 * * *"),
        ("每周一 9:00", "0 9 * * mon"),
        ("每周一三点", "0 3 * * mon"),
        ("每周一、三、五 20:00", "0 20 * * mon,wed,fri"),
        ("每周五三一20:00", "0 20 * * mon,wed,fri"),
        ("每星期天早上9点", "0 9 * * sun"),
        ("每个工作日 18:00", "0 18 * * mon-fri"),
        ("每周末 10:00", "0 10 * * sat,sun"),
        ("工作日中午12点", "0 12 * * mon-fri"),
        ("每月1号 9:00", "0 9 1 * *"),
        ("每月十五日 9:00", "0 9 15 * *"),
        ("0 9 * * 1-5", "0 9 * * 1-5"),
        ("*/30  8-20 * * *", "*/30 8-20 * * *"),
        ("0,30 9 1-15/2 * Mon,thu-SAT", "0,30 9 1-15/2 * mon,thu-sat"),
        ("0 9 * * 7", "0 9 * * 7"),
        ("0 9 29 2 mon", "0 9 29 2 mon"),
    ],
)
def test_what_repeats(said: str, cron: str) -> None:
    assert read_when(said, NOW) == When(cron=cron)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("每个人的最佳时间", None),
        ("各自最活跃的时候", None),
        ("最佳时间", None),
        ("今天每个人的最佳时间", None),
        ("明天 每个人最佳时间", at("2026-11-22T00:00")),
        ("12-01起按每个人的最佳时间", at("2026-12-01T00:00")),
    ],
)
def test_each_members_own_hour(said: str, meant: float | None) -> None:
    assert read_when(said, NOW) == When(meant, best=True)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("今天 9:00", "past"),
        ("11-20 20:00", "past"),
        ("2025-12-01 20:00", "past"),
        ("昨天 9:00", "past"),
        ("昨天", "past"),
        ("前天晚上8点", "past"),
        ("本周三 9:00", "past"),
        ("明天", "clock"),
        ("明晚", "clock"),
        ("明天晚上", "clock"),
        ("后天中午", "clock"),
        ("明年1月1日", "clock"),
        ("周末", "weekend"),
        ("周末晚上8点", "weekend"),
        ("31号 9:00", "day"),
        ("半个半小时后", "unknown"),
        ("12-01", "clock"),
        ("周五", "clock"),
        ("明天25点", "hour"),
        ("明天 9:61", "hour"),
        ("明晚3点", "hour"),
        ("明早12点", "hour"),
        ("2-30 9:00", "day"),
        ("2026-02-29 9:00", "day"),
        ("13-01 9:00", "day"),
        ("每月32号 9:00", "day"),
        ("每天24点", "hour"),
        ("60 9 * * *", "cron"),
        ("0 24 * * *", "cron"),
        ("0 9 0 * *", "cron"),
        ("0 9 * 13 *", "cron"),
        ("0 9 * * 8", "cron"),
        ("0 9 * * dog", "cron"),
        ("0 9 * * fri-mon", "cron"),
        ("0 9 * mon *", "cron"),
        ("0 9 1- * *", "cron"),
        ("*/0 9 * * *", "cron"),
        ("0 9 31 4 *", "never"),
        ("0 9 30 2 *", "never"),
        ("0 9 31 4,6,9,11 mon", "never"),
        ("* * * * *", "often"),
        ("*/5 * * * *", "often"),
        ("0 9 * *", "unknown"),
        ("11-20 每个人最佳时间", "past"),
        ("", "unknown"),
        ("有空的时候", "unknown"),
        ("明天 9:00 或 10:00", "unknown"),
        ("9" * 400, "unknown"),
    ],
)
def test_what_is_not_clear_is_refused(said: str, why: str) -> None:
    with pytest.raises(BadTime) as refused:
        read_when(said, NOW)
    assert refused.value.why == why


@given(
    st.text("今明后天周每月日号早晚上下午点半时分钟小后一三八十:：-/. 0129*佳最人个", max_size=16)
)
def test_whatever_is_typed_is_a_time_to_come_or_refused(said: str) -> None:
    try:
        when = read_when(said, NOW)
    except BadTime:
        return
    assert when.starts_at is None or when.starts_at > NOW.timestamp()
    assert not (when.cron and when.starts_at)


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("0 9 * * *", ("day", [], 9, 0)),
        ("30 20 * * mon-fri", ("week", [0, 1, 2, 3, 4], 20, 30)),
        ("0 20 * * mon,wed,fri", ("week", [0, 2, 4], 20, 0)),
        ("0 9 15 * *", ("month", [15], 9, 0)),
    ],
)
def test_a_cron_of_ours_can_be_told(cron: str, says: tuple[str, list[int], int, int]) -> None:
    told = days_of(cron)
    assert told is not None
    assert (told[0], list(told[1]), *told[2:]) == says


@pytest.mark.parametrize("cron", ["*/5 * * * *", "0 9 1 * mon", "0 9 * 2 *", "0 9 * * 1", "0 9"])
def test_another_cron_is_shown_as_it_is(cron: str) -> None:
    assert days_of(cron) is None


@pytest.mark.parametrize(
    ("cron", "times"),
    [
        ("0 9 * * *", 1),
        ("0,30 8-20 * * *", 26),
        ("*/30 * * * *", 48),
        ("0 9", 0),
        ("0 9 * jan *", 0),
    ],
)
def test_how_often_a_cron_comes(cron: str, times: int) -> None:
    assert times_a_day(cron) == times
