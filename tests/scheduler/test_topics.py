"""Topics night by night: days are counted once, words learned, bursts told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import numpy as np
import pytest

from insights.intake import Wanted
from insights.new_words import NewWord
from insights.report import Listing, Report, from_json, name_of
from scheduler import topics_work
from scheduler.readings import Reader, Readings
from scheduler.topics import refresh, today
from store import Store
from store.readings import NewReading
from store.talk import NewTalk
from store.terms import NEW_WORDS, starts
from tests.blank import blank

T = TypeVar("T")
Args = TypeVarTuple("Args")

TODAY = 20_778
NIGHT = starts(TODAY) + 12_000
GATE = "qun"
PLACE = "qun:1"
MEMBERS = 24
CHATTER = ("作业", "直播", "课程", "考试", "资料", "老师", "笔记", "录播")


class Here:
    """Work done at once, in this process."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        self.done.append(getattr(run, "__name__", ""))
        return run(*args)


class Cut(Exception):
    """The process is killed."""


class Dying(Here):
    """Ends when it is asked for one kind of work."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        if getattr(run, "__name__", "") == self.at:
            raise Cut
        return await super().heavy(run, *args)


class World:
    """A group of some weeks, written down and read as the bot does it."""

    def __init__(self, store: Store, cache: str) -> None:
        self.store = store
        self.cache = cache
        self.here = Here()
        self.turns: list[NewTalk] = []
        self.read: dict[bytes, str] = {}

    def says(self, who: int, at: float, text: str, terms: str | None = None) -> None:
        key = len(self.turns).to_bytes(16, "big")
        self.turns.append(NewTalk(key, PLACE, GATE, f"人{who}", at, "text", text))
        self.read[key] = text if terms is None else terms

    def weeks(self, days: int, seed: int = 5) -> None:
        """Quiet days up to yesterday: everybody says a little of the usual."""
        rng = np.random.default_rng(seed)
        for day in range(TODAY - days, TODAY):
            for who in rng.choice(MEMBERS, 15, replace=False):
                words = rng.choice(CHATTER, 2, replace=False)
                self.says(int(who), starts(day) + 36_000 + float(who), " ".join(words))

    async def write(self) -> None:
        """All that was said since the last time, and what was read out of it."""
        for who in range(MEMBERS):
            await self.store.members.meet(GATE, f"人{who}", 0.0)
        await asyncio.gather(*map(self.store.talk.say, self.turns))
        rows = await self.store.db.read(
            lambda conn: conn.execute("select id, key from talk").fetchall()
        )
        readings = [NewReading(row, 0, 0.2, 0.3, self.read[bytes(key)], "m") for row, key in rows]
        await self.store.readings.put("t", readings, "read", len(rows), NIGHT)

    async def night(self, now: float = NIGHT, here: Here | None = None) -> str:
        return await refresh(self.store, here or self.here, now, cache=self.cache)

    async def today(self, now: float) -> str:
        return await today(self.store, self.here, now, cache=self.cache)

    async def report(self, scope: str = PLACE) -> Report:
        data = await self.store.interactions.finding(name_of("topic", scope))
        assert data is not None
        return from_json(data)

    async def alerts(self) -> list[tuple[str, str, str]]:
        found = await self.store.alerts.newest(20)
        return [(one.kind, one.place, one.topic) for one in found]

    async def counted(self) -> dict[str, int]:
        """Day -> messages that were counted in the group."""
        rows = "select day, turns from term_days where place = ? and term = '' order by day"
        return dict(await self.store.db.read(lambda conn: conn.execute(rows, (PLACE,)).fetchall()))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the dictionary's cache lies: it is read many times here."""
    return str(tmp_path_factory.mktemp("words"))


@pytest.fixture
async def world(tmp_path: Path, cache: str) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    await store.groups.meet(GATE, "1", 0.0, name="读书群")
    yield World(store, cache)
    await store.close()


def labels(report: Report, name: str) -> list[str]:
    return [row.label for row in listing(report, name).rows]


def listing(report: Report, name: str) -> Listing:
    return next(one for one in report.lists if one.name == name)


async def test_a_quiet_month_has_topics_and_no_burst(world: World) -> None:
    world.weeks(36)
    await world.write()
    assert (await world.night()).startswith("35 days counted")
    report = await world.report()
    assert labels(report, "topics")
    assert listing(report, "topics_rising").note == "topic_nothing_rising"
    assert await world.alerts() == []
    assert len(await world.counted()) == 35


