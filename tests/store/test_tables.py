"""docs/tables*.md describe every table and every column of the real file, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from store import Store
from tests.store.rows import tables_of

DOCS = Path(__file__).parents[2] / "docs"


def page() -> str:
    """All pages, one after the other."""
    return "".join(
        (DOCS / name).read_text("utf-8")
        for name in (
            "tables.md",
            "tables-incentives.md",
            "tables-campaigns.md",
            "tables-groups.md",
            "tables-insights.md",
            "tables-recommendations.md",
        )
    )


def described(text: str) -> dict[str, list[str]]:
    """Tables and columns of the page: a heading each, then rows whose first cell is a name."""
    tables: dict[str, list[str]] = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"### `(\w+)`", line):
            tables[heading.group(1)] = []
        elif row := re.match(r"\| `(\w+)` \| \S", line):
            assert tables, line
            tables[list(tables)[-1]].append(row.group(1))
    return tables


async def test_every_table_and_column_is_described(store: Store) -> None:
    assert described(page()) == tables_of(store.db.path)


def test_every_table_says_who_writes_it_and_how_long_it_lives() -> None:
    sections = re.split(r"^### ", page(), flags=re.MULTILINE)[1:]
    for section in sections:
        name = section.split("\n", 1)[0]
        assert "Written by:" in section, name
        assert "Kept:" in section, name
