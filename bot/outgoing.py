"""What goes out to many, wired: the sender, the runner, the desk, and the jobs that move them.

Opened by `bot/app.py`; nothing here decides. The runner is woken when somebody confirmed or
resumed something, and looks by itself every second.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog

from bot import chart
from bot.campaign_filling import Filling
from bot.campaign_media import CampaignMedia
from bot.campaign_phone import Phone
from bot.campaigning import Desk, Place
from bot.client import Client
from bot.config import ChannelSettings, Config
from bot.group_campaigning import GroupDesk, ways_of
from bot.group_wording import GroupWording
from bot.incentives import rewards
from bot.links import Linker
from bot.pushes import Pushes
from bot.sender import Sender
from handlers.campaigning import Told
from handlers.message import Reply
from handlers.texts import Texts
from insights import experiments
from scheduler import journeys, repeat, winners
from scheduler.campaigns import Runner
from scheduler.clock import Job
from scheduler.group_campaigns import GroupRunner
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from scheduler.tags import TagSync
from store import Store, StoreError
from store.campaigns import Campaign
from store.catalogue import Item
from store.claims import gift_key

log = structlog.get_logger()

LOOK_S = 1.0
"""How often the runner looks for what is due."""
_JOURNEYS_S = 5.0
_WINNERS_S = 60.0
_TAGS_S = 300.0
_LAST_S = 0.5
"""How long the end of what was stopped by force may take."""
_REASONS = frozenset(
    {
        "late",
        "grown",
        "errors",
        "busy",
        "day_quota",
        "unknown",
        "audience",
        "nobody",
        "no_group",
        "overdue",
        "to_all",
    }
)


Chosen = Callable[[Collection[int]], Awaitable[Mapping[int, str] | None]]
"""The best item for each of these members; None where nobody chooses."""


def campaign_rules(config: Config) -> CampaignRules:
    """The operator's rules, as the runner and the planner use them."""
    given = config.campaigns
    return CampaignRules(
        quiet=(given.quiet_from, given.quiet_until),
        cap_day=given.cap_per_day,
        cap_week=given.cap_per_week,
        holdout=given.holdout_percent / 100,
        grace_s=given.grace_minutes * 60,
        window_s=given.window_days * 86_400,
        error_share=given.error_percent / 100,
        two_person_over=given.two_person_over,
        custom_per_minute=given.custom_per_minute,
        custom_per_day=given.custom_per_day,
        mass_per_minute=given.mass_per_minute,
        notice_per_minute=given.notice_per_minute,
        notice_per_day=given.notice_per_day,
        tag_per_minute=given.tag_per_minute,
        part=given.part,
        parallel=given.parallel,
        lease_s=given.lease_s,
    )


def _drawn(told: Told, letters: chart.Lettering) -> bytes:
    # The statistics take their time to load: in a thread, as the drawing.
    verdict = experiments.judge(told.report, told.report.metric)
    return chart.draw(told.report, verdict, letters)


def reached(tiers: Sequence[str], tier: str) -> Sequence[str]:
    """A membership and those below it. tiers: the lowest first."""
    return tiers[: tiers.index(tier) + 1] if tier in tiers else [tier]


def account_of(settings: ChannelSettings) -> Account:
    """What a channel's account may do."""
    return Account(settings.account, settings.verified)


