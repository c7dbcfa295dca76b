"""A better model goes live under load: no restart, no missed deadline, no answer lost."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from bot.rec_settings import RecommendationSettings
from recommender import artefact
from scheduler.recommending import file_of
from store import Store
from store.rec_models import Model
from tests.proofs.world import OPERATOR, World, opened, until
from tests.scheduler.rec_world import FIRST, NOW, SECOND, trained_shop

MEMBERS = 24
LEAST = 30
"""Answers before the swap, and after it."""
SETTINGS = RecommendationSettings(holdout=0.0, explore=0.0, tune_s=0.0)


def shop_in(folder: Path) -> None:
    """The shop whose first model is live, where the bot looks for its database."""
    shutil.copytree(trained_shop(), folder, dirs_exist_ok=True)
    (folder / "z.db").rename(folder / "zhiqun.db")


@asynccontextmanager
async def opened_store(path: Path) -> AsyncIterator[Store]:
    store = Store(path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def another(store: Store) -> Model:
    """A second model is ready, as a training leaves it: a file, and a candidate."""
    live = await store.rec_models.live()
    assert live is not None
    await asyncio.to_thread(
        shutil.copy, file_of(store.db.path, FIRST), file_of(store.db.path, SECOND)
    )
    return await store.rec_models.register(
        SECOND, NOW + 60, live.since, NOW, live.checksum, live.metrics
    )


class Crowd:
    """Members who ask for recommendations, one after the other, until it is enough."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.said: list[str] = []
        self.going = True
        self.missed: list[str] = []

    async def member(self, number: int) -> None:
        while self.going:
            # Who the training knows, and who it has never seen.
            who = f"o_{number}" if number % 3 else f"oNEW_{number}"
            delivery = await self.world.fake.send_text(who, "推荐")
            if delivery.outcome != "replied":
                self.missed.append(delivery.outcome)
            self.said.append(delivery.text)

    async def more(self, count: int) -> None:
        """Wait for so many more answers."""
        have = len(self.said)
        await until(lambda: len(self.said) >= have + count, f"{count} answers")


async def spoilt(folder: Path) -> None:
    """The shop's live model, as if it had learned from other members: rows and columns mixed."""
    file = file_of(folder / "zhiqun.db", FIRST)
    rng = np.random.default_rng(1)
    fitted = artefact.load(file)
    items = rng.permutation(len(fitted.items))
    worse = replace(
        fitted,
        item_vectors=fitted.item_vectors[items],
        popular=-fitted.popular,
        sequel=fitted.sequel[:, items].tocsr(),
        alike=fitted.alike[:, items].tocsr(),
        content=fitted.content[:, items].tocsr(),
    )
    was = hashlib.sha256(file.read_bytes()).hexdigest()
    checksum = artefact.save(worse, file)
    async with opened_store(folder / "zhiqun.db") as store:
        live = await store.rec_models.live()
        assert live is not None
        assert await store.rec_models.rewritten(live.id, was, checksum)


async def models_shown(world: World) -> list[str]:
    rows = await world.rows("select distinct model from rec_lists where ranker = 'ours'")
    return sorted(row[0] for row in rows)


async def test_a_better_model_goes_live_without_a_restart_or_a_late_answer(
    tmp_path: Path,
) -> None:
    shop_in(tmp_path)
    sections = {"recommendations": SETTINGS}
    async with opened(tmp_path, now=lambda: NOW, sections=sections) as world:
        side = world.app.recommendations
        assert side is not None
        await until(lambda: side.service.status().model == FIRST, "the first model to be loaded")
        crowd = Crowd(world)
        asking = [asyncio.create_task(crowd.member(number)) for number in range(1, MEMBERS + 1)]
        await crowd.more(LEAST)
        model = await another(world.app.store)
        await world.app.store.rec_models.go_live(model.id, NOW + 60)
        swapping = asyncio.create_task(side.changed())
        await crowd.more(LEAST)
        await swapping
        await crowd.more(LEAST)
        crowd.going = False
        await asyncio.gather(*asking)
        assert crowd.missed == []
        assert all("课" in words for words in crowd.said), "each got a list of courses"
        assert side.service.status().model == SECOND
        assert await models_shown(world) == [FIRST, SECOND]
        assert "zhiqun_deadline_misses_total{" not in world.app.metrics.render()[0].decode()


async def test_a_training_beside_the_answers_replaces_a_worse_model(tmp_path: Path) -> None:
    shop_in(tmp_path)
    await spoilt(tmp_path)
    sections = {"recommendations": SETTINGS}
    async with opened(tmp_path, now=lambda: NOW + 3600.0, sections=sections) as world:
        side = world.app.recommendations
        assert side is not None
        await until(lambda: side.service.status().model == FIRST, "the first model to be loaded")
        crowd = Crowd(world)
        asking = [asyncio.create_task(crowd.member(number)) for number in range(1, MEMBERS + 1)]
        await crowd.more(LEAST)
        ended = await asyncio.wait_for(side.trained(force=True), 120.0)
        await crowd.more(LEAST)
        crowd.going = False
        await asyncio.gather(*asking)
        assert ended is not None
        assert (ended.end, ended.why) == ("live", "better")
        assert crowd.missed == []
        assert side.service.status().model == ended.name != FIRST
        assert await models_shown(world) == [FIRST, ended.name]
        assert "zhiqun_deadline_misses_total{" not in world.app.metrics.render()[0].decode()


async def test_one_command_in_the_chat_takes_it_back(tmp_path: Path) -> None:
    shop_in(tmp_path)
    sections = {"recommendations": SETTINGS}
    async with opened(tmp_path, now=lambda: NOW, sections=sections) as world:
        side = world.app.recommendations
        assert side is not None
        model = await another(world.app.store)
        await world.app.store.rec_models.go_live(model.id, NOW + 60)
        await side.changed()
        assert side.service.status().model == SECOND
        asked = (await world.fake.send_text(OPERATOR, "/rec rollback")).text
        if side.service.status().model == SECOND:
            said = asked[asked.index("确认") :].split("」")[0]
            await world.fake.send_text(OPERATOR, said)
        assert side.service.status().model == FIRST
        live = await world.app.store.rec_models.live()
        assert live is not None
        assert live.name == FIRST


async def test_a_broken_model_changes_nothing_for_who_asks(tmp_path: Path) -> None:
    shop_in(tmp_path)
    sections = {"recommendations": SETTINGS}
    async with opened(tmp_path, now=lambda: NOW, sections=sections) as world:
        side = world.app.recommendations
        assert side is not None
        await until(lambda: side.service.status().model == FIRST, "the first model to be loaded")
        model = await another(world.app.store)
        file = file_of(world.app.store.db.path, SECOND)
        whole = file.read_bytes()
        for broken in (whole[:100], whole[:-40], b"", b"PK" + whole[2:60] + b"x" + whole[61:]):
            file.write_bytes(broken)
            await world.app.store.rec_models.go_live(model.id, NOW + 60)
            await side.changed()
            assert side.service.status().model == FIRST
        assert "课" in (await world.fake.send_text("o_1", "推荐")).text
