"""The fake WeCom keeps WeCom's rules, so that a test against it means something."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sandbox.fake_qyapi import RESPONSE, SEND, UPLOAD, Answer, Call, FakeQyapi, QyError

KEY = "key-of-a-robot"
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
TEXT = {"msgtype": "text", "text": {"content": "好"}}


class Side:
    """The fake, its clock, and somebody who calls it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.at = 1000.0
        self.fake = FakeQyapi(now=lambda: self.at)
        self.fake.robot(KEY)

    async def call(self, path: str, body: Any, **query: str) -> dict[str, Any]:
        data = body if isinstance(body, bytes | aiohttp.FormData) else None
        async with self.session.post(
            self.fake.api_base + path,
            params=query,
            data=data,
            json=None if data is not None else body,
        ) as response:
            answer = await response.json()
        assert isinstance(answer, dict)
        return answer

    async def send(self, body: Any, key: str = KEY) -> int:
        return int((await self.call(SEND, body, key=key))["errcode"])

    async def upload(self, data: bytes, kind: str = "file") -> dict[str, Any]:
        form = aiohttp.FormData()
        form.add_field("media", data, filename="a.png")
        return await self.call(UPLOAD, form, key=KEY, type=kind)


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    async with aiohttp.ClientSession() as session:
        side = Side(session)
        await side.fake.start()
        yield side
        await side.fake.close()


async def test_twenty_in_any_minute_of_its_clock(side: Side) -> None:
    for number in range(20):
        side.at = 1000.0 + number
        assert await side.send(TEXT) == 0
    side.at = 1059.9
    assert await side.send(TEXT) == 45009
    side.at = 1060.0
    assert await side.send(TEXT) == 0
    assert await side.send(TEXT) == 45009
    assert len(side.fake.posted(KEY)) == 21
    assert side.fake.refused[SEND, 45009] == 2


async def test_who_was_too_fast_may_be_punished(side: Side) -> None:
    side.fake.per_minute, side.fake.penalty_s = 1, 600.0
    assert [await side.send(TEXT) for _ in range(2)] == [0, 45009]
    side.at += 599
    assert await side.send(TEXT) == 45009


async def test_an_unknown_key_is_no_robot(side: Side) -> None:
    assert await side.send(TEXT, "other") == 93000
    side.fake.remove(KEY)
    assert await side.send(TEXT) == 93000
    assert (await side.upload(PNG))["errcode"] == 93000


def _image(data: bytes) -> dict[str, Any]:
    md5 = hashlib.md5(data).hexdigest()
    image = {"base64": base64.b64encode(data).decode(), "md5": md5}
    return {"msgtype": "image", "image": image}


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        (b"{", 47001),
        (b"[]", 47001),
        (b"\xff", 47001),
        ({}, 40008),
        ({"msgtype": "voice_call", "voice_call": {}}, 40008),
        ({"msgtype": "text", "text": {"content": ""}}, 44004),
        ({"msgtype": "text", "text": {"content": "", "mentioned_list": ["@all"]}}, 0),
        ({"msgtype": "text", "text": {"content": "群" * 683}}, 40058),
        ({"msgtype": "text", "text": {"content": "群" * 682}}, 0),
        ({"msgtype": "markdown", "markdown": {"content": "a" * 4097}}, 40058),
        ({"msgtype": "markdown_v2", "markdown_v2": {"content": "a" * 4096}}, 0),
        ({"msgtype": "news", "news": {"articles": []}}, 45008),
        ({"msgtype": "news", "news": {"articles": [{"title": "a"}]}}, 40058),
        (_image(PNG), 0),
        (_image(b"GIF89a"), 40004),
        (_image(PNG + b"x" * 2 * 1024 * 1024), 40009),
        ({"msgtype": "image", "image": {"base64": "%", "md5": ""}}, 40058),
        ({"msgtype": "image", "image": {**_image(PNG)["image"], "md5": "0"}}, 301019),
        ({"msgtype": "file", "file": {"media_id": "nobody's"}}, 40007),
        ({"msgtype": "template_card", "template_card": {"card_type": "vote"}}, 40058),
    ],
)
async def test_what_wecom_would_refuse(side: Side, body: Any, errcode: int) -> None:
    assert await side.send(body) == errcode
    assert len(side.fake.posted(KEY)) == (errcode == 0)


async def test_a_file_lives_three_days(side: Side) -> None:
    media_id = (await side.upload(PNG))["media_id"]
    body = {"msgtype": "file", "file": {"media_id": media_id}}
    assert await side.send(body) == 0
    side.at += 3 * 86_400
    assert await side.send(body) == 40007
    assert (await side.upload(b""))["errcode"] == 44001
    assert (await side.upload(PNG, "image"))["errcode"] == 40004


async def test_a_late_answer_is_taken_once_within_an_hour(side: Side) -> None:
    code = side.fake.response_url().partition("response_code=")[2]
    late = side.fake.response_url().partition("response_code=")[2]
    body = {"msgtype": "markdown", "markdown": {"content": "久等了"}}
    assert (await side.call(RESPONSE, TEXT, response_code=code))["errcode"] == 40008
    assert (await side.call(RESPONSE, body, response_code=code))["errcode"] == 0
    assert (await side.call(RESPONSE, body, response_code=code))["errcode"] == 40029
    side.at += 3600
    assert (await side.call(RESPONSE, body, response_code=late))["errcode"] == 40029
    assert side.fake.responses == [(code, body)]


async def test_other_apis_of_the_host_can_be_added(side: Side) -> None:
    def groups(call: Call) -> Answer:
        if call.query.get("access_token") != "good":
            raise QyError(40014, "invalid access_token")
        return {"group_chat_list": []}

    side.fake.add("POST", "/cgi-bin/externalcontact/groupchat/list", groups)
    path = "/cgi-bin/externalcontact/groupchat/list"
    assert (await side.call(path, {}, access_token="bad"))["errcode"] == 40014
    assert (await side.call(path, {}, access_token="good"))["group_chat_list"] == []
    async with side.session.get(side.fake.api_base + path) as response:
        assert response.status == 404
