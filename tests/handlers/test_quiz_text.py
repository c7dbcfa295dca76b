"""The written form of a quiz: what may stand in it, and how mistakes are named."""

from __future__ import annotations

import pytest

from handlers.quiz_text import (
    MAX_QUESTIONS,
    WHY,
    BadQuiz,
    asked,
    chosen,
    problems,
    read,
)
from handlers.texts import Texts
from store.quiz_rules import Question
from store.quizzes import NewQuiz, Prize

WRITTEN = """
Python 小测验
速度加分 40%
对象：tag:VIP
奖品 1: 100积分 + 券 早鸟
奖品2-3：50 积分
参与: 5积分

1. 列表用哪种括号？（20分 15秒）
A. ()
*B. []
C. {}
2、哪些是关键字？
　＊Ａ．if
B) then
* C：for
3. 下面输出什么
print(1)
  print(2)
答案：1 2 / 12
4. Python 的作者是谁？(20秒)
答案: Guido / 吉多/TCP/IP
"""


def faults(text: str) -> list[tuple[int, str]]:
    with pytest.raises(BadQuiz) as bad:
        read(text)
    return [(fault.line, fault.code) for fault in bad.value.faults]


def test_a_whole_quiz_is_read() -> None:
    quiz = read(WRITTEN)
    assert (quiz.title, quiz.speed_bonus, quiz.audience) == ("Python 小测验", 40, "tag:VIP")
    assert quiz.prizes == (
        Prize(1, 1, 100, "早鸟"),
        Prize(2, 3, 50),
        Prize(0, 0, 5),
    )
    single, multiple, code, author = quiz.questions
    assert single == Question("single", "列表用哪种括号？", ("()", "[]", "{}"), ("B",), 20, 15)
    assert multiple == Question("multiple", "哪些是关键字？", ("if", "then", "for"), ("A", "C"))
    assert (code.kind, code.text) == ("short", "下面输出什么\nprint(1)\n  print(2)")
    assert code.answers == ("1 2", "12")
    assert (author.answers, author.points, author.seconds) == (("Guido", "吉多", "TCP/IP"), 10, 20)


def test_a_question_reads_like_its_lines() -> None:
    assert asked(read(WRITTEN).questions[0]) == "列表用哪种括号？\nA. ()\nB. []\nC. {}"


def test_limits_for_every_question_stand_on_top() -> None:
    quiz = read("题\n每题 5分 40秒\n1. 一\n*A. 甲\nB. 乙\n2. 二（7分）\n答案：丙")
    assert [(one.points, one.seconds) for one in quiz.questions] == [(5, 40), (7, 40)]


