"""Fit the spam model: writes insights/spam_model.npz and prints how well it carries over.

    nice python -m bench.fit_spam --file ../shared/data/spam/train.csv.gz

Two linear halves, mixed by how familiar a text is (`insights.spam.far_share`). The *near* half
is a linear SVM on n-grams and plain figures: best where groups are like those known. The *far*
half has plain figures alone, and each may only point the way that it points in any group (a
contact or a rare character never speaks for a message): worse at home, much better abroad. Each
source weighs the same. The mixture and the threshold were chosen on the train file, by its folds
and by leaving one source out; the model card says how far dev was looked at. The same file,
code and library versions give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from bench.spam import FALSE_ALARMS, Bools, Rows, auc, by_source, f1, load, only, recall_at
from insights.spam import AT_ONCE, NORM, SHIPPED, SpamModel, far_share
from insights.spam_flags import FLAGS
from insights.spam_text import BITS, NAMES, Floats, read

SVM_C = 0.3
PLAIN = 0.2
"""How large a plain figure stands beside n-grams: smaller is held back more."""
SEEN = 2
"""Texts an n-gram must be in to get a weight."""
FAR_HOLD = 50.0
"""Ridge of the far half."""
SHARES = (0.0, 0.1, 0.2, 0.5, 1.0)
"""Fixed shares of the far half to set beside the one that follows how familiar a text is."""
FOLDS = 3
FLAT = 0.0005
"""A loss of mean F1 that is no loss."""
SOURCE_WEIGHT = 9000.0
"""All rows of one source together."""

UP = ("rare", "two ", "digit", "longest", "disguised", "hidden", "blanks", "flags", "length")
"""Plain figures that never speak against spam in the far half, besides the flags."""


class Seen(NamedTuple):
    """Rows as numbers: n-grams (counted as the model counts them) and plain figures."""

    grams: Any
    plain: Floats


class Halves(NamedTuple):
    """Both halves, each in log odds. table: shape [2**BITS]."""

    table: Floats
    near: Floats
    near_bias: float
    far: Floats
    far_bias: float

    def odds(self, seen: Seen) -> Odds:
        """What both say of each row, and how much of it the near half knows."""
        near = seen.grams @ self.table + seen.plain @ self.near + self.near_bias
        return Odds(near, seen.plain @ self.far + self.far_bias, known(seen, self.table))


class Odds(NamedTuple):
    """Log odds of both halves and the share of known n-grams, shape [n] each."""

    near: Floats
    far: Floats
    known: Floats


def known(seen: Seen, table: Floats) -> Floats:
    """Share of the n-grams of each row that have a weight."""
    there = (seen.grams > 0).astype(np.float64)
    share: Floats = there @ (table != 0.0) / np.maximum(np.asarray(there.sum(axis=1)).ravel(), 1.0)
    return share


def see(texts: Sequence[str]) -> Seen:
    """Read all texts as the model will."""
    readings = [read(texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)]
    rows = np.concatenate([one.rows + at * AT_ONCE for at, one in enumerate(readings)])
    grams = np.concatenate([one.grams for one in readings])
    counts = np.bincount(rows, minlength=len(texts))
    values = np.maximum(counts, 1)[rows] ** -NORM
    return Seen(
        csr_matrix((values, (rows, grams)), shape=(len(texts), 1 << BITS)),
        np.concatenate([one.plain for one in readings]),
    )


def some(seen: Seen, which: Bools) -> Seen:
    """Some rows of it."""
    return Seen(seen.grams[which], seen.plain[which])


def even(sources: NDArray[np.str_]) -> Floats:
    """Weights of rows with which every source counts the same."""
    names, at = np.unique(sources, return_inverse=True)
    weights: Floats = (SOURCE_WEIGHT / np.bincount(at, minlength=len(names)))[at]
    return weights


def fit_near(seen: Seen, spam: Bools, weights: Floats) -> tuple[Floats, Floats, float]:
    """Table, weights of the plain figures, bias; not yet log odds."""
    kept = np.flatnonzero(np.asarray((seen.grams > 0).sum(axis=0)).ravel() >= SEEN)
    x = hstack([seen.grams[:, kept], seen.plain * PLAIN]).tocsr()
    model = LinearSVC(C=SVM_C, dual=True, max_iter=5000, random_state=0)
    model.fit(x, spam, weights)
    found = model.coef_[0]
    table = np.zeros(1 << BITS)
    table[kept] = found[: len(kept)]
    return table, found[len(kept) :] * PLAIN, float(model.intercept_[0])


def bounds() -> list[tuple[float | None, float | None]]:
    """Which way each plain figure may point in the far half."""
    flags = {name for name, _, _ in FLAGS}
    way: list[tuple[float | None, float | None]] = []
    for name in NAMES:
        if name == "chatty":
            way.append((None, 0.0))
        elif name in flags or name.startswith(UP):
            way.append((0.0, None))
        else:
            way.append((0.0, 0.0))
    return way


def fit_far(
    plain: Floats, spam: Bools, sources: NDArray[np.str_], weights: Floats
) -> tuple[Floats, float]:
    """Weights of the plain figures and the mean bias: each source has one of its own."""
    names, at = np.unique(sources, return_inverse=True)
    sign, width = np.where(spam, 1.0, -1.0), plain.shape[1]

    def loss(v: Floats) -> tuple[float, Floats]:
        margin = sign * (plain @ v[:width] + v[width:][at])
        pull = -sign * weights * np.exp(-np.logaddexp(0.0, margin))
        value = float(weights @ np.logaddexp(0.0, -margin)) + FAR_HOLD / 2 * float(
            v[:width] @ v[:width]
        )
        biases = np.bincount(at, weights=pull, minlength=len(names))
        return value, np.concatenate([plain.T @ pull + FAR_HOLD * v[:width], biases])

    free: list[tuple[float | None, float | None]] = [(None, None)] * len(names)
    found = minimize(
        loss,
        np.zeros(width + len(names)),
        jac=True,
        method="L-BFGS-B",
        bounds=[*bounds(), *free],
        options={"maxiter": 500, "ftol": 1e-9},
    ).x
    return found[:width], float(found[width:].mean())


def log_odds(scores: Floats, spam: Bools, weights: Floats) -> tuple[float, float]:
    """Slope and bias that make scores log odds (Platt 1999)."""
    model = LogisticRegression(C=1e6, max_iter=1000).fit(scores[:, None], spam, weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def fit_halves(seen: Seen, rows: Rows) -> tuple[Halves, Odds]:
    """Both halves, and what halves fitted without their fold say of all rows."""
    weights = even(rows.sources)
    fold = np.random.default_rng(20261120).integers(0, FOLDS, len(rows.spam))
    near, far, there = (np.zeros(len(fold)) for _ in range(3))
    for one in range(FOLDS):
        old, new = fold != one, fold == one
        part, unseen = some(seen, old), some(seen, new)
        table, plain, bias = fit_near(part, rows.spam[old], weights[old])
        near[new] = unseen.grams @ table + unseen.plain @ plain + bias
        there[new] = known(unseen, table)
        plain, bias = fit_far(part.plain, rows.spam[old], rows.sources[old], weights[old])
        far[new] = unseen.plain @ plain + bias
    slope, lift = log_odds(near, rows.spam, weights)
    far_slope, far_lift = log_odds(far, rows.spam, weights)
    table, plain, bias = fit_near(seen, rows.spam, weights)
    far_plain, far_bias = fit_far(seen.plain, rows.spam, rows.sources, weights)
    halves = Halves(
        table * slope,
        plain * slope,
        bias * slope + lift,
        far_plain * far_slope,
        far_bias * far_slope + far_lift,
    )
    return halves, Odds(near * slope + lift, far * far_slope + far_lift, there)


def best_threshold(odds: Floats, rows: Rows) -> float:
    """The lowest log odds within FLAT of the best mean F1 over the sources.

    The lowest, because messages of a group never seen score lower.
    """
    tried = np.arange(-3.0, 3.0, 0.02)
    mean = [np.mean([f1(rows.spam[at], odds[at] > cut) for at in by_source(rows)]) for cut in tried]
    return float(tried[np.array(mean) >= max(mean) - FLAT][0])


def joined(odds: Odds, share: float | None = None) -> Floats:
    """One score of both halves; share: of the far half, by familiarity when None."""
    part = far_share(odds.known) if share is None else share
    mixed: Floats = odds.near + part * (odds.far - odds.near)
    return mixed


def fit(rows: Rows, seen: Seen | None = None) -> tuple[SpamModel, Halves, Odds]:
    """The model, its halves (not yet calibrated together) and what they say of unseen folds."""
    seen = seen or see(rows.texts)
    halves, folds = fit_halves(seen, rows)
    odds = joined(folds)
    slope, lift = log_odds(odds, rows.spam, even(rows.sources))
    odds = odds * slope + lift
    cut = best_threshold(odds, rows)
    quiet = max(
        float(np.quantile(odds[at & ~rows.spam], 1.0 - FALSE_ALARMS)) for at in by_source(rows)
    )
    model = SpamModel(
        table=(slope * halves.table).astype(np.float16).astype(np.float32),
        near=slope * halves.near,
        near_bias=slope * halves.near_bias + lift,
        far=slope * halves.far,
        far_bias=slope * halves.far_bias + lift,
        threshold=chance(cut),
        sure=chance(max(quiet, cut)),
    )
    return model, halves, folds


def chance(odds: float) -> float:
    """Probability of log odds."""
    return float(1.0 / (1.0 + np.exp(-odds)))


def told(spam: Bools, odds: Floats) -> dict[str, float | int]:
    """Figures of one set of rows, F1 at even odds."""
    return {
        "f1": round(f1(spam, odds > 0.0), 4),
        "auc": round(auc(spam, odds), 4),
        "recall_at_1pct_fpr": round(recall_at(spam, odds), 4),
        "n": len(spam),
    }


def report(rows: Rows) -> tuple[SpamModel, dict[str, Any]]:
    """The model, and what folds and left-out sources of the train file say of it.

    `left_out` is what a model of the other sources makes of each source; `by_familiarity`
    is the mixture that is shipped, the others are mixtures with a fixed share.
    """
    seen = see(rows.texts)
    model, _, folds = fit(rows, seen)
    names = [str(name) for name in np.unique(rows.sources)]
    left: dict[str, Odds] = {}
    for name, at in zip(names, by_source(rows), strict=True):
        print(f"without {name}", file=sys.stderr)
        left[name] = fit(only(rows, ~at), some(seen, ~at))[1].odds(some(seen, at))
    shares: dict[str, Any] = {}
    for share in (None, *SHARES):
        mixed = joined(folds, share)
        shares["by_familiarity" if share is None else str(share)] = {
            "folds": {
                name: told(rows.spam[at], mixed[at])
                for name, at in zip(names, by_source(rows), strict=True)
            },
            "left_out": {
                name: told(rows.spam[at], joined(left[name], share))
                for name, at in zip(names, by_source(rows), strict=True)
            },
        }
    return model, {
        "threshold": round(model.threshold, 4),
        "sure": round(model.sure, 4),
        "shares": shares,
        "n": len(rows.spam),
    }


def main() -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.fit_spam", description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="train.csv.gz")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the model goes")
    parser.add_argument("--quick", action="store_true", help="no figures of left-out sources")
    parser.add_argument("--pretty", action="store_true", help="indent the JSON")
    chosen = parser.parse_args()
    rows = load(chosen.file)
    if chosen.quick:
        model, told_of = fit(rows)[0], {"n": len(rows.spam)}
    else:
        model, told_of = report(rows)
    model.save(chosen.out)
    told_of["bytes"] = chosen.out.stat().st_size
    print(json.dumps(told_of, indent=2 if chosen.pretty else None, ensure_ascii=False))


if __name__ == "__main__":
    main()
