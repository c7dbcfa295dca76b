"""Who may be written to at this moment: asked again when a delivery is claimed.

A list is frozen long before its last message leaves. In between members unfollow, unsubscribe,
are written to by other campaigns, buy what a journey wants to sell. So the transaction that
claims asks all of it again, for many members at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from store import journeys
from store.campaigns import Campaign
from store.dialect import Connection
from store.statements import pieces

_DAY_S = 86_400.0
_SHANGHAI_S = 8 * 3600.0


@dataclass(frozen=True, slots=True)
class Caps:
    """Messages of all campaigns that a member may get on a day and in seven; 0: no cap."""

    day: int = 0
    week: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A planned delivery whose time has come."""

    id: int
    member_id: int
    variant: str
    route: str
    occasion: str
    tries: int


@dataclass(slots=True)
class Standing:
    """A member as the channel sees them now. reason: why they get nothing, "" when they may."""

    external_id: str = ""
    allowance: int = 0
    allowance_until: float = 0.0
    burst_until: float = 0.0
    reason: str = "not_following"


def many(conn: Connection, text: str, values: Collection[Any], *after: Any) -> Iterator[Any]:
    """A statement about many values, which stand where it says {rows}, before other arguments.

    Only one to which a repeated value makes no difference.
    """
    for piece in pieces(list(values)):
        yield from conn.execute(text.replace("{rows}", _MARKS[len(piece)]), (*piece, *after))


_MARKS = {count: ", ".join("?" * count) for count in (1, 2, 4, 8, 16, 32, 64)}


def day_start(now: float) -> float:
    """When the day of this moment began in Shanghai."""
    return (now + _SHANGHAI_S) // _DAY_S * _DAY_S - _SHANGHAI_S


def due_rows(
    conn: Connection, campaign_id: int, route: str, ids: Sequence[int], now: float
) -> list[Due]:
    """Those of these deliveries that are still planned for this route, and due; in their order."""
    found: dict[int, Due] = {}
    # By number alone, and the rest here: any other condition has an index that finds too many.
    for whose, status, due_at, *row in many(
        conn,
        "select campaign_id, status, due_at, id, member_id, variant, route, occasion, tries "
        "from deliveries where id in ({rows})",
        ids,
    ):
        one = Due(*row)
        if (whose, status, one.route) != (campaign_id, "planned", route):
            continue
        if one.member_id is not None and due_at is not None and due_at <= now:
            found[one.id] = one
    return [found[one] for one in ids if one in found]


def standings(
    conn: Connection, campaign: Campaign, member_ids: Collection[int], now: float, caps: Caps
) -> dict[int, Standing]:
    """How each of these members stands with the channel, its topic and the caps."""
    found = {member_id: Standing() for member_id in member_ids}
    seen: dict[int, float] = {}
    for row in many(
        conn,
        "select channel, member_id, external_id, followed, blocked_at, allowance, "
        "allowance_until, case when burst > 0 then burst_until else 0 end, last_seen_at "
        "from identities where member_id in ({rows})",
        found,
    ):
        channel, member_id, external_id, followed, blocked_at, *window, last_seen = row
        allowance, until, burst = window
        if channel != campaign.channel or last_seen < seen.get(member_id, -1.0):
            continue
        seen[member_id] = last_seen
        reason = "" if followed else "not_following"
        if followed and blocked_at is not None:
            reason = "blocked"
        found[member_id] = Standing(external_id, allowance, until, burst, reason)
    _opted_out(conn, campaign.topic, found)
    _capped(conn, found, now, caps)
    return found


def _opted_out(conn: Connection, topic: str, found: dict[int, Standing]) -> None:
    refusing = {
        row[0]
        for row in many(
            conn,
            "select member_id from optouts where member_id in ({rows}) and topic in ('', ?)",
            found,
            topic,
        )
    }
    if refusing and topic:
        # Who asked for this very topic wants it, whatever else they want nothing of.
        refusing -= {
            row[0]
            for row in many(
                conn,
                "select member_id from subscriptions where member_id in ({rows}) and topic = ?",
                refusing,
                topic,
            )
        }
    for member_id in refusing:
        found[member_id].reason = found[member_id].reason or "opted_out"


