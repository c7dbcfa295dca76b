"""What follows a reply: as messages of their own, once, behind all that comes before them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bot.official import SUCCESS
from bot.parts import Outcome
from handlers.message import Message, Reply, reply_from_json
from tests.bot.test_inbox import Desk, content, desk, said


async def picture_and_words(message: Message) -> Outcome:
    return Outcome(Reply.image("m1"), "test", then=(Reply.text("一"), Reply.text("二")))


def clicked(number: int = 1) -> Message:
    return replace(said("", number=number), kind="event", event="click", event_key="invite")


async def all_sent(d: Desk) -> list[str]:
    """What is pushed until nothing is due any more."""
    seen: list[str] = []
    while sends := await d.store.sends.claim(time.time()):
        for send in sends:
            seen.append(reply_from_json(send.reply).content)
            await d.store.sends.settle(send.id, "sent", time.time())
    return seen


@pytest.mark.parametrize("message", [said("邀请"), clicked()], ids=["first message", "menu click"])
async def test_what_follows_the_reply_is_paid_by_the_message_itself(
    tmp_path: Path, message: Message
) -> None:
    async with desk(tmp_path, picture_and_words) as d:
        await d.ask(message)
        await d.idle()
        assert d.watch.outcomes == ["passive"]
        assert d.woken == 1
        assert await all_sent(d) == ["一", "二"]
        await d.ask(message)
        await d.idle()
        assert await d.store.sends.counts() == {"sent": 2}, "a repeat sends nothing more"


async def test_where_pushing_is_not_allowed_what_follows_is_fetched(tmp_path: Path) -> None:
    async with desk(tmp_path, picture_and_words, retry_channels=frozenset({"mp"})) as d:
        await d.ask(said("邀请"))
        await d.idle()
        assert await d.planned() == []
        fetched = await d.store.sends.fetch("mp", "o_lin", b"k" * 16, time.time())
        assert fetched is not None
        assert (reply_from_json(fetched[0]).content, fetched[1]) == ("一", 1)


async def test_what_follows_a_late_answer_comes_after_it(tmp_path: Path) -> None:
    async def slow(message: Message) -> Outcome:
        await asyncio.sleep(0.5)
        return Outcome(Reply.text("答"), "test", then=(Reply.text("一"),))

    async with desk(tmp_path, slow) as d:
        assert await d.ask(said("1")) == SUCCESS
        await d.idle()
        assert await all_sent(d) == ["答", "一"]


async def test_what_follows_does_not_overtake_the_rest_of_a_long_answer(tmp_path: Path) -> None:
    async def long(message: Message) -> Outcome:
        return Outcome(Reply.text("长" * 1500), "test", then=(Reply.text("尾"),))

    async with desk(tmp_path, long) as d:
        await d.ask(said("1"))
        await d.idle()
        assert await d.planned() == []
        texts: list[str] = []
        while part := await d.store.sends.fetch(
            "mp", "o_lin", bytes([len(texts) + 1]) * 16, time.time()
        ):
            texts.append(reply_from_json(part[0]).content)
        assert len(texts) > 1
        assert texts[-1] == "尾"


async def test_nothing_follows_to_a_member_who_was_forgotten(tmp_path: Path) -> None:
    async def forget(message: Message) -> Outcome:
        return Outcome(Reply.text("好"), "privacy", erased=True, then=(Reply.text("一"),))

    async with desk(tmp_path, forget) as d:
        assert content(await d.ask(said("1"))) == "好"
        await d.idle()
        assert await d.store.sends.counts() == {}
