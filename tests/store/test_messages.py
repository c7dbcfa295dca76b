"""The inbox's memory: recorded once, finished once, forgotten when it may be."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from store import Store
from store.db import Many
from store.messages import Recorded
from tests.blank import blank
from tests.store.rows import (
    CHANNEL,
    LIN,
    MEI,
    NOW,
    answered,
    ask_file,
    finished,
    incoming,
    key,
    late,
    meeting,
    places_of,
)


async def test_a_new_message_is_fresh(store: Store) -> None:
    assert await store.messages.record(incoming(1)) == Recorded(fresh=True, reply=None)


async def test_a_message_seen_but_not_answered_may_run_again(store: Store) -> None:
    await store.messages.record(incoming(1))
    assert await store.messages.record(incoming(1)) == Recorded(fresh=False, reply=None)


async def test_a_repeat_of_an_answered_message_gets_the_same_bytes(store: Store) -> None:
    await answered(store, 1, reply=b"\x00<xml>\xff")
    again = await store.messages.record(incoming(1, body=b"another body"))
    assert again == Recorded(fresh=False, reply=b"\x00<xml>\xff")


async def test_an_empty_answer_is_an_answer_too(store: Store) -> None:
    await answered(store, 1, reply=b"")
    assert await store.messages.record(incoming(1)) == Recorded(fresh=False, reply=b"")


async def test_of_equal_messages_at_the_same_time_one_is_fresh(store: Store) -> None:
    found = await asyncio.gather(*[store.messages.record(incoming(1)) for _ in range(20)])
    assert [one.fresh for one in found] == [True] + [False] * 19


async def test_of_equal_messages_in_two_processes_one_is_fresh(store: Store) -> None:
    other = Store(store.db.path, durability="process")
    await other.open()
    try:
        found = await asyncio.gather(
            *[
                one.messages.record(incoming(number))
                for number in range(50)
                for one in (store, other)
            ]
        )
    finally:
        await other.close()
    assert sum(one.fresh for one in found) == 50


async def test_different_messages_of_one_batch_are_all_fresh(store: Store) -> None:
    found = await asyncio.gather(*[store.messages.record(incoming(n)) for n in range(100)])
    assert all(one.fresh for one in found)


@pytest.mark.parametrize("count", [1, 3, 31, 32, 33, 70])
async def test_a_batch_of_any_size_is_recorded_and_finished_row_by_row(
    store: Store, count: int
) -> None:
    """Statements take rows in fixed numbers; what fills them up must not count."""
    await answered(store, 0)
    numbers = [0, *range(1, count + 1), *range(1, count + 1)]
    found = await meeting(store, [store.messages.record(incoming(n)) for n in numbers])
    assert found == [
        Recorded(False, b"reply 0"),
        *[Recorded(True, None)] * count,
        *[Recorded(False, None)] * count,
    ]
    await meeting(store, [store.messages.finish(finished(n)) for n in range(1, count + 1)])
    rows = ask_file(store.db.path, "select key, reply from messages order by id")
    assert rows == [(key(n), b"reply %d" % n) for n in range(count + 1)]
    assert ask_file(store.db.path, "select text from interactions order by id") == [
        (f"words {n}",) for n in range(count + 1)
    ]


async def test_known_and_unknown_messages_of_one_batch_are_told_apart(store: Store) -> None:
    for number in range(0, 33, 3):
        await answered(store, number)
    for number in range(1, 33, 3):
        await store.messages.record(incoming(number))
    found = await meeting(store, [store.messages.record(incoming(n)) for n in range(33)])
    expected = [
        Recorded(False, b"reply %d" % n) if n % 3 == 0 else Recorded(n % 3 == 2, None)
        for n in range(33)
    ]
    assert found == expected
    assert ask_file(store.db.path, "select count(*) from messages") == [(33,)]


_SYNCED: Many[None, bool] = Many(
    lambda conn, args: [conn.execute("pragma synchronous").fetchone()[0] == 2] * len(args),
    sync=False,
)


async def test_a_record_does_not_wait_for_the_disk_but_what_is_promised_does(
    tmp_path: Path,
) -> None:
    """`_SYNCED` asks for nothing itself: it sees what the others in its transaction want."""
    store = Store(blank(tmp_path / "zhiqun.db"), durability="full")
    await store.open()

    async def synced() -> bool:
        return await store.db.write_many(_SYNCED, None)

    async def beside(write: Coroutine[Any, Any, Any]) -> bool:
        return bool((await meeting(store, [write, synced()]))[1])

    try:
        await store.members.meet(CHANNEL, LIN, NOW)
        assert not await beside(store.messages.record(incoming(1)))
        assert await beside(store.messages.acknowledge(key(1)))
        assert not await beside(store.messages.record(incoming(1)))
        assert await beside(store.messages.finish(finished(1)))
    finally:
        await store.close()


# The end of a message


async def test_finishing_writes_the_interaction_exactly_once(store: Store) -> None:
    member_id = await answered(store, 1, item="faq:12")
    end = finished(1, item="faq:12")
    await asyncio.gather(store.messages.finish(end), store.messages.finish(end))
    assert ask_file(
        store.db.path,
        "select at, channel, member_id, kind, text, handler, item, message_key from interactions",
    ) == [(NOW, CHANNEL, member_id, "text", "words 1", "faq", "faq:12", key(1))]


async def test_finishing_forgets_the_body_and_keeps_the_reply(store: Store) -> None:
    await store.messages.record(incoming(1, body="秘密".encode()))
    assert (await store.messages.unanswered())[0].body == "秘密".encode()
    await answered(store, 1)
    rows = ask_file(store.db.path, "select body, reply, status, answered_at from messages")
    assert rows == [(None, b"reply 1", 1, NOW)]
    assert await store.messages.unanswered() == []


async def test_finishing_notes_when_the_member_was_seen(store: Store) -> None:
    member_id = await answered(store, 1, allowance=5)
    await answered(store, 2, at=NOW + 60, burst=3)
    card = await store.members.card(member_id)
    assert card is not None
    assert (card.last_seen_at, card.messages) == (NOW + 60, 2)


async def test_many_ends_in_one_batch_go_to_their_own_members(store: Store) -> None:
    people = [await store.members.meet(CHANNEL, f"oTEST_{n}", NOW) for n in range(10)]
    await asyncio.gather(*[store.messages.record(incoming(n, f"oTEST_{n}")) for n in range(10)])
    await asyncio.gather(
        *[
            store.messages.finish(finished(n, who.external_id, allowance=n + 1, burst=10 - n))
            for n, who in enumerate(people)
        ]
    )
    assert ask_file(
        store.db.path,
        "select i.text, m.external_id, m.allowance, m.burst from interactions as i "
        "join identities as m on m.member_id = i.member_id order by i.id",
    ) == [(f"words {n}", f"oTEST_{n}", n + 1, 10 - n) for n in range(10)]


async def test_two_messages_of_one_member_in_one_batch_both_count(store: Store) -> None:
    member = await store.members.meet(CHANNEL, LIN, NOW)
    await asyncio.gather(*[store.messages.record(incoming(n)) for n in range(3)])
    ends: list[dict[str, Any]] = [{"allowance": 5}, {"burst": 3}, {}]
    await meeting(store, [store.messages.finish(finished(n, **end)) for n, end in enumerate(ends)])
    assert ask_file(store.db.path, "select allowance, burst from identities") == [(5, 3)]
    assert await store.interactions.count_of(member.id) == 3


async def test_an_erased_member_leaves_nothing_behind_when_a_slow_answer_ends(
    store: Store,
) -> None:
    """The answer was still being made when somebody else erased its member."""
    await store.messages.record(incoming(1))
    member = await store.members.meet(CHANNEL, LIN, NOW)
    await store.members.erase(member.id, 0.0)
    await store.messages.finish(finished(1, late=late(2)))
    await store.messages.turn_late(finished(1, late=late(2)), b"success")
    assert places_of(store.db.path, [LIN, "words 1", "part 0", "reply 1"]) == set()


async def test_the_number_of_an_erased_member_is_never_given_to_another(store: Store) -> None:
    """A slow answer would otherwise be written to a stranger's history."""
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    await store.messages.record(incoming(1))
    await store.members.erase(lin.id, 0.0)
    mei = await store.members.meet(CHANNEL, MEI, NOW)
    await store.messages.finish(finished(1))
    assert mei.id != lin.id
    assert await store.interactions.count_of(mei.id) == 0


