"""Everything remembered: all SQL of zhiqun, behind verbs of the domain.

Nothing outside this room writes SQL, and this room knows nothing of WeChat. SQLite is
the default; what is peculiar to it stands in `dialect.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from store import dialect
from store.content import Content
from store.db import Database, StoreError
from store.dialect import Connection
from store.interactions import Interactions
from store.ledgers import Audit, Meta, Quota, Tokens
from store.members import Members
from store.messages import Messages
from store.sends import Sends

__all__ = ["Store", "StoreError"]

MIGRATIONS = ("m0001_first",)
"""Names of all steps, so that an up-to-date file opens without the migration library."""


def migrate(conn: Connection) -> None:
    """Bring the schema up to date; the library is only loaded when there is work."""
    if set(MIGRATIONS) <= dialect.applied_migrations(conn, "zhiqun"):
        return
    # Imported here: it costs 0.1 s and 14 MB that a running server has no use for.
    from sqlite_utils import Database as Schema

    from store.migrations import migrations

    migrations.apply(Schema(conn))


class Store:
    """The file and its tables. Open it before use; `close` finishes pending writes."""

    def __init__(
        self,
        path: Path,
        *,
        durability: str = "full",
        busy_timeout_s: float = 30.0,
        readers: int = 2,
        owners: Iterable[tuple[str, str]] = (),
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self.db = Database(
            path,
            durability=durability,
            busy_timeout_s=busy_timeout_s,
            readers=readers,
            observe=observe,
        )
        self.messages = Messages(self.db)
        self.sends = Sends(self.db)
        self.members = Members(self.db, owners)
        self.content = Content(self.db)
        self.interactions = Interactions(self.db)
        self.audit = Audit(self.db)
        self.quota = Quota(self.db)
        self.tokens = Tokens(self.db)
        self.meta = Meta(self.db)

    async def open(self) -> None:
        """Open the file and bring its schema up to date. Errors: StoreError."""
        await self.db.open(migrate)

    async def close(self) -> None:
        """Finish what was handed over and close the file."""
        await self.db.close()

    async def backup(self, target: Path) -> None:
        """Copy everything to `target` while the bot goes on. Errors: StoreError, OSError."""
        await self.db.read(lambda conn: dialect.backup(conn, target))

    async def optimise(self) -> None:
        """Housekeeping for quiet hours."""

        def run() -> None:
            conn = dialect.connect(self.db.path)
            try:
                dialect.optimise(conn)
            finally:
                conn.close()

        await asyncio.to_thread(run)

    async def probe(self) -> list[tuple[bool, str]]:
        """Whether the file is sound: (fine, what was looked at and found)."""

        def run(conn: Connection) -> list[tuple[bool, str]]:
            found = dialect.quick_check(conn)
            return [
                (found == "ok", f"integrity: {found}"),
                (True, f"{len(dialect.tables(conn))} tables, schema {MIGRATIONS[-1]}"),
            ]

        return await self.db.read(run)
