"""Recommendations over REST: what to show a member, why, and what goes with an item."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.rec_settings import RecommendationSettings
from bot.rest_recommendations import OPERATIONS
from store.catalogue import Item
from tests.bot.api_world import ApiWorld, api
from tests.bot.rec_world import RecWorld

READ = {"members:read", "items:read"}


class Late:
    """The service, made when the world's store is there."""

    service: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)


@pytest.fixture
async def worlds(tmp_path: Path) -> AsyncIterator[tuple[ApiWorld, RecWorld]]:
    late = Late()
    async with api(tmp_path, OPERATIONS, recommendations=late) as world:
        recs = RecWorld(world.store, tmp_path / "models", world.clock)
        late.service = recs.service
        await recs.stock()
        yield world, recs


async def test_a_list_says_what_why_and_by_whom(worlds: tuple[ApiWorld, RecWorld]) -> None:
    world, recs = worlds
    lin = await recs.member()
    await recs.did(lin, "view", "i-9")
    await recs.model()
    await recs.service.load()
    got = await world.call("GET", f"/members/{lin}/recommendations?count=4", scopes=READ)
    assert got.status == 200
    assert got.json["ranker"] == "ours"
    assert got.json["model"] == "m1"
    assert got.json["ref"] == f"rec:{got.json['list_id']}"
    assert [one["position"] for one in got.json["items"]] == [1, 2, 3, 4]
    told = [why for one in got.json["items"] for why in one["why"]]
    assert {"kind", "name", "share"} == set(told[0])
    kept = await world.store.recommendations.get(got.json["list_id"])
    assert kept is not None
    assert kept.surface == "api"
    assert [one.item_id for one in kept.shown] == [one["item_id"] for one in got.json["items"]]


async def test_a_topic_and_a_price_choose(worlds: tuple[ApiWorld, RecWorld]) -> None:
    world, recs = worlds
    lin = await recs.member()
    await recs.put(
        Item("py", "course", "Python 入门", price_cents=9900),
        Item("py2", "course", "Python 进阶", price_cents=19900),
    )
    path = f"/members/{lin}/recommendations?topic=python&most_cents=10000"
    got = await world.call("GET", path, scopes=READ)
    assert [one["item_id"] for one in got.json["items"]] == ["py"]
    none = await world.call("GET", f"/members/{lin}/recommendations?topic=xyz", scopes=READ)
    assert (none.status, none.json["list_id"], none.json["items"]) == (200, None, [])


@pytest.mark.parametrize(
    "query", ["count=0", "count=51", "count=x", "most_cents=-1", "topic=%00", "what=1"]
)
async def test_a_bad_question_is_refused(worlds: tuple[ApiWorld, RecWorld], query: str) -> None:
    world, recs = worlds
    lin = await recs.member()
    got = await world.call("GET", f"/members/{lin}/recommendations?{query}", scopes=READ)
    assert got.status == 400
    assert await world.store.recommendations.lists_of(lin) == []


async def test_nobody_and_nothing_are_not_found(worlds: tuple[ApiWorld, RecWorld]) -> None:
    world, _ = worlds
    got = await world.call("GET", "/members/99/recommendations", scopes=READ)
    assert got.status == 404
    assert (await world.call("GET", "/items/nowhere/similar", scopes=READ)).status == 404


async def test_what_goes_with_an_item(worlds: tuple[ApiWorld, RecWorld]) -> None:
    world, recs = worlds
    await recs.model()
    await recs.service.load()
    got = await world.call("GET", "/items/i-5/similar?count=3", scopes=READ)
    assert got.status == 200
    found = [one["item_id"] for one in got.json["items"]]
    assert len(found) == 3
    assert "i-5" not in found
    scores = [one["score"] for one in got.json["items"]]
    assert scores == sorted(scores, reverse=True)


async def test_each_needs_its_scope(worlds: tuple[ApiWorld, RecWorld]) -> None:
    world, recs = worlds
    lin = await recs.member()
    path = f"/members/{lin}/recommendations"
    assert (await world.call("GET", path, scopes={"items:read"})).status == 403
    assert (await world.call("GET", "/items/i-5/similar", scopes={"members:read"})).status == 403


async def test_switched_off_it_says_so(tmp_path: Path) -> None:
    async with api(tmp_path, OPERATIONS) as world:
        recs = RecWorld(world.store, tmp_path / "models", world.clock)
        await recs.stock(1)
        lin = await recs.member()
        for path in (f"/members/{lin}/recommendations", "/items/i-0/similar"):
            got = await world.call("GET", path, scopes=READ)
            assert (got.status, got.json["type"].rpartition(":")[2]) == (409, "switched-off")
    off = Late()
    async with api(tmp_path, OPERATIONS, recommendations=off) as world:
        recs = RecWorld(world.store, tmp_path / "models", world.clock)
        off.service = recs.serve(RecommendationSettings(enabled=False))
        got = await world.call("GET", f"/members/{lin}/recommendations", scopes=READ)
        assert got.status == 409
