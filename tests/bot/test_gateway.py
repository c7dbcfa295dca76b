"""The gateway's door: who may speak, what is heard, and what none of it can do to others."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.gateway import CONNECTIONS, IN_WORK
from bot.gateway_line import Rate
from handlers.message import Talk
from sandbox.fake_gateway import Faults
from store import StoreError
from tests.bot.gateway_world import GROUP, LIN, SECRET, TOKEN, WANG, World, world

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def said(w: World, text: str = "你好", number: int = 0) -> dict[str, Any]:
    """An event as the fake would send it."""
    event = w.fake.message_event(w.fake._note(GROUP, LIN, text))
    return event | {"message_id": f"n{number}"} if number else event


# Who may speak


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        (BEARER, "", 204),
        ({"Authorization": f"bearer  {TOKEN} "}, "", 204),
        ({}, f"?access_token={TOKEN}", 204),
        ({}, "", 401),
        ({"Authorization": "Bearer wrong-token-of-16"}, "", 403),
        ({"Authorization": "Bearer wrong"}, f"?access_token={TOKEN}", 403),
        ({"Authorization": f"Basic {TOKEN}"}, "", 401),
        ({"Authorization": "Bearer 密码"}, "", 403),
        ({}, "?access_token=", 401),
    ],
)
async def test_who_shows_the_token_may_speak(
    tmp_path: Path, headers: dict[str, str], query: str, status: int
) -> None:
    async with world(tmp_path) as w:
        w.fake.webhook += query
        raw = {name: value.encode().decode("latin-1") for name, value in headers.items()}
        assert await w.post(said(w), **raw) == status
        assert len(w.heard) == (status == 204)


async def test_a_signature_is_required_of_the_older_version_once_a_secret_is_set(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, version=11, secret=SECRET) as w:
        w.fake.token = ""
        await w.fake.say(GROUP, LIN, "签了名", mention_bot=True)
        assert w.fake.statuses == [204]
        assert await w.post(said(w, "没签名"), **BEARER) == 403
        assert await w.post(said(w, "签错了"), **BEARER, **{"X-Signature": "sha1=00"}) == 403
        assert w.texts == ["签了名"]
        assert w.refused == ["bad_signature", "bad_signature"]


async def test_without_a_secret_the_older_version_shows_the_token(tmp_path: Path) -> None:
    async with world(tmp_path, version=11) as w:
        await w.fake.say(GROUP, LIN, "好")
        w.fake.token = ""
        await w.fake.say(GROUP, LIN, "不好")
        assert w.fake.statuses == [204, 401]
        assert w.texts == ["好"]


async def test_a_socket_needs_the_token_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.fake.token = "not-the-token-at-all"
        assert not await w.fake.connect()
        assert w.fake.refusal == 403
        w.fake.token = ""
        assert not await w.fake.connect()
        assert w.fake.refusal == 401
        async with w.session.get(w.fake.webhook, headers=BEARER) as got:
            assert got.status == 426


async def test_the_account_of_another_is_not_spoken_for(tmp_path: Path) -> None:
    async with world(tmp_path, self_id="wxid_ours") as w:
        assert await w.post(said(w), **BEARER) == 403
        w.fake.bot = "wxid_ours"
        assert await w.post(said(w), **BEARER) == 204


# What is heard


@pytest.mark.parametrize("version", [12, 11])
@pytest.mark.parametrize("socket", [True, False])
async def test_groups_and_private_chats_are_heard(
    tmp_path: Path, version: int, socket: bool
) -> None:
    async with world(tmp_path, version=version) as w:
        if socket:
            await w.connected()
        told = await w.fake.say(GROUP, LIN, "今天有券吗", mention_bot=True)
        await w.fake.join(GROUP, "wxid_new", "新人", by=WANG)
        await w.fake.leave(GROUP, "wxid_new")
        await w.fake.take_back(told)
        await w.fake.whisper(LIN, "我的积分")
        await w.until(lambda: len(w.heard) == 4 and len(w.taken) == 1)
        first = w.heard[0]
        assert (first.text, first.sender, first.source) == ("今天有券吗", LIN, "onebot")
        name = "小林" if version == 11 else ""
        assert first.talk == Talk(GROUP, told.message_id, addressed=True, name=name)
        events = [(one.event, one.event_key) for one in w.heard[1:]]
        assert events == [
            ("group_join", "invite"),
            ("group_leave", "leave"),
            ("group_recall", told.message_id),
        ]
        assert (w.taken[0].text, w.taken[0].talk) == ("我的积分", None)
        assert not w.refused


async def test_the_subprotocol_is_echoed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for offered, chosen in ((["x", "12.impl"], "12.impl"), (["13.x"], None), ([], None)):
            ws = await w.session.ws_connect(w.fake.webhook, headers=BEARER, protocols=offered)
            assert ws.protocol == chosen
            await ws.close()


@pytest.mark.parametrize("socket", [True, False])
async def test_known_faults_of_gateways_are_tolerated(tmp_path: Path, socket: bool) -> None:
    faults = Faults(double_encoded=True, no_message_ids=True, clock_off_s=-1e9, data_true=True)
    async with world(tmp_path, faults=faults) as w:
        if socket:
            await w.connected()
        await w.fake.say(GROUP, LIN, "一")
        await w.fake.say(GROUP, LIN, "二")
        await w.until(lambda: w.texts == ["一", "二"])
        assert all(one.talk and one.talk.message_id == "" for one in w.heard)
        assert all(abs(one.created - time.time()) < 60 for one in w.heard)
        assert w.heard[0].key != w.heard[1].key


async def test_a_message_id_used_again_swallows_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, faults=Faults(same_id="7")) as w:
        await w.connected()
        await w.fake.say(GROUP, LIN, "一")
        await w.fake.say(GROUP, LIN, "二")
        await w.fake.say(GROUP, WANG, "二")
        await w.until(lambda: len(w.heard) == 3)
        assert len({one.key for one in w.heard}) == 3


async def test_what_the_bot_said_itself_is_not_heard(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.post(said(w) | {"user_id": "wxid_bot"}, **BEARER)
        assert not w.heard
        assert not w.refused


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"type":"message"}', 400),
        (b'{"a":"' + b"x" * (1 << 20) + b'"}', 413),
        (b'{"type":"tomorrow"}', 204),
        (b'{"type":"meta","detail_type":"heartbeat"}', 204),
    ],
)
async def test_a_bad_body_is_refused_and_says_nothing(
    tmp_path: Path, body: bytes, status: int
) -> None:
    async with world(tmp_path) as w:
        assert await w.post(body, **BEARER) == status
        await w.fake.say(GROUP, LIN, "还在")
        assert w.texts == ["还在"]


async def test_a_bad_frame_costs_only_itself(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        for frame in ("", "{", "[]", b"\xff", b"\x00" * 100, "[" * 50_000, '{"type":"message"}'):
            await w.fake.send_raw(frame)
        await w.fake.say(GROUP, LIN, "还在")
        await w.until(lambda: w.texts == ["还在"])
        assert w.fake.connected


async def test_an_ear_that_fails_is_told_to_the_gateway(tmp_path: Path) -> None:
    async with world(tmp_path, event_limit_s=0.05) as w:
        w.busy = 1000
        assert await w.post(said(w), **BEARER) == 503
        w.busy = 0
        w.answer = StoreError("the disk is full")
        assert await w.post(said(w), **BEARER) == 503
        w.answer = RuntimeError("a fault of ours")
        assert await w.post(said(w), **BEARER) == 503
        w.gate.clear()
        assert await w.post(said(w), **BEARER) == 503
        assert w.refused == ["busy", "not_recorded", "too_slow"]
        w.gate.set()
        w.answer = None
        assert await w.post(said(w), **BEARER) == 204


async def test_a_message_is_offered_until_it_is_taken(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.busy = 2
        await w.connected()
        await w.fake.whisper(LIN, "在吗")
        await w.fake.say(GROUP, LIN, "在吗")
        await w.until(lambda: len(w.taken) == len(w.heard) == 1)
        assert not w.refused


async def test_an_event_is_heard_though_its_sender_hung_up(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.gate.clear()
        caller = asyncio.create_task(w.post(said(w, "说完就走"), **BEARER))
        await w.until(lambda: w.hearing == 1)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await asyncio.sleep(0.02)
        w.gate.set()
        await w.until(lambda: w.texts == ["说完就走"])


# Connections


async def test_a_newer_connection_replaces_the_older(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        first = w.fake._ws
        await w.connected()
        await w.fake.until(lambda: len(w.fake.closings) == 1)
        assert first is not None
        assert first.closed
        assert w.gateway.connected
        await w.fake.say(GROUP, LIN, "新的")
        await w.until(lambda: w.texts == ["新的"])


async def test_the_older_version_may_have_a_connection_for_each_purpose(tmp_path: Path) -> None:
    async with world(tmp_path, version=11) as w:

        async def opened(role: str) -> aiohttp.ClientWebSocketResponse:
            headers = {**BEARER, "X-Self-ID": w.fake.bot, "X-Client-Role": role}
            return await w.session.ws_connect(w.fake.webhook, headers=headers)

        events = await opened("Event")
        assert not w.gateway.connected, "actions have no way yet"
        actions = await opened("API")
        await w.until(lambda: w.gateway.connected)
        await events.send_str(json.dumps(said(w, "还在")))
        await w.until(lambda: w.texts == ["还在"])
        asking = asyncio.create_task(w.gateway.voice.recall("7"))
        request = json.loads((await actions.receive()).data)
        assert (request["action"], request["params"]) == ("delete_msg", {"message_id": 7})
        await actions.send_str(json.dumps({"status": "ok", "echo": request["echo"]}))
        await asking
        both = await opened("Universal")
        for ended in (events, actions):
            assert (await ended.receive()).type is aiohttp.WSMsgType.CLOSE
        assert w.gateway.connected
        await both.close()


async def test_a_storm_of_connections_is_turned_away(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        opened = [await w.fake.connect() for _ in range(CONNECTIONS + 3)]
        assert opened == [True] * CONNECTIONS + [False] * 3
        assert w.fake.refusal == 503
        assert w.refused == ["too_many"] * 3


@pytest.mark.parametrize("rudely", [True, False])
async def test_what_was_said_before_it_disconnected_is_heard(tmp_path: Path, rudely: bool) -> None:
    async with world(tmp_path) as w:
        w.gate.clear()
        await w.connected()
        for n in range(IN_WORK + 20):
            await w.fake.say(GROUP, LIN, f"{n}")
        await w.until(lambda: w.hearing == IN_WORK)
        await asyncio.sleep(0.05)
        await w.fake.disconnect(rudely=rudely)
        await w.until(lambda: not w.gateway.connected)
        w.gate.set()
        await w.until(lambda: len(w.heard) == IN_WORK + 20)
        assert w.texts == [f"{n}" for n in range(IN_WORK + 20)]
        await w.connected()


async def test_a_gateway_that_says_nothing_may_connect_again(tmp_path: Path) -> None:
    async with world(tmp_path, idle_s=0.05) as w:
        await w.connected()
        await w.fake.until(lambda: bool(w.fake.closings))
        await w.until(lambda: not w.gateway.connected)


async def test_a_frame_that_is_too_large_ends_the_connection(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        with suppress(ConnectionError):
            await w.fake.send_raw("x" * (1 << 21))
        await w.until(lambda: not w.gateway.connected)
        assert w.refused == ["too_large"]


async def test_pings_are_answered_and_a_flood_of_them_is_not(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ws = await w.session.ws_connect(w.fake.webhook, headers=BEARER, autoping=False)
        await ws.ping(b"1")
        assert (await ws.receive()).type is aiohttp.WSMsgType.PONG
        with suppress(ConnectionError):
            for _ in range(1000):
                await ws.ping(b"2")
                await asyncio.sleep(0)
        await w.until(lambda: not w.gateway.connected)
        assert w.refused == ["too_many"]
        await ws.close()


async def test_a_service_that_stops_says_goodbye(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        await w.gateway.close()
        await w.fake.until(lambda: w.fake.closings == [1001])
        assert not await w.fake.connect()
        assert await w.post(said(w), **BEARER) == 503


# What it cannot do to others


def test_what_was_spent_beyond_the_means_is_waited_for() -> None:
    rate = Rate(per_s=0.2, at_once=0.1)
    assert rate.owing(5.0) == 0.0
    rate.spend(0.3)
    assert rate.owing(5.0) == pytest.approx(1.0)
    assert rate.owing(5.5) == pytest.approx(0.5)
    assert rate.owing(60.0) == 0.0
    rate.spend(0.1)
    assert rate.owing(60.0) == 0.0, "it never holds more than it may at once"
    rate.spend(0.1)
    assert rate.owing(60.0) == pytest.approx(0.5)


def test_who_finds_nothing_takes_nothing() -> None:
    rate = Rate(per_s=2.0, at_once=2.0)
    assert [rate.short(0.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert rate.short(0.0) == 0.5
    assert rate.short(0.5) == 0.0


async def test_events_beyond_what_is_in_work_wait_or_are_turned_away(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.gate.clear()
        await w.connected()

        event = json.dumps(said(w, "x" * 1000))

        async def flood() -> None:
            with suppress(ConnectionError):
                for _ in range(20_000):
                    await w.fake.send_raw(event)

        flooding = asyncio.create_task(flood())
        await w.until(lambda: w.hearing == IN_WORK)
        assert await w.post(said(w), **BEARER) == 503
        slow = [await w.ask_official() for _ in range(5)]
        assert max(slow) < 1.0
        w.gate.set()
        await w.until(lambda: len(w.heard) > IN_WORK)
        assert w.most == IN_WORK
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        await w.fake.disconnect(rudely=True)


async def test_a_gateway_that_fails_in_every_way_does_not_stop_another_door(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, event_limit_s=0.5) as w:
        stop = asyncio.Event()

        event = said(w)
        dear = json.dumps(event | {"message": [{}] * 900})

        async def garbage() -> None:
            """Connects, talks nonsense as fast as it can, and is thrown out; again and again."""
            while not stop.is_set():
                try:
                    ws = await w.session.ws_connect(w.fake.webhook, headers=BEARER)
                    while not stop.is_set():
                        await ws.send_str("{" * 50)
                        await ws.send_str(dear)
                        await asyncio.sleep(0)
                except (aiohttp.ClientError, ConnectionError):
                    await asyncio.sleep(0.01)

        async def strangers() -> None:
            while not stop.is_set():
                await w.post(b"{}" * 1000, Authorization="Bearer not-the-token-at-all")

        async def liars() -> None:
            while not stop.is_set():
                await w.post(event | {"time": 1e30, "message_id": "1"}, **BEARER)

        others = [asyncio.create_task(one()) for one in (garbage, strangers, liars)]
        times = [await w.ask_official() for _ in range(12)]
        stop.set()
        await asyncio.gather(*others)
        assert max(times) < 1.0
        assert sorted(times)[len(times) // 2] < 0.25
        assert {"bad_json", "bad_token", "too_many"} <= set(w.refused)


async def test_each_reason_is_one_log_line_a_minute(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        with capture_logs() as lines:
            for _ in range(20):
                assert await w.post(b"{}", Authorization="Bearer wxid-not-the-token") == 403
                assert await w.post(b'{"text":"secret words"}', **BEARER) == 400
            await w.gateway.close()
        ours = [line for line in lines if line["event"] == "gateway_refused"]
        assert [(line["reason"], line["count"]) for line in ours] == [
            ("bad_token", 1),
            ("missing_field", 1),
            ("bad_token", 19),
            ("missing_field", 19),
        ]
        assert w.refused.count("bad_token") == 20
        assert "secret words" not in str(lines)
        assert "wxid" not in str(lines)
