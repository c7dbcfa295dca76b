"""What a friend's coming does, and undoes: credits, rungs of the ladder, holds.

Steps of other stores' transactions; all of them change nothing when they run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from store import coupons, offers, points, referral_fraud
from store.dialect import Connection
from store.referral_fraud import RING

CREDITED = "credited"
HELD = "held"
REFUSED = "refused"
CLAWED_BACK = "clawed_back"

SELF = "self"
KNOWN = "known"
SCAN = "scan"
"""Reasons of refusals: one's own code; somebody who had followed; who follows right now."""

_FRESH_S = 7 * 86_400.0
"""How far back a ring's credits are held where leaving takes none back."""
_GIVEN = (coupons.Outcome.CLAIMED, coupons.Outcome.AGAIN)


class Rules(referral_fraud.HoldRules, Protocol):
    """The operator's rules: `handlers.rewards.ReferralRules` is one."""

    @property
    def points(self) -> int: ...
    @property
    def stay_s(self) -> float: ...
    @property
    def ladder(self) -> Sequence[tuple[int, str]]: ...


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung of the ladder that was reached. coupon: whether there was one to give."""

    friends: int
    coupon: bool


@dataclass(frozen=True, slots=True)
class Referral:
    """What became of a friend's coming. inviter: None once erased.

    at: when that was decided, Unix seconds. points: what the inviter has from it now; friends:
    how many of theirs are credited by now; rungs: those that this friend's credit reached.
    """

    id: int
    inviter: int | None
    status: str
    reason: str
    at: float
    points: int
    friends: int
    rungs: tuple[Rung, ...] = ()


def credit(
    conn: Connection,
    referral_id: int,
    inviter: int,
    now: float,
    rules: Rules,
    ends_at: float | None,
    actor: str = "",
) -> None:
    """Give the inviter the points of a friend, and the rungs these friends reach.

    Inside the transaction that makes the referral credited. ends_at: when the points end,
    Unix seconds, None for never; actor: as in the audit, "" for nobody.
    """
    if rules.points:
        key = f"referral:{referral_id}"
        points.post(conn, inviter, rules.points, "referral", key, now, ends_at=ends_at, actor=actor)
        conn.execute("update referrals set points = ? where id = ?", (rules.points, referral_id))
    climb(conn, inviter, referral_id, now, rules.ladder, actor)


def take_back(conn: Connection, referral_id: int, inviter: int, reason: str, now: float) -> None:
    """Take back what the inviter has from it. What was spent waits with a hold, and is owed
    after a clawback."""
    row = conn.execute("select points from referrals where id = ?", (referral_id,)).fetchone()
    if not row[0]:
        return
    key = f"referral:{referral_id}:{reason}"
    taken = points.post(conn, inviter, -row[0], reason, key, now, at_most=True)
    if taken.outcome is points.Outcome.POSTED:
        conn.execute(
            "update referrals set points = points - ? where id = ?",
            (taken.owed - taken.amount, referral_id),
        )


def friends_of(conn: Connection, inviter: int, *, held: bool = False) -> int:
    """How many friends of a member are credited, with `held` also those that wait; 0 for none."""
    sql = "select count(*) from referrals where inviter_id = ? and status in ('credited', ?)"
    return int(conn.execute(sql, (inviter, HELD if held else CREDITED)).fetchone()[0])


def climb(
    conn: Connection,
    inviter: int,
    referral_id: int,
    now: float,
    ladder: Sequence[tuple[int, str]],
    actor: str,
) -> None:
    """Give what the rungs reached by now give, each once."""
    friends = friends_of(conn, inviter)
    for rung, word in ladder:
        if rung > friends:
            continue
        fresh = conn.execute(
            "insert into referral_rewards (member_id, friends, at) values (?, ?, ?) "
            "on conflict (member_id, friends) do nothing",
            (inviter, rung, now),
        ).rowcount
        if fresh != 1:
            continue
        # Who falls below a rung and reaches it again is given anew, even by the same friend,
        # whose credit waited meanwhile.
        key = coupons.gift_key(f"ladder:{inviter}:{rung}:{referral_id}:{now}")
        claim = coupons.issue(
            conn, word, inviter, key, now, source="referral", actor=actor, check=False
        )
        given = claim.coupon if claim.outcome in _GIVEN else None
        conn.execute(
            "update referral_rewards set coupon_id = ?, note = ? "
            "where member_id = ? and friends = ?",
            (given.id if given else None, "" if given else claim.outcome.value, inviter, rung),
        )


def descend(conn: Connection, inviter: int, now: float, actor: str) -> None:
    """Take back what rungs gave that are no longer reached; what was used stays given."""
    lost = conn.execute(
        "select friends, coupon_id from referral_rewards where member_id = ? and friends > ?",
        (inviter, friends_of(conn, inviter, held=True)),
    ).fetchall()
    for rung, coupon_id in lost:
        # None: it was used, or has ended.
        if coupon_id is not None and (
            coupons.take_back(conn, coupon_id, now, actor, "referral") is None
        ):
            continue
        conn.execute(
            "delete from referral_rewards where member_id = ? and friends = ?", (inviter, rung)
        )


def prizes(
    conn: Connection, inviter: int, now: float, ladder: Sequence[tuple[int, str]]
) -> tuple[tuple[int, str], ...]:
    """(friends, title of what is given) of each rung still ahead that can give something now.

    Left out: rungs reached, offers that are over or sold out, and more of one than the member
    may have.
    """
    behind = {
        row[0]
        for row in conn.execute(
            "select friends from referral_rewards where member_id = ?", (inviter,)
        )
    }
    friends = friends_of(conn, inviter)
    places: dict[int, int] = {}
    found: list[tuple[int, str]] = []
    for rung, word in sorted(ladder):
        offer = offers.find(conn, word)
        if rung <= friends or rung in behind or offer is None or offer.status == "closed":
            continue
        if offer.valid_until is not None and offer.valid_until <= now:
            continue
        if offer.id not in places:
            held = conn.execute(
                "select count(*) from coupons where offer_id = ? and member_id = ? "
                "and not (status = 'revoked' and source = 'referral')",
                (offer.id, inviter),
            ).fetchone()[0]
            may = offer.per_member - int(held)
            places[offer.id] = may if offer.left is None else min(may, offer.left)
        if places[offer.id] > 0:
            places[offer.id] -= 1
            found.append((rung, offer.title))
    return tuple(found)


def hold_ring(conn: Connection, members: Sequence[int], now: float, rules: Rules) -> None:
    """The credits that a ring gave itself lately wait, and so do their points."""
    since = now - (rules.stay_s or _FRESH_S)
    for referral_id, inviter, _ in referral_fraud.credits_within(conn, members, since):
        conn.execute(
            "update referrals set status = 'held', reason = ? where id = ?", (RING, referral_id)
        )
        take_back(conn, referral_id, inviter, "held", now)


def referral_of(conn: Connection, referral_id: int) -> Referral:
    """A referral that there is, by its number, with its inviter's friends by now."""
    row = conn.execute(
        "select inviter_id, status, reason, points, coalesce(decided_at, at) "
        "from referrals where id = ?",
        (referral_id,),
    ).fetchone()
    inviter, status, reason, given, at = row
    rungs = conn.execute(
        "select friends, coupon_id from referral_rewards where member_id = ? and at = ? "
        "order by friends",
        (inviter, at),
    ).fetchall()
    return Referral(
        referral_id,
        inviter,
        status,
        reason,
        at,
        given,
        0 if inviter is None else friends_of(conn, inviter),
        tuple(Rung(friends, coupon is not None) for friends, coupon in rungs),
    )


