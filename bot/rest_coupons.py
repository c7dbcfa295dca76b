"""The REST API for coupons: what the shop does with a code during a checkout, and after it.

What a coupon takes off is computed in the store, in the transaction that holds or uses it.
Whoever tries codes that nobody has must wait with them; see `bot/keys.py: Guesses`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta

from bot.rest import Answer, Call, Fault, Operation, Param, Problem, stamp
from bot.rest_items import Id
from bot.rest_offers import Cents, mismatch
from bot.rest_path import IDEMPOTENT
from store import redemption
from store.codes import plain
from store.coupons import Coupon
from store.offers import Kind, Offer
from store.redemption import Cart, Redeemed, Result

MAX_LINES = 200

# "$" alone would let a line break at the end through.
_END = r"(?!\n)$"
_PLAIN = r"[^\u0000-\u001f\u007f]"
CODE = Param(
    description="A code as the customer typed it: capitals, blanks and dashes make no difference.",
    pattern=r"^[^\s/\\.\u0000-\u001f\u007f][^/\\\u0000-\u001f\u007f]{0,79}$",
    example="7KQ4-MXT2-9HWBU",
    max_length=80,
)
Order = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=rf"^{_PLAIN}*\S{_PLAIN}*{_END}",
        description="Your order's number.",
        examples=["17"],
    ),
]
Status = Literal["claimed", "reserved", "redeemed", "expired", "revoked"]


class LineBody(msgspec.Struct, forbid_unknown_fields=True):
    """One position of an order."""

    item: Id
    amount_cents: Annotated[Cents, Meta(description="What all of it costs, in fen.")]


class CartBody(msgspec.Struct, forbid_unknown_fields=True):
    """An order before its discounts."""

    order: Order
    amount_cents: Annotated[Cents, Meta(description="All of it, in fen.")]
    lines: Annotated[
        list[LineBody],
        Meta(
            max_length=MAX_LINES,
            description="Its positions; a coupon for certain items needs them. Together they "
            "cost no more than the order.",
        ),
    ] = []

    def __post_init__(self) -> None:
        if sum(line.amount_cents for line in self.lines) > self.amount_cents:
            raise ValueError("lines cost more than the order: amount_cents is all of it")


class OrderBody(msgspec.Struct, forbid_unknown_fields=True):
    """An order that is given up."""

    order: Order


class RevokeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why a coupon is taken back."""

    note: Annotated[str, Meta(max_length=200, pattern=rf"^{_PLAIN}*{_END}")] = ""


class CouponOut(msgspec.Struct):
    """A coupon. code: in capitals, without dashes. member: whose it is; null without the scope
    members:read, and after the member was erased. order: the one that holds or used it."""

    coupon: int
    code: str
    status: Status
    offer: int
    title: str
    kind: Kind
    value: int
    cap_cents: int | None
    min_spend_cents: int
    items: list[str]
    categories: list[str]
    stackable: bool
    member: int | None
    source: str
    claimed_at: str | None
    expires_at: str | None
    reserved_until: str | None
    redeemed_at: str | None
    revoked_at: str | None
    order: str
    amount_cents: int
    discount_cents: int


class Settled(msgspec.Struct):
    """What became of a call: the same words when the same request comes again.

    status: claimed after a release. trial_days: what an offer of a trial gives instead of a
    discount.
    """

    coupon: int
    code: str
    offer: int
    status: Status
    discount_cents: int
    trial_days: int
    reserved_until: str | None
    order: str


_REFUSED: dict[Result, tuple[int, str, str, str]] = {
    Result.NOT_YOURS: (
        409,
        "Another order holds it",
        "It is free again when that order is given up or its hold ends.",
        "coupon-reserved",
    ),
    Result.USED: (409, "Used", "Another order has used it.", "coupon-used"),
    Result.ENDED: (409, "Ended", "It is not good any more.", "coupon-ended"),
    Result.REVOKED: (409, "Revoked", "It was taken back.", "coupon-revoked"),
    Result.NOT_STACKABLE: (
        409,
        "Not together",
        "The order uses another coupon, and one of the two must be used alone.",
        "not-stackable",
    ),
    Result.NOT_HELD: (
        409,
        "Nothing to release",
        "This order does not hold it.",
        "not-held",
    ),
}
_NOT_ELIGIBLE = {
    "min_spend": (
        "Order too small",
        "The order is below the least that this coupon is good for.",
        "below-minimum",
        "/amount_cents",
    ),
    "no_item": (
        "Not for this order",
        "Nothing in lines is what this coupon is for.",
        "no-eligible-item",
        "/lines",
    ),
}


