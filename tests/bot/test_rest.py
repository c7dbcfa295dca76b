"""The frame around every operation, over HTTP: who is let in, how fast, and with what words."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import structlog
from aiohttp import web

from bot.keys import SCOPES, new_key
from bot.rest import NUMBER, Answer, Call, Operation, Problem
from store import StoreError
from tests.bot.api_world import ApiWorld, Got, api


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    """What one sends."""

    name: str
    count: int = 0


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A query."""

    limit: int = 10
    word: str = ""
    since: int | None = None


class Partial(msgspec.Struct, forbid_unknown_fields=True):
    """Whether good lines are stored."""

    partial: bool = False


async def echo(call: Call) -> Answer:
    return Answer(200, {"limit": call.query.limit, "word": call.query.word})


async def take(call: Call) -> Answer:
    return Answer(201, {"name": call.body.name})


async def take_many(call: Call) -> Answer:
    return Answer(200, {"good": sum(line.value is not None for line in call.body)})


async def one(call: Call) -> Answer:
    return Answer(200, {"id": call.number("id")})


async def broken(call: Call) -> Answer:
    raise RuntimeError("a secret of the inside")


async def refused(call: Call) -> Answer:
    raise StoreError("disk full at some path")


async def own(call: Call) -> Answer:
    raise Problem(409, "Taken", "Somebody has it.", type="taken")


async def stream(call: Call) -> web.StreamResponse:
    async def lines() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b'{"n": %d}\n' % number

    return await call.stream(lines())


def operation(method: str, path: str, run: object, scope: str, **more: object) -> Operation:
    return Operation(
        method=method,  # type: ignore[arg-type]
        path=path,
        name=path.strip("/").replace("/", "_"),
        summary=path,
        scope=scope,
        run=run,  # type: ignore[arg-type]
        **{"answers": {200: dict}, **more},  # type: ignore[arg-type]
    )


OPERATIONS = (
    operation("GET", "/echo", echo, "items:read", query=Asked),
    operation(
        "POST", "/take", take, "items:write", body=Thing, answers={201: dict}, max_bytes=2000
    ),
    operation(
        "POST",
        "/many",
        take_many,
        "items:write",
        body=Thing,
        body_type="ndjson",
        query=Partial,
        max_lines=5,
    ),
    operation("GET", "/things/{id}", one, "items:read", params={"id": NUMBER}),
    operation("GET", "/broken", broken, "items:read"),
    operation("GET", "/refused", refused, "items:read"),
    operation("GET", "/own", own, "items:read", problems=(409,)),
    operation("GET", "/stream", stream, "items:read", streams=True),
    operation("GET", "/open", lambda call: one_answer(), ""),
)


async def one_answer() -> Answer:
    return Answer(200, {"open": True})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, OPERATIONS) as world:
        yield world


def problem(got: Got, status: int, kind: str) -> dict[str, object]:
    """The problem of an answer; every refusal must look like this."""
    assert got.status == status, got.body
    assert got.headers["Content-Type"].startswith("application/problem+json")
    told: dict[str, object] = got.json
    assert told["status"] == status
    assert told["type"] == f"urn:zhiqun:{kind}"
    assert told["title"]
    return told


# Who is let in


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer zq_00000000_" + "a" * 32,
        "Basic dXNlcjpwYXNz",
        "Bearer zq_" + "x" * 4000,
        "Bearer zq_ÄÖÜäöüÄÖ_" + "a" * 32,
    ],
)
async def test_without_a_key_of_ours_nothing_opens(world: ApiWorld, shown: str) -> None:
    headers = {"Authorization": shown} if shown else {}
    got = await world.get("/echo", scopes=None, headers=headers)
    problem(got, 401, "no-key")
    assert got.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_key_with_one_letter_changed_is_no_key(world: ApiWorld) -> None:
    key = await world.key()
    for place in (3, 10, 12, len(key) - 1):
        other = key[:place] + ("a" if key[place] != "a" else "b") + key[place + 1 :]
        problem(await world.get("/echo", key=other), 401, "no-key")
    assert (await world.get("/echo", key=key)).status == 200


