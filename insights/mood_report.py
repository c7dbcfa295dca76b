"""The report "mood": what messages sounded like this week, where, since when, and about what.

Shares are of the messages that a model or an operator judged; how many it did not want to judge
stands beside them. Messages of one member sound alike, so intervals count members, not messages:
the variance is that of a ratio over members (Cochran 1977), put into Wilson's interval as a number
of messages that would be as uncertain.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from insights.report import Chart, Figure, Listing, Report, Row, Series

WEEK, TREND = 7, 28
"""Days of the figures, days of the chart; today is one of them."""
FEW = 30
"""Judged messages below which a share says little."""
GROUPS, TOPICS, TOPIC_LEAST = 10, 8, 10
"""Rows of the lists; messages of a topic that stands in one."""

FIGURES = frozenset(
    {
        "mood_negative",
        "mood_neutral",
        "mood_positive",
        "mood_unsure",
        "mood_messages",
        "mood_negative_today",
        "mood_positive_today",
    }
)
LISTS = frozenset({"mood_groups", "mood_topics"})
CHARTS = frozenset({"mood_trend"})
NOTES = frozenset({"mood_none", "mood_few"})

_DAY_S, _SHANGHAI_S = 86_400, 28_800
_Z = 1.959963984540054


class Moods(Protocol):
    """How many messages sound like what; unsure: those that were not judged."""

    @property
    def place(self) -> str: ...
    @property
    def negative(self) -> int: ...
    @property
    def neutral(self) -> int: ...
    @property
    def positive(self) -> int: ...
    @property
    def unsure(self) -> int: ...


class OfDay(Moods, Protocol):
    """day: of Shanghai, counted from 1970. people: members with judged messages on it."""

    @property
    def day(self) -> int: ...
    @property
    def people(self) -> int: ...


class OfMember(Moods, Protocol):
    """Moods of a member in a place."""

    @property
    def member_id(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Word:
    """A topic over the week: judged messages, negative ones, different members."""

    term: str
    n: int
    negative: int
    people: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """Of how many members the messages of a place are. beside: of how many those of all places
    with fewer members are together, 0 for the smallest, None for all places."""

    people: int = 0
    beside: int | None = None

    @property
    def least(self) -> int:
        """The fewest members that a figure of the place tells of, when others are subtracted."""
        return min(self.people, self.beside or self.people)


Places = Mapping[str | None, Crowd]
"""By place; None: all places."""


@dataclass(frozen=True, slots=True)
class Crowds:
    """Who is behind the figures: members with judged messages and, of the week, with any.

    Whoever may not see a small group must not get it as the rest either, so this looks at all
    places at once. days: of all places, by day.
    """

    week: Places = field(default_factory=dict)
    week_read: Places = field(default_factory=dict)
    before: Places = field(default_factory=dict)
    before_read: Places = field(default_factory=dict)
    today: Places = field(default_factory=dict)
    days: Mapping[int, int] = field(default_factory=dict)


def crowds(
    week: Sequence[OfMember],
    before: Sequence[OfMember],
    today: Sequence[OfMember],
    days: Mapping[int, int],
) -> Crowds:
    """Who is behind it. days: day -> members with judged messages anywhere."""
    return Crowds(
        week=_places(week, _judged),
        week_read=_places(week, _read),
        before=_places(before, _judged),
        before_read=_places(before, _read),
        today=_places(today, _judged),
        days=days,
    )


def _places(people: Iterable[OfMember], counted: Callable[[Sequence[Moods]], int]) -> Places:
    members: dict[str, set[int]] = defaultdict(set)
    for one in people:
        if counted([one]):
            members[one.place].add(one.member_id)
    found: dict[str | None, Crowd] = {}
    smaller: set[int] = set()
    for place in sorted(members, key=lambda place: (len(members[place]), place)):
        found[place] = Crowd(len(members[place]), len(smaller))
        smaller |= members[place]
    return found | {None: Crowd(len(smaller))}


def first_second(day: int) -> float:
    """When a day of Shanghai begins, Unix seconds."""
    return float(day * _DAY_S - _SHANGHAI_S)


def day_of(at: float) -> int:
    """The day of Shanghai, counted from 1970."""
    return int((at + _SHANGHAI_S) // _DAY_S)


def build(
    days: Sequence[OfDay],
    people: Sequence[OfMember],
    words: Iterable[Word],
    titles: Mapping[str, str],
    now: float,
    crowds: Crowds,
    *,
    scope: str = "",
) -> Report:
    """The report over all places, or of one.

    scope: that place, and only its rows are given; "" for all. days: of the last TREND days up to
    now. people, words: of the last WEEK days. titles: what places are called; "" is what is said
    in private. crowds: of all places, also for the report of one. Nothing read: figures without
    values.
    """
    place = scope or None
    today = day_of(now)
    since = first_second(today - WEEK + 1)
    week = [one for one in days if one.day > today - WEEK]
    earlier = [one for one in days if today - 2 * WEEK < one.day <= today - WEEK]
    note = "" if _judged(week) >= FEW else "mood_few" if _judged(week) else "mood_none"
    of_today = [one for one in days if one.day == today]
    figures = [
        *(
            _share(name, attribute, week, people, earlier, since, now, crowds, place)
            for name, attribute in (
                ("mood_negative", "negative"),
                ("mood_neutral", "neutral"),
                ("mood_positive", "positive"),
            )
        ),
        _unsure(week, earlier, since, now, crowds, place),
        Figure(
            name="mood_messages",
            value=float(_read(week)),
            unit="count",
            n=_read(week),
            people=_of(crowds.week_read, place).people,
            beside=_of(crowds.week_read, place).beside,
            before=float(_read(earlier)) if earlier else None,
            before_people=_of(crowds.before_read, place).least,
            since=since,
            until=now,
        ),
        *(
            _plain(name, attribute, of_today, first_second(today), now, _of(crowds.today, place))
            for name, attribute in (
                ("mood_negative_today", "negative"),
                ("mood_positive_today", "positive"),
            )
        ),
    ]
    return Report(
        kind="mood",
        scope=scope,
        made_at=now,
        since=since,
        until=now,
        figures=tuple(figures),
        lists=_lists(
            Listing(name="mood_groups")
            if scope
            else _groups(week, people, earlier, titles, since, now, crowds),
            _topics(words, since, now),
        ),
        charts=(_trend(days, people, today, _by_day(days) if scope else crowds.days),),
        note=note,
    )


def _of(places: Places, place: str | None) -> Crowd:
    return places.get(place, Crowd(0, None if place is None else 0))


def _by_day(days: Iterable[OfDay]) -> Mapping[int, int]:
    return {one.day: one.people for one in days}


def _sum(moods: Iterable[Moods], attribute: str) -> int:
    return sum(getattr(one, attribute) for one in moods)


def _judged(moods: Iterable[Moods]) -> int:
    return sum(one.negative + one.neutral + one.positive for one in moods)


def _read(moods: Iterable[Moods]) -> int:
    return sum(one.negative + one.neutral + one.positive + one.unsure for one in moods)


# Shares


def _share(
    name: str,
    attribute: str,
    week: Sequence[Moods],
    people: Sequence[OfMember],
    earlier: Sequence[Moods],
    since: float,
    until: float,
    crowds: Crowds,
    place: str | None,
    of: str = "",
) -> Figure:
    n, hits, judged_earlier = _judged(week), _sum(week, attribute), _judged(earlier)
    clusters: dict[int, tuple[int, int]] = {}
    for one in people:
        size, hit = clusters.get(one.member_id, (0, 0))
        size, hit = size + _judged([one]), hit + getattr(one, attribute)
        if size:
            clusters[one.member_id] = (size, hit)
    low, high = interval(hits, n, worth(list(clusters.values())))
    return Figure(
        name=name,
        value=hits / n if n else None,
        unit="share",
        of=of,
        numerator=float(hits),
        denominator=float(n),
        low=low,
        high=high,
        n=n,
        people=_of(crowds.week, place).people,
        beside=_of(crowds.week, place).beside,
        before=_sum(earlier, attribute) / judged_earlier if judged_earlier else None,
        before_people=_of(crowds.before, place).least,
        note="" if n >= FEW else "mood_few" if n else "mood_none",
        since=since,
        until=until,
    )


def _unsure(
    week: Sequence[Moods],
    earlier: Sequence[Moods],
    since: float,
    until: float,
    crowds: Crowds,
    place: str | None,
) -> Figure:
    n, hits = _read(week), _sum(week, "unsure")
    return Figure(
        name="mood_unsure",
        value=hits / n if n else None,
        unit="share",
        numerator=float(hits),
        denominator=float(n),
        n=n,
        people=_of(crowds.week_read, place).people,
        beside=_of(crowds.week_read, place).beside,
        before=_sum(earlier, "unsure") / _read(earlier) if _read(earlier) else None,
        before_people=_of(crowds.before_read, place).least,
        note="" if n else "mood_none",
        since=since,
        until=until,
    )


def _plain(
    name: str, attribute: str, moods: Sequence[Moods], since: float, until: float, crowd: Crowd
) -> Figure:
    """A share without an interval: how many messages are whose is not asked."""
    n, hits = _judged(moods), _sum(moods, attribute)
    return Figure(
        name=name,
        value=hits / n if n else None,
        unit="share",
        numerator=float(hits),
        denominator=float(n),
        n=n,
        people=crowd.people,
        beside=crowd.beside,
        note="" if n >= FEW else "mood_few" if n else "mood_none",
        since=since,
        until=until,
    )


def worth(clusters: Sequence[tuple[int, int]]) -> float:
    """How many messages of as many members would be as uncertain as these, by member.

    clusters: (messages, hits) of each. One member is worth one message; at least that.
    """
    n = sum(size for size, _ in clusters)
    if not n:
        return 0.0
    share = sum(hits for _, hits in clusters) / n
    count = len(clusters)
    if count == 1:
        return 1.0
    variance = sum((hits - share * size) ** 2 for size, hits in clusters)
    variance *= count / (count - 1) / (n * n)
    if variance <= 0.0:
        # All alike, all one mood: what varies is not seen, so members count.
        return float(count)
    return min(max(share * (1.0 - share) / variance, 1.0), float(n))


def interval(hits: int, n: int, messages: float) -> tuple[float | None, float | None]:
    """Wilson's 95 % interval of hits / n, as if they were so many messages; None for none."""
    if not n or messages <= 0.0:
        return None, None
    share = hits / n
    middle = share + _Z * _Z / (2.0 * messages)
    half = _Z * math.sqrt(share * (1.0 - share) / messages + _Z * _Z / (4.0 * messages * messages))
    scale = 1.0 + _Z * _Z / messages
    return max((middle - half) / scale, 0.0), min((middle + half) / scale, 1.0)


