"""How right, how honest and how fast the answers are, on any file of real questions.

Each knowledge base of the file is put into a `Knowledge` as `bot/app.py` does it, and every
query is asked there with the same call that answers members. One JSON object on stdout,
progress on stderr; exit code 2 and one sentence when a file cannot be measured.

`top1`, `mrr10` and `correct_share` are plain means over the domains, which differ in size
(`pooled` has them over all queries); `precision`, `answered`, `offered` and `refused` are
over all queries of the file. A query with an empty entry_id must not be answered. The
baseline, jieba and BM25 over the same rows, is measured in the same run. Nothing is tuned
here: thresholds and weights are those that ship.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import bm25, faq_curve, faq_speed
from bench.faq_files import Base, FaqFileError, Pair, Query, read, read_pairs
from bench.load import percentile_ms
from bench.servers import INSTALL, machine
from knowledge import ANSWER_AT, OFFER_AT, Band, Entry

K = 10
"""How many entries count for MRR@10."""

POOL = 30
"""Labelled pairs that share a knowledge base: words need others to be rare among."""

FEWEST = 20
"""Answers without which the picture shows no precision."""

MEANS = ("top1", "mrr10", "correct_share")
_PREFIX = "faq:"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one query got.

    ranking: entry ids, best first, at most K. band: what was done with the first: answered,
    offered among others, or not shown. confidence: of the first, 0.0 when nothing was
    found. seconds: for the decision alone.
    """

    kb: str
    query: Query
    ranking: tuple[str, ...]
    band: Band
    confidence: float
    seconds: float

    @property
    def first(self) -> str | None:
        """The best entry; None when nothing was found."""
        return self.ranking[0] if self.ranking else None

    @property
    def right(self) -> bool:
        """Whether the best entry is the one that answers; never when none may."""
        return self.query.entry != "" and self.first == self.query.entry

    @property
    def reciprocal_rank(self) -> float:
        """1 / place of the right entry, 0.0 when it is not among the first K."""
        found = self.query.entry != "" and self.query.entry in self.ranking
        return 1 / (self.ranking.index(self.query.entry) + 1) if found else 0.0


@dataclass(frozen=True, slots=True)
class Costs:
    """What one knowledge base took: seconds (see `faq_speed.build`) and the process's MB."""

    seconds: Mapping[str, float]
    memory_mb: float | None


def ask(base: Base, cache_dir: Path | None) -> tuple[list[Asked], Costs]:
    """Put one base into a bot's knowledge and ask all its queries, in their order."""
    knowledge, seconds = faq_speed.build(entries_of(base.entries), cache_dir)
    with faq_speed.settled():
        decisions, taken = [], []
        for query in base.queries:
            started = time.perf_counter()
            decision = knowledge.ask(query.text)
            taken.append(time.perf_counter() - started)
            decisions.append(decision)
        weight = faq_speed.memory_mb()
        asked = []
        for query, decision, took in zip(base.queries, decisions, taken, strict=True):
            near = knowledge.near(query.text, K)
            # What the member was shown comes first; `near` goes on where a decision ends.
            shown = [hit.id for hit in decision.hits]
            order = dict.fromkeys([*shown, *(hit.id for hit in near)])
            hits = decision.hits or near
            asked.append(
                Asked(
                    base.name,
                    query,
                    tuple(id.removeprefix(_PREFIX) for id in order)[:K],
                    decision.band,
                    hits[0].confidence if hits else 0.0,
                    took,
                )
            )
    return asked, Costs(seconds, weight)


def entries_of(wordings: Mapping[str, Sequence[str]]) -> list[Entry]:
    """Entries as the bot makes them: ids of the FAQ, main wording first."""
    return [Entry(_PREFIX + id, tuple(texts)) for id, texts in wordings.items()]


def share(hits: Iterable[bool]) -> float | None:
    """The share that is true; None of nothing."""
    values = list(hits)
    return sum(values) / len(values) if values else None


