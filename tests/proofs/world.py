"""The real thing on both sides of the wire: an `App` or a served process, and fake WeChats.

`opened` runs the bot in this process, with handlers of the test's own if it likes;
`Served` runs `zhiqun serve` as a process that can be killed. Whoever writes to it is a
`FakeWeChat` over HTTP. Waiting is polling with patience: the machine may be busy.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from bot.app import App
from bot.config import (
    BusinessSettings,
    ChannelSettings,
    Config,
    InboxSettings,
    Secret,
    ServerSettings,
    StoreSettings,
)
from bot.official import dedupe_key, parse_fields
from handlers import ROUTERS
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router
from handlers.support import rest
from handlers.texts import Texts
from sandbox.fake_codec import to_xml
from sandbox.fake_wechat import Account, Delivery, FakeWeChat
from store.content import NewFaq
from tests.blank import blank

T = TypeVar("T")

ACCOUNT = Account(
    app_id="wx00proof00proof00",
    app_secret="proof-secret-of-nothing-at-all-0",
    token="prooftoken",
    aes_key="proofproofproofproofproofproofproofproofpr0",
    gh_id="gh_proof",
)
OPERATOR = "oOPERATOR_who_proves_things_"
ROOT = Path(__file__).parents[2]
SEND = "/cgi-bin/message/custom/send"
TOPICS = tuple(f"话题{number}" for number in range(1, 21))
TEXTS = Texts.load(None)

# No two of these share a word that matters, so each is answered surely by its own wording.
FAQ = (
    NewFaq("怎么退款", "七天内可以退款。", ("如何退款",)),
    NewFaq("发票在哪里开", "在订单页点开发票。"),
    NewFaq("课程能看多久", "买了就一直能看。"),
    NewFaq("证书什么时候寄出", "结业后两周内寄出。"),
)


def faq_number(number: int) -> NewFaq:
    """One of many entries, each with an answer that names it."""
    return NewFaq(f"{number}号展厅的闭馆时间", f"答案{number}。")


@dataclass
class World:
    """A bot in this process and the fake WeChats that write to it, one for each channel."""

    app: App
    fakes: Mapping[str, FakeWeChat]

    @property
    def fake(self) -> FakeWeChat:
        """The only fake, or that of the channel "mp"."""
        return self.fakes["mp"]

    async def rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        """What the bot's file says."""
        return await self.app.store.db.read(lambda conn: conn.execute(sql, args).fetchall())

    async def sends(self, channel: str = "mp") -> dict[str, int]:
        """Late answers of this channel by status."""
        sql = "select status, count(*) from sends where channel = ? group by status"
        return dict(await self.rows(sql, channel))

    async def settled(self, channel: str = "mp", timeout_s: float = 20.0) -> dict[str, int]:
        """`sends`, once none of them is on its way and no message is being worked on."""

        async def quiet() -> bool:
            counts = await self.sends(channel)
            idle = not self.app.metrics.running()
            return idle and not counts.get("planned") and not counts.get("sending")

        await until(quiet, "the late answers to settle", timeout_s)
        return await self.sends(channel)

    def seen(self, openid: str, channel: str = "mp") -> list[str]:
        """Everything the member saw, in order; WeChat's own notice included."""
        return [one.content for one in self.fakes[channel].member(openid).inbox]


@asynccontextmanager
async def opened(
    folder: Path,
    *,
    routers: Sequence[Router] = ROUTERS,
    deadline_s: float = 4.2,
    channels: Mapping[str, Mapping[str, Any]] | None = None,
    faq: Sequence[NewFaq] = (),
    accounts: Mapping[str, Mapping[str, Any]] | None = None,
    sections: Mapping[str, Any] | None = None,
    now: Callable[[], float] = time.time,
    drain_s: float = 3.0,
    **fake_options: Any,
) -> AsyncIterator[World]:
    """A bot, ready, and a fake for each channel; all closed at the end.

    channels: name -> settings beside the credentials (default: one, "mp"). accounts: name ->
    what differs on the fake's side. sections: of the configuration, by name. now: the clock of
    both sides. drain_s: patience at the end. fake_options: patience and retries of the fakes.
    """
    fakes: dict[str, FakeWeChat] = {}
    settings: dict[str, ChannelSettings] = {}
    async with AsyncExitStack() as stack:
        for number, (name, extra) in enumerate((channels or {"mp": {}}).items()):
            own = (accounts or {}).get(name, {})
            account = replace(ACCOUNT, app_id=f"{ACCOUNT.app_id}{number}", **own)
            fake = fakes[name] = FakeWeChat(account, now=now, **fake_options)
            stack.push_async_callback(fake.close)
            extra = {"owners": (OPERATOR,), **extra}
            if "api_base" not in extra:
                extra["api_base"] = await fake.start()
            settings[name] = ChannelSettings(
                name=name,
                app_id=account.app_id,
                app_secret=Secret(account.app_secret),
                token=Secret(account.token),
                encoding_aes_key=Secret(account.aes_key),
                **extra,
            )
        config = Config(
            server=ServerSettings(port=0, ops_port=0, api_port=0, drain_s=drain_s),
            store=StoreSettings(path=blank(folder / "zhiqun.db")),
            inbox=InboxSettings(deadline_s=deadline_s),
            business=BusinessSettings(topics=TOPICS),
            channels=MappingProxyType(settings),
            **(sections or {}),
        )
        app = App(config, routers=routers, now=now, say=lambda _: None)
        await app.start()
        stack.push_async_callback(app.stop)
        await app.ready.wait()
        if faq:
            await app.store.content.import_faq(faq, time.time())
            await app.reload()
        for name, fake in fakes.items():
            fake.webhook = f"http://127.0.0.1:{app.webhook_port}/hook/{name}"
        yield World(app, fakes)


