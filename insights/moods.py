"""When the mood turns: of a member, of a topic, of a group, each against its own past.

One question three times: are so many negative messages among so many more than this one's past
would have? Days differ more than chance alone makes them, and so do people, so the past is a
beta distribution of the share of negative messages, not one number, and the answer is the tail of
the beta-binomial that follows from it (Skellam 1948). Groups are looked at several times a day:
each look has its part of the day's error (Bonferroni), so that looking often finds nothing by
itself. Of many topics those are told that pass Benjamini and Hochberg's step-up together.

A message that no model wants to judge counts as one that is not negative: mostly it is a plain one,
and where only the sure ones counted, most of a usual day would be negative.

The constants keep the false alarms of a quiet bot with a few groups below one in a month; the
tests simulate that month and print what planted drops are found. Wrong labels do no harm as such:
the past holds the same wrong labels. Nothing here knows a store or who anybody is.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["member_angry", "topic_negative", "mood_drop"]

DAYS = 28
"""Days of the past that today is held against."""

MEMBER_ALPHA = 1e-3
"""A day's error over all members' hours in which so much was said that it could be anger: each has
its part of it (Bonferroni), so that a large bot raises no more false alarms than a small one."""
MEMBER_HOURS = 20
"""So many of these hours are taken for granted: in the morning there was none yet."""
MEMBER_WINDOW_S = 3600.0
MEMBER_LEAST = 4
"""Negative messages below which nobody is called angry."""
MEMBER_MOST = 12
"""Messages of a window that count, the newest."""
STRENGTH = 15.0
"""Messages that what is usual for everyone is worth beside a member's own past."""
RECORD = 200.0
"""A member's own past is worth at most so many messages: people have days, too."""

GROUP_ALPHA = 1e-3
"""A day's error for one group."""
LOOKS = ((0.25, 0.1), (0.5, 0.2), (0.75, 0.2), (1.0, 0.3), (1.5, 0.1), (2.0, 0.1))
"""(messages of the day, in usual days; the part of the day's error that this look may use)."""
GROUP_LEAST = 20
"""Messages below which no group is judged."""
GROUP_DAYS = 7
"""Days of the past with messages that a group needs."""

TOPIC_RATE = 1e-3
"""False discovery rate over the topics of a day."""
TOPIC_LEAST, TOPIC_NEGATIVE = 10, 5
"""Messages of a topic, and negative ones, below which it is not looked at."""
TOPIC_PAST, TOPIC_DAYS = 30, 4
"""Messages and days of the past that a topic needs."""
TOPICS = 3
"""Topics that one day tells of."""

PEOPLE = 3
"""Different negative members: fewer are themselves, not a group or a topic."""
EXAMPLES = 6
"""Messages that are kept with what was found; some of them may be gone when it is told."""

_RHO, _RHO_DAYS = 0.01, 5.0
"""How much days differ before anything is known, and how many days that is worth."""
_RHO_LEAST, _RHO_MOST = 0.002, 0.5
_ALONE = 0.01
"""Most probability that remains without the most negative member."""


class Message(Protocol):
    """A message that was read. label: -1, 0 or 1, None for unsure; negative: how probable; source,
    row_id: which it is."""

    @property
    def source(self) -> str: ...
    @property
    def row_id(self) -> int: ...
    @property
    def place(self) -> str: ...
    @property
    def member_id(self) -> int: ...
    @property
    def at(self) -> float: ...
    @property
    def label(self) -> int | None: ...
    @property
    def negative(self) -> float: ...
    @property
    def terms(self) -> tuple[str, ...]: ...


Day = tuple[int, int]
"""(messages, negative ones among them) of one day."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is usual: the share of negative messages of a day is Beta(a, b).

    days: how many days it is known from; daily: messages of a usual one of them.
    """

    a: float
    b: float
    days: int
    daily: float

    @property
    def share(self) -> float:
        """The usual share of negative messages, 0 to 1."""
        return self.a / (self.a + self.b)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The past of everything. day: of Shanghai, which it is the past of. share: of negative
    messages among all. Places and terms that are too little known are not in it."""

    day: int
    share: float = 0.1
    places: Mapping[str, Past] = field(default_factory=dict)
    terms: Mapping[str, Past] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A mood that turned. at: when it showed. n: messages, negative: among them; usual:
    the share that is usual, 0 to 1; p: the probability of as many by the past; people: who were
    negative; rows: which messages to show, worst first, no two of one member before all have one.
    """

    kind: Kind
    at: float
    n: int
    negative: int
    usual: float
    p: float
    people: int
    place: str = ""
    member_id: int | None = None
    topic: str = ""
    rows: tuple[tuple[str, int], ...] = ()


# What is usual


