"""The REST API for events: taking them in, giving them out, and what came of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from bot.intake import CHUNK, EventIn, event_of
from bot.problem import MAX_FAULTS
from bot.rest import Answer, Call, Fault, Line, Operation, Problem, Time, stamp, unix
from insights import outcomes
from store import Store
from store.events import Added, Event, NewEvent

MAX_BYTES = 8 << 20
MAX_LINES = 10_000
"""More are several batches, or a file for `zhiqun import events`."""
_PAGE = 1000
_DAY_S = 86_400.0


class Taken(msgspec.Struct):
    """What became of one event."""

    id: str
    repeated: Annotated[bool, Meta(description="It was there before; nothing was changed.")]


class BatchTaken(msgspec.Struct, omit_defaults=True):
    """What became of a batch."""

    stored: int
    repeated: Annotated[int, Meta(description="Were there before, or twice in the batch.")]
    refused: Annotated[int, Meta(description="Lines that could not be used.")]
    errors: Annotated[
        list[Fault], Meta(description="What is wrong with refused lines, at most 100.")
    ] = []


class BatchQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How to take a batch with faults."""

    partial: Annotated[
        bool, Meta(description="Store the good lines; without it one bad line refuses all.")
    ] = False


class EventsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which events."""

    cursor: Annotated[
        int, Meta(ge=0, le=2**53 - 1, description="Those after this one: the last cursor you got.")
    ] = 0
    kind: (
        Annotated[str, Meta(description="Only this kind.", max_length=20, pattern="^[a-z_]*$")]
        | None
    ) = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000, description="At most so many.")] = 10_000


class EventOut(msgspec.Struct):
    """An event as it is known now. member: null while it is nobody's that the bot has met."""

    cursor: int
    id: str
    kind: str
    at: str
    received_at: str
    member: int | None
    item: str
    chapter: str
    percent: int | None
    amount_cents: int
    order: str
    campaign: str
    variant: str
    source: str
    ref: str
    link: int | None
    data: msgspec.Raw


class FunnelQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which outcomes."""

    campaign: (
        Annotated[str, Meta(description="Only this campaign.", min_length=1, max_length=64)] | None
    ) = None
    since: Annotated[Time | None, Meta(description="From when on; 30 days before until.")] = None
    until: Annotated[Time | None, Meta(description="Before when; now.")] = None
    window_days: Annotated[
        int, Meta(ge=1, le=90, description="How long after a click an order is owed to it.")
    ] = 7
    view_window_days: Annotated[
        int, Meta(ge=0, le=30, description="How long after an exposure; 0 for never.")
    ] = 1

    def __post_init__(self) -> None:
        for at in (self.since, self.until):
            if at is not None:
                unix(at)


class StepOut(msgspec.Struct):
    """One step. count: how often; of purchases the orders with a share here."""

    step: str
    count: int
    people: int


class RateOut(msgspec.Struct, rename={"origin": "from"}):
    """How many people went on from one step to another; low and high: Wilson's 95 %."""

    origin: str
    to: str
    people: int
    went_on: int
    value: float | None
    low: float | None
    high: float | None


class CreditOut(msgspec.Struct):
    """What a model gives: orders in shares, and their money."""

    orders: float
    gross_cents: int
    refunded_cents: int
    net_cents: int


class TallyOut(msgspec.Struct, omit_defaults=True):
    """A funnel: of a campaign, a source, a variant of these, or all."""

    steps: list[StepOut]
    rates: list[RateOut]
    last_touch: CreditOut
    position_based: CreditOut
    median_seconds: Annotated[
        float | None, Meta(description="From an order's first touch here to the order.")
    ]
    campaign: str | None = None
    variant: str | None = None
    source: str | None = None


class FunnelOut(msgspec.Struct):
    """The funnel of a period. An empty campaign and source is what is owed to none."""

    since: str
    until: str
    window_days: int
    view_window_days: int
    total: TallyOut
    campaigns: list[TallyOut]
    sources: list[TallyOut]
    groups: list[TallyOut]


def _unusable(faults: Sequence[Fault]) -> Problem:
    return Problem(
        422,
        "What was sent cannot be used",
        "errors says what is wrong; nothing was stored.",
        type="invalid",
        errors=faults,
    )


