"""Reads messages as they come: what they sound like and what they are about.

Runs in a process of its own, which keeps the model and the dictionary between calls. Which model
that is, and what operators taught it, is asked of every batch; another one is loaded when it is
another. A model that cannot be loaded is no reason to be deaf: the shipped one reads instead, and
the batch says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from insights.sentiment import ModelFile, Mood, SentimentModel
from insights.topics import plain, terms_of
from knowledge.words import Words

Lessons = Callable[[], Sequence[tuple[str, int]]]
"""(text, label) of what operators taught, oldest first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which model is to read. model, file, sure: as in the configuration, [sentiment]; version:
    another one for every change of what operators taught; taught_in: whose operators, the
    database; words: where the dictionary's cache may lie, "" for nowhere."""

    model: Literal["zhiqun", "snownlp", "own"] = "zhiqun"
    file: str = ""
    sure: float = 0.6
    version: int = 0
    taught_in: str = ""
    words: str = ""


class Reading(NamedTuple):
    """A message. terms: at most 12, in its order."""

    mood: Mood
    terms: list[str]


class Batch(NamedTuple):
    """readings: one for each text. model: the name of the one that read; trouble: why it is not
    the one that was wanted, "" when it is."""

    readings: list[Reading]
    model: str
    trouble: str


@dataclass(slots=True)
class _Kept:
    """What this process has in memory."""

    wanted: Wanted | None = None
    model: SentimentModel | None = None
    trouble: str = ""
    words: Words | None = None
    learned: tuple[str, ...] = ()


_kept = _Kept()


def read(
    texts: Sequence[str], wanted: Wanted, lessons: Lessons, learned: tuple[str, ...] = ()
) -> Batch:
    """Read messages; the first call loads the model and the dictionary, about a second.

    lessons: asked when `wanted` is not what was read with before. learned: words that were found
    in what is said here, `insights/new_words.py`; they are kept together.
    """
    model, trouble = _model(wanted, lessons)
    words = _words(wanted.words, learned)
    readings = [
        Reading(mood, terms_of(words.cut(plain(text)), words.rarity))
        for text, mood in zip(texts, model.judge(texts), strict=True)
    ]
    return Batch(readings, model.name, trouble)


def taught(wanted: Wanted, lessons: Sequence[tuple[str, int]]) -> tuple[SentimentModel, str]:
    """The wanted model with these lessons, and why it is not the one; reads a file."""
    trouble = ""
    try:
        file = Path(wanted.file) if wanted.file else None
        model = SentimentModel.load(wanted.model, file, wanted.sure)
    except ModelFile as error:
        trouble = str(error)
        model = SentimentModel.load(sure=wanted.sure)
    return (model.learn(lessons) if lessons else model), trouble


def _model(wanted: Wanted, lessons: Lessons) -> tuple[SentimentModel, str]:
    if _kept.model is None or _kept.wanted != wanted:
        _kept.model, _kept.trouble = taught(wanted, lessons() if wanted.version else ())
        _kept.wanted = wanted
    return _kept.model, _kept.trouble


def _words(folder: str, learned: tuple[str, ...]) -> Words:
    if _kept.words is None:
        words = Words()
        words.load(Path(folder) if folder else None)
        _kept.words, _kept.learned = words, ()
    if _kept.learned != learned:
        _kept.words.add_words(learned)
        _kept.learned = learned
    return _kept.words
