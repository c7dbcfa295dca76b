"""Tells operators in private what they are to hear of at once, each piece of news once.

An alert is a row that any job may write (`store/alerts.py`). Its words are made here, with what
the messages it is about say at this moment: a message that was taken back meanwhile is not
quoted. Who cannot be written to now is tried again until it is no news any more.

A group that turns and topics that rise there are one incident when they are mostly the same
messages: one of them is told, the worst, and names the others. What comes later of an incident
that was told is only kept, unless it is worse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from store import Store, readings
from store.alerts import Alert

LATE_S = 12 * 3600.0
"""What is older is no news; `/mood alerts` still shows it."""

EXAMPLES = 3
"""Messages that are shown."""

DAY_S = 86_400.0
"""What was said in so long before an alert may be what it is about."""
_SAME = 0.5
"""Alerts that share so many of the messages of the smaller one are of one incident."""
_BEFORE = 20
"""Alerts that were told before, looked through for the same incident."""
_WORST = ("mood_drop", "topic_negative", "topic_burst")
"""Kinds that may be of one incident, the one that is told first."""

Say = Callable[[Alert, str, Sequence[str]], str]
"""(the alert, what its group is called, "" in private; what messages say) -> the words, "" for a
kind that nobody is told of: `handlers/mood_text.py`."""

Tell = Callable[[int | None, str, bytes], Awaitable[bool]]
"""(member; words; 16 bytes) -> whether they were told; the same key again tells nothing."""


async def tick(store: Store, say: Say, tell: Tell, now: float) -> str:
    """Tell what is untold; says how much, "" for nothing. Every half minute or so.

    Errors: StoreError.
    """
    waiting = await store.alerts.untold(now - LATE_S)
    if not waiting:
        return ""
    readers = [member_id for member_id, _ in await store.members.staff()]
    done = 0
    news, known = await _incidents(store, waiting, now)
    for one in known:
        await store.alerts.told(one.id, now)
    for alert, others in news:
        rows = dict.fromkeys(row for one in (alert, *others) for row in one.rows)
        texts = list(dict.fromkeys(await store.readings.texts(list(rows))))
        group = store.groups.known(alert.place)
        words = say(alert, group.title if group is not None else "", texts[:EXAMPLES])
        told = not words
        for member_id in readers if words else ():
            theirs = hashlib.blake2b(alert.key, digest_size=16, key=str(member_id).encode())
            told = await tell(member_id, words, theirs.digest()) or told
        if told:
            # Told first: a kill in between tells it again, under the same key.
            for one in (*others, alert):
                await store.alerts.told(one.id, now)
            done += 1
    return f"{done} alerts told" if done else ""


@dataclass(frozen=True, slots=True)
class _About:
    """The messages of an alert; negative: how many of them are."""

    rows: frozenset[tuple[str, int]]
    negative: int


_News = list[tuple[Alert, list[Alert]]]


async def _incidents(
    store: Store, waiting: Sequence[Alert], now: float
) -> tuple[_News, list[Alert]]:
    """Each that is to be told, with those that it tells, too, by the oldest of them; and what
    is of an incident that was told."""
    alone: _News = [(one, []) for one in waiting if one.kind not in _WORST]
    kin = sorted(
        (one for one in waiting if one.kind in _WORST),
        key=lambda one: (_WORST.index(one.kind), one.id),
    )
    if not kin:
        return alone, []
    before = [
        one
        for one in await store.alerts.newest(_BEFORE)
        if one.told_at is not None and one.at >= now - LATE_S and one.kind in _WORST
    ]
    since = min(one.at for one in (*before, *kin)) - DAY_S
    until = max(one.at for one in kin) + 1.0
    said = await store.readings.between(since, until)
    about = {one.id: _about(one, said) for one in (*before, *kin)}
    found: _News = []
    known: list[Alert] = []
    for one in kin:
        rows, worst = about[one.id].rows, _WORST.index(one.kind)
        if any(_same(about[it.id].rows, rows) for it in before if _WORST.index(it.kind) <= worst):
            known.append(one)
            continue
        led = next((others for it, others in found if _same(about[it.id].rows, rows)), None)
        if led is None:
            found.append((one, []))
        else:
            led.append(one)
    told = [(_with(one, about[one.id], others), others) for one, others in found]
    return sorted((*told, *alone), key=lambda one: min(it.id for it in (one[0], *one[1]))), known


def _about(alert: Alert, said: Sequence[readings.Judged]) -> _About:
    """What was said that it is about: what is negative of it, but of a rising topic all."""
    terms = {alert.topic, *alert.data.get("terms", ())}
    theirs = {
        (one.source, one.row_id): one.label == readings.NEGATIVE
        for one in said
        if one.at >= alert.at - DAY_S
        and alert.place in ("", one.place)
        and (alert.kind == "mood_drop" or not terms.isdisjoint(one.terms))
        and (alert.kind == "topic_burst" or one.label == readings.NEGATIVE)
    }
    return _About(frozenset(theirs), sum(theirs.values()))


def _same(one: Collection[tuple[str, int]], other: Collection[tuple[str, int]]) -> bool:
    fewest = min(len(one), len(other))
    return fewest > 0 and len(set(one) & set(other)) >= _SAME * fewest


def _with(alert: Alert, about: _About, others: Sequence[Alert]) -> Alert:
    """An alert that names what else is of its incident, and says how its messages sound."""
    also = list(dict.fromkeys(one.topic for one in others if one.topic not in ("", alert.topic)))
    data = dict(alert.data) | {"also": also}
    if alert.kind == "topic_burst":
        data |= {"n": len(about.rows), "negative": about.negative}
    return replace(alert, data=data)
