"""Membership: who has which tier until when.

Each gift of a tier is a row with a key of its own, so an order counts once. Several may hold
at a time; the highest that holds now stands in `members`, where a message finds it without a
question. That is kept up in the transaction of each change, and by a job when one ends while
a lower one goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed
from store.statements import rows_of

if TYPE_CHECKING:
    from store.members import Members

_ORDER = "membership_tiers"
"""Where `meta` keeps the order of the tiers, lowest first, by which `members` was filled."""

_FAR = float("inf")


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts now: the highest tier, "" for none; until: Unix seconds, None for ever."""

    tier: str
    until: float | None


@dataclass(frozen=True, slots=True)
class Membership:
    """One gift of a tier. until: None for ever; given_by: as in the audit."""

    tier: str
    since: float
    until: float | None
    given_by: str


@dataclass(frozen=True, slots=True)
class Given:
    """fresh: False when its source gave it before, and nothing changed."""

    fresh: bool
    standing: Standing


def give(
    conn: Connection,
    member_id: int,
    tier: str,
    now: float,
    *,
    source_key: str,
    by: str,
    tiers: Sequence[str],
    until: float | None = None,
    for_s: float | None = None,
) -> Given | None:
    """Give a tier, once for each source; None when there is no such member.

    for_s: so many seconds, from the end of what they have of this tier, or from now. Without
    it until a time, or for ever (None). tiers: all of them, lowest first. Whoever calls it
    from a transaction of its own runs that through `Members.change`. Errors: ValueError for
    an unknown tier.
    """
    if tier not in tiers:
        raise ValueError(f"there is no tier {tier!r}")
    if conn.execute("select 1 from members where id = ?", (member_id,)).fetchone() is None:
        return None
    since = now
    if for_s is not None:
        end = _covered(_live(conn, member_id, now), tier, now)
        # For ever is no time to go on from: the gift then changes nothing until that is taken.
        since = now if end is None else max(now, end)
        until = since + for_s
    row = conn.execute(
        "insert into memberships (member_id, tier, since, until, source_key, given_by) "
        "values (?, ?, ?, ?, ?, ?) on conflict (source_key) do nothing returning id",
        (member_id, tier, since, until, source_key, by),
    ).fetchone()
    if row is None:
        return Given(False, standing(conn, member_id))
    return Given(True, _settle(conn, member_id, tiers, now))


def take(
    conn: Connection, member_id: int, tier: str | None, now: float, *, tiers: Sequence[str]
) -> int | None:
    """End all that holds, or is to come, of a tier or (None) of every one; says how many.

    None when there is no such member.
    """
    if conn.execute("select 1 from members where id = ?", (member_id,)).fetchone() is None:
        return None
    count = conn.execute(
        "update memberships set ended_at = ? where member_id = ? and (? is null or tier = ?) "
        "and ended_at is null and (until is null or until > ?)",
        (now, member_id, tier, tier, now),
    ).rowcount
    _settle(conn, member_id, tiers, now)
    return count


def end(conn: Connection, source_key: str, now: float, *, tiers: Sequence[str]) -> int | None:
    """Take back what one source gave; says of whom, None when it holds no more.

    What was bought to follow it moves up by the time that falls away.
    """
    row = conn.execute(
        "update memberships set ended_at = ? where source_key = ? and ended_at is null "
        "returning member_id, tier, since, until",
        (now, source_key),
    ).fetchone()
    if row is None:
        return None
    member_id, tier, since, until = row
    if until is not None and until > now:
        gap = until - max(now, since)
        conn.execute(
            "update memberships set since = since - ?, until = until - ? where member_id = ? "
            "and tier = ? and ended_at is null and since >= ? and until is not null",
            (gap, gap, member_id, tier, until),
        )
    _settle(conn, member_id, tiers, now)
    return int(member_id)


