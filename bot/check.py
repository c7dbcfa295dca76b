"""`zhiqun check`: what would go wrong at the start or on the first day, said beforehand.

The configuration is already loaded, so its own faults were named by `ConfigError`; here it
meets the machine: addresses, database, disk, clock, files, and, when asked, WeChat. Every
finding says what to do. Nothing is changed, except that a missing database is created.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import aiohttp

from bot.client import Client, Refused, WeChatError, new_session
from bot.config import ChannelSettings, Config, ServerSettings
from bot.rules import Secret
from handlers.texts import Texts, TextsError
from knowledge import Words, WordsError
from store import Store, StoreError

EXAMPLE_APP_ID = "wx0123456789abcdef"
SKEW_WARN_S = 60.0
DISK_FAIL_BYTES = 100 << 20
DISK_WARN_BYTES = 1 << 30
CLOCK_FROM, CLOCK_TO = 1_735_689_600, 4_102_444_800  # the years 2025 and 2100

# Which key is wrong, when WeChat refuses to give a token.
_BLAMED = {40013: "app_id", 40125: "app_secret", 40001: "app_secret", 40164: "IP whitelist"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. what: the key or thing; say: how it is, and what to do."""

    level: Literal["ok", "warn", "fail"]
    what: str
    say: str


class StoreProbe(Protocol):
    """Whether the database is sound: (fine, what was found)."""

    async def probe(self) -> list[tuple[bool, str]]:
        """Open, look, close. Errors: StoreError."""


class Ask(Protocol):
    """Asks WeChat for a token with a channel's credentials."""

    async def __call__(self, name: str, channel: ChannelSettings) -> float | None:
        """WeChat's clock minus ours in seconds, None when it did not say. Errors: WeChatError."""


async def run(
    config: Config,
    *,
    online: bool = False,
    now: Callable[[], float] = time.time,
    store: StoreProbe | None = None,
    ask: Ask | None = None,
) -> list[Finding]:
    """Look at everything; the findings in the order of the configuration.

    online: also ask WeChat, with `ask` or by HTTP. store: default the configured file.
    """
    findings = [Finding("warn", *_cut(warning)) for warning in config.warnings]
    for name, channel in config.channels.items():
        findings += _channel(name, channel, config.server.public_url)
    findings += _group_channels(config)
    findings += await _addresses(config.server)
    findings += await _database(store or _File(config))
    findings += await asyncio.to_thread(lambda: list(_files(config)))
    findings += _clock(now())
    if online:
        async with new_session() as session:
            for name, channel in config.channels.items():
                findings += await _online(
                    name, channel, ask or _Http(session, now), config.inbox.freshness_s
                )
    return findings


def failed(findings: Iterable[Finding]) -> bool:
    """Whether zhiqun would not work as it is."""
    return any(finding.level == "fail" for finding in findings)


def _cut(warning: str) -> tuple[str, str]:
    what, _, say = warning.partition(": ")
    return what, say


def _channel(name: str, channel: ChannelSettings, public_url: str) -> Iterator[Finding]:
    at = f"channels.{name}"
    if channel.app_id == EXAMPLE_APP_ID:
        yield Finding("fail", f"{at}.app_id", "is the example's: copy yours from the console")
    if not _hex32(channel.app_secret):
        yield Finding("warn", f"{at}.app_secret", "AppSecrets have 32 of 0-9a-f: copy it again")
    previous = channel.previous_encoding_aes_key
    if previous is not None and previous == channel.encoding_aes_key:
        say = "is the current key: remove it, or set the one before"
        yield Finding("warn", f"{at}.previous_encoding_aes_key", say)
    key = "no key" if channel.encoding_aes_key is None else "a 43-character key"
    yield Finding("ok", at, f"{channel.mode} mode, {key}, late answers by {channel.late}")
    url = f"{public_url or 'https://YOUR-HOST'}/hook/{name}"
    yield Finding("ok", f"{at} webhook", f"enter {url} in WeChat's console")


