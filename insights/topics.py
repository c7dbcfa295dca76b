"""What is talked about: the terms of a message, and terms that belong together.

A term is a word, or two that stand together, that says what a message is about; a topic is a
handful of terms that stand in the same messages, called by the two or three that say most. Pure:
what was read out of messages goes in. What rises is `bursts.py`, what no dictionary knows
`new_words.py`, the report `topic_report.py`.

What it will not do: meaning. Two words for one thing are one topic only when people use them in
the same messages, or when `synonyms.txt` joins them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from math import log

import numpy as np

from insights.digest import LINK, NO_TOPIC

Rarity = Callable[[str], float]
"""A word -> how much it says, in nats: `knowledge.words.Words.rarity`."""

MOST_TERMS = 12
"""Of one message."""

LEAST_PEOPLE = 3
"""What fewer people speak of is nobody else's topic."""

_KEPT = 300
"""Terms that are looked at for topics: the more, the slower, and nobody reads the last of them."""
_COMMON = 0.3
"""A term of so many of the messages says what the place is for."""
_COMMON_TURNS = 40
_MOST_SAYS = 14.0
"""Nats: a word that no dictionary lists says not more than that it is seldom."""
_TOGETHER = 0.3
"""Normalised mutual information, on average, of terms of one topic."""
_INSEPARABLE = 0.7
_TERMS_OF_TOPIC = 8
_NAMING = 3
_BESIDE = 0.3
"""A word of the name is used by so many of those who use its first."""
_PHRASE_CHARS = 8

_RARE = 8.0
"""Nats: 可以, 问题 and 开始 say less than this of what a message is about."""
_LONGEST_TERM = 20
_LONGEST = 2000
"""Characters of a message that are looked at."""
_MARKS = re.compile(r"\[[\u3400-\u9fffA-Za-z]{1,8}\]|@[^\s@:,，：]{1,40}|/:[:\w,@~\-()*|<>]{1,8}")
"""WeChat's emoticons ([微笑], /::) as old clients send them) and whom a message calls."""
_NO_TERM = re.compile(
    r"[\d.\-_]+[a-z]?|https?|ftp|www|com|cn|html?|.*[._]|.*\d{5}.*|.*_.*"
    r"|[\w.-]+\.(?:com|cn|net|org|top|xyz|vip|io|cc|me)|(?:ha|he|hei|lo|la|o|em|h|6|w)+l?|ok(?:ay)?"
    r"|h[ei]llo|hi|thx|thanks?|yes|no|the|and|you|to|is|it|of|in|for|on|my|me|we"
    r"|[哈呵嘿嘻呜嗯啊哦噢额呃唉哎]+|[一二两三四五六七八九十百千万几多每各半]+[天周月年号点次个位人遍节章课页]?"
)
_SAID_ANYWAY = """
今天 昨天 明天 后天 前天 今晚 昨晚 明晚 今早 早上 上午 中午 下午 傍晚 晚上 半夜 凌晨 平时 最近
刚刚 时候 周一 周二 周三 周四 周五 周六 周日 周末 星期 星期天 礼拜 这周 下周 上周 下个月 上个月
感觉 觉得 收到 好的 好吧 好呀 好滴 明白 懂了 加油 早安 晚安 早上好 晚上好 不好意思 抱歉 拜托
辛苦 辛苦了 谢谢 感谢 多谢 同意 支持 期待 厉害 原来 原来如此 真的 其实 反正 居然 竟然 果然 肯定
好像 似乎 估计 终于 赶紧 赶快 马上 顺便 一起 一样 一点 有点 一直 一定 有人 别人 自己 朋友 东西
事情 地方 样子 意思 办法 喜欢 希望 看看 试试 想想 说说 听听 等等 聊聊 问问 好不好 行不行 对不对
不错 挺好 很好 太好了 好棒 好多 不行 不能 不会 不用 不要 不是 没事 没关系 不知 不知道 没有 还有
只有 所有 任何 另外 而且 或者 虽然 随便 哪里 哪个 谁知 群里 群主 楼上 楼下 本人 小伙伴 宝子 姐妹
家人们 老铁 完全 实在 晚点 再说 一口气 读读 写写 学学 练练 从没
"""
_FILLERS = frozenset(_SAID_ANYWAY.split())
"""What people say whatever they talk about; beside the stop words that no cut has."""
_NOT = {"不": "不", "没": "没", "没有": "没", "未": "没", "不能": "不能"}
"""As a cut has it -> as it stands before the word that it denies."""
_DEGREES = frozenset(["完全", "太", "很", "怎么", "那么", "特别", "非常", "十分", "够", "再"])
"""What may stand between: 不太满意 is 不满意."""


