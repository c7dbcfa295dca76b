"""Who answers whom in a group: a small model, one turn at a time.

A turn that names or quotes somebody is mostly theirs. For every other turn the people who
spoke lately are compared: how long ago, whether they asked, whether the two have been talking,
whether they share rare words. "Nobody" is one of the choices, so that a greeting to all, or a
thought said aloud, makes no pair.

The choice is a conditional logit; `python -m bench.replies --fit` finds its weights and measures
them on chats that were left out. They are few and their signs are what one expects: a chat of
another kind, in another language, must not surprise them. What will not be done here: read a
file, look at a clock, or remember more than the last turns.
"""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul

WINDOW = 30
"""So many turns back somebody can be answered."""

MOST = 8
"""So many people are compared, besides those who are named."""

STALE_S = 6 * 3600.0
"""What is older is not answered without a mention or a quote."""

MOST_CHARS = 400
"""So much of a text is looked at."""

_COMMON = 3
_WORDS = 60
_NAMED = 10
_NAMED_AGO = 8
_NAMED_S = 600.0
_LIKELY = 0.3

Who = Hashable

_TYPED = re.compile(r"^@?([^\s@:,，：]{1,40})[:,，：]|@([^\s@:,，：]{1,40})")
_CALLS = re.compile(r"\W*@|[^\s:,，：]{1,40}[:,，：]")
_ASKS = re.compile(
    r"[?？]|[吗呢么]\W*$|怎么|怎样|如何|为什么|为啥|什么|咋|多少|哪|谁|几点|有没有|能不能|可不可以|求助|请教"
    r"|^\W*(?:how|what|where|why|who|when|which|can|could|does|did|is|are|has|any(?:one|body))\b",
    re.IGNORECASE,
)
_GREETS = re.compile(
    r"^\W*(?:(?:hi|hello|hey|hiya|morning|good (?:morning|night|evening)|night|bye|re)\b"
    r"|大家|各位|早上好|早安|早$|晚安|晚上好|你们好|拜拜|再见|新人|哈喽|嗨)",
    re.IGNORECASE,
)
_YIELDS = re.compile(
    r"^\W*(?:(?:ok|okay|yes|yeah|yep|yup|no|nope|nah|thanks?|thx|ty|cool|great|ah+|oh|right|sure"
    r"|true|same|hm+|lol|haha|good|nice|well|sorry|np|heh|hehe)\b"
    r"|好|嗯|是|对|不|没|谢|感谢|收到|明白|懂了|原来|哦|噢|哈|行|可以|确实|同意|辛苦|赞)",
    re.IGNORECASE,
)
_LATIN = re.compile(r"[a-z0-9][a-z0-9_./+-]{2,}")
_HAN = re.compile(r"[\u4e00-\u9fff]{2,}")


@dataclass(frozen=True, slots=True)
class Turn:
    """Something said in a group.

    sender, mentions, quotes: people, by whatever names them. quotes: who wrote the message that
    it quotes, None for none or unknown. at: seconds. everyone: it calls all of them. name: what
    the sender is called there, for those who type it instead of a mention; "" when not told.
    """

    sender: Who
    text: str
    mentions: tuple[Who, ...] = ()
    at: float = 0.0
    quotes: Who | None = None
    everyone: bool = False
    name: str = ""


class _Heard:
    """A turn of the window, with what the next ones ask of it."""

    __slots__ = ("at", "name", "named", "sender", "to", "words")

    def __init__(self, turn: Turn, named: Mapping[Who, float], words: frozenset[str]) -> None:
        self.sender = turn.sender
        self.name = turn.name
        self.at = turn.at
        self.named = named
        self.words = words
        self.to: Mapping[Who, float] = {}


class _Candidate:
    """Somebody who may be answered, as the turns since then show them.

    named_me, to_me: they named or answered the sender since the sender spoke last; to_other:
    their last turn answers somebody else; last_to: the sender's last turn answers them.
    """

    __slots__ = (
        *("ago", "heard", "last_to", "named_me", "seconds"),
        *("to_me", "to_other", "words"),
    )

    def __init__(self, ago: int, seconds: float) -> None:
        self.ago = ago
        self.seconds = seconds
        self.heard = False
        self.named_me = 0.0
        self.to_me = 0.0
        self.to_other = 0.0
        self.last_to = 0.0
        self.words: set[str] = set()


FEATURES = (
    "turns",
    "minutes",
    "named_me",
    "to_me",
    "to_other",
    "last_to",
    "words",
    "named_first",
    "named",
    "yields",
    "going_on",
)
"""What is looked at of somebody who may be answered."""

SILENCES = ("always", "greets", "after_mine", "asks", "newcomer", "names")
"""What is looked at of a turn that may answer nobody."""

WEIGHTS: tuple[float, ...] = (-0.69, -0.6, 0.91, 1.56, -1.26, 0.6, 1.79, 5.03, 2.73, 1.3, 0.64)
"""One for each of `FEATURES`, as `python -m bench.replies --fit` found them; minutes: by hand."""

NOBODY: tuple[float, ...] = (-0.66, 1.58, 0.63, 1.25, 1.33, -0.08)
"""One for each of `SILENCES`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a turn is chosen by: people, their features, shape [people, features], and nobody's."""

    people: tuple[Who, ...]
    features: tuple[tuple[float, ...], ...]
    nobody: tuple[float, ...]


