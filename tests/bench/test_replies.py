"""The measure of who answers whom: what counts, the rules beside it, files that it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.replies import (
    Found,
    by_model,
    by_rule,
    first_mention_else_previous,
    fit,
    main,
    previous,
    read,
)
from insights.replies import FEATURES, SILENCES

SHARED = Path(__file__).parents[3] / "shared" / "data" / "community" / "irc_replies.ndjson"


def row(idx: int, sender: str, text: str = "hm", *to: int, **fields: Any) -> dict[str, Any]:
    plain = {"chat": "c", "idx": idx, "time": f"10:{idx:02}", "sender": sender, "text": text}
    return {**plain, "mentions": [], "reply_to": list(to), "annotated": True, **fields}


def file(folder: Path, *rows: dict[str, Any] | str) -> Path:
    path = folder / "chat.ndjson"
    lines = [one if isinstance(one, str) else json.dumps(one) for one in rows]
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_only_annotated_answers_to_others_in_the_file_are_measured(tmp_path: Path) -> None:
    chats = read(
        file(
            tmp_path,
            row(1, "mei", "how do I mount it?"),
            row(2, "tao", "nice weather"),
            row(3, "lin", "with mount", 1),
            row(4, "lin", "as root", 3),  # goes on with their own
            row(5, "mei", "@lin: thanks", 3, 4, mentions=["lin"]),
            row(6, "bo", "too late", 5, annotated=False),
            row(7, "bo", "yes", 0),  # before the first line kept
            row(8, "mei", "bo: no", 99, mentions=["bo"]),
        )
    )
    assert by_rule(chats, previous) == Found(1, 2)
    assert by_rule(chats, first_mention_else_previous) == Found(1, 2)
    assert by_model(chats).n == 2
    assert Found(0, 0).share == 0.0


def test_midnight_is_no_step_back(tmp_path: Path) -> None:
    times = ("23:58", "23:59", "23:58", "00:01")
    rows = [row(n, "mei", time=time) for n, time in enumerate(times)]
    (chat,) = read(file(tmp_path, *rows)).values()
    ats = [one.turn.at for one in chat]
    assert [round((at - ats[0]) / 60) for at in ats] == [0, 1, 0, 3]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "[" * 100_000,
        json.dumps(row(1, "mei", time="25:00")),
        json.dumps(row(1, "mei", mentions=[1])),
        json.dumps(row(1, "mei", reply_to=["1"])),
        json.dumps({"chat": "c"}),
    ],
)
def test_a_file_that_cannot_be_measured_is_refused_with_its_line(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file(tmp_path, row(0, "mei"), line)
    assert main(["--file", str(path)]) == 2
    assert "chat.ndjson, line 2" in capsys.readouterr().err


def test_no_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    assert main(["--file", str(tmp_path / "none")]) == 2
    assert main(["--file", str(file(tmp_path))]) == 2


def test_the_weights_of_a_small_chat_can_be_found(tmp_path: Path) -> None:
    rows = [row(0, "mei")]
    for n in range(1, 40):
        who, other = ("lin", "mei") if n % 2 else ("mei", "lin")
        rows.append(row(n, who, f"@{other} word{n}", n - 1, mentions=[other]))
    weights, nobody = fit(read(file(tmp_path, *rows)))
    assert len(weights) == len(FEATURES)
    assert len(nobody) == len(SILENCES)
    assert weights[FEATURES.index("named_first")] > 0


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not on this machine")
def test_the_shared_chats_have_the_figures_that_are_published(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--file", str(SHARED)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n"] == 1495
    assert told["found"] >= 0.84
    assert told["first_mention_else_previous"] == 0.8094
    assert told["previous"] == 0.3953