def plain(text: str) -> str:
    """A text without links, emoticons and whom it calls: give this to `Words.cut`.

    Of a long one its beginning, for a cut looks at less.
    """
    return _MARKS.sub(" ", LINK.sub(" ", text[:_LONGEST]))


def terms_of(words: Sequence[str], rarity: Rarity | None = None) -> list[str]:
    """What a message is about: at most 12 different terms, in its order; [] for chatter.

    words: `Words.cut(plain(text))`. rarity: `Words.rarity`; without it common words stay. No
    blanks stand in a term. A word inside a longer one of the same message is left out. A word
    that is denied keeps its 不 or 没: 不满意 is another thing than 满意.
    """
    said: dict[str, None] = {}
    for number, word in enumerate(words):
        if _fits(word) and (not rarity or _says(word, rarity)):
            said[_denied(words, number) + word] = None
    found = list(said)
    if len(found) > 1 and max(map(len, found)) > 2:
        found = [
            word
            for word in found
            if not any(word in other and word != other for other in found if len(other) > 2)
        ]
    return ["_".join(word.split()) for word in found[:MOST_TERMS]]


def _denied(words: Sequence[str], number: int) -> str:
    """The 不 or 没 that stands before a word, "" for none. 满不满意 asks and denies nothing."""
    at = number - 1
    while at >= 0 and words[at] in _DEGREES:
        at -= 1
    if at < 0 or words[number] < "\u3400":
        return ""
    asks = at > 0 and words[number].startswith(words[at - 1])
    return "" if asks else _NOT.get(words[at], "")


def undenied(term: str) -> str:
    """A term without the 不 or 没 that was put before it: what it is about."""
    for word in ("不能", "不", "没"):
        if term.startswith(word) and len(term) >= len(word) + 2:
            return term[len(word) :]
    return term


@lru_cache(maxsize=32_768)
def _fits(word: str) -> bool:
    if not 2 <= len(word) <= _LONGEST_TERM or word in _FILLERS:
        return False
    return not NO_TOPIC.fullmatch(word) and not _NO_TERM.fullmatch(word)


def _says(word: str, rarity: Rarity) -> bool:
    return rarity(word) >= _RARE


@dataclass(frozen=True, slots=True)
class Message:
    """What was read out of a message. mood: P(positive) - P(negative). ref: "t:123" or "i:45"."""

    member: int
    at: float
    mood: float
    ref: str
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """Terms that belong together.

    label: as people read it. naming: the terms of the label; a message is about the topic when
    one of them stands in it. terms: all, the most telling first. numbers: its messages, by their
    place in what was given. weight: people, times how much its first word says.
    """

    label: str
    naming: tuple[str, ...]
    terms: tuple[str, ...]
    people: int
    turns: int
    weight: float
    numbers: tuple[int, ...]


def topics(
    messages: Sequence[Message],
    rarity: Rarity,
    *,
    most: int = 12,
    always: Collection[str] = (),
) -> list[Topic]:
    """What several people talked about, most first; [] for nothing.

    always: terms that are looked at however common they are, and whose topics are given even
    behind the `most` others. 200,000 messages take seconds: for a process of its own.
    """
    spoken = _Spoken(messages, rarity, frozenset(always))
    found = [_topic(spoken, group) for group in _groups(spoken)]
    found.sort(key=lambda one: (-one.weight, one.label))
    return [
        one
        for number, one in enumerate(found)
        if number < most or not spoken.always.isdisjoint(one.terms)
    ]


