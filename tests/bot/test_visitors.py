"""Who opens a link: people are counted, programs are counted apart."""

from __future__ import annotations

import pytest

from bot.visitors import COOL_S, Visitors, address_of, in_wechat, kind_of, kind_of_agent

WECHAT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN"
)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
)

PEOPLE = [
    WECHAT,
    CHROME,
    CHROME + " Edg/131.0",
    WECHAT + " wxwork/4.1.22 ColorScheme/Light",
    "Mozilla/5.0 (Linux; Android 14; 23013RK75C) AppleWebKit/537.36 Chrome/126 Mobile QQ/9.0.8",
    "Mozilla/5.0 (Linux; Android 9; CUBOT X19 Build/PPR1) AppleWebKit/537.36 Chrome/86 Mobile",
    "Mozilla/5.0 (Linux; Android 13; ruby) AppleWebKit/537.36 Chrome/120 Mobile XiaoMi/MiuiBrowser",
]
PREVIEWS = [
    "WeChatShareExtensionNew/8.0.49 CFNetwork/1496.0.7 Darwin/23.5.0",
    "WeChat/8.0.49.33 CFNetwork/1496.0.7 Darwin/23.5.0",
    "Dalvik/2.1.0 (Linux; U; Android 14; 23013RK75C Build/UKQ1)",
    "okhttp/4.9.0",
    "Mozilla/5.0 (compatible; QQ-Preview/1.0)",
    "Mozilla/5.0 WxWork-Preview",
    "Mozilla/5.0 (compatible; TencentSecurity-URLCheck/2.0)",
    "facebookexternalhit/1.1",
    "TelegramBot (like TwitterBot)",
    "WhatsApp/2.23.20.0 A",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
]
BOTS = [
    "",
    "  ",
    "curl/8.5.0",
    "Wget/1.21",
    "python-requests/2.32",
    "Python/3.11 aiohttp/3.11",
    "Go-http-client/1.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0)",
    "Mozilla/5.0 (compatible; Bytespider; spider-feedback@bytedance.com)",
    "Sogou web spider/4.0",
    CHROME.replace("Chrome", "HeadlessChrome"),
    WECHAT + " some_robot",
]


@pytest.mark.parametrize("agent", PEOPLE)
def test_a_persons_browser_is_a_person(agent: str) -> None:
    assert kind_of("GET", {"User-Agent": agent}) is None


@pytest.mark.parametrize("agent", PREVIEWS)
def test_what_chats_fetch_is_a_preview(agent: str) -> None:
    assert kind_of_agent(agent) == "preview"


@pytest.mark.parametrize("agent", BOTS)
def test_crawlers_libraries_and_the_nameless_are_bots(agent: str) -> None:
    assert kind_of_agent(agent) == "bot"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "Prefetch"),
        ("X-Purpose", "preview"),
        ("X-Moz", "prefetch"),
    ],
)
def test_a_page_fetched_ahead_is_a_preview(name: str, value: str) -> None:
    assert kind_of("GET", {"User-Agent": CHROME, name: value}) == "preview"


def test_head_and_a_missing_name_are_no_person() -> None:
    assert kind_of("HEAD", {"User-Agent": CHROME}) == "preview"
    assert kind_of("GET", {}) == "bot"


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (WECHAT, True),
        (CHROME, False),
        (WECHAT + " wxwork/4.1.22", False),
        (WECHAT + " miniProgram/wx0123", False),
        ("", False),
    ],
)
def test_only_wechats_own_browser_can_say_who_it_is(agent: str, expected: bool) -> None:
    assert in_wechat(agent) is expected


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::1", "2001:db8::5", "2001:db8::5"),
        ("172.18.0.2", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("8.8.8.8", "10.0.0.1", "8.8.8.8"),
        ("127.0.0.1", " , ", "127.0.0.1"),
        ("127.0.0.1", "x" * 500, "x" * 64),
        (None, "203.0.113.9", ""),
        ("unix:", "203.0.113.9", "unix:"),
    ],
)
def test_only_our_own_proxy_is_believed(remote: str | None, forwarded: str, address: str) -> None:
    assert address_of(remote, forwarded) == address


def test_a_flood_is_one_address_at_one_link_in_one_second() -> None:
    visitors = Visitors(b"key", flood_per_s=3)
    here, there = visitors.digest("a"), visitors.digest("b")
    assert [visitors.floods(1, here, 100.0) for _ in range(5)] == [False] * 3 + [True] * 2
    assert not visitors.floods(2, here, 100.0)
    assert not visitors.floods(1, there, 100.0)
    assert visitors.floods(1, here, 105.0)
    assert not visitors.floods(1, here, 100.0 + COOL_S + 1)


def test_a_steady_pace_is_no_flood() -> None:
    visitors = Visitors(b"key", flood_per_s=3)
    here = visitors.digest("a")
    assert not any(visitors.floods(1, here, 100.0 + n / 3) for n in range(60))


def test_the_same_person_within_two_seconds_is_the_same_click() -> None:
    visitors = Visitors(b"key")
    lin, mei = visitors.digest("a", WECHAT), visitors.digest("a", CHROME)
    assert visitors.first(1, 0, lin, "A", 100.0, 2.0) == "A"
    assert visitors.first(1, 0, lin, "B", 101.9, 2.0) == "A"
    assert visitors.first(1, 0, mei, "C", 101.9, 2.0) == "C"
    assert visitors.first(1, 7, lin, "D", 101.9, 2.0) == "D"
    assert visitors.first(2, 0, lin, "E", 101.9, 2.0) == "E"
    assert visitors.first(1, 0, lin, "F", 102.0, 2.0) == "F"


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    visitors = Visitors(b"key", flood_per_s=1)
    first = visitors.digest("first")
    visitors.floods(1, first, 100.0)
    visitors.first(1, 0, first, "A", 100.0, 2.0)
    for n in range(10_000):
        name = visitors.digest(str(n))
        visitors.floods(1, name, 100.0)
        visitors.first(1, 0, name, "X", 100.0, 2.0)
    assert not visitors.floods(1, first, 100.0)
    assert visitors.first(1, 0, first, "B", 100.0, 2.0) == "B"
    assert len(visitors._seen) == len(visitors._clicks) == 10_000


def test_an_address_in_memory_means_nothing_without_the_key() -> None:
    assert Visitors(b"1").digest("203.0.113.9") != Visitors(b"2").digest("203.0.113.9")
