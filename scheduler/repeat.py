"""Campaigns that repeat: at each of its times a campaign of its own is made, once.

The row of the repeating one holds its next time, and making a campaign moves it on in the same
transaction; a unique key on parent and time stands behind that. After downtime only the newest
of the missed times gets a campaign: who was to hear something on three mornings does not want
it three times at noon. It is late, so the runner asks before it goes out.
"""

from __future__ import annotations

from scheduler.clock import CronError, newest_time, next_time
from store import Store, campaigns
from store.campaigns import Campaign


async def tick(store: Store, now: float) -> str:
    """Make what is due; "" when nothing was. Run again, it makes nothing twice."""
    did = []
    for parent in await store.db.read(lambda conn: campaigns.repeating(conn, now)):
        try:
            made = await _spawn(store, parent, now)
        except CronError as wrong:
            # Refused where it was typed; a row from elsewhere must not stop the others.
            did.append(f"{parent.label} cannot repeat: {wrong}")
            continue
        if made is not None:
            did.append(f"{made.label} made for {parent.label}")
    return ", ".join(did)


async def _spawn(store: Store, parent: Campaign, now: float) -> Campaign | None:
    """The newest of its times that have come; None when somebody was faster."""
    assert parent.starts_at is not None
    at = newest_time(parent.cron, parent.starts_at, now)
    then = next_time(parent.cron, now)
    return await store.db.write(lambda conn: campaigns.spawn(conn, parent, at, then, now))
