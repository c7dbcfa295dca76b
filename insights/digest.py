"""A day of a group in a few lines: what was talked about, what nobody answered, who helped.

Pure: the turns of a day go in, facts come out; nobody's words are kept that were not said in the
group, and what is shown of them has no numbers, accounts or live links. A digest that invents is
worse than none: a topic needs several people, a question counts as answered as soon as anybody
may have answered it, and an answer is good when somebody thanked for it or quoted it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from insights import replies
from insights.order_reading import masked
from insights.replies import Addressees

LEAST = 5
"""Fewer messages are no day."""

TOPICS = 3
OPEN = 3
BEST = 3

EXAMPLE_CHARS = 30
QUESTION_CHARS = 36
ANSWER_CHARS = 60

_ANSWERED_S = 2 * 3600.0
"""An answer comes within this time, or it belongs to another conversation."""
_YOUNG_S = 600.0
"""A question of the last minutes is not unanswered: nobody had the time."""
_NEXT_S = 300.0
"""The next words within this time may be an answer, whatever they are."""
_LIKELY = 0.4
_COMMON = 0.2
"""A word in so many of the turns says what the group is for, not what the day was about."""
_COMMON_TURNS = 40
_RARE = 8.5
"""Nats: 今天, 大家 and 可以 say less than this."""
_SHORT_ANSWER = 6
_LONGEST = 2000

_ASKS = re.compile(
    r"[?？]\s*$|怎么|怎样|如何|为什么|为啥|什么|多少|多久|几[点号天个]|哪[里儿个些位天]?|能不能|可不可以|有没有"
    r"|是不是|请问|求问|求助|请教|谁知道|有人知道|[吗呢么][\s。.!！~]*$"
)
_THANKS = re.compile(
    "谢谢|感谢|多谢|谢啦|谢了|懂了|明白了|学到了|有用|解决了|搞定了|原来如此|原来是这样|受教|厉害|太好了|好用|3q|thanks|thx",
    re.IGNORECASE,
)
_NOT_THANKS = re.compile("[?？]|没[有用]?|不[太用是谢]|怎么|什么")
LINK = re.compile(
    r"(?:https?|ftp)\S*|www[.．]\S+"
    r"|[\w-]{1,63}(?:[.．][\w-]{1,63}){0,8}[.．](?:com|cn|net|org|top|xyz|vip|io|cc|me)\b\S*",
    re.IGNORECASE | re.ASCII,
)
"""A link is no topic, and neither are its parts. Bounded as names of hosts are: thousands of digits
in a row would be looked through again from each of them."""
NO_TOPIC = re.compile(
    "什么.*|怎[么样].*|如何|为[什何啥].*|为什么|啥.*|多少|多久|几[点号天个时]|哪[里儿个些位天种款家]?|谁.{0,2}|请问|求问|有没有|是不是|能不能"
    r"|可不可以|第[一二三四五六七八九十百\d]+.{0,2}|[一二三四五六七八九十]+[个次条天点题]"
)
"""Words that ask or count say nothing of what was talked about."""
_LETTER = re.compile(r"[\u3400-\u9fffa-z]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Turn:
    """Something said in a group. id: rises with time. who: the member; name: what the group calls
    them, "" for none. quotes: id of the turn it answers, None for none or not told. to_bot: it
    was said to the bot."""

    id: int
    who: int
    name: str
    at: float
    text: str
    quotes: int | None = None
    to_bot: bool = False


@dataclass(frozen=True, slots=True)
class Topic:
    """Something several people talked about. words: one or two; example: a line of theirs, as it
    may be shown."""

    words: tuple[str, ...]
    turns: int
    people: int
    example: str


@dataclass(frozen=True, slots=True)
class Quoted:
    """Somebody's line. text: as it may be shown. count: thanks and quotes it got."""

    who: int
    name: str
    text: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """messages: all that was said, words or not. members: who said it. answers: the bot's."""

    messages: int
    members: int
    newcomers: int = 0
    answers: int = 0


