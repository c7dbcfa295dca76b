"""Reminders: only for who asked, of what was left alone, while WeChat lets us write."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from scheduler.reminders import key_of, left_alone, remind
from store import Store
from store.catalogue import Chapter, Item
from store.courses import ALL_COURSES, Learning
from store.events import NewEvent
from store.messages import Finished, Incoming
from tests.blank import blank

NOW = 1_763_600_000.0
DAY = 86_400.0
COURSE = Item(
    "py", "course", "零基础学 Python", chapters=(Chapter("a", "开篇"), Chapter("b", "变量"))
)
PLAIN = Item("write", "column", "写作入门")
KNOWN = {"py": COURSE, "write": PLAIN}


def say(title: str, chapter: str) -> str:
    return f"{title}|{chapter}"


@dataclass
class School:
    """A store with two courses, and members who write, learn and want reminders."""

    store: Store
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def writes(self, who: str, at: float, *, allowance: int = 5) -> int:
        """A message by this member, which lets us push for two days; says their number."""
        key = next(self.numbers).to_bytes(16, "big")
        member = await self.store.members.meet("mp", who, at)
        await self.store.messages.record(Incoming(key, "mp", who, at, b"{}"))
        await self.store.messages.finish(
            Finished(key, b"", at, "mp", who, "text", "在", "faq", "", allowance=allowance)
        )
        return member.id

    async def happens(
        self,
        kind: str,
        member: int,
        at: float,
        item: str = "py",
        chapter: str = "",
        percent: int = 0,
    ) -> None:
        name = f"e{next(self.numbers)}"
        event = NewEvent(
            name, kind, at, member_id=member, item_id=item, chapter_id=chapter, percent=percent
        )
        await self.store.events.add([event], at)

    async def wants(self, member: int, item: str = ALL_COURSES) -> None:
        await self.store.courses.remind(member, item, NOW)

    async def remind(self, now: float = NOW, channels: tuple[str, ...] = ("mp",)) -> list[str]:
        """What the day's job plans and the worker then sends, as the words of each push."""
        await remind(self.store, say, channels, now)
        claimed = await self.store.sends.claim(now)
        for send in claimed:
            await self.store.sends.settle(send.id, "sent", now)
        return [send.reply for send in claimed]


@pytest.fixture
async def school(tmp_path: Path) -> AsyncIterator[School]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    await store.catalogue.put(KNOWN.values(), NOW)
    yield School(store)
    await store.close()


async def learner(school: School, who: str = "o_lin", *, asks: bool = True) -> int:
    """Somebody who wrote an hour ago, finished a chapter five days ago, and wants reminders."""
    member = await school.writes(who, NOW - 3600)
    await school.happens("enroll", member, NOW - 6 * DAY)
    await school.happens("progress", member, NOW - 5 * DAY, chapter="a", percent=100)
    if asks:
        await school.wants(member)
    return member


async def test_a_course_left_alone_is_brought_to_mind_once_a_day(school: School) -> None:
    await learner(school)
    assert await school.remind() == ["零基础学 Python|变量"]
    assert await school.remind() == []
    assert await school.remind(NOW + 60) == [], "the job ran twice"


async def test_nobody_hears_of_it_every_day(school: School) -> None:
    await learner(school)
    heard = []
    for day in range(7):
        await school.writes("o_lin", NOW + day * DAY - 3600)
        heard.append(len(await school.remind(NOW + day * DAY)))
    assert heard == [1, 0, 0, 1, 0, 0, 1]


async def test_who_did_not_ask_hears_nothing(school: School) -> None:
    member = await learner(school, asks=False)
    assert await school.remind() == []
    await school.wants(member, "write")
    assert await school.remind() == [], "asked for another course"
    await school.wants(member, "py")
    assert await school.remind() == ["零基础学 Python|变量"]
    await school.store.courses.stop_reminding(member)
    await school.writes("o_lin", NOW + 4 * DAY)
    assert await school.remind(NOW + 4 * DAY) == []


async def test_without_an_open_window_nothing_goes_out(school: School) -> None:
    await learner(school)
    assert await school.remind(NOW + 2 * DAY) == [], "the last message is over 48 hours old"
    await school.writes("o_lin", NOW + 2 * DAY, allowance=1)
    assert await school.remind(NOW + 2 * DAY) == [], "the last push is kept for an answer"
    await school.writes("o_lin", NOW + 2 * DAY)
    assert await school.remind(NOW + 2 * DAY, channels=("other",)) == [], "it may not push"
    await school.store.members.follow("mp", "o_lin", False, NOW + 2 * DAY)
    assert await school.remind(NOW + 2 * DAY) == [], "left"


async def test_what_is_refunded_or_done_is_no_reason(school: School) -> None:
    refunded = await learner(school, "o_refund")
    await school.happens("refund", refunded, NOW - 4 * DAY)
    through = await learner(school, "o_done")
    await school.happens("complete", through, NOW - 4 * DAY)
    every = await learner(school, "o_every")
    await school.happens("progress", every, NOW - 4 * DAY, chapter="b", percent=100)
    assert await school.remind() == []


async def test_an_erased_member_is_not_reminded(school: School) -> None:
    member = await learner(school)
    await school.store.members.erase(member, 0.0)
    assert await school.remind() == []


async def test_many_members_are_taken_page_by_page(school: School) -> None:
    for number in range(5):
        await learner(school, f"o_{number}")
    wanting = school.store.courses.wanting_reminders
    first = await wanting(limit=2)
    assert [len(learning) for _, learning in first] == [1, 1]
    rest = await wanting(first[-1][0], 10)
    assert len(rest) == 3
    assert await wanting(rest[-1][0]) == []
    assert len(await school.remind()) == 5


def test_the_course_learnt_last_is_the_one_to_take_up() -> None:
    old = Learning("write", 0.0, last_at=NOW - 9 * DAY)
    late = Learning("py", 0.0, chapters={"a": 99}, last_at=NOW - 4 * DAY)
    assert left_alone([old, late], KNOWN, NOW) == (COURSE, "开篇")
    fresh = Learning("py", 0.0, last_at=NOW - DAY)
    assert left_alone([old, fresh], KNOWN, NOW) is None, "they are learning already"
    done = Learning("py", 0.0, completed_at=NOW - DAY, last_at=NOW - DAY)
    assert left_alone([done, old], KNOWN, NOW) == (PLAIN, "")
    assert left_alone([Learning("gone", 0.0)], KNOWN, NOW) is None
    assert left_alone([], KNOWN, NOW) is None


def test_a_key_is_16_bytes_of_member_and_day() -> None:
    keys = {key_of(1, date(2026, 1, 1)), key_of(1, date(2026, 1, 2)), key_of(2, date(2026, 1, 1))}
    assert {len(key) for key in keys} == {16}
    assert len(keys) == 3