async def test_a_slow_answer_goes_to_the_person_its_member_became(store: Store) -> None:
    older = await answered(store, 1, MEI)
    await store.members.unite(CHANNEL, MEI, "uTEST_union")
    await store.members.meet(CHANNEL, LIN, NOW)
    await store.messages.record(incoming(2))
    await store.members.unite(CHANNEL, LIN, "uTEST_union")
    await store.messages.finish(finished(2, allowance=5))
    assert await store.interactions.count_of(older) == 2
    rows = ask_file(store.db.path, "select member_id, allowance, followed from identities")
    assert sorted(rows) == [(older, 0, 0), (older, 5, 1)]


# Late answers


async def test_late_parts_are_written_with_the_answer(store: Store) -> None:
    await answered(store, 1, late=late(2, "waiting"))
    assert await store.sends.counts() == {"waiting": 2}


async def test_an_answer_nobody_took_turns_late(store: Store) -> None:
    await answered(store, 1, reply=b"<xml>first part</xml>", late=late(3, "waiting")[1:])
    await store.messages.turn_late(finished(1, late=late(1)), b"success")
    assert (await store.messages.record(incoming(1))).reply == b"success"
    assert await store.sends.counts() == {"planned": 1, "waiting": 2}


async def test_turning_late_twice_sends_once(store: Store) -> None:
    await answered(store, 1)
    for _ in range(2):
        await store.messages.turn_late(finished(1, late=late(1)), b"success")
    assert await store.sends.counts() == {"planned": 1}


