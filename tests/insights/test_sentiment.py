"""The sentiment model: what it hears, when it says nothing, what it survives, what it learns.

All messages here are made up. The model is the shipped one: a retrained file has to pass too.
"""

from __future__ import annotations

import re
import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.sentiment import HELD, WRITTEN, load_chat
from insights.sentiment import DRIFT, SHIPPED, ModelFile, SentimentModel, Weights
from insights.sentiment_faces import spelled
from insights.sentiment_text import BITS, MAX_CHARS, level, read

MODEL = SentimentModel.load()

GOOD = (
    "老师讲得真好，非常感谢",
    "这门课收获很大，推荐给大家",
    "太喜欢了，物流也很快",
    "今天好开心",
)
BAD = (
    "太差了，再也不会来了",
    "客服态度恶劣，太让人失望",
    "气死我了",
    "讲得太乱，完全听不懂，浪费时间",
)
CHAT = ("好的", "收到", "？", "1", "嗯嗯", "在吗", "几点上课", "明天见")
PLAIN = (
    "请问作业什么时候交？",
    "有人知道透视表怎么做吗？",
    "什么时候开课呀",
    "怎么退款",
    "不好意思来晚了",
    "想学Python，从哪门课开始",
)
texts = st.text(max_size=60)
chinese = st.text(alphabet="老师课程不没好差太喜欢讨厌[微笑]泪0123 ，。!😭👍\n", max_size=40)


def lean(text: str, model: SentimentModel = MODEL) -> float:
    """How positive a text is beside how negative it is, -1 to 1."""
    mood = model.judge([text])[0]
    return mood.positive - mood.negative


def test_praise_and_complaint_are_told_apart() -> None:
    assert [mood.label for mood in MODEL.judge(GOOD)] == [1] * len(GOOD)
    assert [mood.label for mood in MODEL.judge(BAD)] == [-1] * len(BAD)


def held(label: int) -> list[int | None]:
    """What is said of sentences of our own with this label, none of which was trained on."""
    rows = load_chat(HELD)
    texts = [text for text, one in zip(rows.texts, rows.labels, strict=True) if one == label]
    return [mood.label for mood in MODEL.judge(texts)]


def test_no_sentence_held_back_was_trained_on() -> None:
    assert not {level(text) for text in load_chat(HELD).texts} & {
        level(text) for text in load_chat(WRITTEN).texts
    }


def test_plain_questions_and_notices_are_hardly_ever_complaints() -> None:
    said = held(0)
    assert said.count(-1) <= 0.03 * len(said)
    assert said.count(1) <= 0.03 * len(said)
    assert said.count(0) >= 0.5 * len(said)


def test_complaints_and_praise_of_a_community_are_still_heard() -> None:
    bad, good = held(-1), held(1)
    assert bad.count(-1) >= 0.75 * len(bad)
    assert bad.count(1) == good.count(-1) == 0
    assert good.count(1) >= 0.5 * len(good)


@pytest.mark.parametrize("text", PLAIN)
def test_a_question_is_not_taken_for_a_mood(text: str) -> None:
    """The model before this one called each of them negative or positive."""
    assert MODEL.judge([text])[0].label in (None, 0)


@pytest.mark.parametrize("text", CHAT)
def test_everyday_chat_is_never_called_negative(text: str) -> None:
    assert MODEL.judge([text])[0].label in (None, 0, 1)


@pytest.mark.parametrize(
    ("plain", "denied"),
    [
        ("讲得好", "讲得不好"),
        ("我很喜欢", "我很不喜欢"),
        ("挺有用的", "没什么用"),
        ("老师很负责", "老师很不负责"),
        ("很满意", "很不满意"),
    ],
)
def test_a_negation_turns_praise(plain: str, denied: str) -> None:
    assert lean(plain) > 0.2
    assert lean(denied) < lean(plain) - 0.3


def test_a_denied_fault_is_less_of_one() -> None:
    assert lean("不差") > lean("差")


@pytest.mark.parametrize("face", ["[强]", "[玫瑰]", "[爱心]", "[呲牙]", "[鼓掌]", "👍", "❤️", "😊"])
def test_a_kind_face_lifts_a_message(face: str) -> None:
    assert lean(f"老师来了{face}") > lean("老师来了")


