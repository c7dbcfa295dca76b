"""`zhiqun check`: what it finds, and that each finding says what to do."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from bot.check import Finding, failed, run
from bot.config import (
    ChannelSettings,
    Config,
    CustomerSettings,
    GatewaySettings,
    GroupRobotSettings,
    KnowledgeSettings,
    RobotSettings,
    Secret,
    ServerSettings,
    StoreSettings,
    TextSettings,
)
from bot.errcodes import Refused
from sandbox.fake_platform import Account
from sandbox.fake_wechat import FakeWeChat
from store import StoreError

SECRET = "0123456789abcdef0123456789abcdef"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
CHANNEL = ChannelSettings(
    name="mp",
    app_id="wxfedcba9876543210",
    app_secret=Secret(SECRET),
    token=Secret("tokentoken"),
    encoding_aes_key=Secret(AES_KEY),
)


class Sound:
    async def probe(self) -> list[tuple[bool, str]]:
        return [(True, "integrity: ok")]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        server=ServerSettings(port=0, ops_port=0, api_port=0),
        store=StoreSettings(path=tmp_path / "data" / "zhiqun.db"),
        channels={"mp": CHANNEL},
    )


@pytest.fixture
async def wechat() -> AsyncIterator[FakeWeChat]:
    fake = FakeWeChat(Account(CHANNEL.app_id, SECRET, "tokentoken", AES_KEY))
    await fake.start()
    yield fake
    await fake.close()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def of(findings: list[Finding], what: str) -> list[Finding]:
    return [finding for finding in findings if finding.what == what]


def with_base(config: Config, base: str) -> Config:
    return replace(config, channels={"mp": replace(CHANNEL, api_base=base)})


async def test_a_good_setup_has_nothing_to_complain_about(config: Config) -> None:
    findings = await run(config)
    assert not failed(findings)
    assert {finding.level for finding in findings} <= {"ok", "warn"}
    assert config.store.path.exists()
    assert "integrity: ok" in [finding.say for finding in of(findings, "store.path")]


async def test_no_secret_is_printed(config: Config) -> None:
    said = repr(await run(config, store=Sound()))
    assert not any(secret in said for secret in (SECRET, AES_KEY, "tokentoken"))


async def test_the_webhook_address_to_copy_is_shown(config: Config) -> None:
    server = replace(config.server, public_url="https://bot.example.com")
    findings = await run(replace(config, server=server), store=Sound())
    (webhook,) = of(findings, "channels.mp webhook")
    assert "https://bot.example.com/hook/mp" in webhook.say


async def test_channels_of_groups_say_what_to_enter_where(config: Config) -> None:
    key, access = Secret(AES_KEY), Secret("a-token-of-24-characters")
    wide = replace(
        config,
        robots={"helper": RobotSettings(channel="helper", token=key, encoding_aes_key=key)},
        group_robots={"poster": GroupRobotSettings(channel="poster", key=access)},
        gateways={"qun": GatewaySettings(channel="qun", accept_risk=True, access_token=access)},
        customers={"kehu": CustomerSettings(channel="kehu", corp_id="ww01", secret=access)},
    )
    found = {(one.what, one.level): one.say for one in await run(wide, store=Sound())}
    assert "/hook/helper" in found["channels.helper webhook", "ok"]
    assert "without a name" in found["channels.helper", "warn"]
    assert "20 messages a minute" in found["channels.poster", "ok"]
    assert "/hook/qun" in found["channels.qun webhook", "ok"]
    assert "no callback" in found["channels.kehu", "ok"]
    assert ("groups.private_url", "warn") in found


async def test_a_warning_of_the_configuration_is_repeated(config: Config) -> None:
    findings = await run(replace(config, warnings=("channels.mp.mode: is plain",)), store=Sound())
    assert findings[0] == Finding("warn", "channels.mp.mode", "is plain")


async def test_keys_left_from_the_example_or_cut_short_are_named(config: Config) -> None:
    odd = replace(
        CHANNEL,
        app_id="wx0123456789abcdef",
        app_secret=Secret("short-secret"),
        previous_encoding_aes_key=Secret(AES_KEY),
    )
    findings = await run(replace(config, channels={"mp": odd}), store=Sound())
    assert of(findings, "channels.mp.app_id")[0].level == "fail"
    assert of(findings, "channels.mp.app_secret")[0].level == "warn"
    assert "remove it" in of(findings, "channels.mp.previous_encoding_aes_key")[0].say


async def test_a_taken_port_fails_the_check(config: Config, taken: int) -> None:
    busy = replace(config, server=replace(config.server, port=taken))
    (port,) = of(await run(busy, store=Sound()), "server.port")
    assert port == Finding(
        "fail",
        "server.port",
        f"127.0.0.1:{taken} is taken by another program: choose another port",
    )


async def test_ports_held_by_a_running_zhiqun_are_fine(config: Config, taken: int) -> None:
    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        server = replace(config.server, port=taken, ops_port=runner.addresses[0][1])
        findings = await run(replace(config, server=server), store=Sound())
    finally:
        await runner.cleanup()
    assert not failed(findings)
    assert "held by a running zhiqun" in of(findings, "server.port")[0].say


async def test_an_address_of_another_machine_fails(config: Config) -> None:
    away = replace(config, server=replace(config.server, bind="192.0.2.1", port=8700))
    (port,) = of(await run(away, store=Sound()), "server.port")
    assert (port.level, "address of this machine" in port.say) == ("fail", True)


async def test_a_file_that_is_no_database_fails(config: Config) -> None:
    config.store.path.parent.mkdir()
    config.store.path.write_bytes(b"not a database" * 500)
    findings = await run(config)
    assert any(finding.level == "fail" for finding in of(findings, "store.path"))


async def test_a_damaged_or_unreachable_database_is_told(config: Config) -> None:
    class Damaged:
        async def probe(self) -> list[tuple[bool, str]]:
            return [(False, "integrity: row 3 missing")]

    class Gone:
        async def probe(self) -> list[tuple[bool, str]]:
            raise StoreError("cannot open it. Check the path")

    for probe, say in ((Damaged(), "integrity: row 3 missing"), (Gone(), "cannot open it")):
        findings = of(await run(config, store=probe), "store.path")
        assert [f.level for f in findings if say in f.say] == ["fail"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_without_rights_fails(config: Config, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    findings = await run(config, store=Sound())
    tmp_path.chmod(0o700)
    assert any("not writable" in finding.say for finding in of(findings, "store.path"))


async def test_bad_texts_and_missing_synonyms_fail(config: Config, tmp_path: Path) -> None:
    (tmp_path / "texts.toml").write_text("[nonsense]\nx = 'y'\n", encoding="utf-8")
    odd = replace(
        config,
        texts=TextSettings(file=tmp_path / "texts.toml"),
        knowledge=KnowledgeSettings(synonyms_file=tmp_path / "none.txt"),
    )
    findings = await run(odd, store=Sound())
    assert of(findings, "texts.file")[0].level == "fail"
    assert "create it" in of(findings, "knowledge.synonyms_file")[0].say


@pytest.mark.parametrize("at", [0.0, 5e9])
async def test_a_senseless_clock_fails(config: Config, at: float) -> None:
    (clock,) = of(await run(config, store=Sound(), now=lambda: at), "clock")
    assert (clock.level, "NTP" in clock.say) == ("fail", True)


async def test_offline_nobody_is_asked(config: Config, wechat: FakeWeChat) -> None:
    await run(with_base(config, wechat.api_base), store=Sound())
    assert not wechat.calls


async def test_good_credentials_are_confirmed(config: Config, wechat: FakeWeChat) -> None:
    findings = await run(with_base(config, wechat.api_base), online=True, store=Sound())
    assert not failed(findings)
    assert any("accepts the credentials" in finding.say for finding in findings)


@pytest.mark.parametrize(
    ("errcode", "blamed"),
    [(40013, "app_id"), (40125, "app_secret"), (40001, "app_secret"), (40164, "IP whitelist")],
)
async def test_a_refusal_names_the_wrong_key(
    config: Config, wechat: FakeWeChat, errcode: int, blamed: str
) -> None:
    wechat.api_errors["/cgi-bin/stable_token"] = [errcode] * 5
    findings = await run(with_base(config, wechat.api_base), online=True, store=Sound())
    (refusal,) = of(findings, f"channels.mp.{blamed}")
    assert (refusal.level, str(errcode) in refusal.say) == ("fail", True)


async def test_the_address_to_whitelist_is_printed(config: Config) -> None:
    async def ask(name: str, channel: ChannelSettings) -> float | None:
        raise Refused("stable_token", 40164, "invalid ip 203.0.113.9 ipv6 ::ffff, not in whitelist")

    findings = await run(config, online=True, store=Sound(), ask=ask)
    assert "203.0.113.9" in of(findings, "channels.mp.IP whitelist")[0].say


async def test_an_api_that_is_not_there_blames_the_base(config: Config, wechat: FakeWeChat) -> None:
    base = wechat.api_base
    await wechat.close()
    findings = await run(with_base(config, base), online=True, store=Sound())
    assert of(findings, "channels.mp.api_base")[0].level == "fail"


@pytest.mark.parametrize(
    ("off_s", "level"), [(10, None), (120, "warn"), (-120, "warn"), (900, "fail")]
)
async def test_a_clock_beside_wechats_is_told(
    config: Config, wechat: FakeWeChat, off_s: float, level: str | None
) -> None:
    found = await run(
        with_base(config, wechat.api_base),
        online=True,
        store=Sound(),
        now=lambda: time.time() + off_s,
    )
    beside = [finding for finding in of(found, "clock") if "WeChat's" in finding.say]
    assert [finding.level for finding in beside] == ([level] if level else [])
    if level:
        assert ("ahead of" in beside[0].say) == (off_s > 0)
