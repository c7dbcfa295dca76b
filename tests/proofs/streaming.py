"""The bot with one WeCom robot as a process of its own, with a handler that takes its time.

`python -m tests.proofs.streaming --config FILE SECONDS`: the real `App` and configuration, and one
router in front that says what it is doing and answers after so many seconds: with the question,
at length, and a picture. SIGUSR1 puts its clock `AHEAD_S` forward, so that nobody waits for that.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from bot import logs
from bot.app import App
from bot.config import load
from bot.terminal import run_loop
from handlers import ROUTERS
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router

DEADLINE_S = 0.5
AHEAD_S = 30.0
NAME = "proof.png"
PROGRESS = "正在翻资料"
QUICK = "快的"


def answer_to(text: str) -> str:
    """What the robot says in the end: more than one official message would hold."""
    return f"答{text}" + "。细节" * 2000


def slow(seconds: float) -> tuple[Router, ...]:
    """The conversation behind a handler that answers every question after so many seconds."""
    router = Router("slow")

    @router.question()
    async def look_up(message: Message, ctx: Context) -> Reply:
        ctx.said(PROGRESS)
        await asyncio.sleep(1.0 if message.text == QUICK else seconds)
        ctx.then.append(Reply.image(NAME))
        return Reply.text(answer_to(message.text))

    return (router, *ROUTERS)


async def serve(path: Path, seconds: float) -> None:
    """Run until killed."""
    config = load(path, os.environ)
    logs.configure(config.log, config.secrets())
    ahead = [0.0]

    def forward() -> None:
        ahead[0] += AHEAD_S

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, forward)
    app = App(config, routers=slow(seconds), now=lambda: time.time() + ahead[0], say=lambda _: None)
    await app.start()
    await app.failed()


if __name__ == "__main__":
    run_loop(serve(Path(sys.argv[-2]), float(sys.argv[-1])))
