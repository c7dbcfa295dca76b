"""One transaction of the messages that go to one member each: what ended, and who is next.

A claim is committed before its call leaves and names the lease that made it. What is `sending`
when its runner is gone stays so until the next runner writes `unknown`: it may have arrived, so
nobody sends it again. Only who made the call can say that it certainly did not leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from store import campaigns, claims, early, leases, paces, reach
from store.campaigns import Campaign
from store.dialect import Connection
from store.leases import Hold
from store.points import shanghai_day
from store.reach import Caps, Due, Standing, many
from store.statements import pieces

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """A delivery that is claimed and has not left. paid_until: the window that paid for it."""

    id: int
    member_id: int
    external_id: str
    variant: str
    route: str
    occasion: str
    tries: int
    coupon: str = ""
    paid_until: float = 0.0
    burst_until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one call ended. status: "planned" when it certainly did not happen, due at due_at."""

    going: Going
    status: Literal["accepted", "refused", "unknown", "planned"]
    reason: str = ""
    errcode: int | None = None
    wechat_id: str = ""
    due_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a route may carry. api: as `quota` counts it; per_day: its calls.

    routes: those of the campaign that its account may take. levels, tiers: for coupons. lease_s:
    for so long an exchange renews the lease.
    """

    caps: Caps
    api: str
    per_minute: float
    burst: int
    per_day: int
    routes: tuple[str, ...]
    lease_s: float
    levels: tuple[int, ...] = ()
    tiers: tuple[str, ...] = ()


@dataclass(slots=True)
class Window:
    """What an exchange gave. status: of the campaign, or "lost" when the lease is another's.

    later: deliveries that were not looked at and are worth asking for again. again_at: when the
    route is open again, if that is why nobody was claimed; 0 when it is not.
    """

    status: str
    going: list[Going] = field(default_factory=list)
    later: list[int] = field(default_factory=list)
    again_at: float = 0.0


def exchange(
    conn: Connection,
    campaign: Campaign,
    hold: Hold,
    route: str,
    ended: Sequence[Ended],
    ids: Sequence[int],
    limits: Limits,
    now: float,
    *,
    open_at: float = 0.0,
    pause: str = "",
    failures: int | None = None,
) -> Window:
    """Write down what ended, then claim those of `ids` that may go now; one transaction.

    open_at: WeChat asked to leave the route alone until then, 0 for no. pause: why the campaign
    is to stop, "" to go on. failures: of its newest messages, None when they have not changed.
    What ended is a fact and is written even when the lease is lost; nothing is claimed then.
    """
    if ended:
        settle(conn, campaign, ended, now)
    name = f"{route}:{campaign.channel}"
    if open_at > now:
        paces.close(conn, name, open_at, now)
    if failures is not None:
        conn.execute(
            "update campaigns set failures = ? where id = ?",
            (failures, campaign.id),
        )
    if pause:
        campaigns.set_status(conn, campaign.id, "paused", now, was=campaigns.OPEN, note=pause)
    if not leases.renew(conn, hold, now, limits.lease_s):
        return Window("lost")
    window = Window(reach.open_now(conn, campaign))
    if window.status != "running" or not ids:
        return window
    room = _room(conn, campaign.channel, limits, now)
    if room <= 0:
        window.later = list(ids)
        window.again_at = reach.day_start(now) + _DAY_S
        return window
    taken = paces.take(conn, name, min(room, len(ids)), limits.per_minute, limits.burst, now)
    window.later = list(ids[taken.count :])
    if not taken.count:
        window.again_at = taken.again_at
        return window
    _claim(conn, campaign, hold, route, ids[: taken.count], limits, now, window)
    paces.put_back(conn, name, taken.count - len(window.going))
    return window


def _room(conn: Connection, channel: str, limits: Limits, now: float) -> int:
    """Calls that the day has left for this API."""
    row = conn.execute(
        "select used from quota where channel = ? and name = ? and day = ?",
        (channel, limits.api, shanghai_day(now)),
    ).fetchone()
    return limits.per_day - (0 if row is None else int(row[0]))


def _claim(
    conn: Connection,
    campaign: Campaign,
    hold: Hold,
    route: str,
    ids: Sequence[int],
    limits: Limits,
    now: float,
    window: Window,
) -> None:
    rows = reach.due_rows(conn, campaign.id, route, ids, now)
    standings = reach.standings(conn, campaign, {row.member_id for row in rows}, now, limits.caps)
    stopped = reach.stopped(conn, campaign, rows, now)
    grants = _grants(conn, campaign, route, rows)
    skipped: dict[str, list[int]] = {}
    going: list[tuple[Due, Standing]] = []
    seen: set[int] = set()
    for row in rows:
        standing = standings[row.member_id]
        reason = stopped.get(row.id) or standing.reason
        if not reason and row.member_id in seen:
            # One at a time for each: the first changes what the second may.
            window.later.append(row.id)
            continue
        if not reason:
            reason = _shut(route, standing, grants, row, now)
        if reason:
            skipped.setdefault(reason, []).append(row.id)
        else:
            seen.add(row.member_id)
            going.append((row, standing))
    other = reach.next_route(limits.routes, route)
    for reason, which in skipped.items():
        if other and reason in _SHUT:
            reach.reroute(conn, which, other)
        else:
            reach.skip(conn, which, reason, now)
    coupons = _coupons(conn, campaign, going, limits, now)
    going = [one for one in going if one[0].id in coupons]
    _begin(conn, campaign, hold, [row.id for row, _ in going], now)
    _pay(conn, campaign, route, going, now)
    window.going = [
        Going(
            id=row.id,
            member_id=row.member_id,
            external_id=standing.external_id,
            variant=row.variant,
            route=route,
            occasion=row.occasion,
            tries=row.tries + 1,
            coupon=coupons[row.id],
            paid_until=standing.allowance_until if route == "custom" else 0.0,
            burst_until=standing.burst_until if route == "custom" else 0.0,
        )
        for row, standing in going
    ]


_SHUT = ("window_closed", "allowance_used", "no_grant")
"""What another way may get around."""


def _shut(
    route: str, standing: Standing, grants: Mapping[tuple[int, str], int], row: Due, now: float
) -> str:
    """Why this way is shut to a member who may be written to; "" when it is open."""
    if route == "custom":
        if standing.allowance_until <= now:
            return "window_closed"
        # The last one is for an answer to what they say next.
        return "allowance_used" if standing.allowance <= 1 else ""
    if route == "notice":
        return "" if grants.get((row.member_id, row.variant), 0) > 0 else "no_grant"
    return ""


def _template(campaign: Campaign, variant: str) -> str:
    found = campaign.variant(variant)
    return "" if found is None else str(found.content.get("template_id", ""))


def _grants(
    conn: Connection, campaign: Campaign, route: str, rows: Sequence[Due]
) -> dict[tuple[int, str], int]:
    """Notices that each member allowed, of the template of their variant."""
    found: dict[tuple[int, str], int] = {}
    if route != "notice":
        return found
    for variant in {row.variant for row in rows}:
        for member_id, count in many(
            conn,
            "select member_id, count from notice_grants where member_id in ({rows}) "
            "and channel = ? and template_id = ? and refused = 0",
            {row.member_id for row in rows if row.variant == variant},
            campaign.channel,
            _template(campaign, variant),
        ):
            found[member_id, variant] = count
    return found


def _coupons(
    conn: Connection,
    campaign: Campaign,
    going: Sequence[tuple[Due, Standing]],
    limits: Limits,
    now: float,
) -> dict[int, str]:
    """By delivery the code that goes with it, "" for none; without those that there is none for.

    The gift's key is the delivery's: who tries again gives the same coupon.
    """
    codes = {row.id: "" for row, _ in going}
    asks: list[tuple[int, claims.Ask]] = []
    for row, _ in going:
        variant = campaign.variant(row.variant)
        if variant is None or variant.content.get("kind") != "coupon":
            continue
        name = f"campaign:{campaign.id}:{row.member_id}:{row.occasion}"
        asks.append(
            (
                row.id,
                claims.Ask(
                    offer=str(variant.content.get("offer", "")),
                    who=claims.Claimant(row.member_id, limits.levels, limits.tiers),
                    key=claims.gift_key(name),
                    now=now,
                    source="campaign",
                    actor=f"campaign:{campaign.id}",
                    check=False,
                ),
            )
        )
    given = claims.give(conn, [ask for _, ask in asks]) if asks else []
    for (delivery_id, _), claim in zip(asks, given, strict=True):
        usable = claim.coupon is not None and claim.coupon.status == "claimed"
        if usable and claim.coupon is not None:
            codes[delivery_id] = claim.coupon.code
        else:
            del codes[delivery_id]
            sold_out = claim.outcome is claims.Outcome.SOLD_OUT
            reach.skip(conn, [delivery_id], "sold_out" if sold_out else "no_coupon", now)
    return codes


def _begin(
    conn: Connection, campaign: Campaign, hold: Hold, ids: Sequence[int], now: float
) -> None:
    for piece in pieces(ids):
        marks = ", ".join("?" * len(piece))
        conn.execute(
            "update deliveries set status = 'sending', fence = ?, tries = tries + 1, "
            "claimed_at = ?, settled_at = null, errcode = null, reason = '' "
            f"where id in ({marks}) and status = 'planned'",
            (hold.fence, now, *piece),
        )
    if ids and campaign.started_at is None:
        conn.execute(
            "update campaigns set started_at = ? where id = ? and started_at is null",
            (now, campaign.id),
        )


def _pay(
    conn: Connection,
    campaign: Campaign,
    route: str,
    going: Sequence[tuple[Due, Standing]],
    now: float,
) -> None:
    if route == "custom":
        for piece in pieces([standing.external_id for _, standing in going]):
            marks = ", ".join("?" * len(piece))
            # Both windows are charged, as by `store/sends.py`: this never overspends.
            conn.execute(
                "update identities set allowance = allowance - 1, "
                "burst = case when burst > 0 and burst_until > ? then burst - 1 else burst end "
                f"where channel = ? and external_id in ({marks})",
                (now, campaign.channel, *piece),
            )
    elif route == "notice":
        conn.executemany(
            "update notice_grants set count = count - 1, updated_at = ? "
            "where channel = ? and member_id = ? and template_id = ?",
            [
                (now, campaign.channel, row.member_id, _template(campaign, row.variant))
                for row, _ in going
            ],
        )


def settle(conn: Connection, campaign: Campaign, ended: Sequence[Ended], now: float) -> None:
    """Write how calls ended; of a delivery that somebody has settled since, nothing."""
    plain = [
        one for one in ended if one.status == "accepted" and not one.wechat_id and not one.reason
    ]
    by_fence = [one.going.id for one in plain]
    for piece in pieces(by_fence):
        marks = ", ".join("?" * len(piece))
        conn.execute(
            "update deliveries set status = 'accepted', settled_at = ?, reason = '' "
            f"where id in ({marks}) and status in ('sending', 'unknown')",
            (now, *piece),
        )
    for one in ended:
        if one.status == "planned":
            _again(conn, campaign, one, now)
        elif one.status != "accepted" or one.wechat_id or one.reason:
            _word(conn, campaign, one, now)


def _word(conn: Connection, campaign: Campaign, one: Ended, now: float) -> None:
    """A call that was answered with more than a yes."""
    # The event that says what became of a notice may have come before this answer.
    word = early.take(conn, one.going.member_id, one.wechat_id) or (one.status, one.reason)
    conn.execute(
        "update deliveries set status = ?, reason = ?, errcode = ?, wechat_id = ?, settled_at = ? "
        "where id = ? and tries = ? and status in ('sending', 'unknown')",
        (*word, one.errcode, one.wechat_id, now, one.going.id, one.going.tries),
    )
    who = (campaign.channel, one.going.external_id)
    if one.status != "refused":
        return
    # What WeChat says of a member is true for the next campaign, too.
    if one.reason == "not_following":
        conn.execute(
            "update identities set followed = 0, unfollowed_at = ? "
            "where channel = ? and external_id = ? and followed = 1",
            (now, *who),
        )
    elif one.reason == "blocked":
        conn.execute(
            "update identities set blocked_at = ? where channel = ? and external_id = ? "
            "and blocked_at is null",
            (now, *who),
        )
    elif one.reason in ("window_closed", "allowance_used"):
        conn.execute(
            "update identities set allowance = 0 "
            "where channel = ? and external_id = ? and allowance_until = ?",
            (*who, one.going.paid_until),
        )
    elif one.reason == "no_grant":
        conn.execute(
            "update notice_grants set count = 0, updated_at = ? "
            "where channel = ? and member_id = ? and template_id = ?",
            (now, campaign.channel, one.going.member_id, _template(campaign, one.going.variant)),
        )


def _again(conn: Connection, campaign: Campaign, one: Ended, now: float) -> None:
    """It certainly did not go out: planned once more, and what was paid is given back."""
    going = one.going
    status = reach.open_now(conn, campaign)
    values: tuple[Any, ...]
    if status == "cancelled":
        values = ("skipped", "cancelled", None, now)
    else:
        values = ("planned", "", one.due_at, None)
    changed = conn.execute(
        # Who was erased or merged away meanwhile is nobody's: nothing would ever send it.
        "update deliveries set status = case when member_id is null then 'skipped' else ? end, "
        "reason = case when member_id is null then 'erased' else ? end, "
        "due_at = case when member_id is null then null else ? end, "
        "settled_at = case when member_id is null then ? else ? end, errcode = ?, "
        "claimed_at = null where id = ? and tries = ? and status in ('sending', 'unknown')",
        (*values[:3], now, values[3], one.errcode, going.id, going.tries),
    ).rowcount
    if not changed:
        return
    if status == "done":
        # The next runner was through before this one woke up.
        conn.execute(
            "update campaigns set status = 'running', ended_at = null "
            "where id = ? and status = 'done'",
            (campaign.id,),
        )
    if going.route == "custom":
        conn.execute(
            "update identities set "
            "allowance = allowance + case when allowance_until = ? then 1 else 0 end, "
            "burst = burst + case when burst_until = ? then 1 else 0 end "
            "where channel = ? and external_id = ?",
            (going.paid_until, going.burst_until, campaign.channel, going.external_id),
        )
    elif going.route == "notice":
        conn.execute(
            "update notice_grants set count = count + 1 "
            "where channel = ? and member_id = ? and template_id = ?",
            (campaign.channel, going.member_id, _template(campaign, going.variant)),
        )