class Outgoing:
    """Everything of campaigns that runs.

    clients: by channel. now: Unix seconds. pushes: tells owners. letters: of the charts. items: the
    catalogue in the order of its popularity. observe: route and end of each message or mass send.
    posted: posts into groups were planned. chosen: the best item for each of these members; for
    who is left out nothing is left. None from it, and when it fails: what is popular does.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        linker: Linker,
        clients: Mapping[str, Client],
        texts: Texts,
        pushes: Pushes,
        letters: chart.Lettering,
        *,
        now: Callable[[], float],
        items: Callable[[], Mapping[str, Item]],
        observe: Callable[[str, str], None],
        posted: Callable[[], None] = lambda: None,
        chosen: Chosen | None = None,
    ) -> None:
        self._store = store
        self._texts = texts
        self._pushes = pushes
        self._now = now
        self._rules = campaign_rules(config)
        self._patience_s = config.server.drain_s
        known = rewards(config)
        self._levels = tuple(level.points for level in known.levels)
        self._tiers = known.membership.tiers
        accounts = {name: account_of(one) for name, one in config.channels.items()}
        self._letters = letters
        self._items = items
        self._chosen = chosen
        filling = Filling(
            store,
            linker,
            now=now,
            business=config.business.name,
            levels=self._levels,
            best=self._best,
        )
        media = CampaignMedia(store.assets, now=now)
        sender = Sender(clients, filling, media, observe=observe)
        ways, wording = ways_of(config), GroupWording(filling, store.assets)
        self._runner = Runner(
            store,
            sender,
            self._rules,
            now=now,
            holder=secrets.token_hex(8),
            told=self._tell,
            accounts=accounts,
            levels=self._levels,
            tiers=self._tiers,
            groups=GroupRunner(store, wording, self._rules, ways, now=now, wake=posted),
            quit=lambda: self._closing,
        )
        self.phone = Phone(store, clients, filling, media)
        self._tags = TagSync(store, sender, self._rules, now=now)
        self.desk = Desk(
            store,
            self._rules,
            {name: Place(account=one, hosts=linker.hosts) for name, one in accounts.items()},
            self.phone,
            now=now,
            levels=self._levels,
            tiers=self._tiers,
            topics=config.business.topics,
            groups=GroupDesk(store, wording, self._rules, ways),
            chart=self._chart,
            wake=self.wake,
        )
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Something may be due."""
        self._something.set()

    def jobs(self) -> list[Job]:
        """What the clock runs: everything that moves campaigns but the sending itself."""
        return [
            Job("repeat_campaigns", self._repeat, every_s=_JOURNEYS_S),
            Job("winners", self._winners, every_s=_WINNERS_S),
            Job("journeys", self._journeys, every_s=_JOURNEYS_S),
            Job("tags", self._tags.run, every_s=_TAGS_S),
        ]

    async def close(self) -> None:
        """Claim no more and wait for what is under way, as long as for answers."""
        self._closing = True
        self._something.set()
        if self._task is None:
            return
        done, _ = await asyncio.wait({self._task}, timeout=self._patience_s)
        if not done:
            # What was under way is unknown after the start, as after a kill.
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            # Else whoever starts next waits for the lease to end; as it does after a kill, and
            # when the file is locked.
            with suppress(TimeoutError, StoreError):
                await asyncio.wait_for(self._runner.close(), _LAST_S)

    async def _run(self) -> None:
        while not self._closing:
            self._something.clear()
            try:
                did = await self._runner.run_once()
            except Exception as error:
                # One place for the whole runner: it must not end while the bot lives.
                log.error("campaigns_failed", error=type(error).__name__, exc_info=True)
                did = ""
                await asyncio.sleep(LOOK_S)
            if did:
                log.info("campaigns", did=did)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._something.wait()
            except TimeoutError:
                pass
        await self._runner.close()

    async def _repeat(self) -> str:
        return await repeat.tick(self._store, self._now())

    async def _winners(self) -> str:
        did = await winners.tick(self._store, self._now())
        if did:
            self.wake()
        return did

    async def _journeys(self) -> str:
        return await journeys.tick(
            self._store, self._now(), self._rules, levels=self._levels, tiers=self._tiers
        )

    async def _best(self, member_ids: Collection[int]) -> Mapping[int, str]:
        """What fits each best; who has nothing left is left out."""
        try:
            found = None if self._chosen is None else await self._chosen(member_ids)
        except Exception as error:  # noqa: BLE001 - said below
            # A campaign does not fail for want of a better item.
            log.warning("nothing_recommended", error=type(error).__name__)
            found = None
        return await self._popular(member_ids) if found is None else found

    async def _popular(self, member_ids: Collection[int]) -> Mapping[int, str]:
        """The most popular item that each may have and neither has nor refused."""
        now, every = self._now(), self._items().values()
        there = {item.id for item in every}
        items = [item for item in every if item.url and item.available(now)]
        found = {}
        for number in member_ids:
            known = await self._store.rec_data.known(number, now, now, opt_in=True, band=str)
            if known is None:
                continue
            have = known.holdings.owned | known.holdings.finished
            out = have | known.holdings.returned | known.disliked
            reach = {"", *reached(self._tiers, known.tier)}
            for item in items:
                open_to = item.needs_tier in reach and have.issuperset({*item.requires} & there)
                if open_to and item.id not in out:
                    found[number] = item.id
                    break
        return found

    async def _chart(self, told: Told) -> bytes:
        return await asyncio.to_thread(_drawn, told, self._letters)

    async def _tell(self, campaign: Campaign, why: str) -> None:
        """Tell whoever made it, or the owners when that was a program; the campaign's own note
        says it, too, to who asks."""
        words = self._words(campaign, why)
        made_by = campaign.created_by
        if made_by.startswith("member:"):
            await self._tell_one(campaign, why, int(made_by.removeprefix("member:")), words)
            return
        for member_id in await self._store.members.owners():
            await self._tell_one(campaign, why, member_id, words)

    async def _tell_one(self, campaign: Campaign, why: str, member_id: int, words: str) -> None:
        # What WeChat refuses to members it refuses to their operator: a preview is another call,
        # and reaches who has not written for days.
        ours = why in _REASONS
        if ours and await self._push(campaign, why, member_id, words):
            return
        if await self.phone.tell(campaign.channel, member_id, words):
            return
        if not ours:
            await self._push(campaign, why, member_id, words)

    async def _push(self, campaign: Campaign, why: str, member_id: int, words: str) -> bool:
        key = gift_key(f"campaign.told:{campaign.id}:{why}:{int(self._now())}:{member_id}")
        return await self._pushes.plan(key, member_id, Reply.text(words))

    def _words(self, campaign: Campaign, why: str) -> str:
        said: dict[str, Any] = {"campaign": campaign.id, "title": campaign.title}
        texts = self._texts
        match why:
            case "late":
                return texts("campaign_told.late", **said)
            case "grown":
                return texts("campaign_told.grown", approved=campaign.approved, **said)
            case "errors":
                return texts("campaign_told.errors", **said)
            case "busy":
                return texts("campaign_told.busy", **said)
            case "day_quota":
                return texts("campaign_told.day_quota", **said)
            case "unknown":
                return texts("campaign_told.unknown", **said)
            case "audience":
                return texts("campaign_told.audience", **said)
            case "nobody":
                return texts("campaign_told.nobody", **said)
            case "no_group":
                return texts("campaign_told.no_group", **said)
            case "overdue":
                return texts("campaign_told.overdue", **said)
            case "to_all":
                return texts("campaign_told.to_all", **said)
        return texts("campaign_told.other", why=why, **said)
