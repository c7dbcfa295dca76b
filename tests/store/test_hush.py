"""Where a group is muted, unbound or left, nothing that waited is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from store import Store
from store.groups import GroupChange
from store.hush import STALE_S
from store.ledgers import Deed
from store.posts import NewPost, Post
from tests.store.rows import NOW, key

PLACE = "qun:1"
DEED = Deed(NOW, "test", "group.change")


@pytest.fixture
async def bound(store: Store) -> Store:
    await store.groups.meet("qun", "1", NOW, bound_by="op")
    return store


async def plan(store: Store, number: int, **fields: Any) -> None:
    plain = {"channel": "qun", "place": PLACE, "kind": "notice", "due_at": NOW}
    post = NewPost(key=key(number), body=Post("text", "好"), **{**plain, **fields})
    assert await store.posts.plan(post, NOW)


async def mute(store: Store, until: float) -> None:
    await store.groups.rule(PLACE, lambda rules: replace(rules, muted_until=until))


async def claim(store: Store, now: float) -> list[str]:
    return [one.kind for one in await store.posts.claim(now, {"qun": 20})]


async def owe(store: Store, status: str) -> None:
    sql = (
        "insert into sends (message_key, part, channel, external_id, reply, status, created_at, "
        "due_at, place) values (?, 0, 'qun', 'lin', '{}', ?, ?, ?, ?)"
    )
    args = (status.encode().ljust(16), status, NOW, NOW, PLACE)
    await store.db.write(lambda conn: conn.execute(sql, args))


async def test_a_muted_group_reads_nothing_and_holds_nobody_up(bound: Store) -> None:
    await bound.groups.meet("qun", "2", NOW, bound_by="op")
    await plan(bound, 1)
    await plan(bound, 2, place="qun:2", kind="welcome")
    await mute(bound, NOW + 3600)
    assert await claim(bound, NOW) == ["welcome"]
    assert await bound.posts.counts() == {"planned": 1, "sending": 1}


async def test_after_the_mute_what_is_fresh_or_patient_is_posted(bound: Store) -> None:
    for number, kind in enumerate(("welcome", "push", "campaign", "quiz"), 1):
        due_at = NOW + STALE_S if kind == "quiz" else NOW
        await plan(bound, number, kind=kind, due_at=due_at)
    await mute(bound, NOW + STALE_S + 60)
    assert await claim(bound, NOW + STALE_S + 1) == []
    assert await bound.posts.counts() == {"expired": 1, "planned": 3}
    said = []
    for wait_s in (60, 61, 62):
        for one in await bound.posts.claim(NOW + STALE_S + wait_s, {"qun": 20}):
            said.append(one.kind)
            await bound.posts.settle(one.id, "sent", NOW + STALE_S + wait_s)
    assert said == ["push", "campaign", "quiz"]


async def test_ending_a_mute_early_ends_it(bound: Store) -> None:
    await plan(bound, 1)
    await mute(bound, NOW + 3600)
    assert await claim(bound, NOW) == []
    await mute(bound, 0.0)
    assert await bound.posts.next_due(NOW, {"qun": 20}) == NOW
    assert await claim(bound, NOW) == ["notice"]


@pytest.mark.parametrize("way", ["unbind", "change", "leave"])
async def test_a_group_that_is_given_up_drops_what_waits_for_it(bound: Store, way: str) -> None:
    await plan(bound, 1)
    await plan(bound, 2, place="qun:2")
    await owe(bound, "planned")
    await owe(bound, "waiting")
    if way == "unbind":
        await bound.groups.unbind(PLACE, DEED)
    elif way == "change":
        await bound.groups.change(PLACE, GroupChange(bound=False), NOW, "op", DEED)
    else:
        await bound.groups.leave(PLACE, NOW)
    assert await bound.posts.counts() == {"dropped": 1, "planned": 1}
    assert await bound.sends.counts() == {"refused": 2}
    assert await bound.sends.fetch("qun", "lin", b"f" * 16, NOW) is None


@pytest.mark.parametrize("way", ["unbind", "leave"])
async def test_what_is_planned_for_such_a_group_later_is_not_posted(bound: Store, way: str) -> None:
    await (bound.groups.unbind(PLACE) if way == "unbind" else bound.groups.leave(PLACE, NOW))
    await plan(bound, 1)
    assert await claim(bound, NOW) == []
    assert await bound.posts.next_due(NOW, {"qun": 20}) is None


async def test_who_is_thrown_out_keeps_the_rules_and_has_to_be_bound_again(bound: Store) -> None:
    await bound.groups.rule(PLACE, lambda rules: replace(rules, welcome="欢迎"))
    await bound.groups.leave(PLACE, NOW, unbind=True)
    back = await bound.groups.meet("qun", "1", NOW + 9)
    assert (back.bound, back.left_at, back.rules.welcome) == (False, None, "欢迎")
    again = await bound.groups.bind(PLACE, NOW + 10, "op")
    assert again is not None
    assert again.bound


async def test_of_groups_that_nobody_spoke_of_only_the_newest_are_kept(bound: Store) -> None:
    named = await bound.groups.meet("qun", "vip", NOW, strangers=3)
    await bound.groups.call(named.place, "vip")
    for number in range(10, 20):
        await bound.groups.meet("qun", str(number), NOW + number, strangers=3)
    left = [group.external_id for group in bound.groups.all()]
    assert left == ["1", "vip", "17", "18", "19"]
    await bound.groups.load()
    assert [group.external_id for group in bound.groups.all()] == left
