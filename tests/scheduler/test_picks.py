"""The weekly letter: once a week to each who asked for it, within quiet hours and caps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest

from scheduler import picks
from scheduler.picks import LATE_S, Rules, Ways, due, key_of, week_of
from store import Store
from store.reach import Caps
from store.rec_lists import NewList, Shown
from tests.scheduler.rec_world import DAY_S, members, opened

FRIDAY = datetime.fromisoformat("2026-11-20T19:30+08:00").timestamp()
TOPIC = "推荐"
RULES = Rules(topic=TOPIC, caps=Caps(day=1, week=4))
WEEK = "2026-W47"


@dataclass
class Post:
    """What chooses, says and sends; each as often as it is asked. gone: the letters that left."""

    store: Store
    now: float = FRIDAY
    nothing: set[int] = field(default_factory=set)
    chosen: list[tuple[int, bytes]] = field(default_factory=list)
    gone: list[tuple[int, str]] = field(default_factory=list)
    falls: str = ""
    shut: bool = False
    back: list[int] = field(default_factory=list)

    async def take_back(self, list_id: int) -> None:
        self.back.append(list_id)
        await self.store.recommendations.take_back(list_id)

    async def pick(
        self, member_id: int, key: bytes, count: int, now: float
    ) -> tuple[int, Sequence[str]]:
        self.chosen.append((member_id, key))
        if self.falls == "pick":
            raise RuntimeError("killed")
        return (0, ()) if member_id in self.nothing else (member_id * 10, ["甲", "乙"][:count])

    async def say(self, member_id: int, list_id: int, items: Sequence[str]) -> str:
        return f"{list_id}:{'、'.join(items)}"

    async def send(self, key: bytes, member_id: int, words: str) -> bool:
        if self.shut:
            return False
        planned = await self.store.sends.plan(key, member_id, words, self.now, ("mp",))
        if planned:
            self.gone.append((member_id, words))
        if self.falls == "send":
            raise RuntimeError("killed")
        return planned

    async def tick(self, rules: Rules = RULES) -> str:
        ways: Ways[str] = Ways(self.pick, self.say, self.send, self.take_back, ("mp",))
        return await picks.tick(self.store, rules, ways, lambda: self.now)

    async def settled(self) -> None:
        """What was on its way has arrived."""
        for one in await self.store.sends.claim(self.now, 100):
            await self.store.sends.settle(one.id, "sent", self.now)

    async def allowed(self, number: int, calls: int = 5) -> None:
        """WeChat lets us write to them so often in the next two days."""
        await self.store.db.write(
            lambda conn: conn.execute(
                "update identities set allowance = ?, allowance_until = ? where member_id = ?",
                (calls, self.now + 2 * DAY_S, number),
            )
        )


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    """Five members; the first three subscribed, and may be written to."""
    store = await opened(tmp_path / "z.db")
    post = Post(store)
    for number in (await members(store, 5, at=FRIDAY - DAY_S))[:3]:
        await store.content.subscribe(number, TOPIC, FRIDAY - DAY_S)
        await post.allowed(number)
    yield post
    await store.close()


async def test_who_subscribed_gets_one_letter_a_week(post: Post) -> None:
    assert await post.tick() == "3 letters sent"
    assert post.gone == [(1, "10:甲、乙"), (2, "20:甲、乙"), (3, "30:甲、乙")]
    assert await post.store.rec_digests.counts(WEEK) == {"sent": 3}
    await post.settled()
    assert await post.tick() == ""
    post.now += 7 * DAY_S
    for number in (1, 2, 3):
        await post.allowed(number)
    assert await post.tick() == "3 letters sent"
    assert len({key for _, key in post.chosen}) == 6, "a new week, a new list"


async def test_nothing_is_sent_before_its_time_or_long_after_or_on_no_day(post: Post) -> None:
    for at in (FRIDAY - 60, FRIDAY + LATE_S + 60, FRIDAY + 3 * DAY_S):
        post.now = at
        assert await post.tick() == ""
    post.now = FRIDAY
    assert await post.tick(replace(RULES, on="never")) == ""
    assert await post.store.rec_digests.counts(WEEK) == {}


def test_a_letter_due_at_night_goes_out_in_the_morning() -> None:
    rules = replace(RULES, clock=time(22, 30))
    night = FRIDAY + 3 * 3600
    assert due(rules, night + 60) == ""
    morning = datetime.fromisoformat("2026-11-21T08:00+08:00").timestamp()
    assert due(rules, morning - 1) == ""
    assert due(rules, morning) == due(rules, morning + LATE_S - 15 * 3600) == WEEK
    assert due(rules, morning + 15 * 3600) == "", "the next night"


async def test_who_cannot_be_written_to_is_noted_and_no_list_counts_as_shown(post: Post) -> None:
    await post.allowed(2, calls=1)
    await post.store.members.follow("mp", "o_3", False, FRIDAY)
    assert await post.tick() == "1 letters sent, 2 letters unreachable"
    assert [member for member, _ in post.chosen] == [1]
    await post.allowed(2)
    assert await post.tick() == "", "news of last week is not sent later"


async def test_for_whom_nothing_is_left_gets_no_letter(post: Post) -> None:
    post.nothing = {2}
    assert await post.tick() == "1 letters empty, 2 letters sent"
    assert await post.store.rec_digests.counts(WEEK) == {"empty": 1, "sent": 2}


async def test_a_list_whose_letter_did_not_leave_counts_nowhere(post: Post) -> None:
    post.shut = True
    assert await post.tick() == "3 letters unreachable"
    assert post.back == [10, 20, 30]


class Logged(Post):
    """Its lists are written, as the bot's are."""

    async def pick(
        self, member_id: int, key: bytes, count: int, now: float
    ) -> tuple[int, Sequence[str]]:
        new = NewList(key, member_id, now, "digest", "ours", shown=(Shown("甲", "ours"),))
        kept = await self.store.recommendations.put(new)
        assert kept is not None
        if self.falls == "pick":
            raise RuntimeError("killed")
        return kept.id, ["甲"]

    async def lists(self) -> list[int]:
        found = []
        for number in (1, 2, 3):
            found += [len(await self.store.recommendations.lists_of(number))]
        return found


