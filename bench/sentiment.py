"""How well moods are read, on domains that are known and on others.

    python -m bench.sentiment --file ../shared/data/sentiment/dev.csv

The shipped model on a file of labelled messages (columns text, label: pos, neg or neu, domain).
The figures at the top ask positive or negative of the rows that are one of both; they are plain
means over the domains, which differ in size. SnowNLP as it comes stands beside them, in the same
run on the same rows (`--snow-sample N` for the first N of each domain). `three_class` asks for all
three labels in the domains that have them. `--lodo` fits the model again without each domain of
TRAIN; `--peers` fits an afternoon's usual work: TF-IDF of one to three characters and a logistic
regression. `chat` is what the model says of everyday sentences we wrote, other ones than it was
trained on: questions and notices must not be taken for complaints. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.spam import Bools, auc
from insights.sentiment import SentimentModel
from insights.sentiment_text import Floats, Ints

LABELS = {"neg": -1, "neu": 0, "pos": 1}
THREE = ("course", "dialogue", "weibo_emotion")
"""Domains whose neutral is labelled."""
TRAIN = Path("../shared/data/sentiment/train.csv.gz")
CHAT = "chat"
"""The domain of the sentences we wrote ourselves."""
WRITTEN = Path(__file__).with_name("chat_sentences.tsv")
"""Those the model is trained on."""
HELD = Path(__file__).with_name("chat_sentences.held.tsv")
"""Others, never trained on."""
BINS = 10
"""Of equal width between 0 and 1, for the calibration error."""
COVERED = 0.8
SHORT = 40
"""Messages up to so many characters are timed one by one."""
ALONE = 3000
"""How many of them."""
ROUNDS = 3
MEANS = ("accuracy", "macro_f1", "auc", "ece", "accuracy_at_80")
_EMOTICONS = re.compile(r"\[[^\[\]\s]{1,8}\]")


class Rows(NamedTuple):
    """A file: texts, labels (-1, 0, 1), domains."""

    texts: list[str]
    labels: Ints
    domains: NDArray[np.str_]


def load(path: Path) -> Rows:
    """The columns text, label, domain of a CSV file, gzip'd when its name ends so."""
    opened = gzip.open if path.suffix == ".gz" else open
    csv.field_size_limit(1 << 30)
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["label"] in LABELS]
    return Rows(
        [row["text"] for row in rows],
        np.array([LABELS[row["label"]] for row in rows], dtype=np.int64),
        np.array([row["domain"] for row in rows], dtype=np.str_),
    )


