"""Fit the sentiment model: writes insights/sentiment_model.npz, prints what unseen folds say.

    nice python -m bench.fit_sentiment              (--check: compare with the shipped file)

Two linear questions over the same n-grams: positive or negative (all domains), neutral or not
(the domains whose neutral is labelled). Each n-gram enters a logistic regression scaled by its
rarity and by the root of its log-count ratio (Wang & Manning 2012), where every domain counts the
same and, in a domain, both answers do: what is praise everywhere outweighs what is praise of one
trade, and a domain that is mostly praise teaches no optimism. Three folds then say what a score is
worth, by length. `chat_sentences.tsv`, everyday sentences of a community that we wrote ourselves,
is one more domain: in the others, reviews for the most part, who asks a question complains. What is
neutral there is asked of the first question twice, once with each answer, so that its words lean to
no side. Settings were chosen on the train file, by its folds and by leaving one domain out; the
model card says how often dev was looked at. The same files, code and library versions give the same
bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from bench.sentiment import (
    CHAT,
    THREE,
    TRAIN,
    WRITTEN,
    Rows,
    joined,
    load,
    load_chat,
    macro_f1,
    only,
    said,
    told,
)
from bench.spam import Bools
from insights.sentiment import AT_ONCE, LENGTH, SHIPPED, SentimentModel, Weights, pack
from insights.sentiment_text import BITS, Floats, Ints, read

VERSION = 1
"""Of the shipped model, in its name; raise it when the model is meant to be another."""
C = 10.0
SEEN = 2
"""Texts an n-gram must be in to get a weight."""
RARE = 1e-3
"""What is added to the share of texts of either side before their ratio is taken."""
LEAST = 0.05
"""What is added to a log-count ratio: n-grams of no side are held back, not dropped."""
FAINT = 0.25
"""What a course's review of three stars weighs as a complaint: nine in ten there give more."""
STARRED = "course"
PLAIN = "plain"
"""In the first question, the domain of what is neutral in CHAT."""
SURE = 0.6
"""As SentimentModel has it, for what the folds say of CHAT."""
FOLDS = 3
STEPS = 2000
"""Whole numbers that a weight may be, on either side of nothing."""
SNOWED = 400
"""Rows of each domain that SnowNLP is calibrated on."""
SHIFTS = np.arange(-2.0, 1.01, 0.1)
"""Log odds of neutral that are tried, added to what balanced classes say."""
TILTS = np.arange(-1.0, 0.51, 0.25)
"""The same for each unit of `lengths`: chatter is short, and neutral more often than a story."""


class Asked(NamedTuple):
    """Who is asked a question: rows (one may be asked twice), answers, domains, weights; [m]."""

    rows: Ints
    answers: Bools
    domains: NDArray[np.str_]
    weights: Floats


class Line(NamedTuple):
    """One question fitted: weights of n-grams, shape [2**BITS], and the score without any."""

    table: Floats
    bias: float


def see(texts: list[str]) -> Any:
    """Which n-grams are in which text, counted as the model counts them; sparse [n, 2**BITS]."""
    readings = [read(texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)]
    counts = np.concatenate([one.counts for one in readings])
    grams = np.concatenate([one.grams for one in readings])
    values = np.repeat(1.0 / np.sqrt(counts), counts)
    ends = np.concatenate([[0], np.cumsum(counts)])
    return csr_matrix((values, grams, ends), shape=(len(texts), 1 << BITS))


def lengths(seen: Any) -> Floats:
    """How long each text is to the calibration."""
    found: Floats = np.log(np.diff(seen.indptr)) - LENGTH
    return found


