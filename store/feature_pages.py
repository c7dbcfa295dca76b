"""Members' features page by page, for who takes them away to analyse them elsewhere."""

from __future__ import annotations

from typing import NamedTuple

from store.db import Database
from store.dialect import Connection


class Feature(NamedTuple):
    """What goes out of a row of `member_features`: numbers, no words and no identity."""

    member_id: int
    first_at: float
    last_at: float
    acts: int
    active_days: int
    questions: int
    spent_cents: int
    orders: int
    progress: int
    recency: int
    frequency: int
    monetary: int
    state: str
    state_since: float
    churn: float | None
    reasons: str
    action: str


_COLUMNS = ", ".join(Feature._fields)


class FeaturePages:
    """The table `member_features`, read in the order of the members' numbers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, after: int, limit: int, state: str = "") -> list[Feature]:
        """Those after a number, at most so many; state: only of this one. Errors: StoreError."""

        def run(conn: Connection) -> list[Feature]:
            where = "and state = ? " if state else ""
            rows = conn.execute(
                f"select {_COLUMNS} from member_features where member_id > ? {where}"
                "order by member_id limit ?",
                (after, *((state,) if state else ()), limit),
            )
            return [Feature(*row) for row in rows]

        return await self._db.read(run)

    async def reports(self) -> list[tuple[str, float]]:
        """(name of a report in the findings, when it was made), by name."""

        def run(conn: Connection) -> list[tuple[str, float]]:
            rows = conn.execute(
                "select name, made_at from findings where name >= 'report:' and name < 'report;' "
                "order by name"
            )
            return [(row[0], row[1]) for row in rows]

        return await self._db.read(run)