async def take_one(call: Call) -> Answer:
    """Take in one event."""
    event = event_of(call.body, call.now)
    if isinstance(event, list):
        raise _unusable(event)
    (told,) = await call.deps.store.events.add([event], call.now)
    if told is Added.UNKNOWN:
        raise _unusable([Fault("/member", "is no member's number")])
    repeated = told is Added.REPEATED
    return Answer(200 if repeated else 201, Taken(event.event_id, repeated))


Numbered = list[tuple[int, NewEvent]]


def _sorted_out(lines: Sequence[Line[EventIn]], now: float) -> tuple[Numbered, list[list[Fault]]]:
    """The good events with their lines, and the faults of each bad line."""
    good: Numbered = []
    bad: list[list[Fault]] = []
    for line in lines:
        if line.value is None:
            bad.append([line.fault] if line.fault is not None else [])
            continue
        event = event_of(line.value, now, line.number)
        if isinstance(event, list):
            bad.append(event)
        else:
            good.append((line.number, event))
    return good, bad


async def _strangers(store: Store, good: Numbered) -> list[list[Fault]]:
    unknown = await store.events.unknown_members(
        {event.member_id for _, event in good if event.member_id is not None}
    )
    return [[_stranger(line)] for line, event in good if event.member_id in unknown]


def _stranger(line: int) -> Fault:
    return Fault("/member", "is no member's number", line)


async def take_batch(call: Call) -> Answer:
    """Take in many events."""
    query: BatchQuery = call.query
    store = call.deps.store
    good, bad = await asyncio.to_thread(_sorted_out, call.body, call.now)
    if not query.partial:
        bad += await _strangers(store, good)
        if bad:
            raise _unusable(_first(bad))
    stored = repeated = 0
    for at in range(0, len(good), CHUNK):
        chunk = good[at : at + CHUNK]
        told = await store.events.add([event for _, event in chunk], call.now)
        stored += told.count(Added.NEW)
        repeated += told.count(Added.REPEATED)
        bad += [
            [_stranger(line)]
            for (line, _), what in zip(chunk, told, strict=True)
            if what is Added.UNKNOWN
        ]
    return Answer(200, BatchTaken(stored, repeated, len(bad), _first(bad)))


def _first(bad: Sequence[Sequence[Fault]]) -> list[Fault]:
    faults = [fault for its in bad for fault in its]
    return sorted(faults, key=lambda fault: fault.line)[:MAX_FAULTS]


async def index(call: Call) -> web.StreamResponse:
    """Give out events."""
    query: EventsQuery = call.query
    events = call.deps.store.events
    encode = msgspec.json.Encoder().encode

    async def lines() -> AsyncIterator[bytes]:
        after, left = query.cursor, query.limit
        while left > 0:
            page = await events.page(after, query.kind or "", min(left, _PAGE))
            if page:
                yield b"".join(encode(_out(event)) + b"\n" for event in page)
                after = page[-1].id
            left = left - len(page) if len(page) == min(left, _PAGE) else 0

    return await call.stream(lines())


def _out(event: Event) -> EventOut:
    return EventOut(
        cursor=event.id,
        id=event.event_id,
        kind=event.kind,
        at=stamp(event.at),
        received_at=stamp(event.received_at),
        member=event.member_id,
        item=event.item_id,
        chapter=event.chapter_id,
        percent=event.percent,
        amount_cents=event.amount_cents,
        order=event.order_id,
        campaign=event.campaign,
        variant=event.variant,
        source=event.source,
        ref=event.ref,
        link=event.link_id,
        data=msgspec.Raw(event.data.encode() or b"null"),
    )


