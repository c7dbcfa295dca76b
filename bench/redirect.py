"""What a visitor of a tracked link waits: ours beside a bare aiohttp redirect, in one run.

Ours is what serves `/r/…` in production: the same server, a durable store, every click
written. Visitors come at random times and do not wait for each other, so that a stall is
charged to everybody who came meanwhile. One JSON object on stdout, progress on stderr;
exit code 1 when a click is missing from the store afterwards.

    python -m bench.redirect [--requests 5000] [--rate 300] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import selectors
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from bench import servers
from bench.load import PATIENCE_S, Batch, LoadError, Outcome, Question, _Open, percentile_ms
from bot.config import ServerSettings
from bot.keys import KeyRing
from bot.links import Linker
from bot.redirect import Redirect
from bot.rest import Services, make_app
from bot.rest_server import ApiRunner
from store import Store
from store.catalogue import Item

CHANNEL = "mp"
LINKS, MEMBERS = 50, 500
GOAL_P99_MS = 5.0
TARGET = "https://shop.example.com/item"
_AGENT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN"
)


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


# The servers under test, each in a process of its own


async def serve_ours(port: int, folder: Path) -> None:
    """The links' server as `zhiqun serve` runs it, without the conversation."""
    store = Store(folder / "bench.db")
    await store.open()
    linker = Linker(store, public_url="https://bot.example.com", now=time.time)
    await linker.open()
    await linker.prepare({}, await store.catalogue.items())
    redirect = Redirect(store, linker, now=time.time)
    services = Services(
        store=store,
        keys=KeyRing(store.keys, time.time),
        now=time.time,
        watch=_Nobody(),
        reload=_nothing,
        find_items=lambda query, limit: (),
    )
    settings = ServerSettings()
    app = make_app(services, (), settings, redirect.routes())
    runner = ApiRunner(app, settings, lambda channel, reason: None)
    await _until_stopped(runner, port)
    await redirect.close()
    await store.close()


