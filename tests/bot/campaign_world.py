"""A campaign's way to WeChat for tests: a fake WeChat, a store with members, pictures, items."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.campaign_filling import Filling
from bot.campaign_media import CampaignMedia
from bot.campaign_phone import Phone
from bot.client import Client
from bot.links import Linker
from bot.sender import Sender
from sandbox.fake_platform import Received
from scheduler.sending import Mass, One, Sent
from store.campaigns import NewCampaign, Variant
from store.catalogue import Item
from tests.bot.wechat_world import LIN, NOON, World, open_world

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
PUBLIC = "https://bot.example"
SHOP = "https://shop.example"
WANG = "oLVPpjqs9BhvzwPj5A-vTYAX3WaN"
COURSE = Item(
    id="py",
    kind="course",
    title="零基础学 Python",
    summary="",
    tags=(),
    authors=(),
    level="",
    price_cents=19_900,
    url=f"{SHOP}/py",
    cover_url="",
    published_at=NOON,
)


@dataclass
class Campaigning:
    """A sender over clients over a fake. member: LIN's number."""

    world: World
    sender: Sender
    phone: Phone
    filling: Filling
    linker: Linker
    clients: dict[str, Client]
    member: int

    async def campaign(self, content: Mapping[str, Any], **fields: Any) -> int:
        """A campaign with one variant, as a draft; its number."""
        new = self.new(content, **fields)
        made = await self.world.store.campaigns.create(new, NOON, "cli", None, None)
        return made.id

    def new(self, content: Mapping[str, Any], **fields: Any) -> NewCampaign:
        variants = (Variant(content=content),)
        return NewCampaign(
            title="秋天", channel="mp", audience="everyone", variants=variants, **fields
        )

    async def send(self, content: Mapping[str, Any], route: str = "custom", **fields: Any) -> Sent:
        """One message of a new campaign to LIN."""
        return await self.again(await self.campaign(content), route, **fields)

    async def again(self, campaign_id: int, route: str = "custom", **fields: Any) -> Sent:
        usual = {"id": 1, "member_id": self.member, "external_id": LIN, "channel": "mp"}
        given = {**usual, "campaign_id": campaign_id, "variant": "A", "route": route, **fields}
        return await self.sender.one(One(**given))

    def part(self, campaign_id: int, payload: str = "", **fields: Any) -> Mass:
        usual = {"id": 1, "channel": "mp", "variant": "A", "route": "mass_list"}
        rest = {"client_id": "zq-1-1", "openids": (LIN, WANG), "payload": payload}
        return Mass(**{**usual, **rest, "campaign_id": campaign_id, **fields})

    @property
    def inbox(self) -> list[Received]:
        """What LIN saw."""
        return self.world.fake.members[LIN].inbox


@asynccontextmanager
async def campaigning(tmp_path: Path, **options: Any) -> AsyncIterator[Campaigning]:
    """LIN has written and may get five messages; WANG follows. A picture "cover", an item "py"."""
    async with open_world(tmp_path) as world:
        store = world.store
        world.fake.mass.finish = world.fake.notices.report = "hold"
        world.fake.member(WANG)
        member = await store.members.meet("mp", LIN, NOON)
        await store.catalogue.put([COURSE], NOON)
        await store.assets.put("cover", PNG, NOON, "cli")
        linker = Linker(store, public_url=PUBLIC, allowed_hosts=("shop.example",), now=world.clock)
        await linker.open()
        filling = Filling(store, linker, now=world.clock, business="知行社", **options)
        media = CampaignMedia(store.assets, now=world.clock)
        clients = {"mp": world.client()}
        yield Campaigning(
            world,
            Sender(clients, filling, media),
            Phone(store, clients, filling, media),
            filling,
            linker,
            clients,
            member.id,
        )
