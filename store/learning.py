"""How the FAQ learns: changes with their undo, members' votes, and which answers are used.

Every change is one transaction: the entry, its wordings, the gaps it closes, and a row of
`faq_changes` that holds all of it as it was. The row is unique for a message, so the same
message after a crash changes nothing twice. `Content` reads entries and imports files; what
is changed by hand in a chat goes through here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from store.content import (
    Faq,
    close_gaps,
    entry_of,
    owners_of,
    put_entry,
    reopen_gaps,
    take_out,
    touch,
)
from store.db import Database
from store.dialect import Connection

MIN_VOTES = 5
BAD = 0.3
"""Fewer voters say nothing about an answer; below this quality it is demoted."""


@dataclass(frozen=True, slots=True)
class By:
    """Who changes something, when, and with which message.

    actor: "member:3" or "cli". at: Unix seconds. key: the message's, None outside a chat.
    """

    actor: str
    at: float
    key: bytes | None = None


class Why(StrEnum):
    """Why nothing was changed."""

    MISSING = "missing"  # no such entry or change
    TAKEN = "taken"  # a wording belongs to another entry
    FULL = "full"  # the entry would have too many wordings
    SAME = "same"  # it is like that already
    MAIN = "main"  # the main question cannot go while the entry stays
    UNDONE = "undone"  # this change was undone before
    LATER = "later"  # a later change of the same entry is in the way
    MOVED = "moved"  # the entry was changed by other means, such as an import


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed. faq_id, question, change_id: what stands in the way, if it is one."""

    why: Why
    faq_id: int = 0
    question: str = ""
    change_id: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One thing done to the FAQ.

    kind: add, replace, edit, alias, unalias, del, dismiss. faq_id: 0 when no entry is
    concerned. before, after: the entry, None while there is none. gaps: samples of the
    unanswered questions that it closed.
    """

    id: int
    at: float
    actor: str
    kind: str
    faq_id: int
    before: Faq | None
    after: Faq | None
    gaps: tuple[str, ...]
    undone: bool

    @property
    def question(self) -> str:
        """What to call the entry by; the first gap when there is none."""
        entry = self.after or self.before
        return entry.questions[0] if entry else next(iter(self.gaps), "")


@dataclass(frozen=True, slots=True)
class Standing:
    """How an entry does.

    uses: times it was the answer in the period asked for; last_used_at: ever, 0 for never.
    useful, useless: members whose last vote on the present answer says so.
    """

    faq_id: int
    question: str
    aliases: int
    created_at: float
    uses: int
    last_used_at: float
    useful: int
    useless: int

    @property
    def quality(self) -> float:
        """How good members find it, 0 to 1: the mean of a uniform prior and the votes."""
        return (self.useful + 1) / (self.useful + self.useless + 2)


@dataclass(frozen=True, slots=True)
class Report:
    """How questions ended in a period, and every live entry's standing, by number."""

    answered: int
    offered: int
    unknown: int
    entries: tuple[Standing, ...]


_CHANGE = "select id, at, actor, kind, faq_id, before, after, gaps, undone_at from faq_changes "
_UNDO = "undo:"
"""An undo is a row as well, so that it happens once for its message: "undo:17"."""

# Votes on the answer as it is now: a corrected answer starts anew.
_VOTES = (
    "select v.faq_id, sum(v.useful) as useful, count(*) as votes from faq_votes as v "
    "join faq as f on f.id = v.faq_id and f.deleted_at is null and v.at >= f.updated_at "
    "{where} group by v.faq_id"
)


