"""What one message costs: our webhook beside bare, tutorial and hand-tuned servers.

Every server runs in its own process on one core, the client on another. Each round
asks every server in turn, because CPU time on a shared machine drifts by 1.4 x; the
least CPU of all rounds is reported with its spread. Latency comes from an open loop
and is the median of the rounds. One JSON object on stdout, progress on stderr.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import servers
from bench.load import (
    Account,
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

OPEN_RATE = 300.0
FIXED = "帮助"
ENOUGH_RIGHT = 0.8  # of the FAQ samples: below, the run measures something else
PATHS = ("fixed", "faq")


@dataclass
class Lane:
    """One row of the report: a server, what it is asked, and what each round gave."""

    name: str
    server: servers.Server
    questions: Iterator[Question]
    seals: bool = True
    exact: bool = True
    rounds: list[dict[str, float]] = field(default_factory=list)
    checked: int = 0
    right: int = 0
    late: int = 0
    error: str = ""


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


def measure(lane: Lane, writer: Writer, seal: Seal, seconds: float, connections: int) -> None:
    """One round of one lane: warm up, closed loop, open loop. Raises LoadError."""

    def take(count: int, run: Any) -> Outcome:
        batch = writer.write(itertools.islice(lane.questions, count))
        outcome: Outcome = run(batch)
        if lane.seals:
            lane.late += outcome.late
            checked, right = check_samples(seal, batch, outcome)
            lane.checked, lane.right = lane.checked + checked, lane.right + right
            if lane.exact and right < checked:
                raise LoadError(f"{checked - right} of {checked} samples had the wrong text")
        return outcome

    def closed(batch: Any, span: float = seconds) -> Outcome:
        return closed_loop(lane.server.port, batch, connections=connections, seconds=span)

    warm = take(300, lambda batch: closed(batch, 5.0))
    count = max(200, int(warm.rps * seconds * 1.6))
    before = lane.server.cpu_s()
    busy = take(count, closed)
    time.sleep(0.1)  # work that a server puts off until after the answer is its cost too
    after = lane.server.cpu_s()
    calm = take(
        max(50, int(OPEN_RATE * seconds)),
        lambda batch: open_loop(lane.server.port, batch, connections=connections, rate=OPEN_RATE),
    )
    used = math.nan if before is None or after is None else (after - before) / busy.done * 1e6
    lane.rounds.append(
        {
            "cpu_us": used,
            "rps": busy.rps,
            "requests": busy.done,
            "busy_p50_ms": percentile_ms(busy.latencies_s, 0.5),
            "busy_p99_ms": percentile_ms(busy.latencies_s, 0.99),
            "p50_ms": percentile_ms(calm.latencies_s, 0.5),
            "p99_ms": percentile_ms(calm.latencies_s, 0.99),
            "lag_p99_ms": percentile_ms(calm.lag_s, 0.99),
        }
    )


def summary(lane: Lane) -> dict[str, Any]:
    """A lane's figures: least CPU, best rate, median latencies, spread; or its error."""
    if lane.error or not lane.rounds:
        return {"error": lane.error or "no round was run"}
    column = {key: [entry[key] for entry in lane.rounds] for key in lane.rounds[0]}
    cpu = [value for value in column["cpu_us"] if not math.isnan(value)]
    row: dict[str, Any] = {
        "cpu_us": round(min(cpu), 1) if cpu else None,
        "rps": round(max(column["rps"])),
        "p50_ms": round(statistics.median(column["p50_ms"]), 3),
        "p99_ms": round(statistics.median(column["p99_ms"]), 3),
        "closed_loop": {
            "p50_ms": round(statistics.median(column["busy_p50_ms"]), 3),
            "p99_ms": round(statistics.median(column["busy_p99_ms"]), 3),
        },
        "open_loop": {
            "p50_ms": round(statistics.median(column["p50_ms"]), 3),
            "p99_ms": round(statistics.median(column["p99_ms"]), 3),
            "rate": OPEN_RATE,
            "client_lag_p99_ms": round(statistics.median(column["lag_p99_ms"]), 3),
        },
        "spread": {
            key: [round(min(column[key]), digits), round(max(column[key]), digits)]
            for key, digits in (("cpu_us", 1), ("rps", 0), ("p50_ms", 3), ("p99_ms", 3))
            if key != "cpu_us" or cpu
        },
        "requests": int(sum(column["requests"])),
    }
    if lane.seals:
        row |= {"answers_opened": lane.checked, "answers_right": lane.right, "late": lane.late}
    return row


