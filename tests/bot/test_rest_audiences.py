"""Segments, whom a rule finds, and pictures over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from bot.keys import SCOPES
from bot.rest_audiences import OPERATIONS
from store.assets import MAX_BYTES
from store.campaigns import Variant
from store.segments import MOST
from tests.bot.api_world import ApiWorld, Got, api
from tests.bot.campaign_place import begun, fans, new, picture

READ, WRITE = {"campaigns:read"}, {"campaigns:write"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path) as world:
        yield world


async def saved(world: ApiWorld, name: str, rule: str) -> Got:
    return await world.put(f"/segments/{quote(name)}", json={"rule": rule}, scopes=WRITE)


async def counted(world: ApiWorld, rule: str) -> Got:
    return await world.post("/audiences/count", json={"rule": rule}, scopes=READ)


async def listed(world: ApiWorld) -> dict[str, str]:
    got = await world.get("/segments", scopes=READ)
    return {one["name"]: one["rule"] for one in got.json["segments"]}


def problem(got: Got, status: int, kind: str) -> Any:
    assert (got.status, got.json["type"]) == (status, f"urn:zhiqun:{kind}"), got.body
    return got.json


async def actions(world: ApiWorld) -> list[tuple[str, str, str]]:
    rows = await world.store.audit.newest(99)
    return [(row.action, row.target, row.detail) for row in reversed(rows)]


# Segments


async def test_a_segment_is_saved_changed_and_forgotten(world: ApiWorld) -> None:
    got = await saved(world, "老学员", "bought:py-101")
    assert (got.status, got.json["rule"]) == (201, "bought:py-101")
    assert got.json["created_by"].startswith("key:")
    again = await saved(world, "老学员", "bought:py-101")
    assert (again.status, again.json) == (200, got.json)
    changed = await saved(world, "老学员", "bought:py-101 or tag:VIP")
    assert (changed.status, changed.json["rule"]) == (200, "bought:py-101 or tag:VIP")
    assert await listed(world) == {"老学员": "bought:py-101 or tag:VIP"}
    assert (await world.delete(f"/segments/{quote('老学员')}", scopes=WRITE)).status == 204
    problem(await world.delete(f"/segments/{quote('老学员')}"), 404, "not-found")
    assert await actions(world) == [
        ("segment.save", "segment:老学员", "bought:py-101"),
        ("segment.save", "segment:老学员", "bought:py-101 -> bought:py-101 or tag:VIP"),
        ("segment.remove", "segment:老学员", "bought:py-101 or tag:VIP"),
    ]


async def test_a_name_is_one_however_it_is_spelt(world: ApiWorld) -> None:
    assert (await saved(world, "Old  Friends", "tag:VIP")).json["name"] == "old friends"
    assert (await saved(world, "ｏｌｄ friends", "tag:VIP")).status == 200
    assert list(await listed(world)) == ["old friends"]


async def test_the_segments_of_every_store_are_told_and_stay(world: ApiWorld) -> None:
    built_in = (await world.get("/segments", scopes=READ)).json["built_in"]
    assert built_in["about to leave"] == "active 60d and quiet 21d"
    problem(await saved(world, "Active", "tag:VIP"), 409, "built-in")
    problem(await world.delete("/segments/about%20to%20leave"), 409, "built-in")


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        ("tag:VIP and and", 13),
        ("(tag:VIP", 1),
        ("everyone", 1),
        ("segment:nowhere", 1),
        ("segment:mine", 1),
        ("level>=x", 8),
    ],
)
async def test_a_rule_nobody_can_follow_is_refused_with_its_column(
    world: ApiWorld, rule: str, column: int
) -> None:
    (error,) = problem(await saved(world, "mine", rule), 422, "invalid")["errors"]
    assert error["pointer"] == "/rule"
    assert error["detail"].startswith(f"column {column}: ")
    assert await listed(world) == {}


async def test_names_that_no_rule_could_say_are_none(world: ApiWorld) -> None:
    for name in ("a" * 41, "a\tb", 'a"b', "a\\b"):
        assert (await saved(world, name, "tag:VIP")).status == 404, name
    problem(await saved(world, "a\u200bb", "tag:VIP"), 422, "invalid")


async def test_what_is_in_use_stays_and_its_users_are_named(world: ApiWorld) -> None:
    await saved(world, "one", "tag:VIP")
    await saved(world, "two", "segment:one and active 30d")
    campaign = await world.store.campaigns.create(new(audience="segment:one"), 1.7e9, "cli")
    told = problem(await world.delete("/segments/one", scopes=WRITE), 409, "segment-in-use")
    assert [one["detail"] for one in told["errors"]] == ["segment two", f"campaign c{campaign.id}"]
    assert list(await listed(world)) == ["one", "two"]


async def test_there_is_a_limit_of_segments(world: ApiWorld) -> None:
    await world.store.db.write(
        lambda conn: [
            conn.execute(
                "insert into segments (name, rule, created_at, created_by, updated_at) "
                "values (?, 'tag:VIP', 1, 'cli', 1)",
                (f"s{number}",),
            ).rowcount
            for number in range(MOST)
        ]
    )
    problem(await saved(world, "more", "tag:VIP"), 409, "too-many-segments")
    assert (await saved(world, "s0", "tag:new")).status == 200


# Audiences


async def test_a_rule_is_counted_with_some_of_those_it_finds(world: ApiWorld) -> None:
    members = await fans(world.store, world.clock(), 8)
    for member in members[:6]:
        assert await world.store.tags.add(member, "VIP", world.clock(), limit=9)
    told = (await counted(world, "tag:VIP")).json
    assert (told["matched"], told["members"]) == (6, 8)
    assert len(told["sample"]) == 5
    assert set(told["sample"]) < set(members[:6])
    assert (await counted(world, "everyone")).json["matched"] == 8
    nobody = (await counted(world, "tag:nobody")).json
    assert nobody == {"matched": 0, "members": 8, "sample": []}


async def test_a_rule_that_cannot_be_counted_says_where(world: ApiWorld) -> None:
    (error,) = problem(await counted(world, "active 30d and tag"), 422, "invalid")["errors"]
    assert (error["pointer"], error["detail"][:7]) == ("/rule", "column ")
    for body in ({"rule": ""}, {"rule": "x" * 1001}, {"rule": 1}, {}, {"rule": "a", "now": 1}):
        got = await world.post("/audiences/count", json=body)
        problem(got, 422, "invalid")


# Pictures


async def test_a_picture_is_kept_and_replaced(world: ApiWorld) -> None:
    got = await world.put("/assets/cover-1", data=picture(), scopes=WRITE)
    assert (got.status, got.json["mime"]) == (201, "image/png")
    assert got.json["bytes"] == len(picture())
    again = await world.put("/assets/cover-1", data=picture(), scopes=WRITE)
    assert (again.status, again.json) == (200, got.json)
    other = await world.put("/assets/cover-1", data=picture("JPEG"), scopes=WRITE)
    assert (other.status, other.json["mime"]) == (200, "image/jpeg")
    assert (await world.put(f"/assets/{quote('封面')}", data=picture())).status == 201
    assert [one.name for one in await world.store.assets.all()] == ["cover-1", "封面"]
    assert [row[:2] for row in await actions(world)] == [
        ("asset.put", "asset:cover-1"),
        ("asset.put", "asset:cover-1"),
        ("asset.put", "asset:封面"),
    ]


async def test_a_picture_that_a_confirmed_campaign_shows_is_not_replaced(
    world: ApiWorld,
) -> None:
    assert (await world.put("/assets/cover-1", data=picture(), scopes=WRITE)).status == 201
    variant = Variant(content={"kind": "image", "asset": "cover-1"})
    now = world.clock()
    made = await world.store.campaigns.create(new(variants=(variant,)), now, "cli")
    await begun(world.store, made.id, "running", now)
    got = await world.put("/assets/cover-1", data=picture("JPEG"), scopes=WRITE)
    said = problem(got, 409, "asset-in-use")
    assert [one["detail"] for one in said["errors"]] == [f"{made.id} 开课"]
    await begun(world.store, made.id, "done", now)
    again = await world.put("/assets/cover-1", data=picture("JPEG"), scopes=WRITE)
    assert again.json["mime"] == "image/jpeg"


async def test_what_is_no_picture_is_refused(world: ApiWorld) -> None:
    for data in (b"", b"GIF89a" + bytes(20), b"<svg/>"):
        problem(await world.put("/assets/cover", data=data), 422, "invalid")
    large = await world.put("/assets/cover", data=picture() + bytes(MAX_BYTES))
    assert large.status == 413
    for name in ("..", "a%2Fb", "a%20b", "x" * 65, "_a"):
        assert (await world.put(f"/assets/{name}", data=picture())).status == 404, name
    assert await world.store.assets.all() == []


async def test_each_operation_needs_its_scope(world: ApiWorld) -> None:
    for operation in OPERATIONS:
        path = operation.path.replace("{name}", "x")
        scopes = set(SCOPES) - {operation.scope}
        got = await world.call(operation.method, path, json={}, scopes=scopes)
        assert operation.scope in problem(got, 403, "missing-scope")["detail"]
