"""Followers known again: by a keyed hash that outlives them and leads back to nobody.

Also what a member takes along, leaves behind, or brings to another.
"""

from __future__ import annotations

from typing import Any

from store import coupons, points
from store import referral_credits as credits
from store.dialect import Connection
from store.fingerprints import print_of, union_print
from store.referral_credits import KNOWN, SELF
from store.statements import rows_of

_EARLIER_S = 60.0
"""Who wrote so long before a follow was following before it, only nobody told us."""


def is_known(conn: Connection, member_id: int, channel: str, mark: bytes, now: float) -> bool:
    """Whether this person was here before, or was somebody's friend before."""
    for one in (mark, union_print(conn, member_id)):
        if one is None:
            continue
        for sql in (
            "select 1 from known_followers where fingerprint = ?",
            "select 1 from referrals where fingerprint = ? and status <> 'refused'",
        ):
            if conn.execute(sql, (one,)).fetchone():
                return True
    invited = conn.execute(
        "select 1 from referrals where invitee_id = ? and status <> 'refused' limit 1",
        (member_id,),
    ).fetchone()
    wrote = conn.execute(
        "select 1 from interactions where member_id = ? and channel = ? and at < ? "
        "and kind not like 'event:%' limit 1",
        (member_id, channel, now - _EARLIER_S),
    ).fetchone()
    return invited is not None or wrote is not None


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """Their codes, who they brought (not by name), how they came, and what they were given."""
    return {
        "invites": rows_of(
            conn,
            "select channel, scene, created_at, url, expires_at from invites "
            "where member_id = ? order by channel",
            member_id,
        ),
        "referrals": rows_of(
            conn,
            "select case when inviter_id = ? then 'inviter' else 'friend' end as role, channel, "
            "at, status, reason, case when inviter_id = ? then points end as points, decided_at "
            "from referrals where inviter_id = ? or invitee_id = ? order by id",
            *(member_id,) * 4,
        ),
        "referral_rewards": rows_of(
            conn,
            "select friends, at, coupon_id, note from referral_rewards where member_id = ? "
            "order by friends",
            member_id,
        ),
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Take their name off; a keyed hash stays, so that they do not count as new once more."""
    followed = conn.execute(
        "select channel, external_id from identities where member_id = ? and (followed = 1 "
        "or followed_at is not null or unfollowed_at is not null)",
        (member_id,),
    ).fetchall()
    marks = [print_of(conn, channel, external_id) for channel, external_id in followed]
    if marks and (union := union_print(conn, member_id)) is not None:
        marks.append(union)
    conn.executemany(
        "insert into known_followers (fingerprint, day) values (?, ?) "
        "on conflict (fingerprint) do nothing",
        [(mark, points.shanghai_day(now)) for mark in marks],
    )
    rows = {
        table: conn.execute(f"delete from {table} where member_id = ?", (member_id,)).rowcount
        for table in ("invites", "referral_rewards")
    }
    rows["referrals"] = conn.execute(
        "update referrals set inviter_id = null where inviter_id = ?", (member_id,)
    ).rowcount
    # The follow's key is made from their id on the channel.
    rows["referrals"] += conn.execute(
        "update referrals set invitee_id = null, message_key = null where invitee_id = ?",
        (member_id,),
    ).rowcount
    conn.execute(
        "update referrals set decided_by = '' where decided_by = ?", (f"member:{member_id}",)
    )
    return rows


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Both invited as one; who invited themselves that way, or came twice, does not count."""
    conn.execute(
        "delete from invites where member_id = ? and channel in "
        "(select channel from invites where member_id = ?)",
        (drop, keep),
    )
    conn.execute("update invites set member_id = ? where member_id = ?", (keep, drop))
    conn.execute(
        "delete from referrals where inviter_id = ? and fingerprint in "
        "(select fingerprint from referrals where inviter_id = ?) and status = 'refused'",
        (drop, keep),
    )
    conn.execute(
        "delete from referrals where inviter_id = ? and fingerprint in "
        "(select fingerprint from referrals where inviter_id = ?) and status = 'refused'",
        (keep, drop),
    )
    for column in ("inviter_id", "invitee_id"):
        conn.execute(f"update referrals set {column} = ? where {column} = ?", (keep, drop))
    conn.execute(
        "update referrals set decided_by = ? where decided_by = ?",
        (f"member:{keep}", f"member:{drop}"),
    )
    _merge_rungs(conn, keep, drop)
    came = conn.execute(
        "select id, inviter_id, at from referrals where invitee_id = ? "
        "and status in ('credited', 'held') order by id",
        (keep,),
    ).fetchall()
    counted = False
    for referral_id, inviter, at in came:
        if inviter != keep and not counted:
            counted = True
            continue
        conn.execute(
            "update referrals set status = 'refused', reason = ? where id = ?",
            (SELF if inviter == keep else KNOWN, referral_id),
        )
        if inviter is not None:
            credits.take_back(conn, referral_id, inviter, "clawback", at)
            credits.descend(conn, inviter, at, "clock")


def _merge_rungs(conn: Connection, keep: int, drop: int) -> None:
    """Each rung gives once: of two coupons for the same one the second is taken back, so that
    none is left which a friend's leaving would not find."""
    twice = conn.execute(
        "select d.friends, d.at, d.coupon_id, c.status from referral_rewards as d "
        "join referral_rewards as k on k.friends = d.friends and k.member_id = ? "
        "left join coupons as c on c.id = k.coupon_id "
        "where d.member_id = ? and d.coupon_id is not null",
        (keep, drop),
    ).fetchall()
    for friends, at, coupon_id, kept in twice:
        if kept in (None, "expired", "revoked"):
            conn.execute(
                "update referral_rewards set coupon_id = ?, note = '' "
                "where member_id = ? and friends = ?",
                (coupon_id, keep, friends),
            )
        else:
            coupons.take_back(conn, coupon_id, at, "clock", "referral")
    conn.execute(
        "insert into referral_rewards (member_id, friends, at, coupon_id, note) "
        "select ?, friends, at, coupon_id, note from referral_rewards where member_id = ? "
        "on conflict (member_id, friends) do nothing",
        (keep, drop),
    )
    conn.execute("delete from referral_rewards where member_id = ?", (drop,))
