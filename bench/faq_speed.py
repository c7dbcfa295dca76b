"""Speed of answers over large knowledge bases made from a small one's texts.

Who is asked: `Knowledge`, as `bot/app.py` sets it up. Everything here runs in the calling
thread, one question after the other, so a figure is the cost of one core.
"""

from __future__ import annotations

import gc
import os
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.load import percentile_ms
from bench.servers import rss_mb
from knowledge import Entry, Knowledge

PUTS = 50
"""Entries added one by one to a large knowledge base."""

MOST_ASKED = 4000
"""Questions asked of each synthetic knowledge base, at most."""

_PATIENCE_S = 5.0


@contextmanager
def settled() -> Iterator[None]:
    """The collector as `bot/app.py` leaves it once everything is loaded, then as before."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        gc.collect()


def build(entries: Sequence[Entry], cache_dir: Path | None) -> tuple[Knowledge, dict[str, float]]:
    """The knowledge of a bot that has just started, and what that took in seconds.

    Seconds: load (the dictionary), build (cut and index), calibrate.
    """
    marks = [time.perf_counter()]
    knowledge = Knowledge()
    knowledge.load(cache_dir)
    marks.append(time.perf_counter())
    knowledge.replace_all(entries)
    marks.append(time.perf_counter())
    knowledge.calibrate()
    marks.append(time.perf_counter())
    names = ("load", "build", "calibrate")
    return knowledge, {name: marks[n + 1] - marks[n] for n, name in enumerate(names)}


def memory_mb() -> float | None:
    """Resident memory of this process in MB (2**20 bytes); None without /proc."""
    found = rss_mb(os.getpid())
    return None if found is None else round(found, 1)


def synthetic(texts: Sequence[str], size: int, seed: int = 1) -> list[Entry]:
    """`size` entries with one invented question each, all different.

    A question is the first half of one given text and the second half of another, so that
    lengths and the frequencies of characters and words stay those of the texts. When these
    give too few different ones, a number is added. texts: not empty.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    entries = []
    for number in range(size):
        head, tail = rng.choice(texts), rng.choice(texts)
        text = head[: (len(head) + 1) // 2] + tail[len(tail) // 2 :]
        if text in seen:
            text = f"{text} {number}"
        seen.add(text)
        entries.append(Entry(f"faq:{number}", (text,)))
    return entries


def measure(
    size: int, texts: Sequence[str], questions: Sequence[str], cache_dir: Path | None
) -> dict[str, Any]:
    """Figures of one synthetic knowledge base.

    texts, questions: what the entries are made from, and what is asked; not empty. Then
    PUTS further entries are put in, one after the other, and each is asked for at once:
    visible_ms is the time from before `put` to after the answer that has it first.
    """
    entries = synthetic(texts, size + PUTS)
    later = entries[size:]
    knowledge, seconds = build(entries[:size], cache_dir)
    chosen = list(questions)
    random.Random(size).shuffle(chosen)
    chosen = chosen[:MOST_ASKED]
    with settled():
        taken = []
        for question in chosen:
            started = time.perf_counter()
            knowledge.ask(question)
            taken.append(time.perf_counter() - started)
        weight = memory_mb()
        visible = [_until_found(knowledge, entry) * 1000 for entry in later]
    return {
        "asked": len(chosen),
        "p50_ms": round(percentile_ms(taken, 0.5), 3),
        "p99_ms": round(percentile_ms(taken, 0.99), 3),
        "max_ms": round(max(taken) * 1000, 3),
        "visible_ms": {
            "puts": len(visible),
            "median": round(statistics.median(visible), 3),
            "max": round(max(visible), 3),
        },
        "index_build_s": round(seconds["build"], 3),
        "calibrate_s": round(seconds["calibrate"], 3),
        "memory_mb": weight,
    }


def _until_found(knowledge: Knowledge, entry: Entry) -> float:
    """Seconds from putting an entry in until its own question is answered with it."""
    started = time.perf_counter()
    knowledge.put(entry)
    while True:
        hits = knowledge.ask(entry.questions[0]).hits
        taken = time.perf_counter() - started
        if (hits and hits[0].id == entry.id) or taken > _PATIENCE_S:
            return taken