@dataclass(frozen=True, slots=True)
class Day:
    """What a day was. Every part may be empty."""

    counts: Counts
    topics: tuple[Topic, ...] = ()
    open: tuple[Quoted, ...] = ()
    best: tuple[Quoted, ...] = ()


Cut = Callable[[str], Sequence[str]]
"""A text -> the words worth comparing: `knowledge.words.Words.cut`."""

Rarity = Callable[[str], float]
"""A word -> how much it says, in nats: `Words.rarity`."""


_HAN_MARK = re.compile(r"(?<=[\u3400-\u9fff])[,?!;:]")
_WIDE = str.maketrans(",?!;:", "，？！；：")


def shown(text: str, chars: int) -> str:
    """A line as a group may read it: no numbers, accounts or live links, Chinese marks."""
    return _HAN_MARK.sub(lambda found: found[0].translate(_WIDE), masked(text, chars))


def is_question(text: str) -> bool:
    """Whether somebody asks something."""
    return 4 <= len(text) <= 200 and _ASKS.search(text) is not None


def summed(
    turns: Sequence[Turn], counts: Counts, cut: Cut, rarity: Rarity, now: float
) -> Day | None:
    """The day; None when too little was said. turns: oldest first, with words.

    Hundreds of turns take tens of milliseconds: off the event loop.
    """
    if counts.messages < LEAST:
        return None
    people = [one for one in turns if not one.to_bot]
    answers = _answers(people)
    return Day(
        counts,
        topics(people, cut, rarity),
        unanswered(people, answers, now),
        best(people, answers),
    )


def from_rows(
    rows: Sequence[tuple[Any, ...]], counts: Counts, cut: Cut, rarity: Rarity, now: float
) -> Day | None:
    """`summed` of rows with the fields of a Turn, in its order."""
    return summed([Turn(*row) for row in rows], counts, cut, rarity, now)


# Who answers whom


def _answers(turns: Sequence[Turn]) -> Mapping[int, int]:
    """Turn -> the turn it most likely answers, both by id; only where one surely may."""
    window = Addressees()
    by_id = {one.id: one for one in turns}
    last: dict[int, Turn] = {}
    found: dict[int, int] = {}
    for one in turns:
        quoted = by_id.get(one.quotes) if one.quotes is not None else None
        turned = window.add(
            replies.Turn(
                sender=one.who,
                text=one.text,
                at=one.at,
                quotes=quoted.who if quoted is not None else None,
                name=one.name,
            )
        )
        if quoted is not None:
            found[one.id] = quoted.id
        elif turned and turned[0][1] >= _LIKELY:
            before = last.get(turned[0][0]) if isinstance(turned[0][0], int) else None
            if before is not None and one.at - before.at <= _ANSWERED_S:
                found[one.id] = before.id
        last[one.who] = one
    return found


# What was talked about


def topics(turns: Sequence[Turn], cut: Cut, rarity: Rarity) -> tuple[Topic, ...]:
    """What several people talked about, most first; () on a day without any."""
    holding: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(turns):
        words = LINK.sub(" ", one.text[:_LONGEST])
        for word in dict.fromkeys(cut(words)):
            if len(word) > 1 and _LETTER.search(word) and not NO_TOPIC.fullmatch(word):
                holding[word].append(number)
    common = max(_COMMON * len(turns), 3) if len(turns) >= _COMMON_TURNS else len(turns) + 1
    worth = {
        word: _people(turns, numbers) * min(rarity(word), 14.0)
        for word, numbers in holding.items()
        if len(numbers) <= common and rarity(word) >= _RARE and _people(turns, numbers) > 1
    }
    found: list[Topic] = []
    free = set(range(len(turns)))
    while worth and len(found) < TOPICS:
        word = max(worth, key=lambda one: (worth[one], len(one), one))
        del worth[word]
        numbers = [number for number in holding[word] if number in free]
        if _people(turns, numbers) < 2 or len(numbers) < 2:
            continue
        beside = Counter(
            other
            for other in worth
            for number in set(holding[other]) & set(numbers)
            if other not in word and word not in other
        )
        second = [one for one, times in beside.most_common(1) if 2 * times >= len(numbers) > 2]
        free -= set(numbers)
        example = _example([turns[number] for number in numbers])
        found.append(Topic((word, *second), len(numbers), _people(turns, numbers), example))
    return tuple(found)