class _Spoken:
    """Messages, counted: which terms are worth a look, and which stand together."""

    def __init__(self, messages: Sequence[Message], rarity: Rarity, always: frozenset[str]) -> None:
        self.messages = messages
        self.always = always
        holding: dict[str, list[int]] = defaultdict(list)
        for number, one in enumerate(messages):
            for term in one.terms:
                holding[term].append(number)
        people = {
            term: len({messages[number].member for number in numbers})
            for term, numbers in holding.items()
            if len(numbers) >= LEAST_PEOPLE
        }
        common = _COMMON * len(messages) if len(messages) >= _COMMON_TURNS else len(messages)
        weights = {
            term: count * min(rarity(term), _MOST_SAYS)
            for term, count in people.items()
            if count >= LEAST_PEOPLE and (len(holding[term]) <= common or term in always)
        }
        best = sorted(weights, key=lambda term: (-weights[term], term))
        self.terms = [term for number, term in enumerate(best) if number < _KEPT or term in always]
        self.weight = {term: weights[term] for term in self.terms}
        self.people = {term: people[term] for term in self.terms}
        self.holding = {term: holding[term] for term in self.terms}
        self.times: dict[str, int] = defaultdict(int)
        self.pairs: dict[tuple[str, str], int] = defaultdict(int)
        self.before: dict[tuple[str, str], int] = defaultdict(int)
        self.adjacent: dict[tuple[str, str], int] = defaultdict(int)
        self.pair_people: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._count()

    def _count(self) -> None:
        """Who says the same twice says it once."""
        seen: set[tuple[int, tuple[str, ...]]] = set()
        for one in self.messages:
            if (one.member, one.terms) in seen:
                continue
            seen.add((one.member, one.terms))
            kept = [term for term in one.terms if term in self.weight]
            # Counter.update would cost more than the counting.
            for term in kept:
                self.times[term] += 1
            for pair in combinations(kept, 2):
                self.before[pair] += 1
                ordered = pair if pair[0] < pair[1] else (pair[1], pair[0])
                self.pairs[ordered] += 1
                self.pair_people[ordered].add(one.member)
            for pair in pairwise(one.terms):
                if pair in self.before:
                    self.adjacent[pair] += 1
        self.total = len(seen)

    def together(self, one: str, other: str) -> float:
        """Normalised mutual information of two terms, 0 to 1; 0 where luck may have done it."""
        pair = (one, other) if one < other else (other, one)
        count = self.pairs[pair]
        if count < LEAST_PEOPLE or len(self.pair_people[pair]) < 2:
            return 0.0
        # One meeting is taken off: of few messages, some share words by chance.
        count -= 1
        times = self.times[one] + self.times[other]
        # Of what all speak of, meeting is no surprise; but neither ever stands alone.
        always = 2 * count / times if 2 * count >= _INSEPARABLE * times else 0.0
        gain = log(count * self.total / (self.times[one] * self.times[other]))
        return max(min(gain / log(self.total / count), 1.0), always)


def _groups(spoken: _Spoken) -> list[list[str]]:
    """Terms by topic: those are joined first that stand together most (average linkage)."""
    terms = spoken.terms
    place = {term: number for number, term in enumerate(terms)}
    near = np.zeros((len(terms), len(terms)))
    for one, other in spoken.pairs:
        together = spoken.together(one, other)
        near[place[one], place[other]] = near[place[other], place[one]] = together
    groups = [[term] for term in terms]
    while near.size:
        first, second = divmod(int(near.argmax()), len(terms))
        if near[first, second] < _TOGETHER:
            break
        sizes = len(groups[first]), len(groups[second])
        near[first] = (sizes[0] * near[first] + sizes[1] * near[second]) / sum(sizes)
        near[:, first] = near[first]
        near[second], near[:, second], near[first, first] = 0.0, 0.0, 0.0
        groups[first] += groups[second]
        groups[second] = []
    return [group for group in groups if group]


