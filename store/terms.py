"""What was talked about, day by day: the table `term_days`, and what else topics are made of.

A row of a finished day says how many people used a term. The scope is "" for everything, PRIVATE
for what was said to the bot alone, else a group's place; the term "" stands for whoever spoke at
all. Words of a single member are in it while the day is young enough to be compared with; they
are taken out again with the readings that they came from, and by `trim` after that.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

from store.db import Database
from store.dialect import Connection
from store.statements import ask

EVERYTHING, PRIVATE = "", "private"
"""Scopes beside the places of groups."""

CURSOR = "terms"
"""In `cursors`: the last day that was folded, counted from 1970."""

NEW_WORDS = "new_words"
"""In `findings`: words that no dictionary has, newest first."""

YOUNG_DAYS = 37
"""As long a day keeps words of fewer than LEAST_PEOPLE."""

LEAST_PEOPLE = 3

SLICE = 2000
"""Rows of one transaction: answers wait for the same writer."""

_EPOCH = date(1970, 1, 1).toordinal()
_REF = re.compile(r"([ti]):(\d{1,18})")


class TermDay(NamedTuple):
    """A term in a scope on a day. day: counted from 1970, of Shanghai. people: different members.

    mood: the sum over turns of P(positive) - P(negative).
    """

    scope: str
    day: int
    term: str
    turns: int
    people: int
    mood: float


class Spoken(NamedTuple):
    """What was read out of a message. place: "" in private. terms: with blanks between them."""

    source: str
    row_id: int
    place: str
    member_id: int
    at: float
    mood: float
    terms: str


class Example(NamedTuple):
    """A message that a report points to."""

    ref: str
    place: str
    at: float
    text: str


class Offered(NamedTuple):
    """Something a topic may be about. ref: "item:py-101" or "gap:12"; words: title, tags or
    question. weight: how often a question was asked; 1 of an item."""

    ref: str
    words: tuple[str, ...]
    weight: int


class Crowd(NamedTuple):
    """A community and who is of it."""

    community_id: int
    scope: str
    members: frozenset[int]


class Learned(NamedTuple):
    """A word that no dictionary has. people: who used it; since: when it was found."""

    word: str
    people: int
    since: float


def learned(data: str | None) -> list[Learned]:
    """What the finding NEW_WORDS says, JSON, newest first; [] for none and for what is damaged."""
    try:
        words = [] if data is None else json.loads(data)["words"]
        return [Learned(str(one["word"]), one["people"], one["since"]) for one in words]
    except (ValueError, TypeError, KeyError):
        return []


def day_of(at: float) -> int:
    """The day of Shanghai of a moment, counted from 1970."""
    return int((at + 28_800) // 86_400)


def starts(day: int) -> float:
    """When a day begins, Unix seconds."""
    return day * 86_400.0 - 28_800


def named(day: int) -> str:
    """A day as the table has it: "2026-11-21"."""
    return date.fromordinal(_EPOCH + day).isoformat()


def _numbered(day: str) -> int:
    return date.fromisoformat(day).toordinal() - _EPOCH


class Terms:
    """The table `term_days`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def words(self) -> list[str]:
        """Words that were learned here, for `Words.add_words`: [] for none."""

        def run(conn: Connection) -> list[str]:
            return [one.word for one in learned(finding(conn, NEW_WORDS))]

        return await self._db.read(run)

    async def put(self, rows: Sequence[TermDay]) -> int:
        """Write days; says how many rows. Days that are there are written over."""
        insert = (
            "insert into term_days (place, day, term, turns, people, mood) "
            "values (?, ?, ?, ?, ?, ?) on conflict (place, day, term) do update set "
            "turns = excluded.turns, people = excluded.people, mood = excluded.mood"
        )
        names = {day: named(day) for day in {row.day for row in rows}}
        for at in range(0, len(rows), SLICE):
            piece = [(row.scope, names[row.day], *row[2:]) for row in rows[at : at + SLICE]]
            await self._many(insert, piece)
        return len(rows)

    async def reach(self, last: int, now: float) -> None:
        """Write down that days are there up to `last`; what a kill leaves before is done again."""
        await self._db.write(
            lambda conn: (
                conn.execute(
                    "insert into cursors (name, position, at) values (?, ?, ?) on conflict (name) "
                    "do update set position = excluded.position, at = excluded.at "
                    "where excluded.position >= cursors.position",
                    (CURSOR, last, now),
                ).rowcount
            )
        )

    async def trim(self, today: int) -> int:
        """Forget words of few people on days that are no longer compared with; says how many."""
        # A job that runs every night has done all but the last of them.
        until, since = named(today - YOUNG_DAYS), named(today - 3 * YOUNG_DAYS)
        done = 0
        while True:
            rows = await self._db.write(
                lambda conn: (
                    conn.execute(
                        "delete from term_days where (place, day, term) in "
                        "(select place, day, term from term_days where day >= ? and day < ? "
                        "and people < ? limit ?)",
                        (since, until, LEAST_PEOPLE, SLICE),
                    ).rowcount
                )
            )
            done += rows
            if rows < SLICE:
                return done

    async def retell(self, rows: Sequence[tuple[str, int, str]]) -> int:
        """Give readings other terms: (source, row, terms), after words were learned."""
        done = 0
        for at in range(0, len(rows), SLICE):
            piece = [(terms, source, row_id) for source, row_id, terms in rows[at : at + SLICE]]
            done += await self._many(
                "update readings set terms = ? where source = ? and row_id = ?", piece
            )
        return done

    async def _many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
        return await self._db.write(lambda conn: conn.executemany(statement, rows).rowcount)

    async def examples(self, refs: Iterable[str]) -> list[Example]:
        """The messages behind "t:123" and "i:45", in this order.

        What was forgotten, hidden or recalled meanwhile is left out, as is what is no such name.
        """
        wanted = [(ref, found[1], int(found[2])) for ref in refs if (found := _REF.fullmatch(ref))]

        def run(conn: Connection) -> list[Example]:
            found: dict[tuple[str, int], tuple[str, float, str]] = {}
            for source, sql in _TEXTS.items():
                numbers = [row_id for _, kind, row_id in wanted if kind == source]
                for row_id, *rest in ask(conn, sql, numbers):
                    found[source, row_id] = (rest[0], rest[1], rest[2])
            return [
                Example(ref, *found[source, row_id])
                for ref, source, row_id in wanted
                if (source, row_id) in found
            ]

        return await self._db.read(run)


