"""From deeds to a ranker: choose on what was held back, then learn from everything.

The work of a process of its own, at low priority. It may be killed at any moment: started again
with the same arguments it goes on at the last epoch of LightFM, and leaves the same model. One
thread and a seed give the same arrays every time.

Whether a model may serve is judged in `recommender/gate.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from recommender import blend, parts, tune
from recommender.dataset import KINDS, Log, People, Things, report
from recommender.evaluate import mean, ndcg_of
from recommender.fitted import PARTS, Fitted
from recommender.gate import Verdict, against, gate
from recommender.parts import Training
from recommender.scoring import Scorer
from recommender.validation import Held, Met, held_back, met, people_of, questions, untold

__all__ = ["Training", "Verdict", "gate", "train", "train_and_judge"]

FOLDS = (1.0, 0.0, 0.5, 2.0)
WEEK_S = 7 * 86400.0
TRUSTED_S = 28 * 86400.0
"""Where a week tells too little, a running model stays unless what it knows is older than this."""

Told = Callable[[str], None]


def train(
    log: Log,
    people: People,
    things: Things,
    now: float,
    settings: Training | None = None,
    checkpoint: Path | None = None,
    seed: int = 0,
    told: Told | None = None,
) -> Fitted:
    """A whole ranker. Never raises for what is in the data: what is wrong with it stands in
    `data["report"]`; of too little data, too, something is made whose scores are numbers.

    now: Unix seconds; what was done later is left out. checkpoint: a file that this training has
    for itself; the stages keep theirs beside it. told hears of each epoch and trial; what it
    raises stops the training.
    """
    found = _trained(log, people, things, now, settings, checkpoint, seed, told)
    _tidy(checkpoint)
    return found


def _trained(
    log: Log,
    people: People,
    things: Things,
    now: float,
    settings: Training | None,
    checkpoint: Path | None,
    seed: int,
    told: Told | None,
) -> Fitted:
    settings = settings or Training()
    wrong = report(log, people, things)
    log = log.before(np.nextafter(now, np.inf)).on(parts.items_of(log, things))
    held, blind = held_back(log, seed), untold(people)
    aside = _beside(checkpoint, "choose")
    tuned: list[tune.Trial] = []
    if settings.tune_s > 0 and held.wanted:
        settings, tuned = tune.of_shape(held, blind, things, settings, seed, told)
    trial = parts.built(held.known, blind, things, settings, seed, aside, told)
    features = dict(zip(blind.numbers, blind.features, strict=False))
    settings, trial = tune.of_past(trial, held, features, settings)
    settings, weights, scale, figures = _weighed(trial, held, features, settings, seed)
    fitted = parts.built(log, people, things, settings, seed, _beside(checkpoint, "learn"), told)
    data: dict[str, Any] = {
        **fitted.data,
        "since": float(log.at.min()) if len(log) else now,
        "until": float(log.at.max()) if len(log) else now,
        "made_at": now,
        "seed": seed,
        "kinds": dict(KINDS),
        "settings": settings.to_data(),
        "figures": figures,
        "report": wrong,
        "events": len(log),
    }
    data["tuned"] = [
        {"value": round(trial.value, 5), **parts.Training(shape=trial.shape).to_data()["shape"]}
        for trial in tuned
    ]
    return replace(fitted, weights=weights, scale=scale, data=data)


_STAGES = ("choose", "learn")


def _tidy(*checkpoints: Path | None) -> None:
    """Not before all is done: a run that is killed in between would begin anew."""
    for checkpoint in checkpoints:
        for stage in _STAGES:
            path = _beside(checkpoint, stage)
            if path is not None:
                path.unlink(missing_ok=True)


def _beside(checkpoint: Path | None, stage: str) -> Path | None:
    return None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.{stage}")


def _weighed(
    trial: Fitted,
    held: Held,
    features: dict[int, tuple[str, ...]],
    settings: Training,
    seed: int,
) -> tuple[Training, Any, Any, dict[str, Any]]:
    """The blend's weights, and what they reach where they were learned: no proof of anything."""
    trial = replace(trial, data={**trial.data, "half_rank": settings.half_rank})
    whos = people_of(trial, held, features, settings.half_rank)
    newcomers = met(trial, held, features, seed)
    settings = replace(settings, fold=_fold(trial, newcomers, settings))
    trial = replace(trial, data={**trial.data, "fold": settings.fold})
    asked = questions(trial, held, whos, newcomers, seed)
    weights, scale = blend.learned(asked, len(PARTS))
    whole = [one for one in asked if one.weight == 1.0]
    found = [blend.ndcg(one, weights, scale) for one in whole]
    told = mean(found, seed)
    figures: dict[str, Any] = {
        "asked": len(whole),
        "ndcg10": round(told.value, 5) if whole else None,
        "weights": {
            name: [round(float(value), 4) for value in weights[:, place]]
            for place, name in enumerate(PARTS)
        },
    }
    return settings, weights, scale, figures


