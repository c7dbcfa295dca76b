"""Learners: events say the same in whatever order they came; homework and wishes once."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from store import Store
from store.courses import ALL_COURSES, Learning, Step, learning_from
from store.events import NewEvent
from tests.store.rows import CHANNEL, LIN, MEI, NOW, course, key


def test_a_course_begins_with_its_enrolment_or_purchase() -> None:
    steps = [Step("purchase", 5.0, "py", order_id="o"), Step("enroll", 6.0, "py")]
    assert learning_from(steps) == [Learning("py", 5.0, last_at=6.0)]
    assert learning_from([]) == []


def test_progress_alone_is_a_beginning_too() -> None:
    steps = [Step("progress", 7.0, "py", "b", 10), Step("progress", 5.0, "py", "a", 30)]
    assert learning_from(steps) == [Learning("py", 5.0, chapters={"a": 30, "b": 10}, last_at=7.0)]
    assert learning_from([Step("refund", 1.0, "py")]) == [], "of nothing"


def test_a_chapter_keeps_its_greatest_percent() -> None:
    steps = [
        Step("enroll", 1.0, "py"),
        Step("progress", 4.0, "py", "a", 80),
        Step("progress", 9.0, "py", "a", 20),
        Step("progress", 9.0, "py", "b"),
        Step("progress", 9.0, "py", "c", 150),
        Step("progress", 9.0, "py", "", 50),
        Step("complete", 9.0, "py", "d"),
    ]
    (one,) = learning_from(steps)
    assert one.chapters == {"a": 80, "b": 0, "c": 100, "d": 100}
    assert one.completed_at is None, "a chapter is not the course"


def test_a_refund_ends_what_had_begun_and_no_other_order() -> None:
    bought = [Step("purchase", 1.0, "py", order_id="o1"), Step("enroll", 1.0, "py")]
    back = Step("refund", 5.0, "py", order_id="o1")
    (one,) = learning_from([*bought, back])
    assert (one.started_at, one.ended_at, one.active) == (1.0, 5.0, False)
    (one,) = learning_from([*bought, back, Step("purchase", 9.0, "py", order_id="o2")])
    assert (one.started_at, one.ended_at) == (9.0, None), "bought again"
    twice = [*bought, Step("purchase", 2.0, "py", order_id="o2"), back]
    (one,) = learning_from(twice)
    assert (one.started_at, one.ended_at) == (2.0, None), "the other order stands"
    (one,) = learning_from([*twice, Step("refund", 6.0, "py")])
    assert one.ended_at == 6.0, "a refund without an order takes all"


def test_a_completed_course_is_no_longer_active() -> None:
    steps = [Step("enroll", 1.0, "py"), Step("complete", 8.0, "py"), Step("complete", 5.0, "py")]
    (one,) = learning_from(steps)
    assert (one.completed_at, one.active) == (5.0, False)


def test_the_newest_activity_comes_first() -> None:
    steps = [Step("enroll", 1.0, "a"), Step("enroll", 3.0, "b"), Step("enroll", 1.0, "0")]
    assert [one.item_id for one in learning_from(steps)] == ["b", "0", "a"]


_STEPS = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(["enroll", "purchase", "refund", "progress", "complete"]),
        at=st.integers(0, 6).map(float),
        item_id=st.sampled_from(["py", "write"]),
        chapter_id=st.sampled_from(["", "a", "b"]),
        percent=st.none() | st.integers(0, 100),
        order_id=st.sampled_from(["", "o1", "o2"]),
    ),
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(steps=_STEPS, seed=st.integers(0, 1000))
def test_the_order_of_arrival_does_not_matter(steps: list[Step], seed: int) -> None:
    shuffled = list(steps)
    random.Random(seed).shuffle(shuffled)
    told = learning_from(steps)
    assert learning_from(shuffled) == told
    assert learning_from([*steps, *shuffled]) == told, "nor does hearing it twice"


# From the file


async def _happens(store: Store, member: int, *steps: Step) -> None:
    events = [
        NewEvent(
            f"{member}:{number}:{step}",
            step.kind,
            step.at,
            member_id=member,
            item_id=step.item_id,
            chapter_id=step.chapter_id,
            percent=step.percent,
            order_id=step.order_id,
        )
        for number, step in enumerate(steps)
    ]
    await store.events.add(events, NOW)


async def test_learning_is_read_from_the_events_of_courses_and_columns(store: Store) -> None:
    lin, mei = [(await store.members.meet(CHANNEL, name, NOW)).id for name in (LIN, MEI)]
    await store.catalogue.put([course(1), course(2, kind="column"), course(3, kind="ebook")], NOW)
    await store.catalogue.archive("c2", NOW)
    await _happens(
        store,
        lin,
        Step("progress", NOW + 9, "c1", "1", 60),
        Step("purchase", NOW + 1, "c1", order_id="o"),
        Step("purchase", NOW + 2, "c2"),
        Step("purchase", NOW + 3, "c3"),
        Step("purchase", NOW + 4, "unheard-of"),
        Step("enroll", NOW, "only-in-the-shop"),
        Step("view", NOW + 99, "c1"),
    )
    await _happens(store, mei, Step("enroll", NOW, "c1"))
    assert await store.courses.learning(lin) == [
        Learning("c1", NOW + 1, chapters={"1": 60}, last_at=NOW + 9),
        Learning("c2", NOW + 2, last_at=NOW + 2),
        Learning("only-in-the-shop", NOW, last_at=NOW),
    ]
    assert [one.item_id for one in await store.courses.learning(mei)] == ["c1"]
    assert await store.courses.learning(10**6) == []


# Homework


async def test_homework_is_kept_once_for_each_message(store: Store) -> None:
    lin = (await store.members.meet(CHANNEL, LIN, NOW)).id
    first = await store.courses.hand_in(lin, "c1", "1", "写完了", NOW, key(1))
    assert first is not None
    assert await store.courses.hand_in(lin, "c2", "", "写完了", NOW + 1, key(1)) == first
    second = await store.courses.hand_in(lin, "c2", "", "第二份", NOW + 2, key(2))
    assert second is not None
    assert await store.courses.homework_of(lin) == [second, first]
    assert await store.courses.homework_of(lin, 1) == [second]
    assert await store.courses.handed_in() == (2, [second, first])
    assert await store.courses.handed_in(offset=1) == (2, [first])
    assert await store.courses.handed_in("c1") == (1, [first])
    assert await store.courses.handed_in("c7") == (0, [])


async def test_nobodys_homework_is_not_kept(store: Store) -> None:
    assert await store.courses.hand_in(77, "c1", "", "写完了", NOW, key(1)) is None
    assert await store.courses.handed_in() == (0, [])


async def test_a_forgotten_members_homework_and_wishes_go_too(store: Store) -> None:
    lin = (await store.members.meet(CHANNEL, LIN, NOW)).id
    await store.courses.hand_in(lin, "c1", "", "写完了", NOW, key(1))
    await store.courses.remind(lin, ALL_COURSES, NOW)
    exported = await store.members.export(lin)
    assert exported is not None
    assert [row["text"] for row in exported["homework"]] == ["写完了"]
    assert len(exported["reminders"]) == 1
    await store.members.erase(lin, 0.0)
    assert await store.courses.handed_in() == (0, [])
    assert await store.courses.wanting_reminders() == []


# Reminders


async def test_a_wish_to_be_reminded_is_one_row_for_each_course(store: Store) -> None:
    lin = (await store.members.meet(CHANNEL, LIN, NOW)).id
    assert await store.courses.remind(lin, "c1", NOW)
    assert not await store.courses.remind(lin, "c1", NOW + 1)
    assert await store.courses.remind(lin, ALL_COURSES, NOW + 2)
    assert await store.courses.reminded_of(lin) == ["c1", ALL_COURSES]
    assert await store.courses.stop_reminding(lin) == 2
    assert await store.courses.stop_reminding(lin) == 0
    assert not await store.courses.remind(77, "c1", NOW), "nobody has this number"


async def test_who_wants_reminders_comes_with_the_unfinished_courses_they_meant(
    store: Store,
) -> None:
    lin, mei = [(await store.members.meet(CHANNEL, name, NOW)).id for name in (LIN, MEI)]
    await store.catalogue.put([course(1), course(2)], NOW)
    for member in (lin, mei):
        await _happens(store, member, Step("enroll", NOW, "c1"), Step("enroll", NOW + 1, "c2"))
    await store.courses.remind(lin, "c1", NOW)
    await store.courses.remind(mei, ALL_COURSES, NOW)
    await _happens(store, mei, replace(Step("complete", NOW + 5, "c2"), percent=100))
    found = await store.courses.wanting_reminders()
    assert [(who, [one.item_id for one in learning]) for who, learning in found] == [
        (lin, ["c1"]),
        (mei, ["c1"]),
    ]
