"""What is known of each member's behaviour: one row a member, and how far in the logs it has come.

Rows are made of everything up to a position in four logs (`cursors`), and rows and positions change
together or not at all. What a row means is not known here: `insights/behaviour.py` folds it. Of
members who do not want to be profiled there is no row, and of those who are not recorded in groups
none that knows of groups. What rows are made of is read in `store/feature_reads.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from store import statements
from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

ACTS, TALK, EVENTS, MEMBERS = LOGS = ("features:i", "features:t", "features:e", "features:m")
"""The names in `cursors`: interactions, talk, events, members."""

Positions = tuple[int, int, int, int]
"""How far in each of LOGS."""

NOWHERE: Positions = (0, 0, 0, 0)
"""Nothing was read yet."""


class Row(NamedTuple):
    """A row of `member_features`, its columns in order. data: JSON."""

    member_id: int
    first_at: float
    last_at: float
    returned_at: float | None
    acts: int
    active_days: int
    last_day: str
    days28: int
    questions: int
    spent_cents: int
    orders: int
    last_order_at: float | None
    progress: int
    data: str
    recency: int
    frequency: int
    monetary: int
    state: str
    state_since: float
    churn: float | None
    reasons: str
    action: str
    updated_at: float


class Judged(NamedTuple):
    """What is concluded about a member. updated_at: of the row that it was concluded from."""

    member_id: int
    recency: int
    frequency: int
    monetary: int
    state: str
    state_since: float
    churn: float | None
    reasons: str
    action: str
    updated_at: float


def positions(conn: Connection) -> Positions | None:
    """How far the rows have come; None when they were never made."""
    found = dict(
        conn.execute("select name, position from cursors where name like 'features:%'").fetchall()
    )
    if ACTS not in found:
        return None
    acts, said, events, members = (int(found.get(name, 0)) for name in LOGS)
    return acts, said, events, members


def ends(conn: Connection) -> Positions:
    """The last number in each log."""
    tables = ("interactions", "talk", "events", "members")
    acts, said, events, members = (
        int(conn.execute(f"select coalesce(max(id), 0) from {table}").fetchone()[0])
        for table in tables
    )
    return acts, said, events, members


COLUMNS = ", ".join(Row._fields)
"""The columns of a Row, for a select."""


def rows_for(conn: Connection, members: Collection[int]) -> Iterator[Row]:
    """The rows of these members; a row may come twice."""
    sql = f"select {COLUMNS} from member_features where member_id in ({{rows}})"
    return (Row._make(row) for row in statements.ask(conn, sql, members))


def state_counts(conn: Connection) -> dict[str, int]:
    """How many members are in which state."""
    return dict(conn.execute("select state, count(*) from member_features group by state"))


# Writing


class Features:
    """The tables `member_features` and `state_days`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def positions(self) -> Positions | None:
        """See `positions`."""
        return await self._db.read(positions)

    async def ends(self) -> Positions:
        """See `ends`."""
        return await self._db.read(ends)

    async def of(self, member_id: int) -> Row | None:
        """A member's row; None for none."""
        return await self._db.read(lambda conn: next(rows_for(conn, [member_id]), None))

    async def put(
        self,
        rows: Sequence[Row],
        was: Mapping[int, float],
        since: Positions | None,
        until: Positions,
        now: float,
        *,
        opt_in: bool,
    ) -> bool:
        """Write rows and how far they reach; False when anything has changed since they were read.

        was: member -> when their row was updated, for those who had one. since: the positions
        that were read from, None when there were none. Then nothing is written: read again.
        """

        def run(conn: Connection) -> bool:
            if positions(conn) != since or not _unchanged(conn, rows, was, opt_in=opt_in):
                return False
            _write(conn, rows)
            _reach(conn, until, now)
            return True

        return await self._db.write(run)

    async def make(self, rows: Sequence[Row], *, opt_in: bool) -> set[int]:
        """Write rows that replace what there was; says of whom it did not: who is gone or
        withheld meanwhile.

        Before the first positions, and for rows that were dropped.
        """

        def run(conn: Connection) -> set[int]:
            members = [row.member_id for row in rows]
            there = _there(conn, members, opt_in=opt_in)
            _write(conn, [row for row in rows if row.member_id in there])
            return set(members) - there

        return await self._db.write(run)

    async def reach(self, until: Positions, now: float) -> None:
        """The rows are made of everything up to there."""
        await self._db.write(lambda conn: _reach(conn, until, now))

    async def drop(self, members: Collection[int]) -> int:
        """Remove their rows, and those of the members they were merged into; says how many.

        What is missing is made anew in the night: see `wrong`.
        """

        def run(conn: Connection) -> int:
            names = [f"member:{member_id}" for member_id in members]
            sql = "select member_id from aliases where name in ({rows}) and member_id is not null"
            heirs = {row[0] for row in statements.ask(conn, sql, names)}
            return sum(drop_of(conn, member_id) for member_id in {*members, *heirs})

        return await self._db.write(run)

    async def judge(self, judged: Sequence[Judged]) -> int:
        """Write conclusions; says of how many: rows that changed meanwhile keep theirs."""

        def run(conn: Connection) -> int:
            done = conn.executemany(
                "update member_features set recency = ?, frequency = ?, monetary = ?, state = ?, "
                "state_since = ?, churn = ?, reasons = ?, action = ? "
                "where member_id = ? and updated_at = ?",
                [(*one[1:-1], one.member_id, one.updated_at) for one in judged],
            )
            return done.rowcount

        return await self._db.write(run)

    async def count_states(self, day: str) -> dict[str, int]:
        """Keep how many are in which state at the end of a day (ISO); says it."""

        def run(conn: Connection) -> dict[str, int]:
            counts = state_counts(conn)
            conn.execute("delete from state_days where day = ?", (day,))
            conn.executemany(
                "insert into state_days (day, state, members) values (?, ?, ?)",
                [(day, state, members) for state, members in counts.items() if state],
            )
            return counts

        return await self._db.write(run)


