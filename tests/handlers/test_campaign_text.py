"""The written form of a campaign: what can be said in it, and what is wrong by its line."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.campaign_text import BadForm, amend, label_of, read
from handlers.campaign_written import write
from handlers.context import SHANGHAI
from handlers.journey_text import read_journey
from store.campaigns import NewCampaign, Variant

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=SHANGHAI)
EMPTY = NewCampaign(title="", channel="mp", audience="", variants=())

FULL = """
双十一 预告
账号：mp2
对象：active 30d and tag:python
话题：直播
方式：客服消息、群发
时间：今晚8点
截止：今晚 9:30
对照：10%
目标：购买 7天
试发：10% 2小时
性质：营销
版本 A
文字：今晚八点直播，来吗？

时间：今晚八点
回复「退订」不再收到
版本 B（3份）
优惠券：早鸟
文字：送你一张券 {{ coupon.code }}
"""


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}:00+08:00").timestamp()


def content(text: str) -> dict[str, Any]:
    new = read(f"标题：一\n对象：everyone\n{text}", NOW, EMPTY)
    assert len(new.variants) == 1
    return dict(new.variants[0].content)


def test_all_that_can_be_said() -> None:
    assert read(FULL, NOW, EMPTY) == NewCampaign(
        title="双十一 预告",
        channel="mp2",
        audience="active 30d and tag:python",
        topic="直播",
        routes=("custom", "mass_list"),
        starts_at=at("2026-11-21T20:00"),
        not_after=at("2026-11-21T21:30"),
        holdout=0.1,
        metric="purchase",
        window_s=7 * 86_400.0,
        test_share=0.1,
        test_s=7200.0,
        variants=(
            Variant(
                name="A",
                content={
                    "kind": "text",
                    "text": "今晚八点直播，来吗？\n\n时间：今晚八点\n回复「退订」不再收到",
                },
            ),
            Variant(
                name="B",
                weight=3,
                content={
                    "kind": "coupon",
                    "offer": "早鸟",
                    "text": "送你一张券 {{ coupon.code }}",
                },
            ),
        ),
    )


def test_the_shortest_form_takes_the_rest_from_the_settings() -> None:
    new = read("开课\n给:所有人\n文字:今天开课", NOW, EMPTY)
    assert (new.title, new.audience, new.holdout, new.starts_at) == ("开课", "所有人", 0.05, None)
    assert new.variants == (Variant(content={"kind": "text", "text": "今天开课"}),)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("图片：封面一", {"kind": "image", "asset": "封面一"}),
        (
            "文章：开课了\n作者：苏老师\n摘要：明天见\n封面：cover\n原文：https://shop.example/a\n"
            "正文：# 第一节\n\n好。",
            {
                "kind": "article",
                "title": "开课了",
                "author": "苏老师",
                "digest": "明天见",
                "cover": "cover",
                "source_url": "https://shop.example/a",
                "markdown": "# 第一节\n\n好。",
            },
        ),
        (
            "小程序：商店\nAppID：wx1\n页面：pages/index\n封面：thumb",
            {
                "kind": "miniprogram",
                "title": "商店",
                "appid": "wx1",
                "pagepath": "pages/index",
                "thumb": "thumb",
            },
        ),
        ("答题：#３\n文字：来答题", {"kind": "quiz", "quiz": 3, "text": "来答题"}),
        ("优惠券：早鸟", {"kind": "coupon", "offer": "早鸟"}),
        (
            "推荐：看看《{{ item.title }}》\n备选：py-101",
            {"kind": "item", "text": "看看《{{ item.title }}》", "fallback": "py-101"},
        ),
        (
            "推荐：\n备选：write\n文字：两行\n字",
            {"kind": "item", "fallback": "write", "text": "两行\n字"},
        ),
        (
            "投票：哪天直播？\n选项：周五 / 周六／周日",
            {"kind": "poll", "question": "哪天直播？", "options": ["周五", "周六", "周日"]},
        ),
        (
            "通知：tpl_1\n字段：thing1={{ topic }}\n字段：time2=20:00=晚\n链接：https://shop.example",
            {
                "kind": "notice",
                "template_id": "tpl_1",
                "data": {"thing1": "{{ topic }}", "time2": "20:00=晚"},
                "url": "https://shop.example",
            },
        ),
        ("文字：\n第一行\n版本号 2 来了", {"kind": "text", "text": "第一行\n版本号 2 来了"}),
    ],
)
def test_every_kind_of_content(said: str, meant: dict[str, Any]) -> None:
    assert content(said) == meant
    new = read(f"标题：一\n对象：everyone\n{said}", NOW, EMPTY)
    assert amend(write(new), NOW, new) == new


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [(1, "no_title"), (1, "no_audience"), (1, "no_content")]),
        ("开课", [(1, "no_audience"), (1, "no_content")]),
        ("开课\n对象：\n文字：好", [(2, "empty")]),
        ("开课\n对象：tag:\n文字：好", [(2, "rule")]),
        ("开课\n对象：everyone\n对象：tag:a\n文字：好", [(3, "twice")]),
        ("开课\n对像：everyone\n文字：好", [(1, "no_audience"), (2, "label")]),
        ("开课\n对象：everyone\n随便一句", [(1, "no_content"), (3, "stray")]),
        ("开课\n对象：everyone\n方式：短信\n文字：好", [(3, "route")]),
        ("开课\n对象：everyone\n时间：昨天\n文字：好", [(3, "time_past")]),
        ("开课\n对象：everyone\n时间：0 9 31 4 *\n文字：好", [(3, "time_never")]),
        ("开课\n对象：everyone\n时间：* * * * *\n文字：好", [(3, "time_often")]),
        ("开课\n对象：everyone\n时间：今天 9:00\n文字：好", [(3, "time_past")]),
        ("开课\n对象：everyone\n截止：每天 9:00\n文字：好", [(3, "time_unknown")]),
        ("开课\n对象：everyone\n时间：今晚8点\n截止：今晚7点\n文字：好", [(4, "field_not_after")]),
        ("开课\n对象：everyone\n对照：60%\n文字：好", [(3, "field_holdout")]),
        ("开课\n对象：everyone\n对照：一半\n文字：好", [(3, "share")]),
        ("开课\n对象：everyone\n目标：开心\n文字：好", [(3, "metric")]),
        ("开课\n对象：everyone\n目标：点击 很久\n文字：好", [(3, "metric")]),
        ("开课\n对象：everyone\n试发：10%\n文字：好", [(3, "test")]),
        ("开课\n对象：everyone\n试发：10% 2小时\n文字：好", [(3, "field_test")]),
        ("开课\n对象：everyone\n性质：广告\n文字：好", [(3, "marketing")]),
        ("开课\n对象：everyone\n答题：三\n文字：好", [(3, "quiz")]),
        ("开课\n对象：everyone\n答题：3\n优惠券：早鸟", [(4, "two_kinds")]),
        ("开课\n对象：everyone\n图片：a\n文字：好", [(4, "not_of")]),
        ("开课\n对象：everyone\n选项：a/b\n文字：好", [(3, "not_of")]),
        ("开课\n对象：everyone\n通知：t\n字段：thing1", [(4, "field")]),
        ("开课\n对象：everyone\n字段：a=b\n文字：好", [(3, "field")]),
        ("开课\n对象：everyone\n版本 A\n版本 B\n文字：好", [(3, "says_nothing")]),
        ("开课\n对象：everyone\n文字：好\n版本 B\n文字：坏", [(3, "which_version")]),
        ("开课\n对象：everyone\n版本 A 0份\n文字：好", [(3, "version")]),
        (f"{'长' * 65}\n对象：everyone\n文字：好", [(1, "field_title")]),
        ("开课\n对象：everyone\n文字：", [(3, "says_nothing")]),
        ("开课\n对象：everyone\n对照：多\n时间：明天\n文字：好", [(3, "share"), (4, "time_clock")]),
    ],
)
def test_what_is_wrong_is_named_by_its_line(text: str, found: list[tuple[int, str]]) -> None:
    with pytest.raises(BadForm) as bad:
        read(text, NOW, EMPTY)
    assert [(one.line, one.why) for one in bad.value.faults] == found


def test_a_rule_that_cannot_be_read_says_where() -> None:
    with pytest.raises(BadForm) as bad:
        read("开课\n对象：active 30d adn tag:a\n文字：好", NOW, EMPTY)
    (fault,) = bad.value.faults
    assert fault.rule is not None
    assert (fault.rule.code, fault.rule.at, fault.rule.value) == ("and-or-expected", 12, "adn")


# Changing one

TWO = read(FULL, NOW, EMPTY)
ONE = read("开课\n给：tag:vip\n文字：今天开课", NOW, EMPTY)


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ("时间 明天 9:00", "starts_at", at("2026-11-22T09:00")),
        ("对象：tag:b or tag:c", "audience", "tag:b or tag:c"),
        ("标题 新名字", "title", "新名字"),
        ("话题 无", "topic", ""),
        ("对照 无", "holdout", 0.0),
        ("性质：通知", "marketing", False),
        ("audience tag:b", "audience", "tag:b"),
    ],
)
def test_an_edit_changes_what_it_names(said: str, field: str, value: object) -> None:
    changed = amend(said, NOW, replace(TWO, not_after=None))
    assert getattr(changed, field) == value
    assert changed.variants == TWO.variants


def test_an_edit_may_say_new_words() -> None:
    assert amend("文字 改到明天\n老地方见", NOW, ONE).variants == (
        Variant(content={"kind": "text", "text": "改到明天\n老地方见"}),
    )


def test_one_of_several_versions_is_changed_and_keeps_its_share() -> None:
    changed = amend("版本 B\n文字：不发券了", NOW, TWO).variants
    assert changed[0] == TWO.variants[0]
    assert changed[1] == Variant(name="B", weight=3, content={"kind": "text", "text": "不发券了"})


def test_a_second_version_is_added() -> None:
    changed = amend("版本 B\n文字：换个说法", NOW, ONE).variants
    assert [one.name for one in changed] == ["A", "B"]


def test_several_versions_replace_all() -> None:
    changed = amend("版本 A\n文字：一\n版本 C\n文字：三", NOW, TWO).variants
    assert [one.name for one in changed] == ["A", "C"]


def test_what_repeats_becomes_one_that_repeats_and_back() -> None:
    daily = amend("时间 每天 9:00", NOW, ONE)
    assert (daily.kind, daily.cron, daily.starts_at) == ("cron", "0 9 * * *", None)
    once = amend("时间 明天 9:00", NOW, daily)
    assert (once.kind, once.cron) == ("once", "")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "no_change"),
        ("随便改改", "stray"),
        ("时间 明天", "time_clock"),
        ("文字：这是哪一版", "which_version"),
        ("截止 今晚7点", "field_not_after"),
    ],
)
def test_an_edit_that_says_nothing_clear_is_refused(said: str, why: str) -> None:
    with pytest.raises(BadForm) as bad:
        amend(said, NOW, TWO)
    assert [one.why for one in bad.value.faults] == [why]


WORDS = st.text("今晚直播ab {}12：:\n", min_size=1, max_size=40).map(str.strip).filter(bool)


@given(
    texts=st.lists(WORDS, min_size=1, max_size=3),
    title=st.text("开课ab：12 ", min_size=1, max_size=12).map(lambda t: " ".join(t.split())),
    holdout=st.sampled_from((0.0, 0.05, 0.125, 0.5)),
    window=st.sampled_from((3600.0, 60.0, 86_400.0, 5400.0)),
    cron=st.sampled_from(("", "0 9 * * mon")),
)
def test_what_was_written_is_read_as_the_same(
    texts: list[str], title: str, holdout: float, window: float, cron: str
) -> None:
    new = NewCampaign(
        title=title or "空",
        channel="mp",
        audience="tag:a",
        kind="cron" if cron else "once",
        cron=cron,
        holdout=holdout,
        window_s=window,
        variants=tuple(
            Variant(name=name, weight=len(text), content={"kind": "text", "text": text})
            for name, text in zip("ABC", texts, strict=False)
        ),
    )
    assert read(write(new), NOW, EMPTY) == new if len(texts) > 1 else True
    assert amend(write(new), NOW, new) == new


@given(st.text(max_size=200) | st.text("标题对象：版本文字AB份\n:everyon 1%时间", max_size=120))
def test_whatever_is_typed_is_a_campaign_or_refused(text: str) -> None:
    try:
        new = read(text, NOW, EMPTY)
    except BadForm as bad:
        faults = bad.faults
    else:
        assert new.title
        assert new.variants
        return
    assert faults
    assert all(one.line >= 1 for one in faults)


def test_labels() -> None:
    assert label_of("时间： 明天 ") == ("时间", "明天 ")
    assert label_of("双十一：预告") is None
    assert label_of("时间 明天") is None
    assert label_of("时间 明天", spoken=True) == ("时间", "明天")


# What nobody says


@pytest.mark.parametrize(
    ("said", "routes"),
    [
        ("优惠券：早鸟\n文字：{{ coupon.code }}", ("custom",)),
        ("推荐：看看《{{ item.title }}》\n备选：py-101", ("custom",)),
        ("小程序：商店\nAppID：wx1\n页面：a\n封面：b", ("custom",)),
        ("版本 A\n文字：来吗\n版本 B\n优惠券：早鸟", ("custom",)),
        ("方式：客服消息、群发\n优惠券：早鸟", ("custom", "mass_list")),
        ("文字：来吗", ("custom", "mass_list")),
    ],
)
def test_what_differs_from_member_to_member_goes_one_by_one(
    said: str, routes: tuple[str, ...]
) -> None:
    assert read(f"一\n对象：everyone\n{said}", NOW, EMPTY).routes == routes


@pytest.mark.parametrize(
    ("said", "metric"),
    [
        ("文字：来吗", "reply"),
        ("文字：看 https://shop.example/a", "click"),
        ('文字：看 {{ link("py-101") }}', "click"),
        ("文章：开课\n封面：c\n正文：好", "click"),
        ("优惠券：早鸟", "claim"),
        ("版本 A\n文字：来吗\n版本 B\n优惠券：早鸟", "claim"),
        ("投票：哪天\n选项：一 / 二", "reply"),
        ("目标：购买\n文字：来吗", "purchase"),
    ],
)
def test_the_goal_is_what_readers_can_do(said: str, metric: str) -> None:
    assert read(f"一\n对象：everyone\n{said}", NOW, EMPTY).metric == metric


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("购买7天", ("purchase", 7 * 86_400.0)),
        ("购买，7天", ("purchase", 7 * 86_400.0)),
        ("购买、 2 小时", ("purchase", 7200.0)),
        ("Click 1d", ("click", 86_400.0)),
        ("领券", ("claim", EMPTY.window_s)),
    ],
)
def test_a_goal_and_its_time_however_they_are_parted(said: str, meant: tuple[str, float]) -> None:
    new = read(f"一\n对象：everyone\n目标：{said}\n文字：好", NOW, EMPTY)
    assert (new.metric, new.window_s) == meant


def test_a_new_one_may_do_without_colons_as_an_edit_may() -> None:
    new = read("给 大家\n对象 tag:Python\n时间 明天 9:00\n文字 好", NOW, EMPTY)
    assert (new.title, new.audience) == ("给 大家", "tag:Python")
    assert new.variants[0].content == {"kind": "text", "text": "好"}


def test_of_labels_that_are_as_near_the_one_that_begins_alike_is_named() -> None:
    with pytest.raises(BadForm) as bad:
        read("开课\n对象：everyone\n文子：好", NOW, EMPTY)
    assert [one.value for one in bad.value.faults if one.why == "label"] == ["文字"]


def test_a_step_of_a_journey_has_the_goal_of_what_it_says() -> None:
    text = "欢迎\n开始：关注\n第0天\n文字：欢迎\n第3天\n优惠券：早鸟\n文字：{{ coupon.code }}"
    steps = read_journey(text.replace("第0天", "对象：everyone\n第0天"), NOW, EMPTY).steps
    assert [(one.metric, one.routes) for one in steps] == [
        ("reply", ("custom", "mass_list")),
        ("claim", ("custom",)),
    ]


# Other words

HINT = "（回复「退订」不再收到）"
COUPON = read(f"券\n对象：tag:a\n优惠券：早鸟\n文字：{{{{ coupon.code }}}}\n{HINT}", NOW, EMPTY)


def text_of(new: NewCampaign, name: str = "A") -> str:
    return str(new.variants["AB".index(name)].content["text"])


def test_other_words_keep_the_line_that_says_how_to_hear_no_more() -> None:
    base = read(f"开课\n对象：tag:a\n文字：今天开课\n{HINT}", NOW, EMPTY)
    assert text_of(amend("文字 明天开课", NOW, base)) == f"明天开课\n{HINT}"
    assert text_of(amend("文字 明天开课，退订回复TD", NOW, base)) == "明天开课，退订回复TD"
    assert text_of(amend("性质：通知\n文字：明天开课", NOW, base)) == "明天开课"
    two = amend(f"版本 B\n文字：换个说法\n{HINT}", NOW, base)
    assert text_of(amend("版本 B\n文字：再换一个", NOW, two), "B") == f"再换一个\n{HINT}"


def test_other_words_for_a_coupon_are_still_a_coupon() -> None:
    changed = amend("文字 只送今天 {{ coupon.code }}", NOW, COUPON).variants[0].content
    assert changed == {
        "kind": "coupon",
        "offer": "早鸟",
        "text": f"只送今天 {{{{ coupon.code }}}}\n{HINT}",
    }
    plain = amend("版本 A\n文字：不送了", NOW, COUPON).variants[0].content
    assert plain["kind"] == "text"
