"""The language of audiences: what operators write, read as a tree or refused at a place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.behaviour import STATES
from store import rule_states, rules
from store.rules import And, Everyone, Not, Or, Rule, RuleError, Term, parse, unparse

DAY_S = 86_400
VIP = Term("tag", ":", "VIP")
NEW = Term("new")
PY = Term("bought", ":", "py-101")


def error(text: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        parse(text)
    return caught.value


# What it reads


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("活跃 30 天", "active 30d"),
        ("活跃30天 且 标签：Python", "active 30d and tag:Python"),
        ("沉默２天", "quiet 2d"),
        ("新7天 或 新人", "new 7d or new"),
        ("关注 12 小时", "followed 12h"),
        ("非 买过：py-101 30 天", "not bought:py-101 30d"),
        ("点过:c12 7日", "clicked:c12 7d"),
        ("做过：签到 或 做过：邀请", "did:checkin or did:invite"),
        ("等级 ≥ 2 且 积分：100", "level>=2 and points=100"),
        ("消费＞99.5 且 订单>=2 且 邀请>=3", "spent>99.50 and orders>=2 and invited>=3"),
        ("会员:年卡 或 群:vip", "tier:年卡 or group:vip"),
        ("话题:新课 或 场景:r:42", "topic:新课 or scene:r:42"),
        ("券:早鸟 或 优惠券:早鸟", "coupon:早鸟 or coupon:早鸟"),
        ("成员:１２ 或 活动:12", "member:12 or campaign:12"),
        ("状态:即将流失 或 状态：快流失", "state:leaving or state:leaving"),
        ("状态:潜水 且 流失风险 ≥ ６０", "state:lurker and churn>=60"),
        ("人群：「about to leave」 或 分组:快流失", 'segment:"about to leave" or segment:快流失'),
    ],
)
def test_every_condition_has_a_chinese_name(typed: str, meant: str) -> None:
    assert unparse(parse(typed)) == meant


def test_each_chinese_name_means_one_condition() -> None:
    assert set(rules.CALLED) == set(rules.NAMES)
    said = [one for called in rules.CALLED.values() for one in called]
    assert len(said) == len(set(said))
    assert set(rules.DID_CALLED) == set(rules.DID)
    states = [one for called in rule_states.CALLED.values() for one in called]
    assert len(states) == len(set(states))
    assert tuple(rule_states.CALLED) == STATES


@pytest.mark.parametrize(
    ("typed", "at"), [("标签30天", 1), ("新 天", 3), ("活跃30天标签:x", 3), ("活跃30", 3)]
)
def test_a_name_before_a_number_wants_a_time(typed: str, at: int) -> None:
    assert error(typed).at == at


def test_a_rule_reads_as_it_is_spoken() -> None:
    text = (
        "active 30d and tag:python and not bought:py-101 and level>=2 and group:vip "
        'and segment:"about to leave"'
    )
    assert parse(text) == And(
        (
            Term("active", within_s=30 * DAY_S),
            Term("tag", ":", "python"),
            Not(PY),
            Term("level", ">=", "2"),
            Term("group", ":", "vip"),
            Term("segment", ":", "about to leave"),
        )
    )
    assert unparse(parse(text)) == text


def test_not_binds_before_and_and_before_or() -> None:
    assert parse("tag:VIP or new and not bought:py-101") == Or((VIP, And((NEW, Not(PY)))))
    assert parse("(tag:VIP or new) and not (bought:py-101)") == And((Or((VIP, NEW)), Not(PY)))
    assert parse("not not new") == Not(Not(NEW))


@pytest.mark.parametrize(
    "text",
    [
        "tag:VIP and (new or not bought:py-101)",
        "tag:VIP 且（new 或 非 bought:py-101）",
        "tag：VIP 并且 (new 或者 不是 bought:py-101)",
        " TAG:VIP　AND\n( New OR NOT  Bought:“py-101” ) ",
        'tag:"VIP"and(new or not(bought:「py-101」))',
    ],
)
def test_chinese_words_and_full_width_signs_mean_the_same(text: str) -> None:
    assert parse(text) == And((VIP, Or((NEW, Not(PY)))))


def test_a_chinese_word_inside_a_value_is_part_of_it() -> None:
    assert parse("tag:而且") == Term("tag", ":", "而且")
    assert parse("tag:且 且 tag:非") == And((Term("tag", ":", "且"), Term("tag", ":", "非")))
    assert parse("tag:and and tag:x") == And((Term("tag", ":", "and"), Term("tag", ":", "x")))


def test_everyone_is_a_kind_of_its_own_and_has_to_be_spelt_out() -> None:
    assert (
        parse(" everyone ") == parse("Everyone") == parse("所有人") == parse("全部") == Everyone()
    )
    assert parse("tag:everyone") == Term("tag", ":", "everyone")
    for text, at in (("everyone and new", 1), ("new or everyone", 8), ("not 所有人", 5)):
        assert (error(text).code, error(text).at) == ("everyone-alone", at)


def test_numbers_times_and_money_are_made_comparable() -> None:
    assert parse("level ≥ ０２") == parse("level>=2")
    assert parse("level:3") == parse("level = 3") == Term("level", "=", "3")
    assert parse("spent>99.5") == Term("spent", ">", "99.50")
    assert parse("spent<=99.00") == Term("spent", "<=", "99")
    assert parse("active 48h") == parse("active 2天") == Term("active", within_s=2 * DAY_S)
    assert parse("bought:py-101 90分钟") == Term("bought", ":", "py-101", 5400)
    assert parse("did:CheckIn") == Term("did", ":", "checkin")


def test_a_segment_is_named_whatever_its_width_case_and_blanks() -> None:
    assert parse('segment:"Ａbout   to Leave"') == Term("segment", ":", "about to leave")


def test_what_is_no_blank_quote_or_parenthesis_belongs_to_a_bare_value() -> None:
    assert parse("tag:VIP，老学员;x>=3") == Term("tag", ":", "VIP，老学员;x>=3")
    assert parse("scene:r:42") == Term("scene", ":", "r:42")


def test_parentheses_in_pairs_may_stand_in_a_value() -> None:
    assert parse("(tag:VIP(老))") == Term("tag", ":", "VIP(老)")
    assert parse("tag:'or(1=1)--") == Term("tag", ":", "'or(1=1)--")


# What it refuses, and where


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("", "empty", 1),
        (" \n", "empty", 3),
        ("VIP", "unknown-condition", 1),
        ("new and colour:red", "unknown-condition", 9),
        ("tag:VIP level>=2", "and-or-expected", 9),
        ("tag:VIP and ", "condition-expected", 13),
        ("tag:VIP and and new", "condition-expected", 13),
        ("or new", "condition-expected", 1),
        ("not", "condition-expected", 4),
        ("()", "condition-expected", 2),
        ("new and (tag:a or tag:b", "unclosed", 9),
        ("(new tag:b)", "and-or-expected", 6),
        ("new)", "unopened", 4),
        ('tag:"VIP', "unclosed-quote", 5),
        ('tag:""', "value-expected", 5),
        ("tag:", "value-expected", 5),
        ("tag", "sign-expected", 4),
        ("tag>=3", "sign-expected", 4),
        ("level two", "sign-expected", 6),
        ("level>=two", "number-expected", 8),
        ("level>=1000", "number-expected", 8),
        ("level>=-1", "number-expected", 8),
        ("points>=²", "number-expected", 9),
        ("spent>=1e5", "number-expected", 8),
        ("spent>=9.999", "number-expected", 8),
        ("member:0x1", "number-expected", 8),
        ("did:nothing", "did-expected", 5),
        ("state:gone", "state-expected", 7),
        ("churn>=101", "number-expected", 8),
        ("churn>=0.6", "number-expected", 8),
        ("tag:a\x00b", "unknown-value", 5),
        ("tag:\ud800", "unknown-value", 5),
        ("active 30", "time-expected", 8),
        ("active 0d and new", "time-expected", 8),
        ("active 99999d", "time-expected", 8),
        ("new\ntag:a", "and-or-expected", 5),
        ("x" * 1001, "too-long", 1001),
        ("(" * 21 + "new" + ")" * 21, "too-deep", 21),
        (" and ".join(["new"] * 51), "too-many", 401),
    ],
)
def test_a_bad_rule_says_what_and_where(text: str, code: str, at: int) -> None:
    wrong = error(text)
    assert (wrong.code, wrong.at) == (code, at)
    assert wrong.expected in str(wrong)


def test_an_error_names_what_stands_there() -> None:
    assert error("new and colour:red").value == "colour"
    assert "segment" in error("colour:red").expected
    assert str(error("tag:VIP level>=2")) == "and, or, or the end is expected, not level"


def test_the_limits_themselves_are_allowed() -> None:
    assert isinstance(parse("(" * 20 + "new" + ")" * 20), Term)
    assert len(list(rules.terms(parse(" or ".join(["new"] * 50))))) == 50
    assert parse("tag:" + "x" * 996) == Term("tag", ":", "x" * 996)


# Both ways

_WORDS = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters='"“”「」＂'),
    min_size=1,
    max_size=8,
).filter(lambda text: text == text.strip())
_TIMES = st.builds(
    lambda count, unit: count * unit, st.integers(0, 60), st.sampled_from([60, 3600, DAY_S])
)
_SIGNS = st.sampled_from([">=", "<=", "=", ">", "<"])
_TERMS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        Term, st.sampled_from(["tag", "topic", "group", "scene", "tier"]), st.just(":"), _WORDS
    ),
    st.builds(Term, st.sampled_from(["bought", "clicked"]), st.just(":"), _WORDS, _TIMES),
    st.builds(
        Term,
        st.sampled_from(["active", "quiet", "new", "followed"]),
        within_s=_TIMES,
    ),
    st.builds(
        Term,
        st.sampled_from(["points", "orders", "invited"]),
        _SIGNS,
        st.integers(0, 10**9).map(str),
    ),
    st.builds(Term, st.just("spent"), _SIGNS, st.sampled_from(["0", "99.50", "12000.01"])),
    st.builds(Term, st.just("did"), st.just(":"), st.sampled_from(rules.DID)),
    st.builds(Term, st.just("state"), st.just(":"), st.sampled_from(STATES)),
    st.builds(Term, st.just("churn"), _SIGNS, st.integers(0, 100).map(str)),
    st.builds(Term, st.just("segment"), st.just(":"), _WORDS.map(rules.segment_name).filter(bool)),
)
_RULES: st.SearchStrategy[Rule] = st.recursive(
    _TERMS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=4).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=4).map(tuple)),
    ),
    max_leaves=12,
)


@given(_RULES)
@settings(max_examples=100, deadline=None)
def test_what_is_written_down_reads_as_the_same_tree(rule: Rule) -> None:
    assert parse(unparse(rule)) == rule


_BITS = st.sampled_from(
    [*'()"“（）:<', "and", "or", "not", "且", "非", "tag", "tag:a", ":b", "level", ">=", "2"]
)
_MORE = st.sampled_from(["active", "30d", "everyone", "所有人", "segment:x"])


def read(text: str) -> tuple[Any, RuleError | None]:
    try:
        return parse(text), None
    except RuleError as wrong:
        return None, wrong


@given(st.one_of(st.text(max_size=60), st.lists(_BITS | _MORE, max_size=12).map(" ".join)))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_rule_or_an_error_with_a_place(text: str) -> None:
    tree, wrong = read(text)
    if wrong is None:
        assert parse(unparse(tree)) == tree
    else:
        assert 1 <= wrong.at <= len(text) + 1
        assert wrong.code
        assert wrong.expected


# Segments


def test_a_segment_is_replaced_by_its_rule() -> None:
    saved = {"fans": "tag:VIP or segment:core", "core": "points>=9"}
    tree = rules.expand(parse("new and segment:fans"), saved)
    assert tree == And((NEW, Or((VIP, Term("points", ">=", "9")))))
    assert rules.expand(parse("segment:快流失"), {}) == And(
        (Term("active", within_s=60 * DAY_S), Term("quiet", within_s=21 * DAY_S))
    )
    assert rules.segments(parse("segment:fans or segment:new")) == {"fans"}


def test_nesting_that_says_nothing_is_taken_apart() -> None:
    tree = rules.expand(parse("new and (tag:VIP and not not (bought:py-101 and new))"), {})
    assert tree == And((NEW, VIP, PY, NEW))


@pytest.mark.parametrize(
    ("text", "code", "at", "value"),
    [
        ("new and segment:ghost", "no-segment", 9, "ghost"),
        ("new and segment:a", "segment-loop", 9, "a > b > a"),
        ("segment:me", "segment-loop", 1, "me > me"),
        ("new and segment:all", "everyone-alone", 9, "all"),
        ("segment:lost", "no-segment", 1, "ghost"),
        ("new or segment:wide8", "too-many", 8, ""),
        ("new or segment:deep8", "too-deep", 8, ""),
        ("segment:broken", "and-or-expected", 1, "broken"),
    ],
)
def test_a_segment_that_cannot_be_told_is_an_error_at_its_name(
    text: str, code: str, at: int, value: str
) -> None:
    saved = {
        "a": "segment:b",
        "b": "new or segment:a",
        "me": "new and not segment:me",
        "all": "everyone",
        "lost": "new and new and segment:ghost",
        "wide0": "new",
        "deep0": "new",
        "broken": "tag:x level>=2",
    }
    for n in range(1, 9):
        saved[f"wide{n}"] = " or ".join([f"segment:wide{n - 1}"] * 3)
        inner = f"segment:deep{n - 1}"
        for _ in range(4):
            inner = f"new and (new or ({inner}))"
        saved[f"deep{n}"] = inner
    with pytest.raises(RuleError) as caught:
        rules.expand(parse(text), saved)
    assert (caught.value.code, caught.value.at, caught.value.value) == (code, at, value)