_TEXTS = {
    "t": "select id, place, at, text from talk where id in ({rows}) and hidden = 0 "
    "and text <> '' and member_id is not null",
    "i": "select id, place, at, text from interactions where id in ({rows}) and text <> ''",
}


# For jobs, in a process of their own


def last_day(conn: Connection) -> int | None:
    """The last day that was folded; None for none yet."""
    row = conn.execute("select position from cursors where name = ?", (CURSOR,)).fetchone()
    return None if row is None else int(row[0])


def spoken(conn: Connection, since: float, until: float) -> Iterator[Spoken]:
    """What was said from `since` on and before `until`, in the order of time."""
    rows = conn.execute(
        "select source, row_id, place, member_id, at, positive - negative, terms from readings "
        "where at >= ? and at < ? order by at",
        (since, until),
    )
    yield from map(Spoken._make, rows)


class Days(NamedTuple):
    """Rows of a scope, by column: see TermDay."""

    scope: str
    day: Sequence[int]
    term: Sequence[str]
    turns: Sequence[int]
    people: Sequence[int]


def days(
    conn: Connection, first: int, last: int, only: Collection[str] | None = None
) -> Iterator[Days]:
    """What the table has from the day `first` to the day `last`, both included, by scope.

    only: these scopes; None for all. Columns, for there may be a million rows.
    """
    numbers = {named(day): day for day in range(first, last + 1)}
    if only is None:
        only = [row[0] for row in conn.execute("select distinct place from term_days")]
    for scope in only:
        rows = conn.execute(
            "select day, term, turns, people from term_days "
            "where place = ? and day >= ? and day <= ?",
            (scope, named(first), named(last)),
        ).fetchall()
        if rows:
            day, term, turns, people = zip(*rows, strict=True)
            yield Days(scope, [numbers[one] for one in day], term, turns, people)


class Text(NamedTuple):
    """The words of a message that was read, and the terms that were read out of it."""

    source: str
    row_id: int
    member_id: int
    at: float
    terms: str
    text: str


def texts(conn: Connection, since: float, most: int | None = None) -> Iterator[Text]:
    """What was said since then, the newest first, at most so much; where its words are kept."""
    sql = (
        "select r.source, r.row_id, r.member_id, r.at, r.terms, coalesce(t.text, i.text) "
        "from readings as r left join talk as t on r.source = 't' and t.id = r.row_id "
        "and t.hidden = 0 left join interactions as i on r.source = 'i' and i.id = r.row_id "
        "where r.at >= ? and coalesce(t.text, i.text, '') <> '' order by r.at desc"
    )
    if most is None:
        yield from map(Text._make, conn.execute(sql, (since,)))
    else:
        yield from map(Text._make, conn.execute(f"{sql} limit ?", (since, most)))


def names(conn: Connection) -> set[str]:
    """What members are called: no word of a language."""
    rows = conn.execute(
        "select name from group_members where name <> '' union "
        "select value from member_settings where name = 'name'"
    )
    return {str(row[0]) for row in rows}


