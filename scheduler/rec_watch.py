"""Whether members click what the models recommend at least as often as what is popular.

The hold-out always sees what is popular. Once it is certain that its members click a greater share
of what they are shown, everybody sees what is popular, until an operator resumes or a new model
goes live.

Both sides are compared where both were: each day and each surface on its own, places that were
ranked and not tried out, lists since the models serve without a break, members who would see the
models if they were not held out. Who is held out was drawn by lot, member by member. So the chance
that the lot alone makes them click so much more is known whatever members are like: who comes
often, and who clicks everything, could as well be on the other side. It is bounded with nothing
taken for granted but the lot (Hoeffding 1963, section 6: drawn without putting back).

It is looked at `LOOKS` times a day, over `SPANS` days each: over the newest, so that a model that
was good for weeks and then broke is caught soon, and over many, for one that is a little worse. One
look over one span is wrong at most once in `LIMIT` times, so false alarms are at least
`LIMIT / LOOKS / len(SPANS)` days apart on average, which is a year; and, since neighbouring looks
see almost the same, far more in fact: bench/tastes.py counts them.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple

from insights.draws import side
from store import Store
from store.rec_models import REFUSED, Model
from store.rec_tests import RecTest

T = TypeVar("T")
Args = TypeVarTuple("Args")

FALLBACK = "rec_fallback"
"""The finding that stands while everybody sees what is popular."""
RESUMED = "recommendations.resumed"
"""In `meta`: when the last fall-back ended; what was before is not counted again."""
LOOKED = "recommendations.looked"
"""In `meta`: when it was looked at last. A bot that starts often does not look more often."""

SPANS = (1, 2, 4, 7, 14, 28)
"""Days, with today."""
LOOKS = 4
LOOK_S = 86_400.0 / LOOKS
LIMIT = 365.0 * LOOKS * len(SPANS)
LEAST_MEMBERS = 20
"""Members of the hold-out who saw a list; with fewer, a broken link of one would decide."""

_MODELS, _TESTS = 60, 20
"""The newest ones that can have to do with what is looked at: one of each a night, and more."""
_MOST_PLACES = 12.0
"""Of a member, a day and a surface: who looks at more has no more weight than that."""
DAY_S = 86_400.0
_SHANGHAI_S = 8 * 3600.0


@dataclass(frozen=True, slots=True)
class Count:
    """What was shown since a moment, and clicked, on both sides.

    members: who saw something; shown, clicked: places. evidence: one over the chance that the lot
    alone lets the hold-out click so much more; 1 while it does not.
    """

    since: float
    members: int
    shown: int
    clicked: int
    held: int
    held_shown: int
    held_clicked: int
    evidence: float = 1.0


class Place(Protocol):
    """A place of a shown list: `store.rec_outcomes.Place`."""

    @property
    def member_id(self) -> int: ...
    @property
    def at(self) -> float: ...
    @property
    def surface(self) -> str: ...
    @property
    def ranker(self) -> str: ...
    @property
    def arm(self) -> str: ...
    @property
    def explored(self) -> bool: ...
    @property
    def clicked(self) -> bool: ...


class Crunch(Protocol):
    """Another process for what takes seconds: `bot/crunch.py`."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run it there. Errors: its own; RuntimeError when the process ended."""


Say = Callable[[Count], str]
"""Why everybody sees what is popular now, for operators."""

Who = tuple[bool, int]
"""Whether held out; member."""
Cells = dict[tuple[int, str], dict[Who, list[int]]]
"""By day and surface: of each member the places, and those that were clicked."""


def counted(
    rows: Iterable[Place], starts: Collection[float], tests: Sequence[RecTest] = ()
) -> list[Count]:
    """One count from each of these moments on, the newest first. tests: those that ran meanwhile.

    All moments but the first are when a day begins in Shanghai.
    """
    return counts(tallied(rows, min(starts, default=0.0), tests), starts)


