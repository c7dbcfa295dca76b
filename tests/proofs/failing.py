"""How a channel fails: each way is what one bad peer does, `scale` times as much by night.

A way comes back when it has done its worst; what it left under way stays so. None of them asserts
that its own channel answers: what is measured is the others. Bodies are made before they are
sent, so that the time goes to the bot.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import aiohttp

from sandbox.fake_codec import sign, to_xml
from tests import build, build_wecom
from tests.build import encrypt
from tests.proofs.four_channels import (
    BOOM,
    BOSS,
    CLASS,
    GATEWAY,
    LONG,
    ROBOT,
    STUCK,
    TOKEN,
    Four,
)
from tests.proofs.world import ACCOUNT, faq_number

MP = "mp"
"""The official account that fails; "shop" never does."""

AT_ONCE = 400
"""Connections of one way: the door has 1000 in all, and cannot know whose they are."""

Way = Callable[[Four, int], Awaitable[None]]
Request = tuple[Mapping[str, str], bytes]

_GIVEN_UP = (aiohttp.ClientError, TimeoutError, OSError)
_JUNK = (b"", b"\x00\xff\xfe", b"{", b"[]", b'"x"', b"null", b"NaN", b"<xml>", b"<a/>" * 9, b"\xed")


async def knock(
    four: Four, channel: str, requests: Iterable[Request], **headers: str
) -> Counter[int]:
    """Post these, many at once; how often each status came back, 0 for none."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(query: Mapping[str, str], body: bytes) -> int:
        with suppress(*_GIVEN_UP):
            async with (
                room,
                four.session.post(
                    four.url(channel), params=query, data=body, headers=headers
                ) as response,
            ):
                await response.read()
                return response.status
        return 0

    return Counter(await asyncio.gather(*(one(*request) for request in requests)))


async def dawdle(four: Four, channel: str, count: int, headers: str = "") -> None:
    """Connections that send a part of a body and then nothing, until the bot has enough."""

    async def one() -> None:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", four.app.webhook_port)
            writer.write(
                f"POST /hook/{channel} HTTP/1.1\r\nHost: x\r\n{headers}"
                "Content-Length: 400\r\n\r\n<xml>".encode()
            )
            four.dawdling.append(asyncio.ensure_future(_to_the_end(reader, writer)))

    await asyncio.gather(*(one() for _ in range(count)))


async def _to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        await reader.read()
    writer.close()


async def hang_up(four: Four, channel: str, count: int, requests: Iterable[Request] = ()) -> None:
    """Connections that end without a word: in the headers, in the body, and before the answer."""
    whole = [_as_http(channel, *request) for request in requests]

    async def one(number: int) -> None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", four.app.webhook_port)
            if whole and number % 3 == 0:
                writer.write(whole[number % len(whole)])
            elif number % 3 == 1:
                writer.write(f"POST /hook/{channel} HTTP/1.1\r\nHost: x\r\nContent-".encode())
            else:
                writer.write(_as_http(channel, {}, b"x" * 300)[:-200])
            await writer.drain()
            await asyncio.sleep(0.002 * (number % 5))
            writer.transport.abort()

    await asyncio.gather(*(one(number) for number in range(count)))


def _as_http(channel: str, query: Mapping[str, str], body: bytes) -> bytes:
    head = f"POST /hook/{channel}?{urlencode(query)} HTTP/1.1\r\nHost: x\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def overfill(four: Four, channel: str, count: int, headers: str = "") -> None:
    """Bodies far over the limit: said before, and not said before."""

    async def one(number: int) -> None:
        head = f"POST /hook/{channel} HTTP/1.1\r\nHost: x\r\n{headers}"
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", four.app.webhook_port)
            if number % 2:
                writer.write(f"{head}Content-Length: 90000000\r\n\r\n".encode())
            else:
                writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            for _ in range(24):
                writer.write(piece)
                await writer.drain()
            writer.close()

    await asyncio.gather(*(one(number) for number in range(count)))


# An official account


