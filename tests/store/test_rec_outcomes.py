"""What came of what was shown: each click and each purchase once, for the newest list."""

from __future__ import annotations

from typing import Any

import pytest

from store import Store
from store.dialect import Connection
from store.events import NewEvent
from store.rec_lists import NewList, Shown
from store.rec_outcomes import Day, Place, daily, grouped, places, touched
from tests.store.rows import CHANNEL, LIN, MEI, NOW, answered, key

DAY = 86_400.0
_number = iter(range(1, 1_000_000))


async def show(store: Store, member_id: int, *items: str, at: float = NOW, **fields: Any) -> int:
    """A list with these items; its number."""
    number = next(_number)
    plain: dict[str, Any] = {"surface": "chat", "ranker": "ours"}
    plain |= fields
    shown = tuple(Shown(item, plain["ranker"], 0.5, item == "new") for item in items)
    made = await store.recommendations.put(
        NewList(key(number), member_id, at, shown=shown, **plain)
    )
    assert made is not None
    return made.id


async def event(
    store: Store, member_id: int, kind: str, item: str, at: float, **fields: Any
) -> None:
    if kind == "click":
        fields = {"source": "recommendation"} | fields
    name = f"e{next(_number)}"
    told = NewEvent(name, kind, at, member_id, item_id=item, **fields)
    await store.events.add([told], NOW)


async def found(store: Store, since: float = 0.0, until: float = NOW + DAY) -> list[Place]:
    return await store.rec_outcomes.read(list, since, until)


async def clicked(store: Store) -> set[tuple[int, str]]:
    return {(one.list_id, one.item_id) for one in await found(store) if one.clicked}


async def bought(store: Store) -> dict[tuple[int, str], int]:
    return {(one.list_id, one.item_id): one.cents for one in await found(store) if one.bought}


async def test_nothing_was_shown(store: Store) -> None:
    await answered(store, 1)
    assert await found(store) == []
    assert grouped([]) == []
    assert daily([]) == []


async def test_a_place_says_how_it_came_to_be(store: Store) -> None:
    lin = await answered(store, 1)
    test = await store.rec_tests.begin("ours", "popular", "split", 1.0, "cli", NOW, "s")
    assert test is not None
    number = await show(
        store, lin, "a", "new", arm="test", test_id=test.id, model="m1", surface="digest"
    )
    first, second = await found(store)
    assert first == Place(
        *(number, lin, NOW, "digest", "ours", "m1", "test", test.id, 1, "a", "ours", 0.5),
        *(False, False, False, 0, True),
    )
    assert (second.position, second.explored) == (2, True)


async def test_a_click_counts_for_the_newest_list_that_showed_it(store: Store) -> None:
    lin = await answered(store, 1)
    first = await show(store, lin, "a", "b", at=NOW)
    second = await show(store, lin, "a", at=NOW + 10)
    await event(store, lin, "click", "a", NOW + 20)
    await event(store, lin, "click", "a", NOW + 21)
    await event(store, lin, "click", "b", NOW + 22)
    assert await clicked(store) == {(second, "a"), (first, "b")}


async def test_a_link_that_names_its_list_counts_for_that_one(store: Store) -> None:
    lin = await answered(store, 1)
    first = await show(store, lin, "a", at=NOW)
    await show(store, lin, "a", at=NOW + 10)
    await event(store, lin, "click", "a", NOW + 20, ref=f"rec:{first}")
    assert await clicked(store) == {(first, "a")}


async def test_a_pick_looked_at_in_the_chat_is_a_click(store: Store) -> None:
    lin = await answered(store, 1)
    number = await show(store, lin, "a", "b")
    await answered(store, 2, at=NOW + 5, handler="recommend.item", item="item:b")
    await answered(store, 3, at=NOW + 6, handler="content", item="item:a")
    assert await clicked(store) == {(number, "b")}


@pytest.mark.parametrize(
    ("item", "after", "fields"),
    [
        ("a", -1.0, {}),
        ("a", 7 * DAY, {}),
        ("a", 5.0, {"source": "campaign"}),
        ("other", 5.0, {}),
    ],
)
async def test_what_has_nothing_to_do_with_a_list_is_no_click(
    store: Store, item: str, after: float, fields: dict[str, Any]
) -> None:
    lin = await answered(store, 1)
    await show(store, lin, "a")
    await event(store, lin, "click", item, NOW + after, **fields)
    assert await clicked(store) == set()


