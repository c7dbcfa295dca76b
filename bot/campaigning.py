"""The desk of campaigns: one place for every door that makes, confirms or stops one.

The chat, the command line and the REST API ask the same verbs, so that what a confirmation means
does not depend on where it was typed: no finding that forbids it, a forecast that reaches
somebody within WeChat's limits, the code of exactly this state, and as many people as the rules
want. The desk sends nothing; the runner (`scheduler/campaigns.py`) notices the changed row.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Protocol

import structlog

from bot import campaign_content as contents
from bot.campaign_lint import Facts, lint, told
from bot.group_campaigning import GroupDesk
from handlers.campaigning import (
    Answer,
    Finding,
    Forecast,
    Look,
    Said,
    Shown,
    Told,
    Who,
)
from scheduler import clock, pace, planner
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from store import Store
from store.campaigns import Campaign, NewCampaign, code, state
from store.ledgers import Deed

log = structlog.get_logger()

_STEPPED = ("step",)
_FEW = 50
"""Members of an account below which a rule may well mean all of them."""


class Phone(Protocol):
    """What the desk asks of the way to WeChat: `bot/sender.py`."""

    async def preview(self, new: NewCampaign, variant: str, member_id: int) -> str:
        """Send a variant to one member's phone; "" when WeChat took it, else why not, Chinese."""

    async def shown(self, new: NewCampaign, variant: str, member_id: int | None) -> str:
        """A variant as this member would read it; as somebody would who is not known, for None."""

    async def picture(self, channel: str, png: bytes) -> str:
        """Upload a picture for an answer; its media id, "" when WeChat did not take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A channel, as the desk knows it. hosts: where links in its texts may lead."""

    account: Account
    hosts: tuple[str, ...] = ()


