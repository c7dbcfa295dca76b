"""`zhiqun` and `python -m bot`: one command line for everything an operator does."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from errno import EADDRINUSE
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

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


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; docs/cli.md names every command and option (a test checks)."""
    parser = argparse.ArgumentParser(
        prog="zhiqun",
        description="A WeChat community bot for people who sell knowledge.",
        epilog="Try it without an account: zhiqun demo. Exit codes: 0 done, "
        "1 failed (the text says why), 2 wrong usage or configuration.",
    )
    parser.add_argument("--version", action="version", version=f"zhiqun {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, help_: str, run: Callable[[argparse.Namespace], int], *, config: bool = True
    ) -> Any:
        command = commands.add_parser(name, help=help_, description=help_)
        command.set_defaults(run=run)
        if config:
            command.add_argument(
                "-c",
                "--config",
                type=Path,
                default=Path("config.toml"),
                metavar="FILE",
                help="the configuration (default: config.toml in this folder)",
            )
        return command

    add("init", "Write a configuration with every key, its default and its reason.", _init)
    check = add("check", "Check the configuration, keys, port, database and clock.", _check)
    check.add_argument(
        "--online", action="store_true", help="also ask WeChat whether the credentials are right"
    )
    add("serve", "Run the bot until it is told to stop (Ctrl-C or SIGTERM).", _serve)
    demo = add(
        "demo",
        "Run the bot with a fake WeChat and a phone page in the browser.",
        _demo,
        config=False,
    )
    demo.add_argument(
        "--port", type=_port, default=8765, help="port of the page; 0: any (default: 8765)"
    )
    demo.add_argument(
        "--data", type=Path, metavar="DIR", help="keep the demo's data here (default: a new one)"
    )
    load = add(
        "import", "Read a CSV file into the FAQ or the catalogue: all of it or nothing.", _import
    )
    load.add_argument("what", choices=("faq", "items"))
    load.add_argument("file", type=Path, metavar="FILE.csv")
    export = add("export", "Write what is stored to a file, or to the terminal with -.", _export)
    export.add_argument("what", choices=("faq", "items", "interactions", "member"))
    export.add_argument("file", metavar="FILE", help="the file to write; - for the terminal")
    export.add_argument("--member", default="", help="number or openid, for `export member`")
    backup = add("backup", "Copy the database while the bot runs.", _backup)
    backup.add_argument("file", type=Path, metavar="FILE")
    erase = add("erase", "Forget a member wholly: their words, their identity, everything.", _erase)
    erase.add_argument("member", metavar="MEMBER", help="the member's number (see /who) or openid")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = build_parser().parse_args(argv)
    from bot.config import ConfigError
    from bot.transfer import BadFile
    from handlers.texts import TextsError
    from knowledge import WordsError
    from store import StoreError

    try:
        return int(args.run(args))
    except (ConfigError, TextsError, WordsError) as error:
        print(f"zhiqun: {error}", file=sys.stderr)
        return USAGE
    except (CommandError, BadFile, StoreError) as error:
        print(f"zhiqun: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        todo = ". `zhiqun check` says which port to change" if error.errno == EADDRINUSE else ""
        print(f"zhiqun: {error.strerror or error}{where}{todo}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _version() -> str:
    try:
        return version("zhiqun")
    except PackageNotFoundError:
        return "(not installed)"


def _port(text: str) -> int:
    # Checked here because uvloop would take 99999 and silently open another port.
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def _config(args: argparse.Namespace) -> Config:
    from bot.config import ConfigError, load

    if not args.config.exists():
        raise ConfigError(
            f"there is no such file. Write one with: zhiqun init --config {args.config}",
            source=str(args.config),
        )
    return load(args.config, os.environ)


def _config_of_database(args: argparse.Namespace) -> Config:
    """The configuration, for commands that make no sense without a database."""
    config = _config(args)
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


def _with_store(config: Config, work: Callable[[Store], Awaitable[T]]) -> T:
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


# Commands


def _init(args: argparse.Namespace) -> int:
    from bot.example import example

    try:
        handle = os.open(args.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(
            f"{args.config} is there already and was left as it is; "
            "choose another name with --config"
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(example())
    print(f"{args.config} written. Fill in the channel, set its secrets, then: zhiqun check")
    return OK


def _check(args: argparse.Namespace) -> int:
    from bot import check

    config = _config(args)
    findings = run_loop(check.run(config, online=args.online))
    for finding in findings:
        print(f"{finding.level:<4}  {finding.what}: {finding.say}")
    failed = sum(finding.level == "fail" for finding in findings)
    problems = "1 problem" if failed == 1 else f"{failed} problems"
    print(problems if failed else "all well")
    return FAILED if failed else OK


def _serve(args: argparse.Namespace) -> int:
    config = _config(args)
    from bot import logs

    logs.configure(config.log, config.secrets())
    return run_loop(serve(config))


async def serve(config: Config) -> int:
    """Run the bot until SIGTERM or SIGINT."""
    from bot.app import App

    app = App(config, say=lambda text: print(text, flush=True))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)

    async def run() -> None:
        await app.start()
        await app.failed()

    running, stopping = asyncio.create_task(run()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running  # a port that is taken, a file that is none: say so
            return FAILED
        return OK
    finally:
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
        await app.stop()


def _demo(args: argparse.Namespace) -> int:
    from sandbox.__main__ import demo

    return run_loop(demo(port=args.port, folder=args.data))


def _import(args: argparse.Namespace) -> int:
    from bot.transfer import BadFile, line_of, read_faq, read_items
    from store.content import QuestionTaken

    config = _config(args)
    now = time.time()
    if args.what == "items":
        items = read_items(args.file)

        async def put(store: Store) -> int:
            count = await store.content.put_items(items, now)
            await store.audit.add(now, "cli", "import.items", detail=f"{count} items")
            return count

        count = _with_store(config, put)
        print(f"{count} items imported")
        return OK
    entries = read_faq(args.file)

    async def renew(store: Store) -> tuple[int, int]:
        added, renewed = await store.content.import_faq(entries, now)
        detail = f"{added} added, {renewed} renewed"
        await store.audit.add(now, "cli", "import.faq", detail=detail)
        return added, renewed

    try:
        added, renewed = _with_store(config, renew)
    except QuestionTaken as taken:
        raise BadFile(
            args.file,
            [
                f"line {line_of(args.file, taken.question)}: “{taken.question}” belongs to entry "
                f"{taken.faq_id} already: take it out here, or /faq del {taken.faq_id} in the chat"
            ],
        ) from taken
    print(f"{added} entries added, {renewed} renewed")
    return OK


def _export(args: argparse.Namespace) -> int:
    from bot.transfer import faq_csv, items_csv

    config = _config_of_database(args)
    if args.what == "member" and not args.member:
        raise CommandError("say whose: zhiqun export member FILE --member NUMBER")

    async def work(store: Store) -> str | None:
        # The audit row comes first: rather one too many than a copy nobody knows of.
        member = await _member_id(store, args.member) if args.what == "member" else 0
        target = f"member:{member}" if member else ""
        await store.audit.add(time.time(), "cli", f"export.{args.what}", target)
        if args.what == "faq":
            return faq_csv(await store.content.faqs())
        if args.what == "items":
            return items_csv(await store.content.items())
        if args.what == "member":
            data = await store.members.export(member) or {}
            return json.dumps(data, ensure_ascii=False, indent=1) + "\n"
        await _export_log(store, args.file)
        return None

    text = _with_store(config, work)
    if text is None:
        return OK
    if args.file == "-":
        sys.stdout.write(text)
    else:
        with _private(args.file) as file:
            file.write(text)
        print(f"{args.file} written")
    return OK


def _private(name: str) -> TextIO:
    """A file for members' words: like the database, only its owner may read it."""
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    # newline="": CSV brings its own line ends.
    return os.fdopen(handle, "w", encoding="utf-8", newline="")


async def _export_log(store: Store, name: str) -> None:
    """The interaction log as NDJSON, page by page: it may be larger than memory."""
    out = sys.stdout if name == "-" else _private(name)
    count = after = 0
    try:
        while page := await store.interactions.page(after):
            for row in page:
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += len(page)
            after = page[-1]["id"]
    finally:
        if out is not sys.stdout:
            out.close()
    print(f"{count} interactions written", file=sys.stderr)


def _backup(args: argparse.Namespace) -> int:
    config = _config_of_database(args)
    if args.file.exists():
        raise CommandError(f"{args.file} is there already and was left as it is; choose another")

    async def work(store: Store) -> None:
        await store.audit.add(time.time(), "cli", "backup")
        await store.backup(args.file)

    _with_store(config, work)
    print(f"{args.file} written, {args.file.stat().st_size} bytes")
    return OK


def _erase(args: argparse.Namespace) -> int:
    config = _config_of_database(args)
    member = _with_store(config, lambda store: _member_id(store, args.member))
    if not args.yes:
        try:
            answer = input(f"Forget member {member} for good? Type their number again: ")
        except EOFError:
            raise CommandError("nothing was erased; without a terminal, add --yes") from None
        if answer.strip() != str(member):
            raise CommandError("nothing was erased: that is another number")

    async def work(store: Store) -> dict[str, int]:
        erased = await store.members.erase(member)
        await store.audit.add(time.time(), "cli", "erase", f"member:{member}")
        return erased.rows if erased else {}

    rows = _with_store(config, work)
    counted = ", ".join(f"{count} {table}" for table, count in rows.items() if count)
    print(f"member {member} erased: {counted or 'nothing was left'}")
    print("Older backups still hold this member: delete them when their time has come.")
    return OK


async def _member_id(store: Store, name: str) -> int:
    found = await store.members.find(name)
    if not found and name.isdecimal() and len(name) < 19 and await store.members.card(int(name)):
        found = [int(name)]
    if len(found) == 1:
        return found[0]
    raise CommandError(
        "no member has this number or openid; /who in the chat shows numbers"
        if not found
        else f"this openid belongs to several members: give a number of {found}"
    )


if __name__ == "__main__":
    sys.exit(main())