def _official(four: Four, who: str, text: str, **fields: Any) -> Request:
    fake = four.fake(MP)
    post = fake.post(fake.message(who, "text", Content=text, **fields))
    return post.query, post.body.encode()


def _enveloped(
    plain: bytes, *, aes_key: str = ACCOUNT.aes_key, token: str = ACCOUNT.token
) -> Request:
    stamp, nonce = str(int(time.time())), "123456"
    sealed = encrypt(plain, aes_key=aes_key, app_id=f"{ACCOUNT.app_id}0")
    query = {
        "timestamp": stamp,
        "nonce": nonce,
        "encrypt_type": "aes",
        "signature": sign(token, stamp, nonce),
        "msg_signature": sign(token, stamp, nonce, sealed),
    }
    return query, to_xml({"ToUserName": ACCOUNT.gh_id, "Encrypt": sealed}).encode()


async def official_garbage(four: Four, scale: int) -> None:
    """Bodies that are nothing, outside and inside the seal."""
    deep = b"<xml>" + b"<a>" * 4000 + b"</a>" * 4000 + b"</xml>"
    query, good = _official(four, "o_bad", "在吗")
    requests = [(query, junk) for junk in (*_JUNK, good[:99], good[::-1], deep)]
    requests += [_enveloped(junk) for junk in (*_JUNK, deep, b"<xml><MsgType>?</MsgType></xml>")]
    statuses = await knock(four, MP, requests * scale)
    assert not statuses.keys() - {400, 403, 413, 503}, statuses


async def official_forged(four: Four, scale: int) -> None:
    """Wrong signatures, keys, times and tokens."""
    query, body = _official(four, "o_bad", "在吗")
    forged: list[Request] = [
        ({**query, "msg_signature": "0" * 40}, body),
        ({**query, "timestamp": "1"}, body),
        ({}, body),
        _enveloped(b"<xml></xml>", aes_key=build.AES_KEY),
        _enveloped(b"<xml></xml>", token="othertoken"),
    ]
    statuses = await knock(four, MP, forged * 5 * scale)
    assert statuses == {403: 25 * scale}, statuses


async def official_flood(four: Four, scale: int) -> None:
    """Hundreds of questions at once, each of them twice, and all that forty members write."""
    requests = [
        _official(four, f"o_flood_{number % (40 * scale)}", faq_number(number % 7).question)
        for number in range(40 * scale)
    ]
    await knock(four, MP, requests * 2)


async def official_dawdling(four: Four, scale: int) -> None:
    """Slow bodies."""
    await dawdle(four, MP, 50 * min(scale, 4))


async def official_storm(four: Four, scale: int) -> None:
    """Connections that break off, some of them with a question whose answer nobody reads."""
    requests = [_official(four, f"o_gone_{n}", faq_number(n % 7).question) for n in range(30)]
    await hang_up(four, MP, 60 * scale, requests)


async def official_huge(four: Four, scale: int) -> None:
    """Bodies of ninety megabytes."""
    await overfill(four, MP, 4 * scale)


async def official_api(four: Four, scale: int) -> None:
    """WeChat's API takes calls and says nothing: answers in parts, and who follows."""
    fake = four.fake(MP)
    fake.api_hang_s = 3600.0
    people = [f"o_api_{number}" for number in range(12 * scale)]
    await asyncio.gather(*(fake.send_text(who, LONG) for who in people))
    await asyncio.gather(*(fake.follow(f"{who}_new") for who in people))


async def official_lies(four: Four, scale: int) -> None:
    """One MsgId for all that many write, members without a name, and the gateway's operator."""
    requests = []
    for number in range(40 * scale):
        who = ("", "o_" + "x" * 3000, BOSS, f"o_lie_{number}")[number % 4]
        lie = {"MsgId": 7, "ToUserName": ("gh_other", ACCOUNT.gh_id)[number % 2]}
        requests.append(_official(four, who, f"谎话{number}", **lie))
    await knock(four, MP, requests)


