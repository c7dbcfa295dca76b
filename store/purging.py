"""How long things are kept: what is older goes, a little at a time.

Only what nothing else stands on. The last row of a log stays, for jobs remember how far they have
come by its number, and numbers start again when a log is empty. Of the shop's events only those
of looking go: purchases, refunds, enrolments and progress are what courses, points, tiers and the
books are made of.
"""

from __future__ import annotations

from store.db import Database

SLICE = 2000
"""Rows a transaction, so that no answer waits long."""

LOOKS = ("exposure", "view", "click", "add_to_cart")
"""Kinds of events that say that somebody looked, and no more."""

_LOOKS = ", ".join(f"'{kind}'" for kind in LOOKS)
_STATEMENTS = {
    "interactions": "delete from interactions where id in (select id from interactions "
    "where at < ? and id < (select max(id) from interactions) limit ?)",
    "events": f"delete from events where id in (select id from events where kind in ({_LOOKS}) "
    "and at < ? and id < (select max(id) from events) limit ?)",
    "mood_labels": "delete from mood_labels where id in "
    "(select id from mood_labels where at < ? limit ?)",
    "noise_spent": "delete from noise_spent where id in "
    "(select id from noise_spent where at < ? limit ?)",
    "erasures": "delete from erasures where id in (select id from erasures "
    "where at < ? and backups_at is not null limit ?)",
}
"""Table -> what takes the next slice of it out. Readings and alerts have their own:
`store/readings.py`, `store/alerts.py`."""


class Purging:
    """Rows whose time is over. Errors: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

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