def _fold(trial: Fitted, newcomers: list[Met], settings: Training) -> float:
    """How much first deeds say: what ranks best, of a few, for members never met before."""
    best, value = settings.fold, -1.0
    known = [one for one in newcomers if one.seen.size]
    for fold in dict.fromkeys((settings.fold, *FOLDS)):
        scorer = Scorer(replace(trial, data={**trial.data, "fold": fold}))
        judged = [
            ndcg_of(
                trial.item_vectors @ scorer.vector(one.who) + trial.item_biases,
                one.seen,
                one.wanted,
            )
            for one in known
        ]
        found = float(np.mean(judged)) if judged else 0.0
        if found > value * (1.01 if value > 0 else 1.0):
            best, value = fold, found
    return best


def train_and_judge(
    log: Log,
    people: People,
    things: Things,
    now: float,
    settings: Training | None = None,
    checkpoint: Path | None = None,
    seed: int = 0,
    old: Fitted | None = None,
    told: Told | None = None,
    before: People | None = None,
    earlier: Iterable[Fitted] = (),
) -> tuple[Fitted, Verdict]:
    """The ranker to serve, or the one that was refused, and the verdict.

    A model must not be judged on days that it has learned from. So one is trained on all but the
    newest week and judged on that week; only then the one that serves is trained with the same
    settings on everything. before: the members as they were known when that week began; what they
    have in common today may tell what they did in it. None: nothing in `people` is that young.

    The running model has seen most of the week. It is judged as it is on what was done since it was
    trained (`_level`); where too few did anything, `earlier` ones that served before it, newest
    first, until one has been away for long enough. Where none has, what the settings of the running
    one make of the same older days stands in (the same settings: nothing to judge).
    """
    settings = settings or Training()
    log = log.before(np.nextafter(now, np.inf))
    cut = now - WEEK_S
    then = people if before is None else before
    early, week = log.before(cut), log.since(cut)
    marks = [_beside(checkpoint, name) for name in ("judged", "running", "level")]
    trial = _trained(early, then, things, cut, settings, marks[0], seed, told)
    chosen = replace(Training.from_data(trial.data["settings"]), tune_s=0.0)
    until = float("-inf") if old is None else float(old.data.get("until", now))
    level: Verdict | None = None
    rival = old
    if old is not None and until >= cut:

        def as_old(then_until: float) -> Fitted:
            return _trained(log, then, things, then_until, chosen, marks[2], seed, told)

        for one in chain((old,), earlier):
            level = _level(trial, one, log, cut, then, things, seed, as_old)
            if level.why != "too_few":
                break
        assert level is not None
        if not level.goes_live:
            _tidy(*marks)
            return trial, level
        rival = None
        theirs = replace(Training.from_data(old.data.get("settings", {})), tune_s=0.0)
        if level.why == "too_few" and theirs != chosen:
            rival = _trained(early, then, things, cut, theirs, marks[1], seed, told)
    trust = old is None or now - until > TRUSTED_S
    verdict = gate(trial, rival, early, week, then, things, seed, trust=trust)
    if level is not None:
        verdict = replace(verdict, figures={**verdict.figures, "since_running": level.figures})
    if not verdict.goes_live:
        _tidy(*marks)
        return trial, verdict
    final = _trained(log, people, things, now, chosen, checkpoint, seed, told)
    _tidy(checkpoint, *marks)
    data = {**final.data, "gate": dict(verdict.figures), "tuned": trial.data["tuned"]}
    return replace(final, data=data), verdict


def _level(
    trial: Fitted,
    old: Fitted,
    log: Log,
    cut: float,
    people: People,
    things: Things,
    seed: int,
    as_old: Callable[[float], Fitted],
) -> Verdict:
    """The trial and a model that served on days that neither has learned from.

    A trial that is worse may be so only for knowing some days less. Then one that is as old as the
    other has the last word: as_old makes it, which is seldom needed.
    """
    until = float(old.data.get("until", cut))
    since = max(np.nextafter(until, np.inf), cut)
    known, days = log.before(since), log.since(since)
    found = against(trial, old, known, days, people, things, seed)
    if found.why == "worse_than_running" and until >= cut:
        found = against(as_old(until), old, known, days, people, things, seed)
    return found
