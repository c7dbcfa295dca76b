"""SnowNLP in the place of our model: the same shape, no fuss about strange texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.sentiment import Rows, snow
from insights.sentiment import SentimentModel


@pytest.fixture(scope="module")
def model() -> SentimentModel:
    return SentimentModel.load("snownlp")


def test_it_tells_praise_from_complaint(model: SentimentModel) -> None:
    good, bad = model.judge(["质量很好，很满意", "太差了，服务态度恶劣，再也不来"])
    assert good.positive > good.negative
    assert bad.negative > bad.positive
    assert model.name == "snownlp"


@pytest.mark.parametrize("odd", ["\ud800", "😀", "\x00", "1", "?", "a" * 5000])
def test_strange_texts_have_chances_too(model: SentimentModel, odd: str) -> None:
    (mood,) = model.judge([odd])
    assert 0.0 <= mood.negative + mood.positive <= 1.0 + 1e-9


def test_nothing_to_read_has_no_label(model: SentimentModel) -> None:
    assert [mood.label for mood in model.judge(["", " "])] == [None, None]
    assert model.judge([]) == []


def test_labels_teach_it_too_but_it_has_no_file(model: SentimentModel, tmp_path: Path) -> None:
    text = "第三组今晚集合"
    assert model.learn([(text, -1)]).judge([text])[0].label == -1
    with pytest.raises(ValueError, match="ours"):
        model.save(tmp_path / "snow.npz")


def test_the_bench_sets_it_beside_ours_on_some_rows_of_each_domain() -> None:
    texts = ["质量很好，很满意", "太差了，很失望", ""] * 2
    labels, domains = np.array([1, -1, 1] * 2), np.array(["a"] * 3 + ["b"] * 3)
    told = snow(Rows(texts, labels, domains), 2)
    assert told["n"] == 4
    assert told["accuracy"] == 1.0
    assert set(told["by_domain"]) == {"a", "b"}
    assert told["p50_ms"] <= told["p95_ms"]
