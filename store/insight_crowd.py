"""Rows of a community that never was, written as fast as they come: for measurements.

Nothing of the service writes like this; it stands here because SQL does. What the rows say is
`bench/insight_world.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from store import dialect, migrate
from store.dialect import Connection

_SLICE = 100_000

COLUMNS = {
    "members": "id, created_at",
    "identities": "channel, external_id, member_id, followed, followed_at, unfollowed_at, "
    "last_seen_at",
    "groups": "id, place, channel, external_id, name, known_at, bound_at, bound_by",
    "group_members": "place, member_id, since, left_at, welcomed_at",
    "items": "id, kind, title, summary, tags, authors, level, price_cents, url, cover_url, "
    "updated_at",
    "optouts": "member_id, topic, since",
    "consents": "member_id, purpose, granted, at, source",
    "campaigns": "id, title, channel, audience, routes, status, window_s, seed, created_at, "
    "created_by, started_at, ended_at",
    "deliveries": "campaign_id, member_id, route, status, claimed_at, settled_at",
    "place_costs": "place, day, cents, at, by",
    "interactions": "id, at, channel, member_id, kind, text, handler, item, message_key, place",
    "talk": "id, key, place, member_id, at, kind, text, message_id, reply_to, addressed",
    "events": "id, event_id, kind, at, received_at, member_id, who, item_id, percent, "
    "amount_cents, order_id, campaign",
    "readings": "source, row_id, place, member_id, at, label, negative, positive, terms, model",
    "edges": "place, from_id, to_id, weight, count, at",
}
"""What is told of the rows of each table, in this order; all else is as a new row has it."""


@contextmanager
def filling(path: Path) -> Iterator[Connection]:
    """A connection that only writes, and a lot; the database is made when it is not there.

    Folds the log into the file at the end. Errors: the database's own.
    """
    conn = dialect.connect(path)
    try:
        migrate(conn)
        dialect.expect_much(conn)
        dialect.sync_commits(conn, False)
        # They are whole as they are made; looking each one up takes a third of the time.
        dialect.trust(conn)
        yield conn
        dialect.optimise(conn)
    finally:
        conn.close()


def clear_edges(conn: Connection) -> None:
    """Nobody turned to anybody yet."""
    conn.execute("delete from edges")


def add(conn: Connection, table: str, rows: Iterable[Sequence[Any]]) -> int:
    """Write rows of a table of COLUMNS; says how many."""
    columns = COLUMNS[table]
    marks = ", ".join("?" * (columns.count(",") + 1))
    statement = f"insert into {table} ({columns}) values ({marks})"
    left, done = iter(rows), 0
    while piece := list(islice(left, _SLICE)):
        dialect.begin(conn)
        conn.executemany(statement, piece)
        conn.execute("commit")
        done += len(piece)
    return done


def all_read(conn: Connection, now: float) -> None:
    """Say of both logs that their messages were read up to the last, and all before it."""
    for source, table in (("t", "talk"), ("i", "interactions")):
        last = conn.execute(f"select coalesce(max(id), 0) from {table}").fetchone()[0]
        for name, position in ((f"readings:{source}", last), (f"readings:{source}:past", 0)):
            conn.execute(
                "insert into cursors (name, position, at) values (?, ?, ?) on conflict (name) "
                "do update set position = excluded.position, at = excluded.at",
                (name, position, now),
            )


def counts(conn: Connection) -> dict[str, int]:
    """How many rows each table of interest has."""
    tables = (
        *("members", "interactions", "talk", "events", "edges", "deliveries", "readings"),
        *("term_days", "member_features", "communities", "community_members", "findings"),
    )
    return {
        table: int(conn.execute(f"select count(*) from {table}").fetchone()[0]) for table in tables
    }
