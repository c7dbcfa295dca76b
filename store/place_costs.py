"""What operators told us that groups cost, and what was sold to who is in them.

A cost belongs to a place and a day; one that is meant for a week stands at its Monday. A later
amount for the same day replaces the earlier one only when that is wanted.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed

MOST_CENTS = 1_000_000_000_00
"""A cost above this is a typing mistake."""

MOST_NOTE = 60

_WEEK_S = 604_800
# 1970-01-01 was a Thursday, and Shanghai is eight hours ahead: weeks begin on Mondays there.
_TO_MONDAY_S = 28_800 + 3 * 86_400


@dataclass(frozen=True, slots=True)
class PlaceCost:
    """What a place cost. day: "2026-11-16". by: "member:3", "cli", "key:NAME"."""

    place: str
    day: str
    cents: int
    note: str
    at: float
    by: str


class Outcome(enum.Enum):
    """NEW: written. SAME: it stood there already. REPLACED: another amount stood there. OTHER:
    another amount stands there, and stays."""

    NEW = "new"
    SAME = "same"
    REPLACED = "replaced"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a cost. was: the fen that stood there before, None for none."""

    outcome: Outcome
    was: int | None


def week_of(at: float) -> int:
    """The week of a moment, counted from 1970; weeks begin on Mondays in Shanghai."""
    return int((at + _TO_MONDAY_S) // _WEEK_S)


def week_of_day(day: str) -> int:
    """The week of a day "2026-11-16". Errors: ValueError for what is no day."""
    return (date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal() + 3) // 7


def begin_of_week(week: int) -> float:
    """Its Monday's midnight in Shanghai, Unix seconds."""
    return float(week * _WEEK_S - _TO_MONDAY_S)


class PlaceCosts:
    """The table `place_costs`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, cost: PlaceCost, deed: Deed, target: str, *, replace: bool) -> Kept:
        """Write a cost with its line of the audit; the same again writes neither.

        target: of the audit. replace: also over another amount.
        """

        def run(conn: Connection) -> Kept:
            row = conn.execute(
                "select cents, note from place_costs where place = ? and day = ?",
                (cost.place, cost.day),
            ).fetchone()
            was = None if row is None else int(row[0])
            if row is not None and (was, row[1]) == (cost.cents, cost.note):
                return Kept(Outcome.SAME, was)
            if was is not None and was != cost.cents and not replace:
                return Kept(Outcome.OTHER, was)
            conn.execute(
                "insert into place_costs (place, day, cents, note, at, by) "
                "values (?, ?, ?, ?, ?, ?) on conflict (place, day) do update set "
                "cents = excluded.cents, note = excluded.note, at = excluded.at, "
                "by = excluded.by",
                (cost.place, cost.day, cost.cents, cost.note, cost.at, cost.by),
            )
            told = (
                f"{cost.day} {cost.cents}" if was is None else f"{cost.day} {was} -> {cost.cents}"
            )
            deed.write(conn, target, told)
            return Kept(Outcome.NEW if was is None else Outcome.REPLACED, was)

        return await self._db.write(run)

    async def drop(self, place: str, day: str, deed: Deed, target: str) -> PlaceCost | None:
        """Take a cost out, with its line of the audit; None when there was none."""

        def run(conn: Connection) -> PlaceCost | None:
            row = conn.execute(
                "delete from place_costs where place = ? and day = ? "
                "returning place, day, cents, note, at, by",
                (place, day),
            ).fetchone()
            if row is None:
                return None
            deed.write(conn, target, f"{day} {row[2]}")
            return PlaceCost(*row)

        return await self._db.write(run)

    async def newest(self, limit: int, place: str | None = None) -> list[PlaceCost]:
        """Costs of the newest days first; of one place, or of all."""

        def run(conn: Connection) -> list[PlaceCost]:
            rows = conn.execute(
                "select place, day, cents, note, at, by from place_costs "
                "where (? = '' or place = ?) order by day desc, place limit ?",
                (place or "", place or "", limit),
            )
            return [PlaceCost(*row) for row in rows]

        return await self._db.read(run)


# For jobs in a process of their own


def weekly_costs(conn: Connection, first: int, end: int) -> dict[str, dict[int, int]]:
    """place -> week -> fen, of the weeks from `first` on and before `end`; {} for none.

    A week without a row is not in it.
    """
    found: dict[str, dict[int, int]] = {}
    for place, day, cents in conn.execute("select place, day, cents from place_costs"):
        week = week_of_day(day)
        if first <= week < end:
            weeks = found.setdefault(place, {})
            weeks[week] = weeks.get(week, 0) + int(cents)
    return found


_SOLD = (
    "select e.id, e.order_id, e.amount_cents, "
    f"cast((e.at + {_TO_MONDAY_S}) / {_WEEK_S} as bigint) from events as e "
    "join group_members as m on m.member_id = e.member_id and m.since <= e.at "
    "and (m.left_at is null or m.left_at > e.at) "
    "where e.kind = 'purchase' and e.at >= ? and e.at < ? and m.place = ?"
)


def weekly_conversions(
    conn: Connection, places: Collection[str], first: int, end: int
) -> dict[str, dict[int, float]]:
    """place -> week -> orders of who was in the place then, not given back in full.

    Who is in several of these places counts in equal parts in each, so that the sum over them is
    never more than was sold.
    """
    back: dict[str, int] = dict(
        conn.execute(
            "select order_id, sum(amount_cents) from events "
            "where kind = 'refund' and order_id <> '' group by order_id"
        ).fetchall()
    )
    since, until = begin_of_week(first), begin_of_week(end)
    held: dict[int, tuple[set[str], int]] = {}
    for place in places:
        for number, order_id, cents, week in conn.execute(_SOLD, (since, until, place)):
            if order_id and 0 < cents <= back.get(order_id, 0):
                continue
            held.setdefault(number, (set(), int(week)))[0].add(place)
    found: dict[str, dict[int, float]] = {place: {} for place in places}
    for where, week in held.values():
        for place in where:
            found[place][week] = found[place].get(week, 0.0) + 1.0 / len(where)
    return found
