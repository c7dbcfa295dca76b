"""Who is named in what jobs leave as JSON: taken out of it when they are forgotten, or wish so.

A report is one row of `findings` about many people. A line about a member carries their number;
an example carries their words. Both are found by reading the JSON, whatever its shape, and the
rest stays: the figures are nobody's. So does the shape: what a figure is called and counted in
is no name, though somebody may call themselves `count`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from store import aliases
from store.dialect import Connection
from store.statements import ask
from store.used_up import PROFILING

LEAST = 6
"""Words shorter than this are everybody's: 退款 in a list of topics is no quotation."""

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NUMBER = re.compile(r'"member(?:_id)?" *: *(\d+)')
"""In JSON: what is a text, and which number is a member's."""

_SLOTS = 1 << 22

_GONE: Any = object()
_PLACES = (
    ("findings", "data", "name", "where name like 'report:%'"),
    ("alerts", "data", "id", ""),
)
"""Table, column, key and which rows. Other findings have shapes of their own, and name nobody or
are their job's to keep clean."""
_SHOWN = "report"
"""The state of an operator's conversation that keeps what they were shown."""
_CUT = "…"
_SHAPE = frozenset({"name", "unit", "kind", "note", "scope"})
"""Keys of a report and of an alert whose values say what something is, not whose."""
_SAYS_SHAPE = tuple(f'"{name}":' for name in sorted(_SHAPE))
_REFERENCES = "rows"
"""Of an alert: which messages, as [source, row]; of a report: its lines, which are objects."""
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""What a line of a chart is called by the report itself, not by its data."""
_PLACED = "labels"
"""Of a chart: the n-th is that of the n-th value."""


class Said:
    """What a member wrote, as one text, and what they are called anywhere.

    Thousands of texts are looked for in it while the only writer waits, so most are told apart by
    how they begin: a text that is in the words begins like LEAST characters of them.
    """

    def __init__(self, words: str, names: frozenset[str]) -> None:
        self.words, self.names = words, names
        self._starts = bytearray(_SLOTS if len(words) >= LEAST else 0)
        for at in range(len(words) - LEAST + 1):
            self._starts[hash(words[at : at + LEAST]) % _SLOTS] = 1

    def has(self, text: str) -> bool:
        """Whether a text is theirs: their name, or at least LEAST characters of what they said."""
        if text in self.names:
            return True
        if len(text) < LEAST or not self._starts:
            return False
        text = _plain(text).strip(_CUT)
        if len(text) < LEAST or not self._starts[hash(text[:LEAST]) % _SLOTS]:
            return False
        return text in self.words


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
    changed = _rewrite(conn, numbers, their) + _unshow(conn, numbers, their)
    return changed + _close_gaps(conn, their.words)


def drop_rows(conn: Connection, numbers: Collection[int]) -> int:
    """Take the lines about members out of findings; their words stay where they are quoted."""
    nobody = Said("", frozenset())
    return _rewrite(conn, numbers, nobody) + _unshow(conn, numbers, nobody)


def of_those_there(conn: Connection, data: str) -> str:
    """A report, as JSON, without lines about members who are gone or must not be profiled."""
    told = {int(one) for one in _NUMBER.findall(data)}
    question = (
        "select id from members where id in ({rows}) and not exists (select 1 from consents as c "
        f"where c.member_id = members.id and c.purpose = '{PROFILING}' and c.granted = 0)"
    )
    gone = told - {row[0] for row in ask(conn, question, sorted(told))}
    if not gone:
        return data
    left = without(json.loads(data), gone, Said("", frozenset()))
    return "{}" if left is _GONE else json.dumps(left, ensure_ascii=False)


def _rewrite(conn: Connection, numbers: Collection[int], their: Said) -> int:
    changed = 0
    for table, column, key, which in _PLACES:
        for name, text in conn.execute(f"select {key}, {column} from {table} {which}").fetchall():
            if not _may_hold(text, numbers, their):
                continue
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


def _unshow(conn: Connection, numbers: Collection[int], their: Said) -> int:
    """What operators were shown last and may still ask about: a line about a member is called by
    their number there. All of what was shown goes, and is shown anew when it is asked for."""
    gone = []
    shown = conn.execute("select member_id, data from states where name = ?", (_SHOWN,))
    for member_id, data in shown.fetchall():
        try:
            labels = [str(one["l"]) for one in json.loads(data)["asked"]]
        except (ValueError, KeyError, TypeError):
            labels = []
        told = {int(one) for label in labels for one in re.findall(r"\d{1,18}", label)}
        if not told.isdisjoint(numbers) or any(their.has(label) for label in labels):
            gone.append((member_id, _SHOWN))
    if gone:
        conn.executemany("delete from states where member_id = ? and name = ?", gone)
    return len(gone)


def _may_hold(text: str, numbers: Collection[int], their: Said) -> bool:
    """Whether it is worth taking apart: most of what lies there has nothing of theirs in it."""
    if any(int(found) in numbers for found in _NUMBER.findall(text)):
        return True
    if not their.names and not their.words:
        return False
    found = set(_STRING.findall(text) if "\\" in text else text.split('"')[1::2])
    try:
        mine = [one for one in found if their.has(json.loads(f'"{one}"') if "\\" in one else one)]
    except ValueError:
        return False
    return any(not _KEY.fullmatch(one) or _is_told(one, text) for one in mine)


def _is_told(word: str, text: str) -> bool:
    """Whether a word that may be a key stands in the JSON as something else, too."""
    at = text.find(quoted := f'"{word}"')
    while at >= 0:
        end = at + len(quoted)
        is_key = text[end : end + 2].lstrip().startswith(":")
        if not is_key and not text[max(at - 10, 0) : at].rstrip().endswith(_SAYS_SHAPE):
            return True
        at = text.find(quoted, end)
    return False


def without(value: Any, numbers: Collection[int], their: Said) -> Any:
    """The JSON value without them. An object about them goes whole; a list of texts loses
    theirs; elsewhere, where the place of a value may matter, it becomes "". What says what
    something is stays as it is."""
    if isinstance(value, dict):
        if any(_is_one(value.get(name), numbers) for name in ("member_id", "member")):
            return _GONE
        kept = _SHAPE - {"name"} if _is_line(value) else _SHAPE
        left = {
            name: one if name in kept else _inside(name, one, numbers, their)
            for name, one in value.items()
        }
        return {name: one for name, one in left.items() if one is not _GONE}
    if isinstance(value, list):
        parts = [without(one, numbers, their) for one in value]
        return [one for one in parts if one is not _GONE]
    return "" if _theirs(value, their) else value


def _inside(name: str, value: Any, numbers: Collection[int], their: Said) -> Any:
    if name == _REFERENCES and isinstance(value, list):
        parts = [one if isinstance(one, list) else without(one, numbers, their) for one in value]
        return [one for one in parts if one is not _GONE]
    if name != _PLACED and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return [one for one in value if not _theirs(one, their)]
    return without(value, numbers, their)


def _is_line(value: dict[str, Any]) -> bool:
    """A line of a chart that is called by its data: a week, a group, a word."""
    name = value.get("name")
    return "values" in value and isinstance(name, str) and not _KEY.fullmatch(name)


def _is_one(value: Any, numbers: Collection[int]) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in numbers


def _theirs(value: Any, their: Said) -> bool:
    return isinstance(value, str) and their.has(value)


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
