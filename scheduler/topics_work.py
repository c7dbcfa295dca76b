"""What `scheduler/topics.py` has done in another process: reads, works out, gives back results.

Nothing is written here. Loaded in the process that works, so its heavy imports are no matter.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from insights.bursts import DAYS, FALSE_SHARE, History, histories, judged_together
from insights.new_words import NewWord, new_words
from insights.report import Report, known, name_of, to_json
from insights.topic_report import (
    Burst,
    Offer,
    Talk,
    Up,
    report,
    surest,
    today,
    too_young,
    typical,
    ups,
    with_today,
)
from insights.topics import Message, Rarity, fold, plain, terms_of
from knowledge.words import Words
from scheduler.packed import Packed
from store import alerts, terms
from store.dialect import Connection
from store.insight_reads import reading
from store.terms import (
    EVERYTHING,
    NEW_WORDS,
    PRIVATE,
    Days,
    Spoken,
    TermDay,
    day_of,
    scopes,
    starts,
)

WEEK = 7
_KEPT_TERMS, _KEPT_IN_PLACE = 5000, 1500
"""Of a day: of everything and of what is private; of a group."""

HISTORY = DAYS + WEEK

_LEAST_MESSAGES = 20
"""Fewer in a week, and a group has no report."""
_LEAST_TODAY = 5
_TEXT_DAYS = 14
_TEXTS = 40_000
"""Messages in which new words are looked for, the newest."""
_UNLISTED = 21.0
"""Rarity of what is in no dictionary: `Words.rarity`."""
_COMMUNITY = 10
_COMMUNITIES = 30
_TODAY_SHARE = FALSE_SHARE / 10
"""Today is looked at often: each look has less to say."""
_TOLD_S = 3 * 86_400.0
"""A term that operators were told of is no news for so long."""
_SHOWN_WORDS = 8
_KEPT_WORDS = 500


@dataclass(frozen=True, slots=True)
class Learned:
    """words: the new ones. retold: readings with other terms than before, (source, row, terms).
    days: of messages in which a new word stands."""

    words: list[NewWord]
    retold: Packed[tuple[str, int, str]]
    days: list[int]


@dataclass(frozen=True, slots=True)
class Made:
    """reports: (name of the finding, JSON). bursts: what operators are to hear of."""

    reports: list[tuple[str, str]]
    bursts: list[Burst]


def kept_terms(scope: str) -> int:
    """How many terms of a day are kept of a scope."""
    return _KEPT_TERMS if scope in (EVERYTHING, PRIVATE) else _KEPT_IN_PLACE


def learn(path: Path, cache: str, now: float) -> Learned:
    """Look for words that no dictionary has. cache: where the dictionary's cache may lie."""
    with reading(path) as conn:
        words = _words(conn, cache)
        called = terms.names(conn)
        texts = terms.texts(conn, now - _TEXT_DAYS * 86_400, _TEXTS)
        said = ((one.member_id, one.text) for one in texts)
        found = [
            one
            for one in new_words(
                said,
                lambda text: words.split(words.clean(text)),
                lambda word: words.rarity(word) < _UNLISTED,
            )
            if not any(one.word in name for name in called)
        ]
        if not found:
            return Learned([], Packed(), [])
        fresh = [one.word for one in found]
        words.add_words(fresh)
        retold, days = [], set()
        since = starts(day_of(now) - HISTORY)
        for one in terms.texts(conn, since):
            if any(word in one.text for word in fresh):
                days.add(day_of(one.at))
                new = " ".join(terms_of(words.cut(plain(one.text)), words.rarity))
                if new != one.terms:
                    retold.append((one.source, one.row_id, new))
        return Learned(found, Packed(retold), sorted(days))


def unfolded(path: Path, days: Sequence[int], now: float) -> list[int]:
    """Finished days that are not in `term_days` as they were said, and `days`, oldest first.

    Not the oldest when more was counted of it than is there: its time is just over, the purge has
    taken a part of it, and what was counted stays.
    """
    last = day_of(now) - 1
    with reading(path) as conn:
        said = terms.said_days(conn, last - HISTORY + 1, last)
        kept = terms.kept_days(conn, last - HISTORY + 1, last)
    first = min(said, default=0)
    cut = {first} if said and kept.get(first, 0) > said[first] else set()
    return sorted(
        day for day in said if day not in cut and (day in days or said[day] != kept.get(day))
    )


