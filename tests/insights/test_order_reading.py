"""What the rules of order read in a message."""

from __future__ import annotations

import pytest

from insights.order_reading import (
    MAX_CHARS,
    imitates,
    lesson,
    mark,
    masked,
    namesake,
    own_words,
    read,
)

OWN = ("zhixing.example", "www.zhiqun-class.com")


@pytest.mark.parametrize(
    "typed",
    ["加微信", "加微　信", "加\u200b微\u200d信", "加 薇 信", "加·微*信", "加微信。", "【加微信】"],
)
def test_what_is_dressed_up_is_the_same_text(typed: str) -> None:
    assert mark(typed) == mark("加微信")


def test_letters_of_other_alphabets_are_those_they_look_like() -> None:
    assert read("ВІТСОІN").bare == read("bitcoin").bare
    assert read("🇻🇽").bare == "vx"
    assert read("ｖⅩ").bare == "vx"


@pytest.mark.parametrize(
    ("typed", "hosts"),
    [
        ("看 https://Shop.Example/a?b=c 谢谢", ["shop.example"]),
        ("请看www.abc.com谢谢", ["www.abc.com"]),
        ("https://zhixing.example@evil.top/x", ["evil.top"]),
        ("http://evil.top:8080/", ["evil.top"]),
        ("ＨＴＴＰ：／／ｅｖｉｌ．ｔｏｐ", ["evil.top"]),
        ("node.js 和 main.py，见 3.11 版 README.md", []),
        ("邮箱 lin@shop.com", []),
        ("v1.2.3...好的...", []),
        ("http://", []),
        ("a.com b.com a.com", ["a.com", "b.com"]),
        ("http://xn--80ak6aa92e.com", ["аррӏе.com"]),
        ("http://xn--\ud800.com http://xn--999999999.com", ["xn--\ud800.com", "xn--999999999.com"]),
    ],
)
def test_links_are_found_by_where_they_lead(typed: str, hosts: list[str]) -> None:
    assert [link.host for link in read(typed).links] == hosts


def test_a_spelt_dot_is_a_hidden_link() -> None:
    assert [link.hidden for link in read("去 abc点com 看").links] == [True]
    assert read("到点了，comic 更新").links == ()


@pytest.mark.parametrize(
    ("host", "of"),
    [
        ("zhix1ng.example", "zhixing.example"),
        ("zhíxing.example", "zhixing.example"),
        ("zhіхіng.example", "zhixing.example"),
        ("zhixing.example.evil.top", "zhixing.example"),
        ("zhiqun-c1ass.com", "www.zhiqun-class.com"),
        ("shop.zhiqun-class.com", ""),
        ("zhiqun-class.com.cn", ""),
        ("zhiqun-class.top", ""),
        ("m.zhixing.example", ""),
        ("zhixing.example", ""),
        ("zhixin.example", ""),
        ("shop.example", ""),
        ("", ""),
    ],
)
def test_a_host_that_passes_for_ours_is_named(host: str, of: str) -> None:
    assert imitates(host, OWN) == of


def test_a_namesake_is_somebody_else_with_our_name() -> None:
    assert namesake("zhiqun-class.top", OWN)
    assert not namesake("shop.zhiqun-class.com", OWN)
    assert not namesake("other.top", OWN)
    assert not namesake("py.top", ("py.example",)), "two letters are nobody's name"


@pytest.mark.parametrize(
    "typed",
    [
        "加微信 abc12345",
        "➕V：abc12345",
        "微♥信♥abc12345",
        "vx abc12345",
        "QQ群 123456789",
        "电话 138 0013 8000",
        "+v abc12345",
    ],
)
def test_a_contact_is_seen_however_it_is_typed(typed: str) -> None:
    assert read(typed).contact


@pytest.mark.parametrize(
    "typed",
    [
        "微信支付失败了怎么办",
        "订单 202611211234567890",
        "GDP 增长 5.2%",
        "qq 邮箱收不到",
        "13 点开始",
    ],
)
def test_what_is_no_contact_is_none(typed: str) -> None:
    assert not read(typed).contact


def test_a_qr_code_is_read_like_words() -> None:
    reading = read("扫一扫", "https://u.wechat.com/abc")
    assert reading.joins
    assert [link.host for link in reading.links] == ["u.wechat.com"]


def test_what_is_quoted_is_not_ones_own() -> None:
    quoting = "「张三：加微信 abc12345，日赚千元」\n- - - - - - - - - - -\n这是骗子吧"
    assert own_words(quoting) == "这是骗子吧"
    assert own_words("日赚千元 这是真的吗", "日赚千元") == "这是真的吗"
    assert own_words("「知行」这本书好看吗") == "「知行」这本书好看吗"
    assert own_words("「" * 10_000) == "「" * 10_000


def test_what_an_operator_sees_holds_no_number_and_no_live_link() -> None:
    typed = "加 V：abc12345 或 138-0013-8000，lin@shop.com @小明 <a href='http://evil.top'>点我</a>"
    shown = masked(typed, 200)
    for secret in ("abc12345", "8000", "lin@", "小明", "<a", "evil.top", "://"):
        assert secret not in shown
    assert masked("一三八零零一三八零零零") == "***"
    assert len(masked("字" * 500)) == 60
    assert masked("\u200b") == ""


def test_a_lesson_keeps_the_shape_and_nobodys_number() -> None:
    assert (
        lesson("@小明 加微信 abc12345，电话 13800138000") == "@用户 加微信 abc123，电话 00000000000"
    )


@pytest.mark.parametrize(
    "hostile",
    ["加" * 10_000, "a." * 5000, "a-" * 5000, "https://" * 1300, "\ufdfa" * 10_000, "1 " * 5000],
)
def test_of_a_huge_text_a_bounded_part_is_read(hostile: str) -> None:
    reading = read(hostile + "结尾加微信 abc12345")
    assert len(reading.levelled) <= MAX_CHARS
    assert len(reading.links) <= 10
    assert reading.contact, "adverts say at the end what they want"