@pytest.mark.parametrize("face", ["[发怒]", "[流泪]", "[弱]", "[抓狂]", "[裂开]", "😡", "😭", "👎"])
def test_an_unkind_face_lowers_it(face: str) -> None:
    assert lean(f"老师来了{face}") < lean("老师来了")


def test_a_smile_does_not_make_a_complaint_praise() -> None:
    for smile in ("[微笑]", "[破涕为笑]", "[捂脸]", "[旺柴]", "🙂", "😂"):
        assert MODEL.judge([f"真是太差劲了，退款{smile}"])[0].label in (None, -1)


def test_a_face_is_itself_and_a_word() -> None:
    assert spelled("[流泪]").startswith("难过")
    assert len(spelled("[没有这个]")) == 1
    assert spelled("[微笑]") != spelled("[破涕为笑]")
    assert spelled("[这个名字太长不是表情]") == "[这个名字太长不是表情]"
    assert level("哈哈哈哈哈哈哈") == "哈哈哈"
    assert level(" ＯＫ\n\n好 ") == "ok 好"


@pytest.mark.parametrize("empty", ["", " ", "\n\t", "\u3000"])
def test_nothing_to_read_has_no_label_and_even_chances(empty: str) -> None:
    (mood,) = MODEL.judge([empty])
    assert mood.label is None
    assert mood.negative == mood.positive == pytest.approx(1 / 3)


def test_no_texts_have_no_moods() -> None:
    assert MODEL.judge([]) == []


def test_below_sure_nothing_is_said() -> None:
    many = [*GOOD, *BAD, *CHAT]
    for sure in (0.34, 0.6, 0.9):
        for mood in SentimentModel.load(sure=sure).judge(many):
            chances = {-1: mood.negative, 1: mood.positive, 0: 1 - mood.negative - mood.positive}
            best = max(chances.values())
            assert (mood.label is None) == (best < sure)
            assert mood.label is None or chances[mood.label] == pytest.approx(best)
    assert all(mood.label is None for mood in replace(MODEL, sure=1.1).judge(many))


@given(text=st.one_of(texts, chinese, st.text(st.characters(), max_size=30)))
@settings(max_examples=100, deadline=None)
def test_any_text_has_chances(text: str) -> None:
    (mood,) = MODEL.judge([text])
    assert 0.0 <= mood.negative <= 1.0
    assert 0.0 <= mood.positive <= 1.0
    assert mood.negative + mood.positive <= 1.0 + 1e-9
    assert mood.label in (None, -1, 0, 1)


@pytest.mark.parametrize(
    "odd", ["\ud800", "a\udfffb", "\U0010ffff", "\x00" * 50, "ﷺ" * 300, "[" * 3000, "[]" * 900]
)
def test_broken_and_strange_characters_are_only_characters(odd: str) -> None:
    assert 0.0 <= MODEL.judge([odd])[0].negative <= 1.0
    assert MODEL.learn([(odd, -1)]).judge([odd])


def test_a_huge_text_is_read_only_to_the_limit() -> None:
    long = ("今天天气不错。" * 1000)[:MAX_CHARS]
    assert MODEL.judge([long + BAD[0] * 50_000]) == MODEL.judge([long])


