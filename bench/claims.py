"""Claims by everybody at once: 20,000 members, one offer, 1,000 codes, nobody given one too many.

First through the store alone, in a process of its own on one core: codes made here, a pool of
the shop's codes, and (the dearer case) enough codes for everybody. Then a whole bot takes the
same claims encrypted over sockets, 2,000 at a time, in turn with as many FAQ questions, so
that the ratio of the two does not depend on what else the machine does. Afterwards the file
is counted. One JSON object on stdout, progress on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import claims_load, servers
from bench.load import (
    Account,
    Batch,
    LoadError,
    Outcome,
    Question,
    Seal,
    Writer,
    check_samples,
    closed_loop,
    open_loop,
    percentile_ms,
)
from bench.questions import asked
from bench.webhook import ENOUGH_RIGHT, OPEN_RATE, say
from store import Store

STORE_PER_S = 5000
OF_FAQ = 0.8


@dataclass
class Lane:
    """One kind of message through the webhook, added up over its turns."""

    seconds: float = 0.0
    cpu_s: float | None = 0.0
    done: int = 0
    late: int = 0
    checked: int = 0
    right: int = 0
    latencies_s: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """What the lane's messages cost and how long they took, saturated."""
        return {
            "rps": round(self.done / self.seconds),
            "cpu_us": None if self.cpu_s is None else round(self.cpu_s / self.done * 1e6, 1),
            "p50_ms": round(percentile_ms(self.latencies_s, 0.5), 2),
            "p99_ms": round(percentile_ms(self.latencies_s, 0.99), 2),
            "messages": self.done,
            "late": self.late,
        }


class Wire:
    """The bot under test and who writes to it. Raises LoadError for a wrong answer."""

    def __init__(self, server: servers.Server, account: Account, members: int) -> None:
        self.server = server
        self.seal = Seal(account)
        self._claims = Writer(account, members)
        self._questions = Writer(account, members)
        self._asked = asked()

    def claims(self, word: str, count: int) -> Batch:
        """So many members claim, each of all the members in turn."""
        return self._claims.write(itertools.repeat(Question(f"领券 {word}"), count))

    def questions(self, count: int) -> Batch:
        """As many FAQ questions as `bench.webhook` asks them."""
        return self._questions.write(itertools.islice(self._asked, count))

    def turn(self, lane: Lane, batch: Batch, connections: int) -> None:
        """Send a batch as fast as it is answered; what it cost is the lane's."""
        before = self.server.cpu_s()
        outcome = closed_loop(
            self.server.port, batch, connections=connections, seconds=servers.START_S * 4
        )
        time.sleep(0.1)  # work put off until after the answer is its cost too
        after = self.server.cpu_s()
        if before is None or after is None or lane.cpu_s is None:
            lane.cpu_s = None
        else:
            lane.cpu_s += after - before
        self._count(lane, batch, outcome)
        lane.seconds += outcome.seconds
        lane.latencies_s += outcome.latencies_s

    def calm(self, batch: Batch, connections: int) -> dict[str, Any]:
        """Latency at a rate that the bot can bear."""
        outcome = open_loop(self.server.port, batch, connections=connections, rate=OPEN_RATE)
        self._count(Lane(), batch, outcome)
        return {
            "p50_ms": round(percentile_ms(outcome.latencies_s, 0.5), 2),
            "p99_ms": round(percentile_ms(outcome.latencies_s, 0.99), 2),
            "rate": OPEN_RATE,
        }

    def _count(self, lane: Lane, batch: Batch, outcome: Outcome) -> None:
        checked, right = check_samples(self.seal, batch, outcome)
        lane.done += outcome.done
        lane.late += outcome.late
        lane.checked += checked
        lane.right += right


