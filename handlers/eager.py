"""Answers that nobody asked the bot for: a question that stays open in a group for some time.

Off unless an operator sets `eager_s` for a group. The bot must be very sure, and it stays quiet as
soon as anybody else says what may be an answer: rather an open question than a bot that butts in.
The answer is planned as a post at once, so that it outlives a restart; what takes it back is
what is heard until then.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Set
from typing import Protocol

from handlers.addressing import GroupSpeech, wanted, without_names
from handlers.context import Links
from handlers.coupon_typed import code_in
from handlers.group_said import shortened
from handlers.message import Message
from handlers.router import asking, folded
from handlers.texts import Texts
from knowledge import Band, Knowledge
from store import Store
from store.groups import Group
from store.posts import NewPost, Post

SURE = 0.9
"""How sure the FAQ must be to speak unasked."""

LATE_S = 120.0
"""An answer later than this after it was due comes into another conversation."""

_SHORTEST, _LONGEST = 4, 60
_ASKS = re.compile(
    "怎么|怎样|如何|什么|为啥|多少|多久|几[点号天个]|哪[里儿个些位天]?|能不能|可不可以|有没有|是不是"
    "|请问|求问|谁知道|有人知道|[吗呢么]$"
)
_SETTLED = re.compile(
    "(?:好的?|哦+|嗯+|行)?[,，\\s]*(?:谢谢|多谢|感谢|知道|懂|明白|了解|解决|搞定|找到|好|会|收到)"
    "(?:了|啦|你|您|大家|各位|老师)*"
)


class Told(Protocol):
    """What the bot can tell: `bot/contents.py`."""

    @property
    def answers(self) -> Mapping[str, str]: ...
    @property
    def demoted(self) -> Set[str]: ...


class Eager:
    """Hears what is said in groups that want it, plans answers and takes them back.

    gates: what is kept for tiers of membership; texts, links: as handlers have them. posting:
    channels that can post. posted: call it when a post was planned.
    """

    def __init__(
        self,
        store: Store,
        knowledge: Knowledge,
        told: Told,
        texts: Texts,
        links: Links,
        speech: GroupSpeech,
        *,
        posting: Set[str],
        gates: Mapping[str, str] | None = None,
        posted: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._knowledge = knowledge
        self._told = told
        self._texts = texts
        self._links = links
        self._speech = speech
        self._posting = posting
        self._gates = gates or {}
        self._posted = posted
        self._open: dict[str, tuple[float, frozenset[str]]] | None = None

    async def hear(self, message: Message, group: Group | None, now: float) -> bool:
        """One more message in a group; says whether an answer was planned.

        A group that does not want it costs nothing. Errors: StoreError.
        """
        talk = message.talk
        if talk is None or message.kind == "event" or group is None:
            return False
        if self._open is None:
            # After a start nobody knows who asked: whoever speaks next may have answered.
            waiting = await self._store.group_answers.waiting()
            self._open = {place: (at + LATE_S, frozenset()) for place, at in waiting.items()}
        place = group.place
        if place in self._open and await self._is_answered(message, place, now):
            await self._store.group_answers.take_back(place, now)
            self._open.pop(place, None)
        if not group.rules.eager_s or not group.bound:
            return False
        return await self._plan(message, group, now)

    async def _is_answered(self, message: Message, place: str, now: float) -> bool:
        """Whether somebody may have answered what is open there."""
        assert self._open is not None
        talk = message.talk
        assert talk is not None
        until, asked = self._open[place]
        if now > until:
            del self._open[place]
            return False
        if message.sender in asked:
            return _SETTLED.fullmatch(folded(message.text)) is not None
        if message.sender == message.account:
            return False
        turned_to = talk.quotes or talk.quoted or not asked.isdisjoint(talk.mentions)
        return bool(turned_to) or not is_question(message.text)

    async def _plan(self, message: Message, group: Group, now: float) -> bool:
        talk, rules = message.talk, group.rules
        assert talk is not None
        text = without_names(message.text)
        channel = group.route or group.channel
        due_at = now + rules.eager_s
        if (
            message.kind != "text"
            or talk.addressed
            or talk.mentions
            or talk.quotes
            or talk.quoted
            or channel not in self._posting
            or self._gates.get("faq")
            or not is_question(text)
            or code_in(text)
            or rules.silent_until(due_at) > due_at
            or wanted(message, group, self._speech, now=now) is not None
        ):
            return False
        item = self._surely(text)
        if not item:
            return False
        answer = self._links.in_text(self._told.answers[item], item, 0)
        post = NewPost(
            key=hashlib.blake2b(b"eager:" + message.key.encode(), digest_size=16).digest(),
            channel=channel,
            place=group.place,
            kind="eager",
            body=Post("text", self._said(answer, item), quote=talk.message_id),
            due_at=due_at,
            not_after=due_at + LATE_S,
        )
        repeat_s = self._speech.repeat_minutes * 60
        if not await self._store.group_answers.plan(item, post, now, repeat_s):
            return False
        assert self._open is not None
        _, asked = self._open.get(group.place, (0.0, frozenset[str]()))
        self._open[group.place] = (due_at + LATE_S, asked | {message.sender})
        self._posted()
        return True

    def _surely(self, text: str) -> str:
        """The FAQ entry that answers it beyond doubt, "" for none."""
        decision = self._knowledge.ask(text, self._told.demoted)
        if decision.band is not Band.SURE or not decision.hits:
            return ""
        best = decision.hits[0]
        return best.id if best.confidence >= SURE and best.id in self._told.answers else ""

    def _said(self, answer: str, item: str) -> str:
        short = shortened(answer, self._speech.short_chars)
        if short == answer:
            return answer
        url = self._speech.page(item)
        if url:
            return self._texts("group.whole", start=short, url=url)
        return self._texts("group.whole_private", start=short)


def is_question(text: str) -> bool:
    """Whether somebody asks the group something that could be in a FAQ."""
    return _SHORTEST <= len(text) <= _LONGEST and (
        asking(text) or _ASKS.search(folded(text)) is not None
    )
