"""The runner: starts what is due, writes its list, sends it, and can be killed at any moment.

Whatever it knows is in the file; a new process takes the lease and goes on from the rows. One
runs at a time. That is for order, not for safety: what keeps a message from going out twice is
that its row is claimed in a transaction before its call leaves and that a claim is never made
twice, or, of mass sends, that WeChat knows the part by its name. See docs/campaigns.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from scheduler import lateness, pace, planner
from scheduler.group_campaigns import GroupRunner
from scheduler.masses import Masses
from scheduler.planner import MASS, Account
from scheduler.rules import CampaignRules
from scheduler.sending import Sender
from scheduler.singles import Singles
from scheduler.watch import Watch
from store import Store, StoreError, campaigns, freezing
from store.campaigns import Campaign, Status
from store.dialect import Connection
from store.freezing import Row
from store.leases import CAMPAIGNS
from store.rules import RuleError

log = structlog.get_logger()

BUDGET_S = 20.0
"""How long one call of `run_once` sends before it lets the clock have its turn."""

TURN_S = 3.0
"""How long a campaign sends before the next has its turn."""

Told = Callable[[Campaign, str], Awaitable[None]]
"""Tells the campaign's owner why it does not go on: "late", "overdue", "grown", "errors", "busy",
"day_quota", "to_all", "unknown", "audience", "nobody", or what WeChat said, in Chinese."""


class Runner:
    """Sends campaigns as long as `run_once` is called again and again.

    sender: the way to WeChat. rules: the operator's. holder: a name that no other process has.
    accounts: what each channel may do; a campaign of another channel waits. levels, tiers: of
    the operator, for rules and coupons. groups: how campaigns get into groups; None: they wait.
    quit: whether to stop as soon as what is under way has ended. sleep: waits for the pace; a
    test's may move its clock. keep_s: how often the lease is renewed, by the real clock; None for
    three times in its life.
    """

    def __init__(
        self,
        store: Store,
        sender: Sender,
        rules: CampaignRules,
        *,
        now: Callable[[], float],
        holder: str,
        told: Told,
        accounts: Mapping[str, Account],
        levels: Sequence[int] = (),
        tiers: Sequence[str] = (),
        groups: GroupRunner | None = None,
        quit: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        budget_s: float = BUDGET_S,
        keep_s: float | None = None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._holder = holder
        self._told = told
        self._accounts = accounts
        self._levels = tuple(levels)
        self._tiers = tuple(tiers)
        self._groups = groups
        self._quit = quit
        self._budget_s = budget_s
        self._keep_s = rules.lease_s / 3 if keep_s is None else keep_s
        self._closing = False
        self._running = asyncio.Lock()
        self._singles = Singles(
            store, sender, rules, now=now, sleep=sleep, levels=levels, tiers=tiers
        )
        self._masses = Masses(
            store, sender, rules, now=now, told=self._tell, stopping=self.stopping
        )

    async def run_once(self) -> str:
        """Do what is due; says what was done, "" for nothing or when another process runs.

        Errors: StoreError.
        """
        if self._closing:
            return ""
        async with self._running:
            now = self._now()
            taken = await self._store.db.write_many(lateness.TAKE, (self._holder, now, self._rules))
            if taken is None:
                return ""
            hold, overdue = taken
            for campaign_id in overdue:
                await self._tell(campaign_id, "overdue")
            watch = Watch(hold, self._now, now + self._rules.lease_s)
            keeper = asyncio.create_task(self._keep(watch))
            try:
                return await _Round(self, watch).run()
            finally:
                keeper.cancel()
                with suppress(asyncio.CancelledError):
                    await keeper

    async def close(self) -> None:
        """Begin nothing more, wait for what is under way, and let another process go on."""
        self._closing = True
        async with self._running:
            hold = await self._store.leases.take(
                CAMPAIGNS, self._holder, self._now(), self._rules.lease_s
            )
            if hold is not None:
                await self._store.leases.release(hold, self._now())

    def stopping(self) -> bool:
        """Whether nothing new is to be begun."""
        return self._closing or self._quit()

    async def _keep(self, watch: Watch) -> None:
        """Renew the lease while a round goes on."""
        ttl = self._rules.lease_s
        while True:
            await asyncio.sleep(self._keep_s)
            now = self._now()
            try:
                kept = await self._store.leases.renew(watch.hold, now, ttl)
            except StoreError as error:
                log.warning("campaign_lease_not_renewed", error=str(error))
                continue
            if not kept:
                watch.lost = True
                return
            watch.until = now + ttl

    async def _tell(self, campaign_id: int, note: str) -> None:
        campaign = await self._store.db.read(lambda conn: campaigns.get(conn, campaign_id))
        if campaign is None:
            return
        log.warning("campaign_stopped", campaign=campaign_id, why=note)
        try:
            await self._told(campaign, note)
        except Exception:
            # Whoever cannot be told still finds it in the campaign's note.
            log.exception("campaign_owner_not_told", campaign=campaign_id)


class _Round:
    """One `run_once`."""

    def __init__(self, runner: Runner, watch: Watch) -> None:
        self._runner = runner
        self._store = runner._store
        self._rules = runner._rules
        self._now = runner._now
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + runner._budget_s
        self._started = self._sent = self._parts = self._calls = self._moved = 0
        self._lanes: dict[int, list[tuple[str, str]]] = {}

    def _over(self) -> bool:
        return (
            self._runner.stopping() or self._loop.time() >= self._ends_at or not self._watch.mine()
        )

    async def run(self) -> str:
        store, watch = self._store, self._watch
        lost = await store.deliveries.recover(watch.hold, self._now())
        if lost:
            log.warning("campaign_deliveries_unknown", count=lost)
        self._calls += await self._runner._masses.tend(watch)
        for campaign_id in await store.deliveries.cancelled_with_rows():
            await store.deliveries.cancel(campaign_id, self._now())
        await self._start()
        await self._tend_groups()
        for campaign in await self._active("freezing"):
            if not self._over():
                await self._freeze(campaign)
        while not self._over() and await self._turns():
            pass
        await self._finish()
        return self._said(lost)

    def _said(self, lost: int) -> str:
        counts = {
            "started": self._started,
            "sent": self._sent,
            "parts": self._parts,
            "looked after": self._calls,
            "in groups": self._moved,
            "unknown": lost,
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    async def _active(self, status: Status) -> list[Campaign]:
        """Those that go to members."""
        found = await self._store.db.read(campaigns.active)
        return [one for one in found if one.status == status and not one.places and self._may(one)]

    def _may(self, campaign: Campaign) -> bool:
        """Whether this process has the way that a campaign takes."""
        if campaign.places:
            return self._runner._groups is not None
        return campaign.channel in self._runner._accounts

    # Starting

    async def _start(self) -> None:
        now = self._now()
        for campaign in await self._store.db.read(lambda conn: campaigns.due(conn, now)):
            if self._over() or not self._may(campaign):
                continue
            if pace.late(campaign, now, self._rules.grace_s):
                await self._move(campaign, "late", ("scheduled",), "late")
            elif campaign.places:
                await self._into_groups(campaign)
            elif await self._store.freezing.begin(campaign.id, self._watch.hold, now):
                self._started += 1

    async def _into_groups(self, campaign: Campaign) -> None:
        assert self._runner._groups is not None
        begun = await self._runner._groups.begin(campaign, self._watch.hold)
        if begun is not None:
            self._started += 1
            if begun.note:
                await self._runner._tell(begun.id, begun.note)

    async def _tend_groups(self) -> None:
        if self._runner._groups is None:
            return
        found = await self._store.db.read(campaigns.active)
        running = [one for one in found if one.status == "running" and one.places]
        changed, ended = await self._runner._groups.tend(running, self._watch.hold)
        self._moved += changed + len(ended)

    async def _move(self, campaign: Campaign, to: Status, was: Sequence[str], note: str) -> None:
        now = self._now()
        moved = await self._store.db.write(
            lambda conn: campaigns.set_status(conn, campaign.id, to, now, was=was, note=note)
        )
        if moved is not None:
            await self._runner._tell(campaign.id, note)

    async def _freeze(self, campaign: Campaign) -> None:
        """Write the campaign's list, from where it is."""
        maker = _List(self._runner, campaign)
        try:
            while not self._over():
                page = await self._store.db.read(maker.page)
                if page is None:
                    ended = await self._store.freezing.end(
                        campaign.id, self._watch.hold, self._now()
                    )
                    if ended is not None and ended.note:
                        await self._runner._tell(campaign.id, ended.note)
                    return
                rows, to, hour = page
                if not await self._store.freezing.add(
                    maker.campaign, self._watch.hold, rows, to, self._now(), hour
                ):
                    return
                maker.written(to)
        except RuleError as error:
            # A segment that the rule names may be gone.
            log.warning("campaign_audience_unreadable", campaign=campaign.id, error=str(error))
            await self._move(campaign, "paused", ("freezing",), "audience")

    # Sending

    async def _turns(self) -> bool:
        """Let each campaign send for a while; whether there may be more to do at once."""
        more = False
        if pace.quiet(self._now(), self._rules.quiet):
            return False
        running = await self._active("running")
        for campaign in running:
            if self._over():
                break
            ends_at = self._loop.time() + (TURN_S if len(running) > 1 else float("inf"))
            more = await self._turn(campaign, ends_at) or more
        return more

    async def _turn(self, campaign: Campaign, ends_at: float) -> bool:
        def over() -> bool:
            return (
                self._over()
                or self._loop.time() >= ends_at
                or pace.quiet(self._now(), self._rules.quiet)
            )

        store, runner = self._store, self._runner
        if campaign.winner:
            while await store.deliveries.follow(campaign.id, self._watch.hold, self._now()):
                pass
        account = runner._accounts[campaign.channel]
        routes = await self._routes(campaign, account)
        more = False
        visited: set[str] = set()
        # To find them takes a walk through all that is due: once, as long as there is more.
        known = self._lanes.pop(campaign.id, None)
        lanes = await store.deliveries.lanes(campaign.id, self._now()) if known is None else known
        begun = await runner._masses.begun(campaign.id)
        for route, variant in [*begun, *(lane for lane in lanes if lane not in begun)]:
            if over():
                return True
            if route in MASS:
                done = await runner._masses.visit(
                    campaign, route, variant, routes, account, self._watch, over
                )
                self._parts += done.parts
                more = more or done.moved
                note = done.note
            elif route not in visited:
                visited.add(route)
                visit = await runner._singles.visit(campaign, route, routes, self._watch, over)
                self._sent += visit.sent
                more = more or (visit.sent > 0 and over())
                note = visit.note
            if note:
                await runner._tell(campaign.id, note)
                return False
        if more:
            self._lanes[campaign.id] = lanes
        return more or known is not None

    async def _routes(self, campaign: Campaign, account: Account) -> tuple[str, ...]:
        now, rules = self._now(), self._rules

        def read(conn: Connection) -> tuple[str, ...]:
            return planner.terms_of(conn, campaign, account, rules, now).passable

        return await self._store.db.read(read)

    async def _finish(self) -> None:
        for campaign in await self._active("running"):
            left = await self._store.deliveries.left(campaign.id)
            if left.nothing and campaign.kind != "step":
                await self._store.deliveries.finish(campaign.id, self._watch.hold, self._now())


