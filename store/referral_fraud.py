"""Invitations that look made up: bursts, rings, and trees in which nobody ever speaks.

Nothing is punished here. What looks odd waits for an operator (`/referral review`), and what
an operator once found right is not held again.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from store import statements
from store.dialect import Connection

BURST = "burst"
QUIET_TREE = "quiet_tree"
RING = "ring"

HOUR_S = 3600.0
RING_MOST = 8
"""Members of the longest ring that is looked for."""
RING_LEAST_BY_SCAN = 3
"""Who follows and looks at a friend's code out of curiosity closes a ring of two."""

_WALKED = 256
_ATTEMPTS = 200
_LISTED = 10

_PARENTS = (
    "select invitee_id, inviter_id from referrals where invitee_id in ({rows}) "
    "and inviter_id is not null and inviter_id <> invitee_id and reason <> 'scan'"
)
_WROTE = (
    "select 1 from interactions as i where i.member_id = r.invitee_id and i.kind not like 'event:%'"
)


class HoldRules(Protocol):
    """hold_per_hour, hold_quiet: see `handlers.rewards.ReferralRules`."""

    @property
    def hold_per_hour(self) -> int: ...
    @property
    def hold_quiet(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Suspects:
    """What a report shows. bursts: (member, most friends within an hour); quiet: (member,
    friends); rings: members in the order in which they invited each other."""

    bursts: tuple[tuple[int, int], ...]
    quiet: tuple[tuple[int, int], ...]
    rings: tuple[tuple[int, ...], ...]


def hold_reason(conn: Connection, inviter: int, invitee: int, now: float, rules: HoldRules) -> str:
    """Why a new friend has to wait for an operator; "" when nothing is odd."""
    if ring(conn, inviter, invitee):
        return RING
    lately = conn.execute(
        "select count(*) from referrals where inviter_id = ? and at > ? and status <> 'refused'",
        (inviter, now - HOUR_S),
    ).fetchone()[0]
    if lately >= rules.hold_per_hour:
        return BURST
    friends = conn.execute(
        "select count(*) from referrals where inviter_id = ? and status = 'credited' "
        "and invitee_id is not null",
        (inviter,),
    ).fetchone()[0]
    if friends < rules.hold_quiet:
        return ""
    wrote = conn.execute(
        "select 1 from referrals as r where r.inviter_id = ? and r.status = 'credited' "
        f"and exists ({_WROTE}) limit 1",
        (inviter,),
    ).fetchone()
    return "" if wrote else QUIET_TREE


def ring(conn: Connection, inviter: int, invitee: int) -> tuple[int, ...]:
    """The members of the ring that `inviter` inviting `invitee` closes; () when it closes none.

    They stand in the order in which each invited the next: the invitee first, the inviter
    last. Searched upwards, where a member has few above them, however many below.
    """
    if inviter == invitee:
        return ()
    below: dict[int, int | None] = {inviter: None}
    level = [inviter]
    for _ in range(RING_MOST - 1):
        above: list[int] = []
        for child, parent in statements.ask(conn, _PARENTS, level):
            if parent not in below and len(below) < _WALKED:
                below[parent] = child
                above.append(parent)
        if invitee in below:
            break
        level = above
    if invitee not in below:
        return ()
    path = [invitee]
    while (child := below[path[-1]]) is not None:
        path.append(child)
    return tuple(path)


def credits_within(
    conn: Connection, members: Sequence[int], since: float
) -> list[tuple[int, int, int]]:
    """(referral, inviter, points) of each credit on the way round that is younger than `since`
    and that no operator has looked at."""
    found: list[tuple[int, int, int]] = []
    for inviter, invitee in itertools.pairwise(members):
        found += conn.execute(
            "select id, inviter_id, points from referrals where inviter_id = ? "
            "and invitee_id = ? and status = 'credited' and decided_at is null and at >= ?",
            (inviter, invitee, since),
        ).fetchall()
    return found


def suspects(conn: Connection, since: float, rules: HoldRules) -> Suspects:
    """What looks odd in what happened since then, most striking first."""
    bursts = conn.execute(
        "select inviter_id, max(many) from (select inviter_id, count(*) over "
        "(partition by inviter_id order by at range between 3600 preceding and current row) "
        "as many from referrals where at >= ? and status <> 'refused' "
        "and inviter_id is not null) as hours group by inviter_id having max(many) > ? "
        "order by max(many) desc, inviter_id limit ?",
        (since, rules.hold_per_hour, _LISTED),
    ).fetchall()
    quiet = conn.execute(
        "select r.inviter_id, count(*) from referrals as r where r.status in "
        "('credited', 'held') and r.inviter_id is not null and r.invitee_id is not null "
        "group by r.inviter_id having count(*) >= ? and max(r.at) >= ? and "
        f"count(case when exists ({_WROTE}) then 1 end) = 0 "
        "order by count(*) desc, r.inviter_id limit ?",
        (rules.hold_quiet, since, _LISTED),
    ).fetchall()
    attempts = conn.execute(
        "select inviter_id, invitee_id, reason from referrals where at >= ? "
        "and inviter_id is not null and invitee_id is not null "
        "and (reason in ('known', 'scan') or reason = 'ring') order by id desc limit ?",
        (since, _ATTEMPTS),
    ).fetchall()
    rings: dict[frozenset[int], tuple[int, ...]] = {}
    for inviter, invitee, reason in attempts:
        found = ring(conn, inviter, invitee)
        if len(found) >= (RING_LEAST_BY_SCAN if reason == "scan" else 2):
            rings.setdefault(frozenset(found), found)
    return Suspects(
        tuple((row[0], int(row[1])) for row in bursts),
        tuple((row[0], int(row[1])) for row in quiet),
        tuple(rings.values())[:_LISTED],
    )
