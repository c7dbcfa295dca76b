"""What operators' verdicts teach the spam model: learned within a minute, kept for the next start.

A lesson is what was said, without numbers, accounts and names, and whether it was an advert. The
model is made anew from the shipped one and all lessons, so that a verdict that was turned around
leaves nothing of itself behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from insights.order_reading import lesson, mark
from store import Store
from store.order import Lesson, Verdict

MOST = 200
"""Verdicts that one round takes."""


class Learner(Protocol):
    """A spam model that can be taught: `insights/spam.py`."""

    def scores(self, texts: Sequence[str]) -> Sequence[float]:
        """The probability of an advert for each text."""

    def learn(self, labels: Sequence[tuple[str, bool]]) -> Learner:
        """A model that has learned these, too; this one stays as it is. True: an advert."""


Use = Callable[[Learner, Sequence[Lesson]], None]


async def restore(store: Store, base: Learner, use: Use) -> str:
    """At the start: have the model judge that earlier verdicts made. Errors: StoreError."""
    lessons = await store.order.lessons()
    use(await _taught(base, lessons), lessons)
    return f"{len(lessons)} lessons"


async def tick(store: Store, base: Learner, use: Use, now: float) -> str:
    """Learn from new verdicts; "" when there are none. Errors: StoreError.

    base: the shipped model, never changed. use: told the model and all lessons when they change.
    """
    verdicts = await store.order.unlearned(MOST)
    if not verdicts:
        return ""
    fresh = await asyncio.to_thread(_lessons, verdicts)
    lessons = await store.order.learned(verdicts, fresh, now)
    use(await _taught(base, lessons), lessons)
    return f"{len(verdicts)} verdicts learned, {len(lessons)} lessons"


def _lessons(verdicts: Sequence[Verdict]) -> list[Lesson]:
    return [
        Lesson(one.case_id, one.spam, lesson(one.text), mark(one.text))
        for one in verdicts
        if one.text
    ]


async def _taught(base: Learner, lessons: Sequence[Lesson]) -> Learner:
    if not lessons:
        return base
    return await asyncio.to_thread(base.learn, [(one.text, one.spam) for one in lessons])
