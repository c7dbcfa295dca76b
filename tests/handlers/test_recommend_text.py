"""Reasons in words: true, rough, and about nobody else."""

from __future__ import annotations

import pytest

from handlers.recommend_text import (
    because,
    explained,
    first_reason,
    is_own,
    letter,
    rough,
    says_own,
    says_popular,
    short_title,
)
from handlers.recommending import Pick, Reason
from handlers.texts import Texts
from tests.handlers.conftest import item

TEXTS = Texts.load()
ITEMS = {
    "item:py": item("py", "零基础学 Python：20 个小程序", tags=("Python",)),
    "item:sql": item("sql", "业务取数 SQL", tags=("数据分析",)),
}


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Reason("finished", "py"), "因为你学过《零基础学 Python》"),
        (Reason("bought", "sql"), "因为你买过《业务取数 SQL》"),
        (Reason("viewed", "py"), "因为你看过《零基础学 Python》"),
        (Reason("viewed", "gone"), "因为它和你看过的内容相近"),
        (Reason("community", "12"), "和你同社群的人在学"),
        (Reason("tag", "python"), "和你关注的「python」有关"),
        (Reason("tag", "退款大户"), "和你的兴趣相近"),
        (Reason("author", "林小满"), "是你看过的林小满老师的内容"),
        (Reason("author", "苏老师"), "是苏老师的内容"),
        (Reason("author"), "综合来看比较适合你"),
        (Reason("tier", "paid-yearly"), "和你一样的会员在学"),
        (Reason("popular"), "大家最近都在学"),
        (Reason("new"), "新上架"),
        (Reason("what comes tomorrow", "x"), "综合来看比较适合你"),
    ],
)
def test_each_kind_of_reason_has_its_words(reason: Reason, said: str) -> None:
    assert because(TEXTS, ITEMS, reason) == said


def test_the_strongest_reason_is_told_but_chance_is_told_as_chance() -> None:
    why = (Reason("popular", "", 0.2), Reason("finished", "py", 0.8))
    assert first_reason(TEXTS, ITEMS, Pick("sql", why=why)) == "因为你学过《零基础学 Python》"
    assert first_reason(TEXTS, ITEMS, Pick("sql", why=why, explored=True)).startswith("随手挑的")
    new = (*why, Reason("new", "", 0.1))
    assert first_reason(TEXTS, ITEMS, Pick("sql", why=new, explored=True)) == "新上架"
    assert first_reason(TEXTS, ITEMS, Pick("sql")) == TEXTS("recommend.because_none")


def test_what_everybody_looks_at_is_nobodys_own_list() -> None:
    general = Pick("py", why=(Reason("popular", "", 1.0),))
    assert not is_own([general, Pick("sql", why=(Reason("new", "", 1.0),))])
    assert is_own([general, Pick("sql", why=(Reason("tag", "x", 0.1),))])
    assert not is_own([])


def test_what_somebody_did_counts_together() -> None:
    why = (
        Reason("popular", "", 0.4),
        Reason("bought", "sql", 0.3),
        Reason("viewed", "gone", 0.15),
        Reason("finished", "gone", 0.15),
    )
    assert first_reason(TEXTS, ITEMS, Pick("py", why=why)) == "因为你买过《业务取数 SQL》"


def test_shares_that_are_told_come_to_the_whole() -> None:
    why = (Reason("tag", "Python", 0.5), Reason("popular", "", 0.3))
    said = explained(TEXTS, ITEMS, ITEMS["item:sql"], why).splitlines()
    assert said[-1] == "· 其他（约占两成）"


def test_what_a_list_is_follows_from_its_lines() -> None:
    lightly = Pick("sql", why=(Reason("popular", "", 0.9), Reason("tag", "x", 0.1)))
    assert is_own([lightly])
    assert not says_own([lightly])
    assert says_popular(ITEMS, [lightly])
    assert not says_popular(ITEMS, [lightly, Pick("py", why=lightly.why, explored=True)])
    assert not says_popular(ITEMS, [Pick("sql")])
    assert not says_own([Pick("sql")])


def test_that_everybody_learns_it_is_said_only_of_what_most_look_at() -> None:
    many = {f"item:n{at}": item(f"n{at}", f"第 {at} 课") for at in range(30)}
    popular = (Reason("popular", "", 1.0),)
    assert first_reason(TEXTS, many, Pick("n9", why=popular)) == "大家最近都在学"
    assert first_reason(TEXTS, many, Pick("n10", why=popular)) == TEXTS("recommend.because_none")
    said = explained(TEXTS, many, many["item:n29"], popular)
    assert said == TEXTS("recommend.why_none", title="第 29 课")
    assert not says_popular(many, [Pick("n9", why=popular), Pick("n29", why=popular)])


def test_a_title_is_short_only_where_it_still_tells_items_apart() -> None:
    lives = {
        "item:a": item("a", "直播：周末共读之夜"),
        "item:b": item("b", "直播：一晚上写出第一篇长文"),
        "item:c": item("c", "写作：入门"),
    }
    assert short_title(lives["item:a"], lives) == "直播：周末共读之夜"
    assert short_title(lives["item:c"], lives) == "写作"
    assert short_title(lives["item:a"]) == "直播"
    assert short_title(item("d", "：没有头")) == "：没有头"


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "几乎全是这个原因"),
        (0.94, "约占九成"),
        (0.62, "约占六成"),
        (0.52, "约占一半"),
        (0.06, "约占一成"),
        (0.2, "约占两成"),
        (0.01, "占一点点"),
    ],
)
def test_shares_are_said_roughly(share: float, said: str) -> None:
    assert rough(TEXTS, share) == said


def test_equal_words_are_one_reason_and_what_takes_away_is_none() -> None:
    why = (
        Reason("community", "1", 0.3),
        Reason("community", "2", 0.3),
        Reason("popular", "", 0.4),
        Reason("tag", "Python", -0.2),
    )
    assert explained(TEXTS, ITEMS, ITEMS["item:py"], why).splitlines() == [
        "推荐《零基础学 Python》的理由：",
        "· 和你同社群的人在学（约占六成）",
        "· 大家最近都在学（约占四成）",
    ]
    assert "没有特别的理由" in explained(TEXTS, ITEMS, ITEMS["item:py"], ())


def test_a_letter_has_its_addresses_and_leaves_out_what_is_gone() -> None:
    picks = (Pick("gone"), Pick("sql", why=(Reason("popular", "", 1.0),)), Pick("py"))
    said = letter(TEXTS, ITEMS, picks, {"sql": "https://bot.example/r/1"}).splitlines()
    assert said[0] == TEXTS("recommend.letter_head")
    assert said[1].startswith("1. 业务取数 SQL（")
    assert said[2:4] == ["　大家最近都在学", "　https://bot.example/r/1"]
    assert said[4].startswith("2. 零基础学 Python：20 个小程序（")
    assert said[-1] == TEXTS("recommend.letter_tail")
    assert letter(TEXTS, ITEMS, (Pick("gone"),), {}) == ""
