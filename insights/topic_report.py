"""The report "topic": what is talked about in a place, what rises there, and what it may be about.

Pure. Words of messages are not in it: a row says which messages are its examples ("t:123",
"i:45"), which items and which unanswered questions belong to it ("item:py-101", "gap:12"), and
who shows it looks them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, sqrt

from insights.bursts import LEAST_DAYS, History, Rise, surely
from insights.report import Chart, Figure, Listing, Report, Row, Series
from insights.topics import Message, Rarity, Topic, topics, undenied

FIGURES = frozenset(
    {
        "topic_speakers",
        "topic_messages",
        "topic_people",
        "topic_change",
        "topic_chance",
        "topic_mood",
        "topic_typical",
        "new_word_people",
    }
)
LISTS = frozenset({"topics", "topics_rising", "topics_today", "topics_typical", "new_words"})
CHARTS = frozenset({"topics", "topics_change"})
NOTES = frozenset({"topic_new", "topic_too_young", "topic_none", "topic_nothing_rising"})

MOST = 10
MOST_RISING = 8
EXAMPLES = 3
_OFFERED = 2
_EVERYWHERE = 0.2
"""A word in so many of the items says nothing of which one is meant."""
_TYPICAL = 1.5
"""What a community says so many times as much as others is its own, however common there."""
_IN_CHART = 8
_SAME_SENTENCE = 1e-6
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a topic may be about. ref: "item:py-101" or "gap:12". text: its words, small letters.
    weight: how often a question was asked; 1 of an item."""

    ref: str
    text: str
    weight: int


@dataclass(frozen=True, slots=True)
class Up:
    """How a term stands against its history. people, expected: of the window, counted once a day.

    factor, low, high: nan for what nobody used before. q: see `bursts.Rise`. since, until: the
    window. sure: whether it is said to rise.
    """

    term: str
    people: int
    expected: float
    factor: float
    low: float
    high: float
    q: float
    since: float
    until: float
    sure: bool


@dataclass(frozen=True, slots=True)
class Burst:
    """A topic that rises. terms: those of its terms that do, the surest first. refs: examples."""

    scope: str
    label: str
    up: Up
    terms: tuple[str, ...]
    refs: tuple[str, ...]


def ups(
    history: History, rise: Rise, people: Sequence[float], since: float, until: float, share: float
) -> dict[str, Up]:
    """Each term against its history. share: of what is said to rise, so much may be chance."""
    import numpy as np

    sure = surely(np.asarray(people, np.float64), rise, share)
    return {
        term: Up(
            term,
            int(people[number]),
            float(rise.expected[number]),
            float(rise.factor[number]),
            float(rise.low[number]),
            float(rise.high[number]),
            float(rise.q[number]),
            since,
            until,
            bool(sure[number]),
        )
        for number, term in enumerate(history.terms)
        if people[number] > 0
    }


