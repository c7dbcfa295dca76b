"""The numbers behind `scheduler/rec_report.py`, worked out in a process beside the bot.

Module-level functions, called by name over there. Nothing is written here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from insights import rec_report
from insights.rates import Window
from insights.rec_report import Known, Test
from insights.report import to_json
from store import insight_reads, rec_data, rec_outcomes
from store.consents import withheld
from store.dialect import Connection
from store.rec_tests import RecTest

DAY_S = 86_400.0
DAYS = 28
"""Of the report. A test is judged from its own beginning on."""
_EAST_S = 8 * 3600.0


class Rules(NamedTuple):
    """new_s: how long an item is new. opt_in: only who agreed to profiling is looked at."""

    new_s: float
    opt_in: bool = False


class Made(NamedTuple):
    """report: JSON. verdicts: of the open tests, (number, JSON)."""

    report: str
    verdicts: tuple[tuple[int, str], ...]


def nightly(path: Path, rules: Rules, tests: Sequence[RecTest], now: float) -> Made:
    """The report of the last 28 days and of today so far. tests: the open ones.

    Errors: the database's own.
    """
    midnight = (now + _EAST_S) // DAY_S * DAY_S - _EAST_S
    window = Window(midnight - DAYS * DAY_S, now)
    with insight_reads.reading(path) as conn:
        without = frozenset(withheld(conn, "profiling", opt_in=rules.opt_in))
        asked = tuple(map(test_of, tests))
        places = rec_outcomes.places(conn, window.since, window.until, without=without)
        known = _known(conn, rules, now, without)
        report = rec_report.report(places, asked, known, window, now)
        verdicts = []
        for test, one in zip(asked, tests, strict=True):
            shown = rec_outcomes.places(conn, one.started_at, now, without=without)
            found = rec_report.found_of(shown, test)
            verdicts.append((test.id, json.dumps(found.kept())))
    return Made(to_json(report), tuple(verdicts))


def test_of(one: RecTest) -> Test:
    """A row of `rec_tests` as the arithmetic takes it."""
    return Test(one.id, one.a, one.b, one.method, one.salt, one.share)


def _known(conn: Connection, rules: Rules, now: float, without: frozenset[int]) -> Known:
    """What may be recommended now, and who touched what, ever."""
    catalogue = {
        one.id: max(one.published_at, one.available_from)
        for one in rec_data.things(conn)
        if one.live and one.available(now)
    }
    touched, members = rec_outcomes.touched(conn, 0.0, now, without)
    return Known(catalogue, touched, members, rules.new_s)