def load_chat(path: Path = WRITTEN) -> Rows:
    """Sentences of our own: columns label and text of a file with tabs, no quoting."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    labels = np.array([LABELS[row["label"]] for row in rows], dtype=np.int64)
    return Rows([row["text"] for row in rows], labels, np.array([CHAT] * len(rows)))


def joined(rows: Rows, more: Rows) -> Rows:
    """The rows of both."""
    return Rows(
        [*rows.texts, *more.texts],
        np.concatenate([rows.labels, more.labels]),
        np.concatenate([rows.domains, more.domains]),
    )


def only(rows: Rows, which: Bools) -> Rows:
    """Some of the rows."""
    texts = [text for text, keep in zip(rows.texts, which, strict=True) if keep]
    return Rows(texts, rows.labels[which], rows.domains[which])


def chances(model: SentimentModel, texts: Sequence[str]) -> Floats:
    """Probabilities of negative, neutral and positive, shape [n, 3]."""
    moods = model.judge(texts)
    found = np.array([(mood.negative, 0.0, mood.positive) for mood in moods]).reshape(-1, 3)
    found[:, 1] = np.maximum(1.0 - found.sum(axis=1), 0.0)
    return found


def praise(found: Floats) -> Floats:
    """Probability of positive when neutral is out of the question, shape [n]."""
    share: Floats = found[:, 2] / np.maximum(found[:, 2] + found[:, 0], 1e-12)
    return share


def macro_f1(labels: Ints, called: Ints) -> float:
    """Mean of the F1 of each label that is in `labels`."""
    scores = []
    for label in np.unique(labels):
        hits = float(((labels == label) & (called == label)).sum())
        scores.append(2 * hits / float((labels == label).sum() + (called == label).sum()))
    return float(np.mean(scores))


def ece(right: Bools, sure: Floats, weights: Floats | None = None) -> float:
    """Expected calibration error (Guo et al. 2017): how far certainty is from being right.

    right: whether the answer was; sure: the probability it was given, shape [n] each.
    """
    weight = np.ones(len(sure)) if weights is None else weights
    at = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(at, weights=weight * (right - sure), minlength=BINS)
    return float(np.abs(gap).sum() / weight.sum())


def figures(positive: Bools, chance: Floats) -> dict[str, float | int | None]:
    """Of one domain: positive, whether each row is; chance, that it is. AUC needs both kinds."""
    called = chance > 0.5
    right = called == positive
    sure = np.maximum(chance, 1.0 - chance)
    surest = np.argsort(-sure, kind="stable")[: max(round(COVERED * len(sure)), 1)]
    both = bool(positive.any() and not positive.all())
    return {
        "n": len(chance),
        "accuracy": round(float(right.mean()), 4),
        "auc": round(auc(positive, chance), 4) if both else None,
        "macro_f1": round(macro_f1(positive.astype(np.int64), called.astype(np.int64)), 4),
        "ece": round(ece(right, sure), 4),
        "accuracy_at_80": round(float(right[surest].mean()), 4),
    }


def by_domain(rows: Rows, chance: Floats) -> dict[str, dict[str, float | int | None]]:
    """The figures of each domain by its name; rows are positive or negative."""
    return {
        str(name): figures(rows.labels[rows.domains == name] > 0, chance[rows.domains == name])
        for name in np.unique(rows.domains)
    }


def means(domains: dict[str, dict[str, float | int | None]]) -> dict[str, float | None]:
    """Plain means over the domains; those without a figure are left out."""
    found: dict[str, float | None] = {}
    for key in MEANS:
        values = [value for one in domains.values() if (value := one[key]) is not None]
        found[key] = round(float(np.mean(values)), 4) if values else None
    return found


def told(rows: Rows, chance: Floats) -> dict[str, Any]:
    """Means and domains together."""
    domains = by_domain(rows, chance)
    names, at = np.unique(rows.domains, return_inverse=True)
    even = 1.0 / np.bincount(at, minlength=len(names))[at]
    right = (chance > 0.5) == (rows.labels > 0)
    pooled = ece(right, np.maximum(chance, 1.0 - chance), even)
    return {**means(domains), "ece_pooled": round(pooled, 4), "by_domain": domains}


def snow(rows: Rows, sample: int | None) -> dict[str, Any]:
    """SnowNLP as it comes; the first `sample` rows of each domain, all when None."""
    from snownlp import SnowNLP

    if sample is not None:
        keep = np.zeros(len(rows.texts), dtype=bool)
        for name in np.unique(rows.domains):
            keep[np.flatnonzero(rows.domains == name)[:sample]] = True
        rows = only(rows, keep)
    float(SnowNLP("好").sentiments)  # Its files are read before the clock starts.
    taken, found = [], []
    for text in rows.texts:
        begun = time.perf_counter()
        found.append(float(SnowNLP(text).sentiments) if text else 0.5)
        taken.append(time.perf_counter() - begun)
    short = [t for t, text in zip(taken, rows.texts, strict=True) if len(text) <= SHORT]
    return {**told(rows, np.array(found)), "n": len(found), **quantiles(short or taken)}


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95 % of what calls took, in ms."""
    p50, p95 = np.quantile(seconds, (0.5, 0.95)) * 1000.0
    return {"p50_ms": round(float(p50), 4), "p95_ms": round(float(p95), 4)}


def alone(model: SentimentModel, texts: Sequence[str]) -> dict[str, float]:
    """What one short message takes by itself: the round with the lowest median of ROUNDS."""
    short = [text for text in texts if len(text) <= SHORT][:ALONE] or list(texts[:ALONE])
    rounds = []
    for _ in range(ROUNDS):
        taken = []
        for text in short:
            begun = time.perf_counter()
            model.judge([text])
            taken.append(time.perf_counter() - begun)
        rounds.append(quantiles(taken))
    return min(rounds, key=lambda one: one["p50_ms"])


