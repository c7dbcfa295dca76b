"""Scorer: evidence into one score, one calibrated confidence and one of three bands.

Two small linear models. The first orders the rows (fitted on pairs of a right and a wrong
row for the same question), the second says how likely the best one is right (fitted over
all questions, also those that no entry answers). The constants come from
`python -m bench.fit_scorer`; run it again after a change to `Evidence` or to the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log
from typing import NamedTuple


class Evidence(NamedTuple):
    """What speaks for one row; 0 to 1, 1 the most alike, except as said.

    pairs, chars, raw: weighted Dice overlap of neighbouring characters, of characters
    without stop words, of characters as typed. words_covered, chars_covered: how much of
    the question is in the row. length: shorter / longer. negation: 1.0 when only one of
    the two is negated. in_order: Dice share of the longest common subsequence; in a
    topical search the share of the question's neighbouring characters that the row has. first: 1.0
    when both begin with one character. beside: how much more of the question the entry's
    other rows have. same: 1.0 for equal texts. size: characters in the question.
    """

    pairs: float
    chars: float
    raw: float
    words_covered: float
    chars_covered: float
    length: float
    negation: float
    in_order: float
    first: float
    beside: float
    same: float
    size: int


class Hit(NamedTuple):
    """An entry that may be meant.

    score: raw, comparable within one search only. confidence: 0 to 1, the share of such
    hits that were right in the training data. question: the row that matched, as given.
    covered: how much of the question's characters that row has, rare ones weighing more.
    """

    id: str
    score: float
    confidence: float
    question: str
    covered: float = 1.0


class Band(StrEnum):
    """How far to trust a decision: answer, offer choices, or admit not knowing."""

    SURE = "sure"
    UNSURE = "unsure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a question.

    hits: best first, at most three; SURE answers with the first, UNSURE offers them all,
    UNKNOWN has none.
    """

    band: Band
    hits: tuple[Hit, ...] = ()


# Fitted on ../shared/data/faq, train part, by bench/fit_scorer.py: 7 knowledge bases of 3
# domains, 3,711 questions. Left out one domain at a time, the order below was right for
# 83.3 % of the answerable questions (plain mean over domains); without IN_ORDER, FIRST and
# BESIDE for 82.8 %. Tried in the same way and left out, for each gained less than 0.3 points or
# lost some: weights of unmatched rare words, edit distance beside IN_ORDER, n-gram cosine,
# classes of question words, numbers, the entry's second best row and number of rows, words
# whose mismatch the labelled pairs punish, and word vectors from 66,507 unlabelled texts.
PAIRS, CHARS, RAW, WORDS_COVERED, LENGTH, NEGATION = 0.53, 6.32, 3.99, 2.44, 0.84, -0.36
IN_ORDER, FIRST, BESIDE = 2.42, 0.63, 2.09
BASE, BY_SCORE, BY_MARGIN, BY_SIZE = -6.59, 0.4, 0.71, 0.45

ANSWER_AT = 0.339
"""Default confidence to answer: on train 80 % of the answers given above it are right."""

OFFER_AT = 0.111
"""Default confidence to offer choices: on train 2 % of group chatter passes it."""

SHORT = 4
"""Letters of a question that is short: so little leaves much to chance."""

SHORT_ANSWER_AT, _MOST_OF_IT = 0.7, 0.65
"""Confidence that a short question needs when the row has less than this share of it."""

_EQUAL = 10.0
"""Score of an equal text beside the rest. By hand: the training data has no equal texts."""

_FAR = 3.0
"""Margin over the runner-up beyond which more says nothing; also that of a lone hit."""

_SURE_OF_EQUAL = 0.99


def rank(evidence: Evidence) -> float:
    """The row's score; only its order among rows of one question means something."""
    (pairs, chars, raw, words_covered, _, length, negation, in_order, first, beside, same, _) = (
        evidence
    )
    return (
        PAIRS * pairs
        + CHARS * chars
        + RAW * raw
        + WORDS_COVERED * words_covered
        + LENGTH * length
        + NEGATION * negation
        + IN_ORDER * in_order
        + FIRST * first
        + BESIDE * beside
        + _EQUAL * same
    )


def topical(evidence: Evidence) -> float:
    """How well key words are covered, 0 to 1: score and confidence of a catalogue search."""
    covered = 0.5 * evidence.words_covered + 0.4 * evidence.chars_covered
    return min(1.0, covered + 0.1 * evidence.chars)


PASSAGE_AT = 0.5
"""Share of a question's telling words from which a passage is worth showing. By hand, on 8
invented passages: 14 of 26 questions they answer pass it with the right one, 1 with another,
none of 26 lines of chatter; at 0.35 22 questions and 2 lines of chatter."""


def covering(evidence: Evidence) -> float:
    """How much of a question's telling words a passage has, 0 to 1; see PASSAGE_AT."""
    return min(1.0, 0.6 * evidence.words_covered + 0.4 * evidence.in_order)


def margin(score: float, rival: float | None) -> float:
    """How far a score is above the best other entry's, within -3 and 3; None: no other."""
    return _FAR if rival is None else max(-_FAR, min(_FAR, score - rival))


def confidence(evidence: Evidence, score: float, rival: float | None) -> float:
    """How likely the entry is the right one, 0 to 1.

    rival: the best score of another entry, None when there is no other.
    """
    logit = (
        BASE
        + BY_SCORE * (score - _EQUAL * evidence.same)
        + BY_MARGIN * margin(score, rival)
        + BY_SIZE * log(evidence.size)
    )
    sure = 1 / (1 + exp(-logit))
    return max(sure, _SURE_OF_EQUAL) if evidence.same else sure


def needed(letters: int, covered: float, telling: bool) -> float:
    """Confidence that a question needs to be answered, beside the usual one; 0.0 for none.

    letters: of the cleaned question. covered: of the best hit. telling: whether the question
    has a word that is not one of asking. A short one without (什么时候, 可以吗) is answered
    only by its equal.

    Train part of ../shared/data/faq, 104 queries of at most 4 letters: 29 were answered without
    this, 19 of them rightly; it holds back a wrong one. Of 134 invented lines of chatter, asked
    in each of the 7 knowledge bases, 24 were answered, with it 10. Asking for 0.7 whatever the
    row has would hold back 11, 5 of them right.
    """
    if letters > SHORT:
        return 0.0
    if not telling:
        return _SURE_OF_EQUAL
    return SHORT_ANSWER_AT if covered < _MOST_OF_IT else 0.0


def decide(
    hits: Sequence[Hit], answer_at: float = ANSWER_AT, offer_at: float = OFFER_AT
) -> Decision:
    """The band of a ranked list by its best hit's confidence; [] is UNKNOWN."""
    if not hits or hits[0].confidence < min(offer_at, answer_at):
        return Decision(Band.UNKNOWN)
    band = Band.SURE if hits[0].confidence >= answer_at else Band.UNSURE
    return Decision(band, tuple(hits[:3]))
