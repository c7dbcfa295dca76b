"""Who is in which part of a comparison: a keyed hash of the member's number.

A member stays in their part without a row of their own, and another salt draws anew. Pure.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Side = Literal["", "a", "b"]


def part(salt: str, member_id: int) -> float:
    """The place of a member in a draw, from 0 to below 1; another one for another salt."""
    digest = hashlib.blake2b(
        str(member_id).encode(), digest_size=8, key=salt.encode()[:64], person=b"rec-test"
    )
    # 53 bits, which is what a float holds: more would round up to 1.
    return (int.from_bytes(digest.digest(), "big") >> 11) / float(1 << 53)


def side(salt: str, member_id: int, share: float) -> Side:
    """Whether a member sees the lists of one ranker or of the other; "" for who is in no test.

    share: of the members that are in it, 0 to 1, half of them on each side.
    """
    place = part(salt, member_id)
    if place >= share:
        return ""
    return "a" if place < share / 2 else "b"
