"""What members had used up before they were forgotten, so that forgetting gives none of it anew.

Coupons of an offer, the one attempt at a quiz, today's check-in, wrong codes: kept under keyed
hashes of who they were (`store/fingerprints.py`), given to who comes back under the same
identity, and dropped when it no longer matters. So is the wish not to be recorded in groups:
being forgotten is no reason to be written down again. And so is the wish not to be profiled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from store import points, statements
from store.db import Database
from store.dialect import Connection
from store.fingerprints import print_of, union_print
from store.statements import rows_of

_DAY_S = 86_400.0
_GUESSES = "coupon"
"""Under this name `attempts` counts wrong codes; see `store/claimable.py`."""

_LOCK = f"lock:{_GUESSES}"

UNRECORDED = "unrecorded"
"""Under this name `member_settings` keeps that somebody is not to be recorded, and this table."""

PROFILING = "profiling"
"""The purpose of `consents` whose refusal is kept."""

_UNPROFILED = f"no {PROFILING}"

_Used = dict[str, tuple[int, float | None]]
"""What -> (how many, until when it matters)."""


def used(conn: Connection, member_id: int, what: str) -> int:
    """How many of something the member had used up in an earlier life; 0 for none.

    what: "offer:3", "quiz:5", "checkin:2026-11-21".
    """
    row = conn.execute(
        "select max(count) from used_up where member_id = ? and what = ?", (member_id, what)
    ).fetchone()
    return int(row[0] or 0)


def offers_of(conn: Connection, members: Collection[int]) -> Mapping[tuple[int, int], int]:
    """(offer, member) -> how many coupons of it they had used up; only where there are any."""
    question = (
        "select member_id, what, count from used_up where member_id in ({rows}) "
        "and what >= 'offer:' and what < 'offer;'"
    )
    found: dict[tuple[int, int], int] = {}
    if not _any(conn):
        return found
    for member_id, what, count in statements.ask(conn, question, members):
        pair = (int(what.partition(":")[2]), member_id)
        found[pair] = max(count, found.get(pair, 0))
    return found


def meet(conn: Connection, member_id: int, channel: str, external_id: str, now: float) -> bool:
    """Somebody new: what was used up under this identity is theirs.

    True when they once wished not to be recorded.
    """
    return _any(conn) and _give(conn, member_id, print_of(conn, channel, external_id), now)


def recognise(conn: Connection, member_id: int) -> bool:
    """Their unionid became known: so is what was used up under that. True as for `meet`."""
    if not _any(conn) or (mark := union_print(conn, member_id)) is None:
        return False
    return _give(conn, member_id, mark, None)


def record_again(conn: Connection, member_id: int) -> None:
    """They may be recorded, and nobody remembers that they once wished not to be."""
    _drop_wish(conn, member_id, UNRECORDED)


def profile_again(conn: Connection, member_id: int) -> None:
    """They may be profiled, and nobody remembers that they once wished not to be."""
    _drop_wish(conn, member_id, _UNPROFILED)


def _drop_wish(conn: Connection, member_id: int, what: str) -> None:
    if _any(conn):
        marks = _marks(conn, member_id)
        conn.executemany(
            "delete from used_up where fingerprint = ? and what = ?",
            [(mark, what) for mark in marks],
        )
        conn.execute("delete from used_up where member_id = ? and what = ?", (member_id, what))


def _marks(conn: Connection, member_id: int) -> list[bytes]:
    """The fingerprints of all that they are known by."""
    identities = conn.execute(
        "select channel, external_id from identities where member_id = ?", (member_id,)
    ).fetchall()
    marks = [print_of(conn, *one) for one in identities]
    union = union_print(conn, member_id)
    return marks if union is None else [*marks, union]


def _any(conn: Connection) -> bool:
    return conn.execute("select 1 from used_up limit 1").fetchone() is not None


def _give(conn: Connection, member_id: int, mark: bytes, now: float | None) -> bool:
    given = conn.execute(
        "update used_up set member_id = ? where fingerprint = ? returning what, count, until",
        (member_id, mark),
    ).fetchall()
    unrecorded = False
    for what, count, until in given:
        if what == UNRECORDED:
            unrecorded = True
            conn.execute(
                "insert into member_settings (member_id, name, value) values (?, ?, '1') "
                "on conflict (member_id, name) do nothing",
                (member_id, UNRECORDED),
            )
        if what == _UNPROFILED:
            # When it is a unionid that tells, nobody says when: they were met just before.
            conn.execute(
                "insert into consents (member_id, purpose, granted, at, source) "
                "select id, ?, 0, coalesce(?, created_at), 'before' from members where id = ? "
                "on conflict (member_id, purpose) do nothing",
                (PROFILING, now, member_id),
            )
        if what == _LOCK and now is not None and now < until:
            conn.execute(
                "insert into attempts (member_id, name, count, locked_until, last_key) "
                "values (?, ?, ?, ?, ?) on conflict (member_id, name) do nothing",
                (member_id, _GUESSES, abs(count), until if count < 0 else 0.0, b""),
            )
    return unrecorded


def purge(conn: Connection, now: float) -> int:
    """Drop what no longer matters; says how many rows."""
    return conn.execute(
        "delete from used_up where until <= ? "
        "or what in (select 'offer:' || cast(id as text) from offers where status = 'closed') "
        "or what in (select 'quiz:' || cast(id as text) from quizzes "
        "where status = 'cancelled' or paid_at is not null)",
        (now,),
    ).rowcount


def _own(conn: Connection, member_id: int, now: float) -> _Used:
    """What this member has used up in this life."""
    found: _Used = {
        f"offer:{offer}": (count, until)
        for offer, until, count in conn.execute(
            "select o.id, o.valid_until, count(*) from coupons as c "
            "join offers as o on o.id = c.offer_id where c.member_id = ? "
            "and o.status <> 'closed' and (o.valid_until is null or o.valid_until > ?) "
            "and not (c.status = 'revoked' and c.source = 'referral') "
            "group by o.id, o.valid_until",
            (member_id, now),
        )
    }
    for (quiz,) in conn.execute(
        "select q.id from quiz_attempts as a join quizzes as q on q.id = a.quiz_id "
        "where a.member_id = ? and q.status <> 'cancelled' and q.paid_at is null",
        (member_id,),
    ):
        found[f"quiz:{quiz}"] = (1, None)
    for (day,) in conn.execute(
        "select day from checkins where member_id = ? and day >= ?",
        (member_id, points.shanghai_day(now - _DAY_S)),
    ):
        # A message of that day may still be on its way on the next.
        found[f"checkin:{day}"] = (1, now + 2 * _DAY_S)
    for count, locked_until in conn.execute(
        "select count, locked_until from attempts where member_id = ? and name = ? "
        "and (locked_until = 0 or locked_until > ?)",
        (member_id, _GUESSES, now),
    ):
        # Below nothing: locked. A count that has not come to that is forgiven in a day.
        found[_LOCK] = (-count, locked_until) if locked_until else (count, now + _DAY_S)
    if conn.execute(
        "select 1 from member_settings where member_id = ? and name = ?", (member_id, UNRECORDED)
    ).fetchone():
        found[UNRECORDED] = (1, None)
    if conn.execute(
        "select 1 from consents where member_id = ? and purpose = ? and granted = 0",
        (member_id, PROFILING),
    ).fetchone():
        found[_UNPROFILED] = (1, None)
    return found


# What `store/personal.py` asks of every room


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What they had used up when they were last forgotten."""
    sql = "select what, count, until from used_up where member_id = ? order by what, fingerprint"
    return {"used_up": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Keep what they have used up, of this life and those before, under every identity.

    Before all other rooms, which take away what it is found in.
    """
    mine = _own(conn, member_id, now)
    before: _Used = {}
    for what, count, until in conn.execute(
        "select what, count, until from used_up where member_id = ? "
        "and (until is null or until > ?)",
        (member_id, now),
    ):
        if abs(count) > abs(before.get(what, (0, None))[0]):
            before[what] = (count, until)
    for what, (count, until) in before.items():
        if what.startswith("offer:"):
            mine[what] = (count + mine.get(what, (0, until))[0], until)
        else:
            mine.setdefault(what, (count, until))
    marks = _marks(conn, member_id) if mine else []
    released = conn.execute(
        "update used_up set member_id = null where member_id = ?", (member_id,)
    ).rowcount
    conn.executemany(
        "insert into used_up (fingerprint, what, count, until) values (?, ?, ?, ?) "
        "on conflict (fingerprint, what) do update set count = excluded.count, "
        "until = excluded.until, member_id = null",
        [(mark, what, *kept) for mark in marks for what, kept in mine.items()],
    )
    return {"used_up": released}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """What either had used up before is used up."""
    conn.execute("update used_up set member_id = ? where member_id = ?", (keep, drop))


class UsedUp:
    """The table `used_up`, for the clock."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def purge(self, now: float) -> int:
        """`purge` in a transaction of its own."""
        return await self._db.write(lambda conn: purge(conn, now))
