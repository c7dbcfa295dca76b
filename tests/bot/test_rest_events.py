"""Events over REST: in once, out with a cursor, and what came of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.rest_events import MAX_LINES, OPERATIONS
from tests.bot.api_world import ApiWorld, Got, api

OPENID = "oLVPpjqs9BhvzwPj5A-vTYAX3GLc"
BUY = {
    "id": "order-1-paid",
    "kind": "purchase",
    "at": "2025-11-20T20:00:00+08:00",
    "channel": "mp",
    "openid": OPENID,
    "item": "c1",
    "order": "1",
    "amount_cents": 9900,
}
VIEW = {"id": "v1", "kind": "view", "item": "c1", "visitor": "b1"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, OPERATIONS) as world:
        yield world


def faults(got: Got) -> list[tuple[int, str]]:
    """Line and pointer of everything that a refusal complains of."""
    assert got.headers["Content-Type"].startswith("application/problem+json")
    return [(fault.get("line", 0), fault["pointer"]) for fault in got.json["errors"]]


async def events(shop: ApiWorld, query: str = "") -> list[dict[str, Any]]:
    got = await shop.get(f"/events{query}")
    assert got.status == 200
    return got.lines


async def test_an_event_is_new_once(shop: ApiWorld) -> None:
    member = await shop.member(OPENID)
    first, again = await shop.post("/events", json=BUY), await shop.post("/events", json=BUY)
    assert (first.status, first.json) == (201, {"id": "order-1-paid", "repeated": False})
    assert (again.status, again.json) == (200, {"id": "order-1-paid", "repeated": True})
    (kept,) = await events(shop)
    assert kept["member"] == member
    assert (kept["at"], kept["amount_cents"]) == ("2025-11-20T20:00:00.000+08:00", 9900)
    assert "openid" not in kept


async def test_it_waits_until_the_bot_meets_them(shop: ApiWorld) -> None:
    await shop.post("/events", json=BUY)
    assert [one["member"] for one in await events(shop)] == [None]
    member = await shop.member(OPENID)
    assert [one["member"] for one in await events(shop)] == [member]


async def test_a_faulty_event_is_told_what_is_wrong(shop: ApiWorld) -> None:
    got = await shop.post("/events", json={**BUY, "amount_cents": None, "at": None, "member": 9})
    assert (got.status, faults(got)) == (422, [(0, "/amount_cents")])
    got = await shop.post("/events", json=BUY | {"member": 9})
    assert (got.status, faults(got)) == (422, [(0, "/member")])
    got = await shop.post("/events", json=BUY | {"kind": "steal"})
    assert (got.status, faults(got)) == (422, [(0, "/kind")])
    assert await events(shop) == []


async def test_a_batch_is_stored_whole(shop: ApiWorld) -> None:
    lines = [VIEW | {"id": f"v{n}"} for n in range(1203)]
    got = await shop.post("/events/batch", ndjson=[*lines, VIEW])
    assert (got.status, got.json) == (200, {"stored": 1203, "repeated": 1, "refused": 0})
    got = await shop.post("/events/batch", ndjson=lines)
    assert got.json == {"stored": 0, "repeated": 1203, "refused": 0}


MIXED: list[dict[str, Any]] = [
    VIEW,
    VIEW | {"id": "v2", "kind": "purchase"},
    VIEW | {"id": "v3", "member": 99},
    VIEW | {"id": 4},
    VIEW | {"id": "v5"},
]


async def test_one_bad_line_refuses_the_batch(shop: ApiWorld) -> None:
    got = await shop.post("/events/batch", ndjson=[line for line in MIXED if line["id"] != 4])
    assert (got.status, faults(got)) == (422, [(2, "/amount_cents"), (3, "/member")])
    assert (await shop.post("/events/batch", ndjson=MIXED)).status == 422
    assert await events(shop) == []


async def test_partial_stores_the_good_lines_and_lists_the_others(shop: ApiWorld) -> None:
    got = await shop.post("/events/batch?partial=true", ndjson=MIXED)
    assert got.status == 200
    assert {**got.json, "errors": 0} == {"stored": 2, "repeated": 0, "refused": 3, "errors": 0}
    assert [(one["line"], one["pointer"]) for one in got.json["errors"]] == [
        (2, "/amount_cents"),
        (3, "/member"),
        (4, "/id"),
    ]
    assert [one["id"] for one in await events(shop)] == ["v1", "v5"]


async def test_too_many_lines_are_refused_unread(shop: ApiWorld) -> None:
    body = b"{}\n" * (MAX_LINES + 1)
    got = await shop.post(
        "/events/batch", data=body, headers={"Content-Type": "application/x-ndjson"}
    )
    assert got.status == 413


async def test_packed_bodies_are_refused(shop: ApiWorld) -> None:
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    assert (await shop.post("/events/batch", data=b"\x1f\x8b", headers=headers)).status == 415


async def test_events_are_read_on_behind_a_cursor_and_by_kind(shop: ApiWorld) -> None:
    lines = [VIEW | {"id": f"v{n}", "kind": "click" if n % 5 == 0 else "view"} for n in range(25)]
    await shop.post("/events/batch", ndjson=[*lines, BUY | {"data": {"paid": "wechat"}}])
    first = await events(shop, "?limit=20")
    rest = await events(shop, f"?cursor={first[-1]['cursor']}")
    assert [one["id"] for one in first + rest] == [f"v{n}" for n in range(25)] + [BUY["id"]]
    assert rest[-1]["data"] == {"paid": "wechat"}
    assert len(await events(shop, "?kind=click")) == 5
    assert await events(shop, f"?cursor={rest[-1]['cursor']}") == []


async def test_each_door_needs_its_scope(shop: ApiWorld) -> None:
    read, write = ["events:read"], ["events:write"]
    assert (await shop.get("/events", scopes=write)).status == 403
    assert (await shop.post("/events", json=BUY, scopes=read)).status == 403
    assert (await shop.post("/events/batch", ndjson=[BUY], scopes=read)).status == 403
    assert (await shop.get("/reports/funnel", scopes=[*read, *write])).status == 403
    assert (await shop.get("/reports/funnel", scopes=["reports:read"])).status == 200


async def test_the_funnel_tells_what_an_order_is_owed_to(shop: ApiWorld) -> None:
    autumn = {"campaign": "autumn", "variant": "b", "channel": "mp", "openid": OPENID}
    touches = [
        {"id": "1", "kind": "exposure", "at": "2025-11-18T20:00:00+08:00", **autumn},
        {"id": "2", "kind": "click", "at": "2025-11-19T20:00:00+08:00", **autumn},
        {"id": "3", "kind": "click", "at": "2025-11-20T19:00:00+08:00", **autumn}
        | {"campaign": "winter"},
    ]
    refund = BUY | {"id": "r", "kind": "refund", "amount_cents": 900}
    await shop.post("/events/batch", ndjson=[*touches, BUY, refund])
    got = await shop.get("/reports/funnel")
    assert got.status == 200
    report = got.json
    assert [one["campaign"] for one in report["campaigns"]] == ["autumn", "winter"]
    autumns, winters = report["campaigns"]
    assert winters["last_touch"] == {
        "orders": 1.0,
        "gross_cents": 9900,
        "refunded_cents": 900,
        "net_cents": 9000,
    }
    assert autumns["last_touch"]["orders"] == 0
    assert autumns["position_based"]["net_cents"] == 4500
    assert autumns["median_seconds"] == 86_400
    assert autumns["steps"][0] == {"step": "exposure", "count": 1, "people": 1}
    assert autumns["rates"][0] == {
        "from": "exposure",
        "to": "click",
        "people": 1,
        "went_on": 1,
        "value": 1.0,
        "low": pytest.approx(0.206549, abs=1e-6),
        "high": 1.0,
    }
    assert autumns["rates"][2]["value"] is None, "nobody claimed anything"
    only = (await shop.get("/reports/funnel?campaign=autumn")).json
    assert only["campaigns"] == [autumns]
    assert only["groups"] == report["groups"][:1]


async def test_a_report_of_nothing_is_a_report(shop: ApiWorld) -> None:
    report = (await shop.get("/reports/funnel?campaign=unknown")).json
    assert (report["campaigns"], report["groups"]) == ([], [])
    assert report["total"]["steps"][3] == {"step": "purchase", "count": 0, "people": 0}


@pytest.mark.parametrize(
    "query",
    [
        "since=2025-11-01T00:00:00",
        "since=1969-01-01T00:00:00Z",
        "since=2025-11-02T00:00:00Z&until=2025-11-01T00:00:00Z",
        "window_days=0",
        "view_window_days=31",
        "campaign=",
        "colour=red",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(shop: ApiWorld, query: str) -> None:
    assert (await shop.get(f"/reports/funnel?{query}")).status == 400
