"""Group robots: what a post becomes on the wire, and what the wire says back."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.client import Unheard, Unreachable, new_session
from bot.errcodes import Action
from bot.group_robot import (
    MARKDOWN_BYTES,
    TEXT_BYTES,
    CannotPost,
    GroupRobot,
    cut,
    render,
    split,
)
from bot.qyapi import NO_ANSWER, WeComRefused
from bot.rules import Secret
from sandbox.fake_qyapi import SEND, UPLOAD, Call, FakeQyapi
from store import Store
from store.posts import Post, PostArticle
from tests.blank import blank

FIXTURE = Path(__file__).parents[3] / "shared/fixtures/wechat/wecom_robot/out_webhook_send.json"
NOW = 1_763_697_600.0
KEY = "693a91f6-7aoc-4bc4-97a0-0ec2sifa5aaa"
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"

FROM_FIXTURE = (
    Post("text", "今晚 8 点发券", mentions=("lisi", "@all", "tel:13800000000")),
    Post("markdown", '<font color="warning">最后 10 张</font>', mentions=("lisi",)),
    Post(
        "news",
        articles=(PostArticle("活动", "满减", "https://example.com", "https://example.com/p.png"),),
    ),
)


def content(post: Post) -> str:
    """What a text or markdown says on the wire."""
    body = render(post)
    return str(body[body["msgtype"]]["content"])


# --- render ---------------------------------------------------------------------------------


def test_the_shared_fixtures_come_out_of_posts() -> None:
    if not FIXTURE.exists():
        pytest.skip("the shared fixtures (../shared/fixtures/wechat) are not next to the project")
    wanted = json.loads(FIXTURE.read_text("utf-8"))
    assert [render(post) for post in FROM_FIXTURE] == wanted


def test_a_mention_that_is_written_already_is_not_said_twice() -> None:
    assert content(Post("markdown", "<@lisi> 看这里", mentions=("lisi",))) == "<@lisi> 看这里"
    text = render(Post("text", "看", mentions=("lisi", "lisi")))
    assert text["text"]["mentioned_list"] == ["lisi"]


@pytest.mark.parametrize(
    "post",
    [
        Post("markdown_v2", "# 榜单\n\n> **小林** [领券](https://e.com) `a`", mentions=("lisi",)),
        Post("markdown", '# 榜单\n\n> <font color="info">**小林**</font> [领券](https://e.com) a',
             mentions=("lisi", "@all")),
        Post("markdown", "# 榜单\n\n> 小林 [领券](https://e.com) a", mentions=("tel:13800000000",)),
    ],
)  # fmt: skip
def test_a_mention_that_markdown_cannot_carry_makes_it_a_text(post: Post) -> None:
    body = render(post)
    assert body["msgtype"] == "text"
    assert body["text"]["content"] == "榜单\n\n小林 领券 https://e.com a"
    assert "mentioned_list" in body["text"] or "mentioned_mobile_list" in body["text"]


def test_markdown_v2_stays_markdown_v2() -> None:
    table = "| a | b |\n| - | - |\n| 1 | 2 |"
    assert render(Post("markdown_v2", table)) == {
        "msgtype": "markdown_v2",
        "markdown_v2": {"content": table},
    }


@pytest.mark.parametrize(
    ("post", "limit"),
    [
        (Post("text", "群" * 3000), TEXT_BYTES),
        (Post("markdown", "群" * 3000, mentions=("lisi",)), MARKDOWN_BYTES),
        (Post("markdown_v2", "a" * 9000), MARKDOWN_BYTES),
    ],
)
def test_what_is_too_long_is_cut_on_a_character(post: Post, limit: int) -> None:
    said = content(post)
    assert limit - 30 < len(said.encode()) <= limit
    assert "…" in said
    assert "\ufffd" not in said
    assert ("<@lisi>" in said) == (post.mentions == ("lisi",))


def test_a_cut_tears_no_family_apart() -> None:
    assert content(Post("text", "a" + "👨‍👩‍👧" * 500)).endswith("👨‍👩‍👧…")
    assert cut("e\u0301" * 40, 20).removesuffix("…").endswith("e\u0301")


@given(st.text(max_size=60), st.integers(3, 90))
@settings(max_examples=60, deadline=None)
def test_a_cut_text_fits_and_is_a_beginning(text: str, limit: int) -> None:
    shorter = cut(text, limit)
    assert len(shorter.encode(errors="replace")) <= limit
    assert shorter == text or text.startswith(shorter.removesuffix("…"))


@pytest.mark.parametrize(
    "post",
    [
        Post("text"),
        Post("text", "  \n"),
        Post("markdown"),
        Post("markdown_v2", " "),
        Post("markdown", "a", mentions=tuple(f"user{n}" * 20 for n in range(60))),
        Post("news"),
        Post("news", articles=(PostArticle("a", url="https://e.com"),) * 9),
        Post("news", articles=(PostArticle("", url="https://e.com"),)),
        Post("news", articles=(PostArticle("a"),)),
        Post("image", asset_id=1),
        Post("file", asset_id=1),
        Post("card"),
    ],
)
def test_what_cannot_be_said_is_refused_with_a_reason(post: Post) -> None:
    with pytest.raises(CannotPost, match=r"\w{3}"):
        render(post)


def test_a_text_may_be_nothing_but_a_mention() -> None:
    assert render(Post("text", mentions=("@all",)))["text"] == {
        "content": "",
        "mentioned_list": ["@all"],
    }


def test_articles_are_cut_to_what_is_shown() -> None:
    article = PostArticle("题" * 100, "说" * 400, "https://e.com")
    (one,) = render(Post("news", articles=(article,)))["news"]["articles"]
    assert len(one["title"].encode()) <= 128
    assert len(one["description"].encode()) <= 512
    assert "picurl" not in one


def test_a_picture_goes_with_its_bytes_and_their_sum() -> None:
    image = render(Post("image", asset_id=1), data=PNG)["image"]
    assert base64.b64decode(image["base64"]) == PNG
    assert image["md5"] == hashlib.md5(PNG).hexdigest()
    for bad in (b"GIF89a", PNG + b"x" * 2 * 1024 * 1024):
        with pytest.raises(CannotPost):
            render(Post("image", asset_id=1), data=bad)


LINK = {"type": 1, "url": "https://e.com"}
NOTICE = {"card_type": "text_notice", "main_title": {"title": "到期"}, "card_action": LINK}
NEWS = {**NOTICE, "card_type": "news_notice", "card_image": {"url": "https://e.com/p.png"}}


@pytest.mark.parametrize("card", [NOTICE, NEWS])
def test_a_card_goes_as_it_is(card: dict[str, Any]) -> None:
    body = render(Post("card", card=card))
    assert body == {"msgtype": "template_card", "template_card": card}


@pytest.mark.parametrize(
    "change",
    [
        {"card_type": "button_interaction"},
        {"card_type": None},
        {"main_title": {}},
        {"main_title": "到期"},
        {"card_action": None},
        {"card_action": {"type": 1}},
        {"card_action": {"type": 3, "url": "https://e.com"}},
        {"jump_list": [{}] * 4},
        {"card_type": "news_notice"},
    ],
)
def test_a_card_that_wecom_would_refuse_is_not_sent(change: dict[str, Any]) -> None:
    with pytest.raises(CannotPost):
        render(Post("card", card={**NOTICE, **change}))


# --- split ----------------------------------------------------------------------------------


def test_a_short_post_is_one_part() -> None:
    for post in (*FROM_FIXTURE, Post("text"), Post("image", asset_id=1)):
        assert split(post) == [post]


def test_a_long_post_is_cut_where_a_reader_would_pause() -> None:
    lines = [f"第 {number} 行：" + "字" * 60 + "。" for number in range(40)]
    parts = split(Post("text", "\n".join(lines), mentions=("lisi",), quote="m1"))
    assert len(parts) == 4
    assert "\n".join(part.content for part in parts).split("\n") == lines
    assert [part.mentions for part in parts] == [("lisi",), (), (), ()]
    assert [part.quote for part in parts] == ["m1", "", "", ""]
    sentences = split(Post("markdown_v2", ("好" * 50 + "。") * 60))
    assert all(part.content.endswith("。") for part in sentences)


def test_a_mention_decides_what_fits() -> None:
    parts = split(Post("markdown_v2", "字" * 1000, mentions=("lisi",)))
    assert [part.kind for part in parts] == ["text", "text"]
    parts = split(Post("markdown", "字" * 1365, mentions=("lisi",)))
    assert [render(part)["msgtype"] for part in parts] == ["markdown", "markdown"]
    assert "<@lisi>" in content(parts[0])
    assert "<@lisi>" not in content(parts[1])


@given(st.text(alphabet=st.sampled_from("字a。 \n，👍🏽é\u0301"), min_size=1, max_size=4000))
@settings(max_examples=25, deadline=None)
def test_no_part_is_cut_again_and_nothing_is_lost(text: str) -> None:
    parts = split(Post("text", text * 3))
    said = "".join(part.content for part in parts)
    assert "".join(said.split()) == "".join((text * 3).split())
    assert all(len(part.content.encode()) <= TEXT_BYTES for part in parts)
    assert len(parts) == 1 or all(part.content for part in parts)


# --- the wire -------------------------------------------------------------------------------


@dataclass
class World:
    fake: FakeQyapi
    store: Store
    robot: GroupRobot
    seen: list[tuple[str, int]]
    now: list[float]

    def said(self) -> list[dict[str, Any]]:
        return [one.body for one in self.fake.posted(KEY)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    now = [NOW]
    seen: list[tuple[str, int]] = []
    async with contextlib.AsyncExitStack() as stack:
        fake = FakeQyapi(now=lambda: now[0])
        fake.robot(KEY)
        await fake.start()
        stack.push_async_callback(fake.close)
        store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
        await store.open()
        stack.push_async_callback(store.close)
        session = await stack.enter_async_context(new_session())
        robot = GroupRobot(
            "poster",
            Secret(KEY),
            session=session,
            files=store.assets,
            now=lambda: now[0],
            api_base=fake.api_base,
            timeout_s=0.3,
            observe=lambda path, errcode: seen.append((path, errcode)),
        )
        yield World(fake, store, robot, seen, now)


async def test_every_kind_arrives_and_wecom_takes_it(world: World) -> None:
    asset = await world.store.assets.put("poster", PNG, NOW, "cli")
    posts = (
        *FROM_FIXTURE,
        Post("markdown_v2", "| a |\n| - |"),
        Post("image", asset_id=asset.id),
        Post("file", asset_id=asset.id),
        Post("card", card=NOTICE),
        Post("card", card=NEWS),
    )
    for post in posts:
        assert await world.robot.post("anything", post) == ""
    assert [one["msgtype"] for one in world.said()] == [
        *("text", "markdown", "news", "markdown_v2", "image", "file"),
        *("template_card", "template_card"),
    ]
    assert set(world.seen) == {(SEND, 0), (UPLOAD, 0)}


async def test_a_file_is_uploaded_once_in_three_days(world: World) -> None:
    asset = await world.store.assets.put("poster", PNG, NOW, "cli")
    for _ in range(3):
        await world.robot.post("", Post("file", asset_id=asset.id))
    assert world.fake.calls[UPLOAD] == 1
    assert [(name, data) for name, data, _ in world.fake.media.values()] == [
        (f"asset{asset.id}.png", PNG)
    ]
    world.now[0] += 3 * 86_400
    await world.robot.post("", Post("file", asset_id=asset.id))
    assert world.fake.calls[UPLOAD] == 2


async def test_a_file_that_wecom_has_lost_is_uploaded_again(world: World) -> None:
    asset = await world.store.assets.put("poster", PNG, NOW, "cli")
    await world.robot.post("", Post("file", asset_id=asset.id))
    world.fake.media.clear()
    await world.robot.post("", Post("file", asset_id=asset.id))
    assert world.fake.calls[UPLOAD] == 2
    assert len(world.said()) == 2


@pytest.mark.parametrize("fault", ["lost", "cut", "stall", "500", "broken"])
async def test_an_upload_that_nobody_heard_of_is_not_a_post(world: World, fault: str) -> None:
    asset = await world.store.assets.put("poster", PNG, NOW, "cli")
    world.fake.faults = lambda call: fault if call.path == UPLOAD else ""
    with pytest.raises(Unreachable):
        await world.robot.post("", Post("file", asset_id=asset.id))
    assert world.said() == []


@pytest.mark.parametrize("kind", ["image", "file"])
async def test_a_picture_that_is_gone_is_refused(world: World, kind: Any) -> None:
    for post in (Post(kind), Post(kind, asset_id=99)):
        with pytest.raises(CannotPost, match="gone"):
            await world.robot.post("", post)
    assert world.seen == []


@pytest.mark.parametrize(
    ("fault", "error", "there"),
    [
        ("cut", Unheard, 0),
        ("lost", Unheard, 1),
        ("hang", Unheard, 1),
        ("stall", Unheard, 0),
        ("500", Unheard, 0),
        ("broken", Unheard, 1),
        ("huge", Unheard, 1),
        ("busy", WeComRefused, 0),
    ],
)
async def test_an_error_says_what_is_known(
    world: World, fault: str, error: type[Exception], there: int
) -> None:
    world.fake.faults = lambda call: fault
    with pytest.raises(error) as caught:
        await world.robot.post("", Post("text", "好"))
    assert len(world.said()) == there
    assert world.seen == [(SEND, -1 if fault == "busy" else NO_ANSWER)]
    _no_key_in(caught.value)


async def test_a_robot_that_was_removed_says_so(world: World) -> None:
    world.fake.remove(KEY)
    with pytest.raises(WeComRefused) as caught:
        await world.robot.post("", Post("text", "好"))
    assert "the robot was removed or its key is wrong: " in str(caught.value)
    assert caught.value.chat == "群机器人被移出了群，或者配置里的 key 不对（93000）"
    assert caught.value.action is Action.CONFIG
    _no_key_in(caught.value)


async def test_too_fast_is_a_minutes_wait(world: World) -> None:
    world.fake.per_minute = 1
    await world.robot.post("", Post("text", "好"))
    with pytest.raises(WeComRefused) as caught:
        await world.robot.post("", Post("text", "好"))
    assert (caught.value.errcode, caught.value.action) == (45009, Action.WAIT_MINUTE)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (302, b"", Unreachable),
        (404, b"<html>", Unreachable),
        (200, b"", Unheard),
        (200, b"[]", Unheard),
        (200, b"{}", Unheard),
        (200, b'{"errcode":"0"}', Unheard),
        (200, b'{"errcode":true}', Unheard),
        (200, b"[" * 100_000, Unheard),
        (200, b'{"errcode":99999,"errmsg":"\xff %s"}' % KEY.encode(), WeComRefused),
    ],
)
async def test_what_is_no_answer_of_wecom_is_not_believed(
    world: World, status: int, body: bytes, error: type[Exception]
) -> None:
    from aiohttp import web

    async def strange(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"Location": "http://127.0.0.1:9/"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", strange)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with new_session() as session:
        robot = GroupRobot(
            "p", Secret(KEY), session=session, files=world.store.assets, now=lambda: NOW,
            api_base=base, timeout_s=2,
        )  # fmt: skip
        with pytest.raises(error) as caught:
            await robot.post("", Post("text", "好"))
    await runner.cleanup()
    _no_key_in(caught.value)


async def test_where_nobody_listens_nothing_has_left(world: World) -> None:
    base = world.fake.api_base
    await world.fake.close()
    with pytest.raises(Unreachable) as caught:
        await world.robot.post("", Post("text", "好"))
    assert base.removeprefix("http://") in str(caught.value)
    _no_key_in(caught.value)


async def test_after_the_end_nothing_is_tried(tmp_path: Path, world: World) -> None:
    session = new_session()
    await session.close()
    robot = GroupRobot("p", Secret(KEY), session=session, files=world.store.assets, now=lambda: NOW)
    with pytest.raises(Unreachable, match="shutting down"):
        await robot.post("", Post("text", "好"))


async def test_half_an_emoji_does_not_stop_a_post(world: World) -> None:
    await world.robot.post("", Post("text", "好\ud83d"))
    assert world.said()[0]["text"]["content"] == "好?"


def _no_key_in(error: BaseException) -> None:
    """Not in the words, not in what hangs on the error, not where it was raised."""
    told = "".join(traceback.format_exception(error))
    assert KEY not in told
    assert "?key" not in told
    chain: BaseException | None = error
    while chain is not None:
        assert KEY not in repr(chain.args)
        chain = chain.__cause__ or chain.__context__


async def test_a_call_tells_a_test_what_it_was(world: World) -> None:
    calls: list[Call] = []

    def note(call: Call) -> str:
        calls.append(call)
        return ""

    world.fake.faults = note
    await world.robot.post("", Post("text", "好"))
    assert calls[0].query == {"key": KEY}
    assert calls[0].json["msgtype"] == "text"
