"""A signed key: without the secret that never travels the key alone opens nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from bot.keys import SCOPES, new_key
from bot.rest import PREFIX
from bot.rest_all import ALL
from bot.signature import WINDOW_S, Replays, sign
from tests.bot.api_world import ApiWorld, Got, api

ITEM = {"id": "py-101", "kind": "course", "title": "零基础学 Python"}
JSON = {"Content-Type": "application/json"}


@dataclass
class Signer:
    """A shop that signs as the guide says, with its own few lines instead of ours."""

    world: ApiWorld
    key: str
    secret: str

    def headers(
        self, method: str, path: str, body: bytes = b"", late_s: float = 0, name: str = ""
    ) -> dict[str, str]:
        timestamp = int(self.world.clock()) - int(late_s)
        target = URL(f"{self.world.base}{PREFIX}{path}").raw_path_qs
        text = f"{timestamp}.{method}.{target}.{name}.".encode() + body
        mac = hmac.digest(self.secret.encode(), text, hashlib.sha256)
        return {
            "Zhiqun-Timestamp": str(timestamp),
            "Zhiqun-Signature": f"v1,{base64.b64encode(mac).decode()}",
        }

    async def call(
        self,
        method: str,
        path: str,
        data: bytes = b"",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Got:
        """One request, signed unless `headers` are given instead."""
        if headers is None:
            headers = self.headers(method, path, data)
        sent = {**(JSON if data else {}), **headers}
        return await self.world.call(
            method, path, key=self.key, data=data or None, headers=sent, **more
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path) as world:
        yield world


@pytest.fixture
async def shop(world: ApiWorld) -> Signer:
    row, key = new_key("shop", SCOPES, 600_000, world.clock(), signed=True)
    assert row.signing_secret is not None
    assert await world.store.keys.add(row)
    return Signer(world, key, row.signing_secret)


def refused(got: Got) -> str:
    """What a request is told whose signature is not good."""
    assert (got.status, got.json["type"]) == (401, "urn:zhiqun:not-signed"), got.body
    assert got.headers["WWW-Authenticate"] == 'Bearer realm="zhiqun"'
    return str(got.json["detail"])


def test_a_signature_is_what_any_hmac_makes_of_time_method_path_and_body() -> None:
    # echo -n '1763697600.POST./api/v1/items..[]' | openssl dgst -sha256 -hmac zqs_test -binary
    assert (
        sign("zqs_test", 1_763_697_600, "POST", "/api/v1/items", b"[]")
        == "v1,ogfkE+TmI8gnAcyrohPskmrMIY1rx0rkinuqWSvuMTI="
    )


async def test_a_signed_request_is_let_in(shop: Signer) -> None:
    body = json.dumps(ITEM, ensure_ascii=False).encode()
    assert (await shop.call("PUT", "/items/py-101", body)).status == 201
    assert (await shop.call("GET", "/items?limit=5&q=%E9%9B%B6")).status == 200
    assert (await shop.call("DELETE", "/items/py-101")).status == 204


async def test_a_signed_key_without_signature_opens_nothing(shop: Signer) -> None:
    assert "Zhiqun-Signature" in refused(await shop.call("GET", "/items", headers={}))
    good = shop.headers("GET", "/items")
    for missing in good:
        one = {name: value for name, value in good.items() if name != missing}
        refused(await shop.call("GET", "/items", headers=one))
        refused(await shop.call("GET", "/items", headers={**one, missing: ""}))


async def test_a_secret_does_not_stand_in_for_its_key(shop: Signer) -> None:
    got = await shop.world.get("/items", key=shop.secret, headers=shop.headers("GET", "/items"))
    assert (got.status, got.json["type"]) == (401, "urn:zhiqun:no-key")


async def test_whatever_is_altered_on_the_way_is_refused(shop: Signer) -> None:
    body = json.dumps([ITEM]).encode()
    good = shop.headers("POST", "/items", body)
    for told in (
        await shop.call("POST", "/items", body.replace(b"101", b"102"), good),
        await shop.call("POST", "/items", body + b" ", good),
        await shop.call("POST", "/items?partial=true", body, good),
        await shop.call("POST", "/events", body, good),
        await shop.call("GET", "/items", headers=good),
        await shop.call(
            "POST", "/items", body, {**good, "Zhiqun-Timestamp": str(int(shop.world.clock()) + 1)}
        ),
    ):
        assert "does not fit" in refused(told)
    assert await shop.world.store.catalogue.items() == []
    assert (await shop.call("POST", "/items", body, good)).status == 200


async def test_another_keys_secret_does_not_fit(shop: Signer) -> None:
    other, _ = new_key("other", SCOPES, 600, shop.world.clock(), signed=True)
    assert other.signing_secret is not None
    shop.secret = other.signing_secret
    assert "does not fit" in refused(await shop.call("GET", "/items"))


async def test_a_signature_that_is_none_is_refused(shop: Signer) -> None:
    good = shop.headers("GET", "/items")
    hollow = good["Zhiqun-Signature"].removeprefix("v1,")
    for signature in ("v1,", "AAAA", f"v2,{hollow}", hollow, "v1,ÄÖÜ", "v1," + "A" * 5000):
        headers = {**good, "Zhiqun-Signature": signature}
        refused(await shop.call("GET", "/items", headers=headers))


async def test_a_timestamp_holds_for_five_minutes_both_ways(shop: Signer) -> None:
    for late_s in (-WINDOW_S, 0, WINDOW_S):
        headers = shop.headers("GET", "/items", late_s=late_s)
        assert (await shop.call("GET", "/items", headers=headers)).status == 200
    for late_s in (-WINDOW_S - 1, WINDOW_S + 1, 10**9):
        headers = shop.headers("GET", "/items", late_s=late_s)
        assert "300 s" in refused(await shop.call("GET", "/items", headers=headers))


async def test_a_timestamp_that_is_no_number_is_named(shop: Signer) -> None:
    for at in ("now", "1.5", "-1", "1e9", "１２３", "9" * 40, "2025-11-21T12:00Z"):
        headers = {**shop.headers("GET", "/items"), "Zhiqun-Timestamp": at}
        assert "whole Unix seconds" in refused(await shop.call("GET", "/items", headers=headers))


async def test_an_old_request_is_refused_before_its_body_is_read(shop: Signer) -> None:
    head = shop.headers("POST", "/items", b"", late_s=WINDOW_S + 1)
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.world.port)
    # A megabyte is announced and never comes.
    writer.write(
        f"POST {PREFIX}/items HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {shop.key}\r\n{lines}"
        "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n".encode()
    )
    status = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert b" 401 " in status


async def test_a_request_sent_again_changes_nothing_more(shop: Signer) -> None:
    event = {"id": "e1", "kind": "view", "item": "py-101", "visitor": "v1"}
    body = json.dumps(event).encode()
    headers = shop.headers("POST", "/events", body)
    assert (await shop.call("POST", "/events", body, headers)).status == 201
    assert "here before" in refused(await shop.call("POST", "/events", body, headers))
    shop.world.clock.at += 1
    assert (await shop.call("POST", "/events", body)).status == 200


async def test_an_idempotency_key_is_signed_with_the_rest(shop: Signer) -> None:
    member = await shop.world.member()
    path, body = f"/members/{member}/points", json.dumps({"amount": 1000, "note": "x"}).encode()
    good = {**shop.headers("POST", path, body, name="one"), "Idempotency-Key": "one"}
    assert (await shop.call("POST", path, body, good)).status == 200
    other = {**good, "Idempotency-Key": "two"}
    assert "Idempotency-Key" in refused(await shop.call("POST", path, body, other))
    # The same again may come: it is the same thousand.
    assert (await shop.call("POST", path, body, good)).status == 200
    assert (await shop.world.store.points.balance(member)).balance == 1000


async def test_used_signatures_are_forgotten_when_they_are_too_old_to_come_again() -> None:
    replays = Replays()
    assert replays.is_new("a", 0.0)
    assert not replays.is_new("a", 2.0 * WINDOW_S)
    assert replays.is_new("b", 2.0 * WINDOW_S + 1)
    assert replays.is_new("a", 2.0 * WINDOW_S + 1)


async def test_a_long_body_is_signed_whole(shop: Signer) -> None:
    body = json.dumps(
        [{**ITEM, "id": f"i-{n}", "summary": "长" * 500} for n in range(200)]
    ).encode()
    assert len(body) > 64 << 10
    good = shop.headers("POST", "/items", body)
    assert "does not fit" in refused(await shop.call("POST", "/items", body[:-2] + b" ]", good))
    assert (await shop.call("POST", "/items", body, good)).json["stored"] == 200


async def test_a_key_without_signing_secret_needs_no_signature(world: ApiWorld) -> None:
    assert (await world.get("/items")).status == 200
    headers = {"Zhiqun-Timestamp": "1", "Zhiqun-Signature": "v1,AAAA"}
    assert (await world.get("/items", headers=headers)).status == 200


async def test_the_secret_is_told_by_nothing(shop: Signer) -> None:
    row = (await shop.world.store.keys.all())[0]
    assert row.signing_secret == shop.secret
    assert shop.secret not in repr(row)
    caller = await shop.world.services.keys.find(shop.key)
    assert caller is not None
    assert caller.signing_secret == shop.secret
    assert shop.secret not in repr(caller)


def test_every_operation_reads_its_body_whole_so_that_it_can_be_signed() -> None:
    # What streams, streams its answer: none reads its body by itself.
    sources = [Path(str(op.run.__code__.co_filename)).read_text("utf-8") for op in ALL]
    assert not any("request.content." in one or "request.read(" in one for one in sources)
