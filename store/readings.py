"""What was read out of messages: their mood and their words, one row a message.

A row stands for a row of `talk` or of `interactions` and never outlives what those may say: the
transaction that writes it looks once more whether the message is still there, shown, and of
somebody who may be looked at. Where the reading has come to is written with the rows, so a kill
in between reads the same messages again and writes them once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from store import terms
from store.consents import PROFILING
from store.db import Database
from store.dialect import Connection
from store.statements import ask, pieces, rows_of

TALK, PRIVATE = "t", "i"
"""Where a message stands: in `talk`, in `interactions`."""
SOURCES = (TALK, PRIVATE)

NEGATIVE, NEUTRAL, POSITIVE = -1, 0, 1

CORRECTED = "operator"
"""In `readings.model`: an operator said so."""
UNREADABLE = "unreadable"
"""In `readings.model`: no model could read it."""

_SLICE = 2000
_COMMAND = re.compile(r"\s*[/／]\s*[A-Za-zＡ-Ｚａ-ｚ]")
_DEEDS = frozenset({"operator", "confirm", "coupon", "points", "quiz", "checkin", "recording"})
"""First words of `interactions.handler` of what is typed to get something done, or whose words the
log keeps no more: it sounds like nothing."""


class Heard(NamedTuple):
    """A message to read. place: "" in private."""

    row_id: int
    text: str


class Page(NamedTuple):
    """What a stretch of a log holds. heard: what is to be read of it; to: its last row's number,
    or where it began when there is none; rows: how many it has, read or not."""

    heard: list[Heard]
    to: int
    rows: int


class NewReading(NamedTuple):
    """What was read out of a message. label: NEGATIVE to POSITIVE, None when nothing was sure;
    terms: with blanks between them; model: which one says so."""

    row_id: int
    label: int | None
    negative: float
    positive: float
    terms: str
    model: str


class Read(NamedTuple):
    """A message and what was read out of it. text: "" when it was forgotten meanwhile."""

    source: str
    row_id: int
    place: str
    member_id: int
    at: float
    label: int | None
    text: str


class Judged(NamedTuple):
    """What was read out of a message, without its words."""

    source: str
    row_id: int
    place: str
    member_id: int
    at: float
    label: int | None
    negative: float
    terms: tuple[str, ...]


class MoodDay(NamedTuple):
    """Moods of a place on a day. day: of Shanghai, counted from 1970. unsure: not said. people:
    members with messages that were judged."""

    place: str
    day: int
    negative: int
    neutral: int
    positive: int
    unsure: int
    people: int


class MoodOf(NamedTuple):
    """Moods of a member in a place, over some time."""

    place: str
    member_id: int
    negative: int
    neutral: int
    positive: int
    unsure: int


Words = Iterable[tuple[str, int, int, int | None, str]]
"""(place, day, member, label, terms with blanks between) of messages: `mood_words`."""

_DAY = "(cast(at as bigint) + 28800) / 86400"
_SUMS = (
    "sum(case when label = -1 then 1 else 0 end), sum(case when label = 0 then 1 else 0 end), "
    "sum(case when label = 1 then 1 else 0 end), sum(case when label is null then 1 else 0 end)"
)
_MAY = (
    f"not exists (select 1 from consents as c where c.member_id = m.member_id "
    f"and c.purpose = '{PROFILING}' and c.granted = 0)"
)
_MAY_IF_ASKED = (
    f"exists (select 1 from consents as c where c.member_id = m.member_id "
    f"and c.purpose = '{PROFILING}' and c.granted = 1)"
)
# The log has no flag for what `talk` hides: what is private was said to us alone.
_SHOWN = {
    TALK: "m.hidden = 0 and m.text <> '' and m.member_id is not null",
    PRIVATE: "m.place = '' and m.kind in ('text', 'voice') and m.text <> ''",
}
_TABLE = {TALK: "talk", PRIVATE: "interactions"}
_HANDLER = {TALK: "''", PRIVATE: "m.handler"}


def _readable(source: str, opt_in: bool) -> str:
    return f"{_SHOWN[source]} and {_MAY_IF_ASKED if opt_in else _MAY}"


class Readings:
    """The table `readings`, and `cursors` with it. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # How far it is read

    async def position(self, name: str) -> int | None:
        """How far a job has come in a log; None when it never began."""

        def run(conn: Connection) -> int | None:
            row = conn.execute("select position from cursors where name = ?", (name,)).fetchone()
            return None if row is None else int(row[0])

        return await self._db.read(run)

    async def begin(self, source: str, live: str, past: str, now: float) -> None:
        """Begin with what comes from now on, and with what is there, the newest first.

        Sets both positions once; again changes nothing.
        """

        def run(conn: Connection) -> None:
            last = conn.execute(f"select coalesce(max(id), 0) from {_TABLE[source]}").fetchone()[0]
            for name, position in ((live, last), (past, last + 1)):
                conn.execute(
                    "insert into cursors (name, position, at) values (?, ?, ?) "
                    "on conflict (name) do nothing",
                    (name, position, now),
                )

        await self._db.write(run)

    async def page(self, source: str, after: int, limit: int, *, opt_in: bool = False) -> Page:
        """The rows of a log behind `after`, at most so many. opt_in: as in `store/consents.py`."""
        return await self._page(source, "m.id > ? order by m.id", (after, limit), opt_in)

    async def page_back(
        self, source: str, before: int, limit: int, *, since: float = 0.0, opt_in: bool = False
    ) -> Page:
        """The rows of a log before `before` that are not older than `since`, the newest first."""
        where = "m.id < ? and m.at >= ? order by m.id desc"
        return await self._page(source, where, (before, since, limit), opt_in)

    async def _page(self, source: str, where: str, args: tuple[float, ...], opt_in: bool) -> Page:
        sql = (
            f"select m.id, m.text, {_HANDLER[source]}, "
            f"case when {_readable(source, opt_in)} then 1 else 0 end "
            f"from {_TABLE[source]} as m where {where} limit ?"
        )
        rows = await self._db.read(lambda conn: conn.execute(sql, args).fetchall())
        heard = [
            Heard(row_id, text)
            for row_id, text, handler, readable in rows
            if readable and handler.partition(".")[0] not in _DEEDS and not _COMMAND.match(text)
        ]
        return Page(heard, rows[-1][0] if rows else int(args[0]), len(rows))

    async def put(
        self,
        source: str,
        readings: Sequence[NewReading],
        cursor: str,
        position: int,
        now: float,
        *,
        opt_in: bool = False,
    ) -> int:
        """Write what was read, and that the log is read up to `position`; says how many are new.

        What was recalled, hidden, forgotten or withheld meanwhile is not written. At most some
        thousand at once: answers wait for the same writer.
        """
        insert = (
            "insert into readings (source, row_id, place, member_id, at, label, negative, "
            "positive, terms, model) "
            f"select '{source}', m.id, m.place, m.member_id, m.at, ?, ?, ?, ?, ? "
            f"from {_TABLE[source]} as m where m.id = ? and "
            f"{_readable(source, opt_in)} on conflict (source, row_id) do nothing"
        )
        rows = [(r.label, r.negative, r.positive, r.terms, r.model, r.row_id) for r in readings]

        def run(conn: Connection) -> int:
            done = conn.executemany(insert, rows).rowcount if rows else 0
            conn.execute(
                "insert into cursors (name, position, at) values (?, ?, ?) on conflict (name) "
                "do update set position = excluded.position, at = excluded.at",
                (cursor, position, now),
            )
            return max(done, 0)

        return await self._db.write(run)

    # Read back

    async def between(self, since: float, until: float) -> list[Judged]:
        """What was read from `since` on and before `until`, in the order of time."""
        return await self._db.read(lambda conn: messages(conn, since, until))

    async def texts(self, refs: Sequence[tuple[str, int]]) -> list[str]:
        """What these messages say, in this order; what is gone or hidden is left out."""

        def run(conn: Connection) -> list[str]:
            found: dict[tuple[str, int], str] = {}
            for source in SOURCES:
                sql = (
                    f"select m.id, m.text from {_TABLE[source]} as m where m.id in ({{rows}}) "
                    f"and {_SHOWN[source]}"
                )
                numbers = [row_id for kind, row_id in refs if kind == source]
                found |= {(source, row_id): text for row_id, text in ask(conn, sql, numbers)}
            return [found[ref] for ref in refs if ref in found]

        return await self._db.read(run)

    async def latest(
        self, limit: int, *, label: int | None = None, place: str | None = None
    ) -> list[Read]:
        """The newest messages that were judged, newest first; None for any label, any place.

        Those whose words are gone are left out.
        """
        where = ["r.label is not null"]
        args: list[int | str] = []
        if label is not None:
            where.append("r.label = ?")
            args.append(label)
        if place is not None:
            where.append("r.place = ?")
            args.append(place)
        sql = (
            "select r.source, r.row_id, r.place, r.member_id, r.at, r.label, "
            "coalesce(t.text, i.text, '') as text from readings as r "
            "left join talk as t on r.source = 't' and t.id = r.row_id and t.hidden = 0 "
            "left join interactions as i on r.source = 'i' and i.id = r.row_id "
            f"where {' and '.join(where)} and coalesce(t.text, i.text, '') <> '' "
            "order by r.at desc, r.row_id desc limit ?"
        )
        args.append(limit)
        rows = await self._db.read(lambda conn: conn.execute(sql, args).fetchall())
        return [Read._make(row) for row in rows]

    # Forgetting

    async def drop(self, source: str, row_id: int) -> bool:
        """Forget what was read out of a message; False when there was nothing."""
        return await self._db.write(lambda conn: drop(conn, source, [row_id]) > 0)

    async def remove(self, before: float) -> int:
        """Forget what was read out of messages before then; says of how many. In slices."""
        sql = (
            "delete from readings where (source, row_id) in "
            "(select source, row_id from readings where at < ? order by at limit ?)"
        )
        done = 0
        while True:
            rows = await self._db.write(lambda conn: conn.execute(sql, (before, _SLICE)).rowcount)
            done += rows
            if rows < _SLICE:
                return done


