"""What operators are to hear of at once: one row for each piece of news, told once.

An alert keeps numbers and which messages it is about, never their words: those are read when it
is told, so that who takes a message back is not quoted. The same news has the same key, however
often a job finds it; telling it has the same key, too, so a kill in between tells nothing twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed
from store.statements import rows_of

RIGHT, WRONG = "right", "wrong"
"""Verdicts."""

_COLUMNS = "id, key, kind, at, place, member_id, topic, data, told_at, verdict"
_SLICE = 2000


def key_of(*parts: object) -> bytes:
    """The key of a piece of news: its kind, what it is about, its day; 16 bytes."""
    name = "\n".join(str(part) for part in ("alert", *parts))
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlert:
    """A piece of news.

    key: see `key_of`. kind: "member_angry", "topic_negative", "mood_drop", "topic_burst" and
    whatever else jobs find. at: when it showed. place: where, "" in private or anywhere. topic: a
    term, "" for none. data: numbers, by name, and under "rows" the messages that it is about, as
    [source, row].
    """

    key: bytes
    kind: str
    at: float
    place: str = ""
    member_id: int | None = None
    topic: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it is kept. verdict: RIGHT, WRONG, or "" for none yet."""

    id: int
    key: bytes
    kind: str
    at: float
    place: str
    member_id: int | None
    topic: str
    data: Mapping[str, Any]
    told_at: float | None
    verdict: str

    @property
    def rows(self) -> list[tuple[str, int]]:
        """The messages it is about, worst first."""
        return [(str(source), int(row)) for source, row in self.data.get("rows", [])]


def _alert(row: Sequence[Any]) -> Alert:
    values = list(row)
    values[1] = bytes(values[1])
    values[7] = json.loads(values[7])
    return Alert(*values)


class Alerts:
    """The table `alerts`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def raise_(self, new: NewAlert) -> bool:
        """Write it down to be told; False when it is known.

        Of a member who was forgotten meanwhile, or withheld it, nothing is written.
        """
        return await self._db.write(lambda conn: raise_in(conn, new))

    async def untold(self, since: float, limit: int = 20) -> list[Alert]:
        """What nobody was told yet, oldest first; what is older than `since` is no news."""

        def run(conn: Connection) -> list[Alert]:
            rows = conn.execute(
                f"select {_COLUMNS} from alerts where told_at is null and at >= ? "
                "order by id limit ?",
                (since, limit),
            )
            return [_alert(row) for row in rows]

        return await self._db.read(run)

    async def told(self, alert_id: int, now: float) -> None:
        """It has been told."""
        await self._db.write(
            lambda conn: (
                conn.execute(
                    "update alerts set told_at = ? where id = ? and told_at is null",
                    (now, alert_id),
                ).rowcount
            )
        )

    async def newest(self, limit: int) -> list[Alert]:
        """The newest first."""

        def run(conn: Connection) -> list[Alert]:
            rows = conn.execute(f"select {_COLUMNS} from alerts order by id desc limit ?", (limit,))
            return [_alert(row) for row in rows]

        return await self._db.read(run)

    async def one(self, alert_id: int) -> Alert | None:
        """An alert by its number."""

        def run(conn: Connection) -> Alert | None:
            row = conn.execute(
                f"select {_COLUMNS} from alerts where id = ?", (alert_id,)
            ).fetchone()
            return None if row is None else _alert(row)

        return await self._db.read(run)

    async def verdict(self, alert_id: int, right: bool, deed: Deed) -> bool | None:
        """An operator's word on it; False when it was so already, None when there is none."""
        word = RIGHT if right else WRONG

        def run(conn: Connection) -> bool | None:
            row = conn.execute("select verdict from alerts where id = ?", (alert_id,)).fetchone()
            if row is None:
                return None
            if row[0] == word:
                return False
            conn.execute("update alerts set verdict = ? where id = ?", (word, alert_id))
            deed.write(conn, f"alert:{alert_id}", word)
            return True

        return await self._db.write(run)

    async def counts(self, since: float) -> dict[str, int]:
        """Kind -> how many since then."""

        def run(conn: Connection) -> dict[str, int]:
            rows = conn.execute(
                "select kind, count(*) from alerts where at >= ? group by kind", (since,)
            )
            return dict(rows.fetchall())

        return await self._db.read(run)

    async def remove(self, before: float) -> int:
        """Forget alerts of before then; says how many. In slices."""
        done = 0
        while True:
            rows = await self._db.write(
                lambda conn: (
                    conn.execute(
                        "delete from alerts where id in "
                        "(select id from alerts where at < ? order by id limit ?)",
                        (before, _SLICE),
                    ).rowcount
                )
            )
            done += rows
            if rows < _SLICE:
                return done


def raise_in(conn: Connection, new: NewAlert) -> bool:
    """Write it inside a transaction; False when it is known, or of nobody any more."""
    # Looked up first: an insert that conflicts uses a number up, and operators type numbers.
    if conn.execute("select 1 from alerts where key = ?", (new.key,)).fetchone() is not None:
        return False
    if new.member_id is not None:
        there = conn.execute(
            "select 1 from members where id = ? and not exists (select 1 from consents "
            "where member_id = members.id and purpose = 'profiling' and granted = 0)",
            (new.member_id,),
        ).fetchone()
        if there is None:
            return False
    done = conn.execute(
        "insert into alerts (key, kind, at, place, member_id, topic, data) "
        "values (?, ?, ?, ?, ?, ?, ?) on conflict (key) do nothing returning id",
        (
            *(new.key, new.kind, new.at, new.place, new.member_id, new.topic),
            json.dumps(dict(new.data), ensure_ascii=False),
        ),
    ).fetchone()
    return done is not None


# For jobs, in a process of their own


def raised(conn: Connection, since: float) -> list[tuple[str, str, int | None, str, float]]:
    """(kind, place, member, topic, when) of what was raised since then: not to be raised again."""
    rows = conn.execute(
        "select kind, place, member_id, topic, at from alerts where at >= ? order by id", (since,)
    )
    return [tuple(row) for row in rows]


# For `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What operators were told of them."""
    return {
        "alerts": rows_of(
            conn,
            "select kind, at, place, data, verdict from alerts where member_id = ? order by id",
            member_id,
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """It goes with them; alerts of groups and topics name nobody and stay."""
    gone = conn.execute("delete from alerts where member_id = ?", (member_id,))
    return {"alerts": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """One person's."""
    conn.execute("update alerts set member_id = ? where member_id = ?", (keep, drop))
