"""Calibration: how sure is sure enough in this knowledge base, measured on itself.

One threshold does not fit all: where entries lie close together (a bank's hundred questions
about repayment), a question that none of them answers still looks like one of them. No
labels are needed to notice. Each alias, asked while its own row is left out, is a question
that should be answered; each question, asked while its whole entry is left out, is one that
should not. How often the first are right and the second are answered anyway estimates the
precision of answers here, and the threshold rises where that is too low.

Measured on ../shared/data/faq, train part, 7 knowledge bases, 3,711 questions, by
bench/fit_scorer.py: at the default threshold the estimate says 0.51 to 0.58 in the three of
the bank, where the labels call 0.58 to 0.63 of the answers right, 0.87 to 0.90 in the three
open ones (0.91) and 0.80 in the medical one (0.76). Nothing of it is fitted to a domain.

What it is good for is limited, so the rise is small. It takes the bank's precision from 0.60
to 0.63 and costs 0.9 points of all right answers; answered questions of the bank that have no
entry go from 0.22 to 0.18. A precision of 0.80 there would cost half of its right answers.
One higher threshold for all (0.38) costs the same and refuses a little more; this leaves
the other bases as they are. Shifts of the logit fitted on such figures are not shipped: left
out one domain at a time they made the confidence worse (log loss in the bank 0.71 without,
0.73 to 0.93 with them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TypeVar

from knowledge.index import Index
from knowledge.scorer import ANSWER_AT, OFFER_AT

_T = TypeVar("_T")

SAMPLE = 150
"""Questions asked of each sort, at most: together 0.4 s at 50,000 entries."""

TARGET = 0.80
"""Share of the answers that should be right, as the default threshold was fixed."""

SHARE, MOST = 0.2, 0.3
"""How much of the missing precision, in nats, the threshold's logit makes up, and its end."""

_ANSWERABLE = 0.65
"""Share of questions that some entry answers, in the training data."""

# Before anything is asked: what the training data's knowledge bases show together, worth
# this many questions of each sort. It leads where there are no aliases, or few entries.
_WORTH = 20
_RIGHT, _GIVEN, _FOOLED = 0.77, 0.82, 0.25


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds for one knowledge base and what they come from.

    answer_at, offer_at: as in `Knowledge`. precision: estimated share of right answers at
    the default threshold. positives, negatives: self-questions asked.
    """

    answer_at: float = ANSWER_AT
    offer_at: float = OFFER_AT
    precision: float = TARGET
    positives: int = 0
    negatives: int = 0


def calibrate(index: Index) -> Calibration:
    """Measure an index of questions on itself; pure CPU, below a second at any size.

    The index may change meanwhile. Empty: the defaults.
    """
    entries = index.entries()
    aliases = [
        (entry.id, row) for entry in entries if len(entry.questions) > 1 for row in entry.questions
    ]
    right = given = fooled = positives = negatives = 0
    for id, row in _spread(aliases):
        hits = index.without(row, id, row)
        positives += 1
        if hits and hits[0].confidence >= ANSWER_AT:
            given += 1
            right += hits[0].id == id
    for n, entry in enumerate(_spread(entries)):
        if not entry.questions:
            continue
        hits = index.without(entry.questions[n % len(entry.questions)], entry.id)
        negatives += 1
        fooled += bool(hits) and hits[0].confidence >= ANSWER_AT
    precision = _precision(right, given, positives, fooled, negatives)
    lift = min(MOST, SHARE * max(0.0, _logit(TARGET) - _logit(precision)))
    answer_at = 1 / (1 + exp(-_logit(ANSWER_AT) - lift))
    return Calibration(answer_at, OFFER_AT, precision, positives, negatives)


def _precision(right: int, given: int, positives: int, fooled: int, negatives: int) -> float:
    """Estimated share of right answers, if _ANSWERABLE of the questions have one."""
    known, unknown = positives + _WORTH, negatives + _WORTH
    correct = _ANSWERABLE * (right + _RIGHT * _WORTH) / known
    answered = _ANSWERABLE * (given + _GIVEN * _WORTH) / known
    return correct / (answered + (1 - _ANSWERABLE) * (fooled + _FOOLED * _WORTH) / unknown)


def _spread(all: Sequence[_T]) -> Sequence[_T]:
    """At most SAMPLE of them, evenly spaced: the same at each run."""
    step = -(-len(all) // SAMPLE) or 1
    return all[::step]


def _logit(share: float) -> float:
    return log(share / (1 - share))