async def official_faults(four: Four, scale: int) -> None:
    """Handlers that raise, and handlers that never end."""
    requests = [_official(four, f"o_boom_{n}", BOOM) for n in range(15 * scale)]
    stuck = [_official(four, f"o_stuck_{n}", STUCK) for n in range(40 * scale)]
    four.left_alone(knock(four, MP, stuck))
    await knock(four, MP, requests)


OFFICIAL: Mapping[str, Way] = {
    "garbage": official_garbage,
    "forged": official_forged,
    "flood": official_flood,
    "dawdling": official_dawdling,
    "storm": official_storm,
    "huge": official_huge,
    "api": official_api,
    "lies": official_lies,
    "faults": official_faults,
}


# A robot of WeCom


def _robot(body: Any, **how: Any) -> Request:
    return build_wecom.signed(body, now=how.pop("now", time.time()), **how)


async def robot_garbage(four: Four, scale: int) -> None:
    """Bodies that are nothing, outside and inside the seal; events and types nobody knows."""
    query, good = _robot(build_wecom.text("在吗"))
    deep = b"[" * 20_000 + b"]" * 20_000
    outside = [(query, junk) for junk in (*_JUNK, deep, good[:60], b'{"encrypt": 7}')]
    inside = [_robot(junk) for junk in (*_JUNK, deep, b'{"msgtype": []}')]
    unknown = [_robot(build_wecom.message("hologram")), _robot(build_wecom.event("eclipse"))]
    await knock(four, ROBOT, (outside + inside + unknown) * scale)


async def robot_forged(four: Four, scale: int) -> None:
    """Wrong signatures, keys, receivers and times."""
    query, body = _robot(build_wecom.text("在吗"))
    forged: list[Request] = [
        ({**query, "msg_signature": "0" * 40}, body),
        ({}, body),
        _robot(build_wecom.text("在吗"), token="othertoken"),
        _robot(build_wecom.text("在吗"), aes_key=ACCOUNT.aes_key),
        _robot(build_wecom.text("在吗"), receive_id="ww0000000000000000"),
        _robot(build_wecom.text("在吗"), now=1_700_000_000.0),
    ]
    statuses = await knock(four, ROBOT, forged * 5 * scale)
    assert statuses == {403: 30 * scale}, statuses


async def robot_flood(four: Four, scale: int) -> None:
    """Hundreds of questions at once, each twice, and polls for streams that nobody began."""
    asked = [
        build_wecom.text(faq_number(n % 7).question, f"flood_{n % (40 * scale)}")
        for n in range(50 * scale)
    ]
    polls = [build_wecom.poll(f"{number:032x}") for number in range(50 * scale)]
    await knock(four, ROBOT, [_robot(body) for body in (*asked, *polls, *asked)])


async def robot_dawdling(four: Four, scale: int) -> None:
    """Slow bodies."""
    await dawdle(four, ROBOT, 50 * min(scale, 4))


async def robot_storm(four: Four, scale: int) -> None:
    """Connections that break off, some of them with a question."""
    asked = [build_wecom.text(faq_number(n % 7).question, f"gone_{n}") for n in range(30)]
    await hang_up(four, ROBOT, 60 * scale, [_robot(body) for body in asked])


async def robot_huge(four: Four, scale: int) -> None:
    """Bodies of ninety megabytes."""
    await overfill(four, ROBOT, 4 * scale)


async def robot_api(four: Four, scale: int) -> None:
    """WeCom takes what is pushed and says nothing: of answers that nobody polls for."""
    four.qyapi.hangs = True
    bodies = [build_wecom.text(STUCK, f"api_{number}") for number in range(12 * scale)]
    four.left_alone(knock(four, ROBOT, [_robot(body) for body in bodies]))
    menu = [build_wecom.click("nothing", f"task{n}", f"api_{n}") for n in range(12 * scale)]
    await knock(four, ROBOT, [_robot(body) for body in menu])