def mean(values: Iterable[float | None]) -> float | None:
    """The plain mean of those there are; None when there are none."""
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None


def figures(asked: Sequence[Asked]) -> dict[str, Any]:
    """Figures of some queries, pooled; None where nothing was asked or answered.

    n: queries that an entry answers; queries: all. top1, mrr10: of the n. correct_share:
    of the n, answered outright and rightly. precision: of all that were answered outright.
    answered, offered, refused: by kind, what was done; the three add up to 1.
    """
    good = [one for one in asked if one.query.entry]
    sure = [one for one in asked if one.band is Band.SURE]
    kinds = sorted({one.query.kind for one in asked})
    bands = {"answered": Band.SURE, "offered": Band.UNSURE, "refused": Band.UNKNOWN}
    return {
        "n": len(good),
        "queries": len(asked),
        "top1": share(one.right for one in good),
        "mrr10": mean(one.reciprocal_rank for one in good),
        "correct_share": share(one.right and one.band is Band.SURE for one in good),
        "precision": share(one.right for one in sure),
        **{
            name: {
                kind: share(one.band is band for one in asked if one.query.kind == kind)
                for kind in kinds
            }
            for name, band in bands.items()
        },
    }


def report(asked: Sequence[Asked]) -> dict[str, Any]:
    """The quality half of the output: `figures` of all, by domain and by knowledge base.

    At the top, top1, mrr10 and correct_share are the plain means over the domains that have
    answerable queries.
    """
    whole = figures(asked)
    domains = _grouped(asked, lambda one: one.query.domain)
    by_domain = {name: figures(some) for name, some in domains.items()}
    return {
        **whole,
        **{name: mean(found[name] for found in by_domain.values()) for name in MEANS},
        "pooled": {name: whole[name] for name in MEANS},
        "by_domain": by_domain,
        "by_kb": {
            name: figures(some) for name, some in _grouped(asked, lambda one: one.kb).items()
        },
    }


def _grouped(asked: Sequence[Asked], key: Callable[[Asked], str]) -> dict[str, list[Asked]]:
    groups: dict[str, list[Asked]] = {}
    for one in asked:
        groups.setdefault(key(one), []).append(one)
    return dict(sorted(groups.items()))


def baseline(bases: Sequence[Base], cache_dir: Path) -> dict[str, Any]:
    """top1 and mrr10 of BM25, as means over domains, pooled and by domain.

    {"missing": how to install} without the dev extra.
    """
    if not bm25.installed():
        return dict(bm25.MISSING)
    cut = bm25.Cutter(cache_dir)
    asked = []
    for base in bases:
        index = bm25.Bm25(base.entries, cut)
        asked += [
            Asked(base.name, query, tuple(index.near(query.text, K)), Band.UNKNOWN, 0.0, 0.0)
            for query in base.queries
            if query.entry
        ]
    told = report(asked)
    names = ("top1", "mrr10")
    return {
        **{name: told[name] for name in names},
        "pooled": {name: told["pooled"][name] for name in names},
        "by_domain": {
            domain: {name: found[name] for name in ("n", *names)}
            for domain, found in told["by_domain"].items()
        },
    }


def compare(pairs: Sequence[Pair], cache_dir: Path | None) -> dict[str, Any]:
    """What labelled pairs say about the scores: n, same, found, auc, by_domain.

    The first questions of every POOL pairs of a domain make a knowledge base, in which their
    second questions are asked. A pair's score is that of its first question among the K
    best, less than any other when it is not among them (found: the share that is).
    """
    knowledge, _ = faq_speed.build((), cache_dir)
    scores: dict[str, list[tuple[float, bool]]] = {}
    for domain in sorted({pair.domain for pair in pairs}):
        chosen = [pair for pair in pairs if pair.domain == domain]
        scores[domain] = []
        for start in range(0, len(chosen), POOL):
            pool = chosen[start : start + POOL]
            ids = {text: str(n) for n, text in enumerate({pair.first: None for pair in pool})}
            knowledge.replace_all(entries_of({id: [text] for text, id in ids.items()}))
            for pair in pool:
                found = {hit.id: float(hit.score) for hit in knowledge.near(pair.second, K)}
                score = found.get(_PREFIX + ids[pair.first], -math.inf)
                scores[domain].append((score, pair.same))
    told = {domain: _compared(some) for domain, some in scores.items()}
    return {**_compared([one for some in scores.values() for one in some]), "by_domain": told}


