"""`zhiqun audit` at the terminal."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from store import Store
from tests.bot.test_main import Shell


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(tmp_path, capsys)

    async def fill(store: Store) -> None:
        for number in range(3):
            await store.audit.add(1.7e9 + number, "member:1", "faq.add", f"faq:{number}", "问")

    shell.store(fill)
    return shell


def tamper(shell: Shell, sql: str) -> None:
    path = shell.store(lambda store: _path(store))
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(sql)


async def _path(store: Store) -> Path:
    return store.db.path


def test_the_list_ends_with_the_newest(shell: Shell) -> None:
    assert shell.run("audit", "list", "--count", "2") == 0
    first, last = shell.out.splitlines()
    assert first == "2023-11-15 06:13:21  member:1  faq.add  faq:1  问"
    assert last.endswith("faq:2  问")


def test_a_sound_audit_prints_its_head_which_a_later_one_still_knows(shell: Shell) -> None:
    assert shell.run("audit", "verify") == 0
    found = re.search(r"sound: 3 rows\. Head: ([0-9a-f]{64})", shell.out)
    assert found is not None
    shell.store(lambda store: store.audit.add(1.8e9, "cli", "erase"))
    assert shell.run("audit", "verify", "--head", found[1][:16]) == 0
    tamper(shell, "delete from audit where id > 2")
    shell.store(lambda store: store.audit.add(1.8e9, "cli", "erase"))
    assert shell.run("audit", "verify", "--head", found[1]) == 1
    assert "was taken out" in shell.out


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("update audit set actor = 'cli' where id = 2", "tampered: row 2"),
        ("delete from audit where id = 3", "rows are missing at the end; 2 are left"),
    ],
)
def test_tampering_fails_and_says_where(shell: Shell, sql: str, said: str) -> None:
    tamper(shell, sql)
    assert shell.run("audit", "verify") == 1
    assert said in shell.out


def test_a_head_that_is_none_is_told(shell: Shell) -> None:
    assert shell.run("audit", "verify", "--head", "xyz") == 1
    assert "--head takes" in shell.err
