"""LightFM by epochs: the same whether it was stopped or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.model import Factors, Shape, fit, identities

SHAPE = Shape(dims=8, epochs=6)


def taste(seed: int = 1) -> sp.coo_matrix:
    rng = np.random.default_rng(seed)
    return sp.coo_matrix((rng.random((40, 25)) < 0.2).astype(np.float32))


def same(one: Factors, other: Factors) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))


class Killed(Exception):
    """In the middle of a training."""


def kill_after(epoch: int) -> object:
    def told(text: str) -> None:
        if text.startswith(f"epoch {epoch} "):
            raise Killed

    return told


def test_a_seed_gives_the_same_vectors() -> None:
    liked = taste()
    sides = identities(*liked.shape)
    assert same(fit(liked, *sides, SHAPE, 3), fit(liked, *sides, SHAPE, 3))
    assert not same(fit(liked, *sides, SHAPE, 3), fit(liked, *sides, SHAPE, 4))


@pytest.mark.parametrize("epoch", [1, 3, 6])
def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path, epoch: int) -> None:
    liked, mark = taste(), tmp_path / "mark"
    sides = identities(*liked.shape)
    whole = fit(liked, *sides, SHAPE, 3)
    with pytest.raises(Killed):
        fit(liked, *sides, SHAPE, 3, checkpoint=mark, told=kill_after(epoch))  # type: ignore[arg-type]
    heard: list[str] = []
    resumed = fit(liked, *sides, SHAPE, 3, checkpoint=mark, told=heard.append)
    assert same(whole, resumed)
    assert len(heard) < SHAPE.epochs


def test_a_checkpoint_of_other_data_is_not_gone_on_with(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    sides = identities(40, 25)
    fit(taste(1), *sides, SHAPE, 3, checkpoint=mark)
    assert same(fit(taste(2), *sides, SHAPE, 3, checkpoint=mark), fit(taste(2), *sides, SHAPE, 3))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half of it", b"nothing like it"])
def test_a_broken_checkpoint_begins_anew(tmp_path: Path, content: bytes) -> None:
    mark = tmp_path / "mark"
    mark.write_bytes(content)
    sides = identities(40, 25)
    assert same(fit(taste(), *sides, SHAPE, 3, checkpoint=mark), fit(taste(), *sides, SHAPE, 3))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_rate_at_which_every_loss_diverges_is_an_error_and_not_a_model() -> None:
    shape = Shape(dims=8, epochs=3, rate=1e30)
    with pytest.raises(ValueError, match="finite"):
        fit(taste(), *identities(40, 25), shape, 3)


def test_nothing_liked_is_no_vectors() -> None:
    found = fit(sp.coo_matrix((4, 3)), *identities(4, 3), SHAPE, 1)
    assert found.members.shape == (4, 8)
    assert not found.items.any()
