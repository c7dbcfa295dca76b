"""Words that no dictionary knows: what a product is called here, cut apart by jieba.

A word is a run of pieces that stand together more often than chance would have them, with
changing neighbours on both sides, used by several people. Pointwise mutual information for the
first and branching entropy for the second, as usual in Chinese word discovery (Jin and
Tanaka-Ishii 2006). At least one piece is a single character: two dictionary words side by side
are a phrase, which `topics.py` finds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log

from insights.topics import LEAST_PEOPLE, plain, terms_of
from knowledge.words import listed

Split = Callable[[str], Sequence[str]]
"""A text -> all its words in order, stop words too: `Words.split(Words.clean(text))`."""

MOST = 40
"""New words at once."""

_LEAST = 5
"""Times that a word must stand somewhere, in different messages."""
_SHORTEST, _LONGEST = 2, 6
_PIECES = 4
_COHESION = 4.5
"""Nats by which the pieces of a word attract each other, at its weakest seam."""
_ONLY_TOGETHER = 0.8
"""The same as a share of the most there could be: enough for a word that many messages have."""
_ENTROPY = 1.0
"""Nats of the neighbours on its more monotonous side; the end of a message is one of its own."""
_PART = 0.6
"""A word that stands mostly inside a longer one is a part of it."""
_RUN = re.compile(r"[\u3400-\u9fff]+|[^\u3400-\u9fff]+")
_HAN = re.compile(r"[\u3400-\u9fff]+")
_LOOSE = frozenset(
    "的地得了着过吗呢啊呀嘛吧么哦噢喔哈哇啦嘞咯哟哎唉诶嗯额呃呐哩我咱你您他她它们请问谢是就都也又再才还把被让使将对从到在"
    "于以之为而但若则与和跟同或及且并因所然那这哪谁啥几多少个些种次点下上里外中内前后左右来去说看想要会能可应该须得肯敢没不别未"
    "非无有太很好真挺蛮超更最比较极特老总只仅光刚正已曾常每各某另全整一二两三四五六七八九十百千万第等吃喝买卖给用做弄搞发收拿打"
    "走跑坐站听讲读写学教玩找换加减开关起完成变叫喊当作像如今明昨天日月年号时分秒早晚间快慢大高低长短贵便宜新旧难易怎何"
)
"""Characters that stand beside anything: no word begins or ends with one of them alone."""
_DENIES = ("还没", "还不", "没有", "从没", "从不")
_COUNTS = frozenset("一二两俩三四五六七八九十百千万半几")
_STOP = frozenset(listed("stopwords.txt"))
_OTHER = "\x00"


@dataclass(frozen=True, slots=True)
class NewWord:
    """A word that was found. count: messages with it; cohesion: nats; entropy: nats."""

    word: str
    people: int
    count: int
    cohesion: float
    entropy: float


def new_words(
    said: Iterable[tuple[int, str]], split: Split, known: Callable[[str], bool]
) -> list[NewWord]:
    """Unknown words of (member, text), most people first, at most 40; [] for none.

    known: whether a dictionary has it. What a member repeats word for word counts once. Some
    60,000 messages take about two seconds: for a process of its own.
    """
    lines, who = _lines(said, split)
    counts = _frequent(lines)
    total = sum(count for run, count in counts.items() if len(run) == 1)
    good: dict[tuple[str, ...], tuple[float, int]] = {}
    for run, count in counts.items():
        word = "".join(run)
        if len(run) > 1 and _may_be(run, word) and not known(word):
            cohesion = _cohesion(run, counts, total)
            most = log(total / count)
            if cohesion >= _COHESION or cohesion >= _ONLY_TOGETHER * most > 0:
                good[run] = (cohesion, count)
    found = []
    for run, (left, right, people) in _around(lines, who, good).items():
        entropy = min(_entropy(left), _entropy(right))
        word = "".join(run)
        if entropy >= _ENTROPY and len(people) >= LEAST_PEOPLE and terms_of([word]):
            cohesion, count = good[run]
            found.append(NewWord(word, len(people), count, cohesion, entropy))
    found.sort(key=lambda one: (-one.people, -one.count, one.word))
    whole: list[NewWord] = []
    for one in sorted(found, key=lambda one: -len(one.word)):
        if not any(
            one.word in other.word and other.count >= _PART * one.count for other in whole
        ) and not any(other.word == one.word for other in whole):
            whole.append(one)
    kept = {one.word for one in whole}
    return [one for one in found if one.word in kept][:MOST]


def _lines(said: Iterable[tuple[int, str]], split: Split) -> tuple[list[list[str]], list[int]]:
    """The pieces of each message, runs of other letters as one; and who said it."""
    lines: list[list[str]] = []
    who: list[int] = []
    seen: set[tuple[int, str]] = set()
    for member, text in said:
        if (member, text) in seen:
            continue
        seen.add((member, text))
        pieces: list[str] = []
        for run in _RUN.findall(plain(text)):
            if _HAN.match(run):
                pieces += split(run)
            else:
                pieces.append(_OTHER)
        if len(pieces) > 1:
            lines.append(pieces)
            who.append(member)
    return lines, who


def _frequent(lines: Sequence[Sequence[str]]) -> dict[tuple[str, ...], int]:
    """Runs of up to four pieces that stand in enough places, and how many.

    A run can only be frequent when what it begins with is: so each length is counted among what
    the one before has left.
    """
    singles = Counter(piece for line in lines for piece in line)
    counts: dict[tuple[str, ...], int] = {(piece,): count for piece, count in singles.items()}
    often = {run for run, count in counts.items() if count >= _LEAST and run[0] != _OTHER}
    for length in range(2, _PIECES + 1):
        fresh: Counter[tuple[str, ...]] = Counter()
        for line in lines:
            for at in range(len(line) - length + 1):
                run = tuple(line[at : at + length])
                if run[:-1] in often and run[1:] in often:
                    fresh[run] += 1
        kept = {
            run: count
            for run, count in fresh.items()
            if count >= _LEAST and len("".join(run)) <= _LONGEST
        }
        counts |= kept
        often = set(kept)
    return counts


def _may_be(run: Sequence[str], word: str) -> bool:
    return (
        _SHORTEST <= len(word) <= _LONGEST
        and any(len(piece) == 1 for piece in run)
        and run[0] not in _LOOSE
        and not word.startswith(_DENIES)
        and run[-1] not in _LOOSE
        and word[0] not in _COUNTS
        and _STOP.isdisjoint(run)
    )


def _cohesion(run: tuple[str, ...], counts: dict[tuple[str, ...], int], total: int) -> float:
    """Mutual information at the weakest seam, with one occurrence taken off for luck."""
    seams = (counts[run[:at]] * counts[run[at:]] for at in range(1, len(run)))
    return min(log((counts[run] - 1) * total / seam) for seam in seams)


def _around(
    lines: Sequence[Sequence[str]], who: Sequence[int], good: Iterable[tuple[str, ...]]
) -> dict[tuple[str, ...], tuple[Counter[str], Counter[str], set[int]]]:
    """Of each run: its neighbours on both sides, and the people who used it."""
    wanted = set(good)
    lengths = sorted({len(run) for run in wanted})
    found: dict[tuple[str, ...], tuple[Counter[str], Counter[str], set[int]]] = defaultdict(
        lambda: (Counter(), Counter(), set())
    )
    for number, line in enumerate(lines):
        for length in lengths:
            for at in range(len(line) - length + 1):
                run = tuple(line[at : at + length])
                if run in wanted:
                    left, right, people = found[run]
                    # The end of a message is another neighbour each time.
                    left[line[at - 1] if at else f"{_OTHER}{number}"] += 1
                    end = at + length
                    right[line[end] if end < len(line) else f"{_OTHER}{number}"] += 1
                    people.add(who[number])
    return found


def _entropy(neighbours: Counter[str]) -> float:
    total = sum(neighbours.values())
    return -sum(count / total * log(count / total) for count in neighbours.values())
