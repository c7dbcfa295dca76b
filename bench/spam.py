"""How often an advert is found, and how often a member is wronged.

    python -m bench.spam --file ../shared/data/spam/dev.csv

The shipped model on a file of labelled messages, with the one shipped threshold for all
sources. `by_source` is what counts: sources differ in size, in how much of them is spam and in
how easy they are. `--left-out TRAIN` fits the model again without each source of a train file
and measures that source's rows here (missing when no other source is left to learn from).
`--peer TRAIN` fits an afternoon's usual work beside it: TF-IDF of one to three characters and
a logistic regression; with `--left-out` also without each source. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from insights.spam import AT_ONCE, SpamModel
from insights.spam_text import Floats

Bools = NDArray[np.bool_]

FALSE_ALARMS = 0.01
ROUNDS = 5
WARM = 256
"""Messages that are scored before the clock starts."""
ALONE = 500
"""Messages scored one by one for `ms_alone`."""


class Rows(NamedTuple):
    """A file: texts, whether spam, their sources."""

    texts: list[str]
    spam: Bools
    sources: NDArray[np.str_]


def load(path: Path) -> Rows:
    """The columns source, label, text of a CSV file, gzip'd when its name ends so."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return Rows(
        [row["text"] for row in rows],
        np.array([row["label"] == "spam" for row in rows], dtype=bool),
        np.array([row["source"] for row in rows], dtype=np.str_),
    )


def by_source(rows: Rows) -> list[Bools]:
    """Which rows are of each source, sources in order of their names."""
    return [rows.sources == name for name in np.unique(rows.sources)]


def only(rows: Rows, which: Bools) -> Rows:
    """Some of the rows."""
    texts = [text for text, keep in zip(rows.texts, which, strict=True) if keep]
    return Rows(texts, rows.spam[which], rows.sources[which])


def f1(spam: Bools, called: Bools) -> float:
    """Harmonic mean of precision and recall; 0 without any hit."""
    hits = float((spam & called).sum())
    return 2 * hits / max(float(spam.sum() + called.sum()), 1.0)


def auc(spam: Bools, scores: Floats) -> float:
    """Chance that a spam message scores above another; ties count half. Needs both kinds."""
    _, at, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[at]
    some, rest = int(spam.sum()), int((~spam).sum())
    return float((ranks[spam].sum() - some * (some + 1) / 2) / (some * rest))


def recall_at(spam: Bools, scores: Floats, share: float = FALSE_ALARMS) -> float:
    """Best recall with at most this share of false alarms. Needs both kinds."""
    levels = np.unique(scores)
    alarms = 1.0 - np.searchsorted(np.sort(scores[~spam]), levels) / (~spam).sum()
    recall = 1.0 - np.searchsorted(np.sort(scores[spam]), levels) / spam.sum()
    return float(recall[alarms <= share].max(initial=0.0))


def figures(spam: Bools, scores: Floats, threshold: float) -> dict[str, float | int | None]:
    """Precision, recall, F1 at the threshold; AUC and recall at 1 % false alarms without one.

    The last two are None when the rows are all spam or all not.
    """
    called = scores > threshold
    hits = float((spam & called).sum())
    both = bool(spam.any() and not spam.all())
    return {
        "precision": round(hits / max(float(called.sum()), 1.0), 4),
        "recall": round(hits / max(float(spam.sum()), 1.0), 4),
        "f1": round(f1(spam, called), 4),
        "auc": round(auc(spam, scores), 4) if both else None,
        "recall_at_1pct_fpr": round(recall_at(spam, scores), 4) if both else None,
        "n": len(spam),
    }


def sources(rows: Rows, scores: Floats, threshold: float) -> dict[str, Any]:
    """The figures of each source by its name."""
    return {
        str(name): figures(rows.spam[at], scores[at], threshold)
        for name, at in zip(np.unique(rows.sources), by_source(rows), strict=True)
    }


def batch_ms(model: SpamModel, texts: Sequence[str]) -> float:
    """Milliseconds for one message when many come together; the best of ROUNDS."""
    model.scores(texts[:WARM])
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for start in range(0, len(texts), AT_ONCE):
            model.scores(texts[start : start + AT_ONCE])
        best = min(best, time.perf_counter() - begun)
    return 1000.0 * best / len(texts)


