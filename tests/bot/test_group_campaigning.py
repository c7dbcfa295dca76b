"""Campaigns into groups at the other doors: REST, the terminal, and the words for each way."""

from __future__ import annotations

import csv
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import time as daytime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.campaign_content import ContentError
from bot.campaigning import Desk
from bot.config import Config
from bot.group_campaigning import GroupDesk, ways_of
from bot.group_settings import CustomerSettings, GroupRobotSettings
from bot.group_wording import GroupWording
from bot.rules import Secret
from handlers.campaigning import Campaigns
from scheduler.group_campaigns import GroupRunner, Way, WayKind
from scheduler.rules import CampaignRules
from store import Store
from store.campaign_places import grouped
from store.posts import Post, PostArticle
from tests.bot.api_world import ApiWorld, api
from tests.bot.campaign_place import SERVICE, desk_of
from tests.bot.campaign_world import Campaigning, campaigning
from tests.bot.test_main import Shell

RULES = CampaignRules(quiet=(daytime(0), daytime(0)), holdout=0.0)
WAYS = {"poster": Way("robot"), "qun": Way("gateway"), "kf": Way("task")}
OWNER = {"campaigns:read", "campaigns:write", "campaigns:send", "campaigns:own"}
TEXT = {"kind": "text", "text": "周五开课 https://shop.example/py"}


async def bind(store: Store, place: str, now: float, *, bound: bool = True) -> None:
    channel, _, external = place.partition(":")
    await store.groups.meet(channel, external, now, name="前端群", owner="emp1")
    if bound:
        await store.groups.bind(place, now, "cli")


# What is said there


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Campaigning]:
    async with campaigning(tmp_path) as found:
        yield found


async def said(way: Campaigning, content: dict[str, Any], kind: WayKind) -> Post:
    """A post of a campaign into group 7."""
    store = way.world.store
    await store.groups.meet("qun", "7", 0.0)
    new = grouped(way.new(content, places=("qun:7",)))
    made = await store.campaigns.create(new, 0.0, "cli", None, None)
    group = None if kind == "task" else store.groups.known("qun:7")
    return await GroupWording(way.filling, store.assets).post(made, "A", kind, group)


async def test_a_link_says_of_which_campaign_wording_and_group_it_is(way: Campaigning) -> None:
    post = await said(way, TEXT, "robot")
    assert post.content.startswith("周五开课 https://bot.example/")
    (link,) = await way.world.store.links.page()
    assert (link.campaign, link.variant, link.source) == ("c1", "A", "campaign")
    assert link.ref == "group:1"
    await said(way, TEXT, "task")
    assert [one.ref for one in await way.world.store.links.page()] == ["group:1", ""]


@pytest.mark.parametrize(
    ("content", "kind", "post"),
    [
        ({"kind": "text", "text": "周五"}, "robot", Post("text", "周五")),
        ({"kind": "markdown", "text": "**周五**"}, "robot", Post("markdown", "**周五**")),
        ({"kind": "markdown", "text": "**周五**"}, "gateway", Post("text", "周五")),
        ({"kind": "markdown", "text": "**周五**"}, "task", Post("text", "周五")),
        ({"kind": "image", "asset": "cover"}, "robot", Post("image", asset_id=1)),
        ({"kind": "image", "asset": "cover"}, "task", Post("image", asset_id=1)),
    ],
)
async def test_each_way_says_what_it_can(
    way: Campaigning, content: dict[str, Any], kind: WayKind, post: Post
) -> None:
    assert await said(way, content, kind) == post


async def test_a_card_leads_through_a_counted_link_and_shows_its_picture(way: Campaigning) -> None:
    picture = "https://cdn.example/p.png"
    content = {"kind": "news", "title": "课表", "digest": "周五", "picture_url": picture}
    post = await said(way, {**content, "url": "https://shop.example/py"}, "robot")
    (card,) = post.articles
    assert (card.title, card.description, card.picture_url) == ("课表", "周五", picture)
    assert card.url.startswith("https://bot.example/")


