"""What something may cost, read out of a member's words: 100元以内, 50到100, 两百块左右. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple


class Price(NamedTuple):
    """least, most: fen, both included; most None for no end. about: said as 左右, so that what
    was said is the middle."""

    least: int = 0
    most: int | None = None
    about: bool = False

    def holds(self, cents: int) -> bool:
        """Whether something of this price is meant."""
        return self.least <= cents and (self.most is None or cents <= self.most)


PRICE = Price()
"""Any price."""

_AROUND = (7, 13)
"""左右: from seven to thirteen tenths of what was said."""

_H = "一二两三四五六七八九"
_NUMBER = (
    rf"¥?(?<![0-9.])(?:[0-9]{{1,6}}(?:\.[0-9]{{1,2}})?(?![0-9])"
    rf"|[{_H}]千(?:[{_H}]百?)?|[{_H}]?百(?:[{_H}]十[{_H}]?|零?[{_H}])?|[{_H}]?十[{_H}]?|[{_H}](?=元|块))"
)
YUAN = r"(?:元|块钱?|圆|rmb|人民币|¥)"
_Y = r"(?:\s?(?:元|块钱?|圆|rmb|人民币))"
_WITHIN = r"(?:以内|之内|以下|之下|内(?!容))"
_FORMS = (
    r"(?P<free>免费|不要钱|不花钱|(?<![0-9.])0元(?!以|起)|(?<![十百千])零元)"
    rf"|(?:价[格钱]|预算)?(?:在|是)?(?P<low>{_NUMBER}){_Y}?\s?(?:到|至|-|~|–|—)\s?(?P<high>{_NUMBER})"
    rf"(?:{_Y}(?:之间|以内)?|之间|以内)"
    rf"|(?:价[格钱]|预算)?(?:在|是)?(?P<a>{_NUMBER}){_Y}?{_WITHIN}"
    rf"|(?:不(?:超过|到|高于|多于)|低于|少于|小于|最多|预算)(?P<b>{_NUMBER}){_Y}?(?:以内|左右)?"
    rf"|(?P<c>{_NUMBER}){_Y}?以上|(?P<d>{_NUMBER}){_Y}起"
    rf"|(?:不低于|不少于|超过|高于|至少|大于)(?P<e>{_NUMBER}){_Y}?"
    rf"|(?:大概|大约|差不多)?(?:在|是)?(?P<f>{_NUMBER}){_Y}?(?:左右|上下)"
    rf"|(?:大概|大约|差不多)?(?P<g>{_NUMBER}){_Y}"
    rf"|(?P<tens>几十{_Y})"
)
_PRICE = re.compile(_FORMS)
ANY_PRICE = re.sub(r"\(\?P<\w+>", "(?:", _FORMS)
"""Wherever a text says a price."""


def within(yuan: int) -> Price:
    """At most so many yuan."""
    return Price(0, 100 * yuan)


def price_in(text: str) -> tuple[str, Price]:
    """(the text with "@" where the price stood, the price); `PRICE` where there is none."""
    found = _PRICE.search(text)
    if found is None:
        return text, PRICE
    rest = f"{text[: found.start()]}@{text[found.end() :]}"
    return rest, _price(found.groupdict())


def _price(said: dict[str, str | None]) -> Price:
    if said["free"]:
        return Price(0, 0)
    if said["tens"]:
        return Price(0, 10_000)
    if said["low"] and said["high"]:
        ends = sorted((_cents(said["low"]), _cents(said["high"])))
        return Price(ends[0], ends[1])
    most, least = said["a"] or said["b"], said["c"] or said["d"] or said["e"]
    if most:
        return Price(0, _cents(most))
    if least:
        return Price(_cents(least), None)
    cents = _cents(said["f"] or said["g"] or "0")
    return Price(cents * _AROUND[0] // 10, cents * _AROUND[1] // 10, about=True)


def _cents(text: str) -> int:
    """二十, 一百五, 199 or 19.9 yuan in fen."""
    text = text.lstrip("¥")
    if text.isascii():
        yuan, _, tenths = text.partition(".")
        return 100 * int(yuan) + int(f"{tenths:0<2}"[:2])
    digits = {"两": 2, **{sign: number for number, sign in enumerate("一二三四五六七八九", 1)}}
    total, digit, unit = 0, 0, 1
    zero = False
    for sign in text:
        if sign in digits:
            digit = digits[sign]
        elif sign == "零":
            zero = True
        else:
            unit = {"十": 10, "百": 100, "千": 1000}[sign]
            total += (digit or 1) * unit
            digit = 0
    # 一百五 is 150, 一百零五 is 105, 十五 is 15.
    rest = digit * (unit // 10 if unit > 10 and not zero else 1)
    return 100 * (total + rest)
