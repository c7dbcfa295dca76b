"""Topics: every night the finished days are counted and told; today's are told as they come.

Each step can be cut off and done again: a day that is not counted as it was said is counted
anew, a word is kept only when the messages that hold it were cut again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, TypeVarTuple

from insights.topic_report import Burst
from scheduler import topics_work
from scheduler.topics_work import Made
from store import Store
from store.alerts import NewAlert, key_of
from store.terms import EVERYTHING, NEW_WORDS, PRIVATE, day_of

T = TypeVar("T")
Args = TypeVarTuple("Args")

_DAYS_AT_ONCE = 5
"""Days that one process counts: their rows are handed over together."""


class Crunch(Protocol):
    """Work that takes the processor, in another process: `bot/crunch.py`."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes seconds. Errors: its own; RuntimeError when its process ended."""


async def refresh(
    store: Store, crunch: Crunch, now: float, *, cache: str = "", alerts: bool = True
) -> str:
    """Learn new words, count finished days, write the reports of the week; what was done.

    cache: the folder where the dictionary's cache may lie, "" for none. alerts: whether
    operators are to hear of what rose yesterday. Errors: StoreError, RuntimeError.
    """
    path = store.db.path
    learned = await crunch.heavy(topics_work.learn, path, cache, now)
    for piece in learned.retold.pieces():
        await store.terms.retell(piece)
    days = await crunch.heavy(topics_work.unfolded, path, learned.days, now)
    for at in range(0, len(days), _DAYS_AT_ONCE):
        some = days[at : at + _DAYS_AT_ONCE]
        counted = await crunch.heavy(topics_work.folded, path, some)
        for rows in counted.pieces():
            await store.terms.put(rows)
        await store.terms.reach(some[-1], now)
    if learned.words:
        data = await store.interactions.finding(NEW_WORDS)
        kept = topics_work.with_words(data, learned.words, now)
        await store.interactions.put_finding(NEW_WORDS, kept, now)
    await store.terms.trim(day_of(now))
    made = await crunch.heavy(topics_work.week, path, cache, now)
    bursts = await _keep(store, made, now, alerts)
    return (
        f"{len(days)} days counted, {len(learned.words)} new words, "
        f"{len(made.reports)} topic reports, {bursts} bursts"
    )


async def today(
    store: Store, crunch: Crunch, now: float, *, cache: str = "", alerts: bool = True
) -> str:
    """Bring the lists of today up to date; "" when nothing was said. Errors: as of `refresh`."""
    made = await crunch.heavy(topics_work.day, store.db.path, cache, now)
    if not made.reports:
        return ""
    bursts = await _keep(store, made, now, alerts)
    return f"{len(made.reports)} topic reports of today, {bursts} bursts"


async def _keep(store: Store, made: Made, now: float, alerts: bool) -> int:
    """Write reports and raise alerts; how many of these are new."""
    for name, data in made.reports:
        await store.interactions.put_finding(name, data, now)
    if not alerts:
        return 0
    raised = [await store.alerts.raise_(_alert(one, now)) for one in made.bursts]
    return sum(raised)


def _alert(burst: Burst, now: float) -> NewAlert:
    up = burst.up
    place = "" if burst.scope in (EVERYTHING, PRIVATE) else burst.scope
    return NewAlert(
        key=key_of("topic_burst", burst.scope, day_of(up.since), up.term),
        kind="topic_burst",
        at=now,
        place=place,
        topic=up.term,
        data={
            "label": burst.label,
            "scope": burst.scope,
            "terms": list(burst.terms),
            "people": up.people,
            "expected": round(up.expected, 2),
            # nan for what nobody used before: JSON has none.
            "factor": round(up.factor, 2) if up.factor == up.factor else None,
            "q": up.q,
            "rows": _rows(burst.refs),
        },
    )


def _rows(refs: Sequence[str]) -> list[list[str | int]]:
    found = (ref.partition(":") for ref in refs)
    return [[source, int(row_id)] for source, _, row_id in found]
