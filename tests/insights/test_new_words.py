"""New words: what a dictionary cuts apart and people keep together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from insights.new_words import NewWord, new_words
from knowledge.words import Words

PLANTED = ("鹅圈子", "卷卷班", "芥末堆", "闪退", "小灯塔", "肝作业")
LINES = (
    "{}怎么登录不上",
    "请问{}在哪里报名",
    "我昨天用了{}感觉还行",
    "{}的回放有吗",
    "有人试过{}没有",
    "推荐大家看看{}",
    "这个{}又出问题了",
    "老师说{}下周更新",
    "{}",
    "因为{}所以晚了",
    "今晚一起{}吧",
    "为什么{}这么慢啊",
)
OTHERS = (
    "今天的作业怎么提交",
    "老师讲得很好，学到了很多",
    "晚上有没有直播课",
    "请问优惠券怎么用不了",
    "我不知道在哪里看回放",
    "周末去图书馆一起学习吧",
    "这道题太难了，看不懂",
    "谢谢老师的分享",
    "报名已经截止了吗",
    "大家早上好",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="module")
def words(cache: Path) -> Words:
    made = Words()
    made.load(cache)
    return made


def found_in(words: Words, said: Sequence[tuple[int, str]]) -> list[NewWord]:
    return new_words(
        said, lambda text: words.split(words.clean(text)), lambda word: words.rarity(word) < 21
    )


def talk(seed: int, uses: int = 12) -> list[tuple[int, str]]:
    """Each planted word `uses` times by different members, in six times as much other talk."""
    rng = random.Random(seed)
    said = [
        (rng.randrange(60), rng.choice(LINES).format(word)) for word in PLANTED for _ in range(uses)
    ]
    said += [
        (rng.randrange(60), rng.choice(OTHERS) + rng.choice(("", "呀", "，" + rng.choice(OTHERS))))
        for _ in range(6 * len(said))
    ]
    rng.shuffle(said)
    return said


def test_planted_words_are_found_and_little_else(words: Words) -> None:
    assert all(len(words.split(word)) > 1 for word in PLANTED)
    hits = false = 0
    for seed in range(5):
        found = {one.word for one in found_in(words, talk(seed))}
        hits += len(found & set(PLANTED))
        false += len(found - set(PLANTED))
    precision, recall = hits / max(hits + false, 1), hits / (5 * len(PLANTED))
    print(f"new words: precision {precision:.2f}, recall {recall:.2f}")
    assert recall >= 0.8
    assert precision >= 0.85


def test_one_member_who_repeats_a_name_coins_no_word(words: Words) -> None:
    said = [(1, line.format("卷卷班")) for line in LINES] * 3
    said += [(2, "卷卷班"), *((n, line) for n, line in enumerate(OTHERS))]
    assert "卷卷班" not in {one.word for one in found_in(words, said)}


def test_a_word_that_was_learned_is_none_any_more(cache: Path) -> None:
    taught = Words()
    taught.load(cache)
    taught.add_words(PLANTED)
    assert not {one.word for one in found_in(taught, talk(1))} & set(PLANTED)


def test_a_part_of_a_word_is_no_word(words: Words) -> None:
    assert "鹅圈" not in {one.word for one in found_in(words, talk(2, uses=40))}


def test_nothing_is_found_in_nothing(words: Words) -> None:
    assert found_in(words, []) == []
    assert found_in(words, [(1, ""), (2, "🙂"), (3, "ok"), (4, "https://a.example.com")]) == []
    assert found_in(words, [(n, line) for n, line in enumerate(OTHERS * 20)]) == []
