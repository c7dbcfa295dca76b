"""Who is in customer groups, as WeCom's lists and events say.

Outside contacts and employees are identities on the company's channel. A list that says what is
known already costs one read and no write; what it changes is written in slices, so that no chat
message waits for a group of 500. Only of bound groups: of the others nobody is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from store import aliases, statements, used_up
from store.db import Database
from store.dialect import Connection
from store.fingerprints import print_of
from store.groups import member_gone, place_of
from store.talk import UNRECORDED

if TYPE_CHECKING:
    from store.members import Members

SLICE = 100
"""Members that one transaction writes."""

FORGOTTEN = "customer"
"""Under this word `used_up` keeps the hash of who was forgotten and may still sit in a group."""


class Person(NamedTuple):
    """Somebody in a customer group. external_id: userid of an employee, or external_userid.

    name, unionid: "" when not told. joined_at: Unix seconds, 0 when not told.
    """

    external_id: str
    name: str
    joined_at: float
    unionid: str = ""


class Changed(NamedTuple):
    """What a list changed: how many came, went, and are called otherwise."""

    came: int
    gone: int
    named: int


class Move(NamedTuple):
    """Somebody came or went, as an event says."""

    external_id: str
    came: bool
    at: float


class _Row(NamedTuple):
    member_id: int
    external_id: str | None
    name: str
    since: float
    left_at: float | None
    recorded: bool


_INSIDE = (
    "select m.member_id, i.external_id, m.name, m.since, m.left_at, "
    "case when s.name is null then 1 else 0 end "
    "from group_members as m left join identities as i "
    "on i.member_id = m.member_id and i.channel = ? "
    f"left join member_settings as s on s.member_id = m.member_id and s.name = '{UNRECORDED}' "
    "where m.place = ?"
)

_SEE = (
    "insert into group_members (place, member_id, since, name, welcomed_at) "
    "values (?, ?, ?, ?, ?) on conflict (place, member_id) do update set left_at = null, "
    "since = case when group_members.left_at is null then group_members.since "
    "when group_members.left_at > excluded.since then group_members.left_at "
    "else excluded.since end, "
    "name = case when excluded.name = '' then group_members.name else excluded.name end "
    # What happened after the list was read is newer than the list.
    "where group_members.left_at <= ? "
    "or (group_members.left_at is null and excluded.name not in ('', group_members.name))"
)


class CustomerMembers:
    """`group_members` of customer groups, and when each was read. Errors of all: StoreError."""

    def __init__(self, db: Database, members: Members) -> None:
        self._db = db
        self._members = members

    async def unread(self, channel: str, before: float, seldom: float) -> list[str]:
        """Chat ids of groups that are to be read again, the longest unread first.

        before: bound groups that were read before this, or before they were bound. seldom: the
        others, of which only name and owner are wanted.
        """

        def run(conn: Connection) -> list[str]:
            rows = conn.execute(
                "select external_id from groups where channel = ? and left_at is null and ("
                "synced_at is null or synced_at < ? or (bound_at is not null "
                "and (synced_at < ? or synced_at <= bound_at))) "
                "order by case when bound_at is null then 1 else 0 end, "
                "coalesce(synced_at, 0), id",
                (channel, seldom, before),
            )
            return [row[0] for row in rows]

        return await self._db.read(run)

    async def read(self, place: str, now: float) -> None:
        """The group was read."""
        await self._db.write(
            lambda conn: (
                conn.execute(
                    "update groups set synced_at = ? where place = ?", (now, place)
                ).rowcount
            )
        )

    async def keep(
        self, channel: str, chat_id: str, people: Iterable[Person], read_at: float
    ) -> Changed:
        """Make who is known to be in a group the same as the list.

        people: all of them. read_at: from when the list is; who came or went later stays so.
        May be broken off and done again.
        """
        place = place_of(channel, chat_id)
        listed = {one.external_id: one for one in people}
        known = await self._db.read(
            lambda conn: [
                _Row._make((*row[:5], bool(row[5])))
                for row in conn.execute(_INSIDE, (channel, place))
            ]
        )
        here = {row.external_id: row for row in known if row.external_id in listed}
        fresh = [one for one in listed.values() if _is_new(here.get(one.external_id), read_at)]
        named = [
            one
            for one in listed.values()
            if (row := here.get(one.external_id)) is not None
            and row.left_at is None
            and row.recorded
            and one.name not in ("", row.name)
        ]
        present = {row.member_id for row in here.values()}
        gone = [
            row.member_id
            for row in {row.member_id: row for row in known}.values()
            if row.left_at is None and row.since <= read_at and row.member_id not in present
        ]
        todo = [*fresh, *named]
        for at in range(0, len(todo), SLICE):
            await self._write(channel, place, todo[at : at + SLICE], read_at)
        for at in range(0, len(gone), SLICE):
            await self._leave(place, gone[at : at + SLICE], read_at)
        await self._unite(channel, [one for one in fresh if one.unionid])
        await self.read(place, read_at)
        return Changed(len(fresh), len(gone), len(named))

    async def _write(
        self, channel: str, place: str, people: Sequence[Person], read_at: float
    ) -> None:
        await self._db.write(lambda conn: _see(conn, channel, place, people, read_at))

    async def _leave(self, place: str, members: Sequence[int], at: float) -> None:
        def run(conn: Connection) -> None:
            for member_id in members:
                member_gone(conn, place, member_id, at)

        await self._db.write(run)

    async def _unite(self, channel: str, people: Sequence[Person]) -> None:
        """Who is known elsewhere by the same unionid is the same person."""
        unions = {one.external_id: one.unionid for one in people}
        alone = await self._db.read(
            lambda conn: list(
                statements.ask_pairs(
                    conn,
                    "select distinct i.external_id from (values {rows}) as v "
                    "join identities as i on i.channel = v.column1 and i.external_id = v.column2 "
                    "join members as m on m.id = i.member_id where m.unionid is null",
                    [(channel, one) for one in unions],
                )
            )
        )
        for (external_id,) in dict.fromkeys(alone):
            await self._members.unite(channel, external_id, unions[external_id])

    async def move(self, channel: str, chat_id: str, moves: Sequence[Move]) -> None:
        """Who came and who went, as events say it, in their order."""
        place = place_of(channel, chat_id)

        def run(conn: Connection) -> None:
            for one in moves:
                if one.came:
                    people = (Person(one.external_id, "", one.at),)
                    _see(conn, channel, place, people, one.at)
                    continue
                row = conn.execute(
                    "select member_id from identities where channel = ? and external_id = ?",
                    (channel, one.external_id),
                ).fetchone()
                if row is not None:
                    member_gone(conn, place, row[0], one.at)

        await self._db.write(run)

    async def dissolve(self, place: str, now: float) -> None:
        """There is no such group any more: nobody is in it."""
        await self._db.write(
            lambda conn: (
                conn.execute(
                    "update group_members set left_at = ? where place = ? and left_at is null",
                    (now, place),
                ).rowcount
            )
        )


def _is_new(row: _Row | None, read_at: float) -> bool:
    return row is None or (row.left_at is not None and row.left_at <= read_at)


def _see(
    conn: Connection, channel: str, place: str, people: Sequence[Person], read_at: float
) -> None:
    members = _meet(conn, channel, people, read_at)
    unrecorded = {
        row[0]
        for row in statements.ask(
            conn,
            f"select member_id from member_settings where name = '{UNRECORDED}' "
            "and member_id in ({rows})",
            list(members.values()),
        )
    }
    rows = []
    for one in people:
        member_id = members.get(one.external_id)
        if member_id is not None:
            name = "" if member_id in unrecorded else one.name
            # Nobody can be welcomed in such a group: newcomers are welcomed as they come.
            since = min(one.joined_at or read_at, read_at)
            rows.append((place, member_id, since, name, since, read_at))
    conn.executemany(_SEE, rows)


def _meet(
    conn: Connection, channel: str, people: Collection[Person], now: float
) -> Mapping[str, int]:
    """The members behind identities, made on first sight; not who asked to be forgotten."""
    found: dict[str, int] = dict(
        statements.ask_pairs(
            conn,
            "select i.external_id, i.member_id from (values {rows}) as v "
            "join identities as i on i.channel = v.column1 and i.external_id = v.column2",
            [(channel, one.external_id) for one in people],
        )
    )
    for one in people:
        if one.external_id in found or _is_forgotten(conn, channel, one.external_id):
            continue
        member_id = conn.execute(
            "insert into members (created_at) values (?) returning id", (now,)
        ).fetchone()[0]
        conn.execute(
            "insert into identities (channel, external_id, member_id) values (?, ?, ?)",
            (channel, one.external_id, member_id),
        )
        aliases.settle(conn, (aliases.account(channel, one.external_id),), member_id)
        used_up.meet(conn, member_id, channel, one.external_id, now)
        found[one.external_id] = member_id
    return found


# Who was forgotten


def _is_forgotten(conn: Connection, channel: str, external_id: str) -> bool:
    if conn.execute("select 1 from used_up where what = ? limit 1", (FORGOTTEN,)).fetchone():
        mark = print_of(conn, channel, external_id)
        row = conn.execute(
            "select 1 from used_up where fingerprint = ? and what = ?", (mark, FORGOTTEN)
        ).fetchone()
        return row is not None
    return False


def forget_marks(conn: Connection, member_id: int) -> None:
    """They are being forgotten: what WeCom lists again is not written down again.

    Nothing is kept of them but a keyed hash, as of what was used up (`store/used_up.py`).
    """
    rows = conn.execute(
        "select distinct i.channel, i.external_id from identities as i "
        "join groups as g on g.channel = i.channel and g.synced_at is not null "
        "where i.member_id = ?",
        (member_id,),
    ).fetchall()
    conn.executemany(
        "insert into used_up (fingerprint, what, count) values (?, ?, 1) "
        "on conflict (fingerprint, what) do nothing",
        [(print_of(conn, *row), FORGOTTEN) for row in rows],
    )
