"""The files of `bench.faq`: FAQ entries, queries and labelled pairs, read and checked.

Any file in the columns of ../shared/data/faq, as CSV or gzip'd CSV; further columns are
not looked at. A file that cannot be measured is refused whole, with the line and the
reason: figures over half a file would look like figures.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_GZIP = b"\x1f\x8b"
_MOST_CHARS = 10_000_000
"""Longest cell; jieba and the index read only the beginning of any text."""


class FaqFileError(ValueError):
    """The file cannot be measured; says which, the line, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question as a member asked it.

    entry: id of the entry that answers it, "" when none may. kind: as in the file, such as
    "answerable" or "oos_chat".
    """

    domain: str
    kind: str
    entry: str
    text: str


@dataclass(slots=True)
class Base:
    """One community's FAQ: entry id -> wordings, the main one first; and what was asked."""

    name: str
    entries: dict[str, list[str]] = field(default_factory=dict)
    queries: list[Query] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Wordings of all entries."""
        return sum(map(len, self.entries.values()))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions and whether annotators called them the same."""

    domain: str
    same: bool
    first: str
    second: str


def read(entries: Path, queries: Path) -> list[Base]:
    """The knowledge bases of two files, in the order of the first; never empty.

    entries: columns kb, entry_id, kind (main, or anything else for a further wording),
    question. queries: columns kb, domain, kind, entry_id, query; a kind "answerable" without
    an entry_id contradicts itself and is refused, as is an entry_id that its kb does not
    have. Raises FaqFileError.
    """
    bases: dict[str, Base] = {}
    for _, row in _rows(entries, ("kb", "entry_id", "kind", "question"), may_be_empty=("kind",)):
        base = bases.setdefault(row["kb"], Base(row["kb"]))
        wordings = base.entries.setdefault(row["entry_id"], [])
        wordings.insert(0 if row["kind"] == "main" else len(wordings), row["question"])
    columns = ("kb", "domain", "kind", "entry_id", "query")
    for line, row in _rows(queries, columns, may_be_empty=("entry_id",)):
        name, entry = row["kb"], row["entry_id"]
        if name not in bases:
            raise FaqFileError(f"{queries}, line {line}: kb {name!r} has no entries in {entries}")
        if entry and entry not in bases[name].entries:
            raise FaqFileError(f"{queries}, line {line}: kb {name!r} has no entry {entry!r}")
        if row["kind"] == "answerable" and not entry:
            raise FaqFileError(f"{queries}, line {line}: answerable, but entry_id is empty")
        bases[name].queries.append(Query(row["domain"], row["kind"], entry, row["query"]))
    return list(bases.values())


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of part "dev"; never empty.

    Columns domain, part, same (0 or 1), question1, question2. Raises FaqFileError.
    """
    found = []
    for line, row in _rows(path, ("domain", "part", "same", "question1", "question2")):
        if row["same"] not in ("0", "1"):
            raise FaqFileError(f"{path}, line {line}: same is {row['same'][:20]!r}, not 0 or 1")
        if row["part"] == "dev":
            first, second = row["question1"], row["question2"]
            found.append(Pair(row["domain"], row["same"] == "1", first, second))
    if not found:
        raise FaqFileError(f"{path}: no pair of part dev")
    return found


def _rows(
    path: Path, columns: Sequence[str], may_be_empty: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a file with all these columns and at least one row."""
    csv.field_size_limit(_MOST_CHARS)
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    empty = True
    try:
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            there = ", ".join(reader.fieldnames or ()) or "none"
            raise FaqFileError(
                f"{path}: column {', '.join(missing)} is missing; there are: {there[:200]}"
            )
        for row in reader:
            line, empty = reader.line_num, False
            if None in row or None in row.values():
                raise FaqFileError(f"{path}, line {line}: not as many cells as the header")
            for name in columns:
                if not row[name].strip() and name not in may_be_empty:
                    raise FaqFileError(f"{path}, line {line}: {name} is empty")
            yield line, row
    except csv.Error as error:
        # The last whole row ended at line_num: the bad one begins below, an open quote too.
        raise FaqFileError(f"{path}, line {reader.line_num + 1}: not CSV: {error}") from error
    if empty:
        raise FaqFileError(f"{path}: no rows below the header")


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "not whole gzip data"
        raise FaqFileError(f"{path}: {reason}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FaqFileError(f"{path}, line {line}: not UTF-8") from error
