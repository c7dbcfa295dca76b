"""The sentiment bench: its arithmetic is exact, its report has every key, the file comes back."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.fit_sentiment import PLAIN, VERSION, even, fit, fit_praise, hash_of, who_praises
from bench.sentiment import (
    CHAT,
    HELD,
    WRITTEN,
    ece,
    figures,
    joined,
    load,
    load_chat,
    macro_f1,
    means,
    measure,
    only,
    said,
)
from insights.sentiment import SHIPPED, SentimentModel

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[3] / "shared" / "data" / "sentiment"
GIVEN = {"n", "accuracy", "auc", "macro_f1", "ece", "accuracy_at_80"}
KINDS = {
    "pos": ("第{}节讲得真好", "很喜欢，买了{}个", "不错，推荐{}"),
    "neg": ("第{}节讲得太差", "不喜欢，退了{}个", "失望，浪费{}"),
    "neu": ("第{}节几点开始", "今天是{}号", "我在{}楼"),
}


def written(path: Path, domains: tuple[str, ...] = ("course", "elsewhere")) -> Path:
    """A file of two domains with only the columns that are needed; course has neutral rows."""
    with path.open("w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["text", "label", "domain"])
        for number, domain, label in itertools.product(range(30), domains, KINDS):
            if label != "neu" or domain == "course":
                lines.writerow([KINDS[label][number % 3].format(number), label, domain])
    return path


def test_figures_against_a_case_counted_by_hand() -> None:
    positive = np.array([True, True, False, False, True])
    told = figures(positive, np.array([0.95, 0.45, 0.55, 0.05, 0.85]))
    assert (told["accuracy"], told["n"]) == (0.6, 5)
    assert told["auc"] == round(5 / 6, 4)
    assert told["macro_f1"] == round((2 / 3 + 0.5) / 2, 4)
    assert told["accuracy_at_80"] == 0.75
    # Two at .55 are wrong, those at .85 and .95 right: (1.1 + .15 + .1) / 5.
    assert told["ece"] == 0.27


def test_certainty_that_is_earned_has_no_error() -> None:
    right = np.array([True] * 9 + [False])
    assert ece(right, np.full(10, 0.9)) == pytest.approx(0.0)
    assert ece(right, np.full(10, 1.0)) == pytest.approx(0.1)
    weights = np.array([1.0] * 9 + [9.0])
    assert ece(right, np.full(10, 0.5), weights) == pytest.approx(0.0)


def test_f1_is_the_mean_of_the_labels_that_are_there() -> None:
    assert macro_f1(np.array([1, 0, -1]), np.array([1, 0, -1])) == 1.0
    assert macro_f1(np.array([1, 1, 0]), np.array([1, 1, 1])) == pytest.approx(0.4)


def test_means_are_over_domains_whatever_their_size() -> None:
    one = figures(np.array([True, False]), np.array([0.9, 0.1]))
    other = figures(np.array([True] * 10), np.array([0.1] * 10))
    assert means({"one": one, "other": other})["accuracy"] == 0.5
    assert means({"one": one, "other": other})["auc"] == 1.0
    assert other["auc"] is None


def test_every_domain_and_in_it_both_answers_weigh_the_same() -> None:
    domains = np.array(["a"] * 6 + ["b"] * 2)
    answers = np.array([True] * 4 + [False] * 2 + [True, False])
    weights = even(domains, answers)
    sums = [weights[:4].sum(), weights[4:6].sum(), weights[6], weights[7]]
    assert sums == pytest.approx([2.0] * 4)


@pytest.mark.parametrize("path", [WRITTEN, HELD])
def test_our_own_sentences_are_read_whole(path: Path) -> None:
    rows = load_chat(path)
    assert len(rows.texts) == len(path.read_text("utf-8").splitlines()) - 1
    assert len(set(rows.texts)) == len(rows.texts)
    assert all(text.strip() == text != "" for text in rows.texts)
    assert set(rows.domains) == {CHAT}
    assert set(rows.labels) == {-1, 0, 1}


def test_plain_chat_is_asked_twice_and_leans_to_no_side(tmp_path: Path) -> None:
    path = tmp_path / "chat.tsv"
    path.write_text('label\ttext\nneu\t几点开始\nneu\t在哪里\npos\t"好\nneg\t差\n', "utf-8")
    rows = joined(load(written(tmp_path / "few.csv")), load_chat(path))
    assert rows.texts[-2] == '"好'
    asked = who_praises(rows)
    plain = asked.domains == PLAIN
    assert [rows.texts[row] for row in asked.rows[plain]] == ["几点开始", "在哪里"] * 2
    assert asked.answers[plain].tolist() == [True, True, False, False]
    totals = {
        (str(name), side): asked.weights[(asked.domains == name) & (asked.answers == side)].sum()
        for name in (PLAIN, CHAT)
        for side in (True, False)
    }
    assert len(set(np.round(list(totals.values()), 6))) == 1


def test_what_is_said_of_a_label_is_told_in_shares() -> None:
    rows = load_chat(HELD)
    told = said(rows, [int(label) for label in rows.labels])
    assert [told[name][name] for name in ("neg", "neu", "pos")] == [1.0] * 3
    silent = said(rows, [None] * len(rows.texts))["neu"]
    assert (silent["neg"], silent["neu"], silent["pos"]) == (0.0, 0.0, 0.0)


def test_the_command_prints_one_object_with_every_key(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.sentiment", "--snow-sample", "0", "--file"]
    command += [str(written(tmp_path / "few.csv"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    keys = (GIVEN - {"n"}) | {"p50_ms", "p95_ms", "batch_per_s", "by_domain", "three_class"}
    assert keys <= set(told)
    assert set(told["by_domain"]) == {"course", "elsewhere"}
    assert all(set(one) == GIVEN for one in told["by_domain"].values())
    assert set(told["three_class"]) == {"course"}
    assert set(told["chat"]) == {"neg", "neu", "pos"}
    assert "baselines" not in told


def test_a_file_without_sides_is_an_error(tmp_path: Path) -> None:
    rows = load(written(tmp_path / "few.csv"))
    with pytest.raises(ValueError, match="no rows"):
        measure(SentimentModel.load(), only(rows, rows.labels == 0))


def test_a_fitted_model_is_a_file_that_judges(tmp_path: Path) -> None:
    model, report = fit(load(written(tmp_path / "few.csv")))
    assert set(report["three_class"]) == {"course"}
    model.save(tmp_path / "own.npz")
    good, bad = SentimentModel.load("own", tmp_path / "own.npz").judge(
        ["第99节讲得真好", "第99节讲得太差"]
    )
    assert good.positive > good.negative
    assert bad.negative > bad.positive


def test_a_model_for_a_domain_left_out_knows_no_neutral(tmp_path: Path) -> None:
    rows = load(written(tmp_path / "few.csv"))
    (mood,) = fit_praise(only(rows, rows.domains != "elsewhere")).judge(["讲得真好"])
    assert mood.negative + mood.positive == pytest.approx(1.0, abs=1e-6)


def test_the_shipped_model_holds_on_dev() -> None:
    if not DATA.exists():
        pytest.skip("the shared data is not here")
    rows = load(DATA / "dev.csv")
    keep = np.zeros(len(rows.texts), dtype=bool)
    for name in np.unique(rows.domains):
        keep[np.flatnonzero(rows.domains == name)[:150]] = True
    told = measure(SentimentModel.load(), only(rows, keep))
    assert told["accuracy"] > 0.88
    assert told["auc"] > 0.91


@pytest.mark.nightly
def test_the_script_reproduces_the_shipped_file(tmp_path: Path) -> None:
    """About 25 s of a core."""
    if not DATA.exists():
        pytest.skip("the shared data is not here")
    model, _ = fit(joined(load(DATA / "train.csv.gz"), load_chat()))
    model.save(tmp_path / "again.npz")
    assert model.name.startswith(f"zhiqun-{VERSION}-")
    assert hash_of(tmp_path / "again.npz") == hash_of(SHIPPED)
