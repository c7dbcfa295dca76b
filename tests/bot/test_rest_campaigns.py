"""Campaigns over REST: the desk's verbs, what refuses them, and figures and rows afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot import rest_campaign_reports, rest_campaigns
from bot.keys import SCOPES
from handlers.campaigning import Campaigns
from tests.bot.api_world import ApiWorld, Got, api
from tests.bot.campaign_place import TEXT, begun, delivered, desk_of, fans

READ, WRITE, SEND = {"campaigns:read"}, {"campaigns:write"}, {"campaigns:send"}
OPERATOR = READ | WRITE | SEND
OWNER = OPERATOR | {"campaigns:own"}
LOUD = {"kind": "text", "text": "转发到朋友圈领红包，回复「退订」不再接收"}
WANTED: Mapping[str, Any] = {
    "title": "开课",
    "channel": "mp",
    "audience": "active 30d",
    "variants": [{"content": TEXT}],
    "metric": "reply",
    "holdout": 0.0,
}


class Late:
    """The desk, made when the world's store is there."""

    desk: Campaigns

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk, name)


@asynccontextmanager
async def place(tmp_path: Path, **rules: Any) -> AsyncIterator[ApiWorld]:
    """The API with a desk."""
    late = Late()
    async with api(tmp_path, campaigns=late) as world:
        late.desk = desk_of(world.store, world.clock, **rules)
        yield world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with place(tmp_path) as world:
        yield world


async def made(world: ApiWorld, name: str = "make-1", scopes: set[str] = OWNER, **more: Any) -> Got:
    return await world.post(
        "/campaigns", json={**WANTED, **more}, headers={"Idempotency-Key": name}, scopes=scopes
    )


async def draft(world: ApiWorld, name: str = "make-1", **more: Any) -> int:
    got = await made(world, name, **more)
    assert got.status == 201, got.body
    return int(got.json["id"])


async def verb(
    world: ApiWorld,
    number: int,
    name: str,
    json: Any = None,
    scopes: set[str] = OWNER,
    key: str = "",
) -> Got:
    headers = {"Idempotency-Key": key or f"{name}-{number}"}
    path = f"/campaigns/{number}/{name}"
    return await world.post(path, json=json, headers=headers, scopes=scopes)


async def code(world: ApiWorld, number: int, scopes: set[str] = OWNER) -> str:
    got = await world.get(f"/campaigns/{number}/preview", scopes=scopes)
    assert got.status == 200, got.body
    return str(got.json["code"])


async def confirmed(
    world: ApiWorld, number: int, scopes: set[str] = OWNER, key: str = "c-1", **more: Any
) -> Got:
    body = {"code": await code(world, number, scopes), **more}
    return await verb(world, number, "confirm", body, scopes, key)


def problem(got: Got, status: int, kind: str) -> Any:
    assert (got.status, got.json["type"]) == (status, f"urn:zhiqun:{kind}"), got.body
    return got.json


async def actions(world: ApiWorld) -> list[str]:
    return [row.action for row in reversed(await world.store.audit.newest(99))]


# Making


async def test_a_campaign_is_made_a_draft_and_reads_as_it_was_wanted(world: ApiWorld) -> None:
    wanted = {
        **WANTED,
        "title": "上新",
        "audience": "tag:VIP and level>=2",
        "variants": [
            {"name": "A", "weight": 2, "content": TEXT},
            {"name": "B", "weight": 1, "content": {"kind": "text", "text": "回复退订"}},
        ],
        "routes": ["custom"],
        "topic": "课程",
        "timing": "best",
        "starts_at": "2026-01-05T20:00:00.000+08:00",
        "not_after": "2026-01-06T20:00:00.000+08:00",
        "holdout": 0.1,
        "metric": "purchase",
        "window_s": 86400.0,
        "test_share": 0.2,
        "test_s": 3600.0,
    }
    got = await made(world, **wanted)
    assert got.status == 201, got.body
    assert got.headers["Location"] == f"/api/v1/campaigns/{got.json['id']}"
    shown = (await world.get(f"/campaigns/{got.json['id']}", scopes=READ)).json
    assert shown == got.json
    assert {name: shown[name] for name in wanted} == wanted
    assert (shown["status"], shown["kind"], shown["planned"]) == ("draft", "once", 0)
    assert shown["created_by"].startswith("key:")


