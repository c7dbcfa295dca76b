"""The spam model: what it finds, what it leaves alone, what it survives, what it learns.

All messages here are made up. The model is the shipped one: a retrained file has to pass too.
"""

from __future__ import annotations

import re
import string
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.spam import DRIFT, REASONS, SHIPPED, ModelFile, SpamModel
from insights.spam_alone import SHORT, alone
from insights.spam_flags import FLAGS, flagged
from insights.spam_text import BITS, MAX_CHARS, NAMES, read

MODEL = SpamModel.load()

ADVERTS = (
    "招兼职刷单，日结300元，在家可做，加微信abc88123",
    "低价代开发票，需要的加V：fp20993",
    "专业办理贷款，无抵押秒下款，详询电话13800138000",
    "棋牌平台充100送88，点击 www.qp8899.com 注册领取彩金",
    "收银行卡对公账户，高价回收，诚信经营，联系飞机@somebody",
)
CHAT = (
    "今天的课我听完了，第三节没太懂",
    "老师明天几点开始直播呀",
    "哈哈哈笑死我了",
    "周末有人一起去爬山吗",
    "谢谢，我回去再看看回放",
    "我觉得第二种写法更好理解",
    "好的",
    "晚安大家",
)
texts = st.text(max_size=60)
LETTERS = "今天课程加微信兼职日结好的老师吗我们一起看书0123456789vVqQ ，。!"
chinese = st.text(alphabet=LETTERS, max_size=40)


def test_adverts_are_above_the_threshold_and_talk_is_below() -> None:
    assert all(score > MODEL.threshold for score in MODEL.scores(ADVERTS))
    assert all(score < MODEL.threshold for score in MODEL.scores(CHAT))
    assert 0.0 < MODEL.threshold <= MODEL.sure < 1.0


@pytest.mark.parametrize(
    "disguised",
    [
        "招兼职刷单,日结300元,在家可做,加薇信abc88123",
        "招 兼 职 刷 单 日 结 300 元 在 家 可 做 加 微 信 abc88123",
        "招*兼*职*刷*单，日*结300元，在家可做，加*V*信abc88123",
        "招兼职刷单，日结３００元，在家可做，加微信ａｂｃ８８１２３",
        "招兼職刷單，日結300元，在家可做，加微信abc88123",
        "招\u200b兼\u200b职\u200b刷单，日结③0⓪元，在家可做，加微\u200b信abc88123",
        "🔥招兼职🔥刷单🔥日结300元🔥在家可做🔥加微信abc88123",
    ],
    ids=["look-alike", "blanks", "stars", "wide", "traditional", "zero width", "emoji"],
)
def test_a_disguise_does_not_help(disguised: str) -> None:
    assert MODEL.scores([disguised])[0] > MODEL.threshold


@pytest.mark.parametrize(
    "empty", ["", " ", "\n\t", "\x00", "\u200b\ufeff", "😀😀😀", "。。。!!!", "❤️", "\x00" * 5000]
)
def test_without_a_letter_or_digit_nothing_is_spam(empty: str) -> None:
    assert MODEL.scores([empty]) == [0.0]
    assert MODEL.reasons(empty) == ()


def test_no_texts_have_no_scores() -> None:
    assert MODEL.scores([]) == []
    assert read([]).plain.shape == (0, len(NAMES))


@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_any_text_has_a_probability_and_known_reasons(text: str) -> None:
    (score,) = MODEL.scores([text])
    assert 0.0 <= score <= 1.0
    assert len(MODEL.reasons(text)) <= 3
    assert set(MODEL.reasons(text)) <= set(REASONS)


@pytest.mark.parametrize(
    "odd", ["\ud800", "a\udfffb加微信", "\U0010ffff", "\u1100" * 50, "ﷺ" * 300]
)
def test_broken_and_strange_characters_are_only_characters(odd: str) -> None:
    assert 0.0 <= MODEL.scores([odd])[0] <= 1.0


def test_a_huge_text_is_read_only_to_the_limit() -> None:
    begun = time.perf_counter()
    long = ("今天天气不错。" * 1000)[:MAX_CHARS]
    assert MODEL.scores([long + ADVERTS[0] * 50_000]) == MODEL.scores([long])
    assert time.perf_counter() - begun < 1.0