def refuse(
    conn: Connection,
    inviter: int,
    invitee: int,
    channel: str,
    mark: bytes,
    key: bytes,
    now: float,
    reason: str,
    rules: Rules,
) -> Referral:
    """Write down that somebody came who does not count, once for both; look for a ring.

    A mere look at a code shows in the report and holds nothing: anybody could take points
    from those who invited them that way.
    """
    conn.execute(
        "insert into referrals (inviter_id, invitee_id, channel, at, status, reason, "
        "fingerprint, message_key) values (?, ?, ?, ?, 'refused', ?, ?, ?) "
        "on conflict do nothing",
        (inviter, invitee, channel, now, reason, mark, key),
    )
    if reason == KNOWN:
        # Looking at the code was curiosity; leaving and coming back by it is an attempt.
        conn.execute(
            "update referrals set reason = 'known', at = ? where inviter_id = ? "
            "and fingerprint = ? and reason = 'scan'",
            (now, inviter, mark),
        )
    if reason != SCAN:
        hold_ring(conn, referral_fraud.ring(conn, inviter, invitee), now, rules)
    return Referral(0, inviter, REFUSED, reason, now, 0, friends_of(conn, inviter))


def release(
    conn: Connection,
    referral_id: int,
    inviter: int,
    now: float,
    rules: Rules,
    ends_at: float | None,
    by: str,
) -> None:
    """Credit what was held: for the first time, or what was taken away while it waited."""
    taken = conn.execute(
        "select -p.amount from point_transfers as t join point_postings as p "
        "on p.transfer_id = t.id where t.source_key = ? and p.member_id = ?",
        (f"referral:{referral_id}:held", inviter),
    ).fetchone()
    if taken is None:
        credit(conn, referral_id, inviter, now, rules, ends_at, by)
        return
    if taken[0]:
        key = f"referral:{referral_id}:released"
        points.post(conn, inviter, taken[0], "released", key, now, ends_at=ends_at, actor=by)
        conn.execute(
            "update referrals set points = points + ? where id = ?", (taken[0], referral_id)
        )
    climb(conn, inviter, referral_id, now, rules.ladder, by)
