"""Questions put together: those that one answer would serve, and no chains."""

from __future__ import annotations

import random
import time

from knowledge.clusters import clusters
from knowledge.words import Words


def together(words: Words, *texts: str) -> list[set[str]]:
    """The groups as texts, each asked once."""
    groups = clusters([(text, 1) for text in texts], words)
    return [{texts[index] for index in group} for group in groups]


def test_other_wordings_of_a_question_stand_together(words: Words) -> None:
    groups = together(
        words, "有夜校吗", "怎么加盟", "有没有夜校", "停车场在哪", "夜校有吗", "加盟怎么弄"
    )
    assert groups == [
        {"有夜校吗", "有没有夜校", "夜校有吗"},
        {"怎么加盟", "加盟怎么弄"},
        {"停车场在哪"},
    ]


def test_most_asked_first_among_groups_and_in_a_group(words: Words) -> None:
    samples = [("有夜校吗", 1), ("怎么加盟", 4), ("有没有夜校", 2), ("夜校有吗", 2)]
    assert clusters(samples, words) == [[2, 3, 0], [1]]


def test_equal_counts_keep_the_order_given(words: Words) -> None:
    samples = [("怎么加盟", 1), ("停车场在哪", 1), ("老板养猫吗", 1)]
    assert clusters(samples, words) == [[0], [1], [2]]


def test_a_chain_of_small_likenesses_joins_nothing(words: Words) -> None:
    chain = ["甲乙丙丁戊己", "乙丙丁戊己庚", "丙丁戊己庚辛", "丁戊己庚辛壬", "戊己庚辛壬癸"]
    for group in clusters([(text, 1) for text in chain], words, alike=0.5):
        assert max(group) - min(group) <= 2, "its ends must be alike as well"


def test_what_has_no_words_stands_alone_and_nothing_gives_nothing(words: Words) -> None:
    assert together(words, "？？", "😀", "") == [{"？？"}, {"😀"}, {""}]
    assert clusters([], words) == []
    assert clusters([("有夜校吗", 3)], words) == [[0]]


def test_a_group_is_never_larger_than_one_can_look_through(words: Words) -> None:
    groups = clusters([("有夜校吗", 1)] * 50, words, most=20)
    assert sorted(map(len, groups)) == [10, 20, 20]
    assert sorted(index for group in groups for index in group) == list(range(50))


def test_the_same_list_gives_the_same_groups_before_the_dictionary_too(words: Words) -> None:
    samples = [(text, 1) for text in ("有夜校吗", "夜校有吗", "怎么加盟", "加盟怎么弄")] * 3
    for known in (words, Words()):
        assert clusters(samples, known) == clusters(samples, known)
        found = [index for group in clusters(samples, known) for index in group]
        assert sorted(found) == list(range(12))


def test_a_thousand_gaps_take_less_than_a_second(words: Words) -> None:
    rng = random.Random(7)
    nouns = ["课程", "证书", "发票", "作业", "直播", "老师", "群", "优惠券", "账号", "密码", "退款"]
    verbs = [
        "怎么改",
        "在哪看",
        "多久到",
        "能不能换",
        "忘了怎么办",
        "打不开",
        "可以转让吗",
        "过期了吗",
    ]
    ends = ["", "啊", "呢", "急", "在线等", "老板", "今天", "上周", "手机上", "电脑上", "微信里"]
    samples = [
        (rng.choice(ends) + rng.choice(nouns) + rng.choice(verbs) + rng.choice(ends), 1)
        for _ in range(1000)
    ]
    started = time.thread_time()
    groups = clusters(samples, words)
    assert time.thread_time() - started < 1.0
    assert len(groups) < 1000
