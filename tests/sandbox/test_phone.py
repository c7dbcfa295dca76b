"""The phone page's routes: what a visitor may do, what arrives by itself, who is refused."""

from __future__ import annotations

import asyncio
import io
import json
import math
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import segno

from sandbox.fake_mass import ARTICLES, PICTURES
from sandbox.fake_platform import Received
from sandbox.fake_wechat import FakeWeChat
from sandbox.phone import Link, Person, Phone
from tests.sandbox.webhook import ACCOUNT, Bot, running

PEOPLE = (
    Person("o_lin", "林晓", "新学员", "#3b82c4"),
    Person("o_su", "苏老师", "运营", "#b8652a", ("/help",)),
)
MENU = ({"type": "click", "name": "课程", "key": "COURSES"},)
PAGE = Path(__file__).parents[2] / "sandbox" / "page"


class Visitor:
    """A browser, as far as the routes can tell."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def post(self, name: str, headers: dict[str, str] | None = None, **body: Any) -> int:
        url = f"{self.url}api/{name}"
        async with self.http.post(url, json=body, headers=headers) as response:
            return response.status

    async def state(self) -> dict[str, Any]:
        async with self.http.get(f"{self.url}api/state") as response:
            state: dict[str, Any] = await response.json()
        return state

    async def chat(self, openid: str) -> list[tuple[str, str]]:
        for person in (await self.state())["people"]:
            if person["openid"] == openid:
                return [(one["side"], one["text"]) for one in person["chat"]]
        return []


@pytest.fixture
def bot() -> Bot:
    return Bot()


@pytest.fixture
async def fake(bot: Bot) -> AsyncIterator[FakeWeChat]:
    async with running(bot) as webhook:
        fake = FakeWeChat(ACCOUNT, timeout_s=1)
        fake.webhook = webhook
        await fake.start()
        yield fake
        await fake.close()


@pytest.fixture
async def visitor(fake: FakeWeChat) -> AsyncIterator[Visitor]:
    phone = Phone(fake, PEOPLE, menu=MENU, links=[Link("健康", "http://127.0.0.1/healthz")])
    url = await phone.start()
    async with aiohttp.ClientSession() as http:
        yield Visitor(url, http)
    await phone.close()


async def next_event(stream: aiohttp.ClientResponse, wanted: str) -> dict[str, Any]:
    """The data of the next event of that name."""
    async with asyncio.timeout(3):
        name = ""
        while True:
            line = (await stream.content.readline()).decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: ") and name == wanted:
                data: dict[str, Any] = json.loads(line[6:])
                return data


async def test_the_page_and_its_parts_are_served_from_here_only(visitor: Visitor) -> None:
    for path, kind in [("", "text/html"), ("phone.js", "text/javascript"), ("phone.css", "text/")]:
        async with visitor.http.get(visitor.url + path) as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith(kind)
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    async with visitor.http.get(f"{visitor.url}../phone.py") as response:
        assert response.status == 404


async def test_people_start_as_strangers_and_cannot_write(visitor: Visitor, bot: Bot) -> None:
    state = await visitor.state()
    assert [(one["name"], one["followed"]) for one in state["people"]] == [
        ("林晓", False),
        ("苏老师", False),
    ]
    assert state["menu"] == [dict(MENU[0])]
    assert await visitor.post("send", who="o_lin", text="在吗") == 409
    assert bot.seen == []


async def test_following_and_writing_go_through_the_webhook_and_the_answer_appears(
    visitor: Visitor, bot: Bot
) -> None:
    async with visitor.http.get(f"{visitor.url}events") as stream:
        assert await visitor.post("follow", who="o_lin") == 202
        assert await next_event(stream, "person") == {"openid": "o_lin", "followed": True}
        assert (await next_event(stream, "bubble"))["text"] == "好的"
        assert await visitor.post("send", who="o_lin", text="怎么退款") == 202
        assert (await next_event(stream, "bubble"))["side"] == "out"
        wire = await next_event(stream, "wire")
        assert (wire["title"], wire["done"]) == ("text", False)
        assert (await next_event(stream, "bubble"))["side"] == "in"
    assert [one.get("Event", one.get("Content")) for one in bot.seen] == ["subscribe", "怎么退款"]
    chat = await visitor.chat("o_lin")
    assert chat[-2:] == [("out", "怎么退款"), ("in", "好的")]
    assert await visitor.chat("o_su") == []


async def test_what_is_pushed_later_appears_by_itself(visitor: Visitor, fake: FakeWeChat) -> None:
    await visitor.post("follow", who="o_su")
    async with visitor.http.get(f"{visitor.url}events") as stream:
        menu = {"head_content": "选一个", "list": [{"id": "1", "content": "课"}]}
        raw = {"msgtype": "msgmenu", "msgmenu": menu}
        fake.show("o_su", Received("msgmenu", "选一个\n课", raw, "custom", 1.0))
        while (bubble := await next_event(stream, "bubble"))["kind"] != "msgmenu":
            pass
    assert bubble["route"] == "custom"
    assert bubble["menu"] == {
        "head": "选一个",
        "options": [{"id": "1", "content": "课"}],
        "tail": "",
    }


async def test_menu_clicks_links_and_leaving_reach_the_service(visitor: Visitor, bot: Bot) -> None:
    await visitor.post("follow", who="o_lin")
    assert await visitor.post("follow", who="o_lin") == 409
    assert await visitor.post("click", who="o_lin", key="COURSES") == 202
    assert await visitor.post("link", who="o_lin", text="有用", id="7") == 202
    assert await visitor.post("view", who="o_lin", url="https://x.test/") == 202
    assert await visitor.post("unfollow", who="o_lin") == 202
    async with asyncio.timeout(3):
        while len(bot.seen) < 5:
            await asyncio.sleep(0.01)
    by_kind = {one.get("Event", one["MsgType"]): one for one in bot.seen}
    assert by_kind["CLICK"]["EventKey"] == "COURSES"
    assert by_kind["text"]["bizmsgmenuid"] == "7"
    assert by_kind["VIEW"]["EventKey"] == "https://x.test/"
    assert "unsubscribe" in by_kind
    assert ("out", "点击菜单「课程」") in await visitor.chat("o_lin")
    assert await visitor.post("send", who="o_lin", text="还在吗") == 409


def code(content: str) -> bytes:
    out = io.BytesIO()
    segno.make(content, micro=False).save(out, kind="png", scale=4)
    return out.getvalue()


def upload(fake: FakeWeChat, media_id: str, data: bytes) -> str:
    """A picture as the service uploads one, but without the call."""
    head = b'--b\r\nContent-Disposition: form-data; name="media"; filename="a.png"\r\n\r\n'
    fake.media[media_id] = ("image", head + data + b"\r\n--b--\r\n")
    return media_id


async def test_a_picture_is_shown_and_somebody_elses_phone_scans_it(
    visitor: Visitor, fake: FakeWeChat, bot: Bot
) -> None:
    fake.codes["http://weixin.qq.com/q/1"] = ("i:lin", math.inf)
    picture = code("http://weixin.qq.com/q/1")
    media = upload(fake, "m1", picture)
    await visitor.post("follow", who="o_lin")
    fake.show("o_lin", Received("image", media, {}, "passive", 1.0))
    assert ("in", media) in await visitor.chat("o_lin")
    async with visitor.http.get(f"{visitor.url}media/{media}") as response:
        assert await response.read() == picture
        assert response.headers["Content-Type"] == "image/png"
        assert "img-src 'self'" in response.headers["Content-Security-Policy"]

    assert await visitor.post("scan", who="o_su", media=media) == 202
    async with asyncio.timeout(3):
        while len(bot.seen) < 2:
            await asyncio.sleep(0.01)
    assert (bot.seen[1]["FromUserName"], bot.seen[1]["EventKey"]) == ("o_su", "qrscene_i:lin")
    assert fake.members["o_su"].followed
    assert ("out", "你扫码关注了该公众号") in await visitor.chat("o_su")

    assert await visitor.post("scan", who="o_su", media=media) == 202
    async with asyncio.timeout(3):
        while len(bot.seen) < 3:
            await asyncio.sleep(0.01)
    assert (bot.seen[2]["Event"], bot.seen[2]["EventKey"]) == ("SCAN", "i:lin")


async def test_a_picture_that_leads_nowhere_is_said_so(visitor: Visitor, fake: FakeWeChat) -> None:
    fake.codes["http://weixin.qq.com/q/1"] = ("i:lin", 0.0)
    for media, status in [
        (upload(fake, "over", code("http://weixin.qq.com/q/1")), 409),
        (upload(fake, "page", code("https://x.test/")), 409),
        (upload(fake, "torn", b"\x89PNG\r\n\x1a\n"), 409),
        ("nobody's", 404),
        (7, 400),
    ]:
        assert await visitor.post("scan", who="o_su", media=media) == status
    assert not fake.members["o_su"].followed
    upload(fake, "script", b"<script>")
    for name in ("script", "nobody's"):
        async with visitor.http.get(f"{visitor.url}media/{name}") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"who": "o_nobody", "text": "嗨"}, 404),
        ({"text": "嗨"}, 404),
        ({"who": "o_lin", "text": " "}, 400),
        ({"who": "o_lin", "text": 7}, 400),
        ({"who": "o_lin", "text": "长" * 5001}, 400),
        ({"who": "o_lin", "text": "x" * 70_000}, 413),
        ({"who": "o_lin", "text": "\ud83d"}, 202),
    ],
)
async def test_bad_orders_are_refused_with_a_reason(
    visitor: Visitor, body: dict[str, Any], status: int
) -> None:
    await visitor.post("follow", who="o_lin")
    assert await visitor.post("send", **body) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.test"}, 421),
        ({"Host": "evil.test:80"}, 421),
        ({"Content-Type": "text/plain"}, 415),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
    ],
)
async def test_other_sites_cannot_give_orders(
    visitor: Visitor, headers: dict[str, str], status: int
) -> None:
    assert await visitor.post("follow", headers, who="o_lin") == status


async def test_a_rebound_name_cannot_read_the_chats(visitor: Visitor) -> None:
    for path in ("api/state", "events", ""):
        async with visitor.http.get(visitor.url + path, headers={"Host": "evil.test"}) as response:
            assert response.status == 421


async def test_a_menu_made_by_the_service_replaces_the_first_one(
    visitor: Visitor, fake: FakeWeChat
) -> None:
    fake.menu = {"button": [{"type": "click", "name": "帮助", "key": "HELP"}]}
    assert (await visitor.state())["menu"][0]["key"] == "HELP"


def test_the_page_loads_nothing_from_elsewhere_and_writes_no_markup() -> None:
    script = (PAGE / "phone.js").read_text(encoding="utf-8")
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in script
    for name in ("index.html", "phone.css"):
        text = (PAGE / name).read_text(encoding="utf-8")
        assert not re.search(r"(src|href)=\"(https?:)?//|url\(|@import| on\w+=", text)


async def test_an_article_that_went_to_many_can_be_read(visitor: Visitor, fake: FakeWeChat) -> None:
    mass = fake.mass
    mass.articles["a1"] = {
        "title": "新课 <1>",
        "url": f"{ARTICLES}a1",
        "content": f'<p>好</p><img src="{PICTURES}m1"><script>alert(1)</script>',
    }
    card = {"title": "新课", "description": "", "url": f"{ARTICLES}a1", "picurl": ""}
    fake.members["o_lin"].followed = True
    fake.show("o_lin", Received("news", "新课", {}, "mass", fake.now(), (card,)))
    [bubble] = (await visitor.state())["people"][0]["chat"]
    assert (bubble["route"], bubble["articles"][0]["url"]) == ("mass", "/article/a1")
    async with visitor.http.get(f"{visitor.url}article/a1") as response:
        page = await response.text()
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert "<h1>新课 &lt;1&gt;</h1>" in page
    assert 'src="/media/m1"' in page
    async with visitor.http.get(f"{visitor.url}article/none") as response:
        assert response.status == 404
