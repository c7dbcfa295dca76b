"""Events by the million: the import, the report on a campaign, and the intake over REST.

A made-up shop's months (`bench/event_world.py`), six in ten of its people known to the bot,
are imported from a file in a process of its own, and each campaign is reported on. Then a
whole bot, durable as by default, takes events over sockets: batches, and one at a time on
32 connections, beside a bare server that only writes a line and syncs it for each request.
One JSON object on stdout, progress on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import event_world, servers
from bench.load import Account, percentile_ms
from bench.webhook import say
from bot.intake import import_events
from bot.keys import MAX_PER_MINUTE, new_key
from bot.rest_events import read_funnel
from store import Store

KNOWN = 0.6
"""The share of people whom the bot has met."""
BATCH = 1000
BATCH_CONNECTIONS = 4
CONNECTIONS = 32
REPORT_S = 2.0
BATCHED_PER_S = 5000
SINGLE_PER_S = 1500
_DAY_S = 86_400.0


async def _meet(store: Store, people: int) -> None:
    """Let the bot know people."""
    for first in range(0, people, 500):
        group = range(first, min(first + 500, people))
        await asyncio.gather(
            *(store.members.meet(event_world.CHANNEL, event_world.openid(n), 0.0) for n in group)
        )


async def _import(file: Path, path: Path, known: int, now: float) -> dict[str, Any]:
    store = Store(path)
    await store.open()
    try:
        await _meet(store, known)
        await store.optimise()
        before = path.stat().st_size
        done = await import_events(store, file, now, partial=False)
        await store.optimise()
        return {
            "stored": done.stored,
            "refused": done.refused,
            "seconds": round(done.seconds, 2),
            "per_s": round(done.stored / done.seconds),
            "file_mb": round((path.stat().st_size - before) / 2**20, 1),
        }
    finally:
        await store.close()


async def _reports(path: Path, now: float) -> dict[str, Any]:
    store = Store(path)
    await store.open()

    async def timed(days: float, campaign: str) -> tuple[float, Any]:
        began = time.perf_counter()
        report = await read_funnel(store, since=now - days * _DAY_S, until=now, campaign=campaign)
        return time.perf_counter() - began, report.total

    try:
        found = {}
        for name, days in (("month", 30.0), ("all_days", float(event_world.DAYS))):
            runs = [await timed(days, campaign) for campaign in event_world.CAMPAIGNS]
            seconds = [took for took, _ in runs]
            total = runs[0][1]
            found[name] = {
                "median_s": round(statistics.median(seconds), 3),
                "max_s": round(max(seconds), 3),
                "steps": total.counts,
                "people": total.people,
            }
        took, total = await timed(30.0, "")
        found["month_all_campaigns"] = {"s": round(took, 3), "steps": total.counts}
        return found
    finally:
        await store.close()


def _alone(what: str, *args: Any) -> dict[str, Any]:
    """Run a part in this process and weigh it."""
    parts: dict[str, Any] = {"import": _import, "reports": _reports}
    told: dict[str, Any] = asyncio.run(parts[what](*args))
    told["rss_max_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return told


def in_its_own_process(what: str, *args: Any) -> dict[str, Any]:
    """A part in a fresh process, so that its memory is its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_alone, what, *args).result()


async def _send(port: int, wires: Sequence[bytes], connections: int) -> tuple[float, list[float]]:
    """Seconds for all requests and of each; the next goes out when one is answered.

    Raises RuntimeError at the first answer that is not 200 or 201.
    """
    left = iter(wires)
    latencies: list[float] = []

    async def line() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for wire in left:
            began = time.perf_counter()
            writer.write(wire)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if head[9:12] not in (b"200", b"201"):
                raise RuntimeError(f"{head[:40]!r} {body[:200]!r}")
            latencies.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(line() for _ in range(connections)))
    return time.perf_counter() - began, latencies