def _compared(scores: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    return {
        "n": len(scores),
        "same": sum(same for _, same in scores),
        "found": share(score > -math.inf for score, _ in scores),
        "auc": auc(scores),
    }


def auc(scores: Sequence[tuple[float, bool]]) -> float | None:
    """How often a true one scores above a false one, a tie counting half.

    0.5 is chance. None when one of the two is missing.
    """
    true = sum(label for _, label in scores)
    false = len(scores) - true
    if not true or not false:
        return None
    above, below = 0.0, 0
    ordered = sorted(scores)
    start = 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][0] == ordered[start][0]:
            end += 1
        here = sum(label for _, label in ordered[start:end])
        others = end - start - here
        above += here * (below + others / 2)
        below += others
        start = end
    return above / (true * false)


def sweep(asked: Sequence[Asked], thresholds: Sequence[float]) -> dict[str, list[float | None]]:
    """For each threshold what it would bring, by name: precision, correct_share, oos kinds.

    Defined as in `report`: correct_share is the mean over domains. A query counts as
    answered when its best entry's confidence is at least the threshold. None: nothing to
    divide by, and for precision fewer than FEWEST answers.
    """
    domains = _grouped([one for one in asked if one.query.entry], lambda one: one.query.domain)
    kinds = _grouped([one for one in asked if not one.query.entry], lambda one: one.query.kind)
    lines: dict[str, list[float | None]] = {"precision": [], "correct_share": []}
    lines |= {kind: [] for kind in kinds}
    for at in thresholds:
        sure = [one for one in asked if _passes(one, at)]
        enough = len(sure) >= FEWEST
        lines["precision"].append(share(one.right for one in sure) if enough else None)
        right = (share(one.right and _passes(one, at) for one in some) for some in domains.values())
        lines["correct_share"].append(mean(right))
        for kind, some in kinds.items():
            lines[kind].append(share(_passes(one, at) for one in some))
    return lines


def _passes(one: Asked, at: float) -> bool:
    return one.first is not None and one.confidence >= at


def measure(
    bases: Sequence[Base],
    cache_dir: Path,
    pairs: Sequence[Pair] = (),
    sizes: Sequence[int] = (),
) -> tuple[dict[str, Any], list[Asked]]:
    """Everything but the picture: the report, and what it was made from."""
    told: dict[str, Any] = {"machine": machine(cache_dir, None)}
    asked: list[Asked] = []
    costs: list[Costs] = []
    for base in bases:
        found, cost = ask(base, cache_dir)
        asked += found
        costs.append(cost)
        say(f"{base.name}: {len(base.queries)} queries, {len(base.entries)} entries")
    taken = [one.seconds for one in asked]
    weights = [cost.memory_mb for cost in costs if cost.memory_mb is not None]
    told |= {
        **report(asked),
        "kbs": len(bases),
        "entries": sum(len(base.entries) for base in bases),
        "rows": sum(base.rows for base in bases),
        "p50_ms": percentile_ms(taken, 0.5),
        "p99_ms": percentile_ms(taken, 0.99),
        "index_build_s": sum(cost.seconds["build"] for cost in costs),
        "calibrate_s": sum(cost.seconds["calibrate"] for cost in costs),
        "dictionary_s": max(cost.seconds["load"] for cost in costs),
        "memory_mb": max(weights, default=None),
        "thresholds": {"answer_at": ANSWER_AT, "offer_at": OFFER_AT},
        "sizes": {},
    }
    texts = [text for base in bases for rows in base.entries.values() for text in rows]
    for size in sizes:
        questions = [query.text for base in bases for query in base.queries]
        told["sizes"][str(size)] = faq_speed.measure(size, texts, questions, cache_dir)
        say(f"{size} entries: p99 {told['sizes'][str(size)]['p99_ms']} ms")
    # Libraries of others come last: memory_mb is ours alone.
    told["baselines"] = {"bm25": baseline(bases, cache_dir)}
    if pairs:
        told["pairs"] = compare(pairs, cache_dir)
        say(f"{len(pairs)} pairs compared")
    told["goals"] = goals(told)
    rounded: dict[str, Any] = _rounded(told)
    return rounded, asked


