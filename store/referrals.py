"""Invitations: members' own codes, who came through whom, and what became of the credit.

A follow, its credit, the points and the coupons of the ladder are one transaction: after a
crash there is all of it or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store import referral_credits as credits
from store import referral_fraud
from store import referral_people as people
from store.db import Database
from store.dialect import Connection
from store.fingerprints import print_of
from store.referral_credits import (
    CLAWED_BACK,
    CREDITED,
    HELD,
    KNOWN,
    REFUSED,
    SCAN,
    SELF,
    Referral,
    Rules,
    Rung,
)
from store.referral_fraud import RING, Suspects

if TYPE_CHECKING:
    from store.members import Members

__all__ = [
    "CLAWED_BACK",
    "CREDITED",
    "HELD",
    "REFUSED",
    "SCAN",
    "SELF",
    "Referral",
    "Referrals",
    "Rules",
    "Rung",
]


@dataclass(frozen=True, slots=True)
class Invite:
    """A member's code on a channel. ticket: WeChat's, "" for a link; times are Unix seconds."""

    scene: str
    member_id: int
    channel: str
    created_at: float
    ticket: str
    url: str
    expires_at: float
    media_id: str
    media_until: float


@dataclass(frozen=True, slots=True)
class Followed:
    """A follow. before: they had followed ever before; referral: None without a code of ours."""

    before: bool
    referral: Referral | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's own invitations, in numbers. points: what they have from them now."""

    credited: int
    held: int
    left: int
    points: int


