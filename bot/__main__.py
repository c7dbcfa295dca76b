"""`zhiqun` and `python -m bot`: one command line for everything an operator does."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from errno import EADDRINUSE
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Only what every command needs is imported here; `zhiqun --help` answers at once.
from bot import carry, carry_audit
from bot.terminal import FAILED, OK, USAGE, CommandError, UsageError, config_of, run_loop

if TYPE_CHECKING:
    from bot.config import Config


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
    _add_carriers(add)
    _add_campaigns(add)
    _add_groups(add)
    _add_reports(add)
    _add_recommendations(add)
    return parser


def _add_carriers(add: Callable[..., Any]) -> None:
    """The commands that carry data in and out, and the keys of the REST API."""
    load = add(
        "import",
        "Read a file into what the bot knows, offers or sells: all of it or nothing.",
        carry.load,
    )
    load.add_argument("what", choices=("faq", "items", "docs", "events", "quiz", "offers", "codes"))
    load.add_argument(
        "file", type=Path, nargs="+", metavar="FILE", help="codes: the claim word, then the file"
    )
    load.add_argument(
        "--partial", action="store_true", help="events: store the good lines, list the others"
    )
    export = add(
        "export", "Write what is stored to a file, or to the terminal with -.", carry.export
    )
    export.add_argument(
        "what",
        choices=(
            *("faq", "items", "interactions", "events", "coupons", "edges", "insights", "member"),
        ),
    )
    export.add_argument("file", metavar="FILE", help="the file to write; - for the terminal")
    export.add_argument("--member", default="", help="number or openid, for `export member`")
    export.add_argument(
        "--numbers",
        action="store_true",
        help="members by number instead of by pseudonym: for your own eyes",
    )
    export.add_argument("--group", default="", help="edges: of this group only, by number or alias")
    backup = add("backup", "Copy the database while the bot runs.", carry.backup)
    backup.add_argument("file", type=Path, metavar="FILE")
    erase = add("erase", "Forget a member wholly: their words, their identity, everything.", _erase)
    erase.add_argument("member", metavar="MEMBER", help="the member's number (see /who) or openid")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    privacy = add("privacy", "The data map, a scan for traces, the noise budget.", _privacy)
    privacy.add_argument("what", choices=("map", "scan", "budget"))
    privacy.add_argument(
        "file",
        nargs="?",
        default="",
        metavar="FILE",
        help="scan: what to look for, one a line; - or nothing: typed in",
    )
    for command in (erase, privacy):
        command.add_argument(
            "--also",
            type=Path,
            action="append",
            default=[],
            metavar="PATH",
            help="look through this file or folder too, for example logs; repeatable",
        )
    audit = add(
        "audit", "Show what operators did, and whether the record is whole.", carry_audit.audit
    )
    audit.add_argument("what", choices=("list", "verify"))
    audit.add_argument(
        "--count", type=int, default=50, help="list: so many of the newest (default: 50)"
    )
    audit.add_argument(
        "--head", default="", help="verify: a head printed earlier, which must still be in there"
    )
    key = add("key", "Make, list or revoke the keys of the REST API.", carry.key)
    key.add_argument("what", choices=("new", "list", "revoke"))
    key.add_argument(
        "name", nargs="?", default="", metavar="NAME", help="new: its name; revoke: its id"
    )
    key.add_argument("--scope", action="append", default=[], help="new: what it may do; repeatable")
    key.add_argument(
        "--per-minute", type=int, default=6000, help="new: requests a minute (default: 6000)"
    )
    key.add_argument(
        "--signed", action="store_true", help="new: each of its requests must be signed"
    )


def _add_campaigns(add: Callable[..., Any]) -> None:
    """Campaigns, and what they are made of."""
    campaign = add(
        "campaign",
        "Write, preview, confirm, stop and judge campaigns, as /campaign in the chat.",
        _campaign,
    )
    campaign.add_argument(
        "what",
        choices=(
            *("list", "show", "new", "edit", "preview", "lint", "confirm", "schedule"),
            *("pause", "resume", "cancel", "undo", "report", "deliveries", "unknown", "settle"),
            *("asset", "segment"),
        ),
    )
    campaign.add_argument(
        "args", nargs="*", metavar="ARG", help="the campaign's number, a file and so on"
    )
    campaign.add_argument(
        "--override", action="store_true", help="confirm: in spite of errors that are not fixed"
    )
    campaign.add_argument(
        "--csv", default="", metavar="FILE", help="report: write the table instead; - prints it"
    )


def _add_groups(add: Callable[..., Any]) -> None:
    """Groups: which there are, and whether the bot may act in them."""
    groups = add("groups", "List groups, show, bind and unbind them, list posts.", _groups)
    groups.add_argument("what", choices=("list", "show", "bind", "unbind", "posts"))
    groups.add_argument("args", nargs="*", metavar="ARG", help="the group's number, alias or name")


def _add_reports(add: Callable[..., Any]) -> None:
    """What was worked out, and working it out."""
    report = add("report", "Show a report, write it to a file, or work all of them out.", _report)
    report.add_argument(
        "what",
        choices=(
            *("day", "week", "group", "topic", "mood", "members", "leaders", "retention"),
            *("budget", "rec", "refresh"),
        ),
    )
    report.add_argument("--group", default="", help="of this group, by number, alias or name")
    report.add_argument("--json", action="store_true", help="everything, with what figures mean")
    report.add_argument("--csv", default="", metavar="FILE", help="one figure a line; - prints it")
    report.add_argument("--chart", default="", metavar="FILE", help="the first chart, as PNG")


def _add_recommendations(add: Callable[..., Any]) -> None:
    """The models of what is recommended."""
    rec = add("rec", "Show, train and take back the models of what is recommended.", _rec)
    rec.add_argument("what", choices=("status", "train", "rollback", "report"))
    rec.add_argument("--json", action="store_true", help="as data, for another program")


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
    except (ConfigError, TextsError, WordsError, UsageError) as error:
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

    config = config_of(args)
    findings = run_loop(check.run(config, online=args.online))
    for finding in findings:
        print(f"{finding.level:<4}  {finding.what}: {finding.say}")
    failed = sum(finding.level == "fail" for finding in findings)
    problems = "1 problem" if failed == 1 else f"{failed} problems"
    print(problems if failed else "all well")
    return FAILED if failed else OK


def _serve(args: argparse.Namespace) -> int:
    config = config_of(args)
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


def _erase(args: argparse.Namespace) -> int:
    from bot.carry_privacy import erase

    return erase(args)


def _privacy(args: argparse.Namespace) -> int:
    from bot.carry_privacy import privacy

    return privacy(args)


def _campaign(args: argparse.Namespace) -> int:
    from bot.carry_campaigns import campaign

    return campaign(args)


def _groups(args: argparse.Namespace) -> int:
    from bot.carry_groups import groups

    return groups(args)


def _report(args: argparse.Namespace) -> int:
    from bot.carry_insights import report

    return report(args)


def _rec(args: argparse.Namespace) -> int:
    from bot.carry_recommendations import rec

    return rec(args)


def _demo(args: argparse.Namespace) -> int:
    from sandbox.__main__ import demo

    return run_loop(demo(port=args.port, folder=args.data))


if __name__ == "__main__":
    sys.exit(main())
