"""A quiz in a group: asked of all at once, settled when the time is over, whatever is killed."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from handlers.group_quiz import QuizWords, lasts
from handlers.quiz_text import read
from handlers.texts import Texts
from scheduler.group_quizzes import BEFORE_S, GRACE_S, LATE_S, PAUSE_S, tick
from scheduler.quizzes import tick as tick_quizzes
from store import Store
from store.groups import Seen
from store.offers import NewOffer
from store.posts import SENT
from store.quiz_play import Pay
from store.quiz_rounds import Heard
from store.quizzes import Quiz
from tests.blank import blank

NOW = 1_795_000_000.0
GATE = "qun"
PLACE = "qun:1"
WRITTEN = """小测验
速度加分 50%
奖品 1: 100积分
1. 一加一？（10分 30秒）
A. 一
*B. 二
2. 哪些是偶数？（10分 20秒）
*A. 二
B. 三
*C. 四"""


@dataclass
class Evening:
    """A group that is asked, and the worker that posts. posts: what the group has read."""

    store: Store
    now: float = NOW
    posting: tuple[str, ...] = (GATE,)
    posts: list[str] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    texts: Texts = field(default_factory=Texts.load)

    async def quiz(self, text: str = WRITTEN) -> Quiz:
        made, _ = await self.store.quizzes.create(read(text), self.now, "member:99")
        ends_at = self.now + lasts(made)
        started = await self.store.quizzes.start(made.id, self.now, ends_at, PLACE)
        assert started is not None
        return started

    async def later(self, seconds: float = 0.0) -> str:
        """What the clock did after so much time; the bot may be restarted any time."""
        self.now += seconds
        words = QuizWords(self.texts, self.store.groups, {GATE})
        return await tick(self.store, words, self.posting, self.now)

    async def post(self) -> list[str]:
        """All that is due leaves; what the group reads."""
        said = []
        while found := await self.store.posts.claim(self.now, {GATE: 100}):
            for one in found:
                said.append(json.loads(one.body)["content"])
                await self.store.posts.settle(one.id, SENT, self.now)
        self.posts += said
        return said

    async def says(self, who: str, letters: str, *, at: float | None = None) -> Heard:
        member = (await self.store.members.meet(GATE, who, self.now)).id
        await self.store.groups.see(Seen(PLACE, member, who, self.now))
        (quiz,) = await self.store.quizzes.on(self.now, PLACE)
        key = next(self.numbers).to_bytes(16, "big")
        written = int(self.now if at is None else at)
        return await self.store.quiz_rounds.answer(quiz, member, letters, key, written, self.now)

    async def asked(self) -> None:
        """The first question has been read."""
        await self.later()
        await self.post()
        await self.later(BEFORE_S)
        await self.post()


@pytest.fixture
async def evening(tmp_path: Path) -> AsyncIterator[Evening]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    await store.groups.meet(GATE, "1", NOW, name="读书群", bound_by="test")
    yield Evening(store)
    await store.close()


async def test_a_whole_evening_is_two_posts_for_each_question(evening: Evening) -> None:
    quiz = await evening.quiz()
    assert await evening.later() == f"quiz {quiz.id}: announced"
    assert "小测验" in (await evening.post())[0]
    assert await evening.later(BEFORE_S) == ""
    (question,) = await evening.post()
    assert question.splitlines()[:2] == ["第 1/2 题（10 分，限 30 秒）", "一加一？"]
    evening.now += 4
    assert await evening.says("小林", "B") is Heard.COUNTED
    evening.now += 4
    assert await evening.says("阿木", "B") is Heard.COUNTED
    assert await evening.says("小满", "A") is Heard.COUNTED
    assert await evening.later(22) == "", "the time is not over"
    assert await evening.later(GRACE_S) == f"quiz {quiz.id}: question 1 settled"
    (result,) = await evening.post()
    assert "第 1 题答案：B. 二" in result
    assert "3 人作答，2 人答对，最快：小林、阿木" in result
    await evening.later(PAUSE_S)
    await evening.post()
    await evening.says("小满", "AC")
    assert "question 2 settled, closed" in await evening.later(20 + GRACE_S)
    told = await evening.post()
    assert "答案：A、C" in told[0]
    assert [line.split()[0:2] for line in told[1].splitlines()[1:4]] == [
        ["1.", "小满"],
        ["2.", "小林"],
        ["3.", "阿木"],
    ]
    assert len(evening.posts) == 6
    assert await evening.later(3600) == ""
    pay = Pay()
    done = await tick_quizzes(evening.store, lambda *_: "{}", (), evening.now, pay)
    assert "3 places settled" in done
    winner = (await evening.store.members.meet(GATE, "小满", evening.now)).id
    assert (await evening.store.points.balance(winner)).balance == 100


async def test_only_the_first_letter_counts(evening: Evening) -> None:
    await evening.quiz()
    await evening.asked()
    assert await evening.says("小林", "A") is Heard.COUNTED
    assert await evening.says("小林", "B") is Heard.AGAIN
    await evening.later(30 + GRACE_S)
    assert "没有人答对" in (await evening.post())[0]


async def test_a_letter_before_the_question_or_after_its_time_is_none(evening: Evening) -> None:
    await evening.quiz()
    await evening.later()
    assert await evening.says("小林", "B") is Heard.CLOSED, "nothing is asked yet"
    await evening.post()
    await evening.later(BEFORE_S)
    await evening.post()
    assert await evening.says("小林", "B", at=evening.now - 5) is Heard.CLOSED
    evening.now += 31
    assert await evening.says("小林", "B") is Heard.CLOSED
    assert await evening.says("阿木", "B", at=evening.now - 8) is Heard.COUNTED, "it waited"
    await evening.later(GRACE_S)
    assert await evening.says("小满", "B") is Heard.CLOSED


async def test_the_first_answer_may_come_before_the_channel_says_that_it_posted(
    evening: Evening,
) -> None:
    quiz = await evening.quiz()
    await evening.later()
    await evening.post()
    await evening.later(BEFORE_S)
    (claimed,) = await evening.store.posts.claim(evening.now, {GATE: 100})
    evening.now += 2
    assert await evening.says("小林", "B") is Heard.COUNTED
    await evening.store.posts.settle(claimed.id, SENT, evening.now + 9)
    found = await evening.store.quiz_rounds.current(quiz.id)
    assert found is not None
    assert found.asked_at == evening.now


async def test_a_slow_channel_costs_nobody_their_time(evening: Evening) -> None:
    await evening.quiz()
    await evening.later()
    await evening.post()
    await evening.later(BEFORE_S + 100)
    assert await evening.later(30) == ""
    await evening.post()
    evening.now += 1
    assert await evening.says("小林", "B") is Heard.COUNTED


async def test_a_question_that_nobody_can_read_ends_the_quiz(evening: Evening) -> None:
    quiz = await evening.quiz()
    await evening.later()
    await evening.post()
    evening.now += BEFORE_S + LATE_S + 1
    await evening.store.posts.claim(evening.now, {GATE: 100})
    assert await evening.later() == f"quiz {quiz.id}: closed"
    assert "没有人作答" in (await evening.post())[0]


async def test_a_tick_after_a_kill_says_nothing_twice(evening: Evening) -> None:
    await evening.quiz()
    await evening.asked()
    await evening.later(30 + GRACE_S)
    for _ in range(3):
        assert await evening.later() == ""
    count = await evening.store.posts.counts()
    assert (count["sent"], count["planned"]) == (2, 2)


async def test_killed_between_the_end_and_its_word_the_word_is_said(evening: Evening) -> None:
    quiz = await evening.quiz()
    await evening.asked()
    await evening.says("小林", "B")
    await evening.store.quizzes.close(quiz.id, evening.now)
    assert await evening.later() == f"quiz {quiz.id}: closed"
    (told,) = await evening.post()
    assert "1. 小林" in told
    assert await evening.later() == ""


async def test_a_quiz_that_is_called_off_says_so_once(evening: Evening) -> None:
    quiz = await evening.quiz()
    await evening.asked()
    await evening.store.quizzes.cancel(quiz.id, evening.now)
    assert await evening.later() == f"quiz {quiz.id}: cancelled"
    assert "取消" in (await evening.post())[0]
    assert await evening.later() == ""


async def test_a_muted_group_is_asked_nothing_and_a_closed_way_ends_it(evening: Evening) -> None:
    quiz = await evening.quiz()
    await evening.asked()
    until = evening.now + 100
    await evening.store.groups.rule(PLACE, lambda rules: replace(rules, muted_until=until))
    assert await evening.later(60) == ""
    assert "settled" in await evening.later(41)
    evening.posting = ()
    assert await evening.later() == f"quiz {quiz.id}: closed"


async def test_a_scheduled_quiz_waits_for_the_end_of_the_night(evening: Evening) -> None:
    await evening.quiz()
    until = evening.now + 100
    await evening.store.groups.rule(PLACE, lambda rules: replace(rules, muted_until=until))
    assert await evening.later(50) == ""
    assert "announced" in await evening.later(51)


async def test_who_hides_and_who_is_forgotten_is_no_name(evening: Evening) -> None:
    await evening.quiz()
    await evening.asked()
    for who in ("小林", "阿木"):
        await evening.says(who, "B")
    hidden = (await evening.store.members.meet(GATE, "小林", evening.now)).id
    gone = (await evening.store.members.meet(GATE, "阿木", evening.now)).id
    await evening.store.points.list_in_rankings(hidden, False)
    await evening.store.members.erase(gone, evening.now)
    await evening.later(30 + GRACE_S)
    (result,) = await evening.post()
    assert "1 人作答，1 人答对，最快：匿名" in result
    assert "小林" not in result


async def test_the_private_clock_leaves_quizzes_of_groups_alone(evening: Evening) -> None:
    quiz = await evening.quiz()
    late = NOW + lasts(quiz) + 1
    assert (await evening.store.quizzes.due(late)).ending == ()
    assert await evening.store.quizzes.on(NOW) == ()
    evening.now = late
    assert "closed" in await evening.later()


async def test_nothing_to_play_is_one_read(evening: Evening) -> None:
    assert await evening.later() == ""

    def rounds(conn: Any) -> int:
        return int(conn.execute("select count(*) from quiz_rounds").fetchone()[0])

    assert await evening.store.db.read(rounds) == 0


async def test_a_coupon_is_announced_by_its_title_and_never_by_its_word(evening: Evening) -> None:
    offer = NewOffer(word="内部口令X9", title="早鸟券", kind="amount", value=500)
    await evening.store.offers.create(offer, evening.now, "cli")
    await evening.quiz(WRITTEN.replace("100积分", "10积分 + 券 内部口令X9"))
    await evening.later()
    (said,) = await evening.post()
    assert "券「早鸟券」" in said
    assert "口令" not in said
