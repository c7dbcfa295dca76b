"""A slow answer of a WeCom robot, killed in the middle: who asked gets one answer, or an apology.

The bot is a process, wired from a configuration, that is killed with SIGKILL and started again on
the same file; WeCom is this test, which posts, polls and takes what is pushed.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp

from store import Store
from tests import build, build_wecom
from tests.blank import blank
from tests.bot.wecom_world import SAYS, Qyapi, taking
from tests.proofs.streaming import DEADLINE_S, NAME, PROGRESS, QUICK, answer_to
from tests.proofs.world import ROOT, free_port, until

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""One dot."""
_CONFIG = """
[server]
port = {port}
ops_port = {ops_port}
api_port = {api_port}
[store]
path = "zhiqun.db"
[inbox]
deadline_s = {deadline_s}
[channels.robot]
kind = "wecom"
name = "小助手"
token = "env:PROOF_TOKEN"
encoding_aes_key = "env:PROOF_AES_KEY"
api_base = "{api_base}"
"""


class Robot:
    """The process, and WeCom's side of it."""

    def __init__(self, folder: Path, qyapi: Qyapi, session: aiohttp.ClientSession) -> None:
        self.path = blank(folder / "zhiqun.db")
        self.frames: list[dict[str, Any]] = []
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}/hook/robot"
        self._qyapi = qyapi
        self._session = session
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "config.toml"
        config = _CONFIG.format(
            port=self._port,
            ops_port=free_port(),
            api_port=free_port(),
            deadline_s=DEADLINE_S,
            api_base=qyapi.base,
        )
        self._config.write_text(config, encoding="utf-8")

    async def has_a_picture(self) -> None:
        """Somebody has uploaded it before."""
        store = Store(self.path)
        await store.open()
        await store.assets.put(NAME, PICTURE, time.time(), "test")
        await store.close()

    async def start(self, seconds: float) -> None:
        """Start it, with answers that take so long; returns when its door is open."""
        self._process = await asyncio.to_thread(
            subprocess.Popen,
            [
                *(sys.executable, "-m", "tests.proofs.streaming"),
                *("--config", str(self._config), str(seconds)),
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "PROOF_TOKEN": build.TOKEN,
                "PROOF_AES_KEY": build.AES_KEY,
            },
        )
        query = build_wecom.echo("7", now=time.time())

        async def open_() -> bool:
            try:
                async with self._session.get(self._url, params=query) as response:
                    return await response.text() == "7"
            except aiohttp.ClientError:
                return False

        await until(open_, "the door to open")

    def later(self) -> None:
        """Its clock goes forward."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

    async def kill(self) -> None:
        """SIGKILL: no goodbye, no clean-up."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait, 10)

    async def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """One POST; the stream in the frame that came back."""
        query, posted = build_wecom.signed(body, now=time.time())
        async with self._session.post(self._url, params=query, data=posted) as response:
            assert response.status == 200
            frame = build_wecom.opened(await response.read())
        self.frames.append(frame["stream"])
        return dict(frame["stream"])

    async def ask(self, text: str, user: str) -> str:
        """A question whose answer is slow: the stream that it starts, in time."""
        began = time.monotonic()
        first = await self.post(build_wecom.text(text, user))
        assert time.monotonic() - began < DEADLINE_S + 1.0
        assert first["finish"] is False
        assert first["content"].startswith(SAYS.thinking)
        return str(first["id"])

    async def poll_until_it_says(self, stream: str, words: str) -> None:
        """Poll while it grows; the text only ever gets longer."""
        so_far = ""

        async def said() -> bool:
            nonlocal so_far
            frame = await self.post(build_wecom.poll(stream))
            assert frame["finish"] is False
            assert frame["content"].startswith(so_far)
            so_far = frame["content"]
            return bool(so_far == words)

        await until(said, "what is being done", pause_s=0.1)

    async def poll_to_the_end(self, stream: str) -> dict[str, Any]:
        """Poll as WeCom does; the last frame."""

        async def last() -> dict[str, Any] | None:
            frame = await self.post(build_wecom.poll(stream))
            return frame if frame["finish"] else None

        found = await until(last, "the last frame", pause_s=0.1)
        return dict(found)


@asynccontextmanager
async def robot(folder: Path) -> AsyncIterator[tuple[Robot, Qyapi]]:
    async with taking() as qyapi, aiohttp.ClientSession() as session:
        process = Robot(folder, qyapi, session)
        try:
            yield process, qyapi
        finally:
            await process.kill()


async def test_killed_in_the_middle_everybody_gets_one_whole_answer_or_an_apology(
    tmp_path: Path,
) -> None:
    async with robot(tmp_path) as (wecom, qyapi):
        await wecom.has_a_picture()
        await wecom.start(60.0)
        polled, left, damaged = await asyncio.gather(
            wecom.ask("一", "lisi"), wecom.ask("二", "wangwu"), wecom.ask("三", "zhaoliu")
        )
        await wecom.poll_until_it_says(polled, f"{SAYS.thinking}\n{PROGRESS}")
        await wecom.kill()
        with closing(sqlite3.connect(wecom.path)) as conn:
            # This one can't be read any more.
            key = bytes.fromhex(damaged)
            conn.execute("update messages set body = ? where key = ?", (b"?", key))
            conn.commit()
        await wecom.start(0.5)

        last = await wecom.poll_to_the_end(polled)
        assert last["content"] == answer_to("一")
        [item] = last["msg_item"]
        assert base64.b64decode(item["image"]["base64"]) == PICTURE
        unfinished = [one for one in wecom.frames if not one["finish"]]
        assert sum(one["id"] == polled for one in unfinished) >= 3, "before and after the kill"
        assert not any("msg_item" in one for one in unfinished)

        # Nobody polls for the others. The end of another answer makes it look at the clock.
        assert not qyapi.came, "a poll may still come"
        wecom.later()
        another = await wecom.ask(QUICK, "wangwu")
        assert (await wecom.poll_to_the_end(another))["content"] == answer_to(QUICK)
        # One answer, one apology, each pushed once.
        await until(lambda: len(qyapi.came) >= 2, "both pushes")
        assert sorted(qyapi.said) == sorted([f"{answer_to('二')}\n\n{SAYS.picture}", SAYS.crashed])
        for stream in (left, damaged):
            assert (await wecom.poll_to_the_end(stream))["content"] == SAYS.pushed
        with closing(sqlite3.connect(wecom.path)) as conn:
            due = conn.execute("select count(*) from streams where due_at is not null").fetchone()
        assert due == (0,), "nothing is pushed besides, least of all what was polled for"
