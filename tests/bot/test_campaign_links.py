"""Where words could lead: what a chat makes a link of, and what it does not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.campaign_content import ContentError
from bot.campaign_links import addresses, allowed, beside_gaps, check, strays

HOSTS = ("shop.example.com", ".school.example")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("周五 20:00 开课，3.5 折。v1.2，第 1/2 节", ()),
        ("学 ASP.NET、Node.js/React、Socket.io，写信到 a@evil.com", ()),
        ("见https://a.com/x，好", ("https://a.com/x",)),
        ("（https://a.com/x(1)）", ("https://a.com/x(1)",)),
        ("看看 HTTPS://A.com.", ("HTTPS://A.com",)),
        ("看链接https://a.com还有http://b.cn", ("https://a.com", "http://b.cn")),
        ("abchttps://a.com", ("https://a.com",)),
        ("https://例子.com", ("https://",)),
        ("网址:www.a.example", ("www.a.example",)),
        ("到evil.com吧，或 evil.com.cn/x", ("evil.com", "evil.com.cn/x")),
        ("bit.ly/abc", ("bit.ly/abc",)),
        ("weixin://dl/business", ("weixin://dl/business",)),
        ('<a href="//evil.com">点</a>', ("//evil.com", "evil.com")),
        ("<a href='javascript:x'>点</a>", ("javascript:x",)),
        ("<A HREF = evil>点</A>", ("evil",)),
        ('<a href="">点</a>', ()),
        ("https://user@a.com/", ("https://user@a.com/",)),
    ],
)
def test_what_a_reader_could_follow(text: str, found: tuple[str, ...]) -> None:
    assert addresses(text) == found


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("https://shop.example.com/a", True),
        ("shop.example.com/a", True),
        ("//shop.example.com/a", True),
        ("www.school.example", True),
        ("https://shop.example.com:8443/", False),
        ("https://shop.example.com@evil.com/", False),
        ("https://shop.example.com.evil.com/", False),
        ("weixin://shop.example.com", False),
        ("javascript:x", False),
        ("https://", False),
    ],
)
def test_only_pages_on_the_list(address: str, may: bool) -> None:
    assert allowed(address, HOSTS) is may


def test_our_own_are_ours_only_whole() -> None:
    ours = addresses("https://far.example/a")
    assert strays("https://far.example/a，好", HOSTS, ours) == []
    assert strays("https://far.example/ab", HOSTS, ours) == ["https://far.example/ab"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("https://a.com {{ points }}", []),
        ("{{ tier }}会员，https://a.com", []),
        ('{{ link("https://a.com") }}', []),
        ("<a href='{{ item.url }}'>", []),
        ("https://a.com/{{ points }}", ["https://a.com/"]),
        ("https://a.com.{{ topic }}", ["https://a.com"]),
        ("{{ topic }}https://a.com", ["https://a.com"]),
        ("{% if points > 1 %}www.a.com{% endif %}", ["www.a.com"]),
        ("htt{# #}ps://a.com", ["ps://a.com"]),
    ],
)
def test_what_touches_a_gap(source: str, found: list[str]) -> None:
    assert beside_gaps(source) == found


def test_the_last_word_names_the_field() -> None:
    with pytest.raises(ContentError) as caught:
        check({"question": "好", "options": ["a", "evil.com"]}, HOSTS, ())
    assert caught.value.code == "link"
    with pytest.raises(ContentError) as caught:
        check({"data": {"thing1": "www.evil.com"}, "url": "https://shop.example.com"}, HOSTS, ())
    assert caught.value.where == "data"
    with pytest.raises(ContentError):
        check({"data": {"thing1": "好"}, "url": "https://evil.com"}, HOSTS, ())
    check({"text": "好", "url": "", "title": "Node.js", "options": ["a"]}, HOSTS, ())


@given(st.text(alphabet="ahtps:/.w=ef\"'<>@-（）com例 \x00{}%#", max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    for address in addresses(text):
        assert address == "" or address in text
        allowed(address, HOSTS)


def test_the_worst_texts_are_read_at_once() -> None:
    for part in ("a.", "a-", "x", "://", "href=", "www.", "a.com/", "(", "https://a)"):
        text = (part * 2048)[:4000]
        began = time.process_time()
        addresses(text)
        # Some thousandths; a pattern that tries everything twice would take seconds.
        assert time.process_time() - began < 0.5, part