class Desk:
    """See `handlers.campaigning.Campaigns` for the verbs.

    places: by channel. now: Unix seconds. levels, tiers: as audiences know them. groups: what it
    knows of groups; None: no campaign goes into one. chart: makes a picture of a report, off the
    loop. wake: the runner has something to look at.
    """

    def __init__(
        self,
        store: Store,
        rules: CampaignRules,
        places: Mapping[str, Place],
        phone: Phone,
        *,
        now: Callable[[], float],
        levels: Sequence[int] = (),
        tiers: Sequence[str] = (),
        topics: Sequence[str] = (),
        groups: GroupDesk | None = None,
        chart: Callable[[Told], Awaitable[bytes]] | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._places = places
        self._phone = phone
        self._now = now
        self._levels = tuple(levels)
        self._tiers = tuple(tiers)
        self._topics = tuple(topics)
        self._groups = groups
        self._chart = chart
        self._wake = wake

    # Writing

    def blank(self, channel: str) -> NewCampaign:
        """What a campaign of this channel is before anybody says anything."""
        place = self._places.get(channel)
        service = place is None or place.account.kind == "service"
        return NewCampaign(
            title="",
            channel=channel,
            audience="",
            variants=(),
            # A subscription account has no list of openids: one call a day, by a tag.
            routes=("custom", "mass_list" if service else "mass_tag"),
            holdout=self._rules.holdout,
            window_s=self._rules.window_s,
        )

    def opens_at(self, now: float) -> float:
        """When something leaves that is to leave at once."""
        return pace.open_at(now, self._rules.quiet)

    async def check(self, new: NewCampaign, who: Who) -> Sequence[Finding]:
        """What is wrong with it, as far as can be said without the audience."""
        return await self._check(new, who)

    async def _check(
        self,
        new: NewCampaign,
        who: Who,
        share: float | None = None,
        number: int = 0,
        variants: Mapping[str, int] = MappingProxyType({}),
    ) -> Sequence[Finding]:
        place = self._places.get(new.channel)
        facts = await Facts.gather(
            self._store,
            new,
            account=place.account if place is not None else None,
            hosts=place.hosts if place is not None else (),
            topics=self._topics,
            tiers=self._tiers,
            owner=who.role == "owner",
            quiet=self._rules.quiet,
            now=self._now(),
            share=share,
            number=number,
            variants=variants,
        )
        # Templates are compiled and tried with their longest values: not on the loop.
        return await asyncio.to_thread(lint, new, facts)

    async def make(self, new: NewCampaign, who: Who) -> Campaign:
        """A draft; the same `who.key` gives the same one again."""
        now = self._now()
        deed = Deed(now, who.actor, "campaign.new")
        return await self._store.campaigns.create(new, now, who.actor, who.key, deed)

    async def edit(self, campaign_id: int, new: NewCampaign, who: Who) -> Answer:
        """Change what has not begun."""
        if (no := await self._refused(campaign_id, who)) is not None:
            return no
        now = self._now()
        deed = Deed(now, who.actor, "campaign.edit")
        done = await self._store.campaigns.edit(campaign_id, new, now, who.actor, who.key, deed)
        return await self._answer(campaign_id, done)

    async def schedule(self, campaign_id: int, starts_at: float | None, who: Who) -> Answer:
        """Set its time; it wants a new confirmation."""
        found = await self._store.campaigns.get(campaign_id)
        if found is None:
            return Answer(Said.NO_CAMPAIGN)
        if found.kind != "once":
            return Answer(Said.WRONG_STATUS, found)
        return await self.edit(campaign_id, replace(found.new, starts_at=starts_at), who)

    async def undo(self, campaign_id: int, who: Who) -> Answer:
        """Take the last change back."""
        if (no := await self._refused(campaign_id, who)) is not None:
            return no
        now = self._now()
        deed = Deed(now, who.actor, "campaign.undo")
        done = await self._store.campaigns.undo(campaign_id, now, who.actor, who.key, deed)
        if done is None:
            answer = await self._answer(campaign_id, None)
            nothing = answer.campaign is not None and answer.campaign.editable
            return replace(answer, said=Said.NOTHING) if nothing else answer
        return Answer(Said.DONE, done)

    # Looking

    async def look(self, campaign_id: int, who: Who) -> Look | None:
        """Everything about it before it goes."""
        found = await self._store.campaigns.get(campaign_id)
        if found is None:
            return None
        forecast, share = await self._forecast(found), None
        if found.places and self._groups is not None:
            shown = await self._groups.shown(found)
        else:
            shown = tuple([await self._shown(found, name, who) for name in _names(found)])
            members = await self._store.audiences.members(found.channel)
            share = forecast.matched / members if members >= _FEW else None
        findings = tuple(await self._check(found.new, who, share, found.id, forecast.variants))
        said_yes = await self._store.campaigns.approved_by(found)
        return Look(found, shown, findings, forecast, code(found, who.actor), said_yes)

    async def _shown(self, campaign: Campaign, name: str, who: Who) -> Shown:
        variant = campaign.variant(name)
        assert variant is not None
        kind = str(variant.content.get("kind", ""))
        # An operator reads their own copy: gaps are filled with what is true of them.
        reader = who.actor.removeprefix("member:") if who.actor.startswith("member:") else ""
        try:
            text = await self._phone.shown(campaign.new, name, int(reader) if reader else None)
        except contents.ContentError as error:
            text = f"（{told(error)}）"
        return Shown(name, kind, text)

    async def _forecast(self, campaign: Campaign) -> Forecast:
        at = await self._begins(campaign)
        if campaign.places:
            if self._groups is None:
                return Forecast(at, 0, 0, problems=("no_group",))
            return await self._groups.forecast(campaign, at)
        place = self._places.get(campaign.channel)
        if place is None:
            return Forecast(at, 0, 0, problems=("no_channel",))
        plan = await planner.forecast(
            self._store,
            campaign,
            self._rules,
            place.account,
            at,
            levels=self._levels,
            tiers=self._tiers,
        )
        return Forecast(**asdict(plan))

    async def _begins(self, campaign: Campaign) -> float:
        """When it would begin if it were confirmed now."""
        now = self._now()
        if campaign.kind == "cron":
            return await asyncio.to_thread(clock.next_time, campaign.cron, now)
        return now if campaign.starts_at is None else max(now, campaign.starts_at)

    async def to_phone(self, campaign_id: int, variant: str, member_id: int) -> str:
        """Send a preview to one member's phone."""
        found = await self._store.campaigns.get(campaign_id)
        if found is None or found.variant(variant) is None:
            return "没有这个活动或版本"
        return await self._phone.preview(found.new, variant, member_id)

    # Deciding

    async def confirm(
        self, campaign_id: int, code: str, who: Who, *, override: bool = False
    ) -> Answer:
        """Let it go out at its time."""
        if (no := await self._refused(campaign_id, who)) is not None:
            return no
        if override and who.role != "owner":
            return Answer(Said.OWNER_ONLY, await self._store.campaigns.get(campaign_id))
        if await self._store.campaigns.change(who.key) is not None:
            # This very message has done it; its code was of the draft.
            return await self._answer(campaign_id, await self._store.campaigns.get(campaign_id))
        look = await self.look(campaign_id, who)
        if look is None:
            return Answer(Said.NO_CAMPAIGN)
        campaign, forecast = look.campaign, look.forecast
        if not _is_code(code, campaign, who.actor):
            return Answer(Said.WRONG_CODE, campaign, look)
        if campaign.status == "scheduled" and campaign.confirmed_at is not None:
            return Answer(Said.AGAIN, campaign, look)
        if campaign.status != "draft" or campaign.kind in _STEPPED:
            return Answer(Said.WRONG_STATUS, campaign, look)
        if any(one.fixed or not override for one in look.errors):
            return Answer(Said.FINDINGS, campaign, look)
        if forecast.problems:
            nobody = "nobody" in forecast.problems
            return Answer(Said.NOBODY if nobody else Said.IMPOSSIBLE, campaign, look)
        now, seen = self._now(), state(campaign)
        said_yes = await self._store.campaigns.approve(campaign_id, seen, who.actor, now)
        most = self._rules.two_person_over
        if said_yes < (2 if most and forecast.recipients > most else 1):
            # 0: it was changed while we looked at it.
            return Answer(Said.WAITS if said_yes else Said.WRONG_CODE, campaign, look)
        overridden = " ".join(dict.fromkeys(one.rule for one in look.errors))
        action = "campaign.override" if overridden else "campaign.confirm"
        done = await self._store.campaigns.schedule(
            campaign_id,
            seen,
            len(forecast.going) if campaign.places else forecast.recipients,
            now,
            who.actor,
            who.key,
            Deed(now, who.actor, action),
            starts_at=forecast.at if campaign.kind == "cron" else None,
            overridden=overridden,
        )
        if done is None:
            answer = await self._answer(campaign_id, None)
            editable = answer.campaign is not None and answer.campaign.status == "draft"
            return replace(answer, said=Said.WRONG_CODE) if editable else answer
        self._wake()
        return Answer(Said.DONE, done, look)

    async def pause(self, campaign_id: int, who: Who) -> Answer:
        """Stop it after what is under way."""
        return await self._verb("pause", campaign_id, who)

    async def resume(self, campaign_id: int, who: Who) -> Answer:
        """Go on; also the yes of one that is late. A list that is not the one that was confirmed
        goes on with an owner's yes, and a second person's where a confirmation wants two."""
        if (no := await self._refused(campaign_id, who)) is not None:
            return no
        if (wait := await self._grown(campaign_id, who)) is not None:
            return wait
        answer = await self._verb("resume", campaign_id, who)
        self._wake()
        return answer

    async def _grown(self, campaign_id: int, who: Who) -> Answer | None:
        """Why a list that has grown does not go on yet; None when it does, or has not grown."""
        found = await self._store.campaigns.get(campaign_id)
        if found is None or found.status != "paused" or found.note != "grown":
            return None
        seen, most = state(found), self._rules.two_person_over
        # The first of them is an owner, so whoever follows need not be one.
        if who.role != "owner" and not await self._store.campaigns.approved_by(found):
            return Answer(Said.OWNER_ONLY, found)
        said_yes = await self._store.campaigns.approve(found.id, seen, who.actor, self._now())
        if said_yes < (2 if most and found.planned > most else 1):
            return Answer(Said.WAITS, found)
        return None

    async def cancel(self, campaign_id: int, who: Who) -> Answer:
        """End it for good."""
        answer = await self._verb("cancel", campaign_id, who)
        self._wake()
        return answer

    async def _verb(self, name: str, campaign_id: int, who: Who) -> Answer:
        if (no := await self._refused(campaign_id, who)) is not None:
            return no
        now = self._now()
        run = getattr(self._store.campaigns, name)
        done = await run(
            campaign_id, now, who.actor, who.key, Deed(now, who.actor, f"campaign.{name}")
        )
        return await self._answer(campaign_id, done)

    async def settle(self, delivery_id: int, arrived: bool, who: Who) -> bool:
        """Say what became of an unknown delivery."""
        if who.role not in ("operator", "owner"):
            return False
        now = self._now()
        deed = Deed(now, who.actor, "delivery.settle")
        return await self._store.deliveries.settle_unknown(delivery_id, arrived, now, deed)

    # Telling

    async def told(self, campaign_id: int, *, chart: bool = False) -> Told | None:
        """What became of it and what it caused."""
        report = await self._store.campaign_reports.read(campaign_id, self._now())
        if report is None:
            return None
        told = Told(report)
        if not chart or self._chart is None or report.groups:
            return told
        png = await self._chart(told)
        return Told(report, await self._phone.picture(report.channel, png))

    async def _refused(self, campaign_id: int, who: Who) -> Answer | None:
        """Why this role may not; None when it may."""
        if who.role in ("operator", "owner"):
            return None
        return Answer(Said.FORBIDDEN, await self._store.campaigns.get(campaign_id))

    async def _answer(self, campaign_id: int, done: Campaign | None) -> Answer:
        if done is not None:
            return Answer(Said.DONE, done)
        found = await self._store.campaigns.get(campaign_id)
        return Answer(Said.WRONG_STATUS if found is not None else Said.NO_CAMPAIGN, found)


def _is_code(typed: str, campaign: Campaign, actor: str) -> bool:
    """Whether these signs confirm this state, or have: the confirmation itself is a change, and
    a draft without a time gets one with it."""
    states = [campaign]
    if campaign.confirmed_at is not None:
        states.append(replace(campaign, serial=campaign.serial - 1))
        if campaign.kind == "once":
            states.append(replace(states[-1], starts_at=None))
    shown = "".join(typed.split()).upper().encode(errors="replace")
    return any(hmac.compare_digest(shown, code(one, actor).encode()) for one in states)


def _names(campaign: Campaign) -> list[str]:
    return [one.name for one in campaign.variants]
