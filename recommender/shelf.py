"""What may be shown to whom: the catalogue as columns, asked all at once.

Masks only; nothing is ranked. An item stays out that the member has or refused, that asks for
another one first, that is not to be had now, that another membership is for, that is too dear.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Mask: TypeAlias = npt.NDArray[np.bool_]
Codes: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Card:
    """An item as the shelf needs it.

    features: names for the model; requires: ids to be taken before; available_until: None for
    ever; needs_tier: "" for everybody; words: all that can be searched, folded.
    """

    id: str
    features: tuple[str, ...] = ()
    series: str = ""
    authors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    available_from: float = 0.0
    available_until: float | None = None
    needs_tier: str = ""
    price_cents: int = 0
    published_at: float = 0.0
    words: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one member. tiers: those they have; gone: ids never to be shown to them;
    taken: what counts as done before something that requires it; most_cents: None for any
    price; words: all of them must be in an item's, folded; () for any."""

    tiers: Collection[str] = ()
    gone: Collection[str] = ()
    taken: Collection[str] = ()
    most_cents: int | None = None
    words: Sequence[str] = ()


class Shelf:
    """N items in the order in which ties are settled."""

    def __init__(self, cards: Sequence[Card]) -> None:
        self.cards = tuple(cards)
        self.place = {card.id: at for at, card in enumerate(self.cards)}
        self._from = np.array([card.available_from for card in cards], np.float64)
        self._until = np.array(
            [np.inf if card.available_until is None else card.available_until for card in cards],
            np.float64,
        )
        self._price = np.array([card.price_cents for card in cards], np.int64)
        self.published = np.array([card.published_at for card in cards], np.float64)
        self._tier, self._tiers = _codes([card.needs_tier for card in cards])
        # Only what the catalogue knows can be asked for: an id that is gone asks for nothing.
        self._needs = np.zeros(len(cards), np.int16)
        self._opens: dict[str, list[int]] = {}
        for at, card in enumerate(cards):
            for one in set(card.requires):
                if one in self.place and one != card.id:
                    self._needs[at] += 1
                    self._opens.setdefault(one, []).append(at)
        self.series, _ = _codes([card.series for card in cards])
        self.author, _ = _codes([card.authors[0] if card.authors else "" for card in cards])
        self.tag, _ = _codes([card.tags[0] if card.tags else "" for card in cards])

    def __len__(self) -> int:
        return len(self.cards)

    def open(self, now: float, rules: Rules) -> Mask:
        """Shape [N]: what may be shown to them now."""
        mask: Mask = (self._from <= now) & (now < self._until)
        if any(self._tiers):
            have = np.array([not name or name in rules.tiers for name in self._tiers])
            mask &= have[self._tier]
        if rules.most_cents is not None:
            mask &= self._price <= rules.most_cents
        for item in rules.gone:
            at = self.place.get(item)
            if at is not None:
                mask[at] = False
        if self._opens:
            left = self._needs.copy()
            for item in self._opens.keys() & set(rules.taken):
                left[self._opens[item]] -= 1
            mask &= left <= 0
        if rules.words:
            for place in np.flatnonzero(mask).tolist():
                text = self.cards[place].words
                mask[place] = all(word in text for word in rules.words)
        return mask

    def new(self, now: float, for_s: float) -> Mask:
        """Shape [N]: published not longer ago than that; without a date an item is not new."""
        found: Mask = (self.published > now - for_s) & (self.published <= now)
        return found & (self.published > 0)


def _codes(names: Sequence[str]) -> tuple[Codes, tuple[str, ...]]:
    """A number for each name, 0 for ""; and the names in the order of their numbers."""
    known: dict[str, int] = {"": 0}
    codes = np.array([known.setdefault(name, len(known)) for name in names], np.int32)
    return codes, tuple(known)
