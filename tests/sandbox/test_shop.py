"""From the phone to the shop and back: a link, a purchase, and the operator's numbers.

The whole demo runs, over HTTP: the bot, the fake WeChat, the REST API, the shop.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import aiohttp
import pytest

from sandbox import seeds
from sandbox.__main__ import MEMBERS, OPERATOR, Demo
from store.coupons import Claimant

LIN, SU = MEMBERS[0].openid, OPERATOR.openid
BROWSER = {"User-Agent": "Mozilla/5.0 (Linux; Android 14) Chrome/124.0 Mobile Safari/537.36"}
LINK = re.compile(r"http://127\.0\.0\.1:\d+/r/[A-Za-z0-9_-]+")
FORM = re.compile(r'<form method="post" action="([^"]+)">(.*?)</form>', re.DOTALL)
FIELD = re.compile(r'name="([^"]+)" value="([^"]*)"')


class Visitor:
    """Somebody with a phone: types, taps links, presses buttons."""

    def __init__(self, demo: Demo, http: aiohttp.ClientSession) -> None:
        self.demo = demo
        self.http = http

    async def says(self, openid: str, text: str) -> str:
        return (await self.demo.fake.send_text(openid, text)).text

    async def opens(self, url: str) -> tuple[str, str]:
        """(address in the end, page)."""
        async with self.http.get(url, headers=BROWSER) as response:
            assert response.status == 200, await response.text()
            return str(response.url), await response.text()

    async def presses(self, page: str, number: int = 0, **typed: str) -> str:
        """The button of a form, with what is typed into it."""
        action, inside = FORM.findall(page)[number]
        fields = {name: unescape(value) for name, value in FIELD.findall(inside)} | typed
        url = self.demo.shop.url.rstrip("/") + action
        async with self.http.post(url, data=fields, headers=BROWSER) as response:
            assert response.status == 200, await response.text()
            return await response.text()

    async def stats(self) -> str:
        told = await self.says(SU, "/stats")
        return next(line for line in told.splitlines() if line.startswith("成交"))


@pytest.fixture
async def visitor(tmp_path: Path) -> AsyncIterator[Visitor]:
    demo = Demo(tmp_path)
    try:
        await demo.start()
        async with aiohttp.ClientSession() as http:
            yield Visitor(demo, http)
    finally:
        await demo.stop()


async def test_a_purchase_behind_a_link_moves_the_operators_numbers(visitor: Visitor) -> None:
    fake = visitor.demo.fake
    await fake.follow(LIN)
    await fake.follow(SU)
    assert await visitor.stats() == "成交：看到 0 人，点击 0 人，购买 0 人（0 单，0 元）"

    await visitor.says(LIN, "课程")
    shown = await visitor.says(LIN, "1")
    assert await visitor.stats() == "成交：看到 1 人，点击 0 人，购买 0 人（0 单，0 元）"

    address, page = await visitor.opens(LINK.findall(shown)[0])
    assert address.startswith(visitor.demo.shop.url)
    assert "zq=" in address
    assert "是从知群的链接打开的" in page
    # The visitor did not wait for the click to be written down; we do.
    async with asyncio.timeout(10):
        while "点击 1 人" not in await visitor.stats():
            await asyncio.sleep(0.02)

    bought = await visitor.presses(page)
    assert "购买成功" in bought
    item = re.search(r"/item/([^?]+)", address)
    assert item
    cents = visitor.demo.shop.offers[item[1]].prices[0][1]
    assert await visitor.stats() == (
        f"成交：看到 1 人，点击 1 人，购买 1 人（1 单，{cents / 100:g} 元）"
    )
    funnel = await visitor.says(SU, "/funnel")
    assert f"· 课程列表：1 次，1 单，{cents / 100:g} 元" in funnel

    # The button pressed twice is one order; the same number says so.
    await visitor.presses(page)
    assert "购买 1 人（1 单" in await visitor.stats()


async def test_a_shop_without_a_link_still_counts_the_order(visitor: Visitor) -> None:
    await visitor.demo.fake.follow(SU)
    item = next(iter(visitor.demo.shop.offers))
    _, page = await visitor.opens(visitor.demo.shop.address(item))
    assert "不是从知群的链接打开的" in page
    await visitor.presses(page)
    assert "点击 0 人，购买 1 人（1 单" in await visitor.stats()


async def test_the_shop_refuses_what_is_no_order(visitor: Visitor) -> None:
    shop, http = visitor.demo.shop, visitor.http
    item = next(iter(shop.offers))
    bad: tuple[dict[str, str], ...] = (
        {},
        {"order": "x", "tier": "0"},
        {"order": "0123456789ab", "tier": "99"},
        {"order": "0123456789ab", "tier": "-1"},
    )
    for fields in bad:
        async with http.post(f"{shop.address(item)}/buy", data=fields) as response:
            assert response.status == 400
    async with http.get(f"{shop.url}item/nothing") as response:
        assert response.status == 404
    async with http.get(shop.url, headers={"Host": "evil.example"}) as response:
        assert response.status == 421
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    async with http.post(f"{shop.address(item)}/buy", headers=elsewhere) as response:
        assert response.status == 403


ITEM = "py-zero"  # 199 yuan, 159 or 139 in its other tiers
USE = 1
"""The second form of a price: for a code."""


async def a_code(demo: Demo, word: str, name: str) -> str:
    """A coupon of the demo's, claimed by somebody new."""
    assert demo.app is not None
    store, now = demo.app.store, time.time()
    member = await store.members.meet("mp", name, now)
    key = hashlib.blake2b(f"{word}:{name}".encode(), digest_size=16).digest()
    claim = await store.coupons.claim(word, Claimant(member.id), key, now)
    assert claim.coupon is not None
    return claim.coupon.code