async def test_a_burst_of_yesterday_is_told_once_with_its_messages(world: World) -> None:
    world.weeks(36)
    for who in range(9):
        world.says(who, starts(TODAY - 1) + 50_000 + who, "退款 通道 关闭")
    for _ in range(40):
        world.says(1, starts(TODAY - 1) + 60_000, "拼车 回家")
    await world.write()
    assert "1 bursts" in await world.night()
    report = await world.report()
    assert labels(report, "topics_rising") == ["退款通道关闭"]
    (row,) = listing(report, "topics_rising").rows
    change = next(one for one in row.figures if one.name == "topic_change")
    assert (change.note, change.n) == ("topic_new", 9)
    examples = await world.store.terms.examples(row.details)
    assert [one.text for one in examples] == ["退款 通道 关闭"] * 3
    ((kind, place, topic),) = await world.alerts()
    assert (kind, place) == ("topic_burst", PLACE)
    assert topic in ("退款", "通道", "关闭")
    (alert,) = await world.store.alerts.newest(1)
    assert await world.store.readings.texts(alert.rows) == ["退款 通道 关闭"] * 3
    # The next look, and the next night, tell nothing again.
    assert "0 days counted" in await world.night(NIGHT + 60)
    await world.night(NIGHT + 86_400)
    assert len(await world.alerts()) == 1


async def test_nobody_is_told_where_alerts_are_off(world: World) -> None:
    world.weeks(36)
    for who in range(9):
        world.says(who, starts(TODAY - 1) + 50_000, "退款 通道")
    await world.write()
    await refresh(world.store, world.here, NIGHT, cache=world.cache, alerts=False)
    assert labels(await world.report(), "topics_rising") == ["退款通道"]
    assert await world.alerts() == []


async def test_today_is_told_as_it_comes_and_leaves_the_week_as_it_was(world: World) -> None:
    world.weeks(36)
    for who in range(12):
        world.says(who, starts(TODAY) + 36_000 + who, "退款 通道")
    await world.write()
    assert await world.today(starts(TODAY) + 10.0) == ""
    await world.night()
    week = listing(await world.report(), "topics")
    noon = starts(TODAY) + 43_200
    assert "1 bursts" in await world.today(noon)
    assert "0 bursts" in await world.today(noon + 600)
    report = await world.report()
    assert labels(report, "topics_today") == ["退款通道"]
    assert listing(report, "topics") == week
    assert labels(await world.report(""), "topics_today") == ["退款通道"]
    # Tomorrow's night begins a new day.
    await world.night(NIGHT + 86_400)
    assert [one.name for one in (await world.report()).lists] == ["topics", "topics_rising"]


async def test_what_was_read_late_is_counted_anew(world: World) -> None:
    world.weeks(12)
    await world.write()
    await world.night()
    before = await world.counted()
    world.says(1, starts(TODAY - 3) + 40_000, "作业")
    await world.write()
    assert "1 days counted" in await world.night(NIGHT + 60)
    after = await world.counted()
    assert {day for day in after if after[day] != before[day]} == {"2026-11-18"}


async def test_a_day_that_the_purge_has_cut_stays_as_it_was_counted(world: World) -> None:
    world.weeks(12)
    await world.write()
    await world.night()
    before = await world.counted()
    # At noon of a day, with a week of keeping: half of what was said a week ago goes.
    await world.store.readings.remove(starts(TODAY - 7) + 36_010)
    assert (await world.night(NIGHT + 60)).startswith("0 days counted")
    assert await world.counted() == before


async def test_a_first_day_is_counted_though_nothing_was_before(world: World) -> None:
    world.weeks(1)
    await world.write()
    assert (await world.night()).startswith("1 days counted")
    world.says(1, starts(TODAY - 1) + 40_000, "作业")
    await world.write()
    assert (await world.night(NIGHT + 60)).startswith("1 days counted")


async def test_a_kill_in_between_is_made_good_by_the_next_night(world: World) -> None:
    world.weeks(12)
    await world.write()
    for step in ("unfolded", "folded", "week"):
        with pytest.raises(Cut):
            await world.night(here=Dying(step))
    await world.night()
    again = await world.counted()
    assert len(again) == 12
    assert set(again.values()) == {15}