_UPSERT = (
    f"insert into member_features ({COLUMNS}) values ({', '.join('?' * len(Row._fields))}) "
    "on conflict (member_id) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in Row._fields[1:])
)


def _write(conn: Connection, rows: Iterable[Row]) -> None:
    conn.executemany(_UPSERT, rows)


def _reach(conn: Connection, until: Positions, now: float) -> None:
    conn.executemany(
        "insert into cursors (name, position, at) values (?, ?, ?) on conflict (name) "
        "do update set position = excluded.position, at = excluded.at",
        [(name, position, now) for name, position in zip(LOGS, until, strict=True)],
    )


def _there(conn: Connection, members: Sequence[int], *, opt_in: bool) -> set[int]:
    """Those of them who are still there, and may be profiled."""
    sql = "select id from members where id in ({rows})"
    return {row[0] for row in statements.ask(conn, sql, members)} - _held(conn, members, opt_in)


def _held(conn: Connection, members: Sequence[int], opt_in: bool) -> set[int]:
    sql = (
        "select member_id from consents where purpose = 'profiling' and granted = {g} "
        "and member_id in ({rows})"
    ).replace("{g}", "1" if opt_in else "0")
    said = {row[0] for row in statements.ask(conn, sql, members)}
    return set(members) - said if opt_in else said


def _unchanged(
    conn: Connection, rows: Sequence[Row], was: Mapping[int, float], *, opt_in: bool
) -> bool:
    members = [row.member_id for row in rows]
    if len(_there(conn, members, opt_in=opt_in)) != len(members):
        return False
    sql = "select member_id, updated_at from member_features where member_id in ({rows})"
    return dict(statements.ask(conn, sql, members)) == was


# For `store/personal.py`


def drop_of(conn: Connection, member_id: int) -> int:
    """Remove what is known of a member's behaviour; says how many rows."""
    sql = "delete from member_features where member_id = ?"
    return conn.execute(sql, (member_id,)).rowcount


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """All that is concluded of them."""
    return {
        "member_features": rows_of(
            conn, f"select {COLUMNS} from member_features where member_id = ?", member_id
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Nobody is left to have behaved."""
    return {"member_features": drop_of(conn, member_id)}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """What both did, one did. The sums are made here; what follows from them is concluded anew in
    the next round, which looks for rows without a state."""
    rows = {row.member_id: row for row in rows_for(conn, (keep, drop))}
    drop_of(conn, drop)
    if (other := rows.get(drop)) is None:
        return
    if (one := rows.get(keep)) is None:
        _write(conn, [other._replace(member_id=keep, state="", updated_at=-other.updated_at)])
        return
    late, early = sorted((one, other), key=lambda row: row.last_day, reverse=True)
    _write(
        conn,
        [
            late._replace(
                member_id=keep,
                first_at=min(one.first_at, other.first_at),
                last_at=max(one.last_at, other.last_at),
                acts=one.acts + other.acts,
                questions=one.questions + other.questions,
                spent_cents=one.spent_cents + other.spent_cents,
                orders=one.orders + other.orders,
                progress=max(one.progress, other.progress),
                data=_joined(late, early),
                state="",
                # Whoever works on one of the two sees that it is another row now.
                updated_at=-max(one.updated_at, other.updated_at),
            )
        ],
    )


def _joined(late: Row, early: Row) -> str:
    """The data of two rows in one: sums, and the days of both as of the later."""
    data, other = json.loads(late.data), json.loads(early.data)
    data["hours"] = [a + b for a, b in zip(data["hours"], other["hours"], strict=True)]
    for counts in ("channels", "topics"):
        for name, count in other[counts].items():
            data[counts][name] = data[counts].get(name, 0) + count
    between = (date.fromisoformat(late.last_day) - date.fromisoformat(early.last_day)).days
    # A row without acts has no days, and its last day is none.
    data["days"] = f"{int(data['days'], 16) | int(other['days'], 16) << between:x}"
    data["replies"] = sorted([*data["replies"], *other["replies"]])
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
