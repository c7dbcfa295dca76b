"""Who may have a coupon or take part: a short rule, judged for one member.

A rule is a conjunction: `tag:VIP and level>=2 and segment:active`. "" is everyone. Nothing of
it is ever put into a statement: each condition is one fixed question about the member.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from store.dialect import Connection

NEW_S = 7 * 86_400.0
"""How long a member is new after we met."""
ACTIVE_S = 30 * 86_400.0
"""Who wrote within this is active, who did not is quiet."""
LONGEST = 500
"""Characters of a rule."""

_DID = {
    "checkin": "select 1 from checkins where member_id = ? limit 1",
    "homework": "select 1 from homework where member_id = ? limit 1",
    "quiz": "select 1 from quiz_attempts where member_id = ? and finished_at is not null limit 1",
    "invite": "select 1 from referrals where inviter_id = ? and status = 'credited' limit 1",
}
_SEGMENTS = ("new", "active", "quiet")
_NAMES = ("tag", "level", "tier", "bought", "did", "segment")
_TERM = re.compile(r'(?P<name>[^\s:<>="]+)\s*(?P<sign>:|>=|<=|=)\s*(?P<value>"[^"]*"|[^\s"]+)')
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)


class BadRule(ValueError):
    """A rule nobody can follow. at: the column, from 1."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. sign: ":" or, for levels, ">=", "<=" or "="."""

    name: str
    sign: str
    value: str


Rule = tuple[Term, ...]
"""All of these must hold; () is everyone."""


@lru_cache(maxsize=256)
def parse(text: str) -> Rule:
    """The rule that a text says; () for an empty one. Errors: BadRule.

    `tag:VIP`, `tag:"two words"`, `level>=2` (also `=` and `<=`), `tier:paid-monthly`,
    `bought:ITEM`, `did:checkin|homework|quiz|invite`, `segment:new|active|quiet`, joined by
    `and`.
    """
    if len(text) > LONGEST:
        raise BadRule(f"a rule has at most {LONGEST} characters", LONGEST + 1)
    end = len(text.rstrip())
    at = len(text) - len(text.lstrip())
    terms: list[Term] = []
    while at < end:
        found = _TERM.match(text, at, end)
        if found is None:
            raise BadRule("a condition such as tag:VIP or level>=2 is expected here", at + 1)
        terms.append(_checked(found))
        at = found.end()
        if at < end:
            joined = _AND.match(text, at, end)
            if joined is None or joined.end() == end:
                raise BadRule('"and" and another condition are expected here', at + 1)
            at = joined.end()
    return tuple(terms)


def _checked(found: re.Match[str]) -> Term:
    name, sign = found["name"].lower(), found["sign"]
    value = found["value"].strip('"').strip()
    where = found.start("value") + 1
    if name not in _NAMES:
        raise BadRule(
            f"there is no condition {name}; there are {', '.join(_NAMES)}", found.start() + 1
        )
    if name == "level":
        if sign == ":":
            sign = "="
        if not (value.isascii() and value.isdecimal() and len(value) < 4):
            raise BadRule("a level is a number from 0 to 999", where)
    elif sign != ":":
        raise BadRule(f"{name} takes a colon", found.start("sign") + 1)
    if not value:
        raise BadRule(f"{name} needs a value", where)
    if name == "did" and value not in _DID:
        raise BadRule(f"one can have done {', '.join(_DID)}", where)
    if name == "segment" and value not in _SEGMENTS:
        raise BadRule(f"there are the segments {', '.join(_SEGMENTS)}", where)
    return Term(name, sign, value)


def fits(
    conn: Connection,
    rule_text: str,
    member_id: int,
    now: float,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
) -> bool:
    """Whether a member is meant, now; False for a member there is not. Errors: BadRule.

    levels: points ever earned that reach each level, fewest first. tiers: of membership,
    lowest first: who has a higher one is meant too; a tier that is not in there counts alone.
    """
    rule = parse(rule_text)
    row = conn.execute(
        "select created_at, tier, tier_until from members where id = ?", (member_id,)
    ).fetchone()
    if row is None:
        return False
    created_at, tier, tier_until = row
    if tier_until is not None and tier_until <= now:
        tier = ""
    judge: dict[str, Callable[[Term], bool]] = {
        "tag": lambda term: _any(conn, _TAG, member_id, term.value),
        "level": lambda term: _compare(_level(conn, member_id, levels), term),
        "tier": lambda term: _reaches(tier, term.value, tiers),
        "bought": lambda term: _any(conn, _BOUGHT, member_id, term.value),
        "did": lambda term: _any(conn, _DID[term.value], member_id),
        "segment": lambda term: _is_in(conn, term.value, member_id, created_at, now),
    }
    return all(judge[term.name](term) for term in rule)


_TAG = "select 1 from member_tags where member_id = ? and tag = ?"
# Bought and given back is not bought; which refund means which purchase: see `courses._ended`.
_BOUGHT = (
    "select 1 from events as p where p.member_id = ? and p.item_id = ? and p.kind = 'purchase' "
    "and not exists (select 1 from events as r where r.member_id = p.member_id "
    "and r.item_id = p.item_id and r.kind = 'refund' and r.at >= p.at "
    "and (r.order_id = '' or p.order_id = '' or r.order_id = p.order_id)) limit 1"
)
_WROTE = "select 1 from interactions where member_id = ? and at >= ? and kind <> 'event' limit 1"


def _any(conn: Connection, sql: str, *args: object) -> bool:
    return conn.execute(sql, args).fetchone() is not None


def _level(conn: Connection, member_id: int, levels: Sequence[int]) -> int:
    """The number of the level somebody has, from 1; 0 below the first."""
    row = conn.execute(
        "select earned from point_accounts where member_id = ?", (member_id,)
    ).fetchone()
    earned = 0 if row is None else int(row[0])
    return sum(1 for points in levels if points <= earned)


def _compare(level: int, term: Term) -> bool:
    wanted = int(term.value)
    return {">=": level >= wanted, "<=": level <= wanted, "=": level == wanted}[term.sign]


def _reaches(tier: str, wanted: str, tiers: Sequence[str]) -> bool:
    if tier in tiers and wanted in tiers:
        return tiers.index(tier) >= tiers.index(wanted)
    return tier == wanted


def _is_in(conn: Connection, segment: str, member_id: int, created_at: float, now: float) -> bool:
    if segment == "new":
        return created_at >= now - NEW_S
    return _any(conn, _WROTE, member_id, now - ACTIVE_S) is (segment == "active")
