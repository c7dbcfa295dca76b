"""The community that was thought up: the same every time, and true to what is told of it."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from sandbox.simulated import DAY_S, Burst, Drop, Plan, Sour, World, simulate
from sandbox.simulated_words import BAD
from store import Store
from store.history import COLUMNS, fill
from store.place_costs import week_of_day
from tests.blank import blank

NOW = 1_795_276_799.0
PLAN = Plan(
    now=NOW,
    seed=3,
    members=60,
    days=30,
    places=("qun:1", "qun:2"),
    per_day=1.0,
    drops=(Drop("qun:1", 1, 0.9),),
    bursts=(Burst("qun:2", 2, 9, "抽奖"),),
    sours=(Sour("英语口语", 4, 15, 0.9),),
    angry=2,
    angry_days=5,
)
WORLD = simulate(PLAN)


def talk(world: World, place: str = "", day: int | None = None) -> list[tuple[int, float, str]]:
    """(member, at, words) of what was said in a place, on a day before the end."""
    return [
        (row[3], row[4], row[6])
        for row in world.rows["talk"]
        if (not place or row[2] == place)
        and (day is None or int((row[4] - world.begin) // DAY_S) == PLAN.days - 1 - day)
    ]


def bad(texts: list[str]) -> float:
    """The share of complaints."""
    ends = {one.rpartition("}")[2].rpartition("，")[2] for one in BAD}
    return sum(any(text.endswith(end) for end in ends) for text in texts) / len(texts)


def test_the_same_seed_is_the_same_past() -> None:
    again = simulate(PLAN)
    assert again.rows == WORLD.rows
    assert again.truths == WORLD.truths
    assert simulate(Plan(now=NOW, seed=4, members=60, days=30)).rows != WORLD.rows


def test_logs_grow_with_time_and_answers_stand_behind_what_they_answer() -> None:
    rows = WORLD.rows["talk"]
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert [row[4] for row in rows] == sorted(row[4] for row in rows)
    answers = [row for row in rows if row[8] is not None]
    assert len(answers) > 20
    by_number = {row[0]: row for row in rows}
    for row in answers:
        asked = by_number[row[8]]
        assert asked[0] < row[0]
        assert (asked[2], asked[3]) != (row[2], row[3]), "of the same group, not of oneself"
        assert asked[2] == row[2]
    for table, column in (("interactions", 0), ("events", 2)):
        times = [row[column] for row in WORLD.rows[table]]
        assert times == sorted(times)
        assert max(times) < NOW


def test_nobody_speaks_before_they_came_or_after_they_left() -> None:
    left = [one for one in WORLD.people if not math.isinf(one.left)]
    assert left, "somebody leaves"
    who = {one.id: one for one in WORLD.people}
    for member, at, _ in talk(WORLD):
        day = (at - WORLD.begin) / DAY_S
        # An answer may come a little after midnight.
        assert who[member].joined <= day < who[member].left + 1.1


def test_what_goes_wrong_shows_on_its_day_and_is_told() -> None:
    kinds = Counter(one.kind for one in WORLD.truths)
    assert kinds == {"mood_drop": 1, "topic_burst": 1, "topic_negative": 1, "member_angry": 2}
    assert [one.at for one in WORLD.truths] == sorted(one.at for one in WORLD.truths)
    fell = bad([words for _, _, words in talk(WORLD, "qun:1", 1)])
    usual = bad([words for _, _, words in talk(WORLD, "qun:1")])
    assert fell > 0.5 > 2 * usual
    said = {member for member, _, words in talk(WORLD, "qun:2", 2) if "抽奖" in words}
    assert len(said) >= 9, "and who answers them"
    assert {len([1 for _, _, words in talk(WORLD, "", 5) if "抽奖" in words])} == {0}
    for truth in WORLD.truths:
        if truth.kind == "member_angry":
            rant = [
                words
                for member, at, words in talk(WORLD)
                if member == truth.member_id and truth.at <= at <= truth.at + 2400
            ]
            assert len(rant) >= 7
            assert bad(rant) > 0.6


def test_a_quiet_plan_plants_nothing() -> None:
    fields = {one: getattr(PLAN, one) for one in PLAN.__dataclass_fields__}
    quiet = simulate(Plan(**(fields | {"quiet": True})))
    assert quiet.truths == []
    assert bad([words for _, _, words in talk(quiet, "qun:1", 1)]) < 0.4
    assert not any("抽奖" in words for _, _, words in talk(quiet))


def test_leaders_answer_most_and_circles_keep_to_themselves() -> None:
    answered = Counter(row[3] for row in WORLD.rows["talk"] if row[8] is not None)
    leaders = set().union(*WORLD.leaders.values())
    assert len(leaders) == PLAN.leaders * len(PLAN.places)
    others = [answered[one.id] for one in WORLD.people if not one.leads]
    assert sum(answered[one] for one in leaders) / len(leaders) > 4 * sum(others) / len(others)
    circle = WORLD.circles
    inside = sum(row[4] for row in WORLD.rows["edges"] if circle[row[1]] == circle[row[2]])
    assert inside > 0.75 * sum(row[4] for row in WORLD.rows["edges"])
    assert all(row[1] != row[2] for row in WORLD.rows["edges"])


def test_spending_is_the_same_on_all_days_of_a_week_from_monday_on() -> None:
    by_week: dict[tuple[str, int], list[int]] = {}
    for place, day, cents, _, _ in WORLD.rows["place_costs"]:
        by_week.setdefault((place, week_of_day(day)), []).append(cents)
    assert set(WORLD.curves) == set(PLAN.places)
    for days in by_week.values():
        assert len(days) == 7
        assert sum(days) % 10_000 == 0


async def test_the_rows_go_into_an_empty_file_once(tmp_path: Path) -> None:
    store = Store(blank(tmp_path / "simulated.db"))
    await store.open()
    try:
        for number in ("1", "2"):
            await store.groups.meet("qun", number, WORLD.begin, bound_by="cli")
        for _ in range(2):
            await fill(store.db, WORLD.rows)
        position = await store.features.ends()
        assert set(WORLD.rows) <= set(COLUMNS)
        assert position[1] == len(WORLD.rows["talk"])
        assert position[2] == len(WORLD.rows["events"])
    finally:
        await store.close()


def test_a_community_of_nobody_has_no_past() -> None:
    nobody = simulate(Plan(now=NOW, members=0, days=3))
    assert not nobody.rows["talk"]
    assert nobody.people == []
    assert nobody.truths == []
