"""Fit the constants of knowledge/scorer.py: run this, paste what it prints.

Reads only the train files of a folder in the columns of shared/data/faq, builds one index
per knowledge base with the code that answers members, and fits two logistic models: one on
differences of evidence between a right and a wrong row (the order), one on whether the
best hit was right (the confidence). Every domain weighs the same in the first. Prints one
JSON object; what is shipped is these dozen numbers, never a row of the data.

`bases` is not fitted: what `knowledge/calibration.py` says of each knowledge base without
its labels, with the constants that stand in scorer.py now, beside what the labels say.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from knowledge.calibration import Calibration, calibrate
from knowledge.index import Entry, Index
from knowledge.scorer import Evidence, margin
from knowledge.words import Words

FIELDS = (
    *("pairs", "chars", "raw", "words_covered", "length", "negation"),
    *("in_order", "first", "beside"),
)
PRECISION = 0.80
CHATTER_OFFERED = 0.02

Floats = NDArray[np.float64]


class Asked(NamedTuple):
    """One question of the file and the rows found for it.

    base: the name of its knowledge base. found: as a member's question finds them. wide: more
    rows, to learn the order from.
    """

    base: str
    domain: str
    kind: str
    entry: str
    found: list[tuple[str, Evidence]]
    wide: list[tuple[str, Evidence]]


def read(
    folder: Path, part: str, cache_dir: Path | None
) -> tuple[list[Asked], dict[str, Calibration]]:
    """Ask every query of a part ("train") in its own knowledge base; measure each base."""
    words = Words()
    words.load(cache_dir)
    bases: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with (folder / f"{part}_entries.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            bases[line["kb"]][line["entry_id"]].append(line["question"])
    indexes: dict[str, Index] = {}
    for name, entries in bases.items():
        indexes[name] = Index(words)
        indexes[name].replace_all(Entry(id, tuple(rows)) for id, rows in entries.items())
    asked = []
    with (folder / f"{part}_queries.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            found, wide = (
                [(row.entry, seen) for row, seen in indexes[line["kb"]].evidence(line["query"], k)]
                for k in (3, 10)
            )
            asked.append(
                Asked(line["kb"], line["domain"], line["kind"], line["entry_id"], found, wide)
            )
    return asked, {name: calibrate(index) for name, index in indexes.items()}


def figures(evidence: Evidence) -> Floats:
    """The evidence the order is made of, shape [9]."""
    return np.array([getattr(evidence, name) for name in FIELDS], dtype=np.float64)


def fit_order(asked: Sequence[Asked]) -> Floats:
    """Weights of FIELDS, shape [9], from right-minus-wrong differences."""
    rows: list[Floats] = []
    weights: list[float] = []
    domains: list[str] = []
    for query in asked:
        right = [figures(e) for id, e in query.wide if id == query.entry]
        wrong = [figures(e) for id, e in query.wide if id != query.entry]
        if query.kind != "answerable" or not right or not wrong:
            continue
        best = max(right, key=lambda row: float(row[:3].sum()))
        rows += [best - row for row in wrong]
        weights += [1 / len(wrong)] * len(wrong)
        domains += [query.domain] * len(wrong)
    weight = np.array(weights)
    for domain in set(domains):
        here = np.array(domains) == domain
        weight[here] *= 1000 / weight[here].sum()
    x = np.array(rows)
    spread = x.std(axis=0)
    model = LogisticRegression(fit_intercept=False, max_iter=1000)
    # Each difference also the other way round, or there would be one class only.
    model.fit(np.vstack([x, -x]) / spread, [1] * len(x) + [0] * len(x), np.tile(weight, 2))
    order: Floats = model.coef_[0] / spread
    return order


def best(query: Asked, order: Floats) -> tuple[str, list[float]] | None:
    """The winning entry with score, margin and log size; None when nothing was found."""
    scores: dict[str, tuple[float, int]] = {}
    for id, evidence in query.found:
        score = float(order @ figures(evidence))
        if id not in scores or score > scores[id][0]:
            scores[id] = (score, evidence.size)
    if not scores:
        return None
    ranked = sorted(scores.items(), key=lambda item: -item[1][0])
    id, (score, size) = ranked[0]
    rival = ranked[1][1][0] if len(ranked) > 1 else None
    return id, [score, margin(score, rival), log(size)]


def top1(asked: Sequence[Asked], order: Floats) -> float:
    """Share of answerable questions whose right entry is first."""
    hits = [
        (winner := best(query, order)) is not None and winner[0] == query.entry
        for query in asked
        if query.kind == "answerable"
    ]
    return float(np.mean(hits))


def fit(asked: Sequence[Asked], measured: dict[str, Calibration]) -> dict[str, Any]:
    """All constants and how good they were on the data they come from."""
    domains = sorted({query.domain for query in asked})
    left_out = {
        domain: top1(
            [query for query in asked if query.domain == domain],
            fit_order([query for query in asked if query.domain != domain]),
        )
        for domain in domains
    }
    order = np.round(fit_order(asked), 2)
    winners = [best(query, order) for query in asked]
    right = np.array(
        [w is not None and w[0] == query.entry for w, query in zip(winners, asked, strict=True)]
    )
    have = np.array([w is not None for w in winners])
    x = np.array([w[1] if w is not None else [0.0, 0.0, 0.0] for w in winners])
    model = LogisticRegression(C=100, max_iter=1000).fit(x[have], right[have])
    sure = np.where(have, model.predict_proba(x)[:, 1], 0.0)
    by_sure = np.argsort(-sure)
    precision = np.cumsum(right[by_sure]) / np.arange(1, len(asked) + 1)
    answer_at = float(sure[by_sure][np.nonzero(precision >= PRECISION)[0].max()])
    kinds = np.array([query.kind for query in asked])
    offer_at = float(np.quantile(sure[kinds == "oos_chat"], 1 - CHATTER_OFFERED))
    answerable = kinds == "answerable"
    bases = np.array([query.base for query in asked])
    own = np.array([measured[query.base].answer_at for query in asked])

    def given(at: float | Floats) -> dict[str, Any]:
        answered = sure >= at
        return {
            "precision": round(float(right[answered].mean()), 3),
            "correct_share": round(
                float((right & answered & answerable).sum() / answerable.sum()), 3
            ),
            "answered": {
                str(kind): round(float(answered[kinds == kind].mean()), 3)
                for kind in np.unique(kinds)
            },
        }

    return {
        "order": dict(zip(FIELDS, order.tolist(), strict=True)),
        "confidence": [round(float(v), 2) for v in (*model.intercept_, *model.coef_[0])],
        "answer_at": round(answer_at, 3),
        "offer_at": round(min(offer_at, answer_at), 3),
        "top1_left_out": {**left_out, "mean": float(np.mean(list(left_out.values())))},
        "given": given(answer_at),
        "given_calibrated": given(own),
        "bases": {
            name: {
                "estimated": round(one.precision, 3),
                "precision": round(float(right[(bases == name) & (sure >= answer_at)].mean()), 3),
                "answer_at": round(one.answer_at, 3),
                "precision_there": round(
                    float(right[(bases == name) & (sure >= one.answer_at)].mean()), 3
                ),
            }
            for name, one in measured.items()
        },
        "n": len(asked),
    }


def main() -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.fit_scorer", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder with train_*.csv")
    parser.add_argument("--cache", type=Path, default=None, help="where words.cache may lie")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    chosen = parser.parse_args()
    result = fit(*read(chosen.dir, "train", chosen.cache))
    print(json.dumps(result, indent=2 if chosen.pretty else None, ensure_ascii=False))


if __name__ == "__main__":
    main()
