"""What every command of the terminal shares: exit codes, the configuration, the store, the loop."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

# Only what every command needs is imported here; `zhiqun --help` answers at once.
if TYPE_CHECKING:
    from bot.config import Config
    from store import Store

T = TypeVar("T")

OK = 0
FAILED = 1
USAGE = 2


class CommandError(Exception):
    """What went wrong and what to do next, for the terminal."""


class UsageError(CommandError):
    """What was typed is no command; the message shows how it is typed."""


def config_of(args: argparse.Namespace) -> Config:
    """The configuration the command line names. Errors: ConfigError."""
    from bot.config import ConfigError, load

    if not args.config.exists():
        raise ConfigError(
            f"there is no such file. Write one with: zhiqun init --config {args.config}",
            source=str(args.config),
        )
    return load(args.config, os.environ)


def config_of_database(args: argparse.Namespace) -> Config:
    """The configuration, for commands that make no sense without a database."""
    config = config_of(args)
    if not config.store.path.exists():
        # Opening it would make an empty one, and a mistyped path would look like success.
        raise CommandError(
            f"there is no database {config.store.path} yet: check store.path, "
            "or fill one with `zhiqun serve` or `zhiqun import`"
        )
    return config


def run_loop(main: Awaitable[T]) -> T:
    """Run on uvloop where it exists."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:

        async def wait() -> T:
            return await main

        return runner.run(wait())


def with_store(config: Config, work: Callable[[Store], Awaitable[T]]) -> T:
    """Open the store, do the work, close it; the bot may be running. Errors: StoreError."""
    from store import Store

    async def run() -> T:
        store = Store(
            config.store.path,
            durability=config.store.durability,
            busy_timeout_s=config.store.busy_timeout_s,
            patience_s=config.store.busy_timeout_s,
        )
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return run_loop(run())