def batch_per_s(model: SentimentModel, texts: Sequence[str]) -> float:
    """Messages a second, all of the file in one call; the best of ROUNDS."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        model.judge(texts)
        best = min(best, time.perf_counter() - begun)
    return round(len(texts) / best, 1)


def said(rows: Rows, labels: Sequence[int | None]) -> dict[str, Any]:
    """Of the rows of each label, the share that was called each label, or nothing."""
    result: dict[str, Any] = {}
    for name, label in LABELS.items():
        mine = [given for given, is_ in zip(labels, rows.labels, strict=True) if is_ == label]
        if mine:
            shares = {key: round(mine.count(one) / len(mine), 4) for key, one in LABELS.items()}
            result[name] = {"n": len(mine), **shares}
    return result


def three_class(rows: Rows, found: Floats) -> dict[str, Any]:
    """Macro-F1 of all three labels, each message getting its most probable one."""
    result = {}
    for name in np.unique(rows.domains):
        at = rows.domains == name
        if (rows.labels[at] == 0).any():
            labels, called = rows.labels[at], found[at].argmax(axis=1) - 1
            result[str(name)] = {"n": int(at.sum()), "macro_f1": round(macro_f1(labels, called), 4)}
    return result


def measure(model: SentimentModel, rows: Rows) -> dict[str, Any]:
    """The report of one file. ValueError when no row is positive or negative."""
    sided = only(rows, rows.labels != 0)
    if not sided.texts:
        raise ValueError("no rows that are positive or negative")
    found = chances(model, rows.texts)
    report = {
        "model": model.name,
        "n": len(sided.texts),
        **told(sided, praise(found[rows.labels != 0])),
        "three_class": three_class(rows, found),
        **alone(model, rows.texts),
        "batch_per_s": batch_per_s(model, rows.texts),
        "says_nothing": round(
            float(np.mean([m.label is None for m in model.judge(rows.texts)])), 4
        ),
    }
    weibo = only(sided, sided.domains == "weibo")
    if weibo.texts:
        bare = [_EMOTICONS.sub("", text) for text in weibo.texts]
        report["weibo_without_emoticons"] = figures(weibo.labels > 0, praise(chances(model, bare)))
    return report


def left_out(train: Rows, rows: Rows) -> dict[str, Any]:
    """Each domain of `rows` judged by a model fitted without it."""
    from bench.fit_sentiment import fit_praise  # It imports this file, and scikit-learn.

    sided = only(rows, rows.labels != 0)
    chance = np.zeros(len(sided.texts))
    for name in np.unique(sided.domains):
        print(f"without {name}", file=sys.stderr)
        here = sided.domains == name
        model = fit_praise(joined(only(train, train.domains != name), load_chat()))
        chance[here] = praise(chances(model, only(sided, here).texts))
    return told(sided, chance)


def peers(train: Rows, rows: Rows, leave: bool) -> dict[str, Any]:
    """TF-IDF and logistic regression with usual settings, fitted on the same rows."""
    from sklearn.feature_extraction.text import (
        TfidfVectorizer,
    )
    from sklearn.linear_model import LogisticRegression

    def fitted(part: Rows, texts: Sequence[str]) -> Floats:
        terms = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2)
        model = LogisticRegression(C=10.0, max_iter=300, solver="liblinear")
        model.fit(terms.fit_transform(part.texts), part.labels > 0)
        scores: Floats = model.predict_proba(terms.transform(texts))[:, 1]
        return scores

    train, sided = only(train, train.labels != 0), only(rows, rows.labels != 0)
    result = {"tfidf": told(sided, fitted(train, sided.texts))}
    if leave:
        chance = np.zeros(len(sided.texts))
        for name in np.unique(sided.domains):
            here = sided.domains == name
            part = only(train, train.domains != name)
            chance[here] = fitted(part, only(sided, here).texts)
        result["tfidf_lodo"] = told(sided, chance)
    return result


def main() -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.sentiment", description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="CSV: text, label, domain")
    parser.add_argument("--model", type=Path, default=None, help="another model file")
    parser.add_argument("--train", type=Path, default=TRAIN, help="for --lodo and --peers")
    parser.add_argument("--lodo", action="store_true", help="fit without each domain")
    parser.add_argument("--peers", action="store_true", help="fit TF-IDF beside it")
    parser.add_argument("--snow-sample", type=int, metavar="N", help="rows of a domain; 0: none")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    chosen = parser.parse_args()
    begun = time.perf_counter()
    model = SentimentModel.load("own" if chosen.model else "zhiqun", chosen.model)
    load_s = time.perf_counter() - begun
    rows = load(chosen.file)
    report = {**measure(model, rows), "load_s": round(load_s, 3)}
    if chosen.snow_sample != 0:
        sided = only(rows, rows.labels != 0)
        report["baselines"] = {"snownlp": snow(sided, chosen.snow_sample)}
    if chosen.lodo:
        report["lodo"] = left_out(load(chosen.train), rows)
    if chosen.peers:
        report["peers"] = peers(load(chosen.train), rows, chosen.lodo)
    held = load_chat(HELD)
    report["chat"] = said(held, [mood.label for mood in model.judge(held.texts)])
    print(json.dumps(report, indent=2 if chosen.pretty else None, ensure_ascii=False))


if __name__ == "__main__":
    main()
