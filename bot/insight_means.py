"""What the REST API and the terminal need of insights beside the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

from bot.insight_settings import InsightSettings
from handlers.report_means import Started
from handlers.texts import Texts
from insights.behaviour import StateRules


def states_of(rules: InsightSettings) -> StateRules:
    """What the states of members mean, as the configuration has it."""
    return StateRules(**{one.name: getattr(rules, one.name) for one in fields(StateRules)})


def _off() -> Started:
    return Started.OFF


@dataclass(frozen=True, slots=True)
class InsightMeans:
    """texts: what figures are called; None: only their keys. least_people: figures of fewer are
    hidden from keys without `insights:own`. refresh: works everything out anew. states: what those
    of members mean, in days."""

    texts: Texts | None = None
    least_people: int = 10
    refresh: Callable[[], Started] = _off
    states: StateRules = field(default_factory=StateRules)