# After a crash, and after a while


async def test_unanswered_messages_come_back_in_their_order(store: Store) -> None:
    for number in (3, 1, 2):
        await store.messages.record(incoming(number, at=NOW - number, body=b"body %d" % number))
    await answered(store, 1)
    left = await store.messages.unanswered()
    assert [(one.key, one.channel, one.sender, one.received_at, one.body) for one in left] == [
        (key(3), CHANNEL, LIN, NOW - 3, b"body 3"),
        (key(2), CHANNEL, LIN, NOW - 2, b"body 2"),
    ]


async def test_it_is_kept_whether_wechat_was_told_to_ask_no_more(store: Store) -> None:
    for number in (1, 2, 3):
        await store.messages.record(incoming(number))
    await store.messages.acknowledge(key(2))
    await store.messages.acknowledge(key(3))
    await answered(store, 3)
    left = await store.messages.unanswered()
    assert [(one.key, one.acked) for one in left] == [(key(1), False), (key(2), True)]
    await store.messages.acknowledge(key(99))
    assert await store.messages.record(incoming(2)) == Recorded(fresh=False, reply=None)


async def test_what_wechat_was_told_outlives_the_process(tmp_path: Path) -> None:
    first = Store(blank(tmp_path / "zhiqun.db"))
    await first.open()
    await asyncio.gather(*[first.messages.record(incoming(n)) for n in (1, 2)])
    await first.messages.acknowledge(key(1))
    await first.close()
    second = Store(blank(tmp_path / "zhiqun.db"))
    await second.open()
    try:
        left = await second.messages.unanswered()
    finally:
        await second.close()
    assert [(one.key, one.acked) for one in left] == [(key(1), True), (key(2), False)]


async def test_the_purge_takes_old_answered_messages_only(store: Store) -> None:
    await answered(store, 1, at=NOW - 100)
    await answered(store, 2, at=NOW)
    await store.messages.record(incoming(3, at=NOW - 100))
    assert await store.messages.purge(NOW - 50) == 1
    assert (await store.messages.record(incoming(1))).fresh, "forgotten"
    assert (await store.messages.record(incoming(2))).reply == b"reply 2"
    assert key(3) in [one.key for one in await store.messages.unanswered()], "never dropped"
    assert await store.interactions.count_of(1) == 2, "what was said is kept elsewhere"