# Inside other transactions


def drop(conn: Connection, source: str, row_ids: Iterable[int]) -> int:
    """Forget what was read out of these messages, for who hides or recalls them; says how many."""
    done = 0
    for row_id in row_ids:
        row = conn.execute(
            "select member_id from readings where source = ? and row_id = ?", (source, row_id)
        ).fetchone()
        if row is not None:
            terms.unsay(conn, row[0], source, row_id)
        done += conn.execute(
            "delete from readings where source = ? and row_id = ?", (source, row_id)
        ).rowcount
    return done


def drop_of(conn: Connection, member_id: int, source: str = "") -> int:
    """Forget what was read out of a member's messages; "" in both logs."""
    terms.unsay(conn, member_id, source)
    sql = "delete from readings where member_id = ?"
    args: tuple[Any, ...] = (member_id,)
    if source:
        sql, args = f"{sql} and source = ?", (member_id, source)
    return conn.execute(sql, args).rowcount


# For jobs, in a process of their own


def mood_days(conn: Connection, since: float, until: float) -> list[MoodDay]:
    """Moods by place and day, in the order of days."""
    rows = conn.execute(
        f"select place, {_DAY}, {_SUMS}, "
        "count(distinct case when label is not null then member_id end) "
        "from readings where at >= ? and at < ? group by 1, 2 order by 2, 1",
        (since, until),
    )
    return [MoodDay._make(row) for row in rows]


