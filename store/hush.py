"""What is not said any more: where a group is muted, where nobody wants the bot, or where it left.

What was planned before is dropped with the group; what is planned for a muted one waits for the
end of that, if it is worth waiting for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from store.dialect import Connection

PATIENT = ("campaign", "push")
"""Kinds of posts that wait for the end of a mute, however long, up to their own `not_after`."""

STALE_S = 600.0
"""Any other post means this moment: so long after it a welcome or a warning only puzzles."""

WELCOME_SQL = (
    "not exists (select 1 from groups as g where g.place = posts.place "
    "and (g.bound_at is null or g.left_at is not null))"
)
"""A condition on `posts`: nobody unbound the group, and the bot is still in it."""


def muted(conn: Connection, now: float) -> list[str]:
    """Places where nothing is said now."""
    rows = conn.execute("select place, rules from groups where rules like ?", ('%"muted_until"%',))
    return [place for place, rules in rows if json.loads(rules).get("muted_until", 0.0) > now]


def expire(conn: Connection, places: Sequence[str], now: float) -> None:
    """Of what is planned in muted places, let go what is too old to be said after it."""
    if not places:
        return
    kinds, marks = ", ".join("?" * len(PATIENT)), ", ".join("?" * len(places))
    conn.execute(
        "update posts set status = 'expired', settled_at = ?, body = '' where status = 'planned' "
        f"and due_at < ? and kind not in ({kinds}) and place in ({marks})",
        (now, now - STALE_S, *PATIENT, *places),
    )


def drop(conn: Connection, place: str, now: float | None) -> None:
    """Nothing that waits is said in a place any more. now: None where nobody says when."""
    conn.execute(
        "update posts set status = 'dropped', settled_at = coalesce(?, due_at), body = '' "
        "where status = 'planned' and place = ?",
        (now, place),
    )
    conn.execute(
        "update sends set status = 'refused', settled_at = coalesce(?, due_at), reply = '', "
        "note = 'not in that group any more' "
        "where status in ('planned', 'waiting') and place = ?",
        (now, place),
    )
