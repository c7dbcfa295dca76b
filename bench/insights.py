"""Insights of a large community: what the night costs, and what answers notice of it.

A made-up year of 100,000 members and 5,000,000 things that they did (`bench/insight_world.py`) is
written into a file. In a process like the bot, with its own jobs and their processes: the first
build of everything, the last day taken in, one single event, and the nightly refresh, step by
step. Then a whole bot with that file answers messages over sockets: quiet, while the refresh runs
beside it, and quiet again. One JSON object on stdout, progress on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
import tomllib
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench import insight_world, servers
from bench.load import Account, LoadError, Question, Seal, Writer
from bench.questions import asked
from bench.webhook import FIXED, Lane, measure, say
from bot import chart, config
from bot.crunch import Crunch
from bot.insight_side import InsightSide
from bot.keys import MAX_PER_MINUTE, new_key
from handlers.texts import Texts
from insights import intake
from insights.behaviour import StateRules
from insights.sentiment import SentimentModel
from scheduler import behaviour
from store import Store, insight_crowd

MEMBERS, ACTS = 100_000, 5_000_000
REFRESH_S = 300.0
PEAK_MB = 1500.0
RPS_RATIO = 0.8
P99_RATIO = 2.0
READ_PER_S = 10_000
_DAY_S = 86_400.0
_SENTENCES = 100_000
_BATCH = 2000
_EVENTS = 20
_LOOK_S = 0.1
_CONNECTIONS = 32
_PATIENCE_S = 3600.0
_PARTS = 8
"""Of the refresh, each of which is counted when it ends."""


# Weighing


@dataclass
class Weight:
    """What a stretch of work took. peak_mb: resident memory of the process and its children at
    their most, together; workers_mb: of the children alone."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    workers_mb: float = 0.0
    _done: threading.Event = field(default_factory=threading.Event)

    def told(self) -> dict[str, float]:
        """For the report."""
        return {
            "seconds": round(self.seconds, 2),
            "cpu_s": round(self.cpu_s, 2),
            "peak_mb": round(self.peak_mb, 1),
            "workers_mb": round(self.workers_mb, 1),
        }

    def _look(self, pid: int) -> None:
        while True:
            own, *others = [servers.rss_mb(one) or 0.0 for one in (pid, *_children(pid))]
            self.peak_mb = max(self.peak_mb, own + sum(others))
            self.workers_mb = max(self.workers_mb, sum(others))
            if self._done.wait(_LOOK_S):
                return


