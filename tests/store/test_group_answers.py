"""What was answered in a group lately, and what is planned to be."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import Store
from store.group_answers import Said
from store.posts import NewPost, Post
from tests.store.rows import ask_file

NOW = 1_763_600_000.0
PLACE = "qun:1"
PLACES = itertools.count(100)
TEN = 600.0


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def post(number: int = 1, due_at: float = NOW + 30, place: str = PLACE) -> NewPost:
    return NewPost(
        key=key(number),
        channel="qun",
        place=place,
        kind="eager",
        body=Post("text", "七天内可以退。"),
        due_at=due_at,
    )


async def claim(store: Store, number: int, at: float = NOW, **more: Any) -> Said:
    item, place = more.get("item", "faq:1"), more.get("place", PLACE)
    return await store.group_answers.claim(place, item, key(number), at, more.get("repeat_s", TEN))


async def due(store: Store, at: float) -> list[str]:
    """What would be posted by then."""
    return [one.body for one in await store.posts.claim(at, {"qun": 20}, 10)]


async def test_the_first_is_answered_the_second_is_pointed_at_it_the_third_hears_nothing(
    store: Store,
) -> None:
    said = [await claim(store, number) for number in (1, 2, 3, 4)]
    assert said == [Said.FIRST, Said.AGAIN, Said.ENOUGH, Said.ENOUGH]


async def test_the_same_message_again_hears_the_same(store: Store) -> None:
    for number in (1, 1, 2, 2, 1, 3, 2):
        said = await claim(store, number)
        assert said is {1: Said.FIRST, 2: Said.AGAIN, 3: Said.ENOUGH}[number], number


async def test_after_a_while_it_is_said_again(store: Store) -> None:
    await claim(store, 1)
    assert await claim(store, 2, NOW + TEN - 1) is Said.AGAIN
    assert await claim(store, 3, NOW + TEN) is Said.FIRST
    assert await claim(store, 4, NOW + TEN + 1) is Said.AGAIN


async def test_items_and_groups_do_not_know_of_each_other(store: Store) -> None:
    await claim(store, 1)
    assert await claim(store, 2, item="faq:2") is Said.FIRST
    assert await claim(store, 3, place="qun:2") is Said.FIRST


async def test_a_clock_that_was_set_back_costs_no_answer(store: Store) -> None:
    await claim(store, 1)
    assert await claim(store, 2, NOW - 3600) is Said.FIRST


async def test_of_many_at_once_one_is_answered(store: Store) -> None:
    said = await asyncio.gather(*(claim(store, number) for number in range(20)))
    assert sorted(one.value for one in said) == ["again", *["enough"] * 18, "first"]


async def test_where_repeating_is_fine_everybody_is_answered(store: Store) -> None:
    for number in range(3):
        assert await claim(store, number, repeat_s=0.0) is Said.FIRST


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 900)), max_size=8))
async def test_within_the_time_nobody_else_gets_the_answer(
    store: Store, asked: list[tuple[int, int]]
) -> None:
    where, at = f"qun:{next(PLACES)}", NOW
    holder, since = -1, -1e9
    for number, pause in asked:
        at += pause
        said = await claim(store, number, at, place=where)
        if number == holder:
            assert said is Said.FIRST
        elif at - since >= TEN:
            assert said is Said.FIRST
            holder, since = number, at
        else:
            assert said is not Said.FIRST


# Planned


async def test_a_planned_answer_goes_out_when_it_is_due_and_counts_from_then(store: Store) -> None:
    assert await store.group_answers.plan("faq:1", post(), NOW, TEN)
    assert await due(store, NOW + 29) == []
    assert len(await due(store, NOW + 30)) == 1
    assert await claim(store, 7, NOW + 31) is Said.AGAIN


async def test_what_was_said_or_is_planned_is_not_planned_again(store: Store) -> None:
    answers = store.group_answers
    assert await answers.plan("faq:1", post(1), NOW, TEN)
    assert not await answers.plan("faq:1", post(1), NOW, TEN)
    assert not await answers.plan("faq:1", post(2), NOW + 5, TEN)
    assert await answers.plan("faq:2", post(3), NOW, TEN)
    await claim(store, 9, item="faq:3")
    assert not await answers.plan("faq:3", post(4), NOW, TEN)
    assert await answers.plan("faq:3", post(4, NOW + 2 * TEN), NOW + TEN, TEN)


async def test_who_asks_the_bot_before_gets_the_answer_instead(store: Store) -> None:
    await store.group_answers.plan("faq:1", post(), NOW, TEN)
    assert await claim(store, 7, NOW + 5) is Said.FIRST
    assert await due(store, NOW + 60) == []
    assert await claim(store, 8, NOW + 31) is Said.AGAIN


async def test_what_was_taken_back_was_never_said(store: Store, tmp_path: Path) -> None:
    answers = store.group_answers
    await answers.plan("faq:1", post(1), NOW, TEN)
    await answers.plan("faq:2", post(2), NOW, TEN)
    await answers.plan("faq:1", post(3, place="qun:2"), NOW, TEN)
    assert await answers.take_back(PLACE, NOW + 5) == 2
    assert await answers.take_back(PLACE, NOW + 5) == 0
    assert len(await due(store, NOW + 60)) == 1
    assert await claim(store, 7, NOW + 61) is Said.FIRST
    assert not await answers.plan("faq:9", post(1), NOW + 5, TEN), "its key is used up"
    sql = "select count(*) from posts where status = 'dropped' and body = ''"
    assert ask_file(tmp_path / "zhiqun.db", sql) == [(2,)]


async def test_what_is_on_its_way_is_not_taken_back(store: Store) -> None:
    await store.group_answers.plan("faq:1", post(), NOW, TEN)
    assert len(await due(store, NOW + 30)) == 1
    assert await store.group_answers.take_back(PLACE, NOW + 31) == 0
    assert await claim(store, 7, NOW + 31) is Said.AGAIN


async def test_where_answers_are_planned_is_known_after_a_restart(store: Store) -> None:
    assert await store.group_answers.waiting() == {}
    await store.group_answers.plan("faq:1", post(1), NOW, TEN)
    await store.group_answers.plan("faq:2", post(2, NOW + 90), NOW, TEN)
    assert await store.group_answers.waiting() == {PLACE: NOW + 90}
