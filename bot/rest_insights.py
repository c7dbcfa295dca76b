"""The REST API for insights: reports with what every figure stands on, features, consent.

Reports are what jobs left; nothing is worked out here. A key without `insights:own` sees what an
analyst sees: figures of few members are hidden, and no line is about a member. Features go out
under pseudonyms, with numbers only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bot.rest import NDJSON, NUMBER, Answer, Call, Operation, Param, Problem, not_found, stamp
from handlers.report_means import Started
from handlers.report_text import meaning
from insights.anonymity import masked
from insights.mood_report import day_of, first_second
from insights.report import KINDS, Chart, Figure, Report, Row, known, name_of
from store.consents import PURPOSES
from store.feature_pages import Feature
from store.pseudonyms import pseudonym

_OWN = "insights:own"
_LINES = 1000
_GROUP = Annotated[
    Annotated[int, Meta(ge=1, le=2**62)] | None,
    Meta(description="A group's number; none: all."),
]
_STATES = Literal["newcomer", "active", "core", "leaving", "lost", "returned", "lurker", "paused"]


class FigureOut(msgspec.Struct):
    """One number and what it stands on. name: its key; title and definition: in Chinese.

    value: null when it could not be worked out or may not be shown; note says why. interval: the
    95 % one, null without. sample: observations; people: different members. before: the same over
    the window before.
    """

    name: str
    title: str
    definition: str
    of: str
    value: float | None
    unit: str
    numerator: float | None
    denominator: float | None
    interval: tuple[float, float] | None
    sample: int
    people: int | None
    since: str
    until: str
    before: float | None
    note: str


class RowOut(msgspec.Struct):
    """One line of a list. member: whom it is about, with `insights:own`."""

    label: str
    member: int | None
    figures: list[FigureOut]
    details: list[str]


class ListOut(msgspec.Struct):
    """A named list, best first."""

    name: str
    title: str
    rows: list[RowOut]
    note: str


class SeriesOut(msgspec.Struct):
    """One line or row of bars; low and high are empty without a band."""

    name: str
    values: list[float | None]
    low: list[float | None]
    high: list[float | None]


class ChartOut(msgspec.Struct):
    """What to draw: labels of the x axis (or of bars) and the series over them."""

    name: str
    title: str
    kind: str
    unit: str
    labels: list[str]
    series: list[SeriesOut]
    split: int | None


class ReportOut(msgspec.Struct):
    """A report. group: which one it is about, null for all."""

    kind: str
    group: int | None
    made_at: str
    since: str
    until: str
    figures: list[FigureOut]
    lists: list[ListOut]
    charts: list[ChartOut]
    note: str


class ReportName(msgspec.Struct):
    """A report that there is."""

    kind: str
    group: int | None
    made_at: str


class ReportNames(msgspec.Struct):
    """All reports that there are."""

    reports: list[ReportName]


class ReportQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which group."""

    group: _GROUP = None


class FeaturesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which members."""

    state: Annotated[_STATES | None, Meta(description="Only those in this state.")] = None


class FeatureOut(msgspec.Struct):
    """What is known of a member's behaviour, under a pseudonym that is the same in every export.

    first_at, last_at, state_since: the day of it, in China, as the moment when it began.
    """

    member: str
    first_at: str
    last_at: str
    acts: int
    active_days: int
    questions: int
    spent_cents: int
    orders: int
    progress: int
    rfm: tuple[int, int, int]
    state: str
    state_since: str
    churn: float | None
    reasons: list[str]
    action: str


class RefreshOut(msgspec.Struct):
    """started: false when it was running already."""

    started: bool


class ConsentBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a member decided."""

    granted: bool


class ConsentOut(msgspec.Struct):
    """A decision. granted: null when they decided nothing."""

    purpose: str
    granted: bool | None
    at: str | None
    source: str
    notice: str


class ConsentList(msgspec.Struct):
    """One for each purpose there is."""

    consents: list[ConsentOut]


def _word(call: Call, key: str, otherwise: str) -> str:
    texts = call.deps.insights.texts
    return texts(key) if texts is not None and key in texts.keys() else otherwise  # noqa: SIM118