def _children(pid: int) -> list[int]:
    """Processes below one, as Linux tells them; [] elsewhere."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text("ascii").split())
        except OSError:  # ended while we looked
            continue
    return [*found, *(one for child in found for one in _children(child))]


@contextmanager
def weighed(pid: int) -> Iterator[Weight]:
    """Weigh a process, its threads and its children meanwhile; the result is there at the end."""
    weight = Weight()
    looking = threading.Thread(target=weight._look, args=(pid,), daemon=True)
    began, before = time.perf_counter(), servers.cpu_s(pid) or 0.0
    looking.start()
    try:
        yield weight
    finally:
        weight.seconds = time.perf_counter() - began
        weight.cpu_s = (servers.cpu_s(pid) or 0.0) - before
        weight._done.set()
        looking.join()


# The world, in a process of its own


def _fill(line: Connection, path: Path, members: int, acts: int, now: float) -> None:
    """Write the world into a file; tells the rows at the cut and at the end, and waits at the cut
    until it is told to go on."""
    texts = insight_world.sentences(min(_SENTENCES, max(acts // 10, 2000)))
    wanted = intake.Wanted(words=str(path.parent))
    model = intake.read(texts[:1], wanted, list).model
    before = time.process_time()
    readings: list[intake.Reading] = []
    for at in range(0, len(texts), _BATCH):
        readings += intake.read(texts[at : at + _BATCH], wanted, list).readings
    read_s = time.process_time() - before
    judge = SentimentModel.load().judge
    before = time.process_time()
    for at in range(0, len(texts), _BATCH):
        judge(texts[at : at + _BATCH])
    judged_s = time.process_time() - before
    rates = {
        "read_per_cpu_s": round(len(texts) / read_s),
        "judged_per_cpu_s": round(len(texts) / judged_s),
    }
    world = insight_world.World(members, acts, now, texts, readings, model)
    with insight_crowd.filling(path) as conn:
        for rows in world.write(conn, now - _DAY_S):
            line.send((rates, rows))
            line.recv()
    line.send((rates, {}))


class _Filling:
    """The process that fills."""

    def __init__(self, path: Path, members: int, acts: int, now: float) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._line, other = spawn.Pipe()
        self._process = spawn.Process(
            target=_fill, args=(other, path, members, acts, now), daemon=True
        )
        self._process.start()
        other.close()
        self.rates: dict[str, int] = {}

    def next(self) -> dict[str, int]:
        """The rows that there are at the cut, or at the end. Raises RuntimeError."""
        try:
            self.rates, rows = self._line.recv()
            return rows  # type: ignore[no-any-return]
        except EOFError:
            raise RuntimeError("the world could not be made") from None

    def go_on(self) -> None:
        """From the cut to the end, or at the end: no more is wanted."""
        self._line.send(None)


# The nights, in a process like the bot


class _NoUploads:
    async def picture(self, channel: str, png: bytes) -> str:
        return ""


async def _untold(member_id: int | None, words: str, key: bytes) -> bool:
    return False


async def _night(settings: Path, now: float, events: int) -> dict[str, Any]:
    """What is new, then all parts of the nightly refresh, as the bot runs them, each weighed.

    events: so many single things are taken in afterwards, one by one.
    """
    read = config.load(settings, os.environ)
    store = Store(read.store.path)
    await store.open()
    side = InsightSide(
        read,
        store,
        Texts.load(),
        _NoUploads(),
        chart.lettering(),
        official=frozenset(),
        pictures=frozenset(),
        now=lambda: now,
        tell=_untold,
    )
    crunch = Crunch()
    steps: dict[str, Weight] = {}
    failed: list[str] = []

    async def fold(at: float) -> str:
        return await behaviour.tick(store, crunch, StateRules(), at)

    try:
        with weighed(os.getpid()) as total:
            for name, run in [("features", fold), *side.steps()]:
                key = f"today_{name}" if name in steps else name
                with weighed(os.getpid()) as steps[key]:
                    try:
                        said = await run(now)
                    except Exception as error:  # noqa: BLE001  # the report says which part failed
                        failed.append(key)
                        said = repr(error)
                say(f"{key}: {steps[key].told()} {said}")
        each = [await _one_event(read.store.path, fold, now + n) for n in range(events)]
    finally:
        await side.close()
        await crunch.close()
        await store.close()
    return {
        **total.told(),
        "steps": {name: weight.told() for name, weight in steps.items()},
        "failed": failed,
        "one_event_ms": round(statistics.median(each) * 1e3, 2) if each else None,
    }


async def _one_event(path: Path, fold: Callable[[float], Awaitable[str]], at: float) -> float:
    """Seconds of a round of features with one thing to take in."""
    with insight_crowd.filling(path) as conn:
        row = (None, at, insight_world.CHANNEL, 1, "text", "签到", "checkin", "", None, "")
        insight_crowd.add(conn, "interactions", [row])
    began = time.perf_counter()
    await fold(at)
    return time.perf_counter() - began


def _nightly(settings: Path, now: float, events: int) -> dict[str, Any]:
    return asyncio.run(_night(settings, now, events))


def night(settings: Path, now: float, events: int = 0) -> dict[str, Any]:
    """A night in a fresh process, so that its memory is its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_nightly, settings, now, events).result()


# Answers beside it


