"""Real questions through the whole bot: how many get the right answer in the chat.

Each knowledge base of the file becomes the FAQ of a fresh bot; a fake WeChat asks every
question through the signed and encrypted webhook, as a member of its own. Entries of the
file have no answers, so each answers with its own id. What counts is what the member
reads: a sure answer, or the first of 您是不是想问, fetched by typing 1. One JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import logging
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from bot.app import App
from bot.config import ChannelSettings, Config, Secret, ServerSettings, StoreSettings
from handlers.texts import Texts
from sandbox.fake_wechat import Account, FakeWeChat
from store.content import NewFaq

PARALLEL = 8
"""Members who write at a time."""

ACCOUNT = Account(
    app_id="wx00bench00bench00",
    app_secret="bench-secret-of-nothing-at-all-0",
    token="benchtoken",
    aes_key="benchbenchbenchbenchbenchbenchbenchbenchbe0",
)
_ANSWER = re.compile(r"A:(\S+)")


@dataclass(frozen=True, slots=True)
class Query:
    """One question. entry: the entry that answers it, "" when none does.

    kind: "answerable", or which sort of question it is that must not be answered.
    """

    entry: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Base:
    """One community's FAQ and what its members ask."""

    name: str
    entries: tuple[NewFaq, ...]
    queries: tuple[Query, ...]


def read(entries: Path, queries: Path, only: Sequence[str] = ()) -> list[Base]:
    """The knowledge bases of two CSV files, in the order of the first.

    entries: columns kb, entry_id, kind (main, alias), question. queries: kb, kind,
    entry_id, query. only: names of those wanted, all when empty; an unknown one is a
    ValueError.
    """
    wordings: dict[str, dict[str, list[str]]] = {}
    with entries.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            found = wordings.setdefault(row["kb"], {}).setdefault(row["entry_id"], [])
            found.insert(0 if row["kind"] == "main" else len(found), row["question"])
    asked: dict[str, list[Query]] = {name: [] for name in wordings}
    with queries.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            asked[row["kb"]].append(Query(row["entry_id"], row["kind"], row["query"]))
    unknown = [name for name in only if name not in wordings]
    if unknown:
        raise ValueError(f"no such kb: {', '.join(unknown)}; there are: {', '.join(wordings)}")
    return [
        Base(
            name,
            tuple(
                NewFaq(main, f"A:{entry_id}", tuple(aliases))
                for entry_id, (main, *aliases) in found.items()
            ),
            tuple(asked[name]),
        )
        for name, found in wordings.items()
        if name in only or not only
    ]


async def ask(base: Base) -> dict[str, Any]:
    """Put one base into a bot of its own, ask everything, and count. See `report`."""
    fake = FakeWeChat(ACCOUNT)
    with tempfile.TemporaryDirectory(prefix="zhiqun-faq-") as folder:
        app = App(_config(Path(folder), await fake.start()), say=lambda _: None)
        try:
            await app.start()
            await app.ready.wait()
            fake.webhook = f"http://127.0.0.1:{app.webhook_port}/hook/mp"
            await app.store.content.import_faq(base.entries, time.time())
            await app.reload()
            room = asyncio.Semaphore(PARALLEL)
            texts = Texts.load(None)

            async def one(number: int, query: Query) -> tuple[str, str]:
                async with room:
                    return await _told(fake, texts, f"o_{number}", query.text)

            told = await asyncio.gather(*(one(n, q) for n, q in enumerate(base.queries)))
        finally:
            await app.stop()
            await fake.close()
    return report(base, told)


def _config(folder: Path, api_base: str) -> Config:
    channel = ChannelSettings(
        name="mp",
        app_id=ACCOUNT.app_id,
        app_secret=Secret(ACCOUNT.app_secret),
        token=Secret(ACCOUNT.token),
        encoding_aes_key=Secret(ACCOUNT.aes_key),
        api_base=api_base,
    )
    return Config(
        server=ServerSettings(port=0, ops_port=0, api_port=0),
        store=StoreSettings(path=folder / "zhiqun.db", durability="process"),
        channels=MappingProxyType({"mp": channel}),
    )


async def _told(fake: FakeWeChat, texts: Texts, openid: str, text: str) -> tuple[str, str]:
    """(how, entry): "sure", "offer" with the first choice, "unknown" or "other" with ""."""
    reply = (await fake.send_text(openid, text)).text
    if found := _ANSWER.match(reply):
        return "sure", found[1]
    if reply.startswith(texts("faq.unsure_head")):
        found = _ANSWER.match((await fake.send_text(openid, "1")).text)
        return "offer", found[1] if found else ""
    return ("unknown" if reply.startswith(texts("faq.unknown")) else "other"), ""


def report(base: Base, told: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Figures of one base; shares of 1. told: how and which, one for each query.

    n: answerable questions. top1: right at once or as the first choice. answered, offered,
    unknown, other: what they got; "other" is a handler that is not the FAQ's. precision:
    right ones among all sure answers, also those to questions nobody should answer; None
    when there was none. oos: the same shares for those, by kind.
    """
    pairs = list(zip(base.queries, told, strict=True))
    good = [(query, how, entry) for query, (how, entry) in pairs if query.kind == "answerable"]
    sure = [query.entry == entry for query, (how, entry) in pairs if how == "sure"]
    right = sum(query.entry == entry for query, _, entry in good)
    kinds: dict[str, list[str]] = {}
    for query, (how, _) in pairs:
        if query.kind != "answerable":
            kinds.setdefault(query.kind, []).append(how)
    return {
        "kb": base.name,
        "n": len(good),
        "top1": round(right / len(good), 4) if good else None,
        **_shares([how for _, how, _ in good]),
        "precision": round(sum(sure) / len(sure), 4) if sure else None,
        "oos": {kind: {"n": len(hows), **_shares(hows)} for kind, hows in sorted(kinds.items())},
    }


def _shares(hows: Sequence[str]) -> dict[str, float | None]:
    names = {"answered": "sure", "offered": "offer", "unknown": "unknown", "other": "other"}
    count = Counter(hows)
    return {name: round(count[how] / len(hows), 4) if hows else None for name, how in names.items()}


def mean(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Plain means over the bases, which differ in size; figures that nobody has are left out."""
    out = {}
    for name in ("top1", "answered", "offered", "unknown", "other", "precision"):
        values = [one[name] for one in figures if one[name] is not None]
        if values:
            out[name] = round(statistics.fmean(values), 4)
    return out


def quiet() -> None:
    """Only warnings on stderr: a line for every question would bury the figures."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


async def measure(bases: Sequence[Base]) -> dict[str, Any]:
    """{"kbs": one `report` each, "mean": …, "seconds": …}."""
    started = time.monotonic()
    figures = []
    for base in bases:
        figures.append(await ask(base))
        print(f"{base.name}: {len(base.queries)} questions asked", file=sys.stderr)
    return {
        "kbs": figures,
        "mean": mean(figures),
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> int:
    """Measure the files given; 2 when there is nothing to measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.faq_webhook", description=__doc__)
    parser.add_argument("--entries", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--queries", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--kb", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    chosen = parser.parse_args()
    quiet()
    try:
        bases = read(chosen.entries, chosen.queries, chosen.kb)
    except (OSError, KeyError, ValueError) as error:
        print(f"nothing was measured: {error}", file=sys.stderr)
        return 2
    result = asyncio.run(measure(bases))
    print(json.dumps(result, ensure_ascii=False, indent=2 if chosen.pretty else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
