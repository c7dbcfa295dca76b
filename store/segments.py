"""Segments: rules that operators gave a name, for `segment:"..."` in other rules.

A name means one thing at a time: changing a segment changes whom every rule that names it
finds, from the next question on. Lists that are frozen already stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from store import rules
from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed
from store.rules import Audience, Everyone, RuleError

MOST = 200
"""Segments of one store."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A saved rule. created_by: as in the audit."""

    name: str
    rule: str
    created_at: float
    created_by: str
    updated_at: float


class Saved(StrEnum):
    """What became of saving one. SAME: it says this already."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    BAD_NAME = "bad_name"
    TAKEN = "taken"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Use:
    """What names a segment. kind: "segment", "campaign", "journey", "offer" or "quiz"."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of removing one: done, or used by these, or (neither) there was none."""

    removed: bool
    used_by: tuple[Use, ...] = ()


class Segments:
    """The table `segments`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, name: str, rule: str, now: float, by: str, deed: Deed) -> Saved:
        """Save a rule under a name, or change it. by: as in the audit.

        TAKEN: every store has one of this name. Nothing is saved that names itself, however far
        around, or a segment there is not. Errors: RuleError.
        """
        name = rules.segment_name(name)

        def run(conn: Connection) -> Saved:
            before = _rule(conn, name)
            check(conn, name, rule)
            if name in rules.BUILT_IN:
                return Saved.TAKEN
            if not _is_name(name):
                return Saved.BAD_NAME
            if before == rule:
                return Saved.SAME
            count = conn.execute("select count(*) from segments").fetchone()[0]
            if before is None and count >= MOST:
                return Saved.TOO_MANY
            conn.execute(
                "insert into segments (name, rule, created_at, created_by, updated_at) "
                "values (?, ?, ?, ?, ?) on conflict (name) do update set "
                "rule = excluded.rule, updated_at = excluded.updated_at",
                (name, rule, now, by, now),
            )
            told = rule if before is None else f"{before} -> {rule}"
            deed.write(conn, f"segment:{name}", told)
            return Saved.NEW if before is None else Saved.CHANGED

        return await self._db.write(run)

    async def remove(self, name: str, deed: Deed) -> Removal:
        """Remove one that nothing names any more."""
        name = rules.segment_name(name)

        def run(conn: Connection) -> Removal:
            rule = _rule(conn, name)
            if rule is None:
                return Removal(False)
            users = used_by(conn, name)
            if users:
                return Removal(False, users)
            conn.execute("delete from segments where name = ?", (name,))
            deed.write(conn, f"segment:{name}", rule)
            return Removal(True)

        return await self._db.write(run)

    async def get(self, name: str) -> Segment | None:
        """One by its name, however it is spelt; None when there is none."""

        def run(conn: Connection) -> Segment | None:
            row = conn.execute(
                f"select {_COLUMNS} from segments where name = ?", (rules.segment_name(name),)
            ).fetchone()
            return None if row is None else Segment(*row)

        return await self._db.read(run)

    async def all(self) -> list[Segment]:
        """All that were saved, by name."""

        def run(conn: Connection) -> list[Segment]:
            rows = conn.execute(f"select {_COLUMNS} from segments order by name").fetchall()
            return [Segment(*row) for row in rows]

        return await self._db.read(run)

    async def used_by(self, name: str) -> tuple[Use, ...]:
        """What names it and has not ended, segments first; () for nothing."""
        return await self._db.read(lambda conn: used_by(conn, rules.segment_name(name)))

    async def check(self, rule: str, name: str = "") -> Audience:
        """The audience of a rule whose segments there are. Errors: RuleError.

        name: of the segment it would be, "" for none: then it may be everyone.
        """
        return await self._db.read(
            lambda conn: check(conn, rules.segment_name(name), rule) if name else _whole(conn, rule)
        )


def all_rules(conn: Connection) -> dict[str, str]:
    """Name -> rule of all saved segments."""
    return dict(conn.execute("select name, rule from segments").fetchall())


def check(conn: Connection, name: str, rule: str) -> Audience:
    """The tree of a rule that may be saved under this name. Errors: RuleError."""
    tree = rules.parse(rule)
    if isinstance(tree, Everyone):
        raise RuleError("everyone-alone", 1, "a rule that is not everyone")
    saved = all_rules(conn) | {name: rule}
    # A loop through the name shows here too, and at the place in this rule.
    rules.expand(tree, saved)
    for other in _above(saved, name):
        try:
            rules.expand(rules.parse(saved[other]), saved)
        except RuleError as error:
            # One that was wrong before is not made so by this.
            if error.code in ("too-many", "too-deep"):
                raise RuleError(error.code, 1, error.expected, other) from error
    return tree


def _above(saved: Mapping[str, str], name: str) -> set[str]:
    """What names a segment, also by way of others; it has no loops."""
    found: set[str] = set()
    named = {other: _named(rule) for other, rule in saved.items()}
    fresh = {name}
    while fresh:
        fresh = {other for other, names in named.items() if names & fresh} - found
        found |= fresh
    return found


def _whole(conn: Connection, rule: str) -> Audience:
    tree = rules.parse(rule)
    rules.expand(tree, all_rules(conn))
    return tree


_COLUMNS = "name, rule, created_at, created_by, updated_at"
# Kind -> the name and the rule of what has not ended.
_USERS = (
    ("segment", "select name, rule from segments order by name"),
    (
        "campaign",
        "select 'c' || cast(id as text), audience from campaigns "
        "where status not in ('done', 'cancelled') order by id",
    ),
    ("journey", "select name, audience from journeys where status <> 'closed' order by id"),
    ("offer", "select word, audience from offers where status <> 'closed' order by id"),
    (
        "quiz",
        "select title, audience from quizzes where status not in ('closed', 'cancelled') "
        "order by id",
    ),
)


def used_by(conn: Connection, name: str) -> tuple[Use, ...]:
    """What names a segment and has not ended, segments first; () for nothing."""
    return tuple(
        Use(kind, user)
        for kind, sql in _USERS
        for user, rule in conn.execute(sql).fetchall()
        if name in _named(rule)
    )


def _named(rule: str) -> frozenset[str]:
    """The segments that a rule names; none for one that cannot be read, or an empty one."""
    try:
        return rules.segments(rules.parse(rule))
    except RuleError:
        return frozenset()


def _rule(conn: Connection, name: str) -> str | None:
    row = conn.execute("select rule from segments where name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _is_name(name: str) -> bool:
    """Whether a rule could name it."""
    if not 0 < len(name) <= rules.LONGEST_NAME or not name.isprintable():
        return False
    term = rules.Term("segment", ":", name)
    try:
        return rules.parse(rules.unparse(term)) == term
    except RuleError:
        return False
