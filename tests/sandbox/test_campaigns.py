"""The demo's campaigns: an operator who knows nothing writes to two members, who read it.

Everything as a visitor of the page does it: typed, tapped, read. The bot, the fake WeChat and
HTTP between them are the demo's own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from sandbox import seeds
from sandbox.__main__ import Demo
from sandbox.fake_platform import Received
from tests.proofs.world import until
from tests.sandbox.test_incentives import LIN, SU, ZHOU, Stage

CODE = re.compile(r"确认 ([0-9A-Z]{4})")
EVERYBODY = (LIN, ZHOU, SU)


class Newsroom(Stage):
    """The demo, seen by whoever sends campaigns in it."""

    async def operator(self, text: str, *hears: str) -> str:
        said = await self.says(SU, text)
        for piece in hears:
            assert piece in said, said
        return said

    async def confirms(self, shown: str) -> None:
        code = CODE.search(shown)
        assert code is not None, shown
        await self.operator(f"确认 {code[1]}", "马上开始")

    async def ends(self, campaign: int, *says: str) -> str:
        """The report, once the campaign has ended and says all this."""

        async def there() -> str:
            said = await self.says(SU, f"/campaign report {campaign}")
            return said if "已结束" in said and all(piece in said for piece in says) else ""

        return str(await until(there, f"campaign {campaign} to end with {says}", pause_s=0.1))

    def shown(self, openid: str, piece: str) -> list[Received]:
        """What arrived unasked on this phone."""
        return [one for one in self.seen(openid) if one.route != "passive" and piece in one.content]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Newsroom]:
    demo = Demo(tmp_path)
    try:
        await demo.start()
        async with aiohttp.ClientSession() as http:
            room = Newsroom(demo, http)
            for openid in EVERYBODY:
                await demo.fake.follow(openid)
            yield room
    finally:
        await demo.stop()


async def test_a_newcomer_sends_a_campaign_and_both_phones_show_it(room: Newsroom) -> None:
    say = room.operator
    for openid in (LIN, ZHOU):
        await room.says(openid, "课程")

    # One question at a time.
    await say("/campaign new", "要发什么？")
    await say("今晚 8 点直播，来吗？", "发到哪里？", "1. 会员")
    await say("1", "发给谁？")
    await say("1", "什么时候发？")
    await say("1", "要不要试两种说法")
    shown = await say("1", "存成活动 2，还没有发", "今晚 8 点直播，来吗？", "会发给 3 人")
    assert not room.shown(LIN, "今晚 8 点直播")

    # Their own phone first; then the code, and it is there.
    await say("/campaign preview 2 手机", "发到成员")
    [seen] = room.shown(SU, "今晚 8 点直播")
    assert seen.route == "mass"
    await say("确认 2222", "确认码不对")
    await room.confirms(shown)
    await room.ends(2, "该发 3 人，微信已接收 3 人")
    for openid in (LIN, ZHOU):
        [seen] = room.shown(openid, "今晚 8 点直播，来吗？")
        assert (seen.route, "退订" in seen.content) == ("custom", True)
    await say("/campaign list", "2. 《今晚 8 点直播，来吗？》已结束", "1. 《直播放在几点》草稿")

    # Who leaves hears nothing of the next one.
    await room.says(ZHOU, "退订")
    shown = await say(
        "/campaign new 周末加课\n对象：所有人\n方式：群发\n"
        "文字：周六上午加一节直播。（回复「退订」不再收到）",
        "会发给 2 人",
        "不发：已退订 1 人",
    )
    await room.confirms(shown)
    await room.ends(3, "该发 2 人", "微信的统计：共 2，过滤掉 0，送达 2，失败 0")
    assert [one.route for one in room.shown(LIN, "周六上午")] == ["mass"]
    assert not room.shown(ZHOU, "周六上午")
    await room.ends(2, "退订 1 人")
    await say("/audit", "操作记录完整", "确认群发 活动 3")


async def test_a_poll_is_held_goes_on_and_is_answered_by_a_tap(room: Newsroom) -> None:
    for openid in (LIN, ZHOU):
        await room.says(openid, "课程")
    shown = await room.operator("/campaign preview 1", "活动 1《直播放在几点》草稿", "晚上 8 点")
    # WeChat takes its time, so that there is something to hold.
    room.demo.fake.api_hang_s = 0.5
    await room.confirms(shown)
    await room.operator("/campaign pause 1", "暂停了")
    await room.operator("/campaign list", "1. 《直播放在几点》已暂停")
    room.demo.fake.api_hang_s = 0.0
    await room.operator("/campaign resume 1", "继续了")
    await room.ends(1, "该发 3 人")
    for openid in EVERYBODY:
        assert len(room.shown(openid, "下次直播放在几点好")) == 1, "each once, held or not"

    async with room.http.get(f"{room.demo.url}api/state") as response:
        people = (await response.json())["people"]
    for person in people[:2]:
        [bubble] = [one for one in person["chat"] if one["kind"] == "msgmenu"]
        assert bubble["menu"]["head"].startswith("下次直播放在几点好？")
        option = bubble["menu"]["options"][2]
        assert option["content"] == "晚上 8 点"
        tapped = {"text": option["content"], "id": option["id"]}
        assert await room.act("link", who=person["openid"], **tapped) == 202
    for openid in (LIN, ZHOU):
        thanks = await room.hears(
            openid, lambda one: "你选的是「晚上 8 点」" in one.content, "thanks"
        )
        assert thanks.route == "passive"
    await room.says(LIN, "1")
    await room.ends(1, "投票 2 人：早上 9 点 1 票、中午 12 点 0 票、晚上 8 点 1 票。")


async def test_an_article_a_quiz_and_a_coupon_as_members_see_them(room: Newsroom) -> None:
    say = room.operator
    await say("/campaign new", "1. 图文")
    await say("1", "标题")
    await say("三天学会做计划", "1. cover")
    await say("1", "正文")
    await say("## 第一天\n\n写下**一件**小事。\n\n![山](cover)\n\n不想收到请回复退订。", "发给谁？")
    await say("1", "什么时候发？")
    await say("1", "两种")
    shown = await say("1", "[图文] 三天学会做计划", "会发给 3 人")
    await room.confirms(shown)
    await room.ends(2, "已结束")
    async with room.http.get(f"{room.demo.url}api/state") as response:
        people = (await response.json())["people"]
    for person in people:
        [bubble] = [one for one in person["chat"] if one["kind"] == "news"]
        [card] = bubble["articles"]
        assert card["title"] == "三天学会做计划"
        async with room.http.get(room.demo.url.rstrip("/") + card["picurl"]) as response:
            assert await response.read() == seeds.cover()
        async with room.http.get(room.demo.url.rstrip("/") + card["url"]) as response:
            page = await response.text()
        assert "<strong>一件</strong>" in page
        assert page.count("/media/") == 1

    # A quiz is joined by a tap, and a coupon is each one's own.
    for openid in (LIN, ZHOU):
        await room.says(openid, "课程")
    form = "/campaign new {title}\n对象：not member:3\n方式：客服消息\n{content}（回复「退订」）"
    for number, title, content in (
        (3, "来答题", "答题：1\n文字：三分钟，有奖"),
        (4, "送你券", "优惠券：早鸟\n文字：你的码 {{ coupon.code }}"),
    ):
        shown = await room.operator(
            form.format(title=title, content=content), f"活动 {number}《{title}》"
        )
        await room.confirms(shown)
        await room.ends(number)
    [quiz] = room.shown(LIN, "三分钟，有奖")
    [option] = quiz.raw["msgmenu"]["list"]
    delivery = await room.demo.fake.click_link(LIN, option["content"], option["id"])
    assert "回复「开始」" in delivery.text
    codes = {room.shown(openid, "你的码")[0].content for openid in (LIN, ZHOU)}
    assert len(codes) == 2
