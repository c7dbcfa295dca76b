"""The weights of the parts are found where the answer is known."""

from __future__ import annotations

import numpy as np

from recommender.blend import Question, learned, ndcg
from recommender.fitted import BANDS

ALL = len(BANDS) + 1


def asked(seed: int, band: int, telling: int, count: int = 60) -> list[Question]:
    """One part tells what is wanted, the others are noise, each on a scale of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        wanted = np.zeros(50, np.bool_)
        wanted[rng.choice(50, 3, replace=False)] = True
        parts = rng.normal(size=(50, 3)) * (1.0, 100.0, 0.01)
        parts[:, telling] += wanted * 3.0 * (1.0, 100.0, 0.01)[telling]
        found.append(Question(parts.astype(np.float32), wanted, band))
    return found


def test_the_part_that_tells_has_the_weight() -> None:
    for telling in range(3):
        weights, _ = learned(asked(1, 2, telling), 3)
        assert (weights.argmax(1) == telling).all()
        assert weights[2, telling] > 0.8


def test_a_band_of_its_own_kind_has_weights_of_its_own() -> None:
    weights, scale = learned([*asked(1, 1, 0, 200), *asked(2, 4, 2, 60)], 3)
    assert weights[1].argmax() == 0
    assert weights[4].argmax() == 2
    fresh = asked(9, 4, 2)
    assert np.mean([ndcg(one, weights, scale) for one in fresh]) > 0.8


def test_few_questions_do_not_turn_a_band() -> None:
    weights, _ = learned([*asked(1, 1, 0, 200), *asked(2, 4, 2, 5)], 3)
    assert np.array_equal(weights[4], weights[0])


def test_nothing_to_learn_from_counts_all_parts_alike() -> None:
    nothing = Question(np.zeros((5, 3), np.float32), np.zeros(5, np.bool_), 0)
    for questions in ([], [nothing], [nothing._replace(wanted=np.ones(5, np.bool_))]):
        weights, scale = learned(questions, 3)
        assert weights.shape == (ALL, 3)
        assert np.allclose(weights, 1 / 3)
        assert (scale > 0).all()


def test_parts_that_are_all_the_same_are_not_perfect() -> None:
    # The second part never tells anything apart: a ranking by it alone would be one tie.
    only = np.array([1, 0, 0], np.float32)
    questions = [one._replace(parts=one.parts * only) for one in asked(1, 1, 0, 40)]
    weights, scale = learned(questions, 3)
    assert weights[1, 0] > 0
    assert (scale > 0).all()


def test_the_weights_are_the_same_every_time() -> None:
    one, other = learned(asked(3, 1, 1), 3), learned(asked(3, 1, 1), 3)
    assert np.array_equal(one[0], other[0])
