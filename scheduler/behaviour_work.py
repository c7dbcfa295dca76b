"""The work behind `scheduler/behaviour.py`: rows to features and back, and the night's conclusions.

What takes seconds stands here as functions for another process: they read by themselves, and what
they give back is written by the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from insights import churn, member_report, report, survival
from insights.behaviour import (
    DAY_S,
    LOST,
    PAUSED,
    STATES,
    Columns,
    Features,
    StateRules,
    Sum,
    columns,
    day_of,
    day_start,
    fold,
    judge,
    next_actions,
    rate,
)
from scheduler.packed import Packed
from store import consents, feature_reads, features, insight_reads
from store.dialect import Connection
from store.feature_reads import Happening, Known, News, Shop
from store.features import Judged, Positions, Row

CURVE_DAYS = (0, 7, 14, 30, 60, 90, 120, 150, 180, 270, 365)
"""After which days the share of those who stay is told."""

_REPLIES_DAYS = 200


class Data(msgspec.Struct):
    """The JSON of a row. replies: (when pushed, answered after seconds). weeks, days: bits, hex.

    shop: the last progress, and how many events were read and the sum of their numbers.
    """

    hours: tuple[int, ...]
    channels: dict[str, int]
    topics: dict[str, int]
    gaps: tuple[int, ...]
    reply_s: float | None
    replies: list[tuple[float, float]]
    weeks: str
    days: str
    shop: tuple[float | None, int, int]


_DECODER = msgspec.json.Decoder(Data)
_EPOCH = date(1970, 1, 1).toordinal()


def iso(day: int) -> str:
    """The name of a Shanghai day."""
    return date.fromordinal(day + _EPOCH).isoformat()


def features_of(row: Row) -> Features:
    """What a row says. Errors: msgspec.DecodeError when its data is none of ours."""
    return _features(row, _DECODER.decode(row.data))


def _features(row: Row, data: Data) -> Features:
    return Features(
        first_at=row.first_at,
        last_at=row.last_at,
        last_day=date.fromisoformat(row.last_day).toordinal() - _EPOCH,
        days=int(data.days, 16),
        acts=row.acts,
        questions=row.questions,
        hours=data.hours,
        channels=data.channels,
        topics=data.topics,
        replies=dict(data.replies),
    )


def shop_of(row: Row) -> Shop:
    """What a row knows of the shop."""
    learnt_at, count, total = _DECODER.decode(row.data).shop
    money = (row.spent_cents, row.orders, row.last_order_at)
    return Shop(*money, row.progress, learnt_at, (count, total))


def row_of(
    member_id: int, own: Features, shop: Shop, was: Row | None, rules: StateRules, now: float
) -> Row:
    """The row of these features; what was concluded is as it was."""
    returned = own.returned_day(rules.lost_days)
    data = Data(
        own.hours,
        dict(own.channels),
        dict(own.topics),
        own.gaps,
        own.reply_s,
        list(own.replies.items()),
        f"{own.weeks:x}",
        f"{own.days:x}",
        (shop.learnt_at, *shop.seen),
    )
    # Later than what was read, so that who compares sees another row.
    at = now if was is None or was.updated_at < now else was.updated_at + 0.001
    return Row(
        member_id,
        own.first_at,
        own.last_at,
        None if returned is None else day_start(returned),
        own.acts,
        own.active_days,
        iso(own.last_day),
        own.days28,
        own.questions,
        shop.spent_cents,
        shop.orders,
        shop.last_order_at,
        shop.progress,
        msgspec.json.encode(data).decode(),
        *((0, 0, 0, "", 0.0, None, "", "") if was is None else was[14:22]),
        at,
    )


class Told(NamedTuple):
    """Whether a member wants nothing, is somewhere, and holds a coupon."""

    paused: bool
    present: bool
    coupon: bool


def columns_of(rows: Sequence[Row], told: Mapping[int, Told]) -> Columns:
    """Rows as columns, in their order."""
    return columns([_column(row, told[row.member_id]) for row in rows])


def _column(row: Row, told: Told) -> tuple[object, ...]:
    days = int(_DECODER.decode(row.data).days, 16)
    return (
        row.member_id,
        row.first_at,
        row.last_at,
        row.returned_at if row.returned_at is not None else np.nan,
        row.acts,
        date.fromisoformat(row.last_day).toordinal() - _EPOCH,
        row.days28,
        (days & ((1 << 90) - 1)).bit_count(),
        row.spent_cents,
        row.orders,
        row.progress,
        *told,
    )


class Taken(NamedTuple):
    """A slice of the logs, taken in. rows: to be written; was: when those that exist were written
    last; until: the positions that it reaches to; more: whether there is more behind them;
    looked_at: members in it."""

    rows: list[Row]
    was: dict[int, float]
    until: Positions
    more: bool
    looked_at: int


def taken_in(
    path: Path, since: Positions, limit: int, rules: StateRules, now: float, opt_in: bool
) -> Taken:
    """What is new after these positions, at most `limit` rows of each log, and what follows."""
    with insight_reads.reading(path) as conn:
        news = feature_reads.news(conn, since, limit, now, opt_in=opt_in)
    rows = rows_after(news, rules, now)
    was = {one: own.row.updated_at for one, own in news.known.items() if own.row is not None}
    return Taken(rows, was, news.until, news.more, len(news.known))


def rows_after(news: News, rules: StateRules, now: float) -> list[Row]:
    """The rows of everybody in `news`, with what happened, judged as of now."""
    rows = []
    for member_id, known in news.known.items():
        rows.append(_row_after(member_id, known, news.happened.get(member_id, ()), rules, now))
    told = {one: Told(own.paused, own.present, own.coupon) for one, own in news.known.items()}
    return judged_now(rows, told, rules, now)


def _row_after(
    member_id: int, known: Known, happened: Iterable[Happening], rules: StateRules, now: float
) -> Row:
    before = None if known.row is None else features_of(known.row)
    own = fold(before, _until(happened, now), known.created_at)
    shop = known.shop
    if shop is None:
        shop = Shop() if known.row is None else shop_of(known.row)
    return row_of(member_id, own, shop, known.row, rules, now)


def _until(happened: Iterable[Happening], now: float) -> list[Happening]:
    """What a wrong clock dated into the future happened now, at the latest."""
    return [one if one.at <= now else one._replace(at=now) for one in happened]


def judged_now(
    rows: Sequence[Row], told: Mapping[int, Told], rules: StateRules, now: float
) -> list[Row]:
    """Rows with their states and actions; scores and risks are as the night left them."""
    if not rows:
        return []
    of = columns_of(rows, told)
    states = judge(of, now, rules)
    # Who is gone has no risk of going.
    gone = np.isin(states, (PAUSED, LOST))
    risk = np.array([np.nan if row.churn is None else row.churn for row in rows], np.float64)
    risk[gone] = np.nan
    scores = tuple(
        np.array(column, np.int64)
        for column in zip(
            *((row.recency, row.frequency, row.monetary) for row in rows), strict=True
        )
    )
    actions = next_actions(of, states, scores, risk)
    found = []
    for row, number, left, action in zip(rows, states, gone, actions, strict=True):
        state = STATES[number]
        found.append(
            row._replace(
                state=state,
                state_since=row.state_since if row.state == state else now,
                churn=None if left else row.churn,
                reasons="" if left else row.reasons,
                action=action,
            )
        )
    return found


# In another process


def made(path: Path, rules: StateRules, now: float, opt_in: bool) -> tuple[Packed[Row], Positions]:
    """Everybody's row from all that the logs hold, and how far they reach: the first time."""
    with insight_reads.reading(path) as conn:
        until = features.ends(conn)
        held = consents.withheld(conn, consents.PROFILING, opt_in=opt_in)
        told: dict[int, Told] = {}
        sums: dict[int, Sum] = {}
        for member_id, one in feature_reads.situations(conn, now):
            if member_id not in held:
                told[member_id] = Told(*one[1:])
                sums[member_id] = Sum(one.created_at)
        for member_id, happened in feature_reads.everything(conn, until):
            if (total := sums.get(member_id)) is not None:
                total.add(happened if happened.at <= now else happened._replace(at=now))
        shops = feature_reads.all_shops(conn)
    rows = [
        row_of(member_id, total.done(), shops.get(member_id, Shop()), None, rules, now)
        for member_id, total in sums.items()
    ]
    return Packed(judged_now(rows, told, rules, now)), until


