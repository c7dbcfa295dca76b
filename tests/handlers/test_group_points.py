"""Check-in and ranking in a group: the same day, this group's members, nobody's balance."""

from __future__ import annotations

import pytest

from store.groups import GroupRules, Seen
from tests.handlers.conftest import Conversation
from tests.handlers.group_operators import Desk, desk
from tests.handlers.in_group import GroupTalk, group

__all__ = ["desk"]


@pytest.fixture
async def qun(talk: Conversation) -> GroupTalk:
    return GroupTalk(talk)


async def here(qun: GroupTalk, who: str, name: str) -> int:
    """They are in the group under this name."""
    number = await qun.private.member(who)
    await qun.store.groups.see(Seen(qun.group.place, number, name, qun.private.at))
    return number


async def test_a_day_counts_once_in_private_and_in_the_group(qun: GroupTalk) -> None:
    told = await qun.say("签到")
    assert told == qun.private.texts("group.checked_in", points=5, streak=1)
    assert "\n" not in told
    assert "已经" in await qun.private.say("签到") or "签到过" in qun.private.reply.content
    balance = await qun.store.points.balance(await qun.private.member())
    assert balance.balance == 5


async def test_the_ranking_is_this_groups_and_tells_streaks(qun: GroupTalk) -> None:
    await here(qun, "o_a", "小林")
    await here(qun, "o_b", "阿木")
    await qun.say("签到", "o_a")
    qun.private.later(days=1)
    await qun.say("签到", "o_a")
    await qun.say("签到", "o_b")
    await here(qun, "o_c", "在私聊签到")
    await qun.private.say("签到", "o_c")
    told = (await qun.say("排行榜")).splitlines()
    assert told[1:] == ["1. 小林：11 分，连续签到 2 天", "2. 阿木：5 分"]
    qun.private.later(hours=1)
    qun.group = group(place="qun:2@chatroom")
    assert "还没有人得分" in await qun.say("排行榜")


async def test_who_hides_or_left_is_not_in_it(qun: GroupTalk) -> None:
    for who, name in (("o_a", "小林"), ("o_b", "阿木"), ("o_c", "小满")):
        await here(qun, who, name)
        await qun.say("签到", who)
    await qun.private.say("不上榜", "o_a")
    gone = await qun.private.member("o_b")
    await qun.store.groups.gone(qun.group.place, gone, qun.private.at + 1)
    assert (await qun.say("排行榜")).splitlines()[1:] == ["1. 小满：5 分"]


async def test_the_ranking_is_not_told_twice_in_a_while(qun: GroupTalk) -> None:
    await here(qun, "o_a", "小林")
    await qun.say("签到", "o_a")
    assert "小林" in await qun.say("排行榜", "o_a")
    assert await qun.say("排行榜", "o_b") == qun.private.texts("group.said")
    assert await qun.say("排行榜", "o_c") == ""
    qun.private.later(minutes=11)
    assert "小林" in await qun.ask("排行榜 月", "o_c")


async def test_an_operator_reads_todays_digest_in_private(desk: Desk) -> None:
    one = await desk.group()
    quiet = desk.texts("digest.too_quiet", title="学习群")
    assert await desk.boss("/group digest 1 now") == quiet
    assert desk.rules(one) == GroupRules(), "nothing was set"
    assert "请私聊我" in await desk.in_group(one, "/group digest now")