def past(days: Sequence[Day]) -> Past | None:
    """What is usual after these days; None where nothing was said.

    How much days differ is estimated from the variance between them (the analysis of variance
    estimator of the correlation within a day, Ridout, Demétrio and Firth 1999), drawn towards
    what is common while they are few. That the share itself is only estimated makes the
    distribution wider still.
    """
    days = [one for one in days if one[0] > 0]
    n = sum(one[0] for one in days)
    if not n:
        return None
    negative = sum(one[1] for one in days)
    share = (negative + 0.5) / (n + 1.0)
    count = len(days)
    rho = _RHO
    if count > 1 and n > count:
        between = sum(m * (k / m - negative / n) ** 2 for m, k in days) / (count - 1)
        within = sum(k * (m - k) / m for m, k in days) / (n - count)
        size = (n - sum(m * m for m, _ in days) / n) / (count - 1)
        spread = between + (size - 1.0) * within
        if spread > 0.0:
            seen = (between - within) / spread
            rho = (seen * (count - 1) + _RHO * _RHO_DAYS) / (count - 1 + _RHO_DAYS)
    rho = min(max(rho, _RHO_LEAST), _RHO_MOST)
    # The share is uncertain, too: by its own variance between so many days.
    doubt = rho / count + (1.0 - rho) / n
    rho = min(rho + doubt, _RHO_MOST)
    worth = 1.0 / rho - 1.0
    return Past(share * worth, (1.0 - share) * worth, count, n / count)


def baseline(
    day: int, places: Mapping[str, Sequence[Day]], terms: Mapping[str, Sequence[Day]]
) -> Baseline:
    """What is usual everywhere. places, terms: their days before `day`, in any order."""
    known: dict[str, Past] = {}
    said = negative = 0
    for place, days in places.items():
        said += sum(n for n, _ in days)
        negative += sum(k for _, k in days)
        found = past(days)
        if found is not None and found.days >= GROUP_DAYS:
            known[place] = found
    spoken: dict[str, Past] = {}
    for term, days in terms.items():
        if len(days) >= TOPIC_DAYS and sum(n for n, _ in days) >= TOPIC_PAST:
            found = past(days)
            if found is not None:
                spoken[term] = found
    # A bot that starts knows of no mood: one in ten is what most groups have.
    return Baseline(day, (negative + 1.0) / (said + 10.0), known, spoken)


