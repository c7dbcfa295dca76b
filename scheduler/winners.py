"""Early tests: when enough is known, or their time is over, the rest gets the better variant.

Looking every minute decides nothing by chance: the evidence is of a kind that may be looked at as
often as one likes (`insights/experiments.py`).
"""

from __future__ import annotations

import asyncio

from insights import experiments
from store import Store, campaigns


async def tick(store: Store, now: float) -> str:
    """Decide what can be decided; "" when nothing was."""
    did = []
    for campaign in await store.db.read(campaigns.active):
        if not campaign.test_share or campaign.winner or campaign.status != "running":
            continue
        # Of a test whose members all left meanwhile nothing is ever sent: its time ends as well.
        began = campaign.started_at or campaign.frozen_at or campaign.created_at
        over = now >= began + campaign.test_s
        arms = await store.campaign_reports.test(campaign.id, now, over=over)
        if not arms and not over:
            continue
        # The statistics' library takes 0.4 s to load.
        best = await asyncio.to_thread(experiments.winner, arms, campaign.metric, over=over)
        if not best and over:
            best = max(campaign.variants, key=lambda one: one.weight).name
        if best and await store.deliveries.decide(campaign.id, best, now):
            did.append(f"{campaign.label} goes on with {best}")
    return ", ".join(did)
