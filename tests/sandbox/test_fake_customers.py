"""The fake customer contact keeps WeCom's rules, so that breaking one is seen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sandbox.fake_customers import (
    ASK,
    CANCEL,
    GET,
    GETTOKEN,
    LIST,
    REMIND,
    RESULT,
    TASK,
    FakeCustomers,
)
from sandbox.fake_qyapi import FakeQyapi

NOON = 1_763_611_200.0


class Wire:
    """Calls as a client of WeCom makes them."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.at = NOON
        self.host = FakeQyapi(now=lambda: self.at)
        self.wecom = FakeCustomers(self.host)
        self.session = session
        self.token = ""

    async def call(self, path: str, **body: Any) -> dict[str, Any]:
        url = f"{self.host.api_base}{path}?access_token={self.token}"
        async with self.session.post(url, data=json.dumps(body)) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def gettoken(self, secret: str) -> dict[str, Any]:
        url = f"{self.host.api_base}{GETTOKEN}?corpid={self.wecom.corp_id}&corpsecret={secret}"
        async with self.session.get(url) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def ask(self, *chat_ids: str, sender: str = "zhang", **more: Any) -> dict[str, Any]:
        body = {"chat_type": "group", "sender": sender, "text": {"content": "好"}, **more}
        return await self.call(ASK, chat_id_list=list(chat_ids), **body)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with aiohttp.ClientSession() as session:
        wire = Wire(session)
        await wire.host.start()
        wire.token = (await wire.gettoken(wire.wecom.secret))["access_token"]
        yield wire
        await wire.host.close()


async def test_one_token_is_good_for_two_hours(wire: Wire) -> None:
    assert (await wire.gettoken("wrong"))["errcode"] == 40001
    again = await wire.gettoken(wire.wecom.secret)
    assert again["access_token"] == wire.token
    wire.at += 7200
    assert (await wire.call(LIST))["errcode"] == 42001
    assert (await wire.gettoken(wire.wecom.secret))["access_token"] != wire.token
    assert (await wire.call(LIST))["errcode"] == 40014


async def test_groups_are_listed_in_pages_and_told_one_by_one(wire: Wire) -> None:
    for number in range(3):
        wire.wecom.group(f"g{number}", "zhang", "群")
    first = await wire.call(LIST, limit=2)
    second = await wire.call(LIST, limit=2, cursor=first["next_cursor"])
    assert len(first["group_chat_list"]) == 2
    assert "next_cursor" not in second
    wire.wecom.join("g0", "wm1", "小林")
    told = await wire.call(GET, chat_id="g0", need_name=1)
    assert [(p["userid"], p["type"]) for p in told["group_chat"]["member_list"]] == [
        ("zhang", 1),
        ("wm1", 2),
    ]
    wire.wecom.dissolve("g0")
    assert (await wire.call(GET, chat_id="g0"))["errcode"] == 49008


async def test_only_an_employee_who_confirms_sends_once_a_day(wire: Wire) -> None:
    for name in ("a", "b"):
        wire.wecom.group(name, "zhang")
    asked = await wire.ask("a", "b", "nowhere")
    assert asked["fail_list"] == ["nowhere"]
    msgid = asked["msgid"]
    assert (await wire.call(TASK, msgid=msgid))["task_list"][0]["status"] == 0
    wire.wecom.dissolve("b")
    assert wire.wecom.employee_confirms("li") == 0
    assert wire.wecom.employee_confirms("zhang") == 1
    assert (await wire.call(TASK, msgid=msgid))["task_list"][0]["status"] == 2
    rows = (await wire.call(RESULT, msgid=msgid, userid="zhang"))["send_list"]
    assert [row["status"] for row in rows] == [1, 2]
    await wire.ask("a")
    assert wire.wecom.employee_confirms("zhang") == 0
    wire.at += 86_400
    wire.token = (await wire.gettoken(wire.wecom.secret))["access_token"]
    await wire.ask("a")
    assert wire.wecom.employee_confirms("zhang") == 1


async def test_a_task_that_was_taken_back_is_not_sent(wire: Wire) -> None:
    wire.wecom.group("a", "zhang")
    msgid = (await wire.ask("a"))["msgid"]
    codes = [(await wire.call(REMIND, msgid=msgid))["errcode"] for _ in range(4)]
    assert codes == [0, 0, 0, 45009]
    await wire.call(CANCEL, msgid=msgid)
    assert wire.wecom.waiting("zhang") == []
    assert wire.wecom.employee_confirms("zhang") == 0


@pytest.mark.parametrize(
    ("more", "errcode"),
    [
        ({"sender": ""}, 40058),
        ({"sender": "li"}, 41048),
        ({"text": {"content": ""}}, 44004),
        ({"text": {"content": "群" * 1400}}, 40058),
        ({"attachments": [{"msgtype": "link", "link": {}}] * 10}, 40058),
        ({"attachments": [{"msgtype": "card"}]}, 40008),
        ({"attachments": [{"msgtype": "image", "image": {"media_id": "x"}}]}, 40007),
    ],
)
async def test_a_task_that_breaks_a_rule_is_refused(wire: Wire, more: Any, errcode: int) -> None:
    wire.wecom.group("a", "zhang")
    assert (await wire.ask("a", **more))["errcode"] == errcode
    assert not wire.wecom.tasks