def tail(k: int, n: int, a: float, b: float) -> float:
    """Probability of k or more of n, each with a share that is Beta(a, b); 1.0 for k <= 0."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    term = math.exp(
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + math.lgamma(k + a) + math.lgamma(n - k + b) - math.lgamma(n + a + b)
        + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    )  # fmt: skip
    total = term
    for j in range(k, n):
        term *= (n - j) * (j + a) / ((j + 1) * (n - j - 1 + b))
        total += term
        if term < total * 1e-9:
            break
    return min(total, 1.0)


# Members


def busy_hours(messages: Iterable[Message]) -> int:
    """Members' hours, none of which overlap, in which they wrote enough to be looked at.

    messages: in the order of time.
    """
    begin: dict[int, float] = {}
    count: Counter[int] = Counter()
    found = 0
    for one in messages:
        if one.at - begin.get(one.member_id, -math.inf) > MEMBER_WINDOW_S:
            begin[one.member_id], count[one.member_id] = one.at, 0
        count[one.member_id] += 1
        found += count[one.member_id] == MEMBER_LEAST
    return found


def angry(
    messages: Sequence[Message], records: Mapping[int, Day], everyone: float, hours: int = 0
) -> list[Turn]:
    """Members whose messages of an hour are more negative than they ever are; one turn each.

    messages: in the order of time, of hours at most of this day. records: member -> their past
    before that. everyone: the usual share. hours: `busy_hours` of everybody on that day.
    """
    by_member: dict[int, list[Message]] = defaultdict(list)
    for one in messages:
        by_member[one.member_id].append(one)
    found = []
    for member_id, mine in by_member.items():
        if sum(one.label == -1 for one in mine) < MEMBER_LEAST:
            continue
        n, k = records.get(member_id, (0, 0))
        worth = min(1.0, RECORD / n) if n else 1.0
        a = STRENGTH * everyone + worth * k
        b = STRENGTH * (1.0 - everyone) + worth * (n - k)
        turn = _angry(mine, a, b, MEMBER_ALPHA / max(hours, MEMBER_HOURS))
        if turn is not None:
            found.append(turn)
    return found


def _angry(mine: Sequence[Message], a: float, b: float, alpha: float) -> Turn | None:
    for end, last in enumerate(mine):
        if last.label != -1:
            continue
        negative = 0
        for begin in range(end, max(end - MEMBER_MOST, -1), -1):
            if mine[begin].at < last.at - MEMBER_WINDOW_S:
                break
            negative += mine[begin].label == -1
            n = end - begin + 1
            if negative < MEMBER_LEAST or mine[begin].label != -1:
                continue
            p = tail(negative, n, a, b)
            if p <= alpha:
                window = mine[begin : end + 1]
                places = Counter(one.place for one in window)
                return Turn(
                    kind="member_angry",
                    at=last.at,
                    n=n,
                    negative=negative,
                    usual=a / (a + b),
                    p=p,
                    people=1,
                    place=places.most_common(1)[0][0],
                    member_id=last.member_id,
                    rows=_examples(window),
                )
    return None


# Groups


def dropped(messages: Sequence[Message], places: Mapping[str, Past]) -> list[Turn]:
    """Groups whose day is more negative than their days are; one turn each.

    messages: of one day so far, in the order of time.
    """
    by_place: dict[str, list[Message]] = defaultdict(list)
    for one in messages:
        by_place[one.place].append(one)
    found = []
    for place, mine in by_place.items():
        known = places.get(place)
        turn = None if known is None else _dropped(mine, known)
        if turn is not None:
            found.append(turn)
    return found


def _dropped(mine: Sequence[Message], known: Past) -> Turn | None:
    for size, part in LOOKS:
        n = max(GROUP_LEAST, math.ceil(size * known.daily))
        if n > len(mine):
            return None
        seen = mine[:n]
        negative = sum(one.label == -1 for one in seen)
        p = tail(negative, n, known.a, known.b)
        if p <= part * GROUP_ALPHA and _several(seen, known):
            return Turn(
                kind="mood_drop",
                at=seen[-1].at,
                n=n,
                negative=negative,
                usual=known.share,
                p=p,
                people=_people(seen),
                place=seen[-1].place,
                rows=_examples(seen),
            )
    return None


def _people(messages: Iterable[Message]) -> int:
    return len({one.member_id for one in messages if one.label == -1})


def _several(messages: Sequence[Message], known: Past) -> bool:
    """Whether it shows without whoever was most negative, too."""
    by_member = Counter(one.member_id for one in messages if one.label == -1)
    if len(by_member) < PEOPLE:
        return False
    worst = by_member.most_common(1)[0][0]
    rest = [one for one in messages if one.member_id != worst]
    return tail(sum(one.label == -1 for one in rest), len(rest), known.a, known.b) <= _ALONE


# Topics


def turned(messages: Sequence[Message], terms: Mapping[str, Past]) -> list[Turn]:
    """Topics that are spoken of more negatively today than they are; at most TOPICS, worst first.

    messages: of one day so far, in the order of time. Of terms that stand in the same
    messages the clearest is told.
    """
    by_term: dict[str, list[Message]] = defaultdict(list)
    for one in messages:
        for term in one.terms:
            if term in terms:
                by_term[term].append(one)
    # What was looked at counts, also where there is nothing to see.
    tests = sum(len(mine) >= TOPIC_LEAST for mine in by_term.values())
    tested: list[tuple[float, str, int]] = []
    for term, mine in by_term.items():
        if (p_n := _turned(mine, terms[term])) is not None:
            tested.append((p_n[0], term, p_n[1]))
    tested.sort()
    passed = 0
    for rank, (p, _, _) in enumerate(tested, 1):
        if p <= TOPIC_RATE * rank / tests:
            passed = rank
    found: list[Turn] = []
    told: set[tuple[str, int]] = set()
    for p, term, n in tested[:passed]:
        mine = by_term[term][:n]
        negative_rows = {(one.source, one.row_id) for one in mine if one.label == -1}
        if len(found) == TOPICS or 2 * len(negative_rows & told) > len(negative_rows):
            continue
        told |= negative_rows
        places = Counter(one.place for one in mine if one.label == -1)
        place, most = places.most_common(1)[0]
        found.append(
            Turn(
                kind="topic_negative",
                at=mine[-1].at,
                n=len(mine),
                negative=len(negative_rows),
                usual=terms[term].share,
                p=p,
                people=_people(mine),
                place=place if most >= 0.8 * len(negative_rows) else "",
                topic=term,
                rows=_examples(mine),
            )
        )
    return found


def _turned(mine: Sequence[Message], known: Past) -> tuple[float, int] | None:
    """(p, of how many messages) of the clearest look; None where there is nothing to see.

    A topic is looked at whenever it has been spoken of twice as often as at the last look; p has
    paid for all looks before it.
    """
    best = None
    n, looks = TOPIC_LEAST, 1
    while n <= len(mine):
        seen = mine[:n]
        negative = sum(one.label == -1 for one in seen)
        p = tail(negative, n, known.a, known.b) * looks * (looks + 1)
        if negative >= TOPIC_NEGATIVE and (best is None or p < best[0]) and _several(seen, known):
            best = (p, n)
        n, looks = 2 * n, looks + 1
    return best


def _examples(messages: Sequence[Message]) -> tuple[tuple[str, int], ...]:
    """The most negative messages, one of each member before a second of anybody."""
    worst = sorted(
        (one for one in messages if one.label == -1),
        key=lambda one: (-one.negative, -one.at, one.row_id),
    )
    seen: Counter[int] = Counter()
    turn: dict[tuple[str, int], int] = {}
    for one in worst:
        turn[one.source, one.row_id] = seen[one.member_id]
        seen[one.member_id] += 1
    worst.sort(key=lambda one: turn[one.source, one.row_id])
    return tuple((one.source, one.row_id) for one in worst[:EXAMPLES])
