"""What `scheduler/communities.py` has done in another process: reads, works out, gives back.

Nothing is written here. Loaded only in the process that works: its libraries are large.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from insights import health, leaders
from insights.communities import Gathered, gather, named, typical_terms
from insights.community_history import track
from insights.health import DAY_S, WINDOW_DAYS, Change, Circle, Group
from insights.leaders import Help, Standing, Standout, Talked
from insights.questions import Asked, Turn, asked
from insights.report import Report, name_of, to_json
from scheduler.communities import Scope
from store import communities as reads
from store.communities import BRIDGE, EVERYWHERE, LEADER, Born, Ended, Finding, Lasting, Pairs
from store.consents import PROFILING, withheld
from store.dialect import Connection
from store.insight_reads import reading

_SHANGHAI_S = 28_800


@dataclass(frozen=True, slots=True)
class _Gathering:
    """Communities of a scope, before they are written."""

    lasting: list[Lasting]
    born: list[Born]
    ended: list[Ended]
    circles: list[Circle]
    changes: list[Change]


def concluded(
    path: Path, places: Collection[str], now: float, half_life_s: float, opt_in: bool
) -> list[Scope]:
    """Work out these places. Seconds for each that talks much."""
    since = now - WINDOW_DAYS * DAY_S
    found = []
    with reading(path) as conn:
        without = withheld(conn, PROFILING, opt_in=opt_in)
        for place in places:
            talked = reads.pairs(conn, place, now, half_life_s, without)
            gathered = gather(*talked)
            gathering = _gathering(conn, place, gathered, since, now)
            turns, questions = _heard(conn, place, since, now)
            helped = helps(questions)
            standout = _standout(talked, helped, gathered)
            oldest = reads.oldest(conn, place)
            group = Group(
                place,
                turns,
                questions,
                [health.Here(*one) for one in reads.here(conn, place)],
                now if oldest is None else max(oldest, since),
                gathered,
                gathering.circles,
                gathering.changes,
                standout,
            )
            reports = [
                health.report(group, since, now, now),
                leaders.report(place, standout, since, now, now),
            ]
            found.append(_scope(place, gathering, standout, reports, helped))
    return found


def everywhere(
    path: Path, helped: Sequence[Help], now: float, half_life_s: float, opt_in: bool
) -> Scope:
    """Work out all places together. helped: of each place, one after the other."""
    since = now - WINDOW_DAYS * DAY_S
    with reading(path) as conn:
        without = withheld(conn, PROFILING, opt_in=opt_in)
        talked = reads.pairs(conn, EVERYWHERE, now, half_life_s, without)
        gathered = gather(*talked)
        gathering = _gathering(conn, EVERYWHERE, gathered, since, now)
        standout = _standout(talked, helped, gathered)
        made = leaders.report(EVERYWHERE, standout, since, now, now)
        return _scope(EVERYWHERE, gathering, standout, [made], [])


def helps_of(rows: Collection[tuple[int, int, int]]) -> list[Help]:
    """Read back what `Scope.helped` says."""
    return [Help(*row) for row in rows]


def helps(questions: Collection[Asked]) -> list[Help]:
    """Who answered first, on which day, and how many took it on."""
    return [
        Help(one.helper, int((one.at + _SHANGHAI_S) // DAY_S), len(one.reached))
        for one in questions
        if one.helper is not None
    ]


def _heard(
    conn: Connection, place: str, since: float, until: float
) -> tuple[list[Turn], list[Asked]]:
    turns = [Turn._make(one[:5]) for one in reads.said(conn, place, since, until)]
    return turns, asked(turns, reads.bot_answers(conn, place, since, until))


def _standout(talked: Pairs, helped: Sequence[Help], gathered: Gathered) -> Standout:
    return leaders.standout(Talked(*talked), helped, gathered.groups)


def _gathering(
    conn: Connection, scope: str, gathered: Gathered, since: float, now: float
) -> _Gathering:
    """Communities, matched with those of the night before, and their names."""
    kept = {one.id: one for one in reads.standing(conn, scope)}
    tracked = track({one.id: one.members for one in kept.values()}, gathered.groups)
    before = [kept[new.same].name if new.same is not None else None for new in tracked.new]
    typical = typical_terms(gathered.groups, reads.terms_of(conn, scope, since, now))
    names = named(typical, before)
    made = _Gathering([], [], [], [], [])
    for members, new, (name, topics) in zip(gathered.groups, tracked.new, names, strict=True):
        made.circles.append(Circle(name, topics, len(members)))
        words = " ".join(topics)
        if new.same is not None:
            made.lasting.append(Lasting(new.same, name, words, members))
            continue
        made.born.append(Born(name, words, new.origin, new.parents, members))
        made.changes.append(Change(name, new.origin, len(members)))
    for number, ending in tracked.ended.items():
        if not kept[number].confirmed:
            # Of a night that did not end; nobody was told of it.
            ending = "faded"
        else:
            made.changes.append(Change(kept[number].name, ending, len(kept[number].members)))
        made.ended.append(Ended(number, ending))
    return made


def _scope(
    scope: str,
    gathering: _Gathering,
    standout: Standout,
    reports: Sequence[Report],
    helped: Sequence[Help],
) -> Scope:
    return Scope(
        scope,
        gathering.lasting,
        gathering.born,
        gathering.ended,
        {
            LEADER: [_finding(rank, one) for rank, one in enumerate(standout.leaders, 1)],
            BRIDGE: [_finding(rank, one) for rank, one in enumerate(standout.bridges, 1)],
        },
        [(name_of(one.kind, one.scope), to_json(one)) for one in reports],
        # Plain numbers: who gets them back has no use for the library behind a Help.
        [(one.member_id, one.day, one.reached) for one in helped],
    )


def _finding(rank: int, one: Standing) -> Finding:
    data = {
        "attention": round(one.attention, 5),
        "between": round(one.between, 5),
        "helped": one.helped,
        "reached": one.reached,
    }
    return Finding(one.member_id, rank, one.value, one.low, one.high, json.dumps(data))