async def robot_lies(four: Four, scale: int) -> None:
    """One msgid for all that many say, addresses that are not WeCom's, and no ids at all."""
    bodies = []
    for number in range(40 * scale):
        body = build_wecom.text(f"谎话{number}", f"lie_{number}", number="CAIQ-the-same")
        body |= {"response_url": f"http://127.0.0.1:{four.app.ops_port}/metrics"}
        if number % 4 == 1:
            body |= {"msgid": None, "from": {}}
        elif number % 4 == 2:
            body |= {"from": {"userid": "x" * 3000}, "chatid": ["list"], "chattype": "moon"}
        elif number % 4 == 3:
            body |= {"chattype": "group", "chatid": f"wrLIE{number}"}
        bodies.append(body)
    await knock(four, ROBOT, [_robot(body) for body in bodies])


async def robot_faults(four: Four, scale: int) -> None:
    """Handlers that raise, and handlers that never end."""
    bodies = [build_wecom.text(BOOM, f"boom_{n}") for n in range(15 * scale)]
    stuck = [build_wecom.text(STUCK, f"stuck_{n}") for n in range(40 * scale)]
    four.left_alone(knock(four, ROBOT, [_robot(body) for body in stuck]))
    await knock(four, ROBOT, [_robot(body) for body in bodies])


ROBOTS: Mapping[str, Way] = {
    "garbage": robot_garbage,
    "forged": robot_forged,
    "flood": robot_flood,
    "dawdling": robot_dawdling,
    "storm": robot_storm,
    "huge": robot_huge,
    "api": robot_api,
    "lies": robot_lies,
    "faults": robot_faults,
}


# A gateway

_BEARER = f"Authorization: Bearer {TOKEN}\r\n"
_numbers = itertools.count()


def _event(four: Four, who: str, text: str, group: str = CLASS, **fields: Any) -> dict[str, Any]:
    """A message of somebody in a group that mentions the bot; group "": in private."""
    gateway = four.gateway
    number = f"bad-{next(_numbers)}"
    parts: list[dict[str, Any]] = [{"type": "text", "data": {"text": text}}]
    if group:
        parts.insert(0, {"type": "mention", "data": {"user_id": gateway.bot}})
    event = {
        "id": number,
        "self": {"platform": "wechat", "user_id": gateway.bot},
        "time": time.time(),
        "type": "message",
        "detail_type": "group" if group else "private",
        "sub_type": "",
        "message_id": number,
        "message": parts,
        "alt_message": text,
        "user_id": who,
        **({"group_id": group} if group else {}),
    }
    return event | fields


async def _frames(four: Four, frames: Sequence[str | bytes]) -> None:
    """Down the socket while it lasts, connecting again where the bot ended it; then by HTTP."""
    gateway = four.gateway
    for number, frame in enumerate(frames):
        with suppress(*_GIVEN_UP, RuntimeError, AssertionError):
            if gateway.connected or await gateway.connect():
                await gateway.send_raw(frame)
                continue
        left = [one.encode() if isinstance(one, str) else one for one in frames[number:]]
        await knock(four, GATEWAY, [({}, one) for one in left], Authorization=f"Bearer {TOKEN}")
        return


async def gateway_garbage(four: Four, scale: int) -> None:
    """Frames and bodies that are nothing."""
    deep = "[" * 30_000
    odd = [{"type": "message"}, {"type": 7}, {"echo": "no"}, {"type": "notice", "detail_type": {}}]
    junk: list[str | bytes] = [*_JUNK, deep, *(json.dumps(one) for one in odd)]
    bodies: list[Request] = [({}, one if isinstance(one, bytes) else one.encode()) for one in junk]
    await knock(four, GATEWAY, bodies * scale, Authorization=f"Bearer {TOKEN}")
    await _frames(four, junk * scale)


async def gateway_forged(four: Four, scale: int) -> None:
    """Wrong tokens, by HTTP and for a socket."""
    body = json.dumps(_event(four, "wxid_bad", "在吗")).encode()
    statuses = await knock(four, GATEWAY, [({}, body)] * 30 * scale, Authorization="Bearer no")
    assert statuses == {403: 30 * scale}, statuses
    statuses = await knock(four, GATEWAY, [({"access_token": "no"}, body)] * 30 * scale)
    assert statuses == {403: 30 * scale}, statuses
    for _ in range(10 * scale):
        with suppress(aiohttp.WSServerHandshakeError):
            await four.session.ws_connect(four.url(GATEWAY), headers={"Authorization": "Bearer x"})


