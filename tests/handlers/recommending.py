"""Somebody who ranks, in a few lines: what each likes is said, lists are really kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from handlers.recommending import Done, Offer, Pick, Reason, Status, Surface, Wish
from store import Store
from store.catalogue import Item
from store.rec_lists import NewList, Shown


class Tastes:
    """Recommends to each member what they like, in this order, with these reasons.

    liked: member -> picks; who is not in it gets the catalogue as what is popular. late_s: how
    long it takes; slow_s: how long until it is written down. asked: every wish, with its surface;
    taken_back: numbers of lists that were not shown.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.liked: dict[int, tuple[Pick, ...]] = {}
        self.late_s = 0.0
        self.slow_s = 0.0
        self.asked: list[tuple[Surface, Wish]] = []
        self.broken: Exception | None = None
        self.taken_back: list[int] = []

    async def recommend(
        self, member_id: int, key: bytes, surface: Surface, count: int, wish: Wish, now: float
    ) -> tuple[int, tuple[Pick, ...]]:
        return await self.shown(await self.offer(member_id, key, surface, count, wish, now))

    async def offer(
        self,
        member_id: int,
        key: bytes,
        surface: Surface,
        count: int,
        wish: Wish,
        now: float,
        *,
        hurry: bool = False,
    ) -> Offer:
        self.asked.append((surface, wish))
        if self.broken is not None:
            raise self.broken
        await asyncio.sleep(self.late_s)
        items = {one.id: one for one in await self.store.catalogue.items()}
        picks = self._picks(member_id, items)
        known = await self.store.recommendations.by_key(key)
        if known is None:
            unwanted = set(await self.store.recommendations.disliked(member_id))
            if wish.without:
                unwanted |= set(wish.without)
            elif wish.instead:
                unwanted |= set(await self.store.recommendations.recent(member_id, 0.0))
            ids = [
                one
                for one in picks
                if one not in unwanted
                and one != wish.near
                and (not wish.among or one in wish.among)
                and (wish.most_cents is None or items[one].price_cents <= wish.most_cents)
            ]
            if not ids:
                return Offer()
            shown = tuple(Shown(one, "ours") for one in ids[:count])
            new = NewList(key, member_id, now, surface, "ours", shown=shown)
            return Offer(tuple(picks[one] for one in ids[:count]), 0, new)
        return Offer(tuple(picks[one.item_id] for one in known.shown), known.id)

    async def shown(
        self, offer: Offer, items: Collection[str] | None = None
    ) -> tuple[int, tuple[Pick, ...]]:
        if offer.row is None:
            return offer.number, offer.picks
        await asyncio.sleep(self.slow_s)
        written = await self.store.recommendations.put(offer.row)
        assert written is not None
        return written.id, offer.picks

    async def take_back(self, number: int) -> None:
        await self.store.recommendations.take_back(number)
        self.taken_back.append(number)

    def _picks(self, member_id: int, items: Mapping[str, Item]) -> dict[str, Pick]:
        popular = [Pick(one, 0.1, (Reason("popular", "", 1.0),)) for one in items]
        picks = self.liked.get(member_id, tuple(popular))
        return {one.item: one for one in picks if one.item in items}

    async def why(self, member_id: int, item_id: str, now: float) -> tuple[Reason, ...]:
        return next((one.why for one in self.liked.get(member_id, ()) if one.item == item_id), ())

    async def similar(self, item_id: str, count: int) -> tuple[Pick, ...]:
        return ()

    def status(self) -> Status:
        nothing: dict[str, Any] = {}
        return Status(True, "", 0.0, 0.0, "", (), "", "", "", False, nothing)

    async def train(self) -> Done:
        return Done.NOTHING

    async def roll_back(self, by: str, now: float) -> tuple[Done, str]:
        return Done.NOTHING, ""

    async def resume(self, by: str, now: float) -> Done:
        return Done.NOTHING
