"""The budget of noise: the same question costs once, and what is spent is spent."""

from __future__ import annotations

import asyncio
import math

from store import Store
from store.noise_spent import WINDOW_S, Question, Spent
from tests.store.rows import NOW

BUDGET = 1.0


def question(number: int, epsilon: float = 0.25, audience: str = "group:g1") -> Question:
    return Question(bytes([number]), audience, f"week {number}", epsilon, "cli")


async def test_the_same_question_gets_the_same_answer_and_costs_once(store: Store) -> None:
    assert await store.noise_spent.answer(b"\1") is None
    assert await store.noise_spent.put(question(1), "first", BUDGET, NOW) == "first"
    assert await store.noise_spent.put(question(1), "other noise", BUDGET, NOW + 9) == "first"
    assert await store.noise_spent.answer(b"\1") == "first"
    assert await store.noise_spent.spent("group:g1", NOW) == 0.25


async def test_a_spent_budget_refuses_and_says_when_there_is_more(store: Store) -> None:
    for number in range(4):
        await store.noise_spent.put(question(number), "{}", BUDGET, NOW + number)
    refused = await store.noise_spent.put(question(9), "{}", BUDGET, NOW + 10)
    assert refused == Spent(left=0.0, wanted=0.25, free_at=NOW + WINDOW_S)
    assert await store.noise_spent.refused("group:g1", 0.25, BUDGET, NOW + 10) == refused
    assert await store.noise_spent.answer(b"\x09") is None, "its noise was shown to nobody"
    assert await store.noise_spent.put(question(0), "new", BUDGET, NOW + 10) == "{}", (
        "known ones go on"
    )
    assert await store.noise_spent.put(question(9), "{}", BUDGET, NOW + WINDOW_S + 0.5) == "{}"


async def test_what_costs_more_than_everything_is_never_free(store: Store) -> None:
    refused = await store.noise_spent.put(question(1, 1.5), "{}", BUDGET, NOW)
    assert refused == Spent(left=1.0, wanted=1.5, free_at=math.inf)


async def test_tenths_that_do_not_add_up_in_binary_fill_the_budget(store: Store) -> None:
    for number in range(10):
        assert await store.noise_spent.put(question(number, 0.1), "{}", BUDGET, NOW) == "{}"
    assert isinstance(await store.noise_spent.put(question(11, 0.1), "{}", BUDGET, NOW), Spent)


async def test_audiences_have_budgets_of_their_own(store: Store) -> None:
    await store.noise_spent.put(question(1, 1.0), "{}", BUDGET, NOW)
    other = question(2, 1.0, "public")
    assert await store.noise_spent.put(other, "{}", BUDGET, NOW) == "{}"
    assert [(one.audience, one.epsilon) for one in await store.noise_spent.entries(NOW)] == [
        ("group:g1", 1.0),
        ("public", 1.0),
    ]


async def test_many_at_once_do_not_overdraw(store: Store) -> None:
    done = await asyncio.gather(
        *(store.noise_spent.put(question(n), "{}", BUDGET, NOW) for n in range(20))
    )
    assert sum(one == "{}" for one in done) == 4
