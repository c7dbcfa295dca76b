"""Quizzes in groups by the clock: announced, asked, settled, asked again, ended.

Each step is one transaction that plans its posts under keys of their own, so that a tick that was
killed is simply done again. Between two steps the bot is silent: whoever answers hears how it
went with everybody else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from store import Store
from store.groups import Group
from store.posts import NewPost, Post
from store.quiz_rounds import Fate, Result, Scorer
from store.quizzes import CANCELLED, CLOSED, RUNNING, Quiz

BEFORE_S = 20.0
"""Between the announcement and the first question."""

PAUSE_S = 8.0
"""Between how a question went and the next one."""

GRACE_S = 3.0
"""An answer that was written in time is still on its way for so long."""

LATE_S = 180.0
"""A question that could not be posted for so long ends the quiz."""

STALE_S = 3600.0
"""What else could not be posted for so long is not posted."""

KIND = "quiz"


class Words(Protocol):
    """What is posted: `handlers/group_quiz.py`."""

    def announcement(self, quiz: Quiz, titles: Mapping[str, str]) -> str:
        """What comes, what can be won, and how to answer."""

    def question(self, quiz: Quiz, position: int) -> str:
        """Question `position`, from 1."""

    def result(self, quiz: Quiz, position: int, result: Result) -> str:
        """The right answer, who had it, who is ahead."""

    def end(self, quiz: Quiz, best: Sequence[Scorer]) -> str:
        """The places. [] when nobody took part."""

    def cancelled(self, quiz: Quiz) -> str:
        """It was called off."""


def _post(quiz: Quiz, channel: str, what: str, words: str, due_at: float, late_s: float) -> NewPost:
    key = f"quiz:{quiz.id}:{quiz.starts_at}:{what}"
    return NewPost(
        key=hashlib.blake2b(key.encode(), digest_size=16).digest(),
        channel=channel,
        place=quiz.place,
        kind=KIND,
        body=Post("text", words),
        due_at=due_at,
        not_after=due_at + late_s,
    )


async def tick(store: Store, words: Words, posting: Collection[str], now: float) -> str:
    """All that is due; "" when nothing was. Wake the worker of posts afterwards.

    posting: channels that may post. Every two seconds or so: a question ends no sooner than this
    comes round.
    """
    # Those who hear in groups ask memory only whether one is on.
    await store.quizzes.current(now)
    did = []
    for quiz in await store.quiz_rounds.playing():
        group = store.groups.known(quiz.place)
        channel = "" if group is None else group.route or group.channel
        able = group is not None and group.bound and channel in posting
        done = await _Game(store, words, quiz, channel, now).step(group if able else None)
        if done:
            did.append(f"quiz {quiz.id}: {done}")
    return ", ".join(did)


class _Game:
    """One quiz in one group at one moment."""

    def __init__(self, store: Store, words: Words, quiz: Quiz, channel: str, now: float) -> None:
        self._rounds = store.quiz_rounds
        self._store = store
        self._words = words
        self._quiz = quiz
        self._channel = channel
        self._now = now

    async def step(self, group: Group | None) -> str:
        """What was done, "" for nothing. group: None where nothing can be posted any more."""
        quiz, now = self._quiz, self._now
        if quiz.status != RUNNING:
            return await self._last_word()
        if quiz.ends_at is None or now >= quiz.ends_at:
            return await self._close()
        if not await self._rounds.begun(quiz.id):
            if group is None or group.rules.silent_until(now) > now:
                return ""
            return await self._begin()
        if group is None:
            return await self._close()
        if now < group.rules.muted_until:
            return ""
        open_ = await self._rounds.current(quiz.id)
        if open_ is None or open_.fate is Fate.LOST:
            return await self._close()
        if open_.asked_at is None:
            return ""
        seconds = quiz.questions[open_.position - 1].seconds
        if now < open_.asked_at + seconds + GRACE_S:
            return ""
        return await self._settle(open_.position)

    def _asked(self, position: int, due_at: float) -> NewPost:
        words = self._words.question(self._quiz, position)
        return _post(self._quiz, self._channel, f"question:{position}", words, due_at, LATE_S)

    def _said(self, what: str, words: str) -> NewPost:
        return _post(self._quiz, self._channel, what, words, self._now, STALE_S)

    async def _begin(self) -> str:
        quiz = self._quiz
        titles = {}
        for word in {prize.coupon for prize in quiz.prizes if prize.coupon}:
            offer = await self._store.offers.by_word(word)
            titles[word] = "" if offer is None else offer.title
        announcement = self._said("announced", self._words.announcement(quiz, titles))
        question = self._asked(1, self._now + BEFORE_S)
        begun = await self._rounds.begin(quiz.id, announcement, question, self._now)
        return "announced" if begun else ""

    async def _settle(self, position: int) -> str:
        quiz = self._quiz
        last = position == len(quiz.questions)
        following = None if last else self._asked(position + 1, self._now + PAUSE_S)

        def told(result: Result) -> NewPost:
            return self._said(f"result:{position}", self._words.result(quiz, position, result))

        if not await self._rounds.settle(quiz, position, self._now, told, following):
            return ""
        done = f"question {position} settled"
        return f"{done}, {await self._close()}" if last else done

    async def _close(self) -> str:
        closed = await self._store.quizzes.close(self._quiz.id, self._now)
        if closed is not None:
            self._quiz = closed
        said = await self._last_word()
        return said or ("closed" if closed is not None else "")

    async def _last_word(self) -> str:
        quiz = self._quiz
        make: Callable[[Sequence[Scorer]], NewPost]
        if quiz.status == CLOSED:

            def make(best: Sequence[Scorer]) -> NewPost:
                return self._said("end", self._words.end(quiz, best))

        elif quiz.status == CANCELLED:

            def make(best: Sequence[Scorer]) -> NewPost:
                return self._said("cancelled", self._words.cancelled(quiz))

        else:
            return ""
        return quiz.status if await self._rounds.finish(quiz, self._now, make) else ""
