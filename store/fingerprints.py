"""Names that are compared and not kept: a keyed hash outlives what it was made of.

Without the key, which stands in `meta` and leaves the house in no export, it leads back to
nobody and to nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from store.dialect import Connection

SECRET = "fingerprint_secret"  # noqa: S105 - a name
"""Where `meta` keeps the key of the hashes."""


def fingerprint(conn: Connection, name: str) -> bytes:
    """The 32 bytes that tell a name apart, the same for the same name for ever."""
    return hmac.digest(_secret(conn), name.encode("utf-8", "replace"), hashlib.sha256)


def print_of(conn: Connection, channel: str, external_id: str) -> bytes:
    """The fingerprint of an identity."""
    return fingerprint(conn, f"{channel}:{external_id}")


def union_print(conn: Connection, member_id: int) -> bytes | None:
    """The fingerprint of a member's unionid; None without one."""
    row = conn.execute("select unionid from members where id = ?", (member_id,)).fetchone()
    # The blank keeps it apart from every channel's name.
    return None if row is None or not row[0] else fingerprint(conn, f" {row[0]}")


def _secret(conn: Connection) -> bytes:
    """The key of the hashes, made when it is first needed."""
    row = conn.execute("select value from meta where name = ?", (SECRET,)).fetchone()
    if row is None:
        conn.execute(
            "insert into meta (name, value) values (?, ?) on conflict (name) do nothing",
            (SECRET, secrets.token_hex(32)),
        )
        row = conn.execute("select value from meta where name = ?", (SECRET,)).fetchone()
    return bytes.fromhex(row[0])
