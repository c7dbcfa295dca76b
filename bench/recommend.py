"""How well is recommended, on data that nobody here wrote: `python -m bench.recommend --dir D`.

Prints one JSON object. The systems stand side by side: popularity, item-item, plain LightFM with
ids, the same with features, and ours. Ours is trained by `recommender/training.py` and scores
through `recommender/scoring.py`, which is what serves members.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.recommend_data import Data, sets
from recommender import model, parts, sequels
from recommender.dataset import Log, People, Things, report
from recommender.evaluate import Mean, Measured, coverage, difference, mean, measured, ranked
from recommender.fitted import Fitted, Ints
from recommender.parts import Training
from recommender.scoring import Ranker, Scorer
from recommender.training import train

MEASURES = {
    "p10": "precision",
    "r10": "recall",
    "ndcg10": "ndcg",
    "map10": "ap",
    "hit10": "hit",
    "auc": "auc",
}
COLD_SHARE = 0.15
"""Of members and of items, carved out to be met for the first time."""
FIRST = 10
"""A newcomer is known by at most so many deeds."""
PLAIN = Training(half_life_s=0.0, half_rank=0.0, fold=0.0)

Found = dict[Any, Measured]


@dataclass(frozen=True, slots=True)
class System:
    """One of those compared: a model and the ranker in it."""

    name: str
    scorer: Scorer
    ranker: Ranker
    train_s: float


def main() -> int:
    """Read, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--set", default="", help="only this one, by name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tune", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--curve", type=Path, help="draw newcomers by what is known of them")
    parser.add_argument("--pretty", action="store_true")
    asked = parser.parse_args()
    found: dict[str, Any] = {"seed": asked.seed, "sets": {}}
    for data in sets(asked.dir, asked.set):
        found["sets"][data.name] = measure(data, asked.seed, asked.tune)
    if len(found["sets"]) == 1:
        found |= next(iter(found["sets"].values()))
    if asked.curve:
        from bench.recommend_curve import draw

        draw({name: one["curve"] for name, one in found["sets"].items()}, asked.curve)
    if asked.pretty:
        _table(found["sets"])
    print(json.dumps(_plain(found), indent=1 if asked.pretty else None, ensure_ascii=False))
    return 0


def measure(data: Data, seed: int, tune_s: float) -> dict[str, Any]:
    """All systems on one set."""
    _say(f"{data.name}: {len(data.log)} rows")
    known, dev = data.log.where(~data.dev), data.log.where(data.dev)
    systems = trained(known, data, seed, tune_s)
    _say(f"{data.name}: trained")
    judged: dict[str, dict[str, Found]] = {one.name: {} for one in systems}
    lists: dict[str, list[Ints]] = {}
    speed: dict[str, float] = {}
    for one in systems:
        judged[one.name]["warm"], lists[one.name], speed[one.name] = warm(one, known, dev, data)
    chosen = Training.from_data(systems[-1].scorer.fitted.data["settings"])
    cold = carved(data, seed)
    fresh = trained(cold.known, data, seed, 0.0, replace(chosen, tune_s=0.0))
    _say(f"{data.name}: trained without those who are met for the first time")
    curve: dict[str, dict[int, dict[int, float]]] = {}
    for one in fresh:
        judged[one.name]["cold_users"], curve[one.name] = newcomers(one, cold, data)
        judged[one.name]["cold_items"] = new_items(one, cold, data)
    out: dict[str, Any] = {"systems": {}, "report": report(known, data.people, data.things)}
    for one in systems:
        told = {kind: _told(found, seed) for kind, found in judged[one.name].items()}
        told["warm"]["coverage"] = coverage(lists[one.name], len(data.things.ids))
        out["systems"][one.name] = {
            **told,
            "train_s": round(one.train_s, 3),
            "top10_ms": round(speed[one.name], 4),
        }
    out["ours_against"] = {
        kind: {
            other.name: {
                key: _apart(judged["ours"][kind], judged[other.name][kind], field, seed)
                for key, field in MEASURES.items()
            }
            for other in systems
            if other.name != "ours"
        }
        for kind in ("warm", "cold_users", "cold_items")
    }
    out["curve"] = {
        name: {size: _mean(mean(by.values(), seed)) for size, by in one.items() if by}
        for name, one in curve.items()
    }
    out["settings"] = systems[-1].scorer.fitted.data["settings"]
    out["figures"] = systems[-1].scorer.fitted.data["figures"]
    out["fit_overhead"] = round(overhead(known, data, chosen, seed), 4)
    return out


