"""What somebody could be found by: collected before they are forgotten, looked for afterwards.

Four kinds. An id leads to them from anywhere. Words are what they alone wrote, a name is what
they are called; both may also stand, rightly, in what others wrote. A number, "member:12", stays
in the record of what was done, and means nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from store import aliases, dialect
from store.dialect import Connection
from store.pseudonyms import key_in, pseudonym

Kind = Literal["id", "order", "words", "name", "number"]

LEAST_WORDS = 6
"""Characters; 好的谢谢 is everybody's."""
MOST_WORDS = 2000
"""Of somebody's messages the longest so many are looked for."""
_LEAST_NAME = 2
_LEAST_ID = 6


class Needle(NamedTuple):
    """One thing to look for."""

    kind: Kind
    text: str


_IDS = (
    "select external_id from identities where member_id = ?",
    "select unionid from members where id = ?",
    "select scene from invites where member_id = ?",
)
_ORDERS = (
    "select order_id from events where member_id = ?",
    "select order_id from coupons where member_id = ?",
)
_NAMES = (
    "select name from group_members where member_id = ?",
    "select value from member_settings where name = 'name' and member_id = ?",
    "select name from signup_entries where member_id = ?",
)
_LOGS = ("interactions", "talk", "homework", "quiz_answers")


def needles_of(conn: Connection, member_id: int) -> list[Needle]:
    """Everything a member could be found by; [] for nobody.

    Words: only of at least `LEAST_WORDS` characters that nobody else wrote. It reads the logs
    from end to end, so it may take seconds.
    """
    if conn.execute("select 1 from members where id = ?", (member_id,)).fetchone() is None:
        return []
    merged = aliases.numbers(conn, member_id)
    found = {Needle("number", one) for one in (f"member:{member_id}", *merged)}
    if (key := key_in(conn)) is not None:
        numbers = [member_id, *(int(one.partition(":")[2]) for one in merged)]
        found |= {Needle("id", pseudonym(key, one)) for one in numbers}
    ids = [value for sql in _IDS for (value,) in conn.execute(sql, (member_id,))]
    for (name,) in conn.execute("select name from aliases where member_id = ?", (member_id,)):
        kind, _, rest = name.partition(":")
        # The number of a tap on a link is the figure's, and stays with it.
        if kind not in ("member", "click"):
            ids.append(rest)
    orders = [value for sql in _ORDERS for (value,) in conn.execute(sql, (member_id,))]
    names = [value.strip() for sql in _NAMES for (value,) in conn.execute(sql, (member_id,))]
    found |= {Needle("id", one) for one in ids if one and len(one) >= _LEAST_ID}
    found |= {Needle("order", one) for one in orders if one and len(one) >= _LEAST_ID}
    found |= {Needle("name", one) for one in names if len(one) >= _LEAST_NAME}
    longest = sorted(_own_words(conn, member_id), key=lambda text: (-len(text), text))
    return sorted(found | {Needle("words", text) for text in longest[:MOST_WORDS]})


def _own_words(conn: Connection, member_id: int) -> set[str]:
    """What they wrote and nobody else did, not even by chance."""
    mine: set[str] = set()
    for table in _LOGS:
        own = f"select text from {table} where member_id = ? and length(text) >= ?"
        mine |= {row[0] for row in conn.execute(own, (member_id, LEAST_WORDS))}
        for other in _LOGS:
            others = conn.execute(
                f"select distinct text from {other} where member_id <> ? and text in ({own})",
                (member_id, member_id, LEAST_WORDS),
            )
            mine -= {row[0] for row in others}
    return mine


def everything(path: Path) -> Iterator[tuple[str, list[str], list[tuple[Any, ...]]]]:
    """Every row of a copy of the database, as `dialect.everything` gives them, of one moment.

    Errors: dialect.DatabaseError.
    """
    conn = dialect.connect(path, writable=False)
    try:
        dialect.begin_read(conn)
        yield from dialect.everything(conn)
    finally:
        conn.close()
