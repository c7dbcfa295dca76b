"""A past that never was: rows written straight into the tables, for demonstrations and proofs.

Nothing of the service writes like this; it stands here because SQL does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from store.db import Database
from store.dialect import Connection

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "members": ("id", "created_at"),
    "identities": (
        "channel",
        "external_id",
        "member_id",
        "followed",
        "followed_at",
        "unfollowed_at",
        "last_seen_at",
    ),
    "group_members": ("place", "member_id", "since", "left_at", "name", "welcomed_at"),
    "interactions": (
        "at",
        "channel",
        "member_id",
        "kind",
        "text",
        "handler",
        "item",
        "message_key",
    ),
    "talk": (
        "id",
        "key",
        "place",
        "member_id",
        "at",
        "kind",
        "text",
        "message_id",
        "reply_to",
        "addressed",
    ),
    "edges": ("place", "from_id", "to_id", "weight", "count", "at"),
    "events": (
        "event_id",
        "kind",
        "at",
        "received_at",
        "member_id",
        "item_id",
        "percent",
        "amount_cents",
        "order_id",
        "campaign",
    ),
    "place_costs": ("place", "day", "cents", "at", "by"),
}
"""What can be written, in an order in which every row finds those it names."""

_SLICE = 2000


async def fill(db: Database, rows: Mapping[str, Sequence[tuple[Any, ...]]]) -> None:
    """Write rows by table, each with the columns above; in slices, so that others get a turn.

    Errors: StoreError; a row whose unique key is there already stays as it is.
    """
    for table, columns in COLUMNS.items():
        statement = (
            f"insert into {table} ({', '.join(columns)}) "
            f"values ({', '.join('?' * len(columns))}) on conflict do nothing"
        )
        every = rows.get(table, ())
        for start in range(0, len(every), _SLICE):
            await db.write(_Insert(statement, every[start : start + _SLICE]))


class _Insert:
    """One slice."""

    def __init__(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._statement = statement
        self._rows = rows

    def __call__(self, conn: Connection) -> None:
        conn.executemany(self._statement, self._rows)
