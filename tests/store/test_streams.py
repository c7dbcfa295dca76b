"""Streams: a row before the first frame, one way out for each answer, nothing kept for long."""

from __future__ import annotations

import pytest

from store import Store
from store.messages import Finished
from store.streams import PUSH_WITHIN_S, Fetched, NewStream
from tests.store.rows import CHANNEL, LIN, NOW, incoming, key

URL = "https://qyapi.weixin.qq.com/cgi-bin/aibot/response?response_code=RC"


def stream(number: int = 1, *, due_at: float | None = None, url: str = URL) -> NewStream:
    return NewStream(key(number), CHANNEL, LIN, url, NOW, due_at)


def end(number: int, row: NewStream | None) -> Finished:
    reply = f"答{number}".encode()
    return Finished(key(number), reply, NOW, CHANNEL, LIN, "text", "", "test", "", stream=row)


async def answered(store: Store, number: int = 1, due_at: float | None = NOW + 15) -> None:
    """A message whose answer waits to be fetched."""
    await store.messages.record(incoming(number))
    await store.streams.begin(stream(number))
    await store.messages.finish(end(number, stream(number, due_at=due_at)))


async def rows(store: Store) -> list[tuple[object, ...]]:
    sql = "select sender, response_url, due_at, note from streams order by message_key"
    return await store.db.read(lambda conn: conn.execute(sql).fetchall())


async def test_a_stream_that_begins_is_acknowledged_with_its_row(store: Store) -> None:
    await store.messages.record(incoming(1))
    await store.streams.begin(stream())
    await store.streams.begin(stream())
    [unanswered] = await store.messages.unanswered()
    assert unanswered.acked
    assert await store.streams.fetch(key(1), CHANNEL, NOW) == Fetched("open")


async def test_a_stream_of_no_message_is_not_written_down(store: Store) -> None:
    await store.streams.begin(stream())
    await store.streams.finish(stream(due_at=NOW), NOW)
    assert await rows(store) == []
    assert await store.streams.fetch(key(1), CHANNEL, NOW) == Fetched("unknown")


async def test_what_is_fetched_is_not_pushed_and_can_be_fetched_again(store: Store) -> None:
    await answered(store)
    found = Fetched("answered", "答1".encode(), LIN)
    assert await store.streams.fetch(key(1), CHANNEL, NOW) == found
    assert await store.streams.claim(NOW + 100) == ([], 0)
    assert await store.streams.fetch(key(1), CHANNEL, NOW + 100) == found
    assert await store.streams.fetch(key(1), "another", NOW) == Fetched("unknown")
    assert await rows(store) == [(LIN, URL, None, "")]
    await store.streams.taken(key(1))
    assert await rows(store) == [(LIN, "", None, "")], "the address is of no more use"
    assert not await store.streams.missed(key(1), NOW), "it arrived once"


async def test_what_was_fetched_and_did_not_arrive_is_due_again(store: Store) -> None:
    await answered(store)
    assert not await store.streams.missed(key(1), NOW + 15), "nobody has fetched it yet"
    await store.streams.fetch(key(1), CHANNEL, NOW)
    assert await store.streams.missed(key(1), NOW + 15)
    assert await store.streams.next_due() == NOW + 15
    await store.streams.fetch(key(1), CHANNEL, NOW + 1)
    assert await store.streams.next_due() is None, "it was asked for again"
    await store.streams.missed(key(1), NOW + 16)
    [push], _ = await store.streams.claim(NOW + 16)
    assert push.reply == "答1".encode()
    assert not await store.streams.missed(key(1), NOW + 20), "it is on its way"


async def test_what_is_still_worked_on_cannot_be_missed(store: Store) -> None:
    await store.messages.record(incoming(1))
    await store.streams.begin(stream())
    await store.streams.fetch(key(1), CHANNEL, NOW)
    assert not await store.streams.missed(key(1), NOW)


