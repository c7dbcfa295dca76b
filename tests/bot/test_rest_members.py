"""Members over REST: found by a name, tagged, taken away, forgotten; the log as a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.keys import SCOPES
from bot.rest_members import MAX_TAGS, OPERATIONS
from store.events import NewEvent
from store.messages import Finished, Incoming
from tests.bot.api_world import ApiWorld, api

LIN = "oLVPpjqs9BhvzwPj5A-vTYAX3GLc"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, OPERATIONS) as world:
        yield world


async def wrote(world: ApiWorld, number: int, text: str, openid: str = LIN) -> None:
    """A message and its answer, as the inbox leaves them."""
    key, at = number.to_bytes(16, "big"), world.clock()
    await world.store.messages.record(Incoming(key, "mp", openid, at, b"{}"))
    done = Finished(key, b"", at, "mp", openid, "text", text, "faq", "faq:1")
    await world.store.messages.finish(done)


async def test_a_member_is_found_by_each_of_their_names(world: ApiWorld) -> None:
    lin = await world.member(LIN)
    await world.store.members.unite("mp", LIN, "u-1")
    event = NewEvent("e1", "view", world.clock(), member_id=lin, visitor="v-1")
    await world.store.events.add([event], world.clock())
    for query in (f"openid={LIN}", f"openid={LIN}&channel=mp", "unionid=u-1", "visitor=v-1"):
        found = (await world.get(f"/members?{query}")).json["members"]
        assert [one["id"] for one in found] == [lin], query
    assert (await world.get("/members?openid=nobody")).json == {"members": []}
    assert (await world.get(f"/members?openid={LIN}&channel=other")).json == {"members": []}
    for query in ("", f"openid={LIN}&visitor=v-1", "channel=mp"):
        assert (await world.get(f"/members?{query}")).status == 400, query


async def test_a_profile_has_tags_and_courses_and_no_openid(world: ApiWorld) -> None:
    lin = await world.member(LIN)
    await world.put(f"/members/{lin}/tags/老学员")
    bought = NewEvent("e1", "purchase", world.clock(), member_id=lin, item_id="py-101")
    await world.store.events.add([bought], world.clock())
    got = await world.get(f"/members/{lin}")
    assert got.json["tags"] == ["老学员"]
    assert LIN not in got.body.decode()
    assert (await world.get("/members/99")).status == 404


async def test_a_tag_is_put_on_once_and_taken_off_once(world: ApiWorld) -> None:
    lin = await world.member(LIN)
    path = f"/members/{lin}/tags/vip"
    assert [(await world.put(path)).status for _ in range(2)] == [201, 204]
    assert [(await world.delete(path)).status for _ in range(2)] == [204, 404]
    assert (await world.put("/members/99/tags/vip")).status == 404
    assert (await world.put(f"/members/{lin}/tags/a%20b")).status == 404
    assert [row.action for row in await world.store.audit.newest(9)] == [
        "member.untag",
        "member.tag",
    ]


async def test_a_member_has_a_limit_of_tags(world: ApiWorld) -> None:
    lin = await world.member(LIN)
    for number in range(MAX_TAGS):
        assert await world.store.tags.add(lin, f"t{number}", world.clock(), limit=MAX_TAGS)
    got = await world.put(f"/members/{lin}/tags/more")
    assert (got.status, got.json["type"]) == (409, "urn:zhiqun:too-many-tags")


async def test_the_export_is_all_of_it_and_is_written_down(world: ApiWorld) -> None:
    lin = await world.member(LIN)
    await wrote(world, 1, "怎么退款")
    got = await world.get(f"/members/{lin}/export")
    assert got.json["identities"][0]["external_id"] == LIN
    assert got.json["interactions"][0]["text"] == "怎么退款"
    assert (await world.store.audit.newest(1))[0].action == "member.export"


async def test_forgetting_needs_a_right_of_its_own(world: ApiWorld) -> None:
    lin = await world.member(LIN)
    others = [scope for scope in SCOPES if scope != "members:erase"]
    assert (await world.delete(f"/members/{lin}", scopes=others)).status == 403
    assert (await world.delete(f"/members/{lin}", scopes=["members:erase"])).status == 204
    assert (await world.delete(f"/members/{lin}")).status == 404
    assert (await world.get(f"/members?openid={LIN}")).json == {"members": []}
    assert (await world.store.audit.newest(1))[0].action == "erase"


async def test_the_log_is_read_on_from_a_cursor(world: ApiWorld) -> None:
    await world.member(LIN)
    for number in range(1, 6):
        await wrote(world, number, f"问题 {number}")
    first = (await world.get("/interactions?limit=3")).lines
    assert [line["text"] for line in first] == ["问题 1", "问题 2", "问题 3"]
    rest = (await world.get(f"/interactions?cursor={first[-1]['id']}")).lines
    assert [line["text"] for line in rest] == ["问题 4", "问题 5"]
    assert (await world.get(f"/interactions?cursor={rest[-1]['id']}")).body == b""
    assert LIN not in json.dumps(first + rest)


async def test_the_log_needs_its_own_right(world: ApiWorld) -> None:
    others = [scope for scope in SCOPES if scope != "interactions:read"]
    assert (await world.get("/interactions", scopes=others)).status == 403


async def test_homework_is_listed_by_item(world: ApiWorld) -> None:
    lin = await world.member(LIN)
    for number, item in enumerate(("a", "b", "a")):
        key = number.to_bytes(16, "big")
        await world.store.courses.hand_in(lin, item, "", f"第 {number} 份", world.clock(), key)
    listed = (await world.get("/homework?item=a")).json
    assert [one["text"] for one in listed["homework"]] == ["第 0 份", "第 2 份"]
    page = (await world.get("/homework?limit=2")).json
    more = (await world.get(f"/homework?cursor={page['next']}")).json
    assert [one["text"] for one in more["homework"]] == ["第 2 份"]
