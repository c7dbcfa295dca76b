"""A store with a catalogue, members and a model over them, and the service that answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.rec_settings import RecommendationSettings
from bot.recommending import Recommender
from handlers.recommending import Done, Pick, Surface, Wish
from recommender import artefact
from recommender.fitted import Fitted
from store import Store
from store.catalogue import Item
from store.events import NewEvent
from store.rec_models import Model
from tests.bot.wechat_world import Clock
from tests.recommender.arrays import fitted

DAY = 86_400.0
PLAIN = RecommendationSettings(holdout=0.0, explore=0.0)
"""Everybody sees what ranks best, nothing is left to chance."""


@dataclass
class Trainer:
    """Counts instead of training."""

    running: bool = False
    missing: tuple[tuple[str, int, int], ...] = (("members", 3, 30),)
    asked: int = 0

    async def train(self) -> Done:
        self.asked += 1
        return Done.STARTED


@dataclass
class RecWorld:
    """told: what the owners heard; shown: (surface, ranker) of each new list."""

    store: Store
    folder: Path
    clock: Clock = field(default_factory=Clock)
    trainer: Trainer = field(default_factory=Trainer)
    told: list[str] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list)
    service: Recommender = field(init=False)
    _keys: int = 0

    def __post_init__(self) -> None:
        self.serve(PLAIN)

    def serve(self, settings: RecommendationSettings, **options: Any) -> Recommender:
        """Another service over the same store."""
        self.service = Recommender(
            self.store,
            settings,
            self.folder,
            now=self.clock,
            tell=self.tell,
            trainer=self.trainer,
            observe=lambda surface, ranker: self.shown.append((surface, ranker)),
            **options,
        )
        return self.service

    async def tell(self, words: str) -> None:
        self.told.append(words)

    async def stock(self, count: int = 30, **columns: Any) -> None:
        """i-0, i-1 … in the catalogue, as the made-up model knows them."""
        items = [
            Item(f"i-{at}", "course", f"课程 {at}", published_at=1e9 - at) for at in range(count)
        ]
        await self.put(*(dataclasses.replace(item, **columns) for item in items))

    async def put(self, *items: Item) -> None:
        await self.store.catalogue.put(items, self.clock())

    async def member(self, name: str = "o_lin") -> int:
        return (await self.store.members.meet("mp", name, self.clock())).id

    async def did(self, member: int, kind: str, item: str, **columns: Any) -> None:
        self._keys += 1
        event = NewEvent(
            f"e{self._keys}", kind, self.clock(), member_id=member, item_id=item, **columns
        )
        await self.store.events.add([event], self.clock())

    def key(self) -> bytes:
        """Of another message."""
        self._keys += 1
        return self._keys.to_bytes(16)

    async def model(self, name: str = "m1", made: Fitted | None = None) -> Model:
        """Train, as it were: a file, a row, live; the service does not know of it yet."""
        checksum = artefact.save(made or fitted(), self.folder / f"{name}.npz")
        row = await self.store.rec_models.register(
            name, self.clock(), self.clock() - DAY, self.clock(), checksum, '{"ndcg10": 0.4}'
        )
        assert await self.store.rec_models.go_live(row.id, self.clock())
        return row

    async def picks(
        self,
        member: int,
        count: int = 3,
        wish: Wish | None = None,
        key: bytes = b"",
        surface: Surface = "chat",
    ) -> list[Pick]:
        _, picks = await self.service.recommend(
            member, key or self.key(), surface, count, wish or Wish(), self.clock()
        )
        return list(picks)

    async def items(self, member: int, count: int = 3, wish: Wish | None = None) -> list[str]:
        return [pick.item for pick in await self.picks(member, count, wish)]
