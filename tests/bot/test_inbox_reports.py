"""Reports of the platform at the inbox: kept exactly once, and nobody's messages."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from bot.inbox import Refusal
from bot.official import SUCCESS
from bot.parts import Outcome
from handlers.message import Message, Reply
from store import StoreError
from store.members import Member
from tests.bot.test_inbox import Desk, desk, echo


def reported(event: str, *, sender: str = "o_admin", number: int = 1) -> Message:
    key = f"{number:032x}"
    return Message("mp", "gh_t", sender, "event", int(time.time()), key, event=event)


async def test_a_report_of_the_platform_makes_nobody_a_member(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(Desk):
        async def _converse(self, message: Message, member: Member) -> Outcome:
            seen.append(member.id)
            return Outcome(Reply.none(), "report.mass")

    opened = Watched(tmp_path / "zhiqun.db", echo)
    await opened.store.open()
    opened.inbox.open()
    for number, event in enumerate(("masssendjobfinish", "subscribe_msg_popup_event"), 1):
        assert await opened.ask(reported(event, number=number)) == SUCCESS
        assert await opened.ask(reported(event, number=number)) == SUCCESS
    await opened.idle()
    assert seen == [0, 0], "each once, of nobody"
    for table in ("members", "identities", "interactions", "sends"):
        with sqlite3.connect(tmp_path / "zhiqun.db") as db:
            assert db.execute(f"select count(*) from {table}").fetchone() == (0,), table
    await opened.inbox.drain(1.0)
    await opened.store.close()


async def test_a_report_that_could_not_be_kept_is_told_again(tmp_path: Path) -> None:
    broken = True

    async def keep(message: Message) -> Reply:
        if broken:
            raise StoreError("the disk is full")
        return Reply.none()

    async with desk(tmp_path, keep) as d:
        message = reported("masssendjobfinish")
        assert await d.ask(message) is Refusal.NOT_RECORDED
        await d.idle()
        broken = False
        assert await d.ask(message) == SUCCESS
        await d.idle()
        assert d.watch.outcomes == ["not_stored", "silent"]


async def test_a_report_that_breaks_a_handler_is_answered_with_nothing(tmp_path: Path) -> None:
    async def broken(message: Message) -> Reply:
        raise ValueError("a fault of ours")

    async with desk(tmp_path, broken) as d:
        assert await d.ask(reported("templatesendjobfinish")) == SUCCESS
        await d.idle()
        assert await d.planned() == []
