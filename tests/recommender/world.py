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


def subtle(members: int = 150, shuffled: bool = False) -> tuple[Log, People, Things]:
    """Tastes that features tell half of: four topics that stand in tags, two tastes in each that
    stand nowhere, eight items of a taste. Some members have a tag, items have all.

    shuffled: the same deeds of the same members, with items by chance.
    """
    rng = np.random.default_rng(5)
    tastes = [(topic, taste) for topic in range(4) for taste in range(2)]
    names = [f"t{topic}-{taste}{number}" for topic, taste in tastes for number in range(8)]
    found: list[Row] = []
    tags: list[tuple[str, ...]] = []
    for member in range(1, members + 1):
        own = int(rng.integers(len(tastes)))
        likes = np.full(len(names), 0.15 / 56)
        likes[own * 8 : own * 8 + 8] = 0.85 / 8
        for place in rng.choice(len(names), 9, False, likes):
            at = NOW - float(rng.uniform(0, 60 * DAY))
            found.append((member, names[place], "purchase", at, None))
        tags.append((f"tag:t{tastes[own][0]}",) if rng.random() < 0.6 else ())
    if shuffled:
        other = rng.permutation([row[1] for row in found])
        found = [(m, str(i), k, at, a) for (m, _, k, at, a), i in zip(found, other, strict=True)]
    people = People(tuple(range(1, members + 1)), tuple(tags))
    things = Things(tuple(names), tuple((f"tag:{name[:2]}",) for name in names))
    return Log.of(found), people, things


def changing(members: int = 200) -> tuple[Log, People, People, Things]:
    """What members want changes every week by chance; their topic is what they looked at most.

    Half of the members come in the newest week. The members today, and a week ago.
    """
    rng = np.random.default_rng(1)
    found: list[Row] = []
    for member in range(1, members + 1):
        for weeks in (0, 1, 2) if member % 2 else (0,):
            topic = int(rng.integers(20))
            for number in rng.choice(5, 4, replace=False):
                at = NOW - (weeks + 0.99 * float(rng.random())) * 7 * DAY
                found.append((member, f"{topic}-{number}", "ask", at, None))
    names = [f"{topic}-{number}" for topic in range(20) for number in range(5)]

    def topics(until: float) -> People:
        own: dict[int, list[str]] = {member: [] for member in range(1, members + 1)}
        for member, item, _, at, _ in found:
            if at < until:
                own[member].append(f"topic:{item.partition('-')[0]}")
        most = {m: sorted(set(t), key=lambda one: -t.count(one))[:3] for m, t in own.items()}
        return People(tuple(most), tuple(tuple(one) for one in most.values()))

    things = Things(tuple(names), tuple((f"tag:{one.partition('-')[0]}",) for one in names))
    return Log.of(found), topics(NOW), topics(NOW - 7 * DAY), things
