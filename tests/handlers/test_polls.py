"""A campaign's poll: taps and numbers are votes, the last one counts, and nothing else is one."""

from __future__ import annotations

import re

import pytest

from tests.handlers.campaigning import Campaigning
from tests.handlers.conftest import Conversation

BOSS = "o_boss"
FANS = LIN, MEI, WEI = "o_fan0", "o_fan1", "o_fan2"
FORM = """/campaign new 几点直播
对象：所有人
对照：无
目标：回复 1天
投票：直播放在几点好？（不想收到请回复退订）
选项：早上 / 取消 / 签到"""


class Poll:
    """A poll that everybody was sent."""

    def __init__(self, scene: Campaigning) -> None:
        self.scene = scene
        self.talk = scene.talk

    async def send(self, form: str = FORM) -> int:
        said = await self.talk.say(form, BOSS)
        number, code = re.search(r"活动 (\d+)", said), re.search(r"确认 ([0-9A-Z]{4})", said)
        assert number is not None, said
        assert code is not None, said
        await self.talk.say(f"确认 {code[1]}", BOSS)
        await self.scene.run()
        return int(number[1])

    async def tap(self, who: str, tapped: str, words: str, *, twice: bool = False) -> str:
        message = self.talk.message(words, who, raw={"bizmsgmenuid": tapped})
        return await self.talk.hear(message, crash_first=twice)

    async def report(self, number: int) -> str:
        return await self.talk.say(f"/campaign report {number}", BOSS)


@pytest.fixture
async def poll(talk: Conversation) -> Poll:
    scene = Campaigning(talk)
    await talk.promote(BOSS, "owner")
    await scene.fans(*FANS)
    return Poll(scene)


async def test_taps_are_votes_whatever_the_option_says(poll: Poll) -> None:
    number = await poll.send()
    said = await poll.tap(LIN, f"poll:c{number}:A:1", "早上")
    assert said.startswith("收到，你选的是「早上」，谢谢")
    assert said.endswith("到现在：早上 1 票、取消 0 票、签到 0 票。")
    said = await poll.tap(MEI, f"poll:c{number}:A:2", "取消", twice=True)
    assert said.endswith("早上 1 票、取消 1 票、签到 0 票。"), "a message that ran twice votes once"
    assert "取消 1 票、签到 1 票" in await poll.tap(WEI, f"poll:c{number}:A:3", "签到")
    assert "你有 0 积分" in await poll.talk.say("我的积分", WEI), "nobody checked in"
    assert "投票 3 人：早上 1 票、取消 1 票、签到 1 票。" in await poll.report(number)


async def test_who_votes_again_changes_the_vote(poll: Poll) -> None:
    number = await poll.send()
    await poll.tap(MEI, f"poll:c{number}:A:2", "取消")
    for option in (1, 3, 3):
        said = await poll.tap(LIN, f"poll:c{number}:A:{option}", "?")
    assert said.endswith("早上 0 票、取消 1 票、签到 1 票。")
    assert "投票 2 人：早上 0 票、取消 1 票、签到 1 票。" in await poll.report(number)


async def test_a_number_is_a_vote_where_there_were_no_buttons(poll: Poll) -> None:
    number = await poll.send()
    assert "你选的是「早上」" in await poll.talk.say("1", LIN)
    assert "你选的是「取消」" in await poll.talk.say("二", MEI)
    assert "你选的是" not in await poll.talk.say("4", WEI), "there is no such option"
    assert "投票 2 人" in await poll.report(number)


async def test_a_number_belongs_to_what_was_shown_last(poll: Poll) -> None:
    number = await poll.send()
    poll.talk.later(minutes=5)
    assert "1." in await poll.talk.say("课程", LIN)
    assert "你选的是" not in await poll.talk.say("1", LIN)
    poll.talk.later(days=2)
    assert "你选的是" not in await poll.talk.say("1", MEI), "too long ago"
    assert "投票 0 人" in await poll.report(number)


@pytest.mark.parametrize(
    "typed", ["晚上8点", "晚上 8 点", "２．晚上８点", "晚上8点。", "选2", "我选晚上8点", "第二个"]
)
async def test_an_options_own_words_are_a_vote(poll: Poll, typed: str) -> None:
    number = await poll.send(FORM.replace("早上 / 取消 / 签到", "早上 10 点 / 晚上 8 点"))
    poll.talk.later(hours=2)
    said = await poll.talk.say(typed, LIN, crash_first=True)
    assert said.startswith("收到，你选的是「晚上 8 点」")
    assert "投票 1 人：早上 10 点 0 票、晚上 8 点 1 票。" in await poll.report(number)