@given(batch=st.lists(st.one_of(chinese, texts), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_a_message_is_judged_the_same_alone_and_among_others(batch: list[str]) -> None:
    together = MODEL.log_odds(batch)
    for row, text in enumerate(batch):
        assert MODEL.log_odds([text])[0] == pytest.approx(together[row], abs=1e-9)


def test_many_batches_keep_their_order() -> None:
    many = [*GOOD, *BAD] * 100
    last, first = MODEL.judge(many)[-8:], MODEL.judge([*GOOD, *BAD])
    assert [mood.label for mood in last] == [mood.label for mood in first]


def test_every_gram_is_below_the_table_and_counted_once() -> None:
    reading = read(["好好好好", "", "好"])
    assert reading.counts.tolist() == [
        len(set(read([one]).grams)) for one in ("好好好好", "", "好")
    ]
    assert int(reading.grams.max()) < 1 << BITS


def test_a_label_moves_texts_like_it_and_hardly_others() -> None:
    wrong = "这个老师有毒，一节课笑了二十次"
    others = [*GOOD, *BAD]
    before = [lean(text) for text in others]
    taught = MODEL.learn([(wrong, 1)])
    assert lean(wrong, taught) > lean(wrong)
    assert taught.judge([wrong])[0].label == 1
    assert [lean(text, taught) for text in others] == pytest.approx(before, abs=0.15)
    assert [lean(text) for text in others] == before


@pytest.mark.parametrize("label", [-1, 0, 1])
def test_every_label_can_be_taught(label: int) -> None:
    text = "第三组的同学今晚八点集合"
    assert MODEL.learn([(text, label)]).judge([text])[0].label == label


def test_learning_is_the_same_every_time_and_the_later_label_counts() -> None:
    labels = [(CHAT[0], -1), (BAD[0], 0), (CHAT[0], 1)]
    probes = [*GOOD, *BAD, *CHAT]
    once = MODEL.learn(labels)
    assert MODEL.learn(labels).judge(probes) == once.judge(probes)
    assert MODEL.learn(labels[1:]).judge(probes) == once.judge(probes)
    assert MODEL.learn(labels).name == once.name != MODEL.name
    assert MODEL.learn([]) is MODEL
    assert MODEL.learn([("", 1), (" ", -1)]) is MODEL
    with pytest.raises(ValueError, match="-1, 0 or 1"):
        MODEL.learn([("好", 2)])


@given(
    wrong=st.lists(
        st.tuples(st.one_of(st.sampled_from([*GOOD[:2], *BAD[:2]]), texts), st.integers(-1, 1)),
        max_size=5,
    )
)
@settings(max_examples=30, deadline=None)
def test_a_handful_of_wrong_labels_wrecks_nothing(wrong: list[tuple[str, int]]) -> None:
    taught = MODEL.learn(wrong)
    for text in (*GOOD[2:], *BAD[2:]):
        side = 1 if text in GOOD else -1
        assert lean(text, taught) * side > 0
    if taught.taught is not None:
        assert float(np.abs(taught.taught.values).max()) <= DRIFT


def test_lessons_can_follow_lessons() -> None:
    first = MODEL.learn([("第三组集合", -1)])
    second = first.learn([("打卡打卡", 1)])
    assert lean("第三组集合", second) == pytest.approx(lean("第三组集合", first), abs=0.2)
    assert lean("打卡打卡", second) > lean("打卡打卡")


def test_the_file_is_small_and_saved_again_to_the_byte(tmp_path: Path) -> None:
    assert SHIPPED.stat().st_size <= 5_000_000
    assert re.fullmatch(r"zhiqun-\d+-[0-9a-f]{8}", MODEL.name)
    MODEL.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == SHIPPED.read_bytes()


def test_a_file_of_ones_own_keeps_what_was_learnt(tmp_path: Path) -> None:
    taught = MODEL.learn([("第三组集合", -1), ("打卡打卡", 1)])
    taught.save(tmp_path / "own.npz")
    own = SentimentModel.load("own", tmp_path / "own.npz")
    probes = [*GOOD, *BAD, "第三组集合", "打卡打卡"]
    assert own.judge(probes) == taught.judge(probes)
    assert own.name == taught.name


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "own.npz"
    with pytest.raises(ModelFile, match="fit it again"):
        SentimentModel.load("own", broken)
    with pytest.raises(ModelFile):
        SentimentModel.load("own", None)
    broken.write_bytes(string.printable.encode())
    with pytest.raises(ModelFile):
        SentimentModel.load("own", broken)
    np.savez_compressed(broken, format=np.array([1, BITS]), table=np.zeros(4))
    with pytest.raises(ModelFile):
        SentimentModel.load("own", broken)
    np.savez_compressed(broken, format=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelFile):
        SentimentModel.load("own", broken)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_damaged_file_is_refused(tmp_path: Path, at: float) -> None:
    whole = SHIPPED.read_bytes()
    half = tmp_path / "half.npz"
    half.write_bytes(whole[: int(len(whole) * at)])
    with pytest.raises(ModelFile):
        SentimentModel.load("own", half)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    assert isinstance(MODEL.base, Weights)
    bad = replace(MODEL.base, bias=np.array([np.nan, 0.0]))
    replace(MODEL, base=bad).save(tmp_path / "bad.npz")
    with pytest.raises(ModelFile, match="none"):
        SentimentModel.load("own", tmp_path / "bad.npz")
