"""Offers over REST: made once, filled whole or not at all, given to members, counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from bot.rest_offers import MAX_CODES, OPERATIONS
from store.coupons import Claimant
from tests.bot.api_world import ApiWorld, Got, api

EARLY: Mapping[str, Any] = {
    "word": "早鸟",
    "title": "早鸟立减 20 元",
    "kind": "amount",
    "value": 2000,
}
READ, WRITE = {"offers:read"}, {"offers:write"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path) as world:
        yield world


async def made(world: ApiWorld, name: str = "make-1", **more: Any) -> Got:
    return await world.post(
        "/offers", json={**EARLY, **more}, headers={"Idempotency-Key": name}, scopes=WRITE
    )


async def offer(world: ApiWorld, **more: Any) -> int:
    got = await made(world, **more)
    assert got.status == 201, got.body
    return int(got.json["id"])


async def granted(world: ApiWorld, number: int, members: list[int], name: str = "g-1") -> Got:
    return await world.post(
        f"/offers/{number}/grants",
        json={"members": members},
        headers={"Idempotency-Key": name},
        scopes=WRITE,
    )


async def people(world: ApiWorld, count: int) -> list[int]:
    return [await world.member(f"o_{number:027}") for number in range(count)]


async def audited(world: ApiWorld) -> list[tuple[str, str, str]]:
    rows = await world.store.audit.newest(99)
    return [(row.action, row.target, row.detail) for row in reversed(rows)]


async def everything(world: ApiWorld) -> list[object]:
    return [*await world.store.offers.all(), *await world.store.coupons.export()]


def problem(got: Got, status: int, kind: str) -> Any:
    assert (got.status, got.json["type"]) == (status, f"urn:zhiqun:{kind}"), got.body
    return got.json


# Making


async def test_an_offer_is_made_open_and_reads_as_it_was_wanted(world: ApiWorld) -> None:
    wanted = {
        **EARLY,
        "kind": "percent",
        "value": 20,
        "cap_cents": 5000,
        "min_spend_cents": 9900,
        "items": ["py-101"],
        "categories": ["编程"],
        "stackable": True,
        "audience": "tag:VIP and level>=2",
        "points_price": 100,
        "inventory": 50,
        "per_member": 2,
        "claim_from": "2025-11-21T00:00:00.000+08:00",
        "claim_until": "2025-12-01T00:00:00.000+08:00",
        "valid_until": "2026-01-01T00:00:00.000+08:00",
        "valid_days": 30,
    }
    got = await made(world, **wanted)
    assert got.status == 201
    assert got.headers["Location"] == f"/api/v1/offers/{got.json['id']}"
    shown = (await world.get(f"/offers/{got.json['id']}", scopes=READ)).json
    assert shown == got.json
    assert {name: shown[name] for name in wanted} == wanted
    assert (shown["status"], shown["claimed"], shown["left"]) == ("open", 0, 50)
    key = (await world.key(WRITE)).split("_")[1]
    assert shown["created_by"] == f"key:{key}"


async def test_an_offer_sent_again_is_made_once(world: ApiWorld) -> None:
    await world.key(WRITE)
    first, second = await asyncio.gather(made(world), made(world))
    assert first.status == second.status == 201
    assert first.body == second.body
    third = await made(world)
    assert third.body == first.body
    offers = (await world.get("/offers", scopes=READ)).json["offers"]
    assert [one["id"] for one in offers] == [first.json["id"]]


async def test_a_repeated_offer_is_audited_once(world: ApiWorld) -> None:
    number = await offer(world)
    await made(world)
    assert await audited(world) == [("offer.new", f"offer:{number}", "早鸟")]


async def test_no_change_is_left_without_its_line_in_the_audit(world: ApiWorld) -> None:
    number, member = await offer(world), await world.member()
    pool = await offer(world, name="make-2", word="池", pool=True)
    coupon = (await granted(world, number, [member])).json["grants"][0]["code"]
    other = await world.member("o_other")

    async def changes() -> list[int]:
        return [
            (await made(world, name="make-3", word="新")).status,
            (await world.post(f"/coupons/{coupon}/revoke", json={})).status,
            (await world.post(f"/offers/{pool}/codes", json=["A1"])).status,
            (await granted(world, number, [other], "g-2")).status,
            (await world.post(f"/offers/{number}/status", json={"status": "paused"})).status,
        ]

    before = await everything(world)
    await world.full(True)
    assert await changes() == [503] * 5
    assert await everything(world) == before
    await world.full(False)
    for _ in range(2):
        assert (await changes())[:2] == [201, 200]
    assert [action for action, _, _ in await audited(world)][3:] == [
        "offer.new",
        "coupon.revoke",
        "offer.codes",
        "offer.grant",
        "offer.status",
    ]


async def test_another_offer_under_a_used_key_is_refused(world: ApiWorld) -> None:
    await offer(world)
    problem(await made(world, value=9000), 422, "idempotency-mismatch")
    problem(await made(world, word="别的"), 422, "idempotency-mismatch")
    assert [one.value for one in await world.store.offers.all()] == [2000]


async def test_two_keys_may_use_the_same_idempotency_key(world: ApiWorld) -> None:
    await offer(world)
    got = await world.post(
        "/offers", json={**EARLY, "word": "另一个"}, headers={"Idempotency-Key": "make-1"}
    )
    assert got.status == 201


async def test_an_offer_needs_an_idempotency_key(world: ApiWorld) -> None:
    for name in (None, "", "a b", "x" * 65, "鍵"):
        headers = {} if name is None else {"Idempotency-Key": name}
        got = await world.post("/offers", json=EARLY, headers=headers)
        assert "Idempotency-Key" in problem(got, 400, "bad-header")["detail"]
    assert await world.store.offers.all() == []


async def test_a_word_that_is_taken_is_refused_however_it_is_written(world: ApiWorld) -> None:
    first = await offer(world, word="VIP")
    problem(await made(world, "make-2", word="ｖｉｐ"), 409, "word-taken")
    await world.post(f"/offers/{first}/status", json={"status": "closed"})
    assert (await made(world, "make-2", word="ｖｉｐ")).status == 201


async def test_what_cannot_be_offered_is_named_by_field(world: ApiWorld) -> None:
    wrong: dict[str, Any] = {
        "word": "早 鸟",
        "value": 0,
        "cap_cents": 100,
        "audience": "tag:VIP and and",
        "per_member": 0,
        "valid_days": 0,
        "claim_until": "2025-01-01T00:00:00+08:00",
    }
    for field, value in wrong.items():
        more = {"claim_from": "2025-11-21T00:00:00+08:00", field: value}
        told = problem(await made(world, **more), 422, "invalid")
        assert [one["pointer"] for one in told["errors"]] == [f"/{field}"]
    told = problem(
        await made(world, **wrong, claim_from="2025-11-21T00:00:00+08:00"), 422, "invalid"
    )
    assert {f"/{field}" for field in ("word", "value", "audience")} <= {
        one["pointer"] for one in told["errors"]
    }
    assert await world.store.offers.all() == []


async def test_what_is_no_offer_is_refused(world: ApiWorld) -> None:
    changes: list[dict[str, Any]] = [
        {"kind": "gift"},
        {"value": -1},
        {"title": ""},
        {"title": "两\n行"},
        {"items": ["not an id"]},
        {"categories": ["a|b"]},
        {"inventory": 1_000_001},
        {"claim_from": "2025-11-21T00:00:00"},
        {"valid_until": "1970-01-01T00:00:00Z"},
        {"code": "mine"},
    ]
    for change in changes:
        problem(await made(world, **change), 422, "invalid")


# Opening and closing


async def test_an_offer_is_paused_opened_and_closed_for_good(world: ApiWorld) -> None:
    number = await offer(world)
    for status in ("paused", "paused", "open", "closed", "closed"):
        got = await world.post(f"/offers/{number}/status", json={"status": status}, scopes=WRITE)
        assert (got.status, got.json["status"]) == (200, status)
    problem(
        await world.post(f"/offers/{number}/status", json={"status": "open"}), 409, "offer-closed"
    )
    assert [detail for action, _, detail in await audited(world) if action == "offer.status"] == [
        "paused",
        "open",
        "closed",
    ]
    assert (await world.get("/offers")).json == {"offers": []}
    offers = (await world.get("/offers?closed=true")).json["offers"]
    assert [(one["id"], one["status"]) for one in offers] == [(number, "closed")]


async def test_what_is_not_there_is_not_found(world: ApiWorld) -> None:
    for got in (
        await world.get("/offers/99"),
        await world.get("/offers/99/report"),
        await world.post("/offers/99/status", json={"status": "open"}),
        await world.post("/offers/99/codes", json=["A1"]),
        await granted(world, 99, [await world.member()]),
    ):
        problem(got, 404, "not-found")


# Codes of the shop


async def test_a_pool_is_filled_from_json_and_from_lines(world: ApiWorld) -> None:
    number = await offer(world, pool=True)
    got = await world.post(f"/offers/{number}/codes", json=["SUMMER-1", "SUMMER-2"], scopes=WRITE)
    assert (got.status, got.json) == (200, {"added": 2, "left": 2})
    got = await world.post(f"/offers/{number}/codes", ndjson=["SUMMER-3"])
    assert got.json == {"added": 1, "left": 3}
    assert (await world.get(f"/offers/{number}/report")).json["pool_left"] == 3
    assert [row for row in await audited(world) if row[0] == "offer.codes"] == [
        ("offer.codes", f"offer:{number}", "2"),
        ("offer.codes", f"offer:{number}", "1"),
    ]


async def test_one_bad_or_double_code_refuses_all_and_each_is_named(world: ApiWorld) -> None:
    number = await offer(world, pool=True)
    await world.post(f"/offers/{number}/codes", json=["KEPT"])
    sent = ["GOOD", "KEPT", "NEW", "go-od", "FINE"]
    told = problem(await world.post(f"/offers/{number}/codes", json=sent), 422, "invalid")
    assert [(one["pointer"], one["line"]) for one in told["errors"]] == [("/1", 2), ("/3", 4)]
    raw = b'"GOOD"\n\n"KEPT"\n"NEW"\n'
    told = problem(
        await world.post(
            f"/offers/{number}/codes", data=raw, headers={"Content-Type": "application/x-ndjson"}
        ),
        422,
        "invalid",
    )
    assert [(one["pointer"], one["line"]) for one in told["errors"]] == [("", 3)]
    assert (await world.get(f"/offers/{number}/report")).json["pool_left"] == 1


async def test_what_cannot_be_a_code_is_refused_with_its_line(world: ApiWorld) -> None:
    number = await offer(world, pool=True)
    for code in (
        "",
        "two words",
        "代码",
        "x" * 65,
        12,
        None,
        "tab\t",
        "--",
        "A/B",
        "A\\B",
        "A}",
        ".A",
    ):
        got = await world.post(f"/offers/{number}/codes", json=["GOOD", code])
        assert [one["line"] for one in problem(got, 422, "invalid")["errors"]] == [2]


async def test_every_code_that_comes_in_can_be_named_at_a_checkout(world: ApiWorld) -> None:
    number = await offer(world, pool=True)
    member = await world.member()
    signs = [f"X{chr(sign)}{sign}" for sign in range(33, 127) if chr(sign) not in "/\\{}"]
    codes = [*signs, *(sign + ":1" for sign in "!%#?;=&+$,@~^_[]")]
    assert (await world.post(f"/offers/{number}/codes", json=codes)).json["added"] == len(codes)
    claims = await world.store.coupons.grant(number, [member], b"g", world.clock(), "test")
    assert claims[0].coupon is not None
    assert (await world.get(f"/coupons/{quote(codes[0], safe='')}")).json["code"] == codes[0]
    for code in codes[1:]:
        told = (await world.get(f"/coupons/{quote(code, safe='')}")).json["type"]
        assert told in ("urn:zhiqun:unknown-code", "urn:zhiqun:guessing"), code


async def test_a_code_of_another_offer_is_refused(world: ApiWorld) -> None:
    first, second = (
        await offer(world, pool=True),
        await offer(world, name="make-2", word="夏天", pool=True),
    )
    await world.post(f"/offers/{first}/codes", json=["A1"])
    problem(await world.post(f"/offers/{second}/codes", json=["B1", "a1"]), 422, "invalid")
    assert (await world.get(f"/offers/{second}")).json["left"] == 0


async def test_codes_come_only_into_an_open_pool(world: ApiWorld) -> None:
    ours = await offer(world)
    problem(await world.post(f"/offers/{ours}/codes", json=["A1"]), 409, "no-pool")
    closed = await offer(world, name="make-2", word="夏天", pool=True)
    await world.post(f"/offers/{closed}/status", json={"status": "closed"})
    problem(await world.post(f"/offers/{closed}/codes", json=["A1"]), 409, "no-pool")


async def test_too_many_codes_at_once_are_refused(world: ApiWorld) -> None:
    number = await offer(world, pool=True)
    got = await world.post(f"/offers/{number}/codes", ndjson=["A"] * (MAX_CODES + 1))
    problem(got, 413, "too-many-lines")


# Grants


async def test_members_are_given_a_coupon_each_once(world: ApiWorld) -> None:
    number, members = await offer(world, per_member=5), await people(world, 3)
    got = await granted(world, number, [*members, members[0]])
    assert got.status == 200
    assert got.json["granted"] == 3
    assert [(one["member"], one["outcome"]) for one in got.json["grants"]] == [
        (member, "claimed") for member in members
    ]
    codes = [one["code"] for one in got.json["grants"]]
    assert len(set(codes)) == 3
    again = await granted(world, number, members)
    assert again.json["granted"] == 0
    assert [(one["outcome"], one["code"]) for one in again.json["grants"]] == [
        ("again", code) for code in codes
    ]
    assert [row for row in await audited(world) if row[0] == "offer.grant"] == [
        ("offer.grant", f"offer:{number}", "3")
    ]


async def test_the_same_grant_at_the_same_time_gives_once(world: ApiWorld) -> None:
    number, members = await offer(world, per_member=5), await people(world, 5)
    answers = await asyncio.gather(*(granted(world, number, members) for _ in range(4)))
    assert sum(got.json["granted"] for got in answers) == 5
    assert len({str([one["code"] for one in got.json["grants"]]) for got in answers}) == 1
    assert (await world.get(f"/offers/{number}")).json["claimed"] == 5


async def test_a_grant_ends_with_the_inventory_and_with_a_members_share(world: ApiWorld) -> None:
    number, members = await offer(world, inventory=2), await people(world, 3)
    await granted(world, number, members[:1])
    got = await granted(world, number, members, "g-2")
    assert [(one["outcome"], one["code"] is None) for one in got.json["grants"]] == [
        ("already", True),
        ("claimed", False),
        ("sold_out", True),
    ]


async def test_a_paused_offer_is_only_granted_and_a_closed_one_gives_nothing(
    world: ApiWorld,
) -> None:
    number = await offer(world, per_member=5)
    member = await world.member()
    for status, outcome in (("paused", "claimed"), ("closed", "ended")):
        await world.post(f"/offers/{number}/status", json={"status": status})
        got = await granted(world, number, [member], status)
        assert [one["outcome"] for one in got.json["grants"]] == [outcome]


async def test_one_unknown_member_refuses_the_grant(world: ApiWorld) -> None:
    number, member = await offer(world), await world.member()
    told = problem(await granted(world, number, [member, 999]), 422, "invalid")
    assert [one["pointer"] for one in told["errors"]] == ["/members/1"]
    assert (await world.get(f"/offers/{number}")).json["claimed"] == 0
    bodies: list[dict[str, Any]] = [{"members": []}, {"members": [0]}, {"members": ["1"]}, {}]
    for body in bodies:
        got = await world.post(
            f"/offers/{number}/grants", json=body, headers={"Idempotency-Key": "g"}
        )
        problem(got, 422, "invalid")


async def test_a_grant_without_idempotency_key_gives_nothing(world: ApiWorld) -> None:
    number, member = await offer(world), await world.member()
    got = await world.post(f"/offers/{number}/grants", json={"members": [member]})
    problem(got, 400, "bad-header")
    assert (await world.get(f"/offers/{number}")).json["claimed"] == 0


# Report


async def test_the_report_counts_what_became_of_an_offer(world: ApiWorld) -> None:
    number, members = await offer(world, inventory=10), await people(world, 4)
    codes = [one["code"] for one in (await granted(world, number, members[:3])).json["grants"]]
    claimed = await world.store.coupons.claim(
        "早鸟", Claimant(members[3]), bytes(16), world.clock()
    )
    assert claimed.coupon is not None
    cart = {"order": "17", "amount_cents": 19900}
    for verb, code in (("redeem", codes[0]), ("reserve", codes[1])):
        got = await world.post(
            f"/coupons/{code}/{verb}",
            json=cart | {"order": verb},
            headers={"Idempotency-Key": verb},
        )
        assert got.status == 200, got.body
    assert (await world.post(f"/coupons/{codes[2]}/revoke", json={})).status == 200
    told = (await world.get(f"/offers/{number}/report", scopes=READ)).json
    assert told.pop("offer")["left"] == 6
    assert told == {
        "pool_left": 0,
        "claimed": 1,
        "reserved": 1,
        "redeemed": 1,
        "expired": 0,
        "revoked": 1,
        "members": 4,
        "amount_cents": 19900,
        "discount_cents": 2000,
        "by_source": {"claim": 1, "grant": 3},
    }


# Scopes


async def test_each_operation_needs_its_scope(world: ApiWorld) -> None:
    scopes = {"offers:read", "offers:write", "coupons:read", "coupons:redeem"}
    for operation in OPERATIONS:
        path = operation.path.replace("{id}", "1")
        got = await world.call(operation.method, path, json={}, scopes=scopes - {operation.scope})
        assert operation.scope in problem(got, 403, "missing-scope")["detail"]
