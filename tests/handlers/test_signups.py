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
    assert "「接龙 2 +1」" in await qun.says("阿木", "接龙 春游 9人")
    assert await qun.says("小满", "+1") == "", "it could mean either"
    assert "2. 《春游》0/9 人" in await qun.says("小满", "接龙")
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
    await qun.rests()
    assert "《核酸登记》你是第 1 位" in await qun.says("老秦", "接龙：核酸登记\n1 老秦")
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
    assert told.splitlines()[2].startswith("1. 阿木（成员 ")
    assert told.splitlines()[3].endswith("候补")
    assert "已结束" in await qun.private.say("/signup close 1", "o_boss")
    assert await qun.private.say("/signup 9", "o_boss") == qun.private.texts(
        "signup.unknown", number=9
    )
    assert await qun.private.say("/signup x y", "o_boss") == qun.private.texts("signup.usage")


async def test_a_list_that_has_ended_invites_nobody_afterwards(qun: Chain) -> None:
    await qun.says("小林", "接龙 爬山 5人")
    await qun.says("阿木", "+1")
    assert len(await qun.planned()) == 1
    assert "接龙已结束" in await qun.says("小林", "接龙 结束")
    assert await qun.planned() == []


async def test_what_is_posted_after_its_time_says_that_it_is_over(qun: Chain) -> None:
    await qun.says("小林", "接龙 爬山 5人 到 今天 23:59")
    (only,) = await qun.store.signups.opened_in("qun:1@chatroom", qun.private.at)
    assert only.closes_at is not None
    qun.private.later(seconds=only.closes_at - qun.private.at - 5)
    await qun.says("小满", "+1")
    qun.private.later(seconds=1)
    await qun.says("阿木", "+1")
    (told,) = await qun.planned()
    assert told.endswith("接龙已结束。")


async def test_who_opened_one_of_several_ends_it_with_the_words_they_were_told(qun: Chain) -> None:
    await qun.says("小林", "接龙 读书会 9人")
    await qun.says("阿木", "接龙 春游 9人")
    assert "「接龙 2 结束」" in await qun.says("阿木", "接龙 夜跑 9人")
    await qun.private.promote("o_老板")
    for _ in range(2):
        assert "结束」结束" in await qun.says("老板", "接龙 结束"), (
            "an order is never met by silence"
        )
    assert "《春游》" in (ended := await qun.says("阿木", "接龙结束"))
    assert "接龙已结束" in ended
    assert await qun.says("小满", "接龙结束") == "", "a remark"
    assert "《读书会》" in await qun.says("小林", "结束接龙")


async def test_while_several_are_open_every_post_says_which_number_to_type(qun: Chain) -> None:
    await qun.says("小林", "接龙 读书会 9人")
    await qun.says("小满", "+1")
    await qun.says("阿木", "接龙 春游 9人")
    (waiting,) = await qun.planned()
    assert waiting.endswith("发「接龙 1 +1」报名，「接龙 1 退出」退出。")
    await qun.says("小满", "接龙 2 +1")
    assert "发 +1" not in "".join(await qun.planned())


async def test_a_number_stays_with_its_list(qun: Chain) -> None:
    for number, (name, title) in enumerate(
        (("小林", "读书会"), ("阿木", "春游"), ("小满", "夜跑"))
    ):
        assert title in await qun.says(name, f"接龙 {title} {number + 5}人")
    await qun.says("阿木", "接龙 2 结束")
    await qun.says("老李", "接龙 2 +1")
    assert await qun.names(3) == []
    await qun.says("老李", "接龙 3 +1")
    assert await qun.names(3) == ["老李"]


@pytest.mark.parametrize(
    "text", ["接龙 我", "接龙 阿木", "接龙 爬山 +1", "接龙 周日爬山+1", "@小知 报名爬山"]
)
async def test_what_people_type_to_sign_up_opens_no_second_list(qun: Chain, text: str) -> None:
    await qun.says("小林", "接龙 周日爬山")
    await qun.rests()
    assert "你是第 1 位" in await qun.says("阿木", text, addressed="@" in text)
    assert await qun.names() == ["阿木"]
    assert qun.store.signups.count_open("qun:1@chatroom", qun.private.at) == 1


async def test_a_bare_title_beside_an_open_list_is_asked_back(qun: Chain) -> None:
    await qun.says("小林", "接龙 爬山")
    asked = await qun.says("阿木", "接龙 改时间")
    assert "《爬山》正在接龙：发 +1 报名" in asked
    assert "1. " not in await qun.says("阿木", "接龙 爬山")
    assert "接龙开始：《改时间》" in await qun.says("阿木", "接龙 新开 改时间")


async def test_a_note_behind_a_plus_one_is_written_down(qun: Chain) -> None:
    await qun.says("小林", "接龙 自习室 4人")
    await qun.says("晓雯", "+1 带电脑")
    assert "1. 晓雯 带电脑" in (await qun.planned())[0]


async def test_the_last_place_and_the_end_are_said_as_they_are(qun: Chain) -> None:
    await qun.says("小林", "接龙 读书会 1人")
    await qun.rests()
    assert (await qun.says("阿木", "+1")).endswith("名额满了。")
    await qun.private.promote("o_boss")
    assert "已结束" in await qun.private.say("/signup close 1", "o_boss")
    assert "之前就结束了" in await qun.private.say("/signup close 1", "o_boss")


async def test_how_it_works_is_told_in_private_and_in_the_group(qun: Chain) -> None:
    for text in ("接龙", "接龙 周六读书会", "+1", "-1", "接龙怎么用"):
        assert await qun.private.say(text, "o_lin") == qun.private.texts("signup.in_groups"), text
    assert await qun.ask("接龙怎么用") == qun.private.texts("signup.help")
    for text in ("+1", "-1", "结束接龙"):
        assert await qun.ask(text) == qun.private.texts("signup.none"), text
    assert await qun.say("接龙怎么用") == ""


async def test_who_has_no_name_is_told_how_to_get_one(qun: Chain) -> None:
    await qun.says("小林", "接龙 读书会")
    await qun.rests()
    assert "「我叫 小林」" in await qun.ask("+1", "o_nameless", name="")
    assert await qun.names() == [""]
    await qun.says("老秦", "+1")
    await qun.say("+1", "o_nameless", name="阿飞")
    assert await qun.names() == ["阿飞", "老秦"], "the place stays"


@pytest.mark.parametrize(
    ("text", "open_", "why"),
    [
        ("+1", True, "signup"),
        ("-1", True, "signup"),
        ("+1", False, ""),
        ("报名", False, ""),
        ("+1 带娃", True, "signup"),
        ("＋1 两大一小", True, "signup"),
        ("+1 带娃", False, ""),
        ("+1 说得对", True, ""),
        ("+1 我也觉得太早", True, ""),
        ("接龙结束", False, "signup"),
        ("结束接龙", False, "signup"),
        ("接龙结束了", False, ""),
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
