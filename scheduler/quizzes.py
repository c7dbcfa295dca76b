"""Quizzes by the clock: open what is due, close what has ended, pay the places, tell results.

Every few seconds a single read looks what is due. Paying and telling go place by place, each
by rows with keys of their own, so that a tick that was killed is simply done again: the quiz
counts as paid only when the last place has been through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from store import Store
from store.coupons import gift_key
from store.quiz_play import Pay, Place
from store.quizzes import CLOSED, Quiz

BATCH = 100
"""Places that are paid in one transaction, so that no chat message waits long behind it."""

Say = Callable[[Quiz, Place, int], str]
"""(the quiz, a member's place, how many took part) -> JSON of the Reply."""


async def tick(store: Store, say: Say, channels: Collection[str], now: float, pay: Pay) -> str:
    """All that is due; "" when nothing was. Run again, it does nothing twice.

    channels: those that may push. Wake the worker of late answers afterwards.
    """
    due = await store.quizzes.due(now)
    did = []
    if due.opening:
        did.append(f"{await store.quizzes.open_due(now)} quizzes opened")
    ended = [
        quiz_id for quiz_id in due.ending if await store.quizzes.close(quiz_id, now) is not None
    ]
    if ended:
        did.append(f"{len(ended)} closed")
    for quiz_id in (*due.unpaid, *ended):
        places, told = await settle(store, quiz_id, say, channels, now, pay)
        did.append(f"quiz {quiz_id}: {places} places settled, {told} members told")
    return ", ".join(did)


async def settle(
    store: Store, quiz_id: int, say: Say, channels: Collection[str], now: float, pay: Pay
) -> tuple[int, int]:
    """Pay and tell every place of a closed quiz; says how many places, and how many were told.

    Whoever has been paid or told before is not again.
    """
    quiz = await store.quizzes.get(quiz_id)
    if quiz is None or quiz.status != CLOSED:
        return 0, 0
    count = (await store.quiz_play.standings(quiz_id, 0)).count
    after = places = told = 0
    while page := await store.quiz_play.pay_places(quiz, after, BATCH, now, pay):
        planned = await asyncio.gather(
            *(
                store.sends.plan(
                    gift_key(f"quiz.told:{quiz_id}:{place.member_id}"),
                    place.member_id,
                    say(quiz, place, count),
                    now,
                    channels,
                )
                for place in page
            )
        )
        after = page[-1].rank
        places += len(page)
        told += sum(planned)
    await store.quiz_play.paid(quiz_id, now)
    return places, told
