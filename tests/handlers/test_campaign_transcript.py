"""An operator who knows nothing of all this makes a campaign, sends it, holds it and judges it.

Whoever reads the test aloud reads the chat.
"""

from __future__ import annotations

import re

import pytest

from tests.handlers.campaigning import Campaigning
from tests.handlers.conftest import Conversation

BOSS = "o_boss"
FANS = tuple(f"o_fan{n}" for n in range(6))


@pytest.fixture
async def scene(talk: Conversation) -> Campaigning:
    scene = Campaigning(talk)
    await talk.promote(BOSS)
    for number in await scene.fans(*FANS):
        await talk.store.tags.add(number, "Python", talk.at, limit=10)
    return scene


async def test_from_nothing_to_the_report(scene: Campaigning) -> None:
    talk = scene.talk

    async def boss(says: str, *hears: str) -> str:
        said = await talk.say(says, BOSS)
        for piece in hears:
            assert piece in said, said
        assert len(said.encode()) <= 2048, "one message on a phone"
        return said

    await boss("怎么群发", "要群发就回复「/campaign new」")
    await boss("/help", "/campaign new 一步步来")
    await boss("/campaign new", "一步步写一条群发", "要发什么？", "1. 图文文章", "2. 优惠券")
    await boss("今晚 8 点直播讲列表推导，来吗？", "发给谁？", "3. 有某个标签的人")
    await boss("3", "哪个标签？")
    await boss("Pyhton", "没有成员带着「Pyhton」这个标签，是不是「Python」？", "哪个标签？")
    await boss("python", "什么时候发？", "1. 确认后马上", "2. 今晚 8 点")
    await boss("看情况吧", "时间没看懂", "什么时候发？")
    await boss("1", "要不要试两种说法", "1. 不用")
    await boss(
        "1",
        "写好了，存成活动 1，还没有发",
        "草稿",
        "给：有「Python」标签的人",
        "时间：确认后马上",
        "今晚 8 点直播讲列表推导，来吗？",
        "（回复「退订」不再收到）",
        "符合 6 人，会发给",
        "没问题就回复「确认",
    )
    assert not scene.phones.received, "nothing goes out before it is confirmed"

    await boss("/campaign edit 1", "现在是：", "对照：无")
    shown = await boss("/campaign edit 1 对照 无", "会发给 6 人", "客服消息 6 人")
    await boss("/campaign preview 1 手机", "版本 A 发到成员")
    assert scene.phones.previews == [
        ("今晚 8 点直播讲列表推导，来吗？\n（回复「退订」不再收到）", await talk.member(BOSS))
    ]
    await boss("改时间", "/campaign schedule 1")
    await boss("先别发", "活动 1 还没确认，不会发")
    await boss("确认 2222", "确认码不对", "每个人的码不一样")

    code = re.search(r"确认 ([0-9A-Z]{4})", shown)
    assert code is not None
    await boss(
        f"确认 {code[1]}", "活动 1 马上开始，发给 6 人", "/campaign pause 1", "/campaign report 1"
    )

    async def pause() -> None:
        await boss("/campaign pause 1", "暂停了，还有", "/campaign resume 1")

    scene.phones.stop_after = (2, pause)
    await scene.run()
    first = len(scene.phones.received)
    assert 2 <= first <= 2 + scene.rules.parallel, "held within what was under way"
    await boss("效果怎么样", "活动 1 已暂停", "/campaign report 1")
    await boss("/campaign list", "1. 《今晚 8 点直播讲列表推导", "已暂停")
    await boss("/campaign report 1", "该发 6 人", f"还没发 {6 - first} 人")

    await boss("/campaign resume 1", "活动 1 继续了")
    await scene.run()
    assert {name: len(texts) for name, texts in scene.phones.received.items()} == dict.fromkeys(
        FANS, 1
    ), "everybody got it, and nobody twice"

    talk.later(minutes=5)
    assert await talk.say("我来", FANS[0])
    talk.later(minutes=5)
    said = await boss(
        "/campaign report 1 图",
        "已结束",
        "该发 6 人，微信已接收 6 人",
        "回复 1 人",
        "没有留对照组",
    )
    assert "还没发" not in said
    assert talk.ctx is not None
    assert [reply.media_id for reply in talk.ctx.then] == ["media_chart_1"]
    await boss("/campaign unknown", "没有结果不明的投递")
    await boss("/campaign resume 1", "已结束，没有可以继续的")
    await boss("/audit", "操作记录完整", "建群发 活动 1", "暂停群发 活动 1")
