"""Looks whether a mood turns, and leaves the reports "mood".

What is usual is worked out once a day, of the 28 days before; then every minute or so today is
held against it (`insights/moods.py`). What turned is a row of `alerts`, with a key of its day, so
that a look that is repeated finds nothing new. Both happen in other processes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple

from insights import mood_report, moods
from insights.mood_report import Word, day_of, first_second
from insights.moods import DAYS, Baseline, Day, Turn
from insights.report import name_of, to_json
from store import Store, alerts, consents, readings
from store.alerts import NewAlert, key_of
from store.insight_reads import reading

T = TypeVar("T")
Args = TypeVarTuple("Args")

AGAIN_DAYS = 3
"""A group or a topic that turned is not told of again before so many days have passed."""
SPENT_DAYS = 4
"""Days on which a group's mood dropped that do not count as usual; more of them are usual."""
_WORDS = 4000
"""Terms of the past that are looked at, the commonest."""
_PLACES = 200
"""Groups that have a report of their own, those where most was said."""


class Crunch(Protocol):
    """Work that takes the processor, in another process: `bot/crunch.py`."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes seconds. Errors: its own; RuntimeError when its process ended."""

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes moments. Errors: likewise."""


class Watch:
    """The job that looks for turns. It keeps what is usual for the day, which any of its
    processes would work out alike."""

    def __init__(self, store: Store, crunch: Crunch, *, opt_in: bool = False) -> None:
        self._store, self._crunch, self._opt_in = store, crunch, opt_in
        self._usual: Baseline | None = None

    async def tick(self, now: float) -> str:
        """Look at today; says how many turns are new, "" for none. Every minute or so.

        Errors: StoreError, and those of `crunch`.
        """
        path, day = self._store.db.path, day_of(now)
        if self._usual is None or self._usual.day != day:
            self._usual = await self._crunch.heavy(usual, path, now)
        found = await self._crunch.quick(look, path, self._usual, self._opt_in, now)
        fresh = 0
        for turn in found:
            fresh += await self._store.alerts.raise_(alert(turn))
        return f"{fresh} moods turned" if fresh else ""


def alert(turn: Turn) -> NewAlert:
    """What is written of a turn: one for each member, group and topic on a day."""
    about = turn.member_id if turn.member_id is not None else turn.topic or turn.place
    return NewAlert(
        key=key_of(turn.kind, day_of(turn.at), about),
        kind=turn.kind,
        at=turn.at,
        place=turn.place,
        member_id=turn.member_id,
        topic=turn.topic,
        data={
            "n": turn.n,
            "negative": turn.negative,
            "usual": round(turn.usual, 4),
            "p": turn.p,
            "people": turn.people,
            "rows": [list(row) for row in turn.rows],
        },
    )


def usual(path: Path, now: float) -> Baseline:
    """In another process: what is usual, of the days before today."""
    today = day_of(now)
    since, until = first_second(today - DAYS), first_second(today)
    places: dict[str, dict[int, Day]] = defaultdict(dict)
    with reading(path) as conn:
        for one in readings.mood_days(conn, since, until):
            said = one.negative + one.neutral + one.positive + one.unsure
            places[one.place][one.day] = (said, one.negative)
        for kind, place, _, _, at in alerts.raised(conn, since):
            if kind == "mood_drop" and len(places[place]) > DAYS - SPENT_DAYS - 1:
                places[place].pop(day_of(at), None)
        terms = _terms(readings.mood_words(conn, since, until))
    return moods.baseline(
        today,
        {place: list(days.values()) for place, days in places.items()},
        {term: list(days.values()) for term, days in terms.items()},
    )


def _terms(words: readings.Words) -> Mapping[str, Mapping[int, Day]]:
    found: dict[str, dict[int, Day]] = defaultdict(dict)
    total: dict[str, int] = defaultdict(int)
    for _, day, _, label, terms in words:
        for term in terms.split():
            n, k = found[term].get(day, (0, 0))
            found[term][day] = (n + 1, k + (label == readings.NEGATIVE))
            total[term] += 1
    kept = [term for term, n in total.items() if n >= moods.TOPIC_PAST]
    kept.sort(key=lambda term: -total[term])
    return {term: found[term] for term in kept[:_WORDS]}


def look(path: Path, known: Baseline, opt_in: bool, now: float) -> list[Turn]:
    """In another process: what turned today and was not told of yet."""
    today = day_of(now)
    midnight = first_second(today)
    with reading(path) as conn:
        messages = readings.messages(conn, midnight, now + 1.0)
        if not messages:
            return []
        suspects = _suspects(messages)
        if suspects:
            suspects -= consents.withheld(conn, consents.PROFILING, opt_in=opt_in)
        records = readings.records(conn, suspects, midnight - DAYS * 86_400.0, midnight)
        raised = alerts.raised(conn, midnight - AGAIN_DAYS * 86_400.0)
    told = {(kind, topic or place) for kind, place, member, topic, _ in raised if member is None}
    met = {member for _, _, member, _, at in raised if member is not None and at >= midnight}
    theirs = [one for one in messages if one.member_id in suspects and one.member_id not in met]
    found = moods.angry(theirs, records, known.share, moods.busy_hours(messages))
    found += [
        turn
        for turn in (
            *moods.dropped(messages, known.places),
            *moods.turned(messages, known.terms),
        )
        if (turn.kind, turn.topic or turn.place) not in told
    ]
    return found


def _suspects(messages: list[readings.Judged]) -> set[int]:
    counts: dict[int, int] = defaultdict(int)
    for one in messages:
        counts[one.member_id] += one.label == readings.NEGATIVE
    return {member for member, negative in counts.items() if negative >= moods.MEMBER_LEAST}


# The report


async def refresh(store: Store, crunch: Crunch, now: float, private: str) -> str:
    """Work out the reports, over all and of each group, and leave them.

    private: what is called what no group heard. Errors: StoreError, and those of `crunch`.
    """
    return await _keep(store, crunch, now, private, False)


async def today(store: Store, crunch: Crunch, now: float, private: str) -> str:
    """Bring up to date the report over all and those of groups where something was said today."""
    return await _keep(store, crunch, now, private, True)


async def _keep(store: Store, crunch: Crunch, now: float, private: str, only_today: bool) -> str:
    titles = {group.place: group.title for group in store.groups.all()} | {"": private}
    made = await crunch.heavy(reports, store.db.path, titles, only_today, now)
    for name, data in made:
        await store.interactions.put_finding(name, data, now)
    return f"{len(made)} mood reports"


def reports(
    path: Path, titles: Mapping[str, str], only_today: bool, now: float
) -> list[tuple[str, str]]:
    """In another process: (name of the finding, the report as JSON), that over all first."""
    day = day_of(now)
    week, month = (first_second(day - n + 1) for n in (mood_report.WEEK, mood_report.TREND))
    earlier = first_second(day - 2 * mood_report.WEEK + 1)
    with reading(path) as conn:
        days = readings.mood_days(conn, month, now + 1.0)
        people = readings.mood_people(conn, week, now + 1.0)
        crowds = mood_report.crowds(
            people,
            readings.mood_people(conn, earlier, week),
            readings.mood_people(conn, first_second(day), now + 1.0),
            readings.mood_members(conn, month, now + 1.0),
        )
        words = _words(readings.mood_words(conn, week, now + 1.0))
    found = [mood_report.build(days, people, words[None], titles, now, crowds)]
    said: Counter[str] = Counter()
    days_of: dict[str, list[readings.MoodDay]] = defaultdict(list)
    people_of: dict[str, list[readings.MoodOf]] = defaultdict(list)
    for member in people:
        people_of[member.place].append(member)
    for one in days:
        days_of[one.place].append(one)
        if one.place and one.day > (day - 1 if only_today else day - mood_report.WEEK):
            said[one.place] += one.negative + one.neutral + one.positive + one.unsure
    for place, _ in said.most_common(_PLACES):
        theirs, terms = (days_of[place], people_of[place]), words.get(place, [])
        found.append(mood_report.build(*theirs, terms, titles, now, crowds, scope=place))
    return [(name_of("mood", one.scope), to_json(one)) for one in found]


def _words(words: readings.Words) -> Mapping[str | None, list[Word]]:
    """Terms of each place, and under None of all."""
    places: dict[str, dict[str, _Used]] = defaultdict(dict)
    for place, _, member, label, terms in words:
        there, negative = places[place], label == readings.NEGATIVE
        for term in terms.split():
            used = there.get(term)
            if used is None:
                used = there[term] = _Used()
            used.n += 1
            used.negative += negative
            used.people.add(member)
    total: dict[str, _Used] = defaultdict(_Used)
    for there in places.values():
        for term, used in there.items():
            all_of = total[term]
            all_of.n += used.n
            all_of.negative += used.negative
            all_of.people |= used.people
    found: dict[str | None, list[Word]] = {None: _listed(total)}
    return found | {place: _listed(there) for place, there in places.items()}


class _Used:
    """How often a term was used, and by whom."""

    __slots__ = ("n", "negative", "people")

    def __init__(self) -> None:
        self.n = self.negative = 0
        self.people: set[int] = set()


def _listed(used: Mapping[str, _Used]) -> list[Word]:
    return [Word(term, one.n, one.negative, len(one.people)) for term, one in used.items()]
