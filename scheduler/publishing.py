"""Publishing figures to a group or outside: noise added, the budget kept.

The answer is worked out first and shown only when the budget was spent on it, in one transaction:
two processes that publish at once cannot overdraw it. A question that was answered before gets
the same answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol, TypeVar, TypeVarTuple

from insights.noise import publish as add_noise
from insights.report import Report, from_json, to_json
from store import Store
from store.noise_spent import Question, Spent

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Crunch(Protocol):
    """Where work for the processor is done: `bot/crunch.py`."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run it in a process of its own."""


class Settings(Protocol):
    """The operator's rules: `[privacy]`."""

    @property
    def least_people(self) -> int:
        """Fewer members than this are not told of."""

    @property
    def noise_epsilon(self) -> float:
        """What one audience may be told in 28 days."""

    @property
    def noise_each(self) -> float:
        """What one report costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What is to be published, and to whom.

    names: of figures, chosen beforehand (`insights.noise.publish`). audience: "group:PLACE", or
    "public" for all the world. by: "member:3", "cli" or the job.
    """

    report: Report
    names: Collection[str]
    audience: str
    by: str


async def publish(
    store: Store, crunch: Crunch, asked: Publication, settings: Settings, now: float
) -> Report | Spent:
    """The noisy report, or why nothing is published.

    Errors: insights.noise.NotPublishable; StoreError.
    """
    question = question_of(asked, settings.noise_each)
    known = await store.noise_spent.answer(question.key)
    if known is not None:
        return from_json(known)
    refused = await store.noise_spent.refused(
        asked.audience, question.epsilon, settings.noise_epsilon, now
    )
    if refused is not None:
        return refused
    noisy = await crunch.heavy(
        add_noise, asked.report, sorted(asked.names), question.epsilon, settings.least_people
    )
    told = await store.noise_spent.put(question, to_json(noisy), settings.noise_epsilon, now)
    return told if isinstance(told, Spent) else from_json(told)


def question_of(asked: Publication, epsilon: float) -> Question:
    """What makes it the same question: the report's window, its place and the names of its
    figures, for this audience. When it was worked out does not, nor does what it says."""
    report = asked.report
    parts = (
        *(asked.audience, report.kind, report.scope, repr(report.since), repr(report.until)),
        *sorted(asked.names),
    )
    key = hashlib.sha256("\0".join(parts).encode()).digest()
    what = f"{report.kind} {report.scope}".strip()
    return Question(key, asked.audience, what, epsilon, asked.by)
