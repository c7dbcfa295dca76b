"""The wiring of recommendations: what runs when, what owners hear, letters and campaigns."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bot.config import Config, StoreSettings
from bot.crunch import Crunch
from bot.links import Linker
from bot.pushes import Pushes
from bot.rec_settings import RecommendationSettings
from bot.rec_side import RecSide
from handlers.recommending import Done, Wish
from handlers.texts import Texts
from handlers.topics import LETTER
from scheduler import rec_watch
from scheduler.recommending import LEASE, Made, file_of, folder_of, unfinished
from store import Store
from tests.proofs.world import until
from tests.scheduler.rec_world import (
    DAY_S,
    FIRST,
    NOW,
    SECOND,
    Decided,
    Here,
    catalogue,
    opened,
    shop,
    trained_shop,
)

TEXTS = Texts.load()
FRIDAY = datetime.fromisoformat("2026-11-27T19:30+08:00").timestamp()
NIGHT = datetime.fromisoformat("2026-11-22T04:10+08:00").timestamp()
MORNING = datetime.fromisoformat("2026-11-22T08:00+08:00").timestamp()
SETTINGS = RecommendationSettings(holdout=0.0, explore=0.0, tune_s=0.0)


async def nothing_first() -> None:
    """The insights of the night are there already."""


class World:
    """A side of recommendations over a shop. told: what owners heard; ended: how trainings did."""

    def __init__(self, store: Store, crunch: Any) -> None:
        self.store = store
        self.crunch = crunch
        self.now = NOW + DAY_S
        self.told: list[str] = []
        self.ended: list[str] = []
        self.deaf = False
        self.items = {f"item:{one.id}": one for one in catalogue()}
        self.side = self.made()

    def made(
        self, settings: RecommendationSettings = SETTINGS, after: Any = nothing_first
    ) -> RecSide:
        async def tell(member: int | None, words: str, key: bytes) -> bool:
            assert member is None
            if not self.deaf:
                self.told.append(words)
            return not self.deaf

        config = replace(
            Config(store=StoreSettings(path=self.store.db.path)), recommendations=settings
        )
        items = self.items
        return RecSide(
            config,
            self.store,
            TEXTS,
            self.crunch,
            Linker(self.store, public_url="", allowed_hosts=(), now=lambda: self.now),
            items=lambda: items,
            now=lambda: self.now,
            tell=tell,
            pushes=Pushes(self.store, ["mp"], now=lambda: self.now, wake=lambda: None),
            trained=self.ended.append,
            after=after,
        )

    async def run(self, name: str) -> str:
        (job,) = [one for one in self.side.jobs() if one.name == name]
        return await job.run()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The shop with a live model, and a bot that has taken it over."""
    shutil.copytree(trained_shop(), tmp_path / "shop")
    store = await opened(tmp_path / "shop" / "z.db")
    world = World(store, Decided(Made("live", "better")))
    await world.side.changed()
    yield world
    await world.side.close()
    await store.close()


async def test_the_nights_training_is_served_at_once_and_tells_nobody(world: World) -> None:
    assert world.side.service.status().model == FIRST
    await world.store.events.add([], NOW)
    assert await world.run("recommendations") == f"{SECOND} live"
    assert world.side.service.status().model == SECOND
    assert world.side.age_s == 0.0
    assert world.ended == ["live"]
    assert world.told == []
    kept = await world.store.recommendations.kept(1)
    assert kept is not None
    assert kept.model == SECOND


async def test_it_waits_for_the_insights_of_the_night(world: World) -> None:
    seen: list[list[str]] = []

    async def insights() -> None:
        await asyncio.sleep(0)
        seen.append(list(world.crunch.ran))

    world.side = world.made(after=insights)
    await world.run("recommendations")
    assert seen == [[]], "nothing ran before they were there"
    assert world.crunch.ran[:2] == ["trained", "listed"]


