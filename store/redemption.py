"""The shop's side of a coupon: held during a checkout, used once, or let go.

claimed -> reserved -> redeemed, or reserved -> claimed again when the checkout is given up
or takes too long. The same request under the same name gets the same answer; a success is
written down together with its answer, a refusal changes and keeps nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from store import offers, statements
from store.coupon_steps import COLUMNS, Coupon, blind, find, let_go, of_row, step, tell
from store.db import Database
from store.dialect import Connection
from store.discounts import Cart, Line, discount
from store.offers import Offer

__all__ = ["Call", "Cart", "Line", "Redeemed", "Redemptions", "Result", "answer_of"]


class Result(StrEnum):
    """How a call ended. The first three are successes."""

    DONE = "done"
    REPEATED = "repeated"
    """The same order has used it before: the same discount again."""
    REPLAYED = "replayed"
    """The same request under the same name: its answer again."""
    MISUSED = "misused"
    """Another request under a name that was used."""
    NO_CODE = "no_code"
    """Nobody was given this code."""
    NOT_YOURS = "not_yours"
    """Another order holds it."""
    USED = "used"
    ENDED = "ended"
    REVOKED = "revoked"
    NOT_ELIGIBLE = "not_eligible"
    """`why`: "min_spend" for a too small order, "no_item" for nothing in it that it is for."""
    NOT_STACKABLE = "not_stackable"
    """The order uses another coupon, and one of the two must be used alone."""
    NOT_HELD = "not_held"
    """Nothing to release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """The answer. coupon: as it is now; with a refusal as it was found, None without one.

    discount_cents, trial_days: what the order gets. status, answer: with a success what the
    shop is answered, word for word also when REPLAYED.
    """

    outcome: Result
    coupon: Coupon | None = None
    offer: Offer | None = None
    discount_cents: int = 0
    trial_days: int = 0
    why: str = ""
    status: int = 200
    answer: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return self.outcome in (Result.DONE, Result.REPEATED, Result.REPLAYED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who calls, and under which name. actor: as in the audit ("key:k1"). key_id: the API key;
    name: its Idempotency-Key, "" for none; fingerprint: a hash of the request."""

    actor: str
    key_id: str
    name: str
    fingerprint: bytes
    now: float


Answer = Callable[[Redeemed], str]
"""Makes the JSON that is answered; it is kept, so it names neither the member nor the order."""


def answer_of(done: Redeemed) -> str:
    """The JSON of a success: the coupon, what became of it, what it takes off."""
    assert done.coupon is not None
    assert done.offer is not None
    says = {
        "coupon": done.coupon.id,
        "code": done.coupon.for_shop,
        "offer": done.offer.id,
        "word": done.offer.word,
        "kind": done.offer.kind,
        "status": done.coupon.status,
        "amount_cents": done.coupon.amount_cents,
        "discount_cents": done.discount_cents,
        "trial_days": done.trial_days,
        "reserved_until": done.coupon.reserved_until,
        "redeemed_at": done.coupon.redeemed_at,
    }
    return json.dumps(says, ensure_ascii=False)


class Redemptions:
    """The shop's calls on `coupons`, and the table `idempotency`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def reserve(
        self, code: str, cart: Cart, call: Call, reserve_s: float, answer: Answer = answer_of
    ) -> Redeemed:
        """Hold a coupon for an order; the same order again holds it longer, by its new amount."""

        def act(conn: Connection, coupon: Coupon) -> Redeemed | None:
            return _reserve(conn, coupon, cart, call, call.now + reserve_s)

        return await self._db.write(lambda conn: _run(conn, code, call, answer, act))

    async def redeem(
        self, code: str, cart: Cart, call: Call, answer: Answer = answer_of
    ) -> Redeemed:
        """Use a coupon, held by this order or by none. What was held when the coupon ended may
        still be used while it is held; for the amount it was held for it takes off what was
        told then."""

        def act(conn: Connection, coupon: Coupon) -> Redeemed | None:
            return _redeem(conn, coupon, cart, call)

        return await self._db.write(lambda conn: _run(conn, code, call, answer, act))

    async def release(
        self, code: str, order_id: str, call: Call, answer: Answer = answer_of
    ) -> Redeemed:
        """Let go of what an order holds."""

        def act(conn: Connection, coupon: Coupon) -> Redeemed | None:
            return _release(conn, coupon, order_id, call)

        return await self._db.write(lambda conn: _run(conn, code, call, answer, act))