async def test_an_article_is_a_card_to_its_original(way: Campaigning) -> None:
    content = {"kind": "article", "title": "课表", "markdown": "# 课", "cover": "cover"}
    post = await said(way, {**content, "source_url": "https://shop.example/c"}, "robot")
    (card,) = post.articles
    assert replace(card, url="") == PostArticle("课表")
    assert card.url.startswith("https://bot.example/"), "and its clicks are counted"
    with pytest.raises(ContentError):
        await said(way, content, "robot")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"kind": "text", "text": "你有 {{ points }} 分"}, "robot"),
        ({"kind": "item", "text": "{{ item.title }}", "fallback": "py"}, "robot"),
        ({"kind": "image", "asset": "cover"}, "gateway"),
        ({"kind": "image", "asset": "gone"}, "robot"),
        ({"kind": "poll", "question": "几点？", "options": ["早", "晚"]}, "robot"),
    ],
)
async def test_what_a_group_may_not_or_cannot_read_is_not_said(
    way: Campaigning, content: dict[str, Any], kind: WayKind
) -> None:
    with pytest.raises(ContentError):
        await said(way, content, kind)


async def test_a_long_text_with_marks_keeps_its_links_counted(way: Campaigning) -> None:
    text = "周" * 1000 + " https://shop.example/py"
    post = await said(way, {"kind": "markdown", "text": text}, "robot")
    assert "https://bot.example/" in post.content


# REST


class Late:
    """The desk, made when the world's store is there."""

    desk: Campaigns

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk, name)


@asynccontextmanager
async def place(tmp_path: Path) -> AsyncIterator[tuple[ApiWorld, GroupWording]]:
    late = Late()
    async with api(tmp_path, campaigns=late) as world:
        plain = desk_of(world.store, world.clock)
        wording = GroupWording(plain._phone._filling, world.store.assets)  # type: ignore[attr-defined]
        late.desk = Desk(
            world.store,
            RULES,
            {"mp": SERVICE},
            plain._phone,
            now=world.clock,
            groups=GroupDesk(world.store, wording, RULES, WAYS),
        )
        yield world, wording


async def test_over_rest_from_the_wish_to_the_groups_of_the_report(tmp_path: Path) -> None:
    async with place(tmp_path) as (world, wording):
        await bind(world.store, "poster:robot", world.clock())
        await bind(world.store, "qun:1", world.clock(), bound=False)
        wanted = {
            "title": "开课",
            "channel": "mp",
            "places": ["poster:robot", "qun:1"],
            "variants": [{"content": {"kind": "text", "text": "周五开课"}}],
            "holdout": 0.0,
        }

        async def post(path: str, name: str, body: Any = None) -> Any:
            headers = {"Idempotency-Key": name}
            return await world.post(path, json=body, headers=headers, scopes=OWNER)

        made = await post("/campaigns", "m1", wanted)
        assert made.status == 201, made.body
        assert (made.json["places"], made.json["routes"]) == (wanted["places"], ["group"])
        again = await post("/campaigns", "m1", wanted)
        assert again.json["id"] == made.json["id"]
        preview = (await world.get("/campaigns/1/preview", scopes=OWNER)).json
        groups = preview["forecast"]["groups"]
        assert [(one["way"], one["why"]) for one in groups] == [
            ("robot", ""),
            ("gateway", "unbound"),
        ]
        done = await post("/campaigns/1/confirm", "c1", {"code": preview["code"]})
        assert (done.status, done.json["approved"]) == (200, 1), done.body
        runner = GroupRunner(world.store, wording, RULES, WAYS, now=world.clock)
        hold = await world.store.leases.take("campaigns", "test", world.clock(), 30.0)
        campaign = await world.store.campaigns.get(1)
        assert hold is not None
        assert campaign is not None
        assert await runner.begin(campaign, hold) is not None
        report = (await world.get("/campaigns/1/report", scopes=OWNER)).json
        told = [(one["place"], one["status"], one["why"]) for one in report["groups"]]
        assert told == [("poster:robot", "planned", ""), ("qun:1", "refused", "unbound")]


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"places": ["qun"]}, "/places/0"),
        ({"places": ["qun:a b"]}, "/places/0"),
        ({"places": ["qun:1"], "audience": "active 30d"}, "/audience"),
        ({"places": ["qun:1"], "topic": "直播"}, "/topic"),
        ({"places": ["qun:1"], "timing": "best"}, "/timing"),
        ({"routes": ["group"], "audience": "active 30d"}, "/routes"),
        ({}, "/audience"),
    ],
)
async def test_over_rest_what_does_not_fit_is_named(
    tmp_path: Path, more: dict[str, Any], pointer: str
) -> None:
    async with place(tmp_path) as (world, _):
        body = {"title": "开课", "channel": "mp", "variants": [{"content": TEXT}], **more}
        got = await world.post(
            "/campaigns", json=body, headers={"Idempotency-Key": "m1"}, scopes=OWNER
        )
        assert got.status == 422, got.body
        assert pointer in [one["pointer"] for one in got.json["errors"]], got.body


