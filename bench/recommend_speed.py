"""How fast lists are made, and what a large model weighs: the code that serves, on made-up arrays.

Three parts, each in a process of its own with one thread of linear algebra: the ten best for one
member over many items, without and with filters, variety and chance, and as the bot serves them,
with their reasons; lists for everybody at once; the memory of a model of a million members. Beside
them `LightFM.predict`, asked the same, and a plain argsort of a numpy product. One JSON object on
stdout, progress on stderr.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp

from bench.load import percentile_ms
from bot.rec_picking import Ask, Serving
from handlers.recommending import Wish
from recommender import artefact
from recommender.batch import lists
from recommender.fitted import BANDS, PARTS, Fitted
from recommender.scoring import Scorer, Who
from recommender.shelf import Card, Rules, Shelf
from recommender.top import Chance, best, compose, sink, varied
from store.rec_data import Deed, Holdings, Known, Thing

T = TypeVar("T")

PAST = 20
"""Things that each member did before."""
NEIGHBOURS = 100
GOALS = {"top10_p99_ms": 5.0, "filtered_p99_ms": 15.0, "lists_s": 60.0, "memory_mb": 700.0}
_NOW = 1_795_000_000.0
_SAMPLE = 200
"""Members that the peers are asked about; the rest of their time is worked out from these."""


def made(members: int, items: int, dims: int, features: int = 500) -> Fitted:
    """A model of these sizes: every member has eight features, every item six and neighbours."""
    rng = np.random.default_rng(1)

    def floats(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32) * np.float32(0.3)

    def cells(rows: int, columns: int, each: int) -> sp.csr_matrix:
        at = rng.integers(0, columns, (rows, each), np.int32)
        at.sort(axis=1)
        again = np.zeros(at.shape, bool)
        again[:, 1:] = at[:, 1:] == at[:, :-1]
        starts = np.concatenate([[0], np.cumsum((~again).sum(axis=1))]).astype(np.int32)
        kept = at[~again]
        return sp.csr_matrix((rng.random(len(kept), np.float32), kept, starts), (rows, columns))

    return Fitted(
        members=np.arange(1, members + 1, dtype=np.int64),
        items=tuple(f"item-{at}" for at in range(items)),
        member_vectors=floats(members, dims),
        item_vectors=floats(items, dims),
        item_biases=floats(items),
        member_features=tuple(f"tag:{at}" for at in range(features)),
        member_feature_vectors=floats(features, dims),
        features_of_members=cells(members, features, 8),
        item_features=tuple(f"word:{at}" for at in range(features)),
        item_feature_vectors=floats(features, dims),
        item_feature_biases=floats(features),
        features_of_items=cells(items, features, 6),
        sequel=cells(items, items, NEIGHBOURS),
        alike=cells(items, items, NEIGHBOURS),
        content=cells(items, items, NEIGHBOURS // 2),
        segments=("", *(f"tag:{at}" for at in range(9))),
        popular=rng.random((10, items), np.float32),
        weights=np.ones((len(BANDS) + 1, len(PARTS)), np.float32),
        scale=np.ones(len(PARTS), np.float32),
        data={"normalised": True},
    )


def somebody(rng: random.Random, fitted: Fitted, member: int) -> Who:
    """A member of the model with a past."""
    items = tuple(fitted.items[rng.randrange(len(fitted.items))] for _ in range(PAST))
    return Who(member, (f"tag:{rng.randrange(30)}",), items, tuple([0.5] * PAST))


def shelved(fitted: Fitted) -> Shelf:
    """Cards with everything that filters look at; one item in fifty is new."""
    rng = random.Random(2)
    return Shelf(
        [
            Card(
                item,
                series=f"s{at % 5000}" if at % 3 == 0 else "",
                authors=(f"a{at % 700}",),
                tags=(f"t{at % 90}",),
                requires=(fitted.items[at - 1],) if at % 20 == 1 else (),
                available_from=_NOW + 1 if at % 40 == 0 else 0.0,
                needs_tier="vip" if at % 10 == 0 else "",
                price_cents=rng.randrange(100_000),
                published_at=_NOW - (86_400.0 if at % 50 == 0 else 90 * 86_400.0),
            )
            for at, item in enumerate(fitted.items)
        ]
    )


def offered(fitted: Fitted) -> Serving:
    """The same items as the bot serves them, from the rows of its catalogue."""
    return Serving(
        [
            Thing(
                *(card.id, "course", "课程", "", card.tags, card.authors, "", card.price_cents),
                *(card.series, card.requires, card.needs_tier, card.published_at),
                *(card.available_from, card.available_until, True),
            )
            for card in shelved(fitted).cards
        ],
        (),
        fitted,
        "bench",
    )


def asking(who: Who) -> Ask:
    """One of them asks for ten; their past as the store has it, the last one theirs."""
    past: list[Deed] = [
        (who.member, item, "view", _NOW - 3600.0 * at, None)
        for at, item in reversed(list(enumerate(who.items)))
    ]
    known = Known(
        *(True, who.features, "", past, Holdings(frozenset(who.items[:3]))),
        *(frozenset(), {}),
    )
    wish = Wish(most_cents=60_000)
    return Ask(who.member, b"%d" % who.member, 10, wish, _NOW, known, explore=0.1)


def _timed(run: Callable[[Who], object], people: list[Who]) -> dict[str, float]:
    """Wall time, and that of the processor: on a busy machine they differ."""
    took, worked = [], []
    for who in people:
        begun, began = time.perf_counter(), time.thread_time()
        run(who)
        worked.append(time.thread_time() - began)
        took.append(time.perf_counter() - begun)
    return {
        f"{name}p{at}_ms": round(percentile_ms(values, at / 100), 3)
        for name, values in (("", took), ("cpu_", worked))
        for at in (50, 99)
    }


def top(items: int, dims: int, asked: int) -> dict[str, Any]:
    """The ten best for one member after the other, all warm."""
    fitted = made(2000, items, dims)
    scorer, shelf, rng = Scorer(fitted), shelved(fitted), random.Random(3)
    people = [somebody(rng, fitted, 1 + at % 2000) for at in range(asked)]

    def plain(who: Who) -> object:
        return best(scorer.scores(who), None, 10)

    def filtered(who: Who) -> object:
        rules = Rules(("",), who.items, who.items, 60_000)
        mask = shelf.open(_NOW, rules)
        scores = scorer.scores(who)
        pool = best(scores, mask, 100)
        found = sink(pool, scores[pool], dict.fromkeys(pool[:5].tolist(), 1.5), 10)
        order = np.argsort(-found, kind="stable")
        pool, found = pool[order], found[order]
        new = np.flatnonzero(mask & shelf.new(_NOW, 14 * 86_400.0)).tolist()
        chosen = varied(pool, shelf, 10)
        return compose(pool, found, chosen, new, Chance(0.1), random.Random(who.member), scores)

    serving = offered(fitted)

    def served(who: Who) -> object:
        return serving.picks(asking(who))

    def argsort(who: Who) -> object:
        return np.argsort(-(fitted.item_vectors @ scorer.vector(who) + fitted.item_biases))[:10]

    predict = _predict(fitted)
    for warm in (plain, filtered, served, argsort, predict):
        for who in people[:20]:
            warm(who)
    gc.collect()
    gc.freeze()
    return {
        "items": items,
        "dims": dims,
        "plain": _timed(plain, people),
        "filtered": _timed(filtered, people),
        "served": _timed(served, people),
        "argsort": _timed(argsort, people[:_SAMPLE]),
        "lightfm_predict": _timed(predict, people[:_SAMPLE]),
    }


def _predict(fitted: Fitted) -> Callable[[Who], object]:
    """`LightFM.predict` and an argsort of it: the same vectors, as ids without features."""
    from lightfm import LightFM

    members, items = len(fitted.members), len(fitted.items)
    model = LightFM(no_components=fitted.item_vectors.shape[1])
    # It makes its arrays in a fit; ours take their place.
    model.fit(sp.coo_matrix(([1.0], ([0], [0])), (members, items)), epochs=0)
    model.item_embeddings, model.item_biases = fitted.item_vectors, fitted.item_biases
    model.user_embeddings = np.array(fitted.member_vectors)
    every = np.arange(len(fitted.items), dtype=np.int32)

    def run(who: Who) -> object:
        return np.argsort(-model.predict(who.member - 1, every))[:10]

    return run


def everybody(members: int, items: int, dims: int) -> dict[str, Any]:
    """Lists of sixty for each, what they did left out."""
    fitted = made(members, items, dims)
    rng = random.Random(4)
    people = [somebody(rng, fitted, at) for at in range(1, members + 1)]
    gc.freeze()
    begun, began = time.perf_counter(), time.process_time()
    made_lists = sum(
        len(found) > 0 for _, found in lists(Scorer(fitted), people, gone=lambda who: who.items)
    )
    took, worked = time.perf_counter() - begun, time.process_time() - began
    some = people[:2000]
    begun = time.perf_counter()
    told = sum(1 for _ in lists(Scorer(fitted), some, gone=lambda who: who.items, why=5))
    with_reasons = (time.perf_counter() - begun) / told * members
    predict = _predict(fitted)
    begun = time.perf_counter()
    for who in people[:_SAMPLE]:
        predict(who)
    loop = (time.perf_counter() - begun) / _SAMPLE * members
    return {
        "members": made_lists,
        "items": items,
        "dims": dims,
        "seconds": round(took, 2),
        "cpu_seconds": round(worked, 2),
        "seconds_with_five_reasons_estimated": round(with_reasons, 2),
        "lightfm_predict_loop_s_estimated": round(loop, 2),
        "times_faster_than_loop": round(loop / took, 1),
    }


def written(folder: str, members: int, items: int, dims: int) -> dict[str, Any]:
    """Write the large model; says how long it took."""
    fitted = made(members, items, dims)
    begun = time.perf_counter()
    checksum = artefact.save(fitted, Path(folder) / "model.npz")
    return {"checksum": checksum, "save_s": round(time.perf_counter() - begun, 2)}


def weighed(folder: str, checksum: str) -> dict[str, Any]:
    """Load it twice, as at a change of models, and answer: what that takes at most."""
    before = _memory()
    begun = time.perf_counter()
    old = artefact.load(Path(folder) / "model.npz", checksum)
    took = time.perf_counter() - begun
    scorer, rng = Scorer(old), random.Random(5)
    people = [somebody(rng, old, rng.randrange(1, len(old.members))) for _ in range(2000)]
    for who in people:
        best(scorer.scores(who), None, 10)
    one = _memory()
    new = Scorer(artefact.load(Path(folder) / "model.npz", checksum))
    for who in people:
        best(new.scores(who), None, 10)
    two = _memory()
    return {
        "members": len(old.members),
        "items": len(old.items),
        "dims": old.item_vectors.shape[1],
        "file_mb": round((Path(folder) / "model.npz").stat().st_size / 2**20),
        "load_s": round(took, 2),
        "libraries_mb": before["VmRSS"],
        "peak_mb": one["VmHWM"],
        "own_mb": one["RssAnon"],
        "peak_while_two_are_loaded_mb": two["VmHWM"],
        "own_while_two_are_loaded_mb": two["RssAnon"],
    }


def _memory() -> dict[str, int]:
    """Of this process, in MB: now, at most, and of it what is in no file. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {name: int(found[name].split()[0]) >> 10 for name in ("VmRSS", "VmHWM", "RssAnon")}


