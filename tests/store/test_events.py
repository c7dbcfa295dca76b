"""Events are stored once, whoever they are of, and find their member when a name does."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from store import Store
from store.events import AGAIN, Added, NewEvent
from tests.store.rows import CHANNEL, LIN, MEI, NOW, ask_file, change_file, meeting

UNION = "uTEST_union"


def event(event_id: str = "e1", kind: str = "view", **fields: Any) -> NewEvent:
    """An event of the shop; any field may be given."""
    return NewEvent(event_id, **{"kind": kind, "at": NOW, "item_id": "c1", **fields})


def by(openid: str, event_id: str = "e1", **fields: Any) -> NewEvent:
    """An event of somebody on the channel."""
    return event(event_id, channel=CHANNEL, openid=openid, **fields)


async def owners(store: Store) -> dict[str, int | str]:
    """Event id -> its member, or the name it waits under."""
    return {one.event_id: one.member_id or one.who for one in await store.events.page()}


async def lin(store: Store) -> int:
    return (await store.members.meet(CHANNEL, LIN, NOW)).id


async def mei(store: Store) -> int:
    return (await store.members.meet(CHANNEL, MEI, NOW)).id


async def test_an_event_is_kept_as_it_came(store: Store) -> None:
    member = await lin(store)
    full = event(
        "order-1",
        "purchase",
        at=NOW - 60,
        member_id=member,
        chapter_id="ch1",
        percent=40,
        amount_cents=9900,
        order_id="o1",
        campaign="autumn",
        variant="b",
        source="campaign",
        ref="faq:12",
        link_id=7,
        data='{"coupon":"x"}',
    )
    assert await store.events.add([full], NOW) == [Added.NEW]
    (kept,) = await store.events.page()
    assert (kept.member_id, kept.who, kept.received_at) == (member, "", NOW)
    for field in ("event_id", "kind", "at", "item_id", "chapter_id", "percent", "amount_cents"):
        assert getattr(kept, field) == getattr(full, field)
    for field in ("order_id", "campaign", "variant", "source", "ref", "link_id", "data"):
        assert getattr(kept, field) == getattr(full, field)


async def test_an_id_counts_once_however_often_it_comes(store: Store) -> None:
    first = event(amount_cents=1)
    other = replace(first, amount_cents=2)
    assert await store.events.add([first, other, event("e2")], NOW) == [
        Added.NEW,
        Added.REPEATED,
        Added.NEW,
    ]
    assert await store.events.add([other], NOW + 9) == [Added.REPEATED]
    kept = await store.events.page()
    assert [(one.event_id, one.amount_cents) for one in kept] == [("e1", 1), ("e2", 0)]


async def test_the_same_id_from_two_callers_at_once_counts_once(store: Store) -> None:
    told = await meeting(store, [store.events.add([event()], NOW) for _ in range(3)])
    assert told == [[Added.NEW], [Added.REPEATED], [Added.REPEATED]]


async def test_a_number_that_nobody_has_is_refused_alone(store: Store) -> None:
    member = await lin(store)
    told = await store.events.add(
        [event("a", member_id=member), event("b", member_id=99), event("c")], NOW
    )
    assert told == [Added.NEW, Added.UNKNOWN, Added.NEW]
    assert await owners(store) == {"a": member, "c": ""}
    assert await store.events.unknown_members([member, 99]) == {99}


async def test_nothing_to_add_is_nothing(store: Store) -> None:
    assert await store.events.add([], NOW) == []
    assert await store.events.unknown_members([]) == set()
    assert await store.events.page() == []


async def test_a_known_openid_or_unionid_gives_it_to_the_member(store: Store) -> None:
    member = await lin(store)
    await store.members.unite(CHANNEL, LIN, UNION)
    await store.events.add([by(LIN), event("e2", unionid=UNION)], NOW)
    assert await owners(store) == {"e1": member, "e2": member}
    assert ask_file(store.db.path, "select * from aliases") == []


async def test_what_waits_for_an_openid_is_given_over_at_the_first_message(store: Store) -> None:
    await store.events.add([by(LIN), by(MEI, "e2")], NOW)
    assert await owners(store) == {"e1": f"{CHANNEL}:{LIN}", "e2": f"{CHANNEL}:{MEI}"}
    member = await lin(store)
    assert await owners(store) == {"e1": member, "e2": f"{CHANNEL}:{MEI}"}


async def test_what_waits_for_a_unionid_is_given_over_when_wechat_tells_it(store: Store) -> None:
    await store.events.add([event(unionid=UNION)], NOW)
    member = await lin(store)
    assert await owners(store) == {"e1": f"unionid:{UNION}"}
    await store.members.unite(CHANNEL, LIN, UNION)
    assert await owners(store) == {"e1": member}


async def test_a_browser_is_somebodys_from_the_login_on_and_before(store: Store) -> None:
    member = await lin(store)
    await store.events.add([event("before", visitor="v1")], NOW)
    await store.events.add([by(LIN, "login", visitor="v1")], NOW)
    await store.events.add([event("after", visitor="v1")], NOW)
    assert await owners(store) == {"before": member, "login": member, "after": member}


async def test_a_login_of_a_stranger_joins_the_browser_to_them(store: Store) -> None:
    await store.events.add(
        [event("before", visitor="v1"), by(LIN, "login", visitor="v1")],
        NOW,
    )
    assert set((await owners(store)).values()) == {f"{CHANNEL}:{LIN}"}
    member = await lin(store)
    await store.events.add([event("after", visitor="v1")], NOW)
    assert await owners(store) == {"before": member, "login": member, "after": member}


async def test_a_click_ties_the_shop_to_the_member_it_was_sent_to(store: Store) -> None:
    member = await lin(store)
    click = event("click:R1", "click", member_id=member, click="R1")
    bought = event("b", "purchase", click="R1", visitor="v1")
    await store.events.add([click], NOW)
    await store.events.add([event("seen", visitor="v1")], NOW)
    await store.events.add([bought], NOW)
    assert set((await owners(store)).values()) == {member}
    names = ask_file(store.db.path, "select name from aliases")
    assert names == [("visitor:v1",)], "the click itself says whose it is"


async def test_a_click_of_nobody_waits_for_who_buys(store: Store) -> None:
    member = await lin(store)
    await store.events.add([event("click:R1", "click", click="R1")], NOW)
    assert await owners(store) == {"click:R1": "click:R1"}
    await store.events.add([by(LIN, "b", click="R1")], NOW)
    assert await owners(store) == {"click:R1": member, "b": member}


async def test_a_link_passed_on_makes_no_stranger_a_member(store: Store) -> None:
    """Whoever of a family group buys through a member's link keeps what they bought."""
    one = await lin(store)
    await store.events.add([event("click:R1", "click", member_id=one, click="R1")], NOW)
    await store.events.add([event("a", channel="shop", openid="s1", click="R1")], NOW)
    await store.events.add([event("b", channel="shop", openid="s2", click="R1")], NOW)
    await store.events.add([event("c", unionid=UNION, click="R1")], NOW)
    await store.events.add([event("d", unionid="uTEST_other", click="R1")], NOW)
    await store.events.add([event("later", channel="shop", openid="s2")], NOW)
    assert await owners(store) == {
        "click:R1": one,
        "a": "shop:s1",
        "b": "shop:s2",
        "c": f"unionid:{UNION}",
        "d": "unionid:uTEST_other",
        "later": "shop:s2",
    }
    assert ask_file(store.db.path, "select * from aliases") == []
    other = await mei(store)
    await store.members.unite(CHANNEL, MEI, UNION)
    assert (await owners(store))["c"] == other