def _time(at: float | None) -> str | None:
    return None if at is None else stamp(at)


def _status(coupon: Coupon, now: float) -> Status:
    """What it is now: time ends a hold, and a coupon, before anybody writes it down."""
    status = coupon.status
    if status == "reserved" and (coupon.reserved_until or 0.0) <= now:
        status = "claimed"
    if status == "claimed" and coupon.expires_at is not None and coupon.expires_at <= now:
        status = "expired"
    return status  # type: ignore[return-value] # the store knows these only, and the pool's


def _out(coupon: Coupon, offer: Offer, call: Call) -> CouponOut:
    status = _status(coupon, call.now)
    bound = status in ("reserved", "redeemed")
    return CouponOut(
        coupon=coupon.id,
        code=coupon.for_shop,
        status=status,
        offer=offer.id,
        title=offer.title,
        kind=offer.kind,
        value=offer.value,
        cap_cents=offer.cap_cents,
        min_spend_cents=offer.min_spend_cents,
        items=list(offer.items),
        categories=list(offer.categories),
        stackable=offer.stackable,
        member=coupon.member_id if "members:read" in call.key.scopes else None,
        source=coupon.source,
        claimed_at=_time(coupon.claimed_at),
        expires_at=_time(coupon.expires_at),
        reserved_until=_time(coupon.reserved_until) if status == "reserved" else None,
        redeemed_at=_time(coupon.redeemed_at),
        revoked_at=_time(coupon.revoked_at),
        order=coupon.order_shown if bound else "",
        amount_cents=coupon.amount_cents if bound else 0,
        discount_cents=coupon.discount_cents if bound else 0,
    )


def _code(call: Call) -> str:
    """The code of the path in its plain form."""
    return plain(call.path["code"])


def _known(call: Call, code: str) -> None:
    call.deps.guesses.right(call.key.id, code, call.now, call.deps.rewards.coupons.lock_s)


def _unknown(call: Call, code: str) -> Problem:
    """404 that is counted, or 429 for who guesses.

    Only a miss ever waits: a form that anybody may type into must not close the checkout for
    those who have a coupon. A code that waits in a pool is nobody's yet: it is not told apart.
    """
    rules, guesses = call.deps.rewards.coupons, call.deps.guesses
    call.deps.watch.wrong_code("key")
    wait_s = guesses.wait_s(call.key.id, call.now)
    if wait_s:
        return Problem(
            429,
            "Too many unknown codes",
            "Nobody has a coupon with this code, as with too many that this key has named; try "
            f"others in {wait_s} s.",
            type="guessing",
            headers={"Retry-After": str(wait_s)},
        )
    guesses.wrong(call.key.id, code, call.now, rules.wrong_tries, rules.lock_s)
    return Problem(404, "Unknown code", "Nobody has a coupon with this code.", type="unknown-code")


async def _found(call: Call) -> tuple[Coupon, Offer]:
    code, store = _code(call), call.deps.store
    coupon = await store.coupons.by_code(code)
    if coupon is None or coupon.status == "offered":
        raise _unknown(call, code)
    _known(call, code)
    offer = await store.offers.get(coupon.offer_id)
    assert offer is not None  # a foreign key
    return coupon, offer


async def show(call: Call) -> Answer:
    """What a code is worth, and what has become of it."""
    return Answer(body=_out(*await _found(call), call))


def _named(call: Call, code: str, verb: str) -> redemption.Call:
    """Who calls under which name; the fingerprint is the same however the JSON was written."""
    canonical = msgspec.json.encode(call.body, order="sorted")
    text = f"POST\n/coupons/{code}/{verb}\n".encode() + canonical
    return redemption.Call(
        actor=call.actor,
        key_id=call.key.id,
        name=call.headers["Idempotency-Key"],
        fingerprint=hashlib.sha256(text).digest(),
        now=call.now,
    )


def _answer(done: Redeemed) -> str:
    """What is kept of an answer: all but the order, which comes with each request anew."""
    assert done.coupon is not None
    assert done.offer is not None
    kept = Settled(
        coupon=done.coupon.id,
        code=done.coupon.for_shop,
        offer=done.offer.id,
        status=done.coupon.status,  # type: ignore[arg-type] # claimed, reserved or redeemed
        discount_cents=done.discount_cents,
        trial_days=done.trial_days,
        reserved_until=_time(done.coupon.reserved_until),
        order="",
    )
    return msgspec.json.encode(kept).decode()


