"""The demo's whole story: two members and an operator, over HTTP, with everything that rewards.

They claim a coupon and use it in the shop, check in, invite each other by a picture that the
other's phone scans, take the quiz, spend their points; the operator watches and pays the prizes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox import codes
from sandbox.__main__ import MEMBERS, MENU, OPERATOR, Demo
from sandbox.fake_platform import Received
from tests.sandbox.test_shop import FIELD, FORM

LIN, ZHOU, SU = (person.openid for person in (*MEMBERS, OPERATOR))
CODE = re.compile(r"[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{5}")


class Stage:
    """The demo, and what its visitor does: types, clicks, scans, buys."""

    def __init__(self, demo: Demo, http: aiohttp.ClientSession) -> None:
        self.demo = demo
        self.http = http

    def seen(self, openid: str) -> list[Received]:
        return self.demo.fake.members[openid].inbox

    async def says(self, openid: str, text: str) -> str:
        return (await self.demo.fake.send_text(openid, text)).text

    async def act(self, name: str, **body: Any) -> int:
        async with self.http.post(f"{self.demo.url}api/{name}", json=body) as response:
            return response.status

    async def hears(self, openid: str, fits: Callable[[Received], bool], what: str) -> Received:
        """The first thing in this member's chat that fits, as soon as it is there."""
        async with asyncio.timeout(10):
            while True:
                for one in self.seen(openid):
                    if fits(one):
                        return one
                await asyncio.sleep(0.02)
        raise AssertionError(what)

    async def buys(self, item: str, code: str) -> str:
        """The item's first price with this code; the page that comes."""
        async with self.http.get(self.demo.shop.address(item)) as response:
            action, inside = FORM.findall(await response.text())[0]
        fields = dict(FIELD.findall(inside)) | {"code": code}
        url = self.demo.shop.url.rstrip("/") + action
        async with self.http.post(url, data=fields) as response:
            assert response.status == 200
            return await response.text()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    demo = Demo(tmp_path)
    try:
        await demo.start()
        async with aiohttp.ClientSession() as http:
            yield Stage(demo, http)
    finally:
        await demo.stop()


async def test_two_members_and_an_operator_live_through_all_of_it(stage: Stage) -> None:
    demo = stage.demo
    await demo.fake.follow(LIN)
    await demo.fake.follow(SU)

    # A coupon: claimed once, told again, used in the shop, and nowhere a second time.
    claimed = await stage.says(LIN, "领券 早鸟")
    code = CODE.findall(claimed)[0]
    assert CODE.findall(await stage.says(LIN, "领券 早鸟")) == [code]
    assert code in await stage.says(LIN, "我的券")
    assert "原价 ¥199，优惠 ¥20，实付 ¥179" in await stage.buys("py-zero", code.lower())
    assert "这张券已经用过了" in await stage.buys("py-zero", code)
    report = await stage.says(SU, "/coupon report 早鸟")
    assert "发出 1/100" in report
    assert "用掉 1" in report
    assert "减了 20 元" in report

    # Check-in, by the menu.
    checked = await demo.fake.click_menu(LIN, "签到")
    assert "签到成功，+5 分" in checked.text
    assert "+5" not in (await stage.says(LIN, "签到")), "once a day"

    # An invitation: a picture with a code, scanned by the other one's phone.
    await stage.says(LIN, "邀请好友")
    picture = await stage.hears(LIN, lambda one: one.kind == "image", "the invitation")
    data = demo.fake.file(picture.content)
    assert data is not None
    assert codes.read(data) in demo.fake.codes
    assert await stage.act("scan", who=ZHOU, media=picture.content) == 202
    await stage.hears(ZHOU, lambda one: "知行小课" in one.content, "the welcome")
    told = await stage.hears(LIN, lambda one: "一共 1 位" in one.content, "news")
    assert "得到 20 积分" in told.content
    assert "关注的朋友：1 位，得到 20 积分" in await stage.says(LIN, "我的邀请")
    assert "老友" in await stage.says(LIN, "我的券"), "the ladder's first rung"
    assert await stage.says(SU, "/referral review") == "没有等你核实的邀请。"

    # Points: earned twice, spent once.
    assert "你有 25 积分" in await stage.says(LIN, "我的积分")
    assert CODE.search(await stage.says(LIN, "兑换 书签"))
    assert "你有 5 积分" in await stage.says(LIN, "我的积分")
    assert "还差" in await stage.says(LIN, "兑换 书签")

    # The quiz: both take it, the operator closes it, prizes are paid at once.
    for openid, answers in ((LIN, ("B", "AB", "7天")), (ZHOU, ("A", "AB", "30"))):
        assert "回复「开始」" in await stage.says(openid, "答题")
        asked = await stage.says(openid, "开始")
        assert "第 1/3 题" in asked
        for answer in answers:
            asked = await stage.says(openid, answer)
        assert "成绩" in asked
    assert "三分钟小测验" in await stage.says(SU, "/quiz list")
    await stage.says(SU, "/quiz close 1")
    await stage.says(SU, "确认")
    async with asyncio.timeout(10):
        while "你有 45 积分" not in await stage.says(LIN, "我的积分"):
            await asyncio.sleep(0.05)
    assert (await stage.says(LIN, "我的券")).count("书签券") == 2, "bought one, won one"
    assert "你有 10 积分" in await stage.says(ZHOU, "我的积分"), "for taking part"
    ranking = (await stage.says(ZHOU, "排行榜")).splitlines()
    assert re.fullmatch(r"1\. .+：65 分", ranking[1])
    assert re.fullmatch(r"2\. .+（你）：10 分", ranking[2])
    assert "合计发出 75，收回 20" in await stage.says(SU, "/points report")


async def test_every_button_of_the_menu_is_answered_by_somebody(stage: Stage) -> None:
    await stage.demo.fake.follow(LIN)
    unknown = (await stage.demo.fake.click_menu(LIN, "nothing-of-the-kind")).text
    assert unknown
    keys = [one.key for button in MENU for one in (button.sub or (button,))]
    assert len(keys) == len(set(keys))
    for key in keys:
        delivery = await stage.demo.fake.click_menu(LIN, key)
        assert delivery.outcome == "replied", key
        assert delivery.text != unknown, key


async def test_what_the_page_suggests_is_understood(stage: Stage) -> None:
    for person in (MEMBERS[0], OPERATOR):
        await stage.demo.fake.follow(person.openid)
        for text in person.suggestions:
            if text in ("慢慢想", "1"):
                continue  # slow on purpose; picks from a list
            answer = await stage.says(person.openid, text)
            assert not answer.startswith(("我还答不上来", "没有「/")), text


async def test_a_demo_started_again_on_its_folder_gives_nothing_twice(tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        demo = Demo(tmp_path)
        try:
            await demo.start()
            assert demo.app is not None
            offers = await demo.app.store.offers.all()
            assert [offer.word for offer in offers] == ["早鸟", "书签", "老友"]
            assert len(await demo.app.store.quizzes.page()) == 2
            await demo.fake.follow(LIN)
            told.append(CODE.findall((await demo.fake.send_text(LIN, "领券 早鸟")).text))
            await demo.fake.send_text(LIN, "邀请好友")
            shown = [one.content for one in demo.fake.members[LIN].inbox if one.kind == "image"]
            data = demo.fake.file(shown[0])
            assert data is not None, "a picture that this start's WeChat has"
            assert demo.fake.knows_code(codes.read(data))
        finally:
            await demo.stop()
    assert told[0] == told[1] != []