async def test_a_list_whose_letter_was_refused_on_its_way_counts_nowhere(post: Post) -> None:
    logged = Logged(post.store)
    await logged.tick()
    assert await logged.lists() == [1, 1, 1]
    for number, one in enumerate(await logged.store.sends.claim(FRIDAY, 100)):
        await logged.store.sends.settle(one.id, "sent" if number else "refused", FRIDAY)
    logged.now += 60
    await logged.tick()
    await logged.tick()
    assert sorted(await logged.lists()) == [0, 1, 1]
    assert len(logged.back) == 1


async def test_a_list_of_before_a_crash_goes_when_its_reader_is_gone(post: Post) -> None:
    logged = Logged(post.store, falls="pick")
    with pytest.raises(RuntimeError, match="killed"):
        await logged.tick()
    assert await logged.lists() == [1, 0, 0]
    logged.falls = ""
    await logged.store.members.follow("mp", "o_1", False, FRIDAY)
    assert await logged.tick() == "2 letters sent, 1 letters unreachable"
    assert await logged.lists() == [0, 1, 1]


async def test_who_had_enough_messages_waits_until_they_may_have_another(post: Post) -> None:
    await delivered(post.store, 1, FRIDAY - 3600)
    assert await post.tick() == "2 letters sent"
    post.now = FRIDAY + 5 * 3600
    assert await post.tick() == "", "after midnight, and quiet"
    post.now = FRIDAY + 13 * 3600
    assert await post.tick() == "1 letters sent"


async def test_a_letter_counts_for_the_caps_of_campaigns(post: Post) -> None:
    caps = Caps(day=1)
    assert await post.store.rec_letters.capped([1, 4], FRIDAY, caps) == set()
    await post.tick()
    assert await post.store.rec_letters.capped([1, 4], FRIDAY + 60, caps) == {1}
    assert await post.store.rec_letters.capped([1], FRIDAY + DAY_S, caps) == set()
    assert await post.store.rec_letters.capped([1], FRIDAY + DAY_S, Caps(week=1)) == {1}
    assert await post.store.rec_letters.capped([1], FRIDAY + 60, Caps()) == set()


@pytest.mark.parametrize("falls", ["pick", "send"])
async def test_after_a_crash_each_still_gets_exactly_one(post: Post, falls: str) -> None:
    post.falls = falls
    with pytest.raises(RuntimeError, match="killed"):
        await post.tick()
    assert await post.store.rec_digests.open(WEEK) == [1]
    post.falls = ""
    await post.settled()
    assert await post.tick() == "3 letters sent"
    assert sorted(post.gone) == [(1, "10:甲、乙"), (2, "20:甲、乙"), (3, "30:甲、乙")]
    assert post.chosen[:2] == [(1, key_of(WEEK, 1))] * 2, "the same list under the same key"


async def test_when_the_quiet_hours_begin_the_rest_waits(post: Post) -> None:
    class Slow(Post):
        async def send(self, key: bytes, member_id: int, words: str) -> bool:
            done = await super().send(key, member_id, words)
            self.now += 3 * 3600
            return done

    slow = Slow(post.store)
    assert await slow.tick() == "1 letters sent"
    slow.now = FRIDAY + 13 * 3600
    assert await slow.tick() == "2 letters sent"


def test_a_week_is_shanghais() -> None:
    assert week_of(datetime.fromisoformat("2026-11-22T23:59+08:00").timestamp()) == "2026-W47"
    assert week_of(datetime.fromisoformat("2026-11-23T00:00+08:00").timestamp()) == "2026-W48"
    assert week_of(datetime.fromisoformat("2027-01-01T12:00+08:00").timestamp()) == "2026-W53"


async def delivered(store: Store, member_id: int, at: float) -> None:
    """A campaign's message reached them."""

    def run(conn: Any) -> None:
        conn.execute(
            "insert into campaigns (title, channel, audience, routes, status, window_s, seed, "
            "created_at, created_by) values ('一', 'mp', '{}', '[]', 'done', 1, x'00', ?, 'cli')",
            (at,),
        )
        conn.execute(
            "insert into deliveries (campaign_id, member_id, occasion, variant, route, status, "
            "claimed_at) values (1, ?, '', 'a', 'custom', 'delivered', ?)",
            (member_id, at),
        )

    await store.db.write(run)
