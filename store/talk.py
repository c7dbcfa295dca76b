"""What is said in groups: kept for a while, for the digest and for who talks with whom.

A turn is one row with a unique key, and what follows from it is written with it: that its sender
is in the group, and whom they turned to. Of members who opted out nothing is written: no row,
no pair, no name; the writer's own transaction looks, so that no race can let one slip through.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from store import edges, features, mood_labels, post_names, readings, statements, used_up
from store.db import Database, Many
from store.dialect import Connection
from store.edges import HALF_LIFE_S, Turned
from store.groups import Seen, see_members
from store.statements import rows_of

UNRECORDED = used_up.UNRECORDED
"""The name in `member_settings` of those of whom nothing is written."""

MOST_CHARS = 2000
"""Of one turn; what is longer is cut."""

_SLICE = 2000


@dataclass(frozen=True, slots=True)
class NewTalk:
    """Something that was said in a group.

    key: 16 bytes, the message's; channel, sender: whose identity said it, and name: what they
    are called there, "" when not told. message_id: the platform's; quotes: that of the message it
    quotes; "" for none. addressed: to the bot. hidden: not for the digest. to: identities of the
    same channel that it turns to, and how surely, above 0 to 1.
    """

    key: bytes
    place: str
    channel: str
    sender: str
    at: float
    kind: str
    text: str
    name: str = ""
    message_id: str = ""
    quotes: str = ""
    addressed: bool = False
    hidden: bool = False
    to: tuple[tuple[str, float], ...] = ()
    half_life_s: float = HALF_LIFE_S


class Told(enum.Enum):
    """What became of a turn. UNRECORDED: its sender opted out, or was forgotten meanwhile."""

    FRESH = "fresh"
    KNOWN = "known"
    UNRECORDED = "unrecorded"


class Said(NamedTuple):
    """A turn as it is kept; oldest first wherever there are several.

    sender: the identity on the group's channel; "" when there is none any more. quotes_who: who
    wrote what it quotes, as far as we heard that; "" otherwise. text: "" once it was forgotten.
    """

    id: int
    key: bytes
    member_id: int
    sender: str
    name: str
    at: float
    kind: str
    text: str
    message_id: str
    quotes_who: str
    addressed: bool


class Hour(NamedTuple):
    """How much a member said in an hour of the day. hour: 0 to 23, Asia/Shanghai."""

    member_id: int
    hour: int
    turns: int


class Kept(NamedTuple):
    """How much groups know of a member. turns: what they said; people: whom they turned to, or
    who turned to them; signups: lists they are on."""

    turns: int
    people: int
    signups: int


_KNOWN = "select key from talk where key in ({rows})"

_IDENTITIES = (
    "select i.channel, i.external_id, i.member_id, case when s.name is null then 1 else 0 end "
    "from (values {rows}) as v join identities as i on i.channel = v.column1 "
    "and i.external_id = v.column2 left join member_settings as s "
    f"on s.member_id = i.member_id and s.name = '{UNRECORDED}'"
)

_INSERT = (
    "insert into talk (key, place, member_id, at, kind, text, message_id, reply_to, addressed, "
    "hidden) values (?, ?, ?, ?, ?, ?, ?, "
    "(select max(id) from talk where place = ? and message_id = ? and message_id <> ''), ?, ?)"
)


def _say(conn: Connection, rows: Sequence[NewTalk]) -> list[Told]:
    known = {row[0] for row in statements.ask(conn, _KNOWN, [row.key for row in rows])}
    people = {(row.channel, who) for row in rows for who in (row.sender, *(w for w, _ in row.to))}
    members: dict[tuple[str, str], int] = {}
    unrecorded: dict[tuple[str, str], int] = {}
    for channel, who, member_id, recorded in statements.ask_pairs(conn, _IDENTITIES, people):
        (members if recorded else unrecorded)[channel, who] = member_id
    fresh: list[NewTalk] = []
    seen: list[Seen] = []
    out: list[Told] = []
    for row in rows:
        who = (row.channel, row.sender)
        if row.key in known:
            out.append(Told.KNOWN)
        elif who in members:
            known.add(row.key)
            fresh.append(row)
            seen.append(Seen(row.place, members[who], row.name, row.at))
            out.append(Told.FRESH)
        else:
            # An identity that is gone was erased meanwhile: not written down again.
            if who in unrecorded:
                seen.append(Seen(row.place, unrecorded[who], "", row.at))
            out.append(Told.UNRECORDED)
    conn.executemany(
        _INSERT,
        [
            (
                *(row.key, row.place, members[row.channel, row.sender], row.at, row.kind),
                *(row.text[:MOST_CHARS], row.message_id, row.place, row.quotes),
                *(int(row.addressed), int(row.hidden)),
            )
            for row in fresh
        ],
    )
    see_members(conn, seen)
    turned: dict[float, list[Turned]] = {}
    for row in fresh:
        mine = members[row.channel, row.sender]
        turned.setdefault(row.half_life_s, []).extend(
            Turned(row.place, mine, members[row.channel, who], weight, row.at)
            for who, weight in row.to
            if (row.channel, who) in members
        )
    for half_life_s, turns in turned.items():
        edges.add(conn, turns, half_life_s)
    return out


_SAID = (
    "select t.id, t.key, t.member_id, "
    "coalesce((select min(i.external_id) from identities as i where i.member_id = t.member_id "
    "and i.channel = g.channel), ''), coalesce(m.name, ''), t.at, t.kind, t.text, t.message_id, "
    "coalesce((select min(i.external_id) from talk as q join identities as i "
    "on i.member_id = q.member_id and i.channel = g.channel where q.id = t.reply_to), ''), "
    "t.addressed from talk as t join groups as g on g.place = t.place "
    "left join group_members as m on m.place = t.place and m.member_id = t.member_id "
    "where t.place = ? and t.hidden = 0 and t.member_id is not null "
)


def _read(conn: Connection, rest: str, args: Sequence[Any]) -> list[Said]:
    rows = conn.execute(_SAID + rest, args)
    return [Said._make((*row[:-1], bool(row[-1]))) for row in rows]


class Talks:
    """The table `talk`, and with it `edges`. Errors of all: StoreError.

    unrecorded: the set of who opted out, which `store/members.py` has, too.
    """

    def __init__(self, db: Database, unrecorded: set[int]) -> None:
        self._db = db
        self._say = Many(_say)
        self._unrecorded = unrecorded

    async def load(self) -> None:
        """Read who opted out into memory."""
        rows = await self._db.read(
            lambda conn: conn.execute(
                "select member_id from member_settings where name = ?", (UNRECORDED,)
            ).fetchall()
        )
        self._unrecorded.clear()
        self._unrecorded.update(row[0] for row in rows)

    def unrecorded(self, member_id: int) -> bool:
        """Whether they opted out; no database. `say` asks the table itself."""
        return member_id in self._unrecorded

    # What is said

    async def say(self, new: NewTalk) -> Told:
        """Write a turn and what follows from it. Who said it must have been met."""
        return await self._db.write_many(self._say, new)

    async def hide(self, key: bytes) -> bool:
        """Keep it out of the digest, windows and moods; False when there is no such turn."""
        return await self._mark("hidden = 1 where key = ?", (key,))

    async def recall(self, place: str, message_id: str) -> bool:
        """Its sender took it back: its words go; False when there is no such turn."""
        return await self._mark(
            "hidden = 1, text = '' where place = ? and message_id = ? and message_id <> ''",
            (place, message_id),
        )

    async def _mark(self, what: str, args: Sequence[Any]) -> bool:
        def run(conn: Connection) -> bool:
            rows = conn.execute(f"update talk set {what} returning id, text", args).fetchall()
            readings.drop(conn, readings.TALK, [row[0] for row in rows])
            for row_id, text in rows:
                if not text:
                    mood_labels.drop(conn, readings.TALK, row_id)
            return len(rows) > 0

        return await self._db.write(run)

    async def writer(self, place: str, message_id: str) -> str:
        """Who wrote the message, as the group's channel names them; "" when we do not know."""

        def run(conn: Connection) -> str:
            row = conn.execute(
                "select i.external_id from talk as t join groups as g on g.place = t.place "
                "join identities as i on i.member_id = t.member_id and i.channel = g.channel "
                "where t.place = ? and t.message_id = ? and t.message_id <> '' "
                "order by t.at desc, t.id desc limit 1",
                (place, message_id),
            ).fetchone()
            return "" if row is None else str(row[0])

        return await self._db.read(run)

    # Read back

    async def recent(self, place: str, count: int) -> list[Said]:
        """The last so many turns of a group; nothing hidden."""
        rows = await self._db.read(
            lambda conn: _read(conn, "order by t.at desc, t.id desc limit ?", (place, count))
        )
        return rows[::-1]

    async def since(self, place: str, after: float, until: float, most: int) -> list[Said]:
        """Turns from `after` on and before `until`, the newest `most` of them; nothing hidden."""

        def run(conn: Connection) -> list[Said]:
            rest = "and t.at >= ? and t.at < ? order by t.at desc, t.id desc limit ?"
            return _read(conn, rest, (place, after, until, most))

        return (await self._db.read(run))[::-1]

    async def texts(self, place: str, after: float, until: float, most: int) -> list[Said]:
        """Like `since`, only what has words and was not said to the bot: for the digest."""

        def run(conn: Connection) -> list[Said]:
            rest = (
                "and t.at >= ? and t.at < ? and t.text <> '' and t.addressed = 0 "
                "order by t.at desc, t.id desc limit ?"
            )
            return _read(conn, rest, (place, after, until, most))

        return (await self._db.read(run))[::-1]

    async def kept(self, member_id: int) -> Kept:
        """How much there is of a member; zeros for nobody."""

        def run(conn: Connection) -> Kept:
            row = conn.execute(
                "select (select count(*) from talk where member_id = ?), "
                "(select count(*) from (select to_id from edges where from_id = ? "
                "union select from_id from edges where to_id = ?) as who), "
                "(select count(*) from signup_entries where member_id = ? and left_at is null)",
                (member_id,) * 4,
            ).fetchone()
            return Kept(*row)

        return await self._db.read(run)

    async def hours(self, place: str, after: float, until: float) -> list[Hour]:
        """How much each member said in each hour of the day; hidden turns do not count."""

        def run(conn: Connection) -> list[Hour]:
            rows = conn.execute(
                "select member_id, ((cast(at as bigint) + 28800) / 3600) % 24, count(*) from talk "
                "where place = ? and at >= ? and at < ? and hidden = 0 "
                "and member_id is not null group by 1, 2 order by 1, 2",
                (place, after, until),
            )
            return [Hour(*row) for row in rows]

        return await self._db.read(run)

    # Forgetting

    async def opt(self, member_id: int, recorded: bool) -> bool:
        """Whether what they say is written down; False when it was so already.

        Opting out removes what there is: turns, pairs, the names groups told of them, and
        themselves from welcomes and digests that were not posted yet.
        """

        def run(conn: Connection) -> bool:
            if recorded:
                done = conn.execute(
                    "delete from member_settings where member_id = ? and name = ?",
                    (member_id, UNRECORDED),
                )
                used_up.record_again(conn, member_id)
                return done.rowcount > 0
            done = conn.execute(
                "insert into member_settings (member_id, name, value) select id, ?, '1' "
                "from members where id = ? on conflict (member_id, name) do nothing",
                (UNRECORDED, member_id),
            )
            conn.execute("delete from talk where member_id = ?", (member_id,))
            readings.drop_of(conn, member_id, readings.TALK)
            mood_labels.drop_of(conn, member_id, readings.TALK)
            edges.drop_of(conn, member_id)
            # It knows of groups; what it may know is made anew.
            features.drop_of(conn, member_id)
            post_names.unname(conn, member_id, None, post_names.GREETS)
            conn.execute("update group_members set name = '' where member_id = ?", (member_id,))
            return done.rowcount > 0

        def keep(done: asyncio.Future[bool]) -> None:
            if not done.cancelled() and done.exception() is None:
                if recorded:
                    self._unrecorded.discard(member_id)
                else:
                    self._unrecorded.add(member_id)

        # In memory when it has ended, even if the caller has gone.
        writing = self._db.write(run)
        writing.add_done_callback(keep)
        return await asyncio.shield(writing)

    async def blank(self, before: float) -> int:
        """Forget the words of what was said before; says of how many turns.

        That it was said stays, for the counts, until `remove`. In slices: a message that comes
        meanwhile does not wait for all.
        """
        return await self._in_slices(
            "update talk set text = '' where id in (select id from talk where at < ? "
            "and text <> '' order by at limit ?)",
            before,
        )

    async def remove(self, before: float) -> int:
        """Forget that anything was said before; says how many turns."""
        return await self._in_slices(
            "delete from talk where id in (select id from talk where at < ? order by at limit ?)",
            before,
        )

    async def _in_slices(self, statement: str, before: float) -> int:
        done = 0
        while True:
            rows = await self._db.write(
                lambda conn: conn.execute(statement, (before, _SLICE)).rowcount
            )
            done += rows
            if rows < _SLICE:
                return done


# For `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What they said, in which group."""
    return {
        "talk": rows_of(
            conn,
            "select place, at, kind, text from talk where member_id = ? order by id",
            member_id,
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Their turns go; an answer to one of them answers a number that is never given again."""
    gone = conn.execute("delete from talk where member_id = ?", (member_id,))
    return {"talk": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """All that both said is one's. Whoever of the two opted out, nothing of either stays."""
    conn.execute("update talk set member_id = ? where member_id = ?", (keep, drop))
    opted = conn.execute(
        "select 1 from member_settings where member_id = ? and name = ?", (keep, UNRECORDED)
    ).fetchone()
    if opted is not None:
        conn.execute("delete from talk where member_id = ?", (keep,))
        edges.drop_of(conn, keep)
        conn.execute("update group_members set name = '' where member_id = ?", (keep,))
