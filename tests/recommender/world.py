"""A small community with tastes that are known: who likes what, and what they did."""

from __future__ import annotations

import numpy as np

from recommender.dataset import Log, People, Things
from recommender.model import Shape
from recommender.parts import Training

DAY = 86400.0
NOW = 1000 * DAY
TOPICS = ("python", "写作", "理财")
QUICK = Training(shape=Shape(dims=8, epochs=4), half_life_s=60 * DAY)
"""Small enough for a test."""

Row = tuple[int, str, str, float, float | None]


def items() -> list[str]:
    """Ten of each topic."""
    return [f"{topic}-{number}" for topic in TOPICS for number in range(10)]


def rows(members: int = 60, seed: int = 1, deeds: int = 9, shuffled: bool = False) -> list[Row]:
    """Purchases over 60 days, nearly all within the topic of each member; nobody buys twice.

    shuffled: the same deeds of the same members, with items by chance.
    """
    rng = np.random.default_rng(seed)
    found: list[Row] = []
    for member in range(1, members + 1):
        topic = member % len(TOPICS)
        own, others = items()[topic * 10 : topic * 10 + 10], items()
        wanted = list(dict.fromkeys([*rng.permutation(own)[:deeds], *rng.permutation(others)[:1]]))
        # What some begin with others do in the end: no order but chance.
        for item in rng.permutation(wanted):
            at = NOW - float(rng.uniform(0, 60 * DAY))
            found.append((member, str(item), "purchase", at, 9900.0))
    if shuffled:
        every = [row[1] for row in found]
        other = rng.permutation(every)
        found = [(m, str(i), k, at, a) for (m, _, k, at, a), i in zip(found, other, strict=True)]
    return found


def world(members: int = 60) -> tuple[Log, People, Things]:
    """The deeds, the members with their topic as a tag, the items with theirs."""
    found = rows(members)
    numbers = tuple(sorted({row[0] for row in found}))
    people = People(numbers, tuple((f"tag:{TOPICS[n % len(TOPICS)]}",) for n in numbers))
    things = Things(tuple(items()), tuple((f"tag:{one.rpartition('-')[0]}",) for one in items()))
    return Log.of(found), people, things
