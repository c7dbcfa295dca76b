"""Whom a rule finds: the language of `store/rules.py`, for one member or for millions.

A rule is a condition on one row of `members` (`store/rule_sql.py`). So a page costs what it
looks at and not what the tables hold, one member costs a few microseconds, and memory stays
flat. A rule that keeps the file busy for too long is given up: nobody waits behind it for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from store import activity, dialect, mass_quota, rule_values, rules, statements
from store.db import Database
from store.dialect import Connection
from store.rule_sql import Sql, condition
from store.rule_values import Stranger
from store.rules import Audience, RuleError

PAGE = 2000
"""Persons of one page, where nobody says otherwise."""

LIMIT_S = 20.0
"""How long one read may look for whom a rule finds. Measured with 300,000 members: forty
courses bought or not take 0.3 s, 25 pairs of different kinds 9."""

_DAY_S = 86_400.0
_WEEK_DAYS = 7

_DENSE = 8
"""Up to so many ids for each one wanted, reading all between beats asking for each."""


class Person(NamedTuple):
    """Somebody a rule found, with what decides whether and how they may be written to.

    Of their identity on the channel: the newest where there are two. opted_out: they do not
    want this campaign's topic. mass_month: mass sends they will have had this month, those made
    elsewhere with them. sent_day, sent_week: messages of all campaigns on this Shanghai day, and
    on this and the six before. grants: notices of the campaign's template that they allowed.
    hour: their own best hour, 0 to 23, None when it is not known or was not asked for.

    A tuple: a frozen dataclass takes 2.3 µs longer to make, for each of a million.
    """

    member_id: int
    external_id: str
    followed: bool = True
    blocked: bool = False
    opted_out: bool = False
    allowance: int = 0
    allowance_until: float = 0.0
    mass_month: int = 0
    sent_day: int = 0
    sent_week: int = 0
    grants: int = 0
    hour: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A rule in numbers: members it finds, members there are, and some of those it finds."""

    matched: int
    members: int
    sample: tuple[int, ...]


