"""Rows for the bench of campaigns, many at a time: no verb of the store makes a million of them."""

from __future__ import annotations

from store import campaigns
from store.campaigns import Campaign, NewCampaign, Variant
from store.dialect import Connection

_NUMBERS = "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) "


def put_followers(conn: Connection, members: int, now: float) -> None:
    """Members 1 to `members`, `o1` and so on, who have just written; none where some are."""
    if conn.execute("select 1 from members limit 1").fetchone() is not None:
        return
    conn.execute(_NUMBERS + "insert into members (id, created_at) select i, 1 from n", (members,))
    conn.execute(
        _NUMBERS + "insert into identities (channel, external_id, member_id, followed, "
        "last_seen_at, allowance, allowance_until) select 'mp', 'o' || i, i, 1, ?, 5, ? from n",
        (members, now - 1, now + 40 * 3600),
    )


def put_campaign(conn: Connection, route: str, text: str, now: float) -> Campaign:
    """A campaign to everyone that is scheduled for now."""
    new = NewCampaign(
        title="上新",
        channel="mp",
        audience="everyone",
        variants=(Variant(content={"kind": "text", "text": text}),),
        routes=(route,),
        holdout=0.0,
        starts_at=now,
    )
    campaign = campaigns.insert(conn, new, now, "cli", status="scheduled")
    assert campaign is not None
    return campaign


def put_deliveries(
    conn: Connection, campaign: Campaign, members: int, claimed_at: float | None
) -> None:
    """One for each member: accepted when it was claimed, else planned."""
    conn.execute(
        _NUMBERS + "insert into deliveries (campaign_id, member_id, variant, route, status, "
        "due_at, claimed_at) select ?, i, 'A', ?, ?, ?, ? from n",
        (
            members,
            campaign.id,
            campaign.routes[0],
            "planned" if claimed_at is None else "accepted",
            campaign.starts_at,
            claimed_at,
        ),
    )


def count_deliveries(conn: Connection) -> int:
    """All there are."""
    return int(conn.execute("select count(*) from deliveries").fetchone()[0])
