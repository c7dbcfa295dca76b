"""A campaign into groups as its operator sees it: written, previewed, confirmed, posted, judged.

The transcript is real to the wire: the desk, the runner, the worker of posts, and a fake WeCom
behind HTTP. Whoever reads it aloud reads the chat.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from bot.campaign_filling import Filling
from bot.campaign_media import CampaignMedia
from bot.campaign_phone import Phone
from bot.campaigning import Desk, Place
from bot.client import new_session
from bot.group_campaigning import GroupDesk
from bot.group_robot import GroupRobot
from bot.group_wording import GroupWording
from bot.links import Linker
from bot.posting import Posting
from bot.rules import Secret
from handlers import campaign_places
from handlers.campaign_places import BadPlaces
from handlers.campaign_text import BadForm, amend, read
from handlers.campaign_written import write
from sandbox.fake_qyapi import FakeQyapi
from scheduler.campaigns import Runner
from scheduler.group_campaigns import GroupRunner, Way
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from store.campaigns import Campaign, NewCampaign
from store.groups import Group, GroupRules, Seen
from tests.handlers.conftest import CHANNEL, Conversation
from tests.handlers.test_campaign_text import NOW
from tests.scheduler.sender import Scripted

BOSS = "o_boss"
KEYS = {f"poster{n}": f"693a91f6-7aoc-4bc4-97a0-0ec2sifa5aa{n}" for n in range(1, 4)}
WAYS = {
    **dict.fromkeys(KEYS, Way("robot")),
    "qun": Way("gateway"),
    "kf": Way("task"),
}
HOSTS = ("shop.example",)


class Scene:
    """A conversation with a desk for groups, a runner, and robots that post over HTTP."""

    def __init__(self, talk: Conversation, fake: FakeQyapi) -> None:
        self.talk = talk
        self.fake = fake
        self.rules = CampaignRules(quiet=(time(22, 0), time(8, 0)), holdout=0.0)
        self.told: list[str] = []

    async def open(self, stack: AsyncExitStack) -> None:
        talk, store = self.talk, self.talk.store
        linker = Linker(
            store, public_url="https://bot.example", allowed_hosts=HOSTS, now=lambda: talk.at
        )
        await linker.open()
        filling = Filling(store, linker, now=lambda: talk.at, business="知行社")
        wording = GroupWording(filling, store.assets)
        self.desk = Desk(
            store,
            self.rules,
            {CHANNEL: Place(account=Account("service", verified=True), hosts=HOSTS)},
            Phone(store, {}, filling, CampaignMedia(store.assets, now=lambda: talk.at)),
            now=lambda: talk.at,
            groups=GroupDesk(store, wording, self.rules, WAYS),
        )
        talk.campaigns = self.desk
        self.groups = GroupRunner(store, wording, self.rules, WAYS, now=lambda: talk.at)
        session = await stack.enter_async_context(new_session())
        self.posting = Posting(
            store,
            {
                name: GroupRobot(
                    name,
                    Secret(key),
                    session=session,
                    files=store.assets,
                    now=lambda: talk.at,
                    api_base=self.fake.api_base,
                )
                for name, key in KEYS.items()
            },
            dict.fromkeys(KEYS, 20),
            now=lambda: talk.at,
            steady=lambda: talk.at,
            observe=lambda channel, outcome: None,
        )

    async def group(self, place: str, name: str, *, bound: bool = True, alias: str = "") -> Group:
        channel, _, external = place.partition(":")
        groups, at = self.talk.store.groups, self.talk.at
        await groups.meet(channel, external, at, name=name, owner="emp1")
        if bound:
            await groups.bind(place, at, "member:1")
        if alias:
            await groups.call(place, alias)
        found = groups.known(place)
        assert found is not None
        return found

    async def run(self) -> None:
        """What the clock would do in the next seconds."""

        async def told(campaign: Campaign, note: str) -> None:
            self.told.append(note)

        runner = Runner(
            self.talk.store,
            Scripted(),
            self.rules,
            now=lambda: self.talk.at,
            holder="test",
            told=told,
            accounts={CHANNEL: Account("service", verified=True)},
            groups=self.groups,
        )
        await runner.run_once()
        task = asyncio.create_task(self.posting.run())
        async with asyncio.timeout(10):
            while {"planned", "sending"} & set(await self.talk.store.posts.counts()):
                await asyncio.sleep(0.005)
        self.posting.close()
        await task
        await runner.run_once()
        await runner.close()

    def posted(self, robot: str) -> list[dict[str, Any]]:
        return [one.body for one in self.fake.posted(KEYS[robot])]


@pytest.fixture
async def scene(talk: Conversation, tmp_path: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        fake = FakeQyapi(now=lambda: talk.at)
        for key in KEYS.values():
            fake.robot(key)
        await fake.start()
        stack.push_async_callback(fake.close)
        scene = Scene(talk, fake)
        await scene.open(stack)
        await talk.promote(BOSS)
        yield scene


def code_in(said: str) -> str:
    found = re.search(r"确认 ([0-9A-Z]{4})", said)
    assert found is not None, said
    return found[1]


async def test_from_the_form_to_the_groups_and_the_report(scene: Scene) -> None:
    talk = scene.talk
    await scene.group("poster1:robot", "前端群", alias="vip")
    await scene.group("poster2:robot", "后端群")
    await scene.group("poster3:robot", "老群", bound=False)

    async def boss(says: str, *hears: str) -> str:
        said = await talk.say(says, BOSS)
        for piece in hears:
            assert piece in said, said
        assert len(said.encode()) <= 2048, "one message on a phone"
        return said

    await boss(
        "/campaign new 直播预告\n群：vip、9\n文字：今晚八点直播", "第 2 行", "没有叫「9」的群"
    )
    said = await boss(
        "/campaign new 直播预告\n群：vip, 2，老群\n时间：现在\n"
        "文字：今晚八点直播，{{ link('py-zero') }}",
        "活动 1《直播预告》草稿",
        "发到群：#1 vip、#2 后端群、#3 老群",
        "今晚八点直播，https://shop.example/py-zero",
        "会发到 2 个群",
        "#1 vip：群机器人",
        "发不了的 1 个：",
        "#3 老群：还没绑定",
    )
    assert "退订" not in said
    await boss("/campaign show 1", "群：vip、2、3", "文字：今晚八点直播")
    await boss("/campaign edit 1 对象 所有人", "发到群里就没有「对象」这一项")
    await boss("/campaign edit 1 群 vip、2", "群：vip、2、3 → vip、2", "会发到 2 个群")
    await boss(f"确认 {code_in(said)}", "确认码不对")
    said = await boss("/campaign preview 1", "大约要 1 分钟")
    await boss(f"确认 {code_in(said)}", "活动 1 马上开始，发到 2 个群", "/campaign report 1")
    await boss("/campaign list", "1. 《直播预告》待发送", "2 个群")
    assert scene.posted("poster1") == []

    await scene.run()
    texts = [scene.posted(name)[0]["text"]["content"] for name in ("poster1", "poster2")]
    assert len(scene.posted("poster1")) == len(scene.posted("poster2")) == 1
    assert scene.posted("poster3") == []
    assert all(text.startswith("今晚八点直播，https://bot.example/") for text in texts)
    assert texts[0] != texts[1], "each group has a link of its own"
    await boss("/campaign report 1", "已结束", "共 2 个群：已发 2 个")
    await boss("/campaign resume 1", "已结束，没有可以继续的")
    await boss("/campaign pause 1", "已结束，没有可以暂停的")
    await boss("/audit", "操作记录完整", "建群发 活动 1")


async def test_who_knows_no_syntax_is_asked_where_it_goes(scene: Scene) -> None:
    talk = scene.talk
    await scene.group("poster1:robot", "前端群", alias="vip")
    await scene.group("poster2:robot", "后端群")

    async def boss(says: str, *hears: str) -> str:
        said = await talk.say(says, BOSS)
        for piece in hears:
            assert piece in said, said
        return said

    await boss("/campaign new", "要发什么？")
    await boss("今晚八点直播，来吗？", "发到哪里？", "1. 会员", "2. 群")
    await boss("2", "发到哪几个群？", "#1 vip", "#2 后端群")
    await boss("8", "没有「8」这个群")
    said = await boss("全部", "什么时候发？")
    assert "最佳时间" not in said
    await boss("每个人的最佳时间", "这个时间不能用在这个活动上")
    await boss("1", "要不要试两种说法")
    said = await boss("1", "写好了，存成活动 1", "发到群：#1 vip、#2 后端群", "会发到 2 个群")
    assert "退订" not in said
    await boss(f"确认 {code_in(said)}", "发到 2 个群")


async def test_who_has_no_groups_is_asked_to_whom_as_before(scene: Scene) -> None:
    await scene.talk.say("/campaign new", BOSS)
    assert "发给谁？" in await scene.talk.say("今晚八点直播，来吗？", BOSS)


async def test_members_chosen_in_the_dialogue_are_members(scene: Scene) -> None:
    await scene.group("poster1:robot", "前端群")
    await scene.talk.say("/campaign new", BOSS)
    await scene.talk.say("今晚八点直播，来吗？", BOSS)
    assert "发给谁？" in await scene.talk.say("会员", BOSS)


async def test_each_way_shows_how_the_words_look_there(scene: Scene) -> None:
    await scene.group("poster1:robot", "前端群")
    await scene.group("qun:1", "网关群")
    await scene.group("kf:wr1", "客户群")
    said = await scene.talk.say(
        "/campaign new 课表\n群：全部\nmarkdown：**周五** [课表](https://shop.example/c)", BOSS
    )
    for piece in (
        "带格式的文字，群机器人里",
        "**周五** [课表](https://shop.example/c)",
        "周五 课表 https://shop.example/c",
        "#3 客户群：企微群发，要员工确认",
        "1 个客户群要 1 位员工",
    ):
        assert piece in said, said


async def test_what_only_one_member_may_read_is_refused(scene: Scene) -> None:
    await scene.group("poster1:robot", "前端群")
    said = await scene.talk.say("/campaign new 积分\n群：1\n文字：你有 {{ points }} 积分", BOSS)
    assert "群里大家看到的是同一条" in said
    assert "这样还不能发" in said
    assert "确认 " not in said


async def test_no_group_that_can_be_posted_to_confirms_nothing(scene: Scene) -> None:
    await scene.group("poster1:robot", "前端群", bound=False)
    said = await scene.talk.say("/campaign new 直播\n群：1\n文字：今晚八点", BOSS)
    assert "没有一个群能发" in said
    assert "确认 " not in said


async def test_two_people_confirm_what_many_members_read(scene: Scene) -> None:
    talk = scene.talk
    scene.rules = CampaignRules(quiet=(time(0), time(0)), holdout=0.0, two_person_over=2)
    async with AsyncExitStack() as stack:
        await scene.open(stack)
        group = await scene.group("poster1:robot", "前端群")
        for name in ("o_a", "o_b", "o_c"):
            member = await talk.member(name)
            await talk.store.groups.see(Seen(group.place, member, name, talk.at))
        said = await talk.say("/campaign new 直播\n群：1\n文字：今晚八点", BOSS)
        assert "认识的成员共 3 人" in said
        assert "还要另一位运营确认" in await talk.say(f"确认 {code_in(said)}", BOSS)


# The form, without a conversation


def group(number: int, name: str = "", alias: str | None = None) -> Group:
    place = f"qun:{number}@chatroom"
    rules = GroupRules()
    return Group(
        number, place, "qun", f"{number}@chatroom", name, alias, "", "", rules, 0.0, 1.0, None
    )


GROUPS = (group(1, "前端群", "vip"), group(2, "后端群"), group(3, "后端群"))


def called(name: str) -> list[Group]:
    if not name:
        return list(GROUPS)
    fits = [one for one in GROUPS if name in (str(one.id), one.place, one.alias)]
    return fits or [one for one in GROUPS if one.name == name]


@pytest.mark.parametrize(
    ("typed", "places"),
    [
        ("vip, 2", (GROUPS[0].place, GROUPS[1].place)),
        ("前端群；3", (GROUPS[0].place, GROUPS[2].place)),
        ("vip、1、前端群", (GROUPS[0].place,)),
        ("全部", tuple(one.place for one in GROUPS)),
        ("2@chatroom", None),
        ("qun:2@chatroom", (GROUPS[1].place,)),
        ("无", ()),
        ("后端群", None),
        ("，，", None),
    ],
)
def test_groups_are_typed_by_number_short_name_or_name(
    typed: str, places: tuple[str, ...] | None
) -> None:
    if places is None:
        with pytest.raises(BadPlaces):
            campaign_places.read(typed, called)
    else:
        assert campaign_places.read(typed, called) == places


def form(text: str, base: NewCampaign | None = None) -> NewCampaign:
    empty = NewCampaign(title="", channel=CHANNEL, audience="", variants=())
    if base is None:
        return read(text, NOW, empty, called)
    return amend(text, NOW, base, called)


@pytest.mark.parametrize(
    "text",
    [
        "预告\n群：vip、3\n时间：2026-12-01 20:00\n文字：今晚八点\n群里见",
        "课表\n群：2\n卡片：十一月课表\n摘要：周五开课\n链接：https://shop.example/c",
        "课表\n群：2\n时间：0 9 * * mon\nmarkdown：**周五** 开课",
        "试试\n群：vip、2\n版本 A\n文字：一\n版本 B 2份\n文字：二",
    ],
)
def test_what_is_written_out_reads_the_same(text: str) -> None:
    new = form(text)
    assert new.routes == ("group",)
    assert not new.audience
    assert form(write(new, called), new) == new
    # Also where the groups have no names.
    assert "qun:" in write(new)


def test_back_to_members_wants_an_audience() -> None:
    new = form("预告\n群：vip\n文字：今晚八点")
    with pytest.raises(BadForm) as bad:
        form("群：无", new)
    assert [one.why for one in bad.value.faults] == ["no_audience"]
    members = form("群：无\n对象：tag:Python", new)
    assert (members.places, members.audience) == ((), "tag:Python")
    assert members.routes == ("custom", "mass_list")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("对象：tag:Python", "not_in_groups"),
        ("方式：群发", "not_in_groups"),
        ("话题：直播", "not_in_groups"),
        ("目标：购买", "field_metric"),
        ("时间：每个人的最佳时间", "field_when"),
        ("试发：10% 2小时", "not_in_groups"),
    ],
)
def test_what_only_members_have_is_refused_with_its_line(line: str, why: str) -> None:
    with pytest.raises(BadForm) as bad:
        form(f"预告\n群：vip\n{line}\n文字：今晚八点")
    assert (why, 3) in [(one.why, one.line) for one in bad.value.faults]
