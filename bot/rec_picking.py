"""What stands in a list: the part of `bot/recommending.py` that runs in a thread.

The catalogue and a model as arrays, and from what is known of one member the items for them. Loaded
only where it runs, for numpy is large; nothing here waits, asks the store, or is changed.
"""

from __future__ import annotations

import copy
import hashlib
import math
import random
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from handlers.recommending import Ranker, Reason, Wish
from insights.interleaving import draft
from recommender import batch
from recommender.dataset import Log, values
from recommender.fitted import Fitted, Floats, Ints
from recommender.scoring import Scorer, Who
from recommender.shelf import Card, Mask, Rules, Shelf
from recommender.top import Chance, best, compose, faded, sink, varied
from recommender.why import Share, Why
from scheduler.rec_features import Cut, features
from store.rec_data import Known, Thing
from store.rec_lists import Precomputed

DAY_S = 86_400.0
SHOWN_S = 28 * DAY_S
"""What was shown longer ago is forgotten."""
_KEPT_S = 3 * DAY_S
"""A list that was worked out longer ago knows too little of what there is now."""
_LATELY_S = DAY_S
"""`Wish.instead` leaves out what was shown since."""
_HALF_SHOWN_S = 7 * DAY_S
_DRAFTED = 12
"""So many places at most has a list of two rankers: its probabilities are counted out."""
NOBODY = -1
"""The number of no member: whom a model has never seen."""
_POOL = 100
_DEEPER = 10
_BOUGHT = frozenset({"purchase", "enrol", "progress"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One question. ranker: who ranks; beside: another one for the same list; explore: the share
    of places left to chance; kept: what a night worked out; reach: tiers they have, "" too; who:
    the member as the model knows them, None while that is not worked out."""

    member: int
    key: bytes
    count: int
    wish: Wish
    now: float
    known: Known
    ranker: Ranker = "ours"
    beside: Ranker | None = None
    explore: float = 0.0
    new_s: float = 14 * DAY_S
    kept: Precomputed | None = None
    reach: frozenset[str] = frozenset({""})
    who: Who | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A place of a list, with all that is logged of it."""

    item: str
    ranker: Ranker
    score: float
    propensity: float
    explored: bool
    why: tuple[Reason, ...]


class Serving:
    """The shelf, and a model over it or none. Made anew when either changes.

    order: ids of what is popular, most wanted first; the rest follows, the newest first. cut: the
    words of a text, for items that the model has never seen. before: the one that served until
    now, of the same words: what has not changed since is taken over and not made again.
    """

    def __init__(
        self,
        things: Iterable[Thing],
        order: Sequence[str],
        fitted: Fitted | None = None,
        name: str = "",
        cut: Cut | None = None,
        before: Serving | None = None,
    ) -> None:
        self.name = name
        self.fitted = fitted
        live = sorted(
            (one for one in things if one.live), key=lambda one: (-one.published_at, one.id)
        )
        old = {} if before is None else before._made
        self._made: dict[str, tuple[Thing, Card]] = {
            one.id: found
            if (found := old.get(one.id)) is not None and found[0] == one
            else (one, _card(one))
            for one in live
        }
        cards = [card for _, card in self._made.values()]
        same = before is not None and _same(cards, before.shelf.cards)
        self.shelf: Shelf = before.shelf if before is not None and same else Shelf(cards)
        self._kin: dict[str, Ints] = before._kin if before is not None and same else _kin(cards)
        self._features: dict[str, tuple[Thing, tuple[str, ...]]] = {}
        self.scorer: Scorer | None
        if before is not None and same and fitted is before.fitted:
            self._features, self.scorer = before._features, before.scorer
        else:
            told = {} if before is None else before._features
            self.scorer = None if fitted is None else self._over(fitted, told, cut)
        self._popular, self._rank = self._ranked(order)

    def _over(
        self, fitted: Fitted, told: dict[str, tuple[Thing, tuple[str, ...]]], cut: Cut | None
    ) -> Scorer:
        """The model over the shelf. Words are cut only of what the model has never seen."""
        known = set(fitted.items)
        words = cut or (lambda text: ())
        for item, (one, _) in self._made.items():
            if item not in known:
                found = told.get(item)
                fresh = found is None or found[0] != one
                self._features[item] = (one, features(one, words)) if fresh else told[item]
        nothing: tuple[str, ...] = ()
        return Scorer(
            fitted,
            [
                (item, self._features[item][1] if item in self._features else nothing)
                for item in self._made
            ],
        )

    def _ranked(self, order: Sequence[str]) -> tuple[Floats, Ints]:
        """Shape [N] both: scores of what is popular, and the place of each in that order."""
        wanted = [
            at for item in dict.fromkeys(order) if (at := self.shelf.place.get(item)) is not None
        ]
        rank: Ints = np.full(len(self.shelf), -1, np.int64)
        rank[wanted] = np.arange(len(wanted))
        rank[rank < 0] = np.arange(len(wanted), len(rank))
        # Evenly spaced, so that what was ignored sinks by places.
        popular: Floats = np.linspace(1.0, 0.0, len(rank), dtype=np.float32)[rank]
        return popular, rank

    def ordered(self, order: Sequence[str]) -> Serving:
        """The same shelf and model, with another order of what is popular."""
        found = copy.copy(self)
        found._popular, found._rank = self._ranked(order)
        return found

    # Lists

    def picks(self, ask: Ask) -> list[Chosen]:
        """At most so many places; [] when nothing is left for them."""
        mask = self._open(ask)
        if not mask.any():
            return []
        ask = replace(ask, who=self.who(ask))
        if ask.beside is not None:
            return self._drafted(ask, mask)
        pool, scores, every = self._pool(ask, ask.ranker, mask)
        wish = ask.wish
        on_topic = bool(wish.topic or wish.among or wish.near)
        chosen = varied(pool, self.shelf, ask.count, on_topic=on_topic)
        new = self.shelf.new(ask.now, ask.new_s)
        placed = compose(
            *(pool, scores, chosen, np.flatnonzero(mask & new).tolist()),
            *(Chance(ask.explore), dice(ask.key, ask.member), every),
        )
        told = self._telling(ask, ask.ranker)
        if any(not math.isfinite(one.score) for one in placed):
            # Put there by chance, and not among what the night worked out.
            every = self._scores(ask, ask.ranker)
        found = []
        for one in placed:
            why = told(one.place)
            score = one.score if math.isfinite(one.score) else float(every[one.place])
            if one.explored:
                why = (Reason("explored"), *why)
            if new[one.place]:
                why = (*why, Reason("new"))
            item = self.shelf.cards[one.place].id
            found.append(Chosen(item, ask.ranker, score, one.propensity, one.explored, why))
        return found

    def _open(self, ask: Ask) -> Mask:
        known, wish = ask.known, ask.wish
        holds = known.holdings.owned | known.holdings.finished
        rules = Rules(
            tiers=ask.reach,
            gone=holds | known.disliked | known.holdings.returned,
            taken=holds,
            most_cents=wish.most_cents,
            words=() if wish.among else narrow(wish.topic).split(),
        )
        mask = self.shelf.open(ask.now, rules)
        if wish.among:
            mask &= self._these(wish.among)
        if wish.near:
            mask &= ~self._these((wish.near,))
        if wish.without:
            mask &= ~self._these(wish.without)
        elif wish.instead:
            lately = [
                item for item, seen in known.recent.items() if seen.last_at > ask.now - _LATELY_S
            ]
            mask &= ~self._these(lately)
        return mask

    def _these(self, items: Iterable[str]) -> Mask:
        found: Mask = np.zeros(len(self.shelf), bool)
        found[[self.shelf.place[item] for item in items if item in self.shelf.place]] = True
        return found

    def _pool(self, ask: Ask, ranker: Ranker, mask: Mask) -> tuple[Ints, Floats, Floats]:
        """Places for the list, best first, their scores after what was ignored sank, all scores:
        -inf for what the night left out."""
        if ask.wish.near and (ranker == "popular" or self.scorer is None):
            # What is popular knows no item, but the catalogue says what has something in common.
            akin = mask & (self.kin(ask.wish.near) > 0)
            mask = akin if akin.any() else mask
        every = self._kept(ask, ranker, mask)
        if every is None:
            every = self._scores(ask, ranker)
        pool = best(every, mask, max(_POOL, _DEEPER * ask.count), self._rank)
        ignored = {
            self.shelf.place[item]: seen.times * faded([seen.last_at], ask.now, _HALF_SHOWN_S)
            for item, seen in ask.known.recent.items()
            if seen.clicked_at is None and item in self.shelf.place
        }
        scores = sink(pool, every[pool], ignored, ask.count)
        order = np.argsort(-scores, kind="stable")
        return pool[order], scores[order], every

    def _kept(self, ask: Ask, ranker: Ranker, mask: Mask) -> Floats | None:
        """What a night worked out, where it still holds and is enough; None otherwise."""
        row, wish = ask.kept, ask.wish
        asked = wish.topic or wish.among or wish.near or wish.most_cents is not None
        if row is None or ranker != "ours" or asked or row.model != self.name or not self.name:
            return None
        if ask.known.past and ask.known.past[-1][3] >= row.made_at:
            return None
        if row.made_at < ask.now - _KEPT_S:
            return None
        lines = {
            self.shelf.place[item]: score
            for item, score, _ in batch.unpack(row.data)
            if item in self.shelf.place and math.isfinite(score)
        }
        found: Floats = np.full(len(self.shelf), -np.inf, np.float32)
        found[list(lines)] = list(lines.values())
        enough = int((mask & np.isfinite(found)).sum()) >= 3 * ask.count
        return found if enough else None

    def _scores(self, ask: Ask, ranker: Ranker) -> Floats:
        if ranker == "popular" or self.scorer is None:
            return self._popular
        if ask.wish.near:
            return self.scorer.near(ask.wish.near)
        return self.scorer.scores(self.who(ask), ranker)

    def who(self, ask: Ask) -> Who:
        """The member as the model knows them, with all they did up to now."""
        fitted, scorer = self.fitted, self.scorer
        if ask.who is not None:
            return ask.who
        if fitted is None or scorer is None or not ask.known.profiled:
            return Who(ask.member)
        # What a model learned of them before they agreed to it is not looked at.
        before = ask.known.agreed_at > float(fitted.data.get("until", math.inf))
        member = NOBODY if before else ask.member
        # Their own few items, not all of the model: this runs for every list.
        past = Log.of(one for one in ask.known.past if one[1] in scorer.model_place)
        found = values(
            past,
            float(fitted.data.get("half_life_s", 0.0)),
            float(fitted.data.get("half_rank", 0.0)),
        )
        items = tuple(past.ids[at] for at in found.item)
        return Who(member, ask.known.features, items, tuple(found.value.tolist()))

    def _drafted(self, ask: Ask, mask: Mask) -> list[Chosen]:
        """A list of two rankers at once; chance has no place in it but the draft's own."""
        rankers: tuple[Ranker, Ranker] = (ask.ranker, ask.beside or ask.ranker)
        count = min(ask.count, _DRAFTED)
        orders, scores, told = [], [], []
        for ranker in rankers:
            pool, found, _ = self._pool(ask, ranker, mask)
            chosen = varied(pool, self.shelf, 2 * count)
            items = [self.shelf.cards[pool[at]].id for at in chosen]
            orders.append(items)
            scores.append(dict(zip(items, found[chosen].tolist(), strict=True)))
            told.append(self._telling(ask, ranker))
        return [
            Chosen(
                *(one.item, rankers[one.team], scores[one.team][one.item], one.propensity, False),
                told[one.team](self.shelf.place[one.item]),
            )
            for one in draft(orders[0], orders[1], count, dice(ask.key, ask.member))
        ]

    # Reasons

    def _telling(self, ask: Ask, ranker: Ranker) -> Callable[[int], tuple[Reason, ...]]:
        scorer = self.scorer
        if ranker == "popular" or scorer is None:
            return lambda place: (Reason("popular", share=1.0),)
        if ask.wish.near:
            return lambda place: (Reason("viewed", ask.wish.near, 1.0),)
        why, did = Why(scorer, self.who(ask), ranker), _did(ask.known)
        return lambda place: tuple(
            reason for share in why.shares(place) if (reason := _reason(share, did))
        )

    def why(self, ask: Ask, item: str) -> tuple[Reason, ...]:
        """Why they would be shown this item; () for one that is not on the shelf."""
        place = self.shelf.place.get(item)
        return () if place is None else self._telling(ask, ask.ranker)(place)

    # Items beside items

    def kin(self, item: str) -> Floats:
        """Shape [N]: how much the catalogue says each has in common with one; 0 for nothing."""
        found: Floats = np.zeros(len(self.shelf), np.float32)
        at = self.shelf.place.get(item)
        if at is None:
            return found
        for name, weight in _traits(self.shelf.cards[at]):
            found[self._kin[name]] += weight
        return found

    def similar(self, item: str, count: int, now: float) -> list[tuple[str, float]]:
        """(item, likeness) of what goes with one, best first; [] for one that nobody knows."""
        if item not in self.shelf.place:
            return []
        every = self.kin(item) if self.scorer is None else self.scorer.near(item)
        # For nobody in particular: whoever asks may have what an item asks for.
        tiers = {card.needs_tier for card in self.shelf.cards}
        mask = self.shelf.open(now, Rules(tiers=tiers, gone=(item,), taken=self.shelf.place))
        return [
            (self.shelf.cards[at].id, float(every[at]))
            for at in best(every, mask & (every > 0), count, self._rank)
        ]


def _card(one: Thing) -> Card:
    text = " ".join((one.title, one.series, *one.tags, *one.authors, one.summary))
    return Card(
        id=one.id,
        series=one.series,
        authors=one.authors,
        tags=one.tags,
        requires=one.requires,
        available_from=one.available_from,
        available_until=one.available_until,
        needs_tier=one.needs_tier,
        price_cents=one.price_cents,
        published_at=one.published_at,
        words=narrow(text),
    )


def _traits(card: Card) -> list[tuple[str, float]]:
    """What it may have in common with others, and how much that says."""
    found = {f"tag {name}": 1.0 for name in card.tags}
    found |= {f"by {name}": 1.0 for name in card.authors}
    if card.series:
        found[f"series {card.series}"] = 2.0
    return list(found.items())


def _kin(cards: Sequence[Card]) -> dict[str, Ints]:
    """The places of what has each trait."""
    found: dict[str, list[int]] = {}
    for at, card in enumerate(cards):
        for name, _ in _traits(card):
            found.setdefault(name, []).append(at)
    return {name: np.array(places, np.int64) for name, places in found.items()}


def _same(cards: Sequence[Card], others: Sequence[Card]) -> bool:
    """Whether these are the very same ones."""
    return len(cards) == len(others) and all(
        one is other for one, other in zip(cards, others, strict=True)
    )


def narrow(text: str) -> str:
    """Letters as they are compared: full width, case."""
    return unicodedata.normalize("NFKC", text).casefold()


def dice(key: bytes, member: int) -> random.Random:
    """The same for the same message, so that it gets the same list again."""
    seed = hashlib.blake2b(key + b":%d" % member, digest_size=8).digest()
    return random.Random(int.from_bytes(seed))  # noqa: S311 - no secret


def _did(known: Known) -> dict[str, str]:
    """Item -> the strongest that the member did with it, as reasons name it."""
    found: dict[str, str] = {}
    for _, item, kind, _, _ in known.past:
        if kind == "complete" or item in known.holdings.finished:
            found[item] = "finished"
        elif kind in _BOUGHT:
            found.setdefault(item, "bought")
            found[item] = found[item] if found[item] == "finished" else "bought"
        else:
            found.setdefault(item, "viewed")
    return found


def _reason(share: Share, did: dict[str, str]) -> Reason | None:
    reason = Reason(share.kind, share.name, round(share.share, 4))
    if share.kind != "past":
        return reason
    return replace(reason, kind=did[share.name]) if share.name in did else None