def said_days(conn: Connection, first: int, last: int) -> dict[int, int]:
    """Day -> how many messages of it were read, from the day `first` to the day `last`."""
    rows = conn.execute(
        "select (cast(at as bigint) + 28800) / 86400, count(*) from readings "
        "where at >= ? and at < ? group by 1",
        (starts(first), starts(last + 1)),
    )
    return dict(rows.fetchall())


def kept_days(conn: Connection, first: int, last: int) -> dict[int, int]:
    """Day -> how many messages of it were counted."""
    rows = conn.execute(
        "select day, turns from term_days where place = ? and term = '' and day >= ? and day <= ?",
        (EVERYTHING, named(first), named(last)),
    )
    return {_numbered(day): turns for day, turns in rows}


def finding(conn: Connection, name: str) -> str | None:
    """The newest result of a job, JSON; None when it has not run."""
    row = conn.execute("select data from findings where name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def offered(conn: Connection, gaps: int = 300) -> list[Offered]:
    """What is in the catalogue, and the questions most often left unanswered."""
    items = conn.execute("select id, title, tags from items where archived_at is null order by id")
    found = [
        Offered(f"item:{item_id}", (title, *filter(None, tags.split("|"))), 1)
        for item_id, title, tags in items
    ]
    asked = conn.execute(
        "select id, question, count from gaps order by count desc, last_at desc, id limit ?",
        (gaps,),
    )
    found += [Offered(f"gap:{gap_id}", (question,), count) for gap_id, question, count in asked]
    return found


def crowds(conn: Connection, least: int, most: int) -> list[Crowd]:
    """The largest communities that there are, of at least so many members."""
    sizes = conn.execute(
        "select c.id, c.scope from communities as c join community_members as m "
        "on m.community_id = c.id where c.ended_at is null group by c.id, c.scope "
        "having count(*) >= ? order by count(*) desc, c.id limit ?",
        (least, most),
    ).fetchall()
    members = "select member_id from community_members where community_id = ?"
    return [
        Crowd(number, scope, frozenset(row[0] for row in conn.execute(members, (number,))))
        for number, scope in sizes
    ]


# Taking out what one member said


def unsay(conn: Connection, member_id: int, source: str = "", row_id: int | None = None) -> None:
    """Take a member out of the counts; call it before their readings go.

    source: only what they said there, "" for both logs; row_id: only that message. Days that are
    older than YOUNG_DAYS name no words of a few, and stay as they are.
    """
    last = last_day(conn)
    if last is None:
        return
    since, until = starts(last - YOUNG_DAYS), starts(last + 1)
    gone, left = _sums(), _sums()
    for row in conn.execute(
        "select source, row_id, place, member_id, at, positive - negative, terms from readings "
        "where member_id = ? and at >= ? and at < ?",
        (member_id, since, until),
    ):
        one = Spoken._make(row)
        goes = source in ("", one.source) and row_id in (None, one.row_id)
        _add(gone if goes else left, one)
    _subtract(
        conn, [(turns, int(key not in left), mood, *key) for key, (turns, mood) in gone.items()]
    )


def join(conn: Connection, keep: int, drop: int) -> None:
    """Count one person once where both spoke; call it before their readings become one's."""
    last = last_day(conn)
    if last is None:
        return
    both = []
    for member_id in (keep, drop):
        sums = _sums()
        for row in conn.execute(
            "select source, row_id, place, member_id, at, positive - negative, terms "
            "from readings where member_id = ? and at >= ? and at < ?",
            (member_id, starts(last - YOUNG_DAYS), starts(last + 1)),
        ):
            _add(sums, Spoken._make(row))
        both.append(sums)
    _subtract(conn, [(0, 1, 0.0, *key) for key in both[0].keys() & both[1].keys()])


def scopes(place: str) -> tuple[str, str]:
    """The scopes in which a message counts."""
    return EVERYTHING, place or PRIVATE


def _sums() -> defaultdict[tuple[str, str, str], list[float]]:
    return defaultdict(lambda: [0, 0.0])


def _add(sums: defaultdict[tuple[str, str, str], list[float]], one: Spoken) -> None:
    day = named(day_of(one.at))
    for scope in scopes(one.place):
        for term in ("", *one.terms.split()):
            total = sums[scope, day, term]
            total[0] += 1
            total[1] += one.mood


def _subtract(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    conn.executemany(
        "update term_days set turns = turns - ?, people = people - ?, mood = mood - ? "
        "where place = ? and day = ? and term = ?",
        rows,
    )
    conn.executemany(
        "delete from term_days where place = ? and day = ? and term = ? and people <= 0",
        [row[3:] for row in rows],
    )


# For `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """Nothing here is anybody's."""
    return {}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Their readings take their counts along: `store/readings.py`."""
    return {}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Before the readings of both become one's."""
    join(conn, keep, drop)