class Mended(NamedTuple):
    """made: rows of who had none; changed: (when it was updated, its row) of who had; gone: who
    must have none."""

    made: Packed[Row]
    changed: Packed[tuple[float, Row]]
    gone: Packed[int]


def mended(path: Path, rules: StateRules, until: Positions, now: float, opt_in: bool) -> Mended:
    """What does not agree with the logs and the consents, made anew up to these positions."""
    with insight_reads.reading(path) as conn:
        missing, other, gone = feature_reads.wrong(conn, until[2], opt_in=opt_in)
        known = feature_reads.known_of(
            conn, [*missing, *other], [*missing, *other], now, opt_in=opt_in
        )
        happened = feature_reads.happened_to(conn, missing, until, now)
    # Who must have no row may still have one, which goes first.
    known |= {one: known[one]._replace(row=None) for one in missing if one in known}
    again = News(until, until, happened, known, more=False)
    rows = rows_after(again, rules, now)
    was = {one: own.row.updated_at for one, own in known.items() if own.row is not None}
    return Mended(
        Packed(row for row in rows if row.member_id not in was),
        Packed((was[row.member_id], row) for row in rows if row.member_id in was),
        Packed(gone),
    )


class Night(NamedTuple):
    """What the night concluded: rows that changed, the report and the model's check as JSON."""

    judged: Packed[Judged]
    report: str
    model: str
    members: int


