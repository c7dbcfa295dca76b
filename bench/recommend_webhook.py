"""What answers notice of a training: the bot learns a ranker while it is written to.

A shop of 20,000 members who did 400,000 things with 500 items is written into a file. A whole bot
with it answers messages over sockets: quiet, then while its own nightly job reads the log, trains,
judges and lists, and quiet again. One JSON object on stdout, progress on stderr.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench import servers
from bench.insights import lanes, middle, weighed
from bench.load import Account, LoadError, Seal, Writer
from bench.webhook import Lane, measure, say
from handlers.context import SHANGHAI
from store import insight_crowd

MEMBERS, ITEMS, DEEDS = 20_000, 500, 400_000
P99_RATIO = 2.0
_TASTES = 20
_DAYS = 120
_DAY_S = 86_400.0
_OWN = 0.7
"""Of what a member does, so much is of their own taste."""
_CONNECTIONS = 32
_LEAD_S = 60.0
"""At least so long the bot has for its start and the quiet rounds before the training."""
_PATIENCE_S = 1800.0
_METRIC = "zhiqun_recommendation_trainings_total{"


def _fill(path: Path, members: int, deeds: int, now: float) -> None:
    rng = random.Random(0)
    since = now - _DAYS * _DAY_S
    with insight_crowd.filling(path) as conn:
        insight_crowd.add(
            conn,
            "items",
            (
                (
                    *(f"i-{n}", "course", f"第 {n} 课", f"讲第 {n % 60} 件事"),
                    *(f"标签{n % _TASTES}", f"老师{n % 40}", "", 100 * (n % 300), "", "", since),
                )
                for n in range(ITEMS)
            ),
        )
        insight_crowd.add(conn, "members", ((n + 1, since) for n in range(members)))
        insight_crowd.add(conn, "events", _deeds(rng, members, deeds, since, now))


def _deeds(
    rng: random.Random, members: int, deeds: int, since: float, now: float
) -> Iterator[tuple[Any, ...]]:
    kinds = ("click",) * 6 + ("enroll", "progress", "purchase")
    for n in range(deeds):
        member = int(members * rng.random() ** 2)
        taste = member % _TASTES
        place = int(ITEMS * rng.random() ** 2)
        if rng.random() < _OWN:
            place = place // _TASTES * _TASTES + taste
        kind = rng.choice(kinds)
        at = since + (now - since) * (n + 1) / deeds
        percent = rng.randrange(1, 100) if kind == "progress" else None
        cents = 9900 if kind == "purchase" else 0
        item = f"i-{min(place, ITEMS - 1)}"
        order = f"o-{n}" if kind == "purchase" else ""
        yield None, f"e-{n}", kind, at, at, member + 1, "", item, percent, cents, order, ""


class _Bot:
    """What the running bot says of its trainings."""

    def __init__(self, server: servers.Server) -> None:
        assert server.ready_url is not None
        self._metrics = server.ready_url.replace("/readyz", "/metrics")

    def trainings(self) -> dict[str, int]:
        """How many ended, and how."""
        with urllib.request.urlopen(self._metrics, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        found = (line.rpartition(" ") for line in lines if line.startswith(_METRIC))
        return {name: int(float(count)) for name, _, count in found if float(count)}


def _begin(settings: Path) -> float:
    """Have the bot train soon, at a whole minute as its clock has it; says when."""
    at = datetime.fromtimestamp(time.time() + _LEAD_S, SHANGHAI).replace(second=0, microsecond=0)
    at += timedelta(minutes=1)
    with settings.open("a", encoding="utf-8") as file:
        file.write(f'[insights]\nenabled = false\n[recommendations]\ntrain_at = "{at:%H:%M}"\n')
    return at.timestamp()


def run(*, members: int, deeds: int, rounds: int, folder: Path) -> dict[str, Any]:
    """The whole bench; folder: empty at the start. Raises LoadError, OSError, RuntimeError."""
    account = Account()
    server = servers.ours(folder, None, account)
    servers.import_faq(server, folder)
    say(f"making {deeds} things that {members} members did")
    _fill(folder / "bench.db", members, deeds, time.time())
    told: dict[str, Any] = {"members": members, "items": ITEMS, "deeds": deeds}
    seal, writer = Seal(account), Writer(account)
    quiet, during = lanes(server), lanes(server)

    def round_of(some: list[Lane]) -> None:
        for lane in some:
            measure(lane, writer, seal, 1.0, _CONNECTIONS)
            last = lane.rounds[-1]
            say(f"{lane.name}: {last['rps']:.0f}/s  p99 {last['p99_ms']:.2f} ms")

    with ExitStack() as stack:
        told["machine"] = servers.machine(folder, stack.enter_context(servers.pinned_client()))
        begins = _begin(Path(server.command[-1]))
        stack.callback(server.stop)
        server.start()
        bot = _Bot(server)
        for _ in range(-(-rounds // 2)):
            round_of(quiet)
        time.sleep(max(0.0, begins - time.time()))
        assert server.process is not None
        with weighed(server.process.pid) as weight:
            ends = time.perf_counter() + _PATIENCE_S
            while not bot.trainings():
                if time.perf_counter() > ends:
                    raise RuntimeError("the training did not end")
                round_of(during)
        told["training"] = weight.told() | {"ended": bot.trainings()}
        for _ in range(rounds // 2):
            round_of(quiet)
    for calm, busy in zip(quiet, during, strict=True):
        both = {"quiet": middle(calm), "during": middle(busy)}
        told[calm.name] = both | {
            "rps_ratio": round(both["during"]["rps"] / both["quiet"]["rps"], 3),
            "p99_ratio": round(both["during"]["p99_ms"] / both["quiet"]["p99_ms"], 2),
        }
    told["goals"] = {
        "p99_within_twice_quiet": all(told[one.name]["p99_ratio"] <= P99_RATIO for one in quiet)
    }
    return told


def main() -> int:
    """Command line; 1 when something failed, a missed goal is no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench.recommend_webhook", description=__doc__)
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--deeds", type=int, default=DEEDS, help="things that members did")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of quiet answers")
    parser.add_argument("--folder", type=Path, help="put everything here, on a disk that counts")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhiqun-bench-", dir=args.folder) as name:
        folder = Path(name)
        try:
            told = run(members=args.members, deeds=args.deeds, rounds=args.rounds, folder=folder)
        except (servers.StartError, LoadError, OSError, RuntimeError) as fault:
            told = {"error": f"{type(fault).__name__}: {fault}"}
    print(json.dumps(told, ensure_ascii=False, indent=2 if args.pretty else None))
    return int("error" in told)


if __name__ == "__main__":
    sys.exit(main())
