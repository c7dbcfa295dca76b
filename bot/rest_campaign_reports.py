"""The REST API for what became of campaigns: figures with their intervals, and every delivery."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bot.rest import NDJSON, NUMBER, Answer, Call, Operation, not_found, stamp
from bot.rest_campaign_body import time_out
from bot.rest_campaigns import AUDIENCE_LIMIT_S
from bot.rest_path import JSON_MAX
from insights.experiments import Effect, Verdict, judge
from store.campaign_outcomes import DELIVERY_COLUMNS
from store.campaign_report import Arm, Report

_PAGE = 1000
_TIMES = ("due_at", "claimed_at", "settled_at")


class ArmOut(msgspec.Struct):
    """The members that were assigned the same, and what they did within their windows.

    held: the hold-out, who got nothing; rest: who got a test's winner afterwards. assigned: how
    many, everything else is of them; open: still to go; refused, skipped: by reason.
    """

    variant: str
    held: bool
    rest: bool
    weight: int
    assigned: int
    open: int
    accepted: int
    delivered: int
    unknown: int
    refused: dict[str, int]
    skipped: dict[str, int]
    clicks: int
    claims: int
    buyers: int
    orders: int
    revenue_cents: int
    replies: int
    optouts: int
    leaves: int
    discount_cents: int


class MassOut(msgspec.Struct):
    """WeChat's own counts of its mass sends. told: parts whose counts have come."""

    parts: int
    told: int
    total: int
    filtered: int
    sent: int
    errors: int


class GroupOut(msgspec.Struct):
    """What became of a campaign in one group. campaign: which run of one that repeats; status:
    planned, sending, waiting (for an employee), sent, refused, unknown, dropped or held; why: a
    short key or what the other side said; clicks, people: on the links posted there, null where
    all groups have the same; employee: who has to confirm it."""

    campaign: int
    place: str
    number: int
    title: str
    channel: str
    variant: str
    status: str
    why: str
    errcode: int | None
    at: str | None
    clicks: int | None
    people: int | None
    employee: str


class EffectOut(msgspec.Struct):
    """One group beside another, with 95 % intervals. variant: "" for all that were sent it;
    against: "" for the hold-out. Null where it cannot be reckoned."""

    variant: str
    against: str
    members: int
    hits: int
    base_members: int
    base_hits: int
    share: float | None
    base: float | None
    diff: float | None
    low: float | None
    high: float | None
    uplift: float | None
    uplift_low: float | None
    uplift_high: float | None
    p: float | None
    certain: bool


class MoneyOut(msgspec.Struct):
    """What it brought beside the hold-out, in fen, with 95 % intervals: for each member, and in
    all."""

    diff: float
    low: float
    high: float
    total: float
    total_low: float
    total_high: float


class VerdictOut(msgspec.Struct):
    """What the figures say of the metric. why: why nothing is compared, "" when it is; srm_p: of
    the sizes of the arms, srm_ok: whether to believe them; needed: about so many more members,
    null when that cannot be said."""

    metric: str
    total: EffectOut | None
    effects: list[EffectOut]
    why: str
    money: MoneyOut | None
    srm_p: float
    srm_ok: bool
    enough: bool
    needed: int | None
    final: bool


class CampaignReport(msgspec.Struct):
    """A campaign in numbers. campaigns: how many are summed in it, of one that repeats;
    left_out: on the list, but in no arm, by reason; final: nothing in it will change any more;
    groups: of one with places, which has no arms; clicks: there, by variant."""

    campaign: int
    kind: str
    title: str
    channel: str
    status: str
    metric: str
    window_s: float
    holdout: float
    test_share: float
    winner: str
    note: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    at: str
    closes_at: str | None
    campaigns: int
    final: bool
    arms: list[ArmOut]
    left_out: dict[str, int]
    mass: MassOut
    verdict: VerdictOut
    groups: list[GroupOut]
    clicks: dict[str, int]


class DeliveryOut(msgspec.Struct):
    """What became of one member's message. member: null once they are forgotten; occasion: of a
    journey's step; part: which call of a mass send."""

    id: int
    member: int | None
    occasion: str
    variant: str
    route: str
    status: str
    reason: str
    errcode: int | None
    tries: int
    due_at: str | None
    claimed_at: str | None
    settled_at: str | None
    part: int | None


class DeliveriesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """From where on. cursor: the `id` of the last line that you have."""

    cursor: Annotated[int, Meta(ge=0, le=JSON_MAX)] = 0
    limit: Annotated[int, Meta(ge=1, le=JSON_MAX)] | None = None


