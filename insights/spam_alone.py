"""The reading of one short message, figure for figure the one of `insights/spam_text.py`.

Groups are heard one message at a time, and numpy asks its price per call, not per character. Here
the kinds of the characters are a string of bytes that Python counts and searches in C, and numpy
is left with the hashes. A test compares both readings.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import compress
from operator import ne
from typing import NamedTuple

import numpy as np

from insights.spam_flags import FLAGS, flagged
from insights.spam_text import (
    BARE,
    BLANK,
    DIGIT,
    EMOJI,
    GAPPED,
    GAPS,
    GRAMS,
    HAN,
    HIDDEN,
    LATIN,
    OTHER,
    SHAPES,
    SIGN,
    STEP,
    TYPED,
    Ints,
    Reading,
    common_table,
    different,
    dressed_table,
    fold_table,
    hashed,
    kind_table,
    level,
    unmasked,
    word,
)

SHORT = 200
"""Longer texts are read faster as a batch."""

_LETTERS = bytes(HAN <= kind <= OTHER for kind in range(256))
_SEEN = bytes(kind != HIDDEN for kind in range(256))
_LOST = re.compile(b"\x00(?=\x00|\\Z)")
"""Blanks before another, and at the end."""
_DIGITS = re.compile(b"\x04+")
_BETWEEN = re.compile(b"(?<=[\x02-\x04])[\x00\x01](?=[\x02-\x04])")
_IN_LATIN = re.compile(b"(?<=\x03)[\x00\x01](?=\x03)")
"""A blank or sign between two of HAN, LATIN and DIGIT; between two of LATIN."""
_OFFERS = tuple(number for number, (name, _, _) in enumerate(FLAGS) if name != "chatty")
_CUTS = tuple(cuts for _, cuts in SHAPES)
_SIZES = tuple((size, word(size)) for size in range(2, GRAMS + 1))
_SALTS = tuple((gap, word(int(GAPPED) + gap)) for gap in GAPS)


class _Tables(NamedTuple):
    kind: bytes
    common: bytes
    fold: dict[int, int]
    """What stands for another character in the bare reading; every digit is a 0."""
    digits: dict[int, int]
    dressed: frozenset[str]
    last: str
    """The first character that they do not know."""


@cache
def _tables() -> _Tables:
    kinds, fold = kind_table(), fold_table()
    digits = dict.fromkeys(np.flatnonzero(kinds == DIGIT).tolist(), 48)
    odd = np.flatnonzero(fold != np.arange(len(fold))).tolist()
    return _Tables(
        kinds.tobytes(),
        common_table().tobytes(),
        {code: int(fold[code]) for code in odd},
        digits,
        frozenset(map(chr, np.flatnonzero(dressed_table()).tolist())),
        chr(len(fold)),
    )


def alone(text: str) -> Reading | None:
    """`read([text])`; None for an empty text, a long one, one with characters off the tables."""
    if len(text) > SHORT:
        return None
    typed = unmasked(level(text))
    tables = _tables()
    if not typed or len(typed) > SHORT or max(typed) >= tables.last:
        return None
    codes = list(map(ord, typed))
    kinds = bytes(map(tables.kind.__getitem__, codes))
    common = bytes(map(tables.common.__getitem__, codes))
    bare = "".join(compress(typed, kinds.translate(_LETTERS))).translate(tables.fold)
    flags = flagged(typed, bare)
    several = sum(flags[number] for number in _OFFERS)
    plain = [
        *_steps(text, typed, kinds, common),
        *flags,
        several > 1.5,
        several > 2.5,
        several > 3.5,
    ]
    shown = typed
    if BLANK in kinds or HIDDEN in kinds:
        seen = _LOST.sub(bytes((HIDDEN,)), kinds).translate(_SEEN)
        shown = "".join(compress(typed, seen))
    letters = bare
    if DIGIT in kinds:
        shown, letters = shown.translate(tables.digits), bare.translate(tables.digits)
    grams = _grams(shown, letters)
    rows = np.zeros(len(grams), dtype=np.int64)
    return Reading(rows, grams, np.array([plain], dtype=np.float64), np.array([not bare]))


def _steps(text: str, typed: str, kinds: bytes, common: bytes) -> list[bool]:
    """The figures of SHAPES as steps."""
    length = len(typed)
    count = kinds.count
    han, latin, digit, sign = count(HAN), count(LATIN), count(DIGIT), count(SIGN)
    simple, full = common.count(2), common.count(3)
    rare = han - common.count(1) - simple - full
    changes = sum(map(ne, kinds, kinds[1:]))
    between = 0
    if sign or BLANK in kinds:
        between = len(_BETWEEN.findall(kinds)) - len(_IN_LATIN.findall(kinds))
    longest = max(map(len, _DIGITS.findall(kinds))) if digit else 0
    figures = (
        length,
        rare,
        rare / max(han, 1),
        min(simple, full),
        digit,
        digit / length,
        latin,
        latin / length,
        han / length,
        sign,
        sign / length,
        count(EMOJI),
        count(OTHER),
        sum(map(_tables().dressed.__contains__, text)),
        count(HIDDEN),
        between,
        changes,
        changes / length,
        (length - len(set(typed))) / length,
        longest,
    )
    return [figure > cut for figure, cuts in zip(figures, _CUTS, strict=True) for cut in cuts]


def _grams(shown: str, bare: str) -> Ints:
    """Each different n-gram of both readings, sorted."""
    both = f"\x02{shown}\x03\x02{bare}\x03".encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(both, dtype="<u4").astype(np.uint64)
    at = len(shown) + 2
    salted = codes.copy()
    salted[:at] += TYPED
    salted[at:] += BARE
    rolled, found = salted, [salted]
    for size, salt in _SIZES:
        rolled = rolled[:-1] * STEP
        rolled ^= salted[size - 1 :] + salt
        # What would begin in one reading and end in the other is no n-gram.
        found += (rolled[: max(at - size + 1, 0)], rolled[at:])
    own = codes[at:]
    for gap, salt in _SALTS:
        pairs = own[:-gap] + salt
        pairs *= STEP
        pairs ^= own[gap:]
        found.append(pairs)
    return different(hashed(np.concatenate(found)))