async def test_a_campaign_sent_again_is_made_once_however_often_it_changed(
    world: ApiWorld,
) -> None:
    await world.key(OWNER)
    first, second = await asyncio.gather(made(world), made(world))
    assert first.status == second.status == 201
    assert first.json["id"] == second.json["id"]
    await world.put(
        f"/campaigns/{first.json['id']}",
        json={**WANTED, "title": "改了"},
        headers={"Idempotency-Key": "e"},
    )
    third = await made(world)
    assert (third.status, third.json["id"]) == (201, first.json["id"])
    assert (await world.get("/campaigns", scopes=READ)).json["next"] is None
    assert await actions(world) == ["campaign.new", "campaign.edit"]


async def test_another_campaign_under_a_used_key_is_refused(world: ApiWorld) -> None:
    await draft(world)
    problem(await made(world, title="别的"), 422, "idempotency-mismatch")
    assert len((await world.get("/campaigns", scopes=READ)).json["campaigns"]) == 1


async def test_every_fault_is_named_by_its_field(world: ApiWorld) -> None:
    wrong: dict[str, Any] = {
        "audience": "tag:VIP and and",
        "cron": "99 * * * *",
        "test_share": 0.1,
        "title": "两\u2028行",
    }
    told = problem(await made(world, **wrong), 422, "invalid")
    found = {one["pointer"]: one["detail"] for one in told["errors"]}
    assert found.keys() == {f"/{field}" for field in wrong}
    assert found["/audience"].startswith("column 13: ")
    two = [{"name": "B", "content": TEXT}, {"name": "A", "content": {"text": "x"}}]
    told = problem(await made(world, variants=two), 422, "invalid")
    assert [one["pointer"] for one in told["errors"]] == ["/variants/1"]
    told = problem(await made(world, audience='segment:"nowhere"'), 422, "invalid")
    assert [one["pointer"] for one in told["errors"]] == ["/audience"]
    assert await world.store.campaigns.all() == []


async def test_what_is_no_campaign_is_refused(world: ApiWorld) -> None:
    changes: list[dict[str, Any]] = [
        {"title": ""},
        {"title": "两\n行"},
        {"channel": ""},
        {"channel": "公众号"},
        {"audience": ""},
        {"audience": "x" * 1001},
        {"variants": []},
        {"variants": [{"name": "A B", "content": TEXT}]},
        {"variants": [{"content": []}]},
        {"routes": ["post"]},
        {"metric": "joy"},
        {"holdout": 0.6},
        {"holdout": -1},
        {"window_s": 1},
        {"starts_at": "2026-01-05T20:00:00"},
        {"starts_at": "1970-01-01T00:00:00Z"},
        {"journey_id": 1},
        {"status": "running"},
        {"not_after": "2026-01-05T00:00:00Z", "starts_at": "2026-01-06T00:00:00Z"},
        {"cron": "0 9 * * *", "not_after": "2026-01-05T00:00:00Z"},
    ]
    for change in changes:
        problem(await made(world, **change), 422, "invalid")
    assert await world.store.campaigns.all() == []


async def test_a_content_as_deep_as_a_well_is_refused_and_not_a_crash(world: ApiWorld) -> None:
    for depth in (50, 400, 900, 20_000):
        deep = '{"a":' * depth + "1" + "}" * depth
        body = (
            '{"title":"t","channel":"mp","audience":"active 1d",'
            f'"variants":[{{"content":{{"kind":"text","text":"x","more":{deep}}}}}]}}'
        )
        got = await world.post(
            "/campaigns",
            data=body.encode(),
            headers={"Content-Type": "application/json", "Idempotency-Key": f"d{depth}"},
        )
        assert got.status in (201, 400, 422), (depth, got.body[:300])
        if got.status == 201:
            shown = await world.get(f"/campaigns/{got.json['id']}/preview")
            assert shown.status in (200, 422), (depth, shown.body[:300])