async def gateway_flood(four: Four, scale: int) -> None:
    """Hundreds of frames as fast as they go: questions, chatter, and a few people's rage."""
    frames = []
    for number in range(400 * scale):
        who = f"wxid_flood_{number % (200 * scale)}"
        if number % 16 == 0:
            frames.append(_event(four, who, faq_number(number % 7).question))
        elif number % 4 == 1:
            frames.append(_event(four, "wxid_rage", "快回我快回我"))
        else:
            frames.append(_event(four, who, f"随便聊聊第{number}句", message=f"聊{number}"))
    await _frames(four, [json.dumps(frame) for frame in frames])


async def gateway_dawdling(four: Four, scale: int) -> None:
    """Slow bodies."""
    await dawdle(four, GATEWAY, 50 * min(scale, 4), _BEARER)


async def gateway_storm(four: Four, scale: int) -> None:
    """Sockets that come and go, politely and not, and connections that break off."""
    for number in range(15 * scale):
        with suppress(*_GIVEN_UP, RuntimeError):
            await four.gateway.disconnect(rudely=number % 2 == 0)
            await four.gateway.connect()
    await hang_up(four, GATEWAY, 60 * scale)


async def gateway_huge(four: Four, scale: int) -> None:
    """Frames of megabytes, the dearest that are allowed, and bodies over the limit."""
    dear = json.dumps(_event(four, "wxid_huge", "长" * 30_000))
    await _frames(four, [dear] * 20 * scale + ["x" * (3 << 20)] * 2)
    await overfill(four, GATEWAY, 6 * scale, _BEARER)


async def gateway_api(four: Four, scale: int) -> None:
    """It takes what it is asked for and never says how that went."""
    four.gateway.faults.no_answers = True
    for number in range(12 * scale):
        event = _event(four, f"wxid_api_{number}", faq_number(number % 7).question)
        await four.gateway.push(json.dumps(event).encode())


async def gateway_lies(four: Four, scale: int) -> None:
    """Groups that are none, one id for everything, other accounts, other times, own words."""
    frames = []
    for number in range(160 * scale):
        event = _event(four, f"wxid_lie_{number}", f"谎话{number}", f"{number}@moon")
        if number % 4 == 1:
            event |= {"message_id": "1", "id": "1", "group_id": CLASS}
        elif number % 4 == 2:
            event |= {"self": {"platform": "wechat", "user_id": f"wxid_{number}"}}
        elif number % 4 == 3:
            event |= {"time": 10.0**12, "user_id": four.gateway.bot, "group_id": CLASS}
        frames.append(event)
    await _frames(four, [json.dumps(frame) for frame in frames])


async def gateway_faults(four: Four, scale: int) -> None:
    """Handlers that raise, and handlers that never end."""
    words = [(f"wxid_boom_{n}", BOOM) for n in range(15 * scale)]
    words += [(f"wxid_stuck_{n}", STUCK) for n in range(40 * scale)]
    await _frames(four, [json.dumps(_event(four, who, text, "")) for who, text in words])


GATEWAYS: Mapping[str, Way] = {
    "garbage": gateway_garbage,
    "forged": gateway_forged,
    "flood": gateway_flood,
    "dawdling": gateway_dawdling,
    "storm": gateway_storm,
    "huge": gateway_huge,
    "api": gateway_api,
    "lies": gateway_lies,
    "faults": gateway_faults,
}

WAYS: Mapping[str, Mapping[str, Way]] = {MP: OFFICIAL, ROBOT: ROBOTS, GATEWAY: GATEWAYS}


async def better(four: Four) -> None:
    """Everything works again."""
    four.fake(MP).api_hang_s = 0.0
    four.qyapi.hangs = False
    four.gateway.faults.no_answers = False
