"""Messages that go to one member each: claimed in one transaction, sent many at a time.

A delivery that is claimed is called at most once. What ended is written in the same transaction
that claims the next, so a full window costs one sync to the disk and not two for each message.
A kill leaves as many unknown as were under way, `CampaignRules.parallel` at most.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from scheduler import planner
from scheduler.rules import CampaignRules
from scheduler.sending import End, One, Sender, Sent
from scheduler.watch import Watch
from store import Store, StoreError
from store.campaigns import Campaign
from store.deliveries import START
from store.exchange import Ended, Going, Limits, Window
from store.reach import Caps

log = structlog.get_logger()

APIS = {
    "custom": planner.CUSTOM_SEND,
    "template": planner.TEMPLATE_SEND,
    "notice": planner.NOTICE_SEND,
}

PAGE = 2000
"""Deliveries that are proposed at a time."""

TRIES = 5
"""So often a member's message is tried when WeChat says that it is busy (-1)."""

ENOUGH = 20
"""Messages before the share of failed ones means anything."""

RECENT = 100
"""Messages of which the share counts."""

_WAIT_S = 1.0
"""For so short a time the pace is waited for; for longer, other campaigns have their turn."""
_NAP_S = 0.2
"""Waiting a little longer lets a few go together."""
_STORE_S = 0.5
_BUSY_TURNS = 6
"""So often in a row WeChat may be busy to nearly all before the campaign pauses: two minutes."""


@dataclass(slots=True)
class Health:
    """How a campaign's newest messages went, to know when something is wrong with all of them."""

    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    tries: Counter[int] = field(default_factory=Counter)
    turns: int = 0

    @property
    def failures(self) -> int:
        """Failed ones among the newest."""
        return sum(self.recent)

    def over(self, share: float) -> bool:
        """Whether more than this share failed."""
        return len(self.recent) >= ENOUGH and self.failures > share * len(self.recent)


@dataclass(slots=True)
class Visit:
    """What a turn of one campaign came to. note: why it was paused, "" when it was not."""

    sent: int = 0
    note: str = ""
    again_at: float = 0.0


class Singles:
    """The routes `custom`, `template` and `notice`."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        rules: CampaignRules,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        levels: Sequence[int],
        tiers: Sequence[str],
    ) -> None:
        self._store = store
        self._sender = sender
        self._rules = rules
        self._now = now
        self._sleep = sleep
        self._levels = tuple(levels)
        self._tiers = tuple(tiers)
        self._health: dict[int, Health] = {}

    def limits(self, route: str, routes: Sequence[str]) -> Limits:
        """What a route may carry, by the operator's rules."""
        rules = self._rules
        custom = route == "custom"
        return Limits(
            caps=Caps(rules.cap_day, rules.cap_week),
            api=APIS[route],
            per_minute=rules.custom_per_minute if custom else rules.notice_per_minute,
            burst=rules.parallel,
            per_day=rules.custom_per_day if custom else rules.notice_per_day,
            routes=tuple(routes),
            lease_s=rules.lease_s,
            levels=self._levels,
            tiers=self._tiers,
        )

    async def visit(
        self,
        campaign: Campaign,
        route: str,
        routes: Sequence[str],
        watch: Watch,
        over: Callable[[], bool],
    ) -> Visit:
        """Send what is due by this route until nothing is, or `over` says so; then wait for what
        is under way."""
        turn = _Turn(self, campaign, route, self.limits(route, routes), watch, over)
        try:
            return await turn.run()
        finally:
            turn.stop()

    # What a turn uses

    def health(self, campaign_id: int) -> Health:
        """Of one campaign, since this process began."""
        return self._health.setdefault(campaign_id, Health())

    async def call(self, campaign: Campaign, going: Going, watch: Watch) -> Sent:
        """Make the call, or say that it was not made."""
        if not watch.mine():
            return Sent(End.LATER, reason="lease")
        one = One(
            id=going.id,
            campaign_id=campaign.id,
            member_id=going.member_id,
            external_id=going.external_id,
            channel=campaign.channel,
            variant=going.variant,
            route=going.route,
            occasion=going.occasion,
            coupon=going.coupon,
        )
        try:
            return await self._sender.one(one)
        except Exception:
            # A sender never raises; if one does, nobody knows how far it was.
            log.exception("campaign_send_failed", campaign=campaign.id)
            return Sent(End.UNKNOWN, reason="error")