@dataclass(frozen=True, slots=True)
class Held:
    """A credit that waits for an operator, with what there is to judge by.

    inviter, invitee: None once erased. inviter_since: when the inviter was first met; friends:
    the inviter's credited ones; active: those of them who ever wrote; messages: what this
    friend wrote; follows: whether they follow now.
    """

    id: int
    inviter: int | None
    invitee: int | None
    at: float
    reason: str
    inviter_since: float | None
    friends: int
    active: int
    messages: int
    follows: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What happened since then. best: (member, credited friends), most first; unpaid: (member,
    rung, why) without the coupon they should have."""

    credited: int
    held: int
    refused: int
    clawed_back: int
    waiting: int
    best: tuple[tuple[int, int], ...]
    unpaid: tuple[tuple[int, int, str], ...]
    suspects: Suspects


class Referrals:
    """The tables `invites`, `referrals`, `referral_rewards` and `known_followers`."""

    def __init__(self, db: Database, members: Members) -> None:
        self._db = db
        self._members = members

    # Codes

    async def invite(self, member_id: int, channel: str, scene: str, now: float) -> Invite | None:
        """A member's code on a channel; `scene` names it when there is none yet.

        None when there is no such member.
        """

        def run(conn: Connection) -> Invite | None:
            conn.execute(
                "insert into invites (scene, member_id, channel, created_at) "
                "select ?, id, ?, ? from members where id = ? on conflict do nothing",
                (scene, channel, now, member_id),
            )
            row = conn.execute(
                "select scene, member_id, channel, created_at, ticket, url, expires_at, "
                "media_id, media_until from invites where member_id = ? and channel = ?",
                (member_id, channel),
            ).fetchone()
            return None if row is None else Invite(*row)

        return await self._db.write(run)

    async def lead(self, scene: str, ticket: str, url: str, expires_at: float) -> None:
        """Note where a code leads from now on; a picture of the old way is forgotten."""

        def run(conn: Connection) -> None:
            conn.execute(
                "update invites set ticket = ?, url = ?, expires_at = ?, media_id = '', "
                "media_until = 0 where scene = ?",
                (ticket, url, expires_at, scene),
            )

        await self._db.write(run)

    async def picture(self, scene: str, url: str, media_id: str, until: float) -> None:
        """Note the picture that WeChat has of it, unless it leads elsewhere meanwhile."""

        def run(conn: Connection) -> None:
            conn.execute(
                "update invites set media_id = ?, media_until = ? where scene = ? and url = ?",
                (media_id, until, scene, url),
            )

        await self._db.write(run)

    # Coming and going

    async def follow(
        self,
        channel: str,
        external_id: str,
        scene: str,
        key: bytes,
        now: float,
        rules: Rules,
        ends_at: float | None = None,
    ) -> Followed:
        """Note a follow, and in the same step what it means for who invited them.

        scene: of the code they came by, "" for none. key: of the event; the same one again
        says the same. ends_at: when the points of a credit end.
        """
        found: list[Referral | None] = [None]

        def also(conn: Connection, before: bool) -> None:
            found[0] = self._came(
                conn, channel, external_id, scene, key, now, rules, ends_at, before
            )

        before = await self._members.follow(channel, external_id, True, now, also)
        return Followed(before, found[0])

    def _came(
        self,
        conn: Connection,
        channel: str,
        external_id: str,
        scene: str,
        key: bytes,
        now: float,
        rules: Rules,
        ends_at: float | None,
        before: bool,
    ) -> Referral | None:
        done = conn.execute("select id from referrals where message_key = ?", (key,)).fetchone()
        if done is not None:
            return credits.referral_of(conn, done[0])
        found = _inviter(conn, channel, external_id, scene)
        if found is None:
            return None
        inviter, invitee = found
        mark = print_of(conn, channel, external_id)
        reason = ""
        if inviter == invitee:
            reason = SELF
        elif before or people.is_known(conn, invitee, channel, mark, now):
            reason = KNOWN
        if reason:
            return credits.refuse(conn, inviter, invitee, channel, mark, key, now, reason, rules)
        reason = referral_fraud.hold_reason(conn, inviter, invitee, now, rules)
        row = conn.execute(
            "insert into referrals (inviter_id, invitee_id, channel, at, status, reason, "
            "fingerprint, message_key) values (?, ?, ?, ?, ?, ?, ?, ?) returning id",
            (inviter, invitee, channel, now, HELD if reason else CREDITED, reason, mark, key),
        ).fetchone()
        if reason == RING:
            credits.hold_ring(conn, referral_fraud.ring(conn, inviter, invitee), now, rules)
        elif not reason:
            credits.credit(conn, row[0], inviter, now, rules, ends_at)
        return credits.referral_of(conn, row[0])

    async def scan(
        self, channel: str, external_id: str, scene: str, key: bytes, now: float, rules: Rules
    ) -> str:
        """A follower scanned a code: "self" for their own, "scan" for another's, "" for none
        of ours. It credits nothing and takes nothing; the report shows a ring it would close."""

        def run(conn: Connection) -> str:
            found = _inviter(conn, channel, external_id, scene)
            if found is None:
                return ""
            inviter, invitee = found
            if inviter == invitee:
                return SELF
            mark = print_of(conn, channel, external_id)
            credits.refuse(conn, inviter, invitee, channel, mark, key, now, SCAN, rules)
            return SCAN

        return await self._db.write(run)

    async def leave(self, channel: str, external_id: str, now: float, rules: Rules) -> None:
        """Note an unfollow; who invited them lately gives back what they got for it."""

        def also(conn: Connection, _: bool) -> None:
            row = conn.execute(
                "select id, inviter_id from referrals where fingerprint = ? "
                "and status <> 'refused' and status <> 'clawed_back' and at >= ?",
                (print_of(conn, channel, external_id), now - rules.stay_s),
            ).fetchone()
            if row is None or not rules.stay_s:
                return
            referral_id, inviter = row
            conn.execute(
                "update referrals set status = 'clawed_back', decided_at = ?, "
                "decided_by = 'clock' where id = ?",
                (now, referral_id),
            )
            if inviter is not None:
                credits.take_back(conn, referral_id, inviter, "clawback", now)
                credits.descend(conn, inviter, now, "clock")

        await self._members.follow(channel, external_id, False, now, also)

    # Looking and deciding

    async def standing(self, member_id: int) -> Standing:
        """A member's invitations so far."""

        def run(conn: Connection) -> Standing:
            rows = conn.execute(
                "select status, count(*), sum(points) from referrals where inviter_id = ? "
                "and status <> 'refused' group by status",
                (member_id,),
            ).fetchall()
            counts = {row[0]: int(row[1]) for row in rows}
            return Standing(
                counts.get(CREDITED, 0),
                counts.get(HELD, 0),
                counts.get(CLAWED_BACK, 0),
                sum(int(row[2]) for row in rows),
            )

        return await self._db.read(run)

    async def prizes(
        self, member_id: int, now: float, ladder: Sequence[tuple[int, str]]
    ) -> tuple[tuple[int, str], ...]:
        """What friends still bring, (friends, title), as far as it can be given; () for nothing."""
        return await self._db.read(lambda conn: credits.prizes(conn, member_id, now, ladder))

    async def waiting(self) -> int:
        """How many wait for an operator."""

        def run(conn: Connection) -> int:
            sql = "select count(*) from referrals where status = 'held'"
            return int(conn.execute(sql).fetchone()[0])

        return await self._db.read(run)

    async def held(self, limit: int = 10) -> list[Held]:
        """What waits for an operator, oldest first."""
        return await self._db.read(lambda conn: _held(conn, "order by r.id limit ?", limit))

    async def held_one(self, referral_id: int) -> Held | None:
        """One that waits; None when it does not, or there is none."""

        def run(conn: Connection) -> Held | None:
            return next(iter(_held(conn, "and r.id = ?", referral_id)), None)

        return await self._db.read(run)

    async def decide(
        self,
        referral_id: int,
        good: bool,
        now: float,
        by: str,
        rules: Rules,
        ends_at: float | None = None,
    ) -> Referral | None:
        """Credit what waits, or refuse it for good; None when it does not wait (any more).

        by: who decides, as in the audit; the same decision of the same one again says what it
        did. Points and rungs are given once, however often it runs.
        """

        def run(conn: Connection) -> Referral | None:
            row = conn.execute(
                "select inviter_id, status, decided_by from referrals where id = ?",
                (referral_id,),
            ).fetchone()
            status = CREDITED if good else REFUSED
            if row is None or row[1] != HELD:
                mine = row is not None and (row[1], row[2]) == (status, by)
                return credits.referral_of(conn, referral_id) if mine else None
            inviter = row[0]
            conn.execute(
                "update referrals set status = ?, reason = case when ? = 'credited' then '' "
                "else reason end, decided_at = ?, decided_by = ? where id = ?",
                (status, status, now, by, referral_id),
            )
            if inviter is not None:
                if good:
                    credits.release(conn, referral_id, inviter, now, rules, ends_at, by)
                else:
                    # What a hold could not take because it was spent is taken now, or owed.
                    credits.take_back(conn, referral_id, inviter, "clawback", now)
                    credits.descend(conn, inviter, now, by)
            return credits.referral_of(conn, referral_id)

        return await self._db.write(run)

    async def report(self, since: float, rules: Rules) -> Report:
        """What happened since then, and what looks odd in it."""

        def run(conn: Connection) -> Report:
            counts = {
                row[0]: int(row[1])
                for row in conn.execute(
                    "select status, count(*) from referrals where at >= ? group by status",
                    (since,),
                )
            }
            waiting = conn.execute(
                "select count(*) from referrals where status = 'held'"
            ).fetchone()[0]
            best = conn.execute(
                "select inviter_id, count(*) from referrals where at >= ? "
                "and status = 'credited' and inviter_id is not null group by inviter_id "
                "order by count(*) desc, inviter_id limit 5",
                (since,),
            ).fetchall()
            unpaid = conn.execute(
                "select member_id, friends, note from referral_rewards where coupon_id is null "
                "order by at desc, member_id limit 5"
            ).fetchall()
            return Report(
                counts.get(CREDITED, 0),
                counts.get(HELD, 0),
                counts.get(REFUSED, 0),
                counts.get(CLAWED_BACK, 0),
                int(waiting),
                tuple((row[0], int(row[1])) for row in best),
                tuple((row[0], row[1], row[2]) for row in unpaid),
                referral_fraud.suspects(conn, since, rules),
            )

        return await self._db.read(run)


