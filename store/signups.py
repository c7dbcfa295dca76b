"""Sign-up chains (接龙): lists that members of a group put themselves on.

A member stands on a list once; who comes back after leaving stands behind the others. Nobody is
turned away from a full list: who is behind its last place waits, and moves up when somebody
leaves. Whether a list is open in a group is in memory, for every +1 asks that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from store.db import Database
from store.dialect import Connection
from store.posts import NewPost, plan_in, post_to_json
from store.statements import rows_of

T = TypeVar("T")

MOST_OPEN = 3
"""Lists that are open in one group at a time."""

HIGHEST = 9
"""Numbers of lists have one digit: it is typed in front of +1."""

MOST_ENTRIES = 500
"""On one list, with those who wait."""

PAUSE_S = 30.0
"""A list is spoken of once in so long, however many sign up."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody on a list. position: their place on it now, from 1. name: as the group called
    them when they signed up, or as they wrote themselves; "" for none."""

    member_id: int
    position: int
    name: str
    note: str
    at: float


@dataclass(frozen=True, slots=True)
class Signup:
    """A list as it stands. places: how many may sign up, None for any number.

    entries: who is on it, in order, those who wait at the end. opened_by: "member:12".
    """

    id: int
    place: str
    title: str
    places: int | None
    opened_at: float
    opened_by: str
    closes_at: float | None
    closed_at: float | None
    entries: tuple[Entry, ...] = ()

    def is_open(self, now: float) -> bool:
        """Whether one can sign up."""
        return self.closed_at is None and (self.closes_at is None or now < self.closes_at)

    @property
    def left(self) -> int | None:
        """Free places; None for any number."""
        return None if self.places is None else max(0, self.places - len(self.entries))

    def waits(self, entry: Entry) -> bool:
        """Whether they are behind the last place."""
        return self.places is not None and entry.position > self.places

    def of(self, member_id: int) -> Entry | None:
        """A member's entry; None when they are not on it."""
        return next((one for one in self.entries if one.member_id == member_id), None)


class Opening(Enum):
    """Why a list was not opened: they have one open there, or the group has enough."""

    DONE = "done"
    HAVE_ONE = "have_one"
    ENOUGH = "enough"


class Joining(Enum):
    """What became of a wish to sign up or to leave. SAME: it was so already."""

    DONE = "done"
    SAME = "same"
    CLOSED = "closed"
    FULL = "full"


class Joined(NamedTuple):
    """signup: as it is now. moved_up: who has a place now because somebody left; None for
    nobody."""

    outcome: Joining
    signup: Signup | None
    moved_up: Entry | None = None


Make = Callable[[Signup, float], NewPost]
"""(the list as it is, when it is due) -> what is posted of it; the key goes by the moment."""

_COLUMNS = "id, place, title, places, opened_at, opened_by, closes_at, closed_at"
_OPEN = "closed_at is null and (closes_at is null or closes_at > ?)"


def _read(conn: Connection, rest: str, args: tuple[Any, ...]) -> list[Signup]:
    found = []
    for row in conn.execute(f"select {_COLUMNS} from signups {rest}", args).fetchall():
        rows = conn.execute(
            "select member_id, name, note, at from signup_entries "
            "where signup_id = ? and left_at is null order by number, id",
            (row[0],),
        )
        entries = tuple(
            Entry(member_id, position, name, note, at)
            for position, (member_id, name, note, at) in enumerate(rows, 1)
        )
        found.append(Signup(*(*row, entries)))
    return found


def _one(conn: Connection, signup_id: int) -> Signup | None:
    found = _read(conn, "where id = ?", (signup_id,))
    return found[0] if found else None


def _next_number(conn: Connection, signup_id: int) -> int:
    row = conn.execute(
        "select coalesce(max(number), 0) + 1 from signup_entries where signup_id = ?", (signup_id,)
    ).fetchone()
    return int(row[0])


