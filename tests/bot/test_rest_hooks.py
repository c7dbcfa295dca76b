"""Webhooks over REST: made, tried, and their dead letters sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.rest_hooks import OPERATIONS
from tests.bot.api_world import ApiWorld, api

GOOD = {"url": "https://shop.example.com/hooks", "topics": ["link.clicked"]}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, OPERATIONS) as world:
        yield world


async def test_the_secret_is_told_once(world: ApiWorld) -> None:
    made = await world.post("/webhooks", json=GOOD)
    assert made.status == 201
    assert made.json["secret"].startswith("whsec_")
    (listed,) = (await world.get("/webhooks")).json["hooks"]
    assert "secret" not in listed
    assert (listed["id"], listed["topics"]) == (made.json["id"], ["link.clicked"])
    assert (await world.store.audit.newest(1))[0].action == "hook.new"


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"url": "http://shop.example.com/"}, "/url"),
        ({"url": "https://127.0.0.1/"}, "/url"),
        ({"url": "https://[::1]/"}, "/url"),
        ({"topics": []}, "/topics"),
        ({"topics": ["everything"]}, "/topics"),
    ],
)
async def test_a_webhook_that_cannot_be_is_refused_with_its_place(
    world: ApiWorld, wrong: dict[str, Any], pointer: str
) -> None:
    got = await world.post("/webhooks", json=GOOD | wrong)
    assert got.status == 422
    assert got.json["errors"][0]["pointer"] == pointer


async def test_a_private_network_may_be_allowed(tmp_path: Path) -> None:
    async with api(tmp_path, OPERATIONS, private_hooks=True) as world:
        local = GOOD | {"url": "http://127.0.0.1:9000/"}
        assert (await world.post("/webhooks", json=local)).status == 201


async def test_a_dead_letter_is_found_and_sent_again(world: ApiWorld) -> None:
    hook = (await world.post("/webhooks", json=GOOD)).json["id"]
    queued = (await world.post(f"/webhooks/{hook}/test")).json["delivery"]
    (telling,) = await world.store.hooks.claim(world.clock())
    assert (await world.post(f"/webhooks/deliveries/{queued}/replay")).status == 409
    await world.store.hooks.settle(telling, False, world.clock(), http_status=410, final=True)
    (dead,) = (await world.get("/webhooks/deliveries?status=dead")).json["deliveries"]
    assert (dead["id"], dead["topic"], dead["http_status"]) == (queued, "test", 410)
    assert (await world.post(f"/webhooks/deliveries/{queued}/replay")).status == 202
    assert (await world.get("/webhooks/deliveries?status=dead")).json["deliveries"] == []
    assert (await world.get("/webhooks/deliveries?status=lost")).status == 400


async def test_deliveries_come_in_pages(world: ApiWorld) -> None:
    hook = (await world.post("/webhooks", json=GOOD)).json["id"]
    for _ in range(3):
        await world.post(f"/webhooks/{hook}/test")
    first = (await world.get("/webhooks/deliveries?limit=2")).json
    rest = (await world.get(f"/webhooks/deliveries?limit=2&cursor={first['next']}")).json
    assert (len(first["deliveries"]), len(rest["deliveries"]), rest["next"]) == (2, 1, None)


async def test_a_deleted_one_is_gone(world: ApiWorld) -> None:
    hook = (await world.post("/webhooks", json=GOOD)).json["id"]
    assert (await world.delete(f"/webhooks/{hook}")).status == 204
    assert (await world.delete(f"/webhooks/{hook}")).status == 404
    assert (await world.post(f"/webhooks/{hook}/test")).status == 404


async def test_looking_and_making_are_different_rights(world: ApiWorld) -> None:
    assert (await world.post("/webhooks", json=GOOD, scopes=["webhooks:read"])).status == 403
    assert (await world.get("/webhooks", scopes=["webhooks:write"])).status == 403
