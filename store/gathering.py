"""Filling a part with its members, in slices: who may still be written to, and has a mass send
left this month. Nothing leaves here; until a part is sealed all of it can be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence

from store import leases, mass_quota, reach
from store.campaigns import Campaign
from store.db import Database
from store.dialect import Connection
from store.leases import Hold
from store.parts import Part
from store.reach import Caps, many
from store.statements import pieces

SLICE = 500
"""Deliveries of one transaction."""

NEVER = ("opted_out", "blocked", "capped")
"""Why somebody must not get what WeChat would bring them all the same, sent to all."""


def gather(
    conn: Connection,
    campaign: Campaign,
    part: Part,
    hold: Hold,
    ids: Sequence[int],
    caps: Caps,
    routes: Sequence[str],
    now: float,
    *,
    monthly: bool,
) -> str:
    """Put those of `ids` that may go into a part that is being gathered; the others are skipped.

    routes: those that the account may take. monthly: each member has four a month (service
    accounts). Gives the campaign's status, "lost" when the lease is another's, or "to_all" when
    it goes to everybody and one of these must not get it. Unless that is "running", nothing has
    changed. One who is in the part already stays planned, for the next part.
    """
    if not leases.holds(conn, hold, now):
        return "lost"
    status = reach.open_now(conn, campaign)
    if status != "running":
        return status
    rows = reach.due_rows(conn, campaign.id, part.route, ids, now)
    rows = [row for row in rows if row.variant == part.variant]
    standings = reach.standings(conn, campaign, {row.member_id for row in rows}, now, caps)
    stopped = reach.stopped(conn, campaign, rows, now)
    here = set() if campaign.journey_id is None else _members(conn, part)
    skipped: dict[str, list[int]] = {}
    going: dict[int, int] = {}
    for row in rows:
        reason = stopped.get(row.id) or standings[row.member_id].reason
        if reason:
            skipped.setdefault(reason, []).append(row.id)
        elif row.member_id not in going and row.member_id not in here:
            going[row.member_id] = row.id
    if part.route == "mass_all" and not skipped.keys().isdisjoint(NEVER):
        return "to_all"
    if monthly and going:
        month = mass_quota.month_of(part.created_at)
        taken = mass_quota.take(conn, campaign.channel, month, list(going))
        over = [delivery for member, delivery in going.items() if member not in taken]
        going = {member: delivery for member, delivery in going.items() if member in taken}
        other = reach.next_route(routes, part.route)
        if over and other:
            reach.reroute(conn, over, other)
        elif over:
            skipped.setdefault("quota", []).extend(over)
    for reason, which in skipped.items():
        reach.skip(conn, which, reason, now)
    for piece in pieces(list(going.values())):
        marks = ", ".join("?" * len(piece))
        conn.execute(
            "update deliveries set status = 'sending', fence = ?, tries = tries + 1, "
            "claimed_at = ?, settled_at = null, errcode = null, reason = '', part_id = ? "
            f"where id in ({marks}) and status = 'planned'",
            (hold.fence, now, part.id, *piece),
        )
    conn.execute(
        "update parts set members = members + ?, fence = ? where id = ?",
        (len(going), hold.fence, part.id),
    )
    return status


def _members(conn: Connection, part: Part) -> set[int]:
    """Of a journey one member may be on twice; one call names nobody twice."""
    return {
        row[0]
        for row in conn.execute("select member_id from deliveries where part_id = ?", (part.id,))
    }


def alone(
    conn: Connection,
    campaign: Campaign,
    part: Part,
    hold: Hold,
    routes: Sequence[str],
    next_at: float | None,
    now: float,
) -> None:
    """A list of one cannot be sent: its member goes with the next that is due, by a
    customer-service message if one may be sent now, or not at all. A part of nobody just ends.

    next_at: when the next of the same route and variant is due; None when none is planned.
    """
    if not leases.holds(conn, hold, now):
        return
    done = conn.execute(
        "update parts set status = 'cancelled', note = 'alone', settled_at = ? "
        "where id = ? and status = 'gathering'",
        (now, part.id),
    ).rowcount
    if not done:
        return
    rows = conn.execute(
        "select id, member_id from deliveries where part_id = ? and status = 'sending'", (part.id,)
    ).fetchall()
    ids = [row[0] for row in rows]
    members = [row[1] for row in rows if row[1] is not None]
    month = mass_quota.month_of(part.created_at)
    mass_quota.give_back(conn, campaign.channel, month, members)
    for one, member_id in rows:
        gone = member_id is None
        conn.execute(
            "update deliveries set status = ?, reason = ?, part_id = null, claimed_at = null, "
            "due_at = case when ? then ? else due_at end, settled_at = ? where id = ?",
            (
                "skipped" if gone else "planned",
                "erased" if gone else "",
                next_at is not None,
                next_at,
                now if gone else None,
                one,
            ),
        )
    if next_at is not None:
        return
    standings = reach.standings(conn, campaign, members, now, Caps())
    if (
        "custom" in routes
        and members
        and standings[members[0]].allowance > 1
        and standings[members[0]].allowance_until > now
    ):
        reach.reroute(conn, ids, "custom")
    else:
        reach.skip(conn, ids, "alone", now)


def left_out(conn: Connection, part: Part) -> bool:
    """Whether anybody on the campaign's list must not get it, or gets it another way: then the
    part cannot go to all. About a second for a million: not for the writer."""
    gone = conn.execute(
        "select 1 from optouts as o join deliveries as d on d.member_id = o.member_id "
        "join campaigns as c on c.id = d.campaign_id where d.part_id = ? and o.since >= ? "
        "and o.topic in ('', c.topic) limit 1",
        (part.id, part.created_at),
    ).fetchone()
    if gone is not None:
        return True
    never = ", ".join("?" * len(NEVER))
    rows = conn.execute(
        "select 1 from deliveries where campaign_id = ? and (status = 'held' "
        f"or (status = 'skipped' and reason in ({never})) "
        "or (status in ('sending', 'accepted', 'delivered', 'unknown') and route <> 'mass_all')) "
        "limit 1",
        (part.campaign_id, *NEVER),
    )
    return rows.fetchone() is not None


def untagged(conn: Connection, part: Part, channel: str, tag: str, limit: int) -> list[str]:
    """Members of a part who do not carry its tag at WeChat yet; [] when all do."""
    rows = conn.execute(
        "select (select i.external_id from identities as i where i.member_id = d.member_id "
        "and i.channel = ? order by i.last_seen_at desc limit 1) from deliveries as d "
        "where d.part_id = ? and d.status = 'sending' and d.member_id is not null "
        "and not exists (select 1 from wechat_tagged as t where t.channel = ? and t.tag = ? "
        "and t.member_id = d.member_id) order by d.id limit ?",
        (channel, part.id, channel, tag, limit),
    )
    return [row[0] for row in rows if row[0] is not None]


def tagged(
    conn: Connection, channel: str, tag: str, external_ids: Sequence[str], now: float
) -> None:
    """WeChat has put the tag on these."""
    for (member_id,) in many(
        conn,
        "select member_id from identities where external_id in ({rows}) and channel = ?",
        external_ids,
        channel,
    ):
        conn.execute(
            "insert into wechat_tagged (channel, tag, member_id, at) values (?, ?, ?, ?) "
            "on conflict do nothing",
            (channel, tag, member_id, now),
        )


def untaggable(
    conn: Connection, campaign: Campaign, part: Part, external_id: str, reason: str, now: float
) -> None:
    """WeChat does not put the tag on this one: refused, and out of the part."""
    rows = conn.execute(
        "select d.id, d.member_id from deliveries as d join identities as i "
        "on i.member_id = d.member_id where i.channel = ? and i.external_id = ? "
        "and d.part_id = ? and d.status = 'sending'",
        (campaign.channel, external_id, part.id),
    ).fetchall()
    conn.executemany(
        "update deliveries set status = 'refused', reason = ?, settled_at = ?, part_id = null "
        "where id = ?",
        [(reason, now, row[0]) for row in rows],
    )
    mass_quota.give_back(
        conn,
        campaign.channel,
        mass_quota.month_of(part.created_at),
        [row[1] for row in rows],
    )
    conn.execute(
        "update parts set members = members - ? where id = ?",
        (len(rows), part.id),
    )


def tag_of(conn: Connection, channel: str, tag: str) -> int | None:
    """WeChat's number of a tag; None before it was made."""
    row = conn.execute(
        "select wechat_id from wechat_tags where channel = ? and tag = ?", (channel, tag)
    ).fetchone()
    return None if row is None else row[0]