async def test_a_learned_word_is_counted_as_if_it_had_been_known(world: World) -> None:
    lines = ("{}怎么登录不上", "请问{}在哪里报名", "推荐大家看看{}", "{}的回放有吗", "{}")
    for number in range(40):
        text = lines[number % 5].format("鹅圈子")
        world.says(number % 9, starts(TODAY - 1 - number % 4) + 40_000 + number, text, "圈子")
    world.weeks(12)
    await world.write()
    assert "1 new words" in await world.night()
    assert await world.store.terms.words() == ["鹅圈子"]
    terms = "select distinct term from term_days where term like '%圈子'"
    found = await world.store.db.read(lambda conn: conn.execute(terms).fetchall())
    assert [row[0] for row in found] == ["鹅圈子"]
    everything = await world.report("")
    assert labels(everything, "new_words") == ["鹅圈子"]
    assert any("鹅圈子" in label for label in labels(everything, "topics"))
    assert "0 new words" in await world.night(NIGHT + 60)


async def test_what_members_are_called_is_no_new_word(world: World) -> None:
    for number in range(40):
        world.says(
            number % 9, starts(TODAY - 1) + number, ("鹅圈子来了", "鹅圈子", "找鹅圈子")[number % 3]
        )
    await world.write()
    await world.store.db.write(
        lambda conn: conn.execute("update group_members set name = '鹅圈子老师' where rowid = 1")
    )
    await world.night()
    assert await world.store.terms.words() == []


async def test_a_community_is_told_by_what_it_talks_of(world: World) -> None:
    world.weeks(12)
    for number in range(30):
        world.says(number % 12, starts(TODAY - 1) + number, "摄影 镜头")
    await world.write()

    def found(conn: object) -> None:
        conn.execute(  # type: ignore[attr-defined]
            "insert into communities (id, scope, name, born_at, origin, size, seen_at) "
            "values (7, ?, '', 0, 'born', 12, 0)",
            (PLACE,),
        )
        conn.execute(  # type: ignore[attr-defined]
            "insert into community_members (scope, member_id, community_id, since) "
            "select ?, member_id, 7, 0 from identities where external_id in "
            "('人0','人1','人2','人3','人4','人5','人6','人7','人8','人9','人10','人11')",
            (PLACE,),
        )

    await world.store.db.write(found)
    await world.night()
    assert labels(await world.report("community:7"), "topics_typical")[0] == "摄影镜头"


async def test_nothing_said_makes_no_report(world: World) -> None:
    done = await world.night()
    assert done == "0 days counted, 0 new words, 0 topic reports, 0 bursts"
    assert await world.today(NIGHT) == ""


def test_learned_words_are_kept_newest_first_and_once() -> None:
    once = topics_work.with_words(None, [NewWord("甲乙", 3, 5, 5.0, 2.0)], 1.0)
    twice = topics_work.with_words(once, [NewWord("丙丁", 3, 5, 5.0, 2.0)], 2.0)
    again = topics_work.with_words(twice, [NewWord("甲乙", 9, 9, 5.0, 2.0)], 3.0)
    assert [word for word in ("甲乙", "丙丁") if word in again] == ["甲乙", "丙丁"]
    assert again.index("甲乙") < again.index("丙丁")
    assert again.count("甲乙") == 1
    assert "甲乙" in topics_work.with_words("no JSON", [NewWord("甲乙", 3, 5, 5.0, 2.0)], 1.0)


async def test_what_is_said_after_a_word_was_learned_is_cut_with_it(world: World) -> None:
    class Quick:
        async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
            return run(*args)

    data = topics_work.with_words(None, [NewWord("鹅圈子", 3, 5, 5.0, 2.0)], 1.0)
    await world.store.interactions.put_finding(NEW_WORDS, data, NIGHT)
    reader = Readings(world.store, Quick(), Reader(wanted=Wanted(words=world.cache)))
    await reader.tick(NIGHT)
    await world.store.members.meet(GATE, "人1", NIGHT)
    await world.store.talk.say(NewTalk(b"k" * 16, PLACE, GATE, "人1", NIGHT, "text", "鹅圈子卡了"))
    await reader.tick(NIGHT + 1)
    rows = "select terms from readings"
    assert await world.store.db.read(lambda conn: conn.execute(rows).fetchall()) == [("鹅圈子",)]
