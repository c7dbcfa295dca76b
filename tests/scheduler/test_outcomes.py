"""The nightly reports on what came of it, and today's: right to the member, honest when empty."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import pytest

from bot.insight_settings import InsightSettings
from insights import baskets, forecast, headlines, lifetime, rates, retention
from insights.report import Figure, Report, from_json, name_of, to_json
from scheduler import outcomes_work
from scheduler.outcomes import refresh, today
from scheduler.outcomes_work import Rules
from store import Store
from store.dialect import Connection
from tests.blank import blank

T = TypeVar("T")
Args = TypeVarTuple("Args")

DAY = 86_400.0
HOUR = 3600.0
# A Tuesday night.
NOW = datetime.fromisoformat("2026-11-24T03:20:00+08:00").timestamp()
MIDNIGHT = NOW - 3 * HOUR - 1200
MONDAY = MIDNIGHT - DAY
SETTINGS = InsightSettings(least_support=5)
PLACE = "qun:1"


class Here:
    """Work that another process would do, done here; what it is handed could be sent there."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        again, its = pickle.loads(pickle.dumps((run, args)))
        found: T = again(*its)
        return found

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return await self.heavy(run, *args)


class World:
    """A community that is written down by hand."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.number = count(1)
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def insert(self, table: str, **row: Any) -> None:
        self.rows.append((table, row))

    def member(self, number: int, came: float, weeks: int = 1) -> None:
        self.insert("members", id=number, created_at=came)
        self.insert(
            "identities", channel="mp", external_id=f"o{number}", member_id=number, followed=1,
            followed_at=came,
        )  # fmt: skip
        self.insert(
            "member_features", member_id=number, first_at=came, last_at=came, acts=1,
            active_days=1, last_day="", days28=1, questions=0, spent_cents=0, orders=0,
            progress=0, data=f'{{"weeks": "{weeks:x}", "hours": []}}', updated_at=came,
        )  # fmt: skip

    def acts(self, member: int, at: float, **row: Any) -> None:
        plain = {"channel": "mp", "kind": "text", "text": "在", "handler": "none", "item": ""}
        self.insert("interactions", member_id=member, at=at, **{**plain, **row})

    def event(self, kind: str, member: int, at: float, **row: Any) -> None:
        name = f"e{next(self.number)}"
        self.insert(
            "events", event_id=name, kind=kind, member_id=member, at=at, received_at=at, **row
        )

    def group(self) -> None:
        self.insert(
            "groups", place=PLACE, channel="qun", external_id="1", name="一群", known_at=0.0
        )

    async def written(self) -> None:
        # Numbers rise with time, as they do when things are written down as they happen.
        rows = sorted(self.rows, key=lambda row: (row[0] != "members", row[1].get("at", 0.0)))

        def run(conn: Connection) -> None:
            for table, row in rows:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                conn.execute(f"insert into {table} ({names}) values ({marks})", tuple(row.values()))

        await self.store.db.write(run)
        self.rows = []

    async def refresh(self, now: float = NOW) -> tuple[Report, Report]:
        await self.written()
        assert await refresh(self.store, Here(), SETTINGS, now) == "retention and the week"
        return await self.report("retention"), await self.report("week")

    async def today(self, now: float) -> Report:
        await self.written()
        assert await today(self.store, Here(), now) == "today so far"
        return await self.report("day")

    async def report(self, kind: str) -> Report:
        data = await self.store.interactions.finding(name_of(kind))
        assert data is not None
        return from_json(data)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "o.db"))
    await store.open()
    yield World(store)
    await store.close()


def named(report: Report) -> dict[str, Figure]:
    return {one.name: one for one in report.figures}


def names(report: Report) -> Iterator[tuple[str, str]]:
    """Every name that wants a text, with its section."""
    figures = [*report.figures]
    for one in report.lists:
        yield "list", one.name
        yield "note", one.note
        for row in one.rows:
            figures += row.figures
    for figure in figures:
        yield "figure", figure.name
        yield "note", figure.note
    for chart in report.charts:
        yield "chart", chart.name
    yield "note", report.note


def busy(world: World) -> None:
    """Forty members over five weeks: ten of them come every week, ten buy, all are in a group."""
    world.group()
    for member in range(1, 41):
        came = MONDAY - 35 * DAY + member * HOUR
        faithful = member <= 10
        world.member(member, came, 0b111111 if faithful else 0b1)
        world.insert("group_members", place=PLACE, member_id=member, since=came)
        for week in range(6) if faithful else (0,):
            world.acts(member, came + week * 7 * DAY - 60)
            world.acts(member, came + week * 7 * DAY, item="item:py", handler="faq")
            world.acts(member, came + week * 7 * DAY + HOUR)
    for member in range(1, 11):
        for item, at in (("py", 0.0), ("sql", HOUR)):
            world.event(
                "purchase", member, MONDAY - 3 * DAY + at, item_id=item, amount_cents=9900,
                order_id=f"{member}-{item}",
            )  # fmt: skip
    for member in (1, 2):
        for item in ("py", "sql"):
            world.event(
                "refund", member, MONDAY - DAY, item_id=item, amount_cents=9900,
                order_id=f"{member}-{item}",
            )  # fmt: skip
    for member in range(11, 41):
        world.event("claim", member, MONDAY - 3 * DAY, item_id="trial")


async def test_an_empty_community_has_reports_that_say_that_it_is(world: World) -> None:
    kept, week = await world.refresh()
    assert {one.value for one in kept.figures if one.unit != "count"} == {None}
    assert all(one.note for one in kept.figures if one.value is None)
    assert [one.rows for one in kept.lists] == [()] * len(kept.lists)
    assert week.note == "no_window_before"
    assert named(week)["messages"].value == 0
    assert week.charts == ()
    day = await world.today(NOW)
    assert named(day)["interaction_rate"].note == "no_exposures"


async def test_the_night_counts_to_the_member(world: World) -> None:
    busy(world)
    # Shown an hour before midnight: its day is not over, and it counts tomorrow.
    world.acts(40, MIDNIGHT - HOUR, item="item:py", handler="faq")
    kept, week = await world.refresh()
    found = named(kept)
    assert (found["retained_week_1"].numerator, found["retained_week_1"].denominator) == (10, 40)
    assert (found["rolling_week_4"].numerator, found["rolling_week_4"].denominator) == (10, 40)
    # Of all forty, who claimed and who bought; two gave everything back.
    paid = found["conversion_rate"]
    assert (paid.numerator, paid.denominator) == (8, 40)
    assert paid.low is not None
    assert paid.value == 0.2
    (channel,) = [one for one in kept.lists if one.name == "rates_by_channel"]
    mp = next(row for row in channel.rows if row.label == "mp")
    # Everything that was shown was answered an hour later.
    assert mp.figures[0].value == 1.0
    assert mp.figures[0].people == 10
    assert mp.figures[0].until == MIDNIGHT - DAY
    its = named(week)
    assert its["revenue"].value == 20 * 9900 - 4 * 9900
    assert its["active_members"].value == 11
    assert (its["retention_rate"].numerator, its["retention_rate"].denominator) == (10, 10)
    assert week.until == MIDNIGHT


async def test_the_cohort_table_and_what_goes_together_are_in_the_report(world: World) -> None:
    busy(world)
    kept, _ = await world.refresh()
    lists = {one.name: one for one in kept.lists}
    (cohort,) = lists["cohorts"].rows
    assert [one.value for one in cohort.figures] == [40, 0.25, 0.25]
    (rule,) = lists["baskets"].rows
    assert rule.label == "py → sql"
    assert rule.figures[2].value == 8
    heat = next(one for one in kept.charts if one.name == "cohorts")
    assert heat.series[0].values[:2] == (1.0, 0.25)


async def test_what_a_group_cost_is_divided_by_who_paid_in_it(world: World) -> None:
    busy(world)
    for member in range(1, 41):
        at = MONDAY - 5 * DAY
        key = next(world.number).to_bytes(16, "big")
        world.insert("talk", key=key, place=PLACE, member_id=member, at=at, kind="text", text="在")
    # Of the week between them nothing is known, so the older one has no part in it.
    for day, cents in (("2026-11-16", 80_000), ("2026-11-02", 5)):
        world.insert("place_costs", place=PLACE, day=day, cents=cents, at=0.0, by="cli")
    kept, _ = await world.refresh()
    (places,) = [one for one in kept.lists if one.name == "rates_by_place"]
    (row,) = places.rows
    cost = row.figures[-1]
    assert (row.label, cost.name, cost.value) == ("一群", "cost_per_conversion", 10_000)
    assert (cost.numerator, cost.denominator) == (80_000, 8)
    assert cost.until == MONDAY
    assert cost.since == MONDAY - 7 * DAY


async def test_a_group_whose_last_week_has_no_cost_has_no_cost(world: World) -> None:
    busy(world)
    world.insert("place_costs", place=PLACE, day="2026-11-09", cents=80_000, at=0.0, by="cli")
    key = b"k" * 16
    world.insert(
        "talk", key=key, place=PLACE, member_id=1, at=MONDAY - HOUR, kind="text", text="在"
    )
    kept, _ = await world.refresh()
    (places,) = [one for one in kept.lists if one.name == "rates_by_place"]
    assert [row.figures[-1].note for row in places.rows] == ["no_cost"]


async def test_today_is_held_against_the_same_hours_last_week(world: World) -> None:
    noon = MIDNIGHT + 12 * HOUR
    for member in range(1, 21):
        world.member(member, MIDNIGHT - 20 * DAY)
        world.acts(member, MIDNIGHT - 20 * DAY)
        world.acts(member, noon - 7 * DAY - HOUR)
        # Last week's afternoon does not count.
        world.acts(member, noon - 7 * DAY + HOUR)
    for member in range(1, 6):
        world.acts(member, noon - HOUR, item="item:py", handler="faq")
        world.acts(member, noon - 1800)
        world.acts(member, noon + HOUR)
    day = await world.today(noon)
    found = named(day)
    assert (found["messages"].value, found["messages"].before) == (10, 20)
    assert (found["active_members"].value, found["active_members"].before) == (5, 20)
    rate = found["interaction_rate"]
    assert (rate.numerator, rate.denominator) == (5, 5)
    assert day.note == "against_last_week"
    assert (day.since, day.until) == (MIDNIGHT, noon)
    (chart,) = day.charts
    assert chart.series[0].values[11] == 10
    assert chart.series[1].values[11] == 20


async def test_what_others_found_is_in_the_headlines(world: World) -> None:
    figure = Figure(name="mood_negative", value=0.1, unit="share", since=0.0, until=NOW, n=50)
    mood = Report(kind="mood", made_at=NOW - 60, since=0.0, until=NOW, figures=(figure,))
    await world.store.interactions.put_finding(name_of("mood"), to_json(mood), NOW)
    _, week = await world.refresh()
    assert named(week)["mood_negative"].value == 0.1


async def test_what_others_left_broken_is_left_out(world: World) -> None:
    await world.store.interactions.put_finding(name_of("mood"), '{"kind": ""}', NOW)
    _, week = await world.refresh()
    assert "mood_negative" not in named(week)


async def test_done_again_it_comes_to_the_same(world: World) -> None:
    busy(world)
    first = await world.refresh()
    assert await world.refresh() == first


async def test_every_name_that_is_written_down_is_known(world: World) -> None:
    busy(world)
    made = [*await world.refresh(), await world.today(NOW)]
    modules = (rates, retention, lifetime, baskets, headlines, forecast)
    known = {"note": {""}, "figure": set[str](), "list": set[str](), "chart": set[str]()}
    for module in modules:
        for section, constant in (
            ("figure", "FIGURES"), ("list", "LISTS"), ("chart", "CHARTS"), ("note", "NOTES"),
        ):  # fmt: skip
            known[section] |= set(getattr(module, constant, ()))
    used = {pair for report in made for pair in names(report)}
    assert {(section, name) for section, name in used if name not in known[section]} == set()


def test_the_work_can_be_sent_to_another_process() -> None:
    rules = Rules(60, 10, 7 * DAY, DAY)
    assert pickle.loads(pickle.dumps((outcomes_work.nightly, rules)))[1] == rules
