"""The OpenAPI document, and the server held against it.

schemathesis makes requests from the document, good and bad ones, sends them to a running
server and compares what comes back with what the document says.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from bot.hooks import new_secret
from bot.keys import SCOPES
from bot.links import Linker
from bot.openapi import document
from bot.rec_settings import RecommendationSettings
from bot.recommending import Recommender
from bot.rest import PREFIX
from bot.rest_all import ALL
from bot.rest_coupons import CODE
from handlers.campaigning import Campaigns
from handlers.rewards import CouponRules, Rewards
from knowledge import documents
from knowledge.documents import Document
from store.catalogue import Item
from store.events import NewEvent
from store.offers import NewOffer
from tests.bot.api_world import ApiWorld, api
from tests.bot.campaign_place import delivered, desk_of, new
from tests.bot.wechat_world import Clock

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,missing_required_header,"
    "unsupported_method,allow_header_conformance,ignored_auth,negative_data_rejection"
)
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429]

# With partial=true a batch is taken without its bad lines: 200 is the right answer.
[[operations]]
include-name = "POST /items"
[operations.checks.negative_data_rejection]
expected-statuses = [200, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429]

[[operations]]
include-name = "POST /events/batch"
[operations.checks.negative_data_rejection]
expected-statuses = [200, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429]
"""


async def read(name: str, data: bytes) -> Document:
    """As the bot's reader, without its process."""
    return await asyncio.to_thread(documents.read, name, data)


@asynccontextmanager
async def furnished(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    """Every operation, over a store in which something of each kind is there."""
    holder: dict[str, Any] = {}

    class Late:
        """The linker, or the desk, made when the world's store is there."""

        def __init__(self, what: str) -> None:
            self.what = what

        def __getattr__(self, name: str) -> Any:
            return getattr(holder[self.what], name)

    # Made-up codes must not lock the key out: the calls behind them are to be tried as well.
    patient = Rewards(coupons=CouponRules(wrong_tries=10**6))
    late: dict[str, Any] = {"linker": Late("linker"), "campaigns": Late("desk")}
    late["recommendations"] = Late("recommender")
    async with api(tmp_path, ALL, read_document=read, rewards=patient, **late) as world:
        linker = holder["linker"] = Linker(
            world.store, public_url="https://bot.example", now=Clock(world.clock.at)
        )
        await linker.open()
        now = world.clock()
        holder["recommender"] = Recommender(
            world.store, RecommendationSettings(), tmp_path / "models", now=world.clock
        )
        lin = await world.member()
        await world.store.catalogue.put(
            [Item("py-101", "course", "零基础学 Python", url="https://shop.example/py")], now
        )
        await world.store.events.add([NewEvent("e1", "view", now, member_id=lin)], now)
        await world.store.hooks.add("https://a.example/", ["link.clicked"], new_secret(), now, "")
        await world.store.courses.hand_in(lin, "py-101", "", "做完了", now, bytes(16))
        await linker.create(item_id="py-101", by="test")
        offer = await world.store.offers.create(
            NewOffer(word="早鸟", title="早鸟券", kind="amount", value=100, pool=True), now, "test"
        )
        assert offer is not None
        await world.store.offers.add_codes(offer.id, [CODE.example], now)
        await world.store.coupons.grant(offer.id, [lin], bytes(16), now, "test")
        desk: Campaigns = desk_of(world.store, world.clock)
        holder["desk"] = desk
        campaign = await world.store.campaigns.create(new(), now, "test")
        await delivered(world.store, campaign.id, "unknown", lin)
        await world.store.groups.meet("qun", "1", now, bound_by="test")
        yield world


async def drive(world: ApiWorld, folder: Path, *options: str) -> tuple[int, str]:
    """One run of schemathesis against the world: its exit code and what it says."""
    key = await world.key()
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(config), "run"),
        f"{world.base}{PREFIX}/openapi.json",
        *("-H", f"Authorization: Bearer {key}"),
        *("--checks", CHECKS),
        "--generation-deterministic",
        *("--no-color", "--warnings", "off", "--continue-on-failure"),
        *options,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode("utf-8", "replace")


TWINS = ("putItems", "addEvents", "editCampaign")
"""What they take, another operation takes, too: a third of all requests, so nightly."""


async def test_made_up_requests_find_no_500_and_no_breach_of_the_document(tmp_path: Path) -> None:
    async with furnished(tmp_path) as world:
        without = [f"--exclude-operation-id={name}" for name in TWINS]
        options = ("--phases", "coverage", "--max-examples", "1", *without)
        code, said = await drive(world, tmp_path, *options)
        assert code == 0, said[-6000:]
        called = {operation for operation, _ in world.watch.requests} | set(TWINS)
        assert {operation.name for operation in ALL} <= called, "every operation was tried"
        assert not [key for key in world.watch.requests if key[1] >= 500]


@pytest.mark.nightly
async def test_many_made_up_requests_find_none_either(tmp_path: Path) -> None:
    async with furnished(tmp_path) as world:
        options = ("--phases", "coverage,fuzzing", "--max-examples", "60")
        code, said = await drive(world, tmp_path, *options)
        assert code == 0, said[-6000:]
        assert not [key for key in world.watch.requests if key[1] >= 500]


async def test_the_document_is_served_to_everybody_as_it_is_made(tmp_path: Path) -> None:
    async with api(tmp_path, ALL) as world:
        got = await world.get("/openapi.json", scopes=None)
    assert got.status == 200
    assert got.json["openapi"].startswith("3.1")
    assert got.json == json.loads(json.dumps(document(ALL), default=str))


def test_every_operation_says_its_scope_and_its_refusals() -> None:
    made = document(ALL)
    for operation in ALL:
        said = made["paths"][operation.path][operation.method.lower()]
        assert said["operationId"] == operation.name
        if operation.scope:
            assert operation.scope in SCOPES
            assert operation.scope in json.dumps(said)
            assert {"401", "403", "429"} <= set(said["responses"])
        assert {str(status) for status in operation.refusals()} <= set(said["responses"])


def test_operations_have_names_and_paths_of_their_own() -> None:
    assert len({operation.name for operation in ALL}) == len(ALL)
    assert len({(operation.method, operation.path) for operation in ALL}) == len(ALL)


def test_every_schema_of_the_document_is_one() -> None:
    made = json.loads(json.dumps(document(ALL), default=str))
    for name, schema in made["components"]["schemas"].items():
        whole = {"components": made["components"], **schema}
        assert jsonschema_rs.meta.is_valid(whole), name