def folded(path: Path, days: Sequence[int]) -> Packed[TermDay]:
    """These days, as rows of `term_days`."""
    rows: list[TermDay] = []
    with reading(path) as conn:
        for day in days:
            said = terms.spoken(conn, starts(day), starts(day + 1))
            rows += map(TermDay._make, fold(_said(said), kept_terms))
    return Packed(rows, terms.SLICE)


def week(path: Path, cache: str, now: float) -> Made:
    """The reports of the last seven finished days: of all, of each place and community."""
    last = day_of(now) - 1
    first = last - WEEK + 1
    with reading(path) as conn:
        rarity = _words(conn, cache).rarity
        spoken = _by_scope(terms.spoken(conn, starts(first), starts(last + 1)))
        start = last - HISTORY + 1
        days = histories(terms.days(conn, start, last), start, HISTORY, kept_terms)
        standing = _standing(days, last)
        offers = _offers(conn)
        reports: list[tuple[str, str]] = []
        found: list[Burst] = []
        for scope, messages in spoken.items():
            if len(messages) < _LEAST_MESSAGES and scope != EVERYTHING:
                continue
            talk = Talk(
                scope,
                messages,
                standing.get(scope, {}),
                starts(first),
                starts(last + 1),
                too_young(days.get(scope)),
            )
            lately = _lately(conn) if scope == EVERYTHING else []
            made, bursts = report(talk, offers, rarity, now, lately)
            reports.append((name_of("topic", scope), to_json(_keep_today(conn, made))))
            # What rose on some earlier day of the week was news then.
            found += [one for one in bursts if one.up.since >= starts(last)]
        for made in _communities(conn, spoken, rarity, now):
            reports.append((name_of("topic", made.scope), to_json(made)))
        return Made(reports, _news(conn, found, now))


def day(path: Path, cache: str, now: float) -> Made:
    """Today up to now: the list of today in the reports of all and of each place."""
    this = day_of(now)
    with reading(path) as conn:
        said = list(terms.spoken(conn, starts(this), now))
        spoken = {
            scope: messages
            for scope, messages in _by_scope(said).items()
            if len(messages) >= _LEAST_TODAY
        }
        if not spoken:
            return Made([], [])
        rarity = _words(conn, cache).rarity
        start = this - DAYS
        before = terms.days(conn, start, this - 1, list(spoken))
        days = histories(_with(before, said), start, DAYS + 1, kept_terms)
        standing = _standing(days, this, _TODAY_SHARE, week=False)
        offers = _offers(conn)
        reports: list[tuple[str, str]] = []
        found: list[Burst] = []
        for scope, messages in spoken.items():
            talk = Talk(scope, messages, standing.get(scope, {}), starts(this), now)
            listing, bursts = today(talk, offers, rarity)
            name = name_of("topic", scope)
            made = with_today(_kept(conn, name), talk, listing, now)
            reports.append((name, to_json(made)))
            found += bursts
        return Made(reports, _news(conn, found, now))


def _with(before: Iterable[Days], said: Iterable[Spoken]) -> Iterator[Days]:
    """Days of scopes that spoke today, too, and today."""
    rows: dict[str, list[tuple[int, str, int, int]]] = defaultdict(list)
    for scope, day, term, turns, people, _ in fold(_said(said), kept_terms):
        rows[scope].append((day, term, turns, people))
    for one in before:
        columns = zip(*rows[one.scope], strict=True)
        parts = ([*old, *new] for old, new in zip(one[1:], columns, strict=True))
        yield Days(one.scope, *parts)


def with_words(data: str | None, found: Sequence[NewWord], now: float) -> str:
    """The finding NEW_WORDS with these, the newest first, as JSON."""
    fresh = [terms.Learned(one.word, one.people, now) for one in found]
    known = {one.word for one in fresh}
    old = (one for one in terms.learned(data) if one.word not in known)
    words = [one._asdict() for one in (*fresh, *old)][:_KEPT_WORDS]
    return json.dumps({"words": words}, ensure_ascii=False)


def _words(conn: Connection, cache: str) -> Words:
    words = Words()
    words.load(Path(cache) if cache else None)
    words.add_words([one.word for one in terms.learned(terms.finding(conn, NEW_WORDS))])
    return words


def _said(
    spoken: Iterable[Spoken],
) -> Iterator[tuple[tuple[str, str], int, int, float, list[str]]]:
    for one in spoken:
        yield scopes(one.place), day_of(one.at), one.member_id, one.mood, one.terms.split()