def _people(turns: Sequence[Turn], numbers: Sequence[int]) -> int:
    return len({turns[number].who for number in numbers})


def _example(turns: Sequence[Turn]) -> str:
    """The line that says most without being long, as it may be shown."""
    said = [(" ".join(LINK.sub(" ", one.text[:_LONGEST]).split()), one.id) for one in turns]
    fit = [one for one in said if 6 <= len(one[0]) <= 2 * EXAMPLE_CHARS] or said
    text, _ = max(fit, key=lambda one: (min(len(one[0]), EXAMPLE_CHARS), one[1]))
    return shown(text, EXAMPLE_CHARS)


# What nobody answered


def unanswered(turns: Sequence[Turn], answers: Mapping[int, int], now: float) -> tuple[Quoted, ...]:
    """Questions that nobody may have answered, newest first; each member's last only."""
    answered = set(answers.values())
    asked: dict[int, Turn] = {}
    for number, one in enumerate(turns):
        if not is_question(one.text) or one.id in answers or one.at > now - _YOUNG_S:
            continue
        if one.id in answered or _settled(turns[number + 1 :], one, answers):
            asked.pop(one.who, None)
            continue
        asked[one.who] = one
    newest = sorted(asked.values(), key=lambda one: -one.id)[:OPEN]
    return tuple(Quoted(one.who, one.name, shown(one.text, QUESTION_CHARS)) for one in newest)


def _settled(after: Sequence[Turn], asked: Turn, answers: Mapping[int, int]) -> bool:
    """Whether who asked was content later, or the very next words were somebody's answer."""
    for number, one in enumerate(after):
        if one.at - asked.at > _ANSWERED_S:
            return False
        if one.who == asked.who:
            if thanks(one.text):
                return True
        elif number == 0 and one.at - asked.at <= _NEXT_S and not is_question(one.text):
            return answers.get(one.id, asked.id) == asked.id
    return False


# Who helped


def thanks(text: str) -> bool:
    """Whether somebody is content with what was said."""
    return len(text) <= 40 and _THANKS.search(text) is not None and not _NOT_THANKS.search(text)


def best(turns: Sequence[Turn], answers: Mapping[int, int]) -> tuple[Quoted, ...]:
    """Answers that somebody thanked for or quoted, most first; one of each member."""
    by_id = {one.id: one for one in turns}
    praise: Counter[int] = Counter()
    for one in turns:
        to = by_id.get(answers.get(one.id, -1))
        if to is None or to.who == one.who:
            continue
        if thanks(one.text):
            good = _substance(turns, to)
            if good is not None:
                praise[good.id] += 2
        elif one.quotes == to.id and not is_question(to.text):
            praise[to.id] += 1
    found: list[Quoted] = []
    seen: set[int] = set()
    for turn_id, count in sorted(praise.items(), key=lambda pair: (-pair[1], -pair[0])):
        one = by_id[turn_id]
        if count < 2 or one.who in seen or is_question(one.text):
            continue
        if len(one.text) < _SHORT_ANSWER or thanks(one.text):
            continue
        seen.add(one.who)
        found.append(Quoted(one.who, one.name, shown(one.text, ANSWER_CHARS), count))
    return tuple(found[:BEST])


def _substance(turns: Sequence[Turn], last: Turn) -> Turn | None:
    """What the thanks are for: the longest of a member's lines just before; None for no answer."""
    lately = [
        one
        for one in turns
        if one.who == last.who
        and one.id <= last.id
        and last.at - one.at <= _NEXT_S
        and not is_question(one.text)
    ]
    return max(lately, key=lambda one: (len(one.text), one.id), default=None)
