"""Publishing: noise once for a question, the budget kept, a refusal in numbers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import pytest

from insights.noise import NOISY, NotPublishable
from insights.report import Figure, Report
from scheduler.publishing import Publication, publish, question_of
from store import Store
from store.noise_spent import WINDOW_S, Spent
from tests.blank import blank

T = TypeVar("T")
Args = TypeVarTuple("Args")
NOW = 1_763_600_000.0
WEEK_S = 7 * 86_400.0


@dataclass(frozen=True)
class Settings:
    least_people: int = 10
    noise_epsilon: float = 1.0
    noise_each: float = 0.25


class Here:
    """Works where it is asked, and counts how often."""

    def __init__(self) -> None:
        self.runs = 0

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        self.runs += 1
        return run(*args)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield store
    await store.close()


def week(number: int, active: int = 400, **fields: str) -> Publication:
    since = NOW + number * WEEK_S
    figure = Figure(
        name="active",
        value=active,
        unit="count",
        since=since,
        until=since + WEEK_S,
        n=9000,
        people=active,
    )
    report = Report(
        kind="group",
        scope="mp:g1",
        made_at=since + WEEK_S,
        since=since,
        until=since + WEEK_S,
        figures=(figure, replace(figure, name="secret")),
    )
    plain = {"audience": "group:mp:g1", "by": "job", **fields}
    return Publication(report=report, names=("active",), **plain)


async def test_a_week_is_published_with_noise_and_nothing_else_of_it(store: Store) -> None:
    told = await publish(store, Here(), week(0), Settings(), NOW)
    assert isinstance(told, Report)
    assert [(one.name, one.people, one.note) for one in told.figures] == [("active", None, NOISY)]
    assert await store.noise_spent.spent("group:mp:g1", NOW) == 0.25


async def test_asking_again_gets_the_same_answer_and_costs_nothing(store: Store) -> None:
    here = Here()
    first = await publish(store, here, week(0), Settings(), NOW)
    grown = week(0, active=7000, by="member:3")
    assert await publish(store, here, grown, Settings(noise_each=0.5), NOW + 9) == first
    assert here.runs == 1
    assert await store.noise_spent.spent("group:mp:g1", NOW) == 0.25


async def test_a_spent_budget_publishes_nothing_and_draws_no_noise(store: Store) -> None:
    here = Here()
    for number in range(4):
        assert isinstance(await publish(store, here, week(number), Settings(), NOW), Report)
    refused = await publish(store, here, week(4), Settings(), NOW + 1)
    assert refused == Spent(left=0.0, wanted=0.25, free_at=NOW + WINDOW_S)
    assert here.runs == 4
    assert isinstance(await publish(store, here, week(2), Settings(), NOW + 1), Report)
    later = NOW + WINDOW_S + 1
    assert isinstance(await publish(store, here, week(4), Settings(), later), Report)


async def test_another_audience_pays_for_itself(store: Store) -> None:
    for audience in ("group:mp:g1", "public"):
        asked = week(0, audience=audience)
        told = await publish(store, Here(), asked, Settings(noise_each=1.0), NOW)
        assert isinstance(told, Report)


async def test_what_cannot_be_published_costs_nothing(store: Store) -> None:
    asked = replace(week(0), names=("messages",))
    with pytest.raises(NotPublishable):
        await publish(store, Here(), asked, Settings(), NOW)
    assert await store.noise_spent.entries(0.0) == []


def test_a_question_is_its_window_place_audience_and_figures() -> None:
    asked = week(0)
    same = replace(asked, report=replace(asked.report, made_at=1.0, figures=()), by="cli")
    assert question_of(same, 0.9).key == question_of(asked, 0.25).key
    others = [
        week(1),
        week(0, audience="public"),
        replace(asked, names=("active", "secret")),
        replace(asked, report=replace(asked.report, scope="mp:g2")),
        replace(asked, report=replace(asked.report, kind="week")),
    ]
    assert len({question_of(one, 0.25).key for one in [asked, *others]}) == 6