def _cart(body: CartBody) -> Cart:
    lines = tuple(redemption.Line(line.item, line.amount_cents) for line in body.lines)
    return Cart(body.order, body.amount_cents, lines)


async def reserve(call: Call) -> Answer:
    """Hold a coupon for an order."""
    code = _code(call)
    held = await call.deps.store.redemptions.reserve(
        code,
        _cart(call.body),
        _named(call, code, "reserve"),
        call.deps.rewards.coupons.reserve_s,
        _answer,
    )
    return _settled(call, code, held)


async def redeem(call: Call) -> Answer:
    """Use a coupon for an order."""
    code = _code(call)
    used = await call.deps.store.redemptions.redeem(
        code, _cart(call.body), _named(call, code, "redeem"), _answer
    )
    return _settled(call, code, used)


async def release(call: Call) -> Answer:
    """Let go of what an order holds."""
    code, body = _code(call), call.body
    let_go = await call.deps.store.redemptions.release(
        code, body.order, _named(call, code, "release"), _answer
    )
    return _settled(call, code, let_go)


def _settled(call: Call, code: str, result: Redeemed) -> Answer:
    if result.outcome is Result.NO_CODE:
        raise _unknown(call, code)
    if result.outcome is Result.MISUSED:
        raise mismatch()
    _known(call, code)
    if not result.ok:
        _refuse(result)
    kept = msgspec.json.decode(result.answer, type=Settled)
    return Answer(result.status, msgspec.structs.replace(kept, order=call.body.order))


def _refuse(result: Redeemed) -> NoReturn:
    if result.outcome is Result.NOT_ELIGIBLE:
        title, detail, kind, pointer = _NOT_ELIGIBLE[result.why]
        raise Problem(422, title, detail, type=kind, errors=[Fault(pointer, detail)])
    status, title, detail, kind = _REFUSED[result.outcome]
    raise Problem(status, title, detail, type=kind)


async def revoke(call: Call) -> Answer:
    """Take a coupon back that is not used."""
    body: RevokeBody = call.body
    before, offer = await _found(call)
    coupon = await call.deps.store.coupons.revoke(
        before.id, call.now, call.actor, body.note, call.deed("coupon.revoke")
    )
    if coupon is None:
        status = _status(before, call.now)
        result = Result.ENDED if status == "expired" else Result.USED
        _refuse(Redeemed(outcome=result))
    return Answer(body=_out(coupon, offer, call))


_TAKES: dict[str, Any] = {
    "method": "POST",
    "scope": "coupons:redeem",
    "params": {"code": CODE},
    "headers": IDEMPOTENT,
    "answers": {200: Settled},
    "problems": (409,),
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/coupons/{code}",
        name="getCoupon",
        summary="What a code is worth, and what has become of it",
        scope="coupons:read",
        run=show,
        params={"code": CODE},
        answers={200: CouponOut},
    ),
    Operation(
        path="/coupons/{code}/reserve",
        name="reserveCoupon",
        summary="Hold a coupon for an order during its checkout",
        description="No other order can use it until reserved_until. The same order may hold it "
        "again, with a new amount and a new Idempotency-Key.",
        run=reserve,
        body=CartBody,
        **_TAKES,
    ),
    Operation(
        path="/coupons/{code}/redeem",
        name="redeemCoupon",
        summary="Use a coupon for an order, held or not",
        description="Once and for all. What the order holds, it gets for the same amount as it "
        "was told, whatever the catalogue says by now. It gets the same discount again, under "
        "any Idempotency-Key; another order gets a 409.",
        run=redeem,
        body=CartBody,
        **_TAKES,
    ),
    Operation(
        path="/coupons/{code}/release",
        name="releaseCoupon",
        summary="Let go of a coupon that an order holds",
        run=release,
        body=OrderBody,
        **_TAKES,
    ),
    Operation(
        method="POST",
        path="/coupons/{code}/revoke",
        name="revokeCoupon",
        summary="Take a coupon back that is not used",
        description="Its code is not given out again. Sent again it changes nothing.",
        scope="offers:write",
        run=revoke,
        params={"code": CODE},
        body=RevokeBody,
        answers={200: CouponOut},
        problems=(409,),
    ),
)
