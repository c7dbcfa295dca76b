"""Scorer: bands follow the thresholds, confidence follows the evidence."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from knowledge.scorer import SHORT, Band, Evidence, Hit, confidence, decide, needed, rank


@dataclass(frozen=True)
class Likeness:
    """Evidence in steps from nothing to all."""

    share: float

    def evidence(self, same: float = 0.0) -> Evidence:
        s = self.share
        return Evidence(s, s, s, s, s, s, 0.0, s, 0.0, 0.0, same, 8)


def hit(confidence: float, id: str = "a") -> Hit:
    return Hit(id, confidence, confidence, "问题")


@pytest.mark.parametrize(
    ("best", "band", "shown"),
    [(0.9, Band.SURE, 3), (0.5, Band.SURE, 3), (0.3, Band.UNSURE, 3), (0.1, Band.UNKNOWN, 0)],
)
def test_the_band_follows_the_best_hit(best: float, band: Band, shown: int) -> None:
    hits = [hit(best), hit(0.05, "b"), hit(0.04, "c"), hit(0.03, "d")]
    decision = decide(hits, answer_at=0.5, offer_at=0.2)
    assert (decision.band, len(decision.hits)) == (band, shown)


def test_no_hits_are_unknown() -> None:
    assert decide([]).band is Band.UNKNOWN


def test_an_offer_threshold_above_the_answer_threshold_hides_no_answer() -> None:
    assert decide([hit(0.6)], answer_at=0.5, offer_at=0.9).band is Band.SURE


def test_more_likeness_is_more_score_and_more_confidence() -> None:
    steps = [Likeness(n / 10).evidence() for n in range(11)]
    scores = [rank(evidence) for evidence in steps]
    assert scores == sorted(set(scores))
    sure = [confidence(e, score, None) for e, score in zip(steps, scores, strict=True)]
    assert sure == sorted(set(sure))
    assert 0 <= sure[0] < sure[-1] <= 1


def test_a_close_rival_makes_less_sure() -> None:
    evidence = Likeness(0.8).evidence()
    score = rank(evidence)
    alone, far, close = (confidence(evidence, score, r) for r in (None, score - 2, score - 0.1))
    assert alone > far > close


def test_an_equal_text_beats_everything_and_is_sure() -> None:
    equal, alike = Likeness(0.6).evidence(same=1.0), Likeness(1.0).evidence()
    assert rank(equal) > rank(alike)
    assert confidence(equal, rank(equal), rank(equal)) >= 0.99


@pytest.mark.parametrize(
    ("letters", "covered", "telling", "least"),
    [
        (SHORT + 1, 0.0, False, 0.0),
        (SHORT, 0.9, True, 0.0),
        (SHORT, 0.5, True, 0.7),
        (SHORT, 1.0, False, 0.99),
        (0, 0.0, False, 0.99),
    ],
)
def test_a_short_question_needs_a_row_that_has_most_of_it(
    letters: int, covered: float, telling: bool, least: float
) -> None:
    assert needed(letters, covered, telling) == least