# Lists and the chart


def _lists(*lists: Listing) -> tuple[Listing, ...]:
    return tuple(one for one in lists if one.rows)


def _groups(
    week: Sequence[OfDay],
    people: Sequence[OfMember],
    earlier: Sequence[OfDay],
    titles: Mapping[str, str],
    since: float,
    until: float,
    crowds: Crowds,
) -> Listing:
    places = {one.place for one in week}
    rows = []
    for place in places:
        here = [one for one in week if one.place == place]
        if not _judged(here):
            continue
        theirs = [one for one in people if one.place == place]
        before = [one for one in earlier if one.place == place]
        label = titles.get(place, place)
        rows.append(
            Row(
                label=label,
                figures=tuple(
                    _share(
                        name, attribute, here, theirs, before, since, until, crowds, place, label
                    )
                    for name, attribute in (
                        ("mood_negative", "negative"),
                        ("mood_positive", "positive"),
                    )
                ),
            )
        )
    # What is surely negative first: by the lower end, so that three messages lead no list.
    rows.sort(key=lambda row: (-(row.figures[0].low or 0.0), row.label))
    return Listing(name="mood_groups", rows=tuple(rows[:GROUPS]))


def _topics(words: Iterable[Word], since: float, until: float) -> Listing:
    rows = []
    for word in words:
        if word.n < TOPIC_LEAST or not word.negative:
            continue
        # By people: who complains of it ten times is one who complains.
        low, high = interval(word.negative, word.n, float(max(min(word.people, word.n), 1)))
        figure = Figure(
            name="mood_negative",
            value=word.negative / word.n,
            unit="share",
            of=word.term,
            numerator=float(word.negative),
            denominator=float(word.n),
            low=low,
            high=high,
            n=word.n,
            people=word.people,
            note="" if word.n >= FEW else "mood_few",
            since=since,
            until=until,
        )
        rows.append(Row(label=word.term, figures=(figure,)))
    rows.sort(key=lambda row: (-(row.figures[0].low or 0.0), row.label))
    return Listing(name="mood_topics", rows=tuple(rows[:TOPICS]))


