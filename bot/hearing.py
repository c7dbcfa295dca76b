"""The ear: every message and event of a group that a gateway hears, once.

What is said in a group is judged, written down with whom it turns to, and only then answered, if
it was meant for the bot. A store that refuses makes the gateway come again; everything here may
run twice. In a group that no operator bound nothing is written and nothing is said: only the
operator's own word that binds it passes.

What this room will not do: know a gateway's protocol, decide what is meant for the bot (`wanted`
does), what an advert is (`order` does) or what to answer (the inbox does).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import structlog

from handlers.message import Message
from insights.replies import WINDOW, Addressees, Turn, Who
from store import Store, StoreError
from store.edges import HALF_LIFE_S
from store.groups import Group, Seen
from store.members import Member
from store.talk import MOST_CHARS, NewTalk, Told

log = structlog.get_logger()

LEAST = 0.2
"""A turn makes an edge to who is at least so likely to be meant; see `python -m bench.replies`."""

SEVERE = 2
"""From this severity on nobody answers, no edge is made, and the digest says nothing of it."""

STRANGERS = 200
"""So many groups of a channel that no operator has spoken of are known; whoever lets a bot into
groups all day fills no table."""

UNDER_WAY = 2000
"""So many messages are heard at once; the next is refused, and the gateway may come again."""

WINDOWS = 1000
"""So many groups have their last turns in memory."""

_LATELY = 8192
_WRITERS = 100
_TO_BOT = ""
"""Who a turn to the bot turns to, where the gateway does not say the bot's own id."""

JudgementT = TypeVar("JudgementT", bound="Judged")


class Judged(Protocol):
    """What a message deserves."""

    @property
    def severity(self) -> int:
        """0 nothing, 1 noted, 2 warned and out of the digest, 3 reported."""


class Order(Protocol[JudgementT]):
    """Order in groups: `bot/order.py`."""

    def judge(
        self, message: Message, group: Group, member_id: int | None, now: float, *, operator: bool
    ) -> JudgementT:
        """What it deserves; microseconds, no database."""

    async def act(
        self,
        message: Message,
        group: Group,
        member_id: int | None,
        judgement: JudgementT,
        now: float,
        *,
        recorded: bool = True,
    ) -> object:
        """Do it, once however often it is asked. Errors: StoreError."""


class Take(Protocol):
    """Answers a message later, by rows of `sends`: `bot/inbox.py`."""

    async def __call__(self, message: Message, body: bytes) -> bool:
        """True once it is recorded."""


class Wanted(Protocol):
    """How a message is meant for the bot: `handlers/addressing.py` with the bot's settings."""

    def __call__(self, message: Message, group: Group | None, now: float) -> object | None:
        """None when it is not."""


class Enough(Protocol):
    """Whether a member has called the bot too often to be answered; counts this call."""

    def __call__(self, message: Message, meant: object, now: float) -> bool:
        """meant: what `Wanted` gave."""


class Overheard(Protocol):
    """Told of everything that was said, to answer what nobody else does: `handlers/eager.py`."""

    async def __call__(self, message: Message, group: Group, now: float) -> object:
        """Errors: StoreError."""


class _Window:
    """A group's last turns, and who wrote its last messages."""

    __slots__ = ("addressees", "ready", "writers")

    def __init__(self, ready: asyncio.Future[None]) -> None:
        self.addressees = Addressees()
        self.ready = ready
        self.writers: OrderedDict[str, str] = OrderedDict()

    def wrote(self, message_id: str, who: str) -> None:
        if message_id:
            self.writers[message_id] = who
            if len(self.writers) > _WRITERS:
                self.writers.popitem(last=False)


