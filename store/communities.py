"""Communities, who is of them, and what jobs found of members: leaders and bridges.

Reads for jobs take a connection of their own (`store/insight_reads.py`). What a night concludes of
a scope is written in three steps, each of which can be done again: communities begin and end, then
members change in slices, then those that began are confirmed. After a crash the next night finds
members half way between two communities, matches what it finds with what it sees, and takes what
began and has nobody for never begun.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from store.consents import PROFILING
from store.db import Database
from store.dialect import Connection
from store.edges import decayed
from store.statements import ask, rows_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEADER, BRIDGE = "leader", "bridge"
EVERYWHERE = ""
"""The scope of all groups together; every other scope is a place."""

_SLICE = 2000
_BLOCK = 50_000


class Pairs(NamedTuple):
    """Who turns to whom, as columns: numbers of members and weights as of a moment."""

    from_id: NDArray[np.int64]
    to_id: NDArray[np.int64]
    weight: NDArray[np.float64]


class Place(NamedTuple):
    """A bound group. title: what people call it."""

    place: str
    title: str


class Kept(NamedTuple):
    """A community as it stands. members: of the table, also when a crash left it half way.

    confirmed: False when it began in a night that did not end.
    """

    id: int
    name: str
    topics: str
    born_at: float
    members: frozenset[int]
    confirmed: bool


class Said(NamedTuple):
    """A turn in a group, as who answers whom is read out of it. reply_to: the turn it quotes.

    to_bot: it was said to the bot.
    """

    id: int
    member_id: int
    at: float
    text: str
    reply_to: int | None
    to_bot: bool


class Here(NamedTuple):
    """Somebody who is or was in a group. came: they came while we were there."""

    member_id: int
    since: float
    left_at: float | None
    came: bool


class Born(NamedTuple):
    """A community that begins. origin: "born", "split" or "merged"; parents: what it came from."""

    name: str
    topics: str
    origin: str
    parents: tuple[int, ...]
    members: frozenset[int]


class Lasting(NamedTuple):
    """A community that goes on."""

    id: int
    name: str
    topics: str
    members: frozenset[int]


class Ended(NamedTuple):
    """A community that is none any more. ending: "faded", "merged" or "split"."""

    id: int
    ending: str


class Finding(NamedTuple):
    """A member that stands out. data: JSON of what it stands on."""

    member_id: int
    rank: int
    value: float
    low: float
    high: float
    data: str = ""


class Found(NamedTuple):
    """A finding as it is kept. scope: a place, EVERYWHERE for all."""

    name: str
    scope: str
    finding: Finding
    made_at: float


class Community(NamedTuple):
    """A community that there is."""

    id: int
    scope: str
    name: str
    topics: str
    born_at: float
    origin: str
    parents: str
    size: int
    seen_at: float


# For jobs


def places(conn: Connection) -> list[Place]:
    """The bound groups, by name of their place."""
    rows = conn.execute(
        "select place, alias, name, id from groups where bound_at is not null "
        "and left_at is null order by place"
    )
    return [Place(row[0], row[1] or row[2] or f"#{row[3]}") for row in rows]


def pairs(
    conn: Connection,
    scope: str,
    now: float,
    half_life_s: float,
    without: Collection[int] = frozenset(),
) -> Pairs:
    """Who turns to whom in a place, or in all bound ones, as of now; without these members."""
    # Here, because every command of the terminal imports this room.
    import numpy as np

    sql = "select from_id, to_id, weight, at from edges where "
    if scope == EVERYWHERE:
        sql += "place in (select place from groups where bound_at is not null and left_at is null)"
        cursor = conn.execute(sql)
    else:
        cursor = conn.execute(sql + "place = ?", (scope,))
    blocks: list[tuple[NDArray[Any], ...]] = []
    while rows := cursor.fetchmany(_BLOCK):
        block = [
            (one, other, decayed(weight, now - at, half_life_s))
            for one, other, weight, at in rows
            if one not in without and other not in without
        ]
        if block:
            one, other, weight = zip(*block, strict=True)
            blocks.append(
                (np.array(one, np.int64), np.array(other, np.int64), np.array(weight, np.float64))
            )
    if not blocks:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Pairs(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def standing(conn: Connection, scope: str) -> list[Kept]:
    """The communities of a scope that did not end, by number."""
    members: defaultdict[int, set[int]] = defaultdict(set)
    for number, member_id in conn.execute(
        "select community_id, member_id from community_members where scope = ?", (scope,)
    ):
        members[number].add(member_id)
    rows = conn.execute(
        "select id, name, topics, born_at, seen_at from communities "
        "where scope = ? and ended_at is null order by id",
        (scope,),
    )
    return [
        Kept(number, name, topics, born_at, frozenset(members[number]), seen_at > 0)
        for number, name, topics, born_at, seen_at in rows
    ]


def said(conn: Connection, place: str, since: float, until: float) -> Iterator[Said]:
    """What was said in a place from `since` on and before `until`, in order; nothing hidden."""
    rows = conn.execute(
        "select id, member_id, at, text, reply_to, addressed <> 0 from talk where place = ? "
        "and at >= ? and at < ? and hidden = 0 and member_id is not null order by at, id",
        (place, since, until),
    )
    yield from map(Said._make, rows)


def bot_answers(conn: Connection, place: str, since: float, until: float) -> dict[int, list[float]]:
    """When the bot answered whom in a place, in the order of time."""
    found: defaultdict[int, list[float]] = defaultdict(list)
    for member_id, at in conn.execute(
        "select member_id, at from interactions where place = ? and place <> '' and at >= ? "
        "and at < ? and handler not in ('none', '') and handler not like 'signup%' "
        "and handler not like 'quiz%' order by at",
        (place, since, until),
    ):
        found[member_id].append(at)
    return dict(found)


def oldest(conn: Connection, place: str) -> float | None:
    """When the oldest turn that is kept of a place was said; None when there is none."""
    row = conn.execute("select min(at) from talk where place = ?", (place,)).fetchone()
    return None if row[0] is None else float(row[0])


def here(conn: Connection, place: str) -> list[Here]:
    """Everybody who is or was in a group, by number."""
    rows = conn.execute(
        "select member_id, since, left_at, welcomed_at is null or welcomed_at > since "
        "from group_members where place = ? order by member_id",
        (place,),
    )
    return [Here(member_id, since, left_at, bool(came)) for member_id, since, left_at, came in rows]


def terms_of(conn: Connection, scope: str, since: float, until: float) -> Iterator[tuple[int, str]]:
    """Of each message that was read: who said it in a group of this scope, and its terms."""
    sql = "select member_id, terms from readings where terms <> '' and at >= ? and at < ? "
    if scope == EVERYWHERE:
        yield from conn.execute(sql + "and source = 't'", (since, until))
    else:
        yield from conn.execute(sql + "and place = ?", (since, until, scope))


class Communities:
    """The tables `communities`, `community_members` and `member_findings`. Errors: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def standing(self, scope: str) -> list[Community]:
        """The communities of a scope that there are, the largest first."""

        def run(conn: Connection) -> list[Community]:
            rows = conn.execute(
                "select id, scope, name, topics, born_at, origin, parents, size, seen_at "
                "from communities where scope = ? and ended_at is null and seen_at > 0 "
                "order by size desc, id",
                (scope,),
            )
            return [Community(*row) for row in rows]

        return await self._db.read(run)

    async def members(self, community_id: int) -> list[int]:
        """Who is of a community, by number; [] for an unknown one."""

        def run(conn: Connection) -> list[int]:
            rows = conn.execute(
                "select member_id from community_members where community_id = ? order by 1",
                (community_id,),
            )
            return [row[0] for row in rows]

        return await self._db.read(run)

    async def found(self, name: str, scope: str) -> list[Found]:
        """Who stands out in a scope, the first first; [] for nobody."""

        def run(conn: Connection) -> list[Found]:
            rows = conn.execute(
                "select name, scope, member_id, rank, value, low, high, data, made_at "
                "from member_findings where name = ? and scope = ? order by rank",
                (name, scope),
            )
            return [Found(row[0], row[1], Finding(*row[2:8]), row[8]) for row in rows]

        return await self._db.read(run)

    async def keep(
        self,
        scope: str,
        lasting: Sequence[Lasting],
        born: Sequence[Born],
        ended: Sequence[Ended],
        now: float,
        *,
        opt_in: bool = False,
    ) -> int:
        """Write what a night concluded of a scope; how many members changed their community.

        Who was forgotten, or refused, since it was concluded is left out.
        """
        numbers = await self._db.write(lambda conn: _begin(conn, scope, born, ended, now))
        wanted = {member: one.id for one in lasting for member in one.members} | {
            member: number
            for number, one in zip(numbers, born, strict=True)
            for member in one.members
        }
        had = await self._db.read(
            lambda conn: dict(
                conn.execute(
                    "select member_id, community_id from community_members where scope = ?",
                    (scope,),
                ).fetchall()
            ),
            long=True,
        )
        changed = [
            (member, number) for member, number in wanted.items() if had.get(member) != number
        ]
        for at in range(0, len(changed), _SLICE):
            piece = changed[at : at + _SLICE]
            await self._db.write(partial(_move, scope=scope, rows=piece, now=now, opt_in=opt_in))
        gone = sorted(set(had) - set(wanted))
        for at in range(0, len(gone), _SLICE):
            leaving = gone[at : at + _SLICE]
            await self._db.write(partial(_leave, scope=scope, members=leaving))
        names = {one.id: (one.name, one.topics) for one in lasting} | dict.fromkeys(numbers)
        await self._db.write(lambda conn: _confirm(conn, scope, names, now))
        return len(changed) + len(gone)

    async def put_findings(
        self, name: str, scope: str, rows: Sequence[Finding], now: float, *, opt_in: bool = False
    ) -> None:
        """Replace who stands out in a scope. Who refused or was forgotten meanwhile is left out."""

        def run(conn: Connection) -> None:
            conn.execute("delete from member_findings where name = ? and scope = ?", (name, scope))
            conn.executemany(
                "insert into member_findings (name, scope, member_id, rank, value, low, high, "
                "data, made_at) select ?, ?, id, ?, ?, ?, ?, ?, ? from members where id = ? "
                f"and {_allowed('members.id', opt_in)}",
                [
                    (
                        *(name, scope, one.rank, one.value, one.low, one.high, one.data, now),
                        one.member_id,
                    )
                    for one in rows
                ],
            )

        await self._db.write(run)


