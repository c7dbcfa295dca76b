"""The reading of one short message, figure for figure the one of `insights/spam_text.py`.

Groups are heard one message at a time, and numpy asks its price per call, not per character: a
batch of one cost 0.7 ms. Here the characters' kinds are a string of bytes that Python searches in
C, and numpy is left with the hashes. A test compares both readings.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import compress
from operator import ne

import numpy as np
from numpy.typing import NDArray

from insights.spam_text import (
    BARE,
    BLANK,
    DIGIT,
    EMOJI,
    FLAGS,
    GAPPED,
    GAPS,
    GRAMS,
    HAN,
    HIDDEN,
    LATIN,
    NAMES,
    OTHER,
    PATTERNS,
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
)

SHORT = 200
"""Longer texts are read faster as a batch."""

_LETTERS = bytes(HAN <= kind <= OTHER for kind in range(256))
_DIGITS = re.compile(bytes((DIGIT,)) + b"+")
_BETWEEN = re.compile(b"(?<=[\x02-\x04])[\x00\x01](?=[\x02-\x04])")
_IN_LATIN = re.compile(b"(?<=\x03)[\x00\x01](?=\x03)")
"""A blank or sign between two of HAN, LATIN and DIGIT; between two of LATIN."""
_BEGIN, _END = np.array([2], dtype=np.uint32), np.array([3], dtype=np.uint32)
_STEPS = len(NAMES) - len(FLAGS) - 3
_COUNTS = tuple(number for number, (name, _, _) in enumerate(FLAGS) if name != "chatty")
_CUTS = tuple(cuts for _, cuts in SHAPES)
_SIZES = tuple(np.uint64(size) for size in range(1, GRAMS + 1))
_SALTS = tuple(np.uint64(int(GAPPED) + gap) for gap in GAPS)


@cache
def _dressed() -> frozenset[str]:
    return frozenset(map(chr, np.flatnonzero(dressed_table()).tolist()))


@cache
def _folded() -> dict[int, int]:
    fold = fold_table()
    codes = np.flatnonzero(fold != np.arange(len(fold)))
    return dict(zip(codes.tolist(), fold[codes].tolist(), strict=True))


def alone(text: str) -> Reading | None:
    """`read([text])`; None for a text that is long or has characters off the tables."""
    if len(text) > SHORT:
        return None
    typed = unmasked(level(text))
    if not typed or len(typed) > SHORT:
        return None
    codes = np.frombuffer(typed.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    table = kind_table()
    if int(codes.max()) >= len(table):
        return None
    kind = table[codes]
    kind_of = kind.tobytes()
    bare = "".join(compress(typed, kind_of.translate(_LETTERS)))
    bare = bare.translate(_folded())
    plain = np.zeros((1, len(NAMES)))
    row = plain[0]
    row[:_STEPS] = _steps(text, typed, kind_of, common_table()[codes].tobytes())
    flags = [
        1.0 if pattern.search(bare if of_bare else typed) else 0.0 for of_bare, pattern in PATTERNS
    ]
    row[_STEPS:-3] = flags
    several = sum(flags[number] for number in _COUNTS)
    row[-3:] = several > 1.5, several > 2.5, several > 3.5
    grams = _grams(codes, kind, bare)
    return Reading(np.zeros_like(grams), grams, plain, np.array([not bare]))


def _steps(text: str, typed: str, kind_of: bytes, known_of: bytes) -> list[bool]:
    """The figures of SHAPES as steps."""
    length = len(typed)
    han, latin, digit, sign = (kind_of.count(kind) for kind in (HAN, LATIN, DIGIT, SIGN))
    simple, full = known_of.count(2), known_of.count(3)
    rare = han - known_of.count(1) - simple - full
    changes = sum(map(ne, kind_of, kind_of[1:]))
    between = len(_BETWEEN.findall(kind_of)) - len(_IN_LATIN.findall(kind_of))
    longest = max(map(len, _DIGITS.findall(kind_of)), default=0)
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
        kind_of.count(EMOJI),
        kind_of.count(OTHER),
        sum(map(_dressed().__contains__, text)),
        kind_of.count(HIDDEN),
        between,
        changes,
        changes / length,
        (length - len(set(typed))) / length,
        longest,
    )
    return [figure > cut for figure, cuts in zip(figures, _CUTS, strict=True) for cut in cuts]


def _grams(codes: NDArray[np.uint32], kind: NDArray[np.uint8], bare: str) -> Ints:
    """Each different n-gram of both readings, sorted."""
    seen = kind != HIDDEN
    blank = kind == BLANK
    seen[:-1] &= ~(blank[:-1] & blank[1:])
    seen[-1] &= not blank[-1]
    shown = np.where(kind == DIGIT, np.uint32(48), codes)[seen]
    letters = kind[(kind >= HAN) & (kind <= OTHER)]
    folded = np.frombuffer(bare.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    folded = np.where(letters == DIGIT, np.uint32(48), folded)
    at = len(shown) + 2
    both = np.concatenate((_BEGIN, shown, _END, _BEGIN, folded, _END)).astype(np.uint64)
    salted = both + TYPED
    salted[at:] += BARE - TYPED
    rolled, found = salted, [salted]
    for size in _SIZES[1:]:
        more = int(size) - 1
        rolled = (rolled[:-1] * STEP) ^ (salted[more:] + size)
        # What would begin in one reading and end in the other is no n-gram.
        found += [rolled[: max(at - more, 0)], rolled[at:]]
    own = both[at:]
    for gap, salt in zip(GAPS, _SALTS, strict=True):
        found.append(((own[:-gap] + salt) * STEP) ^ own[gap:])
    return different(hashed(np.concatenate(found)))
