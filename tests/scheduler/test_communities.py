"""Planted circles and leaders come out of a night's work, are tracked, and survive a kill."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import pytest

from insights.report import Report, from_json, name_of
from scheduler import communities
from store import Store
from store.communities import Born, Ended, Lasting
from store.talk import NewTalk
from tests.blank import blank

NOW = 1_795_228_200.0
DAY_S = 86_400.0
T = TypeVar("T")
Args = TypeVarTuple("Args")

CIRCLES = (range(1, 15), range(15, 29), range(29, 43))
LEADERS = (1, 2)
TERMS = ("摄影", "英语", "理财")


class Here:
    """Runs at once, in this process."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return run(*args)


class Killed(Here):
    """Ends before a certain piece of work, as a kill would."""

    def __init__(self, before: Callable[..., object]) -> None:
        self.before = before

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        if run is self.before:
            raise RuntimeError("killed")
        return run(*args)


def who(number: int) -> str:
    return f"o_{number}"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await opened(tmp_path / "z.db")
    yield store
    await store.close()


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The file of a group that talked for four weeks, and the same after a night's work."""
    folder = tmp_path_factory.mktemp("months")

    async def make() -> None:
        store = await opened(folder / "talked.db")
        await heard(store, month(1, CIRCLES))
        await read_terms(store, CIRCLES)
        await store.close()
        shutil.copy(folder / "talked.db", folder / "refreshed.db")
        store = await opened(folder / "refreshed.db")
        await refresh(store)
        await store.close()

    asyncio.run(make())
    return folder / "talked.db", folder / "refreshed.db"


@pytest.fixture
async def talked(tmp_path: Path, months: tuple[Path, Path]) -> AsyncIterator[Store]:
    shutil.copy(months[0], tmp_path / "z.db")
    store = await opened(tmp_path / "z.db")
    yield store
    await store.close()


@pytest.fixture
async def refreshed(tmp_path: Path, months: tuple[Path, Path]) -> AsyncIterator[Store]:
    shutil.copy(months[1], tmp_path / "z.db")
    store = await opened(tmp_path / "z.db")
    yield store
    await store.close()


async def opened(path: Path) -> Store:
    """A store with a bound group and sixty members."""
    store = Store(blank(path), durability="process", readers=1)
    await store.open()
    if store.groups.known("qun:1") is None:
        await store.groups.meet("qun", "1", NOW, name="学习群", bound_by="test")
        for number in range(1, 61):
            member = await store.members.meet("qun", who(number), NOW - 40 * DAY_S)
            assert member.id == number
    return store


def month(seed: int, circles: Sequence[Sequence[int]]) -> list[NewTalk]:
    """Four weeks in which circles talk among themselves, and mostly to the leaders of the first."""
    rng = random.Random(seed)
    turns: list[NewTalk] = []

    def say(at: float, sender: int, text: str, to: int | None) -> None:
        turns.append(
            NewTalk(
                key=rng.randbytes(16),
                place="qun:1",
                channel="qun",
                sender=who(sender),
                at=at,
                kind="text",
                text=text,
                to=() if to is None else ((who(to), 1.0),),
            )
        )

    for day in range(28):
        for hour, circle in enumerate(circles):
            at = NOW - (day + 1) * DAY_S + hour * 7200.0
            for turn in range(14):
                one, other = rng.sample(list(circle), 2)
                say(at + turn * 60, one, "今天也学了一会儿", other)
            asker = rng.choice([one for one in circle if one not in LEADERS])
            helper = rng.choice(LEADERS)
            say(at + 2000, asker, f"请问{TERMS[hour % 3]}怎么入门？", None)
            say(at + 2060, helper, "先看第一章再做题", asker)
            for fan in rng.sample(list(circle), 4):
                if fan != helper:
                    say(at + 2100, fan, "学到了", helper)
    return turns


async def heard(store: Store, turns: Sequence[NewTalk]) -> None:
    await asyncio.gather(*(store.talk.say(turn) for turn in turns))


