"""The bench of known tastes, in small: everything runs, and what it counts is counted right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.tastes import COUNT, NOW, Arms, Town, arm_of, clicked, lived, online, quiet
from handlers.recommending import Wish
from sandbox.tastes import Plan


@dataclass(frozen=True)
class Place:
    member_id: int
    clicked: bool = False
    arm: str = ""
    ranker: str = "ours"
    list_id: int = 1
    at: float = 0.0


def test_arms_are_told_apart_and_what_is_none_of_them_is_left_out() -> None:
    assert arm_of(Place(1)) == "ours"  # type: ignore[arg-type]
    assert arm_of(Place(1, arm="holdout", ranker="popular")) == "popular"  # type: ignore[arg-type]
    assert arm_of(Place(1, arm="random", ranker="random")) == "random"  # type: ignore[arg-type]
    assert arm_of(Place(1, arm="fallback", ranker="popular")) == ""  # type: ignore[arg-type]
    assert arm_of(Place(1, ranker="popular")) == ""  # type: ignore[arg-type]


def test_click_rates_are_by_members_and_differences_have_intervals() -> None:
    rows = [Place(n, clicked=n % 2 == 0) for n in range(400)]
    rows += [Place(n, n % 10 == 0, "holdout", "popular") for n in range(1000, 1200)]
    found = online(rows)  # type: ignore[arg-type]
    assert (found["ours"]["ctr"], found["ours"]["members"]) == (0.5, 400)
    assert found["popular"]["ctr"] == 0.1
    less = found["ours_less_popular"]
    assert 0.0 < less["low"] < less["diff"] < less["high"]
    assert "ours_less_random" not in found
    assert clicked([]) == {}
    assert online([]) == {}


def test_the_watch_seldom_gives_way_to_nothing() -> None:
    assert quiet(3, 12) == 0


async def test_a_small_town_is_served_by_what_it_taught(tmp_path: Path) -> None:
    plan = Plan(now=NOW, seed=5, members=70, items=24, days=2, arrivals=(1,), before=28, come=1.0)

    async def look(town: Town) -> None:
        assert [one.partition(":")[0] for one in town.told.ends] == ["live"]
        rows = town.outcomes()
        arms = {arm_of(one) for one in rows}
        assert arms >= {"ours", "popular", "random"}
        assert all(0.0 < one.propensity <= 1.0 for one in rows)
        assert any(one.clicked for one in rows)
        assert town.told.fallbacks == []
        # Every visitor got one list of as many places as there are.
        assert len(rows) == COUNT * len({one.list_id for one in rows})
        # Upside down, the same member is shown something else.
        member = next(one.member_id for one in rows if arm_of(one) == "ours")
        before = await _best(town, member, b"before")
        await town.sabotage("negated")
        assert town.service.model.endswith("-negated")
        after = await _best(town, member, b"after")
        assert before
        assert not set(before) & set(after)

    await lived(tmp_path / "town", plan, Arms(held=0.3, by_chance=0.2, explore=0.0), look, print)


async def _best(town: Town, member: int, name: bytes) -> list[str]:
    _, picks = await town.service.recommend(
        member, name.ljust(16), "api", 3, Wish(), town.now + 30 * 86_400.0
    )
    return [one.item for one in picks]
