"""Who is named in what jobs leave as JSON: taken out of it when they are forgotten, or wish so.

A report is one row of `findings` about many people. A line about a member carries their number;
an example carries their words. Both are found by reading the JSON, whatever its shape, and the
rest stays: the figures are nobody's.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple

from store import aliases
from store.dialect import Connection

LEAST = 6
"""Words shorter than this are everybody's: 退款 in a list of topics is no quotation."""

_GONE: Any = object()
_PLACES = (
    ("findings", "data", "name", "where name like 'report:%'"),
    ("alerts", "data", "id", ""),
)
"""Table, column, key and which rows. Other findings have shapes of their own, and name nobody or
are their job's to keep clean."""
_CUT = "…"
_PLACED = "labels"
"""Of a chart: the n-th is that of the n-th value."""


class Said(NamedTuple):
    """What a member wrote, as one text, and what they are called anywhere."""

    words: str
    names: frozenset[str]


def said(conn: Connection, member_id: int) -> Said:
    """Everything a member wrote that a job may have quoted. Call it while it is there."""
    rows = conn.execute(
        "select text from interactions where member_id = ? and text <> '' union "
        "select text from talk where member_id = ? and text <> '' union "
        "select text from mood_labels where member_id = ? union "
        "select text from homework where member_id = ?",
        (member_id,) * 4,
    )
    words = "\n".join(_plain(row[0]) for row in rows)
    rows = conn.execute(
        "select name from group_members where member_id = ? union "
        "select value from member_settings where member_id = ? and name = 'name' union "
        "select name from signup_entries where member_id = ?",
        (member_id,) * 3,
    )
    return Said(words, frozenset(row[0].strip() for row in rows) - {""})


def forget(conn: Connection, member_id: int) -> int:
    """Take a member out of what jobs wrote. Before all rooms, which take away their words."""
    merged = (int(one.partition(":")[2]) for one in aliases.numbers(conn, member_id))
    return unquote(conn, {member_id, *merged}, said(conn, member_id))


def unquote(conn: Connection, numbers: Collection[int], their: Said) -> int:
    """Take members out of findings, alerts and gaps; says from how many rows.

    numbers: theirs, also those they were merged with.
    """
    return _rewrite(conn, numbers, their) + _close_gaps(conn, their.words)


def drop_rows(conn: Connection, numbers: Collection[int]) -> int:
    """Take the lines about members out of findings; their words stay where they are quoted."""
    return _rewrite(conn, numbers, Said("", frozenset()))


def _rewrite(conn: Connection, numbers: Collection[int], their: Said) -> int:
    changed = 0
    for table, column, key, which in _PLACES:
        for name, text in conn.execute(f"select {key}, {column} from {table} {which}").fetchall():
            try:
                value = json.loads(text)
            except ValueError:
                continue
            left = without(value, numbers, their)
            if left == value:
                continue
            changed += 1
            kept = "{}" if left is _GONE else json.dumps(left, ensure_ascii=False)
            conn.execute(f"update {table} set {column} = ? where {key} = ?", (kept, name))
    return changed


def without(value: Any, numbers: Collection[int], their: Said) -> Any:
    """The JSON value without them. An object about them goes whole; a list of texts loses
    theirs; elsewhere, where the place of a value may matter, it becomes ""."""
    if isinstance(value, dict):
        if any(_is_one(value.get(name), numbers) for name in ("member_id", "member")):
            return _GONE
        left = {name: _inside(name, one, numbers, their) for name, one in value.items()}
        return {name: one for name, one in left.items() if one is not _GONE}
    if isinstance(value, list):
        kept = [without(one, numbers, their) for one in value]
        return [one for one in kept if one is not _GONE]
    return "" if _theirs(value, their) else value


def _inside(name: str, value: Any, numbers: Collection[int], their: Said) -> Any:
    if name != _PLACED and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return [one for one in value if not _theirs(one, their)]
    return without(value, numbers, their)


def _is_one(value: Any, numbers: Collection[int]) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in numbers


def _theirs(value: Any, their: Said) -> bool:
    if not isinstance(value, str):
        return False
    if value in their.names:
        return True
    text = _plain(value).strip(_CUT)
    return len(text) >= LEAST and text in their.words


def _plain(text: str) -> str:
    return " ".join(text.split())


def _close_gaps(conn: Connection, words: str) -> int:
    """Questions in their wording: gone where they alone asked, else in the cleaned wording."""
    changed = 0
    lines = frozenset(words.split("\n"))
    for number, sample, count in conn.execute("select id, sample, count from gaps").fetchall():
        if _plain(sample) not in lines:
            continue
        changed += 1
        if count > 1:
            conn.execute("update gaps set sample = question where id = ?", (number,))
        else:
            conn.execute("delete from gaps where id = ?", (number,))
    return changed