@pytest.mark.parametrize("typed", ["晚上 8 点？", "晚上", "早上10点还是晚上8点", "选3", "怎么退款"])
async def test_other_words_are_no_vote(poll: Poll, typed: str) -> None:
    number = await poll.send(FORM.replace("早上 / 取消 / 签到", "早上 10 点 / 晚上 8 点"))
    assert "你选的是" not in await poll.talk.say(typed, LIN)
    assert "投票 0 人" in await poll.report(number)


async def test_an_options_words_mean_nothing_to_others_and_after_the_end(poll: Poll) -> None:
    await poll.send()
    assert "你选的是" not in await poll.talk.say("早上", "o_stranger")
    assert "签到成功" in await poll.talk.say("签到", LIN), "what is a command stays one"
    poll.talk.later(days=1, minutes=1)
    assert "你选的是" not in await poll.talk.say("早上", LIN)
    assert await poll.talk.say("投票结果", LIN) == "现在没有发给你的投票。"


@pytest.mark.parametrize("typed", ["投票", "投票结果", "怎么投票？"])
async def test_who_asks_for_the_poll_sees_it_again(poll: Poll, typed: str) -> None:
    await poll.send()
    await poll.talk.say("早上", MEI)
    assert await poll.talk.say(typed, LIN) == (
        "回复数字或选项就是投票，再回复一次就改过来：\n1. 早上\n2. 取消\n3. 签到\n"
        "到现在：早上 1 票、取消 0 票、签到 0 票。"
    )
    assert await poll.talk.say(typed, "o_stranger") == "现在没有发给你的投票。"


async def test_a_vote_after_the_end_is_none(poll: Poll) -> None:
    number = await poll.send()
    poll.talk.later(days=1, minutes=1)
    assert "已经结束了" in await poll.tap(LIN, f"poll:c{number}:A:1", "早上")
    assert "投票 0 人" in await poll.report(number)


@pytest.mark.parametrize(
    "tapped",
    ["poll:c{n}:A:4", "poll:c{n}:A:0", "poll:c{n}:B:1", "poll:c999:A:1"],
)
async def test_what_is_no_option_of_theirs_is_no_vote(poll: Poll, tapped: str) -> None:
    number = await poll.send()
    assert "不是发给你的" in await poll.tap(LIN, tapped.format(n=number), "早上")
    assert "投票 0 人" in await poll.report(number)


async def test_who_was_not_sent_the_poll_has_no_vote(poll: Poll) -> None:
    number = await poll.send()
    assert "不是发给你的" in await poll.tap("o_stranger", f"poll:c{number}:A:1", "早上")
    assert "你选的是" not in await poll.talk.say("1", "o_stranger")
    assert "投票 0 人" in await poll.report(number)


async def test_a_preview_is_no_poll_and_a_strange_id_is_a_text(poll: Poll) -> None:
    number = await poll.send()
    assert await poll.tap(BOSS, "poll:1", "早上") == "这是预览，不计票。"
    assert "七天内可以" in await poll.tap(LIN, "poll:c" + "9" * 40, "怎么退款")
    assert "七天内可以" in await poll.tap(LIN, "1", "怎么退款")
    assert "投票 0 人" in await poll.report(number)


async def test_two_wordings_are_counted_apart(poll: Poll) -> None:
    form = (
        FORM.replace("投票：", "版本 A\n投票：")
        + "\n版本 B\n投票：几点好？（回复退订不再收到）\n选项：早 / 晚"
    )
    number = await poll.send(form)
    store = poll.talk.store
    for who in FANS:
        member = await poll.talk.member(who)
        for variant in ("A", "B"):
            if await store.polls.ballot(member, number, variant) is not None:
                await poll.tap(who, f"poll:c{number}:{variant}:2", "第二个")
    said = await poll.report(number)
    votes = [int(count) for count in re.findall(r"版本 [AB] 投票 (\d+) 人", said)]
    assert sum(votes) == 3, said
    assert [one.options for one in await store.polls.votes(number)] == [
        ("早上", "取消", "签到"),
        ("早", "晚"),
    ]


async def test_who_is_forgotten_leaves_no_vote(poll: Poll) -> None:
    number = await poll.send()
    await poll.tap(LIN, f"poll:c{number}:A:1", "早上")
    await poll.talk.store.members.erase(await poll.talk.member(LIN), poll.talk.at)
    assert "投票 0 人" in await poll.report(number)


async def test_a_campaign_that_asks_nothing_has_no_votes(poll: Poll) -> None:
    form = "/campaign new 直播\n对象：所有人\n对照：无\n文字：今晚直播，回复退订不再收到"
    number = await poll.send(form)
    assert "投票" not in await poll.report(number)
    assert await poll.talk.store.polls.votes(number) == ()
    assert await poll.talk.store.polls.votes(999) == ()
