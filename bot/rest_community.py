"""The REST API for tiers of membership and for points.

A tier is put: the same request again changes nothing. Points are posted, and each post has an
Idempotency-Key, because points are worth something.
"""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec
from msgspec import Meta

from bot.rest import (
    NUMBER,
    Answer,
    Call,
    Operation,
    Param,
    Problem,
    Time,
    invalid,
    not_found,
    stamp,
    unix,
)
from bot.rest_offers import mismatch
from store.memberships import Standing
from store.points import Outcome, Reason

MAX_POINTS = 1_000_000
_ENTRIES = 100
_END = r"(?!\n)$"

KEY = Param(
    description="Yours, one for each change that you want made to this member's points. Sent "
    "again it changes nothing and gets what the first one did.",
    pattern="^[!-~]{1,64}$",
    example="complaint-17",
)


class TierBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to give. until: when it ends; null for never."""

    tier: Annotated[
        str,
        Meta(
            max_length=32,
            pattern=r"^[a-z0-9][a-z0-9-]{0,31}" + _END,
            description="One of membership.tiers of the configuration.",
            examples=["paid-monthly"],
        ),
    ]
    until: Time | None = None

    def __post_init__(self) -> None:
        if self.until is not None:
            unix(self.until)


class GivenTier(msgspec.Struct):
    """A tier that holds, or will from `since` on. by: as in the audit."""

    tier: str
    since: str
    until: str | None
    by: str


class TierOut(msgspec.Struct):
    """The tier that counts now, "" for none, and all that it comes from."""

    tier: str
    until: str | None
    given: list[GivenTier]


class PointsBody(msgspec.Struct, forbid_unknown_fields=True):
    """A change. note: why, for the ledger; the member does not see who."""

    amount: Annotated[
        int,
        Meta(ge=-MAX_POINTS, le=MAX_POINTS, description="Given, or, below 0, taken; never 0."),
    ]
    note: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            pattern=r"^[^\u0000-\u001f\u007f]*\S[^\u0000-\u001f\u007f]*" + _END,
            examples=["订单 17 的补偿"],
        ),
    ]


class Change(msgspec.Struct):
    """One change of a member's points. balance: after it."""

    at: str
    reason: str
    amount: int
    balance: int
    note: str


class Ending(msgspec.Struct):
    """Points that end."""

    amount: int
    at: str


class PointsOut(msgspec.Struct):
    """earned: ever, less what was taken back. level: "" below the first; next_end: which end
    next; history: the newest changes first."""

    balance: int
    earned: int
    level: str
    badges: list[str]
    next_end: Ending | None
    history: list[Change]


class PointsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How much of the history."""

    limit: Annotated[int, Meta(ge=0, le=_ENTRIES)] = 20


class Posted(msgspec.Struct):
    """What changed, and the balance after it: the same when the same request comes again."""

    amount: int
    balance: int


async def show_tier(call: Call) -> Answer:
    """A member's tier."""
    member_id = call.number("id")
    standing = await call.deps.store.memberships.standing(member_id, call.now)
    if standing is None:
        raise not_found("member")
    return Answer(body=await _tier(call, member_id, standing))


async def _tier(call: Call, member_id: int, standing: Standing) -> TierOut:
    given = await call.deps.store.memberships.of(member_id, call.now)
    return TierOut(
        tier=standing.tier,
        until=None if standing.until is None else stamp(standing.until),
        given=[
            GivenTier(
                one.tier,
                stamp(one.since),
                None if one.until is None else stamp(one.until),
                one.given_by,
            )
            for one in given
        ],
    )


async def put_tier(call: Call) -> Answer:
    """Give a member a tier until a time; what they have for as long or longer stays."""
    member_id, body = call.number("id"), call.body
    tiers = call.deps.rewards.membership.tiers
    if body.tier not in tiers:
        raise invalid(f"is none of {', '.join(tiers) or 'no tiers'}", "/tier")
    until = None if body.until is None else unix(body.until)
    if until is not None and until <= call.now:
        raise invalid("is over", "/until")
    store = call.deps.store.memberships
    if not any(
        one.tier == body.tier
        and one.since <= call.now
        and (one.until is None or (until is not None and one.until >= until))
        for one in await store.of(member_id, call.now)
    ):
        given = await store.give(
            member_id,
            body.tier,
            call.now,
            source_key=f"rest:{secrets.token_hex(12)}",
            by=call.actor,
            tiers=tiers,
            until=until,
            deed=call.deed("member.tier"),
            detail=f"{body.tier} {'for ever' if until is None else f'until {stamp(until)}'}",
        )
        if given is None:
            raise not_found("member")
    return await show_tier(call)


