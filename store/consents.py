"""What members let us do with what we know of them: one row a member and purpose they decided on.

Who decided nothing is treated as the configuration says. Answering, counting and accounting need
no consent of their own; profiling does: features, churn, leaders, recommendations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from store import scrub, used_up
from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

PROFILING = used_up.PROFILING
PURPOSES = (PROFILING,)

BEFORE = "before"
"""In `consents.source`: they decided so before they were forgotten."""

_SLICE = 100
"""Members a transaction."""

_PROFILE = (
    "member_features",
    "member_findings",
    "community_members",
    "alerts",
    "recommendations",
)
"""What was concluded about members one by one, besides readings, what was learned of them and the
reasons why they were shown something: none of it once they refuse."""


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


def drop_profile(conn: Connection, member_id: int) -> int:
    """Remove what was concluded about a member; says how many rows and lines of reports."""
    return _drop_rows(conn, member_id) + scrub.drop_rows(conn, {member_id})


def _drop_rows(conn: Connection, member_id: int) -> int:
    """All of it but the lines of reports."""
    # Here, for they ask this module who may be looked at.
    from store import mood_labels, readings, rec_lists

    rows = readings.drop_of(conn, member_id) + mood_labels.drop_of(conn, member_id)
    rows += rec_lists.drop_reasons(conn, member_id)
    for table in _PROFILE:
        rows += conn.execute(f"delete from {table} where member_id = ?", (member_id,)).rowcount
    return rows


def _drop_unasked(conn: Connection, members: Sequence[int]) -> None:
    """Of those among them who have not agreed meanwhile."""
    agreed_now = agreed(conn, PROFILING)
    for member_id in members:
        if member_id not in agreed_now:
            _drop_rows(conn, member_id)


def agreed(conn: Connection, purpose: str) -> dict[int, float]:
    """Since when those agreed who said so: what they did before is not looked at anew."""
    rows = conn.execute(
        "select member_id, at from consents where purpose = ? and granted = 1", (purpose,)
    )
    return {row[0]: row[1] for row in rows}


class Consents:
    """The table `consents`. Errors of all: StoreError.

    notice: the version of the notice that stands now, kept with each decision. opt_in: who
    decided nothing is not profiled. Both are the configuration's, told by `under`.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self.notice = "1"
        self.opt_in = False

    def under(self, notice: str, *, opt_in: bool) -> None:
        """From now on decisions are taken under this version of the notice."""
        self.notice, self.opt_in = notice, opt_in

    async def decide(
        self, member_id: int, purpose: str, granted: bool, now: float, source: str
    ) -> bool:
        """Write down what a member decided; False when that is what stood there already.

        Refusing profiling removes at once what was concluded about them. Granting it brings
        nothing back: it begins anew with what they do from then on. Nothing is written for a
        number that is nobody's.
        """

        def run(conn: Connection) -> bool:
            done = conn.execute(
                "insert into consents (member_id, purpose, granted, at, source, notice) "
                "select id, ?, ?, ?, ?, ? from members where id = ? "
                "on conflict (member_id, purpose) do update set granted = excluded.granted, "
                "at = excluded.at, source = excluded.source, notice = excluded.notice "
                "where consents.granted <> excluded.granted or consents.notice <> excluded.notice",
                (purpose, int(granted), now, source, self.notice, member_id),
            ).rowcount
            if purpose == PROFILING and granted:
                used_up.profile_again(conn, member_id)
            elif purpose == PROFILING:
                drop_profile(conn, member_id)
            return done > 0

        return await self._db.write(run)

    async def keep_to_rule(self) -> int:
        """Where nobody is profiled unasked: remove what was concluded about who decided nothing
        while silence still meant yes. Says of how many; some at a time, for answers wait for the
        same writer, and reports once for all."""
        if not self.opt_in:
            return 0
        own = " union ".join(
            f"select member_id from {table} where member_id is not null"
            for table in (*_PROFILE, "readings", "mood_labels")
        )
        own += (
            " union select l.member_id from rec_lists as l join rec_shown as s "
            "on s.list_id = l.id where s.why <> '' or s.score is not null"
        )
        sql = (
            f"select member_id from ({own}) as known where member_id not in "
            f"(select member_id from consents where purpose = '{PROFILING}' and granted = 1)"
        )
        unasked = await self._db.read(lambda conn: [row[0] for row in conn.execute(sql)])
        for at in range(0, len(unasked), _SLICE):
            await self._db.write(partial(_drop_unasked, members=unasked[at : at + _SLICE]))
        if unasked:
            await self._db.write(partial(scrub.drop_rows, numbers=frozenset(unasked)))
        return len(unasked)

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


def keep_to(conn: Connection, member_id: int) -> None:
    """After two were made one: who refused is concluded nothing about, whichever of them it was
    concluded about. After all other rooms."""
    refused = conn.execute(
        "select 1 from consents where member_id = ? and purpose = ? and granted = 0",
        (member_id, PROFILING),
    ).fetchone()
    if refused is not None:
        drop_profile(conn, member_id)
