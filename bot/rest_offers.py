"""The REST API for offers: made, filled with the shop's codes, given to members, counted.

What an offer is and when it is refused is decided in `store/offers.py`; a member is named by
number only.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated

import msgspec
from msgspec import Meta

from bot.rest import (
    NUMBER,
    PREFIX,
    Answer,
    Call,
    Fault,
    Line,
    Operation,
    Problem,
    Time,
    not_found,
    stamp,
    unix,
    unusable,
)
from bot.rest_items import Id, Word
from bot.rest_path import IDEMPOTENT, JSON_MAX
from store.coupons import Claim, Outcome, gift_key
from store.offers import (
    LONGEST_CODE,
    LONGEST_TITLE,
    LONGEST_WORD,
    MOST,
    Kind,
    NewOffer,
    Offer,
    Status,
    faults,
    fold,
)

MAX_CODES = 10_000
MAX_MEMBERS = 1000
_MOST_THINGS = 50

# "$" alone would let a line break at the end through.
_END = r"(?!\n)$"
_PLAIN = r"[^\u0000-\u001f\u007f]"
Cents = Annotated[int, Meta(ge=0, le=10**9 - 1, description="In fen.")]
Count = Annotated[int, Meta(ge=0, le=MOST)]
Code = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_CODE,
        pattern=r"^[!-\-0-\[\]-z|~][!-.0-\[\]-z|~]*" + _END,
        description="One of the shop's codes: printable ASCII without blanks, slashes, curly "
        "brackets, and a dot at its beginning. Capitals, small letters and dashes make no "
        "difference.",
        examples=["SUMMER-0001"],
    ),
]


class OfferBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An offer wanted. It is open at once."""

    word: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=LONGEST_WORD,
            pattern=rf"^{_PLAIN}*\S{_PLAIN}*{_END}",
            description="What members type after 领券; no other offer that is not closed has it.",
            examples=["早鸟"],
        ),
    ]
    title: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=LONGEST_TITLE,
            pattern=rf"^{_PLAIN}*\S{_PLAIN}*{_END}",
            examples=["早鸟立减 20 元"],
        ),
    ]
    kind: Annotated[
        Kind,
        Meta(description="So much off, a percentage off, days of trial, or items for nothing."),
    ]
    value: Annotated[
        int, Meta(ge=0, le=10**9 - 1, description="Fen, percent or days; 0 for a bundle.")
    ] = 0
    cap_cents: Annotated[
        Cents | None, Meta(description="The most that a percentage takes off.")
    ] = None
    min_spend_cents: Annotated[Cents, Meta(description="The least order it is good for.")] = 0
    items: Annotated[
        list[Id],
        Meta(max_length=_MOST_THINGS, description="Ids it is for, or of the bundle; all if empty."),
    ] = []
    categories: Annotated[
        list[Word],
        Meta(max_length=_MOST_THINGS, description="Tags of items it is for; all if empty."),
    ] = []
    stackable: Annotated[
        bool, Meta(description="An order may use it with another that is stackable.")
    ] = False
    audience: Annotated[
        str,
        Meta(
            max_length=400,
            pattern=rf"^{_PLAIN}*{_END}",
            description="Who may claim it, as a rule; everyone if empty.",
            examples=["tag:VIP and level>=2"],
        ),
    ] = ""
    points_price: Annotated[Count, Meta(description="Points it costs; 0 for a gift.")] = 0
    inventory: Annotated[
        Count | None, Meta(description="How many there are; no limit when null. Not with pool.")
    ] = None
    per_member: Annotated[Count, Meta(description="How many one member may have.")] = 1
    pool: Annotated[
        bool, Meta(description="The codes come from the shop; they are the inventory.")
    ] = False
    claim_from: Time | None = None
    claim_until: Time | None = None
    valid_until: Time | None = None
    valid_days: Annotated[
        Count | None, Meta(description="Days that a coupon is good after its claim.")
    ] = None

    def __post_init__(self) -> None:
        for at in (self.claim_from, self.claim_until, self.valid_until):
            if at is not None:
                unix(at)


