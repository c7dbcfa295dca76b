"""Members under names that mean nothing outside: for everything exported to be analysed.

A pseudonym is a keyed hash of the member's number: the same in every export of this database, so
that files can be joined, and leading back to nobody without the key, which stands in `meta` and
leaves the house in no export.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import partial

from store.db import Database
from store.dialect import Connection

_SECRET = "pseudonym_secret"  # noqa: S105 - a name
_LETTERS = 16
"""80 bits: among a million members two alike once in two million million databases."""


def pseudonym(key: bytes, member_id: int) -> str:
    """ "m_" and 16 letters and digits, the same for the same member as long as the key is."""
    mark = hmac.digest(key, b"pseudonym:member:%d" % member_id, hashlib.sha256)
    return "m_" + base64.b32encode(mark).decode().lower()[:_LETTERS]


def key_in(conn: Connection) -> bytes | None:
    """The key, inside somebody's transaction; None when nothing was exported yet."""
    row = conn.execute("select value from meta where name = ?", (_SECRET,)).fetchone()
    return None if row is None else bytes.fromhex(row[0])


def _made(conn: Connection, fresh: str) -> bytes:
    conn.execute(
        "insert into meta (name, value) values (?, ?) on conflict (name) do nothing",
        (_SECRET, fresh),
    )
    key = key_in(conn)
    assert key is not None
    return key


class Pseudonyms:
    """The key of the pseudonyms, in `meta`. Errors: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def key(self) -> bytes:
        """The key, made when it is first needed."""
        found = await self._db.read(key_in)
        if found is not None:
            return found
        return await self._db.write(partial(_made, fresh=secrets.token_hex(32)))
