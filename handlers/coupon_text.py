"""The written form of an offer: 早鸟 | 立减50元 | 满200 | 100张 | 截止 12-01.

Its word comes first, the rest in any order between bars. What cannot be read is named by its
place, all of it at once; nothing is guessed that would cost money.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from handlers.choices import number_in
from handlers.context import SHANGHAI
from handlers.router import folded
from store import eligibility
from store.offers import NewOffer, faults, fold

_BAR = re.compile(r"[|｜\n]")
_YUAN = r"(\d{1,7}(?:\.\d{1,2})?)\s*(?:元|块钱?)?"
_DAY = r"(?:(\d{4})[-/.年])?(\d{1,2})[-/.月](\d{1,2})[日号]?(?:\s*(\d{1,2}):(\d{2}))?"
_NOT_READ = "unknown"
_DIGITS = "一二三四五六七八九"
_HAN = re.compile("[一二三四五六七八九](?=张|折)")

_WHY: Mapping[str, str] = MappingProxyType(
    {
        "word": "word",
        "title": "title",
        "value": "value",
        "cap_cents": "cap",
        "min_spend_cents": "amount",
        "items": "items",
        "categories": "items",
        "audience": "audience",
        "points_price": "number",
        "inventory": "inventory",
        "per_member": "number",
        "claim_from": "times",
        "claim_until": "times",
        "valid_until": "times",
        "valid_days": "days",
    }
)
"""Field of an offer -> the end of the text key that says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What cannot be read. number: of the part, 1 is the word; part: as typed; why: the end of
    its text key; at: the sign of a rule where it stops making sense, 0 where that says nothing.
    """

    number: int
    part: str
    why: str
    at: int = 0


class _Wrong(Exception):
    """One part is no good. Its text is the reason, as in `Fault.why`."""

    def __init__(self, why: str, at: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.at = at


@dataclass(slots=True)
class _Reading:
    """What was read so far. places: field -> number of the part that said it."""

    now: datetime
    number: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)

    def put(self, **said: Any) -> None:
        for name, value in said.items():
            if name in self.fields:
                raise _Wrong("twice")
            self.fields[name], self.places[name] = value, self.number


def parse(text: str, now: datetime) -> tuple[NewOffer | None, list[Fault]]:
    """The offer that a text describes, and what is wrong with the text; one of the two.

    A line ends a part as a bar does: on a phone bars are far away.
    now: aware, Shanghai; a day without a year is the next one of that name, and a day that
    ends something is good to its last minute. Without 标题 the title is the word with 券.
    """
    parts = [part.strip() for part in _BAR.split(text)]
    reading = _Reading(now)
    wrong: list[Fault] = []
    if _says_something(parts[0], now):
        return None, [Fault(1, parts[0], "no_word")]
    typed = _word(parts[0])
    reading.number = 1
    reading.put(word=fold(typed))
    for number, part in enumerate(parts[1:], 2):
        reading.number = number
        try:
            if part:
                _read(part, reading)
        except _Wrong as bad:
            wrong.append(Fault(number, part, bad.why, bad.at))
    fields = reading.fields
    fields.setdefault("title", typed if typed.endswith("券") else f"{typed}券")
    if "kind" not in fields and not wrong:
        wrong.append(Fault(1, parts[0], "no_worth"))
    # What cannot be read must not hide what is wrong with the rest.
    known = fields if "kind" in fields else {"kind": "trial", "value": 1, **fields}
    new = NewOffer(**known)
    named = {one.number for one in wrong}
    for name, why in (*_wrong_fields(new), *_over(new, now)):
        place = reading.places.get(name, 1)
        if place not in named:
            wrong.append(Fault(place, parts[place - 1], why))
            named.add(place)
    wrong.sort(key=lambda one: one.number)
    return (None, wrong) if wrong else (new, [])


def _word(part: str) -> str:
    """The word as typed, without the marks that nobody types again: 早鸟？ is 早鸟."""
    bare = part.strip("「」『』“”\"'《》【】")
    return bare[: len(folded(bare))] if fold(bare).startswith(folded(bare)) else bare


def _says_something(part: str, now: datetime) -> bool:
    """Whether a part says what an offer is worth: then the word was forgotten."""
    reading = _Reading(now)
    try:
        _read(part, reading)
    except _Wrong:
        return False
    return "kind" in reading.fields


def _wrong_fields(new: NewOffer) -> list[tuple[str, str]]:
    """(field, end of its text key) of all that is wrong with it."""
    found = [(name, _WHY.get(name, _NOT_READ)) for name, _ in faults(new)]
    if number_in(new.word) is not None:
        found.append(("word", "word"))  # 领券 二 takes the second of a list
    return found


def _over(new: NewOffer, now: datetime) -> list[tuple[str, str]]:
    """Ends that are past already."""
    ends = {"claim_until": new.claim_until, "valid_until": new.valid_until}
    return [(name, "past") for name, at in ends.items() if at is not None and at <= now.timestamp()]


def _read(part: str, reading: _Reading) -> None:
    narrow = " ".join(unicodedata.normalize("NFKC", part).split())
    narrow = _HAN.sub(lambda found: str(_DIGITS.index(found[0]) + 1), narrow)
    for pattern, put in _PARTS:
        found = pattern.fullmatch(narrow)
        if found is not None:
            put(reading, found)
            return
    if found := re.fullmatch(r"(?:标题|名称|名字|叫)\s*[:：]?\s*(.+)", part):
        reading.put(title=" ".join(found[1].split()))
        return
    raise _Wrong(_NOT_READ)


# What a part may say


def _cents(yuan: str) -> int:
    whole, _, fen = yuan.partition(".")
    return int(whole) * 100 + int((fen + "00")[:2])


def _amount(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(kind="amount", value=_cents(found[1]))


def _amount_from(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(min_spend_cents=_cents(found[1]))
    reading.put(kind="amount", value=_cents(found[2]))


def _percent(reading: _Reading, found: re.Match[str]) -> None:
    """8 折 takes 20 % off, 8.5 and 85 折 take 15 %."""
    whole, _, tenth = found[1].partition(".")
    paid = int(whole + (tenth or "0")) if len(whole) == 1 else int(whole)
    # 10 折 is no discount, and 80 折 may be meant as 8: nobody guesses at the shop's cost.
    if (len(whole) > 1 and (tenth or paid % 10 == 0)) or not 1 <= paid <= 99:
        raise _Wrong("fold")
    reading.put(kind="percent", value=100 - paid)
    if found[2]:
        reading.put(cap_cents=_cents(found[2]))


def _cap(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(cap_cents=_cents(found[1]))


def _trial(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(kind="trial", value=int(found[1]))


def _bundle(reading: _Reading, found: re.Match[str]) -> None:
    ids = tuple(one for one in re.split(r"[+,、\s]+", found[1]) if one)
    reading.put(kind="bundle", items=ids)


def _min_spend(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(min_spend_cents=_cents(found[1]))


def _inventory(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(inventory=int(found[1]))


def _unlimited(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(inventory=None)


def _per_member(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(per_member=int(found[1]))


def _valid_days(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(valid_days=int(found[1]))


def _only_for(reading: _Reading, found: re.Match[str]) -> None:
    names = [one for one in re.split(r"[,、\s]+", found[1]) if one]
    tags = tuple(one.lstrip("#") for one in names if one.startswith("#"))
    ids = tuple(one for one in names if not one.startswith("#"))
    if tags:
        reading.put(categories=tags)
    if ids:
        reading.put(items=ids)


def _audience(reading: _Reading, found: re.Match[str]) -> None:
    try:
        eligibility.parse(found[1])
    except eligibility.BadRule as bad:
        raise _Wrong("rule", bad.at) from bad
    reading.put(audience=found[1])


def _stackable(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(stackable=not found[1])


def _points(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(points_price=int(found[1]))


def _pool(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(pool=True)


def _claim_from(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(claim_from=_moment(reading.now, found, last=False))


def _claim_until(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(claim_until=_moment(reading.now, found, last=True))


def _valid_until(reading: _Reading, found: re.Match[str]) -> None:
    reading.put(valid_until=_moment(reading.now, found, last=True))


def _moment(now: datetime, found: re.Match[str], *, last: bool) -> float:
    """The moment that a part names. last: a day alone means all of it, to midnight."""
    year, month, day, hour, minute = found.groups()
    time = (int(hour), int(minute)) if hour else (0, 0)
    for at_year in (int(year),) if year else (now.year, now.year + 1):
        try:
            when = datetime(at_year, int(month), int(day), *time, tzinfo=SHANGHAI)
        except ValueError:
            continue  # February 29 is in some years
        if last and not hour:
            when += timedelta(days=1)
        # Today that began already is still meant as today.
        if year or when > now or (when.month, when.day) == (now.month, now.day):
            return when.timestamp()
    raise _Wrong("day")


Put = Callable[[_Reading, re.Match[str]], None]


def _patterns() -> Iterator[tuple[re.Pattern[str], Put]]:
    for pattern, put in (
        (rf"(?:立减|减|优惠|抵扣?|现金券)\s*{_YUAN}", _amount),
        (r"(\d{1,7}(?:\.\d{1,2})?)\s*(?:元|块钱?)(?:券|优惠券)?", _amount),
        (rf"满\s*{_YUAN}\s*(?:立减|减)\s*{_YUAN}", _amount_from),
        (
            r"(?:打\s*)?(\d{1,2}(?:\.\d)?)\s*折(?:[\s,]*(?:最高|最多|封顶)(?:减|优惠)?\s*"
            + _YUAN
            + ")?",
            _percent,
        ),
        (rf"(?:最高|最多|封顶)(?:减|优惠)?\s*{_YUAN}", _cap),
        (r"(?:免费)?试用\s*(\d{1,5})\s*天", _trial),
        (r"送\s*(.+)", _bundle),
        (rf"(?:满|最低消费)\s*{_YUAN}\s*(?:可用|起用?)?", _min_spend),
        (r"(?:共|一共|总共|限量)?\s*(\d{1,9})\s*张", _inventory),
        (r"不限量|不限张数", _unlimited),
        (r"(?:每人|一人)(?:最多|限领?|可领)?\s*(\d{1,9})\s*张?", _per_member),
        (r"(?:领取?(?:后|之后)|有效期?)\s*(\d{1,5})\s*天(?:内?有效)?", _valid_days),
        (r"(\d{1,5})\s*天(?:内?有效)", _valid_days),
        (rf"(?:有效期?(?:至|到)|用到|使用截止)\s*:?\s*{_DAY}", _valid_until),
        (rf"(?:截止|领取截止|领到|领取到)\s*:?\s*{_DAY}", _claim_until),
        (rf"(?:开始|开抢|开领|从)\s*:?\s*{_DAY}\s*(?:起|开始)?", _claim_from),
        (r"(?:限|仅限|限于|适用)\s*:?\s*(.+)", _only_for),
        (r"(?:给|发给|面向|对象)\s*:?\s*(.+)", _audience),
        (r"(不)?可叠加", _stackable),
        (r"(?:要|需要?)?\s*(\d{1,9})\s*积分(?:换|兑换)?", _points),
        (r"码池|用商店的码|商店券码", _pool),
    ):
        yield re.compile(pattern, re.IGNORECASE), put


_PARTS = tuple(_patterns())