def _arm(arm: Arm) -> ArmOut:
    given: dict[str, Any] = {name: getattr(arm, name) for name in ArmOut.__struct_fields__}
    given |= {"refused": dict(arm.refused), "skipped": dict(arm.skipped)}
    return ArmOut(**given)


def _effect(effect: Effect) -> EffectOut:
    given = asdict(effect)
    for name, value in given.items():
        # JSON has no word for "without bound".
        if isinstance(value, float) and not math.isfinite(value):
            given[name] = None
    return EffectOut(**given, certain=effect.certain)


def _verdict(verdict: Verdict) -> VerdictOut:
    return VerdictOut(
        metric=verdict.metric,
        total=None if verdict.total is None else _effect(verdict.total),
        effects=[_effect(one) for one in verdict.effects],
        why=verdict.why,
        money=None if verdict.money is None else MoneyOut(**asdict(verdict.money)),
        srm_p=verdict.srm_p,
        srm_ok=verdict.srm_ok,
        enough=verdict.enough,
        needed=verdict.needed,
        final=verdict.final,
    )


def _out(report: Report, verdict: Verdict) -> CampaignReport:
    return CampaignReport(
        campaign=report.campaign_id,
        kind=report.kind,
        title=report.title,
        channel=report.channel,
        status=report.status,
        metric=report.metric,
        window_s=report.window_s,
        holdout=report.holdout,
        test_share=report.test_share,
        winner=report.winner,
        note=report.note,
        created_at=stamp(report.created_at),
        started_at=time_out(report.started_at),
        ended_at=time_out(report.ended_at),
        at=stamp(report.at),
        closes_at=time_out(report.closes_at),
        campaigns=report.campaigns,
        final=report.final,
        arms=[_arm(arm) for arm in report.arms],
        left_out=dict(report.left_out),
        mass=MassOut(**asdict(report.mass)),
        verdict=_verdict(verdict),
        groups=[GroupOut(**{**asdict(one), "at": time_out(one.at)}) for one in report.groups],
        clicks=dict(report.clicks),
    )


async def report(call: Call) -> Answer:
    """What became of one, and what it caused."""
    found = await call.deps.store.campaign_reports.read(call.number("id"), call.now)
    if found is None:
        raise not_found("campaign")
    # The statistics bring a large library with them the first time.
    verdict = await asyncio.to_thread(judge, found, found.metric)
    return Answer(body=_out(found, verdict))


async def deliveries(call: Call) -> Any:
    """Every delivery of one, line by line."""
    asked: DeliveriesQuery = call.query
    if await call.deps.store.campaigns.get(call.number("id")) is None:
        raise not_found("campaign")
    return await call.stream(_lines(call, asked.cursor, asked.limit))


async def _lines(call: Call, cursor: int, left: int | None) -> AsyncIterator[bytes]:
    encode = msgspec.json.Encoder().encode_lines

    def lines(page: Sequence[tuple[Any, ...]]) -> bytes:
        rows = [dict(zip(DELIVERY_COLUMNS, row, strict=True)) for row in page]
        for row in rows:
            row |= {name: time_out(row[name]) for name in _TIMES}
        return encode(rows)

    number, reports = call.number("id"), call.deps.store.campaign_reports
    while left is None or left > 0:
        wanted = _PAGE if left is None else min(left, _PAGE)
        page = await reports.deliveries(number, cursor, wanted)
        if not page:
            return
        cursor = page[-1][0]
        left = None if left is None else left - len(page)
        yield await asyncio.to_thread(lines, page)
        if len(page) < wanted:
            return


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/campaigns/{id}/report",
        name="reportCampaign",
        summary="What became of a campaign, and what it caused",
        description="Of one that repeats, all its runs together. Members count in the arm that "
        "they were assigned to, whether or not a message arrived.",
        scope="campaigns:read",
        run=report,
        params={"id": NUMBER},
        answers={200: CampaignReport},
        limit_s=AUDIENCE_LIMIT_S,
    ),
    Operation(
        method="GET",
        path="/campaigns/{id}/deliveries",
        name="streamDeliveries",
        summary="Every delivery of a campaign, members by number",
        scope="campaigns:read",
        run=deliveries,
        params={"id": NUMBER},
        query=DeliveriesQuery,
        answers={200: DeliveryOut},
        answer_type=NDJSON,
        streams=True,
    ),
)
