"""Two rankers in one list: each member judges both at once, so a difference shows with far fewer
lists than members in two parts would need.

Team draft: as two captains choose players, one round after the other. A coin says who chooses
first in a round; each takes the best of its own order that is not there yet. A click counts for
the team that put the item there. Neither order can gain by anything but better items: places are
shared fairly, whatever the coin says.

Source: Radlinski, Kurup & Joachims 2008, "How does clickthrough data reflect retrieval quality?".
Pure.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from insights.outcomes import rate

A, B = 0, 1
"""The teams."""

_COINS = 6
"""Up to so many rounds all falls of the coin are gone through: 64 drafts. A list in chat has three
places; with ten rounds, twenty places took a tenth of a second."""
_SURE = 0.05
_LEAST = 6
"""Of fewer members no fall of the signs is rare enough: two of 2 to the sixth are 3 in 100."""


class Placed(NamedTuple):
    """An item of the list. team: whose pick it is. propensity: how probable this item was at this
    place, over all falls of the coin; 0 to 1, never 0."""

    item: str
    team: int
    propensity: float


def draft(a: Sequence[str], b: Sequence[str], count: int, rng: random.Random) -> tuple[Placed, ...]:
    """At most `count` items of both orders, best first. An item that both have stands once.

    When one order has nothing left the other goes on alone. Two empty ones: ().
    """
    rounds = min((count + 1) // 2, _COINS)
    coins = [rng.random() < 0.5 for _ in range((count + 1) // 2)]
    drawn = _drawn(a, b, count, coins)
    # Beyond that many rounds the later coins are taken as they fell: a list that long is not shown.
    later = coins[rounds:]
    falls = [
        _drawn(a, b, count, [*fall, *later])
        for fall in itertools.product((True, False), repeat=rounds)
    ]
    return tuple(
        Placed(item, team, sum(fall[at][0] == item for fall in falls) / len(falls))
        for at, (item, team) in enumerate(drawn)
    )


def _drawn(
    a: Sequence[str], b: Sequence[str], count: int, coins: Sequence[bool]
) -> list[tuple[str, int]]:
    """The list for these falls of the coin, one each round; True: a chooses first."""
    queues = (iter(a), iter(b))
    taken: set[str] = set()
    drawn: list[tuple[str, int]] = []
    for a_first in coins:
        for team in (A, B) if a_first else (B, A):
            item = next((one for one in queues[team] if one not in taken), None)
            if item is not None and len(drawn) < count:
                taken.add(item)
                drawn.append((item, team))
    # An order that ran out left rounds half empty: the other one fills them.
    for team in (A, B):
        for item in queues[team]:
            if len(drawn) >= count:
                break
            if item not in taken:
                taken.add(item)
                drawn.append((item, team))
    return drawn


class Credit(NamedTuple):
    """What a member did with the lists they were shown: clicks on places of either team."""

    member: int
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class Preference:
    """Which ranker members prefer, by what they clicked.

    members: who clicked at all; a, b: for whom one team had more clicks than the other; ties: both
    the same. share: of those with a preference, who prefer a, 0 to 1, ties counted half; low, high:
    its 95 % interval (Wilson). p: two-sided, of the sign test, which leaves ties out. All nan (p:
    1.0) without anybody.
    """

    members: int
    a: int
    b: int
    ties: int
    share: float
    low: float
    high: float
    p: float

    @property
    def certain(self) -> bool:
        """Whether one is preferred beyond chance."""
        return self.a + self.b >= _LEAST and self.p < _SURE

    @property
    def better(self) -> int | None:
        """The team that is preferred for certain; None where neither is."""
        if not self.certain:
            return None
        return A if self.a > self.b else B


def preference(credits: Iterable[Credit]) -> Preference:
    """Count members, not clicks: who clicks ten times decides once. Several rows of a member add
    up. Source of the test: exact binomial sign test (Dixon & Mood 1946)."""
    sums: dict[int, list[int]] = {}
    for one in credits:
        mine = sums.setdefault(one.member, [0, 0])
        mine[A] += one.a
        mine[B] += one.b
    clicked = [(a, b) for a, b in sums.values() if a or b]
    wins = sum(a > b for a, b in clicked)
    losses = sum(a < b for a, b in clicked)
    ties = len(clicked) - wins - losses
    if not clicked:
        return Preference(0, 0, 0, 0, math.nan, math.nan, math.nan, 1.0)
    # Halves of ties as whole numbers: everybody has two votes, and still decides once.
    found = rate(2 * wins + ties, 2 * len(clicked), len(clicked))
    p = sign_test(wins, losses)
    return Preference(len(clicked), wins, losses, ties, found.value, found.low, found.high, p)


def sign_test(wins: int, losses: int) -> float:
    """How often a fair coin is at least so one-sided; 1.0 for no toss."""
    tosses = wins + losses
    if not tosses:
        return 1.0
    least = min(wins, losses)
    # In logarithms: a choice of 5,000 out of 10,000 is no number that a float holds.
    logs = [
        math.lgamma(tosses + 1) - math.lgamma(k + 1) - math.lgamma(tosses - k + 1)
        for k in range(least + 1)
    ]
    top = max(logs)
    tail = math.exp(top - tosses * math.log(2.0)) * sum(math.exp(one - top) for one in logs)
    return min(1.0, 2.0 * tail)
