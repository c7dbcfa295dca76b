"""The wiring of insights: pictures by channel, what runs when, the week to operators' phones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from bot.chart import Lettering
from bot.client import WeChatError
from bot.config import Config, StoreSettings
from bot.insight_side import PICTURE, InsightSide
from handlers.report_means import Published, Started
from handlers.texts import Texts
from insights.report import Chart, Figure, Report, Series, name_of, to_json
from insights.report import known as report_of
from store import Store
from tests.blank import blank

NINE = datetime.fromisoformat("2026-11-23T09:00+08:00").timestamp()
"""A Monday."""
DAY_S = 86_400.0
TEXTS = Texts.load()
CHART = Chart(
    name="messages_by_day",
    kind="bars",
    unit="count",
    labels=("11-20", "11-21"),
    series=(Series(name="this_window", values=(30.0, 40.0)),),
)


class Uploads:
    """WeChat's side: takes pictures, or refuses."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.refuse = False

    async def picture(self, channel: str, png: bytes) -> str:
        if self.refuse:
            raise WeChatError("media/upload", "reach max api daily quota limit")
        self.taken.append((channel, png))
        return "MEDIA"


class World:
    """A side of insights with a store; told, pushed: what left; now: its clock."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        self.now = NINE
        self.uploads = Uploads()
        self.told: list[tuple[int | None, str]] = []
        self.pushed: list[tuple[int, str, str]] = []
        self.side = self.made(config)

    def made(self, config: Config) -> InsightSide:
        async def tell(member: int | None, words: str, key: bytes) -> bool:
            self.told.append((member, words))
            return True

        async def push(key: bytes, member: int, channel: str, media_id: str) -> bool:
            self.pushed.append((member, channel, media_id))
            return True

        return InsightSide(
            config,
            self.store,
            TEXTS,
            self.uploads,
            Lettering(),
            official=frozenset({"mp"}),
            pictures=frozenset({"robot"}),
            now=lambda: self.now,
            tell=tell,
            push=push,
        )

    async def run(self, name: str) -> object:
        (job,) = [one for one in self.side.jobs() if one.name == name]
        return await job.run()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    path = blank(tmp_path / "z.db")
    store = Store(path, durability="process", readers=1)
    await store.open()
    world = World(store, Config(store=StoreSettings(path=path)))
    yield world
    await world.side.close()
    await store.close()


async def test_a_picture_goes_where_the_channel_takes_it(world: World) -> None:
    assert await world.side.picture(CHART, "foot", "mp") == "MEDIA"
    ((channel, png),) = world.uploads.taken
    assert channel == "mp"
    assert png.startswith(b"\x89PNG")
    name = await world.side.picture(CHART, "foot", "robot")
    assert name.startswith(PICTURE)
    assert world.side.drawn(name) == png
    assert await world.side.picture(CHART, "foot", "robot") == name, "the same picture"
    assert await world.side.picture(CHART, "foot", "gateway") == ""
    assert world.side.drawn("chart:unknown") is None


async def test_a_report_whose_picture_wechat_refuses_is_told_without(world: World) -> None:
    world.uploads.refuse = True
    assert await world.side.picture(CHART, "foot", "mp") == ""


async def test_switched_off_nothing_runs_but_forgetting(world: World) -> None:
    config = Config(store=StoreSettings(path=world.store.db.path))
    off = world.made(replace(config, insights=replace(config.insights, enabled=False)))
    assert {job.name for job in off.jobs()} == {"purge_insights", "erase_backups"}
    assert off.refresh() is Started.OFF
    names = {job.name for job in world.side.jobs()}
    assert {"readings", "features", "today", "refresh_insights", "weekly", "alerts"} <= names
    quiet = world.made(replace(config, sentiment=replace(config.sentiment, alerts=False)))
    assert names - {job.name for job in quiet.jobs()} == {"mood_watch", "alerts"}
    await off.close()
    await quiet.close()


async def test_what_came_of_recommendations_is_worked_out_for_who_asks(world: World) -> None:
    assert await world.side.recommended(60.0)
    known = report_of(await world.store.interactions.finding(name_of("rec")))
    assert known is not None
    assert known.made_at == world.now
    # Who cannot wait reads what there is; it goes on, once.
    world.now += 3600.0
    assert not await world.side.recommended(0.0)
    assert not await world.side.recommended(0.0)
    assert await world.side.recommended(60.0)
    known = report_of(await world.store.interactions.finding(name_of("rec")))
    assert known is not None
    assert known.made_at == world.now
    # What cannot be worked out is said not to be, and nobody hears an error.
    await world.side.close()
    assert not await world.side.recommended(60.0)


async def test_working_out_anew_runs_once_at_a_time_and_ends_with_the_bot(world: World) -> None:
    assert world.side.refresh() is Started.STARTED
    assert world.side.refresh() is Started.RUNNING
    assert await world.run("today") == "", "today's figures wait for it"
    await world.side.close()


async def test_the_week_goes_to_operators_and_its_chart_after_it(world: World) -> None:
    boss = (await world.store.members.meet("mp", "boss", NINE)).id
    await world.store.members.set_role(boss, "operator")
    other = (await world.store.members.meet("gateway", "wei", NINE)).id
    await world.store.members.set_role(other, "owner")
    since = NINE - 7 * DAY_S
    messages = Figure(
        name="messages", value=1040, unit="count", people=200, since=since, until=NINE
    )
    report = Report(
        kind="week", made_at=NINE, since=since, until=NINE, figures=(messages,), charts=(CHART,)
    )
    await world.store.interactions.put_finding("report:week:", to_json(report), NINE)
    assert await world.run("weekly") == "the week told to 2"
    assert sorted(member or 0 for member, _ in world.told) == [boss, other]
    assert "消息 1,040" in world.told[0][1]
    world.now += 60
    await world.run("weekly")
    assert world.pushed == [(boss, "mp", "MEDIA")], "a gateway takes no pictures"


async def test_a_group_that_nobody_can_post_into_costs_nothing(world: World) -> None:
    await world.store.groups.meet("qun", "1", NINE, name="读书会", bound_by="test")
    group = world.store.groups.known("qun:1")
    assert group is not None
    assert await world.side.publish(group, "member:1") == Published("cannot")
    assert await world.store.noise_spent.entries(0.0) == []
