"""The spam bench: its arithmetic is exact, its report has every key, the shared data is found."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.fit_spam import fit
from bench.spam import apart, auc, figures, load, measure, only, recall_at
from insights.spam import SpamModel

DEV = Path(__file__).parents[3] / "shared" / "data" / "spam" / "dev.csv"
ROOT = Path(__file__).parents[2]
GIVEN = {"precision", "recall", "f1", "auc", "recall_at_1pct_fpr", "n"}
SPAM = ("加微信兼职日结{}元", "低价代办贷款加V{}", "充值送{}元点击注册")
HAM = ("第{}节课讲得真好", "明天{}点开会吗", "我看了{}页书，有点困")


def written(path: Path) -> Path:
    """A file of two sources, sixty rows each, half of them spam."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["id", "source", "label", "text"])
        for number, source in itertools.product(range(30), ("left", "right")):
            lines.writerow([number, source, "spam", SPAM[number % 3].format(number * 37)])
            lines.writerow([number, source, "ham", HAM[number % 3].format(number)])
    return path


def test_figures_against_a_case_counted_by_hand() -> None:
    spam = np.array([True, True, False, False, True])
    scores = np.array([0.9, 0.4, 0.6, 0.1, 0.8])
    told = figures(spam, scores, 0.5)
    assert (told["precision"], told["recall"], told["f1"]) == (0.6667, 0.6667, 0.6667)
    assert told["auc"] == round(5 / 6, 4)
    assert told["recall_at_1pct_fpr"] == 0.6667
    assert told["n"] == 5


def test_equal_scores_are_a_coin_and_find_nothing_without_false_alarms() -> None:
    spam, scores = np.array([True, False] * 50), np.full(100, 0.5)
    assert auc(spam, scores) == 0.5
    assert recall_at(spam, scores) == 0.0


def test_a_source_of_one_kind_has_no_curve() -> None:
    told = figures(np.array([False, False]), np.array([0.1, 0.9]), 0.5)
    assert told["auc"] is None
    assert told["recall_at_1pct_fpr"] is None
    assert (told["precision"], told["recall"], told["f1"]) == (0.0, 0.0, 0.0)


def test_the_command_prints_one_object_with_every_key(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.spam", "--file", str(written(tmp_path / "few.csv"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert set(told) >= (GIVEN - {"n"}) | {"ms", "by_source"}
    assert set(told["by_source"]) == {"left", "right"}
    assert all(set(one) == GIVEN for one in told["by_source"].values())
    assert told["by_source"]["left"]["n"] == 60


def test_a_source_is_measured_by_those_who_never_saw_it(tmp_path: Path) -> None:
    rows = load(written(tmp_path / "few.csv"))
    found = {name: (set(rest.sources), set(here.sources)) for name, rest, here in apart(rows, rows)}
    assert found == {"left": ({"right"}, {"left"}), "right": ({"left"}, {"right"})}
    alone = only(rows, rows.sources == "left")
    assert list(apart(alone, alone)) == []


def test_a_file_without_rows_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text("id,source,label,text\n", "utf-8")
    with pytest.raises(ValueError, match="no rows"):
        measure(SpamModel.load(), load(path))


def test_fitting_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = load(written(tmp_path / "few.csv.gz"))
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    for path in (one, two):
        fit(rows)[0].save(path)
    assert one.read_bytes() == two.read_bytes()
    scores = SpamModel.load(one).scores(rows.texts)
    assert auc(rows.spam, np.array(scores)) > 0.99


def test_the_shared_messages_are_told_apart() -> None:
    if not DEV.exists():
        pytest.skip("../shared/data is not there")
    rows = load(DEV)
    for source, least in (("sms", 0.97), ("telegram_group", 0.93)):
        part = only(rows, (rows.sources == source) & (np.arange(len(rows.spam)) % 7 == 0))
        assert auc(part.spam, np.array(SpamModel.load().scores(part.texts))) > least
