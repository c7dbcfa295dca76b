"""What members did, as columns: from rows of the store to weights that a model can learn from.

Nothing here is refused: what cannot be used is left out and named in the report, so that a broken
import costs its own rows and not the night's training.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from recommender.fitted import Ints

FloatArray: TypeAlias = npt.NDArray[np.float64]

KINDS: Mapping[str, float] = {
    "view": 0.2,
    "click": 0.3,
    "ask": 0.4,
    "claim": 0.5,
    "enrol": 0.8,
    "progress": 0.8,
    "complete": 1.0,
    "purchase": 1.0,
    "refund": -0.5,
    "dislike": -1.0,
    "strength": 1.0,
}
"""What a deed says of a taste. Of a progress the amount is the percentage: all of it counts as much
as a completion. Of a strength the amount is the weight itself: for data that knows no deeds."""

KIND_NAMES = tuple(KINDS)
MOST = 1.5
"""No single deed weighs more, either way: one enthusiast must not outweigh the rest."""
NAMED = 20
"""So many of each problem are named; the rest is counted."""

_WEIGHTS = np.array([KINDS[name] for name in KIND_NAMES])
_PROGRESS, _STRENGTH = KIND_NAMES.index("progress"), KIND_NAMES.index("strength")
_BANDS = ((0.0, "free"), (99_00.0, "low"), (499_00.0, "mid"), (1999_00.0, "high"))


def price_band(cents: float) -> str:
    """The band of a price in cents; "" for one that is none (nan, below zero)."""
    if not math.isfinite(cents) or cents < 0:
        return ""
    return next((name for most, name in _BANDS if cents <= most), "top")


@dataclass(frozen=True, slots=True)
class Log:
    """Deeds as columns of the same length n; the order of rows means nothing.

    member: numbers of members; item: places in `ids`; kind: places in KIND_NAMES; at: Unix seconds
    (or any number that grows); amount: nan for none. problems: what was left out, by name.
    """

    member: Ints
    item: Ints
    ids: tuple[str, ...]
    kind: npt.NDArray[np.int8]
    at: FloatArray
    amount: FloatArray
    problems: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[tuple[int, str, str, float, float | None]]) -> Log:
        """From (member, item id, kind, at, amount); unknown kinds and broken times are left out.

        Items stand in the order of their ids, whatever the order of the rows.
        """
        kinds = {name: place for place, name in enumerate(KIND_NAMES)}
        members, items, codes, ats, amounts = [], [], [], [], []
        problems: dict[str, int] = {}
        for member, item, kind, at, amount in rows:
            code = kinds.get(kind)
            wrong = "unknown_kinds" if code is None else "" if math.isfinite(at) else "broken_times"
            if code is None or wrong:
                problems[wrong] = problems.get(wrong, 0) + 1
                continue
            members.append(member)
            items.append(item)
            codes.append(code)
            ats.append(at)
            amounts.append(math.nan if amount is None else amount)
        ids = tuple(sorted(set(items)))
        place = {item: number for number, item in enumerate(ids)}
        return cls(
            np.array(members, np.int64),
            np.array([place[item] for item in items], np.int64),
            ids,
            np.array(codes, np.int8),
            np.array(ats, np.float64),
            np.array(amounts, np.float64),
            problems,
        )

    def __len__(self) -> int:
        return int(self.member.size)

    def where(self, keep: npt.NDArray[Any]) -> Log:
        """The rows of a mask [n] or of places; the ids stay."""
        return Log(
            self.member[keep],
            self.item[keep],
            self.ids,
            self.kind[keep],
            self.at[keep],
            self.amount[keep],
            self.problems,
        )

    def before(self, at: float) -> Log:
        """What was done before a moment."""
        return self.where(self.at < at)

    def since(self, at: float) -> Log:
        """What was done from a moment on."""
        return self.where(self.at >= at)

    def by_member(self) -> dict[int, Ints]:
        """The rows of each member, in the order of time, then of items."""
        if not len(self):
            return {}
        order = np.lexsort((self.item, self.at, self.member))
        members, start = np.unique(self.member[order], return_index=True)
        return dict(zip(members.tolist(), np.split(order, start[1:]), strict=True))

    def on(self, ids: Sequence[str]) -> Log:
        """The same deeds on another catalogue; what is not in it is left out."""
        if tuple(ids) == self.ids:
            return self
        place = {item: number for number, item in enumerate(ids)}
        map_ = np.array([place.get(item, -1) for item in self.ids], np.int64)
        item = map_[self.item] if self.ids else self.item
        keep = item >= 0
        rest = self.where(keep)
        return Log(
            rest.member, item[keep], tuple(ids), rest.kind, rest.at, rest.amount, self.problems
        )


@dataclass(frozen=True, slots=True)
class Things:
    """Items that may be recommended. features: of each, ("tag:写作", "level:1", "word:爬虫");
    () for nobody has any. published_at, prices: of each, or (). prices: cents, nan for unknown."""

    ids: tuple[str, ...]
    features: tuple[tuple[str, ...], ...] = ()
    published_at: tuple[float, ...] = ()
    prices: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class People:
    """Members who may be recommended something. features: of each ("tag:…", "state:core"), or ()
    for nobody has any."""

    numbers: tuple[int, ...] = ()
    features: tuple[tuple[str, ...], ...] = ()


class Values(NamedTuple):
    """One row for each pair of member and item, by member, then by item; no value is 0 or nan."""

    member: Ints
    item: Ints
    value: FloatArray


def weights(log: Log) -> FloatArray:
    """What each deed says, -MOST to MOST; 0 for a strength that is no number."""
    found = _WEIGHTS[log.kind]
    progress = log.kind == _PROGRESS
    if progress.any():
        share = np.clip(np.nan_to_num(log.amount[progress], posinf=0.0) / 100, 0.0, 1.0)
        least = KINDS["progress"]
        found[progress] = least + (KINDS["complete"] - least) * share
    strength = log.kind == _STRENGTH
    if strength.any():
        told = np.nan_to_num(log.amount[strength], nan=0.0, posinf=0.0, neginf=0.0)
        found[strength] = np.clip(told, -MOST, MOST)
    return found


def values(
    log: Log, half_life_s: float = 0.0, half_rank: float = 0.0, now: float | None = None
) -> Values:
    """What each member thinks of each item that they had to do with.

    The strongest deed counts, halved every half_life_s seconds and every half_rank newer items of
    the same member; 0 for not at all. A refund or a dislike takes back what was before it and
    counts against. now: what ages are counted from; None: each member's own newest deed, because
    what somebody liked before a long silence is still the best that is known of them. Empty log:
    nothing.
    """
    none = np.empty(0, np.int64)
    if not len(log):
        return Values(none, none, np.empty(0))
    order = np.lexsort((log.at, log.item, log.member))
    member, item, at = log.member[order], log.item[order], log.at[order]
    said = weights(log)[order]
    new = np.r_[True, (np.diff(member) != 0) | (np.diff(item) != 0)]
    start = np.flatnonzero(new)
    pair = np.cumsum(new) - 1
    last = np.maximum.reduceat(at, start)
    pairs = member[start]
    first = np.flatnonzero(np.r_[True, np.diff(pairs) != 0])
    sizes = np.diff(np.r_[first, pairs.size])
    newest = np.repeat(np.maximum.reduceat(last, first), sizes)
    until = newest if now is None else np.full(pairs.size, now)
    decayed = said.copy()
    if half_life_s > 0:
        decayed *= 0.5 ** (np.maximum(0.0, until[pair] - at) / half_life_s)
    # A pair turns bad by its newest negative deed unless something good came after it.
    bad_at = np.maximum.reduceat(np.where(said < 0, at, -np.inf), start)
    good = np.where((said > 0) & (at > bad_at[pair]), decayed, 0.0)
    liked = np.maximum.reduceat(good, start)
    hated = np.minimum.reduceat(np.where(said < 0, decayed, 0.0), start)
    value = np.where(liked > 0, liked, hated)
    if half_rank > 0:
        newer = np.lexsort((item[start], -last, pairs))
        rank = np.empty(pairs.size)
        rank[newer] = np.arange(pairs.size) - np.repeat(first, sizes)
        value = value * 0.5 ** (rank / half_rank)
    keep = value != 0
    return Values(pairs[keep], item[start][keep], value[keep])


def enough(log: Log, members: int, items: int, events: int) -> tuple[tuple[str, int, int], ...]:
    """What there is too little of to learn from: (name, have, need); () for enough.

    Members and items count when something good was done by or with them.
    """
    good = weights(log) > 0
    have = (
        ("members", int(np.unique(log.member[good]).size), members),
        ("items", int(np.unique(log.item[good]).size), items),
        ("events", len(log), events),
    )
    return tuple(one for one in have if one[1] < one[2])


def report(log: Log, people: People, things: Things) -> dict[str, Any]:
    """What is wrong with the data, as JSON: counts, and of ids the first few. {}: nothing.

    unknown_items, items_without_features, broken_prices: {"count", "first"}; unknown_members,
    members_without_features, duplicates, weightless, unknown_kinds, broken_times: counts;
    all_weights_zero, one_member, one_item, empty: true.
    """
    found: dict[str, Any] = {}
    known = set(things.ids)
    used = [log.ids[place] for place in np.unique(log.item)]
    have = things.features or ((),) * len(things.ids)
    bare = [item for item, has in zip(things.ids, have, strict=True) if not has]
    priced = zip(things.ids, things.prices, strict=False)
    wrong = [item for item, price in priced if not price_band(price)]
    for name, ids in (
        ("unknown_items", [item for item in used if item not in known]),
        ("items_without_features", bare),
        ("broken_prices", wrong),
    ):
        if ids:
            found[name] = {"count": len(ids), "first": sorted(ids)[:NAMED]}
    columns = (log.at, log.kind, log.item, log.member)
    order = np.lexsort(columns)
    again = np.ones(max(0, len(log) - 1), np.bool_)
    for column in columns:
        again &= np.diff(column[order]) == 0
    said = weights(log)
    strangers = np.setdiff1d(log.member, np.array(people.numbers, np.int64))
    counts = {
        "unknown_members": int(strangers.size),
        "members_without_features": sum(not has for has in people.features)
        if people.features
        else len(people.numbers),
        "duplicates": int(again.sum()),
        "weightless": int((said == 0).sum()),
        **log.problems,
    }
    flags = {
        "empty": not len(log),
        "all_weights_zero": len(log) > 0 and not (said != 0).any(),
        "one_member": np.unique(log.member).size == 1,
        "one_item": np.unique(log.item).size == 1,
    }
    found |= {name: count for name, count in counts.items() if count}
    found |= {name: True for name, flag in flags.items() if flag}
    return found
