"""Who is on a journey: they begin it, get a delivery of each of its steps, or are stopped.

Every function is one short transaction's work, and may be done again: rows have keys of their
own, and how far a step is planned stands with the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store.campaigns import Campaign
from store.dialect import Connection
from store.journeys import Journey, stop_rules

_OTHERS = 10_000
_FAR = 1e12


@dataclass(frozen=True, slots=True)
class Begun:
    """Somebody begins a journey. started_at: from when their steps count, Unix seconds."""

    member_id: int
    occasion: str
    started_at: float


@dataclass(frozen=True, slots=True)
class Traveller:
    """A member on a journey. number: of their row, which grows."""

    number: int
    member_id: int
    occasion: str
    started_at: float


@dataclass(frozen=True, slots=True)
class Planned:
    """A delivery of a step as it is to be written. status: "planned" or "held"."""

    traveller: Traveller
    status: str
    route: str = ""
    variant: str = ""
    due_at: float | None = None


def enrol(conn: Connection, journey: Journey, begun: Sequence[Begun], now: float) -> int:
    """Put members on a journey that is running; says how many.

    Who is on it already begins it neither for the same occasion nor, while it lasts, another.
    """
    longest = conn.execute(
        "select max(delay_s) from campaigns where journey_id = ?", (journey.id,)
    ).fetchone()[0]
    over = now - max(0.0, longest or 0.0)
    count = 0
    for one in begun:
        count += conn.execute(
            "insert into journey_members (journey_id, member_id, occasion, started_at) "
            "select j.id, m.id, ?, ? from journeys as j join members as m on m.id = ? "
            "where j.id = ? and j.status = 'running' and not exists ("
            "select 1 from journey_members as o where o.journey_id = j.id and o.member_id = m.id "
            "and o.stopped_at is null and o.started_at > ?) on conflict do nothing",
            (one.occasion, one.started_at, one.member_id, journey.id, over),
        ).rowcount
    return count


def seen(conn: Connection, journey_id: int, to: float) -> None:
    """The trigger was looked for up to this moment."""
    conn.execute(
        "update journeys set seen_to = ? where id = ? and seen_to < ?", (to, journey_id, to)
    )


def unplanned(conn: Connection, step: Campaign, limit: int) -> tuple[list[Traveller], int]:
    """Members on its journey who have no delivery of this step yet, and up to which row.

    Give that row to `plan`; when it is the step's own `frozen_to`, all are planned.
    """
    # The plus keeps the database from sorting a whole journey by number for a handful of rows.
    rows = conn.execute(
        "select id, member_id, occasion, started_at, stopped_at from journey_members "
        "where id > ? and +journey_id = ? order by id limit ?",
        (step.frozen_to, step.journey_id, limit),
    ).fetchall()
    if rows:
        going = [Traveller(*row[:4]) for row in rows if row[1] is not None and row[4] is None]
        return going, rows[-1][0]
    newest = conn.execute("select coalesce(max(id), 0) from journey_members").fetchone()[0]
    # Others' rows are stepped over now and then, or a quiet journey would read them every time.
    return [], newest if newest > step.frozen_to + _OTHERS else step.frozen_to


def plan(conn: Connection, step_id: int, planned: Sequence[Planned], upto: int) -> int:
    """Write a step's deliveries, and that members up to a row have theirs; how many are new."""
    going = count = 0
    for one in planned:
        who = one.traveller
        added = conn.execute(
            "insert into deliveries "
            "(campaign_id, member_id, occasion, variant, route, status, due_at) "
            "select ?, t.member_id, t.occasion, ?, ?, ?, ? from journey_members as t "
            "where t.id = ? and t.member_id = ? and t.stopped_at is null on conflict do nothing",
            (step_id, one.variant, one.route, one.status, one.due_at, who.number, who.member_id),
        ).rowcount
        count += added
        going += added if one.status == "planned" else 0
    conn.execute(
        "update campaigns set planned = planned + ?, "
        "frozen_to = case when frozen_to < ? then ? else frozen_to end where id = ?",
        (going, upto, upto, step_id),
    )
    return count


# Being stopped


def to_stop(
    conn: Connection, journey: Journey, step_id: int, after: tuple[float, int], limit: int
) -> tuple[list[tuple[int, str]], tuple[float, int] | None]:
    """Who is to be stopped of those for whom a step is planned: ([(row, reason)], the last one).

    Looks at `limit` deliveries behind `after`, by time and number. The last one looked at is
    None when that was all. Who has nothing planned any more has come to the end.
    """
    why, args = stop_rules(conn, journey)
    if why == "''":
        return [], None
    planned = "d.campaign_id = ? and d.status = 'planned' and (d.due_at, d.id) > (?, ?)"
    last = conn.execute(
        f"select d.due_at, d.id from deliveries as d where {planned} "
        "order by d.due_at, d.id limit 1 offset ?",
        (step_id, *after, limit - 1),
    ).fetchone()
    rows = conn.execute(
        f"select f.number, f.why from (select t.id as number, {why} as why from deliveries as d "
        "join journey_members as t on t.journey_id = ? and t.member_id = d.member_id "
        f"and t.occasion = d.occasion and t.stopped_at is null where {planned} "
        "and (d.due_at, d.id) <= (?, ?)) as f where f.why <> ''",
        (*args, journey.id, step_id, *after, *(last or (_FAR, 0))),
    ).fetchall()
    return rows, last


def stop(conn: Connection, journey_id: int, rows: Sequence[tuple[int, str]], now: float) -> int:
    """Stop members early and skip what is planned for them; says how many. Again: 0."""
    numbers = [
        row[0]
        for row in conn.execute(
            "select id from campaigns where journey_id = ?", (journey_id,)
        ).fetchall()
    ]
    count = 0
    for number, reason in rows:
        row = conn.execute(
            "update journey_members set stopped_at = ?, reason = ? "
            "where id = ? and journey_id = ? and stopped_at is null and member_id is not null "
            "returning member_id, occasion",
            (now, reason, number, journey_id),
        ).fetchone()
        if row is None:
            continue
        count += 1
        for campaign_id in numbers:
            conn.execute(
                "update deliveries set status = 'skipped', reason = ?, due_at = null, "
                "settled_at = ? where campaign_id = ? and member_id = ? and occasion = ? "
                "and status in ('planned', 'waiting')",
                (f"stopped:{reason}", now, campaign_id, *row),
            )
    return count