async def test_ugly_values_are_kept_as_they_are_or_refused(world: ApiWorld) -> None:
    texts = ['"\\u0000"', '"\\ud800"', "1e308", "1e999", "9" * 400, "null", '"{{ x }}{% for %}"']
    for at, text in enumerate(texts):
        body = (
            '{"title":"t","channel":"mp","audience":"active 1d",'
            f'"variants":[{{"content":{{"kind":"text","text":{text}}}}}]}}'
        )
        got = await world.post(
            "/campaigns",
            data=body.encode(),
            headers={"Content-Type": "application/json", "Idempotency-Key": f"u{at}"},
        )
        assert got.status in (201, 400, 422), (text[:20], got.body[:300])
        if got.status == 201:
            told = await world.get(f"/campaigns/{got.json['id']}/preview")
            assert told.status == 200, (text[:20], told.body[:300])
            rules = {one["rule"] for one in told.json["findings"]}
            assert "content-broken" in rules, text[:20]


async def test_a_change_needs_an_idempotency_key(world: ApiWorld) -> None:
    number = await draft(world)
    for name in ("confirm", "schedule", "pause", "resume", "cancel", "undo"):
        got = await world.post(f"/campaigns/{number}/{name}", json={}, scopes=OWNER)
        problem(got, 400, "bad-header")
    problem(await world.put(f"/campaigns/{number}", json=dict(WANTED)), 400, "bad-header")


async def test_campaigns_are_listed_by_page_and_status(world: ApiWorld) -> None:
    numbers = [await draft(world, f"m-{at}") for at in range(3)]
    first = (await world.get("/campaigns?limit=2", scopes=READ)).json
    assert [one["id"] for one in first["campaigns"]] == numbers[:0:-1]
    rest = (await world.get(f"/campaigns?limit=2&before={first['next']}", scopes=READ)).json
    assert ([one["id"] for one in rest["campaigns"]], rest["next"]) == (numbers[:1], None)
    await verb(world, numbers[0], "cancel")
    found = (await world.get("/campaigns?status=cancelled", scopes=READ)).json["campaigns"]
    assert [one["id"] for one in found] == numbers[:1]
    problem(await world.get("/campaigns?status=lost", scopes=READ), 400, "bad-query")


# Looking and confirming


async def test_a_preview_says_what_whom_how_and_the_code_confirms_it(world: ApiWorld) -> None:
    members = await fans(world.store, world.clock(), 3)
    number = await draft(world)
    told = (await world.get(f"/campaigns/{number}/preview", scopes=OWNER)).json
    assert [one["text"] for one in told["shown"]] == [TEXT["text"]]
    assert (told["findings"], told["campaign"]["id"]) == ([], number)
    forecast = told["forecast"]
    assert (forecast["matched"], forecast["recipients"], forecast["problems"]) == (3, 3, [])
    assert (forecast["routes"], sorted(forecast["sample"])) == ({"custom": 3}, members)
    assert forecast["at"] == "2025-11-21T12:00:00.000+08:00"
    got = await confirmed(world, number)
    assert (got.status, got.json["status"], got.json["approved"]) == (200, "scheduled", 3)
    # The answer was lost: the same request again, with the code of the draft.
    again = await verb(world, number, "confirm", {"code": told["code"]}, key="c-1")
    assert (again.status, again.json) == (200, got.json)
    assert (await actions(world)).count("campaign.confirm") == 1


async def test_a_wrong_code_and_one_of_before_an_edit_confirm_nothing(world: ApiWorld) -> None:
    await fans(world.store, world.clock(), 3)
    number = await draft(world)
    old = await code(world, number)
    other = old[:-1] + ("A" if old[-1] != "A" else "B")
    problem(await verb(world, number, "confirm", {"code": other}), 409, "wrong-code")
    edited = {**WANTED, "title": "开课了"}
    headers = {"Idempotency-Key": "edit-1"}
    got = await world.put(f"/campaigns/{number}", json=edited, headers=headers, scopes=WRITE)
    assert (got.status, got.json["title"]) == (200, "开课了")
    problem(await verb(world, number, "confirm", {"code": old}, key="c-2"), 409, "wrong-code")
    assert (await confirmed(world, number, key="c-3")).status == 200


