"""The catalogue over REST: put in, found, taken off, all or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.rest_items import OPERATIONS
from tests.bot.api_world import ApiWorld, api


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, OPERATIONS) as world:
        yield world


def item(id: str = "py-101", **fields: Any) -> dict[str, Any]:
    return {"id": id, "kind": "course", "title": f"零基础 {id}", **fields}


FULL = item(
    summary="从第一行代码开始。",
    tags=["Python", "编程"],
    authors=["苏老师"],
    level="入门",
    price_cents=19_900,
    url="https://shop.example/py-101",
    cover_url="https://shop.example/py-101.jpg",
    published_at="2026-03-05T20:00:00.000+08:00",
    tiers=[{"name": "早鸟", "price_cents": 9_900}],
    chapters=[{"title": "开篇", "id": "c1", "url": ""}, {"title": "变量", "id": "2", "url": ""}],
    needs_tier="paid-monthly",
    series="Python 之路",
    requires=["sql-1"],
    available_from="2026-03-01T00:00:00.000+08:00",
    available_until="2026-12-31T00:00:00.000+08:00",
)


async def test_an_item_comes_back_as_it_was_put_in(world: ApiWorld) -> None:
    assert (await world.put("/items/py-101", json=FULL)).status == 201
    assert (await world.put("/items/py-101", json=FULL)).status == 200
    assert (await world.get("/items/py-101")).json == FULL
    assert world.reloads == 2
    actions = [row.action for row in await world.store.audit.newest(9)]
    assert actions == ["item.put", "item.put"]


async def test_a_put_replaces_all_of_it(world: ApiWorld) -> None:
    await world.put("/items/py-101", json=FULL)
    await world.put("/items/py-101", json=item(title="新标题"))
    kept = (await world.get("/items/py-101")).json
    assert (kept["title"], kept["tags"], kept["chapters"]) == ("新标题", [], [])
    assert (kept["series"], kept["requires"], kept["available_until"]) == ("", [], None)


async def test_an_item_taken_off_is_found_no_more_and_may_come_back(world: ApiWorld) -> None:
    await world.put("/items/py-101", json=FULL)
    assert (await world.delete("/items/py-101")).status == 204
    assert (await world.delete("/items/py-101")).status == 404
    assert (await world.get("/items/py-101")).status == 404
    assert (await world.get("/items")).json == {"items": [], "next": None}
    assert (await world.put("/items/py-101", json=FULL)).status == 201


async def test_pages_show_each_item_once(world: ApiWorld) -> None:
    lines = [item(f"i-{n:02}", kind="ebook" if n % 3 else "course") for n in range(25)]
    assert (await world.post("/items", ndjson=lines)).json["stored"] == 25
    seen, cursor = [], ""
    while cursor is not None:
        page = (await world.get(f"/items?limit=10&cursor={cursor}")).json
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
    assert seen == [f"i-{n:02}" for n in range(25)]
    books = (await world.get("/items?kind=ebook&limit=500")).json
    assert (len(books["items"]), books["next"]) == (16, None)


async def test_a_search_finds_by_words_and_a_tag_by_itself(world: ApiWorld) -> None:
    await world.post("/items", json=[FULL, item("sql", title="业务取数 SQL", tags=["SQL"])])
    assert [i["id"] for i in (await world.get("/items?q=Python")).json["items"]] == ["py-101"]
    assert [i["id"] for i in (await world.get("/items?tag=SQL")).json["items"]] == ["sql"]
    assert (await world.get("/items?q=Python&cursor=x")).status == 400


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"id": "../etc"}, "/id"),
        ({"kind": "spell"}, "/kind"),
        ({"title": ""}, "/title"),
        ({"title": "a" * 121}, "/title"),
        ({"url": "javascript:alert(1)"}, "/url"),
        ({"url": "https://"}, "/url"),
        ({"price_cents": -1}, "/price_cents"),
        ({"price_cents": 1.5}, "/price_cents"),
        ({"published_at": "2026-03-05"}, "/published_at"),
        ({"published_at": "2026-03-05T20:00:00"}, "/published_at"),
        ({"tags": ["a|b"]}, "/tags/0"),
        ({"chapters": [{"title": "a", "id": "1"}, {"title": "b", "id": "1"}]}, ""),
        ({"series": " "}, "/series"),
        ({"series": "a|b"}, "/series"),
        ({"requires": ["../etc"]}, "/requires/0"),
        ({"id": "b", "requires": ["b"]}, ""),
        ({"available_from": "2026-03-05"}, "/available_from"),
        ({"available_until": "1969-01-01T00:00:00Z"}, ""),
        (
            {
                "available_from": "2026-03-05T00:00:00Z",
                "available_until": "2026-03-05T00:00:00Z",
            },
            "",
        ),
        ({"prize": 1}, ""),
    ],
)
async def test_what_cannot_be_an_item_is_named(
    world: ApiWorld, fields: dict[str, Any], pointer: str
) -> None:
    got = await world.post("/items", json=[item(), item("b") | fields])
    assert got.status == 422
    (fault,) = got.json["errors"]
    assert (fault["line"], fault["pointer"]) == (2, f"/1{pointer}")
    assert (await world.get("/items")).json["items"] == []


async def test_the_id_in_the_path_is_the_items(world: ApiWorld) -> None:
    got = await world.put("/items/other", json=item())
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, "/id")


async def test_with_partial_the_good_ones_are_stored_and_the_others_listed(
    world: ApiWorld,
) -> None:
    lines = [item("a"), {"id": "b"}, item("a"), item("c")]
    got = await world.post("/items?partial=true", ndjson=lines)
    assert (got.status, got.json["stored"], got.json["refused"]) == (200, 2, 2)
    assert [fault["line"] for fault in got.json["errors"]] == [2, 3]
    assert "line 1" in got.json["errors"][1]["detail"]


async def test_reading_and_writing_are_different_rights(world: ApiWorld) -> None:
    assert (await world.put("/items/py-101", json=FULL, scopes=["items:read"])).status == 403
    assert (await world.delete("/items/py-101", scopes=["items:read"])).status == 403
    assert (await world.get("/items", scopes=["items:write"])).status == 403
