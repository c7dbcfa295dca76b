"""What operators said the mood of messages is: kept for the model, together with their words.

One label a message; another word of an operator replaces it. The model in use is always the one
that was loaded and the labels that stand here: no file keeps what somebody said, and who is
forgotten is unlearnt. `version` in the finding says when those labels became other ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed
from store.readings import CORRECTED, PRIVATE, TALK
from store.statements import rows_of

MODEL = "mood_model"
"""Name of the finding: which labels the model has learned, and what that changed."""
WANTED = "mood_retrain"
"""Name of the finding: who wants it to learn all labels that there are."""
LEAST = 10
"""Labels below which nothing is learned: with fewer, better or worse is chance."""
LABELS_KEPT = 5000
"""The newest are learned."""
_SLICE = 2000


class Label(NamedTuple):
    """A message and what an operator says that it is. was: what the model said, None: nothing."""

    id: int
    text: str
    label: int
    was: int | None


@dataclass(frozen=True, slots=True)
class Learned:
    """What the model has learned. version: 0 for nothing ever. labels: how many; before, after:
    share of them that the model had right without them, and has for labels that it did not see."""

    version: int = 0
    labels: int = 0
    before: float | None = None
    after: float | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """An operator's wish. key: of the message that said so, hex; done: the model has learned, and
    the operator has yet to hear of it."""

    key: str
    by: int
    at: float
    done: bool = False


class MoodLabels:
    """The table `mood_labels`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def correct(
        self, source: str, row_id: int, label: int, deed: Deed, keep: Callable[[str], str]
    ) -> bool | None:
        """An operator's word on a message; False when it was so already, None when it is gone.

        keep: makes of the message what is kept for the model: without numbers and names. What the
        figures know of the message is corrected, too.
        """

        def run(conn: Connection) -> bool | None:
            read = conn.execute(
                "select label, member_id from readings where source = ? and row_id = ?",
                (source, row_id),
            ).fetchone()
            text = _said(conn, source, row_id)
            if read is None or not text:
                return None
            old = conn.execute(
                "select label, was, learned_at from mood_labels where source = ? and row_id = ?",
                (source, row_id),
            ).fetchone()
            if old is not None and old[0] == label:
                return False
            conn.execute(
                "insert into mood_labels (source, row_id, member_id, text, label, was, at, by) "
                "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (source, row_id) do update set "
                "label = excluded.label, at = excluded.at, by = excluded.by, learned_at = null",
                (
                    *(source, row_id, read[1], keep(text), label),
                    *(read[0] if old is None else old[1], deed.at, deed.actor),
                ),
            )
            conn.execute(
                "update readings set label = ?, negative = ?, positive = ?, model = ? "
                "where source = ? and row_id = ?",
                (label, float(label < 0), float(label > 0), CORRECTED, source, row_id),
            )
            if old is not None and old[2] is not None:
                _other(conn)
            deed.write(conn, f"message:{source}{row_id}", str(label))
            return True

        return await self._db.write(run)

    async def count(self) -> tuple[int, int]:
        """(labels, those among them that were not learned yet)."""

        def run(conn: Connection) -> tuple[int, int]:
            row = conn.execute("select count(*), count(learned_at) from mood_labels").fetchone()
            return int(row[0]), int(row[0] - row[1])

        return await self._db.read(run)

    async def model(self) -> Learned:
        """What the model has learned."""
        return await self._db.read(_model)

    async def remove(self, before: float) -> int:
        """Forget labels of before then, and what the model learned of them; says how many."""
        where = "id in (select id from mood_labels where at < ? order by at limit ?)"
        done = 0
        while True:
            rows = await self._db.write(lambda conn: _gone(conn, where, before, _SLICE))
            done += rows
            if rows < _SLICE:
                return done

    # Learning

    async def want(self, key: str, by: int, deed: Deed) -> bool:
        """An operator wants the model to learn; the same message again changes nothing.

        False when somebody's wish waits already.
        """

        def run(conn: Connection) -> bool:
            waiting = _wanted(conn)
            if waiting is not None:
                return waiting.key == key
            _put(conn, WANTED, asdict(Wanted(key, by, deed.at)), deed.at)
            deed.write(conn, "model:mood")
            return True

        return await self._db.write(run)

    async def wanted(self) -> Wanted | None:
        """The wish that waits; None for none."""
        return await self._db.read(_wanted)

    async def learned(
        self, key: str, ids: list[int], before: float, after: float, now: float
    ) -> Learned:
        """These labels are the model's from now on; whose wish it was is to be told.

        Once for a wish: what it says stays what it was.
        """

        def run(conn: Connection) -> Learned:
            wish, old = _wanted(conn), _model(conn)
            if wish is None or wish.key != key or wish.done:
                return old
            conn.execute("update mood_labels set learned_at = null where learned_at is not null")
            conn.executemany(
                "update mood_labels set learned_at = ? where id = ?", [(now, one) for one in ids]
            )
            new = Learned(old.version + 1, len(ids), before, after, now)
            _put(conn, MODEL, asdict(new), now)
            _put(conn, WANTED, asdict(Wanted(wish.key, wish.by, wish.at, True)), now)
            return new

        return await self._db.write(run)

    async def settled(self, key: str) -> None:
        """The wish is fulfilled and told."""

        def run(conn: Connection) -> None:
            wish = _wanted(conn)
            if wish is not None and wish.key == key:
                conn.execute("delete from findings where name = ?", (WANTED,))

        await self._db.write(run)


