"""The nightly report of recommendations: from real rows to figures, and verdicts of open tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import pytest

from bot.rec_settings import RecommendationSettings
from insights.rec_report import FIGURES, LISTS
from insights.report import Figure, Report, from_json, name_of
from scheduler.rec_report import anew, refresh
from store import Store, history
from store.catalogue import Item
from store.rec_lists import PICKED, NewList, Shown
from tests.blank import blank
from tests.scheduler.test_outcomes import Here

T = TypeVar("T")
Args = TypeVarTuple("Args")

DAY = 86_400.0
NOW = datetime.fromisoformat("2026-11-24T03:20:00+08:00").timestamp()
SETTINGS = RecommendationSettings(new_item_days=14)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    await store.catalogue.put(
        [
            Item("old", "course", "旧课", published_at=NOW - 300 * DAY),
            Item("new", "course", "新课", published_at=NOW - 3 * DAY),
            Item("soon", "course", "以后的课", available_from=NOW + DAY),
        ],
        NOW - DAY,
    )
    await history.fill(store.db, {"members": [(n, NOW - 90 * DAY) for n in range(1, 81)]})
    yield store
    await store.close()


async def show(store: Store, member: int, at: float, *items: str, **fields: Any) -> int:
    shown = tuple(Shown(item, fields.get("by", "ours")) for item in items)
    key = json.dumps([member, at]).encode().ljust(16)[-16:]
    new = NewList(
        key, member, at, "chat", fields.get("ranker", "ours"), "", fields.get("arm", ""),
        fields.get("test"), "", shown,
    )  # fmt: skip
    kept = await store.recommendations.put(new)
    assert kept is not None
    return kept.id


async def did(store: Store, *, clicks: list[tuple[int, str, float]], buys: Any = ()) -> None:
    await history.fill(
        store.db,
        {
            "interactions": [
                (at, "mp", member, "text", "1", PICKED, f"item:{item}", None)
                for member, item, at in clicks
            ],
            "events": [
                (f"e{n}", "purchase", at, at, member, item, None, cents, f"o{n}", "")
                for n, (member, item, at, cents) in enumerate(buys)
            ],
        },
    )


async def made(store: Store) -> Report:
    assert await refresh(store, Here(), SETTINGS, NOW) == "recommendations"
    kept = await store.interactions.finding(name_of("rec"))
    assert kept is not None
    return from_json(kept)


def figures(report: Report) -> dict[str, Figure]:
    return {one.name: one for one in report.figures}


async def test_an_empty_store_makes_a_report_that_says_so(store: Store) -> None:
    report = await made(store)
    assert (report.figures, report.note) == ((), "rec_none")


async def test_clicks_and_purchases_come_back_to_what_was_shown(store: Store) -> None:
    at = NOW - 2 * DAY
    for member in (1, 2, 3, 4):
        await show(store, member, at + member, "old", "new")
    await show(store, 5, at, "old", ranker="popular", arm="holdout", by="popular")
    await show(store, 6, NOW - 40 * DAY, "old")
    await did(
        store,
        clicks=[(1, "old", at + 60), (2, "new", at + 60), (3, "old", at - 3600)],
        buys=[(1, "old", at + 600, 19_900), (4, "old", at - 5 * DAY, 19_900)],
    )
    report = await made(store)
    found = figures(report)
    assert set(found) <= set(FIGURES)
    assert {one.name for one in report.lists} <= set(LISTS)
    assert (found["rec_ctr"].numerator, found["rec_ctr"].denominator) == (2, 8)
    assert (found["rec_conversion"].numerator, found["rec_conversion"].denominator) == (1, 4)
    assert found["rec_revenue"].value == pytest.approx(19_900 / 8 * 1000)
    assert found["rec_lists"].value == 5, "not what was shown six weeks ago"
    coverage = found["rec_coverage"]
    assert (coverage.numerator, coverage.denominator) == (2, 2), "what may be had, not what will be"
    assert found["rec_cold_items"].value == 0.5
    # Of the four, number 3 and 4 had done something before.
    assert found["rec_cold_members"].numerator == 2
    assert found["rec_ctr_more"].note == "rec_few_holdout"


async def test_for_who_asks_it_is_worked_out_in_the_quick_process(store: Store) -> None:
    await show(store, 1, NOW - DAY, "old")
    where: list[str] = []

    class There(Here):
        async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
            where.append("heavy")
            return run(*args)

        async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
            where.append("quick")
            return run(*args)

    await anew(store, There(), SETTINGS, NOW)
    assert where == ["quick"]
    kept = await store.interactions.finding(name_of("rec"))
    assert kept is not None
    assert figures(from_json(kept))["rec_lists"].value == 1


async def test_who_withheld_profiling_is_in_no_figure(store: Store) -> None:
    await show(store, 1, NOW - DAY, "old")
    await show(store, 2, NOW - DAY, "old")
    await store.consents.decide(2, "profiling", granted=False, now=NOW - DAY / 2, source="chat")
    report = await made(store)
    assert figures(report)["rec_lists"].value == 1


async def test_the_verdict_of_an_open_test_is_renewed_every_night(store: Store) -> None:
    test = await store.rec_tests.begin(
        "ours", "popular", "interleave", 1.0, "member:1", NOW - 20 * DAY, "salt"
    )
    assert test is not None
    clicks = []
    for member in range(1, 61):
        at = NOW - 10 * DAY + member
        shown = (Shown("old", "ours"), Shown("new", "popular"))
        new = NewList(
            member.to_bytes(16, "big"), member, at, "chat", "interleaved", "", "test", test.id, "",
            shown,
        )  # fmt: skip
        await store.recommendations.put(new)
        if member % 3:
            clicks.append((member, "old" if member % 10 else "new", at + 60))
    await did(store, clicks=clicks)
    report = await made(store)
    (listing,) = [one for one in report.lists if one.name == "rec_tests"]
    assert listing.rows[0].label == "rec_test:interleave|ranker:ours|ranker:popular"
    (running,) = await store.rec_tests.running()
    verdict = json.loads(running.verdict)
    assert verdict["better"] == "ours"
    assert verdict["prefer"] == [36, 4, 0]
    again = await made(store)
    assert again.lists == report.lists, "made again, it is the same"
