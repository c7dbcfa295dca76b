"""Webhooks over REST open no door that the key does not open itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.openapi import document
from bot.rest_all import ALL
from bot.rest_hooks import NEEDS
from store.hooks import TOPICS
from tests.bot.api_world import ApiWorld, api

URL = "https://shop.example.com/zhiqun"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path) as world:
        yield world


def test_each_topic_needs_a_scope_that_reads() -> None:
    assert set(NEEDS) == set(TOPICS)
    assert all(scope.endswith(":read") for scope in NEEDS.values())


@pytest.mark.parametrize("topic", TOPICS)
async def test_a_topic_needs_the_scope_that_reads_what_it_tells(
    world: ApiWorld, topic: str
) -> None:
    body = {"url": URL, "topics": [topic]}
    others = {"webhooks:write", "members:read", "events:read"} - {NEEDS[topic]}
    got = await world.post("/webhooks", json=body, scopes=others)
    assert (got.status, got.json["type"]) == (403, "urn:zhiqun:missing-scope")
    assert NEEDS[topic] in got.json["detail"]
    assert f'scope="{NEEDS[topic]}"' in got.headers["WWW-Authenticate"]
    assert await world.store.hooks.all() == []
    got = await world.post("/webhooks", json=body, scopes={"webhooks:write", NEEDS[topic]})
    assert (got.status, got.json["topics"]) == (201, [topic])


async def test_one_topic_too_many_refuses_the_webhook(world: ApiWorld) -> None:
    body = {"url": URL, "topics": ["link.clicked", "member.followed"]}
    got = await world.post("/webhooks", json=body, scopes={"webhooks:write", "events:read"})
    assert (got.status, await world.store.hooks.all()) == (403, [])


async def test_an_unknown_topic_is_a_fault_whatever_the_scopes(world: ApiWorld) -> None:
    body = {"url": URL, "topics": ["member.married"]}
    got = await world.post("/webhooks", json=body, scopes={"webhooks:write"})
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, "/topics")


async def test_an_export_needs_the_scope_for_words_as_well(world: ApiWorld) -> None:
    path = f"/members/{await world.member()}/export"
    for scope, missing in (
        ("members:read", "interactions:read"),
        ("interactions:read", "members:read"),
    ):
        got = await world.get(path, scopes={scope})
        assert (got.status, got.json["type"]) == (403, "urn:zhiqun:missing-scope")
        assert missing in got.json["detail"]
    assert (await world.get(path, scopes={"members:read", "interactions:read"})).status == 200


def test_the_document_names_every_scope_that_is_needed() -> None:
    paths = document(ALL)["paths"]
    export = paths["/members/{id}/export"]["get"]
    assert export["x-scope"] == "members:read interactions:read"
    assert "`members:read` and `interactions:read`" in export["description"]
    said = paths["/webhooks"]["post"]["description"]
    assert all(scope in said for scope in NEEDS.values())