def test_a_number_at_the_start_of_a_line_may_be_words() -> None:
    quiz = read("题\n1.2024年奥运会在哪\n答案：巴黎\n2. 圆周率是\n6.28 还是\n22/7\n答案：都不是")
    assert [one.text for one in quiz.questions] == ["2024年奥运会在哪", "圆周率是\n6.28 还是\n22/7"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", [(1, "title"), (1, "questions")]),
        ("题", [(1, "questions")]),
        ("1. 一\n*A. 甲\nB. 乙", [(1, "title")]),
        ("题\n1. 一", [(2, "neither")]),
        ("题\n1. 一\nA. 甲\nB. 乙", [(2, "star")]),
        ("题\n1. 一\n*A. 甲", [(2, "options")]),
        ("题\n1. 一\n*A. 甲\nC. 乙", [(4, "options")]),
        ("题\n1. 一\n*A. 甲\nB. 甲", [(2, "option")]),
        ("题\n1. 一\n*A.\nB. 甲", [(2, "option")]),
        ("题\n\n1. 一\n*A. 甲\nB. 乙\n3. 三\n答案：丁", [(6, "number")]),
        ("题\n1. 一\n答案：", [(2, "answer")]),
        ("题\n1. 一\n答案：" + "长" * 61, [(2, "answer")]),
        ("题\n1. 一\n*A. 甲\nB. 乙\n答案：甲", [(2, "both")]),
        ("题\n1. 一\n*A. 甲\nB. 乙\n\n多出来的一行", [(6, "stray")]),
        ("题\n乱\n1. 一\n答案：甲", [(2, "stray")]),
        ("题\n1. 一（0分）\n答案：甲", [(2, "points")]),
        ("题\n1. 一（4秒）\n答案：甲", [(2, "seconds")]),
        ("题\n1. 一（999999秒）\n答案：甲", [(2, "seconds")]),
        ("题\n速度加分 101%\n1. 一\n答案：甲", [(2, "bonus")]),
        ("题\n对象：什么人都行\n1. 一\n答案：甲", [(2, "audience")]),
        ("题\n奖品 1: 很多\n1. 一\n答案：甲", [(2, "prize")]),
        ("题\n奖品 1: 0积分\n1. 一\n答案：甲", [(2, "prize")]),
        ("题\n奖品 0: 5积分\n1. 一\n答案：甲", [(2, "places")]),
        ("题\n奖品 3-1: 5积分\n1. 一\n答案：甲", [(2, "places")]),
        ("题\n奖品 1-3: 9积分\n奖品 3: 5积分\n1. 一\n答案：甲", [(3, "places")]),
        ("题\n1. " + "问" * 501 + "\n答案：甲", [(2, "question")]),
        ("题\x07\n1. 一\n答案：甲", [(1, "title")]),
        ("题\n1. 一\x00\n答案：甲", [(2, "question")]),
        ("长" * 41 + "\n1. 一\n答案：甲", [(1, "title")]),
    ],
)
def test_mistakes_name_their_line(text: str, wrong: list[tuple[int, str]]) -> None:
    assert faults(text) == wrong


def test_every_mistake_is_named_at_once() -> None:
    text = "题\n奖品 1: 甲\n1. 一\nA. 甲\nB. 乙\n2. 二"
    assert faults(text) == [(2, "prize"), (3, "star"), (6, "neither")]


def test_a_mistake_says_what_to_write() -> None:
    with pytest.raises(BadQuiz, match=r"line 2: no right option: put \* before each right one"):
        read("题\n1. 一\nA. 甲\nB. 乙")


def test_the_chat_has_a_sentence_for_every_mistake() -> None:
    texts = Texts.load()
    assert all(texts(f"quiz.fault_{code}") for code in WHY)


def test_fifty_questions_are_the_most() -> None:
    lines = [f"{n}. 问\n答案：答" for n in range(1, MAX_QUESTIONS + 1)]
    assert len(read("\n".join(("题", *lines))).questions) == MAX_QUESTIONS
    assert faults("\n".join(("题", *lines, "51. 问\n答案：答"))) == [(102, "questions")]


def test_what_comes_as_json_meets_the_same_limits() -> None:
    odd = NewQuiz(
        title="a\nb",
        questions=(
            Question("single", "问", ("甲", "乙"), ("A", "B")),
            Question("multiple", "问", ("甲", "乙"), ("C",)),
            Question("short", "问", (), ("…",)),
        ),
    )
    assert list(problems(odd)) == [
        (("title", 0), "title"),
        (("questions", 0), "star"),
        (("questions", 1), "star"),
    ]
    assert list(
        problems(NewQuiz(title="题", questions=(Question("short", "问", (), (" ",)),)))
    ) == [(("questions", 0), "answer")]


@pytest.mark.parametrize(
    ("typed", "letters"),
    [
        ("A", "A"),
        ("ca", "AC"),
        ("a,c", "AC"),
        ("Ａ、Ｃ。", "AC"),
        ("２", "B"),
        ("1 3", "AC"),
        ("选 b", "B"),
        ("A和C", "AC"),
        ("AA", "A"),
        ("H", "H"),
        ("I", None),
        ("9", None),
        ("好", None),
        ("", None),
        ("A" * 40, None),
        ("怎么退款", None),
    ],
)
def test_choices_are_typed_in_many_ways(typed: str, letters: str | None) -> None:
    assert chosen(typed) == letters
