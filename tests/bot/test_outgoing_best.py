"""The best item for each member of a campaign: what fits them, else what is popular."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
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
    """Campaigns over a small shop. known: what the recommender says of whom; fails: it cannot."""

    def __init__(self, store: Store) -> None:
        self.known: dict[int, str] = {}
        self.fails = False
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
            items=lambda: {f"item:{one.id}": one for one in catalogue()},
            observe=lambda route, end: None,
            chosen=self.chosen,
        )

    async def chosen(self, member_ids: Collection[int]) -> Mapping[int, str]:
        if self.fails:
            raise RuntimeError("no memory left")
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


async def test_who_is_known_gets_what_fits_them_the_others_what_is_popular(store: Store) -> None:
    desk = Desk(store)
    desk.known = {1: item(2, 3)}
    assert await desk.best(1, 2) == {1: item(2, 3), 2: item(0, 1)}


async def test_a_recommender_that_fails_leaves_what_is_popular(store: Store) -> None:
    desk = Desk(store)
    desk.fails = True
    assert await desk.best(1, 2) == {1: item(0, 0), 2: item(0, 1)}
