"""Privacy at the terminal: erase, scan, the map, the budget."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from bot.data_map import MAP, markdown, plain
from store import Store
from store.events import NewEvent
from store.noise_spent import Question
from store.pseudonyms import pseudonym
from tests.blank import blank
from tests.bot.test_main import OPENID, Shell, _typed, _visit
from tests.store.rows import tables_of

WORDS = "我家住在三号楼二单元"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(tmp_path, capsys)
    blank(shell.database)
    return shell


def test_erase_takes_out_of_backups_looks_and_says_so(shell: Shell) -> None:
    member = shell.store(lambda store: _visit(store, text=WORDS))
    copy = shell.database.parent / "backups" / "zhiqun-20261121-041000.db"
    assert shell.run("backup", copy) == 0
    assert shell.run("erase", member, "--yes") == 0
    assert "backups: taken out of 1 of 1 files" in shell.out
    assert "searched for 3 ids, names and messages:" in shell.out
    assert shell.out.endswith("nothing of them is left\n")
    assert WORDS.encode() not in copy.read_bytes()


def test_a_log_that_is_named_and_holds_them_is_1(shell: Shell) -> None:
    member = shell.store(lambda store: _visit(store, text=WORDS))
    log = shell.file("bot.log", f"{OPENID} came\n")
    assert shell.run("erase", member, "--yes", "--also", log) == 1
    assert "FOUND  bot.log: bytes: an id of theirs" in shell.out
    log.unlink()
    assert shell.run("erase", member, "--yes") == 0, "their number is known as one who was erased"
    assert "They were forgotten before" in shell.out


def test_a_path_that_is_not_there_stops_before_anything_is_done(shell: Shell) -> None:
    member = shell.store(_visit)
    assert shell.run("erase", member, "--yes", "--also", shell.folder / "no.log") == 1
    assert shell.store(lambda store: store.members.card(member)) is not None


def test_a_scan_looks_for_ones_own_texts(shell: Shell) -> None:
    shell.store(lambda store: _visit(store, text=WORDS))
    needles = shell.file("needles.txt", f"{OPENID}\n\n  13800000000 \n")
    assert shell.run("privacy", "scan", needles) == 1
    assert "FOUND  zhiqun.db: identities.external_id: an id of theirs, 1 times" in shell.out
    needles.write_text("nobody has this\n")
    assert shell.run("privacy", "scan", needles) == 0


@pytest.mark.parametrize(
    ("typed", "code", "say"),
    [(f"{OPENID}\n", 1, "FOUND"), (" \n", 1, "one id, name or sentence a line")],
)
def test_a_scan_reads_the_terminal(shell: Shell, typed: str, code: int, say: str) -> None:
    shell.store(_visit)
    done = _typed(shell, typed, "privacy", "scan", "-")
    assert done.returncode == code
    assert say in done.stdout + done.stderr


def test_the_budget_is_listed_by_audience(shell: Shell) -> None:
    assert shell.run("privacy", "budget") == 0
    assert shell.out == "nothing was published in 28 days; each audience may be told 1\n"

    async def publish(store: Store) -> None:
        question = Question(b"k", "group:g1", "week mp:g1", 0.25, "member:3")
        await store.noise_spent.put(question, "{}", 1.0, time.time())

    shell.store(publish)
    assert shell.run("privacy", "budget") == 0
    assert "0.25     week mp:g1, by member:3" in shell.out
    assert shell.out.endswith("group:g1: 0.25 of 1 spent in 28 days\n")


# Exports


def test_exports_call_members_by_the_same_pseudonym_and_on_demand_by_number(shell: Shell) -> None:
    member = shell.store(lambda store: _visit(store, text=WORDS))

    async def more(store: Store) -> bytes:
        bought = NewEvent("e1", "purchase", 1.0, member, item_id="c1")
        await store.events.add([bought, NewEvent("e2", "view", 2.0)], 3.0)
        other = await store.members.meet("mp", "o_other", 1.0)
        await store.groups.meet("mp", "g", 1.0, bound_by="cli")
        pair = (
            "insert into edges (place, from_id, to_id, weight, count, at) values (?, ?, ?, 1, 1, ?)"
        )
        args = ("mp:g", member, other.id, time.time())
        await store.db.write(lambda conn: conn.execute(pair, args))
        return await store.pseudonyms.key()

    name = pseudonym(shell.store(more), member)
    assert shell.run("export", "interactions", "-") == 0
    assert json.loads(shell.out)["member_id"] == name
    assert shell.run("export", "events", "-") == 0
    assert [json.loads(line)["member_id"] for line in shell.out.splitlines()] == [name, None]
    assert shell.run("export", "edges", "-") == 0
    assert shell.out.splitlines()[1].split(",")[1] == name
    assert shell.run("export", "interactions", "-", "--numbers") == 0
    assert json.loads(shell.out)["member_id"] == member


# The map


def test_the_map_is_printed_without_a_database(shell: Shell) -> None:
    shell.database.unlink()
    assert shell.run("privacy", "map") == 0
    assert shell.out == plain() + "\n"
    assert "talk" in shell.out


def test_every_table_that_knows_people_is_in_the_map(tmp_path: Path) -> None:
    tables = tables_of(blank(tmp_path / "z.db"))
    people = {"member_id", "inviter_id", "invitee_id", "from_id", "unionid", "external_id"}
    people |= {"openid", "sender", "actor", "fingerprint", "text", "sample", "body", "reply"}
    named = {name for kept in MAP for name in kept.tables}
    content = {"passages", "quiz_questions", "digests"}
    wanted = {table for table, columns in tables.items() if people & set(columns)} - content
    assert wanted - named - {"groups", "approvals", "campaign_changes"} == set()
    assert named - set(tables) == set(), "and none that is not there"


def test_the_page_has_the_map_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text("utf-8")
    assert markdown() in page
