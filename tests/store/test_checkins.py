"""Check-in: a day counts once, days in a row, cards and the days they make up."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import Store
from store.checkins import CheckIn, MadeUp, MakeUp, day_before
from tests.store.rows import CHANNEL, LIN, MEI, NOW, ask_file, key, meeting

FIRST = date(2026, 11, 20)


@pytest.fixture
async def lin(store: Store) -> int:
    return (await store.members.meet(CHANNEL, LIN, NOW)).id


def day(number: int) -> str:
    """The n-th day of these tests, from 1."""
    return (FIRST + timedelta(days=number - 1)).isoformat()


async def check_in(store: Store, member_id: int, number: int, **fields: Any) -> CheckIn:
    """On the n-th day, by a message of that number."""
    wanted: dict[str, Any] = {
        "key": key(number),
        "award": lambda streak: min(4 + streak, 10),
        "card_every": 7,
        "cards_most": 3,
        "ends_at": None,
    }
    wanted |= fields
    done = await store.checkins.check_in(
        member_id, day(number), now=NOW + number * 86_400.0, **wanted
    )
    assert done is not None
    return done


async def make_up(store: Store, member_id: int, number: int, by: int, days: int = 7) -> MadeUp:
    now = NOW + number * 86_400.0
    return await store.checkins.make_up(member_id, day(number), key(by), now, days)


async def streaks(store: Store, member_id: int) -> list[int]:
    sql = "select streak from checkins where member_id = ? order by day"
    return [row[0] for row in ask_file(store.db.path, sql, (member_id,))]


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(1, 40))
def test_the_day_before_knows_months_and_leap_years(today: date, days: int) -> None:
    assert day_before(today.isoformat(), days) == (today - timedelta(days=days)).isoformat()


async def test_days_in_a_row_earn_more_up_to_the_most(store: Store, lin: int) -> None:
    done = [await check_in(store, lin, number) for number in range(1, 9)]
    assert [one.points for one in done] == [5, 6, 7, 8, 9, 10, 10, 10]
    assert [one.streak for one in done] == list(range(1, 9))
    assert done[-1].balance == done[-1].earned == 65
    assert done[-1].days == 8
    assert [one.card for one in done] == [False] * 6 + [True, False]
    assert done[-1].cards == 1
    assert await store.points.audit_sums() == []


async def test_a_missed_day_begins_anew(store: Store, lin: int) -> None:
    for number in (1, 2, 4):
        done = await check_in(store, lin, number)
    assert (done.streak, done.points, done.days) == (1, 5, 3)


async def test_a_day_counts_once_and_its_message_says_the_same_again(
    store: Store, lin: int
) -> None:
    first = await check_in(store, lin, 1)
    assert first.fresh
    assert await check_in(store, lin, 1) == first, "after a crash"
    other = await check_in(store, lin, 1, key=key(77))
    assert not other.fresh
    assert (other.points, other.balance) == (5, 5)


async def test_a_message_that_runs_again_after_midnight_is_still_yesterdays(
    store: Store, lin: int
) -> None:
    first = await check_in(store, lin, 1)
    again = await check_in(store, lin, 2, key=key(1))
    assert again == first
    assert (await check_in(store, lin, 2)).streak == 2


async def test_two_messages_at_once_earn_one_day(store: Store, lin: int) -> None:
    done = await meeting(store, [check_in(store, lin, 1, key=key(n)) for n in range(5)])
    assert sum(one.fresh for one in done) == 1
    assert (await store.points.balance(lin)).balance == 5


async def test_two_processes_earn_one_day(store: Store, lin: int) -> None:
    other = Store(store.db.path, durability="process")
    await other.open()
    done = [await check_in(one, lin, 1, key=key(n)) for n, one in enumerate((store, other))]
    await other.close()
    assert [one.fresh for one in done] == [True, False]
    assert (await store.points.balance(lin)).balance == 5


async def test_a_day_that_comes_late_joins_the_next_one(store: Store, lin: int) -> None:
    await check_in(store, lin, 2)
    late = await check_in(store, lin, 1)
    assert late.fresh
    assert late.streak == 1
    assert await streaks(store, lin) == [1, 2]


async def test_a_check_in_that_earns_nothing_is_one(store: Store, lin: int) -> None:
    done = await check_in(store, lin, 1, award=lambda streak: 0, card_every=0)
    assert (done.fresh, done.points, done.balance) == (True, 0, 0)
    assert (await check_in(store, lin, 2, award=lambda streak: 0)).streak == 2
    assert ask_file(store.db.path, "select count(*) from point_transfers") == [(0,)]


async def test_nobody_checks_in_who_is_not_there(store: Store) -> None:
    done = await store.checkins.check_in(
        *(404, day(1), key(1), NOW, lambda streak: 5),
        card_every=7,
        cards_most=3,
        ends_at=None,
    )
    assert done is None
    made = await store.checkins.make_up(404, day(1), key(1), NOW, 7)
    assert made == MadeUp(MakeUp.NOTHING_MISSED)


async def test_cards_stop_at_the_most(store: Store, lin: int) -> None:
    done = [
        await check_in(store, lin, number, card_every=1, cards_most=2) for number in range(1, 5)
    ]
    assert [one.cards for one in done] == [1, 2, 2, 2]


async def test_a_card_makes_up_the_newest_missed_day(store: Store, lin: int) -> None:
    for number in (1, 2, 3, 6, 7):
        await check_in(store, lin, number, card_every=2)
    before = (await store.points.balance(lin)).balance
    made = await make_up(store, lin, 7, by=100)
    assert made == MadeUp(MakeUp.DONE, day(5), 3, 1, NOW + 7 * 86_400.0)
    assert await make_up(store, lin, 7, by=100) == made, "after a crash"
    assert await streaks(store, lin) == [1, 2, 3, 1, 2, 3]
    assert (await store.points.balance(lin)).balance == before, "a day made up earns nothing"
    made = await make_up(store, lin, 7, by=101)
    assert (made.day, made.streak, made.cards) == (day(4), 7, 0)
    assert (await make_up(store, lin, 7, by=102)).outcome is MakeUp.NOTHING_MISSED
    assert (await check_in(store, lin, 8, card_every=8)).card, "and the row goes on"


async def test_yesterday_can_be_made_up_before_todays_check_in(store: Store, lin: int) -> None:
    await check_in(store, lin, 1, card_every=1)
    assert (await make_up(store, lin, 3, by=100)).day == day(2)
    assert await store.checkins.standing(lin, day(3)) == (2, 0)
    assert (await check_in(store, lin, 3)).streak == 3


async def test_what_cannot_be_made_up(store: Store, lin: int) -> None:
    assert (await make_up(store, lin, 1, by=100)).outcome is MakeUp.NOTHING_MISSED, "no day yet"
    await check_in(store, lin, 2)
    made = await make_up(store, lin, 2, by=100)
    assert made.outcome is MakeUp.NOTHING_MISSED, "the day before the first is not missed"
    assert (await make_up(store, lin, 4, by=100)) == MadeUp(MakeUp.NO_CARD)
    await check_in(store, lin, 20, card_every=1)
    assert (await make_up(store, lin, 20, by=100, days=1)).day == day(19)
    await check_in(store, lin, 21, card_every=1)
    assert (await make_up(store, lin, 21, by=101, days=2)).outcome is MakeUp.NOTHING_MISSED


async def test_days_in_a_row_last_until_the_day_after(store: Store, lin: int) -> None:
    await check_in(store, lin, 1)
    await check_in(store, lin, 2)
    assert await store.checkins.standing(lin, day(2)) == (2, 0)
    assert await store.checkins.standing(lin, day(3)) == (2, 0), "today is still to come"
    assert await store.checkins.standing(lin, day(4)) == (0, 0)


# Whose days they are


async def test_the_export_has_the_days(store: Store, lin: int) -> None:
    await check_in(store, lin, 1, place="g1")
    told = await store.members.export(lin)
    assert told is not None
    assert told["checkins"] == [
        {"day": day(1), "streak": 1, "points": 5, "card": 0, "made_up": 0, "place": "g1"}
        | {"at": NOW + 86_400.0}
    ]


async def test_erasing_takes_the_days_along(store: Store, lin: int) -> None:
    await check_in(store, lin, 1)
    erased = await store.members.erase(lin, NOW)
    assert erased is not None
    assert erased.rows["checkins"] == 1
    back = (await store.members.meet(CHANNEL, LIN, NOW)).id
    assert not (await check_in(store, back, 1)).fresh, "the day is used up all the same"
    assert (await check_in(store, back, 2)).days == 1
    assert await store.points.audit_sums() == []


async def test_two_members_days_make_one_row(store: Store, lin: int) -> None:
    other = (await store.members.meet("team", MEI, NOW)).id
    for number in (1, 2, 4):
        await check_in(store, lin, number, key=key(number))
    for number in (2, 3, 5):
        await check_in(store, other, number, key=key(100 + number))
    await store.members.unite(CHANNEL, LIN, "uTEST")
    assert await store.members.unite("team", MEI, "uTEST") == lin
    assert await streaks(store, lin) == [1, 2, 3, 4, 5]
    again = await check_in(store, lin, 5, key=key(200))
    assert (again.fresh, again.streak) == (False, 5), "the other one's day is theirs"
    assert (await check_in(store, lin, 6)).streak == 6
    assert await store.points.audit_sums() == []
