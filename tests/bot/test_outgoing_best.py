"""The best item for each member of a campaign: what fits them; where nobody can say, what is
popular, of what they may have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bot.chart import Lettering
from bot.config import Config, StoreSettings
from bot.links import Linker
from bot.outgoing import Outgoing
from bot.pushes import Pushes
from handlers.texts import Texts
from store import Store
from tests.scheduler.rec_world import NOW, catalogue, done, item, members, opened


class Desk:
    """Campaigns over a small shop. known: what the recommender says of whom, None where it is
    switched off; fails: it cannot."""

    def __init__(self, store: Store) -> None:
        self.known: dict[int, str] | None = {}
        self.fails = False
        self.items = catalogue()
        config = Config(store=StoreSettings(path=store.db.path))
        linker = Linker(store, public_url="", allowed_hosts=(), now=lambda: NOW)
        self.outgoing = Outgoing(
            config,
            store,
            linker,
            {},
            Texts.load(),
            Pushes(store, [], now=lambda: NOW, wake=lambda: None),
            Lettering(),
            now=lambda: NOW,
            items=lambda: {f"item:{one.id}": one for one in self.items},
            observe=lambda route, end: None,
            chosen=self.chosen,
        )

    async def chosen(self, member_ids: Collection[int]) -> Mapping[int, str] | None:
        if self.fails:
            raise RuntimeError("no memory left")
        if self.known is None:
            return None
        return {number: self.known[number] for number in member_ids if number in self.known}

    async def best(self, *member_ids: int) -> Mapping[int, str]:
        return await self.outgoing._best(member_ids)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await opened(tmp_path / "z.db")
    await store.catalogue.put(catalogue(), NOW)
    await members(store, 2)
    await store.events.add([done(2, item(0, 0), NOW - 60, "purchase")], NOW)
    yield store
    await store.close()


async def test_who_is_known_gets_what_fits_them_who_has_nothing_left_gets_nothing(
    store: Store,
) -> None:
    desk = Desk(store)
    desk.known = {1: item(2, 3)}
    assert await desk.best(1, 2) == {1: item(2, 3)}


@pytest.mark.parametrize("fails", [True, False])
async def test_without_a_recommender_there_is_what_is_popular(store: Store, fails: bool) -> None:
    desk = Desk(store)
    desk.fails, desk.known = fails, None
    assert await desk.best(1, 2, 999_999) == {1: item(0, 0), 2: item(0, 1)}


async def test_what_is_popular_is_never_what_they_may_not_have_or_do_not_want(
    store: Store,
) -> None:
    """One after the other: refused, finished, given back, not yet, no more, for others, without
    what comes before it, without an address; then what is fine for each."""
    desk = Desk(store)
    desk.fails = True
    refused, finished, returned, soon, gone, tier, after, nowhere, fine, *_ = desk.items
    await store.recommendations.dislike(1, refused.id, NOW)
    await store.events.add(
        [
            done(1, finished.id, NOW - 90, "enroll"),
            done(1, finished.id, NOW - 80, "complete"),
            replace(done(1, returned.id, NOW - 70, "purchase"), order_id="o-1"),
            replace(done(1, returned.id, NOW - 60, "refund"), order_id="o-1"),
        ],
        NOW,
    )
    desk.items[3:8] = [
        replace(soon, available_from=NOW + 1),
        replace(gone, available_until=NOW),
        replace(tier, needs_tier="vip"),
        replace(after, requires=(fine.id,)),
        replace(nowhere, url=""),
    ]
    assert await desk.best(1) == {1: fine.id}
    # What comes before may be gone from the shop: then nobody can be asked for it.
    desk.items[6] = replace(after, requires=("long-gone",))
    assert await desk.best(1) == {1: after.id}
    for one in desk.items:
        await store.recommendations.dislike(1, one.id, NOW)
    assert await desk.best(1) == {}