def standing(conn: Connection, member_id: int) -> Standing:
    """What stands in `members`; nothing for no such member."""
    row = conn.execute("select tier, tier_until from members where id = ?", (member_id,)).fetchone()
    return Standing("", None) if row is None else Standing(*row)


def _live(conn: Connection, member_id: int, now: float) -> list[Membership]:
    """What holds now or is to come, in the order in which it begins."""
    rows = conn.execute(
        "select tier, since, until, given_by from memberships where member_id = ? "
        "and ended_at is null and (until is null or until > ?) order by since, id",
        (member_id, now),
    )
    return [Membership(*row) for row in rows]


def _covered(rows: Sequence[Membership], tier: str, now: float) -> float | None:
    """Until when a tier holds without a gap from now on: `now` for not at all, None for ever."""
    until = now
    for row in rows:
        if row.tier == tier and row.since <= until:
            if row.until is None:
                return None
            until = max(until, row.until)
    return until


def _settle(conn: Connection, member_id: int, tiers: Sequence[str], now: float) -> Standing:
    """Write the highest tier that holds now into `members`."""
    rows = _live(conn, member_id, now)
    found = Standing("", None)
    for tier in reversed(tiers):
        until = _covered(rows, tier, now)
        if until is None or until > now:
            found = Standing(tier, until)
            break
    conn.execute(
        "update members set tier = ?, tier_until = ? where id = ?",
        (found.tier, found.until, member_id),
    )
    return found


