"""Keys of the REST API: who may call it and for what, without the secret that they are.

A signing secret is kept as it is, though: whoever checks a signature has to make it, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from store.db import Database
from store.dialect import Connection


@dataclass(frozen=True, slots=True)
class Key:
    """One key. hash: SHA-256 of its secret, in hex; per_minute: requests it may make.

    revoked_at, last_used_at: None when it never happened. signing_secret: what its requests
    are signed with; None when they are not.
    """

    id: str
    name: str
    hash: str
    scopes: frozenset[str]
    per_minute: int
    created_at: float
    revoked_at: float | None = None
    last_used_at: float | None = None
    signing_secret: str | None = field(default=None, repr=False)


_COLUMNS = (
    "id, name, hash, scopes, per_minute, created_at, revoked_at, last_used_at, signing_secret"
)


class Keys:
    """The table `api_keys`. A revoked key stays, so that the audit's "key:ID" has a name."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, key: Key) -> bool:
        """Write a new key; False when its id is taken."""

        def run(conn: Connection) -> bool:
            row = conn.execute(
                f"insert into api_keys ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "on conflict (id) do nothing returning id",
                (
                    key.id,
                    key.name,
                    key.hash,
                    " ".join(sorted(key.scopes)),
                    key.per_minute,
                    key.created_at,
                    key.revoked_at,
                    key.last_used_at,
                    key.signing_secret,
                ),
            ).fetchone()
            return row is not None

        return await self._db.write(run)

    async def all(self) -> list[Key]:
        """Every key, revoked ones too, oldest first."""

        def run(conn: Connection) -> list[Key]:
            return [
                Key(row[0], row[1], row[2], frozenset(row[3].split()), *row[4:])
                for row in conn.execute(f"select {_COLUMNS} from api_keys order by created_at, id")
            ]

        return await self._db.read(run)

    async def revoke(self, key_id: str, now: float) -> bool:
        """Close a key for good; False when there is none, or it is closed already."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute(
                    "update api_keys set revoked_at = ? where id = ? and revoked_at is null",
                    (now, key_id),
                ).rowcount
                == 1
            )

        return await self._db.write(run)

    async def used(self, last_uses: Iterable[tuple[str, float]]) -> None:
        """Note when keys were used last: (id, when); an older time changes nothing."""
        uses = [(at, key_id, at) for key_id, at in last_uses]

        def run(conn: Connection) -> None:
            conn.executemany(
                "update api_keys set last_used_at = ? "
                "where id = ? and (last_used_at is null or last_used_at < ?)",
                uses,
            )

        await self._db.write(run)
