"""What training may look at to choose: deeds held back from the newest end of members' histories.

Nothing that is held back was seen by what is judged on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recommender import parts
from recommender.blend import Question
from recommender.dataset import FloatArray, Log, People, values
from recommender.evaluate import ndcg_of
from recommender.fitted import Fitted, Ints, band_of
from recommender.scoring import Scorer, Who

MOST = 1500
"""Members that are asked about; more teach little and cost memory."""
SHARE = 0.2
"""Of the items of such a member, the newest are held back; at least one."""
NEWCOMERS, MOST_NEWCOMERS = 0.15, 300
"""Of the members, so many are held back whole: to be met for the first time."""
SHORT = (0, 1, 2, 3, 4, 6, 8, 10, 13)
"""A newcomer is asked about when so many first items are known."""
NEW, LEAST_ITEMS = 0.05, 100
"""Of the items, so many are held back whole, where there are enough."""
MOST_WANTED = 20
"""Of what a newcomer came to like: the whole of it would only take time."""
MADE_OF_DEEDS = ("topic:", "price:")
"""Features of members that are sums of the very deeds that are held back."""
_NEWCOMER_COUNTS, _NEW_COUNTS = 0.5, 0.25
_ASKED_OF_NEWCOMER = 3
_BLOCK = 100
_LEAST_MEMBERS = 200


def untold(people: People) -> People:
    """Members without the features that would tell what is held back.

    What they say after all is left to be learned from: the weights are the more cautious for it.
    """
    return People(
        people.numbers,
        tuple(
            tuple(name for name in names if not name.startswith(MADE_OF_DEEDS))
            for names in people.features
        ),
    )


@dataclass(frozen=True, slots=True)
class Held:
    """known: what may be learned from. wanted: member -> places of items liked afterwards; seen:
    member -> places of all items known. newcomers: the items of each in the order in which they
    came, and which of these were liked; rest: the log they are from. new: places of items held
    back; wanted_new: member -> those of them that were liked."""

    known: Log
    wanted: Mapping[int, Ints]
    seen: Mapping[int, Ints]
    rest: Log
    newcomers: Mapping[int, tuple[Ints, Ints]]
    new: Ints
    wanted_new: Mapping[int, Ints]


def held_back(log: Log, seed: int) -> Held:
    """Hold back the newest of some members' items (of half, of all where members are few), some
    members whole, and some items whole.

    Only of members with two items or more; nobody but a newcomer loses everything.
    """
    rng = np.random.default_rng(seed)
    items = np.unique(log.item)
    size = int(NEW * items.size) if items.size >= LEAST_ITEMS else 0
    new = np.sort(rng.choice(items, size, replace=False)) if size else np.empty(0, np.int64)
    is_new = np.isin(log.item, new)
    order = np.lexsort((log.item, log.at, log.member))
    member = log.member[order]
    first = np.flatnonzero(np.r_[True, np.diff(member) != 0]) if member.size else np.empty(0, int)
    bounds = np.r_[first, member.size]
    places = rng.permutation(first.size)
    strange = min(MOST_NEWCOMERS, int(NEWCOMERS * first.size))
    few = first.size <= _LEAST_MEMBERS
    some = places[strange:]
    some = some if few else some[: min(MOST, (some.size + 1) // 2)]
    liked = _Liked(log)
    keep = ~is_new
    wanted, seen, wanted_new, newcomers = {}, {}, {}, {}
    for nth, place in enumerate(np.r_[places[:strange], some]):
        rows = order[bounds[place] : bounds[place + 1]]
        number = int(member[bounds[place]])
        fresh = np.unique(log.item[rows[is_new[rows]]])
        fresh = fresh[liked.of(number, fresh)]
        rows = rows[~is_new[rows]]
        # By an item's first deed: what was bought after it was looked at is held back whole.
        own, begun = np.unique(log.item[rows], return_index=True)
        own = own[np.argsort(begun, kind="stable")]
        if own.size < 2:
            continue
        good = liked.of(number, own)
        if nth < strange:
            newcomers[number] = (own, own[good])
            keep[rows] = False
            continue
        late = max(1, round(SHARE * own.size))
        if fresh.size:
            wanted_new[number] = fresh
        if good[-late:].any():
            keep[rows[np.isin(log.item[rows], own[-late:])]] = False
            wanted[number] = own[-late:][good[-late:]]
            seen[number] = np.sort(own[:-late])
    return Held(log.where(keep), wanted, seen, log, newcomers, new, wanted_new)


class _Liked:
    """Pairs that were wanted: what weighs at least half of what the best of the log do."""

    def __init__(self, log: Log) -> None:
        found = values(log)
        good = found.value > 0
        good &= found.value >= least_wanted(found.value[good])
        self._width = max(1, len(log.ids))
        # By member, then by item: sorted already.
        self._keys = found.member[good] * self._width + found.item[good]

    def of(self, member: int, items: Ints) -> npt.NDArray[np.bool_]:
        """Which of these items."""
        keys = member * self._width + items
        if not self._keys.size:
            return np.zeros(keys.size, np.bool_)
        near = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
        return np.asarray(self._keys[near] == keys)


def least_wanted(worth: FloatArray) -> float:
    """From which weight on a deed counts as found when it is recommended: half of a strong one.

    A view is something found where members only view, and nothing where they also buy.
    """
    return 0.5 * float(np.quantile(worth, 0.9)) + 1e-9 if worth.size else 0.0


def people_of(
    fitted: Fitted, held: Held, features: Mapping[int, Sequence[str]], half_rank: float
) -> list[Who]:
    """Those asked about, with what is known of them, in the order of `held.wanted`."""
    half_life_s = float(fitted.data["half_life_s"])
    past = parts.pasts(held.known, fitted.items, half_life_s, half_rank)
    return [
        parts.who(fitted, member, features.get(member, ()), *past.of(member))
        for member in held.wanted
    ]


def ndcg_of_past(fitted: Fitted, held: Held, whos: Sequence[Who], name: str) -> float:
    """How good one neighbour part alone is, as NDCG@10; 0.0 with nobody to ask."""
    scorer = Scorer(fitted)
    found = []
    for start in range(0, len(whos), _BLOCK):
        some = whos[start : start + _BLOCK]
        table = parts.spoken_for(scorer, some, name)
        found += [
            ndcg_of(row, held.seen[one.member], held.wanted[one.member])
            for one, row in zip(some, table, strict=True)
        ]
    return float(np.mean(found)) if found else 0.0


def met(fitted: Fitted, held: Held, features: Mapping[int, Sequence[str]], seed: int) -> list[Met]:
    """Newcomers, each some times, with as many first items known as chance says."""
    rng = np.random.default_rng(seed)
    cut: list[tuple[int, Ints, Ints]] = []
    for member, (own, good) in held.newcomers.items():
        sizes = [size for size in SHORT if size < own.size]
        some = rng.choice(sizes, min(len(sizes), _ASKED_OF_NEWCOMER), replace=False)
        cut += [(member, own[:size], np.setdiff1d(good, own[:size])) for size in some.tolist()]
    rest = held.rest.by_member()
    rows, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for nth, (member, first, _) in enumerate(cut):
        mine = rest[member]
        mine = mine[np.isin(held.rest.item[mine], first)]
        rows.append(mine)
        numbers.append(np.full(mine.size, nth, np.int64))
    log = replace(held.rest.where(np.concatenate(rows)), member=np.concatenate(numbers))
    data = fitted.data
    past = parts.pasts(log, fitted.items, float(data["half_life_s"]), float(data["half_rank"]))
    return [
        Met(parts.who(fitted, -1, features.get(member, ()), *past.of(nth)), first, wanted)
        for nth, (member, first, wanted) in enumerate(cut)
        if wanted.size
    ]


class Met(NamedTuple):
    """A newcomer: what is known, the places of those items, the places of what was liked later."""

    who: Who
    seen: Ints
    wanted: Ints


def questions(
    fitted: Fitted,
    held: Held,
    whos: Sequence[Who],
    newcomers: Sequence[Met],
    seed: int,
    candidates: int = 1500,
) -> list[Question]:
    """For the weights of the blend: members, newcomers, and members before new items.

    candidates: so many items that were not wanted at most, drawn by chance, stand beside those
    that were.
    """
    rng = np.random.default_rng(seed)
    scorer = Scorer(fitted)
    known = np.zeros(len(fitted.items), np.bool_)
    known[held.known.on(fitted.items).item] = True
    fresh = np.zeros_like(known)
    fresh[held.new] = True
    cases = [(one, held.seen[one.member], held.wanted[one.member], known, 1.0) for one in whos]
    cases += [(one.who, one.seen, one.wanted, known, _NEWCOMER_COUNTS) for one in newcomers]
    none = np.empty(0, np.int64)
    cases += [
        (one, none, held.wanted_new[one.member], fresh, _NEW_COUNTS)
        for one in whos
        if one.member in held.wanted_new
    ]
    found: list[Question] = []
    for start in range(0, len(cases), _BLOCK):
        some = cases[start : start + _BLOCK]
        table = parts.dense(scorer, [case[0] for case in some])
        for (who, seen, sought, among, weight), row in zip(some, table, strict=True):
            allowed = among.copy()
            allowed[seen] = False
            wanted = np.zeros_like(allowed)
            wanted[sought] = True
            wanted &= allowed
            others = np.flatnonzero(allowed & ~wanted)
            own = np.flatnonzero(wanted)
            if own.size > MOST_WANTED:
                own = np.sort(rng.choice(own, MOST_WANTED, replace=False))
            if others.size > candidates:
                others = np.sort(rng.choice(others, candidates, replace=False))
            places = np.r_[own, others]
            band = band_of(sum(value > 0 for value in who.values))
            found.append(Question(row[places], wanted[places], band, weight))
    return found
