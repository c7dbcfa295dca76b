"""A tiny bot for testing the fake WeChat: wechatpy's cipher, one answer per test.

Its cipher is not the fake's own, so that agreement means something.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from wechatpy.crypto import WeChatCrypto

from sandbox.fake_codec import from_xml
from sandbox.fake_wechat import Account

ACCOUNT = Account(
    app_id="wxdemo0000000001",
    app_secret="sandbox-secret-0000000000000000",
    token="sandboxtoken",
    aes_key="abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
)


def text_reply(fields: Mapping[str, Any], content: str) -> str:
    """A passive text reply, clear XML."""
    return (
        f"<xml><ToUserName><![CDATA[{fields['FromUserName']}]]></ToUserName>"
        f"<FromUserName><![CDATA[{fields['ToUserName']}]]></FromUserName>"
        f"<CreateTime>1</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[{content}]]></Content></xml>"
    )


@dataclass
class Bot:
    """Answers every POST with the text `say`, sealed; None: with success.

    raw_answer: the body instead of all that. clear_answer: the reply before sealing.
    reads: False leaves deliveries unread (JSON). statuses, delays_s: taken one per
    delivery, then 200 and 0. seen: the fields of every delivery. queries: their query
    strings. bodies: as received.
    """

    account: Account = ACCOUNT
    say: str | None = "好的"
    raw_answer: str | None = None
    clear_answer: str | None = None
    seal: bool = True
    reads: bool = True
    statuses: list[int] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    def crypto(self) -> WeChatCrypto:
        return WeChatCrypto(self.account.token, self.account.aes_key, self.account.app_id)

    async def check(self, request: web.Request) -> web.Response:
        query = request.query
        parts = sorted([self.account.token, query["timestamp"], query["nonce"]])
        good = hashlib.sha1("".join(parts).encode()).hexdigest() == query["signature"]
        return web.Response(text=query["echostr"] if good else "no")

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.text()
        query = dict(request.query)
        self.queries.append(query)
        self.bodies.append(body)
        if not self.reads:
            return web.Response(text=self.raw_answer)
        clear = body
        if query.get("encrypt_type") == "aes":
            clear = self.crypto().decrypt_message(
                body, query["msg_signature"], query["timestamp"], query["nonce"]
            )
        fields = from_xml(clear)
        self.seen.append(fields)
        if self.delays_s:
            await asyncio.sleep(self.delays_s.pop(0))
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            return web.Response(status=status)
        if self.raw_answer is not None:
            return web.Response(text=self.raw_answer)
        if self.say is None:
            return web.Response(text="success")
        reply = self.clear_answer or text_reply(fields, self.say)
        if self.seal:
            reply = self.crypto().encrypt_message(reply, query["nonce"], query["timestamp"])
        return web.Response(text=reply)


@asynccontextmanager
async def running(bot: Bot) -> AsyncIterator[str]:
    """The bot's webhook URL while it listens."""
    app = web.Application()
    app.router.add_get("/hook/mp", bot.check)
    app.router.add_post("/hook/mp", bot.receive)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.1)
    try:
        yield str(server.make_url("/hook/mp"))
    finally:
        await server.close()