def alone_ms(model: SpamModel, texts: Sequence[str]) -> float:
    """Milliseconds for one message by itself, the median."""
    taken = []
    for text in texts[:ALONE]:
        begun = time.perf_counter()
        model.scores([text])
        taken.append(time.perf_counter() - begun)
    return 1000.0 * float(np.median(taken))


def apart(train: Rows, rows: Rows) -> Iterator[tuple[str, Rows, Rows]]:
    """Each source of `rows`: its name, the train rows of all others, its rows."""
    for name in np.unique(rows.sources):
        rest = only(train, train.sources != name)
        if 0 < rest.spam.sum() < len(rest.spam):
            print(f"without {name}", file=sys.stderr)
            yield str(name), rest, only(rows, rows.sources == name)


def left_out(train: Rows, rows: Rows) -> dict[str, Any]:
    """Figures of each source of `rows` by a model that never saw that source."""
    from bench.fit_spam import fit  # It imports this file, and libraries that others need not.

    found = {}
    for name, rest, here in apart(train, rows):
        model = fit(rest)[0]
        found[name] = figures(here.spam, np.array(model.scores(here.texts)), model.threshold)
    return found


def peer(train: Rows, rows: Rows) -> tuple[Floats, float]:
    """Scores by TF-IDF and logistic regression with usual settings, and ms per message."""
    from sklearn.feature_extraction.text import (
        TfidfVectorizer,
    )
    from sklearn.linear_model import LogisticRegression

    terms = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2)
    model = LogisticRegression(C=10.0, max_iter=300, solver="liblinear")
    model.fit(terms.fit_transform(train.texts), train.spam)
    begun = time.perf_counter()
    scores: Floats = model.predict_proba(terms.transform(rows.texts))[:, 1]
    return scores, 1000.0 * (time.perf_counter() - begun) / len(rows.texts)


def peers(train: Rows, rows: Rows, leave: bool) -> dict[str, Any]:
    """The peer's figures, and those of each source that it never saw when `leave`."""
    scores, ms = peer(train, rows)
    told: dict[str, Any] = {"ms": round(ms, 4), "by_source": sources(rows, scores, 0.5)}
    if leave:
        told["left_out"] = {
            name: figures(here.spam, peer(rest, here)[0], 0.5)
            for name, rest, here in apart(train, rows)
        }
    return {"tfidf": told}


def measure(model: SpamModel, rows: Rows) -> dict[str, Any]:
    """The report of one file. ValueError when it has no rows."""
    if not rows.texts:
        raise ValueError("no rows")
    scores = np.array(model.scores(rows.texts))
    return {
        **figures(rows.spam, scores, model.threshold),
        "ms": round(batch_ms(model, rows.texts), 4),
        "ms_alone": round(alone_ms(model, rows.texts), 4),
        "threshold": round(model.threshold, 4),
        "sure": round(model.sure, 4),
        "by_source": sources(rows, scores, model.threshold),
        "by_source_sure": sources(rows, scores, model.sure),
    }


def main() -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.spam", description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="CSV: source, label, text")
    parser.add_argument("--model", type=Path, default=None, help="another model file")
    parser.add_argument("--left-out", type=Path, metavar="TRAIN", help="fit without each source")
    parser.add_argument("--peer", type=Path, metavar="TRAIN", help="fit TF-IDF beside it")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    chosen = parser.parse_args()
    begun = time.perf_counter()
    model = SpamModel.load(chosen.model)
    load_s = time.perf_counter() - begun
    rows = load(chosen.file)
    told = {**measure(model, rows), "load_s": round(load_s, 3)}
    if chosen.left_out:
        told["left_out"] = left_out(load(chosen.left_out), rows)
    if chosen.peer:
        told["peers"] = peers(load(chosen.peer), rows, leave=chosen.left_out is not None)
    print(json.dumps(told, indent=2 if chosen.pretty else None, ensure_ascii=False))


if __name__ == "__main__":
    main()