def trained(
    known: Log, data: Data, seed: int, tune_s: float, settings: Training | None = None
) -> list[System]:
    """Every system, trained on what is known; ours comes last."""
    bare_people, bare_things = People(), Things(data.things.ids)
    found = []
    strong = known.where(known.amount >= 1.0)
    begun = time.perf_counter()
    plain = parts.factored(strong, bare_people, bare_things, PLAIN, seed)
    fit_s = time.perf_counter() - begun
    begun = time.perf_counter()
    plain = replace(plain, alike=_cosine(strong, plain))
    alike_s = time.perf_counter() - begun
    begun = time.perf_counter()
    np.asarray(parts.liked(strong.on(plain.items), plain.members, 0.0).sum(0))
    popular_s = time.perf_counter() - begun
    scorer = Scorer(plain)
    found.append(System("popularity", scorer, "popular", popular_s))
    found.append(System("item_item", scorer, "item_item", alike_s))
    found.append(System("lightfm", scorer, "lightfm", fit_s))
    begun = time.perf_counter()
    hybrid = parts.factored(strong, data.people, data.things, PLAIN, seed)
    found.append(System("lightfm_features", Scorer(hybrid), "lightfm", time.perf_counter() - begun))
    begun = time.perf_counter()
    # Orders and times of any unit: only the rank of a deed fades here, unless the unit is seconds.
    settings = settings or Training(half_life_s=0.0, tune_s=tune_s)
    now = float(known.at.max()) if len(known) else 0.0
    ours = train(known, data.people, data.things, now, settings, seed=seed)
    found.append(System("ours", Scorer(ours), "ours", time.perf_counter() - begun))
    return found


def _cosine(strong: Log, fitted: Fitted) -> Any:
    taste = parts.liked(strong.on(fitted.items), fitted.members, 0.0)
    return sequels.cosine(taste, len(fitted.items))


class Members:
    """What is known of members, as serving weighs it, for one system."""

    def __init__(self, one: System, log: Log, data: Data) -> None:
        fitted = one.scorer.fitted
        plain = one.name != "ours"
        # The plain ones know of no rating but good or not.
        log = log.where(log.amount >= 1.0) if plain else log
        half_rank = float(fitted.data["half_rank"])
        self._past = parts.pasts(log, fitted.items, float(fitted.data["half_life_s"]), half_rank)
        self._features = dict(zip(data.people.numbers, data.people.features, strict=True))
        self._one = one

    def scores(self, member: int) -> Any:
        """Of all items."""
        one = self._one
        who = parts.who(
            one.scorer.fitted, member, self._features.get(member, ()), *self._past.of(member)
        )
        return one.scorer.scores(who, one.ranker)


def liked_items(log: Log, rows: Ints) -> Ints:
    """The items among these rows that were liked."""
    return np.unique(log.item[rows[log.amount[rows] >= 1.0]])


def warm(one: System, known: Log, dev: Log, data: Data) -> tuple[Found, list[Ints], float]:
    """Members and items that are both known; the lists; milliseconds of one list, median."""
    members = Members(one, known, data)
    some = np.zeros(len(data.things.ids), np.bool_)
    some[known.item] = True
    past, found, lists, spent = known.by_member(), {}, [], []
    for member, rows in dev.by_member().items():
        if member not in past:
            continue
        allowed = some.copy()
        allowed[known.item[past[member]]] = False
        begun = time.perf_counter()
        scores = members.scores(member)
        lists.append(ranked(scores, allowed))
        spent.append(time.perf_counter() - begun)
        judged = measured(scores, allowed, liked_items(dev, rows))
        if judged is not None:
            found[member] = judged
    return found, lists, float(np.median(spent)) * 1000 if spent else 0.0


@dataclass(frozen=True, slots=True)
class Carved:
    """known: without newcomers and new items; rest: everything of both; newcomers: members;
    new: places of items."""

    known: Log
    rest: Log
    newcomers: Ints
    new: Ints


def carved(data: Data, seed: int) -> Carved:
    """Some members and items are taken out of what is known, besides those only the test has."""
    rng = np.random.default_rng(seed)
    log, train_rows = data.log, ~data.dev
    members, items = np.unique(log.member[train_rows]), np.unique(log.item[train_rows])
    gone = rng.choice(members, int(members.size * COLD_SHARE), replace=False)
    new = rng.choice(items, int(items.size * COLD_SHARE), replace=False)
    newcomers = np.union1d(gone, np.setdiff1d(log.member, members))
    new = np.union1d(new, np.setdiff1d(log.item, items))
    keep = train_rows & ~np.isin(log.member, newcomers) & ~np.isin(log.item, new)
    return Carved(log.where(keep), log.where(~keep), newcomers, new)