async def test_a_coupon_is_held_let_go_and_used_at_the_till(visitor: Visitor) -> None:
    demo = visitor.demo
    await demo.fake.follow(SU)
    code = await a_code(demo, "早鸟", "o_buyer")
    typed = f" {code[:4]}-{code[4:8]}-{code[8:]} ".lower()
    _, page = await visitor.opens(demo.shop.address(ITEM))

    held = await visitor.presses(page, USE, code=typed)
    assert "原价 ¥199，优惠 ¥20，实付 ¥179" in held
    _, elsewhere = await visitor.opens(demo.shop.address(ITEM))
    taken = await visitor.presses(elsewhere, USE, code=code)
    assert "正用在另一个还没付款的订单里" in taken

    dropped = await visitor.presses(held, 1)
    assert "券已经放回去了" in dropped
    reserved = await visitor.presses(taken, USE + 2, code=code)
    bought = await visitor.presses(reserved)
    assert "原价 ¥159，优惠 ¥20，实付 ¥139" in bought
    assert "购买 1 人（1 单，139 元）" in await visitor.stats()
    assert "这张券已经用过了" in await visitor.presses(held)
    assert "购买 1 人（1 单，139 元）" in await visitor.stats()


async def test_the_till_says_in_chinese_why_a_code_does_nothing(visitor: Visitor) -> None:
    shop = visitor.demo.shop
    code = await a_code(visitor.demo, "早鸟", "o_buyer")
    cheap = next(
        id_
        for id_, one in shop.offers.items()
        if 0 < one.prices[0][1] < seeds.CLAIM.min_spend_cents
    )
    for item, typed, why in [
        (ITEM, "", "先输入优惠码"),
        (ITEM, "2222-2222-22222", "没有这个优惠码"),
        (ITEM, "../redeem", "没有这个优惠码"),
        (ITEM, "券 & <b>?", "没有这个优惠码"),
        (cheap, code, "没到这张券的最低消费"),
    ]:
        _, page = await visitor.opens(shop.address(item))
        refused = await visitor.presses(page, USE, code=typed)
        assert why in refused
        assert "<b>?" not in refused
        assert "购买" in refused, "one can still buy it"


async def test_the_shop_signs_what_it_sends_and_is_not_believed_without(visitor: Visitor) -> None:
    shop = visitor.demo.shop
    code = await a_code(visitor.demo, "早鸟", "o_buyer")
    _, page = await visitor.opens(shop.address(ITEM))
    secret, shop.till.secret = shop.till.secret, "zqs_of-somebody-else"
    action, inside = FORM.findall(page)[0]
    fields = dict(FIELD.findall(inside)) | {"code": code}
    url = shop.url.rstrip("/") + action
    async with visitor.http.post(url, data=fields) as response:
        assert response.status == 502
        assert "401" in await response.text()
    shop.till.secret = secret
    assert "购买成功" in await visitor.presses(page, code=code)
