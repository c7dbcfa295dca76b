"""One coupon: its row, the steps of its life, and what becomes of it with its member.

offered -> claimed -> reserved -> redeemed; a hold that ends makes it claimed again; expired
and revoked are ends. Every change leaves a step, and what the shop wants to hear of is planned
in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from store import codes, hooks, offers
from store.dialect import Connection
from store.fingerprints import fingerprint
from store.offers import Offer
from store.statements import rows_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """A coupon as it is kept; times are Unix seconds, None when it did not happen.

    code: in its plain form; spelling: as the shop wrote it, "" for ours. status: offered (in a
    pool), claimed, reserved, redeemed, expired or revoked. order_id, amount_cents,
    discount_cents: of the order that holds or used it; see `blind`.
    """

    id: int
    offer_id: int
    code: str
    spelling: str
    status: str
    member_id: int | None
    serial: int | None
    source: str
    created_at: float
    claimed_at: float | None
    expires_at: float | None
    reserved_at: float | None
    reserved_until: float | None
    released_at: float | None
    redeemed_at: float | None
    expired_at: float | None
    revoked_at: float | None
    reminded_at: float | None
    order_id: str
    amount_cents: int
    discount_cents: int
    points_paid: int

    @property
    def for_shop(self) -> str:
        """The code as the shop knows it: its own spelling, or ours without dashes."""
        return self.spelling or self.code

    @property
    def shown(self) -> str:
        """The code as people read it."""
        return self.spelling or codes.shown(self.code)

    @property
    def order_shown(self) -> str:
        """The order's number; "" for none, and once its buyer is forgotten."""
        return "" if self.member_id is None else self.order_id

    @property
    def counts(self) -> bool:
        """Whether it is one of those that its member may have. What an invitation gave and
        took back again is not: a rung of the ladder that is reached anew gives anew."""
        return self.status != "revoked" or self.source != "referral"

    def usable(self, now: float) -> bool:
        """Whether a shop would still take it: given out, not used, not ended."""
        if self.status == "reserved" and self.reserved_until is not None:
            if self.reserved_until > now:
                return True
        elif self.status != "claimed":
            return False
        return self.expires_at is None or self.expires_at > now


COLUMNS = ", ".join(field.name for field in fields(Coupon))
"""Of `coupons`, in the order that `of_row` takes."""

_NAMES = tuple(field.name for field in fields(Coupon))


def of_row(row: Sequence[Any]) -> Coupon:
    """The coupon of a row of COLUMNS."""
    return Coupon(**dict(zip(_NAMES, row, strict=True)))


def find(conn: Connection, which: int | str) -> Coupon | None:
    """One by number or by code, however it is typed, inside a transaction."""
    if isinstance(which, int):
        row = conn.execute(f"select {COLUMNS} from coupons where id = ?", (which,)).fetchone()
    else:
        row = conn.execute(
            f"select {COLUMNS} from coupons where code = ?", (codes.plain(which),)
        ).fetchone()
    return None if row is None else of_row(row)


def step(
    conn: Connection,
    coupon: Coupon,
    status: str,
    at: float,
    actor: str,
    *,
    order_id: str = "",
    note: str = "",
) -> None:
    """Write down what became of a coupon, with its order's amounts when it has one."""
    conn.execute(
        "insert into coupon_steps (coupon_id, status, at, actor, order_id, amount_cents, "
        "discount_cents, note) values (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            coupon.id,
            status,
            at,
            actor,
            order_id or coupon.order_id,
            coupon.amount_cents,
            coupon.discount_cents,
            note,
        ),
    )


def tell(conn: Connection, topic: str, coupon: Coupon, offer: Offer, now: float) -> None:
    """Plan the webhooks of a coupon's news; of one coupon each topic comes once."""
    data = {
        "coupon": coupon.id,
        "code": coupon.for_shop,
        "offer": offer.id,
        "word": offer.word,
        "member": coupon.member_id,
        "order": coupon.order_id,
        "amount_cents": coupon.amount_cents,
        "discount_cents": coupon.discount_cents,
    }
    hooks.queue(conn, topic, f"{topic}:{coupon.id}", data, now, now)


