"""Badges by rule, and rankings: who is in them, in which order, under which name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from store import Store
from store.events import NewEvent
from store.honours import facts
from store.rankings import Place
from tests.store.rows import CHANNEL, LIN, MEI, NOW, change_file

DAY_S = 86_400.0


@dataclass(frozen=True)
class Rule:
    name: str
    fact: str
    at_least: int


@pytest.fixture
async def lin(store: Store) -> int:
    return (await store.members.meet(CHANNEL, LIN, NOW)).id


@pytest.fixture
async def mei(store: Store) -> int:
    return (await store.members.meet(CHANNEL, MEI, NOW)).id


async def test_everything_a_badge_can_be_given_for_is_counted(
    store: Store, lin: int, mei: int
) -> None:
    assert await store.points.facts(lin) == dict.fromkeys(
        ("streak", "days", "earned", "referrals", "quizzes", "wins", "useful", "purchases"), 0
    )
    await store.points.post(lin, 2, "useful", "useful:7:9", NOW)
    await store.points.post(lin, -1, "coupon", "coupon:1", NOW)
    for name, order in (("e1", "o1"), ("e2", "o2")):
        event = NewEvent(name, "purchase", NOW, lin, item_id="c1", order_id=order)
        await store.events.add([event], NOW)
    path = store.db.path
    for member in (lin, mei):
        for day, streak in (("2026-11-01", 1), ("2026-11-02", 2), ("2026-11-09", 1)):
            change_file(
                path,
                "insert into checkins (member_id, day, streak, points, at) values (?, ?, ?, 0, 0)",
                (member, day, streak),
            )
    change_file(
        path,
        "insert into quizzes (title, status, created_at, created_by) values ('', 'closed', 0, '')",
    )
    change_file(
        path,
        "insert into quiz_attempts (quiz_id, member_id, started_at, finished_at, position, "
        "asked_at, rank) values (1, ?, 0, 9, 1, 0, 1)",
        (lin,),
    )
    for status in ("credited", "held"):
        change_file(
            path,
            "insert into referrals (inviter_id, channel, at, status, fingerprint) "
            "values (?, 'mp', 0, ?, ?)",
            (lin, status, status.encode()),
        )
    assert await store.points.facts(lin) == {
        "streak": 2,
        "days": 3,
        "earned": 2,
        "referrals": 1,
        "quizzes": 1,
        "wins": 1,
        "useful": 1,
        "purchases": 2,
    }
    assert await store.db.read(lambda conn: facts(conn, mei, ("days",))) == {"days": 3}


async def test_a_badge_is_given_once_and_never_taken_back(store: Store, lin: int) -> None:
    rules = (Rule("百分", "earned", 100), Rule("千分", "earned", 1000))
    assert await store.points.honour(lin, rules, NOW) == []
    await store.points.post(lin, 100, "purchase", "a", NOW)
    assert await store.points.honour(lin, rules, NOW + 1) == ["百分"]
    assert await store.points.honour(lin, rules, NOW + 1) == ["百分"], "the same moment again"
    assert await store.points.honour(lin, rules, NOW + 2) == []
    await store.points.post(lin, -100, "refund", "b", NOW)
    assert await store.points.honour(lin, rules, NOW + 3) == []
    assert await store.points.badges(lin) == [("百分", NOW + 1)]


async def test_nobody_is_honoured_who_is_not_there_and_no_rules_cost_nothing(
    store: Store, lin: int
) -> None:
    assert await store.points.honour(lin, (), NOW) == []
    await store.points.honour(404, (Rule("人人", "days", 0),), NOW)
    assert await store.points.badges(404) == []


async def test_badges_go_with_their_member(store: Store, lin: int) -> None:
    other = (await store.members.meet("team", MEI, NOW)).id
    everybody, early = Rule("人人", "days", 0), Rule("早", "days", 0)
    await store.points.honour(lin, (everybody,), NOW)
    await store.points.honour(other, (early, everybody), NOW + 9)
    await store.members.unite(CHANNEL, LIN, "uTEST")
    await store.members.unite("team", MEI, "uTEST")
    assert await store.points.badges(lin) == [("人人", NOW), ("早", NOW + 9)]
    told = await store.members.export(lin)
    assert told is not None
    assert told["badges"][0] == {"badge": "人人", "at": NOW}
    erased = await store.members.erase(lin, NOW)
    assert erased is not None
    assert erased.rows["badges"] == 2


# Rankings


async def members(store: Store, count: int) -> list[int]:
    return [(await store.members.meet(CHANNEL, f"oTEST_{n}", NOW)).id for n in range(count)]


async def test_a_ranking_counts_what_was_earned_and_not_what_is_left(store: Store) -> None:
    one, two, three = await members(store, 3)
    await store.points.post(one, 30, "checkin", "a", NOW)
    await store.points.post(one, -30, "coupon", "b", NOW)
    await store.points.post(two, 20, "referral", "c", NOW)
    await store.points.post(two, -15, "clawback", "d", NOW)
    await store.points.post(three, 999, "operator", "e", NOW)
    found = await store.points.ranking(for_member=three)
    assert found == await store.points.ranking("2000-01-01", for_member=three), "added up"
    assert found.rows == (Place(1, one, "", 30), Place(2, two, "", 5))
    assert found.mine is None
    assert found.listed


async def test_a_ranking_of_some_days_and_one_place(store: Store) -> None:
    one, two = await members(store, 2)
    await store.points.post(one, 10, "checkin", "a", NOW - 9 * DAY_S)
    await store.points.post(two, 4, "checkin", "b", NOW, place="g1")
    await store.points.post(one, 5, "checkin", "c", NOW, place="g2")
    week = await store.points.ranking("2025-11-17", "2025-11-23", for_member=one)
    assert [row.points for row in week.rows] == [5, 4]
    group = await store.points.ranking("2025-11-17", "2025-11-23", "g1", for_member=one)
    assert group.rows == (Place(1, two, "", 4),)
    assert group.mine is None
    assert (await store.points.ranking("2025-12-01")).rows == ()


async def test_who_earned_as_much_shares_the_place(store: Store) -> None:
    numbers = await members(store, 5)
    for member, amount in zip(numbers, (7, 9, 7, 9, 1), strict=True):
        await store.points.post(member, amount, "quiz", f"{member}", NOW)
    found = await store.points.ranking(limit=3, for_member=numbers[4])
    assert [(row.rank, row.points) for row in found.rows] == [(1, 9), (1, 9), (3, 7)]
    assert found.mine == Place(5, numbers[4], "", 1), "also behind the last one shown"
    assert (await store.points.ranking(for_member=numbers[2])).mine == Place(3, numbers[2], "", 7)


async def test_who_does_not_want_to_be_listed_takes_nobodys_place(store: Store) -> None:
    one, two = await members(store, 2)
    for member, amount in ((one, 9), (two, 5)):
        await store.points.post(member, amount, "quiz", f"{member}", NOW)
    await store.points.call(one, "林小满")
    assert (await store.points.ranking(for_member=two)).rows[0].name == "林小满"
    await store.points.list_in_rankings(one, False)
    await store.points.list_in_rankings(one, False)
    found = await store.points.ranking(for_member=one)
    assert found.rows == (Place(1, two, "", 5),)
    assert (found.mine, found.listed) == (Place(1, one, "林小满", 9), False)
    await store.points.list_in_rankings(one, True)
    assert (await store.points.ranking(for_member=one)).rows[0] == found.mine
    await store.points.call(one, "")
    assert (await store.points.ranking()).rows[0].name == ""


async def test_an_erased_member_is_in_no_ranking(store: Store) -> None:
    one, two = await members(store, 2)
    for member, amount in ((one, 9), (two, 5)):
        await store.points.post(member, amount, "quiz", f"{member}", NOW)
    await store.points.list_in_rankings(one, False)
    await store.members.erase(one, NOW)
    assert (await store.points.ranking()).rows == (Place(1, two, "", 5),)
    await store.points.call(404, "没有人")
    await store.points.list_in_rankings(404, False)
