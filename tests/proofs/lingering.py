"""The bot as `zhiqun serve` runs it, but who claims a coupon waits for the answer.

`python -m tests.proofs.lingering --config FILE`: the real wiring; a claim is made and written
down as always, and only then does time pass. So a kill meets claims that are made and that
nobody has heard of.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from bot import logs
from bot.app import App
from bot.config import load
from bot.terminal import run_loop
from handlers import ROUTERS, RULES
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, dispatch

LINGER_S = 60.0

router = Router("linger")


@router.question()
async def linger(message: Message, ctx: Context) -> Reply:
    """Answer as everybody does; after a claim, not yet."""
    outcome = await dispatch(RULES, message, ctx)
    if outcome.handler == "coupon.claim":
        await asyncio.sleep(LINGER_S)
    ctx.handler = outcome.handler
    return outcome.reply


async def serve(path: Path) -> None:
    """Run until killed."""
    config = load(path, os.environ)
    logs.configure(config.log, config.secrets())
    app = App(config, routers=(router, *ROUTERS), say=lambda _: None)
    await app.start()
    await app.failed()


if __name__ == "__main__":
    run_loop(serve(Path(sys.argv[-1])))
