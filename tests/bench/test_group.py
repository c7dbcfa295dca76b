"""The bench of a busy evening: its made-up groups, its plan, its report; never a figure."""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from bench.group import _due, _World, run


def test_the_made_up_evening_is_the_same_for_the_same_seed() -> None:
    one, other = _World(20, 5, 7), _World(20, 5, 7)
    said = [one.message() for _ in range(500)]
    assert said == [other.message() for _ in range(500)]
    assert len({message.key for message in said}) == 500
    by_group = Counter(message.place for message in said)
    assert len(by_group) == 20
    assert by_group.most_common()[0][1] > 3 * by_group.most_common()[-1][1]
    talks = [message.talk for message in said if message.talk is not None]
    assert any(talk.mentions for talk in talks)
    assert any(talk.quotes for talk in talks)
    assert any(talk.addressed for talk in talks)


def test_messages_come_at_their_rate_and_at_random() -> None:
    due = list(_due(300.0, 20.0, 1))
    assert 5500 < len(due) < 6500
    assert due == sorted(due)
    gaps = {round(b - a, 4) for a, b in pairwise(due)}
    assert len(gaps) > 50


async def test_a_short_evening_tells_everything(tmp_path: Path) -> None:
    args = argparse.Namespace(
        groups=4, members=5, seed=1, rate=100.0, seconds=0.4, warm=0.1, max=False, one_core=False
    )
    told = await run(args, tmp_path)
    assert told["messages"] > 10
    assert told["refused"] == 0
    assert told["rows"]["talk"] <= told["messages"] + 30
    assert told["rows"]["talk"] >= told["messages"] * 0.7, "adverts do not count"
    assert told["rows"]["turns_in_edges"] > 0
    assert {"p50_ms", "p99_ms", "cpu_share", "behind_ms", "goals"} <= set(told)


@pytest.mark.nightly
async def test_the_highest_rate_is_looked_for(tmp_path: Path) -> None:
    args = argparse.Namespace(
        groups=20, members=5, seed=1, rate=100.0, seconds=1.0, warm=0.2, max=True, one_core=False
    )
    told = await run(args, tmp_path)
    assert told["max"] is None or told["max"]["p99_ms"] <= 50.0
