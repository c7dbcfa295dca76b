"""Who took A took B: rules over what members bought, claimed and enrolled in.

Sets that many members have in common are found with FP-growth; a rule is kept when it is of
enough members, when B is more frequent among who has A than among all who took anything, beyond
chance after so many comparisons (Fisher's exact test, false discovery rate), and when a shorter
rule does not say the same. It is a pattern of what goes together, not of what causes what; beside
each stands how often B really came after A. Pure, but for the libraries.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from insights.outcomes import rate
from insights.report import Figure, Listing, Row

MOST_ITEMS = 200
"""The most frequent ones are looked at: sets of three of more would not fit into memory."""
MOST_SETS = 20_000
LONGEST = 3
"""Items in a set: two that lead to one."""
MOST_RULES = 30
FALSE_SHARE = 0.01
"""Of the rules that are told, so many may be chance."""

_Z = 1.959963984540054

FIGURES = frozenset({"basket_confidence", "basket_lift", "basket_support", "basket_after"})
LISTS = frozenset({"baskets"})
NOTES = frozenset({"basket_too_few", "basket_none"})

Take = tuple[int, str, float]
"""member, item, when first."""


class Rule(NamedTuple):
    """Who took all of `first` took `then`.

    both, left, right: members who have all, the first, the other; of `members` who took anything.
    lift: how many times as frequent as among all; low, high: its 95 % interval. p: of Fisher's
    test, that it is chance. after: of the `both`, those who took `then` after all the others.
    """

    first: tuple[str, ...]
    then: str
    both: int
    left: int
    right: int
    members: int
    lift: float
    low: float
    high: float
    p: float
    after: int

    @property
    def confidence(self) -> float:
        """The share of those with the first who have the other."""
        return self.both / self.left


def frequent(baskets: Sequence[frozenset[str]], least: int) -> dict[frozenset[str], int]:
    """Sets of up to three items that at least so many baskets have; {} for none.

    Of the `MOST_ITEMS` most frequent items; with more than `MOST_SETS` sets the threshold rises
    until there are fewer. Baskets have each item once.
    """
    counts = Counter(item for one in baskets for item in one)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_ITEMS]
    items = sorted(item for item, count in ranked if count >= least)
    if not items:
        return {}
    number = {item: at for at, item in enumerate(items)}
    # Who has a single one says nothing about sets; the sizes of single ones are known.
    rows = [sorted(number[item] for item in one if item in number) for one in baskets]
    found = {frozenset((item,)): counts[item] for item in items}
    several = [row for row in rows if len(row) > 1]
    if several:
        while True:
            sets = _grown(several, items, least)
            if len(sets) <= MOST_SETS:
                break
            least *= 2
        found.update(sets)
    return found


def _grown(
    rows: Sequence[Sequence[int]], items: Sequence[str], least: int
) -> dict[frozenset[str], int]:
    # Imported here: together they take seconds, and only the nightly job needs them.
    import numpy as np
    import pandas as pd
    from mlxtend.frequent_patterns import fpgrowth

    # A byte for each cell, at most two hundred for a member: pandas' sparse frame was measured to
    # take as much, for the tree that is made of it is what is large.
    cells = np.zeros((len(rows), len(items)), np.bool_)
    ends = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    cells[ends, np.fromiter((at for row in rows for at in row), np.int64, len(ends))] = True
    # A hair below: the library compares quotients.
    share = (least - 0.5) / len(rows)
    found = fpgrowth(pd.DataFrame(cells), min_support=share, max_len=LONGEST)
    return {
        frozenset(items[at] for at in one): round(support * len(rows))
        for support, one in zip(found["support"], found["itemsets"], strict=True)
        if len(one) > 1
    }


def rules(takes: Iterable[Take], least_support: int) -> list[Rule]:
    """The rules, the surest first; [] when nothing goes together.

    least_support: so many members must have all of a rule. Of the rules of one set the one is
    told that was walked most often in its direction.
    """
    of: dict[int, dict[str, float]] = {}
    for member, item, at in takes:
        mine = of.setdefault(member, {})
        mine[item] = min(at, mine.get(item, math.inf))
    baskets = [frozenset(one) for one in of.values()]
    sets = frequent(baskets, least_support)
    return _directed(_judged(sets, len(baskets), least_support), of.values())


def _judged(sets: Mapping[frozenset[str], int], members: int, least: int) -> list[Rule]:
    """All rules of the sets that are beyond chance.

    Pairs and threes are judged apart: a true pair makes many threes that hold because of it, and
    among so many true ones chance would be let in. So a three has to add something to each of its
    pairs: among who has the one, does the other go with what it leads to?
    """
    pairs = [one for one in sets if len(one) == 2]
    singles = sum(len(one) == 1 for one in sets)
    raw: list[tuple[frozenset[str], str]] = []
    frequent_pairs = [one for one in pairs if sets[one] >= least]
    overlaps: list[list[Overlap]] = []
    for one in frequent_pairs:
        left, right = (sets[frozenset((item,))] for item in one)
        overlaps.append([(sets[one], members, left, right)])
    sure = _beyond(overlaps, singles * (singles - 1) // 2)
    for one, holds in zip(frequent_pairs, sure, strict=True):
        if holds:
            raw += [(one - {then}, then) for then in sorted(one)]
    threes = [
        (items - {then}, then)
        for items, both in sets.items()
        if len(items) == LONGEST and both >= least
        for then in sorted(items)
    ]
    overlaps = [
        [
            (
                sets[first | {then}],
                sets[frozenset((item,))],
                sets[frozenset((item, then))],
                sets[first],
            )
            for item in first
        ]
        for first, then in threes
    ]
    sure = _beyond(overlaps, len(pairs) * max(0, singles - 2))
    raw += [one for one, holds in zip(threes, sure, strict=True) if holds]
    found = []
    for first, then in raw:
        both, left, right = sets[first | {then}], sets[first], sets[frozenset((then,))]
        lift, low, high = _lift(both, left, right, members)
        if low > 1:
            p = _chance([(both, members, left, right)])[0]
            found.append(
                Rule(tuple(sorted(first)), then, both, left, right, members, lift, low, high, p, 0)
            )
    return found


Overlap = tuple[int, int, int, int]
"""both, of how many in all, who has the one, who has the other."""


def _chance(overlaps: Sequence[Overlap]) -> list[float]:
    """Fisher's exact test, one-sided: that so many have both is chance."""
    import numpy as np
    from scipy.stats import hypergeom

    both, total, left, right = np.array(overlaps).T
    # Less frequent together than by chance is no rule, and asking would cost the most time.
    more = both * total > left * right
    p = np.ones(len(overlaps))
    p[more] = hypergeom.sf(both[more] - 1, total[more], left[more], right[more])
    return [float(one) for one in p]


