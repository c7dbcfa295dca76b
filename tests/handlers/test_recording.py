"""别记录我: in private and in a group, and back."""

from __future__ import annotations

import pytest

from handlers import GROUP_RULES, KEYWORD_RULES
from handlers.router import folded
from store.talk import NewTalk, Told
from tests.handlers.conftest import Conversation


async def said(talk: Conversation, text: str, number: int) -> Told:
    await talk.member()
    await talk.store.groups.meet("mp", "g1", talk.at, bound_by="op")
    return await talk.store.talk.say(
        NewTalk(number.to_bytes(16, "big"), "mp:g1", "mp", "o_lin", talk.at, "text", text)
    )


@pytest.mark.parametrize(
    "typed",
    [
        *("别记录我", "不要再记录我的发言", "请别记录我了。", "不要记录我说的话", "别记录我说的"),
        *("你别再记录我说的话了", "不要记录我在群里说的话", "我不想被记录", "别记录我发的消息"),
    ],
)
async def test_what_was_said_goes_and_nothing_more_is_written(
    talk: Conversation, typed: str
) -> None:
    assert await said(talk, "以前说的", 1) is Told.FRESH
    assert await talk.say(typed) == talk.texts("recording.off")
    assert await talk.store.talk.recent("mp:g1", 9) == []
    assert await said(talk, "后来说的", 2) is Told.UNRECORDED
    assert await talk.say("别记录我") == talk.texts("recording.off"), "once more changes nothing"


@pytest.mark.parametrize("typed", ["恢复记录", "恢复记录吧", "可以记录我了", "继续记录我说的话吧"])
async def test_who_wants_to_be_recorded_again_is(talk: Conversation, typed: str) -> None:
    await talk.say("别记录我")
    assert await talk.say(typed) == talk.texts("recording.on")
    assert await said(talk, "回来了", 1) is Told.FRESH


@pytest.mark.parametrize(
    "typed",
    [
        *("别记录我？", "恢复记录?", "你会记录我们说的话吗", "你会不会记录我说的话？"),
        *("群里会记录聊天吗", "你在记录我们聊天吗", "你记录了我什么", "会记录大家的发言吗"),
    ],
)
async def test_a_question_changes_nothing(talk: Conversation, typed: str) -> None:
    await said(talk, "说过的", 1)
    assert await talk.say(typed) == talk.texts("recording.about")
    assert len(await talk.store.talk.recent("mp:g1", 9)) == 1


@pytest.mark.parametrize(
    "typed",
    [
        *("记录我的学习进度", "别记录", "怎么查消费记录", "我的记录"),
        *("会记录学习进度吗", "保存了什么"),
    ],
)
async def test_other_records_are_not_meant(talk: Conversation, typed: str) -> None:
    await said(talk, "说过的", 1)
    await talk.say(typed)
    assert len(await talk.store.talk.recent("mp:g1", 9)) == 1


def test_in_a_group_it_must_be_said_to_the_bot() -> None:
    assert GROUP_RULES.take(folded("别记录我"))
    assert not KEYWORD_RULES.take(folded("别记录我"))