def _group_channels(config: Config) -> Iterator[Finding]:
    hook = f"{config.server.public_url or 'https://YOUR-HOST'}/hook"
    for name, robot in config.robots.items():
        called = f"called {robot.name}" if robot.name else "without a name: set one"
        yield Finding("ok" if robot.name else "warn", f"channels.{name}", f"WeCom robot, {called}")
        say = f"enter {hook}/{name} on the robot's page, URL callback"
        yield Finding("ok", f"channels.{name} webhook", say)
    for name, poster in config.group_robots.items():
        say = f"WeCom group robot, {poster.per_minute} messages a minute; whether its key is right"
        yield Finding("ok", f"channels.{name}", f"{say} shows with its first message")
    for name, gateway in config.gateways.items():
        way = f"actions go to {gateway.api_url}" if gateway.api_url else "actions by its WebSocket"
        yield Finding("ok", f"channels.{name}", f"OneBot gateway, {way}")
        say = f"enter {hook}/{name} as webhook or reverse WebSocket (wss://) in the gateway"
        yield Finding("ok", f"channels.{name} webhook", say)
    for name, customers in config.customers.items():
        way = "with its events" if customers.token else "read now and then: no callback is set"
        yield Finding("ok", f"channels.{name}", f"customer groups of a company, {way}")
    if (config.robots or config.gateways) and not config.groups.private_url:
        say = "is empty: members who ask a private thing in a group are told to write in private,"
        yield Finding("warn", "groups.private_url", f"{say} but not where")


def _hex32(secret: Secret) -> bool:
    value = secret.reveal()
    return len(value) == 32 and set(value) <= set("0123456789abcdef")


# The machine


async def _addresses(server: ServerSettings) -> list[Finding]:
    running: bool | None = None
    found = []
    for what, host, port in (
        ("server.port", server.bind, server.port),
        ("server.ops_port", server.ops_bind, server.ops_port),
        ("server.api_port", server.api_bind, server.api_port),
    ):
        fault = await asyncio.to_thread(_bind_fault, host, port)
        if fault == errno.EADDRINUSE:
            if running is None:
                running = await _answers(server.ops_bind, server.ops_port)
            if running:
                found.append(Finding("ok", what, f"{host}:{port} is held by a running zhiqun"))
                continue
        found.append(_address(what, host, port, fault))
    return found


def _address(what: str, host: str, port: int, fault: int) -> Finding:
    place = f"{host}:{port}"
    if not fault:
        return Finding("ok", what, f"{place} is free")
    if fault == errno.EADDRINUSE:
        return Finding("fail", what, f"{place} is taken by another program: choose another port")
    if fault == errno.EACCES:
        return Finding("fail", what, f"{place} needs rights: choose a port from 1024 on")
    say = f"{place}: {os.strerror(fault)}: use an address of this machine"
    return Finding("fail", what, say)


