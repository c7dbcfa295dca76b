"""Tags that carry one mass send: made, put on fifty members a call, dropped when it is over.

Putting a tag on twice is the same as once, so a kill in the middle costs one call.
"""

from __future__ import annotations

from collections.abc import Callable

from scheduler.planner import TAGGED
from scheduler.rules import CampaignRules
from scheduler.sending import End, Sender, Sent
from scheduler.watch import Watch
from store import Store, campaigns
from store.campaigns import Campaign
from store.parts import Part

STOPPED = "stopped"
"""Why a tag is not ready: nothing is wrong, it is gone on with in the next turn."""


def name_of(part: Part) -> str:
    """The tag of a part, at WeChat and here; 30 bytes at most."""
    return f"campaign:{part.campaign_id}:{part.number}"


class Tagging:
    """What a part by tag needs before its call."""

    def __init__(
        self, store: Store, sender: Sender, rules: CampaignRules, *, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._sender = sender
        self._rules = rules
        self._now = now

    async def ready(
        self, part: Part, campaign: Campaign, watch: Watch, over: Callable[[], bool]
    ) -> int | Sent:
        """WeChat's number of the part's tag, once every member carries it; a Sent when that has
        to wait or cannot be. over: whether to go on later; one call is always made."""
        store, channel, name = self._store, campaign.channel, name_of(part)
        tag = await store.gathering.tag_of(channel, name)
        if tag is None:
            made = await self._sender.make_tag(channel, name)
            if isinstance(made, Sent):
                return made
            tag = made
            await store.gathering.note_tag(channel, name, tag, campaign.id, self._now())
        calls = 0
        while part.left_at is None:
            openids = await store.gathering.untagged(part, channel, name, TAGGED)
            if not openids:
                break
            if not watch.mine() or (calls and over()) or not await self._running(campaign.id):
                return Sent(End.LATER, reason=STOPPED)
            calls += 1
            taken = await store.paces.take(
                f"tag:{channel}", 1, self._rules.tag_per_minute, 10, self._now()
            )
            if not taken.count:
                return Sent(End.LATER, reason="rate", after_s=taken.again_at - self._now())
            sent = await self._sender.tag(channel, tag, openids, on=True)
            if sent.end is End.ACCEPTED:
                await store.gathering.tagged(channel, name, openids, self._now())
            elif sent.end is End.REFUSED:
                sent = await self._one_by_one(part, campaign, tag, name, openids)
                if sent.end is not End.ACCEPTED:
                    return sent
            elif sent.end is End.STOP:
                return sent
            else:
                # What nobody heard may be done again.
                return Sent(End.LATER, after_s=sent.after_s, pace_s=sent.pace_s)
        return tag

    async def _running(self, campaign_id: int) -> bool:
        found = await self._store.db.read(lambda conn: campaigns.get(conn, campaign_id))
        return found is not None and found.status == "running"

    async def _one_by_one(
        self, part: Part, campaign: Campaign, tag: int, name: str, openids: list[str]
    ) -> Sent:
        """WeChat refuses fifty for one of them, and does not say which. LATER or STOP when it broke
        off."""
        channel = campaign.channel
        for openid in openids:
            sent = await self._sender.tag(channel, tag, [openid], on=True)
            if sent.end is End.ACCEPTED:
                await self._store.gathering.tagged(channel, name, [openid], self._now())
            elif sent.end is End.REFUSED:
                await self._store.gathering.untaggable(
                    campaign, part, openid, sent.reason or "error", self._now()
                )
            elif sent.end is End.STOP:
                return sent
            else:
                return Sent(End.LATER, after_s=sent.after_s, pace_s=sent.pace_s)
        return Sent(End.ACCEPTED)

    async def drop_spent(self, watch: Watch) -> None:
        """Remove the tags whose sends are over."""
        for channel, name, tag, _ in await self._store.gathering.spent_tags():
            if not watch.mine():
                return
            sent = await self._sender.drop_tag(channel, tag)
            if sent.end in (End.ACCEPTED, End.REFUSED):
                await self._store.gathering.forget_tag(channel, name)