def note_tag(
    conn: Connection, channel: str, tag: str, wechat_id: int, campaign_id: int, now: float
) -> None:
    """A tag that only carries a campaign was made."""
    conn.execute(
        "insert into wechat_tags (channel, tag, wechat_id, campaign_id, synced_at) "
        "values (?, ?, ?, ?, ?) on conflict (channel, tag) do update "
        "set wechat_id = excluded.wechat_id, campaign_id = excluded.campaign_id",
        (channel, tag, wechat_id, campaign_id, now),
    )


def forget_tag(conn: Connection, channel: str, tag: str) -> None:
    """The tag is gone at WeChat, and from everybody."""
    conn.execute("delete from wechat_tagged where channel = ? and tag = ?", (channel, tag))
    conn.execute("delete from wechat_tags where channel = ? and tag = ?", (channel, tag))


def spent_tags(conn: Connection) -> list[tuple[str, str, int, int]]:
    """(channel, tag, WeChat's number, campaign) of tags whose sends are settled."""
    rows = conn.execute(
        "select t.channel, t.tag, t.wechat_id, t.campaign_id from wechat_tags as t "
        "where t.campaign_id is not null and t.wechat_id is not null and not exists "
        "(select 1 from parts as p where p.campaign_id = t.campaign_id "
        "and p.route = 'mass_tag' and p.settled_at is null)"
    )
    return rows.fetchall()