def mood_members(conn: Connection, since: float, until: float) -> dict[int, int]:
    """Day -> members with messages that were judged, wherever; a day without is not in it."""
    rows = conn.execute(
        f"select {_DAY}, count(distinct member_id) from readings where at >= ? and at < ? "
        "and label is not null group by 1",
        (since, until),
    )
    return dict(rows.fetchall())


def mood_people(conn: Connection, since: float, until: float) -> list[MoodOf]:
    """Moods by place and member."""
    rows = conn.execute(
        f"select place, member_id, {_SUMS} from readings where at >= ? and at < ? "
        "group by 1, 2 order by 1, 2",
        (since, until),
    )
    return [MoodOf._make(row) for row in rows]


def mood_words(
    conn: Connection, since: float, until: float
) -> Iterator[tuple[str, int, int, int | None, str]]:
    """Every message that has terms; see `Words`."""
    yield from conn.execute(
        f"select place, {_DAY}, member_id, label, terms from readings where at >= ? and at < ? "
        "and terms <> ''",
        (since, until),
    )


def messages(conn: Connection, since: float, until: float) -> list[Judged]:
    """What was read from `since` on and before `until`, in the order of time."""
    rows = conn.execute(
        "select source, row_id, place, member_id, at, label, negative, terms from readings "
        "where at >= ? and at < ? order by at, source, row_id",
        (since, until),
    )
    return [Judged._make((*row[:-1], tuple(row[-1].split()))) for row in rows]


def records(
    conn: Connection, member_ids: Collection[int], since: float, until: float
) -> dict[int, tuple[int, int]]:
    """Member -> (messages, negative ones among them); who has none is not in it."""
    found: dict[int, tuple[int, int]] = {}
    for piece in pieces(sorted(member_ids)):
        rows = conn.execute(
            "select member_id, count(*), sum(case when label = -1 then 1 else 0 end) "
            f"from readings where member_id in ({', '.join('?' * len(piece))}) "
            "and at >= ? and at < ? group by 1",
            (*piece, since, until),
        )
        found |= {member: (count, negative) for member, count, negative in rows}
    return found


# For `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What was read out of what they said."""
    return {
        "readings": rows_of(
            conn,
            "select place, at, label, negative, positive, terms, model from readings "
            "where member_id = ? order by at, source, row_id",
            member_id,
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """It goes with them."""
    return {"readings": drop_of(conn, member_id)}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """What both said is one's. Where the talk of one who opted out is gone, its reading goes."""
    conn.execute("update readings set member_id = ? where member_id = ?", (keep, drop))
    conn.execute(
        f"delete from readings where member_id = ? and source = '{TALK}' "
        "and exists (select 1 from member_settings where member_id = ? and name = 'unrecorded')",
        (keep, keep),
    )
