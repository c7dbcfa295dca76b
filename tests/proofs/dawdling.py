"""The bot as `zhiqun serve` runs it, but some messages take their time.

`python -m tests.proofs.dawdling --config FILE`: the real wiring with one router in front
that waits and passes on. So a kill also meets messages that were acknowledged and not yet
answered, and answers that are just being pushed.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from bot import logs
from bot.app import App
from bot.config import load
from bot.terminal import run_loop
from handlers import ROUTERS
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router

SHARE = 0.1
LONGEST_S = 1.6

router = Router("dawdle")


@router.question()
async def dawdle(message: Message, ctx: Context) -> Reply | None:
    """Think about some messages for a while; never answer."""
    if random.random() < SHARE:
        await asyncio.sleep(random.uniform(0.0, LONGEST_S))
    return None


async def serve(path: Path) -> None:
    """Run until killed."""
    config = load(path, os.environ)
    logs.configure(config.log, config.secrets())
    app = App(config, routers=(router, *ROUTERS), say=lambda _: None)
    await app.start()
    await app.failed()


if __name__ == "__main__":
    run_loop(serve(Path(sys.argv[-1])))
