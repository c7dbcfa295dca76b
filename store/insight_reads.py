"""What members did, as arrays: for jobs that look at everything at once, in a process of their own.

One row a thing that a member did: a message in private, a turn in a group, a tap on the menu.
What was said in a group and meant for the bot is one act, not two: it is read from `talk`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from store import dialect
from store.dialect import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS, TAP, CAME, LEFT = range(4)
"""What was done: words (or a picture, a voice), a tap on a menu or a code, following, unfollowing.
Coming and leaving are no interactions."""

_BLOCK = 100_000


class Acts(NamedTuple):
    """Columns of equal length, in the order of time. member: numbers. at: Unix seconds.

    place: index into `places`, where 0 is "", private. kind: WORDS, TAP, CAME or LEFT.
    """

    member: NDArray[np.int64]
    at: NDArray[np.float64]
    place: NDArray[np.int32]
    kind: NDArray[np.int8]
    places: list[str]


_ACTS = (
    "select member_id, at, '', case when kind = 'event:subscribe' then 2 "
    "when kind = 'event:unsubscribe' then 3 when kind like 'event:%' then 1 else 0 end "
    "from interactions where place = '' and at >= ? and at < ? and (kind not like 'event:%' "
    "or kind in ('event:CLICK', 'event:VIEW', 'event:SCAN', 'event:subscribe', "
    "'event:unsubscribe')) "
    "union all select member_id, at, place, 0 from talk "
    "where at >= ? and at < ? and member_id is not null and hidden = 0"
)


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """A connection that only reads, of this process's own; all it reads is one moment.

    Errors: the database's own (dialect.DatabaseError).
    """
    conn = dialect.connect(path, writable=False)
    try:
        dialect.begin_read(conn)
        yield conn
    finally:
        conn.close()


def acts(conn: Connection, since: float, until: float) -> Acts:
    """Everything that was done from `since` on and before `until`; empty columns for nothing.

    About 22 bytes a row, and seconds for millions.
    """
    # Here, because every command of the terminal imports this room.
    import numpy as np

    places: dict[str, int] = {"": 0}
    blocks: list[tuple[NDArray[Any], ...]] = []
    cursor = conn.execute(_ACTS, (since, until, since, until))
    while rows := cursor.fetchmany(_BLOCK):
        member, at, place, kind = zip(*rows, strict=True)
        blocks.append(
            (
                np.array(member, np.int64),
                np.array(at, np.float64),
                np.array([places.setdefault(one, len(places)) for one in place], np.int32),
                np.array(kind, np.int8),
            )
        )
    if not blocks:
        none = np.empty(0)
        return Acts(none.astype(np.int64), none, none.astype(np.int32), none.astype(np.int8), [""])
    columns = [np.concatenate(column) for column in zip(*blocks, strict=True)]
    order = np.argsort(columns[1], kind="stable")
    members, times, where, kinds = (column[order] for column in columns)
    return Acts(members, times, where, kinds, list(places))
