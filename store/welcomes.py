"""Newcomers of groups: who waits to be welcomed, and the one post that welcomes them together.

The post is planned and its newcomers are marked in one transaction: a kill between the two would
greet them twice, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from store.db import Database
from store.dialect import Connection
from store.posts import NewPost, Posts

KIND = "welcome"
"""What posts that welcome are called in `posts`."""


class Newcomer(NamedTuple):
    """Somebody to be welcomed.

    name: what they are called there, else the name they chose; "" for none, and of who does not
    want to be recorded. external_id: who they are on the group's own channel, "" likewise.
    """

    member_id: int
    name: str
    external_id: str


class Arrivals(NamedTuple):
    """How many wait in one group, and when the first and the last of them came."""

    place: str
    number: int
    first_at: float
    last_at: float


Make = Callable[[Sequence[Newcomer], int], NewPost]
"""(some of them, those with a name first; how many there are) -> what is to be posted."""

_JOINED = "from group_members as m join groups as g on g.place = m.place"
_WAITS = (
    "m.welcomed_at is null and m.left_at is null and m.since >= g.bound_at and g.left_at is null "
    # Who began with an advert is warned, and not welcomed by name a minute later.
    "and not exists (select 1 from order_cases as c where c.member_id = m.member_id "
    "and c.place = m.place and c.severity > 1 and c.verdict <> 'false_alarm')"
)
_WAITING = f"{_JOINED} where {_WAITS}"
_WHO = (
    # Of the few that are told of, and not of all that wait: who they are on the group's channel.
    # The index by member is the right one; the planner would read the whole channel.
    "select w.member_id, w.called, case when w.hidden = 1 then '' else coalesce("
    "(select min(i.external_id) from identities as i where i.member_id = w.member_id "
    "and coalesce(i.channel, '') = w.channel), '') end from ("
    "select m.member_id, m.since, g.channel, case when u.member_id is null then 0 else 1 end "
    "as hidden, case when u.member_id is not null then '' when m.name <> '' then m.name "
    f"else coalesce(n.value, '') end as called {_JOINED} "
    "left join member_settings as u on u.member_id = m.member_id and u.name = 'unrecorded' "
    "left join member_settings as n on n.member_id = m.member_id and n.name = 'name' "
    f"where {_WAITS} and m.place = ?) as w "
    "order by case when w.called = '' then 1 else 0 end, w.since, w.member_id limit ?"
)


class Welcomes:
    """Reads and marks newcomers in `group_members`. Errors of all: StoreError."""

    def __init__(self, db: Database, posts: Posts) -> None:
        self._db = db
        self._posts = posts

    async def waiting(self) -> list[Arrivals]:
        """The bound groups in which newcomers wait, who waits longest first."""

        def run(conn: Connection) -> list[Arrivals]:
            rows = conn.execute(
                f"select m.place, count(*), min(m.since), max(m.since) {_WAITING} "
                "group by m.place order by min(m.since), m.place"
            )
            return [Arrivals(*row) for row in rows]

        return await self._db.read(run)

    async def plan(self, place: str, make: Make, now: float, *, gap_s: float, named: int) -> int:
        """Welcome all who wait in a group, in one post; says how many, 0 for nothing done.

        Nothing is done within gap_s of the welcome before, and where nobody waits any more.
        named: how many of them `make` is told of.
        """

        def run(conn: Connection) -> int:
            last = conn.execute(
                "select max(created_at) from posts where place = ? and kind = ?", (place, KIND)
            ).fetchone()[0]
            # A post from the future was made by a clock that has been set back since.
            if last is not None and last <= now < last + gap_s:
                return 0
            some = [Newcomer(*row) for row in conn.execute(_WHO, (place, named))]
            if not some:
                return 0
            count = int(
                conn.execute(f"select count(*) {_WAITING} and m.place = ?", (place,)).fetchone()[0]
            )
            self._posts.plan_in(conn, make(some, count), now)
            conn.execute(
                "update group_members set welcomed_at = ? where place = ? and left_at is null "
                "and welcomed_at is null",
                (now, place),
            )
            return count

        return await self._db.write(run)

    async def pass_over(self, place: str, before: float, now: float) -> int:
        """Who came to a group before that is not welcomed any more; says how many."""

        def run(conn: Connection) -> int:
            done = conn.execute(
                "update group_members set welcomed_at = ? where place = ? and since < ? "
                "and left_at is null and welcomed_at is null",
                (now, place, before),
            )
            return done.rowcount

        return await self._db.write(run)
