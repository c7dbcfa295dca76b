"""Groups, their posts, order and edges over REST."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bot.group_means import GroupMeans
from bot.keys import SCOPES
from bot.rest import stamp
from bot.rest_group_body import RulesBody, RulesOut
from bot.rest_groups import OPERATIONS
from handlers.context import GroupChannels
from store.edges import Turned, add
from store.groups import Group, GroupRules, Seen
from store.order import NewCase
from store.posts import NewPost, Post
from tests.bot.api_world import ApiWorld, Got, api

GATE, WECOM, POSTER = "qun", "robot", "poster"
"""A gateway; a WeCom robot, which only answers; a group robot, which only posts."""

MEANS = GroupMeans(
    channels=GroupChannels(
        posting=frozenset({GATE, POSTER}),
        hearing=frozenset({GATE}),
        robots=frozenset({POSTER}),
    ),
    apology="刚才是误判",
    half_life_s=86_400.0,
)
READ, WRITE = {"groups:read"}, {"groups:write"}
DAY_S = 86_400.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, OPERATIONS, groups=MEANS) as world:
        yield world


async def group(
    world: ApiWorld, external_id: str = "1@room", channel: str = GATE, *, bound: bool = True
) -> Group:
    by = "test" if bound else ""
    return await world.store.groups.meet(
        channel, external_id, world.clock(), name="学习群", bound_by=by
    )


async def changed(world: ApiWorld, one: Group, **body: Any) -> Got:
    return await world.call("PATCH", f"/groups/{one.id}", json=body, scopes=WRITE)


async def posted(world: ApiWorld, one: Group, key: str = "k1", **body: Any) -> Got:
    return await world.post(
        f"/groups/{one.id}/posts", json=body, scopes=WRITE, headers={"Idempotency-Key": key}
    )


def problem(got: Got, status: int, kind: str) -> Any:
    assert (got.status, got.json["type"]) == (status, f"urn:zhiqun:{kind}"), got.body
    return got.json


def pointers(got: Got) -> list[str]:
    return [one["pointer"] for one in problem(got, 422, "invalid")["errors"]]


async def audited(world: ApiWorld) -> list[tuple[str, str, str]]:
    rows = await world.store.audit.newest(99)
    assert all(row.actor.startswith("key:") for row in rows)
    return [(row.action, row.target, row.detail) for row in reversed(rows)]


# Groups


async def test_groups_come_in_pages_and_one_by_one(world: ApiWorld) -> None:
    made = [await group(world, f"{number}@room", bound=number != 1) for number in range(3)]
    first = (await world.get("/groups?limit=2", scopes=READ)).json
    assert [one["id"] for one in first["groups"]] == [made[0].id, made[1].id]
    rest = (await world.get(f"/groups?limit=2&cursor={first['next']}", scopes=READ)).json
    assert ([one["id"] for one in rest["groups"]], rest["next"]) == ([made[2].id], None)
    unbound = (await world.get("/groups?bound=false", scopes=READ)).json["groups"]
    assert [(one["id"], one["can_post"]) for one in unbound] == [(made[1].id, False)]
    one = (await world.get(f"/groups/{made[0].id}", scopes=READ)).json
    assert (one["place"], one["title"], one["bound"]) == ("qun:0@room", "学习群", True)
    assert (one["can_post"], one["hears_all"], one["route"]) == (True, True, None)
    assert one == first["groups"][0]
    for number in (99, 10**18 - 1):
        problem(await world.get(f"/groups/{number}", scopes=READ), 404, "not-found")


async def test_no_groups_are_an_empty_page(world: ApiWorld) -> None:
    assert (await world.get("/groups", scopes=READ)).json == {"groups": [], "next": None}


async def test_a_change_is_made_as_a_whole_and_written_down(world: ApiWorld) -> None:
    one = await group(world, bound=False)
    robot = await group(world, "robot", POSTER)
    rules = {"welcome": "欢迎 {名字}", "quiet": "22:00-08:00", "digest": "21:00", "eager_s": 60}
    got = await changed(world, one, alias="ＶＩＰ", route=POSTER, bound=True, rules=rules)
    assert got.status == 200, got.body
    assert (got.json["alias"], got.json["route"], got.json["bound"]) == ("VIP", POSTER, True)
    assert got.json["rules"]["welcome"] == "欢迎 {names}", "as /group keeps it"
    assert got.json["rules"]["digest"] == "21:00"
    ((action, target, detail),) = await audited(world)
    assert (action, target) == ("group.change", f"group:{one.id}")
    for word in ("alias: VIP", "route: poster", "welcome: 欢迎", "quiet: 22:00-08:00"):
        assert word in detail
    again = await changed(world, one, alias="VIP", route=POSTER, bound=True, rules=rules)
    assert (again.status, again.json) == (200, got.json)
    assert len(await audited(world)) == 1, "the same again changes nothing"
    undone = await changed(world, one, alias=None, route=None, rules={"digest": None})
    assert (undone.json["alias"], undone.json["route"]) == (None, None)
    assert undone.json["rules"]["digest"] is None
    assert undone.json["rules"]["quiet"] == "22:00-08:00", "what is left out stays"
    assert world.store.groups.known(robot.place) == robot


async def test_a_change_that_fails_in_the_middle_leaves_all_as_it_was(world: ApiWorld) -> None:
    one, other = await group(world), await group(world, "2@room")
    await changed(world, other, alias="vip")
    told = problem(
        await changed(world, one, alias="vip", rules={"order": "act"}), 409, "alias-taken"
    )
    assert f"Group {other.id}" in told["detail"]
    assert world.store.groups.known(one.place) == one
    await world.full(True)
    assert (await changed(world, one, alias="new", bound=False)).status == 503
    await world.full(False)
    assert world.store.groups.known(one.place) == one
    await world.store.groups.load()
    assert world.store.groups.known(one.place) == one, "nor in the file"


async def test_a_robot_posts_into_one_group_only(world: ApiWorld) -> None:
    one, other = await group(world), await group(world, "2@room")
    assert "the configuration has none" in json.dumps((await changed(world, one, route="no")).json)
    await group(world, "robot", POSTER)
    assert (await changed(world, one, route=POSTER)).status == 200
    problem(await changed(world, other, route=POSTER), 409, "route-taken")
    assert pointers(await changed(world, other, route=GATE)) == ["/route"]
    got = await changed(world, other, route="other")
    assert pointers(got) == ["/route"]
    assert "choose one of poster" in got.json["errors"][0]["detail"]


async def test_an_alias_that_means_something_else_is_refused(world: ApiWorld) -> None:
    one = await group(world)
    for alias in ("12", "all", "全部", "off", "list", "绑定", "BIND", "posts"):
        assert pointers(await changed(world, one, alias=alias)) == ["/alias"], alias


BAD_RULES: tuple[dict[str, Any], ...] = (
    {"welcome": "欢" * 301},
    {"welcome": "a\u0000"},
    {"welcome_minutes": 0},
    {"welcome_minutes": 1441},
    {"quiet": "22:00"},
    {"quiet": "24:00-08:00"},
    {"quiet": "08:00-08:00"},
    {"quiet": "22:00-08:00\n"},
    {"digest": "21"},
    {"digest": "on"},
    {"eager_s": 5},
    {"eager_s": 3601},
    {"eager_s": -1},
    {"order": "kick"},
    {"keywords": "yes"},
    {"muted_until": "2020-01-01T00:00:00+08:00"},
    {"muted_until": "2098-01-01T00:00:00+08:00"},
    {"muted_until": "2200-01-01T00:00:00+08:00"},
    {"kick": True},
    {"silence": True},
)


async def test_a_rule_that_group_would_not_take_is_refused(world: ApiWorld) -> None:
    one = await group(world)
    for rules in BAD_RULES:
        (pointer,) = pointers(await changed(world, one, alias="vip", rules=rules))
        assert pointer in ("/rules", f"/rules/{next(iter(rules))}"), rules
    assert world.store.groups.known(one.place) == one


async def test_every_fault_is_told_at_once(world: ApiWorld) -> None:
    one = await group(world)
    got = await changed(world, one, alias="7", route="x", rules={"eager_s": 1, "quiet": ""})
    assert pointers(got) == ["/alias", "/route", "/rules/eager_s"]


async def test_where_only_mentions_are_heard_nothing_is_answered_unasked(world: ApiWorld) -> None:
    deaf = await group(world, channel=WECOM)
    assert pointers(await changed(world, deaf, rules={"eager_s": 60})) == ["/rules/eager_s"]
    assert (await changed(world, deaf, rules={"eager_s": 0})).status == 200


async def test_a_mute_ends_with_null(world: ApiWorld) -> None:
    one = await group(world)
    until = stamp(world.clock() + 3600)
    got = await changed(world, one, rules={"muted_until": until})
    assert got.json["rules"]["muted_until"] == until
    got = await changed(world, one, rules={"muted_until": None})
    assert got.json["rules"]["muted_until"] is None


async def test_who_was_there_before_a_welcome_is_no_newcomer(world: ApiWorld) -> None:
    one = await group(world)
    lin = await world.member()
    await world.store.groups.see(Seen(one.place, lin, "小林", world.clock(), came=True))
    await changed(world, one, rules={"order": "watch"})
    assert (await world.store.groups.members(one.place))[0].welcomed_at is None
    await changed(world, one, rules={"welcome": "欢迎"})
    assert (await world.store.groups.members(one.place))[0].welcomed_at == world.clock()


async def test_unbinding_drops_what_is_planned_and_a_left_group_is_not_bound(
    world: ApiWorld,
) -> None:
    one = await group(world)
    assert (await posted(world, one, kind="text", content="晚上见")).status == 201
    assert (await changed(world, one, bound=False)).json["bound"] is False
    (row,) = (await world.get("/posts", scopes=READ)).json["posts"]
    assert row["status"] == "dropped"
    await world.store.groups.leave(one.place, world.clock())
    problem(await changed(world, one, bound=True), 409, "left")


def test_every_rule_of_a_group_can_be_read_and_all_but_an_owners_set() -> None:
    rules = {one.name for one in fields(GroupRules)}
    assert set(RulesOut.__struct_fields__) == rules
    assert set(RulesBody.__struct_fields__) == rules - {"kick", "silence"}


# Members and edges


async def test_members_come_by_number_and_who_left_does_not(world: ApiWorld) -> None:
    one, now = await group(world), world.clock()
    ids = [await world.member(f"o_{number}", GATE) for number in range(4)]
    for number, member in enumerate(ids):
        await world.store.groups.see(Seen(one.place, member, f"名{number}", now - number))
    await world.store.groups.gone(one.place, ids[1], now)
    both = READ | {"members:read"}
    path = f"/groups/{one.id}/members"
    first = (await world.get(f"{path}?limit=2", scopes=both)).json
    assert [row["member"] for row in first["members"]] == [ids[0], ids[2]]
    rest = (await world.get(f"{path}?cursor={first['next']}", scopes=both)).json
    assert (rest["members"][0]["name"], rest["next"]) == ("名3", None)
    assert (await world.get(f"/groups/{one.id}", scopes=READ)).json["members"] == 3
    problem(await world.get(path, scopes=READ), 403, "missing-scope")


async def test_edges_are_numbers_and_weights_of_now(world: ApiWorld) -> None:
    one, other = await group(world), await group(world, "2@room")
    lin, mu = await world.member("o_lin", GATE), await world.member("o_mu", GATE)
    day_ago = world.clock() - DAY_S
    turns = [
        Turned(one.place, lin, mu, 1.0, day_ago),
        Turned(one.place, mu, lin, 0.25, world.clock()),
        Turned(other.place, lin, mu, 1.0, world.clock()),
    ]
    await world.store.db.write(lambda conn: add(conn, turns, DAY_S))
    both = READ | {"members:read"}
    path = f"/groups/{one.id}/edges"
    assert (await world.get(path, scopes=both)).lines == [
        {"from": lin, "to": mu, "weight": 0.5, "turns": 1},
        {"from": mu, "to": lin, "weight": 0.25, "turns": 1},
    ]
    assert len((await world.get(f"{path}?limit=1", scopes=both)).lines) == 1
    assert len((await world.get(f"{path}?least=0.3", scopes=both)).lines) == 1
    empty = await group(world, "3@room")
    assert (await world.get(f"/groups/{empty.id}/edges", scopes=both)).body == b""
    assert (await world.get(f"{path}?least=nan", scopes=both)).status == 400
    problem(await world.get("/groups/99/edges", scopes=both), 404, "not-found")


# Posts


async def test_a_post_is_planned_once_for_each_idempotency_key(world: ApiWorld) -> None:
    one, other = await group(world), await group(world, "2@room")
    first = await posted(world, one, kind="text", content="今晚直播")
    assert (first.status, first.json["status"], first.json["kind"]) == (201, "planned", "push")
    assert first.json["group"] == one.id
    (planned,) = await world.store.posts.claim(world.clock(), {GATE: 20})
    await world.store.posts.settle(planned.id, "sent", world.clock())
    again = await posted(world, one, content="今晚直播", kind="text")
    assert (again.status, again.body) == (201, first.body), "also after it left"
    for wrong in (
        await posted(world, one, kind="text", content="明晚直播"),
        await posted(world, other, kind="text", content="今晚直播"),
    ):
        problem(wrong, 422, "idempotency-mismatch")
    assert (await posted(world, one, "k2", kind="text", content="今晚直播")).status == 201
    assert [row[:2] for row in await audited(world)] == [("group.push", f"group:{one.id}")] * 2
    listed = (await world.get("/posts", scopes=READ)).json["posts"]
    assert [row["status"] for row in listed] == ["planned", "sent"]


async def test_a_post_that_cannot_be_written_down_is_not_planned(world: ApiWorld) -> None:
    one = await group(world)
    await world.full(True)
    assert (await posted(world, one, kind="text", content="x")).status == 503
    await world.full(False)
    assert await world.store.posts.counts() == {}
    assert (await posted(world, one, kind="text", content="x")).status == 201


async def test_a_post_waits_for_the_end_of_the_quiet_hours_and_for_its_time(
    world: ApiWorld,
) -> None:
    one = await group(world)
    later, end = world.clock() + 7200, world.clock() + 9000
    got = await posted(world, one, kind="text", content="x", at=stamp(later), not_after=stamp(end))
    assert (got.json["due_at"], got.json["not_after"]) == (stamp(later), stamp(end))
    until = world.clock() + 3600
    await changed(world, one, rules={"muted_until": stamp(until)})
    got = await posted(world, one, "k2", kind="text", content="x")
    assert got.json["due_at"] == stamp(until)
    got = await posted(world, one, "k3", kind="text", content="x", not_after=stamp(until - 1))
    assert pointers(got) == ["/not_after"]
    got = await posted(world, one, "k4", kind="text", content="x", at="1999-01-01T00:00:00Z")
    assert got.status == 422


async def test_where_nothing_can_be_posted_it_says_what_to_do(world: ApiWorld) -> None:
    deaf, unbound = await group(world, channel=WECOM), await group(world, bound=False)
    told = problem(await posted(world, deaf, kind="text", content="x"), 409, "no-route")
    assert "route" in told["detail"]
    told = problem(await posted(world, unbound, kind="text", content="x"), 409, "not-bound")
    assert "PATCH" in told["detail"]
    await world.store.groups.leave(unbound.place, world.clock())
    problem(await posted(world, unbound, kind="text", content="x"), 409, "left")
    without = await world.post(
        f"/groups/{deaf.id}/posts", json={"kind": "text", "content": "x"}, scopes=WRITE
    )
    problem(without, 400, "bad-header")
    await group(world, "robot", POSTER)
    await changed(world, deaf, route=POSTER)
    got = await posted(world, deaf, kind="markdown", content="**今晚**")
    assert (got.status, got.json["channel"]) == (201, POSTER)


CARD = {"title": "开课", "url": "https://shop.example/1"}


FITS: tuple[tuple[dict[str, Any], list[str], list[str]], ...] = (
    ({"kind": "text", "content": "字" * 682}, [], []),
    ({"kind": "text", "content": "字" * 683}, ["/content"], ["/content"]),
    ({"kind": "markdown", "content": "字" * 1365}, ["/content"], []),
    ({"kind": "markdown", "content": "字" * 1366}, ["/content"], ["/content"]),
    ({"kind": "text", "content": " \n "}, ["/content"], ["/content"]),
    ({"kind": "markdown"}, ["/content"], ["/content"]),
    ({"kind": "markdown", "content": "**"}, ["/content"], []),
    ({"kind": "text", "content": "x", "articles": [CARD]}, ["/articles"], ["/articles"]),
    ({"kind": "news", "articles": [CARD]}, [], []),
    ({"kind": "news"}, ["/articles"], ["/articles"]),
    ({"kind": "news", "content": "x", "articles": [CARD]}, ["/content"], ["/content"]),
    ({"kind": "news", "articles": [CARD] * 9}, ["/articles"], ["/articles"]),
    ({"kind": "news", "articles": [CARD | {"title": "字" * 43}]}, [], ["/articles/0/title"]),
    (
        {"kind": "news", "articles": [CARD | {"description": "字" * 171}] * 2},
        [],
        ["/articles/0/description", "/articles/1/description"],
    ),
    (
        {"kind": "news", "articles": [CARD | {"description": "字" * 500}] * 3},
        ["/articles"],
        [f"/articles/{place}/description" for place in range(3)],
    ),
    (
        {"kind": "news", "articles": [CARD | {"url": "javascript:alert(1)"}]},
        ["/articles/0/url"],
        ["/articles/0/url"],
    ),
    ({"kind": "image", "content": "x"}, ["/kind"], ["/kind"]),
    ({"kind": "text", "content": "x", "mentions": ["@all"]}, [""], [""]),
)
"""A body, and what is wrong with it by a gateway, and by a group robot."""


async def test_a_post_must_fit_one_message_of_the_way_that_posts_it(world: ApiWorld) -> None:
    gate, poster = await group(world), await group(world, "robot", POSTER)
    for number, (body, gateway, robot) in enumerate(FITS):
        for one, wrong in ((gate, gateway), (poster, robot)):
            got = await posted(world, one, f"k{number}-{one.id}", **body)
            assert (pointers(got) if got.status != 201 else []) == wrong, got.body


async def test_posts_are_listed_newest_first_by_group_and_status(world: ApiWorld) -> None:
    one, other = await group(world), await group(world, "2@room")
    for number, to in enumerate((one, other, one)):
        await posted(world, to, f"k{number}", kind="text", content="x")
    (claimed,) = await world.store.posts.claim(world.clock(), {GATE: 20})
    await world.store.posts.settle(
        claimed.id, "refused", world.clock(), errcode=93000, note="the key is wrong"
    )
    gone = NewPost(
        key=bytes(16), channel="old", place="old:1", kind="digest", body=Post("text", "x"), due_at=0
    )
    await world.store.posts.plan(gone, world.clock())

    async def listed(query: str) -> Any:
        return (await world.get(f"/posts?{query}", scopes=READ)).json

    first = await listed("limit=3")
    assert [row["group"] for row in first["posts"]] == [None, one.id, other.id]
    (last,) = (await listed(f"limit=3&before={first['next']}"))["posts"]
    assert (last["status"], last["errcode"], last["note"]) == ("refused", 93000, "the key is wrong")
    assert "content" not in last
    assert (await listed("status=refused"))["posts"] == [last]
    assert len((await listed(f"group={one.id}"))["posts"]) == 2
    assert await listed("group=99") == {"posts": [], "next": None}
    assert (await world.get("/posts?status=lost", scopes=READ)).status == 400


# Order


async def case(world: ApiWorld, one: Group, member: int | None, number: int = 1) -> int:
    new = NewCase(
        key=number.to_bytes(16, "big"),
        place=one.place,
        member_id=member,
        message_id=f"m{number}",
        at=world.clock(),
        text="加我领资料",
        reasons=("spam",),
        score=0.97,
        severity=2,
        actions=("hidden", "warned"),
        report=True,
    )
    warning = NewPost(
        key=(1000 + number).to_bytes(16, "big"),
        channel=GATE,
        place=one.place,
        kind="order",
        body=Post("text", "请不要发广告"),
        due_at=world.clock(),
    )
    return (await world.store.order.open(new, warning, world.clock())).case.id


async def test_a_case_shows_who_and_what_only_to_keys_that_may_see_it(world: ApiWorld) -> None:
    one = await group(world)
    lin = await world.member("o_lin", GATE)
    number = await case(world, one, lin)
    (bare,) = (await world.get("/order/cases", scopes=READ)).json["cases"]
    assert (bare["id"], bare["group"], bare["verdict"]) == (number, one.id, None)
    assert (bare["member"], bare["text"]) == (None, None)
    more = READ | {"members:read", "interactions:read"}
    (full,) = (await world.get("/order/cases?waiting=true", scopes=more)).json["cases"]
    assert (full["member"], full["text"]) == (lin, "加我领资料")
    assert (full["reasons"], full["score"], full["severity"]) == (["spam"], 0.97, 2)


async def test_a_verdict_settles_those_alike_and_can_be_turned_around(world: ApiWorld) -> None:
    one = await group(world)
    lin = await world.member("o_lin", GATE)
    first, second = await case(world, one, lin), await case(world, one, None, 2)

    async def said(number: int, verdict: str) -> Got:
        path = f"/order/cases/{number}/verdict"
        return await world.post(path, json={"verdict": verdict}, scopes=WRITE)

    spam = (await said(first, "spam")).json
    assert (spam["changed"], spam["alike"], spam["case"]["verdict"]) == (True, [second], "spam")
    assert spam["case"]["verdict_by"].startswith("key:")
    again = (await said(first, "spam")).json
    assert (again["changed"], again["alike"]) == (False, [])
    assert (await world.get("/order/cases?waiting=true", scopes=READ)).json["cases"] == []
    turned = (await said(first, "false_alarm")).json
    assert (turned["changed"], turned["case"]["verdict"]) == (True, "false_alarm")
    assert [row[:2] for row in await audited(world)] == [
        ("order.spam", f"order:{first}"),
        ("order.false_alarm", f"order:{first}"),
    ]
    assert [(one.spam, one.case_id) for one in await world.store.order.unlearned()] == [
        (False, first),
        (False, second),
    ], "the model learns of both"
    problem(await said(99, "spam"), 404, "not-found")
    assert (await said(first, "maybe")).status == 422


async def test_who_was_warned_by_mistake_is_told_so_in_the_group(world: ApiWorld) -> None:
    one = await group(world)
    number = await case(world, one, await world.member("o_lin", GATE))
    before = await world.store.posts.page(9)
    for _ in range(2):
        got = await world.post(
            f"/order/cases/{number}/verdict", json={"verdict": "false_alarm"}, scopes=WRITE
        )
        assert got.status == 200
    (sorry,) = [row for row in await world.store.posts.page(9) if row not in before]
    assert (sorry.kind, sorry.place) == ("order", one.place)


async def test_cases_come_in_pages_newest_first(world: ApiWorld) -> None:
    one, other = await group(world), await group(world, "2@room")
    made = [await case(world, to, None, n) for n, to in enumerate((one, other, one), 1)]
    first = (await world.get("/order/cases?limit=2", scopes=READ)).json
    assert [row["id"] for row in first["cases"]] == [made[2], made[1]]
    rest = (await world.get(f"/order/cases?limit=2&before={first['next']}", scopes=READ)).json
    assert ([row["id"] for row in rest["cases"]], rest["next"]) == ([made[0]], None)
    of_one = (await world.get(f"/order/cases?group={one.id}", scopes=READ)).json["cases"]
    assert [row["id"] for row in of_one] == [made[2], made[0]]
    assert (await world.get("/order/cases?group=99", scopes=READ)).json["cases"] == []


async def test_each_operation_needs_its_scopes(world: ApiWorld) -> None:
    for operation in OPERATIONS:
        for scope in operation.scopes:
            path = operation.path.replace("{id}", "1")
            got = await world.call(operation.method, path, json={}, scopes=set(SCOPES) - {scope})
            assert scope in problem(got, 403, "missing-scope")["detail"]