def _allowed(column: str, opt_in: bool) -> str:
    """The condition that they may be profiled: asked where it is written, against a race."""
    if opt_in:
        return (
            f"{column} in (select member_id from consents "
            f"where purpose = '{PROFILING}' and granted = 1)"
        )
    return (
        f"{column} not in (select member_id from consents "
        f"where purpose = '{PROFILING}' and granted = 0)"
    )


def _begin(
    conn: Connection, scope: str, born: Sequence[Born], ended: Sequence[Ended], now: float
) -> list[int]:
    """The numbers of those that begin."""
    conn.executemany(
        "update communities set ended_at = ?, ending = ? where id = ? and ended_at is null",
        [(now, one.ending, one.id) for one in ended],
    )
    # One by one: their numbers are wanted in this order.
    return [
        conn.execute(
            "insert into communities (scope, name, topics, born_at, origin, parents, size, "
            "seen_at) values (?, ?, ?, ?, ?, ?, ?, 0) returning id",
            (
                *(scope, one.name, one.topics, now, one.origin),
                *(",".join(map(str, one.parents)), len(one.members)),
            ),
        ).fetchone()[0]
        for one in born
    ]


def _move(
    conn: Connection, scope: str, rows: Sequence[tuple[int, int]], now: float, opt_in: bool
) -> None:
    conn.executemany(
        "insert into community_members (scope, member_id, community_id, since) "
        f"select ?, id, ?, ? from members where id = ? and {_allowed('members.id', opt_in)} "
        "on conflict (scope, member_id) do update set community_id = excluded.community_id, "
        "since = excluded.since",
        [(scope, number, now, member) for member, number in rows],
    )


