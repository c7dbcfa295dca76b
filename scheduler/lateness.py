"""What a campaign that has begun does after nobody was there to go on with it: it asks.

A list that is half sent when the process goes down is not finished the next morning as if
nothing had happened. How long nobody was there is what the lease says: when its last holder's
time had ended. That is gone once the lease is taken, so both are one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler import pace
from scheduler.rules import CampaignRules
from store import campaigns, deliveries, group_campaigns, leases
from store.campaigns import Campaign
from store.db import Many
from store.dialect import Connection
from store.leases import CAMPAIGNS, Hold


def asked(
    conn: Connection, asks: Sequence[tuple[str, float, CampaignRules]]
) -> list[tuple[Hold, list[int]] | None]:
    """`take` for all who asked at the same moment: (holder, now, rules)."""
    return [take(conn, holder, now, rules) for holder, now, rules in asks]


# The log is written in order: no claim survives a power cut without the lease it was made under.
# So the lease itself, renewed every second also by who has nothing to do, need not be synced.
TAKE = Many(asked, sync=False)


def take(
    conn: Connection, holder: str, now: float, rules: CampaignRules
) -> tuple[Hold, list[int]] | None:
    """Take the campaigns' lease; with it, the campaigns that are late since. None when another
    has it."""
    hold = leases.take(conn, CAMPAIGNS, holder, now, rules.lease_s)
    if hold is None:
        return None
    # Since when nobody was there; for who was the first, or has gone on, since no time at all.
    away = hold.before or now
    late = [
        campaign.id
        for campaign in campaigns.active(conn)
        if overdue(conn, campaign, away, now, rules)
        and campaigns.set_status(conn, campaign.id, "late", now, was=campaigns.OPEN, note="overdue")
    ]
    return hold, late


def overdue(
    conn: Connection, campaign: Campaign, away: float, now: float, rules: CampaignRules
) -> bool:
    """Whether a campaign that has begun, and goes out once, has to ask before it goes on.

    away: since when no runner was there. What was due meanwhile may be late by the grace, the
    quiet hours not counted; and after its own `not_after` nothing goes out unasked.
    """
    past = campaign.not_after is not None and now > campaign.not_after
    if campaign.kind != "once" or not (past or missed(away, now, rules)):
        return False
    if campaign.status == "freezing":
        return True
    if campaign.places:
        next_at = group_campaigns.left(conn, campaign.id).next_at
        return next_at is not None and (past or missed(max(away, next_at), now, rules))
    left = deliveries.left(conn, campaign.id)
    due = [away] if left.parts else []
    if left.next_at is not None:
        due.append(left.next_at)
    if left.waiting and campaign.frozen_at is not None:
        due.append(campaign.frozen_at + campaign.test_s)
    return bool(due) and (past or missed(max(away, min(due)), now, rules))


def missed(since: float, now: float, rules: CampaignRules) -> bool:
    """Whether more than the grace has gone by since then, without the quiet hours."""
    return pace.advance(since, rules.grace_s, rules.quiet) < now
