"""The audit's chain: each row's hash covers the row before, so that a change shows.

What a row says of a person can be forgotten and the chain still holds: the hash covers the
hash of the detail, not the detail. A chain shows that rows were changed, taken out or put in;
who can write the file can also write a whole new chain, so note its head somewhere else
(`zhiqun audit verify` prints it).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from store.dialect import Connection

START = b"\0" * 32
"""What stands before the first row."""

HEAD = "audit_head"
"""Where `meta` keeps the newest row's number and hash, so that rows cut off the end show."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found. rows: looked at; head: hash of the newest, in hex.

    broken: number of the first row that does not fit, None when all do. missing: rows that the
    end lacks are known to have been there. known: whether the head that was asked for is among
    the rows' hashes. erased: rows whose detail was forgotten.
    """

    rows: int
    head: str
    broken: int | None = None
    missing: bool = False
    known: bool = True
    erased: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing was changed, taken out or put in."""
        return self.broken is None and not self.missing and self.known


def digest(detail: str) -> bytes:
    """The hash of a row's detail; 32 bytes."""
    return hashlib.sha256(detail.encode(errors="surrogatepass")).digest()


def link(
    before: bytes, at: float, actor: str, action: str, target: str, detail_hash: bytes
) -> bytes:
    """The hash of a row behind another; 32 bytes."""
    texts = [text.encode(errors="surrogatepass") for text in (actor, action, target)]
    # Lengths before the texts: moving a letter from one to the next is another row.
    sizes = struct.pack(">d3I", at, *map(len, texts))
    return hashlib.sha256(before + sizes + b"".join(texts) + detail_hash).digest()


def append(conn: Connection, at: float, actor: str, action: str, target: str, detail: str) -> None:
    """Write a row of the audit: the one way to do it. Inside the caller's transaction."""
    row = conn.execute("select hash from audit order by id desc limit 1").fetchone()
    before = START if row is None else bytes(row[0])
    detail_hash = digest(detail)
    newest = link(before, at, actor, action, target, detail_hash)
    number = conn.execute(
        "insert into audit (at, actor, action, target, detail, detail_hash, hash) "
        "values (?, ?, ?, ?, ?, ?, ?) returning id",
        (at, actor, action, target, detail, detail_hash, newest),
    ).fetchone()[0]
    _note(conn, number, newest)


def begin(conn: Connection) -> None:
    """Chain the rows that are there already, once."""
    before, number = START, 0
    rows = conn.execute("select id, at, actor, action, target, detail from audit order by id")
    for number, at, actor, action, target, detail in rows.fetchall():
        detail_hash = digest(detail)
        before = link(before, at, actor, action, target, detail_hash)
        conn.execute(
            "update audit set detail_hash = ?, hash = ? where id = ?",
            (detail_hash, before, number),
        )
    if number:
        _note(conn, number, before)


def _note(conn: Connection, number: int, newest: bytes) -> None:
    conn.execute(
        "insert into meta (name, value) values (?, ?) "
        "on conflict (name) do update set value = excluded.value",
        (HEAD, f"{number}:{newest.hex()}"),
    )


def verify(conn: Connection, head: str = "") -> Verdict:
    """Walk the whole chain. An empty audit is sound.

    head: an earlier head, or the beginning of one, hex; "" for none.
    """
    before, number, count, erased = START, 0, 0, 0
    known = not head
    rows = conn.execute(
        "select id, at, actor, action, target, detail, detail_hash, hash from audit order by id"
    )
    for number, at, actor, action, target, detail, detail_hash, stored in rows:
        count += 1
        kept = detail_hash is not None and bytes(detail_hash) == digest(detail)
        forgotten = detail_hash is not None and detail == ""
        wanted = link(before, at, actor, action, target, bytes(detail_hash or b""))
        if stored is None or bytes(stored) != wanted or not (kept or forgotten):
            return Verdict(count, before.hex(), broken=number, erased=erased)
        erased += forgotten and not kept
        before = wanted
        known = known or before.hex().startswith(head)
    noted = conn.execute("select value from meta where name = ?", (HEAD,)).fetchone()
    ended = "" if noted is None else str(noted[0])
    missing = ended != (f"{number}:{before.hex()}" if count else "")
    return Verdict(count, before.hex(), missing=missing, known=known, erased=erased)