def tallied(rows: Iterable[Place], first: float, tests: Sequence[RecTest] = ()) -> Cells:
    """What was shown from `first` on and can be compared."""
    cells: defaultdict[tuple[int, str], dict[Who, list[int]]] = defaultdict(dict)
    for one in rows:
        held = one.arm == "holdout"
        if not held and (one.arm not in ("", "test") or one.ranker != "ours"):
            continue
        # Clicks in a campaign are the campaign's. What a program asked for by the API and showed
        # nobody has no clicks on either side, which says nothing and spoils nothing.
        if one.explored or one.at < first or one.surface == "campaign":
            continue
        # Whom a test would have shown something else are not those the models served.
        if held and not all(_ours_in(test, one) for test in tests):
            continue
        sums = cells[_day(one.at), one.surface].setdefault((held, one.member_id), [0, 0])
        sums[0] += 1
        sums[1] += one.clicked
    return cells


def _ours_in(test: RecTest, one: Place) -> bool:
    """Whether the models would have served this member, as far as the test goes."""
    if one.at < test.started_at or (test.ended_at is not None and one.at >= test.ended_at):
        return True
    part = side(test.salt, one.member_id, test.share)
    if not part:
        return True
    return test.method == "split" and (test.a if part == "a" else test.b) == "ours"


def counts(cells: Cells, starts: Collection[float]) -> list[Count]:
    """One count from each of these moments on, the newest first. Nothing shown: all are 0."""
    whos = {who for cell in cells.values() for who in cell}
    # Who was moved into the hold-out, or out of it, meanwhile is on neither side.
    moved = {member for held, member in whos if held and (False, member) in whos}
    # Clicks of each member beyond what is usual on these days and surfaces.
    beyond: defaultdict[Who, float] = defaultdict(float)
    sums = {False: [0, 0], True: [0, 0]}
    left = sorted(cells)
    found = []
    for start in sorted(starts, reverse=True):
        while left and left[-1][0] >= _day(start):
            cell = cells[left.pop()]
            _add({who: its for who, its in cell.items() if who[1] not in moved}, beyond, sums)
        found.append(_count(start, beyond, sums))
    return found


def _add(cell: dict[Who, list[int]], beyond: dict[Who, float], sums: dict[bool, list[int]]) -> None:
    if len({held for held, _ in cell}) < 2:
        return
    weights = {who: min(1.0, _MOST_PLACES / its[0]) for who, its in cell.items()}
    usual = sum(weights[who] * its[1] for who, its in cell.items())
    usual /= sum(weights[who] * its[0] for who, its in cell.items())
    for who, (shown, clicked) in cell.items():
        beyond[who] += weights[who] * (clicked - usual * shown)
        sums[who[0]][0] += shown
        sums[who[0]][1] += clicked


def _count(start: float, beyond: dict[Who, float], sums: dict[bool, list[int]]) -> Count:
    held = [value for who, value in beyond.items() if who[0]]
    (shown, clicked), (held_shown, held_clicked) = sums[False], sums[True]
    return Count(
        start,
        members=len(beyond) - len(held),
        shown=shown,
        clicked=clicked,
        held=len(held),
        held_shown=held_shown,
        held_clicked=held_clicked,
        evidence=1.0 / by_lot(list(beyond.values()), held) if len(held) >= LEAST_MEMBERS else 1.0,
    )


def by_lot(everybody: Sequence[float], drawn: Sequence[float]) -> float:
    """At most so likely is it that a lot draws as many numbers with a sum as large, 0 to 1.

    drawn: some of `everybody`. 1.0 for nothing drawn, and for a sum no greater than usual. Chernoff
    with the best exponent. Source: Hoeffding 1963, theorem 4, whose bound for numbers that are put
    back holds for those that are not.
    """
    # In a process of its own: in the bot's it would cost memory.
    import numpy as np

    values = np.asarray(everybody, np.float64)
    count, total = len(drawn), math.fsum(drawn)
    if not count or total <= count * float(values.mean()):
        return 1.0
    most = float(values.max())

    def tilted(by: float) -> tuple[float, float]:
        """(log of the mean of e to the power of `by` times a number; the mean so weighed)."""
        weight = np.exp(by * (values - most))
        return by * most + math.log(float(weight.mean())), float(np.average(values, weights=weight))

    low, high = 0.0, 1.0 / max(float(values.std()), 1e-9)
    while tilted(high)[1] * count < total and high < 1e6:
        low, high = high, 2.0 * high
    for _ in range(30):
        middle = (low + high) / 2.0
        low, high = (middle, high) if tilted(middle)[1] * count < total else (low, middle)
    # Any exponent gives a bound that holds: that it is not quite the best one does no harm.
    return min(1.0, max(math.exp(count * tilted(low)[0] - low * total), 1e-300))