def _leave(conn: Connection, scope: str, members: Sequence[int]) -> None:
    conn.executemany(
        "delete from community_members where scope = ? and member_id = ?",
        [(scope, member) for member in members],
    )


def _confirm(
    conn: Connection, scope: str, names: Mapping[int, tuple[str, str] | None], now: float
) -> None:
    sizes: dict[int, int] = dict(
        conn.execute(
            "select community_id, count(*) from community_members where scope = ? group by 1",
            (scope,),
        ).fetchall()
    )
    for number, name in names.items():
        conn.execute(
            "update communities set seen_at = ?, size = ? where id = ?",
            (now, sizes.get(number, 0), number),
        )
        if name is not None:
            conn.execute(
                "update communities set name = ?, topics = ? where id = ?", (*name, number)
            )
    # Begun in a night that did not end, and nobody's now.
    conn.execute(
        "delete from communities where scope = ? and seen_at = 0 and id not in "
        "(select community_id from community_members where scope = ?)",
        (scope, scope),
    )


def allowed(conn: Connection, members: Collection[int], *, opt_in: bool) -> set[int]:
    """Those of them who are still there and may be profiled."""
    sql = f"select id from members where id in ({{rows}}) and {_allowed('members.id', opt_in)}"
    return {row[0] for row in ask(conn, sql, sorted(members))}


def of_members(conn: Connection, name: str, members: Collection[int]) -> dict[int, set[str]]:
    """In which scopes these members stand out as this; nobody who does not."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for member_id, one, scope in ask(
        conn,
        "select member_id, name, scope from member_findings where member_id in ({rows})",
        sorted(set(members)),
    ):
        if one == name:
            found[member_id].add(scope)
    return dict(found)


# For `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """Which communities they are of, and as what they stand out."""
    return {
        "community_members": rows_of(
            conn,
            "select m.scope, c.name, m.since from community_members as m "
            "join communities as c on c.id = m.community_id where m.member_id = ? order by m.scope",
            member_id,
        ),
        "member_findings": rows_of(
            conn,
            "select name, scope, rank, value, low, high, data, made_at from member_findings "
            "where member_id = ? order by name, scope",
            member_id,
        ),
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """They are of no community any more; how large it was stays."""
    return {
        table: conn.execute(f"delete from {table} where member_id = ?", (member_id,)).rowcount
        for table in ("community_members", "member_findings")
    }


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Where both stand, what is said of `keep` stays; the next night sees them as one."""
    conn.execute(
        "insert into community_members (scope, member_id, community_id, since) "
        "select scope, ?, community_id, since from community_members where member_id = ? "
        "on conflict do nothing",
        (keep, drop),
    )
    conn.execute(
        "insert into member_findings (name, scope, member_id, rank, value, low, high, data, "
        "made_at) select name, scope, ?, rank, value, low, high, data, made_at "
        "from member_findings where member_id = ? on conflict do nothing",
        (keep, drop),
    )
    forget(conn, drop, 0.0)
