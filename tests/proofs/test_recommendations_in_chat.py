"""推荐 from beginning to end: the whole bot, the fake WeChat, the demo's past and catalogue.

A model is trained on what the demo's people did; two of them ask over the wire, and the shop tells
over its own API what one of them bought.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

import aiohttp
import pytest

from bot.keys import new_key
from bot.rec_settings import RecommendationSettings
from bot.transfer import read_items
from sandbox import history
from sandbox.__main__ import ITEMS, SEED
from scheduler import recommending
from scheduler.recommending import Rules
from store.history import fill
from tests.proofs.world import TEXTS, World, opened

T = TypeVar("T")
Args = TypeVarTuple("Args")

PLACES = ("qun:writing", "qun:reading")
# Chance has its own tests; here each list is what the model says.
SETTINGS = RecommendationSettings(holdout=0.0, explore=0.0, tune_s=0.0)


class Beside:
    """The other process as a thread: as far from the loop, and at once there."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return await asyncio.to_thread(run, *args)


class Told(NamedTuple):
    """A list as the member read it: ids of the items, and a reason for each."""

    items: tuple[str, ...]
    why: tuple[str, ...]


class Shop:
    """The bot with a trained model, the members' phones, and the shop's side of the API."""

    def __init__(self, world: World, people: dict[str, int]) -> None:
        self.world = world
        self.people = people
        self.titles: dict[str, str] = {}
        self.key = ""

    async def say(self, who: str, words: str) -> str:
        return (await self.world.fake.send_text(who, words)).text

    async def list_of(self, who: str, words: str = "推荐") -> Told:
        return self.read(await self.say(who, words))

    def read(self, said: str) -> Told:
        """What a numbered list names; nothing else has such lines."""
        found = re.findall(r"^\d\. (.+)（[^（]+，[^（]+）\n　(.+)$", said, re.MULTILINE)
        assert found, said
        return Told(tuple(self.titles[title] for title, _ in found), tuple(why for _, why in found))

    async def owned(self, who: str) -> set[str]:
        rows = await self.world.rows(
            "select distinct item_id from events where member_id = ? and kind = 'purchase'",
            self.people[who],
        )
        return {row[0] for row in rows}

    async def sell(self, who: str, item: str, cents: int) -> None:
        """The shop tells that this member bought something."""
        event = {
            "id": f"order-{who}-{item}",
            "kind": "purchase",
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "member": self.people[who],
            "item": item,
            "amount_cents": cents,
            "order": f"order-{who}-{item}",
        }
        url = f"http://127.0.0.1:{self.world.app.api_port}/api/v1/events"
        headers = {"Authorization": f"Bearer {self.key}"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, json=event, headers=headers) as answer,
        ):
            assert answer.status in (200, 201), await answer.text()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """The demo's catalogue and past, and a model trained on it."""
    async with opened(tmp_path, sections={"recommendations": SETTINGS}) as world:
        app, now = world.app, time.time()
        past = history.past(now, PLACES)
        await fill(app.store.db, past.rows)
        items = read_items(SEED / ITEMS)
        await app.store.catalogue.put(items, now)
        await app.reload()
        rules = Rules(least_members=30, least_items=5, least_events=200, tune_s=0.0)
        done = await recommending.train(app.store, Beside(), rules, now, force=True)
        assert done is not None
        assert (done.end, done.missing) == ("live", ()), done
        assert app.recommendations is not None
        await app.recommendations.changed()
        people = {history.openid(one.id): one.id for one in past.people}
        made = Shop(world, people)
        made.titles = {item.title: item.id for item in items}
        row, made.key = new_key("shop", ["events:write"], 600, now)
        await app.store.keys.add(row)
        yield made


def fond_of(rows: list[tuple[Any, ...]], *prefixes: str) -> list[int]:
    """Members who bought most things of these, the fondest first."""
    counts: dict[int, int] = {}
    for member, item in rows:
        counts[member] = counts.get(member, 0) + item.startswith(prefixes)
    return sorted(counts, key=lambda one: (-counts[one], one))


async def test_two_members_are_recommended_what_fits_each_and_told_why(shop: Shop) -> None:
    bought = await shop.world.rows(
        "select distinct member_id, item_id from events where kind = 'purchase'"
    )
    writer = history.openid(fond_of(bought, "write-")[0])
    reader = history.openid(fond_of(bought, "read-", "note-")[0])
    for one in (writer, reader):
        await shop.world.fake.follow(one)

    # Different histories, different lists, each with reasons; nothing that they have.
    first, other = await shop.list_of(writer), await shop.list_of(reader)
    assert first.items != other.items
    assert len(first.items) == len(other.items) == 3
    for who, told in ((writer, first), (reader, other)):
        assert not set(told.items) & await shop.owned(who)
        assert any(why.startswith("因为你") for why in told.why), told.why
    everything = f"{first} {other}"
    assert not any(name in everything for name in history.names())

    # Why, in words and with rough shares.
    why = await shop.say(writer, "为什么推荐 1")
    title = next(title for title, one in shop.titles.items() if one == first.items[0])
    assert why.splitlines()[0].removeprefix("推荐《").partition("》")[0] in title
    assert "（约占" in why or "几乎全是" in why
    assert TEXTS("recommend.why_tail") in why
    assert not any(name in why for name in history.names())

    # Other ones, and never again what is unwanted.
    second = await shop.list_of(writer, "换一批")
    assert not set(first.items) & set(second.items)
    unwanted = second.items[0]
    assert "不再给你推荐" in await shop.say(writer, "不感兴趣 1")
    for words in ("推荐", "换一批", "推荐 写作"):
        assert unwanted not in (await shop.list_of(writer, words)).items
    await shop.say(writer, "撤销")
    assert await shop.world.app.store.recommendations.disliked(shop.people[writer]) == {}

    # A purchase changes the next list: what was bought is gone from it.
    before = await shop.list_of(reader)
    wanted = before.items[0]
    item = await shop.world.app.store.catalogue.item(wanted)
    assert item is not None
    await shop.sell(reader, wanted, item.price_cents)
    after = await shop.list_of(reader)
    assert wanted not in after.items
    assert after.items != before.items

    # A number shows the item, and what was shown and looked at stands in the log.
    said = await shop.say(reader, "1")
    assert f"《{next(t for t, one in shop.titles.items() if one == after.items[0])}》" in said
    rows = await shop.world.rows(
        "select handler, item from interactions where member_id = ? order by id desc limit 1",
        shop.people[reader],
    )
    assert rows == [("recommend.item", f"item:{after.items[0]}")]

    # Somebody met a minute ago: something sensible, and no reason that cannot be true.
    new = "oNEW_member_met_a_minute_ago"
    assert "先看看《" in (await shop.world.fake.follow(new)).text
    told = await shop.list_of(new)
    assert len(told.items) == 3
    assert not any("学过" in why or "买过" in why for why in told.why)
