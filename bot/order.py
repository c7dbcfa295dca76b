"""Order: every message of a group is judged in memory, and what must be done is done once.

`judge` takes microseconds and no await, for it stands before everything that groups say. `act` is
for the few messages that deserve something: one transaction writes the case and plans the
warning, the rest can be done again without harm. `tick` comes every few seconds: it finishes
what a killed process left, takes new words in, and tells operators, at most once a minute and
group. Precision goes first: operators are never judged, the model alone never warns, hides or
removes anybody, and nobody is warned twice a day in one group.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from bot.client import WeChatError
from bot.group_settings import GroupSettings
from handlers import order_text
from handlers.context import SHANGHAI
from handlers.message import Message
from handlers.texts import Texts
from insights.order_kinds import Calls, is_answer, is_chain, lures
from insights.order_reading import (
    KNOWN_HOSTS,
    MAX_CHARS,
    Reading,
    bare,
    belongs,
    levelled,
    own_words,
    read,
)
from insights.order_rules import (
    FINE,
    NOTED,
    OFTEN,
    REPEAT_CHARS,
    REPORTED,
    WARNED,
    Finding,
    Judgement,
    Lately,
    Word,
    Words,
    marked,
    repeated,
    suspicions,
    weigh,
)
from store import Store
from store import order as cases
from store.groups import Group
from store.order import Case, Lesson, NewCase, Pending, WordRow
from store.posts import NewPost

log = structlog.get_logger()

SILENCE_S = 600
"""How long somebody who sends adverts is silent, where the operator allowed that."""

REPORT_S = 60.0
"""Time between two reports of one group."""

_AGAIN_S = 900.0
"""What was meant or reported so long ago is looked at again after a restart; later it is stale."""
_CALL_S = 10.0
_KNOWN_GOOD = 2000
_MODEL_CHARS = 6
"""The model is not asked of shorter texts, nor of signs and digits alone: 收到, +1, 666666."""
_VERDICT_CHARS = 8


class Model(Protocol):
    """The spam model: `insights/spam.py`."""

    def scores(self, texts: Sequence[str]) -> Sequence[float]:
        """The probability of an advert for each text."""


class Kicker(Protocol):
    """A channel that can remove or silence somebody. Errors: WeChatError, ValueError."""

    async def kick(self, group: str, user: str) -> None:
        """Remove them. group, user: ids on the channel."""

    async def silence(self, group: str, user: str, seconds: int) -> None:
        """Let them say nothing for so long; 0 lets them speak again."""


class Order:
    """Judges what is said in groups.

    model: None judges by rules alone. hide: keeps a message out of the digest, by its key (16
    bytes). tell: a message to the operators; the same key again tells nothing. posting: channels
    that may post. kickers: those that can remove somebody. own_hosts: the operator's own, asked
    at each tick.
    """

    def __init__(
        self,
        store: Store,
        model: Model | None,
        settings: GroupSettings,
        texts: Texts,
        *,
        hide: Callable[[bytes], Awaitable[object]],
        tell: Callable[[str, bytes], Awaitable[bool]],
        posting: Collection[str],
        kickers: Mapping[str, Kicker],
        own_hosts: Callable[[], Collection[str]],
    ) -> None:
        self._store = store
        self._model = model
        self._settings = settings
        self._texts = texts
        self._hide = hide
        self._tell = tell
        self._posting = posting
        self._kickers = kickers
        self._own_hosts = own_hosts
        self._own: frozenset[str] = frozenset()
        self._rows: list[WordRow] | None = None
        self._words = Words()
        self._verdicts: dict[int, bool] = {}
        self._good: OrderedDict[int, None] = OrderedDict()
        self._calls = Calls()
        self._lately = Lately(settings.flood_messages, settings.flood_seconds)
        self._told_again = False

    def use(self, model: Model | None, lessons: Sequence[Lesson]) -> None:
        """Judge by this model and these verdicts from now on; see `scheduler/order_learning.py`."""
        self._model = model
        self._verdicts = {lesson.mark: lesson.spam for lesson in lessons}

    def own(self, hosts: Collection[str]) -> None:
        """These are the operator's own hosts from now on."""
        self._own = frozenset(host.casefold() for host in hosts)

    # Judging

    def judge(
        self,
        message: Message,
        group: Group,
        member_id: int | None,
        now: float,
        *,
        operator: bool,
    ) -> Judgement:
        """What a message deserves. No await, no database.

        member_id: None for somebody we have not met. operator: of ours; the group's owner is one,
        too, and where no operator wanted order nobody is judged.
        """
        if group.rules.order == "off" or message.kind == "event" or message.talk is None:
            return FINE
        talk = message.talk
        text = own_words(message.text, talk.quoted)
        code = message.raw.get("qr")
        code = code if isinstance(code, str) else ""
        reading = read(text, code)
        mark = marked(reading)
        place = group.place
        who = (message.channel, message.sender)
        if operator or (group.owner and message.sender == group.owner):
            # What an operator said may be passed on by anybody.
            self._calls.said(place, message.sender, reading, now)
            self._good[mark] = None
            self._good.move_to_end(mark)
            if len(self._good) > _KNOWN_GOOD:
                self._good.popitem(last=False)
            return FINE
        called = talk.addressed or text.startswith(self._settings.prefixes)
        over, ongoing = self._lately.flood(place, who, message.key, now, spared=called)
        findings = [Finding("flood", WARNED)] if over else []
        also: tuple[str, ...] = ()
        score: float | None = None
        chars = len(reading.bare)
        known = self._verdicts.get(mark) if chars >= REPEAT_CHARS else None
        harmless = known is False or (chars >= REPEAT_CHARS and mark in self._good)
        if text and not harmless:
            if severity := self._words.banned(reading, place):
                findings.append(Finding("banned", severity))
            hosts = self._calls.hosts(place, now) if reading.links else ()
            odd = suspicions(reading, self._words, self._own, place, bool(code), hosts)
            findings += odd
            if known and chars >= _VERDICT_CHARS:
                findings.append(Finding("known", REPORTED))
            # Who sells to the group by 接龙 names prices; an advert says where to go, too.
            chain = is_chain(text) and not (odd and lures(reading, plainly=True))
            if not chain and chars >= _MODEL_CHARS and not reading.bare.isdecimal():
                score = self._score(text)
            likely = score is not None and score >= self._settings.spam_report_at
            lured = (likely or bool(odd)) and not chain and lures(reading)
            if lured:
                findings.append(Finding("lure", 0))
            elif likely and not odd and self._trusted(reading, place, hosts):
                # A link makes a model wary; these are what members are to use.
                score, likely = None, False
            bait = self._bait(odd, score, lured)
            if chars >= REPEAT_CHARS:
                copies = self._lately.again(mark, place, who, message.key, now)
                asked = copies.members >= OFTEN and (
                    chain or is_answer(reading) or self._answers(message, reading, now)
                )
                again, said = repeated(copies, chars, bait, asked)
                if again is not None:
                    findings.append(again)
                    ongoing = ongoing or said
                    also = copies.keys if again.severity == REPORTED else ()
            if talk.everyone:
                findings.append(Finding("everyone", WARNED if bait > 1 else NOTED))
        judgement = weigh(
            findings,
            score,
            report_at=self._settings.spam_report_at,
            act_at=self._settings.spam_act_at,
            new=self._lately.new(place, who),
            ongoing=ongoing,
            also=also,
        )
        if not judgement.severity:
            self._lately.ordinary(place, who)
        return judgement

    def _score(self, text: str) -> float | None:
        return None if self._model is None else float(self._model.scores([text[:MAX_CHARS]])[0])

    def _trusted(self, reading: Reading, place: str, called: Collection[str]) -> bool:
        """Whether it links somewhere, and only where everybody may: ours, allowed, well-known."""
        return bool(reading.links) and all(
            host in called
            or belongs(host, self._own)
            or belongs(host, KNOWN_HOSTS)
            or self._words.allows(host, place)
            for host in (link.host for link in reading.links)
        )

    def _bait(self, odd: Sequence[Finding], score: float | None, lured: bool) -> int:
        """How much a text wants people somewhere else: 0 not, 1 perhaps, 2 without doubt."""
        likely = score is not None and score >= self._settings.spam_report_at
        # A link alone is none: ten members who check in with the same app post the same.
        most = max((one.severity for one in odd), default=0)
        if most >= WARNED or (lured and (likely or most)):
            return 2
        return int(likely or most > 0)

    def _answers(self, message: Message, reading: Reading, now: float) -> bool:
        talk = message.talk
        if talk is None:
            return False
        quoted = bare(levelled(talk.quoted)) if talk.quoted else ""
        return self._calls.answered(message.place, reading, quoted, talk.quotes_who, now)

    # Acting

    async def act(
        self,
        message: Message,
        group: Group,
        member_id: int | None,
        judgement: Judgement,
        now: float,
        *,
        recorded: bool = True,
    ) -> Case | None:
        """Do what a judgement says, once however often it is asked; the case, None without one.

        recorded: False for who opted out: the case names nobody and keeps no words. Errors:
        StoreError.
        """
        if not judgement.severity:
            return None
        key = bytes.fromhex(message.key)
        if judgement.severity >= WARNED:
            for one in (key, *(bytes.fromhex(other) for other in judgement.also)):
                await self._hide(one)
        if judgement.ongoing and judgement.severity < REPORTED:
            return None
        talk = message.talk
        acting = group.rules.order == "act"
        meant = self._meant(group, judgement) if acting else ""
        words = own_words(message.text, talk.quoted if talk else "")[:MAX_CHARS]
        # Half a character, as JSON can hold it, is no text for the file.
        words = words.encode(errors="replace").decode()
        new = NewCase(
            key=key,
            place=group.place,
            member_id=member_id if recorded else None,
            message_id=talk.message_id if talk else "",
            at=now,
            text=words if recorded else "",
            reasons=judgement.reasons,
            score=judgement.score,
            severity=judgement.severity,
            actions=tuple(filter(None, (_first(judgement), meant))),
            report=judgement.report,
        )
        warning = None
        channel = group.route or group.channel
        if acting and judgement.severity >= WARNED and channel in self._posting:
            warning = self._warning(message, group, new.member_id, judgement, now)
        opened = await self._store.order.open(new, warning, now)
        if meant and meant in opened.case.actions:
            todo = Pending(opened.case.id, meant, group.place, message.sender)
            await self._do(todo, group)
        if judgement.report:
            await self._report(group.place, now)
        return opened.case

    def _meant(self, group: Group, judgement: Judgement) -> str:
        """What is to be done to the member beside a warning, "" for nothing."""
        if not judgement.certain or group.channel not in self._kickers:
            return ""
        if group.rules.kick:
            return cases.KICK
        return cases.SILENCE if group.rules.silence else ""

    def _warning(
        self,
        message: Message,
        group: Group,
        member_id: int | None,
        judgement: Judgement,
        now: float,
    ) -> NewPost:
        flood = judgement.reasons in (("flood",), ("repeat",), ("flood", "repeat"))
        texts = self._texts
        words = texts("order.warning_flood") if flood else texts("order.warning")
        day = f"{datetime.fromtimestamp(now, SHANGHAI):%Y-%m-%d}"
        key = ("warning", group.place, message.sender, day)
        # Who opted out is written down nowhere: the sentence names nobody.
        to = "" if member_id is None else message.sender
        return order_text.notice(group, to, words, key, now, member_id)

    async def _do(self, todo: Pending, group: Group) -> None:
        """Remove, silence or release somebody, and write down how it ended."""
        kicker = self._kickers.get(group.channel)
        if kicker is None:
            return
        done = {cases.KICK: cases.KICKED, cases.SILENCE: cases.SILENCED}
        before = cases.SILENCED if todo.action == cases.RELEASED else todo.action
        after = done.get(todo.action, cases.RELEASED)
        try:
            async with asyncio.timeout(_CALL_S):
                if todo.action == cases.KICK:
                    await kicker.kick(group.external_id, todo.external_id)
                else:
                    seconds = SILENCE_S if todo.action == cases.SILENCE else 0
                    await kicker.silence(group.external_id, todo.external_id, seconds)
        except (WeChatError, ValueError, TimeoutError) as error:
            log.warning(
                "order_not_done", action=todo.action, case=todo.case_id, error=type(error).__name__
            )
            after = cases.FAILED
        await self._store.order.did(todo.case_id, before, after)

    # What is done every few seconds

    async def tick(self, now: float) -> str:
        """Take new words in, finish what was left, tell operators. Says what it did, "" nothing.

        Errors: StoreError.
        """
        self.own(self._own_hosts())
        await self._take_words()
        done = 0
        for todo in await self._store.order.pending(now - _AGAIN_S):
            group = self._store.groups.known(todo.place)
            if group is not None:
                await self._do(todo, group)
                done += 1
        if not self._told_again:
            # A process that was killed may have taken a report and not told it.
            for found in await self._store.order.reported(now - _AGAIN_S):
                await self._say(found)
            self._told_again = True
        reports = 0
        for place in await self._store.order.unreported():
            reports += await self._report(place, now)
        return f"{done} finished, {reports} reports" if done or reports else ""

    async def _take_words(self) -> None:
        rows = await self._store.order.words()
        if rows != self._rows:
            words = [Word(*row) for row in rows]
            self._words = await asyncio.to_thread(Words, words)
            self._rows = rows

    async def _report(self, place: str, now: float) -> bool:
        """Tell operators of a group's cases, unless they heard of it within the minute."""
        found = await self._store.order.report(place, now, REPORT_S)
        if found:
            await self._say(found)
        return bool(found)

    async def _say(self, found: Sequence[Case]) -> None:
        group = self._store.groups.known(found[0].place)
        title = group.title if group is not None else found[0].place
        name = f"order report\n{found[0].place}\n{found[0].reported_at}"
        key = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest()
        if not await self._tell(order_text.report(self._texts, found, title), key):
            log.info("order_report_unheard", place=group.id if group else 0, cases=len(found))


def _first(judgement: Judgement) -> str:
    return cases.HIDDEN if judgement.severity >= WARNED else cases.NOTED
