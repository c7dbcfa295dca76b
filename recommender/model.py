"""LightFM, the only place that knows it: fitted epoch by epoch, so that a killed run goes on.

Repeatable with one thread and a seed: a run that went on from its last epoch leaves the same
vectors as one that was never stopped. Source: Kula 2015.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from lightfm import LightFM

from recommender.fitted import Floats

FALLBACKS = ("warp", "bpr", "logistic")
"""When one diverges, the next one: each is less sharp and more stable."""
_SHARE = 0.03
"""Of the time goes into checkpoints at most; of a small model each epoch has one."""
_STATE = tuple(
    f"{side}_{name}"
    for side in ("user", "item")
    for name in (
        "embeddings",
        "embedding_gradients",
        "embedding_momentum",
        "biases",
        "bias_gradients",
        "bias_momentum",
    )
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Settings of the factorisation. rate: the learning rate; user_alpha, item_alpha: L2."""

    dims: int = 32
    epochs: int = 20
    loss: str = "warp"
    rate: float = 0.05
    user_alpha: float = 0.0
    item_alpha: float = 0.0
    max_sampled: int = 30


class Factors(NamedTuple):
    """Vectors of the features, [F, D] and [G, D], biases of the items' [G], and the loss that it
    came to."""

    members: Floats
    items: Floats
    biases: Floats
    loss: str


def fit(
    liked: sp.coo_matrix,
    of_members: sp.csr_matrix,
    of_items: sp.csr_matrix,
    shape: Shape,
    seed: int,
    threads: int = 1,
    checkpoint: Path | None = None,
    told: Callable[[str], None] | None = None,
) -> Factors:
    """Learn from what was liked; a run with the same arguments that was killed goes on.

    liked: [members, items], the weight of each pair, above 0. of_members: [members, F], of_items:
    [items, G]. checkpoint: a file of its own; whoever gave it removes it. told hears
    of each epoch; what it raises stops the run. Nothing liked: vectors of 0.
    """
    if not liked.nnz:
        return Factors(
            np.zeros((of_members.shape[1], shape.dims), np.float32),
            np.zeros((of_items.shape[1], shape.dims), np.float32),
            np.zeros(of_items.shape[1], np.float32),
            shape.loss,
        )
    start = FALLBACKS.index(shape.loss)
    weights = sp.coo_matrix(liked, dtype=np.float32)
    ones = sp.coo_matrix((np.ones_like(weights.data), (weights.row, weights.col)), liked.shape)
    sides = (of_members.astype(np.float32).tocsr(), of_items.astype(np.float32).tocsr())
    for loss in FALLBACKS[start:]:
        model = _model(shape, loss, seed)
        key = _key(weights, *sides, {**asdict(shape), "loss": loss, "seed": seed})
        try:
            _epochs(model, ones, weights, *sides, shape.epochs, threads, checkpoint, key, told)
        except ValueError as error:
            # LightFM's word for vectors that grew beyond all numbers.
            if "finite" not in str(error) or loss == FALLBACKS[-1]:
                raise
            continue
        return Factors(model.user_embeddings, model.item_embeddings, model.item_biases, loss)
    raise AssertionError("the last of the losses returns or raises")


def _epochs(
    model: Any,
    ones: sp.coo_matrix,
    weights: sp.coo_matrix,
    of_members: sp.csr_matrix,
    of_items: sp.csr_matrix,
    epochs: int,
    threads: int,
    checkpoint: Path | None,
    key: str,
    told: Callable[[str], None] | None,
) -> None:
    done = _resumed(model, checkpoint, key) if checkpoint is not None else 0
    spent, wrote = 0.0, 0.0
    for epoch in range(done, epochs):
        begun = time.perf_counter()
        model.fit_partial(
            ones, of_members, of_items, sample_weight=weights, epochs=1, num_threads=threads
        )
        spent += time.perf_counter() - begun
        last = epoch + 1 == epochs
        if checkpoint is not None and (last or wrote <= spent * _SHARE):
            begun = time.perf_counter()
            _keep(model, checkpoint, key, epoch + 1)
            wrote += time.perf_counter() - begun
        if told is not None:
            told(f"epoch {epoch + 1} of {epochs}")


def _key(
    weights: sp.coo_matrix, of_members: sp.csr_matrix, of_items: sp.csr_matrix, what: dict[str, Any]
) -> str:
    """Of all that a run depends on: a checkpoint of another one is not gone on with."""
    told = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    arrays = [weights.row, weights.col, weights.data]
    for side in (of_members, of_items):
        arrays += [side.indptr, side.indices, side.data, np.array(side.shape)]
    for array in arrays:
        told.update(np.ascontiguousarray(array).tobytes())
    return told.hexdigest()


def _keep(model: Any, path: Path, key: str, done: int) -> None:
    state = model.random_state.get_state()
    arrays = {name: getattr(model, name) for name in _STATE}
    partly = path.with_name(path.name + ".part")
    with partly.open("wb") as file:
        np.savez(
            file,
            key=np.array(key),
            done=np.array(done),
            random=state[1],
            place=np.array(state[2:4], np.int64),
            **arrays,
        )
    os.replace(partly, path)


def _resumed(model: Any, path: Path, key: str) -> int:
    """How many epochs are done; 0 when there is no checkpoint, a foreign or a broken one."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["key"]) != key:
                return 0
            found = {name: kept[name] for name in _STATE}
            random, place, done = kept["random"], kept["place"], int(kept["done"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return 0
    for name, array in found.items():
        setattr(model, name, array)
    model.random_state.set_state(("MT19937", random, int(place[0]), int(place[1]), 0.0))
    return done


def identities(members: int, items: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Matrices of features for both sides in which each has only a feature of oneself."""
    return (
        sp.identity(members, dtype=np.float32, format="csr"),
        sp.identity(items, dtype=np.float32, format="csr"),
    )


def bare(
    liked: sp.coo_matrix,
    of_members: sp.csr_matrix,
    of_items: sp.csr_matrix,
    shape: Shape,
    seed: int,
) -> None:
    """The same training by LightFM's own `fit`: what `fit` is measured against."""
    weights = sp.coo_matrix(liked, dtype=np.float32)
    ones = sp.coo_matrix((np.ones_like(weights.data), (weights.row, weights.col)), liked.shape)
    _model(shape, shape.loss, seed).fit(
        ones, of_members, of_items, sample_weight=weights, epochs=shape.epochs
    )


def _model(shape: Shape, loss: str, seed: int) -> Any:
    return LightFM(
        no_components=shape.dims,
        loss=loss,
        learning_rate=shape.rate,
        user_alpha=shape.user_alpha,
        item_alpha=shape.item_alpha,
        max_sampled=shape.max_sampled,
        random_state=seed,
    )
