"""No open redirect: an address is plain and on the list, or no link leads there."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import targets

HOSTS = ("shop.example.com", ".school.example", "xn--fsqu00a.example")

ON_LIST = [
    "https://shop.example.com",
    "https://shop.example.com/",
    "http://shop.example.com/a?b=c#d",
    "https://shop.example.com?a=//evil.example",
    "https://shop.example.com#@evil.example",
    "https://shop.example.com/@evil.example",
    "https://shop.example.com/课程?名=值",
    "https://shop.example.com/a%0d%0ab",
    "HTTPS://SHOP.Example.COM/A",
    "https://shop.example.com:443/",
    "http://shop.example.com:80/",
    "https://school.example/",
    "https://www.school.example/",
    "https://a.b.school.example/",
    "https://xn--fsqu00a.example/",
]

OFF_LIST = [
    # Another host, however much of ours it shows
    "https://evil.example/",
    "https://evil.example/https://shop.example.com",
    "https://evil.example?shop.example.com",
    "https://evil.example#.shop.example.com",
    "https://shop.example.com.evil.example/",
    "https://evilshop.example.com/",
    "https://x.shop.example.com/",
    "https://example.com/",
    "https://evilschool.example/",
    "https://school.example.evil/",
    "https://.school.example/",
    # user@
    "https://shop.example.com@evil.example/",
    "https://shop.example.com:443@evil.example/",
    "https://user:pass@shop.example.com/",
    "https://@shop.example.com/",
    "https://shop.example.com%40evil.example/",
    # Slashes that browsers turn
    "https://evil.example\\@shop.example.com/",
    "https://shop.example.com\\.evil.example/",
    "https:\\\\shop.example.com/",
    "https:/\\shop.example.com/",
    "https://shop.example.com/\\evil.example",
    "https:///shop.example.com/",
    "https:////shop.example.com/",
    "https:/shop.example.com/",
    "https:shop.example.com/",
    "//shop.example.com/",
    "///shop.example.com/",
    "/\\shop.example.com/",
    "/r/abc",
    "shop.example.com/",
    "",
    "https://",
    "https://?shop.example.com",
    # Characters that browsers drop, turn or break lines with
    "https://shop.example.com/\r\nSet-Cookie: a=b",
    "https://shop.example.com/\n",
    "\thttps://shop.example.com/",
    " https://shop.example.com/",
    "https://shop.example.com/ ",
    "ht\ntps://shop.example.com/",
    "https://shop.exa\tmple.com/",
    "https://shop.example.com\x00.evil.example/",
    "https://shop.example.com/\x7f",
    "https://shop.example.com/\x85",
    "https://shop.example.com/\u2028",
    "https://shop.example.com/\ud800",
    "\ufeffhttps://shop.example.com/",
    # Other spellings of a host
    "https://shop.example.com./",
    "https://shop..example.com/",
    "https://shop\u3002example\u3002com/",
    "https://\uff53hop.example.com/",
    "https://shop%2eexample.com/",
    "https://ſhop.example.com/",
    "https://例子.example/",
    "https://shop.example.c\u200bom/",
    "https://-shop.example.com/",
    "https://shop_.example.com/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[shop.example.com]/",
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://localhost/",
    # Ports
    "https://shop.example.com:8443/",
    "https://shop.example.com:80/",
    "http://shop.example.com:443/",
    "https://shop.example.com:0443/",
    "https://shop.example.com:/",
    "https://shop.example.com:0/",
    "https://shop.example.com:65536/",
    "https://shop.example.com:443:443/",
    "https://shop.example.com:４４３/",
    # Other schemes
    "javascript:alert(1)//shop.example.com",
    "javascript://shop.example.com/%0aalert(1)",
    "data:text/html,https://shop.example.com/",
    "ftp://shop.example.com/",
    "weixin://shop.example.com/",
    "https+x://shop.example.com/",
    "view-source:https://shop.example.com/",
    "https://shop.example.com/" + "a" * 2048,
]


@pytest.mark.parametrize("url", ON_LIST)
def test_a_plain_address_of_a_listed_host_is_a_target(url: str) -> None:
    assert targets.on_list(url, HOSTS)


@pytest.mark.parametrize("url", OFF_LIST)
def test_everything_else_is_none(url: str) -> None:
    assert not targets.on_list(url, HOSTS)


def test_an_empty_list_allows_nothing() -> None:
    assert not targets.on_list("https://shop.example.com/", ())


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ftp://a.example/", "http"),
        ("https://a.example/ b", "blank"),
        ("https://a@b.example/", "user@"),
        ("https://a.example:99999/", "port"),
        ("https://a.example/" + "x" * 3000, "longer"),
    ],
)
def test_a_refusal_says_what_is_wrong(url: str, word: str) -> None:
    assert word in targets.problem(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8790/shop", "https://localhost/", "https://a.example:8443/x"]
)
def test_the_catalogue_may_name_any_host_and_port(url: str) -> None:
    assert targets.problem(url) == ""


@given(st.text(st.sampled_from("htps:/\\.@#?[]%aA。:\t1-"), max_size=24))
def test_what_passes_means_the_same_to_another_parser(tail: str) -> None:
    url = "https://" + tail
    if targets.on_list(url, (".a", "a", "aa")):
        parts = urlsplit(url)
        assert parts.username is None
        assert (parts.hostname or "").rpartition(".")[2] in ("a", "aa")
        assert url.lower().startswith(f"https://{parts.hostname}")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://a.example", "https://a.example?zq=R"),
        ("https://a.example/", "https://a.example/?zq=R"),
        ("https://a.example/?", "https://a.example/?zq=R"),
        ("https://a.example/x?a=1", "https://a.example/x?a=1&zq=R"),
        ("https://a.example/x?a=1&&b", "https://a.example/x?a=1&&b&zq=R"),
        ("https://a.example/x#top", "https://a.example/x?zq=R#top"),
        ("https://a.example/x?a=1#top?b=2#c", "https://a.example/x?a=1&zq=R#top?b=2#c"),
        ("https://a.example/#/route?a=1", "https://a.example/?zq=R#/route?a=1"),
        ("https://a.example/x?u=https://b?c", "https://a.example/x?u=https://b?c&zq=R"),
        ("https://a.example/?a=%26%3D+%20", "https://a.example/?a=%26%3D+%20&zq=R"),
        # An older click in the address is not this one's
        ("https://a.example/?zq=OLD&a=1", "https://a.example/?a=1&zq=R"),
        ("https://a.example/?%7Aq=OLD", "https://a.example/?zq=R"),
        ("https://a.example/?zq", "https://a.example/?zq=R"),
        ("https://a.example/?azq=1&zqa=2", "https://a.example/?azq=1&zqa=2&zq=R"),
        # Beyond ASCII
        ("https://a.example/课", "https://a.example/%E8%AF%BE?zq=R"),
        ("https://a.example/?课=“", "https://a.example/?%E8%AF%BE=%E2%80%9C&zq=R"),
    ],
)
def test_the_clicks_number_joins_query_and_fragment(url: str, wanted: str) -> None:
    assert targets.location(url, "zq", "R") == wanted


def test_without_a_name_nothing_is_added() -> None:
    assert targets.location("https://a.example/x?zq=1#课") == "https://a.example/x?zq=1#%E8%AF%BE"


@given(st.text(max_size=60), st.text(max_size=20))
def test_a_location_is_one_ascii_line_to_the_same_place(path: str, fragment: str) -> None:
    url = f"https://a.example/{path}#{fragment}"
    if targets.problem(url):
        return
    there = targets.location(url, "zq", "R-_1")
    assert there.isascii()
    assert not set(there) & set(" \r\n\t")
    parts = urlsplit(there)
    assert (parts.scheme, parts.netloc) == ("https", "a.example")
    assert parse_qsl(parts.query)[-1] == ("zq", "R-_1")


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("没有地址", []),
        ("见 https://a.example/x。", ["https://a.example/x"]),
        ("详见https://a.example/x里面有", ["https://a.example/x"]),
        ("(https://a.example/x)", ["https://a.example/x"]),
        ("https://a.example/x_(y), https://b.example!", ["https://a.example/x_(y)", "https://b.example"]),
        ('<a href="https://a.example/?q=1&b=2">看</a>', ["https://a.example/?q=1&b=2"]),
        ("HTTPS://A.example/", ["HTTPS://A.example/"]),
        ("https://", []),
        ("https://a.example/\nhttps://a.example/", ["https://a.example/"] * 2),
        ("“https://a.example/x”", ["https://a.example/x"]),
    ],
)  # fmt: skip
def test_addresses_in_a_text_end_where_a_chat_ends_them(text: str, urls: list[str]) -> None:
    assert [text[start:end] for start, end in targets.in_text(text)] == urls
