"""你可能还喜欢: what is written down as shown is what stands below the answer."""

from __future__ import annotations

import asyncio

import pytest

from handlers.message import Reply
from handlers.recommending import Pick
from handlers.suggestions import also
from handlers.texts import MAX_TEXT_BYTES
from store.rec_lists import KeptList
from tests.handlers.conftest import Conversation
from tests.handlers.recommending import Tastes

ALSO = "你可能还喜欢"


@pytest.fixture
async def tastes(talk: Conversation) -> Tastes:
    """Somebody who ranks; o_lin has met the bot and asked for the courses."""
    await talk.say("课程")
    talk.recommendations = tastes = Tastes(talk.store)
    return tastes


async def shown(talk: Conversation) -> list[KeptList]:
    return await talk.store.recommendations.lists_of(await talk.member("o_lin"))


async def test_what_stands_below_an_answer_is_written_down(
    talk: Conversation, tastes: Tastes
) -> None:
    said = await talk.say("1")
    assert ALSO in said
    (kept,) = await shown(talk)
    assert kept.surface == "answer"
    assert f"rec:{kept.id}" in said
    assert len(kept.shown) == 1


async def test_what_is_found_too_late_is_not(talk: Conversation, tastes: Tastes) -> None:
    tastes.late_s = 0.3
    assert ALSO not in await talk.say("1")
    await asyncio.sleep(0.3)
    assert await shown(talk) == []


async def test_what_is_not_in_the_catalogue_any_more_is_not(
    talk: Conversation, tastes: Tastes
) -> None:
    talk.items.pop("item:write")
    tastes.liked[await talk.member("o_lin")] = (Pick("write", 1.0),)
    assert ALSO not in await talk.say("1")
    assert len(tastes.asked) == 1
    assert await shown(talk) == []


async def test_what_an_answer_has_no_room_for_is_not(talk: Conversation, tastes: Tastes) -> None:
    ends = []
    # At first there is no room for the line, then none for its link, then for both.
    for room in range(0, 400, 20):
        before = len(await shown(talk))
        message = talk.message("1")
        ctx = await talk.context(message)
        ctx.handler, ctx.item = "content", "item:write"
        reply = Reply.text("a" * (MAX_TEXT_BYTES - room))
        said = await also(message, ctx, reply)
        written = len(await shown(talk)) - before
        assert written == (said is not reply) == (ALSO in said.content)
        ends.append((written, len(tastes.taken_back)))
    assert len(tastes.asked) == len(ends)
    assert ends[0] == (0, 0)
    assert ends[-1][0] == 1
    assert tastes.taken_back


async def test_what_is_written_too_late_is_taken_back(talk: Conversation, tastes: Tastes) -> None:
    tastes.slow_s = 0.5
    assert ALSO not in await talk.say("1")
    async with asyncio.timeout(30):
        while not tastes.taken_back:
            await asyncio.sleep(0.01)
    assert await shown(talk) == []


async def test_the_same_message_again_is_written_once(talk: Conversation, tastes: Tastes) -> None:
    message = talk.message("1")
    said = await talk.hear(message, crash_first=True)
    assert ALSO in said
    assert len(await shown(talk)) == 1