def _trend(
    days: Sequence[OfDay], people: Sequence[OfMember], today: int, members: Mapping[int, int]
) -> Chart:
    numbers = range(today - TREND + 1, today + 1)
    by_day = {number: [one for one in days if one.day == number] for number in numbers}
    sizes = tuple(_judged(by_day[number]) for number in numbers)
    series = []
    for name, attribute in (("mood_negative", "negative"), ("mood_positive", "positive")):
        clusters = [(_judged([one]), getattr(one, attribute)) for one in people if _judged([one])]
        messages = sum(size for size, _ in clusters)
        # Whose a day's messages are is not known; the week says how much less than its messages
        # it tells.
        part = worth(clusters) / messages if messages else 1.0
        hits = [_sum(by_day[number], attribute) for number in numbers]
        bands = [interval(k, n, part * n) for k, n in zip(hits, sizes, strict=True)]
        series.append(
            Series(
                name=name,
                values=tuple(k / n if n else None for k, n in zip(hits, sizes, strict=True)),
                low=tuple(low for low, _ in bands),
                high=tuple(high for _, high in bands),
                n=sizes,
                people=tuple(members.get(number, 0) for number in numbers),
            )
        )
    labels = tuple(f"{datetime.fromtimestamp(number * _DAY_S, UTC):%m-%d}" for number in numbers)
    return Chart(name="mood_trend", kind="lines", unit="share", labels=labels, series=tuple(series))
