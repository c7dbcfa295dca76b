"""What groups cost: one amount a day, replaced only when wanted; and what was sold there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from store import Store
from store.dialect import Connection
from store.ledgers import Deed
from store.place_costs import (
    Kept,
    Outcome,
    PlaceCost,
    begin_of_week,
    week_of,
    week_of_day,
    weekly_conversions,
    weekly_costs,
)

MONDAY = "2026-11-16"
WEEK = week_of_day(MONDAY)
AT = begin_of_week(WEEK)
HOUR = 3600.0


async def put(store: Store, cents: int, day: str = MONDAY, **fields: Any) -> Kept:
    replace = fields.pop("replace", False)
    usual = {"place": "qun:1", "note": "", "at": 5.0, "by": "member:3"}
    cost = PlaceCost(day=day, cents=cents, **{**usual, **fields})
    return await store.place_costs.put(
        cost, Deed(5.0, "member:3", "budget.cost"), "group:1", replace=replace
    )


async def audit(store: Store) -> list[str]:
    return [row.detail for row in await store.audit.newest()]


async def test_a_cost_is_written_once_with_its_line_of_the_audit(store: Store) -> None:
    assert await put(store, 300_00) == Kept(Outcome.NEW, None)
    assert await put(store, 300_00) == Kept(Outcome.SAME, 300_00)
    assert await audit(store) == [f"{MONDAY} 30000"]
    assert [one.cents for one in await store.place_costs.newest(9)] == [300_00]


async def test_another_amount_stays_out_until_it_is_wanted(store: Store) -> None:
    await put(store, 300_00)
    assert await put(store, 500_00) == Kept(Outcome.OTHER, 300_00)
    assert [one.cents for one in await store.place_costs.newest(9)] == [300_00]
    assert await put(store, 500_00, replace=True) == Kept(Outcome.REPLACED, 300_00)
    assert await put(store, 500_00, replace=True) == Kept(Outcome.SAME, 500_00)
    assert await audit(store) == [f"{MONDAY} 30000 -> 50000", f"{MONDAY} 30000"]


async def test_another_note_alone_needs_no_question(store: Store) -> None:
    await put(store, 300_00)
    assert (await put(store, 300_00, note="红包")).outcome is Outcome.REPLACED
    assert [one.note for one in await store.place_costs.newest(9)] == ["红包"]


async def test_costs_are_listed_newest_day_first_of_one_place_or_all(store: Store) -> None:
    await put(store, 1, "2026-11-02")
    await put(store, 2, "2026-11-16", place="qun:2")
    await put(store, 3, "2026-11-09")
    assert [one.cents for one in await store.place_costs.newest(9)] == [2, 3, 1]
    assert [one.cents for one in await store.place_costs.newest(1, "qun:1")] == [3]


async def test_a_cost_is_taken_out_once(store: Store) -> None:
    await put(store, 300_00)
    deed = Deed(6.0, "member:3", "budget.remove")
    gone = await store.place_costs.drop("qun:1", MONDAY, deed, "group:1")
    assert gone is not None
    assert gone.cents == 300_00
    assert await store.place_costs.drop("qun:1", MONDAY, deed, "group:1") is None
    assert len(await audit(store)) == 2


@pytest.mark.parametrize("hours", [0.0, 1.0, 167.9])
def test_weeks_begin_on_mondays_in_shanghai(hours: float) -> None:
    assert week_of(AT + hours * HOUR) == WEEK
    assert week_of(AT - 1.0) == WEEK - 1
    assert date.fromisoformat(MONDAY).weekday() == 0


def test_a_day_is_of_the_week_that_holds_it() -> None:
    assert [week_of_day(f"2026-11-{day}") - WEEK for day in (15, 16, 22, 23)] == [-1, 0, 0, 1]


async def read(store: Store, run: Any) -> Any:
    return await store.db.read(run)


async def test_costs_of_a_week_are_added_up(store: Store) -> None:
    for day, cents in (("2026-11-16", 100), ("2026-11-22", 50), ("2026-11-23", 7)):
        await put(store, cents, day)
    await put(store, 0, "2026-11-09")
    found = await read(store, lambda conn: weekly_costs(conn, WEEK - 1, WEEK + 1))
    assert found == {"qun:1": {WEEK - 1: 0, WEEK: 150}}
    assert await read(store, lambda conn: weekly_costs(conn, WEEK + 5, WEEK + 9)) == {}


async def sold(
    store: Store, seats: Sequence[tuple[str, int, float, float | None]], orders: Sequence[Any]
) -> None:
    """seats: (place, member, since, left_at); orders: (kind, member, at, order, cents)."""

    def run(conn: Connection) -> None:
        for member in (1, 2):
            conn.execute("insert into members (id, created_at) values (?, 0)", (member,))
        conn.executemany(
            "insert into group_members (place, member_id, since, left_at) values (?, ?, ?, ?)",
            seats,
        )
        conn.executemany(
            "insert into events (event_id, kind, member_id, at, order_id, amount_cents, "
            "received_at) values (hex(randomblob(8)), ?, ?, ?, ?, ?, 0)",
            orders,
        )

    await store.db.write(run)


async def conversions(store: Store, *places: str) -> Any:
    return await read(store, lambda conn: weekly_conversions(conn, places, WEEK, WEEK + 2))


async def test_an_order_counts_where_its_buyer_was_in_equal_parts(store: Store) -> None:
    await sold(
        store,
        [("qun:1", 1, 0.0, None), ("qun:2", 1, 0.0, None), ("qun:1", 2, 0.0, AT + HOUR)],
        [
            ("purchase", 1, AT + HOUR, "a", 100),
            ("purchase", 1, AT + 200 * HOUR, "b", 100),
            # Left before this one, bought before the first week, and one of nobody.
            ("purchase", 2, AT + 2 * HOUR, "c", 100),
            ("purchase", 1, AT - HOUR, "d", 100),
            ("purchase", None, AT + HOUR, "e", 100),
        ],
    )
    both = {WEEK: 0.5, WEEK + 1: 0.5}
    assert await conversions(store, "qun:1", "qun:2") == {"qun:1": both, "qun:2": both}
    assert await conversions(store, "qun:1") == {"qun:1": {WEEK: 1.0, WEEK + 1: 1.0}}
    assert await conversions(store, "qun:7") == {"qun:7": {}}
    assert await conversions(store) == {}


async def test_an_order_that_was_given_back_in_full_is_none(store: Store) -> None:
    await sold(
        store,
        [("qun:1", 1, 0.0, None)],
        [
            ("purchase", 1, AT, "whole", 100),
            ("refund", 1, AT + HOUR, "whole", 100),
            ("purchase", 1, AT, "half", 100),
            ("refund", 1, AT + HOUR, "half", 50),
            ("purchase", 1, AT, "", 100),
            ("purchase", 1, AT, "free", 0),
        ],
    )
    assert await conversions(store, "qun:1") == {"qun:1": {WEEK: 3.0}}
