"""Who turns to whom in a group: one weight for each pair and direction, which halves with time.

`weight` is as of `at`, the newest turn of the pair. A turn that is told late weighs as little as
if it had been told in time, so the order in which turns are told makes no difference.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from store import statements
from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

HALF_LIFE_S = 30 * 86_400.0
"""What a conversation weighs half after, where nobody said otherwise."""

Pair = tuple[str, int, int]
"""(place, who turns, to whom)."""


class Turned(NamedTuple):
    """Somebody turned to somebody. weight: how sure it is, above 0 to 1."""

    place: str
    from_id: int
    to_id: int
    weight: float
    at: float


class Edge(NamedTuple):
    """A pair as of a moment. turns: how many it stands for."""

    from_id: int
    to_id: int
    weight: float
    turns: int


class _Sum(NamedTuple):
    weight: float
    turns: int
    at: float


def _joined(one: _Sum, other: _Sum, half_life_s: float) -> _Sum:
    """Both together, as of the newer."""
    at = max(one.at, other.at)
    return _Sum(
        decayed(one.weight, at - one.at, half_life_s)
        + decayed(other.weight, at - other.at, half_life_s),
        one.turns + other.turns,
        at,
    )


def decayed(weight: float, seconds: float, half_life_s: float) -> float:
    """What a weight has become after so many seconds; of the future, what it is."""
    return float(weight * 2.0 ** (-max(seconds, 0.0) / half_life_s))


def add(conn: Connection, rows: Sequence[Turned], half_life_s: float = HALF_LIFE_S) -> None:
    """Add turns to their pairs; nobody turns to themselves. Their members must be there."""
    new: dict[Pair, _Sum] = {}
    for row in rows:
        if row.from_id != row.to_id:
            one = _Sum(row.weight, 1, row.at)
            pair = (row.place, row.from_id, row.to_id)
            new[pair] = _joined(new[pair], one, half_life_s) if pair in new else one
    _add_sums(conn, new, half_life_s)


def _add_sums(conn: Connection, new: dict[Pair, _Sum], half_life_s: float) -> None:
    for pair, known in _sums(conn, list(new)):
        new[pair] = _joined(known, new[pair], half_life_s)
    # Row by row: one statement may not change a row twice, and pieces repeat their last.
    conn.executemany(
        "insert into edges (place, from_id, to_id, weight, count, at) values (?, ?, ?, ?, ?, ?) "
        "on conflict (place, from_id, to_id) do update set weight = excluded.weight, "
        "count = excluded.count, at = excluded.at",
        [(*pair, *total) for pair, total in new.items()],
    )


@functools.cache
def _ask(count: int) -> str:
    return (
        "select e.place, e.from_id, e.to_id, e.weight, e.count, e.at "
        f"from (values {', '.join(['(?, ?, ?)'] * count)}) as v join edges as e "
        "on e.place = v.column1 and e.from_id = v.column2 and e.to_id = v.column3"
    )


def _sums(conn: Connection, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, _Sum]]:
    """What is known of these pairs, once each."""
    found: dict[Pair, _Sum] = {}
    for piece in statements.pieces(pairs):
        for row in conn.execute(_ask(len(piece)), list(chain.from_iterable(piece))):
            found[row[0], row[1], row[2]] = _Sum(*row[3:])
    yield from found.items()


def drop_of(conn: Connection, member_id: int) -> int:
    """Remove every pair that the member is one of; says how many."""
    # Two statements: with `or`, one of the two indices stays unused.
    rows = 0
    for end in ("from_id", "to_id"):
        rows += conn.execute(f"delete from edges where {end} = ?", (member_id,)).rowcount
    return rows


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """Both directions, without saying who the other is: that is theirs."""
    return {
        "edges": [
            row
            for end, direction in (("from_id", "to others"), ("to_id", "from others"))
            for row in rows_of(
                conn,
                f"select place, '{direction}' as direction, weight, count, at from edges "
                f"where {end} = ? order by place, at",
                member_id,
            )
        ]
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """A pair without one of its two is none."""
    return {"edges": drop_of(conn, member_id)}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """What two had, one has; what they said to each other was said to nobody.

    Joined by the usual half-life, whatever the configuration says: it only matters for a pair
    that both had, and there by the time between their last turns.
    """
    moved: dict[Pair, _Sum] = {}
    rows = conn.execute(
        "select place, from_id, to_id, weight, count, at from edges where from_id = ? "
        "union select place, from_id, to_id, weight, count, at from edges where to_id = ?",
        (drop, drop),
    ).fetchall()
    for place, from_id, to_id, *total in rows:
        pair = (place, keep if from_id == drop else from_id, keep if to_id == drop else to_id)
        if pair[1] != pair[2]:
            one = _Sum(*total)
            moved[pair] = _joined(moved[pair], one, HALF_LIFE_S) if pair in moved else one
    drop_of(conn, drop)
    _add_sums(conn, moved, HALF_LIFE_S)


class Edges:
    """The table `edges`; `store/talk.py` writes it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def between(
        self,
        places: Collection[str],
        now: float,
        *,
        half_life_s: float = HALF_LIFE_S,
        least: float = 0.0,
    ) -> list[Edge]:
        """Pairs in these groups together, as of now, heaviest first; none lighter than `least`.

        A pair that met in several groups is one.
        """

        def run(conn: Connection) -> list[Edge]:
            found: dict[tuple[int, int], Edge] = {}
            rows = statements.ask(
                conn,
                "select from_id, to_id, weight, count, at from edges where place in ({rows})",
                sorted(set(places)),
            )
            for from_id, to_id, weight, count, at in rows:
                before = found.get((from_id, to_id), Edge(from_id, to_id, 0.0, 0))
                found[from_id, to_id] = Edge(
                    from_id,
                    to_id,
                    before.weight + decayed(weight, now - at, half_life_s),
                    before.turns + count,
                )
            heavy = [edge for edge in found.values() if edge.weight >= least]
            return sorted(heavy, key=lambda edge: (-edge.weight, edge.from_id, edge.to_id))

        return await self._db.read(run, long=True)