def goals(told: Mapping[str, Any]) -> dict[str, bool | None]:
    """Each goal reached or not; None where its figure is missing. For the dev file."""

    def least(value: float | None, bound: float) -> bool | None:
        return None if value is None else value >= bound

    def most(value: float | None, bound: float) -> bool | None:
        return None if value is None else value <= bound

    sizes = told["sizes"]
    bm25_top1 = told["baselines"]["bm25"].get("top1")
    return {
        "top1_at_least_0.79": least(told["top1"], 0.79),
        "top1_at_least_0.82_stretch": least(told["top1"], 0.82),
        "top1_above_bm25": None if bm25_top1 is None else least(told["top1"], bm25_top1),
        "mrr10_at_least_0.85": least(told["mrr10"], 0.85),
        "correct_share_at_least_0.72": least(told["correct_share"], 0.72),
        "oos_chat_answered_at_most_0.01": most(told["answered"].get("oos_chat"), 0.01),
        "p99_within_3_ms_at_1000": most(sizes.get("1000", {}).get("p99_ms"), 3.0),
        "p99_within_10_ms_at_50000": most(sizes.get("50000", {}).get("p99_ms"), 10.0),
        "put_visible_within_50_ms_at_50000": most(
            sizes.get("50000", {}).get("visible_ms", {}).get("max"), 50.0
        ),
    }


def _rounded(value: Any) -> Any:
    """Four digits are more than the samples carry; what is not a number becomes null."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return round(value, 4) if value == value else None
    return value


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def _sizes(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a list such as 1000,50000")
    return [int(part) for part in parts]


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix not in faq_curve.KINDS:
        raise argparse.ArgumentTypeError(f"{text} must end in {' or '.join(faq_curve.KINDS)}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent} is no directory")
    if not faq_curve.installed():
        raise argparse.ArgumentTypeError(f"matplotlib is missing: {INSTALL}")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 2 when a file cannot be measured, or the picture not be written."""
    parser = argparse.ArgumentParser(prog="python -m bench.faq", description=__doc__)
    parser.add_argument("--entries", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--queries", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--pairs", type=Path, metavar="FILE.csv", help="also score labelled pairs")
    parser.add_argument("--sizes", type=_sizes, default=[], metavar="N,N", help="also time these")
    parser.add_argument("--curve", type=_picture, metavar="FILE.svg", help="draw the thresholds")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    chosen = parser.parse_args(arguments)
    try:
        bases = read(chosen.entries, chosen.queries)
        pairs = read_pairs(chosen.pairs) if chosen.pairs else []
    except FaqFileError as error:
        say(f"nothing was measured: {error}")
        return 2
    with tempfile.TemporaryDirectory(prefix="zhiqun-faq-") as folder:
        told, asked = measure(bases, Path(folder), pairs, chosen.sizes)
    print(json.dumps(told, ensure_ascii=False, indent=2 if chosen.pretty else None), flush=True)
    if chosen.curve:
        thresholds = [step / 100 for step in range(101)]
        title = f"{chosen.queries.name}: {told['queries']} queries, {told['kbs']} knowledge bases"
        try:
            faq_curve.draw(chosen.curve, thresholds, sweep(asked, thresholds), ANSWER_AT, title)
        except OSError as error:
            say(f"no picture: {error}")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
