"""One person on two accounts is one member, once WeChat says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from bot.app import App
from bot.config import Config
from bot.rules import Secret
from sandbox.__main__ import ACCOUNT, demo_config
from sandbox.fake_wechat import FakeMember, FakeWeChat

OTHER = replace(ACCOUNT, app_id="wx00other0account0", gh_id="gh_other")
HERE, THERE = "oHere_0000000000000000000001", "oThere000000000000000000002"


def two_channels(folder: Path, here: str, there: str) -> Config:
    config = demo_config(folder, here)
    mp = config.channels["mp"]
    second = replace(mp, name="second", app_id=OTHER.app_id, api_base=there, owners=())
    assert mp.app_secret == Secret(ACCOUNT.app_secret)
    return replace(config, channels=MappingProxyType({"mp": mp, "second": second}))


async def test_a_unionid_joins_two_identities_into_one_member(tmp_path: Path) -> None:
    first, second = FakeWeChat(ACCOUNT), FakeWeChat(OTHER)
    app = App(two_channels(tmp_path, await first.start(), await second.start()), say=lambda _: None)
    await app.start()
    await app.ready.wait()
    first.webhook = f"http://127.0.0.1:{app.webhook_port}/hook/mp"
    second.webhook = f"http://127.0.0.1:{app.webhook_port}/hook/second"
    first.members[HERE] = FakeMember(followed=False, unionid="u-the-same-person")
    second.members[THERE] = FakeMember(followed=False, unionid="u-the-same-person")
    try:
        await first.follow(HERE)
        await first.send_text(HERE, "订阅 新课")
        await second.follow(THERE)
        async with asyncio.timeout(10):
            while await app.store.members.find(HERE) != await app.store.members.find(THERE):
                await asyncio.sleep(0.02)
        assert "新课" in (await second.send_text(THERE, "我的订阅")).text
        rows = await app.store.interactions.page(0)
        assert len({row["member_id"] for row in rows}) == 1
        assert len(rows) == 4, "nothing they did is lost"
    finally:
        await app.stop()
        await first.close()
        await second.close()


async def test_an_account_that_may_not_ask_still_welcomes(tmp_path: Path) -> None:
    fake = FakeWeChat(replace(ACCOUNT, verified=False))
    app = App(demo_config(tmp_path, await fake.start()), say=lambda _: None)
    await app.start()
    await app.ready.wait()
    fake.webhook = f"http://127.0.0.1:{app.webhook_port}/hook/mp"
    try:
        assert (await fake.follow(HERE)).outcome == "replied"
        assert (await fake.send_text(HERE, "帮助")).outcome == "replied"
    finally:
        await app.stop()
        await fake.close()