def _inviter(
    conn: Connection, channel: str, external_id: str, scene: str
) -> tuple[int, int] | None:
    """(inviter, who came) by a code of ours; None for any other."""
    row = conn.execute(
        "select v.member_id, i.member_id from invites as v join identities as i "
        "on i.channel = v.channel where v.scene = ? and v.channel = ? and i.external_id = ?",
        (scene, channel, external_id),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _held(conn: Connection, where: str, arg: int) -> list[Held]:
    wrote = "from interactions as i where i.kind not like 'event:%' and i.member_id ="
    rows = conn.execute(
        "select r.id, r.inviter_id, r.invitee_id, r.at, r.reason, m.created_at, "
        "(select count(*) from referrals as f where f.inviter_id = r.inviter_id "
        "and f.status = 'credited'), "
        "(select count(*) from referrals as f where f.inviter_id = r.inviter_id "
        f"and f.status = 'credited' and exists (select 1 {wrote} f.invitee_id)), "
        f"(select count(*) {wrote} r.invitee_id), "
        "(select count(*) from identities as d where d.member_id = r.invitee_id "
        "and d.channel = r.channel and d.followed = 1) "
        "from referrals as r left join members as m on m.id = r.inviter_id "
        f"where r.status = 'held' {where}",
        (arg,),
    )
    return [Held(*(*row[:-1], bool(row[-1]))) for row in rows]