def _definition(call: Call, name: str) -> str:
    means = call.deps.insights
    known = means.texts is not None and f"why.{name}" in means.texts.keys()  # noqa: SIM118
    return meaning(means.texts, name, means.states) if means.texts is not None and known else ""


def _figure(call: Call, one: Figure) -> FigureOut:
    return FigureOut(
        name=one.name,
        title=_word(call, f"figure.{one.name}", one.name),
        definition=_definition(call, one.name),
        of=one.of,
        value=one.value,
        unit=one.unit,
        numerator=one.numerator,
        denominator=one.denominator,
        interval=None if one.low is None or one.high is None else (one.low, one.high),
        sample=one.n,
        people=one.people,
        since=stamp(one.since),
        until=stamp(one.until),
        before=one.before,
        note=one.note,
    )


def _row(call: Call, one: Row) -> RowOut:
    figures = [_figure(call, figure) for figure in one.figures]
    return RowOut(one.label, one.member_id, figures, list(one.details))


def _chart(call: Call, one: Chart) -> ChartOut:
    series = [
        SeriesOut(
            _word(call, f"chart.{line.name}", line.name),
            list(line.values),
            list(line.low),
            list(line.high),
        )
        for line in one.series
    ]
    title = _word(call, f"chart.{one.name}", one.name)
    return ChartOut(one.name, title, one.kind, one.unit, list(one.labels), series, one.split)


def _out(call: Call, report: Report) -> ReportOut:
    return ReportOut(
        kind=report.kind,
        group=_number_of(call, report.scope),
        made_at=stamp(report.made_at),
        since=stamp(report.since),
        until=stamp(report.until),
        figures=[_figure(call, one) for one in report.figures],
        lists=[
            ListOut(
                one.name,
                _word(call, f"list.{one.name}", one.name),
                [_row(call, row) for row in one.rows],
                one.note,
            )
            for one in report.lists
        ],
        charts=[_chart(call, one) for one in report.charts],
        note=report.note,
    )


def _number_of(call: Call, place: str) -> int | None:
    group = call.deps.store.groups.known(place) if place else None
    return None if group is None else group.id


async def index(call: Call) -> Answer:
    """Which reports there are."""
    found = []
    for name, made_at in await call.deps.store.feature_pages.reports():
        _, kind, place = name.split(":", 2)
        number = _number_of(call, place)
        if kind in KINDS and (number is not None or not place):
            found.append(ReportName(kind, number, stamp(made_at)))
    return Answer(body=ReportNames(found))


async def show(call: Call) -> Answer:
    """The newest report of a kind, of all or of one group."""
    asked: ReportQuery = call.query
    kind = call.path["kind"]
    place = ""
    if asked.group is not None:
        group = next((g for g in call.deps.store.groups.all() if g.id == asked.group), None)
        if group is None:
            raise not_found("group")
        place = group.place
    report = known(await call.deps.store.interactions.finding(name_of(kind, place)))
    if kind not in KINDS or report is None:
        raise not_found("report")
    own = _OWN in call.key.scopes
    shown = masked(report, call.deps.insights.least_people, owner=own, members=own)
    return Answer(body=_out(call, shown))


async def refresh(call: Call) -> Answer:
    """Begin to work everything out anew."""
    done = call.deps.insights.refresh()
    if done is Started.OFF:
        raise Problem(
            409, "Switched off", "Set insights.enabled in the configuration.", type="switched-off"
        )
    await call.audit("insights.refresh", "")
    return Answer(202, RefreshOut(done is Started.STARTED))


async def features(call: Call) -> Any:
    """Every profiled member's features, one a line."""
    asked: FeaturesQuery = call.query
    store = call.deps.store
    key = await store.pseudonyms.key()
    encode = msgspec.json.Encoder().encode_lines

    def lines(page: Sequence[Feature]) -> bytes:
        return encode([_feature(key, one) for one in page])

    async def pieces() -> AsyncIterator[bytes]:
        after = 0
        while page := await store.feature_pages.page(after, _LINES, asked.state or ""):
            after = page[-1].member_id
            yield await asyncio.to_thread(lines, page)

    return await call.stream(pieces())


