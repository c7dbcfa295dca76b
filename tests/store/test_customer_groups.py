"""Tasks of customer groups: planned once, never asked for twice, known group by group."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import pytest

from store import Store
from store.customer_groups import NewTask, Share, drop_in, open_in, quota_left, share_out, spent_in
from store.customer_messages import Attachment, CustomerMessage
from store.customer_tasks import ClaimedTask, Result
from store.dialect import Connection
from store.groups import Group, GroupRules, place_of

CHANNEL = "kehu"
NOON = 1_763_611_200.0
"""2025-11-20 12:00 in Shanghai."""
DAY = 86_400.0
WORDS = CustomerMessage("今晚八点直播")


def key(word: str) -> bytes:
    return hashlib.blake2b(word.encode(), digest_size=16).digest()


def task(*chat_ids: str, word: str = "t", **more: Any) -> NewTask:
    given: dict[str, Any] = {
        "key": key(word),
        "channel": CHANNEL,
        "sender": "zhang",
        "places": tuple(place_of(CHANNEL, one) for one in chat_ids),
        "body": WORDS,
        "due_at": NOON,
        **more,
    }
    return NewTask(**given)


async def groups(store: Store, *chat_ids: str, owner: str = "zhang", bound: bool = True) -> None:
    for chat_id in chat_ids:
        await store.groups.meet(CHANNEL, chat_id, NOON, owner=owner)
        if bound:
            await store.groups.bind(place_of(CHANNEL, chat_id), NOON, "member:1")


async def claimed(store: Store, now: float = NOON, senders: tuple[str, ...] = ()) -> ClaimedTask:
    found = await store.customer_tasks.claim(CHANNEL, now, senders)
    assert found is not None
    return found


async def waiting(store: Store, *chat_ids: str, **more: Any) -> ClaimedTask:
    """A task that WeCom has."""
    await groups(store, *chat_ids)
    await store.customer_tasks.plan(task(*chat_ids, **more), NOON)
    found = await claimed(store)
    await store.customer_tasks.asked(found.id, f"msg{found.id}", (), NOON, NOON + 300)
    return found


async def lines(store: Store) -> list[tuple[str, dict[str, int]]]:
    every = ("planned", "sending", "waiting", "done", "refused", "unknown", "cancelled")
    found = await store.customer_tasks.listed(every, 100)
    return [(line.status, dict(line.groups)) for line in reversed(found)]


async def spent(store: Store, at: float, *chat_ids: str) -> list[int]:
    places = [place_of(CHANNEL, one) for one in chat_ids]
    found = await store.db.read(lambda conn: spent_in(conn, places, at))
    return [found.get(place, 0) for place in places]


async def campaign(store: Store, status: str) -> None:
    def run(conn: Connection) -> None:
        conn.execute(
            "insert into campaigns (id, title, channel, audience, routes, status, window_s, seed, "
            "created_at, created_by) values (7, '上新', 'mp', 'everyone', 'custom', ?, 0, ?, 0, "
            "'cli') on conflict (id) do update set status = excluded.status",
            (status, b"0" * 16),
        )

    await store.db.write(run)


# Planning


async def test_the_same_key_is_planned_once(store: Store) -> None:
    assert await store.customer_tasks.plan(task("a", "b"), NOON)
    assert not await store.customer_tasks.plan(task("c"), NOON)
    assert await lines(store) == [("planned", {"waiting": 2})]


@pytest.mark.parametrize(
    "bad",
    [
        {"sender": ""},
        {"places": ()},
        {"places": tuple(f"{CHANNEL}:{n}" for n in range(2001))},
        {"places": ("qun:1",)},
        {"body": CustomerMessage(" \n")},
        {"body": CustomerMessage("群" * 1334)},
        {"body": CustomerMessage("好", (Attachment("link", "题", "https://e.com"),) * 10)},
        {"body": CustomerMessage("", (Attachment("image"),))},
    ],
)
async def test_what_wecom_would_refuse_is_not_planned(store: Store, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        await store.customer_tasks.plan(task("a", **bad), NOON)
    assert await store.customer_tasks.open() == 0


def group(number: int, owner: str, *, bound: bool = True) -> Group:
    return Group(
        number,
        place_of(CHANNEL, f"g{number}"),
        CHANNEL,
        f"g{number}",
        "",
        None,
        "",
        owner,
        GroupRules(),
        NOON,
        NOON if bound else None,
        None,
    )


def test_each_owner_gets_a_share_of_2000_groups_at_most() -> None:
    some = [group(n, "zhang" if n % 3 else "li") for n in range(1, 4502)]
    shares, left = share_out(some)
    assert not left
    assert [(share.sender, len(share.places)) for share in shares] == [
        ("zhang", 2000),
        ("zhang", 1001),
        ("li", 1500),
    ]
    assert len({place for share in shares for place in share.places}) == 4501


def test_groups_that_nobody_may_send_to_are_left_over() -> None:
    some = [group(1, "zhang"), group(2, "li"), group(3, ""), group(4, "zhang", bound=False)]
    shares, left = share_out(some, ["zhang"])
    assert shares == [Share("zhang", (some[0].place,))]
    assert [one.id for one in left] == [2, 3, 4]
    assert share_out([]) == ([], [])


# Claiming


async def test_a_claim_takes_each_task_once_in_the_order_of_their_times(store: Store) -> None:
    await groups(store, "a", "b")
    await store.customer_tasks.plan(task("b", word="later", due_at=NOON + 5), NOON)
    await store.customer_tasks.plan(task("a", word="first"), NOON)
    first = await claimed(store)
    assert (first.chat_ids, first.sender) == (("a",), "zhang")
    assert await store.customer_tasks.claim(CHANNEL, NOON) is None
    assert await store.customer_tasks.claim("other", NOON + 9) is None
    assert (await claimed(store, NOON + 5)).chat_ids == ("b",)


async def test_only_running_campaigns_are_asked_for(store: Store) -> None:
    await groups(store, "a")
    await campaign(store, "paused")
    await store.customer_tasks.plan(task("a", campaign_id=7), NOON)
    assert await store.customer_tasks.claim(CHANNEL, NOON) is None
    await campaign(store, "running")
    assert (await claimed(store)).chat_ids == ("a",)


async def test_a_cancelled_campaign_takes_its_plans_along(store: Store) -> None:
    await groups(store, "a", "b")
    await campaign(store, "running")
    await store.customer_tasks.plan(task("a", campaign_id=7), NOON)
    assert await store.db.write(lambda conn: drop_in(conn, 7, NOON)) == 1
    assert await store.db.read(lambda conn: open_in(conn, 7)) == 0
    await store.customer_tasks.plan(task("b", word="again", campaign_id=7), NOON)
    assert await store.db.read(lambda conn: open_in(conn, 7)) == 1
    await campaign(store, "cancelled")
    await store.customer_tasks.tidy(NOON)
    assert await lines(store) == [("cancelled", {"cancelled": 1})] * 2


async def test_what_came_too_late_is_not_asked_for(store: Store) -> None:
    await groups(store, "a")
    await store.customer_tasks.plan(task("a", not_after=NOON + 60), NOON)
    await store.customer_tasks.tidy(NOON + 60)
    assert await store.customer_tasks.open() == 1
    await store.customer_tasks.tidy(NOON + 61)
    assert await lines(store) == [("cancelled", {"cancelled": 1})]


async def test_groups_that_went_meanwhile_get_nothing(store: Store) -> None:
    await groups(store, "a", "b", "c")
    await store.customer_tasks.plan(task("a", "b", "c"), NOON)
    await store.groups.leave(place_of(CHANNEL, "a"), NOON)
    await store.groups.unbind(place_of(CHANNEL, "b"))
    assert (await claimed(store)).chat_ids == ("c",)
    assert await lines(store) == [("sending", {"gone": 1, "unsent": 1, "waiting": 1})]


async def test_a_task_without_groups_ends_without_a_call(store: Store) -> None:
    await groups(store, "a", "b")
    await store.customer_tasks.plan(task("a", word="gone"), NOON)
    await store.customer_tasks.plan(task("b", word="next"), NOON)
    await store.groups.leave(place_of(CHANNEL, "a"), NOON)
    assert (await claimed(store)).chat_ids == ("b",)
    assert (await lines(store))[0] == ("done", {"gone": 1})


async def test_groups_that_changed_hands_become_their_new_owners_task(store: Store) -> None:
    await groups(store, "a", "b", "c", "d")
    await store.customer_tasks.plan(task("a", "b", "c", "d", remind=True, variant="B"), NOON)
    for chat_id, owner in (("b", "li"), ("c", "li"), ("d", "wang")):
        await store.groups.meet(CHANNEL, chat_id, NOON, owner=owner)
    first = await claimed(store, senders=("zhang", "li"))
    second = await claimed(store, senders=("zhang", "li"))
    assert [(one.sender, one.chat_ids) for one in (first, second)] == [
        ("zhang", ("a",)),
        ("li", ("b", "c")),
    ]
    assert second.body == first.body
    assert await store.customer_tasks.claim(CHANNEL, NOON, ("zhang", "li")) is None
    assert await lines(store) == [
        ("sending", {"unsent": 1, "waiting": 1}),
        ("sending", {"waiting": 2}),
    ]


# How it ends


async def test_a_call_that_was_cut_off_is_unknown_and_never_made_again(store: Store) -> None:
    await groups(store, "a")
    await store.customer_tasks.plan(task("a"), NOON)
    found = await claimed(store)
    assert await store.customer_tasks.tidy(NOON + 299) == 0
    assert await store.customer_tasks.tidy(NOON + 301) == 1
    assert await store.customer_tasks.claim(CHANNEL, NOON + 999) is None
    assert await lines(store) == [("unknown", {"unknown": 1})]
    # Who made the call comes back after all, and knows better.
    await store.customer_tasks.asked(found.id, "msg1", (), NOON + 400, NOON + 700)
    assert await lines(store) == [("waiting", {"waiting": 1})]


async def test_a_clock_that_was_set_back_does_not_hold_a_call_for_ever(store: Store) -> None:
    await groups(store, "a")
    await store.customer_tasks.plan(task("a"), NOON)
    await claimed(store)
    assert await store.customer_tasks.tidy(NOON - DAY) == 1


async def test_what_was_put_off_is_asked_for_again(store: Store) -> None:
    await groups(store, "a")
    await store.customer_tasks.plan(task("a"), NOON)
    found = await claimed(store)
    await store.customer_tasks.put_off(found.id, NOON + 60, errcode=45009, note="too fast")
    assert await store.customer_tasks.claim(CHANNEL, NOON + 59) is None
    assert (await claimed(store, NOON + 60)).id == found.id


async def test_groups_that_wecom_did_not_take_are_refused(store: Store) -> None:
    await groups(store, "a", "b")
    await store.customer_tasks.plan(task("a", "b"), NOON)
    found = await claimed(store)
    await store.customer_tasks.asked(found.id, "msg1", ["b", "unheard of"], NOON, NOON + 300)
    assert await lines(store) == [("waiting", {"waiting": 1, "refused": 1})]


async def test_a_task_of_which_wecom_took_nothing_has_ended(store: Store) -> None:
    await groups(store, "a")
    await store.customer_tasks.plan(task("a"), NOON)
    found = await claimed(store)
    await store.customer_tasks.asked(found.id, "msg1", ["a"], NOON, NOON + 300)
    assert await lines(store) == [("refused", {"refused": 1})]
    assert await store.customer_tasks.open() == 0


async def test_results_come_group_by_group_and_stay(store: Store) -> None:
    found = await waiting(store, "a", "b", "c")
    look = partial(store.customer_tasks.looked, found.id, now=NOON + 300, again_at=NOON + 600)
    first = [Result("a", "sent", NOON + 9), Result("b", "waiting", None), Result("x", "sent", 1.0)]
    assert not await look(first)
    assert await lines(store) == [("waiting", {"sent": 1, "waiting": 2})]
    # WeCom's next answer says less than the first: what is known is known.
    assert not await look([Result("a", "waiting", None), Result("b", "quota", None)])
    assert await look([Result("a", "gone", None), Result("c", "sent", NOON + 20)])
    assert await lines(store) == [("done", {"sent": 2, "quota": 1})]
    assert await look([]), "nothing is waited for any more"


async def test_a_group_dissolved_in_the_middle_is_not_waited_for(store: Store) -> None:
    found = await waiting(store, "a", "b")
    await store.groups.leave(place_of(CHANNEL, "a"), NOON + 10)
    results = [Result("b", "sent", NOON + 9)]
    assert await store.customer_tasks.looked(found.id, results, NOON + 300, NOON + 600)
    assert await lines(store) == [("done", {"gone": 1, "sent": 1})]


async def test_due_tasks_are_those_whose_time_has_come(store: Store) -> None:
    found = await waiting(store, "a", remind=True)
    assert await store.customer_tasks.due(CHANNEL, NOON + 299, 9) == []
    (due,) = await store.customer_tasks.due(CHANNEL, NOON + 300, 9)
    assert (due.id, due.msgid, due.left_at, due.remind) == (found.id, "msg1", NOON, True)
    assert await store.customer_tasks.remind(found.id, NOON + 300)
    assert not await store.customer_tasks.remind(found.id, NOON + 300), "once"
    assert not (await store.customer_tasks.due(CHANNEL, NOON + 300, 9))[0].remind


# The day's quota


async def test_a_group_gets_one_message_a_day_and_a_plan_counts(store: Store) -> None:
    await groups(store, "a", "b")
    await store.customer_tasks.plan(task("a"), NOON)
    assert await spent(store, NOON, "a", "b") == [1, 0]
    assert await spent(store, NOON - DAY, "a") == [0], "it is not due before"
    place = place_of(CHANNEL, "a")
    assert await store.db.read(lambda conn: quota_left(conn, place, NOON)) == 0
    assert await store.db.read(lambda conn: quota_left(conn, f"{CHANNEL}:b", NOON)) == 1


async def test_what_was_sent_counts_for_its_shanghai_day_only(store: Store) -> None:
    found = await waiting(store, "a", "b", "c")
    midnight = NOON + 12 * 3600
    results = [
        Result("a", "sent", midnight - 1),
        Result("b", "sent", midnight),
        Result("c", "gone", None),
    ]
    await store.customer_tasks.looked(found.id, results, midnight + 300, midnight + 600)
    assert await spent(store, midnight - 1, "a", "b", "c") == [1, 0, 0]
    assert await spent(store, midnight, "a", "b", "c") == [0, 1, 0]


async def test_what_may_have_gone_out_counts_and_what_cannot_does_not(store: Store) -> None:
    unknown = await waiting(store, "a", word="unknown")
    await store.db.write(
        lambda conn: (
            conn.execute(
                "update customer_tasks set status = 'sending' where id = ?", (unknown.id,)
            ).rowcount
        )
    )
    await store.customer_tasks.failed(unknown.id, "unknown", NOON, note="nobody heard")
    await waiting(store, "b", word="waits")
    done = await waiting(store, "c", word="full")
    await store.customer_tasks.looked(done.id, [Result("c", "quota", None)], NOON, NOON)
    await groups(store, "d")
    await store.customer_tasks.plan(task("d", word="bad"), NOON)
    bad = await claimed(store)
    await store.customer_tasks.failed(bad.id, "refused", NOON, errcode=41048)
    assert await spent(store, NOON, "a", "b", "c", "d") == [1, 1, 1, 0]
    # It may be confirmed tomorrow as well.
    assert await spent(store, NOON + DAY, "a", "b", "c", "d") == [0, 1, 0, 0]


async def test_the_quota_of_a_thousand_groups_is_one_question(store: Store) -> None:
    many = [f"g{number}" for number in range(1000)]
    await store.customer_tasks.plan(task(*many), NOON)
    assert sum(await spent(store, NOON, *many)) == 1000
    assert await store.db.read(lambda conn: spent_in(conn, (), NOON)) == {}


async def test_a_report_counts_groups_by_variant_and_status(store: Store) -> None:
    await campaign(store, "running")
    found = await waiting(store, "a", "b", campaign_id=7, variant="A")
    await groups(store, "c")
    await store.customer_tasks.plan(task("c", word="B", campaign_id=7, variant="B"), NOON)
    await store.customer_tasks.looked(found.id, [Result("a", "sent", NOON)], NOON, NOON + 300)
    assert await store.customer_tasks.of_campaign(7) == {
        ("A", "sent"): 1,
        ("A", "waiting"): 1,
        ("B", "planned"): 1,
    }
    assert await store.customer_tasks.of_campaign(8) == {}


# An employee is a person, too


async def test_a_forgotten_employee_is_in_no_task(store: Store) -> None:
    member = await store.members.meet(CHANNEL, "zhang", NOON)
    done = await waiting(store, "a", word="done")
    await store.customer_tasks.looked(done.id, [Result("a", "sent", NOON)], NOON, NOON)
    await waiting(store, "b", word="waits")
    await groups(store, "c")
    await store.customer_tasks.plan(task("c", word="planned"), NOON)
    told = await store.members.export(member.id)
    assert told is not None
    assert [row["status"] for row in told["customer_tasks"]] == ["done", "waiting", "planned"]
    erased = await store.members.erase(member.id, NOON)
    assert erased is not None
    assert erased.rows["customer_tasks"] == 3
    assert await lines(store) == [
        ("done", {"sent": 1}),
        ("unknown", {"unknown": 1}),
        ("cancelled", {"cancelled": 1}),
    ]
    every = await store.customer_tasks.listed(("done", "unknown", "cancelled"), 9)
    assert {line.sender for line in every} == {""}
    assert await store.customer_tasks.claim(CHANNEL, NOON) is None


async def test_an_answer_that_comes_after_the_employee_was_forgotten_changes_nothing(
    store: Store,
) -> None:
    member = await store.members.meet(CHANNEL, "zhang", NOON)
    await groups(store, "a")
    await store.customer_tasks.plan(task("a"), NOON)
    found = await claimed(store)
    await store.members.erase(member.id, NOON)
    await store.customer_tasks.asked(found.id, "msg1", (), NOON, NOON + 300)
    assert await lines(store) == [("unknown", {"unknown": 1})]
