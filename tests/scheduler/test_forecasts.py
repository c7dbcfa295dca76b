"""The nightly forecasts: days are remembered when talk is not, curves are found, others may ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import numpy as np
import pytest

from insights import spending_report
from insights.forecast import begin_of
from insights.report import Report, from_json
from scheduler import forecasts
from scheduler.forecasts_work import (
    DAILY,
    FORECASTS,
    HOURS,
    Daily,
    counted,
    forecast_parts,
    hours_parts,
    merged,
)
from store import Store
from store.dialect import Connection
from store.insight_reads import TAP, WORDS, Acts
from store.place_costs import begin_of_week, week_of
from tests.blank import blank

T = TypeVar("T")
Args = TypeVarTuple("Args")

TODAY = 20_778
NOW = begin_of(TODAY) + 3.5 * 3600.0
DAY_S = 86_400.0


class Here:
    """What `bot.crunch.Crunch` does, in this process."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return run(*args)


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield store
    await store.close()


async def write(store: Store, run: Callable[[Connection], Any]) -> None:
    await store.db.write(run)


async def talk(store: Store, place: str, first: int, days: int, each: int, hour: int = 20) -> None:
    """So many turns of ten members a day, twice as many on the first and second day of a week."""

    def run(conn: Connection) -> None:
        conn.executemany(
            "insert into members (id, created_at) values (?, 0) on conflict do nothing",
            [(member,) for member in range(1, 11)],
        )
        rng = np.random.default_rng(first)
        rows = []
        for day in range(first, first + days):
            many = rng.poisson(each * (2 if day % 7 < 2 else 1))
            for number in range(many):
                at = begin_of(day) + hour * 3600.0 + number * 9.0
                rows.append((f"{place}{day}-{number}".encode(), place, number % 10 + 1, at))
        conn.executemany(
            "insert into talk (key, place, member_id, at, kind, text) "
            "values (?, ?, ?, ?, 'text', '')",
            rows,
        )

    await write(store, run)


async def refresh(store: Store, now: float = NOW) -> str:
    return await forecasts.refresh(store, Here(), now)


async def parts(store: Store, place: str | None, now: float = NOW) -> Any:
    return await store.db.read(lambda conn: forecast_parts(conn, place, now))


async def report(store: Store) -> Report:
    data = await store.interactions.finding("report:budget:")
    assert data is not None
    return from_json(data)


async def test_an_empty_store_has_nothing_to_say_and_says_so(store: Store) -> None:
    assert await parts(store, None) == ((), ())
    assert (await refresh(store)).startswith("0 forecasts")
    assert await parts(store, None) == ((), ())
    assert (await report(store)).note == "no_curves"
    figures, charts = await store.db.read(lambda conn: hours_parts(conn, None))
    assert ([one.note for one in figures], charts) == (["hours_few_acts"], ())


async def test_a_group_and_all_get_their_days_to_come(store: Store) -> None:
    group = await store.groups.meet("qun", "1", 1.0, name="学习群")
    await talk(store, group.place, TODAY - 60, 60, 20)
    await talk(store, "qun:2", TODAY - 60, 60, 5)
    assert (await refresh(store)).startswith("3 forecasts")
    (week, *_), (chart,) = await parts(store, group.place)
    assert week.name == "forecast_week"
    assert week.of == "学习群"
    assert week.people == 10
    assert week.value == pytest.approx(20 * 9, rel=0.15)
    assert chart.split == 28
    everything = (await parts(store, None))[0][0]
    assert everything.value == pytest.approx(25 * 9, rel=0.15)
    assert await parts(store, "") == ((), ())
    assert await parts(store, "qun:9") == ((), ())


async def test_days_are_remembered_when_their_talk_is_forgotten(store: Store) -> None:
    await talk(store, "qun:1", TODAY - 40, 40, 12)
    await refresh(store)
    before = (await parts(store, "qun:1"))[0][0]
    await write(
        store, lambda conn: conn.execute("delete from talk where at < ?", (begin_of(TODAY - 9),))
    )
    await refresh(store)
    after = (await parts(store, "qun:1"))[0][0]
    assert (after.n, after.value) == (before.n, before.value)
    assert before.n == 39  # the first day is a part of one


