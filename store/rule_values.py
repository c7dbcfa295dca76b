"""What a rule names that there is not: a tag nobody carries, an item outside the catalogue.

Such a rule is sound and finds nobody, or with `not` everybody, so whoever wrote it should hear of
it. What exists is asked by an index; the names near by are gathered only for what is unknown.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from store import rule_states, rules
from store.dialect import Connection
from store.rules import Term

MOST = 1000
"""Known values among which the nearest is looked for."""

_NEAR = 0.5

_CAMPAIGN = re.compile(r"c(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Stranger:
    """A condition whose value is unknown. near: the value that was probably meant, "" for none."""

    term: Term
    near: str = ""

    @property
    def said(self) -> str:
        """The condition as it can be written: 标签:Pythn."""
        return _said(self.term.name, self.term.value)

    @property
    def near_said(self) -> str:
        """The same with the value that was probably meant; "" for none."""
        return _said(self.term.name, self.near) if self.near else ""


def _said(name: str, value: str) -> str:
    if name == "state":
        value = rule_states.CALLED[value][0]
    _, _, written = rules.unparse(Term(name, ":", value)).partition(":")
    return f"{rules.CALLED[name][0]}:{written}"


def strangers(
    conn: Connection, rule: str, *, tiers: Sequence[str] = (), topics: Sequence[str] = ()
) -> tuple[Stranger, ...]:
    """What a rule itself names that there is not, each once; () for nothing.

    tiers, topics: what is configured, () when that is not known; then nothing is said of them.
    Errors: RuleError.
    """
    given = {"tier": tiers, "topic": topics}
    found: list[Stranger] = []
    for term in dict.fromkeys(rules.terms(rules.parse(rule))):
        if term.name in given:
            known = given[term.name]
            if known and term.value not in known:
                found.append(Stranger(term, _nearest(term.value, known)))
        elif term.name in _EXISTS and not _exists(conn, term):
            found.append(Stranger(term, _near(conn, term)))
    return tuple(found)


_EXISTS: Mapping[str, str] = MappingProxyType(
    {
        "tag": "select 1 from member_tags where tag = ? limit 1",
        "bought": "select 1 from items where id = ?",
        "clicked": "select 1 from items where id = ?",
        "group": "select 1 from group_members where place = ? limit 1",
        "coupon": "select 1 from offers where word = ? limit 1",
        "member": "select 1 from members where id = ?",
        "campaign": "select 1 from campaigns where id = ?",
        # Nobody is in that state, or nothing was concluded of anybody yet.
        "state": "select 1 from member_features where state = ? limit 1",
    }
)


def _exists(conn: Connection, term: Term) -> bool:
    value: str | int = term.value
    question = _EXISTS[term.name]
    if term.name == "clicked" and (campaign := _CAMPAIGN.fullmatch(term.value)) is not None:
        question, value = _EXISTS["campaign"], int(campaign[1])
    elif term.name in ("member", "campaign"):
        value = int(term.value)
    return conn.execute(question, (value,)).fetchone() is not None


def _near(conn: Connection, term: Term) -> str:
    known = _KNOWN.get(term.name)
    if known is None:
        return ""
    if term.name in ("bought", "clicked"):
        # Courses are called by their titles, and written by their numbers.
        titles = conn.execute(
            "select id from items where lower(title) = ? limit 1", (term.value.lower(),)
        ).fetchone()
        if titles is not None:
            return str(titles[0])
    return _nearest(term.value, list(known(conn)))


def _nearest(value: str, known: Sequence[str]) -> str:
    """What differs only in case or blanks, else what is spelt most alike; "" for nothing."""
    plain = {"".join(one.casefold().split()): one for one in reversed(known) if '"' not in one}
    wanted = "".join(value.casefold().split())
    near = difflib.get_close_matches(wanted, list(plain), n=1, cutoff=_NEAR)
    return plain[near[0]] if near else ""


def _each(conn: Connection, table: str, column: str) -> Iterator[str]:
    """The different values of an indexed column, in order: one step for each, not for each row."""
    last = ""
    for _ in range(MOST):
        row = conn.execute(
            f"select min({column}) from {table} where {column} > ?", (last,)
        ).fetchone()
        if row[0] is None:
            return
        last = str(row[0])
        yield last


def _items(conn: Connection) -> Iterator[str]:
    yield from (row[0] for row in conn.execute("select id from items order by id limit ?", (MOST,)))


_KNOWN: Mapping[str, Callable[[Connection], Iterator[str]]] = MappingProxyType(
    {
        "tag": lambda conn: _each(conn, "member_tags", "tag"),
        "group": lambda conn: _each(conn, "group_members", "place"),
        "coupon": lambda conn: _each(conn, "offers", "word"),
        "bought": _items,
        "clicked": _items,
    }
)
