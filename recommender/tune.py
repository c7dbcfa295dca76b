"""Looking for better settings, on what was held back, for as long as there is time.

The settings that serve are the first to be tried, so that a search never makes it worse there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from recommender import model, parts, sequels
from recommender.dataset import People, Things
from recommender.evaluate import measured
from recommender.fitted import Fitted
from recommender.parts import Training
from recommender.scoring import Scorer
from recommender.validation import Held, ndcg_of_past, people_of

HALF_RANKS = (20.0, 0.0, 5.0, 10.0, 40.0)
RIDGES = (300.0, 30.0, 100.0, 1000.0)
_BETTER = 1.01
"""Another setting must be so many times as good: what is within chance is left alone."""


class Trial(NamedTuple):
    """What was tried and how good it was: the mean of NDCG@10 and AUC, of LightFM alone."""

    shape: model.Shape
    value: float


def of_past(
    fitted: Fitted,
    held: Held,
    features: Mapping[int, Sequence[str]],
    settings: Training,
) -> tuple[Training, Fitted]:
    """Settings of the regression and of how fast a past fades, and the parts with them.

    One after the other, each from a few values: cheap enough for every training.
    """
    best, value = settings, -1.0
    for half_rank in dict.fromkeys((settings.half_rank, *HALF_RANKS)):
        whos = people_of(fitted, held, features, half_rank)
        found = ndcg_of_past(fitted, held, whos, "sequel")
        if found > value * (_BETTER if value > 0 else 1.0):
            best, value = replace(best, half_rank=half_rank), found
    whos = people_of(fitted, held, features, best.half_rank)
    taste = parts.liked(held.known.on(fitted.items), fitted.members, settings.half_life_s)
    chosen = fitted
    for ridge in RIDGES:
        if ridge == settings.ridge:
            continue
        other = replace(fitted, sequel=sequels.regression(taste, ridge, settings.keep))
        found = ndcg_of_past(other, held, whos, "sequel")
        if found > value * (_BETTER if value > 0 else 1.0):
            best, value, chosen = replace(best, ridge=ridge), found, other
    return best, chosen


def of_shape(
    held: Held,
    people: People,
    things: Things,
    settings: Training,
    seed: int,
    told: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Training, list[Trial]]:
    """Search by chance among shapes of LightFM for `settings.tune_s` seconds.

    A trial is not begun that would end too late, going by the longest one before. Returns the best
    settings and all trials, the first with the settings as they are.
    """
    rng = np.random.default_rng(seed)
    begun, longest = clock(), 0.0
    trials: list[Trial] = []
    shape = settings.shape
    while not trials or clock() - begun + longest * 1.2 < settings.tune_s:
        start = clock()
        trials.append(
            Trial(shape, _worth(held, people, things, replace(settings, shape=shape), seed))
        )
        longest = max(longest, clock() - start)
        if told is not None:
            told(f"trial {len(trials)}")
        shape = drawn(rng)
    first = trials[0]
    best = max(trials, key=lambda trial: trial.value)
    chosen = best if best.value > first.value * _BETTER else first
    return replace(settings, shape=chosen.shape), trials


def drawn(rng: np.random.Generator) -> model.Shape:
    """One shape by chance, within what is sensible for a community."""
    return model.Shape(
        dims=int(rng.choice([8, 16, 32, 48, 64])),
        epochs=int(rng.choice([6, 10, 15, 20, 30])),
        loss=str(rng.choice(["warp", "warp", "bpr"])),
        rate=float(np.round(np.exp(rng.uniform(np.log(0.02), np.log(0.1))), 4)),
        user_alpha=float(rng.choice([0.0, 1e-6, 1e-5])),
        item_alpha=float(rng.choice([0.0, 1e-6, 1e-5])),
        max_sampled=int(rng.choice([10, 30, 100])),
    )


def _worth(held: Held, people: People, things: Things, settings: Training, seed: int) -> float:
    fitted = parts.factored(held.known, people, things, settings, seed)
    scorer = Scorer(fitted)
    found = []
    for member, wanted in held.wanted.items():
        row = scorer.row(member)
        scores = fitted.item_vectors @ fitted.member_vectors[row] + fitted.item_biases
        allowed = np.ones(scores.size, np.bool_)
        allowed[held.seen[member]] = False
        one = measured(scores, allowed, wanted)
        if one is not None:
            found.append((one.ndcg + one.auc) / 2)
    return float(np.mean(found)) if found else 0.0