async def test_a_revoked_key_is_refused_within_a_second(world: ApiWorld) -> None:
    row, shown = new_key("shop", ["items:read"], 6000, world.clock())
    await world.store.keys.add(row)
    world.services.keys.forget()
    assert (await world.get("/echo", key=shown)).status == 200
    # As another process would: `zhiqun key revoke`.
    await world.store.keys.revoke(row.id, world.clock())
    world.clock.at += 1.0
    problem(await world.get("/echo", key=shown), 401, "no-key")


@pytest.mark.parametrize("scope", sorted(SCOPES))
async def test_each_scope_opens_its_own_doors_only(world: ApiWorld, scope: str) -> None:
    read, write = await world.get("/echo", scopes=[scope]), None
    write = await world.post("/take", scopes=[scope], json={"name": "a"})
    for got, needed in ((read, "items:read"), (write, "items:write")):
        if scope == needed:
            assert got.status in (200, 201)
        else:
            told = problem(got, 403, "missing-scope")
            assert needed in str(told["detail"])
            assert f'scope="{needed}"' in got.headers["WWW-Authenticate"]


async def test_a_public_operation_needs_no_key(world: ApiWorld) -> None:
    assert (await world.get("/open", scopes=None)).json == {"open": True}


# How fast


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(world: ApiWorld) -> None:
    key = await world.key(["items:read"], per_minute=60)
    answers = [await world.get("/echo", key=key) for _ in range(12)]
    assert [got.status for got in answers] == [200] * 10 + [429] * 2
    told = answers[-1]
    problem(told, 429, "rate-limited")
    wait = int(told.headers["Retry-After"])
    assert told.headers["RateLimit-Limit"] == "60"
    assert told.headers["RateLimit-Remaining"] == "0"
    world.clock.at += wait
    assert (await world.get("/echo", key=key)).status == 200


async def test_one_keys_limit_is_not_anothers(world: ApiWorld) -> None:
    slow = await world.key(["items:read"], per_minute=1)
    await world.get("/echo", key=slow)
    assert (await world.get("/echo", key=slow)).status == 429
    assert (await world.get("/echo")).status == 200


async def test_a_refused_scope_costs_a_request_as_well(world: ApiWorld) -> None:
    key = await world.key(["members:read"], per_minute=60)
    statuses = [(await world.get("/echo", key=key)).status for _ in range(12)]
    assert statuses == [403] * 10 + [429] * 2


async def test_parallel_requests_share_the_limit(world: ApiWorld) -> None:
    key = await world.key(["items:read"], per_minute=120)
    got = await asyncio.gather(*(world.get("/echo", key=key) for _ in range(30)))
    assert sum(one.status == 200 for one in got) == 10


# What was sent


async def test_a_query_that_is_not_as_said_is_named(world: ApiWorld) -> None:
    for query, pointer in (
        ("limit=x", "/limit"),
        ("limt=1", "`limt`"),
        ("limit=1&limit=2", "/limit"),
        ("since=null", "/since"),
    ):
        told = problem(await world.get(f"/echo?{query}"), 400, "bad-query")
        assert pointer in json.dumps(told["errors"])
    assert (await world.get("/echo?word=null")).json["word"] == "null"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "malformed-json"),
        (b"\xff\xfe", 400, "malformed-json"),
        (b"[" * 50_000, 413, "too-large"),
        (b"[" * 1500, 422, "invalid"),
        (b'{"name": ' + b"[" * 1500, 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b'{"name": 1}', 422, "invalid"),
        (b'{"name": "a", "count": "2"}', 422, "invalid"),
        (b'{"name": "a", "extra": 1}', 422, "invalid"),
        (b'{"name": "' + b"a" * 3000 + b'"}', 413, "too-large"),
    ],
)
async def test_a_bad_body_is_refused_with_its_place(
    world: ApiWorld, body: bytes, status: int, kind: str
) -> None:
    got = await world.post("/take", data=body, headers={"Content-Type": "application/json"})
    problem(got, status, kind)


