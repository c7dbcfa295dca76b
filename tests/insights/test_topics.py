"""Topics: what a message is about, which terms belong together, and what a report says of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from insights import topic_report
from insights.bursts import History, rising
from insights.digest import LINK
from insights.report import Figure, Listing, Row, from_json, to_json
from insights.topic_report import Offer, Talk, Up, report, today, typical, with_today
from insights.topics import MOST_TERMS, Message, fold, plain, terms_of, topics
from knowledge.words import Words


@cache
def words() -> Words:
    made = Words()
    made.load()
    return made


def terms(text: str) -> list[str]:
    return terms_of(words().cut(plain(text)), words().rarity)


def rarity(word: str) -> float:
    return 11.0


def said(*lines: tuple[int, str]) -> list[Message]:
    """(who, terms with blanks between), a minute apart."""
    return [
        Message(who, 60.0 * number, 0.5, f"t:{number}", tuple(text.split()))
        for number, (who, text) in enumerate(lines, 1)
    ]


# Terms


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("考研英语的资料在哪里分享呀", ["考研", "英语", "资料", "分享"]),
        ("优惠券怎么用不了", ["优惠券"]),
        ("看这个 https://pan.example.com/s/1 @张三 [微笑] 作业", ["作业"]),
        ("哈哈哈哈 666 hahaha 好的 收到", []),
        ("订单 20261105001 wxid_abc12345 第三章 3月5号", ["订单"]),
        ("今天 昨天 大家 觉得 什么时候", []),
        ("直播回放又没声音，这样拖真的很不满意", ["直播", "回放", "没声音", "不满意"]),
        ("课程不太满意，不能登录", ["课程", "不满意", "不能登录"]),
        ("满不满意，有没有作业", ["满意", "作业"]),
        ("", []),
        ("🙂🙂🙂", []),
        ("\u3000\n\t。。。", []),
    ],
)
def test_terms_are_what_a_message_is_about(text: str, found: list[str]) -> None:
    assert terms(text) == found


def test_a_message_has_a_dozen_terms_at_most_each_once_and_without_blanks() -> None:
    many = [f"词汇{chr(0x4E00 + number)}" for number in range(40)]
    assert terms_of(many) == many[:MOST_TERMS]
    assert terms_of(["读书会", "读书会", "读书"]) == ["读书会"]
    assert terms_of(["new york"]) == ["new_york"]


def test_a_text_is_plain_without_links_emoticons_and_names() -> None:
    assert plain("去 www.example.com 看[破涕为笑] @小王 作业").split() == ["去", "看", "作业"]


@pytest.mark.parametrize("unit", ["1", "a-", "a.", "x" * 63 + ".", "www"])
def test_a_long_run_without_blanks_takes_no_longer_than_other_texts(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    began = time.process_time()
    LINK.sub(" ", text)
    plain(text)
    # Before its labels were bounded: 13 s for digits.
    assert time.process_time() - began < 3.0


# Topics


def test_terms_that_stand_together_are_one_topic_named_in_their_order() -> None:
    lines = [(who, "直播 卡顿 回放") for who in range(5)]
    lines += [(who, "作业 提交") for who in range(10, 14)]
    lines += [(20 + number, f"闲话{number}") for number in range(10)]
    first, second = topics(said(*lines), rarity)
    assert first.label == "直播卡顿回放"
    assert (first.people, first.turns) == (5, 5)
    assert second.label == "作业提交"


def test_one_member_who_repeats_and_two_who_agree_make_no_topic() -> None:
    lines = [(1, "拼车 位置")] * 30 + [(2, "拼车 位置"), (3, "天气")]
    assert topics(said(*lines), rarity) == []
    assert topics([], rarity) == []


def test_what_the_place_is_for_is_no_topic_unless_it_rises() -> None:
    lines = [(number % 9, "英语") for number in range(30)]
    lines += [(number % 9, f"话{number}") for number in range(30)]
    assert topics(said(*lines), rarity) == []
    (topic,) = topics(said(*lines), rarity, always={"英语"})
    assert topic.label == "英语"


def test_a_topic_is_not_named_by_the_opposite_of_what_was_said() -> None:
    lines = [(who, " ".join(terms("直播又没声音，很不满意"))) for who in range(6)]
    lines += [(20 + number, f"闲话{number}") for number in range(12)]
    for topic in topics(said(*lines), rarity):
        assert not {"声音", "满意"} & set(topic.terms)
        assert "没声音" in topic.label
        assert "声音满意" not in topic.label


def test_words_far_apart_are_named_with_a_blank() -> None:
    lines = [(who, f"退款 填充{who} 课程") for who in range(6)]
    lines += [(20 + number, f"闲话{number}") for number in range(12)]
    (topic,) = topics(said(*lines), rarity)
    assert topic.label == "退款 课程"


def test_planted_topics_are_told_apart() -> None:
    """Eight topics of four words each, in noise: pairs of words joined rightly."""
    rng = np.random.default_rng(7)
    planted = [[f"题{topic}词{word}" for word in "甲乙丙丁"] for topic in range(8)]
    messages = []
    for _number in range(1500):
        noise = [f"杂{rng.integers(400)}" for _ in range(2)]
        topic = planted[int(rng.integers(8))]
        own = list(rng.choice(topic, 2, replace=False)) if rng.random() < 0.4 else []
        messages.append((int(rng.integers(200)), " ".join([*own, *noise])))
    found = topics(said(*messages), rarity, most=100)
    named = {term: number for number, one in enumerate(found) for term in one.terms}
    pairs = {
        (one, other)
        for one in named
        for other in named
        if one < other and named[one] == named[other]
    }
    truth = {(a, b) for group in planted for a in group for b in group if a < b}
    precision, recall = len(pairs & truth) / len(pairs), len(pairs & truth) / len(truth)
    print(f"topics: pairs of words joined, precision {precision:.2f}, recall {recall:.2f}")
    assert precision >= 0.9
    assert recall >= 0.9


# Counting


def test_days_are_counted_in_turns_and_in_people() -> None:
    lines = [
        (("", "g"), 5, 1, 0.5, ["退款", "课程"]),
        (("", "g"), 5, 1, -0.5, ["退款"]),
        (("", "private"), 5, 2, 0.25, ["退款"]),
        (("", "g"), 6, 1, 0.0, []),
    ]
    rows = fold(lines, lambda scope: 10)
    assert ("", 5, "退款", 3, 2, 0.25) in rows
    assert ("g", 5, "退款", 2, 1, 0.0) in rows
    assert ("", 5, "", 3, 2, 0.25) in rows
    assert ("g", 6, "", 1, 1, 0.0) in rows
    assert rows == sorted(rows, key=lambda row: row[:3])
    assert fold([], lambda scope: 10) == []


def test_of_too_many_terms_those_of_most_people_are_kept() -> None:
    lines = [(("", "g"), 5, who, 0.0, ["众", f"独{who}"]) for who in range(5)]
    rows = fold(lines, lambda scope: 1 if scope == "g" else 3)
    assert [row[2] for row in rows if row[0] == "g"] == ["", "众"]
    assert len([row for row in rows if row[0] == ""]) == 4


# The report


def talk(messages: Sequence[Message], ups: dict[str, Up] | None = None) -> Talk:
    return Talk("qun:1", messages, ups or {}, 0.0, 604_800.0)


def up(term: str, *, sure: bool, factor: float = 4.0) -> Up:
    return Up(term, 5, 1.25, factor, 2.0, 8.0, 0.001, 0.0, 604_800.0, sure)


def figure(row: Row, name: str) -> Figure:
    return next(one for one in row.figures if one.name == name)


def rows(lists: Sequence[Listing], name: str) -> tuple[Row, ...]:
    return next(one.rows for one in lists if one.name == name)


LINES = [(who, "退款 流程") for who in range(5)] + [(9 + n, f"闲话{n}") for n in range(8)]


def test_a_report_points_to_messages_items_and_questions_and_quotes_nobody() -> None:
    offers = [
        Offer("item:a", "退款 指南", 1),
        Offer("item:b", "摄影", 1),
        Offer("gap:7", "退款流程要多久", 9),
    ]
    made, bursts = report(talk(said(*LINES), {"退款": up("退款", sure=True)}), offers, rarity, 1e6)
    (row,) = rows(made.lists, "topics_rising")
    assert row.label == "退款流程"
    assert set(row.details) == {"t:5", "t:4", "t:3", "item:a", "gap:7"}
    assert figure(row, "topic_people").value == 5
    change = figure(row, "topic_change")
    assert (change.value, change.low, change.high, change.of) == (4.0, 2.0, 8.0, "退款")
    assert figure(row, "topic_chance").value == 0.001
    assert figure(row, "topic_mood").value == 0.5
    assert [one.terms for one in bursts] == [("退款",)]
    assert from_json(to_json(made)) == made


def test_what_nobody_used_before_has_no_factor_but_says_so() -> None:
    new = up("退款", sure=True, factor=math.nan)
    made, _ = report(talk(said(*LINES), {"退款": new}), [], rarity, 1e6)
    change = figure(rows(made.lists, "topics")[0], "topic_change")
    assert (change.value, change.low, change.note) == (None, None, "topic_new")
    assert "NaN" not in to_json(made)


def test_the_mood_of_a_topic_is_that_of_its_people_not_of_who_says_most() -> None:
    messages = [Message(1, float(n), -1.0, f"t:{n}", ("退款", f"第{n}")) for n in range(50)]
    messages += [Message(who, 60.0, 0.5, f"t:{who}", ("退款",)) for who in range(100, 104)]
    made, _ = report(talk(messages, {"退款": up("退款", sure=True)}), [], rarity, 1e6)
    mood = figure(rows(made.lists, "topics")[0], "topic_mood")
    assert mood.value == pytest.approx(0.2)
    assert (mood.n, mood.people) == (54, 5)


def test_every_name_is_one_that_has_its_texts() -> None:
    many, _ = report(talk(said(*LINES), {"退款": up("退款", sure=True)}), [], rarity, 1e6)
    few, _ = report(talk([]), [], rarity, 1e6, [("小鹅通", 5, 1e6)])
    young, _ = report(Talk("", [], {}, 0.0, 1.0, young=True), [], rarity, 1e6)
    listing, _ = today(talk(said(*LINES), {"退款": up("退款", sure=True)}), [], rarity)
    own = typical("community:1", said(*LINES), {"退款": 5}, 50, rarity, 0.0, 1.0, 1e6)
    lists = [one for made in (many, few, young, own) for one in made.lists] + [listing]
    figures = [one for made in (many, few) for one in made.figures]
    figures += [one for listing in lists for row in listing.rows for one in row.figures]
    assert {one.name for one in lists} == topic_report.LISTS
    assert {one.name for one in figures} == topic_report.FIGURES
    assert {one.name for one in many.charts} == topic_report.CHARTS
    notes = {one.note for one in lists} | {one.note for one in figures}
    assert notes - {""} <= topic_report.NOTES


def test_todays_list_takes_the_place_of_todays_earlier_one() -> None:
    made, _ = report(talk(said(*LINES)), [], rarity, 1e6)
    listing, _ = today(talk(said(*LINES)), [], rarity)
    once = with_today(made, talk([]), listing, 1e6)
    twice = with_today(once, talk([]), Listing(name="topics_today"), 1e6)
    assert [one.name for one in once.lists] == ["topics", "topics_rising", "topics_today"]
    assert rows(once.lists, "topics_today")
    assert not rows(twice.lists, "topics_today")
    assert rows(twice.lists, "topics") == rows(made.lists, "topics")
    assert with_today(None, talk([]), listing, 1e6).lists == (listing,)


def test_a_community_is_told_by_what_it_says_more_than_others() -> None:
    lines = [(who, "摄影 镜头") for who in range(5)] + [(who, "作业") for who in range(5)]
    lines += [(who, f"闲话{who}") for who in range(5, 30)]
    own = typical(
        "community:1", said(*lines), {"摄影": 6, "镜头": 5, "作业": 500}, 600, rarity, 0, 1, 1e6
    )
    first, second = rows(own.lists, "topics_typical")
    assert first.label == "摄影镜头"
    assert second.label == "作业"
    lift, common = figure(first, "topic_typical").value, figure(second, "topic_typical").value
    assert lift is not None
    assert common is not None
    assert lift > 10 > 1 > common


def test_a_history_without_terms_says_nothing() -> None:
    none = np.zeros((0, 28))
    history = History([], none, np.zeros(28), np.zeros(28), np.zeros(28), none.astype(np.float32))
    assert not len(history.rise_of_day().q)
    assert not len(rising(np.zeros(0), 5.0, none, np.ones(28), tests=0).q)
