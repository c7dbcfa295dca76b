"""A crowd that never was: members by the million for measurements, the same every time.

Nothing of the service fills a store like this; it stands here because SQL does.
"""

from __future__ import annotations

from pathlib import Path

from store import dialect, migrate
from store.dialect import Connection
from store.points import shanghai_day

_SLICE = 100_000


def fill(path: Path, members: int, *, channel: str, now: float) -> None:
    """A new store with so many members, as a community has them.

    Two of three wrote this month, one in ten has left, one in thirty came another way. They have
    tags, points, orders, clicks and opt-outs, and most got a campaign before. Errors: those of
    SQLite.
    """
    conn = dialect.connect(path)
    try:
        migrate(conn)
        dialect.expect_much(conn)
        dialect.sync_commits(conn, False)
        facts = {"channel": channel, "now": now, "month": shanghai_day(now)[:7]}
        dialect.begin(conn)
        conn.execute(_BEFORE, facts)
        conn.execute("commit")
        for first in range(1, members + 1, _SLICE):
            last = min(first + _SLICE - 1, members)
            dialect.begin(conn)
            for statement in _ROWS:
                _each(conn, statement, facts | {"first": first, "last": last})
            conn.execute("commit")
        dialect.optimise(conn)
    finally:
        conn.close()


def _each(conn: Connection, statement: str, facts: dict[str, object]) -> None:
    """Run a statement over the numbers from first to last, as `n`, and something random, `r`."""
    conn.execute(
        "with recursive numbers(n) as (select :first union all select n + 1 from numbers "
        "where n < :last), r(n, r) as (select n, (n * 2654435761) % 1000003 from numbers) "
        + statement,
        facts,
    )


_BEFORE = (
    "insert into campaigns (id, title, channel, audience, routes, status, window_s, seed, "
    "created_at, created_by) values (1, 'before', :channel, 'everyone', 'custom', 'done', 1, "
    "x'00', :now, 'crowd')"
)
_ROWS = (
    "insert into members (id, created_at, tier, tier_until) select n, :now - r * 60, "
    "case when r % 10 = 0 then 'paid' else '' end, null from r",
    "insert into identities (channel, external_id, member_id, followed, followed_at, "
    "last_seen_at, allowance, allowance_until, blocked_at) "
    "select case when r % 30 = 0 then 'web' else :channel end, 'oBench' || (100000000 + n), n, "
    "r % 10 > 0, :now - r * 60, :now - (r % 4500) * 1000, r % 6, "
    ":now - (r % 4500) * 1000 + 172800, case when r % 200 = 7 then :now end from r",
    "insert into member_tags (member_id, tag, since) select n, "
    "case r % 3 when 0 then 'python' when 1 then '写作' else 'VIP' end, 0 from r",
    "insert into point_accounts (member_id, balance, earned, updated_at) "
    "select n, r % 900, r % 1000, 0 from r where r % 10 < 7",
    "insert into events (event_id, kind, at, received_at, member_id, item_id, amount_cents, "
    "order_id) select 'p' || n, 'purchase', :now - r * 20, 0, n, "
    "case when r % 2 then 'py-101' else 'other' end, 9900, 'o' || n from r where r % 5 = 0",
    "insert into events (event_id, kind, at, received_at, member_id, item_id, campaign) "
    "select 'c' || n, 'click', :now - r * 30, 0, n, 'py-101', 'c1' from r where r % 2 = 0",
    "insert into optouts (member_id, topic, since) select n, '', 0 from r where r % 50 = 3",
    "insert into subscriptions (member_id, topic, since) select n, '写作', 0 from r "
    "where r % 8 = 0",
    "insert into mass_received (channel, month, member_id, count) "
    "select :channel, :month, n, 1 + r % 4 from r where r % 2 = 0",
    "insert into deliveries (campaign_id, member_id, route, status, claimed_at, settled_at) "
    "select 1, n, 'custom', 'accepted', :now - (r % 900) * 1000, :now - 5 from r "
    "where r % 3 > 0",
)