class _Bot:
    """The running bot under test, and its doors for operators."""

    def __init__(self, server: servers.Server, key: str) -> None:
        settings = tomllib.loads(Path(server.command[-1]).read_text("utf-8"))["server"]
        self._api = f"http://127.0.0.1:{settings['api_port']}/api/v1/insights/refresh"
        self._metrics = f"http://127.0.0.1:{settings['ops_port']}/metrics"
        self._key = key

    def refresh(self) -> None:
        """Begin the nightly refresh."""
        head = {"Authorization": f"Bearer {self._key}"}
        asked = urllib.request.Request(self._api, b"", head, method="POST")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            answer.read()

    def parts(self) -> dict[str, int]:
        """How often each part of insights ended, and how."""
        with urllib.request.urlopen(self._metrics, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        found = (
            line.rpartition(" ") for line in lines if line.startswith("zhiqun_insights_total{")
        )
        return {name: int(float(count)) for name, _, count in found}


def lanes(server: servers.Server) -> list[Lane]:
    """A fixed answer and questions of the FAQ."""
    return [
        Lane("fixed", server, itertools.repeat(Question(FIXED)), exact=False),
        Lane("faq", server, asked(), exact=False),
    ]


def answers(server: servers.Server, key: str, account: Account, rounds: int) -> dict[str, Any]:
    """What answers cost quiet and during a refresh, and what the refresh took then.

    Quiet rounds come before and after, half of them each. Raises LoadError, OSError.
    """
    bot, seal, writer = _Bot(server, key), Seal(account), Writer(account)
    quiet, during = lanes(server), lanes(server)

    def round_of(lanes: list[Lane]) -> None:
        for lane in lanes:
            measure(lane, writer, seal, 1.0, _CONNECTIONS)
            last = lane.rounds[-1]
            say(f"{lane.name}: {last['rps']:.0f}/s  p99 {last['p99_ms']:.2f} ms")

    for _ in range(-(-rounds // 2)):
        round_of(quiet)
    assert server.process is not None
    before = sum(bot.parts().values())
    with weighed(server.process.pid) as weight:
        bot.refresh()
        ends = time.perf_counter() + _PATIENCE_S
        while sum(bot.parts().values()) < before + _PARTS and time.perf_counter() < ends:
            round_of(during)
    for _ in range(rounds // 2):
        round_of(quiet)
    told: dict[str, Any] = {"refresh": weight.told()}
    told["failed"] = [name for name in bot.parts() if 'end="failed"' in name]
    for calm, busy in zip(quiet, during, strict=True):
        both = {"quiet": middle(calm), "during": middle(busy)}
        told[calm.name] = both | {
            "rps_ratio": round(both["during"]["rps"] / both["quiet"]["rps"], 3),
            "p99_ratio": round(both["during"]["p99_ms"] / both["quiet"]["p99_ms"], 2),
        }
    return told


def middle(lane: Lane) -> dict[str, float]:
    """Medians of the rounds: with the best round, a refresh would go unseen."""
    found = {
        key: round(statistics.median(one[key] for one in lane.rounds), 2)
        for key in ("rps", "cpu_us", "p50_ms", "p99_ms", "busy_p99_ms")
    }
    return found | {"rounds": len(lane.rounds)}


# All of it


async def _key(path: Path) -> str:
    store = Store(path)
    await store.open()
    try:
        row, shown = new_key("bench", ["insights:write"], MAX_PER_MINUTE, time.time())
        await store.keys.add(row)
        return shown
    finally:
        await store.close()


def run(*, members: int, acts: int, rounds: int, folder: Path) -> dict[str, Any]:
    """The whole bench. rounds: of quiet answers, 0 to leave answers out. folder: where
    everything lies, empty at the start."""
    now, account = time.time(), Account()
    told: dict[str, Any] = {"members": members, "acts": acts}
    # Not on one core alone: the processes of the bot inherit where it may run.
    server = servers.ours(folder, None, account)
    os.environ.update(server.env)
    servers.import_faq(server, folder)
    settings, path = Path(server.command[-1]), folder / "bench.db"
    say(f"making {acts} things that {members} members did")
    filling = _Filling(path, members, acts, now)
    filling.next()
    say("the first build of everything")
    told["first"] = night(settings, now - _DAY_S)
    filling.go_on()
    told["rows"] = filling.next()
    told |= filling.rates
    filling.go_on()
    say("the night after")
    told["nightly"] = night(settings, now, _EVENTS)
    told["file_mb"] = round(path.stat().st_size / 2**20, 1)
    if rounds:
        with ExitStack() as stack:
            told["machine"] = servers.machine(folder, stack.enter_context(servers.pinned_client()))
            key = asyncio.run(_key(path))
            stack.callback(server.stop)
            server.start()
            told["answers"] = answers(server, key, account, rounds)
    told["goals"] = goals(told)
    return told


def goals(told: dict[str, Any]) -> dict[str, bool | None]:
    """Each goal reached or not; None where it was not measured."""
    beside = told.get("answers")
    nights = [told["nightly"], *([beside["refresh"]] if beside else [])]
    found: dict[str, bool | None] = {
        "refresh_within_5_minutes": all(one["seconds"] <= REFRESH_S for one in nights),
        "refresh_within_1500_mb": all(one["peak_mb"] <= PEAK_MB for one in nights),
        "sentiment_10000_per_s": told["judged_per_cpu_s"] >= READ_PER_S,
        "answers_0.8_of_quiet": None,
        "answers_p99_within_twice_quiet": None,
    }
    if beside:
        lanes = [beside[name] for name in ("fixed", "faq")]
        found["answers_0.8_of_quiet"] = all(one["rps_ratio"] >= RPS_RATIO for one in lanes)
        found["answers_p99_within_twice_quiet"] = all(
            one["p99_ratio"] <= P99_RATIO for one in lanes
        )
    return found


def main() -> int:
    """Command line; 1 when something failed, a missed goal is no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench.insights", description=__doc__)
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--acts", type=int, default=ACTS, help="things that members did")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of quiet answers")
    parser.add_argument("--skip-webhook", action="store_true", help="the nights alone")
    parser.add_argument("--folder", type=Path, help="put everything here, on a disk that counts")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhiqun-bench-", dir=args.folder) as folder:
        try:
            told = run(
                members=args.members,
                acts=args.acts,
                rounds=0 if args.skip_webhook else args.rounds,
                folder=Path(folder),
            )
        except (servers.StartError, LoadError, OSError, RuntimeError) as fault:
            told = {"error": f"{type(fault).__name__}: {fault}"}
    print(json.dumps(told, ensure_ascii=False, indent=2 if args.pretty else None))
    return int("error" in told)


if __name__ == "__main__":
    sys.exit(main())