def through_the_webhook(
    folder: Path, core: int | None, *, members: int, inventory: int, rounds: int, connections: int
) -> dict[str, Any]:
    """The encrypted half. Raises LoadError, StartError."""
    account = Account()
    server = servers.ours(folder, core, account)
    say(f"{servers.import_faq(server, folder)} FAQ entries imported")
    words = ["新客", "稳步", *(f"早鸟{number}" for number in range(rounds)), "人潮"]
    path = folder / "bench.db"
    made = asyncio.run(_offers(path, words, inventory))
    claims, questions, fresh, rush = Lane(), Lane(), Lane(), Lane()
    with ExitStack() as stack:
        say(f"the bot: up in {server.start():.2f} s")
        stack.callback(server.stop)
        wire = Wire(server, account, members)
        wire.turn(Lane(), wire.questions(300), connections)
        wire.turn(fresh, wire.claims("新客", members), connections)
        say(f"by members it had never met: {fresh.figures()}")
        step = max(1, members // 10)
        for number in range(rounds):
            for first in range(0, members, step):
                size = min(step, members - first)
                wire.turn(claims, wire.claims(f"早鸟{number}", size), connections)
                wire.turn(questions, wire.questions(size), connections)
            say(f"round {number + 1}/{rounds}: {claims.figures()}, FAQ {questions.figures()}")
        count = min(members, int(OPEN_RATE * 5))
        calm = {
            "claims": wire.calm(wire.claims("稳步", count), connections),
            "faq": wire.calm(wire.questions(count), connections),
        }
        wire.turn(rush, wire.claims("人潮", members), max(connections, members // 20))
        say(f"on {max(connections, members // 20)} connections: {rush.figures()}")
    if questions.right < ENOUGH_RIGHT * questions.checked:
        raise LoadError(f"only {questions.right} of {questions.checked} FAQ samples were right")
    told = {"claims": claims.figures(), "faq": questions.figures()}
    cpu = [told[name]["cpu_us"] for name in ("faq", "claims")]
    return {
        **told,
        "ratio_to_faq": round(told["claims"]["rps"] / told["faq"]["rps"], 3),
        "cpu_ratio_to_faq": round(cpu[0] / cpu[1], 3) if all(cpu) else None,
        "open_loop": calm,
        "fresh_members": fresh.figures(),
        "rush": {"connections": max(connections, members // 20), **rush.figures()},
        "audit": asyncio.run(_audits(path, made, inventory)),
    }


async def _offers(path: Path, words: Sequence[str], inventory: int) -> dict[str, int]:
    store = Store(path)
    await store.open()
    try:
        now = time.time()
        return {
            word: (await claims_load.offer(store, word, inventory, pool=False, now=now)).id
            for word in words
        }
    finally:
        await store.close()


async def _audits(path: Path, made: dict[str, int], inventory: int) -> dict[str, dict[str, int]]:
    store = Store(path)
    await store.open()
    try:
        now = time.time()
        return {
            word: await claims_load.audit(store, offer_id, inventory, now)
            for word, offer_id in made.items()
        }
    finally:
        await store.close()


def summary(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of one siege: the best rate and the least CPU, with what they ranged over."""
    rate = [one["per_s"] for one in rounds]
    cpu = [one["cpu_us"] for one in rounds]
    return {
        "per_s": round(max(rate)),
        "cpu_us": round(min(cpu), 1),
        "p50_ms": round(statistics.median(one["p50_ms"] for one in rounds), 1),
        "p99_ms": round(statistics.median(one["p99_ms"] for one in rounds), 1),
        "spread": {
            "per_s": [round(min(rate)), round(max(rate))],
            "cpu_us": [round(min(cpu), 1), round(max(cpu), 1)],
        },
        "outcomes": rounds[-1]["outcomes"],
        "audit": [one["audit"] for one in rounds],
    }


def audits(told: dict[str, Any]) -> list[dict[str, int]]:
    """Every counting of a file in the report."""
    found = [entry for part in told["store"].values() for entry in part["audit"]]
    return found + list(told.get("webhook", {}).get("audit", {}).values())


def goals(told: dict[str, Any]) -> dict[str, bool | None]:
    """Each goal reached or not; None where it was not measured."""
    webhook = told.get("webhook", {}).get("ratio_to_faq")
    wrong = ("oversold", "codes_twice", "members_twice", "counted_wrong")
    return {
        "store_5000_per_s": told["store"]["made_here"]["per_s"] >= STORE_PER_S,
        "webhook_at_least_0.80_of_faq": None if webhook is None else webhook >= OF_FAQ,
        "never_oversold": not any(entry[name] for entry in audits(told) for name in wrong),
    }


def run(
    *,
    members: int,
    inventory: int,
    rounds: int,
    connections: int,
    webhook: bool,
    folder: Path,
) -> dict[str, Any]:
    """The whole bench; see the module. folder: where the stores lie, empty at the start."""
    told: dict[str, Any] = {"store": {}}
    with servers.pinned_client() as pair:
        core = pair[0] if pair else None
        told["machine"] = servers.machine(folder, pair)
        for name, count, pool in (
            ("made_here", inventory, False),
            ("pool", inventory, True),
            ("enough_for_all", members, False),
        ):
            found = claims_load.in_its_own_process(
                core,
                folder / f"{name}.db",
                members=members,
                inventory=count,
                pool=pool,
                rounds=rounds,
            )
            row = told["store"][name] = summary(found["rounds"])
            say(f"store, {name}: {row['per_s']}/s, {row['cpu_us']} us, p99 {row['p99_ms']} ms")
        if webhook:
            told["webhook"] = through_the_webhook(
                folder,
                core,
                members=members,
                inventory=inventory,
                rounds=rounds,
                connections=connections,
            )
    told["goals"] = goals(told)
    told["settings"] = {
        "members": members,
        "inventory": inventory,
        "rounds": rounds,
        "connections": connections,
    }
    return told


def main() -> int:
    """Command line; 1 when a part could not be measured, a goal missed is no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench.claims", description=__doc__)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--codes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--no-webhook", action="store_true", help="the store only")
    parser.add_argument("--folder", type=Path, help="put the stores here, on a disk that counts")
    parser.add_argument("--pretty", action="store_true", help="indent")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhiqun-bench-", dir=args.folder) as folder:
        try:
            told = run(
                members=args.members,
                inventory=args.codes,
                rounds=args.rounds,
                connections=args.connections,
                webhook=not args.no_webhook,
                folder=Path(folder),
            )
        except (LoadError, servers.StartError) as fault:
            say(str(fault))
            return 1
    print(json.dumps(told, ensure_ascii=False, indent=2 if args.pretty else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
