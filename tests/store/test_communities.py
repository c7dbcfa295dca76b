"""Communities are written in steps that can be repeated; members are told, forgotten, joined."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store import Store, communities
from store.communities import Born, Ended, Finding, Lasting
from store.dialect import Connection
from tests.blank import blank

NOW = 1_795_228_200.0
DAY = 86_400.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    await store.groups.meet("qun", "1", NOW, name="学习群", bound_by="test")
    for number in range(1, 13):
        await store.members.meet("qun", f"o_{number}", NOW)
    yield store
    await store.close()


def born(name: str, *members: int, origin: str = "born", parents: tuple[int, ...] = ()) -> Born:
    return Born(name, "摄影 构图", origin, parents, frozenset(members))


async def rows(store: Store, sql: str, *args: Any) -> list[tuple[Any, ...]]:
    return await store.db.read(lambda conn: conn.execute(sql, args).fetchall())


async def refuse(store: Store, member_id: int) -> None:
    await store.db.write(
        lambda conn: conn.execute(
            "insert into consents (member_id, purpose, granted, at, source) "
            "values (?, 'profiling', 0, 0, 'test')",
            (member_id,),
        )
    )


async def test_communities_are_kept_with_their_members(store: Store) -> None:
    changed = await store.communities.keep("", [], [born("甲", 1, 2), born("乙", 3, 4, 5)], [], NOW)
    assert changed == 5
    second, first = await store.communities.standing("")
    assert (second.name, second.size, second.origin, second.seen_at) == ("乙", 3, "born", NOW)
    assert await store.communities.members(first.id) == [1, 2]
    assert await store.communities.standing("qun:1") == []


async def test_the_same_again_changes_nobody(store: Store) -> None:
    await store.communities.keep("", [], [born("甲", 1, 2)], [], NOW)
    (one,) = await store.communities.standing("")
    lasting = Lasting(one.id, "甲", "", frozenset({1, 2}))
    assert await store.communities.keep("", [lasting], [], [], NOW + DAY) == 0
    since = await rows(store, "select distinct since from community_members")
    assert since == [(NOW,)]
    assert (await store.communities.standing(""))[0].seen_at == NOW + DAY


async def test_who_moves_is_of_the_new_one_only(store: Store) -> None:
    await store.communities.keep("", [], [born("甲", 1, 2, 3)], [], NOW)
    (old,) = await store.communities.standing("")
    lasting = Lasting(old.id, "甲", "", frozenset({1}))
    fresh = born("乙", 2, origin="split", parents=(old.id,))
    assert await store.communities.keep("", [lasting], [fresh], [], NOW + DAY) == 2
    found = {one.name: one for one in await store.communities.standing("")}
    assert (found["乙"].origin, found["乙"].parents) == ("split", str(old.id))
    assert await store.communities.members(found["乙"].id) == [2]
    assert await rows(store, "select member_id from community_members where member_id = 3") == []


async def test_what_ended_is_not_there_any_more_but_is_remembered(store: Store) -> None:
    await store.communities.keep("", [], [born("甲", 1, 2)], [], NOW)
    (old,) = await store.communities.standing("")
    await store.communities.keep("", [], [], [Ended(old.id, "faded")], NOW + DAY)
    assert await store.communities.standing("") == []
    assert await rows(store, "select name, ended_at, ending from communities") == [
        ("甲", NOW + DAY, "faded")
    ]


async def test_a_kill_after_the_first_step_leaves_nothing_that_is_shown(store: Store) -> None:
    fresh = [born("甲", 1, 2)]
    (number,) = await store.db.write(
        partial(communities._begin, scope="", born=fresh, ended=[], now=NOW)
    )
    assert await store.communities.standing("") == []
    (kept,) = await store.db.read(lambda conn: communities.standing(conn, ""))
    assert (kept.id, kept.members, kept.confirmed) == (number, frozenset(), False)
    await store.communities.keep("", [], fresh, [], NOW)
    (one,) = await store.communities.standing("")
    assert one.id != number
    assert await rows(store, "select id from communities") == [(one.id,)]


async def test_a_kill_between_slices_is_made_up_for(store: Store) -> None:
    fresh = [born("甲", 1, 2, 3)]
    (number,) = await store.db.write(
        partial(communities._begin, scope="", born=fresh, ended=[], now=NOW)
    )
    await store.db.write(
        partial(communities._move, scope="", rows=[(1, number), (2, number)], now=NOW, opt_in=False)
    )
    lasting = Lasting(number, "甲", "", frozenset({1, 2, 3}))
    assert await store.communities.keep("", [lasting], [], [], NOW + 1) == 1
    (one,) = await store.communities.standing("")
    assert (one.id, one.size, one.born_at) == (number, 3, NOW)


async def test_many_members_are_written_in_slices(store: Store) -> None:
    many = communities._SLICE + 3

    def meet(conn: Connection) -> None:
        conn.executemany(
            "insert into members (id, created_at) values (?, 0)",
            [(number,) for number in range(100, 100 + many)],
        )

    await store.db.write(meet)
    assert (
        await store.communities.keep("", [], [born("众", *range(100, 100 + many))], [], NOW) == many
    )
    assert await store.communities.keep("", [], [], [], NOW) == many
    assert await rows(store, "select count(*) from community_members") == [(0,)]


async def test_who_refused_is_not_written(store: Store) -> None:
    await refuse(store, 2)
    await store.communities.keep("", [], [born("甲", 1, 2, 3)], [], NOW)
    (one,) = await store.communities.standing("")
    assert await store.communities.members(one.id) == [1, 3]
    assert one.size == 2
    found = [Finding(2, 1, 0.5, 0.4, 0.6), Finding(3, 2, 0.3, 0.2, 0.35)]
    await store.communities.put_findings("leader", "", found, NOW)
    assert [row.finding.member_id for row in await store.communities.found("leader", "")] == [3]


async def test_with_opt_in_only_who_agreed_is_written(store: Store) -> None:
    await store.communities.keep("", [], [born("甲", 1, 2, 3)], [], NOW, opt_in=True)
    await store.communities.put_findings("leader", "", [Finding(1, 1, 1, 1, 1)], NOW, opt_in=True)
    assert await rows(store, "select * from community_members") == []
    assert await store.communities.found("leader", "") == []
    allowed = partial(communities.allowed, members={1, 2, 99}, opt_in=False)
    assert await store.db.read(allowed) == {1, 2}


async def test_findings_replace_those_of_their_scope_only(store: Store) -> None:
    one = Finding(1, 1, 0.5, 0.4, 0.6, '{"helped": 3}')
    for scope in ("", "qun:1"):
        await store.communities.put_findings("leader", scope, [one], NOW)
    await store.communities.put_findings("bridge", "", [one._replace(member_id=2)], NOW)
    await store.communities.put_findings("leader", "", [one._replace(member_id=3)], NOW + 1)
    assert [row.finding.member_id for row in await store.communities.found("leader", "")] == [3]
    (kept,) = await store.communities.found("leader", "qun:1")
    assert (kept.finding, kept.made_at) == (one, NOW)
    of_members = partial(communities.of_members, name="leader", members=[1, 2, 3])
    assert await store.db.read(of_members) == {1: {"qun:1"}, 3: {""}}


# What jobs read


async def test_pairs_fade_and_leave_out_who_refused(store: Store) -> None:
    await store.db.write(
        lambda conn: conn.executemany(
            "insert into edges (place, from_id, to_id, weight, count, at) "
            "values (?, ?, ?, ?, 1, ?)",
            [
                ("qun:1", 1, 2, 4.0, NOW - 30 * DAY),
                ("qun:1", 2, 3, 1.0, NOW),
                ("qun:gone", 1, 3, 9.0, NOW),
            ],
        )
    )
    read = partial(communities.pairs, now=NOW, half_life_s=30 * DAY)
    here = await store.db.read(partial(read, scope="qun:1"))
    assert here.from_id.tolist() == [1, 2]
    assert here.weight.tolist() == pytest.approx([2.0, 1.0])
    # A group that is not bound is not looked at, also where all are.
    everywhere = await store.db.read(partial(read, scope=""))
    assert everywhere.to_id.tolist() == [2, 3]
    without = await store.db.read(partial(read, scope="qun:1", without={2}))
    assert without.weight.size == 0


async def test_who_came_is_told_from_who_was_there(store: Store) -> None:
    await store.db.write(
        lambda conn: conn.executemany(
            "insert into group_members (place, member_id, since, left_at, welcomed_at) "
            "values ('qun:1', ?, ?, ?, ?)",
            [(1, NOW, None, None), (2, NOW, None, NOW), (3, NOW, NOW + 9, NOW + 5)],
        )
    )
    found = await store.db.read(lambda conn: communities.here(conn, "qun:1"))
    assert [(one.member_id, one.came) for one in found] == [(1, True), (2, False), (3, True)]
    assert await store.db.read(lambda conn: communities.oldest(conn, "qun:1")) is None
    places = await store.db.read(communities.places)
    assert places == [("qun:1", "学习群")]


# People


async def test_what_is_kept_is_told_and_forgotten(store: Store) -> None:
    await store.communities.keep("", [], [born("甲", 1, 2)], [], NOW)
    await store.communities.put_findings("leader", "", [Finding(1, 1, 0.5, 0.4, 0.6)], NOW)
    told = await store.db.read(lambda conn: communities.told(conn, 1))
    assert [row["name"] for row in told["community_members"]] == ["甲"]
    assert [row["value"] for row in told["member_findings"]] == [0.5]
    rows = await store.db.write(lambda conn: communities.forget(conn, 1, NOW))
    assert rows == {"community_members": 1, "member_findings": 1}
    told = await store.db.read(lambda conn: communities.told(conn, 1))
    assert told == {"community_members": [], "member_findings": []}


async def test_two_that_are_one_are_once_in_each_scope(store: Store) -> None:
    await store.communities.keep("", [], [born("甲", 1), born("乙", 2)], [], NOW)
    await store.communities.keep("qun:1", [], [born("丙", 2)], [], NOW)
    await store.communities.put_findings("leader", "qun:1", [Finding(2, 1, 0.5, 0.4, 0.6)], NOW)
    await store.db.write(lambda conn: communities.merge(conn, 1, 2))
    told = await store.db.read(lambda conn: communities.told(conn, 1))
    assert [(row["scope"], row["name"]) for row in told["community_members"]] == [
        ("", "甲"),
        ("qun:1", "丙"),
    ]
    assert len(told["member_findings"]) == 1
    gone = await store.db.read(lambda conn: communities.told(conn, 2))
    assert gone == {"community_members": [], "member_findings": []}
