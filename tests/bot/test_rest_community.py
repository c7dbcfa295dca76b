"""Tiers and points over REST: shown, given once, never half, and written down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.keys import SCOPES
from bot.rest import Operation, stamp
from bot.rest_community import OPERATIONS
from handlers.rewards import Level, MembershipRules, PointRules, Rewards
from tests.bot.api_world import ApiWorld, Got, api

REWARDS = Rewards(
    points=PointRules(expire_months=12),
    levels=(Level("新芽", 0), Level("常客", 100)),
    membership=MembershipRules(tiers=("trial", "paid-monthly")),
)
DAY = 86_400.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, OPERATIONS, rewards=REWARDS) as world:
        yield world


async def post(
    world: ApiWorld, member: int, amount: int, key: str = "k-1", note: str = "订单 17 的补偿"
) -> Got:
    body = {"amount": amount, "note": note}
    path = f"/members/{member}/points"
    return await world.post(path, json=body, headers={"Idempotency-Key": key})


async def actions(world: ApiWorld) -> list[str]:
    return [f"{row.action} {row.detail}" for row in await world.store.audit.newest(9)]


async def test_a_tier_is_put_shown_and_taken(world: ApiWorld) -> None:
    lin = await world.member()
    path, until = f"/members/{lin}/tier", stamp(world.clock() + DAY)
    assert (await world.get(path)).json == {"tier": "", "until": None, "given": []}
    put = await world.put(path, json={"tier": "trial", "until": until})
    assert put.status == 200
    assert (put.json["tier"], put.json["until"]) == ("trial", until)
    assert put.json["given"][0]["by"].startswith("key:")
    higher = await world.put(path, json={"tier": "paid-monthly"})
    assert (higher.json["tier"], higher.json["until"]) == ("paid-monthly", None)
    assert len(higher.json["given"]) == 2
    assert [(await world.delete(path)).status for _ in range(2)] == [204, 204]
    assert (await world.get(path)).json["tier"] == ""
    assert await actions(world) == [
        "member.tier none",
        "member.tier paid-monthly for ever",
        f"member.tier trial until {until}",
    ]


async def test_the_same_put_again_changes_nothing_and_none_shortens(world: ApiWorld) -> None:
    lin = await world.member()
    path, until = f"/members/{lin}/tier", stamp(world.clock() + 9 * DAY)
    shorter = stamp(world.clock() + DAY)
    for end in (until, until, shorter):
        assert (await world.put(path, json={"tier": "trial", "until": end})).json["until"] == until
    assert len((await world.get(path)).json["given"]) == 1
    await world.delete(path)
    again = await world.put(path, json={"tier": "trial", "until": until})
    assert again.json["tier"] == "trial", "taken and given again"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"tier": "gold"}, "/tier"),
        ({"tier": ""}, "/tier"),
        ({"tier": "trial", "until": "2001-01-01T00:00:00+08:00"}, "/until"),
        ({"tier": "trial", "until": "1901-01-01T00:00:00+08:00"}, ""),
        ({"tier": "trial", "until": "tomorrow"}, "/until"),
        ({"tier": "trial", "days": 3}, ""),
        ({}, ""),
    ],
)
async def test_a_bad_tier_is_refused_by_its_field(
    world: ApiWorld, body: dict[str, object], pointer: str
) -> None:
    lin = await world.member()
    got = await world.put(f"/members/{lin}/tier", json=body)
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, pointer)
    assert await actions(world) == []


async def test_points_are_given_and_taken_once_for_a_key(world: ApiWorld) -> None:
    lin = await world.member()
    assert [(await post(world, lin, 120)).json for _ in range(2)] == [
        {"amount": 120, "balance": 120}
    ] * 2
    assert (await post(world, lin, -20, "k-2")).json == {"amount": -20, "balance": 100}
    assert (await post(world, lin, 120)).json["balance"] == 120, "as it was answered then"
    kept = (await world.get(f"/members/{lin}/points")).json
    assert (kept["balance"], kept["earned"], kept["level"]) == (100, 120, "常客")
    assert kept["next_end"]["amount"] == 100
    assert [(one["amount"], one["note"]) for one in kept["history"]] == [
        (-20, "订单 17 的补偿"),
        (120, "订单 17 的补偿"),
    ]
    assert len((await world.get(f"/members/{lin}/points?limit=1")).json["history"]) == 1
    assert await actions(world) == [
        "points.post -20 订单 17 的补偿",
        "points.post +120 订单 17 的补偿",
    ]


async def test_no_change_is_left_without_its_line_in_the_audit(world: ApiWorld) -> None:
    lin = await world.member()
    path = f"/members/{lin}/tier"

    async def changes() -> list[int]:
        put = await world.put(path, json={"tier": "trial"})
        return [put.status, (await post(world, lin, 5)).status, (await world.delete(path)).status]

    await world.put(path, json={"tier": "paid-monthly"})
    await world.full(True)
    assert await changes() == [503] * 3
    assert (await world.get(path)).json["tier"] == "paid-monthly"
    assert (await world.get(f"/members/{lin}/points")).json["balance"] == 0
    await world.full(False)
    assert await changes() == [200, 200, 204]
    assert await actions(world) == [
        "member.tier none",
        "points.post +5 订单 17 的补偿",
        "member.tier trial for ever",
        "member.tier paid-monthly for ever",
    ]


async def test_more_than_there_is_takes_nothing(world: ApiWorld) -> None:
    lin = await world.member()
    await post(world, lin, 5)
    got = await post(world, lin, -6, "k-2")
    assert (got.status, got.json["type"]) == (409, "urn:zhiqun:too-few-points")
    await post(world, lin, 1, "k-3")
    assert (await post(world, lin, -6, "k-2")).status == 200, "a refusal uses no key up"


async def test_another_change_under_a_used_key_is_refused(world: ApiWorld) -> None:
    lin = await world.member()
    assert (await post(world, lin, 5, note="补偿")).status == 200
    for amount, note, pointer in ((6, "补偿", "/amount"), (5, "另一次", "/note")):
        got = await post(world, lin, amount, note=note)
        assert (got.status, got.json["type"]) == (422, "urn:zhiqun:idempotency-mismatch")
        assert [one["pointer"] for one in got.json["errors"]] == [pointer]
    assert (await post(world, lin, 5, note="补偿")).status == 200
    assert (await world.get(f"/members/{lin}/points")).json["balance"] == 5


async def test_a_key_is_the_callers_own(world: ApiWorld) -> None:
    lin = await world.member()
    await post(world, lin, 5)
    other = await world.key(("points:write",))
    got = await world.post(
        f"/members/{lin}/points",
        key=other,
        json={"amount": 7, "note": "别的店"},
        headers={"Idempotency-Key": "k-1"},
    )
    assert got.json == {"amount": 7, "balance": 12}


@pytest.mark.parametrize(
    "body", [{"amount": 0}, {"amount": 10**7}, {"amount": 1.5}, {"note": " "}, {"why": "x"}]
)
async def test_bad_points_are_refused(world: ApiWorld, body: dict[str, object]) -> None:
    lin = await world.member()
    body = {"amount": 5, "note": "x", **body}
    headers = {"Idempotency-Key": "k-1"}
    assert (await world.post(f"/members/{lin}/points", json=body, headers=headers)).status == 422
    assert await actions(world) == []


async def test_without_a_key_of_its_own_nothing_is_posted(world: ApiWorld) -> None:
    lin = await world.member()
    got = await world.post(f"/members/{lin}/points", json={"amount": 5, "note": "x"})
    assert (got.status, got.json["type"]) == (400, "urn:zhiqun:bad-header")


async def test_nobody_has_neither_tier_nor_points(world: ApiWorld) -> None:
    await world.member()
    for path in ("/members/99/tier", "/members/99/points"):
        assert (await world.get(path)).status == 404
    assert (await world.delete("/members/99/tier")).status == 404
    assert (await world.put("/members/99/tier", json={"tier": "trial"})).status == 404
    assert (await post(world, 99, 5)).status == 404
    assert await actions(world) == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
async def test_each_needs_its_scope(world: ApiWorld, operation: Operation) -> None:
    others = [one for one in SCOPES if one != operation.scope]
    path = operation.path.replace("{id}", "1")
    assert (await world.call(operation.method, path, scopes=others)).status == 403
