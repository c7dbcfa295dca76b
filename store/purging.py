"""How long things are kept: what is older goes, a little at a time.

Only what nothing else stands on. The last row of a log stays, for jobs remember how far they have
come by its number, and numbers start again when a log is empty. Of the shop's events only those
of looking go: purchases, refunds, enrolments and progress are what courses, points, tiers and the
books are made of.
"""

from __future__ import annotations

from functools import partial

from store.db import Database
from store.dialect import Connection

SLICE = 2000
"""Rows a transaction, so that no answer waits long."""

LOOKS = ("exposure", "view", "click", "add_to_cart")
"""Kinds of events that say that somebody looked, and no more."""

_LOOKS = ", ".join(f"'{kind}'" for kind in LOOKS)
_STATEMENTS = {
    "events": f"delete from events where id in (select id from events where kind in ({_LOOKS}) "
    "and at < ? and id < (select max(id) from events) limit ?)",
    "reports": "delete from findings where name in "
    "(select name from findings where name like 'report:%' and made_at < ? limit ?)",
    "noise_spent": "delete from noise_spent where id in "
    "(select id from noise_spent where at < ? limit ?)",
    "erasures": "delete from erasures where id in (select id from erasures "
    "where at < ? and backups_at is not null limit ?)",
}
"""Table -> what takes the next slice of it out; reports are rows of `findings`. Readings, labels
and alerts have theirs: `store/readings.py`, `store/mood_labels.py`, `store/alerts.py`."""


class Purging:
    """Rows whose time is over. Errors: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def remove_log(self, before: float) -> int:
        """Remove the log of messages up to then; says how many rows.

        From the first row on, and no further than there is something old: `at` has no index, and
        the writer must not read millions of rows for it.
        """
        after = done = 0
        while True:
            seen, old, after = await self._db.write(
                partial(_remove_oldest, after=after, before=before)
            )
            done += old
            if seen < SLICE or not old:
                return done

    async def remove(self, table: str, before: float) -> int:
        """Remove what is older; says how many rows. table: one of those above (KeyError)."""
        statement = _STATEMENTS[table]
        done = 0
        while True:
            rows = await self._db.write(
                lambda conn: conn.execute(statement, (before, SLICE)).rowcount
            )
            done += rows
            if rows < SLICE:
                return done


def _remove_oldest(conn: Connection, after: int, before: float) -> tuple[int, int, int]:
    """(rows looked at, rows removed, the number of the last one) of a slice of the log."""
    rows = conn.execute(
        "select id, at from interactions where id > ? "
        "and id < (select max(id) from interactions) order by id limit ?",
        (after, SLICE),
    ).fetchall()
    old = [row[0] for row in rows if row[1] < before]
    if not old:
        return len(rows), 0, after
    conn.execute(
        "delete from interactions where id >= ? and id <= ? and at < ?", (old[0], old[-1], before)
    )
    return len(rows), len(old), rows[-1][0]
