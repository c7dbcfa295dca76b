"""Sign-up chains: one place for each member, a waiting list, and the same message twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from store import Store
from store.groups import Seen
from store.posts import NewPost, Post
from store.signups import HIGHEST, MOST_OPEN, PAUSE_S, Joining, Opening, Signup, numbered

NOW = 1_795_000_000.0
PLACE = "qun:1"


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def notice(signup: Signup, due_at: float) -> NewPost:
    words = "、".join(one.name for one in signup.entries)
    mark = f"{signup.id}:{due_at}".encode()
    return NewPost(
        key=mark[-16:].rjust(16, b"."),
        channel="qun",
        place=PLACE,
        kind="notice",
        body=Post("text", words),
        due_at=due_at,
    )


async def member(store: Store, who: str) -> int:
    return (await store.members.meet("qun", who, NOW)).id


@pytest.fixture
async def trip(store: Store) -> Signup:
    """A list of two places, opened by o_boss."""
    boss = await member(store, "o_boss")
    opening, signup = await store.signups.open(PLACE, "春游", 2, NOW + 900, boss, key(900), NOW)
    assert opening is Opening.DONE
    assert signup is not None
    return signup


async def posts(store: Store) -> list[tuple[float, str, str]]:
    def read(conn: Any) -> list[tuple[float, str, str]]:
        rows = conn.execute("select due_at, status, body from posts order by id").fetchall()
        return [
            (due, status, json.loads(body).get("content", "") if body else "")
            for due, status, body in rows
        ]

    return await store.db.read(read)


async def test_who_signs_up_stands_in_order_and_who_comes_late_waits(
    store: Store, trip: Signup
) -> None:
    for number, who in enumerate(("a", "b", "c"), 1):
        done = await store.signups.join(
            trip.id, await member(store, who), who, "", key(number), NOW + number
        )
        assert done.outcome is Joining.DONE
    found = await store.signups.get(trip.id)
    assert found is not None
    assert [(one.position, one.name, found.waits(one)) for one in found.entries] == [
        (1, "a", False),
        (2, "b", False),
        (3, "c", True),
    ]
    assert found.left == 0


async def test_who_leaves_lets_the_first_who_waits_move_up(store: Store, trip: Signup) -> None:
    for number, who in enumerate(("a", "b", "c", "d"), 1):
        await store.signups.join(trip.id, await member(store, who), who, "", key(number), NOW)
    done = await store.signups.leave(trip.id, await member(store, "a"), key(5), NOW)
    assert done.moved_up is not None
    assert done.moved_up.name == "c"
    waiting = await store.signups.leave(trip.id, await member(store, "d"), key(6), NOW)
    assert waiting.moved_up is None, "who waited takes nobody along"
    again = await store.signups.join(trip.id, await member(store, "a"), "a", "", key(7), NOW)
    assert again.signup is not None
    assert [one.name for one in again.signup.entries] == ["b", "c", "a"], "behind the others"


async def test_the_same_message_twice_changes_nothing(store: Store, trip: Signup) -> None:
    me = await member(store, "a")
    first = await store.signups.join(trip.id, me, "a", "带娃", key(1), NOW)
    assert await store.signups.join(trip.id, me, "a", "带娃", key(1), NOW + 9) == first
    left = await store.signups.leave(trip.id, me, key(2), NOW + 20)
    again = await store.signups.leave(trip.id, me, key(2), NOW + 30)
    assert (left.outcome, again.outcome) == (Joining.DONE, Joining.DONE)
    assert again.signup is not None
    assert again.signup.entries == ()
    opened = await store.signups.open(PLACE, "别的", None, None, me, key(900), NOW)
    assert opened[1] is not None
    assert opened[1].title == "春游", "the message that opened it opens nothing else"


async def test_a_note_may_be_changed_without_losing_the_place(store: Store, trip: Signup) -> None:
    me, other = await member(store, "a"), await member(store, "b")
    await store.signups.join(trip.id, me, "a", "", key(1), NOW)
    await store.signups.join(trip.id, other, "b", "", key(2), NOW)
    assert (await store.signups.join(trip.id, me, "a", "", key(3), NOW)).outcome is Joining.SAME
    done = await store.signups.join(trip.id, me, "a", "晚到", key(4), NOW)
    assert done.signup is not None
    assert [(one.name, one.note) for one in done.signup.entries] == [("a", "晚到"), ("b", "")]


async def test_nobody_signs_up_after_the_end(store: Store, trip: Signup) -> None:
    me = await member(store, "a")
    assert store.signups.open_in(PLACE, NOW + 899)
    assert not store.signups.open_in(PLACE, NOW + 900)
    done = await store.signups.join(trip.id, me, "a", "", key(1), NOW + 900)
    assert done.outcome is Joining.CLOSED
    assert (await store.signups.leave(trip.id, me, key(2), NOW)).outcome is Joining.SAME
    assert (await store.signups.join(99, me, "a", "", key(3), NOW)).outcome is Joining.CLOSED
    closed = await store.signups.close(trip.id, NOW + 1000)
    assert closed is not None
    assert closed.closed_at == NOW + 900, "it had ended by itself"


async def test_a_group_has_three_open_lists_and_a_member_one(store: Store, trip: Signup) -> None:
    boss = await member(store, "o_boss")
    assert (await store.signups.open(PLACE, "二", None, None, boss, key(1), NOW))[0] is (
        Opening.HAVE_ONE
    )
    for number in range(2, MOST_OPEN + 2):
        who = await member(store, f"m{number}")
        opening, _ = await store.signups.open(
            PLACE, f"第{number}个", None, None, who, key(number), NOW
        )
        assert (opening is Opening.DONE) is (number <= MOST_OPEN)
    assert store.signups.count_open(PLACE, NOW) == MOST_OPEN
    assert not store.signups.open_in(PLACE, NOW), "a bare +1 could mean any of them"
    assert store.signups.count_open("qun:2", NOW) == 0
    late = await member(store, "late")
    opening, _ = await store.signups.open(PLACE, "又", None, None, late, key(99), NOW + 901)
    assert opening is Opening.DONE, "the first one ended by itself"


async def test_what_is_open_is_known_after_a_restart(store: Store, trip: Signup) -> None:
    again = Store(store.db.path, durability="process", readers=1)
    await again.open()
    assert again.signups.open_in(PLACE, NOW)
    await again.close()


async def test_a_list_is_spoken_of_once_in_half_a_minute(store: Store, trip: Signup) -> None:
    says = store.signups.say
    for number, who in enumerate(("a", "b", "c"), 1):
        await store.signups.join(trip.id, await member(store, who), who, "", key(number), NOW)
        may = await says(trip.id, key(number), NOW + number, notice)
        assert may is (number == 1)
        assert await says(trip.id, key(1), NOW + number, notice) is (number == 1)
    assert await posts(store) == [(NOW + 1 + PAUSE_S, "planned", "a、b、c")]
    assert not await says(trip.id, key(5), NOW + 2 + PAUSE_S, notice)
    assert [due for due, _, _ in await posts(store)] == [NOW + 1 + PAUSE_S, NOW + 1 + 2 * PAUSE_S]
    assert await says(trip.id, key(6), NOW + 2 + 3 * PAUSE_S, notice), "all is quiet again"


async def test_where_nothing_can_be_posted_the_others_hear_nothing(
    store: Store, trip: Signup
) -> None:
    assert await store.signups.say(trip.id, key(1), NOW, None)
    assert not await store.signups.say(trip.id, key(2), NOW + 1, None)
    assert await posts(store) == []


async def test_at_night_the_list_is_planned_for_the_morning(store: Store, trip: Signup) -> None:
    assert not await store.signups.say(trip.id, key(1), NOW, notice, NOW + 500)
    assert not await store.signups.say(trip.id, key(2), NOW + 60, notice, NOW + 500)
    assert [due for due, _, _ in await posts(store)] == [NOW + 500]


async def test_forgetting_takes_a_member_off_every_list_and_out_of_what_is_planned(
    store: Store, trip: Signup
) -> None:
    boss, me = await member(store, "o_boss"), await member(store, "a")
    await store.groups.meet("qun", "1", NOW, bound_by="test")
    await store.groups.see(Seen(PLACE, me, "阿木", NOW))
    await store.signups.join(trip.id, me, "阿木", "带娃", key(1), NOW)
    await store.signups.say(trip.id, key(2), NOW, notice)
    await store.signups.say(trip.id, key(3), NOW, notice)
    assert "阿木" in (await posts(store))[0][2]
    await store.members.erase(me, NOW)
    found = await store.signups.get(trip.id)
    assert found is not None
    assert found.entries == ()
    assert [(status, body) for _, status, body in await posts(store)] == [("dropped", "")]
    await store.members.erase(boss, NOW)
    found = await store.signups.get(trip.id)
    assert found is not None
    assert found.opened_by == "", "the list stays, for the others, and is nobody's"


def test_a_number_stays_with_a_list_and_is_not_the_next_ones_at_once() -> None:
    # The second ends while two are open; the next one is 4, and 1 again when none was left.
    lists = [(10, 0.0, 50.0), (11, 1.0, 20.0), (12, 2.0, 50.0), (13, 30.0, 60.0), (14, 70.0, None)]
    assert numbered(lists) == {10: 1, 11: 2, 12: 3, 13: 4, 14: 1}
    assert numbered([]) == {}
    many = [(number, float(number), number + 1.5) for number in range(1, 30)]
    assert max(numbered(many).values()) == HIGHEST, "one digit, however long one follows another"


async def test_the_end_of_a_list_takes_the_place_of_what_was_to_be_posted(
    store: Store, trip: Signup
) -> None:
    await store.signups.say(trip.id, key(1), NOW, notice)
    await store.signups.say(trip.id, key(2), NOW + 1, notice)
    for _ in range(2):
        await store.signups.close(trip.id, NOW + 2, notice)
    assert [status for _, status, _ in await posts(store)] == ["dropped", "planned"]
