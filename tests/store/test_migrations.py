"""The schema's steps, and the one file that may know which database this is."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

from sqlite_utils import Database as Schema

import store as room
from store import MIGRATIONS, Store, dialect
from store.migrations import migrations
from tests.store.rows import CHANNEL, LIN, NOW, answered, ask_file, key, tables_of

ROOM = Path(room.__file__).parent


def test_the_listed_steps_are_the_steps() -> None:
    """A step missing in the list would never run; one too many would load the library each time."""
    assert tuple(step.name for step in migrations.pending(Schema(memory=True))) == MIGRATIONS


async def test_opening_again_changes_nothing(store: Store) -> None:
    before = tables_of(store.db.path)
    met = await store.members.meet(CHANNEL, LIN, NOW)
    again = Store(store.db.path)
    await again.open()
    try:
        assert (await again.members.meet(CHANNEL, LIN, NOW)).id == met.id
    finally:
        await again.close()
    assert tables_of(store.db.path) == before


async def test_the_log_keeps_its_rows_and_gives_no_number_twice(tmp_path: Path) -> None:
    """Others keep its numbers as cursors: one used again would hide what came since."""
    path = tmp_path / "zhiqun.db"
    old = Schema(path)
    migrations.apply(old, stop_before="m0002_business")
    old.execute("insert into members (id, created_at) values (5, 0)")
    for number in (3, 8):
        old.execute(
            "insert into interactions (id, at, channel, member_id, kind, text, handler, item, "
            "message_key) values (?, 1.5, 'mp', 5, 'text', '你好', 'faq', 'faq:1', ?)",
            (number, key(number)),
        )
    before = old.execute("select * from interactions").fetchall()
    old.conn.commit()
    old.close()
    store = Store(path)
    await store.open()
    try:
        # What came later has a value for old rows, too: "" for private.
        assert ask_file(path, "select * from interactions") == [(*row, "") for row in before]
        assert ask_file(path, "pragma foreign_key_check") == []
        assert ask_file(path, "pragma index_info(interactions_member)") != []
        await store.members.erase(5, NOW)
        await answered(store, 9)
        assert [row["id"] for row in await store.interactions.page(8)] == [9]
    finally:
        await store.close()


async def test_an_up_to_date_file_opens_without_the_migration_library(store: Store) -> None:
    """It costs a tenth of a second and 14 MB that a running server has no use for."""
    script = (
        "import asyncio, pathlib, sys\n"
        "from store import Store\n"
        "async def main():\n"
        "    store = Store(pathlib.Path(sys.argv[1]))\n"
        "    await store.open()\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
        "sys.exit('sqlite_utils' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(store.db.path)], cwd=ROOM.parent, check=False
    )
    assert done.returncode == 0


def test_a_file_without_any_step_has_none() -> None:
    assert dialect.applied_migrations(Schema(memory=True).conn, "zhiqun") == set()


# Portable SQL

PECULIAR = re.compile(
    r"insert or |replace into|pragma|\browid\b|datetime\('now'|strftime|julianday|json_|"
    r"autoincrement|sqlite_master|\bglob\b|ifnull|group_concat|last_insert_rowid|"
    r"total_changes|vacuum|\battach\b|\bwithout rowid\b|\bstrict\b",
    re.IGNORECASE,
)


def _texts(path: Path) -> list[str]:
    """Every text of a file that is not a docstring; f-strings by their fixed pieces."""
    tree = ast.parse(path.read_text("utf-8"))
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]


def test_what_only_sqlite_knows_stands_in_one_file() -> None:
    found = {
        (path.name, match.group())
        for path in sorted(ROOM.glob("*.py"))
        if path.name != "dialect.py"
        for text in _texts(path)
        for match in PECULIAR.finditer(text)
    }
    assert found == set()


def test_the_search_for_peculiar_sql_finds_it() -> None:
    assert PECULIAR.search("insert or ignore into t") is not None
    assert any(PECULIAR.search(text) for text in _texts(ROOM / "dialect.py"))


def test_only_the_dialect_names_the_driver() -> None:
    for path in sorted(ROOM.glob("*.py")):
        if path.name != "dialect.py":
            names = tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
            assert "sqlite3" not in {token.string for token in names}, path.name