def _beyond(tests: Sequence[Sequence[Overlap]], made: int) -> list[bool]:
    """Which hold in all their overlaps, at a false discovery rate. Source: Benjamini and Hochberg.

    made: how many comparisons there were, with those that had not the support to be looked at.
    """
    if not tests:
        return []
    width = len(tests[0])
    flat = _chance([overlap for one in tests for overlap in one])
    p = [max(flat[at : at + width]) for at in range(0, len(flat), width)]
    number = max(made, len(p))
    bound = 0.0
    for rank, one in enumerate(sorted(p), 1):
        if one <= FALSE_SHARE * rank / number:
            bound = one
    return [one <= bound for one in p]


def _lift(both: int, left: int, right: int, members: int) -> tuple[float, float, float]:
    """How many times as frequent, and the 95 % interval: of its logarithm, by the delta method."""
    lift = both * members / (left * right)
    spread = 1 / both - 1 / left - 1 / right + 2 * lift / members - 1 / members
    width = _Z * math.sqrt(max(spread, 0.0))
    return lift, lift * math.exp(-width), lift * math.exp(width)


def _directed(found: Sequence[Rule], of: Iterable[Mapping[str, float]]) -> list[Rule]:
    """Each with how often its last really came last; of each set the one that did most often."""
    by_item: dict[str, list[int]] = {}
    for at, one in enumerate(found):
        by_item.setdefault(one.then, []).append(at)
    after = [0] * len(found)
    for mine in of:
        if len(mine) > 1:
            for item in mine.keys() & by_item.keys():
                for at in by_item[item]:
                    times = [mine.get(other, math.inf) for other in found[at].first]
                    after[at] += max(times) < mine[item]
    best: dict[frozenset[str], Rule] = {}
    for one, count in zip(found, after, strict=True):
        one = one._replace(after=count)
        key = frozenset((*one.first, one.then))
        other = best.get(key)
        if other is None or _way(one) > _way(other):
            best[key] = one
    return sorted(best.values(), key=lambda one: (-one.low, one.p, one.first, one.then))


def _way(one: Rule) -> tuple[int, float, tuple[str, ...]]:
    return one.after, one.confidence, one.first


def listing(
    found: Sequence[Rule], titles: Mapping[str, str], since: float, until: float, members: int
) -> Listing:
    """The rules as a report keeps them. titles: of items; who has none is called by number.

    members: who took anything.
    """
    rows = []
    for one in found[:MOST_RULES]:
        label = " + ".join(titles.get(item, item) for item in one.first)
        label = f"{label} → {titles.get(one.then, one.then)}"
        rows.append(Row(label=label, figures=_figures(one, label, since, until)))
    note = "" if rows else "basket_none" if members else "basket_too_few"
    return Listing(name="baskets", rows=tuple(rows), note=note)


def _figures(one: Rule, label: str, since: float, until: float) -> tuple[Figure, ...]:
    went = rate(one.both, one.left)
    after = rate(one.after, one.both)
    return (
        Figure(
            name="basket_confidence",
            value=went.value,
            unit="share",
            since=since,
            until=until,
            of=label,
            numerator=one.both,
            denominator=one.left,
            low=went.low,
            high=went.high,
            n=one.left,
            people=one.both,
        ),
        Figure(
            name="basket_lift",
            value=one.lift,
            unit="factor",
            since=since,
            until=until,
            of=label,
            low=one.low,
            high=one.high,
            n=one.members,
            people=one.both,
        ),
        Figure(
            name="basket_support",
            value=one.both,
            unit="count",
            since=since,
            until=until,
            of=label,
            numerator=one.both,
            denominator=one.members,
            n=one.members,
            people=one.both,
        ),
        Figure(
            name="basket_after",
            value=after.value,
            unit="share",
            since=since,
            until=until,
            of=label,
            numerator=one.after,
            denominator=one.both,
            low=after.low,
            high=after.high,
            n=one.both,
            people=one.both,
        ),
    )
