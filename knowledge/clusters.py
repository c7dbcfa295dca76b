"""Clusters: short texts that ask the same thing, put together for one answer.

For the operator's list of unanswered questions: a few hundred short texts, no labels, no
number of clusters known. Complete linkage: every two texts of a cluster are alike, so that a
chain of small likenesses never joins what nobody would answer alike. It knows no entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import fsum, log

from knowledge.words import Words

ALIKE = 0.6
"""Likeness from which two texts may stand together. On ../shared/data/faq, train part, all
queries of a knowledge base at once, near misses chosen by hand left out: of the pairs put
together 69 % (medical), 75 % (open), 38 % (bank) were labelled the same; of those labelled
the same 78 %, 92 % and 14 % were put together."""

MAX_SIZE = 32
"""Texts in one cluster, at most: what one operator can look through, and one entry hold."""

_CHARS, _PAIRS, _WORDS, _RAW = 0.4, 0.2, 0.2, 0.2
_WORTH_A_LOOK = 0.35
"""Overlap of characters below which two texts are not compared further. On the same data it
changes no group."""

_Terms = dict[str, float]


class _Text:
    """One text as compared: what it holds of each kind, with its weights."""

    __slots__ = ("chars", "kinds", "sums")

    def __init__(self, kinds: tuple[frozenset[str], ...]) -> None:
        self.kinds = kinds
        self.chars = kinds[0]
        self.sums: tuple[float, ...] = ()


def clusters(
    samples: Sequence[tuple[str, int]],
    words: Words,
    *,
    alike: float = ALIKE,
    most: int = MAX_SIZE,
) -> list[list[int]]:
    """Indices of the samples in groups: most asked first, in a group as well.

    samples: (text, how often it was asked). Every index is in exactly one group; a text like
    no other, or without letters, is a group of one; [] for none. Equal counts keep the order
    given, so that the same list always gives the same groups. Pure CPU: 0.4 s for 1,000
    questions on one topic; run it beside the event loop.
    """
    texts, weights = _taken_apart([text for text, _ in samples], words)
    likeness = _likeness(texts, weights, alike)
    members = [[index] for index in range(len(texts))]
    place = list(range(len(texts)))
    for (one, other), _ in sorted(likeness.items(), key=lambda pair: (-pair[1], pair[0])):
        into, gone = sorted((place[one], place[other]))
        if into == gone or len(members[into]) + len(members[gone]) > most:
            continue
        if all((min(a, b), max(a, b)) in likeness for a in members[into] for b in members[gone]):
            for index in members[gone]:
                place[index] = into
            members[into] += members[gone]
            members[gone] = []
    groups = [sorted(group, key=lambda index: (-samples[index][1], index)) for group in members]
    return sorted(
        (group for group in groups if group),
        key=lambda group: (-sum(samples[index][1] for index in group), group[0]),
    )


def _taken_apart(samples: Sequence[str], words: Words) -> tuple[list[_Text], tuple[_Terms, ...]]:
    """The texts cut, and the weight of every term: rare ones among them say more."""
    texts = []
    counts: tuple[dict[str, int], ...] = ({}, {}, {}, {})
    for sample in samples:
        parts = words.parts(sample)
        pairs = [a + b for a, b in pairwise(parts.units)] or parts.units
        kinds = tuple(map(frozenset, (parts.units, pairs, parts.words, parts.raw)))
        texts.append(_Text(kinds))
        for count, terms in zip(counts, kinds, strict=True):
            for term in terms:
                count[term] = count.get(term, 0) + 1
    total = len(samples) + 0.5
    weights = tuple(
        {term: log(1 + total / (times + 0.5)) for term, times in count.items()} for count in counts
    )
    for word in weights[2]:
        weights[2][word] += 0.5 * max(0.0, words.rarity(word) - 4)
    for text in texts:
        # fsum: a plain sum over a set depends on its order in the last digit.
        text.sums = tuple(
            fsum(map(weight.__getitem__, terms))
            for weight, terms in zip(weights, text.kinds, strict=True)
        )
    return texts, weights


def _likeness(
    texts: Sequence[_Text], weights: tuple[_Terms, ...], alike: float
) -> dict[tuple[int, int], float]:
    """(smaller index, greater index) -> likeness, of the pairs that are alike enough."""
    holding: dict[str, list[int]] = {}
    found: dict[tuple[int, int], float] = {}
    for index, text in enumerate(texts):
        shared: dict[int, float] = {}
        for term in sorted(text.chars):
            weight = weights[0][term]
            before = holding.setdefault(term, [])
            for other in before:
                shared[other] = shared.get(other, 0.0) + weight
            before.append(index)
        for other, weight in shared.items():
            overlap = 2 * weight / (text.sums[0] + texts[other].sums[0])
            if overlap < _WORTH_A_LOOK:
                continue
            score, open_share = _CHARS * overlap, _PAIRS + _WORDS + _RAW
            for kind, share in ((1, _PAIRS), (2, _WORDS), (3, _RAW)):
                if score + open_share < alike:
                    break
                both = text.kinds[kind] & texts[other].kinds[kind]
                if both:
                    inside = fsum(map(weights[kind].__getitem__, both))
                    score += share * 2 * inside / (text.sums[kind] + texts[other].sums[kind])
                open_share -= share
            if score >= alike:
                found[other, index] = score
    return found
