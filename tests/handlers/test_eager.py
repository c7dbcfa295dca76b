"""Answers that nobody asked the bot for: only sure ones, and only while nobody else speaks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from handlers.eager import LATE_S, Eager, is_question
from handlers.message import Message
from store.content import NewFaq
from store.groups import GroupRules
from store.posts import SENT
from tests.handlers.conftest import Conversation, CountedLinks
from tests.handlers.in_group import QUN, SPEECH, GroupTalk, group

EAGER = group(rules=GroupRules(eager_s=60.0))


class Listening:
    """A group in which the bot listens; `hears` says whether an answer was planned."""

    def __init__(self, qun: GroupTalk) -> None:
        self.qun = qun
        qun.group = EAGER
        self.posted = 0
        self.eager = self.made()

    def made(self, **more: Any) -> Eager:
        """As the bot makes it, also after a restart."""
        private = self.qun.private
        return Eager(
            private.store,
            private.knowledge,
            private,
            private.texts,
            CountedLinks(),
            SPEECH,
            **{"posting": {QUN}, "posted": self._posted, **more},
        )

    def _posted(self) -> None:
        self.posted += 1

    async def hears(self, text: str, who: str = "o_lin", **talk: Any) -> bool:
        return await self.takes(self.qun.message(text, who, **talk))

    async def takes(self, message: Message) -> bool:
        return await self.eager.hear(message, self.qun.group, self.qun.private.at)

    async def says(self, after: float = 60.0) -> list[str]:
        """What is posted by then."""
        self.qun.private.later(seconds=after)
        said = await self.qun.store.posts.claim(self.qun.private.at, {QUN: 20}, 10)
        for one in said:
            await self.qun.store.posts.settle(one.id, SENT, self.qun.private.at)
        return [json.loads(one.body)["content"] for one in said]


@pytest.fixture
async def listening(talk: Conversation) -> Listening:
    return Listening(GroupTalk(talk))


@pytest.mark.parametrize(
    "text", ["怎么退款", "怎么退款？", "课程会过期吗", "请问在哪报名", "有人知道发票在哪开"]
)
def test_what_asks_the_group_something(text: str) -> None:
    assert is_question(text)


@pytest.mark.parametrize("text", ["退款", "我已经退款了", "哈哈", "？？", "好" * 61 + "吗", ""])
def test_what_asks_nothing(text: str) -> None:
    assert not is_question(text)


async def test_a_question_that_nobody_answers_is_answered_and_quotes_who_asked(
    listening: Listening,
) -> None:
    asked = listening.qun.message("怎么退款")
    assert await listening.takes(asked)
    assert listening.posted == 1
    (row,) = await listening.qun.store.posts.claim(listening.qun.private.at + 60, {QUN: 20}, 10)
    said = json.loads(row.body)
    assert said["content"] == "七天内可以全额退款。"
    assert asked.talk is not None
    assert said["quote"] == asked.talk.message_id


async def test_nothing_is_said_before_the_time(listening: Listening) -> None:
    await listening.hears("怎么退款")
    assert await listening.says(59) == []
    assert len(await listening.says(1)) == 1


async def test_an_answer_that_is_too_late_is_not_said_at_all(listening: Listening) -> None:
    await listening.hears("怎么退款")
    assert await listening.says(60 + LATE_S + 1) == []


async def test_by_default_it_answers_nobody(listening: Listening) -> None:
    listening.qun.group = group()
    assert not await listening.hears("怎么退款")


@pytest.mark.parametrize(
    "text", ["火星上有没有食堂", "今天吃什么", "报名", "怎么退款？我急着要" * 9]
)
async def test_what_the_bot_is_not_sure_of_is_left_to_the_members(
    listening: Listening, text: str
) -> None:
    assert not await listening.hears(text)


@pytest.mark.parametrize(
    "to",
    [
        {"addressed": True},
        {"mentions": ("o_wang",)},
        {"quotes": "m1", "quotes_who": "o_wang"},
    ],
)
async def test_what_was_asked_of_somebody_is_theirs(
    listening: Listening, to: dict[str, Any]
) -> None:
    assert not await listening.hears("怎么退款", **to)


@pytest.mark.parametrize(
    ("answer", "to"),
    [
        ("找客服就能退", {}),
        ("退款？我记得怎么退", {"quotes": "m1"}),
        ("是问怎么退款吗", {"mentions": ("o_lin",)}),
        ("[图片]", {}),
    ],
)
async def test_when_somebody_else_speaks_the_bot_does_not(
    listening: Listening, answer: str, to: dict[str, Any]
) -> None:
    await listening.hears("怎么退款")
    listening.qun.private.later(seconds=20)
    assert not await listening.hears(answer, "o_wang", **to)
    assert await listening.says() == []


async def test_another_question_is_no_answer(listening: Listening) -> None:
    await listening.hears("怎么退款")
    assert await listening.hears("课程会过期吗", "o_wang")
    assert len(await listening.says()) == 1


async def test_who_asked_may_go_on_but_not_be_done(listening: Listening) -> None:
    await listening.hears("怎么退款")
    await listening.hears("我是上周买的")
    assert len(await listening.says()) == 1
    listening.qun.private.later(minutes=20)
    await listening.hears("课程会过期吗")
    await listening.hears("好的，知道了")
    assert await listening.says() == []


async def test_after_a_restart_whoever_speaks_may_have_answered(listening: Listening) -> None:
    await listening.hears("怎么退款")
    listening.eager = listening.made()
    await listening.hears("找客服", "o_wang")
    assert await listening.says() == []


async def test_a_restart_loses_no_answer(listening: Listening) -> None:
    await listening.hears("怎么退款")
    listening.eager = listening.made()
    await listening.hears("课程会过期吗", "o_wang")
    assert len(await listening.says()) == 1


async def test_the_same_message_twice_is_answered_once(listening: Listening) -> None:
    asked = listening.qun.message("怎么退款")
    assert await listening.takes(asked)
    listening.eager = listening.made()
    assert not await listening.takes(asked)
    assert len(await listening.says()) == 1


async def test_what_was_answered_lately_is_not_answered_again(listening: Listening) -> None:
    qun = listening.qun
    await qun.ask("怎么退款", "o_wang")
    assert not await listening.hears("怎么退款")
    qun.private.later(minutes=11)
    assert await listening.hears("怎么退款")
    assert len(await listening.says()) == 1
    await qun.ask("怎么退款", "o_wang")
    assert qun.handler == "group.repeated"


async def test_who_asks_the_bot_meanwhile_gets_the_answer_and_all_one(
    listening: Listening,
) -> None:
    await listening.hears("怎么退款")
    assert await listening.qun.ask("怎么退款", "o_wang") == "七天内可以全额退款。"
    assert await listening.says() == []


async def test_in_silent_hours_and_where_nothing_can_be_posted_it_plans_nothing(
    listening: Listening,
) -> None:
    qun = listening.qun
    qun.group = group(rules=replace(EAGER.rules, muted_until=qun.private.at + 90))
    assert not await listening.hears("怎么退款")
    qun.group = group(rules=replace(EAGER.rules, quiet="10:31-12:00"))
    assert not await listening.hears("怎么退款"), "it would speak in the quiet hours"
    qun.group = group(rules=EAGER.rules, bound_at=None)
    assert not await listening.hears("怎么退款")
    qun.group = group(rules=EAGER.rules, route="poster")
    assert not await listening.hears("怎么退款")
    qun.group = EAGER
    listening.eager = listening.made(gates={"faq": "paid-monthly"})
    assert not await listening.hears("怎么退款")


async def test_a_long_answer_is_cut_and_says_where_the_rest_is(listening: Listening) -> None:
    qun = listening.qun
    answer = "第一步，打开课程页。" + "说明" * 120 + "。"
    await qun.store.content.import_faq([NewFaq("证书怎么领取", answer)], qun.private.at)
    await qun.private.reload()
    assert await listening.hears("证书怎么领取")
    (said,) = await listening.says()
    assert said == "第一步，打开课程页。\n完整的回答请私聊我问。"


async def test_events_and_private_messages_are_none_of_it(listening: Listening) -> None:
    message = listening.qun.message("怎么退款")
    assert not await listening.takes(replace(message, talk=None))
    assert not await listening.takes(replace(message, kind="event", event="group_join"))
