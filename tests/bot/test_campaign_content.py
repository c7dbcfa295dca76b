"""What a campaign says: gaps that are filled, limits that are told early, WeChat's JSON."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import campaign_article as article
from bot.campaign_content import (
    ARTICLE,
    KINDS,
    LONGEST,
    SHORTEST,
    TEXT_BYTES,
    ContentError,
    assets,
    faults,
    links,
    payload_custom,
    payload_mass,
    payload_notice,
    personal,
    problems,
    render,
    urls,
)
from bot.campaign_template import MAX_OUTPUT, MAX_SOURCE, read

VALUES: Mapping[str, Any] = {
    "tier": "银卡",
    "level": 3,
    "points": 120,
    "days": 45,
    "invited": 2,
    "topic": "课程",
    "business": "写作小店",
    "coupon": {"code": "7K2M-9QWE-RTY3A", "title": "早鸟券", "ends": "11-30 23:59"},
    "item": {"title": "写作课", "url": "https://s.example.com/l/abc", "price": "99.00"},
    "link": lambda target: f"https://s.example.com/l/{target}",
}
LEAST: Mapping[str, Mapping[str, Any]] = {
    "text": {"text": "周五开课"},
    "image": {"asset": "poster-1"},
    "article": {"title": "十一月课表", "markdown": "# 课表\n\n正文", "cover": "cover"},
    "miniprogram": {
        "title": "选课",
        "appid": "wx0123456789abcdef",
        "pagepath": "pages/index",
        "thumb": "thumb",
    },
    "quiz": {"quiz": 3, "text": "来答题，回复「答题」参加"},
    "coupon": {"offer": "早鸟", "text": "你的券码 {{ coupon.code }}，{{ coupon.ends }} 前有效"},
    "item": {"text": "为你选了 {{ item.title }}：{{ item.url }}", "fallback": "py-101"},
    "notice": {
        "template_id": "TM00000001",
        "data": {"thing1": "{{ topic }}开课", "time2": "20:00"},
    },
    "poll": {"question": "几点上课好？", "options": ["早上", "晚上"]},
    "markdown": {"text": "**周五** 开课，[课表](https://shop.example.com/classes)"},
    "news": {"title": "十一月课表", "url": "https://shop.example.com/classes"},
}
"""Of each kind the least that is right."""


def content(kind: str = "text", **fields: Any) -> dict[str, Any]:
    """A content of a kind; a field that is None is left out."""
    given = {"kind": kind, **LEAST[kind], **fields}
    return {name: value for name, value in given.items() if value is not None}


def filled(text: str, **values: Any) -> str:
    """The text of a content with these gaps filled."""
    return render(content(text=text), {**VALUES, **values}).text


# Gaps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("没有空格", "没有空格"),
        ("你好，{{ tier }}会员", "你好，银卡会员"),
        ("{{ points }} 分，差 {{ 200 - points }} 分", "120 分，差 80 分"),
        ("{% if days > 30 %}老朋友{% else %}新朋友{% endif %}", "老朋友"),
        ("{% if level >= 5 %}高{% elif level >= 3 %}中{% else %}低{% endif %}", "中"),
        ('{{ "好友 " ~ invited ~ " 位" if invited else "还没邀请" }}', "好友 2 位"),
        ("{{ link('py-101') }}", "https://s.example.com/l/py-101"),
        ("{{ (points / 7)|round(1) }}", "17.1"),
        ("来自{{ business|truncate(3) }}", "来自写作…"),
        ("{{ tier|default('新') }} {{ 'AbC'|lower }} {{ 'AbC'|upper }}", "银卡 abc ABC"),
        ("a {%- if true %} b{% endif %}", "a b"),
        ("a{# nobody reads this #}b", "ab"),
        ("a }} b %} c", "a }} b %} c"),
        ("{{ '}}' }}{{ '{{' }}", "}}{{"),
        ("一\r\n{{ level }}\r二", "一\n3\n二"),
    ],
)
def test_gaps_are_filled(text: str, said: str) -> None:
    assert problems(content(text=text)) == []
    assert filled(text) == said


def test_what_a_value_holds_is_never_read_as_a_gap() -> None:
    assert filled("{{ tier }}", tier="{{ 7 * 7 }}{% if %}") == "{{ 7 * 7 }}{% if %}"


@pytest.mark.parametrize(
    ("text", "line", "column", "code"),
    [
        ("{{ leve }}", 1, 4, "variable"),
        ("你好\n再会 {{ leve }}", 2, 7, "variable"),
        ("{% if level > 2 %}A{% endif %}\n{{ nobody }}", 2, 4, "variable"),
        ("{{ coupon.code }}", 1, 4, "coupon-elsewhere"),
        ("{{ item }}", 1, 4, "item-elsewhere"),
        ("{{ level.__class__ }}", 1, 4, "attribute"),
        ("{{ ''.__class__.__mro__ }}", 1, 16, "attribute"),
        ("{{ __builtins__ }}", 1, 4, "variable"),
        ("{{ self }}", 1, 4, "variable"),
        ("{{ link.__globals__ }}", 1, 4, "attribute"),
        ("{{ link }}", 1, 4, "call"),
        ("{{ link(tier) }}", 1, 8, "call"),
        ("{{ link('a', 'b') }}", 1, 8, "call"),
        ("{{ link(*tier) }}", 1, 8, "call"),
        ("{{ link('') }}", 1, 9, "call"),
        ("{{ level() }}", 1, 4, "call"),
        ("{{ range(10**9) }}", 1, 12, "operator"),
        ("{{ range(9) }}", 1, 4, "call"),
        ("{{ lipsum() }}", 1, 4, "call"),
        ("{{ 'a'.join(tier) }}", 1, 7, "call"),
        ("{{ 'a' * 10**9 }}", 1, 12, "operator"),
        ("{{ 10 ** 10 ** 10 }}", 1, 7, "operator"),
        ("{{ 99999999999999999999 }}", 1, 4, "number"),
        ("{{ 'a' * 1000000000 }}", 1, 4, "values"),
        ("{{ '%999999999d' % 1 }}", 1, 4, "values"),
        ("{{ 1 / invited }}", 1, 4, "values"),
        ("{{ tier > 5 }}", 1, 4, "values"),
        ("{{ level|attr('__class__') }}", 1, 10, "filter"),
        ("{{ tier|map('upper') }}", 1, 9, "filter"),
        ("{{ tier|replace('a', 'aaaa') }}", 1, 9, "filter"),
        ("{{ tier|center(1000000000) }}", 1, 9, "filter"),
        ("{{ level|round(ndigits=1) }}", 1, 10, "filter"),
        ("{{ level is defined }}", 1, 10, "operator"),
        ("{{ [1] }}", 1, 4, "operator"),
        ("{{ {'a': 1} }}", 1, 4, "operator"),
        ("{{ tier[0] }}", 1, 8, "operator"),
        ("{{ (1, 2) }}", 1, 6, "operator"),
        ("{{ '\\x41' }}", 1, 4, "syntax"),
        ("{{ level if level > 3 }}", 1, 4, "else"),
        ("{% for x in range(10**9) %}{% endfor %}", 1, 4, "statement"),
        ("{% for x in tier %}{% endfor %}", 1, 4, "statement"),
        ("{% set a = 1 %}", 1, 4, "statement"),
        ("{%- include 'x' %}", 1, 5, "statement"),
        ("{% import 'os' as os %}", 1, 4, "statement"),
        ("{% extends 'x' %}", 1, 4, "statement"),
        ("{% macro a() %}{% endmacro %}", 1, 4, "statement"),
        ("{% raw %}{{ x }}{% endraw %}", 1, 1, "statement"),
        ("{% call link('x') %}{% endcall %}", 1, 4, "statement"),
        ("{% filter upper %}{% endfilter %}", 1, 4, "statement"),
        ("{% if level %}A", 1, 15, "syntax"),
        ("{% endif %}", 1, 4, "syntax"),
        ("x {{ level", 1, 6, "syntax"),
        ("x {{ level + }}", 1, 14, "syntax"),
        ("{{ }}", 1, 4, "syntax"),
        ("{{ ☃ }}", 1, 4, "syntax"),
        ("{{ level ) }}", 1, 10, "syntax"),
        ("{% if %}A{% endif %}", 1, 7, "syntax"),
    ],
)
def test_an_error_points_at_its_line_and_column(
    text: str, line: int, column: int, code: str
) -> None:
    began = time.perf_counter()
    (error,) = faults(content(text=text))
    assert time.perf_counter() - began < 1
    assert (error.where, error.line, error.column, error.code) == ("text", line, column, code)
    assert f"text: line {line}, column {column}: expected " in str(error)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "too-deep"),
        ("{{ " + "-" * 2000 + "1 }}", "too-deep"),
        ("{{ " + "not " * 900 + "level }}", "too-deep"),
        ("{{ level" + "|upper" * 600 + " }}", "too-deep"),
        ("{{ coupon" + ".code" * 700 + " }}", "too-deep"),
        ("{{ " + "+".join(["level"] * 600) + " }}", "too-deep"),
        ("{{ " + "link(" * 700, "too-deep"),
        ("{{ " + "1 if " * 700, "too-deep"),
        ("{%if 1%}" * 200 + "{%endif%}" * 200, "too-deep"),
        ("{%if 1%}" * 9 + "x" + "{%endif%}" * 9, "too-deep"),
        ("{" * MAX_SOURCE, "operator"),
        ("{{" * 1999, "operator"),
        ("x" * (MAX_SOURCE + 1), "too-long"),
        ("{{ level }}" * 1000, "too-long"),
        ("{{ business }}" * 285, "too-long"),
        ("{{ '" + "a" * 3900, "syntax"),
    ],
)
def test_what_is_deep_or_endless_is_refused_at_once(text: str, code: str) -> None:
    began = time.perf_counter()
    (error,) = faults(content(text=text))
    assert time.perf_counter() - began < 1
    assert (error.where, error.code) == ("text", code)


def test_the_deepest_that_is_allowed_works() -> None:
    assert filled("{%if 1%}" * 8 + "x" + "{%endif%}" * 8) == "x"
    assert filled("{{ " + "+".join(["1"] * 30) + " }}") == "30"


def test_a_value_that_is_too_long_stops_the_text_and_not_the_process() -> None:
    text = read("{{ tier }}" * 100)
    with pytest.raises(ContentError, match="at most 16384 bytes") as caught:
        text.fill({"tier": "x" * 1000})
    assert caught.value.code == "too-long"
    assert len(text.fill({"tier": "x" * 163}).encode()) <= MAX_OUTPUT
    with pytest.raises(ContentError):
        text.fill({"tier": "字" * 55})


def test_a_value_that_takes_its_time_is_not_waited_for_twice() -> None:
    def slow(target: str) -> str:
        time.sleep(0.12)
        return target

    began = time.perf_counter()
    with pytest.raises(ContentError) as caught:
        render(content(text="{{ link('a') }}" * 100), {**VALUES, "link": slow})
    assert caught.value.code == "too-slow"
    assert time.perf_counter() - began < 1


def test_a_value_that_is_missing_names_its_place() -> None:
    with pytest.raises(ContentError) as caught:
        render(content(text="一\n二 {{ tier }}"), {})
    assert (caught.value.line, caught.value.column, caught.value.code) == (2, 6, "values")


SHREDS = (
    *re.findall(
        r"\S+",
        "{{ }} {% %} {# #} if else endif for in level ( ) [ | |round . ~ * 9 'a' ' - 字 link "
        "('x') coupon .code __class__ \\ and not is",
    ),
    *' \n\r"',
)
"""What templates are made of, and what they are not."""


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(SHREDS),
        max_size=40,
    ).map("".join)
)
def test_whatever_is_written_is_filled_or_refused(text: str) -> None:
    wrong = faults(content("coupon", text=text))
    if wrong:
        assert all(isinstance(one, ContentError) and one.code for one in wrong)
        assert all(0 <= one.line <= text.count("\n") + text.count("\r") + 1 for one in wrong)
    else:
        assert render(content("coupon", text=text), VALUES).text.strip()


def test_the_same_text_is_read_once() -> None:
    text = "{{ level }} 级的你"
    assert read(text) is read(text)


# Kinds and their limits


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_of_each_kind_is_right(kind: str) -> None:
    assert problems(content(kind)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_which_field_is_missing_or_of_the_wrong_type(kind: str) -> None:
    for name in LEAST[kind]:
        assert [error.where for error in faults(content(kind, **{name: None}))] == [name]
        unfit: tuple[Any, ...] = (0, True, [], {}, "", " ", "\x00", "\ud800")
        for wrong in unfit:
            assert [error.where.split(".")[0] for error in faults(content(kind, **{name: wrong}))]
    assert [error.code for error in faults(content(kind, colour="red"))] == ["unknown-field"]


@pytest.mark.parametrize(
    ("given", "where", "code"),
    [
        ({"kind": "dance"}, "kind", "kind"),
        ({}, "kind", "kind"),
        (content(text="字" * 683), "text", "too-long"),
        (content(text="a\x0bb"), "text", "not-text"),
        (content(text="{{ tier }}"), "text", "empty"),
        (content("image", asset="../etc"), "asset", "asset"),
        (content("image", asset="https://x.com/a.png"), "asset", "asset"),
        (content("article", title="题" * 65), "title", "too-long"),
        (content("article", digest="摘" * 121), "digest", "too-long"),
        (content("article", author="人" * 17), "author", "too-long"),
        (content("article", source_url="javascript:alert(1)"), "source_url", "url"),
        (content("article", markdown="x" * 20_001), "markdown", "too-long"),
        (content("article", markdown="![](https://x.com/a.png)"), "markdown", "article-image"),
        (content("article", markdown="一\n\n[a](https://x.com)"), "markdown", "article-link"),
        (content("article", articles=[{}, {}]), "articles", "too-many-articles"),
        (content("miniprogram", appid="wx12"), "appid", "appid"),
        (content("miniprogram", title="题" * 65), "title", "too-long"),
        (content("miniprogram", pagepath="p" * 1025), "pagepath", "too-long"),
        (content("quiz", quiz=-1), "quiz", "quiz"),
        (content("quiz", quiz="3"), "quiz", "quiz"),
        (content("item", text="{{ coupon.code }}"), "text", "coupon-elsewhere"),
        (content("poll", options=["a"]), "options", "options"),
        (content("poll", options=["a", "a "]), "options", "options"),
        (content("poll", options=list("abcdefg")), "options", "options"),
        (content("poll", options=["a", "b" * 21]), "options", "options"),
        (content("poll", options=["a", 2]), "options", "not-text"),
        (content("notice", template_id="短"), "template_id", "template"),
        (content("notice", data={"1": "x"}), "data.1", "data"),
        (content("notice", data={"thing1": "{{ x }}"}), "data.thing1", "variable"),
        (content("notice", data={"thing1": 5}), "data.thing1", "not-text"),
        (content("notice", data={f"thing{n}": "x" for n in range(13)}), "data", "data"),
        (content("notice", url="ftp://x"), "url", "url"),
    ],
)
def test_a_limit_names_its_field(given: dict[str, Any], where: str, code: str) -> None:
    assert [(one.where, one.code) for one in faults(given)] == [(where, code)]


def test_all_that_is_wrong_is_named_at_once() -> None:
    wrong = content("miniprogram", title="", appid="x", thumb=None)
    assert [where for where, _, _ in problems(wrong)] == ["title", "appid", "thumb"]


def test_a_text_is_measured_with_the_longest_values() -> None:
    room = TEXT_BYTES - len(LONGEST["business"].encode())
    assert problems(content(text="x" * room + "{{ business }}")) == []
    ((where, why, code),) = problems(content(text="x" * (room + 1) + "{{ business }}"))
    assert (where, code) == ("text", "too-long")
    assert "2049" in why


def test_a_member_whose_text_is_too_long_all_the_same_gets_none() -> None:
    with pytest.raises(ContentError) as caught:
        filled("{{ business }}", business="x" * 2049)
    assert (caught.value.where, caught.value.code) == ("text", "too-long")


def test_both_ends_of_the_values_have_the_same_names() -> None:
    assert set(SHORTEST) == set(LONGEST) == set(VALUES)


# What it names


def test_personal_is_what_two_members_would_read_differently() -> None:
    assert not personal(content(text="大家好 {{ business }} {{ link('py') }}"))
    assert personal(content(text="{{ level }}"))
    assert personal(content("coupon", text="回复领券"))
    assert personal(content("item"))
    assert not personal(content("notice"))
    assert personal(content("notice", data={"thing1": "{{ points }} 分"}))
    assert not personal(content("image"))


def test_links_addresses_and_pictures_are_listed_once() -> None:
    one = content(
        text="{{ link('py') }} {{ link('https://a.com/x') }} https://b.com/y。{{ link('py') }}"
    )
    assert links(one) == ("py", "https://a.com/x")
    assert urls(one) == ("https://a.com/x", "https://b.com/y")
    two = content("article", markdown="![](a) 字 ![](b)\n\n![](a)", source_url="https://c.com")
    assert assets(two) == ("cover", "a", "b")
    assert urls(two) == ("https://c.com",)


# WeChat's JSON


def said(kind: str, **fields: Any) -> dict[str, Any]:
    """The customer-service message of a content, without its receiver."""
    media = {"poster-1": "MEDIA", "thumb": "THUMB", ARTICLE: "DRAFT"}
    (body,) = payload_custom(render(content(kind, **fields), VALUES), "oTEST", media)
    assert body.pop("touser") == "oTEST"
    json.dumps(body)
    return body


def test_customer_service_messages() -> None:
    assert said("text") == {"msgtype": "text", "text": {"content": "周五开课"}}
    assert said("coupon")["text"]["content"] == "你的券码 7K2M-9QWE-RTY3A，11-30 23:59 前有效"
    assert said("item")["text"]["content"] == "为你选了 写作课：https://s.example.com/l/abc"
    assert said("image") == {"msgtype": "image", "image": {"media_id": "MEDIA"}}
    assert said("article") == {"msgtype": "mpnews", "mpnews": {"media_id": "DRAFT"}}
    assert said("miniprogram")["miniprogrampage"] == {
        "title": "选课",
        "appid": "wx0123456789abcdef",
        "pagepath": "pages/index",
        "thumb_media_id": "THUMB",
    }
    assert said("poll") == {
        "msgtype": "msgmenu",
        "msgmenu": {
            "head_content": "几点上课好？",
            "list": [{"id": "poll:1", "content": "早上"}, {"id": "poll:2", "content": "晚上"}],
            "tail_content": "",
        },
    }
    assert said("quiz")["msgmenu"]["list"] == [{"id": "quiz:3:1", "content": "答题"}]


def test_mass_sends_carry_what_is_the_same_for_all() -> None:
    media = {"poster-1": "MEDIA", ARTICLE: "DRAFT"}

    def mass(kind: str) -> dict[str, Any]:
        return payload_mass(render(content(kind), VALUES), media)

    assert mass("text") == {"msgtype": "text", "text": {"content": "周五开课"}}
    assert mass("poll")["text"]["content"] == "几点上课好？\n1. 早上\n2. 晚上\n回复数字投票"
    assert mass("image") == {"msgtype": "image", "images": {"media_ids": ["MEDIA"]}}
    assert mass("article")["mpnews"] == {"media_id": "DRAFT"}
    for kind in ("coupon", "item", "miniprogram", "notice"):
        with pytest.raises(ContentError):
            mass(kind)


def test_a_notice_fills_its_data() -> None:
    rendered = render(content("notice", url="https://a.com"), VALUES)
    assert payload_notice(rendered, "oTEST") == {
        "touser": "oTEST",
        "template_id": "TM00000001",
        "data": {"thing1": {"value": "课程开课"}, "time2": {"value": "20:00"}},
        "url": "https://a.com",
    }
    with pytest.raises(ContentError):
        payload_custom(rendered, "oTEST", {})
    with pytest.raises(ContentError):
        payload_notice(render(content(), VALUES), "oTEST")


# Articles


def test_an_article_becomes_what_wechat_keeps() -> None:
    text = article.html(
        "# 课表\n\n**周五** ~~周六~~ [往期](https://mp.weixin.qq.com/s/x)\n\n"
        "![图](a.png)\n\n<script>alert(1)</script>\n\n| a | b |\n|---|---|\n| 1 | 2 |",
        {"a.png": "https://mmbiz.qpic.cn/1"},
    )
    assert '<img src="https://mmbiz.qpic.cn/1" alt="图" />' in text
    assert "<script" not in text
    for kept in ("<h1>课表</h1>", "<strong>周五</strong>", "<s>周六</s>", "<table>", "/s/x"):
        assert kept in text


def test_an_article_waits_for_its_pictures() -> None:
    with pytest.raises(ContentError, match="an upload of a"):
        article.html("![](a)", {})


def test_the_draft_carries_cover_and_source() -> None:
    one = content("article", author="林", source_url="https://a.com")
    (draft,) = article.payload(one, "<p>x</p>", "THUMB")["articles"]
    assert (draft["title"], draft["author"], draft["thumb_media_id"]) == (
        "十一月课表",
        "林",
        "THUMB",
    )
    assert (draft["content"], draft["content_source_url"]) == ("<p>x</p>", "https://a.com")


@pytest.mark.parametrize("text", ["[" * 20_000, "*a " * 6_000, "> " * 9_000, "![](" * 5_000])
def test_a_hostile_article_is_read_or_refused_in_time(text: str) -> None:
    began = time.perf_counter()
    problems(content("article", markdown=text))
    assert time.perf_counter() - began < 3