def _by_scope(spoken: Iterable[Spoken]) -> dict[str, list[Message]]:
    """Groups first, then what is private, then everything: the nearest scope tells the news."""
    found: dict[str, list[Message]] = defaultdict(list)
    for one in spoken:
        ref = f"{one.source}:{one.row_id}"
        message = Message(one.member_id, one.at, one.mood, ref, tuple(one.terms.split()))
        for scope in scopes(one.place):
            found[scope].append(message)
    order = sorted(found, key=lambda scope: (scope == EVERYTHING, scope == PRIVATE, scope))
    return {scope: found[scope] for scope in order}


def _standing(
    days: dict[str, History], last: int, share: float = FALSE_SHARE, *, week: bool = True
) -> dict[str, dict[str, Up]]:
    """How each term of each scope stands on the last day and in the week that it ends."""
    chosen = [scope for scope in days if days[scope].terms]
    tests = [days[scope].vocabulary for scope in chosen]
    of_day = judged_together([days[scope].rise_of_day() for scope in chosen], tests)
    of_week = (
        judged_together([days[scope].rise_of_week() for scope in chosen], tests) if week else []
    )
    found = {}
    for number, scope in enumerate(chosen):
        history = days[scope]
        end = starts(last + 1)
        day = ups(history, of_day[number], list(history.people[:, -1]), starts(last), end, share)
        if not week:
            found[scope] = day
            continue
        people = history.people[:, -WEEK:].sum(axis=1)
        since = starts(last - WEEK + 1)
        found[scope] = surest(ups(history, of_week[number], list(people), since, end, share), day)
    return found


def _offers(conn: Connection) -> list[Offer]:
    return [Offer(one.ref, " ".join(one.words).lower(), one.weight) for one in terms.offered(conn)]


def _lately(conn: Connection) -> list[terms.Learned]:
    return terms.learned(terms.finding(conn, NEW_WORDS))[:_SHOWN_WORDS]


def _kept(conn: Connection, name: str) -> Report | None:
    return known(terms.finding(conn, name))


def _keep_today(conn: Connection, made: Report) -> Report:
    """At night the list of today is that of yesterday: it goes, unless the day has begun anew."""
    old = _kept(conn, name_of("topic", made.scope))
    if old is None or day_of(old.made_at) != day_of(made.made_at):
        return made
    listing = next((one for one in old.lists if one.name == "topics_today"), None)
    return made if listing is None else with_today(made, _NOWHERE, listing, made.made_at)


_NOWHERE = Talk("", (), {}, 0.0, 0.0)


def _communities(
    conn: Connection, spoken: dict[str, list[Message]], rarity: Rarity, now: float
) -> Iterator[Report]:
    """What each large community talks about more than others in its scope."""
    last = day_of(now) - 1
    since, until = starts(last - WEEK + 1), starts(last + 1)
    used: dict[str, dict[str, int]] = {}
    for crowd in terms.crowds(conn, _COMMUNITY, _COMMUNITIES):
        around = spoken.get(crowd.scope, [])
        messages = [one for one in around if one.member in crowd.members]
        if len(messages) < _LEAST_MESSAGES:
            continue
        if crowd.scope not in used:
            people: dict[str, set[int]] = defaultdict(set)
            for one in around:
                for term in ("", *one.terms):
                    people[term].add(one.member)
            used[crowd.scope] = {term: len(members) for term, members in people.items()}
        by = used[crowd.scope]
        scope = f"community:{crowd.community_id}"
        yield typical(scope, messages, by, by[""], rarity, since, until, now)


def _news(conn: Connection, bursts: Sequence[Burst], now: float) -> list[Burst]:
    """What operators were not told of lately, each once: of the one place where it rises, or of
    all when it rises in several."""
    raised = alerts.raised(conn, now - _TOLD_S)
    told = {topic for kind, _, _, topic, _ in raised if kind == "topic_burst"}
    wide = [one for one in bursts if one.scope == EVERYTHING and _places(one, bursts) != 1]
    news = []
    for one in (*wide, *(one for one in bursts if one.scope != EVERYTHING)):
        if told.isdisjoint(one.terms):
            news.append(one)
            told.update(one.terms)
    return news


def _places(burst: Burst, bursts: Sequence[Burst]) -> int:
    """In how many places something of it rises."""
    found = (one for one in bursts if one.scope != EVERYTHING)
    return sum(not set(burst.terms).isdisjoint(one.terms) for one in found)