def _apart(run: Callable[..., T], *args: object) -> T:
    """In a process of its own, so that nothing of before is in its memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, args)


def run(*, quick: bool, folder: Path, only: str = "") -> dict[str, Any]:
    """All three, or one. quick: a tenth of everything, which proves nothing but that it runs."""
    small = 10 if quick else 1
    found: dict[str, Any] = {"goals": GOALS, "quick": quick}
    ratios = found["ratios"] = {}
    if only in ("", "top"):
        for dims in (32, 64):
            print(f"top ten, {dims} dimensions", file=sys.stderr)
            found[f"top10_{dims}"] = _apart(top, 100_000 // small, dims, 1000 // small)
        one = found["top10_64"]
        ratios |= {
            "top10_p99_to_goal": one["plain"]["p99_ms"] / GOALS["top10_p99_ms"],
            "filtered_p99_to_goal": one["filtered"]["p99_ms"] / GOALS["filtered_p99_ms"],
            "plain_to_argsort": one["plain"]["p50_ms"] / one["argsort"]["p50_ms"],
            "plain_to_lightfm_predict": one["plain"]["p50_ms"] / one["lightfm_predict"]["p50_ms"],
        }
    if only in ("", "lists"):
        print("lists for everybody", file=sys.stderr)
        found["lists"] = _apart(everybody, 100_000 // small, 2000, 64)
        ratios["lists_to_goal"] = found["lists"]["seconds"] / GOALS["lists_s"]
    if only in ("", "memory"):
        print("memory", file=sys.stderr)
        kept = _apart(written, str(folder), 1_000_000 // small, 20_000 // small, 64)
        weight = _apart(weighed, str(folder), kept["checksum"])
        found["memory"] = {**weight, "save_s": kept["save_s"]}
        ratios["memory_to_goal"] = weight["peak_mb"] / GOALS["memory_mb"]
    found["ratios"] = {name: round(value, 3) for name, value in ratios.items()}
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.recommend_speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", choices=("top", "lists", "memory"), default="")
    parser.add_argument("--pretty", action="store_true", help="JSON over several lines")
    asked = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    with tempfile.TemporaryDirectory(prefix="recommend-speed-") as folder:
        found = run(quick=asked.quick, folder=Path(folder), only=asked.only)
    print(json.dumps(found, indent=2 if asked.pretty else None))


if __name__ == "__main__":
    main()