def concluded(path: Path, rules: StateRules, now: float, opt_in: bool) -> Night:
    """States, scores, risks and actions of everybody, and the report about them."""
    today = day_of(now)
    with insight_reads.reading(path) as conn:
        held = consents.withheld(conn, consents.PROFILING, opt_in=opt_in)
        told = {one: Told(*own[1:]) for one, own in feature_reads.situations(conn, now)}
        rows = [row for row in feature_reads.all_rows(conn) if row.member_id not in held]
        place = {row.member_id: index for index, row in enumerate(rows)}
        since = now - _REPLIES_DAYS * DAY_S
        moods = _marks(place, feature_reads.moods(conn, since), today)
        lessons = _marks(place, feature_reads.lessons(conn, since), today)
        before = _before(conn, today)
    decoded = [_DECODER.decode(row.data) for row in rows]
    # What a silence is may have been said anew since the row was written.
    rows = [
        row._replace(returned_at=_returned(_features(row, data), rules))
        for row, data in zip(rows, decoded, strict=True)
    ]
    of = columns_of(rows, told)
    states, scores = judge(of, now, rules), rate(of, now)
    history = churn.History(
        churn.matrix([int(one.days, 16) for one in decoded], of.last_day, today, churn.span(rules)),
        today - np.array([day_of(at) for at in of.first_at.tolist()], np.int64),
        moods,
        lessons,
    )
    asked = ~np.isin(states, (PAUSED, LOST)) & (of.acts > 0)
    risk = churn.risk(history, asked, rules)
    actions = next_actions(of, states, scores, risk.churn)
    night = member_report.Night(
        of=of,
        states=states,
        scores=scores,
        churn=risk.churn,
        reasons=risk.reasons,
        actions=actions,
        check=risk.check,
        before=before,
        curves=_curves(of, states, now, rules),
        days=CURVE_DAYS,
    )
    return Night(
        Packed(_judged(rows, night, now)),
        report.to_json(member_report.report(night, now, rules)),
        msgspec.json.encode(churn.to_dict(risk.check)).decode(),
        len(rows),
    )


def _returned(own: Features, rules: StateRules) -> float | None:
    day = own.returned_day(rules.lost_days)
    return None if day is None else day_start(day)


def _marks(
    place: Mapping[int, int], rows: Iterable[tuple[int, float, float]], today: int
) -> churn.Marks:
    return churn.marks(
        (place[member_id], max(today - day_of(at), 0), value)
        for member_id, at, value in rows
        if member_id in place
    )


def _before(conn: Connection, today: int) -> dict[str, int]:
    """How many were in which state a week ago, or a few days earlier; {} when nobody counted."""
    week = member_report.WINDOW_DAYS
    rows = feature_reads.state_days(conn, iso(today - week - 4))
    days = [day for day, _, _ in rows if day <= iso(today - week)]
    return {state: members for day, state, members in rows if days and day == max(days)}


def _judged(rows: Sequence[Row], night: member_report.Night, now: float) -> Iterator[Judged]:
    """What is not as it stands in the rows."""
    for index, row in enumerate(rows):
        state, risk = STATES[night.states[index]], float(night.churn[index])
        recency, frequency, monetary = (int(scores[index]) for scores in night.scores)
        one = Judged(
            row.member_id,
            recency,
            frequency,
            monetary,
            state,
            row.state_since if row.state == state else now,
            None if np.isnan(risk) else round(risk, 4),
            " ".join(night.reasons[index]),
            night.actions[index],
            row.updated_at,
        )
        if one[1:-1] != row[14:22]:
            yield one


def _curves(
    of: Columns, states: np.ndarray[Any, np.dtype[np.int8]], now: float, rules: StateRules
) -> list[survival.Curve]:
    """How long who ever did anything stayed, by the month in which they came.

    It ends when they count as lost, which is so many days after their last act.
    """
    did = np.flatnonzero(of.acts > 0)
    first, last = of.first_at[did], of.last_at[did]
    gone = (now - last) / DAY_S >= rules.lost_days
    stayed = np.where(gone, (last - first) / DAY_S + rules.lost_days, (now - first) / DAY_S)
    months = [datetime.fromtimestamp(at + 8 * 3600, UTC).strftime("%Y-%m") for at in first.tolist()]
    return survival.curves(np.maximum(stayed, 0.5), gone, months, CURVE_DAYS)