class _List:
    """A campaign's list in the making: pages of its audience, and what becomes of each member."""

    def __init__(self, runner: Runner, campaign: Campaign) -> None:
        self._runner = runner
        self.campaign = campaign
        self._at = campaign.frozen_at or 0.0
        self._planner: planner.Planner | None = None

    def page(self, conn: Connection) -> tuple[list[Row], int, int | None] | None:
        """The next rows, up to which member they go, and the audience's hour if it is news;
        None when the list is complete. Runs on a reader's thread. Errors: RuleError."""
        runner, campaign = self._runner, self.campaign
        people = planner.page_of(
            conn,
            campaign,
            self._at,
            campaign.frozen_to,
            levels=runner._levels,
            tiers=runner._tiers,
        )
        if not people:
            return None
        hour: int | None = None
        if self._planner is None:
            hour = planner.hour_for(conn, campaign, people, self._at)
            account = runner._accounts[campaign.channel]
            terms = planner.terms_of(conn, campaign, account, runner._rules, self._at, hour)
            self._planner = planner.Planner(terms, freezing.customs(conn, campaign.id))
        rows = []
        for person in people:
            choice = self._planner.add(person)
            rows.append(
                Row(
                    person.member_id,
                    choice.status,
                    choice.route,
                    choice.reason,
                    choice.variant,
                    choice.due_at,
                )
            )
        return rows, people[-1].member_id, hour

    def written(self, to: int) -> None:
        """The rows up to this member are in the file."""
        self.campaign = replace(self.campaign, frozen_to=to)
