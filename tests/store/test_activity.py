"""The hour of the day in which members write."""

from __future__ import annotations

from datetime import datetime

from store import Store
from store.activity import DAYS, hour_of
from tests.store.rows import change_file

DAY = 86_400.0
NOON = datetime.fromisoformat("2026-11-21T12:00+08:00").timestamp()


def counts(**hours: int) -> list[int]:
    return [hours.get(f"h{hour}", 0) for hour in range(24)]


async def wrote(store: Store, who: str, *hours: float, kind: str = "text", ago: int = 1) -> int:
    """A member who wrote at these hours of a day so many days ago; their number."""
    member = await store.members.meet("mp", who, NOON)
    for hour in hours:
        change_file(
            store.db.path,
            "insert into interactions (at, channel, member_id, kind, text, handler, item) "
            "values (?, 'mp', ?, ?, '', '', '')",
            (NOON - ago * DAY + (hour - 12) * 3600, member.id, kind),
        )
    return member.id


def test_the_hour_with_most_around_it() -> None:
    assert hour_of(counts()) is None
    assert hour_of(counts(h20=3)) == 20
    # Four at nine, but at eight in the evening they are there for an hour and more.
    assert hour_of(counts(h9=4, h19=3, h20=3, h21=2)) == 20
    assert hour_of(counts(h23=2, h0=2, h1=2)) == 0
    assert hour_of(counts(h7=1, h15=1)) == 7


async def test_who_wrote_little_has_no_hour_of_their_own(store: Store) -> None:
    lin = await wrote(store, "o_lin", 20.1, 20.5, 20.9, 19.9, 9)
    mei = await wrote(store, "o_mei", 9, 9, 9, 9)
    quiet = await wrote(store, "o_quiet")
    ids = [lin, mei, quiet]
    assert await store.activity.best_hours(ids, NOON) == {lin: 20}
    assert await store.activity.best_hours([], NOON) == {}


async def test_only_what_they_wrote_themselves_and_lately_counts(store: Store) -> None:
    lin = await wrote(store, "o_lin", *[20] * 5)
    await wrote(store, "o_lin", *[9] * 50, kind="event:SCAN")
    await wrote(store, "o_lin", *[3] * 50, ago=DAYS + 1)
    assert await store.activity.best_hours([lin], NOON) == {lin: 20}


async def test_midnight_is_shanghais(store: Store) -> None:
    lin = await wrote(store, "o_lin", *[0.01] * 6)
    mei = await wrote(store, "o_mei", *[23.99] * 6)
    assert await store.activity.best_hours([lin, mei], NOON) == {lin: 0, mei: 23}


async def test_the_audience_has_the_hour_of_most_members(store: Store) -> None:
    ids = [await wrote(store, f"o_{n}", 20) for n in range(3)]
    # One who writes all morning is still one.
    ids.append(await wrote(store, "o_much", *[9] * 60))
    assert await store.activity.audience_hour(ids, NOON) == 20
    assert await store.activity.audience_hour([], NOON) is None
