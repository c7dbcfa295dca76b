"""Statements over many rows: few of them, in few sizes.

Every step of a statement hands the interpreter's lock over, which under load costs more
than the row itself; and every text of a statement is prepared once and then remembered. So
rows are handed over in pieces of a few sizes, filled up by repeating the last row: only
for statements to which a repeated row makes no difference.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar

from store.dialect import Connection

T = TypeVar("T")

_SIZES = (1, 2, 4, 8, 16, 32, 64)


def pieces(rows: Sequence[T]) -> Iterator[list[T]]:
    """The rows in pieces of 1, 2, 4, 8, 16, 32 or 64; nothing when there are none."""
    most = _SIZES[-1]
    for at in range(0, len(rows), most):
        piece = list(rows[at : at + most])
        full = next(size for size in _SIZES if size >= len(piece))
        yield piece + piece[-1:] * (full - len(piece))


@functools.cache
def _filled(statement: str, row: str, count: int) -> str:
    return statement.replace("{rows}", ", ".join([row] * count))


def run(conn: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement with the rows where it says {rows}; no rows, no statement."""
    if not rows:
        return
    row = f"({', '.join('?' * len(rows[0]))})"
    for piece in pieces(rows):
        conn.execute(_filled(statement, row, len(piece)), list(chain.from_iterable(piece)))


def ask(conn: Connection, statement: str, values: Collection[Any]) -> Iterator[tuple[Any, ...]]:
    """The answers to a question about values, which stand where it says {rows}."""
    for piece in pieces(list(values)):
        yield from conn.execute(_filled(statement, "?", len(piece)), piece)


def ask_pairs(
    conn: Connection, statement: str, pairs: Iterable[tuple[Any, Any]]
) -> Iterator[tuple[Any, ...]]:
    """Like `ask` about pairs, as in `from (values {rows}) as v`: column1 and column2.

    A pair may be answered more than once.
    """
    for piece in pieces(list(pairs)):
        text = _filled(statement, "(?, ?)", len(piece))
        yield from conn.execute(text, list(chain.from_iterable(piece)))


def rows_of(conn: Connection, sql: str, *args: Any) -> list[dict[str, Any]]:
    """The rows of a query, each as its columns by name."""
    cursor = conn.execute(sql, args)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
