"""What became of a notice before its own call was answered: kept until the answer names it.

WeChat's event may come while the runner still waits to write down the number that the event
names. The word stands with the member's passing states for a day.
"""

from __future__ import annotations

import json

from store.dialect import Connection

_KEPT_S = 86_400.0


def keep(
    conn: Connection, channel: str, external_id: str, number: str, word: tuple[str, str], now: float
) -> None:
    """Remember (status, reason) of a notice nobody knows yet; nothing for who is no member."""
    conn.execute(
        "insert into states (member_id, name, data, expires_at) "
        "select member_id, ?, ?, ? from identities where channel = ? and external_id = ? "
        "on conflict (member_id, name) do update set data = excluded.data",
        (_name(number), json.dumps(word), now + _KEPT_S, channel, external_id),
    )


def take(conn: Connection, member_id: int, number: str) -> tuple[str, str] | None:
    """What was remembered of a notice, once; None for nothing."""
    if not number:
        return None
    row = conn.execute(
        "delete from states where member_id = ? and name = ? returning data",
        (member_id, _name(number)),
    ).fetchone()
    if row is None:
        return None
    status, reason = json.loads(row[0])
    return status, reason


def _name(number: str) -> str:
    return f"notice:{number}"