async def test_nobody_clicks_for_another(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    await show(store, lin, "a")
    await event(store, mei, "click", "a", NOW + 5)
    assert await clicked(store) == set()
    assert [one.cold for one in await found(store)] == [True]


async def test_what_was_given_back_is_not_bought(store: Store) -> None:
    lin = await answered(store, 1)
    number = await show(store, lin, "a", "b", "c", "d", "free")
    for item, cents in (("a", 1000), ("b", 500), ("c", 300), ("d", 100), ("free", 0)):
        order = {"a": "1", "b": "1"}.get(item, item)
        await event(store, lin, "purchase", item, NOW + 9, amount_cents=cents, order_id=order)
    await event(store, lin, "refund", "", NOW + 40 * DAY, order_id="1", amount_cents=300)
    await event(store, lin, "refund", "c", NOW + DAY)
    await event(store, lin, "refund", "d", NOW + DAY, order_id="d", amount_cents=40)
    assert await bought(store) == {
        (number, "a"): 800,
        (number, "b"): 400,
        (number, "d"): 60,
        (number, "free"): 0,
    }


async def test_a_purchase_counts_once_and_for_two_weeks(store: Store) -> None:
    lin = await answered(store, 1)
    first = await show(store, lin, "a", "b", at=NOW)
    second = await show(store, lin, "a", at=NOW + 10)
    await event(store, lin, "purchase", "a", NOW + 14 * DAY, amount_cents=100, order_id="1")
    await event(store, lin, "purchase", "b", NOW + 14 * DAY, amount_cents=100, order_id="2")
    await event(store, lin, "purchase", "a", NOW - 1, amount_cents=100, order_id="3")
    assert await bought(store) == {(second, "a"): 100}
    assert first != second


async def test_what_followed_a_later_list_is_not_counted_for_the_time_before(
    store: Store,
) -> None:
    lin = await answered(store, 1)
    await show(store, lin, "a", at=NOW)
    await show(store, lin, "a", at=NOW + 2 * DAY)
    await event(store, lin, "click", "a", NOW + 3 * DAY)
    (only,) = await found(store, until=NOW + DAY)
    assert not only.clicked, "the list of the third day led to it"


async def test_an_item_that_stands_twice_in_a_list_counts_in_its_first_place(
    store: Store,
) -> None:
    lin = await answered(store, 1)
    await show(store, lin, "a", "b", "a")
    assert [(one.position, one.item_id) for one in await found(store)] == [(1, "a"), (2, "b")]


async def test_cold_is_who_had_done_nothing_yet(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    await show(store, lin, "a", at=NOW)
    await event(store, lin, "view", "z", NOW + 5)
    await event(store, lin, "exposure", "z", NOW - 5)
    await show(store, lin, "a", at=NOW + 9)
    await event(store, mei, "purchase", "z", NOW - 99)
    await show(store, mei, "a")
    cold = [(one.member_id, one.cold) for one in await found(store)]
    assert cold == [(lin, True), (lin, False), (mei, False)]


async def test_who_refused_is_in_no_report(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    for member_id in (lin, mei):
        await show(store, member_id, "a")
        await event(store, member_id, "click", "a", NOW + 1)
    await store.consents.decide(lin, "profiling", False, NOW, CHANNEL)
    assert [(one.member_id, one.clicked) for one in await found(store)] == [(mei, True)]
    assert await store.rec_outcomes.read(list, 0.0, NOW + DAY, opt_in=True) == []


async def test_groups_count_lists_places_and_members(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    await show(store, lin, "a", "b")
    await show(store, mei, "a", "b")
    await show(store, mei, "a", at=NOW + 1)
    await show(store, mei, "a", ranker="popular", arm="holdout")
    await event(store, lin, "click", "a", NOW + 5)
    await event(store, lin, "purchase", "a", NOW + 6, amount_cents=700)
    told = await store.rec_outcomes.read(grouped, 0.0, NOW + DAY)
    figures = [(one.by, one.arm, one.position, *one[6:]) for one in told]
    assert figures == [
        ("ours", "", 1, 3, 3, 2, 1, 1, 700),
        ("ours", "", 2, 2, 2, 2, 0, 0, 0),
        ("popular", "holdout", 1, 1, 1, 1, 0, 0, 0),
    ]


async def test_days_are_those_of_shanghai(store: Store) -> None:
    lin = await answered(store, 1)
    midnight = 1_763_568_000.0  # 2025-11-20 00:00 in Shanghai
    await show(store, lin, "a", "b", at=midnight - 1)
    await show(store, lin, "a", at=midnight)
    await show(store, lin, "b", at=midnight + 1)
    await event(store, lin, "click", "a", midnight + 5)
    assert await store.rec_outcomes.read(daily, 0.0, midnight + DAY) == [
        Day("2025-11-19", "", "ours", lin, 1, 0),
        Day("2025-11-20", "", "ours", lin, 2, 1),
    ]


async def test_touched_counts_members_once_and_only_what_they_wanted(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    for member_id in (lin, lin, mei):
        await event(store, member_id, "view", "a", NOW)
    await event(store, mei, "refund", "b", NOW)

    def read(conn: Connection) -> tuple[dict[str, int], int]:
        return touched(conn, 0.0, NOW + 1)

    assert await store.db.read(read) == ({"a": 2}, 2)


async def test_the_windows_may_be_other_ones(store: Store) -> None:
    lin = await answered(store, 1)
    await show(store, lin, "a")
    await event(store, lin, "click", "a", NOW + 50)

    def read(conn: Connection) -> list[bool]:
        return [one.clicked for one in places(conn, 0.0, NOW + DAY, click_s=50.0, buy_s=50.0)]

    assert await store.db.read(read) == [False]


async def test_a_list_that_a_program_fetched_takes_no_click_from_one_that_was_seen(
    store: Store,
) -> None:
    await answered(store, 1, sender=LIN)
    await answered(store, 2, sender=MEI)
    seen = await show(store, 1, "py")
    fetched = await show(store, 1, "py", "sql", at=NOW + 60, surface="api")
    await event(store, 1, "click", "py", NOW + 120)
    await event(store, 1, "click", "sql", NOW + 130)
    assert await clicked(store) == {(seen, "py"), (fetched, "sql")}
    # Unless the click itself names it.
    named = await show(store, 2, "py", at=NOW + 60, surface="api")
    await show(store, 2, "py", at=NOW + 90)
    await event(store, 2, "click", "py", NOW + 120, ref=f"rec:{named}")
    assert (named, "py") in await clicked(store)
