"""A human takes over; the rest of an answer is fetched."""

from __future__ import annotations

import pytest

from handlers.context import Business
from handlers.message import Reply, reply_to_json
from tests.handlers.conftest import Conversation


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "转人工",
            "人工",
            "人工客服",
            "转人工。",
            "转人工？",
            "我要人工",
            "我要转人工",
            "转 人工",
        ),
        *(
            "转人工谢谢",
            "转人工，谢谢",
            "帮我转人工客服",
            "请转人工服务",
            "我想找真人",
            "有没有人工吗🙏",
        ),
    ],
)
async def test_a_human_takes_over(talk: Conversation, typed: str) -> None:
    assert await talk.say(typed) == "→transfer"
    assert talk.handler == "human"


@pytest.mark.parametrize(
    "typed", ["人工智能", "人工智能课多少钱", "你们有真人授课吗", "服务怎么样"]
)
async def test_a_word_like_it_is_no_call_for_a_human(talk: Conversation, typed: str) -> None:
    await talk.say(typed)
    assert talk.handler != "human"


async def test_where_nobody_can_take_over_the_hours_are_told(talk: Conversation) -> None:
    talk.can_transfer = False
    said = await talk.say("转人工")
    assert "工作日 9:00–18:00" in said
    talk.business = Business("知行社")
    assert await talk.say("转人工") == talk.texts("human.offline")


async def test_the_rest_comes_part_by_part(talk: Conversation) -> None:
    await talk.leave(reply_to_json(Reply.text("第一段")), reply_to_json(Reply.text("第二段")))
    assert await talk.say("继续") == f"第一段\n{talk.texts('late.more')}"
    assert await talk.say("继续") == "第二段"
    assert await talk.say("继续") == talk.texts("late.nothing")


async def test_the_same_message_gets_the_same_part(talk: Conversation) -> None:
    await talk.leave(reply_to_json(Reply.text("第一段")), reply_to_json(Reply.text("第二段")))
    assert (await talk.say("继续", crash_first=True)).startswith("第一段")
    assert await talk.say("继续") == "第二段"


async def test_a_full_part_is_not_made_longer(talk: Conversation) -> None:
    full = "字" * 682
    await talk.leave(reply_to_json(Reply.text(full)), reply_to_json(Reply.text("完")))
    assert await talk.say("继续") == full


async def test_a_picture_is_fetched_as_a_picture(talk: Conversation) -> None:
    await talk.leave(reply_to_json(Reply.image("m1")), reply_to_json(Reply.text("完")))
    assert await talk.say("继续") == "→image"
    assert talk.reply.media_id == "m1"


async def test_nobody_fetches_what_is_anothers(talk: Conversation) -> None:
    await talk.leave(reply_to_json(Reply.text("给小王的")), who="o_wang")
    assert await talk.say("继续") == talk.texts("late.nothing")


async def test_a_damaged_part_is_an_error_and_the_next_is_fetched(talk: Conversation) -> None:
    await talk.leave("{", reply_to_json(Reply.text("好的那段")))
    with pytest.raises(ValueError, match="Expecting"):
        await talk.say("继续")
    assert await talk.say("继续") == "好的那段"