async def funnel(call: Call) -> Answer:
    """Who was shown something, clicked, claimed and bought, and what it is owed to."""
    query: FunnelQuery = call.query
    until = call.now if query.until is None else unix(query.until)
    since = until - 30 * _DAY_S if query.since is None else unix(query.since)
    if since >= until:
        raise Problem(
            400,
            "Bad query",
            "errors says which parameter is wrong.",
            type="bad-query",
            errors=[Fault("/since", "is not before until")],
        )
    report = await read_funnel(
        call.deps.store,
        since=since,
        until=until,
        window_s=query.window_days * _DAY_S,
        view_window_s=query.view_window_days * _DAY_S,
        campaign=query.campaign or "",
    )
    body = FunnelOut(
        since=stamp(since),
        until=stamp(until),
        window_days=query.window_days,
        view_window_days=query.view_window_days,
        total=_tally(report.total),
        campaigns=[_tally(t, campaign=name) for name, t in _ordered(report.campaigns)],
        sources=[_tally(t, source=name) for name, t in _ordered(report.sources)],
        groups=[
            _tally(tally, campaign=group.campaign, variant=group.variant, source=group.source)
            for group, tally in sorted(report.groups.items())
        ],
    )
    return Answer(200, body)


async def read_funnel(
    store: Store,
    *,
    since: float,
    until: float,
    window_s: float = 7 * _DAY_S,
    view_window_s: float = _DAY_S,
    campaign: str = "",
) -> outcomes.Report:
    """The report of `insights/outcomes.py` on what the store has."""
    return await store.funnel.read(
        lambda rows: outcomes.funnel(
            rows,
            since=since,
            until=until,
            window_s=window_s,
            view_window_s=view_window_s,
            campaign=campaign,
        ),
        since=since,
        until=until,
        window_s=window_s,
        view_window_s=view_window_s,
        campaign=campaign,
    )


def _ordered(tallies: Mapping[str, outcomes.Tally]) -> list[tuple[str, outcomes.Tally]]:
    return sorted(tallies.items())


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _credit(credit: outcomes.Credit) -> CreditOut:
    return CreditOut(
        round(credit.orders, 6), credit.gross_cents, credit.refunded_cents, credit.net_cents
    )


def _tally(
    tally: outcomes.Tally,
    campaign: str | None = None,
    variant: str | None = None,
    source: str | None = None,
) -> TallyOut:
    return TallyOut(
        steps=[
            StepOut(*one) for one in zip(outcomes.STEPS, tally.counts, tally.people, strict=True)
        ],
        rates=[
            RateOut(
                *pair,
                rate.people,
                rate.went_on,
                _number(rate.value),
                _number(rate.low),
                _number(rate.high),
            )
            for pair, rate in tally.rates.items()
        ],
        last_touch=_credit(tally.last),
        position_based=_credit(tally.position),
        median_seconds=_number(tally.median_s),
        campaign=campaign,
        variant=variant,
        source=source,
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/events",
        name="addEvent",
        summary="Tell of something that happened in the shop",
        description="Sent again under the same id it changes nothing. It may come late and in "
        "any order, and before anybody knows whose it is: it finds its member when one of its "
        "names does.",
        scope="events:write",
        run=take_one,
        body=EventIn,
        answers={201: Taken, 200: Taken},
    ),
    Operation(
        method="POST",
        path="/events/batch",
        name="addEvents",
        summary="Tell of many events at once",
        description="One bad line refuses all, unless partial is true. What is good is stored "
        f"in steps of {CHUNK}: after an answer that is none of these (a lost connection, 503) "
        "some of it may be there. Send all of it again; the ids keep it from counting twice.",
        scope="events:write",
        run=take_batch,
        query=BatchQuery,
        body=EventIn,
        body_type="ndjson",
        max_bytes=MAX_BYTES,
        max_lines=MAX_LINES,
        answers={200: BatchTaken},
    ),
    Operation(
        method="GET",
        path="/events",
        name="listEvents",
        summary="All events in the order they came in",
        scope="events:read",
        run=index,
        query=EventsQuery,
        answers={200: EventOut},
        answer_type="application/x-ndjson",
        streams=True,
    ),
    Operation(
        method="GET",
        path="/reports/funnel",
        name="reportFunnel",
        summary="From exposure to purchase, and what it is owed to",
        description="Two models side by side: last touch gives an order to the newest touch, "
        "position-based 40 % each to the first and the newest and 20 % to those between. Orders "
        "and refunds belong to the period the order was made in.",
        scope="reports:read",
        run=funnel,
        query=FunnelQuery,
        answers={200: FunnelOut},
    ),
)
