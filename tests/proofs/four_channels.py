"""One bot with two official accounts, a WeCom robot and a OneBot gateway, and people on each.

`Four.steady` is the traffic of people who want an answer: each asks once, and what comes back is
counted, by whichever way it comes. WeCom's side is played here; the other sides are the fakes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp import web

from bot.app import App
from bot.config import GatewaySettings, GroupSettings, RobotSettings, Secret
from handlers import ROUTERS
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router
from sandbox.fake_gateway import FakeGateway, Said
from sandbox.fake_wechat import FakeWeChat
from tests import build, build_wecom
from tests.proofs.world import World, faq_number, opened, until

OFFICIALS = ("mp", "shop")
ROBOT, GATEWAY = "robot", "qun"
CHANNELS = (*OFFICIALS, ROBOT, GATEWAY)
IN_TIME_S = 4.5
TOKEN = "a-token-of-the-gateway"
CLASS = "20001@chatroom"
BOSS = "wxid_boss"
ENTRIES = 20

BOOM, STUCK, LONG = "炸了", "卡住了", "说来话长"


def troubled() -> tuple[Router, ...]:
    """The real conversation, and three words that no handler should know.

    炸了 raises, 卡住了 never ends, 说来话长 takes four messages.
    """
    trouble = Router("trouble")

    @trouble.text(BOOM)
    async def boom(message: Message, ctx: Context) -> Reply:
        raise RuntimeError("a handler's own fault")

    @trouble.text(STUCK)
    async def stuck(message: Message, ctx: Context) -> Reply:
        await asyncio.sleep(3600)
        return Reply.none()

    @trouble.text(LONG)
    async def long(message: Message, ctx: Context) -> Reply:
        return Reply.text("很长" * 1300)  # 7.8 KB: one part in the exchange, three by the API

    return (trouble, *ROUTERS)


class Qyapi:
    """Where the robot's late answers go. hangs: it takes them and never says so."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.hangs = False
        self.base = ""
        self._runner: web.ServerRunner | None = None

    async def start(self) -> str:
        """Serve; gives the address."""
        self._runner = web.ServerRunner(
            web.Server(self._take, handler_cancellation=True), shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.base

    async def close(self) -> None:
        """Stop."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        self.came.append(request.path_qs)
        if self.hangs:
            await asyncio.sleep(3600)
        return web.json_response({"errcode": 0, "errmsg": "ok"})


@dataclass
class Asked:
    """One question. quoted: its message_id in a group; seconds: until the answer was there."""

    channel: str
    who: str
    number: int
    quoted: str = ""
    seconds: float = -1.0


@dataclass
class Four:
    """Everybody: the bot, and who writes to it."""

    world: World
    gateway: FakeGateway
    qyapi: Qyapi
    session: aiohttp.ClientSession
    asked: list[Asked] = field(default_factory=list)
    heard: dict[str, list[Said]] = field(default_factory=dict)
    """What the bot said in groups, by the message it quotes."""
    dawdling: list[asyncio.Future[Any]] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    @property
    def app(self) -> App:
        return self.world.app

    def fake(self, channel: str) -> FakeWeChat:
        """The platform of an official account."""
        return self.world.fakes[channel]

    def url(self, channel: str) -> str:
        """A channel's webhook."""
        return f"http://127.0.0.1:{self.app.webhook_port}/hook/{channel}"

    def left_alone(self, work: Coroutine[Any, Any, Any]) -> None:
        """Something that may take as long as it likes; it ends with everything."""
        self.dawdling.append(asyncio.ensure_future(work))

    async def close(self) -> None:
        """End what dawdles."""
        for one in self.dawdling:
            one.cancel()
        await asyncio.gather(*self.dawdling, return_exceptions=True)

    # Members who want an answer

    async def ask(self, channel: str, patience_s: float = IN_TIME_S) -> Asked:
        """A new member asks something that has a sure answer, and has it in the exchange.

        patience_s: where there is no exchange, in a gateway's group.
        """
        number = next(self._numbers)
        asked = Asked(channel, f"somebody_{number}", number % ENTRIES)
        self.asked.append(asked)
        entry = faq_number(asked.number)
        began = time.perf_counter()
        if channel in OFFICIALS:
            answer = await self._ask_official(channel, asked.who, entry.question)
        elif channel == ROBOT:
            answer = await self._ask_robot(asked.who, entry.question, "" if number % 2 else CLASS)
        else:
            answer = await self._ask_in_group(asked, entry.question, patience_s)
        asked.seconds = time.perf_counter() - began
        assert answer.startswith(entry.answer), f"{channel} said {answer!r}"
        assert asked.seconds <= patience_s, f"{channel} took {asked.seconds:.2f} s"
        return asked

    async def _ask_official(self, channel: str, who: str, question: str) -> str:
        delivery = await self.fake(channel).send_text(who, question)
        assert [attempt.status for attempt in delivery.attempts] == [200], delivery.attempts
        assert delivery.outcome == "replied", f"{channel}: {delivery.outcome}"
        return delivery.text

    async def _ask_robot(self, who: str, question: str, group: str) -> str:
        said = f"@小助手 {question}" if group else question
        status, frame = await self.post_robot(build_wecom.text(said, who, group=group))
        assert status == 200
        assert frame["stream"]["finish"], "an answer that is not whole in the exchange"
        return str(frame["stream"]["content"])

    async def _ask_in_group(self, asked: Asked, question: str, patience_s: float) -> str:
        gateway, end = self.gateway, time.monotonic() + patience_s
        said = await gateway.say(CLASS, asked.who, question, mention_bot=True)
        # Over HTTP a gateway that was refused comes again with the same event.
        event = json.dumps(gateway.message_event(said)).encode()
        while not gateway.connected and gateway.statuses[-1] == 503 and time.monotonic() < end:
            await asyncio.sleep(0.1)
            await gateway.push(event)
        asked.quoted = said.message_id
        what, left_s = f"the answer to {asked.who}", end - time.monotonic()
        await until(lambda: self.heard.get(said.message_id), what, left_s, 0.005)
        return self.heard[said.message_id][0].text

    async def post_robot(self, body: dict[str, Any] | bytes) -> tuple[int, dict[str, Any]]:
        """One POST as WeCom makes it: status and frame, {} for none."""
        query, posted = build_wecom.signed(body, now=time.time())
        url = self.url(ROBOT)
        async with self.session.post(url, params=query, data=posted) as response:
            raw = await response.read()
            return response.status, build_wecom.opened(raw) if response.status == 200 else {}

    async def steady(self, channels: tuple[str, ...], over: asyncio.Event, least: int) -> None:
        """People ask on these channels, one after the other on each, until it is over.

        At least so many on each, so that a short failure is not missed.
        """

        async def one(channel: str) -> None:
            count = 0
            while count < least or not over.is_set():
                await self.ask(channel)
                count += 1
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            for channel in channels:
                group.create_task(one(channel))

    async def once_each(self, channels: tuple[str, ...]) -> Counter[str]:
        """Nobody was answered twice, nor late; how many were on each channel."""
        counts: Counter[str] = Counter()
        for one in self.asked:
            if one.channel not in channels:
                continue
            counts[one.channel] += 1
            if one.channel in OFFICIALS:
                inbox = self.fake(one.channel).member(one.who).inbox
                assert [got.route for got in inbox] == ["passive"]
            elif one.channel == GATEWAY:
                assert len(self.heard[one.quoted]) == 1
        if ROBOT in channels:
            assert not self.qyapi.came, "an answer that came twice"
        rows = await self.world.rows(
            "select channel, count(*) from messages where sender like 'somebody_%' "
            "and answered_at is not null group by channel"
        )
        assert {c: n for c, n in rows if c in channels} == dict(counts)
        return counts


@asynccontextmanager
async def four(
    folder: Path,
    *,
    by_http: bool = False,
    patience_s: float = 10.0,
) -> AsyncIterator[Four]:
    """All four channels, ready, the gateway connected and its group bound.

    by_http: what the gateway is asked for goes to its own address, not by its WebSocket.
    patience_s: how long its answers are waited for.
    """
    async with AsyncExitStack() as stack:
        gateway = FakeGateway("", TOKEN)
        gateway.group(CLASS, "读书会", {BOSS: "班长"})
        stack.push_async_callback(gateway.close)
        qyapi = Qyapi()
        robot = RobotSettings(
            channel=ROBOT,
            name="小助手",
            token=Secret(build.TOKEN),
            encoding_aes_key=Secret(build.AES_KEY),
            api_base=await qyapi.start(),
        )
        stack.push_async_callback(qyapi.close)
        settings = GatewaySettings(
            channel=GATEWAY,
            accept_risk=True,
            access_token=Secret(TOKEN),
            per_minute=600,
            owners=(BOSS,),
            api_timeout_s=patience_s,
            api_url=await gateway.listen() if by_http else "",
        )
        world = await stack.enter_async_context(
            opened(
                folder,
                routers=troubled(),
                channels={name: {} for name in OFFICIALS},
                faq=[faq_number(number) for number in range(ENTRIES)],
                sections={
                    "robots": MappingProxyType({ROBOT: robot}),
                    "gateways": MappingProxyType({GATEWAY: settings}),
                    "groups": GroupSettings(repeat_minutes=0.0),
                },
                drain_s=0.3,
            )
        )
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        all_four = Four(world, gateway, qyapi, session)
        gateway.webhook = all_four.url(GATEWAY)

        def note(said: Said) -> None:
            if said.by_bot:
                all_four.heard.setdefault(said.quotes, []).append(said)

        gateway.on_message(note)
        assert await gateway.connect()
        bind = await gateway.say(CLASS, BOSS, "/group bind")
        await until(lambda: bind.message_id in all_four.heard, "the group to be bound")
        stack.push_async_callback(all_four.close)
        yield all_four