async def test_another_edit_under_a_used_key_is_refused_and_changes_nothing(
    world: ApiWorld,
) -> None:
    number, second = await draft(world), await draft(world, "make-2")
    headers = {"Idempotency-Key": "edit-1"}
    for _ in range(2):
        got = await world.put(
            f"/campaigns/{number}", json={**WANTED, "title": "一"}, headers=headers, scopes=WRITE
        )
        assert (got.status, got.json["title"]) == (200, "一")
    got = await world.put(
        f"/campaigns/{number}", json={**WANTED, "title": "二"}, headers=headers, scopes=WRITE
    )
    problem(got, 422, "idempotency-mismatch")
    got = await world.put(
        f"/campaigns/{second}", json={**WANTED, "title": "一"}, headers=headers, scopes=WRITE
    )
    problem(got, 422, "idempotency-mismatch")
    titles = [one.title for one in await world.store.campaigns.all()]
    assert titles == ["开课", "一"]


async def test_a_time_is_set_and_wants_a_new_confirmation(world: ApiWorld) -> None:
    await fans(world.store, world.clock(), 3)
    number = await draft(world)
    assert (await confirmed(world, number)).status == 200
    at = "2025-11-22T20:00:00.000+08:00"
    got = await verb(world, number, "schedule", {"starts_at": at}, WRITE)
    assert (got.status, got.json["starts_at"], got.json["status"]) == (200, at, "draft")
    assert (await verb(world, number, "schedule", {"starts_at": at}, WRITE)).json == got.json
    other = await verb(world, number, "schedule", {"starts_at": None}, WRITE)
    problem(other, 422, "idempotency-mismatch")
    got = await verb(world, number, "schedule", {"starts_at": None}, WRITE, "s-2")
    assert got.json["starts_at"] is None
    until = await draft(world, "make-2", not_after=at)
    late = {"starts_at": "2025-11-23T20:00:00+08:00"}
    problem(await verb(world, until, "schedule", late, WRITE), 422, "invalid")
    repeats = await draft(world, "make-3", cron="0 9 * * 1")
    problem(await verb(world, repeats, "schedule", late, WRITE), 409, "wrong-status")


async def test_findings_are_errors_until_an_owner_overrides_them(world: ApiWorld) -> None:
    await fans(world.store, world.clock(), 3)
    number = await draft(world, variants=[{"content": LOUD}])
    told = problem(await confirmed(world, number), 422, "findings")
    (error,) = told["errors"]
    assert error["detail"].startswith("content.A: induced-sharing: ")
    forced = await confirmed(world, number, OPERATOR, override=True)
    problem(forced, 403, "owner-only")
    assert (await confirmed(world, number, key="c-2", override=True)).status == 200
    assert (await actions(world))[-1] == "campaign.override"
    fixed = await draft(world, "make-2", routes=["template"])
    problem(await confirmed(world, fixed, key="c-3", override=True), 422, "findings")


async def test_everyone_needs_the_scope_of_an_owner(world: ApiWorld) -> None:
    await fans(world.store, world.clock(), 3)
    number = await draft(world, audience="everyone", scopes=OPERATOR)
    told = problem(await confirmed(world, number, OPERATOR), 422, "findings")
    assert "everyone-needs-owner" in told["errors"][0]["detail"]
    assert (await confirmed(world, number)).status == 200


async def test_nobody_to_reach_is_refused(world: ApiWorld) -> None:
    problem(await confirmed(world, await draft(world)), 409, "nobody")


async def test_more_than_the_quota_is_refused(tmp_path: Path) -> None:
    async with place(tmp_path, custom_per_day=2) as world:
        await fans(world.store, world.clock(), 3)
        problem(await confirmed(world, await draft(world)), 409, "impossible")


async def test_over_so_many_recipients_two_keys_confirm(tmp_path: Path) -> None:
    async with place(tmp_path, two_person_over=2) as world:
        await fans(world.store, world.clock(), 3)
        number = await draft(world)
        for key in ("c-1", "c-2"):
            got = await confirmed(world, number, key=key)
            assert (got.status, got.json["status"]) == (202, "draft")
        got = await confirmed(world, number, OPERATOR, "c-3")
        assert (got.status, got.json["status"]) == (200, "scheduled")


