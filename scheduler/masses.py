"""Mass sends: a part is gathered, sealed, and sent under one name until WeChat has said yes.

WeChat sends what has a known clientmsgid once. So a part that left and was not heard of is sent
again, the same bytes under the same name, and the answer says what became of the first: nothing
of these routes stays unknown, unless WeChat was silent for a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from scheduler import pace, planner
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from scheduler.sending import End, Mass, Sender, Sent
from scheduler.tagging import STOPPED, Tagging
from scheduler.watch import Watch
from store import Store, campaigns, mass_quota, parts
from store.campaigns import Campaign
from store.deliveries import START
from store.gathering import SLICE
from store.parts import Part, Word
from store.reach import Caps

log = structlog.get_logger()

STALE_S = 600.0
"""A part that has been waiting for longer asks its members anew."""

STALE_TAG_S = 6 * 3600.0
"""Putting a tag on many takes its time."""

TRIES = 5
"""So often in a row WeChat may be busy before the campaign pauses."""

_BAD_LISTS = (40003, 40031)
"""WeChat refused the list for somebody on it, and does not say for whom."""


@dataclass(slots=True)
class Done:
    """What a turn came to. parts: accepted ones; note: why the campaign was paused, "" for not;
    moved: whether there may be more to do at once."""

    parts: int = 0
    note: str = ""
    moved: bool = False


class Masses:
    """The routes `mass_list`, `mass_tag` and `mass_all`."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        rules: CampaignRules,
        *,
        now: Callable[[], float],
        told: Callable[[int, str], Awaitable[None]],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._sender = sender
        self._rules = rules
        self._now = now
        self._told = told
        self._stopping = stopping
        self._tagging = Tagging(store, sender, rules, now=now)
        self._followed: set[int] = set()
        self._sizes: dict[int, int] = {}
        self._wait: dict[int, float] = {}
        self._busy: Counter[int] = Counter()

    # What has begun

    async def tend(self, watch: Watch) -> int:
        """Go on with every part that is not settled; says how many calls were made."""
        calls = 0
        for part in await self._store.parts.unsettled():
            if not watch.mine() or self._stopping():
                break
            if part.status in parts.OPEN:
                calls += await self._open(part, watch)
            elif part.status == "accepted":
                await self._follow(part)
                calls += await self._look(part)
            else:
                await self._store.parts.spread(part.id, self._now())
        await self._tagging.drop_spent(watch)
        return calls

    async def _follow(self, part: Part) -> None:
        if part.id not in self._followed:
            await self._store.parts.spread(part.id, self._now())
            self._followed.add(part.id)

    async def _look(self, part: Part) -> int:
        """Ask WeChat for a send whose finish event did not come."""
        now = self._now()
        if part.due_at > now:
            return 0
        campaign = await self._campaign(part.campaign_id)
        if not part.msg_id:
            await self._store.parts.looked(part, "", "", now)
            return 0
        found = await self._sender.state(campaign.channel, part.msg_id)
        await self._store.parts.looked(part, found.status, found.raw, self._now())
        await self._store.parts.spread(part.id, self._now())
        return 1

    async def _campaign(self, campaign_id: int) -> Campaign:
        found = await self._store.db.read(lambda conn: campaigns.get(conn, campaign_id))
        assert found is not None
        return found

    async def _open(self, part: Part, watch: Watch) -> int:
        """A part that is gathering or on its way."""
        campaign = await self._campaign(part.campaign_id)
        now = self._now()
        left = part.left_at
        if left is not None and now - left > parts.KNOWN_S:
            if await self._store.parts.give_up(part, "no answer for 23 hours", now):
                await self._store.parts.spread(part.id, now)
                await self._told(campaign.id, "unknown")
            return 0
        if campaign.status == "cancelled" and left is not None:
            # To ask WeChat is to send it: what is cancelled is not sent, so nobody knows.
            if await self._store.parts.give_up(part, "cancelled", now):
                await self._store.parts.spread(part.id, now)
            return 0
        if left is None and self._is_stale(part, campaign, now):
            await self._take_apart(part, "gathered anew")
            return 0
        if part.status == "gathering" or campaign.status != "running" or part.due_at > now:
            return 0
        if pace.quiet(now, self._rules.quiet):
            return 0
        done = await self._send(part, campaign, watch, self._stopping, first=False)
        if done.note:
            await self._told(campaign.id, done.note)
        return 1

    def _is_stale(self, part: Part, campaign: Campaign, now: float) -> bool:
        if campaign.status != "running":
            return True
        if mass_quota.month_of(now) != mass_quota.month_of(part.created_at):
            return True
        limit = STALE_TAG_S if part.route == "mass_tag" else STALE_S
        return not 0 <= now - part.created_at < limit

    # A new part

    async def visit(
        self,
        campaign: Campaign,
        route: str,
        variant: str,
        routes: Sequence[str],
        account: Account,
        watch: Watch,
        over: Callable[[], bool],
    ) -> Done:
        """Gather one part of what is due for this route and variant, and send it.

        over: whether the turn has ended; the part is gone on with in the next one.
        """
        if self._wait.get(campaign.id, 0.0) > self._now():
            return Done()
        at = self._now()
        part = await self._gathering(campaign, route, variant)
        if part is None and not await self._store.deliveries.due(
            campaign.id, route, at, limit=1, variant=variant
        ):
            return Done()
        if await self._spent(campaign, route, account):
            if part is not None:
                await self._take_apart(part, "day_quota")
            return await self._pause(campaign, "day_quota")
        if part is None:
            part = await self._store.parts.begin(campaign, watch.hold, route, variant, at)
        if part is None:
            return Done()
        monthly = account.kind == "service"
        status = await self._fill(part, campaign, routes, watch, over, monthly=monthly)
        if status == "to_all":
            return await self._not_to_all(part, campaign)
        if status != "running":
            return Done(moved=status == "over")
        filled = await self._store.parts.get(part.id)
        assert filled is not None
        if filled.members < (2 if route == "mass_list" else 1):
            return await self._alone(filled, campaign, routes, watch, at)
        if route == "mass_list" and len(await self._openids(filled, campaign)) < 2:
            # Somebody of two was erased since.
            return await self._alone(filled, campaign, routes, watch, at)
        return await self._send(filled, campaign, watch, over, first=True)

    async def _alone(
        self, part: Part, campaign: Campaign, routes: Sequence[str], watch: Watch, at: float
    ) -> Done:
        """Too few for a list: they wait for who is due later than `at`, when this began. What
        is due since before and not in the part is of the same member once more."""
        later = await self._store.deliveries.due(
            campaign.id, part.route, float("inf"), (at, 1 << 62), limit=1, variant=part.variant
        )
        next_at = later[0][0] if later else None
        await self._store.gathering.alone(campaign, part, watch.hold, routes, next_at, self._now())
        return Done(moved=True)

    async def _openids(self, part: Part, campaign: Campaign) -> list[str]:
        return await self._store.parts.openids(part, campaign.channel)

    async def begun(self, campaign_id: int) -> list[tuple[str, str]]:
        """Routes and variants of the campaign's parts that are being gathered; [] for none.

        They have taken what is due: nothing else shows that there is something to do.
        """
        return [
            (part.route, part.variant)
            for part in await self._store.parts.unsettled()
            if part.campaign_id == campaign_id and part.status == "gathering"
        ]

    async def _gathering(self, campaign: Campaign, route: str, variant: str) -> Part | None:
        wanted = (campaign.id, route, variant, "gathering")
        for part in await self._store.parts.unsettled():
            if (part.campaign_id, part.route, part.variant, part.status) == wanted:
                return part
        return None

    async def _take_apart(self, part: Part, why: str) -> bool:
        """A part that has not left does not; its members are free again."""
        now = self._now()
        if not await self._store.parts.drop(part, why, now):
            return False
        await self._store.parts.spread(part.id, now)
        return True

    async def _not_to_all(self, part: Part, campaign: Campaign) -> Done:
        await self._take_apart(part, "to_all")
        return await self._pause(campaign, "to_all")

    async def _spent(self, campaign: Campaign, route: str, account: Account) -> bool:
        """Whether the account has no such send left today."""
        service = account.kind == "service"
        if service and route != "mass_all":
            return False
        now, channel = self._now(), campaign.channel
        left = await self._store.db.read(
            lambda conn: mass_quota.left(conn, channel, now, service=service)
        )
        return left.mass == 0 or (route == "mass_all" and left.to_all <= 0)

    async def _fill(
        self,
        part: Part,
        campaign: Campaign,
        routes: Sequence[str],
        watch: Watch,
        over: Callable[[], bool],
        *,
        monthly: bool,
    ) -> str:
        """Gather until the part is as large as it should be, or nothing more is due; "running"
        then, else "over", "lost", "to_all" or the campaign's status.

        Each delivery is proposed once: what the store leaves planned is for the next part.
        """
        store, rules = self._store, self._rules
        caps = Caps(rules.cap_day, rules.cap_week)
        size = members = 0
        after = START
        while True:
            now = self._now()
            look = 2 * rules.part + 2 if part.route == "mass_list" else 50 * SLICE
            page = await store.deliveries.due(
                campaign.id, part.route, now, after, look, part.variant
            )
            found = await store.parts.get(part.id)
            assert found is not None
            members = found.members
            if not size:
                size = self._size(part, len(page) + members, look)
            places = page[: max(0, size - members)]
            if not places:
                return "running"
            after = places[-1]
            ids = [one for _, one in places]
            for at in range(0, len(ids), SLICE):
                if not watch.mine():
                    return "lost"
                status = await store.gathering.gather(
                    campaign,
                    part,
                    watch.hold,
                    ids[at : at + SLICE],
                    caps,
                    routes,
                    self._now(),
                    monthly=monthly,
                )
                if status != "running":
                    return status
                if over():
                    return "over"

    def _size(self, part: Part, due: int, look: int) -> int:
        """How many members the part should have, of so many that are due."""
        if part.route != "mass_list":
            return 1 << 62
        most = min(self._rules.part, self._sizes.get(part.campaign_id, self._rules.part))
        if due >= look:
            return most
        # Balanced, as the forecast said: nobody is left over alone.
        sizes = planner.parts_of(due, most)
        return sizes[0] if sizes else 0

    async def _pause(self, campaign: Campaign, note: str) -> Done:
        now = self._now()
        paused = await self._store.db.write(
            lambda conn: campaigns.set_status(
                conn, campaign.id, "paused", now, was=campaigns.OPEN, note=note
            )
        )
        return Done(note=note if paused else "")

    # A call

    async def _send(
        self,
        part: Part,
        campaign: Campaign,
        watch: Watch,
        over: Callable[[], bool],
        *,
        first: bool,
    ) -> Done:
        store = self._store
        mass = Mass(
            id=part.id,
            campaign_id=campaign.id,
            channel=campaign.channel,
            variant=part.variant,
            route=part.route,
            client_id=part.client_id,
            payload=part.payload,
        )
        if part.route == "mass_list":
            mass = replace(mass, openids=tuple(await self._openids(part, campaign)))
        elif part.route == "mass_tag":
            tag = await self._tagging.ready(part, campaign, watch, over)
            if isinstance(tag, Sent):
                if tag.reason == STOPPED:
                    return Done(moved=True)
                return await self._not_yet(part, campaign, tag)
            mass = replace(mass, tag_id=tag)
        if first:
            made = await self._sender.payload(mass)
            if isinstance(made, Sent):
                return await self._not_yet(part, campaign, made)
            mass = replace(mass, payload=made)
        if self._stopping() or pace.quiet(self._now(), self._rules.quiet):
            # All that took its time.
            return Done()
        may_leave = part.left_at is None and part.route == "mass_all"
        if may_leave and await store.gathering.left_out(part):
            return await self._not_to_all(part, campaign)
        answer, until = await store.parts.seal(
            part, watch.hold, mass.payload, self._rules.mass_per_minute, self._now(), first=first
        )
        if answer == "wait":
            self._wait[campaign.id] = until
        if answer == "old":
            return Done(moved=await self._take_apart(part, "gathered anew"))
        if answer != "go":
            return Done()
        sent = await self._call(mass, watch)
        self._busy[part.id] = self._busy[part.id] + 1 if sent.busy else 0
        # What is known of the call is written, whoever holds the lease by now.
        word = word_of(sent, self._busy[part.id])
        status = await store.parts.ended(part, word, self._now())
        if status in ("accepted", "delivered"):
            self._sizes.pop(campaign.id, None)
            await store.parts.spread(part.id, self._now())
            self._followed.add(part.id)
            return Done(parts=1, moved=True)
        return await self._bad(part, campaign, sent, status)

    async def _call(self, mass: Mass, watch: Watch) -> Sent:
        if not watch.mine():
            return Sent(End.LATER, reason="lease")
        try:
            return await self._sender.mass(mass)
        except Exception:
            # A sender never raises; if one does, nobody knows how far it was.
            log.exception("campaign_part_failed", campaign=mass.campaign_id)
            return Sent(End.UNKNOWN, reason="error")

    async def _bad(self, part: Part, campaign: Campaign, sent: Sent, status: str) -> Done:
        now = self._now()
        if status == "cancelled" and sent.errcode in _BAD_LISTS:
            # Somebody on the list is nobody to WeChat: smaller lists, until it is found.
            self._sizes[campaign.id] = max(2, part.members // 2)
        await self._store.parts.spread(part.id, now)
        if sent.pace_s:
            await self._store.paces.close(f"mass:{campaign.channel}", now + sent.pace_s, now)
        if sent.end is End.STOP:
            return await self._pause(campaign, sent.chat or sent.note or sent.reason)
        if status == "refused" and sent.errcode not in _BAD_LISTS:
            return await self._pause(campaign, sent.chat or sent.note or sent.reason or "refused")
        if self._busy[part.id] >= TRIES:
            # Who resumes it tries as often again.
            del self._busy[part.id]
            return await self._pause(campaign, "busy")
        return Done(moved=status in ("refused", "cancelled"))

    async def _not_yet(self, part: Part, campaign: Campaign, sent: Sent) -> Done:
        """What has to be done before the call did not go well; the call itself has not left."""
        now = self._now()
        if sent.end in (End.STOP, End.REFUSED):
            await self._take_apart(part, sent.reason)
            return await self._pause(campaign, sent.chat or sent.note or sent.reason or "refused")
        self._wait[campaign.id] = now + max(sent.after_s, sent.pace_s, 1.0)
        return Done()


def word_of(sent: Sent, busy: int) -> Word:
    """The end of a mass send as the store keeps it. busy: how often in a row WeChat said so."""
    status = {
        End.ACCEPTED: "accepted",
        End.REFUSED: "refused",
        End.LATER: "later",
        End.STOP: "stop",
        End.UNKNOWN: "unknown",
    }[sent.end]
    if sent.end is End.REFUSED and sent.errcode in _BAD_LISTS:
        status = "list"
    return Word(
        status=status,
        errcode=sent.errcode,
        reason=sent.reason,
        note=sent.note,
        msg_id=sent.wechat_id,
        data_id=sent.data_id,
        after_s=max(sent.after_s, 2.0 ** min(busy - 1, 5) if sent.busy else 0.0),
        # 45066: WeChat knows this name already, so a call before this one was heard. -1: it may
        # have been performed; WeChat allows it again under the same name only.
        sure=sent.end is not End.UNKNOWN and sent.errcode != 45066 and not sent.busy,
    )
