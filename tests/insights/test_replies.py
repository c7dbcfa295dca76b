"""Whom a turn in a group answers: named, quoted, or the likeliest of those who spoke lately."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.replies import (
    FEATURES,
    MOST,
    NOBODY,
    SILENCES,
    STALE_S,
    WEIGHTS,
    WINDOW,
    Addressees,
    Turn,
    Who,
)

MINUTE = 60.0


def group(*said: tuple[str, str], every_s: float = 20.0) -> Addressees:
    """A group in which this was said, and the next is due."""
    here = Addressees()
    for number, (who, text) in enumerate(said):
        here.add(Turn(who, text, at=number * every_s, name=who))
    return here


def answer(here: Addressees, who: str, text: str, **fields: Any) -> list[tuple[Who, float]]:
    return here.add(Turn(who, text, **{"at": 100.0, **fields}))


def test_there_is_a_weight_for_everything_that_is_looked_at() -> None:
    assert len(WEIGHTS) == len(FEATURES)
    assert len(NOBODY) == len(SILENCES)


def test_who_is_mentioned_is_meant_however_long_ago_they_spoke() -> None:
    here = group(("mei", "几点开课"), *[(f"u{n % 5}", "哈哈") for n in range(20)])
    (who, weight), *_ = answer(here, "lin", "@mei 八点", mentions=("mei",), at=900.0)
    assert who == "mei"
    assert weight > 0.75


def test_a_name_typed_in_front_is_a_mention_and_a_word_is_none() -> None:
    here = group(("小美", "几点开课"), ("tao", "今天好热"))
    assert answer(here, "lin", "小美：八点")[0][0] == "小美"
    assert answer(here, "lin", "@小美 八点", at=110.0)[0][0] == "小美"
    # A name that nobody here has.
    assert {who for who, _ in answer(here, "lin", "注意: 八点", at=120.0)} <= {"小美", "tao"}


def test_a_quote_is_certain() -> None:
    here = group(("mei", "几点开课"), ("tao", "今天好热"))
    assert answer(here, "lin", "八点", quotes="mei", mentions=("tao",)) == [("mei", 1.0)]
    assert answer(here, "lin", "八点", quotes="somebody who left") == [("somebody who left", 1.0)]


def test_to_quote_oneself_answers_nobody_for_sure() -> None:
    here = group(("mei", "几点开课"))
    assert all(who != "lin" for who, _ in answer(here, "lin", "更正一下", quotes="lin"))


def test_two_who_are_talking_go_on_talking() -> None:
    here = group(("mei", "这个报错怎么解决"), ("tao", "午饭吃什么"))
    here.add(Turn("lin", "你贴一下日志", ("mei",), 50.0))
    here.add(Turn("tao", "想吃面", (), 60.0))
    (who, weight), *_ = here.add(Turn("mei", "好的，稍等", (), 70.0))
    assert who == "lin"
    assert weight > 0.5


def test_rare_words_tell_who_is_meant() -> None:
    here = group(("mei", "docker-compose 起不来"), ("tao", "周末爬山吗"), ("bo", "周末下雨"))
    assert answer(here, "lin", "升级 docker-compose 试试")[0][0] == "mei"


def test_a_call_to_all_and_a_first_word_answer_nobody() -> None:
    assert answer(Addressees(), "lin", "有人吗") == []
    here = group(("mei", "几点开课"))
    assert answer(here, "lin", "今晚八点开课", everyone=True) == []


def test_a_greeting_answers_less_than_an_answer_does() -> None:
    said = (("mei", "几点开课"), ("tao", "不知道"))
    greeting = sum(weight for _, weight in answer(group(*said), "lin", "大家早上好"))
    replying = sum(weight for _, weight in answer(group(*said), "lin", "晚上八点"))
    assert greeting < replying / 2


def test_what_is_hours_old_is_not_answered_unless_named() -> None:
    here = group(("mei", "几点开课"))
    assert answer(here, "lin", "八点", at=STALE_S + 60.0) == []
    late = answer(here, "tao", "@mei 八点", mentions=("mei",), at=STALE_S + 120.0)
    assert late[0][0] == "mei"


def test_a_clock_that_goes_backwards_breaks_nothing() -> None:
    here = group(("mei", "几点开课"), every_s=1e9)
    found = answer(here, "lin", "八点", at=-1e9)
    assert found[0][0] == "mei"


PEOPLE = st.sampled_from(["lin", "mei", "tao", "bo", "", 7, *string.ascii_lowercase])
turns = st.builds(
    Turn,
    sender=PEOPLE,
    text=st.text(max_size=30)
    | st.sampled_from(["@mei 好", "lin: ?", "谢谢", "大家好", "@", "：："]),
    mentions=st.lists(PEOPLE, max_size=20).map(tuple),
    at=st.floats(-1e12, 1e12),
    quotes=st.none() | PEOPLE,
    everyone=st.booleans(),
    name=st.text(max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(turns, max_size=60))
def test_whatever_is_said_nobody_answers_themselves_and_all_stays_bounded(
    said: list[Turn],
) -> None:
    here = Addressees()
    for turn in said:
        found = here.add(turn)
        people = [who for who, _ in found]
        weights = [weight for _, weight in found]
        assert turn.sender not in people
        assert len(set(people)) == len(people) <= 2 * MOST + 10
        assert weights == sorted(weights, reverse=True)
        assert all(0.0 <= weight <= 1.0 for weight in weights)
        assert sum(weights) <= 1.0 + 1e-9
        assert len(here._turns) <= WINDOW


def test_a_turn_costs_the_same_whatever_it_holds() -> None:
    """A megabyte of words, a thousand names: no more is kept than of any other."""
    here = group(("mei", "在吗"))
    huge = Turn("lin", "@x " * 400_000, tuple(f"u{n}" for n in range(5000)), 100.0)
    assert len(here.add(huge)) <= 2 * MOST + 10
    assert len(here._turns[-1].words) < 500


@pytest.mark.parametrize("text", ["", " ", "\u202e", "\ud800", "@", "@:", "？" * 500])
def test_no_text_is_too_odd(text: str) -> None:
    here = group(("mei", "几点开课"))
    assert len(answer(here, "lin", text)) <= 1