async def test_a_shared_browser_makes_no_stranger_a_member(store: Store) -> None:
    one = await lin(store)
    await store.events.add([by(LIN, "a", visitor="v1")], NOW)
    await store.events.add([event("b", channel="shop", openid="s1", visitor="v1")], NOW)
    assert await owners(store) == {"a": one, "b": "shop:s1"}


# Two taps that look like one person's


def tap(number: int, again: int = 0, **fields: Any) -> NewEvent:
    """The click "R1", "R2" … of a link; again: the one that it may be the same tap as."""
    data = json.dumps({AGAIN: f"R{again}"}) if again else ""
    plain = {"kind": "view" if again else "click", "link_id": 7, "data": data}
    return event(f"click:R{number}", click=f"R{number}", **{**plain, **fields})


def bought(number: int, openid: str) -> NewEvent:
    return by(openid, f"{openid} {number}", kind="purchase", click=f"R{number}")


async def clicks(store: Store) -> dict[str, int | str]:
    """What counts as a click: its number -> whose it is."""
    found = await store.events.page(kind="click")
    return {one.event_id.removeprefix("click:"): one.member_id or one.who for one in found}


TAPS = [tap(1), tap(2, again=1), tap(3, again=1)]


async def test_a_second_tap_of_nobody_is_not_counted(store: Store) -> None:
    assert await store.events.add(TAPS, NOW) == [Added.NEW] * 3
    assert await clicks(store) == {"R1": "click:R1"}
    assert len(await store.events.page()) == 3


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
async def test_taps_of_one_person_are_one_click_whichever_is_found_out(
    store: Store, order: tuple[int, ...], together: bool
) -> None:
    one = await lin(store)
    told = [bought(number, LIN) for number in order]
    if together:
        await store.events.add([*TAPS, *told], NOW)
    else:
        await store.events.add(TAPS, NOW)
        for number, purchase in zip(order, told, strict=True):
            await store.events.add([purchase], NOW)
            assert list((await clicks(store)).values()) == [one], f"after {number}"
    assert len(await clicks(store)) == 1
    assert set((await owners(store)).values()) == {one}, "every number leads to them"


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
async def test_taps_of_several_people_are_a_click_of_each(
    store: Store, order: tuple[int, ...]
) -> None:
    people = {1: (LIN, await lin(store)), 2: (MEI, await mei(store)), 3: ("oTEST_new", 0)}
    await store.events.add(TAPS, NOW)
    for count, number in enumerate(order, 1):
        await store.events.add([bought(number, people[number][0])], NOW)
        assert len(await clicks(store)) == count
    assert await clicks(store) == {
        "R1": people[1][1],
        "R2": people[2][1],
        "R3": f"{CHANNEL}:oTEST_new",
    }