async def test_who_asks_for_a_training_hears_how_it_ended(world: World) -> None:
    assert await world.side.service.train() is Done.STARTED
    assert world.side.service.status().training
    assert await world.side.service.train() is Done.RUNNING
    while world.side.running:
        await asyncio.sleep(0.01)
    assert world.told == [TEXTS("rec_jobs.live", name=SECOND)]


async def test_a_refusal_at_night_is_told_in_the_morning_and_once(world: World) -> None:
    world.crunch.made = Made("refused", "worse_than_popular")
    world.now = NIGHT
    await world.run("recommendations")
    assert world.told == []
    world.now = MORNING
    world.deaf = True
    await world.run("recommendations_go_on")
    world.deaf = False
    await world.run("recommendations_go_on")
    await world.run("recommendations_go_on")
    (words,) = world.told
    assert TEXTS("rec_jobs.why_worse_than_popular") in words
    world.now = NIGHT + DAY_S
    await world.run("recommendations")
    world.now = MORNING + DAY_S
    await world.run("recommendations_go_on")
    assert len(world.told) == 1, "the same again is no news"
    assert world.side.service.status().last_status == "refused"


@pytest.mark.parametrize(
    ("made", "key"),
    [
        (Made("refused", "worse_than_running"), "rec_jobs.why_worse_than_running"),
        (Made("refused", "worse_than_simple"), "rec_jobs.why_worse_than_simple"),
        (Made("refused", "too_few"), "rec_jobs.why_too_few"),
        (Made("refused", "broken"), "rec_jobs.why_broken"),
        (Made("refused", "else"), ""),
        (Made("nothing"), "rec_jobs.nothing"),
        (Made("failed", "MemoryError"), "rec_jobs.failed_memory"),
        (Made("failed", "OSError"), "rec_jobs.failed_disk"),
        (Made("failed", "cut_off"), "rec_jobs.cut_off"),
        (Made("failed", "KeyError"), ""),
    ],
)
async def test_each_end_has_its_words(world: World, made: Made, key: str) -> None:
    world.crunch.made = made
    await world.side.trained()
    (words,) = world.told
    assert (TEXTS(key) if key else made.why) in words


async def test_too_little_data_is_told_with_what_is_missing(tmp_path: Path) -> None:
    store = await opened(tmp_path / "z.db")
    await shop(store, people=6)
    world = World(store, Here())
    world.now = MORNING
    await world.run("recommendations")
    (words,) = world.told
    assert TEXTS("rec_jobs.missing_members", have=6, need=30) in words
    status = world.side.service.status()
    assert status.missing == (("members", 6, 30), ("events", 48, 200))
    assert status.model == ""
    assert world.side.age_s is None
    number, picks = await world.side.service.recommend(1, b"k" * 16, "chat", 3, Wish(), world.now)
    assert number, "and yet something is recommended: what is popular"
    assert len(picks) == 3
    await world.side.close()
    await store.close()


async def test_one_process_trains_at_a_time(world: World) -> None:
    hold = await world.store.leases.take(LEASE, "the terminal", world.now, 60.0)
    assert hold is not None
    assert await world.side.trained() is None
    await world.store.leases.release(hold, world.now)
    done = await world.side.trained()
    assert done is not None
    assert done.end == "live"


async def test_who_asks_while_another_process_trains_is_told_so(world: World) -> None:
    hold = await world.store.leases.take(LEASE, "the terminal", world.now, 60.0)
    assert hold is not None
    assert await world.side.train() is Done.RUNNING
    assert not world.side.running


@pytest.mark.parametrize("end", ["nothing", "refused", "failed"])
async def test_lists_are_made_anew_every_night_however_the_training_ends(
    world: World, end: Any
) -> None:
    world.crunch.made = Made("live", "better")
    await world.run("recommendations")
    world.now += DAY_S
    await world.store.catalogue.put([replace(catalogue()[0], id="fresh", title="新课")], world.now)
    world.crunch.made = Made(end, "")
    await world.run("recommendations")
    kept = await world.store.recommendations.kept(1)
    assert kept is not None
    assert (kept.model, kept.made_at) == (SECOND, world.now)
    assert "fresh" in kept.data


