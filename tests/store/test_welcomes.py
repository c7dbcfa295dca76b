"""Newcomers wait in the file until one post welcomes them, with their marks in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from store import Store, StoreError, rankings
from store.dialect import Connection
from store.groups import Seen, place_of
from store.posts import NewPost, Post
from store.welcomes import Newcomer

NOW = 1_763_600_000.0
PLACE = place_of("qun", "1")


@dataclass
class Greeter:
    """Makes the post, and remembers what it was told."""

    told: list[tuple[list[Newcomer], int]] = field(default_factory=list)
    breaks: bool = False

    def __call__(self, some: Sequence[Newcomer], number: int) -> NewPost:
        if self.breaks:
            raise RuntimeError("the process ends here")
        self.told.append((list(some), number))
        return NewPost(
            key=f"{self.told[-1]}".encode()[-16:],
            channel="qun",
            place=PLACE,
            kind="welcome",
            body=Post("text", content="欢迎"),
            due_at=NOW,
        )


@pytest.fixture
async def bound(store: Store) -> Store:
    await store.groups.meet("qun", "1", NOW - 100, bound_by="test")
    return store


async def joins(store: Store, who: str, at: float = NOW, name: str = "") -> int:
    member = (await store.members.meet("qun", who, NOW)).id
    await store.groups.see(Seen(PLACE, member, name, at, came=True))
    return member


async def welcome(store: Store, greeter: Greeter, now: float = NOW, **more: Any) -> int:
    more = {"gap_s": 300.0, "named": 8, **more}
    return await store.welcomes.plan(PLACE, greeter, now, **more)


async def posts(store: Store) -> int:
    def count(conn: Connection) -> int:
        return int(conn.execute("select count(*) from posts").fetchone()[0])

    return await store.db.read(count)


async def test_who_waits_is_counted_by_group(bound: Store) -> None:
    assert await bound.welcomes.waiting() == []
    await joins(bound, "a", NOW + 5)
    await joins(bound, "b", NOW + 9)
    assert await bound.welcomes.waiting() == [(PLACE, 2, NOW + 5, NOW + 9)]


async def test_nobody_waits_where_we_may_not_speak(bound: Store) -> None:
    await joins(bound, "a")
    await bound.groups.unbind(PLACE)
    assert await bound.welcomes.waiting() == []
    assert await welcome(bound, Greeter()) == 0
    await bound.groups.bind(PLACE, NOW + 1, "me")
    assert await bound.welcomes.waiting() == [], "who was there before it was bound"
    await joins(bound, "b", NOW + 2)
    assert len(await bound.welcomes.waiting()) == 1
    await bound.groups.leave(PLACE, NOW + 3)
    assert await bound.welcomes.waiting() == []


async def test_newcomers_are_welcomed_once_and_together(bound: Store) -> None:
    lin, mu = await joins(bound, "lin", name="小林"), await joins(bound, "mu", NOW + 1)
    greeter = Greeter()
    done = await asyncio.gather(*(welcome(bound, greeter, NOW + 2) for _ in range(3)))
    assert sorted(done) == [0, 0, 2]
    assert greeter.told == [([Newcomer(lin, "小林", "lin"), Newcomer(mu, "", "mu")], 2)]
    assert await posts(bound) == 1
    assert await bound.welcomes.waiting() == []


async def test_a_welcome_that_breaks_halfway_leaves_everybody_waiting(bound: Store) -> None:
    await joins(bound, "lin")
    with pytest.raises(RuntimeError):
        await welcome(bound, Greeter(breaks=True))
    assert len(await bound.welcomes.waiting()) == 1
    assert await posts(bound) == 0
    assert await welcome(bound, Greeter()) == 1


async def test_marks_that_cannot_be_written_take_the_post_back(bound: Store) -> None:
    await joins(bound, "lin")

    def refuse(conn: Connection) -> None:
        conn.execute(
            "create trigger full before update of welcomed_at on group_members "
            "begin select raise(abort, 'no room'); end"
        )

    await bound.db.write(refuse)
    with pytest.raises(StoreError, match="no room"):
        await welcome(bound, Greeter())
    assert await posts(bound) == 0


async def test_the_next_welcome_waits_its_time(bound: Store) -> None:
    greeter = Greeter()
    await joins(bound, "a")
    assert await welcome(bound, greeter) == 1
    await joins(bound, "b", NOW + 1)
    assert await welcome(bound, greeter, NOW + 299) == 0
    await joins(bound, "c", NOW + 299)
    assert await welcome(bound, greeter, NOW + 300) == 2
    assert await posts(bound) == 2


async def test_a_clock_that_was_set_back_stops_no_welcome(bound: Store) -> None:
    await joins(bound, "a")
    await welcome(bound, Greeter(), NOW + 1e6)
    await joins(bound, "b", NOW + 1)
    assert await welcome(bound, Greeter(), NOW + 2) == 1


async def test_who_left_before_the_welcome_is_not_welcomed(bound: Store) -> None:
    gone = await joins(bound, "a")
    await bound.groups.gone(PLACE, gone, NOW + 1)
    assert await welcome(bound, Greeter(), NOW + 2) == 0
    stays = await joins(bound, "b", NOW + 3)
    greeter = Greeter()
    assert await welcome(bound, greeter, NOW + 4) == 1
    assert [one.member_id for one in greeter.told[0][0]] == [stays]


async def test_of_many_those_with_a_name_are_told(bound: Store) -> None:
    for number in range(20):
        await joins(bound, f"o{number}", NOW + number, "" if number < 15 else f"名{number}")
    greeter = Greeter()
    assert await welcome(bound, greeter, NOW + 30, named=3) == 20
    ((some, number),) = greeter.told
    assert ([one.name for one in some], number) == (["名15", "名16", "名17"], 20)


async def test_a_chosen_name_stands_in_for_one_that_was_not_told(bound: Store) -> None:
    lin, mu = await joins(bound, "lin"), await joins(bound, "mu", NOW + 1, "群里的名字")
    for member in (lin, mu):
        await bound.db.write(partial(rankings.call, member_id=member, name="自己选的"))
    greeter = Greeter()
    await welcome(bound, greeter, NOW + 2)
    assert [one.name for one in greeter.told[0][0]] == ["自己选的", "群里的名字"]


async def test_who_does_not_want_to_be_recorded_is_counted_without_a_name(bound: Store) -> None:
    lin = await joins(bound, "lin", name="小林")

    def opt_out(conn: Connection) -> None:
        conn.execute(
            "insert into member_settings (member_id, name, value) values (?, 'unrecorded', '1')",
            (lin,),
        )

    await bound.db.write(opt_out)
    greeter = Greeter()
    assert await welcome(bound, greeter) == 1
    assert greeter.told == [([Newcomer(lin, "", "")], 1)]


async def test_who_was_forgotten_is_welcomed_by_nobody(bound: Store) -> None:
    lin = await joins(bound, "lin", name="小林")
    await bound.members.erase(lin, NOW + 1)
    assert await bound.welcomes.waiting() == []


async def test_who_came_too_long_ago_is_passed_over(bound: Store) -> None:
    await joins(bound, "old", NOW)
    await joins(bound, "new", NOW + 10)
    assert await bound.welcomes.pass_over(PLACE, NOW + 10, NOW + 20) == 1
    assert await bound.welcomes.waiting() == [(PLACE, 1, NOW + 10, NOW + 10)]
    assert await bound.welcomes.pass_over("x:1", NOW + 99, NOW + 99) == 0
