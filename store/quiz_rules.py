"""What a right answer is and what it scores: pure, in whole numbers, the same for everybody.

Used inside the transaction that keeps an answer, and by whoever wants to count again.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Kind = Literal["single", "multiple", "short"]
Outcome = Literal["right", "wrong", "late"]

LETTERS = "ABCDEFGH"
"""What the options are called, in their order."""

DELAY_S = 5.0
"""A message counts as heard so long after WeChat says it was written, at the latest: who
answered while we were down or busy does not pay for it."""

_KEPT = frozenset("#%&@*/\\")
"""Punctuation that tells answers apart: C# is not C."""
_POINT = re.compile(r"(?<=[0-9])\.(?=[0-9])|(?<![0-9a-z])-(?=[0-9])")


@dataclass(frozen=True, slots=True)
class Question:
    """One question. kind: single, multiple or short.

    options: the choices, in the order of LETTERS; () for short. answers: the letters of the
    right choices, or the accepted answers as they were written. points: what a right answer
    scores before the bonus; seconds: how long one may take.
    """

    kind: Kind
    text: str
    options: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    points: int = 10
    seconds: int = 30


def plain(answer: str) -> str:
    """A short answer as it is compared: case, width, blanks and punctuation gone.

    A decimal point and a minus stay, and so do signs that name things (C#, 100%). What holds
    nothing else is compared as it is; "" only for blanks.
    """
    text = unicodedata.normalize("NFKC", answer).casefold()
    kept = {found.start() for found in _POINT.finditer(text)}
    short = "".join(
        char
        for place, char in enumerate(text)
        if place in kept or char in _KEPT or unicodedata.category(char)[0] not in "PZC"
    )
    return short or "".join(text.split())


def is_right(question: Question, given: str) -> bool:
    """Whether this is the answer. given: letters in order ("AC"), or words."""
    if question.kind == "short":
        return plain(given) in {plain(answer) for answer in question.answers}
    return given == "".join(question.answers)


def milliseconds(asked_at: float, written_at: float, now: float) -> int:
    """How long an answer took; 0 when the clocks disagree.

    asked_at, now: by our clock, Unix seconds. written_at: by WeChat's, whole seconds.
    """
    return max(0, round((min(now, written_at + DELAY_S) - asked_at) * 1000))


def score_of(question: Question, speed_bonus: int, took_ms: int) -> int:
    """Points of a right answer: its own, and of the bonus the share of the time that was left.

    speed_bonus: percent of the points that an answer in no time would add. Rounded down.
    """
    limit_ms = question.seconds * 1000
    left_ms = max(0, limit_ms - took_ms)
    return question.points + question.points * speed_bonus * left_ms // (100 * limit_ms)


def judged(question: Question, given: str, speed_bonus: int, took_ms: int) -> tuple[Outcome, int]:
    """What an answer is, and what it scores: nothing when it is wrong or late."""
    if took_ms > question.seconds * 1000:
        return "late", 0
    if not is_right(question, given):
        return "wrong", 0
    return "right", score_of(question, speed_bonus, took_ms)