def newcomers(one: System, cold: Carved, data: Data) -> tuple[Found, dict[int, dict[int, float]]]:
    """Members who are met for the first time, after each of their first deeds.

    What is to be found is the same however much is known: what they liked after their first ten
    items (of fewer: the last one). Each counts once, with the mean over one to ten known ones; the
    curve has NDCG@10 by what is known, from nothing on, of each.
    """
    some = np.zeros(len(data.things.ids), np.bool_)
    some[cold.known.item] = True
    rest = cold.rest.where(np.isin(cold.rest.member, cold.newcomers) & some[cold.rest.item])
    found: Found = {}
    curve: dict[int, dict[int, float]] = {size: {} for size in range(FIRST + 1)}
    rows_of = rest.by_member()
    sizes = {member: min(FIRST, rows.size - 1) for member, rows in rows_of.items()}
    for size in range(FIRST + 1):
        first = [rows[:size] for member, rows in rows_of.items() if sizes[member] >= size]
        if not first:
            continue
        members = Members(one, rest.where(np.concatenate(first)), data)
        for member, rows in rows_of.items():
            if sizes[member] < max(size, 1):
                continue
            allowed = some.copy()
            allowed[rest.item[rows[:size]]] = False
            wanted = liked_items(rest, rows[sizes[member] :])
            judged = measured(members.scores(member), allowed, wanted)
            if judged is not None:
                curve[size][member] = judged.ndcg
                if size:
                    found[member, size] = judged
    whole: dict[int, list[Measured]] = {}
    for (member, _), judged in found.items():
        whole.setdefault(member, []).append(judged)
    return {m: Measured(*np.mean(many, 0).tolist()) for m, many in whole.items()}, curve


def new_items(one: System, cold: Carved, data: Data) -> Found:
    """Items nobody has seen yet, ranked among each other for members who liked some of them."""
    rest = cold.rest.where(
        np.isin(cold.rest.item, cold.new) & ~np.isin(cold.rest.member, cold.newcomers)
    )
    members = Members(one, cold.known, data)
    allowed = np.zeros(len(data.things.ids), np.bool_)
    allowed[cold.new] = True
    have = set(np.unique(cold.known.member).tolist())
    found: Found = {}
    for member, rows in rest.by_member().items():
        wanted = liked_items(rest, rows)
        if member in have and wanted.size < cold.new.size:
            judged = measured(members.scores(member), allowed, wanted)
            if judged is not None:
                found[member] = judged
    return found


def overhead(known: Log, data: Data, settings: Training, seed: int, rounds: int = 3) -> float:
    """How much longer `model.fit` with its checkpoints takes than LightFM's own `fit`."""
    import tempfile

    members, items = np.unique(known.member), data.things.ids
    taste = parts.liked(known.on(items), members, 0.0).tocoo()
    sides = model.identities(*taste.shape)
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder) / "checkpoint"
        for _ in range(rounds):
            begun = time.perf_counter()
            model.bare(taste, *sides, settings.shape, seed)
            bare.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            model.fit(taste, *sides, settings.shape, seed, checkpoint=mark)
            ours.append(time.perf_counter() - begun)
            mark.unlink(missing_ok=True)
    return min(ours) / min(bare) - 1.0


def _told(found: Found, seed: int) -> dict[str, Any]:
    out: dict[str, Any] = {"n": len(found)}
    for key, field in MEASURES.items():
        one = mean((getattr(judged, field) for judged in found.values()), seed)
        out[key] = one.value
        out.setdefault("ci", {})[key] = [one.low, one.high]
    return out


def _apart(ours: Found, theirs: Found, field: str, seed: int) -> dict[str, float]:
    both = [member for member in ours if member in theirs]
    return _mean(
        difference(
            [getattr(ours[one], field) for one in both],
            [getattr(theirs[one], field) for one in both],
            seed,
        )
    )


def _mean(one: Mean) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high, "n": one.n}


def _plain(found: Any) -> Any:
    """As JSON: what could not be measured is null, the rest has five digits."""
    if isinstance(found, Mapping):
        return {str(key): _plain(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [_plain(value) for value in found]
    if isinstance(found, float):
        return round(found, 5) if math.isfinite(found) else None
    return found


def _table(found: Mapping[str, Mapping[str, Any]]) -> None:
    for name, one in found.items():
        for kind in ("warm", "cold_users", "cold_items"):
            _say(f"\n{name} {kind}\n| system | " + " | ".join(MEASURES) + " | n |")
            _say("|" + "---|" * (len(MEASURES) + 2))
            for system, told in one["systems"].items():
                cells = (
                    f"{told[kind][key]:.3f} ({low:.3f} to {high:.3f})"
                    for key, (low, high) in told[kind]["ci"].items()
                )
                _say(f"| {system} | " + " | ".join(cells) + f" | {told[kind]['n']} |")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