async def test_a_tap_that_is_told_of_again_is_counted_no_more_often(store: Store) -> None:
    one = await lin(store)
    await store.events.add([tap(1), tap(2, again=1), bought(2, LIN)], NOW)
    assert await store.events.add(TAPS[:2], NOW) == [Added.REPEATED] * 2
    assert await clicks(store) == {"R2": one}


async def test_a_second_tap_whose_first_was_lost_is_the_click(store: Store) -> None:
    one = await lin(store)
    await store.events.add([tap(2, again=1)], NOW)
    await store.events.add([bought(2, LIN)], NOW)
    assert await clicks(store) == {"R2": one}


async def test_a_known_persons_second_tap_is_told_to_nobody(store: Store) -> None:
    one = await lin(store)
    await store.hooks.add("https://shop.example.com/h", ["link.clicked"], "whsec_A", NOW, "cli")
    second = tap(2, kind="view", member_id=one)
    await store.events.add([tap(1, member_id=one), second], NOW)
    assert await clicks(store) == {"R1": one}
    assert [row.topic for row in await store.hooks.listed()] == ["link.clicked"]


async def test_names_join_in_a_chain_and_in_one_batch(store: Store) -> None:
    chain = [
        event("a", visitor="v1"),
        event("b", visitor="v1", click="R1"),
        event("c", visitor="v2", click="R1"),
        by(LIN, "d", visitor="v2"),
    ]
    await store.events.add(chain, NOW)
    assert set((await owners(store)).values()) == {f"{CHANNEL}:{LIN}"}
    member = await lin(store)
    await store.events.add([event("e", click="R1"), event("f", visitor="v1")], NOW)
    assert set((await owners(store)).values()) == {member}


async def test_a_shared_browser_joins_no_two_people(store: Store) -> None:
    one, other = await lin(store), await mei(store)
    await store.events.add([by(LIN, "a", visitor="v1")], NOW)
    await store.events.add([by(MEI, "b", visitor="v1"), event("c", visitor="v1")], NOW)
    assert await owners(store) == {"a": one, "b": other, "c": other}, "the last login has it"


async def test_a_shared_browser_joins_no_two_strangers_either(store: Store) -> None:
    await store.events.add([by(LIN, "a", visitor="v1"), by(MEI, "b", visitor="v1")], NOW)
    one, other = await lin(store), await mei(store)
    assert await owners(store) == {"a": one, "b": other}


