"""Tracked links over REST: the same wish is the same link, and what became of it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.links import Linker
from bot.redirect import Redirect
from bot.rest_links import OPERATIONS
from store import Store
from store.catalogue import Item
from tests.blank import blank
from tests.bot.api_world import ApiWorld, Got, api
from tests.bot.test_visitors import CHROME
from tests.bot.wechat_world import NOON, Clock

PUBLIC = "https://bot.example.com"


@dataclass
class Shop:
    """The API with links, and visitors who open them."""

    api: ApiWorld
    linker: Linker
    redirect: Redirect

    async def make(self, /, status: int = 201, **wanted: Any) -> Any:
        got = await self.api.post("/links", json={"item": "py-101"} | wanted)
        assert got.status == status, got.body
        return got.json

    async def open(self, url: str, agent: str = CHROME) -> tuple[int, str]:
        """Status and Location for a visitor of a short address."""
        path = url.removeprefix(PUBLIC)
        async with aiohttp.ClientSession() as session:
            response = await session.get(
                self.api.base + path, headers={"User-Agent": agent}, allow_redirects=False
            )
            return response.status, response.headers.get("Location", "")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    # The links' half opens the same file before the API's does, as another process would.
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    item = Item(id="py-101", kind="course", title="Python", url="https://shop.example.com/py")
    await store.catalogue.put([item], NOON)
    linker = Linker(store, public_url=PUBLIC, allowed_hosts=("pay.example.com",), now=Clock())
    await linker.open()
    redirect = Redirect(store, linker, now=Clock())
    async with api(tmp_path, OPERATIONS, linker=linker, extra_routes=redirect.routes()) as world:
        yield Shop(world, linker, redirect)
    await redirect.close()
    await store.close()


def faults(got: Got) -> list[str]:
    """Where a refusal says the faults are."""
    assert got.headers["Content-Type"].startswith("application/problem+json")
    return [fault["pointer"] for fault in got.json["errors"]]


async def test_a_link_is_made_once_and_found_again(shop: Shop) -> None:
    wanted: dict[str, Any] = {"campaign": "双十一", "variant": "a", "ref": "c:1"}
    link = await shop.make(**wanted)
    assert link["url"].startswith(f"{PUBLIC}/r/")
    assert (link["item"], link["target"], link["source"]) == ("py-101", None, "campaign")
    assert (link["created_at"], link["expires_at"]) == ("2025-11-21T12:00:00.000+08:00", None)
    assert await shop.make(200, **wanted) == link
    assert (await shop.make(**wanted | {"variant": "b"}))["id"] != link["id"]


async def test_an_address_on_the_list_is_a_target_and_an_items_is_the_items(shop: Shop) -> None:
    url = "https://pay.example.com/how"
    assert (await shop.make(item=None, url=url))["target"] == url
    item = await shop.make(item=None, url="https://shop.example.com/py")
    assert (item["item"], item["target"]) == ("py-101", None)


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"item": "none"}, "/item"),
        ({"item": None}, ""),
        ({"url": "https://pay.example.com"}, ""),
        ({"item": None, "url": "https://evil.example/"}, "/url"),
        ({"item": None, "url": "https://pay.example.com@evil.example/"}, "/url"),
        ({"item": None, "url": "//pay.example.com/"}, "/url"),
        ({"item": None, "url": ""}, "/url"),
        ({"item": "a b"}, "/item"),
        ({"source": "friend"}, "/source"),
        ({"campaign": "a\nb"}, "/campaign"),
        ({"campaign": "x" * 65}, "/campaign"),
        ({"expires_at": "2025-11-21T12:00:00+08:00"}, "/expires_at"),
        ({"expires_at": "2025-11-21T12:00:00"}, "/expires_at"),
        ({"expires_at": "1970-01-01T00:00:00Z"}, ""),
        ({"colour": "red"}, ""),
    ],
)
async def test_a_wish_that_cannot_be_granted_says_where(
    shop: Shop, wanted: dict[str, Any], pointer: str
) -> None:
    got = await shop.api.post("/links", json={"item": "py-101"} | wanted)
    assert (got.status, faults(got)) == (422, [pointer])
    assert (await shop.api.get("/links")).json["links"] == []


async def test_links_come_in_pages(shop: Shop) -> None:
    made = [await shop.make(campaign=name, ref=str(n)) for n, name in enumerate("abaab")]
    first = (await shop.api.get("/links?limit=2")).json
    assert first == {"links": made[:2], "next": made[1]["id"]}
    rest = (await shop.api.get(f"/links?limit=3&cursor={first['next']}")).json
    assert rest == {"links": made[2:], "next": None}
    assert (await shop.api.get("/links?campaign=b")).json["links"] == [made[1], made[4]]


async def test_the_report_tells_people_from_programs(shop: Shop) -> None:
    link = await shop.make()
    member = await shop.api.member()
    got = await shop.api.post(f"/links/{link['id']}/members", json={"members": [member]})
    (own,) = got.json["urls"]
    assert own["member"] == member
    for url, agent in (
        (link["url"], CHROME),
        (own["url"], CHROME),
        (link["url"], "curl/8"),
        (link["url"], "okhttp/4"),
    ):
        assert (await shop.open(url, agent))[0] == 302
    await shop.redirect.close()
    report = (await shop.api.get(f"/links/{link['id']}")).json
    assert report == {
        "link": link,
        "leads_to": "https://shop.example.com/py",
        "clicks": 2,
        "people": 2,
        "members": 1,
        "by_day": [{"day": "2025-11-21", "clicks": 2}],
        "previews": 1,
        "bots": 1,
        "last_click_at": "2025-11-21T12:00:00.000+08:00",
    }


async def test_a_fresh_link_has_an_empty_report(shop: Shop) -> None:
    link = await shop.make()
    report = (await shop.api.get(f"/links/{link['id']}")).json
    assert (report["clicks"], report["by_day"], report["last_click_at"]) == (0, [], None)


async def test_a_revoked_link_ends_for_all_and_keeps_its_report(shop: Shop) -> None:
    link = await shop.make()
    path = f"/links/{link['id']}"
    assert (await shop.open(link["url"]))[0] == 302
    assert (await shop.api.delete(path)).status == 204
    assert (await shop.api.delete(path)).status == 204
    assert await shop.open(link["url"]) == (410, "")
    report = (await shop.api.get(path)).json
    assert report["leads_to"] is None
    assert report["link"]["revoked_at"] == "2025-11-21T12:00:00.000+08:00"
    refused = await shop.api.post(f"{path}/members", json={"members": [await shop.api.member()]})
    assert (refused.status, refused.json["type"]) == (409, "urn:zhiqun:revoked")
    assert (await shop.make())["id"] != link["id"]
    told = [row.action for row in await shop.api.store.audit.newest()]
    assert told == ["link.add", "link.revoke", "link.add"]
    actors = {row.actor for row in await shop.api.store.audit.newest()}
    assert {actor.partition(":")[0] for actor in actors} == {"key"}


async def test_strangers_get_no_links(shop: Shop) -> None:
    link = await shop.make()
    member = await shop.api.member()
    wanted = {"members": [member, member + 5, member + 7]}
    got = await shop.api.post(f"/links/{link['id']}/members", json=wanted)
    assert (got.status, faults(got)) == (422, ["/members/1", "/members/2"])


@pytest.mark.parametrize("members", [[], [0], list(range(1, 1002)), ["1"], None])
async def test_one_to_a_thousand_members_are_asked_for(shop: Shop, members: Any) -> None:
    link = await shop.make()
    got = await shop.api.post(f"/links/{link['id']}/members", json={"members": members})
    assert got.status == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/links/9"), ("DELETE", "/links/9"), ("POST", "/links/9/members")],
)
async def test_a_link_that_is_not_there_is_not_found(shop: Shop, method: str, path: str) -> None:
    body = {"members": [1]} if method == "POST" else None
    assert (await shop.api.call(method, path, json=body)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/links", {"item": "py-101"}),
        ("GET", "/links", None),
        ("GET", "/links/1", None),
        ("DELETE", "/links/1", None),
        ("POST", "/links/1/members", {"members": [1]}),
    ],
)
async def test_each_operation_wants_its_scope(
    shop: Shop, method: str, path: str, body: Any
) -> None:
    other = ["links:read" if method != "GET" else "links:write"]
    assert (await shop.api.call(method, path, json=body, scopes=other)).status == 403
    assert (await shop.api.call(method, path, json=body, scopes=None)).status == 401


async def test_without_a_public_url_there_are_no_links(tmp_path: Path) -> None:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    linker = Linker(store, public_url="", now=Clock())
    await linker.open()
    async with api(tmp_path, OPERATIONS, linker=linker) as world:
        got = await world.post("/links", json={"item": "py-101"})
        assert (got.status, got.json["type"]) == (409, "urn:zhiqun:no-public-url")
    await store.close()


async def test_the_pages_of_links_are_for_people_and_not_problem_details(shop: Shop) -> None:
    async with aiohttp.ClientSession() as session:
        response = await session.get(shop.api.base + "/r/forged", headers={"User-Agent": CHROME})
        assert response.status == 404
        assert response.content_type == "text/html"
        assert "链接无效" in await response.text()