async def take_tier(call: Call) -> Answer:
    """End every tier of a member, those to come as well."""
    member_id = call.number("id")
    count = await call.deps.store.memberships.take(
        member_id,
        None,
        call.now,
        tiers=call.deps.rewards.membership.tiers,
        deed=call.deed("member.tier"),
    )
    if count is None:
        raise not_found("member")
    return Answer(204)


async def show_points(call: Call) -> Answer:
    """A member's points."""
    asked: PointsQuery = call.query
    member_id, store = call.number("id"), call.deps.store
    if await store.memberships.standing(member_id, call.now) is None:
        raise not_found("member")
    account = await store.points.balance(member_id)
    level = call.deps.rewards.level(account.earned)
    history = await store.points.history(member_id, asked.limit) if asked.limit else []
    return Answer(
        body=PointsOut(
            balance=account.balance,
            earned=account.earned,
            level="" if level is None else level.name,
            badges=[name for name, _ in await store.points.badges(member_id)],
            next_end=None
            if account.ends_next is None
            else Ending(account.ends_next[0], stamp(account.ends_next[1])),
            history=[
                Change(stamp(one.at), one.reason, one.amount, one.balance, one.note)
                for one in history
            ],
        )
    )


async def post_points(call: Call) -> Answer:
    """Give or take points, once for each Idempotency-Key."""
    member_id, body = call.number("id"), call.body
    if not body.amount:
        raise invalid("must not be 0", "/amount")
    rules, store = call.deps.rewards.points, call.deps.store.points
    name = f"key:{call.key.id}:{member_id}:{call.headers['Idempotency-Key']}"
    posted = await store.post(
        member_id,
        body.amount,
        Reason.OPERATOR,
        name,
        call.now,
        ends_at=rules.ends_at(call.now) if body.amount > 0 else None,
        actor=call.actor,
        note=body.note,
        deed=call.deed("points.post"),
    )
    if posted.outcome is Outcome.NOBODY:
        raise not_found("member")
    if posted.outcome is Outcome.SHORT:
        raise Problem(
            409,
            "Too few points",
            f"The member has {posted.balance}; nothing was taken.",
            type="too-few-points",
        )
    if posted.outcome is Outcome.AGAIN:
        if posted.amount != body.amount:
            raise mismatch("/amount")
        if await store.note_of(name) != body.note:
            raise mismatch("/note")
    return Answer(body=Posted(posted.amount, posted.balance))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/members/{id}/tier",
        name="getTier",
        summary="A member's tier of membership",
        scope="members:read",
        run=show_tier,
        params={"id": NUMBER},
        answers={200: TierOut},
    ),
    Operation(
        method="PUT",
        path="/members/{id}/tier",
        name="putTier",
        summary="Give a member a tier",
        description="Until a time, or for ever. It never shortens what they have: end that first.",
        scope="tiers:write",
        run=put_tier,
        params={"id": NUMBER},
        body=TierBody,
        answers={200: TierOut},
    ),
    Operation(
        method="DELETE",
        path="/members/{id}/tier",
        name="takeTier",
        summary="End all tiers of a member",
        scope="tiers:write",
        run=take_tier,
        params={"id": NUMBER},
        answers={204: None},
    ),
    Operation(
        method="GET",
        path="/members/{id}/points",
        name="getPoints",
        summary="A member's points, level and badges",
        scope="points:read",
        run=show_points,
        params={"id": NUMBER},
        query=PointsQuery,
        answers={200: PointsOut},
    ),
    Operation(
        method="POST",
        path="/members/{id}/points",
        name="postPoints",
        summary="Give a member points, or take some",
        description="All of them or, when there are fewer, none: then the answer is a 409.",
        scope="points:write",
        run=post_points,
        params={"id": NUMBER},
        headers={"Idempotency-Key": KEY},
        body=PointsBody,
        answers={200: Posted},
        problems=(409,),
    ),
)
