"""Reports, features and consent over REST: who may see what, and what each figure stands on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.insight_means import InsightMeans
from bot.rest_insights import OPERATIONS
from handlers.report_means import Started
from handlers.texts import Texts
from insights.report import Figure, Listing, Report, Row, name_of, to_json
from store.consents import PROFILING
from store.dialect import Connection
from tests.bot.api_world import ApiWorld, api

NOW = 1_795_000_000.0
READ = {"insights:read"}
OWN = {"insights:read", "insights:own"}


class Refreshing:
    """What the bot would do; counts."""

    answer = Started.STARTED
    asked = 0

    def __call__(self) -> Started:
        self.asked += 1
        return self.answer


@pytest.fixture
def refreshing() -> Refreshing:
    return Refreshing()


@pytest.fixture
async def world(tmp_path: Path, refreshing: Refreshing) -> AsyncIterator[ApiWorld]:
    means = InsightMeans(texts=Texts.load(), least_people=10, refresh=refreshing)
    async with api(tmp_path, OPERATIONS, insights=means) as world:
        yield world


def figure(people: int, value: float = 0.25) -> Figure:
    return Figure(
        name="interaction_rate",
        value=value,
        unit="share",
        since=NOW - 86_400,
        until=NOW,
        numerator=5,
        denominator=20,
        low=0.1,
        high=0.4,
        n=20,
        people=people,
    )


async def keep(world: ApiWorld, *figures: Figure, scope: str = "", row: Row | None = None) -> None:
    report = Report(
        kind="week",
        scope=scope,
        made_at=NOW,
        since=NOW - 86_400,
        until=NOW,
        figures=figures,
        lists=(Listing(name="leaders", rows=(row,)),) if row else (),
    )
    await world.store.interactions.put_finding(name_of("week", scope), to_json(report), NOW)


async def test_a_figure_says_what_it_stands_on(world: ApiWorld) -> None:
    await keep(world, figure(50))
    got = await world.call("GET", "/insights/reports/week", scopes=READ)
    assert got.status == 200
    one = got.json["figures"][0]
    assert one["value"] == 0.25
    assert one["interval"] == [0.1, 0.4]
    assert (one["numerator"], one["denominator"], one["sample"], one["people"]) == (5, 20, 20, 50)


async def test_figures_of_few_members_are_for_owners_only(world: ApiWorld) -> None:
    await keep(world, figure(9))
    hidden = await world.call("GET", "/insights/reports/week", scopes=READ)
    assert hidden.json["figures"][0]["value"] is None
    assert hidden.json["figures"][0]["numerator"] is None
    shown = await world.call("GET", "/insights/reports/week", scopes=OWN)
    assert shown.json["figures"][0]["value"] == 0.25


async def test_lines_about_a_member_are_for_owners_only(world: ApiWorld) -> None:
    lin = (await world.store.members.meet("mp", "oTEST_lin", NOW)).id
    await keep(world, figure(50), row=Row(member_id=lin, figures=(figure(50),)))
    hidden = await world.call("GET", "/insights/reports/week", scopes=READ)
    assert all(row["member"] is None for one in hidden.json["lists"] for row in one["rows"])
    shown = await world.call("GET", "/insights/reports/week", scopes=OWN)
    assert shown.json["lists"][0]["rows"][0]["member"] == lin


async def test_a_report_of_a_group_is_asked_by_its_number(world: ApiWorld) -> None:
    group = await world.store.groups.meet("qun", "1@room", NOW, name="学习群", bound_by="test")
    await keep(world, figure(50), scope=group.place)
    listed = await world.call("GET", "/insights", scopes=READ)
    assert [(one["kind"], one["group"]) for one in listed.json["reports"]] == [("week", group.id)]
    got = await world.call("GET", f"/insights/reports/week?group={group.id}", scopes=READ)
    assert got.json["group"] == group.id
    assert (await world.call("GET", "/insights/reports/week?group=99", scopes=READ)).status == 404


async def test_a_report_nobody_made_is_not_found(world: ApiWorld) -> None:
    assert (await world.call("GET", "/insights/reports/mood", scopes=READ)).status == 404


@pytest.mark.parametrize("data", ["{}", '{"kind": 3}', "[]", "no JSON"])
async def test_what_is_left_of_a_report_is_none(world: ApiWorld, data: str) -> None:
    await world.store.interactions.put_finding("report:week:", data, NOW)
    assert (await world.call("GET", "/insights/reports/week", scopes=READ)).status == 404


async def test_working_out_anew_is_begun_or_refused(
    world: ApiWorld, refreshing: Refreshing
) -> None:
    scopes = {"insights:write"}
    got = await world.call("POST", "/insights/refresh", scopes=scopes)
    assert (got.status, got.json) == (202, {"started": True})
    refreshing.answer = Started.RUNNING
    again = await world.call("POST", "/insights/refresh", scopes=scopes)
    assert (again.status, again.json) == (202, {"started": False})
    refreshing.answer = Started.OFF
    assert (await world.call("POST", "/insights/refresh", scopes=scopes)).status == 409
    assert (await world.call("POST", "/insights/refresh", scopes=READ)).status == 403


async def test_features_go_out_under_pseudonyms(world: ApiWorld) -> None:
    one = await world.store.members.meet("mp", "oTEST_lin", NOW)

    def put(conn: Connection) -> None:
        conn.execute(
            "insert into member_features (member_id, first_at, last_at, acts, active_days, "
            "last_day, days28, questions, spent_cents, orders, progress, data, state, reasons, "
            "updated_at) values (?, 0, 5, 3, 2, '2026-11-20', 1, 0, 0, 0, 0, '{}', 'active', "
            "'a b', 0)",
            (one.id,),
        )

    await world.store.db.write(put)
    got = await world.call("GET", "/insights/members", scopes={"insights:own"})
    lines = got.lines
    assert len(lines) == 1
    assert lines[0]["member"].startswith("m_")
    assert lines[0]["reasons"] == ["a", "b"]
    assert b"oTEST_lin" not in got.body
    assert lines[0]["last_at"] == "1970-01-01T00:00:00.000+08:00", "not the second"
    none = await world.call("GET", "/insights/members?state=lost", scopes={"insights:own"})
    assert none.body == b""
    assert (await world.call("GET", "/insights/members", scopes=READ)).status == 403


async def test_a_decision_made_elsewhere_is_written_down_once(world: ApiWorld) -> None:
    one = await world.store.members.meet("mp", "oTEST_lin", NOW)
    path = f"/members/{one.id}/consents"
    before = await world.call("GET", path, scopes={"members:read"})
    assert before.json["consents"][0]["granted"] is None
    for _ in range(2):
        got = await world.call(
            "PUT", f"{path}/{PROFILING}", json={"granted": False}, scopes={"members:write"}
        )
        assert got.json["consents"][0]["granted"] is False
    rows = await world.store.audit.newest(10)
    assert [row.action for row in rows].count("consent.refused") == 1
    gone = await world.call("GET", "/members/999/consents", scopes={"members:read"})
    assert gone.status == 404