class Ear:
    """Hears groups.

    order: None judges nothing. take: the inbox's. overheard: None where nobody wants to know.
    enough: whose calls are met with silence; operators are not asked. now: Unix seconds.
    half_life_s: of who talks with whom.
    """

    def __init__(
        self,
        store: Store,
        *,
        order: Order[Any] | None,
        wanted: Wanted,
        take: Take,
        now: Callable[[], float],
        overheard: Overheard | None = None,
        enough: Enough | None = None,
        half_life_s: float = HALF_LIFE_S,
        under_way: int = UNDER_WAY,
        windows: int = WINDOWS,
    ) -> None:
        self._store = store
        self._order = order
        self._wanted = wanted
        self._take = take
        self._now = now
        self._overheard = overheard
        self._enough = enough
        self._half_life_s = half_life_s
        self._most_under_way = under_way
        self._most_windows = windows
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._lately: OrderedDict[str, None] = OrderedDict()
        self._acting: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def running(self) -> int:
        """Messages under way, with what is being done about adverts."""
        return len(self._running) + len(self._acting)

    async def close(self, seconds: float = 1.0) -> None:
        """Hear nothing more; what is under way gets so long."""
        self._closing = True
        tasks = [*self._running.values(), *self._acting]
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=seconds)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def hear(self, message: Message, body: bytes) -> bool:
        """Hear a message or event of a group; False when it must come again.

        body: as it came, for the inbox. A copy of one that is under way waits for that one, and
        one that was heard lately is not heard again. A caller that gives up stops nothing.
        """
        if message.talk is None or message.key in self._lately:
            return True
        task = self._running.get(message.key)
        if task is None:
            if self._closing or len(self._running) + len(self._acting) >= self._most_under_way:
                return False
            task = asyncio.get_running_loop().create_task(self._hear(message, body))
            self._running[message.key] = task
            task.add_done_callback(lambda _: self._running.pop(message.key, None))
        return await asyncio.shield(task)

    async def note(self, message: Message) -> None:
        """Write down what another door answers itself: the turn and whom it turns to.

        Errors: StoreError.
        """
        if message.talk is None or message.kind == "event":
            return
        now = self._now()
        group = await self._group(message, now)
        if group is not None and group.bound:
            await self._write(message, group, await self._member(message, now), True, False, now)

    async def _hear(self, message: Message, body: bytes) -> bool:
        try:
            done = await self._heard(message, body)
        except StoreError as error:
            log.error("group_message_not_stored", key=message.key, error=str(error))
            return False
        except Exception as error:
            # A fault of ours: the same message again would fail again, for ever.
            log.error(
                "group_message_failed", key=message.key, error=type(error).__name__, exc_info=True
            )
            done = True
        if done:
            self._lately[message.key] = None
            if len(self._lately) > _LATELY:
                self._lately.popitem(last=False)
        return done

    async def _heard(self, message: Message, body: bytes) -> bool:
        now = self._now()
        if message.kind == "event":
            await self._happened(message, now)
            return True
        if message.sender == message.account:
            return True  # our own words, as some gateways tell them
        group = await self._group(message, now)
        if group is None or not group.bound:
            return await self._bidden(message, group, body, now)
        member = await self._member(message, now)
        judgement = self._judged(message, group, member, now)
        severity = judgement.severity if judgement is not None else 0
        meant = self._wanted(message, group, now)
        wanted = meant is not None and severity < SEVERE
        told = await self._write(message, group, member, wanted, severity >= SEVERE, now)
        if judgement is not None and severity:
            recorded = told is not Told.UNRECORDED
            self._act(self._do(message, group, member, judgement, now, recorded))
        if told is not Told.KNOWN and severity < SEVERE:
            await self._tell(message, group, now)
        if not wanted or self._is_enough(message, member, meant, now):
            return True
        return await self._take(message, body)

    async def _bidden(self, message: Message, group: Group | None, body: bytes, now: float) -> bool:
        """In a group that nobody bound only an operator is heard, and of nobody else is a row."""
        assert message.talk is not None
        if self._wanted(message, group, now) is None:
            return True
        if not await self._store.members.is_operator(message.channel, message.sender):
            return True
        await self._store.groups.meet(message.channel, message.talk.group, now, strangers=STRANGERS)
        return await self._take(message, body)

    def _is_enough(self, message: Message, member: Member, meant: object, now: float) -> bool:
        if self._enough is None or member.is_operator:
            return False
        return self._enough(message, meant, now)

    async def _tell(self, message: Message, group: Group, now: float) -> None:
        if self._overheard is None:
            return
        try:
            await self._overheard(message, group, now)
        except Exception as error:
            # It would have been an extra; what was said is written down.
            log.error("not_overheard", key=message.key, error=type(error).__name__, exc_info=True)

    # Who and where

    async def _group(self, message: Message, now: float) -> Group | None:
        if message.talk is None:
            return None
        group = self._store.groups.known(message.place)
        if message.source != "wecom" or (group is not None and group.left_at is None):
            return group
        # The robot of a WeCom group hears mentions only, and somebody there put it in.
        return await self._store.groups.meet(
            message.channel, message.talk.group, now, bound_by="wecom"
        )

    async def _member(self, message: Message, now: float) -> Member:
        known = self._store.members.known(message.channel, message.sender)
        return known or await self._store.members.meet(message.channel, message.sender, now)

    # What happens

    async def _happened(self, message: Message, now: float) -> None:
        store = self._store
        if message.event == "bot_leave":
            # A gateway's account may be let in by anybody: that is no word of an operator.
            await store.groups.leave(message.place, now, unbind=message.source != "wecom")
            self._windows.pop(message.place, None)
            return
        if message.event == "bot_join" and message.talk is not None:
            # Known, so that an operator can bind it from anywhere.
            await store.groups.meet(message.channel, message.talk.group, now, strangers=STRANGERS)
            return
        group = await self._group(message, now)
        if group is None or not group.bound:
            return
        if message.event == "group_join":
            member = await self._member(message, now)
            name = message.talk.name if message.talk else ""
            name = "" if store.talk.unrecorded(member.id) else name
            await store.groups.see(Seen(group.place, member.id, name, now, came=True))
        elif message.event == "group_leave":
            known = await store.members.find(message.sender, message.channel)
            for member_id in known:
                await store.groups.gone(group.place, member_id, now)
        elif message.event == "group_recall":
            await store.talk.recall(group.place, message.event_key)

    # What is said

    async def _write(
        self,
        message: Message,
        group: Group,
        member: Member,
        addressed: bool,
        hidden: bool,
        now: float,
    ) -> Told:
        """Write the turn. What was not written is not in the window either."""
        talk = message.talk
        assert talk is not None
        window = await self._window(group.place)
        to: list[tuple[Who, float]] = []
        if not hidden and not self._store.talk.unrecorded(member.id):
            to = window.addressees.add(await self._turn(message, group, window, now))
            window.wrote(talk.message_id, message.sender)
        new = NewTalk(
            key=bytes.fromhex(message.key),
            place=group.place,
            channel=message.channel,
            sender=message.sender,
            at=now,
            kind=message.kind,
            text=message.text[:MOST_CHARS],
            name=talk.name,
            message_id=talk.message_id,
            quotes=talk.quotes,
            addressed=addressed,
            hidden=hidden,
            to=tuple(
                (who, weight)
                for who, weight in to
                if weight >= LEAST
                and isinstance(who, str)
                and who not in (_TO_BOT, message.account)
            ),
            half_life_s=self._half_life_s,
        )
        try:
            told = await self._store.talk.say(new)
        except StoreError:
            # It will come again: the window is read from the store before that.
            self._windows.pop(group.place, None)
            raise
        if told is Told.UNRECORDED:
            self._windows.pop(group.place, None)
        return told

    async def _turn(self, message: Message, group: Group, window: _Window, now: float) -> Turn:
        talk = message.talk
        assert talk is not None
        bot = (message.account or _TO_BOT,) if talk.addressed else ()
        quotes: str | None = talk.quotes_who or window.writers.get(talk.quotes)
        if quotes is None and talk.quotes:
            quotes = await self._store.talk.writer(group.place, talk.quotes) or None
        if quotes is None and talk.quotes and bot:
            quotes = bot[0]
        return Turn(
            sender=message.sender,
            text=message.text,
            mentions=(*bot, *talk.mentions),
            at=now,
            quotes=quotes,
            everyone=talk.everyone,
            name=talk.name,
        )

    async def _window(self, place: str) -> _Window:
        """The group's last turns; read from the store on first use. Errors: StoreError."""
        window = self._windows.get(place)
        if window is not None:
            self._windows.move_to_end(place)
            await asyncio.shield(window.ready)
            return window
        ready = asyncio.get_running_loop().create_future()
        window = self._windows[place] = _Window(ready)
        if len(self._windows) > self._most_windows:
            self._windows.popitem(last=False)
        try:
            for said in await self._store.talk.recent(place, WINDOW):
                if said.sender:
                    quotes = said.quotes_who or None
                    turn = Turn(said.sender, said.text, (), said.at, quotes, name=said.name)
                    window.addressees.add(turn)
                    window.wrote(said.message_id, said.sender)
        except BaseException as error:
            if self._windows.get(place) is window:
                del self._windows[place]
            ready.set_exception(StoreError(f"the last turns were not read: {error}"))
            ready.exception()  # whether or not somebody else waits for it
            raise
        ready.set_result(None)
        return window

    # Adverts

    def _judged(self, message: Message, group: Group, member: Member, now: float) -> Judged | None:
        if self._order is None:
            return None
        try:
            found: Judged = self._order.judge(
                message, group, member.id, now, operator=member.is_operator
            )
        except Exception as error:
            # Rather an advert that nobody stops than a group that nobody hears.
            log.error("not_judged", key=message.key, error=type(error).__name__, exc_info=True)
            return None
        return found

    def _act(self, coro: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coro)
        self._acting.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._acting.discard)

    async def _do(
        self,
        message: Message,
        group: Group,
        member: Member,
        judgement: Any,
        now: float,
        recorded: bool,
    ) -> None:
        assert self._order is not None
        try:
            await self._order.act(message, group, member.id, judgement, now, recorded=recorded)
        except Exception as error:
            log.error("order_failed", key=message.key, error=type(error).__name__, exc_info=True)