def let_go(conn: Connection, coupon: Coupon, now: float, actor: str) -> Coupon | None:
    """A hold ends without a sale; None when it is not this hold any more."""
    row = conn.execute(
        "update coupons set status = 'claimed', released_at = ?, reserved_until = null, "
        "order_id = '', amount_cents = 0, discount_cents = 0 where id = ? "
        f"and status = 'reserved' and order_id = ? and reserved_until = ? returning {COLUMNS}",
        (now, coupon.id, coupon.order_id, coupon.reserved_until),
    ).fetchone()
    if row is None:
        return None
    step(conn, coupon, "released", now, actor)
    return of_row(row)


def take_back(
    conn: Connection, coupon_id: int, now: float, actor: str, note: str = ""
) -> Coupon | None:
    """Revoke a coupon that is not used; None when there is none, or it was used or has ended.

    One that is revoked already is given as it is. A checkout that held it has lost it. Its
    code is not handed out again and goes on counting: for the offer, and for its member unless
    an invitation gave it (`Coupon.counts`). Points paid for it are not given back.
    """
    before = find(conn, coupon_id)
    row = conn.execute(
        "update coupons set status = 'revoked', revoked_at = ?, reserved_until = null, "
        "order_id = '', amount_cents = 0, discount_cents = 0 "
        f"where id = ? and status in ('claimed', 'reserved') returning {COLUMNS}",
        (now, coupon_id),
    ).fetchone()
    if row is None:
        return before if before is not None and before.status == "revoked" else None
    assert before is not None
    coupon = of_row(row)
    step(conn, coupon, "revoked", now, actor, order_id=before.order_id, note=note)
    offer = offers.find(conn, coupon.offer_id)
    assert offer is not None
    tell(conn, "coupon.revoked", coupon, offer, now)
    return coupon


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What is kept of a member, by table."""
    return {
        "coupons": rows_of(
            conn,
            "select o.title, c.code, c.status, c.source, c.claimed_at, c.expires_at, "
            "c.reserved_at, c.released_at, c.redeemed_at, c.expired_at, c.revoked_at, "
            "c.order_id, c.amount_cents, c.discount_cents, c.points_paid "
            "from coupons as c join offers as o on o.id = c.offer_id "
            "where c.member_id = ? order by c.id",
            member_id,
        ),
        "coupon_steps": rows_of(
            conn,
            "select c.code, s.status, s.at, s.order_id, s.amount_cents, s.discount_cents, "
            "s.note from coupon_steps as s join coupons as c on c.id = s.coupon_id "
            "where c.member_id = ? order by s.id",
            member_id,
        ),
    }


def blind(conn: Connection, order_id: str) -> str:
    """What stands for a shop's order once its buyer is forgotten: it can be compared, not read.

    So the order still has its one coupon, and a call that comes again its answer.
    """
    return f"~{fingerprint(conn, f'order:{order_id}').hex()[:32]}"


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Make their coupons nobody's: what is not used is revoked, what is used stays a figure."""
    mine = conn.execute(
        "select id, order_id from coupons where member_id = ?", (member_id,)
    ).fetchall()
    # First nobody's, then revoked: the shop still hears that the codes are void.
    conn.execute(
        "update coupons set member_id = null, serial = null, claim_key = null where member_id = ?",
        (member_id,),
    )
    who = f"member:{member_id}"
    steps = 0
    for coupon_id, order_id in mine:
        take_back(conn, coupon_id, now, "", "erased")
        # Where it is still there: a hold has just lost it.
        conn.execute(
            "update coupons set order_id = ? where id = ? and order_id <> ''",
            (blind(conn, order_id) if order_id else "", coupon_id),
        )
        steps += conn.execute(
            "update coupon_steps set order_id = '', "
            "note = case when note = 'erased' then note else '' end where coupon_id = ?",
            (coupon_id,),
        ).rowcount
    _rename(conn, who, "")
    return {"coupons": len(mine), "coupon_steps": steps}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Two members are one: all coupons are the first's, even if those are more than one may
    have."""
    for coupon_id, offer_id in conn.execute(
        "select id, offer_id from coupons where member_id = ? order by id", (drop,)
    ).fetchall():
        conn.execute(
            "update coupons set member_id = ?, serial = (select coalesce(max(serial), 0) + 1 "
            "from coupons where offer_id = ? and member_id = ?) where id = ?",
            (keep, offer_id, keep, coupon_id),
        )
    _rename(conn, f"member:{drop}", f"member:{keep}")


def _rename(conn: Connection, who: str, other: str) -> None:
    """Name another for all that somebody did, to their own coupons and as an operator."""
    conn.execute("update coupon_steps set actor = ? where actor = ?", (other, who))
    conn.execute("update offers set created_by = ? where created_by = ?", (other, who))
