"""What a message may say of its reader: points, tier, days. Read for many members at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from store import statements
from store.db import Database
from store.dialect import Connection


@dataclass(frozen=True, slots=True)
class Portrait:
    """One member. tier: "" for none that holds now; earned: points they ever got; since: when
    they were met, Unix seconds; invited: friends they brought."""

    tier: str = ""
    points: int = 0
    earned: int = 0
    since: float = 0.0
    invited: int = 0


_WHO = (
    "select m.id, m.created_at, m.tier, m.tier_until, coalesce(a.balance, 0), "
    "coalesce(a.earned, 0) from members as m left join point_accounts as a "
    "on a.member_id = m.id where m.id in ({rows})"
)
_INVITED = (
    "select inviter_id, count(*) from referrals "
    "where inviter_id in ({rows}) and status = 'credited' group by inviter_id"
)
_OPENIDS = (
    "select external_id from identities where channel = ? and member_id = ? "
    "order by last_seen_at desc, external_id desc limit 1"
)


class Portraits:
    """Reads of members for the texts they get."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, member_ids: Collection[int], now: float) -> dict[int, Portrait]:
        """Portraits of these members, all of one moment; who is erased is left out."""
        return await self._db.read(lambda conn: _portraits(conn, member_ids, now))

    async def openid(self, channel: str, member_id: int) -> str:
        """Who a member is on a channel, where they were seen last; "" for nobody there."""

        def run(conn: Connection) -> str:
            row = conn.execute(_OPENIDS, (channel, member_id)).fetchone()
            return "" if row is None else str(row[0])

        return await self._db.read(run)


def _portraits(conn: Connection, member_ids: Collection[int], now: float) -> dict[int, Portrait]:
    found = {}
    # A list filled up to a size names a member more than once: every row comes once all the same.
    invited = {row[0]: row[1] for row in statements.ask(conn, _INVITED, member_ids)}
    for number, since, tier, until, points, earned in statements.ask(conn, _WHO, member_ids):
        holds = tier if tier and (until is None or until > now) else ""
        found[number] = Portrait(holds, points, earned, since, invited.get(number, 0))
    return found