async def serve_bare(port: int) -> None:
    """The floor: aiohttp sends everybody to the same place and remembers nothing."""

    async def follow(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": TARGET})

    app = web.Application()
    app.router.add_get("/r/{token}", follow)
    await _until_stopped(web.AppRunner(app, access_log=None), port)


class _Nobody:
    def api_request(self, operation: str, status: int) -> None:
        """Counts nothing."""

    def wrong_code(self, who: str) -> None:
        """Counts nothing."""


async def _nothing() -> None:
    """Reloads nothing."""


async def _until_stopped(runner: web.BaseRunner, port: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await stopped.wait()
    await runner.cleanup()


# The visitors


async def prepare(folder: Path) -> list[str]:
    """A store with links and members; the tokens that visitors will have."""
    store = Store(folder / "bench.db", durability="process")
    await store.open()
    now = time.time()
    items = [
        Item(id=f"i{n}", kind="course", title=f"Item {n}", url=f"{TARGET}/{n}?from=chat")
        for n in range(LINKS)
    ]
    await store.catalogue.put(items, now)
    members = await asyncio.gather(
        *[store.members.meet(CHANNEL, f"oBench{n:022d}", now) for n in range(MEMBERS)]
    )
    linker = Linker(store, public_url="https://bot.example.com", now=time.time)
    await linker.open()
    tokens = []
    for item in items:
        made = await linker.create(item_id=item.id, campaign="bench", by="cli")
        tokens.append(linker.signer.token(made.link.id))
        tokens += [linker.signer.token(made.link.id, one.id) for one in members[:20]]
    await store.close()
    return tokens


def visits(tokens: Sequence[str], count: int, seed: int) -> Batch:
    """That many clicks, each by somebody else: another address, any of the links."""
    rng = random.Random(seed)
    batch = Batch()
    for _ in range(count):
        address = ".".join(str(rng.randrange(1, 255)) for _ in range(4))
        wire = (
            f"GET /r/{rng.choice(tokens)} HTTP/1.1\r\nHost: bot.example.com\r\n"
            f"User-Agent: {_AGENT}\r\nAccept: text/html\r\nAccept-Language: zh-CN\r\n"
            f"X-Forwarded-For: {address}\r\n\r\n"
        )
        batch.wires.append(wire.encode())
        batch.questions.append(Question(""))
        batch.senders.append(address)
    return batch


class _Visitors(_Open):
    """The open loop of `bench.load`, for answers that send people on.

    served_s: like the latencies, without the time by which this client itself was late.
    """

    def __init__(self, port: int, batch: Batch, rate: float) -> None:
        super().__init__("127.0.0.1", port, batch, 64, rate)
        self.served_s: list[float] = []

    def count(self, index: int, status: bytes, body: bytes, since: float, now: float) -> None:
        if status != b"302":
            self.outcome.faults[f"status {status.decode('latin-1')}"] += 1
            return
        self.outcome.done += 1
        self.outcome.latencies_s.append(now - since)
        self.served_s.append(now - since - self.outcome.lag_s[index])


def drive(port: int, batch: Batch, rate: float) -> tuple[Outcome, list[float]]:
    """Send the visits at `rate` a second on average; also their `served_s`. Errors: LoadError."""

    async def run() -> tuple[Outcome, list[float]]:
        visitors = _Visitors(port, batch, rate)
        return await visitors.run(len(batch) / rate * 2 + PATIENCE_S), visitors.served_s

    # epoll wakes up at whole milliseconds, select() at microseconds.
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        return runner.run(run())


def target_of(port: int, token: str) -> str:
    """Where one visitor is sent; the check that the figures are about redirects at all."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **more: Any) -> None:
            return None

    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/r/{token}", headers={"User-Agent": _AGENT}
    )
    try:
        urllib.request.build_opener(Stay).open(request, timeout=10)
    except urllib.request.HTTPError as answer:
        return str(answer.headers.get("Location", ""))
    return ""


async def clicks_in(folder: Path) -> int:
    """How many clicks the store has."""
    store = Store(folder / "bench.db", durability="process")
    await store.open()
    total = after = 0
    while page := await store.events.page(after, "click", 10_000):
        total, after = total + len(page), page[-1].id
    await store.close()
    return total


# The report


def figures(outcome: Outcome, served_s: Sequence[float], cpu_s: float | None) -> dict[str, float]:
    """One round in milliseconds from when a visit was due; served_p99_ms from when it left.

    cpu_us is the server's, for each answer.
    """
    took = outcome.latencies_s
    return {
        "p50_ms": percentile_ms(took, 0.5),
        "p99_ms": percentile_ms(took, 0.99),
        "max_ms": percentile_ms(took, 1.0),
        "served_p99_ms": percentile_ms(served_s, 0.99),
        "lag_p99_ms": percentile_ms(outcome.lag_s, 0.99),
        "cpu_us": float("nan") if cpu_s is None else cpu_s / outcome.done * 1e6,
    }


def median(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    return {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]}


def report(
    rounds: Mapping[str, Sequence[Mapping[str, float]]], *, sent: int, stored: int
) -> dict[str, Any]:
    """What is printed. sent: visits of ours in all rounds; stored: clicks found afterwards."""
    ours, bare = median(rounds["ours"]), median(rounds["bare"])
    return {
        "ours": ours,
        "bare": bare,
        "ratio": {
            name: round(ours[name] / bare[name], 2) for name in ("p50_ms", "p99_ms", "cpu_us")
        },
        "p99_ms_by_round": {
            name: [round(one["p99_ms"], 3) for one in its] for name, its in rounds.items()
        },
        "clicks": {"sent": sent, "stored": stored},
        "goals": {
            "p99_within_5_ms": ours["p99_ms"] <= GOAL_P99_MS,
            "every_click_stored": sent == stored,
        },
    }


def run(requests: int, rate: float, rounds: int) -> dict[str, Any]:
    """The whole bench. Errors: LoadError, StartError."""
    with tempfile.TemporaryDirectory() as name, servers.pinned_client() as pair:
        folder = Path(name)
        tokens = asyncio.run(prepare(folder))
        lanes = [_lane(kind, folder, pair[0] if pair else None) for kind in ("ours", "bare")]
        taken: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
        sent = 0
        machine = servers.machine(folder, pair)
        try:
            for lane in lanes:
                lane.start()
            there = target_of(lanes[0].port, tokens[0])
            if not there.startswith(f"{TARGET}/0?from=chat&zq="):
                raise LoadError(f"a visitor was sent to {there!r}")
            sent += 1
            for number in range(-1, rounds):
                # Round -1 warms up: its clicks are stored, its times are not told.
                count = requests if number >= 0 else min(300, requests)
                for lane in lanes:
                    before = lane.cpu_s()
                    outcome, served_s = drive(lane.port, visits(tokens, count, number + 7), rate)
                    after = lane.cpu_s()
                    sent += count if lane.name == "ours" else 0
                    if number < 0:
                        continue
                    used = None if before is None or after is None else after - before
                    taken[lane.name].append(figures(outcome, served_s, used))
                    p99_ms = taken[lane.name][-1]["p99_ms"]
                    say(f"round {number + 1} {lane.name}: p99 {p99_ms:.2f} ms")
        finally:
            for lane in lanes:
                lane.stop()
        told = report(taken, sent=sent, stored=asyncio.run(clicks_in(folder)))
    return {"requests": requests, "rate": rate, "rounds": rounds, **told, "machine": machine}


def _lane(kind: str, folder: Path, core: int | None) -> servers.Server:
    port = servers.free_port()
    command = [sys.executable, "-m", "bench.redirect", "--serve", kind, "--port", str(port)]
    return servers.Server(
        kind, [*command, "--folder", str(folder)], port, folder / f"{kind}.log", core
    )


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    maker: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return maker


def main() -> None:
    """`python -m bench.redirect`."""
    parser = argparse.ArgumentParser(prog="python -m bench.redirect", description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=300.0, help="visits a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=("ours", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=Path(), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        server: Awaitable[None] = (
            serve_ours(asked.port, asked.folder)
            if asked.serve == "ours"
            else serve_bare(asked.port)
        )

        async def serve() -> None:
            await server

        with asyncio.Runner(loop_factory=_loop()) as runner:
            runner.run(serve())
        return
    try:
        told = run(asked.requests, asked.rate, asked.rounds)
    except (LoadError, servers.StartError) as error:
        sys.exit(f"bench.redirect: {error}")
    print(json.dumps(told, indent=2))
    if not told["goals"]["every_click_stored"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
