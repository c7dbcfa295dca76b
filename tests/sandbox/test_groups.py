"""The demo's groups, as a visitor of the page plays them: over HTTP, from whoever is chosen.

Behind the page are the demo's own bot, a gateway that reached it by a reverse WebSocket, and a
group robot; what the page shows is what they said.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.__main__ import ADVERT, FLOOD, OPERATOR, OWNER, ROOMS, SPEAKERS, Demo
from sandbox.groups import mentioned, posted_text
from sandbox.seeds import seed_group
from store import Store
from tests.blank import blank
from tests.proofs.world import until
from tests.sandbox.test_phone import PAGE

LIN, ZHOU, HE = (one.id for one in SPEAKERS[:3])
BOT = f"@{ROOMS.bot}"


class Crowd:
    """The group column of the page, as its routes show it."""

    def __init__(self, demo: Demo, http: aiohttp.ClientSession) -> None:
        self.demo = demo
        self.http = http

    async def state(self) -> dict[str, Any]:
        async with self.http.get(f"{self.demo.url}api/groups") as response:
            state: dict[str, Any] = await response.json()
        return state

    async def post(self, name: str, **body: Any) -> int:
        async with self.http.post(f"{self.demo.url}api/group_{name}", json=body) as response:
            return response.status

    async def says(self, who: str, text: str, quote: str = "") -> None:
        assert await self.post("say", who=who, text=text, quote=quote) == 202

    async def bot_lines(self, room: str) -> list[dict[str, Any]]:
        lines = (await self.state())["lines"]
        return [one for one in lines if one["room"] == room and one.get("bot")]

    async def hears(self, room: str, piece: str) -> dict[str, Any]:
        """The bot's line with this in it, once it is there."""

        async def there() -> Any:
            return next((one for one in await self.bot_lines(room) if piece in one["text"]), None)

        line: dict[str, Any] = await until(there, f"{piece} in {room}", pause_s=0.05)
        return line

    async def operator(self, text: str) -> str:
        return (await self.demo.fake.send_text(OPERATOR.openid, text)).text

    async def reported(self, piece: str) -> str:
        """What arrived on the operator's own phone, in the official account."""

        async def there() -> str:
            seen = self.demo.fake.members[OPERATOR.openid].inbox
            return next((one.content for one in seen if piece in one.content), "")

        return str(await until(there, f"the operator to hear of {piece}", pause_s=0.05))


@pytest.fixture
async def crowd(tmp_path: Path) -> AsyncIterator[Crowd]:
    demo = Demo(tmp_path)
    try:
        await demo.start()
        async with aiohttp.ClientSession() as http:
            yield Crowd(demo, http)
    finally:
        await demo.stop()


async def test_an_evening_in_the_demos_group(crowd: Crowd) -> None:
    state = await crowd.state()
    assert [one["name"] for one in state["people"]] == ["林晓", "周雨", "何川", "苏老师"]
    assert state["names"]["group"] == "周末读书会"
    assert state["lines"] == []

    # Somebody comes in: what follows happens while the welcome waits for more to come.
    assert await crowd.post("join", who=LIN) == 202
    await crowd.demo.fake.follow(OPERATOR.openid)
    await crowd.operator("/help")

    # Asked with a mention: the answer quotes the question. What people chat is theirs.
    await crowd.says(ZHOU, "这周读到第三章了，你们呢")
    await crowd.says(LIN, f"{BOT} 怎么退款")
    answer = await crowd.hears("group", "7 天")
    assert answer["quotes"] == {"name": "林晓", "text": f"{BOT} 怎么退款"}
    assert answer["text"].startswith("@林晓 ")

    # Who quotes the bot speaks to it; who mentions somebody else does not.
    await crowd.says(HE, "怎么开发票", quote=answer["message"])
    assert (await crowd.hears("group", "申请开票"))["quotes"]["name"] == "何川"
    await crowd.says(HE, "@林晓 可以试听吗")

    # A private matter: one line in the group, the rest on one phone, which may go on there.
    await crowd.says(ZHOU, f"{BOT} 我的积分")
    await crowd.hears(ZHOU, "你有 0 积分")
    await crowd.hears("group", "我私聊回你")
    assert await crowd.post("whisper", who=ZHOU, text="签到") == 202
    await crowd.hears(ZHOU, "+5")
    assert not await crowd.bot_lines(LIN)

    # Order: an advert is warned about, and told to the operator in the official account.
    await crowd.says(HE, ADVERT)
    told = await crowd.reported("周末读书会 有 1 条要看一下")
    assert "误报" in told
    await crowd.hears("group", "@何川 提醒一下")
    assert await crowd.post("flood", who=ZHOU) == 202
    await crowd.hears("group", "@周雨 消息有点密")

    # The operator in the group commands it; from the account she posts to the other one.
    await crowd.says(OWNER.id, "/group")
    await crowd.hears("group", "本群是 #")
    shown = await crowd.operator(f"/group push {ROOMS.board} 今晚八点开播")
    assert f"{ROOMS.board}\n内容：\n今晚八点开播" in shown
    assert "条消息在发" in await crowd.operator("确认")
    assert (await crowd.hears("board", "今晚八点开播"))["text"] == "今晚八点开播"

    welcome = await crowd.hears("group", "欢迎 小满")
    assert welcome["text"].startswith("@小满 ")
    # All that the bot said in the group, and nothing of what belongs to one alone.
    said = [one["text"] for one in await crowd.bot_lines("group")]
    said = [text for text in said if "日报" not in text]  # comes by the clock of the day
    assert len(said) == 7, said
    assert not any("0 积分" in text for text in said)
    members = [one["text"] for one in (await crowd.state())["lines"] if one["name"] == "周雨"]
    assert members[-len(FLOOD) :] == list(FLOOD)

    # Who is forgotten hears so alone, and the group only that it is done.
    await crowd.says(LIN, f"{BOT} 忘记我")
    await crowd.hears(LIN, "回复「确认忘记」")
    await crowd.says(LIN, f"{BOT} 确认忘记")
    await crowd.hears(LIN, "已经删除你的全部资料")
    await crowd.hears("group", "办好了")