async def test_what_nobody_can_follow_any_more_is_said_and_no_500(world: ApiWorld) -> None:
    await fans(world.store, world.clock(), 3)
    number, repeats = await draft(world), await draft(world, "make-2")
    await world.store.db.write(
        lambda conn: (
            conn.execute(
                "update campaigns set audience = 'segment:gone' where id = ?", (number,)
            ).rowcount,
            conn.execute(
                "update campaigns set kind = 'cron', cron = 'daily' where id = ?", (repeats,)
            ).rowcount,
        )
    )
    for one, said in ((number, "audience: column 1: "), (repeats, "cron: five fields")):
        told = problem(await world.get(f"/campaigns/{one}/preview"), 422, "not-readable")
        assert told["errors"][0]["detail"].startswith(said)
        got = await verb(world, one, "confirm", {"code": "AAAA"})
        problem(got, 422, "not-readable")


# Stopping


async def test_pause_resume_cancel_and_undo_do_it_once_for_a_key(world: ApiWorld) -> None:
    await fans(world.store, world.clock(), 3)
    number = await draft(world)
    await confirmed(world, number)
    for name, status in (("pause", "paused"), ("resume", "scheduled"), ("pause", "scheduled")):
        got = await verb(world, number, name, scopes=SEND)
        assert (got.status, got.json["status"]) == (200, status)
    problem(await verb(world, number, "resume", key="r-2"), 409, "wrong-status")
    assert (await verb(world, number, "cancel")).json["status"] == "cancelled"
    problem(await verb(world, number, "undo"), 409, "wrong-status")
    second = await draft(world, "make-2")
    got = await verb(world, second, "pause", scopes=SEND, key=f"pause-{number}")
    problem(got, 422, "idempotency-mismatch")
    assert (await verb(world, second, "undo")).json["status"] == "cancelled"


async def test_what_has_begun_is_not_changed(world: ApiWorld) -> None:
    await fans(world.store, world.clock(), 3)
    number = await draft(world)
    await begun(world.store, number, "running", world.clock())
    headers = {"Idempotency-Key": "e"}
    got = await world.put(f"/campaigns/{number}", json=dict(WANTED), headers=headers)
    problem(got, 409, "wrong-status")
    problem(await confirmed(world, number), 409, "wrong-status")


async def test_of_a_campaign_there_is_not_everything_is_a_404(world: ApiWorld) -> None:
    for name in ("", "/preview", "/report", "/deliveries"):
        problem(await world.get(f"/campaigns/9{name}"), 404, "not-found")
    for name in ("pause", "resume", "cancel", "undo"):
        problem(await verb(world, 9, name), 404, "not-found")
    problem(await verb(world, 9, "confirm", {"code": "AAAA"}), 404, "not-found")
    problem(await verb(world, 9, "schedule", {"starts_at": None}), 404, "not-found")
    got = await world.put("/campaigns/9", json=dict(WANTED), headers={"Idempotency-Key": "e"})
    problem(got, 404, "not-found")


async def test_without_a_desk_there_is_nothing_to_ask(tmp_path: Path) -> None:
    async with api(tmp_path) as world:
        problem(await made(world), 503, "off")


# Afterwards


async def test_unknown_deliveries_are_listed_and_settled_once(world: ApiWorld) -> None:
    members = await fans(world.store, world.clock(), 3)
    number, other = await draft(world), await draft(world, "make-2")
    first, second = await delivered(world.store, number, "unknown", *members[:2])
    (third,) = await delivered(world.store, other, "unknown", members[2])
    listed = (await world.get("/deliveries/unknown", scopes=READ)).json["deliveries"]
    assert [one["id"] for one in listed] == [third, second, first]
    assert listed[2] | {"at": ""} == {
        "id": first,
        "campaign": number,
        "title": "开课",
        "member": members[0],
        "route": "custom",
        "at": "",
    }
    path = f"/deliveries/unknown?campaign={number}"
    assert len((await world.get(path, scopes=READ)).json["deliveries"]) == 2
    settled = f"/deliveries/{first}/settle"
    assert (await world.post(settled, json={"arrived": True}, scopes=SEND)).status == 204
    problem(await world.post(settled, json={"arrived": False}, scopes=SEND), 404, "not-found")
    assert (await world.post(f"/deliveries/{second}/settle", json={"arrived": False})).status == 204
    assert await world.store.deliveries.counts(number) == {"accepted": 1, "refused": 1}
    assert (await actions(world)).count("delivery.settle") == 2


