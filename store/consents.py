"""What members let us do with what we know of them: one row a member and purpose they decided on.

Who decided nothing is treated as the configuration says. Answering, counting and accounting need
no consent of their own; profiling does: features, churn, leaders, recommendations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

PROFILING = "profiling"
PURPOSES = (PROFILING,)


@dataclass(frozen=True, slots=True)
class Consent:
    """What a member decided. source: where; notice: the version of what they had read."""

    purpose: str
    granted: bool
    at: float
    source: str
    notice: str


def withheld(conn: Connection, purpose: str, *, opt_in: bool = False) -> set[int]:
    """The members who are not to be looked at for this purpose.

    opt_in: also all who decided nothing.
    """
    if opt_in:
        rows = conn.execute(
            "select id from members where id not in "
            "(select member_id from consents where purpose = ? and granted = 1)",
            (purpose,),
        )
    else:
        rows = conn.execute(
            "select member_id from consents where purpose = ? and granted = 0", (purpose,)
        )
    return {row[0] for row in rows}


class Consents:
    """The table `consents`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, member_id: int) -> list[Consent]:
        """What a member decided, by purpose; [] for nothing."""

        def run(conn: Connection) -> list[Consent]:
            rows = conn.execute(
                "select purpose, granted, at, source, notice from consents "
                "where member_id = ? order by purpose",
                (member_id,),
            )
            return [Consent(row[0], bool(row[1]), *row[2:]) for row in rows]

        return await self._db.read(run)


# For `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What they decided."""
    return {
        "consents": rows_of(
            conn,
            "select purpose, granted, at, source, notice from consents where member_id = ? "
            "order by purpose",
            member_id,
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Nobody is left to have decided."""
    gone = conn.execute("delete from consents where member_id = ?", (member_id,))
    return {"consents": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """The later decision of the two stands."""
    conn.execute(
        "insert into consents (member_id, purpose, granted, at, source, notice) "
        "select ?, purpose, granted, at, source, notice from consents where member_id = ? "
        "on conflict (member_id, purpose) do update set granted = excluded.granted, "
        "at = excluded.at, source = excluded.source, notice = excluded.notice "
        "where excluded.at > consents.at",
        (keep, drop),
    )
    conn.execute("delete from consents where member_id = ?", (drop,))