class Audiences:
    """Rules asked of the store, for the chat and the API."""

    def __init__(self, db: Database, *, limit_s: float = LIMIT_S) -> None:
        self._db = db
        self._limit_s = limit_s

    async def look(
        self,
        rule: str,
        now: float,
        *,
        levels: Sequence[int] = (),
        tiers: Sequence[str] = (),
        sample: int = 5,
    ) -> Found:
        """How many a rule finds, and some of them from all over.

        Errors: RuleError, "too-slow" among them.
        """

        def run(conn: Connection) -> Found:
            with _limited(conn, self._limit_s):
                return read(conn)

        def read(conn: Connection) -> Found:
            where, args = _where(conn, rule, now, levels, tiers)
            matched = _number(conn, f"select count(*) from members as m where {where}", args)
            members, last = conn.execute("select count(*), max(id) from members").fetchone()
            some = _first(conn, where, args, 0, last or 0, sample)
            if matched > sample:
                # One of each stretch, which together are looked through at most once.
                ends = [last * part // sample for part in range(sample + 1)]
                spread = [
                    one
                    for low, high in pairwise(ends)
                    for one in _first(conn, where, args, low, high, 1)
                ]
                others = [one for one in some if one not in spread]
                some = sorted(spread + others[: sample - len(spread)])
            return Found(matched, int(members), tuple(some))

        return await self._db.read(run, long=True)

    async def strangers(
        self, rule: str, *, tiers: Sequence[str] = (), topics: Sequence[str] = ()
    ) -> tuple[Stranger, ...]:
        """See `rule_values.strangers`. Errors: RuleError."""
        return await self._db.read(
            lambda conn: rule_values.strangers(conn, rule, tiers=tiers, topics=topics)
        )

    async def members(self, channel: str) -> int:
        """How many members an account has met, those who left included."""

        def run(conn: Connection) -> int:
            return _number(
                conn,
                "select count(distinct member_id) from identities where channel = ?",
                (channel,),
            )

        return await self._db.read(run)


# Questions, inside a transaction


def page(
    conn: Connection,
    rule: str,
    channel: str,
    now: float,
    *,
    topic: str = "",
    month: str = "",
    after: int = 0,
    limit: int = PAGE,
    template_id: str = "",
    hours: bool = False,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
    limit_s: float = LIMIT_S,
) -> list[Person]:
    """Members that a rule finds and that the channel knows, by number, behind `after`.

    [] when there are no more; a page is full unless it is the last. month: of the mass sends,
    "2026-11", "" for the month of `now`. levels: points ever earned that reach each level,
    fewest first. tiers: of membership, lowest first. limit_s: how long to look for them, 0 for
    as long as it takes. Errors: RuleError, "too-slow" among them.
    """
    where, args = _where(conn, rule, now, levels, tiers)
    with _limited(conn, limit_s):
        found = _known(conn, where, args, channel, after, limit)
    if not found:
        return []
    ids = [row[0] for row in found]
    month = month or mass_quota.month_of(now)
    elsewhere = mass_quota.elsewhere(conn, channel, month)
    unwilling = {row[0] for row in _of(conn, _OPTED_OUT, ids, behind=(topic, topic))}
    masses = dict(_of(conn, _MASSES, ids, before=(channel, month)))
    today = _midnight(now)
    week = today - (_WEEK_DAYS - 1) * _DAY_S
    sends = {
        row[0]: (row[1], row[2]) for row in _of(conn, _SENDS, ids, before=(today,), behind=(week,))
    }
    grants = (
        dict(_of(conn, _GRANTS, ids, before=(channel,), behind=(template_id,)))
        if template_id
        else {}
    )
    best = activity.best_hours(conn, ids, now) if hours else {}
    return [
        Person(
            member_id,
            external_id,
            followed == 1,
            blocked_at is not None,
            member_id in unwilling,
            allowance,
            allowance_until,
            masses.get(member_id, 0) + elsewhere,
            *sends.get(member_id, (0, 0)),
            grants.get(member_id, 0),
            best.get(member_id),
        )
        for (
            member_id,
            external_id,
            followed,
            blocked_at,
            allowance,
            allowance_until,
            _,
        ) in found
    ]


def total(
    conn: Connection,
    rule: str,
    now: float,
    *,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
) -> int:
    """How many members a rule finds, on any channel or none. Errors: RuleError."""
    where, args = _where(conn, rule, now, levels, tiers)
    with _limited(conn, LIMIT_S):
        return _number(conn, f"select count(*) from members as m where {where}", args)


def strangers(
    conn: Connection,
    rule: str,
    channel: str,
    now: float,
    *,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
) -> int:
    """How many a rule finds whom the channel does not know. Errors: RuleError."""
    where, args = _where(conn, rule, now, levels, tiers)
    sql = (
        f"select count(*) from members as m where {where} and not exists (select 1 "
        "from identities as i where i.member_id = m.id and i.channel = ?)"
    )
    with _limited(conn, LIMIT_S):
        return _number(conn, sql, [*args, channel])


def matches(
    conn: Connection,
    rule: str,
    member_id: int,
    now: float,
    *,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
) -> bool:
    """Whether a rule finds this member; False for one there is not. Errors: RuleError."""
    where, args = _where(conn, rule, now, levels, tiers)
    row = conn.execute(
        f"select 1 from members as m where m.id = ? and {where}", (member_id, *args)
    ).fetchone()
    return row is not None


def saved(conn: Connection, audience: Audience) -> Mapping[str, str]:
    """Name -> rule of all saved segments, if this names any; {} when it does not."""
    if not rules.segments(audience):
        return {}
    return dict(conn.execute("select name, rule from segments").fetchall())


def _where(
    conn: Connection, rule: str, now: float, levels: Sequence[int], tiers: Sequence[str]
) -> Sql:
    audience = rules.parse(rule)
    return condition(audience, now, levels, tiers, saved(conn, audience))


def _known(
    conn: Connection, where: str, args: Sequence[Any], channel: str, after: int, limit: int
) -> list[tuple[Any, ...]]:
    """Members of a page, each with their newest identity on the channel."""
    # A left join, and strangers dropped below: the members stay the outer side and so come in
    # order, whatever a database thinks of the sizes.
    rows = conn.execute(
        "select m.id, i.external_id, i.followed, i.blocked_at, i.allowance, i.allowance_until, "
        "i.last_seen_at from members as m "
        "left join identities as i on i.member_id = m.id and i.channel = ? "
        f"where m.id > ? and {where} order by m.id",
        (channel, after, *args),
    )
    found: list[tuple[Any, ...]] = []
    last = None
    for row in rows:
        if row[1] is None:
            continue
        if row[0] == last:
            if (row[6], row[1]) > (found[-1][6], found[-1][1]):
                found[-1] = row
            continue
        if len(found) == limit:
            break
        found.append(row)
        last = row[0]
    rows.close()
    return found


@contextmanager
def _limited(conn: Connection, seconds: float) -> Iterator[None]:
    """Errors: RuleError, "too-slow"."""
    try:
        with dialect.limit_time(conn, seconds):
            yield
    except dialect.TooSlow as error:
        raise RuleError("too-slow", 1, "a rule that takes less time") from error


def _first(
    conn: Connection, where: str, args: Sequence[Any], after: int, to: int, limit: int
) -> list[int]:
    sql = (
        f"select m.id from members as m where m.id > ? and m.id <= ? and {where} "
        "order by m.id limit ?"
    )
    return [row[0] for row in conn.execute(sql, (after, to, *args, limit))]


def _number(conn: Connection, sql: str, args: Sequence[Any]) -> int:
    return int(conn.execute(sql, args).fetchone()[0])


# Of the persons on a page

_OPTED_OUT = (
    "select o.member_id from optouts as o where o.member_id {which} and o.topic in ('', ?) "
    "and not exists (select 1 from subscriptions as s where s.member_id = o.member_id "
    "and s.topic = ?)"
)
_MASSES = (
    "select r.member_id, r.count from mass_received as r "
    "where r.channel = ? and r.month = ? and r.member_id {which}"
)
_SENDS = (
    "select d.member_id, sum(case when d.claimed_at >= ? then 1 else 0 end), count(*) "
    "from deliveries as d where d.member_id {which} and d.claimed_at >= ? "
    "and d.status in ('sending', 'accepted', 'delivered', 'unknown') group by d.member_id"
)
_GRANTS = (
    "select g.member_id, g.count from notice_grants as g "
    "where g.channel = ? and g.member_id {which} and g.template_id = ? and g.refused = 0"
)


def _of(
    conn: Connection,
    question: str,
    ids: Sequence[int],
    *,
    before: Sequence[Any] = (),
    behind: Sequence[Any] = (),
) -> Iterator[tuple[Any, ...]]:
    """Answers about members, ids in order; also about some between them where they are dense.

    before, behind: the other parameters, on either side of {which}.
    """
    if ids[-1] - ids[0] <= _DENSE * len(ids):
        sql = question.replace("{which}", "between ? and ?")
        yield from conn.execute(sql, (*before, ids[0], ids[-1], *behind))
        return
    for piece in statements.pieces(ids):
        sql = question.replace("{which}", f"in ({', '.join('?' * len(piece))})")
        yield from conn.execute(sql, (*before, *piece, *behind))


def _midnight(now: float) -> float:
    """When the Shanghai day of `now` began."""
    shift = 8 * 3600.0
    return (now + shift) // _DAY_S * _DAY_S - shift
