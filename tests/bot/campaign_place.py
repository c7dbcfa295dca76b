"""The real desk over a store, as a bot without WeChat has it, and members it may write to."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from datetime import time
from typing import Any

from PIL import Image

from bot.campaign_filling import Filling
from bot.campaign_media import CampaignMedia
from bot.campaign_phone import Phone
from bot.campaigning import Desk, Place
from handlers.campaigning import Told, Who
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from store import Store
from store.campaigns import NewCampaign, Variant
from store.claims import gift_key
from store.dialect import Connection

CHANNEL = "mp"
SERVICE = Place(account=Account("service", verified=True), hosts=("shop.example",))
WORDS = "周五开课，回复「退订」不再接收"
TEXT = {"kind": "text", "text": WORDS}


def desk_of(
    store: Store,
    now: Callable[[], float],
    *,
    chart: Callable[[Told], Awaitable[bytes]] | None = None,
    wake: Callable[[], None] = lambda: None,
    **rules: Any,
) -> Desk:
    """A desk for the service account `mp`; no quiet hours and no hold-out unless they are said."""
    given = {"quiet": (time(0), time(0)), "holdout": 0.0}
    filling = Filling(store, None, now=now, business="知行社")
    phone = Phone(store, {}, filling, CampaignMedia(store.assets, now=now))
    return Desk(
        store,
        CampaignRules(**{**given, **rules}),
        {CHANNEL: SERVICE},
        phone,
        now=now,
        chart=chart,
        wake=wake,
    )


def new(**fields: Any) -> NewCampaign:
    """A campaign that could go out to all who wrote lately; any field may be given."""
    given: dict[str, Any] = {
        "title": "开课",
        "channel": CHANNEL,
        "audience": "active 30d",
        "variants": (Variant(content=TEXT),),
        "holdout": 0.0,
        "metric": "reply",
    }
    return NewCampaign(**{**given, **fields})


def who(name: str, actor: str = "member:1", role: str = "owner") -> Who:
    """Somebody who asks. name: of the message; the same one again is the same message."""
    return Who(actor, role, gift_key(name))


async def fans(store: Store, now: float, count: int, *, allowance: int = 4) -> list[int]:
    """Followers of the account who wrote an hour ago."""

    def run(conn: Connection) -> list[int]:
        made = []
        for number in range(count):
            row = conn.execute(
                "insert into members (created_at) values (?) returning id", (now - 86_400,)
            ).fetchone()
            conn.execute(
                "insert into identities (channel, external_id, member_id, followed, followed_at, "
                "last_seen_at, allowance, allowance_until) values (?, ?, ?, 1, ?, ?, ?, ?)",
                (
                    CHANNEL,
                    f"o_fan{number:022}",
                    row[0],
                    now - 86_400,
                    now - 3600,
                    allowance,
                    now + 47 * 3600.0,
                ),
            )
            made.append(row[0])
        return made

    return await store.db.write(run)


async def delivered(store: Store, campaign_id: int, status: str, *members: int) -> list[int]:
    """What a runner would have left behind for these members; the numbers of the rows."""

    def run(conn: Connection) -> list[int]:
        return [
            conn.execute(
                "insert into deliveries (campaign_id, member_id, variant, route, status, "
                "claimed_at, settled_at, due_at) values (?, ?, 'A', 'custom', ?, 1.7e9, 1.7e9, "
                "null) returning id",
                (campaign_id, member, status),
            ).fetchone()[0]
            for member in members
        ]

    return await store.db.write(run)


async def begun(store: Store, campaign_id: int, status: str, now: float) -> None:
    """The runner has taken it up."""
    await store.db.write(
        lambda conn: conn.execute(
            "update campaigns set status = ?, started_at = ? where id = ?",
            (status, now, campaign_id),
        )
    )


def picture(form: str = "PNG") -> bytes:
    """A small picture."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(file, form)
    return file.getvalue()
