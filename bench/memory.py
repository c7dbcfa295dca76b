"""What a long day weighs: resident memory over many messages from many members.

Our server is driven as fast as it answers, half fixed answers, four in ten FAQ
questions, the rest small talk that it cannot answer, and weighed after every 2,000
messages. Also how long a start takes: the first in an empty folder, and the one after
the load. Needs Linux's /proc. One JSON object on stdout, progress on stderr.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import servers
from bench.load import Account, LoadError, Question, Seal, Writer, check_samples, closed_loop
from bench.questions import asked, small_talk
from bench.webhook import FIXED, say

EVERY = 2000
MOST_MB = 200.0
FLAT_MB_PER_100K = 5.0
READY_S = 2.0
_SLOPE = "slope_last_half_mb_per_100k"


def day(seed: int = 1) -> Iterator[Question]:
    """Endless mixed traffic; what it must answer is not checked here, only that it does."""
    rng = random.Random(seed)
    faq, chat = asked(seed), small_talk(seed)
    while True:
        draw = rng.random()
        if draw < 0.5:
            yield Question(FIXED)
        elif draw < 0.9:
            yield Question(next(faq).text)
        else:
            yield next(chat)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of (x, y) points; nan of fewer than two different x."""
    if len({x for x, _ in points}) < 2:
        return math.nan
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def run(*, messages: int, members: int, connections: int, folder: Path) -> dict[str, Any]:
    """The whole bench. folder: where the store lies, empty at the start.

    Raises StartError or LoadError when our server does not start or answers wrongly.
    """
    account = Account()
    seal, writer = Seal(account), Writer(account, members)
    with ExitStack() as stack:
        pair = stack.enter_context(servers.pinned_client())
        server = servers.ours(folder, pair[0] if pair else None, account)
        stack.callback(server.stop)
        told: dict[str, Any] = {"machine": servers.machine(folder, pair)}
        told["ready_s"] = round(server.start(), 3)
        say(f"first start, empty folder: {told['ready_s']} s")
        server.stop()
        told["faq_entries"] = servers.import_faq(server, folder)
        server.start()
        weights: list[tuple[int, float]] = []
        sent, seconds, late = 0, 0.0, 0
        questions = day()

        def weigh() -> None:
            if (found := server.rss_mb()) is not None:
                weights.append((sent, found))

        weigh()
        while sent < messages:
            batch = writer.write(itertools.islice(questions, min(EVERY, messages - sent)))
            outcome = closed_loop(server.port, batch, connections=connections, seconds=600.0)
            check_samples(seal, batch, outcome)
            sent, seconds, late = (
                sent + outcome.done,
                seconds + outcome.seconds,
                late + outcome.late,
            )
            weigh()
            if sent % (10 * EVERY) == 0 and weights:
                say(f"{sent} messages: {weights[-1][1]:.1f} MB, {outcome.rps:.0f}/s")
        server.stop()
        told["ready_again_s"] = round(server.start(), 3)
        say(f"start over {sent} stored messages: {told['ready_again_s']} s")
        server.stop()
    told |= {
        "messages": sent,
        "members": members,
        "rps": round(sent / seconds) if seconds else 0,
        "late": late,
        **weight(weights, messages),
    }
    told["goals"] = goals(told)
    return told


def weight(weights: Sequence[tuple[int, float]], messages: int) -> dict[str, float | None]:
    """Start, middle, end, most, and the slope of the last half, from (sent, MB) pairs."""
    if not weights:
        keys = (*(f"rss_{when}_mb" for when in ("start", "mid", "end", "max")), _SLOPE)
        return dict.fromkeys(keys)
    half = [(float(at), mb) for at, mb in weights if at >= messages / 2]
    grown = slope(half) * 100_000
    return {
        "rss_start_mb": round(weights[0][1], 1),
        "rss_mid_mb": round(half[0][1], 1),
        "rss_end_mb": round(weights[-1][1], 1),
        "rss_max_mb": round(max(mb for _, mb in weights), 1),
        _SLOPE: None if math.isnan(grown) else round(grown, 2),
    }


def goals(told: dict[str, Any]) -> dict[str, bool | None]:
    """Each goal reached or not; None where its figure is missing."""

    def most(key: str, bound: float) -> bool | None:
        return None if told[key] is None else told[key] <= bound

    return {
        "rss_under_200_mb": most("rss_max_mb", MOST_MB),
        "flat_over_the_last_half": most(_SLOPE, FLAT_MB_PER_100K),
        "ready_within_2_s": most("ready_s", READY_S),
        "ready_again_within_2_s": most("ready_again_s", READY_S),
    }


def main() -> int:
    """Command line; 1 when the server failed, a missed goal is no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--folder", type=Path, help="put the store here, on a disk that counts")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhiqun-bench-", dir=args.folder) as folder:
        try:
            told = run(
                messages=args.messages,
                members=args.members,
                connections=args.connections,
                folder=Path(folder),
            )
        except (servers.StartError, LoadError) as fault:
            told = {"error": str(fault)}
    print(json.dumps(told, ensure_ascii=False, indent=2 if args.pretty else None))
    return int("error" in told)


if __name__ == "__main__":
    sys.exit(main())