class _Turn:
    def __init__(
        self,
        singles: Singles,
        campaign: Campaign,
        route: str,
        limits: Limits,
        watch: Watch,
        over: Callable[[], bool],
    ) -> None:
        self._singles = singles
        self._store = singles._store
        self._rules = singles._rules
        self._now = singles._now
        self._campaign = campaign
        self._route = route
        self._limits = limits
        self._watch = watch
        self._over = over
        self._health = singles.health(campaign.id)
        self._queue: deque[int] = deque()
        self._after = START
        self._all = False
        self._going: set[asyncio.Task[None]] = set()
        self._ended: list[tuple[Going, Sent]] = []
        self._news = asyncio.Event()
        self._stopping = False
        self._visit = Visit()

    async def run(self) -> Visit:
        parallel = self._rules.parallel
        while True:
            self._stopping = self._stopping or self._over() or not self._watch.mine()
            await self._propose()
            room = parallel - len(self._going)
            ids: list[int] = []
            while not self._stopping and self._queue and len(ids) < room:
                ids.append(self._queue.popleft())
            if ids or self._ended:
                await self._exchange(ids)
            if not self._going and not self._ended:
                if self._stopping or not await self._more():
                    return self._visit
                continue
            await self._some(max(1, parallel // 4))

    async def _more(self) -> bool:
        """Whether there is more to do; waits for the pace if that does not take long."""
        if not self._queue:
            return not self._all
        wait = self._visit.again_at - self._now()
        if wait <= 0:
            return True
        if wait > _WAIT_S:
            return False
        before = self._now()
        await self._singles._sleep(max(wait, _NAP_S))
        # A clock that stands still would be waited for for ever.
        return self._now() > before

    async def _propose(self) -> None:
        if self._queue or self._all or self._stopping:
            return
        page = await self._store.deliveries.due(
            self._campaign.id, self._route, self._now(), self._after, PAGE
        )
        self._all = len(page) < PAGE
        if page:
            self._after = page[-1]
            self._queue.extend(one for _, one in page)

    async def _some(self, enough: int) -> None:
        """Until so many have ended, or all that are under way."""
        while self._going and len(self._ended) < enough:
            self._news.clear()
            await self._news.wait()

    async def _exchange(self, ids: list[int]) -> None:
        told, self._ended = self._ended, []
        now = self._now()
        settled = self._settled(told, now)
        while True:
            try:
                window = await self._store.deliveries.exchange(
                    self._campaign,
                    self._watch.hold,
                    self._route,
                    settled.ended,
                    ids,
                    self._limits,
                    now,
                    open_at=settled.open_at,
                    pause=settled.pause,
                    failures=settled.failures,
                )
                break
            except StoreError as error:
                if self._store.closing:
                    raise
                # What is known must not be lost: without it, it would be unknown.
                log.warning("campaign_store_failed", error=str(error))
                await asyncio.sleep(_STORE_S)
                now = self._now()
        self._note(window, settled)
        if window.status != "lost":
            self._watch.until = max(self._watch.until, now + self._limits.lease_s)
        for going in window.going:
            task = asyncio.create_task(self._send(going))
            self._going.add(task)
            task.add_done_callback(self._gone)

    def _note(self, window: Window, settled: _Settled) -> None:
        visit = self._visit
        visit.sent += settled.sent
        visit.note = visit.note or settled.pause
        visit.again_at = window.again_at
        self._queue.extendleft(reversed(window.later))
        if settled.pause or window.status != "running":
            self._stopping = True
        if window.status == "lost":
            self._watch.lost = True

    async def _send(self, going: Going) -> None:
        sent = await self._singles.call(self._campaign, going, self._watch)
        self._ended.append((going, sent))

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._going.discard(task)
        self._news.set()

    def stop(self) -> None:
        """The turn was broken off: what is under way stays `sending`, to become unknown."""
        for task in self._going:
            task.cancel()

    def _settled(self, told: Sequence[tuple[Going, Sent]], now: float) -> _Settled:
        found = _Settled()
        health = self._health
        before = health.failures
        busy = sum(sent.busy for _, sent in told)
        crowded = len(told) >= 4 and 2 * busy > len(told)
        if crowded:
            health.turns += 1
            found.open_at = now + min(60.0, 2.0**health.turns)
        elif any(sent.end is End.ACCEPTED for _, sent in told):
            health.turns = 0
        for going, sent in told:
            ended = self._one(going, sent, now, crowded=crowded)
            found.ended.append(ended)
            found.sent += ended.status == "accepted"
            if ended.status != "planned":
                health.recent.append(ended.status in ("refused", "unknown"))
            if sent.end is End.STOP:
                found.pause = found.pause or sent.chat or sent.note or sent.reason
            elif sent.end is End.LATER and not sent.busy and sent.reason != "lease":
                # The network, or WeChat's pace: it would say the same to the next.
                wait = max(sent.pace_s, sent.after_s, 1.0)
                found.open_at = max(found.open_at, now + wait)
        if health.over(self._rules.error_share):
            found.pause = found.pause or "errors"
        elif health.turns > _BUSY_TURNS:
            found.pause = found.pause or "busy"
        if health.failures != before:
            found.failures = health.failures
        if found.pause:
            # Who resumes it starts counting anew.
            self._singles._health.pop(self._campaign.id, None)
            self._health = self._singles.health(self._campaign.id)
        return found

    def _one(self, going: Going, sent: Sent, now: float, *, crowded: bool) -> Ended:
        tries = self._health.tries
        if sent.end in (End.LATER, End.STOP):
            wait = sent.after_s
            if sent.busy:
                tries[going.id] += not crowded
                wait = max(wait, 2.0 ** min(tries[going.id] - 1, 5))
                if tries[going.id] >= TRIES:
                    return Ended(going=going, status="refused", reason="busy", errcode=sent.errcode)
            return Ended(going=going, status="planned", errcode=sent.errcode, due_at=now + wait)
        tries.pop(going.id, None)
        if sent.end is End.ACCEPTED:
            return Ended(
                going=going,
                status="accepted",
                errcode=sent.errcode or None,
                wechat_id=sent.wechat_id,
            )
        refused = sent.end is End.REFUSED
        return Ended(
            going=going,
            status="refused" if refused else "unknown",
            reason=sent.reason or "error",
            errcode=sent.errcode,
        )


@dataclass(slots=True)
class _Settled:
    """What of many ends the next exchange writes."""

    ended: list[Ended] = field(default_factory=list)
    open_at: float = 0.0
    pause: str = ""
    failures: int | None = None
    sent: int = 0
