"""The real desk and the real runner over the store of a conversation; only WeChat is made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import time
from typing import Any

from bot import campaign_content
from bot.campaigning import Desk, Place
from handlers import campaign_words
from handlers.campaigning import Told
from scheduler.campaigns import Runner
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from scheduler.sending import End, Mass, MassState, One, Sent
from store.campaigns import Campaign, NewCampaign
from store.messages import Finished, Incoming
from tests.handlers.conftest import CHANNEL, Conversation

_ROUNDS = 6
ACCOUNT = Account("service", verified=True)
VALUES: dict[str, Any] = {
    "business": "知行社",
    "topic": "",
    "level": 1,
    "points": 0,
    "tier": "",
    "days": 3,
    "invited": 0,
    "coupon": {"code": "ABCD-EFGH-JKMNP", "title": "早鸟券", "ends": "12月1日"},
    "item": {"title": "写作入门", "url": "https://shop.example/write", "price": "199"},
    "link": str,
}


class Phones:
    """What members' phones show, by openid: each message once, in order.

    silent: whose messages nobody hears of (UNKNOWN). refusing: what previews are refused with.
    """

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self.received: dict[str, list[str]] = {}
        self.silent: set[str] = set()
        self.refusing = ""
        self.previews: list[tuple[str, int]] = []
        self.stop_after: tuple[int, Callable[[], Any]] | None = None

    async def _text(self, new: NewCampaign, name: str) -> str:
        (variant,) = [one for one in new.variants if one.name == name]
        values = campaign_content.render(variant.content, VALUES).values
        return str(values.get("text") or values.get("question") or values.get("title") or "")

    # What the desk asks

    async def preview(self, new: NewCampaign, variant: str, member_id: int) -> str:
        if not self.refusing:
            self.previews.append((await self._text(new, variant), member_id))
        return self.refusing

    async def shown(self, new: NewCampaign, variant: str, member_id: int | None) -> str:
        return await self._text(new, variant)

    async def picture(self, channel: str, png: bytes) -> str:
        return f"media_{png.decode()}"

    # What the runner asks

    async def one(self, delivery: One) -> Sent:
        campaign = await self._talk.store.campaigns.get(delivery.campaign_id)
        assert campaign is not None
        if delivery.external_id in self.silent:
            return Sent(End.UNKNOWN)
        text = await self._text(campaign.new, delivery.variant)
        self.received.setdefault(delivery.external_id, []).append(text)
        if self.stop_after is not None and len(self.received) == self.stop_after[0]:
            await self.stop_after[1]()
        return Sent(End.ACCEPTED)

    async def payload(self, part: Mass) -> str | Sent:
        return "{}"

    async def mass(self, part: Mass) -> Sent:
        raise AssertionError("these campaigns go by customer-service messages")

    async def state(self, channel: str, msg_id: str) -> MassState:
        return MassState("")

    async def make_tag(self, channel: str, name: str) -> int | Sent:
        return 1

    async def tag(self, channel: str, tag_id: int, openids: Sequence[str], on: bool) -> Sent:
        return Sent(End.ACCEPTED)

    async def drop_tag(self, channel: str, tag_id: int) -> Sent:
        return Sent(End.ACCEPTED)


class Campaigning:
    """A conversation with a desk, a runner, and members who may be written to.

    told: what the runner would have told the owner.
    """

    def __init__(self, talk: Conversation, **rules: Any) -> None:
        self.talk = talk
        self.phones = Phones(talk)
        quiet = {"quiet": (time(22, 0), time(8, 0)), "holdout": 0.0, "parallel": 2}
        self.rules = CampaignRules(**{**quiet, **rules})
        self.told: list[tuple[int, str]] = []
        self.desk = Desk(
            talk.store,
            self.rules,
            {CHANNEL: Place(account=ACCOUNT, hosts=("shop.example",))},
            self.phones,
            now=lambda: talk.at,
            topics=talk.business.topics,
            chart=self._chart,
        )
        talk.campaigns = self.desk

    async def _chart(self, told: Told) -> bytes:
        return f"chart_{told.report.campaign_id}".encode()

    async def fans(self, *names: str) -> list[int]:
        """Members who follow and wrote just now, so that we may write to them."""
        talk = self.talk
        for name in names:
            await talk.happen("subscribe", who=name)
            message = talk.message("课程", name)
            key = bytes.fromhex(message.key)
            await talk.store.messages.record(Incoming(key, CHANNEL, name, talk.at, b"{}"))
            heard = (key, b"", talk.at, CHANNEL, name, "text", "课程", "content", "")
            await talk.store.messages.finish(Finished(*heard, allowance=20))
        talk.later(minutes=1)
        return [await talk.member(name) for name in names]

    async def run(self) -> None:
        """What the clock would do in the next seconds."""

        async def told(campaign: Campaign, note: str) -> None:
            self.told.append((campaign.id, campaign_words.note(self.talk.texts, note, campaign.id)))

        runner = Runner(
            self.talk.store,
            self.phones,
            self.rules,
            now=lambda: self.talk.at,
            holder="test",
            told=told,
            accounts={CHANNEL: ACCOUNT},
        )
        for _ in range(_ROUNDS):
            await runner.run_once()
            self.talk.later(seconds=1)  # the pace gives a few messages a second
        await runner.close()