def shares(
    choice: Choice, weights: Sequence[float], nobody: Sequence[float]
) -> list[tuple[Who, float]]:
    """Everybody with their probability, likeliest first; what is missing from 1 is nobody's."""
    scores = [sum(map(mul, row, weights)) for row in choice.features]
    silence = sum(map(mul, choice.nobody, nobody))
    top = max([silence, *scores])
    parts = [math.exp(score - top) for score in scores]
    total = sum(parts) + math.exp(silence - top)
    people = [(who, part / total) for who, part in zip(choice.people, parts, strict=True)]
    people.sort(key=lambda pair: -pair[1])
    return people


class Addressees:
    """The last turns of one group. Each costs the same, however long the group has talked.

    weights, nobody: see `WEIGHTS` and `NOBODY`; others are for the search for better ones.
    """

    def __init__(
        self, weights: Sequence[float] = WEIGHTS, nobody: Sequence[float] = NOBODY
    ) -> None:
        self._turns: deque[_Heard] = deque(maxlen=WINDOW)
        self._weights = weights
        self._nobody = nobody

    def add(self, turn: Turn) -> list[tuple[Who, float]]:
        """Whom the turn answers: people and probabilities, likeliest first; never its sender.

        A quote is certain: its writer, 1.0, and nobody else. [] when nobody else has spoken or is
        named, and when it calls everybody.
        """
        heard, choice = self._look(turn)
        if turn.quotes is not None and turn.quotes != turn.sender:
            found = [(turn.quotes, 1.0)]
        elif turn.everyone and not heard.named:
            found = []
        else:
            found = shares(choice, self._weights, self._nobody) if choice.people else []
        heard.to = dict(found)
        self._turns.append(heard)
        return found

    def look(self, turn: Turn) -> Choice:
        """What the turn would be chosen by; the window stays as it is."""
        return self._look(turn)[1]

    def _look(self, turn: Turn) -> tuple[_Heard, Choice]:
        text = turn.text[:MOST_CHARS]
        heard = _Heard(turn, self._named(turn, text), _words(text))
        return heard, self._choice(turn, text, heard)

    def _named(self, turn: Turn, text: str) -> dict[Who, float]:
        """Who is named: 1.0 for who is called at the start, 0.0 for the rest."""
        found: dict[Who, float] = {}
        names = {heard.name: heard.sender for heard in self._turns if heard.name}
        for match in _TYPED.finditer(text):
            who = names.get(match[1] or match[2])
            if who is not None:
                found.setdefault(who, float(match.start() == 0))
        called = _CALLS.match(text) is not None
        for place, who in enumerate(turn.mentions[:_NAMED]):
            found.setdefault(who, float(called and place == 0))
        found.pop(turn.sender, None)
        return found

    def _choice(self, turn: Turn, text: str, heard: _Heard) -> Choice:
        people, mine = self._candidates(turn, heard)
        users = Counter(word for one in people.values() for word in heard.words & one.words)
        # What several people say says nothing about two of them.
        rare = {word for word, count in users.items() if count < _COMMON}
        yields = float(_YIELDS.search(text) is not None)
        after_mine = float(mine == 0)
        rows = []
        for who, one in people.items():
            named = heard.named.get(who)
            rows.append(
                (
                    math.log1p(one.ago),
                    min(math.log1p(one.seconds / 60.0), 5.0),
                    one.named_me,
                    one.to_me,
                    one.to_other,
                    one.last_to,
                    min(len(rare & one.words), 3) / 3.0 if rare else 0.0,
                    float(named == 1.0),
                    float(named == 0.0),
                    yields * max(one.to_me, one.named_me),
                    after_mine * one.last_to,
                )
            )
        nobody = (
            1.0,
            float(_GREETS.search(text) is not None),
            after_mine,
            float(_ASKS.search(text) is not None),
            float(mine is None),
            float(bool(heard.named)),
        )
        return Choice(tuple(people), tuple(rows), nobody)

    def _candidates(self, turn: Turn, heard: _Heard) -> tuple[dict[Who, _Candidate], int | None]:
        """Who may be answered, and how many turns ago the sender spoke; None: not lately."""
        people: dict[Who, _Candidate] = {}
        mine: int | None = None
        for ago, past in enumerate(reversed(self._turns)):
            seconds = max(turn.at - past.at, 0.0)
            if seconds > STALE_S:
                break
            if past.sender == turn.sender:
                if mine is None:
                    mine = ago
                    for who, weight in past.to.items():
                        if weight > _LIKELY and who not in people:
                            people[who] = _Candidate(ago, seconds)
                        if who in people:
                            people[who].last_to = weight
                continue
            one = people.get(past.sender)
            if one is None:
                if len(people) >= MOST:
                    continue
                one = people[past.sender] = _Candidate(ago, seconds)
            if not one.heard:
                one.heard = True
                one.to_other = sum(w for who, w in past.to.items() if who != turn.sender)
            if mine is None:
                one.named_me = max(one.named_me, float(turn.sender in past.named))
                one.to_me = max(one.to_me, past.to.get(turn.sender, 0.0))
            if len(one.words) < _WORDS:
                one.words |= past.words
        for who in heard.named:
            # Who is named is meant, however long ago they spoke.
            one = people.setdefault(who, _Candidate(WINDOW, STALE_S))
            one.ago = min(one.ago, _NAMED_AGO)
            one.seconds = min(one.seconds, _NAMED_S)
        return people, mine


def _words(text: str) -> frozenset[str]:
    """Words to compare: of letters, and pairs of Han characters."""
    lower = text.lower()
    found = set(_LATIN.findall(lower))
    for run in _HAN.findall(lower):
        found.update(map(str.__add__, run, run[1:]))
    return frozenset(found)