class OfferOut(msgspec.Struct):
    """An offer as it is kept. claimed: how many were given out; left: null for no limit."""

    id: int
    word: str
    title: str
    kind: Kind
    value: int
    cap_cents: int | None
    min_spend_cents: int
    items: list[str]
    categories: list[str]
    stackable: bool
    audience: str
    points_price: int
    inventory: int | None
    claimed: int
    left: int | None
    per_member: int
    pool: bool
    claim_from: str | None
    claim_until: str | None
    valid_until: str | None
    valid_days: int | None
    status: Status
    created_at: str
    created_by: str
    closed_at: str | None


class OfferList(msgspec.Struct):
    """Offers, newest first."""

    offers: list[OfferOut]


class OffersQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which offers."""

    closed: Annotated[bool, Meta(description="Closed ones, too.")] = False


class StatusBody(msgspec.Struct, forbid_unknown_fields=True):
    """What an offer is to be. A closed one stays closed, and its word is free again."""

    status: Status


class CodesTaken(msgspec.Struct):
    """How many codes came to the pool, and how many it has now to give."""

    added: int
    left: int | None


class GrantBody(msgspec.Struct, forbid_unknown_fields=True):
    """Who gets a coupon."""

    members: Annotated[
        list[Annotated[int, Meta(ge=1, le=JSON_MAX)]],
        Meta(min_length=1, max_length=MAX_MEMBERS, examples=[[1, 2]]),
    ]


class Granted(msgspec.Struct):
    """What became of one member's. code: null when they got none."""

    member: int
    outcome: Annotated[
        str,
        Meta(
            description="claimed; again, for the coupon that this Idempotency-Key gave before; "
            "already, for as many as a member may have; sold_out; or why else none was given."
        ),
    ]
    code: str | None


class Grants(msgspec.Struct):
    """In the order asked for, each member once. granted: how many were given now."""

    granted: int
    grants: list[Granted]


class OfferReport(msgspec.Struct):
    """What became of an offer. claimed to revoked: its coupons by what they are now."""

    offer: OfferOut
    pool_left: Annotated[int, Meta(description="The shop's codes that nobody has yet.")]
    claimed: int
    reserved: int
    redeemed: int
    expired: int
    revoked: int
    members: Annotated[int, Meta(description="Who has or had one.")]
    amount_cents: Annotated[int, Meta(description="Of the orders it was used for.")]
    discount_cents: int
    by_source: Annotated[dict[str, int], Meta(description="Coupons given out, by what gave them.")]


def _time(at: float | None) -> str | None:
    return None if at is None else stamp(at)


def _out(offer: Offer) -> OfferOut:
    return OfferOut(
        id=offer.id,
        word=offer.word,
        title=offer.title,
        kind=offer.kind,
        value=offer.value,
        cap_cents=offer.cap_cents,
        min_spend_cents=offer.min_spend_cents,
        items=list(offer.items),
        categories=list(offer.categories),
        stackable=offer.stackable,
        audience=offer.audience,
        points_price=offer.points_price,
        inventory=offer.inventory,
        claimed=offer.claimed,
        left=offer.left,
        per_member=offer.per_member,
        pool=offer.pool,
        claim_from=_time(offer.claim_from),
        claim_until=_time(offer.claim_until),
        valid_until=_time(offer.valid_until),
        valid_days=offer.valid_days,
        status=offer.status,
        created_at=stamp(offer.created_at),
        created_by=offer.created_by,
        closed_at=_time(offer.closed_at),
    )


def _new(body: OfferBody) -> NewOffer:
    return NewOffer(
        word=body.word,
        title=body.title.strip(),
        kind=body.kind,
        value=body.value,
        cap_cents=body.cap_cents,
        min_spend_cents=body.min_spend_cents,
        items=tuple(dict.fromkeys(body.items)),
        categories=tuple(dict.fromkeys(word.strip() for word in body.categories)),
        stackable=body.stackable,
        audience=body.audience.strip(),
        points_price=body.points_price,
        inventory=body.inventory,
        per_member=body.per_member,
        pool=body.pool,
        claim_from=None if body.claim_from is None else unix(body.claim_from),
        claim_until=None if body.claim_until is None else unix(body.claim_until),
        valid_until=None if body.valid_until is None else unix(body.valid_until),
        valid_days=body.valid_days,
    )


