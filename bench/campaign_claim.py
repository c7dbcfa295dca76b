"""The next part of a campaign, in a ledger of five million deliveries: how long a claim takes.

One process: `python -m bench.campaign_claim FILE MEMBERS CAMPAIGNS CLAIMS`. Every member has a
delivery of every campaign; all but the newest have gone out, some of it this week, so that the
caps have something to count. Then windows of customer-service messages are claimed and settled
as the runner does it, and parts of a mass send gathered, each in the middle of the list.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from store import campaigns, deliveries, dialect, exchange, gathering, leases, migrate, parts
from store.campaigns import Campaign
from store.dialect import Connection
from store.exchange import Ended, Limits
from store.reach import Caps
from tests.bench.campaign_rows import (
    count_deliveries,
    put_campaign,
    put_deliveries,
    put_followers,
)

NOW = 1_795_000_000.0
WINDOW = 64
CAPS = Caps(day=1, week=7)
LIMITS = Limits(
    caps=CAPS,
    api="message/custom/send",
    per_minute=1e9,
    burst=1_000_000,
    per_day=1 << 40,
    routes=("custom",),
    lease_s=1e6,
)


def fill(conn: Connection, members: int, count: int) -> list[Campaign]:
    """Members, and campaigns of which the last two are still to go out."""
    dialect.expect_much(conn)
    dialect.begin(conn)
    put_followers(conn, members, NOW)
    made = []
    for number in range(count):
        route = "mass_list" if number == count - 2 else "custom"
        campaign = put_campaign(conn, route, "x", NOW)
        over = number < count - 2
        to: campaigns.Status = "done" if over else "running"
        campaigns.set_status(conn, campaign.id, to, NOW, was=("scheduled",))
        # Those of the past are one a day, the newest of them yesterday's.
        claimed_at = NOW - 86_400.0 * (count - 2 - number) if over else None
        put_deliveries(conn, campaign, members, claimed_at)
        made.append(campaign)
    conn.execute("commit")
    return made


def measured(conn: Connection, made: list[Campaign], claims: int) -> dict[str, Any]:
    """Milliseconds of each kind of step, as lists."""
    # With a sync at each commit, as the bot does.
    dialect.sync_commits(conn, True)
    hold = leases.take(conn, "campaigns", "bench", NOW, 3000.0)
    assert hold is not None
    times: dict[str, list[float]] = {"propose": [], "claim": [], "gather": []}
    custom = made[-1]
    after = deliveries.START
    ended: list[Ended] = []
    for _ in range(claims):
        began = time.perf_counter()
        page = deliveries.due(conn, custom.id, "custom", NOW, after, WINDOW)
        times["propose"].append(time.perf_counter() - began)
        after = page[-1]
        began = time.perf_counter()
        dialect.begin(conn)
        ids = [one for _, one in page]
        window = exchange.exchange(conn, custom, hold, "custom", ended, ids, LIMITS, NOW)
        conn.execute("commit")
        times["claim"].append(time.perf_counter() - began)
        assert len(window.going) == len(ids), window.status
        ended = [Ended(going=one, status="accepted") for one in window.going]
    mass = made[-2]
    dialect.begin(conn)
    part = parts.begin(conn, mass, hold, "mass_list", "A", NOW)
    conn.execute("commit")
    assert part is not None
    for _ in range(max(1, claims // 20)):
        # What was gathered has left the list of what is due: each looks from its beginning.
        page = deliveries.due(
            conn, mass.id, "mass_list", NOW, deliveries.START, gathering.SLICE, "A"
        )
        began = time.perf_counter()
        dialect.begin(conn)
        gathering.gather(
            conn,
            mass,
            part,
            hold,
            [one for _, one in page],
            Caps(),
            ("mass_list",),
            NOW,
            monthly=True,
        )
        conn.execute("commit")
        times["gather"].append(time.perf_counter() - began)
    return {name: [round(one * 1000, 3) for one in spent] for name, spent in times.items()}


def main() -> None:
    """See the module."""
    file, members, count, claims = sys.argv[1:]
    conn = dialect.connect(Path(file))
    migrate(conn)
    began = time.perf_counter()
    made = fill(conn, int(members), int(count))
    filled = time.perf_counter() - began
    rows = count_deliveries(conn)
    conn.close()
    conn = dialect.connect(Path(file))
    found = measured(conn, made, int(claims))
    conn.close()
    print(json.dumps({"rows": rows, "filled_s": round(filled, 1), "ms": found}))


if __name__ == "__main__":
    main()