def goals(paths: dict[str, Any], peers: dict[str, Any]) -> dict[str, bool | None]:
    """Each goal reached or not; None where a figure it needs is missing."""

    def ratio(above: Any, below: Any) -> float | None:
        top, bottom = (above or {}).get("cpu_us"), (below or {}).get("cpu_us")
        return top / bottom if top and bottom else None

    def least(value: float | None, bound: float) -> bool | None:
        return None if value is None else value >= bound

    fixed, faq, bare = paths.get("fixed"), paths.get("faq"), _figures(peers.get("bare"))
    found = {
        "fixed_at_least_0.20_of_bare": least(ratio(bare, fixed), 0.20),
        "fixed_at_least_0.25_of_bare_stretch": least(ratio(bare, fixed), 0.25),
        "fixed_1.4x_faster_than_werobot": least(ratio(_figures(peers.get("werobot")), fixed), 1.4),
        "fixed_2.2x_faster_than_flask": least(ratio(_figures(peers.get("flask")), fixed), 2.2),
        "faq_at_least_0.08_of_bare": least(ratio(bare, faq), 0.08),
        "faq_at_least_0.12_of_bare_stretch": least(ratio(bare, faq), 0.12),
    }
    for name, row in paths.items():
        p99 = (row.get("open_loop") or {}).get("p99_ms")
        found[f"{name}_open_loop_p99_within_10_ms"] = None if p99 is None else p99 <= 10
    return found


def _figures(row: Any) -> dict[str, Any] | None:
    return row if isinstance(row, dict) else None


def run(
    *,
    rounds: int,
    seconds: float,
    connections: int,
    paths: Sequence[str],
    peers: Sequence[str],
    folder: Path,
) -> dict[str, Any]:
    """The whole bench; see the module. folder: where our store lies, empty at the start."""
    account = Account()
    seal, writer = Seal(account), Writer(account)
    lanes: list[Lane] = []
    told: dict[str, Any] = {"paths": {}, "peers": {}}
    with ExitStack() as stack:
        pair = stack.enter_context(servers.pinned_client())
        core = pair[0] if pair else None
        told["machine"] = servers.machine(folder, pair)
        if (told["machine"]["load_before"] or 0) > 0.5:
            say("others use this machine: mind the spread, and compare ratios only")
        for name in peers:
            found = servers.PEERS[name]
            if lacks := found.missing():
                say(f"{name}: missing {', '.join(lacks)}; {servers.INSTALL}")
                told["peers"][name] = "missing"
                told.setdefault("install_missing", servers.INSTALL)
                continue
            server = servers.peer(found, folder, core)
            lane = Lane(f"peers.{name}", server, _same(FIXED, FIXED), seals=found.seals)
            lanes.append(lane)
            _start(stack, server, [lane])
        if paths:
            server = servers.ours(folder, core, account)
            ours = [Lane(f"paths.{name}", server, _path(name), exact=False) for name in paths]
            lanes += ours
            _start(stack, server, ours, folder)
            if "fixed" in paths and not ours[0].error:
                _learn_fixed(ours[list(paths).index("fixed")], writer, seal)
        for number in range(rounds):
            turn = number % len(lanes) if lanes else 0
            for lane in lanes[turn:] + lanes[:turn]:  # nobody always follows the same neighbour
                if lane.error:
                    continue
                try:
                    measure(lane, writer, seal, seconds, connections)
                except LoadError as fault:
                    lane.error = f"{fault}; log: {lane.server.tail()}"
                    say(f"{lane.name}: {lane.error}")
                    continue
                last = lane.rounds[-1]
                say(
                    f"round {number + 1}/{rounds} {lane.name:28} {last['cpu_us']:7.1f} us"
                    f" {last['rps']:7.0f}/s  open p50 {last['p50_ms']:.2f}"
                    f" p99 {last['p99_ms']:.2f} ms"
                )
    for lane in lanes:
        part, _, name = lane.name.partition(".")
        if name == "faq" and lane.checked and lane.right < ENOUGH_RIGHT * lane.checked:
            lane.error = f"only {lane.right} of {lane.checked} sampled answers were right"
        told[part][name] = summary(lane)
    bare = _figures(told["peers"].get("bare"))
    for row in told["paths"].values():
        known = bare and bare.get("cpu_us") and row.get("cpu_us")
        row["ratio_to_bare"] = round(bare["cpu_us"] / row["cpu_us"], 3) if known and bare else None
    told["goals"] = goals(told["paths"], told["peers"])
    told["settings"] = {"rounds": rounds, "seconds": seconds, "connections": connections}
    return told