async def test_a_report_has_the_arms_and_what_they_say(world: ApiWorld) -> None:
    members = await fans(world.store, world.clock(), 4)
    number = await draft(world, holdout=0.5)
    await begun(world.store, number, "done", 1.7e9)
    await delivered(world.store, number, "delivered", *members[:2])
    await delivered(world.store, number, "refused", members[2])
    await delivered(world.store, number, "held", members[3])
    told = (await world.get(f"/campaigns/{number}/report", scopes=READ)).json
    assert (told["campaign"], told["title"], told["status"]) == (number, "开课", "done")
    arms = [(arm["variant"], arm["held"], arm["assigned"]) for arm in told["arms"]]
    assert arms == [("A", False, 3), ("A", True, 1)]
    sent = told["arms"][0]
    assert (sent["accepted"], sent["delivered"], sent["refused"]) == (2, 2, {"": 1})
    verdict = told["verdict"]
    assert (verdict["metric"], verdict["enough"], verdict["srm_ok"]) == ("reply", False, True)
    # Nobody answered: what that comes to in percent cannot be said, and is no NaN.
    assert (verdict["total"]["hits"], verdict["total"]["uplift"]) == (0, None)


async def test_a_report_of_a_draft_is_empty(world: ApiWorld) -> None:
    number = await draft(world)
    told = (await world.get(f"/campaigns/{number}/report", scopes=READ)).json
    assert (told["arms"], told["final"], told["started_at"]) == ([], False, None)
    assert told["verdict"]["why"] == "empty"


async def test_deliveries_come_line_by_line_by_number_and_from_a_cursor(world: ApiWorld) -> None:
    members = await fans(world.store, world.clock(), 3)
    number = await draft(world)
    rows = await delivered(world.store, number, "accepted", *members)
    got = await world.get(f"/campaigns/{number}/deliveries", scopes=READ)
    assert got.headers["Content-Type"] == "application/x-ndjson"
    assert [(line["id"], line["member"]) for line in got.lines] == list(
        zip(rows, members, strict=True)
    )
    assert b"o_fan" not in got.body
    assert got.lines[0]["claimed_at"] == "2023-11-15T06:13:20.000+08:00"
    path = f"/campaigns/{number}/deliveries?cursor={rows[0]}&limit=1"
    assert [line["id"] for line in (await world.get(path, scopes=READ)).lines] == rows[1:2]
    empty = await world.get(f"/campaigns/{number}/deliveries?cursor={rows[2]}", scopes=READ)
    assert (empty.status, empty.body) == (200, b"")


async def test_a_step_of_a_journey_is_not_made_a_campaign_of_its_own(world: ApiWorld) -> None:
    number = await draft(world)
    await world.store.db.write(
        lambda conn: conn.execute(
            "update campaigns set kind = 'step', delay_s = 0 where id = ?", (number,)
        )
    )
    headers = {"Idempotency-Key": "e"}
    got = await world.put(f"/campaigns/{number}", json=dict(WANTED), headers=headers)
    problem(got, 409, "wrong-status")
    found = await world.store.campaigns.get(number)
    assert found is not None
    assert found.kind == "step"


async def test_no_change_is_left_without_its_line_in_the_audit(world: ApiWorld) -> None:
    await fans(world.store, world.clock(), 3)
    number = await draft(world)
    before = await world.store.campaigns.get(number)
    shown = await code(world, number)
    await world.full(True)
    got = [
        (await made(world, "make-2")).status,
        (await verb(world, number, "confirm", {"code": shown})).status,
        (await verb(world, number, "cancel")).status,
        (await verb(world, number, "undo")).status,
    ]
    assert got == [503] * 4
    assert await world.store.campaigns.get(number) == before
    await world.full(False)
    assert (await verb(world, number, "confirm", {"code": shown})).status == 200


# Scopes


async def test_each_operation_needs_its_scope(world: ApiWorld) -> None:
    for operation in (*rest_campaigns.OPERATIONS, *rest_campaign_reports.OPERATIONS):
        path = operation.path.replace("{id}", "1")
        scopes = set(SCOPES) - {operation.scope}
        got = await world.call(operation.method, path, json={}, scopes=scopes)
        assert operation.scope in problem(got, 403, "missing-scope")["detail"]