def _said(conn: Connection, source: str, row_id: int) -> str:
    sql = {
        TALK: "select text from talk where id = ? and hidden = 0",
        PRIVATE: "select text from interactions where id = ?",
    }
    row = conn.execute(sql[source], (row_id,)).fetchone()
    return "" if row is None else str(row[0])


def _finding(conn: Connection, name: str) -> dict[str, Any] | None:
    """What is kept under a name; None for nothing, and for what cannot be read."""
    row = conn.execute("select data from findings where name = ?", (name,)).fetchone()
    try:
        return None if row is None else dict(json.loads(row[0]))
    except (ValueError, TypeError):
        return None


def _put(conn: Connection, name: str, data: dict[str, Any], now: float) -> None:
    conn.execute(
        "insert into findings (name, data, made_at) values (?, ?, ?) on conflict (name) "
        "do update set data = excluded.data, made_at = excluded.made_at",
        (name, json.dumps(data), now),
    )


def _model(conn: Connection) -> Learned:
    try:
        return Learned(**(_finding(conn, MODEL) or {}))
    except TypeError:
        return Learned()


def _wanted(conn: Connection) -> Wanted | None:
    try:
        found = _finding(conn, WANTED)
        return None if found is None else Wanted(**found)
    except TypeError:
        return None


def _other(conn: Connection) -> None:
    """Labels that were learned are there no more: whoever holds the model makes it anew."""
    old = _model(conn)
    count = conn.execute("select count(learned_at) from mood_labels").fetchone()[0]
    _put(conn, MODEL, asdict(old) | {"version": old.version + 1, "labels": count}, old.at)


# For jobs, in a process of their own


def labels(conn: Connection, *, learned: bool) -> list[Label]:
    """What is to be learned, oldest first, at most LABELS_KEPT; learned: what the model has."""
    where = "where learned_at is not null" if learned else ""
    rows = conn.execute(
        f"select id, text, label, was from mood_labels {where} order by at desc, id desc limit ?",
        (LABELS_KEPT,),
    ).fetchall()
    return [Label._make(row) for row in rows[::-1]]


# For `store/talk.py` and `store/personal.py`


def drop(conn: Connection, source: str, row_id: int) -> None:
    """Forget a message that was recalled."""
    _gone(conn, "source = ? and row_id = ?", source, row_id)


def drop_of(conn: Connection, member_id: int, source: str = "") -> int:
    """Forget a member's messages and what the model learned of them; "" in both logs."""
    if source:
        return _gone(conn, "member_id = ? and source = ?", member_id, source)
    return _gone(conn, "member_id = ?", member_id)


def _gone(conn: Connection, where: str, *args: Any) -> int:
    rows = conn.execute(
        f"delete from mood_labels where {where} returning learned_at", args
    ).fetchall()
    if any(row[0] is not None for row in rows):
        _other(conn)
    return len(rows)


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What operators said of their messages."""
    return {
        "mood_labels": rows_of(
            conn,
            "select text, label, was, at from mood_labels where member_id = ? order by id",
            member_id,
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Their words go, and the model forgets what it learned of them."""
    return {"mood_labels": drop_of(conn, member_id)}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """One person's words."""
    conn.execute("update mood_labels set member_id = ? where member_id = ?", (keep, drop))