def _wire(path: str, body: bytes, kind: str, key: str) -> bytes:
    head = (
        f"POST /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _intake(port: int, key: str, batched: int, singles: int, rounds: int) -> dict[str, Any]:
    """How fast a server takes batches (0 for none) and single events; the best round."""
    now = time.time()
    found: dict[str, Any] = {}
    for number in range(rounds):
        seed = 100 + number
        lines = [
            json.dumps(event).encode()
            for event in event_world.events(batched + singles, 20_000, now, seed)
        ]
        groups = [lines[at : min(at + BATCH, batched)] for at in range(0, batched, BATCH)]
        batches = [
            _wire("/events/batch", b"\n".join(group), "application/x-ndjson", key)
            for group in groups
        ]
        one_by_one = [_wire("/events", line, "application/json", key) for line in lines[batched:]]
        for name, count, wires, connections in (
            ("batched", batched, batches, BATCH_CONNECTIONS),
            ("single", singles, one_by_one, CONNECTIONS),
        ):
            if wires:
                seconds, latencies = asyncio.run(_send(port, wires, connections))
                row = {
                    "per_s": round(count / seconds),
                    "p50_ms": round(percentile_ms(latencies, 0.5), 2),
                    "p99_ms": round(percentile_ms(latencies, 0.99), 2),
                }
                if name not in found or row["per_s"] > found[name]["per_s"]:
                    found[name] = row
    return found


async def _key(path: Path) -> str:
    store = Store(path)
    await store.open()
    try:
        row, shown = new_key("bench", ["events:write"], MAX_PER_MINUTE, time.time())
        await store.keys.add(row)
        return shown
    finally:
        await store.close()


def run(*, events: int, batched: int, singles: int, rounds: int, folder: Path) -> dict[str, Any]:
    """The whole bench. folder: where everything lies, empty at the start."""
    now = time.time()
    people = max(10, events // 10)
    file, path = folder / "events.ndjson", folder / "imported.db"
    told: dict[str, Any] = {"events": events, "people": people}
    say(f"writing {events} events")
    event_world.write(file, events, people, now)
    told["ndjson_mb"] = round(file.stat().st_size / 2**20, 1)
    told["import"] = in_its_own_process("import", file, path, int(people * KNOWN), now)
    say(f"imported: {told['import']}")
    told["reports"] = in_its_own_process("reports", path, now)
    say(f"reports: {told['reports']}")
    with ExitStack() as stack:
        pair = stack.enter_context(servers.pinned_client())
        core = pair[0] if pair else None
        told["machine"] = servers.machine(folder, pair)
        ours = servers.ours(folder, core, Account())
        stack.callback(ours.stop)
        ours.start()
        key = asyncio.run(_key(folder / "bench.db"))
        port = tomllib.loads((folder / "bench.toml").read_text("utf-8"))["server"]["api_port"]
        time.sleep(1.0)  # until the bot has noticed the key
        told["rest"] = _intake(port, key, batched, singles, rounds)
        ours.stop()
        bare_port = servers.free_port()
        bare = servers.Server(
            "event_lines",
            [
                sys.executable,
                *("-m", "bench.peers.event_lines"),
                f"--port={bare_port}",
                f"--folder={folder}",
            ],
            bare_port,
            folder / "event_lines.log",
            core,
        )
        stack.callback(bare.stop)
        bare.start()
        told["bare"] = _intake(bare.port, "", 0, singles, rounds)
        told["single_ratio_to_bare"] = round(
            told["rest"]["single"]["per_s"] / told["bare"]["single"]["per_s"], 2
        )
    told["goals"] = goals(told)
    return told


def goals(told: dict[str, Any]) -> dict[str, bool]:
    """Each goal reached or not."""
    return {
        "campaign_report_under_2_s": all(
            told["reports"][period]["max_s"] < REPORT_S for period in ("month", "all_days")
        ),
        "batched_5000_per_s": told["rest"]["batched"]["per_s"] >= BATCHED_PER_S,
        "single_1500_per_s": told["rest"]["single"]["per_s"] >= SINGLE_PER_S,
    }


def main() -> int:
    """Command line; 1 when a server failed, a missed goal is no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench.events", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="how many to import")
    parser.add_argument("--batched", type=int, default=50_000, help="how many over REST, a round")
    parser.add_argument("--singles", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="put everything here, on a disk that counts")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhiqun-bench-", dir=args.folder) as folder:
        try:
            told = run(
                events=args.events,
                batched=args.batched,
                singles=args.singles,
                rounds=args.rounds,
                folder=Path(folder),
            )
        except (servers.StartError, RuntimeError) as fault:
            told = {"error": str(fault)}
    print(json.dumps(told, ensure_ascii=False, indent=2 if args.pretty else None))
    return int("error" in told)


if __name__ == "__main__":
    sys.exit(main())