def _bind_fault(host: str, port: int) -> int:
    """0, or the errno that a server would meet there."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()  # on some systems only this meets a listener
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EIO
    return 0


async def _answers(host: str, port: int) -> bool:
    """Whether a zhiqun says that it is alive there."""
    place = f"[{host}]" if ":" in host else host
    timeout = aiohttp.ClientTimeout(total=2.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{place}:{port}/healthz") as response,
        ):
            return response.status == 200 and (await response.text()).strip() == "alive"
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return False


class _File:
    """The configured database, opened for the probe only."""

    def __init__(self, config: Config) -> None:
        self._settings = config.store

    async def probe(self) -> list[tuple[bool, str]]:
        settings = self._settings
        store = Store(
            settings.path, durability=settings.durability, busy_timeout_s=settings.busy_timeout_s
        )
        await store.open()
        try:
            return await store.probe()
        finally:
            await store.close()


async def _database(store: StoreProbe) -> list[Finding]:
    try:
        probed = await store.probe()
    except StoreError as error:
        return [Finding("fail", "store.path", str(error))]
    return [Finding("ok" if fine else "fail", "store.path", say) for fine, say in probed]


def _files(config: Config) -> Iterator[Finding]:
    for what, folder in (
        ("store.path", config.store.path.parent),
        ("store.backup_dir", config.store.backups),
    ):
        there = _existing(folder)
        if not os.access(there, os.W_OK | os.X_OK):
            yield Finding("fail", what, f"{there} is not writable: give zhiqun's user the right")
            continue
        free = shutil.disk_usage(there).free
        say = f"{folder}, {free / (1 << 30):.1f} GiB free"
        if free < DISK_FAIL_BYTES:
            yield Finding("fail", what, f"{say}: make room, or move it")
        else:
            yield Finding("warn" if free < DISK_WARN_BYTES else "ok", what, say)
    try:
        Texts.load(config.texts.file)
    except TextsError as error:
        yield Finding("fail", "texts.file", str(error))
    else:
        yield Finding("ok", "texts.file", str(config.texts.file or "the texts that come along"))
    if (synonyms := config.knowledge.synonyms_file) is not None:
        try:
            Words(synonyms)
        except WordsError as error:
            yield Finding("fail", "knowledge.synonyms_file", str(error))
        else:
            yield Finding("ok", "knowledge.synonyms_file", str(synonyms))


def _existing(folder: Path) -> Path:
    """The folder, or its nearest parent that is there."""
    folder = folder.absolute()
    return next((place for place in (folder, *folder.parents) if place.is_dir()), folder)


def _clock(at: float) -> Iterator[Finding]:
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
    if CLOCK_FROM <= at < CLOCK_TO:
        yield Finding("ok", "clock", day)
    else:
        say = f"says {day}: set it (NTP); WeChat's requests would be refused as stale"
        yield Finding("fail", "clock", say)


# WeChat


class _Http:
    """Asks WeChat itself; the token stays here, in normal mode it takes none away."""

    def __init__(self, session: aiohttp.ClientSession, now: Callable[[], float]) -> None:
        self._session = session
        self._now = now

    async def __call__(self, name: str, channel: ChannelSettings) -> float | None:
        nothing = _Nothing()
        client = Client(
            name,
            channel.app_id,
            channel.app_secret,
            session=self._session,
            tokens=nothing,
            quota=nothing,
            now=self._now,
            api_base=channel.api_base,
            timeout_s=channel.api_timeout_s,
        )
        return await client.check_credentials()


class _Nothing:
    """Stands where the client keeps tokens and counts: a check leaves no trace."""

    async def get(self, channel: str) -> tuple[str, float] | None:
        return None

    async def put(self, channel: str, token: str, expires_at: float) -> None:
        return None

    async def drop(self, channel: str, failed: str) -> None:
        return None

    async def count(self, channel: str, name: str, day: str) -> int:
        return 1


async def _online(
    name: str, channel: ChannelSettings, ask: Ask, freshness_s: float
) -> list[Finding]:
    at = f"channels.{name}"
    try:
        skew_s = await ask(name, channel)
    except Refused as error:
        blamed = _BLAMED.get(error.errcode)
        return [Finding("fail", f"{at}.{blamed}" if blamed else at, str(error))]
    except WeChatError as error:
        return [Finding("fail", f"{at}.api_base", str(error))]
    found = [Finding("ok", at, f"{channel.api_base} accepts the credentials")]
    if skew_s is not None and abs(skew_s) > SKEW_WARN_S:
        way = "behind" if skew_s > 0 else "ahead of"
        say = f"{abs(skew_s):.0f} s {way} WeChat's: set it (NTP)"
        if abs(skew_s) > freshness_s:
            say += "; every request would be refused as stale"
        found.append(Finding("fail" if abs(skew_s) > freshness_s else "warn", "clock", say))
    return found