@given(batch=st.lists(chinese, min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_a_message_scores_the_same_alone_and_among_others(batch: list[str]) -> None:
    alone = [MODEL.scores([text])[0] for text in batch]
    assert MODEL.scores(batch) == pytest.approx(alone, abs=1e-9)


ugly = st.text(
    alphabet=st.one_of(
        st.sampled_from(f"{LETTERS}　\n\t\u200b\ufe0fxX０９①⑳Ⓐ𝐀薇賺們吗批約٣ \ud800ﷺ😀—〇々"),
        st.characters(),
    ),
    max_size=60,
)


@given(text=st.one_of(ugly, chinese, st.sampled_from([*ADVERTS, *CHAT])))
@settings(max_examples=250, deadline=None)
def test_one_message_is_read_just_as_in_a_batch(text: str) -> None:
    single, (rows, grams, plain, blank) = alone(text), read([text])
    if single is None:
        assert not text or max(text) > "\U0002ffff" or len(text) > SHORT // 18
        return
    assert single.rows.tolist() == rows.tolist()
    assert single.grams.tolist() == grams.tolist()
    assert single.plain.tolist() == plain.tolist()
    assert single.blank.tolist() == blank.tolist()


@given(text=st.one_of(ugly, st.lists(st.sampled_from(FLAGS), max_size=4).map(str)))
@settings(max_examples=150, deadline=None)
def test_flags_are_what_their_patterns_find(text: str) -> None:
    bare = re.sub(r"[\W_]", "", text)
    assert flagged(text, bare) == [
        float(re.search(pattern, bare if reading == "bare" else text) is not None)
        for _, reading, pattern in FLAGS
    ]


def test_one_message_takes_few_calls() -> None:
    """Work is counted, not timed: calls of Python and C for one message of thirty characters."""
    text = "请问第三章的作业是今天晚上交还是明天中午12点之前交呀"
    count = 0

    def call(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    MODEL.scores([text])
    sys.setprofile(call)
    try:
        MODEL.scores([text])
    finally:
        sys.setprofile(None)
    assert count < 150


def test_many_batches_keep_their_order() -> None:
    many = [*CHAT, *ADVERTS] * 90
    assert MODEL.scores(many)[-13:] == pytest.approx(MODEL.scores([*CHAT, *ADVERTS]), abs=1e-9)


def test_reasons_name_what_is_there() -> None:
    assert "contact" in MODEL.reasons("加微信abc88123")
    assert "link" in MODEL.reasons("看看 https://www.example.com/abc")
    assert "money" in MODEL.reasons("日结300元")
    assert "gamble" in MODEL.reasons("博彩平台")
    assert "disguise" in MODEL.reasons("Ｐｒｉｃｅ ｌｉｓｔ")
    assert MODEL.reasons("好的") == ()


def test_a_verdict_moves_texts_like_it_and_hardly_others() -> None:
    wrong = "求购二手相机，预算2000元，有的联系我"
    before = MODEL.scores([wrong, *CHAT, *ADVERTS])
    after = MODEL.learn([(wrong, False)] * 3).scores([wrong, *CHAT, *ADVERTS])
    assert after[0] < before[0]
    assert after[1:] == pytest.approx(before[1:], abs=0.1)
    assert MODEL.scores([wrong, *CHAT, *ADVERTS]) == before


def test_a_kind_of_advert_that_was_missed_is_learnt() -> None:
    missed = [f"{day}晚八点读书会，老地方见，带{n}本书" for n, day in enumerate("一二三四五六日")]
    before = MODEL.scores(missed)
    taught = MODEL.learn([(text, True) for text in missed[:5]])
    after = taught.scores(missed)
    assert all(new > old + 0.2 for new, old in zip(after, before, strict=True))
    assert all(score < taught.threshold for score in taught.scores(CHAT))


def test_learning_is_the_same_every_time_and_the_later_verdict_counts() -> None:
    labels = [(CHAT[0], True), (ADVERTS[0], False), (CHAT[0], False)]
    probes = [*CHAT, *ADVERTS]
    once = MODEL.learn(labels).scores(probes)
    assert MODEL.learn(labels).scores(probes) == once
    assert MODEL.learn(labels[1:]).scores(probes) == once
    assert MODEL.learn([]).scores(probes) == MODEL.scores(probes)
    assert MODEL.learn([("", True), ("😀", True)]).scores(probes) == MODEL.scores(probes)


@given(
    wrong=st.lists(
        st.one_of(
            st.sampled_from([(text, True) for text in CHAT[:3]]),
            st.sampled_from([(text, False) for text in ADVERTS[:2]]),
            st.tuples(texts, st.booleans()),
        ),
        max_size=5,
    )
)
@settings(max_examples=40, deadline=None)
def test_a_handful_of_wrong_verdicts_wrecks_nothing(wrong: list[tuple[str, bool]]) -> None:
    """Whatever five verdicts say: other adverts stay found, other talk stays left alone."""
    taught = MODEL.learn(wrong)
    judged = {text for text, _ in wrong}
    assert all(score > MODEL.threshold for score in taught.scores(ADVERTS[2:]))
    others = [text for text in CHAT[3:] if text not in judged]
    assert all(score < MODEL.threshold for score in taught.scores(others))
    if taught.taught is not None:
        assert float(np.abs(taught.taught).max()) <= DRIFT


def test_the_file_is_small_and_soon_there(tmp_path: Path) -> None:
    assert SHIPPED.stat().st_size <= 5_000_000
    assert MODEL.table.shape == (1 << BITS,)
    again = tmp_path / "spam.npz"
    MODEL.save(again)
    assert again.read_bytes() == SHIPPED.read_bytes()
    begun = time.perf_counter()
    SpamModel.load(again)
    assert time.perf_counter() - begun < 3.0


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "spam.npz"
    with pytest.raises(ModelFile, match="fit it again"):
        SpamModel.load(broken)
    broken.write_bytes(string.printable.encode())
    with pytest.raises(ModelFile):
        SpamModel.load(broken)
    np.savez_compressed(broken, names=np.array(["length"]), table=np.zeros(4))
    with pytest.raises(ModelFile):
        SpamModel.load(broken)
