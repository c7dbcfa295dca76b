"""Rankings: who earned most in some days. Members may leave them, and choose their name there.

Points count that were earned, less what was taken back; what an operator gave and what was
spent do not. What a member owes is taken back already.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from store.dialect import Connection

EVER = "9999"
"""A last day that has not come for anybody."""

_NAME = "name"
_HIDDEN = "unlisted"


@dataclass(frozen=True, slots=True)
class Place:
    """A member's place, 1 for the first; who earned as much shares it.

    name: as the member chose it, "" for none; whoever shows it to others shortens it.
    """

    rank: int
    member_id: int
    name: str
    points: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """rows: the best first. mine: the member's own place, None when nothing was earned.

    listed: whether the member is among those that others see.
    """

    rows: tuple[Place, ...] = ()
    mine: Place | None = None
    listed: bool = True


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """A member's place in their group. points: earned there; days: checked in there; streak: days
    in a row up to now, wherever. name: what the group calls them, else the one they chose."""

    rank: int
    member_id: int
    name: str
    points: int
    days: int
    streak: int


_IN_GROUP = """
    select g.member_id, coalesce(nullif(g.name, ''), n.value, ''),
        coalesce(p.points, 0) as points, coalesce(c.days, 0) as days,
        coalesce((select k.streak from checkins as k where k.member_id = g.member_id
            and k.day in (?, ?) order by k.day desc limit 1), 0) as streak
    from group_members as g
    left join (select p.member_id, sum(p.amount) as points from point_transfers as t
        join point_postings as p on p.transfer_id = t.id
        where t.day between ? and ? and t.place = ? and p.account = 'member'
        and t.reason in ({reasons}) group by p.member_id) as p on p.member_id = g.member_id
    left join (select member_id, count(*) as days from checkins
        where day between ? and ? and place = ? group by member_id) as c
        on c.member_id = g.member_id
    left join member_settings as h on h.member_id = g.member_id and h.name = 'unlisted'
    left join member_settings as n on n.member_id = g.member_id and n.name = 'name'
    where g.place = ? and g.left_at is null and h.member_id is null
        and (p.points > 0 or c.days > 0)
    order by points desc, streak desc, days desc, g.member_id limit ?
"""


def group_ranking(
    conn: Connection,
    place: str,
    days: tuple[str, str],
    today: tuple[str, str],
    limit: int,
    reasons: Collection[str],
) -> list[GroupPlace]:
    """Who earned most in a group, of those who are in it and do not hide; [] for nobody.

    days: the first and the last one that count; today: it and the day before, for the streaks.
    """
    rows = conn.execute(
        _IN_GROUP.replace("{reasons}", ", ".join("?" * len(reasons))),
        (*today, *days, place, *reasons, *days, place, place, limit),
    )
    found: list[GroupPlace] = []
    for number, (member_id, name, points, checked_in, streak) in enumerate(rows, 1):
        same = found and (found[-1].points, found[-1].streak) == (points, streak)
        rank = found[-1].rank if same else number
        found.append(GroupPlace(rank, member_id, name, points, checked_in, streak))
    return found


def ranking(
    conn: Connection,
    since_day: str,
    until_day: str,
    place: str,
    limit: int,
    for_member: int,
    reasons: Collection[str],
) -> Ranking:
    """Who earned most on these days (Shanghai), both included.

    reasons: those that count. place: the group it was earned in, "" for everywhere. Of equal
    members the older one stands first. Who does not want to be listed is no row, and nobody's
    place counts them; their own is the one they would have.
    """
    if (since_day, until_day, place) == ("", EVER, ""):
        sums = _ever(conn)
    else:
        sums = _between(conn, since_day, until_day, place, reasons)
    hidden, names = _chosen(conn, _HIDDEN), _chosen(conn, _NAME)
    listed = [(member_id, points) for member_id, points in sums if member_id not in hidden]
    rows: list[Place] = []
    for number, (member_id, points) in enumerate(listed[:limit], 1):
        rank = rows[-1].rank if rows and rows[-1].points == points else number
        rows.append(Place(rank, member_id, names.get(member_id, ""), points))
    own = next((points for member_id, points in sums if member_id == for_member), None)
    mine = None
    if own is not None:
        rank = 1 + sum(points > own for _, points in listed)
        mine = Place(rank, for_member, names.get(for_member, ""), own)
    return Ranking(tuple(rows), mine, for_member not in hidden)


def _between(
    conn: Connection, since_day: str, until_day: str, place: str, reasons: Collection[str]
) -> list[tuple[int, int]]:
    """(member, points), the best first."""
    return conn.execute(
        "select s.member_id, s.points - a.owed as points from (select p.member_id, "
        "sum(p.amount) as points "
        "from point_transfers as t join point_postings as p on p.transfer_id = t.id "
        "where t.day between ? and ? and (? = '' or t.place = ?) and p.account = 'member' "
        f"and t.reason in ({', '.join('?' * len(reasons))}) "
        "group by p.member_id having sum(p.amount) > 0) as s join point_accounts as a "
        "on a.member_id = s.member_id where s.points > a.owed "
        "order by s.points - a.owed desc, s.member_id",
        (since_day, until_day, place, place, *reasons),
    ).fetchall()


def _ever(conn: Connection) -> list[tuple[int, int]]:
    """The same of all days: what accounts say was earned, without what operators gave.

    Adding up a million changes took 4 s, looking for the operators' among them half a second.
    """
    return conn.execute(
        "select a.member_id, a.earned - coalesce(g.points, 0) as points "
        "from point_accounts as a left join (select p.member_id, sum(p.amount) as points "
        "from point_transfers as t join point_postings as p on p.transfer_id = t.id "
        "where t.reason = 'operator' and p.account = 'member' and p.amount > 0 "
        "group by p.member_id) as g on g.member_id = a.member_id "
        "where a.earned - coalesce(g.points, 0) > 0 order by points desc, a.member_id"
    ).fetchall()


def _chosen(conn: Connection, name: str) -> dict[int, str]:
    """What members chose, of those who chose something."""
    rows = conn.execute("select member_id, value from member_settings where name = ?", (name,))
    return dict(rows.fetchall())


def list_member(conn: Connection, member_id: int, listed: bool) -> None:
    """Whether others see this member."""
    _choose(conn, member_id, _HIDDEN, "" if listed else "1")


def call(conn: Connection, member_id: int, name: str) -> None:
    """What rankings call this member; "" for their number."""
    _choose(conn, member_id, _NAME, name)


def _choose(conn: Connection, member_id: int, name: str, value: str) -> None:
    if not value:
        conn.execute(
            "delete from member_settings where member_id = ? and name = ?", (member_id, name)
        )
        return
    conn.execute(
        "insert into member_settings (member_id, name, value) select id, ?, ? from members "
        "where id = ? on conflict (member_id, name) do update set value = excluded.value",
        (name, value, member_id),
    )
