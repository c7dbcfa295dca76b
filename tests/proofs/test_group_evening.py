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
            assert world.app._clock is not None
            world.app._clock.stop()  # the play says when jobs run
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
        assert len(evening.gateway.groups[PLAY["group"]].members) >= 30
        await nothing_is_kept_of_who_did_not_want_it(evening)
        await edges_connect_who_talked(evening)
        await adverts_are_hidden(evening)
        nobody_is_welcomed_twice(evening)
    logged = capsys.readouterr().out
    assert "answered" in logged
    assert not [name for name, who in IDS.items() if who in logged], "a log names members"
    words = {line for line in evening.lines if len(line) >= 6}
    assert not [line for line in words if line in logged], "a log repeats what was said"


async def rows(evening: Evening, sql: str, *args: object) -> list[tuple[Any, ...]]:
    return await evening.app.store.db.read(lambda conn: conn.execute(sql, args).fetchall())


async def members(evening: Evening) -> dict[str, int]:
    """The members by the names of the play."""
    known = await rows(
        evening, "select external_id, member_id from identities where channel = ?", CHANNEL
    )
    return {evening.names[who]: number for who, number in known}


async def nothing_is_kept_of_who_did_not_want_it(evening: Evening) -> None:
    who = (await members(evening))[PLAY["opted_out"]]
    assert await rows(evening, "select 1 from talk where member_id = ?", who) == []
    assert await rows(evening, "select 1 from edges where ? in (from_id, to_id)", who) == []
    names = await rows(evening, "select name from group_members where member_id = ?", who)
    assert names == [("",)]
    talked = await rows(evening, "select count(distinct member_id) from talk")
    assert talked[0][0] >= 29, "of everybody else something is"


async def edges_connect_who_talked(evening: Evening) -> None:
    ids = await members(evening)
    found = set(await rows(evening, "select from_id, to_id from edges where place = ?", PLACE))
    missing = [(a, b) for a, b in PLAY["edges"] if (ids[a], ids[b]) not in found]
    assert missing == []
    assert not [pair for pair in found if pair[0] == pair[1]]


async def adverts_are_hidden(evening: Evening) -> None:
    for words in PLAY["unspoken"]:
        there = await rows(evening, "select hidden from talk where text like ?", f"%{words}%")
        assert set(there) == {(1,)}, words
    posts = "select body from posts where kind = 'digest'"
    [digest] = [said.text for said in evening.heard if "日报" in said.text and said.group]
    assert len(await rows(evening, posts)) == 1
    assert not [words for words in PLAY["unspoken"] if words in digest]


def nobody_is_welcomed_twice(evening: Evening) -> None:
    welcomes = [said.text for said in evening.heard if said.text.startswith("欢迎 ")]
    assert len(welcomes) == 1
    assert not [name for name in PLAY["newcomers"] if "".join(welcomes).count(name) > 1]
    assert "推广" not in welcomes[0]