async def test_the_lists_of_a_broken_file_are_not_tried_every_minute(world: World) -> None:
    file = file_of(world.store.db.path, FIRST)
    good = file.read_bytes()
    file.write_bytes(good[:500])
    world.crunch.made = Made("nothing")
    assert "broken" in await world.run("recommendations_go_on")
    assert await world.run("recommendations_go_on") == ""
    assert await world.run("recommendations_go_on") == ""
    assert world.crunch.ran == ["listed"]
    file.write_bytes(good)
    await world.run("recommendations")
    kept = await world.store.recommendations.kept(1)
    assert kept is not None
    assert kept.made_at == world.now, "the next night tries again"


async def test_a_training_that_was_cut_off_is_gone_on_with_within_a_minute(world: World) -> None:
    plan = {"name": SECOND, "at": world.now - 300, "tries": 1, "force": True}
    await world.store.meta.put("recommendations.plan", json.dumps(plan))
    assert await world.run("recommendations_go_on") == f"{SECOND} live"
    assert await world.run("recommendations_go_on") == ""


@pytest.mark.nightly
async def test_a_worker_that_is_killed_in_the_middle_goes_on_at_its_checkpoint(
    tmp_path: Path,
) -> None:
    """The real process, killed the hard way while it learns."""
    store = await opened(tmp_path / "z.db")
    await shop(store, people=400)
    settings = {"shape": {"dims": 32, "epochs": 400}}
    await store.meta.put("recommendations.trained", json.dumps({"settings": settings}))
    crunch = Crunch()
    world = World(store, crunch)
    world.now = NOW
    asked = asyncio.create_task(world.run("recommendations"))
    folder = folder_of(store.db.path)
    await until(lambda: list(folder.glob("*.part*")), "a checkpoint", 60.0)
    for process in multiprocessing.active_children():
        process.kill()
    assert await asked == ""
    assert await unfinished(store)
    assert await store.rec_models.live() is None
    left = {file.name for file in folder.iterdir()}
    assert left, "what was learned so far is there"
    assert await world.run("recommendations_go_on") == f"{FIRST} live"
    assert [file.name for file in folder.iterdir()] == [f"{FIRST}.npz"]
    await world.side.close()
    await crunch.close()
    await store.close()


@pytest.mark.parametrize("how", ["gone", "cut", "other"])
async def test_a_broken_model_never_serves_and_the_owners_hear_what_to_do(
    world: World, how: str
) -> None:
    live = await world.store.rec_models.live()
    assert live is not None
    file = file_of(world.store.db.path, SECOND)
    good = file_of(world.store.db.path, FIRST).read_bytes()
    if how != "gone":
        middle = len(good) // 2
        other = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
        file.write_bytes(good[:middle] if how == "cut" else other)
    model = await world.store.rec_models.register(
        SECOND, world.now, 0.0, NOW, live.checksum, live.metrics
    )
    await world.store.rec_models.go_live(model.id, world.now)
    await world.side.changed()
    await world.side.changed()
    assert world.side.service.status().model == FIRST
    _, picks = await world.side.service.recommend(1, b"k" * 16, "chat", 3, Wish(), world.now)
    assert len(picks) == 3
    (words,) = world.told
    assert "/rec rollback" in words
    assert TEXTS(f"rec_jobs.broken_{how}") in words, "in the owners' language"
    done, name = await world.side.service.roll_back("member:1", world.now)
    assert (done, name) == (Done.DONE, FIRST)