@pytest.mark.parametrize("data", ["", "[]", '{"": {"first": "soon"}}', "null"])
async def test_damaged_findings_are_made_anew(store: Store, data: str) -> None:
    group = await store.groups.meet("qun", "1", 1.0, name="学习群")
    await talk(store, group.place, TODAY - 60, 60, 5)
    for name in (DAILY, FORECASTS, HOURS):
        await store.interactions.put_finding(name, data, NOW)
    assert await parts(store, None) == ((), ())
    assert await store.db.read(lambda conn: hours_parts(conn, None)) == ((), ())
    assert (await refresh(store)).startswith("2 forecasts")
    assert (await parts(store, group.place))[0]


async def test_running_it_again_changes_nothing(store: Store) -> None:
    await talk(store, "qun:1", TODAY - 40, 40, 12)
    said = await refresh(store)
    first = await store.interactions.finding(DAILY)
    assert await refresh(store) == said
    assert await store.interactions.finding(DAILY) == first


async def test_a_day_on_which_the_bot_was_down_is_in_no_forecast(store: Store) -> None:
    await talk(store, "qun:1", TODAY - 60, 55, 30)
    await talk(store, "qun:1", TODAY - 3, 3, 30)
    await refresh(store)
    (week, *_), (chart,) = await parts(store, "qun:1")
    assert week.n == 59 - 2
    assert chart.series[0].values[23:25] == (None, None)
    assert week.value == pytest.approx(30 * 9, rel=0.15)


def test_acts_are_counted_by_day_and_place() -> None:
    at = np.array([begin_of(9) - 1.0, begin_of(9), begin_of(9) + 5.0, begin_of(11)])
    kind = np.array([WORDS, TAP, WORDS, WORDS], dtype=np.int8)
    acts = Acts(
        np.array([1, 1, 2, 2]), at, np.array([0, 0, 1, 1], dtype=np.int32), kind, ["", "qun:1"]
    )
    assert counted(acts, 12) == {
        "": Daily(8, (1, 2, 0, 1)),
        "private": Daily(8, (1, 1, 0, 0)),
        "qun:1": Daily(9, (1, 0, 1)),
    }
    none = Acts(acts.member[:0], at[:0], acts.place[:0], kind[:0], ["", "qun:1"])
    assert counted(none, 12) == {}


def test_the_larger_of_what_was_kept_and_is_found_counts() -> None:
    kept = {"qun:1": Daily(100, (5, 6, 7))}
    fresh = {"qun:1": Daily(102, (3, 9)), "qun:2": Daily(103, (4, 8))}
    assert merged(kept, fresh, 105) == {
        "qun:1": Daily(100, (5, 6, 7, 9, 0)),
        "qun:2": Daily(104, (8,)),
    }
    # What is older than is kept goes, and so does what is all older.
    assert merged({"qun:1": Daily(0, (5,) * 300)}, {}, 500)["qun:1"].first == 100
    assert merged({"qun:1": Daily(0, (5,) * 90)}, {}, 500) == {}


async def test_the_hour_that_is_answered_is_found(store: Store) -> None:
    await talk(store, "qun:1", TODAY - 30, 30, 20, hour=20)

    def post(conn: Connection) -> None:
        for day in range(TODAY - 30, TODAY):
            for hour in (10, 20):
                at = begin_of(day) + hour * 3600.0 - 5.0 + 3600.0 * (hour == 10)
                conn.execute(
                    "insert into posts (key, channel, place, kind, body, status, created_at, "
                    "due_at, settled_at) values (randomblob(16), 'qun', 'qun:1', 'push', 'x', "
                    "'sent', 0, 0, ?)",
                    (at,),
                )

    await write(store, post)
    await refresh(store)
    figures, charts = await store.db.read(lambda conn: hours_parts(conn, "qun:1"))
    assert figures[0].value == 19.0  # five seconds before eight
    assert figures[1].value == pytest.approx(9.8, abs=1.2)
    assert charts[0].series[0].n[10] == 30


