"""Opinion leaders and bridges: who stands out in a scope, and whether that may be chance.

Four things are looked at, each as a member's share of all there is: attention (PageRank on who
turns to whom), standing between others (betweenness, sampled), questions answered first, and
people reached by these answers. Their mean is the influence. What was said could have gone
differently, so pairs and days are drawn anew many times; a name is given only when the interval
does not overlap that of anybody who is not named. In a group where nobody stands out, nobody is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from insights.graphs import Floats, Graph, Ints, betweenness, graph_of, pagerank
from insights.report import Chart, Figure, Listing, Report, Row, Series

FIGURES = frozenset(
    {
        "leader_influence",
        "leader_attention",
        "leader_between",
        "leader_helped",
        "leader_reached",
        "bridge_share",
        "talking_members",
        "leaders_named",
        "leaders_hold",
    }
)
LISTS = frozenset({"leaders", "bridges"})
CHARTS = frozenset({"leaders", "leader_influence"})
NOTES = frozenset({"leaders_none", "leaders_few", "bridges_none"})

MOST = 5
"""Names, at most."""
LEAST_MEMBERS = 8
LEAST_PAIRS = 12
"""Fewer who talk with each other, and it is not asked who leads."""

DRAWS = 100
_LARGE_DRAWS = 50
_LARGE_PAIRS = 3000
_CORE = 3000
"""So many, those with the most talk, are looked at in a large scope."""
_SOURCES = 32
_LOW, _HIGH = 2.5, 97.5
_IN_CHART = 8


class Help(NamedTuple):
    """A question that a member was the first to answer. day: which; reached: how many people
    took it on."""

    member_id: int
    day: int
    reached: int


class Standing(NamedTuple):
    """How a member stands. value: 0 to 1, of all members' together 1; low, high: 95 %.

    attention, between: shares; helped, reached: counts.
    """

    member_id: int
    value: float
    low: float
    high: float
    attention: float = 0.0
    between: float = 0.0
    helped: int = 0
    reached: int = 0


class Talked(NamedTuple):
    """Who turned to whom, numbers of members, and how much."""

    from_id: Ints
    to_id: Ints
    weight: Floats


def standings(talked: Talked, helps: Sequence[Help], seed: int = 0) -> list[Standing]:
    """Everybody who talked, the most influential first; [] where too few did.

    Who only answered and turned to nobody is not among them. About 0.5 s for a group of 500.
    """
    ids, start, end, pair, talked = _core(talked)
    if ids.size < LEAST_MEMBERS or np.unique(pair).size < LEAST_PAIRS:
        return []
    helped, reached = _help(ids, helps)
    rng = np.random.default_rng(seed)
    draws = DRAWS if talked.weight.size <= _LARGE_PAIRS else _LARGE_DRAWS
    of_each = np.empty((draws + 1, ids.size))
    for draw in range(draws + 1):
        pairs = np.ones(pair.max() + 1) if draw == 0 else rng.poisson(1.0, pair.max() + 1)
        days = np.ones(helped.shape[1]) if draw == 0 else rng.poisson(1.0, helped.shape[1])
        weight = talked.weight * pairs[pair]
        parts = [
            _attention(start, end, weight, ids.size),
            _between(start, end, weight, ids.size, seed),
            _share(helped @ days),
            _share(reached @ days),
        ]
        if draw == 0:
            told = [one if one is not None else np.zeros(ids.size) for one in parts]
        there = [one for one in parts if one is not None]
        of_each[draw] = np.mean(there, axis=0) if there else 0.0
    low, high = np.percentile(of_each[1:], [_LOW, _HIGH], axis=0)
    rows = [
        Standing(
            member_id,
            float(of_each[0, at]),
            float(min(low[at], of_each[0, at])),
            float(max(high[at], of_each[0, at])),
            float(told[0][at]),
            float(told[1][at]),
            int(helped[at].sum()),
            int(reached[at].sum()),
        )
        for at, member_id in enumerate(ids.tolist())
    ]
    return sorted(rows, key=lambda one: (-one.value, one.member_id))


def bridges(talked: Talked, communities: Sequence[frozenset[int]], seed: int = 0) -> list[Standing]:
    """Who carries what is said between communities, the most first; [] where too little is.

    A member's value is half of their share in it, for every pair has two ends.
    """
    of_member = {one: number for number, members in enumerate(communities) for one in members}
    sides = np.array(
        [
            (of_member.get(one, -1), of_member.get(other, -1))
            for one, other in zip(talked.from_id.tolist(), talked.to_id.tolist(), strict=True)
        ],
        np.int64,
    ).reshape(-1, 2)
    across = (sides[:, 0] >= 0) & (sides[:, 1] >= 0) & (sides[:, 0] != sides[:, 1])
    talked = _only(talked, across)
    ids, start, end, pair, talked = _core(talked)
    if np.unique(pair).size < LEAST_PAIRS:
        return []
    rng = np.random.default_rng(seed)
    draws = np.vstack([np.ones(pair.max() + 1), rng.poisson(1.0, (DRAWS, pair.max() + 1))])
    of_each = np.empty((DRAWS + 1, ids.size))
    for number, pairs in enumerate(draws):
        weight = talked.weight * pairs[pair]
        total = weight.sum() or 1.0
        of_each[number] = (
            np.bincount(start, weight, ids.size) + np.bincount(end, weight, ids.size)
        ) / (2 * total)
    low, high = np.percentile(of_each[1:], [_LOW, _HIGH], axis=0)
    rows = [
        Standing(member_id, float(of_each[0, at]), float(low[at]), float(high[at]))
        for at, member_id in enumerate(ids.tolist())
    ]
    return sorted(rows, key=lambda one: (-one.value, one.member_id))


def named(rows: Sequence[Standing], most: int = MOST) -> list[Standing]:
    """Those who stand out for sure: each one's interval lies above that of all who are not named.

    rows: as `standings` gives them. [] when intervals overlap, however far apart the values are.
    """
    for count in range(min(most, len(rows) - 1), 0, -1):
        others = max(one.high for one in rows[count:])
        if min(one.low for one in rows[:count]) > others:
            return list(rows[:count])
    return []


# Drawn anew


def _core(talked: Talked) -> tuple[Ints, Ints, Ints, Ints, Talked]:
    """Members, both ends and the pair of each row, and the rows; the busiest members only."""
    ids, ends = np.unique(np.concatenate([talked.from_id, talked.to_id]), return_inverse=True)
    if ids.size > _CORE:
        weight = np.concatenate([talked.weight, talked.weight])
        busy = np.argsort(-np.bincount(ends, weight), kind="stable")[:_CORE]
        keep = np.isin(talked.from_id, ids[busy]) & np.isin(talked.to_id, ids[busy])
        talked = _only(talked, keep)
        ids, ends = np.unique(np.concatenate([talked.from_id, talked.to_id]), return_inverse=True)
    start, end = ends[: talked.from_id.size], ends[talked.from_id.size :]
    # Both directions of a pair were one conversation: they are drawn together.
    both = np.minimum(start, end).astype(np.int64) * max(ids.size, 1) + np.maximum(start, end)
    pair = np.unique(both, return_inverse=True)[1]
    return ids, start, end, pair, talked


def _only(talked: Talked, keep: NDArray[np.bool_]) -> Talked:
    return Talked(talked.from_id[keep], talked.to_id[keep], talked.weight[keep])


def _help(ids: Ints, helps: Sequence[Help]) -> tuple[Floats, Floats]:
    """Questions answered and people reached: one row a member, one column a day."""
    place = {member: at for at, member in enumerate(ids.tolist())}
    days = {day: at for at, day in enumerate(sorted({one.day for one in helps}))}
    helped = np.zeros((ids.size, max(len(days), 1)))
    reached = np.zeros_like(helped)
    for one in helps:
        at = place.get(one.member_id)
        if at is not None:
            helped[at, days[one.day]] += 1
            reached[at, days[one.day]] += one.reached
    return helped, reached


def _attention(start: Ints, end: Ints, weight: Floats, members: int) -> Floats:
    turns: Graph = sparse.coo_matrix((weight, (start, end)), shape=(members, members)).tocsr()
    turns.eliminate_zeros()
    return pagerank(turns)


def _between(start: Ints, end: Ints, weight: Floats, members: int, seed: int) -> Floats | None:
    return _share(betweenness(graph_of(start, end, weight, members), seed, _SOURCES))


def _share(values: Floats) -> Floats | None:
    """Of all; None when there is nothing to share."""
    total = float(values.sum())
    return values / total if total > 0 else None


# The report


class Standout(NamedTuple):
    """Who stands out in a scope. rows: everybody's standings, the first first; [] where too few
    talk. leaders, bridges: those who are named."""

    rows: Sequence[Standing]
    leaders: Sequence[Standing]
    bridges: Sequence[Standing]


def standout(
    talked: Talked, helps: Sequence[Help], communities: Sequence[frozenset[int]], seed: int = 0
) -> Standout:
    """Leaders and bridges of a scope."""
    rows = standings(talked, helps, seed)
    return Standout(rows, named(rows), named(bridges(talked, communities, seed)))


def report(scope: str, found: Standout, since: float, until: float, now: float) -> Report:
    """The report "leaders" of a scope."""
    figures = [
        _count("talking_members", len(found.rows), since, until, len(found.rows)),
        _count("leaders_named", len(found.leaders), since, until, len(found.rows)),
    ]
    if found.leaders:
        hold = sum(one.value for one in found.leaders)
        figures.append(
            Figure(
                name="leaders_hold",
                value=hold,
                unit="share",
                since=since,
                until=until,
                n=len(found.rows),
                people=len(found.leaders),
            )
        )
    note = "" if found.leaders else "leaders_none" if found.rows else "leaders_few"
    return Report(
        kind="leaders",
        scope=scope,
        made_at=now,
        since=since,
        until=until,
        figures=tuple(figures),
        lists=lists(found, since, until),
        charts=_charts(found),
        note=note,
    )


def lists(found: Standout, since: float, until: float) -> tuple[Listing, ...]:
    """Leaders and bridges, as both reports show them."""
    note = "" if found.leaders else "leaders_none" if found.rows else "leaders_few"
    leaders = Listing(
        name="leaders", rows=tuple(_leader(one, since, until) for one in found.leaders), note=note
    )
    carry = tuple(
        Row(
            member_id=one.member_id,
            figures=(_of_one("bridge_share", one.value, one.low, one.high, since, until),),
        )
        for one in found.bridges
    )
    return (leaders, Listing(name="bridges", rows=carry, note="" if carry else "bridges_none"))


def _leader(one: Standing, since: float, until: float) -> Row:
    return Row(
        member_id=one.member_id,
        figures=(
            _of_one("leader_influence", one.value, one.low, one.high, since, until),
            _of_one("leader_attention", one.attention, None, None, since, until),
            _of_one("leader_between", one.between, None, None, since, until),
            _count("leader_helped", one.helped, since, until, 1),
            _count("leader_reached", one.reached, since, until, 1),
        ),
    )


def _of_one(
    name: str, value: float, low: float | None, high: float | None, since: float, until: float
) -> Figure:
    return Figure(
        name=name, value=value, unit="share", since=since, until=until, low=low, high=high, people=1
    )


def _count(name: str, value: int, since: float, until: float, people: int) -> Figure:
    return Figure(
        name=name, value=value, unit="count", since=since, until=until, n=value, people=people
    )


def _charts(found: Standout) -> tuple[Chart, ...]:
    """Intervals by rank, nameless: how far the first stand apart."""
    rows = found.rows[:_IN_CHART]
    if not rows:
        return ()
    series = Series(
        name="leader_influence",
        values=tuple(one.value for one in rows),
        low=tuple(one.low for one in rows),
        high=tuple(one.high for one in rows),
    )
    labels = tuple(str(rank) for rank in range(1, len(rows) + 1))
    return (Chart(name="leaders", kind="intervals", unit="share", labels=labels, series=(series,)),)