def worst(counts: Sequence[Count]) -> Count | None:
    """The count that speaks most clearly against the models; None while none is certain."""
    found = max(counts, key=lambda one: one.evidence, default=None)
    return None if found is None or found.evidence < LIMIT else found


async def tick(store: Store, crunch: Crunch, say: Say, now: float, *, opt_in: bool = False) -> str:
    """Look once; why everybody sees what is popular from now on, "" for nothing new.

    Every hour; most times there is nothing to look at yet. Errors: StoreError, those of `crunch`.
    """
    if await fallback(store) or await store.rec_models.live() is None:
        return ""
    if now < float(await store.meta.get(LOOKED) or 0.0) + LOOK_S:
        return ""
    resumed = float(await store.meta.get(RESUMED) or 0.0)
    since = max(resumed, serving_since(await store.rec_models.newest(_MODELS)))
    tests = [
        one
        for one in await store.rec_tests.newest(_TESTS)
        if one.ended_at is None or one.ended_at > since
    ]
    # First the moment: a look that is cut off was one.
    await store.meta.put(LOOKED, repr(now))
    found = worst(await crunch.heavy(looked, store.db.path, since, now, opt_in, tests))
    if found is None:
        return ""
    why = say(found)
    data = {
        "why": why,
        "at": now,
        "since": found.since,
        "members": found.members,
        "shown": found.shown,
        "clicked": found.clicked,
        "held": found.held,
        "held_shown": found.held_shown,
        "held_clicked": found.held_clicked,
    }
    await store.interactions.put_finding(FALLBACK, json.dumps(data, ensure_ascii=False), now)
    return why


def serving_since(models: Sequence[Model]) -> float:
    """Since when models serve whose figures belong together: one night's follows the other's, but
    one that was taken back has nothing to do with what serves now."""
    began = [one.live_at for one in models if one.live_at is not None and one.status != REFUSED]
    taken_back = [one.ended_at or 0.0 for one in models if one.live_at and one.status == REFUSED]
    return max([min(began, default=0.0), *taken_back])


async def fallback(store: Store) -> str:
    """Why everybody sees what is popular; "" while they do not. Errors: StoreError."""
    kept = json.loads(await store.interactions.finding(FALLBACK) or "{}")
    return str(kept.get("why", ""))


async def end(store: Store, now: float) -> bool:
    """Go back to the models, and count anew; False when nothing had to end. Errors: StoreError."""
    if not await fallback(store):
        return False
    # The moment first: killed in between, it is still on, and ended again.
    await store.meta.put(RESUMED, repr(now))
    await store.interactions.put_finding(FALLBACK, "{}", now)
    return True


def looked(
    path: Path, since: float, now: float, opt_in: bool, tests: Sequence[RecTest]
) -> list[Count]:
    """The counts as of now; in a process of its own."""
    from store import consents, rec_outcomes
    from store.insight_reads import reading

    starts = starting(since, now)
    with reading(path) as conn:
        without = consents.withheld(conn, consents.PROFILING, opt_in=opt_in)
        places = rec_outcomes.places(conn, min(starts), now, without=frozenset(without), cold=False)
        return counted(places, starts, tests)


def starting(since: float, now: float) -> set[float]:
    """When the spans begin that are looked at, none before `since`."""
    today = midnight(now)
    return {max(since, today - (days - 1) * DAY_S) for days in SPANS}


def midnight(at: float) -> float:
    """When the day of this moment began in Shanghai."""
    return (at + _SHANGHAI_S) // DAY_S * DAY_S - _SHANGHAI_S


def _day(at: float) -> int:
    return int((at + _SHANGHAI_S) // DAY_S)
