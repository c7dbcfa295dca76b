"""The fake's 网页授权 must refuse what the platform refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest

from sandbox.fake_oauth import ACCESS_TOKEN, AUTHORIZE, COOKIE
from sandbox.fake_wechat import FakeWeChat
from tests.sandbox.webhook import ACCOUNT

BACK = "https://bot.example.com/r/abc/back"


class Clock:
    """Unix seconds that stand still until they are moved."""

    at = 1_763_600_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fake(clock: Clock) -> AsyncIterator[FakeWeChat]:
    fake = FakeWeChat(ACCOUNT, now=clock)
    await fake.start()
    yield fake
    await fake.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


GOOD = {
    "appid": ACCOUNT.app_id,
    "redirect_uri": BACK,
    "response_type": "code",
    "scope": "snsapi_base",
    "state": "a1",
}


async def authorize(
    fake: FakeWeChat, http: aiohttp.ClientSession, query: dict[str, str], openid: str = "o_lin"
) -> tuple[int, str]:
    """Status, and Location or page, for a browser that is this person's."""
    url = f"{fake.api_base}{AUTHORIZE}?{urlencode(query)}"
    cookies = {COOKIE: openid} if openid else {}
    async with http.get(url, cookies=cookies, allow_redirects=False) as response:
        return response.status, response.headers.get("Location", await response.text())


async def exchange(
    fake: FakeWeChat, http: aiohttp.ClientSession, code: str, /, **changes: str
) -> dict[str, Any]:
    query = {
        "appid": ACCOUNT.app_id,
        "secret": ACCOUNT.app_secret,
        "code": code,
        "grant_type": "authorization_code",
    } | changes
    async with http.get(fake.api_base + ACCESS_TOKEN, params=query) as response:
        answer: dict[str, Any] = await response.json()
    return answer


async def test_a_visitor_comes_back_with_a_code_that_says_who_it_is(
    fake: FakeWeChat, http: aiohttp.ClientSession
) -> None:
    status, there = await authorize(fake, http, GOOD)
    assert status == 302
    assert there.startswith(BACK + "?code=")
    query = dict(parse_qsl(urlsplit(there).query))
    assert query["state"] == "a1"
    answer = await exchange(fake, http, query["code"])
    assert (answer["openid"], answer["scope"]) == ("o_lin", "snsapi_base")
    assert "errcode" not in answer


async def test_a_query_of_the_address_is_kept(
    fake: FakeWeChat, http: aiohttp.ClientSession
) -> None:
    _, there = await authorize(fake, http, GOOD | {"redirect_uri": BACK + "?a=1#x"})
    assert there.startswith(BACK + "?a=1&code=")
    assert there.endswith("&state=a1#x")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (GOOD | {"appid": "wx_other"}, "40013"),
        (dict(sorted(GOOD.items(), reverse=True)), "顺序"),
        ({name: GOOD[name] for name in list(GOOD)[:-1]}, "顺序"),
        (GOOD | {"response_type": "token"}, "顺序"),
        (GOOD | {"scope": "snsapi_login"}, "10005"),
        (GOOD | {"state": "a-b"}, "state"),
        (GOOD | {"state": "a" * 129}, "state"),
        (GOOD | {"redirect_uri": "https://other.example/"}, "10003"),
        (GOOD | {"redirect_uri": "ftp://bot.example.com/"}, "10003"),
    ],
)
async def test_a_wrong_authorise_address_ends_on_a_page(
    fake: FakeWeChat, http: aiohttp.ClientSession, query: dict[str, str], says: str
) -> None:
    fake.oauth.domain = "bot.example.com"
    status, page = await authorize(fake, http, query)
    assert status == 200
    assert says in page


async def test_outside_wechat_there_is_only_a_page(
    fake: FakeWeChat, http: aiohttp.ClientSession
) -> None:
    assert await authorize(fake, http, GOOD, "") == (200, "请在微信客户端打开链接")
    fake.oauth.visitor = "o_mei"
    assert (await authorize(fake, http, GOOD, ""))[0] == 302


@pytest.mark.parametrize("lacks", [{"kind": "subscription"}, {"verified": False}])
async def test_only_verified_service_accounts_have_it(
    http: aiohttp.ClientSession, lacks: dict[str, Any]
) -> None:
    fake = FakeWeChat(replace(ACCOUNT, **lacks))
    await fake.start()
    assert "10005" in (await authorize(fake, http, GOOD))[1]
    await fake.close()


async def test_a_code_works_once_and_for_five_minutes(
    fake: FakeWeChat, http: aiohttp.ClientSession, clock: Clock
) -> None:
    code, late = fake.oauth.issue("o_lin"), fake.oauth.issue("o_lin")
    assert (await exchange(fake, http, code))["openid"] == "o_lin"
    assert (await exchange(fake, http, code))["errcode"] == 40163
    clock.at += 300
    assert (await exchange(fake, http, late))["errcode"] == 42003


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"appid": "wx_other"}, 40013),
        ({"secret": "wrong"}, 40125),
        ({"grant_type": "client_credential"}, 40002),
        ({"code": ""}, 41008),
        ({"code": "never-issued"}, 40029),
    ],
)
async def test_a_wrong_exchange_has_its_code(
    fake: FakeWeChat, http: aiohttp.ClientSession, changes: dict[str, str], errcode: int
) -> None:
    answer = await exchange(fake, http, fake.oauth.issue("o_lin"), **changes)
    assert answer["errcode"] == errcode
    assert "openid" not in answer


async def test_a_snapshot_page_has_a_name_that_is_nobodys(
    fake: FakeWeChat, http: aiohttp.ClientSession
) -> None:
    fake.oauth.snapshots.add("o_lin")
    answer = await exchange(fake, http, fake.oauth.issue("o_lin"))
    assert answer["is_snapshotuser"] == 1
    assert answer["openid"] != "o_lin"


async def test_the_wire_shows_no_secret(fake: FakeWeChat, http: aiohttp.ClientSession) -> None:
    await exchange(fake, http, fake.oauth.issue("o_lin"))
    entry = fake.wire[-1]
    assert ACCOUNT.app_secret not in entry.query
    assert entry.reply_body.count("…") == 2
