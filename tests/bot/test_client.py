"""The client against the fake WeChat over HTTP: what became of a call, secrecy, menus."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web

from bot.client import (
    NO_ANSWER,
    ChannelSide,
    Refused,
    Unheard,
    Unreachable,
    WeChatError,
    new_session,
)
from bot.config import MenuButton
from bot.errcodes import Action
from handlers.context import ApiRefused
from tests.bot.wechat_world import (
    FOREIGN_TOKEN,
    LIN,
    NOON,
    SECRET,
    SEND,
    TOKEN,
    World,
    answers,
    open_world,
    serving,
    text,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


# What became of a call


async def test_a_refused_connection_never_left(world: World) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match=r"Connection refused|Connect call failed|refused"):
        await world.client(api_base=f"http://127.0.0.1:{port}").send_custom(text("你好"))
    assert world.seen == [(TOKEN, NO_ANSWER)]


async def test_an_unknown_host_never_left(world: World) -> None:
    with pytest.raises(Unreachable):
        await world.client(api_base="http://wechat.invalid").send_custom(text("你好"))


async def test_waiting_for_a_free_connection_is_not_a_sent_call(world: World) -> None:
    await world.client().token()
    async with new_session(limit=1) as narrow:
        world.session = narrow
        client = world.client(timeout_s=0.6)
        await client.token()
        world.fake.api_hang_s = 0.55
        first = asyncio.create_task(client.send_custom(text("一")))
        await asyncio.sleep(0.05)
        with pytest.raises(Unreachable):
            await client.send_custom(text("二"))
        await first
    assert [received.content for received in world.fake.members[LIN].inbox] == ["一"]


async def test_a_timeout_after_sending_is_unheard(world: World) -> None:
    client = world.client(timeout_s=0.2)
    await client.token()
    world.fake.api_hang_s = 0.5
    with pytest.raises(Unheard, match="in time"):
        await client.send_custom(text("你好"))
    assert world.seen[-1] == (SEND, NO_ANSWER)
    await asyncio.sleep(0.6)
    assert world.sends() == 1  # never repeated by itself


async def test_a_connection_cut_after_sending_is_unheard(world: World) -> None:
    client = world.client()
    await client.token()
    world.fake.api_drop = True
    with pytest.raises(Unheard):
        await client.send_custom(text("你好"))
    assert world.sends() == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>bad gateway</html>", 502),
        (b"", 503),
        (b'{"errcode": 40003, "errmsg": "invalid openid"}', 500),
        (b"<html>welcome</html>", 200),
        (b"", 200),
        (b"[1, 2]", 200),
        (b"null", 200),
        (b'{"errcode": "many", "errmsg": "?"}', 200),
        (b'{"errcode": null}', 200),
        (b'{"errcode": true}', 200),
        (b"{}", 200),  # no errcode: not WeChat's answer to a send
        (b"[" * 200_000, 200),
        (b'{"errcode": ' + b"9" * 5000 + b"}", 200),
        (b'{"a": "' + b"x" * (3 << 20) + b'"}', 200),
        (b"\xff\xfe\x00", 200),
    ],
)
async def test_an_answer_that_says_nothing_is_unheard(
    world: World, body: bytes, status: int
) -> None:
    async with serving(answers(body, status)) as base:
        with pytest.raises(Unheard):
            await world.client(api_base=base).send_custom(text("你好"))


async def test_an_endless_answer_is_cut_off(world: World) -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)
            sent += 65536

    async with serving(pour) as base:
        with pytest.raises(Unheard, match="bytes"):
            await world.client(api_base=base).call("GET", "/cgi-bin/user/get")
    assert sent < 40 << 20


async def test_redirects_are_not_followed(world: World) -> None:
    visited: list[str] = []

    async def trap(request: web.Request) -> web.Response:
        visited.append(request.path_qs)
        return web.Response(status=302, headers={"Location": "/elsewhere?" + request.query_string})

    async with serving(trap) as base:
        with pytest.raises(Unreachable, match="302"):
            await world.client(api_base=base).call("GET", "/cgi-bin/user/get")
    assert len(visited) == 1


async def test_an_errcode_may_come_as_a_string(world: World) -> None:
    refusal = answers('{"errcode": "45015", "errmsg": "out of time limit rid: ab-1"}')
    async with serving(refusal) as base:
        with pytest.raises(Refused) as caught:
            await world.client(api_base=base).send_custom(text("你好"))
    assert (caught.value.errcode, caught.value.rid) == (45015, "ab-1")
    async with serving(answers('{"errcode": "0", "errmsg": "ok"}')) as base:
        await world.client(api_base=base).send_custom(text("你好"))


async def test_a_mass_send_submitted_before_brings_its_id(world: World) -> None:
    said = '{"errcode": 45065, "errmsg": "clientmsgid exist", "msg_id": "3147494552000000001"}'
    async with serving(answers(said)) as base:
        with pytest.raises(Refused) as caught:
            await world.client(api_base=base).call("POST", "/cgi-bin/message/mass/sendall", json={})
    assert caught.value.action is Action.ALREADY_DONE
    assert caught.value.msg_id == 3147494552000000001


@pytest.mark.parametrize("errcode", [45015, 45047, 40003, 43004])
async def test_a_member_out_of_reach_is_given_up(world: World, errcode: int) -> None:
    world.fake.api_errors[SEND] = [errcode]
    client = world.client()
    with pytest.raises(Refused) as caught:
        await client.send_custom(text("你好"))
    assert caught.value.action is Action.GIVE_UP
    assert caught.value.errcode == errcode
    await client.send_custom(text("你好"))  # other members are not affected


async def test_the_fakes_own_allowance_is_felt(world: World) -> None:
    client = world.client()
    for number in range(5):
        await client.send_custom(text(str(number)))
    with pytest.raises(Refused) as caught:
        await client.send_custom(text("六"))
    assert caught.value.errcode == 45047
    with pytest.raises(Refused) as caught:
        await client.send_custom(text("你好", "oNobody"))
    assert caught.value.errcode == 40003


async def test_a_minute_limit_is_kept_for_a_minute_and_for_that_api_only(world: World) -> None:
    world.fake.api_errors[SEND] = [45011]
    client = world.client()
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            await client.send_custom(text("你好"))
        assert caught.value.action is Action.WAIT_MINUTE
    assert world.sends() == 1
    await client.typing(LIN)
    world.clock.at += 61
    await client.send_custom(text("你好"))


async def test_a_used_up_day_ends_at_midnight_in_shanghai(world: World) -> None:
    world.fake.api_errors[SEND] = [45009]
    client = world.client()
    with pytest.raises(Refused):
        await client.send_custom(text("你好"))
    world.clock.at = NOON + 12 * 3600 - 1
    with pytest.raises(Refused) as caught:
        await client.send_custom(text("你好"))
    assert caught.value.action is Action.STOP_API_UNTIL_TOMORROW
    assert world.sends() == 1
    world.clock.at = NOON + 12 * 3600
    await client.send_custom(text("你好"))


async def test_calls_are_counted_by_api_and_shanghai_day(world: World) -> None:
    client = world.client()
    await client.send_custom(text("一"))
    world.clock.at = NOON + 12 * 3600
    await client.send_custom(text("二"))
    world.fake.api_errors[SEND] = [45015]
    with pytest.raises(Refused):
        await client.send_custom(text("三"))
    used = world.store.quota.used
    assert await used("mp", "message/custom/send", "2025-11-21") == 1
    assert await used("mp", "message/custom/send", "2025-11-22") == 2
    assert await used("mp", "stable_token", "2025-11-21") == 1
    assert [errcode for path, errcode in world.seen if path == SEND] == [0, 0, 45015]


async def test_a_closed_session_means_that_nothing_was_sent(world: World) -> None:
    client = world.client()
    await client.token()
    await world.session.close()
    with pytest.raises(Unreachable, match="shutting down"):
        await client.send_custom(text("你好"))
    assert world.sends() == 0


async def test_a_failing_store_means_that_nothing_was_sent(world: World) -> None:
    client = world.client()
    await client.token()
    await world.store.close()
    with pytest.raises(Unreachable, match="store"):
        await client.send_custom(text("你好"))
    assert world.sends() == 0


# What is on the wire, and what is not in the log


async def test_text_leaves_as_raw_utf_8(world: World) -> None:
    client = world.client()
    await client.send_custom(text('课程"优惠"\n😀 \\u4f60 \ud83d'))
    body = next(entry.body for entry in world.fake.wire if entry.title == f"POST {SEND}")
    assert "课程" in body
    assert "😀" in body
    assert not re.search(r"(?<!\\)(?:\\\\)*\\u[0-9a-f]{4}", body)
    assert world.fake.members[LIN].inbox[0].content == '课程"优惠"\n😀 \\u4f60 ?'


def _everything(error: BaseException) -> str:
    """All a careless logger could print of an error and what hangs on it."""
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))
    parts = [shown]
    for other in (error.__cause__, error.__context__):
        if other is not None:
            parts.append(_everything(other))
    return "\n".join(parts)


async def test_no_error_and_no_log_line_holds_token_secret_or_openid(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = world.client(timeout_s=0.3)
    token = await client.token()

    async def parrot(request: web.Request) -> web.Response:
        said = f"bad {request.query['access_token']} {SECRET} {await request.text()}"
        return web.json_response({"errcode": 99999, "errmsg": said})

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    servers = [
        parrot,
        half,
        answers("x", 200, **{"Content-Encoding": "gzip"}),
        answers("x", 302, Location="http://[bad"),
    ]
    world.fake.api_hang_s = 1.0
    errors: list[WeChatError] = []
    async with AsyncExitStack() as stack:
        bases = [await stack.enter_async_context(serving(server)) for server in servers]
        bases += [world.fake.api_base, "http://127.0.0.1:1", "http://wechat.invalid"]
        for base in bases:
            # "two" has to fetch its token there, "mp" brings the fake's along.
            one = world.client(api_base=base, timeout_s=0.3)
            two = world.client(api_base=base, timeout_s=0.3, channel="two")
            for call in (
                one.send_custom(text("你好")),
                two.call("GET", "/x", params={"openid": LIN}),
            ):
                with pytest.raises(WeChatError) as caught:
                    await call
                errors.append(caught.value)
    world.fake.api_hang_s = 0.0
    world.fake.api_drop = True
    with pytest.raises(WeChatError) as caught:
        await client.send_custom(text("你好"))
    errors.append(caught.value)
    shown = "\n".join(map(_everything, errors)) + caplog.text
    for hidden in (token, FOREIGN_TOKEN, SECRET, LIN):
        assert hidden not in shown
    assert "access_token=" not in shown


# Menus


MENU = (
    MenuButton(
        name="课程",
        sub=(
            MenuButton(name="全部课程", type="click", key="courses"),
            MenuButton(name="官网", type="view", url="https://example.com/"),
        ),
    ),
    MenuButton(name="签到", type="click", key="checkin"),
)


async def test_the_menu_goes_up_as_configured(world: World) -> None:
    assert await ChannelSide(world.client(), MENU).push_menu() == 2
    assert world.fake.menu is not None
    course = world.fake.menu["button"][0]
    assert course["name"] == "课程"
    assert [one["name"] for one in course["sub_button"]] == ["全部课程", "官网"]
    assert await ChannelSide(world.client(), ()).push_menu() == 0
    assert world.fake.calls["/cgi-bin/menu/create"] == 1


async def test_a_refused_menu_tells_the_operator_what_to_do(world: World) -> None:
    world.fake.api_errors["/cgi-bin/menu/create"] = [48001]
    with pytest.raises(ApiRefused, match=r"接口权限.*48001"):
        await ChannelSide(world.client(), MENU).push_menu()
    world.fake.api_down = True
    with pytest.raises(ApiRefused, match=r"没有回音|连不上"):
        await ChannelSide(world.client(), MENU).push_menu()


async def test_typing_is_shown(world: World) -> None:
    await world.client().typing(LIN)
    assert world.fake.members[LIN].typing
