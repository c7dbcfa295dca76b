"""What describes an item to the models: one way for the training and for what is served.

An item that nobody has touched yet is known by this alone, so both sides must say the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

WORD = "word:"
MOST_WORDS = 12
"""Different words of a title and a summary; what follows says less and less."""
_LEAST_CHARS = 2
_MOST_CHARS = 20

Cut = Callable[[str], Iterable[str]]
"""The words of a text that are worth comparing, in order: `Words.cut`."""


class Thing(Protocol):
    """What is needed of an item: `store.rec_data.Thing`."""

    @property
    def title(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def tags(self) -> Sequence[str]: ...
    def features(self, band: Callable[[float], str], /) -> tuple[str, ...]: ...


def features(thing: Thing, cut: Cut) -> tuple[str, ...]:
    """Names such as "tag:写作", "author:…", "level:…", "price:mid", and then "word:爬虫"."""
    from recommender.dataset import price_band

    return thing.features(price_band) + words(thing, cut)


def words(thing: Thing, cut: Cut) -> tuple[str, ...]:
    """The first different words of its title and summary that are no tags of it."""
    known = {tag.lower() for tag in thing.tags}
    found: list[str] = []
    for word in cut(f"{thing.title} {thing.summary}"):
        fits = _LEAST_CHARS <= len(word) <= _MOST_CHARS and not word.isdecimal()
        if fits and word not in known and word not in found:
            found.append(word)
            if len(found) == MOST_WORDS:
                break
    return tuple(WORD + word for word in found)