async def test_what_is_pushed_is_not_fetched(store: Store) -> None:
    await answered(store)
    assert await store.streams.claim(NOW + 14) == ([], 0)
    [push], late = await store.streams.claim(NOW + 15)
    assert (push.response_url, push.reply, late) == (URL, "答1".encode(), 0)
    assert await store.streams.fetch(key(1), CHANNEL, NOW + 15) == Fetched("pushed")
    await store.streams.pushed(key(1), NOW + 16)
    assert await store.streams.claim(NOW + 99) == ([], 0)
    assert await store.streams.fetch(key(1), CHANNEL, NOW + 99) == Fetched("pushed")


async def test_a_push_that_did_not_leave_may_be_fetched_or_pushed_later(store: Store) -> None:
    await answered(store)
    await store.streams.claim(NOW + 15)
    await store.streams.put_off(key(1), NOW + 30)
    assert await store.streams.next_due() == NOW + 30
    [push], _ = await store.streams.claim(NOW + 30)
    assert push.key == key(1)


@pytest.mark.parametrize(("ended", "state"), [("refused", "answered"), ("unheard", "pushed")])
async def test_only_what_certainly_did_not_arrive_can_be_fetched_after(
    store: Store, ended: str, state: str
) -> None:
    await answered(store)
    await store.streams.claim(NOW + 15)
    await getattr(store.streams, ended)(key(1), "93000: gone")
    assert await store.streams.next_due() is None
    assert (await store.streams.fetch(key(1), CHANNEL, NOW + 20)).state == state


async def test_a_crash_during_the_call_leaves_an_unknown_end(store: Store) -> None:
    await answered(store)
    await store.streams.claim(NOW + 15)
    assert await store.streams.recover() == 1
    assert await store.streams.recover() == 0
    assert await store.streams.claim(NOW + 99) == ([], 0)


async def test_so_many_at_a_time_the_oldest_first_and_none_after_an_hour(store: Store) -> None:
    for number in (1, 2, 3):
        await answered(store, number, NOW + 20 - number)
    pushes, _ = await store.streams.claim(NOW + 20, limit=2)
    assert [push.key for push in pushes] == [key(3), key(2)]
    assert await store.streams.claim(NOW + PUSH_WITHIN_S + 1) == ([], 1)


async def test_without_an_address_nothing_is_due(store: Store) -> None:
    await answered(store, due_at=None)
    assert await store.streams.next_due() is None


async def test_giving_up_ends_what_is_open_and_nothing_else(store: Store) -> None:
    await store.messages.record(incoming(1))
    await store.streams.begin(stream())
    await answered(store, 2)
    for number in (1, 2):
        await store.streams.give_up(key(number), b"sorry", NOW, NOW + 15)
    assert (await store.streams.fetch(key(1), CHANNEL, NOW)).reply == b"sorry"
    assert (await store.streams.fetch(key(2), CHANNEL, NOW)).reply == "答2".encode()


async def test_streams_are_forgotten_with_time_and_with_their_member(store: Store) -> None:
    await answered(store, 1)
    assert await store.streams.purge(NOW + 1) == 0, "its push is still due"
    await store.streams.fetch(key(1), CHANNEL, NOW)
    assert await store.streams.purge(NOW) == 0
    assert await store.streams.purge(NOW + 1) == 1
    member = await store.members.meet(CHANNEL, LIN, NOW)
    await answered(store, 2)
    await store.members.erase(member.id, NOW)
    assert await rows(store) == []


async def test_who_is_forgotten_in_a_stream_leaves_neither_name_nor_address(store: Store) -> None:
    member = await store.members.meet(CHANNEL, LIN, NOW)
    await store.messages.record(incoming(1))
    await store.streams.begin(stream())
    await store.members.erase(member.id, NOW, keep_key=key(1))
    await store.messages.finish(end(1, stream(due_at=NOW + 15)))
    assert await rows(store) == [("", "", None, "")]
    assert (await store.streams.fetch(key(1), CHANNEL, NOW)).state == "answered"