def surest(*found: Mapping[str, Up]) -> dict[str, Up]:
    """Of each term the window in which it rises most surely; the first where it does in none."""
    best: dict[str, Up] = {}
    for one in found:
        for term, up in one.items():
            known = best.get(term)
            if known is None or (up.sure, -up.q) > (known.sure, -known.q):
                best[term] = up
    return best


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said in a scope in a window, and how its terms stand against their history.

    young: the history is too short for anything to be said to rise.
    """

    scope: str
    messages: Sequence[Message]
    ups: Mapping[str, Up]
    since: float
    until: float
    young: bool = False


def report(
    talk: Talk,
    offers: Sequence[Offer],
    rarity: Rarity,
    now: float,
    words: Sequence[tuple[str, int, float]] = (),
) -> tuple[Report, list[Burst]]:
    """The report of a scope, and what rises there. words: (word, people, when) learned lately."""
    found, rows, rising, bursts = _rows(talk, offers, rarity)
    speakers = len({one.member for one in talk.messages})
    count = len(talk.messages)
    figures = tuple(
        Figure(
            name=name,
            value=value,
            unit="count",
            since=talk.since,
            until=talk.until,
            n=count,
            people=speakers,
        )
        for name, value in (("topic_speakers", speakers), ("topic_messages", count))
    )
    quiet = "topic_too_young" if talk.young else "topic_nothing_rising"
    lists = [
        Listing(name="topics", rows=tuple(rows[:MOST]), note="" if rows else "topic_none"),
        Listing(name="topics_rising", rows=tuple(rising), note="" if rising else quiet),
    ]
    if words:
        lists.append(Listing(name="new_words", rows=tuple(_word(*one, now) for one in words)))
    made = Report(
        kind="topic",
        scope=talk.scope,
        made_at=now,
        figures=figures,
        lists=tuple(lists),
        charts=_charts(found[:_IN_CHART], rows[:_IN_CHART], rising),
        since=talk.since,
        until=talk.until,
    )
    return made, bursts


def today(talk: Talk, offers: Sequence[Offer], rarity: Rarity) -> tuple[Listing, list[Burst]]:
    """The list of what is talked about today, what rises first, and what rises."""
    _, rows, rising, bursts = _rows(talk, offers, rarity)
    labels = {one.label for one in rising}
    rows = [*rising, *(one for one in rows if one.label not in labels)][:MOST_RISING]
    return Listing(name="topics_today", rows=tuple(rows), note="" if rows else "topic_none"), bursts


def with_today(made: Report | None, talk: Talk, listing: Listing, now: float) -> Report:
    """A report whose list of today is this one; its other lists stay as the night left them."""
    if made is None:
        made = Report(kind="topic", scope=talk.scope, made_at=now, since=talk.since, until=now)
    others = tuple(one for one in made.lists if one.name != listing.name)
    return replace(made, lists=(*others, listing))


def typical(
    scope: str,
    messages: Sequence[Message],
    spoken_by: Mapping[str, int],
    speakers: int,
    rarity: Rarity,
    since: float,
    until: float,
    now: float,
) -> Report:
    """What some members talk about more than others do: the report of a community.

    messages: theirs. spoken_by: of each term, how many of all members here used it; speakers: how
    many spoke at all.
    """
    own = len({one.member for one in messages})
    using: dict[str, set[int]] = {}
    for message in messages:
        for term in message.terms:
            using.setdefault(term, set()).add(message.member)
    theirs = {
        term
        for term, members in using.items()
        if len(members) * speakers > _TYPICAL * own * spoken_by.get(term, 0)
    }
    rows = []
    for one in topics(messages, rarity, most=40, always=theirs):
        most = max(one.naming, key=lambda term: spoken_by.get(term, 0))
        mine = len({m.member for m in (messages[n] for n in one.numbers) if most in m.terms})
        rate, others = mine / own, (spoken_by.get(most, 0) + 0.5) / (speakers + 1)
        lift = rate / others
        figure = Figure(
            name="topic_typical",
            value=lift,
            unit="factor",
            of=most,
            since=since,
            until=until,
            numerator=rate,
            denominator=others,
            n=one.turns,
            people=one.people,
        )
        mine_figures = (_people(one, since, until), figure, _mood(one, messages, since, until))
        row = Row(label=one.label, figures=mine_figures, details=_examples(one, messages))
        rows.append((lift > 1, one.people * lift, row))
    rows.sort(key=lambda row: row[:2], reverse=True)
    kept = tuple(row for _, _, row in rows[:MOST])
    return Report(
        kind="topic",
        scope=scope,
        made_at=now,
        since=since,
        until=until,
        lists=(Listing(name="topics_typical", rows=kept, note="" if kept else "topic_none"),),
    )


def _rows(
    talk: Talk, offers: Sequence[Offer], rarity: Rarity
) -> tuple[list[Topic], list[Row], list[Row], list[Burst]]:
    sure = {term: up for term, up in talk.ups.items() if up.sure}
    found = topics(talk.messages, rarity, most=MOST, always=sure)
    rows: list[Row] = []
    rising: list[tuple[float, Row, Burst]] = []
    for one in found:
        up = _up(one, talk.ups)
        figures = [_people(one, talk.since, talk.until)]
        if up is not None:
            figures.append(_change(one, up))
        figures.append(_mood(one, talk.messages, talk.since, talk.until))
        examples = _examples(one, talk.messages)
        details = (*examples, *_about(one, offers))
        rows.append(Row(label=one.label, figures=tuple(figures), details=details))
        if up is None or not up.sure:
            continue
        figures.insert(2, _chance(one, up))
        refs = _examples(one, talk.messages, up) or examples
        row = replace(rows[-1], figures=tuple(figures), details=(*refs, *details[len(examples) :]))
        terms = sorted((term for term in one.terms if term in sure), key=lambda t: sure[t].q)
        rising.append((up.q, row, Burst(talk.scope, one.label, up, tuple(terms), refs)))
    rising.sort(key=lambda one: one[0])
    rising = rising[:MOST_RISING]
    return found, rows, [row for _, row, _ in rising], [burst for _, _, burst in rising]


def _up(topic: Topic, known: Mapping[str, Up]) -> Up | None:
    """How a topic stands: as its surest riser, else as the first word of it that has a history."""
    there = [known[term] for term in topic.terms if term in known]
    risers = [one for one in there if one.sure]
    return min(risers, key=lambda one: one.q) if risers else next(iter(there), None)


def _people(topic: Topic, since: float, until: float) -> Figure:
    return Figure(
        name="topic_people",
        value=topic.people,
        unit="count",
        since=since,
        until=until,
        n=topic.turns,
        people=topic.people,
    )


def _change(topic: Topic, up: Up) -> Figure:
    new = isnan(up.factor)
    return Figure(
        name="topic_change",
        value=None if new else up.factor,
        unit="factor",
        of=up.term,
        since=up.since,
        until=up.until,
        numerator=up.people,
        denominator=round(up.expected, 3),
        low=None if new else up.low,
        high=None if new else up.high,
        n=up.people,
        people=topic.people,
        note="topic_new" if new else "",
    )


def _chance(topic: Topic, up: Up) -> Figure:
    return Figure(
        name="topic_chance",
        value=up.q,
        unit="share",
        of=up.term,
        since=up.since,
        until=up.until,
        n=up.people,
        people=topic.people,
    )


def _mood(topic: Topic, messages: Sequence[Message], since: float, until: float) -> Figure:
    """The mean of members' means: who says most is not most of it."""
    moods: dict[int, list[float]] = {}
    for number in topic.numbers:
        moods.setdefault(messages[number].member, []).append(messages[number].mood)
    means = [sum(one) / len(one) for one in moods.values()]
    mean = sum(means) / len(means)
    low = high = None
    if len(means) > 2:
        spread = sqrt(sum((one - mean) ** 2 for one in means) / (len(means) - 1) / len(means))
        # A few who say the same sentence are no certainty.
        if spread > _SAME_SENTENCE:
            low, high = max(mean - 1.96 * spread, -1.0), min(mean + 1.96 * spread, 1.0)
    return Figure(
        name="topic_mood",
        value=mean,
        unit="score",
        since=since,
        until=until,
        low=low,
        high=high,
        n=topic.turns,
        people=topic.people,
    )


