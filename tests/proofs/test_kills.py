"""SIGKILL at random moments under load: nothing acknowledged is lost, nothing happens twice.

A served process is killed and started again on the same file while members of a fake
WeChat ask, subscribe and unsubscribe, and an operator adds entries; every second time it
is a dawdling one, so that answers are late, too. Every message has words of its own, so
that each answer a member saw belongs to one message. Afterwards the members' phones and
the bot's file are counted against what was sent.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.questions import entries
from sandbox.fake_wechat import NOTICE, Delivery, FakeWeChat
from tests.proofs.world import (
    ACCOUNT,
    OPERATOR,
    TEXTS,
    TOPICS,
    Served,
    acknowledged,
    key_of,
    until,
)

MEMBERS = 10
ENOUGH = 5
"""Messages acknowledged for each kill, or the load was no load."""
DAWDLING = ("tests.proofs.dawdling",)
FAQ = [(entry.question, f"答案{number}。") for number, entry in enumerate(entries())]


@dataclass
class Sent:
    """One message. marks: how its answer may begin. kind: question, topic, add."""

    openid: str
    kind: str
    words: str
    marks: tuple[str, ...]
    delivery: Delivery

    @property
    def acked(self) -> bool:
        return acknowledged(self.delivery)


@dataclass
class Load:
    """Members who keep writing until told to stop, each one message after the other."""

    fake: FakeWeChat
    rng: random.Random
    sent: list[Sent] = field(default_factory=list)
    over: bool = False

    async def member(self, number: int) -> None:
        for life in itertools.count():
            openid = f"o_member_{number}_{life}"
            for kind, words, marks in self._script():
                if self.over:
                    return
                await self._say(openid, kind, words, marks)

    def _script(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """All a member can say with words that nobody confuses, in a random order."""
        questions = self.rng.sample(FAQ, len(FAQ))
        topics = list(TOPICS)
        while questions:
            if topics and self.rng.random() < 0.15:
                topic = topics.pop()
                on = (
                    TEXTS("topics.subscribed", topic=topic),
                    TEXTS("topics.already", topic=topic),
                )
                yield "topic", f"订阅 {topic}", on
                if len(topics) % 2:
                    off = (
                        TEXTS("topics.unsubscribed", topic=topic),
                        TEXTS("topics.not_subscribed", topic=topic),
                    )
                    yield "topic", f"退订 {topic}", off
            question, answer = questions.pop()
            yield "question", question, (answer,)

    async def operator(self) -> None:
        for number in itertools.count():
            if self.over:
                return
            question = f"第{number}间教室的密码"
            marks = tuple(f"已添加第 {n} 条：{question}" for n in range(1, 5000))
            await self._say(OPERATOR, "add", f"/faq add {question} | 密码{number}。", marks)
            await asyncio.sleep(self.rng.uniform(0.1, 0.4))

    async def _say(self, openid: str, kind: str, words: str, marks: tuple[str, ...]) -> None:
        delivery = await self.fake.send_text(openid, words)
        self.sent.append(Sent(openid, kind, words, marks, delivery))
        await asyncio.sleep(self.rng.uniform(0.02, 0.2))


async def killed_under_load(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """The whole story; the figures of it. Fails at the first promise that was broken."""
    rng = random.Random(seed)
    # Three tries over 3 s: a restart fits in, and sometimes it does not.
    fake = FakeWeChat(ACCOUNT, retry_pause_s=1.5)
    served = Served(folder, api_base=await fake.start(), inbox="deadline_s = 0.5")
    fake.webhook = served.webhook
    csv = folder / "faq.csv"
    rows = "".join(f"{question},{answer}\n" for question, answer in FAQ)
    csv.write_text(f"question,answer\n{rows}", encoding="utf-8")
    await asyncio.to_thread(served.run, "import", "faq", str(csv))
    load = Load(fake, rng)
    started = time.monotonic()
    open_ = 0
    try:
        await asyncio.to_thread(served.start, *DAWDLING)
        await asyncio.to_thread(served.wait_ready)
        writers = [asyncio.create_task(load.member(n)) for n in range(MEMBERS)]
        writers.append(asyncio.create_task(load.operator()))
        for number in range(kills):
            await until(served.door_open, "the door to open", 30.0)
            # Also while it is still starting: the door opens before it is ready.
            # Now and then long enough for what the last ones left to be pushed.
            await asyncio.sleep(rng.uniform(0.0, 2.4) + (8.0 if number % 10 == 9 else 0.0))
            await asyncio.to_thread(served.kill)
            open_ += served.rows("select count(*) from messages where status = 0")[0][0]
            await asyncio.sleep(rng.uniform(0.0, 0.3))
            slow = DAWDLING if number % 2 == 1 and number < kills - 1 else ()
            await asyncio.to_thread(served.start, *slow)
        # On a busy machine nobody may get through between two kills: they write on till enough did.
        await until(lambda: through(load) > ENOUGH * kills, "the load to get through", 90.0)
        load.over = True
        await asyncio.gather(*writers)
        await asyncio.to_thread(served.wait_ready)
        await until(lambda: quiet(served), "the last unfinished message", 60.0, 0.2)
        fetched = await fetch_waiting(fake, served)
        # Nothing more may come by itself.
        shown = sum(len(member.inbox) for member in fake.members.values())
        await asyncio.sleep(1.0)
        assert shown == sum(len(member.inbox) for member in fake.members.values())
    finally:
        load.over = True
        await asyncio.to_thread(served.stop)
        await fake.close()
    figures = audit(load.sent, fake, served)
    seconds = round(time.monotonic() - started, 1)
    return {
        "seed": seed,
        "kills": kills,
        "seconds": seconds,
        "open at kills": open_,
        "fetched": fetched,
        **figures,
    }


def through(load: Load) -> int:
    """How many messages were acknowledged."""
    return sum(one.acked for one in load.sent)


def quiet(served: Served) -> bool:
    """Whether no message and no late answer is on its way any more."""
    unfinished = served.rows("select count(*) from messages where status = 0")
    leaving = served.rows("select count(*) from sends where status in ('planned', 'sending')")
    return unfinished == leaving == [(0,)]


async def fetch_waiting(fake: FakeWeChat, served: Served) -> int:
    """Members whose allowance ran out ask for the rest with 继续; says how many parts."""
    waiting = served.rows("select external_id from sends where status = 'waiting' order by id")
    for (openid,) in waiting:
        assert (await fake.send_text(openid, "继续")).outcome == "replied"
    return len(waiting)


def audit(sent: list[Sent], fake: FakeWeChat, served: Served) -> dict[str, Any]:
    """Count phones and file against what was sent."""
    logged = Counter(key for (key,) in served.rows("select message_key from interactions"))
    unknown = {
        key for (key,) in served.rows("select message_key from sends where status='unknown'")
    }
    assert served.rows("select count(*) from sends where status = 'refused'") == [(0,)]
    assert served.rows("select count(*) from messages where status = 0") == [(0,)]
    figures: Counter[str] = Counter()
    explained: Counter[str] = Counter()
    for one in sent:
        key = key_of(one.delivery.fields)
        seen = [r for r in fake.members[one.openid].inbox if r.content.startswith(one.marks)]
        explained[one.openid] += len(seen)
        figures["messages"] += 1
        figures["acknowledged"] += one.acked
        figures["retried"] += len(one.delivery.attempts) > 1
        figures["late"] += any(r.route == "custom" for r in seen)
        assert logged[key] <= 1
        assert len(seen) <= 1, f"two answers to one message ({one.kind})"
        if not one.acked:
            figures["never acknowledged"] += 1
            figures["never acknowledged, answered"] += len(seen)
            continue
        assert logged[key] == 1, f"an acknowledged message is missing ({one.kind})"
        if key in unknown:
            figures["unknown"] += 1
            figures["unknown, arrived"] += len(seen)
        else:
            told = [r.content[:30] for r in fake.members[one.openid].inbox[-5:]]
            assert len(seen) == 1, f"no answer to {one.words}, though acknowledged; last: {told}"
    for openid, member in fake.members.items():
        words = [r for r in member.inbox if r.kind == "text"]
        assert len(words) == explained[openid], "somebody got an answer to no question"
        figures["notices"] += sum(r.content == NOTICE for r in member.inbox)
    effects(sent, served, figures)
    return dict(figures)


def effects(sent: list[Sent], served: Served, figures: Counter[str]) -> None:
    """Each entry once, each audit row once, every subscription as last wished."""
    found = Counter(
        question for (question,) in served.rows("select question from faq where deleted_at is null")
    )
    written = served.rows("select target, count(*) from audit where action = 'faq.add' group by 1")
    assert all(count == 1 for _, count in written)
    wishes: dict[tuple[str, str], list[Sent]] = {}
    for one in sent:
        if one.kind == "add":
            question = one.words.removeprefix("/faq add ").split(" | ")[0]
            figures["entries added"] += found[question]
            assert found[question] == 1 if one.acked else found[question] <= 1
        elif one.kind == "topic":
            wishes.setdefault((one.openid, one.words.split()[1]), []).append(one)
    subscribed = Counter(
        served.rows(
            "select external_id, topic from subscriptions join identities using (member_id)"
        )
    )
    assert max(subscribed.values(), default=0) <= 1
    for wish, messages in wishes.items():
        if messages[-1].acked:
            assert subscribed[wish] == messages[-1].words.startswith("订阅")
            figures["subscriptions as wished"] += 1


@pytest.mark.parametrize(
    "kills",
    [
        2,
        pytest.param(60, marks=pytest.mark.nightly, id="sixty"),
        pytest.param(140, marks=pytest.mark.nightly, id="140"),
    ],
)
async def test_killed_at_random_it_loses_nothing_acknowledged_and_repeats_nothing(
    tmp_path: Path, kills: int
) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    figures = await killed_under_load(tmp_path, kills, seed)
    print(json.dumps(figures, ensure_ascii=False))
