"""The same message many times is one effect and one reply; different ones are all heard."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.fake_wechat import Delivery, FakeWeChat
from tests.proofs.world import (
    FAQ,
    OPERATOR,
    World,
    acknowledged,
    faq_number,
    key_of,
    opened,
    thinking,
    until,
)


def bodies(*deliveries: Delivery) -> set[str]:
    """The different answers among all attempts, as they crossed the wire."""
    attempts = [attempt for delivery in deliveries for attempt in delivery.attempts]
    assert all(attempt.status == 200 and not attempt.error for attempt in attempts)
    return {attempt.body for attempt in attempts}


def effects(fake: FakeWeChat) -> dict[str, Mapping[str, Any]]:
    """One message for each kind of effect."""
    return {
        "question": fake.message("o_lin", "text", Content=FAQ[0].question),
        "gap": fake.message("o_lin", "text", Content="月球上能开直播吗"),
        "topic": fake.message("o_chen", "text", Content="订阅 话题3"),
        "faq": fake.message(OPERATOR, "text", Content="/faq add 几点开播 | 晚上八点。"),
        "follow": fake.event("o_new", "subscribe"),
        "click": fake.event("o_lin", "CLICK", "help"),
    }


async def counted(w: World) -> dict[str, int]:
    """How often each effect happened, by what the file says."""
    asked = {
        "interactions": "select count(*) from interactions",
        "entries": "select count(*) from faq where question = '几点开播'",
        "audit": "select count(*) from audit",
        "topics": "select count(*) from subscriptions",
        "gaps": "select coalesce(sum(count), 0) from gaps",
        "members": "select count(*) from members",
        "sends": "select count(*) from sends",
    }
    return {name: (await w.rows(sql))[0][0] for name, sql in asked.items()}


async def test_in_parallel_later_and_after_a_restart_it_is_one_effect_and_the_same_reply(
    tmp_path: Path,
) -> None:
    once = {
        "interactions": 6,
        "entries": 1,
        "audit": 1,
        "topics": 1,
        "gaps": 1,
        "members": 4,
        "sends": 0,
    }
    async with opened(tmp_path, faq=FAQ) as w:
        messages = effects(w.fake)
        names = list(messages)
        parallel = await asyncio.gather(
            *(w.fake.deliver(fields, parallel=3) for fields in messages.values())
        )
        for name, delivery in zip(names, parallel, strict=True):
            assert len(delivery.attempts) == 3
            assert len(bodies(delivery)) == 1, name
        assert await counted(w) == once
        later = [await w.fake.deliver(messages[name]) for name in names]
        replay = [await w.fake.deliver(messages[name], fresh_nonce=False) for name in names]
        assert await counted(w) == once
    async with opened(tmp_path) as again:
        restarted = await asyncio.gather(
            *(again.fake.deliver(fields, parallel=3) for fields in messages.values())
        )
        assert await counted(again) == once
        for name, *answers in zip(names, parallel, later, replay, restarted, strict=True):
            assert len(bodies(*answers)) == 1, name
            assert answers[0].outcome == "replied", name


async def test_a_repeat_while_the_answer_is_thought_about_runs_nothing_again(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, routers=thinking(0.6)) as w:
        fields = w.fake.message("o_lin", "text", Content="一")
        first = asyncio.create_task(w.fake.deliver(fields))
        await asyncio.sleep(0.2)
        second = await w.fake.deliver(fields, parallel=2)
        assert bodies(await first, second) == {second.attempts[0].body}
        assert await w.rows("select count(*) from interactions") == [(1,)]


async def test_fifteen_people_in_one_second_are_all_answered(tmp_path: Path) -> None:
    entries = [faq_number(number) for number in range(15)]
    async with opened(tmp_path, faq=entries) as w:
        second = int(w.fake.now())
        deliveries = await asyncio.gather(
            *(
                w.fake.send_text(f"o_{n}", entry.question, CreateTime=second)
                for n, entry in enumerate(entries)
            )
        )
        for delivery, entry in zip(deliveries, entries, strict=True):
            assert len(delivery.attempts) == 1
            assert delivery.text.startswith(entry.answer)
        assert await w.rows("select count(*) from interactions") == [(15,)]


async def test_two_events_of_one_member_in_one_second_both_count(tmp_path: Path) -> None:
    async with opened(tmp_path) as w:
        second = int(w.fake.now())
        deliveries = await asyncio.gather(
            w.fake.send_event("o_lin", "CLICK", "help", CreateTime=second),
            w.fake.send_event("o_lin", "CLICK", "courses", CreateTime=second),
            w.fake.send_event("o_lin", "SCAN", "lesson-1", CreateTime=second, Ticket="t1"),
            w.fake.send_event("o_lin", "SCAN", "lesson-2", CreateTime=second, Ticket="t2"),
            w.fake.send_event("o_lin", "VIEW", "https://a.example/", CreateTime=second),
        )
        assert all(acknowledged(delivery) for delivery in deliveries)
        assert deliveries[0].text != deliveries[1].text
        keys = {key_of(delivery.fields) for delivery in deliveries}
        found = {row[0] for row in await w.rows("select message_key from interactions")}
        assert found == keys
        assert len(keys) == 5


async def test_the_same_words_twice_are_two_messages(tmp_path: Path) -> None:
    async with opened(tmp_path, faq=FAQ) as w:
        second = int(w.fake.now())
        deliveries = [
            await w.fake.send_text("o_lin", FAQ[0].question, CreateTime=second) for _ in range(2)
        ]
        assert [delivery.outcome for delivery in deliveries] == ["replied", "replied"]
        assert await w.rows("select count(*) from interactions") == [(2,)]
        assert len(w.seen("o_lin")) == 2


async def test_a_repeat_of_an_old_message_does_not_let_a_new_one_overtake(tmp_path: Path) -> None:
    async with opened(
        tmp_path, routers=thinking(lambda message: 1.0 if message.text == "二" else 0.0)
    ) as w:
        old = await w.fake.send_text("o_lin", "一")
        slow = asyncio.create_task(w.fake.send_text("o_lin", "二"))
        running = w.app.metrics.running
        await until(running, "the slow question to be worked on")
        await w.fake.deliver(old.fields)
        await w.fake.send_text("o_lin", "三")
        await slow
        order = await w.rows("select text from interactions order by id")
        assert order == [("一",), ("二",), ("三",)]
