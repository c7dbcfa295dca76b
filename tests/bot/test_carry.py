"""What goes in and out at the terminal besides FAQ and catalogue: documents, events, keys."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from bot.keys import SCOPES
from tests.bot.test_main import Shell

HANDBOOK = "# 学员手册\n\n## 退款\n\n购买后七天内可以全额退款，超过七天按学习进度退。\n"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def event(number: int, **fields: object) -> str:
    return json.dumps({"id": f"e{number}", "kind": "view", "item": "py-101", **fields})


# Documents


def test_a_document_is_imported_once_and_renewed_when_it_changed(shell: Shell) -> None:
    path = shell.file("手册.md", HANDBOOK)
    assert shell.run("import", "docs", path) == 0
    assert shell.out == "手册.md: 1 passages, imported\n"
    assert shell.run("import", "docs", path) == 0
    assert "is there already, unchanged" in shell.out
    shell.file("手册.md", HANDBOOK + "\n## 发票\n\n电子发票三天内开出，发到登记的邮箱。\n")
    assert shell.run("import", "docs", path) == 0
    stored = shell.store(lambda store: store.documents.passages())
    assert any("电子发票" in passage.text for passage in stored)
    audit = shell.store(lambda store: store.audit.newest(9))
    assert [row.action for row in audit] == ["import.docs", "import.docs"]


def test_a_bad_document_keeps_the_good_ones_out(shell: Shell) -> None:
    good, bad = shell.file("a.md", HANDBOOK), shell.folder / "b.pdf"
    bad.write_bytes(b"%PDF-1.7 and then nothing of the kind")
    assert shell.run("import", "docs", good, bad) == 1
    assert "b.pdf: nothing was imported" in shell.err
    assert shell.store(lambda store: store.documents.all()) == []


def test_a_document_that_is_no_file_is_named(shell: Shell) -> None:
    assert shell.run("import", "docs", shell.folder / "nothing.md") == 1
    assert "nothing.md" in shell.err


# Events


def test_events_are_imported_again_without_harm_also_compressed(shell: Shell) -> None:
    lines = "\n".join(event(n) for n in range(3))
    assert shell.run("import", "events", shell.file("e.ndjson", lines)) == 0
    assert shell.out == "3 events stored, 0 were there, 0 refused\n"
    packed = shell.folder / "e.ndjson.gz"
    packed.write_bytes(gzip.compress((lines + "\n" + event(3)).encode()))
    assert shell.run("import", "events", packed) == 0
    assert shell.out == "1 events stored, 3 were there, 0 refused\n"


def test_a_bad_event_is_named_by_its_line_and_keeps_the_others_out(shell: Shell) -> None:
    path = shell.file("e.ndjson", "\n".join((event(1), event(2, kind="steal"), event(3))))
    assert shell.run("import", "events", path) == 1
    assert "line 2: /kind" in shell.err
    assert "0 events stored, 0 were there, 1 refused" in shell.out
    assert shell.run("import", "events", path, "--partial") == 1
    assert "2 events stored, 0 were there, 1 refused" in shell.out


def test_events_go_out_as_they_came_in(shell: Shell) -> None:
    shell.run("import", "events", shell.file("e.ndjson", event(1, campaign="spring")))
    assert shell.run("export", "events", "-") == 0
    (row,) = [json.loads(line) for line in shell.out.splitlines()]
    assert (row["event_id"], row["kind"], row["campaign"]) == ("e1", "view", "spring")


@pytest.mark.parametrize("args", [("items", "a.csv", "b.csv"), ("faq", "a.csv", "--partial")])
def test_what_makes_no_sense_together_is_refused(shell: Shell, args: tuple[str, ...]) -> None:
    assert shell.run("import", *args) == 1
    assert "one file at a time" in shell.err or "--partial is for events only" in shell.err


# Keys


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(shell: Shell) -> None:
    made = shell.run("key", "new", "shop", "--scope", "events:write", "--scope", "items:read")
    assert made == 0
    found = re.match(r"zq_([A-Za-z0-9]{8})_([A-Za-z0-9]{32})\n", shell.out)
    assert found
    key_id, secret = found.groups()
    assert shell.run("key", "list") == 0
    assert f"{key_id}  6000/min   never used  shop: events:write items:read" in shell.out
    assert secret not in shell.out
    assert secret.encode() not in shell.database.read_bytes()
    assert shell.run("key", "revoke", key_id) == 0
    assert shell.run("key", "revoke", key_id) == 1
    assert shell.run("key", "list") == 0
    assert "revoked" in shell.out
    audit = shell.store(lambda store: store.audit.newest(9))
    assert {row.action for row in audit} == {"key.new", "key.revoke"}


@pytest.mark.parametrize(
    "args",
    [
        ("shop",),
        ("shop", "--scope", "everything"),
        ("", "--scope", "items:read"),
        ("shop", "--scope", "items:read", "--per-minute", "0"),
    ],
)
def test_a_key_that_cannot_be_is_explained(shell: Shell, args: tuple[str, ...]) -> None:
    assert shell.run("key", "new", *args) == 1
    assert shell.err.startswith("zhiqun: ")


def test_a_signed_key_shows_its_signing_secret_once_too(shell: Shell) -> None:
    assert shell.run("key", "new", "shop", "--scope", "coupons:redeem", "--signed") == 0
    found = re.match(r"zq_([A-Za-z0-9]{8})_[A-Za-z0-9]{32}\n(zqs_[A-Za-z0-9]{43})\n", shell.out)
    assert found
    key_id, signing = found.groups()
    assert shell.run("key", "list") == 0
    assert f"{key_id}  6000/min   never used  shop (signed): coupons:redeem" in shell.out
    assert signing not in shell.out
    audit = shell.store(lambda store: store.audit.newest(9))
    assert signing not in repr(audit)


def test_a_key_may_have_every_scope(shell: Shell) -> None:
    assert shell.run("key", "new", "all", *(part for s in SCOPES for part in ("--scope", s))) == 0