async def test_members_who_answer_what_they_were_sent(store: Store) -> None:
    def run(conn: Connection) -> None:
        conn.execute(
            "insert into campaigns (id, title, channel, audience, routes, status, window_s, seed, "
            "created_at, created_by) "
            "values (1, '活动', 'mp', '', '', 'done', 0, x'00', 0, 'cli')"
        )
        for member in range(1, 241):
            conn.execute("insert into members (id, created_at) values (?, 0)", (member,))
            hour = 9 if member % 2 else 21
            at = begin_of(TODAY - 3) + hour * 3600.0
            conn.execute(
                "insert into deliveries (campaign_id, member_id, occasion, status, claimed_at) "
                "values (1, ?, '', 'delivered', ?)",
                (member, at),
            )
            # One in three says something at nine in the evening, all of them in the afternoon.
            for when in (at + 600.0 if hour == 21 and member % 3 == 0 else at + 5 * 3600.0,):
                conn.execute(
                    "insert into interactions (message_key, at, channel, member_id, kind, text, "
                    "handler, item) values (randomblob(16), ?, 'mp', ?, 'text', '', '', '')",
                    (when, member),
                )

    await write(store, run)
    await refresh(store)
    figures, _ = await store.db.read(lambda conn: hours_parts(conn, None))
    assert figures[0].value == 21.0
    assert (figures[1].numerator, figures[1].denominator) == (40.0, 120.0)


async def test_planted_spending_becomes_a_plan_and_one_without_response_is_left_out(
    store: Store,
) -> None:
    week = week_of(NOW)

    def run(conn: Connection) -> None:
        rng = np.random.default_rng(3)
        conn.execute("insert into members (id, created_at) values (1, 0), (2, 0)")
        for place, member in (("qun:1", 1), ("qun:2", 2)):
            conn.execute(
                "insert into group_members (place, member_id, since) values (?, ?, 0)",
                (place, member),
            )
            for back in range(1, 27):
                spent = float(rng.choice([0.0, 100.0, 300.0, 900.0]))
                begin = begin_of_week(week - back)
                day = str(np.datetime64("1970-01-01") + int((begin + 28_800) // DAY_S))
                conn.execute(
                    "insert into place_costs (place, day, cents, at, by) values (?, ?, ?, 0, '')",
                    (place, day, int(spent * 100)),
                )
                mean = 4.0 + 12.0 * np.log1p(spent / 200.0) * (member == 1)
                for _ in range(rng.poisson(mean)):
                    conn.execute(
                        "insert into events (event_id, kind, member_id, at, received_at) "
                        "values (hex(randomblob(8)), 'purchase', ?, ?, 0)",
                        (member, begin + 5.0),
                    )

    await write(store, run)
    assert (await refresh(store)).endswith("1 curves of spending")
    made = await report(store)
    figures = {one.name: one for one in made.figures}
    assert (figures["budget_expected"].value or 0.0) > 8.0
    assert [one.name for one in made.lists] == ["budget_shares", "budget_left_out"]
    assert made.lists[1].rows[0].figures[0].note == "flat_response"
    data = await store.interactions.finding(spending_report.CURVES)
    assert data is not None
    found = spending_report.planned(spending_report.from_json(data), 400.0)
    assert found is not None
    assert found.plan.expected == pytest.approx(4.0 + 12.0 * np.log(3.0), rel=0.25)


async def test_a_cost_of_this_week_waits_for_its_end(store: Store) -> None:
    await write(
        store,
        lambda conn: conn.execute(
            "insert into place_costs (place, day, cents, at, by) "
            "values ('qun:1', '2026-11-21', 100, 0, '')"
        ),
    )
    await refresh(store)
    assert (await report(store)).lists == ()
