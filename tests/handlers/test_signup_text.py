"""How sign-up chains are written, and what of a pasted one is somebody's own wish."""

from __future__ import annotations

from datetime import datetime

import pytest

from handlers.campaign_when import BadTime
from handlers.context import SHANGHAI
from handlers.signup_text import (
    Opened,
    names_list,
    own_line,
    plus_with_note,
    read_chain,
    read_opening,
)

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=SHANGHAI)
"""A Saturday."""


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


@pytest.mark.parametrize(
    ("typed", "opened"),
    [
        ("周六读书会", Opened("周六读书会")),
        ("周六读书会 20人", Opened("周六读书会", 20)),
        ("周六读书会（限20人）", Opened("周六读书会", 20)),
        ("读书会 20人 到 周五 18:00", Opened("读书会", 20, at("2026-11-27T18:00"))),
        ("读书会 到 周五 18:00 20人", Opened("读书会", 20, at("2026-11-27T18:00"))),
        ("春游 截止 11-25 12:00", Opened("春游", None, at("2026-11-25T12:00"))),
        ("春游 到 周五", Opened("春游", None, at("2026-11-27T23:59"))),
        ("读书 3人 明晚8点截止", Opened("读书", 3, at("2026-11-22T20:00"))),
        ("读书会 3人 周六 18点截止", Opened("读书会", 3, at("2026-11-21T18:00"))),
        ("读书 明晚8点前 三人", Opened("读书", 3, at("2026-11-22T20:00"))),
        ("读书 限十二人", Opened("读书", 12)),
        ("三人行读书会", Opened("三人行读书会")),
        ("饭前 散步", Opened("饭前 散步")),
        ("从北京到上海", Opened("从北京到上海")),
        ("2026 年会 2026人", Opened("2026 年会 2026人")),
        ("20人", Opened("20人")),
        ("！！", None),
    ],
)
def test_what_opens_a_list(typed: str, opened: Opened | None) -> None:
    assert read_opening(typed, NOW) == opened


@pytest.mark.parametrize(
    "typed",
    [
        "春游 到 昨天 18:00",
        "春游 到 11-31 10:00",
        "春游 到 今天 9:00",
        "团购 到 猪年",
        "读书 昨天8点截止",
    ],
)
def test_an_end_that_cannot_be_is_refused(typed: str) -> None:
    with pytest.raises(BadTime):
        read_opening(typed, NOW)


@pytest.mark.parametrize(
    ("said", "is_one"),
    [
        ("接龙 周六读书会", True),
        ("接龙+1", True),
        ("#接龙\n春游\n1. 小林", True),
        ("退出接龙", True),
        ("接龙", False),
        ("接龙真好玩", False),
        ("接龙结束", True),
        ("接龙结束了", False),
        ("我们来接龙吧", False),
        ("+1", False),
    ],
)
def test_what_speaks_of_a_list(said: str, is_one: bool) -> None:
    assert names_list(said) is is_one


@pytest.mark.parametrize(
    ("said", "is_wish"),
    [
        ("+1 带电脑", True),
        ("＋1，两大一小", True),
        ("+1 同学一起", True),
        ("+1 不吃辣", True),
        ("+1", False),
        ("+1 说得对", False),
        ("+1 同感", False),
        ("+1 可以带娃吗", False),
        ("+1 带娃\n还有别的事", False),
        ("+1 " + "长" * 31, False),
    ],
)
def test_a_note_is_a_few_words_and_no_agreement(said: str, is_wish: bool) -> None:
    assert plus_with_note(said) is is_wish


CHAIN = "#接龙\n周六读书会\n例 姓名+人数\n\n1. 小林\n2、阿木 带娃\n3.小满（晚到）"


def test_a_pasted_chain_is_its_title_and_its_lines() -> None:
    found = read_chain(CHAIN)
    assert found is not None
    assert found.title == "周六读书会"
    assert found.lines == ("小林", "阿木 带娃", "小满(晚到)")


@pytest.mark.parametrize(
    "text",
    [
        "#接龙",
        "#接龙\n周六读书会",
        "#接龙\n1. 小林",
        "#接龙\n读书会\n1. 小林\n3. 小满",
        "接龙的规则\n一行一个",
        "购物清单\n1. 苹果\n2. 梨",
        "",
    ],
)
def test_what_is_no_chain_is_none(text: str) -> None:
    assert read_chain(text) is None


@pytest.mark.parametrize(
    ("name", "others", "own"),
    [
        ("阿木", ["小林"], ("阿木", "带娃")),
        ("小林", ["阿木", "小满"], ("小林", "")),
        ("Lin", ["小林", "阿木"], ("小满", "(晚到)")),
        ("", ["小林", "阿木"], ("小满", "(晚到)")),
        ("Lin", ["小林", "阿木", "小满"], None),
        ("小", ["小林", "阿木", "小满"], None),
    ],
)
def test_only_ones_own_line_is_a_wish(
    name: str, others: list[str], own: tuple[str, str] | None
) -> None:
    found = read_chain(CHAIN)
    assert found is not None
    assert own_line(found, name, others) == own