class Learning:
    """The tables `faq_changes` and `faq_votes`, and all changes of the FAQ by hand."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # Changes

    async def teach(
        self,
        questions: Sequence[str],
        answer: str,
        by: By,
        *,
        limit: int,
        replacing: bool = True,
        gaps: Iterable[str] = (),
    ) -> Change | Refused:
        """A new entry, or another answer for the one that has the first question.

        questions: the main one first, then aliases; those not known yet are added. limit:
        wordings one entry may have. replacing: False refuses when the question is known.
        gaps: unanswered questions (cleaned) that this answers. Refused: TAKEN, FULL, SAME.
        """
        wanted = tuple(dict.fromkeys(questions))

        def run(conn: Connection) -> Change | Refused:
            owners = owners_of(conn, wanted)
            faq_id = owners.pop(wanted[0], 0)
            if faq_id and not replacing:
                old = entry_of(conn, faq_id)
                same = old is not None and old.answer == answer
                same = same and old is not None and set(wanted) <= set(old.questions)
                return Refused(Why.SAME if same else Why.TAKEN, faq_id, wanted[0])
            for question, owner in owners.items():
                if owner != faq_id:
                    return Refused(Why.TAKEN, owner, question)
            if not faq_id:
                after = Faq(0, wanted, answer, by.at)
                return _change(conn, by, "add", None, after, gaps, limit)
            before = _live(conn, faq_id)
            after = _answered(_with(before, wanted), answer, by.at)
            return _change(conn, by, "replace", before, after, gaps, limit)

        return await self._once(by, run)

    async def edit(self, faq_id: int, answer: str, by: By) -> Change | Refused:
        """Another answer for an entry. Refused: MISSING, SAME."""

        def run(conn: Connection) -> Change | Refused:
            before = entry_of(conn, faq_id)
            if before is None:
                return Refused(Why.MISSING, faq_id)
            return _change(conn, by, "edit", before, _answered(before, answer, by.at))

        return await self._once(by, run)

    async def alias(
        self,
        faq_id: int,
        questions: Sequence[str],
        by: By,
        *,
        limit: int,
        gaps: Iterable[str] = (),
    ) -> Change | Refused:
        """More wordings for an entry; all of them or none.

        limit, gaps: as for `teach`. Refused: MISSING, TAKEN, FULL, SAME.
        """

        def run(conn: Connection) -> Change | Refused:
            before = entry_of(conn, faq_id)
            if before is None:
                return Refused(Why.MISSING, faq_id)
            for question, owner in owners_of(conn, questions).items():
                if owner != faq_id:
                    return Refused(Why.TAKEN, owner, question)
            return _change(conn, by, "alias", before, _with(before, questions), gaps, limit)

        return await self._once(by, run)

    async def unalias(self, faq_id: int, question: str, by: By) -> Change | Refused:
        """Take a wording away. Refused: MISSING, MAIN, SAME (it is none of this entry's)."""

        def run(conn: Connection) -> Change | Refused:
            before = entry_of(conn, faq_id)
            if before is None:
                return Refused(Why.MISSING, faq_id)
            if question == before.questions[0]:
                return Refused(Why.MAIN, faq_id, question)
            left = tuple(one for one in before.questions if one != question)
            return _change(conn, by, "unalias", before, replace(before, questions=left))

        return await self._once(by, run)

    async def delete(self, faq_id: int, by: By) -> Change | Refused:
        """Take an entry out; its wordings are free again. Refused: MISSING."""

        def run(conn: Connection) -> Change | Refused:
            before = entry_of(conn, faq_id)
            if before is None:
                return Refused(Why.MISSING, faq_id)
            return _change(conn, by, "del", before, None)

        return await self._once(by, run)

    async def dismiss(self, gaps: Iterable[str], by: By) -> Change | Refused:
        """Drop unanswered questions (cleaned) from the list. Refused: MISSING (none is there)."""

        def run(conn: Connection) -> Change | Refused:
            closed = close_gaps(conn, gaps)
            if not closed:
                return Refused(Why.MISSING)
            return _written(conn, by, "dismiss", 0, None, None, closed)

        return await self._once(by, run)

    async def close(self, change_id: int, gaps: Iterable[str]) -> int:
        """These unanswered questions are answered by that change: its undo brings them back.

        Says how many were closed; none when the change has been undone.
        """

        def run(conn: Connection) -> int:
            row = conn.execute(
                "select gaps from faq_changes where id = ? and undone_at is null", (change_id,)
            ).fetchone()
            closed = [] if row is None else close_gaps(conn, gaps)
            if closed:
                conn.execute(
                    "update faq_changes set gaps = ? where id = ?",
                    (_json(json.loads(row[0]) + closed), change_id),
                )
            return len(closed)

        return await self._db.write(run)

    async def undo(self, by: By, change_id: int | None = None) -> Change | Refused:
        """Bring back what was before a change: the entry, its wordings, the gaps it closed.

        change_id: None for this actor's newest change that stands. Gives that change.
        Refused: MISSING, UNDONE, LATER, MOVED, TAKEN.
        """

        def run(conn: Connection) -> Change | Refused:
            row = conn.execute(
                _CHANGE + "where kind not like 'undo:%' and (id = ? or (? is null and actor = ? "
                "and undone_at is null)) order by id desc limit 1",
                (change_id, change_id, by.actor),
            ).fetchone()
            if row is None:
                return Refused(Why.MISSING, change_id=change_id or 0)
            change = _read(row)
            if change.undone:
                return Refused(Why.UNDONE, change_id=change.id)
            hindrance = _restore(conn, change) if change.faq_id else None
            if hindrance is not None:
                return hindrance
            reopen_gaps(conn, json.loads(row[7]))
            conn.execute("update faq_changes set undone_at = ? where id = ?", (by.at, change.id))
            _written(conn, by, f"{_UNDO}{change.id}", change.faq_id, change.after, change.before)
            return replace(change, undone=True)

        return await self._once(by, run)

    async def changes(self, limit: int = 10, faq_id: int | None = None) -> list[Change]:
        """The newest changes first, of one entry or of all; undone ones too."""

        def run(conn: Connection) -> list[Change]:
            rows = conn.execute(
                _CHANGE + "where kind not like 'undo:%' and (? is null or faq_id = ?) "
                "order by id desc limit ?",
                (faq_id, faq_id, limit),
            )
            return [_read(row) for row in rows]

        return await self._db.read(run)

    async def entry(self, faq_id: int) -> Faq | None:
        """One live entry; None when there is none."""
        return await self._db.read(lambda conn: entry_of(conn, faq_id))

    async def _once(
        self, by: By, run: Callable[[Connection], Change | Refused]
    ) -> Change | Refused:
        """Run a change unless this message has made one: then that one again."""

        def guarded(conn: Connection) -> Change | Refused:
            made = _made_by(conn, by.key)
            if made is not None:
                return made
            done = run(conn)
            if isinstance(done, Change):
                touch(conn)
            return done

        return await self._db.write(guarded)

    # Votes and use

    async def vote(self, member_id: int, faq_id: int, useful: bool, now: float) -> bool:
        """What a member thinks of an answer; their latest word counts.

        True when the entry has just become `demoted`, or is not any more.
        """

        def run(conn: Connection) -> bool:
            before = _demoted(conn, MIN_VOTES, BAD, faq_id)
            conn.execute(
                "insert into faq_votes (member_id, faq_id, useful, at) select id, ?, ?, ? "
                "from members where id = ? on conflict (member_id, faq_id) do update set "
                "useful = excluded.useful, at = excluded.at where excluded.at >= faq_votes.at",
                (faq_id, int(useful), now, member_id),
            )
            return before != _demoted(conn, MIN_VOTES, BAD, faq_id)

        return await self._db.write(run)

    async def demoted(self, min_votes: int = MIN_VOTES, below: float = BAD) -> frozenset[int]:
        """Entries that members find so bad that they should only be offered, not told.

        min_votes: members who have to have voted; below: quality, see `Standing`.
        """
        return await self._db.read(lambda conn: _demoted(conn, min_votes, below))

    async def report(self, since: float) -> Report:
        """How entries do: use since then and ever, votes on the present answers.

        Reads all interactions: 1.4 s for a million, on a reader.
        """

        def run(conn: Connection) -> Report:
            uses: dict[str, tuple[int, float]] = {}
            ends = dict.fromkeys(("faq", "faq.offer", "faq.unknown"), 0)
            for handler, item, count, last in conn.execute(
                "select handler, item, sum(case when at >= ? then 1 else 0 end), max(at) "
                "from interactions where handler in ('faq', 'faq.offer', 'faq.unknown') "
                "group by handler, item",
                (since,),
            ):
                ends[handler] += count
                if handler == "faq":
                    uses[item] = (count, last)
            votes = {
                row[0]: (row[1], row[2] - row[1]) for row in conn.execute(_VOTES.format(where=""))
            }
            rows = conn.execute(
                "select f.id, f.question, f.created_at, (select count(*) from faq_questions as q "
                "where q.faq_id = f.id and q.main = 0) from faq as f "
                "where f.deleted_at is null order by f.id"
            )
            entries = tuple(
                Standing(
                    faq_id,
                    question,
                    aliases,
                    created_at,
                    *uses.get(f"faq:{faq_id}", (0, 0.0)),
                    *votes.get(faq_id, (0, 0)),
                )
                for faq_id, question, created_at, aliases in rows
            )
            return Report(ends["faq"], ends["faq.offer"], ends["faq.unknown"], entries)

        return await self._db.read(run)


def _demoted(
    conn: Connection, min_votes: int, below: float, faq_id: int | None = None
) -> frozenset[int]:
    """faq_id: look at this entry only, which is quick."""
    voted = _VOTES.format(where="where v.faq_id = ?" if faq_id else "")
    rows = conn.execute(
        f"select faq_id from ({voted}) as voted "
        "where votes >= ? and (useful + 1.0) / (votes + 2.0) < ?",
        (*((faq_id,) if faq_id else ()), min_votes, below),
    )
    return frozenset(row[0] for row in rows)


def teacher(conn: Connection, faq_id: int) -> int | None:
    """The member whose answer an entry has now; None when no member's, or they are gone.

    For other stores' transactions.
    """
    row = conn.execute(
        "select actor from faq_changes where faq_id = ? and kind in ('add', 'replace', 'edit') "
        "and undone_at is null order by id desc limit 1",
        (faq_id,),
    ).fetchone()
    kind, _, number = ("" if row is None else row[0]).partition(":")
    if kind != "member":
        return None
    found = conn.execute(
        "select id from members where id = ? union all "
        "select member_id from aliases where name = ? and member_id is not null",
        (int(number), row[0]),
    ).fetchone()
    return None if found is None else int(found[0])


# The entry


def _live(conn: Connection, faq_id: int) -> Faq:
    entry = entry_of(conn, faq_id)
    assert entry is not None, "only live entries have questions"
    return entry


def _with(entry: Faq, questions: Iterable[str]) -> Faq:
    return replace(entry, questions=tuple(dict.fromkeys((*entry.questions, *questions))))


def _answered(entry: Faq, answer: str, now: float) -> Faq:
    """The same words again are no new answer: its votes stay."""
    return entry if entry.answer == answer else replace(entry, answer=answer, updated_at=now)


def _same(one: Faq | None, other: Faq | None) -> bool:
    """Whether two moments of an entry read alike; the order of aliases means nothing."""
    if one is None or other is None:
        return one is other
    return (one.answer, one.questions[:1], set(one.questions)) == (
        other.answer,
        other.questions[:1],
        set(other.questions),
    )


# The change


def _change(
    conn: Connection,
    by: By,
    kind: str,
    before: Faq | None,
    after: Faq | None,
    gaps: Iterable[str] = (),
    limit: int | None = None,
) -> Change | Refused:
    """Put the entry into its new state, close gaps and write it down."""
    faq_id = before.id if before else 0
    grows = after is not None and len(after.questions) > (len(before.questions) if before else 0)
    if grows and after is not None and limit is not None and len(after.questions) > limit:
        return Refused(Why.FULL, faq_id)
    closed = close_gaps(conn, gaps)
    if _same(before, after) and not closed:
        return Refused(Why.SAME, faq_id)
    if after is None:
        take_out(conn, faq_id, by.at)
    elif not _same(before, after):
        faq_id = put_entry(conn, faq_id, after, by.at)
        after = replace(after, id=faq_id)
    return _written(conn, by, kind, faq_id, before, after, closed)


def _restore(conn: Connection, change: Change) -> Refused | None:
    """The entry as it was before the change, or why that cannot be."""
    later = conn.execute(
        "select id from faq_changes where faq_id = ? and id > ? and undone_at is null "
        "order by id limit 1",
        (change.faq_id, change.id),
    ).fetchone()
    if later is not None:
        return Refused(Why.LATER, change.faq_id, change_id=later[0])
    if not _same(entry_of(conn, change.faq_id), change.after):
        return Refused(Why.MOVED, change.faq_id, change_id=change.id)
    if change.before is None:
        take_out(conn, change.faq_id, change.at)
        return None
    for question, owner in owners_of(conn, change.before.questions).items():
        if owner != change.faq_id:
            return Refused(Why.TAKEN, owner, question, change.id)
    put_entry(conn, change.faq_id, change.before, change.at)
    return None


def _written(
    conn: Connection,
    by: By,
    kind: str,
    faq_id: int,
    before: Faq | None,
    after: Faq | None,
    gaps: Sequence[dict[str, Any]] = (),
) -> Change:
    undone_at = by.at if kind.startswith(_UNDO) else None
    row = conn.execute(
        "insert into faq_changes (at, actor, kind, faq_id, before, after, gaps, message_key, "
        "undone_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "returning id, at, actor, kind, faq_id, before, after, gaps, undone_at",
        (
            *(by.at, by.actor, kind, faq_id, _kept(before), _kept(after)),
            *(_json(list(gaps)), by.key, undone_at),
        ),
    ).fetchone()
    return _read(row)


def _made_by(conn: Connection, key: bytes | None) -> Change | None:
    """What this message has changed already; for an undo the change that it undid."""
    row = conn.execute(_CHANGE + "where message_key = ?", (key,)).fetchone()
    if row is not None and row[3].startswith(_UNDO):
        undone = int(row[3].removeprefix(_UNDO))
        row = conn.execute(_CHANGE + "where id = ?", (undone,)).fetchone()
    return None if row is None else _read(row)


def _read(row: tuple[Any, ...]) -> Change:
    id, at, actor, kind, faq_id, before, after, gaps, undone_at = row
    return Change(
        *(id, at, actor, kind, faq_id, _entry_in(faq_id, before), _entry_in(faq_id, after)),
        tuple(gap["sample"] for gap in json.loads(gaps)),
        undone_at is not None,
    )


def _kept(entry: Faq | None) -> str:
    if entry is None:
        return ""
    return _json(
        {"questions": entry.questions, "answer": entry.answer, "updated_at": entry.updated_at}
    )


def _entry_in(faq_id: int, kept: str) -> Faq | None:
    if not kept:
        return None
    data = json.loads(kept)
    return Faq(faq_id, tuple(data["questions"]), data["answer"], data["updated_at"])


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
