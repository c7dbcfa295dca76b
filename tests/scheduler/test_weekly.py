"""The week, told once to operators as their role may see it, and to groups with noise."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import pytest

from handlers.texts import Texts
from handlers.weekly_text import WeeklyText
from insights.noise import SMALL
from insights.report import Figure, Listing, Report, Row, name_of, to_json
from scheduler.weekly import LATE_S, SHOW_S, Ways, due_at, tick, to_group
from store import Store
from store.groups import Group
from tests.blank import blank

T = TypeVar("T")
Args = TypeVarTuple("Args")
NINE = datetime.fromisoformat("2026-11-23T09:00+08:00").timestamp()
"""A Monday."""
DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
PLACE = "qun:1"
TEXTS = Texts.load()
VOICE = WeeklyText(TEXTS)


@dataclass(frozen=True)
class Settings:
    least_people: int = 10
    noise_epsilon: float = 1.0
    noise_each: float = 0.25


class Exactly:
    """Where noise would be drawn: the figures as they are, so that tests do not depend on it.

    small: of too few members to be told.
    """

    def __init__(self) -> None:
        self.runs = 0
        self.small = False

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        self.runs += 1
        given: tuple[Any, ...] = args
        report, names = given[:2]
        assert isinstance(report, Report)
        assert isinstance(names, list)
        figures = tuple(one for one in report.figures if one.name in names)
        if self.small:
            figures = tuple(replace(one, value=None, note=SMALL) for one in figures)
        return replace(report, figures=figures, lists=(), charts=())  # type: ignore[return-value]


@dataclass
class Monday:
    """A business with an owner, an operator and a group, and the job.

    told: what was heard in private, by key; shown: charts. reachable: who may be written to;
    open_: who may be sent a picture.
    """

    store: Store
    owner: int
    operator: int
    told: dict[bytes, tuple[int | None, str]] = field(default_factory=dict)
    shown: dict[bytes, int] = field(default_factory=dict)
    reachable: set[int] = field(default_factory=set)
    open_: bool = True
    posting: tuple[str, ...] = ("qun",)
    crunch: Exactly = field(default_factory=Exactly)

    async def tick(self, now: float = NINE, on: str = "mon", **settings: float) -> str:
        async def tell(member: int | None, words: str, key: bytes) -> bool:
            if key in self.told or not (member is None or member in self.reachable):
                return False
            self.told[key] = (member, words)
            return True

        async def show(member: int, report: Report, key: bytes) -> bool:
            if self.open_:
                self.shown[key] = member
            return self.open_

        ways = Ways(tell, show, self.posting)
        rules = Settings(**settings)  # type: ignore[arg-type]
        return await tick(self.store, self.crunch, rules, VOICE, ways, on, time(9, 0), now)

    def heard(self, member: int | None) -> list[str]:
        return [words for who, words in self.told.values() if who == member]

    async def week(self, until: float = NINE - 9 * 3600) -> None:
        usual: dict[str, Any] = {"unit": "count", "since": until - WEEK_S, "until": until, "n": 5}
        figures = (
            Figure(name="messages", value=1040, people=200, **usual),
            Figure(name="state_leaving", value=3, people=3, **usual),
        )
        row = Row(
            label="作业", figures=(Figure(name="topic_people", value=40, people=40, **usual),)
        )
        lists = (Listing(name="topics", rows=(row,)),)
        report = Report(
            kind="week",
            made_at=until,
            since=until - WEEK_S,
            until=until,
            figures=figures,
            lists=lists,
        )
        name = name_of("week")
        await self.store.interactions.put_finding(name, to_json(report), until)

    async def group(self, until: float = NINE - 6 * 3600, speaking: int = 37) -> Group:
        """A bound group that wants the week, and its report."""
        boss = self.operator
        await self.store.groups.meet("qun", "1", NINE - 90 * DAY_S, name="读书群")
        await self.store.groups.bind(PLACE, NINE - 90 * DAY_S, f"member:{boss}")
        await self.rules(weekly=True)
        since = until - 28 * DAY_S
        usual: dict[str, Any] = {
            "unit": "share",
            "since": since,
            "until": until,
            "n": 80,
            "people": 80,
        }
        figures = (
            Figure(
                name="speaking_share",
                value=speaking / 80,
                numerator=speaking,
                denominator=80,
                **usual,
            ),
            Figure(name="turns_gini", value=0.4, since=since, until=until, unit="score"),
        )
        report = Report(
            kind="group", scope=PLACE, made_at=until, since=since, until=until, figures=figures
        )
        name = name_of("group", PLACE)
        await self.store.interactions.put_finding(name, to_json(report), until)
        found = self.store.groups.known(PLACE)
        assert found is not None
        return found

    async def rules(self, **rules: Any) -> None:
        await self.store.groups.rule(PLACE, lambda old: replace(old, **rules))

    async def posts(self) -> list[tuple[str, float, str]]:
        """(words, due_at, kind)."""

        def read(conn: Any) -> list[tuple[str, float, str]]:
            rows = conn.execute("select body, due_at, kind from posts order by id")
            return [(json.loads(row[0])["content"], row[1], row[2]) for row in rows]

        return await self.store.db.read(read)


@pytest.fixture
async def monday(tmp_path: Path) -> AsyncIterator[Monday]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    numbers = []
    for name, role in (("ann", "owner"), ("boss", "operator"), ("eye", "analyst"), ("lin", "")):
        number = (await store.members.meet("mp", name, NINE - DAY_S)).id
        numbers.append(number)
        if role:
            await store.members.set_role(number, role)
    yield Monday(store, numbers[0], numbers[1], reachable=set(numbers))
    await store.close()


# When


@pytest.mark.parametrize(
    ("now", "on", "due"),
    [
        (NINE, "mon", NINE),
        (NINE - 1, "mon", NINE - WEEK_S),
        (NINE + 6 * DAY_S, "mon", NINE),
        (NINE, "tue", NINE - 6 * DAY_S),
        (NINE, "sun", NINE - DAY_S),
        (NINE, "never", None),
    ],
)
def test_the_last_moment_of_a_week(now: float, on: str, due: float | None) -> None:
    assert due_at(on, time(9, 0), now) == due


async def test_it_is_told_once_a_week_and_a_restart_tells_nobody_twice(monday: Monday) -> None:
    await monday.week()
    assert await monday.tick(NINE - 60) == ""
    assert await monday.tick() == "the week told to 2"
    for later in (60, 3600, LATE_S - 60):
        assert await monday.tick(NINE + later) == ""
    assert len(monday.told) == 2
    await monday.week(until=NINE + WEEK_S - 9 * 3600)
    assert await monday.tick(NINE + WEEK_S) == "the week told to 2"
    assert len(monday.told) == 4


async def test_killed_before_it_was_noted_the_same_keys_tell_nothing_again(monday: Monday) -> None:
    await monday.week()
    await monday.tick()
    await monday.store.meta.put("weekly", "{}")
    assert await monday.tick(NINE + 60) == ""
    assert len(monday.told) == 2


async def test_a_day_late_is_not_told(monday: Monday) -> None:
    await monday.week()
    await monday.group()
    assert await monday.tick(NINE + LATE_S) == ""
    assert await monday.tick(NINE, on="never") == ""
    assert monday.told == {}
    assert await monday.posts() == []


async def test_a_report_that_is_old_or_missing_is_waited_for(monday: Monday) -> None:
    assert await monday.tick() == ""
    await monday.week(until=NINE - 8 * DAY_S)
    assert await monday.tick(NINE + 60) == ""
    await monday.week()
    assert await monday.tick(NINE + 7200) == "the week told to 2"


# To whom


async def test_each_reads_what_their_role_may_see(monday: Monday) -> None:
    await monday.week()
    await monday.tick()
    (owners,) = monday.heard(monday.owner)
    (operators,) = monday.heard(monday.operator)
    assert "快流失的成员 3" in owners
    assert "快流失的成员" not in operators
    for words in (owners, operators):
        assert words.startswith("【一周】11-16 到 11-22")
        assert "消息 1,040" in words
        assert "作业：40 人说到" in words
    assert {who for who, _ in monday.told.values()} == {monday.owner, monday.operator}


async def test_its_numbers_can_be_asked_about(monday: Monday) -> None:
    await monday.week()
    await monday.tick()
    known = await monday.store.members.state(monday.operator, VOICE.asked, NINE + 60)
    assert known is not None
    assert known["role"] == "operator"
    assert [one["l"] for one in known["asked"]] == ["", "作业"]


async def test_who_cannot_be_written_to_hears_it_when_they_can(monday: Monday) -> None:
    await monday.week()
    monday.reachable = {monday.owner}
    assert await monday.tick() == "the week told to 1"
    monday.reachable.add(monday.operator)
    assert await monday.tick(NINE + 3 * 3600) == "the week told to 1"
    assert len(monday.heard(monday.operator)) == 1


async def test_the_chart_follows_once_as_soon_as_it_can(monday: Monday) -> None:
    await monday.week()
    monday.open_ = False
    await monday.tick()
    await monday.tick(NINE + 60)
    assert monday.shown == {}, "the text is still on its way"
    monday.open_ = True
    for later in (120, 180):
        await monday.tick(NINE + later)
    assert sorted(monday.shown.values()) == sorted((monday.owner, monday.operator))


async def test_a_chart_that_cannot_go_is_given_up(monday: Monday) -> None:
    await monday.week()
    monday.open_ = False
    await monday.tick()
    await monday.tick(NINE + SHOW_S)
    monday.open_ = True
    await monday.tick(NINE + SHOW_S + 60)
    assert monday.shown == {}


# To groups


async def test_a_group_that_wants_it_gets_round_numbers(monday: Monday) -> None:
    await monday.group()
    assert await monday.tick() == "week of group 1"
    assert await monday.tick(NINE + 60) == ""
    ((words, due, kind),) = await monday.posts()
    assert "大约有 35 位朋友说过话，差不多占 45%" in words
    assert (due, kind) == (NINE, "weekly")
    assert await monday.store.noise_spent.spent(f"group:{PLACE}", NINE) == 0.25


async def test_a_group_that_does_not_want_it_or_is_not_bound_hears_nothing(monday: Monday) -> None:
    await monday.group()
    await monday.rules(weekly=False)
    assert await monday.tick() == ""
    await monday.store.meta.put("weekly", "{}")
    await monday.rules(weekly=True)
    await monday.store.groups.unbind(PLACE)
    assert await monday.tick(NINE + 60) == ""
    assert await monday.posts() == []


async def test_in_quiet_hours_it_waits(monday: Monday) -> None:
    await monday.group()
    await monday.rules(quiet="08:00-10:00")
    await monday.tick()
    ((_, due, _),) = await monday.posts()
    assert due == NINE + 3600


async def test_a_spent_budget_posts_nothing_and_who_bound_it_is_told_why(monday: Monday) -> None:
    await monday.group()
    for week in range(2):
        await monday.group(until=NINE + week * WEEK_S - 6 * 3600)
        await monday.tick(NINE + week * WEEK_S, noise_epsilon=0.3)
    assert len(await monday.posts()) == 1
    (why,) = monday.heard(monday.operator)
    assert "额度用完了" in why
    assert "12-21 起" in why


@pytest.mark.parametrize("case", ["cannot", "unknown", "few"])
async def test_why_a_group_heard_nothing_is_told_once(monday: Monday, case: str) -> None:
    await monday.group(until=NINE - 9 * DAY_S if case == "unknown" else NINE)
    if case == "cannot":
        monday.posting = ()
    if case == "few":
        monday.crunch.small = True
    assert await monday.tick() == f"group 1 hears nothing: {case}"
    assert await monday.tick(NINE + 60) == ""
    (why,) = monday.heard(monday.operator)
    assert "「读书群」" in why
    assert await monday.posts() == []


async def test_by_hand_and_by_the_job_on_one_day_is_one_post_and_one_price(monday: Monday) -> None:
    group = await monday.group()
    by_hand = (monday.store, monday.crunch, Settings(), VOICE, ("qun",), group)
    first = await to_group(*by_hand, NINE - 60, by="member:2")
    assert await monday.tick() == "week of group 1"
    again = await to_group(*by_hand, NINE + 60, by="member:2")
    assert first == again
    assert len(await monday.posts()) == 1
    assert monday.crunch.runs == 1
    assert await monday.store.noise_spent.spent(f"group:{PLACE}", NINE) == 0.25
