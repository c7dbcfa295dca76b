"""Who opens a link: a state nobody can forge, an exchange that gives no secret away."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bot.errcodes import Refused, Unheard, Unreachable, WeChatError
from bot.oauth import CodeExchange, OAuth, States, authorize_base, authorize_url, is_code
from bot.rules import Secret
from tests.bot.wechat_world import APP_ID, LIN, NOON, SECRET, World, open_world, serving

CLICK = bytes(range(16))
states = States(b"k" * 32)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


def exchange(world: World, api_base: str = "", **fields: float) -> CodeExchange:
    return CodeExchange(
        APP_ID,
        Secret(SECRET),
        session=world.session,
        api_base=api_base or world.fake.api_base,
        observe=lambda errcode: world.seen.append(("code", errcode)),
        **fields,
    )


# State


def test_a_state_reads_back_for_ten_minutes() -> None:
    state = states.write("TOKEN", CLICK, NOON)
    assert states.read("TOKEN", state, NOON) == CLICK
    assert states.read("TOKEN", state, NOON + 599) == CLICK
    assert states.read("TOKEN", state, NOON + 600) is None
    assert states.read("TOKEN", state, NOON - 1) is None


def test_a_state_is_of_one_link() -> None:
    state = states.write("TOKEN", CLICK, NOON)
    assert states.read("TOKEM", state, NOON) is None
    assert States(b"x" * 32).read("TOKEN", state, NOON) is None


@given(st.binary(min_size=16, max_size=16), st.floats(0, 4e9))
def test_wechat_takes_every_state(click: bytes, now: float) -> None:
    state = states.write("T" * 38, click, now)
    assert state.isascii()
    assert state.isalnum()
    assert len(state) <= 128


@given(st.integers(0, 71), st.sampled_from("0123456789abcdefABCDEFg"))
def test_any_change_of_a_state_is_refused(place: int, letter: str) -> None:
    state = states.write("TOKEN", CLICK, NOON)
    changed = state[:place] + letter + state[place + 1 :]
    assert (states.read("TOKEN", changed, NOON) is None) == (changed != state)


@pytest.mark.parametrize("text", ["", "0", "0" * 72, "0" * 73, "é" * 72, "x" * 9000])
def test_no_invented_state_is_read(text: str) -> None:
    assert states.read("TOKEN", text, NOON) is None


# The way there


def test_the_authorise_address_is_wechats_to_the_letter() -> None:
    async def nobody(code: str) -> str:
        return ""

    oauth = OAuth("mp", APP_ID, authorize_base("https://api.weixin.qq.com/"), nobody)
    url = authorize_url(oauth, "https://bot.example.com/r/T/back", "a1")
    assert url == (
        f"https://open.weixin.qq.com/connect/oauth2/authorize?appid={APP_ID}"
        "&redirect_uri=https%3A%2F%2Fbot.example.com%2Fr%2FT%2Fback"
        "&response_type=code&scope=snsapi_base&state=a1#wechat_redirect"
    )
    assert [name for name, _ in parse_qsl(urlsplit(url).query)] == [
        "appid", "redirect_uri", "response_type", "scope", "state",
    ]  # fmt: skip


def test_a_sandbox_serves_both_sides() -> None:
    assert authorize_base("http://127.0.0.1:8710") == "http://127.0.0.1:8710"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("061b7Y1w3abc-_", True),
        ("", False),
        ("a b", False),
        ("a&secret=x", False),
        ("é", False),
        ("x" * 129, False),
    ],
)
def test_only_what_can_be_a_code_is_asked_about(code: str, expected: bool) -> None:
    assert is_code(code) is expected


# The way back


async def test_a_code_gives_its_openid_once(world: World) -> None:
    code = world.fake.oauth.issue(LIN)
    assert await exchange(world)(code) == LIN
    with pytest.raises(Refused) as caught:
        await exchange(world)(code)
    assert caught.value.errcode == 40163
    assert world.seen == [("code", 0), ("code", 40163)]


async def test_a_stand_in_is_nobody(world: World) -> None:
    world.fake.oauth.snapshots.add(LIN)
    assert await exchange(world)(world.fake.oauth.issue(LIN)) == ""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 200),
        (b"[]", 200),
        (b"<html>", 200),
        (b'{"openid": 7}', 200),
        (b'{"openid": "a b"}', 200),
        (b'{"openid": "' + b"o" * 65 + b'"}', 200),
        (b'{"openid": "o_lin"}', 502),
        (b"[" * 100_000, 200),
        (b"\xff\xfe", 200),
    ],
)
async def test_an_answer_that_is_none_names_nobody(world: World, body: bytes, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status)

    async with serving(answer) as url:
        with pytest.raises(Unheard):
            await exchange(world, url)("code")
    assert world.seen == [("code", -2)]


async def test_a_redirect_is_not_followed_with_the_secret(world: World) -> None:
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=302, headers={"Location": "/stolen?" + request.query_string})

    async with serving(answer) as url:
        with pytest.raises(Unheard):
            await exchange(world, url)("code")
    assert seen == ["/sns/oauth2/access_token"]


async def test_silence_ends_in_time(world: World) -> None:
    world.fake.api_hang_s = 5.0
    with pytest.raises(Unheard):
        await exchange(world, timeout_s=0.05)("code")


async def test_no_error_holds_the_secret(world: World) -> None:
    world.fake.api_drop = True
    faults: list[WeChatError] = []
    for base in (world.fake.api_base, "http://127.0.0.1:1"):
        with pytest.raises(WeChatError) as caught:
            await exchange(world, base)("code")
        faults.append(caught.value)
    world.fake.api_drop = False
    with pytest.raises(Refused) as refused:
        await exchange(world)("unknown")
    assert isinstance(faults[1], Unreachable)
    for fault in (*faults, refused.value):
        told = "".join(traceback.format_exception(fault, chain=True)) + repr(fault.__context__)
        assert SECRET not in told


async def test_after_the_session_closed_nothing_leaves(world: World) -> None:
    await world.session.close()
    with pytest.raises(Unreachable):
        await exchange(world)("code")