def numbered(lists: Iterable[tuple[int, float, float | None]]) -> dict[int, int]:
    """(id, opened, ended; None for not yet) of one group, in order -> what each is called there.

    A number stays a list's own until it ends, and is not the next one's at once: 接龙 2 +1 may
    still be meant for the list before. They begin anew when none is open.
    """
    found: dict[int, int] = {}
    held: dict[int, float | None] = {}
    last = 0
    for signup_id, opened_at, ended_at in lists:
        held = {number: end for number, end in held.items() if end is None or end > opened_at}
        last = last if held else 0
        free = (number % HIGHEST + 1 for number in range(last, last + HIGHEST))
        last = next((number for number in free if number not in held), HIGHEST)
        held[last] = ended_at
        found[signup_id] = last
    return found


def _waiting(conn: Connection, signup: Signup) -> tuple[float, bytes] | None:
    """When a list is posted of itself, and the key of the post; None when it is not."""
    row = conn.execute(
        "select p.due_at, p.key from group_answers as a join posts as p on p.key = a.message_key "
        "where a.place = ? and a.item = ? and p.status = 'planned'",
        (signup.place, f"signup:{signup.id}"),
    ).fetchone()
    return None if row is None else (row[0], row[1])


class Signups:
    """The tables `signups` and `signup_entries`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._open: dict[str, dict[int, float | None]] = {}
        self._numbers: dict[int, int] = {}

    # What is open

    async def load(self) -> None:
        """Read into memory which lists are open, and their numbers."""

        def run(conn: Connection) -> list[tuple[str, int, float, float | None, float | None]]:
            return conn.execute(
                "select place, id, opened_at, closes_at, closed_at from signups where place in "
                "(select place from signups where closed_at is null) order by id"
            ).fetchall()

        open_: dict[str, dict[int, float | None]] = {}
        lasted: dict[str, list[tuple[int, float, float | None]]] = {}
        for place, signup_id, opened_at, closes_at, closed_at in await self._db.read(run):
            ended_at = closes_at if closed_at is None else closed_at
            lasted.setdefault(place, []).append((signup_id, opened_at, ended_at))
            if closed_at is None:
                open_.setdefault(place, {})[signup_id] = closes_at
        numbers: dict[int, int] = {}
        for lists in lasted.values():
            numbers.update(numbered(lists))
        self._open, self._numbers = open_, numbers

    def number(self, signup_id: int) -> int:
        """What an open list is called in its group, 1 to HIGHEST, until it ends; no database."""
        return self._numbers.get(signup_id, 1)

    def count_open(self, place: str, now: float) -> int:
        """How many lists are open in a group; no database."""
        known = self._open.get(place)
        if not known:
            return 0
        return sum(closes_at is None or now < closes_at for closes_at in known.values())

    def open_in(self, place: str, now: float) -> bool:
        """Whether exactly one is open there: then +1 is about that one; no database."""
        return self.count_open(place, now) == 1

    async def _change(self, run: Callable[[Connection], T]) -> T:
        """A write after which other lists may be open; memory knows before the caller goes on."""
        return await asyncio.shield(asyncio.ensure_future(self._changed(run)))

    async def _changed(self, run: Callable[[Connection], T]) -> T:
        done = await self._db.write(run)
        await self.load()
        return done

    # Lists

    async def open(
        self,
        place: str,
        title: str,
        places: int | None,
        closes_at: float | None,
        member_id: int,
        key: bytes,
        now: float,
    ) -> tuple[Opening, Signup | None]:
        """Open a list; the same message again gives the same one.

        The list comes with DONE; with HAVE_ONE the one that this member has open.
        """

        def run(conn: Connection) -> tuple[Opening, Signup | None]:
            same = _read(conn, "where message_key = ?", (key,))
            if same:
                return Opening.DONE, same[0]
            conn.execute(
                "update signups set closed_at = closes_at "
                "where place = ? and closed_at is null and closes_at <= ?",
                (place, now),
            )
            open_ = _read(conn, f"where place = ? and {_OPEN} order by id", (place, now))
            by = f"member:{member_id}"
            mine = [one for one in open_ if one.opened_by == by]
            if mine:
                return Opening.HAVE_ONE, mine[0]
            if len(open_) >= MOST_OPEN:
                return Opening.ENOUGH, None
            made = conn.execute(
                "insert into signups (place, title, places, opened_at, opened_by, closes_at, "
                "message_key) values (?, ?, ?, ?, ?, ?, ?) returning id",
                (place, title, places, now, by, closes_at, key),
            ).fetchone()
            return Opening.DONE, _one(conn, made[0])

        return await self._change(run)

    async def close(
        self, signup_id: int, now: float, make: Make | None = None, silent_until: float = 0.0
    ) -> Signup | None:
        """Nobody signs up any more; the list as it is, None when there is none.

        What waits to be posted of it is dropped: it would invite people. make: what the group
        reads of its end, None where who ended it is answered there. silent_until: not before.
        """

        def run(conn: Connection) -> Signup | None:
            ended = conn.execute(
                "update signups set closed_at = case when closes_at <= ? then closes_at else ? end "
                "where id = ? and closed_at is null",
                (now, now, signup_id),
            ).rowcount
            found = _one(conn, signup_id)
            if found is None or not ended:
                return found
            waiting = _waiting(conn, found)
            if waiting is not None:
                conn.execute(
                    "update posts set body = '', settled_at = ?, status = 'dropped' "
                    "where key = ? and status = 'planned'",
                    (now, waiting[1]),
                )
            if make is not None:
                plan_in(conn, make(found, max(now, silent_until)), now)
            return found

        return await self._change(run)

    async def refresh(self, signup_id: int, make: Make) -> None:
        """What waits to be posted of a list is written anew, as the group has changed since."""

        def run(conn: Connection) -> None:
            found = _one(conn, signup_id)
            waiting = _waiting(conn, found) if found is not None else None
            if found is not None and waiting is not None:
                conn.execute(
                    "update posts set body = ? where key = ? and status = 'planned'",
                    (post_to_json(make(found, waiting[0]).body), waiting[1]),
                )

        await self._db.write(run)

    async def get(self, signup_id: int) -> Signup | None:
        """One list; None when there is none of this number."""
        return await self._db.read(lambda conn: _one(conn, signup_id))

    async def opened_in(self, place: str, now: float) -> list[Signup]:
        """What is open in a group, oldest first."""
        return await self._db.read(
            lambda conn: _read(conn, f"where place = ? and {_OPEN} order by id", (place, now))
        )

    async def page(self, limit: int) -> list[Signup]:
        """The newest lists of all groups."""
        return await self._db.read(lambda conn: _read(conn, "order by id desc limit ?", (limit,)))

    # Who is on one

    async def join(
        self, signup_id: int, member_id: int, name: str, note: str, key: bytes, now: float
    ) -> Joined:
        """Put a member on a list. Another note replaces the one before; they keep their place.

        name: what the group calls them. The same message again changes nothing.
        """

        def run(conn: Connection) -> Joined:
            found = _one(conn, signup_id)
            if found is None:
                return Joined(Joining.CLOSED, None)
            row = conn.execute(
                "select note, left_at, message_key from signup_entries "
                "where signup_id = ? and member_id = ?",
                (signup_id, member_id),
            ).fetchone()
            if row is not None and row[2] == key:
                # Said as it was: a copy of a message is no second wish.
                return Joined(Joining.DONE if row[1] is None else Joining.SAME, found)
            if not found.is_open(now):
                return Joined(Joining.CLOSED, found)
            if row is not None and row[1] is None and note in ("", row[0]):
                known = found.of(member_id)
                if name and known is not None and not known.name:
                    # Who was nameless and has a name now stands on the list by it.
                    conn.execute(
                        "update signup_entries set name = ? where signup_id = ? and member_id = ?",
                        (name, signup_id, member_id),
                    )
                    return Joined(Joining.SAME, _one(conn, signup_id))
                return Joined(Joining.SAME, found)
            if (row is None or row[1] is not None) and len(found.entries) >= MOST_ENTRIES:
                return Joined(Joining.FULL, found)
            if row is not None and row[1] is None:
                conn.execute(
                    "update signup_entries set note = ?, message_key = ? "
                    "where signup_id = ? and member_id = ?",
                    (note, key, signup_id, member_id),
                )
            else:
                conn.execute(
                    "insert into signup_entries (signup_id, member_id, number, name, note, at, "
                    "message_key) select ?, id, ?, ?, ?, ?, ? from members where id = ? "
                    "on conflict (signup_id, member_id) do update set number = excluded.number, "
                    "name = excluded.name, note = excluded.note, at = excluded.at, left_at = null, "
                    "message_key = excluded.message_key",
                    (
                        *(signup_id, _next_number(conn, signup_id), name, note, now, key),
                        member_id,
                    ),
                )
            return Joined(Joining.DONE, _one(conn, signup_id))

        return await self._db.write(run)

    async def leave(self, signup_id: int, member_id: int, key: bytes, now: float) -> Joined:
        """Take a member off a list; SAME when they are not on it. The same message again
        changes nothing."""

        def run(conn: Connection) -> Joined:
            found = _one(conn, signup_id)
            if found is None:
                return Joined(Joining.CLOSED, None)
            by = conn.execute(
                "select message_key from signup_entries where signup_id = ? and member_id = ? "
                "and left_at is not null",
                (signup_id, member_id),
            ).fetchone()
            if by is not None and by[0] == key:
                return Joined(Joining.DONE, found)
            mine = found.of(member_id)
            if mine is None:
                return Joined(Joining.SAME, found)
            if not found.is_open(now):
                return Joined(Joining.CLOSED, found)
            conn.execute(
                "update signup_entries set left_at = ?, message_key = ? "
                "where signup_id = ? and member_id = ?",
                (now, key, signup_id, member_id),
            )
            after = _one(conn, signup_id)
            moved = None
            if after is not None and after.places is not None and not found.waits(mine):
                moved = next((one for one in after.entries if one.position == after.places), None)
                was = found.of(moved.member_id) if moved is not None else None
                moved = moved if was is not None and found.waits(was) else None
            return Joined(Joining.DONE, after, moved)

        return await self._db.write(run)

    async def names(self, place: str) -> dict[str, int]:
        """What the members of a group are called there -> who they are."""

        def run(conn: Connection) -> dict[str, int]:
            rows = conn.execute(
                "select name, member_id from group_members where place = ? and name <> ''",
                (place,),
            )
            return {name: int(member_id) for name, member_id in rows}

        return await self._db.read(run)

    async def name_of(self, place: str, member_id: int) -> str:
        """What the group calls a member, else the name they chose; "" for none."""

        def run(conn: Connection) -> str:
            row = conn.execute(
                "select coalesce((select name from group_members where place = ? "
                "and member_id = ? and name <> ''), (select value from member_settings "
                "where member_id = ? and name = 'name'), '')",
                (place, member_id, member_id),
            ).fetchone()
            return str(row[0])

        return await self._db.read(run)

    async def say(
        self, signup_id: int, key: bytes, now: float, make: Make | None, silent_until: float = 0.0
    ) -> bool:
        """Whether this message may be answered; else the list is planned as a post.

        A list is spoken of once in PAUSE_S: the first is answered, for all others until then one
        post is planned, which says what the list is by the time it leaves. key: the message's;
        the same one again hears the same. make: None where nothing can be posted. silent_until:
        nothing is said before that.
        """

        def run(conn: Connection) -> bool:
            found = _one(conn, signup_id)
            if found is None:
                return False
            item = f"signup:{signup_id}"
            row = conn.execute(
                "select at, message_key from group_answers where place = ? and item = ?",
                (found.place, item),
            ).fetchone()
            if row is not None and row[1] == key:
                return True
            free = row is None or not row[0] - PAUSE_S <= now < row[0] + PAUSE_S
            if free and silent_until <= now:
                _note(conn, found.place, item, now, key)
                return True
            if make is None:
                return False
            if row is not None and now < row[0]:
                new = make(found, row[0])
                said = conn.execute(
                    "update posts set body = ? where key = ? and status = 'planned'",
                    (post_to_json(new.body), new.key),
                )
                if said.rowcount:
                    return False
            last = now if row is None else min(row[0], now)
            due_at = max(last + PAUSE_S, silent_until, now)
            new = make(found, due_at)
            plan_in(conn, new, now)
            _note(conn, found.place, item, due_at, new.key)
            return False

        return await self._db.write(run)


def _note(conn: Connection, place: str, item: str, at: float, key: bytes) -> None:
    conn.execute(
        "insert into group_answers (place, item, at, message_key) values (?, ?, ?, ?) "
        "on conflict (place, item) do update set at = excluded.at, "
        "message_key = excluded.message_key, pointed_at = null, pointed_by = null",
        (place, item, at, key),
    )


# For `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """The lists they signed up on, and those they opened."""
    entries = (
        "select s.place, s.title, e.name, e.note, e.at, e.left_at from signup_entries as e "
        "join signups as s on s.id = e.signup_id where e.member_id = ? order by e.id"
    )
    opened = (
        "select place, title, opened_at, closed_at from signups where opened_by = ? order by id"
    )
    return {
        "signup_entries": rows_of(conn, entries, member_id),
        "signups": rows_of(conn, opened, f"member:{member_id}"),
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """They are on no list; a list that they opened stays, for the others who are on it, and is
    nobody's. What is planned to be said of their lists is not said with their name."""
    _unsay(conn, member_id, now)
    gone = conn.execute("delete from signup_entries where member_id = ?", (member_id,))
    conn.execute("update signups set opened_by = '' where opened_by = ?", (f"member:{member_id}",))
    return {"signup_entries": gone.rowcount}


