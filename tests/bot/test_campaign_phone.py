"""A campaign before it goes: in words, and on one real phone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.campaign_phone import PREVIEW
from tests.bot.campaign_world import PNG, PUBLIC, SHOP, Campaigning, campaigning
from tests.bot.test_sender import ARTICLE, NOTE
from tests.bot.wechat_world import LIN, NOON

WORDS = {"kind": "text", "text": f"你有 {{{{ points }}}} 分 {SHOP}/live"}


@pytest.fixture
async def c(tmp_path: Path) -> AsyncIterator[Campaigning]:
    async with campaigning(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WORDS, f"你有 0 分 {SHOP}/live"),
        ({"kind": "image", "asset": "cover"}, "[图片] cover"),
        (
            ARTICLE,
            "[图文] 三天学会 Python\n[封面] cover\n从零开始\n# 第一天\n好的开始。\n![](cover)",
        ),
        (NOTE, "[通知]\nthing1：第 0 天"),
        (
            {"kind": "poll", "question": "想学什么？", "options": ["写作", "绘画"]},
            "想学什么？\n1. 写作\n2. 绘画",
        ),
        (
            {
                "kind": "miniprogram",
                "title": "选课",
                "appid": "wx0123456789abcdef",
                "pagepath": "pages/a",
                "thumb": "cover",
            },
            "[小程序] 选课",
        ),
    ],
)
async def test_each_kind_in_words(c: Campaigning, content: dict[str, Any], words: str) -> None:
    assert await c.phone.shown(c.new(content), "A", None) == words
    assert await c.phone.shown(c.new(content), "A", c.member) == words
    assert await c.world.store.links.page() == [], "a look makes no link"


async def test_of_a_long_article_the_beginning_is_shown(c: Campaigning) -> None:
    markdown = "\n\n".join(["字" * 70, "二", "三", "四", "五"])
    shown = await c.phone.shown(c.new({**ARTICLE, "markdown": markdown}), "A", None)
    assert shown.splitlines()[3:] == ["字" * 60 + "…", "二", "三", "四", "…"]


async def test_what_cannot_be_filled_is_told_in_chinese(c: Campaigning) -> None:
    broken = c.new({"kind": "text", "text": "{{ nobody }}"})
    said = await c.phone.preview(broken, "A", c.member)
    assert said.startswith("内容有问题：文字 第 1 行第 4 个字：没有这个名字")
    assert "expected" not in said


async def test_a_preview_arrives_and_costs_no_quota(c: Campaigning) -> None:
    await c.world.store.points.post(c.member, 30, "operator", "p1", NOON, actor="cli")
    assert await c.phone.preview(c.new(WORDS), "A", c.member) == ""
    [seen] = c.inbox
    assert (seen.route, seen.content) == ("mass", f"你有 30 分 {SHOP}/live")
    assert PUBLIC not in seen.content, "a preview's clicks are nobody's"
    assert c.world.fake.mass.received(LIN, NOON) == 0
    assert c.world.fake.calls[PREVIEW] == 1


@pytest.mark.parametrize(
    ("content", "kind", "route"),
    [
        (ARTICLE, "news", "mass"),
        ({"kind": "image", "asset": "cover"}, "image", "mass"),
        (NOTE, "text", "mass"),
        ({"kind": "item", "text": "{{ item.title }}", "fallback": "py"}, "text", "mass"),
        (
            {"kind": "poll", "question": "想学什么？", "options": ["写作", "绘画"]},
            "msgmenu",
            "custom",
        ),
    ],
)
async def test_every_kind_can_be_previewed(
    c: Campaigning, content: dict[str, Any], kind: str, route: str
) -> None:
    assert await c.phone.preview(c.new(content), "A", c.member) == ""
    assert [(one.kind, one.route) for one in c.inbox] == [(kind, route)]


async def test_why_a_preview_did_not_arrive_is_said_in_chinese(c: Campaigning) -> None:
    new = c.new(WORDS)
    assert "不在这个公众号" in await c.phone.preview(new, "A", 999)
    nowhere = replace(new, channel="nowhere")
    assert "没有这个公众号" in await c.phone.preview(nowhere, "A", c.member)
    c.world.fake.api_errors[PREVIEW] = [45009]
    assert "用完" in await c.phone.preview(new, "A", c.member)
    bad = c.new({"kind": "image", "asset": "nothing"})
    assert "内容有问题" in await c.phone.preview(bad, "A", c.member)


async def test_a_chart_is_uploaded_for_an_answer(c: Campaigning) -> None:
    media_id = await c.phone.picture("mp", PNG)
    assert media_id in c.world.fake.media
    assert await c.phone.picture("mp", b"") == ""
    assert await c.phone.picture("nowhere", PNG) == ""
    c.world.fake.api_errors["/cgi-bin/media/upload"] = [48001]
    assert await c.phone.picture("mp", PNG) == ""
