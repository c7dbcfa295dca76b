"""What still has to reach a member: in order, once, and never beyond the allowance."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from store import Store
from tests.store.rows import (
    BURST_S,
    CHANNEL,
    LIN,
    MEI,
    NOW,
    WINDOW_S,
    answered,
    finished,
    key,
    late,
)

ASK = key(1000)


async def claimed(store: Store, now: float = NOW, limit: int = 50) -> list[str]:
    return [send.reply for send in await store.sends.claim(now, limit)]


async def drain(store: Store, now: float = NOW) -> list[str]:
    """Everything that can be pushed at this moment, in the order it goes out."""
    gone = []
    while batch := await store.sends.claim(now):
        for send in batch:
            gone.append(send.reply)
            await store.sends.settle(send.id, "sent", now)
    return gone


# Order


async def test_a_member_gets_one_part_at_a_time_in_order(store: Store) -> None:
    await answered(store, 1, allowance=5, late=late(3))
    order = []
    for _ in range(3):
        batch = await store.sends.claim(NOW)
        assert len(batch) == 1
        assert await claimed(store) == [], "the next one waits for the one under way"
        await store.sends.settle(batch[0].id, "sent", NOW)
        order.append(batch[0].reply)
    assert order == ["part 0", "part 1", "part 2"]


async def test_members_do_not_wait_for_each_other(store: Store) -> None:
    await answered(store, 1, LIN, allowance=5, late=late(2, word="lin"))
    await answered(store, 2, MEI, allowance=5, late=late(2, word="mei"))
    assert await claimed(store) == ["lin 0", "mei 0"]


async def test_a_claim_takes_no_more_than_its_limit(store: Store) -> None:
    for number in range(5):
        await answered(store, number, f"oTEST_{number}", allowance=5, late=late(1))
    assert [len(await claimed(store, limit=3)) for _ in range(3)] == [3, 2, 0]


async def test_one_part_is_claimed_by_one_claimer(store: Store) -> None:
    for number in range(30):
        await answered(store, number, f"oTEST_{number}", allowance=5, late=late(1))
    other = Store(store.db.path, durability="process")
    await other.open()
    try:
        batches = await asyncio.gather(
            *[one.sends.claim(NOW, 7) for _ in range(3) for one in (store, other)]
        )
    finally:
        await other.close()
    ids = [send.id for batch in batches for send in batch]
    assert len(ids) == len(set(ids)) == 30


async def test_what_is_put_off_holds_back_the_parts_behind_it(store: Store) -> None:
    await answered(store, 1, allowance=5, late=late(2))
    send = (await store.sends.claim(NOW))[0]
    await store.sends.put_off(send.id, NOW + 30, errcode=-1, note="busy")
    assert await claimed(store, NOW + 29) == []
    again = (await store.sends.claim(NOW + 30))[0]
    assert (again.reply, again.tries) == ("part 0", 1), "tries: calls before this one"


async def test_next_due_is_when_a_claim_will_find_something(store: Store) -> None:
    assert await store.sends.next_due() is None
    await answered(store, 1, allowance=5, late=late(2))
    assert await store.sends.next_due() == NOW
    send = (await store.sends.claim(NOW))[0]
    assert await store.sends.next_due() is None, "part 1 waits for part 0, not for a time"
    await store.sends.put_off(send.id, NOW + 30, errcode=-1, note="busy")
    assert await store.sends.next_due() == NOW + 30, "a busy loop otherwise"


# Allowance


async def test_each_push_costs_one_of_the_allowance(store: Store) -> None:
    await answered(store, 1, allowance=5, late=late(7))
    assert await drain(store) == [f"part {n}" for n in range(5)]
    assert await store.sends.counts() == {"sent": 5, "waiting": 2}


async def test_without_an_allowance_nothing_is_pushed(store: Store) -> None:
    await answered(store, 1, late=late(1))
    assert await claimed(store) == []
    assert await store.sends.counts() == {"waiting": 1}


async def test_the_parts_of_an_answer_that_cannot_be_pushed_wait_together(store: Store) -> None:
    """Otherwise a new message would have part 1 pushed before part 0 is asked for."""
    await answered(store, 1, late=late(3))
    await claimed(store)
    await answered(store, 2, allowance=5)
    assert await claimed(store) == []
    assert await store.sends.fetch(CHANNEL, LIN, ASK, NOW) == ("part 0", 2)


@pytest.mark.parametrize(
    ("opened", "window_s"), [({"allowance": 5}, WINDOW_S), ({"burst": 3}, BURST_S)]
)
async def test_an_allowance_ends_with_its_window(
    store: Store, opened: dict[str, Any], window_s: float
) -> None:
    await answered(store, 1, **opened, late=late(2))
    batch = await store.sends.claim(NOW + window_s - 0.5)
    assert len(batch) == 1
    await store.sends.settle(batch[0].id, "sent", NOW)
    assert await claimed(store, NOW + window_s) == []


async def test_both_windows_are_charged_by_one_push(store: Store) -> None:
    """WeChat keeps the larger of the two, so they never add up."""
    await answered(store, 1, allowance=5)
    await answered(store, 2, burst=3, late=late(8))
    assert len(await drain(store)) == 5


async def test_after_the_minute_the_rest_of_the_two_days_counts(store: Store) -> None:
    await answered(store, 1, allowance=5)
    await answered(store, 2, burst=3, late=late(2))
    assert len(await drain(store)) == 2
    await answered(store, 3, at=NOW + BURST_S, late=late(8))
    assert len(await drain(store, NOW + BURST_S)) == 3


async def test_a_new_message_fills_the_allowance_up_and_does_not_add(store: Store) -> None:
    await answered(store, 1, allowance=5, late=late(2))
    await drain(store)
    await answered(store, 2, allowance=5, late=late(9))
    assert len(await drain(store)) == 5


async def test_other_messages_leave_the_allowance_as_it_is(store: Store) -> None:
    await answered(store, 1, allowance=5)
    await answered(store, 2, at=NOW + 1, late=late(9))
    assert len(await drain(store, NOW + 1)) == 5


async def test_who_unfollows_can_no_longer_be_pushed_to(store: Store) -> None:
    await answered(store, 1, allowance=5, burst=3, late=late(1))
    await store.members.follow(CHANNEL, LIN, False, NOW)
    assert await claimed(store) == []


async def test_the_allowance_is_of_one_identity(store: Store) -> None:
    await answered(store, 1, MEI, allowance=5)
    await answered(store, 2, LIN, late=late(1))
    assert await claimed(store) == []


async def test_putting_off_gives_the_allowance_back(store: Store) -> None:
    await answered(store, 1, allowance=1, late=late(1))
    for tries in range(3):
        send = (await store.sends.claim(NOW))[0]
        assert send.tries == tries
        await store.sends.put_off(send.id, NOW, errcode=-1, note="busy")
    assert len(await claimed(store)) == 1


async def test_putting_off_gives_a_burst_back_as_a_burst(store: Store) -> None:
    await answered(store, 1, burst=1, late=late(1))
    send = (await store.sends.claim(NOW))[0]
    await store.sends.put_off(send.id, NOW + 10, errcode=-1, note="busy")
    assert len(await claimed(store, NOW + 10)) == 1
    await store.sends.settle(send.id, "sent", NOW + 10)
    await answered(store, 2, at=NOW + 10, late=late(1))
    assert await claimed(store, NOW + 10) == [], "one burst, one push"


async def test_putting_off_adds_nothing_to_a_newer_allowance(store: Store) -> None:
    await answered(store, 1, allowance=5, late=late(9))
    send = (await store.sends.claim(NOW))[0]
    await answered(store, 2, at=NOW + 5, allowance=5)
    await store.sends.put_off(send.id, NOW + 5, errcode=-1, note="busy")
    assert len(await drain(store, NOW + 5)) == 5


async def test_putting_off_what_is_settled_changes_nothing(store: Store) -> None:
    await answered(store, 1, allowance=2, late=late(4))
    send = (await store.sends.claim(NOW))[0]
    await store.sends.settle(send.id, "sent", NOW)
    await store.sends.put_off(send.id, NOW, errcode=None, note="")
    await store.sends.settle(send.id, "refused", NOW, errcode=40003)
    assert await store.sends.counts() == {"planned": 3, "sent": 1}
    assert len(await drain(store)) == 1


# Ends


async def test_what_was_sent_keeps_no_text(store: Store) -> None:
    await answered(store, 1, allowance=5, late=late(2, word="秘密"))
    assert await drain(store) == ["秘密 0", "秘密 1"]
    rows = await store.db.read(lambda conn: conn.execute("select reply from sends").fetchall())
    assert rows == [("",), ("",)]


async def test_refused_and_unknown_ends_are_listed_newest_first(store: Store) -> None:
    ends = ("sent", "refused", "unknown", "waiting")
    for number, status in enumerate(ends):
        await answered(store, number, f"oTEST_{number}", allowance=5, late=late(1))
        send = (await store.sends.claim(NOW))[0]
        code = None if status == "unknown" else number
        await store.sends.settle(send.id, status, NOW, errcode=code, note=status)
    listed = await store.sends.listed()
    assert [(one.message_key, one.status, one.errcode, one.note) for one in listed] == [
        (key(2), "unknown", None, "unknown"),
        (key(1), "refused", 1, "refused"),
    ]
    assert len(await store.sends.listed(1)) == 1
    assert await store.sends.counts() == dict.fromkeys(sorted(ends), 1)


async def test_after_a_crash_a_call_under_way_is_unknown_and_never_repeated(
    store: Store,
) -> None:
    await answered(store, 1, allowance=5, late=late(2))
    await store.sends.claim(NOW)
    assert await store.sends.recover(NOW) == 1
    assert await store.sends.recover(NOW) == 0
    assert [one.status for one in await store.sends.listed()] == ["unknown"]
    assert await drain(store) == ["part 1"]


# Asked for with 继续


async def test_each_question_fetches_the_next_part(store: Store) -> None:
    await answered(store, 1, late=late(3, "waiting"))
    found = [await store.sends.fetch(CHANNEL, LIN, key(n), NOW) for n in range(10, 14)]
    assert found == [("part 0", 2), ("part 1", 1), ("part 2", 0), None]


async def test_the_same_question_always_fetches_the_same_part(store: Store) -> None:
    await answered(store, 1, late=late(3, "waiting"))
    found = await asyncio.gather(*[store.sends.fetch(CHANNEL, LIN, ASK, NOW) for _ in range(5)])
    assert found == [("part 0", 2)] * 5


async def test_a_first_part_that_turned_late_is_fetched_first(store: Store) -> None:
    """The rest was written with the answer, the first part when nobody had taken it."""
    await answered(store, 1, late=late(3, "waiting")[1:])
    await store.messages.turn_late(finished(1, late=late(1, "waiting")), b"")
    await answered(store, 2, late=late(1, "waiting", word="second answer"))
    found = [await store.sends.fetch(CHANNEL, LIN, key(n), NOW) for n in range(10, 14)]
    assert [one and one[0] for one in found] == ["part 0", "part 1", "part 2", "second answer 0"]


async def test_nobody_fetches_what_is_meant_for_another(store: Store) -> None:
    await answered(store, 1, LIN, late=late(1, "waiting"))
    assert await store.sends.fetch(CHANNEL, MEI, ASK, NOW) is None
    assert await store.sends.fetch("other", LIN, ASK, NOW) is None


async def test_what_is_still_planned_cannot_be_fetched(store: Store) -> None:
    await answered(store, 1, allowance=5, late=late(1))
    assert await store.sends.fetch(CHANNEL, LIN, ASK, NOW) is None


async def test_the_purge_takes_old_ends_and_leaves_what_is_under_way(store: Store) -> None:
    await answered(store, 1, allowance=5, late=late(1))
    await drain(store, NOW)
    await answered(store, 2, late=late(1, "waiting"))
    await store.sends.fetch(CHANNEL, LIN, ASK, NOW)
    await answered(store, 3, late=late(1, "waiting"), at=NOW)
    await answered(store, 4, MEI, allowance=5, late=late(2))
    await store.sends.claim(NOW)
    assert await store.sends.purge(NOW) == 0, "from before that moment only"
    assert await store.sends.purge(NOW + 1) == 3
    assert await store.sends.counts() == {"planned": 1, "sending": 1}
