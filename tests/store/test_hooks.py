"""Webhooks out, as rows: queued once, claimed once, tried again later, dead in the end."""

from __future__ import annotations

import contextlib
import json

from store import Store
from store.events import NewEvent
from store.hooks import BACKOFF_S, DEAD, DONE, PLANNED, TOPICS, Hook, queue
from tests.store.rows import CHANNEL, LIN, NOW, key

URL = "https://shop.example.com/hooks"


async def _hook(store: Store, *topics: str) -> Hook:
    return await store.hooks.add(URL, topics or TOPICS, "whsec_AAAA", NOW, "key:k1")


async def test_only_who_wants_a_topic_is_told(store: Store) -> None:
    clicks = await _hook(store, "link.clicked")
    await _hook(store, "member.erased")
    assert await store.hooks.tell("link.clicked", "click:1", {"link": 3}, NOW, NOW) == 1
    (telling,) = await store.hooks.claim(NOW)
    assert (telling.hook_id, telling.topic, telling.tries) == (clicks.id, "link.clicked", 1)
    assert telling.body == f'{{"type": "link.clicked", "at": {NOW}, "data": {{"link": 3}}}}'


async def test_nobody_wants_it_nothing_is_written(store: Store) -> None:
    assert await store.hooks.tell("link.clicked", "click:1", {}, NOW, NOW) == 0
    assert await store.hooks.listed() == []


async def test_the_same_news_is_queued_once(store: Store) -> None:
    await _hook(store)
    assert await store.hooks.tell("link.clicked", "click:1", {}, NOW, NOW) == 1
    assert await store.hooks.tell("link.clicked", "click:1", {}, NOW, NOW) == 0
    assert len(await store.hooks.listed()) == 1


async def test_news_of_a_transaction_that_fails_is_told_to_nobody(store: Store) -> None:
    await _hook(store)

    def run(conn: object) -> None:
        queue(conn, "member.followed", "f:1", {}, NOW, NOW)  # type: ignore[arg-type]
        raise ValueError("something else went wrong")

    with contextlib.suppress(ValueError):
        await store.db.write(run)
    assert await store.hooks.listed() == []


async def test_a_failed_try_waits_longer_each_time_and_dies_at_last(store: Store) -> None:
    await _hook(store)
    await store.hooks.tell("link.clicked", "click:1", {}, NOW, NOW)
    at = NOW
    for pause in BACKOFF_S:
        (telling,) = await store.hooks.claim(at)
        assert await store.hooks.claim(at) == []
        assert await store.hooks.settle(telling, False, at, note="answered 500") == PLANNED
        assert not await store.hooks.due(at + pause - 1)
        at += pause
    (telling,) = await store.hooks.claim(at)
    assert await store.hooks.settle(telling, False, at, http_status=500, note="no") == DEAD
    (row,) = await store.hooks.listed(DEAD)
    assert (row.tries, row.http_status, row.note) == (len(BACKOFF_S) + 1, 500, "no")


async def test_a_failing_receiver_gets_a_rest_and_the_others_do_not(store: Store) -> None:
    bad, good = await _hook(store, "link.clicked"), await _hook(store, "member.erased")
    for number in range(5):
        await store.hooks.tell("link.clicked", f"click:{number}", {}, NOW, NOW)
    first = await store.hooks.claim(NOW)
    assert [one.key for one in first] == ["click:0", "click:1"], "two at a time"
    assert await store.hooks.claim(NOW) == []
    await store.hooks.settle(first[0], False, NOW, note="answered 500")
    assert await store.hooks.claim(NOW) == [], "the other three wait as long"
    await store.hooks.tell("member.erased", "e:1", {}, NOW, NOW)
    assert [one.hook_id for one in await store.hooks.claim(NOW)] == [good.id]
    await store.hooks.settle(first[1], True, NOW)
    later = await store.hooks.claim(NOW + BACKOFF_S[0])
    assert {one.hook_id for one in later} == {bad.id}
    assert len(later) == 2


