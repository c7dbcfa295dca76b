"""SnowNLP in the place of our model: the same shape, no fuss about strange texts."""

from __future__ import annotations

from pathlib import Path

import pytest

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