def _topic(spoken: _Spoken, group: Sequence[str]) -> Topic:
    terms = sorted(group, key=lambda term: (-spoken.weight[term], term))[:_TERMS_OF_TOPIC]
    first = terms[0]
    naming = [first]
    for term in terms[1:]:
        near = spoken.together(first, term) > 0
        inside = any(term in other or other in term for other in naming)
        if near and not inside and spoken.people[term] >= _BESIDE * spoken.people[first]:
            naming.append(term)
        if len(naming) == _NAMING:
            break
    named = sorted(
        naming,
        key=lambda term: sum(
            spoken.before[other, term] - spoken.before[term, other]
            for other in naming
            if other != term
        ),
    )
    numbers = sorted({number for term in named for number in spoken.holding[term]})
    people = len({spoken.messages[number].member for number in numbers})
    weight = people * spoken.weight[first] / spoken.people[first]
    return Topic(
        _label(spoken, named),
        tuple(named),
        tuple(terms),
        people,
        len(numbers),
        weight,
        tuple(numbers),
    )


def _label(spoken: _Spoken, naming: Sequence[str]) -> str:
    """The words in the order in which people say them; what stands side by side is a phrase."""
    label = naming[0]
    for one, other in pairwise(naming):
        pair = (one, other) if one < other else (other, one)
        phrase = 2 * spoken.adjacent[one, other] >= spoken.pairs[pair] > 0
        short = len(label.rpartition(" ")[2]) + len(other) <= _PHRASE_CHARS
        han = one[-1] >= "\u3400" and other[0] >= "\u3400"
        label += other if phrase and short and han else f" {other}"
    return label


def fold(
    said: Iterable[tuple[tuple[str, str], int, int, float, Sequence[str]]],
    most: Callable[[str], int],
) -> list[tuple[str, int, str, int, int, float]]:
    """Counts of (scope, day, term): (scope, day, term, turns, people, sum of moods), in order.

    said: (its two scopes, day, member, mood, terms) of each message; none of its terms is "",
    which counts every message. most: of a scope, how many terms of a day are kept, those of the
    most people. A million messages take some ten seconds.
    """
    scopes: dict[str, int] = {}
    known: dict[str, int] = {"": 0}
    token: list[int] = []
    rows = []
    for (one, other), day, member, mood, terms in said:
        token.append(0)
        token += [known.setdefault(term, len(known)) for term in terms]
        first = scopes.setdefault(one, len(scopes))
        second = scopes.setdefault(other, len(scopes))
        rows.append((first, second, day, member, mood, len(terms) + 1))
    if not rows:
        return []
    ones, others, day_of, member_of, mood_of, lengths = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    message = np.repeat(np.arange(len(rows)), lengths)
    both = np.concatenate([message, message])
    scope = np.concatenate([ones[message], others[message]])
    terms_of_all = np.array(token * 2)
    start = day_of.min()
    days = int(day_of.max() - start) + 1
    cell = (scope * days + day_of[both] - start) * len(known) + terms_of_all
    order = np.lexsort((member_of[both], cell))
    cell, member = cell[order], member_of[both][order]
    begins = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
    fresh = np.r_[True, (cell[1:] != cell[:-1]) | (member[1:] != member[:-1])]
    people = np.add.reduceat(fresh.astype(np.int64), begins)
    turns = np.diff(np.r_[begins, len(cell)])
    moods = np.add.reduceat(mood_of[both][order], begins)
    cell = cell[begins]
    group, term = np.divmod(cell, len(known))
    best = np.lexsort((term, -turns, -people, term != 0, group))
    heads = np.flatnonzero(np.r_[True, group[best][1:] != group[best][:-1]])
    rank = np.arange(len(best)) - np.repeat(heads, np.diff(np.r_[heads, len(best)]))
    names, words = list(scopes), list(known)
    limits = np.array([most(name) for name in names])
    kept = best[rank <= limits[group[best] // days]]
    found = [
        (names[g // days], int(start + g % days), words[t], n, p, round(m, 4))
        for g, t, n, p, m in zip(
            group[kept].tolist(),
            term[kept].tolist(),
            turns[kept].tolist(),
            people[kept].tolist(),
            moods[kept].tolist(),
            strict=True,
        )
    ]
    # As the table has them: what is written in order is written fast.
    found.sort(key=lambda row: row[:3])
    return found
