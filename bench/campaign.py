"""Campaigns: an audience of a million, fifty thousand messages, a ledger of five million rows.

(a) `audience`: a rule asked and frozen, see `bench/campaign_audience.py`. (b) `sending`: a
campaign of customer-service messages to a fake WeChat in a process of its own whose calls take
150 ms, with ledger, caps and synced commits; then the same without latency, in turn with a bare
aiohttp loop that only posts. (c) `claim`: the next part out of a large ledger. One JSON object
on stdout, a table and progress on stderr.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import campaign_audience, servers
from bench.webhook import say

MESSAGES = 50_000
LATENCY_S = 0.15
WITHIN_S = 240.0
OF_BARE = 0.5
CLAIM_MS = 20.0
PARALLEL = 64
"""The operator's default: so many may be unknown after a kill."""


def child(module: str, args: Sequence[object], core: int | None) -> subprocess.Popen[str]:
    """A process of ours on one core."""
    pin = None if core is None else functools.partial(os.sched_setaffinity, 0, {core})
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, args)],
        cwd=servers.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=pin,
    )


def said(process: subprocess.Popen[str]) -> Any:
    """What a process says at its end, as JSON. Errors: StartError."""
    out, _ = process.communicate()
    if process.returncode:
        raise servers.StartError(f"a process of the bench ended with {process.returncode}")
    return json.loads(out)


class WeChat:
    """The fake, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def latency(self, seconds: float) -> dict[str, int]:
        """From now on each call takes so long; says how many messages members have got."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        got: dict[str, int] = json.loads(self._line())
        return got


@contextmanager
def wechat(members: int, core: int | None) -> Iterator[WeChat]:
    """With so many followers who have just written."""
    process = child("bench.campaign_send", ["wechat", members], core)
    try:
        yield WeChat(process)
    finally:
        process.kill()
        process.communicate()


def sending(folder: Path, pair: tuple[int, int] | None, messages: int, rounds: int) -> Any:
    """(b). Each member gets each campaign once, and one of each bare loop."""
    mine, theirs = pair or (None, None)

    def ours(name: str) -> Any:
        args = ["ours", fake.address, folder / f"{name}.db", messages, PARALLEL]
        return said(child("bench.campaign_send", args, mine))

    def bare() -> Any:
        return said(child("bench.campaign_send", ["bare", fake.address, messages, PARALLEL], mine))

    told: dict[str, Any] = {"messages": messages, "parallel": PARALLEL, "rounds": []}
    with wechat(messages, theirs) as fake:
        fake.latency(LATENCY_S)
        told["with_latency"] = ours("latency")
        got = fake.latency(0.0)
        told["got"] = got
        say(f"{LATENCY_S * 1000:.0f} ms a call: {told['with_latency']}, each got {got}")
    for number in range(rounds):
        # A fresh fake each time: allowances run out.
        with wechat(messages, theirs) as fake:
            turns: dict[str, Callable[[], Any]] = {
                "bare": bare,
                "ours": functools.partial(ours, f"fast{number}"),
            }
            order = sorted(turns, reverse=number % 2 == 0)
            row = {name: turns[name]() for name in order}
            got = fake.latency(0.0)
        row["ratio"] = round(row["ours"]["per_s"] / row["bare"]["per_s"], 3)
        row["cpu_ratio"] = round(row["bare"]["cpu_us"] / row["ours"]["cpu_us"], 3)
        row["got"] = got
        told["rounds"].append(row)
        say(f"round {number + 1}: {row}")
    ratios = sorted(row["ratio"] for row in told["rounds"])
    told["ratio"] = ratios[len(ratios) // 2]
    return told


def claim(folder: Path, core: int | None, members: int, claims: int) -> dict[str, Any]:
    """(c)."""
    args = [folder / "claim.db", members, 5, claims]
    found = said(child("bench.campaign_claim", args, core))
    told: dict[str, Any] = {"rows": found["rows"], "filled_s": found["filled_s"]}
    for name, spent in found["ms"].items():
        spent.sort()
        told[name] = {
            "p50_ms": spent[len(spent) // 2],
            "p99_ms": spent[min(len(spent) - 1, int(len(spent) * 0.99))],
            "max_ms": spent[-1],
            "count": len(spent),
        }
    say(f"claims: {told}")
    return told


def goals(told: dict[str, Any]) -> dict[str, bool | None]:
    """Each goal reached or not; None where it was not measured in full."""
    full = told["full"]
    sent, latency = told["sending"], told["sending"]["with_latency"]
    once = sent["got"] == {"least": 1, "most": 1}
    return {
        "audience_within_20_s": told["audience"]["freeze_within_20_s"] if full else None,
        "audience_under_300_mb": told["audience"]["rss_under_300_mb"],
        "50000_messages_within_4_min": latency["seconds"] <= WITHIN_S if full else None,
        "each_got_it_once": once and latency["sent"] == sent["messages"],
        "at_least_half_of_bare": sent["ratio"] >= OF_BARE,
        "claim_p99_within_20_ms": told["claim"]["claim"]["p99_ms"] <= CLAIM_MS if full else None,
        "proposal_p99_within_20_ms": (
            told["claim"]["propose"]["p99_ms"] <= CLAIM_MS if full else None
        ),
    }


def table(told: dict[str, Any]) -> str:
    """The figures that the goals are about, for people."""
    slow, fast = told["sending"]["with_latency"], told["sending"]["rounds"][-1]
    lines = [
        f"audience  {told['audience']['members']} members, {told['audience']['rss_max_mb']} MB",
        *(f"          frozen in {one['freeze_s']} s" for one in told["audience"]["frozen"]),
        f"sending   {slow['sent']} in {slow['seconds']} s at {LATENCY_S * 1000:.0f} ms a call "
        f"({slow['per_s']}/s)",
        f"          {fast['ours']['per_s']}/s without, bare {fast['bare']['per_s']}/s: "
        f"{told['sending']['ratio']} of it (median)",
        f"claim     {told['claim']['rows']} rows: p99 {told['claim']['claim']['p99_ms']} ms, "
        f"proposal {told['claim']['propose']['p99_ms']} ms, "
        f"500 into a part {told['claim']['gather']['p99_ms']} ms",
    ]
    return "\n".join(lines)


def run(folder: Path, *, quick: bool) -> dict[str, Any]:
    """The whole bench; see the module. folder: where the stores lie, empty at the start."""
    told: dict[str, Any] = {"full": not quick}
    with servers.pinned_client() as pair:
        told["machine"] = servers.machine(folder, pair)
        core = pair[0] if pair else None
        messages = 2000 if quick else MESSAGES
        told["sending"] = sending(folder, pair, messages, 1 if quick else 3)
        told["claim"] = claim(folder, core, 20_000 if quick else 1_000_000, 200 if quick else 1000)
    told["audience"] = campaign_audience.run(50_000 if quick else campaign_audience.MEMBERS)
    told["goals"] = goals(told)
    return told


def main() -> int:
    """Command line; 1 when a part could not be measured, a goal missed is no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench.campaign", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small one, in half a minute")
    parser.add_argument("--folder", type=Path, help="put the stores here, on a disk that counts")
    parser.add_argument("--pretty", action="store_true", help="indent")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhiqun-bench-", dir=args.folder) as folder:
        try:
            told = run(Path(folder), quick=args.quick)
        except servers.StartError as fault:
            say(str(fault))
            return 1
    say(table(told))
    print(json.dumps(told, ensure_ascii=False, indent=2 if args.pretty else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
