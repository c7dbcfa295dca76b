"""接龙 in a group: +1 is heard while one list is open, and not every one is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from handlers.addressing import Address, wanted
from handlers.context import GroupChannels
from handlers.message import Message, Talk
from store.groups import GroupRules
from tests.handlers.conftest import Conversation
from tests.handlers.in_group import QUN, SPEECH, GroupTalk, group

HEARING = GroupChannels(posting=frozenset({QUN}), hearing=frozenset({QUN}))
LATER_S = 61


class Chain(GroupTalk):
    """A group whose members say things under their names."""

    async def says(self, name: str, text: str, **talk: Any) -> str:
        return await self.say(text, f"o_{name}", name=name, **talk)

    async def rests(self) -> None:
        self.private.later(seconds=LATER_S)

    async def planned(self) -> list[str]:
        def read(conn: Any) -> list[str]:
            rows = conn.execute("select body from posts where status = 'planned' order by id")
            return [json.loads(row[0])["content"] for row in rows]

        return await self.store.db.read(read)

    async def names(self, number: int = 1) -> list[str]:
        found = await self.store.signups.get(number)
        assert found is not None
        return [one.name for one in found.entries]


@pytest.fixture
async def qun(talk: Conversation) -> Chain:
    qun = Chain(talk)
    qun.channels = HEARING
    await qun.store.groups.meet(QUN, "1@chatroom", talk.at, name="读书群", bound_by="test")
    return qun


async def test_a_plus_one_is_chatter_until_one_list_is_open(qun: Chain) -> None:
    for text in ("+1", "-1", "报名", "接龙 太长了吧", "接龙 怎么弄", "接龙真好玩"):
        assert await qun.says("小林", text) == "", text
    assert "周六读书会" in await qun.says("小林", "接龙 周六读书会 2人 到 周五 18:00")
    await qun.rests()
    assert "第 1 位，还剩 1 个名额" in await qun.says("阿木", "＋1")
    assert await qun.says("阿木", "+1？") == ""
    assert await qun.says("阿木", "+1 说得对") == "", "with words behind it, it is talk"
    assert await qun.names() == ["阿木"]


async def test_many_who_sign_up_at_once_read_one_list(qun: Chain) -> None:
    await qun.says("小林", "接龙 周六读书会 2人")
    for name in ("阿木", "小满", "老李"):
        assert await qun.says(name, "+1") == ""
    assert await qun.names() == ["阿木", "小满", "老李"]
    (told,) = await qun.planned()
    assert told.splitlines()[:5] == [
        "《周六读书会》2/2 人，候补 1 人",
        "1. 阿木",
        "2. 小满",
        "候补：",
        "1. 老李",
    ]


async def test_who_waits_is_told_so_and_moves_up(qun: Chain) -> None:
    await qun.says("小林", "接龙 周六读书会 1人")
    await qun.says("阿木", "+1")
    await qun.rests()
    assert "候补第 1 位" in await qun.says("小满", "接龙 +1 带娃")
    await qun.rests()
    assert "小满 递补上了" in await qun.says("阿木", "-1")
    assert await qun.says("老李", "接龙") == "", "it was spoken of just now"
    await qun.rests()
    assert "1. 小满 带娃" in await qun.says("老李", "接龙")


async def test_with_several_lists_one_says_which(qun: Chain) -> None:
    await qun.says("小林", "接龙 读书会")
    assert "「接龙 2 +1」" in await qun.says("阿木", "接龙 春游")
    assert await qun.says("小满", "+1") == "", "it could mean either"
    assert "2. 《春游》0 人" in await qun.says("小满", "接龙")
    await qun.rests()
    assert "《春游》你是第 1 位" in await qun.says("小满", "接龙 2 +1")
    await qun.rests()
    assert "已退出《春游》" in await qun.says("小满", "退出接龙")
    assert await qun.says("小满", "接龙 7 +1") != ""
    assert await qun.says("小林", "接龙") == "", "the lists were shown just now"


async def test_who_opened_it_and_operators_end_it(qun: Chain) -> None:
    await qun.says("小林", "接龙 读书会")
    assert "只有发起人或运营" in await qun.says("阿木", "接龙 结束")
    assert "接龙已结束" in await qun.says("小林", "接龙 结束")
    await qun.says("阿木", "接龙 春游")
    await qun.private.promote("o_老板")
    assert "接龙已结束" in await qun.says("老板", "接龙 结束")
    assert await qun.says("小满", "+1") == ""


async def test_a_pasted_chain_signs_up_its_poster_only(qun: Chain) -> None:
    pasted = "#接龙\n周六读书会\n1. 阿木\n2. 小林 带娃"
    assert "你是第 1 位" in await qun.says("小林", pasted)
    assert await qun.names() == ["小林"]
    await qun.rests()
    assert "你是第 2 位" in await qun.says("阿木", f"{pasted}\n3. 木头")
    assert await qun.names() == ["小林", "阿木"], "by their own line, not by the last"
    assert await qun.says("小满", "#接龙\n没有人\n只是聊聊") == ""


async def test_an_advert_in_a_name_or_a_title_is_no_link(qun: Chain) -> None:
    await qun.says("小林", "接龙 领资料 http://evil.example/x")
    await qun.rests()
    await qun.says("加微信 vx abc12345", "+1")
    await qun.rests()
    told = await qun.says("阿木", "接龙")
    assert "http://evil" not in told
    assert "abc12345" not in told


async def test_at_night_it_is_written_down_and_nothing_is_said(qun: Chain) -> None:
    await qun.says("小林", "接龙 读书会")
    await qun.rests()
    qun.group = group(rules=GroupRules(quiet="09:00-23:00"))
    assert await qun.says("阿木", "+1") == ""
    assert await qun.says("小满", "接龙 +1") == ""
    assert await qun.names() == ["阿木", "小满"]
    assert len(await qun.planned()) == 1
    assert "阿木" in await qun.says("阿木", "@小知 接龙", addressed=True)


async def test_who_must_mention_the_bot_hears_their_place_each_time(qun: Chain) -> None:
    qun.channels = GroupChannels()
    await qun.says("小林", "@小知 接龙 读书会", addressed=True)
    for number, name in enumerate(("阿木", "小满"), 1):
        assert f"第 {number} 位" in await qun.says(name, "@小知 +1", addressed=True)
    assert await qun.planned() == []


async def test_of_who_is_not_recorded_no_name_is_kept(qun: Chain) -> None:
    await qun.says("小林", "接龙 读书会")
    me = await qun.private.member("o_阿木")
    await qun.store.talk.opt(me, False)
    await qun.says("阿木", "+1")
    assert await qun.names() == [""]
    assert "1. 群友" in (await qun.planned())[0]


async def test_the_same_message_hears_the_same(qun: Chain) -> None:
    opening = qun.message("接龙 读书会", "o_lin", name="小林")
    assert await qun.hear(opening) == await qun.hear(opening) != ""
    await qun.rests()
    joining = qun.message("+1", "o_mu", name="阿木")
    assert await qun.hear(joining) == await qun.hear(joining) != ""
    assert await qun.names() == ["阿木"]


async def test_operators_read_the_lists_in_private(qun: Chain) -> None:
    await qun.private.promote("o_boss")
    assert await qun.private.say("/signup", "o_boss") == qun.private.texts("signup.list_none")
    await qun.says("小林", "接龙 读书会 1人")
    await qun.says("阿木", "+1")
    await qun.says("小满", "接龙 +1 带娃")
    assert "1. 《读书会》1/1 人，候补 1 人（读书群，进行中）" in await qun.private.say(
        "/signup", "o_boss"
    )
    told = await qun.private.say("/signup 1", "o_boss")
    assert told.splitlines()[2].startswith("1. 阿木 （成员 ")
    assert told.splitlines()[3].endswith("候补")
    assert "已结束" in await qun.private.say("/signup close 1", "o_boss")
    assert await qun.private.say("/signup 9", "o_boss") == qun.private.texts(
        "signup.unknown", number=9
    )
    assert await qun.private.say("/signup x y", "o_boss") == qun.private.texts("signup.usage")


@pytest.mark.parametrize(
    ("text", "open_", "why"),
    [
        ("+1", True, "signup"),
        ("-1", True, "signup"),
        ("+1", False, ""),
        ("报名", False, ""),
        ("+1 带娃", True, ""),
        ("接龙 读书会", False, "signup"),
        ("接龙", False, "keyword"),
    ],
)
def test_what_is_heard_without_a_mention(text: str, open_: bool, why: str) -> None:
    said = Message(QUN, "gh_1", "o_lin", "text", 0, "00" * 16, text, talk=Talk("1@chatroom"))
    found = wanted(said, group(), SPEECH, signup_on=open_, now=1e9)
    assert (found.why if isinstance(found, Address) else "") == why
    deaf = group(rules=GroupRules(keywords=False))
    assert wanted(said, deaf, SPEECH, signup_on=open_, now=1e9) is None
