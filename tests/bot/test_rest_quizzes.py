"""Quizzes over REST: made once, planned, their places read; refusals say where and why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.rest_quizzes import OPERATIONS
from store.offers import NewOffer
from store.quiz_play import Pay
from tests.bot.api_world import ApiWorld, api

QUIZ: dict[str, Any] = {
    "title": "Python 小测验",
    "questions": [
        {"text": "偶数？", "options": ["二", "三", "四"], "answers": ["c", "A"], "points": 20},
        {"text": "作者？", "answers": ["Guido", "吉多"], "seconds": 60},
    ],
    "prizes": [{"first": 1, "last": 3, "points": 50}, {"first": 0, "last": 0, "points": 5}],
    "speed_bonus": 0,
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, OPERATIONS) as world:
        yield world


def later(world: ApiWorld, seconds: float) -> str:
    return datetime.fromtimestamp(world.clock() + seconds, UTC).isoformat()


def changed(**fields: Any) -> dict[str, Any]:
    return {**QUIZ, **fields}


async def test_a_quiz_is_made_once_and_read_back(world: ApiWorld) -> None:
    got = await world.post("/quizzes", json=QUIZ)
    assert (got.status, got.headers["Location"]) == (201, "/api/v1/quizzes/1")
    assert (got.json["status"], got.json["starts_at"]) == ("draft", None)
    assert [one["kind"] for one in got.json["questions"]] == ["multiple", "short"]
    assert got.json["questions"][0]["answers"] == ["A", "C"]
    again = await world.post("/quizzes", json=QUIZ)
    assert (again.status, again.json) == (200, got.json)
    other = await world.post("/quizzes", json=changed(title="另一场"))
    assert (other.status, other.json["id"]) == (201, 2)
    assert (await world.get("/quizzes/1")).json == got.json
    page = (await world.get("/quizzes?limit=1")).json
    assert ([one["id"] for one in page["quizzes"]], page["next"]) == ([2], 2)
    page = (await world.get("/quizzes?cursor=2")).json
    assert ([one["id"] for one in page["quizzes"]], page["next"]) == ([1], None)
    assert [row.action for row in await world.store.audit.newest(9)] == ["quiz.new"] * 2


def with_question(**fields: Any) -> dict[str, Any]:
    return changed(questions=[{**QUIZ["questions"][0], **fields}])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (changed(title=" "), "/title"),
        (changed(title="a\nb"), "/title"),
        (changed(questions=[]), "/questions"),
        (changed(questions=[QUIZ["questions"][1]] * 51), "/questions"),
        (changed(audience="谁都行"), "/audience"),
        (changed(speed_bonus=101), "/speed_bonus"),
        (changed(prizes=[{"first": 0, "last": 2, "points": 5}]), "/prizes/0"),
        (changed(prizes=[{"first": 1, "last": 1}]), "/prizes/0"),
        (changed(prizes=[{"first": 1, "last": 1, "coupon": "早鸟"}]), "/prizes/0/coupon"),
        (with_question(text=" "), "/questions/0"),
        (with_question(answers=["D"]), "/questions/0"),
        (with_question(answers=["AC"]), "/questions/0"),
        (with_question(options=["二"]), "/questions/0"),
        (with_question(options=["二", "二", "四"]), "/questions/0"),
        (with_question(answers=[]), "/questions/0/answers"),
        (with_question(seconds=4), "/questions/0/seconds"),
        (with_question(colour="red"), "/questions/0"),
    ],
)
async def test_what_is_no_quiz_is_refused_with_its_place(
    world: ApiWorld, body: dict[str, Any], pointer: str
) -> None:
    got = await world.post("/quizzes", json=body)
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, pointer)
    assert await world.store.quizzes.page() == []


async def test_a_prize_may_be_a_coupon_that_is_there(world: ApiWorld) -> None:
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=2)
    await world.store.offers.create(offer, world.clock(), "member:1")
    body = changed(prizes=[{"first": 1, "last": 1, "coupon": "早鸟"}])
    assert (await world.post("/quizzes", json=body)).status == 201


async def test_a_quiz_is_planned_and_planned_anew_until_it_runs(world: ApiWorld) -> None:
    await world.post("/quizzes", json=QUIZ)
    body = {"starts_at": later(world, 3600), "minutes": 10}
    for _ in range(2):
        got = await world.post("/quizzes/1/schedule", json=body)
        assert (got.status, got.json["status"]) == (200, "scheduled")
    quiz = await world.store.quizzes.get(1)
    assert quiz is not None
    assert (quiz.starts_at, quiz.ends_at) == (world.clock() + 3600, world.clock() + 4200)
    past = {"starts_at": later(world, -1)}
    got = await world.post("/quizzes/1/schedule", json=past)
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, "/starts_at")
    await world.store.quizzes.start(1, world.clock(), world.clock() + 60)
    got = await world.post("/quizzes/1/schedule", json=body)
    assert (got.status, got.json["type"]) == (409, "urn:zhiqun:not-a-draft")
    assert "running" in got.json["detail"]


async def test_places_are_read_page_by_page(world: ApiWorld) -> None:
    await world.post("/quizzes", json=QUIZ)
    now = world.clock()
    quiz = await world.store.quizzes.start(1, now, now + 60)
    assert quiz is not None
    play = world.store.quiz_play
    for number in range(3):
        member = (await world.store.members.meet("mp", f"o_{number}", now)).id
        await play.begin(quiz, member, bytes([number] * 16), now)
        given = "B" if number == 0 else "AC"
        at = now + number
        await play.answer(quiz, member, 1, given, bytes([9, number] * 8), at, at)
    got = (await world.get("/quizzes/1/ranking?limit=2")).json
    assert [(one["rank"], one["member"], one["score"]) for one in got["places"]] == [
        (1, 2, 20),
        (2, 3, 20),
    ]
    assert (got["count"], got["next"], got["places"][0]["points"]) == (3, 2, 0)
    closed = await world.store.quizzes.close(1, now + 60)
    assert closed is not None
    await play.pay_places(closed, 0, 9, now, Pay())
    got = (await world.get("/quizzes/1/ranking")).json
    assert [one["points"] for one in got["places"]] == [55, 55, 5]
    assert (await world.get("/quizzes/1/ranking?cursor=2")).json["places"][0]["rank"] == 3
    assert (await world.get("/quizzes/1/ranking?cursor=9")).json["places"] == []


async def test_what_is_not_there_is_not_found(world: ApiWorld) -> None:
    for path in ("/quizzes/7", "/quizzes/7/ranking"):
        assert (await world.get(path)).status == 404
    body = {"starts_at": later(world, 60)}
    assert (await world.post("/quizzes/7/schedule", json=body)).status == 404


async def test_reading_and_writing_have_scopes_of_their_own(world: ApiWorld) -> None:
    assert (await world.post("/quizzes", json=QUIZ, scopes={"quizzes:read"})).status == 403
    assert (await world.post("/quizzes", json=QUIZ, scopes={"quizzes:write"})).status == 201
    for path in ("/quizzes", "/quizzes/1", "/quizzes/1/ranking"):
        assert (await world.get(path, scopes={"quizzes:write"})).status == 403
        assert (await world.get(path, scopes={"quizzes:read"})).status == 200