async def test_a_visitor_of_the_group_is_refused_with_a_reason(crowd: Crowd) -> None:
    refusals: list[tuple[str, dict[str, Any], int]] = [
        ("say", {"who": "wxid_nobody", "text": "嗨"}, 404),
        ("say", {"who": OPERATOR.openid, "text": "嗨"}, 404),
        ("say", {"who": [LIN], "text": "嗨"}, 404),
        ("say", {"who": LIN, "text": " "}, 400),
        ("say", {"who": LIN, "text": "嗨", "quote": "77"}, 404),
        ("say", {"who": LIN, "text": "嗨", "quote": {}}, 404),
        ("say", {"who": LIN, "text": "长" * 5001}, 400),
        ("say", {"who": LIN, "text": "\ud83d"}, 202),
        ("whisper", {"who": LIN, "text": 7}, 400),
        ("join", {"who": "wxid_new1"}, 404),
        *(("join", {"who": LIN}, 202),) * 4,
        ("join", {"who": LIN}, 409),
    ]
    for name, body, status in refusals:
        assert await crowd.post(name, **body) == status, (name, body)
    people = (await crowd.state())["people"]
    assert len({one["id"] for one in people}) == 8
    assert "join" not in {example["act"] for example in people[0]["examples"]}

    gateway, group = crowd.demo.gateway, crowd.demo.rooms.group
    gateway.groups[group].silenced[HE] = 600
    for name in ("say", "flood"):
        assert await crowd.post(name, who=HE, text="嗨") == 409
    await gateway.leave(group, HE, by=gateway.bot)
    assert await crowd.post("say", who=HE, text="嗨") == 404
    state = await crowd.state()
    assert HE not in {one["id"] for one in state["people"]}
    assert state["lines"][-1]["text"] == "何川 离开了群聊"


async def test_a_group_is_bound_once_and_keeps_what_an_operator_set(tmp_path: Path) -> None:
    store = Store(blank(tmp_path / "z.db"))
    await store.open()
    await seed_group(store, "qun", "1@chatroom", "读书会", 1000.0, OWNER.id)
    [group] = store.groups.all()
    assert (group.bound, group.owner, group.rules.order) == (True, OWNER.id, "act")

    await store.groups.rule(group.place, lambda old: replace(old, order="off", welcome=None))
    await seed_group(store, "qun", "1@chatroom", "读书会", 2000.0, OWNER.id)
    assert [one.rules.order for one in store.groups.all()] == ["off"]
    await store.close()


@pytest.mark.parametrize(
    ("text", "words", "whom"),
    [
        ("@知群 怎么退款", "怎么退款", ("bot",)),
        ("@知群\u2005怎么退款", "怎么退款", ("bot",)),
        ("怎么退款 @知群", "怎么退款", ("bot",)),
        ("@知群", "", ("bot",)),
        ("@小林 @知群 看一下 @小林 ", "看一下", ("lin", "bot")),
        ("@小林子 在吗", "在吗", ("linzi",)),
        ("@知群学堂 在吗", "@知群学堂 在吗", ()),
        ("写信到 a@x.test", "写信到 a@x.test", ()),
    ],
)
def test_a_name_behind_an_at_is_a_mention(text: str, words: str, whom: tuple[str, ...]) -> None:
    names = {"小林": "lin", "小林子": "linzi", "知群": "bot", "a.*": "regex"}
    assert mentioned(text, names) == (words, whom)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"msgtype": "text", "text": {"content": "今晚八点"}}, "今晚八点"),
        (
            {
                "msgtype": "news",
                "news": {"articles": [{"title": "新课", "url": "https://x.test/"}]},
            },
            "新课\nhttps://x.test/",
        ),
        ({"msgtype": "image", "image": {"base64": "", "md5": ""}}, "[图片]"),
        (
            {"msgtype": "template_card", "template_card": {"main_title": {"title": "报名"}}},
            "报名",
        ),
        ({"msgtype": "sound"}, ""),
    ],
)
def test_what_a_group_robot_posts_is_read_as_text(body: dict[str, Any], text: str) -> None:
    assert posted_text(body) == text


def test_the_groups_page_writes_no_markup_and_loads_nothing_from_elsewhere() -> None:
    script = (PAGE / "groups.js").read_text(encoding="utf-8")
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in script
    style = (PAGE / "groups.css").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import", style)