def _examples(topic: Topic, messages: Sequence[Message], up: Up | None = None) -> tuple[str, ...]:
    """Messages with most of the naming words, of different members, the newest first.

    up: only messages with its term, of its window.
    """
    fit = [messages[number] for number in topic.numbers]
    if up is not None:
        fit = [one for one in fit if up.term in one.terms and up.since <= one.at < up.until]
    fit.sort(key=lambda one: (len(set(topic.naming) & set(one.terms)), one.at), reverse=True)
    # What says something else first: the same words three times show no more than once.
    first: dict[tuple[str, ...], Message] = {}
    for one in fit:
        first.setdefault(one.terms, one)
    refs: dict[int, str] = {}
    for one in (*first.values(), *fit):
        refs.setdefault(one.member, one.ref)
        if len(refs) == EXAMPLES:
            break
    return tuple(refs.values())


def _about(topic: Topic, offers: Sequence[Offer]) -> list[str]:
    """Items and questions in whose words the topic's stand; at most two of each kind."""
    scores: dict[str, float] = {}
    count = max(len(offers), 1)
    for term in topic.terms:
        bare = undenied(term)
        holding = [one for one in offers if bare in one.text]
        if len(holding) > max(3.0, _EVERYWHERE * count):
            continue
        for one in holding:
            naming = 2.0 if term in topic.naming else 0.5
            scores[one.ref] = scores.get(one.ref, 0.0) + naming + 0.01 * min(one.weight, 99)
    best = sorted((ref for ref in scores if scores[ref] >= 1), key=lambda ref: (-scores[ref], ref))
    kinds = ("item:", "gap:")
    return [ref for kind in kinds for ref in [r for r in best if r.startswith(kind)][:_OFFERED]]


def _word(word: str, people: int, at: float, now: float) -> Row:
    figure = Figure(
        name="new_word_people",
        value=people,
        unit="count",
        since=at - 14 * _DAY_S,
        until=min(at, now),
        n=people,
        people=people,
    )
    return Row(label=word, figures=(figure,))


def _charts(
    found: Sequence[Topic], rows: Sequence[Row], rising: Sequence[Row]
) -> tuple[Chart, ...]:
    charts = []
    if found:
        charts.append(
            Chart(
                name="topics",
                kind="bars",
                unit="count",
                labels=tuple(one.label for one in found),
                series=(
                    Series(
                        name="topic_people",
                        values=tuple(float(one.people) for one in found),
                        n=tuple(one.people for one in found),
                    ),
                ),
            )
        )
    changed: dict[str, Figure] = {}
    for row in (*rising, *rows):
        for figure in row.figures:
            if figure.name == "topic_change" and figure.value is not None:
                changed.setdefault(row.label, figure)
    if changed:
        kept = list(changed.items())[:_IN_CHART]
        charts.append(
            Chart(
                name="topics_change",
                kind="intervals",
                unit="factor",
                labels=tuple(label for label, _ in kept),
                series=(
                    Series(
                        name="topic_change",
                        values=tuple(one.value for _, one in kept),
                        low=tuple(one.low for _, one in kept),
                        high=tuple(one.high for _, one in kept),
                        n=tuple(one.people or 0 for _, one in kept),
                    ),
                ),
            )
        )
    return tuple(charts)


def too_young(history: History | None) -> bool:
    """Whether there are too few days for anything to be said to rise."""
    return history is None or int((history.active[:-1] > 0).sum()) < LEAST_DAYS
