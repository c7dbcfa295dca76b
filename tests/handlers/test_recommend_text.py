"""Reasons in words: true, rough, and about nobody else."""

from __future__ import annotations

import pytest

from handlers.recommend_text import because, explained, first_reason, is_own, letter, rough
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
    assert first_reason(TEXTS, ITEMS, Pick("sql", why=why, explored=True)).startswith("换个口味")
    new = (*why, Reason("new", "", 0.1))
    assert first_reason(TEXTS, ITEMS, Pick("sql", why=new, explored=True)) == "新上架"
    assert first_reason(TEXTS, ITEMS, Pick("sql")) == TEXTS("recommend.because_other")


def test_what_everybody_looks_at_is_nobodys_own_list() -> None:
    general = Pick("py", why=(Reason("popular", "", 1.0),))
    assert not is_own([general, Pick("sql", why=(Reason("new", "", 1.0),))])
    assert is_own([general, Pick("sql", why=(Reason("tag", "x", 0.1),))])
    assert not is_own([])


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "几乎全是这个原因"),
        (0.94, "约占九成"),
        (0.62, "约占六成"),
        (0.52, "约占一半"),
        (0.06, "约占一成"),
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