async def test_a_dead_one_can_be_replayed_and_one_under_way_cannot(store: Store) -> None:
    await _hook(store)
    await store.hooks.tell("link.clicked", "click:1", {}, NOW, NOW)
    (telling,) = await store.hooks.claim(NOW)
    assert not await store.hooks.replay(telling.id, NOW)
    await store.hooks.settle(telling, False, NOW, final=True)
    assert await store.hooks.replay(telling.id, NOW + 5)
    (again,) = await store.hooks.claim(NOW + 5)
    assert (again.key, again.tries) == (telling.key, 1)


async def test_what_was_under_way_in_a_crash_is_due_again(store: Store) -> None:
    await _hook(store)
    await store.hooks.tell("link.clicked", "click:1", {}, NOW, NOW)
    await store.hooks.claim(NOW)
    assert await store.hooks.recover() == 1
    assert len(await store.hooks.claim(NOW)) == 1


async def test_a_deleted_hook_is_told_nothing_more_and_its_secret_is_gone(store: Store) -> None:
    hook = await _hook(store)
    await store.hooks.tell("link.clicked", "click:1", {}, NOW, NOW)
    assert await store.hooks.delete(hook.id, NOW)
    assert not await store.hooks.delete(hook.id, NOW)
    assert await store.hooks.all() == []
    assert await store.hooks.claim(NOW) == []
    assert await store.hooks.test(hook.id, NOW) is None
    secrets = await store.db.read(lambda conn: conn.execute("select secret from hooks").fetchall())
    assert secrets == [("",)]


async def test_a_test_is_told_to_that_hook_whatever_it_wants(store: Store) -> None:
    hook = await _hook(store, "member.erased")
    assert await store.hooks.test(hook.id, NOW) is not None
    assert await store.hooks.test(hook.id, NOW) is not None
    assert [telling.topic for telling in await store.hooks.claim(NOW)] == ["test", "test"]


async def test_what_arrived_is_forgotten_before_what_died(store: Store) -> None:
    await _hook(store)
    for name, done in (("a", True), ("b", False)):
        await store.hooks.tell("link.clicked", name, {}, NOW, NOW)
        (telling,) = await store.hooks.claim(NOW)
        await store.hooks.settle(telling, done, NOW, final=True)
    assert await store.hooks.counts() == {DONE: 1, DEAD: 1}
    assert await store.hooks.purge(done_before=NOW + 1, dead_before=NOW - 1) == 1
    assert await store.hooks.counts() == {DEAD: 1}


async def _told(store: Store) -> list[tuple[str, dict[str, object]]]:
    return [
        (one.topic, json.loads(one.body)["data"])
        for one in await store.hooks.claim(NOW + 1e6, per_hook=99)
    ]


async def test_who_comes_goes_and_is_forgotten_is_told_once_each(store: Store) -> None:
    await _hook(store)
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    for followed in (True, True, False, False):
        await store.members.follow(CHANNEL, LIN, followed, NOW)
    assert await _told(store) == [
        ("member.followed", {"member": lin.id, "channel": CHANNEL}),
        ("member.unfollowed", {"member": lin.id, "channel": CHANNEL}),
    ]
    await store.members.erase(lin.id, NOW)
    assert await _told(store) == [("member.erased", {"member": lin.id})]


async def test_a_click_on_a_link_is_told_and_one_from_the_shop_is_not(store: Store) -> None:
    await _hook(store)
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    click = NewEvent(
        "click:r1",
        "click",
        NOW,
        member_id=lin.id,
        item_id="py-101",
        campaign="spring",
        variant="A",
        source="campaign",
        link_id=7,
    )
    await store.events.add([click, NewEvent("e2", "click", NOW, member_id=lin.id)], NOW)
    await store.events.add([click], NOW)
    assert await _told(store) == [
        (
            "link.clicked",
            {
                "link": 7,
                "member": lin.id,
                "campaign": "spring",
                "variant": "A",
                "source": "campaign",
                "ref": "",
                "item": "py-101",
            },
        )
    ]


async def test_homework_is_told_once_for_its_message(store: Store) -> None:
    await _hook(store)
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    for _ in range(2):
        kept = await store.courses.hand_in(lin.id, "py-101", "", "做完了", NOW, key(1))
    assert kept is not None
    assert await _told(store) == [
        ("homework.submitted", {"member": lin.id, "item": "py-101", "homework": kept.id})
    ]