async def read_terms(store: Store, circles: Sequence[Sequence[int]]) -> None:
    rows = [
        ("t", 10_000 + number, "qun:1", member, NOW - DAY_S, 0, 0.1, 0.1, f"{term} 学习", "m")
        for number, (member, term) in enumerate(
            (member, term)
            for circle, term in zip(circles, TERMS, strict=False)
            for member in circle
        )
    ]
    await store.db.write(
        lambda conn: conn.executemany(
            "insert into readings (source, row_id, place, member_id, at, label, negative, "
            "positive, terms, model) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    )


async def refresh(store: Store, now: float = NOW, **more: bool) -> str:
    return await communities.refresh(store, Here(), now, **more)


async def report(store: Store, kind: str, scope: str) -> Report:
    data = await store.interactions.finding(name_of(kind, scope))
    assert data is not None
    return from_json(data)


async def circles_of(store: Store, scope: str = "qun:1") -> dict[int, set[int]]:
    return {
        one.id: set(await store.communities.members(one.id))
        for one in await store.communities.standing(scope)
    }


async def test_planted_circles_and_leaders_are_found(refreshed: Store) -> None:
    store = refreshed
    found = await circles_of(store)
    right = sum(max(len(members & set(circle)) for circle in CIRCLES) for members in found.values())
    placed = sum(map(len, found.values()))
    named = {one.finding.member_id for one in await store.communities.found("leader", "qun:1")}
    hits = len(named & set(LEADERS))
    print(f"circles: precision {right / placed:.2f}, recall {right / 42:.2f}")
    print(f"leaders: precision {hits / max(len(named), 1):.2f}, recall {hits / len(LEADERS):.2f}")
    # The two leaders talk with everybody: they may be in any circle.
    assert right >= 40
    assert named == set(LEADERS)
    names = [one.name for one in await store.communities.standing("qun:1")]
    assert {name.split("·")[0] for name in names} == set(TERMS)
    made = await report(store, "leaders", "qun:1")
    assert [row.member_id for row in made.lists[0].rows] == [
        one.finding.member_id for one in await store.communities.found("leader", "qun:1")
    ]
    everywhere = await report(store, "leaders", "")
    assert {row.member_id for row in everywhere.lists[0].rows} == set(LEADERS)
    group = await report(store, "group", "qun:1")
    answered = next(one for one in group.figures if one.name == "questions_answered")
    assert (answered.numerator, answered.denominator) == (84, 84)


async def test_nothing_is_done_without_a_bound_group(tmp_path: Path) -> None:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    assert await refresh(store) == ""
    await store.close()


async def test_a_silent_group_has_a_report_of_nothing(store: Store) -> None:
    await refresh(store)
    group = await report(store, "group", "qun:1")
    assert all(one.value in (None, 0) for one in group.figures)
    assert (await report(store, "leaders", "qun:1")).note == "leaders_few"
    assert await circles_of(store) == {}


async def test_a_second_night_changes_nothing(refreshed: Store) -> None:
    store = refreshed
    before = await circles_of(store)
    group = await report(store, "group", "qun:1")
    assert {one.name for one in group.lists} >= {"communities", "community_changes"}
    line = await refresh(store, NOW + DAY_S)
    assert line.startswith("1 groups, 3 communities in them, 3 over all")
    assert await circles_of(store) == before
    group = await report(store, "group", "qun:1")
    assert "community_changes" not in {one.name for one in group.lists}


async def test_who_refuses_is_in_no_circle_and_no_report(talked: Store) -> None:
    store = talked
    await store.db.write(
        lambda conn: conn.execute(
            "insert into consents (member_id, purpose, granted, at, source) "
            "values (1, 'profiling', 0, 0, 'test')"
        )
    )
    await refresh(store)
    assert 1 not in {one for members in (await circles_of(store)).values() for one in members}
    for kind, scope in (("leaders", "qun:1"), ("leaders", ""), ("group", "qun:1")):
        made = await report(store, kind, scope)
        assert 1 not in {row.member_id for one in made.lists for row in one.rows}


async def test_who_refuses_while_it_is_worked_out_is_in_nothing(talked: Store) -> None:
    store = talked

    class Slow(Here):
        async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
            done = run(*args)
            await store.db.write(
                lambda conn: conn.execute(
                    "insert into consents (member_id, purpose, granted, at, source) "
                    "values (1, 'profiling', 0, 0, 'test') on conflict do nothing"
                )
            )
            return done

    await communities.refresh(store, Slow(), NOW)
    assert 1 not in {one for members in (await circles_of(store)).values() for one in members}
    assert 1 not in {one.finding.member_id for one in await store.communities.found("leader", "")}
    assert '"member_id":1,' not in str(await store.interactions.finding("report:leaders:qun:1"))


def test_the_bot_itself_loads_no_large_library() -> None:
    code = (
        "import sys, scheduler.communities; "
        "print([one for one in ('sknetwork', 'scipy', 'sklearn') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_with_opt_in_only_who_agreed_is_looked_at(talked: Store) -> None:
    store = talked
    await refresh(store, opt_in=True)
    assert await circles_of(store) == {}


async def test_a_group_that_a_kill_left_out_is_made_up_for(talked: Store) -> None:
    store = talked
    with pytest.raises(RuntimeError, match="killed"):
        await communities.refresh(store, Killed(communities.everywhere), NOW)
    assert len(await circles_of(store)) == 3
    assert await store.interactions.finding("report:leaders:") is None
    await refresh(store)
    assert len(await circles_of(store)) == 3
    assert len(await circles_of(store, "")) == 3


async def test_a_night_that_was_killed_half_way_is_as_if_it_had_not_been(store: Store) -> None:
    old = Born("旧", "", "born", (), frozenset(range(1, 21)))
    await store.communities.keep("qun:1", [], [old], [], NOW)
    (number,) = await circles_of(store)
    # What a kill leaves after the first step, and in the middle of the second.
    half = await store.db.write(
        lambda conn: conn.execute(
            "insert into communities (scope, name, origin, parents, size, born_at, seen_at) "
            "values ('qun:1', '新', 'split', '1', 10, 0, 0), ('qun:1', '空', 'born', '', 9, 0, 0) "
            "returning id"
        ).fetchall()
    )
    await store.db.write(
        lambda conn: conn.execute(
            "update community_members set community_id = ? where member_id in (19, 20)", half[0]
        )
    )
    await heard(store, month(1, [range(1, 15), range(15, 29)]))
    await refresh(store)
    found = await circles_of(store)
    assert len(found) == 2
    assert number in found
    assert all(len(members) >= 10 for members in found.values())
    rows = await store.db.read(
        lambda conn: conn.execute("select count(*) from communities where seen_at = 0").fetchone()
    )
    assert rows == (0,)


async def test_a_circle_that_fell_silent_fades(talked: Store) -> None:
    store = talked
    gone = Born("散", "", "born", (), frozenset(range(43, 53)))
    await store.communities.keep("qun:1", [], [gone], [], NOW)
    (old,) = await circles_of(store)
    await refresh(store)
    row = await store.db.read(
        lambda conn: conn.execute(
            "select ending, ended_at from communities where id = ?", (old,)
        ).fetchone()
    )
    assert row == ("faded", NOW)
    assert await store.communities.members(old) == []
    group = await report(store, "group", "qun:1")
    changes = next(one for one in group.lists if one.name == "community_changes")
    assert ("散", "community_faded") in {(row.label, row.figures[0].name) for row in changes.rows}


async def test_who_was_forgotten_meanwhile_is_not_written(store: Store) -> None:
    born = Born("圈", "", "born", (), frozenset({1, 2, 999}))
    await store.communities.keep("", [], [born], [], NOW)
    (number,) = await circles_of(store, "")
    assert await store.communities.members(number) == [1, 2]
    lasting = Lasting(number, "圈", "", frozenset({2}))
    await store.communities.keep("", [lasting], [], [Ended(12345, "faded")], NOW)
    assert await store.communities.members(number) == [2]


async def test_what_a_leader_stands_on_is_kept_with_the_name(refreshed: Store) -> None:
    first = (await refreshed.communities.found("leader", "qun:1"))[0].finding
    assert first.low is not None
    assert first.low <= first.value <= first.high
    assert json.loads(first.data)["helped"] > 10
