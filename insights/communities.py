"""Communities of members: who gathers with whom, and what they talk about more than others do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from math import log, sqrt
from sys import intern
from typing import NamedTuple

import numpy as np

from insights.graphs import Closeness, Floats, Graph, Ints, closeness, divide, graph_of

LEAST = 4
"""Fewer are no community."""
LEAST_WEIGHT = 0.01
"""What two said to each other has faded below this."""

_TERMS = 3
_LEAST_USERS = 3
"""A term that fewer of them use is somebody's own."""
_Z = 1.96
_PRIOR = 10.0
"""How many users of each term, on average, are taken for granted (Monroe et al. 2008)."""


class Gathered(NamedTuple):
    """A scope's members and how they hang together.

    ids: numbers of members, ascending; graph: theirs, symmetric, in this order. labels: the place
    in `groups` of each, -1 for nobody's. groups: communities, the largest first. share: how much of
    all talk stays inside communities, beyond chance: modularity.
    """

    ids: Ints
    graph: Graph
    labels: Ints
    groups: tuple[frozenset[int], ...]
    share: float
    closeness: Closeness


class Term(NamedTuple):
    """A word that a community uses more than others. z: how surely; people: who use it."""

    term: str
    z: float
    people: int


def gather(from_id: Ints, to_id: Ints, weight: Floats, seed: int = 0) -> Gathered:
    """Who gathers with whom; where talk shows no communities, there are none.

    from_id, to_id: numbers of members; pairs may come in both directions and more than once.
    """
    keep = (weight >= LEAST_WEIGHT) & (from_id != to_id)
    from_id, to_id, weight = from_id[keep], to_id[keep], weight[keep]
    ids = np.unique(np.concatenate([from_id, to_id]))
    graph = graph_of(np.searchsorted(ids, from_id), np.searchsorted(ids, to_id), weight, ids.size)
    division = divide(graph, seed, sure=True, tries=1)
    sizes = np.bincount(division.labels, minlength=1)
    # Where a whole scope is one community, there is nothing to tell apart.
    many = int((sizes >= LEAST).sum())
    count = many if many > 1 else 0
    labels = np.where(division.labels < count, division.labels, -1)
    groups = tuple(frozenset(ids[labels == number].tolist()) for number in range(count))
    return Gathered(ids, graph, labels, groups, division.modularity, closeness(graph))


def typical_terms(
    groups: Sequence[Collection[int]], spoken: Iterable[tuple[int, str]]
) -> list[list[Term]]:
    """What each community talks about more than the others here, the surest first; [] for nothing.

    spoken: who said what, terms with blanks between. Everybody counts once a term, however often
    they say it. Log odds with an informative prior (Monroe, Colaresi & Quinn 2008).
    """
    of_member = {member: number for number, group in enumerate(groups) for member in group}
    terms: defaultdict[int, set[str]] = defaultdict(set)
    for member, text in spoken:
        # The same word is one object: there are millions of them.
        terms[member].update(map(intern, text.split()))
    here: list[Counter[str]] = [Counter() for _ in groups]
    all_of: Counter[str] = Counter()
    for member, words in terms.items():
        all_of.update(words)
        number = of_member.get(member)
        if number is not None:
            here[number].update(words)
    total = sum(all_of.values())
    if not total:
        return [[] for _ in groups]
    scale = _PRIOR * len(all_of) / total
    found = []
    for counts in here:
        own = sum(counts.values())
        rows = [
            Term(term, _log_odds(users, own, all_of[term], total, scale), users)
            for term, users in counts.items()
            if users >= _LEAST_USERS
        ]
        sure = [one for one in rows if one.z >= _Z]
        found.append(sorted(sure, key=lambda one: (-one.z, one.term)))
    return found


def _log_odds(users: int, own: int, everybody: int, total: int, scale: float) -> float:
    """How many standard errors the odds of a term are above those elsewhere."""
    prior, all_prior = everybody * scale, total * scale
    mine, mine_not = users + prior, own + all_prior - users - prior
    theirs = everybody - users + prior
    theirs_not = total - own + all_prior - theirs
    # No numpy: of four numbers it takes ten times as long, and there are hundred thousands.
    if min(mine, mine_not, theirs, theirs_not) <= 0:
        return 0.0
    odds = log(mine / mine_not) - log(theirs / theirs_not)
    # All four cells: what nearly everybody says is not rare in the others.
    return odds / sqrt(1 / mine + 1 / mine_not + 1 / theirs + 1 / theirs_not)


def named(
    terms: Sequence[Sequence[Term]], before: Sequence[str | None]
) -> list[tuple[str, tuple[str, ...]]]:
    """A name and its topics for each community, in their order.

    terms: what is typical of each. before: how it was called; None of a new one. A name stays while
    its words are still theirs; without words it is a number: 圈子 3.
    """
    taken = {name for name in before if name}
    found: list[tuple[str, tuple[str, ...]]] = []
    for own, old in zip(terms, before, strict=True):
        topics = tuple(one.term for one in own[:_TERMS])
        known = {one.term for one in own}
        if old is not None and (not topics or set(old.split("·")) & known):
            found.append((old, topics))
            continue
        name = "·".join(topics[:2])
        if not name or name in taken:
            name = next(
                one for one in (f"圈子 {number}" for number in _numbers()) if one not in taken
            )
        taken.add(name)
        found.append((name, topics))
    return found


def _numbers() -> Iterable[int]:
    number = 0
    while True:
        number += 1
        yield number
