"""Who turns to whom: weights that halve, whatever the order in which turns are told."""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import Store, edges
from store.dialect import Connection
from store.edges import HALF_LIFE_S, Edge, Turned, add, decayed
from tests.blank import blank
from tests.store.rows import NOW

DAY = 86_400.0
PEOPLE = (1, 2, 3, 4)
END = NOW + 400 * DAY


@functools.cache
def _template() -> bytes:
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(sqlite3.connect(blank(Path(folder) / "blank.db"))) as file,
    ):
        file.execute("pragma journal_mode = delete")
        return file.serialize()


@contextmanager
def members() -> Iterator[Connection]:
    """A database in memory with four members and nothing else."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        conn.deserialize(_template())
        conn.executemany(
            "insert into members (id, created_at) values (?, 0)", [(one,) for one in PEOPLE]
        )
        yield conn


def rows(conn: Connection) -> dict[tuple[str, int, int], tuple[float, int, float]]:
    found = conn.execute("select place, from_id, to_id, weight, count, at from edges")
    return {row[:3]: row[3:] for row in found}


def total(conn: Connection) -> dict[str, tuple[float, int]]:
    """What all pairs of a group weigh at the end, and how many turns they stand for."""
    sums: dict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for (place, _, _), (weight, count, at) in rows(conn).items():
        before = sums[place]
        sums[place] = (
            before[0] + decayed(weight, END - at, HALF_LIFE_S),
            before[1] + count,
        )
    return dict(sums)


turns = st.lists(
    st.builds(
        Turned,
        place=st.sampled_from(["qun:1", "qun:2"]),
        from_id=st.sampled_from(PEOPLE),
        to_id=st.sampled_from(PEOPLE),
        weight=st.floats(0.05, 1.0),
        at=st.integers(0, 200).map(lambda day: NOW + day * DAY),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(turns, st.integers(0, 1000))
def test_the_order_of_turns_and_their_batches_make_no_difference(
    told: list[Turned], seed: int
) -> None:
    with members() as conn, members() as other:
        add(conn, told)
        shuffled = told[:]
        Random(seed).shuffle(shuffled)
        for row in shuffled:
            add(other, [row])
        one, two = rows(conn), rows(other)
    assert one.keys() == two.keys()
    for pair, (weight, *rest) in one.items():
        assert two[pair][0] == pytest.approx(weight)
        assert list(two[pair][1:]) == rest
        assert pair[1] != pair[2], "nobody turns to themselves"


@settings(max_examples=40, deadline=None)
@given(turns)
def test_two_members_made_one_keep_all_but_what_they_said_to_each_other(
    told: list[Turned],
) -> None:
    with members() as conn, members() as other:
        add(conn, told)
        edges.merge(conn, 1, 2)
        add(other, [row for row in told if {row.from_id, row.to_id} != {1, 2}])
        after, wanted = total(conn), total(other)
        named = {who for _, *pair in rows(conn) for who in pair}
    assert 2 not in named
    assert {place: count for place, (_, count) in after.items()} == {
        place: count for place, (_, count) in wanted.items()
    }
    for place, (weight, _) in after.items():
        assert weight == pytest.approx(wanted[place][0])


def test_a_conversation_halves_in_its_time() -> None:
    week = 7 * DAY
    with members() as conn:
        add(conn, [Turned("qun:1", 1, 2, 1.0, NOW)], week)
        add(conn, [Turned("qun:1", 1, 2, 0.5, NOW + week)], week)
        assert rows(conn) == {("qun:1", 1, 2): (1.0, 2, NOW + week)}
        # One that is told late weighs what it would weigh now, and is not the newest.
        add(conn, [Turned("qun:1", 1, 2, 0.8, NOW)], week)
        assert rows(conn) == {("qun:1", 1, 2): (1.4, 3, NOW + week)}


def test_a_clock_that_went_backwards_makes_no_weight_grow() -> None:
    assert decayed(1.0, -1e9, DAY) == 1.0
    assert decayed(1.0, 1e12, DAY) == 0.0


async def test_pairs_of_several_groups_are_one_heaviest_first(store: Store) -> None:
    ids = [(await store.members.meet("qun", f"wx_{n}", NOW)).id for n in range(3)]
    lin, mei, tao = ids
    told = [
        *[Turned(f"qun:{place}", lin, mei, 1.0, NOW) for place in (1, 2, 3)],
        Turned("qun:1", mei, lin, 1.0, NOW - HALF_LIFE_S),
        Turned("qun:1", tao, lin, 0.1, NOW),
    ]
    await store.db.write(lambda conn: add(conn, told))
    found = await store.edges.between(["qun:1", "qun:2", "qun:2"], NOW, least=0.2)
    assert found == [Edge(lin, mei, 2.0, 2), Edge(mei, lin, 0.5, 1)]
    assert await store.edges.between([], NOW) == []