class Gathering:
    """Parts in the making, and the tags that carry some of them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def gather(
        self,
        campaign: Campaign,
        part: Part,
        hold: Hold,
        ids: Sequence[int],
        caps: Caps,
        routes: Sequence[str],
        now: float,
        *,
        monthly: bool,
    ) -> str:
        """`gather` in a transaction of its own."""
        return await self._db.write(
            lambda conn: gather(conn, campaign, part, hold, ids, caps, routes, now, monthly=monthly)
        )

    async def left_out(self, part: Part) -> bool:
        """`left_out`, read."""
        return await self._db.read(lambda conn: left_out(conn, part))

    async def alone(
        self,
        campaign: Campaign,
        part: Part,
        hold: Hold,
        routes: Sequence[str],
        next_at: float | None,
        now: float,
    ) -> None:
        """`alone` in a transaction of its own."""
        await self._db.write(lambda conn: alone(conn, campaign, part, hold, routes, next_at, now))

    async def untagged(self, part: Part, channel: str, tag: str, limit: int) -> list[str]:
        """`untagged`, read."""
        return await self._db.read(lambda conn: untagged(conn, part, channel, tag, limit))

    async def tagged(self, channel: str, tag: str, external_ids: Sequence[str], now: float) -> None:
        """`tagged` in a transaction of its own."""
        await self._db.write(lambda conn: tagged(conn, channel, tag, external_ids, now))

    async def untaggable(
        self, campaign: Campaign, part: Part, external_id: str, reason: str, now: float
    ) -> None:
        """`untaggable` in a transaction of its own."""
        await self._db.write(
            lambda conn: untaggable(conn, campaign, part, external_id, reason, now)
        )

    async def tag_of(self, channel: str, tag: str) -> int | None:
        """`tag_of`, read."""
        return await self._db.read(lambda conn: tag_of(conn, channel, tag))

    async def note_tag(
        self, channel: str, tag: str, wechat_id: int, campaign_id: int, now: float
    ) -> None:
        """`note_tag` in a transaction of its own."""
        await self._db.write(lambda conn: note_tag(conn, channel, tag, wechat_id, campaign_id, now))

    async def forget_tag(self, channel: str, tag: str) -> None:
        """`forget_tag` in a transaction of its own."""
        await self._db.write(lambda conn: forget_tag(conn, channel, tag))

    async def spent_tags(self) -> list[tuple[str, str, int, int]]:
        """`spent_tags`, read."""
        return await self._db.read(spent_tags)