def _run(
    conn: Connection,
    code: str,
    call: Call,
    answer: Answer,
    act: Callable[[Connection, Coupon], Redeemed | None],
) -> Redeemed:
    """The answer to a call: kept from before, or made now and then kept if it is a success.

    act: None when the coupon was changed after it was read.
    """
    if call.name and (before := _before(conn, code, call)) is not None:
        return before
    coupon = find(conn, code)
    # A code in the shop's own pool that nobody was given is no coupon yet.
    if coupon is None or coupon.status == "offered":
        return Redeemed(outcome=Result.NO_CODE)
    done = act(conn, coupon)
    if done is None:
        return _run(conn, code, call, answer, act)
    if not done.ok:
        return done
    done = replace(done, answer=answer(done))
    if call.name:
        # Of two at once the key lets one in; the other's transaction fails as a whole.
        conn.execute(
            "insert into idempotency (key_id, name, fingerprint, status, answer, at) "
            "values (?, ?, ?, ?, ?, ?)",
            (call.key_id, call.name, call.fingerprint, done.status, done.answer, call.now),
        )
    return done


def _before(conn: Connection, code: str, call: Call) -> Redeemed | None:
    row = conn.execute(
        "select fingerprint, status, answer from idempotency where key_id = ? and name = ?",
        (call.key_id, call.name),
    ).fetchone()
    if row is None:
        return None
    if bytes(row[0]) != call.fingerprint:
        return Redeemed(outcome=Result.MISUSED)
    return Redeemed(outcome=Result.REPLAYED, coupon=find(conn, code), status=row[1], answer=row[2])


_ENDS = {"revoked": Result.REVOKED, "expired": Result.ENDED}


def _reserve(
    conn: Connection, coupon: Coupon, cart: Cart, call: Call, until: float
) -> Redeemed | None:
    if coupon.status == "redeemed":
        return Redeemed(outcome=Result.USED, coupon=coupon)
    if (why_not := _closed(coupon, cart.order_id, call.now)) is not None:
        return why_not
    if coupon.expires_at is not None and coupon.expires_at <= call.now:
        return Redeemed(outcome=Result.ENDED, coupon=coupon)
    worth = _worth(conn, coupon, cart, call.now)
    if not worth.ok:
        return worth
    free = _freed(conn, coupon, call.now)
    row = conn.execute(
        "update coupons set status = 'reserved', reserved_at = ?, reserved_until = ?, "
        f"order_id = ?, amount_cents = ?, discount_cents = ? {_STILL} returning {COLUMNS}",
        (
            call.now,
            until,
            cart.order_id,
            cart.amount_cents,
            worth.discount_cents,
            *_as_read(free),
        ),
    ).fetchone()
    return _done(conn, row, worth, call, "reserved")


def _redeem(conn: Connection, coupon: Coupon, cart: Cart, call: Call) -> Redeemed | None:
    if coupon.status == "redeemed":
        return _used(conn, coupon, cart.order_id)
    if (why_not := _closed(coupon, cart.order_id, call.now)) is not None:
        return why_not
    held = _is_held(coupon, call.now)
    if not held and coupon.expires_at is not None and coupon.expires_at <= call.now:
        return Redeemed(outcome=Result.ENDED, coupon=coupon)
    # What the order was told when it was held stands, whatever the catalogue says since:
    # its customer has paid by it.
    as_held = held and coupon.amount_cents == cart.amount_cents
    worth = _told(conn, coupon) if as_held else _worth(conn, coupon, cart, call.now)
    if not worth.ok:
        return worth
    free = _freed(conn, coupon, call.now)
    row = conn.execute(
        "update coupons set status = 'redeemed', redeemed_at = ?, reserved_until = null, "
        f"order_id = ?, amount_cents = ?, discount_cents = ? {_STILL} returning {COLUMNS}",
        (call.now, cart.order_id, cart.amount_cents, worth.discount_cents, *_as_read(free)),
    ).fetchone()
    done = _done(conn, row, worth, call, "redeemed")
    if done is not None:
        assert done.coupon is not None
        assert done.offer is not None
        tell(conn, "coupon.redeemed", done.coupon, done.offer, call.now)
    return done