async def test_a_fault_has_a_json_pointer(world: ApiWorld) -> None:
    told = problem(await world.post("/take", json={"name": 5}), 422, "invalid")
    assert told["errors"] == [{"pointer": "/name", "detail": "Expected `str`, got `int`"}]


async def test_only_json_in_utf8_is_read(world: ApiWorld) -> None:
    for kind in ("text/plain", "application/xml", "application/json; charset=gbk", ""):
        got = await world.post("/take", data=b"{}", headers={"Content-Type": kind})
        problem(got, 415, "unsupported-media-type")
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    problem(await world.post("/take", data=b"{}", headers=packed), 415, "unsupported-encoding")


async def test_one_bad_line_refuses_all_unless_partial_is_asked_for(world: ApiWorld) -> None:
    lines = [{"name": "a"}, {"name": 1}, {"name": "c"}]
    told = problem(await world.post("/many", ndjson=lines), 422, "invalid")
    assert told["errors"][0]["line"] == 2  # type: ignore[index]
    assert (await world.post("/many?partial=true", ndjson=lines)).json == {"good": 2}
    problem(await world.post("/many", ndjson=[{"name": "a"}] * 6), 413, "too-many-lines")


# What comes back


async def test_a_path_or_method_nobody_has_is_a_problem_too(world: ApiWorld) -> None:
    problem(await world.get("/nowhere"), 404, "no-such-path")
    got = await world.delete("/take")
    problem(got, 405, "method-not-allowed")
    assert got.headers["Allow"] == "POST"
    problem(await world.get("/things/0x1"), 404, "bad-path")
    problem(await world.get("/things/99999999999999999999"), 404, "bad-path")
    assert (await world.get("/things/12")).json == {"id": 12}


async def test_an_error_of_ours_quotes_nothing_and_can_be_found_in_the_log(
    world: ApiWorld,
) -> None:
    with structlog.testing.capture_logs() as logs:
        got = await world.get("/broken")
    told = problem(got, 500, "internal")
    assert "secret" not in got.body.decode()
    assert told["request_id"] in {line.get("request") for line in logs}


async def test_a_store_that_refuses_is_a_503_without_its_words(world: ApiWorld) -> None:
    got = await world.get("/refused")
    problem(got, 503, "store-unavailable")
    assert b"disk" not in got.body
    assert got.headers["Retry-After"] == "1"


async def test_an_operation_has_refusals_of_its_own(world: ApiWorld) -> None:
    assert problem(await world.get("/own"), 409, "taken")["detail"] == "Somebody has it."


async def test_every_answer_is_kept_by_nobody_and_guessed_by_nobody(world: ApiWorld) -> None:
    for path in ("/echo", "/nowhere", "/broken", "/stream", "/open"):
        got = await world.get(path)
        assert got.headers["Cache-Control"] == "no-store", path
        assert got.headers["X-Content-Type-Options"] == "nosniff", path


async def test_a_stream_is_json_lines(world: ApiWorld) -> None:
    got = await world.get("/stream")
    assert got.headers["Content-Type"] == "application/x-ndjson"
    assert got.lines == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_each_request_is_counted_by_operation_and_status(world: ApiWorld) -> None:
    await world.get("/echo")
    await world.get("/echo", scopes=["members:read"])
    await world.get("/nowhere")
    assert world.watch.requests == {("echo", 200): 1, ("echo", 403): 1, ("-", 404): 1}


async def test_no_key_and_no_path_parameter_reaches_the_log(world: ApiWorld) -> None:
    key = await world.key(["members:read"])
    with structlog.testing.capture_logs() as logs:
        await world.get("/things/77", key=key)
        await world.get("/echo", key=key + "x")
    told = json.dumps(logs, default=str)
    assert key not in told
    assert "77" not in told


async def test_bytes_that_are_no_http_are_refused_without_a_page(world: ApiWorld) -> None:
    def send() -> bytes:
        with socket.create_connection(("127.0.0.1", world.port), timeout=5) as line:
            line.sendall(b"\x16\x03\x01 not http at all\r\n\r\n")
            return line.recv(65536)

    said = await asyncio.to_thread(send)
    assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b"not http at all" not in said
