"""A quiz out of a file: a draft, once; mistakes are named by line and nothing is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.test_main import Shell

WRITTEN = "题\n奖品 1: 100积分\n1. 一加一？\n*A. 二\nB. 三\n2. 谁？\n答案：吉多\n"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def test_a_file_becomes_a_draft_once(shell: Shell) -> None:
    path = shell.file("quiz.txt", WRITTEN)
    assert shell.run("import", "quiz", path) == 0
    assert "quiz 1: 2 questions, imported as a draft" in shell.out
    assert shell.run("import", "quiz", path) == 0
    assert "quiz 1: 2 questions, is there already, draft" in shell.out
    audit = shell.store(lambda store: store.audit.newest(9))
    assert [(row.action, row.target) for row in audit] == [("import.quiz", "quiz:1")]


def test_a_file_saved_by_a_spreadsheet_or_windows_is_read(shell: Shell) -> None:
    path = shell.folder / "quiz.txt"
    path.write_bytes(b"\xef\xbb\xbf" + WRITTEN.replace("\n", "\r\n").encode())
    assert shell.run("import", "quiz", path) == 0
    (quiz,) = shell.store(lambda store: store.quizzes.page())
    assert (quiz.title, quiz.questions[0].options) == ("题", ("二", "三"))


def test_mistakes_are_named_by_line_and_nothing_is_kept(shell: Shell) -> None:
    assert shell.run("import", "quiz", shell.file("quiz.txt", "题\n1. 一\nA. 甲\nB. 乙")) == 1
    assert "quiz.txt: nothing was imported" in shell.err
    assert "line 2: no right option: put * before each right one" in shell.err
    assert shell.store(lambda store: store.quizzes.page()) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe", "line 1: not UTF-8"),
        ("题\n".encode() + b"1. \xff", "line 2: not UTF-8"),
        (b"", "line 1: the title"),
        (b"x" * ((1 << 20) + 1), "larger than 1 MB"),
    ],
)
def test_what_is_no_quiz_at_all_is_said(shell: Shell, data: bytes, said: str) -> None:
    path = shell.folder / "quiz.txt"
    path.write_bytes(data)
    assert shell.run("import", "quiz", path) == 1
    assert said in shell.err


def test_a_file_that_is_not_there_is_named(shell: Shell) -> None:
    assert shell.run("import", "quiz", shell.folder / "nothing.txt") == 1
    assert "nothing.txt" in shell.err


def test_a_prize_needs_an_offer_that_is_there(shell: Shell) -> None:
    path = shell.file("quiz.txt", WRITTEN.replace("100积分", "券 早鸟"))
    assert shell.run("import", "quiz", path) == 1
    assert "早鸟" in shell.err
