"""Honours (社区荣誉): what a member has done, counted, and the badges given for it.

The rules stand in the configuration and come in as arguments. A badge is given once and
never taken back; what was counted may go down again, the badge stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from store.dialect import Connection
from store.statements import rows_of


class BadgeRule(Protocol):
    """A badge as the configuration has it: `handlers.rewards.Badge` is one."""

    @property
    def name(self) -> str: ...
    @property
    def fact(self) -> str: ...
    @property
    def at_least(self) -> int: ...


_FACTS: Mapping[str, str] = MappingProxyType(
    {
        "streak": "select coalesce(max(streak), 0) from checkins where member_id = ?",
        "days": "select count(*) from checkins where member_id = ?",
        "earned": "select coalesce(max(earned), 0) from point_accounts where member_id = ?",
        "referrals": "select count(*) from referrals where inviter_id = ? and status = 'credited'",
        "quizzes": "select count(*) from quiz_attempts where member_id = ? "
        "and finished_at is not null",
        "wins": "select count(*) from quiz_attempts where member_id = ? and rank = 1",
        "useful": "select count(*) from point_postings as p join point_transfers as t "
        "on t.id = p.transfer_id where p.member_id = ? and t.reason = 'useful'",
        "purchases": "select count(*) from events where member_id = ? and kind = 'purchase'",
    }
)
"""Fact -> the question about one member. Days made up count; refunded orders do, too."""


def facts(
    conn: Connection, member_id: int, names: Collection[str] = _FACTS.keys()
) -> dict[str, int]:
    """What a member has done, by the names that badges know. Errors: KeyError."""
    return {name: int(conn.execute(_FACTS[name], (member_id,)).fetchone()[0]) for name in names}


def honour(conn: Connection, member_id: int, badges: Sequence[BadgeRule], now: float) -> list[str]:
    """Give the badges that the member has reached; says which were given at `now`.

    Call it again with the same `now` after a crash: it names the same ones.
    """
    have = dict(badges_of(conn, member_id))
    open_ones = [one for one in badges if one.name not in have]
    known = facts(conn, member_id, {one.fact for one in open_ones})
    reached = [one.name for one in open_ones if known[one.fact] >= one.at_least]
    for name in reached:
        conn.execute(
            "insert into badges (member_id, badge, at) select id, ?, ? from members where id = ? "
            "on conflict (member_id, badge) do nothing",
            (name, now, member_id),
        )
    return [one.name for one in badges if one.name in reached or have.get(one.name) == now]


def badges_of(conn: Connection, member_id: int) -> list[tuple[str, float]]:
    """A member's badges and when they were given, oldest first."""
    return conn.execute(
        "select badge, at from badges where member_id = ? order by at, badge", (member_id,)
    ).fetchall()


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """A member's badges."""
    sql = "select badge, at from badges where member_id = ? order by at, badge"
    return {"badges": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Without the member there is nobody to honour."""
    deleted = conn.execute("delete from badges where member_id = ?", (member_id,))
    return {"badges": deleted.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Each badge once."""
    conn.execute(
        "insert into badges (member_id, badge, at) select ?, badge, at from badges "
        "where member_id = ? on conflict (member_id, badge) do nothing",
        (keep, drop),
    )
    conn.execute("delete from badges where member_id = ?", (drop,))
