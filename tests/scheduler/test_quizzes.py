"""Quizzes by the clock: opened, closed, paid once and told once, however often it is killed."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from handlers.quiz_text import read
from handlers.rewards import Badge
from scheduler.quizzes import settle, tick
from store import Store
from store.messages import Finished, Incoming
from store.offers import NewOffer
from store.quiz_play import Pay, Place
from store.quizzes import Quiz
from tests.blank import blank

NOW = 1_763_600_000.0
WRITTEN = """题
速度加分 0%
奖品 1: 100积分 + 券 早鸟
奖品 2-3: 50积分 + 券 早鸟
参与: 5积分
1. 一加一？（300秒）
*A. 二
B. 三"""


def say(quiz: Quiz, place: Place, count: int) -> str:
    return f"{quiz.title} {place.rank}/{count} {place.points} {place.coupon}"


@dataclass
class Contest:
    """A store with an offer of two coupons, and members who answer."""

    store: Store
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    pay: Pay = field(default_factory=Pay)

    def key(self) -> bytes:
        return next(self.numbers).to_bytes(16, "big")

    async def member(self, who: str, at: float = NOW) -> int:
        """Somebody whom we may write to for two days."""
        key = self.key()
        member = await self.store.members.meet("mp", who, at)
        await self.store.messages.record(Incoming(key, "mp", who, at, b"{}"))
        await self.store.messages.finish(
            Finished(key, b"", at, "mp", who, "text", "在", "faq", "", allowance=5)
        )
        return member.id

    async def quiz(self, text: str = WRITTEN) -> Quiz:
        quiz, _ = await self.store.quizzes.create(read(text), NOW, "member:1")
        return quiz

    async def plays(self, quiz: Quiz, who: str, given: str, at: float) -> int:
        member = await self.member(who, at)
        await self.store.quiz_play.begin(quiz, member, self.key(), at)
        await self.store.quiz_play.answer(quiz, member, 1, given, self.key(), at + 1, at + 1)
        return member

    async def tick(self, now: float) -> str:
        return await tick(self.store, say, ("mp",), now, self.pay)

    async def told(self) -> list[str]:
        rows = "select reply from sends order by id"
        return [
            reply
            for (reply,) in await self.store.db.read(lambda conn: conn.execute(rows).fetchall())
        ]

    async def balances(self, *members: int) -> list[int]:
        return [(await self.store.points.balance(member)).balance for member in members]


@pytest.fixture
async def contest(tmp_path: Path) -> AsyncIterator[Contest]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=2)
    await store.offers.create(offer, NOW, "member:1")
    yield Contest(store)
    await store.close()


async def test_nothing_due_says_nothing(contest: Contest) -> None:
    await contest.quiz()
    assert await contest.tick(NOW) == ""


async def test_a_quiz_opens_closes_pays_and_tells_by_itself(contest: Contest) -> None:
    quiz = await contest.quiz()
    await contest.store.quizzes.schedule(quiz.id, NOW + 60, NOW + 360)
    assert await contest.tick(NOW + 59) == ""
    assert await contest.tick(NOW + 60) == "1 quizzes opened"
    (running,) = await contest.store.quizzes.on(NOW + 60)
    members = [
        await contest.plays(running, who, given, NOW + at)
        for who, given, at in (("a", "A", 100), ("b", "A", 90), ("c", "B", 80), ("d", "A", 110))
    ]
    lurker = await contest.member("e")
    await contest.store.quiz_play.begin(running, lurker, contest.key(), NOW + 350)
    did = await contest.tick(NOW + 360)
    assert did == "1 closed, quiz 1: 5 places settled, 5 members told"
    # b and a were as fast: who began first is ahead. Two coupons for three winners.
    assert await contest.balances(*members, lurker) == [55, 105, 5, 55, 0]
    assert sorted(await contest.told()) == [
        "题 1/5 105 早鸟券",
        "题 2/5 55 早鸟券",
        "题 3/5 55 ",
        "题 4/5 5 ",
        "题 5/5 0 ",
    ]
    report = await contest.store.quizzes.report(quiz.id)
    assert report is not None
    assert (report.points_paid, report.coupons_paid, report.unpaid) == (220, 2, (members[3],))
    assert await contest.tick(NOW + 363) == ""


async def test_a_tick_killed_anywhere_is_done_again_without_paying_twice(
    contest: Contest,
) -> None:
    quiz = await contest.quiz()
    running = await contest.store.quizzes.start(quiz.id, NOW, NOW + 300)
    assert running is not None
    members = [
        await contest.plays(running, f"o{n}", "A" if n < 3 else "B", NOW + n) for n in range(5)
    ]
    closed = await contest.store.quizzes.close(quiz.id, NOW + 300)
    assert closed is not None
    # Killed behind the second place, before anybody was told.
    await contest.store.quiz_play.pay_places(closed, 0, 2, NOW + 300, contest.pay)
    assert await contest.balances(*members) == [105, 55, 0, 0, 0]
    # Killed again when all was paid and told, but before that was written down.
    await settle(contest.store, quiz.id, say, ("mp",), NOW + 301, contest.pay)
    for send in await contest.store.sends.claim(NOW + 301):
        await contest.store.sends.settle(send.id, "sent", NOW + 301)
    await contest.store.db.write(lambda conn: conn.execute("update quizzes set paid_at = null"))
    assert await contest.tick(NOW + 303) == "quiz 1: 5 places settled, 0 members told"
    assert await contest.balances(*members) == [105, 55, 55, 5, 5]
    assert len(await contest.told()) == 5
    assert await contest.store.points.audit_sums() == []
    assert await contest.store.quizzes.close(quiz.id, NOW + 310) is None


async def test_nobody_wins_with_nothing_right(contest: Contest) -> None:
    quiz = await contest.quiz()
    running = await contest.store.quizzes.start(quiz.id, NOW, NOW + 300)
    assert running is not None
    member = await contest.plays(running, "a", "B", NOW)
    await contest.tick(NOW + 300)
    assert await contest.balances(member) == [5]


async def test_whom_we_may_not_write_to_is_paid_all_the_same(contest: Contest) -> None:
    quiz = await contest.quiz()
    running = await contest.store.quizzes.start(quiz.id, NOW, NOW + 300)
    assert running is not None
    member = (await contest.store.members.meet("mp", "o_far", NOW)).id
    await contest.store.quiz_play.begin(running, member, contest.key(), NOW)
    await contest.store.quiz_play.answer(running, member, 1, "A", contest.key(), NOW, NOW)
    assert (await contest.tick(NOW + 300)).endswith("1 places settled, 0 members told")
    assert await contest.balances(member) == [105]


async def test_winners_get_their_badge_and_points_their_end(contest: Contest) -> None:
    contest.pay = Pay(ends_at=lambda now: now + 86_400.0, badges=(Badge("答题高手", "wins", 1),))
    quiz = await contest.quiz()
    running = await contest.store.quizzes.start(quiz.id, NOW, NOW + 300)
    assert running is not None
    first = await contest.plays(running, "a", "A", NOW)
    second = await contest.plays(running, "b", "B", NOW)
    await contest.tick(NOW + 300)
    assert [name for name, _ in await contest.store.points.badges(first)] == ["答题高手"]
    assert await contest.store.points.badges(second) == []
    account = await contest.store.points.balance(first)
    assert account.ends_next == (105, NOW + 300 + 86_400.0)


async def test_a_cancelled_quiz_pays_nobody(contest: Contest) -> None:
    quiz = await contest.quiz()
    running = await contest.store.quizzes.start(quiz.id, NOW, NOW + 300)
    assert running is not None
    member = await contest.plays(running, "a", "A", NOW)
    await contest.store.quizzes.cancel(quiz.id, NOW + 10)
    assert await contest.tick(NOW + 300) == ""
    assert await settle(contest.store, quiz.id, say, ("mp",), NOW, contest.pay) == (0, 0)
    assert await contest.balances(member) == [0]
    assert await contest.told() == []
