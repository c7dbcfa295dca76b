"""An evening in a group of thirty: the bot speaks only when it may.

The whole bot, a gateway's WebSocket and a clock of our own. What is said stands in evening.toml;
whatever the bot says beside it fails.
"""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from bot.config import GatewaySettings, GroupSettings, Secret
from handlers.quiz_text import read
from sandbox.fake_gateway import FakeGateway
from store.content import NewFaq
from tests.proofs.evening import Evening
from tests.proofs.world import opened, until

PLAY: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("evening.toml").read_text(encoding="utf-8")
)
TOKEN = "a-token-of-the-gateway"
CHANNEL = "qun"
PLACE = f"{CHANNEL}:{PLAY['group']}"
PEOPLE = (PLAY["operator"], *PLAY["people"], *PLAY["newcomers"])
IDS = {name: f"wxid_evening_{number:02}" for number, name in enumerate(PEOPLE)}


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Evening]:
    """Everybody is there, and the gateway is connected."""
    evening = Evening(PLAY["group"], IDS, datetime.fromisoformat(PLAY["begins"]).timestamp())
    present = {IDS[name]: name for name in (PLAY["operator"], *PLAY["people"])}
    gateway = FakeGateway("", TOKEN, version=11, now=lambda: evening.at)
    gateway.group(PLAY["group"], PLAY["title"], present)
    settings = GatewaySettings(
        channel=CHANNEL,
        accept_risk=True,
        access_token=Secret(TOKEN),
        per_minute=600,
        owners=(IDS[PLAY["operator"]],),
    )
    sections = {
        "gateways": MappingProxyType({CHANNEL: settings}),
        "groups": GroupSettings(welcome_minutes=1.0),
    }
    faq = [NewFaq(question, answer) for question, answer in PLAY["faq"]]
    async with opened(folder, sections=sections, faq=faq, now=lambda: evening.at) as world:
        evening.app = world.app
        evening.listen(gateway)
        gateway.webhook = f"http://127.0.0.1:{world.app.webhook_port}/hook/{CHANNEL}"
        try:
            assert await gateway.connect()
            side = world.app._groups
            assert side is not None
            await until(lambda: side.gateways[CHANNEL].connected, "the gateway")
            await world.app.store.quizzes.create(read(PLAY["quiz"]), evening.at, "cli")
            yield evening
        finally:
            await gateway.close()


async def test_an_evening_in_a_group_of_thirty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(tmp_path) as evening:
        for scene in PLAY["scene"]:
            await evening.play(scene["lines"])
