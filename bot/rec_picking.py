"""What stands in a list: the part of `bot/recommending.py` that runs in a thread.

The catalogue and a model as arrays, and from what is known of one member the items for them. Loaded
only where it runs, for numpy is large; nothing here waits, asks the store, or is changed.
"""

from __future__ import annotations

import hashlib
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
_LATELY_S = DAY_S
"""`Wish.instead` leaves out what was shown since."""
_HALF_SHOWN_S = 7 * DAY_S
_POOL = 100
_DEEPER = 10
_BOUGHT = frozenset({"purchase", "enrol", "progress"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One question. ranker: who ranks; beside: another one for the same list; explore: the share
    of places left to chance; kept: what a night worked out; reach: tiers they have, "" too."""

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

    order: ids of what is popular, most wanted first; the rest follows, the newest first. cut:
    the words of a text, for items that the model has never seen.
    """

    def __init__(
        self,
        things: Iterable[Thing],
        order: Sequence[str],
        fitted: Fitted | None = None,
        name: str = "",
        cut: Cut | None = None,
    ) -> None:
        self.name = name
        self.fitted = fitted
        self._words = cut or (lambda text: ())
        rank = {item: at for at, item in enumerate(order)}
        live = sorted(
            (one for one in things if one.live),
            key=lambda one: (rank.get(one.id, len(rank)), -one.published_at, one.id),
        )
        self.shelf = Shelf([self._card(one) for one in live])
        # Evenly spaced, so that what was ignored sinks by places.
        self._popular: Floats = np.linspace(1.0, 0.0, len(live), dtype=np.float32)
        self.scorer = (
            None
            if fitted is None
            else Scorer(fitted, [(card.id, card.features) for card in self.shelf.cards])
        )

    def _card(self, one: Thing) -> Card:
        text = " ".join((one.title, one.series, *one.tags, *one.authors, one.summary))
        return Card(
            id=one.id,
            features=features(one, self._words),
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

    # Lists

    def picks(self, ask: Ask) -> list[Chosen]:
        """At most so many places; [] when nothing is left for them."""
        mask = self._open(ask)
        if not mask.any():
            return []
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
        found = []
        for one in placed:
            why = told(one.place)
            if one.explored:
                why = (Reason("explored"), *why)
            if new[one.place]:
                why = (*why, Reason("new"))
            item = self.shelf.cards[one.place].id
            found.append(Chosen(item, ask.ranker, one.score, one.propensity, one.explored, why))
        return found

    def _open(self, ask: Ask) -> Mask:
        known, wish = ask.known, ask.wish
        refunded = {item for _, item, kind, _, _ in known.past if kind == "refund"}
        holds = known.holdings.owned | known.holdings.finished
        rules = Rules(
            tiers=ask.reach,
            gone=holds | known.disliked | (refunded - known.holdings.owned),
            taken=holds,
            most_cents=wish.most_cents,
            words=() if wish.among else narrow(wish.topic).split(),
        )
        mask = self.shelf.open(ask.now, rules)
        if wish.among:
            mask &= self._these(wish.among)
        if wish.near:
            mask &= ~self._these((wish.near,))
            if self.scorer is None and (mask & (self.kin(wish.near) > 0)).any():
                mask &= self.kin(wish.near) > 0
        if wish.instead:
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
        """Places for the list, best first, their scores after what was ignored sank, all scores."""
        every = self._kept(ask, ranker, mask)
        if every is None:
            every = self._scores(ask, ranker)
        pool = best(every, mask, max(_POOL, _DEEPER * ask.count))
        pool = pool[every[pool] > -np.inf]
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
        lines = {
            self.shelf.place[item]: score
            for item, score, _ in batch.unpack(row.data)
            if item in self.shelf.place
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
        fitted = self.fitted
        if fitted is None or not ask.known.profiled:
            return Who(ask.member)
        found = values(
            Log.of(ask.known.past).on(fitted.items),
            float(fitted.data.get("half_life_s", 0.0)),
            float(fitted.data.get("half_rank", 0.0)),
        )
        items = tuple(fitted.items[at] for at in found.item)
        return Who(ask.member, ask.known.features, items, tuple(found.value.tolist()))

    def _drafted(self, ask: Ask, mask: Mask) -> list[Chosen]:
        """A list of two rankers at once; chance has no place in it but the draft's own."""
        rankers: tuple[Ranker, Ranker] = (ask.ranker, ask.beside or ask.ranker)
        orders, scores, told = [], [], []
        for ranker in rankers:
            pool, found, _ = self._pool(ask, ranker, mask)
            chosen = varied(pool, self.shelf, 2 * ask.count)
            items = [self.shelf.cards[pool[at]].id for at in chosen]
            orders.append(items)
            scores.append(dict(zip(items, found[chosen].tolist(), strict=True)))
            told.append(self._telling(ask, ranker))
        return [
            Chosen(
                *(one.item, rankers[one.team], scores[one.team][one.item], one.propensity, False),
                told[one.team](self.shelf.place[one.item]),
            )
            for one in draft(orders[0], orders[1], ask.count, dice(ask.key, ask.member))
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
        one = self.shelf.cards[at]
        mine = {*one.tags, *(f"by {name}" for name in one.authors)}
        for place, card in enumerate(self.shelf.cards):
            common = mine & {*card.tags, *(f"by {name}" for name in card.authors)}
            found[place] = len(common) + 2 * bool(one.series and card.series == one.series)
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
            for at in best(every, mask & (every > 0), count)
        ]


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
