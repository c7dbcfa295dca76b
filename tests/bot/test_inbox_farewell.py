"""Who was forgotten over a gateway hears it once, and nothing of them stays for that."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from bot.parts import Outcome
from handlers.message import Message, Reply, Talk, reply_from_json
from tests.bot.test_inbox import desk, said
from tests.store.rows import places_of


@pytest.mark.parametrize("status", ["sent", "refused", "unknown", "waiting", "died"])
async def test_who_was_forgotten_over_a_gateway_is_told_so_and_no_row_stays(
    tmp_path: Path, status: str
) -> None:
    async def forget(message: Message) -> Outcome:
        member = await d.store.members.meet("qun", message.sender, 0.0)
        await d.store.members.erase(member.id, 0.0, keep_key=bytes.fromhex(message.key))
        aside = (Reply.text("已忘记"),)
        return Outcome(Reply.text("办好了"), "privacy", erased=True, aside=aside)

    talk = Talk("1", message_id="m1")
    asked = replace(said("确认忘记", channel="qun"), source="onebot", talk=talk)
    async with desk(tmp_path, forget) as d:
        assert await d.inbox.take(asked, b"body")
        await d.idle()
        found = []
        while claimed := await d.store.sends.claim(time.time(), free={"qun"}):
            for one in claimed:
                found.append((reply_from_json(one.reply).content, one.place, one.external_id))
                if status == "died":
                    await d.store.sends.recover(time.time())
                else:
                    await d.store.sends.settle(one.id, status, time.time())
        assert found == [("办好了", "qun:1", "o_lin"), ("已忘记", "", "o_lin")]
        assert places_of(d.store.db.path, ["o_lin", "已忘记"]) == set()
        assert d.woken == 1