@pytest.mark.parametrize("why", ["not_worse", "too_few"])
async def test_a_model_that_is_only_no_worse_does_not_end_the_fall_back(
    world: World, why: str
) -> None:
    """It has learned the same of the same: it would be back, and fall back, every night."""
    data = {"why": "热门更好", "at": world.now}
    await world.store.interactions.put_finding(rec_watch.FALLBACK, json.dumps(data), world.now)
    world.crunch.made = Made("live", why)
    await world.side.trained()
    assert world.side.service.status().fallback == "热门更好"
    assert world.side.service.status().model == SECOND
    assert world.told == [TEXTS("rec_jobs.live_in_vain", name=SECOND)]


async def test_a_better_model_ends_the_fall_back(world: World) -> None:
    data = {"why": "热门更好", "at": world.now}
    await world.store.interactions.put_finding(rec_watch.FALLBACK, json.dumps(data), world.now)
    await world.side.changed()
    assert world.side.service.status().fallback == "热门更好"
    assert world.side.age_s is None
    assert await world.run("recommendations_watch") == "", "nothing more to fall back to"
    await world.run("recommendations")
    assert world.side.service.status().fallback == ""
    assert world.side.service.status().model == SECOND


async def test_subscribers_get_their_letter_with_reasons(world: World) -> None:
    await world.store.content.subscribe(1, LETTER, NOW)
    world.now = FRIDAY
    await world.store.db.write(
        lambda conn: conn.execute(
            "update identities set allowance = 5, allowance_until = ? where member_id = 1",
            (FRIDAY + DAY_S,),
        )
    )
    assert await world.run("recommendations_letter") == "1 letters sent"
    (send,) = await world.store.sends.claim(FRIDAY)
    words = json.loads(send.reply)["content"]
    assert words.startswith(TEXTS("recommend.letter_head"))
    assert words.count("https://shop.example/") == 3
    (shown,) = await world.store.recommendations.lists_of(1)
    assert (shown.surface, len(shown.shown)) == ("digest", 3)


async def test_a_campaign_gets_the_best_item_of_each(world: World) -> None:
    found = await world.side.best([1, 2, 3])
    assert found is not None
    assert [found[number][:2] for number in (1, 2, 3)] == ["i0", "i1", "i2"]
    assert await world.side.best([1, 2, 3]) == found, "the same all day"
    (shown,) = await world.store.recommendations.lists_of(1)
    assert (shown.surface, [one.item_id for one in shown.shown]) == ("campaign", [found[1]])
    assert await world.side.best([999_999]) == {}


async def test_a_campaign_takes_the_best_item_that_has_an_address(world: World) -> None:
    first = await world.side.service.offer(1, b"f" * 16, "campaign", 18, Wish(), world.now)
    order = [one.item for one in first.picks]
    # The first six have none, which is more than are looked at first.
    shut = [replace(one, url="") for one in catalogue() if one.id in order[:6]]
    world.items.update({f"item:{one.id}": one for one in shut})
    found = await world.side.best([1])
    assert found is not None
    assert found[1] in order[6:]
    (shown,) = await world.store.recommendations.lists_of(1)
    assert [one.item_id for one in shown.shown] == [found[1]], "only what is used was shown"
    world.items.clear()
    assert await world.side.best([2]) == {}
    assert await world.store.recommendations.lists_of(2) == [], "nothing used, nothing shown"


async def test_a_campaign_leaves_out_who_has_nothing_left(world: World) -> None:
    for one in catalogue():
        await world.store.recommendations.dislike(1, one.id, world.now)
    found = await world.side.best([1, 2])
    assert found is not None
    assert set(found) == {2}


async def test_switched_off_nothing_runs_or_is_offered(world: World) -> None:
    off = world.made(replace(SETTINGS, enabled=False))
    assert off.jobs() == []
    assert off.offered is None
    assert await off.train() is Done.OFF
    assert await off.best([1]) is None
    few = world.made(replace(SETTINGS, fall_back=False, digest_on="never"))
    assert {job.name for job in few.jobs()} == {"recommendations", "recommendations_go_on"}
    assert not few.suggesting.letter