def _key(call: Call, what: str) -> bytes:
    """16 bytes that name this request for ever, by its key and its Idempotency-Key."""
    return gift_key(f"{what}:{call.key.id}:{call.headers['Idempotency-Key']}")


async def _found(call: Call) -> Offer:
    offer = await call.deps.store.offers.get(call.number("id"))
    if offer is None:
        raise not_found("offer")
    return offer


async def index(call: Call) -> Answer:
    """Every offer, or those that are not closed."""
    asked: OffersQuery = call.query
    offers = await call.deps.store.offers.all(closed=asked.closed)
    return Answer(body=OfferList([_out(offer) for offer in offers]))


async def show(call: Call) -> Answer:
    """One offer."""
    return Answer(body=_out(await _found(call)))


async def make(call: Call) -> Answer:
    """Make an offer; the same Idempotency-Key gets the same one again."""
    new = _new(call.body)
    if found := faults(new):
        raise unusable([Fault(f"/{field}", why) for field, why in found])
    offer = await call.deps.store.offers.create(
        new, call.now, call.actor, _key(call, "offer"), call.deed("offer.new")
    )
    if offer is None:
        raise Problem(
            409,
            "The word is taken",
            "An offer that is not closed has this claim word: close it or choose another.",
            type="word-taken",
        )
    if not _same(offer, new):
        raise mismatch()
    return Answer(201, _out(offer), {"Location": f"{PREFIX}/offers/{offer.id}"})


def _same(offer: Offer, new: NewOffer) -> bool:
    """Whether this is what was wanted then. A pool's inventory grows with its codes."""
    wanted = replace(
        new, word=fold(new.word), inventory=offer.inventory if new.pool else new.inventory
    )
    return all(getattr(offer, one.name) == getattr(wanted, one.name) for one in fields(NewOffer))


def mismatch(pointer: str = "") -> Problem:
    """422 for an Idempotency-Key that was used for something else. pointer: what differs."""
    return Problem(
        422,
        "This Idempotency-Key is used",
        "Another request had it; give each thing that you want done a key of its own.",
        type="idempotency-mismatch",
        errors=[Fault(pointer, "differs from the first request with this Idempotency-Key")],
    )


async def set_status(call: Call) -> Answer:
    """Open, pause or close an offer."""
    wanted: StatusBody = call.body
    before = await _found(call)
    offer = await call.deps.store.offers.set_status(
        before.id, wanted.status, call.now, call.deed("offer.status")
    )
    if offer is None:
        raise Problem(
            409, "Closed", "A closed offer stays closed: make another.", type="offer-closed"
        )
    return Answer(body=_out(offer))


async def add_codes(call: Call) -> Answer:
    """Put the shop's codes into an offer's pool: all of them or none."""
    lines: list[Line[str]] = call.body
    offer = await _found(call)
    added = await call.deps.store.offers.add_codes(
        offer.id, [line.value or "" for line in lines], call.now, call.deed("offer.codes")
    )
    if added is None:
        raise Problem(
            409,
            "No pool",
            "This offer is closed, or its codes are made here: only one with pool takes codes.",
            type="no-pool",
        )
    if added.bad:
        many = call.request.content_type == "application/json" and len(lines) > 1
        raise unusable([_bad_code(lines[at - 1].number, why, many) for at, _, why in added.bad])
    offer = await _found(call)
    return Answer(body=CodesTaken(added.count, offer.left))


def _bad_code(number: int, why: str, many: bool) -> Fault:
    # The code is not repeated: what is refused may be somebody's.
    return Fault(f"/{number - 1}" if many else "", why, number)