# What `store/personal.py` asks of every room


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """A member's tiers, past ones too."""
    sql = (
        "select tier, since, until, source_key, ended_at from memberships "
        "where member_id = ? order by id"
    )
    return {"memberships": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Remove them."""
    gone = conn.execute("delete from memberships where member_id = ?", (member_id,))
    # What an operator gave stays others', and is nobody's gift.
    conn.execute(
        "update memberships set given_by = '' where given_by = ?", (f"member:{member_id}",)
    )
    return {"memberships": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Both have what either had; the higher tier counts, and what both paid for runs in turn."""
    conn.execute("update memberships set member_id = ? where member_id = ?", (keep, drop))
    conn.execute(
        "update memberships set given_by = ? where given_by = ?",
        (f"member:{keep}", f"member:{drop}"),
    )
    row = conn.execute("select value from meta where name = ?", (_ORDER,)).fetchone()
    order = row[0].split("|") if row is not None else []

    def worth(one: Standing) -> tuple[int, float]:
        rank = order.index(one.tier) + 1 if one.tier in order else 0
        return rank, _FAR if one.until is None else one.until

    # One that has ended by now is noticed by the next run of the job.
    best = max((standing(conn, keep), standing(conn, drop)), key=worth)
    if (seen := _seen(conn, keep)) is not None:
        _lay_in_turn(conn, keep, seen)
        if best.tier and best.until is not None:
            until = _covered(_live(conn, keep, seen), best.tier, seen)
            if until is None or until > best.until:
                best = Standing(best.tier, until)
    conn.execute(
        "update members set tier = ?, tier_until = ? where id = ?", (best.tier, best.until, keep)
    )


def _seen(conn: Connection, member_id: int) -> float | None:
    """When somebody last was here, the nearest to now that a merger knows; None for never."""
    row = conn.execute(
        "select max(last_seen_at) from identities where member_id = ?", (member_id,)
    ).fetchone()
    return None if row is None else row[0]


def _lay_in_turn(conn: Connection, member_id: int, now: float) -> None:
    """Bought times of one tier that run side by side run one after the other from now on."""
    rows = conn.execute(
        "select id, tier, since, until from memberships where member_id = ? "
        "and ended_at is null and until > ? "
        "and source_key >= 'event:' and source_key < 'event;' order by since, id",
        (member_id, now),
    ).fetchall()
    ends: dict[str, float] = {}
    for number, tier, since, until in rows:
        since = max(since, now)
        end = ends.get(tier, since)
        if since < end:
            since, until = end, end + until - since
            conn.execute(
                "update memberships set since = ?, until = ? where id = ?", (since, until, number)
            )
        ends[tier] = until


class Memberships:
    """The table `memberships`, and `tier` and `tier_until` of `members`."""

    def __init__(self, db: Database, members: Members) -> None:
        self._db = db
        self._members = members

    async def give(
        self,
        member_id: int,
        tier: str,
        now: float,
        *,
        source_key: str,
        by: str,
        tiers: Sequence[str],
        until: float | None = None,
        for_s: float | None = None,
        deed: Deed | None = None,
        detail: str = "",
    ) -> Given | None:
        """`give` in a transaction of its own; their next message has it.

        deed: for the audit, with this detail.
        """

        def run(conn: Connection) -> Given | None:
            given = give(
                conn,
                member_id,
                tier,
                now,
                source_key=source_key,
                by=by,
                tiers=tiers,
                until=until,
                for_s=for_s,
            )
            if deed is not None and given is not None:
                deed.write(conn, f"member:{member_id}", detail)
            return given

        return await self._members.change(run, (member_id,))

    async def take(
        self,
        member_id: int,
        tier: str | None,
        now: float,
        *,
        tiers: Sequence[str],
        deed: Deed | None = None,
    ) -> int | None:
        """`take` in a transaction of its own; their next message is without.

        deed: for the audit.
        """

        def run(conn: Connection) -> int | None:
            count = take(conn, member_id, tier, now, tiers=tiers)
            if deed is not None and count:
                deed.write(conn, f"member:{member_id}", "none")
            return count

        return await self._members.change(run, (member_id,))

    async def of(self, member_id: int, now: float) -> list[Membership]:
        """What a member has now and what is to come, in the order in which it begins."""
        return await self._db.read(lambda conn: _live(conn, member_id, now))

    async def standing(self, member_id: int, now: float) -> Standing | None:
        """The tier that counts now; None when there is no such member."""

        def run(conn: Connection) -> Standing | None:
            row = conn.execute(
                "select tier, tier_until from members where id = ?", (member_id,)
            ).fetchone()
            if row is None:
                return None
            ended = row[1] is not None and row[1] <= now
            return Standing("", None) if ended else Standing(*row)

        return await self._db.read(run)

    async def settle(self, now: float, tiers: Sequence[str], limit: int = 500) -> int:
        """See to the members whose tier has ended: what counts now? Says how many there were.

        When the tiers are others than last time, or stand in another order, to everybody
        who has one. limit: members of one transaction.
        """
        order = "|".join(tiers)
        fresh = await self._db.read(_order) != order
        find = _everybody if fresh else _ended
        members = await self._db.read(lambda conn: find(conn, now))
        for at in range(0, len(members), limit):
            await self._settle(members[at : at + limit], tiers, now)
        if fresh:
            await self._db.write(lambda conn: _put_order(conn, order))
        return len(members)

    async def _settle(self, member_ids: Sequence[int], tiers: Sequence[str], now: float) -> None:
        def run(conn: Connection) -> None:
            for member_id in member_ids:
                _settle(conn, member_id, tiers, now)

        await self._members.change(run, member_ids)


def _order(conn: Connection) -> str | None:
    row = conn.execute("select value from meta where name = ?", (_ORDER,)).fetchone()
    return None if row is None else str(row[0])


def _put_order(conn: Connection, order: str) -> None:
    conn.execute(
        "insert into meta (name, value) values (?, ?) "
        "on conflict (name) do update set value = excluded.value",
        (_ORDER, order),
    )


def _ended(conn: Connection, now: float) -> list[int]:
    return [row[0] for row in conn.execute("select id from members where tier_until <= ?", (now,))]


def _everybody(conn: Connection, now: float) -> list[int]:
    rows = conn.execute(
        "select id from members where tier <> '' union select member_id from memberships "
        "where ended_at is null and (until is null or until > ?)",
        (now,),
    )
    return [row[0] for row in rows]