async def test_a_stranger_at_a_members_browser_stays_a_stranger(store: Store) -> None:
    one = await lin(store)
    await store.events.add([by(LIN, "a", visitor="v1"), by(MEI, "b", visitor="v1")], NOW)
    assert await owners(store) == {"a": one, "b": f"{CHANNEL}:{MEI}"}


async def test_a_link_passed_on_leaves_the_click_where_it_is(store: Store) -> None:
    one, other = await lin(store), await mei(store)
    await store.events.add([event("click:R1", "click", member_id=one, click="R1")], NOW)
    await store.events.add([by(MEI, "b", click="R1")], NOW)
    assert await owners(store) == {"click:R1": one, "b": other}


async def test_a_merged_member_is_found_by_both_numbers(store: Store) -> None:
    keep = await lin(store)
    drop = (await store.members.meet("team", "oTEST_lin_at_work", NOW)).id
    await store.events.add([event("a", member_id=drop, visitor="v1")], NOW)
    await store.members.unite(CHANNEL, LIN, UNION)
    await store.members.unite("team", "oTEST_lin_at_work", UNION)
    told = await store.events.add([event("b", member_id=drop), event("c", visitor="v1")], NOW)
    assert told == [Added.NEW, Added.NEW]
    assert await owners(store) == {"a": keep, "b": keep, "c": keep}


async def test_merging_keeps_what_each_of_the_two_had(store: Store) -> None:
    keep = await lin(store)
    drop = (await store.members.meet("team", "oTEST_lin_at_work", NOW)).id
    await store.events.add([event("a", member_id=drop, visitor="v1")], NOW)
    for member, tag in ((keep, "vip"), (drop, "vip"), (drop, "writer")):
        for sql in (
            "insert into member_tags (member_id, tag, since) values (?, ?, 0)",
            "insert into reminders (member_id, item_id, since) values (?, ?, 0)",
            "insert into homework (member_id, item_id, chapter_id, text, submitted_at) "
            "values (?, 'c1', '1', ?, 0)",
        ):
            change_file(store.db.path, sql, (member, tag))
    await store.members.unite(CHANNEL, LIN, UNION)
    await store.members.unite("team", "oTEST_lin_at_work", UNION)
    told = await store.members.export(keep)
    assert told is not None
    assert sorted(one["tag"] for one in told["member_tags"]) == ["vip", "writer"]
    assert sorted(one["item_id"] for one in told["reminders"]) == ["vip", "writer"]
    assert [one["text"] for one in told["homework"]] == ["vip", "vip", "writer"]
    assert [one["event_id"] for one in told["events"]] == ["a"]
    assert sorted(one["name"] for one in told["aliases"]) == [f"member:{drop}", "visitor:v1"]


async def test_the_past_may_come_in_any_order(store: Store) -> None:
    member = await lin(store)
    ages = [5, 900, 1, 40]
    await store.events.add([by(LIN, f"e{age}", at=NOW - age * 86_400) for age in ages], NOW)
    told = await store.members.export(member)
    assert told is not None
    assert [one["event_id"] for one in told["events"]] == ["e900", "e40", "e5", "e1"]


async def test_pages_go_on_after_a_row_and_may_be_of_one_kind(store: Store) -> None:
    kinds = ("view", "click", "view", "view")
    await store.events.add([event(f"e{n}", kind) for n, kind in enumerate(kinds)], NOW)
    first = await store.events.page(limit=2)
    rest = await store.events.page(after=first[-1].id)
    assert [one.event_id for one in (*first, *rest)] == ["e0", "e1", "e2", "e3"]
    assert [one.event_id for one in await store.events.page(kind="click")] == ["e1"]


async def test_many_at_once_are_placed_as_one_by_one(store: Store) -> None:
    """Across the sizes in which statements are filled up."""
    people = [(await store.members.meet(CHANNEL, f"oTEST_{n}", NOW)).id for n in range(150)]
    wanted = [
        event(f"e{n}", channel=CHANNEL, openid=f"oTEST_{n % 300}", visitor=f"v{n % 300}")
        for n in range(700)
    ]
    assert await store.events.add(wanted, NOW) == [Added.NEW] * 700
    for n, owner in enumerate((await owners(store)).values()):
        person = n % 300
        assert owner == (people[person] if person < 150 else f"{CHANNEL}:oTEST_{person}")