def _day(at: float) -> str:
    """When its day began: to the second it would be the same in the log and in every export."""
    return stamp(first_second(day_of(at)))


def _feature(key: bytes, one: Feature) -> FeatureOut:
    return FeatureOut(
        member=pseudonym(key, one.member_id),
        first_at=_day(one.first_at),
        last_at=_day(one.last_at),
        acts=one.acts,
        active_days=one.active_days,
        questions=one.questions,
        spent_cents=one.spent_cents,
        orders=one.orders,
        progress=one.progress,
        rfm=(one.recency, one.frequency, one.monetary),
        state=one.state,
        state_since=_day(one.state_since),
        churn=one.churn,
        reasons=one.reasons.split(),
        action=one.action,
    )


async def consents(call: Call) -> Answer:
    """What a member decided."""
    return Answer(body=await _decided(call, call.number("id")))


async def decide(call: Call) -> Answer:
    """Write down what a member decided elsewhere, on a page of yours."""
    body: ConsentBody = call.body
    member_id = call.number("id")
    store = call.deps.store
    if await store.members.card(member_id) is None:
        raise not_found("member")
    changed = await store.consents.decide(
        member_id, call.path["purpose"], body.granted, call.now, "api"
    )
    if changed:
        await call.audit(
            "consent.granted" if body.granted else "consent.refused", f"member:{member_id}"
        )
    return Answer(body=await _decided(call, member_id))


async def _decided(call: Call, member_id: int) -> ConsentList:
    store = call.deps.store
    if await store.members.card(member_id) is None:
        raise not_found("member")
    known = {one.purpose: one for one in await store.consents.of(member_id)}
    listed = []
    for purpose in PURPOSES:
        one = known.get(purpose)
        listed.append(
            ConsentOut(purpose, None, None, "", "")
            if one is None
            else ConsentOut(purpose, one.granted, stamp(one.at), one.source, one.notice)
        )
    return ConsentList(listed)


_KIND = Param(description="Which report.", pattern=f"^({'|'.join(KINDS)})$", example="week")
_PURPOSE = Param(
    description="What it is about.", pattern=f"^({'|'.join(PURPOSES)})$", example=PURPOSES[0]
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/insights",
        name="listInsights",
        summary="Which reports there are",
        scope="insights:read",
        run=index,
        answers={200: ReportNames},
    ),
    Operation(
        method="GET",
        path="/insights/reports/{kind}",
        name="getInsight",
        summary="The newest report of a kind",
        description="Each figure says what it is, over which window and from how many. Without "
        "insights:own figures of fewer than privacy.least_people members are null, and no line is "
        "about a member.",
        scope="insights:read",
        run=show,
        params={"kind": _KIND},
        query=ReportQuery,
        answers={200: ReportOut},
    ),
    Operation(
        method="POST",
        path="/insights/refresh",
        name="refreshInsights",
        summary="Work everything out anew",
        description="It takes minutes; reports change as they are done.",
        scope="insights:write",
        run=refresh,
        answers={202: RefreshOut},
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/insights/members",
        name="streamFeatures",
        summary="What members do, in numbers and under pseudonyms",
        description="A pseudonym is the same in every export and leads back to nobody. Members who "
        "withheld profiling are not in it.",
        scope="insights:own",
        run=features,
        query=FeaturesQuery,
        answers={200: FeatureOut},
        answer_type=NDJSON,
        streams=True,
    ),
    Operation(
        method="GET",
        path="/members/{id}/consents",
        name="listConsents",
        summary="What a member allows",
        scope="members:read",
        run=consents,
        params={"id": NUMBER},
        answers={200: ConsentList},
    ),
    Operation(
        method="PUT",
        path="/members/{id}/consents/{purpose}",
        name="putConsent",
        summary="Write down what a member decided",
        description="Refusing profiling removes at once what was concluded about them.",
        scope="members:write",
        run=decide,
        params={"id": NUMBER, "purpose": _PURPOSE},
        body=ConsentBody,
        answers={200: ConsentList},
    ),
)
