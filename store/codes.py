"""Codes of coupons: hard to guess, easy to copy by hand.

A code we make is 12 random signs and one that checks them; no two of its signs look alike.
A shop's own codes are whatever the shop says. Both are stored and looked up in one plain form.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""31 signs: no 0 and O, no 1, I and L. A prime number of them, which the check sign needs."""

SIGNS = 12
"""Random signs of a code: 31 ** 12 codes, 59 bits, so guessing one of a million open codes
takes 10 ** 11 tries."""

_BASE = len(ALPHABET)
_FAIR = 256 - 256 % _BASE
_DASHES = {ord(sign): None for sign in "-‐‑‒–—―−﹣－ー"}


def check_sign(signs: str) -> str:
    """The sign that makes a mistyped or a swapped sign show: the n-th counts n + 1 times.

    Errors: ValueError for a sign that is not in the alphabet.
    """
    total = sum(place * ALPHABET.index(sign) for place, sign in enumerate(signs, 2))
    return ALPHABET[total % _BASE]


def new_code(rng: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A code nobody can guess, in its plain form, with a digit among its signs.

    Letters alone could be a word that somebody writes, so the chat does not take them for a code;
    one draw in fifty has no digit and is drawn again. rng: gives so many random bytes.
    """
    signs = draw_signs(rng)
    while signs.isalpha():
        signs = draw_signs(rng)
    return signs + check_sign(signs)


def draw_signs(rng: Callable[[int], bytes]) -> str:
    """The random signs of a code; each sign of the alphabet is as likely as any other."""
    signs = ""
    while len(signs) < SIGNS:
        # A remainder of all 256 bytes would favour the first signs.
        drawn = rng(SIGNS - len(signs))
        signs += "".join(ALPHABET[byte % _BASE] for byte in drawn if byte < _FAIR)
    return signs


def plain(typed: str) -> str:
    """A code as it is stored: upper case, half width, without blanks and dashes."""
    folded = unicodedata.normalize("NFKC", typed).translate(_DASHES).upper()
    return "".join(folded.split())


def is_ours(code: str) -> bool:
    """Whether a plain code could be one of ours: its length, its signs and the check are right."""
    return (
        len(code) == SIGNS + 1
        and all(sign in ALPHABET for sign in code)
        and check_sign(code[:-1]) == code[-1]
    )


def shown(code: str) -> str:
    """A code as people read it: ours in groups of 4, 4 and 5 signs, a shop's own as it is."""
    return f"{code[:4]}-{code[4:8]}-{code[8:]}" if is_ours(code) else code