def thinking(seconds: float | Callable[[Message], float]) -> tuple[Router, ...]:
    """Handlers: 继续 as usual, and one that thinks so long and answers "答" and the question."""
    router = Router("slow")

    @router.question()
    async def think(message: Message, ctx: Context) -> Reply:
        await asyncio.sleep(seconds if isinstance(seconds, int | float) else seconds(message))
        return Reply.text(f"答{message.text}")

    return rest, router


def key_of(fields: Mapping[str, Any]) -> bytes:
    """The key under which the bot remembers these fields."""
    return bytes.fromhex(dedupe_key(parse_fields(to_xml(fields).encode())))


def acknowledged(delivery: Delivery) -> bool:
    """Whether WeChat got an answer ("success" included): it will not ask again."""
    return any(attempt.status == 200 for attempt in delivery.attempts)


async def until(
    look: Callable[[], Any], what: str, timeout_s: float = 20.0, pause_s: float = 0.02
) -> Any:
    """Ask until the answer is true; gives it. An AssertionError names what never came."""
    end = time.monotonic() + timeout_s
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"waited {timeout_s:g} s in vain for {what}"
        await asyncio.sleep(pause_s)


def free_port() -> int:
    """A port nobody listens on right now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Served:
    """`python -m bot serve` as a process of its own, on one file, started as often as wanted.

    options: lines of TOML by section ("inbox": 'deadline_s = 0.5'). Its log is `log`.
    """

    def __init__(
        self, folder: Path, *, api_base: str = "http://127.0.0.1:9", **options: str
    ) -> None:
        self.folder = folder
        self.path = folder / "zhiqun.db"
        self.log = folder / "log.ndjson"
        self.port = free_port()
        self.ops_port = free_port()
        self.api = f"http://127.0.0.1:{(api_port := free_port())}/api/v1"
        self.webhook = f"http://127.0.0.1:{self.port}/hook/mp"
        self.process: subprocess.Popen[bytes] | None = None
        self._config = folder / "config.toml"
        topics = ", ".join(f'"{topic}"' for topic in TOPICS)
        sections = {
            "server": f"port = {self.port}\nops_port = {self.ops_port}\napi_port = {api_port}\n",
            "store": 'path = "zhiqun.db"\n',
            "log": 'format = "json"\n',
            "business": f"topics = [{topics}]\n",
        }
        for name, more in options.items():
            sections[name] = sections.get(name, "") + more + "\n"
        channel = (
            f'[channels.mp]\napp_id = "{ACCOUNT.app_id}"\napp_secret = "env:PROOF_SECRET"\n'
            f'token = "env:PROOF_TOKEN"\nencoding_aes_key = "env:PROOF_AES_KEY"\n'
            f'api_base = "{api_base}"\nowners = ["{OPERATOR}"]\n'
        )
        body = "\n".join(f"[{name}]\n{text}" for name, text in sections.items())
        self._config.write_text(f"{body}\n{channel}", encoding="utf-8")
        self._environment = {
            **os.environ,
            "PROOF_SECRET": ACCOUNT.app_secret,
            "PROOF_TOKEN": ACCOUNT.token,
            "PROOF_AES_KEY": ACCOUNT.aes_key,
        }

    def run(self, *command: str) -> None:
        """One command of the command line, to its end."""
        subprocess.run(
            [sys.executable, "-m", "bot", *command, "--config", self._config],
            cwd=ROOT,
            env=self._environment,
            check=True,
            capture_output=True,
        )

    def ended(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One command of the command line, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "bot", *command, "--config", self._config],
            cwd=ROOT,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )

    def start(self, *module: str) -> None:
        """Start the process; returns at once. module: what to run instead of `bot serve`."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *(module or ("bot", "serve")), "--config", self._config],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL: no goodbye, no clean-up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def ready(self) -> bool:
        """Whether /readyz says so."""
        assert self.process is not None
        assert self.process.poll() is None, f"it ended by itself:\n{self.log.read_text()[-2000:]}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/readyz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, timeout_s: float = 30.0) -> float:
        """Wait for `ready`; seconds it took."""
        started = time.monotonic()
        while not self.ready():
            assert time.monotonic() - started < timeout_s, "it never became ready"
            time.sleep(0.05)
        return time.monotonic() - started

    def door_open(self) -> bool:
        """Whether the webhook's port takes connections."""
        with closing(socket.socket()) as probe:
            probe.settimeout(0.5)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        """What its file says."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as conn:
            return conn.execute(sql, args).fetchall()
