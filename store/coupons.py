"""Coupons as their owners, operators and the clock meet them.

How they are given out stands in `claims.py`, their steps in `coupon_steps.py`, the shop's side
in `redemption.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store import offers
from store.claims import Ask, Claim, Claimant, Outcome, Source, gift_key, give, issue
from store.coupon_steps import (
    COLUMNS,
    Coupon,
    find,
    forget,
    let_go,
    merge,
    of_row,
    step,
    take_back,
    told,
)
from store.db import Database, Many
from store.dialect import Connection
from store.ledgers import Deed
from store.offers import Offer
from store.statements import rows_of

__all__ = [
    "Claim",
    "Claimant",
    "Coupon",
    "Coupons",
    "Outcome",
    "Source",
    "forget",
    "gift_key",
    "issue",
    "merge",
    "take_back",
    "told",
]

_JOINED = ", ".join(
    [f"c.{name}" for name in COLUMNS.split(", ")]
    + [f"o.{name}" for name in offers.COLUMNS.split(", ")]
)
_BOTH = f"select {_JOINED} from coupons as c join offers as o on o.id = c.offer_id"
_WIDTH = len(COLUMNS.split(", "))


def _both(row: Sequence[Any]) -> tuple[Coupon, Offer]:
    return of_row(row[:_WIDTH]), offers.of_row(row[_WIDTH:])


class Coupons:
    """The tables `coupons` and `coupon_steps`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._claim = Many(give)

    async def claim(
        self,
        offer: int | str,
        claimant: Claimant,
        key: bytes,
        now: float,
        source: Source = "claim",
    ) -> Claim:
        """Claim one by number or word, for its price in points if it has one; durable when it
        returns. key: the message's."""
        ask = Ask(
            offer=offer,
            who=claimant,
            key=key,
            now=now,
            source=source,
            actor=f"member:{claimant.member_id}",
            check=True,
        )
        return await self._db.write_many(self._claim, ask)

    async def of(self, member_id: int, now: float, limit: int = 20) -> list[tuple[Coupon, Offer]]:
        """A member's coupons: usable ones first, those that end first before the others; then
        the rest, newest first."""

        def run(conn: Connection) -> list[tuple[Coupon, Offer]]:
            rows = conn.execute(
                f"{_BOTH} where c.member_id = ? order by "
                "case when (c.status = 'reserved' and c.reserved_until > ?) or "
                "(c.status in ('claimed', 'reserved') and (c.expires_at is null "
                "or c.expires_at > ?)) then 0 else 1 end, "
                "case when c.status in ('claimed', 'reserved') then 0 else 1 end, "
                "case when c.expires_at is null then 1 else 0 end, "
                "case when c.status in ('claimed', 'reserved') then c.expires_at end, "
                "c.id desc limit ?",
                (member_id, now, now, limit),
            )
            return [_both(row) for row in rows]

        return await self._db.read(run)

    async def given(self, key: bytes) -> Claim | None:
        """What this key was given; None when nothing was."""

        def run(conn: Connection) -> Claim | None:
            row = conn.execute(f"{_BOTH} where c.claim_key = ?", (key,)).fetchone()
            if row is None:
                return None
            coupon, offer = _both(row)
            return Claim(Outcome.AGAIN, offer, coupon)

        return await self._db.read(run)

    async def by_code(self, typed: str) -> Coupon | None:
        """The coupon with this code, however it is typed; None for none."""
        return await self._db.read(lambda conn: find(conn, typed))

    async def get(self, coupon_id: int) -> Coupon | None:
        """One by its number; None for none."""
        return await self._db.read(lambda conn: find(conn, coupon_id))

    async def grant(
        self,
        offer_id: int,
        member_ids: Sequence[int],
        key: bytes,
        now: float,
        by: str,
        deed: Deed | None = None,
    ) -> list[Claim]:
        """Give everybody one, in one transaction; the answers in their order.

        key: the message that asks; the same one again changes nothing (AGAIN). deed: for the
        audit.
        """
        asks = [
            Ask(
                offer=offer_id,
                who=Claimant(member_id),
                key=gift_key(f"grant:{key.hex()}:{offer_id}:{member_id}"),
                now=now,
                source="grant",
                actor=by,
                check=False,
            )
            for member_id in member_ids
        ]

        def run(conn: Connection) -> list[Claim]:
            claims = give(conn, asks)
            given = sum(claim.outcome is Outcome.CLAIMED for claim in claims)
            if deed is not None and given:
                deed.write(conn, f"offer:{offer_id}", str(given))
            return claims

        return await self._db.write(run)

    async def revoke(
        self, which: int | str, now: float, by: str, note: str = "", deed: Deed | None = None
    ) -> Coupon | None:
        """`take_back` by number or code, in a transaction of its own. deed: for the audit."""

        def run(conn: Connection) -> Coupon | None:
            found = find(conn, which)
            if found is None:
                return None
            coupon = take_back(conn, found.id, now, by, note)
            if deed is not None and coupon is not None and found.status != "revoked":
                deed.write(conn, f"coupon:{coupon.id}", note)
            return coupon

        return await self._db.write(run)

    async def steps(self, coupon_id: int) -> list[dict[str, Any]]:
        """A coupon's life in order: status, at, actor, order_id, amount_cents, discount_cents,
        note; [] for none."""
        return await self._db.read(
            lambda conn: rows_of(
                conn,
                "select status, at, actor, order_id, amount_cents, discount_cents, note "
                "from coupon_steps where coupon_id = ? order by id",
                coupon_id,
            )
        )

    async def expire(self, now: float, limit: int = 500) -> int:
        """End what time ends: holds of checkouts, then coupons; says how many steps that were.

        Call it again while it says `limit` or more.
        """

        def run(conn: Connection) -> int:
            released = _due(conn, "status = 'reserved' and reserved_until <= ?", now, limit)
            for coupon in released:
                let_go(conn, coupon, now, "clock")
            expired = _due(conn, "status = 'claimed' and expires_at <= ?", now, limit)
            for coupon in expired:
                conn.execute(
                    "update coupons set status = 'expired', expired_at = ? "
                    "where id = ? and status = 'claimed'",
                    (now, coupon.id),
                )
                step(conn, coupon, "expired", now, "clock")
            return len(released) + len(expired)

        return await self._db.write(run)

    async def ending_soon(
        self, now: float, until: float, limit: int = 500, after: tuple[float, int] = (0.0, 0)
    ) -> list[tuple[Coupon, Offer]]:
        """Coupons that end by then and whose owner was not told, those that end first first.

        after: end and number of the last one of the page before.
        """

        def run(conn: Connection) -> list[tuple[Coupon, Offer]]:
            rows = conn.execute(
                f"{_BOTH} where c.status in ('claimed', 'reserved') and c.status = 'claimed' "
                "and c.expires_at > ? and c.expires_at <= ? and c.reminded_at is null "
                "and (c.expires_at > ? or (c.expires_at = ? and c.id > ?)) "
                "order by c.expires_at, c.id limit ?",
                (now, until, after[0], *after, limit),
            )
            return [_both(row) for row in rows]

        return await self._db.read(run)

    async def reminded(self, coupon_ids: Sequence[int], now: float) -> None:
        """Note that their owners were told; a second time changes nothing."""

        def run(conn: Connection) -> None:
            conn.executemany(
                "update coupons set reminded_at = ? where id = ? and reminded_at is null",
                [(now, coupon_id) for coupon_id in coupon_ids],
            )

        await self._db.write(run)

    async def export(self, after_id: int = 0, limit: int = 1000) -> list[tuple[Coupon, Offer]]:
        """All coupons by number, those after `after_id`; [] behind the last one."""

        def run(conn: Connection) -> list[tuple[Coupon, Offer]]:
            rows = conn.execute(f"{_BOTH} where c.id > ? order by c.id limit ?", (after_id, limit))
            return [_both(row) for row in rows]

        return await self._db.read(run)


def _due(conn: Connection, condition: str, now: float, limit: int) -> list[Coupon]:
    # The first condition is that of the index, which is only used when a question repeats it.
    rows = conn.execute(
        f"select {COLUMNS} from coupons where status in ('claimed', 'reserved') "
        f"and {condition} order by id limit ?",
        (now, limit),
    )
    return [of_row(row) for row in rows]
