"""When something goes out, as people say it: 今晚8点, 每周一 9:00, 每个人的最佳时间. Pure.

What is said must be clear: a day without an hour, an hour that is past and 晚上3点 are refused,
for nobody can take back what went out at the wrong time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from handlers.context import SHANGHAI

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days of a week as a cron names them, Monday first."""

MOST_A_DAY = 48
"""Times a day that a cron may name at most: every half hour."""

_AHEAD = timedelta(days=183)
_NEVER = timedelta(days=366 * 41)
"""What does not come within this never comes: February 29 on a given weekday may take 40 years."""
_HAN: Mapping[str, int] = MappingProxyType(
    {"一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
)


@dataclass(frozen=True, slots=True)
class When:
    """A time that was said. starts_at: Unix seconds, None for as soon as it is confirmed.

    cron: five fields of what repeats, "" for once. best: each member's own hour.
    """

    starts_at: float | None = None
    cron: str = ""
    best: bool = False


class BadTime(ValueError):
    """No time that can be used. why: "unknown", "past", "clock" (the hour is missing), "hour"
    (there is no such hour, or it may mean two), "day" (there is no such day), "weekend" (which
    of its days?), "cron", "never" (a cron of days there are not) or "often" (too many a day)."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


_NUMBER = r"(?:[0-9]{1,4}|[一二两三四五六七八九十]{1,3})"
_TEN = "[一二三四五六七八九十]{1,3}"
_PART = "上午|早上|早晨|清晨|早|凌晨|中午|下午|傍晚|晚上|夜里|晚"
_CLOCK = (
    rf"(?P<part>{_PART})?(?P<hour>{_NUMBER})(?:(?::|点钟?|时)"
    rf"(?:(?P<minute>[0-9]{{1,2}}|[一二三四五]?十[一二三四五六七八九]?)分?|(?P<some>半|一刻|三刻|整))?)"
)
_DATE = (
    r"(?P<near>今天|今日|今|明天|明日|明|大后天|后天|昨天|昨日|昨|前天)"
    r"|(?P<next>下*)(?P<this>[本这]个?)?(?:周|星期|礼拜)(?P<weekday>[一二三四五六日天])"
    r"|(?:(?P<year>[0-9]{4})[-/.年]|(?P<years>今年|明年|后年))?"
    rf"(?P<month>[0-9]{{1,2}}|{_TEN})[-/.月](?P<day>[0-9]{{1,2}}|{_TEN})[日号]?"
    rf"|(?P<date>[0-9]{{1,2}}|{_TEN})[日号]"
)
_AT = re.compile(rf"(?:{_DATE})?(?:{_CLOCK})?")
_HOURLESS = re.compile(rf"(?:{_DATE})?(?:{_PART})")
_WEEKEND = re.compile(rf"[本这下]*个?周末(?:{_PART})?(?:{_CLOCK})?")
_BEHIND = r"(?:之|以)?后"
_AFTER = re.compile(
    rf"(?:过)?(?P<count>{_NUMBER}|半)个?(?P<half>半)?(?P<unit>分钟?|小时|钟头|天){_BEHIND}"
)
_DAYS_ON = re.compile(rf"(?:过)?(?P<count>{_NUMBER})天{_BEHIND}的?(?:{_CLOCK})")
_EVERY = re.compile(
    r"(?:每个?(?:(?P<daily>天|日|晚|早)|(?P<weekend>周末)"
    r"|(?:周|星期|礼拜)(?P<weekdays>[一二三四五六日天](?:[、,和]?[一二三四五六日天])*)"
    rf"|月(?P<monthday>{_NUMBER})[日号])|(?:每个?)?(?P<workday>工作日)){_CLOCK}"
)
_NOW = re.compile(
    "(?:现在|马上|立即|立刻|即刻)就?(?:发|发送|发出)?|确认后(?:马上|立即|就)?发?|now|asap"
)
_BEST = re.compile(
    rf"(?P<before>(?:{_DATE})?)(?:起|开始|在|按)*"
    "(?:(?:每个?人|各自?|成员)(?:各自)?的?)?(?:最佳|最活跃|最合适)的?(?:时间|时段|时候)?"
)
_CRON = re.compile(r"[0-9*,/-]+(?:\s+[0-9A-Za-z*,/#-]+){4}")
_FIELD = re.compile(r"(?:\*|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?")
_MARKS = "。.!~,;…、"
"""What may close a sentence, half width; a question mark is not one."""
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMED = ((), (), (), (), ("sun", *DAYS[:6]))
_WEEK = "一二三四五六日"
_NEAR: Mapping[str, int] = MappingProxyType(
    {"前": -2, "昨": -1, "今": 0, "明": 1, "后": 2, "大": 3}
)
_SOME: Mapping[str, int] = MappingProxyType({"半": 30, "一刻": 15, "三刻": 45, "整": 0})


def read_when(text: str, now: datetime) -> When:
    """The time that a text says. now: aware, Shanghai. Errors: BadTime.

    A day without a year is the nearest one to come; an hour without a day is the next such hour.
    """
    narrow = unicodedata.normalize("NFKC", text).strip().lower().rstrip(_MARKS).rstrip()
    if _CRON.fullmatch(narrow):
        return When(cron=_checked(narrow.split(), now))
    bare = re.sub(r"\s+", "", narrow)
    if _NOW.fullmatch(bare):
        return When()
    if found := _AFTER.fullmatch(bare):
        return When(_after(found, now))
    if found := _DAYS_ON.fullmatch(bare):
        return When(_days_on(found, now))
    if found := _EVERY.fullmatch(bare):
        return When(cron=_cron(found))
    if _WEEKEND.fullmatch(bare):
        raise BadTime("weekend")
    if found := _BEST.fullmatch(bare):
        return When(_from_day(found["before"], now), best=True)
    # Without the blanks 12-01 20:00 would be 12-0120:00.
    joined = _joined(narrow) if ":" in bare else bare
    found = _AT.fullmatch(joined) or _HOURLESS.fullmatch(joined)
    if found is None or not found[0]:
        raise BadTime("unknown")
    return When(_at(found, now))


def _checked(fields: list[str], now: datetime) -> str:
    """A cron of five fields, if its times are of this world and not too many. Errors: BadTime."""
    meant = _meant(fields)
    if len(meant[0]) * len(meant[1]) > MOST_A_DAY:
        raise BadTime("often")
    if not _comes(meant, now):
        raise BadTime("never")
    return " ".join(fields)


def _meant(fields: Sequence[str]) -> list[set[int]]:
    """The numbers that each of five fields names. Errors: BadTime."""
    if len(fields) != len(_RANGES):
        raise BadTime("cron")
    meant: list[set[int]] = []
    for text, (least, most), names in zip(fields, _RANGES, _NAMED, strict=True):
        numbers: set[int] = set()
        for part in text.split(","):
            found = _FIELD.fullmatch(part)
            if found is None:
                raise BadTime("cron")
            said = [names.index(end) if end in names else end for end in found.group(1, 2) if end]
            # Sunday is 0 and 7, and a name stands where its number would.
            ends = [int(end) for end in said if str(end).isdecimal()]
            if len(ends) < len(said) or not all(least <= one <= most for one in ends):
                raise BadTime("cron")
            if ends != sorted(ends):
                raise BadTime("cron")
            if found[3] is not None and not 1 <= int(found[3]) <= most:
                raise BadTime("cron")
            first = ends[0] if ends else least
            last = most if not ends or (len(ends) == 1 and found[3]) else ends[-1]
            numbers.update(range(first, last + 1, int(found[3] or 1)))
        meant.append(numbers)
    return meant


def _comes(meant: Sequence[set[int]], now: datetime) -> bool:
    """Whether a day comes that is of these days, months and weekdays at once."""
    _, _, days, months, weekdays = meant
    day, last = now.date(), (now + _NEVER).date()
    while day <= last:
        # Sunday is 0 and 7.
        weekday = {day.isoweekday(), day.isoweekday() % 7}
        if day.day in days and day.month in months and weekday & weekdays:
            return True
        day += timedelta(days=1)
    return False


def times_a_day(cron: str) -> int:
    """How often a cron comes on one of its days; 0 for one we cannot read."""
    try:
        minutes, hours = _meant(cron.lower().split())[:2]
    except BadTime:
        return 0
    return len(minutes) * len(hours)


def _joined(narrow: str) -> str:
    """Without blanks, but with 日 behind a date that a number follows: 12-01 8:00."""
    dated = re.sub(r"([-/.][0-9]{1,2})(?:\s+|t)(?=[0-9])", r"\1日", narrow)
    return re.sub(r"\s+", "", dated)


def _number(text: str) -> int:
    """ "12", "十二", "二十三" as a number; the patterns let nothing else pass."""
    if text.isascii():
        return int(text)
    if "十" in text:
        tens, _, ones = text.partition("十")
        return _HAN.get(tens, 1) * 10 + _HAN.get(ones, 0)
    if len(text) > 1:
        raise BadTime("hour")
    return _HAN[text]


def _clock(found: re.Match[str]) -> tuple[int, int]:
    """(hour, minute); hour 24 is the end of the day. Errors: BadTime."""
    part, hour = found["part"] or "", _number(found["hour"])
    minute = _SOME[found["some"]] if found["some"] else _number(found["minute"] or "0")
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        raise BadTime("hour")
    if not part or hour > 12:
        return hour, minute
    if part in ("下午", "傍晚") or (part == "中午" and hour < 10):
        hour = hour if hour == 12 else hour + 12
    elif part in ("晚上", "夜里", "晚"):
        if hour < 5:
            raise BadTime("hour")  # at night, but of which day?
        hour += 12
    elif hour == 12 and part != "中午":
        if part != "凌晨":
            raise BadTime("hour")
        hour = 0
    return hour, minute


def _after(found: re.Match[str], now: datetime) -> float:
    unit = {"分": 60, "小": 3600, "钟": 3600, "天": 86_400}[found["unit"][0]]
    half = found["count"] == "半"
    if half and found["half"]:
        raise BadTime("unknown")
    seconds = unit // 2 if half else _number(found["count"]) * unit
    seconds += unit // 2 if found["half"] else 0
    at = now + timedelta(seconds=seconds)
    if at.second or at.microsecond:
        at = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return at.timestamp()


def _days_on(found: re.Match[str], now: datetime) -> float:
    """ "3天后 9:00": that hour of that day."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    hour, minute = _clock(found)
    at = midnight + timedelta(days=_number(found["count"]), hours=hour, minutes=minute)
    if at <= now:
        raise BadTime("past")
    return at.timestamp()


def _cron(found: re.Match[str]) -> str:
    hour, minute = _clock(found)
    if found["daily"] in ("晚", "早") and not found["part"] and hour <= 12:
        hour += 12 if found["daily"] == "晚" and 5 <= hour < 12 else 0
    if hour == 24:
        raise BadTime("hour")
    day, week = "*", "*"
    if found["workday"]:
        week = "mon-fri"
    elif found["weekend"]:
        week = "sat,sun"
    elif found["weekdays"]:
        places = {_weekday(sign) for sign in found["weekdays"] if sign not in "、,和"}
        week = ",".join(DAYS[place] for place in sorted(places))
    elif found["monthday"]:
        number = _number(found["monthday"])
        if not 1 <= number <= 31:
            raise BadTime("day")
        day = str(number)
    return f"{minute} {hour} {day} * {week}"


def _weekday(sign: str) -> int:
    return _WEEK.index("日" if sign == "天" else sign)


def _day(found: re.Match[str], now: datetime) -> datetime | None:
    """Midnight of the day that was said; None for none. Errors: BadTime."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if found["near"]:
        return midnight + timedelta(days=_NEAR[found["near"][0]])
    if found["weekday"]:
        ahead = _weekday(found["weekday"]) - now.weekday()
        weeks = len(found["next"]) if found["next"] or found["this"] else int(ahead < 0)
        return midnight + timedelta(days=ahead + 7 * weeks)
    if found["date"]:
        return _monthday(_number(found["date"]), midnight)
    if not found["month"]:
        return None
    month, day = _number(found["month"]), _number(found["day"])
    if found["year"]:
        return _date(int(found["year"]), month, day)
    if found["years"]:
        return _date(now.year + "今明后".index(found["years"][0]), month, day)
    try:
        meant = _date(now.year, month, day)
    except BadTime:
        return _date(now.year + 1, month, day)  # February 29
    if meant >= midnight:
        return meant
    later = _date(now.year + 1, month, day)
    return later if later - now < _AHEAD else meant


def _monthday(number: int, midnight: datetime) -> datetime:
    """The next such day of a month, today too. Errors: BadTime."""
    year, month = midnight.year, midnight.month
    if number >= midnight.day:
        return _date(year, month, number)
    return _date(year + month // 12, month % 12 + 1, number)


def _date(year: int, month: int, day: int) -> datetime:
    try:
        return datetime(year, month, day, tzinfo=SHANGHAI)
    except ValueError:
        raise BadTime("day") from None


def _at(found: re.Match[str], now: datetime) -> float:
    day = _day(found, now)
    if day is not None and day.date() < now.date():
        raise BadTime("past")
    if not found.groupdict().get("hour"):
        raise BadTime("clock")
    hour, minute = _clock(found)
    first = day if day is not None else now.replace(hour=0, minute=0, second=0, microsecond=0)
    at = first + timedelta(hours=hour, minutes=minute)
    if at <= now and found["weekday"] and not (found["next"] or found["this"]):
        at += timedelta(days=7)
    if at <= now:
        if day is not None:
            raise BadTime("past")
        at += timedelta(days=1)
    return at.timestamp()


def _from_day(said: str, now: datetime) -> float | None:
    """The beginning of the day from which members' own hours count; None for at once."""
    found = _AT.fullmatch(said)
    day = _day(found, now) if found is not None and said else None
    if day is None or day.date() == now.date():
        return None
    if day < now:
        raise BadTime("past")
    return day.timestamp()


def days_of(cron: str) -> tuple[str, Sequence[int], int, int] | None:
    """What a cron that `read_when` made says: (kind, days, hour, minute); None for another.

    kind: "day", "week" (days: 0 is Monday) or "month" (days: one day of the month).
    """
    fields = cron.split()
    if len(fields) != 5 or not (fields[0].isdigit() and fields[1].isdigit()) or fields[3] != "*":
        return None
    minute, hour = int(fields[0]), int(fields[1])
    day, week = fields[2], fields[4]
    if day == week == "*":
        return "day", (), hour, minute
    if week == "*" and day.isdigit():
        return "month", (int(day),), hour, minute
    if day != "*":
        return None
    if week == "mon-fri":
        return "week", range(5), hour, minute
    names = week.split(",")
    if not set(names) <= set(DAYS):
        return None
    return "week", [DAYS.index(name) for name in names], hour, minute