def _start(
    stack: ExitStack, server: servers.Server, lanes: list[Lane], folder: Path | None = None
) -> None:
    try:
        if folder is not None:
            say(f"{server.name}: {servers.import_faq(server, folder)} FAQ entries imported")
        took = server.start()
    except servers.StartError as fault:
        say(str(fault))
        for lane in lanes:
            lane.error = str(fault)
        return
    stack.callback(server.stop)
    say(f"{server.name}: up in {took:.2f} s")


def _same(text: str, expect: str) -> Iterator[Question]:
    return itertools.repeat(Question(text, expect))


def _path(name: str) -> Iterator[Question]:
    return asked() if name == "faq" else _same(FIXED, "")


def _learn_fixed(lane: Lane, writer: Writer, seal: Seal) -> None:
    """Ask once: what the fixed path said now, it must say every time."""
    batch = writer.write([Question(FIXED)])
    try:
        outcome = closed_loop(lane.server.port, batch, connections=1, seconds=10)
        _, text = seal.read_answer(outcome.samples[0][1])
    except LoadError as fault:
        lane.error = f"{fault}; log: {lane.server.tail()}"
        say(f"{lane.name}: {lane.error}")
        return
    lane.questions = _same(FIXED, text)
    lane.exact = True


def table(told: dict[str, Any]) -> str:
    """The report as lines for people."""
    lines = [f"{'':28}{'cpu us':>9}{'(spread)':>16}{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}  to bare"]
    for part in ("paths", "peers"):
        for name, row in told[part].items():
            if not isinstance(row, dict) or "error" in row:
                lines.append(f"{part}.{name}: {row['error'] if isinstance(row, dict) else row}")
                continue
            low, high = row["spread"].get("cpu_us", (math.nan, math.nan))
            ratio = row.get("ratio_to_bare")
            lines.append(
                f"{part + '.' + name:28}{row['cpu_us'] or math.nan:9.1f}"
                f"{f'{low:.0f}-{high:.0f}':>16}{row['rps']:8d}"
                f"{row['p50_ms']:9.2f}{row['p99_ms']:9.2f}  {ratio if ratio else ''}"
            )
    words = {True: "yes", False: "NO", None: "not measured"}
    lines += [f"{name}: {words[reached]}" for name, reached in told["goals"].items()]
    return "\n".join(lines)


def failed(told: dict[str, Any]) -> bool:
    """Whether a server could not be measured (a missing peer is no failure)."""
    rows = [*told["paths"].values(), *told["peers"].values()]
    return any(isinstance(row, dict) and "error" in row for row in rows)


def _names(known: Sequence[str]) -> Any:
    def parse(text: str) -> list[str]:
        names = [] if text == "none" else text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}, none")
        return names

    return parse


def main() -> int:
    """Command line; 1 when a server could not be measured, goals missed are no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench.webhook", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="per loop, server and round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--peers", type=_names(tuple(servers.PEERS)), default=list(servers.PEERS))
    parser.add_argument("--paths", type=_names(PATHS), default=list(PATHS))
    parser.add_argument("--folder", type=Path, help="put the store here, on a disk that counts")
    parser.add_argument("--pretty", action="store_true", help="indent, and a table on stderr")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhiqun-bench-", dir=args.folder) as folder:
        told = run(
            rounds=args.rounds,
            seconds=args.seconds,
            connections=args.connections,
            paths=args.paths,
            peers=args.peers,
            folder=Path(folder),
        )
    if args.pretty:
        say(table(told))
    print(json.dumps(told, ensure_ascii=False, indent=2 if args.pretty else None))
    return int(failed(told))


if __name__ == "__main__":
    sys.exit(main())
