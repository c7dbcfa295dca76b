"""The REST API for webhooks out: make one, see what was told, send it again."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bot.hooks import BadHook, checked, new_secret
from bot.rest import (
    NUMBER,
    Answer,
    Call,
    Operation,
    Problem,
    invalid,
    missing_scope,
    not_found,
    stamp,
)
from store.hooks import TOPICS, Hook, Listed

NEEDS = {
    "member.followed": "members:read",
    "member.unfollowed": "members:read",
    "member.erased": "members:read",
    "link.clicked": "events:read",
    "homework.submitted": "members:read",
    "coupon.claimed": "coupons:read",
    "coupon.redeemed": "coupons:read",
    "coupon.revoked": "coupons:read",
}
"""The scope that reads what a topic tells: a webhook is no way around it."""

Topic = Annotated[
    str,
    Meta(
        description=f"One of {', '.join(TOPICS)}.",
        max_length=40,
        examples=list(TOPICS[:1]),
    ),
]
Status = Literal["planned", "sending", "done", "dead"]


class HookIn(msgspec.Struct, forbid_unknown_fields=True):
    """A webhook to be made."""

    url: Annotated[
        str,
        Meta(
            description="Where to post; https, and not in a private network.",
            min_length=1,
            max_length=2000,
            examples=["https://shop.example.com/zhiqun"],
        ),
    ]
    topics: Annotated[list[Topic], Meta(min_length=1, max_length=20)]


class HookOut(msgspec.Struct, omit_defaults=True):
    """A webhook. secret: told once, when it is made; see the Standard Webhooks specification."""

    id: int
    url: str
    topics: list[str]
    created_at: str
    secret: str = ""


class HookList(msgspec.Struct):
    """Every webhook."""

    hooks: list[HookOut]


class DeliveryOut(msgspec.Struct):
    """One telling. due_at: when it is tried next or was tried last."""

    id: int
    hook: int
    topic: str
    status: Status
    tries: int
    created_at: str
    due_at: str
    settled_at: str | None
    http_status: int | None
    note: str


class DeliveryList(msgspec.Struct):
    """A page. next: the cursor of the next one, null at the end."""

    deliveries: list[DeliveryOut]
    next: int | None


class Paging(msgspec.Struct, forbid_unknown_fields=True):
    """Which deliveries."""

    status: Annotated[Status | None, Meta(description="Only these.")] = None
    cursor: Annotated[int, Meta(ge=0, le=2**63 - 1, description="After this number.")] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


def _out(hook: Hook, secret: str = "") -> HookOut:
    return HookOut(hook.id, hook.url, list(hook.topics), stamp(hook.created_at), secret)


def _delivery(one: Listed) -> DeliveryOut:
    return DeliveryOut(
        one.id,
        one.hook_id,
        one.topic,
        one.status,  # type: ignore[arg-type] # the store knows these four only
        one.tries,
        stamp(one.created_at),
        stamp(one.due_at),
        None if one.settled_at is None else stamp(one.settled_at),
        one.http_status,
        one.note,
    )


async def make(call: Call) -> Answer:
    """Make a webhook; its secret is in this answer and in no other."""
    wanted: HookIn = call.body
    topics = list(dict.fromkeys(wanted.topics))
    try:
        checked(wanted.url, topics, allow_private=call.deps.private_hooks)
    except BadHook as bad:
        field, _, why = str(bad).partition(": ")
        raise invalid(why, f"/{field}") from bad
    for topic in topics:
        if NEEDS[topic] not in call.key.scopes:
            raise missing_scope(NEEDS[topic])
    secret = new_secret()
    hook = await call.deps.store.hooks.add(wanted.url, topics, secret, call.now, call.actor)
    await call.audit("hook.new", f"hook:{hook.id}", " ".join(topics))
    return Answer(201, _out(hook, secret), {"Location": f"/api/v1/webhooks/{hook.id}"})


async def index(call: Call) -> Answer:
    """Every live webhook."""
    return Answer(body=HookList([_out(hook) for hook in await call.deps.store.hooks.all()]))


async def delete(call: Call) -> Answer:
    """Delete one, with what it still had to be told."""
    number = call.number("id")
    if not await call.deps.store.hooks.delete(number, call.now):
        raise not_found("webhook")
    await call.audit("hook.delete", f"hook:{number}")
    return Answer(204)


async def test(call: Call) -> Answer:
    """Tell one something harmless, to see whether it arrives."""
    delivery = await call.deps.store.hooks.test(call.number("id"), call.now)
    if delivery is None:
        raise not_found("webhook")
    return Answer(202, Replayed(delivery))


class Replayed(msgspec.Struct):
    """What was queued."""

    delivery: int


async def deliveries(call: Call) -> Answer:
    """What was told, or could not be."""
    asked: Paging = call.query
    rows = await call.deps.store.hooks.listed(asked.status, asked.cursor, asked.limit)
    last = rows[-1].id if len(rows) == asked.limit else None
    return Answer(body=DeliveryList([_delivery(row) for row in rows], last))


async def replay(call: Call) -> Answer:
    """Tell it again, with the same id: after the receiver was mended."""
    number = call.number("id")
    if not await call.deps.store.hooks.replay(number, call.now):
        raise Problem(
            409,
            "Not settled",
            "Only a delivery that is done or dead can be replayed; is the number right?",
            type="not-settled",
        )
    await call.audit("hook.replay", f"delivery:{number}")
    return Answer(202, Replayed(number))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/webhooks",
        name="makeWebhook",
        summary="Make a webhook",
        description="Each topic needs the scope that reads what it tells, too: events:read for "
        "link.clicked, coupons:read for what begins with coupon, members:read for the others. "
        "Sent again it makes another webhook.",
        scope="webhooks:write",
        run=make,
        body=HookIn,
        answers={201: HookOut},
    ),
    Operation(
        method="GET",
        path="/webhooks",
        name="listWebhooks",
        summary="Every webhook",
        scope="webhooks:read",
        run=index,
        answers={200: HookList},
    ),
    Operation(
        method="DELETE",
        path="/webhooks/{id}",
        name="deleteWebhook",
        summary="Delete a webhook",
        scope="webhooks:write",
        run=delete,
        params={"id": NUMBER},
        answers={204: None},
    ),
    Operation(
        method="POST",
        path="/webhooks/{id}/test",
        name="testWebhook",
        summary="Queue a delivery of the topic test",
        description="Sent again it queues another.",
        scope="webhooks:write",
        run=test,
        params={"id": NUMBER},
        answers={202: Replayed},
    ),
    Operation(
        method="GET",
        path="/webhooks/deliveries",
        name="listDeliveries",
        summary="What was told and how it ended; status=dead lists the dead letters",
        scope="webhooks:read",
        run=deliveries,
        query=Paging,
        answers={200: DeliveryList},
    ),
    Operation(
        method="POST",
        path="/webhooks/deliveries/{id}/replay",
        name="replayDelivery",
        summary="Send a settled delivery again",
        scope="webhooks:write",
        run=replay,
        params={"id": NUMBER},
        answers={202: Replayed},
        problems=(409,),
    ),
)