# At the terminal


def test_at_the_terminal_from_a_file_to_a_table_of_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(tmp_path, capsys)
    shell.store(lambda store: store.ping())
    shell.store(lambda store: bind(store, "qun:1", time.time()))
    form = "预告\n群：前端群、qun:1\n时间：现在\n文字：今晚八点\n"
    assert shell.run("campaign", "new", shell.file("a.txt", form)) == 0, shell.err
    assert "goes into 0 of 1 groups" in shell.out
    assert "#1 前端群: not: no_way" in shell.out, "no such channel is configured here"
    assert "impossible: it can be posted into none of its groups" in shell.out
    assert shell.run("campaign", "show", 1) == 0
    assert "群：1\n" in shell.out
    assert shell.run("campaign", "new", shell.file("b.txt", form.replace("qun:1", "9"))) == 1
    assert "there is no group “9”" in shell.err

    async def ran(store: Store) -> None:
        campaign = await store.campaigns.get(1)
        hold = await store.leases.take("campaigns", "test", time.time(), 30.0)
        assert campaign is not None
        assert hold is not None
        await store.db.write(
            lambda conn: conn.execute("update campaigns set status = 'scheduled' where id = 1")
        )
        runner = GroupRunner(store, Never(), RULES, WAYS, now=time.time)
        campaign = await store.campaigns.get(1)
        assert campaign is not None
        assert await runner.begin(campaign, hold) is not None

    shell.store(ran)
    assert shell.run("campaign", "report", 1) == 0
    assert "#1 前端群: refused, version A, this is never said" in shell.out
    out = tmp_path / "groups.csv"
    assert shell.run("campaign", "report", 1, "--csv", str(out)) == 0
    head, row = csv.reader(out.read_text().splitlines())
    told = dict(zip(head, row, strict=True))
    assert (told["place"], told["status"], told["at"]) == ("qun:1", "refused", "")


class Never:
    """Words that cannot be said."""

    async def post(self, campaign: Any, variant: str, kind: WayKind, group: Any) -> Post:
        raise ValueError("this is never said")


def test_the_ways_are_those_of_the_configuration() -> None:
    company = CustomerSettings(
        channel="kf", corp_id="ww1", secret=Secret("s" * 8), senders=("emp1",)
    )
    config = SimpleNamespace(
        group_robots={"poster": GroupRobotSettings(channel="poster", key=Secret("k" * 8))},
        gateways={},
        customers={"kf": company},
    )
    assert ways_of(cast(Config, config)) == {
        "poster": Way("robot", 20),
        "kf": Way("task", senders=("emp1",)),
    }