def _release(conn: Connection, coupon: Coupon, order_id: str, call: Call) -> Redeemed | None:
    if coupon.status == "redeemed":
        return Redeemed(outcome=Result.USED, coupon=coupon)
    if coupon.status in _ENDS:
        return Redeemed(outcome=_ENDS[coupon.status], coupon=coupon)
    if coupon.status == "reserved" and coupon.order_id != order_id:
        # A hold that is over is nobody's, even if nobody has written that down yet.
        outcome = Result.NOT_YOURS if _is_held(coupon, call.now) else Result.NOT_HELD
        return Redeemed(outcome=outcome, coupon=coupon)
    if coupon.status != "reserved":
        return Redeemed(outcome=Result.NOT_HELD, coupon=coupon)
    free = let_go(conn, coupon, call.now, call.actor)
    if free is None:
        return None
    return Redeemed(outcome=Result.DONE, coupon=free, offer=offers.find(conn, free.offer_id))


def _is_held(coupon: Coupon, now: float) -> bool:
    return (
        coupon.status == "reserved"
        and coupon.reserved_until is not None
        and coupon.reserved_until > now
    )


def _closed(coupon: Coupon, order_id: str, now: float) -> Redeemed | None:
    """Why no order, or not this one, may have it; None when this one may."""
    if coupon.status in _ENDS:
        return Redeemed(outcome=_ENDS[coupon.status], coupon=coupon)
    if _is_held(coupon, now) and coupon.order_id != order_id:
        return Redeemed(outcome=Result.NOT_YOURS, coupon=coupon)
    return None


def _used(conn: Connection, coupon: Coupon, order_id: str) -> Redeemed:
    if coupon.order_id not in (order_id, blind(conn, order_id)):
        return Redeemed(outcome=Result.USED, coupon=coupon)
    return replace(_told(conn, coupon), outcome=Result.REPEATED)


def _told(conn: Connection, coupon: Coupon) -> Redeemed:
    """What its order was told that it gets, as a success."""
    offer = offers.find(conn, coupon.offer_id)
    assert offer is not None
    return Redeemed(
        outcome=Result.DONE,
        coupon=coupon,
        offer=offer,
        discount_cents=coupon.discount_cents,
        trial_days=offer.value if offer.kind == "trial" else 0,
    )


def _worth(conn: Connection, coupon: Coupon, cart: Cart, now: float) -> Redeemed:
    """What the order gets, as a success; or why it gets nothing."""
    offer = offers.find(conn, coupon.offer_id)
    assert offer is not None
    # Of all members, forgotten ones as well: codes of friends may not be piled up either.
    others = conn.execute(
        "select o.stackable, c.discount_cents from coupons as c "
        "join offers as o on o.id = c.offer_id "
        "where c.order_id in (?, ?) and c.order_id <> '' and c.id <> ? "
        "and (c.status = 'redeemed' or (c.status = 'reserved' and c.reserved_until > ?))",
        (cart.order_id, blind(conn, cart.order_id), coupon.id, now),
    ).fetchall()
    if others and not (offer.stackable and all(row[0] for row in others)):
        return Redeemed(outcome=Result.NOT_STACKABLE, coupon=coupon, offer=offer)
    tags: dict[str, tuple[str, ...]] = {}
    prices: dict[str, int] = {}
    for item_id, its_tags, price_cents in statements.ask(
        conn,
        "select id, tags, price_cents from items where id in ({rows})",
        {line.item_id for line in cart.lines},
    ):
        tags[item_id] = tuple(its_tags.split("|"))
        prices[item_id] = price_cents
    taken = sum(row[1] for row in others)
    found = discount(offer, cart, tags, prices, taken)
    if found.why_not:
        return Redeemed(outcome=Result.NOT_ELIGIBLE, coupon=coupon, offer=offer, why=found.why_not)
    return Redeemed(
        outcome=Result.DONE,
        coupon=coupon,
        offer=offer,
        discount_cents=found.cents,
        trial_days=found.days,
    )


# What was judged is what is changed: whoever was faster makes this find no row.
_STILL = (
    "where id = ? and status = ? and order_id = ? and coalesce(reserved_until, 0) = ? "
    "and status in ('claimed', 'reserved')"
)


def _as_read(coupon: Coupon) -> tuple[Any, ...]:
    return (coupon.id, coupon.status, coupon.order_id, coupon.reserved_until or 0)


def _freed(conn: Connection, coupon: Coupon, now: float) -> Coupon:
    """The coupon without a hold that is over, which leaves its step before the next one."""
    if coupon.status != "reserved" or _is_held(coupon, now):
        return coupon
    return let_go(conn, coupon, now, "clock") or coupon


def _done(
    conn: Connection, row: Sequence[Any] | None, worth: Redeemed, call: Call, status: str
) -> Redeemed | None:
    if row is None:
        return None
    coupon = of_row(row)
    step(conn, coupon, status, call.now, call.actor)
    return replace(worth, coupon=coupon)
