"""A day of a group: what several spoke of, what nobody answered, who was thanked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from insights.digest import Counts, Day, Turn, is_question, summed, thanks

NOW = 100_000.0
COUNTS = Counts(messages=20, members=5)


def cut(text: str) -> list[str]:
    """Words as blanks and marks part them: this room needs no dictionary to be tested."""
    for mark in "，。？！?,":
        text = text.replace(mark, " ")
    return text.split()


def rarity(word: str) -> float:
    return 5.0 if word in ("今天", "大家", "好") else 11.0


def said(*lines: tuple[int, str] | tuple[int, str, int]) -> list[Turn]:
    """(who, text) or (who, text, quotes the n-th), a minute apart."""
    return [
        Turn(
            number,
            line[0],
            f"人{line[0]}",
            60.0 * number,
            line[1],
            line[2] if len(line) == 3 else None,
        )
        for number, line in enumerate(lines, 1)
    ]


def day(turns: Sequence[Turn], counts: Counts = COUNTS) -> Day:
    found = summed(turns, counts, cut, rarity, NOW)
    assert found is not None
    return found


def test_a_quiet_day_has_no_digest() -> None:
    turns = said((1, "在吗"), (2, "在"))
    assert summed(turns, Counts(4, 2), cut, rarity, NOW) is None
    empty = day([], Counts(9, 2))
    assert (empty.topics, empty.open, empty.best) == ((), (), ())


def test_a_topic_is_what_several_people_spoke_of() -> None:
    turns = said(
        (1, "读书会 周六 开始"),
        (2, "读书会 我 来"),
        (3, "读书会 在 图书馆 周六"),
        (1, "拼车 拼车 拼车"),
        (1, "拼车 还有 位置"),
        (4, "今天 大家 好"),
        (5, "今天 大家 好"),
    )
    (topic,) = day(turns).topics
    assert topic.words == ("读书会", "周六")
    assert (topic.turns, topic.people) == (3, 3)
    assert topic.example == "读书会 在 图书馆 周六"


def test_links_and_words_that_only_ask_or_count_are_no_topic() -> None:
    turns = said(
        (1, "我 把 文件 发 群里 https://pan.example.com/s/1"),
        (2, "打不开 https://pan.example.com/s/1 什么时候 第三 章"),
        (3, "什么时候 开始 第三 题"),
        (4, "怎么样 第三 pan．example．com"),
    )
    assert day(turns).topics == ()
    linked = said((1, "读书会 资料 https://a.example.com/x 在 这里"), (2, "读书会 谢谢"))
    (topic,) = day(linked).topics
    assert (topic.words[0], topic.example) == ("读书会", "读书会 资料 在 这里")


def test_what_everybody_says_every_day_is_no_topic() -> None:
    turns = said(*[(number % 7, f"签到 {number}") for number in range(60)])
    assert day(turns).topics == ()


def test_a_question_stays_open_when_nobody_turned_to_it() -> None:
    turns = said(
        (1, "报销流程怎么走？"),
        (1, "在线等"),
        (2, "周六几点集合？"),
        (3, "两点，老地方"),
        (4, "有没有人拼车？"),
    )
    assert [(one.name, one.text) for one in day(turns).open] == [
        ("人4", "有没有人拼车？"),
        ("人1", "报销流程怎么走？"),
    ]


def test_a_question_that_was_quoted_or_thanked_for_is_answered() -> None:
    quoted = said((1, "报销流程怎么走？"), (1, "在线等"), (2, "哪里领书？"), (3, "找财务小张", 1))
    assert [one.name for one in day(quoted).open] == ["人2"]
    content = said((1, "报销流程怎么走？"), (1, "找到了，谢谢"), (2, "哪里领书？"))
    assert [one.name for one in day(content).open] == ["人2"]


def test_a_question_of_the_last_minutes_and_one_to_the_bot_are_not_open() -> None:
    turns = [
        Turn(1, 1, "人1", NOW - 60, "报销流程怎么走？"),
        Turn(2, 2, "人2", NOW - 9000, "怎么退款？", to_bot=True),
    ]
    assert day(turns).open == ()


def test_the_best_answer_is_what_somebody_thanked_for_or_quoted() -> None:
    turns = said(
        (1, "报销流程怎么走？"),
        (2, "先填表，再找财务小张签字", 1),
        (2, "嗯", 1),
        (1, "谢谢，懂了", 3),
        (3, "今天天气不错"),
        (4, "我也来说一句"),
        (5, "谢谢大家"),
    )
    (best,) = day(turns).best
    assert (best.name, best.text) == ("人2", "先填表，再找财务小张签字")


def test_nobody_praises_themselves() -> None:
    turns = said((1, "先填表，再找财务小张签字"), (1, "谢谢我自己", 1), (1, "真有用", 1))
    assert day(turns).best == ()


def test_numbers_accounts_and_links_are_not_shown() -> None:
    turns = said(
        (1, "资料 怎么领？"),
        (2, "加微信 abc12345 或打 13800138000 看 http://evil.example/a", 1),
        (1, "谢谢，有用", 2),
        (3, "哪里有 13800138000 的 资料？"),
    )
    found = day(turns)
    shown = "".join(one.text for one in (*found.best, *found.open))
    shown += "".join(one.example for one in found.topics)
    assert shown
    for secret in ("abc12345", "13800138000", "http://"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("怎么报名", True),
        ("有人知道吗", True),
        ("几点？", False),
        ("好的", False),
        ("周六去？", True),
    ],
)
def test_what_asks(text: str, asks: bool) -> None:
    assert is_question(text) is asks


@pytest.mark.parametrize(
    ("text", "content"),
    [("谢谢老师", True), ("懂了", True), ("没用", False), ("谢谢？", False), ("不用谢", False)],
)
def test_what_thanks(text: str, content: bool) -> None:
    assert thanks(text) is content


def test_ugly_lines_break_nothing() -> None:
    ugly = ["\u200b", "？" * 5000, "[微笑]" * 400, "a" * 9000, "\ud83d", "1. 2. 3.", "@所有人 "]
    turns = said(*[(number % 3, text) for number, text in enumerate(ugly * 3)])
    found = summed(turns, COUNTS, cut, lambda word: math.inf, NOW)
    assert found is not None