async def grant(call: Call) -> Answer:
    """Give members a coupon each, without a claim."""
    body: GrantBody = call.body
    offer = await _found(call)
    unknown = await call.deps.store.events.unknown_members(body.members)
    if unknown:
        raise unusable(
            [
                Fault(f"/members/{place}", "is no member")
                for place, member in enumerate(body.members)
                if member in unknown
            ]
        )
    members = list(dict.fromkeys(body.members))
    claims = await call.deps.store.coupons.grant(
        offer.id, members, _key(call, "grant"), call.now, call.actor, call.deed("offer.grant")
    )
    granted = sum(claim.outcome is Outcome.CLAIMED for claim in claims)
    pairs = zip(members, claims, strict=True)
    return Answer(body=Grants(granted, [_granted(member, claim) for member, claim in pairs]))


def _granted(member: int, claim: Claim) -> Granted:
    theirs = claim.outcome in (Outcome.CLAIMED, Outcome.AGAIN)
    code = claim.coupon.for_shop if theirs and claim.coupon is not None else None
    return Granted(member, claim.outcome.value, code)


async def report(call: Call) -> Answer:
    """What became of an offer."""
    found = await call.deps.store.offers.report(call.number("id"), call.now)
    if found is None:
        raise not_found("offer")
    return Answer(
        body=OfferReport(
            offer=_out(found.offer),
            pool_left=found.pool_left,
            claimed=found.claimed,
            reserved=found.reserved,
            redeemed=found.redeemed,
            expired=found.expired,
            revoked=found.revoked,
            members=found.members,
            amount_cents=found.amount_cents,
            discount_cents=found.discount_cents,
            by_source=dict(found.by_source),
        )
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/offers",
        name="listOffers",
        summary="Every offer that is not closed, newest first",
        scope="offers:read",
        run=index,
        query=OffersQuery,
        answers={200: OfferList},
    ),
    Operation(
        method="POST",
        path="/offers",
        name="makeOffer",
        summary="Make an offer, open at once",
        description="409 when an offer that is not closed has the word. Sent again with its "
        "Idempotency-Key it gives the same offer.",
        scope="offers:write",
        run=make,
        headers=IDEMPOTENT,
        body=OfferBody,
        answers={201: OfferOut},
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/offers/{id}",
        name="getOffer",
        summary="One offer",
        scope="offers:read",
        run=show,
        params={"id": NUMBER},
        answers={200: OfferOut},
    ),
    Operation(
        method="POST",
        path="/offers/{id}/status",
        name="setOfferStatus",
        summary="Open, pause or close an offer",
        description="Paused it cannot be claimed, only granted; closed it gives no coupons at "
        "all, and the codes of its pool that nobody has may go into another. Those that were "
        "given stay good.",
        scope="offers:write",
        run=set_status,
        params={"id": NUMBER},
        body=StatusBody,
        answers={200: OfferOut},
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/offers/{id}/codes",
        name="addCodes",
        summary="Put the shop's codes into an offer's pool",
        description="A JSON array of strings, or one string a line (NDJSON). All or none: a code "
        "that is bad, or there already, refuses the batch, and errors names its line. So a batch "
        "that was stored is refused when it is sent again.",
        scope="offers:write",
        run=add_codes,
        params={"id": NUMBER},
        body=Code,
        body_type="ndjson",
        max_bytes=1 << 20,
        max_lines=MAX_CODES,
        max_line=1024,
        answers={200: CodesTaken},
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/offers/{id}/grants",
        name="grantCoupons",
        summary="Give members a coupon each",
        description="Whatever a pause, the claim window, the audience and the price; the "
        "inventory, the limit for a member and whether the offer is closed count. In the order "
        "given, as long as there are some; `outcome` says how each went. The same "
        "Idempotency-Key never gives a member a second.",
        scope="offers:write",
        run=grant,
        params={"id": NUMBER},
        headers=IDEMPOTENT,
        body=GrantBody,
        answers={200: Grants},
    ),
    Operation(
        method="GET",
        path="/offers/{id}/report",
        name="reportOffer",
        summary="What became of an offer",
        scope="offers:read",
        run=report,
        params={"id": NUMBER},
        answers={200: OfferReport},
    ),
)