def even(
    domains: NDArray[np.str_], answers: Bools | None = None, faint: Bools | None = None
) -> Floats:
    """Weights with which every domain counts the same and, in each, both answers; mean 1."""
    keys = domains if answers is None else np.char.add(domains, np.where(answers, "+", "-"))
    _, at, counts = np.unique(keys, return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / counts[at]
    if faint is not None:
        weights[faint] *= FAINT
    weights /= weights.mean()
    return weights


def fit_line(seen: Any, asked: Asked) -> Line:
    """One question."""
    rows, answers, domains, weights = asked
    seen = seen[rows]
    kept = np.flatnonzero(np.bincount(seen.indices, minlength=1 << BITS) >= SEEN)
    x = seen[:, kept]
    there = x.copy()
    there.data[:] = 1.0
    _, at = np.unique(domains, return_inverse=True)
    sides = []
    for side in (answers, ~answers):
        counts = np.maximum(np.bincount(at, weights=side), 1.0)
        sides.append(there.T @ np.where(side, 1.0 / counts[at], 0.0) + RARE)
    rarity = (np.log(len(answers) / np.bincount(x.indices, minlength=len(kept))) + 1.0) / 10.0
    scale = rarity * np.sqrt(np.abs(np.log(sides[0] / sides[1])) + LEAST)
    x.data *= scale[x.indices]
    # liblinear's coordinate descent runs in one thread and asks no BLAS: the same everywhere.
    model = LogisticRegression(C=C, solver="liblinear", dual=True, max_iter=1000, tol=1e-2)
    model.random_state = 0
    model.fit(x, answers, weights)
    table = np.zeros(1 << BITS)
    table[kept] = model.coef_[0] * scale
    return Line(table, float(model.intercept_[0]))


def folds(seen: Any, asked: Asked) -> Floats:
    """What models that never saw its fold say of each row of `seen`."""
    fold = np.random.default_rng(20261120).integers(0, FOLDS, seen.shape[0])
    scores = np.zeros(len(fold))
    for one in range(FOLDS):
        old, new = fold[asked.rows] != one, np.flatnonzero(fold == one)
        line = fit_line(seen, Asked(*(part[old] for part in asked)))
        scores[new] = seen[new] @ line.table + line.bias
    return scores


def calibrate(
    scores: Floats, long: Floats, answers: Bools, weights: Floats, lift: bool = True
) -> Floats:
    """Slope, slope by length, lift, lift by length that make scores log odds (Platt 1999).

    Without lift both of its numbers are 0: how much of the training text is praise, and of short
    text, is no knowledge of another group.
    """
    columns = [scores, scores * long, *([long] if lift else [])]
    model = LogisticRegression(C=1e4, max_iter=1000, tol=1e-8, fit_intercept=lift)
    model.fit(np.stack(columns, axis=1), answers, weights)
    slopes = model.coef_[0]
    tilt = float(slopes[2]) if lift else 0.0
    return np.array([slopes[0], slopes[1], float(np.ravel(model.intercept_)[0]), tilt])


def calibrated(scores: Floats, long: Floats, how: Floats) -> Floats:
    """Log odds of scores."""
    odds: Floats = scores * (how[0] + how[1] * long) + how[2] + how[3] * long
    return odds


def whole(lines: list[Line], hows: list[Floats]) -> SentimentModel:
    """The model of both questions, weights rounded to whole numbers."""
    table = np.stack([line.table for line in lines], axis=1)
    scale = np.abs(table).max(axis=0) / STEPS
    numbers = np.round(table / scale).astype(np.int16)
    # Rounded, so that the last bits of a library's logarithm are not in the file.
    how: Floats = np.stack(hows).round(6)
    bias = np.array([line.bias for line in lines]).round(6)
    scale = np.round(scale, 12)
    digest = hashlib.sha256(numbers.tobytes() + how.tobytes() + bias.tobytes()).hexdigest()[:8]
    name = f"zhiqun-{VERSION}-{digest}"
    return SentimentModel(Weights(name, pack(numbers), scale, bias, how), name=name)


class Praise(NamedTuple):
    """The first question fitted: weights, calibration, and log odds of each row by its fold."""

    line: Line
    how: Floats
    odds: Floats


def who_praises(rows: Rows) -> Asked:
    """Who is asked the first question: rows of one side, courses' three stars, plain chat twice."""
    sided = rows.labels != 0
    once = np.flatnonzero(sided | (rows.domains == STARRED))
    plain = np.flatnonzero(~sided & (rows.domains == CHAT))
    used = np.concatenate([once, plain, plain])
    answers = np.concatenate([rows.labels[once] > 0, plain >= 0, plain < 0])
    domains = np.concatenate([rows.domains[once], np.full(2 * len(plain), PLAIN)])
    faint = (rows.labels[used] == 0) & (domains == STARRED)
    return Asked(used, answers, domains, even(domains, answers, faint))


def ask_praise(rows: Rows, seen: Any) -> Praise:
    """Positive or negative; calibrated on what others wrote, not on CHAT."""
    asked, long = who_praises(rows), lengths(seen)
    line, scores = fit_line(seen, asked), folds(seen, asked)
    sided = (rows.labels != 0) & (rows.domains != CHAT)
    weights = even(rows.domains[sided])
    how = calibrate(scores[sided], long[sided], rows.labels[sided] > 0, weights, lift=False)
    return Praise(line, how, calibrated(scores, long, how))


def fit_praise(rows: Rows) -> SentimentModel:
    """A model of the first question alone, for domains left out: nothing is neutral to it."""
    found = ask_praise(rows, see(rows.texts))
    nothing = Line(np.full(1 << BITS, 1e-9), 0.0)
    return whole([found.line, nothing], [found.how, np.array([0.0, 0.0, -30.0, 0.0])])


def fit(rows: Rows) -> tuple[SentimentModel, dict[str, Any]]:
    """The model, and what its folds say."""
    seen = see(rows.texts)
    long = lengths(seen)
    print("positive or negative", file=sys.stderr)
    line, how, praise = ask_praise(rows, seen)
    here = np.isin(rows.domains, (*THREE, CHAT))
    three, part = np.flatnonzero(here), only(rows, here)
    print("neutral or not", file=sys.stderr)
    neutral = part.labels == 0
    asked = Asked(three, neutral, part.domains, even(part.domains, neutral))
    scores = folds(seen, asked)[three]
    wide = calibrate(scores, long[three], neutral, asked.weights)
    odds = calibrated(scores, long[three], wide)
    shift, tilt, tried = best_shift(part, praise[three], odds, long[three])
    wide[2:] += shift, tilt
    model = whole([line, fit_line(seen, asked)], [how, wide])
    sided, chat = (rows.labels != 0) & (rows.domains != CHAT), part.domains == CHAT
    sides = chances_of(praise[three], calibrated(scores, long[three], wide))[chat]
    labels = [int(one.argmax()) - 1 if one.max() >= SURE else None for one in sides]
    return model, {
        "folds": told(only(rows, sided), 1.0 / (1.0 + np.exp(-praise[sided]))),
        "three_class": tried,
        "chat": said(only(part, chat), labels),
        "shift": round(shift, 2),
        "tilt": round(tilt, 2),
    }


def chances_of(praise: Floats, neutral: Floats) -> Floats:
    """Of negative, neutral and positive, from the log odds of both questions; shape [n, 3]."""
    middle, good = 1.0 / (1.0 + np.exp(-neutral)), 1.0 / (1.0 + np.exp(-praise))
    return np.stack([(1 - middle) * (1 - good), middle, (1 - middle) * good], axis=1)


def best_shift(
    rows: Rows, praise: Floats, odds: Floats, long: Floats
) -> tuple[float, float, dict[str, float]]:
    """Lift and lift by length of the log odds of neutral: best for mean macro-F1 over the domains.

    praise, odds, long: of each of the rows.
    """
    best: tuple[float, float, float, dict[str, float]] = (-1.0, 0.0, 0.0, {})
    places = {str(name): rows.domains == name for name in np.unique(rows.domains)}
    for shift, tilt in itertools.product(SHIFTS, TILTS):
        called = chances_of(praise, odds + shift + tilt * long).argmax(axis=1) - 1
        each = {name: macro_f1(rows.labels[at], called[at]) for name, at in places.items()}
        mean = float(np.mean(list(each.values())))
        if mean > best[0]:
            best = (mean, float(shift), float(tilt), each)
    return best[1], best[2], {name: round(value, 4) for name, value in best[3].items()}


def fit_snow(rows: Rows) -> dict[str, float]:
    """The four numbers of `insights/snow.py`, from SNOWED rows of each domain."""
    from insights.snow import Snow

    keep = np.zeros(len(rows.texts), dtype=bool)
    for name in np.unique(rows.domains):
        keep[np.flatnonzero(rows.domains == name)[:SNOWED]] = True
    rows, snow = only(rows, keep), Snow()
    raw = np.array([snow.raw(text) for text in rows.texts])
    sided, three = rows.labels != 0, np.isin(rows.domains, THREE)
    model = LogisticRegression(C=1e4)
    model.fit(raw[sided, None], rows.labels[sided] > 0, even(rows.domains[sided]))
    slope, lift = float(model.coef_[0, 0]), float(model.intercept_[0])
    neutral, domains = rows.labels[three] == 0, rows.domains[three]
    model.fit(np.abs(raw[three, None]), neutral, even(domains, neutral))
    distance, middle = float(model.coef_[0, 0]), float(model.intercept_[0])
    # Balanced classes say one half is neutral; one third is said here.
    found = {"slope": slope, "lift": lift, "neutral": middle - np.log(2), "distance": distance}
    return {name: round(float(value), 3) for name, value in found.items()}


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.fit_sentiment", description=__doc__)
    parser.add_argument("--file", type=Path, default=TRAIN, help="train.csv.gz")
    parser.add_argument("--chat", type=Path, default=WRITTEN, help="sentences of our own")
    parser.add_argument("--out", type=Path, default=None, help="where the model goes")
    parser.add_argument("--check", action="store_true", help="is it the shipped file?")
    parser.add_argument("--snow", action="store_true", help="only the numbers of snow.py")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    chosen = parser.parse_args()
    if chosen.snow:
        print(json.dumps(fit_snow(load(chosen.file))))
        return
    model, report = fit(joined(load(chosen.file), load_chat(chosen.chat)))
    fresh = SHIPPED.with_suffix(".fresh.npz") if chosen.check else SHIPPED
    out = chosen.out or fresh
    model.save(out)
    report |= {"model": model.name, "bytes": out.stat().st_size, "sha256": hash_of(out)}
    if chosen.check:
        report |= {"shipped_sha256": hash_of(SHIPPED)}
        report["same"] = report["sha256"] == report["shipped_sha256"]
        if chosen.out is None:
            out.unlink()
    print(json.dumps(report, indent=2 if chosen.pretty else None, ensure_ascii=False))
    if chosen.check and not report["same"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