def _unsay(conn: Connection, member_id: int, now: float) -> None:
    """Lists, rankings and digests that were not posted hold names: of their groups none is kept."""
    where = "kind in ('notice', 'quiz', 'digest') and body <> '' and place in "
    places = (
        "(select place from group_members where member_id = ? union select s.place "
        "from signups as s join signup_entries as e on e.signup_id = s.id where e.member_id = ?)"
    )
    conn.execute(
        f"update posts set body = '', settled_at = ?, status = 'dropped' where {where}{places} "
        "and status = 'planned' and kind <> 'quiz'",
        (now, member_id, member_id),
    )
    conn.execute(
        f"update posts set body = '' where {where}{places} and status not in "
        "('planned', 'sending')",
        (member_id, member_id),
    )


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Of two entries on one list the earlier one counts, unless it was left."""
    both = conn.execute(
        "select k.signup_id, k.left_at is null, d.left_at is null, k.number <= d.number "
        "from signup_entries as k join signup_entries as d on d.signup_id = k.signup_id "
        "where k.member_id = ? and d.member_id = ?",
        (keep, drop),
    ).fetchall()
    for signup_id, on_kept, on_dropped, first in both:
        keeps = first if bool(on_kept) == bool(on_dropped) else on_kept
        conn.execute(
            "delete from signup_entries where signup_id = ? and member_id = ?",
            (signup_id, drop if keeps else keep),
        )
    conn.execute("update signup_entries set member_id = ? where member_id = ?", (keep, drop))
    conn.execute(
        "update signups set opened_by = ? where opened_by = ?",
        (f"member:{keep}", f"member:{drop}"),
    )