def capped(conn: Connection, member_ids: Collection[int], now: float, caps: Caps) -> set[int]:
    """Those of these members who had as many messages as they may."""
    found = {member_id: Standing(reason="") for member_id in member_ids}
    _capped(conn, found, now, caps)
    return {member_id for member_id, standing in found.items() if standing.reason}


def _capped(conn: Connection, found: dict[int, Standing], now: float, caps: Caps) -> None:
    if not (caps.day or caps.week):
        return
    today = day_start(now)
    days: dict[int, int] = {}
    weeks: dict[int, int] = {}
    for member_id, claimed_at in many(
        conn,
        "select member_id, claimed_at from deliveries where member_id in ({rows}) "
        "and claimed_at >= ? and status in ('sending', 'accepted', 'delivered', 'unknown')",
        found,
        today - 6 * _DAY_S,
    ):
        weeks[member_id] = weeks.get(member_id, 0) + 1
        days[member_id] = days.get(member_id, 0) + (claimed_at >= today)
    # The weekly letter is a message, too.
    for member_id, at in many(
        conn,
        "select member_id, at from rec_digests where member_id in ({rows}) "
        "and at >= ? and status in ('planned', 'sent')",
        found,
        today - 6 * _DAY_S,
    ):
        weeks[member_id] = weeks.get(member_id, 0) + 1
        days[member_id] = days.get(member_id, 0) + (at >= today)
    for member_id, count in weeks.items():
        over_day = caps.day and days[member_id] >= caps.day
        if over_day or (caps.week and count >= caps.week):
            found[member_id].reason = found[member_id].reason or "capped"


def stopped(
    conn: Connection, campaign: Campaign, rows: Sequence[Due], now: float
) -> dict[int, str]:
    """Deliveries of a journey that is over for their member, with why; {} for other campaigns."""
    if campaign.journey_id is None:
        return {}
    found = {
        row.id: journeys.stopped_for(conn, campaign.id, row.member_id, row.occasion, now)
        for row in rows
    }
    return {delivery_id: reason for delivery_id, reason in found.items() if reason}


def open_now(conn: Connection, campaign: Campaign) -> str:
    """The status of a campaign now; of a journey's step "paused" unless its journey goes on."""
    row = conn.execute(
        "select c.status, j.status from campaigns as c left join journeys as j "
        "on j.id = c.journey_id where c.id = ?",
        (campaign.id,),
    ).fetchone()
    if row is None:
        return "cancelled"
    status = str(row[0])
    if status == "running" and campaign.journey_id is not None and row[1] != "running":
        return "paused"
    return status


def skip(conn: Connection, ids: Sequence[int], reason: str, now: float) -> None:
    """These planned deliveries get nothing, and why."""
    for piece in pieces(ids):
        conn.execute(
            "update deliveries set status = 'skipped', reason = ?, due_at = null, "
            f"settled_at = ? where id in ({_MARKS[len(piece)]}) and status = 'planned'",
            (reason, now, *piece),
        )


def reroute(conn: Connection, ids: Sequence[int], route: str) -> None:
    """These planned deliveries go another way."""
    for piece in pieces(ids):
        conn.execute(
            f"update deliveries set route = ? where id in ({_MARKS[len(piece)]}) "
            "and status = 'planned'",
            (route, *piece),
        )


def next_route(routes: Sequence[str], route: str) -> str:
    """The way to try when this one is shut; "" for none. What goes by one call to all of a tag,
    or to everybody, is never a way for a few."""
    later = routes[routes.index(route) + 1 :] if route in routes else ()
    return next((one for one in later if one not in ("mass_tag", "mass_all")), "")
