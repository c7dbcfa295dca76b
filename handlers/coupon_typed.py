"""What members type about coupons: the ways to ask for one, its word, a code anywhere in a text.

Pure. What an offer is called and whose a code is, the store knows (`coupons.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from handlers.router import folded
from store import codes

_TICKET = "(?:优惠[券劵卷]|代金[券劵]|[券劵])"
"""A coupon, also as it is often mistyped; 卷 alone is a test paper."""

_POLITE = (
    r"(?:(?:请问一?下?|你好|您好|老师|麻烦|请|那|现在|最近|今天|还|这里|你们这?里?|咱们"
    r"|新人|新用户|新成员|我)[\s,，]*)*"
)
ASKS = (
    rf"{_POLITE}(?:有没有|有)(?:什么|哪些|啥)?{_TICKET}(?:可以|能|可)?(?:领取?|用)?的?"
    "[吗么呢嘛啊呀]?"
    rf"|{_POLITE}(?:想?要|给我?|来|发我?|求)(?:一?[张个])?{_TICKET}[吧啊呀]?"
    rf"|{_POLITE}(?:想?要)?领取?(?:一?张)?\s*(?:{_TICKET}|卷)[吧啦了]?"
    "|[券劵]|优惠[劵卷]"
)
MINE = r"(?:查?看?看)?我\s*的\s*(?:优惠)?(?:[券劵]|卷)\s*(?:第?\s*([0-9]{1,2})\s*页?)?"
_VERB = r"(?:我?想?要?)?领取?(?P<ticket>优惠[券劵卷]|[券劵]|卷(?=[\s:,，]))?"
CLAIM = re.compile(rf"{_VERB}(?P<gap>[\s:,，]*)(?P<word>.+)", re.DOTALL | re.IGNORECASE)
_QUOTES = "「」『』“”\"'《》【】"
_TAIL = re.compile(r"(?:谢谢你?|多谢|可以吗|[啊呀吧哦啦了呗]|(?:的?优惠)?[券劵])$")
_TYPED_CODE = re.compile(r"(?=[a-z0-9‐-―－-]*[0-9])[a-z0-9][a-z0-9‐-―－-]{7,63}")
"""What may be a code: letters, digits and dashes, with a digit among them."""

DASH = r"[\s‐-―－-]"
_CODE_IN = re.compile(
    rf"(?<![0-9a-z])[2-9a-z]{{4}}{DASH}?[2-9a-z]{{4}}{DASH}?[2-9a-z]{{5}}(?![0-9a-z])"
)
_LETTERS = re.compile(r"[a-z\s]*")
_OURS = re.compile(r"[2-9a-z]{4}-[2-9a-z]{4}-[2-9a-z]{5}")


@dataclass(frozen=True, slots=True)
class Said:
    """What follows 领. word: folded, "" for nothing but manners; typed: as it was typed.
    apart: something stands between; ticket: it is 领券, not 领 alone."""

    word: str
    typed: str
    apart: bool
    ticket: bool


def word_in(text: str) -> tuple[str, bool] | None:
    """(claim word, whether it stands apart) of 领券 早鸟 or 领早鸟; None for any other text."""
    said = said_in(text)
    return (said.word, said.apart) if said is not None and said.word else None


def said_in(text: str) -> Said | None:
    """What a text asks for; None where it does not begin with 领."""
    found = CLAIM.fullmatch(folded(text))
    if found is None:
        return None
    word = "".join(found["word"].split()).strip(_QUOTES)
    if not word:
        return None
    typed = CLAIM.fullmatch(text.strip())
    as_typed = "".join(typed["word"].split()).strip(_QUOTES) if typed is not None else word
    return Said(
        word if bare(word) else "",
        as_typed if folded(as_typed) == word else word,
        bool(found["gap"]),
        bool(found["ticket"]),
    )


def bare(word: str) -> str:
    """A word without the marks, the manners and the 券 around it: 👉早鸟券，谢谢 is 早鸟."""
    while word:
        shorter = _TAIL.sub("", _trimmed(word))
        if shorter == word:
            break
        word = shorter
    return word


def _trimmed(word: str) -> str:
    start, end = 0, len(word)
    while start < end and not word[start].isalnum():
        start += 1
    while end > start and not word[end - 1].isalnum():
        end -= 1
    return word[start:end]


def is_code(word: str) -> bool:
    """Whether somebody may have typed a code: then the log must not have it."""
    return codes.is_ours(codes.plain(word)) or _TYPED_CODE.fullmatch(folded(word)) is not None


def code_in(text: str) -> str:
    """Our code, or one mistyped, that a text holds anywhere, also between words; "" for none.

    Words of a foreign language look like one now and then, so a digit or a dash is needed.
    """
    text = folded(text)
    for found in (text, *(one[0] for one in _CODE_IN.finditer(text))):
        ours = codes.is_ours(codes.plain(found)) and not _LETTERS.fullmatch(found)
        if ours or _OURS.fullmatch(found):
            return found
    return ""
